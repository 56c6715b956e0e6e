//! Long property runs.
//!
//! The laws (joins commute, associate, repeat harmlessly) and the oracles (a declarative specification over
//! happens-before) run briefly with every test run. Faults of the rare kind showed once in tens of thousands of
//! histories, so now and then a million are needed: this builds the pure crates optimised, with overflow checks and
//! debug assertions left on, and tells the tests through `CARTOGRAPH_HISTORIES` how many histories to run.

use std::path::Path;

use anyhow::Result;
use xshell::{Shell, cmd};

use crate::tools;

/// Tests that take their number of histories from the environment say so by name: `laws_...` or `oracle_...`, or in a
/// module called `laws` or `oracle`.
const FILTER: &str = r"test(/(^|::)(laws|oracle)(_|::)/)";

/// Options of `cargo xtask laws`.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Histories a test.
    #[arg(long, default_value_t = 1_000_000)]
    histories: u64,
    /// Packages to run; more may be given. Default: every pure crate that has such tests.
    #[arg(long = "package", short, default_values = ["cartograph-crdt", "cartograph-replica", "cartograph-engine", "cartograph-commerce"])]
    packages: Vec<String>,
}

/// Runs the laws and oracles.
///
/// # Errors
/// When a tool is missing and cannot be installed, no test matches, or a test fails.
pub(crate) fn run(sh: &Shell, root: &Path, options: &Options) -> Result<()> {
    tools::ensure_nextest(sh)?;
    let histories = options.histories.to_string();
    let packages: Vec<&str> = options
        .packages
        .iter()
        .flat_map(|name| ["--package", name])
        .collect();
    // A target folder of its own: these settings would otherwise rebuild what `cargo run --release` had built.
    let target = root.join("target").join("laws");
    cmd!(
        sh,
        "cargo nextest run --locked --all-features --cargo-profile release --profile laws {packages...} -E {FILTER}"
    )
    .env("CARTOGRAPH_HISTORIES", histories)
    .env("CARGO_TARGET_DIR", target)
    .env("CARGO_PROFILE_RELEASE_OVERFLOW_CHECKS", "true")
    .env("CARGO_PROFILE_RELEASE_DEBUG_ASSERTIONS", "true")
    .run()?;
    Ok(())
}
