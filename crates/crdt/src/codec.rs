//! The one place that names `bincode`: versioned, bounded bytes.
//!
//! Every blob begins with one byte that says its format's version. A blob of an unknown version is refused by name,
//! so that a downgrade fails clearly instead of reading nonsense. Decoding is bounded before it allocates. `bincode`
//! 2 is no longer maintained (docs/adr/0006); what stands here could be replaced without touching anything else.

use bincode::config;
use bincode::de::Decoder;
use bincode::enc::Encoder;
use bincode::error::{DecodeError, EncodeError};
use bincode::{Decode, Encode};

/// The most bytes one blob may decode to: larger than the largest entry, small enough to refuse nonsense.
pub const BLOB_BYTES_MAX: usize = 16 << 20;

/// A blob that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// No bytes at all.
    #[error("an empty blob was read as {what}")]
    Empty {
        /// What it should have been.
        what: &'static str,
    },
    /// Written by another version of this program.
    #[error(
        "{what} has format version {found}, this program reads version {expected}: upgrade it, or restore data that it wrote"
    )]
    UnknownVersion {
        /// What it should have been.
        what: &'static str,
        /// The version found.
        found: u8,
        /// The version that can be read.
        expected: u8,
    },
    /// The version is right and the rest is not.
    #[error("{what} is damaged: {detail}")]
    Damaged {
        /// What it should have been.
        what: &'static str,
        /// What went wrong.
        detail: String,
    },
    /// It decoded, and bytes were left over.
    #[error("{what} has {count} bytes after its end")]
    Trailing {
        /// What it should have been.
        what: &'static str,
        /// How many.
        count: usize,
    },
}

/// A number in as few bytes as it needs, seven bits a byte, low bits first (LEB128).
///
/// `bincode`'s own numbers take 1, 3, 5 or 9 bytes; sequences and clock readings lie badly in between.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Compact(pub(crate) u64);

impl Compact {
    /// `to` less `from`; small where they lie close together, whichever is greater. Never loses anything.
    pub(crate) fn difference(from: u64, to: u64) -> Self {
        let n = to.wrapping_sub(from).cast_signed();
        // The sign goes to the lowest bit.
        Compact((n << 1 ^ n >> 63).cast_unsigned())
    }

    /// What [`Compact::difference`] was taken to.
    pub(crate) fn added_to(self, from: u64) -> u64 {
        let sign = (self.0 & 1).wrapping_neg();
        from.wrapping_add(self.0 >> 1 ^ sign)
    }
}

impl Encode for Compact {
    fn encode<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
        let mut rest = self.0;
        loop {
            let [low, ..] = rest.to_le_bytes();
            rest >>= 7;
            if rest == 0 {
                return (low & 0x7f).encode(encoder);
            }
            (low | 0x80).encode(encoder)?;
        }
    }
}

impl<C> Decode<C> for Compact {
    fn decode<D: Decoder<Context = C>>(decoder: &mut D) -> Result<Self, DecodeError> {
        let mut n = 0;
        for shift in (0..u64::BITS).step_by(7) {
            let byte = u8::decode(decoder)?;
            let bits = u64::from(byte & 0x7f);
            if bits << shift >> shift != bits {
                break;
            }
            n |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(Compact(n));
            }
        }
        Err(DecodeError::Other("a number has more than 64 bits"))
    }
}

bincode::impl_borrow_decode!(Compact);

fn configuration() -> impl config::Config {
    config::standard().with_limit::<BLOB_BYTES_MAX>()
}

/// `value` as bytes of format `version`.
///
/// # Errors
/// [`Error::Damaged`] when it is larger than [`BLOB_BYTES_MAX`] allows.
pub fn encode<T: Encode>(what: &'static str, version: u8, value: &T) -> Result<Vec<u8>, Error> {
    let mut out = vec![version];
    match bincode::encode_into_std_write(value, &mut out, config::standard()) {
        Ok(_) if out.len() <= BLOB_BYTES_MAX => Ok(out),
        Ok(n) => Err(Error::Damaged {
            what,
            detail: format!("{n} bytes are too many"),
        }),
        Err(e) => Err(Error::Damaged {
            what,
            detail: e.to_string(),
        }),
    }
}

/// Reads a value of format `version`, all of `bytes`.
///
/// # Errors
/// See [`Error`]. Never panics, whatever the bytes, and allocates no more than a small multiple of what they justify.
pub fn decode<T: Decode<()>>(what: &'static str, version: u8, bytes: &[u8]) -> Result<T, Error> {
    let (found, body) = bytes.split_first().ok_or(Error::Empty { what })?;
    if *found != version {
        return Err(Error::UnknownVersion {
            what,
            found: *found,
            expected: version,
        });
    }
    match bincode::decode_from_slice(body, configuration()) {
        Ok((value, used)) if used == body.len() => Ok(value),
        Ok((_, used)) => Err(Error::Trailing {
            what,
            count: body.len() - used,
        }),
        Err(e) => Err(Error::Damaged {
            what,
            detail: e.to_string(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_version_is_a_clear_error() {
        let bytes = encode("a number", 1, &7_u64).unwrap();
        assert_eq!(decode::<u64>("a number", 1, &bytes), Ok(7));
        let error = decode::<u64>("a number", 2, &bytes).unwrap_err();
        assert_eq!(
            error,
            Error::UnknownVersion {
                what: "a number",
                found: 1,
                expected: 2
            }
        );
        assert!(error.to_string().contains("format version 1"));
    }

    #[test]
    fn numbers_take_a_byte_for_seven_bits_and_differences_never_lose_anything() {
        for (n, bytes) in [
            (0, 1),
            (127, 1),
            (128, 2),
            (10_000_000, 4),
            (1_800_000_000_000, 6),
            (u64::MAX, 10),
        ] {
            let blob = encode("a number", 1, &Compact(n)).unwrap();
            assert_eq!(blob.len(), 1 + bytes, "{n}");
            assert_eq!(decode::<Compact>("a number", 1, &blob), Ok(Compact(n)));
        }
        let ends = [0, 1, 63, 1 << 40, u64::MAX / 2, u64::MAX / 2 + 1, u64::MAX];
        for (from, to) in ends.iter().flat_map(|a| ends.iter().map(move |b| (*a, *b))) {
            assert_eq!(Compact::difference(from, to).added_to(from), to);
        }
        assert_eq!(Compact::difference(100, 37), Compact(125));
        let too_wide = [&[1][..], &[0xff; 9], &[2]].concat();
        assert!(matches!(
            decode::<Compact>("x", 1, &too_wide),
            Err(Error::Damaged { .. })
        ));
    }

    #[test]
    fn damage_is_an_error_and_allocates_nothing_large() {
        assert!(matches!(decode::<u64>("x", 1, &[]), Err(Error::Empty { .. })));
        assert!(matches!(
            decode::<Vec<u64>>("x", 1, &[1, 253, 255, 255, 255, 255, 255, 255, 255, 255]),
            Err(Error::Damaged { .. })
        ));
        assert!(matches!(
            decode::<u8>("x", 1, &[1, 2, 3]),
            Err(Error::Trailing { count: 1, .. })
        ));
    }
}
