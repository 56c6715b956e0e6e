//! Why is this cart what it is: the document that HTTP, gRPC, the CLI and the page show.

use std::collections::BTreeMap;

use cartograph_commerce::CartId;
use cartograph_commerce::explain::{
    At, Explanation, Kind, LineExplanation, Outcome, Write, explain, explain_element,
};
use cartograph_crdt::{RegionId, Row, Type};
use cartograph_engine::conflict::{Conflict, Side};
use cartograph_replica::{Load, Loaded};
use serde_json::{Value, json};

use super::failure::Failure;
use super::log_tail::Tail;
use super::{Answered, Call, Doors};

/// The most elements of one key that are explained at once; ask for one by its name where there are more.
const ELEMENTS_MAX: usize = 1_000;

impl Doors {
    /// Explains any key, or one of its elements.
    pub(crate) async fn explain_key(
        &self,
        call: &Call,
        key: &[u8],
        element: Option<&[u8]>,
    ) -> Result<Answered<Value>, Failure> {
        let deadline = self.deadline(call);
        self.wait_for_session(call, &deadline).await?;
        let shard = self.shard_of(key)?;
        let row = shard.inspect(key.to_vec(), true, deadline.left()).await?;
        let past = self.past_conflicts(shard.shard(), key).await;
        let names = self.region_names().await;
        Ok(Answered {
            value: key_document(key, element, &self.config.region.name, &row, &past, &names),
            token: self.token(),
        })
    }

    async fn past_conflicts(&self, shard: cartograph_crdt::ShardId, key: &[u8]) -> Vec<Conflict> {
        let load = Load::Conflicts { key: key.to_vec() };
        match self.store.load(shard, load).await {
            Ok(Loaded::Conflicts(blobs)) => blobs.iter().filter_map(|b| Conflict::decode(b).ok()).collect(),
            Ok(_) | Err(_) => Vec::new(),
        }
    }

    /// Explains a cart.
    pub(crate) async fn explain(&self, call: &Call, id: &CartId) -> Result<Answered<Value>, Failure> {
        let deadline = self.deadline(call);
        self.wait_for_session(call, &deadline).await?;
        let shard = self.shard_of(&id.key())?;
        let row = shard.inspect(id.key(), true, deadline.left()).await?;
        let past = self.past_conflicts(shard.shard(), &id.key()).await;
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

/// Any key's document: a cart's, with elements for lines.
fn key_document(
    key: &[u8],
    element: Option<&[u8]>,
    region: &str,
    row: &Row,
    past: &[Conflict],
    names: &BTreeMap<RegionId, String>,
) -> Value {
    let asked = |name: &[u8]| element.is_none_or(|wanted| wanted == name);
    let (mut elements, mut decided) = (Vec::new(), Vec::new());
    let (mut left_out, mut registers) = (0_usize, 0_usize);
    for (id, state) in row.elements().filter(|(id, _)| asked(&id.name)) {
        let Some(explained) = explain_element(id, state) else {
            registers += 1;
            continue;
        };
        if elements.len() >= ELEMENTS_MAX {
            left_out += 1;
            continue;
        }
        decided.extend(conflicts(&explained, names));
        let mut document = line(&explained, names);
        if let Some(fields) = document.as_object_mut() {
            fields.remove("sku");
            fields.remove("quantity");
            fields.insert("element".to_owned(), json!(explained.sku));
            fields.insert("type".to_owned(), json!(id.ty.redis_name()));
        }
        elements.push(document);
    }
    let concerns = |c: &&Conflict| c.element.as_ref().is_none_or(|id| asked(&id.name));
    decided.extend(past.iter().filter(concerns).map(|c| remembered(c, names)));
    json!({
        "key": String::from_utf8_lossy(key),
        "region": region,
        "type": row.shown_type().map(Type::redis_name),
        "expires_at_ms": row.header.expiry().map(|ms| ms.to_string()),
        "elements": elements,
        "elements_left_out": left_out,
        "hyperloglog_registers": registers,
        "conflicts": decided,
        // Single increments and what was undone and seen by everybody are not kept: this is the live state.
        "log_reaches_back_to_ms": null,
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
