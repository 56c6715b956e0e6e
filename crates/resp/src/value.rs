//! A reply as a tree, and its bytes in either version of the protocol.
//!
//! RESP2 has five types; what RESP3 has besides is written in RESP2 as Redis 7 writes it: a map as the flat array of its
//! keys and values, a set and a push as an array, a double as a bulk string, a truth value as 1 or 0. Where a command
//! gives the two versions different *structures*, that is the command's business, not this module's.

use std::borrow::Cow;

use bytes::{Bytes, BytesMut};

use crate::error::ProtocolError;
use crate::frame::{Delimiter, length};
use crate::number;
use crate::request::{bulk, header};

/// The version of the protocol that a connection speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// What every client speaks before it says `HELLO 3`.
    #[default]
    Resp2,
    /// With maps, sets, doubles and pushes.
    Resp3,
}

/// A reply.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// `+`: a word like `OK`.
    Simple(Cow<'static, str>),
    /// `-`: an error with its code first. A line: CR and LF are written as spaces.
    Error(String),
    /// `:`
    Integer(i64),
    /// `$`
    Bulk(Bytes),
    /// Nothing: `$-1` or `_`.
    Null,
    /// No list: `*-1` or `_`.
    NullArray,
    /// `*`
    Array(Vec<Value>),
    /// `%`, in RESP2 a flat array.
    Map(Vec<(Value, Value)>),
    /// `~`, in RESP2 an array.
    Set(Vec<Value>),
    /// `,`, in RESP2 a bulk string; the digits are [`double_digits`](crate::double_digits).
    Double(f64),
    /// `#`, in RESP2 1 or 0.
    Boolean(bool),
    /// `(`, in RESP2 a bulk string.
    BigNumber(String),
    /// `=` with the format `txt`, in RESP2 a bulk string.
    Verbatim(Bytes),
    /// `>`, in RESP2 an array.
    Push(Vec<Value>),
    /// One whole reply that somebody else wrote; must be in the connection's version.
    Raw(Bytes),
}

impl Value {
    /// `OK`.
    pub const OK: Value = Value::Simple(Cow::Borrowed("OK"));

    /// An error; `text` begins with its code (`ERR`, `WRONGTYPE`).
    pub fn error(text: impl Into<String>) -> Value {
        Value::Error(text.into())
    }

    /// A bulk string.
    pub fn bulk(bytes: impl Into<Bytes>) -> Value {
        Value::Bulk(bytes.into())
    }

    /// Appends the reply's bytes.
    pub fn encode(&self, protocol: Protocol, out: &mut BytesMut) {
        let new = protocol == Protocol::Resp3;
        match self {
            Value::Simple(text) => line(b'+', text, out),
            Value::Error(text) => line(b'-', text, out),
            Value::Integer(value) => integer(*value, out),
            Value::Bulk(bytes) => bulk(bytes, out),
            Value::Null | Value::NullArray if new => out.extend_from_slice(b"_\r\n"),
            Value::Null => out.extend_from_slice(b"$-1\r\n"),
            Value::NullArray => out.extend_from_slice(b"*-1\r\n"),
            Value::Array(items) => list(b'*', items, protocol, out),
            Value::Map(pairs) => {
                if new {
                    header(b'%', pairs.len(), out);
                } else {
                    header(b'*', pairs.len().saturating_mul(2), out);
                }
                for (key, value) in pairs {
                    key.encode(protocol, out);
                    value.encode(protocol, out);
                }
            }
            Value::Set(items) => list(if new { b'~' } else { b'*' }, items, protocol, out),
            Value::Push(items) => list(if new { b'>' } else { b'*' }, items, protocol, out),
            Value::Double(value) if new => line(b',', &number::double_digits(*value), out),
            Value::Double(value) => bulk(number::double_digits(*value).as_bytes(), out),
            Value::Boolean(value) if new => out.extend_from_slice(if *value { b"#t\r\n" } else { b"#f\r\n" }),
            Value::Boolean(value) => integer(i64::from(*value), out),
            Value::BigNumber(digits) if new => line(b'(', digits, out),
            Value::BigNumber(digits) => bulk(digits.as_bytes(), out),
            Value::Verbatim(text) if new => {
                header(b'=', text.len().saturating_add(4), out);
                out.extend_from_slice(b"txt:");
                out.extend_from_slice(text);
                out.extend_from_slice(b"\r\n");
            }
            Value::Verbatim(text) => bulk(text, out),
            Value::Raw(bytes) => out.extend_from_slice(bytes),
        }
    }

    /// Takes the first whole reply out of `buf`; `None` when more bytes are needed, and `buf` is as it was. Attributes
    /// are dropped. A reader of long replies keeps a [`Delimiter`] and uses [`Value::from_frame`]: this begins at the
    /// start each time.
    ///
    /// # Errors
    /// [`ProtocolError`]; the stream has no meaning from here on.
    pub fn decode(buf: &mut BytesMut) -> Result<Option<Value>, ProtocolError> {
        match Delimiter::new().next(buf)? {
            Some(frame) => Value::from_frame(&frame).map(Some),
            None => Ok(None),
        }
    }

    /// Reads one whole reply; its strings share `frame`'s memory. Attributes are dropped.
    ///
    /// # Errors
    /// [`ProtocolError`]: it is none, or not the whole of `frame`.
    pub fn from_frame(frame: &Bytes) -> Result<Value, ProtocolError> {
        // Bounds the nesting, and so the recursion below.
        if Delimiter::new().end(frame)? != Some(frame.len()) {
            return Err(ProtocolError::InvalidValue);
        }
        Reader { frame, at: 0 }.value()
    }
}

fn line(kind: u8, text: &str, out: &mut BytesMut) {
    out.reserve(text.len() + 3);
    out.extend_from_slice(&[kind]);
    if text.contains(['\r', '\n']) {
        out.extend_from_slice(text.replace(['\r', '\n'], " ").as_bytes());
    } else {
        out.extend_from_slice(text.as_bytes());
    }
    out.extend_from_slice(b"\r\n");
}

fn integer(value: i64, out: &mut BytesMut) {
    out.extend_from_slice(b":");
    number::write_integer(value, out);
    out.extend_from_slice(b"\r\n");
}

fn list(kind: u8, items: &[Value], protocol: Protocol, out: &mut BytesMut) {
    header(kind, items.len(), out);
    for item in items {
        item.encode(protocol, out);
    }
}

/// Reads a frame that is known to be whole.
struct Reader<'a> {
    frame: &'a Bytes,
    at: usize,
}

impl<'a> Reader<'a> {
    fn value(&mut self) -> Result<Value, ProtocolError> {
        loop {
            let (kind, rest) = self.line()?;
            return Ok(match kind {
                b'|' => {
                    for _ in 0..count(kind, rest)?.saturating_mul(2) {
                        self.value()?;
                    }
                    continue;
                }
                b'+' => Value::Simple(Cow::Owned(text(rest)?.to_owned())),
                b'-' => Value::Error(String::from_utf8_lossy(rest).into_owned()),
                b':' => Value::Integer(number::integer(rest).ok_or(ProtocolError::InvalidValue)?),
                b'_' if rest.is_empty() => Value::Null,
                b',' => Value::Double(double(rest)?),
                b'#' if rest == b"t" => Value::Boolean(true),
                b'#' if rest == b"f" => Value::Boolean(false),
                b'(' => Value::BigNumber(big_number(rest)?),
                b'$' => match length(kind, rest)? {
                    Some(length) => Value::Bulk(self.bytes(length)?),
                    None => Value::Null,
                },
                b'!' => {
                    let length = count(kind, rest)?;
                    Value::Error(String::from_utf8_lossy(&self.bytes(length)?).into_owned())
                }
                b'=' => {
                    let length = count(kind, rest)?;
                    let bytes = self.bytes(length)?;
                    match bytes.get(..4) {
                        // A format's three letters and a colon.
                        Some([_, _, _, b':']) => Value::Verbatim(bytes.slice(4..)),
                        Some(_) | None => return Err(ProtocolError::InvalidValue),
                    }
                }
                b'*' => match length(kind, rest)? {
                    Some(count) => Value::Array(self.values(count)?),
                    None => Value::NullArray,
                },
                b'~' => Value::Set(self.counted(kind, rest)?),
                b'>' => Value::Push(self.counted(kind, rest)?),
                b'%' => {
                    let mut pairs = Vec::new();
                    for _ in 0..count(kind, rest)? {
                        pairs.push((self.value()?, self.value()?));
                    }
                    Value::Map(pairs)
                }
                _ => return Err(ProtocolError::InvalidValue),
            });
        }
    }

    fn counted(&mut self, kind: u8, digits: &[u8]) -> Result<Vec<Value>, ProtocolError> {
        self.values(count(kind, digits)?)
    }

    fn values(&mut self, count: usize) -> Result<Vec<Value>, ProtocolError> {
        (0..count).map(|_| self.value()).collect()
    }

    /// The line at `at`: its first byte, and the rest without its end.
    fn line(&mut self) -> Result<(u8, &'a [u8]), ProtocolError> {
        let rest = self.frame.get(self.at..).unwrap_or_default();
        let end = rest.iter().position(|byte| *byte == b'\n');
        let line = end.and_then(|end| rest.get(..end)?.strip_suffix(b"\r"));
        let (kind, text) = line
            .and_then(|line| line.split_first())
            .ok_or(ProtocolError::MissingCrlf)?;
        self.at += text.len() + 3;
        Ok((*kind, text))
    }

    /// So many bytes and a line's end.
    fn bytes(&mut self, length: usize) -> Result<Bytes, ProtocolError> {
        let end = self.at.saturating_add(length);
        if self.frame.get(self.at..end).is_none() {
            return Err(ProtocolError::InvalidLength);
        }
        let bytes = self.frame.slice(self.at..end);
        self.at = end.saturating_add(2);
        Ok(bytes)
    }
}

/// A length that cannot be missing.
fn count(kind: u8, digits: &[u8]) -> Result<usize, ProtocolError> {
    length(kind, digits)?.ok_or(ProtocolError::InvalidLength)
}

fn text(bytes: &[u8]) -> Result<&str, ProtocolError> {
    std::str::from_utf8(bytes).map_err(|_| ProtocolError::InvalidValue)
}

fn double(digits: &[u8]) -> Result<f64, ProtocolError> {
    text(digits)?.parse().map_err(|_| ProtocolError::InvalidValue)
}

fn big_number(digits: &[u8]) -> Result<String, ProtocolError> {
    let digits = text(digits)?;
    let bare = digits.strip_prefix('-').unwrap_or(digits);
    if bare.is_empty() || !bare.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(ProtocolError::InvalidValue);
    }
    Ok(digits.to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bytes(value: &Value, protocol: Protocol) -> String {
        let mut out = BytesMut::new();
        value.encode(protocol, &mut out);
        String::from_utf8(out.to_vec()).unwrap()
    }

    #[test]
    fn each_type_is_written_as_redis_writes_it() {
        let one = || Value::Integer(1);
        let cases = [
            (Value::OK, "+OK\r\n", "+OK\r\n"),
            (Value::error("ERR a\r\nb"), "-ERR a  b\r\n", "-ERR a  b\r\n"),
            (Value::Integer(-7), ":-7\r\n", ":-7\r\n"),
            (Value::bulk("a\r\n"), "$3\r\na\r\n\r\n", "$3\r\na\r\n\r\n"),
            (Value::Null, "$-1\r\n", "_\r\n"),
            (Value::NullArray, "*-1\r\n", "_\r\n"),
            (
                Value::Array(vec![one(), Value::Null]),
                "*2\r\n:1\r\n$-1\r\n",
                "*2\r\n:1\r\n_\r\n",
            ),
            (
                Value::Map(vec![(one(), one())]),
                "*2\r\n:1\r\n:1\r\n",
                "%1\r\n:1\r\n:1\r\n",
            ),
            (Value::Set(vec![one()]), "*1\r\n:1\r\n", "~1\r\n:1\r\n"),
            (Value::Push(vec![one()]), "*1\r\n:1\r\n", ">1\r\n:1\r\n"),
            (
                Value::Double(0.1),
                "$19\r\n0.10000000000000001\r\n",
                ",0.10000000000000001\r\n",
            ),
            (Value::Double(f64::INFINITY), "$3\r\ninf\r\n", ",inf\r\n"),
            (Value::Boolean(true), ":1\r\n", "#t\r\n"),
            (Value::Boolean(false), ":0\r\n", "#f\r\n"),
            (Value::BigNumber("12".to_owned()), "$2\r\n12\r\n", "(12\r\n"),
            (
                Value::Verbatim(Bytes::from("ab")),
                "$2\r\nab\r\n",
                "=6\r\ntxt:ab\r\n",
            ),
            (Value::Raw(Bytes::from(":5\r\n")), ":5\r\n", ":5\r\n"),
        ];
        for (value, old, new) in cases {
            assert_eq!(bytes(&value, Protocol::Resp2), old, "{value:?}");
            assert_eq!(bytes(&value, Protocol::Resp3), new, "{value:?}");
        }
    }

    #[test]
    fn what_is_no_value_is_an_error() {
        for bytes in [
            "#x\r\n",
            ":x\r\n",
            ":\r\n",
            "_x\r\n",
            ",x\r\n",
            "(1x\r\n",
            "(\r\n",
            "=3\r\ntxt\r\n",
            "=5\r\ntxt-a\r\n",
            "+\u{80}\r\n",
        ] {
            let mut buf = match bytes {
                "+\u{80}\r\n" => BytesMut::from(&b"+\xff\r\n"[..]),
                text => BytesMut::from(text),
            };
            assert_eq!(
                Value::decode(&mut buf),
                Err(ProtocolError::InvalidValue),
                "{bytes:?}"
            );
        }
        let two = Bytes::from(":1\r\n:2\r\n");
        assert_eq!(Value::from_frame(&two), Err(ProtocolError::InvalidValue));
        assert_eq!(
            Value::from_frame(&Bytes::from(":1\r")),
            Err(ProtocolError::InvalidValue)
        );
    }

    #[test]
    fn attributes_are_dropped_and_errors_of_both_kinds_read() {
        let frame = Bytes::from("|1\r\n+a\r\n|1\r\n+b\r\n:1\r\n:2\r\n*1\r\n|0\r\n!5\r\nERR x\r\n");
        let read = Value::from_frame(&frame).unwrap();
        assert_eq!(read, Value::Array(vec![Value::error("ERR x")]));
    }

    fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            "[ -~]{0,12}".prop_map(|text| Value::Simple(Cow::Owned(text))),
            "[A-Z]{1,5} [ -~]{0,12}".prop_map(Value::Error),
            any::<i64>().prop_map(Value::Integer),
            prop::collection::vec(any::<u8>(), 0..20).prop_map(Value::bulk),
            Just(Value::Null),
            any::<f64>()
                .prop_filter("nan is not itself", |d| !d.is_nan())
                .prop_map(Value::Double),
            any::<bool>().prop_map(Value::Boolean),
            "-?[0-9]{1,40}".prop_map(Value::BigNumber),
            prop::collection::vec(any::<u8>(), 0..20).prop_map(|b| Value::Verbatim(b.into())),
        ];
        leaf.prop_recursive(4, 64, 6, |inner| {
            let list = prop::collection::vec(inner.clone(), 0..6);
            prop_oneof![
                list.clone().prop_map(Value::Array),
                list.clone().prop_map(Value::Set),
                list.prop_map(Value::Push),
                prop::collection::vec((inner.clone(), inner), 0..4).prop_map(Value::Map),
            ]
        })
    }

    proptest! {
        #[test]
        fn resp3_comes_back_as_it_was(value in any_value()) {
            let mut out = BytesMut::new();
            value.encode(Protocol::Resp3, &mut out);
            let whole = out.clone();
            for end in 0..whole.len() {
                let mut cut = BytesMut::from(&whole[..end]);
                prop_assert_eq!(Value::decode(&mut cut), Ok(None));
                prop_assert_eq!(&cut[..], &whole[..end]);
            }
            prop_assert_eq!(Value::decode(&mut out), Ok(Some(value)));
            prop_assert!(out.is_empty());
        }

        #[test]
        fn what_resp2_writes_is_read_and_written_the_same(value in any_value()) {
            let mut out = BytesMut::new();
            value.encode(Protocol::Resp2, &mut out);
            let first = out.clone();
            let read = Value::decode(&mut out).unwrap().unwrap();
            let mut again = BytesMut::new();
            read.encode(Protocol::Resp2, &mut again);
            prop_assert_eq!(first, again);
        }

        #[test]
        fn nonsense_never_panics(bytes in prop::collection::vec(prop::sample::select(&b"*$+-:%|~>_,#(!=0123\r\n\r\n\r\ntxt:"[..]), 0..200)) {
            let mut buf = BytesMut::from(&bytes[..]);
            while let Ok(Some(_)) = Value::decode(&mut buf) {}
        }
    }
}
