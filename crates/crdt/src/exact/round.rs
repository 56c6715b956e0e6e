//! The ways out of exactness: the nearest binary float, and decimal text.
//!
//! Both round to nearest, ties to even, as the hardware and the C library do, and both do it once, from the exact value.

use std::fmt;

use num_bigint::BigUint;
use num_integer::Integer as _;
use num_traits::{Signed as _, ToPrimitive as _, Zero as _};

use super::{Exact, Repr, denominator};

/// A binary float of any format: `(-1)^negative * mantissa * 2^exponent`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Binary {
    /// Whether the value is below zero. A value that rounds to zero keeps its sign.
    pub negative: bool,
    /// At most as many bits as were asked for; all of them, unless the exponent is the smallest.
    pub mantissa: u64,
    /// Weight of the mantissa's lowest bit; never below the smallest asked for, and not bounded above: overflow is the caller's.
    pub exponent: i64,
}

impl Exact {
    /// The nearest float with `precision` (1 to 64) mantissa bits whose lowest bit weighs at least `2^exponent_min`; ties to even.
    ///
    /// A double is `(53, -1074)`, an x87 long double `(64, -16445)`: the smallest exponent makes subnormals come out right.
    pub fn to_binary(&self, precision: u32, exponent_min: i64) -> Binary {
        let precision = i64::from(precision.clamp(1, 64));
        let parts = self.parts();
        let negative = parts.numerator.is_negative();
        let numerator = parts.numerator.magnitude();
        if numerator.is_zero() {
            return Binary {
                negative,
                mantissa: 0,
                exponent: exponent_min,
            };
        }
        let fives = BigUint::from(5_u32).pow(parts.fives);
        // Enough quotient bits that at least one is dropped, so that the remainder matters only as "more than nothing".
        let shift = (precision + 2 + bits(&fives) - bits(numerator)).max(0);
        let (quotient, remainder) = (numerator << shift).div_rem(&fives);
        let weight = -i64::from(parts.twos) - shift;
        let exponent = (bits(&quotient) + weight - precision).max(exponent_min);
        let (mantissa, dropped) = drop_low_bits(&quotient, exponent - weight);
        let round_up = match dropped {
            Dropped::BelowHalf => false,
            Dropped::Half => !remainder.is_zero() || mantissa.is_odd(),
            Dropped::AboveHalf => true,
        };
        let mantissa = if round_up { mantissa + 1_u32 } else { mantissa };
        // Rounding up may carry into one bit more than the precision; then the low bit is 0.
        let carried = bits(&mantissa) > precision;
        let mantissa = if carried { mantissa >> 1_u32 } else { mantissa };
        Binary {
            negative,
            mantissa: mantissa.to_u64().unwrap_or(u64::MAX),
            exponent: if carried { exponent + 1 } else { exponent },
        }
    }

    /// The nearest double, ties to even; past the largest double, an infinity.
    pub fn to_f64(&self) -> f64 {
        const HIDDEN: u64 = 1 << 52;
        let Binary {
            negative,
            mantissa,
            exponent,
        } = self.to_binary(53, -1074);
        let magnitude = if exponent > 971 {
            f64::INFINITY.to_bits()
        } else if mantissa < HIDDEN {
            mantissa // subnormal or zero: to_binary keeps all 53 bits of anything above the smallest exponent
        } else {
            (u64::try_from(exponent + 1075).unwrap_or(0) << 52) | (mantissa - HIDDEN)
        };
        let value = f64::from_bits(magnitude);
        if negative { -value } else { value }
    }

    /// Plain decimal text with at most `places` fractional digits, rounded half to even, trailing zeros and a bare point stripped.
    ///
    /// No exponent, no `+`, no `-0`.
    /// # Cost
    /// Quadratic in the digits shown; numbers within the range of 64 bits are cheap.
    pub fn to_plain(&self, places: u32) -> String {
        let wide = match &self.0 {
            Repr::Int(value) => return value.to_string(),
            Repr::Wide(wide) => wide,
        };
        let places = places.min(wide.twos.max(wide.fives));
        let scaled = divide_half_even(
            &(wide.numerator.magnitude() * BigUint::from(10_u32).pow(places)),
            denominator(wide.twos, wide.fives).magnitude(),
        );
        if scaled.is_zero() {
            return "0".to_owned();
        }
        let sign = if wide.numerator.is_negative() { "-" } else { "" };
        let places = places as usize;
        let digits = format!("{:0>width$}", scaled.to_str_radix(10), width = places + 1);
        let (whole, fraction) = digits.split_at(digits.len() - places);
        let fraction = fraction.trim_end_matches('0');
        let point = if fraction.is_empty() { "" } else { "." };
        format!("{sign}{whole}{point}{fraction}")
    }
}

/// What was cut off below the last bit kept, compared with half of that bit.
enum Dropped {
    BelowHalf,
    Half,
    AboveHalf,
}

/// `value` without its `count` (at least 1) low bits, and what they were.
fn drop_low_bits(value: &BigUint, count: i64) -> (BigUint, Dropped) {
    let count = u64::try_from(count).unwrap_or(0);
    let kept = value >> count;
    let half_set = count > 0 && value.bit(count - 1);
    let below_half_set = value.trailing_zeros().is_some_and(|zeros| zeros + 1 < count);
    let dropped = match (half_set, below_half_set) {
        (false, _) => Dropped::BelowHalf,
        (true, false) => Dropped::Half,
        (true, true) => Dropped::AboveHalf,
    };
    (kept, dropped)
}

fn divide_half_even(numerator: &BigUint, denominator: &BigUint) -> BigUint {
    let (quotient, remainder) = numerator.div_rem(denominator);
    let round_up = match (remainder << 1_u32).cmp(denominator) {
        std::cmp::Ordering::Less => false,
        std::cmp::Ordering::Equal => quotient.is_odd(),
        std::cmp::Ordering::Greater => true,
    };
    if round_up { quotient + 1_u32 } else { quotient }
}

fn bits(value: &BigUint) -> i64 {
    i64::try_from(value.bits()).unwrap_or(i64::MAX)
}

/// The exact decimal expansion, which always ends.
impl fmt::Display for Exact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_plain(u32::MAX))
    }
}

impl fmt::Debug for Exact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Exact({self})")
    }
}
