//! The loop: inputs in, outputs carried out.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use cartograph_crdt::{RegionId, Row, ShardId, VersionVector};
use cartograph_engine::Shard;
use cartograph_engine::api::{
    Admin, Done, Event, Input, LoadId, Now, Output, Request, RequestError, RequestId,
};
use cartograph_replica::exchange::Direction;
use cartograph_replica::message::{BackMessage, Message};
use cartograph_replica::{BatchId, Claim, Key, Loaded, Outcome};
use cartograph_store::{Store, StoreInfo};
use futures_util::StreamExt;
use futures_util::stream::{FuturesOrdered, FuturesUnordered};
use tokio::sync::{mpsc, oneshot, watch};

use super::links::Links;
use super::store_clock::StoreClock;
use super::waiters::Waiters;
use super::{Ask, Published, ReplyTo, Submitted};
use crate::backoff::Backoff;
use crate::clock;
use crate::metrics::Metrics;
use crate::seed;

/// Ticks come at least so often.
const TICK_MS: u64 = 50;

/// How often the store is asked how full its memory is.
const INFO_EVERY_MS: u64 = 500;

/// How often the store is asked for its time.
const TIME_EVERY_MS: u64 = 1_000;

/// Asks taken at once before their outputs are carried out.
const ASKS_AT_ONCE: usize = 256;

/// Whoever is to be called has stopped waiting long before: the longest time limit of a request is ten minutes.
const CALL_MAX_MS: u64 = 660_000;

/// How long giving the store back may take.
const RELEASE_MAX: Duration = Duration::from_secs(3);

type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// A reading of the store's clock, and when it was asked for.
type TimeRead = (Result<u64, cartograph_store::Error>, u64);

/// Who waits for a request's result.
enum Reply {
    Once(oneshot::Sender<Result<Done, RequestError>>),
    /// Since when, on the monotonic clock.
    Call(ReplyTo, u64),
}

impl Reply {
    fn is_given_up(&self, now_ms: u64) -> bool {
        match self {
            Reply::Once(reply) => reply.is_closed(),
            Reply::Call(_, since_ms) => now_ms.saturating_sub(*since_ms) > CALL_MAX_MS,
        }
    }

    fn give(self, result: Result<Done, RequestError>) {
        match self {
            Reply::Once(reply) => {
                let _ = reply.send(result);
            }
            Reply::Call(call, _) => call(result),
        }
    }
}

/// Where the task tells others what they wait for.
pub(super) struct Told {
    pub(super) vector: watch::Sender<Arc<VersionVector>>,
    pub(super) published: watch::Sender<Published>,
    pub(super) waiters: Arc<Waiters>,
}

/// A commit's outcome, and those of its keys that somebody waits for.
type Finished = (BatchId, Outcome, Vec<Key>);

pub(super) struct Task {
    shard: ShardId,
    machine: Shard,
    store: Arc<dyn Store>,
    metrics: Arc<Metrics>,
    told: Told,
    store_clock: StoreClock,
    next_request: u64,
    replies: BTreeMap<RequestId, Reply>,
    /// Requests that came with this turn of the loop.
    arrived: Vec<(RequestId, Request)>,
    inspections: BTreeMap<RequestId, oneshot::Sender<Result<Box<Row>, RequestError>>>,
    links_out: Links<Message>,
    links_in: Links<BackMessage>,
    commits: FuturesOrdered<Boxed<Finished>>,
    loads: FuturesUnordered<Boxed<(LoadId, Result<Loaded, String>)>>,
    claim: Option<Boxed<Result<Claim, cartograph_store::Error>>>,
    claimed_once: bool,
    backoff: Backoff,
    time: Option<Boxed<TimeRead>>,
    info: Option<Boxed<Result<StoreInfo, cartograph_store::Error>>>,
    next_info_ms: u64,
    check: Option<Boxed<Result<(), cartograph_store::Error>>>,
    next_time_ms: u64,
    next_tick_ms: u64,
    out: Vec<Output>,
    stop: Option<oneshot::Sender<()>>,
}

impl Task {
    pub(super) fn new(
        shard: ShardId,
        machine: Shard,
        store: Arc<dyn Store>,
        metrics: Arc<Metrics>,
        told: Told,
    ) -> Self {
        Task {
            shard,
            machine,
            store,
            metrics,
            told,
            store_clock: StoreClock::default(),
            next_request: 0,
            replies: BTreeMap::new(),
            arrived: Vec::new(),
            inspections: BTreeMap::new(),
            links_out: Links::new(Direction::Out),
            links_in: Links::new(Direction::In),
            commits: FuturesOrdered::new(),
            loads: FuturesUnordered::new(),
            claim: None,
            claimed_once: false,
            backoff: Backoff::default(),
            time: None,
            info: None,
            next_info_ms: 0,
            check: None,
            next_time_ms: 0,
            next_tick_ms: 0,
            out: Vec::new(),
            stop: None,
        }
    }

    fn now(&self) -> Now {
        let (wall_ms, monotonic_ms) = (clock::wall_ms(), clock::monotonic_ms());
        Now {
            wall_ms,
            store_ms: self.store_clock.now_ms(monotonic_ms, wall_ms),
            monotonic_ms,
        }
    }

    fn handle(&mut self, input: Input) {
        let now = self.now();
        self.machine.handle(input, now, &mut self.out);
    }

    pub(super) async fn run(mut self, mut inbox: mpsc::Receiver<Ask>) {
        self.machine.start(&mut self.out);
        self.carry_out();
        while self.stop.is_none() {
            self.wait(&mut inbox).await;
            for _ in 0..ASKS_AT_ONCE {
                let Ok(ask) = inbox.try_recv() else { break };
                self.ask(ask);
            }
            self.take_arrived();
            let now_ms = clock::monotonic_ms();
            if now_ms >= self.next_tick_ms {
                self.next_tick_ms = now_ms + TICK_MS;
                self.handle(Input::Tick);
            }
            if now_ms >= self.next_time_ms && self.time.is_none() {
                self.next_time_ms = now_ms + TIME_EVERY_MS;
                self.ask_time(now_ms);
                self.begin_check();
            }
            if now_ms >= self.next_info_ms && self.info.is_none() {
                self.next_info_ms = now_ms + INFO_EVERY_MS;
                let store = Arc::clone(&self.store);
                self.info = Some(Box::pin(async move { store.info().await }));
            }
            self.carry_out();
        }
        let release = self.store.release(self.shard);
        if !matches!(tokio::time::timeout(RELEASE_MAX, release).await, Ok(Ok(()))) {
            tracing::warn!(shard = %self.shard, "the store was not given back; its next owner takes it over all the same");
        }
        if let Some(reply) = self.stop.take() {
            let _ = reply.send(());
        }
    }

    /// Waits for the next thing to happen, and takes it in. Outcomes come first: they make room for more.
    async fn wait(&mut self, inbox: &mut mpsc::Receiver<Ask>) {
        let sleep_ms = self.next_tick_ms.saturating_sub(clock::monotonic_ms());
        tokio::select! {
            biased;
            Some((batch, outcome, keys)) = self.commits.next() => {
                let committed = outcome == Outcome::Committed;
                self.outcome(batch, outcome);
                if committed && !keys.is_empty() {
                    self.told.waiters.wake(&keys);
                }
            }
            Some((id, result)) = self.loads.next() => self.handle(Input::Loaded { id, result }),
            info = ready_or_never(&mut self.info) => {
                self.info = None;
                if let Ok(info) = info {
                    self.handle(Input::MemoryFull(is_full(&info)));
                }
            }
            claim = ready_or_never(&mut self.claim) => {
                self.claim = None;
                self.claimed(claim);
            }
            (result, asked_ms) = ready_or_never(&mut self.time) => {
                self.time = None;
                match result {
                    Ok(store_ms) => self.store_clock.read(store_ms, asked_ms, clock::monotonic_ms()),
                    Err(_) => self.handle(Input::StoreSuspect),
                }
            }
            checked = ready_or_never(&mut self.check) => {
                self.check = None;
                self.checked(checked);
            }
            ask = inbox.recv() => match ask {
                Some(ask) => self.ask(ask),
                // Every handle is gone, and with them everybody who could ask for anything.
                None => self.stop = Some(oneshot::channel().0),
            },
            () = tokio::time::sleep(Duration::from_millis(sleep_ms)) => {}
        }
    }

    fn outcome(&mut self, batch: BatchId, outcome: Outcome) {
        match &outcome {
            Outcome::Committed => {}
            Outcome::ViewMismatch { time_ms, .. } => {
                self.store_clock.passed(*time_ms, clock::monotonic_ms());
            }
            Outcome::Fenced { .. } => {
                tracing::warn!(shard = %self.shard, "another process has taken the store over");
            }
            Outcome::Refused { reason } => {
                tracing::warn!(shard = %self.shard, %reason, "the store refuses a commit");
            }
            Outcome::Unknown { reason } => {
                tracing::warn!(shard = %self.shard, %reason, "a commit's outcome is unknown: claiming the store again");
            }
        }
        self.handle(Input::Committed { batch, outcome });
    }

    fn claimed(&mut self, claim: Result<Claim, cartograph_store::Error>) {
        match claim {
            Ok(claim) => {
                self.backoff.reset();
                // What the store still says of commits from before the claim means nothing now: the head has been
                // read since.
                self.commits = FuturesOrdered::new();
                self.claimed_once = true;
                self.store_clock.forget();
                self.store_clock.passed(claim.time_ms, clock::monotonic_ms());
                self.publish(|p| p.store_error = None);
                tracing::info!(shard = %self.shard, fence = claim.head.fence.0, batch = claim.head.batch.0, "the store is ours");
                let random = u16::try_from(seed::random() & 0xffff).unwrap_or_default();
                let claim = Box::new(claim);
                self.handle(Input::Claimed { claim, random });
                self.tell_vector();
            }
            Err(error) => {
                let reason = error.to_string();
                if !error.is_retryable() && !self.claimed_once {
                    return self.halt(reason);
                }
                let known = self.told.published.borrow().store_error.as_ref() == Some(&reason);
                if !known {
                    tracing::warn!(shard = %self.shard, %reason, "the store cannot be claimed; trying again");
                }
                self.publish(|p| p.store_error = Some(reason));
                let pause = self.backoff.next_pause();
                self.begin_claim(pause);
            }
        }
    }

    fn halt(&mut self, reason: String) {
        tracing::error!(shard = %self.shard, %reason, "this store cannot be used");
        self.publish(|p| p.halted = Some(reason));
    }

    fn publish(&self, change: impl FnOnce(&mut Published)) {
        self.told.published.send_modify(change);
    }

    fn begin_claim(&mut self, pause: Duration) {
        let (store, shard) = (Arc::clone(&self.store), self.shard);
        self.claim = Some(Box::pin(async move {
            tokio::time::sleep(pause).await;
            store.claim(shard).await
        }));
    }

    fn ask_time(&mut self, asked_ms: u64) {
        // Who does not wait any more is not answered any more: requests that a lost store took with it.
        self.replies.retain(|_, reply| !reply.is_given_up(asked_ms));
        self.inspections.retain(|_, reply| !reply.is_closed());
        let store = Arc::clone(&self.store);
        self.time = Some(Box::pin(async move { (store.time_ms().await, asked_ms) }));
    }

    /// Where nobody writes, no commit tells that the store has gone.
    fn begin_check(&mut self) {
        if self.check.is_none() && self.claim.is_none() && self.machine.is_claimed() {
            let (store, shard) = (Arc::clone(&self.store), self.shard);
            self.check = Some(Box::pin(async move { store.check(shard).await }));
        }
    }

    fn checked(&mut self, checked: Result<(), cartograph_store::Error>) {
        let Err(error) = checked else { return };
        // A commit may have noticed first.
        if self.claim.is_none() && self.machine.is_claimed() {
            tracing::warn!(shard = %self.shard, %error, "the store's connection is lost");
            self.handle(Input::StoreSuspect);
        }
    }

    fn request_id(&mut self) -> RequestId {
        self.next_request += 1;
        RequestId(self.next_request)
    }

    /// What arrived together is given to the machine together: it makes one commit of it.
    fn take_arrived(&mut self) {
        if !self.arrived.is_empty() {
            let requests = std::mem::take(&mut self.arrived);
            self.handle(Input::Requests(requests));
        }
    }

    fn ask(&mut self, ask: Ask) {
        if !matches!(ask, Ask::Request { .. } | Ask::Requests(_)) {
            self.take_arrived();
        }
        match ask {
            Ask::Request { request, reply } => {
                let id = self.request_id();
                self.replies.insert(id, Reply::Once(reply));
                self.arrived.push((id, request));
            }
            Ask::Requests(batch) => {
                let since_ms = clock::monotonic_ms();
                for Submitted { request, reply } in batch {
                    let id = self.request_id();
                    self.replies.insert(id, Reply::Call(reply, since_ms));
                    self.arrived.push((id, request));
                }
            }
            Ask::Inspect { key, elements, reply } => {
                let id = self.request_id();
                self.inspections.insert(id, reply);
                self.handle(Input::Admin(Admin::Inspect { key, elements, id }));
            }
            Ask::Forget { region, reply } => {
                let id = self.request_id();
                self.replies.insert(id, Reply::Once(reply));
                self.handle(Input::Admin(Admin::Forget { region, id }));
            }
            Ask::Repair { key } => self.handle(Input::Admin(Admin::Repair { key })),
            Ask::Status { reply } => {
                let _ = reply.send(self.machine.status(self.now()));
            }
            Ask::Greeting { reply } => {
                let greeting = self
                    .machine
                    .is_claimed()
                    .then(|| self.machine.greeting(self.now()));
                let _ = reply.send(greeting);
            }
            Ask::Drain => self.handle(Input::Admin(Admin::Drain)),
            Ask::Stop { reply } => self.stop = Some(reply),
            link @ (Ask::Admit { .. }
            | Ask::Welcomed { .. }
            | Ask::Received { .. }
            | Ask::Acked { .. }
            | Ask::Down { .. }) => self.link(link),
        }
    }

    fn link(&mut self, ask: Ask) {
        match ask {
            Ask::Admit {
                hello,
                link,
                sender,
                reply,
            } => {
                let now = self.now();
                let claimed = self.machine.is_claimed();
                let answer = claimed.then(|| self.machine.admit(&hello, now));
                if let Some(Ok(_)) = &answer {
                    let peer = hello.replica.region;
                    if self.links_in.put(peer, link, sender) {
                        let direction = self.links_in.direction();
                        self.handle(Input::Disconnected { peer, direction });
                    }
                    self.handle(Input::Accepted { peer, hello });
                }
                let _ = reply.send(answer);
            }
            Ask::Welcomed {
                peer,
                welcome,
                link,
                sender,
            } => {
                if self.links_out.put(peer, link, sender) {
                    let direction = self.links_out.direction();
                    self.handle(Input::Disconnected { peer, direction });
                }
                self.handle(Input::Connected { peer, welcome });
            }
            Ask::Received { peer, link, message } => {
                if self.links_in.is_current(peer, link) {
                    self.handle(Input::Received { peer, message });
                }
            }
            Ask::Acked { peer, link, message } => {
                if self.links_out.is_current(peer, link) {
                    self.handle(Input::Acked { peer, message });
                }
            }
            Ask::Down {
                peer,
                direction,
                link,
            } => {
                let current = match direction {
                    Direction::Out => self.links_out.is_current(peer, link),
                    Direction::In => self.links_in.is_current(peer, link),
                };
                if current {
                    self.disconnect(peer, direction);
                }
            }
            Ask::Request { .. }
            | Ask::Requests(_)
            | Ask::Inspect { .. }
            | Ask::Forget { .. }
            | Ask::Repair { .. }
            | Ask::Status { .. }
            | Ask::Greeting { .. }
            | Ask::Drain
            | Ask::Stop { .. } => {}
        }
    }

    fn disconnect(&mut self, peer: RegionId, direction: Direction) {
        let was = match direction {
            Direction::Out => self.links_out.drop_peer(peer),
            Direction::In => self.links_in.drop_peer(peer),
        };
        if was {
            self.handle(Input::Disconnected { peer, direction });
        }
    }

    /// Carries out what the machine has said, and what it says meanwhile.
    fn carry_out(&mut self) {
        while !self.out.is_empty() {
            for output in std::mem::take(&mut self.out) {
                self.output(output);
            }
        }
    }

    fn tell_vector(&self) {
        self.told.vector.send_replace(self.machine.vector());
    }

    fn output(&mut self, output: Output) {
        match output {
            Output::Load { id, load } => {
                let (store, shard) = (Arc::clone(&self.store), self.shard);
                self.loads.push(Box::pin(async move {
                    (id, store.load(shard, load).await.map_err(|e| e.to_string()))
                }));
            }
            Output::Commit(commit) => {
                let batch = commit.batch;
                let keys = self.told.waiters.concerned(&commit);
                let done = self.store.commit(*commit);
                self.commits
                    .push_back(Box::pin(async move { (batch, done.await, keys) }));
            }
            Output::Claim => {
                if self.claim.is_none() {
                    self.begin_claim(Duration::ZERO);
                }
            }
            Output::Reply { id, result } => {
                if let Some(reply) = self.replies.remove(&id) {
                    reply.give(result);
                }
            }
            Output::Inspected { id, result } => {
                if let Some(reply) = self.inspections.remove(&id) {
                    let _ = reply.send(result);
                }
            }
            Output::Halt { reason } => self.halt(reason),
            Output::Send { peer, message } => {
                if !self.links_out.send(peer, message) {
                    self.stuck(peer, Direction::Out);
                }
            }
            Output::Back { peer, message } => {
                if !self.links_in.send(peer, message) {
                    self.stuck(peer, Direction::In);
                }
            }
            Output::Close {
                peer,
                direction,
                reason,
            } => {
                tracing::warn!(region = %peer, ?direction, %reason, "a peer broke the protocol: closing its link");
                self.metrics.protocol_error();
                self.disconnect(peer, direction);
            }
            Output::Members(members) => self.members(members),
            Output::Wake { at_ms } => self.next_tick_ms = self.next_tick_ms.min(at_ms),
            Output::Event(event) => self.event(&event),
        }
    }

    /// Who was a member and is not any more is heard no more: when it greets anew, it is told why.
    fn members(&mut self, members: BTreeSet<RegionId>) {
        let before = self.told.published.borrow().members.clone();
        // A store that was wiped knows no members until it has caught up: nobody has left then.
        for left in before.difference(&members).filter(|_| !members.is_empty()) {
            self.disconnect(*left, Direction::Out);
            self.disconnect(*left, Direction::In);
        }
        self.publish(|p| p.members = members);
    }

    fn stuck(&mut self, peer: RegionId, direction: Direction) {
        tracing::warn!(region = %peer, ?direction, "a link takes nothing any more: closing it");
        self.handle(Input::Disconnected { peer, direction });
    }

    fn event(&mut self, event: &Event) {
        self.metrics.event(event);
        match event {
            // The replies follow: whoever hears one may come back at once, with a token of this.
            Event::Committed { .. } => self.tell_vector(),
            Event::Applied { .. } | Event::Conflict { .. } | Event::Purged => {}
            Event::ViewRepaired { key } => {
                let key = String::from_utf8_lossy(key);
                tracing::warn!(%key, "a view was not what its metadata says and was rebuilt: who writes to the store besides this node?");
            }
            Event::Incarnation { reason } => {
                tracing::info!(shard = %self.shard, reason, "a new incarnation begins");
                // Peers know the one before: every link greets anew.
                for peer in self.links_out.peers() {
                    self.disconnect(peer, Direction::Out);
                }
                for peer in self.links_in.peers() {
                    self.disconnect(peer, Direction::In);
                }
            }
            Event::ForeignOwnEntries => {
                tracing::error!(shard = %self.shard, "a peer has entries of this region that it never wrote: was its store copied or rolled back? A new incarnation begins");
            }
            Event::Retired { last } => {
                tracing::info!(shard = %self.shard, %last, "lives of a region up to this one are retired");
            }
            Event::Snapshot { what, peer } => {
                tracing::info!(shard = %self.shard, region = %peer, "snapshot {what}");
            }
            Event::Saturated => {
                tracing::warn!("a merged number is past the 64-bit range and shown saturated");
            }
            Event::Damaged { key, reason } => {
                let key = String::from_utf8_lossy(key);
                tracing::error!(%key, %reason, "stored metadata cannot be read");
            }
        }
    }
}

/// Is less than a tenth of the store's memory left? Then clients' writes stop, and peers' entries still have room.
fn is_full(info: &StoreInfo) -> bool {
    let limit = info.memory_bytes_max.filter(|limit| *limit > 0);
    limit.is_some_and(|limit| info.memory_bytes_used >= limit / 10 * 9)
}

/// The future's result, if there is a future; else never.
async fn ready_or_never<T>(future: &mut Option<Boxed<T>>) -> T {
    match future {
        Some(future) => future.await,
        None => std::future::pending().await,
    }
}
