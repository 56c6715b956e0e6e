//! `cartograph load` must call a good world good, and must notice each way of being bad.

use std::collections::BTreeSet;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};

use crate::world::{Faults, NAMES, World};
use crate::{Ran, command, finish, nobody, run};

/// A short load; `more` adds to the flags or replaces them.
async fn load(world: &World, more: &[&str]) -> Ran {
    let demo = world.demo_url();
    let usual = [
        ("--demo", demo.as_str()),
        ("--duration", "1s"),
        ("--rate", "150"),
        ("--seed", "7"),
        ("--converge-timeout", "1s"),
        ("--timeout", "3s"),
    ];
    let mut args = vec!["load"];
    args.extend(
        usual
            .iter()
            .filter(|(flag, _)| !more.contains(flag))
            .flat_map(|(flag, value)| [*flag, *value]),
    );
    args.extend(more);
    run(&args).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_good_world_converges_and_loses_nothing() {
    let world = World::start(Faults::default()).await;
    let ran = load(&world, &[]).await.expect(0);
    assert!(
        ran.stdout.contains("converged: all regions hold the same carts"),
        "{ran:?}"
    );
    assert!(ran.stdout.contains("lost 0, extra 0"), "{ran:?}");
    for name in NAMES {
        assert!(ran.stdout.contains(name), "{ran:?}");
    }
    assert!(
        !ran.stdout.contains('\u{1b}') && !ran.stderr.contains('\u{1b}'),
        "no colours or bars in a pipe: {ran:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rate_is_kept_and_the_numbers_are_what_the_world_saw() {
    let world = World::start(Faults::default()).await;
    let report = load(&world, &["--json"]).await.expect(0).json();
    let regions = report["regions"].as_array().unwrap();
    assert_eq!(regions.len(), 3);
    let mut done = 0;
    for region in regions {
        let count = region["done"].as_u64().unwrap();
        assert!(
            (130..=160).contains(&count),
            "150 a second for a second: {region}"
        );
        assert_eq!(region["failed"], 0);
        assert!(region["latency_us"]["p99"].as_u64().unwrap() > 0);
        done += count;
    }
    let requests = world.lock().requests.clone();
    let ledger_carts: BTreeSet<String> = world.lock().carts[0]
        .keys()
        .filter(|id| id.contains("ledger"))
        .cloned()
        .collect();
    let read_back = 3 * u64::try_from(ledger_carts.len()).unwrap();
    assert_eq!(requests.values().sum::<u64>(), done + read_back);
    let adds: u64 = regions
        .iter()
        .map(|region| region["ops"]["add"]["done"].as_u64().unwrap())
        .sum();
    assert_eq!(requests["add"], adds);

    // What the ledger promises is what is there.
    let kept: i64 = world.lock().carts[0]
        .iter()
        .filter(|(id, _)| id.contains("ledger"))
        .flat_map(|(_, c)| c.values())
        .sum();
    assert!(kept > 0);
    assert_eq!(report["ledger"]["acknowledged"], kept);
    assert_eq!(report["ledger"]["lost"], 0);
    assert_eq!(report["exit"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn shared_carts_are_edited_from_every_region() {
    let world = World::start(Faults::default()).await;
    let more = [
        "--shared-carts",
        "1",
        "--shared-weight",
        "100",
        "--ledger-weight",
        "0",
        "--ledger-carts",
        "0",
    ];
    load(&world, &more).await.expect(0);
    let inner = world.lock();
    assert_eq!(inner.carts[0].keys().collect::<Vec<_>>(), ["load-7-shared-0"]);
    let kinds: Vec<_> = inner.requests.keys().map(String::as_str).collect();
    assert_eq!(kinds, ["add", "clear", "get", "remove", "set"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_writes_are_found() {
    let world = World::start(Faults {
        lose_every: Some(9),
        ..Faults::default()
    })
    .await;
    let ran = load(&world, &[]).await.expect(1);
    assert!(
        ran.stdout.contains("converged: all regions"),
        "all regions lost the same: {ran:?}"
    );
    assert!(
        ran.stdout.contains("acknowledged") && !ran.stdout.contains("lost 0"),
        "{ran:?}"
    );
    assert!(
        ran.stdout.contains("EXPECTED  SHOWN"),
        "the lines are shown: {ran:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_that_count_twice_are_found() {
    let world = World::start(Faults {
        double_every: Some(9),
        ..Faults::default()
    })
    .await;
    let report = load(&world, &["--json"]).await.expect(1).json();
    assert_eq!(report["ledger"]["lost"], 0);
    assert!(report["ledger"]["extra"].as_u64().unwrap() > 0);
    assert!(!report["ledger"]["wrong"].as_array().unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_and_refused_writes_are_told_apart_and_neither_is_a_loss() {
    let faults = Faults {
        unknown_every: Some(5),
        refuse_every: Some(7),
        ..Faults::default()
    };
    let world = World::start(faults).await;
    let report = load(&world, &["--json"]).await.expect(0).json();
    assert!(report["ledger"]["unknown_adds"].as_u64().unwrap() > 0);
    assert_eq!(report["ledger"]["lost"], 0);
    let errors: Vec<&Value> = report["regions"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|region| region["errors"].as_array().unwrap())
        .collect();
    let outcome = |kind: &str| {
        errors
            .iter()
            .find(|error| error["error"] == kind)
            .map(|error| &error["outcome"])
    };
    assert_eq!(outcome("http 503 CG-0503").unwrap(), "unknown");
    assert_eq!(outcome("http 400 CG-0400").unwrap(), "definite");
}

#[tokio::test(flavor = "multi_thread")]
async fn regions_that_differ_are_shown_field_by_field() {
    let world = World::start(Faults {
        cut: BTreeSet::from([1]),
        ..Faults::default()
    })
    .await;
    let ran = load(&world, &[]).await.expect(1);
    assert!(ran.stdout.contains("diverged"), "{ran:?}");
    assert!(ran.stdout.contains("cart:load-"), "{ran:?}");
    assert!(
        ran.stdout.contains("what is missing may still be on its way"),
        "{ran:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_demo_the_regions_digests_decide() {
    for (cut, code) in [(BTreeSet::new(), 0), (BTreeSet::from([2]), 1)] {
        let world = World::start(Faults {
            cut,
            ..Faults::default()
        })
        .await;
        let flags = world.region_flags();
        let mut args = vec![
            "load",
            "--duration",
            "300ms",
            "--rate",
            "100",
            "--converge-timeout",
            "500ms",
            "--json",
        ];
        args.extend(flags.iter().map(String::as_str));
        let report = run(&args).await.expect(code).json();
        assert_eq!(report["convergence"]["converged"], code == 0);
        let diff = report["convergence"]["diff"].as_array().unwrap();
        assert_eq!(
            diff.iter()
                .any(|d| d["place"].as_str().unwrap().starts_with("shard 0 bucket")),
            code == 1
        );
        assert_eq!(
            diff.iter().any(|d| d["place"] == "shard 0 entries of 3-9"),
            code == 1
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_comparison_that_never_ends_is_a_timeout() {
    for faults in [
        Faults {
            compare_hangs: true,
            ..Faults::default()
        },
        Faults {
            compare_behind: true,
            ..Faults::default()
        },
    ] {
        let world = World::start(faults).await;
        load(&world, &["--duration", "200ms"]).await.expect(4);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_cannot_be_reached_is_named_and_what_to_do() {
    let address = nobody().await;
    let ran = run(&["load", "--demo", &address]).await.expect(3);
    assert!(
        ran.stderr.contains(&address) && ran.stderr.contains("cartograph demo"),
        "{ran:?}"
    );
    assert_eq!(ran.stdout, "");

    let world = World::start(Faults {
        unready: BTreeSet::from([1]),
        ..Faults::default()
    })
    .await;
    let ran = load(&world, &[]).await.expect(3);
    assert!(ran.stderr.contains("europe-west1 does not serve"), "{ran:?}");
    assert!(ran.stderr.contains("waiting for the store"), "{ran:?}");
    world.heal_readiness();
    load(&world, &["--duration", "100ms"]).await.expect(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stall_is_felt_by_everyone_who_would_have_come_meanwhile() {
    // Four shoppers stand still for 0.6 of 1.2 seconds. A generator that measured from the moment of sending would
    // find four slow operations a region among some two hundred, and a p90 of next to nothing.
    let stall = Some((Duration::from_millis(200), Duration::from_millis(800)));
    let world = World::start(Faults {
        stall,
        ..Faults::default()
    })
    .await;
    let more = [
        "--users",
        "4",
        "--duration",
        "1200ms",
        "--rate",
        "200",
        "--json",
        "--ledger-carts",
        "0",
    ];
    let report = load(&world, &more).await.expect(0).json();
    for region in report["regions"].as_array().unwrap() {
        let latency = &region["latency_us"];
        assert!(latency["p90"].as_u64().unwrap() > 200_000, "{region}");
        assert!(
            region["done"].as_u64().unwrap() > 120,
            "the visits that were due are made up for: {region}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_ends_the_load_and_reports_what_was_seen() {
    let world = World::start(Faults::default()).await;
    let demo = world.demo_url();
    let mut child = command(&["load", "--demo", &demo, "--duration", "1h", "--rate", "100"])
        .spawn()
        .unwrap();
    let pid = Pid::from_raw(i32::try_from(child.id().unwrap()).unwrap()).unwrap();
    // The first writes say that it is under way.
    while world.lock().carts[0].is_empty() {
        tokio::time::sleep(Duration::from_millis(10)).await;
        assert!(child.try_wait().unwrap().is_none());
    }
    kill_process(pid, Signal::INT).unwrap();
    let ran = finish(child).await.expect(130);
    assert!(
        ran.stdout.contains("us-central1") && ran.stdout.contains("was not checked"),
        "{ran:?}"
    );
    assert!(ran.stderr.contains("stopping"), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn weights_of_more_than_a_hundred_percent_are_a_usage_error() {
    let ran = run(&["load", "--shared-weight", "60", "--ledger-weight", "41"])
        .await
        .expect(2);
    assert!(ran.stderr.contains("more than 100 percent"), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn quiet_leaves_stderr_empty() {
    let world = World::start(Faults::default()).await;
    let demo = world.demo_url();
    let mut child = command(&["--quiet", "load", "--demo", &demo, "--duration", "100ms"])
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let first = lines.next_line().await.unwrap().unwrap();
    assert!(
        first.contains("--seed"),
        "the seed is said, so that the run can be repeated: {first}"
    );
    while lines.next_line().await.unwrap().is_some() {}
    assert_eq!(finish(child).await.expect(0).stderr, "");
}
