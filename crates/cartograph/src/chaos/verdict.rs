//! The judgement: what was found, in words, in JSON, in the exit code, and in the page.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use serde_json::{Value, json};

use super::args::Args;
use super::check;
use super::fault::Band;
use super::history::{History, Instant, Outcome, Violation};
use super::plan::Nemesis;
use super::report;
use crate::exit::{Exit, Failure};
use crate::term::{Paint, Term};
use crate::text::{and_more, table};

/// Violations that are shown.
const SHOWN_MAX: usize = 20;

/// A nemesis that was wanted and cannot be had here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Skipped {
    /// Which.
    pub(crate) nemesis: Nemesis,
    /// Why.
    pub(crate) why: String,
}

/// What there is to say of a run besides its history.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    /// The seed.
    pub(crate) seed: u64,
    /// `redis` or `embedded`.
    pub(crate) store: &'static str,
    /// How long clients were to work.
    pub(crate) load: Duration,
    /// When they had stopped.
    pub(crate) load_ended: Instant,
    /// The faults as they were.
    pub(crate) bands: Vec<Band>,
    /// How long the regions took to agree; nothing when they did not.
    pub(crate) agreed: Option<Duration>,
    /// What was found before the history was checked.
    pub(crate) violations: Vec<Violation>,
    /// What could not be put back in the end.
    pub(crate) unhealed: Vec<String>,
    /// What was not broken.
    pub(crate) skipped: Vec<Skipped>,
    /// What the supervisor said meanwhile.
    pub(crate) notes: Vec<String>,
}

/// Operations by outcome: ok, failed, unknown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Acknowledged.
    pub(crate) ok: usize,
    /// Certainly not done.
    pub(crate) failed: usize,
    /// Perhaps done.
    pub(crate) unknown: usize,
}

impl Counts {
    fn add(&mut self, outcome: &Outcome) {
        match outcome {
            Outcome::Ok(_) | Outcome::Removed(_) => self.ok += 1,
            Outcome::Failed(_) => self.failed += 1,
            Outcome::Unknown(_) => self.unknown += 1,
        }
    }

    fn to_json(self) -> Value {
        json!({"ok": self.ok, "failed": self.failed, "unknown": self.unknown})
    }
}

/// A finished run, judged.
#[derive(Debug)]
pub(crate) struct Judged<'a> {
    /// What happened.
    pub(crate) history: &'a History,
    /// The rest.
    pub(crate) run: &'a Run,
    /// What must not be.
    pub(crate) violations: Vec<Violation>,
    /// All operations.
    pub(crate) total: Counts,
    /// By region.
    pub(crate) by_region: Vec<Counts>,
    /// Faults made, by kind, and those missed.
    pub(crate) faults: BTreeMap<Nemesis, (usize, usize)>,
    /// The command that breaks the same things again.
    pub(crate) again: String,
}

impl<'a> Judged<'a> {
    /// Checks the history.
    pub(crate) fn new(args: &Args, history: &'a History, run: &'a Run) -> Self {
        let mut violations = run.violations.clone();
        violations.extend(check::all(history));
        let mut total = Counts::default();
        let mut by_region = vec![Counts::default(); history.regions.len()];
        for event in &history.events {
            total.add(&event.outcome);
            if let Some(counts) = by_region.get_mut(event.region) {
                counts.add(&event.outcome);
            }
        }
        let mut faults: BTreeMap<Nemesis, (usize, usize)> = BTreeMap::new();
        for band in &run.bands {
            let (made, missed) = faults.entry(band.nemesis).or_default();
            *(if band.missed.is_none() { made } else { missed }) += 1;
        }
        let again = format!(
            "cartograph chaos --profile {} --minutes {} --seed {} --nemesis {} --regions {} --store {} --network {} \
             --rate {} --clients {}",
            args.profile.word(),
            run.load.as_secs_f64() / 60.0,
            run.seed,
            args.nemesis_words().join(","),
            history.regions.join(","),
            run.store,
            args.network.word(),
            args.rate,
            args.clients
        );
        Self {
            history,
            run,
            violations,
            total,
            by_region,
            faults,
            again,
        }
    }

    /// Whether nothing was found, and there was something to judge.
    pub(crate) fn is_valid(&self) -> bool {
        self.violations.is_empty() && self.run.agreed.is_some() && self.total.ok > 0
    }

    /// For `--json`.
    fn to_json(&self) -> Value {
        let regions = self.history.regions.iter().zip(&self.by_region);
        let faults = self.faults.iter().map(|(nemesis, (made, missed))| {
            let counts = json!({"made": made, "missed": missed});
            (nemesis.word().to_owned(), counts)
        });
        let skipped = self.run.skipped.iter();
        json!({
            "valid": self.is_valid(),
            "seed": self.run.seed.to_string(),
            "store": self.run.store,
            "load_seconds": self.run.load.as_secs_f64(),
            "operations": self.total.to_json(),
            "regions": regions.map(|(name, counts)| (name.clone(), counts.to_json())).collect::<serde_json::Map<_, _>>(),
            "faults": faults.collect::<serde_json::Map<_, _>>(),
            "losses": self.history.losses.len(),
            "skipped": skipped.map(|skip| json!({"nemesis": skip.nemesis.word(), "why": skip.why})).collect::<Vec<_>>(),
            "agreed_ms": self.run.agreed.map(|took| u64::try_from(took.as_millis()).unwrap_or(u64::MAX)),
            "violations": self.violations,
            "unhealed": self.run.unhealed,
            "again": self.again,
        })
    }

    /// For people.
    fn to_text(&self, term: &Term) -> String {
        let mut rows: Vec<Vec<String>> = Vec::new();
        let row = |name: &str, counts: &Counts| {
            [counts.ok, counts.failed, counts.unknown]
                .iter()
                .fold(vec![name.to_owned()], |mut row, count| {
                    row.push(count.to_string());
                    row
                })
        };
        rows.extend(
            self.history
                .regions
                .iter()
                .zip(&self.by_region)
                .map(|(name, counts)| row(name, counts)),
        );
        rows.push(row("all", &self.total));
        let mut text = table(&["region", "ok", "failed", "unknown"], rows);
        let faults = self.faults.iter().map(|(nemesis, (made, missed))| {
            vec![nemesis.word().to_owned(), made.to_string(), missed.to_string()]
        });
        let _ = write!(
            text,
            "\n\n{}\n\n",
            table(&["fault", "made", "missed"], faults.collect())
        );
        for skip in &self.run.skipped {
            let _ = writeln!(text, "SKIPPED {}: {}", skip.nemesis.word(), skip.why);
        }
        for what in &self.run.unhealed {
            let _ = writeln!(text, "could not be put back: {what}");
        }
        if self.is_valid() {
            let agreed = self.run.agreed.unwrap_or_default().as_secs_f64();
            let losses = self.history.losses.len();
            text.push_str(&term.paint(Paint::Good, "VALID"));
            let _ = writeln!(
                text,
                "  no violation in {} operations under {} faults ({losses} lost a store); regions agreed after {agreed:.1} s",
                self.total.ok + self.total.failed + self.total.unknown,
                self.run.bands.len()
            );
        } else {
            text.push_str(&term.paint(Paint::Bad, "INVALID"));
            let _ = writeln!(text, "  {} violations", self.violations.len());
            for violation in self.violations.iter().take(SHOWN_MAX) {
                let _ = writeln!(text, "  {}: {}", violation.check, violation.what);
            }
            text.push_str(and_more(self.violations.len(), SHOWN_MAX).trim_start());
        }
        let _ = write!(text, "again: {}", self.again);
        text
    }
}

/// Judges, tells, writes what was asked for, and gives the exit code.
pub(super) fn conclude(args: &Args, history: &History, run: &Run, term: &Term) -> Result<Exit, Failure> {
    let judged = Judged::new(args, history, run);
    let written = |path: &std::path::Path, bytes: &[u8]| {
        std::fs::write(path, bytes)
            .map_err(|error| Failure::new(Exit::Refused, format!("cannot write {}: {error}", path.display())))
    };
    if args.json {
        term.print_json(&judged.to_json())?;
    } else {
        term.print(&judged.to_text(term))?;
    }
    // Last: a file that cannot be written must not hide the verdict.
    if let Some(path) = &args.history {
        let document = serde_json::to_vec(history)
            .map_err(|error| Failure::new(Exit::Refused, format!("cannot write the history: {error}")))?;
        written(path, &document)?;
        term.note(&format!("history: {}", path.display()));
    }
    if let Some(path) = &args.report {
        written(path, report::page(&judged).as_bytes())?;
        term.note(&format!("report: {}", path.display()));
    }
    Ok(if judged.is_valid() {
        Exit::Success
    } else {
        Exit::Refused
    })
}
