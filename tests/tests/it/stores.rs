//! The three stores: one conformance suite over all of them, and what each must survive and refuse.
//!
//! `STORES_SEED=<n>` runs another series of the conformance suite; a failure names its seed and step.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    reason = "helpers of tests: a failure here is the test's failure"
)]

mod conformance;
mod crash;
mod embedded;
mod fake;
mod generate;
pub(crate) mod harness;
mod large;
mod raw;
mod raw_user;
mod refusals;
mod writer;

use cartograph_crdt::ShardId;
use cartograph_replica::commit::{BatchId, Claim, Commit, Fence, IndexChanges};

/// The shard that these tests use; one has others.
const SHARD: ShardId = ShardId(0);

/// The next commit after a claim (`n` = 1) and those that follow it, with nothing in it yet.
fn nth_after(claim: &Claim, n: u64) -> Commit {
    commit_at(claim.head.fence, claim.head.batch.0 + n, claim.head.sequence)
}

/// An empty commit.
fn commit_at(fence: Fence, batch: u64, sequence: u64) -> Commit {
    Commit {
        shard: SHARD,
        fence,
        batch: BatchId(batch),
        sequence_before: sequence,
        sequence_after: sequence,
        guards: Vec::new(),
        metadata: Vec::new(),
        views: Vec::new(),
        log: Vec::new(),
        indexes: IndexChanges::default(),
        head: std::collections::BTreeMap::new(),
        freeing: false,
    }
}
