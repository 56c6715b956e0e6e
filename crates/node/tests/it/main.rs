//! Nodes in this process, on real sockets: doors, links between regions, certificates, start and stop.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    clippy::print_stdout,
    reason = "tests: helpers stand outside #[test] functions, where clippy.toml does not let them off"
)]

#[cfg(test)]
mod certificates;
#[cfg(test)]
mod grpc;
#[cfg(test)]
mod http;
#[cfg(test)]
mod redis_clients;
#[cfg(test)]
mod regions;
#[cfg(test)]
mod standby;
#[cfg(test)]
mod stores;
#[cfg(test)]
mod support;
