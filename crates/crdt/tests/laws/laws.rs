//! The algebra: joins, orders of delivery, redelivery, deltas against full states, digests, stored forms. Each law is
//! asked of the states that random histories end in, garbage collected here and not there.

use cartograph_crdt::codec::Error;
use cartograph_crdt::row::Touched;
use cartograph_crdt::stored::{self, ReplicaTable};
use cartograph_crdt::testkit::cluster::{Cluster, Conditions};
use cartograph_crdt::testkit::history::{Profile, Random};
use cartograph_crdt::testkit::model::KeyState;
use cartograph_crdt::testkit::region::{KEYS, key_name, recount, state_of};
use cartograph_crdt::{Row, Type, VersionVector};

use crate::run;

/// A row and what it has seen.
type Replica = (Row, VersionVector);

fn joined(a: &Replica, b: &Replica) -> Replica {
    let (mut row, mut vector) = a.clone();
    row.join(&a.1, &b.0, &b.1, &mut Touched::default());
    vector.join(&b.1);
    (row, vector)
}

/// All of a row that two equal replicas must share; bounds and local counters are their own.
fn content(row: &Row) -> Row {
    let mut row = row.clone();
    row.summary.top = VersionVector::new();
    row.summary.changed = 0;
    row
}

/// Regions of which a snapshot row could be taken now, with their rows of `key`.
fn replicas(cluster: &mut Cluster, key: usize) -> Vec<(usize, Replica)> {
    let mut out = Vec::new();
    for (i, region) in cluster.regions.iter_mut().enumerate() {
        if region.unsettled[key].is_none() && region.row(key).header.ahead.is_empty() {
            out.push((i, (region.stored_row(key), region.vector.clone())));
        }
    }
    out
}

fn joins_form_a_semilattice(cluster: &mut Cluster) {
    for key in 0..KEYS {
        let all = replicas(cluster, key);
        for (_, a) in &all {
            assert_eq!(
                content(&joined(a, a).0),
                content(&a.0),
                "a join with itself changes nothing"
            );
            for (_, b) in &all {
                let (ab, ba) = (joined(a, b), joined(b, a));
                recount(&ab.0);
                assert_eq!(content(&ab.0), content(&ba.0), "joins commute: {a:?} and {b:?}");
                assert_eq!(
                    content(&joined(&ab, b).0),
                    content(&ab.0),
                    "a second join changes nothing"
                );
                for (_, c) in &all {
                    let (left, right) = (joined(&ab, c), joined(a, &joined(b, c)));
                    assert_eq!(content(&left.0), content(&right.0), "joins associate");
                }
            }
        }
    }
}

/// What is shown, unless it has expired for either.
fn shown(state: &KeyState, now: u64) -> Option<KeyState> {
    state.at(now).cloned()
}

fn a_join_is_the_application_of_what_is_missing(cluster: &mut Cluster) {
    for key in 0..KEYS {
        let all = replicas(cluster, key);
        for (i, a) in &all {
            for (j, b) in all.iter().filter(|(j, _)| j != i) {
                let (row, vector) = joined(a, b);
                let now = cluster.regions[*i].clock().max(cluster.regions[*j].clock());
                let mut applied = cluster.clone();
                applied.deliver_all(*i, *j);
                let region = &mut applied.regions[*i];
                if region.unsettled[key].is_some() || region.vector != vector {
                    continue;
                }
                let found = shown(&state_of(&row), now);
                assert_eq!(found, shown(&region.state(key), now), "join of {a:?} and {b:?}");
                if found.is_some() {
                    assert_eq!(row.digest(&key_name(key)), region.digest(key));
                }
                let told = cluster
                    .model
                    .state(key, cluster.regions[*i].seen[key] | cluster.regions[*j].seen[key]);
                assert_eq!(found, shown(&told, now), "join against the rules");
            }
        }
    }
}

fn any_order_of_delivery_gives_the_same_rows(cluster: &mut Cluster) {
    let held = |c: &Cluster, id: usize| {
        let e = &c.entries[id];
        c.regions
            .iter()
            .any(|r| r.vector.covers_entry(e.replica, e.sequence))
    };
    let mut pool: Vec<usize> = (0..cluster.entries.len())
        .filter(|id| held(cluster, *id))
        .collect();
    let mut random = Random(cluster.entries.len() as u64);
    let conditions = Conditions {
        regions: 2,
        odd_clocks: false,
        losses: false,
        seed: 7,
    };
    let mut observer = Cluster::new(conditions);
    observer.model = cluster.model.clone();
    observer.entries.clone_from(&cluster.entries);
    observer.replicas_of(cluster);
    // One gets everything in order, one shuffled, split and with repeats.
    observer.receive(0, &pool);
    for at in (1..pool.len()).rev() {
        pool.swap(at, random.below(at + 1));
    }
    while !pool.is_empty() {
        let some: Vec<usize> = pool.drain(..(1 + random.below(4)).min(pool.len())).collect();
        observer.receive(1, &some);
        if random.one_in(3) {
            observer.receive(1, &some);
        }
    }
    assert_eq!(observer.regions[0].vector, observer.regions[1].vector);
    for key in 0..KEYS {
        let (a, b) = (
            observer.regions[0].stored_row(key),
            observer.regions[1].stored_row(key),
        );
        assert_eq!((state_of(&a), a.digest(b"k")), (state_of(&b), b.digest(b"k")));
        assert_eq!(a.header, b.header);
    }
}

fn a_full_state_is_the_sum_of_its_deltas(cluster: &mut Cluster) {
    for key in 0..KEYS {
        for (i, there) in replicas(cluster, key) {
            let now = cluster.regions[i].clock();
            let new = joined(&(Row::absent(), VersionVector::new()), &there);
            recount(&new.0);
            assert_eq!(
                shown(&state_of(&new.0), now),
                shown(&cluster.regions[i].state(key), now)
            );
            assert_eq!(
                content(&new.0),
                content(&there.0),
                "an empty replica takes over all, garbage included"
            );
        }
    }
}

fn collecting_in_one_region_only_changes_no_digest(cluster: &mut Cluster) {
    for to in 0..cluster.regions.len() {
        cluster.snapshot_end(to);
    }
    cluster.exchange();
    cluster.report_all();
    for key in 0..KEYS {
        cluster.collect(0, key);
    }
    cluster.compare_digests();
}

fn stored_forms_read_back_and_say_their_version(cluster: &mut Cluster) {
    let mut random = Random(cluster.entries.len() as u64 + 1);
    for (_, (row, _)) in (0..KEYS).flat_map(|key| replicas(cluster, key)) {
        let mut table = ReplicaTable::default();
        let header = stored::encode_header(&row.header, &mut table).unwrap();
        let summary = stored::encode_summary(&row.summary, &mut table).unwrap();
        assert_eq!(stored::decode_header(&header, &table), Ok(row.header.clone()));
        assert_eq!(stored::decode_summary(&summary, &table), Ok(row.summary.clone()));
        let newer = |blob: &[u8]| [&[stored::VERSION + 1], &blob[1..]].concat();
        let refused = |e: Result<(), Error>| matches!(e, Err(Error::UnknownVersion { .. }));
        assert!(refused(
            stored::decode_header(&newer(&header), &table).map(|_| ())
        ));
        assert!(refused(
            stored::decode_summary(&newer(&summary), &table).map(|_| ())
        ));
        for (id, element) in row.elements() {
            let mut blob = stored::encode_element(element, &mut table).unwrap();
            assert_eq!(stored::decode_element(id.ty, &blob, &table).as_ref(), Ok(element));
            assert!(refused(
                stored::decode_element(id.ty, &newer(&blob), &table).map(|_| ())
            ));
            let wrong = if id.ty == Type::Set { Type::Hash } else { Type::Set };
            assert!(
                stored::decode_element(wrong, &blob, &table).is_err(),
                "a blob of another type is refused"
            );
            // Damage is an error or another state, never a panic.
            let at = random.below(blob.len());
            blob[at] ^= 1 << random.below(8);
            let _ = stored::decode_element(id.ty, &blob, &table);
            blob.truncate(random.below(blob.len() + 1));
            let _ = stored::decode_element(id.ty, &blob, &table);
        }
    }
}

macro_rules! laws {
    ($($name:ident: $law:ident),+ $(,)?) => {
        $(#[test]
        fn $name() {
            run(stringify!($name), Profile::Mixed, $law);
        })+
    };
}

laws! {
    laws_joins_form_a_semilattice: joins_form_a_semilattice,
    laws_a_join_is_the_application_of_what_is_missing: a_join_is_the_application_of_what_is_missing,
    laws_any_order_of_delivery_gives_the_same_rows: any_order_of_delivery_gives_the_same_rows,
    laws_a_full_state_is_the_sum_of_its_deltas: a_full_state_is_the_sum_of_its_deltas,
    laws_collecting_in_one_region_only_changes_no_digest: collecting_in_one_region_only_changes_no_digest,
    laws_stored_forms_read_back_and_say_their_version: stored_forms_read_back_and_say_their_version,
}
