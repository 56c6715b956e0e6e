//! What the server is and how it fares, in small: MEMORY, MODULE, ROLE, LASTSAVE, TIME, LATENCY, CLUSTER, WAIT.

use std::sync::atomic::Ordering;

use bytes::Bytes;
use cartograph_resp::Value;

use super::super::context::Context;
use super::super::stats::{CommandStats, LATENCY_BUCKETS_US};
use super::args::{integer, is, lossy, lower, number, text, word};
use super::errors::{NOT_AN_INTEGER, error, not_supported, wrong_arity};
use super::local::LocalInfo;
use crate::clock;

/// Below this a doctor says nothing: Redis's own bound.
const FRAGMENTATION_BYTES_MIN: u64 = 10 << 20;

/// MEMORY, but USAGE, which is a read.
pub(super) async fn memory(context: &Context, sub: &str, arguments: &[Bytes]) -> Value {
    let local = context.stats.local.info(context).await;
    match (sub, arguments) {
        ("stats", []) => memory_stats(&local),
        ("doctor", []) => Value::Verbatim(memory_doctor(&local).into()),
        // The node's own allocator needs no asking, and Redis's is Redis's.
        ("purge", []) => Value::OK,
        ("malloc-stats", []) => {
            Value::Verbatim("The allocator's statistics are this region's own Redis's to give.\n".into())
        }
        _ => wrong_arity(&format!("memory|{sub}")),
    }
}

fn memory_doctor(local: &LocalInfo) -> String {
    let used = local.number("used_memory");
    let ratio = local.ratio("mem_fragmentation_ratio");
    let most = local.number("maxmemory");
    let mut found = Vec::new();
    if used > FRAGMENTATION_BYTES_MIN && ratio > 1.4 {
        found.push(format!(
            "the server holds {ratio:.2} times what it uses: after large removals that is usual, else let it defragment \
             (activedefrag)"
        ));
    }
    if most > 0 && used > most / 10 * 9 {
        found.push("more than 90 % of maxmemory is used: clients' writes stop there".to_owned());
    }
    if local.number("evicted_keys") > 0 {
        found.push("keys were evicted: set `maxmemory-policy noeviction`".to_owned());
    }
    if found.is_empty() {
        return "Nothing is wrong with the memory of this region's store.\n".to_owned();
    }
    format!("- {}\n", found.join("\n- "))
}

/// As Redis gives them, from what INFO tells.
fn memory_stats(local: &LocalInfo) -> Value {
    let n = |key: &str| number(local.number(key));
    let ratio = |key: &str| Value::Double(local.ratio(key));
    let keys = local.keys().0;
    let dataset = local.number("used_memory_dataset");
    let pairs = [
        ("peak.allocated", n("used_memory_peak")),
        ("total.allocated", n("used_memory")),
        ("startup.allocated", n("used_memory_startup")),
        ("replication.backlog", n("mem_replication_backlog")),
        ("clients.slaves", n("mem_clients_slaves")),
        ("clients.normal", n("mem_clients_normal")),
        ("cluster.links", n("mem_cluster_links")),
        ("aof.buffer", n("mem_aof_buffer")),
        ("lua.caches", n("used_memory_scripts_eval")),
        ("functions.caches", n("used_memory_functions")),
        ("overhead.total", n("used_memory_overhead")),
        ("keys.count", number(keys)),
        (
            "keys.bytes-per-key",
            number(dataset.checked_div(keys).unwrap_or(0)),
        ),
        ("dataset.bytes", number(dataset)),
        ("dataset.percentage", ratio("used_memory_dataset_perc")),
        ("peak.percentage", ratio("used_memory_peak_perc")),
        ("allocator.allocated", n("allocator_allocated")),
        ("allocator.active", n("allocator_active")),
        ("allocator.resident", n("allocator_resident")),
        ("allocator-fragmentation.ratio", ratio("allocator_frag_ratio")),
        ("allocator-fragmentation.bytes", n("allocator_frag_bytes")),
        ("allocator-rss.ratio", ratio("allocator_rss_ratio")),
        ("allocator-rss.bytes", n("allocator_rss_bytes")),
        ("rss-overhead.ratio", ratio("rss_overhead_ratio")),
        ("rss-overhead.bytes", n("rss_overhead_bytes")),
        ("fragmentation", ratio("mem_fragmentation_ratio")),
        ("fragmentation.bytes", n("mem_fragmentation_bytes")),
    ];
    Value::Map(
        pairs
            .into_iter()
            .map(|(name, value)| (word(name), value))
            .collect(),
    )
}

/// MODULE LIST: this region's Redis's, whose reading commands are passed on.
pub(super) async fn modules(context: &Context) -> Value {
    let local = context.stats.local.info(context).await;
    let lines = local.section("modules").iter().filter(|(key, _)| key == "module");
    let module = |line: &str| {
        let part = |name: &str| {
            line.split(',')
                .find_map(|p| p.strip_prefix(name)?.strip_prefix('='))
        };
        let version = part("ver").and_then(|v| v.parse().ok()).unwrap_or(0);
        Value::Map(vec![
            (word("name"), text(part("name").unwrap_or_default())),
            (word("ver"), Value::Integer(version)),
            (word("path"), text("")),
            (word("args"), Value::Array(Vec::new())),
        ])
    };
    Value::Array(lines.map(|(_, line)| module(line)).collect())
}

/// ROLE: every region takes writes.
pub(super) fn role() -> Value {
    Value::Array(vec![word("master"), Value::Integer(0), Value::Array(Vec::new())])
}

/// TIME
pub(super) fn time() -> Value {
    let now = clock::wall_ms();
    let micros = (now % 1_000) * 1_000;
    Value::Array(vec![text((now / 1_000).to_string()), text(micros.to_string())])
}

/// LASTSAVE: when this region's Redis last saved.
pub(super) async fn last_save(context: &Context) -> Value {
    number(
        context
            .stats
            .local
            .info(context)
            .await
            .number("rdb_last_save_time"),
    )
}

/// WAIT numreplicas timeout, WAITAOF numlocal numreplicas timeout
pub(super) fn wait(name: &str, arguments: &[Bytes]) -> Value {
    let Some((timeout, counts)) = arguments.split_last() else {
        return wrong_arity(name);
    };
    if counts.iter().any(|n| integer(n).is_none()) {
        return error(NOT_AN_INTEGER);
    }
    match integer(timeout) {
        None => error("ERR timeout is not an integer or out of range"),
        Some(..0) => error("ERR timeout is negative"),
        Some(_) => not_supported(format!(
            "{} is not supported: a write that is answered is as safe as store.durability says, always; to read it in \
             another region, take CARTOGRAPH.TOKEN there",
            name.to_uppercase()
        )),
    }
}

/// CLUSTER, READONLY, READWRITE, ASKING: as a Redis that is no cluster.
pub(super) fn no_cluster() -> Value {
    error("ERR This instance has cluster support disabled")
}

/// LATENCY. What is watched is every command's histogram; there are no events, since nothing here stops the server.
pub(super) fn latency(context: &Context, sub: &str, arguments: &[Bytes]) -> Value {
    match (sub, arguments) {
        ("latest", []) | ("history", [_]) => Value::Array(Vec::new()),
        ("reset", _) => Value::Integer(0),
        ("graph", [event]) => error(format!("ERR No samples available for event '{}'", lossy(event))),
        ("doctor", []) => Value::Verbatim(
            "No latency events are kept: the door's commands run beside each other, and none stops the others. See \
             LATENCY HISTOGRAM, SLOWLOG GET, and the metrics of this node (commit_duration_seconds) for where time goes.\n"
                .into(),
        ),
        ("histogram", names) => histograms(context, names),
        _ => wrong_arity(&format!("latency|{sub}")),
    }
}

fn histograms(context: &Context, names: &[Bytes]) -> Value {
    let wanted = |name: &str| {
        let is_it = |asked: &Bytes| {
            is(asked, name)
                || name
                    .strip_prefix(&lower(asked))
                    .is_some_and(|rest| rest.starts_with('|'))
        };
        names.is_empty() || names.iter().any(is_it)
    };
    let commands = context.stats.commands().filter(|(name, _)| wanted(name));
    let shown = commands.filter_map(|(name, stats)| Some((word(name), histogram(stats)?)));
    Value::Map(shown.collect())
}

/// Calls up to each bound, summed up; bounds at which nothing is added are left out, as in Redis.
fn histogram(stats: &CommandStats) -> Option<Value> {
    let calls = stats.calls.load(Ordering::Relaxed);
    if calls == 0 {
        return None;
    }
    let mut sum = 0;
    let mut buckets = Vec::new();
    let bounds = LATENCY_BUCKETS_US.iter().copied().chain([60_000_000]);
    for (bound, bucket) in bounds.zip(&stats.latency) {
        let here = bucket.load(Ordering::Relaxed);
        sum += here;
        if here > 0 {
            buckets.push((number(bound), number(sum)));
        }
    }
    Some(Value::Map(vec![
        (word("calls"), number(calls)),
        (word("histogram_usec"), Value::Map(buckets)),
    ]))
}

/// How many of a command's calls took no longer than each percentile asks, in microseconds: the bound of the bucket.
pub(super) fn percentiles(stats: &CommandStats) -> [u64; 3] {
    let counts: Vec<u64> = stats.latency.iter().map(|b| b.load(Ordering::Relaxed)).collect();
    let all: u64 = counts.iter().sum();
    [500, 990, 999].map(|mille| {
        let rank = (all * mille).div_ceil(1_000);
        let mut sum = 0;
        let place = counts.iter().position(|n| {
            sum += n;
            sum >= rank
        });
        let last = 60_000_000;
        place.map_or(last, |at| LATENCY_BUCKETS_US.get(at).copied().unwrap_or(last))
    })
}
