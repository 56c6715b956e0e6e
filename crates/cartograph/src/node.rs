//! `cartograph node`: one region's node, as a service runs it.

use std::path::PathBuf;
use std::process::ExitCode;

use crate::exit::{Exit, Failure};

/// Run one region's node until it is told to stop
#[derive(Debug, clap::Args)]
#[command(after_help = "\
SIGTERM and Ctrl-C stop it gracefully: it takes no more requests, finishes those it has, gives its
peers what they lack, and ends with 0. Every key of the configuration file is also an environment
variable CARTOGRAPH_...; see docs/configuration.md.

Example:
  cartograph node --config /etc/cartograph/node.toml")]
pub(crate) struct Args {
    /// The configuration file (TOML)
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

pub(crate) async fn run(args: Args) -> Result<ExitCode, Failure> {
    match cartograph_node::run(&args.config).await {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(error) => {
            let mut text = error.to_string();
            let mut source = std::error::Error::source(&error);
            while let Some(cause) = source {
                text = format!("{text}: {cause}");
                source = cause.source();
            }
            Err(Failure::new(Exit::Refused, text))
        }
    }
}
