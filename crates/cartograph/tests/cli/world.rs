//! A world to try the command line on: regions and a demo's control API that keep the HTTP contract in memory.
//!
//! Replication is immediate here, and each region may be told to misbehave in one of the ways that the tools
//! exist to notice: to lose writes, to count them twice, to answer nothing, to be cut off.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use axum::{Json, Router};
use serde_json::{Value, json};

pub(crate) const NAMES: [&str; 3] = ["us-central1", "europe-west1", "asia-southeast1"];

/// How the world misbehaves. Counts are over the adds to ledger carts, so that each run can hit some.
#[derive(Clone, Debug, Default)]
pub(crate) struct Faults {
    /// Acknowledge every n-th ledger add and do nothing.
    pub(crate) lose_every: Option<u64>,
    /// Apply every n-th ledger add twice.
    pub(crate) double_every: Option<u64>,
    /// Apply every n-th ledger add, and answer 503.
    pub(crate) unknown_every: Option<u64>,
    /// Refuse every n-th ledger add with 400.
    pub(crate) refuse_every: Option<u64>,
    /// Regions whose writes stay where they are, and that see no others'.
    pub(crate) cut: BTreeSet<usize>,
    /// Regions whose `/readyz` says 503.
    pub(crate) unready: BTreeSet<usize>,
    /// Never answer comparisons.
    pub(crate) compare_hangs: bool,
    /// Answer comparisons with "not yet", and no difference.
    pub(crate) compare_behind: bool,
    /// Answer nothing in this time after the first cart request.
    pub(crate) stall: Option<(Duration, Duration)>,
}

#[derive(Debug, Default)]
pub(crate) struct Inner {
    /// Per region: cart, line, quantity.
    pub(crate) carts: Vec<BTreeMap<String, BTreeMap<String, i64>>>,
    /// Per region: how many writes of each region it has applied.
    vectors: Vec<Vec<u64>>,
    /// How often each kind of request came, by method and form.
    pub(crate) requests: BTreeMap<String, u64>,
    /// The idempotency keys seen.
    pub(crate) keys: Vec<String>,
    faults: Faults,
    ledger_adds: u64,
    first_request: Option<Instant>,
}

#[derive(Clone, Debug)]
pub(crate) struct World {
    inner: Arc<Mutex<Inner>>,
    pub(crate) regions: Vec<SocketAddr>,
    pub(crate) demo: SocketAddr,
}

/// One region's view of the world.
#[derive(Clone)]
struct Node {
    index: usize,
    inner: Arc<Mutex<Inner>>,
}

impl World {
    pub(crate) async fn start(faults: Faults) -> Self {
        let count = NAMES.len();
        let inner = Inner {
            carts: vec![BTreeMap::new(); count],
            vectors: vec![vec![0; count]; count],
            faults,
            ..Inner::default()
        };
        let inner = Arc::new(Mutex::new(inner));
        let mut regions = Vec::new();
        for index in 0..count {
            regions.push(
                serve(region_router(Node {
                    index,
                    inner: Arc::clone(&inner),
                }))
                .await,
            );
        }
        let demo = serve(demo_router(&inner, &regions)).await;
        Self { inner, regions, demo }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap()
    }

    pub(crate) fn heal_readiness(&self) {
        self.lock().faults.unready.clear();
    }

    pub(crate) fn demo_url(&self) -> String {
        format!("http://{}", self.demo)
    }

    /// `--region NAME=URL` for every region.
    pub(crate) fn region_flags(&self) -> Vec<String> {
        let flag = |(name, address)| format!("--region={name}=http://{address}");
        NAMES.iter().zip(&self.regions).map(flag).collect()
    }
}

async fn serve(router: Router) -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    address
}

fn region_router(node: Node) -> Router {
    Router::new()
        .route("/readyz", get(ready))
        .route("/v1/status", get(status))
        .route("/v1/digest", get(digest))
        .route("/v1/carts/{id}", get(read).delete(clear))
        .route("/v1/carts/{id}/items", post(add))
        .route("/v1/carts/{id}/items/{sku}", put(set).delete(remove))
        .route("/v1/carts/{id}/merge", post(merge))
        .route("/v1/carts/{id}/explain", get(explain))
        .with_state(node)
}

fn refusal(status: u16, code: &str, message: &str) -> Response {
    let body = Json(json!({"error": {"code": code, "message": message}}));
    (StatusCode::from_u16(status).unwrap(), body).into_response()
}

impl Node {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap()
    }

    /// Counts the request, and waits while the world stalls.
    async fn enter(&self, what: &str) {
        let until = {
            let mut inner = self.lock();
            *inner.requests.entry(what.to_owned()).or_default() += 1;
            let first = *inner.first_request.get_or_insert_with(Instant::now);
            let stalls = |(from, to): (Duration, Duration)| {
                let elapsed = first.elapsed();
                (from..to).contains(&elapsed).then(|| first + to)
            };
            inner.faults.stall.and_then(stalls)
        };
        if let Some(until) = until {
            tokio::time::sleep_until(until.into()).await;
        }
    }

    fn cart(&self, id: &str) -> Response {
        let inner = self.lock();
        let shown = inner.carts[self.index]
            .get(id)
            .into_iter()
            .flatten()
            .filter(|(_, quantity)| **quantity > 0);
        let lines: Vec<Value> = shown
            .map(|(sku, quantity)| json!({"sku": sku, "quantity": quantity}))
            .collect();
        Json(json!({"cart_id": id, "region": NAMES[self.index], "lines": lines})).into_response()
    }

    /// Applies a write here and wherever it reaches.
    fn write(&self, id: &str, change: impl Fn(&mut BTreeMap<String, i64>)) {
        let mut inner = self.lock();
        let cut = inner.faults.cut.clone();
        for to in 0..NAMES.len() {
            if to == self.index || !(cut.contains(&to) || cut.contains(&self.index)) {
                change(inner.carts[to].entry(id.to_owned()).or_default());
                inner.vectors[to][self.index] += 1;
            }
        }
    }

    /// How many times to apply this add, and what to answer.
    fn fault(&self, id: &str) -> (i64, Option<Response>) {
        let mut inner = self.lock();
        if !id.contains("ledger") {
            return (1, None);
        }
        inner.ledger_adds += 1;
        let count = inner.ledger_adds;
        let hit = |every: Option<u64>| every.is_some_and(|every| count.is_multiple_of(every));
        if hit(inner.faults.lose_every) {
            (0, None)
        } else if hit(inner.faults.double_every) {
            (2, None)
        } else if hit(inner.faults.unknown_every) {
            // Half of those whose outcome is unknown happened.
            (
                i64::from(count.is_multiple_of(2)),
                Some(refusal(503, "CG-0503", "the store does not answer")),
            )
        } else if hit(inner.faults.refuse_every) {
            (0, Some(refusal(400, "CG-0400", "not today")))
        } else {
            (1, None)
        }
    }
}

async fn ready(State(node): State<Node>) -> Response {
    if node.lock().faults.unready.contains(&node.index) {
        return refusal(503, "CG-0001", "waiting for the store");
    }
    "ok\n".into_response()
}

async fn status(State(node): State<Node>) -> Json<Value> {
    let inner = node.lock();
    let peer = |name: &&str| {
        (
            (*name).to_owned(),
            json!({"connected": true, "lag_ms": 3, "entries_behind": "0"}),
        )
    };
    let peers: serde_json::Map<String, Value> = NAMES
        .iter()
        .filter(|name| **name != NAMES[node.index])
        .map(peer)
        .collect();
    Json(json!({
        "region": NAMES[node.index], "region_id": node.index + 1, "store": "memory", "durability": "process",
        "keys": inner.carts[node.index].len(), "peers": peers,
        "shards": [{"shard": 0, "version_vector": vector(&inner, node.index)}],
    }))
}

fn vector(inner: &Inner, index: usize) -> BTreeMap<String, String> {
    let replica = |(region, sequence): (usize, &u64)| (format!("{}-9", region + 1), sequence.to_string());
    inner.vectors[index].iter().enumerate().map(replica).collect()
}

async fn digest(State(node): State<Node>, Query(query): Query<BTreeMap<String, String>>) -> Response {
    assert!(query["as_of"].parse::<u64>().is_ok());
    hang_if(&node.inner).await;
    let inner = node.lock();
    let mut buckets = [0_u64; 4];
    for cart in &inner.carts[node.index] {
        let mut hasher = DefaultHasher::new();
        cart.hash(&mut hasher);
        buckets[usize::try_from(hasher.finish() % 4).unwrap()] ^= hasher.finish();
    }
    let buckets: Vec<String> = buckets.iter().map(|bucket| format!("{bucket:016x}")).collect();
    Json(json!({
        "region": NAMES[node.index], "version_vectors": {"0": vector(&inner, node.index)}, "as_of": query["as_of"],
        "buckets": {"0": buckets},
    })).into_response()
}

async fn hang_if(inner: &Arc<Mutex<Inner>>) {
    let hangs = inner.lock().unwrap().faults.compare_hangs;
    if hangs {
        std::future::pending::<()>().await;
    }
}

async fn read(State(node): State<Node>, Path(id): Path<String>) -> Response {
    node.enter("get").await;
    node.cart(&id)
}

async fn clear(State(node): State<Node>, Path(id): Path<String>) -> Response {
    node.enter("clear").await;
    node.write(&id, BTreeMap::clear);
    node.cart(&id)
}

async fn add(
    State(node): State<Node>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Json<Value>,
) -> Response {
    node.enter("add").await;
    if let Some(key) = headers.get("Idempotency-Key") {
        node.lock().keys.push(key.to_str().unwrap().to_owned());
    }
    let (sku, quantity) = (
        body["sku"].as_str().unwrap().to_owned(),
        body["quantity"].as_i64().unwrap(),
    );
    let (times, answer) = node.fault(&id);
    if times > 0 {
        node.write(&id, |cart| {
            *cart.entry(sku.clone()).or_default() += times * quantity;
        });
    }
    answer.unwrap_or_else(|| node.cart(&id))
}

async fn set(
    State(node): State<Node>,
    Path((id, sku)): Path<(String, String)>,
    body: Json<Value>,
) -> Response {
    node.enter("set").await;
    let quantity = body["quantity"].as_i64().unwrap();
    if quantity > 1_000_000 {
        return refusal(422, "CG-0042", "a line holds at most 1000000");
    }
    node.write(&id, |cart| {
        cart.insert(sku.clone(), quantity);
    });
    node.cart(&id)
}

async fn remove(State(node): State<Node>, Path((id, sku)): Path<(String, String)>) -> Response {
    node.enter("remove").await;
    node.write(&id, |cart| {
        cart.remove(&sku);
    });
    node.cart(&id)
}

async fn merge(State(node): State<Node>, Path(id): Path<String>, body: Json<Value>) -> Response {
    node.enter("merge").await;
    let from = body["from"].as_str().unwrap();
    let lines = node.lock().carts[node.index]
        .get(from)
        .cloned()
        .unwrap_or_default();
    node.write(from, BTreeMap::clear);
    node.write(&id, |cart| {
        for (sku, quantity) in &lines {
            *cart.entry(sku.clone()).or_default() += quantity;
        }
    });
    node.cart(&id)
}

async fn explain(State(node): State<Node>, Path(id): Path<String>) -> Response {
    let inner = node.lock();
    let line = |(sku, quantity): (&String, &i64)| {
        let write = json!({"replica": "1-9", "region": NAMES[0], "sequence": "17", "index": 0,
                           "at_ms": "1795237501123", "kind": "add", "value": quantity.to_string(),
                           "decided": "counted"});
        json!({"sku": sku, "quantity": quantity, "shown": quantity.to_string(), "writes": [write], "removed": [],
               "rule": "adds of all regions sum up"})
    };
    let lines: Vec<Value> = inner.carts[node.index]
        .get(&id)
        .into_iter()
        .flatten()
        .map(line)
        .collect();
    Json(json!({"cart_id": id, "region": NAMES[node.index], "lines": lines, "conflicts": []})).into_response()
}

fn demo_router(inner: &Arc<Mutex<Inner>>, regions: &[SocketAddr]) -> Router {
    let list = NAMES.iter().zip(regions).zip(1..);
    let list: Vec<Value> = list
        .map(|((name, address), id)| json!({"name": name, "id": id, "http": format!("http://{address}"), "new": 1}))
        .collect();
    Router::new()
        .route("/api/regions", get(move || async move { Json(list) }))
        .route("/api/converged", get(converged))
        .with_state(Arc::clone(inner))
}

async fn converged(State(inner): State<Arc<Mutex<Inner>>>) -> Json<Value> {
    hang_if(&inner).await;
    let inner = inner.lock().unwrap();
    if inner.faults.compare_behind {
        return Json(json!({"converged": false, "diff": []}));
    }
    let mut places = BTreeSet::new();
    for (id, lines) in inner.carts.iter().flatten() {
        places.extend(lines.keys().map(|sku| (id.clone(), sku.clone())));
    }
    let value = |region: usize, (id, sku): &(String, String)| {
        inner.carts[region]
            .get(id)
            .and_then(|cart| cart.get(sku))
            .map(ToString::to_string)
    };
    let differs =
        |place: &&(String, String)| (1..NAMES.len()).any(|region| value(region, place) != value(0, place));
    let difference = |place: &(String, String)| {
        let values: BTreeMap<&str, Option<String>> = NAMES
            .iter()
            .enumerate()
            .map(|(region, name)| (*name, value(region, place)))
            .collect();
        json!({"key": format!("cart:{}", place.0), "field": place.1, "values": values})
    };
    let diff: Vec<Value> = places.iter().filter(differs).map(difference).collect();
    Json(json!({"converged": diff.is_empty(), "diff": diff}))
}
