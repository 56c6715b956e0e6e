//! Sets: add wins.

use std::collections::BTreeSet;

use cartograph_crdt::{ElementId, Type};
use cartograph_replica::Key;

use super::{is_there, remove_named, those_there};
use crate::command::{Reply, SetOperation};
use crate::writer::{Stop, Writer};

/// All members that the key shows, in order.
pub(super) fn members(w: &mut Writer<'_>, key: &[u8]) -> Result<Vec<Vec<u8>>, Stop> {
    if w.look_typed(key, Type::Set)?.is_none() {
        return Ok(Vec::new());
    }
    let live = w.whole(key)?.live(Type::Set);
    Ok(live.map(|(id, _)| id.name.clone()).collect())
}

fn array(members: impl IntoIterator<Item = Vec<u8>>) -> Reply {
    Reply::Array(members.into_iter().map(Reply::Bytes).collect())
}

/// SMEMBERS.
pub(super) fn smembers(w: &mut Writer<'_>, key: &[u8]) -> Result<Reply, Stop> {
    Ok(array(members(w, key)?))
}

/// SISMEMBER.
pub(super) fn sismember(w: &mut Writer<'_>, key: &[u8], member: &[u8]) -> Result<Reply, Stop> {
    let shown = w.look_typed(key, Type::Set)?;
    Ok(Reply::flag(is_there(w, key, shown, &ElementId::member(member))?))
}

/// SCARD.
pub(super) fn scard(w: &mut Writer<'_>, key: &[u8]) -> Result<Reply, Stop> {
    super::collection_reads::cardinality(w, key, Type::Set)
}

/// SADD: the number of new members. Adding a present one has its effect too: it survives an unseen removal.
pub(super) fn sadd(w: &mut Writer<'_>, key: &[u8], names: &[Vec<u8>]) -> Result<Reply, Stop> {
    let shown = w.look_typed(key, Type::Set)?;
    let there = those_there(w, key, shown, names, ElementId::member)?.len();
    let distinct: BTreeSet<&Vec<u8>> = names.iter().collect();
    let count = distinct.len() - there;
    w.ready(key, shown, Type::Set)?;
    for name in distinct {
        w.add(key, ElementId::member(name))?;
    }
    Ok(Reply::count(count))
}

/// SREM.
pub(super) fn srem(w: &mut Writer<'_>, key: &[u8], names: &[Vec<u8>]) -> Result<Reply, Stop> {
    remove_named(w, key, Type::Set, names, ElementId::member)
}

/// SPOP: members by chance, each once.
pub(super) fn spop(w: &mut Writer<'_>, key: &[u8], count: Option<u64>) -> Result<Reply, Stop> {
    let mut left = members(w, key)?;
    let wanted = usize::try_from(count.unwrap_or(1)).unwrap_or(usize::MAX);
    let mut popped = Vec::new();
    while popped.len() < wanted && !left.is_empty() {
        popped.push(left.swap_remove(w.random_below(left.len())));
    }
    w.remove(key, popped.iter().map(|m| ElementId::member(m)))?;
    Ok(match count {
        Some(_) => array(popped),
        None => Reply::bytes(popped.pop()),
    })
}

/// SMOVE: an absent source is answered before the destination's type is looked at, as in Redis.
pub(super) fn smove(w: &mut Writer<'_>, from: &[u8], to: &[u8], member: &[u8]) -> Result<Reply, Stop> {
    let source = w.look_typed(from, Type::Set);
    if matches!(source, Ok(None)) {
        return Ok(Reply::Integer(0));
    }
    let source = source?;
    let target = w.look_typed(to, Type::Set)?;
    let id = ElementId::member(member);
    if !is_there(w, from, source, &id)? {
        return Ok(Reply::Integer(0));
    }
    if from != to {
        w.ready(to, target, Type::Set)?;
        w.remove(from, [id.clone()])?;
        w.add(to, id)?;
    }
    Ok(Reply::Integer(1))
}

/// SUNION, SINTER and SDIFF.
pub(super) fn combined(
    w: &mut Writer<'_>,
    operation: SetOperation,
    keys: &[Key],
) -> Result<BTreeSet<Vec<u8>>, Stop> {
    let mut result: Option<BTreeSet<Vec<u8>>> = None;
    for key in keys {
        let set: BTreeSet<Vec<u8>> = members(w, key)?.into_iter().collect();
        result = Some(match (result, operation) {
            (None, SetOperation::Union | SetOperation::Intersection | SetOperation::Difference) => set,
            (Some(all), SetOperation::Union) => all.into_iter().chain(set).collect(),
            (Some(all), SetOperation::Intersection) => all.into_iter().filter(|m| set.contains(m)).collect(),
            (Some(all), SetOperation::Difference) => all.into_iter().filter(|m| !set.contains(m)).collect(),
        });
    }
    Ok(result.unwrap_or_default())
}

/// The same as a reply.
pub(super) fn read(w: &mut Writer<'_>, operation: SetOperation, keys: &[Key]) -> Result<Reply, Stop> {
    Ok(array(combined(w, operation, keys)?))
}

/// SUNIONSTORE, SINTERSTORE and SDIFFSTORE: the number of members stored; an empty result deletes the destination.
pub(super) fn store(
    w: &mut Writer<'_>,
    operation: SetOperation,
    to: &[u8],
    keys: &[Key],
) -> Result<Reply, Stop> {
    let result = combined(w, operation, keys)?;
    let old = w.look(to)?;
    match old {
        Some(old) if result.is_empty() => w.drop_key(to, old)?,
        None if result.is_empty() => {}
        old => w.replace(to, old, Type::Set, Some(None))?,
    }
    let count = result.len();
    for member in result {
        w.add(to, ElementId::member(&member))?;
    }
    Ok(Reply::count(count))
}
