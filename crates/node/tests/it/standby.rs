//! Two nodes on one store: one owns it, the other stands by.

use std::sync::Arc;
use std::time::Duration;

use cartograph_node::{Node, clock};
use cartograph_store::{Holder, Lease, Store};
use serde_json::json;

use crate::support::{TestNode, config, eventually, memory};

async fn pair() -> (TestNode, TestNode) {
    let store = memory();
    let owner = TestNode::start_on(config(1, ""), store.clone()).await;
    owner.ready().await;
    let standby = TestNode::start_on(config(1, ""), store).await;
    (owner, standby)
}

async fn add(node: &TestNode, sku: &str) {
    let body = json!({"sku": sku, "quantity": 1});
    let reply = node.http.json("POST", "/v1/carts/c/items", &body).await;
    assert_eq!(reply.status, 200, "{}", reply.text);
}

#[tokio::test]
async fn a_standby_says_who_owns_the_store_and_takes_over_at_once_when_that_one_stops() {
    let (owner, standby) = pair().await;
    add(&owner, "a").await;
    let address = format!("http://{}", owner.node.http_address());
    eventually("the standby names the owner", || async {
        let reply = standby.http.get("/readyz").await;
        (reply.status == 503 && reply.text.contains(&address)).then_some(())
    })
    .await;
    let body = json!({"sku": "b", "quantity": 1});
    let refused = standby.http.json("POST", "/v1/carts/c/items", &body).await;
    let (status, _, outcome) = refused.error();
    assert_eq!((status, outcome.as_str()), (503, "definite"));
    assert_eq!(
        standby.http.lines("c").await,
        "a=1",
        "reads are answered all the same"
    );
    assert!(
        owner.node.why_not_ready().await.is_none(),
        "they do not take turns"
    );

    owner.node.stop().await;
    let stopped = clock::elapsed();
    standby.ready().await;
    let took = clock::elapsed().saturating_sub(stopped);
    assert!(
        took < Duration::from_secs(2),
        "a lease that was given back is not waited for: {took:?}"
    );
    add(&standby, "b").await;
    assert_eq!(standby.http.lines("c").await, "a=1 b=1");
    standby.node.stop().await;
}

#[tokio::test]
async fn an_owner_that_lost_its_lease_steps_back_though_nobody_writes() {
    let store = memory();
    let owner = TestNode::start_on(config(1, ""), store.clone()).await;
    owner.ready().await;
    // As if it had been paused for longer than its lease: another has it now, and has claimed.
    let other = Holder {
        id: "other".to_owned(),
        address: "http://elsewhere:7101".to_owned(),
    };
    let ttl = Duration::from_mins(1);
    eventually("the lease has run out", || async {
        store.lock().expire_lease();
        (store.lock().lease(&other, ttl) == Lease::Held).then_some(())
    })
    .await;
    store.claim(cartograph_crdt::ShardId(0)).await.unwrap();
    eventually("it stands by", || async {
        let reason = owner.node.why_not_ready().await?;
        reason.contains("http://elsewhere:7101").then_some(())
    })
    .await;
    store.end_lease(&other).await.unwrap();
    owner.ready().await;
    owner.node.stop().await;
}

#[tokio::test]
async fn a_node_that_was_killed_and_starts_again_does_not_wait_for_its_own_lease() {
    let store = memory();
    let mut config = config(1, "");
    let first = TestNode::start_on(config.clone(), store.clone()).await;
    first.ready().await;
    // Killed: its port is free, its lease is not given back.
    let address = first.node.http_address();
    let lease = store.lock().lease_holder().unwrap();
    first.node.stop().await;
    assert_eq!(store.lock().lease(&lease, Duration::from_mins(1)), Lease::Held);
    config.http.listen = address;
    let again = Node::start_on(config, Arc::new(store)).await.unwrap();
    eventually("it is ready", || async {
        again.why_not_ready().await.is_none().then_some(())
    })
    .await;
    again.stop().await;
}
