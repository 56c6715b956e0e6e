//! Entries: what one command or one MULTI did, and the records in which they are logged and sent.
//!
//! An entry has the next sequence of its replica in its shard, one clock reading, its writer's causal context, and
//! effects in order. All effects of an entry are applied in one step. Entries of one group commit share a context, so
//! a record writes it once. A record holds consecutive entries of one replica; it is what the log stores, one per
//! commit and origin, and what peers receive, byte for byte the same format.

use std::sync::Arc;

use bincode::{Decode, Encode};
use cartograph_crdt::codec;
use cartograph_crdt::{Dot, Effect, Hlc, Origin, ReplicaId, Sequence, VersionVector};

/// A Redis key.
pub type Key = Vec<u8>;

/// Format version of records.
pub const RECORD_VERSION: u8 = 1;

/// The largest encoded entry, in bytes. Larger ones are refused at the writer, before they are committed.
pub const ENTRY_BYTES_MAX: usize = 8 << 20;

/// The most effects one entry may have: what fits in [`ENTRY_BYTES_MAX`] many times over.
pub const ENTRY_EFFECTS_MAX: usize = 4_000_000;

/// What one command or one MULTI did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Who wrote it.
    pub replica: ReplicaId,
    /// Its number among its writer's entries in the shard.
    pub sequence: Sequence,
    /// One clock reading for all effects.
    pub hlc: Hlc,
    /// What its writer had applied when the commit began, its own entries left out (those it has seen all).
    pub context: Arc<VersionVector>,
    /// For keys that a snapshot had brought ahead of the writer's vector: what it had seen of them beyond `context`.
    /// Scopes this entry's effects on that key only.
    pub ahead: Vec<(Key, VersionVector)>,
    /// The effects, in order, each on its key.
    pub effects: Vec<(Key, Effect)>,
}

impl Entry {
    /// What the writer had seen of `key`: its context, and what a snapshot had brought of that key.
    pub fn scope(&self, key: &[u8]) -> Arc<VersionVector> {
        match self.ahead.iter().find(|(k, _)| k == key) {
            None => Arc::clone(&self.context),
            Some((_, ahead)) => {
                let mut scope = (*self.context).clone();
                scope.join(ahead);
                Arc::new(scope)
            }
        }
    }

    /// The dot of effect `index`.
    pub fn dot(&self, index: usize) -> Dot {
        Dot::new(
            self.replica,
            self.sequence,
            u32::try_from(index).unwrap_or(u32::MAX),
        )
    }

    /// Effect `index`'s origin, given the scope of its key.
    pub fn origin<'a>(&self, index: usize, scope: &'a VersionVector) -> Origin<'a> {
        Origin {
            dot: self.dot(index),
            hlc: self.hlc,
            context: scope,
        }
    }

    /// May it be applied where `applied` has been: is everything there that its writer had seen, and the entry before
    /// it?
    pub fn is_ready(&self, applied: &VersionVector) -> bool {
        applied.get(self.replica) + 1 == self.sequence.get() && self.dependencies_met(applied)
    }

    /// Is everything there that its writer had seen of *others*?
    pub fn dependencies_met(&self, applied: &VersionVector) -> bool {
        let met = |vector: &VersionVector| {
            vector
                .iter()
                .all(|(replica, n)| replica == self.replica || n <= applied.get(replica))
        };
        met(&self.context) && self.ahead.iter().all(|(_, vector)| met(vector))
    }

    /// The keys it touches, each once, in order.
    pub fn keys(&self) -> Vec<&Key> {
        let mut keys: Vec<&Key> = self.effects.iter().map(|(k, _)| k).collect();
        keys.sort_unstable();
        keys.dedup();
        keys
    }

    /// Roughly its size on the wire, in bytes.
    pub fn weight(&self) -> usize {
        48 + self
            .effects
            .iter()
            .map(|(k, e)| effect_weight(k, e))
            .sum::<usize>()
    }
}

/// Roughly the size of one effect on the wire, in bytes, its key included.
pub fn effect_weight(key: &[u8], effect: &Effect) -> usize {
    let counters = |o: &cartograph_crdt::Observed| o.cells.len() * 32 + o.imports.len() * 80;
    let own = match effect {
        Effect::Add { element } => element.name.len(),
        Effect::Assign {
            element,
            value,
            observed,
        } => {
            let value = match value {
                cartograph_crdt::Value::Bytes(b) => b.len(),
                cartograph_crdt::Value::Score(_) => 8,
            };
            element.name.len() + value + counters(observed)
        }
        Effect::Inc { element, .. } => element.name.len() + 24,
        Effect::Remove { element, observed } => element.name.len() + counters(observed),
        Effect::Delete { observed } | Effect::Clear { observed } => {
            observed.iter().map(|(id, o)| id.name.len() + counters(o)).sum()
        }
        Effect::Import { element, imported } => {
            element.name.len() + imported.iter().map(|i| i.source.len() + 80).sum::<usize>()
        }
        Effect::AddRank { .. }
        | Effect::Expire { .. }
        | Effect::Restate { .. }
        | Effect::Create { .. }
        | Effect::Revoke
        | Effect::Wipe => 8,
    };
    8 + key.len() + own
}

#[derive(Encode, Decode)]
struct RecordForm {
    replica: ReplicaId,
    first: Sequence,
    segments: Vec<SegmentForm>,
}

/// Consecutive entries under one context.
#[derive(Encode, Decode)]
struct SegmentForm {
    context: VersionVector,
    base_ms: u64,
    entries: Vec<EntryForm>,
}

#[derive(Encode, Decode)]
struct EntryForm {
    ms: i64,
    counter: u32,
    ahead: Vec<(Key, VersionVector)>,
    /// Effects by key: neighbours on one key write it once.
    effects: Vec<(Key, Vec<Effect>)>,
}

/// A record that cannot be taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// The bytes do not decode.
    #[error("a record of entries cannot be read")]
    Codec(#[from] codec::Error),
    /// They decode to something that no sane writer makes.
    #[error("a record of replica {replica} from entry {first} is refused: {reason}")]
    Malformed {
        /// Its writer.
        replica: ReplicaId,
        /// Its first entry.
        first: Sequence,
        /// Why.
        reason: &'static str,
    },
    /// Entries of several replicas, or not consecutive, or none: a caller's mistake.
    #[error("a record must hold consecutive entries of one replica")]
    NotConsecutive,
}

/// Consecutive entries of one replica as one record.
///
/// # Errors
/// [`RecordError::NotConsecutive`]; [`RecordError::Codec`] when they are too large together.
pub fn encode_record(entries: &[Entry]) -> Result<Vec<u8>, RecordError> {
    let first = entries.first().ok_or(RecordError::NotConsecutive)?;
    let mut segments: Vec<SegmentForm> = Vec::new();
    let mut context: Option<&Arc<VersionVector>> = None;
    for (n, entry) in (0_u64..).zip(entries) {
        if entry.replica != first.replica || entry.sequence.get() != first.sequence.get() + n {
            return Err(RecordError::NotConsecutive);
        }
        let same = context.is_some_and(|c| Arc::ptr_eq(c, &entry.context) || **c == *entry.context);
        if !same {
            let form = SegmentForm {
                context: (*entry.context).clone(),
                base_ms: entry.hlc.ms,
                entries: Vec::new(),
            };
            segments.push(form);
            context = Some(&entry.context);
        }
        if let Some(segment) = segments.last_mut() {
            segment.entries.push(EntryForm {
                ms: entry.hlc.ms.wrapping_sub(segment.base_ms).cast_signed(),
                counter: entry.hlc.counter,
                ahead: entry.ahead.clone(),
                effects: group_by_key(&entry.effects),
            });
        }
    }
    let form = RecordForm {
        replica: first.replica,
        first: first.sequence,
        segments,
    };
    Ok(codec::encode("a record of entries", RECORD_VERSION, &form)?)
}

fn group_by_key(effects: &[(Key, Effect)]) -> Vec<(Key, Vec<Effect>)> {
    let mut groups: Vec<(Key, Vec<Effect>)> = Vec::new();
    for (key, effect) in effects {
        match groups.last_mut() {
            Some((last, list)) if last == key => list.push(effect.clone()),
            _ => groups.push((key.clone(), vec![effect.clone()])),
        }
    }
    groups
}

/// Reads a record back: consecutive entries of one replica, each well formed.
///
/// # Errors
/// See [`RecordError`]; nothing of a refused record may be applied.
pub fn decode_record(bytes: &[u8]) -> Result<Vec<Entry>, RecordError> {
    let form: RecordForm = codec::decode("a record of entries", RECORD_VERSION, bytes)?;
    let (replica, first) = (form.replica, form.first);
    let malformed = |reason| RecordError::Malformed {
        replica,
        first,
        reason,
    };
    let mut entries = Vec::new();
    let mut sequence = first;
    for segment in form.segments {
        let context = Arc::new(segment.context);
        for entry in segment.entries {
            let effects: Vec<(Key, Effect)> = entry
                .effects
                .into_iter()
                .flat_map(|(key, effects)| effects.into_iter().map(move |e| (key.clone(), e)))
                .collect();
            if effects.len() > ENTRY_EFFECTS_MAX {
                return Err(malformed("too many effects in one entry"));
            }
            if !effects.iter().all(|(_, e)| e.is_well_formed()) {
                return Err(malformed("an effect does not fit its element's type"));
            }
            let hlc = Hlc::new(segment.base_ms.wrapping_add_signed(entry.ms), entry.counter);
            let context = Arc::clone(&context);
            entries.push(Entry {
                replica,
                sequence,
                hlc,
                context,
                ahead: entry.ahead,
                effects,
            });
            sequence = Sequence::after(sequence.get());
        }
    }
    if entries.is_empty() {
        return Err(malformed("it holds no entry"));
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;
    use cartograph_crdt::ElementId;

    fn entry(sequence: u64, context: &Arc<VersionVector>) -> Entry {
        let add = |m: &[u8]| Effect::Add {
            element: ElementId::member(m),
        };
        Entry {
            replica: ReplicaId::new(1, 7),
            sequence: Sequence::new(sequence).unwrap(),
            hlc: Hlc::new(1_000 - sequence, 3),
            context: Arc::clone(context),
            ahead: vec![(b"k".to_vec(), [(ReplicaId::new(3, 1), 9)].into_iter().collect())],
            effects: vec![
                (b"k".to_vec(), add(b"a")),
                (b"k".to_vec(), add(b"b")),
                (b"l".to_vec(), add(b"a")),
            ],
        }
    }

    #[test]
    fn records_read_back_as_written() {
        let one: Arc<VersionVector> = Arc::new([(ReplicaId::new(2, 1), 4)].into_iter().collect());
        let two: Arc<VersionVector> = Arc::new([(ReplicaId::new(2, 1), 5)].into_iter().collect());
        let entries = vec![entry(5, &one), entry(6, &one), entry(7, &two)];
        assert_eq!(decode_record(&encode_record(&entries).unwrap()).unwrap(), entries);
    }

    #[test]
    fn gaps_and_strangers_make_no_record() {
        let context = Arc::new(VersionVector::new());
        assert_eq!(
            encode_record(&[entry(1, &context), entry(3, &context)]),
            Err(RecordError::NotConsecutive)
        );
        assert_eq!(encode_record(&[]), Err(RecordError::NotConsecutive));
    }

    #[test]
    fn an_effect_on_an_element_of_another_type_is_refused() {
        let context = Arc::new(VersionVector::new());
        let mut bad = entry(1, &context);
        bad.effects = vec![(
            b"k".to_vec(),
            Effect::Add {
                element: ElementId::field(b"f"),
            },
        )];
        let bytes = encode_record(&[bad]).unwrap();
        assert!(matches!(
            decode_record(&bytes),
            Err(RecordError::Malformed { .. })
        ));
    }

    #[test]
    fn dependencies_name_what_a_snapshot_brought_of_a_key() {
        let context = Arc::new(VersionVector::new());
        let e = entry(1, &context);
        assert!(!e.is_ready(&VersionVector::new()));
        assert!(e.is_ready(&[(ReplicaId::new(3, 1), 9)].into_iter().collect()));
        assert_eq!(e.scope(b"k").get(ReplicaId::new(3, 1)), 9);
        assert_eq!(e.scope(b"l").get(ReplicaId::new(3, 1)), 0);
    }
}
