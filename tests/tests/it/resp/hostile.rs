//! Clients that are slow, wrong, or worse.

use std::time::Duration;

use cartograph_resp::Value;

use super::client::{Client, bulk, error, ok};
use crate::demo::harness::{Demo, eventually};

const SOON: Duration = Duration::from_secs(20);

async fn closes_after(client: &mut Client, words: &str) {
    let value = client.next().await.expect("an error before the end");
    assert!(error(&value).contains(words), "{value:?}");
    assert_eq!(client.next().await, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_resp_is_answered_and_closed_and_others_go_on() {
    let demo = Demo::start_with(&["--store", "redis", "--regions", "us-central1"]).await;
    let port = demo.regions[0].resp;
    let mut good = Client::connect(port).await;
    for (bytes, words) in [
        (&b"*-x\r\n"[..], "Protocol error: invalid multibulk length"),
        (b"*99999999999\r\n", "Protocol error: invalid multibulk length"),
        (
            b"*1\r\n$99999999999999\r\n",
            "Protocol error: invalid bulk length",
        ),
        (b"*1\r\n:5\r\n", "Protocol error: expected '$'"),
        (b"SET \"x\r\n", "Protocol error: unbalanced quotes"),
    ] {
        let mut client = Client::connect(port).await;
        client.send(bytes).await;
        closes_after(&mut client, words).await;
        assert_eq!(good.ask(&["PING"]).await, Value::Simple("PONG".into()));
    }
    // A web page's request is cut off without a word.
    let mut client = Client::connect(port).await;
    let _ = client
        .try_send(b"POST / HTTP/1.1\r\nHost: x\r\n\r\nSET stolen 1\r\n")
        .await;
    assert_eq!(client.next().await, None);
    assert_eq!(good.ask(&["GET", "stolen"]).await, Value::Null);
    wrong_commands(&mut good).await;
    slow_bytes(port).await;
    inline(port).await;
    half_a_command(port).await;
    big_values(&mut good).await;
    demo.stop().await;
}

async fn wrong_commands(good: &mut Client) {
    let unknown = good.ask(&["NOSUCH", "a", "b"]).await;
    assert_eq!(
        error(&unknown),
        "ERR unknown command 'NOSUCH', with args beginning with: 'a' 'b' "
    );
    let arity = good.ask(&["GET"]).await;
    assert_eq!(error(&arity), "ERR wrong number of arguments for 'get' command");
    let sub = good.ask(&["CLIENT", "NOSUCH"]).await;
    assert!(
        error(&sub).starts_with("ERR unknown subcommand 'NOSUCH'"),
        "{sub:?}"
    );
    assert_eq!(error(&good.ask(&["EXEC"]).await), "ERR EXEC without MULTI");
    // A command refused while it is queued breaks the transaction.
    assert_eq!(good.ask(&["MULTI"]).await, ok());
    assert!(matches!(good.ask(&["GET"]).await, Value::Error(_)));
    assert_eq!(good.ask(&["SET", "k", "v"]).await, Value::Simple("QUEUED".into()));
    assert_eq!(
        error(&good.ask(&["EXEC"]).await),
        "EXECABORT Transaction discarded because of previous errors."
    );
    assert_eq!(good.ask(&["EXISTS", "k"]).await, Value::Integer(0));
    // Metadata is out of reach by name.
    let reserved = good.ask(&[&b"SET"[..], b"\0cartograph:members", b"x"]).await;
    assert!(error(&reserved).contains("reserved"), "{reserved:?}");
}

/// One byte at a time is a command all the same.
async fn slow_bytes(port: u16) {
    let mut client = Client::connect(port).await;
    for byte in b"*3\r\n$3\r\nSET\r\n$1\r\ns\r\n$1\r\nv\r\n" {
        client.send(&[*byte]).await;
        tokio::task::yield_now().await;
    }
    assert_eq!(client.next().await, Some(ok()));
}

async fn inline(port: u16) {
    let mut client = Client::connect(port).await;
    client
        .send(b"\r\nSET inline \"a b\"\r\nget inline\r\nPING\r\nQUIT\r\n")
        .await;
    let wanted = [ok(), bulk("a b"), Value::Simple("PONG".into()), ok()];
    for value in wanted {
        assert_eq!(client.next().await, Some(value));
    }
    assert_eq!(client.next().await, None);
}

/// What was complete before the end is done; what was not is not.
async fn half_a_command(port: u16) {
    let mut client = Client::connect(port).await;
    client
        .send(b"*3\r\n$3\r\nSET\r\n$4\r\nhalf\r\n$1\r\n1\r\n*3\r\n$3\r\nSET\r\n$4\r\nhalf\r\n$1\r\n")
        .await;
    drop(client);
    let mut other = Client::connect(port).await;
    eventually("the whole command is done", SOON, async || {
        other.ask(&["GET", "half"]).await == bulk("1")
    })
    .await;
}

/// A value of some megabytes goes in and comes out; one beyond what an entry may have is refused, not cut.
async fn big_values(good: &mut Client) {
    let big = "x".repeat(4 << 20);
    assert_eq!(good.ask(&["SET", "big", &big]).await, ok());
    assert_eq!(good.ask(&["GET", "big"]).await, bulk(&big));
    let bigger = "x".repeat(9 << 20);
    let refused = good.ask(&["SET", "bigger", &bigger]).await;
    assert!(error(&refused).contains("split it"), "{}", error(&refused));
    assert_eq!(good.ask(&["EXISTS", "bigger"]).await, Value::Integer(0));
    assert_eq!(good.ask(&["STRLEN", "big"]).await, Value::Integer(4 << 20));
}
