//! The sans-IO replication core: what to send, what to apply, what to wait for.
pub mod commit;
pub mod entry;

pub use commit::{
    BatchId, Claim, Commit, Elements, Fence, GarbageItem, Guard, Head, HeadField, IndexChanges, Load, Loaded,
    LogAppend, MetadataChange, Outcome, StoredRow, ViewChange, ViewContent, ViewExpiry, ViewShape, ViewValue,
};
pub use entry::{Entry, Key};
