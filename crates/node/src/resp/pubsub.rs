//! Messages on channels of class `local`: passed to this region's Redis.
//!
//! A subscriber has a connection to Redis of its own, and everything that comes there goes to the client. Channels that
//! would have to reach other regions are refused, until messages are replicated.

use std::sync::atomic::Ordering;

use bytes::{Bytes, BytesMut};
use cartograph_resp::{Protocol, Value};

use super::connection::{Connection, End, no_redis};
use super::context::Class;
use super::dispatch::Incoming;
use super::errors::error;
use super::outbox::Outbox;
use super::server;

impl Connection {
    /// Has the client subscribed to something?
    pub(super) fn is_subscribed(&self) -> bool {
        self.session.subscribed
    }

    /// A command of the pub/sub family, from a client that has not subscribed.
    pub(super) async fn pubsub(&mut self, incoming: Incoming) -> Result<(), End> {
        if self.worker.context.raw.is_none() {
            return self.refuse(&incoming, no_redis());
        }
        match incoming.info.name {
            "subscribe" | "psubscribe" | "ssubscribe" => self.subscribe(incoming).await,
            "unsubscribe" | "punsubscribe" | "sunsubscribe" => {
                for value in nothing_left(&incoming) {
                    self.answer(incoming.started, Some(incoming.info), &value);
                }
                Ok(())
            }
            "publish" | "spublish" => {
                let channel = incoming.request.args.get(1).cloned().unwrap_or_default();
                match self.worker.context.class(&channel) {
                    Class::Local => self.pass_channel(incoming).await,
                    Class::Replicated => {
                        let refused = not_local(&channel);
                        self.refuse(&incoming, refused)
                    }
                }
            }
            _ => self.pass_channel(incoming).await,
        }
    }

    async fn pass_channel(&mut self, incoming: Incoming) -> Result<(), End> {
        let raw = incoming.request.raw.clone();
        self.submit().await;
        self.until(Outbox::is_idle).await?;
        let value = match self.on_pinned(raw, 1).await? {
            Ok(frames) => Value::Raw(frames.into_iter().next().unwrap_or_default()),
            Err(refused) => refused,
        };
        self.answer(incoming.started, Some(incoming.info), &value);
        Ok(())
    }

    async fn subscribe(&mut self, incoming: Incoming) -> Result<(), End> {
        if let Some(channel) = self.first_not_local(&incoming) {
            return self.refuse(&incoming, not_local(&channel));
        }
        self.submit().await;
        self.until(Outbox::is_idle).await?;
        let mut pinned = match self.take_pinned().await? {
            Ok(pinned) => pinned,
            Err(refused) => return self.refuse(&incoming, refused),
        };
        let raw = incoming.request.raw.clone();
        match self.while_listening(pinned.send(&raw)).await? {
            Ok(()) => {
                self.session.subscribed = true;
                self.pinned = Some(pinned);
                Ok(())
            }
            Err(failed) => self.refuse(&incoming, super::errors::of_raw(&failed)),
        }
    }

    fn first_not_local(&self, incoming: &Incoming) -> Option<Bytes> {
        let context = &self.worker.context;
        let channels = incoming.rest().iter();
        let mut refused = channels.filter(|channel| context.class(channel) != Class::Local);
        refused.next().cloned()
    }

    /// A command from a client that has subscribed.
    pub(super) async fn while_subscribed(&mut self, incoming: Incoming) -> Result<(), End> {
        let name = incoming.info.name;
        let about = matches!(
            name,
            "subscribe" | "psubscribe" | "ssubscribe" | "unsubscribe" | "punsubscribe" | "sunsubscribe"
        );
        if about {
            if name.starts_with("sub") || name.starts_with("psub") || name.starts_with("ssub") {
                return self.subscribe(incoming).await;
            }
            self.submit().await;
            self.until(Outbox::is_idle).await?;
            if let Some(mut pinned) = self.pinned.take() {
                let sent = self.while_listening(pinned.send(&incoming.request.raw)).await?;
                self.pinned = sent.is_ok().then_some(pinned);
            }
            return Ok(());
        }
        if server::ends_multi(incoming.info) {
            // QUIT and RESET leave all channels.
            self.session.subscribed = false;
            self.pinned = None;
            return self.carry_out(incoming).await;
        }
        if self.session.protocol == Protocol::Resp3 {
            return if self.session.multi.is_some() {
                self.in_multi(incoming).await
            } else {
                self.carry_out(incoming).await
            };
        }
        if name == "ping" {
            let text = incoming.request.args.get(1).cloned().unwrap_or_default();
            let pong = Value::Array(vec![Value::Bulk(Bytes::from_static(b"pong")), Value::Bulk(text)]);
            self.answer(incoming.started, Some(incoming.info), &pong);
            return Ok(());
        }
        let refused = error(format!(
            "ERR Can't execute '{name}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context"
        ));
        self.refuse(&incoming, refused)
    }

    /// A frame came on the connection of a subscriber.
    pub(super) fn heard(&mut self, frame: &Bytes) {
        self.outbox.push(frame);
        let Some(left) = subscriptions_left(frame) else {
            return;
        };
        let count = usize::try_from(left).unwrap_or(0);
        self.session.client.subscriptions.store(count, Ordering::Relaxed);
        if count == 0 {
            self.session.subscribed = false;
            self.pinned = None;
        }
    }

    /// The client's own connection to Redis is lost, and with it what hung on it.
    pub(super) fn lost_pinned(&mut self) {
        self.pinned = None;
        if self.session.subscribed {
            // It would wait for messages that never come: it must connect anew, as with a Redis that went away.
            self.session.client.kill.cancel();
        }
    }
}

/// How many subscriptions a confirmation leaves; `None` for a message.
fn subscriptions_left(frame: &[u8]) -> Option<i64> {
    let mut buf = BytesMut::from(frame);
    let (Value::Array(items) | Value::Push(items)) = Value::decode(&mut buf).ok()?? else {
        return None;
    };
    let [Value::Bulk(kind), _, Value::Integer(left)] = items.as_slice() else {
        return None;
    };
    kind.ends_with(b"subscribe").then_some(*left)
}

/// What Redis says to an UNSUBSCRIBE from somebody without subscriptions.
fn nothing_left(incoming: &Incoming) -> Vec<Value> {
    let kind = Bytes::from_static(incoming.info.name.as_bytes());
    let left = |channel: Value| Value::Push(vec![Value::Bulk(kind.clone()), channel, Value::Integer(0)]);
    if incoming.rest().is_empty() {
        return vec![left(Value::Null)];
    }
    incoming
        .rest()
        .iter()
        .cloned()
        .map(Value::Bulk)
        .map(left)
        .collect()
}

fn not_local(channel: &[u8]) -> Value {
    let channel = String::from_utf8_lossy(channel);
    let shown: String = channel.chars().filter(|c| !c.is_control()).take(64).collect();
    error(format!(
        "ERR the channel '{shown}' is not of class 'local', and messages are not replicated yet, so this is not supported: \
         begin its name with a prefix of class 'local' (resp.classes) to have it within this region"
    ))
}
