//! The one place of the command line that reads clocks and entropy.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// The monotonic clock, for measuring.
#[allow(
    clippy::disallowed_methods,
    reason = "the tools' own clock; everything else takes instants as arguments"
)]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// The wall clock, in milliseconds since 1970.
#[allow(
    clippy::disallowed_methods,
    reason = "the tools' own clock; everything else takes instants as arguments"
)]
pub(crate) fn unix_ms() -> u64 {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX)
}

/// A number that differs from run to run, for seeds and names; not for secrets.
pub(crate) fn fresh() -> u64 {
    let mut hasher = RandomState::new().build_hasher();
    hasher.write_u64(unix_ms());
    hasher.finish()
}
