//! What the regions say of themselves, all the time: proofs of who had what (`check::risk`), and lines for the report.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::history::Sample;
use super::workload::Shared;
use crate::api::number;
use crate::demo::cluster::Demo;
use crate::demo::process::Phase;
use crate::demo::region::Region;

/// Time between two questions to a region.
const EVERY: Duration = Duration::from_millis(250);
/// How long a region may take to answer.
const ANSWER_MAX: Duration = Duration::from_millis(900);

/// All that was said, by region, in the order in which it was asked.
#[derive(Debug, Default)]
pub(crate) struct Samples {
    samples: Mutex<Vec<Vec<Sample>>>,
}

impl Samples {
    /// For so many regions.
    pub(crate) fn new(regions: usize) -> Self {
        Self {
            samples: Mutex::new(vec![Vec::new(); regions]),
        }
    }

    fn push(&self, region: usize, sample: Sample) {
        let mut samples = self.samples.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(of_region) = samples.get_mut(region) {
            of_region.push(sample);
        }
    }

    /// Everything.
    pub(crate) fn take(&self) -> Vec<Vec<Sample>> {
        std::mem::take(&mut *self.samples.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The worst lag that any region spoke of last.
    pub(crate) fn lag_ms(&self) -> u64 {
        let samples = self.samples.lock().unwrap_or_else(PoisonError::into_inner);
        let last = samples.iter().filter_map(|of_region| of_region.last());
        last.map(|sample| sample.lag_ms).max().unwrap_or(0)
    }
}

/// Asks every region again and again until told to stop, each on its own: one that hangs delays nobody.
pub(crate) async fn watch(demo: Arc<Demo>, shared: Shared, samples: Arc<Samples>) {
    let mut asking = JoinSet::new();
    for (number, region) in demo.regions().into_iter().enumerate() {
        let (demo, shared, samples) = (Arc::clone(&demo), shared.clone(), Arc::clone(&samples));
        asking.spawn(async move {
            while !demo.stop.is_cancelled() {
                if let Some(sample) = ask(&demo, &shared, &region).await {
                    samples.push(number, sample);
                }
                tokio::select! {
                    () = sleep(EVERY) => {}
                    () = demo.stop.cancelled() => {}
                }
            }
        });
    }
    let _all = asking.join_all().await;
}

/// What a region says now; nothing where it does not answer.
pub(crate) async fn ask(demo: &Demo, shared: &Shared, region: &Region) -> Option<Sample> {
    if region.node.phase() != Phase::Running {
        return None;
    }
    let start = shared.now();
    let status: Value = demo
        .http
        .get(&format!("{}/v1/status", region.http()), ANSWER_MAX)
        .await
        .ok()?;
    let end = shared.now();
    Some(Sample {
        start,
        end,
        vector: vector(&status)?,
        ready: status.get("ready").and_then(Value::as_bool).unwrap_or(false),
        lag_ms: worst_peer(&status, "lag_ms"),
        behind: worst_peer(&status, "entries_behind"),
    })
}

/// The version vector, all shards together: replica names with the shard's number behind them.
fn vector(status: &Value) -> Option<BTreeMap<String, u64>> {
    let mut vector = BTreeMap::new();
    for shard in status.get("shards")?.as_array()? {
        let name = shard.get("shard").and_then(number).unwrap_or(0);
        for (replica, sequence) in shard.get("version_vector")?.as_object()? {
            vector.insert(format!("{replica}/{name}"), number(sequence)?);
        }
    }
    Some(vector)
}

fn worst_peer(status: &Value, field: &str) -> u64 {
    let peers = status.get("peers").and_then(Value::as_object);
    let of_peer = |peer: &Value| peer.get(field).and_then(number);
    peers
        .into_iter()
        .flat_map(serde_json::Map::values)
        .filter_map(of_peer)
        .max()
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_gives_vector_and_worst_lag_and_half_a_one_gives_nothing() {
        let status = serde_json::json!({
            "shards": [{"shard": 0, "version_vector": {"1-9": "17", "2-4": "3"}}, {"shard": 1, "version_vector": {"1-9": "2"}}],
            "peers": {"b": {"lag_ms": 12, "entries_behind": "4"}, "c": {"lag_ms": 950}},
        });
        let expected = [("1-9/0", 17), ("2-4/0", 3), ("1-9/1", 2)].map(|(name, n)| (name.to_owned(), n));
        assert_eq!(vector(&status), Some(BTreeMap::from(expected)));
        assert_eq!(
            (
                worst_peer(&status, "lag_ms"),
                worst_peer(&status, "entries_behind")
            ),
            (950, 4)
        );
        assert_eq!(vector(&serde_json::json!({"shards": [{}]})), None);
    }
}
