//! Regions that exchange over real sockets.

use serde_json::{Value, json};

use crate::support::{TestNode, config, eventually, regions};

/// All regions have the same vectors and the same deep and kept digests.
async fn converged(nodes: &[TestNode]) {
    for query in ["/v1/digest?as_of=1", "/v1/digest?as_of=1&deep=1"] {
        eventually("the regions converge", || async {
            let mut documents = Vec::new();
            for node in nodes {
                let digest = node.http.get(query).await.json();
                if digest["broken_views"]["count"] != 0 {
                    return None;
                }
                documents.push((digest["version_vectors"].clone(), digest["buckets"].clone()));
            }
            documents.iter().all(|d| *d == documents[0]).then_some(())
        })
        .await;
    }
}

async fn add(node: &TestNode, cart: &str, sku: &str, quantity: i64) -> crate::support::Reply {
    let path = format!("/v1/carts/{cart}/items");
    let reply = node
        .http
        .json("POST", &path, &json!({"sku": sku, "quantity": quantity}))
        .await;
    assert_eq!(reply.status, 200, "{}", reply.text);
    reply
}

async fn stop(nodes: Vec<TestNode>) {
    for node in nodes {
        node.node.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_regions_sum_their_adds_and_agree() {
    let nodes = regions(2).await;
    for round in 0..20 {
        for node in &nodes {
            add(node, "c", &format!("sku{}", round % 3), 1).await;
        }
    }
    converged(&nodes).await;
    for node in &nodes {
        assert_eq!(node.http.lines("c").await, "sku0=14 sku1=14 sku2=12");
    }
    // Converged is what was applied; that the peer has applied it is known an acknowledgement later.
    let status = eventually("everything is acknowledged", || async {
        let status = nodes[0].http.get("/v1/status").await.json();
        (status["peers"]["region-2"]["entries_behind"] == 0).then_some(status)
    })
    .await;
    assert_eq!(status["peers"]["region-2"]["connected"], true, "{status}");
    assert_eq!(status["members"], json!({"1": "region-1", "2": "region-2"}));
    stop(nodes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_reads_its_writes_in_another_region() {
    let nodes = regions(2).await;
    for n in 1..=30 {
        let token = add(&nodes[0], "c", "a", 1).await.token.unwrap();
        let headers = [("cartograph-session", token.as_str())];
        let there = nodes[1].http.send("GET", "/v1/carts/c", &headers, "").await;
        assert_eq!(there.json()["lines"][0]["quantity"], n);
    }
    stop(nodes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_is_ahead_waits_no_longer_than_it_may() {
    let mut nodes = regions(2).await;
    nodes[0].node.peers().remove("region-2");
    nodes[1].node.peers().remove("region-1");
    let token = add(&nodes[0], "c", "a", 1).await.token.unwrap();
    // A cut may come after the write went out: another region that never heard of it at all must not wait for ever.
    let stranger = TestNode::start(config(9, "")).await;
    stranger.ready().await;
    let headers = [("cartograph-session", token.as_str())];
    let behind = stranger.http.send("GET", "/v1/carts/c", &headers, "").await;
    assert_eq!(behind.error(), (504, "CG-3006".to_owned(), "definite".to_owned()));
    nodes.push(stranger);
    stop(nodes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_regions_agree_after_one_link_was_down_and_another_relayed() {
    let nodes = regions(3).await;
    // Neither of 1 and 3 dials the other: what they write goes by way of 2.
    nodes[0].node.peers().remove("region-3");
    nodes[2].node.peers().remove("region-1");
    add(&nodes[0], "c", "from-1", 1).await;
    add(&nodes[2], "c", "from-3", 3).await;
    eventually("region 2 relays", || async {
        let there = nodes[2].http.lines("c").await;
        let here = nodes[0].http.lines("c").await;
        (here == there && here == "from-1=1 from-3=3").then_some(())
    })
    .await;
    converged(&nodes).await;
    stop(nodes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_region_added_while_running_catches_up_and_writes() {
    let mut nodes = regions(2).await;
    for n in 0..50 {
        add(&nodes[0], &format!("c{n}"), "a", n + 1).await;
    }
    let mut config = config(3, "");
    config.cluster.bootstrap = false;
    for (id, node) in (1..).zip(&nodes) {
        config.peers.push(node.peer(id));
    }
    let third = TestNode::start(config).await;
    let body = json!({"id": 3, "address": third.peer(3).address});
    for node in &nodes {
        let put = node.http.json("PUT", "/v1/admin/peers/region-3", &body).await;
        assert_eq!(put.status, 200, "{}", put.text);
    }
    third.ready().await;
    assert_eq!(third.http.lines("c49").await, "a=50");
    add(&third, "c0", "b", 7).await;
    nodes.push(third);
    converged(&nodes).await;
    assert_eq!(nodes[0].http.lines("c0").await, "a=1 b=7");
    stop(nodes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_region_that_was_stopped_gets_what_it_missed() {
    let mut nodes = regions(2).await;
    let second = nodes.pop().unwrap();
    add(&nodes[0], "c", "a", 1).await;
    eventually("it arrives", || async {
        (second.http.lines("c").await == "a=1").then_some(())
    })
    .await;
    let store = second.store.clone();
    second.node.stop().await;
    add(&nodes[0], "c", "a", 1).await;
    let mut config = config(2, "");
    config.cluster.bootstrap = false;
    config.peers.push(nodes[0].peer(1));
    let second = TestNode::start_on(config, store).await;
    nodes[0].node.peers().put(second.peer(2)).unwrap();
    second.ready().await;
    nodes.push(second);
    converged(&nodes).await;
    assert_eq!(nodes[1].http.lines("c").await, "a=2");
    stop(nodes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forgotten_region_is_waited_for_no_more_and_refused() {
    let nodes = regions(2).await;
    let reply = nodes[0]
        .http
        .send("POST", "/v1/admin/forget/region-2", &[], "")
        .await;
    assert_eq!(reply.status, 200, "{}", reply.text);
    let status = nodes[0].http.get("/v1/status").await.json();
    assert_eq!(status["members"], json!({"1": "region-1"}));
    eventually("the forgotten region hears that it is refused", || async {
        let status = nodes[1].http.get("/v1/status").await.json();
        let error = status["peers"]["region-1"]["error"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        error.contains("no member").then_some(())
    })
    .await;
    let ourselves = nodes[0]
        .http
        .send("POST", "/v1/admin/forget/region-1", &[], "")
        .await;
    assert_eq!(ourselves.error().0, 409);
    stop(nodes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_address_or_cluster_is_refused_in_words() {
    let mut other = config(2, "");
    other.cluster.name = "other".to_owned();
    let other = TestNode::start(other).await;
    other.ready().await;
    let node = TestNode::alone().await;
    node.node.peers().put(other.peer(2)).unwrap();
    let error = |node: &TestNode| {
        let http = node.http.clone();
        async move {
            let status: Value = http.get("/v1/status").await.json();
            status["peers"]["region-2"]["error"].as_str().map(str::to_owned)
        }
    };
    let found = eventually("the refusal shows", || error(&node)).await;
    assert!(
        found.contains("belongs to cluster") && found.contains("other"),
        "{found}"
    );
    stop(vec![node, other]).await;
}
