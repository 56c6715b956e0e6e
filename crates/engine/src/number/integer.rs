//! Integers as INCR reads them.

/// The 64-bit integer that `text` is to INCR and INCRBY, or `None`.
///
/// Exactly the form that printing an integer gives: no spaces, no `+`, no leading zeros, no `-0`, in range.
pub fn parse_i64(text: &[u8]) -> Option<i64> {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    let canonical = match digits.split_first() {
        Some((b'0', rest)) => rest.is_empty() && digits.len() == text.len(),
        Some((first, rest)) => first.is_ascii_digit() && rest.iter().all(u8::is_ascii_digit),
        None => false,
    };
    if canonical {
        std::str::from_utf8(text).ok()?.parse().ok()
    } else {
        None
    }
}
