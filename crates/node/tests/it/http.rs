//! The HTTP door of a region alone.

use cartograph_replica::commit::{ViewChange, ViewContent, ViewExpiry};
use serde_json::json;

use crate::support::{TestNode, eventually, lines};

#[tokio::test]
async fn a_cart_is_written_and_read_as_the_interface_says() {
    let node = TestNode::alone().await;
    let http = &node.http;
    let empty = http.get("/v1/carts/42").await;
    assert_eq!(
        empty.json(),
        json!({"cart_id": "42", "region": "region-1", "lines": []})
    );
    let added = http
        .json(
            "POST",
            "/v1/carts/42/items",
            &json!({"sku": "pear", "quantity": 2}),
        )
        .await;
    assert_eq!(added.status, 200, "{}", added.text);
    http.json(
        "POST",
        "/v1/carts/42/items",
        &json!({"sku": "apple", "quantity": 5}),
    )
    .await;
    let less = http
        .json(
            "POST",
            "/v1/carts/42/items",
            &json!({"sku": "apple", "quantity": -1}),
        )
        .await;
    assert_eq!(
        less.json(),
        json!({"cart_id": "42", "region": "region-1",
               "lines": [{"sku": "apple", "quantity": 4}, {"sku": "pear", "quantity": 2}]})
    );
    assert_eq!(http.get("/v1/carts/42").await.json(), less.json());
    let set = http
        .json("PUT", "/v1/carts/42/items/pear", &json!({"quantity": 9}))
        .await;
    assert_eq!(lines(&set.json()), "apple=4 pear=9");
    let removed = http.send("DELETE", "/v1/carts/42/items/apple", &[], "").await;
    assert_eq!(lines(&removed.json()), "pear=9");
    let absent = http.send("DELETE", "/v1/carts/42/items/nothing", &[], "").await;
    assert_eq!(
        (absent.status.as_u16(), lines(&absent.json())),
        (200, "pear=9".to_owned())
    );
    http.json(
        "POST",
        "/v1/carts/anon/items",
        &json!({"sku": "fig", "quantity": 3}),
    )
    .await;
    for _ in 0..2 {
        let merged = http
            .json("POST", "/v1/carts/42/merge", &json!({"from": "anon"}))
            .await;
        assert_eq!(lines(&merged.json()), "fig=3 pear=9", "folding twice counts once");
    }
    let cleared = http.send("DELETE", "/v1/carts/42", &[], "").await;
    assert_eq!(lines(&cleared.json()), "");
    node.node.stop().await;
}

#[tokio::test]
async fn names_may_hold_anything_that_a_url_can_carry() {
    let node = TestNode::alone().await;
    let path = "/v1/carts/a%2Fb%20c/items/%C3%A9%2F%3F";
    let set = node.http.json("PUT", path, &json!({"quantity": 1})).await;
    assert_eq!(set.json()["cart_id"], "a/b c");
    assert_eq!(lines(&set.json()), "é/?=1");
    node.node.stop().await;
}

/// Method, path, headers, body; then the status and the code that they get.
type Case<'a> = (&'a str, &'a str, &'a [(&'a str, &'a str)], &'a str, u16, &'a str);

/// Each gets its status and code, and after all of them the cart is as empty as before.
async fn all_refused(cases: &[Case<'_>]) {
    let node = TestNode::alone().await;
    for (method, path, headers, body, status, code) in cases {
        let reply = node.http.send(method, path, headers, (*body).to_owned()).await;
        let short: String = body.chars().take(60).collect();
        assert_eq!(
            reply.error(),
            (*status, (*code).to_owned(), "definite".to_owned()),
            "{method} {path} {short}"
        );
    }
    assert_eq!(node.http.lines("c").await, "");
    node.node.stop().await;
}

#[tokio::test]
async fn names_and_quantities_out_of_range_are_refused() {
    let json_type = ("content-type", "application/json");
    let long = "x".repeat(257);
    let items = "/v1/carts/c/items";
    let long_cart = format!("/v1/carts/{long}");
    let long_sku = format!(r#"{{"sku":"{long}","quantity":1}}"#);
    let cases: &[Case<'_>] = &[
        ("GET", &long_cart, &[], "", 400, "CG-1001"),
        ("GET", "/v1/carts/%20a", &[], "", 400, "CG-1001"),
        ("GET", "/v1/carts/a%00", &[], "", 400, "CG-1001"),
        (
            "POST",
            items,
            &[json_type],
            r#"{"sku":"","quantity":1}"#,
            400,
            "CG-1002",
        ),
        ("POST", items, &[json_type], &long_sku, 400, "CG-1002"),
        (
            "POST",
            items,
            &[json_type],
            r#"{"sku":"a\n","quantity":1}"#,
            400,
            "CG-1002",
        ),
        (
            "POST",
            items,
            &[json_type],
            r#"{"sku":"a","quantity":0}"#,
            400,
            "CG-1003",
        ),
        (
            "POST",
            items,
            &[json_type],
            r#"{"sku":"a","quantity":1000000001}"#,
            400,
            "CG-1003",
        ),
        (
            "POST",
            items,
            &[json_type],
            r#"{"sku":"a","quantity":-1000000001}"#,
            400,
            "CG-1003",
        ),
        (
            "PUT",
            "/v1/carts/c/items/a",
            &[json_type],
            r#"{"quantity":0}"#,
            400,
            "CG-1003",
        ),
        (
            "PUT",
            "/v1/carts/c/items/a",
            &[json_type],
            r#"{"quantity":-1}"#,
            400,
            "CG-1003",
        ),
    ];
    all_refused(cases).await;
}

#[tokio::test]
async fn bodies_that_are_not_what_is_expected_are_refused() {
    let json_type = ("content-type", "application/json");
    let many = format!(r#"{{"sku":"a","quantity":1,"x":"{}"}}"#, "x".repeat(70_000));
    let items = "/v1/carts/c/items";
    let cases: &[Case<'_>] = &[
        (
            "POST",
            items,
            &[json_type],
            r#"{"sku":"a","quantity":1.5}"#,
            400,
            "CG-1004",
        ),
        (
            "POST",
            items,
            &[json_type],
            r#"{"sku":"a","quantity":"1"}"#,
            400,
            "CG-1004",
        ),
        ("POST", items, &[json_type], r#"{"sku":"a"}"#, 400, "CG-1004"),
        (
            "POST",
            items,
            &[json_type],
            r#"{"sku":"a","quantity":99999999999999999999}"#,
            400,
            "CG-1004",
        ),
        ("POST", items, &[json_type], "", 400, "CG-1004"),
        ("POST", items, &[json_type], "\u{0}", 400, "CG-1004"),
        ("POST", items, &[json_type], &many, 413, "CG-1005"),
        ("POST", items, &[], r#"{"sku":"a","quantity":1}"#, 415, "CG-1006"),
        (
            "POST",
            items,
            &[("content-type", "text/plain")],
            r#"{"sku":"a","quantity":1}"#,
            415,
            "CG-1006",
        ),
    ];
    all_refused(cases).await;
}

#[tokio::test]
async fn paths_methods_keys_and_tokens_that_are_wrong_are_refused() {
    let json_type = ("content-type", "application/json");
    let long = "x".repeat(257);
    let items = "/v1/carts/c/items";
    let cases: &[Case<'_>] = &[
        ("GET", "/v2/carts", &[], "", 404, "CG-1007"),
        ("GET", "/", &[], "", 404, "CG-1007"),
        ("PATCH", "/v1/carts/c", &[], "", 405, "CG-1008"),
        (
            "POST",
            items,
            &[json_type, ("idempotency-key", "")],
            r#"{"sku":"a","quantity":1}"#,
            400,
            "CG-1009",
        ),
        (
            "POST",
            items,
            &[json_type, ("idempotency-key", &long)],
            r#"{"sku":"a","quantity":1}"#,
            400,
            "CG-1009",
        ),
        (
            "GET",
            "/v1/carts/c",
            &[("cartograph-session", "!")],
            "",
            400,
            "CG-1010",
        ),
        (
            "POST",
            "/v1/carts/c/merge",
            &[json_type],
            r#"{"from":"c"}"#,
            409,
            "CG-2011",
        ),
    ];
    all_refused(cases).await;
}

#[tokio::test]
async fn wrong_parameters_and_peers_are_refused() {
    let json_type = ("content-type", "application/json");
    let cases: &[Case<'_>] = &[
        ("GET", "/v1/digest?as_of=soon", &[], "", 400, "CG-1011"),
        ("GET", "/v1/digest?deep=2", &[], "", 400, "CG-1011"),
        ("GET", "/v1/digest/keys?bucket=256", &[], "", 400, "CG-1011"),
        ("GET", "/v1/digest/keys?shard=7&bucket=1", &[], "", 400, "CG-1011"),
        ("GET", "/v1/digest/key", &[], "", 400, "CG-1011"),
        (
            "PUT",
            "/v1/admin/peers/eu",
            &[json_type],
            r#"{"id":2,"address":"eu:1"}"#,
            400,
            "CG-1013",
        ),
        (
            "PUT",
            "/v1/admin/peers/eu",
            &[json_type],
            r#"{"id":0,"address":"http://eu:1"}"#,
            400,
            "CG-1013",
        ),
        (
            "PUT",
            "/v1/admin/peers/eu",
            &[json_type],
            r#"{"id":1,"address":"http://eu:1"}"#,
            400,
            "CG-1013",
        ),
        ("DELETE", "/v1/admin/peers/eu", &[], "", 404, "CG-1014"),
        ("POST", "/v1/admin/forget/eu", &[], "", 404, "CG-1014"),
    ];
    all_refused(cases).await;
}

#[tokio::test]
async fn a_full_cart_takes_no_new_line_and_more_of_an_old_one() {
    let mut config = crate::support::config(1, "");
    config.carts.lines_max = 2;
    let node = TestNode::start(config).await;
    node.ready().await;
    for sku in ["a", "b"] {
        node.http
            .json("POST", "/v1/carts/c/items", &json!({"sku": sku, "quantity": 1}))
            .await;
    }
    let full = node
        .http
        .json("POST", "/v1/carts/c/items", &json!({"sku": "z", "quantity": 1}))
        .await;
    assert_eq!(full.error(), (409, "CG-2009".to_owned(), "definite".to_owned()));
    let more = node
        .http
        .json("POST", "/v1/carts/c/items", &json!({"sku": "a", "quantity": 1}))
        .await;
    assert_eq!(lines(&more.json()), "a=2 b=1");
    node.node.stop().await;
}

#[tokio::test]
async fn a_retry_with_the_same_key_counts_once() {
    let node = TestNode::alone().await;
    let headers = [
        ("content-type", "application/json"),
        ("idempotency-key", "order-7"),
    ];
    let body = r#"{"sku":"a","quantity":3}"#;
    for _ in 0..3 {
        let reply = node.http.send("POST", "/v1/carts/c/items", &headers, body).await;
        assert_eq!(
            (reply.status.as_u16(), lines(&reply.json())),
            (200, "a=3".to_owned())
        );
    }
    let other = node
        .http
        .send(
            "POST",
            "/v1/carts/c/items",
            &headers,
            r#"{"sku":"a","quantity":4}"#,
        )
        .await;
    assert_eq!(other.error(), (409, "CG-2010".to_owned(), "definite".to_owned()));
    assert_eq!(node.http.lines("c").await, "a=3");
    node.node.stop().await;
}

#[tokio::test]
async fn status_says_what_the_interface_promises_and_more() {
    let node = TestNode::alone().await;
    node.http
        .json("POST", "/v1/carts/c/items", &json!({"sku": "a", "quantity": 1}))
        .await;
    let status = node.http.get("/v1/status").await.json();
    assert_eq!(status["region"], "region-1");
    assert_eq!(status["region_id"], 1);
    assert_eq!(status["ready"], true);
    assert_eq!(status["peers"], json!({}));
    assert!(status["store"].as_str().unwrap().starts_with("memory"));
    assert_eq!(status["keys"], 1);
    let shard = &status["shards"][0];
    assert_eq!(shard["shard"], 0);
    let vector = shard["version_vector"].as_object().unwrap();
    assert!(
        vector.iter().all(|(r, n)| r.starts_with("1-") && n.is_string()),
        "{shard}"
    );
    assert_eq!(node.http.get("/healthz").await.status, 200);
    assert_eq!(node.http.get("/readyz").await.status, 200);
    let metrics = node.http.get("/metrics").await.text;
    for line in [
        "cartograph_ready 1",
        "cartograph_store_up 1",
        "cartograph_keys 1",
        "cartograph_request_duration_seconds_count{door=\"http\",operation=\"add_item\"} 1",
    ] {
        assert!(metrics.contains(line), "{line}\n{metrics}");
    }
    node.node.stop().await;
}

#[tokio::test]
async fn explain_names_who_wrote_what() {
    let node = TestNode::alone().await;
    node.http
        .json("PUT", "/v1/carts/c/items/a", &json!({"quantity": 3}))
        .await;
    node.http
        .json("POST", "/v1/carts/c/items", &json!({"sku": "a", "quantity": 2}))
        .await;
    let document = node.http.get("/v1/carts/c/explain").await.json();
    let line = &document["lines"][0];
    assert_eq!((&line["sku"], &line["quantity"]), (&json!("a"), &json!(5)));
    let kinds: Vec<_> = line["writes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|w| &w["kind"])
        .collect();
    assert_eq!(kinds, [&json!("set"), &json!("add")]);
    assert_eq!(line["writes"][0]["region"], "region-1");
    node.node.stop().await;
}

#[tokio::test]
async fn the_deep_digest_sees_a_view_that_somebody_broke_and_the_scrub_mends_it() {
    let mut config = crate::support::config(1, "");
    config.limits.scrub_keys_per_second = 0;
    let node = TestNode::start(config.clone()).await;
    node.ready().await;
    node.http
        .json("POST", "/v1/carts/c/items", &json!({"sku": "a", "quantity": 1}))
        .await;
    let before = node.http.get("/v1/digest?deep=1").await.json();
    assert_eq!(before["broken_views"]["count"], 0);
    let shallow = node.http.get("/v1/digest").await.json();
    assert_eq!(shallow["buckets"]["0"].as_array().unwrap().len(), 256);
    assert!(
        shallow["buckets"]["0"]
            .as_array()
            .unwrap()
            .iter()
            .any(|b| b != "0000000000000000")
    );
    let tamper = ViewChange {
        key: b"cart:c".to_vec(),
        replace: false,
        content: ViewContent::Hash {
            set: vec![(b"a".to_vec(), b"7".to_vec())],
            delete: Vec::new(),
        },
        expiry: ViewExpiry::Unchanged,
    };
    node.store.lock().tamper(&tamper).unwrap();
    let after = node.http.get("/v1/digest?deep=1").await.json();
    assert_eq!(after["broken_views"], json!({"count": 1, "keys": ["cart:c"]}));
    assert_ne!(after["buckets"], before["buckets"]);
    let key = node.http.get("/v1/digest/key?key=cart:c&deep=1").await.json();
    assert_eq!((&key["type"], &key["fields"]["a"]), (&json!("hash"), &json!("7")));
    let kept = node.http.get("/v1/digest/key?key=cart:c").await.json();
    assert_eq!(kept["fields"]["a"], "1");
    node.node.stop().await;
    config.limits.scrub_keys_per_second = 1_000;
    let node = TestNode::start_on(config, node.store).await;
    node.ready().await;
    eventually("the scrub has mended the view", || async {
        (node.http.lines("c").await == "a=1").then_some(())
    })
    .await;
    assert!(
        node.http
            .get("/metrics")
            .await
            .text
            .contains("cartograph_view_repairs_total 1")
    );
    node.node.stop().await;
}

#[tokio::test]
async fn a_stopped_node_answers_no_more_and_its_writes_are_there_when_it_is_back() {
    let node = TestNode::alone().await;
    let replica = node.http.get("/v1/status").await.json()["shards"][0]["replica"].clone();
    node.http
        .json("POST", "/v1/carts/c/items", &json!({"sku": "a", "quantity": 1}))
        .await;
    let store = node.store.clone();
    node.node.stop().await;
    store.lock().set_server("another life");
    let node = TestNode::start_on(crate::support::config(1, ""), store).await;
    node.ready().await;
    assert_eq!(node.http.lines("c").await, "a=1");
    let now = node.http.get("/v1/status").await.json()["shards"][0]["replica"].clone();
    assert_ne!(now, replica, "another life of the store, another incarnation");
    node.node.stop().await;
}
