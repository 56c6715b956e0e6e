//! One member of an add-wins set: is it present, and by which adds?
//!
//! The reader's one question about an OR-Set is *"not seen yet, or removed?"* Here it has a short answer. A member's
//! state is the set of its live dots: those of the adds that no removal has covered. A replica's version vector says
//! which adds it has applied at all. So a dot that is in the vector but not in the state was removed, and a dot that
//! is not in the vector has not been seen; a removed member leaves nothing behind.
//!
//! - `add` puts its own dot and drops the dots that its writer had seen: they say nothing that the new one does not,
//!   since whoever removes the new dot has seen the old ones too.
//! - `remove` drops the dots that its writer had seen, named or not. An add that the remover had not seen is no part
//!   of its context and survives: *add wins*.
//!
//! The caller applies effects in causal order without gaps (see `replica`), each once.
//!
//! Source: Bieniusa et al., "An optimized conflict-free replicated set", arXiv:1210.3368; context per shard instead of
//! per set: docs/adr/0003.

use crate::causal::{Origin, VersionVector};
use crate::ids::Dot;

/// The live adds of one set member. The set itself is a row's elements (see [`crate::row`]).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AddWinsMember {
    /// Live dots, ascending, each once. Usually one; several only after concurrent adds.
    dots: Vec<Dot>,
}

impl AddWinsMember {
    /// Rebuilds a member from its stored dots.
    pub fn from_dots(mut dots: Vec<Dot>) -> Self {
        dots.sort_unstable();
        dots.dedup();
        AddWinsMember { dots }
    }

    /// The live dots, ascending.
    pub fn dots(&self) -> &[Dot] {
        &self.dots
    }

    /// Is the member in the set?
    pub fn is_present(&self) -> bool {
        !self.dots.is_empty()
    }

    /// Applies an add of this member.
    ///
    /// # Cost
    /// O(dots of the member), usually 1.
    pub fn add(&mut self, origin: &Origin<'_>) {
        self.remove(origin);
        insert(&mut self.dots, origin.dot);
    }

    /// Applies a removal: every add goes that the remover had seen.
    pub fn remove(&mut self, origin: &Origin<'_>) {
        self.dots.retain(|dot| !origin.has_seen(dot));
    }

    /// Joins with the state of a replica whose vector is `theirs`; ours is `ours`.
    pub fn join(&mut self, ours: &VersionVector, other: &Self, theirs: &VersionVector) {
        join_dots(&mut self.dots, ours, &other.dots, theirs, |d| *d);
    }
}

/// Puts `dot` in its place among `dots`, which ascend.
pub(crate) fn insert(dots: &mut Vec<Dot>, dot: Dot) {
    if let Err(at) = dots.binary_search(&dot) {
        dots.insert(at, dot);
    }
}

/// The join of two dot stores: what both have stays, and what one has stays unless the other has seen and dropped it.
/// Leaves `mine` ascending by dot. Items with the same dot are the same item.
pub(crate) fn join_dots<T: Clone>(
    mine: &mut Vec<T>,
    ours: &VersionVector,
    other: &[T],
    theirs: &VersionVector,
    dot: impl Fn(&T) -> Dot,
) {
    let in_other = |d: &Dot| other.iter().any(|o| dot(o) == *d);
    mine.retain(|item| in_other(&dot(item)) || !theirs.covers(&dot(item)));
    for item in other {
        if !ours.covers(&dot(item)) {
            mine.push(item.clone());
        }
    }
    mine.sort_unstable_by_key(|item| dot(item));
    mine.dedup_by_key(|item| dot(item));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hlc::Hlc;
    use crate::ids::{ReplicaId, Sequence};

    fn dot(replica: u16, sequence: u64) -> Dot {
        Dot::new(ReplicaId::new(replica, 1), Sequence::new(sequence).unwrap(), 0)
    }

    fn seen(pairs: &[(u16, u64)]) -> VersionVector {
        pairs.iter().map(|&(r, n)| (ReplicaId::new(r, 1), n)).collect()
    }

    #[test]
    fn an_add_that_the_remover_had_not_seen_survives() {
        let nothing = VersionVector::new();
        let mut member = AddWinsMember::default();
        member.add(&Origin {
            dot: dot(1, 1),
            hlc: Hlc::default(),
            context: &nothing,
        });
        member.add(&Origin {
            dot: dot(2, 1),
            hlc: Hlc::default(),
            context: &nothing,
        });
        let remover_saw = seen(&[(1, 1)]);
        member.remove(&Origin {
            dot: dot(3, 1),
            hlc: Hlc::default(),
            context: &remover_saw,
        });
        assert_eq!(member.dots(), [dot(2, 1)]);
    }

    #[test]
    fn a_removed_dot_does_not_come_back_from_an_older_copy() {
        let mut ours = AddWinsMember::default();
        let older = AddWinsMember::from_dots(vec![dot(1, 1)]);
        ours.join(&seen(&[(1, 1), (2, 1)]), &older, &seen(&[(1, 1)]));
        assert!(!ours.is_present());
    }
}
