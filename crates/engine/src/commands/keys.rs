//! Commands on keys of any type.

use cartograph_crdt::{Effect, Element, ElementId, Type, Value};
use cartograph_replica::Key;

use super::instant;
use crate::command::{ExpireFlags, Reply, When};
use crate::error::CommandError;
use crate::show;
use crate::writer::{Shown, Stop, Writer};

/// DEL: a key that shows nothing is not there, and nothing of it is removed.
pub(super) fn del(w: &mut Writer<'_>, keys: &[Key]) -> Result<Reply, Stop> {
    let mut count = 0;
    for key in keys {
        if let Some(shown) = w.look(key)? {
            w.drop_key(key, shown)?;
            count += 1;
        }
    }
    Ok(Reply::count(count))
}

/// EXISTS: a key named twice counts twice.
pub(super) fn exists(w: &mut Writer<'_>, keys: &[Key]) -> Result<Reply, Stop> {
    let mut count = 0;
    for key in keys {
        count += usize::from(w.look(key)?.is_some());
    }
    Ok(Reply::count(count))
}

/// TYPE.
pub(super) fn type_of(w: &mut Writer<'_>, key: &[u8]) -> Result<Reply, Stop> {
    Ok(Reply::Simple(w.look(key)?.map_or("none", |s| s.ty.redis_name())))
}

/// PTTL.
pub(super) fn pttl(w: &mut Writer<'_>, key: &[u8]) -> Result<Reply, Stop> {
    let now = w.now_ms();
    Ok(Reply::Integer(match w.look(key)? {
        None => -2,
        Some(Shown { expiry: None, .. }) => -1,
        Some(Shown { expiry: Some(at), .. }) => i64::try_from(at.saturating_sub(now)).unwrap_or(i64::MAX),
    }))
}

/// PEXPIRETIME.
pub(super) fn pexpiretime(w: &mut Writer<'_>, key: &[u8]) -> Result<Reply, Stop> {
    Ok(Reply::Integer(match w.look(key)? {
        None => -2,
        Some(Shown { expiry: None, .. }) => -1,
        Some(Shown { expiry: Some(at), .. }) => i64::try_from(at).unwrap_or(i64::MAX),
    }))
}

/// What WATCH notes of each key.
pub(super) fn stamp(w: &mut Writer<'_>, keys: &[Key]) -> Result<Reply, Stop> {
    let stamps: Result<Vec<_>, Stop> = keys.iter().map(|key| w.stamp(key)).collect();
    Ok(Reply::Stamps(stamps?))
}

/// EXPIRE and its kin. An instant that has passed deletes.
pub(super) fn expire(w: &mut Writer<'_>, key: &[u8], when: When, flags: ExpireFlags) -> Result<Reply, Stop> {
    let at = instant(w, when).ok_or(CommandError::InvalidExpire { command: "expire" })?;
    let Some(shown) = w.look(key)? else {
        return Ok(Reply::Integer(0));
    };
    let has = shown.expiry.map(|at| i64::try_from(at).unwrap_or(i64::MAX));
    let refused = (flags.nx && has.is_some())
        || (flags.xx && has.is_none())
        || (flags.gt && has.is_none_or(|has| at <= has))
        || (flags.lt && has.is_some_and(|has| at >= has));
    if !refused {
        expire_at(w, key, shown, at)?;
    }
    Ok(Reply::flag(!refused))
}

/// The key expires at `at`, or is gone at once when that has passed.
pub(super) fn expire_at(w: &mut Writer<'_>, key: &[u8], shown: Shown, at: i64) -> Result<(), Stop> {
    match u64::try_from(at) {
        Ok(at) if at > w.now_ms() => w.expire(key, Some(at)),
        Ok(_) | Err(_) => w.drop_key(key, shown),
    }
}

/// PERSIST: on a key without an expiry it has its effect too, and beats an unseen EXPIRE.
pub(super) fn persist(w: &mut Writer<'_>, key: &[u8]) -> Result<Reply, Stop> {
    let Some(shown) = w.look(key)? else {
        return Ok(Reply::Integer(0));
    };
    w.expire(key, None)?;
    Ok(Reply::flag(shown.expiry.is_some()))
}

/// RENAME and RENAMENX.
pub(super) fn rename(
    w: &mut Writer<'_>,
    from: &[u8],
    to: &[u8],
    only_if_absent: bool,
) -> Result<Reply, Stop> {
    let shown = w.look(from)?.ok_or(CommandError::NoSuchKey)?;
    let done = if only_if_absent {
        Reply::Integer(1)
    } else {
        Reply::Ok
    };
    if from == to {
        return Ok(if only_if_absent { Reply::Integer(0) } else { done });
    }
    let old = w.look(to)?;
    if only_if_absent && old.is_some() {
        return Ok(Reply::Integer(0));
    }
    carry_over(w, from, shown, to, old)?;
    w.drop_key(from, shown)?;
    Ok(done)
}

/// COPY.
pub(super) fn copy(w: &mut Writer<'_>, from: &[u8], to: &[u8], replace: bool) -> Result<Reply, Stop> {
    if from == to {
        return Err(CommandError::SameObject.into());
    }
    let Some(shown) = w.look(from)? else {
        return Ok(Reply::Integer(0));
    };
    let old = w.look(to)?;
    if old.is_some() && !replace {
        return Ok(Reply::Integer(0));
    }
    carry_over(w, from, shown, to, old)?;
    Ok(Reply::Integer(1))
}

/// What of an element goes along to another key.
enum Carried {
    Value(Value),
    Member,
    Rank(u8),
}

/// `to` becomes what `from` shows, expiry included: one base an element, so that two regions that do the same do it
/// once. What another type or a loser of `from` holds stays behind.
fn carry_over(
    w: &mut Writer<'_>,
    from: &[u8],
    shown: Shown,
    to: &[u8],
    old: Option<Shown>,
) -> Result<(), Stop> {
    let carry = |(id, element): (&ElementId, &Element)| {
        let carried = match shown.ty {
            Type::Set => Carried::Member,
            Type::String | Type::Hash => Carried::Value(Value::Bytes(show::text(element)?.bytes)),
            Type::SortedSet => Carried::Value(Value::Score(show::score(element)?)),
            Type::HyperLogLog => match element {
                Element::Ranks(ranks) => Carried::Rank(ranks.rank()),
                Element::Member(_) | Element::Number(_) => return None,
            },
        };
        Some((id.clone(), carried))
    };
    let content: Vec<(ElementId, Carried)> = w.whole(from)?.live(shown.ty).filter_map(carry).collect();
    w.replace(to, old, shown.ty, Some(shown.expiry))?;
    for (id, carried) in content {
        match carried {
            Carried::Value(value) => w.assign(to, id, value)?,
            Carried::Member => w.add(to, id)?,
            Carried::Rank(rank) => {
                if let Some(register) = super::hyperloglog::register_of(&id) {
                    w.emit(to, Effect::AddRank { register, rank })?;
                }
            }
        }
    }
    Ok(())
}

/// CARTOGRAPH.REVOKE: also of a key that is absent here.
pub(super) fn revoke(w: &mut Writer<'_>, key: &[u8]) -> Result<Reply, Stop> {
    let there = w.look(key)?.is_some();
    w.emit(key, Effect::Revoke)?;
    Ok(Reply::flag(there))
}
