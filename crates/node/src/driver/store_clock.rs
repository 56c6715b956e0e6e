//! What the store's clock reads now: expiry is decided by it, and asking each time would cost a round trip.
//!
//! A reading that came back after a short round trip says best how far the two clocks are apart. Of the last readings
//! the one with the shortest is believed; between readings the node's monotonic clock counts on. What the store says
//! unasked (a commit that found a view expired) is a lower bound.

use std::collections::VecDeque;

/// How many readings are looked back on.
const READINGS: usize = 8;

/// An estimate of the store's clock.
#[derive(Debug, Default)]
pub(super) struct StoreClock {
    /// Round trip, and how far the store was ahead of our monotonic clock, both in milliseconds.
    readings: VecDeque<(u64, i64)>,
    ahead_ms: i64,
    known: bool,
}

impl StoreClock {
    /// A reading asked for at `asked_ms` and received at `received_ms`, both on the monotonic clock.
    pub(super) fn read(&mut self, store_ms: u64, asked_ms: u64, received_ms: u64) {
        let took_ms = received_ms.saturating_sub(asked_ms);
        let middle_ms = asked_ms + took_ms / 2;
        let ahead_ms = store_ms.wrapping_sub(middle_ms).cast_signed();
        if self.readings.len() >= READINGS {
            self.readings.pop_front();
        }
        self.readings.push_back((took_ms, ahead_ms));
        // Of equally good ones the latest: clocks drift, and are set.
        let best = self.readings.iter().rev().min_by_key(|(took, _)| *took);
        if let Some((_, ahead_ms)) = best {
            self.ahead_ms = *ahead_ms;
            self.known = true;
        }
    }

    /// The store's clock has passed this.
    pub(super) fn passed(&mut self, store_ms: u64, now_ms: u64) {
        let ahead_ms = store_ms.wrapping_sub(now_ms).cast_signed();
        if !self.known || ahead_ms > self.ahead_ms {
            self.readings.clear();
            self.ahead_ms = ahead_ms;
            self.known = true;
        }
    }

    /// Another server: what was read of the one before says nothing.
    pub(super) fn forget(&mut self) {
        self.readings.clear();
        self.known = false;
    }

    /// Now, Unix milliseconds; the node's wall clock until something was read.
    pub(super) fn now_ms(&self, monotonic_ms: u64, wall_ms: u64) -> u64 {
        if self.known {
            monotonic_ms.wrapping_add_signed(self.ahead_ms)
        } else {
            wall_ms
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shortest_round_trip_is_believed() {
        let mut clock = StoreClock::default();
        assert_eq!(clock.now_ms(5, 777), 777);
        clock.read(10_000, 0, 10);
        assert_eq!(clock.now_ms(5, 777), 10_000);
        clock.read(10_500, 100, 500);
        assert_eq!(clock.now_ms(105, 777), 10_100, "400 ms tell less than 10");
        clock.read(20_000, 600, 602);
        assert_eq!(clock.now_ms(601, 777), 20_000);
    }

    #[test]
    fn what_the_store_says_unasked_moves_it_forward_only() {
        let mut clock = StoreClock::default();
        clock.read(10_000, 0, 0);
        clock.passed(9_000, 0);
        assert_eq!(clock.now_ms(0, 0), 10_000);
        clock.passed(10_050, 10);
        assert_eq!(clock.now_ms(10, 0), 10_050);
    }
}
