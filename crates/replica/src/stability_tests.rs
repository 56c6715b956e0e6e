//! Tests of what counts as seen by everyone: each rule with a history that would lose data without it.

use cartograph_crdt::Sequence;
use proptest::prelude::*;

use super::*;

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
        echo: None,
        others: Vec::new(),
        lives: [1, 2, 3].map(replica).to_vec(),
    }
}

/// Hears a report; nothing of closed lives waits here.
fn hear(s: &mut Stability, report: &Report) {
    s.reported(report);
    s.vouch();
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
    hear(&mut s, &report(2, &[(1, 4)], 900));
    assert!(s.stable().is_empty(), "3 has not reported");
    assert_eq!(s.watermark_ms(), 0);
    hear(&mut s, &report(3, &[(1, 3)], 950));
    assert_eq!(*s.stable(), vector(&[(1, 3)]));
    assert_eq!(s.watermark_ms(), 900);
    assert_eq!(s.lowest_acknowledged(replica(1)), 3);
    hear(&mut s, &report(3, &[(1, 5)], 990));
    assert_eq!(*s.stable(), vector(&[(1, 4)]));
}

#[test]
fn while_the_members_are_unknown_nothing_is_stable() {
    let mut s = Stability::new(replica(1), 8);
    s.set_vector(&vector(&[(1, 5)]));
    s.set_watermark(1_000);
    s.checkpoint(BatchId(1), &vector(&[(1, 5)]));
    hear(&mut s, &report(2, &[(1, 5)], 900));
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
    hear(&mut s, &report(3, &[(3, 1)], 5_000));
    hear(&mut s, &report(2, &[(2, 1), (3, 1)], 5_000));
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
        lives: [1, 2, 3].map(replica).to_vec(),
    };
    let mut from_3 = report(3, &[(3, 1)], 0);
    from_3.others = vec![known(2, &[(2, 1), (3, 1)]), known(1, &[(1, 99)])];
    hear(&mut s, &from_3);
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
    hear(&mut s, &report(3, &[(1, 100)], 0));
    for n in 1..50 {
        // Each report comes before the entry that it names, and after the one before.
        hear(&mut s, &report(2, &[(1, n), (2, n)], 0));
        s.advance(&vector(&[(1, 100), (2, n - 1)]));
        assert!(s.stable().get(replica(1)) + 2 >= n, "{} at {n}", s.stable());
    }
    assert!(s.stable().get(replica(1)) >= 47);
}

#[test]
fn when_a_report_comes_to_count_the_latest_is_looked_at_at_once() {
    let mut s = stability(&[(1, 9)]);
    hear(&mut s, &report(3, &[(1, 9)], 0));
    hear(&mut s, &report(2, &[(1, 3), (2, 1)], 0));
    hear(&mut s, &report(2, &[(1, 6), (2, 2)], 0));
    s.advance(&vector(&[(1, 9), (2, 2)]));
    assert_eq!(s.stable().get(replica(1)), 6);
}

#[test]
fn reports_out_of_order_do_not_take_back_what_counted() {
    let mut s = stability(&[(1, 9)]);
    hear(&mut s, &report(2, &[(1, 9)], 50));
    hear(&mut s, &report(3, &[(1, 9)], 50));
    hear(&mut s, &report(2, &[(1, 4)], 20));
    assert_eq!(*s.stable(), vector(&[(1, 9)]));
    assert_eq!(s.watermark_ms(), 50);
}

#[test]
fn after_a_rollback_the_lower_vector_replaces_the_higher_and_what_was_relied_on_is_remembered() {
    let mut s = stability(&[(1, 9), (2, 4)]);
    hear(&mut s, &report(2, &[(1, 9), (2, 4), (3, 7)], 50));
    hear(&mut s, &report(3, &[(1, 9), (2, 4)], 50));
    assert_eq!(*s.stable(), vector(&[(1, 9), (2, 4)]));
    let later = Report {
        replica: ReplicaId::new(2, 2),
        ..report(2, &[(1, 3), (2, 1)], 40)
    };
    hear(&mut s, &later);
    assert_eq!(*s.stable(), vector(&[(1, 3), (2, 1)]));
    assert_eq!(s.lowest_acknowledged(replica(1)), 3);
    assert_eq!(s.relied_on(RegionId(2)), Some(&vector(&[(1, 9), (2, 4)])));
    // An echo of the former life changes nothing.
    let mut echo = report(3, &[(1, 9), (2, 4)], 50);
    echo.others = vec![Known {
        replica: replica(2),
        vector: vector(&[(1, 9), (2, 4)]),
        watermark_ms: 60,
        lives: Vec::new(),
    }];
    hear(&mut s, &echo);
    assert_eq!(*s.stable(), vector(&[(1, 3), (2, 1)]));
    let mut restarted = stability(&[(1, 9), (2, 4)]);
    restarted.restore_relied(s.relied());
    assert_eq!(restarted.relied_on(RegionId(2)), s.relied_on(RegionId(2)));
}

#[test]
fn an_owner_is_asked_by_its_life() {
    let mut s = stability(&[(1, 9), (2, 4)]);
    assert!(s.owner_has_seen(replica(1), &dot(2, 4)) && !s.owner_has_seen(replica(1), &dot(2, 5)));
    hear(&mut s, &report(2, &[(1, 9), (2, 4)], 50));
    assert!(s.owner_has_seen(replica(2), &dot(1, 9)));
    let later = Report {
        replica: ReplicaId::new(2, 2),
        ..report(2, &[(1, 9), (2, 4)], 50)
    };
    hear(&mut s, &later);
    assert!(
        !s.owner_has_seen(replica(2), &dot(1, 9)),
        "closed: entries of it may be on their way"
    );
    assert!(
        !s.owner_has_seen(ReplicaId::new(1, 0), &dot(1, 9)),
        "our own closed ones too"
    );
    let mut own: VersionVector = [(replica(1), 9)].into_iter().collect();
    own.retire(replica(2));
    s.advance(&own);
    assert!(
        s.owner_has_seen(replica(2), &dot(1, 9)),
        "retired: everything of it is applied"
    );
}

#[test]
fn a_forgotten_region_is_not_waited_for() {
    let mut s = stability(&[(1, 9)]);
    hear(&mut s, &report(2, &[(1, 9)], 50));
    assert!(s.stable().is_empty());
    s.set_members(&Members {
        regions: [1, 2].into_iter().map(RegionId).collect(),
        forgotten: [RegionId(3)].into(),
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
    hear(&mut s, &report(2, &[(1, 9), (2, 4)], 0));
    hear(&mut s, &report(3, &[(1, 9), (2, 3)], 0));
    assert_eq!(s.stable_batch(), BatchId(10));
    hear(&mut s, &report(3, &[(1, 8), (2, 4)], 0));
    assert_eq!(s.stable_batch(), BatchId(13), "reports of one life join");
}

fn of_life(region: u16, life: u64, counts: &[(ReplicaId, u64)], lives: &[ReplicaId]) -> Report {
    Report {
        replica: ReplicaId::new(region, life),
        vector: counts.iter().copied().collect(),
        lives: lives.to_vec(),
        ..report(region, &[], 100)
    }
}

/// 3 lost its entry 5, which had seen 1's entries up to 6 only; 2 has it. We know 3's life by its report of then.
fn crashed() -> (Stability, ReplicaId) {
    let mut s = stability(&[(1, 9), (3, 4)]);
    hear(&mut s, &report(2, &[(1, 6), (3, 4)], 50));
    hear(&mut s, &report(3, &[(1, 6), (3, 4)], 50));
    assert_eq!(*s.stable(), vector(&[(1, 6), (3, 4)]));
    (s, ReplicaId::new(3, 2))
}

/// Were 1's entry 9 stable on the word of 3's new life, what 3 had lost could still come through 2, and had not seen it.
#[test]
fn what_a_closed_life_lost_and_another_has_holds_back_until_it_is_here() {
    let (mut s, new) = crashed();
    let (one, two, old) = (replica(1), replica(2), replica(3));
    hear(&mut s, &of_life(3, 2, &[(one, 9), (old, 4)], &[one, two]));
    hear(&mut s, &of_life(2, 1, &[(one, 9), (old, 5)], &[one, new]));
    assert_eq!(*s.stable(), vector(&[(1, 6), (3, 4)]), "all vouch, 2 has more");
    assert_eq!(s.watermark_ms(), 50);
    assert!(!s.owner_has_seen(old, &dot(1, 9)));
    s.advance(&vector(&[(1, 9), (3, 5)]));
    assert_eq!(s.stable().get(one), 6, "3 itself has to take it back");
    hear(&mut s, &of_life(3, 2, &[(one, 9), (old, 5)], &[one, two]));
    assert_eq!(*s.stable(), vector(&[(1, 9), (3, 5)]));
    assert_eq!(s.watermark_ms(), 100);
    assert!(
        s.owner_has_seen(old, &dot(1, 9)),
        "settled: nothing of it can come"
    );
    // For good, though another is rolled back behind it.
    let again = ReplicaId::new(2, 2);
    hear(&mut s, &of_life(2, 2, &[(one, 9), (old, 4)], &[]));
    assert!(s.owner_has_seen(old, &dot(1, 9)) && !s.owner_has_seen(two, &dot(1, 9)));
    hear(&mut s, &of_life(2, 2, &[(one, 9), (old, 5)], &[one, new]));
    hear(&mut s, &of_life(3, 2, &[(one, 9), (old, 5)], &[one, again]));
    assert!(s.owner_has_seen(two, &dot(1, 9)));
    // Unless it is we who are.
    s.set_vector(&vector(&[(1, 9), (3, 4)]));
    assert!(!s.owner_has_seen(old, &dot(1, 9)));
    assert!(s.stable().is_empty());
}

/// 2 may have it parked or still on 3's old stream: equal counts say nothing while it does not vouch for the new life.
#[test]
fn equal_counts_settle_a_life_only_when_every_member_and_we_vouch() {
    let (mut s, new) = crashed();
    let (one, two, old) = (replica(1), replica(2), replica(3));
    let counts = [(one, 9), (old, 4)];
    hear(&mut s, &of_life(3, 2, &counts, &[one, two]));
    hear(&mut s, &of_life(2, 1, &counts, &[one, old]));
    assert_eq!(s.stable().get(one), 6);
    let mut relayed = of_life(3, 2, &counts, &[]);
    relayed.others = vec![Known {
        replica: two,
        vector: counts.into_iter().collect(),
        watermark_ms: 100,
        lives: vec![one, new],
    }];
    s.vouches = false;
    s.reported(&relayed);
    assert_eq!(s.stable().get(one), 6, "something of it may wait here");
    s.vouch();
    assert_eq!(*s.stable(), vector(&[(1, 9), (3, 4)]), "and others' word will do");
    assert!(s.closed.lives().next().is_none());
}

#[test]
fn after_a_start_lives_that_we_never_heard_hold_back_everything_until_all_vouch() {
    let mut s = stability(&[(1, 9)]);
    let (one, two, new) = (replica(1), replica(2), ReplicaId::new(3, 2));
    hear(&mut s, &of_life(3, 2, &[(one, 9)], &[one, two]));
    hear(&mut s, &of_life(2, 1, &[(one, 9)], &[]));
    assert!(s.stable().is_empty() && s.watermark_ms() == 0);
    hear(&mut s, &of_life(2, 1, &[(one, 9), (replica(3), 5)], &[one, new]));
    assert!(
        s.stable().is_empty(),
        "an entry of a life that we never heard is with 2"
    );
    s.advance(&vector(&[(1, 9), (3, 5)]));
    hear(&mut s, &of_life(3, 2, &[(one, 9), (replica(3), 5)], &[one, two]));
    assert_eq!(s.stable().get(one), 9);
}

#[test]
fn our_own_closed_life_holds_back_until_its_lost_entries_are_back() {
    let mut s = stability(&[(1, 9)]);
    let new = ReplicaId::new(1, 2);
    s.set_replica(new);
    s.set_vector(&vector(&[(1, 8)]));
    let with = |region, lives: &[ReplicaId]| of_life(region, 1, &[(replica(1), 9)], lives);
    hear(&mut s, &with(2, &[new, replica(3)]));
    hear(&mut s, &with(3, &[new, replica(2)]));
    assert!(s.stable().is_empty());
    s.advance(&vector(&[(1, 9)]));
    assert_eq!(*s.stable(), vector(&[(1, 9)]));
    assert!(s.owner_has_seen(replica(1), &dot(2, 1)));
}

proptest! {
    #[test]
    fn checkpoints_are_bounded_never_early_and_the_last_one_is_not_lost(
        batches in 1_u64..200,
        reports in prop::collection::vec(0_u64..200, 0..40),
    ) {
        let mut s = stability(&[(1, batches)]);
        hear(&mut s, &report(3, &[(1, batches)], 0));
        for batch in 1..=batches {
            s.checkpoint(BatchId(batch), &vector(&[(1, batch)]));
            prop_assert!(s.checkpoints.len() <= 8);
        }
        let mut heard = 0;
        for n in reports {
            hear(&mut s, &report(2, &[(1, n.min(batches))], 0));
            heard = heard.max(n.min(batches));
            prop_assert!(s.stable_batch().0 <= heard);
        }
        hear(&mut s, &report(2, &[(1, batches)], 0));
        prop_assert_eq!(s.stable_batch(), BatchId(batches));
    }
}

/// Retired too early, a life's last entry could still come, and be refused in one region and applied in another.
#[test]
fn a_life_may_be_retired_once_everyone_has_all_of_it_and_nothing_more_can_come() {
    let (old, new) = (replica(1), ReplicaId::new(1, 2));
    let mut s = stability(&[(1, 5)]);
    s.set_replica(new);
    let says = |region: u16, n: u64, life: ReplicaId| Report {
        lives: vec![life, replica(2), replica(3)],
        ..report(region, &[(1, n)], 900)
    };
    hear(&mut s, &says(2, 5, new));
    hear(&mut s, &says(3, 4, new));
    assert_eq!(s.retirable(RegionId(1)), None, "3 lacks an entry of it");
    hear(&mut s, &says(3, 5, old));
    assert_eq!(s.retirable(RegionId(1)), Some(old));
    assert_eq!(s.retirable(RegionId(2)), None, "2 lives its first life");
    let later = Report {
        replica: ReplicaId::new(3, 2),
        ..says(3, 4, new)
    };
    hear(&mut s, &later);
    assert_eq!(s.retirable(RegionId(1)), None, "3 was rolled back behind it");
    // Retired, it holds nothing back any more, and is not named again.
    let mut own: VersionVector = [(new, 1)].into_iter().collect();
    own.retire(old);
    s.advance(&own);
    assert!(!s.retired_everywhere(old));
    assert_eq!(s.retirable(RegionId(1)), None);
}
