//! The store in this process's memory, for the simulator and for tests.
//!
//! [`MemoryStore`] is a plain value with plain methods: the caller decides when a commit happens. Its clock is
//! injected. [`MemoryStore::image`] takes everything that is stored, at the cost of a reference count; the next write
//! after it copies. Putting an older image back is what a crash without synced disks, or a rollback, does.
//! [`SharedMemoryStore`] is the same behind the [`Store`] trait.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use cartograph_crdt::ShardId;
use cartograph_replica::commit::{Claim, Commit, Load, Loaded, Outcome, ViewChange};

use crate::error::Error;
use crate::kv::{self, Tables, TablesMut, Visit};
use crate::store::{BoxFuture, Durability, Holder, Lease, Read, ReadReply, Store, StoreInfo, StoreKind};

/// What a store without a server takes the time from.
pub trait Clock: Send + Sync + 'static {
    /// Unix milliseconds.
    fn now_ms(&self) -> u64;
}

/// The system's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "a store without a server is its own clock, as Redis's TIME is a Redis's"
    )]
    fn now_ms(&self) -> u64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }
}

/// A clock that is set by hand. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct ManualClock(Arc<AtomicU64>);

impl ManualClock {
    /// A clock at this instant, Unix milliseconds.
    pub fn at(now_ms: u64) -> Self {
        ManualClock(Arc::new(AtomicU64::new(now_ms)))
    }

    /// Sets it; backwards, too.
    pub fn set(&self, now_ms: u64) {
        self.0.store(now_ms, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now_ms(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Map(BTreeMap<Vec<u8>, Vec<u8>>);

impl Tables for Map {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        Ok(self.0.get(key).cloned())
    }

    fn range(
        &self,
        from: &[u8],
        until: &[u8],
        visit: &mut dyn FnMut(&[u8], &[u8]) -> Visit,
    ) -> Result<(), Error> {
        if from < until {
            let bounds = (Bound::Included(from), Bound::Excluded(until));
            for (key, value) in self.0.range::<[u8], _>(bounds) {
                if visit(key, value).is_break() {
                    break;
                }
            }
        }
        Ok(())
    }
}

impl TablesMut for Map {
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), Error> {
        match self.0.get_mut(key) {
            Some(old) => value.clone_into(old),
            None => {
                self.0.insert(key.to_vec(), value.to_vec());
            }
        }
        Ok(())
    }

    fn delete(&mut self, key: &[u8]) -> Result<bool, Error> {
        Ok(self.0.remove(key).is_some())
    }
}

/// Everything that a [`MemoryStore`] held at one moment, its server's name included.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Image {
    map: Arc<Map>,
    server: String,
}

/// A store in memory. See the module.
pub struct MemoryStore {
    map: Arc<Map>,
    server: String,
    clock: Box<dyn Clock>,
    /// Who has it, and until when.
    lease: Option<(Holder, u64)>,
}

impl MemoryStore {
    /// An empty store with this clock.
    pub fn new(clock: impl Clock) -> Self {
        MemoryStore {
            map: Arc::default(),
            server: "memory".to_owned(),
            clock: Box::new(clock),
            lease: None,
        }
    }

    /// Names this life of the store from now on: what a restart of a server would change.
    pub fn set_server(&mut self, server: impl Into<String>) {
        self.server = server.into();
    }

    /// The store's clock, Unix milliseconds.
    pub fn time_ms(&self) -> u64 {
        self.clock.now_ms()
    }

    /// See [`Store::claim`].
    ///
    /// # Errors
    /// [`Error::Damaged`], which cannot happen unless this crate is at fault.
    pub fn claim(&mut self, shard: ShardId) -> Result<Claim, Error> {
        let head = kv::commit::claim(Arc::make_mut(&mut self.map), shard)?;
        Ok(Claim {
            head,
            server: self.server.clone(),
            time_ms: self.time_ms(),
        })
    }

    /// Applies a commit now.
    pub fn commit(&mut self, commit: &Commit) -> Outcome {
        let now_ms = self.time_ms();
        match kv::commit::apply(Arc::make_mut(&mut self.map), commit, now_ms) {
            Ok(outcome) => outcome,
            Err(error) => Outcome::Unknown {
                reason: error.to_string(),
            },
        }
    }

    /// See [`Store::load`].
    ///
    /// # Errors
    /// [`Error::Damaged`], which cannot happen unless this crate is at fault.
    pub fn load(&self, shard: ShardId, load: &Load) -> Result<Loaded, Error> {
        kv::load::load(&*self.map, shard, load, self.time_ms())
    }

    /// See [`Store::read`].
    ///
    /// # Errors
    /// [`Error::WrongType`].
    pub fn read(&self, read: &Read) -> Result<ReadReply, Error> {
        kv::read::read(&*self.map, read, self.time_ms())
    }

    /// Changes a view with no commit, as someone would who writes to a Redis behind the node's back.
    ///
    /// # Errors
    /// [`Error::WrongType`]; nothing has changed.
    pub fn tamper(&mut self, change: &ViewChange) -> Result<(), Error> {
        let now_ms = self.time_ms();
        kv::views::tamper(Arc::make_mut(&mut self.map), change, now_ms)
    }

    /// See [`Store::lease`].
    pub fn lease(&mut self, holder: &Holder, ttl: Duration) -> Lease {
        let now_ms = self.time_ms();
        match &self.lease {
            Some((other, until_ms)) if other.id != holder.id && now_ms < *until_ms => {
                Lease::Of(other.clone())
            }
            Some(_) | None => {
                let ttl_ms = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX);
                self.lease = Some((holder.clone(), now_ms.saturating_add(ttl_ms)));
                Lease::Held
            }
        }
    }

    /// Who has the lease, or had it last.
    pub fn lease_holder(&self) -> Option<Holder> {
        self.lease.as_ref().map(|(holder, _)| holder.clone())
    }

    /// Lets the lease run out now.
    pub fn expire_lease(&mut self) {
        self.lease = None;
    }

    /// See [`Store::end_lease`].
    pub fn end_lease(&mut self, holder: &Holder) {
        self.lease.take_if(|(held, _)| held.id == holder.id);
    }

    /// Everything stored now. O(1); the next write copies the whole.
    pub fn image(&self) -> Image {
        Image {
            map: Arc::clone(&self.map),
            server: self.server.clone(),
        }
    }

    /// Puts an image back: everything written since it was taken is gone.
    pub fn restore(&mut self, image: &Image) {
        self.map = Arc::clone(&image.map);
        self.server.clone_from(&image.server);
    }

    /// Bytes of keys and values stored.
    ///
    /// # Cost
    /// O(everything).
    pub fn bytes(&self) -> u64 {
        self.map.0.iter().map(|(k, v)| (k.len() + v.len()) as u64).sum()
    }
}

/// A [`MemoryStore`] behind the [`Store`] trait. Clones share it.
#[derive(Clone)]
pub struct SharedMemoryStore(Arc<Mutex<MemoryStore>>);

impl SharedMemoryStore {
    /// Wraps a store.
    pub fn new(store: MemoryStore) -> Self {
        SharedMemoryStore(Arc::new(Mutex::new(store)))
    }

    /// The store itself, for images, tampering and the like.
    pub fn lock(&self) -> MutexGuard<'_, MemoryStore> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store for SharedMemoryStore {
    fn claim(&self, shard: ShardId) -> BoxFuture<'_, Result<Claim, Error>> {
        let claim = self.lock().claim(shard);
        Box::pin(std::future::ready(claim))
    }

    fn commit(&self, commit: Commit) -> BoxFuture<'static, Outcome> {
        let outcome = self.lock().commit(&commit);
        Box::pin(std::future::ready(outcome))
    }

    fn load(&self, shard: ShardId, load: Load) -> BoxFuture<'_, Result<Loaded, Error>> {
        let loaded = self.lock().load(shard, &load);
        Box::pin(std::future::ready(loaded))
    }

    fn read(&self, read: Read) -> BoxFuture<'_, Result<ReadReply, Error>> {
        let reply = self.lock().read(&read);
        Box::pin(std::future::ready(reply))
    }

    fn time_ms(&self) -> BoxFuture<'_, Result<u64, Error>> {
        let time_ms = self.lock().time_ms();
        Box::pin(std::future::ready(Ok(time_ms)))
    }

    fn info(&self) -> BoxFuture<'_, Result<StoreInfo, Error>> {
        let info = StoreInfo {
            kind: StoreKind::Memory,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            durability: Durability::Process,
            aof: None,
            memory_bytes_max: None,
            memory_bytes_used: self.lock().bytes(),
            fragmentation_ratio: None,
            keys_evicted: 0,
            keys_expired: 0,
            eviction_policy: None,
            replicas_connected: 0,
        };
        Box::pin(std::future::ready(Ok(info)))
    }

    fn lease(&self, holder: &Holder, ttl: Duration) -> BoxFuture<'_, Result<Lease, Error>> {
        let lease = self.lock().lease(holder, ttl);
        Box::pin(std::future::ready(Ok(lease)))
    }

    fn end_lease(&self, holder: &Holder) -> BoxFuture<'_, Result<(), Error>> {
        self.lock().end_lease(holder);
        Box::pin(std::future::ready(Ok(())))
    }

    fn release(&self, _shard: ShardId) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(std::future::ready(Ok(())))
    }
}
