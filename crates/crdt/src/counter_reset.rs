//! A counter that can be removed: increments add up over all replicas, and a reset takes back exactly the increments
//! that its writer had observed.
//!
//! Each replica owns a *cell*: the dot that created it (its tag), the position of its last increment, and the exact
//! sum up to there. Increments travel as "my sum up to this position", so applying one twice is harmless and state
//! stays O(replicas). A reset records for each cell a *baseline*: the position and the sum that it had observed. For
//! both pairs the larger **position** wins in a join, so two concurrent resets of the same increments count once. A
//! cell is live while its last position is past its baseline, whatever the sums: an unseen increment by 0 keeps a
//! field, at 0. (Comparing by amount instead cannot tell "removed" from "+5 -5": docs/adr/0002.)
//!
//! - A reset covers what its context covers, *named or not*: whoever removed a key that it had purged names nothing,
//!   and still means everything that it had seen. The names are only needed where a receiver has meanwhile seen more
//!   of a cell than the writer had, and so could not know the sum at the writer's position.
//! - The owner never increments a wholly reset cell again but starts a new one with a new tag. So a dead cell matters
//!   only while its owner may still increment it unaware of the reset; it is dropped once the owner is known to have
//!   seen that, and later effects on an absent cell whose tag is old do nothing.
//!
//! The PN-counter of the literature (Shapiro et al., INRIA RR-7506 §3.1.3) with P - N kept as one exact sum; the
//! observed reset is ours.

use bincode::{Decode, Encode};

use crate::causal::{Origin, VersionVector};
use crate::exact::Exact;
use crate::ids::{Dot, Position, ReplicaId};

/// One replica's increments of one element.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cell {
    /// The dot of the increment that created the cell; names it, and its owner.
    pub tag: Dot,
    /// The position of the last increment.
    pub last: Position,
    /// The exact sum of all increments up to `last`.
    pub sum: Exact,
    /// Up to where it was reset, if ever.
    pub baseline: Option<Baseline>,
}

/// Up to where a cell was reset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Baseline {
    /// The last increment that the reset had observed.
    pub position: Position,
    /// The sum up to there.
    pub sum: Exact,
    /// The reset that recorded it: once the cell's owner has seen this, a dead cell can go.
    pub reset: Dot,
}

/// What a reset names of a cell: how far its writer had seen it.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct CellReset {
    /// Which cell.
    pub tag: Dot,
    /// The last increment observed.
    pub position: Position,
    /// The sum up to there.
    pub sum: Exact,
}

impl Cell {
    fn last_dot(&self) -> Dot {
        Dot {
            replica: self.tag.replica,
            position: self.last,
        }
    }

    /// Has it an increment that nobody reset?
    pub fn is_live(&self) -> bool {
        self.baseline.as_ref().is_none_or(|b| self.last > b.position)
    }

    /// What the cell adds to the element: the sum past its baseline.
    pub fn net(&self) -> Exact {
        match &self.baseline {
            None => self.sum.clone(),
            Some(b) => self.sum.clone() - b.sum.clone(),
        }
    }

    fn raise_baseline(&mut self, new: Baseline) {
        let newer = match &self.baseline {
            None => true,
            Some(old) => {
                new.position > old.position || (new.position == old.position && new.reset < old.reset)
            }
        };
        if newer {
            self.baseline = Some(new);
        }
    }

    fn join(&mut self, other: &Cell) {
        if other.last > self.last {
            self.last = other.last;
            self.sum = other.sum.clone();
        }
        if let Some(baseline) = &other.baseline {
            self.raise_baseline(baseline.clone());
        }
    }
}

/// All cells of one element, ascending by tag.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ObservedResetCounter {
    cells: Vec<Cell>,
}

impl ObservedResetCounter {
    /// Rebuilds a counter from its stored cells.
    pub fn from_cells(mut cells: Vec<Cell>) -> Self {
        cells.sort_by_key(|c| c.tag);
        cells.dedup_by_key(|c| c.tag);
        ObservedResetCounter { cells }
    }

    /// Every cell, dead ones included, ascending by tag.
    pub fn cells(&self) -> &[Cell] {
        &self.cells
    }

    /// The cells that count.
    pub fn live(&self) -> impl Iterator<Item = &Cell> {
        self.cells.iter().filter(|c| c.is_live())
    }

    /// Is there an increment that nobody reset, by 0 or not?
    pub fn is_present(&self) -> bool {
        self.live().next().is_some()
    }

    /// The sum of all live increments.
    pub fn sum(&self) -> Exact {
        self.live().fold(Exact::zero(), |sum, cell| sum + cell.net())
    }

    /// What an increment by `delta` at position `at` of replica `me` must say: its cell's tag, and the sum up to it.
    pub fn next_increment(&self, me: ReplicaId, at: Position, delta: Exact) -> (Position, Exact) {
        match self.live().rfind_own(me) {
            Some(cell) => (cell.tag.position, cell.sum.clone() + delta),
            None => (at, delta),
        }
    }

    /// Applies an increment: `sum` is its owner's sum up to here, `tag` the position that created the owner's cell.
    pub fn increment(&mut self, origin: &Origin<'_>, tag: Position, sum: Exact) {
        let tag = Dot {
            replica: origin.dot.replica,
            position: tag,
        };
        let last = origin.dot.position;
        match self.cells.binary_search_by_key(&tag, |c| c.tag) {
            Ok(at) => {
                if let Some(cell) = self.cells.get_mut(at)
                    && last > cell.last
                {
                    cell.last = last;
                    cell.sum = sum;
                }
            }
            // Absent though it was created earlier: dead and dropped, so its owner had seen the reset.
            Err(_) if tag.position != last => {}
            Err(at) => self.cells.insert(
                at,
                Cell {
                    tag,
                    last,
                    sum,
                    baseline: None,
                },
            ),
        }
    }

    /// What a reset by `writer` must name: the live cells of others. Its own need no naming, since whoever applies the
    /// reset has applied exactly the writer's own earlier effects.
    pub fn observed(&self, writer: ReplicaId) -> Vec<CellReset> {
        let others = self.live().filter(|c| c.tag.replica != writer);
        others
            .map(|c| CellReset {
                tag: c.tag,
                position: c.last,
                sum: c.sum.clone(),
            })
            .collect()
    }

    /// Applies a reset: what its writer had seen, named or not, no longer counts.
    pub fn reset(&mut self, origin: &Origin<'_>, named: &[CellReset]) {
        for cell in &mut self.cells {
            if origin.has_seen(&cell.last_dot()) {
                let baseline = Baseline {
                    position: cell.last,
                    sum: cell.sum.clone(),
                    reset: origin.dot,
                };
                cell.raise_baseline(baseline);
            } else if let Some(seen) = named.iter().find(|n| n.tag == cell.tag) {
                let (position, sum) = (seen.position, seen.sum.clone());
                cell.raise_baseline(Baseline {
                    position,
                    sum,
                    reset: origin.dot,
                });
            }
        }
        self.cells
            .retain(|c| c.is_live() || c.tag.replica != origin.dot.replica);
    }

    /// Drops dead cells whose owner has seen the reset, as `owner_has_seen(owner, reset)` knows.
    pub fn collect(&mut self, owner_has_seen: impl Fn(ReplicaId, &Dot) -> bool) {
        self.cells.retain(|c| match &c.baseline {
            Some(b) if !c.is_live() => !owner_has_seen(c.tag.replica, &b.reset),
            _ => true,
        });
    }

    /// Are there cells that matter only to their owner?
    pub fn has_dead(&self) -> bool {
        self.cells.iter().any(|c| !c.is_live())
    }

    /// Joins with the state of a replica whose vector is `theirs`; ours is `ours`. A cell that one side lacks though
    /// it has seen its tag is dead and dropped there.
    pub fn join(&mut self, ours: &VersionVector, other: &Self, theirs: &VersionVector) {
        self.cells
            .retain(|c| other.cells.iter().any(|o| o.tag == c.tag) || !theirs.covers(&c.tag));
        for cell in &other.cells {
            match self.cells.binary_search_by_key(&cell.tag, |c| c.tag) {
                Ok(at) => {
                    if let Some(mine) = self.cells.get_mut(at) {
                        mine.join(cell);
                    }
                }
                Err(at) if !ours.covers(&cell.tag) => self.cells.insert(at, cell.clone()),
                Err(_) => {}
            }
        }
    }
}

/// The last cell of one owner: a helper so that "the owner's live cell" reads as what it is.
trait OwnCell<'a> {
    fn rfind_own(self, me: ReplicaId) -> Option<&'a Cell>;
}

impl<'a, I: Iterator<Item = &'a Cell>> OwnCell<'a> for I {
    fn rfind_own(self, me: ReplicaId) -> Option<&'a Cell> {
        self.filter(|c| c.tag.replica == me).last()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hlc::Hlc;
    use crate::ids::Sequence;

    fn r(n: u16) -> ReplicaId {
        ReplicaId::new(n, 1)
    }

    fn seen(pairs: &[(u16, u64)]) -> VersionVector {
        pairs.iter().map(|&(n, count)| (r(n), count)).collect()
    }

    fn origin(replica: u16, sequence: u64, context: &VersionVector) -> Origin<'_> {
        let dot = Dot::new(r(replica), Sequence::new(sequence).unwrap(), 0);
        Origin {
            dot,
            hlc: Hlc::default(),
            context,
        }
    }

    fn inc(counter: &mut ObservedResetCounter, by: i64, o: &Origin<'_>) {
        let (tag, sum) = counter.next_increment(o.dot.replica, o.dot.position, Exact::from_i64(by));
        counter.increment(o, tag, sum);
    }

    #[test]
    fn a_reset_takes_back_only_what_it_named_of_a_cell_that_went_on() {
        let none = VersionVector::new();
        let mut here = ObservedResetCounter::default();
        inc(&mut here, 5, &origin(2, 1, &none));
        let named = here.observed(r(1));
        inc(&mut here, 2, &origin(2, 2, &none));
        here.reset(&origin(1, 1, &seen(&[(2, 1)])), &named);
        assert_eq!(here.sum(), Exact::from_i64(2));
        here.reset(&origin(3, 1, &seen(&[(2, 1)])), &named);
        assert_eq!(
            here.sum(),
            Exact::from_i64(2),
            "two resets of the same increments count once"
        );
    }

    #[test]
    fn a_reset_that_names_nothing_covers_what_it_had_seen() {
        let none = VersionVector::new();
        let mut here = ObservedResetCounter::default();
        inc(&mut here, 5, &origin(2, 1, &none));
        here.reset(&origin(1, 1, &seen(&[(2, 1)])), &[]);
        assert!(!here.is_present() && here.has_dead());
        here.collect(|_, _| true);
        assert!(here.cells().is_empty());
        let late = origin(2, 2, &none);
        here.increment(
            &late,
            Position {
                sequence: Sequence::FIRST,
                index: 0,
            },
            Exact::from_i64(9),
        );
        assert!(
            here.cells().is_empty(),
            "an increment of a dropped cell does nothing"
        );
    }

    #[test]
    fn an_increment_by_zero_is_present() {
        let none = VersionVector::new();
        let mut here = ObservedResetCounter::default();
        inc(&mut here, 0, &origin(2, 1, &none));
        assert!(here.is_present());
        assert_eq!(here.sum(), Exact::zero());
    }

    #[test]
    fn an_older_copy_does_not_bring_a_removed_amount_back() {
        // +5, delete, +1, then join with a strictly older copy: 1, never 5.
        let none = VersionVector::new();
        let mut here = ObservedResetCounter::default();
        inc(&mut here, 5, &origin(1, 1, &none));
        let older = here.clone();
        here.reset(&origin(1, 2, &none), &[]);
        inc(&mut here, 1, &origin(1, 3, &none));
        here.join(&seen(&[(1, 3)]), &older, &seen(&[(1, 1)]));
        assert_eq!(here.sum(), Exact::from_i64(1));
    }
}
