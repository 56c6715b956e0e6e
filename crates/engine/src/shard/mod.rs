//! The shard machine: one ordered queue in front of one store.
//!
//! Everything that changes a shard goes through here: clients' requests, peers' entries, rows of a snapshot, and the
//! shard's own upkeep. Each round takes what waits (never a timer to wait for more), evaluates it on the rows in
//! memory, and makes one commit of it; up to three are in flight. The state *after* all commits in flight is `next`,
//! on which new commits build; the state after the last one that is done is `done`, and only that is told to anybody:
//! nothing is sent to a peer or acknowledged to a client that is not committed here.
//!
//! When a commit fails, everything after it fails with it (the store checks consecutive numbers). Then `next` falls
//! back to `done`, the cache is emptied, and what was in flight waits in front of the queue again, in order.
//!
//! | file | what it does |
//! |---|---|
//! | `flight.rs` | commits in flight, their outcomes, falling back |
//! | `claim.rs` | claims, incarnations |
//! | `local.rs` | clients' requests |
//! | `remote.rs` | peers' entries |
//! | `rows.rs` | loads into the cache |
//! | `snapshot.rs` | joining and serving snapshots |
//! | `members.rs` | who is a member, who may write |
//! | `retire.rs` | lives that are over everywhere |
//! | `upkeep.rs` | purge, collection, trims, repairs, clocks |

mod claim;
mod flight;
mod local;
mod members;
mod remote;
mod retire;
mod rows;
mod snapshot;
mod status;
mod upkeep;
#[cfg(test)]
mod watch_tests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use cartograph_crdt::stored::ReplicaTable;
use cartograph_crdt::{Hlc, Incarnation, RegionId, ReplicaId, ShardId, VersionVector};
use cartograph_replica::commit::BUCKETS;
use cartograph_replica::exchange::{self, Direction, Exchange};
use cartograph_replica::{BatchId, Entry, Fence, Key};

use crate::api::{Admin, Event, Input, Now, Output, RequestError, RequestId};
use crate::cache::Cache;
use crate::head::{LogPart, Members};
use crate::writer::Chance;

pub use status::ShardStatus;

/// Bounds of a shard. Each is tested at the limit and one past it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Requests that may wait; one more is refused.
    pub queue_requests_max: usize,
    /// Commands in one commit.
    pub batch_commands_max: usize,
    /// Bytes of entries in one commit; a larger entry is a commit of its own.
    pub batch_bytes_max: usize,
    /// Commits in flight.
    pub in_flight_max: usize,
    /// Waiting requests from which more than one commit is put in flight.
    pub in_flight_from: usize,
    /// Rows in memory, in bytes.
    pub cache_bytes_max: usize,
    /// The log's cap in bytes, over all origins.
    pub log_bytes_max: u64,
    /// Entries that the log keeps of each origin even when everyone has them.
    pub log_entries_min: u64,
    /// How long the log keeps entries even when everyone has them, in milliseconds.
    pub log_age_min_ms: u64,
    /// How long idempotent replies are kept, in milliseconds.
    pub reply_age_ms: u64,
    /// How long a region with a new incarnation waits for its own lost entries before it says that it is ready.
    pub recovery_ms_max: u64,
    /// How long after its end a life of this region's store is retired, if every region has all of it.
    pub retire_after_ms: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            queue_requests_max: 16_384,
            batch_commands_max: 256,
            batch_bytes_max: 256 << 10,
            in_flight_max: 3,
            in_flight_from: 32,
            cache_bytes_max: 256 << 20,
            log_bytes_max: 256 << 20,
            log_entries_min: 10_000,
            log_age_min_ms: 3_600_000,
            reply_age_ms: 24 * 3_600_000,
            recovery_ms_max: 5_000,
            retire_after_ms: 24 * 3_600_000,
        }
    }
}

/// What a shard machine is told at its start.
#[derive(Clone, Debug)]
pub struct Config {
    /// Which shard.
    pub shard: ShardId,
    /// How many there are.
    pub shards: u16,
    /// The cluster's name.
    pub cluster: String,
    /// This region's id.
    pub region: RegionId,
    /// This region's name.
    pub name: String,
    /// Configured peers: with an empty store, whom to wait for, and who the first members are.
    pub peers: BTreeMap<RegionId, String>,
    /// Start a cluster alone although peers are configured.
    pub bootstrap: bool,
    /// Bounds.
    pub limits: Limits,
    /// Bounds of the exchange.
    pub exchange: exchange::Config,
    /// Seed of the choices that Redis leaves to chance.
    pub seed: u64,
}

/// The state that a commit moves on.
#[derive(Clone, Debug)]
struct Tip {
    batch: BatchId,
    sequence: u64,
    vector: VersionVector,
    hlc: Hlc,
    /// The expiry clock, as committed: it never reads less again.
    expiry_ms: u64,
    digests: Vec<u64>,
    keys: u64,
}

impl Default for Tip {
    fn default() -> Self {
        Tip {
            batch: BatchId(0),
            sequence: 0,
            vector: VersionVector::new(),
            hlc: Hlc::default(),
            expiry_ms: 0,
            digests: vec![0; usize::from(BUCKETS)],
            keys: 0,
        }
    }
}

/// Where the machine stands with its store.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Standing {
    /// Waiting for a claim.
    Unclaimed,
    /// The store is ours.
    Owner,
    /// It cannot be run on this store.
    Halted,
}

/// Why the log of one origin could be trimmed, and how much it holds.
#[derive(Clone, Debug, Default)]
struct LogBook {
    part: LogPart,
    /// Sequence reached at some earlier times (monotonic milliseconds), oldest first: for keeping the last hour.
    times: VecDeque<(u64, u64)>,
}

/// What a region with a new incarnation waits for before it writes.
///
/// Its store may have been rolled back, and garbage may have been collected elsewhere because it had once reported to
/// have seen something that it has now forgotten. A write that has not seen that again would meet rules that some
/// regions have forgotten and others have not. What is stable anywhere has been applied by every member, so it is
/// enough to catch up with what the peers say when they are first heard of.
#[derive(Debug, Default)]
struct Recovery {
    /// What the peers had applied when they greeted since.
    targets: BTreeMap<RegionId, (ReplicaId, VersionVector)>,
}

/// One shard.
#[derive(Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a fact of its own, not a state of one machine"
)]
pub struct Shard {
    config: Config,
    standing: Standing,
    now: Now,
    me: ReplicaId,
    server: String,
    fence: Fence,
    /// A new incarnation must begin at the next claim, whatever the store says.
    renew: bool,
    /// Another owner has been met since the last claim.
    usurped: bool,
    /// The latest life of ours that a peer knows of.
    latest_heard: Option<Incarnation>,
    /// No write before then (monotonic), unless the own lost entries are back.
    recovering_until_ms: Option<u64>,
    recovery: Recovery,
    /// Rows in memory are ahead of what any commit says: forget them at the next claim.
    dirty: bool,
    fresh: bool,
    next: Tip,
    done: Tip,
    table: ReplicaTable,
    table_stored: usize,
    members: Members,
    members_stored: bool,
    log: BTreeMap<ReplicaId, LogBook>,
    /// What some rows here have seen beyond our vector, all together.
    ahead: VersionVector,
    cache: Cache,
    chance: Chance,
    queue: VecDeque<local::Waiting>,
    draining: bool,
    system: VecDeque<members::SystemWrite>,
    remote: VecDeque<Entry>,
    tasks: VecDeque<upkeep::Task>,
    in_flight: VecDeque<flight::InFlight>,
    /// Outcomes still to come of commits that were given up because one before them failed.
    ignored: usize,
    /// No commit before then (monotonic): the store refused one.
    paused_until_ms: u64,
    rows: rows::Rows,
    upkeep: upkeep::Upkeep,
    joining: Option<snapshot::Joining>,
    /// The retired lives that were told of last, by region.
    floors_told: BTreeMap<RegionId, ReplicaId>,
    exchange: Exchange,
    turn: u8,
    /// Clients' writes stop, so that peers' entries and collection still have room.
    memory_full: bool,
    /// The next wake-up that was asked for.
    wake_ms: Option<u64>,
}

impl Shard {
    /// A machine that has not seen its store yet: begin with the outputs of [`Shard::start`].
    pub fn open(config: Config) -> Self {
        let me = ReplicaId {
            region: config.region,
            incarnation: Incarnation(0),
        };
        Shard {
            standing: Standing::Unclaimed,
            now: Now::default(),
            me,
            server: String::new(),
            fence: Fence::default(),
            renew: false,
            usurped: false,
            latest_heard: None,
            recovering_until_ms: None,
            recovery: Recovery::default(),
            dirty: false,
            fresh: true,
            next: Tip::default(),
            done: Tip::default(),
            table: ReplicaTable::default(),
            table_stored: 0,
            members: Members::default(),
            members_stored: false,
            log: BTreeMap::new(),
            ahead: VersionVector::new(),
            cache: Cache::new(config.limits.cache_bytes_max),
            chance: Chance(config.seed),
            queue: VecDeque::new(),
            draining: false,
            system: VecDeque::new(),
            remote: VecDeque::new(),
            tasks: VecDeque::new(),
            in_flight: VecDeque::new(),
            ignored: 0,
            paused_until_ms: 0,
            rows: rows::Rows::default(),
            upkeep: upkeep::Upkeep::default(),
            joining: None,
            floors_told: BTreeMap::new(),
            exchange: Exchange::new(config.exchange.clone(), me, 0),
            turn: 0,
            memory_full: false,
            wake_ms: None,
            config,
        }
    }

    /// The first thing to do: claim the store.
    pub fn start(&mut self, out: &mut Vec<Output>) {
        out.push(Output::Claim);
    }

    /// Takes one input and says what to do now. See [`crate::api`] for what the driver promises.
    pub fn handle(&mut self, input: Input, now: Now, out: &mut Vec<Output>) {
        self.now = now;
        self.wake_ms = self.wake_ms.filter(|at| *at > now.monotonic_ms);
        match input {
            Input::Request { id, request } => self.request(id, request, out),
            Input::Requests(requests) => {
                for (id, request) in requests {
                    self.request(id, request, out);
                }
            }
            Input::Connected { peer, welcome } => {
                self.exchange.connected(peer, &welcome, now.wall_ms);
                self.heard(&welcome.hello);
                self.outlive(&welcome.hello, out);
            }
            Input::Accepted { peer, hello } => {
                self.exchange.accepted(peer, &hello, now.wall_ms);
                self.heard(&hello);
                self.outlive(&hello, out);
            }
            Input::Disconnected { peer, direction } => {
                let events = self.exchange.disconnected(peer, direction);
                self.exchange_events(events, out);
            }
            Input::Received { peer, message } => {
                let applied = self.applied_for_park();
                match self.exchange.received(peer, message, &applied, now.wall_ms) {
                    Ok(events) => self.exchange_events(events, out),
                    Err(e) => close(peer, Direction::In, &e, out),
                }
            }
            Input::Acked { peer, message } => {
                if let Err(e) = self.exchange.acked(peer, message, now.wall_ms) {
                    close(peer, Direction::Out, &e, out);
                }
            }
            Input::Loaded { id, result } => self.loaded(id, result, out),
            Input::Committed { batch, outcome } => self.outcome(batch, outcome, out),
            Input::Claimed { claim, random } => self.claimed(&claim, random, out),
            Input::StoreSuspect => self.probe_store(),
            Input::MemoryFull(full) => self.memory_full = full,
            Input::Tick => self.tick(out),
            Input::Admin(admin) => self.admin(admin, out),
        }
        self.pump(out);
    }

    /// Does what can be done now: evaluates, commits, loads, sends.
    fn pump(&mut self, out: &mut Vec<Output>) {
        while self.standing == Standing::Owner
            && self.ignored == 0
            && self.now.monotonic_ms >= self.paused_until_ms
            && self.in_flight.len() < self.slots()
        {
            self.rows.begin_round();
            // The kinds of work take turns, so that none starves; upkeep comes before either, being rare and short.
            self.turn = self.turn.wrapping_add(1);
            // After a refusal they all take turns: what the store refuses must not stand in the way of what frees
            // memory, nor of clients' answers.
            let turn = self.turn % 4;
            let mut began = match turn {
                0 if self.upkeep.refused_last => self.begin_local(out),
                1 if self.upkeep.refused_last => self.begin_remote(out),
                _ => false,
            };
            began = began || self.begin_task(out);
            if !began && self.upkeep.repairs_first(&self.rows.damaged) {
                break;
            }
            began = began || self.begin_system(out) || self.begin_in_turn(turn.is_multiple_of(2), out);
            if !began {
                break;
            }
        }
        let rows = &self.rows;
        self.cache.evict(self.done.batch, |key| rows.is_needed(key));
        self.poll_exchange(out);
    }

    /// Remote entries first, or local requests.
    fn begin_in_turn(&mut self, remote_first: bool, out: &mut Vec<Output>) -> bool {
        if remote_first && self.begin_remote(out) {
            return true;
        }
        self.begin_local(out) || (!remote_first && self.begin_remote(out))
    }

    /// How many commits may be in flight now.
    fn slots(&self) -> usize {
        let many = self.queue.len() >= self.config.limits.in_flight_from || self.remote.len() >= 256;
        if many { self.config.limits.in_flight_max } else { 1 }
    }

    /// What has been applied here, as far as the park is concerned: commits in flight included, and what waits to be
    /// applied in order as well.
    fn applied_for_park(&self) -> VersionVector {
        let mut applied = self.next.vector.clone();
        for entry in &self.remote {
            applied.raise(entry.replica, entry.sequence.get());
        }
        applied
    }

    /// Asks to be woken at `at_ms` (monotonic), unless that is earlier already.
    fn wake(&mut self, at_ms: u64, out: &mut Vec<Output>) {
        if self.wake_ms.is_none_or(|asked| at_ms < asked) {
            self.wake_ms = Some(at_ms);
            out.push(Output::Wake { at_ms });
        }
    }

    /// The expiry clock: the store's TIME, never less than what was committed.
    fn expiry_now(&self) -> u64 {
        self.now.store_ms.max(self.next.expiry_ms)
    }

    fn admin(&mut self, admin: Admin, out: &mut Vec<Output>) {
        match admin {
            Admin::Forget { region, id } => self.forget(region, id, out),
            Admin::Drain => self.draining = true,
            Admin::Repair { key } => self.tasks.push_back(upkeep::Task::Repair { key, counted: true }),
            Admin::Inspect { key, elements, id } => {
                self.tasks.push_back(upkeep::Task::Inspect { key, elements, id });
            }
        }
    }

    /// What we say of ourselves to a peer.
    pub fn greeting(&self, now: Now) -> cartograph_replica::message::Hello {
        cartograph_replica::message::Hello {
            protocol: cartograph_replica::message::PROTOCOL_VERSION,
            cluster: self.config.cluster.clone(),
            replica: self.me,
            region: self.config.name.clone(),
            shard: self.config.shard,
            shards: self.config.shards,
            formats: cartograph_replica::message::Formats::OURS,
            fresh: self.done.vector.is_empty() && self.members.regions.is_empty(),
            members: self.members.regions.keys().copied().collect(),
            report: self.exchange.report(now.wall_ms),
        }
    }

    /// May this peer exchange with us? Answers with our own greeting.
    ///
    /// # Errors
    /// Why not, in words that the peer's operator can act on.
    pub fn admit(
        &self,
        hello: &cartograph_replica::message::Hello,
        now: Now,
    ) -> Result<cartograph_replica::message::Hello, cartograph_replica::message::Refusal> {
        let ours = self.greeting(now);
        cartograph_replica::message::check(hello, &ours)?;
        if self.members.forgotten.contains(&hello.replica.region) {
            return Err(cartograph_replica::message::Refusal::NotMember {
                id: hello.replica.region,
            });
        }
        Ok(ours)
    }

    /// What is committed here.
    pub fn vector(&self) -> Arc<VersionVector> {
        Arc::new(self.done.vector.clone())
    }

    /// Has the machine a live incarnation, so that it can greet peers?
    pub fn is_claimed(&self) -> bool {
        self.standing == Standing::Owner
    }
}

fn close(peer: RegionId, direction: Direction, error: &dyn std::error::Error, out: &mut Vec<Output>) {
    let mut reason = error.to_string();
    let mut source = error.source();
    while let Some(s) = source {
        reason = format!("{reason}: {s}");
        source = s.source();
    }
    out.push(Output::Close {
        peer,
        direction,
        reason,
    });
}

fn reply_error(id: RequestId, error: RequestError, out: &mut Vec<Output>) {
    out.push(Output::Reply {
        id,
        result: Err(error),
    });
}

fn event(event: Event, out: &mut Vec<Output>) {
    out.push(Output::Event(event));
}

/// Keys in order.
type Keys = BTreeSet<Key>;
