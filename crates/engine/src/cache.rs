//! Rows in memory: bounded by bytes, results of commits in flight included.
//!
//! A commit never reads metadata first; what a command needs is here, or is loaded once. Rows are changed here as
//! soon as a command has been evaluated, before its commit is done, so that the next command builds on it. If a
//! commit fails, what is here is worth nothing and [`Cache::clear`] forgets it all. A row that a commit in flight has
//! changed is *pinned*: letting go of it and loading it again would read the state from before.

use std::collections::BTreeMap;

use cartograph_crdt::Row;
use cartograph_replica::{BatchId, Key};

/// What a row costs besides its blobs, roughly, in bytes.
const ROW_BYTES: usize = 600;

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

    /// Adds a row that was loaded; `bytes` is the size of its blobs.
    pub(crate) fn insert(&mut self, key: &[u8], row: Row, bytes: usize) {
        self.clock += 1;
        let weight = ROW_BYTES + bytes * 4;
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

    /// A commit changed the row, writing blobs of `bytes` bytes.
    pub(crate) fn changed(&mut self, key: &[u8], batch: BatchId, bytes: usize) {
        if let Some(cached) = self.rows.get_mut(key) {
            cached.pinned = batch;
            cached.weight += bytes * 4;
            self.weight += bytes * 4;
        }
    }

    /// More of a row was loaded.
    pub(crate) fn grew(&mut self, key: &[u8], bytes: usize) {
        if let Some(cached) = self.rows.get_mut(key) {
            cached.weight += bytes * 4;
            self.weight += bytes * 4;
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
    use super::*;

    #[test]
    fn the_least_recently_used_rows_go_but_never_those_of_a_commit_in_flight() {
        let mut cache = Cache::new(3 * ROW_BYTES);
        for key in [b"a", b"b", b"c", b"d"] {
            cache.insert(key, Row::absent(), 0);
        }
        cache.changed(b"a", BatchId(7), 0);
        cache.touch(b"b");
        cache.evict(BatchId(6), |_| false);
        assert!(cache.row(b"a").is_some() && cache.row(b"b").is_some() && cache.row(b"c").is_none());
        cache.insert(b"e", Row::absent(), 0);
        cache.evict(BatchId(7), |_| false);
        assert!(cache.row(b"a").is_none());
        assert_eq!(cache.len(), 3);
    }
}
