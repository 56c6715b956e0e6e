//! How merged numbers are shown.
//!
//! A register-and-counter is a base (the winning value written by SET, HSET or ZADD) plus the live increments. While no increment is live
//! the base is shown as it was written, and nothing here is asked. Once one is, the exact total is rounded, once, for showing.

use cartograph_crdt::exact::{Exact, ExactError};

use super::long_double::{LongDouble, PLACES};

/// A merged number, ready for the view.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// What is shown. INCRBYFLOAT reads it; INCR does too, when there is no point in it.
    pub text: Vec<u8>,
    /// The total is past the range and the nearer end is shown instead: to be counted, and every increment by a writer that sees it so is
    /// to be refused.
    pub saturated: bool,
}

/// The exact value of a text that is a number: one that INCRBYFLOAT accepts and that is finite. `None` for any other value.
pub fn parse_number(text: &[u8]) -> Option<Exact> {
    LongDouble::parse_exactly(text)
        .filter(|(value, _)| !value.is_nan_or_inf())
        .map(|(_, exact)| exact)
}

/// The exact value of plain decimal text, such as a shown number; see [`Exact::from_decimal`].
///
/// # Errors
/// [`ExactError`] when it is not decimal or past the bounds.
pub fn exact_of_decimal(text: &[u8]) -> Result<Exact, ExactError> {
    Exact::from_decimal(text)
}

/// How `base` (`None`: no value was ever set, or it is gone) with live increments of `sum` is shown.
///
/// Plain decimal text: the exact total when it has at most 17 fractional digits, else the nearest with 17, ties to even; no exponent, no
/// zeros at the end. What one region's INCRBYFLOAT showed has at most 17, so base and increments of one region give back Redis's digits.
///
/// A number is kept to the range of 64-bit integers, as INCR keeps it: a merged sum past it shows the nearer end. What
/// INCRBYFLOAT takes past it is written as a value, and has no increments.
pub fn show_number(base: Option<&Exact>, sum: &Exact) -> Shown {
    let total = base.map_or_else(|| sum.clone(), |base| base + sum);
    let (end, _) = total.to_i64_saturating();
    let end = (!total.is_in_i64_range()).then(|| Exact::from_i64(end));
    let saturated = end.is_some();
    Shown {
        text: end.unwrap_or(total).to_plain(PLACES).into_bytes(),
        saturated,
    }
}

/// How a score `base` (`None`: only increments are left) with live increments of `sum` is shown: an infinite base as it is, else the
/// double nearest to the exact total.
pub fn show_score(base: Option<f64>, sum: &Exact) -> f64 {
    match base.map(|base| (base, Exact::from_f64(base))) {
        None => sum.to_f64(),
        Some((_, Ok(exact))) => (&exact + sum).to_f64(),
        Some((infinite, Err(_))) => infinite,
    }
}
