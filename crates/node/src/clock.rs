//! The only place that reads clocks. Everything else is given readings.

use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The node's wall clock, Unix milliseconds.
#[expect(clippy::disallowed_methods, reason = "this is the node's clock module")]
pub fn wall_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// A clock that never steps, milliseconds since the process first asked.
pub fn monotonic_ms() -> u64 {
    u64::try_from(elapsed().as_millis()).unwrap_or(u64::MAX)
}

/// The same clock, as exact as it goes: for measuring how long something took.
#[expect(clippy::disallowed_methods, reason = "this is the node's clock module")]
pub fn elapsed() -> Duration {
    static ORIGIN: OnceLock<Instant> = OnceLock::new();
    ORIGIN.get_or_init(Instant::now).elapsed()
}
