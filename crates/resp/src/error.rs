//! What can be wrong with bytes that should be RESP.

/// Bytes that are not RESP, or more of it than is allowed. The stream cannot be read on: the connection has to close,
/// after `-ERR ` and this text where the peer is a client (nothing at all for [`ProtocolError::CrossProtocol`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProtocolError {
    /// The number of arguments is no number, or too large.
    #[error("Protocol error: invalid multibulk length")]
    InvalidMultibulkLength,
    /// More arguments than a client may send before it has logged in.
    #[error("Protocol error: unauthenticated multibulk length")]
    UnauthenticatedMultibulkLength,
    /// The length of an argument is no number, negative, or too large.
    #[error("Protocol error: invalid bulk length")]
    InvalidBulkLength,
    /// A longer argument than a client may send before it has logged in.
    #[error("Protocol error: unauthenticated bulk length")]
    UnauthenticatedBulkLength,
    /// The line with the number of arguments does not end.
    #[error("Protocol error: too big mbulk count string")]
    TooBigMultibulkCount,
    /// The line with the length of an argument does not end.
    #[error("Protocol error: too big bulk count string")]
    TooBigBulkCount,
    /// A command without RESP's framing is longer than allowed.
    #[error("Protocol error: too big inline request")]
    TooBigInline,
    /// An argument begins with something else than its length.
    #[error("Protocol error: expected '$', got '{}'", Shown(*got))]
    ExpectedBulk {
        /// The byte found.
        got: u8,
    },
    /// A quote in an inline command is not closed, or is followed by something else than a space.
    #[error("Protocol error: unbalanced quotes in request")]
    UnbalancedQuotes,
    /// A line or a value does not end with CR LF. Redis takes any two bytes there; they are passed on as they came, so
    /// what reads them next must not be able to see other commands in them than were checked here.
    #[error("Protocol error: missing CRLF")]
    MissingCrlf,
    /// The first word is `POST` or `Host:`: a web page made somebody's browser send this. Nothing of it may run.
    #[error("Protocol error: possible cross protocol scripting (POST or Host: command)")]
    CrossProtocol,
    /// A reply begins with a byte that stands for no type.
    #[error("Protocol error: unknown reply type '{}'", Shown(*got))]
    UnknownType {
        /// The byte found.
        got: u8,
    },
    /// A length in a reply is no number or out of range.
    #[error("Protocol error: invalid length in a reply")]
    InvalidLength,
    /// What should be a number, a truth value or a text is none.
    #[error("Protocol error: invalid value in a reply")]
    InvalidValue,
    /// A reply is nested more deeply than allowed.
    #[error("Protocol error: reply nested too deeply")]
    TooDeep,
    /// A reply is longer than allowed.
    #[error("Protocol error: too big reply")]
    TooBigReply,
}

/// A byte of a stranger's, in a line of text.
struct Shown(u8);

impl std::fmt::Display for Shown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            // As Redis does with any error's text.
            b'\r' | b'\n' => f.write_str(" "),
            byte if byte.is_ascii_graphic() || byte == b' ' => write!(f, "{}", char::from(byte)),
            byte => write!(f, "\\x{byte:02x}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_redis_s_and_fit_on_a_line() {
        let text = ProtocolError::InvalidMultibulkLength.to_string();
        assert_eq!(text, "Protocol error: invalid multibulk length");
        let got = |got| ProtocolError::ExpectedBulk { got }.to_string();
        assert_eq!(got(b':'), "Protocol error: expected '$', got ':'");
        assert_eq!(got(b'\n'), "Protocol error: expected '$', got ' '");
        assert_eq!(got(0), "Protocol error: expected '$', got '\\x00'");
    }
}
