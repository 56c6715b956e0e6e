//! The one test binary: what can only be said from outside, with real servers beside.
//!
//! A missing tool fails its tests with a message that says how to get it; no test passes by not running.

mod commands;
mod demo;
mod numbers;
mod plain_redis;
mod stores;
