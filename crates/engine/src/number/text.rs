//! The texts that C's `strtod` family reads whole, taken apart.
//!
//! Redis hands score and increment texts to `strtod` and `strtold` and asks that nothing is left over and that there is no leading
//! space. So, besides plain decimals, numbers are: hexadecimal floats, `inf` and `infinity` in any case, `5.` and `.5`, a leading `+`.
//! `nan` is read by C and then refused by Redis, so here it is no number at all.

use cartograph_crdt::exact::Exact;
use num_bigint::{BigInt, BigUint, Sign};

/// Longest text that INCRBYFLOAT reads, in bytes; Redis's buffer is one byte longer.
pub const NUMBER_TEXT_BYTES_MAX: usize = 5 * 1024 - 1;

/// Exponents are cut off here while they are read: far beyond what any mantissa of bounded length can bring back into range.
const EXPONENT_CUT: i64 = 1 << 40;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Radix {
    Ten,
    Sixteen,
}

/// A number as written: `digits` with a point after `whole`, times ten (or two, for hexadecimal) to the `exponent`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Literal<'a> {
    pub(super) negative: bool,
    pub(super) radix: Radix,
    whole: &'a [u8],
    fraction: &'a [u8],
    exponent: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Text<'a> {
    Infinite { negative: bool },
    Finite(Literal<'a>),
}

/// `text` taken apart, or `None` when `strtod` would not read all of it, or would read a NaN.
pub(super) fn scan(text: &[u8]) -> Option<Text<'_>> {
    let (negative, unsigned) = split_sign(text);
    if unsigned.eq_ignore_ascii_case(b"inf") || unsigned.eq_ignore_ascii_case(b"infinity") {
        return Some(Text::Infinite { negative });
    }
    let hexadecimal = unsigned
        .strip_prefix(b"0x")
        .or_else(|| unsigned.strip_prefix(b"0X"));
    let (radix, body) = hexadecimal.map_or((Radix::Ten, unsigned), |body| (Radix::Sixteen, body));
    let is_digit = |byte: &u8| match radix {
        Radix::Ten => byte.is_ascii_digit(),
        Radix::Sixteen => byte.is_ascii_hexdigit(),
    };
    let (whole, rest) = split_while(body, is_digit);
    let (fraction, rest) = rest
        .strip_prefix(b".")
        .map_or((&[][..], rest), |rest| split_while(rest, is_digit));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let exponent = match (radix, rest.split_first()) {
        (Radix::Ten, Some((b'e' | b'E', exponent))) | (Radix::Sixteen, Some((b'p' | b'P', exponent))) => {
            parse_exponent(exponent)?
        }
        (Radix::Ten | Radix::Sixteen, Some(_)) => return None,
        (Radix::Ten | Radix::Sixteen, None) => 0,
    };
    Some(Text::Finite(Literal {
        negative,
        radix,
        whole,
        fraction,
        exponent,
    }))
}

/// Digits and exponents of a literal that is not zero: `(-1)^negative * digits * base^exponent`, no zeros at either end.
pub(super) struct Significant {
    pub(super) digits: Vec<u8>,
    /// Weight of the last digit: a power of ten, or of two for hexadecimal.
    pub(super) exponent: i64,
}

impl Literal<'_> {
    /// Without zeros at either end; `None` for zero.
    pub(super) fn significant(&self) -> Option<Significant> {
        let digits = || self.whole.iter().chain(self.fraction);
        let leading = digits().position(|digit| *digit != b'0')?;
        let trailing = digits().rev().position(|digit| *digit != b'0')?;
        let count = self.whole.len() + self.fraction.len();
        let kept = digits().take(count - trailing).skip(leading).copied().collect();
        let places = count_of(trailing) - count_of(self.fraction.len());
        Some(Significant {
            digits: kept,
            exponent: self.exponent.saturating_add(places * self.weight()),
        })
    }

    /// What one digit is worth in units of the exponent.
    pub(super) fn weight(&self) -> i64 {
        match self.radix {
            Radix::Ten => 1,
            Radix::Sixteen => 4,
        }
    }

    /// The exact value; `None` when the literal is so large or so small that no float of up to 80 bits is near it.
    pub(super) fn exact(&self) -> Option<Exact> {
        let Some(Significant { digits, exponent }) = self.significant() else {
            return Some(Exact::zero());
        };
        // Powers of the base that surely overflow or underflow a long double: 10^4933 > 2^16384, 10^-4960 and 2^-16500 are below half
        // of its smallest number. Refusing here keeps the exact value within the bounds of `Exact`.
        let top = exponent.saturating_add(count_of(digits.len()) * self.weight());
        let (range, radix) = match self.radix {
            Radix::Ten => (-4_960..=4_940, 10),
            Radix::Sixteen => (-16_500..=16_400, 16),
        };
        if !range.contains(&top) {
            return None;
        }
        let magnitude = BigUint::parse_bytes(&digits, radix)?;
        let sign = if self.negative { Sign::Minus } else { Sign::Plus };
        let fives = match self.radix {
            Radix::Ten => exponent,
            Radix::Sixteen => 0,
        };
        Exact::from_scaled(&BigInt::from_biguint(sign, magnitude), exponent, fives).ok()
    }
}

pub(super) fn count_of(length: usize) -> i64 {
    i64::try_from(length).unwrap_or(i64::MAX)
}

fn split_sign(text: &[u8]) -> (bool, &[u8]) {
    match text.split_first() {
        Some((b'-', rest)) => (true, rest),
        Some((b'+', rest)) => (false, rest),
        Some(_) | None => (false, text),
    }
}

fn split_while(text: &[u8], wanted: impl Fn(&u8) -> bool) -> (&[u8], &[u8]) {
    text.split_at(text.iter().take_while(|byte| wanted(byte)).count())
}

fn parse_exponent(text: &[u8]) -> Option<i64> {
    let (negative, digits) = split_sign(text);
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let size = digits.iter().fold(0_i64, |size, digit| {
        (size * 10 + i64::from(digit - b'0')).min(EXPONENT_CUT)
    });
    Some(if negative { -size } else { size })
}
