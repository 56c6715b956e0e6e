//! What the page reads out of a node's metrics: rates and percentiles, from what changed between two looks.

use std::collections::BTreeMap;

/// Operations of the cart doors that write.
const WRITES: [&str; 5] = ["add_item", "set_item", "remove_item", "clear", "merge"];
/// Operations of the cart doors that read.
const READS: [&str; 1] = ["get_cart"];

/// The counters of one look, summed as far as the page needs them.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Look {
    writes: f64,
    reads: f64,
    entries: f64,
    log_entries: f64,
    /// Writes by the upper bound of their latency, in seconds; cumulative.
    latency: Vec<(f64, f64)>,
    /// By peer: seconds and entries.
    lag: BTreeMap<String, (f64, f64)>,
}

/// What happened between two looks.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Change {
    pub(super) writes_per_second: f64,
    pub(super) reads_per_second: f64,
    pub(super) entries_per_second: f64,
    pub(super) log_entries: f64,
    pub(super) p50_ms: Option<f64>,
    pub(super) p99_ms: Option<f64>,
    /// By peer: entries a second, and their mean age when they were applied, in milliseconds.
    pub(super) applied: BTreeMap<String, (f64, Option<f64>)>,
}

impl Look {
    /// Reads the text of `/metrics`; what it does not know it passes over.
    pub(super) fn parse(text: &str) -> Self {
        let mut look = Self::default();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let Some((series, value)) = line.rsplit_once(' ') else {
                continue;
            };
            let Ok(value) = value.parse::<f64>() else { continue };
            let (name, labels) = series.split_once('{').unwrap_or((series, ""));
            look.take(name, labels, value);
        }
        look.latency.sort_by(|a, b| a.0.total_cmp(&b.0));
        look
    }

    fn take(&mut self, name: &str, labels: &str, value: f64) {
        let operation = label(labels, "operation").unwrap_or_default();
        match name {
            "cartograph_request_duration_seconds_count" if WRITES.contains(&operation) => {
                self.writes += value;
            }
            "cartograph_request_duration_seconds_count" if READS.contains(&operation) => self.reads += value,
            "cartograph_request_duration_seconds_bucket" if WRITES.contains(&operation) => {
                let bound = label(labels, "le").and_then(|bound| match bound {
                    "+Inf" => Some(f64::INFINITY),
                    number => number.parse().ok(),
                });
                if let Some(bound) = bound {
                    match self
                        .latency
                        .iter_mut()
                        .find(|(known, _)| known.total_cmp(&bound).is_eq())
                    {
                        Some((_, count)) => *count += value,
                        None => self.latency.push((bound, value)),
                    }
                }
            }
            "cartograph_entries_total" => self.entries = value,
            "cartograph_log_entries" => self.log_entries = value,
            "cartograph_apply_lag_seconds_sum" | "cartograph_apply_lag_seconds_count" => {
                if let Some(peer) = label(labels, "peer") {
                    let (seconds, count) = self.lag.entry(peer.to_owned()).or_default();
                    if name.ends_with("_sum") {
                        *seconds = value;
                    } else {
                        *count = value;
                    }
                }
            }
            _ => {}
        }
    }

    /// What happened since an earlier look, `seconds` ago; a node that started anew meanwhile shows what it did since.
    pub(super) fn since(&self, earlier: &Self, seconds: f64) -> Change {
        let none = Self::default();
        let earlier = if self.entries < earlier.entries || self.writes < earlier.writes {
            &none
        } else {
            earlier
        };
        let rate = |now: f64, then: f64| (now - then).max(0.0) / seconds.max(0.001);
        let latency: Vec<(f64, f64)> = self
            .latency
            .iter()
            .map(|(bound, count)| {
                let then = earlier
                    .latency
                    .iter()
                    .find(|(known, _)| known.total_cmp(bound).is_eq());
                (*bound, count - then.map_or(0.0, |(_, count)| *count))
            })
            .collect();
        let applied = self.lag.iter().map(|(peer, (sum, count))| {
            let (sum_then, count_then) = earlier.lag.get(peer).copied().unwrap_or_default();
            let entries = count - count_then;
            let mean_ms = (entries > 0.0).then(|| (sum - sum_then) / entries * 1000.0);
            (peer.clone(), (entries.max(0.0) / seconds.max(0.001), mean_ms))
        });
        Change {
            writes_per_second: rate(self.writes, earlier.writes),
            reads_per_second: rate(self.reads, earlier.reads),
            entries_per_second: rate(self.entries, earlier.entries),
            log_entries: self.log_entries,
            p50_ms: percentile(&latency, 0.50),
            p99_ms: percentile(&latency, 0.99),
            applied: applied.collect(),
        }
    }
}

/// A label's value out of `a="b",c="d"}`; values with a quote in them are none of ours.
fn label<'a>(labels: &'a str, name: &str) -> Option<&'a str> {
    labels
        .split(',')
        .filter_map(|pair| pair.trim_end_matches('}').split_once('='))
        .find(|(key, _)| *key == name)
        .map(|(_, value)| value.trim_matches('"'))
}

/// The latency that this share of the requests did not exceed, in milliseconds: between a bucket's bounds by proportion.
fn percentile(cumulative: &[(f64, f64)], share: f64) -> Option<f64> {
    let total = cumulative.last()?.1;
    if total <= 0.0 {
        return None;
    }
    let rank = total * share;
    let (mut below, mut counted) = (0.0, 0.0);
    for (bound, count) in cumulative {
        if *count >= rank {
            if bound.is_infinite() {
                return Some(below * 1000.0);
            }
            let inside = (count - counted).max(1.0);
            return Some((below + (bound - below) * (rank - counted) / inside) * 1000.0);
        }
        (below, counted) = (*bound, *count);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(adds: u32, fast: u32, lag_sum: f64, lag_count: u32) -> String {
        format!(
            "# TYPE x counter\n\
             cartograph_request_duration_seconds_count{{door=\"http\",operation=\"add_item\"}} {adds}\n\
             cartograph_request_duration_seconds_count{{door=\"grpc\",operation=\"get_cart\"}} 7\n\
             cartograph_request_duration_seconds_bucket{{le=\"0.001\",door=\"http\",operation=\"add_item\"}} {fast}\n\
             cartograph_request_duration_seconds_bucket{{le=\"0.002\",door=\"http\",operation=\"add_item\"}} {adds}\n\
             cartograph_request_duration_seconds_bucket{{le=\"+Inf\",door=\"http\",operation=\"add_item\"}} {adds}\n\
             cartograph_apply_lag_seconds_sum{{peer=\"europe-west1\"}} {lag_sum}\n\
             cartograph_apply_lag_seconds_count{{peer=\"europe-west1\"}} {lag_count}\n\
             cartograph_entries_total {adds}\ncartograph_log_entries 3\nnonsense\n# EOF\n"
        )
    }

    #[test]
    fn what_changed_between_two_looks_is_a_rate_and_a_latency() {
        let (before, after) = (
            Look::parse(&text(10, 10, 1.0, 10)),
            Look::parse(&text(30, 20, 2.0, 15)),
        );
        let change = after.since(&before, 2.0);
        assert!((change.writes_per_second - 10.0).abs() < 1e-9);
        assert!(change.reads_per_second.abs() < 1e-9);
        assert!((change.p50_ms.unwrap() - 1.0).abs() < 1e-9, "{change:?}");
        assert!((change.p99_ms.unwrap() - 1.98).abs() < 1e-9, "{change:?}");
        let (rate, age) = change.applied["europe-west1"];
        assert!((rate - 2.5).abs() < 1e-9 && (age.unwrap() - 200.0).abs() < 1e-6);
    }

    #[test]
    fn a_node_that_started_anew_counts_from_nothing_and_a_quiet_one_has_no_latency() {
        let (before, after) = (
            Look::parse(&text(30, 20, 2.0, 15)),
            Look::parse(&text(4, 4, 0.1, 1)),
        );
        assert!((after.since(&before, 1.0).writes_per_second - 4.0).abs() < 1e-9);
        let quiet = before.since(&before, 1.0);
        assert_eq!((quiet.p50_ms, quiet.p99_ms), (None, None));
        assert_eq!(quiet.applied["europe-west1"].1, None);
    }
}
