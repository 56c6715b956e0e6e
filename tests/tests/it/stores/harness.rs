//! The stores under test, side by side, on one clock.

use std::path::Path;
use std::sync::Arc;

use cartograph_replica::commit::{ViewChange, ViewContent, ViewExpiry};
use cartograph_store::launcher::{self, PrivateServer};
use cartograph_store::{
    EmbeddedStore, ManualClock, MemoryStore, RedisConfig, RedisStore, SharedMemoryStore, Store,
};
use redis::aio::MultiplexedConnection;
use tempfile::TempDir;

/// A private server in a directory of its own.
pub(crate) struct Server {
    pub(crate) process: PrivateServer,
    pub(crate) directory: TempDir,
}

impl Server {
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let program = launcher::find().unwrap_or_else(|e| panic!("these tests need a real server: {e}"));
        let directory = tempfile::tempdir().unwrap();
        let process = PrivateServer::start_anywhere(&program, directory.path(), arguments);
        let process = process.unwrap_or_else(|e| panic!("{e}"));
        Server { process, directory }
    }

    /// Starts it again after a kill: same port, same files.
    pub(crate) fn restart(&mut self, arguments: &[&str]) {
        let program = launcher::find().unwrap();
        self.process.kill();
        let (port, directory) = (self.process.port(), self.directory.path());
        self.process = PrivateServer::start(&program, port, directory, arguments).unwrap();
    }

    pub(crate) fn url(&self) -> String {
        self.process.url()
    }

    pub(crate) fn store(&self) -> RedisStore {
        RedisStore::new(RedisConfig::new(self.url())).unwrap()
    }

    /// A store that logs in as a user who may do everything but this.
    pub(crate) async fn store_of_limited(&self, rule: &str) -> RedisStore {
        let user = [
            "ACL", "SETUSER", "limited", "on", ">pw", "~*", "&*", "+@all", rule,
        ];
        self.command(&user).await.unwrap();
        let url = self.url().replace("redis://", "redis://limited:pw@");
        RedisStore::new(RedisConfig::new(url)).unwrap()
    }

    /// A connection past the store.
    pub(crate) async fn raw(&self) -> MultiplexedConnection {
        let client = redis::Client::open(self.url()).unwrap();
        client.get_multiplexed_async_connection().await.unwrap()
    }

    /// Sends one command past the store.
    pub(crate) async fn command(&self, parts: &[&str]) -> redis::RedisResult<redis::Value> {
        let mut command = redis::Cmd::new();
        for part in parts {
            command.arg(part);
        }
        command.query_async(&mut self.raw().await).await
    }
}

/// All three stores.
pub(crate) struct World {
    pub(crate) clock: ManualClock,
    pub(crate) memory: SharedMemoryStore,
    pub(crate) embedded: EmbeddedStore,
    pub(crate) redis: RedisStore,
    raw: MultiplexedConnection,
    _server: Server,
    _directory: TempDir,
}

impl World {
    pub(crate) async fn start() -> Self {
        let clock = ManualClock::at(1);
        let server = Server::start(&["--appendonly", "no"]);
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("store");
        World {
            memory: SharedMemoryStore::new(MemoryStore::new(clock.clone())),
            embedded: open(&path, &clock),
            redis: server.store(),
            raw: server.raw().await,
            clock,
            _server: server,
            _directory: directory,
        }
    }

    pub(crate) fn stores(&self) -> [(&'static str, &dyn Store); 3] {
        [
            ("memory", &self.memory),
            ("embedded", &self.embedded),
            ("redis", &self.redis),
        ]
    }

    /// Sets the clocks of the others to the server's, and says what it is.
    pub(crate) async fn tick(&self) -> u64 {
        let now_ms = self.redis.time_ms().await.unwrap();
        self.clock.set(now_ms);
        now_ms
    }

    /// Waits until every clock is past `instant`.
    pub(crate) async fn pass(&self, instant: u64) {
        while self.tick().await <= instant {
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
    }

    /// Changes a view in every store, past every rule.
    pub(crate) async fn tamper(&mut self, change: &ViewChange) {
        self.memory.lock().tamper(change).unwrap();
        self.embedded.tamper(change.clone()).await.unwrap();
        tamper(&mut self.raw, change).await;
    }
}

fn open(path: &Path, clock: &ManualClock) -> EmbeddedStore {
    EmbeddedStore::open_with_clock(path, Arc::new(clock.clone())).unwrap()
}

/// What `redis-cli` would do.
pub(crate) async fn tamper(raw: &mut MultiplexedConnection, change: &ViewChange) {
    let key = &change.key;
    let mut pipe = redis::pipe();
    if change.replace || change.content == ViewContent::Absent {
        pipe.del(key).ignore();
    }
    match &change.content {
        ViewContent::Unchanged | ViewContent::Absent => {}
        ViewContent::String(bytes) => {
            pipe.set(key, bytes).ignore();
        }
        ViewContent::Hash { set, delete } => {
            for (field, value) in set {
                pipe.hset(key, field, value).ignore();
            }
            for field in delete {
                pipe.hdel(key, field).ignore();
            }
        }
        ViewContent::Set { add, remove } => {
            for member in add {
                pipe.sadd(key, member).ignore();
            }
            for member in remove {
                pipe.srem(key, member).ignore();
            }
        }
        ViewContent::SortedSet { set, remove } => {
            for (member, score) in set {
                pipe.zadd(key, member, format!("{:e}", score.get())).ignore();
            }
            for member in remove {
                pipe.zrem(key, member).ignore();
            }
        }
        ViewContent::HyperLogLog { .. } => panic!("nobody writes registers by hand"),
    }
    match change.expiry {
        ViewExpiry::Unchanged => {}
        ViewExpiry::Never => {
            pipe.persist(key).ignore();
        }
        ViewExpiry::At(instant) => {
            // As the stores do; no client's clock goes further.
            let instant = instant.min((1 << 53) - 1);
            pipe.pexpire_at(key, i64::try_from(instant).unwrap()).ignore();
        }
    }
    if !pipe.is_empty() {
        pipe.query_async::<()>(raw).await.unwrap();
    }
}
