//! The promises of this crate, as laws and against oracles. Histories per test: `CARTOGRAPH_HISTORIES`; the first
//! seed: `CARTOGRAPH_SEED`.
#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::panic,
    reason = "all of this binary is tests"
)]

mod big_removals;
mod laws;
mod oracle;
mod regressions;
mod second_oracle;

use cartograph_crdt::testkit::history::{Check, Profile};

/// Histories per test where the environment does not say.
const HISTORIES: u64 = 2_000;

fn from_environment(name: &str, default: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text
            .parse()
            .unwrap_or_else(|_| panic!("{name}={text:?} is no number")),
        Err(_) => default,
    }
}

fn histories() -> u64 {
    from_environment("CARTOGRAPH_HISTORIES", HISTORIES)
}

fn first_seed() -> u64 {
    from_environment("CARTOGRAPH_SEED", 1)
}

fn run(test: &str, profile: Profile, check: Check) {
    cartograph_crdt::testkit::history::run(test, profile, check, first_seed(), histories());
}
