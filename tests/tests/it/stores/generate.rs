//! Random commits: valid ones, and ones that must be refused.

use std::collections::BTreeMap;

use cartograph_crdt::{ElementId, ReplicaId, Score, Type};
use cartograph_replica::commit::{
    BatchId, Commit, Fence, GarbageItem, Guard, HeadField, IndexChanges, LogAppend, MetadataChange,
    ViewChange, ViewContent, ViewExpiry, ViewShape,
};
use rand::RngExt as _;
use rand_chacha::ChaCha8Rng;

use super::commit_at;

/// The keys in play; few, so that they meet. Among them the empty one and ones that are no text.
pub(crate) const KEYS: [&[u8]; 9] = [
    b"cart:1",
    b"cart:{1}",
    b"s",
    b"\xff\xfe",
    b"",
    b"a b\r\n",
    b"0:0",
    b"z*[x]",
    b"k8",
];

pub(crate) const REPLIES: [&[u8]; 3] = [b"id-1", b"id-2", b"\0"];

/// The origins whose entries are logged: ours first.
pub(crate) fn origins() -> [ReplicaId; 3] {
    [
        ReplicaId::new(1, 77),
        ReplicaId::new(2, 1 << 50),
        ReplicaId::new(65_535, u64::MAX),
    ]
}

/// What the views are now, by key.
pub(crate) type Shapes = BTreeMap<Vec<u8>, ViewShape>;

pub(crate) struct Generator {
    pub(crate) rng: ChaCha8Rng,
    pub(crate) fence: Fence,
    pub(crate) batch: u64,
    pub(crate) sequence: u64,
    /// Last sequence logged, and first one still held, of each origin.
    pub(crate) logs: BTreeMap<ReplicaId, (u64, u64)>,
}

impl Generator {
    pub(crate) fn new(rng: ChaCha8Rng) -> Self {
        Generator {
            rng,
            fence: Fence(0),
            batch: 0,
            sequence: 0,
            logs: origins().into_iter().map(|o| (o, (0, 1))).collect(),
        }
    }

    fn chance(&mut self, percent: u32) -> bool {
        self.rng.random_ratio(percent, 100)
    }

    fn below(&mut self, n: usize) -> usize {
        self.rng.random_range(0..n)
    }

    pub(crate) fn key(&mut self) -> Vec<u8> {
        KEYS[self.below(KEYS.len())].to_vec()
    }

    /// Some bytes: mostly short, now and then past what Redis packs tightly.
    fn blob(&mut self) -> Vec<u8> {
        let longest = [0, 3, 20, 70, 300][self.below(5)];
        let len = self.below(longest + 1);
        (0..len).map(|_| self.rng.random()).collect()
    }

    fn full_blob(&mut self) -> Vec<u8> {
        let mut blob = self.blob();
        blob.push(7);
        blob
    }

    fn name(&mut self) -> Vec<u8> {
        let names: [&[u8]; 7] = [b"a", b"b", b"sku-3", b"\0", b"\xff", b"longer name", b""];
        names[self.below(names.len())].to_vec()
    }

    fn names(&mut self, most: usize) -> Vec<Vec<u8>> {
        let n = self.below(most + 1);
        (0..n).map(|_| self.name()).collect()
    }

    fn score(&mut self) -> Score {
        let some = [
            0.0,
            -0.0,
            1.0,
            -1.5,
            0.1,
            1e300,
            5e-324,
            f64::INFINITY,
            f64::NEG_INFINITY,
            9_007_199_254_740_993.0,
        ];
        let score = if self.chance(60) {
            some[self.below(some.len())]
        } else {
            f64::from_bits(self.rng.random())
        };
        Score::new(score).unwrap_or_else(|| Score::new(3.25).unwrap())
    }

    fn element(&mut self) -> ElementId {
        match self.below(5) {
            0 => ElementId::string(),
            1 => ElementId::register(self.rng.random_range(0..3)),
            2 => ElementId::member(&self.name()),
            3 => ElementId::scored(&self.name()),
            _ => ElementId::field(&self.name()),
        }
    }

    /// The next commit. Everything in it holds, given these views.
    pub(crate) fn valid(&mut self, shapes: &Shapes, now_ms: u64) -> Commit {
        let mut commit = self.without_views();
        let mut keys: Vec<Vec<u8>> = (0..self.below(4)).map(|_| self.key()).collect();
        keys.sort();
        keys.dedup();
        for key in keys {
            let shape = shapes.get(&key).cloned().unwrap_or(ViewShape::Absent);
            let view = self.view(&key, &shape, now_ms);
            commit.guards.push(Guard {
                key,
                shape: self.vague(shape),
            });
            if self.chance(90) {
                commit.views.push(view);
            }
        }
        commit
    }

    /// The next commit with metadata, log, indexes and head fields only.
    pub(crate) fn without_views(&mut self) -> Commit {
        let mut commit = commit_at(self.fence, self.batch + 1, self.sequence);
        commit.freeing = self.chance(15);
        commit.metadata = self.metadata();
        commit.indexes = self.indexes();
        commit.head = self.head();
        for (n, origin) in origins().into_iter().enumerate() {
            if self.chance(40) {
                let last = self.logs[&origin].0;
                let entries = self.rng.random_range(1..5);
                commit.log.push(LogAppend {
                    origin,
                    first: last + 1,
                    last: last + entries,
                    record: self.full_blob(),
                });
                if n == 0 {
                    commit.sequence_after += entries;
                }
            }
        }
        commit
    }

    /// The commit was made: the next one follows it.
    pub(crate) fn advance(&mut self, commit: &Commit) {
        self.batch = commit.batch.0;
        self.sequence = commit.sequence_after;
        for (origin, keep) in &commit.indexes.trims {
            if let Some((_, start)) = self.logs.get_mut(origin) {
                *start = (*keep).max(*start);
            }
        }
        for append in &commit.log {
            if let Some((last, _)) = self.logs.get_mut(&append.origin) {
                *last = append.last;
            }
        }
    }

    /// Breaks what the head is compared with.
    pub(crate) fn corrupt_head(&mut self, commit: &mut Commit) {
        match self.below(5) {
            0 => commit.fence = Fence(commit.fence.0 - 1),
            1 => commit.fence = Fence(commit.fence.0 + 1),
            2 => commit.batch = BatchId(commit.batch.0 + 1),
            3 => commit.batch = BatchId(commit.batch.0 - 1),
            _ => commit.sequence_before += 1,
        }
    }

    /// Breaks one guard at least.
    pub(crate) fn corrupt_guards(&mut self, commit: &mut Commit, shapes: &Shapes) {
        let key = self.key();
        commit.guards.retain(|g| g.key != key);
        let shape = match shapes.get(&key) {
            None | Some(ViewShape::Absent) => ViewShape::Present {
                ty: Type::ALL[self.below(5)],
                cardinality: None,
            },
            Some(ViewShape::Present { ty, cardinality }) => match (self.below(3), cardinality) {
                (0, _) | (_, None) => ViewShape::Absent,
                (1, Some(n)) => ViewShape::Present {
                    ty: *ty,
                    cardinality: Some(n + 1),
                },
                (_, Some(n)) => ViewShape::Present {
                    ty: if *ty == Type::Hash { Type::Set } else { Type::Hash },
                    cardinality: Some(*n),
                },
            },
        };
        commit.views.retain(|v| v.key != key);
        commit.guards.push(Guard { key, shape });
    }

    /// Someone's write behind the node's back.
    pub(crate) fn tampering(&mut self, shapes: &Shapes, now_ms: u64) -> ViewChange {
        let key = self.key();
        let shape = shapes.get(&key).cloned().unwrap_or(ViewShape::Absent);
        loop {
            let change = self.view(&key, &shape, now_ms);
            if !matches!(change.content, ViewContent::HyperLogLog { .. }) {
                return change;
            }
        }
    }

    /// Sometimes without the cardinality.
    fn vague(&mut self, shape: ViewShape) -> ViewShape {
        match shape {
            ViewShape::Present { ty, .. } if self.chance(30) => ViewShape::Present {
                ty,
                cardinality: None,
            },
            other => other,
        }
    }

    fn view(&mut self, key: &[u8], shape: &ViewShape, now_ms: u64) -> ViewChange {
        let ty = Type::ALL[self.below(5)];
        let fits = match shape {
            ViewShape::Absent => true,
            ViewShape::Present { ty: shown, .. } => *shown == ty,
        };
        let content = if self.chance(12) {
            [ViewContent::Absent, ViewContent::Unchanged][self.below(2)].clone()
        } else {
            self.content(ty)
        };
        ViewChange {
            key: key.to_vec(),
            replace: !fits && content != ViewContent::Unchanged || self.chance(20),
            content,
            expiry: match self.below(20) {
                0..=2 => ViewExpiry::Never,
                3..=6 => ViewExpiry::At(now_ms + 3_600_000 + self.rng.random_range(0..1_000_000)),
                7 => ViewExpiry::At(now_ms - self.rng.random_range(1..1_000_000)),
                8 => ViewExpiry::At(self.rng.random()),
                _ => ViewExpiry::Unchanged,
            },
        }
    }

    fn content(&mut self, ty: Type) -> ViewContent {
        match ty {
            Type::String => ViewContent::String(self.blob()),
            Type::Hash => ViewContent::Hash {
                set: self.names(4).into_iter().map(|n| (n, self.blob())).collect(),
                delete: self.names(2),
            },
            Type::Set => ViewContent::Set {
                add: self.names(4),
                remove: self.names(2),
            },
            Type::SortedSet => ViewContent::SortedSet {
                set: self.names(4).into_iter().map(|n| (n, self.score())).collect(),
                remove: self.names(2),
            },
            Type::HyperLogLog => {
                let most = [3, 40][self.below(2)];
                let register = |rng: &mut ChaCha8Rng| (rng.random_range(0..16_384), rng.random_range(0..52));
                let n = self.below(most);
                ViewContent::HyperLogLog {
                    set: (0..n).map(|_| register(&mut self.rng)).collect(),
                }
            }
        }
    }

    fn metadata(&mut self) -> Vec<MetadataChange> {
        let mut changes = BTreeMap::new();
        for _ in 0..self.below(3) {
            let key = self.key();
            let mut elements = BTreeMap::new();
            for _ in 0..self.below(5) {
                let blob = if self.chance(70) {
                    Some(self.full_blob())
                } else {
                    None
                };
                elements.insert(self.element(), blob);
            }
            let header = if self.chance(50) { Some(self.blob()) } else { None };
            let summary = if self.chance(30) { Some(self.blob()) } else { None };
            let change = MetadataChange {
                key: key.clone(),
                drop: self.chance(15),
                header,
                summary,
                elements: elements.into_iter().collect(),
            };
            changes.insert(key, change);
        }
        changes.into_values().collect()
    }

    fn indexes(&mut self) -> IndexChanges {
        let mut indexes = IndexChanges::default();
        for _ in 0..self.below(3) {
            let instant = [3, 1_000, 1 << 52, u64::MAX][self.below(4)];
            let instant = if self.chance(75) { Some(instant) } else { None };
            indexes.due.push((self.key(), instant));
        }
        for _ in 0..self.below(3) {
            let item = GarbageItem {
                key: self.key(),
                element: if self.chance(60) {
                    Some(self.element())
                } else {
                    None
                },
            };
            let batch = if self.chance(75) {
                Some(self.rng.random_range(0..9))
            } else {
                None
            };
            indexes.garbage.push((item, batch));
        }
        if self.chance(20) {
            for _ in 0..self.rng.random_range(1..4) {
                indexes.conflicts.push((self.key(), self.blob()));
            }
        }
        if self.chance(15) {
            let id = REPLIES[self.below(REPLIES.len())].to_vec();
            let keep_ms = self.rng.random_range(3_600_000..u64::MAX);
            indexes.replies.push((id, self.blob(), keep_ms));
        }
        if self.chance(15) {
            let origin = origins()[self.below(3)];
            let (last, start) = self.logs[&origin];
            indexes
                .trims
                .push((origin, self.rng.random_range(start..=last.max(start))));
        }
        indexes
    }

    fn head(&mut self) -> BTreeMap<HeadField, Vec<u8>> {
        let fields = [
            HeadField::Identity,
            HeadField::Incarnation,
            HeadField::Vector,
            HeadField::Clocks,
            HeadField::Replicas,
            HeadField::Members,
            HeadField::LogStarts,
            HeadField::Snapshot,
            HeadField::Server,
            HeadField::Keys,
            HeadField::Digest(0),
            HeadField::Digest(255),
        ];
        let n = self.below(4);
        (0..n)
            .map(|_| (fields[self.below(fields.len())], self.blob()))
            .collect()
    }
}
