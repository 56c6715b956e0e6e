//! Stores that are killed, wiped and rolled back.

use tokio::io::{AsyncBufReadExt, BufReader};

use super::*;

#[tokio::test]
async fn a_private_redis_is_killed_wiped_and_rolled_back_behind_the_nodes_back() {
    let fixture = Fixture::started(StoreArg::Redis).await;
    assert!(matches!(fixture.demo.store, StoreChoice::Redis { .. }));
    let at = |action: &str| format!("/api/regions/us-central1/store/{action}");
    assert_eq!(
        fixture.redis("us-central1", "CONFIG GET appendfsync").await,
        "*2 $11 appendfsync $6 always"
    );
    let node = fixture.get("/api/regions/us-central1").await["pids"]["node"].clone();
    fixture
        .refused(Method::POST, &at("rollback"), None, 409, "no snapshot")
        .await;

    assert_eq!(fixture.redis("us-central1", "SET k old").await, "+OK");
    let snapshot = fixture.post(&at("snapshot")).await;
    assert_eq!(snapshot["store"]["state"], "running");
    assert_eq!(
        fixture.redis("us-central1", "SET k new").await,
        "+OK",
        "it goes on after the copy"
    );
    assert_eq!(fixture.redis("europe-west1", "SET k there").await, "+OK");

    let killed = fixture.post(&at("kill")).await;
    assert_eq!(
        (&killed["store"]["state"], &killed["pids"]["redis"]),
        (&json!("stopped"), &Value::Null)
    );
    let started = fixture.post(&at("start")).await;
    assert_ne!(started["pids"]["redis"], snapshot["pids"]["redis"]);
    assert_eq!(
        fixture.redis("us-central1", "GET k").await,
        "$3 new",
        "a kill loses nothing"
    );

    fixture.post(&at("rollback")).await;
    assert_eq!(fixture.redis("us-central1", "GET k").await, "$3 old");
    let wiped = fixture.post(&at("wipe")).await;
    assert_eq!(fixture.redis("us-central1", "DBSIZE").await, ":0");
    fixture.post(&at("rollback")).await;
    assert_eq!(
        fixture.redis("us-central1", "GET k").await,
        "$3 old",
        "a snapshot outlives a wipe"
    );
    assert_eq!(wiped["pids"]["node"], node, "the node is left alone");
    assert_eq!(
        fixture.redis("europe-west1", "GET k").await,
        "$5 there",
        "and so is the other region"
    );
    fixture
        .refused(Method::POST, &at("burn"), None, 404, "rollback")
        .await;
    fixture.demo.shutdown().await;
}

#[tokio::test]
async fn an_embedded_store_takes_its_node_along_and_says_so() {
    let fixture = Fixture::started(StoreArg::Embedded).await;
    let at = |action: &str| format!("/api/regions/us-central1/store/{action}");
    let store = fixture.demo.region("us-central1").unwrap().store_dir();
    fs::write(store.join("data"), "old").unwrap();
    let before = fixture.get("/api/regions/us-central1").await;
    let after = fixture.post(&at("snapshot")).await;
    assert!(
        after["note"]
            .as_str()
            .unwrap()
            .contains("stopped and started again"),
        "{after}"
    );
    assert_ne!(before["pids"]["node"], after["pids"]["node"]);
    fs::write(store.join("data"), "new").unwrap();
    fixture.post(&at("rollback")).await;
    assert_eq!(fs::read_to_string(store.join("data")).unwrap(), "old");
    fixture.post(&at("wipe")).await;
    assert!(
        !store.join("data").exists() && store.join("opened").exists(),
        "emptied, then opened by the new node"
    );
    assert_eq!(fixture.post(&at("kill")).await["state"], "stopped");
    let wiped = fixture.post(&at("wipe")).await;
    assert_eq!(
        (wiped["state"].as_str(), store.join("opened").exists()),
        (Some("stopped"), false),
        "left stopped"
    );
    assert_eq!(fixture.post(&at("start")).await["state"], "running");
    fixture.demo.shutdown().await;
}

#[test]
fn data_decides_the_store_and_a_contradiction_is_refused() {
    let record = |store: &str| Record {
        store: store.to_owned(),
        regions: Vec::new(),
    };
    let dir = Path::new("/data");
    assert_eq!(store_of(StoreArg::Auto, None, dir).unwrap(), StoreArg::Auto);
    assert_eq!(
        store_of(StoreArg::Auto, Some(&record("embedded")), dir).unwrap(),
        StoreArg::Embedded
    );
    assert_eq!(
        store_of(StoreArg::Redis, Some(&record("redis")), dir).unwrap(),
        StoreArg::Redis
    );
    let error = store_of(StoreArg::Redis, Some(&record("embedded")), dir)
        .unwrap_err()
        .to_string();
    assert!(error.contains("--store embedded"), "{error}");
}

#[tokio::test]
async fn a_snapshot_under_load_holds_every_write_acknowledged_before_it() {
    let fixture = Fixture::started(StoreArg::Redis).await;
    let port = fixture.demo.region("us-central1").unwrap().ports.redis.unwrap();
    let acknowledged = Arc::new(AtomicU64::new(0));
    let (done, mut stop) = tokio::sync::oneshot::channel::<()>();
    let count = Arc::clone(&acknowledged);
    let writer = tokio::spawn(async move {
        let mut stream = BufReader::new(TcpStream::connect(ports::loopback(port)).await.unwrap());
        let mut reply = String::new();
        while stop.try_recv().is_err() {
            stream.write_all(b"INCR n\r\n").await.unwrap();
            reply.clear();
            stream.read_line(&mut reply).await.unwrap();
            count.store(reply.trim()[1..].parse().unwrap(), Ordering::SeqCst);
        }
    });
    let written = || acknowledged.load(Ordering::SeqCst);
    eventually("the writer writes", async || written() > 100).await;
    // The log is being rewritten meanwhile: its files change under the copy unless Redis is held still.
    fixture.redis("us-central1", "BGREWRITEAOF").await;
    let before = written();
    fixture.post("/api/regions/us-central1/store/snapshot").await;
    // One more may have been written and not yet acknowledged when the copy was made.
    let after = written() + 1;
    eventually("it goes on", async || written() > after + 100).await;
    done.send(()).unwrap();
    writer.await.unwrap();
    fixture.post("/api/regions/us-central1/store/rollback").await;
    let reply = fixture.redis("us-central1", "GET n").await;
    let restored: u64 = reply.split(' ').next_back().unwrap().parse().unwrap();
    assert!(
        (before..=after).contains(&restored),
        "{restored} is not within {before} to {after}"
    );
    fixture.demo.shutdown().await;
}
