//! The slow log: the last commands that took longer than a threshold, from their arrival to their reply, as the door
//! measured it. So it also shows what waited for the shard or for Redis, which no Redis's own slow log can.
//!
//! Bounded as Redis bounds it: so many entries, 32 arguments of 128 bytes each. Passwords never get in.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use cartograph_resp::Value;

use super::args::{integer, text};
use super::errors::{NOT_AN_INTEGER, error};
use crate::clock;

/// Arguments that are kept of a command; the last says how many more there were.
const ARGUMENTS_MAX: usize = 32;

/// Bytes that are kept of an argument.
const ARGUMENT_BYTES_MAX: usize = 128;

/// The most entries that `slowlog-max-len` may ask for.
pub(crate) const ENTRIES_MAX: usize = 10_000;

/// Commands that carry passwords.
const SECRET: [&str; 3] = ["auth", "hello", "acl"];

#[derive(Debug)]
struct Entry {
    id: i64,
    at_seconds: i64,
    micros: i64,
    arguments: Vec<Bytes>,
    address: SocketAddr,
    client_name: String,
}

/// The log and its two settings.
#[derive(Debug)]
pub(crate) struct Slowlog {
    entries: Mutex<(i64, VecDeque<Entry>)>,
    /// `slowlog-log-slower-than`, microseconds: 0 logs everything, below 0 nothing.
    threshold_micros: AtomicI64,
    /// `slowlog-max-len`.
    length_max: AtomicUsize,
}

impl Default for Slowlog {
    fn default() -> Self {
        Slowlog {
            entries: Mutex::default(),
            threshold_micros: AtomicI64::new(10_000),
            length_max: AtomicUsize::new(128),
        }
    }
}

impl Slowlog {
    fn lock(&self) -> MutexGuard<'_, (i64, VecDeque<Entry>)> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn threshold_micros(&self) -> i64 {
        self.threshold_micros.load(Ordering::Relaxed)
    }

    pub(crate) fn set_threshold(&self, micros: i64) {
        self.threshold_micros.store(micros, Ordering::Relaxed);
    }

    pub(crate) fn length_max(&self) -> usize {
        self.length_max.load(Ordering::Relaxed)
    }

    pub(crate) fn set_length(&self, length_max: usize) {
        let length_max = length_max.min(ENTRIES_MAX);
        self.length_max.store(length_max, Ordering::Relaxed);
        self.lock().1.truncate(length_max);
    }

    pub(crate) fn count(&self) -> usize {
        self.lock().1.len()
    }

    /// Is a command that took so long worth remembering? Costs one load, so it can be asked for every command.
    pub(crate) fn is_slow(&self, took: Duration) -> bool {
        let threshold = self.threshold_micros();
        threshold >= 0 && took.as_micros() >= u128::from(threshold.unsigned_abs())
    }

    /// Remembers a command, if it was slow. `arguments` begins with its name.
    pub(crate) fn note(&self, took: Duration, arguments: &[Bytes], address: SocketAddr, client_name: &str) {
        let secret = arguments
            .first()
            .is_some_and(|name| SECRET.iter().any(|s| name.eq_ignore_ascii_case(s.as_bytes())));
        let length_max = self.length_max();
        if !self.is_slow(took) || secret || length_max == 0 {
            return;
        }
        let entry = Entry {
            id: 0,
            at_seconds: i64::try_from(clock::wall_ms() / 1_000).unwrap_or(i64::MAX),
            micros: i64::try_from(took.as_micros()).unwrap_or(i64::MAX),
            arguments: kept(arguments),
            address,
            client_name: client_name.to_owned(),
        };
        let mut entries = self.lock();
        let id = entries.0;
        entries.0 += 1;
        entries.1.push_front(Entry { id, ..entry });
        entries.1.truncate(length_max);
    }

    /// SLOWLOG GET, LEN and RESET.
    pub(crate) fn answer(&self, word: &str, arguments: &[Bytes]) -> Value {
        match (word, arguments) {
            ("len", []) => Value::Integer(i64::try_from(self.count()).unwrap_or(i64::MAX)),
            ("reset", []) => {
                self.lock().1.clear();
                Value::OK
            }
            ("get", []) => self.get(10),
            ("get", [count]) => match integer(count) {
                None => error(NOT_AN_INTEGER),
                Some(-1) => self.get(usize::MAX),
                Some(count) => match usize::try_from(count) {
                    Ok(count) => self.get(count),
                    Err(_) => error("ERR count should be greater than or equal to -1"),
                },
            },
            _ => error("ERR syntax error"),
        }
    }

    fn get(&self, count: usize) -> Value {
        let entries = self.lock();
        let shown = entries.1.iter().take(count).map(|entry| {
            let arguments = entry.arguments.iter().cloned().map(Value::Bulk);
            Value::Array(vec![
                Value::Integer(entry.id),
                Value::Integer(entry.at_seconds),
                Value::Integer(entry.micros),
                Value::Array(arguments.collect()),
                text(entry.address.to_string()),
                text(entry.client_name.clone()),
            ])
        });
        Value::Array(shown.collect())
    }
}

/// As much of the arguments as Redis keeps, in its words.
fn kept(arguments: &[Bytes]) -> Vec<Bytes> {
    let shown = if arguments.len() > ARGUMENTS_MAX {
        ARGUMENTS_MAX - 1
    } else {
        arguments.len()
    };
    let mut kept: Vec<Bytes> = arguments.iter().take(shown).map(|a| cut(a)).collect();
    if arguments.len() > shown {
        let more = format!("... ({} more arguments)", arguments.len() - shown);
        kept.push(Bytes::from(more));
    }
    kept
}

/// Copied, so that a small piece does not keep a large buffer alive.
fn cut(argument: &Bytes) -> Bytes {
    let Some(first) = argument.get(..ARGUMENT_BYTES_MAX) else {
        return Bytes::copy_from_slice(argument);
    };
    if argument.len() == ARGUMENT_BYTES_MAX {
        return Bytes::copy_from_slice(first);
    }
    let more = format!("... ({} more bytes)", argument.len() - ARGUMENT_BYTES_MAX);
    Bytes::from([first, more.as_bytes()].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address() -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], 4_242))
    }

    fn words(words: &[&str]) -> Vec<Bytes> {
        words
            .iter()
            .map(|w| Bytes::copy_from_slice(w.as_bytes()))
            .collect()
    }

    fn ids(log: &Slowlog) -> Vec<i64> {
        let Value::Array(entries) = log.get(usize::MAX) else {
            panic!()
        };
        let id = |entry: &Value| match entry {
            Value::Array(parts) => match parts[0] {
                Value::Integer(id) => id,
                _ => panic!(),
            },
            _ => panic!(),
        };
        entries.iter().map(id).collect()
    }

    #[test]
    fn the_newest_come_first_and_only_so_many_stay() {
        let log = Slowlog::default();
        log.set_threshold(100);
        log.set_length(2);
        for _ in 0..3 {
            log.note(Duration::from_micros(100), &words(&["get", "x"]), address(), "me");
        }
        log.note(Duration::from_micros(99), &words(&["get", "x"]), address(), "me");
        assert_eq!(ids(&log), [2, 1]);
        assert_eq!(log.answer("reset", &[]), Value::OK);
        assert_eq!(log.answer("len", &[]), Value::Integer(0));
        log.note(Duration::from_secs(1), &words(&["get", "x"]), address(), "me");
        assert_eq!(ids(&log), [3], "numbers go on");
        log.set_threshold(-1);
        log.note(Duration::from_secs(9), &words(&["get", "x"]), address(), "me");
        assert_eq!(log.count(), 1, "off");
    }

    #[test]
    fn long_commands_are_cut_and_passwords_left_out() {
        let log = Slowlog::default();
        log.set_threshold(0);
        log.note(Duration::ZERO, &words(&["AUTH", "hunter2"]), address(), "");
        log.note(
            Duration::ZERO,
            &words(&["hello", "3", "auth", "a", "hunter2"]),
            address(),
            "",
        );
        assert_eq!(log.count(), 0);
        let many = vec![Bytes::from("x".repeat(130)); 40];
        log.note(Duration::ZERO, &many, address(), "");
        let entries = log.lock();
        let arguments = &entries.1[0].arguments;
        assert_eq!(arguments.len(), 32);
        assert_eq!(&arguments[31][..], b"... (9 more arguments)");
        assert!(arguments[0].ends_with(b"x... (2 more bytes)"));
    }

    #[test]
    fn counts_are_checked_as_redis_checks_them() {
        let log = Slowlog::default();
        let refused = error("ERR count should be greater than or equal to -1");
        assert_eq!(log.answer("get", &words(&["-2"])), refused);
        assert_eq!(log.answer("get", &words(&["-1"])), Value::Array(Vec::new()));
    }
}
