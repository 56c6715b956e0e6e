//! Tests of what counts as seen by everyone: each rule with a history that would lose data without it.

use cartograph_crdt::{Incarnation, Sequence};
use proptest::prelude::*;

use super::*;
use crate::members::Retired;

fn replica(region: u16) -> ReplicaId {
    ReplicaId::new(region, 1)
}

fn vector(counts: &[(u16, u64)]) -> VersionVector {
    counts.iter().map(|(region, n)| (replica(*region), *n)).collect()
}

fn dot(region: u16, sequence: u64) -> Dot {
    Dot::new(replica(region), Sequence::new(sequence).unwrap(), 0)
}

fn report(region: u16, counts: &[(u16, u64)], watermark_ms: u64) -> Report {
    Report {
        replica: replica(region),
        vector: vector(counts),
        watermark_ms,
        clock_ms: 0,
        others: Vec::new(),
    }
}

/// Region 1, of the members 1, 2 and 3.
fn stability(own: &[(u16, u64)]) -> Stability {
    let mut s = Stability::new(replica(1), 8);
    s.set_members(&Members {
        regions: [1, 2, 3].into_iter().map(RegionId).collect(),
        ..Members::default()
    });
    s.set_vector(&vector(own));
    s.set_watermark(1_000);
    s
}

#[test]
fn an_entry_is_stable_when_every_member_covers_it() {
    let mut s = stability(&[(1, 5)]);
    assert!(s.stable().is_empty());
    s.reported(&report(2, &[(1, 4)], 900));
    assert!(s.stable().is_empty(), "3 has not reported");
    assert_eq!(s.watermark_ms(), 0);
    s.reported(&report(3, &[(1, 3)], 950));
    assert_eq!(*s.stable(), vector(&[(1, 3)]));
    assert_eq!(s.watermark_ms(), 900);
    assert_eq!(s.lowest_acknowledged(replica(1)), 3);
    s.reported(&report(3, &[(1, 5)], 990));
    assert_eq!(*s.stable(), vector(&[(1, 4)]));
}

#[test]
fn while_the_members_are_unknown_nothing_is_stable() {
    let mut s = Stability::new(replica(1), 8);
    s.set_vector(&vector(&[(1, 5)]));
    s.set_watermark(1_000);
    s.checkpoint(BatchId(1), &vector(&[(1, 5)]));
    s.reported(&report(2, &[(1, 5)], 900));
    assert!(s.stable().is_empty() && s.stable_batch() == BatchId(0) && s.watermark_ms() == 0);
    assert_eq!(s.lowest_acknowledged(replica(1)), 0);
}

#[test]
fn alone_everything_is_stable_at_once() {
    let mut s = Stability::new(replica(1), 8);
    s.set_members(&Members {
        regions: [RegionId(1)].into(),
        ..Members::default()
    });
    s.set_watermark(7);
    s.advance(&vector(&[(1, 5)]));
    s.checkpoint(BatchId(3), &vector(&[(1, 5)]));
    assert_eq!(*s.stable(), vector(&[(1, 5)]));
    assert_eq!((s.stable_batch(), s.watermark_ms()), (BatchId(3), 7));
    assert_eq!(s.lowest_acknowledged(replica(1)), 5);
}

/// 2 incremented a cell (its entry 1), then saw 3's reset of it (3's entry 1). Were its word on the reset to count
/// before the increment is here, the cell would be collected and the increment lost.
#[test]
fn a_members_word_counts_only_when_its_own_entries_are_here() {
    let mut s = stability(&[(3, 1)]);
    s.reported(&report(3, &[(3, 1)], 5_000));
    s.reported(&report(2, &[(2, 1), (3, 1)], 5_000));
    assert!(s.stable().is_empty());
    assert!(!s.owner_has_seen(replica(2), &dot(3, 1)));
    assert_eq!(s.watermark_ms(), 0, "the same holds for the watermark");
    s.advance(&vector(&[(2, 1), (3, 1)]));
    assert_eq!(*s.stable(), vector(&[(3, 1)]));
    assert!(s.owner_has_seen(replica(2), &dot(3, 1)));
    assert_eq!(s.watermark_ms(), 1_000);
}

#[test]
fn hearsay_counts_by_the_same_rule() {
    let mut s = stability(&[(3, 1)]);
    let known = |region, counts: &[(u16, u64)]| Known {
        replica: replica(region),
        vector: vector(counts),
        watermark_ms: 0,
    };
    let mut from_3 = report(3, &[(3, 1)], 0);
    from_3.others = vec![known(2, &[(2, 1), (3, 1)]), known(1, &[(1, 99)])];
    s.reported(&from_3);
    assert!(s.stable().is_empty());
    s.advance(&vector(&[(2, 1), (3, 1)]));
    assert_eq!(
        *s.stable(),
        vector(&[(3, 1)]),
        "and what others say of us does not matter"
    );
    assert!(!s.owner_has_seen(replica(1), &dot(1, 99)));
}

#[test]
fn a_busy_member_makes_progress_though_its_latest_word_is_always_ahead_of_us() {
    let mut s = stability(&[(1, 100)]);
    s.reported(&report(3, &[(1, 100)], 0));
    for n in 1..50 {
        // Each report comes before the entry that it names, and after the one before.
        s.reported(&report(2, &[(1, n), (2, n)], 0));
        s.advance(&vector(&[(1, 100), (2, n - 1)]));
        assert!(s.stable().get(replica(1)) + 2 >= n, "{} at {n}", s.stable());
    }
    assert!(s.stable().get(replica(1)) >= 47);
}

#[test]
fn when_a_report_comes_to_count_the_latest_is_looked_at_at_once() {
    let mut s = stability(&[(1, 9)]);
    s.reported(&report(3, &[(1, 9)], 0));
    s.reported(&report(2, &[(1, 3), (2, 1)], 0));
    s.reported(&report(2, &[(1, 6), (2, 2)], 0));
    s.advance(&vector(&[(1, 9), (2, 2)]));
    assert_eq!(s.stable().get(replica(1)), 6);
}

#[test]
fn reports_out_of_order_do_not_take_back_what_counted() {
    let mut s = stability(&[(1, 9)]);
    s.reported(&report(2, &[(1, 9)], 50));
    s.reported(&report(3, &[(1, 9)], 50));
    s.reported(&report(2, &[(1, 4)], 20));
    assert_eq!(*s.stable(), vector(&[(1, 9)]));
    assert_eq!(s.watermark_ms(), 50);
}

#[test]
fn after_a_rollback_the_lower_vector_replaces_the_higher_and_what_was_relied_on_is_remembered() {
    let mut s = stability(&[(1, 9), (2, 4)]);
    s.reported(&report(2, &[(1, 9), (2, 4), (3, 7)], 50));
    s.reported(&report(3, &[(1, 9), (2, 4)], 50));
    assert_eq!(*s.stable(), vector(&[(1, 9), (2, 4)]));
    let later = Report {
        replica: ReplicaId::new(2, 2),
        ..report(2, &[(1, 3), (2, 1)], 40)
    };
    s.reported(&later);
    assert_eq!(*s.stable(), vector(&[(1, 3), (2, 1)]));
    assert_eq!(s.lowest_acknowledged(replica(1)), 3);
    assert_eq!(s.relied_on(RegionId(2)), Some(&vector(&[(1, 9), (2, 4)])));
    // An echo of the former life changes nothing.
    let mut echo = report(3, &[(1, 9), (2, 4)], 50);
    echo.others = vec![Known {
        replica: replica(2),
        vector: vector(&[(1, 9), (2, 4)]),
        watermark_ms: 60,
    }];
    s.reported(&echo);
    assert_eq!(*s.stable(), vector(&[(1, 3), (2, 1)]));
    let mut restarted = stability(&[(1, 9), (2, 4)]);
    restarted.restore_relied(s.relied());
    assert_eq!(restarted.relied_on(RegionId(2)), s.relied_on(RegionId(2)));
}

#[test]
fn an_owner_is_asked_by_its_life() {
    let mut s = stability(&[(1, 9), (2, 4)]);
    assert!(s.owner_has_seen(replica(1), &dot(2, 4)) && !s.owner_has_seen(replica(1), &dot(2, 5)));
    s.reported(&report(2, &[(1, 9), (2, 4)], 50));
    assert!(s.owner_has_seen(replica(2), &dot(1, 9)));
    let later = Report {
        replica: ReplicaId::new(2, 2),
        ..report(2, &[(1, 9), (2, 4)], 50)
    };
    s.reported(&later);
    assert!(
        !s.owner_has_seen(replica(2), &dot(1, 9)),
        "closed: entries of it may be on their way"
    );
    assert!(
        !s.owner_has_seen(ReplicaId::new(1, 0), &dot(1, 9)),
        "our own closed ones too"
    );
    s.set_members(&Members {
        regions: [1, 2, 3].into_iter().map(RegionId).collect(),
        retired: Retired::new([(RegionId(2), Incarnation(1))]),
        ..Members::default()
    });
    assert!(
        s.owner_has_seen(replica(2), &dot(1, 9)),
        "retired: everything of it is applied"
    );
}

#[test]
fn a_forgotten_region_is_not_waited_for() {
    let mut s = stability(&[(1, 9)]);
    s.reported(&report(2, &[(1, 9)], 50));
    assert!(s.stable().is_empty());
    s.set_members(&Members {
        regions: [1, 2].into_iter().map(RegionId).collect(),
        forgotten: [RegionId(3)].into(),
        ..Members::default()
    });
    assert_eq!(*s.stable(), vector(&[(1, 9)]));
}

#[test]
fn a_commit_is_stable_when_everything_applied_by_then_is() {
    let mut s = stability(&[(1, 9), (2, 4)]);
    s.checkpoint(BatchId(10), &vector(&[(1, 5)]));
    s.checkpoint(BatchId(11), &vector(&[(1, 5), (2, 4)]));
    s.checkpoint(BatchId(12), &vector(&[(1, 9), (2, 4)]));
    s.checkpoint(BatchId(13), &vector(&[(1, 9), (2, 4)]));
    s.reported(&report(2, &[(1, 9), (2, 4)], 0));
    s.reported(&report(3, &[(1, 9), (2, 3)], 0));
    assert_eq!(s.stable_batch(), BatchId(10));
    s.reported(&report(3, &[(1, 8), (2, 4)], 0));
    assert_eq!(s.stable_batch(), BatchId(13), "reports of one life join");
}

proptest! {
    #[test]
    fn checkpoints_are_bounded_never_early_and_the_last_one_is_not_lost(
        batches in 1_u64..200,
        reports in prop::collection::vec(0_u64..200, 0..40),
    ) {
        let mut s = stability(&[(1, batches)]);
        s.reported(&report(3, &[(1, batches)], 0));
        for batch in 1..=batches {
            s.checkpoint(BatchId(batch), &vector(&[(1, batch)]));
            prop_assert!(s.checkpoints.len() <= 8);
        }
        let mut heard = 0;
        for n in reports {
            s.reported(&report(2, &[(1, n.min(batches))], 0));
            heard = heard.max(n.min(batches));
            prop_assert!(s.stable_batch().0 <= heard);
        }
        s.reported(&report(2, &[(1, batches)], 0));
        prop_assert_eq!(s.stable_batch(), BatchId(batches));
    }
}
