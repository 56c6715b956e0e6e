//! The one place that names `bincode`: versioned, bounded bytes.
//!
//! Every blob begins with one byte that says its format's version. A blob of an unknown version is refused by name,
//! so that a downgrade fails clearly instead of reading nonsense. Decoding is bounded before it allocates. `bincode`
//! 2 is no longer maintained (docs/adr/0006); what stands here could be replaced without touching anything else.

use bincode::config;
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
