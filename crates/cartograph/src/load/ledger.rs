//! The ledger: was every acknowledged add kept, in every region, exactly once?
//!
//! Ledger carts are only ever added to, some from one region and some from all at once, and they are new in each
//! run. So at the end a line's quantity is known: the sum of the acknowledged adds. An add whose outcome is
//! unknown (no answer in time, a broken connection) may or may not be in it; it widens what is allowed to
//! `[acknowledged, acknowledged + unknown]`. Less is a lost write. More is one that counted twice, or that was
//! refused and happened all the same.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};

use crate::client::Outcome;
use crate::text::{and_more, counted, table};

/// A line of a ledger cart: the cart's number and the product.
pub(crate) type Line = (u32, &'static str);

/// What has been added to one line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Account {
    /// Units whose add was acknowledged.
    pub(crate) acknowledged: u64,
    /// Units whose add may have happened.
    pub(crate) unknown: u64,
}

impl Account {
    /// What a region that shows `shown` units has lost, and what it has too many.
    fn judge(self, shown: u64) -> (u64, u64) {
        let most = self.acknowledged.saturating_add(self.unknown);
        (
            self.acknowledged.saturating_sub(shown),
            shown.saturating_sub(most),
        )
    }
}

/// Everything that was added to the ledger carts.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    book: Mutex<Book>,
}

#[derive(Clone, Debug, Default)]
struct Book {
    lines: BTreeMap<Line, Account>,
    adds: usize,
    unknown_adds: usize,
}

impl Ledger {
    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records how an add ended: `Ok` is acknowledged.
    pub(crate) fn record(&self, line: Line, quantity: u8, ended: Result<(), Outcome>) {
        let mut book = self.book();
        let account = book.lines.entry(line).or_default();
        match ended {
            Ok(()) => {
                account.acknowledged += u64::from(quantity);
                book.adds += 1;
            }
            Err(Outcome::Unknown) => {
                account.unknown += u64::from(quantity);
                book.unknown_adds += 1;
            }
            Err(Outcome::Definite) => {}
        }
    }

    /// The carts that have been added to, or may have been.
    pub(crate) fn carts(&self) -> Vec<u32> {
        let mut carts: Vec<u32> = self.book().lines.keys().map(|(cart, _)| *cart).collect();
        carts.dedup();
        carts
    }

    /// Compares what the regions show with what was added. `shown` has each region's ledger carts by number.
    pub(crate) fn check(&self, shown: &BTreeMap<String, BTreeMap<u32, BTreeMap<String, u64>>>) -> Findings {
        let book = self.book();
        let mut wrong = Vec::new();
        for (region, carts) in shown {
            for (&(cart, sku), &account) in &book.lines {
                let quantity = carts
                    .get(&cart)
                    .and_then(|lines| lines.get(sku))
                    .copied()
                    .unwrap_or(0);
                let (lost, extra) = account.judge(quantity);
                if lost + extra > 0 {
                    wrong.push(Wrong {
                        region: region.clone(),
                        cart,
                        sku: sku.to_owned(),
                        account,
                        quantity,
                    });
                }
            }
            for (&cart, lines) in carts {
                for (sku, &quantity) in lines {
                    let known = book
                        .lines
                        .keys()
                        .any(|&(known, added)| known == cart && added == sku);
                    if !known && quantity > 0 {
                        let account = Account::default();
                        wrong.push(Wrong {
                            region: region.clone(),
                            cart,
                            sku: sku.clone(),
                            account,
                            quantity,
                        });
                    }
                }
            }
        }
        Findings {
            acknowledged: book.lines.values().map(|account| account.acknowledged).sum(),
            unknown: book.lines.values().map(|account| account.unknown).sum(),
            adds: book.adds,
            unknown_adds: book.unknown_adds,
            lines: book.lines.len(),
            regions: shown.len(),
            wrong,
        }
    }
}

/// A line that a region shows with a quantity that the adds do not explain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wrong {
    region: String,
    cart: u32,
    sku: String,
    account: Account,
    quantity: u64,
}

/// What the ledger found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Findings {
    acknowledged: u64,
    unknown: u64,
    adds: usize,
    unknown_adds: usize,
    lines: usize,
    regions: usize,
    wrong: Vec<Wrong>,
}

/// How many wrong lines are shown; the rest are counted.
const SHOWN_MAX: usize = 20;

impl Findings {
    /// True if every region holds what it must.
    pub(crate) fn clean(&self) -> bool {
        self.wrong.is_empty()
    }

    /// Units lost: for each line, in the region that lost most of it.
    fn lost(&self) -> u64 {
        self.worst(|wrong| wrong.account.judge(wrong.quantity).0)
    }

    /// Units that no add explains: for each line, in the region that has most of them.
    fn extra(&self) -> u64 {
        self.worst(|wrong| wrong.account.judge(wrong.quantity).1)
    }

    fn worst(&self, amount: impl Fn(&Wrong) -> u64) -> u64 {
        let mut lines: BTreeMap<(u32, &str), u64> = BTreeMap::new();
        for wrong in &self.wrong {
            let line = lines.entry((wrong.cart, &wrong.sku)).or_default();
            *line = amount(wrong).max(*line);
        }
        lines.values().sum()
    }

    /// `acknowledged N, lost 0`, what that rests on, and the lines that are wrong.
    pub(crate) fn render(&self, cart_id: impl Fn(u32) -> String) -> String {
        let mut text = format!(
            "acknowledged {}, lost {}, extra {}  ({} on {} in {})",
            self.acknowledged,
            self.lost(),
            self.extra(),
            counted(self.adds, "add"),
            counted(self.lines, "line"),
            counted(self.regions, "region"),
        );
        if self.unknown_adds > 0 {
            let _ = write!(
                text,
                "\n{} more units in {} of unknown outcome may or may not be there",
                self.unknown,
                counted(self.unknown_adds, "add")
            );
        }
        if !self.wrong.is_empty() {
            let row = |wrong: &Wrong| {
                let most = wrong.account.acknowledged + wrong.account.unknown;
                let expected = if wrong.account.unknown == 0 {
                    wrong.account.acknowledged.to_string()
                } else {
                    format!("{} to {most}", wrong.account.acknowledged)
                };
                vec![
                    wrong.region.clone(),
                    cart_id(wrong.cart),
                    wrong.sku.clone(),
                    expected,
                    wrong.quantity.to_string(),
                ]
            };
            let rows = self.wrong.iter().take(SHOWN_MAX).map(row).collect();
            text.push('\n');
            text.push_str(&table(&["region", "cart", "sku", "expected", "shown"], rows));
            text.push_str(&and_more(self.wrong.len(), SHOWN_MAX));
        }
        text
    }

    /// The same for `--json`.
    pub(crate) fn to_json(&self, cart_id: impl Fn(u32) -> String) -> Value {
        let wrong = |wrong: &Wrong| {
            json!({
                "region": wrong.region, "cart_id": cart_id(wrong.cart), "sku": wrong.sku,
                "acknowledged": wrong.account.acknowledged, "unknown": wrong.account.unknown, "shown": wrong.quantity,
            })
        };
        json!({
            "acknowledged": self.acknowledged, "lost": self.lost(), "extra": self.extra(), "unknown": self.unknown,
            "adds": self.adds, "unknown_adds": self.unknown_adds, "lines": self.lines,
            "wrong": self.wrong.iter().map(wrong).collect::<Vec<_>>(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: Line = (4, "OLJCESPC7Z");

    fn shown(quantities: &[(&str, u64)]) -> BTreeMap<String, BTreeMap<u32, BTreeMap<String, u64>>> {
        let cart = |quantity| BTreeMap::from([(LINE.0, BTreeMap::from([(LINE.1.to_owned(), quantity)]))]);
        quantities
            .iter()
            .map(|(region, quantity)| ((*region).to_owned(), cart(*quantity)))
            .collect()
    }

    fn ledger(adds: &[(u8, Result<(), Outcome>)]) -> Ledger {
        let ledger = Ledger::default();
        for (quantity, ended) in adds {
            ledger.record(LINE, *quantity, *ended);
        }
        ledger
    }

    #[test]
    fn acknowledged_adds_must_be_there_exactly() {
        let ledger = ledger(&[(3, Ok(())), (4, Ok(())), (5, Err(Outcome::Definite))]);
        assert_eq!(ledger.carts(), [4]);
        assert!(ledger.check(&shown(&[("us", 7), ("eu", 7)])).clean());
        let lost = ledger.check(&shown(&[("us", 7), ("eu", 6)]));
        assert_eq!((lost.lost(), lost.extra()), (1, 0));
        let doubled = ledger.check(&shown(&[("us", 8), ("eu", 7)]));
        assert_eq!((doubled.lost(), doubled.extra()), (0, 1));
        let refused_yet_there = ledger.check(&shown(&[("us", 12)]));
        assert_eq!(
            refused_yet_there.extra(),
            5,
            "a definite refusal must not have happened"
        );
    }

    #[test]
    fn unknown_outcomes_allow_an_interval_and_no_more() {
        let ledger = ledger(&[(3, Ok(())), (4, Err(Outcome::Unknown))]);
        let clean = |quantity| ledger.check(&shown(&[("us", quantity)])).clean();
        assert!(!clean(2));
        assert!(clean(3));
        assert!(
            clean(5),
            "no promise is made that it happens as a whole or not: the check stays simple"
        );
        assert!(clean(7));
        assert!(!clean(8));
    }

    #[test]
    fn a_region_without_the_cart_has_lost_it_and_lost_units_count_once() {
        let ledger = ledger(&[(6, Ok(()))]);
        let mut seen = shown(&[("us", 6), ("eu", 2)]);
        seen.insert("asia".to_owned(), BTreeMap::new());
        let findings = ledger.check(&seen);
        assert_eq!(findings.wrong.len(), 2);
        assert_eq!(
            findings.lost(),
            6,
            "the worst region counts, not the sum over regions"
        );
    }

    #[test]
    fn a_line_that_nobody_added_is_extra() {
        let ledger = ledger(&[(1, Ok(()))]);
        let mut seen = shown(&[("us", 1)]);
        seen.get_mut("us")
            .unwrap()
            .get_mut(&4)
            .unwrap()
            .insert("NOBODYS".to_owned(), 2);
        assert_eq!(ledger.check(&seen).extra(), 2);
    }

    #[test]
    fn the_summary_says_what_it_rests_on() {
        let ledger = ledger(&[(3, Ok(())), (4, Err(Outcome::Unknown))]);
        let good = ledger
            .check(&shown(&[("us", 3), ("eu", 3)]))
            .render(|cart| format!("c{cart}"));
        assert_eq!(
            good,
            "acknowledged 3, lost 0, extra 0  (1 add on 1 line in 2 regions)\n\
             4 more units in 1 add of unknown outcome may or may not be there"
        );
        let bad = ledger
            .check(&shown(&[("us", 2)]))
            .render(|cart| format!("c{cart}"));
        assert!(
            bad.contains("lost 1") && bad.ends_with("us      c4    OLJCESPC7Z  3 to 7    2"),
            "{bad}"
        );
    }
}
