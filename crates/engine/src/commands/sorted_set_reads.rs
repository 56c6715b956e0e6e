//! Reads of sorted sets, ranges above all.

use cartograph_crdt::{ElementId, Type};

use super::collection_reads::pick;
use super::sorted_sets::{Ranked, ranked, score, with_scores};
use crate::command::Reply;
use crate::command::range::{LexRange, ScoreRange, Span, ZRange};
use crate::writer::{Stop, Writer};

/// Those of a sorted set's members (ascending) that are in the range, in its order.
pub(super) fn select(mut all: Vec<Ranked>, range: &ZRange) -> Vec<Ranked> {
    if range.reverse {
        all.reverse();
    }
    let mut found = match &range.span {
        Span::Ranks { start, stop } => return by_rank(all, *start, *stop),
        Span::Scores(scores) => {
            all.retain(|(score, _)| scores.passes_min(*score) && scores.passes_max(*score));
            all
        }
        Span::Members(members) => by_member(all, members, range.reverse),
    };
    if let Some((offset, count)) = range.limit {
        let Ok(offset) = usize::try_from(offset) else {
            return Vec::new();
        };
        found.drain(..offset.min(found.len()));
        if let Ok(count) = usize::try_from(count) {
            found.truncate(count);
        }
    }
    found
}

fn by_rank(mut all: Vec<Ranked>, start: i64, stop: i64) -> Vec<Ranked> {
    let length = i64::try_from(all.len()).unwrap_or(i64::MAX);
    let from_end = |at: i64| if at < 0 { at.saturating_add(length) } else { at };
    let (start, stop) = (from_end(start).max(0), from_end(stop).min(length - 1));
    let bounds = usize::try_from(start).ok().zip(usize::try_from(stop).ok());
    match bounds {
        Some((start, stop)) if start <= stop => {
            all.truncate(stop + 1);
            all.drain(..start.min(all.len()));
            all
        }
        Some(_) | None => Vec::new(),
    }
}

/// A range by member is meant for members of one score. Where scores differ, what is found is what Redis finds: it
/// goes on from the first that is inside of the near bound to the first that is outside of the far one.
fn by_member(all: Vec<Ranked>, range: &LexRange, reverse: bool) -> Vec<Ranked> {
    let near = |m: &[u8]| {
        if reverse {
            range.passes_max(m)
        } else {
            range.passes_min(m)
        }
    };
    let far = |m: &[u8]| {
        if reverse {
            range.passes_min(m)
        } else {
            range.passes_max(m)
        }
    };
    let (first, last) = if reverse {
        (all.last(), all.first())
    } else {
        (all.first(), all.last())
    };
    let outside =
        first.is_none_or(|(_, m)| !range.passes_max(m)) || last.is_none_or(|(_, m)| !range.passes_min(m));
    if outside {
        return Vec::new();
    }
    let inside = all.into_iter().skip_while(|(_, m)| !near(m));
    inside.take_while(|(_, m)| far(m)).collect()
}

/// ZMSCORE.
pub(super) fn zmscore(w: &mut Writer<'_>, key: &[u8], members: &[Vec<u8>]) -> Result<Reply, Stop> {
    Ok(Reply::Array(
        scores(w, key, members)?
            .into_iter()
            .map(|score| score.map_or(Reply::Nil, Reply::Double))
            .collect(),
    ))
}

/// The scores of these members, where they are there.
pub(super) fn scores(w: &mut Writer<'_>, key: &[u8], members: &[Vec<u8>]) -> Result<Vec<Option<f64>>, Stop> {
    let shown = w.look_typed(key, Type::SortedSet)?;
    let ids: Vec<ElementId> = members.iter().map(|m| ElementId::scored(m)).collect();
    if shown.is_some() {
        w.need(key, &ids)?;
    }
    ids.iter().map(|id| score(w, key, shown, id)).collect()
}

/// ZRANK and ZREVRANK: the rank, with the score beside it if asked for; nil where there is none.
pub(super) fn zrank(
    w: &mut Writer<'_>,
    key: &[u8],
    member: &[u8],
    reverse: bool,
    with_score: bool,
) -> Result<Reply, Stop> {
    let mut all = ranked(w, key)?;
    if reverse {
        all.reverse();
    }
    let found = all.iter().enumerate().find(|(_, (_, m))| m == member);
    Ok(match found {
        None => Reply::Nil,
        Some((rank, (score, _))) if with_score => {
            Reply::Array(vec![Reply::count(rank), Reply::Double(*score)])
        }
        Some((rank, _)) => Reply::count(rank),
    })
}

/// ZCOUNT.
pub(super) fn zcount(w: &mut Writer<'_>, key: &[u8], range: ScoreRange) -> Result<Reply, Stop> {
    let range = ZRange {
        span: Span::Scores(range),
        reverse: false,
        limit: None,
    };
    Ok(Reply::count(select(ranked(w, key)?, &range).len()))
}

/// ZLEXCOUNT.
pub(super) fn zlexcount(w: &mut Writer<'_>, key: &[u8], range: &LexRange) -> Result<Reply, Stop> {
    Ok(Reply::count(by_member(ranked(w, key)?, range, false).len()))
}

/// ZRANGE in all its forms.
pub(super) fn zrange(w: &mut Writer<'_>, key: &[u8], range: &ZRange, scores: bool) -> Result<Reply, Stop> {
    Ok(listed(select(ranked(w, key)?, range), scores))
}

/// Members alone, or with their scores in turn.
pub(super) fn listed(found: Vec<Ranked>, scores: bool) -> Reply {
    if scores {
        return with_scores(found);
    }
    Reply::Array(found.into_iter().map(|(_, m)| Reply::Bytes(m)).collect())
}

/// ZRANDMEMBER.
pub(super) fn zrandmember(
    w: &mut Writer<'_>,
    key: &[u8],
    count: Option<i64>,
    with_scores: bool,
) -> Result<Reply, Stop> {
    let all = ranked(w, key)?;
    let picked = pick(w, all.len(), count.unwrap_or(1))?;
    let mut picked = picked.into_iter().filter_map(|at| all.get(at).cloned());
    if count.is_none() {
        return Ok(Reply::bytes(picked.next().map(|(_, member)| member)));
    }
    Ok(listed(picked.collect(), with_scores))
}
