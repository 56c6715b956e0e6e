//! The stores under test, side by side, on one clock.

use std::path::Path;
use std::sync::Arc;

use cartograph_replica::commit::{ViewChange, ViewContent, ViewExpiry};
use cartograph_store::launcher::{self, PrivateServer};
use cartograph_store::{
    EmbeddedStore, ManualClock, MemoryStore, RedisConfig, RedisStore, SharedMemoryStore, Store,
};
use tempfile::TempDir;

use crate::plain_redis::{Connection, Reply};

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
    pub(crate) fn store_of_limited(&self, rule: &str) -> RedisStore {
        let user = [
            "ACL", "SETUSER", "limited", "on", ">pw", "~*", "&*", "+@all", rule,
        ];
        assert_eq!(self.command(&user), Reply::Status("OK".to_owned()));
        let url = self.url().replace("redis://", "redis://limited:pw@");
        RedisStore::new(RedisConfig::new(url)).unwrap()
    }

    /// A connection past the store.
    pub(crate) fn raw(&self) -> Connection {
        Connection::to(self.process.port()).unwrap()
    }

    /// Sends one command past the store.
    pub(crate) fn command(&self, parts: &[&str]) -> Reply {
        self.commands(&[parts]).swap_remove(0)
    }

    /// Sends commands past the store, on one connection.
    pub(crate) fn commands(&self, commands: &[&[&str]]) -> Vec<Reply> {
        let bytes = |parts: &&[&str]| parts.iter().map(|p| p.as_bytes().to_vec()).collect();
        let commands: Vec<Vec<Vec<u8>>> = commands.iter().map(bytes).collect();
        self.raw().pipeline(&commands).unwrap()
    }
}

/// All three stores.
pub(crate) struct World {
    pub(crate) clock: ManualClock,
    pub(crate) memory: SharedMemoryStore,
    pub(crate) embedded: EmbeddedStore,
    pub(crate) redis: RedisStore,
    raw: Connection,
    _server: Server,
    _directory: TempDir,
}

impl World {
    pub(crate) fn start() -> Self {
        let clock = ManualClock::at(1);
        let server = Server::start(&["--appendonly", "no"]);
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("store");
        World {
            memory: SharedMemoryStore::new(MemoryStore::new(clock.clone())),
            embedded: open(&path, &clock),
            redis: server.store(),
            raw: server.raw(),
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
        tamper(&mut self.raw, change);
    }
}

fn open(path: &Path, clock: &ManualClock) -> EmbeddedStore {
    EmbeddedStore::open_with_clock(path, Arc::new(clock.clone())).unwrap()
}

/// What `redis-cli` would do.
fn tamper(raw: &mut Connection, change: &ViewChange) {
    let mut commands = Vec::new();
    let mut push = |name: &str, arguments: &[&[u8]]| {
        let mut command = vec![name.as_bytes().to_vec(), change.key.clone()];
        command.extend(arguments.iter().map(|a| a.to_vec()));
        commands.push(command);
    };
    if change.replace || change.content == ViewContent::Absent {
        push("DEL", &[]);
    }
    match &change.content {
        ViewContent::Unchanged | ViewContent::Absent => {}
        ViewContent::String(bytes) => push("SET", &[bytes]),
        ViewContent::Hash { set, delete } => {
            for (field, value) in set {
                push("HSET", &[field, value]);
            }
            for field in delete {
                push("HDEL", &[field]);
            }
        }
        ViewContent::Set { add, remove } => {
            for member in add {
                push("SADD", &[member]);
            }
            for member in remove {
                push("SREM", &[member]);
            }
        }
        ViewContent::SortedSet { set, remove } => {
            for (member, score) in set {
                push("ZADD", &[format!("{:e}", score.get()).as_bytes(), member]);
            }
            for member in remove {
                push("ZREM", &[member]);
            }
        }
        ViewContent::HyperLogLog { .. } => panic!("nobody writes registers by hand"),
    }
    match change.expiry {
        ViewExpiry::Unchanged => {}
        ViewExpiry::Never => push("PERSIST", &[]),
        // As far as the stores go; no client's clock goes further.
        ViewExpiry::At(instant) => push("PEXPIREAT", &[instant.min((1 << 53) - 1).to_string().as_bytes()]),
    }
    for reply in raw.pipeline(&commands).unwrap() {
        assert!(!matches!(reply, Reply::Error(_)), "{reply:?}");
    }
}
