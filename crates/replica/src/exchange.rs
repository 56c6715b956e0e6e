//! The exchange of one shard: the facade that the shard's machine drives.
//!
//! Everything here is a plain state machine: messages, loads and clock readings in, actions and events out. Times are
//! Unix milliseconds of the caller's wall clock.

use std::collections::{BTreeMap, BTreeSet};

use cartograph_crdt::{Dot, RegionId, ReplicaId, Row, VersionVector};

use crate::commit::{BatchId, LogAppend};
use crate::entry::{Entry, Key, RecordError};
use crate::message::{BackMessage, Hello, Message, Report, Welcome, WireRow};
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
    /// Read the log ([`crate::Load::Log`]); answer with [`Exchange::loaded_log`].
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
    /// Read a page of keys ([`crate::Load::Keys`]); answer with [`Exchange::keys`].
    LoadKeys {
        /// For whom.
        peer: RegionId,
        /// For which snapshot.
        snapshot: SnapshotId,
        /// Where the last page ended, empty to begin.
        cursor: Vec<u8>,
    },
    /// Read a whole row between two commits; answer with [`Exchange::row`].
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
    /// Entries may be ready: ask [`Exchange::ready`].
    Entries,
    /// A peer sends a snapshot. Until [`Event::SnapshotEnded`] and [`Exchange::snapshot_joined`], rows come.
    SnapshotBegun {
        /// The peer.
        peer: RegionId,
        /// Its vector at the start of its scan.
        v0: VersionVector,
    },
    /// A row to join; tell [`Exchange::row_joined`] when it is committed.
    Row {
        /// From whom.
        peer: RegionId,
        /// The row, whole.
        row: WireRow,
    },
    /// All rows have come: keys without one lose what `v0` covers, then our vector joins `v0`; then call
    /// [`Exchange::snapshot_joined`].
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
    /// Its last report, when it came (Unix milliseconds); `None` if never.
    pub heard_ms: Option<u64>,
}

/// The exchange of one shard with all peers.
#[derive(Debug)]
pub struct Exchange {
    config: Config,
    me: ReplicaId,
}

/// Replicas whose entries are all applied everywhere: refused from then on, named in no vector.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Retired {
    floors: BTreeMap<RegionId, cartograph_crdt::Incarnation>,
}

/// SKELETON: signatures are meant, bodies follow.
impl Exchange {
    /// The exchange of the live replica `me`, which has no peers and has applied nothing.
    pub fn new(config: Config, me: ReplicaId, now_ms: u64) -> Exchange {
        let _ = now_ms;
        Exchange { config, me }
    }

    /// A new incarnation began. Streams should be dialled anew.
    pub fn set_replica(&mut self, me: ReplicaId) {
        self.me = me;
    }

    /// The member regions, ours included.
    pub fn set_members(&mut self, members: &BTreeSet<RegionId>) {
        let _ = members;
    }

    /// What is retired.
    pub fn set_retired(&mut self, retired: Retired) {
        let _ = retired;
    }

    /// What is committed, after a claim: may be lower than before. Parked entries are forgotten and asked for again.
    pub fn set_vector(&mut self, committed: &VersionVector, now_ms: u64) {
        let _ = (committed, now_ms);
    }

    /// The lowest sequence that the log still holds, by origin, after a claim and after each trim. An origin without
    /// one has nothing in the log.
    pub fn set_log_starts(&mut self, starts: &BTreeMap<ReplicaId, u64>) {
        let _ = starts;
    }

    /// Our expiry clock, as committed: what peers may be told.
    pub fn set_watermark(&mut self, watermark_ms: u64) {
        let _ = watermark_ms;
    }

    /// Is any key here ahead of our vector? Then no snapshot is served.
    pub fn set_ahead(&mut self, any: bool) {
        let _ = any;
    }

    /// What this region says of itself: for greetings.
    pub fn report(&self, now_ms: u64) -> Report {
        let _ = now_ms;
        Report {
            replica: self.me,
            vector: VersionVector::new(),
            watermark_ms: 0,
            clock_ms: now_ms,
            others: Vec::new(),
        }
    }

    /// The stream that we dialled is up, and the peer has welcomed us.
    pub fn connected(&mut self, peer: RegionId, welcome: &Welcome, now_ms: u64) {
        let _ = (peer, welcome, now_ms);
    }

    /// The stream that the peer dialled is up, and we have welcomed it.
    pub fn accepted(&mut self, peer: RegionId, hello: &Hello, now_ms: u64) {
        let _ = (peer, hello, now_ms);
    }

    /// A stream is down. The same must be called before `connected` or `accepted` replaces a stream.
    pub fn disconnected(&mut self, peer: RegionId, direction: Direction, now_ms: u64) -> Vec<Event> {
        let _ = (peer, direction, now_ms);
        Vec::new()
    }

    /// A message on the stream that the peer dialled. `applied` is what the machine has applied, commits in flight
    /// included.
    ///
    /// # Errors
    /// See [`LinkError`]: close the stream.
    pub fn received(
        &mut self,
        peer: RegionId,
        message: Message,
        applied: &VersionVector,
        now_ms: u64,
    ) -> Result<Vec<Event>, LinkError> {
        let _ = (peer, message, applied, now_ms);
        Ok(Vec::new())
    }

    /// A message on the stream that we dialled.
    ///
    /// # Errors
    /// See [`LinkError`]: close the stream.
    pub fn acked(&mut self, peer: RegionId, message: BackMessage, now_ms: u64) -> Result<(), LinkError> {
        let _ = (peer, message, now_ms);
        Ok(())
    }

    /// Takes entries that may be applied one after the other where `applied` has been, commits in flight included.
    pub fn ready(&mut self, applied: &VersionVector, entries_max: usize, bytes_max: usize) -> Vec<Entry> {
        let _ = (applied, entries_max, bytes_max);
        Vec::new()
    }

    /// Takes back entries that [`Exchange::ready`] gave and that were not committed.
    pub fn put_back(&mut self, entries: Vec<Entry>) {
        let _ = entries;
    }

    /// A commit is durable: its log records (own and remote) and our vector after it.
    pub fn committed(&mut self, log: &[LogAppend], vector: &VersionVector, now_ms: u64) {
        let _ = (log, vector, now_ms);
    }

    /// The answer to [`Action::LoadLog`]: records in order, from the one that holds `from` on; empty when trimmed.
    pub fn loaded_log(&mut self, peer: RegionId, origin: ReplicaId, from: u64, records: Vec<Vec<u8>>) {
        let _ = (peer, origin, from, records);
    }

    /// The answer to [`Action::LoadKeys`]; `cursor` is `None` at the end.
    pub fn keys(&mut self, peer: RegionId, snapshot: SnapshotId, page: Vec<Key>, cursor: Option<Vec<u8>>) {
        let _ = (peer, snapshot, page, cursor);
    }

    /// The answer to [`Action::ReadRow`]: the complete row (`None` when the key has no metadata any more) and what we
    /// had committed when it was read.
    pub fn row(
        &mut self,
        peer: RegionId,
        snapshot: SnapshotId,
        key: &[u8],
        row: Option<&Row>,
        vector: &VersionVector,
    ) {
        let _ = (peer, snapshot, key, row, vector);
    }

    /// One more row of the peer's snapshot is joined and committed.
    pub fn row_joined(&mut self, peer: RegionId) {
        let _ = peer;
    }

    /// The peer's snapshot is joined whole, and our committed vector covers its `v0`.
    pub fn snapshot_joined(&mut self, peer: RegionId) {
        let _ = peer;
    }

    /// What to do now. Call after every input, and at [`Exchange::next_wake`].
    pub fn poll(&mut self, now_ms: u64) -> Vec<Action> {
        let _ = now_ms;
        Vec::new()
    }

    /// When to poll next though nothing happens.
    pub fn next_wake(&self, now_ms: u64) -> Option<u64> {
        let _ = now_ms;
        None
    }

    /// What every member has applied, as far as it counts.
    pub fn stable(&self) -> VersionVector {
        VersionVector::new()
    }

    /// What every member's expiry clock has passed, as far as it counts; 0 while one has not reported.
    pub fn watermark_ms(&self) -> u64 {
        0
    }

    /// Is the owner of a cell known to have seen `dot`, and will it never again increment as if it had not?
    pub fn owner_has_seen(&self, owner: ReplicaId, dot: &Dot) -> bool {
        let _ = (owner, dot);
        false
    }

    /// Remembers our vector after commit `batch`.
    pub fn checkpoint(&mut self, batch: BatchId, vector: &VersionVector) {
        let _ = (batch, vector);
    }

    /// The last commit whose whole vector is stable, as far as remembered.
    pub fn stable_batch(&self) -> BatchId {
        BatchId(0)
    }

    /// What every member has acknowledged of `origin`: the log may lose that much.
    pub fn lowest_acknowledged(&self, origin: ReplicaId) -> u64 {
        let _ = origin;
        0
    }

    /// What the log must hold beyond, whatever its cap: `None` when no snapshot pins it.
    pub fn pins(&self) -> Option<VersionVector> {
        None
    }

    /// What must outlive a restart (head field `Members`): what garbage collection has relied on, by member.
    pub fn relied(&self) -> BTreeMap<RegionId, VersionVector> {
        BTreeMap::new()
    }

    /// Restores [`Exchange::relied`] after a claim.
    pub fn restore_relied(&mut self, relied: BTreeMap<RegionId, VersionVector>) {
        let _ = relied;
    }

    /// How each member but ourselves is doing.
    pub fn status(&self, now_ms: u64) -> BTreeMap<RegionId, PeerStatus> {
        let _ = now_ms;
        BTreeMap::new()
    }
}
