//! Commands passed on as they came, over a real server: order, breaks, bounds.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use cartograph_resp::{Protocol, Value, encode_command};
use cartograph_store::raw::{RawError, RawLane, RawStore, Repeat, Replies};
use cartograph_store::{RedisConfig, RedisStore, Store as _};
use rustix::process::{Pid, Signal, kill_process};
use tokio::sync::oneshot;

use super::SHARD;
use super::harness::Server;

pub(super) fn bytes(command: &[&str]) -> BytesMut {
    let mut out = BytesMut::new();
    encode_command(command, &mut out);
    out
}

/// A store whose local class is `local:`.
pub(super) fn store_with(server: &Server, change: impl FnOnce(&mut RedisConfig)) -> RedisStore {
    let mut config = RedisConfig::new(server.url());
    config.local_prefixes = vec!["local:".to_owned()];
    change(&mut config);
    RedisStore::new(config).unwrap()
}

pub(super) fn raw_of(server: &Server) -> Arc<dyn RawStore> {
    store_with(server, |_| {}).raw().unwrap()
}

type Answer = oneshot::Receiver<Result<Replies, RawError>>;

fn submit(lane: &RawLane, request: &[u8], commands: usize, repeat: Repeat) -> Result<Answer, RawError> {
    let (to, answer) = oneshot::channel();
    let callback = Box::new(move |replies| drop(to.send(replies)));
    lane.submit(request, commands, repeat, callback)?;
    Ok(answer)
}

pub(super) async fn ask(lane: &RawLane, command: &[&str]) -> Result<Bytes, RawError> {
    let answer = submit(lane, &bytes(command), 1, Repeat::Read)?;
    Ok(answer.await.unwrap()?.into_bytes())
}

pub(super) async fn value(lane: &RawLane, command: &[&str]) -> Value {
    Value::from_frame(&ask(lane, command).await.unwrap()).unwrap()
}

/// What `future` gives, within 10 seconds.
async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    let bounded = tokio::time::timeout(Duration::from_secs(10), future).await;
    bounded.unwrap_or_else(|_| panic!("not within 10 s: {what}"))
}

/// Asks again and again, every 2 ms, until it is so.
async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let asking = async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    soon(what, asking).await;
}

async fn until_up(lane: &RawLane) {
    until("the lane is back", async || ask(lane, &["PING"]).await.is_ok()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn each_of_many_submitters_gets_its_own_replies() {
    let server = Server::start(&[]);
    let raw = raw_of(&server);
    for protocol in [Protocol::Resp2, Protocol::Resp3] {
        let tasks: Vec<_> = (0..32)
            .map(|task| {
                let lane = raw.lane(protocol, None);
                tokio::spawn(async move {
                    for round in 0..200 {
                        let commands = 1 + (task + round) % 5;
                        let names: Vec<_> = (0..commands).map(|n| format!("{task}-{round}-{n}")).collect();
                        let (mut request, mut wanted) = (BytesMut::new(), BytesMut::new());
                        for name in &names {
                            encode_command(&["ECHO", name], &mut request);
                            Value::bulk(name.clone()).encode(protocol, &mut wanted);
                        }
                        let answer = submit(&lane, &request, commands, Repeat::Read).unwrap();
                        let replies = answer.await.unwrap().unwrap();
                        assert_eq!(replies.count(), commands);
                        assert_eq!(replies.as_bytes(), &wanted);
                        assert_eq!(replies.into_frames().len(), commands);
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
    }
    let status = raw.status();
    assert_eq!((status.lanes, status.lanes_up, status.waiting), (8, 8, 0));
    assert_eq!((status.connects_total, status.errors_total), (8, 0));
}

#[tokio::test]
async fn replies_come_in_the_version_of_the_lane() {
    let server = Server::start(&[]);
    server.command(&["HSET", "h", "f", "v"]);
    let raw = raw_of(&server);
    let (old, new) = (raw.shared(Protocol::Resp2), raw.shared(Protocol::Resp3));
    assert_eq!(
        ask(&old, &["HGETALL", "h"]).await.unwrap(),
        "*2\r\n$1\r\nf\r\n$1\r\nv\r\n"
    );
    assert_eq!(
        ask(&new, &["HGETALL", "h"]).await.unwrap(),
        "%1\r\n$1\r\nf\r\n$1\r\nv\r\n"
    );
    assert_eq!(ask(&old, &["GET", "none"]).await.unwrap(), "$-1\r\n");
    assert_eq!(ask(&new, &["GET", "none"]).await.unwrap(), "_\r\n");
    assert!(
        ask(&new, &["GET", "h"])
            .await
            .unwrap()
            .starts_with(b"-WRONGTYPE ")
    );
}

#[tokio::test]
async fn big_replies_are_whole_and_keep_their_place() {
    const BYTES: usize = 10 << 20;
    let server = Server::start(&[]);
    server.command(&["SETRANGE", "big", &(BYTES - 1).to_string(), "x"]);
    let lane = raw_of(&server).shared(Protocol::Resp3);
    let mut request = bytes(&["GET", "big"]);
    request.unsplit(bytes(&["STRLEN", "big"]));
    let first = submit(&lane, &request, 2, Repeat::Read).unwrap();
    let second = submit(&lane, &bytes(&["ECHO", "after"]), 1, Repeat::Read).unwrap();
    let frames = first.await.unwrap().unwrap().into_frames();
    assert_eq!(frames[0].len(), BYTES + "$10485760\r\n\r\n".len());
    assert!(frames[0].ends_with(b"\0x\r\n"));
    assert_eq!(frames[1], ":10485760\r\n");
    assert_eq!(second.await.unwrap().unwrap().into_bytes(), "$5\r\nafter\r\n");
    // And the other way: a command of that size.
    let value = "y".repeat(BYTES);
    assert_eq!(
        ask(&lane, &["SET", "local:big", &value]).await.unwrap(),
        "+OK\r\n"
    );
}

#[tokio::test]
async fn a_lane_comes_back_after_the_server_does_and_fails_at_once_meanwhile() {
    let mut server = Server::start(&[]);
    let raw = raw_of(&server);
    let lane = raw.shared(Protocol::Resp2);
    assert_eq!(ask(&lane, &["PING"]).await.unwrap(), "+PONG\r\n");
    let commands = raw.commands().await.unwrap();
    assert!(
        Arc::ptr_eq(&commands, &raw.commands().await.unwrap()),
        "asked once"
    );
    server.process.kill();
    let ping = bytes(&["PING"]);
    until("the lane refuses", async || {
        submit(&lane, &ping, 1, Repeat::Read).is_err()
    })
    .await;
    // Nobody waits for a connection, whether it is being tried again or not.
    let all = async {
        for _ in 0..100 {
            let error = ask(&lane, &["PING"]).await.unwrap_err();
            assert!(
                matches!(error, RawError::Unavailable { .. }) && error.is_definite(),
                "{error}"
            );
        }
    };
    soon("a hundred refusals", all).await;
    assert!(raw.status().refused_total > 0 && raw.status().lanes_up == 0);
    // It has forgotten the user, who has to be made again.
    server.restart(&[]);
    until_up(&lane).await;
    assert_eq!(ask(&lane, &["SET", "local:a", "1"]).await.unwrap(), "+OK\r\n");
    let refused = ask(&lane, &["SET", "a", "1"]).await.unwrap();
    assert!(refused.starts_with(b"-NOPERM"), "{refused:?}");
    assert!(
        !Arc::ptr_eq(&commands, &raw.commands().await.unwrap()),
        "another life"
    );
}

#[tokio::test]
async fn after_a_break_reads_are_asked_again_and_writes_are_unknown() {
    let server = Server::start(&[]);
    server.command(&["SET", "k", "v"]);
    let raw = raw_of(&server);
    let lane = raw.shared(Protocol::Resp2);
    assert_eq!(ask(&lane, &["PING"]).await.unwrap(), "+PONG\r\n");
    // The write waits in the server, and what comes after it on the connection, too.
    server.command(&["CLIENT", "PAUSE", "60000", "WRITE"]);
    let write = submit(&lane, &bytes(&["INCR", "local:n"]), 1, Repeat::Never).unwrap();
    let mut two = bytes(&["GET", "k"]);
    two.unsplit(bytes(&["STRLEN", "k"]));
    let read = submit(&lane, &two, 2, Repeat::Read).unwrap();
    let arrived = async || format!("{:?}", server.command(&["CLIENT", "LIST"])).contains("cmd=incr");
    until("the write arrives", arrived).await;
    server.command(&["CLIENT", "KILL", "USER", "cartograph-pass"]);
    let error = write.await.unwrap().unwrap_err();
    assert!(
        matches!(error, RawError::Unknown { .. }) && !error.is_definite(),
        "{error}"
    );
    assert_eq!(read.await.unwrap().unwrap().into_bytes(), "$1\r\nv\r\n:1\r\n");
    server.command(&["CLIENT", "UNPAUSE"]);
    assert_eq!(
        ask(&lane, &["GET", "local:n"]).await.unwrap(),
        "$-1\r\n",
        "sent once, and lost"
    );
    assert_eq!((raw.status().retries_total, raw.status().errors_total), (1, 1));
}

#[tokio::test]
async fn a_server_that_hangs_is_noticed() {
    let server = Server::start(&[]);
    let raw = store_with(&server, |config| {
        config.read_timeout = Duration::from_millis(400);
        config.connect_timeout = Duration::from_secs(1);
    });
    let lane = raw.raw().unwrap().shared(Protocol::Resp2);
    until_up(&lane).await;
    let pid = Pid::from_raw(i32::try_from(server.process.pid()).unwrap()).unwrap();
    kill_process(pid, Signal::STOP).unwrap();
    let hung = soon("an error", ask(&lane, &["GET", "k"])).await;
    kill_process(pid, Signal::CONT).unwrap();
    assert!(matches!(hung, Err(RawError::Unavailable { .. })), "{hung:?}");
    until_up(&lane).await;
}

#[tokio::test]
async fn what_waits_is_bounded() {
    let server = Server::start(&[]);
    let store = store_with(&server, |config| {
        config.raw_queue_max = 10;
        config.raw_queue_bytes_max = 1_000;
    });
    let raw = store.raw().unwrap();
    let lane = raw.shared(Protocol::Resp2);
    assert_eq!(ask(&lane, &["PING"]).await.unwrap(), "+PONG\r\n");
    server.command(&["CLIENT", "PAUSE", "60000", "WRITE"]);
    let set = bytes(&["SET", "local:a", "1"]);
    let waiting: Vec<_> = (0..10)
        .map(|_| submit(&lane, &set, 1, Repeat::Never).unwrap())
        .collect();
    let one_more = submit(&lane, &set, 1, Repeat::Never);
    assert!(matches!(one_more, Err(RawError::Busy { .. })), "{one_more:?}");
    assert_eq!(raw.status().waiting, 10);
    server.command(&["CLIENT", "UNPAUSE"]);
    for answer in waiting {
        assert_eq!(answer.await.unwrap().unwrap().into_bytes(), "+OK\r\n");
    }
    // By bytes: one that is larger than the limit goes, but not behind another. Nothing is sent in between: this task
    // does not yield.
    let large = bytes(&["ECHO", &"x".repeat(2_000)]);
    let first = submit(&lane, &large, 1, Repeat::Read).unwrap();
    let second = submit(&lane, &large, 1, Repeat::Read);
    assert!(matches!(second, Err(RawError::Busy { .. })), "{second:?}");
    assert_eq!(first.await.unwrap().unwrap().as_bytes().len(), 2_000 + 9);
}

#[tokio::test]
async fn a_claim_moves_the_lanes_to_a_new_connection() {
    let server = Server::start(&[]);
    let store = store_with(&server, |_| {});
    let raw = store.raw().unwrap();
    let lane = raw.shared(Protocol::Resp2);
    let before = value(&lane, &["CLIENT", "ID"]).await;
    assert_eq!(value(&lane, &["CLIENT", "ID"]).await, before);
    store.claim(SHARD).await.unwrap();
    assert_ne!(value(&lane, &["CLIENT", "ID"]).await, before);
    assert_eq!(raw.status().errors_total, 0);
}

#[tokio::test]
async fn pinned_connections_are_bounded_and_given_back() {
    let server = Server::start(&[]);
    let store = store_with(&server, |config| config.pinned_connections_max = 2);
    let raw = store.raw().unwrap();
    let mut waiter = raw.pinned(Protocol::Resp2).await.unwrap();
    let (mut sender, mut receiver) = raw.pinned(Protocol::Resp3).await.unwrap().into_split();
    let third = raw.pinned(Protocol::Resp2).await.map(|_| ());
    assert_eq!(third, Err(RawError::TooManyPinned { max: 2 }));
    assert_eq!(raw.status().pinned, 2);

    waiter.send(&bytes(&["BLPOP", "local:jobs", "0"])).await.unwrap();
    sender.send(&bytes(&["SUBSCRIBE", "local:news"])).await.unwrap();
    assert!(
        receiver
            .recv()
            .await
            .unwrap()
            .starts_with(b">3\r\n$9\r\nsubscribe\r\n")
    );
    let lane = raw.shared(Protocol::Resp2);
    value(&lane, &["RPUSH", "local:jobs", "one"]).await;
    value(&lane, &["PUBLISH", "local:news", "hello"]).await;
    assert_eq!(
        waiter.recv().await.unwrap(),
        "*2\r\n$10\r\nlocal:jobs\r\n$3\r\none\r\n"
    );
    assert!(receiver.recv().await.unwrap().ends_with(b"$5\r\nhello\r\n"));

    drop(waiter);
    let again = raw.pinned(Protocol::Resp2).await.unwrap();
    drop(sender);
    assert!(
        raw.pinned(Protocol::Resp2).await.is_err(),
        "the receiver still has the place"
    );
    drop((receiver, again));
    assert_eq!(raw.status().pinned, 0);
}

#[tokio::test]
async fn a_pinned_connection_says_when_it_breaks() {
    let mut server = Server::start(&[]);
    let mut pinned = raw_of(&server).pinned(Protocol::Resp2).await.unwrap();
    pinned.send(&bytes(&["BLPOP", "local:jobs", "0"])).await.unwrap();
    let ((), broken) = tokio::join!(async { server.process.kill() }, pinned.recv());
    assert!(matches!(broken, Err(RawError::Unknown { .. })), "{broken:?}");
}

#[test]
fn a_thread_may_have_a_lane_on_its_own_runtime() {
    let server = Server::start(&[]);
    let raw = raw_of(&server);
    let runtime = || {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
    };
    let written = Arc::new(AtomicUsize::new(0));
    let lane = {
        let (raw, written) = (Arc::clone(&raw), Arc::clone(&written));
        let thread = std::thread::spawn(move || {
            runtime().block_on(async {
                let after = Box::new(move || {
                    written.fetch_add(1, Ordering::SeqCst);
                });
                let lane = raw.lane(Protocol::Resp2, Some(after));
                // Many at once are one write and few reads.
                let all: Vec<_> = (0..100)
                    .map(|_| submit(&lane, &bytes(&["PING"]), 1, Repeat::Read).unwrap())
                    .collect();
                for answer in all {
                    assert_eq!(answer.await.unwrap().unwrap().into_bytes(), "+PONG\r\n");
                }
                lane
            })
        });
        thread.join().unwrap()
    };
    let times = written.load(Ordering::SeqCst);
    assert!(
        (1..10).contains(&times),
        "after each read once, not after each reply: {times}"
    );
    // Its runtime has ended, and the lane with it; others get a new one.
    let refused = submit(&lane, &bytes(&["PING"]), 1, Repeat::Read);
    assert!(
        matches!(refused, Err(RawError::Unavailable { .. })),
        "{refused:?}"
    );
    runtime().block_on(async {
        let lane = raw.shared(Protocol::Resp2);
        assert_eq!(ask(&lane, &["PING"]).await.unwrap(), "+PONG\r\n");
        assert_eq!(raw.status().lanes, 1);
    });
}

#[tokio::test]
async fn a_socket_in_the_file_system_and_a_password_will_do() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("s");
    let server = Server::start(&[
        "--unixsocket",
        socket.to_str().unwrap(),
        "--requirepass",
        "secret",
    ]);
    for url in [
        format!("unix://{}?pass=secret", socket.display()),
        server.url().replace("redis://", "redis://:secret@"),
    ] {
        let store = RedisStore::new(RedisConfig::new(&url)).unwrap();
        let lane = store.raw().unwrap().shared(Protocol::Resp3);
        assert_eq!(ask(&lane, &["PING"]).await.unwrap(), "+PONG\r\n");
        assert_eq!(
            value(&lane, &["ACL", "WHOAMI"]).await,
            Value::bulk("cartograph-pass")
        );
    }
    let wrong = server.url().replace("redis://", "redis://:wrong@");
    let lane = RedisStore::new(RedisConfig::new(&wrong))
        .unwrap()
        .raw()
        .unwrap()
        .shared(Protocol::Resp3);
    let refused = ask(&lane, &["PING"]).await;
    assert!(refused.is_err(), "{refused:?}");
}
