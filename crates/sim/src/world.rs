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

mod events;
mod network;
mod nodes;
mod witness;

use events::Event;
use witness::Stored;
pub use witness::Witness;

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
    /// So many of 1,000 messages are lost on the way. The transport repeats them, later each time, which holds up all
    /// that comes after; when it has done so often, the connection breaks, with all that was on its way.
    pub loss: u64,
    /// So many of 1,000 messages of entries and acknowledgements arrive twice, or after the next ones: what a repeated
    /// connection and a relay do.
    pub disorder: u64,
    epoch: u64,
    connected: bool,
    /// When the last message in each direction arrives: order is kept.
    arrives: [u64; 2],
}

/// What happened to messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Sent.
    pub messages: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Lost and sent again by the transport.
    pub lost: u64,
    /// Connections that broke of it.
    pub broken: u64,
    /// Delivered twice.
    pub repeated: u64,
    /// Delivered out of order.
    pub overtaken: u64,
}

/// One region.
#[expect(clippy::struct_excessive_bools, reason = "each says one thing of the region")]
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
    stored: Stored,
    /// What the store held before each of its last commits.
    tail: VecDeque<Kept>,
    /// It died for good.
    gone: bool,
    next_request: u64,
    halted: Option<String>,
}

impl Region {
    fn keep(&self) -> Kept {
        Kept {
            image: self.store.image(),
            vector: self.stored.vector.clone(),
            ahead: self.stored.ahead.clone(),
        }
    }
}

/// Everything that a store held at one moment.
#[derive(Clone, Debug)]
pub struct Kept {
    /// The store's own image.
    pub image: Image,
    vector: VersionVector,
    ahead: VersionVector,
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
    /// Of each store, what it held before each of so many last commits is kept: what a torn log can lose.
    pub tail_commits: usize,
    /// Every message as it was sent, where wanted: a corpus for damaged bytes.
    pub sent: Option<Vec<Vec<u8>>>,
    /// Counts of what happened on links: messages, and what befell them.
    pub traffic: Traffic,
    /// What must never happen and did.
    pub faults: Vec<String>,
    /// What the simulator itself knows: the history, and what anybody was told.
    pub witness: Witness,
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
            tail_commits: 0,
            sent: None,
            traffic: Traffic::default(),
            faults: Vec::new(),
            witness: Witness {
                comparing: true,
                ..Witness::default()
            },
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
                    loss: 0,
                    disorder: 0,
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
            stored: Stored::default(),
            tail: VecDeque::new(),
            gone: false,
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
        for r in &mut self.regions {
            let now_ms = (EPOCH_MS + self.now_ms).saturating_add_signed(r.skew_ms);
            r.clock.set(now_ms);
            r.stored.time_ms_max = r.stored.time_ms_max.max(now_ms);
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

    // -- what can be seen

    /// Is every running region's state equal: vectors and digests?
    pub fn converged(&self) -> bool {
        let running = self.regions.iter().filter_map(|r| r.shard.as_ref());
        let vectors = running.map(Shard::vector).collect::<Vec<_>>();
        if vectors.windows(2).any(|pair| matches!(pair, [a, b] if a != b)) {
            return false;
        }
        let statuses = (0..self.regions.len()).filter_map(|n| {
            let shard = self.regions.get(n)?.shard.as_ref()?;
            Some(shard.status(self.now(n)))
        });
        let mut states = statuses.map(|s| (s.vector, s.digests));
        let first = states.next();
        states.all(|state| Some(&state) == first.as_ref())
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
