//! Damaged streams: every reader ends with an error or waits for more, never panics, never grows past what it was sent,
//! and says the same however the bytes were cut.
//!
//! Seeded and bounded; `HOSTILE_RUNS=<n>` runs longer. A failure prints its seed, and `HOSTILE_SEED=<seed>` repeats it.
//! `fuzz/` has the same for cargo-fuzz.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of a test: a failure here is the test's failure"
)]

use bytes::BytesMut;
use cartograph_resp::{Delimiter, Limits, Parser, Protocol, Value, encode_command};

/// Streams that a run begins with.
const RUNS: u64 = 3_000;

const LIMITS: Limits = Limits {
    inline_bytes_max: 200,
    args_max: 50,
    bulk_bytes_max: 500,
    before_auth: false,
};

/// `SplitMix64`: enough to choose damage by.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        usize::try_from(mixed % u64::try_from(bound.max(1)).unwrap()).unwrap()
    }

    fn bytes(&mut self, most: usize) -> Vec<u8> {
        let count = self.below(most);
        (0..count)
            .map(|_| u8::try_from(self.below(256)).unwrap())
            .collect()
    }

    fn value(&mut self, depth: usize) -> Value {
        let list = |dice: &mut Dice| (0..dice.below(5)).map(|_| dice.value(depth + 1)).collect();
        match self.below(if depth < 5 { 12 } else { 8 }) {
            0 => Value::OK,
            1 => Value::error("ERR no"),
            2 => Value::Integer(i64::try_from(self.below(1_000_000)).unwrap() - 500_000),
            3 => Value::bulk(self.bytes(300)),
            4 => Value::Null,
            5 => Value::Double(0.5),
            6 => Value::Boolean(true),
            7 => Value::Verbatim(self.bytes(20).into()),
            8 => Value::Array(list(self)),
            9 => Value::Set(list(self)),
            10 => Value::Push(list(self)),
            _ => Value::Map(vec![(self.value(depth + 1), self.value(depth + 1))]),
        }
    }

    /// What a fuzzer does: flips, cuts, doubles, and puts in what parsers trip over.
    fn damage(&mut self, bytes: &mut Vec<u8>) {
        const TRIPS: &[&[u8]] = &[
            b"\r\n",
            b"\r",
            b"\n",
            b"*-1\r\n",
            b"$-1\r\n",
            b"*1000000000\r\n",
            b"$9223372036854775807\r\n",
            b"*18446744073709551616\r\n",
            b"%4611686018427387904\r\n",
            b"|1\r\n",
            b"\0",
            b"\"",
            b"POST / \r\n",
            b"*0\r\n",
            b"$0\r\n\r\n",
            b"+",
        ];
        for _ in 0..self.below(4) {
            let at = self.below(bytes.len() + 1);
            match self.below(4) {
                0 => {
                    if let Some(byte) = bytes.get_mut(at) {
                        *byte = u8::try_from(self.below(256)).unwrap();
                    }
                }
                1 => {
                    let end = (at + self.below(20)).min(bytes.len());
                    bytes.drain(at..end);
                }
                2 => {
                    let end = (at + self.below(20)).min(bytes.len());
                    let again = bytes[at..end].to_vec();
                    bytes.splice(at..at, again);
                }
                _ => {
                    let trip = TRIPS[self.below(TRIPS.len())];
                    bytes.splice(at..at, trip.iter().copied());
                }
            }
        }
    }
}

/// Everything that `read` takes out of `bytes`, fed in pieces; then the error, if any.
fn fed<T>(
    dice: &mut Dice,
    bytes: &[u8],
    whole: bool,
    mut read: impl FnMut(&mut BytesMut) -> Result<Option<T>, String>,
) -> (Vec<T>, Option<String>) {
    let (mut buf, mut found, mut rest) = (BytesMut::new(), Vec::new(), bytes);
    loop {
        let piece = if whole {
            rest.len()
        } else {
            (1 + dice.below(30)).min(rest.len())
        };
        let (now, later) = rest.split_at(piece);
        buf.extend_from_slice(now);
        rest = later;
        loop {
            match read(&mut buf) {
                Ok(Some(one)) => found.push(one),
                Ok(None) => break,
                Err(error) => return (found, Some(error)),
            }
        }
        assert!(buf.len() <= bytes.len() && buf.capacity() <= 4 * bytes.len() + 4_096);
        if rest.is_empty() {
            return (found, None);
        }
    }
}

fn requests(dice: &mut Dice, bytes: &[u8], whole: bool) -> impl PartialEq + std::fmt::Debug + use<> {
    let mut parser = Parser::new();
    fed(dice, bytes, whole, |buf| {
        parser.next(buf, &LIMITS).map_err(|error| error.to_string())
    })
}

fn replies(dice: &mut Dice, bytes: &[u8], whole: bool) -> (Vec<bytes::Bytes>, Option<String>) {
    let mut delimiter = Delimiter::bounded(5_000);
    fed(dice, bytes, whole, |buf| {
        delimiter.next(buf).map_err(|error| error.to_string())
    })
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn damaged_streams_are_read_the_same_however_they_are_cut() {
    let runs = number("HOSTILE_RUNS").unwrap_or(RUNS);
    let first = number("HOSTILE_SEED");
    let seeds = first.map_or(0..runs, |seed| seed..seed + 1);
    for seed in seeds {
        let mut dice = Dice(seed);
        let mut bytes = BytesMut::new();
        for _ in 0..=dice.below(6) {
            let words: Vec<Vec<u8>> = (0..=dice.below(6)).map(|_| dice.bytes(40)).collect();
            encode_command(&words, &mut bytes);
        }
        let mut stream = bytes.to_vec();
        dice.damage(&mut stream);
        let (whole, cut) = (
            requests(&mut dice, &stream, true),
            requests(&mut dice, &stream, false),
        );
        assert_eq!(
            whole,
            cut,
            "HOSTILE_SEED={seed}: requests {}",
            stream.escape_ascii()
        );

        let mut bytes = BytesMut::new();
        for _ in 0..=dice.below(4) {
            let protocol = if dice.below(2) == 0 {
                Protocol::Resp2
            } else {
                Protocol::Resp3
            };
            dice.value(0).encode(protocol, &mut bytes);
        }
        let mut stream = bytes.to_vec();
        dice.damage(&mut stream);
        let (whole, cut) = (
            replies(&mut dice, &stream, true),
            replies(&mut dice, &stream, false),
        );
        assert_eq!(
            whole,
            cut,
            "HOSTILE_SEED={seed}: replies {}",
            stream.escape_ascii()
        );
        for frame in whole.0 {
            // A frame may still hold nonsense in a line; to read it is no more than an error.
            let _ = Value::from_frame(&frame);
        }
    }
}
