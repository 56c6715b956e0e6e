//! The scrub: compares views with their metadata all the time, slowly, and has what differs written anew.
//!
//! A commit notices damage to the view that it touches; a view that nobody writes to would stay broken. What the scrub
//! reads is bounded in keys a second, so that it never shows in anybody's latency.

use std::time::Duration;

use cartograph_engine::writer::SYSTEM_PREFIX;
use cartograph_replica::Key;

use crate::digest::Place;
use crate::doors::failure::Failure;
use crate::metrics::Metrics;

/// Keys looked at before a pause.
const PIECE: usize = 8;

/// After the last key, before the next round.
const IDLE: Duration = Duration::from_secs(5);

/// While the store or the shard does not answer.
const AGAIN: Duration = Duration::from_millis(500);

/// Scrubs one shard until the task is aborted; `keys_per_second` is above 0.
pub(crate) async fn run(place: Place, keys_per_second: u32, metrics: std::sync::Arc<Metrics>) {
    let piece = u32::try_from(PIECE).unwrap_or(1);
    let pause = Duration::from_secs(1) * piece / keys_per_second.max(1);
    let mut cursor = Vec::new();
    loop {
        let Ok((keys, next)) = piece_of(&place, cursor.clone(), &metrics).await else {
            tokio::time::sleep(AGAIN).await;
            continue;
        };
        for key in keys {
            place.shard.repair(key).await;
        }
        let at_end = next.is_none();
        cursor = next.unwrap_or_default();
        tokio::time::sleep(if at_end { IDLE.max(pause) } else { pause }).await;
    }
}

/// Looks at some keys; gives those whose view is not what it should be, and where to go on.
async fn piece_of(
    place: &Place,
    cursor: Vec<u8>,
    metrics: &Metrics,
) -> Result<(Vec<Key>, Option<Vec<u8>>), Failure> {
    let (keys, next) = place.page(cursor, PIECE).await?;
    let mut broken = Vec::new();
    for key in keys {
        if key.starts_with(SYSTEM_PREFIX) {
            continue;
        }
        if !place.is_whole(&key).await? {
            broken.push(key);
        }
        metrics.scrubbed();
    }
    Ok((broken, next))
}
