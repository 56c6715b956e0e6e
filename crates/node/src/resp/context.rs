//! What every connection of the RESP door shares.

use std::sync::Arc;

use cartograph_store::RawStore;

use super::clients::Clients;
use super::server::audit::Audit;
use super::server::users::Users;
use super::stats::Stats;
use crate::config::Resp;
use crate::doors::Doors;

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
    /// The class of a key: `local` where it begins with one of the configured prefixes.
    pub(crate) fn class(&self, key: &[u8]) -> Class {
        if self.config.local_prefixes.iter().any(|p| key.starts_with(p)) {
            Class::Local
        } else {
            Class::Replicated
        }
    }
}
