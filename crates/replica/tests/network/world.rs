//! The simulated regions, their network, and the checks that run at every step.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use cartograph_crdt::{
    Effect, ElementId, Hlc, RegionId, ReplicaId, Row, Sequence, ShardId, Touched, Type, VersionVector,
};
use cartograph_replica::entry::{decode_record, encode_record};
use cartograph_replica::message::{self, PROTOCOL_VERSION};
use cartograph_replica::{
    Action, BackMessage, BatchId, Config, Direction, Entry, Event, Exchange, Formats, Hello, Key, LogAppend,
    Message, Welcome, Wire, WireRow, frame,
};

/// A small seeded generator: everything random in a run comes from here.
pub(crate) struct Rng(u64);

impl Rng {
    pub(crate) fn new(seed: u64) -> Rng {
        Rng(seed)
    }

    pub(crate) fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % n
    }

    fn index(&mut self, n: u64) -> usize {
        usize::try_from(self.below(n)).unwrap()
    }

    pub(crate) fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

/// A commit on its way to the store.
struct InFlight {
    entries: Vec<Entry>,
    after: VersionVector,
    rows: BTreeMap<Key, Row>,
}

/// What a region had committed when it last told anyone: a crash takes no more than what came after.
#[derive(Clone, Default)]
struct Told {
    committed: VersionVector,
    rows: BTreeMap<Key, Row>,
    batch: u64,
}

pub(crate) struct Region {
    pub(crate) me: ReplicaId,
    pub(crate) exchange: Exchange,
    /// With commits in flight.
    applied: VersionVector,
    pub(crate) committed: VersionVector,
    in_flight: VecDeque<InFlight>,
    pub(crate) log: BTreeMap<ReplicaId, Vec<LogAppend>>,
    pub(crate) rows: BTreeMap<Key, Row>,
    loads: Vec<Action>,
    /// Keys that a snapshot under way has brought.
    joined: Option<(RegionId, BTreeSet<Key>)>,
    batch: u64,
    /// Commits are slow: entries are taken, and not acknowledged, while this holds.
    pub(crate) stalled: bool,
    /// The rows as committed, and as last told.
    durable: BTreeMap<Key, Row>,
    told: Told,
}

type Frames = VecDeque<Vec<u8>>;

#[derive(Default)]
struct Link {
    down: bool,
    /// Frames under way, if the stream is up.
    stream: Option<(Frames, Frames)>,
}

/// What happened, for the scenarios to look at.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    /// Records sent of other regions' entries, by link.
    pub(crate) relayed: BTreeMap<(u16, u16), u64>,
    /// Records sent in all.
    pub(crate) records: u64,
    pub(crate) resends: u64,
    pub(crate) loads: u64,
    pub(crate) snapshots: BTreeMap<(u16, u16), u64>,
    pub(crate) snapshots_done: u64,
    pub(crate) snapshots_refused: u64,
    pub(crate) queue_bytes_max: usize,
    pub(crate) parked_max: usize,
    pub(crate) own_unknown: u64,
    /// Crashes that took entries.
    pub(crate) losses: u64,
}

pub(crate) struct World {
    pub(crate) config: Config,
    pub(crate) regions: BTreeMap<u16, Region>,
    links: BTreeMap<(u16, u16), Link>,
    pub(crate) now: u64,
    pub(crate) rng: Rng,
    /// Every entry ever written, lost ones too.
    entries: BTreeMap<(ReplicaId, u64), Entry>,
    pub(crate) counts: Counts,
    /// Check that nothing is called stable too early. Not after a wipe: a region that lost what it had reported may
    /// write anything.
    pub(crate) check_stability: bool,
    pub(crate) write_bytes: usize,
}

fn exchange(config: &Config, me: ReplicaId, regions: &BTreeSet<RegionId>, now: u64) -> Exchange {
    let mut exchange = Exchange::new(config.clone(), me, now);
    exchange.set_members(regions);
    exchange
}

impl World {
    pub(crate) fn new(count: u16, config: Config, seed: u64) -> World {
        let ids: BTreeSet<RegionId> = (1..=count).map(RegionId).collect();
        let region = |id: u16| {
            let me = ReplicaId::new(id, 1);
            Region::new(me, exchange(&config, me, &ids, 1_000))
        };
        let pairs = (1..=count).flat_map(|a| (1..=count).map(move |b| (a, b)));
        World {
            regions: (1..=count).map(|id| (id, region(id))).collect(),
            links: pairs
                .filter(|(a, b)| a != b)
                .map(|pair| (pair, Link::default()))
                .collect(),
            now: 1_000,
            rng: Rng::new(seed),
            entries: BTreeMap::new(),
            counts: Counts::default(),
            check_stability: true,
            write_bytes: 8,
            config,
        }
    }

    fn members(&self) -> BTreeSet<RegionId> {
        self.regions.keys().map(|id| RegionId(*id)).collect()
    }

    /// Cuts or heals one direction. What is under way on a cut link is lost.
    pub(crate) fn set_link(&mut self, from: u16, to: u16, up: bool) {
        self.links.get_mut(&(from, to)).unwrap().down = !up;
        if !up {
            self.drop_stream(from, to);
        }
    }

    pub(crate) fn cut(&mut self, a: u16, b: u16) {
        self.set_link(a, b, false);
        self.set_link(b, a, false);
    }

    pub(crate) fn heal(&mut self) {
        let links: Vec<_> = self.links.keys().copied().collect();
        for (a, b) in links {
            self.set_link(a, b, true);
        }
    }

    pub(crate) fn isolate(&mut self, region: u16) {
        let others: Vec<_> = self.regions.keys().copied().filter(|r| *r != region).collect();
        for other in others {
            self.cut(region, other);
        }
    }

    /// Breaks a stream that may be dialled again at once.
    pub(crate) fn drop_stream(&mut self, from: u16, to: u16) {
        if self.links.get_mut(&(from, to)).unwrap().stream.take().is_none() {
            return;
        }
        let region = self.regions.get_mut(&from).unwrap();
        assert!(
            region
                .exchange
                .disconnected(RegionId(to), Direction::Out)
                .is_empty()
        );
        let region = self.regions.get_mut(&to).unwrap();
        for event in region.exchange.disconnected(RegionId(from), Direction::In) {
            assert!(matches!(event, Event::SnapshotAborted { .. }));
            region.joined = None;
        }
    }

    fn dial(&mut self, from: u16, to: u16) {
        let link = &self.links[&(from, to)];
        if link.down || link.stream.is_some() {
            return;
        }
        for id in [from, to] {
            self.regions.get_mut(&id).unwrap().tell();
        }
        let hello = self.regions[&from].hello(self.now);
        let ours = self.regions[&to].hello(self.now);
        message::check(&hello, &ours).unwrap();
        message::check(&ours, &hello).unwrap();
        let hello = Hello::from_bytes(&hello.to_bytes().unwrap()).unwrap();
        let welcome = Welcome { hello: ours };
        let welcome = Welcome::from_bytes(&welcome.to_bytes().unwrap()).unwrap();
        let (now, region) = (self.now, self.regions.get_mut(&to).unwrap());
        region.exchange.accepted(RegionId(from), &hello, now);
        let region = self.regions.get_mut(&from).unwrap();
        region.exchange.connected(RegionId(to), &welcome, now);
        self.links.get_mut(&(from, to)).unwrap().stream = Some(Default::default());
    }

    /// The region's store is lost; it begins a new life.
    ///
    /// Not while someone holds rows ahead of its vector: what a snapshot under way had brought of entries that are
    /// then nowhere else cannot be told from what is still to come.
    pub(crate) fn wipe(&mut self, id: u16) {
        if self
            .regions
            .iter()
            .any(|(other, region)| *other != id && region.any_ahead())
        {
            return;
        }
        self.break_streams_of(id);
        let life = self.regions[&id].me.incarnation.0 + 1;
        let me = ReplicaId::new(id, life);
        let exchange = exchange(&self.config, me, &self.members(), self.now);
        self.regions.insert(id, Region::new(me, exchange));
        self.check_stability = false;
    }

    /// The region's store falls back to what it was when it last told anyone of it, and begins a new life.
    ///
    /// Not while anyone joins a snapshot, as above.
    pub(crate) fn crash(&mut self, id: u16) {
        let joins = |region: &Region| region.any_ahead() || region.joined.is_some();
        if self.regions.values().any(joins) {
            return;
        }
        self.break_streams_of(id);
        let me = ReplicaId::new(id, self.regions[&id].me.incarnation.0 + 1);
        let mut exchange = exchange(&self.config, me, &self.members(), self.now);
        let former = self.regions.remove(&id).unwrap();
        exchange.restore_relied(former.exchange.relied());
        exchange.set_vector(&former.told.committed, self.now);
        let mut region = Region::new(me, exchange);
        let lost = former.committed != former.told.committed;
        let told = former.told;
        region.log = former.log;
        for (origin, records) in &mut region.log {
            records.retain(|r| r.last <= told.committed.get(*origin));
        }
        (region.committed, region.applied) = (told.committed.clone(), told.committed.clone());
        (region.rows, region.durable) = (told.rows.clone(), told.rows.clone());
        region.batch = told.batch;
        region.told = told;
        region.exchange.set_log_starts(&region.log_starts());
        region.exchange.set_ahead(region.any_ahead());
        self.regions.insert(id, region);
        self.counts.losses += u64::from(lost);
    }

    /// The region's process starts anew on the same store.
    pub(crate) fn restart(&mut self, id: u16) {
        self.break_streams_of(id);
        let members = self.members();
        let (now, config) = (self.now, self.config.clone());
        let region = self.regions.get_mut(&id).unwrap();
        while region.finish(now, true) {}
        let relied = region.exchange.relied().clone();
        region.exchange = exchange(&config, region.me, &members, now);
        region.exchange.restore_relied(&relied);
        region.exchange.set_vector(&region.committed, now);
        region.exchange.set_log_starts(&region.log_starts());
        region.exchange.set_ahead(region.any_ahead());
        region.joined = None;
        region.loads.clear();
    }

    fn break_streams_of(&mut self, id: u16) {
        let links: Vec<_> = self
            .links
            .keys()
            .copied()
            .filter(|(a, b)| *a == id || *b == id)
            .collect();
        for (a, b) in links {
            self.drop_stream(a, b);
        }
    }

    /// One write in a region: adds or removes a member of some key, or deletes the key.
    pub(crate) fn write(&mut self, id: u16) {
        let key = vec![b'k', u8::try_from(self.rng.below(6)).unwrap()];
        let mut name = vec![b'm', u8::try_from(self.rng.below(5)).unwrap()];
        name.resize(self.write_bytes, b'.');
        let element = ElementId::member(&name);
        let effect = match self.rng.below(8) {
            0 => Effect::Delete { observed: Vec::new() },
            1 | 2 => Effect::Remove {
                element,
                observed: Default::default(),
            },
            _ => Effect::Add { element },
        };
        let now = self.now;
        let region = self.regions.get_mut(&id).unwrap();
        let entry = region.make_entry(key, effect, now);
        self.entries
            .insert((entry.replica, entry.sequence.get()), entry.clone());
        region.apply(vec![entry]);
    }

    /// Loses the log up to `keep` entries of each origin, as a cap would; snapshots under way keep their pins.
    pub(crate) fn trim(&mut self, id: u16, keep: u64) {
        let region = self.regions.get_mut(&id).unwrap();
        let pins = region.exchange.pins();
        for (origin, records) in &mut region.log {
            let mut upto = region.committed.get(*origin).saturating_sub(keep);
            if let Some(pins) = &pins {
                upto = upto.min(pins.get(*origin));
            }
            records.retain(|r| r.last > upto);
        }
        let starts = region.log_starts();
        region.exchange.set_log_starts(&starts);
    }

    /// Lets time pass and everyone do something, in random order.
    pub(crate) fn step(&mut self) {
        self.now += self.rng.below(20);
        let pairs: Vec<_> = self.links.keys().copied().collect();
        for (from, to) in pairs {
            if self.rng.chance(50) {
                self.dial(from, to);
            }
            let n = self.rng.below(10);
            for _ in 0..n {
                self.deliver(from, to);
            }
        }
        let ids: Vec<_> = self.regions.keys().copied().collect();
        for id in ids {
            self.work(id);
            self.check(id);
        }
    }

    pub(crate) fn steps(&mut self, n: usize) {
        for _ in 0..n {
            self.step();
        }
    }

    /// Steps until all regions are equal, or panics.
    pub(crate) fn settle(&mut self) {
        self.heal();
        for region in self.regions.values_mut() {
            region.stalled = false;
        }
        for _ in 0..6_000 {
            if self.converged() {
                break;
            }
            self.step();
        }
        if !self.converged() {
            let vectors: Vec<_> = self.regions.values().map(|r| r.committed.to_string()).collect();
            let parked: Vec<_> = self.regions.values().map(|r| r.exchange.parked()).collect();
            let status: Vec<_> = self
                .regions
                .values()
                .map(|r| r.exchange.status(self.now))
                .collect();
            panic!(
                "no convergence: {vectors:?}\nparked {parked:?}\n{:?}\n{status:#?}",
                self.counts
            );
        }
        let (first, rest) = (
            self.regions.values().next().unwrap(),
            self.regions.values().skip(1),
        );
        for region in rest {
            assert_eq!(
                first.contents(),
                region.contents(),
                "regions {} and {}",
                first.me,
                region.me
            );
        }
    }

    fn converged(&self) -> bool {
        let first = &self.regions.values().next().unwrap().committed;
        self.regions
            .values()
            .all(|r| r.committed == *first && r.in_flight.is_empty() && !r.any_ahead() && r.joined.is_none())
    }

    fn deliver(&mut self, from: u16, to: u16) {
        let back = self.rng.chance(50);
        let Some(stream) = &mut self.links.get_mut(&(from, to)).unwrap().stream else {
            return;
        };
        let queue = if back { &mut stream.1 } else { &mut stream.0 };
        let Some(bytes) = queue.pop_front() else { return };
        let now = self.now;
        if back {
            let message = BackMessage::from_bytes(&bytes).unwrap();
            match &message {
                BackMessage::Resend { .. } => self.counts.resends += 1,
                BackMessage::SnapshotDone { .. } => self.counts.snapshots_done += 1,
                BackMessage::SnapshotRefused => self.counts.snapshots_refused += 1,
                _ => {}
            }
            let region = self.regions.get_mut(&from).unwrap();
            region.exchange.acked(RegionId(to), message, now).unwrap();
            return;
        }
        let message = Message::from_bytes(&bytes).unwrap();
        if matches!(message, Message::Entries { .. }) && self.rng.chance(10) {
            // A stream does not repeat itself, but the log of another life or a second relay would look like this.
            self.regions
                .get_mut(&to)
                .unwrap()
                .receive(from, message.clone(), now, &mut self.counts);
        }
        self.regions
            .get_mut(&to)
            .unwrap()
            .receive(from, message, now, &mut self.counts);
    }

    fn work(&mut self, id: u16) {
        let now = self.now;
        let region = self.regions.get_mut(&id).unwrap();
        if !region.stalled {
            if region.in_flight.len() < 3 {
                let (entries, bytes) = (1 + self.rng.index(8), 1 + self.rng.index(4_000));
                let ready = region.exchange.ready(&region.applied, entries, bytes);
                if self.rng.chance(5) {
                    region.exchange.put_back(ready);
                } else if !ready.is_empty() {
                    region.apply(ready);
                }
            }
            while self.rng.chance(85) && region.finish(now, false) {}
        }
        let loads = std::mem::take(&mut region.loads);
        for load in loads {
            if self.rng.chance(40) {
                region.loads.push(load);
            } else {
                region.answer(load, now);
            }
        }
        for action in region.exchange.poll(now) {
            self.act(id, action);
        }
    }

    fn act(&mut self, id: u16, action: Action) {
        match action {
            Action::Send { peer, message } => {
                if !matches!(message, Message::Entries { .. }) {
                    self.regions.get_mut(&id).unwrap().tell();
                }
                self.count(id, peer.0, &message);
                let bytes = through_frames(message.to_bytes().unwrap());
                if let Some((forward, _)) = &mut self.links.get_mut(&(id, peer.0)).unwrap().stream {
                    forward.push_back(bytes);
                }
            }
            Action::Back { peer, message } => {
                self.regions.get_mut(&id).unwrap().tell();
                let bytes = through_frames(message.to_bytes().unwrap());
                if let Some((_, back)) = &mut self.links.get_mut(&(peer.0, id)).unwrap().stream {
                    back.push_back(bytes);
                }
            }
            load @ (Action::LoadLog { .. } | Action::LoadKeys { .. } | Action::ReadRow { .. }) => {
                self.counts.loads += 1;
                self.regions.get_mut(&id).unwrap().loads.push(load);
            }
        }
    }

    fn count(&mut self, from: u16, to: u16, message: &Message) {
        match message {
            Message::Entries { records } => {
                for record in records {
                    self.counts.records += 1;
                    if decode_record(record).unwrap()[0].replica.region.0 != from {
                        *self.counts.relayed.entry((from, to)).or_default() += 1;
                    }
                }
            }
            Message::SnapshotBegin { .. } => *self.counts.snapshots.entry((from, to)).or_default() += 1,
            _ => {}
        }
    }

    fn check(&mut self, id: u16) {
        let region = &self.regions[&id];
        let status = region.exchange.status(self.now);
        let queue = status.values().map(|s| s.queue_bytes).max().unwrap_or(0);
        self.counts.queue_bytes_max = self.counts.queue_bytes_max.max(queue);
        let (parked, _) = region.exchange.parked();
        self.counts.parked_max = self.counts.parked_max.max(parked);
        assert!(
            parked <= self.config.park_entries + 16,
            "{parked} entries are parked"
        );
        if !self.check_stability {
            return;
        }
        // Nothing is stable here that an entry which is still to come had not seen.
        let stable = region.exchange.stable();
        assert!(region.committed.dominates(stable));
        for ((replica, sequence), entry) in &self.entries {
            let live = self
                .regions
                .get(&replica.region.0)
                .is_some_and(|r| r.me == *replica);
            let anywhere = |(_, other): (&u16, &Region)| other.committed.get(*replica) >= *sequence;
            // What a crash took from everyone never comes.
            let to_come = live || self.regions.iter().any(anywhere);
            if *sequence > region.committed.get(*replica) && to_come {
                let mut unseen = stable.clone();
                unseen.remove(*replica);
                assert!(
                    entry.context.dominates(&unseen),
                    "{id} calls {stable} stable, and {replica}:{sequence} is still to come, which has seen only {}",
                    entry.context
                );
            }
        }
        for other in self.regions.values() {
            assert!(
                other.committed.dominates(stable),
                "{id} calls {stable} stable, {} has {}",
                other.me,
                other.committed
            );
        }
    }
}

fn through_frames(bytes: Vec<u8>) -> Vec<u8> {
    let mut assembler = frame::Assembler::default();
    let mut whole = None;
    for frame in frame::split(bytes) {
        whole = assembler.push(&frame).unwrap();
    }
    whole.unwrap()
}

impl Region {
    fn new(me: ReplicaId, exchange: Exchange) -> Region {
        Region {
            me,
            exchange,
            applied: VersionVector::new(),
            committed: VersionVector::new(),
            in_flight: VecDeque::new(),
            log: BTreeMap::new(),
            rows: BTreeMap::new(),
            loads: Vec::new(),
            joined: None,
            batch: 0,
            stalled: false,
            durable: BTreeMap::new(),
            told: Told::default(),
        }
    }

    /// From now on a crash takes nothing of this.
    fn tell(&mut self) {
        self.told = Told {
            committed: self.committed.clone(),
            rows: self.durable.clone(),
            batch: self.batch,
        };
    }

    fn hello(&self, now: u64) -> Hello {
        Hello {
            protocol: PROTOCOL_VERSION,
            cluster: "c".to_owned(),
            replica: self.me,
            region: format!("region-{}", self.me.region),
            shard: ShardId(0),
            shards: 1,
            formats: Formats::OURS,
            fresh: self.committed.is_empty(),
            members: Vec::new(),
            report: self.exchange.report(now),
        }
    }

    fn any_ahead(&self) -> bool {
        self.rows.values().any(|row| !row.header.ahead.is_empty())
    }

    pub(crate) fn log_starts(&self) -> BTreeMap<ReplicaId, u64> {
        let starts = self
            .log
            .iter()
            .filter_map(|(o, records)| Some((*o, records.first()?.first)));
        starts.collect()
    }

    /// What a client would see, and digests.
    fn contents(&self) -> BTreeMap<Key, (u64, Vec<Vec<u8>>)> {
        let shown = |(key, row): (&Key, &Row)| {
            let members = row
                .live(Type::Set)
                .map(|(id, _)| id.name.clone())
                .collect::<Vec<_>>();
            (key.clone(), (row.digest(key), members))
        };
        self.rows
            .iter()
            .map(shown)
            .filter(|(_, (_, members))| !members.is_empty())
            .collect()
    }

    fn make_entry(&self, key: Key, effect: Effect, now: u64) -> Entry {
        let mut context = self.applied.clone();
        context.remove(self.me);
        let ahead = self.rows.get(&key).map(|row| row.header.ahead.clone());
        let ahead = ahead.filter(|a| !a.is_empty()).map(|a| (key.clone(), a));
        Entry {
            replica: self.me,
            sequence: Sequence::after(self.applied.get(self.me)),
            hlc: Hlc::new(now, 0),
            context: Arc::new(context),
            ahead: ahead.into_iter().collect(),
            effects: vec![(key, effect)],
        }
    }

    /// Applies entries and puts their commit in flight.
    fn apply(&mut self, entries: Vec<Entry>) {
        for entry in &entries {
            let (own, now) = (entry.replica == self.me, &self.applied);
            // Our own may have seen more of a key than we have applied: a snapshot under way brought it.
            assert!(
                own || entry.is_ready(now),
                "{}:{} is not ready at {now}",
                entry.replica,
                entry.sequence
            );
            for (n, (key, effect)) in entry.effects.iter().enumerate() {
                let row = self.rows.entry(key.clone()).or_insert_with(Row::absent);
                if row.header.ahead.covers(&entry.dot(n)) {
                    continue;
                }
                let scope = entry.scope(key);
                row.apply(effect, &entry.origin(n, &scope), &mut Touched::default());
            }
            self.applied.observe(entry.replica, entry.sequence).unwrap();
        }
        self.forget_ahead();
        self.in_flight.push_back(InFlight {
            entries,
            after: self.applied.clone(),
            rows: self.rows.clone(),
        });
    }

    fn forget_ahead(&mut self) {
        for row in self.rows.values_mut() {
            row.header.ahead.forget(&self.applied);
        }
    }

    /// The oldest commit in flight is durable. Says whether there was one.
    fn finish(&mut self, now: u64, silent: bool) -> bool {
        let Some(done) = self.in_flight.pop_front() else {
            return false;
        };
        let mut groups: Vec<Vec<Entry>> = Vec::new();
        let mut by_origin: BTreeMap<ReplicaId, Vec<Entry>> = BTreeMap::new();
        for entry in done.entries {
            by_origin.entry(entry.replica).or_default().push(entry);
        }
        groups.extend(by_origin.into_values());
        let append = |group: Vec<Entry>| LogAppend {
            origin: group[0].replica,
            first: group[0].sequence.get(),
            last: group.last().unwrap().sequence.get(),
            record: encode_record(&group).unwrap(),
        };
        let appends: Vec<LogAppend> = groups.into_iter().map(append).collect();
        for append in &appends {
            self.log.entry(append.origin).or_default().push(append.clone());
        }
        self.committed = done.after;
        self.durable = done.rows;
        self.batch += 1;
        if !silent {
            self.exchange.committed(&appends, &self.committed, now);
            self.exchange.checkpoint(BatchId(self.batch), &self.committed);
            self.exchange.set_ahead(self.any_ahead());
        }
        true
    }

    fn drain(&mut self, now: u64) {
        while self.finish(now, false) {}
    }

    fn receive(&mut self, from: u16, message: Message, now: u64, counts: &mut Counts) {
        let events = self
            .exchange
            .received(RegionId(from), message, &self.applied, now)
            .unwrap();
        for event in events {
            match event {
                Event::Entries => {}
                Event::SnapshotBegun { peer, .. } => self.joined = Some((peer, BTreeSet::new())),
                Event::SnapshotAborted { .. } => self.joined = None,
                Event::Row { peer, row } => self.join(peer, *row, now),
                Event::SnapshotEnded { peer, v0 } => self.end_of_snapshot(peer, &v0, now),
                Event::OwnEntriesUnknown { .. } => counts.own_unknown += 1,
            }
        }
    }

    fn join(&mut self, peer: RegionId, wire: WireRow, now: u64) {
        self.drain(now);
        let (from, keys) = self.joined.as_mut().unwrap();
        assert_eq!(*from, peer);
        keys.insert(wire.key.clone());
        let row = self.rows.entry(wire.key).or_insert_with(Row::absent);
        let mut ours = self.committed.clone();
        ours.join(&row.header.ahead);
        row.join(&ours, &wire.row, &wire.vector, &mut Touched::default());
        row.header.ahead.join(&wire.vector);
        row.header.ahead.forget(&self.committed);
        self.durable.clone_from(&self.rows);
        self.exchange.set_ahead(self.any_ahead());
        self.exchange.row_joined(peer);
    }

    fn end_of_snapshot(&mut self, peer: RegionId, v0: &VersionVector, now: u64) {
        self.drain(now);
        let (from, keys) = self.joined.take().unwrap();
        assert_eq!(from, peer);
        for (key, row) in &mut self.rows {
            if !keys.contains(key) {
                let mut ours = self.committed.clone();
                ours.join(&row.header.ahead);
                row.forget_covered(&ours, v0, &mut Touched::default());
            }
        }
        for (origin, n) in v0.iter() {
            if n > self.committed.get(origin) {
                self.log.remove(&origin);
            }
        }
        self.committed.join(v0);
        self.applied.join(v0);
        self.forget_ahead();
        self.durable.clone_from(&self.rows);
        self.exchange.set_log_starts(&self.log_starts());
        self.exchange.committed(&[], &self.committed, now);
        self.exchange.set_ahead(self.any_ahead());
        self.exchange.snapshot_joined(peer);
    }

    fn answer(&mut self, load: Action, now: u64) {
        match load {
            Action::LoadLog {
                peer,
                origin,
                from,
                bytes_max,
            } => {
                let log = self.log.get(&origin).map_or(&[][..], Vec::as_slice);
                let mut bytes = 0;
                let fits = |r: &&LogAppend| {
                    let fits = bytes == 0 || bytes + r.record.len() <= bytes_max;
                    bytes += r.record.len();
                    fits
                };
                let records = log.iter().filter(|r| r.last >= from).take_while(fits);
                let records = records.map(|r| r.record.clone()).collect();
                self.exchange.loaded_log(peer, origin, from, records);
            }
            Action::LoadKeys {
                peer,
                snapshot,
                cursor,
            } => {
                let page: Vec<Key> = self
                    .rows
                    .range(cursor.clone()..)
                    .map(|(k, _)| k.clone())
                    .take(3)
                    .collect();
                let next = page.last().map(|k| [k.as_slice(), &[0]].concat());
                self.exchange.keys(peer, snapshot, page, next);
            }
            Action::ReadRow { peer, snapshot, key } => {
                self.drain(now);
                let row = self.rows.get(&key).cloned();
                self.exchange
                    .row(peer, snapshot, &key, row.as_ref(), &self.committed);
            }
            Action::Send { .. } | Action::Back { .. } => unreachable!(),
        }
    }
}
