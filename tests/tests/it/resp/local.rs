//! Keys of class `local`: every command of the region's Redis, and none of it replicated.

use std::time::Duration;

use cartograph_resp::Value;

use super::client::{Client, bulk, error, ok};
use crate::demo::harness::{Demo, eventually};

const SOON: Duration = Duration::from_secs(20);

/// A demo whose nodes keep `local:` and `bull:` to themselves.
async fn demo() -> Demo {
    let demo = Demo::start().await;
    demo.settings(
        "[[resp.classes]]\nprefix = \"local:\"\nclass = \"local\"\n\
         [[resp.classes]]\nprefix = \"bull:\"\nclass = \"local\"",
    )
    .await;
    for region in 0..demo.regions.len() {
        demo.ready(region).await;
    }
    demo
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn local_keys_have_every_command_and_stay_in_their_region() {
    let demo = demo().await;
    let mut a = Client::connect(demo.regions[0].resp).await;
    let mut b = Client::connect(demo.regions[1].resp).await;
    everything_on_local_keys(&mut a).await;
    nothing_else_is_reached(&mut a).await;
    transactions(&mut a, demo.regions[0].resp).await;
    blocking(&mut a, demo.regions[0].resp).await;
    messages(&mut a, demo.regions[0].resp).await;
    // A replicated write after all of that has arrived, and nothing local with it.
    assert_eq!(a.ask(&["SET", "marker", "1"]).await, ok());
    eventually("the marker arrives", SOON, async || {
        b.ask(&["GET", "marker"]).await == bulk("1")
    })
    .await;
    assert_eq!(b.ask(&["KEYS", "local:*"]).await, Value::Array(Vec::new()));
    assert_eq!(b.ask(&["EXISTS", "local:list"]).await, Value::Integer(0));
    demo.stop().await;
}

async fn everything_on_local_keys(a: &mut Client) {
    assert_eq!(a.ask(&["SET", "local:s", "v", "EX", "100"]).await, ok());
    assert_eq!(a.ask(&["GET", "local:s"]).await, bulk("v"));
    assert_eq!(a.ask(&["RPUSH", "local:list", "a", "b"]).await, Value::Integer(2));
    assert_eq!(a.ask(&["LPOP", "local:list"]).await, bulk("a"));
    let id = a.ask(&["XADD", "local:stream", "*", "f", "v"]).await;
    assert!(matches!(id, Value::Bulk(_)), "{id:?}");
    let script = "redis.call('SET', KEYS[1], ARGV[1]); return redis.call('GET', KEYS[1])";
    assert_eq!(
        a.ask(&["EVAL", script, "1", "local:by-script", "x"]).await,
        bulk("x")
    );
    // A pipeline of both classes keeps its order.
    let replies = a
        .pipeline(&[
            &["SET", "local:p", "1"],
            &["SET", "p", "1"],
            &["INCR", "local:p"],
            &["INCR", "p"],
            &["GET", "local:p"],
            &["GET", "p"],
        ])
        .await;
    let [_, _, Value::Integer(2), Value::Integer(2), local, replicated] = replies.as_slice() else {
        panic!("{replies:?}");
    };
    assert_eq!((local, replicated), (&bulk("2"), &bulk("2")));
}

async fn nothing_else_is_reached(a: &mut Client) {
    a.ask(&["SET", "cart-like", "1"]).await;
    let refused = a.ask(&["RPUSH", "list", "a"]).await;
    assert!(error(&refused).contains("cannot be replicated"), "{refused:?}");
    // A script that was given a local key tries another one.
    let script = "return redis.call('SET', 'cart-like', 'stolen')";
    let refused = a.ask(&["EVAL", script, "1", "local:x"]).await;
    assert!(matches!(refused, Value::Error(_)), "{refused:?}");
    let script = "redis.call('SELECT', '15'); return redis.call('KEYS', '*')";
    let refused = a.ask(&["EVAL", script, "1", "local:x"]).await;
    assert!(matches!(refused, Value::Error(_)), "{refused:?}");
    let refused = a.ask(&["EVAL", script, "0"]).await;
    assert!(matches!(refused, Value::Error(_)), "{refused:?}");
    let refused = a.ask(&["SUNIONSTORE", "local:u", "set"]).await;
    assert!(error(&refused).contains("class 'local'"), "{refused:?}");
    let refused = a.ask(&["SELECT", "15"]).await;
    assert_eq!(error(&refused), "ERR DB index is out of range");
    assert_eq!(a.ask(&["GET", "cart-like"]).await, bulk("1"));
}

async fn transactions(a: &mut Client, port: u16) {
    assert_eq!(a.ask(&["MULTI"]).await, ok());
    for words in [&["LPUSH", "local:q", "1"][..], &["LLEN", "local:q"], &["PING"]] {
        assert_eq!(a.ask(words).await, Value::Simple("QUEUED".into()));
    }
    let done = a.ask(&["EXEC"]).await;
    let wanted = vec![Value::Integer(1), Value::Integer(1), Value::Simple("PONG".into())];
    assert_eq!(done, Value::Array(wanted));
    // Both classes in one: refused, and nothing is done.
    a.ask(&["MULTI"]).await;
    a.ask(&["SET", "local:m", "1"]).await;
    a.ask(&["SET", "m", "1"]).await;
    assert!(error(&a.ask(&["EXEC"]).await).starts_with("EXECABORT"));
    assert_eq!(a.ask(&["EXISTS", "m", "local:m"]).await, Value::Integer(0));
    // A watched local key that somebody else changes.
    a.ask(&["SET", "local:w", "1"]).await;
    assert_eq!(a.ask(&["WATCH", "local:w"]).await, ok());
    Client::connect(port).await.ask(&["SET", "local:w", "2"]).await;
    a.ask(&["MULTI"]).await;
    a.ask(&["SET", "local:w", "3"]).await;
    assert_eq!(a.ask(&["EXEC"]).await, Value::NullArray);
    assert_eq!(a.ask(&["GET", "local:w"]).await, bulk("2"));
}

async fn blocking(a: &mut Client, port: u16) {
    let waiting = tokio::spawn(async move {
        let mut waiter = Client::connect(port).await;
        waiter.ask(&["BRPOP", "local:jobs", "20"]).await
    });
    eventually("the waiter waits", SOON, async || {
        let Value::Bulk(text) = a.ask(&["INFO", "clients"]).await else {
            return false;
        };
        String::from_utf8_lossy(&text).contains("blocked_clients:1")
    })
    .await;
    assert_eq!(a.ask(&["LPUSH", "local:jobs", "job"]).await, Value::Integer(1));
    let found = Value::Array(vec![bulk("local:jobs"), bulk("job")]);
    assert_eq!(waiting.await.unwrap(), found);
    let nothing = a.ask(&["BLPOP", "local:jobs", "0.1"]).await;
    assert_eq!(nothing, Value::NullArray);
}

async fn messages(a: &mut Client, port: u16) {
    let mut listener = Client::connect(port).await;
    let first = listener.ask(&["SUBSCRIBE", "local:news"]).await;
    assert_eq!(
        first,
        Value::Array(vec![bulk("subscribe"), bulk("local:news"), Value::Integer(1)])
    );
    assert_eq!(
        a.ask(&["PUBLISH", "local:news", "hello"]).await,
        Value::Integer(1)
    );
    let message = Value::Array(vec![bulk("message"), bulk("local:news"), bulk("hello")]);
    assert_eq!(listener.next().await, Some(message));
    let refused = listener.ask(&["GET", "x"]).await;
    assert!(error(&refused).starts_with("ERR Can't execute 'get'"));
    let left = listener.ask(&["UNSUBSCRIBE", "local:news"]).await;
    assert_eq!(
        left,
        Value::Array(vec![bulk("unsubscribe"), bulk("local:news"), Value::Integer(0)])
    );
    assert_eq!(listener.ask(&["PING"]).await, Value::Simple("PONG".into()));
    let refused = a.ask(&["PUBLISH", "news", "hello"]).await;
    assert!(error(&refused).contains("not supported"));
}
