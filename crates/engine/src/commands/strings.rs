//! Commands that read or overwrite a string's whole value: last writer wins.

use cartograph_crdt::{ElementId, Type, Value};
use cartograph_replica::Key;
use cartograph_replica::entry::ENTRY_BYTES_MAX;

use super::keys::{expire_at, persist};
use super::{instant, positive_instant, text};
use crate::command::{Condition, Reply, SetExpiry, When};
use crate::error::CommandError;
use crate::writer::{Shown, Stop, Writer};

/// Redis's `proto-max-bulk-len`, its longest string in bytes.
pub(super) const STRING_BYTES_MAX: u64 = 512 << 20;

/// Refuses a string of this length before any memory is taken for it.
pub(super) fn check_length(bytes: u64) -> Result<usize, Stop> {
    if bytes > STRING_BYTES_MAX {
        return Err(CommandError::StringTooLong.into());
    }
    let limit = ENTRY_BYTES_MAX;
    match usize::try_from(bytes) {
        Ok(bytes) if bytes <= limit => Ok(bytes),
        Ok(bytes) => Err(CommandError::EntryTooLarge { bytes, limit }.into()),
        Err(_) => Err(CommandError::StringTooLong.into()),
    }
}

/// What the key shows, if that is a string. A HyperLogLog is one to Redis; here it is replicated by its registers, which
/// no command on strings may read or write in part.
pub(super) fn look_string(w: &mut Writer<'_>, key: &[u8]) -> Result<Option<Shown>, Stop> {
    match w.look(key)? {
        Some(Shown { ty: Type::String, .. }) | None => w.look(key),
        Some(Shown {
            ty: Type::HyperLogLog,
            ..
        }) => Err(CommandError::HyperLogLogAsString.into()),
        Some(Shown {
            ty: Type::Hash | Type::Set | Type::SortedSet,
            ..
        }) => Err(CommandError::WrongType.into()),
    }
}

pub(super) fn shown_bytes(
    w: &mut Writer<'_>,
    key: &[u8],
    shown: Option<Shown>,
) -> Result<Option<Vec<u8>>, Stop> {
    Ok(text(w, key, shown, &ElementId::string())?.map(|t| t.bytes))
}

/// The value is overwritten by a command that read it, or could have: the expiry stays.
pub(super) fn rewrite(
    w: &mut Writer<'_>,
    key: &[u8],
    shown: Option<Shown>,
    value: Vec<u8>,
) -> Result<(), Stop> {
    w.ready(key, shown, Type::String)?;
    w.assign(key, ElementId::string(), Value::Bytes(value))
}

/// The key becomes this string, whatever it was.
#[expect(
    clippy::option_option,
    reason = "an expiry, none, or the one it has: as `Writer::replace` takes it"
)]
pub(super) fn become_string(
    w: &mut Writer<'_>,
    key: &[u8],
    shown: Option<Shown>,
    value: &[u8],
    expiry: Option<Option<u64>>,
) -> Result<(), Stop> {
    w.replace(key, shown, Type::String, expiry)?;
    w.assign(key, ElementId::string(), Value::Bytes(value.to_vec()))
}

/// GET.
pub(super) fn get(w: &mut Writer<'_>, key: &[u8]) -> Result<Reply, Stop> {
    let shown = look_string(w, key)?;
    Ok(Reply::bytes(shown_bytes(w, key, shown)?))
}

/// SET with all its options; GETSET is SET GET, SETEX is SET EX, SETNX is SET NX.
pub(super) fn set(
    w: &mut Writer<'_>,
    key: &[u8],
    value: &[u8],
    expiry: SetExpiry,
    condition: Condition,
    get: bool,
) -> Result<Reply, Stop> {
    let expiry = match expiry {
        SetExpiry::Never => Some(None),
        SetExpiry::Keep => None,
        SetExpiry::Expires(when) => Some(Some(positive_instant(w, when, "set")?)),
    };
    let shown = if get { look_string(w, key)? } else { w.look(key)? };
    let old = if get {
        Some(Reply::bytes(shown_bytes(w, key, shown)?))
    } else {
        None
    };
    let refused = match condition {
        Condition::Always => false,
        Condition::IfAbsent => shown.is_some(),
        Condition::IfPresent => shown.is_none(),
    };
    if refused {
        return Ok(old.unwrap_or(Reply::Nil));
    }
    // KEEPTTL on what is not there: a new key, without an expiry.
    let expiry = if shown.is_none() {
        Some(expiry.flatten())
    } else {
        expiry
    };
    become_string(w, key, shown, value, expiry)?;
    Ok(old.unwrap_or(Reply::Ok))
}

/// MSET and MSETNX.
pub(super) fn mset(
    w: &mut Writer<'_>,
    pairs: &[(Key, Vec<u8>)],
    only_if_absent: bool,
) -> Result<Reply, Stop> {
    if only_if_absent {
        for (key, _) in pairs {
            if w.look(key)?.is_some() {
                return Ok(Reply::Integer(0));
            }
        }
    }
    for (key, value) in pairs {
        let shown = w.look(key)?;
        become_string(w, key, shown, value, Some(None))?;
    }
    Ok(if only_if_absent {
        Reply::Integer(1)
    } else {
        Reply::Ok
    })
}

/// GETDEL.
pub(super) fn getdel(w: &mut Writer<'_>, key: &[u8]) -> Result<Reply, Stop> {
    let shown = look_string(w, key)?;
    let old = shown_bytes(w, key, shown)?;
    if let Some(shown) = shown {
        w.drop_key(key, shown)?;
    }
    Ok(Reply::bytes(old))
}

/// GETEX.
#[expect(
    clippy::option_option,
    reason = "an expiry, none, or left alone: as the command has it"
)]
pub(super) fn getex(w: &mut Writer<'_>, key: &[u8], expiry: Option<Option<When>>) -> Result<Reply, Stop> {
    let Some(shown) = look_string(w, key)? else {
        return Ok(Reply::Nil);
    };
    let value = shown_bytes(w, key, Some(shown))?;
    match expiry {
        None => {}
        Some(None) => {
            persist(w, key)?;
        }
        Some(Some(when)) => {
            positive_instant(w, when, "getex")?;
            let at = instant(w, when).ok_or(CommandError::InvalidExpire { command: "getex" })?;
            expire_at(w, key, shown, at)?;
        }
    }
    Ok(Reply::bytes(value))
}

/// APPEND.
pub(super) fn append(w: &mut Writer<'_>, key: &[u8], value: &[u8]) -> Result<Reply, Stop> {
    let shown = look_string(w, key)?;
    let mut bytes = shown_bytes(w, key, shown)?.unwrap_or_default();
    check_length((bytes.len() as u64).saturating_add(value.len() as u64))?;
    bytes.extend_from_slice(value);
    let length = bytes.len();
    rewrite(w, key, shown, bytes)?;
    Ok(Reply::count(length))
}

/// SETRANGE: writing nothing changes nothing.
pub(super) fn setrange(w: &mut Writer<'_>, key: &[u8], offset: u64, value: &[u8]) -> Result<Reply, Stop> {
    let shown = look_string(w, key)?;
    let mut bytes = shown_bytes(w, key, shown)?.unwrap_or_default();
    if value.is_empty() {
        return Ok(Reply::count(bytes.len()));
    }
    let end = check_length(offset.saturating_add(value.len() as u64))?;
    if bytes.len() < end {
        bytes.resize(end, 0);
    }
    if let Some(range) = bytes.get_mut(end - value.len()..end) {
        range.copy_from_slice(value);
    }
    let length = bytes.len();
    rewrite(w, key, shown, bytes)?;
    Ok(Reply::count(length))
}
