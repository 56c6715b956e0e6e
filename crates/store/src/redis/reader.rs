//! The readers: a few connections apart from the writer's, shared by everyone who reads.
//!
//! Unlike the writer's they reconnect by themselves: a read that meets a broken connection is asked once more on a
//! new one. While the server cannot be reached, reads fail at once, and it is tried again after a pause that grows
//! to a second. After a claim all are made anew, so that a reader never stays with a server that the writer has left.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;

use ::redis::aio::MultiplexedConnection;
use ::redis::{Cmd, Value};
use tokio::sync::Mutex;

use super::RedisConfig;
use super::connect::Endpoint;
use super::reply::{self, Fault};
use crate::backoff::Backoff;
use crate::error::Error;

#[derive(Default)]
struct Slot {
    connection: Option<MultiplexedConnection>,
    /// The claim after which it was made.
    epoch: u64,
    /// Counts connections, so that of many reads that meet a broken one only the first drops it.
    generation: u64,
    backoff: Backoff,
    /// Since when, and why, it cannot be reached.
    resting: Option<(Instant, Fault)>,
}

/// Connections on one database.
pub(crate) struct Readers {
    endpoint: Endpoint,
    config: RedisConfig,
    db: u16,
    epoch: Arc<AtomicU64>,
    slots: Vec<Mutex<Slot>>,
    next: AtomicUsize,
}

impl Readers {
    pub(crate) fn new(endpoint: Endpoint, config: RedisConfig, db: u16, epoch: Arc<AtomicU64>) -> Self {
        let slots = (0..config.readers.max(1)).map(|_| Mutex::default()).collect();
        Readers {
            endpoint,
            config,
            db,
            epoch,
            slots,
            next: AtomicUsize::new(0),
        }
    }

    /// Asks one command that changes nothing.
    pub(crate) async fn ask(&self, cmd: &Cmd) -> Result<Value, Error> {
        self.try_ask(cmd)
            .await
            .map_err(|fault| self.endpoint.error(fault))
    }

    /// The error of a reply that cannot be read.
    pub(crate) fn error(&self, fault: Fault) -> Error {
        self.endpoint.error(fault)
    }

    async fn try_ask(&self, cmd: &Cmd) -> Result<Value, Fault> {
        let n = self.next.fetch_add(1, Ordering::Relaxed) % self.slots.len().max(1);
        let slot = self.slots.get(n).ok_or_else(|| reply::unexpected("a reader"))?;
        let (mut connection, generation) = self.connection(slot).await?;
        match reply::ask(&mut connection, cmd).await {
            Err(Fault::Broken(_)) => {
                let mut held = slot.lock().await;
                if held.generation == generation {
                    held.connection = None;
                }
                drop(held);
                let (mut connection, _) = self.connection(slot).await?;
                reply::ask(&mut connection, cmd).await
            }
            other => other,
        }
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "paces connecting; decides nothing that is stored"
    )]
    async fn connection(&self, slot: &Mutex<Slot>) -> Result<(MultiplexedConnection, u64), Fault> {
        let epoch = self.epoch.load(Ordering::SeqCst);
        let mut slot = slot.lock().await;
        if slot.epoch != epoch {
            slot.connection = None;
            slot.resting = None;
            slot.epoch = epoch;
        }
        if let Some(connection) = &slot.connection {
            return Ok((connection.clone(), slot.generation));
        }
        if let Some((until, fault)) = &slot.resting
            && Instant::now() < *until
        {
            return Err(fault.clone());
        }
        match self.endpoint.connect(self.db, self.config.read_timeout).await {
            Ok(connection) => {
                slot.connection = Some(connection.clone());
                slot.generation += 1;
                slot.resting = None;
                slot.backoff.reset();
                Ok((connection, slot.generation))
            }
            Err(fault) => {
                let pause = slot.backoff.next_pause();
                slot.resting = Some((Instant::now() + pause, fault.clone()));
                Err(fault)
            }
        }
    }
}
