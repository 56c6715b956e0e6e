//! The same without any Redis: the store inside the node.

use super::harness::{ASIA, Demo, EU, US};
use super::load::Load;

#[tokio::test]
async fn an_embedded_store_keeps_every_acknowledged_write_through_kills() {
    let demo = Demo::start_with(&["--store", "embedded"]).await;
    let load = Load::start(&demo);
    load.acknowledges(&[US, EU, ASIA], 30).await;
    let before = demo.replica(US).await;
    for _ in 0..3 {
        // Alone while it dies: nobody else can bring its last writes back.
        demo.isolate(US).await;
        load.acknowledges(&[US], 20).await;
        demo.act(US, "kill").await;
        demo.act(US, "start").await;
        load.acknowledges(&[US], 5).await;
        demo.heal().await;
    }
    load.acknowledges(&[US, EU, ASIA], 20).await;
    assert_ne!(demo.replica(US).await, before, "an opened store is a new life");
    let ledger = load.stop().await;
    let took = demo.converges().await;
    println!("converged {took:?} after the load");
    ledger.check(&demo).await;
    demo.stop().await;
}

#[tokio::test]
async fn an_embedded_store_set_back_or_emptied_gets_back_what_the_others_were_told() {
    let demo = Demo::start_with(&["--store", "embedded"]).await;
    let load = Load::start(&demo);
    load.acknowledges(&[US, EU, ASIA], 20).await;
    demo.act(US, "store/snapshot").await;
    load.acknowledges(&[US, EU, ASIA], 20).await;
    let ledger = load.stop().await;
    demo.converges().await;
    for action in ["store/rollback", "store/wipe"] {
        demo.act(US, action).await;
        demo.ready(US).await;
        let took = demo.converges().await;
        println!("{action}: converged within {took:?}");
        ledger.check(&demo).await;
    }
    demo.stop().await;
}
