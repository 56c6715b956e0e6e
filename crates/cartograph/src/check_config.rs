//! `cartograph check-config`: would a node start with this file?
//!
//! All that a node checks before it opens a socket or its store: keys, values, what must go together, and that
//! certificates are there and belong together.

use std::path::PathBuf;

use cartograph_node::Config;
use cartograph_node::tls::{self, PeerTls};
use serde_json::json;

use crate::exit::{EXIT_CODES, Exit, Failure};
use crate::term::Term;

const AFTER: &str = "\
The environment counts as it does for `cartograph node`: CARTOGRAPH_... wins over the file.

Examples:
  cartograph check-config /etc/cartograph/node.toml
  cartograph check-config node.toml --json | jq -r '.problems[]'";

/// Check a node's configuration without starting it
#[derive(Debug, clap::Args)]
#[command(after_help = format!("{AFTER}\n\n{EXIT_CODES}"))]
pub(crate) struct Args {
    /// The configuration file (TOML)
    file: PathBuf,
    /// Answer in JSON
    #[arg(long)]
    json: bool,
}

/// # Errors
/// The answer cannot be written.
pub(crate) fn run(args: &Args, term: &Term) -> Result<Exit, Failure> {
    let (problems, warnings) = check(args);
    if args.json {
        term.print_json(&json!({"ok": problems.is_empty(), "problems": problems, "warnings": warnings}))?;
    } else {
        for warning in &warnings {
            term.note(&format!("warning: {warning}"));
        }
        if problems.is_empty() {
            term.print(&format!("{}: a node would start with this", args.file.display()))?;
        } else {
            term.print(&problems.join("\n"))?;
        }
    }
    Ok(if problems.is_empty() {
        Exit::Success
    } else {
        Exit::Refused
    })
}

/// What is wrong, and what is only strange.
fn check(args: &Args) -> (Vec<String>, Vec<String>) {
    let config = match Config::load(&args.file) {
        Ok(config) => config,
        Err(error) => return (vec![chain(&error)], Vec::new()),
    };
    let mut problems = Vec::new();
    if let Some(files) = &config.peer.tls
        && let Err(error) = PeerTls::read(files)
    {
        problems.push(chain(&error));
    }
    if let Some(files) = &config.grpc.tls
        && let Err(error) = tls::door(files)
    {
        problems.push(chain(&error));
    }
    if let Some(files) = &config.resp.tls
        && let Err(error) = tls::resp(files)
    {
        problems.push(chain(&error));
    }
    let mut warnings: Vec<String> = config
        .unknown_variables
        .iter()
        .map(|name| format!("{name} is set, and is the variable of no key"))
        .collect();
    if config.peer.insecure && config.peer.tls.is_none() {
        warnings.push("peer.insecure: whoever reaches peer.listen may write anything".to_owned());
    }
    if config.cluster.bootstrap && !config.peers.is_empty() {
        warnings.push("cluster.bootstrap with peers: a store that was wiped would begin alone".to_owned());
    }
    (problems, warnings)
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}
