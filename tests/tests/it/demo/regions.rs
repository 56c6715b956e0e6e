//! A region that joins a running demo.

use serde_json::json;

use super::harness::{ASIA, Demo, EU, US, WAIT_MAX, eventually};
use super::http::Request;
use super::load::Load;

#[tokio::test]
async fn a_fourth_region_joins_while_writes_go_on() {
    let mut demo = Demo::start().await;
    let mut load = Load::start(&demo);
    load.acknowledges(&[US, EU, ASIA], 40).await;
    let added = Request::new("POST", "/api/regions").json(&json!({"name": "europe-west4"}));
    let added = demo.api(added).await;
    assert_eq!(added.status, 201, "{added:?}");
    demo.find_regions().await;
    let new = demo.regions.len() - 1;
    assert_eq!((new, demo.regions[new].name.as_str()), (3, "europe-west4"));
    let took = demo.ready(new).await;
    println!("ready {took:?} after it was added");
    load.join(&demo.regions[new]);
    load.acknowledges(&[US, EU, ASIA, new], 30).await;
    eventually("every region counts four members", WAIT_MAX, async || {
        let mut counts = Vec::new();
        for region in 0..demo.regions.len() {
            counts.push(demo.status(region).await["members"].as_object().unwrap().len());
        }
        counts == [4, 4, 4, 4]
    })
    .await;
    let ledger = load.stop().await;
    demo.converges().await;
    ledger.check(&demo).await;
    // It relays and is relayed to as the others are.
    demo.cut(US, new).await;
    demo.regions[new].adds("late", "line", 1).await;
    eventually("its write arrives through others", WAIT_MAX, async || {
        demo.regions[US].cart("late").await == [("line".to_owned(), 1)]
    })
    .await;
    demo.stop().await;
}

#[tokio::test]
async fn a_region_is_added_once_and_by_a_good_name() {
    let demo = Demo::start().await;
    for (body, status) in [
        (r#"{"name":"us-central1"}"#, 409),
        (r#"{"name":""}"#, 400),
        (r#"{"name":"../x"}"#, 400),
        (r#"{"name":"Europe"}"#, 400),
        (r#"{"name":7}"#, 400),
        (r#"{"nam":"europe-west4"}"#, 400),
        (r#"{"name":"europe-west4","id":9}"#, 400),
        ("{", 400),
        ("", 400),
    ] {
        let reply = demo.api(Request::new("POST", "/api/regions").raw(body)).await;
        assert_eq!(reply.status, status, "{body}: {reply:?}");
        assert!(reply.code().is_some(), "{body}: {reply:?}");
    }
    let list = demo.api(Request::new("GET", "/api/regions")).await.json();
    assert_eq!(list.as_array().unwrap().len(), 3);
    demo.stop().await;
}
