//! Shoppers in every region, and a ledger of what they were promised.
//!
//! Every line is written by one shopper, so what it may hold at the end is known to the unit: an acknowledged add is
//! there, a refused one is not, one without an answer may be; a line that its shopper removed, having seen all its adds,
//! stays gone. Besides, all shoppers add to a few lines together; those must hold the sum.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::task::JoinSet;

use super::harness::{Demo, Region, WAIT_MAX, add, eventually, remove};
use super::http::{Request, Trouble};

/// Shoppers in a region.
const SHOPPERS: usize = 2;
/// Between two of a shopper's requests.
const PACE: Duration = Duration::from_millis(15);
/// After a request that did not happen: the region is down.
const PACE_DOWN: Duration = Duration::from_millis(100);
/// Lines that all add to.
const SHARED_LINES: usize = 4;
/// The cart that holds them.
const SHARED: &str = "shared";

/// What became of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Done,
    NotDone,
    Unknown,
}

/// What a line may hold.
#[derive(Clone, Debug, Default)]
struct Line {
    acknowledged: i64,
    unknown: i64,
    removed: Option<Outcome>,
}

impl Line {
    fn allows(&self, found: i64) -> bool {
        let there = (self.acknowledged..=self.acknowledged + self.unknown).contains(&found);
        match self.removed {
            Some(Outcome::Done) => found == 0,
            Some(Outcome::Unknown) => found == 0 || there,
            Some(Outcome::NotDone) | None => there,
        }
    }
}

/// Cart, SKU, and what the line may hold.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ledger {
    lines: BTreeMap<(String, String), Line>,
    pub(crate) unknown: usize,
    pub(crate) acknowledged: usize,
    pub(crate) refused: usize,
}

impl Ledger {
    fn count(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Done => self.acknowledged += 1,
            Outcome::NotDone => self.refused += 1,
            Outcome::Unknown => self.unknown += 1,
        }
    }

    pub(crate) fn added(&mut self, cart: &str, sku: &str, quantity: i64, outcome: Outcome) {
        self.count(outcome);
        let line = self.lines.entry((cart.to_owned(), sku.to_owned())).or_default();
        match outcome {
            Outcome::Done => line.acknowledged += quantity,
            Outcome::NotDone => {}
            Outcome::Unknown => line.unknown += quantity,
        }
    }

    pub(crate) fn removed(&mut self, cart: &str, sku: &str, outcome: Outcome) {
        self.count(outcome);
        if let Some(line) = self.lines.get_mut(&(cart.to_owned(), sku.to_owned())) {
            line.removed = Some(outcome);
        }
    }

    fn join(&mut self, other: Ledger) {
        for (name, line) in other.lines {
            let ours = self.lines.entry(name).or_default();
            ours.acknowledged += line.acknowledged;
            ours.unknown += line.unknown;
            ours.removed = ours.removed.or(line.removed);
        }
        self.unknown += other.unknown;
        self.acknowledged += other.acknowledged;
        self.refused += other.refused;
    }

    /// Every region holds what was promised, and nothing besides.
    pub(crate) async fn check(&self, demo: &Demo) {
        let carts: std::collections::BTreeSet<&String> = self.lines.keys().map(|(cart, _)| cart).collect();
        let mut wrong = Vec::new();
        for region in &demo.regions {
            let mut found = BTreeMap::new();
            for cart in &carts {
                for (sku, quantity) in region.cart(cart).await {
                    found.insert(((*cart).clone(), sku), quantity);
                }
            }
            for (name, line) in &self.lines {
                let quantity = found.remove(name).unwrap_or(0);
                if !line.allows(quantity) {
                    wrong.push(format!("{} has {quantity} of {name:?}: {line:?}", region.name));
                }
            }
            let beyond = found.into_iter().map(|(name, quantity)| {
                format!("{} has {quantity} of {name:?} that nobody wrote", region.name)
            });
            wrong.extend(beyond);
        }
        let count = wrong.len();
        wrong.truncate(20);
        assert!(wrong.is_empty(), "{count} lines are wrong:\n{}", wrong.join("\n"));
        println!(
            "{} lines right in {} regions; {} writes acknowledged, {} refused, {} unknown",
            self.lines.len(),
            demo.regions.len(),
            self.acknowledged,
            self.refused,
            self.unknown
        );
    }
}

/// Sends a write and says what became of it.
pub(crate) async fn write(region: &Region, request: &Request) -> Outcome {
    match region.tries(request).await {
        Ok(reply) if reply.status == 200 => Outcome::Done,
        Ok(reply) => {
            let definite = reply.body.windows(10).any(|part| part == b"\"definite\"");
            if definite {
                Outcome::NotDone
            } else {
                Outcome::Unknown
            }
        }
        Err(Trouble::NotSent(_)) => Outcome::NotDone,
        Err(Trouble::Lost(_)) => Outcome::Unknown,
    }
}

/// Shoppers at work until they are stopped.
pub(crate) struct Load {
    shoppers: JoinSet<Ledger>,
    stop: Arc<AtomicBool>,
    /// Acknowledged so far, by region.
    done: Vec<Arc<AtomicUsize>>,
    names: Vec<String>,
}

impl Load {
    /// In every region that there is now.
    pub(crate) fn start(demo: &Demo) -> Self {
        let mut load = Load {
            shoppers: JoinSet::new(),
            stop: Arc::default(),
            done: Vec::new(),
            names: Vec::new(),
        };
        for region in &demo.regions {
            load.join(region);
        }
        load
    }

    /// Shoppers come to one more region.
    pub(crate) fn join(&mut self, region: &Region) {
        let done = Arc::new(AtomicUsize::new(0));
        for number in 0..SHOPPERS {
            let shopper = Shopper {
                region: region.clone(),
                name: format!("{}-{number}", region.name),
                done: Arc::clone(&done),
                ledger: Ledger::default(),
            };
            self.shoppers.spawn(shopper.shop(Arc::clone(&self.stop)));
        }
        self.done.push(done);
        self.names.push(region.name.clone());
    }

    /// Waits until each of these regions has acknowledged so many more writes.
    pub(crate) async fn acknowledges(&self, regions: &[usize], more: usize) {
        for region in regions {
            let done = &self.done[*region];
            let wanted = done.load(Ordering::Relaxed) + more;
            let what = format!("{} acknowledges {more} writes", self.names[*region]);
            eventually(&what, WAIT_MAX, async || done.load(Ordering::Relaxed) >= wanted).await;
        }
    }

    /// The shoppers finish; what they were promised.
    pub(crate) async fn stop(self) -> Ledger {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Ledger::default();
        for ledger in self.shoppers.join_all().await {
            all.join(ledger);
        }
        all
    }
}

struct Shopper {
    region: Region,
    name: String,
    done: Arc<AtomicUsize>,
    ledger: Ledger,
}

impl Shopper {
    async fn shop(mut self, stop: Arc<AtomicBool>) -> Ledger {
        let mut n = 0;
        while !stop.load(Ordering::Relaxed) {
            self.visit(n).await;
            n += 1;
        }
        self.ledger
    }

    /// Two adds, twice to the same line of one's own; every third such line is removed again; and one of the lines of all.
    async fn visit(&mut self, n: usize) {
        // A few carts in which shoppers of all regions have lines, so that rows merge.
        let cart = format!("together-{}", n % 5);
        let sku = format!("{}-{n}", self.name);
        let quantity = i64::try_from(n % 7).unwrap() + 1;
        let mut whole = true;
        for _ in 0..2 {
            let outcome = self.sends(&add(&cart, &sku, quantity)).await;
            self.ledger.added(&cart, &sku, quantity, outcome);
            whole &= outcome == Outcome::Done;
        }
        if n.is_multiple_of(3) && whole {
            let outcome = self.sends(&remove(&cart, &sku)).await;
            self.ledger.removed(&cart, &sku, outcome);
        }
        let shared = format!("line-{}", n % SHARED_LINES);
        let outcome = self.sends(&add(SHARED, &shared, 1)).await;
        self.ledger.added(SHARED, &shared, 1, outcome);
    }

    async fn sends(&self, request: &Request) -> Outcome {
        let outcome = write(&self.region, request).await;
        let pace = match outcome {
            Outcome::Done => {
                self.done.fetch_add(1, Ordering::Relaxed);
                PACE
            }
            Outcome::NotDone | Outcome::Unknown => PACE_DOWN,
        };
        // Shoppers think: the load is to last, not to fill the machine.
        tokio::time::sleep(pace).await;
        outcome
    }
}
