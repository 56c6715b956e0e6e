//! The writer of one shard: a task with one connection, which executes claims and commits in order.
//!
//! Several commits are in flight at once; the head's batch and sequence make a later one fail where an earlier one
//! did. The connection never reconnects by itself: once it breaks, every outstanding and later commit is unknown,
//! until a claim makes a new one (with a new fence, so that whatever still lingers on the old one is refused).
//!
//! `NOSCRIPT` (a restart, a failover, SCRIPT FLUSH) means that this commit, and so every later one that was in
//! flight, did nothing: they are sent again with the script's text, one after the other.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ::redis::aio::MultiplexedConnection;
use ::redis::{Cmd, Pipeline, Value, cmd};
use cartograph_crdt::ShardId;
use cartograph_replica::commit::{BatchId, Claim, Commit, Fence, Head, Outcome};
use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesOrdered;
use tokio::sync::{mpsc, oneshot};

use super::connect::Endpoint;
use super::reply::{self, Fault};
use super::script::{CLAIM, COMMIT};
use super::server::Server;
use super::{RedisConfig, encode, layout};
use crate::error::Error;
use crate::kv::keys;
use crate::store::Durability;

/// What a writer is asked for.
pub(crate) enum Request {
    Claim(oneshot::Sender<Result<Claim, Error>>),
    Commit(Box<Commit>, oneshot::Sender<Outcome>),
    Check(oneshot::Sender<Result<(), Error>>),
    Release(oneshot::Sender<()>),
}

/// A commit that waits for its outcome.
type Waiting = (Box<Commit>, oneshot::Sender<Outcome>);

type Replies = Result<Vec<Value>, Fault>;

pub(crate) struct Writer {
    shard: ShardId,
    endpoint: Endpoint,
    config: RedisConfig,
    /// Counts claims, so that readers leave a server behind that the writer has left.
    epoch: Arc<AtomicU64>,
    connection: Option<MultiplexedConnection>,
    in_flight: FuturesOrdered<BoxFuture<'static, Replies>>,
    /// One for each in flight, in order.
    waiting: VecDeque<Waiting>,
    /// Why there is no connection.
    broken: String,
}

impl Writer {
    /// Starts the writer's task; it ends when the sender is dropped.
    pub(crate) fn start(
        shard: ShardId,
        endpoint: Endpoint,
        config: RedisConfig,
        epoch: Arc<AtomicU64>,
    ) -> mpsc::Sender<Request> {
        let (sender, requests) = mpsc::channel(crate::store::COMMITS_QUEUED_MAX);
        let writer = Writer {
            shard,
            endpoint,
            config,
            epoch,
            connection: None,
            in_flight: FuturesOrdered::new(),
            waiting: VecDeque::new(),
            broken: "the shard is not claimed".to_owned(),
        };
        tokio::spawn(writer.run(requests));
        sender
    }

    async fn run(mut self, mut requests: mpsc::Receiver<Request>) {
        loop {
            let has_room = self.waiting.len() < self.config.commits_in_flight.max(1);
            tokio::select! {
                biased;
                Some(replies) = self.in_flight.next() => self.settle(replies).await,
                request = requests.recv(), if has_room => match request {
                    None => break,
                    Some(request) => self.take(request).await,
                },
            }
        }
        self.drain().await;
    }

    async fn take(&mut self, request: Request) {
        match request {
            Request::Commit(commit, outcome) => self.send(commit, outcome),
            Request::Claim(answer) => {
                self.give_up("the shard was claimed anew");
                let claim = self.claim().await;
                let _ = answer.send(claim);
            }
            Request::Check(answer) => {
                let checked = self.check().await;
                let _ = answer.send(checked);
            }
            Request::Release(answer) => {
                self.drain().await;
                self.give_up("the shard was released");
                let _ = answer.send(());
            }
        }
    }

    fn send(&mut self, commit: Box<Commit>, outcome: oneshot::Sender<Outcome>) {
        let Some(connection) = self.connection.clone() else {
            let _ = outcome.send(unknown(&self.broken));
            return;
        };
        let command = encode::command(&commit, self.endpoint.metadata_db, &COMMIT, true);
        let commands = self.with_durability(command);
        self.waiting.push_back((commit, outcome));
        self.in_flight.push_back(Box::pin(send(connection, commands)));
    }

    /// The commands of one commit: the script, and what waits until it is as durable as it must be.
    fn with_durability(&self, command: Cmd) -> Pipeline {
        let mut commands = Pipeline::with_capacity(2);
        commands.add_command(command);
        // Less than what the connection itself waits for a reply.
        let timeout_ms = u64::try_from(self.config.commit_timeout.as_millis() / 2).unwrap_or(u64::MAX);
        match self.config.durability {
            Durability::Process => {}
            Durability::Disk if self.config.fsync_always => {}
            Durability::Disk => {
                let mut wait = cmd("WAITAOF");
                wait.arg(1).arg(0).arg(timeout_ms);
                commands.add_command(wait);
            }
            Durability::Replica { count } => {
                let mut wait = cmd("WAIT");
                wait.arg(count).arg(timeout_ms);
                commands.add_command(wait);
            }
        }
        commands
    }

    /// Takes the replies of the oldest commit in flight.
    async fn settle(&mut self, replies: Replies) {
        let Some(waiting) = self.waiting.pop_front() else {
            return;
        };
        if is_no_script(&replies) {
            self.send_again(waiting).await;
            return;
        }
        let outcome = self.outcome(&waiting.0, replies);
        self.answer(waiting, outcome);
    }

    fn answer(&mut self, waiting: Waiting, outcome: Outcome) {
        if let Outcome::Unknown { reason } = &outcome {
            let reason = reason.clone();
            let _ = waiting.1.send(outcome);
            self.give_up(&reason);
        } else {
            let _ = waiting.1.send(outcome);
        }
    }

    /// `first` met a server without the script. Whatever was behind it did nothing, too.
    async fn send_again(&mut self, first: Waiting) {
        let mut again = VecDeque::from([first]);
        while let Some(replies) = self.in_flight.next().await {
            let Some(waiting) = self.waiting.pop_front() else {
                break;
            };
            let fenced = matches!(self.outcome(&waiting.0, replies.clone()), Outcome::Fenced { .. });
            if fenced || is_no_script(&replies) {
                again.push_back(waiting);
            } else {
                let outcome = self.outcome(&waiting.0, replies);
                self.answer(waiting, outcome);
            }
        }
        for waiting in again {
            let Some(connection) = self.connection.clone() else {
                let _ = waiting.1.send(unknown(&self.broken));
                continue;
            };
            let command = encode::command(&waiting.0, self.endpoint.metadata_db, &COMMIT, false);
            let replies = send(connection, self.with_durability(command)).await;
            let outcome = self.outcome(&waiting.0, replies);
            self.answer(waiting, outcome);
        }
    }

    async fn drain(&mut self) {
        while let Some(replies) = self.in_flight.next().await {
            self.settle(replies).await;
        }
    }

    /// Does the connection still stand? Commits in flight say so themselves, and nothing is to wait behind them.
    async fn check(&mut self) -> Result<(), Error> {
        if !self.waiting.is_empty() {
            return Ok(());
        }
        let answered = match &mut self.connection {
            Some(connection) => reply::ask(connection, &cmd("PING")).await,
            None => Err(Fault::Broken(self.broken.clone())),
        };
        match answered {
            // An error reply came over the connection, too: it stands.
            Ok(_) | Err(Fault::Server(_)) => Ok(()),
            Err(fault @ Fault::Broken(_)) => {
                self.give_up("the connection to the store broke");
                Err(self.endpoint.error(fault))
            }
        }
    }

    /// Drops the connection; everything outstanding is unknown.
    fn give_up(&mut self, reason: &str) {
        self.connection = None;
        self.in_flight = FuturesOrdered::new();
        reason.clone_into(&mut self.broken);
        for (_, outcome) in self.waiting.drain(..) {
            let _ = outcome.send(unknown(reason));
        }
    }

    fn outcome(&self, commit: &Commit, replies: Replies) -> Outcome {
        match self.parse(commit, replies) {
            Ok(outcome) => outcome,
            // Every error reply comes before the script's writing part, which is run protected.
            Err(Fault::Server(words)) => Outcome::Refused {
                reason: reply::with_advice(&words),
            },
            Err(Fault::Broken(reason)) => unknown(&reason),
        }
    }

    fn parse(&self, commit: &Commit, replies: Replies) -> Result<Outcome, Fault> {
        let mut replies = replies?.into_iter();
        let script = replies.next().ok_or_else(|| reply::unexpected("the reply"))?;
        let outcome = if script == Value::Int(1) {
            Outcome::Committed
        } else {
            parse_refusal(commit, script)?
        };
        let Some(waited) = replies.next() else {
            return Ok(outcome);
        };
        if outcome == Outcome::Committed {
            self.check_waited(waited)?;
        }
        Ok(outcome)
    }

    /// Was the commit confirmed by as many as it must be? If not, it is written, but not safe: unknown.
    fn check_waited(&self, waited: Value) -> Result<(), Fault> {
        let unsafe_yet = |words: String| Fault::Broken(format!("the commit is written, but {words}"));
        let (confirmed, wanted, by) = match self.config.durability {
            Durability::Process => return Ok(()),
            Durability::Disk => {
                let [local, _] = reply::exactly(waited).map_err(|f| unsafe_yet(format!("{f:?}")))?;
                (reply::integer(local)?, 1, "disks")
            }
            Durability::Replica { count } => {
                let confirmed = reply::integer(waited).map_err(|f| unsafe_yet(format!("{f:?}")))?;
                (confirmed, i64::from(count), "replicas")
            }
        };
        if confirmed < wanted {
            return Err(unsafe_yet(format!(
                "{confirmed} of {wanted} {by} confirmed it in time"
            )));
        }
        Ok(())
    }

    /// Connects and claims. Where that fails, the shard stays without a connection.
    async fn claim(&mut self) -> Result<Claim, Error> {
        let timeout = self.config.commit_timeout;
        let connecting = self.endpoint.connect(0, timeout).await;
        let mut connection = connecting.map_err(|f| self.endpoint.error(f))?;
        let claim = claim_on(&mut connection, &self.endpoint, &self.config, self.shard).await?;
        self.connection = Some(connection);
        self.epoch.fetch_add(1, Ordering::SeqCst);
        Ok(claim)
    }
}

/// Looks at the server, raises the fence and reads the head.
async fn claim_on(
    connection: &mut MultiplexedConnection,
    endpoint: &Endpoint,
    config: &RedisConfig,
    shard: ShardId,
) -> Result<Claim, Error> {
    let fault = |f: Fault| endpoint.error(f);
    let address = &endpoint.address;
    let info = reply::ask(connection, &cmd("INFO")).await.and_then(reply::text);
    let server = Server::parse(&info.map_err(fault)?);
    server.check(address, config.durability, config.fsync_always)?;
    // Where loading is not allowed, the first commit brings the text.
    let _ = reply::ask(connection, cmd("SCRIPT").arg("LOAD").arg(COMMIT.text)).await;
    let mut claim = cmd("EVAL");
    claim.arg(CLAIM.text).arg(0).arg(endpoint.metadata_db);
    claim.arg(layout::head(shard)).arg(layout::head_fields(shard));
    let found = reply::ask(connection, &claim).await.map_err(fault)?;
    let mut parts = reply::array(found).map_err(fault)?.into_iter();
    let position = parts.next().map(reply::text).transpose().map_err(fault)?;
    let position = position.unwrap_or_default();
    let (Some(fields), Some(time)) = (parts.next(), parts.next()) else {
        return Err(Error::Damaged {
            place: address.clone(),
            reason: format!("the head of shard {shard} reads {position:?}"),
        });
    };
    let mut head = parse_head(&position).map_err(fault)?;
    for (name, blob) in reply::pairs(fields).map_err(fault)? {
        if let Some(field) = keys::parse_field_name(&name) {
            head.fields.insert(field, blob);
        }
    }
    if config.durability == Durability::Process && !server.has_aof() {
        tracing::warn!(
            store = address,
            "the store keeps no append-only file: acknowledged writes are lost when it crashes"
        );
    }
    Ok(Claim {
        head,
        server: server.identity(),
        time_ms: reply::time_ms(time).map_err(fault)?,
    })
}

fn unknown(reason: &str) -> Outcome {
    Outcome::Unknown {
        reason: reason.to_owned(),
    }
}

/// Sends commands and takes their replies, errors of the server among them.
async fn send(mut connection: MultiplexedConnection, commands: Pipeline) -> Replies {
    let count = commands.len();
    Ok(connection.send_packed_commands(&commands, 0, count).await?)
}

fn is_no_script(replies: &Replies) -> bool {
    match replies {
        Ok(values) => matches!(values.first(), Some(Value::ServerError(e)) if e.code() == "NOSCRIPT"),
        Err(fault) => fault.code() == "NOSCRIPT",
    }
}

/// Reads "fence batch sequence".
fn parse_head(text: &str) -> Result<Head, Fault> {
    let mut numbers = text.split(' ').map(str::parse::<u64>);
    let mut next = || match numbers.next() {
        Some(Ok(n)) => Ok(n),
        Some(Err(_)) | None => Err(reply::unexpected("the head")),
    };
    Ok(Head {
        fence: Fence(next()?),
        batch: BatchId(next()?),
        sequence: next()?,
        ..Head::default()
    })
}

/// Reads what the commit script says when it did not commit.
fn parse_refusal(commit: &Commit, value: Value) -> Result<Outcome, Fault> {
    let mut values = reply::array(value)?.into_iter();
    let mut next = || values.next().ok_or_else(|| reply::unexpected("the reply"));
    match reply::text(next()?)?.as_str() {
        "F" => {
            // No head at all: the store is empty.
            let head = reply::text(next()?)?;
            let head = if head.is_empty() { "0 0 0" } else { &head };
            let head = parse_head(head)?;
            Ok(Outcome::Fenced {
                fence: head.fence,
                batch: head.batch,
            })
        }
        "V" => {
            let time_ms = reply::time_ms(Value::Array(vec![next()?, next()?]))?;
            let mut mismatches = Vec::new();
            for number in values {
                let number = usize::try_from(reply::integer(number)?).unwrap_or(usize::MAX);
                let guard = commit.guards.get(number);
                mismatches.push(guard.ok_or_else(|| reply::unexpected("a guard"))?.key.clone());
            }
            Ok(Outcome::ViewMismatch {
                keys: mismatches,
                time_ms,
            })
        }
        "E" => {
            let wrote = reply::integer(next()?)? != 0;
            let reason = reply::with_advice(&reply::text(next()?)?);
            Ok(if wrote {
                Outcome::Unknown {
                    reason: format!("the commit failed half way: {reason}"),
                }
            } else {
                Outcome::Refused { reason }
            })
        }
        _ => Err(reply::unexpected("the reply")),
    }
}
