//! A region that was away for longer than the others' logs reach: a snapshot is joined, and its own writes survive.

use std::sync::Arc;

use tokio::task::JoinSet;

use super::harness::{ASIA, Demo, EU, US, WAIT_MAX, add, eventually};
use super::load::{Ledger, Outcome, write};

/// The smallest cap that a node takes.
const CAP: u64 = 1 << 20;
const CARTS: usize = 8;
const LINES: usize = 600;

#[tokio::test]
async fn a_region_behind_the_cap_catches_up_from_a_snapshot() {
    let demo = Demo::start().await;
    demo.limit(&format!("log_bytes_max = {CAP}")).await;
    demo.regions[ASIA].adds("cart-0", "seen-by-all", 1).await;
    demo.converges().await;
    demo.isolate(ASIA).await;
    let mut ledger = Ledger::default();
    ledger.added("cart-0", "seen-by-all", 1, Outcome::Done);
    for n in 0..20 {
        let sku = format!("unseen-{n}");
        demo.regions[ASIA].adds("cart-1", &sku, 3).await;
        ledger.added("cart-1", &sku, 3, Outcome::Done);
    }
    // More than the cap, in long names.
    let us = Arc::new(demo.regions[US].clone());
    let mut writers = JoinSet::new();
    for cart in 0..CARTS {
        for half in 0..2 {
            let us = Arc::clone(&us);
            writers.spawn(async move {
                let cart = format!("cart-{cart}");
                let mut done = Vec::new();
                for n in 0..LINES / 2 {
                    let sku = format!("{half}-{n}-{}", "x".repeat(240));
                    let outcome = write(&us, &add(&cart, &sku, 1)).await;
                    done.push((cart.clone(), sku, outcome));
                }
                done
            });
        }
    }
    for (cart, sku, outcome) in writers.join_all().await.into_iter().flatten() {
        ledger.added(&cart, &sku, 1, outcome);
    }
    let mut log = serde_json::Value::Null;
    eventually("the log is within its cap", WAIT_MAX, async || {
        log = demo.status(US).await["log"].clone();
        log["bytes"].as_u64().unwrap() <= CAP
    })
    .await;
    println!("the log after it: {log}");
    let before = demo.metric(ASIA, "cartograph_snapshots_total").await;
    demo.heal().await;
    eventually("a snapshot was joined", WAIT_MAX, async || {
        demo.metric(ASIA, "cartograph_snapshots_total").await > before
    })
    .await;
    let took = demo.converges().await;
    println!("converged {took:?} after the snapshot began");
    ledger.check(&demo).await;
    // And the log takes over again.
    demo.regions[EU].adds("afterwards", "line", 1).await;
    eventually("a later write arrives", WAIT_MAX, async || {
        demo.regions[ASIA].cart("afterwards").await == [("line".to_owned(), 1)]
    })
    .await;
    demo.stop().await;
}
