//! One region's shoppers at work.
//!
//! A driver hands out visits when they are due, to at most `users` shoppers at once; each visit is a task that
//! makes its operations one after the other. Nothing queues without bound: when every shopper is busy the driver
//! waits, the timetable runs on, and the wait is part of the latency of the visits that had to wait for it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::sleep_until;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::ledger::Ledger;
use super::mix::{CartRef, Op, Visit, Visits};
use super::pacing::Pacer;
use super::report::Tally;
use crate::api::Region;
use crate::clock;

/// How carts are called. Shoppers' and shared carts are called after the seed, so that runs with one seed use the
/// same ones and do not fill the store; ledger carts are called after the run, because they must be new.
#[derive(Clone, Debug)]
pub(crate) struct Names {
    /// The seed.
    pub(crate) seed: u64,
    /// The run.
    pub(crate) run: String,
}

impl Names {
    /// The id of a cart of `region`.
    pub(crate) fn id(&self, region: &str, cart: CartRef) -> String {
        match cart {
            CartRef::Own(number) => format!("load-{}-{region}-{number}", self.seed),
            CartRef::Shared(number) => format!("load-{}-shared-{number}", self.seed),
            CartRef::Ledger(number) => self.ledger_id(number),
        }
    }

    /// The id of a ledger cart.
    pub(crate) fn ledger_id(&self, number: u32) -> String {
        format!("load-{}-ledger-{number}", self.run)
    }
}

/// What all shoppers of a region need.
#[derive(Clone, Debug)]
pub(crate) struct Shop {
    /// The region.
    pub(crate) region: Region,
    /// How carts are called.
    pub(crate) names: Arc<Names>,
    /// Where ledger adds are recorded.
    pub(crate) ledger: Arc<Ledger>,
    /// Where everything is counted.
    pub(crate) tally: Arc<Mutex<Tally>>,
    /// Operations done, for the progress bar.
    pub(crate) done: Arc<AtomicU64>,
    /// Set when the user wants it to end.
    pub(crate) halt: CancellationToken,
}

/// How a driver's timetable went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Timetable {
    /// Operations that were due and never begun.
    pub(crate) behind: u64,
    /// How late the generator's own timer was at worst.
    pub(crate) late_max: Duration,
}

/// Makes visits from now until `end`, then waits for those under way.
pub(crate) async fn drive(
    shop: Shop,
    mut visits: Visits,
    mut pacer: Pacer,
    users: usize,
    end: Instant,
) -> Timetable {
    let shoppers = Arc::new(Semaphore::new(users));
    let under_way = TaskTracker::new();
    while pacer.due() < end {
        if !wait_until_due(&shop, &mut pacer).await {
            break;
        }
        let Some(shopper) = free_shopper(&shop, &shoppers, end).await else {
            break;
        };
        let visit = visits.next_visit();
        let counts_from = pacer.issue(visit.ops.len());
        let shop = shop.clone();
        under_way.spawn(async move {
            make(&shop, visit, counts_from).await;
            drop(shopper);
        });
    }
    let behind = pacer.behind(end.min(clock::now()));
    under_way.close();
    under_way.wait().await;
    Timetable {
        behind,
        late_max: pacer.late_max(),
    }
}

/// False if the user wants to stop.
async fn wait_until_due(shop: &Shop, pacer: &mut Pacer) -> bool {
    let due = pacer.due();
    if clock::now() < due {
        tokio::select! {
            () = sleep_until(due.into()) => pacer.woke(clock::now()),
            () = shop.halt.cancelled() => return false,
        }
    }
    !shop.halt.is_cancelled()
}

/// Nothing if the time is up, or the user wants to stop, before a shopper is free.
async fn free_shopper(shop: &Shop, shoppers: &Arc<Semaphore>, end: Instant) -> Option<OwnedSemaphorePermit> {
    tokio::select! {
        biased;
        shopper = Arc::clone(shoppers).acquire_owned() => shopper.ok(),
        () = sleep_until(end.into()) => None,
        () = shop.halt.cancelled() => None,
    }
}

/// Makes one visit. A shopper whose request fails gives up.
async fn make(shop: &Shop, visit: Visit, mut counts_from: Instant) {
    let id = shop.names.id(&shop.region.name, visit.cart);
    for op in visit.ops {
        let result = shop.region.cart(&id, &op.cart_op(), None).await;
        let ended = clock::now();
        if let (CartRef::Ledger(cart), Op::Add { sku, quantity }) = (visit.cart, op) {
            let ended = result.as_ref().map(|_| ()).map_err(crate::client::Error::outcome);
            shop.ledger.record((cart, sku), quantity, ended);
        }
        shop.done.fetch_add(1, Ordering::Relaxed);
        let failed = result.is_err();
        let mut tally = shop.tally.lock().unwrap_or_else(PoisonError::into_inner);
        match result {
            Ok(_) => tally.succeeded(op.kind(), ended.saturating_duration_since(counts_from)),
            Err(error) => tally.failed(op.kind(), &error),
        }
        drop(tally);
        if failed || shop.halt.is_cancelled() {
            return;
        }
        counts_from = ended;
    }
}
