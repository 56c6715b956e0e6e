//! Estimates for status: how old the oldest unacknowledged write is, and how far clocks are apart.

use std::collections::VecDeque;

use crate::message::Echo;

/// How many readings an estimate of skew looks back.
const READINGS: usize = 16;

/// A longer way than this was a step of the clock, in milliseconds.
const WAY_MS_MAX: u64 = 60_000;

/// How many times of own writes are remembered.
const TIMES_MAX: usize = 2_048;

/// When our own entries were committed.
#[derive(Clone, Debug, Default)]
pub(crate) struct OwnTimes {
    /// Count of own entries, and when the first of them that the count before does not cover was committed.
    times: VecDeque<(u64, u64)>,
}

impl OwnTimes {
    /// Another count begins.
    pub(crate) fn restart(&mut self) {
        self.times.clear();
    }

    /// We have committed `count` own entries by now.
    pub(crate) fn wrote(&mut self, count: u64, now_ms: u64) {
        match self.times.back_mut() {
            Some((last, _)) if *last >= count => return,
            // Within a millisecond nobody can tell the difference.
            Some((last, at)) if *at == now_ms => *last = count,
            None if count == 0 => return,
            Some(_) | None => self.times.push_back((count, now_ms)),
        }
        if self.times.len() > TIMES_MAX {
            self.thin();
        }
    }

    /// Joins neighbours, to the earlier time of the two: an age may then seem a little too great, never too small.
    fn thin(&mut self) {
        let mut thinner = VecDeque::with_capacity(TIMES_MAX);
        let mut all = self.times.drain(..);
        while let Some((count, at)) = all.next() {
            let count = all.next().map_or(count, |(next, _)| next);
            thinner.push_back((count, at));
        }
        drop(all);
        self.times = thinner;
    }

    /// Age of the oldest own entry past `acknowledged`, 0 when there is none.
    pub(crate) fn age_ms(&self, acknowledged: u64, now_ms: u64) -> u64 {
        let oldest = self.times.iter().find(|(count, _)| *count > acknowledged);
        oldest.map_or(0, |(_, at)| now_ms.saturating_sub(*at))
    }
}

/// How far a peer's clock is ahead of ours.
///
/// Each report's clock reading is late by the report's way here, so the highest difference seen of late is the best
/// estimate, too low by the shortest way.
#[derive(Clone, Debug, Default)]
pub(crate) struct Skew {
    differences: VecDeque<i64>,
    ways: VecDeque<u64>,
    theirs_ms: u64,
    heard_ms: u64,
}

impl Skew {
    pub(crate) fn heard(&mut self, theirs_ms: u64, now_ms: u64) {
        if self.differences.len() >= READINGS {
            self.differences.pop_front();
        }
        self.differences
            .push_back(theirs_ms.wrapping_sub(now_ms).cast_signed());
        self.theirs_ms = theirs_ms;
        self.heard_ms = now_ms;
    }

    /// A reading of our clock came back.
    pub(crate) fn came_back(&mut self, echo: Echo, now_ms: u64) {
        let sent_ms = echo.clock_ms.saturating_add(echo.held_ms);
        // Our clock may have stepped meanwhile.
        if let Some(way) = now_ms.checked_sub(sent_ms).filter(|way| *way <= WAY_MS_MAX) {
            if self.ways.len() >= READINGS {
                self.ways.pop_front();
            }
            self.ways.push_back(way);
        }
    }

    /// What to send back of the peer's clock.
    pub(crate) fn echo(&self, now_ms: u64) -> Echo {
        Echo {
            clock_ms: self.theirs_ms,
            held_ms: now_ms.saturating_sub(self.heard_ms),
        }
    }

    /// How long the way to the peer and back takes: the shortest of late, since a report may wait behind data.
    pub(crate) fn way_ms(&self) -> Option<u64> {
        self.ways.iter().copied().min()
    }

    pub(crate) fn estimate_ms(&self) -> Option<i64> {
        self.differences.iter().copied().max()
    }

    pub(crate) fn heard_ms(&self) -> u64 {
        self.heard_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_there_and_back_is_what_passed_less_what_was_held() {
        let (mut here, mut there) = (Skew::default(), Skew::default());
        // The clocks are 5 s apart, the way takes 40 ms each way, and the peer holds the reading for 100 ms.
        there.heard(1_000, 6_040);
        here.came_back(there.echo(6_140), 1_180);
        assert_eq!(here.way_ms(), Some(80));
        here.came_back(there.echo(6_140), 900);
        assert_eq!(here.way_ms(), Some(80), "a clock that stepped back says nothing");
    }

    #[test]
    fn the_age_is_that_of_the_oldest_write_not_acknowledged() {
        let mut times = OwnTimes::default();
        assert_eq!(times.age_ms(0, 500), 0, "nothing was written");
        times.wrote(2, 200);
        times.wrote(3, 300);
        assert_eq!(times.age_ms(0, 500), 300);
        assert_eq!(times.age_ms(2, 500), 200);
        assert_eq!(times.age_ms(3, 500), 0);
    }

    #[test]
    fn a_peer_cut_off_for_long_costs_bounded_memory() {
        let mut times = OwnTimes::default();
        for n in 1..100_000 {
            times.wrote(n, n);
            assert!(times.times.len() <= TIMES_MAX);
        }
        assert_eq!(times.age_ms(0, 100_000), 99_999);
        assert!(times.age_ms(50_000, 100_000) >= 49_999);
        assert_eq!(times.age_ms(99_999, 100_000), 0);
    }

    #[test]
    fn skew_is_the_best_of_the_last_readings() {
        let mut skew = Skew::default();
        skew.heard(1_050, 1_000);
        skew.heard(2_020, 2_000);
        assert_eq!(skew.estimate_ms(), Some(50));
        for n in 0..READINGS as u64 {
            skew.heard(900 + n, 1_000 + n);
        }
        assert_eq!(skew.estimate_ms(), Some(-100));
    }
}
