//! The sans-IO replication core: what to send, what to apply, what to wait for.
pub mod commit;
pub mod entry;
pub mod exchange;
pub mod frame;
pub mod message;
pub mod row_form;

pub use commit::{
    BatchId, Claim, Commit, Elements, Fence, GarbageItem, Guard, Head, HeadField, IndexChanges, Load, Loaded,
    LogAppend, MetadataChange, Outcome, StoredRow, ViewChange, ViewContent, ViewExpiry, ViewShape, ViewValue,
};
pub use entry::{Entry, Key};
pub use exchange::{Action, Config, Direction, Event, Exchange, LinkError, PeerStatus, SnapshotId};
pub use message::{BackMessage, Formats, Hello, Known, Message, Refusal, Report, Welcome, Wire, WireRow};
