//! Why is this cart what it is: the document that HTTP, gRPC, the CLI and the page show.

use std::collections::BTreeMap;

use cartograph_commerce::CartId;
use cartograph_commerce::explain::{At, Explanation, Kind, LineExplanation, Outcome, Write, explain};
use cartograph_crdt::RegionId;
use cartograph_engine::conflict::{Conflict, Side};
use cartograph_replica::{Load, Loaded};
use serde_json::{Value, json};

use super::failure::Failure;
use super::log_tail::Tail;
use super::{Answered, Call, Doors};

impl Doors {
    /// Explains a cart.
    pub(crate) async fn explain(&self, call: &Call, id: &CartId) -> Result<Answered<Value>, Failure> {
        let deadline = self.deadline(call);
        self.wait_for_session(call, &deadline).await?;
        let shard = self.shard_of(&id.key())?;
        let row = shard.inspect(id.key(), true, deadline.left()).await?;
        let load = Load::Conflicts { key: id.key() };
        let past = match self.store.load(shard.shard(), load).await {
            Ok(Loaded::Conflicts(blobs)) => blobs.iter().filter_map(|b| Conflict::decode(b).ok()).collect(),
            Ok(_) | Err(_) => Vec::new(),
        };
        let names = self.region_names().await;
        let tail = self.log_tail(shard, &id.key(), &names).await;
        Ok(Answered {
            value: document(id, &self.config.region.name, &explain(&row), &past, &tail, &names),
            token: self.token(),
        })
    }

    /// Names of all regions that are known here.
    pub(crate) async fn region_names(&self) -> BTreeMap<RegionId, String> {
        let mut names = BTreeMap::new();
        for status in self.statuses().await.unwrap_or_default() {
            names.extend(status.members.into_iter().filter(|(_, name)| !name.is_empty()));
        }
        for (peer, _) in self.peers.list() {
            names.insert(peer.id, peer.region);
        }
        let ours = &self.config.region;
        names.insert(ours.id, ours.name.clone());
        names
    }
}

fn document(
    id: &CartId,
    region: &str,
    explanation: &Explanation,
    past: &[Conflict],
    tail: &Tail,
    names: &BTreeMap<RegionId, String>,
) -> Value {
    let lines: Vec<Value> = explanation.lines.iter().map(|l| line(l, names)).collect();
    let conflicts: Vec<Value> = explanation
        .lines
        .iter()
        .flat_map(|l| conflicts(l, names))
        .chain(past.iter().map(|c| remembered(c, names)))
        .collect();
    json!({
        "cart_id": id.as_str(),
        "region": region,
        "type": explanation.shown_as,
        "expires_at_ms": explanation.expires_ms.map(|ms| ms.to_string()),
        "lines": lines,
        "conflicts": conflicts,
        // The lines are the live state. What was undone and seen by everybody is in the log's tail, as far as it reaches.
        "log": tail.effects,
        "log_reaches_back_to_ms": tail.since_ms.map(|ms| ms.to_string()),
    })
}

fn line(line: &LineExplanation, names: &BTreeMap<RegionId, String>) -> Value {
    let writes: Vec<Value> = line.writes.iter().map(|w| write(w, names)).collect();
    let removed: Vec<Value> = line
        .writes
        .iter()
        .filter_map(|w| w.reset_by.as_ref())
        .map(|at| place(at, names, "remove", None, None, "reset what it had seen"))
        .collect();
    json!({
        "sku": line.sku,
        "quantity": line.quantity,
        "shown": line.stored,
        "writes": writes,
        "removed": removed,
        "rule": line.rules.join("; "),
    })
}

/// Sets that lost to a concurrent one.
fn conflicts(line: &LineExplanation, names: &BTreeMap<RegionId, String>) -> Vec<Value> {
    let winner = line.writes.iter().find(|w| w.outcome == Outcome::Winner);
    let losers = line.writes.iter().filter(|w| w.outcome == Outcome::Loser);
    let conflict = |loser: &Write| {
        json!({
            "field": line.sku,
            "rule": "of concurrent sets the later one wins",
            "winner": winner.map(|w| write(w, names)),
            "loser": write(loser, names),
            "at_ms": loser.hlc_ms.map(|ms| ms.to_string()),
        })
    };
    losers.map(conflict).collect()
}

/// What a merge decided earlier.
fn remembered(conflict: &Conflict, names: &BTreeMap<RegionId, String>) -> Value {
    let side = |side: &Side| {
        let at = &side.dot;
        json!({
            "replica": at.replica.to_string(),
            "region": names.get(&at.replica.region),
            "sequence": at.position.sequence.to_string(),
            "index": at.position.index,
            "at_ms": side.at_ms.map(|ms| ms.to_string()),
            "value": side.value.as_ref().map(|v| String::from_utf8_lossy(v)),
        })
    };
    json!({
        "field": conflict.element.as_ref().map(|id| String::from_utf8_lossy(&id.name)),
        "rule": conflict.rule,
        "winner": conflict.winner.as_ref().map(side),
        "loser": conflict.loser.as_ref().map(side),
        "at_ms": conflict.at_ms.to_string(),
    })
}

fn write(write: &Write, names: &BTreeMap<RegionId, String>) -> Value {
    let (kind, source) = match &write.kind {
        Kind::Set => ("set", None),
        Kind::Add => ("add", None),
        Kind::Import { source } => ("import", Some(source)),
    };
    let decided = match write.outcome {
        Outcome::Winner => "winner",
        Outcome::Loser => "loser",
        Outcome::Counted => "counted",
        Outcome::Reset => "reset",
    };
    let value = Some(write.value.as_str());
    let mut document = place(&write.at, names, kind, value, write.hlc_ms, decided);
    if let (Some(source), Some(fields)) = (source, document.as_object_mut()) {
        fields.insert("source".to_owned(), json!(source));
    }
    document
}

fn place(
    at: &At,
    names: &BTreeMap<RegionId, String>,
    kind: &str,
    value: Option<&str>,
    at_ms: Option<u64>,
    decided: &str,
) -> Value {
    json!({
        "replica": at.replica,
        "region": names.get(&RegionId(at.region)),
        "sequence": at.sequence.to_string(),
        "index": at.index,
        "at_ms": at_ms.map(|ms| ms.to_string()),
        "kind": kind,
        "value": value,
        "decided": decided,
    })
}
