//! Every project command, in Rust: a fresh machine has cargo and nothing else.
//!
//! `cargo xtask test` is what CI runs, whole; the other commands are parts of it or longer runs of one part. Each
//! prints the commands that it starts, so that any step can be repeated by hand. Why not `just` or `make`: ADR 1.
#![expect(clippy::print_stdout, reason = "a command-line tool answers on stdout")]

mod demo_page;
mod deploy;
mod laws;
mod mutants;
mod pages;
mod sim;
mod steps;
mod terraform;
mod tidy;
mod tools;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use xshell::Shell;

use crate::steps::Run;

/// Project commands of Cartograph.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// What CI runs: everything in `check`, every test, the doctests. Installs the tools that it needs.
    Test,
    /// Format, clippy, tidy, deny, docs: all that needs no test run.
    Check,
    /// House rules that no compiler checks: crate graph, lengths, error pages, links.
    Tidy,
    /// Writes the pages that are made from tables in code: docs/commands.md. `tidy` says when one is out of date.
    Docs,
    /// The property tests of the pure crates at length, in optimised code with overflow checks.
    Laws(laws::Options),
    /// The pictures at the top of the README, made again.
    Screenshots,
    /// Histories of whole simulated clusters, by seed.
    Sim(sim::Options),
    /// Does the simulator notice when the product is broken? Prints the table of docs/reliability.md.
    Mutants(mutants::Options),
    /// What is deployed: alert rules, dashboards, manifests, compose file, misconfigurations.
    Deploy,
    /// Terraform's own checks of `terraform/`, offline, against the committed schema.
    Terraform,
    /// Extracts that schema anew, for the resource types in use.
    TerraformSchema(terraform::ExtractOptions),
}

fn main() -> ExitCode {
    // Terraform starts this program as a provider, by another name.
    let program = std::env::args().next().unwrap_or_default();
    if terraform::provider::is_provider(&program) {
        return match terraform::provider::run() {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("{}: {error:#}", terraform::provider::NAME);
                ExitCode::FAILURE
            }
        };
    }
    match run(&Cli::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs one command; `false` means that it ran and found something wrong.
fn run(cli: &Cli) -> Result<bool> {
    let root = workspace_root()?;
    let sh = Shell::new()?;
    sh.change_dir(&root);
    match &cli.command {
        Command::Test => {
            let mut run = Run::new(&sh, &root);
            run.checks();
            run.terraform();
            run.deploy();
            run.tests();
            Ok(run.report())
        }
        Command::Check => {
            let mut run = Run::new(&sh, &root);
            run.checks();
            Ok(run.report())
        }
        Command::Tidy => {
            let problems = tidy::run(&sh, &root)?;
            for problem in &problems {
                println!("{problem}");
            }
            println!("tidy: {}", tidy::verdict(&problems));
            Ok(problems.is_empty())
        }
        Command::Docs => {
            for path in pages::write(&root)? {
                println!("{path}");
            }
            Ok(true)
        }
        Command::Laws(options) => laws::run(&sh, &root, options).map(|()| true),
        Command::Screenshots => demo_page::screenshots(&sh, &root, &steps::target_dir(&root)).map(|()| true),
        Command::Sim(options) => sim::run(&sh, &root, options).map(|()| true),
        Command::Mutants(options) => mutants::run(&sh, &root, options),
        Command::Deploy => {
            let mut run = Run::new(&sh, &root);
            run.deploy();
            Ok(run.report())
        }
        Command::Terraform => {
            let mut run = Run::new(&sh, &root);
            run.terraform();
            Ok(run.report())
        }
        Command::TerraformSchema(options) => terraform::extract(&sh, &root, options).map(|()| true),
    }
}

/// The root of the workspace: the parent of this package, wherever the command was started.
fn workspace_root() -> Result<PathBuf> {
    let package = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    package
        .parent()
        .map(PathBuf::from)
        .context("xtask's own folder has no parent")
}
