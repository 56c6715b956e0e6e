//! INFO: what Redis's own tools and exporters ask for, from where it is true.
//!
//! Clients, commands, bytes and errors are the door's; memory, keys, hits, evictions and persistence are this region's
//! own Redis's; `# Crdt` is about the regions. Names and forms are Redis's, so that what reads a Redis reads this.

mod crdt;

use std::fmt::Display;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use cartograph_resp::Value;

use super::super::context::Context;
use super::super::session::Session;
use super::about::percentiles;
use super::args::lower;
use super::local::LocalInfo;
use crate::clock;

/// All sections, in Redis's order, and whether plain INFO shows them.
const SECTIONS: [(&str, bool); 14] = [
    ("server", true),
    ("clients", true),
    ("memory", true),
    ("persistence", true),
    ("stats", true),
    ("replication", true),
    ("cpu", true),
    ("modules", true),
    ("commandstats", false),
    ("errorstats", true),
    ("latencystats", false),
    ("cluster", true),
    ("keyspace", true),
    ("crdt", true),
];

/// The sections that these words ask for.
fn wanted(words: &[Bytes]) -> Vec<&'static str> {
    let words: Vec<String> = words.iter().map(|w| lower(w)).collect();
    let has = |word: &str| words.iter().any(|w| w == word);
    let default = words.is_empty() || has("default");
    let all = has("all") || has("everything");
    let chosen = SECTIONS.iter().filter(|(name, in_default)| {
        // In Redis `all` leaves out what modules add; the list of modules itself stays.
        all || (default && *in_default) || has(name)
    });
    chosen.map(|(name, _)| *name).collect()
}

/// A section while it is written.
pub(super) struct Section<'t>(&'t mut String);

impl Section<'_> {
    pub(super) fn line(&mut self, key: &str, value: impl Display) {
        // Writing to a string cannot fail.
        let _ = write!(self.0, "{key}:{value}\r\n");
    }

    fn lines(&mut self, lines: &[(String, String)]) {
        for (key, value) in lines {
            self.line(key, value);
        }
    }
}

/// INFO [section ...]
pub(super) async fn answer(context: &Context, session: &Session, words: &[Bytes]) -> Value {
    let sections = wanted(words);
    let local = context.stats.local.info(context).await;
    let mut text = String::with_capacity(8 << 10);
    for name in sections {
        if !text.is_empty() {
            text.push_str("\r\n");
        }
        let title = match name {
            "cpu" => "CPU".to_owned(),
            name => name.get(..1).unwrap_or_default().to_uppercase() + name.get(1..).unwrap_or_default(),
        };
        let _ = write!(text, "# {title}\r\n");
        let mut section = Section(&mut text);
        match name {
            "server" => server(context, session, &local, &mut section),
            "clients" => clients(context, &mut section),
            "memory" | "modules" => section.lines(local.section(name)),
            "persistence" => persistence(&local, &mut section),
            "stats" => stats(context, &local, &mut section),
            "replication" => replication(context, &mut section),
            "cpu" => cpu(&mut section),
            "commandstats" => command_stats(context, &mut section),
            "errorstats" => error_stats(context, &mut section),
            "latencystats" => latency_stats(context, &mut section),
            "cluster" => section.line("cluster_enabled", 0),
            "keyspace" => keyspace(&local, &mut section),
            _ => crdt::write(context, &mut section).await,
        }
    }
    Value::Verbatim(text.into())
}

fn get(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

fn server(context: &Context, session: &Session, local: &LocalInfo, out: &mut Section<'_>) {
    let now_ms = clock::wall_ms();
    let up = clock::monotonic_ms().saturating_sub(context.started_ms) / 1_000;
    out.line("redis_version", local.get("redis_version").unwrap_or("7.0.0"));
    out.line("redis_git_sha1", "00000000");
    out.line("redis_git_dirty", 0);
    out.line("redis_build_id", "0");
    out.line("redis_mode", "standalone");
    out.line(
        "os",
        format_args!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
    );
    out.line("arch_bits", usize::BITS);
    out.line("monotonic_clock", "POSIX clock_gettime");
    out.line("multiplexing_api", "epoll");
    out.line("process_id", std::process::id());
    out.line("process_supervised", "no");
    out.line("run_id", &context.run_id);
    out.line("tcp_port", session.client.local_address.port());
    out.line("server_time_usec", now_ms * 1_000);
    out.line("uptime_in_seconds", up);
    out.line("uptime_in_days", up / 86_400);
    out.line("hz", 10);
    out.line("configured_hz", 10);
    out.line("lru_clock", (now_ms / 1_000) & 0xff_ffff);
    out.line("executable", "");
    out.line("config_file", "");
    out.line("io_threads_active", 0);
    out.line("cartograph_version", env!("CARGO_PKG_VERSION"));
    out.line("cartograph_region", &context.doors.config.region.name);
}

fn clients(context: &Context, out: &mut Section<'_>) {
    let all = context.clients.all();
    let most =
        |field: fn(&super::super::clients::Client) -> usize| all.iter().map(|c| field(c)).max().unwrap_or(0);
    let number = Ordering::Relaxed;
    let subscribed = all
        .iter()
        .filter(|c| c.subscriptions.load(number) + c.patterns.load(number) > 0);
    let watching = all.iter().filter(|c| c.watched.load(number) > 0);
    let watched: usize = all.iter().map(|c| c.watched.load(number)).sum();
    out.line("connected_clients", context.clients.count());
    out.line("cluster_connections", 0);
    out.line("maxclients", context.clients.limit());
    out.line(
        "client_recent_max_input_buffer",
        most(|c| c.query_bytes.load(Ordering::Relaxed)),
    );
    out.line(
        "client_recent_max_output_buffer",
        most(|c| c.output_bytes.load(Ordering::Relaxed)),
    );
    out.line("blocked_clients", get(&context.stats.blocked_clients));
    out.line("tracking_clients", 0);
    out.line("pubsub_clients", subscribed.count());
    out.line("watching_clients", watching.count());
    out.line("clients_in_timeout_table", 0);
    out.line("total_watched_keys", watched);
    out.line("total_blocking_keys", 0);
}

/// Redis's own; while it does not answer, nothing is loading: this node is up.
fn persistence(local: &LocalInfo, out: &mut Section<'_>) {
    let lines = local.section("persistence");
    if lines.is_empty() {
        out.line("loading", 0);
        out.line("async_loading", 0);
    }
    out.lines(lines);
}

fn stats(context: &Context, local: &LocalInfo, out: &mut Section<'_>) {
    let stats = &context.stats;
    let rates = stats.rates();
    out.line("total_connections_received", get(&stats.connections_received));
    out.line("total_commands_processed", get(&stats.commands));
    out.line("instantaneous_ops_per_sec", rates.commands);
    out.line("total_net_input_bytes", get(&stats.bytes_in));
    out.line("total_net_output_bytes", get(&stats.bytes_out));
    out.line("total_net_repl_input_bytes", 0);
    out.line("total_net_repl_output_bytes", 0);
    out.line("instantaneous_input_kbps", kib(rates.bytes_in));
    out.line("instantaneous_output_kbps", kib(rates.bytes_out));
    out.line("instantaneous_input_repl_kbps", "0.00");
    out.line("instantaneous_output_repl_kbps", "0.00");
    out.line("rejected_connections", get(&stats.connections_rejected));
    for key in ["sync_full", "sync_partial_ok", "sync_partial_err"] {
        out.line(key, 0);
    }
    for key in [
        "expired_keys",
        "expired_stale_perc",
        "expired_time_cap_reached_count",
        "evicted_keys",
        "evicted_clients",
        "keyspace_hits",
        "keyspace_misses",
    ] {
        out.line(key, local.get(key).unwrap_or("0"));
    }
    let all = context.clients.all();
    let sum =
        |field: fn(&super::super::clients::Client) -> usize| all.iter().map(|c| field(c)).sum::<usize>();
    out.line(
        "pubsub_channels",
        sum(|c| c.subscriptions.load(Ordering::Relaxed)),
    );
    out.line("pubsub_patterns", sum(|c| c.patterns.load(Ordering::Relaxed)));
    out.line("pubsubshard_channels", 0);
    for key in ["latest_fork_usec", "total_forks"] {
        out.line(key, local.get(key).unwrap_or("0"));
    }
    for key in [
        "migrate_cached_sockets",
        "slave_expires_tracked_keys",
        "active_defrag_running",
        "tracking_total_keys",
        "tracking_total_items",
        "tracking_total_prefixes",
    ] {
        out.line(key, 0);
    }
    out.line("unexpected_error_replies", 0);
    out.line("total_error_replies", get(&stats.errors));
    out.line("dump_payload_sanitizations", 0);
    out.line("acl_access_denied_auth", get(&stats.auth_failures));
    out.line("acl_access_denied_cmd", get(&stats.rights_refused));
    out.line(
        "client_query_buffer_limit_disconnections",
        get(&stats.query_limit_disconnections),
    );
    out.line(
        "client_output_buffer_limit_disconnections",
        get(&stats.output_limit_disconnections),
    );
}

/// Bytes as KiB with two digits after the point.
fn kib(bytes: u64) -> String {
    let hundredths = bytes.saturating_mul(100) / 1_024;
    format!("{}.{:02}", hundredths / 100, hundredths % 100)
}

/// As a master without replicas: there are no Redis replicas behind this door, and every region takes writes.
fn replication(context: &Context, out: &mut Section<'_>) {
    out.line("role", "master");
    out.line("connected_slaves", 0);
    out.line("master_failover_state", "no-failover");
    out.line("master_replid", &context.run_id);
    out.line("master_replid2", "0".repeat(40));
    out.line("master_repl_offset", 0);
    out.line("second_repl_offset", -1);
    out.line("repl_backlog_active", 0);
    out.line("repl_backlog_size", 0);
    out.line("repl_backlog_first_byte_offset", 0);
    out.line("repl_backlog_histlen", 0);
}

/// Of this process, where the system tells.
fn cpu(out: &mut Section<'_>) {
    let read = |path: &str| {
        std::fs::read_to_string(path)
            .ok()
            .and_then(|text| cpu_times(&text))
    };
    let shown = |ticks: u64| format!("{}.{:02}0000", ticks / 100, ticks % 100);
    let (user, system, children_user, children_system) = read("/proc/self/stat").unwrap_or_default();
    out.line("used_cpu_sys", shown(system));
    out.line("used_cpu_user", shown(user));
    out.line("used_cpu_sys_children", shown(children_system));
    out.line("used_cpu_user_children", shown(children_user));
}

/// User, system, and the same of children, in hundredths of a second (what the kernel's clock ticks are everywhere).
fn cpu_times(stat: &str) -> Option<(u64, u64, u64, u64)> {
    // The second field is a name in brackets, which may hold blanks.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut times = fields.split_whitespace().skip(11).map_while(|n| n.parse().ok());
    Some((times.next()?, times.next()?, times.next()?, times.next()?))
}

fn command_stats(context: &Context, out: &mut Section<'_>) {
    for (name, stats) in context.stats.commands() {
        let (calls, micros) = (get(&stats.calls), get(&stats.micros));
        let (rejected, failed) = (get(&stats.rejected), get(&stats.failed));
        if calls == 0 && rejected == 0 {
            continue;
        }
        let hundredths = (micros.saturating_mul(100)).checked_div(calls).unwrap_or(0);
        let per_call = format!("{}.{:02}", hundredths / 100, hundredths % 100);
        let line = format!(
            "calls={calls},usec={micros},usec_per_call={per_call},rejected_calls={rejected},failed_calls={failed}"
        );
        out.line(&format!("cmdstat_{name}"), line);
    }
}

fn error_stats(context: &Context, out: &mut Section<'_>) {
    for (prefix, count) in context.stats.errors_by_prefix() {
        out.line(&format!("errorstat_{prefix}"), format_args!("count={count}"));
    }
}

fn latency_stats(context: &Context, out: &mut Section<'_>) {
    for (name, stats) in context.stats.commands() {
        if get(&stats.calls) == 0 {
            continue;
        }
        let [p50, p99, p999] = percentiles(stats);
        let line = format!("p50={p50}.000,p99={p99}.000,p99.9={p999}.000");
        out.line(&format!("latency_percentiles_usec_{name}"), line);
    }
}

/// Database 0; what is in the others is the store's own.
fn keyspace(local: &LocalInfo, out: &mut Section<'_>) {
    if let Some(db) = local.get("db0") {
        out.line("db0", db);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(words: &[&str]) -> Vec<&'static str> {
        let words: Vec<Bytes> = words
            .iter()
            .map(|w| Bytes::copy_from_slice(w.as_bytes()))
            .collect();
        wanted(&words)
    }

    #[test]
    fn sections_are_chosen_as_redis_chooses_them() {
        assert_eq!(names(&["ALL"]).len(), SECTIONS.len());
        assert_eq!(names(&["everything"]).len(), SECTIONS.len());
        assert_eq!(names(&[]), names(&["default"]));
        assert!(!names(&[]).contains(&"commandstats") && names(&[]).contains(&"crdt"));
        assert_eq!(
            names(&["keyspace", "server"]),
            ["server", "keyspace"],
            "in the usual order"
        );
        assert!(names(&["default", "commandstats"]).contains(&"commandstats"));
        assert!(names(&["nothing"]).is_empty());
    }

    #[test]
    fn cpu_times_are_found_behind_any_name() {
        let stat = "1 (a b) c) S 1 1 1 0 -1 4194560 1 2 3 4 250 75 6 7 20 0 1";
        assert_eq!(cpu_times(stat), Some((250, 75, 6, 7)));
        assert_eq!(cpu_times("nothing"), None);
    }

    #[test]
    fn rates_are_shown_in_kibibytes() {
        assert_eq!(kib(0), "0.00");
        assert_eq!(kib(1_536), "1.50");
    }
}
