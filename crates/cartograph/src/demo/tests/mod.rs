//! Whole demos over real processes, real Redis servers and real sockets; only the nodes are stand-ins.
//!
//! See `stand_ins` for those.

mod nodes;
mod page;
mod regions;
mod stand_ins;
mod stores;

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::process::Command;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

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

/// A base port whose whole range is free; tests run side by side, in processes (nextest) or threads (cargo test).
fn free_base() -> u16 {
    static TAKEN: AtomicU32 = AtomicU32::new(0);
    for _ in 0..40 {
        let slot = (std::process::id() + TAKEN.fetch_add(1, Ordering::SeqCst)) % 40;
        let base = 11_000 + u16::try_from(slot).unwrap() * 500;
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
            node_program: again("demo::tests::stand_ins::node"),
            data: DataDir::open(None).unwrap(),
            launcher: Launcher::new(
                Some(again("demo::tests::stand_ins::wrapper")),
                Arc::clone(&console),
            )
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
    let deadline = clock::now() + Duration::from_secs(15);
    while !holds().await {
        assert!(clock::now() < deadline, "not within 15 s: {what}");
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
