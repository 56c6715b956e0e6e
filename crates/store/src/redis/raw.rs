//! Commands passed on as they came: [`RawStore`] over a Redis.
//!
//! `lane` is a connection shared by many, `pinned` one client's own, `connect` how each is made, `user` whom it logs in
//! as. All connections together are bounded: `raw_connections` lanes for each version of the protocol and
//! `pinned_connections_max` besides.

mod connect;
mod lane;
mod pinned;
mod user;

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use cartograph_resp::{Protocol, Value};
use tokio::sync::oneshot;

use self::connect::Dialer;
use super::RedisConfig;
use super::connect::Endpoint;
use crate::raw::{AfterReplies, PassUser, RawError, RawStatus, RawStore, Repeat};
use crate::store::BoxFuture;

pub use self::lane::RawLane;
pub use self::pinned::{PinnedConnection, PinnedReceiver, PinnedSender};

/// What a server says of its commands, and after how many broken connections it said so.
type Commands = Option<(u64, Arc<Value>)>;

/// The raw connections of a store.
pub(crate) struct Raw {
    dialer: Arc<Dialer>,
    lanes: [Mutex<Vec<RawLane>>; 2],
    next: AtomicUsize,
    commands: tokio::sync::Mutex<Commands>,
}

impl Raw {
    pub(crate) fn new(endpoint: Endpoint, config: RedisConfig, epoch: Arc<AtomicU64>) -> Self {
        Raw {
            dialer: Arc::new(Dialer::new(endpoint, config, epoch)),
            lanes: Default::default(),
            next: AtomicUsize::new(0),
            commands: tokio::sync::Mutex::default(),
        }
    }

    fn lanes(&self, protocol: Protocol) -> std::sync::MutexGuard<'_, Vec<RawLane>> {
        let [old, new] = &self.lanes;
        let lanes = match protocol {
            Protocol::Resp2 => old,
            Protocol::Resp3 => new,
        };
        lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new lane, as long as there are fewer than `wanted`; else one of those there are, in turn.
    fn lane_of(&self, protocol: Protocol, wanted: usize, after: Option<AfterReplies>) -> RawLane {
        let mut lanes = self.lanes(protocol);
        // Those of a runtime that has ended.
        lanes.retain(|lane| !lane.is_closed());
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        let there = (lanes.len() >= wanted.max(1)).then(|| lanes.get(turn % lanes.len().max(1)));
        if let Some(lane) = there.flatten() {
            return lane.clone();
        }
        let lane = RawLane::start(Arc::clone(&self.dialer), protocol, after);
        lanes.push(lane.clone());
        lane
    }

    async fn ask_commands(&self) -> Result<Arc<Value>, RawError> {
        let mut known = self.commands.lock().await;
        let life = self.dialer.counts.breaks.load(Ordering::Relaxed);
        if let Some((_, commands)) = known.as_ref().filter(|(of, _)| *of == life) {
            return Ok(Arc::clone(commands));
        }
        let (answer, replies) = oneshot::channel();
        let to = Box::new(move |replies| {
            // Who asked may have gone.
            let _ = answer.send(replies);
        });
        let lane = self.shared(Protocol::Resp2);
        lane.submit(b"*1\r\n$7\r\nCOMMAND\r\n", 1, Repeat::Read, to)?;
        let replies = replies
            .await
            .map_err(|_| self.dialer.unavailable("the lane has ended"))??;
        let read = Value::from_frame(replies.as_bytes());
        let commands = Arc::new(read.map_err(|error| self.dialer.unavailable(error.to_string()))?);
        *known = Some((life, Arc::clone(&commands)));
        Ok(commands)
    }

    async fn pin(&self, protocol: Protocol) -> Result<PinnedConnection, RawError> {
        let permit = Arc::clone(&self.dialer.pinned).try_acquire_owned();
        let permit = permit.map_err(|_| RawError::TooManyPinned {
            max: self.dialer.config.pinned_connections_max,
        })?;
        let link = self.dialer.connect(protocol).await?;
        Ok(PinnedConnection::new(Arc::clone(&self.dialer), permit, link))
    }
}

impl RawStore for Raw {
    fn lane(&self, protocol: Protocol, after_replies: Option<AfterReplies>) -> RawLane {
        self.lane_of(protocol, self.dialer.config.raw_connections, after_replies)
    }

    fn shared(&self, protocol: Protocol) -> RawLane {
        self.lane_of(protocol, 1, None)
    }

    fn pinned(&self, protocol: Protocol) -> BoxFuture<'_, Result<PinnedConnection, RawError>> {
        Box::pin(self.pin(protocol))
    }

    fn prepare(&self) -> BoxFuture<'_, Result<PassUser, RawError>> {
        Box::pin(self.dialer.make_user(false))
    }

    fn commands(&self) -> BoxFuture<'_, Result<Arc<Value>, RawError>> {
        Box::pin(self.ask_commands())
    }

    fn status(&self) -> RawStatus {
        let counts = &self.dialer.counts;
        let mut status = RawStatus {
            user: self.dialer.user(),
            pinned_max: self.dialer.config.pinned_connections_max,
            connects_total: counts.connects.load(Ordering::Relaxed),
            errors_total: counts.errors.load(Ordering::Relaxed),
            retries_total: counts.retries.load(Ordering::Relaxed),
            refused_total: counts.refused.load(Ordering::Relaxed),
            ..RawStatus::default()
        };
        status.pinned = status
            .pinned_max
            .saturating_sub(self.dialer.pinned.available_permits());
        for protocol in [Protocol::Resp2, Protocol::Resp3] {
            for lane in self.lanes(protocol).iter() {
                let (up, waiting) = lane.load();
                status.lanes += 1;
                status.lanes_up += usize::from(up);
                status.waiting += waiting;
            }
        }
        status
    }
}
