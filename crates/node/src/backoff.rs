//! Pauses between attempts to reach something: growing from 20 ms to a second, with jitter, so that a region's
//! connections do not all come back in the same instant.

use std::time::Duration;

const FIRST_MS: u64 = 20;
const LAST_MS: u64 = 1_000;

/// The next pause of a row of attempts.
#[derive(Clone, Debug, Default)]
pub(crate) struct Backoff {
    attempts: u32,
}

impl Backoff {
    /// How long to wait before the next attempt: at least half of 20 ms, 40, 80 ... to a second, at most all of it.
    pub(crate) fn next_pause(&mut self) -> Duration {
        let full_ms = FIRST_MS.saturating_mul(1 << self.attempts.min(10)).min(LAST_MS);
        self.attempts = self.attempts.saturating_add(1);
        let half_ms = full_ms / 2;
        Duration::from_millis(half_ms + crate::seed::random() % half_ms.max(1))
    }

    /// It worked: the next pause is a short one.
    pub(crate) fn reset(&mut self) {
        self.attempts = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_second_and_no_further() {
        let mut backoff = Backoff::default();
        assert!(backoff.next_pause() <= Duration::from_millis(20));
        let pauses: Vec<_> = (0..100).map(|_| backoff.next_pause()).collect();
        assert!(pauses.iter().all(|p| *p <= Duration::from_secs(1)));
        assert!(pauses.last() >= Some(&Duration::from_millis(500)));
        backoff.reset();
        assert!(backoff.next_pause() <= Duration::from_millis(20));
    }
}
