//! Recently committed records, so that senders rarely read the log.
//!
//! A sender that is a little behind, and each newly committed record, is served from here; one that is far behind
//! reads the log from the store. Bounded in bytes: the oldest record of all origins goes first.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use cartograph_crdt::ReplicaId;

use crate::commit::LogAppend;

/// One committed record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Its first sequence.
    pub first: u64,
    /// Its last sequence.
    pub last: u64,
    /// The record, encoded.
    pub record: Arc<[u8]>,
}

/// What is kept of an origin from some sequence on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// Consecutive records; the first one holds the sequence asked for. At least one.
    Records(Vec<Kept>),
    /// It was committed before anything that is kept: read the log.
    OlderThanKept,
    /// Nothing that new was committed.
    Nothing,
}

/// The records kept.
#[derive(Clone, Debug)]
pub struct Recent {
    bytes_max: usize,
    bytes: usize,
    origins: BTreeMap<ReplicaId, VecDeque<Kept>>,
    /// Origin and last sequence of each record, in order of commit.
    order: VecDeque<(ReplicaId, u64)>,
}

/// What a record costs besides its bytes.
const OVERHEAD: usize = 96;

impl Recent {
    /// Keeps nothing yet, and never more than `bytes_max`.
    pub fn new(bytes_max: usize) -> Recent {
        Recent {
            bytes_max,
            bytes: 0,
            origins: BTreeMap::new(),
            order: VecDeque::new(),
        }
    }

    /// Keeps a record that was just committed. One that does not follow its origin's last one (after a snapshot, or
    /// a claim) takes the place of all before it.
    pub fn push(&mut self, append: &LogAppend) {
        let kept = self.origins.entry(append.origin).or_default();
        if kept.back().is_some_and(|back| back.last + 1 != append.first) {
            let gone = kept.drain(..).map(|k| k.record.len() + OVERHEAD);
            self.bytes -= gone.sum::<usize>();
            self.order.retain(|(origin, _)| *origin != append.origin);
        }
        self.bytes += append.record.len() + OVERHEAD;
        kept.push_back(Kept {
            first: append.first,
            last: append.last,
            record: Arc::from(append.record.as_slice()),
        });
        self.order.push_back((append.origin, append.last));
        while self.bytes > self.bytes_max {
            let Some((origin, _)) = self.order.pop_front() else {
                break;
            };
            if let Some(kept) = self.origins.get_mut(&origin) {
                if let Some(gone) = kept.pop_front() {
                    self.bytes -= gone.record.len() + OVERHEAD;
                }
                if kept.is_empty() {
                    self.origins.remove(&origin);
                }
            }
        }
    }

    /// Records of `origin` from the one that holds `from` on, up to about `bytes_max` (one at least).
    pub fn from(&self, origin: ReplicaId, from: u64, bytes_max: usize) -> Found {
        let Some(kept) = self.origins.get(&origin) else {
            return Found::OlderThanKept;
        };
        if kept.front().is_some_and(|front| from < front.first) {
            return Found::OlderThanKept;
        }
        let mut bytes = 0;
        let start = kept.partition_point(|k| k.last < from);
        let fits = |k: &&Kept| {
            let fits = bytes == 0 || bytes + k.record.len() <= bytes_max;
            bytes += k.record.len();
            fits
        };
        let records: Vec<Kept> = kept.range(start..).take_while(fits).cloned().collect();
        if records.is_empty() {
            Found::Nothing
        } else {
            Found::Records(records)
        }
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        *self = Recent::new(self.bytes_max);
    }

    /// Bytes kept.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn append(region: u16, first: u64, last: u64, size: usize) -> LogAppend {
        LogAppend {
            origin: ReplicaId::new(region, 1),
            first,
            last,
            record: vec![7; size],
        }
    }

    fn spans(found: Found) -> Vec<(u64, u64)> {
        match found {
            Found::Records(records) => records.iter().map(|k| (k.first, k.last)).collect(),
            Found::OlderThanKept | Found::Nothing => Vec::new(),
        }
    }

    #[test]
    fn records_are_found_by_any_sequence_within_them() {
        let mut recent = Recent::new(10_000);
        recent.push(&append(1, 5, 7, 100));
        recent.push(&append(1, 8, 8, 100));
        recent.push(&append(2, 1, 1, 100));
        let a = ReplicaId::new(1, 1);
        assert_eq!(spans(recent.from(a, 6, 1_000)), [(5, 7), (8, 8)]);
        assert_eq!(spans(recent.from(a, 6, 150)), [(5, 7)], "bounded");
        assert_eq!(spans(recent.from(a, 6, 1)), [(5, 7)], "one at least");
        assert_eq!(recent.from(a, 4, 1_000), Found::OlderThanKept);
        assert_eq!(recent.from(a, 9, 1_000), Found::Nothing);
        assert_eq!(recent.from(ReplicaId::new(3, 1), 1, 1_000), Found::OlderThanKept);
    }

    #[test]
    fn a_record_past_a_gap_replaces_what_was_kept() {
        let mut recent = Recent::new(10_000);
        recent.push(&append(1, 1, 3, 100));
        recent.push(&append(1, 9, 9, 100));
        assert_eq!(recent.from(ReplicaId::new(1, 1), 3, 1_000), Found::OlderThanKept);
        assert_eq!(spans(recent.from(ReplicaId::new(1, 1), 9, 1_000)), [(9, 9)]);
        assert_eq!(recent.bytes(), 100 + OVERHEAD);
    }

    proptest! {
        #[test]
        fn what_is_kept_is_bounded_and_consecutive(
            pushes in prop::collection::vec((1_u16..4, 1_u64..4, 0_u64..2, 0_usize..400), 0..200)
        ) {
            let mut recent = Recent::new(2_000);
            let mut next = BTreeMap::new();
            for (region, count, gap, size) in pushes {
                let first = next.get(&region).copied().unwrap_or(1) + gap;
                recent.push(&append(region, first, first + count - 1, size));
                next.insert(region, first + count);
                prop_assert!(recent.bytes() <= 2_000);
                let counted: usize = recent.origins.values().flatten().map(|k| k.record.len() + OVERHEAD).sum();
                prop_assert_eq!(counted, recent.bytes());
                prop_assert_eq!(recent.order.len(), recent.origins.values().map(VecDeque::len).sum::<usize>());
                for kept in recent.origins.values() {
                    prop_assert!(kept.iter().zip(kept.iter().skip(1)).all(|(a, b)| a.last + 1 == b.first));
                }
            }
        }
    }
}
