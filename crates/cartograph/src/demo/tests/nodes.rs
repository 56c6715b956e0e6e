//! Nodes that are killed, paused and crash, and a demo that ends.

use super::*;

#[cfg(target_os = "linux")]
#[tokio::test]
async fn children_die_with_a_demo_that_is_killed() {
    let dir = tempfile::tempdir().unwrap();
    let (program, args) = again("demo::tests::stand_ins::demo");
    let mut parent = Command::new(program).args(args).arg(dir.path()).spawn().unwrap();
    let pid_file = dir.path().join("pid");
    eventually("the child has started", async || pid_file.exists()).await;
    let pid: i64 = fs::read_to_string(&pid_file).unwrap().parse().unwrap();
    let runs = || fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default() == "sleep\n";
    eventually("the wrapper has become the program", async || runs()).await;
    // Longer than nothing: a death signal tied to a thread that has gone would have struck by now.
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(lives(pid));
    parent.kill().unwrap();
    parent.wait().unwrap();
    eventually("the child is dead", async || !lives(pid)).await;
}

#[tokio::test]
async fn nodes_are_killed_started_paused_and_resumed() {
    let fixture = Fixture::started(StoreArg::Embedded).await;
    let before = fixture.get("/api/regions/europe-west1").await;
    assert_eq!(
        (before["state"].as_str(), before["id"].as_u64()),
        (Some("running"), Some(2))
    );
    assert_eq!(before["ports"]["http"], json!(fixture.demo.base + 2));

    let http = fixture.demo.region("europe-west1").unwrap().http();
    assert_eq!(before["http"], json!(http), "commands find the regions by it");

    let killed = fixture.post("/api/regions/europe-west1/kill").await;
    assert_eq!(
        (killed["state"].as_str(), &killed["pids"]["node"]),
        (Some("stopped"), &Value::Null)
    );
    assert!(!fixture.is_ready("europe-west1").await && fixture.is_ready("us-central1").await);
    assert_eq!(
        fixture.post("/api/regions/europe-west1/kill").await["state"],
        "stopped",
        "twice is no error"
    );
    fixture
        .refused(
            Method::POST,
            "/api/regions/europe-west1/pause",
            None,
            409,
            "start it",
        )
        .await;

    let started = fixture.post("/api/regions/europe-west1/start").await;
    assert_eq!(started["state"], "running");
    assert_ne!(started["pids"]["node"], before["pids"]["node"]);
    assert!(
        fixture.is_ready("europe-west1").await,
        "start returns when the node serves"
    );

    assert_eq!(
        fixture.post("/api/regions/europe-west1/pause").await["state"],
        "paused"
    );
    assert!(!fixture.is_ready("europe-west1").await);
    fixture
        .refused(
            Method::POST,
            "/api/regions/europe-west1/start",
            None,
            409,
            "resume",
        )
        .await;
    let verdict = fixture.get("/api/converged").await;
    assert_eq!(verdict["diff"][0]["values"]["europe-west1"], "its node is paused");
    assert_eq!(
        fixture.post("/api/regions/europe-west1/resume").await["pids"],
        started["pids"],
        "the same process"
    );
    assert!(fixture.is_ready("europe-west1").await);
    assert_eq!(fixture.get("/api/converged").await["converged"], true);
    fixture.demo.shutdown().await;
}

#[tokio::test]
async fn a_node_that_somebody_else_stops_is_not_called_crashed() {
    let fixture = Fixture::started(StoreArg::Embedded).await;
    let url = format!("{}/leave", fixture.demo.region("us-central1").unwrap().http());
    let _ = fixture.http.send(Method::GET, &url, None, LIMIT).await;
    eventually("it is gone", async || {
        fixture.get("/api/regions").await[0]["state"].as_str() == Some("stopped")
    })
    .await;
    fixture.demo.shutdown().await;
}

#[tokio::test]
async fn a_crash_is_reported_and_not_repaired() {
    let fixture = Fixture::started(StoreArg::Embedded).await;
    let url = format!("{}/crash", fixture.demo.region("us-central1").unwrap().http());
    let _ = fixture.http.send(Method::GET, &url, None, LIMIT).await;
    eventually("the crash is known", async || {
        fixture.get("/api/regions").await[0]["state"].as_str() == Some("crashed")
    })
    .await;
    let region = fixture.get("/api/regions/us-central1").await;
    assert!(region["exit"].as_str().unwrap().contains('3'), "{region}");
    let said = fixture.console.said();
    assert!(
        said.iter()
            .any(|line| line.contains("us-central1's node") && line.contains("ended by itself")),
        "{said:?}"
    );
    assert_eq!(
        fixture.post("/api/regions/us-central1/start").await["state"],
        "running"
    );
    fixture.demo.shutdown().await;
}

#[tokio::test]
async fn a_node_that_does_not_come_up_fails_the_start_with_its_own_words() {
    let fixture = Fixture::new(StoreArg::Embedded).await;
    let dir = fixture.demo.data.path().join("europe-west1");
    fs::create_dir_all(&dir).unwrap();
    fs::write(dir.join("refuse-to-start"), "").unwrap();
    let begun = clock::now();
    let error = fixture.demo.start_all(&two_regions()).await.unwrap_err();
    assert!(
        error
            .message
            .contains("europe-west1's node ended before it served"),
        "{error}"
    );
    assert!(
        error.message.contains("a reason that people should see"),
        "{error}"
    );
    assert!(
        begun.elapsed() < Duration::from_secs(15),
        "an ended process is not waited for"
    );
    fixture.demo.shutdown().await;
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn shutdown_ends_every_process_even_a_paused_one() {
    let fixture = Fixture::started(StoreArg::Redis).await;
    fixture.post("/api/regions/us-central1/pause").await;
    let regions = fixture.get("/api/regions").await;
    let pids: Vec<i64> = regions
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|region| {
            [
                region["pids"]["node"].as_i64().unwrap(),
                region["pids"]["redis"].as_i64().unwrap(),
            ]
        })
        .collect();
    assert!(pids.len() == 4 && pids.iter().all(|pid| lives(*pid)));
    fixture.demo.shutdown().await;
    assert!(pids.iter().all(|pid| !lives(*pid)));
    fixture
        .refused(
            Method::POST,
            "/api/regions/us-central1/start",
            None,
            503,
            "stopping",
        )
        .await;
    let said = fixture.console.said();
    assert!(
        !said.iter().any(|line| line.contains("ended by itself")),
        "{said:?}"
    );
    let path = fixture.demo.data.path().to_owned();
    fixture.demo.data.remove_if_temporary();
    assert!(!path.exists());
}

#[tokio::test]
async fn a_kill_ends_a_start_that_waits() {
    let fixture = Fixture::started(StoreArg::Embedded).await;
    fixture.post("/api/regions/us-central1/kill").await;
    fs::write(fixture.demo.data.path().join("us-central1/never-ready"), "").unwrap();
    let begun = clock::now();
    let start = fixture.refused(
        Method::POST,
        "/api/regions/us-central1/start",
        None,
        500,
        "ended before it served",
    );
    let kill = async {
        let running =
            async || fixture.get("/api/regions/us-central1").await["state"].as_str() == Some("running");
        eventually("it was started", running).await;
        fixture.post("/api/regions/us-central1/kill").await
    };
    let ((), killed) = tokio::join!(start, kill);
    assert_eq!(killed["state"], "stopped");
    assert!(
        begun.elapsed() < Duration::from_secs(15),
        "the kill waited for the start"
    );
    fixture.demo.shutdown().await;
}
