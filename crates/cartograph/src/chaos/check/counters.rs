//! Sums: what each region shows at the end must be one of the values that the history allows.
//!
//! Every acknowledged change counts exactly once. A change of unknown outcome counts or does not, so the allowed values are
//! the sum of the acknowledged ones plus the sum of *any subset* of the unknown ones: not the whole interval between the
//! extremes. Changes are large and sparse (see `workload`), so that hardly any wrong value is such a sum by chance; one lost
//! or doubled increment shows. With more than [`EXACT_MAX`] unknown changes of one sum only the interval is checked.

use super::super::history::{History, Object, Op, Violation};
use super::risk::{Fate, fate};

/// Unknown changes of one sum up to which subsets are looked through.
pub(crate) const EXACT_MAX: usize = 32;

/// What may be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Account {
    certain: i128,
    possible: Vec<i128>,
    events: Vec<u32>,
}

/// Checks the final sums.
pub(crate) fn check(history: &History) -> Vec<Violation> {
    let mut accounts: std::collections::BTreeMap<(Object, u8), Account> = std::collections::BTreeMap::new();
    for event in &history.events {
        let Op::Bump { sum, by } = event.op else { continue };
        let account = accounts.entry((event.object, sum)).or_default();
        match fate(history, event) {
            Fate::Must => account.certain += i128::from(by),
            Fate::May => account.possible.push(i128::from(by)),
            Fate::Never => continue,
        }
        account.events.push(event.id);
    }
    let mut violations = Vec::new();
    for ((object, sum), account) in &accounts {
        for (region, views) in history.finals.iter().enumerate() {
            let shown = i128::from(views.get(object).map_or(0, |view| view.sum(*sum)));
            if !is_possible(shown - account.certain, &account.possible) {
                violations.push(Violation {
                    check: "counters",
                    what: format!(
                        "{object} (sum {sum}) shows {shown} in {}, {} off the acknowledged {}; no subset of the {} unknown \
                         changes explains that",
                        history.name(region),
                        shown - account.certain,
                        account.certain,
                        account.possible.len()
                    ),
                    events: account.events.clone(),
                });
            }
        }
    }
    for (region, views) in history.finals.iter().enumerate() {
        for (object, view) in views {
            for (sum, shown) in &view.sums {
                if *shown != 0 && !accounts.contains_key(&(*object, *sum)) {
                    violations.push(Violation {
                        check: "counters",
                        what: format!(
                            "{object} (sum {sum}) shows {shown} in {}, and nobody changed it",
                            history.name(region)
                        ),
                        events: Vec::new(),
                    });
                }
            }
        }
    }
    violations
}

/// Whether `wanted` is the sum of some subset of `parts`; with too many parts, whether it lies between the extremes.
pub(crate) fn is_possible(wanted: i128, parts: &[i128]) -> bool {
    let low: i128 = parts.iter().filter(|part| **part < 0).sum();
    let high: i128 = parts.iter().filter(|part| **part > 0).sum();
    if wanted < low || wanted > high {
        return false;
    }
    if parts.len() > EXACT_MAX {
        return true;
    }
    // Meet in the middle: each half has at most 2^16 sums.
    let (left, right) = parts.split_at(parts.len() / 2);
    let (left, right) = (subset_sums(left), subset_sums(right));
    left.iter()
        .any(|sum| right.binary_search(&(wanted - sum)).is_ok())
}

/// The sums of all subsets, sorted, each once.
fn subset_sums(parts: &[i128]) -> Vec<i128> {
    let mut sums = vec![0];
    for part in parts {
        let with: Vec<i128> = sums.iter().map(|sum| sum + part).collect();
        sums.extend(with);
        sums.sort_unstable();
        sums.dedup();
    }
    sums
}
