//! Histories against the declared rules: what this crate promises, tried a million times.
//!
//! - [`model`]: the rules of docs/semantics.md over happens-before; no state, no garbage, no join. The oracle.
//! - [`command`]: what Redis's commands mean, in the model's operations.
//! - [`region`]: a region in miniature on the crate's real types: blobs, partial rows, effects, joins, collection.
//! - [`cluster`]: regions, a network, clocks, crashes; each step plays on both sides and compares them.
//! - [`history`]: random histories, leaning on what breaks things; and their shrinking and replaying.
//!
//! Only for tests, behind the feature `testkit`; so it may panic, and a panic is a failed test.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::wildcard_enum_match_arm,
    clippy::missing_panics_doc,
    reason = "a test's support: what is wrong must stop the test"
)]

pub mod cluster;
pub mod command;
pub mod history;
pub mod model;
pub mod region;

use std::cell::RefCell;
use std::collections::BTreeMap;

thread_local! {
    static MARKS: RefCell<BTreeMap<&'static str, u64>> = const { RefCell::new(BTreeMap::new()) };
}

/// Counts that a rare thing happened, so that a test can demand that histories reach it.
fn mark(what: &'static str) {
    MARKS.with(|m| *m.borrow_mut().entry(what).or_default() += 1);
}

/// What happened on this thread so far, and how often.
pub fn marks() -> BTreeMap<&'static str, u64> {
    MARKS.with(|m| m.borrow().clone())
}

/// The next number of a seeded sequence (splitmix64).
pub fn next_random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
