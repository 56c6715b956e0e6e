//! Words of a command, and words of a reply.

use bytes::Bytes;
use cartograph_resp::Value;

/// An argument as Redis reads integers: decimal, no sign but `-`, no blanks, no leading zeros.
pub(crate) fn integer(argument: &[u8]) -> Option<i64> {
    cartograph_engine::number::parse_i64(argument)
}

/// The argument, for comparing with words that are written in any case.
pub(crate) fn lower(argument: &[u8]) -> String {
    String::from_utf8_lossy(argument).to_ascii_lowercase()
}

/// The argument as a message shows it.
pub(crate) fn lossy(argument: &[u8]) -> String {
    String::from_utf8_lossy(argument).into_owned()
}

/// Is it this word, in any case?
pub(crate) fn is(argument: &[u8], word: &str) -> bool {
    argument.eq_ignore_ascii_case(word.as_bytes())
}

/// A text as a bulk string.
pub(crate) fn text(text: impl Into<String>) -> Value {
    Value::Bulk(Bytes::from(text.into()))
}

/// A fixed text as a bulk string.
pub(crate) fn word(text: &'static str) -> Value {
    Value::Bulk(Bytes::from_static(text.as_bytes()))
}

/// A word as a simple string, as Redis gives flags.
pub(crate) fn flag(text: &'static str) -> Value {
    Value::Simple(text.into())
}

/// A count.
pub(crate) fn count(n: usize) -> Value {
    Value::Integer(i64::try_from(n).unwrap_or(i64::MAX))
}

/// A number that may be larger than Redis's.
pub(crate) fn number(n: u64) -> Value {
    Value::Integer(i64::try_from(n).unwrap_or(i64::MAX))
}
