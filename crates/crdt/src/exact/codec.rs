//! The stored and sent form of an exact sum, and its form for digests.
//!
//! Through bincode, in whatever integer encoding the stream uses:
//!
//! ```text
//! | tag u8 | 0: integer          | i128                                                      |
//! |        | 1: wide, above zero | twos u32 | fives u32 | length u32 | magnitude, little end first |
//! |        | 2: wide, below zero | the same                                                  |
//! ```
//!
//! A small counter is two bytes. The decoder is a trust boundary: it reads a length before it allocates, refuses what is past the
//! bounds, and refuses every form but the one that the encoder would have written, so that equal values have equal bytes.

use bincode::de::read::Reader as _;
use bincode::de::{BorrowDecoder, Decoder};
use bincode::enc::Encoder;
use bincode::enc::write::Writer as _;
use bincode::error::{DecodeError, EncodeError};
use bincode::{BorrowDecode, Decode, Encode};
use num_bigint::{BigInt, Sign};

use super::{Exact, FIVES_MAX, NUMERATOR_BYTES_MAX, Repr, TWOS_MAX, Wide};

const INTEGER: u8 = 0;
const WIDE_ABOVE_ZERO: u8 = 1;
const WIDE_BELOW_ZERO: u8 = 2;

/// The tag and the magnitude's bytes.
fn wide_bytes(wide: &Wide) -> (u8, Vec<u8>) {
    let (sign, magnitude) = wide.numerator.to_bytes_le();
    (
        if sign == Sign::Minus {
            WIDE_BELOW_ZERO
        } else {
            WIDE_ABOVE_ZERO
        },
        magnitude,
    )
}

impl Exact {
    /// Bytes that are equal exactly when the values are, for digests; they never change between versions of this program.
    ///
    /// As the stored form, with every integer fixed: `i128` in 16 bytes, `u32` in 4, little end first.
    pub fn canonical_bytes(&self) -> Vec<u8> {
        match &self.0 {
            Repr::Int(value) => [&[INTEGER], value.to_le_bytes().as_slice()].concat(),
            Repr::Wide(wide) => {
                let (tag, magnitude) = wide_bytes(wide);
                let length = u32::try_from(magnitude.len()).unwrap_or(u32::MAX);
                let mut bytes = vec![tag];
                for field in [wide.twos, wide.fives, length] {
                    bytes.extend_from_slice(&field.to_le_bytes());
                }
                bytes.extend_from_slice(&magnitude);
                bytes
            }
        }
    }

    fn decode_wide<D: Decoder>(decoder: &mut D, sign: Sign) -> Result<Self, DecodeError> {
        let (twos, fives) = (u32::decode(decoder)?, u32::decode(decoder)?);
        let length = usize::try_from(u32::decode(decoder)?).unwrap_or(usize::MAX);
        if twos > TWOS_MAX || fives > FIVES_MAX || length > NUMERATOR_BYTES_MAX {
            return Err(DecodeError::Other("exact sum is past its bounds"));
        }
        decoder.claim_bytes_read(length)?;
        let mut magnitude = vec![0; length];
        decoder.reader().read(&mut magnitude)?;
        if magnitude.last().is_none_or(|top| *top == 0) {
            return Err(DecodeError::Other("exact sum has no or a padded numerator"));
        }
        let value = Self::normal(BigInt::from_bytes_le(sign, &magnitude), twos, fives);
        match &value.0 {
            Repr::Wide(wide) if wide.twos == twos && wide.fives == fives => Ok(value),
            Repr::Wide(_) | Repr::Int(_) => Err(DecodeError::Other("exact sum is not in lowest terms")),
        }
    }
}

impl Encode for Exact {
    fn encode<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
        match &self.0 {
            Repr::Int(value) => {
                INTEGER.encode(encoder)?;
                value.encode(encoder)
            }
            Repr::Wide(wide) => {
                let (tag, magnitude) = wide_bytes(wide);
                if magnitude.len() > NUMERATOR_BYTES_MAX {
                    return Err(EncodeError::Other("exact sum is past its bounds"));
                }
                tag.encode(encoder)?;
                wide.twos.encode(encoder)?;
                wide.fives.encode(encoder)?;
                u32::try_from(magnitude.len())
                    .unwrap_or(u32::MAX)
                    .encode(encoder)?;
                encoder.writer().write(&magnitude)
            }
        }
    }
}

impl<Context> Decode<Context> for Exact {
    fn decode<D: Decoder<Context = Context>>(decoder: &mut D) -> Result<Self, DecodeError> {
        match u8::decode(decoder)? {
            INTEGER => Ok(Self(Repr::Int(i128::decode(decoder)?))),
            WIDE_ABOVE_ZERO => Self::decode_wide(decoder, Sign::Plus),
            WIDE_BELOW_ZERO => Self::decode_wide(decoder, Sign::Minus),
            _ => Err(DecodeError::Other("exact sum has an unknown tag")),
        }
    }
}

impl<'de, Context> BorrowDecode<'de, Context> for Exact {
    fn borrow_decode<D: BorrowDecoder<'de, Context = Context>>(decoder: &mut D) -> Result<Self, DecodeError> {
        Self::decode(decoder)
    }
}
