//! Sorted sets: membership is add-wins, ZADD is last writer wins on the score, ZINCRBY adds up.

use std::collections::BTreeMap;

use cartograph_crdt::{ElementId, Score, Type, Value};
use cartograph_replica::Key;

use super::remove_named;
use crate::command::{End, Reply, ZAddFlags};
use crate::error::CommandError;
use crate::number::{ScoreError, zincr};
use crate::show;
use crate::writer::{Shown, Stop, Writer};

/// A member with its score before it.
pub(super) type Ranked = (f64, Vec<u8>);

/// A score as Redis reads it back: of a small sorted set, without the sign of a zero.
fn read(score: Score) -> f64 {
    score.get() + 0.0
}

pub(super) fn score(
    w: &mut Writer<'_>,
    key: &[u8],
    shown: Option<Shown>,
    id: &ElementId,
) -> Result<Option<f64>, Stop> {
    if shown.is_none() {
        return Ok(None);
    }
    Ok(w.element(key, id)?.and_then(show::score).map(read))
}

/// All members with their scores, ascending by score, then by member.
pub(super) fn ranked(w: &mut Writer<'_>, key: &[u8]) -> Result<Vec<Ranked>, Stop> {
    if w.look_typed(key, Type::SortedSet)?.is_none() {
        return Ok(Vec::new());
    }
    let live = w.whole(key)?.live(Type::SortedSet);
    let all = live.filter_map(|(id, e)| Some((read(show::score(e)?), id.name.clone())));
    Ok(in_order(all.collect()))
}

/// Ascending by score, then by member.
pub(super) fn in_order(mut all: Vec<Ranked>) -> Vec<Ranked> {
    // No score is a NaN; adding 0 makes -0 equal to 0, as Redis compares them.
    all.sort_by(|a, b| (a.0 + 0.0).total_cmp(&(b.0 + 0.0)).then_with(|| a.1.cmp(&b.1)));
    all
}

pub(super) fn with_scores(ranked: Vec<Ranked>) -> Reply {
    let pair = |(score, member)| [Reply::Bytes(member), Reply::Double(score)];
    Reply::Array(ranked.into_iter().flat_map(pair).collect())
}

/// ZSCORE.
pub(super) fn zscore(w: &mut Writer<'_>, key: &[u8], member: &[u8]) -> Result<Reply, Stop> {
    let shown = w.look_typed(key, Type::SortedSet)?;
    let score = score(w, key, shown, &ElementId::scored(member))?;
    Ok(score.map_or(Reply::Nil, Reply::Double))
}

/// ZRANGE 0 -1 WITHSCORES: members and scores in turn.
pub(super) fn zrange(w: &mut Writer<'_>, key: &[u8]) -> Result<Reply, Stop> {
    Ok(with_scores(ranked(w, key)?))
}

/// ZADD without INCR. What its conditions refuse has no effect; a score that is equal already has.
pub(super) fn zadd(
    w: &mut Writer<'_>,
    key: &[u8],
    flags: ZAddFlags,
    pairs: &[(f64, Vec<u8>)],
) -> Result<Reply, Stop> {
    check_flags(flags)?;
    let mut scores = Vec::with_capacity(pairs.len());
    for (new, member) in pairs {
        let new = Score::new(*new).ok_or(CommandError::NotAFloat)?;
        scores.push((ElementId::scored(member), new));
    }
    let shown = w.look_typed(key, Type::SortedSet)?;
    if shown.is_some() {
        let ids: Vec<ElementId> = scores.iter().map(|(id, _)| id.clone()).collect();
        w.need(key, &ids)?;
    }
    // A member named twice meets what the first naming left.
    let mut now: BTreeMap<ElementId, Option<f64>> = BTreeMap::new();
    for (id, _) in &scores {
        now.insert(id.clone(), score(w, key, shown, id)?);
    }
    let (mut added, mut changed, mut todo) = (0, 0, Vec::new());
    for (id, new) in scores {
        let old = now.get(&id).copied().flatten();
        if !passes(flags, old, new.get()) {
            continue;
        }
        added += usize::from(old.is_none());
        changed += usize::from(old.is_none_or(|old| old < new.get() || old > new.get()));
        // An equal score changes nothing of what is shown: not even the sign of a zero.
        let equal = old.filter(|old| *old <= new.get() && *old >= new.get());
        let new = equal.and_then(Score::new).unwrap_or(new);
        now.insert(id.clone(), Some(new.get()));
        todo.push((id, new));
    }
    if !todo.is_empty() {
        w.ready(key, shown, Type::SortedSet)?;
    }
    for (id, new) in todo {
        w.assign(key, id, Value::Score(new))?;
    }
    Ok(Reply::count(if flags.ch { changed } else { added }))
}

fn check_flags(flags: ZAddFlags) -> Result<(), Stop> {
    let clash = (flags.nx && (flags.xx || flags.gt || flags.lt)) || (flags.gt && flags.lt);
    if clash {
        return Err(CommandError::IncompatibleFlags.into());
    }
    Ok(())
}

/// May a member with score `old` (`None`: absent) get the score `new`?
fn passes(flags: ZAddFlags, old: Option<f64>, new: f64) -> bool {
    match old {
        None => !flags.xx,
        Some(old) => !flags.nx && (!flags.gt || new > old) && (!flags.lt || new < old),
    }
}

/// ZINCRBY and ZADD INCR: the new score, or nil where a condition refuses.
pub(super) fn zincrby(
    w: &mut Writer<'_>,
    key: &[u8],
    flags: ZAddFlags,
    by: f64,
    member: &[u8],
) -> Result<Reply, Stop> {
    check_flags(flags)?;
    let shown = w.look_typed(key, Type::SortedSet)?;
    let id = ElementId::scored(member);
    let old = score(w, key, shown, &id)?;
    if (flags.nx && old.is_some()) || (flags.xx && old.is_none()) {
        return Ok(Reply::Nil);
    }
    let (new, delta) = zincr(old, by).map_err(|error| match error {
        ScoreError::NotANumber => CommandError::ScoreNotANumber,
        ScoreError::NotFinite => CommandError::IncrementNotFinite,
    })?;
    if !passes(flags, old, new) {
        return Ok(Reply::Nil);
    }
    w.ready(key, shown, Type::SortedSet)?;
    if is_negative_zero(by) && old.is_none() {
        // A sum has no negative zero: it is written, which is all that this increment could do.
        w.assign(
            key,
            id,
            Value::Score(Score::new(by).ok_or(CommandError::NotAFloat)?),
        )?;
        return Ok(Reply::Double(by));
    }
    w.increment(key, id, delta)?;
    // Redis's own sum of the two doubles. Where several regions' digits go past what is shown, the exact sum can be
    // shown with another last digit.
    Ok(Reply::Double(new))
}

fn is_negative_zero(score: f64) -> bool {
    score.to_bits() == (-0.0_f64).to_bits()
}

/// ZREM.
pub(super) fn zrem(w: &mut Writer<'_>, key: &[u8], members: &[Vec<u8>]) -> Result<Reply, Stop> {
    remove_named(w, key, Type::SortedSet, members, ElementId::scored)
}

/// ZPOPMIN and ZPOPMAX: members and scores in turn.
pub(super) fn zpop(w: &mut Writer<'_>, key: &[u8], end: End, count: u64) -> Result<Reply, Stop> {
    let mut popped = ranked(w, key)?;
    match end {
        End::Min => {}
        End::Max => popped.reverse(),
    }
    popped.truncate(usize::try_from(count).unwrap_or(usize::MAX));
    w.remove(key, popped.iter().map(|(_, m)| ElementId::scored(m)))?;
    Ok(with_scores(popped))
}

/// ZMPOP: from the first key that shows anything; a key of another type before it is refused.
pub(super) fn zmpop(w: &mut Writer<'_>, keys: &[Key], end: End, count: u64) -> Result<Reply, Stop> {
    for key in keys {
        if w.look_typed(key, Type::SortedSet)?.is_some() {
            let popped = zpop(w, key, end, count)?;
            return Ok(Reply::Array(vec![Reply::Bytes(key.clone()), popped]));
        }
    }
    Ok(Reply::Nil)
}
