//! Looks at the regions while a page listens: twice a second at their states, five times a second at the watched carts.
//!
//! Nothing is asked while nobody listens, except what ends a load: whether its writes are all there. A region that is known
//! not to answer is not asked, and one that is slow holds up nobody else's look.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::metrics::{Change, Look};
use crate::demo::clock;
use crate::demo::cluster::Demo;
use crate::demo::converged::{self, Target};
use crate::demo::gcp;
use crate::demo::http::percent_encode;
use crate::demo::process::Phase;
use crate::demo::region::Region;

/// Time between two looks at the carts.
const EVERY: Duration = Duration::from_millis(200);
/// Looks at carts for one at the states.
const STATES_EVERY: u64 = 2;
/// Looks at carts for one at the metrics.
const METRICS_EVERY: u64 = 5;
/// Looks at carts for one at a load that has ended.
const LOAD_EVERY: u64 = 10;
/// How long a node may take to answer.
const ANSWER_MAX: Duration = Duration::from_millis(700);

/// What one look leaves for the next.
#[derive(Default)]
struct Memory {
    /// By region: its status, where it answered.
    statuses: BTreeMap<String, Value>,
    looks: BTreeMap<String, (Instant, Look)>,
    changes: BTreeMap<String, Change>,
    /// By cart and region: the lines as last recorded.
    carts: BTreeMap<(String, String), Value>,
}

/// Looks until the demo stops.
pub(crate) async fn run(demo: Arc<Demo>) {
    let mut memory = Memory::default();
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut count = 0_u64;
    loop {
        tokio::select! {
            () = demo.stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        count += 1;
        if count.is_multiple_of(LOAD_EVERY) && demo.page.load.is_due() {
            check_load(&demo).await;
        }
        if !demo.page.record.is_heard() {
            memory.carts.clear();
            continue;
        }
        for link in demo.links.all() {
            demo.page.round_trips.follow(&link);
        }
        look_at_carts(&demo, &mut memory).await;
        if count.is_multiple_of(METRICS_EVERY) {
            look_at_metrics(&demo, &mut memory).await;
        }
        if count.is_multiple_of(STATES_EVERY) {
            memory.statuses = ask_all(&demo, "/v1/status").await;
            demo.page.record.send("state", &state(&demo, &memory));
        }
    }
}

/// Asks every running region for the same path, all at once, and keeps what is JSON.
async fn ask_all(demo: &Arc<Demo>, path: &str) -> BTreeMap<String, Value> {
    let mut asking = JoinSet::new();
    for region in running(demo) {
        let (http, url) = (demo.http.clone(), format!("{}{path}", region.http()));
        asking.spawn(async move { (region.name.clone(), http.get::<Value>(&url, ANSWER_MAX).await) });
    }
    let answers = asking.join_all().await.into_iter();
    answers
        .filter_map(|(name, answer)| Some((name, answer.ok()?)))
        .collect()
}

fn running(demo: &Demo) -> Vec<Arc<Region>> {
    let mut regions = demo.regions();
    regions.retain(|region| region.node.phase() == Phase::Running);
    regions
}

async fn look_at_carts(demo: &Arc<Demo>, memory: &mut Memory) {
    let watched = demo.page.audience.carts();
    memory.carts.retain(|(cart, _), _| watched.contains(cart));
    for cart in watched {
        let path = format!("/v1/carts/{}", percent_encode(&cart));
        for (region, answer) in ask_all(demo, &path).await {
            let lines = answer.get("lines").cloned().unwrap_or_default();
            let key = (cart.clone(), region.clone());
            let known = memory.carts.get(&key);
            // An absent cart that was never there before is no news.
            let is_news = known.map_or(lines != json!([]), |known| *known != lines);
            if is_news {
                let event = json!({"cart": cart, "region": region, "lines": lines});
                demo.page.record.keep("cart", event);
            }
            memory.carts.insert(key, lines);
        }
    }
}

async fn look_at_metrics(demo: &Arc<Demo>, memory: &mut Memory) {
    let mut asking = JoinSet::new();
    for region in running(demo) {
        let (http, url) = (demo.http.clone(), format!("{}/metrics", region.http()));
        asking.spawn(async move {
            let answer = http.send(hyper::Method::GET, &url, None, ANSWER_MAX).await;
            (region.name.clone(), answer)
        });
    }
    memory.changes.clear();
    for (name, answer) in asking.join_all().await {
        let Ok(answer) = answer else { continue };
        let look = Look::parse(&String::from_utf8_lossy(&answer.body));
        let now = clock::now();
        if let Some((then, earlier)) = memory.looks.get(&name) {
            let change = look.since(earlier, (now - *then).as_secs_f64());
            memory.changes.insert(name.clone(), change);
        }
        memory.looks.insert(name, (now, look));
    }
}

/// Everything that the page shows of regions and links now.
fn state(demo: &Demo, memory: &Memory) -> Value {
    let regions: Vec<Value> = demo
        .regions()
        .iter()
        .map(|region| region_state(demo, memory, region))
        .collect();
    let links: Vec<Value> = demo
        .links
        .all()
        .iter()
        .map(|link| {
            let mut value = json!(link.view());
            let peer = memory
                .statuses
                .get(&link.from)
                .and_then(|status| status.get("peers")?.get(&link.to));
            let field = |name: &str| peer.and_then(|peer| peer.get(name)).cloned().unwrap_or_default();
            let applied = memory
                .changes
                .get(&link.to)
                .and_then(|change| change.applied.get(&link.from));
            let round_trip = demo.page.round_trips.of(link);
            if let Value::Object(fields) = &mut value {
                fields.extend([
                    (
                        "usual_ms".to_owned(),
                        json!(gcp::one_way(&link.from, &link.to).as_millis()),
                    ),
                    (
                        "rtt_ms".to_owned(),
                        json!(round_trip.map(|took| tenths(took.as_secs_f64() * 1000.0))),
                    ),
                    ("connected".to_owned(), field("connected_out")),
                    ("lag_ms".to_owned(), field("lag_ms")),
                    ("waiting".to_owned(), field("entries_behind")),
                    ("queue_bytes".to_owned(), field("queue_bytes")),
                    ("error".to_owned(), field("error")),
                    (
                        "applied_per_s".to_owned(),
                        json!(applied.map(|(rate, _)| tenths(*rate))),
                    ),
                    (
                        "apply_ms".to_owned(),
                        json!(applied.and_then(|(_, age)| age.map(tenths))),
                    ),
                ]);
            }
            value
        })
        .collect();
    json!({"t": clock::unix_ms(), "regions": regions, "links": links, "load": demo.page.load.view()})
}

fn region_state(demo: &Demo, memory: &Memory, region: &Region) -> Value {
    let mut value = region.view(&demo.store);
    let status = memory.statuses.get(&region.name);
    let field = |name: &str| {
        status
            .and_then(|status| status.get(name))
            .cloned()
            .unwrap_or_default()
    };
    let change = memory.changes.get(&region.name);
    if let Value::Object(fields) = &mut value {
        fields.extend([
            ("answers".to_owned(), json!(status.is_some())),
            ("ready".to_owned(), field("ready")),
            ("keys".to_owned(), field("keys")),
            ("warnings".to_owned(), field("warnings")),
            (
                "writes_per_s".to_owned(),
                json!(change.map(|change| tenths(change.writes_per_second))),
            ),
            (
                "reads_per_s".to_owned(),
                json!(change.map(|change| tenths(change.reads_per_second))),
            ),
            (
                "entries_per_s".to_owned(),
                json!(change.map(|change| tenths(change.entries_per_second))),
            ),
            (
                "log_entries".to_owned(),
                json!(change.map(|change| change.log_entries)),
            ),
            (
                "p50_ms".to_owned(),
                json!(change.and_then(|change| change.p50_ms.map(hundredths))),
            ),
            (
                "p99_ms".to_owned(),
                json!(change.and_then(|change| change.p99_ms.map(hundredths))),
            ),
        ]);
    }
    value
}

fn tenths(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

fn hundredths(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

/// Compares the load's ledger with every region, once they agree.
async fn check_load(demo: &Arc<Demo>) {
    let regions = demo.regions();
    if regions.iter().any(|region| region.node.phase() != Phase::Running) {
        return;
    }
    let targets: Vec<Target> = regions
        .iter()
        .map(|region| Target {
            name: region.name.clone(),
            node: Ok(region.http()),
        })
        .collect();
    let now = clock::unix_ms();
    if converged::compare(&demo.http, &targets, now, false)
        .await
        .converged
    {
        demo.page.load.check(demo, now).await;
    }
}
