//! The shard machine: command -> effects -> commit -> reply, sans-IO.
mod cache;
pub mod command;
pub mod error;
pub mod number;
pub mod show;
pub mod writer;

pub use command::{Command, Procedure, Reply, Want};
pub use error::CommandError;
pub use writer::{Shown, Stop, Writer};
