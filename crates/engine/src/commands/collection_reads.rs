//! Reads of hashes and sets, and what they share with those of sorted sets.

use cartograph_crdt::{ElementId, Type};
use cartograph_replica::Key;

use super::sets::members;
use super::{is_there, text};
use crate::command::Reply;
use crate::error::CommandError;
use crate::show;
use crate::writer::{Stop, Writer};

/// Elements in one random reply, at most: a negative count asks for so many, whatever the key holds.
const REPEATS_MAX: usize = 1_000_000;

/// The number of live elements of one type.
pub(super) fn cardinality(w: &mut Writer<'_>, key: &[u8], ty: Type) -> Result<Reply, Stop> {
    let shown = w.look_typed(key, ty)?;
    let count = shown.map_or(0, |s| s.cardinality);
    Ok(Reply::Integer(i64::try_from(count).unwrap_or(i64::MAX)))
}

/// Which of `length` elements a random command picks: each at most once for a positive count, any number of times for
/// a negative one.
pub(super) fn pick(w: &mut Writer<'_>, length: usize, count: i64) -> Result<Vec<usize>, Stop> {
    let wanted = usize::try_from(count.unsigned_abs()).unwrap_or(usize::MAX);
    if length == 0 {
        return Ok(Vec::new());
    }
    if count < 0 {
        if wanted > REPEATS_MAX {
            return Err(CommandError::TooManyRepeats.into());
        }
        return Ok((0..wanted).map(|_| w.random_below(length)).collect());
    }
    let mut left: Vec<usize> = (0..length).collect();
    let mut picked = Vec::new();
    while picked.len() < wanted && !left.is_empty() {
        picked.push(left.swap_remove(w.random_below(left.len())));
    }
    Ok(picked)
}

/// A field and its value.
type Field = (Vec<u8>, Vec<u8>);

/// All fields that the key shows, with their values, by field.
fn fields(w: &mut Writer<'_>, key: &[u8]) -> Result<Vec<Field>, Stop> {
    if w.look_typed(key, Type::Hash)?.is_none() {
        return Ok(Vec::new());
    }
    let live = w.whole(key)?.live(Type::Hash);
    Ok(live
        .filter_map(|(id, e)| Some((id.name.clone(), show::text(e)?.bytes)))
        .collect())
}

/// HMGET.
pub(super) fn hmget(w: &mut Writer<'_>, key: &[u8], names: &[Vec<u8>]) -> Result<Reply, Stop> {
    let shown = w.look_typed(key, Type::Hash)?;
    let ids: Vec<ElementId> = names.iter().map(|n| ElementId::field(n)).collect();
    if shown.is_some() {
        w.need(key, &ids)?;
    }
    let mut values = Vec::with_capacity(ids.len());
    for id in &ids {
        values.push(Reply::bytes(text(w, key, shown, id)?.map(|t| t.bytes)));
    }
    Ok(Reply::Array(values))
}

/// HKEYS.
pub(super) fn hkeys(w: &mut Writer<'_>, key: &[u8]) -> Result<Reply, Stop> {
    let fields = fields(w, key)?.into_iter();
    Ok(Reply::Array(fields.map(|(name, _)| Reply::Bytes(name)).collect()))
}

/// HVALS.
pub(super) fn hvals(w: &mut Writer<'_>, key: &[u8]) -> Result<Reply, Stop> {
    let fields = fields(w, key)?.into_iter();
    Ok(Reply::Array(
        fields.map(|(_, value)| Reply::Bytes(value)).collect(),
    ))
}

/// HEXISTS.
pub(super) fn hexists(w: &mut Writer<'_>, key: &[u8], field: &[u8]) -> Result<Reply, Stop> {
    let shown = w.look_typed(key, Type::Hash)?;
    Ok(Reply::flag(is_there(w, key, shown, &ElementId::field(field))?))
}

/// HSTRLEN.
pub(super) fn hstrlen(w: &mut Writer<'_>, key: &[u8], field: &[u8]) -> Result<Reply, Stop> {
    let shown = w.look_typed(key, Type::Hash)?;
    let value = text(w, key, shown, &ElementId::field(field))?;
    Ok(Reply::count(value.map_or(0, |t| t.bytes.len())))
}

/// HRANDFIELD: with values, fields and values in turn.
pub(super) fn hrandfield(
    w: &mut Writer<'_>,
    key: &[u8],
    count: Option<i64>,
    values: bool,
) -> Result<Reply, Stop> {
    let fields = fields(w, key)?;
    let picked = pick(w, fields.len(), count.unwrap_or(1))?;
    let mut picked = picked.into_iter().filter_map(|at| fields.get(at));
    if count.is_none() {
        return Ok(Reply::bytes(picked.next().map(|(name, _)| name.clone())));
    }
    let mut replies = Vec::new();
    for (name, value) in picked {
        replies.push(Reply::Bytes(name.clone()));
        if values {
            replies.push(Reply::Bytes(value.clone()));
        }
    }
    Ok(Reply::Array(replies))
}

/// SMISMEMBER.
pub(super) fn smismember(w: &mut Writer<'_>, key: &[u8], names: &[Vec<u8>]) -> Result<Reply, Stop> {
    let shown = w.look_typed(key, Type::Set)?;
    let ids: Vec<ElementId> = names.iter().map(|n| ElementId::member(n)).collect();
    if shown.is_some() {
        w.need(key, &ids)?;
    }
    let mut flags = Vec::with_capacity(ids.len());
    for id in &ids {
        flags.push(Reply::flag(is_there(w, key, shown, id)?));
    }
    Ok(Reply::Array(flags))
}

/// SRANDMEMBER.
pub(super) fn srandmember(w: &mut Writer<'_>, key: &[u8], count: Option<i64>) -> Result<Reply, Stop> {
    let members = members(w, key)?;
    let picked = pick(w, members.len(), count.unwrap_or(1))?;
    let mut picked = picked.into_iter().filter_map(|at| members.get(at).cloned());
    Ok(match count {
        None => Reply::bytes(picked.next()),
        Some(_) => Reply::Array(picked.map(Reply::Bytes).collect()),
    })
}

/// What a command with a bad argument finds out first: a reply, or that it is the argument's turn.
pub(super) fn refuse(
    w: &mut Writer<'_>,
    keys: &[Key],
    types: &[Type],
    wrong_type: &CommandError,
    absent: Option<&Reply>,
) -> Result<Option<Reply>, Stop> {
    for key in keys {
        match (w.look(key)?, absent) {
            (Some(shown), _) if !types.is_empty() && !types.contains(&shown.ty) => {
                return Err(wrong_type.clone().into());
            }
            (None, Some(reply)) => return Ok(Some(reply.clone())),
            (Some(_), _) | (None, None) => {}
        }
    }
    Ok(None)
}

/// HSCAN, SSCAN and ZSCAN: everything that matches, names with values or scores in turn.
pub(super) fn scan(w: &mut Writer<'_>, key: &[u8], ty: Type, pattern: Option<&[u8]>) -> Result<Reply, Stop> {
    let mut replies = Vec::new();
    if w.look_typed(key, ty)?.is_some() {
        let matches = |name: &[u8]| pattern.is_none_or(|p| crate::pattern::matches(p, name));
        for (id, element) in w.whole(key)?.live(ty).filter(|(id, _)| matches(&id.name)) {
            replies.push(Reply::Bytes(id.name.clone()));
            match ty {
                Type::Hash => replies.push(Reply::bytes(show::text(element).map(|t| t.bytes))),
                Type::SortedSet => replies.extend(show::score(element).map(|s| Reply::Double(s.get()))),
                Type::String | Type::Set | Type::HyperLogLog => {}
            }
        }
    }
    Ok(Reply::Array(replies))
}
