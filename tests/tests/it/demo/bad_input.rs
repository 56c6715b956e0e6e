//! Whatever a client sends, the answer is a clear error and nothing has changed.

use serde_json::{Value, json};

use super::harness::{Demo, EU, US, lines};
use super::http::{NO_HEADER, Request, segment};

const ITEMS: &str = "/v1/carts/cart/items";
const LINE: &str = "/v1/carts/cart/items/tea";

/// What is sent, and the status and code that must come back.
struct Case {
    what: String,
    request: Request,
    status: u16,
    code: &'static str,
}

fn case(what: impl Into<String>, request: Request, status: u16, code: &'static str) -> Case {
    Case {
        what: what.into(),
        request,
        status,
        code,
    }
}

#[expect(clippy::needless_pass_by_value, reason = "what json! makes")]
fn item(quantity: Value) -> Request {
    Request::new("POST", ITEMS).json(&json!({"sku": "tea", "quantity": quantity}))
}

fn quantities() -> Vec<Case> {
    let billion = 1_000_000_000_i64;
    let mut cases = vec![
        case("add 0", item(json!(0)), 400, "CG-1003"),
        case("add too many", item(json!(billion + 1)), 400, "CG-1003"),
        case("take too many", item(json!(-billion - 1)), 400, "CG-1003"),
        case("add i64::MAX", item(json!(i64::MAX)), 400, "CG-1003"),
        case("add i64::MIN", item(json!(i64::MIN)), 400, "CG-1003"),
    ];
    for quantity in [
        json!(1.5),
        json!("1"),
        json!(null),
        json!(true),
        json!([1]),
        json!(u64::MAX),
        json!(1e30),
    ] {
        cases.push(case(format!("add {quantity}"), item(quantity), 400, "CG-1004"));
    }
    for quantity in [0, -1, billion + 1] {
        let request = Request::new("PUT", LINE).json(&json!({"quantity": quantity}));
        cases.push(case(format!("set {quantity}"), request, 400, "CG-1003"));
    }
    cases
}

fn names() -> Vec<Case> {
    let mut cases = Vec::new();
    let (long, spaced, odd) = ("x".repeat(257), " tea", "te\u{7}a");
    let wide = "\u{e9}".repeat(129);
    for sku in ["", &long, &wide, spaced, "tea ", odd, "tea\n", "\u{85}"] {
        let request = Request::new("POST", ITEMS).json(&json!({"sku": sku, "quantity": 1}));
        cases.push(case(format!("SKU {sku:?} in a body"), request, 400, "CG-1002"));
        if sku.is_empty() {
            continue;
        }
        let path = format!("/v1/carts/cart/items/{}", segment(sku));
        let put = Request::new("PUT", path.clone()).json(&json!({"quantity": 1}));
        cases.push(case(format!("SKU {sku:?} in a path"), put, 400, "CG-1002"));
        cases.push(case(
            format!("remove {sku:?}"),
            Request::new("DELETE", path),
            400,
            "CG-1002",
        ));
        let cart = format!("/v1/carts/{}", segment(sku));
        cases.push(case(
            format!("cart {sku:?}"),
            Request::new("GET", cart.clone()),
            400,
            "CG-1001",
        ));
        let into = Request::new("POST", format!("{cart}/items")).json(&json!({"sku": "tea", "quantity": 1}));
        cases.push(case(format!("add to cart {sku:?}"), into, 400, "CG-1001"));
        let from = Request::new("POST", "/v1/carts/cart/merge").json(&json!({"from": sku}));
        cases.push(case(format!("fold {sku:?} in"), from, 400, "CG-1001"));
    }
    for path in ["/v1/carts/a%ffb", "/v1/carts/%c3%28", "/v1/carts/cart/items/%ff"] {
        let method = if path.contains("items") { "DELETE" } else { "GET" };
        cases.push(case(path, Request::new(method, path), 400, "CG-1011"));
    }
    cases
}

fn bodies() -> Vec<Case> {
    let post = || Request::new("POST", ITEMS);
    let good = r#"{"sku":"tea","quantity":1}"#;
    let mut cases = Vec::new();
    for body in [
        "",
        "{",
        "null",
        "[]",
        "7",
        "{}",
        r#"{"sku":"tea"}"#,
        r#"{"quantity":1}"#,
        r#"{"sku":7,"quantity":1}"#,
        r#"{"sku":"tea","quantity":1}}"#,
        r#"{"sku":"tea","quantity":1,"quantity":2}"#,
    ] {
        cases.push(case(format!("body {body:?}"), post().raw(body), 400, "CG-1004"));
    }
    let torn = b"{\"sku\":\"te\xffa\",\"quantity\":1}".to_vec();
    cases.push(case("a body that is no UTF-8", post().raw(torn), 400, "CG-1004"));
    let deep = "[".repeat(10_000);
    cases.push(case("a deep body", post().raw(deep), 400, "CG-1004"));
    let large = format!(r#"{{"sku":"tea","quantity":1,"more":"{}"}}"#, "x".repeat(70_000));
    cases.push(case("a large body", post().raw(large), 413, "CG-1005"));
    for kind in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/jsonp",
        NO_HEADER,
    ] {
        let request = post().raw(good).header("content-type", kind);
        cases.push(case(format!("content type {kind}"), request, 415, "CG-1006"));
    }
    cases
}

fn paths() -> Vec<Case> {
    let mut cases = Vec::new();
    for path in [
        "/",
        "/v1",
        "/v1/carts",
        "/v1/carts/",
        "/v1/carts/cart/item",
        "/v1/carts/cart/items/",
        "/v2/carts/cart",
        "/v1/carts/cart/items/a/b",
        "/api/links",
    ] {
        cases.push(case(path, Request::new("GET", path), 404, "CG-1007"));
    }
    for (method, path) in [
        ("PUT", "/v1/carts/cart"),
        ("POST", "/v1/carts/cart"),
        ("PATCH", "/v1/carts/cart"),
        ("GET", ITEMS),
        ("DELETE", ITEMS),
        ("POST", LINE),
        ("GET", "/v1/carts/cart/merge"),
        ("POST", "/v1/status"),
        ("DELETE", "/metrics"),
    ] {
        let what = format!("{method} {path}");
        cases.push(case(what, Request::new(method, path), 405, "CG-1008"));
    }
    for query in ["deep=2", "as_of=x", "as_of=-1"] {
        let request = Request::new("GET", format!("/v1/digest?{query}"));
        cases.push(case(query, request, 400, "CG-1011"));
    }
    cases
}

#[tokio::test]
async fn a_region_refuses_what_is_no_cart_command_and_changes_nothing() {
    let demo = Demo::start().await;
    let us = &demo.regions[US];
    us.adds("cart", "tea", 2).await;
    demo.converges().await;
    let state = async || demo.status(US).await["shards"][0]["version_vector"].clone();
    let before = state().await;
    let mut wrong = Vec::new();
    let cases = [quantities(), names(), bodies(), paths()];
    let count: usize = cases.iter().map(Vec::len).sum();
    for case in cases.into_iter().flatten() {
        let reply = us.sends(case.request).await;
        let document: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
        let message = document["error"]["message"].as_str().unwrap_or_default();
        let outcome = document["error"]["outcome"].as_str();
        let right = reply.status == case.status
            && reply.code().as_deref() == Some(case.code)
            && outcome == Some("definite")
            && !message.is_empty();
        if !right {
            wrong.push(format!(
                "{}: expected {} {}, got {reply:?}",
                case.what, case.status, case.code
            ));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {count}:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    assert_eq!(state().await, before, "nothing was written");
    assert_eq!(us.cart("cart").await, [("tea".to_owned(), 2)]);
    demo.stop().await;
}

#[tokio::test]
async fn the_limits_themselves_are_within_them() {
    let demo = Demo::start().await;
    let us = &demo.regions[US];
    let billion = 1_000_000_000_i64;
    let longest = "\u{e9}".repeat(128);
    us.adds(&longest, &longest, billion).await;
    us.adds(&longest, &longest, billion).await;
    us.adds(&longest, &longest, -billion).await;
    assert_eq!(us.cart(&longest).await, [(longest.clone(), billion)]);
    // Taking all that is there, or more, takes the line.
    us.adds(&longest, &longest, -billion).await;
    assert_eq!(us.cart(&longest).await, []);
    us.adds("cart", "tea", 2).await;
    us.adds("cart", "tea", -3).await;
    assert_eq!(us.cart("cart").await, []);
    us.adds("cart", "tea", 1).await;
    assert_eq!(us.cart("cart").await, [("tea".to_owned(), 1)], "no debt");
    us.removes("cart", "never there").await;
    let odd = "a/b?c#d%2F \u{1f6d2}";
    us.adds(odd, odd, 1).await;
    demo.converges().await;
    assert_eq!(demo.regions[EU].cart(odd).await, [(odd.to_owned(), 1)]);
    // A full cart takes no further line, and says so; more of what it has is welcome.
    for n in 0..1_000 {
        us.adds("full", &format!("line-{n}"), 1).await;
    }
    let reply = us.sends(super::harness::add("full", "one more", 1)).await;
    assert_eq!(
        (reply.status, reply.code().as_deref()),
        (409, Some("CG-2009")),
        "{reply:?}"
    );
    assert_eq!(lines(&us.adds("full", "line-7", 1).await).len(), 1_000);
    demo.converges().await;
    demo.stop().await;
}

#[tokio::test]
async fn the_control_api_refuses_foreign_pages_and_bad_values_and_changes_nothing() {
    let demo = Demo::start().await;
    let base = demo.base;
    let link = "/api/links/us-central1/europe-west1";
    let links = async || demo.api(Request::new("GET", "/api/links")).await.ok().json();
    let before = links().await;
    let put = |body: &str| Request::new("PUT", link).raw(body);
    let cut = || put(r#"{"up":false}"#);
    let mut cases = Vec::new();
    for body in [
        "",
        "{",
        "[]",
        r#"{"up":"no"}"#,
        r#"{"up":0}"#,
        r#"{"latency_ms":-1}"#,
        r#"{"latency_ms":1.5}"#,
        r#"{"latency_ms":10001}"#,
        r#"{"jitter_ms":99999999999999999999}"#,
        r#"{"loss":1.01}"#,
        r#"{"loss":-0.1}"#,
        r#"{"loss":"NaN"}"#,
        r#"{"up":false,"speed":1}"#,
        r#"{"up":false,"loss":2}"#,
    ] {
        cases.push((400, format!("link {body:?}"), put(body)));
    }
    for (path, status) in [
        ("/api/links/us-central1/mars", 404),
        ("/api/links/mars/us-central1", 404),
        ("/api/links/us-central1/us-central1", 404),
        ("/api/links/us-central1", 404),
        ("/api/links/%ff/us-central1", 400),
    ] {
        cases.push((
            status,
            path.to_owned(),
            Request::new("PUT", path).raw(r#"{"up":false}"#),
        ));
    }
    for (path, status) in [
        ("/api/regions/mars/kill", 404),
        ("/api/regions/us-central1/explode", 404),
        ("/api/regions/us-central1/store/explode", 404),
        ("/api/regions/mars/store/wipe", 404),
        ("/api/regions/us-central1/resume/now", 404),
        ("/api/regions/us-central1/store/rollback", 409),
        ("/api/links", 405),
        ("/api/converged", 405),
        ("/api", 404),
    ] {
        cases.push((status, path.to_owned(), Request::new("POST", path)));
    }
    cases.push((
        405,
        "GET of an action".to_owned(),
        Request::new("GET", "/api/regions/us-central1/kill"),
    ));
    cases.push((
        400,
        "deep".to_owned(),
        Request::new("GET", "/api/converged?deep=maybe"),
    ));
    for host in [
        "evil.example",
        "localhost",
        "localhost:1",
        "127.0.0.1.evil.example:80",
    ] {
        let get = Request::new("GET", "/api/links").header("host", host);
        cases.push((403, format!("GET with host {host}"), get));
        cases.push((403, format!("PUT with host {host}"), cut().header("host", host)));
    }
    for origin in [
        "http://evil.example",
        "null",
        "https://localhost",
        "http://localhost:1",
    ] {
        let heal = Request::new("POST", "/api/heal").header("origin", origin);
        cases.push((403, format!("POST with origin {origin}"), heal));
        cases.push((
            403,
            format!("PUT with origin {origin}"),
            cut().header("origin", origin),
        ));
    }
    let page = format!("http://127.0.0.1:{base}");
    let form = cut().header("content-type", "text/plain");
    cases.push((415, "a form".to_owned(), form.clone()));
    cases.push((
        415,
        "a form of our own page".to_owned(),
        form.header("origin", &page),
    ));
    let large = format!(r#"{{"up":false,"x":"{}"}}"#, "x".repeat(70_000));
    cases.push((413, "a large body".to_owned(), put(&large)));
    let mut wrong = Vec::new();
    for (status, what, request) in cases {
        let reply = demo.api(request).await;
        let document: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
        let clear = document["error"]["code"].is_string() && document["error"]["message"].is_string();
        if reply.status != status || !clear {
            wrong.push(format!("{what}: expected {status}, got {reply:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}:\n{}", wrong.len(), wrong.join("\n"));
    assert_eq!(links().await, before);
    for region in [US, EU] {
        demo.ready(region).await;
    }
    // And our own page may.
    let ours = cut().header("origin", &page);
    assert_eq!(demo.api(ours).await.ok().json()["up"], false);
    demo.stop().await;
}
