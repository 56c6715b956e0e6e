//! `cartograph status`.

use std::collections::BTreeSet;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, BufReader};

use crate::world::{Faults, NAMES, World};
use crate::{command, finish, nobody, run};

#[tokio::test(flavor = "multi_thread")]
async fn a_demo_is_shown_region_by_region_and_link_by_link() {
    let world = World::start(Faults::default()).await;
    let ran = run(&["status", "--demo", &world.demo_url()]).await.expect(0);
    assert!(ran.stdout.starts_with("REGION"), "{ran:?}");
    assert!(
        ran.stdout.contains("memory") && ran.stdout.contains("process"),
        "{ran:?}"
    );
    let links = ran
        .stdout
        .lines()
        .filter(|line| line.contains("connected"))
        .count();
    assert_eq!(links, 6, "one a direction: {ran:?}");
    assert!(
        ran.stdout
            .trim_end()
            .ends_with("CONVERGED  all regions hold the same carts"),
        "{ran:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn regions_that_differ_end_with_1_whoever_compares() {
    let world = World::start(Faults {
        cut: BTreeSet::from([0]),
        ..Faults::default()
    })
    .await;
    let demo = world.demo_url();
    run(&["cart", "add", "42", "A", "--demo", &demo, "--region", NAMES[0]])
        .await
        .expect(0);
    let ran = run(&["status", "--demo", &demo]).await.expect(1);
    assert!(
        ran.stdout.contains("DIVERGED") && ran.stdout.contains("cart:42  A"),
        "{ran:?}"
    );
    let flags = world.region_flags();
    let mut args = vec!["status", "--json"];
    args.extend(flags.iter().map(String::as_str));
    let report = run(&args).await.expect(1).json();
    assert_eq!(report["converged"], false);
    assert_eq!(report["regions"][0]["status"]["keys"], 1);
    assert_eq!(report["regions"][1]["status"]["keys"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_region_that_is_down_or_not_ready_is_shown_beside_the_others() {
    let world = World::start(Faults {
        unready: BTreeSet::from([1]),
        ..Faults::default()
    })
    .await;
    let ran = run(&["status", "--demo", &world.demo_url()]).await.expect(1);
    assert!(ran.stdout.contains("no: waiting for the store"), "{ran:?}");

    let mut flags = world.region_flags();
    flags.push(format!("--region=gone={}", nobody().await));
    let mut args = vec!["status"];
    args.extend(flags.iter().map(String::as_str));
    let ran = run(&args).await.expect(3);
    assert!(
        ran.stdout.contains("gone") && ran.stdout.contains("us-central1"),
        "{ran:?}"
    );
    assert!(
        ran.stdout.contains("cannot connect") && ran.stdout.contains("UNKNOWN"),
        "{ran:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_nodes_configuration_is_enough_to_ask_it() {
    let world = World::start(Faults::default()).await;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("node.toml");
    let text = format!(
        "[region]\nid = 1\nname = \"us-central1\"\n[http]\nlisten = \"{}\"\n",
        world.regions[0]
    );
    std::fs::write(&file, text).unwrap();
    let ran = run(&["status", "--config", file.to_str().unwrap()])
        .await
        .expect(0);
    assert!(
        ran.stdout.contains("us-central1") && ran.stdout.contains("nothing to compare it with"),
        "{ran:?}"
    );
    let ran = run(&["status", "--config", "/nonexistent/node.toml"])
        .await
        .expect(2);
    assert!(ran.stderr.contains("/nonexistent/node.toml"), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn watching_prints_a_document_a_look_until_ctrl_c() {
    let world = World::start(Faults::default()).await;
    let demo = world.demo_url();
    let mut child = command(&["status", "--demo", &demo, "--watch", "--every", "20ms", "--json"])
        .spawn()
        .unwrap();
    let pid = Pid::from_raw(i32::try_from(child.id().unwrap()).unwrap()).unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    for _ in 0..3 {
        let line = tokio::time::timeout(Duration::from_secs(20), lines.next_line())
            .await
            .unwrap()
            .unwrap()
            .unwrap();
        let look: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(look["converged"], true);
    }
    kill_process(pid, Signal::INT).unwrap();
    finish(child).await.expect(130);
}

#[tokio::test(flavor = "multi_thread")]
async fn watching_stops_when_nobody_reads_any_more() {
    let world = World::start(Faults::default()).await;
    let demo = world.demo_url();
    let mut child = command(&["status", "--demo", &demo, "--watch", "--every", "10ms"])
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let ran = finish(child).await.expect(0);
    assert_eq!(ran.stderr, "", "a closed pipe is no error");
}
