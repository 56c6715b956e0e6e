//! Commits in flight: making them, and what becomes of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use cartograph_crdt::{ReplicaId, VersionVector};
use cartograph_replica::entry::encode_record;
use cartograph_replica::{
    BatchId, Commit, Entry, Fence, HeadField, IndexChanges, Key, LogAppend, Outcome, ViewChange,
};

use super::local::{Retry, Waiting};
use super::upkeep::Task;
use super::{Shard, Standing, Tip, event, reply_error};
use crate::api::{Done, Event, Output, RequestError};
use crate::batch::{Writes, writes};
use crate::command::Reply;
use crate::head::{self, Clocks};
use crate::writer::Layer;

/// Why nothing is taken while another owner has the store.
pub(super) const USURPED: &str = "another node has taken this region's store over";

/// How long to wait after the store refused a commit, in milliseconds.
const REFUSED_PAUSE_MS: u64 = 100;

/// A commit being put together.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) tip: Tip,
    pub(super) entries: Vec<Entry>,
    pub(super) layer: Layer,
    pub(super) indexes: IndexChanges,
    pub(super) views: Vec<ViewChange>,
    pub(super) head: BTreeMap<HeadField, Vec<u8>>,
    pub(super) freeing: bool,
    /// Commit even if nothing of the above is there.
    pub(super) anyway: bool,
}

impl Draft {
    pub(super) fn new(next: &Tip, now_ms: u64) -> Self {
        let mut tip = next.clone();
        tip.expiry_ms = tip.expiry_ms.max(now_ms);
        Draft {
            tip,
            entries: Vec::new(),
            layer: Layer::default(),
            indexes: IndexChanges::default(),
            views: Vec::new(),
            head: BTreeMap::new(),
            freeing: false,
            anyway: false,
        }
    }

    /// Adds an own entry and what it touched.
    pub(super) fn take(&mut self, entry: Option<Entry>, layer: Layer) {
        self.layer.extend(layer);
        if let Some(entry) = entry {
            self.tip.sequence = entry.sequence.get();
            self.tip.hlc = entry.hlc;
            self.tip.vector.raise(entry.replica, entry.sequence.get());
            self.entries.push(entry);
        }
    }

    /// Keeps a reply for retries, in the same commit.
    pub(super) fn keep_reply(&mut self, key: Vec<u8>, reply: Vec<u8>, age_ms: u64) {
        if !reply.is_empty() {
            self.indexes.replies.push((key, reply, age_ms));
        }
    }

    /// Does this commit already hold a request with the same idempotency key?
    pub(super) fn keeps_reply_of(&self, request: &crate::api::Request) -> bool {
        let key = request.idempotency_key.as_ref();
        key.is_some_and(|key| self.indexes.replies.iter().any(|(kept, _, _)| kept == key))
    }

    fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.layer.rows.is_empty() && self.views.is_empty() && !self.anyway
    }
}

/// What a commit is about, so that it can be done again, or answered.
#[derive(Debug)]
pub(super) enum Work {
    /// Requests and their replies.
    Local { requests: Vec<(Waiting, Vec<Reply>)> },
    /// A write of the product's own.
    System { write: super::members::SystemWrite },
    /// Peers' entries.
    Remote { entries: Vec<Entry> },
    /// Upkeep.
    Task { task: Task },
}

/// A commit that the store has been given.
#[derive(Debug)]
pub(super) struct InFlight {
    pub(super) commit: Box<Commit>,
    pub(super) work: Work,
    pub(super) tip: Tip,
    started_ms: u64,
    entries: usize,
    /// Requests that changed nothing but saw what this commit does.
    pub(super) extra: Vec<(Waiting, Vec<Reply>)>,
    /// Rows to hand to a snapshot's receiver once this is done.
    pub(super) readers: Vec<super::snapshot::RowRead>,
}

impl InFlight {
    pub(super) fn requests(&self) -> &[(Waiting, Vec<Reply>)] {
        match &self.work {
            Work::Local { requests } => requests,
            Work::System { .. } | Work::Remote { .. } | Work::Task { .. } => &[],
        }
    }
}

impl Shard {
    /// Gives a draft to the store. Tells whether something was begun or answered.
    pub(super) fn begin_commit(&mut self, draft: Draft, work: Work, out: &mut Vec<Output>) -> bool {
        if draft.is_empty() {
            return self.answer_unchanged(work, out);
        }
        let batch = self.next.batch.next();
        match self.assemble(draft, batch) {
            Ok((commit, tip, entries, saturated)) => {
                if saturated > 0 {
                    event(Event::Saturated, out);
                }
                out.push(Output::Commit(commit.clone()));
                self.next = tip.clone();
                self.in_flight.push_back(InFlight {
                    commit,
                    work,
                    tip,
                    started_ms: self.now.monotonic_ms,
                    entries,
                    extra: Vec::new(),
                    readers: Vec::new(),
                });
                true
            }
            Err(reason) => {
                // An element has outgrown what can be stored. The rows in memory are ahead of the store now.
                // Commits in flight go on: the claim tells what became of them.
                self.give_up(work, &reason, out);
                self.dirty = true;
                self.lose_store(out);
                true
            }
        }
    }

    /// Requests that changed nothing are answered once everything that they saw is committed.
    fn answer_unchanged(&mut self, work: Work, out: &mut Vec<Output>) -> bool {
        let Work::Local { requests } = work else {
            return false;
        };
        if requests.is_empty() {
            return false;
        }
        if let Some(last) = self.in_flight.back_mut() {
            last.extra.extend(requests);
        } else {
            let vector = self.vector();
            answer(requests, &vector, out);
        }
        true
    }

    fn assemble(
        &mut self,
        mut draft: Draft,
        batch: BatchId,
    ) -> Result<(Box<Commit>, Tip, usize, usize), String> {
        let text = |e: cartograph_crdt::codec::Error| e.to_string();
        let now_ms = draft.tip.expiry_ms;
        let layer = std::mem::take(&mut draft.layer);
        let written = writes(layer, &mut self.cache, &mut self.table, batch, now_ms).map_err(text)?;
        let Writes {
            guards,
            metadata,
            views,
            indexes,
            digests,
            keys,
            saturated,
            system,
        } = written;
        for (bucket, grows) in digests {
            if let Some(digest) = draft.tip.digests.get_mut(usize::from(bucket)) {
                *digest = digest.wrapping_add(grows);
                draft
                    .head
                    .insert(HeadField::Digest(bucket), head::encode(digest).map_err(text)?);
            }
        }
        if keys != 0 {
            draft.tip.keys = draft.tip.keys.saturating_add_signed(keys);
            draft
                .head
                .insert(HeadField::Keys, head::encode(&draft.tip.keys).map_err(text)?);
        }
        let log = log_appends(&draft.entries)?;
        self.book(&log);
        if system {
            self.read_members();
        }
        self.fold_retired(&mut draft.tip.vector);
        if draft.tip.vector != self.next.vector {
            draft
                .head
                .insert(HeadField::Vector, head::encode(&draft.tip.vector).map_err(text)?);
        }
        let clocks = Clocks {
            hlc: draft.tip.hlc,
            expiry_ms: draft.tip.expiry_ms,
        };
        draft
            .head
            .insert(HeadField::Clocks, head::encode(&clocks).map_err(text)?);
        if system || !self.members_stored {
            self.members_stored = true;
            self.members.relied.clone_from(self.exchange.relied());
            draft
                .head
                .insert(HeadField::Members, head::encode(&self.members).map_err(text)?);
        }
        if self.table.ids().len() != self.table_stored {
            self.table_stored = self.table.ids().len();
            let ids: Vec<ReplicaId> = self.table.ids().to_vec();
            draft
                .head
                .insert(HeadField::Replicas, head::encode(&ids).map_err(text)?);
        }
        draft.indexes.due.extend(indexes.due);
        draft.indexes.garbage.extend(indexes.garbage);
        let mut all_views = views;
        all_views.append(&mut draft.views);
        if self.is_booking_due(batch, &log) {
            self.put_log_starts(&mut draft);
        }
        draft.tip.batch = batch;
        let entries = draft.entries.len();
        let commit = Commit {
            shard: self.config.shard,
            fence: self.fence,
            batch,
            sequence_before: self.next.sequence,
            sequence_after: draft.tip.sequence,
            guards,
            metadata,
            views: all_views,
            log,
            indexes: draft.indexes,
            head: draft.head,
            freeing: draft.freeing,
        };
        Ok((Box::new(commit), draft.tip, entries, saturated))
    }

    /// A commit's outcome.
    pub(super) fn outcome(&mut self, batch: BatchId, outcome: Outcome, out: &mut Vec<Output>) {
        if self.ignored > 0 {
            self.ignored -= 1;
            if matches!(outcome, Outcome::Unknown { .. }) {
                self.lose_store(out);
            }
            return;
        }
        if self.in_flight.front().is_none_or(|f| f.commit.batch != batch) {
            // From before a claim; whatever it was, the claim has read the head since.
            return;
        }
        match outcome {
            Outcome::Committed => {
                if let Some(flight) = self.in_flight.pop_front() {
                    self.committed(flight, out);
                }
            }
            Outcome::ViewMismatch { keys, time_ms } => self.mismatch(keys, time_ms),
            Outcome::Refused { reason } => self.refused(&reason, out),
            Outcome::Fenced { fence, .. } => self.fenced(fence, out),
            Outcome::Unknown { .. } => self.lose_store(out),
        }
    }

    pub(super) fn committed(&mut self, flight: InFlight, out: &mut Vec<Output>) {
        self.done = flight.tip;
        self.fresh = false;
        if !flight.commit.freeing {
            self.upkeep.refusal = None;
        }
        self.upkeep.refused_last = false;
        let vector = Arc::new(self.done.vector.clone());
        self.exchange
            .committed(&flight.commit.log, &vector, self.now.wall_ms);
        self.exchange.set_watermark(self.done.expiry_ms);
        self.exchange.checkpoint(self.done.batch, &vector);
        self.tell_retired(out);
        if !self.ahead.is_empty() && self.joining.is_none() {
            // What rows of a snapshot were ahead of is caught up with: this region may serve snapshots again.
            let caught_up = vector.dominates(&self.ahead);
            self.exchange.set_ahead(!caught_up);
            if caught_up {
                self.ahead = VersionVector::new();
            }
        }
        if self.standing == Standing::Owner {
            let took_ms = self.now.monotonic_ms.saturating_sub(flight.started_ms);
            let requests = match &flight.work {
                Work::Local { requests } => requests.len(),
                Work::System { .. } | Work::Remote { .. } | Work::Task { .. } => 0,
            };
            event(
                Event::Committed {
                    requests,
                    entries: flight.entries,
                    took_ms,
                },
                out,
            );
        }
        match flight.work {
            Work::Local { requests } => answer(requests, &vector, out),
            Work::System { write } => self.system_done(&write, out),
            Work::Remote { entries } => self.remote_done(&entries, out),
            Work::Task { task } => self.task_done(task, out),
        }
        answer(flight.extra, &vector, out);
        self.rows_read(flight.readers, &vector);
    }

    /// Views were not what they should have been.
    fn mismatch(&mut self, keys: Vec<Key>, time_ms: u64) {
        self.now.store_ms = self.now.store_ms.max(time_ms);
        let retried = self.upkeep.mismatched.clone();
        let (mut again, mut damaged) = (super::Keys::new(), Vec::new());
        for key in keys {
            // A view that expired in between is no damage, the first time: evaluate again with the clock just read.
            let expired = self
                .cache
                .row(&key)
                .is_some_and(|row| row.header.expiry().is_some());
            if expired && !retried.contains(&key) {
                again.insert(key);
            } else {
                self.upkeep.repair_first.insert(key.clone());
                damaged.push(key);
            }
        }
        self.upkeep.mismatched = again;
        let later = self.in_flight.len().saturating_sub(1);
        self.fall_back(later);
        // In front of what failed, or that would fail again before its view is mended, and so on for ever.
        for key in damaged {
            self.tasks.push_front(Task::Repair { key, counted: true });
        }
    }

    /// The store refused, and wrote nothing.
    fn refused(&mut self, reason: &str, out: &mut Vec<Output>) {
        let later = self.in_flight.len().saturating_sub(1);
        if let Some(flight) = self.in_flight.front_mut()
            && let Work::Local { requests } = &mut flight.work
        {
            for (waiting, _) in requests.drain(..) {
                let reason = reason.to_owned();
                reply_error(waiting.id, RequestError::StoreRefused { reason }, out);
            }
        }
        self.paused_until_ms = self.now.monotonic_ms + REFUSED_PAUSE_MS;
        self.upkeep.refusal = Some(reason.to_owned());
        self.wake(self.paused_until_ms, out);
        self.fall_back(later);
        self.upkeep.refused_last = true;
    }

    fn fenced(&mut self, fence: Fence, out: &mut Vec<Output>) {
        // Ours and yet not the commit that the head expects: the claim reads it anew.
        if fence > self.fence {
            self.step_down(out);
        }
        self.lose_store(out);
    }

    /// Another owner has the store, perhaps for long. Nobody can say whether what was in flight was done before; what
    /// only waits here will not be.
    fn step_down(&mut self, out: &mut Vec<Output>) {
        self.usurped = true;
        let mut waiting: Vec<Waiting> = self.queue.drain(..).collect();
        for flight in self.in_flight.drain(..) {
            if let Work::Local { requests } = flight.work {
                for (waiting, _) in requests {
                    reply_error(waiting.id, RequestError::Unknown, out);
                }
            }
            waiting.extend(flight.extra.into_iter().map(|(waiting, _)| waiting));
        }
        for waiting in waiting {
            let reason = USURPED.to_owned();
            reply_error(waiting.id, RequestError::NotReady { reason }, out);
        }
    }

    /// Nothing is known of the store until it is claimed again. Commits in flight stay as they are: the head will say
    /// which of them were done.
    fn lose_store(&mut self, out: &mut Vec<Output>) {
        if self.standing == Standing::Owner {
            self.standing = Standing::Unclaimed;
            out.push(Output::Claim);
        }
        self.ignored = 0;
    }

    /// Takes everything in flight back into the queue, in order, and forgets what was built on it. `later` outcomes of
    /// commits that must fail are still to come.
    pub(super) fn fall_back(&mut self, later: usize) {
        self.ignored = later;
        self.next = self.done.clone();
        // What a commit that failed had said is said again.
        let done = &self.done.vector;
        self.members.retired.retain(|r| done.covers(&r.dot));
        self.cache.clear();
        self.rows.forget();
        self.table_stored = 0;
        self.members_stored = false;
        let flights: Vec<InFlight> = self.in_flight.drain(..).collect();
        for flight in flights.into_iter().rev() {
            for (waiting, _) in flight.extra.into_iter().rev() {
                self.queue.push_front(Waiting {
                    retry: Retry::Unknown,
                    ..waiting
                });
            }
            self.unbook(&flight.commit.log);
            match flight.work {
                Work::Local { requests } => {
                    for (waiting, _) in requests.into_iter().rev() {
                        self.queue.push_front(Waiting {
                            retry: Retry::Unknown,
                            ..waiting
                        });
                    }
                }
                Work::System { write } => self.system.push_front(write),
                Work::Remote { entries } => {
                    for entry in entries.into_iter().rev() {
                        self.remote.push_front(entry);
                    }
                }
                Work::Task { task } => self.tasks.push_front(task),
            }
            for read in flight.readers {
                self.tasks.push_front(read.task());
            }
        }
    }

    fn give_up(&mut self, work: Work, reason: &str, out: &mut Vec<Output>) {
        let Work::Local { requests } = work else {
            event(
                Event::Damaged {
                    key: Vec::new(),
                    reason: reason.to_owned(),
                },
                out,
            );
            self.paused_until_ms = self.now.monotonic_ms + 1_000;
            return;
        };
        for (waiting, _) in requests {
            let reason = reason.to_owned();
            reply_error(waiting.id, RequestError::Damaged { reason }, out);
        }
    }
}

fn answer(requests: Vec<(Waiting, Vec<Reply>)>, vector: &Arc<VersionVector>, out: &mut Vec<Output>) {
    for (waiting, mut replies) in requests {
        let single = waiting.request.commands.len() == 1;
        let result = match replies.pop() {
            Some(Reply::Error(error)) if single => Err(RequestError::Refused(error)),
            last => {
                replies.extend(last);
                Ok(Done {
                    replies,
                    vector: Arc::clone(vector),
                })
            }
        };
        out.push(Output::Reply {
            id: waiting.id,
            result,
        });
    }
}

/// One record an origin.
fn log_appends(entries: &[Entry]) -> Result<Vec<LogAppend>, String> {
    let mut by_origin: BTreeMap<ReplicaId, Vec<Entry>> = BTreeMap::new();
    for entry in entries {
        by_origin.entry(entry.replica).or_default().push(entry.clone());
    }
    let append = |(origin, entries): (ReplicaId, Vec<Entry>)| {
        let first = entries.first().map_or(0, |e| e.sequence.get());
        let last = entries.last().map_or(0, |e| e.sequence.get());
        let record = encode_record(&entries).map_err(|e| e.to_string())?;
        Ok(LogAppend {
            origin,
            first,
            last,
            record,
        })
    };
    by_origin.into_iter().map(append).collect()
}
