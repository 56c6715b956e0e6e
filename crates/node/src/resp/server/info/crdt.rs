//! `# Crdt`: what no Redis has. Who we are, what we have applied, how far the others are behind, what had to be decided.

use std::fmt::Write as _;
use std::sync::PoisonError;
use std::time::Duration;

use cartograph_crdt::VersionVector;
use cartograph_engine::ShardStatus;
use cartograph_replica::{BatchId, Load, Loaded};

use super::super::super::context::Context;
use super::Section;
use crate::clock;

/// How long a count of garbage is good for.
const GARBAGE_FRESH: Duration = Duration::from_secs(5);

/// How far garbage is counted, a shard.
const GARBAGE_COUNTED_MAX: usize = 1_000;

/// How long the store may take to list it.
const GARBAGE_WAIT_MAX: Duration = Duration::from_secs(1);

pub(super) async fn write(context: &Context, out: &mut Section<'_>) {
    let doors = &context.doors;
    let region = &doors.config.region;
    out.line("crdt_region", &region.name);
    out.line("crdt_region_id", region.id.0);
    out.line("crdt_cluster", &doors.config.cluster.name);
    let Ok(statuses) = doors.statuses().await else {
        out.line("crdt_ready", 0);
        return;
    };
    let writable = statuses.iter().all(|s| s.store_up && s.not_writable.is_none());
    let sum = |field: fn(&ShardStatus) -> u64| statuses.iter().map(field).sum::<u64>();
    out.line("crdt_ready", u8::from(writable));
    out.line("crdt_members", statuses.first().map_or(0, |s| s.members.len()));
    out.line("crdt_shards", statuses.len());
    for status in &statuses {
        let shard = status.shard.0;
        out.line(&format!("crdt_shard{shard}_replica"), status.replica);
        out.line(
            &format!("crdt_shard{shard}_version_vector"),
            vector(&status.vector),
        );
    }
    out.line("crdt_log_entries", sum(|s| s.log_entries));
    out.line("crdt_log_bytes", sum(|s| s.log_bytes));
    out.line("crdt_garbage_pending", garbage(context).await);
    out.line("crdt_keys", sum(|s| s.keys));
    out.line("crdt_commits", sum(|s| s.batch));
    out.line(
        "crdt_joining_snapshot",
        statuses.iter().filter(|s| s.joining).count(),
    );
    let counts = doors.metrics.counts();
    out.line("crdt_conflicts", counts.conflicts);
    out.line("crdt_view_repairs", counts.view_repairs);
    out.line("crdt_expired_keys_purged", counts.expired_keys);
    peers(context, &statuses, out).await;
}

/// What waits for stability to be dropped, counted up to a thousand a shard, and that every few seconds at most.
async fn garbage(context: &Context) -> usize {
    let now = clock::elapsed();
    let last = &context.stats.garbage;
    let known = *last.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((at, count)) = known
        && now.saturating_sub(at) < GARBAGE_FRESH
    {
        return count;
    }
    let mut count = 0;
    for shard in &context.doors.shards {
        let load = Load::Garbage {
            until: BatchId(u64::MAX),
            count: GARBAGE_COUNTED_MAX,
        };
        let loaded = context.doors.store.load(shard.shard(), load);
        if let Ok(Ok(Loaded::Garbage(items))) = tokio::time::timeout(GARBAGE_WAIT_MAX, loaded).await {
            count += items.len();
        }
    }
    *last.lock().unwrap_or_else(PoisonError::into_inner) = Some((now, count));
    count
}

/// One line a region, in the form of Redis's own `slave0:`.
async fn peers(context: &Context, statuses: &[ShardStatus], out: &mut Section<'_>) {
    let names = context.doors.region_names().await;
    let Some(first) = statuses.first() else { return };
    let mut widest: Option<i64> = None;
    for (n, region) in first.peers.keys().enumerate() {
        let all = statuses.iter().filter_map(|s| s.peers.get(region));
        let (mut lag_ms, mut behind, mut queued, mut up) = (0, 0, 0, true);
        let mut skew = None;
        for peer in all {
            lag_ms = lag_ms.max(peer.lag_ms);
            behind += peer.entries_behind;
            queued += peer.queue_bytes;
            up &= peer.connected_out && peer.connected_in;
            skew = skew.or(peer.skew_ms);
        }
        let far = |s: i64| s.unsigned_abs();
        if skew.is_some_and(|s| widest.is_none_or(|w| far(s) > far(w))) {
            widest = skew;
        }
        let name = names.get(region).cloned().unwrap_or_else(|| region.to_string());
        let state = if up { "up" } else { "down" };
        let skew = skew.map_or_else(|| "unknown".to_owned(), |s| s.to_string());
        out.line(
            &format!("crdt_peer{n}"),
            format_args!(
                "region={name},id={region},state={state},lag_ms={lag_ms},entries_behind={behind},queue_bytes={queued},\
                 clock_skew_ms={skew}"
            ),
        );
    }
    out.line("crdt_clock_skew_ms_max", widest.map_or(0, i64::unsigned_abs));
}

fn vector(vector: &VersionVector) -> String {
    vector
        .iter()
        .fold(String::new(), |mut text, (replica, sequence)| {
            if !text.is_empty() {
                text.push(',');
            }
            let _ = write!(text, "{replica}={sequence}");
            text
        })
}
