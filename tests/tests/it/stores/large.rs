//! What is large: lists past what Lua unpacks, logs past what is read at once, caps, and Redis's own arithmetic.

use cartograph_crdt::{ElementId, Score, Type};
use cartograph_replica::commit::{
    CONFLICTS_MAX, Commit, Elements, Guard, Load, Loaded, LogAppend, MetadataChange, Outcome, ViewChange,
    ViewContent, ViewExpiry, ViewShape, ViewValue,
};
use cartograph_store::{Read, ReadReply, Store};
use futures_util::future::join_all;
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use super::generate::origins;
use super::harness::{Server, World};
use super::{SHARD, nth_after};

fn name(n: usize) -> Vec<u8> {
    format!("name-{n:05}").into_bytes()
}

fn change(key: &[u8], content: ViewContent) -> ViewChange {
    ViewChange {
        key: key.to_vec(),
        replace: false,
        content,
        expiry: ViewExpiry::Unchanged,
    }
}

/// Commits everywhere, as the first after a claim or the ones after that.
async fn commit_all(world: &World, commits: Vec<Commit>) {
    for (name, store) in world.stores() {
        let outcomes = join_all(commits.iter().map(|c| store.commit(c.clone()))).await;
        assert!(
            outcomes.iter().all(|o| *o == Outcome::Committed),
            "{name}: {outcomes:?}"
        );
    }
}

async fn claim_all(world: &World) -> cartograph_replica::commit::Claim {
    let mut claims = Vec::new();
    for (_, store) in world.stores() {
        claims.push(store.claim(SHARD).await.unwrap());
    }
    claims.swap_remove(0)
}

async fn view(store: &dyn Store, key: &[u8]) -> Option<(ViewValue, Option<u64>)> {
    match store.load(SHARD, Load::View { key: key.to_vec() }).await {
        Ok(Loaded::View(view)) => view,
        other => panic!("{other:?}"),
    }
}

const MANY: usize = 4_321;

/// Many elements in views of three types, in metadata and in an index.
fn fill(mut commit: Commit, names: &[Vec<u8>]) -> Commit {
    let hash = ViewContent::Hash {
        set: names.iter().map(|n| (n.clone(), n.clone())).collect(),
        delete: Vec::new(),
    };
    let set = ViewContent::Set {
        add: names.to_vec(),
        remove: Vec::new(),
    };
    let scored = |(member, n): (&Vec<u8>, u32)| (member.clone(), Score::new(n.into()).unwrap());
    let sorted = ViewContent::SortedSet {
        set: names.iter().zip(0..).map(scored).collect(),
        remove: Vec::new(),
    };
    commit.views = vec![change(b"h", hash), change(b"s", set), change(b"z", sorted)];
    commit.metadata = vec![MetadataChange {
        key: b"h".to_vec(),
        elements: names
            .iter()
            .map(|n| (ElementId::field(n), Some(n.clone())))
            .collect(),
        ..MetadataChange::default()
    }];
    commit.indexes.due = names
        .iter()
        .zip(0_u64..)
        .map(|(n, at)| (n.clone(), Some(at)))
        .collect();
    commit
}

/// Removes many of them; each view must have held all.
fn thin(mut commit: Commit, removed: &[Vec<u8>]) -> Commit {
    let guard = |(key, ty): (&str, Type)| Guard {
        key: key.as_bytes().to_vec(),
        shape: ViewShape::Present {
            ty,
            cardinality: Some(MANY as u64),
        },
    };
    commit.guards = [("h", Type::Hash), ("s", Type::Set), ("z", Type::SortedSet)]
        .map(guard)
        .to_vec();
    let hash = ViewContent::Hash {
        set: Vec::new(),
        delete: removed.to_vec(),
    };
    let set = ViewContent::Set {
        add: Vec::new(),
        remove: removed.to_vec(),
    };
    let sorted = ViewContent::SortedSet {
        set: Vec::new(),
        remove: removed.to_vec(),
    };
    commit.views = vec![change(b"h", hash), change(b"s", set), change(b"z", sorted)];
    commit.metadata = vec![MetadataChange {
        key: b"h".to_vec(),
        elements: removed.iter().map(|n| (ElementId::field(n), None)).collect(),
        ..MetadataChange::default()
    }];
    commit.indexes.due = removed.iter().map(|n| (n.clone(), None)).collect();
    commit
}

#[tokio::test]
async fn thousands_of_elements_go_in_one_commit_and_come_out_again() {
    let world = World::start();
    let claim = claim_all(&world).await;
    let names: Vec<Vec<u8>> = (0..MANY).map(name).collect();
    let kept = MANY - 1_000;
    let commits = vec![
        fill(nth_after(&claim, 1), &names),
        thin(nth_after(&claim, 2), &names[kept..]),
    ];
    commit_all(&world, commits).await;
    for (store_name, store) in world.stores() {
        let Some((ViewValue::Hash(fields), None)) = view(store, b"h").await else {
            panic!("{store_name}: no hash");
        };
        assert_eq!(fields.len(), kept);
        assert_eq!(
            store.read(Read::SCard(b"s".to_vec())).await,
            Ok(ReadReply::Integer(3_321))
        );
        let top = Read::ZRange {
            key: b"z".to_vec(),
            start: -1,
            stop: -1,
        };
        let last = (name(kept - 1), Score::new(3_320.0).unwrap());
        assert_eq!(store.read(top).await, Ok(ReadReply::Scored(vec![last])));
        let row = Load::Row {
            key: b"h".to_vec(),
            elements: Elements::All,
        };
        let Ok(Loaded::Row(row)) = store.load(SHARD, row).await else {
            panic!("{store_name}: no row");
        };
        assert_eq!(row.elements.len(), kept);
        let due = Load::Due {
            until_ms: u64::MAX,
            count: MANY,
        };
        let Ok(Loaded::Due(due)) = store.load(SHARD, due).await else {
            panic!("{store_name}: no due");
        };
        assert_eq!((due.len(), due[kept - 1].1), (kept, 3_320));
    }
}

/// Registers as Redis fills them, and at random: our estimator must say what Redis's does.
#[tokio::test]
async fn every_store_counts_a_hyperloglog_as_redis_does() {
    let world = World::start();
    let claim = claim_all(&world).await;
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    let mut commits = Vec::new();
    let sizes = [1, 2, 30, 1_000, 9_000, 16_384, 16_384, 16_384];
    for (n, size) in (0_u64..).zip(sizes) {
        let mut commit = nth_after(&claim, n + 1);
        // Ranks as a hash gives them (half are 1, a quarter 2 ...), or any, or high.
        let rank = |rng: &mut ChaCha8Rng| match n {
            6 => rng.random_range(0..52),
            7 => rng.random_range(30..42),
            _ => u8::try_from(rng.random::<u64>().trailing_zeros().min(50)).unwrap() + 1,
        };
        let registers = (0..size).map(|i| {
            let register = if size == 16_384 {
                i
            } else {
                rng.random_range(0..16_384)
            };
            (register, rank(&mut rng))
        });
        let key = format!("hll:{n}").into_bytes();
        let mut view = change(
            &key,
            ViewContent::HyperLogLog {
                set: registers.collect(),
            },
        );
        view.replace = n % 2 == 0;
        commit.views = vec![view];
        commits.push(commit);
    }
    commit_all(&world, commits).await;
    let keys: Vec<Vec<u8>> = (0..sizes.len())
        .map(|n| format!("hll:{n}").into_bytes())
        .collect();
    let mut asked: Vec<Vec<Vec<u8>>> = keys.iter().map(|k| vec![k.clone()]).collect();
    asked.extend([keys[..4].to_vec(), keys[2..6].to_vec(), keys]);
    for names in asked {
        let mut counts = Vec::new();
        for (_, store) in world.stores() {
            counts.push(store.read(Read::PfCount(names.clone())).await.unwrap());
        }
        assert!(counts[0] != ReadReply::Integer(0), "{counts:?}");
        assert!(counts.iter().all(|c| *c == counts[0]), "{counts:?}");
    }
}

#[tokio::test]
async fn the_newest_conflicts_are_kept() {
    let world = World::start();
    let claim = claim_all(&world).await;
    let total = CONFLICTS_MAX + 25;
    let mut commits = Vec::new();
    for (chunk, batch) in (0..total).collect::<Vec<_>>().chunks(1_000).zip(1..) {
        let mut commit = nth_after(&claim, batch);
        let conflict = |n: &usize| (name(n % 2), n.to_string().into_bytes());
        commit.indexes.conflicts = chunk.iter().map(conflict).collect();
        commits.push(commit);
    }
    commit_all(&world, commits).await;
    for (store_name, store) in world.stores() {
        let Ok(Loaded::Conflicts(found)) = store.load(SHARD, Load::Conflicts { key: name(0) }).await else {
            panic!("{store_name}: no conflicts");
        };
        assert_eq!(found.len(), CONFLICTS_MAX / 2, "{store_name}");
        assert_eq!(found.first().unwrap(), b"26", "{store_name}");
        assert_eq!(found.last().unwrap(), b"10024", "{store_name}");
    }
}

#[tokio::test]
async fn a_long_log_is_read_whole_and_in_order_and_trimmed() {
    let world = World::start();
    let claim = claim_all(&world).await;
    let origin = origins()[1];
    let mut commits = Vec::new();
    for n in 1..=900_u64 {
        let mut commit = nth_after(&claim, n);
        commit.log = vec![LogAppend {
            origin,
            first: n * 3 - 2,
            last: n * 3,
            record: n.to_string().into_bytes(),
        }];
        commits.push(commit);
    }
    let mut trim = nth_after(&claim, 901);
    trim.indexes.trims = vec![(origin, 1_500)];
    trim.freeing = true;
    commits.push(trim);
    commit_all(&world, commits).await;
    for (name, store) in world.stores() {
        let load = |from, bytes_max| Load::Log {
            origin,
            from,
            bytes_max,
        };
        let Ok(Loaded::Log(records)) = store.load(SHARD, load(1_499, usize::MAX)).await else {
            panic!("{name}: no log");
        };
        // The record of 1,499 is the one that 1,500 is in, too.
        let expected: Vec<Vec<u8>> = (500..=900_u64).map(|n| n.to_string().into_bytes()).collect();
        assert_eq!(records, expected, "{name}");
        let Ok(Loaded::Log(all)) = store.load(SHARD, load(0, usize::MAX)).await else {
            panic!("{name}: no log");
        };
        assert!(
            all.len() < 700,
            "{name} holds {} records after a trim of 499",
            all.len()
        );
    }
}

/// 9 MiB in one record and in one view: past every buffer.
#[tokio::test]
async fn a_large_record_and_a_large_value_pass_whole() {
    let world = World::start();
    let claim = claim_all(&world).await;
    let large = vec![b'x'; 9 << 20];
    let mut commit = nth_after(&claim, 1);
    commit.log = vec![LogAppend {
        origin: origins()[0],
        first: 1,
        last: 1,
        record: large.clone(),
    }];
    commit.views = vec![change(b"k", ViewContent::String(large.clone()))];
    commit_all(&world, vec![commit]).await;
    for (_, store) in world.stores() {
        let log = Load::Log {
            origin: origins()[0],
            from: 1,
            bytes_max: 1,
        };
        assert_eq!(store.load(SHARD, log).await, Ok(Loaded::Log(vec![large.clone()])));
        assert_eq!(
            store.read(Read::StrLen(b"k".to_vec())).await,
            Ok(ReadReply::Integer(9 << 20))
        );
    }
}

/// Two shards in one store have nothing to do with each other.
#[tokio::test]
async fn shards_are_apart() {
    let server = Server::start(&[]);
    let store = server.store();
    let other = cartograph_crdt::ShardId(10);
    let one = store.claim(SHARD).await.unwrap();
    let ten = store.claim(other).await.unwrap();
    let mut commit = nth_after(&one, 1);
    commit.metadata = vec![MetadataChange {
        key: b"k".to_vec(),
        header: Some(b"one".to_vec()),
        ..MetadataChange::default()
    }];
    assert_eq!(store.commit(commit.clone()).await, Outcome::Committed);
    let keys = || Load::Keys {
        cursor: Vec::new(),
        count: 10,
    };
    let empty = Loaded::Keys {
        keys: Vec::new(),
        cursor: None,
    };
    assert_eq!(store.load(other, keys()).await, Ok(empty));
    commit.shard = other;
    commit.fence = ten.head.fence;
    assert_eq!(store.commit(commit).await, Outcome::Committed);
}
