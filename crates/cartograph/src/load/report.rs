//! What the load saw: counts, latencies, errors; as tables and as JSON.
//!
//! Percentiles are taken over successful operations. Failures are counted by kind, and failed writes by whether
//! they may have happened after all.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::{CreationError, Histogram};
use serde_json::{Map, Value, json};

use super::drive::Timetable;
use super::mix::OpKind;
use crate::client::{Error, Outcome};
use crate::text::{duration, printable, table};

/// Latencies are kept in microseconds, exact to this many digits.
const DIGITS: u8 = 3;
/// Longer latencies count as this one, so that a histogram stays small.
const LATENCY_MAX: Duration = Duration::from_hours(1);
/// Kinds of error counted apart; what comes beyond them is counted as "other".
const ERROR_KINDS_MAX: usize = 64;
/// How late the generator's timer may be before the report warns.
const LATE_WARNING: Duration = Duration::from_millis(50);

/// The percentiles shown, and their names.
const PERCENTILES: [(&str, f64); 4] = [("p50", 50.0), ("p90", 90.0), ("p99", 99.0), ("p99.9", 99.9)];

/// What one region's shoppers saw.
#[derive(Clone, Debug)]
pub(crate) struct Tally {
    latencies: BTreeMap<OpKind, Histogram<u64>>,
    failures: BTreeMap<OpKind, u64>,
    errors: BTreeMap<ErrorKey, Errors>,
}

/// The operation, what went wrong, and, for a write, whether it may have happened.
type ErrorKey = (OpKind, String, Option<Outcome>);

#[derive(Clone, Debug)]
struct Errors {
    count: u64,
    example: String,
}

impl Tally {
    /// Nothing seen yet.
    ///
    /// # Errors
    /// Never in practice: the histogram's parameters are constants.
    pub(crate) fn new() -> Result<Self, CreationError> {
        let mut latencies = BTreeMap::new();
        for kind in OpKind::ALL {
            latencies.insert(kind, Histogram::new(DIGITS)?);
        }
        Ok(Self {
            latencies,
            failures: BTreeMap::new(),
            errors: BTreeMap::new(),
        })
    }

    /// Counts an operation that succeeded.
    pub(crate) fn succeeded(&mut self, kind: OpKind, latency: Duration) {
        if let Some(histogram) = self.latencies.get_mut(&kind) {
            let micros = u64::try_from(latency.min(LATENCY_MAX).as_micros()).unwrap_or(u64::MAX);
            // `record` grows the histogram, which `saturating_record` does not; below the cap it cannot fail.
            let _ = histogram.record(micros.max(1));
        }
    }

    /// Counts an operation that failed.
    pub(crate) fn failed(&mut self, kind: OpKind, error: &Error) {
        *self.failures.entry(kind).or_default() += 1;
        // A read has no outcome to doubt.
        let outcome = if kind == OpKind::Get {
            None
        } else {
            Some(error.outcome())
        };
        let mut key = (kind, error.kind(), outcome);
        if self.errors.len() >= ERROR_KINDS_MAX && !self.errors.contains_key(&key) {
            "other".clone_into(&mut key.1);
        }
        let errors = self.errors.entry(key).or_insert_with(|| Errors {
            count: 0,
            example: error.to_string(),
        });
        errors.count += 1;
    }

    /// Operations that succeeded.
    fn successes(&self) -> u64 {
        self.latencies.values().map(Histogram::len).sum()
    }

    /// Operations that failed.
    fn failures(&self) -> u64 {
        self.failures.values().sum()
    }

    /// The latencies of all operations together.
    fn overall(&self) -> Option<Histogram<u64>> {
        let mut histograms = self.latencies.values();
        let mut all = histograms.next()?.clone();
        for histogram in histograms {
            // An auto-resizing histogram takes whatever another one holds.
            all.add(histogram).ok()?;
        }
        Some(all)
    }
}

/// One region's part of the report.
#[derive(Clone, Debug)]
pub(crate) struct RegionReport {
    /// The region.
    pub(crate) name: String,
    /// What its shoppers saw.
    pub(crate) tally: Tally,
    /// How its timetable went.
    pub(crate) timetable: Timetable,
}

/// What was asked and what the regions did.
#[derive(Clone, Debug)]
pub(crate) struct Report {
    /// The seed of the visits.
    pub(crate) seed: u64,
    /// The run, after which ledger carts are called.
    pub(crate) run: String,
    /// Operations per second asked of each region.
    pub(crate) rate: u32,
    /// From the first operation to the last answer.
    pub(crate) took: Duration,
    /// The regions, in order.
    pub(crate) regions: Vec<RegionReport>,
}

impl Report {
    /// The report for people.
    pub(crate) fn render(&self) -> String {
        let mut parts = vec![
            format!(
                "{} of load, {} operations a second asked of each region, --seed {}",
                duration(self.took),
                self.rate,
                self.seed
            ),
            self.latency_table(),
        ];
        let errors = self.error_table();
        if !errors.is_empty() {
            parts.push(errors);
        }
        parts.extend(
            self.regions
                .iter()
                .filter_map(|region| warning(region, self.rate)),
        );
        parts.join("\n\n")
    }

    fn latency_table(&self) -> String {
        let mut header = vec!["region", "op", "done", "per s"];
        header.extend(PERCENTILES.iter().map(|(name, _)| *name));
        header.extend(["max", "failed"]);
        let mut rows = Vec::new();
        for RegionReport { name, tally, .. } in &self.regions {
            if let Some(all) = tally.overall() {
                rows.push(self.row(name, "all", &all, tally.failures()));
            }
            for (kind, histogram) in &tally.latencies {
                let failed = tally.failures.get(kind).copied().unwrap_or(0);
                if histogram.len() + failed > 0 {
                    rows.push(self.row("", kind.word(), histogram, failed));
                }
            }
        }
        table(&header, rows)
    }

    fn row(&self, region: &str, op: &str, histogram: &Histogram<u64>, failed: u64) -> Vec<String> {
        let shown = |micros| {
            if histogram.is_empty() {
                "-".to_owned()
            } else {
                duration(Duration::from_micros(micros))
            }
        };
        let mut row = vec![region.to_owned(), op.to_owned(), histogram.len().to_string()];
        row.push(format!("{:.1}", self.per_second(histogram.len())));
        row.extend(
            PERCENTILES
                .iter()
                .map(|(_, p)| shown(histogram.value_at_percentile(*p))),
        );
        row.extend([shown(histogram.max()), failed.to_string()]);
        row
    }

    fn error_table(&self) -> String {
        let mut rows = Vec::new();
        for RegionReport { name, tally, .. } in &self.regions {
            for ((op, kind, outcome), errors) in &tally.errors {
                rows.push(vec![
                    name.clone(),
                    op.word().to_owned(),
                    kind.clone(),
                    outcome.map_or("-", Outcome::word).to_owned(),
                    errors.count.to_string(),
                    printable(&errors.example),
                ]);
            }
        }
        if rows.is_empty() {
            return String::new();
        }
        table(&["region", "op", "error", "outcome", "count", "example"], rows)
    }

    #[expect(clippy::cast_precision_loss, reason = "a rate is shown with one decimal")]
    fn per_second(&self, count: u64) -> f64 {
        count as f64 / self.took.as_secs_f64().max(1e-9)
    }

    /// The same for `--json`; latencies in microseconds.
    pub(crate) fn to_json(&self) -> Value {
        let regions: Vec<Value> = self
            .regions
            .iter()
            .map(|region| self.region_json(region))
            .collect();
        json!({
            "seed": self.seed.to_string(), "run": self.run, "rate": self.rate,
            "took_ms": u64::try_from(self.took.as_millis()).unwrap_or(u64::MAX), "regions": regions,
        })
    }

    fn region_json(&self, region: &RegionReport) -> Value {
        let tally = &region.tally;
        let mut ops = Map::new();
        for (kind, histogram) in &tally.latencies {
            let failed = tally.failures.get(kind).copied().unwrap_or(0);
            let op =
                json!({"done": histogram.len(), "failed": failed, "latency_us": percentiles_json(histogram)});
            ops.insert(kind.word().to_owned(), op);
        }
        let errors: Vec<Value> = tally.errors.iter().map(error_json).collect();
        json!({
            "region": region.name, "done": tally.successes(), "failed": tally.failures(),
            "per_second": self.per_second(tally.successes()), "behind": region.timetable.behind,
            "latency_us": tally.overall().as_ref().map(percentiles_json), "ops": ops, "errors": errors,
        })
    }
}

fn percentiles_json(histogram: &Histogram<u64>) -> Value {
    let mut shown: Map<String, Value> = PERCENTILES
        .iter()
        .map(|(name, p)| ((*name).to_owned(), histogram.value_at_percentile(*p).into()))
        .collect();
    shown.insert("max".to_owned(), histogram.max().into());
    Value::Object(shown)
}

fn error_json(((op, kind, outcome), errors): (&ErrorKey, &Errors)) -> Value {
    json!({
        "op": op.word(), "error": kind, "outcome": outcome.map(Outcome::word), "count": errors.count,
        "example": errors.example,
    })
}

/// What the reader must know before trusting a region's numbers.
fn warning(region: &RegionReport, rate: u32) -> Option<String> {
    let Timetable { behind, late_max } = region.timetable;
    if behind > u64::from(rate / 10) {
        Some(format!(
            "{} did not keep up: {behind} operations were due and never begun. The latencies include the wait; \
             lower --rate, or raise --users if they were all busy.",
            region.name
        ))
    } else if late_max > LATE_WARNING {
        Some(format!(
            "The load generator itself was up to {} late for {}: this machine was busy, read latencies with care.",
            duration(late_max),
            region.name
        ))
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(fill: impl Fn(&mut Tally), timetable: Timetable) -> Report {
        let mut tally = Tally::new().unwrap();
        fill(&mut tally);
        let region = RegionReport {
            name: "us".to_owned(),
            tally,
            timetable,
        };
        Report {
            seed: 42,
            run: "r".to_owned(),
            rate: 100,
            took: Duration::from_secs(2),
            regions: vec![region],
        }
    }

    fn timeout() -> Error {
        Error::Timeout {
            url: "http://us/v1/carts/c".to_owned(),
            after: Duration::from_secs(5),
        }
    }

    #[test]
    fn the_table_shows_each_operation_that_was_made() {
        let fill = |tally: &mut Tally| {
            for ms in 1..=100 {
                tally.succeeded(OpKind::Get, Duration::from_millis(ms));
            }
            tally.succeeded(OpKind::Add, Duration::from_micros(500));
            tally.failed(OpKind::Clear, &timeout());
        };
        let text = report(fill, Timetable::default()).render();
        let lines: Vec<Vec<&str>> = text
            .lines()
            .map(|line| line.split_whitespace().collect())
            .collect();
        assert_eq!(
            lines[2].join(" "),
            "REGION OP DONE PER S P50 P90 P99 P99.9 MAX FAILED"
        );
        assert_eq!(lines[3][..4], ["us", "all", "101", "50.5"]);
        assert_eq!(
            lines[4].join(" "),
            "get 100 50.0 50.0 ms 90.0 ms 99.0 ms 100.0 ms 100.0 ms 0"
        );
        assert_eq!(lines[5][..3], ["add", "1", "0.5"]);
        assert_eq!(lines[6].join(" "), "clear 0 0.0 - - - - - 1");
        assert_eq!(lines[7].len(), 0, "set and remove were not asked for: {text}");
    }

    #[test]
    fn failed_writes_say_whether_they_may_have_happened_and_reads_do_not() {
        let fill = |tally: &mut Tally| {
            tally.failed(OpKind::Add, &timeout());
            tally.failed(OpKind::Add, &timeout());
            tally.failed(OpKind::Get, &timeout());
        };
        let report = report(fill, Timetable::default());
        let text = report.render();
        assert!(
            text.contains("us      add  no answer in time  unknown  2      http://us/v1/carts/c did not"),
            "{text}"
        );
        assert!(
            text.contains("us      get  no answer in time  -        1 "),
            "{text}"
        );
        let errors = &report.to_json()["regions"][0]["errors"];
        assert_eq!(errors[0]["outcome"], Value::Null);
        assert_eq!(errors[1]["outcome"], "unknown");
        assert_eq!(errors[1]["count"], 2);
    }

    #[test]
    fn kinds_of_error_are_bounded() {
        let fill = |tally: &mut Tally| {
            for status in 0..1_000 {
                let error = Error::Refused {
                    url: String::new(),
                    status,
                    code: String::new(),
                    message: String::new(),
                    outcome: Outcome::Definite,
                };
                tally.failed(OpKind::Add, &error);
            }
        };
        let report = report(fill, Timetable::default());
        let errors = &report.regions[0].tally.errors;
        assert_eq!(errors.len(), ERROR_KINDS_MAX + 1);
        assert_eq!(errors.values().map(|errors| errors.count).sum::<u64>(), 1_000);
    }

    #[test]
    fn a_region_that_did_not_keep_up_is_named() {
        let behind = Timetable {
            behind: 50,
            late_max: Duration::ZERO,
        };
        assert!(
            report(|_| {}, behind)
                .render()
                .contains("us did not keep up: 50 operations")
        );
        let late = Timetable {
            behind: 0,
            late_max: Duration::from_millis(80),
        };
        assert!(report(|_| {}, late).render().contains("up to 80.0 ms late"));
        assert!(!report(|_| {}, Timetable::default()).render().contains("late"));
    }
}
