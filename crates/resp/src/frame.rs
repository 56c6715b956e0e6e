//! A server's replies cut apart, without decoding them.
//!
//! A pool hands each reply on as it came, so all that it needs to know is where one ends. The delimiter walks over
//! headers, steps over bulk strings without looking into them, and counts down what each aggregate still lacks. It
//! knows RESP2 and RESP3, attributes (they belong to the reply that they precede) and pushes.
//!
//! INVARIANT: a declared length reserves nothing; nesting and the length of a reply are bounded.

use bytes::{Bytes, BytesMut};

use crate::error::ProtocolError;
use crate::number;

/// How deeply aggregates may stand in each other. Redis's own replies stay below 10; only a script's can be deeper.
pub const DEPTH_MAX: usize = 128;

/// The longest reply, unless [`Delimiter::bounded`] says otherwise: 1 GiB.
pub const FRAME_BYTES_MAX: usize = 1 << 30;

/// A line with a length or a number is never longer than this; a simple string or an error may be.
const HEADER_BYTES_MAX: usize = 64;

/// Finds the ends of replies. One for each connection.
#[derive(Debug)]
pub struct Delimiter {
    /// How much of the buffer is understood.
    at: usize,
    /// Where to go on looking for the end of the line at `at`.
    scanned: usize,
    /// What each open aggregate still lacks, the innermost last.
    open: Vec<Open>,
    /// How much of a bulk string was not there.
    missing: usize,
    frame_bytes_max: usize,
}

#[derive(Clone, Copy, Debug)]
struct Open {
    lacks: u64,
    /// It describes the item after it, and does not count as one.
    attribute: bool,
}

impl Default for Delimiter {
    fn default() -> Self {
        Delimiter::new()
    }
}

impl Delimiter {
    /// A delimiter before the first byte.
    pub fn new() -> Self {
        Delimiter::bounded(FRAME_BYTES_MAX)
    }

    /// One that takes no reply longer than this.
    pub fn bounded(frame_bytes_max: usize) -> Self {
        Delimiter {
            at: 0,
            scanned: 0,
            open: Vec::new(),
            missing: 0,
            frame_bytes_max,
        }
    }

    /// Takes the next whole reply out of `buf`; `None` when more bytes are needed. Between calls bytes may be added to
    /// the end of `buf`, nothing else. What is taken shares `buf`'s memory.
    ///
    /// # Errors
    /// [`ProtocolError`]; the stream has no meaning from here on.
    ///
    /// # Cost
    /// O(headers since the last call), and the bytes of simple strings.
    pub fn next(&mut self, buf: &mut BytesMut) -> Result<Option<Bytes>, ProtocolError> {
        let end = self.end(buf)?;
        Ok(end.map(|end| buf.split_to(end).freeze()))
    }

    /// Where the first reply in `buf` ends; `None` when more bytes are needed. For who takes several replies at once:
    /// the next call must begin that many bytes later.
    ///
    /// # Errors
    /// See [`Delimiter::next`].
    pub fn end(&mut self, buf: &[u8]) -> Result<Option<usize>, ProtocolError> {
        let mut whole = false;
        while !whole {
            match self.item(buf)? {
                Some(done) => {
                    whole = done;
                    self.missing = 0;
                }
                None if buf.len() > self.frame_bytes_max => return Err(ProtocolError::TooBigReply),
                None => return Ok(None),
            }
        }
        let end = self.at;
        self.move_to(0);
        if end > self.frame_bytes_max {
            return Err(ProtocolError::TooBigReply);
        }
        Ok(Some(end))
    }

    /// How many bytes more, at least, before the reply can be whole. A reader may reserve as much, within reason.
    pub fn bytes_missing(&self) -> usize {
        self.missing.max(1)
    }

    /// Steps over one header, with the string that belongs to it. `None`: more bytes are needed; else whether the
    /// reply is whole.
    fn item(&mut self, buf: &[u8]) -> Result<Option<bool>, ProtocolError> {
        let Some(kind) = buf.get(self.at).copied() else {
            return Ok(None);
        };
        let Some(end) = self.line(buf, kind)? else {
            return Ok(None);
        };
        let next = end + 2;
        let digits = buf.get(self.at + 1..end).unwrap_or_default();
        match Kind::of(kind)? {
            Kind::Line => self.move_to(next),
            Kind::Bulk => {
                let length = length(kind, digits)?;
                // Where it ends, if it is not the null of RESP2.
                let after = length.map_or(Some(next), |n| next.checked_add(n)?.checked_add(2));
                let after = after
                    .filter(|after| *after <= self.frame_bytes_max)
                    .ok_or(ProtocolError::TooBigReply)?;
                if after > buf.len() {
                    self.missing = after - buf.len();
                    return Ok(None);
                }
                if length.is_some() && buf.get(after - 2..after) != Some(b"\r\n") {
                    return Err(ProtocolError::MissingCrlf);
                }
                self.move_to(after);
            }
            Kind::Aggregate { each, attribute } => {
                let count = length(kind, digits)?.unwrap_or(0);
                let count = u64::try_from(count).map_err(|_| ProtocolError::InvalidLength)?;
                let lacks = count.checked_mul(each).ok_or(ProtocolError::InvalidLength)?;
                self.move_to(next);
                if lacks > 0 {
                    if self.open.len() >= DEPTH_MAX {
                        return Err(ProtocolError::TooDeep);
                    }
                    self.open.push(Open { lacks, attribute });
                    return Ok(Some(false));
                }
                if attribute {
                    return Ok(Some(false));
                }
            }
        }
        Ok(Some(self.close_one()))
    }

    /// An item is whole: so may be what it was the last of. Whether the reply is.
    fn close_one(&mut self) -> bool {
        while let Some(open) = self.open.last_mut() {
            open.lacks -= 1;
            if open.lacks > 0 {
                return false;
            }
            let described_follows = open.attribute;
            self.open.pop();
            if described_follows {
                return false;
            }
        }
        true
    }

    /// Where the line at `at` ends, if it does.
    fn line(&mut self, buf: &[u8], kind: u8) -> Result<Option<usize>, ProtocolError> {
        let rest = buf.get(self.scanned..).unwrap_or_default();
        let found = rest
            .iter()
            .position(|byte| *byte == b'\n')
            .map(|at| self.scanned + at);
        let end = found.unwrap_or(buf.len());
        if !matches!(kind, b'+' | b'-' | b'(') && end - self.at > HEADER_BYTES_MAX {
            return Err(ProtocolError::InvalidLength);
        }
        let Some(line_feed) = found else {
            self.scanned = buf.len();
            return Ok(None);
        };
        match line_feed.checked_sub(1).filter(|cr| *cr > self.at) {
            Some(cr) if buf.get(cr) == Some(&b'\r') => Ok(Some(cr)),
            Some(_) | None => Err(ProtocolError::MissingCrlf),
        }
    }

    fn move_to(&mut self, at: usize) {
        self.at = at;
        self.scanned = at;
    }
}

/// What follows a reply's first byte.
enum Kind {
    /// A line.
    Line,
    /// A length, and as many bytes.
    Bulk,
    /// A number of items.
    Aggregate { each: u64, attribute: bool },
}

impl Kind {
    fn of(byte: u8) -> Result<Self, ProtocolError> {
        let aggregate = |each| Kind::Aggregate {
            each,
            attribute: false,
        };
        Ok(match byte {
            b'+' | b'-' | b':' | b'_' | b',' | b'#' | b'(' => Kind::Line,
            b'$' | b'!' | b'=' => Kind::Bulk,
            b'*' | b'~' | b'>' => aggregate(1),
            b'%' => aggregate(2),
            b'|' => Kind::Aggregate {
                each: 2,
                attribute: true,
            },
            got => return Err(ProtocolError::UnknownType { got }),
        })
    }
}

/// A length; `None` is RESP2's null, which only a bulk string and an array can be.
pub(crate) fn length(kind: u8, digits: &[u8]) -> Result<Option<usize>, ProtocolError> {
    match number::integer(digits) {
        Some(-1) if matches!(kind, b'$' | b'*') => Ok(None),
        Some(length) => usize::try_from(length)
            .map(Some)
            .map_err(|_| ProtocolError::InvalidLength),
        None => Err(ProtocolError::InvalidLength),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What comes out when `bytes` come in pieces of these lengths, in turn.
    fn frames(bytes: &[u8], pieces: &[usize]) -> (Vec<Vec<u8>>, Option<ProtocolError>) {
        let mut delimiter = Delimiter::bounded(10_000);
        let (mut buf, mut frames) = (BytesMut::new(), Vec::new());
        let mut rest = bytes;
        for piece in pieces.iter().cycle() {
            let (now, later) = rest.split_at((*piece).clamp(1, rest.len().max(1)).min(rest.len()));
            buf.extend_from_slice(now);
            rest = later;
            loop {
                match delimiter.next(&mut buf) {
                    Ok(Some(frame)) => frames.push(frame.to_vec()),
                    Ok(None) => break,
                    Err(error) => return (frames, Some(error)),
                }
            }
            if rest.is_empty() {
                break;
            }
        }
        (frames, None)
    }

    fn error(bytes: &[u8]) -> Option<ProtocolError> {
        frames(bytes, &[usize::MAX]).1
    }

    const EVERY_KIND: &[&str] = &[
        "+OK\r\n",
        "-ERR no\r\n",
        ":-12\r\n",
        "$3\r\na\r\n\r\n",
        "$0\r\n\r\n",
        "$-1\r\n",
        "*-1\r\n",
        "*0\r\n",
        "*2\r\n*1\r\n:1\r\n*2\r\n$1\r\na\r\n*0\r\n",
        "_\r\n",
        ",1.5\r\n",
        "#t\r\n",
        "(123456789012345678901234567890\r\n",
        "!5\r\nERR x\r\n",
        "=7\r\ntxt:abc\r\n",
        "%2\r\n+a\r\n:1\r\n+b\r\n%0\r\n",
        "~1\r\n+a\r\n",
        ">2\r\n+message\r\n$1\r\nx\r\n",
        "|1\r\n+ttl\r\n:3\r\n$1\r\nv\r\n",
        "*2\r\n|1\r\n+a\r\n*1\r\n:1\r\n:7\r\n|0\r\n:8\r\n",
    ];

    #[test]
    fn every_kind_of_reply_is_one_frame() {
        for frame in EVERY_KIND {
            let twice = frame.repeat(2);
            let (found, error) = frames(twice.as_bytes(), &[usize::MAX]);
            assert_eq!((found.len(), error), (2, None), "{frame:?}");
            assert!(found.iter().all(|f| f == frame.as_bytes()), "{frame:?}");
        }
    }

    #[test]
    fn what_is_no_reply_is_an_error() {
        use ProtocolError::{InvalidLength, MissingCrlf, TooBigReply, UnknownType};
        for (bytes, wanted) in [
            (&b"$-2\r\n"[..], InvalidLength),
            (b"*-2\r\n", InvalidLength),
            (b"%-1\r\n", InvalidLength),
            (b"$x\r\n", InvalidLength),
            (b"$\r\n", InvalidLength),
            (b"$9223372036854775807\r\n", TooBigReply),
            (b"$1\r\nabc", MissingCrlf),
            (b"+OK\n", MissingCrlf),
            (b"+\n", MissingCrlf),
            (b"x\r\n", UnknownType { got: b'x' }),
        ] {
            assert_eq!(error(bytes), Some(wanted), "{}", bytes.escape_ascii());
        }
        assert_eq!(
            error(&[b':'; 100]),
            Some(InvalidLength),
            "a header without an end"
        );
    }

    #[test]
    fn nesting_is_bounded() {
        let nested = |depth: usize| [b"*1\r\n".repeat(depth), b":1\r\n".to_vec()].concat();
        assert_eq!(frames(&nested(DEPTH_MAX), &[usize::MAX]).0.len(), 1);
        assert_eq!(error(&nested(DEPTH_MAX + 1)), Some(ProtocolError::TooDeep));
        assert_eq!(
            error(&b"|1\r\n".repeat(DEPTH_MAX + 1)),
            Some(ProtocolError::TooDeep)
        );
    }

    #[test]
    fn the_length_of_a_reply_is_bounded() {
        let of = |bytes: usize| format!("${bytes}\r\n{}\r\n", "x".repeat(bytes)).into_bytes();
        let exactly = of(10_000 - 9);
        assert_eq!(exactly.len(), 10_000);
        assert_eq!(frames(&exactly, &[usize::MAX]).0.len(), 1);
        assert_eq!(error(&of(10_000 - 8)), Some(ProtocolError::TooBigReply));
        assert_eq!(
            error(
                &b"*9999999\r\n"
                    .iter()
                    .copied()
                    .chain(b":1\r\n".repeat(2_500))
                    .collect::<Vec<_>>()
            ),
            Some(ProtocolError::TooBigReply)
        );
        assert_eq!(
            error(&[&b"+"[..], &[b'x'; 10_001]].concat()),
            Some(ProtocolError::TooBigReply)
        );
    }

    #[test]
    fn a_declared_length_reserves_nothing() {
        let mut buf = BytesMut::from(&b"*9223372036854775807\r\n$500\r\nabc"[..]);
        let mut delimiter = Delimiter::new();
        assert_eq!(delimiter.next(&mut buf), Ok(None));
        assert!(delimiter.open.capacity() < 10 && buf.capacity() < 1_000);
        assert_eq!(delimiter.bytes_missing(), 500 + 2 - 3);
    }

    #[test]
    fn a_long_line_is_scanned_once() {
        let mut buf = BytesMut::from(&b"+"[..]);
        let mut delimiter = Delimiter::new();
        for n in 0..1_000 {
            assert_eq!(delimiter.next(&mut buf), Ok(None));
            assert_eq!(delimiter.scanned, n + 1);
            buf.extend_from_slice(b"x");
        }
    }

    proptest! {
        #[test]
        fn pieces_give_what_the_whole_gives(
            chosen in prop::collection::vec(prop::sample::select(EVERY_KIND), 1..20),
            pieces in prop::collection::vec(1_usize..9, 1..20),
        ) {
            let bytes = chosen.concat().into_bytes();
            let (found, error) = frames(&bytes, &pieces);
            prop_assert_eq!(error, None);
            prop_assert_eq!(found, chosen.iter().map(|f| f.as_bytes().to_vec()).collect::<Vec<_>>());
        }

        #[test]
        fn pieces_of_nonsense_give_what_the_whole_gives(
            bytes in prop::collection::vec(prop::sample::select(&b"*$+-:%|~>_,#(!=0123\r\n\r\n\r\nx"[..]), 0..200),
            pieces in prop::collection::vec(1_usize..9, 1..20),
        ) {
            prop_assert_eq!(frames(&bytes, &pieces), frames(&bytes, &[usize::MAX]));
        }
    }
}
