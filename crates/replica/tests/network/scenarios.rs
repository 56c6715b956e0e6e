//! What must hold whatever the network does.

use cartograph_crdt::{Dot, RegionId, Sequence};
use cartograph_replica::Config;
use proptest::prelude::*;

use crate::world::World;

/// Small limits, so that a few dozen entries reach them.
fn tight() -> Config {
    Config {
        window_bytes: 400,
        message_bytes: 150,
        recent_bytes: 1_500,
        park_entries: 12,
        park_bytes: 6_000,
        snapshot_reads: 2,
        checkpoints: 8,
        ..Config::default()
    }
}

#[test]
fn three_regions_agree_and_nobody_relays_while_direct_links_work() {
    let mut world = World::new(3, Config::default(), 1);
    for _ in 0..400 {
        for id in 1..=3 {
            world.write(id);
        }
        world.step();
    }
    world.settle();
    assert_eq!(world.counts.relayed, Default::default());
    assert_eq!(world.counts.snapshots, Default::default());
    assert_eq!(world.counts.resends, 0);
}

#[test]
fn a_cut_between_two_regions_is_bridged_by_the_third() {
    let mut world = World::new(3, Config::default(), 2);
    world.cut(1, 3);
    for _ in 0..200 {
        world.write(1);
        world.write(3);
        world.step();
    }
    // Not healed: the relay alone must do it.
    world.steps(400);
    assert_eq!(world.regions[&1].committed, world.regions[&3].committed);
    assert_eq!(world.regions[&1].committed.len(), 2);
    assert!(world.counts.relayed[&(2, 3)] > 0 && world.counts.relayed[&(2, 1)] > 0);
    assert_eq!(world.counts.relayed.get(&(1, 2)), None, "a direct link works");
    assert_eq!(world.counts.snapshots, Default::default());
}

#[test]
fn one_direction_alone_can_fail() {
    let mut world = World::new(3, Config::default(), 3);
    world.set_link(1, 3, false);
    for _ in 0..200 {
        world.write(1);
        world.write(3);
        world.step();
    }
    world.steps(400);
    assert_eq!(world.regions[&1].committed, world.regions[&3].committed);
    assert!(world.counts.relayed[&(2, 3)] > 0);
    assert_eq!(
        world.counts.relayed.get(&(2, 1)),
        None,
        "3 still reaches 1 itself"
    );
}

#[test]
fn a_chain_of_four_regions_passes_everything_on() {
    let mut world = World::new(4, tight(), 4);
    for (a, b) in [(1, 3), (1, 4), (2, 4)] {
        world.cut(a, b);
    }
    for n in 0..120 {
        world.write(1 + n % 4);
        world.step();
    }
    world.steps(4_000);
    let first = &world.regions[&1].committed;
    assert_eq!(first.iter().map(|(_, n)| n).sum::<u64>(), 120);
    assert!(world.regions.values().all(|r| r.committed == *first));
    assert_eq!(world.counts.snapshots, Default::default());
}

#[test]
fn a_healed_link_ends_the_relay_even_under_load() {
    let mut world = World::new(3, Config::default(), 5);
    world.cut(1, 3);
    for _ in 0..300 {
        world.write(1);
        world.step();
    }
    assert!(world.counts.relayed[&(2, 3)] > 0);
    world.heal();
    // Longer than a burst: the relay pauses, sees the direct link progress, and stays silent.
    for _ in 0..600 {
        world.write(1);
        world.step();
    }
    let before = world.counts.relayed[&(2, 3)];
    for _ in 0..300 {
        world.write(1);
        world.step();
    }
    assert_eq!(world.counts.relayed[&(2, 3)], before);
}

#[test]
fn what_is_in_flight_is_bounded_and_a_stalled_peer_catches_up_from_the_log() {
    let mut world = World::new(2, tight(), 6);
    world.regions.get_mut(&2).unwrap().stalled = true;
    for _ in 0..300 {
        world.write(1);
        world.step();
    }
    let one_record = 200;
    assert!(world.counts.queue_bytes_max <= tight().window_bytes + one_record);
    assert!(world.regions[&1].exchange.status(world.now)[&RegionId(2)].entries_behind > 250);
    assert!(world.regions[&1].exchange.status(world.now)[&RegionId(2)].lag_ms > 2_000);
    world.settle();
    assert!(
        world.counts.loads > 0,
        "what is no longer remembered is read from the log"
    );
    assert_eq!(world.counts.snapshots, Default::default());
    world.steps(50);
    assert_eq!(
        world.regions[&1].exchange.status(world.now)[&RegionId(2)].lag_ms,
        0
    );
}

#[test]
fn a_full_park_drops_asks_again_and_loses_nothing() {
    // Windows larger than the park, and entries that wait for a relay.
    let config = Config {
        window_bytes: 100_000,
        ..tight()
    };
    let mut world = World::new(3, config, 7);
    world.cut(1, 3);
    for _ in 0..150 {
        world.write(1);
        world.write(2);
        world.step();
    }
    world.steps(3_000);
    assert!(
        world.counts.parked_max >= 12 && world.counts.resends > 0,
        "{:?}",
        world.counts
    );
    assert_eq!(world.regions[&1].committed, world.regions[&3].committed);
}

#[test]
fn a_region_too_far_behind_gets_a_snapshot_and_keeps_its_own_writes() {
    let mut world = World::new(3, Config::default(), 8);
    for _ in 0..30 {
        world.write(1);
        world.write(3);
        world.step();
    }
    world.settle();
    world.isolate(3);
    for _ in 0..50 {
        world.write(1);
        world.write(2);
        world.write(3);
        world.step();
    }
    world.steps(50);
    world.trim(1, 2);
    world.trim(2, 2);
    world.settle();
    let to_3: u64 = [1, 2]
        .iter()
        .filter_map(|from| world.counts.snapshots.get(&(*from, 3)))
        .sum();
    assert!(to_3 >= 1 && world.counts.snapshots_done >= 1);
    assert_eq!(
        world
            .counts
            .snapshots
            .iter()
            .filter(|((_, to), _)| *to != 3)
            .count(),
        0
    );
}

#[test]
fn a_wiped_region_gets_a_snapshot_though_the_logs_reach_back() {
    let mut world = World::new(3, Config::default(), 9);
    for _ in 0..30 {
        world.write(1);
        world.write(3);
        world.step();
    }
    world.settle();
    world.steps(100);
    world.wipe(3);
    world.settle();
    world.steps(50);
    // Its peers have relied on what it had reported: the log alone could not repair that.
    assert!(world.counts.snapshots_done >= 1);
}

#[test]
fn a_new_region_catches_up_from_logs_that_reach_back() {
    let mut world = World::new(3, tight(), 10);
    world.isolate(3);
    for _ in 0..100 {
        world.write(1);
        world.write(2);
        world.step();
    }
    world.settle();
    assert_eq!(world.counts.snapshots, Default::default());
}

#[test]
fn regions_that_need_each_others_rows_take_turns() {
    let mut world = World::new(2, Config::default(), 11);
    world.cut(1, 2);
    for _ in 0..50 {
        world.write(1);
        world.write(2);
        world.step();
    }
    world.trim(1, 1);
    world.trim(2, 1);
    world.settle();
    world.steps(50);
    assert_eq!(world.counts.snapshots_done, 2, "{:?}", world.counts);
}

#[test]
fn everything_becomes_stable_when_all_is_quiet_and_when_a_peer_is_busy() {
    let mut world = World::new(3, Config::default(), 12);
    for n in 0..600 {
        world.write(1 + n % 3);
        world.step();
    }
    let stable: u64 = world.regions[&1].exchange.stable().iter().map(|(_, n)| n).sum();
    assert!(stable > 300, "only {stable} of 600 are stable while all are busy");
    world.settle();
    world.steps(100);
    for region in world.regions.values() {
        assert_eq!(*region.exchange.stable(), region.committed);
        assert!(region.exchange.stable_batch().0 > 0);
        let me = region.me;
        assert_eq!(region.exchange.lowest_acknowledged(me), region.committed.get(me));
    }
}

/// Region 3 writes and crashes at once, over and over: what others have of its lives comes back, and in the end nothing
/// holds back.
#[test]
fn everything_becomes_stable_after_crashes_that_took_entries() {
    let mut world = World::new(3, Config::default(), 13);
    for n in 0..300 {
        world.write(1 + n % 3);
        world.write(3);
        world.step();
        if n % 7 == 6 {
            world.crash(3);
        }
    }
    assert!(world.counts.losses > 2, "{:?}", world.counts);
    world.settle();
    world.steps(100);
    for region in world.regions.values() {
        assert_eq!(*region.exchange.stable(), region.committed);
        for (replica, _) in region.committed.iter().filter(|(r, _)| *r != region.me) {
            let dot = Dot::new(region.me, Sequence::new(1).unwrap(), 0);
            assert!(
                region.exchange.owner_has_seen(replica, &dot),
                "{replica} in {}",
                region.me
            );
        }
    }
}

/// What a script may do to the world.
#[derive(Clone, Debug)]
enum Act {
    Write(u16),
    Cut(u16, u16),
    Break(u16, u16),
    Heal,
    Stall(u16),
    Restart(u16),
    Trim(u16),
    Wipe(u16),
    Crash(u16),
    Steps(usize),
}

fn act(regions: u16) -> impl Strategy<Value = Act> + Clone {
    let region = 1..=regions;
    // The second is some way round the circle from the first: never the same.
    let second = move |(a, way): (u16, u16)| (a, (a - 1 + way) % regions + 1);
    let pair = (1..=regions, 1..regions).prop_map(second);
    prop_oneof![
        8 => region.clone().prop_map(Act::Write),
        2 => pair.clone().prop_map(|(a, b)| Act::Cut(a, b)),
        2 => pair.prop_map(|(a, b)| Act::Break(a, b)),
        1 => Just(Act::Heal),
        1 => region.clone().prop_map(Act::Stall),
        1 => region.prop_map(Act::Restart),
        6 => (1_usize..40).prop_map(Act::Steps),
    ]
}

/// The same, with logs that lose their tails and stores that are lost.
fn harsh_act(regions: u16) -> impl Strategy<Value = Act> + Clone {
    let region = 1..=regions;
    prop_oneof![
        20 => act(regions),
        2 => region.clone().prop_map(Act::Trim),
        2 => region.prop_map(Act::Wipe),
    ]
}

/// The same, with crashes that take what was not told.
fn crashing_act(regions: u16) -> impl Strategy<Value = Act> + Clone {
    prop_oneof![
        8 => act(regions),
        1 => (1..=regions).prop_map(Act::Crash),
    ]
}

fn play(regions: u16, seed: u64, script: &[Act]) -> World {
    let mut world = World::new(regions, tight(), seed);
    for act in script {
        match act {
            Act::Write(id) => world.write(*id),
            Act::Cut(a, b) => world.set_link(*a, *b, false),
            Act::Break(a, b) => world.drop_stream(*a, *b),
            Act::Heal => world.heal(),
            Act::Stall(id) => {
                let region = world.regions.get_mut(id).unwrap();
                region.stalled = !region.stalled;
            }
            Act::Restart(id) => world.restart(*id),
            Act::Trim(id) => world.trim(*id, 3),
            Act::Wipe(id) => world.wipe(*id),
            Act::Crash(id) => world.crash(*id),
            Act::Steps(n) => world.steps(*n),
        }
        world.step();
    }
    world.settle();
    world
}

/// Few enough for every run; set `PROPTEST_CASES` for a long one.
fn cases() -> u32 {
    let default = ProptestConfig::default().cases;
    if std::env::var_os("PROPTEST_CASES").is_some() {
        default
    } else {
        60
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), ..ProptestConfig::default() })]

    /// Delivery: once, in causal order, without gaps, whatever is cut; stability: never too early.
    #[test]
    fn whatever_breaks_all_regions_agree_in_the_end(
        seed: u64,
        regions in 2_u16..5,
        script in prop::collection::vec(act(2), 1..120),
    ) {
        let world = play(regions, seed, &script);
        prop_assert_eq!(&world.counts.snapshots, &Default::default(), "logs were whole");
        prop_assert_eq!(world.counts.own_unknown, 0);
    }

    /// The same with all pairs of four regions.
    #[test]
    fn four_regions_agree_in_the_end(seed: u64, script in prop::collection::vec(act(4), 1..150)) {
        let world = play(4, seed, &script);
        prop_assert_eq!(&world.counts.snapshots, &Default::default(), "logs were whole");
    }

    /// With crashes: what a closed life lost and others have comes back, and nothing is stable too early meanwhile.
    #[test]
    fn what_crashes_took_comes_back(seed: u64, script in prop::collection::vec(crashing_act(3), 1..150)) {
        play(3, seed, &script);
    }

    /// With logs that lose their tails and regions that lose everything.
    #[test]
    fn snapshots_repair_what_logs_cannot(seed: u64, script in prop::collection::vec(harsh_act(3), 1..120)) {
        play(3, seed, &script);
    }
}
