//! Somebody writes to a region's Redis behind its node's back: the node notices, counts it, and builds the view anew.

use super::harness::{Demo, EU, US, WAIT_MAX, eventually};
use crate::plain_redis::Reply;

const REPAIRS: &str = "cartograph_view_repairs_total";

fn words(command: &str) -> Vec<Vec<u8>> {
    command.split(' ').map(|word| word.as_bytes().to_vec()).collect()
}

async fn damage(demo: &Demo, commands: &[&str]) -> Vec<Reply> {
    let commands: Vec<_> = commands.iter().map(|command| words(command)).collect();
    let mut redis = demo.regions[US].redis();
    tokio::task::spawn_blocking(move || redis.pipeline(&commands).unwrap())
        .await
        .unwrap()
}

async fn repaired_more_than(demo: &Demo, before: f64) {
    eventually("the repair is counted", WAIT_MAX, async || {
        demo.metric(US, REPAIRS).await > before
    })
    .await;
}

/// Each kind of damage, to a cart of its own that holds a, b and c.
const KINDS: [(&str, &[&str]); 6] = [
    ("deleted", &["DEL cart:deleted"]),
    ("field-gone", &["HDEL cart:field-gone b"]),
    ("field-more", &["HSET cart:field-more z 9"]),
    ("field-other", &["HSET cart:field-other b 7"]),
    ("retyped", &["DEL cart:retyped", "SADD cart:retyped b"]),
    ("persisted", &["PERSIST cart:persisted"]),
];

fn whole() -> Vec<(String, i64)> {
    ["a", "b", "c"].map(|sku| (sku.to_owned(), 2)).to_vec()
}

#[tokio::test]
async fn the_next_write_finds_the_damage_and_builds_on_what_was_promised() {
    // The scrub would be there first.
    let demo = Demo::start().await;
    demo.limit("scrub_keys_per_second = 0").await;
    // A field with another value changes neither type nor count: that is the scrub's to find.
    let found_by_writes = ["deleted", "field-gone", "field-more", "retyped"];
    let kinds = KINDS.iter().filter(|(kind, _)| found_by_writes.contains(kind));
    for (kind, commands) in kinds {
        for sku in ["a", "b", "c"] {
            demo.regions[US].adds(kind, sku, 2).await;
        }
        demo.converges().await;
        let before = demo.metric(US, REPAIRS).await;
        let replies = damage(&demo, commands).await;
        println!("{kind}: {replies:?}");
        demo.regions[US].adds(kind, "d", 1).await;
        let mut expected = whole();
        expected.push(("d".to_owned(), 1));
        assert_eq!(demo.regions[US].cart(kind).await, expected, "{kind}");
        repaired_more_than(&demo, before).await;
        demo.converges().await;
        assert_eq!(demo.regions[EU].cart(kind).await, expected, "{kind}");
    }
    demo.stop().await;
}

#[tokio::test]
async fn the_scrub_finds_the_damage_that_nobody_writes_to() {
    let demo = Demo::start().await;
    for (kind, _) in KINDS {
        for sku in ["a", "b", "c"] {
            demo.regions[US].adds(kind, sku, 2).await;
        }
    }
    demo.converges().await;
    for (kind, commands) in KINDS {
        let before = demo.metric(US, REPAIRS).await;
        let replies = damage(&demo, commands).await;
        println!("{kind}: {replies:?}");
        repaired_more_than(&demo, before).await;
        assert_eq!(demo.regions[US].cart(kind).await, whole(), "{kind}");
    }
    demo.converges().await;
    for region in &demo.regions {
        for (kind, _) in KINDS {
            assert_eq!(region.cart(kind).await, whole(), "{kind} in {}", region.name);
        }
    }
    demo.stop().await;
}

#[tokio::test]
async fn a_flushed_view_database_is_rebuilt_and_no_region_loses_a_line() {
    let demo = Demo::start().await;
    for n in 0..10 {
        for sku in ["a", "b", "c"] {
            demo.regions[EU].adds(&format!("cart-{n}"), sku, 2).await;
        }
    }
    demo.converges().await;
    let before = demo.metric(US, REPAIRS).await;
    damage(&demo, &["SELECT 0", "FLUSHDB"]).await;
    eventually("all ten views are back", WAIT_MAX, async || {
        demo.metric(US, REPAIRS).await >= before + 10.0
    })
    .await;
    demo.converges().await;
    for n in 0..10 {
        assert_eq!(demo.regions[US].cart(&format!("cart-{n}")).await, whole());
    }
    demo.stop().await;
}
