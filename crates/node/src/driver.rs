//! The one task that owns a shard machine, and the handle through which everything else speaks to it.
//!
//! The machine does no IO: it is given inputs and says what to do. The task carries its outputs out and brings the
//! results back, keeping the four promises of [`cartograph_engine::api`]: commits go to the store in order and their
//! outcomes come back in order (`FuturesOrdered`, several in flight); loads run beside them; after a broken store the
//! claim is repeated, at most a second apart, and outcomes from before it are dropped; ticks come every 50 ms.
//!
//! | file | what it does |
//! |---|---|
//! | `task.rs` | the loop: inputs in, outputs carried out |
//! | `links.rs` | which connection is the current one of each peer and direction |
//! | `store_clock.rs` | what the store's clock reads now, as well as can be told |
//! | `waiters.rs` | who waits for a key to change |

mod links;
mod store_clock;
mod task;
mod waiters;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use cartograph_crdt::{RegionId, Row, ShardId, VersionVector};
use cartograph_engine::api::{Done, Request, RequestError};
use cartograph_engine::{Shard, ShardStatus};
use cartograph_replica::exchange::Direction;
use cartograph_replica::message::{BackMessage, Hello, Message, Refusal, Welcome};
use cartograph_store::Store;
use tokio::sync::{mpsc, oneshot, watch};

pub use links::LinkId;
pub use waiters::Waiter;

use crate::metrics::Metrics;

/// Asks that wait for the task: doors and links wait in turn when there are more.
const ASKS_MAX: usize = 1_024;

/// Messages that wait for a link's socket. The exchange bounds their bytes; a link that lets so many heartbeats pile up
/// is stuck, and is closed.
pub const LINK_MESSAGES_MAX: usize = 1_024;

/// Why a request got no result from its shard.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// The shard's own answer. Definite, every one of them.
    #[error(transparent)]
    Refused(#[from] RequestError),
    /// It had been handed over, and no answer came in time: it may be committed.
    #[error("no answer within {} ms: it may have been done", .0.as_millis())]
    Late(Duration),
    /// It could not be handed over in time. Definite.
    #[error("the shard's queue did not move within {} ms", .0.as_millis())]
    NotTaken(Duration),
    /// The node is stopping, and the request had been handed over: it may be committed.
    #[error("the node stopped before it could answer: it may have been done")]
    Stopped,
}

/// Who gets a request's result. Called on the shard's task: it must not wait, nor do much.
pub type ReplyTo = Box<dyn FnOnce(Result<Done, RequestError>) + Send>;

/// A request that is answered by a call.
pub struct Submitted {
    /// What is asked.
    pub request: Request,
    /// Who gets the result; never called when the store is lost with the request in flight, nor when the node stops.
    pub reply: ReplyTo,
}

/// What is asked of the task.
enum Ask {
    Request {
        request: Request,
        reply: oneshot::Sender<Result<Done, RequestError>>,
    },
    Requests(Vec<Submitted>),
    Inspect {
        key: Vec<u8>,
        elements: bool,
        reply: oneshot::Sender<Result<Box<Row>, RequestError>>,
    },
    Forget {
        region: RegionId,
        reply: oneshot::Sender<Result<Done, RequestError>>,
    },
    Repair {
        key: Vec<u8>,
    },
    Status {
        reply: oneshot::Sender<ShardStatus>,
    },
    Greeting {
        reply: oneshot::Sender<Option<Hello>>,
    },
    Admit {
        hello: Box<Hello>,
        link: LinkId,
        sender: mpsc::Sender<BackMessage>,
        reply: oneshot::Sender<Option<Result<Hello, Refusal>>>,
    },
    Welcomed {
        peer: RegionId,
        welcome: Box<Welcome>,
        link: LinkId,
        sender: mpsc::Sender<Message>,
    },
    Received {
        peer: RegionId,
        link: LinkId,
        message: Message,
    },
    Acked {
        peer: RegionId,
        link: LinkId,
        message: BackMessage,
    },
    Down {
        peer: RegionId,
        direction: Direction,
        link: LinkId,
    },
    Drain,
    Stop {
        reply: oneshot::Sender<()>,
    },
}

/// What the task tells everybody.
#[derive(Clone, Debug, Default)]
pub struct Published {
    /// The member regions, as last announced.
    pub members: BTreeSet<RegionId>,
    /// Why the shard cannot be run on its store; the node stops.
    pub halted: Option<String>,
    /// Why the store could not be reached the last time, while it cannot.
    pub store_error: Option<String>,
}

/// Speaks to a shard's task. Clones speak to the same one.
#[derive(Clone)]
pub struct ShardHandle {
    shard: ShardId,
    asks: mpsc::Sender<Ask>,
    vector: watch::Receiver<Arc<VersionVector>>,
    published: watch::Receiver<Published>,
    waiters: Arc<waiters::Waiters>,
}

impl ShardHandle {
    /// Starts the task that drives `machine` on `store`.
    pub fn start(
        shard: ShardId,
        machine: Shard,
        store: Arc<dyn Store>,
        metrics: Arc<Metrics>,
    ) -> (ShardHandle, tokio::task::JoinHandle<()>) {
        let (asks, inbox) = mpsc::channel(ASKS_MAX);
        let (vector_out, vector) = watch::channel(Arc::default());
        let (published_out, published) = watch::channel(Published::default());
        let waiters = Arc::new(waiters::Waiters::default());
        let told = task::Told {
            vector: vector_out,
            published: published_out,
            waiters: Arc::clone(&waiters),
        };
        let task = task::Task::new(shard, machine, store, metrics, told);
        let join = tokio::spawn(task.run(inbox));
        let handle = ShardHandle {
            shard,
            asks,
            vector,
            published,
            waiters,
        };
        (handle, join)
    }

    /// Which shard.
    pub fn shard(&self) -> ShardId {
        self.shard
    }

    /// What is committed here.
    pub fn vector(&self) -> Arc<VersionVector> {
        Arc::clone(&self.vector.borrow())
    }

    /// Waits until `wanted` is committed here.
    ///
    /// # Errors
    /// When it is not after `limit`.
    pub async fn wait_for(&self, wanted: &VersionVector, limit: Duration) -> Result<(), Duration> {
        let mut vector = self.vector.clone();
        let seen = vector.wait_for(|have| have.dominates(wanted));
        match tokio::time::timeout(limit, seen).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(limit),
        }
    }

    /// What the task tells everybody, as it changes.
    pub fn published(&self) -> watch::Receiver<Published> {
        self.published.clone()
    }

    /// Has a request done.
    ///
    /// # Errors
    /// See [`AskError`].
    pub async fn request(&self, request: Request, limit: Duration) -> Result<Done, AskError> {
        self.ask(limit, |reply| Ask::Request { request, reply }).await
    }

    /// Waits for any of these keys to change from now on.
    pub fn wait_on(&self, keys: Vec<Vec<u8>>) -> Waiter {
        self.waiters.wait_on(keys)
    }

    /// Hands several requests over, in order, each answered by a call. Waits while the shard's queue is full: that is
    /// the back pressure.
    ///
    /// # Errors
    /// What could not be handed over within `limit`: nothing of it is done.
    pub async fn submit(
        &self,
        batch: Vec<Submitted>,
        limit: Duration,
    ) -> Result<(), (Vec<Submitted>, AskError)> {
        let batch = match self.asks.try_send(Ask::Requests(batch)) {
            Ok(()) => return Ok(()),
            Err(mpsc::error::TrySendError::Full(Ask::Requests(batch))) => batch,
            Err(mpsc::error::TrySendError::Closed(Ask::Requests(batch))) => {
                return Err((batch, shutting_down()));
            }
            // It gives back what it was given.
            Err(_) => return Err((Vec::new(), shutting_down())),
        };
        match tokio::time::timeout(limit, self.asks.reserve()).await {
            Ok(Ok(place)) => {
                place.send(Ask::Requests(batch));
                Ok(())
            }
            Ok(Err(_)) => Err((batch, shutting_down())),
            Err(_) => Err((batch, AskError::NotTaken(limit))),
        }
    }

    /// A key's metadata: every element, or header and summary alone.
    ///
    /// # Errors
    /// See [`AskError`].
    pub async fn inspect(&self, key: Vec<u8>, elements: bool, limit: Duration) -> Result<Box<Row>, AskError> {
        let ask = |reply| Ask::Inspect { key, elements, reply };
        self.ask(limit, ask).await
    }

    /// Stops waiting for a region that is gone for good.
    ///
    /// # Errors
    /// See [`AskError`].
    pub async fn forget(&self, region: RegionId, limit: Duration) -> Result<Done, AskError> {
        self.ask(limit, |reply| Ask::Forget { region, reply }).await
    }

    async fn ask<T>(
        &self,
        limit: Duration,
        ask: impl FnOnce(oneshot::Sender<Result<T, RequestError>>) -> Ask,
    ) -> Result<T, AskError> {
        let (reply, answer) = oneshot::channel();
        let started = crate::clock::elapsed();
        match tokio::time::timeout(limit, self.asks.reserve()).await {
            Err(_) => return Err(AskError::NotTaken(limit)),
            Ok(Err(_)) => {
                return Err(shutting_down());
            }
            Ok(Ok(place)) => place.send(ask(reply)),
        }
        let left = limit.saturating_sub(crate::clock::elapsed().saturating_sub(started));
        match tokio::time::timeout(left, answer).await {
            Err(_) => Err(AskError::Late(limit)),
            Ok(Err(_)) => Err(AskError::Stopped),
            Ok(Ok(result)) => result.map_err(AskError::Refused),
        }
    }

    /// Has a view compared with its metadata and written anew if they differ. Nobody waits for it.
    pub async fn repair(&self, key: Vec<u8>) {
        let _ = self.asks.send(Ask::Repair { key }).await;
    }

    /// How the shard is doing; `None` when the task does not answer within `limit`.
    pub async fn status(&self, limit: Duration) -> Option<ShardStatus> {
        let (reply, answer) = oneshot::channel();
        let asked = async {
            self.asks.send(Ask::Status { reply }).await.ok()?;
            answer.await.ok()
        };
        tokio::time::timeout(limit, asked).await.ok().flatten()
    }

    /// What this region says of itself to a peer; `None` while the store is not claimed.
    pub async fn greeting(&self) -> Option<Hello> {
        let (reply, answer) = oneshot::channel();
        self.asks.send(Ask::Greeting { reply }).await.ok()?;
        answer.await.ok().flatten()
    }

    /// A peer has dialled: may it exchange? From here on `sender` is its link. `None` while the store is not claimed.
    pub async fn admit(
        &self,
        hello: Hello,
        link: LinkId,
        sender: mpsc::Sender<BackMessage>,
    ) -> Option<Result<Hello, Refusal>> {
        let (reply, answer) = oneshot::channel();
        let hello = Box::new(hello);
        let ask = Ask::Admit {
            hello,
            link,
            sender,
            reply,
        };
        self.asks.send(ask).await.ok()?;
        answer.await.ok().flatten()
    }

    /// The peer that we dialled has welcomed us. From here on `sender` is our link to it.
    pub async fn welcomed(
        &self,
        peer: RegionId,
        welcome: Welcome,
        link: LinkId,
        sender: mpsc::Sender<Message>,
    ) {
        let welcome = Box::new(welcome);
        let ask = Ask::Welcomed {
            peer,
            welcome,
            link,
            sender,
        };
        let _ = self.asks.send(ask).await;
    }

    /// A message came on a link that a peer dialled. Waits while the shard is busy: that is the back pressure.
    pub async fn received(&self, peer: RegionId, link: LinkId, message: Message) {
        let _ = self.asks.send(Ask::Received { peer, link, message }).await;
    }

    /// A message came back on a link that we dialled.
    pub async fn acked(&self, peer: RegionId, link: LinkId, message: BackMessage) {
        let _ = self.asks.send(Ask::Acked { peer, link, message }).await;
    }

    /// A link is gone. Of one that was replaced meanwhile nothing happens.
    pub async fn down(&self, peer: RegionId, direction: Direction, link: LinkId) {
        let ask = Ask::Down {
            peer,
            direction,
            link,
        };
        let _ = self.asks.send(ask).await;
    }

    /// Takes no more requests; what waits is still done.
    pub async fn drain(&self) {
        let _ = self.asks.send(Ask::Drain).await;
    }

    /// Gives the store back and ends the task.
    pub async fn stop(&self) {
        let (reply, answer) = oneshot::channel();
        if self.asks.send(Ask::Stop { reply }).await.is_ok() {
            let _ = answer.await;
        }
    }
}

fn shutting_down() -> AskError {
    AskError::Refused(RequestError::NotReady {
        reason: "it is shutting down".to_owned(),
    })
}
