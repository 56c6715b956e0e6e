//! Commands on keys of any type, and TTLs.

use bytes::Bytes;
use cartograph_engine::command::{ExpireFlags, Read, When};
use cartograph_engine::{Command, CommandError};
use cartograph_resp::Value;

use super::args::{all, arity, bytes, error, integer, is, refusal, syntax};
use super::{Parsed, Result, Shape};

/// Milliseconds that an expiry may lie ahead, so that it is in range on every clock until the year 2286.
const AHEAD_MS_MAX: i64 = i64::MAX - 10_000_000_000_000;

pub(super) fn write(name: &str, args: &[Bytes]) -> Result {
    let command = match (name, args) {
        ("del" | "unlink", [_, ..]) => Command::Del { keys: all(args) },
        ("expire" | "pexpire" | "expireat" | "pexpireat", [key, when, options @ ..]) => {
            let flags = expire_flags(options)?;
            let when = expire_when(when, name)?;
            Command::Expire {
                key: bytes(key),
                when,
                flags,
            }
        }
        ("persist", [key]) => Command::Persist { key: bytes(key) },
        ("rename" | "renamenx", [from, to]) => Command::Rename {
            from: bytes(from),
            to: bytes(to),
            only_if_absent: name == "renamenx",
        },
        ("copy", [from, to, options @ ..]) => copy(from, to, options)?,
        ("sort", [_, options @ ..]) => return Err(sort(options)),
        ("cartograph.revoke", [key]) => Command::Revoke { key: bytes(key) },
        _ => return Err(arity(name)),
    };
    Ok(Parsed::plain(command))
}

pub(super) fn read(name: &str, args: &[Bytes]) -> Result {
    let key = |key: &Bytes| bytes(key);
    Ok(match (name, args) {
        ("exists" | "touch", [_, ..]) => Parsed::plain(Command::Exists { keys: all(args) }),
        ("type", [k]) => Parsed::plain(Command::Type { key: key(k) }),
        ("ttl", [k]) => Parsed::shaped(Command::Pttl { key: key(k) }, Shape::Seconds),
        ("pttl", [k]) => Parsed::plain(Command::Pttl { key: key(k) }),
        ("expiretime", [k]) => Parsed::shaped_read(Read::PExpireTime { key: key(k) }, Shape::Seconds),
        ("pexpiretime", [k]) => Parsed::read(Read::PExpireTime { key: key(k) }),
        _ => return Err(arity(name)),
    })
}

fn expire_flags(options: &[Bytes]) -> std::result::Result<ExpireFlags, Value> {
    let mut flags = ExpireFlags::default();
    for option in options {
        match option.to_ascii_lowercase().as_slice() {
            b"nx" => flags.nx = true,
            b"xx" => flags.xx = true,
            b"gt" => flags.gt = true,
            b"lt" => flags.lt = true,
            _ => {
                // Redis prints a C string.
                let option = option.split(|byte| *byte == 0).next().unwrap_or_default();
                let option = String::from_utf8_lossy(option);
                return Err(error(&format!("Unsupported option {option}")));
            }
        }
    }
    if flags.nx && (flags.xx || flags.gt || flags.lt) {
        return Err(error(
            "NX and XX, GT or LT options at the same time are not compatible",
        ));
    }
    if flags.gt && flags.lt {
        return Err(error("GT and LT options at the same time are not compatible"));
    }
    Ok(flags)
}

fn expire_when(arg: &Bytes, name: &str) -> std::result::Result<When, Value> {
    let given = integer(arg)?;
    let seconds = matches!(name, "expire" | "expireat");
    let ms = if seconds {
        given.checked_mul(1_000)
    } else {
        Some(given)
    };
    let from_now = matches!(name, "expire" | "pexpire");
    let in_range = ms.filter(|ms| !from_now || *ms <= AHEAD_MS_MAX);
    let ms = in_range.ok_or_else(|| invalid_expire(name))?;
    Ok(if from_now { When::In(ms) } else { When::At(ms) })
}

/// What an expiry is refused with; names the command.
pub(super) fn invalid_expire(name: &str) -> Value {
    error(&format!("invalid expire time in '{name}' command"))
}

/// The expiry of an option such as EX, which must be positive.
pub(super) fn expire_option(
    unit: Unit,
    arg: &Bytes,
    command: &'static str,
) -> std::result::Result<When, CommandError> {
    let given = cartograph_engine::number::parse_i64(arg).ok_or(CommandError::NotAnInteger)?;
    let ms = match unit {
        Unit::Seconds | Unit::UnixSeconds => given.checked_mul(1_000),
        Unit::Milliseconds | Unit::UnixMilliseconds => Some(given),
    };
    let from_now = matches!(unit, Unit::Seconds | Unit::Milliseconds);
    let in_range = ms.filter(|ms| *ms > 0 && (!from_now || *ms <= AHEAD_MS_MAX));
    let ms = in_range.ok_or(CommandError::InvalidExpire { command })?;
    Ok(if from_now { When::In(ms) } else { When::At(ms) })
}

/// EX, PX, EXAT, PXAT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    Seconds,
    Milliseconds,
    UnixSeconds,
    UnixMilliseconds,
}

fn copy(from: &Bytes, to: &Bytes, options: &[Bytes]) -> std::result::Result<Command, Value> {
    let mut replace = false;
    let mut rest = options.iter();
    while let Some(option) = rest.next() {
        if is(option, "replace") {
            replace = true;
        } else if let Some(number) = rest.next().filter(|_| is(option, "db")) {
            // Clients see one database.
            if integer(number)? != 0 {
                return Err(error("DB index is out of range"));
            }
        } else {
            return Err(syntax());
        }
    }
    if from == to {
        return Err(refusal(&CommandError::SameObject));
    }
    Ok(Command::Copy {
        from: bytes(from),
        to: bytes(to),
        replace,
    })
}

fn sort(options: &[Bytes]) -> Value {
    if options.iter().any(|option| is(option, "store")) {
        return error(
            "SORT with STORE writes a list, and lists are not replicated yet: store into a key of a local class",
        );
    }
    error("SORT without STORE is a read: it goes to this region's Redis, not into a transaction")
}
