//! What passes between an exchange and its driver: limits, actions, events, errors, status.

use cartograph_crdt::{RegionId, ReplicaId, VersionVector};

use crate::entry::{Key, RecordError};
use crate::message::{BackMessage, Message, WireRow};
use crate::row_form::AssembleError;

/// Limits and delays of an exchange.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Bytes sent to a peer and not yet acknowledged, at most (and one record per origin besides).
    pub window_bytes: usize,
    /// About the largest `Entries` message, in bytes.
    pub message_bytes: usize,
    /// Another region's entries are relayed once the peer has lacked them this long without progress.
    pub relay_delay_ms: u64,
    /// A relay pauses after this long, to see whether the origin's own link is back.
    pub relay_burst_ms: u64,
    /// An idle link carries a report this often, in each direction.
    pub idle_ms: u64,
    /// Progress is acknowledged at once, but not more often than this.
    pub ack_ms: u64,
    /// A dropped entry is asked for again not more often than this.
    pub resend_ms: u64,
    /// A refused or impossible snapshot is tried again after this.
    pub snapshot_retry_ms: u64,
    /// Row reads of one snapshot under way at once.
    pub snapshot_reads: usize,
    /// The largest row that is put together, in bytes.
    pub row_bytes_max: usize,
    /// Recently committed records kept in memory, in bytes.
    pub recent_bytes: usize,
    /// Parked entries, at most.
    pub park_entries: usize,
    /// Parked bytes, at most (and the next entry of each origin besides).
    pub park_bytes: usize,
    /// Remembered pairs of commit and vector, at most.
    pub checkpoints: usize,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            window_bytes: 8 << 20,
            message_bytes: 1 << 20,
            relay_delay_ms: 500,
            relay_burst_ms: 3_000,
            idle_ms: 200,
            ack_ms: 5,
            resend_ms: 200,
            snapshot_retry_ms: 1_000,
            snapshot_reads: 32,
            row_bytes_max: 512 << 20,
            recent_bytes: 32 << 20,
            park_entries: 200_000,
            park_bytes: 64 << 20,
            checkpoints: 1_024,
        }
    }
}

/// One snapshot that is being served. Answers to an older one's loads are ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SnapshotId(pub u64);

/// Which of the two streams between two regions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Direction {
    /// We dialled it, we send entries on it.
    Out,
    /// The peer dialled it, we receive entries on it.
    In,
}

/// What the exchange asks of its driver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Send on the stream that we dialled.
    Send {
        /// To whom.
        peer: RegionId,
        /// What.
        message: Message,
    },
    /// Send on the stream that the peer dialled.
    Back {
        /// To whom.
        peer: RegionId,
        /// What.
        message: BackMessage,
    },
    /// Read the log ([`crate::Load::Log`]); answer with [`crate::Exchange::loaded_log`].
    LoadLog {
        /// For whom.
        peer: RegionId,
        /// Whose entries.
        origin: ReplicaId,
        /// From which sequence on.
        from: u64,
        /// About how much.
        bytes_max: usize,
    },
    /// Read a page of keys ([`crate::Load::Keys`]); answer with [`crate::Exchange::keys`].
    LoadKeys {
        /// For whom.
        peer: RegionId,
        /// For which snapshot.
        snapshot: SnapshotId,
        /// Where the last page ended, empty to begin.
        cursor: Vec<u8>,
    },
    /// Read a whole row between two commits; answer with [`crate::Exchange::row`].
    ReadRow {
        /// For whom.
        peer: RegionId,
        /// For which snapshot.
        snapshot: SnapshotId,
        /// Which key.
        key: Key,
    },
}

/// What happened that the driver must act on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Entries may be ready: ask [`crate::Exchange::ready`].
    Entries,
    /// A peer sends a snapshot. Until [`Event::SnapshotEnded`] and [`crate::Exchange::snapshot_joined`], rows come.
    SnapshotBegun {
        /// The peer.
        peer: RegionId,
        /// Its vector at the start of its scan.
        v0: VersionVector,
    },
    /// A row to join; tell [`crate::Exchange::row_joined`] when it is committed.
    Row {
        /// From whom.
        peer: RegionId,
        /// The row, whole.
        row: Box<WireRow>,
    },
    /// All rows have come: keys without one lose what `v0` covers, then our vector joins `v0`; then call
    /// [`crate::Exchange::snapshot_joined`].
    SnapshotEnded {
        /// From whom.
        peer: RegionId,
        /// Its vector at the start of its scan.
        v0: VersionVector,
    },
    /// The snapshot broke off. What was joined stays; another will come.
    SnapshotAborted {
        /// From whom.
        peer: RegionId,
    },
    /// Someone sent entries of our own live replica that we never wrote: begin a new incarnation before the next write.
    OwnEntriesUnknown {
        /// The highest sequence seen.
        sequence: u64,
    },
}

/// A peer's message that breaks the protocol: close the link, count it; nothing changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// A record that cannot be taken.
    #[error("region {peer} sent a record that is refused")]
    Record {
        /// The peer.
        peer: RegionId,
        /// Why.
        source: RecordError,
    },
    /// A row that cannot be taken.
    #[error("region {peer} sent a row that is refused")]
    Row {
        /// The peer.
        peer: RegionId,
        /// Why.
        source: AssembleError,
    },
    /// A message that does not belong here.
    #[error("region {peer} sent {what}")]
    Unexpected {
        /// The peer.
        peer: RegionId,
        /// What.
        what: &'static str,
    },
}

/// How a peer is doing.
#[expect(
    clippy::struct_excessive_bools,
    reason = "four independent facts, shown as they are"
)]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PeerStatus {
    /// Is the stream up on which we send?
    pub connected_out: bool,
    /// Is the stream up on which we receive?
    pub connected_in: bool,
    /// How many of the entries that we have applied the peer has not, as far as we know.
    pub entries_behind: u64,
    /// Age of the oldest own entry that the peer has not acknowledged, in milliseconds.
    pub lag_ms: u64,
    /// Bytes sent to it and not yet acknowledged.
    pub queue_bytes: usize,
    /// Is a snapshot being served to it?
    pub snapshot_out: bool,
    /// Is a snapshot being received from it?
    pub snapshot_in: bool,
    /// How far its clock seems ahead of ours, in milliseconds; the way of its report makes it seem too low.
    pub skew_ms: Option<i64>,
    /// How long the way to it and back takes, in milliseconds.
    pub rtt_ms: Option<u64>,
    /// Its last report, when it came (Unix milliseconds); `None` if never.
    pub heard_ms: Option<u64>,
}
