//! The end of a run: everything healed, every region agreeing, and every object read everywhere.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::history::{Object, Op, Outcome, View};
use super::workload::Shared;
use crate::clock;
use crate::demo::cluster::Demo;
use crate::demo::converged::{Target, Verdict, compare};

/// Between two comparisons.
const PAUSE: Duration = Duration::from_millis(200);
/// How often an object is asked for before its region counts as not answering.
const TRIES: usize = 20;
/// Reads under way at once in one region.
const AT_ONCE: usize = 8;

/// Waits until all regions hold the same by their views, for at most `limit`; says how long that took.
///
/// # Errors
/// The last comparison's differences, in words.
pub(super) async fn agree(demo: &Demo, limit: Duration) -> Result<Duration, String> {
    let started = clock::now();
    loop {
        let targets: Vec<Target> = demo
            .regions()
            .iter()
            .map(|region| Target {
                name: region.name.clone(),
                node: Ok(region.http()),
            })
            .collect();
        let verdict = compare(&demo.http, &targets, clock::unix_ms(), true).await;
        if verdict.converged {
            return Ok(started.elapsed());
        }
        if started.elapsed() > limit {
            return Err(differences(&verdict));
        }
        sleep(PAUSE).await;
    }
}

fn differences(verdict: &Verdict) -> String {
    let shown = verdict.diff.iter().take(10).map(|difference| {
        let values: Vec<String> = difference
            .values
            .iter()
            .map(|(region, value)| format!("{region} has {value}"))
            .collect();
        format!("{} {}: {}", difference.key, difference.field, values.join(", "))
    });
    let shown: Vec<String> = shown.collect();
    let more = verdict.diff.len().saturating_sub(shown.len());
    format!("{} ({more} more differences)", shown.join("; "))
}

/// Reads every object in every region.
///
/// # Errors
/// A region that does not answer, and what it said.
pub(super) async fn read_all(
    shared: &Shared,
    objects: &BTreeSet<Object>,
) -> Result<Vec<BTreeMap<Object, View>>, String> {
    let mut reading = JoinSet::new();
    for region in 0..shared.doors.len() {
        let room = Arc::new(Semaphore::new(AT_ONCE));
        for object in objects.iter().copied() {
            let (shared, room) = (shared.clone(), Arc::clone(&room));
            reading.spawn(async move {
                let _room = room.acquire().await;
                (region, object, read(&shared, region, object).await)
            });
        }
    }
    let mut finals = vec![BTreeMap::new(); shared.doors.len()];
    while let Some(done) = reading.join_next().await {
        let (region, object, view) = done.map_err(|error| format!("a task failed: {error}"))?;
        let view = view.map_err(|why| format!("{object} cannot be read in region {}: {why}", region + 1))?;
        if let Some(views) = finals.get_mut(region) {
            views.insert(object, view);
        }
    }
    Ok(finals)
}

async fn read(shared: &Shared, region: usize, object: Object) -> Result<View, String> {
    let door = shared
        .doors
        .get(region)
        .and_then(|doors| doors.iter().find(|door| door.takes(object)))
        .ok_or("there is no door for it")?;
    let mut last = String::new();
    for _ in 0..TRIES {
        match door.perform(object, Op::Read, None).await.outcome {
            Outcome::Ok(Some(view)) => return Ok(view),
            Outcome::Failed(why) | Outcome::Unknown(why) => last = why,
            Outcome::Ok(None) | Outcome::Removed(_) => "it shows nothing".clone_into(&mut last),
        }
        sleep(PAUSE).await;
    }
    Err(last)
}
