//! Session tokens: what a client has seen, shard by shard, in a form that fits into a header.
//!
//! Presented in another region, a token makes a request wait until that region has seen as much. A token is opaque to
//! clients and not secret: it says how many entries of each replica were applied, and nothing of what was in them. A
//! forged one can make its own request wait, for as long as requests wait at most.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use cartograph_crdt::codec;
use cartograph_crdt::{ShardId, VersionVector};

/// Format version of tokens.
const VERSION: u8 = 1;

/// The longest token that is read, in bytes: HTTP servers and proxies take no much longer header.
pub const TOKEN_BYTES_MAX: usize = 8 << 10;

/// What a session has seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Token(pub BTreeMap<ShardId, VersionVector>);

/// A text that is no token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Too long.
    #[error(
        "the session token has {bytes} bytes, more than {TOKEN_BYTES_MAX}: send the one that a reply carried"
    )]
    TooLong {
        /// How long.
        bytes: usize,
    },
    /// Not of our making.
    #[error("the session token cannot be read: send the one that a reply carried, unchanged")]
    Malformed,
}

impl Token {
    /// The text for a header; `None` when it would be too long to be read back.
    pub fn to_text(&self) -> Option<String> {
        let bytes = codec::encode("a session token", VERSION, &self.0).ok()?;
        let text = URL_SAFE_NO_PAD.encode(bytes);
        (text.len() <= TOKEN_BYTES_MAX).then_some(text)
    }

    /// Reads a token.
    ///
    /// # Errors
    /// See [`TokenError`].
    pub fn from_text(text: &str) -> Result<Token, TokenError> {
        if text.len() > TOKEN_BYTES_MAX {
            return Err(TokenError::TooLong { bytes: text.len() });
        }
        let bytes = URL_SAFE_NO_PAD
            .decode(text.trim())
            .map_err(|_| TokenError::Malformed)?;
        let vectors = codec::decode("a session token", VERSION, &bytes).map_err(|_| TokenError::Malformed)?;
        Ok(Token(vectors))
    }
}

#[cfg(test)]
mod tests {
    use cartograph_crdt::ReplicaId;

    use super::*;

    #[test]
    fn tokens_read_back() {
        let vector: VersionVector = [(ReplicaId::new(1, 9 << 16), 7), (ReplicaId::new(2, 1), u64::MAX)]
            .into_iter()
            .collect();
        let token = Token([(ShardId(0), vector)].into());
        let text = token.to_text().unwrap();
        assert!(
            text.bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        );
        assert_eq!(Token::from_text(&text), Ok(token));
    }

    #[test]
    fn what_is_no_token_is_refused() {
        for text in ["", "!", "AAAA", "äö", "AQ==", "Af8="] {
            assert_eq!(Token::from_text(text), Err(TokenError::Malformed), "{text:?}");
        }
        let long = "A".repeat(TOKEN_BYTES_MAX + 1);
        assert_eq!(
            Token::from_text(&long),
            Err(TokenError::TooLong {
                bytes: TOKEN_BYTES_MAX + 1
            })
        );
    }
}
