//! What may be lost when a store is wiped or set back.
//!
//! A write is acknowledged when it is in its own region's store; other regions have it a moment later. A store that is
//! emptied takes with it what nobody else had yet, and no product of this kind can promise otherwise. It does promise
//! everything that another region had, so the question is answered for each operation and each loss: is there a region
//! whose store was spared and that had provably applied the operation before the loss?
//!
//! Proofs are vectors. A region that answers `/v1/status` after it has acknowledged an operation counts the operation in
//! its own vector; another region whose vector covers the own part of that one has the operation, too.

use super::super::history::{Event, History, Instant, Loss, Sample};

/// What became of an operation, as far as can be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It must be there.
    Must,
    /// It may be there: its outcome is unknown, or it was lost with a store before others provably had it.
    May,
    /// It must not be there.
    Never,
}

/// The fate of a write.
pub(crate) fn fate(history: &History, event: &Event) -> Fate {
    use super::super::history::Outcome;
    match &event.outcome {
        Outcome::Ok(_) | Outcome::Removed(_) if is_at_risk(history, event) => Fate::May,
        Outcome::Ok(_) | Outcome::Removed(_) => Fate::Must,
        Outcome::Unknown(_) => Fate::May,
        Outcome::Failed(_) => Fate::Never,
    }
}

/// Whether some loss may have taken this acknowledged operation with it.
pub(crate) fn is_at_risk(history: &History, event: &Event) -> bool {
    history
        .losses
        .iter()
        .filter(|loss| event.start < loss.end)
        .any(|loss| !survives(history, event, loss))
}

/// Whether a spared store, or the copy that came back, had it.
fn survives(history: &History, event: &Event, loss: &Loss) -> bool {
    let copied = loss.region == event.region
        && loss
            .kept_until
            .is_some_and(|kept| event.end <= kept && !history.lost_between(event.region, event.start, kept));
    copied
        || (0..history.regions.len())
            .filter(|region| *region != loss.region)
            .any(|region| holds(history, region, event, loss.start))
}

/// Whether a region provably had it at an instant.
fn holds(history: &History, region: usize, event: &Event, at: Instant) -> bool {
    if region == event.region && !history.lost_between(region, event.start, at) {
        return true;
    }
    let Some(proof) = proof(history, event) else {
        return false;
    };
    let own = history.region_ids.get(event.region).copied().unwrap_or_default();
    let spared_since = history
        .losses
        .iter()
        .filter(|loss| loss.region == region && loss.start < at)
        .map(|loss| loss.end)
        .max()
        .unwrap_or(0);
    let samples = history.samples.get(region).map_or(&[][..], Vec::as_slice);
    let last = samples
        .iter()
        .rev()
        .find(|sample| sample.end <= at)
        .filter(|sample| sample.start >= spared_since);
    last.is_some_and(|last| covers(last, proof, own))
}

/// The first thing that the operation's own region said of itself after acknowledging it, before any loss of its own.
fn proof<'a>(history: &'a History, event: &Event) -> Option<&'a Sample> {
    let samples = history.samples.get(event.region)?;
    let first = samples.partition_point(|sample| sample.start < event.end);
    let sample = samples.get(first)?;
    (!history.lost_between(event.region, event.start, sample.end)).then_some(sample)
}

/// Whether `sample` has every entry of region `own` that `proof` has.
fn covers(sample: &Sample, proof: &Sample, own: u16) -> bool {
    let prefix = format!("{own}-");
    proof
        .vector
        .iter()
        .filter(|(replica, _)| replica.starts_with(&prefix))
        .all(|(replica, sequence)| sample.vector.get(replica).is_some_and(|had| had >= sequence))
}
