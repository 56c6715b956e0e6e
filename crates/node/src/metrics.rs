//! What is counted and measured, in Prometheus's words: prefix `cartograph_`, base units, never a key as a label.
//!
//! Counters and histograms are written where things happen. Gauges of the shards and peers are taken from their status
//! when somebody asks ([`Metrics::text`]).

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use cartograph_crdt::RegionId;
use cartograph_engine::ShardStatus;
use cartograph_engine::api::Event;
use cartograph_store::StoreInfo;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

type Float = Gauge<f64, AtomicU64>;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Peer {
    peer: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Link {
    peer: String,
    direction: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Rule {
    rule: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Reason {
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Operation {
    door: &'static str,
    operation: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Failed {
    door: &'static str,
    code: &'static str,
}

/// What INFO tells of the merges, since the node started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Concurrent writes between which a rule decided.
    pub conflicts: u64,
    /// Views that were not what their metadata says.
    pub view_repairs: u64,
    /// Keys purged after expiring everywhere.
    pub expired_keys: u64,
}

/// Everything that is counted.
#[derive(Debug)]
pub struct Metrics {
    registry: Mutex<Registry>,
    conflicts_seen: AtomicU64,
    /// Regions' names, for labels.
    names: Mutex<BTreeMap<RegionId, String>>,
    requests: Family<Operation, Histogram>,
    errors: Family<Failed, Counter>,
    commits: Counter,
    entries: Counter,
    commit_duration: Histogram,
    commit_batch: Histogram,
    apply_lag: Family<Peer, Histogram>,
    conflicts: Family<Rule, Counter>,
    view_repairs: Counter,
    incarnations: Family<Reason, Counter>,
    foreign_entries: Counter,
    retired: Counter,
    expired_keys: Counter,
    snapshots: Family<Reason, Counter>,
    saturated: Counter,
    damaged: Counter,
    protocol_errors: Counter,
    refused_links: Counter,
    scrubbed: Counter,
    lag: Family<Peer, Float>,
    behind: Family<Peer, Gauge>,
    connected: Family<Link, Gauge>,
    queue_bytes: Family<Peer, Gauge>,
    skew: Family<Peer, Float>,
    rtt: Family<Peer, Float>,
    parked: Gauge,
    log_entries: Gauge,
    log_bytes: Gauge,
    log_bytes_max: Gauge,
    keys: Gauge,
    rows_cached: Gauge,
    queued: Gauge,
    in_flight: Gauge,
    ready: Gauge,
    store_up: Gauge,
    store_memory: Gauge,
    store_evicted: Gauge,
}

/// From 50 microseconds to 13 seconds.
fn seconds() -> Histogram {
    Histogram::new(exponential_buckets(0.000_05, 2.0, 19))
}

/// From a millisecond to 17 minutes: a partition is a lag, too.
fn lags() -> Histogram {
    Histogram::new(exponential_buckets(0.001, 2.0, 21))
}

/// From one to a thousand.
fn sizes() -> Histogram {
    Histogram::new(exponential_buckets(1.0, 2.0, 11))
}

fn clamp(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

fn count(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

impl Metrics {
    /// Metrics of a node, all 0. `region` and `version` go into `cartograph_build_info`.
    pub fn new(region: &str, store: &str) -> Self {
        let metrics = Metrics {
            registry: Mutex::new(Registry::with_prefix("cartograph")),
            conflicts_seen: AtomicU64::new(0),
            names: Mutex::default(),
            requests: Family::new_with_constructor(seconds as fn() -> Histogram),
            errors: Family::default(),
            commits: Counter::default(),
            entries: Counter::default(),
            commit_duration: seconds(),
            commit_batch: sizes(),
            apply_lag: Family::new_with_constructor(lags as fn() -> Histogram),
            conflicts: Family::default(),
            view_repairs: Counter::default(),
            incarnations: Family::default(),
            foreign_entries: Counter::default(),
            retired: Counter::default(),
            expired_keys: Counter::default(),
            snapshots: Family::default(),
            saturated: Counter::default(),
            damaged: Counter::default(),
            protocol_errors: Counter::default(),
            refused_links: Counter::default(),
            scrubbed: Counter::default(),
            lag: Family::default(),
            behind: Family::default(),
            connected: Family::default(),
            queue_bytes: Family::default(),
            skew: Family::default(),
            rtt: Family::default(),
            parked: Gauge::default(),
            log_entries: Gauge::default(),
            log_bytes: Gauge::default(),
            log_bytes_max: Gauge::default(),
            keys: Gauge::default(),
            rows_cached: Gauge::default(),
            queued: Gauge::default(),
            in_flight: Gauge::default(),
            ready: Gauge::default(),
            store_up: Gauge::default(),
            store_memory: Gauge::default(),
            store_evicted: Gauge::default(),
        };
        {
            let mut registry = metrics.registry.lock().unwrap_or_else(PoisonError::into_inner);
            metrics.register_work(&mut registry);
            metrics.register_faults(&mut registry);
            metrics.register_gauges(&mut registry);
            let build = Info::new(vec![
                ("version", env!("CARGO_PKG_VERSION").to_owned()),
                ("region", region.to_owned()),
                ("store", store.to_owned()),
            ]);
            registry.register("build", "What is running", build);
        }
        metrics
    }

    fn register_work(&self, r: &mut Registry) {
        r.register_with_unit(
            "request_duration",
            "How long doors took to answer",
            Unit::Seconds,
            self.requests.clone(),
        );
        r.register(
            "request_errors",
            "Errors that doors answered, by code",
            self.errors.clone(),
        );
        r.register("commits", "Commits done", self.commits.clone());
        r.register(
            "entries",
            "Entries committed, local and remote",
            self.entries.clone(),
        );
        r.register_with_unit(
            "commit_duration",
            "From handing a commit to the store to its outcome",
            Unit::Seconds,
            self.commit_duration.clone(),
        );
        r.register(
            "commit_batch_size",
            "Client requests in one commit",
            self.commit_batch.clone(),
        );
        r.register_with_unit(
            "apply_lag",
            "Age of remote entries when they were applied, by the two wall clocks",
            Unit::Seconds,
            self.apply_lag.clone(),
        );
    }

    fn register_faults(&self, r: &mut Registry) {
        r.register(
            "conflicts",
            "Concurrent writes between which a rule decided",
            self.conflicts.clone(),
        );
        r.register(
            "view_repairs",
            "Views that were not what their metadata says",
            self.view_repairs.clone(),
        );
        r.register(
            "incarnation_changes",
            "New incarnations begun, by reason",
            self.incarnations.clone(),
        );
        r.register(
            "foreign_own_entries",
            "Entries of this region's live incarnation that it never wrote",
            self.foreign_entries.clone(),
        );
        r.register(
            "retirements",
            "Times that lives of a region that are over were retired",
            self.retired.clone(),
        );
        r.register(
            "expired_keys",
            "Keys purged after expiring everywhere",
            self.expired_keys.clone(),
        );
        r.register("snapshots", "Snapshots, by what happened", self.snapshots.clone());
        r.register(
            "saturated_numbers",
            "Merged numbers shown at the end of their range",
            self.saturated.clone(),
        );
        r.register(
            "damaged_rows",
            "Rows whose stored metadata could not be read",
            self.damaged.clone(),
        );
        r.register(
            "peer_protocol_errors",
            "Links closed because the peer broke the protocol",
            self.protocol_errors.clone(),
        );
        r.register(
            "peer_refusals",
            "Greetings refused, by either side",
            self.refused_links.clone(),
        );
        r.register(
            "scrubbed_keys",
            "Views compared with their metadata by the scrub",
            self.scrubbed.clone(),
        );
    }

    fn register_gauges(&self, r: &mut Registry) {
        r.register_with_unit(
            "replication_lag",
            "Age of the oldest own entry that the peer has not acknowledged",
            Unit::Seconds,
            self.lag.clone(),
        );
        r.register(
            "replication_entries_behind",
            "Entries applied here that the peer is not known to have",
            self.behind.clone(),
        );
        r.register("peer_connected", "Is the link up?", self.connected.clone());
        r.register(
            "peer_queue_bytes",
            "Bytes sent to the peer and not yet acknowledged",
            self.queue_bytes.clone(),
        );
        r.register_with_unit(
            "peer_clock_skew",
            "How far the peer's clock seems ahead of ours",
            Unit::Seconds,
            self.skew.clone(),
        );
        r.register_with_unit(
            "peer_rtt",
            "How long the way to the peer and back takes",
            Unit::Seconds,
            self.rtt.clone(),
        );
        r.register(
            "parked_entries",
            "Peers' entries that wait for what their writers had seen",
            self.parked.clone(),
        );
        r.register("log_entries", "Entries in the log", self.log_entries.clone());
        r.register("log_bytes", "Bytes in the log, about", self.log_bytes.clone());
        r.register("log_bytes_max", "The log's cap", self.log_bytes_max.clone());
        r.register("keys", "Live keys", self.keys.clone());
        r.register("rows_cached", "Rows in memory", self.rows_cached.clone());
        r.register(
            "requests_queued",
            "Requests that wait for a shard",
            self.queued.clone(),
        );
        r.register(
            "commits_in_flight",
            "Commits handed to the store and not done",
            self.in_flight.clone(),
        );
        r.register("ready", "Does this node take writes?", self.ready.clone());
        r.register("store_up", "Is the store ours now?", self.store_up.clone());
        r.register(
            "store_memory_bytes",
            "Memory or disk that the store uses",
            self.store_memory.clone(),
        );
        r.register(
            "store_keys_evicted",
            "Keys evicted by the store's server: anything but 0 is a fault",
            self.store_evicted.clone(),
        );
    }

    /// A door has answered.
    pub fn request(&self, door: &'static str, operation: &'static str, took: Duration) {
        let labels = Operation { door, operation };
        self.requests.get_or_create(&labels).observe(took.as_secs_f64());
    }

    /// A door has answered with an error.
    pub fn error(&self, door: &'static str, code: &'static str) {
        self.errors.get_or_create(&Failed { door, code }).inc();
    }

    /// A peer broke the protocol.
    pub fn protocol_error(&self) {
        self.protocol_errors.inc();
    }

    /// A greeting was refused, by us or by the peer.
    pub fn refused_link(&self) {
        self.refused_links.inc();
    }

    /// The scrub has looked at a key.
    pub fn scrubbed(&self) {
        self.scrubbed.inc();
    }

    /// Something that a shard counts.
    pub fn event(&self, event: &Event) {
        match event {
            Event::Committed {
                requests,
                entries,
                took_ms,
            } => {
                self.commits.inc();
                self.entries.inc_by(*entries as u64);
                self.commit_duration
                    .observe(Duration::from_millis(*took_ms).as_secs_f64());
                if *requests > 0 {
                    let requests = u32::try_from(*requests).unwrap_or(u32::MAX);
                    self.commit_batch.observe(f64::from(requests));
                }
            }
            Event::Applied { region, lag_ms } => {
                let peer = Peer {
                    peer: self.name_of(*region),
                };
                let lag = Duration::from_millis(*lag_ms);
                self.apply_lag.get_or_create(&peer).observe(lag.as_secs_f64());
            }
            Event::Conflict { rule } => {
                self.conflicts.get_or_create(&Rule { rule }).inc();
                self.conflicts_seen.fetch_add(1, Ordering::Relaxed);
            }
            Event::ViewRepaired { .. } => {
                self.view_repairs.inc();
            }
            Event::Incarnation { reason } => {
                self.incarnations.get_or_create(&Reason { reason }).inc();
            }
            Event::ForeignOwnEntries => {
                self.foreign_entries.inc();
            }
            Event::Retired { .. } => {
                self.retired.inc();
            }
            Event::Purged => {
                self.expired_keys.inc();
            }
            Event::Snapshot { what, .. } => {
                self.snapshots.get_or_create(&Reason { reason: what }).inc();
            }
            Event::Saturated => {
                self.saturated.inc();
            }
            Event::Damaged { .. } => {
                self.damaged.inc();
            }
        }
    }

    /// Learns regions' names.
    pub fn take_names(&self, names: impl IntoIterator<Item = (RegionId, String)>) {
        let mut known = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        known.extend(names);
    }

    /// A region's name, or its id while nobody has named it.
    fn name_of(&self, region: RegionId) -> String {
        let names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        names.get(&region).cloned().unwrap_or_else(|| region.to_string())
    }

    /// Takes the gauges from a shard's status.
    pub fn take_status(&self, status: &ShardStatus) {
        for (region, peer) in &status.peers {
            let name = self.name_of(*region);
            let label = Peer { peer: name.clone() };
            let lag = Duration::from_millis(peer.lag_ms).as_secs_f64();
            self.lag.get_or_create(&label).set(lag);
            self.behind.get_or_create(&label).set(clamp(peer.entries_behind));
            self.queue_bytes
                .get_or_create(&label)
                .set(count(peer.queue_bytes));
            if let Some(skew_ms) = peer.skew_ms {
                let skew = Duration::from_millis(skew_ms.unsigned_abs()).as_secs_f64();
                self.skew
                    .get_or_create(&label)
                    .set(if skew_ms < 0 { -skew } else { skew });
            }
            let rtt = Duration::from_millis(peer.rtt_ms.unwrap_or(0)).as_secs_f64();
            self.rtt.get_or_create(&label).set(rtt);
            for (direction, up) in [("out", peer.connected_out), ("in", peer.connected_in)] {
                let peer = name.clone();
                self.connected
                    .get_or_create(&Link { peer, direction })
                    .set(i64::from(up));
            }
        }
        self.parked.set(count(status.parked));
        self.log_entries.set(clamp(status.log_entries));
        self.log_bytes.set(clamp(status.log_bytes));
        self.rows_cached.set(count(status.rows_cached));
        self.queued.set(count(status.queued));
        self.in_flight.set(count(status.in_flight));
        self.store_up.set(i64::from(status.store_up));
    }

    /// Takes what the store says of itself.
    pub fn take_store(&self, info: &StoreInfo) {
        self.store_memory.set(clamp(info.memory_bytes_used));
        self.store_evicted.set(clamp(info.keys_evicted));
    }

    /// The cap of the log, in bytes.
    pub fn take_limits(&self, log_bytes_max: u64) {
        self.log_bytes_max.set(clamp(log_bytes_max));
    }

    /// Keys that readers see.
    pub fn take_keys(&self, keys: u64) {
        self.keys.set(clamp(keys));
    }

    /// Whether the node takes writes.
    pub fn take_ready(&self, ready: bool) {
        self.ready.set(i64::from(ready));
    }

    /// What INFO tells of the merges.
    pub fn counts(&self) -> Counts {
        Counts {
            conflicts: self.conflicts_seen.load(Ordering::Relaxed),
            view_repairs: self.view_repairs.get(),
            expired_keys: self.expired_keys.get(),
        }
    }

    /// Adds what a door counts by itself.
    pub fn add(&self, collector: Box<dyn Collector>) {
        let mut registry = self.registry.lock().unwrap_or_else(PoisonError::into_inner);
        registry.register_collector(collector);
    }

    /// Everything, as `OpenMetrics` text.
    pub fn text(&self) -> String {
        let registry = self.registry.lock().unwrap_or_else(PoisonError::into_inner);
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = encode(&mut text, &registry);
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Everything that a node can ever export: each family with one entry.
    fn everything() -> String {
        let metrics = Metrics::new("us", "memory 1");
        metrics.request("http", "get_cart", Duration::from_micros(300));
        metrics.error("http", "CG-3001");
        let peer = || Peer {
            peer: "eu".to_owned(),
        };
        metrics.apply_lag.get_or_create(&peer()).observe(0.1);
        metrics.lag.get_or_create(&peer()).set(1.0);
        metrics.behind.get_or_create(&peer()).set(1);
        metrics.queue_bytes.get_or_create(&peer()).set(1);
        metrics.skew.get_or_create(&peer()).set(1.0);
        let link = Link {
            peer: "eu".to_owned(),
            direction: "out",
        };
        metrics.connected.get_or_create(&link).set(1);
        metrics.event(&Event::Conflict { rule: "later write" });
        metrics
            .incarnations
            .get_or_create(&Reason { reason: "first" })
            .inc();
        metrics
            .snapshots
            .get_or_create(&Reason { reason: "joining" })
            .inc();
        metrics.text()
    }

    /// The words that begin with `cartograph_` in a text.
    fn names(text: &str) -> std::collections::BTreeSet<&str> {
        text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
            .filter(|word| word.starts_with("cartograph_"))
            .collect()
    }

    #[test]
    fn alerts_and_dashboards_ask_for_what_is_exported() {
        let exported = everything();
        let exported = names(&exported);
        let deploy = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy");
        for file in [
            "prometheus/alerts.yaml",
            "prometheus/alerts_test.yaml",
            "grafana/dashboards/cartograph.json",
        ] {
            let text = std::fs::read_to_string(format!("{deploy}/{file}")).unwrap();
            let asked = names(&text);
            assert!(asked.len() > 10, "{file}: {asked:?}");
            for name in asked {
                assert!(
                    exported.contains(name),
                    "{file} asks for {name}, which no node exports"
                );
            }
        }
    }

    #[test]
    fn every_metric_has_a_line_in_the_reference() {
        let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/operating/metrics.md");
        let page = std::fs::read_to_string(page).unwrap();
        for line in everything().lines() {
            let Some(name) = line.strip_prefix("# TYPE cartograph_") else {
                continue;
            };
            let (name, kind) = name.split_once(' ').unwrap();
            let name = match kind {
                "counter" => format!("{name}_total"),
                "info" => format!("{name}_info"),
                _ => name.to_owned(),
            };
            assert!(
                page.contains(&format!("`{name}`")),
                "docs/operating/metrics.md lacks {name}"
            );
        }
    }

    #[test]
    fn names_and_units_are_as_promised() {
        let metrics = Metrics::new("us", "memory 1");
        metrics.event(&Event::Conflict { rule: "later write" });
        metrics.event(&Event::Committed {
            requests: 3,
            entries: 2,
            took_ms: 4,
        });
        metrics.request("http", "get_cart", Duration::from_micros(300));
        let text = metrics.text();
        for line in [
            "cartograph_conflicts_total{rule=\"later write\"} 1",
            "cartograph_commits_total 1",
            "cartograph_entries_total 2",
            "cartograph_commit_duration_seconds_count 1",
            "cartograph_commit_batch_size_sum 3.0",
            "cartograph_request_duration_seconds_count{door=\"http\",operation=\"get_cart\"} 1",
            "cartograph_view_repairs_total 0",
            "cartograph_log_bytes 0",
            "cartograph_build_info{",
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
        assert!(text.ends_with("# EOF\n"));
    }
}
