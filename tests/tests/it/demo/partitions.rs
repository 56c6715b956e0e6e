//! Regions that cannot reach each other go on taking writes, lose none of them, and agree soon after they meet again.

use serde_json::json;

use super::harness::{ASIA, Demo, EU, US, WAIT_MAX, eventually, now};
use super::load::{Ledger, Load, Outcome};

const ALL: [usize; 3] = [US, EU, ASIA];

#[tokio::test]
async fn no_acknowledged_write_is_lost_in_any_partition() {
    let demo = Demo::start().await;
    let load = Load::start(&demo);
    load.acknowledges(&ALL, 20).await;

    // us | europe, asia
    demo.isolate(US).await;
    load.acknowledges(&ALL, 40).await;
    // us | europe | asia
    demo.cut(EU, ASIA).await;
    load.acknowledges(&ALL, 40).await;
    demo.heal().await;
    load.acknowledges(&ALL, 20).await;
    // One direction only.
    demo.link(EU, US, json!({"up": false})).await;
    load.acknowledges(&ALL, 40).await;
    // A lossy link and a cut one.
    demo.link(US, EU, json!({"loss": 0.2, "jitter_ms": 30})).await;
    demo.link(EU, ASIA, json!({"up": false})).await;
    load.acknowledges(&ALL, 30).await;

    let ledger = load.stop().await;
    assert_eq!(
        (ledger.unknown, ledger.refused),
        (0, 0),
        "every region takes every write while it is cut off"
    );
    demo.heal().await;
    let took = demo.converges().await;
    println!("converged {took:?} after the heal");
    ledger.check(&demo).await;
    for region in ALL {
        let repairs = demo.metric(region, "cartograph_view_repairs_total").await;
        assert!(repairs == 0.0, "nobody broke a view, and {repairs} were repaired");
    }
    demo.stop().await;
}

#[tokio::test]
async fn what_was_removed_stays_away_and_what_nobody_saw_survives() {
    let demo = Demo::start().await;
    let mut ledger = Ledger::default();
    let [us, eu, asia] = [US, EU, ASIA].map(|n| &demo.regions[n]);
    // Lines that all regions have seen.
    for n in 0..12 {
        us.adds("cart", &format!("seen-{n}"), 2).await;
    }
    demo.converges().await;
    demo.isolate(US).await;
    demo.cut(EU, ASIA).await;
    // Each line is removed in one region, or in two at once, while the others write beside it.
    for n in 0..12 {
        let sku = format!("seen-{n}");
        let (remover, other) = [(us, eu), (eu, asia), (asia, us)][n % 3];
        // What of the line must be left, by what nobody who removed it had seen.
        let left = match n / 3 {
            0 => {
                remover.removes("cart", &sku).await;
                0
            }
            1 => {
                remover.removes("cart", &sku).await;
                other.removes("cart", &sku).await;
                let beside = format!("beside-{n}");
                other.adds("cart", &beside, 1).await;
                ledger.added("cart", &beside, 1, Outcome::Done);
                0
            }
            2 => {
                remover.removes("cart", &sku).await;
                other.adds("cart", &sku, 3).await;
                3
            }
            _ => {
                remover.removes("cart", &sku).await;
                remover.adds("cart", &sku, 1).await;
                other.adds("cart", &sku, 1).await;
                2
            }
        };
        ledger.added("cart", &sku, left, Outcome::Done);
    }
    demo.heal().await;
    demo.converges().await;
    // A cart is cleared here, and added to there.
    us.adds("cleared", "old", 5).await;
    demo.converges().await;
    demo.isolate(ASIA).await;
    asia.sends(super::http::Request::new("DELETE", "/v1/carts/cleared"))
        .await
        .ok();
    eu.adds("cleared", "new", 1).await;
    ledger.added("cleared", "new", 1, Outcome::Done);
    demo.heal().await;
    let took = demo.converges().await;
    println!("converged {took:?} after the heal");
    ledger.check(&demo).await;
    demo.stop().await;
}

#[tokio::test]
async fn two_regions_that_only_reach_a_third_converge_through_it() {
    let demo = Demo::start().await;
    demo.cut(US, ASIA).await;
    let started = now();
    demo.regions[US].adds("relayed", "from-us", 1).await;
    demo.regions[ASIA].adds("relayed", "from-asia", 2).await;
    let expected = vec![("from-asia".to_owned(), 2), ("from-us".to_owned(), 1)];
    for region in [US, ASIA] {
        eventually("the relayed write is here", WAIT_MAX, async || {
            demo.regions[region].cart("relayed").await == expected
        })
        .await;
    }
    println!("relayed both ways within {:?}", started.elapsed());
    let load = Load::start(&demo);
    load.acknowledges(&ALL, 40).await;
    let ledger = load.stop().await;
    // The link is still cut.
    let took = demo.converges().await;
    println!("converged through the third region {took:?} after the load");
    ledger.check(&demo).await;
    demo.stop().await;
}

#[tokio::test]
async fn a_write_is_visible_elsewhere_soon_after_the_links_latency() {
    const LATENCY_MS: u64 = 40;
    const WRITES: usize = 60;
    let demo = Demo::start().await;
    for (from, to) in [(US, EU), (EU, US)] {
        demo.link(from, to, json!({"latency_ms": LATENCY_MS})).await;
    }
    let mut took_ms = Vec::new();
    for n in 0..WRITES {
        let sku = format!("line-{n}");
        demo.regions[US].adds("visible", &sku, 1).await;
        let acknowledged = now();
        loop {
            let there = demo.regions[EU].cart("visible").await;
            if there.iter().any(|(found, _)| *found == sku) {
                break;
            }
            assert!(acknowledged.elapsed() < WAIT_MAX, "{sku} does not arrive");
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
        took_ms.push(acknowledged.elapsed().as_millis());
    }
    took_ms.sort_unstable();
    let (median, p99) = (took_ms[WRITES / 2], took_ms[WRITES - 1]);
    println!(
        "visible elsewhere after {median} ms (median), {p99} ms (the slowest of {WRITES}), latency {LATENCY_MS} ms"
    );
    // No measurement: on a busy machine this only says that nothing waits for a timer of seconds.
    assert!(median < 1_000, "{took_ms:?}");
    demo.stop().await;
}
