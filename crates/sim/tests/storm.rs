//! Storms: short histories in which everything may go wrong, each decided by its seed alone. `cargo xtask sim` plays as
//! many as there is time for; here are a few hundred, and what they have found. `CARTOGRAPH_HISTORIES` sets how many.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "tests: helpers stand outside #[test] functions, where clippy.toml does not let them off"
)]

use cartograph_crdt::ShardId;
use cartograph_engine::command::ZAddFlags;
use cartograph_engine::{Command, Limits};
use cartograph_replica::commit::{Load, Loaded, ViewChange, ViewContent, ViewExpiry, ViewValue};
use cartograph_sim::history::{Tally, play, trace};
use cartograph_sim::plan::Plan;
use cartograph_sim::shrink::{only, shrink};
use cartograph_sim::steps::draw;
use cartograph_sim::world::{Setup, World};

/// How many storms each of the tests below plays.
const STORMS: u64 = 100;

fn storms(from: u64) -> Tally {
    let given = std::env::var("CARTOGRAPH_HISTORIES")
        .ok()
        .and_then(|v| v.parse().ok());
    let mut total = Tally::default();
    for seed in from..from + given.unwrap_or(STORMS) {
        match play(seed, &Plan::storm(seed)) {
            Ok(tally) => total.add(&tally),
            Err(violation) => panic!("{violation}\nshrink and replay: cargo xtask sim --seed {seed}"),
        }
    }
    println!("{total:?}");
    assert!(
        total.faults() > given.unwrap_or(STORMS),
        "hardly any fault: {total:?}"
    );
    assert!(total.done > total.refused + total.unknown, "{total:?}");
    assert!(total.compared > 0 && total.snapshots > 0, "{total:?}");
    total
}

#[test]
fn storms_of_the_first_seeds_violate_nothing() {
    storms(0);
}

#[test]
fn storms_of_further_seeds_violate_nothing() {
    storms(200);
}

#[test]
fn storms_of_yet_other_seeds_violate_nothing() {
    storms(400);
}

#[test]
fn a_seed_gives_the_same_inputs_and_outputs_twice() {
    for seed in 0..8 {
        let plan = Plan::storm(seed);
        let (first, second) = (trace(seed, &plan), trace(seed, &plan));
        assert!(first.len() > 100, "seed {seed}: {}", first.len());
        if let Some(at) = first.iter().zip(&second).position(|(a, b)| a != b) {
            panic!(
                "seed {seed} differs at output {at}: {} or {}",
                first[at], second[at]
            );
        }
        assert_eq!(first.len(), second.len(), "seed {seed}");
    }
}

/// A history whose violation needs two of its steps is cut down to them, and the rest plays as it did.
#[test]
fn leaving_steps_out_leaves_the_others_as_they_were() {
    let plan = Plan::storm(5);
    let all = draw(5, &plan);
    let odd: Vec<usize> = (0..all.len()).filter(|n| n % 2 == 1).collect();
    let some = only(5, &plan, &odd);
    for (n, planned) in odd.iter().zip(&some) {
        assert_eq!(planned.salt, all[*n].salt);
        assert_eq!(format!("{:?}", planned.step), format!("{:?}", all[*n].step));
    }
    // One that does not fail is not cut down at all.
    let violation = cartograph_sim::history::Violation {
        seed: 5,
        what: "made up".to_owned(),
        log: String::new(),
    };
    let shrunk = shrink(5, &plan, violation, 8);
    assert_eq!(shrunk.kept.len(), all.len());
    assert!(shrunk.played <= 8);
}

fn world(limits: Limits) -> World {
    let mut world = World::new(Setup {
        regions: 2,
        seed: 1,
        limits,
        latency_ms: 5,
    });
    world.run(1_000);
    world
}

fn done(world: &mut World, region: usize, command: Command) {
    let id = world.request(region, vec![command]).expect("a running node");
    world.run(200);
    let answer = world.answer(region, id).expect("an answer");
    assert!(answer.is_ok(), "region {region}: {answer:?}");
    assert!(world.faults.is_empty(), "{:?}", world.faults);
}

/// What waits gathers its rows; where they are more than the cache should hold, those that had come were let go of
/// while the others were loaded, for ever (storm of seed 2, shrunk to one write and the deletion of everything).
#[test]
fn a_command_whose_rows_are_more_than_the_cache_holds_is_done() {
    let limits = Limits {
        cache_bytes_max: 1_000,
        ..Limits::default()
    };
    let mut world = world(limits);
    let keys: Vec<Vec<u8>> = (0..8).map(|n| format!("key-{n}").into_bytes()).collect();
    for key in &keys {
        let members = vec![b"a".to_vec()];
        let key = key.clone();
        done(&mut world, 0, Command::SAdd { key, members });
    }
    done(&mut world, 0, Command::Del { keys });
    assert!(world.settle(5_000));
    assert_eq!(world.keys(1), 1, "the members' own row, and nothing else");
}

/// A view that somebody had deleted, of a key with garbage to collect: the collection met the view, failed, and with
/// it went the row that the repair had begun to load; then the collection was tried again, first (storm of seed 189).
#[test]
fn a_damaged_view_does_not_stop_its_region() {
    let mut world = world(Limits::default());
    let zadd = |member: &str| Command::ZAdd {
        key: b"z".to_vec(),
        flags: ZAddFlags::default(),
        pairs: vec![(1.0, member.as_bytes().to_vec())],
    };
    done(&mut world, 0, zadd("old"));
    assert!(world.settle(5_000));
    world.set_link(0, 1, false);
    done(&mut world, 0, Command::Revoke { key: b"z".to_vec() });
    done(&mut world, 0, zadd("a"));
    done(&mut world, 0, zadd("b"));
    world.crash(0);
    world.start(0);
    world.run(500);
    let change = ViewChange {
        key: b"z".to_vec(),
        replace: false,
        content: ViewContent::Absent,
        expiry: ViewExpiry::Unchanged,
    };
    world.regions[0].store.tamper(&change).unwrap();
    world.set_link(0, 1, true);
    world.run(5_000);
    done(&mut world, 0, zadd("c"));
    assert!(world.settle(5_000), "region 0 stands still");
    let load = Load::View { key: b"z".to_vec() };
    for region in 0..2 {
        match world.regions[region].store.load(ShardId(0), &load) {
            Ok(Loaded::View(Some((ViewValue::SortedSet(members), None)))) => assert_eq!(members.len(), 3),
            other => panic!("region {region}: {other:?}"),
        }
    }
}
