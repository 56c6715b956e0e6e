//! The one test binary: what can only be said from outside, with real servers beside.
//!
//! A missing tool fails its tests with a message that says how to get it; no test passes by not running.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    clippy::print_stdout,
    reason = "tests: helpers stand outside #[test] functions, where clippy.toml does not let them off"
)]

mod chaos;
mod command_table;
mod commands;
mod demo;
mod differential;
mod numbers;
mod plain_redis;
mod resp;
mod stores;
