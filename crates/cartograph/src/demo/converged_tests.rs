//! The comparison against stub nodes on real sockets.

use std::collections::HashMap;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::*;

/// A node with hash keys: key -> field -> value. A key's bucket is its length; its digest is its content.
#[derive(Clone, Default)]
struct Stub {
    vector: Value,
    keys: BTreeMap<String, BTreeMap<String, String>>,
    /// Hidden state: differs though no field does.
    hidden: Option<(String, String)>,
    expires: Option<(String, u64)>,
}

type Shared = State<Arc<Stub>>;

impl Stub {
    fn new(sequence: u64) -> Self {
        Self {
            vector: json!({"0": {"1-77": sequence.to_string()}}),
            ..Self::default()
        }
    }

    fn with(mut self, key: &str, field: &str, value: &str) -> Self {
        self.keys
            .entry(key.to_owned())
            .or_default()
            .insert(field.to_owned(), value.to_owned());
        self
    }

    fn digest(&self, key: &str) -> String {
        let hidden = self.hidden.as_ref().filter(|(of, _)| of == key);
        let expires = self.expires.as_ref().filter(|(of, _)| of == key);
        format!("{:?}{hidden:?}{expires:?}", self.keys[key])
    }

    fn bucket(&self, bucket: usize) -> BTreeMap<&String, Value> {
        let keys = self.keys.keys().filter(|key| key.len() == bucket);
        keys.map(|key| (key, json!({"digest": self.digest(key)})))
            .collect()
    }

    async fn serve(self, name: &str) -> Target {
        let router = Router::new()
            .route("/v1/digest", get(digest))
            .route("/v1/digest/keys", get(keys))
            .route("/v1/digest/key", get(key))
            .with_state(Arc::new(self));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let node = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Target {
            name: name.to_owned(),
            node: Ok(node),
        }
    }
}

fn good_query(query: &HashMap<String, String>) -> bool {
    query.get("as_of").is_some_and(|value| value == "1234")
        && query.get("deep").is_some_and(|value| value == "1")
}

async fn digest(State(stub): Shared, Query(query): Query<HashMap<String, String>>) -> Response {
    if !good_query(&query) {
        return StatusCode::BAD_REQUEST.into_response();
    }
    let buckets: Vec<String> = (0..16)
        .map(|bucket| format!("{:?}", stub.bucket(bucket)))
        .collect();
    let body =
        json!({"region": "x", "version_vectors": stub.vector, "as_of": "1234", "buckets": {"0": buckets}});
    axum::Json(body).into_response()
}

async fn keys(State(stub): Shared, Query(query): Query<HashMap<String, String>>) -> Response {
    if !good_query(&query) || query["shard"] != "0" {
        return StatusCode::BAD_REQUEST.into_response();
    }
    axum::Json(json!({"keys": stub.bucket(query["bucket"].parse().unwrap())})).into_response()
}

async fn key(State(stub): Shared, Query(query): Query<HashMap<String, String>>) -> Response {
    let key = &query["key"];
    let Some(fields) = stub.keys.get(key).filter(|_| good_query(&query)) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let expires = stub
        .expires
        .as_ref()
        .filter(|(of, _)| of == key)
        .map(|(_, at)| at);
    axum::Json(json!({"type": "hash", "fields": fields, "expires_at_ms": expires})).into_response()
}

async fn verdict(targets: &[Target]) -> Verdict {
    compare(&Http::new(), targets, 1234, true).await
}

#[tokio::test]
async fn equal_regions_have_converged() {
    let stub = Stub::new(5).with("cart:1", "apple", "2");
    let targets = [
        stub.clone().serve("a").await,
        stub.clone().serve("b").await,
        stub.serve("c").await,
    ];
    assert_eq!(
        verdict(&targets).await,
        Verdict {
            converged: true,
            diff: Vec::new(),
            truncated: false
        }
    );
}

#[tokio::test]
async fn differing_fields_are_named_with_every_regions_value() {
    let same = |sequence| {
        Stub::new(sequence)
            .with("cart:1", "pear", "1")
            .with("cart:22", "fig", "9")
    };
    let a = same(5)
        .with("cart:1", "apple", "2")
        .with("k & ü", "f", "only here");
    let b = same(5).with("cart:1", "apple", "3");
    let c = same(5);
    let got = verdict(&[a.serve("a").await, b.serve("b").await, c.serve("c").await]).await;
    assert!(!got.converged && !got.truncated);
    let shown = serde_json::to_value(&got.diff).unwrap();
    let expected = json!([
        {"kind": "value", "key": "cart:1", "field": "apple", "values": {"a": "2", "b": "3", "c": null}},
        {"kind": "value", "key": "k & ü", "field": "(type)", "values": {"a": "hash", "b": null, "c": null}},
        {"kind": "value", "key": "k & ü", "field": "f", "values": {"a": "only here", "b": null, "c": null}},
    ]);
    assert_eq!(shown, expected);
}

#[tokio::test]
async fn what_no_field_shows_is_still_a_difference() {
    let mut a = Stub::new(5).with("cart:1", "apple", "2");
    let mut b = a.clone();
    a.hidden = Some(("cart:1".to_owned(), "covered".to_owned()));
    let got = verdict(&[a.clone().serve("a").await, b.clone().serve("b").await]).await;
    assert!(!got.converged);
    assert_eq!((got.diff.len(), got.diff[0].field.as_str()), (1, "(digest)"));
    a.hidden = None;
    b.expires = Some(("cart:1".to_owned(), 99));
    let got = verdict(&[a.serve("a").await, b.serve("b").await]).await;
    assert_eq!(got.diff[0].field, "(expires_at_ms)");
    assert_eq!(json!(got.diff[0].values), json!({"a": null, "b": 99}));
}

#[tokio::test]
async fn differing_vectors_are_a_difference_and_a_missing_replica_counts_as_zero() {
    let (a, mut b, mut c) = (Stub::new(5), Stub::new(6), Stub::new(5));
    b.vector = json!({"0": {"1-77": "5", "2-9": "0"}});
    let target = c.clone().serve("c").await;
    assert!(
        verdict(&[a.clone().serve("a").await, b.serve("b").await, target])
            .await
            .converged
    );
    c.vector = json!({"0": {"1-77": "4"}});
    let got = verdict(&[a.serve("a").await, c.serve("c").await]).await;
    assert_eq!(got.diff[0].kind, "version_vector");
    assert_eq!(json!(got.diff[0].values), json!({"a": "5", "c": "4"}));
}

#[tokio::test]
async fn a_region_that_cannot_be_reached_is_named() {
    let stub = Stub::new(5);
    let closed = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let gone = Target {
        name: "gone".to_owned(),
        node: Ok(format!("http://{closed}")),
    };
    let paused = Target {
        name: "paused".to_owned(),
        node: Err("its node is paused".to_owned()),
    };
    let got = verdict(&[stub.serve("a").await, gone, paused]).await;
    assert!(!got.converged);
    let keys: Vec<&str> = got
        .diff
        .iter()
        .map(|difference| difference.key.as_str())
        .collect();
    assert_eq!(keys, ["(region gone)", "(region paused)"]);
    assert_eq!(got.diff[1].values["paused"], json!("its node is paused"));
}

#[tokio::test]
async fn the_answer_is_bounded() {
    let mut a = Stub::new(5);
    for number in 0..150 {
        a = a.with(&format!("key:{number:03}"), "f", "x");
    }
    let got = verdict(&[a.serve("a").await, Stub::new(5).serve("b").await]).await;
    assert!(!got.converged && got.truncated);
    assert_eq!(got.diff.len(), DIFFERENCES_MAX);
}
