//! Decimal text to its exact value.

use num_bigint::{BigInt, BigUint, Sign};

use super::{Exact, ExactError};

/// Longest decimal text that is read, in bytes. Redis itself stops at 5,119.
pub const DECIMAL_TEXT_BYTES_MAX: usize = 6_000;

/// Largest decimal exponent (the number after `e`) that is read, either way.
pub const DECIMAL_EXPONENT_MAX: i64 = 5_000;

impl Exact {
    /// The exact value of decimal text: optional sign, digits with an optional point among or beside them, optional exponent.
    ///
    /// No spaces, no hexadecimal, no infinities: what Redis takes besides is the engine's business.
    ///
    /// # Errors
    /// [`ExactError::NotDecimal`] for other text; [`ExactError::OutOfBounds`] for text over [`DECIMAL_TEXT_BYTES_MAX`] or exponents past
    /// [`DECIMAL_EXPONENT_MAX`].
    pub fn from_decimal(text: &[u8]) -> Result<Self, ExactError> {
        if text.len() > DECIMAL_TEXT_BYTES_MAX {
            return Err(ExactError::OutOfBounds);
        }
        let (negative, unsigned) = split_sign(text);
        let (mantissa, exponent) = match unsigned.iter().position(|byte| matches!(byte, b'e' | b'E')) {
            Some(at) => {
                let (mantissa, exponent) = unsigned.split_at(at);
                (mantissa, parse_exponent(exponent.get(1..).unwrap_or_default())?)
            }
            None => (unsigned, 0),
        };
        let mut parts = mantissa.splitn(2, |byte| *byte == b'.');
        let (whole, fraction) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        let digits = [whole, fraction].concat();
        if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
            return Err(ExactError::NotDecimal);
        }
        let magnitude = BigUint::parse_bytes(&digits, 10).ok_or(ExactError::NotDecimal)?;
        let sign = if negative { Sign::Minus } else { Sign::Plus };
        let power = exponent - i64::try_from(fraction.len()).unwrap_or(i64::MAX);
        Self::from_scaled(&BigInt::from_biguint(sign, magnitude), power, power)
    }
}

fn split_sign(text: &[u8]) -> (bool, &[u8]) {
    match text.split_first() {
        Some((b'-', rest)) => (true, rest),
        Some((b'+', rest)) => (false, rest),
        Some(_) | None => (false, text),
    }
}

fn parse_exponent(text: &[u8]) -> Result<i64, ExactError> {
    let (negative, digits) = split_sign(text);
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(ExactError::NotDecimal);
    }
    let size = digits.iter().fold(0_i64, |size, digit| {
        (size * 10 + i64::from(digit - b'0')).min(DECIMAL_EXPONENT_MAX + 1)
    });
    if size > DECIMAL_EXPONENT_MAX {
        return Err(ExactError::OutOfBounds);
    }
    Ok(if negative { -size } else { size })
}
