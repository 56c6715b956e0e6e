//! Regions, the entries between them, and the model beside them: every step plays on both sides and compares.
//!
//! What the crate demands of its caller is kept here as docs/architecture.md says: causal delivery with parking, a
//! report of a vector or watermark that counts only once its sender's own entries are here, a new incarnation after
//! a loss, snapshot rows with what they are ahead of. A region loses nothing that it has reported.

use std::collections::BTreeMap;

use super::command::Command;
use super::mark;
use super::model::{Elem, KeyState, Kind, Mask, Model, Operation, REPLICAS_MAX, bits};
use super::region::{KEYS, Region, Snapshot, element_id, key_name};
use crate::causal::{Origin, VersionVector};
use crate::codec;
use crate::effect::{Effect, ElementId};
use crate::element::Element;
use crate::hlc::Hlc;
use crate::ids::{Dot, Position, RegionId, ReplicaId, Sequence};

/// Room that one command may need in the model.
const COMMAND_OPERATIONS_MAX: usize = 20;

/// Where regions' clocks begin, in milliseconds.
pub const START_MS: u64 = 1_000;

/// What one entry is, and which operations it is made of.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its writer.
    pub replica: ReplicaId,
    /// Its number among its writer's.
    pub sequence: Sequence,
    hlc: Hlc,
    context: VersionVector,
    ahead: Vec<(usize, VersionVector)>,
    effects: Vec<(usize, Effect)>,
    operations: Vec<Mask>,
}

impl Entry {
    fn scope(&self, key: usize) -> VersionVector {
        let mut scope = self.context.clone();
        for (_, ahead) in self.ahead.iter().filter(|(k, _)| *k == key) {
            scope.join(ahead);
        }
        scope
    }

    fn is_ready(&self, vector: &VersionVector) -> bool {
        let met = |v: &VersionVector| v.iter().all(|(r, n)| r == self.replica || n <= vector.get(r));
        vector.get(self.replica) + 1 == self.sequence.get()
            && met(&self.context)
            && self.ahead.iter().all(|(_, v)| met(v))
    }
}

/// An entry that is being written.
#[derive(Debug)]
pub struct Writing {
    /// Where.
    pub region: usize,
    entry: Entry,
}

/// What a region shows of a key, for comparing it with another's.
struct Shown {
    state: Option<KeyState>,
    expired: bool,
    digest: u64,
    settled: bool,
}

impl Shown {
    fn of(region: &mut Region, key: usize) -> Self {
        let (state, now) = (region.state(key), region.clock());
        let shown = state.at(now).is_some();
        Shown {
            expired: state.shown.is_some() && !shown,
            digest: region.digest(key),
            settled: region.unsettled[key].is_none() && region.row(key).header.ahead.is_empty(),
            state: shown.then_some(state),
        }
    }
}

/// How a history's clocks and stores behave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conditions {
    /// How many regions, 2 to 4.
    pub regions: usize,
    /// Entries' clock readings come from a handful, whatever happened before: ties and skew.
    pub odd_clocks: bool,
    /// Regions may lose what they have not reported, so it must be known what that is.
    pub losses: bool,
    /// Seeds what is loaded, evicted and checked when.
    pub seed: u64,
}

/// A whole deployment.
#[derive(Clone, Debug)]
pub struct Cluster {
    /// Its regions.
    pub regions: Vec<Region>,
    /// What the rules say.
    pub model: Model,
    /// Every entry ever written.
    pub entries: Vec<Entry>,
    replicas: Vec<ReplicaId>,
    conditions: Conditions,
    coin: u64,
}

impl Cluster {
    /// `regions` empty regions with ids 1, 2, 3...
    pub fn new(conditions: Conditions) -> Self {
        let replicas: Vec<_> = (1..)
            .take(conditions.regions)
            .map(|id| ReplicaId::new(id, 1))
            .collect();
        let region =
            |(i, me): (usize, &ReplicaId)| Region::new(*me, i, START_MS, conditions.seed ^ (i as u64 + 1));
        let mut regions: Vec<Region> = replicas.iter().enumerate().map(region).collect();
        for region in &mut regions {
            region.checkpoint = Some(Box::new(region.clone()));
        }
        Cluster {
            regions,
            model: Model::default(),
            entries: Vec::new(),
            replicas,
            conditions,
            coin: conditions.seed,
        }
    }

    /// Regions that behave as scripted tests expect: ordinary clocks.
    pub fn plain(regions: usize) -> Self {
        Self::new(Conditions {
            regions,
            odd_clocks: false,
            losses: true,
            seed: 1,
        })
    }

    /// Knows the replicas of another cluster, whose entries it is to be given.
    pub fn replicas_of(&mut self, other: &Cluster) {
        self.replicas.clone_from(&other.replicas);
    }

    fn counts(&self, vector: &VersionVector) -> [u64; REPLICAS_MAX] {
        let mut counts = [0; REPLICAS_MAX];
        for (count, replica) in counts.iter_mut().zip(&self.replicas) {
            *count = vector.get(*replica);
        }
        counts
    }

    // ---- writing

    /// Runs commands at a region: each list is one entry, all of them one group commit.
    pub fn write(&mut self, region: usize, entries: &[Vec<Command>]) {
        let context = self.regions[region].vector.clone();
        for commands in entries {
            let (me, hlc) = (self.regions[region].me, self.next_hlc(region));
            let sequence = Sequence::after(self.regions[region].vector.get(me));
            let entry = Entry {
                replica: me,
                sequence,
                hlc,
                context: context.clone(),
                ahead: Vec::new(),
                effects: Vec::new(),
                operations: Vec::new(),
            };
            let mut w = Writing { region, entry };
            for command in commands {
                if self.model.has_room(COMMAND_OPERATIONS_MAX) {
                    self.command(&mut w, command);
                }
            }
            if !w.entry.effects.is_empty() {
                self.regions[region].hlc = hlc;
                self.regions[region]
                    .vector
                    .observe(me, sequence)
                    .expect("own entries follow each other");
                self.entries.push(w.entry);
            }
        }
        self.regions[region].commit();
        self.compare_region(region);
    }

    /// One command as one entry.
    pub fn exec(&mut self, region: usize, command: Command) {
        self.write(region, &[vec![command]]);
    }

    fn next_hlc(&mut self, region: usize) -> Hlc {
        if self.conditions.odd_clocks {
            return Hlc::new(super::next_random(&mut self.coin) % 4, 0);
        }
        let r = &self.regions[region];
        r.hlc.tick(r.time)
    }

    /// The key as the region shows it, with what the entry did so far.
    pub(super) fn look(&mut self, w: &Writing, key: usize) -> Option<KeyState> {
        let r = &mut self.regions[w.region];
        let now = r.clock();
        let state = if r.unsettled[key].is_some() {
            r.state(key)
        } else {
            self.model.state(key, r.seen[key])
        };
        state.at(now).cloned()
    }

    pub(super) fn foldable(&mut self, w: &Writing, key: usize, elem: Elem) -> Mask {
        self.model.foldable(key, self.regions[w.region].seen[key], elem)
    }

    pub(super) fn emit(&mut self, w: &mut Writing, key: usize, kind: Kind) {
        let effect = self.effect(w, key, &kind);
        self.perform(w, key, kind, effect);
    }

    pub(super) fn emit_import(&mut self, w: &mut Writing, to: usize, elem: Elem, what: Mask, from: usize) {
        let r = &mut self.regions[w.region];
        if r.unsettled[from].is_some() || r.unsettled[to].is_some() {
            return;
        }
        let id = element_id(elem);
        let imported = r.foldable(from, &id);
        self.perform(
            w,
            to,
            Kind::Import(elem, what),
            Effect::Import {
                element: id,
                imported,
            },
        );
    }

    /// The kernel's effect for a meaning, as its writer's row has it say.
    fn effect(&mut self, w: &Writing, key: usize, kind: &Kind) -> Effect {
        let r = &mut self.regions[w.region];
        let me = r.me;
        match kind {
            Kind::Add(e) => Effect::Add {
                element: element_id(*e),
            },
            Kind::Rank(e, rank) => Effect::AddRank {
                register: e.name,
                rank: *rank,
            },
            Kind::Assign(e, value) => {
                let id = element_id(*e);
                let observed = r.element(key, &id).observed(me);
                Effect::Assign {
                    element: id,
                    value: value.clone(),
                    observed,
                }
            }
            Kind::Inc(e, by) => {
                let id = element_id(*e);
                let Element::Number(n) = r.element(key, &id) else {
                    panic!("{id:?} holds no number")
                };
                let index = u32::try_from(w.entry.effects.len()).expect("few effects");
                let at = Position {
                    sequence: w.entry.sequence,
                    index,
                };
                let (tag, sum) = n.counter.next_increment(me, at, by.clone());
                Effect::Inc {
                    element: id,
                    tag,
                    sum,
                }
            }
            Kind::Remove(e) => {
                let id = element_id(*e);
                let observed = r.element(key, &id).observed(me);
                Effect::Remove {
                    element: id,
                    observed,
                }
            }
            Kind::Delete => Effect::Delete {
                observed: r.observed(key),
            },
            Kind::Clear => Effect::Clear {
                observed: r.observed(key),
            },
            Kind::Expire(at) => Effect::Expire { at: *at },
            Kind::Restate(at) => Effect::Restate { at: *at },
            Kind::Create(ty) => Effect::Create { ty: *ty },
            Kind::Revoke => Effect::Revoke,
            Kind::Wipe => Effect::Wipe,
            Kind::Import(..) => unreachable!("imports bring their effect"),
        }
    }

    fn perform(&mut self, w: &mut Writing, key: usize, kind: Kind, effect: Effect) {
        assert!(effect.is_well_formed(), "{effect:?} is not well formed");
        let ahead = self.regions[w.region].row(key).header.ahead.clone();
        if !ahead.is_empty() && w.entry.ahead.iter().all(|(k, _)| *k != key) {
            mark("a write was scoped by what its key was ahead");
            w.entry.ahead.push((key, ahead));
        }
        let scope = w.entry.scope(key);
        let index = u32::try_from(w.entry.effects.len()).expect("few effects");
        let position = Position {
            sequence: w.entry.sequence,
            index,
        };
        let mut seen = self.counts(&scope);
        let number = self.regions[w.region].number;
        seen[number] = w.entry.sequence.get();
        let bit = self.model.push(Operation {
            replica: number,
            region: w.entry.replica.region.0,
            position,
            seen,
            hlc: w.entry.hlc,
            key,
            kind,
        });
        let r = &mut self.regions[w.region];
        r.seen[key] |= bit;
        let dot = Dot {
            replica: w.entry.replica,
            position,
        };
        r.apply(
            key,
            &effect,
            &Origin {
                dot,
                hlc: w.entry.hlc,
                context: &scope,
            },
        );
        w.entry.effects.push((key, effect));
        w.entry.operations.push(bit);
    }

    // ---- delivery

    /// The entries that `from` has and `to` lacks, in an order in which they may be applied.
    pub fn missing(&self, to: usize, from: usize) -> Vec<usize> {
        let (have, want) = (&self.regions[from].vector, &self.regions[to].vector);
        let lacks =
            |e: &Entry| have.covers_entry(e.replica, e.sequence) && !want.covers_entry(e.replica, e.sequence);
        (0..self.entries.len())
            .filter(|i| lacks(&self.entries[*i]))
            .collect()
    }

    /// Delivers entries, in the order given; what is not ready is parked.
    pub fn receive(&mut self, to: usize, entries: &[usize]) {
        for id in entries {
            self.regions[to].parked.insert(*id);
        }
        self.unpark(to);
        self.regions[to].commit();
        self.regions[to].count_reports();
        self.compare_region(to);
    }

    fn unpark(&mut self, to: usize) {
        loop {
            let vector = self.regions[to].vector.clone();
            let entries = &self.entries;
            let done = |id: &usize| vector.covers_entry(entries[*id].replica, entries[*id].sequence);
            self.regions[to].parked.retain(|id| !done(id));
            let ready = self.regions[to]
                .parked
                .iter()
                .copied()
                .find(|id| entries[*id].is_ready(&vector));
            let Some(id) = ready else {
                if !self.regions[to].parked.is_empty() {
                    mark("an entry was parked");
                }
                return;
            };
            self.regions[to].parked.remove(&id);
            let entry = self.entries[id].clone();
            self.apply_entry(to, &entry);
        }
    }

    fn apply_entry(&mut self, to: usize, entry: &Entry) {
        let scopes: Vec<VersionVector> = (0..KEYS).map(|k| entry.scope(k)).collect();
        let r = &mut self.regions[to];
        for (index, (key, effect)) in entry.effects.iter().enumerate() {
            let dot = Dot::new(
                entry.replica,
                entry.sequence,
                u32::try_from(index).expect("few effects"),
            );
            r.seen[*key] |= entry.operations[index];
            if r.row(*key).header.ahead.covers(&dot) {
                mark("an effect was skipped, a snapshot's row had it");
                continue;
            }
            let origin = Origin {
                dot,
                hlc: entry.hlc,
                context: &scopes[*key],
            };
            if r.flip(4) {
                let bytes = codec::encode("an effect", 1, effect).expect("small effects encode");
                let sent: Effect = codec::decode("an effect", 1, &bytes).expect("an effect reads back");
                assert_eq!(sent, *effect);
                r.apply(*key, &sent, &origin);
            } else {
                r.apply(*key, effect, &origin);
            }
        }
        r.vector
            .observe(entry.replica, entry.sequence)
            .expect("delivery leaves no gap");
        r.hlc = r.hlc.follow(entry.hlc, r.time);
        let vector = r.vector.clone();
        for unsettled in &mut r.unsettled {
            if unsettled.as_ref().is_some_and(|v| vector.dominates(v)) {
                *unsettled = None;
            }
        }
    }

    /// Brings `to` all that `from` has.
    pub fn deliver_all(&mut self, to: usize, from: usize) {
        let missing = self.missing(to, from);
        self.receive(to, &missing);
    }

    /// Brings every region all that any has.
    pub fn exchange(&mut self) {
        for _ in 0..2 {
            for to in 0..self.regions.len() {
                for from in 0..self.regions.len() {
                    if to != from {
                        self.deliver_all(to, from);
                    }
                }
            }
        }
        self.compare_digests();
    }

    // ---- reports, stability, collection

    /// `from` tells `to` its vector and its expiry clock, and what it knows of the others'. From now on it may lose
    /// nothing of that.
    pub fn report(&mut self, from: usize, to: usize) {
        if from == to {
            return;
        }
        let r = &mut self.regions[from];
        r.reported = r.clock();
        if self.conditions.losses {
            r.checkpoint();
        }
        let mut reports = vec![(r.me, r.vector.clone(), r.reported)];
        reports.extend(r.known.iter().map(|(replica, (v, w))| (*replica, v.clone(), *w)));
        let r = &mut self.regions[to];
        let own = r.me.region;
        r.pending
            .extend(reports.into_iter().filter(|(replica, ..)| replica.region != own));
        r.count_reports();
    }

    /// Every region tells every other, until what they tell counts.
    pub fn report_all(&mut self) {
        for from in 0..self.regions.len() {
            for to in 0..self.regions.len() {
                self.report(from, to);
            }
        }
    }

    /// Is the replica's life over, and is all that it wrote everywhere?
    fn is_retired(&self, replica: ReplicaId) -> bool {
        let live = self.regions.iter().any(|r| r.me == replica);
        let count = self.regions[0].vector.get(replica);
        let equal = self.regions.iter().all(|r| r.vector.get(replica) == count);
        let parked = self
            .regions
            .iter()
            .flat_map(|r| &r.parked)
            .any(|id| self.entries[*id].replica == replica);
        !live && equal && !parked
    }

    /// For each replica other than `region`'s own life, the vector and watermark that must be waited for. `None`:
    /// nothing is known of one of them.
    fn waits(&self, region: usize) -> Option<BTreeMap<ReplicaId, (VersionVector, u64)>> {
        let r = &self.regions[region];
        let mut waits = BTreeMap::new();
        for replica in self
            .replicas
            .iter()
            .filter(|p| **p != r.me && !self.is_retired(**p))
        {
            let of_region = |p: &&ReplicaId| p.region == replica.region && *p <= replica;
            // A new life begins with all that the old one had reported.
            let mut lives: Vec<_> = self.replicas.iter().filter(of_region).collect();
            lives.sort_unstable();
            let known = lives.iter().rev().find_map(|p| r.known.get(p));
            waits.insert(*replica, known?.clone());
        }
        Some(waits)
    }

    fn stable(&self, region: usize) -> VersionVector {
        let Some(waits) = self.waits(region) else {
            return VersionVector::new();
        };
        let own = self.regions[region].vector.clone();
        waits.values().fold(own, |stable, (v, _)| stable.meet(v))
    }

    /// Collects what `region` need not keep of `key`.
    pub fn collect(&mut self, region: usize, key: usize) {
        let stable = self.stable(region);
        let r = &self.regions[region];
        let (me, vector) = (r.me, r.vector.clone());
        let mut seen: BTreeMap<ReplicaId, VersionVector> =
            r.known.iter().map(|(p, (v, _))| (*p, v.clone())).collect();
        seen.insert(me, vector.clone());
        let retired: Vec<ReplicaId> = self
            .replicas
            .iter()
            .copied()
            .filter(|p| self.is_retired(*p))
            .collect();
        let owner_has_seen = move |owner: ReplicaId, reset: &Dot| {
            retired.contains(&owner) || seen.get(&owner).is_some_and(|v| v.covers(reset))
        };
        self.regions[region].collect(key, &stable, &owner_has_seen);
        self.compare(region, key);
    }

    /// Purges `key` at `region`, if it has expired everywhere and all about it is stable.
    pub fn purge(&mut self, region: usize, key: usize) {
        let stable = self.stable(region);
        let Some(waits) = self.waits(region) else { return };
        let r = &mut self.regions[region];
        let reported = r.reported;
        let row = r.row(key);
        let (expiry, changed) = (row.header.expiry(), row.summary.changed);
        let Some(at) = expiry else { return };
        let passed = at <= reported && waits.values().all(|(_, watermark)| at <= *watermark);
        if passed && row.header.ahead.is_empty() && stable.dominates(r.batch(changed)) {
            mark("a key was purged");
            r.purge(key);
            self.compare(region, key);
        }
    }

    // ---- clocks and lives

    /// Physical time passes.
    pub fn tick(&mut self, region: Option<usize>, ms: u64) {
        for (i, r) in self.regions.iter_mut().enumerate() {
            if region.is_none_or(|only| only == i) {
                r.time += ms;
            }
        }
    }

    /// A region's physical clock steps back.
    pub fn step_back(&mut self, region: usize, ms: u64) {
        let r = &mut self.regions[region];
        r.time = r.time.saturating_sub(ms);
    }

    /// A region's store begins a new life; with `loss`, as it was when it last told anyone what it had.
    pub fn restart(&mut self, region: usize, loss: bool) {
        if self.replicas.len() == REPLICAS_MAX {
            return;
        }
        for other in &mut self.regions {
            if other.snapshot.as_ref().is_some_and(|s| s.from == region) {
                other.snapshot = None;
            }
        }
        let r = &mut self.regions[region];
        let time = r.time;
        if loss && let Some(durable) = r.checkpoint.take() {
            if durable.vector != r.vector {
                mark("a crash took entries");
            }
            *r = (*durable).clone();
            r.checkpoint = Some(durable);
        }
        r.time = time;
        r.snapshot = None;
        r.parked.clear();
        r.evict_all();
        r.dirty = [true; KEYS];
        let last = self
            .replicas
            .iter()
            .filter(|p| p.region == r.me.region)
            .map(|p| p.incarnation.0)
            .max();
        r.me = ReplicaId {
            region: r.me.region,
            incarnation: crate::ids::Incarnation(last.unwrap_or(0) + 1),
        };
        r.number = self.replicas.len();
        self.replicas.push(r.me);
        self.compare_region(region);
    }

    // ---- snapshots

    /// `to` begins to join a snapshot of `from`.
    pub fn snapshot_begin(&mut self, to: usize, from: usize) {
        let serves = |other: &Region| other.snapshot.as_ref().is_some_and(|s| s.from == to);
        let ahead = (0..KEYS).any(|k| !self.regions[from].row(k).header.ahead.is_empty());
        let busy = self.regions[to].snapshot.is_some() || self.regions[from].snapshot.is_some();
        if to == from || busy || ahead || self.regions.iter().any(serves) {
            return;
        }
        if self.regions[from].unsettled.iter().any(Option::is_some) {
            return;
        }
        let start = self.regions[from].vector.clone();
        self.regions[to].snapshot = Some(Snapshot {
            from,
            start,
            scanned: BTreeMap::new(),
        });
    }

    /// The scan reaches `key`.
    pub fn snapshot_row(&mut self, to: usize, key: usize) {
        let Some(mut snapshot) = self.regions[to].snapshot.clone() else {
            return;
        };
        if snapshot.scanned.contains_key(&key) {
            return;
        }
        let theirs = self.regions[snapshot.from].vector.clone();
        // What a row tells is in no entry that could be fetched back: the sender must not lose it.
        if self.conditions.losses {
            self.regions[snapshot.from].checkpoint();
        }
        if self.regions[snapshot.from].is_absent(key) {
            snapshot.scanned.insert(key, Some(theirs));
        } else {
            let row = self.regions[snapshot.from].stored_row(key);
            let their_operations = self.regions[snapshot.from].seen[key];
            snapshot.scanned.insert(key, None);
            let r = &mut self.regions[to];
            if !r.is_absent(key) && r.vector.concurrent_with(&theirs) {
                mark("a snapshot's row was joined with unseen writes on both sides");
            }
            r.join(key, &row, &theirs);
            r.seen[key] |= their_operations;
        }
        self.regions[to].snapshot = Some(snapshot);
        self.regions[to].commit();
        self.compare_region(to);
    }

    /// The scan ends: keys without a row lose what the sender had seen at the start, and the vector joins that.
    pub fn snapshot_end(&mut self, to: usize) {
        for key in 0..KEYS {
            self.snapshot_row(to, key);
        }
        let Some(snapshot) = self.regions[to].snapshot.take() else {
            return;
        };
        let counts = self.counts(&snapshot.start);
        for (key, absent) in &snapshot.scanned {
            let r = &mut self.regions[to];
            if let Some(at) = absent {
                if !r.is_absent(*key) {
                    mark("a snapshot had no row for a key that was here");
                }
                r.forget_covered(*key, &snapshot.start);
                r.seen[*key] |= self.model.covered(*key, &counts);
                if *at != snapshot.start {
                    r.unsettled[*key] = Some(at.clone());
                }
            }
        }
        let r = &mut self.regions[to];
        r.vector.join(&snapshot.start);
        let vector = r.vector.clone();
        for key in 0..KEYS {
            r.row(key).header.ahead.forget(&vector);
            if r.unsettled[key].as_ref().is_some_and(|v| vector.dominates(v)) {
                r.unsettled[key] = None;
            }
        }
        self.unpark(to);
        self.regions[to].commit();
        self.regions[to].count_reports();
        self.compare_region(to);
    }

    // ---- comparing

    fn compare_region(&mut self, region: usize) {
        for key in 0..KEYS {
            if std::mem::take(&mut self.regions[region].dirty[key]) {
                self.compare(region, key);
            }
        }
    }

    /// The kernel must show what the rules say.
    pub fn compare(&mut self, region: usize, key: usize) {
        let r = &mut self.regions[region];
        if r.unsettled[key].is_some() {
            return;
        }
        let now = r.clock();
        let expected = self.model.state(key, r.seen[key]);
        let found = r.state(key);
        let agree = expected.at(now) == found.at(now);
        assert!(
            agree,
            "region {region} key {}: the rules say {:?}, the kernel shows {:?}\nnow {now}; the row: {:?}\nknows {:?}",
            String::from_utf8_lossy(&key_name(key)),
            expected.at(now),
            found.at(now),
            r.stored_row(key),
            bits(r.seen[key])
                .map(|i| &self.model.operations[i])
                .collect::<Vec<_>>(),
        );
    }

    /// Equal vectors and an unexpired key: equal digests. Different content: different digests.
    pub fn compare_digests(&mut self) {
        for key in 0..KEYS {
            let shown: Vec<Shown> = self.regions.iter_mut().map(|r| Shown::of(r, key)).collect();
            for (a, x) in shown.iter().enumerate() {
                for (b, y) in shown.iter().enumerate().skip(a + 1) {
                    if x.expired || y.expired {
                        continue;
                    }
                    let equal = x.settled && y.settled && self.regions[a].vector == self.regions[b].vector;
                    if equal {
                        assert_eq!(
                            x.digest, y.digest,
                            "digests of key {key} in regions {a} and {b}, equal vectors"
                        );
                    }
                    if x.state != y.state {
                        assert_ne!(
                            x.digest, y.digest,
                            "digests of key {key} in regions {a} and {b}, unequal states"
                        );
                    }
                }
            }
        }
    }

    /// Everything reaches everyone, everything is reported, everything is collected: all must agree, and nothing may
    /// be left that nobody needs.
    pub fn settle(&mut self) {
        for to in 0..self.regions.len() {
            self.snapshot_end(to);
        }
        self.exchange();
        for r in &mut self.regions {
            // What follows an entry that a crash took from everyone.
            r.parked.clear();
        }
        self.report_all();
        for region in 0..self.regions.len() {
            for key in 0..KEYS {
                self.collect(region, key);
                self.check_clean(region, key);
            }
        }
        self.compare_digests();
        self.purge_all();
    }

    fn check_clean(&mut self, region: usize, key: usize) {
        let row = self.regions[region].stored_row(key);
        let garbage: Vec<&ElementId> = row
            .elements()
            .filter(|(_, e)| e.has_garbage())
            .map(|(id, _)| id)
            .collect();
        assert!(
            garbage.is_empty(),
            "region {region} keeps garbage of {garbage:?} though all is stable: {row:?}"
        );
        assert!(
            !row.header.has_garbage(),
            "region {region} keeps garbage in a header: {row:?}"
        );
        let empty = row.summary.types() == 0;
        assert!(
            !empty || self.regions[region].is_absent(key),
            "region {region} keeps a dead row: {row:?}"
        );
    }

    fn purge_all(&mut self) {
        self.tick(None, 1_000);
        self.report_all();
        for region in 0..self.regions.len() {
            for key in 0..KEYS {
                self.purge(region, key);
                let r = &mut self.regions[region];
                let kept = r.row(key).header.expiry();
                assert!(
                    kept.is_none(),
                    "region {region} keeps an expired key though everyone's clock has passed"
                );
            }
        }
        self.compare_digests();
    }

    /// The region's id.
    pub fn region_id(&self, region: usize) -> RegionId {
        self.regions[region].me.region
    }
}
