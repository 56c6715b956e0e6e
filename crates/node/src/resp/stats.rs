//! What the door counts, for INFO and /metrics. All relaxed: numbers to look at, nothing depends on them.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use cartograph_resp::table::{self, CommandInfo};

use super::server::denied::Denied;
use super::server::local::Local;
use super::server::slowlog::Slowlog;
use crate::clock;

/// Error prefixes that are counted apart; Redis stops at as many, too.
const PREFIXES_MAX: usize = 128;

/// Rates are of at least so long a time.
const RATE_OVER: Duration = Duration::from_secs(1);

/// Upper bounds of the latency buckets, in microseconds; one more bucket holds the rest.
pub(crate) const LATENCY_BUCKETS_US: [u64; 16] = [
    50, 100, 200, 400, 800, 1_500, 3_000, 6_000, 12_500, 25_000, 50_000, 100_000, 250_000, 500_000,
    1_000_000, 5_000_000,
];

/// One command's numbers.
#[derive(Debug, Default)]
pub(crate) struct CommandStats {
    /// How often it ran.
    pub(crate) calls: AtomicU64,
    /// Microseconds from its arrival to its reply, summed.
    pub(crate) micros: AtomicU64,
    /// Refused before it ran (arity, rights, class).
    pub(crate) rejected: AtomicU64,
    /// Ran, and answered an error.
    pub(crate) failed: AtomicU64,
    /// How many took up to each of [`LATENCY_BUCKETS_US`], then the rest.
    pub(crate) latency: [AtomicU64; LATENCY_BUCKETS_US.len() + 1],
}

/// Everything that is counted.
#[derive(Debug)]
pub(crate) struct Stats {
    by_command: BTreeMap<&'static str, CommandStats>,
    pub(crate) connections_received: AtomicU64,
    pub(crate) connections_rejected: AtomicU64,
    pub(crate) commands: AtomicU64,
    pub(crate) bytes_in: AtomicU64,
    pub(crate) bytes_out: AtomicU64,
    pub(crate) errors: AtomicU64,
    pub(crate) protocol_errors: AtomicU64,
    pub(crate) auth_failures: AtomicU64,
    pub(crate) rights_refused: AtomicU64,
    pub(crate) output_limit_disconnections: AtomicU64,
    pub(crate) query_limit_disconnections: AtomicU64,
    pub(crate) idle_disconnections: AtomicU64,
    pub(crate) blocked_clients: AtomicU64,
    /// Errors by their first word.
    prefixes: Mutex<BTreeMap<String, u64>>,
    sample: Mutex<Sample>,
    pub(crate) slowlog: Slowlog,
    pub(crate) denied: Denied,
    /// What this region's store says of itself.
    pub(crate) local: Local,
    /// What waits to be dropped, and when it was counted.
    pub(crate) garbage: Mutex<Option<(Duration, usize)>>,
}

/// Counts at one time, and the rates up to then.
#[derive(Debug, Default)]
struct Sample {
    at: Duration,
    counts: Rates,
    rates: Rates,
}

/// By the second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rates {
    pub(crate) commands: u64,
    pub(crate) bytes_in: u64,
    pub(crate) bytes_out: u64,
}

impl Stats {
    pub(crate) fn new() -> Self {
        let mut by_command = BTreeMap::new();
        for command in table::all() {
            let parts = command.subcommands.iter().map(|c| c.name);
            for name in parts.chain([command.name]) {
                by_command.insert(name, CommandStats::default());
            }
        }
        Stats {
            by_command,
            connections_received: AtomicU64::new(0),
            connections_rejected: AtomicU64::new(0),
            commands: AtomicU64::new(0),
            bytes_in: AtomicU64::new(0),
            bytes_out: AtomicU64::new(0),
            errors: AtomicU64::new(0),
            protocol_errors: AtomicU64::new(0),
            auth_failures: AtomicU64::new(0),
            rights_refused: AtomicU64::new(0),
            output_limit_disconnections: AtomicU64::new(0),
            query_limit_disconnections: AtomicU64::new(0),
            idle_disconnections: AtomicU64::new(0),
            blocked_clients: AtomicU64::new(0),
            prefixes: Mutex::default(),
            sample: Mutex::default(),
            slowlog: Slowlog::default(),
            denied: Denied::default(),
            local: Local::default(),
            garbage: Mutex::default(),
        }
    }

    /// A reply was an error, in its bytes.
    pub(crate) fn error_reply(&self, reply: &[u8]) {
        if let Some(text) = reply.strip_prefix(b"-") {
            let word = text
                .split(|b| matches!(b, b' ' | b'\r'))
                .next()
                .unwrap_or_default();
            self.error_text(&String::from_utf8_lossy(word));
        }
    }

    /// An error was answered: it is counted by its first word.
    fn error_text(&self, text: &str) {
        let prefix = text.split(' ').next().unwrap_or_default();
        let usable = !prefix.is_empty()
            && prefix.len() <= 32
            && prefix.bytes().all(|b| b.is_ascii_graphic() && b != b':');
        let prefix = if usable { prefix } else { "ERR" };
        let mut prefixes = self.prefixes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = prefixes.get_mut(prefix) {
            *count += 1;
        } else if prefixes.len() < PREFIXES_MAX {
            prefixes.insert(prefix.to_owned(), 1);
        }
    }

    /// Errors by their first word.
    pub(crate) fn errors_by_prefix(&self) -> BTreeMap<String, u64> {
        self.prefixes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Rates since somebody asked last, over a second at least.
    pub(crate) fn rates(&self) -> Rates {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let counts = Rates {
            commands: get(&self.commands),
            bytes_in: get(&self.bytes_in),
            bytes_out: get(&self.bytes_out),
        };
        let mut sample = self.sample.lock().unwrap_or_else(PoisonError::into_inner);
        sample.take(clock::elapsed(), counts)
    }

    /// CONFIG RESETSTAT: every count is 0 again; what is a state (blocked clients) stays.
    pub(crate) fn reset(&self) {
        for stats in self.by_command.values() {
            let counts = [&stats.calls, &stats.micros, &stats.rejected, &stats.failed];
            for count in counts.into_iter().chain(&stats.latency) {
                count.store(0, Ordering::Relaxed);
            }
        }
        for count in [
            &self.connections_received,
            &self.connections_rejected,
            &self.commands,
            &self.bytes_in,
            &self.bytes_out,
            &self.errors,
            &self.protocol_errors,
            &self.auth_failures,
            &self.rights_refused,
            &self.output_limit_disconnections,
            &self.query_limit_disconnections,
            &self.idle_disconnections,
        ] {
            count.store(0, Ordering::Relaxed);
        }
        self.prefixes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
        *self.sample.lock().unwrap_or_else(PoisonError::into_inner) = Sample::default();
    }

    /// Every command's numbers, by name.
    pub(crate) fn commands(&self) -> impl Iterator<Item = (&'static str, &CommandStats)> {
        self.by_command.iter().map(|(name, stats)| (*name, stats))
    }

    /// A command ran.
    pub(crate) fn ran(&self, info: &CommandInfo, took: Duration, failed: bool) {
        self.commands.fetch_add(1, Ordering::Relaxed);
        let Some(stats) = self.by_command.get(info.name) else {
            return;
        };
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        stats.calls.fetch_add(1, Ordering::Relaxed);
        stats.micros.fetch_add(micros, Ordering::Relaxed);
        let bucket = LATENCY_BUCKETS_US.partition_point(|bound| *bound < micros);
        if let Some(bucket) = stats.latency.get(bucket) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
        if failed {
            stats.failed.fetch_add(1, Ordering::Relaxed);
            self.errors.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A command was refused before it ran.
    pub(crate) fn rejected(&self, info: &CommandInfo) {
        self.errors.fetch_add(1, Ordering::Relaxed);
        if let Some(stats) = self.by_command.get(info.name) {
            stats.rejected.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Sample {
    fn take(&mut self, now: Duration, counts: Rates) -> Rates {
        let passed = now.saturating_sub(self.at);
        if passed < RATE_OVER {
            return self.rates;
        }
        let millis = u64::try_from(passed.as_millis()).unwrap_or(u64::MAX).max(1);
        let rate = |new: u64, old: u64| new.saturating_sub(old).saturating_mul(1_000) / millis;
        self.rates = Rates {
            commands: rate(counts.commands, self.counts.commands),
            bytes_in: rate(counts.bytes_in, self.counts.bytes_in),
            bytes_out: rate(counts.bytes_out, self.counts.bytes_out),
        };
        self.at = now;
        self.counts = counts;
        self.rates
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_of_the_time_since_they_were_asked_last() {
        let counts = |n| Rates {
            commands: n,
            bytes_in: 10 * n,
            bytes_out: 0,
        };
        let mut sample = Sample::default();
        assert_eq!(sample.take(Duration::from_secs(2), counts(100)), counts(50));
        let soon = Duration::from_millis(2_500);
        assert_eq!(sample.take(soon, counts(900)), counts(50), "too soon to tell");
        assert_eq!(sample.take(Duration::from_secs(4), counts(300)).commands, 100);
        assert_eq!(
            sample.take(Duration::from_secs(6), counts(0)).commands,
            0,
            "reset meanwhile"
        );
    }

    #[test]
    fn errors_are_counted_by_a_first_word_that_strangers_cannot_choose_for_ever() {
        let stats = Stats::new();
        stats.error_text("WRONGTYPE Operation");
        stats.error_text("WRONGTYPE Operation");
        stats.error_text("with:colon x");
        for n in 0..1_000 {
            stats.error_text(&format!("E{n} x"));
        }
        let counts = stats.errors_by_prefix();
        assert_eq!(
            (counts["WRONGTYPE"], counts["ERR"], counts.len()),
            (2, 1, PREFIXES_MAX)
        );
        stats.reset();
        assert!(stats.errors_by_prefix().is_empty());
    }
}
