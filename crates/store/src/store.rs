//! The [`Store`] trait: what a node asks of any store.
//!
//! Commits, loads and claims are the core's own words (`cartograph_replica::commit`); reads are for the doors, which
//! answer clients from the views without going through a shard's queue.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use cartograph_crdt::{Score, ShardId};
use cartograph_replica::commit::{Claim, Commit, Load, Loaded, Outcome};
use cartograph_replica::entry::Key;

use crate::error::Error;
use crate::raw::RawStore;

/// A boxed future, so that the trait can stand behind `Arc<dyn Store>`.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// How many commits of one shard may be with the store at once (sent, or waiting to be). One more is not queued: its
/// outcome is [`Outcome::Unknown`] at once, and the shard has to be claimed again.
pub const COMMITS_QUEUED_MAX: usize = 1_024;

/// A region's store.
pub trait Store: Send + Sync + 'static {
    /// Becomes the owner of `shard`: raises its fence, so that an older owner's commits are refused, then reads the
    /// head. Reaches the server anew, once; the caller repeats it (at most a second apart, with jitter).
    ///
    /// # Errors
    /// See [`Error`]; [`Error::is_retryable`] says whether trying again can help. The fence may have been raised.
    fn claim(&self, shard: ShardId) -> BoxFuture<'_, Result<Claim, Error>>;

    /// Hands a commit over. It is queued *by this call*, before the future is polled, and commits of a shard are
    /// executed in the order of the calls. Dropping the future does not take the commit back.
    ///
    /// After an outcome of [`Outcome::Unknown`], every outstanding and later commit of the shard is unknown too,
    /// until it is claimed again.
    fn commit(&self, commit: Commit) -> BoxFuture<'static, Outcome>;

    /// Asks whether the connection of the last claim still stands: commits say so themselves, but where none are made a
    /// server may end, and come back with other data, unnoticed. A store in this process has no connection to lose.
    ///
    /// # Errors
    /// It does not, or the shard is not claimed; see [`Error`]. Later commits are unknown until it is claimed again.
    fn check(&self, _shard: ShardId) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(async { Ok(()) })
    }

    /// Reads metadata, log, indexes or a whole view. Sees every commit whose outcome was there before the call.
    ///
    /// # Errors
    /// See [`Error`]; nothing has changed.
    fn load(&self, shard: ShardId, load: Load) -> BoxFuture<'_, Result<Loaded, Error>>;

    /// Reads a view for a client. Sees every commit whose outcome was there before the call.
    ///
    /// # Errors
    /// [`Error::WrongType`] with Redis's own words, or see [`Error`]; nothing has changed.
    fn read(&self, read: Read) -> BoxFuture<'_, Result<ReadReply, Error>>;

    /// The store's clock, Unix milliseconds.
    ///
    /// # Errors
    /// See [`Error`].
    fn time_ms(&self) -> BoxFuture<'_, Result<u64, Error>>;

    /// What the store is and how it fares.
    ///
    /// # Errors
    /// See [`Error`].
    fn info(&self) -> BoxFuture<'_, Result<StoreInfo, Error>>;

    /// Redis's own protocol, where the store is a Redis: commands passed on as they came.
    fn raw(&self) -> Option<Arc<dyn RawStore>> {
        None
    }

    /// Takes the lease on the whole store for `ttl`, or keeps it, unless another holder has it. It says who is to claim;
    /// that a late owner is harmless is the fence's doing. A store that no second process can open needs none.
    ///
    /// # Errors
    /// See [`Error`]; the lease may have been taken.
    fn lease(&self, _holder: &Holder, _ttl: Duration) -> BoxFuture<'_, Result<Lease, Error>> {
        Box::pin(async { Ok(Lease::Held) })
    }

    /// Gives the lease back, if `holder` has it.
    ///
    /// # Errors
    /// See [`Error`]; the lease may have been given back.
    fn end_lease(&self, _holder: &Holder) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(async { Ok(()) })
    }

    /// Gives `shard` up at a graceful shutdown: waits for the commits handed in so far, then takes no more until the
    /// next claim.
    ///
    /// # Errors
    /// See [`Error`].
    fn release(&self, shard: ShardId) -> BoxFuture<'_, Result<(), Error>>;
}

/// One of a region's nodes, as a lease names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// No other process has it; without spaces.
    pub id: String,
    /// Where clients reach it.
    pub address: String,
}

impl Holder {
    /// The text that a server keeps.
    pub(crate) fn to_text(&self) -> String {
        format!("{} {}", self.id, self.address)
    }

    pub(crate) fn from_text(text: &str) -> Holder {
        let (id, address) = text.split_once(' ').unwrap_or((text, ""));
        Holder {
            id: id.to_owned(),
            address: address.to_owned(),
        }
    }
}

/// Who has the lease on a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lease {
    /// The asker, from now on.
    Held,
    /// Another.
    Of(Holder),
}

/// When a commit counts as done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// When the store's process has it; what survives a crash is the server's own business.
    #[default]
    Process,
    /// When it is on disk.
    Disk,
    /// When this many replicas of the server have it, too.
    Replica {
        /// How many, at least 1.
        count: u16,
    },
}

/// Which store it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreKind {
    /// Redis.
    Redis,
    /// Valkey.
    Valkey,
    /// One file, in this process.
    Embedded,
    /// This process's memory.
    Memory,
}

impl StoreKind {
    /// Its name, as status shows it.
    pub fn name(self) -> &'static str {
        match self {
            StoreKind::Redis => "redis",
            StoreKind::Valkey => "valkey",
            StoreKind::Embedded => "embedded",
            StoreKind::Memory => "memory",
        }
    }
}

/// What a store is and how it fares. What does not apply to it is `None` or 0.
#[derive(Clone, Debug, PartialEq)]
pub struct StoreInfo {
    /// Which store.
    pub kind: StoreKind,
    /// The server's version, or the file format's.
    pub version: String,
    /// When its commits count as done.
    pub durability: Durability,
    /// Whether the server keeps an append-only file.
    pub aof: Option<bool>,
    /// The server's memory limit in bytes.
    pub memory_bytes_max: Option<u64>,
    /// Memory used in bytes (file size for the embedded store).
    pub memory_bytes_used: u64,
    /// Memory held from the system over memory used.
    pub fragmentation_ratio: Option<f64>,
    /// Keys evicted since the server started: anything but 0 is a fault.
    pub keys_evicted: u64,
    /// Keys expired since the server started.
    pub keys_expired: u64,
    /// The server's `maxmemory-policy`.
    pub eviction_policy: Option<String>,
    /// Replicas connected to the server.
    pub replicas_connected: u64,
}

/// A client's read of views. Keys are the application's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Read {
    /// `GET`.
    Get(Key),
    /// `STRLEN`.
    StrLen(Key),
    /// `EXISTS`: how many of these there are, one named twice counted twice.
    Exists(Vec<Key>),
    /// `TYPE`.
    Type(Key),
    /// `PTTL`.
    Pttl(Key),
    /// `HGET`.
    HGet(Key, Vec<u8>),
    /// `HMGET`.
    HMGet(Key, Vec<Vec<u8>>),
    /// `HGETALL`.
    HGetAll(Key),
    /// `HLEN`.
    HLen(Key),
    /// `SMEMBERS`.
    SMembers(Key),
    /// `SISMEMBER`.
    SIsMember(Key, Vec<u8>),
    /// `SCARD`.
    SCard(Key),
    /// `ZRANGE key start stop WITHSCORES`: by rank, negative from the end, both inclusive. 0 and -1 give all.
    ZRange {
        /// The key.
        key: Key,
        /// First rank.
        start: i64,
        /// Last rank.
        stop: i64,
    },
    /// `ZSCORE`.
    ZScore(Key, Vec<u8>),
    /// `ZCARD`.
    ZCard(Key),
    /// `PFCOUNT`, of the union where there are several.
    PfCount(Vec<Key>),
    /// `SCAN`: a page.
    Scan {
        /// 0 to begin.
        cursor: u64,
        /// A glob, or `None` for all.
        pattern: Option<Vec<u8>>,
        /// About how many keys to look at.
        count: usize,
    },
    /// `KEYS`. Looks at every key.
    Keys {
        /// A glob.
        pattern: Vec<u8>,
    },
    /// `DBSIZE`.
    DbSize,
}

/// What a read found. Lists are in the store's own order except where the command gives one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReadReply {
    /// Nothing there (`GET`, `HGET`, `ZSCORE`).
    Nil,
    /// A value.
    Bytes(Vec<u8>),
    /// A number: lengths, counts, 0 or 1, `PTTL`'s -2 and -1.
    Integer(i64),
    /// Values in the order asked (`HMGET`).
    Optional(Vec<Option<Vec<u8>>>),
    /// Members or keys.
    List(Vec<Vec<u8>>),
    /// Fields and values.
    Pairs(Vec<(Vec<u8>, Vec<u8>)>),
    /// Members and scores, ascending by score, then name.
    Scored(Vec<(Vec<u8>, Score)>),
    /// One score.
    Score(Score),
    /// A type's name: `none`, `string`, `hash`, `set`, `zset`, or what else a Redis holds.
    Type(String),
    /// A page of a scan.
    Page {
        /// Where to go on; 0 at the end.
        cursor: u64,
        /// The keys.
        keys: Vec<Key>,
    },
}
