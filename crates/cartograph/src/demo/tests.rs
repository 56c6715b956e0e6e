//! Whole demos over real processes, real Redis servers and real sockets; only the nodes are stand-ins.
//!
//! A stand-in node is this test program itself, run again with one ignored test: it reads the settings file that the demo
//! wrote, listens where that says, and answers what the demo asks of a node.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::process::Command;
use std::time::{Duration, Instant};

use axum::extract::{Path as UrlPath, State};
use axum::routing::{get, put};
use axum::{Json, Router};
use hyper::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener as AsyncListener, TcpStream};

use super::redis::StoreChoice;
use super::*;

const LIMIT: Duration = Duration::from_secs(40);

/// The words that run one ignored test of this program.
fn again(test: &str) -> (PathBuf, Vec<OsString>) {
    let words = ["--ignored", "--exact", "--nocapture", test, "--"];
    (
        std::env::current_exe().unwrap(),
        words.iter().map(OsString::from).collect(),
    )
}

/// A base port whose whole range for three regions is free; tests run in processes side by side.
fn free_base() -> u16 {
    let first = std::process::id() % 40;
    for slot in 0..40 {
        let base = 11_000 + u16::try_from((first + slot) % 40).unwrap() * 500;
        let wanted: Vec<_> = (1..=4)
            .flat_map(|id| ports::Ports::of(base, id, true).wanted("x"))
            .collect();
        if ports::check(&wanted).is_ok() {
            return base;
        }
    }
    panic!("no free range of ports");
}

struct Fixture {
    demo: Arc<Demo>,
    console: Arc<Console>,
    http: http::Http,
    url: String,
}

impl Fixture {
    async fn new(store: StoreArg) -> Self {
        let (store, _) = redis::choose(store, std::env::var_os("PATH")).await.unwrap();
        let console = Arc::new(Console::kept());
        let parts = Parts {
            base: free_base(),
            store,
            node_program: again("demo::tests::stand_in_node"),
            data: DataDir::open(None).unwrap(),
            launcher: Launcher::new(Some(again("demo::tests::stand_in_wrapper")), Arc::clone(&console))
                .unwrap(),
            console: Arc::clone(&console),
        };
        let demo = Demo::new(parts);
        let listener = AsyncListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let router = api::router(Arc::clone(&demo), port);
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self {
            demo,
            console,
            http: http::Http::new(),
            url: format!("http://127.0.0.1:{port}"),
        }
    }

    async fn started(store: StoreArg) -> Self {
        let fixture = Self::new(store).await;
        fixture.demo.start_all(&two_regions()).await.unwrap();
        fixture
    }

    async fn send(&self, method: Method, path: &str, body: Option<Value>) -> (u16, Value) {
        let answer = self
            .http
            .send(method, &format!("{}{path}", self.url), body.as_ref(), LIMIT)
            .await
            .unwrap();
        let value = serde_json::from_slice(&answer.body)
            .unwrap_or_else(|_| json!(String::from_utf8_lossy(&answer.body)));
        (answer.status.as_u16(), value)
    }

    async fn get(&self, path: &str) -> Value {
        let (status, value) = self.send(Method::GET, path, None).await;
        assert_eq!(status, 200, "{path}: {value}");
        value
    }

    async fn post(&self, path: &str) -> Value {
        let (status, value) = self.send(Method::POST, path, None).await;
        assert_eq!(status, 200, "{path}: {value}");
        value
    }

    async fn refused(&self, method: Method, path: &str, body: Option<Value>, expected: u16, word: &str) {
        let (status, value) = self.send(method, path, body).await;
        let message = value["error"]["message"].as_str().unwrap_or_default();
        assert_eq!(status, expected, "{path}: {value}");
        assert!(
            message.contains(word) && value["error"]["code"].is_string(),
            "{path}: {value}"
        );
    }

    fn settings(&self, region: &str) -> toml::Table {
        fs::read_to_string(self.demo.data.path().join(region).join("node.toml"))
            .unwrap()
            .parse()
            .unwrap()
    }

    async fn is_ready(&self, region: &str) -> bool {
        let url = format!("{}/readyz", self.demo.region(region).unwrap().http());
        let answer = self
            .http
            .send(Method::GET, &url, None, Duration::from_secs(1))
            .await;
        answer.is_ok_and(|answer| answer.status == StatusCode::OK)
    }

    async fn redis(&self, region: &str, command: &str) -> String {
        let port = self.demo.region(region).unwrap().ports.redis.unwrap();
        let mut stream = TcpStream::connect(ports::loopback(port)).await.unwrap();
        stream
            .write_all(format!("{command}\r\n").as_bytes())
            .await
            .unwrap();
        let mut buffer = [0_u8; 512];
        let count = stream.read(&mut buffer).await.unwrap();
        String::from_utf8_lossy(&buffer[..count])
            .replace("\r\n", " ")
            .trim()
            .to_owned()
    }
}

fn two_regions() -> Vec<RecordedRegion> {
    let region = |name: &str, id| RecordedRegion {
        name: name.to_owned(),
        id,
    };
    vec![region("us-central1", 1), region("europe-west1", 2)]
}

async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(15);
    while !holds().await {
        assert!(Instant::now() < deadline, "not within 15 s: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Whether a process exists and is no zombie.
#[cfg(target_os = "linux")]
fn lives(pid: i64) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(')')
        .next()
        .is_some_and(|rest| !rest.is_empty() && !rest.trim_start().starts_with(['Z', 'X']))
}

// --- the programs that tests run -------------------------------------------------------------------------------------------

/// Not a test: the wrapper `demo-child`.
#[test]
#[ignore = "a program for other tests"]
fn stand_in_wrapper() {
    #[derive(clap::Parser)]
    struct Wrapper {
        #[command(flatten)]
        child: ChildArgs,
    }
    let words = std::env::args_os().skip_while(|word| word != "--");
    if let Ok(wrapper) = <Wrapper as clap::Parser>::try_parse_from(words) {
        let error = run_child(wrapper.child).unwrap_err();
        eprintln!("{error:#}");
        std::process::exit(127);
    }
}

/// Not a test: a node.
#[test]
#[ignore = "a program for other tests"]
fn stand_in_node() {
    let Some(path) = std::env::args()
        .next_back()
        .filter(|path| path.ends_with("node.toml"))
    else {
        return;
    };
    let settings: toml::Table = fs::read_to_string(&path).unwrap().parse().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async move {
        let listen = |part: &str| settings[part]["listen"].as_str().unwrap().to_owned();
        let name = settings["region"]["name"].as_str().unwrap().to_owned();
        if fs::exists("refuse-to-start").unwrap() {
            eprintln!("a reason that people should see");
            std::process::exit(3);
        }
        if let Some(dir) = settings["store"].get("path") {
            fs::write(format!("{}/opened", dir.as_str().unwrap()), "x").unwrap();
        }
        let peer = AsyncListener::bind(listen("peer")).await.unwrap();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = peer.accept().await {
                let _ = stream.write_all(name.as_bytes()).await;
            }
        });
        let digest =
            json!({"version_vectors": {"0": {"1-1": "5"}}, "as_of": "0", "buckets": {"0": ["00ff"]}});
        let router = Router::new()
            .route("/readyz", get(|| async { "ok" }))
            .route("/v1/digest", get(|| async { Json(digest) }))
            .route("/crash", get(crash))
            .route("/v1/admin/peers/{region}", put(learn_peer))
            .with_state(PathBuf::from("peers-told"));
        let listener = AsyncListener::bind(listen("http")).await.unwrap();
        axum::serve(listener, router).await.unwrap();
    });
}

async fn crash() -> StatusCode {
    std::process::exit(3)
}

async fn learn_peer(State(file): State<PathBuf>, UrlPath(region): UrlPath<String>, Json(body): Json<Value>) {
    let mut file = fs::File::options().create(true).append(true).open(file).unwrap();
    writeln!(
        file,
        "{region} {} {}",
        body["id"],
        body["address"].as_str().unwrap()
    )
    .unwrap();
}

/// Not a test: a demo that starts one child, writes its process id and waits to be killed.
#[test]
#[ignore = "a program for other tests"]
fn stand_in_demo() {
    let Some(dir) = std::env::args()
        .next_back()
        .map(PathBuf::from)
        .filter(|dir| dir.is_dir())
    else {
        return;
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async move {
        let console = Arc::new(Console::kept());
        let launcher = Launcher::new(Some(again("demo::tests::stand_in_wrapper")), console).unwrap();
        let program = process::Program {
            what: "the child".to_owned(),
            file: PathBuf::from("sleep"),
            args: vec![OsString::from("300")],
            log: dir.join("log"),
            dir: dir.clone(),
        };
        let child = launcher.start(&program).await.unwrap();
        fs::write(dir.join("pid.new"), child.pid().to_string()).unwrap();
        fs::rename(dir.join("pid.new"), dir.join("pid")).unwrap();
        tokio::time::sleep(Duration::from_secs(300)).await;
    });
}

// --- the tests -------------------------------------------------------------------------------------------------------------

#[cfg(target_os = "linux")]
#[tokio::test]
async fn children_die_with_a_demo_that_is_killed() {
    let dir = tempfile::tempdir().unwrap();
    let (program, args) = again("demo::tests::stand_in_demo");
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
    let begun = Instant::now();
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

#[tokio::test]
async fn each_node_dials_the_proxy_of_its_own_direction() {
    let fixture = Fixture::started(StoreArg::Embedded).await;
    let links: BTreeMap<String, u16> = fixture
        .demo
        .links
        .all()
        .iter()
        .map(|link| (format!("{} {}", link.from, link.to), link.address.port()))
        .collect();
    assert_eq!(links.len(), 2);
    let settings = fixture.settings("us-central1");
    let peer = &settings["peers"][0];
    assert_eq!(
        (peer["region"].as_str(), peer["id"].as_integer()),
        (Some("europe-west1"), Some(2))
    );
    let address = peer["address"]
        .as_str()
        .unwrap()
        .strip_prefix("http://")
        .unwrap()
        .to_owned();
    assert!(
        address.ends_with(&format!(":{}", links["us-central1 europe-west1"])),
        "{address}"
    );

    let reach = async || {
        let mut name = String::new();
        let mut stream = TcpStream::connect(&address).await.unwrap();
        let _ = stream.read_to_string(&mut name).await;
        name
    };
    assert_eq!(reach().await, "europe-west1");
    let path = "/api/links/us-central1/europe-west1";
    let (status, link) = fixture.send(Method::PUT, path, Some(json!({"up": false}))).await;
    assert_eq!(
        (status, &link["up"], &link["latency_ms"]),
        (200, &json!(false), &json!(50))
    );
    assert_eq!(reach().await, "", "cut");
    fixture
        .refused(Method::PUT, path, Some(json!({"loss": 2})), 400, "from 0 to 1")
        .await;
    assert_eq!(fixture.get(path).await, link, "a refused change changes nothing");
    fixture
        .refused(
            Method::PUT,
            "/api/links/us-central1/mars",
            Some(json!({})),
            404,
            "europe-west1",
        )
        .await;
    let healed = fixture.post("/api/heal").await;
    assert_eq!(healed["links"], fixture.get("/api/links").await);
    assert_eq!(reach().await, "europe-west1", "healed");
    fixture.demo.shutdown().await;
}

#[tokio::test]
async fn a_region_is_added_and_every_node_hears_of_it() {
    let fixture = Fixture::started(StoreArg::Embedded).await;
    for (body, expected, word) in [
        (json!({"name": "us-central1"}), 409, "exists already"),
        (json!({"name": "Nowhere!"}), 400, "a-z"),
        (json!({"named": "x"}), 400, "name"),
        (json!([]), 400, "name"),
    ] {
        fixture
            .refused(Method::POST, "/api/regions", Some(body), expected, word)
            .await;
    }
    let taken = std::net::TcpListener::bind(ports::loopback(fixture.demo.base + 203)).unwrap();
    let new = || Some(json!({"name": "asia-southeast1"}));
    fixture
        .refused(
            Method::POST,
            "/api/regions",
            new(),
            409,
            "asia-southeast1's gRPC API",
        )
        .await;
    drop(taken);
    assert_eq!(fixture.get("/api/regions").await.as_array().unwrap().len(), 2);

    // A paused node hears of it when it goes on, a killed one when it starts anew.
    fixture.post("/api/regions/europe-west1/pause").await;
    let (status, added) = fixture.send(Method::POST, "/api/regions", new()).await;
    assert_eq!(
        (status, &added["id"], &added["state"]),
        (201, &json!(3), &json!("running")),
        "{added}"
    );
    assert!(fixture.is_ready("asia-southeast1").await);
    assert_eq!(fixture.get("/api/links").await.as_array().unwrap().len(), 6);
    let told = |region: &str| {
        fs::read_to_string(fixture.demo.data.path().join(region).join("peers-told")).unwrap_or_default()
    };
    eventually("the running node was told", async || {
        told("us-central1").starts_with("asia-southeast1 3 http://127")
    })
    .await;
    assert_eq!(told("europe-west1"), "");
    assert_eq!(
        fixture.post("/api/heal").await["resumed"],
        json!(["europe-west1"])
    );
    eventually("the resumed node was told", async || {
        told("europe-west1").starts_with("asia-southeast1 3 ")
    })
    .await;

    for region in ["us-central1", "europe-west1", "asia-southeast1"] {
        assert_eq!(
            fixture.settings(region)["peers"].as_array().unwrap().len(),
            2,
            "{region}"
        );
    }
    let address = told("us-central1").split_whitespace().last().unwrap().to_owned();
    assert_eq!(
        fixture.settings("us-central1")["peers"][1]["address"].as_str(),
        Some(address.as_str())
    );
    let record = fixture.demo.data.record().unwrap().unwrap();
    assert_eq!(
        record.regions.last(),
        Some(&RecordedRegion {
            name: "asia-southeast1".to_owned(),
            id: 3
        })
    );
    fixture.demo.shutdown().await;
}

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
async fn the_control_api_answers_every_mistake_in_json() {
    let fixture = Fixture::new(StoreArg::Embedded).await;
    fixture
        .refused(Method::GET, "/api/nothing", None, 404, "/api/links")
        .await;
    fixture
        .refused(Method::DELETE, "/api/heal", None, 405, "POST")
        .await;
    fixture
        .refused(
            Method::POST,
            "/api/regions/x/kill",
            None,
            404,
            "there is no region",
        )
        .await;
    fixture
        .refused(Method::GET, "/api/converged?deep=2", None, 400, "0 or 1")
        .await;
    assert!(
        fixture
            .get("/")
            .await
            .as_str()
            .unwrap()
            .contains("/api/converged")
    );
    let raw = async |request: String| {
        let mut stream = TcpStream::connect(fixture.url.strip_prefix("http://").unwrap())
            .await
            .unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut reply = String::new();
        stream.read_to_string(&mut reply).await.unwrap();
        reply
    };
    let rebound = "GET /api/links HTTP/1.1\r\nhost: evil.example\r\nconnection: close\r\n\r\n".to_owned();
    assert!(raw(rebound).await.starts_with("HTTP/1.1 403"));
    let host = fixture.url.strip_prefix("http://").unwrap();
    let page = format!(
        "POST /api/heal HTTP/1.1\r\nhost: {host}\r\norigin: http://evil.example\r\ncontent-type: text/plain\r\n\
         content-length: 2\r\nconnection: close\r\n\r\n{{}}"
    );
    assert!(raw(page).await.starts_with("HTTP/1.1 403"));
}

#[test]
fn recorded_regions_keep_their_ids_and_take_part() {
    let record = Record {
        store: "redis".to_owned(),
        regions: two_regions(),
    };
    let names = ["asia-southeast1".to_owned(), "us-central1".to_owned()];
    let (regions, said) = regions_of(&names, Some(&record));
    let ids: Vec<(&str, u16)> = regions
        .iter()
        .map(|region| (region.name.as_str(), region.id))
        .collect();
    assert_eq!(
        ids,
        [("us-central1", 1), ("europe-west1", 2), ("asia-southeast1", 3)]
    );
    assert!(said.len() == 1 && said[0].contains("europe-west1"), "{said:?}");
    let (fresh, _) = regions_of(&names, None);
    assert_eq!(
        fresh[0],
        RecordedRegion {
            name: "asia-southeast1".to_owned(),
            id: 1
        }
    );
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
