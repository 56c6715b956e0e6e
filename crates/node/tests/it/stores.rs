//! Stores that hang, refuse, or are files.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use cartograph_crdt::ShardId;
use cartograph_node::Node;
use cartograph_node::config::StoreKind;
use cartograph_replica::{Claim, Commit, Load, Loaded, Outcome};
use cartograph_store::{BoxFuture, Error, Read, ReadReply, SharedMemoryStore, Store, StoreInfo};
use serde_json::json;

use crate::support::{Http, config, eventually, memory};

const WORKS: u8 = 0;
const HANGS: u8 = 1;
const REFUSES: u8 = 2;

/// A store whose commits do as they are told.
#[derive(Clone)]
struct Moody {
    inner: SharedMemoryStore,
    mood: Arc<AtomicU8>,
}

impl Store for Moody {
    fn claim(&self, shard: ShardId) -> BoxFuture<'_, Result<Claim, Error>> {
        self.inner.claim(shard)
    }

    fn commit(&self, commit: Commit) -> BoxFuture<'static, Outcome> {
        match self.mood.load(Ordering::SeqCst) {
            HANGS => {
                // Done at once, told late: what a slow network makes of it.
                let mood = Arc::clone(&self.mood);
                let done = self.inner.commit(commit);
                Box::pin(async move {
                    while mood.load(Ordering::SeqCst) == HANGS {
                        tokio::time::sleep(Duration::from_millis(10)).await;
                    }
                    done.await
                })
            }
            REFUSES => Box::pin(std::future::ready(Outcome::Refused {
                reason: "OOM command not allowed".to_owned(),
            })),
            _ => self.inner.commit(commit),
        }
    }

    fn load(&self, shard: ShardId, load: Load) -> BoxFuture<'_, Result<Loaded, Error>> {
        self.inner.load(shard, load)
    }

    fn read(&self, read: Read) -> BoxFuture<'_, Result<ReadReply, Error>> {
        self.inner.read(read)
    }

    fn time_ms(&self) -> BoxFuture<'_, Result<u64, Error>> {
        self.inner.time_ms()
    }

    fn info(&self) -> BoxFuture<'_, Result<StoreInfo, Error>> {
        self.inner.info()
    }

    fn release(&self, shard: ShardId) -> BoxFuture<'_, Result<(), Error>> {
        self.inner.release(shard)
    }
}

async fn ready(node: &Node) {
    eventually("the node is ready", || async {
        node.why_not_ready().await.is_none().then_some(())
    })
    .await;
}

#[tokio::test]
async fn what_is_late_is_unknown_and_what_is_refused_is_definite() {
    let store = Moody {
        inner: memory(),
        mood: Arc::new(AtomicU8::new(WORKS)),
    };
    let mut config = config(1, "");
    config.limits.request_timeout = Duration::from_millis(300);
    let node = Node::start_on(config, Arc::new(store.clone())).await.unwrap();
    ready(&node).await;
    let http = Http::to(node.http_address());
    let add = || http.json_call("POST", "/v1/carts/c/items", json!({"sku": "a", "quantity": 1}));

    store.mood.store(HANGS, Ordering::SeqCst);
    assert_eq!(
        add().await.error(),
        (504, "CG-4001".to_owned(), "unknown".to_owned())
    );
    store.mood.store(WORKS, Ordering::SeqCst);
    eventually("what was unknown was done", || async {
        (http.lines("c").await == "a=1").then_some(())
    })
    .await;

    store.mood.store(REFUSES, Ordering::SeqCst);
    eventually("the refusal is told, with the store's words", || async {
        let refused = add().await;
        let known = refused.error() == (503, "CG-3003".to_owned(), "definite".to_owned());
        (known && refused.text.contains("OOM")).then_some(())
    })
    .await;
    assert_eq!(http.lines("c").await, "a=1");
    store.mood.store(WORKS, Ordering::SeqCst);
    eventually("writes go on", || async {
        (add().await.status == 200).then_some(())
    })
    .await;
    node.stop().await;
}

#[tokio::test]
async fn an_embedded_store_keeps_what_was_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(1, "");
    config.store.kind = StoreKind::Embedded {
        path: folder.path().join("data"),
    };
    for quantity in 1..=3 {
        let node = Node::start(config.clone()).await.unwrap();
        ready(&node).await;
        let http = Http::to(node.http_address());
        let reply = http
            .json("POST", "/v1/carts/c/items", &json!({"sku": "a", "quantity": 1}))
            .await;
        assert_eq!(reply.json()["lines"][0]["quantity"], quantity, "{}", reply.text);
        node.stop().await;
    }
}

#[tokio::test]
async fn a_store_of_another_region_stops_the_node_with_a_reason() {
    let store = memory();
    let first = Node::start_on(config(1, ""), Arc::new(store.clone()))
        .await
        .unwrap();
    ready(&first).await;
    first.stop().await;
    let second = Node::start_on(config(2, ""), Arc::new(store)).await.unwrap();
    let reason = tokio::time::timeout(Duration::from_secs(10), second.halted())
        .await
        .unwrap();
    assert!(reason.contains("belongs to region 1"), "{reason}");
    assert!(second.why_not_ready().await.is_some());
    second.stop().await;
}
