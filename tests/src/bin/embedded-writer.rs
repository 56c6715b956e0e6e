//! Commits to an embedded store as fast as it can and prints each batch that was acknowledged, until it is killed or
//! a commit is not: the victim of the crash tests.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result};
use cartograph_crdt::{ReplicaId, ShardId};
use cartograph_replica::commit::{
    BatchId, Commit, IndexChanges, LogAppend, MetadataChange, Outcome, ViewChange, ViewContent, ViewExpiry,
};
use cartograph_store::{EmbeddedStore, Store};

/// How many commits are handed in before the first is answered.
const IN_FLIGHT: usize = 3;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let path = std::env::args().nth(1).context("the store's path is missing")?;
    let store = EmbeddedStore::open(Path::new(&path))?;
    let claim = store.claim(ShardId(0)).await?;
    let mut out = std::io::stdout().lock();
    let mut in_flight = std::collections::VecDeque::new();
    let mut batch = claim.head.batch;
    loop {
        batch = batch.next();
        let commit = commit(claim.head.fence, batch, batch.0 - 1);
        in_flight.push_back((batch, store.commit(commit)));
        if in_flight.len() < IN_FLIGHT {
            continue;
        }
        if let Some((done, outcome)) = in_flight.pop_front() {
            let outcome = outcome.await;
            if outcome == Outcome::Committed {
                writeln!(out, "{}", done.0)?;
            } else {
                writeln!(out, "{outcome:?}")?;
            }
            out.flush()?;
            if outcome != Outcome::Committed {
                return Ok(());
            }
        }
    }
}

/// Sets `key:<batch mod 50>` to the batch's number, in metadata and view alike, and logs it: the file grows.
fn commit(fence: cartograph_replica::commit::Fence, batch: BatchId, sequence: u64) -> Commit {
    let key = format!("key:{}", batch.0 % 50).into_bytes();
    let mut value = format!("{} ", batch.0).into_bytes();
    value.resize(2_000, b'.');
    Commit {
        shard: ShardId(0),
        fence,
        batch,
        sequence_before: sequence,
        sequence_after: sequence + 1,
        guards: Vec::new(),
        metadata: vec![MetadataChange {
            key: key.clone(),
            header: Some(value.clone()),
            ..MetadataChange::default()
        }],
        views: vec![ViewChange {
            key,
            replace: false,
            content: ViewContent::String(value),
            expiry: ViewExpiry::Unchanged,
        }],
        log: vec![LogAppend {
            origin: ReplicaId::new(1, 1),
            first: batch.0,
            last: batch.0,
            record: vec![b'r'; 2_000],
        }],
        indexes: IndexChanges::default(),
        head: BTreeMap::new(),
        freeing: false,
    }
}
