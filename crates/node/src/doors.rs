//! What every door shares: the operations, with sessions, idempotency, deadlines and error codes.
//!
//! A door (HTTP, gRPC, Online Boutique's) parses, calls one of these, and shows the answer in its own words. Reads are
//! answered from the views, writes by the shard. A request waits for what its session token has seen before it does
//! anything; past its deadline it is answered *unknown* if the shard had it, else *definite*.

pub(crate) mod explain;
pub(crate) mod failure;
pub(crate) mod keys;
mod log_tail;

use std::sync::Arc;
use std::time::Duration;

use cartograph_commerce::{Cart, CartCommand, CartId, CartPolicy, Line};
use cartograph_crdt::ShardId;
use cartograph_engine::ShardStatus;
use cartograph_engine::number::parse_i64;
use cartograph_proto::token::Token;
use cartograph_replica::commit::{HASH_SLOTS, hash_slot};
use cartograph_store::{Read, ReadReply, Store};
use tokio_util::sync::CancellationToken;

use crate::clock;
use crate::config::Config;
use crate::driver::ShardHandle;
use crate::metrics::Metrics;
use crate::peers::Peers;
use failure::{Failure, kinds};

/// The longest idempotency key, in bytes.
const IDEMPOTENCY_KEY_BYTES_MAX: usize = 255;

/// How long a shard may take to say how it is.
const STATUS_MAX: Duration = Duration::from_secs(2);

/// Everything that doors need.
pub(crate) struct Doors {
    pub(crate) config: Config,
    pub(crate) shards: Vec<ShardHandle>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) peers: Arc<Peers>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) policy: CartPolicy,
    /// The node is stopping: no new work.
    pub(crate) stopping: CancellationToken,
}

/// What a caller said besides what it wants.
#[derive(Clone, Debug, Default)]
pub(crate) struct Call {
    pub(crate) idempotency_key: Option<Vec<u8>>,
    pub(crate) token: Option<Token>,
    /// The caller's own deadline, where it is sooner than ours.
    pub(crate) timeout: Option<Duration>,
}

impl Call {
    /// Checks what came in headers or metadata.
    pub(crate) fn parse(
        idempotency_key: Option<&[u8]>,
        token: Option<&str>,
        timeout: Option<Duration>,
    ) -> Result<Call, Failure> {
        let key = idempotency_key.map(check_idempotency_key).transpose()?;
        Ok(Call {
            idempotency_key: key,
            token: token.map(Token::from_text).transpose()?,
            timeout,
        })
    }
}

fn check_idempotency_key(key: &[u8]) -> Result<Vec<u8>, Failure> {
    let printable = key.iter().all(|b| (0x20..0x7f).contains(b));
    if key.is_empty() || key.len() > IDEMPOTENCY_KEY_BYTES_MAX || !printable {
        let message = format!(
            "the idempotency key has {} bytes: expected 1 to {IDEMPOTENCY_KEY_BYTES_MAX}, printable ASCII",
            key.len()
        );
        return Err(Failure::new(kinds::IDEMPOTENCY_KEY, message));
    }
    Ok(key.to_vec())
}

/// An answer, and what its session has seen with it.
#[derive(Clone, Debug)]
pub(crate) struct Answered<T> {
    pub(crate) value: T,
    pub(crate) token: Option<String>,
}

/// When a request must be answered.
pub(crate) struct Deadline {
    started: Duration,
    limit: Duration,
}

impl Deadline {
    pub(crate) fn left(&self) -> Duration {
        let passed = clock::elapsed().saturating_sub(self.started);
        self.limit.saturating_sub(passed)
    }
}

impl Doors {
    /// The shard of a key: Redis's hash slots, in equal ranges.
    pub(crate) fn shard_of(&self, key: &[u8]) -> Result<&ShardHandle, Failure> {
        let slot = usize::from(hash_slot(key));
        let index = slot * self.shards.len() / usize::from(HASH_SLOTS);
        self.shards
            .get(index)
            .ok_or_else(|| Failure::new(kinds::NOT_READY, "this node has no shard for the key"))
    }

    pub(crate) fn deadline(&self, call: &Call) -> Deadline {
        let ours = self.config.limits.request_timeout;
        Deadline {
            started: clock::elapsed(),
            limit: call.timeout.map_or(ours, |theirs| theirs.min(ours)),
        }
    }

    /// Waits until this region has seen what the caller's session has seen.
    pub(crate) async fn wait_for_session(&self, call: &Call, deadline: &Deadline) -> Result<(), Failure> {
        let Some(token) = &call.token else {
            return Ok(());
        };
        let limit = self.config.limits.session_wait.min(deadline.left());
        for (shard, vector) in &token.0 {
            let handle = self.shards.iter().find(|h| h.shard() == *shard);
            let Some(handle) = handle else {
                let message = "the session token is of another cluster: it names a shard that is not here";
                return Err(Failure::new(kinds::SESSION_TOKEN, message));
            };
            handle.wait_for(vector, limit).await.map_err(|limit| {
                let message = format!(
                    "this region has not seen within {} ms what your session has seen: try again, or in the region \
                     that you wrote to",
                    limit.as_millis()
                );
                Failure::new(kinds::SESSION_BEHIND, message)
            })?;
        }
        Ok(())
    }

    /// What a session has seen that has seen what this region has now.
    pub(crate) fn token(&self) -> Option<String> {
        let vectors = self.shards.iter().map(|h| (h.shard(), (*h.vector()).clone()));
        Token(vectors.collect()).to_text()
    }

    /// The token of a caller after one shard's reply.
    fn token_after(&self, shard: ShardId, seen: &cartograph_crdt::VersionVector) -> Option<String> {
        let vectors = self.shards.iter().map(|h| {
            let mut vector = (*h.vector()).clone();
            if h.shard() == shard {
                vector.join(seen);
            }
            (h.shard(), vector)
        });
        Token(vectors.collect()).to_text()
    }

    /// One read of a view.
    pub(crate) async fn read(&self, read: Read, deadline: &Deadline) -> Result<ReadReply, Failure> {
        let left = deadline.left();
        match tokio::time::timeout(left, self.store.read(read)).await {
            Ok(reply) => Ok(reply?),
            Err(_) => Err(Failure::new(
                kinds::STORE_UNREACHABLE,
                format!("the store did not answer within {} ms", left.as_millis()),
            )),
        }
    }

    /// The cart's lines.
    pub(crate) async fn get_cart(&self, call: &Call, id: &CartId) -> Result<Answered<Cart>, Failure> {
        let deadline = self.deadline(call);
        self.wait_for_session(call, &deadline).await?;
        let reply = self.read(Read::HGetAll(id.key()), &deadline).await?;
        Ok(Answered {
            value: cart_of(reply),
            token: self.token(),
        })
    }

    /// Changes a cart, and gives it as it is then.
    pub(crate) async fn change_cart(
        &self,
        call: Call,
        id: &CartId,
        command: CartCommand,
    ) -> Result<Answered<Cart>, Failure> {
        let deadline = self.deadline(&call);
        self.wait_for_session(&call, &deadline).await?;
        let shard = self.shard_of(&id.key())?;
        let mut request = command.request(id, self.policy);
        request.idempotency_key = call.idempotency_key;
        let done = shard.request(request, deadline.left()).await?;
        Ok(Answered {
            value: Cart::after(&done.replies)?,
            token: self.token_after(shard.shard(), &done.vector),
        })
    }

    /// How each shard is doing.
    pub(crate) async fn statuses(&self) -> Result<Vec<ShardStatus>, Failure> {
        let mut statuses = Vec::with_capacity(self.shards.len());
        for shard in &self.shards {
            let status = shard.status(STATUS_MAX).await.ok_or_else(|| {
                let message = format!("shard {} does not answer", shard.shard());
                Failure::new(kinds::NOT_READY, message)
            })?;
            statuses.push(status);
        }
        Ok(statuses)
    }

    /// Why this node takes no writes now, if it does not.
    pub(crate) async fn why_not_ready(&self) -> Option<String> {
        if self.stopping.is_cancelled() {
            return Some("it is shutting down".to_owned());
        }
        let statuses = match self.statuses().await {
            Ok(statuses) => statuses,
            Err(failure) => return Some(failure.message),
        };
        for (status, shard) in statuses.iter().zip(&self.shards) {
            if !status.store_up {
                let published = shard.published();
                let error = published.borrow().store_error.clone();
                return Some(error.unwrap_or_else(|| "its store has not been reached yet".to_owned()));
            }
            if let Some(reason) = &status.not_writable {
                return Some(reason.clone());
            }
        }
        None
    }
}

/// A cart from its hash: what is no whole number above 0 is no line.
fn cart_of(reply: ReadReply) -> Cart {
    let ReadReply::Pairs(pairs) = reply else {
        return Cart::default();
    };
    let mut lines: Vec<Line> = pairs
        .into_iter()
        .filter_map(|(sku, quantity)| {
            let quantity = parse_i64(&quantity).filter(|q| *q > 0)?;
            let sku = String::from_utf8_lossy(&sku).into_owned();
            Some(Line { sku, quantity })
        })
        .collect();
    lines.sort_by(|a, b| a.sku.cmp(&b.sku));
    Cart { lines }
}
