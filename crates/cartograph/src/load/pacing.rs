//! When each visit is due, and from when its latency counts.
//!
//! The load is open-loop: visits are due at fixed instants, however slow the answers are, as shoppers do not wait
//! for each other. A generator that measures from the moment when it gets round to sending leaves out exactly the
//! waiting that a slow server causes (*coordinated omission*). So a latency counts from the instant at which the
//! visit was due, and includes the time it waited for a free shopper.
//!
//! SUBTLE: one delay is ours and not the server's: timers fire up to a millisecond late. What became due while
//! the generator slept counts from when it woke; what became due while it was waiting for a free shopper counts
//! from its due time. How late the timer was is kept, so that an overloaded generator can be told.

use std::time::{Duration, Instant};

/// The timetable of one region: operation number n is due at start + n / rate.
#[derive(Debug)]
pub(crate) struct Pacer {
    start: Instant,
    rate: u32,
    issued: u64,
    woke: Instant,
    late_max: Duration,
}

impl Pacer {
    /// A timetable of `rate` operations a second (at least 1).
    pub(crate) fn new(start: Instant, rate: u32) -> Self {
        Self {
            start,
            rate: rate.max(1),
            issued: 0,
            woke: start,
            late_max: Duration::ZERO,
        }
    }

    /// When the next visit is due.
    pub(crate) fn due(&self) -> Instant {
        self.start + at(self.issued, self.rate)
    }

    /// Says that the generator slept until the next visit was due, and woke at `now`.
    pub(crate) fn woke(&mut self, now: Instant) {
        self.late_max = self.late_max.max(now.saturating_duration_since(self.due()));
        self.woke = now;
    }

    /// Takes the next visit, of `ops` operations, and returns the instant from which its latency counts.
    pub(crate) fn issue(&mut self, ops: usize) -> Instant {
        let counts_from = self.due().max(self.woke);
        self.issued += u64::try_from(ops).unwrap_or(u64::MAX);
        counts_from
    }

    /// How many operations were due before `end` but had not been issued.
    pub(crate) fn behind(&self, end: Instant) -> u64 {
        let elapsed = end.saturating_duration_since(self.start);
        let due = elapsed.as_nanos() * u128::from(self.rate) / 1_000_000_000;
        u64::try_from(due).unwrap_or(u64::MAX).saturating_sub(self.issued)
    }

    /// How late the generator's own timer was at worst.
    pub(crate) fn late_max(&self) -> Duration {
        self.late_max
    }
}

fn at(number: u64, rate: u32) -> Duration {
    let nanos = u128::from(number) * 1_000_000_000 / u128::from(rate);
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    #[test]
    fn operations_are_due_at_the_rate_however_many_a_visit_has() {
        let start = clock::now();
        let mut pacer = Pacer::new(start, 200);
        assert_eq!(pacer.due(), start);
        pacer.issue(1);
        assert_eq!(pacer.due(), start + MS(5));
        pacer.issue(3);
        assert_eq!(pacer.due(), start + MS(20));
    }

    #[test]
    fn a_rate_that_does_not_divide_a_second_does_not_drift() {
        let start = clock::now();
        let mut pacer = Pacer::new(start, 7);
        for _ in 0..7_000 {
            pacer.issue(1);
        }
        assert_eq!(pacer.due(), start + Duration::from_secs(1_000));
    }

    #[test]
    fn waiting_for_a_free_shopper_counts_as_latency() {
        let start = clock::now();
        let mut pacer = Pacer::new(start, 1_000);
        pacer.woke(start);
        pacer.issue(1);
        // The generator is held up for a long time by answers that do not come: nothing calls `woke`.
        assert_eq!(pacer.issue(1), start + MS(1));
        assert_eq!(pacer.issue(1), start + MS(2));
    }

    #[test]
    fn a_late_timer_does_not_count_as_latency() {
        let start = clock::now();
        let mut pacer = Pacer::new(start, 1_000);
        pacer.issue(1);
        let woke = start + MS(4);
        pacer.woke(woke);
        assert_eq!(pacer.issue(1), woke, "due at 1 ms, woken at 4");
        assert_eq!(pacer.issue(2), woke, "due at 2 ms, while asleep");
        assert_eq!(pacer.issue(1), woke, "due at the very moment");
        assert_eq!(pacer.issue(1), start + MS(5));
        assert_eq!(pacer.late_max(), MS(3));
    }

    #[test]
    fn what_was_due_and_never_issued_is_counted() {
        let start = clock::now();
        let mut pacer = Pacer::new(start, 100);
        pacer.issue(30);
        assert_eq!(pacer.behind(start + Duration::from_secs(1)), 70);
        pacer.issue(100);
        assert_eq!(pacer.behind(start + Duration::from_secs(1)), 0);
    }
}
