//! Inline commands: a line of words, for people with telnet and for health checks.
//!
//! The quoting rules are Redis's, oddities included: a quote may open in the middle of a word and then ends it, double
//! quotes know escapes, single quotes know only `\'`, and a NUL ends the line, because Redis's line is a C string.

use crate::error::ProtocolError;

/// The words of `line`.
pub(crate) fn split(line: &[u8]) -> Result<Vec<Vec<u8>>, ProtocolError> {
    let line = line.split(|byte| *byte == 0).next().unwrap_or_default();
    let mut rest = line;
    let mut words = Vec::new();
    loop {
        let blank = rest.iter().take_while(|byte| is_space(**byte)).count();
        rest = rest.get(blank..).unwrap_or_default();
        if rest.is_empty() {
            return Ok(words);
        }
        let (word, after) = word(rest)?;
        words.push(word);
        rest = after;
    }
}

/// C's `isspace`.
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | 0x0b | 0x0c | b'\r')
}

/// One word, and what follows it.
fn word(mut rest: &[u8]) -> Result<(Vec<u8>, &[u8]), ProtocolError> {
    let mut word = Vec::new();
    loop {
        match rest {
            [] => return Ok((word, rest)),
            // Not all that `isspace` knows: a vertical tab inside a word belongs to it.
            [b' ' | b'\t' | b'\r' | b'\n', after @ ..] => return Ok((word, after)),
            [b'"', after @ ..] => {
                let after = double_quoted(after, &mut word)?;
                return Ok((word, after));
            }
            [b'\'', after @ ..] => {
                let after = single_quoted(after, &mut word)?;
                return Ok((word, after));
            }
            [byte, after @ ..] => {
                word.push(*byte);
                rest = after;
            }
        }
    }
}

/// The rest of a word after `"`; returns what follows the closing quote.
fn double_quoted<'a>(mut rest: &'a [u8], word: &mut Vec<u8>) -> Result<&'a [u8], ProtocolError> {
    loop {
        rest = match rest {
            [] => return Err(ProtocolError::UnbalancedQuotes),
            [b'"', after @ ..] => return closed(after),
            [b'\\', b'x', high, low, after @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                word.push(hex(*high) << 4 | hex(*low));
                after
            }
            [b'\\', escaped, after @ ..] => {
                word.push(match escaped {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'b' => 0x08,
                    b'a' => 0x07,
                    other => *other,
                });
                after
            }
            [byte, after @ ..] => {
                word.push(*byte);
                after
            }
        }
    }
}

/// The rest of a word after `'`; returns what follows the closing quote.
fn single_quoted<'a>(mut rest: &'a [u8], word: &mut Vec<u8>) -> Result<&'a [u8], ProtocolError> {
    loop {
        rest = match rest {
            [] => return Err(ProtocolError::UnbalancedQuotes),
            [b'\'', after @ ..] => return closed(after),
            [b'\\', b'\'', after @ ..] => {
                word.push(b'\'');
                after
            }
            [byte, after @ ..] => {
                word.push(*byte);
                after
            }
        }
    }
}

/// A closing quote ends the word, so a space or nothing must follow.
fn closed(after: &[u8]) -> Result<&[u8], ProtocolError> {
    match after.first() {
        Some(byte) if !is_space(*byte) => Err(ProtocolError::UnbalancedQuotes),
        Some(_) | None => Ok(after),
    }
}

/// The value of a digit that is known to be hexadecimal.
fn hex(digit: u8) -> u8 {
    char::from(digit)
        .to_digit(16)
        .and_then(|value| u8::try_from(value).ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &[u8]) -> Vec<String> {
        let words = split(line).unwrap();
        words.iter().map(|w| w.escape_ascii().to_string()).collect()
    }

    #[test]
    fn words_stand_between_spaces() {
        assert_eq!(words(b"SET a  b\tc "), ["SET", "a", "b", "c"]);
        assert_eq!(words(b" \x0b\x0c\tPING\r"), ["PING"]);
        assert_eq!(words(b"a\x0bb"), ["a\\x0bb"]);
        assert!(words(b"").is_empty() && words(b" \r ").is_empty());
    }

    #[test]
    fn quotes_are_read_as_redis_reads_them() {
        assert_eq!(words(br#"set "a b" 'c d'"#), ["set", "a b", "c d"]);
        assert_eq!(
            words(br#""\x41\n\r\t\b\a\q\"\xzz""#),
            [r#"A\n\r\t\x08\x07q\"xzz"#]
        );
        assert_eq!(words(br"'it\'s \n'"), [r"it\'s \\n"]);
        assert_eq!(
            words(br#"ab"c d" e"#),
            ["abc d", "e"],
            "a quote may open in a word"
        );
        assert_eq!(words(br#""" ''"#), ["", ""]);
    }

    #[test]
    fn unbalanced_quotes_are_an_error() {
        for line in [
            &br#""abc"#[..],
            b"'abc",
            br#""a"b"#,
            b"'a'b",
            br#"a "b\""#,
            br"'\'",
            br#""\"#,
            b"\"a\0b\"",
        ] {
            assert_eq!(
                split(line),
                Err(ProtocolError::UnbalancedQuotes),
                "{}",
                line.escape_ascii()
            );
        }
    }

    #[test]
    fn a_nul_ends_the_line() {
        assert_eq!(words(b"GET a\0b c"), ["GET", "a"]);
        assert!(words(b"\0GET a").is_empty());
    }
}
