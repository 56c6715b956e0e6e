//! The shard machine: command -> effects -> commit -> reply, sans-IO.
pub mod api;
mod batch;
mod cache;
pub mod command;
mod commands;
pub mod conflict;
pub mod error;
pub mod geo;
pub mod head;
pub mod number;
pub mod pattern;
pub mod shard;
pub mod show;
#[cfg(feature = "testkit")]
pub mod testkit;
pub mod writer;

pub use command::{Command, Procedure, Reply, Want};
pub use error::CommandError;
pub use shard::{Config, Limits, Shard, ShardStatus};
pub use writer::{Shown, Stop, Writer};
