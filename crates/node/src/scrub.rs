//! The scrub: compares views with their metadata all the time, slowly, and has what differs written anew.
//!
//! A commit notices damage to the view that it touches; a view that nobody writes to would stay broken. What the scrub
//! reads is bounded in keys a second, so that it never shows in anybody's latency.

use std::time::Duration;

use crate::digest::Place;
use crate::metrics::Metrics;

/// Keys looked at before a pause.
const PIECE: usize = 8;

/// After a page that could not be read, or an empty store.
const IDLE: Duration = Duration::from_secs(5);

/// Scrubs one shard until the task is aborted; `keys_per_second` is above 0.
pub(crate) async fn run(place: Place, keys_per_second: u32, metrics: std::sync::Arc<Metrics>) {
    let piece = u32::try_from(PIECE).unwrap_or(1);
    let pause = Duration::from_secs(1) * piece / keys_per_second.max(1);
    let mut cursor = Vec::new();
    loop {
        let Ok((keys, next)) = place.page(cursor.clone(), PIECE).await else {
            tokio::time::sleep(IDLE).await;
            continue;
        };
        for key in keys {
            if key.starts_with(cartograph_engine::writer::SYSTEM_PREFIX) {
                continue;
            }
            metrics.scrubbed();
            if matches!(place.is_whole(&key).await, Ok(false)) {
                place.shard.repair(key).await;
            }
        }
        let at_end = next.is_none();
        cursor = next.unwrap_or_default();
        tokio::time::sleep(if at_end { IDLE.max(pause) } else { pause }).await;
    }
}
