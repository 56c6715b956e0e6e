//! The x87 80-bit long double, in integer arithmetic.
//!
//! INCRBYFLOAT computes in `long double`, which on x86-64 is the x87 extended format: a sign, a 64-bit mantissa with its leading bit
//! explicit, exponents such that the lowest bit weighs 2^-16445 to 2^16320. Its digits are part of what Redis promises (0.1 + 0.2 shows
//! 0.3, where doubles show 0.30000000000000004), and other platforms, WebAssembly included, have other long doubles: so it is emulated,
//! not borrowed. Each operation is exact, then rounded once to nearest, ties to even, as the hardware does.
//!
//! Signed zero is left out: Redis never shows it here.

use std::ops::Add;

use cartograph_crdt::exact::Exact;
use num_bigint::BigInt;

use super::text::{NUMBER_TEXT_BYTES_MAX, Text, scan};

/// Mantissa bits, all explicit.
const PRECISION: u32 = 64;
/// Weight of the lowest bit of a subnormal.
const EXPONENT_MIN: i64 = -16_445;
/// Weight of the lowest bit of the largest numbers.
const EXPONENT_MAX: i64 = 16_320;
/// Fractional digits that Redis shows (`%.17Lf`).
pub(super) const PLACES: u32 = 17;

/// An x87 long double.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LongDouble(Repr);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Repr {
    NotANumber,
    Infinite {
        negative: bool,
    },
    /// `(-1)^negative * mantissa * 2^exponent`; the mantissa's top bit is set unless the exponent is the smallest; zero is positive.
    Finite {
        negative: bool,
        mantissa: u64,
        exponent: i64,
    },
}

impl LongDouble {
    /// Zero.
    pub const ZERO: Self = Self(Repr::Finite {
        negative: false,
        mantissa: 0,
        exponent: EXPONENT_MIN,
    });

    /// The largest finite number, (2^64 - 1) * 2^16320: about 1.19e4932.
    pub const MAX: Self = Self(Repr::Finite {
        negative: false,
        mantissa: u64::MAX,
        exponent: EXPONENT_MAX,
    });

    /// What INCRBYFLOAT reads in `text`, or `None`: "not a valid float".
    ///
    /// Infinities are read (and then refused by the command). Refused: NaN, spaces, anything left over, the empty text, text over
    /// [`NUMBER_TEXT_BYTES_MAX`], and finite text that rounds to an infinity or, not being zero, to zero.
    pub fn parse(text: &[u8]) -> Option<Self> {
        Self::parse_exactly(text).map(|(value, _)| value)
    }

    /// [`LongDouble::parse`], and the exact value of the text, zero for an infinity.
    pub(super) fn parse_exactly(text: &[u8]) -> Option<(Self, Exact)> {
        if text.len() > NUMBER_TEXT_BYTES_MAX {
            return None;
        }
        let literal = match scan(text)? {
            Text::Infinite { negative } => return Some((Self(Repr::Infinite { negative }), Exact::zero())),
            Text::Finite(literal) => literal,
        };
        let exact = literal.exact()?;
        let value = Self::nearest(&exact);
        let in_range = !value.is_nan_or_inf() && (value != Self::ZERO || exact.is_zero());
        in_range.then_some((value, exact))
    }

    /// The long double nearest to `value`, ties to even; an infinity past the largest.
    pub fn nearest(value: &Exact) -> Self {
        let rounded = value.to_binary(PRECISION, EXPONENT_MIN);
        if rounded.mantissa == 0 {
            Self::ZERO
        } else if rounded.exponent > EXPONENT_MAX {
            Self(Repr::Infinite {
                negative: rounded.negative,
            })
        } else {
            let (mantissa, exponent) = (rounded.mantissa, rounded.exponent);
            Self(Repr::Finite {
                negative: rounded.negative,
                mantissa,
                exponent,
            })
        }
    }

    /// Whether this is an infinity or NaN, which no command stores.
    pub fn is_nan_or_inf(&self) -> bool {
        match self.0 {
            Repr::NotANumber | Repr::Infinite { .. } => true,
            Repr::Finite { .. } => false,
        }
    }

    /// Whether this is an infinity.
    pub fn is_infinite(&self) -> bool {
        match self.0 {
            Repr::Infinite { .. } => true,
            Repr::NotANumber | Repr::Finite { .. } => false,
        }
    }

    /// The exact value; `None` for infinities and NaN.
    pub fn to_exact(&self) -> Option<Exact> {
        let Repr::Finite {
            negative,
            mantissa,
            exponent,
        } = self.0
        else {
            return None;
        };
        let magnitude = BigInt::from(mantissa);
        Exact::from_scaled(&if negative { -magnitude } else { magnitude }, exponent, 0).ok()
    }

    /// As INCRBYFLOAT shows and stores it: `%.17Lf`, zeros at the end and a bare point stripped, `-0` as `0`; `inf`, `-inf`, `nan`.
    pub fn format_human(&self) -> String {
        match (self.0, self.to_exact()) {
            (Repr::Infinite { negative: true }, _) => "-inf".to_owned(),
            (Repr::Infinite { negative: false }, _) => "inf".to_owned(),
            (Repr::Finite { .. }, Some(exact)) => exact.to_plain(PLACES),
            (Repr::NotANumber, _) | (Repr::Finite { .. }, None) => "nan".to_owned(),
        }
    }
}

impl Add for LongDouble {
    type Output = Self;

    /// The sum, rounded once. Opposite infinities, or a NaN, give a NaN.
    fn add(self, other: Self) -> Self {
        match (self.0, other.0) {
            (Repr::NotANumber, _) | (_, Repr::NotANumber) => Self(Repr::NotANumber),
            (Repr::Infinite { negative: left }, Repr::Infinite { negative: right }) if left != right => {
                Self(Repr::NotANumber)
            }
            (Repr::Infinite { .. }, Repr::Infinite { .. } | Repr::Finite { .. }) => self,
            (Repr::Finite { .. }, Repr::Infinite { .. }) => other,
            (Repr::Finite { .. }, Repr::Finite { .. }) => match (self.to_exact(), other.to_exact()) {
                (Some(left), Some(right)) => Self::nearest(&(&left + &right)),
                (None, _) | (_, None) => Self(Repr::NotANumber),
            },
        }
    }
}
