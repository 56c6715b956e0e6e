//! Commands that wait: BZPOPMIN and its kin on replicated keys, and whatever blocks on local ones.
//!
//! On replicated keys the shard is asked; where there is nothing, the client waits until a commit has changed one of
//! its keys, whoever wrote it, here or in another region, and asks again. On local keys the client gets a connection
//! to Redis of its own until it is answered.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use cartograph_engine::api::Request as ShardRequest;
use cartograph_engine::{Command, Reply};
use cartograph_resp::Value;

use super::commands::{self, Shape};
use super::connection::{Connection, End, no_redis};
use super::dispatch::Incoming;
use super::errors::{self, error};
use super::outbox::Outbox;

/// Why a wait ended.
enum Woken {
    Changed,
    TimedOut,
    /// CLIENT UNBLOCK, with an error or as if the time were over.
    Unblocked(bool),
}

impl Connection {
    /// Waits for an element of replicated keys.
    pub(super) async fn block(
        &mut self,
        incoming: Incoming,
        command: Command,
        shape: Shape,
        timeout: Option<Duration>,
        keys: Vec<Vec<u8>>,
    ) -> Result<(), End> {
        self.submit().await;
        self.until(Outbox::is_idle).await?;
        self.set_blocked(true);
        let result = self.blocked(&incoming, &command, &shape, timeout, keys).await;
        self.set_blocked(false);
        let value = result?;
        self.answer(incoming.started, Some(incoming.info), &value);
        Ok(())
    }

    async fn blocked(
        &mut self,
        incoming: &Incoming,
        command: &Command,
        shape: &Shape,
        timeout: Option<Duration>,
        keys: Vec<Vec<u8>>,
    ) -> Result<Value, End> {
        let context = Arc::clone(&self.worker.context);
        let shard = match self.shard_of(incoming.keys()) {
            Ok(shard) => shard,
            Err(refused) => return Ok(refused),
        };
        let Some(handle) = context.doors.shards.get(shard) else {
            return Ok(error("ERR this node has no shard for the key"));
        };
        let limit = context.doors.config.limits.request_timeout;
        let protocol = self.session.protocol;
        // Registered before the first look: what is committed after it is not missed.
        let waiter = handle.wait_on(keys);
        let mut time = std::pin::pin!(async {
            match timeout {
                Some(timeout) => tokio::time::sleep(timeout).await,
                None => std::future::pending().await,
            }
        });
        loop {
            let asked = handle.request(ShardRequest::one(command.clone()), limit);
            match self.while_listening(asked).await? {
                Err(failed) => return Ok(errors::of_failure(&failed.into())),
                Ok(done) => match done.replies.into_iter().next() {
                    Some(Reply::Nil) => {}
                    Some(reply) => return Ok(commands::shape(reply, shape, protocol)),
                    None => return Ok(error("ERR the shard gave no reply")),
                },
            }
            let client = Arc::clone(&self.session.client);
            let woken = async {
                tokio::select! {
                    () = waiter.changed() => Woken::Changed,
                    () = &mut time => Woken::TimedOut,
                    error = client.until_unblocked() => Woken::Unblocked(error),
                }
            };
            match self.while_listening(woken).await? {
                Woken::Changed => {}
                Woken::TimedOut | Woken::Unblocked(false) => {
                    return Ok(commands::shape(Reply::Nil, shape, protocol));
                }
                Woken::Unblocked(true) => return Ok(unblocked()),
            }
        }
    }

    fn set_blocked(&self, blocked: bool) {
        let stats = &self.worker.context.stats;
        self.session.client.blocked.store(blocked, Ordering::Relaxed);
        if blocked {
            stats.blocked_clients.fetch_add(1, Ordering::Relaxed);
        } else {
            stats.blocked_clients.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// To Redis, on a connection of the client's own: what it says may take long.
    pub(super) async fn pass_alone(&mut self, incoming: Incoming) -> Result<(), End> {
        self.submit().await;
        self.until(Outbox::is_idle).await?;
        self.set_blocked(true);
        let raw = incoming.request.raw.clone();
        let result = self.alone(raw).await;
        self.set_blocked(false);
        let value = result?;
        self.answer(incoming.started, Some(incoming.info), &value);
        Ok(())
    }

    async fn alone(&mut self, raw: Bytes) -> Result<Value, End> {
        let client = Arc::clone(&self.session.client);
        let mut pinned = match self.take_pinned().await? {
            Ok(pinned) => pinned,
            Err(refused) => return Ok(refused),
        };
        let asked = async {
            pinned.send(&raw).await?;
            tokio::select! {
                frame = pinned.recv() => frame.map(Some),
                error = client.until_unblocked() => Ok(if error { None } else { Some(Bytes::from_static(b"*-1\r\n")) }),
            }
        };
        let answered = self.while_listening(asked).await?;
        Ok(match answered {
            Ok(Some(frame)) if frame.starts_with(b"*-1\r\n") => {
                self.keep_pinned(pinned);
                Value::NullArray
            }
            Ok(Some(frame)) => {
                self.keep_pinned(pinned);
                Value::Raw(frame)
            }
            // It still waits there: that connection is of no more use.
            Ok(None) => unblocked(),
            Err(failed) => errors::of_raw(&failed),
        })
    }

    /// Asks on the client's own connection, and waits for the frames.
    pub(super) async fn on_pinned(
        &mut self,
        bytes: Bytes,
        count: usize,
    ) -> Result<Result<Vec<Bytes>, Value>, End> {
        let mut pinned = match self.take_pinned().await? {
            Ok(pinned) => pinned,
            Err(refused) => return Ok(Err(refused)),
        };
        let limit = self.worker.context.doors.config.limits.request_timeout;
        let asked = async {
            pinned.send(&bytes).await?;
            let mut frames = Vec::with_capacity(count);
            for _ in 0..count {
                frames.push(pinned.recv().await?);
            }
            Ok::<_, cartograph_store::raw::RawError>(frames)
        };
        let answered = self.while_listening(tokio::time::timeout(limit, asked)).await?;
        Ok(match answered {
            Ok(Ok(frames)) => {
                self.keep_pinned(pinned);
                Ok(frames)
            }
            Ok(Err(failed)) => Err(errors::of_raw(&failed)),
            Err(_) => Err(errors::late(true, limit)),
        })
    }

    /// The client's own connection, made now if it has none.
    pub(super) async fn take_pinned(
        &mut self,
    ) -> Result<Result<cartograph_store::raw::PinnedConnection, Value>, End> {
        if let Some(pinned) = self.pinned.take() {
            return Ok(Ok(pinned));
        }
        let Some(raw) = self.worker.context.raw.clone() else {
            return Ok(Err(no_redis()));
        };
        let made = raw.pinned(self.session.protocol);
        Ok(self.while_listening(made).await?.map_err(|e| errors::of_raw(&e)))
    }

    /// Kept only while something hangs on it; else others may have it.
    pub(super) fn keep_pinned(&mut self, pinned: cartograph_store::raw::PinnedConnection) {
        if self.session.watches_local || self.session.subscribed {
            self.pinned = Some(pinned);
        }
    }
}

fn unblocked() -> Value {
    error("UNBLOCKED client unblocked via CLIENT UNBLOCK")
}
