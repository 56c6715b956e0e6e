//! Claims: becoming the shard's owner, and knowing which life of the store this is.
//!
//! A dot is never used twice, so whenever the store may have forgotten something that it once told (another server
//! process, a lower sequence than we committed, a store that was just opened), a new incarnation begins before the
//! first write; no peer is needed for that. What was in flight when the store was lost is either in the head's count
//! (then it was done), or it is sent again, byte for byte, under the new fence.

use cartograph_crdt::{Incarnation, ReplicaId};
use cartograph_replica::exchange::Direction;
use cartograph_replica::message::Hello;
use cartograph_replica::{Claim, HeadField};

use super::flight::{Draft, InFlight, Work};
use super::local::{Retry, Waiting};
use super::upkeep::Task;
use super::{LogBook, Shard, Standing, Tip, event, reply_error};
use crate::api::{Event, Output, RequestError};
use crate::head::{self, HeadState, Identity, Lives};

impl Shard {
    pub(super) fn claimed(&mut self, claim: &Claim, random: u16, out: &mut Vec<Output>) {
        let state = match HeadState::read(&claim.head) {
            Ok(state) => state,
            Err(e) => return self.halt(format!("the store's head cannot be read: {e}"), out),
        };
        if let Some(reason) = self.belongs_elsewhere(&state) {
            return self.halt(reason, out);
        }
        let first = self.fence == cartograph_replica::Fence::default();
        let rolled_back = claim.head.batch < self.done.batch || claim.head.sequence < self.done.sequence;
        // An older store has an older fence as well: that is no other owner's doing.
        let met_another = std::mem::take(&mut self.usurped);
        let usurped = met_another || !first && !rolled_back && claim.head.fence.0 > self.fence.0 + 1;
        let same_life = !self.renew
            && !rolled_back
            && state.lives.as_ref().is_some_and(|l| l.server == claim.server)
            && (first
                || state
                    .lives
                    .as_ref()
                    .is_some_and(|l| l.incarnation == self.me.incarnation));
        self.fence = claim.head.fence;
        self.server.clone_from(&claim.server);
        self.now.store_ms = self.now.store_ms.max(claim.time_ms);
        self.standing = Standing::Owner;
        self.ignored = 0;
        if !rolled_back && !usurped {
            self.settle(claim, out);
        }
        if same_life && !first && !usurped {
            if std::mem::take(&mut self.dirty) {
                self.fall_back(0);
            } else {
                self.send_again(out);
            }
            return;
        }
        self.dirty = false;
        if usurped {
            self.let_go(out);
        }
        self.fall_back(0);
        self.take_over(claim, state);
        if !same_life {
            self.begin_life(claim, first, rolled_back, random, out);
        }
        self.begin_recovery();
        self.hang_up(out);
        self.enter_exchange();
        self.tasks.push_front(Task::Open);
        out.push(Output::Members(self.members.regions.keys().copied().collect()));
    }

    /// Streams are dialled anew: greetings must tell where we stand now, and what a stream was about (a snapshot half
    /// joined or half served) is forgotten.
    fn hang_up(&mut self, out: &mut Vec<Output>) {
        for (peer, status) in self.exchange.status(self.now.wall_ms) {
            let streams = [
                (status.connected_in, Direction::In),
                (status.connected_out, Direction::Out),
            ];
            for (_, direction) in streams.into_iter().filter(|(up, _)| *up) {
                let reason = "the store was claimed anew".to_owned();
                out.push(Output::Close {
                    peer,
                    direction,
                    reason,
                });
            }
        }
    }

    fn halt(&mut self, reason: String, out: &mut Vec<Output>) {
        self.standing = Standing::Halted;
        out.push(Output::Halt { reason });
    }

    fn belongs_elsewhere(&self, state: &HeadState) -> Option<String> {
        let found = state.identity.as_ref()?;
        let ours = &self.config;
        if found.cluster != ours.cluster {
            return Some(format!(
                "the store belongs to cluster {:?}, this node is configured for {:?}: correct cluster.name, or use an empty store",
                found.cluster, ours.cluster
            ));
        }
        if found.region != ours.region {
            return Some(format!(
                "the store belongs to region {} ({}), this node is configured for region {}: correct region.id, or use an empty store",
                found.region, found.name, ours.region
            ));
        }
        (found.shard != ours.shard).then(|| {
            format!(
                "the store holds shard {}, expected shard {}",
                found.shard, ours.shard
            )
        })
    }

    /// What was in flight and is counted in the head was done.
    fn settle(&mut self, claim: &Claim, out: &mut Vec<Output>) {
        while self
            .in_flight
            .front()
            .is_some_and(|f| f.commit.batch <= claim.head.batch)
        {
            if let Some(flight) = self.in_flight.pop_front() {
                self.committed(flight, out);
            }
        }
    }

    /// Another owner has written meanwhile, and we learn it from the claim: of what was in flight nobody can say whether
    /// it was done, and clients are told so. A request with an idempotency key asks the store; one that changed nothing
    /// is evaluated again.
    fn let_go(&mut self, out: &mut Vec<Output>) {
        let mut again = Vec::new();
        for flight in self.in_flight.drain(..) {
            if let Work::Local { requests } = flight.work {
                for (waiting, _) in requests {
                    if waiting.request.idempotency_key.is_some() {
                        again.push(waiting);
                    } else {
                        reply_error(waiting.id, RequestError::Unknown, out);
                    }
                }
            }
            again.extend(flight.extra.into_iter().map(|(waiting, _)| waiting));
        }
        for waiting in again.into_iter().rev() {
            self.queue.push_front(Waiting {
                retry: Retry::Unknown,
                ..waiting
            });
        }
    }

    /// The rest is sent again, in order, under the new fence.
    fn send_again(&mut self, out: &mut Vec<Output>) {
        for InFlight { commit, .. } in &mut self.in_flight {
            commit.fence = self.fence;
            out.push(Output::Commit(commit.clone()));
        }
    }

    fn take_over(&mut self, claim: &Claim, state: HeadState) {
        self.fresh = state.identity.is_none();
        let mut done = Tip {
            batch: claim.head.batch,
            sequence: claim.head.sequence,
            vector: state.vector,
            hlc: state.clocks.hlc.max(self.done.hlc),
            expiry_ms: state.clocks.expiry_ms.max(self.done.expiry_ms),
            keys: state.keys,
            ..Tip::default()
        };
        for (bucket, digest) in state.digests {
            if let Some(slot) = done.digests.get_mut(usize::from(bucket)) {
                *slot = digest;
            }
        }
        self.floors_told = done.vector.floors().map(|last| (last.region, last)).collect();
        self.next = done.clone();
        self.done = done;
        self.table = state.replicas;
        self.table_stored = self.table.ids().len();
        self.members = state.members;
        self.members_stored = true;
        self.ahead = state.ahead;
        self.joining = None;
        self.tasks.clear();
        self.remote.clear();
        self.upkeep = super::upkeep::Upkeep::default();
        self.log = state
            .log
            .into_iter()
            .map(|(origin, part)| {
                (
                    origin,
                    LogBook {
                        part,
                        ..LogBook::default()
                    },
                )
            })
            .collect();
        if let Some(lives) = state.lives {
            self.me = ReplicaId {
                region: self.config.region,
                incarnation: lives.incarnation,
            };
        }
    }

    /// A peer that knows a later life of ours takes the present one for over, and closes our streams for ever: the store
    /// was rolled back behind that life's beginning, and the clock has gone back, too. A still later life begins.
    pub(super) fn outlive(&mut self, hello: &Hello, out: &mut Vec<Output>) {
        let ours = self.config.region;
        let lives = hello.report.others.iter().map(|known| known.replica);
        let latest = lives
            .filter(|life| life.region == ours)
            .map(|life| life.incarnation)
            .max();
        self.latest_heard = self.latest_heard.max(latest);
        if self.standing == Standing::Owner && self.latest_heard > Some(self.me.incarnation) {
            self.renew = true;
            self.standing = Standing::Unclaimed;
            out.push(Output::Claim);
        }
    }

    fn begin_life(
        &mut self,
        claim: &Claim,
        first: bool,
        rolled_back: bool,
        random: u16,
        out: &mut Vec<Output>,
    ) {
        let ours = self.config.region;
        let known = self
            .done
            .vector
            .iter()
            .map(|(r, _)| r)
            .filter(|r| r.region == ours)
            .map(|r| r.incarnation)
            .max();
        let last = known
            .max((self.me.incarnation != Incarnation(0)).then_some(self.me.incarnation))
            .max(self.latest_heard);
        let reason = match (self.fresh, self.renew, rolled_back, first) {
            (true, ..) => "the store is empty",
            (_, true, ..) => "entries of the live incarnation came from elsewhere",
            (_, _, true, _) => "the store is older than what was committed",
            (_, _, _, true) => "the store was opened by another process, or its server restarted",
            _ => "the store's server restarted",
        };
        self.renew = false;
        self.me = ReplicaId {
            region: ours,
            incarnation: Incarnation::begin(self.now.wall_ms, last, random),
        };
        // The head's sequence is that of the life before; the opening commit sets it to the new one's.
        self.next.sequence = claim.head.sequence;
        if !self.fresh && self.members.regions.len() > 1 {
            self.members.recovering = true;
            self.members_stored = false;
        }
        event(Event::Incarnation { reason }, out);
    }

    /// Begins to wait for what the store may have lost, if it may have; also where a crash cut that short.
    fn begin_recovery(&mut self) {
        self.recovery = super::Recovery::default();
        let until_ms = self.now.monotonic_ms + self.config.limits.recovery_ms_max;
        self.recovering_until_ms = self.members.recovering.then_some(until_ms);
    }

    /// Tells the exchange where we stand.
    fn enter_exchange(&mut self) {
        self.exchange.set_replica(self.me);
        self.exchange
            .set_members(&self.members.regions.keys().copied().collect());
        self.exchange.set_forgotten(&self.members.forgotten);
        self.exchange.restore_relied(&self.members.relied);
        self.exchange.set_finals(&self.members.finals);
        self.exchange.set_vector(&self.done.vector, self.now.wall_ms);
        self.exchange.set_watermark(self.done.expiry_ms);
        self.exchange.checkpoint(self.done.batch, &self.done.vector);
        self.exchange.set_ahead(!self.done.vector.dominates(&self.ahead));
        self.tell_log_starts();
    }

    /// The first commit after a claim: says whose store this is, and which life.
    pub(super) fn begin_open(&mut self, out: &mut Vec<Output>) -> bool {
        let mut draft = Draft::new(&self.next, self.expiry_now());
        let identity = Identity {
            cluster: self.config.cluster.clone(),
            region: self.config.region,
            name: self.config.name.clone(),
            shard: self.config.shard,
        };
        let lives = Lives {
            incarnation: self.me.incarnation,
            server: self.server.clone(),
        };
        let fields = [
            (HeadField::Identity, head::encode(&identity)),
            (HeadField::Incarnation, head::encode(&lives)),
        ];
        for (field, bytes) in fields {
            if let Ok(bytes) = bytes {
                draft.head.insert(field, bytes);
            }
        }
        draft.tip.sequence = draft.tip.vector.get(self.me);
        draft.anyway = true;
        self.begin_commit(draft, Work::Task { task: Task::Open }, out)
    }
}
