//! The links between regions: whom this node dials, and what it knows of them.
//!
//! A region sends its entries on a connection that it dials itself, one a shard, and receives on those that others dial
//! ([`accept`]); so one direction can fail alone. Whom to dial is configured (`[[peers]]`), added while running
//! (`PUT /v1/admin/peers/{region}`), and ends when the region is taken out or is no member any more. Each link is a
//! task: it dials, greets, exchanges until the link breaks, and dials again, with growing pauses of at most a second.
//!
//! The machine's driver decides which link of a peer is the current one; nothing here keeps state of the exchange.

pub mod accept;
mod dial;
pub(crate) mod secure;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cartograph_crdt::RegionId;
use tokio::task::JoinHandle;

use crate::config::{Peer, check_peer_address};
use crate::driver::ShardHandle;
use crate::metrics::Metrics;
use crate::tls::PeerTls;

/// How long dialling, and then the greeting, may take.
const DIAL_MAX: Duration = Duration::from_secs(5);

/// Connections are probed so often, and given up when there is no answer for as long.
const KEEPALIVE: Duration = Duration::from_secs(5);

/// What a peer's task says of its link, for status.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LinkState {
    /// Why the last attempt failed; `None` while it is up, or when none was made yet.
    pub error: Option<String>,
}

/// A peer that cannot be added.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PeerError {
    /// Not an address.
    #[error("address: found {found}, expected {expected}")]
    Address {
        /// What was given.
        found: String,
        /// What was expected.
        expected: String,
    },
    /// A name that no region can have.
    #[error("{found:?} is no region's name: expected 1 to 63 letters, digits, `-`, `_` and `.`")]
    Name {
        /// What was given.
        found: String,
    },
    /// This region itself.
    #[error("{found} is this region itself")]
    Ourselves {
        /// What was given.
        found: String,
    },
    /// The id is another's.
    #[error("id {id} is already region {region}: an id is never used for two regions")]
    Taken {
        /// The id.
        id: RegionId,
        /// Whose it is.
        region: String,
    },
    /// Too many.
    #[error("there are {limit} peers, as many as limits.peers_max allows")]
    TooMany {
        /// The bound.
        limit: usize,
    },
}

struct Link {
    peer: Peer,
    state: Arc<Mutex<LinkState>>,
    tasks: Vec<JoinHandle<()>>,
}

impl Drop for Link {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

/// Everybody whom this node dials.
pub struct Peers {
    ours: (String, RegionId),
    limit: usize,
    shards: Vec<ShardHandle>,
    tls: Option<PeerTls>,
    metrics: Arc<Metrics>,
    links: Mutex<BTreeMap<RegionId, Link>>,
}

impl Peers {
    /// Nobody yet. `ours` is this region's name and id.
    pub fn new(
        ours: (String, RegionId),
        limit: usize,
        shards: Vec<ShardHandle>,
        tls: Option<PeerTls>,
        metrics: Arc<Metrics>,
    ) -> Self {
        Peers {
            ours,
            limit,
            shards,
            tls,
            metrics,
            links: Mutex::default(),
        }
    }

    fn links(&self) -> MutexGuard<'_, BTreeMap<RegionId, Link>> {
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Dials a region from now on; one with another address before is dialled anew.
    ///
    /// # Errors
    /// See [`PeerError`]; nothing has changed.
    pub fn put(&self, peer: Peer) -> Result<(), PeerError> {
        if !crate::config::is_region_name(&peer.region) {
            return Err(PeerError::Name { found: peer.region });
        }
        if peer.region == self.ours.0 || peer.id == self.ours.1 {
            return Err(PeerError::Ourselves {
                found: format!("{} (id {})", peer.region, peer.id),
            });
        }
        check_peer_address(&peer.address, self.tls.is_some()).map_err(|expected| PeerError::Address {
            found: peer.address.clone(),
            expected,
        })?;
        let mut links = self.links();
        let other = links.values().find(|l| {
            let same_id = l.peer.id == peer.id;
            let same_name = l.peer.region == peer.region;
            same_id != same_name
        });
        if let Some(other) = other {
            return Err(PeerError::Taken {
                id: other.peer.id,
                region: other.peer.region.clone(),
            });
        }
        if links.get(&peer.id).is_some_and(|l| l.peer == peer) {
            return Ok(());
        }
        let known = links.remove(&peer.id).is_some();
        if !known && links.len() >= self.limit {
            return Err(PeerError::TooMany { limit: self.limit });
        }
        self.metrics.take_names([(peer.id, peer.region.clone())]);
        links.insert(peer.id, self.start(peer));
        Ok(())
    }

    fn start(&self, peer: Peer) -> Link {
        let state = Arc::new(Mutex::new(LinkState::default()));
        let dial = |shard: &ShardHandle| {
            let dial = dial::Dial {
                peer: peer.clone(),
                shard: shard.clone(),
                tls: self.tls.clone(),
                metrics: Arc::clone(&self.metrics),
                state: Arc::clone(&state),
            };
            tokio::spawn(dial.run())
        };
        let tasks = self.shards.iter().map(dial).collect();
        Link { peer, state, tasks }
    }

    /// Dials a region no more; tells whether it was dialled.
    pub fn remove(&self, region: &str) -> bool {
        let mut links = self.links();
        let id = links
            .values()
            .find(|l| l.peer.region == region)
            .map(|l| l.peer.id);
        id.is_some_and(|id| links.remove(&id).is_some())
    }

    /// Lets go of a region that is no member any more.
    pub fn left(&self, region: RegionId) {
        self.links().remove(&region);
    }

    /// All peers and how their links are.
    pub fn list(&self) -> Vec<(Peer, LinkState)> {
        let state = |l: &Link| l.state.lock().unwrap_or_else(PoisonError::into_inner).clone();
        self.links()
            .values()
            .map(|l| (l.peer.clone(), state(l)))
            .collect()
    }

    /// Dials nobody any more.
    pub fn stop(&self) {
        self.links().clear();
    }
}
