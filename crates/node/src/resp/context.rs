//! What every connection of the RESP door shares.

use std::fmt::Write;
use std::sync::Arc;

use bytes::Bytes;
use cartograph_resp::Value;
use cartograph_resp::table::{self, CommandInfo, Unknown};
use cartograph_store::RawStore;

use super::clients::Clients;
use super::errors;
use super::server::audit::Audit;
use super::server::users::Users;
use super::stats::Stats;
use crate::clock;
use crate::config::Resp;
use crate::doors::Doors;
use crate::node::NodeError;
use crate::seed;

/// Shared by all connections.
pub(crate) struct Context {
    pub(crate) doors: Arc<Doors>,
    pub(crate) config: Resp,
    pub(crate) users: Users,
    pub(crate) audit: Audit,
    pub(crate) clients: Arc<Clients>,
    pub(crate) stats: Arc<Stats>,
    /// The way to this region's Redis; `None` where the store is not one.
    pub(crate) raw: Option<Arc<dyn RawStore>>,
    /// This process's, as INFO's `run_id`: 40 hexadecimal digits.
    pub(crate) run_id: String,
    /// When the door was opened: the monotonic clock, milliseconds.
    pub(crate) started_ms: u64,
}

/// A key's class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// Writes become effects and reach every region.
    Replicated,
    /// Passed to this region's Redis as it is.
    Local,
}

impl Context {
    /// What the connections of a node share.
    ///
    /// # Errors
    /// The users' file, or the audit's.
    pub(crate) fn new(doors: Arc<Doors>) -> Result<Arc<Context>, NodeError> {
        let config = doors.config.resp.clone();
        Ok(Arc::new(Context {
            users: Users::open(config.users_file.as_deref())?,
            audit: Audit::open(config.audit_file.as_deref())?,
            clients: Clients::new(config.clients_max),
            stats: Arc::new(Stats::new()),
            raw: doors.store.raw(),
            run_id: run_id(),
            started_ms: clock::monotonic_ms(),
            config,
            doors,
        }))
    }

    /// The table's entry of a command, or of its subcommand.
    ///
    /// # Errors
    /// Redis's words for what is no command.
    pub(crate) fn resolve(args: &[Bytes]) -> Result<&'static CommandInfo, Value> {
        table::resolve(args).map_err(|unknown| match unknown {
            Unknown::Command => unknown_command(args),
            Unknown::Subcommand(info) => {
                let sub = args.get(1).map(|word| clipped(word)).unwrap_or_default();
                let name = info.name.to_uppercase();
                errors::error(format!("ERR unknown subcommand '{sub}'. Try {name} HELP."))
            }
        })
    }

    /// The class of a key: `local` where it begins with one of the configured prefixes.
    pub(crate) fn class(&self, key: &[u8]) -> Class {
        if self.config.local_prefixes.iter().any(|p| key.starts_with(p)) {
            Class::Local
        } else {
            Class::Replicated
        }
    }
}

/// 40 hexadecimal digits.
fn run_id() -> String {
    let [a, b, c] = [seed::random(), seed::random(), seed::random()];
    let mut text = format!("{a:016x}{b:016x}{c:016x}");
    text.truncate(40);
    text
}

/// A stranger's word in an error, as long as Redis shows it.
fn clipped(word: &[u8]) -> String {
    let word = word.get(..128).unwrap_or(word);
    String::from_utf8_lossy(word).replace(['\r', '\n'], " ")
}

/// Redis's words, which name the first arguments.
fn unknown_command(args: &[Bytes]) -> Value {
    let name = args.first().map(|n| clipped(n)).unwrap_or_default();
    let mut shown = String::new();
    for arg in args.iter().skip(1) {
        if shown.len() >= 128 {
            break;
        }
        let room = 128 - shown.len();
        let arg = arg.get(..room).unwrap_or(arg);
        let _ = write!(shown, "'{}' ", String::from_utf8_lossy(arg));
    }
    let text = format!("ERR unknown command '{name}', with args beginning with: {shown}");
    errors::error(text.replace(['\r', '\n'], " "))
}
