//! The store in one file of this process: no server, synced at each commit.
//!
//! One thread executes claims and commits in order; commits that wait together share one transaction and one sync.
//! Reads see the last committed transaction and disturb nobody. Each opening is a new life of the store (its
//! `Claim::server` differs), because a file may have been put back from a copy.
//!
//! When the disk fails or is full, the commits at hand are unknown and later ones too, until a claim opens the file
//! anew.

mod file;
mod worker;

use std::path::Path;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use cartograph_crdt::ShardId;
use cartograph_replica::commit::{Claim, Commit, Load, Loaded, Outcome, ViewChange};
use tokio::sync::oneshot;

use crate::error::Error;
use crate::kv;
use crate::memory::{Clock, SystemClock};
use crate::store::{BoxFuture, COMMITS_QUEUED_MAX, Durability, Read, ReadReply, Store, StoreInfo, StoreKind};

pub use file::FORMAT_VERSION;
use file::StoreFile;
use worker::{Request, Worker};

/// A store in one file. Reads must be made inside a tokio runtime.
pub struct EmbeddedStore {
    file: Arc<StoreFile>,
    clock: Arc<dyn Clock>,
    requests: Option<SyncSender<Request>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl EmbeddedStore {
    /// Opens the file, or makes it.
    ///
    /// # Errors
    /// [`Error::InUse`] by another process or store; [`Error::ForeignFile`]; [`Error::Damaged`]; [`Error::Disk`].
    pub fn open(path: &Path) -> Result<Self, Error> {
        Self::open_with_clock(path, Arc::new(SystemClock))
    }

    /// The same with a clock of the caller's.
    ///
    /// # Errors
    /// As [`EmbeddedStore::open`].
    pub fn open_with_clock(path: &Path, clock: Arc<dyn Clock>) -> Result<Self, Error> {
        let file = Arc::new(StoreFile::open(path)?);
        let (requests, queue) = sync_channel(COMMITS_QUEUED_MAX);
        let worker = Worker::new(Arc::clone(&file), Arc::clone(&clock));
        let thread = std::thread::Builder::new().name("store".to_owned());
        let thread = thread
            .spawn(move || worker.run(&queue))
            .map_err(|e| Error::Disk {
                path: path.to_owned(),
                reason: format!("its thread cannot be started: {e}"),
            })?;
        Ok(EmbeddedStore {
            file,
            clock,
            requests: Some(requests),
            thread: Mutex::new(Some(thread)),
        })
    }

    fn send(&self, request: Request) -> Result<(), &'static str> {
        let requests = self.requests.as_ref().ok_or("the store is closed")?;
        requests.try_send(request).map_err(|error| match error {
            TrySendError::Full(_) => "too many commits wait for the store",
            TrySendError::Disconnected(_) => "the store's thread has ended",
        })
    }

    fn unavailable(&self, reason: &str) -> Error {
        Error::Unavailable {
            address: self.file.path().display().to_string(),
            reason: reason.to_owned(),
        }
    }

    /// Asks the thread something and waits for its answer.
    async fn ask<T>(&self, request: impl FnOnce(oneshot::Sender<T>) -> Request) -> Result<T, Error> {
        let (answer, answered) = oneshot::channel();
        self.send(request(answer)).map_err(|r| self.unavailable(r))?;
        answered
            .await
            .map_err(|_| self.unavailable("the store's thread has ended"))
    }

    /// Reads on a thread that may block.
    async fn blocking<T: Send + 'static>(
        &self,
        read: impl FnOnce(&StoreFile, u64) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let (file, now_ms) = (Arc::clone(&self.file), self.clock.now_ms());
        let reading = tokio::task::spawn_blocking(move || read(&file, now_ms));
        reading.await.map_err(|e| self.unavailable(&e.to_string()))?
    }

    /// Changes a view with no commit, as someone would who writes to a Redis behind the node's back.
    ///
    /// # Errors
    /// [`Error::WrongType`]; nothing has changed.
    pub async fn tamper(&self, change: ViewChange) -> Result<(), Error> {
        self.ask(|answer| Request::Tamper(Box::new(change), answer))
            .await?
    }
}

impl Drop for EmbeddedStore {
    /// Waits for the commits handed in so far, then closes the file.
    fn drop(&mut self) {
        self.requests = None;
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            let _ = thread.join();
        }
    }
}

impl Store for EmbeddedStore {
    fn claim(&self, shard: ShardId) -> BoxFuture<'_, Result<Claim, Error>> {
        Box::pin(async move { self.ask(|answer| Request::Claim(shard, answer)).await? })
    }

    fn commit(&self, commit: Commit) -> BoxFuture<'static, Outcome> {
        let unknown = |reason: &str| Outcome::Unknown {
            reason: reason.to_owned(),
        };
        let (answer, outcome) = oneshot::channel();
        match self.send(Request::Commit(Box::new(commit), answer)) {
            Err(reason) => Box::pin(std::future::ready(unknown(reason))),
            Ok(()) => Box::pin(async move {
                let outcome = outcome.await;
                outcome.unwrap_or_else(|_| unknown("the store's thread has ended"))
            }),
        }
    }

    fn load(&self, shard: ShardId, load: Load) -> BoxFuture<'_, Result<Loaded, Error>> {
        let read = move |file: &StoreFile, now_ms: u64| {
            file.read(|tables| kv::load::load(tables, shard, &load, now_ms))
        };
        Box::pin(self.blocking(read))
    }

    fn read(&self, read: Read) -> BoxFuture<'_, Result<ReadReply, Error>> {
        let read =
            move |file: &StoreFile, now_ms: u64| file.read(|tables| kv::read::read(tables, &read, now_ms));
        Box::pin(self.blocking(read))
    }

    fn time_ms(&self) -> BoxFuture<'_, Result<u64, Error>> {
        Box::pin(std::future::ready(Ok(self.clock.now_ms())))
    }

    fn info(&self) -> BoxFuture<'_, Result<StoreInfo, Error>> {
        Box::pin(self.blocking(|file, _| {
            Ok(StoreInfo {
                kind: StoreKind::Embedded,
                version: FORMAT_VERSION.to_string(),
                durability: Durability::Disk,
                aof: None,
                memory_bytes_max: None,
                memory_bytes_used: file.bytes()?,
                fragmentation_ratio: None,
                keys_evicted: 0,
                keys_expired: 0,
                eviction_policy: None,
                replicas_connected: 0,
            })
        }))
    }

    fn release(&self, shard: ShardId) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(self.ask(move |answer| Request::Release(shard, answer)))
    }
}
