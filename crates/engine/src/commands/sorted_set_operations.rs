//! Unions, intersections and differences of sorted sets and sets, and what stores one sorted set into another.
//!
//! Doubles are added in Redis's order, smaller sources first, so that one region alone shows Redis's digits.

use std::collections::BTreeMap;

use cartograph_crdt::{ElementId, Score, Type, Value};
use cartograph_replica::Key;

use super::sets;
use super::sorted_set_reads::{listed, select};
use super::sorted_sets::{Ranked, in_order, ranked};
use crate::command::range::ZRange;
use crate::command::{Aggregate, Reply, SetOperation, ZOperation};
use crate::error::CommandError;
use crate::writer::{Shown, Stop, Writer};

/// The members of a sorted set with their scores, or of a set with a score of 1 each.
fn source(w: &mut Writer<'_>, key: &[u8]) -> Result<BTreeMap<Vec<u8>, f64>, Stop> {
    match w.look(key)? {
        None => Ok(BTreeMap::new()),
        Some(Shown { ty: Type::Set, .. }) => {
            Ok(sets::members(w, key)?.into_iter().map(|m| (m, 1.0)).collect())
        }
        Some(Shown {
            ty: Type::SortedSet, ..
        }) => Ok(ranked(w, key)?.into_iter().map(|(s, m)| (m, s)).collect()),
        Some(Shown {
            ty: Type::String | Type::Hash | Type::HyperLogLog,
            ..
        }) => Err(CommandError::WrongType.into()),
    }
}

/// A NaN (an infinity times zero, or less itself) counts as zero.
fn number(score: f64) -> f64 {
    if score.is_nan() { 0.0 } else { score }
}

fn aggregate(a: f64, b: f64, how: Aggregate) -> f64 {
    match how {
        Aggregate::Sum => number(a + b),
        Aggregate::Min if b < a => b,
        Aggregate::Max if b > a => b,
        Aggregate::Min | Aggregate::Max => a,
    }
}

/// What the operation finds, ascending.
fn found(w: &mut Writer<'_>, operation: &ZOperation) -> Result<Vec<Ranked>, Stop> {
    let mut sources = Vec::with_capacity(operation.sources.len());
    for (key, weight) in &operation.sources {
        sources.push((source(w, key)?, *weight));
    }
    match operation.operation {
        SetOperation::Difference => {}
        SetOperation::Union | SetOperation::Intersection => sources.sort_by_key(|(members, _)| members.len()),
    }
    let mut sources = sources.into_iter();
    let Some((first, weight)) = sources.next() else {
        return Ok(Vec::new());
    };
    let how = operation.aggregate;
    let weighted = |members: BTreeMap<Vec<u8>, f64>, weight: f64| -> BTreeMap<Vec<u8>, f64> {
        members.into_iter().map(|(m, s)| (m, weight * s)).collect()
    };
    let result = match operation.operation {
        SetOperation::Difference => sources.fold(first, |mut left, (others, _)| {
            left.retain(|m, _| !others.contains_key(m));
            left
        }),
        SetOperation::Union => {
            let mut all: BTreeMap<Vec<u8>, f64> = BTreeMap::new();
            for (members, weight) in std::iter::once((first, weight)).chain(sources) {
                for (member, score) in weighted(members, weight) {
                    let score = number(score);
                    all.entry(member)
                        .and_modify(|old| *old = aggregate(*old, score, how))
                        .or_insert(score);
                }
            }
            all
        }
        SetOperation::Intersection => {
            let mut left = weighted(first, weight);
            for score in left.values_mut() {
                *score = number(*score);
            }
            for (members, weight) in sources {
                left.retain(|member, score| match members.get(member) {
                    Some(other) => {
                        *score = aggregate(*score, other * weight, how);
                        true
                    }
                    None => false,
                });
            }
            left
        }
    };
    Ok(in_order(result.into_iter().map(|(m, s)| (s, m)).collect()))
}

/// ZUNION, ZINTER and ZDIFF.
pub(super) fn read(w: &mut Writer<'_>, operation: &ZOperation, scores: bool) -> Result<Reply, Stop> {
    Ok(listed(found(w, operation)?, scores))
}

/// ZINTERCARD: a limit of 0 is none.
pub(super) fn intercard(w: &mut Writer<'_>, keys: &[Key], limit: u64) -> Result<Reply, Stop> {
    let operation = ZOperation {
        operation: SetOperation::Intersection,
        sources: keys.iter().map(|k| (k.clone(), 1.0)).collect(),
        aggregate: Aggregate::Sum,
    };
    Ok(limited(found(w, &operation)?.len(), limit))
}

/// SINTERCARD: the same of sets alone.
pub(super) fn sintercard(w: &mut Writer<'_>, keys: &[Key], limit: u64) -> Result<Reply, Stop> {
    let found = sets::combined(w, SetOperation::Intersection, keys)?;
    Ok(limited(found.len(), limit))
}

fn limited(count: usize, limit: u64) -> Reply {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    Reply::count(if limit == 0 { count } else { count.min(limit) })
}

/// ZUNIONSTORE, ZINTERSTORE and ZDIFFSTORE.
pub(super) fn store(w: &mut Writer<'_>, to: &[u8], operation: &ZOperation) -> Result<Reply, Stop> {
    let found = found(w, operation)?;
    become_sorted_set(w, to, found)
}

/// ZRANGESTORE.
pub(super) fn range_store(w: &mut Writer<'_>, to: &[u8], from: &[u8], range: &ZRange) -> Result<Reply, Stop> {
    let found = select(ranked(w, from)?, range);
    become_sorted_set(w, to, found)
}

/// ZREMRANGEBYRANK, ZREMRANGEBYSCORE and ZREMRANGEBYLEX.
pub(super) fn remove_range(w: &mut Writer<'_>, key: &[u8], range: &ZRange) -> Result<Reply, Stop> {
    let gone = select(ranked(w, key)?, range);
    let count = gone.len();
    w.remove(key, gone.iter().map(|(_, m)| ElementId::scored(m)))?;
    Ok(Reply::count(count))
}

/// The key becomes a sorted set of these members; without any it is deleted. Replies with their number.
pub(super) fn become_sorted_set(w: &mut Writer<'_>, to: &[u8], members: Vec<Ranked>) -> Result<Reply, Stop> {
    let old = w.look(to)?;
    match old {
        Some(old) if members.is_empty() => w.drop_key(to, old)?,
        None if members.is_empty() => {}
        old => w.replace(to, old, Type::SortedSet, Some(None))?,
    }
    let count = members.len();
    for (score, member) in members {
        // No command above makes a NaN.
        let score = Score::new(number(score)).ok_or(CommandError::NotAFloat)?;
        w.assign(to, ElementId::scored(&member), Value::Score(score))?;
    }
    Ok(Reply::count(count))
}
