//! One suite for all stores: the same random commits go to each, and after every step each must answer every load and
//! every read alike.

use std::collections::BTreeSet;

use cartograph_crdt::{ElementId, Type};
use cartograph_replica::commit::{
    BatchId, Commit, Elements, Load, Loaded, Outcome, ViewChange, ViewContent, ViewExpiry, ViewShape,
    ViewValue,
};
use cartograph_store::{Error, Read, ReadReply, Store, hyperloglog};
use futures_util::future::join_all;
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use super::SHARD;
use super::generate::{Generator, KEYS, REPLIES, Shapes, origins};
use super::harness::World;

const STEPS: u32 = 150;

async fn run(series: u64) {
    let base = std::env::var("STORES_SEED").map_or(0, |text| text.parse().unwrap());
    let seed = base + series;
    let mut suite = Suite {
        world: World::start(),
        generator: Generator::new(ChaCha8Rng::seed_from_u64(seed)),
        last: None,
        committed: 0,
        refused: 0,
    };
    suite.claim().await;
    for step in 0..STEPS {
        let at = format!("seed {seed} (STORES_SEED={base}), step {step}");
        suite.step(&at).await;
        suite.compare(&at).await;
    }
    // The series has to reach both.
    assert!(
        suite.committed > 60 && suite.refused > 10,
        "{} / {}",
        suite.committed,
        suite.refused
    );
}

#[tokio::test]
async fn all_stores_agree_after_every_step_series_0() {
    run(0).await;
}

#[tokio::test]
async fn all_stores_agree_after_every_step_series_1() {
    run(1).await;
}

#[tokio::test]
async fn all_stores_agree_after_every_step_series_2() {
    run(2).await;
}

#[tokio::test]
async fn all_stores_agree_after_every_step_series_3() {
    run(3).await;
}

struct Suite {
    world: World,
    generator: Generator,
    /// The last commit that was made.
    last: Option<Commit>,
    committed: u32,
    refused: u32,
}

impl Suite {
    async fn step(&mut self, at: &str) {
        let now_ms = self.world.tick().await;
        let shapes = self.shapes();
        let kind = self.generator.rng.random_range(0..100);
        let mut commit = self.generator.valid(&shapes, now_ms);
        match kind {
            0..=66 => {}
            67..=73 => self.generator.corrupt_head(&mut commit),
            74..=80 => self.generator.corrupt_guards(&mut commit, &shapes),
            81..=87 => {
                let change = self.generator.tampering(&shapes, now_ms);
                self.world.tamper(&change).await;
                // Guards may hold nevertheless; what has lost its guard may not be written.
                let guards = &commit.guards;
                commit
                    .views
                    .retain(|v| guards.iter().any(|g| g.key == v.key && g.key == change.key));
            }
            88..=92 => return self.rerun(at).await,
            93..=96 => return self.hand_in_three(at).await,
            _ => return self.expire(commit, now_ms, at).await,
        }
        self.hand_in(commit, at).await;
    }

    /// Claims everywhere; every store must say the same of the head.
    async fn claim(&mut self) {
        let mut heads = Vec::new();
        for (name, store) in self.world.stores() {
            let claim = store.claim(SHARD).await.unwrap_or_else(|e| panic!("{name}: {e}"));
            assert!(!claim.server.is_empty());
            heads.push(claim.head);
        }
        assert_eq!(heads[0], heads[1], "embedded's head");
        assert_eq!(heads[0], heads[2], "redis's head");
        assert_eq!(heads[0].batch, BatchId(self.generator.batch));
        assert_eq!(heads[0].sequence, self.generator.sequence);
        self.generator.fence = heads[0].fence;
    }

    async fn outcomes(&self, commit: &Commit) -> Vec<Outcome> {
        join_all(self.world.stores().map(|(_, store)| store.commit(commit.clone()))).await
    }

    async fn hand_in(&mut self, commit: Commit, at: &str) {
        let outcomes = self.outcomes(&commit).await;
        let expected = comparable(outcomes[0].clone());
        for (outcome, (name, _)) in outcomes.into_iter().zip(self.world.stores()) {
            assert_eq!(
                comparable(outcome.clone()),
                expected,
                "{at}: {name} says {outcome:?} of {commit:#?}"
            );
        }
        if expected == Outcome::Committed {
            self.committed += 1;
            self.generator.advance(&commit);
            self.last = Some(commit);
        } else {
            self.refused += 1;
        }
    }

    /// After a new claim the last commit is neither accepted again nor under the new fence.
    async fn rerun(&mut self, at: &str) {
        self.claim().await;
        let Some(mut commit) = self.last.clone() else {
            return;
        };
        for _ in 0..2 {
            for (outcome, (name, _)) in self.outcomes(&commit).await.into_iter().zip(self.world.stores()) {
                assert!(
                    matches!(outcome, Outcome::Fenced { .. }),
                    "{at}: {name} says {outcome:?}"
                );
            }
            commit.fence = self.generator.fence;
        }
    }

    /// Three at once, the middle one sometimes wrong: then the third fails, too.
    async fn hand_in_three(&mut self, at: &str) {
        let mut ahead = Generator::new(self.generator.rng.clone());
        ahead.fence = self.generator.fence;
        ahead.batch = self.generator.batch;
        ahead.sequence = self.generator.sequence;
        ahead.logs = self.generator.logs.clone();
        let wrong = self.generator.rng.random_ratio(1, 2);
        let mut commits = Vec::new();
        for n in 0..3 {
            let mut commit = ahead.without_views();
            ahead.advance(&commit);
            if wrong && n == 1 {
                commit.sequence_before += 1;
            }
            commits.push(commit);
        }
        let done = if wrong { 1 } else { 3 };
        for (name, store) in self.world.stores() {
            // All are handed in before the first is waited for.
            let futures: Vec<_> = commits.iter().map(|c| store.commit(c.clone())).collect();
            for (n, outcome) in join_all(futures).await.into_iter().enumerate() {
                let committed = outcome == Outcome::Committed;
                assert_eq!(committed, n < done, "{at}: {name} says {outcome:?} of number {n}");
            }
        }
        for commit in commits.into_iter().take(done) {
            self.generator.advance(&commit);
            self.last = Some(commit);
        }
    }

    /// A view that expires soon: there before, gone after, and a guard says absent.
    async fn expire(&mut self, mut commit: Commit, now_ms: u64, at: &str) {
        let key = self.generator.key();
        let instant = now_ms + 60;
        commit.guards.retain(|g| g.key != key);
        commit.views.retain(|v| v.key != key);
        commit.views.push(ViewChange {
            key: key.clone(),
            replace: true,
            content: ViewContent::Hash {
                set: vec![(b"f".to_vec(), b"v".to_vec())],
                delete: Vec::new(),
            },
            expiry: ViewExpiry::At(instant),
        });
        self.hand_in(commit, at).await;
        self.world.pass(instant + 1).await;
        let shapes = self.shapes();
        assert_eq!(shapes.get(&key), Some(&ViewShape::Absent));
        let mut next = self.generator.valid(&shapes, instant + 2);
        next.guards.retain(|g| g.key != key);
        next.guards.push(cartograph_replica::commit::Guard {
            key,
            shape: ViewShape::Absent,
        });
        self.hand_in(next, at).await;
    }

    /// What the views are, asked of the memory store.
    fn shapes(&self) -> Shapes {
        let memory = self.world.memory.lock();
        let shape = |key: &&[u8]| {
            let load = Load::View { key: key.to_vec() };
            let Ok(Loaded::View(view)) = memory.load(SHARD, &load) else {
                panic!("no view");
            };
            (
                key.to_vec(),
                view.map_or(ViewShape::Absent, |(value, _)| shape_of(&value)),
            )
        };
        KEYS.iter().map(shape).collect()
    }

    async fn compare(&mut self, at: &str) {
        self.world.tick().await;
        let probes = self.probes();
        for probe in probes {
            let mut answers = Vec::new();
            for (name, store) in self.world.stores() {
                answers.push((name, ask(store, &probe).await));
            }
            for (name, answer) in &answers {
                let same = alike(&answers[0].1, answer);
                assert!(
                    same,
                    "{at}: {probe:?}: {name} says {answer:?}, memory {:?}",
                    answers[0].1
                );
            }
        }
    }

    fn probes(&mut self) -> Vec<Probe> {
        let mut probes = Vec::new();
        for key in KEYS {
            let key = key.to_vec();
            let named = vec![
                ElementId::string(),
                ElementId::field(b"a"),
                ElementId::member(b"\xff"),
                ElementId::scored(b""),
                ElementId::register(1),
            ];
            let rows = [Elements::All, Elements::Named(named), Elements::Named(Vec::new())];
            probes.extend(rows.map(|elements| {
                Probe::Load(Load::Row {
                    key: key.clone(),
                    elements,
                })
            }));
            probes.push(Probe::Load(Load::View { key: key.clone() }));
            probes.push(Probe::Load(Load::Conflicts { key: key.clone() }));
            probes.extend(reads_of(&key).into_iter().map(Probe::Read));
        }
        for origin in origins() {
            let (last, start) = self.generator.logs[&origin];
            // A log may keep more than it must: below its start nothing is promised.
            let middle = self.generator.rng.random_range(start..=last.max(start));
            for (from, bytes_max) in [(start, 1), (start, 2_000), (middle, usize::MAX), (last + 1, 9)] {
                probes.push(Probe::Load(Load::Log {
                    origin,
                    from,
                    bytes_max,
                }));
            }
        }
        for (until, count) in [(0, 9), (3, 2), (1_000, 100), (u64::MAX, 100)] {
            probes.push(Probe::Load(Load::Due {
                until_ms: until,
                count,
            }));
            probes.push(Probe::Load(Load::Garbage {
                until: BatchId(until),
                count,
            }));
        }
        probes.extend(REPLIES.map(|id| Probe::Load(Load::Reply { id: id.to_vec() })));
        probes.extend([Probe::AllRowKeys(1), Probe::AllRowKeys(100)]);
        let all: Vec<Vec<u8>> = KEYS.iter().map(|k| k.to_vec()).collect();
        let twice = all.iter().chain(&all).cloned().collect();
        probes.push(Probe::Read(Read::Exists(twice)));
        let globs: [&[u8]; 4] = [b"*", b"cart:*", b"z\\*[[]x]", b"[^c]*"];
        probes.extend(globs.map(|g| Probe::Read(Read::Keys { pattern: g.to_vec() })));
        probes.extend([Probe::AllKeys(1), Probe::AllKeys(100)]);
        probes.push(Probe::Read(Read::DbSize));
        probes
    }
}

fn reads_of(key: &[u8]) -> Vec<Read> {
    let key = || key.to_vec();
    let name = || b"a".to_vec();
    let range = |start, stop| Read::ZRange {
        key: key(),
        start,
        stop,
    };
    vec![
        Read::Get(key()),
        Read::StrLen(key()),
        Read::Exists(vec![key()]),
        Read::Type(key()),
        Read::Pttl(key()),
        Read::HGet(key(), name()),
        Read::HMGet(key(), vec![name(), b"none".to_vec(), b"\0".to_vec()]),
        Read::HGetAll(key()),
        Read::HLen(key()),
        Read::SMembers(key()),
        Read::SIsMember(key(), name()),
        Read::SCard(key()),
        range(0, -1),
        range(1, 2),
        range(-2, -1),
        range(-9, 0),
        range(2, 1),
        range(5, 9),
        Read::ZScore(key(), name()),
        Read::ZCard(key()),
        Read::PfCount(vec![key()]),
        Read::PfCount(vec![key(), b"none".to_vec()]),
    ]
}

#[derive(Clone, Debug)]
enum Probe {
    Load(Load),
    Read(Read),
    /// All pages of `Load::Keys`.
    AllRowKeys(usize),
    /// All pages of a scan.
    AllKeys(usize),
}

#[derive(Clone, Debug, PartialEq)]
enum Answer {
    Loaded(Loaded),
    Reply(Result<ReadReply, Error>),
    Names(BTreeSet<Vec<u8>>),
}

async fn ask(store: &dyn Store, probe: &Probe) -> Answer {
    match probe {
        Probe::Load(load) => Answer::Loaded(store.load(SHARD, load.clone()).await.unwrap()),
        Probe::Read(read) => Answer::Reply(store.read(read.clone()).await),
        Probe::AllRowKeys(count) => {
            let (mut names, mut cursor) = (BTreeSet::new(), Some(Vec::new()));
            while let Some(at) = cursor {
                let load = Load::Keys {
                    cursor: at,
                    count: *count,
                };
                let Ok(Loaded::Keys { keys, cursor: next }) = store.load(SHARD, load).await else {
                    panic!("no keys");
                };
                names.extend(keys);
                cursor = next;
            }
            Answer::Names(names)
        }
        Probe::AllKeys(count) => {
            let (mut names, mut cursor) = (BTreeSet::new(), None);
            while cursor != Some(0) {
                let scan = Read::Scan {
                    cursor: cursor.unwrap_or(0),
                    pattern: None,
                    count: *count,
                };
                let Ok(ReadReply::Page { keys, cursor: next }) = store.read(scan).await else {
                    panic!("no page");
                };
                names.extend(keys);
                cursor = Some(next);
            }
            Answer::Names(names)
        }
    }
}

/// The same, but for what may differ: order where there is none, the time between two asks, a cached count.
fn alike(a: &Answer, b: &Answer) -> bool {
    match (a, b) {
        (Answer::Reply(Ok(ReadReply::Integer(a))), Answer::Reply(Ok(ReadReply::Integer(b)))) => {
            // Only times to live are this large.
            a == b || (*a > 1_000_000 && a.abs_diff(*b) < 30_000)
        }
        (Answer::Reply(Ok(a)), Answer::Reply(Ok(b))) => sorted(a.clone()) == sorted(b.clone()),
        _ => a == b,
    }
}

fn sorted(reply: ReadReply) -> ReadReply {
    match reply {
        ReadReply::List(mut list) => {
            list.sort();
            ReadReply::List(list)
        }
        ReadReply::Pairs(mut pairs) => {
            pairs.sort();
            ReadReply::Pairs(pairs)
        }
        ReadReply::Bytes(mut bytes) => {
            hyperloglog::forget_cached_count(&mut bytes);
            ReadReply::Bytes(bytes)
        }
        other => other,
    }
}

fn comparable(outcome: Outcome) -> Outcome {
    match outcome {
        Outcome::ViewMismatch { keys, .. } => Outcome::ViewMismatch { keys, time_ms: 0 },
        Outcome::Refused { .. } => Outcome::Refused {
            reason: String::new(),
        },
        other => other,
    }
}

fn shape_of(value: &ViewValue) -> ViewShape {
    let (ty, len) = match value {
        ViewValue::String(bytes) if hyperloglog::is_dense(bytes) => (Type::HyperLogLog, None),
        ViewValue::String(bytes) => (Type::String, Some(bytes.len())),
        ViewValue::Hash(fields) => (Type::Hash, Some(fields.len())),
        ViewValue::Set(members) => (Type::Set, Some(members.len())),
        ViewValue::SortedSet(members) => (Type::SortedSet, Some(members.len())),
        ViewValue::Foreign(ty) => panic!("a view of type {ty}"),
    };
    ViewShape::Present {
        ty,
        cardinality: len.map(|n| n as u64),
    }
}
