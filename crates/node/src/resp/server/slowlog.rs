//! The slow log: the last commands that took longer than a threshold, from their arrival to their reply, as the door
//! measured it. So it also shows what waited for the shard or for Redis, which no Redis's own slow log can.
//!
//! It holds names and no arguments: those are gone by the time that the reply leaves, and so no password gets in. Reads
//! that went to Redis together are one entry. Commands that are made for waiting are left out. Bounded, as Redis's.

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

/// The most entries that `slowlog-max-len` may ask for.
pub(crate) const ENTRIES_MAX: usize = 10_000;

#[derive(Debug)]
struct Entry {
    id: i64,
    at_seconds: i64,
    micros: i64,
    command: &'static str,
    /// Commands that went with it.
    more: usize,
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

    /// Remembers a command, if it was slow, and how many went with it.
    pub(crate) fn note(
        &self,
        took: Duration,
        command: &'static str,
        more: usize,
        address: SocketAddr,
        client_name: &str,
    ) {
        let length_max = self.length_max();
        if !self.is_slow(took) || length_max == 0 {
            return;
        }
        let entry = Entry {
            id: 0,
            at_seconds: i64::try_from(clock::wall_ms() / 1_000).unwrap_or(i64::MAX),
            micros: i64::try_from(took.as_micros()).unwrap_or(i64::MAX),
            command,
            more,
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
            let mut words: Vec<Value> = entry.command.split('|').map(text).collect();
            if entry.more > 0 {
                words.push(text(format!("... ({} more commands)", entry.more)));
            }
            Value::Array(vec![
                Value::Integer(entry.id),
                Value::Integer(entry.at_seconds),
                Value::Integer(entry.micros),
                Value::Array(words),
                text(entry.address.to_string()),
                text(entry.client_name.clone()),
            ])
        });
        Value::Array(shown.collect())
    }
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
        let id = |entry: &Value| {
            let Value::Array(parts) = entry else { panic!() };
            let Value::Integer(id) = parts[0] else { panic!() };
            id
        };
        entries.iter().map(id).collect()
    }

    #[test]
    fn the_newest_come_first_and_only_so_many_stay() {
        let log = Slowlog::default();
        log.set_threshold(100);
        log.set_length(2);
        for _ in 0..3 {
            log.note(Duration::from_micros(100), "get", 0, address(), "me");
        }
        log.note(Duration::from_micros(99), "get", 0, address(), "me");
        assert_eq!(ids(&log), [2, 1]);
        assert_eq!(log.answer("reset", &[]), Value::OK);
        assert_eq!(log.answer("len", &[]), Value::Integer(0));
        log.note(Duration::from_secs(1), "get", 0, address(), "me");
        assert_eq!(ids(&log), [3], "numbers go on");
        log.set_threshold(-1);
        log.note(Duration::from_secs(9), "get", 0, address(), "me");
        assert_eq!(log.count(), 1, "off");
    }

    #[test]
    fn an_entry_is_its_command_and_how_many_went_with_it() {
        let log = Slowlog::default();
        log.note(Duration::from_secs(2), "client|list", 3, address(), "me");
        let Value::Array(entries) = log.get(1) else {
            panic!()
        };
        let Value::Array(parts) = &entries[0] else {
            panic!()
        };
        assert_eq!(parts[2], Value::Integer(2_000_000));
        let words = ["client", "list", "... (3 more commands)"].map(text);
        assert_eq!(parts[3], Value::Array(words.into()));
        assert_eq!(parts[4..], [text("127.0.0.1:4242"), text("me")]);
    }

    #[test]
    fn counts_are_checked_as_redis_checks_them() {
        let log = Slowlog::default();
        let refused = error("ERR count should be greater than or equal to -1");
        assert_eq!(log.answer("get", &words(&["-2"])), refused);
        assert_eq!(log.answer("get", &words(&["-1"])), Value::Array(Vec::new()));
    }
}
