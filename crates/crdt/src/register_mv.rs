//! A register that keeps every concurrent value and shows one: last writer wins, without forgetting the loser.
//!
//! An assignment replaces the values that its writer had seen. Concurrent assignments stay side by side; the one with
//! the higher clock is shown (see [`crate::hlc::wins`]). If the winner is later removed by someone who had not seen
//! the loser, the loser is shown: nothing that nobody removed is lost. Losers are dropped once they and the winner
//! are causally stable, for then whoever removes the winner has seen them too.
//!
//! Source: multi-value register, Shapiro et al., INRIA RR-7506 §3.2.2; the shown winner is ours.

use crate::causal::{Origin, VersionVector};
use crate::hlc::{Hlc, wins};
use crate::ids::Dot;
use crate::set_add_wins::join_dots;

/// One live assignment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written<V> {
    /// The assignment's dot.
    pub dot: Dot,
    /// Its entry's clock reading.
    pub hlc: Hlc,
    /// The value.
    pub value: V,
}

/// All live assignments of one register, ascending by dot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MvRegister<V> {
    written: Vec<Written<V>>,
}

impl<V> Default for MvRegister<V> {
    fn default() -> Self {
        MvRegister { written: Vec::new() }
    }
}

impl<V: Clone> MvRegister<V> {
    /// Rebuilds a register from its stored assignments.
    pub fn from_written(mut written: Vec<Written<V>>) -> Self {
        written.sort_by_key(|w| w.dot);
        written.dedup_by_key(|w| w.dot);
        MvRegister { written }
    }

    /// Every live assignment, ascending by dot.
    pub fn written(&self) -> &[Written<V>] {
        &self.written
    }

    /// The assignment that is shown.
    pub fn winner(&self) -> Option<&Written<V>> {
        self.written.iter().reduce(|a, b| {
            if wins((b.hlc, &b.dot), (a.hlc, &a.dot)) {
                b
            } else {
                a
            }
        })
    }

    /// Applies an assignment.
    pub fn assign(&mut self, origin: &Origin<'_>, value: V) {
        self.remove(origin);
        let at = self.written.partition_point(|w| w.dot < origin.dot);
        self.written.insert(
            at,
            Written {
                dot: origin.dot,
                hlc: origin.hlc,
                value,
            },
        );
    }

    /// Applies a removal: every value goes that the remover had seen.
    pub fn remove(&mut self, origin: &Origin<'_>) {
        self.written.retain(|w| !origin.has_seen(&w.dot));
    }

    /// Joins with the state of a replica whose vector is `theirs`; ours is `ours`.
    pub fn join(&mut self, ours: &VersionVector, other: &Self, theirs: &VersionVector) {
        join_dots(&mut self.written, ours, &other.written, theirs, |w| w.dot);
    }

    /// Drops losers that can never be shown again: both they and the winner are covered by `stable`.
    pub fn collect(&mut self, stable: &VersionVector) {
        let Some(winner) = self.winner().map(|w| w.dot) else {
            return;
        };
        if stable.covers(&winner) {
            self.written.retain(|w| w.dot == winner || !stable.covers(&w.dot));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{ReplicaId, Sequence};

    fn dot(replica: u16, sequence: u64) -> Dot {
        Dot::new(ReplicaId::new(replica, 1), Sequence::new(sequence).unwrap(), 0)
    }

    #[test]
    fn the_loser_is_shown_when_the_winner_is_removed_unseen() {
        let nothing = VersionVector::new();
        let mut register = MvRegister::default();
        register.assign(
            &Origin {
                dot: dot(1, 1),
                hlc: Hlc::new(9, 0),
                context: &nothing,
            },
            "high",
        );
        register.assign(
            &Origin {
                dot: dot(2, 1),
                hlc: Hlc::new(5, 0),
                context: &nothing,
            },
            "low",
        );
        assert_eq!(register.winner().unwrap().value, "high");
        register.remove(&Origin {
            dot: dot(1, 2),
            hlc: Hlc::new(10, 0),
            context: &nothing,
        });
        assert_eq!(register.winner().unwrap().value, "low");
    }

    #[test]
    fn losers_wait_until_winner_and_loser_are_stable() {
        let nothing = VersionVector::new();
        let mut register = MvRegister::default();
        register.assign(
            &Origin {
                dot: dot(1, 1),
                hlc: Hlc::new(9, 0),
                context: &nothing,
            },
            "high",
        );
        register.assign(
            &Origin {
                dot: dot(2, 1),
                hlc: Hlc::new(5, 0),
                context: &nothing,
            },
            "low",
        );
        register.collect(&[(ReplicaId::new(2, 1), 1)].into_iter().collect());
        assert_eq!(register.written().len(), 2);
        register.collect(
            &[(ReplicaId::new(1, 1), 1), (ReplicaId::new(2, 1), 1)]
                .into_iter()
                .collect(),
        );
        assert_eq!(register.winner().unwrap().value, "high");
        assert_eq!(register.written().len(), 1);
    }
}
