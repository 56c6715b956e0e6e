//! Tens of thousands of clients over a few connections to Redis.

use std::time::Duration;

use cartograph_resp::Value;
use tokio::task::JoinSet;

use super::client::Client;
use crate::demo::harness::{Demo, now};

/// Clients that only are there, and clients that work: a quarter of what is promised, so that a laptop's limits do.
/// `CARTOGRAPH_IDLE_CLIENTS=10000 CARTOGRAPH_BUSY_CLIENTS=2000` makes it whole.
const IDLE: usize = 2_500;
const BUSY: usize = 500;

/// Connections that Redis may see, all told.
const REDIS_CONNECTIONS_MAX: i64 = 64;

fn count(variable: &str, default: usize) -> usize {
    std::env::var(variable).map_or(default, |text| text.parse().unwrap())
}

fn connected(info: &Value) -> i64 {
    let Value::Bulk(text) = info else {
        panic!("{info:?}");
    };
    let text = String::from_utf8_lossy(text).into_owned();
    let line = text.lines().find_map(|l| l.strip_prefix("connected_clients:"));
    line.unwrap().trim().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_clients_share_few_connections_to_redis() {
    let (idle, busy) = (
        count("CARTOGRAPH_IDLE_CLIENTS", IDLE),
        count("CARTOGRAPH_BUSY_CLIENTS", BUSY),
    );
    let demo = Demo::start_with(&["--store", "redis", "--regions", "us-central1"]).await;
    let port = demo.regions[0].resp;
    let mut resting = Vec::with_capacity(idle);
    for _ in 0..idle {
        resting.push(Client::connect(port).await);
    }
    let end = now() + Duration::from_secs(3);
    let mut working = JoinSet::new();
    for number in 0..busy {
        working.spawn(async move {
            let mut client = Client::connect(port).await;
            let key = format!("cart:{}", number % 50);
            let mut done = 0_i64;
            while now() < end {
                let added = client.ask(&["HINCRBY", &key, "line", "1"]).await;
                let Value::Integer(added) = added else {
                    panic!("{added:?}");
                };
                // It sees its own write, and perhaps others'.
                let read = client.ask(&["HGET", &key, "line"]).await;
                let Value::Bulk(read) = &read else {
                    panic!("{read:?}")
                };
                let read: i64 = std::str::from_utf8(read).unwrap().parse().unwrap();
                assert!(read >= added, "wrote {added}, then read {read}");
                done += 1;
            }
            done
        });
    }
    let mut redis = Client::connect(demo.regions[0].redis.unwrap()).await;
    let mut most = 0;
    let mut total = 0;
    loop {
        most = most.max(connected(&redis.ask(&["INFO", "clients"]).await));
        match tokio::time::timeout(Duration::from_millis(100), working.join_next()).await {
            Ok(None) => break,
            Ok(Some(done)) => total += done.unwrap(),
            Err(_) => {}
        }
    }
    println!(
        "{idle} idle and {busy} busy clients, {total} writes and reads; Redis saw at most {most} connections"
    );
    assert!(total > 0);
    // One of them is this test's.
    assert!(most - 1 <= REDIS_CONNECTIONS_MAX, "Redis saw {most} connections");
    let mut sum = 0;
    for cart in 0..50.min(busy) {
        let line = resting[0].ask(&["HGET", &format!("cart:{cart}"), "line"]).await;
        let Value::Bulk(line) = line else {
            panic!("{line:?}")
        };
        sum += std::str::from_utf8(&line).unwrap().parse::<i64>().unwrap();
    }
    assert_eq!(sum, total, "every acknowledged write counts once");
    for client in resting.iter_mut().step_by(97) {
        assert_eq!(client.ask(&["PING"]).await, Value::Simple("PONG".into()));
    }
    demo.stop().await;
}
