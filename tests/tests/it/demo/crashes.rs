//! Nodes and Redis servers that are killed, emptied and set back while shoppers are at work.
//!
//! What may be lost is only what no region holds any more; where a store goes back in time, the others bring back what it
//! had told them, and a new incarnation writes.

use rustix::process::Signal;
use serde_json::json;

use super::harness::{ASIA, Demo, EU, US, WAIT_MAX, eventually, lives, signal};
use super::load::Load;

const ALL: [usize; 3] = [US, EU, ASIA];
const OTHERS: [usize; 2] = [EU, ASIA];

async fn finish(demo: Demo, load: Load) {
    let ledger = load.stop().await;
    demo.heal().await;
    let took = demo.converges().await;
    println!("converged {took:?} after the load");
    ledger.check(&demo).await;
    demo.stop().await;
}

#[tokio::test]
async fn a_killed_node_loses_nothing_and_goes_on_as_the_same_replica() {
    let demo = Demo::start().await;
    let load = Load::start(&demo);
    load.acknowledges(&ALL, 30).await;
    let before = demo.replica(US).await;
    demo.act(US, "kill").await;
    load.acknowledges(&OTHERS, 30).await;
    demo.act(US, "start").await;
    load.acknowledges(&ALL, 30).await;
    assert_eq!(demo.replica(US).await, before, "its store lived on");
    finish(demo, load).await;
}

#[tokio::test]
async fn a_killed_redis_comes_back_with_its_append_only_file_and_as_another_incarnation() {
    let demo = Demo::start().await;
    let load = Load::start(&demo);
    load.acknowledges(&ALL, 30).await;
    let before = demo.replica(US).await;
    demo.act(US, "store/kill").await;
    load.acknowledges(&OTHERS, 30).await;
    demo.act(US, "store/start").await;
    let took = demo.ready(US).await;
    println!("ready {took:?} after its Redis was back");
    load.acknowledges(&ALL, 30).await;
    assert_ne!(demo.replica(US).await, before);
    // Node and Redis at once.
    demo.act(US, "kill").await;
    demo.act(US, "store/kill").await;
    load.acknowledges(&OTHERS, 30).await;
    demo.act(US, "store/start").await;
    demo.act(US, "start").await;
    load.acknowledges(&ALL, 30).await;
    finish(demo, load).await;
}

#[tokio::test]
async fn an_emptied_redis_is_filled_again_by_the_other_regions() {
    let demo = Demo::start().await;
    let load = Load::start(&demo);
    load.acknowledges(&ALL, 40).await;
    // What no other region had would rightly be lost with the store.
    let ledger = load.stop().await;
    demo.converges().await;
    let before = demo.replica(US).await;
    demo.act(US, "store/wipe").await;
    // Nobody writes: the node has to notice by itself.
    demo.renewed(US, &before).await;
    let took = demo.ready(US).await;
    println!("ready {took:?} after its Redis was found empty");
    demo.converges().await;
    ledger.check(&demo).await;
    let load = Load::start(&demo);
    load.acknowledges(&ALL, 20).await;
    load.stop().await;
    demo.converges().await;
    demo.stop().await;
}

#[tokio::test]
async fn a_redis_that_goes_back_in_time_gets_back_what_the_others_were_told() {
    let demo = Demo::start().await;
    let load = Load::start(&demo);
    load.acknowledges(&ALL, 30).await;
    demo.act(US, "store/snapshot").await;
    load.acknowledges(&ALL, 30).await;
    let ledger = load.stop().await;
    demo.converges().await;
    let before = demo.replica(US).await;
    demo.act(US, "store/rollback").await;
    let after = demo.renewed(US, &before).await;
    demo.ready(US).await;
    let took = demo.converges().await;
    println!("converged {took:?} after the rollback was noticed");
    ledger.check(&demo).await;
    let status = demo.status(EU).await;
    let vector = &status["shards"][0]["version_vector"];
    assert!(vector.get(&before).is_some(), "the others know the closed life");
    demo.regions[US].adds("after", "line", 1).await;
    eventually("the new incarnation's write is elsewhere", WAIT_MAX, async || {
        demo.regions[EU].cart("after").await == [("line".to_owned(), 1)]
    })
    .await;
    let status = demo.status(EU).await;
    assert!(status["shards"][0]["version_vector"].get(&after).is_some());
    demo.stop().await;
}

#[tokio::test]
async fn a_region_set_back_while_alone_never_uses_a_dot_twice() {
    let demo = Demo::start().await;
    let us = &demo.regions[US];
    us.adds("cart", "early", 1).await;
    demo.act(US, "store/snapshot").await;
    // Told to others, and forgotten by the older Redis.
    for n in 0..5 {
        us.adds("cart", &format!("told-{n}"), 1).await;
    }
    demo.converges().await;
    demo.isolate(US).await;
    us.adds("cart", "told-to-nobody", 1).await;
    let before = demo.replica(US).await;
    demo.act(US, "kill").await;
    demo.act(US, "store/rollback").await;
    // Alone with the older Redis, under the same sequence numbers as before.
    demo.act(US, "start").await;
    assert_ne!(demo.replica(US).await, before);
    for n in 0..7 {
        us.adds("cart", &format!("anew-{n}"), 1).await;
    }
    demo.regions[EU].adds("cart", "elsewhere", 1).await;
    demo.heal().await;
    let took = demo.converges().await;
    println!("converged {took:?} after the heal");
    let mut expected = vec!["early".to_owned(), "elsewhere".to_owned()];
    expected.extend((0..7).map(|n| format!("anew-{n}")));
    expected.extend((0..5).map(|n| format!("told-{n}")));
    expected.sort();
    for region in &demo.regions {
        let lines = region.cart("cart").await;
        assert!(lines.iter().all(|(_, quantity)| *quantity == 1), "{lines:?}");
        let skus: Vec<String> = lines.into_iter().map(|(sku, _)| sku).collect();
        assert_eq!(skus, expected, "in {}", region.name);
    }
    demo.stop().await;
}

#[tokio::test]
async fn a_node_that_is_asked_to_stop_answers_what_it_began_and_ends_well() {
    let demo = Demo::start().await;
    let load = Load::start(&demo);
    load.acknowledges(&ALL, 30).await;
    let (node, _) = demo.pids(US).await;
    let node = node.unwrap();
    signal(node, Signal::TERM);
    eventually("the node ends", WAIT_MAX, async || !lives(node)).await;
    let view = demo
        .api(super::http::Request::new(
            "GET",
            format!("/api/regions/{}", demo.regions[US].name),
        ))
        .await;
    println!("the demo says {}", view.text());
    // An exit code other than 0 would be named here.
    let exit = view.json()["exit"].clone();
    assert!(exit.is_null() || exit.as_str().unwrap().contains('0'), "{exit}");
    load.acknowledges(&OTHERS, 20).await;
    demo.act(US, "start").await;
    load.acknowledges(&ALL, 20).await;
    finish(demo, load).await;
}

#[tokio::test]
async fn a_paused_region_is_waited_for_and_catches_up() {
    let demo = Demo::start().await;
    let load = Load::start(&demo);
    load.acknowledges(&ALL, 20).await;
    demo.act(ASIA, "pause").await;
    load.acknowledges(&[US, EU], 40).await;
    demo.link(US, EU, json!({"latency_ms": 5})).await;
    demo.act(ASIA, "resume").await;
    load.acknowledges(&ALL, 20).await;
    finish(demo, load).await;
}
