//! How a shard is doing, for operators.

use std::collections::BTreeMap;

use cartograph_crdt::{RegionId, ReplicaId, ShardId, VersionVector};
use cartograph_replica::exchange::PeerStatus;

use super::{Shard, Standing};
use crate::api::Now;

/// How a shard is doing.
#[derive(Clone, Debug)]
pub struct ShardStatus {
    /// Which shard.
    pub shard: ShardId,
    /// The live replica.
    pub replica: ReplicaId,
    /// What is committed here.
    pub vector: VersionVector,
    /// Why it takes no writes, if it does not.
    pub not_writable: Option<String>,
    /// Is the store ours now?
    pub store_up: bool,
    /// The store's last refusal, if it refused a commit since the claim.
    pub refusal: Option<String>,
    /// Bucket digests as committed.
    pub digests: Vec<u64>,
    /// Live keys, expired ones that are not purged yet included.
    pub keys: u64,
    /// Commits done.
    pub batch: u64,
    /// Expiry clock as committed, Unix milliseconds.
    pub expiry_ms: u64,
    /// Requests waiting.
    pub queued: usize,
    /// Commits in flight.
    pub in_flight: usize,
    /// Rows in memory.
    pub rows_cached: usize,
    /// Bytes in the log, about.
    pub log_bytes: u64,
    /// Entries in the log.
    pub log_entries: u64,
    /// Peers' entries that wait for what their writers had seen.
    pub parked: usize,
    /// Is a snapshot being joined?
    pub joining: bool,
    /// Are some keys ahead of the vector?
    pub ahead: bool,
    /// Member regions and their names.
    pub members: BTreeMap<RegionId, String>,
    /// How each peer is doing.
    pub peers: BTreeMap<RegionId, PeerStatus>,
}

impl Shard {
    /// How it is doing.
    pub fn status(&self, now: Now) -> ShardStatus {
        let held = |(origin, book): (&ReplicaId, &super::LogBook)| match book.part.start {
            0 => 0,
            // Its log is about to be dropped.
            _ if self.done.vector.is_retired(*origin) => 0,
            start => (self.done.vector.get(*origin) + 1).saturating_sub(start),
        };
        ShardStatus {
            shard: self.config.shard,
            replica: self.me,
            vector: self.done.vector.clone(),
            not_writable: self.why_not_writable(),
            store_up: self.standing == Standing::Owner,
            refusal: self.upkeep.refusal.clone(),
            digests: self.done.digests.clone(),
            keys: self.done.keys,
            batch: self.done.batch.0,
            expiry_ms: self.done.expiry_ms,
            queued: self.queue.len(),
            in_flight: self.in_flight.len(),
            rows_cached: self.cache.len(),
            log_bytes: self.log_bytes(),
            log_entries: self.log.iter().map(held).sum(),
            parked: self.exchange.parked().0,
            joining: self.joining.is_some(),
            ahead: !self.done.vector.dominates(&self.ahead),
            members: self.members.regions.clone(),
            peers: self.exchange.status(now.wall_ms),
        }
    }
}
