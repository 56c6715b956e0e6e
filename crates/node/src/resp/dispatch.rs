//! One command: what it is, whether it may, and where it goes.
//!
//! | treatment | of replicated keys | of local keys |
//! |---|---|---|
//! | read | to Redis, as it came | the same |
//! | write | to the shard, as effects | to Redis, as it came |
//! | local only | refused: it cannot be replicated faithfully | to Redis, as it came |
//! | connection, server | answered here | answered here |
//!
//! Where the store is no Redis, the engine answers the everyday reads.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use cartograph_engine::api::Request as ShardRequest;
use cartograph_replica::commit::{HASH_SLOTS, hash_slot};
use cartograph_resp::table::{self, CommandInfo, Group, Treatment};
use cartograph_resp::{Request, Value};
use cartograph_store::raw::Repeat;
use xxhash_rust::xxh3::xxh3_64;

use super::commands::{self, Parsed};
use super::connection::{Connection, End, Passing, no_redis};
use super::context::{Class, Context};
use super::errors::{self, error};
use super::outbox::{Form, Keys, Order, Taken};
use super::server;
use super::session::{Asked, ReplyMode};
use crate::clock;

/// Commands that are answered together: they are also late together.
const PASSING_MAX: usize = 128;

/// A command on its way.
#[derive(Debug)]
pub(crate) struct Incoming {
    pub(crate) info: &'static CommandInfo,
    pub(super) request: Request,
    pub(super) started: Duration,
    /// Where its keys are among the arguments; `None` where that cannot be told.
    pub(super) keys: Option<Vec<usize>>,
}

impl Incoming {
    pub(super) fn keys(&self) -> impl Iterator<Item = &Bytes> {
        let positions = self.keys.as_deref().unwrap_or_default();
        positions.iter().filter_map(|at| self.request.args.get(*at))
    }

    pub(super) fn hashes(&self) -> Keys {
        self.keys.as_ref()?;
        Some(self.keys().map(|key| xxh3_64(key)).collect())
    }

    /// What it is in this form: some only write with an option.
    pub(super) fn treatment(&self) -> Treatment {
        self.info.treatment_of(&self.request.args)
    }

    /// The arguments after the name.
    pub(super) fn rest(&self) -> &[Bytes] {
        self.request.args.get(1..).unwrap_or_default()
    }

    /// The first word of the command's name: what the parsers know it by.
    pub(super) fn name(&self) -> &'static str {
        self.info.name.split('|').next().unwrap_or_default()
    }
}

/// The classes of a command's keys, together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Classes {
    /// It names none.
    None,
    /// All are replicated.
    Replicated,
    /// All are local.
    Local,
    /// Some are, some are not.
    Mixed,
}

impl Connection {
    /// Takes a command.
    pub(super) async fn command(&mut self, request: Request) -> Result<(), End> {
        let started = clock::elapsed();
        self.count();
        let incoming = match self.admit(request, started) {
            Ok(incoming) => incoming,
            Err((info, refused)) => {
                if let Some(info) = info {
                    self.worker.context.stats.rejected(info);
                }
                if let Some(multi) = &mut self.session.multi {
                    multi.broken = true;
                }
                self.answer(started, info, &refused);
                self.after_command();
                return Ok(());
            }
        };
        let done = if self.is_subscribed() {
            self.while_subscribed(incoming).await
        } else if self.session.multi.is_some() {
            self.in_multi(incoming).await
        } else {
            self.carry_out(incoming).await
        };
        self.after_command();
        if self.session.closing {
            return Err(End::AfterReplies);
        }
        done
    }

    fn count(&self) {
        use std::sync::atomic::Ordering::Relaxed;
        self.session.client.commands.fetch_add(1, Relaxed);
    }

    /// Replies are left out by CLIENT REPLY OFF, and once by SKIP.
    pub(super) fn is_silent(&self) -> bool {
        matches!(self.session.reply_mode, ReplyMode::Off | ReplyMode::Skip)
    }

    fn after_command(&mut self) {
        self.session.reply_mode = match self.session.reply_mode {
            ReplyMode::SkipNext => ReplyMode::Skip,
            ReplyMode::Skip => ReplyMode::On,
            mode @ (ReplyMode::On | ReplyMode::Off) => mode,
        };
    }

    /// Is it a command, complete, and may this client give it? In Redis's order.
    fn admit(
        &mut self,
        request: Request,
        started: Duration,
    ) -> Result<Incoming, (Option<&'static CommandInfo>, Value)> {
        let info = Context::resolve(&request.args).map_err(|refused| (None, refused))?;
        if !info.accepts(request.args.len()) {
            let text = format!("ERR wrong number of arguments for '{}' command", info.name);
            return Err((Some(info), error(text)));
        }
        self.session.client.said().last_command = info.name;
        let Some(user) = &self.session.user else {
            if server::is_free(info) {
                let keys = Some(Vec::new());
                return Ok(Incoming {
                    info,
                    request,
                    started,
                    keys,
                });
            }
            return Err((Some(info), error("NOAUTH Authentication required.")));
        };
        let keys = table::key_positions(info, &request.args).ok();
        let incoming = Incoming {
            info,
            request,
            started,
            keys,
        };
        user.check(info, incoming.keys().map(|k| &k[..]))
            .map_err(|refused| {
                let stats = &self.worker.context.stats;
                stats
                    .rights_refused
                    .fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                server::note_refused(&self.worker.context, &self.session, info);
                (Some(info), refused)
            })?;
        Ok(incoming)
    }

    pub(super) fn classes(&self, incoming: &Incoming) -> Classes {
        let context = &self.worker.context;
        incoming.keys().fold(Classes::None, |classes, key| {
            match (classes, context.class(key)) {
                (Classes::None | Classes::Replicated, Class::Replicated) => Classes::Replicated,
                (Classes::None | Classes::Local, Class::Local) => Classes::Local,
                (Classes::Mixed | Classes::Replicated | Classes::Local, _) => Classes::Mixed,
            }
        })
    }

    /// Does a command outside of MULTI.
    pub(super) async fn carry_out(&mut self, incoming: Incoming) -> Result<(), End> {
        if let Some(control) = super::transaction::control(incoming.info) {
            return self.control(control, incoming).await;
        }
        match incoming.treatment() {
            Treatment::Read => self.read(incoming).await,
            Treatment::Write => match self.classes(&incoming) {
                Classes::Local => self.pass(incoming).await,
                Classes::None | Classes::Replicated => self.write(incoming).await,
                Classes::Mixed => self.refuse(&incoming, mixed(&incoming)),
            },
            Treatment::LocalOnly => match self.classes(&incoming) {
                Classes::Local => self.pass(incoming).await,
                Classes::None if server::passes_without_keys(incoming.info) => self.pass(incoming).await,
                Classes::None | Classes::Replicated | Classes::Mixed => {
                    let refused = server::local_only(incoming.info);
                    self.refuse(&incoming, refused)
                }
            },
            Treatment::PubSub => self.pubsub(incoming).await,
            Treatment::Refused(why) => {
                let refused = server::refused(incoming.info, why);
                self.refuse(&incoming, refused)
            }
            Treatment::Connection => {
                let value = self.answered(&incoming).await;
                self.answer(incoming.started, Some(incoming.info), &value);
                Ok(())
            }
            Treatment::Server => {
                // What it says or does comes after what was asked before.
                self.submit().await;
                self.until(super::outbox::Outbox::is_idle).await?;
                let value = self.answered(&incoming).await;
                self.answer(incoming.started, Some(incoming.info), &value);
                Ok(())
            }
        }
    }

    /// The node's own answer.
    pub(super) async fn answered(&mut self, incoming: &Incoming) -> Value {
        let context = std::sync::Arc::clone(&self.worker.context);
        let asked = Asked {
            info: incoming.info,
            args: &incoming.request.args,
        };
        server::answer(&context, &mut self.session, &asked).await
    }

    #[expect(
        clippy::unnecessary_wraps,
        clippy::needless_pass_by_value,
        reason = "what a command ends with"
    )]
    pub(super) fn refuse(&mut self, incoming: &Incoming, refused: Value) -> Result<(), End> {
        self.worker.context.stats.rejected(incoming.info);
        self.answer(incoming.started, Some(incoming.info), &refused);
        Ok(())
    }

    /// Nothing may be under way that this could overtake.
    pub(super) async fn in_order(&mut self, order: Order, keys: &Keys) -> Result<(), End> {
        if self.outbox.must_wait(order, keys) {
            self.submit().await;
            let keys = keys.clone();
            self.until(move |outbox| !outbox.must_wait(order, &keys)).await?;
        }
        Ok(())
    }

    /// Waits until this region has seen what the client's token has seen.
    async fn after_token(&mut self) -> Result<(), Value> {
        let Some(token) = self.session.token.take() else {
            return Ok(());
        };
        let context = std::sync::Arc::clone(&self.worker.context);
        let call = crate::doors::Call {
            token: Some(token.clone()),
            ..crate::doors::Call::default()
        };
        let deadline = context.doors.deadline(&call);
        let waited = context.doors.wait_for_session(&call, &deadline).await;
        waited.map_err(|failure| {
            self.session.token = Some(token);
            errors::of_failure(&failure)
        })
    }

    /// A read: Redis's own answer, or the engine's where there is no Redis.
    async fn read(&mut self, incoming: Incoming) -> Result<(), End> {
        if self.session.token.is_some()
            && let Err(refused) = self.after_token().await
        {
            return self.refuse(&incoming, refused);
        }
        if self.worker.context.raw.is_none() {
            return self.read_without_redis(incoming).await;
        }
        if server::blocks(incoming.info, &incoming.request.args) {
            return self.pass_alone(incoming).await;
        }
        self.pass_shared(incoming, Repeat::Read).await
    }

    /// As it came, to Redis: a read, or anything on local keys.
    async fn pass(&mut self, incoming: Incoming) -> Result<(), End> {
        let Some(raw) = &self.worker.context.raw else {
            return self.refuse(&incoming, no_redis());
        };
        if incoming.info.group == Group::Scripting && !raw.scripts_allowed() {
            let text = "ERR scripts are off: this region's Redis does not let the node make a user for them (ACL SETUSER), \
                        so that they could reach the node's own data";
            return self.refuse(&incoming, error(text));
        }
        if server::blocks(incoming.info, &incoming.request.args) {
            return self.pass_alone(incoming).await;
        }
        self.pass_shared(incoming, Repeat::Never).await
    }

    /// On the connection that all clients of this thread share. Commands that follow each other are sent together, and
    /// answered together.
    async fn pass_shared(&mut self, incoming: Incoming, repeat: Repeat) -> Result<(), End> {
        let keys = incoming.hashes();
        self.in_order(Order::Read, &keys).await?;
        if let Some(passing) = &mut self.passing
            && passing.repeat == repeat
            && passing.count < PASSING_MAX
            && !matches!(self.session.reply_mode, ReplyMode::Skip | ReplyMode::SkipNext)
            && self.outbox.extend(passing.slot, incoming.info, &keys)
        {
            passing.bytes.extend_from_slice(&incoming.request.raw);
            passing.count += 1;
            return Ok(());
        }
        self.submit_passing();
        let slot = self.outbox.take(Taken {
            info: Some(incoming.info),
            started: incoming.started,
            order: Order::Read,
            keys,
            protocol: self.session.protocol,
            silent: self.is_silent(),
            form: None,
        });
        self.passing = Some(Passing {
            bytes: BytesMut::from(&incoming.request.raw[..]),
            slot,
            count: 1,
            repeat,
        });
        Ok(())
    }

    /// A write of replicated keys.
    async fn write(&mut self, incoming: Incoming) -> Result<(), End> {
        if self.session.token.is_some()
            && let Err(refused) = self.after_token().await
        {
            return self.refuse(&incoming, refused);
        }
        match commands::parse_write(incoming.name(), incoming.rest()) {
            Err(refused) => {
                self.answer(incoming.started, Some(incoming.info), &refused);
                Ok(())
            }
            Ok(Parsed::Reply(value)) => {
                self.answer(incoming.started, Some(incoming.info), &value);
                Ok(())
            }
            Ok(Parsed::Do { command, shape }) => {
                self.ask_shard(&incoming, ShardRequest::one(command), Form::One(shape))
                    .await
            }
            Ok(Parsed::Block {
                command,
                shape,
                timeout,
                keys,
            }) => self.block(incoming, command, shape, timeout, keys).await,
        }
    }

    /// Hands a request to the shard of the command's keys.
    pub(super) async fn ask_shard(
        &mut self,
        incoming: &Incoming,
        request: ShardRequest,
        form: Form,
    ) -> Result<(), End> {
        let shard = match self.shard_of(incoming.keys()) {
            Ok(shard) => shard,
            Err(refused) => return self.refuse(incoming, refused),
        };
        let keys = incoming.hashes();
        self.in_order(Order::Write, &keys).await?;
        let slot = self.outbox.take(Taken {
            info: Some(incoming.info),
            started: incoming.started,
            order: Order::Write,
            keys,
            protocol: self.session.protocol,
            silent: self.is_silent(),
            form: Some(form),
        });
        self.writes.push((shard, request, slot));
        Ok(())
    }

    /// The one shard of these keys.
    pub(super) fn shard_of<'a>(&self, keys: impl Iterator<Item = &'a Bytes>) -> Result<usize, Value> {
        let count = self.worker.context.doors.shards.len();
        let index = |key: &Bytes| usize::from(hash_slot(key)) * count / usize::from(HASH_SLOTS);
        let mut found = None;
        for shard in keys.map(index) {
            if found.is_some_and(|f| f != shard) {
                return Err(error(
                    "ERR this command's keys are in several shards of this region: give them one {hash tag}",
                ));
            }
            found = Some(shard);
        }
        Ok(found.unwrap_or(0))
    }
}

pub(super) fn mixed(incoming: &Incoming) -> Value {
    error(format!(
        "ERR '{}' cannot be replicated: some of its keys are of class 'local' (resp.classes) and some are replicated; \
         name keys of one class",
        incoming.info.name
    ))
}
