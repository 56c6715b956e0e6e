//! Random histories against the declarative oracle. `CARTOGRAPH_HISTORIES` says how many, `CARTOGRAPH_SEED` where to
//! begin: a failure prints its own seed and a history that was shrunk as far as it went.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    clippy::print_stdout,
    reason = "tests: helpers stand outside #[test] functions, where clippy.toml does not let them off"
)]

use std::panic::{AssertUnwindSafe, catch_unwind};

use cartograph_engine::testkit::histories::{Step, history, play};

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |value| value.parse().expect("a number"))
}

fn fails(seed: u64, steps: &[Step]) -> bool {
    catch_unwind(AssertUnwindSafe(|| play(seed, steps))).is_err()
}

/// Leaves out what the failure does not need.
fn shrunk(seed: u64, mut steps: Vec<Step>) -> Vec<Step> {
    let quiet = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let mut size = steps.len() / 2;
    while size > 0 {
        let mut at = 0;
        while at < steps.len() {
            let mut fewer = steps.clone();
            fewer.drain(at..(at + size).min(steps.len()));
            if fails(seed, &fewer) {
                steps = fewer;
            } else {
                at += size;
            }
        }
        size /= 2;
    }
    std::panic::set_hook(quiet);
    steps
}

#[test]
fn oracle_every_reply_and_every_view_of_random_histories() {
    let first = setting("CARTOGRAPH_SEED", 1);
    for seed in first..first + setting("CARTOGRAPH_HISTORIES", 1_000) {
        let steps = history(seed);
        if fails(seed, &steps) {
            let steps = shrunk(seed, steps);
            let list: Vec<String> = steps.iter().map(|s| format!("  {s:?}")).collect();
            eprintln!(
                "seed {seed} (CARTOGRAPH_SEED={seed} CARTOGRAPH_HISTORIES=1), shrunk:\n{}",
                list.join("\n")
            );
            play(seed, &steps);
            panic!("seed {seed} failed, but not when played again");
        }
    }
}
