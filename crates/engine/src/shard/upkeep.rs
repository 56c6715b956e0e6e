//! What a shard does of its own accord: purge, collection, log trims, repairs, and moving its clocks on.
//!
//! Each is a commit of its own, of freeing commands where it frees. All of it is driven by ticks, in small pieces, and
//! by indexes in the store: nothing here scans the key space.

use std::collections::BTreeMap;

use cartograph_crdt::{ElementId, RETIRED, RegionId, ReplicaId, VersionVector};
use cartograph_replica::exchange::SnapshotId;
use cartograph_replica::message::WireRow;
use cartograph_replica::{BatchId, GarbageItem, HeadField, Key, Load, Loaded, LogAppend};

use super::flight::{Draft, Work};
use super::rows::Purpose;
use super::{Keys, Shard, Standing, event};
use crate::api::{Event, Output, RequestError, RequestId};
use crate::batch::repaired_view;
use crate::command::Want;
use crate::head::{self, LogPart};
use crate::writer::Layer;

/// How often upkeep looks for work, in milliseconds.
const EVERY_MS: u64 = 500;

/// Keys or items in one piece of work.
const PIECE: usize = 64;

/// Garbage that could not be collected though it is stable (its owner is closed, not yet retired) is looked at again
/// after this many commits.
const LATER_BATCHES: u64 = 10_000;

/// So many times longer than for an unreachable peer does a region wait that is being caught up.
const PATIENCE: u64 = 11;

/// How often log sizes are written down, in commits.
const BOOK_EVERY: u64 = 256;

/// One piece of work, done in order of arrival; one that waits for a load goes to the back.
#[derive(Clone, Debug)]
pub(super) enum Task {
    /// The first commit after a claim.
    Open,
    /// Write a view anew from its row.
    Repair { key: Key, counted: bool },
    /// Hand out a row.
    Inspect { key: Key, elements: bool, id: RequestId },
    /// Join a snapshot's row.
    Join { peer: RegionId, row: Box<WireRow> },
    /// Look for keys that had no row in a snapshot.
    Sweep {
        peer: RegionId,
        v0: VersionVector,
        cursor: Vec<u8>,
    },
    /// One of them.
    Gone {
        peer: RegionId,
        key: Key,
        v0: VersionVector,
    },
    /// The snapshot is whole.
    Joined { peer: RegionId, v0: VersionVector },
    /// Read a row for a peer's snapshot.
    ReadRow {
        peer: RegionId,
        snapshot: SnapshotId,
        key: Key,
    },
    /// The last page of our keys for a peer's snapshot. A commit comes first: were the store replaced under us while it
    /// was read, the peer would take what is missing for removed. The commit is fenced; a claim ends the snapshot.
    Confirm {
        peer: RegionId,
        snapshot: SnapshotId,
        keys: Vec<Key>,
    },
    /// Forget keys that expired everywhere.
    Purge { keys: Vec<Key> },
    /// Drop what is stable.
    Collect { items: Vec<GarbageItem> },
    /// Shorten the log.
    Trim { trims: Vec<(ReplicaId, u64)> },
    /// Nothing but the head: the expiry clock moves on, members are written down.
    Clock,
}

/// What a load other than a row's was for.
#[derive(Clone, Debug)]
pub(super) enum Reading {
    /// Keys that may be purged.
    Due,
    /// Has any key expired, so that the expiry clock must be told?
    Expired,
    /// Items that may be collected.
    Garbage,
    /// A page of our keys, to find those without a row in a snapshot.
    Sweep { peer: RegionId, v0: VersionVector },
    /// A page of our keys, for a peer's snapshot.
    SnapshotKeys { peer: RegionId, snapshot: SnapshotId },
    /// Records for a peer.
    Log {
        peer: RegionId,
        origin: ReplicaId,
        from: u64,
    },
    /// A kept reply.
    Reply { id: RequestId },
}

/// What upkeep remembers.
#[derive(Debug, Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a question of its own that is being asked"
)]
pub(super) struct Upkeep {
    next_ms: u64,
    due_asked: bool,
    expired_asked: bool,
    garbage_asked: bool,
    pub(super) members_changed: bool,
    /// Keys whose view was not as expected the last time, and may have expired.
    pub(super) mismatched: Keys,
    /// Keys whose view must be written anew before anything else is done: what waits would meet the same view, fail
    /// again, and with it forget the row that the repair had begun to load.
    pub(super) repair_first: Keys,
    /// The store's last refusal, for status.
    pub(super) refusal: Option<String>,
    /// Was the last commit refused?
    pub(super) refused_last: bool,
}

impl Upkeep {
    /// Must a view be written anew first? Not one whose row cannot be read.
    pub(super) fn repairs_first(&self, damaged: &BTreeMap<Key, String>) -> bool {
        self.repair_first.iter().any(|key| !damaged.contains_key(key))
    }
}

impl Shard {
    pub(super) fn tick(&mut self, out: &mut Vec<Output>) {
        if self.standing != Standing::Owner {
            return;
        }
        self.begin_alone();
        self.recover();
        self.try_admit(out);
        self.tell_members(out);
        if self.now.monotonic_ms < self.upkeep.next_ms {
            return;
        }
        self.upkeep.next_ms = self.now.monotonic_ms + EVERY_MS;
        self.ask_due(out);
        if !self.upkeep.expired_asked && self.done.expiry_ms + EVERY_MS < self.now.store_ms {
            self.upkeep.expired_asked = true;
            let load = Load::Due {
                until_ms: self.now.store_ms,
                count: 1,
            };
            self.load(load, Purpose::Reading(Reading::Expired), out);
        }
        self.ask_garbage(out);
        self.plan_trims();
        self.plan_retirement();
    }

    fn ask_due(&mut self, out: &mut Vec<Output>) {
        if !std::mem::replace(&mut self.upkeep.due_asked, true) {
            let load = Load::Due {
                until_ms: self.exchange.watermark_ms(),
                count: PIECE,
            };
            self.load(load, Purpose::Reading(Reading::Due), out);
        }
    }

    fn ask_garbage(&mut self, out: &mut Vec<Output>) {
        if !std::mem::replace(&mut self.upkeep.garbage_asked, true) {
            let load = Load::Garbage {
                until: self.exchange.stable_batch(),
                count: PIECE,
            };
            self.load(load, Purpose::Reading(Reading::Garbage), out);
        }
    }

    /// Commits something small when nothing else is on its way, to learn whether the store is still there.
    pub(super) fn probe_store(&mut self) {
        let busy = !self.in_flight.is_empty() || self.tasks.iter().any(|t| matches!(t, Task::Clock));
        if self.standing == Standing::Owner && !busy {
            self.tasks.push_back(Task::Clock);
        }
    }

    /// Has the region its own lost entries back, or waited long enough for them?
    fn recover(&mut self) {
        let Some(until) = self.recovering_until_ms else {
            return;
        };
        let late = self.now.monotonic_ms >= until;
        let others: Vec<RegionId> = self
            .members
            .regions
            .keys()
            .copied()
            .filter(|r| *r != self.config.region)
            .collect();
        let targets = &mut self.recovery.targets;
        targets.retain(|region, _| self.members.regions.contains_key(region));
        let covered = targets.values().all(|(_, v)| self.done.vector.dominates(v));
        let whole = covered && self.joining.is_none() && self.done.vector.dominates(&self.ahead);
        let (heard, wiped) = (targets.len(), self.members.wiped);
        // Where somebody is there to catch up with, that is worth waiting for: but not for ever.
        let status = self.exchange.status(self.now.wall_ms);
        let helped = status.values().any(|s| s.connected_in) && heard > 0;
        let hopeless = self.now.monotonic_ms >= until + PATIENCE * self.config.limits.recovery_ms_max;
        let caught_up = whole && heard > 0 && (late || heard >= others.len());
        if caught_up || others.is_empty() || !wiped && (late && !helped || hopeless) {
            self.recovering_until_ms = None;
            self.recovery = super::Recovery::default();
            self.members.recovering = false;
            self.members.wiped = false;
            self.members_stored = false;
            self.tasks.push_back(Task::Clock);
        }
    }

    /// Begins the first task that need not wait. Tells whether something began.
    pub(super) fn begin_task(&mut self, out: &mut Vec<Output>) -> bool {
        if self.upkeep.repairs_first(&self.rows.damaged) {
            return self.begin_first_repair(out);
        }
        for _ in 0..self.tasks.len() {
            let Some(task) = self.tasks.pop_front() else { break };
            let began = match task {
                Task::Open => self.begin_open(out),
                Task::Repair { key, counted } => self.begin_repair(key, counted, out),
                Task::Inspect { key, elements, id } => self.begin_inspect(key, elements, id, out),
                Task::Join { peer, row } => self.begin_join(peer, row, out),
                Task::Sweep { peer, v0, cursor } => self.begin_sweep(peer, v0, cursor, out),
                Task::Gone { peer, key, v0 } => self.begin_gone(peer, key, v0, out),
                Task::Joined { peer, v0 } => self.begin_joined(peer, v0, out),
                Task::ReadRow { peer, snapshot, key } => self.begin_read_row(peer, snapshot, key, out),
                Task::Confirm { peer, snapshot, keys } => self.begin_confirm(peer, snapshot, keys, out),
                Task::Purge { keys } => self.begin_purge(keys, out),
                Task::Collect { items } => self.begin_collect(items, out),
                Task::Trim { trims } => self.begin_trim(trims, out),
                Task::Clock => self.begin_clock(out),
            };
            if began {
                return true;
            }
        }
        false
    }

    /// Begins one of the repairs that come before anything else, if its row is there.
    fn begin_first_repair(&mut self, out: &mut Vec<Output>) -> bool {
        let keys: Vec<Key> = self.upkeep.repair_first.iter().cloned().collect();
        for key in keys {
            let is_it = |task: &Task| matches!(task, Task::Repair { key: k, .. } if *k == key);
            let Some(at) = self.tasks.iter().position(is_it) else {
                self.upkeep.repair_first.remove(&key);
                continue;
            };
            self.tasks.remove(at);
            if self.begin_repair(key, true, out) {
                return true;
            }
        }
        false
    }

    pub(super) fn task_done(&mut self, task: Task, out: &mut Vec<Output>) {
        match task {
            Task::Repair { key, counted } => {
                if counted {
                    event(Event::ViewRepaired { key }, out);
                }
            }
            Task::Join { peer, row } => self.joined(peer, row.key, out),
            Task::Joined { peer, .. } => self.snapshot_joined(peer, out),
            Task::Purge { keys } => {
                // A whole piece: there may be more.
                if keys.len() >= PIECE {
                    self.ask_due(out);
                }
                for _ in keys {
                    event(Event::Purged, out);
                }
            }
            Task::Collect { items } => {
                if items.len() >= PIECE {
                    self.ask_garbage(out);
                }
            }
            Task::Confirm { peer, snapshot, keys } => self.exchange.keys(peer, snapshot, keys, None),
            Task::Trim { .. } => self.tell_log_starts(),
            Task::Open
            | Task::Inspect { .. }
            | Task::Sweep { .. }
            | Task::Gone { .. }
            | Task::ReadRow { .. }
            | Task::Clock => {}
        }
    }

    /// What a load brought.
    pub(super) fn read(&mut self, reading: Reading, result: Result<Loaded, String>, out: &mut Vec<Output>) {
        match (reading, result) {
            (Reading::Due, result) => {
                self.upkeep.due_asked = false;
                if let Ok(Loaded::Due(due)) = result
                    && !due.is_empty()
                {
                    self.tasks.push_back(Task::Purge {
                        keys: due.into_iter().map(|(key, _)| key).collect(),
                    });
                }
            }
            (Reading::Expired, result) => {
                self.upkeep.expired_asked = false;
                if matches!(result, Ok(Loaded::Due(due)) if !due.is_empty()) {
                    self.tasks.push_back(Task::Clock);
                }
            }
            (Reading::Garbage, result) => {
                self.upkeep.garbage_asked = false;
                if let Ok(Loaded::Garbage(items)) = result
                    && !items.is_empty()
                {
                    let items = items.into_iter().map(|(item, _)| item).collect();
                    self.tasks.push_back(Task::Collect { items });
                }
            }
            (Reading::Sweep { peer, v0 }, Ok(Loaded::Keys { keys, cursor })) => {
                self.swept(peer, v0, keys, cursor);
            }
            (Reading::Sweep { peer, v0 }, _) => {
                self.tasks.push_back(Task::Sweep {
                    peer,
                    v0,
                    cursor: Vec::new(),
                });
                self.wake(self.now.monotonic_ms + EVERY_MS, out);
            }
            (Reading::SnapshotKeys { peer, snapshot }, result) => self.snapshot_keys(peer, snapshot, result),
            (Reading::Log { peer, origin, from }, result) => {
                match result {
                    Ok(Loaded::Log(records)) => self.exchange.loaded_log(peer, origin, from, records),
                    // That says nothing of what the log holds.
                    Ok(_) | Err(_) => self.exchange.log_failed(peer, origin, from),
                }
            }
            (Reading::Reply { id }, Ok(Loaded::Reply(kept))) => self.reply_loaded(id, kept),
            (Reading::Reply { .. }, _) => self.wake(self.now.monotonic_ms + EVERY_MS, out),
        }
    }

    fn begin_repair(&mut self, key: Key, counted: bool, out: &mut Vec<Output>) -> bool {
        if !self.whole_row(&key, out) {
            self.tasks.push_back(Task::Repair { key, counted });
            return false;
        }
        self.upkeep.repair_first.remove(&key);
        let now_ms = self.expiry_now();
        let mut draft = Draft::new(&self.next, now_ms);
        if let Some(row) = self.cache.row(&key) {
            draft.views.push(repaired_view(&key, row, now_ms));
        }
        self.begin_commit(
            draft,
            Work::Task {
                task: Task::Repair { key, counted },
            },
            out,
        )
    }

    fn begin_inspect(&mut self, key: Key, elements: bool, id: RequestId, out: &mut Vec<Output>) -> bool {
        if let Some(reason) = self.rows.damaged.get(&key) {
            let error = RequestError::Damaged {
                reason: reason.clone(),
            };
            out.push(Output::Inspected {
                id,
                result: Err(error),
            });
            return true;
        }
        let loaded = if elements {
            self.whole_row(&key, out)
        } else {
            self.has_header(&key, out)
        };
        // What a commit in flight changed is shown once it is done.
        if !loaded || self.cache.is_pinned(&key, self.done.batch) {
            self.tasks.push_back(Task::Inspect { key, elements, id });
            return false;
        }
        if let Some(row) = self.cache.row(&key) {
            out.push(Output::Inspected {
                id,
                result: Ok(Box::new(row.clone())),
            });
        }
        true
    }

    fn has_header(&mut self, key: &Key, out: &mut Vec<Output>) -> bool {
        self.rows.keep(key);
        if self.cache.row(key).is_some() {
            return true;
        }
        self.want(Want::header(key), out);
        false
    }

    fn has_elements(&mut self, key: &Key, elements: &[ElementId]) -> bool {
        self.rows.keep(key);
        let row = self.cache.row(key);
        row.is_some_and(|row| elements.iter().all(|id| row.has_loaded(id)))
    }

    fn begin_purge(&mut self, keys: Vec<Key>, out: &mut Vec<Output>) -> bool {
        let mut loaded = true;
        for key in &keys {
            loaded &= self.has_header(key, out);
        }
        if !loaded {
            self.tasks.push_back(Task::Purge { keys });
            return false;
        }
        let (watermark, stable) = (self.exchange.watermark_ms(), self.exchange.stable_batch());
        let mut draft = Draft::new(&self.next, self.expiry_now());
        draft.freeing = true;
        let mut layer = Layer::default();
        let mut purged = Vec::new();
        for key in keys {
            let Some(row) = self.cache.row_mut(&key) else {
                continue;
            };
            let expired = row.header.expiry().is_some_and(|at| at <= watermark);
            // What the region had applied when the key was last changed must be stable: an entry still on its way
            // may prolong its life, or be scoped by it.
            if expired && BatchId(row.summary.changed) <= stable && row.header.ahead.is_empty() {
                let touched = layer.record(&key, row);
                row.purge(touched);
                purged.push(key);
            }
        }
        draft.take(None, layer);
        self.members_stored = false;
        self.begin_commit(
            draft,
            Work::Task {
                task: Task::Purge { keys: purged },
            },
            out,
        )
    }

    fn begin_collect(&mut self, items: Vec<GarbageItem>, out: &mut Vec<Output>) -> bool {
        let mut loaded = true;
        for item in &items {
            let elements: Vec<_> = item.element.iter().cloned().collect();
            let has = self.has_elements(&item.key, &elements);
            if !has {
                loaded = false;
                self.want(Want::elements(&item.key, elements), out);
            }
        }
        if !loaded {
            self.tasks.push_back(Task::Collect { items });
            return false;
        }
        let (stable, stable_batch) = (self.exchange.stable(), self.exchange.stable_batch());
        let mut draft = Draft::new(&self.next, self.expiry_now());
        draft.freeing = true;
        draft.anyway = true;
        let mut layer = Layer::default();
        for item in &items {
            let Some(row) = self.cache.row_mut(&item.key) else {
                continue;
            };
            let before = (
                row.header.clone(),
                row.element(item.element.as_ref().unwrap_or(&no_element()))
                    .cloned(),
            );
            let recorded = layer.rows.contains_key(&item.key);
            let touched = layer.record(&item.key, row);
            let exchange = &self.exchange;
            row.collect(
                item.element.as_ref(),
                stable,
                |owner, dot| exchange.owner_has_seen(owner, dot),
                touched,
            );
            row.header.ahead.forget(&self.next.vector);
            if BatchId(row.summary.changed) <= stable_batch && row.header.ahead.is_empty() {
                row.collect_leftovers();
            }
            let after = (
                row.header.clone(),
                row.element(item.element.as_ref().unwrap_or(&no_element()))
                    .cloned(),
            );
            let left = item.element.as_ref().map_or_else(
                || row.header.has_garbage() || !row.header.ahead.is_empty(),
                |id| row.element(id).is_some_and(cartograph_crdt::Element::has_garbage),
            );
            if before == after {
                // Untouched, so that its age still counts for purging; unless by another item of the same key.
                if !recorded {
                    layer.rows.remove(&item.key);
                }
                // Stability may have fallen since the index was read: a member joined, or was rolled back. Only what
                // waits for a closed owner waits long.
                let everything = &self.done.vector;
                let waits_for_owner = item
                    .element
                    .as_ref()
                    .and_then(|id| row.element(id))
                    .is_some_and(|e| {
                        let mut rest = e.clone();
                        rest.collect(everything, |owner, dot| exchange.owner_has_seen(owner, dot));
                        rest.has_garbage()
                    });
                let later = if waits_for_owner { LATER_BATCHES } else { 1 };
                let again = left.then_some(self.next.batch.0 + later);
                draft.indexes.garbage.push((item.clone(), again));
            } else {
                draft.indexes.garbage.push((item.clone(), None));
            }
        }
        draft.take(None, layer);
        // With what it relied on.
        self.members_stored = false;
        self.begin_commit(
            draft,
            Work::Task {
                task: Task::Collect { items },
            },
            out,
        )
    }

    fn begin_trim(&mut self, trims: Vec<(ReplicaId, u64)>, out: &mut Vec<Output>) -> bool {
        let mut draft = Draft::new(&self.next, self.expiry_now());
        draft.freeing = true;
        draft.anyway = true;
        for (origin, keep_from) in &trims {
            if *keep_from == u64::MAX {
                self.log.remove(origin);
            }
            if let Some(book) = self.log.get_mut(origin) {
                let held = (self.next.vector.get(*origin) + 1)
                    .saturating_sub(book.part.start)
                    .max(1);
                let kept = (self.next.vector.get(*origin) + 1).saturating_sub(*keep_from);
                book.part.bytes =
                    u64::try_from(u128::from(book.part.bytes) * u128::from(kept) / u128::from(held))
                        .unwrap_or(0);
                book.part.start = *keep_from;
            }
        }
        draft.indexes.trims.clone_from(&trims);
        self.put_log_starts(&mut draft);
        self.begin_commit(
            draft,
            Work::Task {
                task: Task::Trim { trims },
            },
            out,
        )
    }

    fn begin_confirm(
        &mut self,
        peer: RegionId,
        snapshot: SnapshotId,
        keys: Vec<Key>,
        out: &mut Vec<Output>,
    ) -> bool {
        let mut draft = Draft::new(&self.next, self.expiry_now());
        draft.anyway = true;
        let task = Task::Confirm { peer, snapshot, keys };
        self.begin_commit(draft, Work::Task { task }, out)
    }

    fn begin_clock(&mut self, out: &mut Vec<Output>) -> bool {
        let mut draft = Draft::new(&self.next, self.expiry_now());
        draft.anyway = true;
        self.begin_commit(draft, Work::Task { task: Task::Clock }, out)
    }

    // -- the log's book

    /// Writes down what was appended.
    pub(super) fn book(&mut self, log: &[LogAppend]) {
        for append in log {
            let book = self.log.entry(append.origin).or_default();
            if book.part.start == 0 {
                book.part.start = append.first;
            }
            book.part.bytes += append.record.len() as u64;
            let minute = self.now.monotonic_ms / 60_000;
            if book.times.back().is_none_or(|(at, _)| at / 60_000 < minute) {
                book.times
                    .push_back((self.now.monotonic_ms, append.first.saturating_sub(1)));
            }
        }
    }

    /// Takes back what was written down for a commit that failed.
    pub(super) fn unbook(&mut self, log: &[LogAppend]) {
        for append in log {
            if let Some(book) = self.log.get_mut(&append.origin) {
                book.part.bytes = book.part.bytes.saturating_sub(append.record.len() as u64);
                if book.part.start == append.first {
                    book.part.start = 0;
                }
            }
        }
    }

    pub(super) fn put_log_starts(&self, draft: &mut Draft) {
        let parts: BTreeMap<ReplicaId, LogPart> = self.log.iter().map(|(r, b)| (*r, b.part)).collect();
        if let Ok(bytes) = head::encode(&parts) {
            draft.head.insert(HeadField::LogStarts, bytes);
        }
    }

    /// Must this commit write the log's book down?
    pub(super) fn is_booking_due(&self, batch: BatchId, log: &[LogAppend]) -> bool {
        let new = |a: &LogAppend| self.log.get(&a.origin).is_none_or(|b| b.part.start == a.first);
        batch.0.is_multiple_of(BOOK_EVERY) || log.iter().any(new)
    }

    pub(super) fn tell_log_starts(&mut self) {
        let starts = self
            .log
            .iter()
            .filter(|(_, b)| b.part.start > 0)
            .map(|(r, b)| (*r, b.part.start))
            .collect();
        self.exchange.set_log_starts(&starts);
    }

    /// Bytes in the log, about.
    pub(super) fn log_bytes(&self) -> u64 {
        self.log.values().map(|b| b.part.bytes).sum()
    }

    /// What the log may lose: what everyone has, except the last entries and the last hour; more where it is over its
    /// cap, whoever still needs it.
    fn plan_trims(&mut self) {
        if self.tasks.iter().any(|t| matches!(t, Task::Trim { .. })) {
            return;
        }
        let over = self.log_bytes().saturating_sub(self.config.limits.log_bytes_max);
        let total = self.log_bytes().max(1);
        let pins = self.exchange.pins();
        let mut trims = Vec::new();
        let age = self.config.limits.log_age_min_ms;
        let now = self.now.monotonic_ms;
        for (origin, book) in &mut self.log {
            let last = self.done.vector.get(*origin);
            let start = book.part.start;
            if last == RETIRED {
                trims.push((*origin, u64::MAX));
                continue;
            }
            if start == 0 || last < start {
                continue;
            }
            while book.times.get(1).is_some_and(|(at, _)| at + age <= now) {
                book.times.pop_front();
            }
            let aged = book
                .times
                .front()
                .filter(|(at, _)| at + age <= now)
                .map_or(0, |(_, seq)| *seq);
            let everyone = self.exchange.lowest_acknowledged(*origin);
            let spare = last.saturating_sub(self.config.limits.log_entries_min);
            let mut floor = everyone.min(spare).min(aged);
            if over > 0 {
                // Its share of what is too much, and a tenth more.
                let held = last + 1 - start;
                let share = u128::from(held) * u128::from(over) * 11 / 10 / u128::from(total);
                floor = floor.max(start - 1 + u64::try_from(share).unwrap_or(held).min(held));
            }
            if let Some(pin) = &pins {
                floor = floor.min(pin.get(*origin));
            }
            let slack = if over > 0 { 1 } else { 256 };
            if floor + 1 >= start + slack {
                trims.push((*origin, floor + 1));
            }
        }
        if !trims.is_empty() {
            self.tasks.push_back(Task::Trim { trims });
        }
    }
}

fn no_element() -> cartograph_crdt::ElementId {
    cartograph_crdt::ElementId::string()
}
