//! Replicas in memory, for tests: what commands make, delivered in any order, without a shard, a store or a wire.
//!
//! A [`Replica`] keeps its rows whole. A command is evaluated as the shard does it, on rows of which nothing is loaded
//! until the command asks, so that each test also tries every restart; the entry that comes out is then applied to the
//! whole rows as any other replica applies it, and both must agree.
//!
//! - [`Cluster`]: a few of them, a clock, and delivery on demand
//! - [`argv`]: Redis's own argument lists, for worked cases
//! - [`oracle`]: the declarative second opinion
//! - [`histories`]: random histories, played on both, a failing one shrunk

#![expect(
    clippy::missing_panics_doc,
    reason = "what is wrong here fails the test that found it"
)]

pub mod argv;
pub mod histories;
pub mod oracle;
mod oracle_collections;
mod oracle_commands;
mod oracle_values;

use std::collections::BTreeMap;
use std::sync::Arc;

use cartograph_crdt::{ElementId, Hlc, ReplicaId, Row, Score, Sequence, Touched, Type, VersionVector};
use cartograph_replica::{Entry, Key};

use crate::cache::Cache;
use crate::command::{Command, Reply, Want};
use crate::commands::{evaluate, wants};
use crate::error::CommandError;
use crate::show;
use crate::writer::{Chance, Setting, Shown, Stop, Writer};

/// A small seeded generator (`SplitMix64`), so that a failing history can be played again.
#[derive(Clone, Debug)]
pub struct Dice(pub u64);

impl Dice {
    /// A number below `bound`, which must not be 0.
    pub fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
        usize::try_from(z % bound.max(1) as u64).unwrap_or(0)
    }

    /// True once in `n`.
    pub fn once_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    /// One of `all`, which must not be empty.
    pub fn pick<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        let at = self.below(all.len());
        assert!(!all.is_empty(), "nothing to choose from");
        all.get(at).unwrap_or_else(|| unreachable!("below its length"))
    }
}

/// What a reader sees of a key.
#[derive(Clone, Debug, PartialEq)]
pub struct View {
    /// The type.
    pub ty: Type,
    /// The elements by name: fields and strings with their bytes, members with scores, registers with ranks.
    pub elements: BTreeMap<Vec<u8>, Seen>,
    /// The expiry instant.
    pub expiry: Option<u64>,
}

/// One element as a reader sees it.
#[derive(Clone, Debug, PartialEq)]
pub enum Seen {
    /// A string's or field's value.
    Bytes(Vec<u8>),
    /// A score.
    Score(f64),
    /// A set's member.
    Member,
    /// A HyperLogLog's register.
    Rank(u8),
}

/// What running commands as one entry gave.
#[derive(Clone, Debug)]
pub struct Done {
    /// One a command.
    pub replies: Vec<Result<Reply, CommandError>>,
    /// The entry, if anything changed.
    pub entry: Option<Arc<Entry>>,
}

/// One region's replica.
#[derive(Debug)]
pub struct Replica {
    /// Who it is.
    pub id: ReplicaId,
    /// What it has applied.
    pub vector: VersionVector,
    /// Its hybrid clock.
    pub hlc: Hlc,
    /// Every entry it has applied, in that order.
    pub log: Vec<Arc<Entry>>,
    /// What the last commands asked to be loaded while they ran.
    pub asked: Vec<Want>,
    rows: BTreeMap<Key, Row>,
    parked: Vec<Arc<Entry>>,
    chance: Chance,
}

impl Replica {
    /// The replica of region `region`, with nothing in it.
    pub fn new(region: u16) -> Self {
        Replica {
            id: ReplicaId::new(region, 1),
            vector: VersionVector::new(),
            hlc: Hlc::default(),
            log: Vec::new(),
            asked: Vec::new(),
            rows: BTreeMap::new(),
            parked: Vec::new(),
            chance: Chance(u64::from(region)),
        }
    }

    /// Runs commands as one entry. The clock reading is the next after `now_ms` where none is given.
    pub fn exec(&mut self, commands: &[Command], now_ms: u64, hlc: Option<Hlc>) -> Done {
        let hlc = hlc
            .filter(|h| *h > self.hlc)
            .unwrap_or_else(|| self.hlc.tick(now_ms));
        let others = self.vector.iter().filter(|(replica, _)| *replica != self.id);
        let setting = Setting {
            me: self.id,
            context: Arc::new(others.collect()),
            now_ms,
        };
        let mut cache = Cache::new(usize::MAX);
        if self.chance_of_loading_ahead() {
            commands
                .iter()
                .flat_map(wants)
                .for_each(|want| self.load(&mut cache, &want));
        }
        self.asked.clear();
        let done = loop {
            match self.attempt(&mut cache, &setting, hlc, commands) {
                Ok(done) => break done,
                Err(want) => {
                    self.load(&mut cache, &want);
                    self.asked.push(want);
                }
            }
        };
        if let Some(entry) = &done.entry {
            self.hlc = hlc;
            self.apply(entry);
            self.compare(&cache, entry);
        }
        done
    }

    fn chance_of_loading_ahead(&mut self) -> bool {
        Dice(self.vector.get(self.id)).once_in(2)
    }

    fn attempt(
        &mut self,
        cache: &mut Cache,
        setting: &Setting,
        hlc: Hlc,
        commands: &[Command],
    ) -> Result<Done, Want> {
        let sequence = Sequence::after(self.vector.get(self.id));
        let mut writer = Writer::new(cache, &mut self.chance, setting, sequence, hlc, false);
        let mut replies = Vec::new();
        for command in commands {
            match writer.step(|w| evaluate(command, w)) {
                Ok(reply) => replies.push(Ok(reply)),
                Err(Stop::Refused(error)) => replies.push(Err(error)),
                Err(Stop::Missing(want)) => {
                    writer.abandon();
                    return Err(want);
                }
            }
        }
        let entry = writer.finish().0.map(Arc::new);
        Ok(Done { replies, entry })
    }

    /// Brings exactly what is wanted into the cache.
    fn load(&self, cache: &mut Cache, want: &Want) {
        let Some(stored) = self.rows.get(&want.key) else {
            cache.insert(&want.key, Row::absent());
            return;
        };
        if cache.row(&want.key).is_none() {
            let row = Row::loaded(stored.header.clone(), stored.summary.clone(), [], false);
            cache.insert(&want.key, row);
        }
        let all = stored.elements().map(|(id, e)| (id.clone(), Some(e.clone())));
        let some = want
            .elements
            .iter()
            .map(|id| (id.clone(), stored.element(id).cloned()));
        if let Some(row) = cache.row_mut(&want.key) {
            if want.all {
                row.supply(all, true);
            } else {
                row.supply(some, false);
            }
        }
    }

    /// What the writer made of its partial rows must be what everyone else makes of the entry.
    fn compare(&self, cache: &Cache, entry: &Entry) {
        let nothing = Row::absent();
        for key in entry.keys() {
            let whole = self.rows.get(key).unwrap_or(&nothing);
            let Some(partial) = cache.row(key) else {
                unreachable!("a written row is loaded");
            };
            assert_eq!(partial.header, whole.header, "header of {key:?} after {entry:?}");
            assert_eq!(
                partial.summary, whole.summary,
                "summary of {key:?} after {entry:?}"
            );
            for (id, element) in partial.elements() {
                assert_eq!(
                    Some(element),
                    whole.element(id),
                    "{id:?} of {key:?} after {entry:?}"
                );
            }
            if partial.is_complete() {
                assert_eq!(
                    partial.elements().count(),
                    whole.elements().count(),
                    "{key:?} after {entry:?}"
                );
            }
        }
    }

    /// Takes an entry from anyone, in any order, any number of times.
    pub fn receive(&mut self, entry: &Arc<Entry>) {
        self.parked.push(Arc::clone(entry));
        let mut again = true;
        while again {
            again = false;
            for entry in std::mem::take(&mut self.parked) {
                if self.vector.covers_entry(entry.replica, entry.sequence) {
                    continue;
                }
                if entry.is_ready(&self.vector) {
                    self.apply(&entry);
                    self.hlc = self.hlc.max(entry.hlc);
                    again = true;
                } else {
                    self.parked.push(entry);
                }
            }
        }
    }

    fn apply(&mut self, entry: &Arc<Entry>) {
        for (index, (key, effect)) in entry.effects.iter().enumerate() {
            let scope = entry.scope(key);
            let row = self.rows.entry(key.clone()).or_insert_with(Row::absent);
            row.apply(effect, &entry.origin(index, &scope), &mut Touched::default());
        }
        let observed = self.vector.observe(entry.replica, entry.sequence);
        assert_eq!(observed, Ok(()), "entries are applied in order");
        self.log.push(Arc::clone(entry));
    }

    /// The key's whole metadata.
    pub fn row(&self, key: &[u8]) -> Option<&Row> {
        self.rows.get(key)
    }

    /// Every key that was ever touched here.
    pub fn keys(&self) -> impl Iterator<Item = &Key> {
        self.rows.keys()
    }

    /// What a reader sees of the key at `now_ms`.
    pub fn view(&self, key: &[u8], now_ms: u64) -> Option<View> {
        let row = self.rows.get(key)?;
        let Shown {
            ty,
            expiry,
            cardinality,
        } = crate::writer::shown(&row.header, &row.summary, now_ms)?;
        let see = |(id, e): (&ElementId, &cartograph_crdt::Element)| {
            let seen = match e {
                cartograph_crdt::Element::Member(_) => Seen::Member,
                cartograph_crdt::Element::Ranks(ranks) => Seen::Rank(ranks.rank()),
                cartograph_crdt::Element::Number(_) => match show::score(e) {
                    Some(score) if ty == Type::SortedSet => Seen::Score(Score::get(score)),
                    _ => Seen::Bytes(show::text(e)?.bytes),
                },
            };
            Some((id.name.clone(), seen))
        };
        let elements: BTreeMap<_, _> = row.live(ty).filter_map(see).collect();
        assert_eq!(
            elements.len() as u64,
            cardinality,
            "the summary of {key:?} miscounts"
        );
        Some(View { ty, elements, expiry })
    }

    /// Drops everything that `stable` allows; nothing that a reader sees may change.
    pub fn collect(&mut self, stable: &VersionVector, seen_by: &BTreeMap<ReplicaId, VersionVector>) {
        for row in self.rows.values_mut() {
            let owner = |owner: ReplicaId, reset: &cartograph_crdt::Dot| {
                seen_by.get(&owner).is_some_and(|vector| vector.covers(reset))
            };
            let ids: Vec<ElementId> = row.elements().map(|(id, _)| id.clone()).collect();
            row.collect(None, stable, owner, &mut Touched::default());
            for id in ids {
                row.collect(Some(&id), stable, owner, &mut Touched::default());
            }
        }
    }

    /// Drops what only a fully quiet cluster may: leftovers of keys without elements, and keys that expired before
    /// `earliest_ms`, which every region's clock has passed. Everything applied here must be applied everywhere.
    pub fn purge(&mut self, earliest_ms: u64) {
        for row in self.rows.values_mut() {
            row.collect_leftovers();
            if row.header.expiry().is_some_and(|at| at <= earliest_ms) {
                row.purge(&mut Touched::default());
            }
        }
    }
}

/// Regions with ids 1, 2, 3 ... under one clock. Nothing is delivered until somebody says so.
#[derive(Debug)]
pub struct Cluster {
    /// The regions.
    pub regions: Vec<Replica>,
    /// Everyone's expiry clock, Unix milliseconds.
    pub now_ms: u64,
}

impl Cluster {
    /// `count` regions with nothing in them.
    pub fn new(count: u16) -> Self {
        Cluster {
            regions: (1..=count).map(Replica::new).collect(),
            now_ms: 1_000_000,
        }
    }

    /// Region `at` (from 0).
    pub fn region(&mut self, at: usize) -> &mut Replica {
        self.regions
            .get_mut(at)
            .unwrap_or_else(|| unreachable!("region {at} of a test exists"))
    }

    /// Runs one command in a region.
    ///
    /// # Errors
    /// What the command is refused with.
    pub fn run(&mut self, at: usize, command: Command) -> Result<Reply, CommandError> {
        let now = self.now_ms;
        let mut done = self.region(at).exec(&[command], now, None);
        done.replies.pop().unwrap_or(Ok(Reply::Nil))
    }

    /// Brings to region `to` all that region `from` has.
    pub fn deliver(&mut self, from: usize, to: usize) {
        let log = self.region(from).log.clone();
        for entry in &log {
            self.region(to).receive(entry);
        }
    }

    /// Brings everything everywhere.
    pub fn sync(&mut self) {
        let count = self.regions.len();
        for from in 0..count {
            for to in (0..count).filter(|to| *to != from) {
                self.deliver(from, to);
            }
        }
        let Some(first) = self.regions.first() else { return };
        assert!(
            self.regions
                .iter()
                .all(|r| r.vector == first.vector && r.parked.is_empty())
        );
    }

    /// Collects garbage in every region. What a member has applied counts there only once all that the member had
    /// *written* by then is there too: else a reset looks stable while an increment is still on its way. `now_ms` must
    /// have passed everywhere.
    pub fn collect(&mut self) {
        let vectors: BTreeMap<_, _> = self.regions.iter().map(|r| (r.id, r.vector.clone())).collect();
        let quiet = self
            .regions
            .windows(2)
            .all(|pair| matches!(pair, [a, b] if a.vector == b.vector));
        let now = self.now_ms;
        for region in &mut self.regions {
            let mut counted = vectors.clone();
            counted.retain(|member, vector| region.vector.get(*member) >= vector.get(*member));
            let all = counted.len() == vectors.len();
            let meet = counted
                .values()
                .fold(region.vector.clone(), |all, vector| all.meet(vector));
            let stable = if all { meet } else { VersionVector::new() };
            region.collect(&stable, &counted);
            if quiet {
                region.purge(now);
            }
        }
    }

    /// Equal vectors, views and digests everywhere?
    ///
    /// # Panics
    /// When they are not.
    pub fn assert_converged(&self) {
        let Some((first, others)) = self.regions.split_first() else {
            return;
        };
        for other in others {
            for key in first.keys().chain(other.keys()) {
                let (mine, theirs) = (first.view(key, self.now_ms), other.view(key, self.now_ms));
                assert_eq!(mine, theirs, "{key:?} in regions {} and {}", first.id, other.id);
                let digest = |r: &Replica| r.row(key).map_or(0, |row| row.digest(key));
                assert_eq!(digest(first), digest(other), "digest of {key:?}");
            }
        }
    }
}
