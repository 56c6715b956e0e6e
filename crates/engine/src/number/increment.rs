//! One float increment at its writer: what is shown after it, and what it adds to causal state.

use cartograph_crdt::exact::Exact;
use num_bigint::BigInt;

use super::long_double::LongDouble;

/// A float increment that Redis would have made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FloatIncrement {
    /// The number after it, as replied and as shown.
    pub shown: String,
    /// Exactly what is shown after it less exactly what was shown before, Redis's rounding included.
    pub delta: Exact,
    /// It is past the range of 64-bit integers, where a sum of increments could not be told from integer increments of
    /// several regions, which are shown saturated (see [`super::show_number`]). So `shown` is to be written as a value.
    pub out_of_range: bool,
}

/// Why INCRBYFLOAT or HINCRBYFLOAT refuses. Nothing changed. The text is the RESP error of Redis, word for word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FloatError {
    /// The increment, or the string incremented, is not a number.
    #[error("ERR value is not a valid float")]
    NotAFloat,
    /// The hash field incremented is not a number.
    #[error("ERR hash value is not a float")]
    HashNotAFloat,
    /// HINCRBYFLOAT by an infinity.
    #[error("ERR value is NaN or Infinity")]
    IncrementNotFinite,
    /// The result would not be finite.
    #[error("ERR increment would produce NaN or Infinity")]
    NanOrInfinity,
}

/// INCRBYFLOAT: `old` is the string shown, `None` when there is no key.
///
/// # Errors
/// [`FloatError::NotAFloat`], [`FloatError::NanOrInfinity`].
pub fn incr_by_float(old: Option<&[u8]>, by: &[u8]) -> Result<FloatIncrement, FloatError> {
    let old = read_old(old).ok_or(FloatError::NotAFloat)?;
    let by = LongDouble::parse(by).ok_or(FloatError::NotAFloat)?;
    increment(old, by)
}

/// HINCRBYFLOAT: `old` is the field's value shown, `None` when there is no such field. Redis checks in another order, with other words.
///
/// # Errors
/// [`FloatError::NotAFloat`], [`FloatError::IncrementNotFinite`], [`FloatError::HashNotAFloat`], [`FloatError::NanOrInfinity`].
pub fn hincr_by_float(old: Option<&[u8]>, by: &[u8]) -> Result<FloatIncrement, FloatError> {
    let by = LongDouble::parse(by).ok_or(FloatError::NotAFloat)?;
    if by.is_nan_or_inf() {
        return Err(FloatError::IncrementNotFinite);
    }
    let old = read_old(old).ok_or(FloatError::HashNotAFloat)?;
    increment(old, by)
}

fn read_old(old: Option<&[u8]>) -> Option<(LongDouble, Exact)> {
    old.map_or_else(
        || Some((LongDouble::ZERO, Exact::zero())),
        LongDouble::parse_exactly,
    )
}

fn increment((old, before): (LongDouble, Exact), by: LongDouble) -> Result<FloatIncrement, FloatError> {
    let sum = old + by;
    if sum.is_nan_or_inf() {
        return Err(FloatError::NanOrInfinity);
    }
    let shown = sum.format_human();
    // Not the sum: what is shown of it, which has 17 places.
    let after = Exact::from_decimal(shown.as_bytes()).map_err(|_| FloatError::NanOrInfinity)?;
    Ok(FloatIncrement {
        shown,
        out_of_range: !after.is_in_i64_range(),
        delta: &after - &before,
    })
}

/// Why ZINCRBY refuses. Nothing changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ScoreError {
    /// An infinity less itself. The text is Redis's own.
    #[error("ERR resulting score is not a number (NaN)")]
    NotANumber,
    /// An infinite increment: it has no place in a sum. (Redis allows it; ZADD sets an infinite score here too.)
    #[error("ERR a replicated increment must be finite, use ZADD to set an infinite score")]
    NotFinite,
}

/// ZINCRBY: the score shown after adding `by` to the score shown, `old` (`None`: no such member), and what the increment counts for.
///
/// The score is the sum of the doubles, as Redis computes it; what counts is the exact difference of the doubles before and after.
/// - On an infinite score (a ZADD set it) the score stays, and `by` itself counts: it shows when the infinity is gone.
/// - A sum past the largest double is shown as an infinity and counts up to 2^1024, the first value that rounds to one.
/// - `-0` is shown as `0`: a sum has no negative zero.
///
/// # Errors
/// [`ScoreError::NotANumber`], [`ScoreError::NotFinite`].
pub fn zincr(old: Option<f64>, by: f64) -> Result<(f64, Exact), ScoreError> {
    let old = old.unwrap_or(0.0);
    let shown = old + by + 0.0;
    if shown.is_nan() {
        return Err(ScoreError::NotANumber);
    }
    let exact_by = Exact::from_f64(by).map_err(|_| ScoreError::NotFinite)?;
    let Ok(before) = Exact::from_f64(old) else {
        return Ok((shown, exact_by));
    };
    let after = Exact::from_f64(shown).or_else(|_| {
        let sign = if shown < 0.0 { -1 } else { 1 };
        Exact::from_scaled(&BigInt::from(sign), 1024, 0)
    });
    // Neither fails: a finite double and 2^1024 are within the bounds of an exact sum.
    let after = after.map_err(|_| ScoreError::NotANumber)?;
    Ok((shown, &after - &before))
}
