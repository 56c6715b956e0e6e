//! A client's commands out of the bytes that it sends.
//!
//! The parser keeps its place between calls, so a command that arrives byte by byte is still read once. It takes no
//! bytes out of the buffer before the command is whole; then it takes all of them at once, and the arguments are slices
//! of that one piece: nothing is copied, and what is passed on to Redis is what came.
//!
//! INVARIANT: a declared length reserves nothing. What a client costs is what it has sent.
//!
//! SUBTLE: Redis takes any two bytes for the CR LF after an argument, and any byte after a CR. Here both must be right,
//! because [`Request::raw`] is read a second time, by Redis, and both must see the same commands.

use std::ops::Range;

use bytes::{Buf as _, Bytes, BytesMut};

use crate::error::ProtocolError;
use crate::{inline, number};

/// How many arguments are remembered without having been seen yet.
const ARGS_RESERVED_MAX: usize = 64;

/// What a client may send. Each limit is the largest value that is still allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes in a line: an inline command (without its LF), or the line with a length (without its CR LF).
    pub inline_bytes_max: usize,
    /// Arguments in one command, its name included. An inline command is bounded by its line alone.
    pub args_max: usize,
    /// Bytes in one argument.
    pub bulk_bytes_max: usize,
    /// The client has not logged in: says so where it asks for more than `args_max` and `bulk_bytes_max`.
    pub before_auth: bool,
}

impl Limits {
    /// Redis's limits: 64 KiB, 1,048,576 arguments, 512 MiB.
    pub const DEFAULT: Limits = Limits {
        inline_bytes_max: 64 * 1024,
        args_max: 1_048_576,
        bulk_bytes_max: 512 * 1024 * 1024,
        before_auth: false,
    };

    /// Redis's limits for who has not logged in: 10 arguments of 16 KiB.
    pub const BEFORE_AUTH: Limits = Limits {
        inline_bytes_max: 64 * 1024,
        args_max: 10,
        bulk_bytes_max: 16_384,
        before_auth: true,
    };
}

impl Default for Limits {
    fn default() -> Self {
        Limits::DEFAULT
    }
}

/// One command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Its words; the first is the name, as the client spelt it. Never empty (the name may be).
    pub args: Vec<Bytes>,
    /// The same command as RESP: byte for byte as it came, or written anew if it came inline.
    pub raw: Bytes,
}

/// Reads commands. One for each connection.
#[derive(Debug, Default)]
pub struct Parser {
    /// How much of the buffer is understood.
    at: usize,
    /// Where to go on looking for the end of the line at `at`.
    scanned: usize,
    /// Arguments still to come, once their number is known.
    missing: usize,
    /// The length of the argument at `at`, once it is known.
    bulk: Option<usize>,
    /// Where the arguments so far are.
    args: Vec<Range<usize>>,
}

impl Parser {
    /// A parser before the first byte.
    pub fn new() -> Self {
        Parser::default()
    }

    /// Takes the next whole command out of `buf`; `None` when more bytes are needed. Between calls bytes may be added
    /// to the end of `buf`, nothing else. Empty commands are skipped.
    ///
    /// # Errors
    /// [`ProtocolError`]; the stream has no meaning from here on.
    ///
    /// # Cost
    /// O(bytes added since the last call).
    pub fn next(&mut self, buf: &mut BytesMut, limits: &Limits) -> Result<Option<Request>, ProtocolError> {
        loop {
            let request = match (buf.first(), self.missing) {
                (None, _) => return Ok(None),
                (Some(b'*'), _) => self.multibulk(buf, limits)?,
                (Some(_), _) => self.inline(buf, limits)?,
            };
            match request {
                Step::More => return Ok(None),
                Step::Empty => {}
                Step::Whole(request) => {
                    let name = request.args.first().map_or(&[][..], |name| name);
                    if name.eq_ignore_ascii_case(b"post") || name.eq_ignore_ascii_case(b"host:") {
                        return Err(ProtocolError::CrossProtocol);
                    }
                    return Ok(Some(request));
                }
            }
        }
    }

    /// How many bytes more, at least, before there can be a whole command. A reader may reserve as much, within reason.
    pub fn bytes_missing(&self, buf: &BytesMut) -> usize {
        let needed = self.bulk.map_or(1, |len| len.saturating_add(2));
        self.at.saturating_add(needed).saturating_sub(buf.len()).max(1)
    }

    fn inline(&mut self, buf: &mut BytesMut, limits: &Limits) -> Result<Step, ProtocolError> {
        let found = find(buf, self.scanned, b'\n');
        let length = found.unwrap_or(buf.len());
        if length > limits.inline_bytes_max {
            return Err(ProtocolError::TooBigInline);
        }
        if found.is_none() {
            self.scanned = buf.len();
            return Ok(Step::More);
        }
        self.scanned = 0;
        let line = buf.split_to(length);
        buf.advance(1);
        let line = line.strip_suffix(b"\r").unwrap_or(&line);
        let words = inline::split(line)?;
        if words.is_empty() {
            return Ok(Step::Empty);
        }
        let mut raw = BytesMut::new();
        encode_command(&words, &mut raw);
        Ok(Step::Whole(Request {
            args: words.into_iter().map(Bytes::from).collect(),
            raw: raw.freeze(),
        }))
    }

    fn multibulk(&mut self, buf: &mut BytesMut, limits: &Limits) -> Result<Step, ProtocolError> {
        if self.missing == 0 {
            let Some((length, next)) = self.length(buf, limits, ProtocolError::TooBigMultibulkCount)? else {
                return Ok(Step::More);
            };
            let count = length.ok_or(ProtocolError::InvalidMultibulkLength)?;
            if count <= 0 {
                self.reset();
                buf.advance(next);
                return Ok(Step::Empty);
            }
            self.missing = within(count, limits.args_max).ok_or_else(|| {
                if limits.before_auth && within(count, Limits::DEFAULT.args_max).is_some() {
                    ProtocolError::UnauthenticatedMultibulkLength
                } else {
                    ProtocolError::InvalidMultibulkLength
                }
            })?;
            self.args.reserve_exact(self.missing.min(ARGS_RESERVED_MAX));
            self.move_to(next);
        }
        while self.missing > 0 {
            if !self.argument(buf, limits)? {
                return Ok(Step::More);
            }
        }
        let raw = buf.split_to(self.at).freeze();
        let args = self.args.iter().map(|range| raw.slice(range.clone())).collect();
        self.reset();
        Ok(Step::Whole(Request { args, raw }))
    }

    /// Reads one argument; whether it was there.
    fn argument(&mut self, buf: &BytesMut, limits: &Limits) -> Result<bool, ProtocolError> {
        let length = if let Some(length) = self.bulk {
            length
        } else {
            let Some((length, next)) = self.length(buf, limits, ProtocolError::TooBigBulkCount)? else {
                return Ok(false);
            };
            match buf.get(self.at) {
                Some(b'$') => {}
                Some(got) => return Err(ProtocolError::ExpectedBulk { got: *got }),
                None => return Ok(false),
            }
            let length = length
                .filter(|length| *length >= 0)
                .ok_or(ProtocolError::InvalidBulkLength)?;
            let length = within(length, limits.bulk_bytes_max).ok_or_else(|| {
                if limits.before_auth && within(length, Limits::DEFAULT.bulk_bytes_max).is_some() {
                    ProtocolError::UnauthenticatedBulkLength
                } else {
                    ProtocolError::InvalidBulkLength
                }
            })?;
            self.bulk = Some(length);
            self.move_to(next);
            length
        };
        let end = self.at.saturating_add(length);
        match buf.get(end..end.saturating_add(2)) {
            None => return Ok(false),
            Some(b"\r\n") => {}
            Some(_) => return Err(ProtocolError::MissingCrlf),
        }
        self.args.push(self.at..end);
        self.bulk = None;
        self.missing -= 1;
        self.move_to(end + 2);
        Ok(true)
    }

    /// The number in the line at `at`, after its first byte (`None` inside if it is none), and where the next line
    /// begins. Nothing when the line is not whole.
    fn length(
        &mut self,
        buf: &BytesMut,
        limits: &Limits,
        too_big: ProtocolError,
    ) -> Result<Option<(Option<i64>, usize)>, ProtocolError> {
        let found = find(buf, self.scanned, b'\r');
        let end = found.unwrap_or(buf.len());
        self.scanned = end;
        if end.saturating_sub(self.at) > limits.inline_bytes_max {
            return Err(too_big);
        }
        match (found, buf.get(end + 1)) {
            (None, _) | (_, None) => Ok(None),
            (Some(_), Some(b'\n')) => {
                let digits = buf.get(self.at + 1..end).unwrap_or_default();
                Ok(Some((number::integer(digits), end + 2)))
            }
            (Some(_), Some(_)) => Err(ProtocolError::MissingCrlf),
        }
    }

    fn move_to(&mut self, at: usize) {
        self.at = at;
        self.scanned = at;
    }

    fn reset(&mut self) {
        self.args.clear();
        self.args.shrink_to(ARGS_RESERVED_MAX);
        self.missing = 0;
        self.bulk = None;
        self.move_to(0);
    }
}

/// What a look at the buffer gave.
enum Step {
    /// More bytes are needed.
    More,
    /// A command without words; it is out of the buffer.
    Empty,
    /// A command.
    Whole(Request),
}

/// Where `byte` is, at or after `from`.
fn find(buf: &BytesMut, from: usize, byte: u8) -> Option<usize> {
    let rest = buf.get(from..)?;
    rest.iter().position(|b| *b == byte).map(|at| from + at)
}

/// The number, if it is no larger than allowed.
fn within(number: i64, max: usize) -> Option<usize> {
    usize::try_from(number).ok().filter(|n| *n <= max)
}

/// Appends a command as RESP.
pub fn encode_command(args: &[impl AsRef<[u8]>], out: &mut BytesMut) {
    let bytes: usize = args.iter().map(|arg| arg.as_ref().len() + 16).sum();
    out.reserve(bytes + 16);
    header(b'*', args.len(), out);
    for arg in args {
        bulk(arg.as_ref(), out);
    }
}

/// Appends a type and a length.
pub(crate) fn header(kind: u8, length: usize, out: &mut BytesMut) {
    out.extend_from_slice(&[kind]);
    number::write_integer(i64::try_from(length).unwrap_or(i64::MAX), out);
    out.extend_from_slice(b"\r\n");
}

/// Appends a bulk string.
pub(crate) fn bulk(bytes: &[u8], out: &mut BytesMut) {
    header(b'$', bytes.len(), out);
    out.extend_from_slice(bytes);
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests;
