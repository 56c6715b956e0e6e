//! The shortest part of a failing history that still fails.
//!
//! Delta debugging (Zeller and Hildebrandt 2002): drop ever smaller runs of steps while what is left still fails. Every
//! step has its own seed, so dropping one leaves the others' chance as it was. Any violation counts: the shortest
//! history often shows another face of the same fault.

use crate::history::{Plan, Violation, play_steps};
use crate::steps::{Planned, draw};

/// A history cut down.
#[derive(Clone, Debug)]
pub struct Shrunk {
    /// Which of the seed's steps are left, ascending.
    pub kept: Vec<usize>,
    /// What those steps do.
    pub violation: Violation,
    /// How many histories were played for it.
    pub played: usize,
}

/// The steps of a seed with these numbers.
pub fn only(seed: u64, plan: &Plan, kept: &[usize]) -> Vec<Planned> {
    let all = draw(seed, plan);
    kept.iter().filter_map(|n| all.get(*n).cloned()).collect()
}

/// Cuts the failing history of a seed down, playing at most `played_max` others.
pub fn shrink(seed: u64, plan: &Plan, violation: Violation, played_max: usize) -> Shrunk {
    let mut best = Shrunk {
        kept: (0..draw(seed, plan).len()).collect(),
        violation,
        played: 0,
    };
    let mut size = best.kept.len().div_ceil(2).max(1);
    loop {
        let mut dropped = false;
        let mut at = 0;
        while at < best.kept.len() && best.played < played_max {
            let end = (at + size).min(best.kept.len());
            let kept: Vec<usize> = best
                .kept
                .iter()
                .enumerate()
                .filter(|(n, _)| *n < at || *n >= end)
                .map(|(_, step)| *step)
                .collect();
            best.played += 1;
            match play_steps(seed, plan, &only(seed, plan, &kept), u64::MAX) {
                Err(violation) => {
                    best.kept = kept;
                    best.violation = violation;
                    dropped = true;
                }
                Ok(_) => at = end,
            }
        }
        if best.played >= played_max || (size == 1 && !dropped) {
            return best;
        }
        if !dropped || size > best.kept.len() {
            size = (size / 2).max(1);
        }
    }
}
