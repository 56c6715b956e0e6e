//! What a cart door accepts: names and quantities, checked once.

use std::fmt;

use thiserror::Error;

/// Longest cart id or SKU, in bytes of UTF-8.
pub const NAME_BYTES_MAX: usize = 256;

/// Largest quantity of one add, subtraction or set.
pub const QUANTITY_MAX: i64 = 1_000_000_000;

/// What every cart's key begins with.
pub const CART_PREFIX: &str = "cart:";

/// Input that is refused. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum InputError {
    /// No text at all.
    #[error("the {what} is empty: expected 1 to {NAME_BYTES_MAX} bytes")]
    Empty {
        /// Which input.
        what: &'static str,
    },
    /// Too much text.
    #[error("the {what} has {bytes} bytes: expected at most {NAME_BYTES_MAX}")]
    TooLong {
        /// Which input.
        what: &'static str,
        /// Its size.
        bytes: usize,
    },
    /// A control character, such as a line break.
    #[error("the {what} has a control character at byte {at}: leave it out")]
    ControlCharacter {
        /// Which input.
        what: &'static str,
        /// Where.
        at: usize,
    },
    /// A space at one of the ends.
    #[error("the {what} begins or ends with a space: leave it out")]
    SpaceAtEnd {
        /// Which input.
        what: &'static str,
    },
    /// Nothing to add, or a set to nothing.
    #[error("the quantity is 0: to take a line out, remove it")]
    QuantityZero,
    /// Out of bounds.
    #[error("the quantity is {given}: expected {min} to {QUANTITY_MAX}")]
    QuantityOutOfRange {
        /// What was given.
        given: i64,
        /// The least that is taken here.
        min: i64,
    },
}

impl InputError {
    /// A stable word for programs.
    pub fn code(&self) -> &'static str {
        match self {
            InputError::Empty { what }
            | InputError::TooLong { what, .. }
            | InputError::ControlCharacter { what, .. }
            | InputError::SpaceAtEnd { what } => match *what {
                Sku::WHAT => "invalid_sku",
                _ => "invalid_cart_id",
            },
            InputError::QuantityZero | InputError::QuantityOutOfRange { .. } => "invalid_quantity",
        }
    }
}

fn check(what: &'static str, text: &str) -> Result<(), InputError> {
    let bytes = text.len();
    if bytes == 0 {
        return Err(InputError::Empty { what });
    }
    if bytes > NAME_BYTES_MAX {
        return Err(InputError::TooLong { what, bytes });
    }
    if let Some((at, _)) = text.char_indices().find(|(_, c)| c.is_control()) {
        return Err(InputError::ControlCharacter { what, at });
    }
    if text.trim() != text {
        return Err(InputError::SpaceAtEnd { what });
    }
    Ok(())
}

/// A cart's name: 1 to 256 bytes of UTF-8 without control characters or spaces at the ends.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CartId(String);

impl CartId {
    const WHAT: &'static str = "cart id";

    /// Checks a cart id.
    ///
    /// # Errors
    /// [`InputError`], with the code `invalid_cart_id`.
    pub fn parse(text: &str) -> Result<Self, InputError> {
        check(Self::WHAT, text).map(|()| CartId(text.to_owned()))
    }

    /// The Redis key that holds the cart.
    pub fn key(&self) -> Vec<u8> {
        format!("{CART_PREFIX}{}", self.0).into_bytes()
    }

    /// The id as given.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for CartId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A line's name: 1 to 256 bytes of UTF-8 without control characters or spaces at the ends.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Sku(String);

impl Sku {
    const WHAT: &'static str = "SKU";

    /// Checks a SKU.
    ///
    /// # Errors
    /// [`InputError`], with the code `invalid_sku`.
    pub fn parse(text: &str) -> Result<Self, InputError> {
        check(Self::WHAT, text).map(|()| Sku(text.to_owned()))
    }

    /// The SKU as given.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Sku {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A number of pieces, never 0, at most [`QUANTITY_MAX`] either way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Quantity(i64);

impl Quantity {
    /// A quantity to set, or to add where nothing can be taken out: 1 to [`QUANTITY_MAX`].
    ///
    /// # Errors
    /// [`InputError::QuantityZero`], [`InputError::QuantityOutOfRange`].
    pub fn positive(given: i64) -> Result<Self, InputError> {
        Self::between(1, given)
    }

    /// A quantity to add, or to take out where it is negative: 1 to [`QUANTITY_MAX`] either way.
    ///
    /// # Errors
    /// [`InputError::QuantityZero`], [`InputError::QuantityOutOfRange`].
    pub fn signed(given: i64) -> Result<Self, InputError> {
        Self::between(-QUANTITY_MAX, given)
    }

    fn between(min: i64, given: i64) -> Result<Self, InputError> {
        match given {
            0 => Err(InputError::QuantityZero),
            n if (min..=QUANTITY_MAX).contains(&n) => Ok(Quantity(n)),
            given => Err(InputError::QuantityOutOfRange { given, min }),
        }
    }

    /// The number.
    pub fn get(self) -> i64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_taken_up_to_the_limit_and_no_further() {
        assert!(CartId::parse(&"é".repeat(NAME_BYTES_MAX / 2)).is_ok());
        let long = format!("x{}", "é".repeat(NAME_BYTES_MAX / 2));
        assert_eq!(
            Sku::parse(&long),
            Err(InputError::TooLong {
                what: "SKU",
                bytes: 257
            })
        );
        assert_eq!(Sku::parse("").unwrap_err().code(), "invalid_sku");
        assert_eq!(CartId::parse("").unwrap_err().code(), "invalid_cart_id");
    }

    #[test]
    fn control_characters_and_spaces_at_the_ends_are_refused() {
        for text in ["a\nb", "a\0", "\u{85}", "\ta"] {
            assert!(
                matches!(Sku::parse(text), Err(InputError::ControlCharacter { .. })),
                "{text:?}"
            );
        }
        for text in [" a", "a ", "\u{a0}a", "a\u{2003}"] {
            assert!(
                matches!(Sku::parse(text), Err(InputError::SpaceAtEnd { .. })),
                "{text:?}"
            );
        }
        assert_eq!(Sku::parse("red shoe, 42").unwrap().as_str(), "red shoe, 42");
    }

    #[test]
    fn quantities_are_taken_up_to_a_billion_and_never_nothing() {
        assert_eq!(Quantity::positive(QUANTITY_MAX).unwrap().get(), QUANTITY_MAX);
        assert_eq!(Quantity::signed(-QUANTITY_MAX).unwrap().get(), -QUANTITY_MAX);
        assert!(
            Quantity::positive(QUANTITY_MAX + 1).is_err() && Quantity::signed(-QUANTITY_MAX - 1).is_err()
        );
        assert_eq!(
            Quantity::positive(-1).unwrap_err().to_string(),
            "the quantity is -1: expected 1 to 1000000000"
        );
        assert_eq!(Quantity::signed(0), Err(InputError::QuantityZero));
    }

    #[test]
    fn a_cart_is_the_hash_of_its_name() {
        assert_eq!(CartId::parse("42").unwrap().key(), b"cart:42");
    }
}
