//! Doubles: sorted-set scores as Redis reads and prints them.

use cartograph_crdt::exact::Exact;
use num_bigint::{BigInt, BigUint, Sign};

use super::text::{Literal, Radix, Significant, Text, count_of, scan};

/// Longest score text that is read, in bytes. Redis has no limit; no score needs more than some 1,100 characters.
pub const SCORE_TEXT_BYTES_MAX: usize = 65_535;

/// Hexadecimal digits that decide a double's rounding; what follows them only says "and a bit more".
const HEX_DIGITS_MAX: usize = 64;

/// The score that `text` is to ZADD and ZINCRBY: the nearest double, ties to even; or `None`, "not a valid float".
///
/// Takes what `strtod` takes, infinities and hexadecimal included. Refused: NaN, spaces, anything left over, text over
/// [`SCORE_TEXT_BYTES_MAX`], and finite text that rounds to an infinity or, not being zero, to zero.
pub fn parse_double(text: &[u8]) -> Option<f64> {
    if text.len() > SCORE_TEXT_BYTES_MAX {
        return None;
    }
    let literal = match scan(text)? {
        Text::Infinite { negative: true } => return Some(f64::NEG_INFINITY),
        Text::Infinite { negative: false } => return Some(f64::INFINITY),
        Text::Finite(literal) => literal,
    };
    let Some(significant) = literal.significant() else {
        return Some(if literal.negative { -0.0 } else { 0.0 });
    };
    let value = match literal.radix {
        Radix::Ten => std::str::from_utf8(text).ok()?.parse().ok()?,
        Radix::Sixteen => nearest_of_hexadecimal(&literal, significant)?,
    };
    (value != 0.0 && f64::is_finite(value)).then_some(value)
}

/// The bound of a range of scores that `text` is to ZRANGEBYSCORE, or `None`: "min or max is not a float".
///
/// Takes more than [`parse_double`]: spaces before the number, the empty text for 0, and what is too large or too small
/// for a double as an infinity or zero. Redis reads a C string here, so nothing after a NUL byte counts.
pub fn parse_bound(text: &[u8]) -> Option<f64> {
    let text = text.split(|byte| *byte == 0).next().unwrap_or_default();
    if text.is_empty() {
        return Some(0.0);
    }
    let spaces = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\n' | 0x0b | 0x0c | b'\r');
    let start = text.iter().position(|byte| !spaces(byte))?;
    let text = text.get(start..)?;
    if text.len() > SCORE_TEXT_BYTES_MAX {
        return None;
    }
    if let Some(number) = parse_double(text) {
        return Some(number);
    }
    let Text::Finite(literal) = scan(text)? else {
        return None;
    };
    // Not zero, and out of range: it is far above 1 or far below.
    let Significant { digits, exponent } = literal.significant()?;
    let top = exponent.saturating_add(count_of(digits.len()) * literal.weight());
    let size = if top > 0 { f64::INFINITY } else { 0.0 };
    Some(if literal.negative { -size } else { size })
}

/// `None` when it is so far out that it is an overflow or an underflow.
fn nearest_of_hexadecimal(literal: &Literal<'_>, significant: Significant) -> Option<f64> {
    let Significant {
        mut digits,
        mut exponent,
    } = significant;
    if digits.len() > HEX_DIGITS_MAX {
        // The last digit is never 0, so something is dropped: a final 1 stands for it, far below the rounding bit.
        exponent = exponent.saturating_add(count_of(digits.len() - HEX_DIGITS_MAX - 1) * literal.weight());
        digits.truncate(HEX_DIGITS_MAX);
        digits.push(b'1');
    }
    let sign = if literal.negative { Sign::Minus } else { Sign::Plus };
    let magnitude = BigInt::from_biguint(sign, BigUint::parse_bytes(&digits, 16)?);
    Exact::from_scaled(&magnitude, exponent, 0)
        .ok()
        .map(|value| value.to_f64())
}

/// A score as Redis up to 7.0 prints it in replies: C's `%.17g`, infinities as `inf` and `-inf`. Always reads back to the same double.
///
/// Views are written with it, whatever the version of the Redis behind: 17 digits are always enough.
pub fn format_double_17g(value: f64) -> String {
    if let Some(special) = special(value) {
        return special.to_owned();
    }
    let (sign, digits, exponent) = decimal_digits(value, &format!("{value:.16e}"));
    let body = if (-4..17).contains(&exponent) {
        fixed(&digits, exponent)
    } else {
        let (mark, size) = (if exponent < 0 { '-' } else { '+' }, exponent.unsigned_abs());
        format!("{}e{mark}{size:02}", pointed(&digits))
    };
    format!("{sign}{body}")
}

/// A score as Redis from 7.2 on prints it in replies: integers up to 2^62 as such, else the fewest digits that read back.
///
/// Redis's digit generator (Grisu2) misses the very shortest form for about one double in a thousand and then prints a digit more; the
/// number is the same, the text is not.
pub fn format_double_shortest(value: f64) -> String {
    const INTEGER_MAX: f64 = 4_611_686_018_427_387_904.0; // 2^62, half of the 64-bit range
    if let Some(special) = special(value) {
        return special.to_owned();
    }
    if value.abs() <= INTEGER_MAX && value.fract() == 0.0 {
        return format!("{value:.0}"); // also "-0"
    }
    let (sign, digits, exponent) = decimal_digits(value, &format!("{value:e}"));
    // `power` is the weight of the last digit: a few zeros are written out on either side, and small exponents always.
    let power = exponent - count_of(digits.len()) + 1;
    let plain = if power >= 0 {
        power <= 7
    } else {
        power > -7 || exponent.abs() < 4
    };
    let body = if plain {
        fixed(&digits, exponent)
    } else {
        format!(
            "{}e{}{}",
            pointed(&digits),
            if exponent < 0 { '-' } else { '+' },
            exponent.unsigned_abs()
        )
    };
    format!("{sign}{body}")
}

fn special(value: f64) -> Option<&'static str> {
    if value.is_nan() {
        Some("nan")
    } else if value.is_infinite() {
        Some(if value < 0.0 { "-inf" } else { "inf" })
    } else {
        None
    }
}

/// Sign, digits without zeros at the end, and the first digit's power of ten, out of Rust's `d.ddde-dd` form of `value`.
fn decimal_digits(value: f64, scientific: &str) -> (&'static str, String, i64) {
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((scientific, "0"));
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    let significant = digits.trim_end_matches('0');
    let digits = if significant.is_empty() { "0" } else { significant };
    (
        if value.is_sign_negative() { "-" } else { "" },
        digits.to_owned(),
        exponent.parse().unwrap_or(0),
    )
}

/// The digits with a point after the first, unless it is the only one.
fn pointed(digits: &str) -> String {
    match digits.split_at_checked(1) {
        Some((first, rest)) if !rest.is_empty() => format!("{first}.{rest}"),
        Some(_) | None => digits.to_owned(),
    }
}

/// The digits without an exponent, the first of them at ten to the `exponent`.
fn fixed(digits: &str, exponent: i64) -> String {
    let Ok(whole) = usize::try_from(exponent + 1) else {
        return format!(
            "0.{}{digits}",
            "0".repeat(usize::try_from(-exponent - 1).unwrap_or(0))
        );
    };
    match digits.split_at_checked(whole) {
        Some(("", fraction)) => format!("0.{fraction}"),
        Some((whole, fraction)) if !fraction.is_empty() => format!("{whole}.{fraction}"),
        Some(_) | None => format!("{digits:0<whole$}"),
    }
}
