//! What the core asks of a store: one atomic commit, and loads.
//!
//! A commit is data, in parts that stand apart from each other: what the views must be before it (guards), metadata
//! changes, view changes, entries for the log, indexes, and the head. A store applies all of it or nothing. The parts
//! are apart so that a later store may write metadata after the commit (log and view first; replayed from the log at
//! start). Metadata is opaque blobs to the store; views are ordinary Redis values.
//!
//! # What a store must do with a commit, in this order
//! 1. *Fence*: refuse unless the head's fence equals `fence`, its batch is `batch - 1`, and its sequence is
//!    `sequence_before`. A stale owner can never write, and a commit whose forerunner failed fails too.
//! 2. *Guards*: compare each with the view (type and cardinality). On any mismatch write nothing and return the
//!    mismatching keys and the store's TIME.
//! 3. Metadata (a command that Redis refuses when out of memory comes first), views, indexes, log, head last.
//!
//! All written values are absolute, so that running a commit again heals a half-run one.

use std::collections::BTreeMap;

use cartograph_crdt::{ElementId, ReplicaId, Score, ShardId, Type};

use crate::entry::Key;

/// Number of buckets: fixed ranges of hash slots with one digest each.
pub const BUCKETS: u16 = 256;

/// Redis's number of hash slots.
pub const HASH_SLOTS: u16 = 16_384;

/// The fencing token of a shard's owner: a later claim has a greater one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fence(pub u64);

/// A commit's own consecutive number in its shard, from 1; 0 means that there was none yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BatchId(pub u64);

impl BatchId {
    /// The one after this.
    #[must_use]
    pub fn next(self) -> BatchId {
        BatchId(self.0 + 1)
    }
}

/// What a commit expects a view to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ViewShape {
    /// No value (absent, or expired by the store's clock).
    Absent,
    /// A value of this Redis type with this many elements: `HLEN`, `SCARD`, `ZCARD`; for strings `STRLEN`, where known.
    /// A HyperLogLog is a string of unknown length.
    Present {
        /// The type shown.
        ty: Type,
        /// Its cardinality; `None` where it is not checked.
        cardinality: Option<u64>,
    },
}

/// A guard: what the view of one key must be before the commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guard {
    /// The key.
    pub key: Key,
    /// What its view must be.
    pub shape: ViewShape,
}

/// How a view's content changes. Everything is absolute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ViewContent {
    /// As it is.
    Unchanged,
    /// `DEL`.
    Absent,
    /// `SET` (an expiry, if any, is set by [`ViewChange::expiry`]).
    String(Vec<u8>),
    /// `HSET`, `HDEL`.
    Hash {
        /// Fields and values to set.
        set: Vec<(Vec<u8>, Vec<u8>)>,
        /// Fields to delete.
        delete: Vec<Vec<u8>>,
    },
    /// `SADD`, `SREM`.
    Set {
        /// Members to add.
        add: Vec<Vec<u8>>,
        /// Members to remove.
        remove: Vec<Vec<u8>>,
    },
    /// `ZADD`, `ZREM`.
    SortedSet {
        /// Members and scores to set.
        set: Vec<(Vec<u8>, Score)>,
        /// Members to remove.
        remove: Vec<Vec<u8>>,
    },
    /// Registers of a dense HyperLogLog: number and rank (0 clears). The cached cardinality is marked stale.
    HyperLogLog {
        /// Registers to set.
        set: Vec<(u16, u8)>,
    },
}

/// How a view's expiry changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ViewExpiry {
    /// As it is. After `replace` or `String`: none.
    Unchanged,
    /// `PERSIST`.
    Never,
    /// `PEXPIREAT`, Unix milliseconds.
    At(u64),
}

/// One key's view change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ViewChange {
    /// The key.
    pub key: Key,
    /// `DEL` first: the content is the whole value.
    pub replace: bool,
    /// The content.
    pub content: ViewContent,
    /// The expiry, after the content.
    pub expiry: ViewExpiry,
}

/// One key's metadata change. Blobs are opaque to the store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MetadataChange {
    /// The key.
    pub key: Key,
    /// All that is stored of the key goes first (`UNLINK`).
    pub drop: bool,
    /// The header's new blob, where it changed; an empty blob removes it.
    pub header: Option<Vec<u8>>,
    /// The summary's new blob, where it changed; an empty blob removes it.
    pub summary: Option<Vec<u8>>,
    /// Elements: a new blob, or `None` for removal.
    pub elements: Vec<(ElementId, Option<Vec<u8>>)>,
}

/// One record appended to the log of one origin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogAppend {
    /// Whose entries.
    pub origin: ReplicaId,
    /// The record's first sequence.
    pub first: u64,
    /// The record's last sequence: its id in the log.
    pub last: u64,
    /// [`crate::entry::encode_record`]'s bytes.
    pub record: Vec<u8>,
}

/// A field of the head's hash. The store gives each its own field, so that a commit writes only what changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HeadField {
    /// Format version, cluster, region and shard: what the store belongs to.
    Identity,
    /// The region's live incarnation, and those before.
    Incarnation,
    /// What has been applied.
    Vector,
    /// Hybrid logical clock and expiry clock.
    Clocks,
    /// The replica table of stored blobs.
    Replicas,
    /// Member regions and what is known of them.
    Members,
    /// Lowest sequence still held, by origin.
    LogStarts,
    /// A snapshot join that is under way.
    Snapshot,
    /// The server that this was written to (`run_id`, `master_replid`).
    Server,
    /// One bucket's digest.
    Digest(u16),
    /// Number of live keys.
    Keys,
}

/// Something that waits for stability, to be looked at again.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct GarbageItem {
    /// The key.
    pub key: Key,
    /// The element, or `None` for the header.
    pub element: Option<ElementId>,
}

/// Changes of the indexes that spare every scan.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IndexChanges {
    /// `due`: the key's expiry instant in Unix milliseconds, or removal.
    pub due: Vec<(Key, Option<u64>)>,
    /// `garbage`: the batch after whose stability to look again, or removal.
    pub garbage: Vec<(GarbageItem, Option<u64>)>,
    /// `conflicts`: appended to the key's capped list; the newest are kept.
    pub conflicts: Vec<(Key, Vec<u8>)>,
    /// Replies kept for retries: idempotency key, reply, and how long to keep it in milliseconds.
    pub replies: Vec<(Vec<u8>, Vec<u8>, u64)>,
    /// Log trims: origin, and the lowest sequence to keep (records that hold it stay whole).
    pub trims: Vec<(ReplicaId, u64)>,
}

/// How many conflicts are kept per shard.
pub const CONFLICTS_MAX: usize = 10_000;

/// One atomic change of a shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    /// The shard.
    pub shard: ShardId,
    /// The owner's fencing token.
    pub fence: Fence,
    /// This commit's number: the head's plus one.
    pub batch: BatchId,
    /// The head's own-entry sequence that this commit expects.
    pub sequence_before: u64,
    /// The same after it.
    pub sequence_after: u64,
    /// What views must be.
    pub guards: Vec<Guard>,
    /// Metadata changes, one per key.
    pub metadata: Vec<MetadataChange>,
    /// View changes, one per key.
    pub views: Vec<ViewChange>,
    /// Records for the log, at most one per origin.
    pub log: Vec<LogAppend>,
    /// Index changes.
    pub indexes: IndexChanges,
    /// Head fields that changed; an empty blob removes the field.
    pub head: BTreeMap<HeadField, Vec<u8>>,
    /// Frees memory and takes next to none (purge, trim, collection): may run when the server is out of memory.
    pub freeing: bool,
}

/// What became of a commit. Errors of the connection are the store's own (definite or unknown).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is done, as durably as the store is set to be.
    Committed,
    /// Some views were not as expected; nothing was written.
    ViewMismatch {
        /// Which.
        keys: Vec<Key>,
        /// The store's clock, Unix milliseconds.
        time_ms: u64,
    },
    /// Another owner, or a forerunner that failed; nothing was written.
    Fenced {
        /// What the head holds.
        fence: Fence,
        /// Its batch.
        batch: BatchId,
    },
    /// The server refused it (out of memory, read-only, failing persistence); nothing was written.
    Refused {
        /// The server's words, and what to do.
        reason: String,
    },
    /// The connection broke, or the store failed: it may or may not have happened. Claim, then read the head.
    Unknown {
        /// What happened.
        reason: String,
    },
}

/// Which elements of a row to load.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Elements {
    /// These.
    Named(Vec<ElementId>),
    /// Every one.
    All,
}

/// What the core may ask a store to read. None of it changes anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Load {
    /// A key's metadata: header, summary, and elements.
    Row {
        /// The key.
        key: Key,
        /// Which elements.
        elements: Elements,
    },
    /// Records of one origin from the log, in order, from the one that holds `from` on.
    Log {
        /// Whose.
        origin: ReplicaId,
        /// First sequence wanted.
        from: u64,
        /// Stop after this many bytes (at least one record comes, if there is one).
        bytes_max: usize,
    },
    /// Keys that have metadata, in an order of the store's own that does not change while keys stay.
    Keys {
        /// Where the last page ended, empty to begin.
        cursor: Vec<u8>,
        /// About how many.
        count: usize,
    },
    /// Keys whose expiry instant is at most `until_ms`, earliest first.
    Due {
        /// Unix milliseconds.
        until_ms: u64,
        /// At most this many.
        count: usize,
    },
    /// Garbage whose batch is at most `until`, lowest first.
    Garbage {
        /// The batch.
        until: BatchId,
        /// At most this many.
        count: usize,
    },
    /// A key's remembered conflicts, oldest first.
    Conflicts {
        /// The key.
        key: Key,
    },
    /// The reply kept under an idempotency key.
    Reply {
        /// The idempotency key.
        id: Vec<u8>,
    },
    /// The whole view of a key, for scrubbing and deep comparison.
    View {
        /// The key.
        key: Key,
    },
}

/// A view, whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ViewValue {
    /// A string (or HyperLogLog).
    String(Vec<u8>),
    /// A hash, fields ascending.
    Hash(Vec<(Vec<u8>, Vec<u8>)>),
    /// A set, members ascending.
    Set(Vec<Vec<u8>>),
    /// A sorted set, members ascending by name.
    SortedSet(Vec<(Vec<u8>, Score)>),
    /// Something that no view is: a type the product does not write.
    Foreign(String),
}

/// A row's stored blobs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoredRow {
    /// The header's blob; empty when there is none.
    pub header: Vec<u8>,
    /// The summary's blob; empty when there is none.
    pub summary: Vec<u8>,
    /// The elements asked for: blob, or `None` where nothing is stored (only for named ones).
    pub elements: Vec<(ElementId, Option<Vec<u8>>)>,
}

/// What a load found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Loaded {
    /// For [`Load::Row`].
    Row(StoredRow),
    /// For [`Load::Log`]: records in order.
    Log(Vec<Vec<u8>>),
    /// For [`Load::Keys`]: a page, and the next cursor (`None` at the end).
    Keys {
        /// The page.
        keys: Vec<Key>,
        /// Where the next one begins.
        cursor: Option<Vec<u8>>,
    },
    /// For [`Load::Due`]: keys and instants.
    Due(Vec<(Key, u64)>),
    /// For [`Load::Garbage`].
    Garbage(Vec<(GarbageItem, u64)>),
    /// For [`Load::Conflicts`].
    Conflicts(Vec<Vec<u8>>),
    /// For [`Load::Reply`].
    Reply(Option<Vec<u8>>),
    /// For [`Load::View`]: the value and its expiry instant.
    View(Option<(ViewValue, Option<u64>)>),
}

/// What a claim found, read after the new fence was set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// The claimer's fence.
    pub fence: Fence,
    /// The last commit's number.
    pub batch: BatchId,
    /// The last own entry's sequence.
    pub sequence: u64,
    /// The head's fields.
    pub fields: BTreeMap<HeadField, Vec<u8>>,
}

/// A claim's result: the head, and what the store is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claim {
    /// What is stored.
    pub head: Head,
    /// Names this life of the server: `run_id` and `master_replid` for Redis. A store that was just opened (embedded)
    /// gives a fresh one each time.
    pub server: String,
    /// The store's clock, Unix milliseconds.
    pub time_ms: u64,
}

/// The hash slot of a key: CRC16 (XMODEM) of the key, or of its `{tag}`, modulo 16,384, as Redis Cluster computes it.
pub fn hash_slot(key: &[u8]) -> u16 {
    let open = key.iter().position(|b| *b == b'{');
    let tag = open.and_then(|open| {
        let rest = key.get(open + 1..)?;
        let close = rest.iter().position(|b| *b == b'}')?;
        rest.get(..close).filter(|tag| !tag.is_empty())
    });
    crc16(tag.unwrap_or(key)) % HASH_SLOTS
}

/// The bucket of a key.
pub fn bucket(key: &[u8]) -> u16 {
    hash_slot(key) / (HASH_SLOTS / BUCKETS)
}

fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc: u16, byte| {
        (0..8).fold(crc ^ (u16::from(*byte) << 8), |crc, _| {
            if crc & 0x8000 == 0 {
                crc << 1
            } else {
                (crc << 1) ^ 0x1021
            }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_redis_clusters() {
        assert_eq!(crc16(b"123456789"), 0x31c3);
        assert_eq!(hash_slot(b"foo"), 12_182);
        assert_eq!(
            hash_slot(b"{user1000}.following"),
            hash_slot(b"{user1000}.followers")
        );
        assert_eq!(hash_slot(b"foo{}{bar}"), crc16(b"foo{}{bar}") % HASH_SLOTS);
        assert_eq!(hash_slot(b"foo{{bar}}zap"), crc16(b"{bar") % HASH_SLOTS);
    }
}
