//! A region's node.
mod backoff;
pub mod clock;
pub mod config;
mod doors;
pub mod driver;
pub mod metrics;
pub mod peers;
pub mod seed;
pub mod tls;
