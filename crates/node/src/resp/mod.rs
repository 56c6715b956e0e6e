//! The door for Redis clients: RESP2 and RESP3, unchanged, pooled.
//!
//! A client's bytes become commands ([`connection`]); a command goes to where it is done ([`dispatch`]): reads to this
//! region's Redis as they came, writes of replicated keys to the shard as effects, what is about the connection or the
//! server to [`server`]. Replies come back in any order and leave in the commands' ([`outbox`]).
//!
//! | file | what it does |
//! |---|---|
//! | `listen.rs` | accepts; worker threads |
//! | `transport.rs` | the socket, plain or TLS |
//! | `connection.rs` | one client's loop |
//! | `outbox.rs` | replies in order, and what may not overtake what |
//! | `dispatch.rs` | a command's way |
//! | `commands/` | arguments to typed commands, and replies to Redis's forms |
//! | `multi.rs`, `transaction.rs` | MULTI, EXEC, WATCH |
//! | `blocking.rs` | commands that wait |
//! | `pubsub.rs` | messages within the region |
//! | `without_redis.rs` | reads where the store is no Redis |
//! | `server/` | INFO, CLIENT, CONFIG, COMMAND, users, audit and their like |
//! | `session.rs`, `clients.rs`, `context.rs`, `stats.rs` | state: a connection's, everybody's, numbers |

mod blocking;
pub(crate) mod clients;
pub(crate) mod commands;
mod connection;
pub(crate) mod context;
mod dispatch;
pub(crate) mod errors;
mod listen;
mod multi;
mod outbox;
mod pubsub;
pub(crate) mod server;
pub(crate) mod session;
pub(crate) mod stats;
mod transaction;
mod transport;
mod without_redis;

use std::sync::Arc;

use rustls::ServerConfig;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use context::Context;

/// Opens the door: serves clients on `listener` until `stopping`.
///
/// # Errors
/// A worker thread cannot be started.
pub(crate) fn start(
    context: &Arc<Context>,
    listener: TcpListener,
    tls: Option<&Arc<ServerConfig>>,
    stopping: CancellationToken,
) -> std::io::Result<JoinHandle<()>> {
    listen::start(context, listener, tls, stopping)
}
