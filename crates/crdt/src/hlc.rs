//! Hybrid logical clock: wall-clock milliseconds that never run backwards and always follow what was seen.
//!
//! Decides between concurrent writes only; causality never rests on it. A remote reading drags our clock along by at
//! most [`FOLLOW_MS_MAX`] past our own wall clock, so one region with a broken clock cannot take the others with it;
//! its entries are applied all the same. (Kulkarni et al., "Logical Physical Clocks", OPODIS 2014.)

use std::fmt;

use bincode::{Decode, Encode};

use crate::ids::{Dot, RegionId};

/// How far past our own wall clock we follow a remote reading, in milliseconds.
pub const FOLLOW_MS_MAX: u64 = 500;

/// One reading: milliseconds since the Unix epoch, then a counter within the millisecond.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct Hlc {
    /// Unix milliseconds.
    pub ms: u64,
    /// Counts readings within one millisecond.
    pub counter: u32,
}

impl Hlc {
    /// The reading `(ms, counter)`.
    pub fn new(ms: u64, counter: u32) -> Self {
        Hlc { ms, counter }
    }

    /// The next reading after this one, when the wall clock shows `wall_ms`: strictly greater, whatever the clock did.
    #[must_use]
    pub fn tick(self, wall_ms: u64) -> Hlc {
        if wall_ms > self.ms {
            Hlc::new(wall_ms, 0)
        } else if let Some(counter) = self.counter.checked_add(1) {
            Hlc::new(self.ms, counter)
        } else {
            Hlc::new(self.ms + 1, 0)
        }
    }

    /// Our clock after seeing `remote`: follows it, but not beyond `wall_ms` + [`FOLLOW_MS_MAX`].
    #[must_use]
    pub fn follow(self, remote: Hlc, wall_ms: u64) -> Hlc {
        let bound = Hlc::new(wall_ms.saturating_add(FOLLOW_MS_MAX), u32::MAX);
        self.max(remote.min(bound))
    }
}

impl fmt::Display for Hlc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.ms, self.counter)
    }
}

/// The order of two concurrent writes: the higher clock wins, on an equal clock the smaller region id, then the later
/// incarnation, then the later position (one replica's own writes are never concurrent; this makes the order total).
pub fn wins(a: (Hlc, &Dot), b: (Hlc, &Dot)) -> bool {
    fn rank(x: (Hlc, &Dot)) -> (Hlc, std::cmp::Reverse<RegionId>, u64, crate::ids::Position) {
        let replica = x.1.replica;
        (
            x.0,
            std::cmp::Reverse(replica.region),
            replica.incarnation.0,
            x.1.position,
        )
    }
    rank(a) > rank(b)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{ReplicaId, Sequence};

    #[test]
    fn ticks_are_strictly_increasing_even_when_the_wall_clock_steps_back() {
        let mut clock = Hlc::default();
        for wall in [10, 10, 9, 11, 3, 3] {
            let next = clock.tick(wall);
            assert!(next > clock);
            clock = next;
        }
        assert_eq!(Hlc::new(7, u32::MAX).tick(7), Hlc::new(8, 0));
    }

    #[test]
    fn a_remote_clock_is_followed_only_within_the_bound() {
        let clock = Hlc::new(1_000, 3);
        assert_eq!(clock.follow(Hlc::new(1_200, 1), 1_000), Hlc::new(1_200, 1));
        assert_eq!(clock.follow(Hlc::new(999_999, 1), 1_000).ms, 1_500);
        assert_eq!(clock.follow(Hlc::new(10, 1), 1_000), clock);
    }

    #[test]
    fn on_an_equal_clock_the_smaller_region_wins_then_the_later_life() {
        let h = Hlc::new(5, 0);
        let dot = |region, life| Dot::new(ReplicaId::new(region, life), Sequence::FIRST, 0);
        assert!(wins((h, &dot(1, 1)), (h, &dot(2, 9))));
        assert!(wins((h, &dot(2, 9)), (h, &dot(2, 1))));
        assert!(wins((Hlc::new(6, 0), &dot(9, 1)), (h, &dot(1, 1))));
    }
}
