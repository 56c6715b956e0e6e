//! The simulator: whole clusters of the production code under one seed.
//!
//! Built optimised (the shorter runs among the tests have debug assertions and overflow checks). `--seed N` alone replays one history; `--runs`
//! and `--minutes` play consecutive seeds. At a violation it prints the seed, the shortest part of the history that
//! still fails, and the command that replays that part. What is checked: docs/reliability.md.

use std::path::Path;

use anyhow::Result;
use xshell::{Shell, cmd};

/// Options of `cargo xtask sim`.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// The first seed.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// How many histories, one seed after the other.
    #[arg(long, default_value_t = 1)]
    runs: u64,
    /// Or for how many minutes.
    #[arg(long)]
    minutes: Option<f64>,
    /// Replay only these steps of the seed's history.
    #[arg(long)]
    only: Option<String>,
    /// Of one history, every input and output from this virtual millisecond on.
    #[arg(long)]
    trace_ms: Option<u64>,
    /// Threads.
    #[arg(long, default_value_t = 2)]
    threads: usize,
}

/// Builds and runs it.
///
/// # Errors
/// When it does not build, or a history violates what must hold.
pub(crate) fn run(sh: &Shell, root: &Path, options: &Options) -> Result<()> {
    let mut arguments = vec![
        "--seed".to_owned(),
        options.seed.to_string(),
        "--runs".to_owned(),
        options.runs.to_string(),
        "--threads".to_owned(),
        options.threads.to_string(),
    ];
    let minutes = options.minutes.map(|m| m.to_string());
    let trace = options.trace_ms.map(|ms| ms.to_string());
    for (name, value) in [
        ("--minutes", minutes),
        ("--only", options.only.clone()),
        ("--trace-ms", trace),
    ] {
        if let Some(value) = value {
            arguments.extend([name.to_owned(), value]);
        }
    }
    // A target folder of its own, shared with the mutants: what is built there is not replaced by other builds.
    let target = root.join("target").join("sim");
    cmd!(
        sh,
        "cargo run --locked --release --package cartograph-sim --bin cartograph-sim -- {arguments...}"
    )
    .env("CARGO_TARGET_DIR", target)
    .run()?;
    Ok(())
}
