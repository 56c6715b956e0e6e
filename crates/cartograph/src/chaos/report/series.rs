//! From a history to numbers over time: per region and per bucket of time.

use serde::Serialize;

use super::super::history::{Event, History, Instant, Outcome};

/// Buckets in a plot, at most.
const BUCKETS_MAX: u64 = 300;

/// Numbers over time.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Series {
    /// How long a bucket is, in milliseconds.
    pub(super) bucket_ms: u64,
    /// How many there are.
    pub(super) buckets: usize,
    /// The most operations of a bucket in any region.
    pub(super) operations_max: u32,
    /// One for each region.
    pub(super) regions: Vec<Region>,
}

/// One region's numbers, a bucket after the other.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(super) struct Region {
    pub(super) ok: Vec<u32>,
    pub(super) failed: Vec<u32>,
    pub(super) unknown: Vec<u32>,
    /// Median latency of acknowledged operations, in microseconds; nothing where there was none.
    pub(super) p50_us: Vec<Option<u64>>,
    /// The 99th percentile.
    pub(super) p99_us: Vec<Option<u64>>,
    /// The worst lag that it spoke of, in milliseconds; nothing where it said nothing.
    pub(super) lag_ms: Vec<Option<u64>>,
}

/// The series of a history whose load ended at `end`. Operations count where they began.
pub(super) fn of(history: &History, end: Instant) -> Series {
    let end_ms = (end / 1_000).max(1);
    let bucket_ms = end_ms.div_ceil(BUCKETS_MAX).max(1_000).div_ceil(500) * 500;
    let buckets = usize::try_from(end_ms.div_ceil(bucket_ms)).unwrap_or(1);
    let bucket = |at: Instant| {
        usize::try_from(at / 1_000 / bucket_ms)
            .unwrap_or(usize::MAX)
            .min(buckets - 1)
    };
    let mut regions = Vec::new();
    for number in 0..history.regions.len() {
        let mut of_bucket: Vec<Vec<&Event>> = vec![Vec::new(); buckets];
        for event in history.events.iter().filter(|event| event.region == number) {
            if let Some(events) = of_bucket.get_mut(bucket(event.start)) {
                events.push(event);
            }
        }
        let mut lag_ms = vec![None; buckets];
        for sample in history
            .samples
            .get(number)
            .into_iter()
            .flatten()
            .filter(|s| s.start <= end)
        {
            if let Some(slot) = lag_ms.get_mut(bucket(sample.start)) {
                *slot = (*slot).max(Some(sample.lag_ms));
            }
        }
        let mut region = Region {
            lag_ms,
            ..Region::default()
        };
        for events in &of_bucket {
            summarize(events, &mut region);
        }
        regions.push(region);
    }
    let most = |region: &Region| {
        let counts = region.ok.iter().zip(&region.failed).zip(&region.unknown);
        counts
            .map(|((ok, failed), unknown)| ok + failed + unknown)
            .max()
            .unwrap_or(0)
    };
    Series {
        bucket_ms,
        buckets,
        operations_max: regions.iter().map(most).max().unwrap_or(0).max(1),
        regions,
    }
}

fn summarize(events: &[&Event], region: &mut Region) {
    let (mut ok, mut failed, mut unknown) = (0, 0, 0);
    let mut took = Vec::new();
    for event in events {
        match event.outcome {
            Outcome::Ok(_) | Outcome::Removed(_) => {
                ok += 1;
                took.push(event.end.saturating_sub(event.start));
            }
            Outcome::Failed(_) => failed += 1,
            Outcome::Unknown(_) => unknown += 1,
        }
    }
    took.sort_unstable();
    region.ok.push(ok);
    region.failed.push(failed);
    region.unknown.push(unknown);
    region.p50_us.push(took.get(took.len() / 2).copied());
    region.p99_us.push(took.get(took.len() * 99 / 100).copied());
}

#[cfg(test)]
mod tests {
    use super::super::super::history::{Object, Op};
    use super::*;

    fn event(start_ms: u64, took_ms: u64, outcome: Outcome) -> Event {
        Event {
            id: 0,
            session: 0,
            region: 0,
            door: "grpc",
            object: Object::Set(0),
            op: Op::Read,
            after: None,
            start: start_ms * 1_000,
            end: (start_ms + took_ms) * 1_000,
            outcome,
        }
    }

    #[test]
    fn operations_are_counted_where_they_began_and_latency_is_of_the_acknowledged() {
        let mut events: Vec<Event> = (0..99).map(|n| event(n, n, Outcome::Ok(None))).collect();
        events.push(event(999, 5_000, Outcome::Unknown("late".to_owned())));
        events.push(event(1_500, 1, Outcome::Failed("no".to_owned())));
        let history = History {
            regions: vec!["a".to_owned()],
            region_ids: vec![1],
            events,
            samples: vec![Vec::new()],
            ..History::default()
        };
        let series = of(&history, 2_400_000);
        assert_eq!((series.bucket_ms, series.buckets), (1_000, 3));
        let region = &series.regions[0];
        assert_eq!(
            (&region.ok[..], &region.failed[..], &region.unknown[..]),
            (&[99, 0, 0][..], &[0, 1, 0][..], &[1, 0, 0][..])
        );
        assert_eq!(region.p50_us, [Some(49_000), None, None]);
        assert_eq!(region.p99_us, [Some(98_000), None, None]);
        assert_eq!(series.operations_max, 100);
    }

    #[test]
    fn a_long_run_has_long_buckets_and_not_more_of_them() {
        let history = History {
            regions: vec!["a".to_owned()],
            ..History::default()
        };
        let series = of(&history, 3_600_000_000);
        assert!(series.buckets <= 300 && series.bucket_ms == 12_000, "{series:?}");
    }
}
