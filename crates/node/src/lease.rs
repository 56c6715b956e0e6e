//! One owner, hot standbys: which of a region's nodes claims the store.
//!
//! All nodes of a region open the same store. One holds a *lease* on it, renewed each second and gone three seconds
//! after its holder; the others wait for that, and say meanwhile where the owner is. [`Leased`] is a store that lets a
//! shard be claimed only by who holds the lease; everything else passes through, reads too. At a graceful shutdown the
//! lease is given back with the last shard, and a standby takes over at once.
//!
//! The lease keeps nodes from taking turns; it protects nothing. An owner that was paused, or cut off from its store, for
//! longer than its lease may still believe that it owns it: its commits are refused by the fence that the next owner's
//! claim has raised.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use cartograph_crdt::ShardId;
use cartograph_replica::{Claim, Commit, Load, Loaded, Outcome};
use cartograph_store::{BoxFuture, Error, Holder, Lease, RawStore, Read, ReadReply, Store, StoreInfo};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::clock;

/// How long a lease outlives its holder.
const TTL: Duration = Duration::from_secs(3);

/// How often its holder renews it.
const RENEW_EVERY: Duration = Duration::from_secs(1);

/// How often a standby looks whether it is free.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// How long a claim waits for it before it says who has it.
const WAIT_MAX: Duration = Duration::from_secs(10);

/// A store that only the holder of its lease claims.
pub(crate) struct Leased {
    state: Arc<State>,
    /// Ends the renewing.
    _renewing: DropGuard,
}

struct State {
    store: Arc<dyn Store>,
    holder: Holder,
    held: AtomicBool,
    claimed: Mutex<BTreeSet<ShardId>>,
    /// The owner that was told of last.
    told: Mutex<Option<Holder>>,
    ending: CancellationToken,
}

impl Leased {
    /// `bound` is where this process listens, `address` what a standby says of it when it is the owner.
    pub(crate) fn new(store: Arc<dyn Store>, bound: SocketAddr, address: String) -> Self {
        let ending = CancellationToken::new();
        let state = State {
            store,
            holder: Holder {
                id: identity(bound),
                address,
            },
            held: AtomicBool::new(false),
            claimed: Mutex::default(),
            told: Mutex::default(),
            ending: ending.clone(),
        };
        Leased {
            state: Arc::new(state),
            _renewing: ending.drop_guard(),
        }
    }
}

/// A name that no other process has while this one listens on `bound`, but that the same node has again after a crash: it
/// need not wait then for its own lease to run out.
fn identity(bound: SocketAddr) -> String {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok();
    let network = std::fs::read_link("/proc/self/ns/net").ok();
    match boot.zip(network) {
        Some((boot, network)) => format!("{}/{}/{bound}", boot.trim(), network.display()).replace(' ', "_"),
        None => format!("{:016x}", crate::seed::random()),
    }
}

impl State {
    async fn ask(&self) -> Result<Lease, Error> {
        self.store.lease(&self.holder, TTL).await
    }

    /// Waits for the lease, for a while; where a new owner has it, says so at once.
    async fn acquire(self: &Arc<Self>) -> Result<(), Error> {
        let started = clock::elapsed();
        while !self.held.load(Ordering::SeqCst) {
            match self.ask().await? {
                Lease::Held => {
                    // Whoever has it after us is news.
                    *self.told.lock().unwrap_or_else(PoisonError::into_inner) = None;
                    if !self.held.swap(true, Ordering::SeqCst) {
                        tracing::info!("this node owns the region's store from now on");
                        tokio::spawn(Arc::clone(self).renew());
                    }
                }
                Lease::Of(owner) => {
                    let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
                    let known = told.as_ref() == Some(&owner);
                    let waited = clock::elapsed().saturating_sub(started);
                    let error = Error::Standby {
                        owner: owner.address.clone(),
                    };
                    *told = Some(owner);
                    if !known || waited >= WAIT_MAX {
                        return Err(error);
                    }
                }
            }
            if !self.held.load(Ordering::SeqCst) {
                tokio::time::sleep(LOOK_EVERY).await;
            }
        }
        Ok(())
    }

    /// Renews the lease until it is given back or another has it.
    async fn renew(self: Arc<Self>) {
        loop {
            tokio::select! {
                () = self.ending.cancelled() => return,
                () = tokio::time::sleep(RENEW_EVERY) => {}
            }
            if !self.held.load(Ordering::SeqCst) {
                return;
            }
            // Who cannot be asked cannot tell another either.
            if let Ok(Ok(Lease::Of(owner))) = tokio::time::timeout(TTL, self.ask()).await {
                tracing::warn!(owner = %owner.address, "another node owns the region's store now: standing by");
                self.held.store(false, Ordering::SeqCst);
                return;
            }
        }
    }

    /// Gives the lease back.
    async fn end(&self) {
        self.ending.cancel();
        if self.held.swap(false, Ordering::SeqCst)
            && let Err(error) = self.store.end_lease(&self.holder).await
        {
            tracing::warn!(%error, "the lease was not given back: a standby waits until it runs out");
        }
    }

    fn standby(&self) -> Error {
        let told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        Error::Standby {
            owner: told
                .as_ref()
                .map_or_else(|| "another address".to_owned(), |o| o.address.clone()),
        }
    }

    fn shards(&self) -> std::sync::MutexGuard<'_, BTreeSet<ShardId>> {
        self.claimed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store for Leased {
    fn claim(&self, shard: ShardId) -> BoxFuture<'_, Result<Claim, Error>> {
        Box::pin(async move {
            if let Err(error) = self.state.acquire().await {
                if !error.is_retryable() {
                    // What cannot be used for good, the claim says best.
                    self.state.store.claim(shard).await?;
                }
                return Err(error);
            }
            self.state.shards().insert(shard);
            self.state.store.claim(shard).await
        })
    }

    fn commit(&self, commit: Commit) -> BoxFuture<'static, Outcome> {
        self.state.store.commit(commit)
    }

    fn check(&self, shard: ShardId) -> BoxFuture<'_, Result<(), Error>> {
        if self.state.held.load(Ordering::SeqCst) {
            return self.state.store.check(shard);
        }
        let error = self.state.standby();
        Box::pin(std::future::ready(Err(error)))
    }

    fn load(&self, shard: ShardId, load: Load) -> BoxFuture<'_, Result<Loaded, Error>> {
        self.state.store.load(shard, load)
    }

    fn read(&self, read: Read) -> BoxFuture<'_, Result<ReadReply, Error>> {
        self.state.store.read(read)
    }

    fn time_ms(&self) -> BoxFuture<'_, Result<u64, Error>> {
        self.state.store.time_ms()
    }

    fn info(&self) -> BoxFuture<'_, Result<StoreInfo, Error>> {
        self.state.store.info()
    }

    fn raw(&self) -> Option<Arc<dyn RawStore>> {
        self.state.store.raw()
    }

    fn lease(&self, holder: &Holder, ttl: Duration) -> BoxFuture<'_, Result<Lease, Error>> {
        self.state.store.lease(holder, ttl)
    }

    fn end_lease(&self, holder: &Holder) -> BoxFuture<'_, Result<(), Error>> {
        self.state.store.end_lease(holder)
    }

    fn release(&self, shard: ShardId) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(async move {
            let released = self.state.store.release(shard).await;
            let last = {
                let mut shards = self.state.shards();
                shards.remove(&shard);
                shards.is_empty()
            };
            if last {
                self.state.end().await;
            }
            released
        })
    }
}
