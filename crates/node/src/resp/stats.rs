//! What the door counts, for INFO and /metrics. All relaxed: numbers to look at, nothing depends on them.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use cartograph_resp::table::{self, CommandInfo};

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
}

impl Stats {
    pub(crate) fn new() -> Self {
        let by_command = table::all().iter().map(|c| (c.name, CommandStats::default()));
        Stats {
            by_command: by_command.collect(),
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
        }
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
