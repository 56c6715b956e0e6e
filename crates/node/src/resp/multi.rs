//! MULTI, EXEC, DISCARD, WATCH and UNWATCH on a connection; see [`super::transaction`] for what a transaction may be.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::{Bytes, BytesMut};
use cartograph_engine::api::Request as ShardRequest;
use cartograph_engine::{Command, Reply};
use cartograph_resp::table::{NO_MULTI, Treatment};
use cartograph_resp::{Delimiter, Value};
use cartograph_store::raw::Repeat;

use super::connection::{Connection, End, no_redis};
use super::context::Class;
use super::dispatch::{Classes, Incoming, mixed};
use super::errors::{self, error};
use super::outbox::{Form, Order, Taken};
use super::server;
use super::session::Multi;
use super::transaction::{Control, Part, Plan, Way, by_engine, control, wrapped};

/// Commands that one MULTI may queue.
const QUEUED_MAX: usize = 65_536;

/// Keys that one client may watch.
const WATCHED_MAX: usize = 4_096;

impl Connection {
    /// MULTI and its kin, outside of a transaction.
    pub(super) async fn control(&mut self, control: Control, incoming: Incoming) -> Result<(), End> {
        let value = match control {
            Control::Multi => {
                self.session.multi = Some(Multi::default());
                self.session.client.multi.store(0, Ordering::Relaxed);
                Value::Simple("OK".into())
            }
            Control::Exec => error("ERR EXEC without MULTI"),
            Control::Discard => error("ERR DISCARD without MULTI"),
            Control::Unwatch => {
                self.unwatch();
                Value::Simple("OK".into())
            }
            Control::Watch => return self.watch(incoming).await,
        };
        self.answer(incoming.started, Some(incoming.info), &value);
        Ok(())
    }

    /// A command while a transaction is queued.
    pub(super) async fn in_multi(&mut self, incoming: Incoming) -> Result<(), End> {
        let value = match control(incoming.info) {
            Some(Control::Exec) => return self.exec(incoming).await,
            Some(Control::Discard) => {
                self.end_multi();
                self.unwatch();
                Value::Simple("OK".into())
            }
            // As Redis: neither ends the transaction nor breaks it.
            Some(Control::Multi) => error("ERR MULTI calls can not be nested"),
            Some(Control::Watch) => error("ERR WATCH inside MULTI is not allowed"),
            None if server::ends_multi(incoming.info) => {
                // QUIT and RESET act at once.
                let value = self.answered(&incoming).await;
                self.end_multi();
                self.unwatch();
                value
            }
            None | Some(Control::Unwatch) => return self.queue(incoming),
        };
        self.answer(incoming.started, Some(incoming.info), &value);
        Ok(())
    }

    fn queue(&mut self, incoming: Incoming) -> Result<(), End> {
        let refused = self.why_not_queued(&incoming);
        let bytes_max = self.worker.context.config.query_bytes_max;
        let Some(multi) = &mut self.session.multi else {
            return Ok(());
        };
        multi.bytes += incoming.request.raw.len();
        let value = if let Some(refused) = refused {
            multi.broken = true;
            refused
        } else if multi.commands.len() >= QUEUED_MAX || multi.bytes > bytes_max {
            multi.broken = true;
            error(format!(
                "ERR this MULTI is too large: at most {QUEUED_MAX} commands and resp.query_bytes_max bytes"
            ))
        } else {
            let started = incoming.started;
            let info = incoming.info;
            multi.commands.push(incoming);
            let count = multi.commands.len();
            self.session.client.multi.store(count, Ordering::Relaxed);
            let value = Value::Simple("QUEUED".into());
            // Redis counts what runs, not what is queued.
            let _ = info;
            self.answer(started, None, &value);
            return Ok(());
        };
        self.refuse(&incoming, value)
    }

    /// What can be told before the transaction runs.
    fn why_not_queued(&self, incoming: &Incoming) -> Option<Value> {
        if incoming.info.flags.has(NO_MULTI) {
            return Some(error("ERR Command not allowed inside a transaction"));
        }
        match incoming.treatment() {
            Treatment::Refused(why) => Some(server::refused(incoming.info, why)),
            Treatment::LocalOnly => match self.classes(incoming) {
                Classes::Local => None,
                Classes::None if server::passes_without_keys(incoming.info) => None,
                Classes::None | Classes::Replicated | Classes::Mixed => {
                    Some(server::local_only(incoming.info))
                }
            },
            Treatment::Write => (self.classes(incoming) == Classes::Mixed).then(|| mixed(incoming)),
            Treatment::PubSub => Some(error("ERR publishing inside a transaction is not supported")),
            Treatment::Read | Treatment::Connection | Treatment::Server => None,
        }
    }

    fn end_multi(&mut self) -> Option<Multi> {
        self.session.client.multi.store(usize::MAX, Ordering::Relaxed);
        self.session.multi.take()
    }

    pub(super) fn unwatch(&mut self) {
        self.session.watched.clear();
        self.session.client.watched.store(0, Ordering::Relaxed);
        if self.session.watches_local {
            // Its watches go with the connection.
            self.pinned = None;
            self.session.watches_local = false;
        }
    }

    async fn watch(&mut self, incoming: Incoming) -> Result<(), End> {
        let (mut replicated, mut local) = (Vec::new(), Vec::new());
        for key in incoming.keys() {
            match self.worker.context.class(key) {
                Class::Replicated => replicated.push(key.clone()),
                Class::Local => local.push(key.clone()),
            }
        }
        if self.session.watched.len() + replicated.len() + local.len() > WATCHED_MAX {
            let text = format!("ERR at most {WATCHED_MAX} keys can be watched");
            return self.refuse(&incoming, error(text));
        }
        // A watch begins after what was asked before it.
        self.submit().await;
        self.until(super::outbox::Outbox::is_idle).await?;
        let mut value = Value::Simple("OK".into());
        if !replicated.is_empty()
            && let Err(refused) = self.watch_replicated(&replicated).await?
        {
            value = refused;
        }
        if !local.is_empty()
            && let Err(refused) = self.watch_local(&local).await?
        {
            value = refused;
        }
        let count = self.session.watched.len() + local.len();
        self.session.client.watched.store(count, Ordering::Relaxed);
        self.answer(incoming.started, Some(incoming.info), &value);
        Ok(())
    }

    async fn watch_replicated(&mut self, keys: &[Bytes]) -> Result<Result<(), Value>, End> {
        let context = Arc::clone(&self.worker.context);
        let limit = context.doors.config.limits.request_timeout;
        let shard = match self.shard_of(keys.iter()) {
            Ok(shard) => shard,
            Err(refused) => return Ok(Err(refused)),
        };
        let Some(handle) = context.doors.shards.get(shard) else {
            return Ok(Err(error("ERR this node has no shard for the key")));
        };
        let names: Vec<Vec<u8>> = keys.iter().map(|k| k.to_vec()).collect();
        let stamps = Command::Stamp { keys: names.clone() };
        let asked = handle.request(ShardRequest::one(stamps), limit);
        let done = self.while_listening(asked).await?;
        let replies = match done {
            Ok(done) => done.replies,
            Err(failed) => return Ok(Err(errors::of_failure(&failed.into()))),
        };
        let stamps = replies.into_iter().flat_map(|reply| {
            if let Reply::Stamps(stamps) = reply {
                stamps
            } else {
                Vec::new()
            }
        });
        for (key, stamp) in names.into_iter().zip(stamps) {
            // The first look counts.
            if !self.session.watched.iter().any(|(k, _)| *k == key) {
                self.session.watched.push((key, stamp));
            }
        }
        Ok(Ok(()))
    }

    async fn watch_local(&mut self, keys: &[Bytes]) -> Result<Result<(), Value>, End> {
        let mut words = vec![Bytes::from_static(b"WATCH")];
        words.extend(keys.iter().cloned());
        let mut bytes = BytesMut::new();
        cartograph_resp::encode_command(&words, &mut bytes);
        self.session.watches_local = true;
        match self.on_pinned(bytes.freeze(), 1).await? {
            Ok(frames) if frames.first().is_some_and(|f| f.starts_with(b"+")) => Ok(Ok(())),
            Ok(frames) => Ok(Err(Value::Raw(frames.into_iter().next().unwrap_or_default()))),
            Err(refused) => Ok(Err(refused)),
        }
    }

    /// EXEC.
    async fn exec(&mut self, incoming: Incoming) -> Result<(), End> {
        let Some(multi) = self.end_multi() else {
            return Ok(());
        };
        if multi.broken {
            self.unwatch();
            let text = "EXECABORT Transaction discarded because of previous errors.";
            self.answer(incoming.started, Some(incoming.info), &error(text));
            return Ok(());
        }
        self.submit().await;
        self.until(super::outbox::Outbox::is_idle).await?;
        let done = self.exec_queued(&incoming, multi).await;
        self.unwatch();
        done
    }

    async fn exec_queued(&mut self, exec: &Incoming, multi: Multi) -> Result<(), End> {
        let mut kind = Kind::Neither;
        for queued in &multi.commands {
            let of = match queued.treatment() {
                Treatment::Write if self.classes(queued) == Classes::Local => Kind::Local,
                Treatment::LocalOnly => Kind::Local,
                Treatment::Write => Kind::Replicated,
                Treatment::Read
                | Treatment::Connection
                | Treatment::Server
                | Treatment::PubSub
                | Treatment::Refused(_) => Kind::Neither,
            };
            kind = match (kind, of) {
                (kind, Kind::Neither) => kind,
                (Kind::Neither, of) => of,
                (kind, of) if kind == of => kind,
                _ => {
                    let text = "EXECABORT Transaction discarded: it writes replicated keys and keys of class 'local' \
                                (resp.classes), which cannot be done in one step; write keys of one class";
                    return self.refuse(exec, error(text));
                }
            };
        }
        let watches = !self.session.watched.is_empty();
        if self.session.watches_local && (watches || kind == Kind::Replicated) {
            let text = "EXECABORT Transaction discarded: keys of both classes are watched or written; watch keys of one class";
            return self.refuse(exec, error(text));
        }
        let by_engine = kind == Kind::Replicated
            || self.worker.context.raw.is_none()
            || (watches && kind == Kind::Neither);
        if by_engine {
            self.exec_by_engine(exec, multi).await
        } else if watches {
            let text = "EXECABORT Transaction discarded: it watches replicated keys and writes keys of class 'local'";
            self.refuse(exec, error(text))
        } else {
            self.exec_by_redis(exec, multi).await
        }
    }

    async fn exec_by_engine(&mut self, exec: &Incoming, multi: Multi) -> Result<(), End> {
        let mut parts = Vec::with_capacity(multi.commands.len());
        let mut commands = Vec::new();
        let mut keys = Vec::new();
        for queued in multi.commands {
            let treatment = queued.treatment();
            let part = match treatment {
                Treatment::Read | Treatment::Write => {
                    let write = treatment == Treatment::Write;
                    match by_engine(queued.name(), queued.rest(), write) {
                        Way::Engine(command, shape) => {
                            keys.extend(queued.keys().cloned());
                            commands.push(command);
                            Part::Engine(shape)
                        }
                        Way::Known(value) => Part::Value(value),
                        Way::Redis => {
                            let text = format!(
                                "EXECABORT Transaction discarded: '{}' cannot stand in a MULTI that writes replicated \
                                 keys or watches them; read before MULTI or after EXEC",
                                queued.info.name
                            );
                            return self.refuse(exec, error(text));
                        }
                    }
                }
                Treatment::Connection
                | Treatment::Server
                | Treatment::LocalOnly
                | Treatment::PubSub
                | Treatment::Refused(_) => Part::Value(self.answered_in_multi(&queued).await),
            };
            parts.push(part);
        }
        let request = ShardRequest {
            commands,
            idempotency_key: None,
            watched: self.session.watched.clone(),
        };
        let shard = match self.shard_of(keys.iter()) {
            Ok(shard) => shard,
            Err(refused) => return self.refuse(exec, refused),
        };
        let slot = self.outbox.take(Taken {
            info: Some(exec.info),
            started: exec.started,
            order: Order::Write,
            keys: None,
            protocol: self.session.protocol,
            silent: self.is_silent(),
            form: Some(Form::Transaction(Plan(parts))),
        });
        self.writes.push((shard, request, slot));
        Ok(())
    }

    /// What the node answers itself, in its place within a transaction.
    async fn answered_in_multi(&mut self, queued: &Incoming) -> Value {
        if control(queued.info) == Some(Control::Unwatch) {
            return Value::Simple("OK".into());
        }
        self.answered(queued).await
    }

    async fn exec_by_redis(&mut self, exec: &Incoming, multi: Multi) -> Result<(), End> {
        let mut parts = Vec::with_capacity(multi.commands.len());
        let mut raws = Vec::new();
        for queued in &multi.commands {
            let part = match queued.treatment() {
                Treatment::Read | Treatment::Write | Treatment::LocalOnly => {
                    raws.push(&queued.request.raw);
                    Part::Redis
                }
                Treatment::Connection | Treatment::Server | Treatment::PubSub | Treatment::Refused(_) => {
                    Part::Value(self.answered_in_multi(queued).await)
                }
            };
            parts.push(part);
        }
        let (bytes, count) = wrapped(raws.iter().copied());
        let plan = Plan(parts);
        let frames = if self.session.watches_local {
            self.on_pinned(bytes, count).await?
        } else {
            self.on_lane(bytes, count).await?
        };
        let value = match frames {
            Err(refused) => refused,
            Ok(frames) => executed(frames, plan, self.session.protocol),
        };
        self.answer(exec.started, Some(exec.info), &value);
        Ok(())
    }

    /// Asks the shared connection, and waits for the frames.
    async fn on_lane(&mut self, bytes: Bytes, count: usize) -> Result<Result<Vec<Bytes>, Value>, End> {
        let Some(lane) = self.worker.lane(self.session.protocol) else {
            return Ok(Err(no_redis()));
        };
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let to = Box::new(move |result| {
            let _ = sender.send(result);
        });
        if let Err(refused) = lane.submit(&bytes, count, Repeat::Never, to) {
            return Ok(Err(errors::of_raw(&refused)));
        }
        let limit = self.worker.context.doors.config.limits.request_timeout;
        let asked = tokio::time::timeout(limit, receiver);
        Ok(match self.while_listening(asked).await? {
            Ok(Ok(Ok(replies))) => Ok(replies.into_frames()),
            Ok(Ok(Err(failed))) => Err(errors::of_raw(&failed)),
            Ok(Err(_)) | Err(_) => Err(errors::late(true, limit)),
        })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Neither,
    Replicated,
    Local,
}

/// EXEC's reply out of Redis's frames: `+OK`, `+QUEUED` for each, then the array.
fn executed(frames: Vec<Bytes>, plan: Plan, protocol: cartograph_resp::Protocol) -> Value {
    let Some(last) = frames.into_iter().next_back() else {
        return error("ERR the store gave no reply");
    };
    if !last.starts_with(b"*") || last.starts_with(b"*-1") {
        return Value::Raw(last);
    }
    let Some(begin) = last.windows(2).position(|w| w == b"\r\n") else {
        return Value::Raw(last);
    };
    let mut elements = BytesMut::from(last.get(begin + 2..).unwrap_or_default());
    let mut found = Vec::new();
    let mut delimiter = Delimiter::new();
    while let Ok(Some(frame)) = delimiter.next(&mut elements) {
        found.push(frame);
    }
    let mut out = BytesMut::new();
    plan.weave(&found, protocol, &mut out);
    Value::Raw(out.freeze())
}
