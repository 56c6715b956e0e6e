//! The live timeline: what is being broken and how clients fare, line by line on stderr.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use super::observe::Samples;
use super::workload::Shared;
use crate::clock;
use crate::term::Term;

/// Time between two lines about clients.
const EVERY: Duration = Duration::from_secs(2);

/// Tells people what happens.
#[derive(Clone, Debug)]
pub(crate) struct Timeline {
    term: Arc<Term>,
    began: std::time::Instant,
}

impl Timeline {
    /// Instants are shown as time since `began`.
    pub(crate) fn new(term: Arc<Term>, began: std::time::Instant) -> Self {
        Self { term, began }
    }

    /// One line.
    pub(crate) fn say(&self, text: &str) {
        let elapsed = clock::now().saturating_duration_since(self.began);
        self.term.note(&format!("{:>8}  {text}", stamp(elapsed)));
    }

    /// A fault's beginning (with how long it shall last) or end.
    pub(crate) fn fault(&self, what: &str, length: Option<Duration>) {
        match length {
            Some(length) => self.say(&format!("✗ {what}, for {:.1} s", length.as_secs_f64())),
            None => self.say(&format!("✓ {what}")),
        }
    }
}

/// `1:05.3`
fn stamp(elapsed: Duration) -> String {
    let tenths = elapsed.as_millis() / 100;
    format!("{}:{:02}.{}", tenths / 600, tenths / 10 % 60, tenths % 10)
}

/// Says how clients fare until they are told to stop.
pub(crate) async fn report(timeline: Timeline, shared: Shared, samples: Arc<Samples>) {
    let mut before = [0; 3];
    while !shared.stop.is_cancelled() {
        tokio::select! {
            () = sleep(EVERY) => {}
            () = shared.stop.cancelled() => return,
        }
        let now = shared.recorder.counts();
        let rate = |slot: usize| {
            let count = |counts: &[usize; 3]| counts.get(slot).copied().unwrap_or(0);
            count(&now).saturating_sub(count(&before)) / 2
        };
        let (ok, failed, unknown) = (rate(0), rate(1), rate(2));
        let lag = samples.lag_ms();
        timeline.say(&format!(
            "  {ok:>5} ok/s {failed:>5} failed/s {unknown:>4} unknown/s   lag {lag} ms"
        ));
        before = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_count_minutes_seconds_and_tenths() {
        assert_eq!(stamp(Duration::from_millis(65_390)), "1:05.3");
        assert_eq!(stamp(Duration::from_millis(40)), "0:00.0");
    }
}
