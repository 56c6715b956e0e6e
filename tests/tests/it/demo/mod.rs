//! The real binary from outside: a demo with real Redis servers and real faults, driven through HTTP alone.
//!
//! Each test has a demo of its own, on ports of its own, and waits for what it wants to see, never for a time to pass.
//! Where a region's Redis is damaged behind its node's back, the tests speak to that Redis directly.

mod bad_input;
mod crashes;
mod damage;
mod embedded;
pub(crate) mod harness;
pub(crate) mod http;
mod load;
mod log_cap;
mod partitions;
mod regions;
mod sessions;
mod start;
