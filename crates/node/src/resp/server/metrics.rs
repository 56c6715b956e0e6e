//! The door's numbers for /metrics: connections, commands and their durations, and what this region's store says of its
//! keys and memory. Labels are the table's names, never what a client sent.

use std::fmt;
use std::sync::Weak;
use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;

use super::super::context::Context;
use super::super::stats::{CommandStats, LATENCY_BUCKETS_US};
use crate::clock;

/// A client that has said nothing for so long counts as idle.
const IDLE_MS: u64 = 10_000;

/// Reads the door's numbers when somebody asks for them.
pub(crate) struct DoorCollector {
    context: Weak<Context>,
}

impl fmt::Debug for DoorCollector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DoorCollector")
    }
}

impl DoorCollector {
    pub(crate) fn new(context: Weak<Context>) -> Self {
        DoorCollector { context }
    }
}

type Done = Result<(), fmt::Error>;

fn counter(out: &mut DescriptorEncoder<'_>, name: &str, help: &str, value: u64) -> Done {
    let metric = ConstCounter::new(value);
    metric.encode(out.encode_descriptor(name, help, None, MetricType::Counter)?)
}

fn gauge(out: &mut DescriptorEncoder<'_>, name: &str, help: &str, value: u64) -> Done {
    let metric = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
    metric.encode(out.encode_descriptor(name, help, None, MetricType::Gauge)?)
}

fn get(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

impl Collector for DoorCollector {
    fn encode(&self, mut out: DescriptorEncoder<'_>) -> Done {
        let Some(context) = self.context.upgrade() else {
            return Ok(());
        };
        let out = &mut out;
        connections(&context, out)?;
        faults(&context, out)?;
        commands(&context, out)?;
        store(&context, out)?;
        pool(&context, out)
    }
}

fn connections(context: &Context, out: &mut DescriptorEncoder<'_>) -> Done {
    let now = clock::monotonic_ms();
    let all = context.clients.all();
    let is_idle = |since: u64| now.saturating_sub(since) >= IDLE_MS;
    let idle = all
        .iter()
        .filter(|c| is_idle(c.active_ms.load(Ordering::Relaxed)))
        .count() as u64;
    let active = (all.len() as u64).saturating_sub(idle);
    let stats = &context.stats;
    gauge(
        out,
        "connections_active",
        "Redis clients that said something in the last 10 s",
        active,
    )?;
    gauge(
        out,
        "connections_idle",
        "Redis clients that said nothing for 10 s",
        idle,
    )?;
    gauge(
        out,
        "connections_limit",
        "Redis clients that may be connected",
        context.clients.limit() as u64,
    )?;
    gauge(
        out,
        "connections_blocked",
        "Redis clients that wait for something",
        get(&stats.blocked_clients),
    )?;
    let received = get(&stats.connections_received);
    counter(out, "connections_received", "Redis clients that came", received)?;
    let rejected = get(&stats.connections_rejected);
    counter(
        out,
        "connections_rejected",
        "Redis clients turned away because all places were taken",
        rejected,
    )?;
    counter(
        out,
        "resp_bytes_received",
        "Bytes from Redis clients",
        get(&stats.bytes_in),
    )?;
    counter(
        out,
        "resp_bytes_sent",
        "Bytes to Redis clients",
        get(&stats.bytes_out),
    )
}

fn faults(context: &Context, out: &mut DescriptorEncoder<'_>) -> Done {
    let stats = &context.stats;
    let by_reason = [
        ("protocol", get(&stats.protocol_errors)),
        ("output_limit", get(&stats.output_limit_disconnections)),
        ("query_limit", get(&stats.query_limit_disconnections)),
        ("idle", get(&stats.idle_disconnections)),
    ];
    let help = "Redis clients let go, by reason";
    let mut family = out.encode_descriptor("connections_closed", help, None, MetricType::Counter)?;
    for (reason, count) in by_reason {
        let labels = [("reason", reason)];
        ConstCounter::new(count).encode(family.encode_family(&labels)?)?;
    }
    counter(
        out,
        "command_errors",
        "Errors answered to Redis clients",
        get(&stats.errors),
    )?;
    counter(
        out,
        "auth_failures",
        "AUTH and HELLO refused",
        get(&stats.auth_failures),
    )?;
    counter(
        out,
        "rights_refused",
        "Commands refused for want of rights",
        get(&stats.rights_refused),
    )?;
    counter(
        out,
        "audit_lines_lost",
        "Lines that the audit file was too slow for",
        context.audit.lost(),
    )
}

/// One histogram a command that was called.
fn commands(context: &Context, out: &mut DescriptorEncoder<'_>) -> Done {
    let help = "From a command's arrival to its reply";
    let unit = Unit::Seconds;
    let mut family = out.encode_descriptor("operation_duration", help, Some(&unit), MetricType::Histogram)?;
    for (name, stats) in context.stats.commands() {
        let calls = get(&stats.calls);
        if calls == 0 {
            continue;
        }
        let labels = [("command", name)];
        histogram(stats, &mut family.encode_family(&labels)?)?;
    }
    let refused = "Commands refused before they ran";
    let mut family = out.encode_descriptor("operations_rejected", refused, None, MetricType::Counter)?;
    for (name, stats) in context.stats.commands() {
        let rejected = get(&stats.rejected);
        if rejected > 0 {
            let labels = [("command", name)];
            ConstCounter::new(rejected).encode(family.encode_family(&labels)?)?;
        }
    }
    Ok(())
}

fn seconds(micros: u64) -> f64 {
    std::time::Duration::from_micros(micros).as_secs_f64()
}

fn histogram(stats: &CommandStats, out: &mut prometheus_client::encoding::MetricEncoder<'_>) -> Done {
    let bounds = LATENCY_BUCKETS_US.iter().map(|us| seconds(*us)).chain([f64::MAX]);
    let buckets: Vec<(f64, u64)> = bounds.zip(stats.latency.iter().map(get)).collect();
    // The sum of what the buckets hold, so that the three always agree.
    let count = buckets.iter().map(|(_, n)| n).sum();
    out.encode_histogram::<prometheus_client::encoding::NoLabelSet>(
        seconds(get(&stats.micros)),
        count,
        &buckets,
        None,
    )
}

/// As the store said last; it is asked every few seconds. What it uses and has evicted is counted elsewhere
/// (`store_memory_bytes`, `store_keys_evicted`).
fn store(context: &Context, out: &mut DescriptorEncoder<'_>) -> Done {
    let local = context.stats.local.last();
    let (keys, expiring) = local.keys();
    let hits = local.number("keyspace_hits");
    counter(out, "keyspace_hits", "Reads in the store that found a key", hits)?;
    let misses = local.number("keyspace_misses");
    counter(
        out,
        "keyspace_misses",
        "Reads in the store that found none",
        misses,
    )?;
    gauge(out, "keyspace_keys", "Keys that readers see", keys)?;
    gauge(out, "keyspace_expiring_keys", "Keys that expire", expiring)?;
    let expired = local.number("expired_keys");
    counter(
        out,
        "store_expired_keys",
        "Keys that the store let expire",
        expired,
    )?;
    let most = local.number("maxmemory");
    gauge(
        out,
        "store_memory_bytes_max",
        "The store's limit; 0 for none",
        most,
    )?;
    let ratio = ConstGauge::new(local.ratio("mem_fragmentation_ratio"));
    let help = "Memory held from the system over memory used";
    ratio.encode(out.encode_descriptor("store_memory_fragmentation_ratio", help, None, MetricType::Gauge)?)
}

/// Connections to this region's Redis.
fn pool(context: &Context, out: &mut DescriptorEncoder<'_>) -> Done {
    let Some(raw) = &context.raw else { return Ok(()) };
    let status = raw.status();
    let n = |n: usize| n as u64;
    gauge(
        out,
        "pool_connections",
        "Shared connections to Redis",
        n(status.lanes),
    )?;
    gauge(
        out,
        "pool_connections_up",
        "Shared connections to Redis that work",
        n(status.lanes_up),
    )?;
    gauge(
        out,
        "pool_requests_waiting",
        "Pieces of work sent to Redis or waiting to be",
        n(status.waiting),
    )?;
    gauge(
        out,
        "pool_pinned_connections",
        "Connections to Redis that one client has alone",
        n(status.pinned),
    )?;
    gauge(
        out,
        "pool_pinned_connections_limit",
        "How many of these there may be",
        n(status.pinned_max),
    )?;
    counter(
        out,
        "pool_connects",
        "Shared connections to Redis made",
        status.connects_total,
    )?;
    counter(
        out,
        "pool_errors",
        "Connections to Redis that broke or could not be made",
        status.errors_total,
    )?;
    counter(
        out,
        "pool_retries",
        "Reads asked a second time",
        status.retries_total,
    )?;
    counter(
        out,
        "pool_refused",
        "Work refused because Redis was down or too much waited",
        status.refused_total,
    )
}
