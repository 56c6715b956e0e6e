//! The simulated world: regions with a node and a store each, links between them, and a queue of events in virtual
//! time. Nothing here is random of itself; [`crate::history`] decides what happens.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use cartograph_crdt::{RegionId, ReplicaId, ShardId, VersionVector};
use cartograph_engine::api::{Admin, Done, Input, LoadId, Now, Output, Request, RequestError, RequestId};
use cartograph_engine::{Command, Config, Limits, Shard};
use cartograph_replica::entry::decode_record;
use cartograph_replica::exchange::Direction;
use cartograph_replica::message::{BackMessage, Hello, Message, Welcome, Wire as _};
use cartograph_replica::{Commit, Load, Outcome};
use cartograph_store::memory::{Image, ManualClock, MemoryStore};

use crate::chance::Chance;

/// When the simulated world begins, Unix milliseconds.
pub const EPOCH_MS: u64 = 1_700_000_000_000;

/// How long the store takes for a commit or a load, in milliseconds.
const STORE_MS: u64 = 1;

/// How often a node looks whether its store's server is still the same, in milliseconds.
const SUSPECT_MS: u64 = 1_000;

/// How often a node ticks, in milliseconds.
const TICK_MS: u64 = 50;

/// A link from one region to another: the connection that the first dials.
#[derive(Clone, Debug)]
pub struct Link {
    /// Does it pass anything?
    pub up: bool,
    /// One way, in milliseconds.
    pub latency_ms: u64,
    /// Up to this much more, at random, per message; order is kept.
    pub jitter_ms: u64,
    epoch: u64,
    connected: bool,
    /// When the last message in each direction arrives: order is kept.
    arrives: [u64; 2],
}

/// One region.
pub struct Region {
    /// Its id.
    pub id: RegionId,
    /// Its node, while it runs.
    pub shard: Option<Shard>,
    /// Its store.
    pub store: MemoryStore,
    /// By how much its clocks differ from the world's, in milliseconds.
    pub skew_ms: i64,
    /// Answers to requests, by request.
    pub answers: BTreeMap<RequestId, Result<Done, RequestError>>,
    /// What happened that operators count.
    pub events: Vec<cartograph_engine::api::Event>,
    clock: ManualClock,
    life: u64,
    servers: u64,
    /// The store takes no commits and answers nothing while down.
    pub store_up: bool,
    /// The store refuses all commits but those that free memory.
    pub refusing: bool,
    /// What the node had committed when last looked at; none after its store was replaced.
    seen: Option<Arc<VersionVector>>,
    /// Its store was replaced, and the node has not claimed it since.
    replaced: bool,
    commits: VecDeque<(u64, Box<Commit>)>,
    next_request: u64,
    halted: Option<String>,
}

#[derive(Debug)]
enum Event {
    Commit {
        region: usize,
        life: u64,
    },
    Outcome {
        region: usize,
        life: u64,
        batch: cartograph_replica::BatchId,
        outcome: Outcome,
    },
    Load {
        region: usize,
        life: u64,
        id: LoadId,
        load: Load,
    },
    Claim {
        region: usize,
        life: u64,
    },
    Dial {
        from: usize,
        to: usize,
    },
    Greet {
        from: usize,
        to: usize,
        epoch: u64,
        hello: Box<Hello>,
        life: u64,
    },
    Welcome {
        from: usize,
        to: usize,
        epoch: u64,
        hello: Box<Hello>,
    },
    Message {
        from: usize,
        to: usize,
        epoch: u64,
        bytes: Vec<u8>,
        back: bool,
    },
    Tick {
        region: usize,
        life: u64,
    },
    Wake {
        region: usize,
        life: u64,
    },
}

/// How the world is set up.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Number of regions.
    pub regions: usize,
    /// Seed of everything.
    pub seed: u64,
    /// Bounds of the shards.
    pub limits: Limits,
    /// Latency of every link, in milliseconds.
    pub latency_ms: u64,
}

/// The world.
pub struct World {
    /// The regions.
    pub regions: Vec<Region>,
    /// Links by (from, to).
    pub links: BTreeMap<(usize, usize), Link>,
    /// Virtual milliseconds since the beginning.
    pub now_ms: u64,
    /// Chance.
    pub chance: Chance,
    /// A line an event, where wanted: for the determinism test, and for reading a failure.
    pub trace: Option<Vec<String>>,
    /// Trace from here on, virtual milliseconds, to standard error.
    pub trace_from_ms: u64,
    /// What must never happen and did.
    pub faults: Vec<String>,
    /// Every entry that was ever committed anywhere, by replica and sequence, as a hash of its contents.
    entries: BTreeMap<(ReplicaId, u64), u64>,
    setup: Setup,
    events: BTreeMap<(u64, u64), Event>,
    count: u64,
}

impl World {
    /// A world whose regions are configured as each other's peers; all stores are empty.
    pub fn new(setup: Setup) -> Self {
        let chance = Chance::new(setup.seed);
        let mut world = World {
            regions: Vec::new(),
            links: BTreeMap::new(),
            now_ms: 0,
            chance,
            trace: None,
            trace_from_ms: u64::MAX,
            faults: Vec::new(),
            entries: BTreeMap::new(),
            events: BTreeMap::new(),
            count: 0,
            setup,
        };
        for _ in 0..world.setup.regions {
            world.add_region();
        }
        for region in 0..world.regions.len() {
            world.start(region);
        }
        world
    }

    /// One more region, not started.
    pub fn add_region(&mut self) -> usize {
        let at = self.regions.len();
        let id = RegionId(u16::try_from(at + 1).unwrap_or(u16::MAX));
        let clock = ManualClock::at(EPOCH_MS);
        for other in 0..at {
            for pair in [(at, other), (other, at)] {
                let link = Link {
                    up: true,
                    latency_ms: self.setup.latency_ms,
                    jitter_ms: 0,
                    epoch: 0,
                    connected: false,
                    arrives: [0, 0],
                };
                self.links.insert(pair, link);
            }
        }
        self.regions.push(Region {
            id,
            shard: None,
            store: MemoryStore::new(clock.clone()),
            skew_ms: 0,
            answers: BTreeMap::new(),
            events: Vec::new(),
            clock,
            life: 0,
            servers: 0,
            store_up: true,
            refusing: false,
            seen: None,
            replaced: false,
            commits: VecDeque::new(),
            next_request: 0,
            halted: None,
        });
        at
    }

    fn config(&mut self, region: usize) -> Config {
        let name = |n: usize| format!("region-{}", n + 1);
        let id = |n: usize| RegionId(u16::try_from(n + 1).unwrap_or(u16::MAX));
        // A region added later is no configured peer of the first ones: it joins.
        let first = self.setup.regions;
        let peers = (0..first.max(region + 1)).filter(|n| *n != region && (*n < first || region >= first));
        Config {
            shard: ShardId(0),
            shards: 1,
            cluster: "simulated".to_owned(),
            region: id(region),
            name: name(region),
            peers: peers.map(|n| (id(n), name(n))).collect(),
            bootstrap: false,
            limits: self.setup.limits.clone(),
            exchange: cartograph_replica::exchange::Config::default(),
            seed: self.chance.below(u64::MAX),
        }
    }

    // -- what may be done to a region

    /// Starts the node of a region.
    pub fn start(&mut self, region: usize) {
        let config = self.config(region);
        let Some(r) = self.regions.get_mut(region) else {
            return;
        };
        if r.shard.is_some() {
            return;
        }
        r.life += 1;
        let life = r.life;
        r.shard = Some(Shard::open(config));
        let mut out = Vec::new();
        if let Some(shard) = &mut r.shard {
            shard.start(&mut out);
        }
        self.perform(region, out);
        self.at(TICK_MS, Event::Tick { region, life });
        for other in 0..self.regions.len() {
            if other != region {
                self.at(
                    1,
                    Event::Dial {
                        from: region,
                        to: other,
                    },
                );
            }
        }
    }

    /// Kills the node of a region: what was in flight to the store may or may not have happened.
    pub fn crash(&mut self, region: usize) {
        let happens = if let Some(r) = self.regions.get(region) {
            r.commits.len()
        } else {
            0
        };
        // Any number of the commits on their way may still reach the store, in order.
        let reach = self.chance.index(happens + 1);
        if let Some(r) = self.regions.get_mut(region) {
            r.shard = None;
            r.life += 1;
            for (_, commit) in r.commits.drain(..).take(reach) {
                record(&mut self.entries, &mut self.faults, &mut r.store, &commit);
            }
        }
        for other in 0..self.regions.len() {
            self.hang_up(region, other);
            self.hang_up(other, region);
        }
    }

    /// Takes everything that a region has stored.
    pub fn image(&self, region: usize) -> Option<Image> {
        self.regions.get(region).map(|r| r.store.image())
    }

    /// Kills the store of a region and puts back an older image (or an empty one): its server is a new process.
    pub fn restore(&mut self, region: usize, image: Option<&Image>) {
        let Some(r) = self.regions.get_mut(region) else {
            return;
        };
        match image {
            Some(image) => r.store.restore(image),
            None => r.store = MemoryStore::new(r.clock.clone()),
        }
        r.servers += 1;
        r.replaced = true;
        let server = format!("server-{}-{}", r.id, r.servers);
        r.store.set_server(server);
        self.break_store(region);
    }

    /// Restarts the store of a region with everything in it: a new server process.
    pub fn restart_store(&mut self, region: usize) {
        if let Some(image) = self.image(region) {
            self.restore(region, Some(&image));
        }
    }

    /// Stops the store, or starts it again with everything in it, the same server.
    pub fn set_store(&mut self, region: usize, up: bool) {
        if !up {
            self.break_store(region);
        }
        if let Some(r) = self.regions.get_mut(region) {
            r.store_up = up;
        }
    }

    /// Breaks the connection to the store: commits on their way may or may not have happened.
    pub fn break_store(&mut self, region: usize) {
        let on_the_way = self.regions.get(region).map_or(0, |r| r.commits.len());
        let reach = self.chance.index(on_the_way + 1);
        let Some(r) = self.regions.get_mut(region) else {
            return;
        };
        let life = r.life;
        let commits: Vec<_> = r.commits.drain(..).collect();
        let mut outcomes = Vec::new();
        for (n, (_, commit)) in commits.into_iter().enumerate() {
            if n < reach {
                record(&mut self.entries, &mut self.faults, &mut r.store, &commit);
            }
            outcomes.push(commit.batch);
        }
        for batch in outcomes {
            let outcome = Outcome::Unknown {
                reason: "the connection broke".to_owned(),
            };
            self.at(
                1,
                Event::Outcome {
                    region,
                    life,
                    batch,
                    outcome,
                },
            );
        }
    }

    /// Cuts or heals the link from one region to another.
    pub fn set_link(&mut self, from: usize, to: usize, up: bool) {
        if let Some(link) = self.links.get_mut(&(from, to)) {
            link.up = up;
        }
        if up {
            self.at(1, Event::Dial { from, to });
        } else {
            self.hang_up(from, to);
        }
    }

    /// Heals every link.
    pub fn heal(&mut self) {
        let down: Vec<_> = self
            .links
            .iter()
            .filter(|(_, l)| !l.up)
            .map(|(pair, _)| *pair)
            .collect();
        for (from, to) in down {
            self.set_link(from, to, true);
        }
    }

    fn hang_up(&mut self, from: usize, to: usize) {
        let Some(link) = self.links.get_mut(&(from, to)) else {
            return;
        };
        link.epoch += 1;
        if !std::mem::take(&mut link.connected) {
            return;
        }
        let (a, b) = (self.region_id(from), self.region_id(to));
        self.give(
            from,
            Input::Disconnected {
                peer: b,
                direction: Direction::Out,
            },
        );
        self.give(
            to,
            Input::Disconnected {
                peer: a,
                direction: Direction::In,
            },
        );
        self.at(100, Event::Dial { from, to });
    }

    /// Sends a request to a region's node; `None` when it is not running.
    pub fn request(&mut self, region: usize, commands: Vec<Command>) -> Option<RequestId> {
        self.request_once(region, commands, None)
    }

    /// The same with an idempotency key.
    pub fn request_once(
        &mut self,
        region: usize,
        commands: Vec<Command>,
        idempotency_key: Option<Vec<u8>>,
    ) -> Option<RequestId> {
        let r = self.regions.get_mut(region)?;
        r.shard.as_ref()?;
        r.next_request += 1;
        let id = RequestId(r.next_request);
        let request = Request::new(commands, idempotency_key);
        self.give(region, Input::Request { id, request });
        Some(id)
    }

    /// Tells a region's node that another region is gone for good; `None` when it is not running.
    pub fn forget(&mut self, region: usize, gone: usize) -> Option<RequestId> {
        let gone = self.region_id(gone);
        let r = self.regions.get_mut(region)?;
        r.shard.as_ref()?;
        r.next_request += 1;
        let id = RequestId(r.next_request);
        let order = Admin::Forget { region: gone, id };
        self.give(region, Input::Admin(order));
        Some(id)
    }

    /// Orders a region's node to rebuild a view.
    pub fn repair(&mut self, region: usize, key: &[u8]) {
        let key = key.to_vec();
        self.give(region, Input::Admin(Admin::Repair { key }));
    }

    // -- time

    /// Lets time pass.
    pub fn run(&mut self, ms: u64) {
        let until = self.now_ms + ms;
        while let Some((&(at, n), _)) = self.events.first_key_value() {
            if at > until {
                break;
            }
            let Some(event) = self.events.remove(&(at, n)) else {
                break;
            };
            self.now_ms = at;
            self.set_clocks();
            self.happen(event);
        }
        self.now_ms = until;
        self.set_clocks();
    }

    fn set_clocks(&mut self) {
        for r in &self.regions {
            r.clock
                .set((EPOCH_MS + self.now_ms).saturating_add_signed(r.skew_ms));
        }
    }

    fn at(&mut self, in_ms: u64, event: Event) {
        self.count += 1;
        self.events.insert((self.now_ms + in_ms, self.count), event);
    }

    fn now(&self, region: usize) -> Now {
        let skew = self.regions.get(region).map_or(0, |r| r.skew_ms);
        let wall_ms = (EPOCH_MS + self.now_ms).saturating_add_signed(skew);
        Now {
            wall_ms,
            store_ms: wall_ms,
            monotonic_ms: self.now_ms,
        }
    }

    fn region_id(&self, region: usize) -> RegionId {
        self.regions.get(region).map_or(RegionId(0), |r| r.id)
    }

    fn index_of(&self, id: RegionId) -> Option<usize> {
        self.regions.iter().position(|r| r.id == id)
    }

    fn give(&mut self, region: usize, input: Input) {
        let now = self.now(region);
        let mut out = Vec::new();
        if let Some(shard) = self.regions.get_mut(region).and_then(|r| r.shard.as_mut()) {
            shard.handle(input, now, &mut out);
        }
        self.perform(region, out);
    }

    fn perform(&mut self, region: usize, out: Vec<Output>) {
        let life = self.regions.get(region).map_or(0, |r| r.life);
        for output in out {
            if self.now_ms >= self.trace_from_ms {
                eprintln!("{} r{region} {output:?}", self.now_ms);
            }
            if let Some(trace) = &mut self.trace {
                trace.push(format!("{} r{region} {output:?}", self.now_ms));
            }
            match output {
                Output::Load { id, load } => self.at(
                    STORE_MS,
                    Event::Load {
                        region,
                        life,
                        id,
                        load,
                    },
                ),
                Output::Commit(commit) => {
                    if let Some(r) = self.regions.get_mut(region) {
                        r.commits.push_back((life, commit));
                    }
                    self.at(STORE_MS, Event::Commit { region, life });
                }
                Output::Claim => self.at(5, Event::Claim { region, life }),
                Output::Reply { id, result } => {
                    if let Some(r) = self.regions.get_mut(region) {
                        r.answers.insert(id, result);
                    }
                }
                Output::Inspected { .. } => {}
                Output::Members(members) => {
                    let others = members.into_iter().filter_map(|id| self.index_of(id));
                    for to in others.filter(|to| *to != region).collect::<Vec<_>>() {
                        self.at(1, Event::Dial { from: region, to });
                    }
                }
                Output::Send { peer, message } => self.send(region, peer, &message),
                Output::Back { peer, message } => self.send_back(region, peer, &message),
                Output::Close {
                    peer,
                    direction,
                    reason,
                } => {
                    if let Some(trace) = &mut self.trace {
                        trace.push(format!("{} r{region} closes {peer}: {reason}", self.now_ms));
                    }
                    if let Some(other) = self.index_of(peer) {
                        match direction {
                            Direction::Out => self.hang_up(region, other),
                            Direction::In => self.hang_up(other, region),
                        }
                    }
                }
                Output::Halt { reason } => {
                    if let Some(r) = self.regions.get_mut(region) {
                        r.halted = Some(reason);
                    }
                }
                Output::Wake { at_ms } => {
                    let in_ms = at_ms.saturating_sub(self.now_ms);
                    self.at(in_ms, Event::Wake { region, life });
                }
                Output::Event(event) => {
                    if let Some(r) = self.regions.get_mut(region) {
                        r.events.push(event);
                    }
                }
            }
        }
    }

    fn send(&mut self, from: usize, peer: RegionId, message: &Message) {
        let Some(to) = self.index_of(peer) else { return };
        if let Ok(bytes) = message.to_bytes() {
            self.transmit(from, to, bytes, false);
        }
    }

    fn send_back(&mut self, region: usize, peer: RegionId, message: &BackMessage) {
        let Some(dialler) = self.index_of(peer) else {
            return;
        };
        if let Ok(bytes) = message.to_bytes() {
            self.transmit(dialler, region, bytes, true);
        }
    }

    fn transmit(&mut self, from: usize, to: usize, bytes: Vec<u8>, back: bool) {
        let now = self.now_ms;
        let Some(link) = self.links.get_mut(&(from, to)) else {
            return;
        };
        if !link.connected {
            return;
        }
        let jitter = if link.jitter_ms == 0 {
            0
        } else {
            self.chance.below(link.jitter_ms)
        };
        let [forth_slot, back_slot] = &mut link.arrives;
        let slot = if back { back_slot } else { forth_slot };
        let arrives = (now + link.latency_ms + jitter).max(*slot);
        *slot = arrives;
        let epoch = link.epoch;
        self.at(
            arrives - now,
            Event::Message {
                from,
                to,
                epoch,
                bytes,
                back,
            },
        );
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Commit { region, life } => self.commit(region, life),
            Event::Outcome {
                region,
                life,
                batch,
                outcome,
            } => {
                if self.regions.get(region).is_some_and(|r| r.life == life) {
                    self.give(region, Input::Committed { batch, outcome });
                }
            }
            Event::Load {
                region,
                life,
                id,
                load,
            } => {
                let Some(r) = self.regions.get(region).filter(|r| r.life == life) else {
                    return;
                };
                let result = if r.store_up {
                    r.store.load(ShardId(0), &load).map_err(|e| e.to_string())
                } else {
                    Err("the store is down".to_owned())
                };
                self.give(region, Input::Loaded { id, result });
            }
            Event::Claim { region, life } => self.claim(region, life),
            Event::Dial { from, to } => self.dial(from, to),
            Event::Greet {
                from,
                to,
                epoch,
                hello,
                life,
            } => self.greet(from, to, epoch, hello, life),
            Event::Welcome {
                from,
                to,
                epoch,
                hello,
            } => {
                let peer = self.region_id(to);
                if self
                    .links
                    .get(&(from, to))
                    .is_some_and(|l| l.epoch == epoch && l.connected)
                {
                    let welcome = Box::new(Welcome { hello: *hello });
                    self.give(from, Input::Connected { peer, welcome });
                }
            }
            Event::Message {
                from,
                to,
                epoch,
                bytes,
                back,
            } => {
                if self
                    .links
                    .get(&(from, to))
                    .is_none_or(|l| l.epoch != epoch || !l.connected)
                {
                    return;
                }
                if back {
                    let peer = self.region_id(to);
                    if let Ok(message) = BackMessage::from_bytes(&bytes) {
                        self.give(from, Input::Acked { peer, message });
                    }
                } else {
                    let peer = self.region_id(from);
                    if let Ok(message) = Message::from_bytes(&bytes) {
                        self.give(to, Input::Received { peer, message });
                    }
                }
            }
            Event::Tick { region, life } => {
                if self
                    .regions
                    .get(region)
                    .is_some_and(|r| r.life == life && r.shard.is_some())
                {
                    self.give(region, Input::Tick);
                    self.suspect(region);
                    self.look_back(region);
                    self.at(TICK_MS, Event::Tick { region, life });
                }
            }
            Event::Wake { region, life } => {
                if self
                    .regions
                    .get(region)
                    .is_some_and(|r| r.life == life && r.shard.is_some())
                {
                    self.give(region, Input::Tick);
                }
            }
        }
    }

    fn commit(&mut self, region: usize, life: u64) {
        let Some(r) = self.regions.get_mut(region) else {
            return;
        };
        if r.commits.front().is_none_or(|(l, _)| *l != life) {
            return;
        }
        let Some((_, commit)) = r.commits.pop_front() else {
            return;
        };
        let batch = commit.batch;
        let outcome = if !r.store_up {
            Outcome::Unknown {
                reason: "the store is down".to_owned(),
            }
        } else if r.refusing && !commit.freeing {
            Outcome::Refused {
                reason: "OOM".to_owned(),
            }
        } else {
            record(&mut self.entries, &mut self.faults, &mut r.store, &commit)
        };
        self.at(
            STORE_MS,
            Event::Outcome {
                region,
                life,
                batch,
                outcome,
            },
        );
    }

    fn claim(&mut self, region: usize, life: u64) {
        let random = self.chance.bits16();
        let Some(r) = self.regions.get_mut(region).filter(|r| r.life == life) else {
            return;
        };
        if !r.store_up {
            return self.at(50, Event::Claim { region, life });
        }
        // A claim executes after everything sent before it on the same connection.
        let before: Vec<_> = r.commits.drain(..).collect();
        let mut outcomes = Vec::new();
        for (_, commit) in before {
            let outcome = record(&mut self.entries, &mut self.faults, &mut r.store, &commit);
            outcomes.push((commit.batch, outcome));
        }
        if std::mem::take(&mut r.replaced) {
            r.seen = None;
        }
        let claimed = r.store.claim(ShardId(0));
        for (batch, outcome) in outcomes {
            self.give(region, Input::Committed { batch, outcome });
        }
        match claimed {
            Ok(claim) => self.give(
                region,
                Input::Claimed {
                    claim: Box::new(claim),
                    random,
                },
            ),
            Err(_) => self.at(50, Event::Claim { region, life }),
        }
    }

    fn dial(&mut self, from: usize, to: usize) {
        let now = self.now(from);
        let ready = self
            .regions
            .get(from)
            .and_then(|r| r.shard.as_ref())
            .is_some_and(Shard::is_claimed);
        let Some(link) = self.links.get(&(from, to)) else {
            return;
        };
        if link.connected || self.regions.get(from).is_none_or(|r| r.shard.is_none()) {
            return;
        }
        if !link.up || !ready {
            return self.at(100, Event::Dial { from, to });
        }
        let (latency, epoch) = (link.latency_ms, link.epoch);
        let Some(hello) = self
            .regions
            .get(from)
            .and_then(|r| r.shard.as_ref())
            .map(|s| s.greeting(now))
        else {
            return;
        };
        let life = self.regions.get(from).map_or(0, |r| r.life);
        self.at(
            latency,
            Event::Greet {
                from,
                to,
                epoch,
                hello: Box::new(hello),
                life,
            },
        );
    }

    fn greet(&mut self, from: usize, to: usize, epoch: u64, hello: Box<Hello>, life: u64) {
        let now = self.now(to);
        let current = self
            .links
            .get(&(from, to))
            .is_some_and(|l| l.epoch == epoch && l.up && !l.connected);
        if self.regions.get(from).is_none_or(|r| r.life != life) {
            return;
        }
        if !current {
            return self.at(100, Event::Dial { from, to });
        }
        let admitted = match self.regions.get(to).and_then(|r| r.shard.as_ref()) {
            Some(shard) if shard.is_claimed() => shard.admit(&hello, now).ok(),
            Some(_) | None => None,
        };
        let Some(ours) = admitted else {
            return self.at(100, Event::Dial { from, to });
        };
        let latency = match self.links.get_mut(&(from, to)) {
            Some(link) => {
                link.connected = true;
                link.arrives = [0, 0];
                link.latency_ms
            }
            None => return,
        };
        // What the listener sends back arrives after the welcome.
        if let Some(link) = self.links.get_mut(&(from, to)) {
            link.arrives = [0, self.now_ms + latency];
        }
        self.at(
            latency,
            Event::Welcome {
                from,
                to,
                epoch,
                hello: Box::new(ours),
            },
        );
        let peer = self.region_id(from);
        self.give(to, Input::Accepted { peer, hello });
    }

    /// A node looks after its store's server now and then: an idle one notices, too, that it was replaced.
    fn suspect(&mut self, region: usize) {
        let replaced = self.regions.get(region).is_some_and(|r| r.replaced);
        if replaced && self.now_ms % SUSPECT_MS < TICK_MS {
            self.give(region, Input::StoreSuspect);
        }
    }

    /// A region's vector never shrinks, unless its store was replaced.
    fn look_back(&mut self, region: usize) {
        let Some(r) = self.regions.get_mut(region) else {
            return;
        };
        let Some(shard) = r.shard.as_ref().filter(|s| s.is_claimed()) else {
            return;
        };
        if r.replaced {
            return;
        }
        let vector = shard.vector();
        if let Some(seen) = &r.seen
            && !vector.dominates(seen)
        {
            let fault = format!(
                "{} region {region}: its vector went back from {seen} to {vector}",
                self.now_ms
            );
            self.faults.push(fault);
        }
        r.seen = Some(vector);
    }

    // -- what can be seen

    /// Is every running region's state equal: vectors and digests?
    pub fn converged(&self) -> bool {
        let states: BTreeSet<String> = (0..self.regions.len()).filter_map(|n| self.state(n)).collect();
        states.len() <= 1
    }

    /// A region's vector and digests as text, while it runs.
    pub fn state(&self, region: usize) -> Option<String> {
        let shard = self.regions.get(region)?.shard.as_ref()?;
        let status = shard.status(self.now(region));
        let digests: Vec<_> = status
            .digests
            .iter()
            .enumerate()
            .filter(|(_, d)| **d != 0)
            .collect();
        Some(format!("{} {digests:?}", status.vector))
    }

    /// What a region has applied, while it runs.
    pub fn vector(&self, region: usize) -> Option<VersionVector> {
        let shard = self.regions.get(region)?.shard.as_ref()?;
        Some((*shard.vector()).clone())
    }

    /// How many keys a region holds.
    pub fn keys(&self, region: usize) -> u64 {
        let shard = self.regions.get(region).and_then(|r| r.shard.as_ref());
        shard.map_or(0, |s| s.status(self.now(region)).keys)
    }

    /// The life of a region's node: another one after every crash and start.
    pub fn life(&self, region: usize) -> u64 {
        self.regions.get(region).map_or(0, |r| r.life)
    }

    /// Why a region takes no writes now, if it does not.
    pub fn not_writable(&self, region: usize) -> Option<String> {
        let shard = self.regions.get(region)?.shard.as_ref()?;
        shard.status(self.now(region)).not_writable
    }

    /// Why a region's node stopped for good, if it did.
    pub fn halted(&self, region: usize) -> Option<&str> {
        self.regions.get(region)?.halted.as_deref()
    }

    /// A region's clock reading, Unix milliseconds.
    pub fn clock_ms(&self, region: usize) -> u64 {
        self.now(region).wall_ms
    }

    /// Takes the answer to a request, if it is there.
    pub fn answer(&mut self, region: usize, id: RequestId) -> Option<Result<Done, RequestError>> {
        self.regions.get_mut(region)?.answers.remove(&id)
    }

    /// Runs until every region is equal and quiet, for at most `ms`. Tells whether that came.
    pub fn settle(&mut self, ms: u64) -> bool {
        let until = self.now_ms + ms;
        let mut equal = 0;
        while self.now_ms < until {
            self.run(50);
            equal = if self.converged() { equal + 1 } else { 0 };
            if equal >= 4 {
                return true;
            }
        }
        false
    }
}

/// Gives a commit to the store, and sees that no dot is ever used for two entries.
fn record(
    entries: &mut BTreeMap<(ReplicaId, u64), u64>,
    faults: &mut Vec<String>,
    store: &mut MemoryStore,
    commit: &Commit,
) -> Outcome {
    let outcome = store.commit(commit);
    if outcome != Outcome::Committed {
        return outcome;
    }
    for append in &commit.log {
        for entry in decode_record(&append.record).unwrap_or_default() {
            let text = format!("{entry:?}");
            let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
                (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
            });
            let first = *entries
                .entry((entry.replica, entry.sequence.get()))
                .or_insert(hash);
            if first != hash {
                faults.push(format!("a dot was used twice: {text}"));
            }
        }
    }
    outcome
}
