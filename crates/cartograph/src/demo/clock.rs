//! The one place of the demo that reads a clock.

pub(crate) use crate::clock::unix_ms;

use tokio::time::Instant;

/// The monotonic clock.
#[expect(clippy::disallowed_methods, reason = "this is the demo's clock module")]
pub(crate) fn now() -> Instant {
    Instant::now()
}
