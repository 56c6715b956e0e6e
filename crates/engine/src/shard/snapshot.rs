//! Snapshots: joining a peer's rows into ours, and reading our rows for a peer.
//!
//! A row is joined, never copied over: what either side had not seen of the other survives. Until our vector covers
//! what the sender had seen, the row's header remembers it as `ahead`: effects on that key that it covers are in
//! already and are skipped; what we remove of that key is scoped by it. When every row has come, keys without one lose
//! what the sender's vector at the start covers (they were gone there), our vector joins that vector, and the log
//! follows.

use std::collections::BTreeSet;

use cartograph_crdt::{RegionId, Row, VersionVector};
use cartograph_replica::exchange::{self, SnapshotId};
use cartograph_replica::message::WireRow;
use cartograph_replica::{HeadField, Key, Load, Loaded};

use super::flight::{Draft, Work};
use super::rows::Purpose;
use super::upkeep::{Reading, Task};
use super::{Shard, Standing, event};
use crate::api::{Event, Output};
use crate::command::Want;
use crate::head;
use crate::writer::Layer;

/// A snapshot that is being joined.
#[derive(Debug)]
pub(super) struct Joining {
    pub(super) peer: RegionId,
    /// All rows have come. Until the vectors are joined, no entry of a peer is applied: a key that it made behind the
    /// sweep's back would miss a deletion that the sender's vector covers, and resurface.
    pub(super) sweeping: bool,
    /// Keys that had a row. About 100 bytes a key, for as long as the join takes.
    seen: BTreeSet<Key>,
}

/// A row read for a peer's snapshot, waiting for the commits that it shows.
#[derive(Debug)]
pub(super) struct RowRead {
    pub(super) peer: RegionId,
    pub(super) snapshot: SnapshotId,
    pub(super) key: Key,
    row: Option<Row>,
}

impl RowRead {
    pub(super) fn task(self) -> Task {
        Task::ReadRow {
            peer: self.peer,
            snapshot: self.snapshot,
            key: self.key,
        }
    }
}

/// The soonest that the exchange is woken again, in milliseconds.
const WAKE_MS_MIN: u64 = 2;

/// Keys in one page of a scan.
const PAGE: usize = 256;

impl Shard {
    pub(super) fn exchange_events(&mut self, events: Vec<exchange::Event>, out: &mut Vec<Output>) {
        for e in events {
            match e {
                exchange::Event::Entries => {}
                exchange::Event::SnapshotBegun { peer, .. } => {
                    event(
                        Event::Snapshot {
                            what: "joining",
                            peer,
                        },
                        out,
                    );
                    self.joining = Some(Joining {
                        peer,
                        seen: BTreeSet::new(),
                        sweeping: false,
                    });
                }
                exchange::Event::Row { peer, row } => self.tasks.push_back(Task::Join { peer, row }),
                exchange::Event::SnapshotEnded { peer, v0 } => {
                    if let Some(joining) = &mut self.joining {
                        joining.sweeping = true;
                    }
                    self.tasks.push_back(Task::Sweep {
                        peer,
                        v0,
                        cursor: Vec::new(),
                    });
                }
                exchange::Event::SnapshotAborted { peer } => {
                    event(
                        Event::Snapshot {
                            what: "broken off",
                            peer,
                        },
                        out,
                    );
                    self.joining = None;
                    self.tasks.retain(|t| {
                        !matches!(
                            t,
                            Task::Join { .. } | Task::Sweep { .. } | Task::Gone { .. } | Task::Joined { .. }
                        )
                    });
                }
                exchange::Event::OwnEntriesUnknown { .. } => {
                    event(Event::ForeignOwnEntries, out);
                    self.renew = true;
                    self.standing = Standing::Unclaimed;
                    out.push(Output::Claim);
                }
            }
        }
    }

    /// Joins one row. `None` when it has to wait for a load.
    pub(super) fn begin_join(&mut self, peer: RegionId, theirs: Box<WireRow>, out: &mut Vec<Output>) -> bool {
        let key = theirs.key.clone();
        if !self.whole_row(&key, out) {
            self.tasks.push_back(Task::Join { peer, row: theirs });
            return false;
        }
        let mut draft = Draft::new(&self.next, self.expiry_now());
        let mut layer = Layer::default();
        let vector = self.next.vector.clone();
        if let Some(row) = self.cache.row_mut(&key) {
            let mut ours = vector.clone();
            ours.join(&row.header.ahead);
            let touched = layer.record(&key, row);
            row.join(&ours, &theirs.row, &theirs.vector, touched);
            row.header.ahead.join(&theirs.vector);
            row.header.ahead.forget(&vector);
        }
        draft.take(None, layer);
        draft.anyway = true;
        self.ahead.join(&theirs.vector);
        if let Ok(bytes) = head::encode(&self.ahead) {
            draft.head.insert(HeadField::Snapshot, bytes);
        }
        self.exchange.set_ahead(!vector.dominates(&self.ahead));
        self.begin_commit(
            draft,
            Work::Task {
                task: Task::Join { peer, row: theirs },
            },
            out,
        )
    }

    pub(super) fn joined(&mut self, peer: RegionId, key: Key, out: &mut Vec<Output>) {
        if let Some(joining) = &mut self.joining
            && joining.peer == peer
        {
            joining.seen.insert(key);
        }
        self.exchange.row_joined(peer);
        self.tell_members(out);
    }

    /// Looks for keys that had no row.
    pub(super) fn begin_sweep(
        &mut self,
        peer: RegionId,
        v0: VersionVector,
        cursor: Vec<u8>,
        out: &mut Vec<Output>,
    ) -> bool {
        let waits = self.tasks.iter().any(|t| matches!(t, Task::Join { .. }))
            || self.in_flight.iter().any(|f| {
                matches!(
                    f.work,
                    Work::Task {
                        task: Task::Join { .. }
                    }
                )
            });
        if waits {
            self.tasks.push_back(Task::Sweep { peer, v0, cursor });
            return false;
        }
        let load = Load::Keys { cursor, count: PAGE };
        self.load(load, Purpose::Reading(Reading::Sweep { peer, v0 }), out);
        true
    }

    pub(super) fn swept(
        &mut self,
        peer: RegionId,
        v0: VersionVector,
        keys: Vec<Key>,
        cursor: Option<Vec<u8>>,
    ) {
        let Some(joining) = self.joining.as_ref().filter(|j| j.peer == peer) else {
            return;
        };
        let gone: Vec<Key> = keys
            .into_iter()
            .filter(|key| !joining.seen.contains(key))
            .collect();
        for key in gone {
            self.tasks.push_back(Task::Gone {
                peer,
                key,
                v0: v0.clone(),
            });
        }
        self.tasks.push_back(match cursor {
            Some(cursor) => Task::Sweep { peer, v0, cursor },
            None => Task::Joined { peer, v0 },
        });
    }

    /// A key that had no row: what the sender had seen of it was gone there.
    pub(super) fn begin_gone(
        &mut self,
        peer: RegionId,
        key: Key,
        v0: VersionVector,
        out: &mut Vec<Output>,
    ) -> bool {
        if !self.whole_row(&key, out) {
            self.tasks.push_back(Task::Gone { peer, key, v0 });
            return false;
        }
        let mut draft = Draft::new(&self.next, self.expiry_now());
        let mut layer = Layer::default();
        let vector = self.next.vector.clone();
        if let Some(row) = self.cache.row_mut(&key) {
            let mut ours = vector;
            ours.join(&row.header.ahead);
            let touched = layer.record(&key, row);
            row.forget_covered(&ours, &v0, touched);
            row.header.ahead.join(&v0);
            row.header.ahead.forget(&self.next.vector);
        }
        draft.take(None, layer);
        self.ahead.join(&v0);
        if let Ok(bytes) = head::encode(&self.ahead) {
            draft.head.insert(HeadField::Snapshot, bytes);
        }
        self.exchange.set_ahead(!self.next.vector.dominates(&self.ahead));
        // With nothing to change it is done all the same.
        self.begin_commit(
            draft,
            Work::Task {
                task: Task::Gone { peer, key, v0 },
            },
            out,
        );
        true
    }

    /// Every row is in: our vector joins the sender's, and the log begins after it.
    pub(super) fn begin_joined(&mut self, peer: RegionId, v0: VersionVector, out: &mut Vec<Output>) -> bool {
        let gone = |t: &Task| matches!(t, Task::Gone { .. } | Task::Join { .. });
        let waits = self.tasks.iter().any(gone)
            || self
                .in_flight
                .iter()
                .any(|f| matches!(&f.work, Work::Task { task } if gone(task)));
        if waits {
            self.tasks.push_back(Task::Joined { peer, v0 });
            return false;
        }
        let mut draft = Draft::new(&self.next, self.expiry_now());
        for (origin, count) in v0
            .counted()
            .filter(|(origin, count)| *count > self.next.vector.get(*origin))
        {
            // Between what the log holds of this origin and what comes next there would be a gap.
            draft.indexes.trims.push((origin, count + 1));
            let book = self.log.entry(origin).or_default();
            book.part.start = count + 1;
            book.part.bytes = 0;
            book.times.clear();
        }
        draft.tip.vector.join(&v0);
        draft.anyway = true;
        self.put_log_starts(&mut draft);
        self.begin_commit(
            draft,
            Work::Task {
                task: Task::Joined { peer, v0 },
            },
            out,
        )
    }

    pub(super) fn snapshot_joined(&mut self, peer: RegionId, out: &mut Vec<Output>) {
        event(Event::Snapshot { what: "joined", peer }, out);
        self.joining = None;
        self.exchange.set_ahead(!self.done.vector.dominates(&self.ahead));
        self.tell_log_starts();
        self.exchange.snapshot_joined(peer);
    }

    /// Reads a row for a peer's snapshot, between two commits.
    pub(super) fn begin_read_row(
        &mut self,
        peer: RegionId,
        snapshot: SnapshotId,
        key: Key,
        out: &mut Vec<Output>,
    ) -> bool {
        if !self.whole_row(&key, out) {
            self.tasks.push_back(Task::ReadRow { peer, snapshot, key });
            return false;
        }
        let mut reads = vec![self.read_row(peer, snapshot, key)];
        for task in std::mem::take(&mut self.tasks) {
            if let Task::ReadRow { peer, snapshot, key } = &task
                && self.cache.row(key).is_some_and(Row::is_complete)
            {
                reads.push(self.read_row(*peer, *snapshot, key.clone()));
            } else {
                self.tasks.push_back(task);
            }
        }
        // Only a commit tells that what was loaded is of our store still, not of an older or empty one in its place: the
        // peer would take what is missing for removed. The commit is fenced, and a claim ends the snapshot.
        let mut draft = Draft::new(&self.next, self.expiry_now());
        draft.anyway = true;
        let began = self.begin_commit(draft, Work::Task { task: Task::Clock }, out);
        if let Some(last) = self.in_flight.back_mut() {
            last.readers.extend(reads);
        }
        began
    }

    fn read_row(&self, peer: RegionId, snapshot: SnapshotId, key: Key) -> RowRead {
        let row = self.cache.row(&key).filter(|row| !row.is_empty()).cloned();
        RowRead {
            peer,
            snapshot,
            key,
            row,
        }
    }

    pub(super) fn rows_read(&mut self, reads: Vec<RowRead>, vector: &VersionVector) {
        for read in reads {
            self.exchange
                .row(read.peer, read.snapshot, &read.key, read.row.as_ref(), vector);
        }
    }

    /// Has the whole row in memory, or asks for it.
    pub(super) fn whole_row(&mut self, key: &Key, out: &mut Vec<Output>) -> bool {
        if self.cache.row(key).is_some_and(Row::is_complete) {
            self.cache.touch(key);
            return true;
        }
        self.want(Want::all(key), out);
        false
    }

    /// What the exchange asks for.
    pub(super) fn poll_exchange(&mut self, out: &mut Vec<Output>) {
        if self.standing == Standing::Halted {
            return;
        }
        for action in self.exchange.poll(self.now.wall_ms) {
            match action {
                exchange::Action::Send { peer, message } => out.push(Output::Send { peer, message }),
                exchange::Action::Back { peer, message } => out.push(Output::Back { peer, message }),
                exchange::Action::LoadLog {
                    peer,
                    origin,
                    from,
                    bytes_max,
                } => {
                    let load = Load::Log {
                        origin,
                        from,
                        bytes_max,
                    };
                    self.load(load, Purpose::Reading(Reading::Log { peer, origin, from }), out);
                }
                exchange::Action::LoadKeys {
                    peer,
                    snapshot,
                    cursor,
                } => {
                    let load = Load::Keys { cursor, count: PAGE };
                    self.load(
                        load,
                        Purpose::Reading(Reading::SnapshotKeys { peer, snapshot }),
                        out,
                    );
                }
                exchange::Action::ReadRow { peer, snapshot, key } => {
                    self.tasks.push_back(Task::ReadRow { peer, snapshot, key });
                }
            }
        }
        if let Some(at) = self.exchange.next_wake(self.now.wall_ms) {
            // At least a little later: what is due now has just been done.
            let in_ms = at.saturating_sub(self.now.wall_ms).max(WAKE_MS_MIN);
            self.wake(self.now.monotonic_ms + in_ms, out);
        }
    }

    /// A page of keys for a peer's snapshot.
    pub(super) fn snapshot_keys(
        &mut self,
        peer: RegionId,
        snapshot: SnapshotId,
        result: Result<Loaded, String>,
    ) {
        match result {
            // That there are no more keys is for the receiver to believe: see Task::Confirm.
            Ok(Loaded::Keys { keys, cursor: None }) => {
                self.tasks.push_back(Task::Confirm { peer, snapshot, keys });
            }
            Ok(Loaded::Keys { keys, cursor }) => self.exchange.keys(peer, snapshot, keys, cursor),
            // The snapshot stops; the exchange tries again when the stream is dialled anew.
            Ok(_) | Err(_) => self.exchange.keys(peer, snapshot, Vec::new(), Some(Vec::new())),
        }
    }
}
