//! Stories that once went wrong, told step by step, and what no random history tells for certain.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    clippy::print_stdout,
    reason = "tests: helpers stand outside #[test] functions, where clippy.toml does not let them off"
)]

use cartograph_crdt::ShardId;
use cartograph_engine::api::{Event, RequestError, RequestId};
use cartograph_engine::{Command, Limits};
use cartograph_replica::commit::{Load, Loaded, ViewChange, ViewContent, ViewExpiry, ViewValue};
use cartograph_sim::history::{Plan, play};
use cartograph_sim::world::{Setup, World};

fn world(regions: usize, limits: Limits) -> World {
    let mut world = World::new(Setup {
        regions,
        seed: 1,
        limits,
        latency_ms: 20,
    });
    world.run(1_500);
    for region in 0..regions {
        assert_eq!(world.not_writable(region), None, "region {region}");
    }
    world
}

fn add(key: &[u8], member: &str) -> Command {
    Command::SAdd {
        key: key.to_vec(),
        members: vec![member.as_bytes().to_vec()],
    }
}

/// Asks, and waits for an answer that is not an error.
fn done(world: &mut World, region: usize, command: Command) {
    let id = ask(world, region, command);
    world.run(200);
    let answer = world.answer(region, id).expect("an answer");
    assert!(answer.is_ok(), "region {region}: {answer:?}");
}

fn ask(world: &mut World, region: usize, command: Command) -> RequestId {
    world.request(region, vec![command]).expect("a running node")
}

fn set(world: &World, region: usize, key: &[u8]) -> Vec<String> {
    let load = Load::View { key: key.to_vec() };
    match world.regions[region].store.load(ShardId(0), &load) {
        Ok(Loaded::View(Some((ViewValue::Set(members), _)))) => {
            let mut names: Vec<_> = members
                .iter()
                .map(|m| String::from_utf8_lossy(m).into_owned())
                .collect();
            names.sort_unstable();
            names
        }
        _ => Vec::new(),
    }
}

fn isolate(world: &mut World, region: usize, cut: bool) {
    for other in (0..world.regions.len()).filter(|r| *r != region) {
        world.set_link(region, other, !cut);
        world.set_link(other, region, !cut);
    }
}

fn events(world: &World, region: usize, is: impl Fn(&Event) -> bool) -> usize {
    world.regions[region].events.iter().filter(|e| is(e)).count()
}

#[test]
fn the_same_seed_gives_the_same_run_to_the_last_output() {
    let run = |seed| {
        let mut world = World::new(Setup {
            regions: 3,
            seed,
            limits: Limits::default(),
            latency_ms: 20,
        });
        world.trace = Some(Vec::new());
        for link in world.links.values_mut() {
            link.jitter_ms = 15;
        }
        world.run(1_000);
        for n in 0..30 {
            ask(&mut world, n % 3, add(b"k", &format!("m{n}")));
            world.run(13);
        }
        world.crash(1);
        world.run(300);
        world.start(1);
        assert!(world.settle(20_000));
        world.trace.unwrap()
    };
    let (first, second) = (run(7), run(7));
    assert!(first.len() > 500, "{}", first.len());
    assert!(first == second, "two runs of one seed differ");
    assert!(first != run(8), "another seed gives the same run");
}

#[test]
fn the_same_seed_plays_the_same_history() {
    let plan = Plan {
        crashes: true,
        stores: true,
        wipes: true,
        ..Plan::default()
    };
    assert_eq!(play(3, &plan).unwrap(), play(3, &plan).unwrap());
}

/// A rolled back region whose peers have collected a revoke that it had seen: what waited in its queue, and what it is
/// asked while it catches up, must see the revoke again first (plan `stores`, seed 81, before histories grew).
#[test]
fn a_rolled_back_region_sees_again_what_others_have_forgotten_before_it_writes() {
    let mut world = world(3, Limits::default());
    done(&mut world, 0, add(b"s", "old"));
    assert!(world.settle(5_000));
    let image = world.image(0).unwrap();
    done(&mut world, 1, Command::Revoke { key: b"s".to_vec() });
    assert!(world.settle(5_000));
    // Stable everywhere, and collected.
    world.run(3_000);
    world.restore(0, Some(&image));
    let id = ask(&mut world, 0, add(b"s", "new"));
    assert!(world.settle(20_000), "the regions fell apart");
    world.run(6_000);
    assert!(world.settle(20_000), "the regions fell apart");
    // Whether the write was answered or refused, it is everywhere or nowhere.
    let written = matches!(world.answer(0, id), Some(Ok(_)));
    for region in 0..3 {
        let expected: &[&str] = if written { &["new"] } else { &[] };
        assert_eq!(set(&world, region, b"s"), expected, "region {region}");
    }
}

#[test]
fn two_regions_that_are_cut_off_from_each_other_converge_through_the_third() {
    let mut world = world(3, Limits::default());
    world.set_link(0, 2, false);
    world.set_link(2, 0, false);
    done(&mut world, 0, add(b"s", "from-0"));
    done(&mut world, 2, add(b"s", "from-2"));
    assert!(world.settle(5_000));
    for region in 0..3 {
        assert_eq!(set(&world, region, b"s"), ["from-0", "from-2"], "region {region}");
    }
    assert!(!world.links[&(0, 2)].up && !world.links[&(2, 0)].up);
}

#[test]
fn one_direction_of_a_link_is_enough() {
    let mut world = world(2, Limits::default());
    world.set_link(0, 1, false);
    done(&mut world, 1, add(b"s", "there"));
    world.run(500);
    assert_eq!(
        set(&world, 0, b"s"),
        ["there"],
        "the other direction stands still too"
    );
    done(&mut world, 0, add(b"s", "here"));
    world.set_link(0, 1, true);
    assert!(world.settle(5_000));
    assert_eq!(set(&world, 1, b"s"), ["here", "there"]);
}

#[test]
fn a_region_cut_off_beyond_the_logs_cap_joins_a_snapshot_and_keeps_its_own_writes() {
    let limits = Limits {
        log_bytes_max: 1_000,
        log_entries_min: 1,
        log_age_min_ms: 10,
        ..Limits::default()
    };
    let mut world = world(3, limits);
    done(&mut world, 0, add(b"s", "gone"));
    assert!(world.settle(5_000));
    isolate(&mut world, 2, true);
    done(&mut world, 2, add(b"s", "unseen"));
    done(
        &mut world,
        0,
        Command::SRem {
            key: b"s".to_vec(),
            members: vec![b"gone".to_vec()],
        },
    );
    for n in 0..60 {
        done(&mut world, n % 2, add(b"other", &format!("m{n}")));
    }
    world.run(3_000);
    isolate(&mut world, 2, false);
    done(&mut world, 2, add(b"s", "meanwhile"));
    assert!(world.settle(20_000));
    let joined = |e: &Event| matches!(e, Event::Snapshot { what: "joined", .. });
    assert!(events(&world, 2, joined) > 0, "it came by the log");
    for region in 0..3 {
        assert_eq!(
            set(&world, region, b"s"),
            ["meanwhile", "unseen"],
            "region {region}"
        );
        assert_eq!(set(&world, region, b"other").len(), 60, "region {region}");
    }
    // One that has joined a snapshot serves snapshots again.
    world.crash(0);
    world.crash(1);
    world.restore(0, None);
    world.start(0);
    assert!(world.settle(20_000));
    assert_eq!(set(&world, 0, b"s"), ["meanwhile", "unseen"]);
    world.start(1);
    assert!(world.settle(20_000));
}

#[test]
fn a_region_that_joins_writes_once_it_is_let_in() {
    let mut world = world(3, Limits::default());
    done(&mut world, 0, add(b"s", "before"));
    let joining = world.add_region();
    world.start(joining);
    world.run(20);
    let early = ask(&mut world, joining, add(b"s", "too-early"));
    world.run(20);
    assert!(matches!(world.answer(joining, early), Some(Err(_))));
    for n in 0..20 {
        ask(&mut world, n % 3, add(b"s", &format!("m{n:02}")));
        world.run(30);
    }
    assert!(world.settle(10_000));
    assert_eq!(world.not_writable(joining), None);
    done(&mut world, joining, add(b"s", "z"));
    assert!(world.settle(10_000));
    for region in 0..4 {
        let shown = set(&world, region, b"s");
        assert_eq!(shown.len(), 22, "region {region}: {shown:?}");
    }
}

#[test]
fn a_view_that_was_deleted_or_retyped_is_rebuilt_by_the_next_write() {
    let mut world = world(2, Limits::default());
    done(&mut world, 0, add(b"s", "a"));
    let contents = [ViewContent::Absent, ViewContent::String(b"!".to_vec())];
    for (n, content) in contents.into_iter().enumerate() {
        let change = ViewChange {
            key: b"s".to_vec(),
            replace: content != ViewContent::Absent,
            content,
            expiry: ViewExpiry::Unchanged,
        };
        world.regions[0].store.tamper(&change).unwrap();
        done(&mut world, 0, add(b"s", &format!("b{n}")));
        let repaired = |e: &Event| matches!(e, Event::ViewRepaired { .. });
        assert_eq!(events(&world, 0, repaired), n + 1);
    }
    assert_eq!(set(&world, 0, b"s"), ["a", "b0", "b1"]);
}

#[test]
fn a_store_that_refuses_is_told_to_clients_and_the_rest_goes_on() {
    let mut world = world(2, Limits::default());
    world.regions[0].refusing = true;
    // A peer's entry is refused again and again; clients are answered all the same.
    done(&mut world, 1, add(b"s", "theirs"));
    let id = ask(&mut world, 0, add(b"s", "ours"));
    world.run(2_000);
    assert!(matches!(world.answer(0, id), Some(Err(_))), "never answered");
    world.regions[0].refusing = false;
    assert!(world.settle(5_000));
    done(&mut world, 0, add(b"s", "ours"));
    assert_eq!(set(&world, 0, b"s"), ["ours", "theirs"]);
}

#[test]
fn an_idempotency_key_has_its_effect_once_in_flight_and_after_a_crash() {
    let mut world = world(2, Limits::default());
    let once = || Command::IncrBy {
        key: b"n".to_vec(),
        by: 1,
    };
    let ids: Vec<_> = (0..3)
        .map(|_| world.request_once(0, vec![once()], Some(b"id".to_vec())).unwrap())
        .collect();
    world.run(500);
    let replies: Vec<_> = ids
        .iter()
        .map(|id| world.answer(0, *id).unwrap().unwrap().replies)
        .collect();
    assert!(replies.iter().all(|r| *r == replies[0]), "{replies:?}");
    world.crash(0);
    world.start(0);
    world.run(500);
    let again = world.request_once(0, vec![once()], Some(b"id".to_vec())).unwrap();
    world.run(500);
    assert_eq!(world.answer(0, again).unwrap().unwrap().replies, replies[0]);
    let load = Load::View { key: b"n".to_vec() };
    let view = world.regions[0].store.load(ShardId(0), &load).unwrap();
    assert_eq!(view, Loaded::View(Some((ViewValue::String(b"1".to_vec()), None))));
}

#[test]
fn what_one_member_has_of_a_forgotten_region_the_others_get() {
    let mut world = world(4, Limits::default());
    // Region 3's last words reach region 0 alone.
    for other in [1, 2] {
        world.set_link(3, other, false);
    }
    for other in [1, 2] {
        world.set_link(0, other, false);
    }
    done(&mut world, 3, add(b"s", "last-words"));
    assert_eq!(set(&world, 0, b"s"), ["last-words"]);
    world.crash(3);
    let order = world.forget(1, 3).unwrap();
    world.run(2_000);
    assert!(matches!(world.answer(1, order), Some(Ok(_))));
    world.set_link(0, 1, true);
    world.set_link(0, 2, true);
    assert!(world.settle(10_000));
    for region in 0..3 {
        assert_eq!(set(&world, region, b"s"), ["last-words"], "region {region}");
    }
    // Nothing waits for it any more.
    done(
        &mut world,
        0,
        Command::Del {
            keys: vec![b"s".to_vec()],
        },
    );
    assert!(world.settle(10_000));
}

/// After a refused or abandoned snapshot, and while one is served, the exchange asked to be woken in the past for ever.
#[test]
fn an_idle_cluster_sleeps() {
    let mut world = world(3, Limits::default());
    done(&mut world, 0, add(b"s", "a"));
    assert!(world.settle(5_000));
    world.crash(1);
    world.restore(1, None);
    world.start(1);
    assert!(world.settle(20_000));
    world.run(5_000);
    world.trace = Some(Vec::new());
    world.run(10_000);
    let trace = world.trace.take().unwrap();
    let woken = trace.iter().filter(|line| line.contains("Wake {")).count();
    assert!(woken < 3_000, "{woken} times in ten seconds, of three regions");
}

/// A node whose idle store is replaced by an empty one, unnoticed, reads no rows for a peer's snapshot: the peer must
/// not take them for removed (plan `snapshots_survive_crashes_and_lost_stores`, seed 170).
#[test]
fn a_snapshot_read_from_a_replaced_store_removes_nothing() {
    let limits = Limits {
        log_bytes_max: 1_000,
        log_entries_min: 1,
        log_age_min_ms: 10,
        ..Limits::default()
    };
    let mut world = world(2, limits);
    done(&mut world, 0, add(b"s", "kept"));
    assert!(world.settle(5_000));
    isolate(&mut world, 1, true);
    for n in 0..60 {
        done(&mut world, 0, add(b"other", &format!("m{n}")));
    }
    world.run(3_000);
    world.restore(0, None);
    isolate(&mut world, 1, false);
    assert!(world.settle(30_000));
    for region in 0..2 {
        assert_eq!(set(&world, region, b"s"), ["kept"], "region {region}");
    }
}

/// Nobody can say whether another owner's commits came before or after ours: the client is told so at once, and who
/// only waited, that it was not done. The other owner may keep the store for long.
#[test]
fn clients_are_answered_at_once_when_another_owner_has_taken_the_store() {
    let mut world = world(2, Limits::default());
    done(&mut world, 0, add(b"s", "before"));
    world.regions[0].store.claim(ShardId(0)).unwrap();
    let lost = ask(&mut world, 0, add(b"s", "lost"));
    let waits = ask(&mut world, 0, add(b"s", "waits"));
    // The commit is refused by now, the claim is on its way.
    world.run(3);
    let answer = world.answer(0, lost);
    assert!(matches!(answer, Some(Err(RequestError::Unknown))), "{answer:?}");
    let answer = world.answer(0, waits);
    assert!(
        matches!(answer, Some(Err(RequestError::NotReady { .. }))),
        "{answer:?}"
    );
    let late = ask(&mut world, 0, add(b"s", "late"));
    let answer = world.answer(0, late);
    assert!(
        matches!(answer, Some(Err(RequestError::NotReady { .. }))),
        "{answer:?}"
    );
    world.run(2_000);
    done(&mut world, 0, add(b"s", "after"));
    assert!(world.settle(5_000));
    for region in 0..2 {
        assert_eq!(set(&world, region, b"s"), ["after", "before"], "region {region}");
    }
}

/// The connection breaks, and the claim finds that another owner was there meanwhile.
#[test]
fn what_was_on_its_way_when_another_owner_came_and_went_is_answered_as_unknown() {
    let mut world = world(2, Limits::default());
    done(&mut world, 0, add(b"s", "before"));
    let lost = ask(&mut world, 0, add(b"s", "lost"));
    let once = vec![add(b"s", "once")];
    let once = world.request_once(0, once, Some(b"id".to_vec())).unwrap();
    world.regions[0].store.claim(ShardId(0)).unwrap();
    world.set_store(0, false);
    world.run(20);
    world.regions[0].store.claim(ShardId(0)).unwrap();
    world.set_store(0, true);
    world.run(100);
    let answer = world.answer(0, lost);
    assert!(matches!(answer, Some(Err(RequestError::Unknown))), "{answer:?}");
    world.run(10_000);
    assert!(matches!(world.answer(0, once), Some(Ok(_))), "it can find out");
    assert!(world.settle(5_000));
}

/// What a retired life wrote stays, is read back by a node that starts, is removed by who has seen it, and reaches a
/// region that never heard of that life.
#[test]
fn what_a_retired_life_wrote_stays_readable_and_removable() {
    let limits = Limits {
        retire_after_ms: 500,
        log_entries_min: 1,
        log_age_min_ms: 10,
        ..Limits::default()
    };
    let mut world = world(3, limits);
    let incr = |by| Command::IncrBy {
        key: b"n".to_vec(),
        by,
    };
    done(&mut world, 0, add(b"s", "a"));
    done(&mut world, 0, add(b"s", "b"));
    done(&mut world, 0, incr(5));
    let life = world.vector(0).unwrap().counted().next().unwrap().0;
    world.crash(0);
    world.restart_store(0);
    world.start(0);
    assert!(world.settle(10_000));
    done(&mut world, 0, incr(1));
    world.run(3_000);
    assert!(world.settle(5_000));
    for region in 0..3 {
        let vector = world.vector(region).unwrap();
        assert!(vector.is_retired(life), "region {region}: {vector}");
        assert!(vector.counted().count() <= 3, "region {region}: {vector}");
    }
    for region in 0..3 {
        world.crash(region);
        world.start(region);
    }
    assert!(world.settle(10_000));
    let srem = Command::SRem {
        key: b"s".to_vec(),
        members: vec![b"a".to_vec()],
    };
    done(&mut world, 1, srem);
    done(&mut world, 2, incr(-2));
    let joining = world.add_region();
    world.start(joining);
    assert!(world.settle(20_000));
    // One that loses everything lacks what the retired life wrote, too.
    world.crash(2);
    world.restore(2, None);
    world.start(2);
    assert!(world.settle(20_000));
    let shown = |world: &World, region: usize| {
        let load = Load::View { key: b"n".to_vec() };
        world.regions[region].store.load(ShardId(0), &load).unwrap()
    };
    for region in 0..4 {
        assert_eq!(set(&world, region, b"s"), ["b"], "region {region}");
        let four = Loaded::View(Some((ViewValue::String(b"4".to_vec()), None)));
        assert_eq!(shown(&world, region), four, "region {region}");
    }
    let del = Command::Del {
        keys: vec![b"s".to_vec(), b"n".to_vec()],
    };
    done(&mut world, joining, del);
    assert!(world.settle(10_000));
    assert!(set(&world, 0, b"s").is_empty());
}

/// Removing a big key of which a little was not seen costs what is left, not what goes.
#[test]
fn a_removal_that_leaves_little_of_a_big_key_is_a_small_commit() {
    let mut world = world(2, Limits::default());
    let members = (0..20_000).map(|n| format!("m{n:05}").into_bytes()).collect();
    let many = Command::SAdd {
        key: b"big".to_vec(),
        members,
    };
    done(&mut world, 0, many);
    assert!(world.settle(5_000));
    // Region 1 has forgotten the row, and reads it again.
    world.crash(1);
    world.start(1);
    world.run(1_000);
    isolate(&mut world, 1, true);
    done(&mut world, 1, add(b"big", "unseen"));
    let del = Command::Del {
        keys: vec![b"big".to_vec()],
    };
    done(&mut world, 0, del);
    world.trace = Some(Vec::new());
    isolate(&mut world, 1, false);
    assert!(world.settle(5_000));
    for region in 0..2 {
        assert_eq!(set(&world, region, b"big"), ["unseen"], "region {region}");
    }
    let trace = world.trace.take().unwrap();
    let commits = trace.iter().filter(|line| line.contains(" r1 Commit("));
    let largest = commits.map(String::len).max().unwrap_or(0);
    assert!(largest > 0 && largest < 20_000, "{largest} bytes in one commit");
}
