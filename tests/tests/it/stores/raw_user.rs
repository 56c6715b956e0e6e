//! What the server itself keeps passed-on commands from, whatever a door lets through.

use cartograph_resp::{Protocol, Value};
use cartograph_store::Store as _;
use cartograph_store::raw::{PassUser, RawLane};

use super::harness::Server;
use super::raw::{raw_of, store_with, value};
use crate::plain_redis::Reply;

async fn refusal(lane: &RawLane, command: &[&str]) -> String {
    match value(lane, command).await {
        Value::Error(words) => words,
        other => panic!("{command:?} is not refused: {other:?}"),
    }
}

/// A server with something in both databases.
fn server_with_data() -> Server {
    let server = Server::start(&[]);
    let done = server.commands(&[
        &["SET", "plain", "1"],
        &["RPUSH", "list", "3", "1", "2"],
        &["SET", "local:a", "1"],
        &["SELECT", "15"],
        &["SET", "m:0:plain", "secret"],
    ]);
    assert!(
        done.iter().all(|reply| !matches!(reply, Reply::Error(_))),
        "{done:?}"
    );
    server
}

#[tokio::test]
async fn no_command_leaves_the_database_or_touches_the_server() {
    let server = server_with_data();
    let lane = raw_of(&server).shared(Protocol::Resp2);
    for command in [
        &["SELECT", "15"][..],
        &["SWAPDB", "0", "15"],
        &["MOVE", "local:a", "15"],
        &["FLUSHALL"],
        &["FLUSHDB"],
        &["CONFIG", "GET", "*"],
        &["CONFIG", "SET", "maxmemory", "1"],
        &["DEBUG", "SLEEP", "0"],
        &["MONITOR"],
        &["SHUTDOWN", "NOSAVE"],
        &["REPLICAOF", "NO", "ONE"],
        &["SAVE"],
        &["BGREWRITEAOF"],
        &["ACL", "LIST"],
        &["CLIENT", "KILL", "TYPE", "normal"],
        &["CLIENT", "PAUSE", "1"],
        &["SCRIPT", "FLUSH"],
        &["SCRIPT", "KILL"],
        &["FUNCTION", "FLUSH"],
        &["MODULE", "LIST"],
        &["MIGRATE", "127.0.0.1", "1", "plain", "0", "1"],
        &["LATENCY", "RESET"],
        &["SLOWLOG", "RESET"],
    ] {
        let words = refusal(&lane, command).await;
        // DEBUG is off before anybody's rights are looked at.
        assert!(
            words.starts_with("NOPERM") || words.contains("DEBUG command not allowed"),
            "{command:?}: {words}"
        );
    }
}

#[tokio::test]
async fn only_keys_of_the_local_class_can_be_written() {
    let server = server_with_data();
    let lane = raw_of(&server).shared(Protocol::Resp2);
    for command in [
        &["SET", "plain", "2"][..],
        &["DEL", "plain"],
        &["EXPIRE", "plain", "1"],
        &["LPUSH", "list", "x"],
        &["RENAME", "plain", "local:b"],
        &["COPY", "local:a", "b"],
        &["SORT", "list", "STORE", "b"],
        &["GETDEL", "plain"],
        &["MSET", "local:a", "1", "plain", "2"],
        &["RESTORE", "b", "0", "x"],
        &["LMOVE", "list", "local:l", "LEFT", "LEFT"],
        &["XADD", "stream", "*", "a", "b"],
    ] {
        let words = refusal(&lane, command).await;
        assert!(words.starts_with("NOPERM"), "{command:?}: {words}");
    }
    for (command, reply) in [
        (&["SET", "local:a", "2"][..], Value::OK),
        (&["COPY", "plain", "local:b"], Value::Integer(1)),
        (&["SORT", "list", "STORE", "local:sorted"], Value::Integer(3)),
        (
            &["SORT", "list", "BY", "local:*", "LIMIT", "0", "0"],
            Value::Array(Vec::new()),
        ),
        (&["RPUSH", "local:l", "x"], Value::Integer(1)),
        (&["KEYS", "pl*"], Value::Array(vec![Value::bulk("plain")])),
        (&["DBSIZE"], Value::Integer(6)),
        (&["GET", "m:0:plain"], Value::Null),
        (&["PUBLISH", "channel", "x"], Value::Integer(0)),
    ] {
        assert_eq!(value(&lane, command).await, reply, "{command:?}");
    }
    assert_eq!(
        server.command(&["GET", "plain"]),
        Reply::Bulk(Some(b"1".to_vec()))
    );
}

#[tokio::test]
async fn scripts_can_do_no_more_than_commands() {
    let server = server_with_data();
    let raw = raw_of(&server);
    let lane = raw.shared(Protocol::Resp2);
    assert!(!raw.scripts_allowed(), "not known yet");
    raw.prepare().await.unwrap();
    assert!(raw.scripts_allowed());
    for script in [
        "return redis.call('SELECT', 15)",
        "return redis.call('SET', 'plain', 'x')",
        "return redis.call('DEL', 'plain')",
        "return redis.call('FLUSHALL')",
        "return redis.call('CONFIG', 'GET', '*')",
        "return redis.call('MOVE', 'local:a', 15)",
        "return redis.call('SWAPDB', 0, 15)",
        "return redis.call('COPY', 'plain', 'm:0:x', 'DB', 15)",
        "return redis.call('RENAME', 'plain', 'local:z')",
    ] {
        // A replicated key may not even be named by a script that may write.
        let words = refusal(&lane, &["EVAL", script, "1", "plain"]).await;
        assert!(words.starts_with("NOPERM"), "{script}: {words}");
        let words = refusal(&lane, &["EVAL", script, "1", "local:a"]).await;
        assert!(
            words.contains("NOPERM")
                || words.contains("ACL failure in script")
                || words.contains("executing the script can't")
                || words.contains("not allowed from script"),
            "{script}: {words}"
        );
    }
    for (command, reply) in [
        (
            &["EVAL", "return redis.call('INCR', KEYS[1])", "1", "local:a"][..],
            Value::Integer(2),
        ),
        (
            &["EVAL", "return redis.call('GET', 'plain')", "0"],
            Value::bulk("1"),
        ),
        (
            &["EVAL_RO", "return redis.call('GET', KEYS[1])", "1", "plain"],
            Value::bulk("1"),
        ),
        (
            &["EVAL", "return redis.call('GET', 'm:0:plain')", "0"],
            Value::Null,
        ),
    ] {
        assert_eq!(value(&lane, command).await, reply, "{command:?}");
    }
    let untouched = server.commands(&[&["GET", "plain"], &["SELECT", "15"], &["DBSIZE"]]);
    assert_eq!(
        untouched,
        [
            Reply::Bulk(Some(b"1".to_vec())),
            Reply::Status("OK".to_owned()),
            Reply::Integer(1)
        ]
    );
}

#[tokio::test]
async fn copying_into_another_database_stays_clear_of_the_metadata() {
    let server = server_with_data();
    let lane = raw_of(&server).shared(Protocol::Resp2);
    let words = refusal(&lane, &["COPY", "local:a", "m:0:plain", "DB", "15"]).await;
    assert!(words.starts_with("NOPERM"), "{words}");
    // Where a local key may have such a name there is no COPY at all.
    let store = store_with(&server, |config| config.local_prefixes = vec!["m".to_owned()]);
    let raw = store.raw().unwrap();
    let words = refusal(
        &raw.shared(Protocol::Resp2),
        &["COPY", "plain", "m:0:plain", "DB", "15"],
    )
    .await;
    assert!(words.starts_with("NOPERM"), "{words}");
}

#[tokio::test]
async fn where_no_user_can_be_made_status_says_so_and_scripts_are_off() {
    let server = server_with_data();
    let raw = server.store_of_limited("-acl").raw().unwrap();
    let user = raw.prepare().await.unwrap();
    assert!(
        matches!(&user, PassUser::Unconfined { reason } if reason.contains("NOPERM")),
        "{user:?}"
    );
    assert!(!raw.scripts_allowed());
    assert_eq!(raw.status().user, user);
    let lane = raw.shared(Protocol::Resp3);
    assert_eq!(value(&lane, &["GET", "plain"]).await, Value::bulk("1"));
}

#[tokio::test]
async fn every_node_of_a_region_makes_the_same_user() {
    let server = server_with_data();
    let (one, other) = (raw_of(&server), raw_of(&server));
    let lanes = [one.shared(Protocol::Resp2), other.shared(Protocol::Resp2)];
    for lane in lanes.iter().chain(&lanes) {
        assert_eq!(value(lane, &["PING"]).await, Value::Simple("PONG".into()));
    }
    assert_eq!(one.status().errors_total + other.status().errors_total, 0);
}
