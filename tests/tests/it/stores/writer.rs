//! The redis store's writer: breaks, takeovers, lost scripts, half-run commits, durability.

use std::time::Duration;

use cartograph_replica::commit::{
    BatchId, Commit, Elements, Fence, Load, Loaded, LogAppend, MetadataChange, Outcome, ViewChange,
    ViewContent, ViewExpiry,
};
use cartograph_store::{Durability, Error, Read, ReadReply, RedisConfig, RedisStore, Store};
use futures_util::future::join_all;

use super::generate::origins;
use super::harness::Server;
use super::{SHARD, commit_at, fake, nth_after};

/// Counts up in a view, in metadata, and in the log.
fn counting(mut commit: Commit) -> Commit {
    let n = commit.batch.0;
    let text = n.to_string().into_bytes();
    commit.metadata = vec![MetadataChange {
        key: b"k".to_vec(),
        header: Some(text.clone()),
        ..MetadataChange::default()
    }];
    commit.views = vec![ViewChange {
        key: b"k".to_vec(),
        replace: false,
        content: ViewContent::String(text.clone()),
        expiry: ViewExpiry::Unchanged,
    }];
    commit.log = vec![LogAppend {
        origin: origins()[0],
        first: n,
        last: n,
        record: text,
    }];
    commit.sequence_before = n - 1;
    commit.sequence_after = n;
    commit
}

async fn header(store: &dyn Store) -> Vec<u8> {
    let load = Load::Row {
        key: b"k".to_vec(),
        elements: Elements::Named(Vec::new()),
    };
    match store.load(SHARD, load).await {
        Ok(Loaded::Row(row)) => row.header,
        other => panic!("{other:?}"),
    }
}

fn is_unknown(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Unknown { .. })
}

#[tokio::test]
async fn commits_before_a_claim_are_unknown_and_a_release_ends_them() {
    let server = Server::start(&[]);
    let store = server.store();
    assert!(is_unknown(&store.commit(commit_at(Fence(1), 1, 0)).await));
    let claim = store.claim(SHARD).await.unwrap();
    let last = store.commit(counting(nth_after(&claim, 1)));
    store.release(SHARD).await.unwrap();
    assert_eq!(last.await, Outcome::Committed);
    assert!(is_unknown(&store.commit(counting(nth_after(&claim, 2))).await));
    let again = store.claim(SHARD).await.unwrap();
    assert_eq!((again.head.batch, again.head.sequence), (BatchId(1), 1));
    assert_eq!(again.server, claim.server);
}

#[tokio::test]
async fn a_late_owner_can_never_write() {
    let server = Server::start(&[]);
    let (old, new) = (server.store(), server.store());
    let first = old.claim(SHARD).await.unwrap();
    assert_eq!(
        old.commit(counting(nth_after(&first, 1))).await,
        Outcome::Committed
    );
    let second = new.claim(SHARD).await.unwrap();
    assert!(second.head.fence > first.head.fence);
    let late = old.commit(counting(nth_after(&first, 2))).await;
    let expected = Outcome::Fenced {
        fence: second.head.fence,
        batch: BatchId(1),
    };
    assert_eq!(late, expected);
    assert_eq!(
        new.commit(counting(nth_after(&second, 1))).await,
        Outcome::Committed
    );
    assert_eq!(header(&new).await, b"2");
}

#[tokio::test]
async fn lost_scripts_are_sent_again_and_the_order_stays() {
    let server = Server::start(&[]);
    let store = server.store();
    let claim = store.claim(SHARD).await.unwrap();
    let mut n = 0;
    for round in 0..20 {
        server.command(&["SCRIPT", "FLUSH"]);
        let commits = (0..=round).map(|_| {
            n += 1;
            store.commit(counting(nth_after(&claim, n)))
        });
        let commits: Vec<_> = commits.collect();
        let outcomes = join_all(commits).await;
        assert!(
            outcomes.iter().all(|o| *o == Outcome::Committed),
            "round {round}: {outcomes:?}"
        );
    }
    assert_eq!(header(&store).await, n.to_string().into_bytes());
}

#[tokio::test]
async fn after_a_break_everything_is_unknown_until_a_claim() {
    let arguments = ["--appendonly", "yes", "--appendfsync", "always"];
    let mut server = Server::start(&arguments);
    let store = server.store();
    let claim = store.claim(SHARD).await.unwrap();
    assert_eq!(
        store.commit(counting(nth_after(&claim, 1))).await,
        Outcome::Committed
    );
    // A pause, so that commits are surely outstanding when it dies.
    server.command(&["CLIENT", "PAUSE", "60000", "WRITE"]);
    let outstanding: Vec<_> = (2..40)
        .map(|n| store.commit(counting(nth_after(&claim, n))))
        .collect();
    server.process.kill();
    for outcome in join_all(outstanding).await {
        assert!(is_unknown(&outcome), "{outcome:?}");
    }
    assert!(is_unknown(&store.commit(counting(nth_after(&claim, 2))).await));
    let gone = store.claim(SHARD).await.unwrap_err();
    assert!(
        matches!(gone, Error::Unavailable { .. }) && gone.is_retryable(),
        "{gone:?}"
    );
    let read = store.read(Read::DbSize).await.unwrap_err();
    assert!(matches!(read, Error::Unavailable { .. }), "{read:?}");

    server.restart(&arguments);
    // It is back, but nobody has claimed.
    assert!(is_unknown(&store.commit(counting(nth_after(&claim, 2))).await));
    let again = store.claim(SHARD).await.unwrap();
    assert_ne!(again.server, claim.server);
    assert_eq!(again.head.batch, BatchId(1));
    assert_eq!(
        store.commit(counting(nth_after(&again, 1))).await,
        Outcome::Committed
    );
    assert_eq!(header(&store).await, b"2");
    assert_eq!(
        store.read(Read::Get(b"k".to_vec())).await,
        Ok(ReadReply::Bytes(b"2".to_vec()))
    );
}

#[tokio::test]
async fn readers_come_back_by_themselves() {
    let mut server = Server::start(&["--appendonly", "yes"]);
    let store = server.store();
    assert_eq!(store.read(Read::DbSize).await, Ok(ReadReply::Integer(0)));
    server.restart(&["--appendonly", "yes"]);
    assert_eq!(store.read(Read::DbSize).await, Ok(ReadReply::Integer(0)));
}

/// A user that may not XADD: metadata and views are written, the log is not, nor the head.
#[tokio::test]
async fn a_commit_that_failed_half_way_is_unknown_and_running_it_again_heals_it() {
    let server = Server::start(&[]);
    let store = server.store_of_limited("-xadd");
    let claim = store.claim(SHARD).await.unwrap();
    let half = store.commit(counting(nth_after(&claim, 1))).await;
    assert!(
        matches!(&half, Outcome::Unknown { reason } if reason.contains("half way")),
        "{half:?}"
    );
    let next = store.commit(counting(nth_after(&claim, 2))).await;
    assert!(is_unknown(&next), "{next:?}");
    assert_eq!(header(&store).await, b"1");
    server.command(&["ACL", "SETUSER", "limited", "+xadd"]);
    let again = store.claim(SHARD).await.unwrap();
    assert_eq!(again.head.batch, BatchId(0));
    assert_eq!(
        store.commit(counting(nth_after(&again, 1))).await,
        Outcome::Committed
    );
}

/// The log is there, the head is not: what a script that died between the two leaves.
#[tokio::test]
async fn records_that_a_half_run_commit_left_give_way_to_the_rerun() {
    let server = Server::start(&[]);
    let store = server.store();
    let claim = store.claim(SHARD).await.unwrap();
    assert_eq!(
        store.commit(counting(nth_after(&claim, 1))).await,
        Outcome::Committed
    );
    let log = format!("l:0:{}", origins()[0]);
    let left = |id| ["XADD", &log, id, "r", "stale"];
    server.commands(&[&["SELECT", "15"], &left("2-0"), &left("3-0")]);
    for n in 2..5 {
        assert_eq!(
            store.commit(counting(nth_after(&claim, n))).await,
            Outcome::Committed
        );
    }
    let load = Load::Log {
        origin: origins()[0],
        from: 0,
        bytes_max: usize::MAX,
    };
    let records = ["1", "2", "3", "4"].map(|r| r.as_bytes().to_vec()).to_vec();
    assert_eq!(store.load(SHARD, load).await, Ok(Loaded::Log(records)));
}

#[tokio::test]
async fn a_unix_socket_will_do() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("s");
    let _server = Server::start(&["--unixsocket", path.to_str().unwrap()]);
    let url = format!("unix://{}", path.display());
    let store = RedisStore::new(RedisConfig::new(url)).unwrap();
    let claim = store.claim(SHARD).await.unwrap();
    assert_eq!(
        store.commit(counting(nth_after(&claim, 1))).await,
        Outcome::Committed
    );
    assert_eq!(header(&store).await, b"1");
}

#[tokio::test]
async fn a_password_is_used() {
    let server = Server::start(&["--requirepass", "secret"]);
    let with = |login: &str| {
        let url = server.url().replace("redis://", &format!("redis://{login}"));
        RedisStore::new(RedisConfig::new(url)).unwrap()
    };
    with(":secret@").claim(SHARD).await.unwrap();
    for login in ["", ":wrong@"] {
        let error = with(login).claim(SHARD).await.unwrap_err();
        assert!(
            matches!(error, Error::Authentication { .. }),
            "{login}: {error:?}"
        );
        assert!(!error.is_retryable());
    }
}

fn durable(url: String, durability: Durability) -> RedisConfig {
    RedisConfig {
        durability,
        commit_timeout: Duration::from_secs(1),
        ..RedisConfig::new(url)
    }
}

#[tokio::test]
async fn durability_disk_needs_an_aof_and_waits_for_it_or_a_declaration() {
    let without = Server::start(&["--appendonly", "no"]);
    let store = RedisStore::new(durable(without.url(), Durability::Disk)).unwrap();
    let error = store.claim(SHARD).await.unwrap_err();
    assert!(matches!(&error, Error::Durability { .. }), "{error:?}");
    assert!(error.to_string().contains("appendonly yes"), "{error}");

    let always = Server::start(&["--appendonly", "yes", "--appendfsync", "always"]);
    let mut config = durable(always.url(), Durability::Disk);
    config.fsync_always = true;
    let store = RedisStore::new(config).unwrap();
    let claim = store.claim(SHARD).await.unwrap();
    assert_eq!(
        store.commit(counting(nth_after(&claim, 1))).await,
        Outcome::Committed
    );
}

#[tokio::test]
async fn waitaof_decides_whether_a_commit_is_on_disk() {
    for (confirmed, is_committed) in [("1", true), ("0", false)] {
        let mut answers = fake::claimable("redis_version:7.2.4\r\naof_enabled:1\r\nrole:master\r\n");
        answers.insert("WAITAOF", format!("*2\r\n:{confirmed}\r\n:0\r\n"));
        let url = fake::serve(answers).await;
        let store = RedisStore::new(durable(url, Durability::Disk)).unwrap();
        let claim = store.claim(SHARD).await.unwrap();
        let outcome = store.commit(nth_after(&claim, 1)).await;
        assert_eq!(outcome == Outcome::Committed, is_committed, "{outcome:?}");
        assert_eq!(is_unknown(&outcome), !is_committed, "{outcome:?}");
    }
}

#[tokio::test]
async fn durability_replica_waits_for_the_replica() {
    let primary = Server::start(&["--repl-diskless-sync-delay", "0"]);
    let port = primary.process.port().to_string();
    let config = durable(primary.url(), Durability::Replica { count: 1 });
    let store = RedisStore::new(config).unwrap();
    let alone = store.claim(SHARD).await.unwrap_err();
    assert!(matches!(alone, Error::Durability { .. }), "{alone:?}");
    let mut replica = Server::start(&["--replicaof", &format!("127.0.0.1 {port}")]);
    let claim = loop {
        match store.claim(SHARD).await {
            Ok(claim) => break claim,
            Err(Error::Durability { .. }) => tokio::time::sleep(Duration::from_millis(20)).await,
            Err(other) => panic!("{other}"),
        }
    };
    // A replica that is still being filled confirms late.
    let mut outcome = store.commit(counting(nth_after(&claim, 1))).await;
    let mut n = 1;
    for _ in 0..20 {
        if outcome == Outcome::Committed {
            break;
        }
        let again = store.claim(SHARD).await.unwrap();
        n = again.head.batch.0 + 1;
        outcome = store
            .commit(counting(commit_at(again.head.fence, n, n - 1)))
            .await;
    }
    assert_eq!(outcome, Outcome::Committed);
    replica.process.kill();
    let fence = store.claim(SHARD).await.map(|c| c.head.fence);
    if let Ok(fence) = fence {
        let outcome = store.commit(counting(commit_at(fence, n + 1, n))).await;
        assert!(is_unknown(&outcome), "{outcome:?}");
    }
}
