//! What a server must not be, and what it may refuse: each named clearly, and nothing written.

use std::time::Duration;

use cartograph_replica::commit::{
    BatchId, Commit, Load, Loaded, MetadataChange, Outcome, StoredRow, ViewChange, ViewContent, ViewExpiry,
};
use cartograph_store::{Error, Read, ReadReply, RedisConfig, RedisStore, Store, StoreKind};

use super::harness::Server;
use super::{SHARD, fake, nth_after};
use crate::plain_redis::Reply;

async fn refusal_of(arguments: &[&str]) -> Error {
    let server = Server::start(arguments);
    server.store().claim(SHARD).await.unwrap_err()
}

fn set(mut commit: Commit, key: &str, bytes: usize) -> Commit {
    commit.metadata = vec![MetadataChange {
        key: key.as_bytes().to_vec(),
        header: Some(b"h".to_vec()),
        ..MetadataChange::default()
    }];
    commit.views = vec![ViewChange {
        key: key.as_bytes().to_vec(),
        replace: true,
        content: ViewContent::String(vec![b'v'; bytes]),
        expiry: ViewExpiry::Unchanged,
    }];
    commit
}

fn purge(mut commit: Commit, key: &str) -> Commit {
    commit.freeing = true;
    commit.metadata = vec![MetadataChange {
        key: key.as_bytes().to_vec(),
        drop: true,
        ..MetadataChange::default()
    }];
    commit.views = vec![ViewChange {
        key: key.as_bytes().to_vec(),
        replace: false,
        content: ViewContent::Absent,
        expiry: ViewExpiry::Unchanged,
    }];
    commit
}

fn refused_for(outcome: &Outcome, word: &str) -> bool {
    matches!(outcome, Outcome::Refused { reason } if reason.contains(word))
}

#[tokio::test]
async fn a_server_that_may_evict_is_refused_with_what_to_set() {
    for policy in ["allkeys-lru", "volatile-ttl"] {
        let error = refusal_of(&["--maxmemory", "100mb", "--maxmemory-policy", policy]).await;
        assert!(
            matches!(&error, Error::Evicting { policy: p, .. } if p == policy),
            "{error:?}"
        );
        assert!(
            error.to_string().contains("maxmemory-policy noeviction"),
            "{error}"
        );
        assert!(!error.is_retryable());
    }
}

#[tokio::test]
async fn a_cluster_is_refused() {
    let error = refusal_of(&["--cluster-enabled", "yes"]).await;
    assert!(matches!(error, Error::ClusterMode { .. }), "{error:?}");
}

#[tokio::test]
async fn a_metadata_database_that_is_not_there_is_named() {
    let error = refusal_of(&["--databases", "8"]).await;
    assert!(
        matches!(&error, Error::MetadataDatabase { db: 15, .. }),
        "{error:?}"
    );
    let server = Server::start(&["--databases", "8"]);
    let config = RedisConfig {
        metadata_db: 7,
        ..RedisConfig::new(server.url())
    };
    RedisStore::new(config).unwrap().claim(SHARD).await.unwrap();
    let zero = RedisConfig {
        metadata_db: 0,
        ..RedisConfig::new(server.url())
    };
    assert!(matches!(
        RedisStore::new(zero),
        Err(Error::MetadataDatabase { db: 0, .. })
    ));
}

#[tokio::test]
async fn a_user_without_the_commands_is_told_which() {
    for missing in ["eval", "info", "select", "get"] {
        let server = Server::start(&[]);
        let store = server.store_of_limited(&format!("-{missing}"));
        let error = store.claim(SHARD).await.unwrap_err();
        assert!(
            matches!(&error, Error::NoPermission { .. }),
            "{missing}: {error:?}"
        );
    }
}

#[tokio::test]
async fn servers_that_are_too_old_or_still_loading_are_named() {
    let old = fake::serve(fake::claimable("redis_version:6.0.16\r\nrole:master\r\n")).await;
    let error = RedisStore::new(RedisConfig::new(old))
        .unwrap()
        .claim(SHARD)
        .await
        .unwrap_err();
    assert!(
        matches!(&error, Error::VersionTooOld { version, .. } if version == "6.0.16"),
        "{error:?}"
    );

    let loading = "redis_version:7.0.0\r\nloading:1\r\nrole:master\r\n";
    let loading = fake::serve(fake::claimable(loading)).await;
    let error = RedisStore::new(RedisConfig::new(loading))
        .unwrap()
        .claim(SHARD)
        .await
        .unwrap_err();
    assert!(
        matches!(error, Error::Loading { .. }) && error.is_retryable(),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_valkey_is_known_as_one() {
    let info = "redis_version:7.2.4\r\nserver_name:valkey\r\nvalkey_version:8.1.0\r\nrole:master\r\n";
    let url = fake::serve(fake::claimable(info)).await;
    let info = RedisStore::new(RedisConfig::new(url))
        .unwrap()
        .info()
        .await
        .unwrap();
    assert_eq!((info.kind, info.version.as_str()), (StoreKind::Valkey, "8.1.0"));
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_given_up_in_time() {
    // It accepts, and says nothing.
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let config = RedisConfig {
        commit_timeout: Duration::from_millis(100),
        read_timeout: Duration::from_millis(100),
        connect_timeout: Duration::from_millis(100),
        ..RedisConfig::new(format!("redis://{}", listener.local_addr().unwrap()))
    };
    let store = RedisStore::new(config).unwrap();
    let error = store.claim(SHARD).await.unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
    let error = store.time_ms().await.unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
}

#[tokio::test]
async fn a_replica_is_refused_and_so_are_commits_once_it_has_become_one() {
    let primary = Server::start(&[]);
    let primary_port = primary.process.port().to_string();
    let replica = Server::start(&["--replicaof", &format!("127.0.0.1 {primary_port}")]);
    let error = replica.store().claim(SHARD).await.unwrap_err();
    assert!(matches!(error, Error::ReadOnlyReplica { .. }), "{error:?}");

    let demoted = Server::start(&[]);
    let store = demoted.store();
    let claim = store.claim(SHARD).await.unwrap();
    demoted.command(&["REPLICAOF", "127.0.0.1", &primary_port]);
    let outcome = store.commit(set(nth_after(&claim, 1), "k", 3)).await;
    // Until it has thrown its own data away for the primary's, the head is still there.
    let fenced = matches!(outcome, Outcome::Fenced { .. });
    assert!(refused_for(&outcome, "READONLY") || fenced, "{outcome:?}");
    demoted.command(&["REPLICAOF", "NO", "ONE"]);
}

#[tokio::test]
async fn out_of_memory_refuses_before_anything_is_written_and_freeing_goes_on() {
    let server = Server::start(&["--maxmemory", "4mb"]);
    let store = server.store();
    let claim = store.claim(SHARD).await.unwrap();
    let mut n = 0;
    let outcome = loop {
        n += 1;
        assert!(n < 100, "it was never out of memory");
        let outcome = store
            .commit(set(nth_after(&claim, n), &format!("k{n}"), 200_000))
            .await;
        if outcome != Outcome::Committed {
            break outcome;
        }
    };
    assert!(
        refused_for(&outcome, "OOM") && refused_for(&outcome, "raise maxmemory"),
        "{outcome:?}"
    );
    let key = format!("k{n}").into_bytes();
    assert_eq!(
        store.read(Read::Exists(vec![key.clone()])).await,
        Ok(ReadReply::Integer(0))
    );
    let row = Load::Row {
        key,
        elements: cartograph_replica::commit::Elements::All,
    };
    assert_eq!(
        store.load(SHARD, row).await,
        Ok(Loaded::Row(StoredRow::default()))
    );
    // A small one is refused, too, also if it begins with a removal.
    let mut small = purge(nth_after(&claim, n), "k1");
    small.freeing = false;
    assert!(refused_for(&store.commit(small).await, "OOM"));
    // Out of memory or not: a claim works, and so does what frees.
    let claim = store.claim(SHARD).await.unwrap();
    assert_eq!(claim.head.batch, BatchId(n - 1));
    for i in 1..n {
        let outcome = store.commit(purge(nth_after(&claim, i), &format!("k{i}"))).await;
        assert_eq!(outcome, Outcome::Committed);
    }
    let outcome = store.commit(set(nth_after(&claim, n), "small", 10)).await;
    assert_eq!(outcome, Outcome::Committed);
}

#[tokio::test]
async fn a_server_that_cannot_save_refuses_and_says_so() {
    let server = Server::start(&["--save", "3600 1"]);
    let store = server.store();
    let claim = store.claim(SHARD).await.unwrap();
    assert_eq!(
        store.commit(set(nth_after(&claim, 1), "k", 3)).await,
        Outcome::Committed
    );
    // Its directory is gone: no file can be made there.
    std::fs::remove_dir_all(server.directory.path()).unwrap();
    let saved = server.command(&["SAVE"]);
    assert!(matches!(saved, Reply::Error(_)), "{saved:?}");
    server.command(&["BGSAVE"]);
    let mut outcome = Outcome::Committed;
    let mut n = 2;
    for _ in 0..500 {
        outcome = store.commit(set(nth_after(&claim, n), "k", 4)).await;
        if outcome != Outcome::Committed {
            break;
        }
        n += 1;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(refused_for(&outcome, "MISCONF"), "{outcome:?}");
    let freeing = store.commit(purge(nth_after(&claim, n), "k")).await;
    assert!(refused_for(&freeing, "MISCONF"), "{freeing:?}");
    assert_eq!(
        store.read(Read::Exists(vec![b"k".to_vec()])).await,
        Ok(ReadReply::Integer(1))
    );
}

#[tokio::test]
async fn info_says_how_the_server_fares() {
    let server = Server::start(&["--maxmemory", "100mb", "--appendonly", "yes"]);
    let info = server.store().info().await.unwrap();
    assert_eq!(info.kind, StoreKind::Redis);
    assert_eq!(info.aof, Some(true));
    assert_eq!(info.memory_bytes_max, Some(100 << 20));
    assert_eq!(info.eviction_policy.as_deref(), Some("noeviction"));
    assert!(info.memory_bytes_used > 100_000 && info.keys_evicted == 0);
}
