//! One register of a HyperLogLog: which ranks were added to it, and by which adds.
//!
//! Redis keeps, for each of 16,384 registers, the highest rank that any element hashed to. Merging takes the larger
//! rank, which is all that concurrent adds need; but a deletion must take back what it had seen and no more, so each
//! rank keeps the dot of its add. An add drops the lower and equal ranks that its writer had seen; so a register
//! holds a rank or two, not its history.
//!
//! A key's deletion beats concurrent adds where it shows a HyperLogLog: see `wipe` in [`crate::effect`].
//! (Flajolet et al. 2007; register layout: redis.io/docs/latest/develop/data-types/probabilistic/hyperloglogs.)

use crate::causal::{Origin, VersionVector};
use crate::ids::Dot;
use crate::set_add_wins::join_dots;

/// Number of registers in Redis's HyperLogLog (14 bits of the hash).
pub const REGISTERS: u16 = 16_384;

/// The highest rank that Redis's hash can give: 64 - 14 bits, plus one.
pub const RANK_MAX: u8 = 51;

/// One add to the register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ranked {
    /// The add.
    pub dot: Dot,
    /// Its rank, 1 to [`RANK_MAX`].
    pub rank: u8,
}

/// The live adds of one register, ascending by dot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RankRegister {
    ranked: Vec<Ranked>,
}

impl RankRegister {
    /// Rebuilds a register from its stored adds.
    pub fn from_ranked(mut ranked: Vec<Ranked>) -> Self {
        ranked.sort_by_key(|r| r.dot);
        ranked.dedup_by_key(|r| r.dot);
        RankRegister { ranked }
    }

    /// The live adds, ascending by dot.
    pub fn ranked(&self) -> &[Ranked] {
        &self.ranked
    }

    /// The rank that is shown; 0 for an empty register.
    pub fn rank(&self) -> u8 {
        self.ranked.iter().map(|r| r.rank).max().unwrap_or(0)
    }

    /// Applies an add of `rank`.
    pub fn add(&mut self, origin: &Origin<'_>, rank: u8) {
        self.ranked.retain(|r| r.rank > rank || !origin.has_seen(&r.dot));
        let at = self.ranked.partition_point(|r| r.dot < origin.dot);
        self.ranked.insert(
            at,
            Ranked {
                dot: origin.dot,
                rank,
            },
        );
    }

    /// Applies a removal: the adds go that the remover had seen.
    pub fn remove(&mut self, origin: &Origin<'_>) {
        self.ranked.retain(|r| !origin.has_seen(&r.dot));
    }

    /// Joins with the state of a replica whose vector is `theirs`; ours is `ours`.
    pub fn join(&mut self, ours: &VersionVector, other: &Self, theirs: &VersionVector) {
        join_dots(&mut self.ranked, ours, &other.ranked, theirs, |r| r.dot);
    }

    /// Drops adds that are outranked for good: they and the highest one are covered by `stable`.
    pub fn collect(&mut self, stable: &VersionVector) {
        let Some(top) = self.ranked.iter().max_by_key(|r| (r.rank, r.dot)).copied() else {
            return;
        };
        if stable.covers(&top.dot) {
            self.ranked.retain(|r| r.dot == top.dot || !stable.covers(&r.dot));
        }
    }
}
