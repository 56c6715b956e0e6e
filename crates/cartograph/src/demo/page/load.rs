//! Real load from the page's sliders: shoppers of the demo itself, at a set rate per region, with a ledger of their own.
//!
//! Two kinds of lines, so that the truth is known without asking the product:
//!
//! - *shared* lines, to which every region only adds: what was acknowledged must be there, to the unit;
//! - *own* lines, which one region alone adds and removes, one request at a time: the last acknowledged one decides.
//!
//! Everything is bounded: [`CARTS`] carts, [`IN_FLIGHT_MAX`] requests at a time and region, [`PER_SECOND_MAX`] a second. What
//! finds no room is shed and counted. [`Ledger::check`] compares when the load has ended and the regions agree.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::{Method, Request, StatusCode};
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::time::{MissedTickBehavior, interval};

use crate::demo::cluster::Demo;
use crate::demo::error::{Error, Result};
use crate::demo::http::Http;
use crate::demo::process::Phase;
use crate::demo::region::Region;

/// The most requests a second and region.
pub(super) const PER_SECOND_MAX: u32 = 1_000;
/// Requests under way at a time, each region.
const IN_FLIGHT_MAX: usize = 48;
/// The carts that are written.
const CARTS: u64 = 24;
/// The shared lines of each.
const SHARED: [&str; 4] = ["OLJCESPC7Z", "66VCHSJNUP", "1YMWWN1N4O", "L9ECAV7KIM"];
/// Time between two instalments.
const TICK: Duration = Duration::from_millis(20);
/// How long a request may take.
const REQUEST_MAX: Duration = Duration::from_secs(3);

/// The load of all regions.
#[derive(Debug)]
pub(super) struct Load {
    http: Http,
    shared: Arc<Mutex<Shared>>,
}

impl Default for Load {
    fn default() -> Self {
        Self {
            http: Http::pooled(),
            shared: Arc::default(),
        }
    }
}

#[derive(Debug, Default)]
struct Shared {
    rates: BTreeMap<String, u32>,
    /// Regions whose shopper runs.
    running: BTreeMap<String, u64>,
    ledger: Ledger,
}

/// What the load's own writes must have come to.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    acknowledged: u64,
    refused: u64,
    unknown: u64,
    shed: u64,
    reads: u64,
    /// Per cart and shared line: acknowledged units, and units that may be there besides.
    sums: BTreeMap<(u64, &'static str), (u64, u64)>,
    /// Per cart and region's own line.
    own: BTreeMap<(u64, String), Own>,
    /// Whether something was written since the last check.
    dirty: bool,
    checked: Option<Checked>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Own {
    /// A request is under way.
    Busy,
    /// The last acknowledged request added it.
    There,
    /// The last acknowledged request removed it.
    Gone,
    /// A request's outcome is unknown: the line is not used again.
    Doubtful,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Checked {
    at_ms: u64,
    lost: u64,
    resurrected: u64,
}

/// One request of the load.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Read { cart: u64 },
    Add { cart: u64, sku: &'static str },
    AddOwn { cart: u64 },
    RemoveOwn { cart: u64 },
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Acknowledged,
    Refused,
    Unknown,
}

impl Ledger {
    /// The `count`th request of a region: out of twenty, eleven add, four read, five change an own line.
    fn plan(&mut self, region: &str, count: u64) -> Step {
        // Steps that have no divisor in common with the carts, so that every cart sees every kind.
        let cart = count.wrapping_mul(7).wrapping_add(count / 20) % CARTS;
        match count % 20 {
            0..11 => {
                let sku = usize::try_from(count / CARTS % 4)
                    .ok()
                    .and_then(|at| SHARED.get(at));
                Step::Add {
                    cart,
                    sku: sku.copied().unwrap_or("OLJCESPC7Z"),
                }
            }
            11..16 => {
                let own = self.own.entry((cart, region.to_owned())).or_insert(Own::Gone);
                match *own {
                    Own::Gone => {
                        *own = Own::Busy;
                        Step::AddOwn { cart }
                    }
                    Own::There => {
                        *own = Own::Busy;
                        Step::RemoveOwn { cart }
                    }
                    Own::Busy | Own::Doubtful => Step::Read { cart },
                }
            }
            _ => Step::Read { cart },
        }
    }

    fn book(&mut self, region: &str, step: &Step, outcome: Outcome) {
        if let Step::Read { .. } = step {
            self.reads += 1;
            return;
        }
        self.dirty = true;
        match outcome {
            Outcome::Acknowledged => self.acknowledged += 1,
            Outcome::Refused => self.refused += 1,
            Outcome::Unknown => self.unknown += 1,
        }
        let (cart, before, after) = match step {
            Step::Read { .. } => return,
            Step::Add { cart, sku } => {
                let (sure, maybe) = self.sums.entry((*cart, sku)).or_default();
                match outcome {
                    Outcome::Acknowledged => *sure += 1,
                    Outcome::Unknown => *maybe += 1,
                    Outcome::Refused => {}
                }
                return;
            }
            Step::AddOwn { cart } => (*cart, Own::Gone, Own::There),
            Step::RemoveOwn { cart } => (*cart, Own::There, Own::Gone),
        };
        let now = match outcome {
            Outcome::Acknowledged => after,
            Outcome::Refused => before,
            Outcome::Unknown => Own::Doubtful,
        };
        self.own.insert((cart, region.to_owned()), now);
    }

    /// Compares carts, as one region shows them, with what was acknowledged: units lost, and units or lines too many.
    fn check(&self, carts: &BTreeMap<u64, BTreeMap<String, u64>>) -> (u64, u64) {
        let shown = |cart: u64, sku: &str| {
            carts
                .get(&cart)
                .and_then(|lines| lines.get(sku))
                .copied()
                .unwrap_or(0)
        };
        let (mut lost, mut resurrected) = (0, 0);
        for ((cart, sku), (sure, maybe)) in &self.sums {
            let there = shown(*cart, sku);
            lost += sure.saturating_sub(there);
            resurrected += there.saturating_sub(sure + maybe);
        }
        for ((cart, region), own) in &self.own {
            let there = shown(*cart, &own_line(region)) > 0;
            match own {
                Own::There if !there => lost += 1,
                Own::Gone if there => resurrected += 1,
                Own::There | Own::Gone | Own::Busy | Own::Doubtful => {}
            }
        }
        (lost, resurrected)
    }
}

/// The line that only this region writes.
fn own_line(region: &str) -> String {
    format!("only-in-{region}")
}

fn cart_name(cart: u64) -> String {
    format!("load-{cart:02}")
}

impl Load {
    fn shared(&self) -> std::sync::MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets a region's rate; the first above 0 begins its shopper, which ends at 0.
    ///
    /// # Errors
    /// The rate is above [`PER_SECOND_MAX`]; nothing changed.
    pub(super) fn set(&self, demo: &Arc<Demo>, region: &Arc<Region>, per_second: u32) -> Result<()> {
        if per_second > PER_SECOND_MAX {
            return Err(Error::bad_request(format!(
                "per_second is {per_second}, expected 0 to {PER_SECOND_MAX}"
            )));
        }
        let mut shared = self.shared();
        shared.rates.insert(region.name.clone(), per_second);
        if per_second > 0 && !shared.running.contains_key(&region.name) {
            shared.running.insert(region.name.clone(), 0);
            tokio::spawn(shop(Arc::clone(demo), Arc::clone(region)));
        }
        Ok(())
    }

    /// All rates and the ledger's totals.
    pub(super) fn view(&self) -> Value {
        let shared = self.shared();
        let ledger = &shared.ledger;
        let checked = ledger.checked.map(
            |checked| json!({"at": checked.at_ms, "lost": checked.lost, "resurrected": checked.resurrected}),
        );
        json!({"per_second": shared.rates, "per_second_max": PER_SECOND_MAX, "acknowledged": ledger.acknowledged,
            "refused": ledger.refused, "unknown": ledger.unknown, "shed": ledger.shed, "reads": ledger.reads,
            "unchecked": ledger.dirty, "checked": checked})
    }

    /// Whether the load has ended with writes that were not compared yet.
    pub(super) fn is_due(&self) -> bool {
        let shared = self.shared();
        shared.ledger.dirty && shared.running.is_empty()
    }

    /// Compares every region's load carts with the ledger; the caller has found the regions in agreement. Nothing is said
    /// when a region does not answer or the load began again meanwhile.
    pub(super) async fn check(&self, demo: &Demo, at_ms: u64) {
        let mut found = Checked {
            at_ms,
            ..Checked::default()
        };
        for region in demo.regions() {
            let mut carts = BTreeMap::new();
            for cart in 0..CARTS {
                let url = format!("{}/v1/carts/{}", region.http(), cart_name(cart));
                let Ok(body) = demo.http.get::<Value>(&url, REQUEST_MAX).await else {
                    return;
                };
                carts.insert(cart, lines(&body));
            }
            let (lost, resurrected) = self.shared().ledger.check(&carts);
            found.lost = found.lost.max(lost);
            found.resurrected = found.resurrected.max(resurrected);
        }
        let mut shared = self.shared();
        if shared.running.is_empty() {
            shared.ledger.dirty = false;
            shared.ledger.checked = Some(found);
        }
    }
}

fn lines(cart: &Value) -> BTreeMap<String, u64> {
    let lines = cart.get("lines").and_then(Value::as_array);
    lines
        .into_iter()
        .flatten()
        .filter_map(|line| {
            Some((
                line.get("sku")?.as_str()?.to_owned(),
                line.get("quantity")?.as_u64()?,
            ))
        })
        .collect()
}

/// One region's shopper: hands out requests at the set rate until it is 0 and all have ended.
async fn shop(demo: Arc<Demo>, region: Arc<Region>) {
    let room = Arc::new(Semaphore::new(IN_FLIGHT_MAX));
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let (mut owed, mut count) = (0.0_f64, 0_u64);
    loop {
        tokio::select! {
            () = demo.stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        let load = &demo.page.load;
        let rate = load.shared().rates.get(&region.name).copied().unwrap_or(0);
        if rate == 0 {
            break;
        }
        owed += f64::from(rate) * TICK.as_secs_f64();
        while owed >= 1.0 {
            owed -= 1.0;
            count += 1;
            let permit = (region.node.phase() == Phase::Running)
                .then(|| Arc::clone(&room).try_acquire_owned().ok())
                .flatten();
            let Some(permit) = permit else {
                load.shared().ledger.shed += 1;
                continue;
            };
            let step = load.shared().ledger.plan(&region.name, count);
            let (demo, region) = (Arc::clone(&demo), Arc::clone(&region));
            tokio::spawn(async move {
                let outcome = send(&demo.page.load.http, &region, &step).await;
                demo.page.load.shared().ledger.book(&region.name, &step, outcome);
                drop(permit);
            });
        }
    }
    // Whoever holds all permits knows that nothing is under way.
    let all = u32::try_from(IN_FLIGHT_MAX).unwrap_or(u32::MAX);
    let _ended = room.acquire_many(all).await;
    let again = {
        let mut shared = demo.page.load.shared();
        shared.running.remove(&region.name);
        shared.rates.get(&region.name).copied().unwrap_or(0)
    };
    if again > 0 {
        let _ = demo.page.load.set(&demo, &region, again);
    }
}

async fn send(http: &Http, region: &Region, step: &Step) -> Outcome {
    let own = own_line(&region.name);
    let url = |cart: u64, rest: &str| format!("{}/v1/carts/{}{rest}", region.http(), cart_name(cart));
    let add = |sku: &str| Bytes::from(json!({"sku": sku, "quantity": 1}).to_string());
    let (method, url, body) = match step {
        Step::Read { cart } => (Method::GET, url(*cart, ""), Bytes::new()),
        Step::Add { cart, sku } => (Method::POST, url(*cart, "/items"), add(sku)),
        Step::AddOwn { cart } => (Method::POST, url(*cart, "/items"), add(&own)),
        Step::RemoveOwn { cart } => (Method::DELETE, url(*cart, &format!("/items/{own}")), Bytes::new()),
    };
    let request = Request::builder()
        .method(method)
        .uri(url)
        .header("content-type", "application/json")
        .body(Full::new(body));
    let Ok(request) = request else {
        return Outcome::Refused;
    };
    match http.exchange(request, REQUEST_MAX).await {
        Ok(answer) if answer.status() == StatusCode::OK => Outcome::Acknowledged,
        Ok(answer) => {
            let body: Value = serde_json::from_slice(answer.body()).unwrap_or_default();
            let said = body.get("error").and_then(|error| error.get("outcome"));
            if said == Some(&Value::from("definite")) {
                Outcome::Refused
            } else {
                Outcome::Unknown
            }
        }
        Err(lost) if !lost.sent => Outcome::Refused,
        Err(_) => Outcome::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(ledger: &mut Ledger, outcome: impl Fn(u64) -> Outcome) -> BTreeMap<u64, BTreeMap<String, u64>> {
        let mut carts: BTreeMap<u64, BTreeMap<String, u64>> = BTreeMap::new();
        for count in 0..5_000 {
            for region in ["a", "b"] {
                let step = ledger.plan(region, count);
                let outcome = outcome(count);
                if outcome == Outcome::Acknowledged {
                    match &step {
                        Step::Read { .. } => {}
                        Step::Add { cart, sku } => {
                            *carts
                                .entry(*cart)
                                .or_default()
                                .entry((*sku).to_owned())
                                .or_default() += 1;
                        }
                        Step::AddOwn { cart } => {
                            carts.entry(*cart).or_default().insert(own_line(region), 1);
                        }
                        Step::RemoveOwn { cart } => {
                            carts.entry(*cart).or_default().remove(&own_line(region));
                        }
                    }
                }
                ledger.book(region, &step, outcome);
            }
        }
        carts
    }

    #[test]
    fn a_store_that_keeps_everything_passes_and_one_that_loses_or_revives_does_not() {
        let mut ledger = Ledger::default();
        let mut carts = run(&mut ledger, |count| match count % 50 {
            3 => Outcome::Refused,
            7 => Outcome::Unknown,
            _ => Outcome::Acknowledged,
        });
        assert!(ledger.acknowledged > 5_000 && ledger.unknown > 0 && ledger.reads > 1_000);
        assert!(ledger.own.values().any(|own| *own == Own::There));
        assert_eq!(ledger.check(&carts), (0, 0));
        let gone = ledger
            .own
            .iter()
            .find(|(_, own)| **own == Own::Gone)
            .unwrap()
            .0
            .clone();
        carts.get_mut(&gone.0).unwrap().insert(own_line(&gone.1), 1);
        assert_eq!(ledger.check(&carts), (0, 1), "a removed line came back");
        let ((cart, sku), _) = ledger.sums.iter().next().unwrap();
        *carts.get_mut(cart).unwrap().get_mut(*sku).unwrap() -= 3;
        assert_eq!(
            ledger.check(&carts),
            (3, 1),
            "three acknowledged units are missing"
        );
    }

    #[test]
    fn an_unknown_add_may_be_there_or_not() {
        let mut ledger = Ledger::default();
        let step = Step::Add {
            cart: 0,
            sku: "OLJCESPC7Z",
        };
        ledger.book("a", &step, Outcome::Acknowledged);
        ledger.book("a", &step, Outcome::Unknown);
        let shown = |n: u64| BTreeMap::from([(0, BTreeMap::from([("OLJCESPC7Z".to_owned(), n)]))]);
        assert_eq!(
            [0, 1, 2, 3].map(|n| ledger.check(&shown(n))),
            [(1, 0), (0, 0), (0, 0), (0, 1)]
        );
    }
}
