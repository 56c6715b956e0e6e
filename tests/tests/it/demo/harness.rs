//! A demo of one's own: `cartograph demo` on ports that no other test has, gone when dropped.

use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::http::{Reply, Request, Trouble, segment, send};
use crate::plain_redis::Connection;

/// The first three regions.
pub(crate) const US: usize = 0;
pub(crate) const EU: usize = 1;
pub(crate) const ASIA: usize = 2;

/// The promise is 5 s; a machine that runs two such tests on two cores, beside compilers, gets this many times that.
const CONVERGE_MAX: Duration = Duration::from_secs(5 * 6);
/// What else is waited for at most.
pub(crate) const WAIT_MAX: Duration = Duration::from_secs(40);
/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(40);

/// Bases lie below the ports that systems hand out.
const BASE_FIRST: u16 = 10_000;
const BASES: u16 = 40;
/// A demo's ports end before base + 500.
const BASE_STEP: u16 = 500;

/// The one clock of these tests.
#[expect(clippy::disallowed_methods, reason = "tests of real processes take real time")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Waits until `look` says so, and says how long it took.
pub(crate) async fn eventually(what: &str, bound: Duration, mut look: impl AsyncFnMut() -> bool) -> Duration {
    let started = now();
    while !look().await {
        assert!(started.elapsed() < bound, "not within {bound:?}: {what}");
        tokio::time::sleep(LOOK_EVERY).await;
    }
    started.elapsed()
}

/// The binary under test: `CARTOGRAPH_BIN`, or what `cargo build` makes now.
pub(crate) fn binary() -> PathBuf {
    if let Some(path) = env::var_os("CARTOGRAPH_BIN") {
        return PathBuf::from(path);
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let built = Command::new(cargo)
        .args(["build", "--quiet", "--package", "cartograph"])
        .current_dir(root)
        .status()
        .unwrap_or_else(|e| panic!("cannot run cargo to build the binary under test: {e}"));
    assert!(built.success(), "the binary under test does not build");
    let target = env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    target.join("debug").join("cartograph")
}

/// A running demo.
pub(crate) struct Demo {
    child: Child,
    pub(crate) base: u16,
    pub(crate) regions: Vec<Region>,
    pub(crate) dir: TempDir,
    _slot: File,
}

/// One of its regions, by its doors.
#[derive(Clone, Debug)]
pub(crate) struct Region {
    pub(crate) name: String,
    pub(crate) http: u16,
    pub(crate) resp: u16,
    pub(crate) redis: Option<u16>,
}

/// Ports that no other test process has, for as long as the file lives.
pub(crate) fn slot(refused: &[u16]) -> (u16, File) {
    let bases = (0..BASES).map(|n| (n + u16::try_from(std::process::id() % 40).unwrap()) % BASES);
    for base in bases.map(|n| BASE_FIRST + n * BASE_STEP) {
        if refused.contains(&base) {
            continue;
        }
        let path = env::temp_dir().join(format!("cartograph-tests-ports-{base}.lock"));
        let file = File::options().create(true).append(true).open(path).unwrap();
        if file.try_lock().is_ok() {
            return (base, file);
        }
    }
    panic!("all {BASES} ranges of ports are taken; some by others than tests: {refused:?}");
}

/// What starts a demo.
pub(crate) fn command(base: u16, dir: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(binary());
    command
        .args([
            "demo",
            "--no-open",
            "--base-port",
            &base.to_string(),
            "--data-dir",
        ])
        .arg(dir)
        .args(arguments)
        .stdin(Stdio::null());
    command
}

fn spawn(base: u16, dir: &TempDir, arguments: &[&str]) -> Child {
    let log = File::create(dir.path().join("demo.log")).unwrap();
    command(base, &dir.path().join("data"), arguments)
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap()
}

impl Demo {
    /// Three regions, each in front of a Redis of its own.
    pub(crate) async fn start() -> Self {
        Self::start_with(&["--store", "redis"]).await
    }

    /// With these arguments.
    pub(crate) async fn start_with(arguments: &[&str]) -> Self {
        let mut refused = Vec::new();
        loop {
            let (base, slot) = slot(&refused);
            let dir = tempfile::tempdir().unwrap();
            let child = spawn(base, &dir, arguments);
            let mut demo = Demo {
                child,
                base,
                regions: Vec::new(),
                dir,
                _slot: slot,
            };
            if demo.serves().await {
                demo.find_regions().await;
                return demo;
            }
            let said = demo.log();
            assert!(said.contains(" is in use"), "the demo did not start:\n{said}");
            refused.push(base);
        }
    }

    fn log(&self) -> String {
        log(&self.dir)
    }

    /// Waits for `ready`; false when the demo has ended instead.
    async fn serves(&mut self) -> bool {
        let (child, dir) = (&mut self.child, &self.dir);
        let mut ended = false;
        eventually("the demo says `ready`", WAIT_MAX, async || {
            ended = child.try_wait().unwrap().is_some();
            ended || log(dir).lines().any(|line| line == "ready")
        })
        .await;
        !ended
    }

    /// Learns from the control API which regions there are.
    pub(crate) async fn find_regions(&mut self) {
        let port = |value: &Value| value.as_u64().and_then(|n| u16::try_from(n).ok());
        let list = self.api(Request::new("GET", "/api/regions")).await.ok().json();
        let region = |r: &Value| Region {
            name: r["name"].as_str().unwrap().to_owned(),
            http: port(&r["ports"]["http"]).unwrap(),
            resp: port(&r["ports"]["resp"]).unwrap(),
            redis: port(&r["ports"]["redis"]),
        };
        self.regions = list.as_array().unwrap().iter().map(region).collect();
    }

    /// Starts every node anew with one more limit in its settings.
    pub(crate) async fn limit(&self, setting: &str) {
        self.settings(&format!("[limits]\n{setting}")).await;
    }

    /// Starts every node anew with more settings.
    pub(crate) async fn settings(&self, more: &str) {
        for (number, region) in self.regions.iter().enumerate() {
            let file = self.dir.path().join("data").join(&region.name).join("node.toml");
            let settings = fs::read_to_string(&file).unwrap();
            fs::write(&file, format!("{settings}\n{more}\n")).unwrap();
            self.act(number, "kill").await;
            self.act(number, "start").await;
        }
    }

    /// Asks the control API.
    pub(crate) async fn api(&self, request: Request) -> Reply {
        let sent = send(self.base, &request).await;
        sent.unwrap_or_else(|trouble| panic!("{request:?}: {trouble}\n{}", self.log()))
    }

    /// An action on a region, `kill` or `store/kill` and such.
    pub(crate) async fn act(&self, region: usize, action: &str) {
        let path = format!("/api/regions/{}/{action}", self.regions[region].name);
        self.api(Request::new("POST", path)).await.ok();
    }

    /// Changes one direction.
    pub(crate) async fn link(&self, from: usize, to: usize, settings: Value) {
        let path = format!("/api/links/{}/{}", self.regions[from].name, self.regions[to].name);
        self.api(Request::new("PUT", path).json(&settings)).await.ok();
    }

    /// Cuts both directions.
    pub(crate) async fn cut(&self, a: usize, b: usize) {
        self.link(a, b, json!({"up": false})).await;
        self.link(b, a, json!({"up": false})).await;
    }

    /// Cuts a region off from all others.
    pub(crate) async fn isolate(&self, region: usize) {
        for other in (0..self.regions.len()).filter(|other| *other != region) {
            self.cut(region, other).await;
        }
    }

    pub(crate) async fn heal(&self) {
        self.api(Request::new("POST", "/api/heal")).await.ok();
    }

    /// Waits until all regions hold the same by their views, and says how long that took.
    pub(crate) async fn converges(&self) -> Duration {
        let started = now();
        loop {
            let verdict = self.api(Request::new("GET", "/api/converged?deep=1")).await.ok();
            if verdict.json()["converged"] == true {
                return started.elapsed();
            }
            assert!(
                started.elapsed() < CONVERGE_MAX,
                "no convergence within {CONVERGE_MAX:?}: {verdict:?}"
            );
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// `GET /v1/status` of a region.
    pub(crate) async fn status(&self, region: usize) -> Value {
        self.regions[region]
            .sends(Request::new("GET", "/v1/status"))
            .await
            .ok()
            .json()
    }

    /// The id of the replica that writes for a region now.
    pub(crate) async fn replica(&self, region: usize) -> String {
        let status = self.status(region).await;
        status["shards"][0]["replica"].as_str().unwrap().to_owned()
    }

    /// Waits until another incarnation than `before` writes for a region, and says which.
    pub(crate) async fn renewed(&self, region: usize, before: &str) -> String {
        let mut replica = before.to_owned();
        eventually("a new incarnation has begun", WAIT_MAX, async || {
            replica = self.replica(region).await;
            replica != before
        })
        .await;
        replica
    }

    /// A counter or gauge of a region's node, all labels together.
    pub(crate) async fn metric(&self, region: usize, name: &str) -> f64 {
        let text = self.regions[region]
            .sends(Request::new("GET", "/metrics"))
            .await
            .ok()
            .text();
        let value = |line: &str| {
            let (series, value) = line.rsplit_once(' ')?;
            let of = series.split('{').next()?;
            (of == name).then(|| value.parse::<f64>().unwrap())
        };
        let values: Vec<f64> = text.lines().filter_map(value).collect();
        values.iter().sum()
    }

    /// Waits until a region takes writes.
    pub(crate) async fn ready(&self, region: usize) -> Duration {
        let what = format!("{} is ready", self.regions[region].name);
        eventually(&what, WAIT_MAX, async || {
            let sent = send(self.regions[region].http, &Request::new("GET", "/readyz")).await;
            matches!(sent, Ok(reply) if reply.status == 200)
        })
        .await
    }

    /// The process ids of a region's node and Redis, where they run.
    pub(crate) async fn pids(&self, region: usize) -> (Option<i32>, Option<i32>) {
        let path = format!("/api/regions/{}", self.regions[region].name);
        let view = self.api(Request::new("GET", path)).await.ok().json();
        let pid = |value: &Value| value.as_i64().map(|n| i32::try_from(n).unwrap());
        (pid(&view["pids"]["node"]), pid(&view["pids"]["redis"]))
    }

    /// Stops it as Ctrl-C would; all that it started is gone then.
    pub(crate) async fn stop(mut self) {
        self.ends().await;
    }

    /// Stops it, and starts another over the same data.
    pub(crate) async fn restart(mut self) -> Self {
        self.ends().await;
        self.child = spawn(self.base, &self.dir, &[]);
        assert!(
            self.serves().await,
            "the demo did not start again:\n{}",
            self.log()
        );
        self
    }

    async fn ends(&mut self) {
        let mut pids = Vec::new();
        for region in 0..self.regions.len() {
            let (node, redis) = self.pids(region).await;
            pids.extend([node, redis].into_iter().flatten());
        }
        let id = i32::try_from(self.child.id()).unwrap();
        signal(id, Signal::TERM);
        let mut status: Option<ExitStatus> = None;
        eventually("the demo ends", WAIT_MAX, async || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        })
        .await;
        assert_eq!(status.and_then(|s| s.code()), Some(0), "{}", self.log());
        let left: Vec<i32> = pids.into_iter().filter(|pid| lives(*pid)).collect();
        assert!(left.is_empty(), "processes {left:?} outlive the demo");
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        // Gone already is as good; what it started dies with it.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- the demo said\n{}", tail(&self.log(), 40));
            for region in &self.regions {
                let path = self.dir.path().join("data").join(&region.name).join("node.log");
                let log = fs::read_to_string(path).unwrap_or_default();
                eprintln!("--- {}'s node said\n{}", region.name, tail(&log, 40));
            }
        }
    }
}

fn log(dir: &TempDir) -> String {
    fs::read_to_string(dir.path().join("demo.log")).unwrap_or_default()
}

fn tail(text: &str, lines: usize) -> String {
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

/// Sends a signal to a process that the demo started.
pub(crate) fn signal(pid: i32, signal: Signal) {
    kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
}

/// Whether a process exists and has not ended.
pub(crate) fn lives(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ")
        .is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

impl Region {
    /// Sends a request that must get a reply.
    pub(crate) async fn sends(&self, request: Request) -> Reply {
        let sent = send(self.http, &request).await;
        sent.unwrap_or_else(|trouble| panic!("{}: {request:?}: {trouble}", self.name))
    }

    /// Tries to; a node may be down.
    pub(crate) async fn tries(&self, request: &Request) -> Result<Reply, Trouble> {
        send(self.http, request).await
    }

    /// A cart's lines.
    pub(crate) async fn cart(&self, id: &str) -> Vec<(String, i64)> {
        let path = format!("/v1/carts/{}", segment(id));
        lines(&self.sends(Request::new("GET", path)).await.ok())
    }

    /// Adds, and expects an acknowledgement.
    pub(crate) async fn adds(&self, id: &str, sku: &str, quantity: i64) -> Reply {
        self.sends(add(id, sku, quantity)).await.ok()
    }

    /// Removes a line, and expects an acknowledgement.
    pub(crate) async fn removes(&self, id: &str, sku: &str) -> Reply {
        self.sends(remove(id, sku)).await.ok()
    }

    /// A connection to its Redis, past the node.
    pub(crate) fn redis(&self) -> Connection {
        Connection::to(self.redis.expect("this region has no Redis")).unwrap()
    }
}

/// The lines of a cart as an answer shows them.
pub(crate) fn lines(reply: &Reply) -> Vec<(String, i64)> {
    let line = |l: &Value| {
        (
            l["sku"].as_str().unwrap().to_owned(),
            l["quantity"].as_i64().unwrap(),
        )
    };
    reply.json()["lines"]
        .as_array()
        .unwrap()
        .iter()
        .map(line)
        .collect()
}

pub(crate) fn add(id: &str, sku: &str, quantity: i64) -> Request {
    let path = format!("/v1/carts/{}/items", segment(id));
    Request::new("POST", path).json(&json!({"sku": sku, "quantity": quantity}))
}

pub(crate) fn remove(id: &str, sku: &str) -> Request {
    Request::new(
        "DELETE",
        format!("/v1/carts/{}/items/{}", segment(id), segment(sku)),
    )
}
