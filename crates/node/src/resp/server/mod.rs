//! What the node answers itself: everything about connections and about the server.
//!
//! | file | commands |
//! |---|---|
//! | `connection.rs` | PING, ECHO, QUIT, RESET, HELLO, AUTH, SELECT |
//! | `client.rs` | CLIENT |
//! | `command.rs`, `table.rs` | COMMAND, in Redis 7's own form |
//! | `info.rs`, `local.rs` | INFO; what this region's Redis says of itself |
//! | `settings.rs` | CONFIG |
//! | `about.rs`, `slowlog.rs` | MEMORY, MODULE, ROLE, TIME, LATENCY, CLUSTER, WAIT; SLOWLOG |
//! | `acl.rs`, `users/`, `denied.rs`, `audit.rs` | ACL; who may do what; who was refused; who did what |
//! | `flush.rs` | FLUSHDB, FLUSHALL |
//! | `cartograph.rs` | CARTOGRAPH.EXPLAIN, CARTOGRAPH.TOKEN |
//! | `kinds.rs` | what the door asks about a command |
//! | `metrics.rs` | the door's part of /metrics |
//!
//! Nothing here closes a connection but QUIT: what is unknown or not supported gets an error that says so, because
//! clients try optional commands when they connect.

mod about;
mod acl;
mod args;
pub(crate) mod audit;
mod cartograph;
mod client;
mod command;
mod connection;
pub(crate) mod denied;
mod digest;
mod errors;
mod flush;
mod help;
mod info;
mod kinds;
pub(crate) mod local;
pub(crate) mod metrics;
mod settings;
pub(crate) mod slowlog;
mod table;
pub(crate) mod users;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cartograph_resp::Value;
use tokio_util::sync::CancellationToken;

use super::context::Context;
use super::session::{Asked, Session};
use errors::{error, unknown_subcommand, wrong_arity};
pub(crate) use kinds::{blocks, ends_multi, is_free, local_only, note_refused, passes_without_keys, refused};
use users::{Need, needed};

/// How often the store is asked how it fares.
const INFORMED_EVERY: Duration = Duration::from_secs(5);

/// Starts what runs beside the connections: /metrics knows the door from here on, and the users file is followed.
pub(crate) fn start(context: &Arc<Context>, stopping: CancellationToken) {
    let collector = metrics::DoorCollector::new(Arc::downgrade(context));
    context.doors.metrics.add(Box::new(collector));
    let context = Arc::clone(context);
    // It ends with `stopping`; nobody waits for it.
    drop(tokio::spawn(async move {
        let followed = users::follow(Arc::clone(&context), stopping.clone());
        tokio::join!(followed, keep_informed(&context, &stopping));
    }));
}

/// Asks this region's store now and then how it fares, so that /metrics, which does not wait, can tell.
async fn keep_informed(context: &Context, stopping: &CancellationToken) {
    loop {
        context.stats.local.info(context).await;
        tokio::select! {
            () = stopping.cancelled() => return,
            () = tokio::time::sleep(INFORMED_EVERY) => {}
        }
    }
}

/// Answers a command whose treatment is Connection or Server. Its name and arity were checked.
pub(crate) async fn answer(context: &Context, session: &mut Session, asked: &Asked<'_>) -> Value {
    let reply = reply(context, session, asked).await;
    if is_audited(asked, &reply) {
        context.audit.note(session, asked.args, &reply);
    }
    reply
}

/// Is it something that somebody may ask about later: an administrator's command, or who came in?
fn is_audited(asked: &Asked<'_>, reply: &Value) -> bool {
    let failed = matches!(reply, Value::Error(_));
    match asked.info.name {
        "auth" => true,
        "hello" => failed,
        _ => matches!(needed(asked.info), Need::Admin | Need::AdminAndWrite),
    }
}

async fn reply(context: &Context, session: &mut Session, asked: &Asked<'_>) -> Value {
    let name = asked.info.name;
    let (group, sub) = match name.split_once('|') {
        Some((group, sub)) => (group, Some(sub)),
        None => (name, None),
    };
    let skipped = if sub.is_some() { 2 } else { 1 };
    let arguments = asked.args.get(skipped..).unwrap_or_default();
    if let Some(sub) = sub {
        return in_group(context, session, group, sub, arguments).await;
    }
    match (group, arguments) {
        ("ping", arguments) => connection::ping(arguments),
        ("echo", [message]) => Value::Bulk(message.clone()),
        ("quit", _) => {
            session.closing = true;
            Value::OK
        }
        ("reset", _) => connection::reset(context, session),
        ("hello", arguments) => connection::hello(context, session, arguments).await,
        ("auth", arguments) => connection::auth(context, session, arguments),
        ("select", [index]) => connection::select(index),
        ("command", []) => command::all(),
        ("info", sections) => info::answer(context, session, sections).await,
        ("role", _) => about::role(),
        ("time", _) => about::time(),
        ("lastsave", _) => about::last_save(context).await,
        ("wait" | "waitaof", arguments) => about::wait(group, arguments),
        ("readonly" | "readwrite" | "asking", _) => about::no_cluster(),
        ("flushdb" | "flushall", arguments) => flush::answer(context, arguments).await,
        ("lolwut", _) => {
            let version = env!("CARGO_PKG_VERSION");
            Value::Verbatim(format!("Cartograph ver. {version}\n").into())
        }
        ("cartograph.explain", arguments) => cartograph::answer(context, session, "explain", arguments).await,
        ("cartograph.token", arguments) => cartograph::answer(context, session, "token", arguments).await,
        // A group without its subcommand has come past the check of arity all the same.
        ("client" | "config" | "acl" | "cluster" | "slowlog" | "latency" | "memory" | "module", _) => {
            match arguments.first() {
                Some(given) => unknown_subcommand(group, given),
                None => wrong_arity(group),
            }
        }
        _ => unknown(name),
    }
}

/// A subcommand, both lower case.
async fn in_group(
    context: &Context,
    session: &mut Session,
    group: &'static str,
    sub: &'static str,
    arguments: &[Bytes],
) -> Value {
    // A Redis that is no cluster refuses even CLUSTER HELP.
    if group == "cluster" {
        return about::no_cluster();
    }
    if sub == "help" {
        return match cartograph_resp::table::find(group.as_bytes()) {
            Some(info) => help::of(info),
            None => error("ERR there is no help"),
        };
    }
    match (group, sub) {
        ("client", sub) => client::answer(context, session, sub, arguments),
        ("command", sub) => command::answer(sub, arguments),
        ("config", sub) => settings::answer(context, sub, arguments).await,
        ("slowlog", sub) => context.stats.slowlog.answer(sub, arguments),
        ("latency", sub) => about::latency(context, sub, arguments),
        ("memory", sub) => about::memory(context, sub, arguments).await,
        ("module", "list") => about::modules(context).await,
        ("acl", sub) => acl::answer(context, session, sub, arguments),
        _ => unknown(group),
    }
}

/// The table sends it here, and nothing here takes it.
fn unknown(name: &str) -> Value {
    error(format!("ERR '{name}' is not supported by this server"))
}
