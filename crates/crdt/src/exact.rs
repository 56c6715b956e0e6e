//! Exact sums: what counters, float increments and sorted-set scores add up in.
//!
//! A sum that is merged from several regions must not depend on the order in which its parts arrive, and float addition does.
//! So causal state never holds a float: it holds an [`Exact`], a wide integer or an exact fraction, and a value is rounded once,
//! where it is shown. Every number that can enter is a decimal text, a double or an x87 long double, so every denominator is
//! `2^a * 5^b`, and sums keep it so. That is the representation: there is no general fraction here whose denominator could grow
//! without end by adding a hostile peer's primes.
//!
//! INVARIANT: always normal. A value that is an integer and fits `i128` is a plain integer in memory; everything else has the
//! smallest possible powers. So equal values are equal in memory, on the wire and in digests.
//!
//! Everything is bounded: constructors refuse denominators past `2^`[`TWOS_MAX`]` * 5^`[`FIVES_MAX`] and magnitudes of
//! [`MAGNITUDE_BITS_MAX`] bits, the decoder the same denominators and numerators over [`NUMERATOR_BYTES_MAX`]. A sum's denominator is
//! never larger than its operands', and its magnitude grows by a bit only when the count of increments doubles, so no sum of 2^64
//! values that were constructed reaches the decoder's bound.

mod codec;
mod round;
mod text;

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::cmp::Ordering;
use std::iter::Sum;
use std::ops::{Add, AddAssign, Neg, Sub, SubAssign};

use num_bigint::BigInt;
use num_traits::{ToPrimitive as _, Zero as _};

pub use round::Binary;
pub use text::{DECIMAL_EXPONENT_MAX, DECIMAL_TEXT_BYTES_MAX};

/// Largest power of two in a denominator. The deepest that Redis accepts is a hexadecimal float of 5119 characters, about 2^-36,930.
pub const TWOS_MAX: u32 = 40_000;

/// Largest power of five in a denominator. The deepest decimal, 6,000 characters with exponent -5,000, needs 11,000.
pub const FIVES_MAX: u32 = 12_000;

/// Largest magnitude that enters, in bits of the integer part. The largest decimal, 6,000 digits with exponent 5,000, has 36,542.
pub const MAGNITUDE_BITS_MAX: u64 = 36_700;

/// Largest numerator that is encoded or decoded, in bytes; see the module's comment for why no honest sum reaches it.
pub const NUMERATOR_BYTES_MAX: usize = 16 * 1024;

/// 5^13, the largest power of five that fits a `u32`.
const FIVE_TO_13: u32 = 1_220_703_125;

/// Why a value was refused. Nothing was constructed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ExactError {
    /// An infinity or NaN, which has no exact value.
    #[error("an infinity or NaN has no exact value")]
    NotFinite,
    /// Text that is no decimal number: optional sign, digits with an optional point, optional exponent, nothing else.
    #[error("text is not a decimal number")]
    NotDecimal,
    /// Text, exponent, denominator or magnitude is past the bounds of this module.
    #[error("number is past the bounds of exact sums")]
    OutOfBounds,
}

/// An exact rational number of bounded size with denominator `2^a * 5^b`; ordered and compared by value.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Exact(Repr);

#[derive(Clone, PartialEq, Eq, Hash)]
enum Repr {
    /// An integer that fits.
    Int(i128),
    /// Anything else. Boxed, because nearly every sum is an [`Repr::Int`].
    Wide(Box<Wide>),
}

/// `numerator / (2^twos * 5^fives)`, in lowest terms, not representable as [`Repr::Int`].
#[derive(Clone, PartialEq, Eq, Hash)]
struct Wide {
    numerator: BigInt,
    twos: u32,
    fives: u32,
}

/// The same, borrowed from either representation and perhaps not in lowest terms.
struct Parts<'a> {
    numerator: Cow<'a, BigInt>,
    twos: u32,
    fives: u32,
}

impl Exact {
    /// The sum of nothing.
    pub const fn zero() -> Self {
        Self(Repr::Int(0))
    }

    /// The integer `value`.
    pub const fn from_i64(value: i64) -> Self {
        Self(Repr::Int(value as i128))
    }

    /// The exact (dyadic) value of a double; both zeros are zero.
    ///
    /// # Errors
    /// [`ExactError::NotFinite`] for infinities and NaN.
    pub fn from_f64(value: f64) -> Result<Self, ExactError> {
        if !value.is_finite() {
            return Err(ExactError::NotFinite);
        }
        let bits = value.to_bits();
        let biased = i64::try_from((bits >> 52) & 0x7ff).unwrap_or(0);
        let fraction = bits & ((1 << 52) - 1);
        let (mantissa, exponent) = if biased == 0 {
            (fraction, -1074)
        } else {
            (fraction | 1 << 52, biased - 1075)
        };
        let signed = if value.is_sign_negative() {
            -BigInt::from(mantissa)
        } else {
            BigInt::from(mantissa)
        };
        Self::from_scaled(&signed, exponent, 0)
    }

    /// `numerator * 2^twos * 5^fives`; the powers may be negative. `10^e` is `(e, e)`.
    ///
    /// # Errors
    /// [`ExactError::OutOfBounds`] past this module's bounds, found out before anything large is computed. Zero is always in bounds.
    pub fn from_scaled(numerator: &BigInt, twos: i64, fives: i64) -> Result<Self, ExactError> {
        if numerator.is_zero() {
            return Ok(Self::zero());
        }
        let bound = |power: i64, max: u32| {
            if power.unsigned_abs() <= u64::from(max) {
                Ok(())
            } else {
                Err(ExactError::OutOfBounds)
            }
        };
        bound(twos, TWOS_MAX)?;
        bound(fives, FIVES_MAX)?;
        // log2(5) lies between 2.321 and 2.322: rounded so that the estimate is never too small.
        let five_bits = if fives >= 0 {
            fives * 2322 / 1000 + 1
        } else {
            fives * 2321 / 1000
        };
        let bits = i64::try_from(numerator.bits())
            .unwrap_or(i64::MAX)
            .saturating_add(twos + five_bits);
        if bits > i64::try_from(MAGNITUDE_BITS_MAX).unwrap_or(i64::MAX) {
            return Err(ExactError::OutOfBounds);
        }
        let split = |power: i64| {
            let size = u32::try_from(power.unsigned_abs()).unwrap_or(0);
            if power >= 0 { (size, 0) } else { (0, size) }
        };
        let ((up_twos, down_twos), (up_fives, down_fives)) = (split(twos), split(fives));
        Ok(Self::normal(
            scale(numerator, up_twos, up_fives),
            down_twos,
            down_fives,
        ))
    }

    /// Whether this is zero.
    pub fn is_zero(&self) -> bool {
        self.0 == Repr::Int(0)
    }

    /// Whether there is no fractional part.
    pub fn is_integer(&self) -> bool {
        match &self.0 {
            Repr::Int(_) => true,
            Repr::Wide(wide) => wide.twos == 0 && wide.fives == 0,
        }
    }

    /// Whether the value lies between the smallest and the largest 64-bit integer, both included; it may have a fractional part.
    pub fn is_in_i64_range(&self) -> bool {
        *self >= Self::from_i64(i64::MIN) && *self <= Self::from_i64(i64::MAX)
    }

    /// -1, 0 or 1.
    pub fn signum(&self) -> i8 {
        match self.sign() {
            Ordering::Less => -1,
            Ordering::Equal => 0,
            Ordering::Greater => 1,
        }
    }

    /// The integer part (towards zero) as a 64-bit integer, and whether the value was past its range and the nearer end was taken.
    pub fn to_i64_saturating(&self) -> (i64, bool) {
        let past_end = if self.sign() == Ordering::Less {
            (i64::MIN, true)
        } else {
            (i64::MAX, true)
        };
        match &self.0 {
            Repr::Int(value) => i64::try_from(*value).map_or(past_end, |value| (value, false)),
            Repr::Wide(wide) => {
                let whole = &wide.numerator / denominator(wide.twos, wide.fives);
                whole.to_i64().map_or(past_end, |value| (value, false))
            }
        }
    }

    fn sign(&self) -> Ordering {
        match &self.0 {
            Repr::Int(value) => value.cmp(&0),
            Repr::Wide(wide) => wide.numerator.cmp(&BigInt::ZERO),
        }
    }

    fn parts(&self) -> Parts<'_> {
        match &self.0 {
            Repr::Int(value) => Parts {
                numerator: Cow::Owned(BigInt::from(*value)),
                twos: 0,
                fives: 0,
            },
            Repr::Wide(wide) => Parts {
                numerator: Cow::Borrowed(&wide.numerator),
                twos: wide.twos,
                fives: wide.fives,
            },
        }
    }

    /// Lowest terms of `numerator / (2^twos * 5^fives)`, in the smaller representation.
    fn normal(mut numerator: BigInt, mut twos: u32, mut fives: u32) -> Self {
        if numerator.is_zero() {
            return Self::zero();
        }
        let even = u32::try_from(numerator.trailing_zeros().unwrap_or(0))
            .unwrap_or(u32::MAX)
            .min(twos);
        numerator >>= even;
        twos -= even;
        for (power, divisor) in [(13, FIVE_TO_13), (1, 5)] {
            while fives >= power && (&numerator % divisor).is_zero() {
                numerator /= divisor;
                fives -= power;
            }
        }
        match numerator.to_i128() {
            Some(value) if twos == 0 && fives == 0 => Self(Repr::Int(value)),
            _ => Self(Repr::Wide(Box::new(Wide {
                numerator,
                twos,
                fives,
            }))),
        }
    }

    fn plus(&self, other: &Self) -> Self {
        if let (Repr::Int(left), Repr::Int(right)) = (&self.0, &other.0)
            && let Some(sum) = left.checked_add(*right)
        {
            return Self(Repr::Int(sum));
        }
        let (left, right, twos, fives) = aligned(&self.parts(), &other.parts());
        Self::normal(left + right, twos, fives)
    }

    fn negated(&self) -> Self {
        match &self.0 {
            Repr::Int(value) => match value.checked_neg() {
                Some(value) => Self(Repr::Int(value)),
                None => Self::normal(-BigInt::from(*value), 0, 0),
            },
            // SUBTLE: 2^127 is wide, -2^127 fits: negation can change the representation.
            Repr::Wide(wide) => Self::normal(-&wide.numerator, wide.twos, wide.fives),
        }
    }
}

/// `2^twos * 5^fives`.
fn denominator(twos: u32, fives: u32) -> BigInt {
    BigInt::from(5).pow(fives) << twos
}

fn scale(numerator: &BigInt, twos: u32, fives: u32) -> BigInt {
    if fives == 0 {
        numerator << twos
    } else {
        (numerator * BigInt::from(5).pow(fives)) << twos
    }
}

/// Both numerators over the smallest common denominator, and its powers.
fn aligned(left: &Parts<'_>, right: &Parts<'_>) -> (BigInt, BigInt, u32, u32) {
    let (twos, fives) = (left.twos.max(right.twos), left.fives.max(right.fives));
    let lift = |parts: &Parts<'_>| scale(&parts.numerator, twos - parts.twos, fives - parts.fives);
    (lift(left), lift(right), twos, fives)
}

impl Ord for Exact {
    fn cmp(&self, other: &Self) -> Ordering {
        if let (Repr::Int(left), Repr::Int(right)) = (&self.0, &other.0) {
            return left.cmp(right);
        }
        self.sign().cmp(&other.sign()).then_with(|| {
            let (left, right, _, _) = aligned(&self.parts(), &other.parts());
            left.cmp(&right)
        })
    }
}

impl PartialOrd for Exact {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Default for Exact {
    fn default() -> Self {
        Self::zero()
    }
}

impl From<i64> for Exact {
    fn from(value: i64) -> Self {
        Self::from_i64(value)
    }
}

impl Add for &Exact {
    type Output = Exact;
    fn add(self, other: Self) -> Exact {
        self.plus(other)
    }
}

impl Sub for &Exact {
    type Output = Exact;
    fn sub(self, other: Self) -> Exact {
        self.plus(&other.negated())
    }
}

impl Neg for &Exact {
    type Output = Exact;
    fn neg(self) -> Exact {
        self.negated()
    }
}

impl Add for Exact {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        self.plus(&other)
    }
}

impl Sub for Exact {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        self.plus(&other.negated())
    }
}

impl Neg for Exact {
    type Output = Self;
    fn neg(self) -> Self {
        self.negated()
    }
}

impl AddAssign<&Exact> for Exact {
    fn add_assign(&mut self, other: &Self) {
        *self = self.plus(other);
    }
}

impl SubAssign<&Exact> for Exact {
    fn sub_assign(&mut self, other: &Self) {
        *self = self.plus(&other.negated());
    }
}

impl Sum for Exact {
    fn sum<I: Iterator<Item = Self>>(values: I) -> Self {
        values.fold(Self::zero(), |sum, value| sum.plus(&value))
    }
}

impl<'a> Sum<&'a Exact> for Exact {
    fn sum<I: Iterator<Item = &'a Self>>(values: I) -> Self {
        values.fold(Self::zero(), |sum, value| sum.plus(value))
    }
}
