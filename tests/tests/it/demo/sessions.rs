//! Retries that must not double a cart, and sessions that must see elsewhere what they have written here.

use super::harness::{ASIA, Demo, EU, US, add, lines, now};
use super::http::{Reply, Request, segment};

const SESSION: &str = "cartograph-session";
const KEY: &str = "idempotency-key";

fn one(sku: &str, quantity: i64) -> Vec<(String, i64)> {
    vec![(sku.to_owned(), quantity)]
}

async fn read_after(demo: &Demo, region: usize, cart: &str, token: &str) -> Reply {
    let path = format!("/v1/carts/{}", segment(cart));
    let request = Request::new("GET", path).header(SESSION, token);
    demo.regions[region].sends(request).await
}

#[tokio::test]
async fn a_retry_under_the_same_key_counts_once() {
    let demo = Demo::start().await;
    let us = &demo.regions[US];
    let first = us.sends(add("cart", "tea", 2).header(KEY, "order-1")).await.ok();
    let again = us.sends(add("cart", "tea", 2).header(KEY, "order-1")).await.ok();
    assert_eq!((lines(&first), lines(&again)), (one("tea", 2), one("tea", 2)));
    us.sends(add("cart", "tea", 2).header(KEY, "order-2")).await.ok();
    assert_eq!(us.cart("cart").await, one("tea", 4));

    // The same key with something else is a mistake of the caller's.
    for other in [
        add("cart", "tea", 3),
        add("cart", "rum", 2),
        add("other", "tea", 2),
    ] {
        let reply = us.sends(other.header(KEY, "order-1")).await;
        assert_eq!(
            (reply.status, reply.code().as_deref()),
            (409, Some("CG-2010")),
            "{reply:?}"
        );
    }
    assert_eq!(us.cart("cart").await, one("tea", 4));
    assert_eq!(us.cart("other").await, []);

    // At once, a hundredfold: still once.
    let mut sending = tokio::task::JoinSet::new();
    for _ in 0..100 {
        let us = us.clone();
        sending.spawn(async move {
            us.sends(add("cart", "tea", 1).header(KEY, "order-3"))
                .await
                .status
        });
    }
    assert!(sending.join_all().await.into_iter().all(|status| status == 200));
    assert_eq!(us.cart("cart").await, one("tea", 5));

    // The node's death does not make it forget.
    demo.act(US, "kill").await;
    demo.act(US, "start").await;
    us.sends(add("cart", "tea", 2).header(KEY, "order-1")).await.ok();
    assert_eq!(us.cart("cart").await, one("tea", 5));

    let long = "k".repeat(256);
    for key in ["", "k\u{e9}", &long] {
        let reply = us.sends(add("cart", "tea", 1).header(KEY, key)).await;
        assert_eq!(
            (reply.status, reply.code().as_deref()),
            (400, Some("CG-1009")),
            "{key:?}: {reply:?}"
        );
    }
    assert_eq!(us.cart("cart").await, one("tea", 5));
    demo.converges().await;
    demo.stop().await;
}

#[tokio::test]
async fn a_session_sees_elsewhere_what_it_wrote_or_is_told_that_it_cannot() {
    let demo = Demo::start().await;
    let slow = serde_json::json!({"latency_ms": 300});
    demo.link(US, EU, slow).await;
    for n in 0..5 {
        let cart = format!("cart-{n}");
        let written = demo.regions[US].adds(&cart, "tea", 2).await;
        let token = written.header(SESSION).unwrap().to_owned();
        let started = now();
        let read = read_after(&demo, EU, &cart, &token).await.ok();
        assert_eq!(lines(&read), one("tea", 2), "{cart}");
        println!("{cart}: the read waited {:?}", started.elapsed());
        // A write that comes with the token has seen it too.
        let write = add(&cart, "tea", -2).header(SESSION, &token);
        assert_eq!(lines(&demo.regions[EU].sends(write).await.ok()), []);
    }
    demo.isolate(EU).await;
    let written = demo.regions[US].adds("cut", "tea", 2).await;
    let token = written.header(SESSION).unwrap().to_owned();
    let started = now();
    let read = read_after(&demo, EU, "cut", &token).await;
    let waited = started.elapsed();
    assert_eq!(
        (read.status, read.code().as_deref()),
        (504, Some("CG-3006")),
        "{read:?}"
    );
    assert!(read.text().contains("\"definite\""), "{read:?}");
    assert!(waited.as_secs() < 10, "{waited:?}");
    let refused = demo.regions[EU]
        .sends(add("cut", "rum", 1).header(SESSION, &token))
        .await;
    assert_eq!(refused.code().as_deref(), Some("CG-3006"), "{refused:?}");
    // Asia has it, and who has no session is served at once.
    assert_eq!(
        lines(&read_after(&demo, ASIA, "cut", &token).await.ok()),
        one("tea", 2)
    );
    assert_eq!(demo.regions[EU].cart("cut").await, []);
    demo.heal().await;
    demo.converges().await;
    assert_eq!(
        lines(&read_after(&demo, EU, "cut", &token).await.ok()),
        one("tea", 2)
    );
    assert_eq!(
        demo.regions[EU].cart("cut").await,
        one("tea", 2),
        "the refused write is nowhere"
    );
    for bad in ["x", "", "AAAA", "////////"] {
        let read = read_after(&demo, EU, "cut", bad).await;
        assert_eq!(
            (read.status, read.code().as_deref()),
            (400, Some("CG-1010")),
            "{bad:?}: {read:?}"
        );
    }
    demo.stop().await;
}
