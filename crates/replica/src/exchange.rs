//! The exchange of one shard with all peers: the facade that the shard's machine drives.
//!
//! ```text
//!              received(Message) +---------------------+  poll -> Send(Message)
//!   peer dials ----------------> | receiver   sender   | ----------------------> we dial
//!              <---------------- |    |          |     | <----------------------
//!  poll -> Back(BackMessage)     |   park     recent   |  acked(BackMessage)
//!                                |    |          |     |
//!                                | stability, members  |
//!                                +----+----------^-----+
//!                           ready()   v          |  committed(records, vector)
//!                                 the shard's machine -> store
//! ```
//!
//! Messages, loads and clock readings go in, actions and events come out; nothing here waits, reads a clock or rolls
//! dice. Only what is *committed* is sent or acknowledged: the driver tells of a commit when the store has it. Times
//! are Unix milliseconds of the caller's wall clock.
//!
//! How it converges: every entry that any live member has applied is sent to every other by its own region or, failing
//! that, by a relay ([`crate::sender`]); it is applied in causal order, once ([`crate::delivery`]); what the logs no
//! longer hold comes as rows ([`crate::snapshot`]); and nothing is forgotten before everyone has it
//! ([`crate::stability`]).
//!
//! # What the driver owes
//! - [`Exchange::poll`] after every input and at [`Exchange::next_wake`]; its loads are answered, in any order.
//! - Entries that [`Exchange::ready`] gave are committed in that order, or [put back](Exchange::put_back).
//! - Vectors passed as `committed` never run ahead of what the store would show after a crash.
//! - [`Exchange::disconnected`] before a stream is replaced; greetings checked ([`crate::message::check`]), members too.

use std::collections::{BTreeMap, BTreeSet};

use cartograph_crdt::{Dot, RegionId, ReplicaId, Row, VersionVector};

use crate::commit::{BatchId, LogAppend};
use crate::delivery::Park;
pub use crate::driver::{Action, Config, Direction, Event, LinkError, PeerStatus, SnapshotId};
use crate::entry::{Entry, Key};
use crate::members::Members;
use crate::message::{BackMessage, Hello, Message, Report, Welcome};
use crate::receiver::{Inbox, Receiver};
use crate::recent::Recent;
use crate::sender::{Context, Sender};
use crate::stability::Stability;
use crate::status::{OwnTimes, Skew};

/// The exchange of one shard with all peers.
#[derive(Debug)]
pub struct Exchange {
    config: Config,
    me: ReplicaId,
    members: Members,
    own: VersionVector,
    log_starts: BTreeMap<ReplicaId, u64>,
    watermark_ms: u64,
    ahead: bool,
    park: Park,
    /// See [`Exchange::set_finals`].
    finals: BTreeMap<ReplicaId, u64>,
    /// The last entry of each origin that was given to be applied and is not committed.
    given: BTreeMap<ReplicaId, u64>,
    recent: Recent,
    stability: Stability,
    senders: BTreeMap<RegionId, Sender>,
    receivers: BTreeMap<RegionId, Receiver>,
    skews: BTreeMap<RegionId, Skew>,
    own_times: OwnTimes,
    last_snapshot: u64,
    /// The clock at the last poll.
    polled_ms: u64,
}

impl Exchange {
    /// The exchange of the live replica `me`, which has no peers yet, knows no members and has applied nothing.
    pub fn new(config: Config, me: ReplicaId, now_ms: u64) -> Exchange {
        Exchange {
            me,
            members: Members::default(),
            own: VersionVector::new(),
            log_starts: BTreeMap::new(),
            watermark_ms: 0,
            ahead: false,
            park: Park::new(config.park_entries, config.park_bytes),
            finals: BTreeMap::new(),
            given: BTreeMap::new(),
            recent: Recent::new(config.recent_bytes),
            stability: Stability::new(me, config.checkpoints),
            senders: BTreeMap::new(),
            receivers: BTreeMap::new(),
            skews: BTreeMap::new(),
            own_times: OwnTimes::default(),
            last_snapshot: 0,
            polled_ms: now_ms,
            config,
        }
    }

    /// A new incarnation of our region began. Streams should be dialled anew, so that greetings tell of it.
    pub fn set_replica(&mut self, me: ReplicaId) {
        self.me = me;
        self.own_times.restart();
        self.stability.set_replica(me);
    }

    /// The member regions, ours included. Empty while they are not known: nothing is stable then.
    pub fn set_members(&mut self, regions: &BTreeSet<RegionId>) {
        self.members.regions.clone_from(regions);
        self.members_changed();
    }

    /// Regions that were forgotten: what members have applied of them still passes, see [`crate::members`].
    pub fn set_forgotten(&mut self, regions: &BTreeSet<RegionId>) {
        self.members.forgotten.clone_from(regions);
        self.members_changed();
    }

    /// How many entries the retired replicas had that some member may not know as retired: after a claim, and when it
    /// changes. A peer that has all of those is told by an entry; any other that lacks the floor is sent a snapshot.
    pub fn set_finals(&mut self, finals: &BTreeMap<ReplicaId, u64>) {
        self.finals.clone_from(finals);
    }

    /// Does every other member know this replica as retired?
    pub fn retired_everywhere(&self, replica: ReplicaId) -> bool {
        self.stability.retired_everywhere(replica)
    }

    /// The last closed life of a region, if all its closed lives may be retired: see [`Stability::retirable`].
    pub fn retirable(&self, region: RegionId) -> Option<ReplicaId> {
        self.stability.retirable(region)
    }

    /// The region's live replica, as far as it is known.
    pub fn live(&self, region: RegionId) -> Option<ReplicaId> {
        self.stability.live(region)
    }

    fn members_changed(&mut self) {
        self.stability.set_members(&self.members);
        let regions = &self.members.regions;
        if !regions.is_empty() {
            self.skews.retain(|region, _| regions.contains(region));
        }
    }

    /// What is committed, after a claim: may be lower than before. What is remembered of the log is forgotten; parked
    /// entries too, and peers are asked for them again. If it is lower, streams must be dialled anew.
    pub fn set_vector(&mut self, committed: &VersionVector, now_ms: u64) {
        self.own = committed.clone();
        self.recent.clear();
        self.park.clear();
        self.given.clear();
        for receiver in self.receivers.values_mut() {
            receiver.ask_again();
        }
        self.stability.set_vector(committed);
        self.own_times.restart();
        self.own_times.wrote(committed.get(self.me), now_ms);
    }

    /// The lowest sequence that the log still holds, by origin: after a claim and after each trim. An origin without one
    /// has nothing in the log; [`Exchange::committed`] adds those that it appends to.
    pub fn set_log_starts(&mut self, starts: &BTreeMap<ReplicaId, u64>) {
        self.log_starts.clone_from(starts);
    }

    /// Our expiry clock, as committed: what peers may be told. It never falls.
    pub fn set_watermark(&mut self, watermark_ms: u64) {
        self.watermark_ms = self.watermark_ms.max(watermark_ms);
        self.stability.set_watermark(watermark_ms);
    }

    /// Is any key here ahead of our vector? Then no snapshot is served; one that is under way is given up.
    pub fn set_ahead(&mut self, any: bool) {
        self.ahead = any;
        if any {
            self.abandon_snapshots(self.polled_ms);
        }
    }

    fn abandon_snapshots(&mut self, now_ms: u64) {
        for sender in self.senders.values_mut() {
            sender.abandon(now_ms + self.config.snapshot_retry_ms);
        }
    }

    /// What this region says of itself, and of others: for greetings.
    pub fn report(&self, now_ms: u64) -> Report {
        Report {
            others: self.stability.hearsay(),
            lives: self.stability.vouched(),
            ..self.short_report(now_ms)
        }
    }

    fn short_report(&self, now_ms: u64) -> Report {
        Report {
            replica: self.me,
            vector: self.own.clone(),
            watermark_ms: self.watermark_ms,
            clock_ms: now_ms,
            echo: None,
            others: Vec::new(),
            lives: Vec::new(),
        }
    }

    /// The stream that we dialled is up, and the peer has welcomed us.
    pub fn connected(&mut self, peer: RegionId, welcome: &Welcome, now_ms: u64) {
        let report = &welcome.hello.report;
        if report.region() == peer {
            self.senders.insert(peer, Sender::new(report));
            self.heard(report, now_ms);
        }
    }

    /// The stream that the peer dialled is up, and we have welcomed it.
    pub fn accepted(&mut self, peer: RegionId, hello: &Hello, now_ms: u64) {
        if hello.report.region() == peer {
            self.receivers.insert(peer, Receiver::new(hello.report.replica));
            self.heard(&hello.report, now_ms);
        }
    }

    /// A stream is down. The same must be called before `connected` or `accepted` replaces a stream.
    pub fn disconnected(&mut self, peer: RegionId, direction: Direction) -> Vec<Event> {
        match direction {
            Direction::Out => {
                self.senders.remove(&peer);
                Vec::new()
            }
            Direction::In => {
                let gone = self.receivers.remove(&peer);
                let broken = gone.is_some_and(|receiver| receiver.is_joining());
                broken
                    .then_some(Event::SnapshotAborted { peer })
                    .into_iter()
                    .collect()
            }
        }
    }

    /// Is this stream up?
    pub fn has_stream(&self, peer: RegionId, direction: Direction) -> bool {
        match direction {
            Direction::Out => self.senders.contains_key(&peer),
            Direction::In => self.receivers.contains_key(&peer),
        }
    }

    fn heard(&mut self, report: &Report, now_ms: u64) {
        let region = report.region();
        let skew = self.skews.entry(region).or_default();
        skew.heard(report.clock_ms, now_ms);
        if let Some(echo) = report.echo {
            skew.came_back(echo, now_ms);
        }
        self.stability.reported(report);
        if let Some(sender) = self.senders.get_mut(&region) {
            sender.reported(report);
        }
    }

    /// A message on the stream that the peer dialled. `applied` is what the machine has applied, commits in flight
    /// included.
    ///
    /// # Errors
    /// See [`LinkError`]: close the stream. Parts of the message that came before the error may have been taken; that
    /// does no harm.
    pub fn received(
        &mut self,
        peer: RegionId,
        message: Message,
        applied: &VersionVector,
        now_ms: u64,
    ) -> Result<Vec<Event>, LinkError> {
        if let Message::Heartbeat { report } = &message {
            if report.region() != peer {
                let what = "another region's report as its own";
                return Err(LinkError::Unexpected { peer, what });
            }
            if let Some(receiver) = self.receivers.get_mut(&peer) {
                receiver.speaks(report.replica);
            }
            self.heard(report, now_ms);
        }
        let life = self.receivers.get(&peer).map(Receiver::life);
        if life.is_some_and(|life| self.stability.is_closed(life) || self.own.is_retired(life)) {
            // What it brings may be lost where it was written: others must not wait for it in vain.
            let what = "a message of a life that is over";
            return Err(LinkError::Unexpected { peer, what });
        }
        if let Message::SnapshotBegin { .. } = &message {
            self.make_way(peer, now_ms);
        }
        let busy = self.senders.values().any(Sender::is_serving)
            || self
                .receivers
                .iter()
                .any(|(other, r)| *other != peer && r.is_joining());
        let Some(receiver) = self.receivers.get_mut(&peer) else {
            let what = "a message on a stream that is not up";
            return Err(LinkError::Unexpected { peer, what });
        };
        let mut inbox = Inbox {
            me: self.me,
            members: &self.members,
            applied,
            park: &mut self.park,
            busy,
            row_bytes_max: self.config.row_bytes_max,
        };
        let events = receiver.received(message, &mut inbox)?;
        self.ask_for_dropped();
        Ok(events)
    }

    /// Two regions may want to serve each other: the one with the smaller id does.
    fn make_way(&mut self, peer: RegionId, now_ms: u64) {
        let joining = self
            .receivers
            .iter()
            .any(|(other, r)| *other != peer && r.is_joining());
        if peer < self.me.region && !joining {
            self.abandon_snapshots(now_ms);
        }
    }

    fn ask_for_dropped(&mut self) {
        for from in self.park.take_dropped() {
            match from.and_then(|peer| self.receivers.get_mut(&peer)) {
                Some(receiver) => receiver.ask_again(),
                None => self.receivers.values_mut().for_each(Receiver::ask_again),
            }
        }
    }

    /// A message on the stream that we dialled.
    ///
    /// # Errors
    /// See [`LinkError`]: close the stream.
    pub fn acked(&mut self, peer: RegionId, message: BackMessage, now_ms: u64) -> Result<(), LinkError> {
        if let BackMessage::Ack { report } = &message {
            if report.region() != peer {
                let what = "another region's report as its own";
                return Err(LinkError::Unexpected { peer, what });
            }
            self.heard(report, now_ms);
        }
        let retry_ms = now_ms + self.config.snapshot_retry_ms;
        let Some(sender) = self.senders.get_mut(&peer) else {
            let what = "an answer on a stream that is not up";
            return Err(LinkError::Unexpected { peer, what });
        };
        match message {
            BackMessage::Ack { .. } => {}
            BackMessage::Resend { vector } => sender.resend(vector),
            BackMessage::SnapshotRefused => sender.snapshot_refused(retry_ms),
            BackMessage::SnapshotProgress { rows } => {
                if let Some(serving) = sender.serving() {
                    serving.progress(rows);
                }
            }
            BackMessage::SnapshotDone { v0 } => {
                sender.snapshot_done(&v0);
            }
        }
        Ok(())
    }

    /// Takes entries that may be applied one after the other where `applied` has been, commits in flight included.
    pub fn ready(&mut self, applied: &VersionVector, entries_max: usize, bytes_max: usize) -> Vec<Entry> {
        let ready = self.park.ready(&self.members, applied, entries_max, bytes_max);
        for entry in &ready {
            self.given.insert(entry.replica, entry.sequence.get());
        }
        ready
    }

    /// Takes back entries that [`Exchange::ready`] gave and that were not committed.
    pub fn put_back(&mut self, entries: Vec<Entry>) {
        for entry in entries {
            let before = entry.sequence.get() - 1;
            if let Some(given) = self.given.get_mut(&entry.replica) {
                *given = before.min(*given);
            }
            self.park.receive(entry, None, self.me, &self.members, &self.own);
        }
        self.ask_for_dropped();
    }

    /// A commit is durable: its log records (own and remote) and our vector after it.
    pub fn committed(&mut self, log: &[LogAppend], vector: &VersionVector, now_ms: u64) {
        for append in log {
            self.log_starts.entry(append.origin).or_insert(append.first);
            self.recent.push(append);
        }
        if self.own == *vector {
            return;
        }
        self.own_times.wrote(vector.get(self.me), now_ms);
        self.own = vector.clone();
        self.park.retain(vector);
        self.given.retain(|origin, n| *n > vector.get(*origin));
        self.stability.advance(vector);
    }

    /// The answer to [`Action::LoadLog`]: records in order, from the one that holds `from` on; empty when trimmed.
    pub fn loaded_log(&mut self, peer: RegionId, origin: ReplicaId, from: u64, records: Vec<Vec<u8>>) {
        let Some(sender) = self.senders.get_mut(&peer) else {
            return;
        };
        if let Some(start) = sender.loaded(origin, from, records, self.config.message_bytes) {
            let start = start.min(self.own.get(origin) + 1);
            let known = self.log_starts.entry(origin).or_insert(start);
            *known = start.max(*known);
        }
    }

    /// Instead of [`Exchange::loaded_log`] when the store could not be read: it is asked again after a while.
    pub fn log_failed(&mut self, peer: RegionId, origin: ReplicaId, from: u64) {
        let again_ms = self.polled_ms + self.config.resend_ms;
        if let Some(sender) = self.senders.get_mut(&peer) {
            sender.load_failed(origin, from, again_ms);
        }
    }

    /// The answer to [`Action::LoadKeys`]; `cursor` is `None` at the end.
    pub fn keys(&mut self, peer: RegionId, snapshot: SnapshotId, page: Vec<Key>, cursor: Option<Vec<u8>>) {
        let serving = self.senders.get_mut(&peer).and_then(Sender::serving);
        if let Some(serving) = serving.filter(|s| s.id == snapshot) {
            serving.page(page, cursor);
        }
    }

    /// The answer to [`Action::ReadRow`]: the complete row (`None` when the key has no metadata any more), and what we
    /// had committed when it was read.
    pub fn row(
        &mut self,
        peer: RegionId,
        snapshot: SnapshotId,
        key: &[u8],
        row: Option<&Row>,
        vector: &VersionVector,
    ) {
        let Some(sender) = self.senders.get_mut(&peer) else {
            return;
        };
        let serving = sender.serving().filter(|s| s.id == snapshot);
        if !serving.is_none_or(|serving| serving.row(key, row, vector)) {
            sender.abandon(self.polled_ms + self.config.snapshot_retry_ms);
        }
    }

    /// One more row of the peer's snapshot is joined and committed.
    pub fn row_joined(&mut self, peer: RegionId) {
        if let Some(receiver) = self.receivers.get_mut(&peer) {
            receiver.row_joined();
        }
    }

    /// The peer's snapshot is joined whole, and our committed vector covers its `v0`.
    pub fn snapshot_joined(&mut self, peer: RegionId) {
        if let Some(receiver) = self.receivers.get_mut(&peer) {
            receiver.snapshot_joined();
        }
    }

    /// What to do now. Call after every input, and at [`Exchange::next_wake`].
    pub fn poll(&mut self, now_ms: u64) -> Vec<Action> {
        self.polled_ms = now_ms;
        if !self.stability.vouches() && self.may_vouch() {
            self.stability.vouch();
        }
        let mut actions = Vec::new();
        let short = self.short_report(now_ms);
        // Polls are frequent, reports are not.
        let due = self.senders.values().any(|s| s.heartbeat_due(now_ms))
            || self
                .receivers
                .values()
                .any(|r| r.report_due(&self.config, now_ms));
        let report = if due { self.report(now_ms) } else { short.clone() };
        for (peer, receiver) in &mut self.receivers {
            receiver.poll(
                &report,
                &short,
                self.skews.get(peer).map(|s| s.echo(now_ms)),
                &self.config,
                self.park.has_room(),
                now_ms,
                &mut actions,
            );
        }
        let joining = self.receivers.values().any(Receiver::is_joining);
        for (peer, sender) in &mut self.senders {
            let may_serve = !self.ahead && !joining;
            let context = Context {
                config: &self.config,
                me: self.me,
                own: &self.own,
                recent: &self.recent,
                log_starts: &self.log_starts,
                stability: &self.stability,
                finals: &self.finals,
                may_serve: may_serve.then_some(SnapshotId(self.last_snapshot + 1)),
                report: &report,
                echo: self.skews.get(peer).map(|s| s.echo(now_ms)),
            };
            let served = sender.is_serving();
            actions.extend(sender.poll(&context, now_ms));
            if sender.is_serving() && !served {
                self.last_snapshot += 1;
            }
        }
        actions
    }

    /// Does nothing of a closed life wait here? See [`crate::lives`].
    fn may_vouch(&self) -> bool {
        let given = self
            .given
            .iter()
            .filter(|(origin, n)| **n > self.own.get(**origin));
        let mut waiting = self.park.origins().chain(given.map(|(origin, _)| *origin));
        !self.ahead
            && !self.receivers.values().any(Receiver::is_joining)
            && !waiting.any(|origin| self.stability.is_closed(origin))
    }

    /// When to poll next though nothing happens; `None` without streams. Never before `now_ms`.
    pub fn next_wake(&self, now_ms: u64) -> Option<u64> {
        let out = self.senders.values().map(|s| s.next_wake(&self.config));
        let room = self.park.has_room();
        let back = self
            .receivers
            .values()
            .map(|r| r.next_wake(&self.own, &self.config, room));
        out.chain(back).min().map(|at| at.max(now_ms))
    }

    /// What every member has applied, as far as it counts: see [`Stability::stable`].
    pub fn stable(&self) -> &VersionVector {
        self.stability.stable()
    }

    /// What every member's expiry clock has passed, as far as it counts; 0 while one has not reported.
    pub fn watermark_ms(&self) -> u64 {
        self.stability.watermark_ms()
    }

    /// Is the owner of a cell known to have seen `dot`: see [`Stability::owner_has_seen`].
    pub fn owner_has_seen(&self, owner: ReplicaId, dot: &Dot) -> bool {
        self.stability.owner_has_seen(owner, dot)
    }

    /// Remembers our vector after commit `batch`. Call it after a claim too, with the head's.
    pub fn checkpoint(&mut self, batch: BatchId, vector: &VersionVector) {
        self.stability.checkpoint(batch, vector);
    }

    /// The last remembered commit whose whole vector is stable.
    pub fn stable_batch(&self) -> BatchId {
        self.stability.stable_batch()
    }

    /// How many entries of `origin` every other member has acknowledged: the log may lose those.
    pub fn lowest_acknowledged(&self, origin: ReplicaId) -> u64 {
        self.stability.lowest_acknowledged(origin)
    }

    /// Snapshots pin the log: whatever its cap, it may lose no entries beyond this. `None` when nothing is pinned.
    pub fn pins(&self) -> Option<VersionVector> {
        let pins = self.senders.values().filter_map(Sender::pin);
        pins.cloned().reduce(|a, b| a.meet(&b))
    }

    /// What must outlive a restart (head field `Members`): what garbage collection has or may have relied on, by
    /// member. Store it with or before the collections that rely on it.
    pub fn relied(&self) -> &BTreeMap<RegionId, VersionVector> {
        self.stability.relied()
    }

    /// Restores [`Exchange::relied`] after a claim.
    pub fn restore_relied(&mut self, relied: &BTreeMap<RegionId, VersionVector>) {
        self.stability.restore_relied(relied);
    }

    /// The latest that is known of a region: its live replica, and what that has applied.
    pub fn latest(&self, region: RegionId) -> Option<(ReplicaId, &VersionVector)> {
        self.stability.latest(region)
    }

    /// Does anyone know entries of our region's that we have not applied? After a rollback: they are still to come back.
    pub fn lacks_own_entries(&self) -> bool {
        let region = self.me.region;
        let lacks = |(origin, n): (ReplicaId, u64)| origin.region == region && n > self.own.get(origin);
        let mut known = self
            .members
            .regions
            .iter()
            .filter_map(|r| self.stability.latest(*r));
        known.any(|(_, vector)| vector.iter().any(lacks))
    }

    /// Number of parked entries and their bytes.
    pub fn parked(&self) -> (usize, usize) {
        (self.park.len(), self.park.bytes())
    }

    /// How each other member, and each region with a stream, is doing.
    pub fn status(&self, now_ms: u64) -> BTreeMap<RegionId, PeerStatus> {
        let regions = self.members.regions.iter();
        let mut regions: BTreeSet<RegionId> = regions
            .chain(self.senders.keys())
            .chain(self.receivers.keys())
            .copied()
            .collect();
        regions.remove(&self.me.region);
        regions
            .into_iter()
            .map(|region| (region, self.peer_status(region, now_ms)))
            .collect()
    }

    fn peer_status(&self, region: RegionId, now_ms: u64) -> PeerStatus {
        let sender = self.senders.get(&region);
        let nothing = VersionVector::new();
        let known = match (self.stability.latest(region), sender) {
            (Some((_, latest)), _) => latest,
            (None, Some(sender)) => sender.peer_vector(),
            (None, None) => &nothing,
        };
        let lacks = self.own.counted();
        let skew = self.skews.get(&region);
        PeerStatus {
            connected_out: sender.is_some(),
            connected_in: self.receivers.contains_key(&region),
            entries_behind: lacks.map(|(origin, n)| n.saturating_sub(known.get(origin))).sum(),
            lag_ms: self.own_times.age_ms(known.get(self.me), now_ms),
            queue_bytes: sender.map_or(0, Sender::queue_bytes),
            snapshot_out: sender.is_some_and(Sender::is_serving),
            snapshot_in: self.receivers.get(&region).is_some_and(Receiver::is_joining),
            skew_ms: skew.and_then(Skew::estimate_ms),
            rtt_ms: skew.and_then(Skew::way_ms),
            heard_ms: skew.map(Skew::heard_ms),
        }
    }
}

#[cfg(test)]
#[path = "exchange_tests.rs"]
mod tests;
