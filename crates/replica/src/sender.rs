//! Sending to one peer: what it gets, when, and how much at once.
//!
//! A sender lives as long as the stream that we dialled. It begins at the vector in the peer's welcome and sends
//! *optimistically*: `sent` runs ahead of what the peer has acknowledged, by at most a window of bytes. Own entries (of
//! every incarnation of our region) go at once. The stream itself loses nothing while it is up; what the peer's full
//! park dropped, it asks for again.
//!
//! # Relay
//! Another region's entries reach the peer on that region's own stream. Only when the peer *lacks* some that we have,
//! and its count of that origin has made no progress for a while, we relay, from its count on. Progress that we did not
//! cause ends the relay: the direct link is back. So does catching up, and a burst's end, lest two streams carry
//! everything twice for ever.
//!
//! # The window cannot deadlock
//! The peer acknowledges what it has *applied*. Were the window full of entries that wait for one which is still to be
//! relayed, nothing would ever be acknowledged. So an origin with nothing in flight may always send one record: the
//! causally first entry that the peer lacks is the next of its origin, hence it is in flight or may be sent. It is the
//! sending half of the invariant of [`crate::delivery`].
//!
//! # Snapshot instead of log
//! The log cannot help when what the peer needs lies below our log's start, for our own entries at once, for another
//! region's when they would have to be relayed; nor when the peer does not cover what our garbage collection has relied
//! on (it was rolled back or wiped): something that it must hear of is forgotten here; nor when it lacks entries of a
//! replica that is retired here. Then it is sent rows first
//! ([`crate::snapshot`]), and nothing else until they are joined, unless only relayed entries are missing.

use std::collections::{BTreeMap, VecDeque};

use cartograph_crdt::{RegionId, ReplicaId, VersionVector};

use crate::entry::decode_record;
use crate::exchange::{Action, Config, SnapshotId};
use crate::message::{Echo, Message, Report};
use crate::recent::{Found, Recent};
use crate::snapshot::Serving;
use crate::stability::Stability;

/// What a sender may look at.
pub(crate) struct Context<'a> {
    pub(crate) config: &'a Config,
    pub(crate) me: ReplicaId,
    pub(crate) own: &'a VersionVector,
    pub(crate) recent: &'a Recent,
    pub(crate) log_starts: &'a BTreeMap<ReplicaId, u64>,
    pub(crate) stability: &'a Stability,
    pub(crate) finals: &'a BTreeMap<ReplicaId, u64>,
    /// May a snapshot be served? Then the id that it would have.
    pub(crate) may_serve: Option<SnapshotId>,
    pub(crate) report: &'a Report,
    pub(crate) echo: Option<Echo>,
}

impl Context<'_> {
    /// The lowest sequence of `origin` that our log still holds.
    fn log_start(&self, origin: ReplicaId) -> u64 {
        let nothing = self.own.get(origin) + 1;
        self.log_starts.get(&origin).copied().unwrap_or(nothing)
    }
}

/// Why a peer must be sent rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Need {
    /// It need not.
    Nothing,
    /// It lacks another region's entries, nobody sends them, and our log does not reach back to them.
    Relayed,
    /// It lacks entries of ours that our log does not hold.
    Own,
    /// It does not cover what our garbage collection has relied on, or lacks entries of a replica that is retired here.
    RolledBack,
}

/// What the peer lacks of one other region's entries.
#[derive(Clone, Debug)]
struct Relay {
    /// The peer's count when last looked at.
    count: u64,
    /// Since when there was no progress.
    since_ms: u64,
    /// Since when we relay.
    active_ms: Option<u64>,
    /// How far we have relayed: progress up to there is our doing.
    relayed: u64,
}

/// Sends to one peer.
#[derive(Debug)]
pub(crate) struct Sender {
    peer: RegionId,
    replica: ReplicaId,
    /// What the peer has said, on this stream or its own, that it has applied.
    peer_vector: VersionVector,
    sent: BTreeMap<ReplicaId, u64>,
    /// Records in flight: last sequence and bytes.
    flight: BTreeMap<ReplicaId, VecDeque<(u64, usize)>>,
    flight_bytes: usize,
    relays: BTreeMap<ReplicaId, Relay>,
    loading: Option<(ReplicaId, u64)>,
    /// The store failed a load: none before this.
    load_ms: u64,
    serving: Option<Serving>,
    /// No snapshot before this.
    retry_ms: u64,
    heartbeat_ms: u64,
    batch: Vec<Vec<u8>>,
    batch_bytes: usize,
    outbox: Vec<Message>,
}

impl Sender {
    /// Begins where the peer's welcome says that it stands.
    pub(crate) fn new(welcome: &Report) -> Sender {
        Sender {
            peer: welcome.region(),
            replica: welcome.replica,
            peer_vector: welcome.vector.clone(),
            sent: welcome.vector.iter().collect(),
            flight: BTreeMap::new(),
            flight_bytes: 0,
            relays: BTreeMap::new(),
            loading: None,
            load_ms: 0,
            serving: None,
            retry_ms: 0,
            heartbeat_ms: 0,
            batch: Vec::new(),
            batch_bytes: 0,
            outbox: Vec::new(),
        }
    }

    /// The peer said what it has applied.
    pub(crate) fn reported(&mut self, report: &Report) {
        if report.replica.incarnation < self.replica.incarnation {
            return;
        }
        if report.replica != self.replica {
            self.replica = report.replica;
            self.restart(report.vector.clone());
            return;
        }
        self.peer_vector.join(&report.vector);
        for (origin, count) in report.vector.iter() {
            self.landed(origin, count);
        }
    }

    /// Nothing of `origin` up to `count` is in flight any more.
    fn landed(&mut self, origin: ReplicaId, count: u64) {
        let Some(flight) = self.flight.get_mut(&origin) else {
            return;
        };
        while let Some((_, bytes)) = flight.pop_front_if(|(last, _)| *last <= count) {
            self.flight_bytes -= bytes;
        }
        if flight.is_empty() {
            self.flight.remove(&origin);
        }
    }

    /// The peer dropped something: send again from here. What is being relayed goes on being relayed, or a peer that
    /// drops often would wait for the relay each time.
    pub(crate) fn resend(&mut self, vector: VersionVector) {
        if self.serving.is_none() {
            let relays = std::mem::take(&mut self.relays);
            self.restart(vector);
            self.relays = relays;
        }
    }

    fn restart(&mut self, vector: VersionVector) {
        self.sent = vector.iter().collect();
        self.peer_vector = vector;
        self.flight.clear();
        self.flight_bytes = 0;
        self.relays.clear();
        self.loading = None;
    }

    fn sent(&self, origin: ReplicaId) -> u64 {
        let sent = self.sent.get(&origin).copied().unwrap_or(0);
        sent.max(self.peer_vector.get(origin))
    }

    /// What there is to send now.
    pub(crate) fn poll(&mut self, context: &Context<'_>, now_ms: u64) -> Vec<Action> {
        let mut loads = Vec::new();
        if self.heartbeat_due(now_ms) {
            self.heartbeat_ms = now_ms + context.config.idle_ms;
            let mut report = context.report.clone();
            report.echo = context.echo;
            self.outbox.push(Message::Heartbeat { report });
        }
        // A deadline that has passed is no reason to be woken again.
        if now_ms >= self.retry_ms {
            self.retry_ms = 0;
        }
        if now_ms >= self.load_ms {
            self.load_ms = 0;
        }
        if self.serving.is_none() {
            self.watch_relays(context, now_ms);
            let need = self.need(context);
            match (need, context.may_serve) {
                (Need::Relayed | Need::Own | Need::RolledBack, Some(id)) if now_ms >= self.retry_ms => {
                    self.serve(id, context.own);
                }
                (Need::Nothing | Need::Relayed, _) => self.send_entries(context, &mut loads),
                (Need::Own | Need::RolledBack, _) => {}
            }
        }
        if let Some(serving) = &mut self.serving {
            serving.poll(self.peer, context.config, &mut self.outbox, &mut loads);
        }
        self.flush();
        let peer = self.peer;
        let sends = self
            .outbox
            .drain(..)
            .map(|message| Action::Send { peer, message });
        loads.extend(sends);
        loads
    }

    /// Is it time for a report?
    pub(crate) fn heartbeat_due(&self, now_ms: u64) -> bool {
        now_ms >= self.heartbeat_ms
    }

    fn need(&self, context: &Context<'_>) -> Need {
        if let Some(relied) = context.stability.relied_on(self.peer) {
            let latest = context.stability.latest(self.peer);
            let latest = latest.filter(|(replica, _)| *replica == self.replica);
            let known = |origin| {
                let latest = latest.map_or(0, |(_, vector)| vector.get(origin));
                latest.max(self.peer_vector.get(origin))
            };
            // What we have lost ourselves we cannot bring back to anyone.
            let lost = |(origin, n): (ReplicaId, u64)| n.min(context.own.get(origin)) > known(origin);
            if relied.iter().any(lost) {
                return Need::RolledBack;
            }
        }
        if context
            .own
            .floors()
            .any(|floor| self.lacks_retired(floor, context))
        {
            return Need::RolledBack;
        }
        let mut need = Need::Nothing;
        for (origin, have) in context.own.counted() {
            let count = self.peer_vector.get(origin);
            let beyond_log = have > count && count + 1 < context.log_start(origin);
            if !beyond_log {
                continue;
            }
            if origin.region == context.me.region {
                return Need::Own;
            }
            if self.relays.get(&origin).is_some_and(|r| r.active_ms.is_some()) {
                need = Need::Relayed;
            }
        }
        need
    }

    /// Does the peer lack entries of replicas up to this floor? Nobody's log holds them any more. Having them all, it only
    /// has not heard yet that they are retired, and an entry will tell it.
    fn lacks_retired(&self, floor: ReplicaId, context: &Context<'_>) -> bool {
        if self.peer_vector.is_retired(floor) {
            return false;
        }
        let finals = context.finals.range(..=floor);
        let mut finals = finals.filter(|(life, _)| life.region == floor.region).peekable();
        finals.peek().is_none() || finals.any(|(life, n)| self.peer_vector.get(*life) < *n)
    }

    fn watch_relays(&mut self, context: &Context<'_>, now_ms: u64) {
        let config = context.config;
        let mut again = Vec::new();
        // After a rollback we may know less origins than before.
        let counted = |origin| context.own.get(origin) > 0 && !context.own.is_retired(origin);
        self.relays.retain(|origin, _| counted(*origin));
        for (origin, have) in context.own.counted() {
            if origin.region == context.me.region {
                continue;
            }
            let count = self.peer_vector.get(origin);
            if have <= count {
                self.relays.remove(&origin);
                continue;
            }
            let relay = self.relays.entry(origin).or_insert(Relay {
                count,
                since_ms: now_ms,
                active_ms: None,
                relayed: 0,
            });
            if relay.count != count {
                relay.count = count;
                if relay.active_ms.is_none() || count > relay.relayed {
                    relay.active_ms = None;
                    relay.since_ms = now_ms;
                }
            }
            match relay.active_ms {
                None if now_ms.saturating_sub(relay.since_ms) >= config.relay_delay_ms => {
                    relay.active_ms = Some(now_ms);
                    again.push((origin, count));
                }
                Some(since) if now_ms.saturating_sub(since) >= config.relay_burst_ms => {
                    relay.active_ms = None;
                    relay.since_ms = now_ms;
                }
                Some(_) | None => {}
            }
        }
        for (origin, count) in again {
            self.landed(origin, u64::MAX);
            self.sent.insert(origin, count);
        }
    }

    fn send_entries(&mut self, context: &Context<'_>, loads: &mut Vec<Action>) {
        let own = context.own.counted().map(|(origin, _)| origin);
        let own: Vec<ReplicaId> = own.filter(|o| o.region == context.me.region).collect();
        for origin in own {
            self.send_origin(origin, context, loads);
        }
        let active = self.relays.iter().filter(|(_, relay)| relay.active_ms.is_some());
        let active: Vec<ReplicaId> = active.map(|(origin, _)| *origin).collect();
        for origin in active {
            self.send_origin(origin, context, loads);
            let sent = self.sent(origin);
            if let Some(relay) = self.relays.get_mut(&origin) {
                relay.relayed = relay.relayed.max(sent);
            }
        }
    }

    /// Sends what there is of one origin, as far as the window lets.
    fn send_origin(&mut self, origin: ReplicaId, context: &Context<'_>, loads: &mut Vec<Action>) {
        let config = context.config;
        loop {
            let from = self.sent(origin) + 1;
            if from > context.own.get(origin) || from < context.log_start(origin) {
                return;
            }
            let room = config.window_bytes.saturating_sub(self.flight_bytes);
            if room == 0 && self.flight.contains_key(&origin) {
                return;
            }
            // A load's answer is of unknown size: it takes its room when it is asked for, by being the only one.
            if self.load_ms > 0 || self.loading.is_some_and(|(loading, _)| loading == origin) {
                return;
            }
            let bytes_max = room.clamp(1, config.message_bytes);
            match context.recent.from(origin, from, bytes_max) {
                Found::Records(records) => {
                    for kept in records {
                        self.push(origin, kept.last, kept.record.to_vec(), config.message_bytes);
                    }
                }
                Found::OlderThanKept if self.loading.is_none() => {
                    self.loading = Some((origin, from));
                    let peer = self.peer;
                    loads.push(Action::LoadLog {
                        peer,
                        origin,
                        from,
                        bytes_max,
                    });
                    return;
                }
                Found::OlderThanKept | Found::Nothing => return,
            }
        }
    }

    fn push(&mut self, origin: ReplicaId, last: u64, record: Vec<u8>, message_bytes: usize) {
        if self.batch_bytes > 0 && self.batch_bytes + record.len() > message_bytes {
            self.flush();
        }
        let bytes = record.len();
        self.batch_bytes += bytes;
        self.batch.push(record);
        self.flight.entry(origin).or_default().push_back((last, bytes));
        self.flight_bytes += bytes;
        self.sent.insert(origin, last);
    }

    fn flush(&mut self) {
        if !self.batch.is_empty() {
            self.batch_bytes = 0;
            let records = std::mem::take(&mut self.batch);
            self.outbox.push(Message::Entries { records });
        }
    }

    /// The log's answer. Returns where the log really starts, when it lacks what was asked for.
    pub(crate) fn loaded(
        &mut self,
        origin: ReplicaId,
        from: u64,
        records: Vec<Vec<u8>>,
        message_bytes: usize,
    ) -> Option<u64> {
        if self.loading != Some((origin, from)) {
            return None;
        }
        self.loading = None;
        if records.is_empty() {
            return Some(u64::MAX);
        }
        for record in records {
            let span = decode_record(&record).ok().and_then(|entries| {
                let (first, last) = (entries.first()?, entries.last()?);
                (first.replica == origin).then(|| (first.sequence.get(), last.sequence.get()))
            });
            let Some((first, last)) = span else {
                // Damaged in the store: the rows will have to do.
                return Some(u64::MAX);
            };
            let next = self.sent(origin) + 1;
            if first > next {
                return (next == from).then_some(first);
            }
            if last >= next && self.serving.is_none() {
                self.push(origin, last, record, message_bytes);
            }
        }
        self.flush();
        None
    }

    /// The log could not be read: asked again after a while. Whether it holds the records is not known.
    pub(crate) fn load_failed(&mut self, origin: ReplicaId, from: u64, again_ms: u64) {
        if self.loading == Some((origin, from)) {
            self.loading = None;
            self.load_ms = again_ms;
        }
    }

    fn serve(&mut self, id: SnapshotId, v0: &VersionVector) {
        self.restart(self.peer_vector.clone());
        self.serving = Some(Serving::new(id, v0.clone()));
        self.outbox.push(Message::SnapshotBegin { v0: v0.clone() });
    }

    /// The snapshot that is being served.
    pub(crate) fn serving(&mut self) -> Option<&mut Serving> {
        self.serving.as_mut()
    }

    /// Is a snapshot being served?
    pub(crate) fn is_serving(&self) -> bool {
        self.serving.is_some()
    }

    /// What the log must hold beyond for the snapshot's sake.
    pub(crate) fn pin(&self) -> Option<&VersionVector> {
        self.serving.as_ref().map(|s| &s.v0)
    }

    /// The peer has joined all rows of the snapshot from `v0`: the log follows from the snapshot's vector.
    ///
    /// Says whether there was such a snapshot.
    pub(crate) fn snapshot_done(&mut self, v0: &VersionVector) -> bool {
        match self.serving.take() {
            Some(serving) if serving.is_ended() && serving.v0 == *v0 => {
                let mut vector = self.peer_vector.clone();
                vector.join(&serving.v0);
                self.restart(vector);
                true
            }
            serving => {
                self.serving = serving;
                false
            }
        }
    }

    /// The peer does not want a snapshot now.
    pub(crate) fn snapshot_refused(&mut self, retry_ms: u64) {
        self.serving = None;
        self.retry_ms = retry_ms;
    }

    /// We cannot go on serving.
    pub(crate) fn abandon(&mut self, retry_ms: u64) {
        if self.serving.take().is_some() {
            self.retry_ms = retry_ms;
            self.outbox.push(Message::SnapshotAbandon);
        }
    }

    /// When to poll next though nothing happens.
    pub(crate) fn next_wake(&self, config: &Config) -> u64 {
        // While a snapshot is served nothing is relayed.
        let relays = self
            .relays
            .values()
            .filter(|_| self.serving.is_none())
            .map(|relay| match relay.active_ms {
                Some(since) => since + config.relay_burst_ms,
                None => relay.since_ms + config.relay_delay_ms,
            });
        let retry = (self.retry_ms > 0 && self.serving.is_none()).then_some(self.retry_ms);
        let load = (self.load_ms > 0).then_some(self.load_ms);
        let outbox = (!self.outbox.is_empty()).then_some(0);
        let due = relays.chain(retry).chain(load).chain(outbox);
        due.fold(self.heartbeat_ms, u64::min)
    }

    /// Bytes sent and not acknowledged, rows included.
    pub(crate) fn queue_bytes(&self) -> usize {
        self.flight_bytes + self.serving.as_ref().map_or(0, Serving::flight_bytes)
    }

    /// What the peer has said that it has applied.
    pub(crate) fn peer_vector(&self) -> &VersionVector {
        &self.peer_vector
    }
}

#[cfg(test)]
#[path = "sender_tests.rs"]
mod tests;
