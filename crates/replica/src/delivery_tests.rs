//! Tests of the park: what is ready, what is dropped, and that a full park still lets everything through.

use std::sync::Arc;

use cartograph_crdt::{Effect, ElementId, Hlc, Sequence};
use proptest::prelude::*;

use super::*;

const ME: u16 = 9;

fn replica(region: u16) -> ReplicaId {
    ReplicaId::new(region, 1)
}

fn vector(counts: &[(u16, u64)]) -> VersionVector {
    counts.iter().map(|(region, n)| (replica(*region), *n)).collect()
}

fn entry(region: u16, sequence: u64, context: &[(u16, u64)]) -> Entry {
    let element = ElementId::member(&[b'm'; 20]);
    Entry {
        replica: replica(region),
        sequence: Sequence::new(sequence).unwrap(),
        hlc: Hlc::default(),
        context: Arc::new(vector(context)),
        ahead: Vec::new(),
        effects: vec![(b"k".to_vec(), Effect::Add { element })],
    }
}

fn names(entries: &[Entry]) -> Vec<(u16, u64)> {
    entries
        .iter()
        .map(|e| (e.replica.region.0, e.sequence.get()))
        .collect()
}

struct Setup {
    park: Park,
    members: Members,
    applied: VersionVector,
}

fn setup(entries_max: usize) -> Setup {
    Setup {
        park: Park::new(entries_max, 1 << 20),
        members: Members {
            regions: [1, 2, 3, ME].into_iter().map(RegionId).collect(),
            ..Members::default()
        },
        applied: VersionVector::new(),
    }
}

impl Setup {
    fn receive(&mut self, entry: Entry) -> Received {
        let from = Some(entry.replica.region);
        self.park
            .receive(entry, from, replica(ME), &self.members, &self.applied)
    }

    fn ready(&mut self) -> Vec<(u16, u64)> {
        names(&self.park.ready(&self.members, &self.applied, 1_000, 1 << 20))
    }
}

#[test]
fn entries_wait_for_what_their_writers_had_seen() {
    let mut s = setup(100);
    assert_eq!(s.receive(entry(2, 1, &[(1, 2)])), Received::Parked);
    assert_eq!(s.receive(entry(1, 2, &[])), Received::Parked);
    assert_eq!(s.ready(), []);
    assert_eq!(s.receive(entry(1, 1, &[])), Received::Parked);
    assert_eq!(s.ready(), [(1, 1), (1, 2), (2, 1)]);
    assert!(s.park.is_empty() && s.park.bytes() == 0);
}

#[test]
fn what_a_snapshot_had_brought_the_writer_is_waited_for_too() {
    let mut s = setup(100);
    let mut late = entry(2, 1, &[]);
    late.ahead = vec![(b"k".to_vec(), vector(&[(3, 1)]))];
    s.receive(late);
    assert_eq!(s.ready(), []);
    s.receive(entry(3, 1, &[]));
    assert_eq!(s.ready(), [(3, 1), (2, 1)]);
}

#[test]
fn ready_is_bounded_in_entries_and_bytes_and_gives_one_at_least() {
    let mut s = setup(100);
    for n in 1..=10 {
        s.receive(entry(1, n, &[]));
    }
    assert_eq!(s.park.ready(&s.members, &s.applied, 3, 1 << 20).len(), 3);
    s.applied = vector(&[(1, 3)]);
    let weight = entry(1, 1, &[]).weight();
    assert_eq!(s.park.ready(&s.members, &s.applied, 100, 2 * weight).len(), 2);
    s.applied = vector(&[(1, 5)]);
    assert_eq!(s.park.ready(&s.members, &s.applied, 100, 1).len(), 1);
}

#[test]
fn duplicates_and_retired_replicas_are_not_parked() {
    let mut s = setup(100);
    s.applied = vector(&[(1, 3)]);
    assert_eq!(s.receive(entry(1, 3, &[])), Received::Duplicate);
    s.receive(entry(1, 5, &[]));
    assert_eq!(s.receive(entry(1, 5, &[])), Received::Duplicate);
    s.applied.retire(ReplicaId::new(2, 1));
    assert_eq!(s.receive(entry(2, 1, &[])), Received::Refused);
    assert_eq!(s.park.len(), 1);
}

#[test]
fn a_context_that_names_a_retired_replica_counts_as_covered() {
    let mut s = setup(100);
    s.applied.retire(ReplicaId::new(2, 1));
    s.receive(entry(1, 1, &[(2, 77)]));
    assert_eq!(s.ready(), [(1, 1)]);
}

#[test]
fn an_entry_of_ours_that_we_never_wrote_is_told_apart_from_one_that_we_did() {
    let mut s = setup(100);
    s.applied = vector(&[(ME, 4)]);
    assert_eq!(s.receive(entry(ME, 4, &[])), Received::Duplicate);
    assert_eq!(s.receive(entry(ME, 5, &[])), Received::OwnUnknown);
    assert!(s.park.is_empty());
    // A closed incarnation's entries come back from peers after a rollback.
    let mut earlier = entry(ME, 1, &[]);
    earlier.replica = ReplicaId::new(ME, 0);
    assert_eq!(s.receive(earlier), Received::Parked);
}

#[test]
fn entries_of_a_region_not_known_yet_wait_for_the_entry_that_adds_it() {
    let mut s = setup(100);
    s.receive(entry(7, 1, &[(1, 1)]));
    s.receive(entry(1, 1, &[]));
    assert_eq!(s.ready(), [(1, 1)]);
    s.applied = vector(&[(1, 1)]);
    s.members.regions.insert(RegionId(7));
    assert_eq!(s.ready(), [(7, 1)]);
}

#[test]
fn a_full_park_drops_its_newest_and_never_the_next_of_an_origin() {
    let mut s = setup(4);
    for n in [2, 3, 4, 5] {
        assert_eq!(s.receive(entry(1, n, &[])), Received::Parked);
    }
    assert_eq!(
        s.receive(entry(1, 6, &[])),
        Received::Full,
        "the newest is the one that came"
    );
    assert_eq!(
        s.receive(entry(2, 3, &[])),
        Received::Full,
        "5 of region 1 is newer, and goes"
    );
    assert_eq!(s.park.take_dropped(), [Some(RegionId(1))].into());
    assert_eq!(s.receive(entry(1, 1, &[])), Received::Full);
    assert_eq!(s.ready(), [(1, 1), (1, 2), (1, 3)], "4 made way for the next one");
    s.applied = vector(&[(1, 3)]);
    // Nothing but next entries: the bound is passed by one for each origin.
    let mut s = setup(1);
    assert_eq!(s.receive(entry(1, 1, &[(3, 1)])), Received::Parked);
    assert_eq!(s.receive(entry(2, 1, &[(3, 1)])), Received::Parked);
    assert_eq!(s.receive(entry(3, 1, &[])), Received::Parked);
    assert_eq!(s.receive(entry(3, 2, &[])), Received::Full);
    assert_eq!(s.ready(), [(3, 1), (1, 1), (2, 1)]);
}

#[test]
fn bytes_are_bounded_as_entries_are() {
    let mut s = setup(1_000);
    let weight = entry(1, 1, &[]).weight() + OVERHEAD;
    s.park = Park::new(1_000, 3 * weight);
    for n in 2..=4 {
        assert_eq!(s.receive(entry(1, n, &[])), Received::Parked);
    }
    assert_eq!(s.park.bytes(), 3 * weight);
    assert_eq!(s.receive(entry(1, 5, &[])), Received::Full);
    assert_eq!(s.park.bytes(), 3 * weight);
}

#[test]
fn a_stranger_makes_way_before_anyone_else() {
    let mut s = setup(3);
    s.receive(entry(7, 2, &[]));
    s.receive(entry(1, 50, &[]));
    s.receive(entry(1, 51, &[]));
    assert_eq!(s.receive(entry(1, 52, &[])), Received::Full);
    assert_eq!(s.park.take_dropped(), [Some(RegionId(7))].into());
}

#[test]
fn what_a_snapshot_covers_leaves_the_park() {
    let mut s = setup(10);
    for n in 3..=6 {
        s.receive(entry(1, n, &[]));
    }
    s.applied = vector(&[(1, 4)]);
    s.park.retain(&s.applied);
    assert_eq!(s.park.len(), 2);
    assert_eq!(s.ready(), [(1, 5), (1, 6)]);
}

/// A history: each step, some region writes having seen all of some prefix of the others' entries.
fn history() -> impl Strategy<Value = Vec<Entry>> {
    prop::collection::vec((1_u16..4, 0_u64..4, 0_u64..4, 0_u64..4), 1..60).prop_map(|steps| {
        let mut seen = vec![VersionVector::new(); 4];
        let mut counts = [0_u64; 4];
        let mut entries = Vec::new();
        for (region, a, b, c) in steps {
            let at = usize::from(region);
            for (other, lag) in [(1_u16, a), (2, b), (3, c)] {
                let upto = counts[usize::from(other)].saturating_sub(lag);
                // Seeing an entry means having seen all that it had seen.
                let covered: Vec<Entry> = entries
                    .iter()
                    .filter(|e: &&Entry| e.replica == replica(other) && e.sequence.get() <= upto)
                    .cloned()
                    .collect();
                for e in covered {
                    seen[at].join(&e.context);
                    seen[at].raise(e.replica, e.sequence.get());
                }
            }
            counts[at] += 1;
            let mut e = entry(region, counts[at], &[]);
            let mut context = seen[at].clone();
            context.remove(replica(region));
            e.context = Arc::new(context);
            entries.push(e);
        }
        entries
    })
}

proptest! {
    #[test]
    fn whatever_the_order_everything_is_applied_once_and_in_causal_order(
        entries in history(),
        order in prop::collection::vec(any::<prop::sample::Index>(), 0..400),
        entries_max in 1_usize..20,
    ) {
        let mut s = setup(entries_max);
        let mut applied = VersionVector::new();
        let mut count = 0;
        // Random arrivals with repeats first, then everything again and again as a patient sender would.
        let random = order.iter().map(|i| i.get(&entries).clone()).collect::<Vec<_>>();
        let rounds = std::iter::repeat_n(entries.clone(), entries.len()).flatten();
        for e in random.into_iter().chain(rounds) {
            s.receive(e);
            prop_assert!(s.park.len() <= entries_max + 3);
            for e in s.park.ready(&s.members, &s.applied, 5, 1_000) {
                prop_assert!(e.is_ready(&applied));
                applied.observe(e.replica, e.sequence).unwrap();
                count += 1;
            }
            s.applied = applied.clone();
            if count == entries.len() {
                break;
            }
        }
        prop_assert_eq!(count, entries.len());
        s.park.retain(&s.applied);
        prop_assert!(s.park.is_empty() && s.park.bytes() == 0);
    }
}
