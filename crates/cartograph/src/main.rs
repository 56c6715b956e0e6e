//! The `cartograph` command: everything that a person or a script starts.
//!
//! This file only takes the command line apart. A command is a module with an `Args` (what may be asked, with the
//! help text that teaches it) and a `run`; it ends in an [`Exit`] or a [`Failure`], never in a panic. Results go
//! to stdout, everything else to stderr.

mod api;
mod bench;
mod cart;
mod certs;
mod chaos;
mod check_config;
mod client;
mod clock;
mod converge;
mod demo;
mod discovery;
mod exit;
mod explain;
mod interrupt;
mod load;
mod maelstrom;
mod node;
mod region;
mod status;
mod term;
mod text;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::{ColorChoice, CommandFactory, FromArgMatches, Parser, Subcommand};
use clap_complete::Shell;

use crate::exit::{EXIT_CODES, Exit, Failure};
use crate::term::Term;

const LONG_ABOUT: &str = "\
Cartograph keeps shopping carts and sessions in agreement across regions. A shopper reads and
writes in the nearest region, at local latency; regions exchange what they wrote, and when they
have seen the same writes they hold the same carts, whatever the network did in between.";

const AFTER: &str = "\
Start here:
  cartograph demo                          three regions on this machine, to play with

and then, with the demo running:
  cartograph status                        how the regions are, and whether they agree
  cartograph cart add 42 OLJCESPC7Z 2      put something into a cart
  cartograph cart explain 42               why a cart is what it is
  cartograph load                          shoppers in every region, checked to the unit
  cartograph chaos                         break a cluster of its own in every way, and judge it";

#[derive(Debug, Parser)]
#[command(
    name = "cartograph",
    version,
    about = "Shopping carts and sessions that agree across regions"
)]
#[command(long_about = LONG_ABOUT, after_help = format!("{AFTER}\n\n{EXIT_CODES}"))]
#[command(arg_required_else_help = true, propagate_version = true)]
struct Cli {
    /// Say nothing on stderr but errors: no progress, no notes
    #[arg(long, short, global = true)]
    quiet: bool,
    /// Use no colours
    #[arg(
        long,
        global = true,
        help = "Use no colours; NO_COLOR in the environment does the same"
    )]
    no_color: bool,
    #[command(subcommand)]
    command: Command,
}

// A doc comment on a variant would take the place of the help text that its `Args` has.
#[derive(Debug, Subcommand)]
enum Command {
    Demo(demo::Args),
    Node(node::Args),
    /// Started by the demo: lets a child die with it
    #[command(name = "demo-child", hide = true)]
    DemoChild(demo::ChildArgs),
    Load(load::Args),
    Bench(bench::Args),
    Chaos(chaos::Args),
    #[command(hide = true)]
    Maelstrom(maelstrom::Args),
    Status(status::Args),
    Cart(cart::Args),
    Region(region::Args),
    Certs(certs::Args),
    CheckConfig(check_config::Args),
    /// Write a manual page for every command
    #[command(after_help = "Example:\n  cartograph man /usr/local/share/man/man1")]
    Man {
        /// The directory for them; made if it is not there
        dir: PathBuf,
    },
    /// Print a completion script for a shell
    #[command(after_help = "Example:\n  cartograph completions bash > /etc/bash_completion.d/cartograph")]
    Completions {
        /// The shell
        shell: Shell,
    },
}

fn main() -> ExitCode {
    let cli = parse();
    let term = Arc::new(Term::new(cli.quiet, cli.no_color));
    match run(cli.command, &term) {
        Ok(code) => code,
        Err(failure) => {
            term.failure(&failure);
            failure.exit().into()
        }
    }
}

/// Takes the command line apart; ends the process with help or a usage error if it makes no sense.
fn parse() -> Cli {
    // Clap's own colours must know before it parses.
    let plain = std::env::args_os().any(|arg| arg == "--no-color");
    let color = if plain {
        ColorChoice::Never
    } else {
        ColorChoice::Auto
    };
    let matches = Cli::command().color(color).get_matches();
    Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
}

/// Commands that serve (those of the node) end in an `ExitCode` of their own; client commands in an [`Exit`].
fn run(command: Command, term: &Arc<Term>) -> Result<ExitCode, Failure> {
    let exit = match command {
        Command::Demo(args) => return block_on(async { demo::run(args).await.map_err(refused) }),
        Command::Node(args) => return block_on(node::run(args)),
        Command::DemoChild(args) => return demo::run_child(args).map_err(refused),
        // Load ends gracefully by itself; the others may just be dropped.
        Command::Load(args) => block_on(load::run(args, Arc::clone(term))),
        Command::Bench(args) => block_on(until_interrupted(bench::run(args, Arc::clone(term)))),
        Command::Chaos(args) => block_on(chaos::run(args, Arc::clone(term))),
        Command::Maelstrom(args) => maelstrom::run(&args),
        Command::Status(args) => block_on(until_interrupted(status::run(args, term))),
        Command::Cart(args) => block_on(until_interrupted(cart::run(args, term))),
        Command::Region(args) => block_on(until_interrupted(region::run(args, term))),
        Command::Certs(args) => certs::run(&args, term),
        Command::CheckConfig(args) => check_config::run(&args, term),
        Command::Man { dir } => manual(&dir, term),
        Command::Completions { shell } => completions(shell, term),
    };
    exit.map(ExitCode::from)
}

#[expect(clippy::needless_pass_by_value, reason = "what map_err wants")]
fn refused(error: anyhow::Error) -> Failure {
    Failure::new(Exit::Refused, format!("{error:#}"))
}

/// Runs a command on a runtime of its own.
fn block_on<T>(command: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(Exit::Refused, format!("cannot start the runtime: {error}")))?;
    runtime.block_on(command)
}

async fn until_interrupted(command: impl Future<Output = Result<Exit, Failure>>) -> Result<Exit, Failure> {
    tokio::select! {
        ended = command => ended,
        Ok(()) = tokio::signal::ctrl_c() => Ok(Exit::Interrupted),
    }
}

fn completions(shell: Shell, term: &Term) -> Result<Exit, Failure> {
    // Into memory first: the generator panics if its writer fails, and a closed pipe is not worth a panic.
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "cartograph", &mut script);
    term.print(String::from_utf8_lossy(&script).trim_end())?;
    Ok(Exit::Success)
}

fn manual(dir: &Path, term: &Term) -> Result<Exit, Failure> {
    let written = std::fs::create_dir_all(dir).and_then(|()| clap_mangen::generate_to(Cli::command(), dir));
    written.map_err(|error| Failure::new(Exit::Refused, format!("{}: {error}", dir.display())))?;
    term.note(&format!("manual pages are in {}", dir.display()));
    Ok(Exit::Success)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
