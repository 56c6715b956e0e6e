//! What the log still says of one key: the newest entries of each origin, a bounded number of them.

use std::collections::BTreeMap;

use cartograph_crdt::{Effect, RegionId, VersionVector};
use cartograph_replica::entry::decode_record;
use cartograph_replica::{Entry, Load, Loaded};
use serde_json::{Value, json};

use super::Doors;
use crate::driver::ShardHandle;

/// Entries of each origin that are looked at.
const ENTRIES_MAX: u64 = 1_000;

/// Bytes of each origin's records that are read.
const BYTES_MAX: usize = 4 << 20;

/// Effects that are shown, the newest.
const EFFECTS_MAX: usize = 200;

/// What the log's tail holds of a key.
#[derive(Debug, Default)]
pub(super) struct Tail {
    /// Effects on the key, oldest first.
    pub(super) effects: Vec<Value>,
    /// From this clock reading on, the tail has everything (Unix milliseconds); `None` when it holds nothing.
    pub(super) since_ms: Option<u64>,
}

impl Doors {
    /// Reads the log's tail for what it says of `key`.
    pub(super) async fn log_tail(
        &self,
        shard: &ShardHandle,
        key: &[u8],
        names: &BTreeMap<RegionId, String>,
    ) -> Tail {
        let vector = shard.vector();
        let mut found = Vec::new();
        let mut reach = Reach::default();
        for (origin, last) in vector.counted() {
            let from = last.saturating_sub(ENTRIES_MAX - 1).max(1);
            let load = Load::Log {
                origin,
                from,
                bytes_max: BYTES_MAX,
            };
            let Ok(Loaded::Log(records)) = self.store.load(shard.shard(), load).await else {
                continue;
            };
            let entries: Vec<Entry> = records
                .iter()
                .filter_map(|r| decode_record(r).ok())
                .flatten()
                .collect();
            reach.origin(&entries, last);
            found.extend(
                entries
                    .into_iter()
                    .filter(|e| e.effects.iter().any(|(k, _)| k == key)),
            );
        }
        reach.retired(&vector);
        found.sort_by_key(|e| (e.hlc, e.replica, e.sequence));
        let mut effects: Vec<Value> = found.iter().flat_map(|e| effects(e, key, names)).collect();
        effects.drain(..effects.len().saturating_sub(EFFECTS_MAX));
        Tail {
            effects,
            since_ms: reach.since_ms(),
        }
    }
}

/// How far back everything is there.
#[derive(Debug, Default)]
struct Reach {
    /// Of origins whose log does not begin with their first entry: the latest beginning.
    cut_ms: Option<u64>,
    /// The earliest entry of all.
    first_ms: Option<u64>,
}

impl Reach {
    fn origin(&mut self, entries: &[Entry], last: u64) {
        let Some(first) = entries.first() else { return };
        self.first_ms = Some(self.first_ms.map_or(first.hlc.ms, |ms| ms.min(first.hlc.ms)));
        if first.sequence.get() > 1 {
            self.cut_ms = self.cut_ms.max(Some(first.hlc.ms));
        }
        // More than could be read: the newest are missing.
        if let Some(end) = entries.last().filter(|end| end.sequence.get() < last) {
            self.cut_ms = self.cut_ms.max(Some(end.hlc.ms));
        }
    }

    /// Of retired lives there is no log.
    fn retired(&mut self, vector: &VersionVector) {
        for floor in vector.floors() {
            let mut later = vector.counted().map(|(life, _)| life);
            let next = later.find(|life| life.region == floor.region);
            self.cut_ms = self.cut_ms.max(next.map(|life| life.incarnation.began_ms()));
        }
    }

    fn since_ms(&self) -> Option<u64> {
        self.first_ms
            .map(|first| self.cut_ms.map_or(first, |cut| cut.max(first)))
    }
}

fn effects(entry: &Entry, key: &[u8], names: &BTreeMap<RegionId, String>) -> Vec<Value> {
    let mut shown = Vec::new();
    for (index, (_, effect)) in entry.effects.iter().enumerate().filter(|(_, (k, _))| k == key) {
        let Some((kind, value)) = sentence(effect) else {
            continue;
        };
        let field = effect
            .element()
            .map(|id| String::from_utf8_lossy(&id.name).into_owned());
        shown.push(json!({
            "replica": entry.replica.to_string(),
            "region": names.get(&entry.replica.region),
            "sequence": entry.sequence.to_string(),
            "index": index,
            "at_ms": entry.hlc.ms.to_string(),
            "kind": kind,
            "field": field,
            "value": value,
        }));
    }
    shown
}

/// What an effect did, and with what; `None` for what goes with every write.
fn sentence(effect: &Effect) -> Option<(&'static str, Option<String>)> {
    match effect {
        Effect::Assign { value, .. } => Some((
            "set",
            Some(match value {
                cartograph_crdt::Value::Bytes(bytes) => String::from_utf8_lossy(bytes).into_owned(),
                cartograph_crdt::Value::Score(score) => score.get().to_string(),
            }),
        )),
        // The sum of all that its writer has added by then.
        Effect::Inc { sum, .. } => Some(("add up to", Some(sum.to_string()))),
        Effect::Add { .. } | Effect::AddRank { .. } => Some(("add", None)),
        Effect::Remove { .. } => Some(("remove", None)),
        Effect::Delete { .. } | Effect::Clear { .. } => Some(("clear", None)),
        Effect::Import { .. } => Some(("import", None)),
        Effect::Revoke => Some(("revoke", None)),
        Effect::Wipe => Some(("wipe", None)),
        Effect::Create { .. } => Some(("create", None)),
        Effect::Expire { .. } | Effect::Restate { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cartograph_crdt::{Hlc, ReplicaId, Sequence};
    use std::sync::Arc;

    fn entry(sequence: u64, ms: u64) -> Entry {
        Entry {
            replica: ReplicaId::new(1, 1),
            sequence: Sequence::new(sequence).unwrap(),
            hlc: Hlc::new(ms, 0),
            context: Arc::default(),
            ahead: Vec::new(),
            effects: Vec::new(),
        }
    }

    #[test]
    fn a_tail_reaches_back_to_where_every_origin_is_whole() {
        let mut reach = Reach::default();
        assert_eq!(reach.since_ms(), None);
        reach.origin(&[entry(1, 100), entry(2, 300)], 2);
        assert_eq!(reach.since_ms(), Some(100), "it begins with the first entry");
        reach.origin(&[entry(5, 250), entry(6, 260)], 6);
        assert_eq!(reach.since_ms(), Some(250), "what came before is trimmed");
        reach.origin(&[entry(1, 50), entry(2, 400)], 9);
        assert_eq!(reach.since_ms(), Some(400), "more than could be read");
    }
}
