//! The checkers: functions of a recorded history that find what must not be.
//!
//! | check | what it refuses |
//! |---|---|
//! | `convergence` | regions that differ at the end |
//! | `sets` | acknowledged adds that are lost, refused ones that are there, removed members that are back |
//! | `no resurrection` | a member that was gone in a region and is shown there again, at any time |
//! | `counters` | a sum that no subset of the unknown changes explains |
//! | `registers` | a value that nobody wrote, or that was overwritten by somebody who had it |
//! | `sessions` | a client that is not shown what it knew, in the same region |
//! | `session tokens` | the same in another region, with the token |
//!
//! What a wiped or set-back store may lose is decided in [`risk`]. `tests` feeds each check histories that break it.

pub(crate) mod counters;
pub(crate) mod registers;
pub(crate) mod risk;
pub(crate) mod sessions;
pub(crate) mod sets;
#[cfg(test)]
mod tests;

use super::history::{History, Violation};

/// The names of all checks, in the order of a report.
pub(crate) const CHECKS: [&str; 7] = [
    "convergence",
    "sets",
    "no resurrection",
    "counters",
    "registers",
    "sessions",
    "session tokens",
];

/// Runs them all.
pub(crate) fn all(history: &History) -> Vec<Violation> {
    let mut violations = convergence(history);
    violations.extend(sets::check(history));
    violations.extend(counters::check(history));
    violations.extend(registers::check(history));
    violations.extend(sessions::check(history));
    violations
}

/// All regions show the same in the end.
fn convergence(history: &History) -> Vec<Violation> {
    let Some((first, others)) = history.finals.split_first() else {
        return Vec::new();
    };
    let mut violations = Vec::new();
    for (other, region) in others.iter().zip(1..) {
        let objects: std::collections::BTreeSet<_> = first.keys().chain(other.keys()).collect();
        for object in objects {
            let (here, there) = (first.get(object), other.get(object));
            if here != there {
                violations.push(Violation {
                    check: "convergence",
                    what: format!(
                        "{object} is {here:?} in {} and {there:?} in {}",
                        history.name(0),
                        history.name(region)
                    ),
                    events: Vec::new(),
                });
            }
        }
    }
    violations
}
