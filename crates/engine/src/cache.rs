//! Rows in memory: bounded by bytes, results of commits in flight included.
//!
//! A commit never reads metadata first; what a command needs is here, or is loaded once. Rows are changed here as
//! soon as a command has been evaluated, before its commit is done, so that the next command builds on it. If a
//! commit fails, what is here is worth nothing and [`Cache::clear`] forgets it all. A row that a commit in flight has
//! changed is *pinned*: letting go of it and loading it again would read the state from before.

use std::collections::BTreeMap;

use cartograph_crdt::{Row, Touched};
use cartograph_replica::{BatchId, Key};

/// What a row costs here besides itself, roughly, in bytes.
const ROW_BYTES: usize = 280;

/// One row, and what the cache must know of it.
#[derive(Debug, Default)]
pub(crate) struct Cached {
    /// The row, or as much of it as was loaded.
    pub(crate) row: Row,
    /// Roughly what it takes in memory.
    pub(crate) weight: usize,
    /// The last commit that changed it.
    pub(crate) pinned: BatchId,
    used: u64,
}

/// The rows in memory.
#[derive(Debug)]
pub(crate) struct Cache {
    rows: BTreeMap<Key, Cached>,
    by_use: BTreeMap<u64, Key>,
    weight: usize,
    bytes_max: usize,
    clock: u64,
}

impl Cache {
    /// An empty cache that keeps about `bytes_max` bytes.
    pub(crate) fn new(bytes_max: usize) -> Self {
        Cache {
            rows: BTreeMap::new(),
            by_use: BTreeMap::new(),
            weight: 0,
            bytes_max,
            clock: 0,
        }
    }

    /// The row of `key`, if its header is loaded.
    pub(crate) fn row(&self, key: &[u8]) -> Option<&Row> {
        self.rows.get(key).map(|c| &c.row)
    }

    /// The same, to change it.
    pub(crate) fn row_mut(&mut self, key: &[u8]) -> Option<&mut Row> {
        self.rows.get_mut(key).map(|c| &mut c.row)
    }

    /// Marks the row as used now.
    pub(crate) fn touch(&mut self, key: &[u8]) {
        self.clock += 1;
        if let Some(cached) = self.rows.get_mut(key) {
            if let Some(key) = self.by_use.remove(&cached.used) {
                self.by_use.insert(self.clock, key);
            }
            cached.used = self.clock;
        }
    }

    /// Adds a row that was loaded.
    pub(crate) fn insert(&mut self, key: &[u8], row: Row) {
        self.clock += 1;
        let weight = ROW_BYTES + row.weight();
        self.weight += weight;
        let cached = Cached {
            row,
            weight,
            pinned: BatchId(0),
            used: self.clock,
        };
        self.by_use.insert(self.clock, key.to_vec());
        if let Some(old) = self.rows.insert(key.to_vec(), cached) {
            self.weight = self.weight.saturating_sub(old.weight);
            self.by_use.remove(&old.used);
        }
    }

    /// A commit changed the row. Its elements may be a million: only what was touched is weighed again.
    pub(crate) fn changed(&mut self, key: &[u8], batch: BatchId, touched: &Touched) {
        if let Some(cached) = self.rows.get_mut(key) {
            cached.pinned = batch;
            let weight = if touched.dropped.is_some() {
                ROW_BYTES + cached.row.weight()
            } else {
                cached
                    .weight
                    .saturating_add_signed(cached.row.weight_gained(touched))
            };
            let old = std::mem::replace(&mut cached.weight, weight);
            self.weight = self.weight.saturating_sub(old) + weight;
        }
    }

    /// More of a row was loaded: this much.
    pub(crate) fn grew(&mut self, key: &[u8], bytes: usize) {
        if let Some(cached) = self.rows.get_mut(key) {
            cached.weight += bytes;
            self.weight += bytes;
        }
    }

    /// Lets go of the least recently used rows beyond the bound, except those that commits after `committed` changed
    /// and those that `is_needed` names.
    pub(crate) fn evict(&mut self, committed: BatchId, is_needed: impl Fn(&[u8]) -> bool) {
        let mut kept = Vec::new();
        while self.weight > self.bytes_max {
            let Some((used, key)) = self.by_use.pop_first() else {
                break;
            };
            let pinned = is_needed(&key) || self.rows.get(&key).is_some_and(|c| c.pinned > committed);
            if pinned {
                kept.push((used, key));
            } else if let Some(gone) = self.rows.remove(&key) {
                self.weight = self.weight.saturating_sub(gone.weight);
            }
        }
        self.by_use.extend(kept);
    }

    /// Forgets everything: a commit failed, or the shard was claimed anew.
    pub(crate) fn clear(&mut self) {
        self.rows.clear();
        self.by_use.clear();
        self.weight = 0;
    }

    /// Is the row changed by a commit after `committed`?
    pub(crate) fn is_pinned(&self, key: &[u8], committed: BatchId) -> bool {
        self.rows.get(key).is_some_and(|c| c.pinned > committed)
    }

    /// Number of rows.
    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }
}

#[cfg(test)]
mod tests {
    use cartograph_crdt::causal::Origin;
    use cartograph_crdt::{Dot, Effect, ElementId, Hlc, Observed, ReplicaId, Sequence, VersionVector};

    use super::*;

    #[test]
    fn the_least_recently_used_rows_go_but_never_those_of_a_commit_in_flight() {
        let mut cache = Cache::new(3 * (ROW_BYTES + Row::absent().weight()));
        for key in [b"a", b"b", b"c", b"d"] {
            cache.insert(key, Row::absent());
        }
        cache.changed(b"a", BatchId(7), &Touched::default());
        cache.touch(b"b");
        cache.evict(BatchId(6), |_| false);
        assert!(cache.row(b"a").is_some() && cache.row(b"b").is_some() && cache.row(b"c").is_none());
        cache.insert(b"e", Row::absent());
        cache.evict(BatchId(7), |_| false);
        assert!(cache.row(b"a").is_none());
        assert_eq!(cache.len(), 3);
    }

    fn effect(cache: &mut Cache, sequence: u64, effect: &Effect) {
        let context = VersionVector::new();
        let dot = Dot::new(ReplicaId::new(1, 1), Sequence::new(sequence).unwrap(), 0);
        let hlc = Hlc::default();
        let origin = Origin {
            dot,
            hlc,
            context: &context,
        };
        let mut touched = Touched::default();
        cache.row_mut(b"k").unwrap().apply(effect, &origin, &mut touched);
        cache.changed(b"k", BatchId(sequence), &touched);
    }

    /// Each write used to add the bytes that it wrote, so that a key written to without end pushed all others out.
    #[test]
    fn a_row_weighs_what_it_holds_however_often_it_is_written_to() {
        let mut cache = Cache::new(1 << 20);
        cache.insert(b"k", Row::absent());
        let weighed = |cache: &Cache| ROW_BYTES + cache.row(b"k").unwrap().weight();
        let add = |name: &str| Effect::Add {
            element: ElementId::member(name.as_bytes()),
        };
        let empty = cache.weight;
        effect(&mut cache, 1, &add("a"));
        effect(&mut cache, 2, &add("b"));
        let two = cache.weight;
        assert!(two > empty + 100 && two == weighed(&cache));
        for sequence in 3..1_000 {
            effect(&mut cache, sequence, &add("a"));
        }
        assert_eq!((cache.weight, weighed(&cache)), (two, two));
        let removed = Effect::Remove {
            element: ElementId::member(b"a"),
            observed: Observed::default(),
        };
        effect(&mut cache, 1_000, &removed);
        assert!(cache.weight < two && cache.weight == weighed(&cache));
        effect(&mut cache, 1_001, &Effect::Delete { observed: Vec::new() });
        assert_eq!(cache.weight, empty);
    }
}
