//! The store in a Redis or Valkey, 6.2 or later.
//!
//! Views are ordinary values in database 0 under the application's own keys; everything else is in a reserved
//! database (see `layout`). A commit is one script, which checks the shard's head and the views, then writes (see
//! `script`). Each shard has a [writer](self) with a connection of its own that never reconnects by itself; readers
//! share a few connections that do. Clients' own commands, where they are passed on, have connections apart from all
//! of these, and a user of their own (see `raw`). What the server is, is asked of `INFO` only.

mod connect;
mod encode;
mod layout;
mod load;
pub(crate) mod raw;
mod read;
mod reader;
mod reply;
mod script;
mod server;
mod writer;

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ::redis::cmd;
use cartograph_crdt::ShardId;
use cartograph_replica::commit::{Claim, Commit, Load, Loaded, Outcome};
use tokio::sync::{mpsc, oneshot};

use crate::error::Error;
use crate::raw::RawStore;
use crate::store::{BoxFuture, Durability, Holder, Lease, Read, ReadReply, Store, StoreInfo};

use connect::Endpoint;
use raw::Raw;
use reader::Readers;
use server::Server;
use writer::{Request, Writer};

/// How a [`RedisStore`] is reached and used.
#[derive(Clone, Debug)]
pub struct RedisConfig {
    /// `redis://[user[:password]@]host:port` or `unix:///path[?user=..&pass=..]`; no database.
    pub url: String,
    /// The database for everything but views, not 0. Default 15.
    pub metadata_db: u16,
    /// When a commit counts as done. Default [`Durability::Process`].
    pub durability: Durability,
    /// The server's `appendfsync` is `always`, so that [`Durability::Disk`] needs no `WAITAOF`. It is declared,
    /// because `CONFIG GET` is not allowed everywhere. Default no.
    pub fsync_always: bool,
    /// Commits of a shard that are sent before the first is answered, at least 1. Default 3.
    pub commits_in_flight: usize,
    /// Reading connections on each of the two databases, at least 1. Default 2.
    pub readers: usize,
    /// Key prefixes of the local class: what passed-on commands may write. Default none.
    pub local_prefixes: Vec<String>,
    /// Shared connections for passed-on commands, for each version of the protocol, at least 1. Default 4.
    pub raw_connections: usize,
    /// Connections of single clients: blocking commands, subscriptions, local transactions. Default 48.
    pub pinned_connections_max: usize,
    /// Submissions that may wait for one shared connection, sent ones included. Default 16,384.
    pub raw_queue_max: usize,
    /// Bytes that may wait to be sent on one shared connection; a single larger command may. Default 64 MiB.
    pub raw_queue_bytes_max: usize,
    /// How long a connection may take. Default 2 s.
    pub connect_timeout: Duration,
    /// How long a commit or a claim may take before it is unknown. Default 5 s.
    pub commit_timeout: Duration,
    /// How long a read may take. Default 5 s.
    pub read_timeout: Duration,
}

impl RedisConfig {
    /// The defaults for this address.
    pub fn new(url: impl Into<String>) -> Self {
        RedisConfig {
            url: url.into(),
            metadata_db: 15,
            durability: Durability::Process,
            fsync_always: false,
            commits_in_flight: 3,
            readers: 2,
            local_prefixes: Vec::new(),
            raw_connections: 4,
            pinned_connections_max: 48,
            raw_queue_max: 16_384,
            raw_queue_bytes_max: 64 * 1024 * 1024,
            connect_timeout: Duration::from_secs(2),
            commit_timeout: Duration::from_secs(5),
            read_timeout: Duration::from_secs(5),
        }
    }
}

/// A store in a Redis or Valkey. Must be used inside a tokio runtime.
pub struct RedisStore {
    endpoint: Endpoint,
    config: RedisConfig,
    epoch: Arc<AtomicU64>,
    writers: Mutex<BTreeMap<ShardId, mpsc::Sender<Request>>>,
    /// On database 0.
    views: Readers,
    /// On the metadata database.
    metadata: Readers,
    /// For commands that are passed on as they came.
    raw: Arc<Raw>,
}

impl RedisStore {
    /// A store at this address. Connects when it is first used.
    ///
    /// # Errors
    /// [`Error::Address`]; [`Error::MetadataDatabase`] for database 0.
    pub fn new(config: RedisConfig) -> Result<Self, Error> {
        let endpoint = Endpoint::new(&config)?;
        let epoch = Arc::new(AtomicU64::new(0));
        let readers = |db| Readers::new(endpoint.clone(), config.clone(), db, Arc::clone(&epoch));
        Ok(RedisStore {
            views: readers(0),
            metadata: readers(config.metadata_db),
            raw: Arc::new(Raw::new(endpoint.clone(), config.clone(), Arc::clone(&epoch))),
            endpoint,
            config,
            epoch,
            writers: Mutex::default(),
        })
    }

    fn writer(&self, shard: ShardId) -> Option<mpsc::Sender<Request>> {
        let writers = self.writers.lock().unwrap_or_else(PoisonError::into_inner);
        writers.get(&shard).cloned()
    }

    fn writer_or_start(&self, shard: ShardId) -> mpsc::Sender<Request> {
        let mut writers = self.writers.lock().unwrap_or_else(PoisonError::into_inner);
        let start = || {
            let (endpoint, config) = (self.endpoint.clone(), self.config.clone());
            Writer::start(shard, endpoint, config, Arc::clone(&self.epoch))
        };
        writers.entry(shard).or_insert_with(start).clone()
    }

    fn closed(&self) -> Error {
        Error::Unavailable {
            address: self.endpoint.address.clone(),
            reason: "the writer has ended".to_owned(),
        }
    }
}

impl Store for RedisStore {
    fn claim(&self, shard: ShardId) -> BoxFuture<'_, Result<Claim, Error>> {
        Box::pin(async move {
            let (answer, claim) = oneshot::channel();
            let sent = self.writer_or_start(shard).send(Request::Claim(answer)).await;
            sent.map_err(|_| self.closed())?;
            claim.await.map_err(|_| self.closed())?
        })
    }

    fn commit(&self, commit: Commit) -> BoxFuture<'static, Outcome> {
        let unknown = |reason: &str| Outcome::Unknown {
            reason: reason.to_owned(),
        };
        let Some(writer) = self.writer(commit.shard) else {
            return Box::pin(std::future::ready(unknown("the shard is not claimed")));
        };
        let (answer, outcome) = oneshot::channel();
        if writer
            .try_send(Request::Commit(Box::new(commit), answer))
            .is_err()
        {
            return Box::pin(std::future::ready(unknown("too many commits wait for the store")));
        }
        Box::pin(async move { outcome.await.unwrap_or_else(|_| unknown("the writer has ended")) })
    }

    fn load(&self, shard: ShardId, load: Load) -> BoxFuture<'_, Result<Loaded, Error>> {
        Box::pin(self.load_now(shard, load))
    }

    fn read(&self, read: Read) -> BoxFuture<'_, Result<ReadReply, Error>> {
        Box::pin(self.read_now(read))
    }

    fn time_ms(&self) -> BoxFuture<'_, Result<u64, Error>> {
        Box::pin(async move {
            let time = self.views.ask(&cmd("TIME")).await?;
            reply::time_ms(time).map_err(|f| self.endpoint.error(f))
        })
    }

    fn info(&self) -> BoxFuture<'_, Result<StoreInfo, Error>> {
        Box::pin(async move {
            let info = self.views.ask(&cmd("INFO")).await?;
            let info = reply::text(info).map_err(|f| self.endpoint.error(f))?;
            Ok(Server::parse(&info).info(self.config.durability))
        })
    }

    fn check(&self, shard: ShardId) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(async move {
            let Some(writer) = self.writer(shard) else {
                return Err(self.closed());
            };
            let (answer, checked) = oneshot::channel();
            let sent = writer.send(Request::Check(answer)).await;
            sent.map_err(|_| self.closed())?;
            checked.await.map_err(|_| self.closed())?
        })
    }

    fn raw(&self) -> Option<Arc<dyn RawStore>> {
        Some(Arc::clone(&self.raw) as Arc<dyn RawStore>)
    }

    fn lease(&self, holder: &Holder, ttl: Duration) -> BoxFuture<'_, Result<Lease, Error>> {
        let mut take = cmd("EVAL");
        take.arg(script::LEASE_TEXT).arg(0).arg(layout::OWNER);
        take.arg(&holder.id).arg(holder.to_text());
        take.arg(u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX).max(1));
        Box::pin(async move {
            // Asked twice it does the same.
            let held = reply::optional(self.metadata.ask(&take).await?);
            let held = held.map_err(|f| self.endpoint.error(f))?;
            let other = |text: Vec<u8>| Lease::Of(Holder::from_text(&String::from_utf8_lossy(&text)));
            Ok(held.map_or(Lease::Held, other))
        })
    }

    fn end_lease(&self, holder: &Holder) -> BoxFuture<'_, Result<(), Error>> {
        let mut end = cmd("EVAL");
        end.arg(script::END_LEASE_TEXT).arg(0).arg(layout::OWNER);
        end.arg(&holder.id);
        Box::pin(async move { self.metadata.ask(&end).await.map(|_| ()) })
    }

    fn release(&self, shard: ShardId) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(async move {
            let Some(writer) = self.writer(shard) else {
                return Ok(());
            };
            let (answer, released) = oneshot::channel();
            let sent = writer.send(Request::Release(answer)).await;
            sent.map_err(|_| self.closed())?;
            released.await.map_err(|_| self.closed())
        })
    }
}
