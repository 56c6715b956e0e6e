//! The sans-IO replication core: what to send, what to apply, what to wait for.
//!
//! Regions hold the same data when they have applied the same entries, in any order that respects causality. This crate
//! sees to that over links that lose, delay, repeat and break, between regions that crash, roll back, join and leave.
//! Read [`entry`] for what is exchanged, then [`exchange`] for how the parts work together:
//!
//! | module | question |
//! |---|---|
//! | [`delivery`] | may this entry be applied yet? |
//! | [`sender`], [`receiver`] | what does this peer lack, who sends it, how much at once? |
//! | [`snapshot`] | what if the log does not reach back? |
//! | [`recent`] | must the log be read for that? |
//! | [`stability`] | what has everyone seen, so that it may be forgotten? |
//! | [`members`] | who is everyone? |
//! | [`message`], [`frame`], [`row_form`] | in which bytes? |
//!
//! and [`commit`] for what is asked of a store. The crate is pure: time and randomness are arguments.

pub mod commit;
pub mod delivery;
mod driver;
pub mod entry;
pub mod exchange;
pub mod frame;
mod lives;
pub mod members;
pub mod message;
pub mod receiver;
pub mod recent;
pub mod row_form;
pub mod sender;
pub mod snapshot;
pub mod stability;
mod status;

pub use commit::{
    BatchId, Claim, Commit, Elements, Fence, GarbageItem, Guard, Head, HeadField, IndexChanges, Load, Loaded,
    LogAppend, MetadataChange, Outcome, StoredRow, ViewChange, ViewContent, ViewExpiry, ViewShape, ViewValue,
};
pub use entry::{Entry, Key};
pub use exchange::{Action, Config, Direction, Event, Exchange, LinkError, PeerStatus, SnapshotId};
pub use members::Members;
pub use message::{BackMessage, Formats, Hello, Known, Message, Refusal, Report, Welcome, Wire, WireRow};
pub use stability::Stability;
