//! A region's node.
mod backoff;
pub mod clock;
pub mod config;
pub mod driver;
pub mod metrics;
pub mod peers;
pub mod seed;
pub mod tls;
