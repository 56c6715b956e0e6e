//! Strings and numbers.

use bytes::Bytes;
use cartograph_crdt::Type;
use cartograph_engine::command::read::LcsForm;
use cartograph_engine::command::{Condition, Read, SetExpiry, When};
use cartograph_engine::number::parse_i64;
use cartograph_engine::{Command, CommandError, Reply};
use cartograph_replica::Key;
use cartograph_resp::Value;

use super::args::{all, arity, at_least, bytes, error, integer, is, pairs, refusal, syntax};
use super::keys::{Unit, expire_option};
use super::{Parsed, Result, Shape};

pub(super) fn write(name: &str, args: &[Bytes]) -> Result {
    let command = match (name, args) {
        ("set", [key, value, options @ ..]) => set(key, value, options)?,
        ("setnx", [key, value]) => {
            let command = set_to(key, value, SetExpiry::Never, Condition::IfAbsent, false);
            return Ok(Parsed::shaped(command, Shape::Flag));
        }
        ("setex", [key, time, value]) => set_with_expiry(key, value, Unit::Seconds, time, "setex")?,
        ("psetex", [key, time, value]) => set_with_expiry(key, value, Unit::Milliseconds, time, "psetex")?,
        ("getset", [key, value]) => set_to(key, value, SetExpiry::Never, Condition::Always, true),
        ("getdel", [key]) => Command::GetDel { key: bytes(key) },
        ("getex", [key, options @ ..]) => getex(key, options)?,
        ("mset" | "msetnx", [_, ..]) => Command::MSet {
            pairs: pairs(args).ok_or_else(|| arity(name))?,
            only_if_absent: name == "msetnx",
        },
        ("append", [key, value]) => Command::Append {
            key: bytes(key),
            value: bytes(value),
        },
        ("setrange", [key, offset, value]) => {
            let offset = u64::try_from(integer(offset)?).map_err(|_| error("offset is out of range"))?;
            Command::SetRange {
                key: bytes(key),
                offset,
                value: bytes(value),
            }
        }
        ("incr", [key]) => Command::IncrBy {
            key: bytes(key),
            by: 1,
        },
        ("decr", [key]) => Command::IncrBy {
            key: bytes(key),
            by: -1,
        },
        ("incrby", [key, by]) => Command::IncrBy {
            key: bytes(key),
            by: integer(by)?,
        },
        ("decrby", [key, by]) => {
            let by = integer(by)?.checked_neg();
            Command::IncrBy {
                key: bytes(key),
                by: by.ok_or_else(|| error("decrement would overflow"))?,
            }
        }
        ("incrbyfloat", [key, by]) => Command::IncrByFloat {
            key: bytes(key),
            by: bytes(by),
        },
        _ => return Err(arity(name)),
    };
    Ok(Parsed::plain(command))
}

fn set_to(key: &Bytes, value: &Bytes, expiry: SetExpiry, condition: Condition, get: bool) -> Command {
    Command::Set {
        key: bytes(key),
        value: bytes(value),
        expiry,
        condition,
        get,
    }
}

fn set_with_expiry(
    key: &Bytes,
    value: &Bytes,
    unit: Unit,
    time: &Bytes,
    name: &'static str,
) -> std::result::Result<Command, Value> {
    let when = expire_option(unit, time, name).map_err(|e| refusal(&e))?;
    let expiry = SetExpiry::Expires(when);
    Ok(set_to(key, value, expiry, Condition::Always, false))
}

fn unit_of(option: &Bytes) -> Option<Unit> {
    Some(match option.to_ascii_lowercase().as_slice() {
        b"ex" => Unit::Seconds,
        b"px" => Unit::Milliseconds,
        b"exat" => Unit::UnixSeconds,
        b"pxat" => Unit::UnixMilliseconds,
        _ => return None,
    })
}

/// All options are read before the expiry's number is.
fn set(key: &Bytes, value: &Bytes, options: &[Bytes]) -> std::result::Result<Command, Value> {
    let (mut condition, mut get, mut keep) = (Condition::Always, false, false);
    let mut time: Option<(Unit, &Bytes)> = None;
    let mut rest = options.iter();
    while let Some(option) = rest.next() {
        if is(option, "nx") && condition != Condition::IfPresent {
            condition = Condition::IfAbsent;
        } else if is(option, "xx") && condition != Condition::IfAbsent {
            condition = Condition::IfPresent;
        } else if is(option, "get") {
            get = true;
        } else if is(option, "keepttl") && time.is_none() {
            keep = true;
        } else {
            let same = |unit: &Unit| !keep && time.is_none_or(|(before, _)| before == *unit);
            let unit = unit_of(option).filter(same).ok_or_else(syntax)?;
            time = Some((unit, rest.next().ok_or_else(syntax)?));
        }
    }
    let expiry = match time {
        Some((unit, arg)) => SetExpiry::Expires(expire_option(unit, arg, "set").map_err(|e| refusal(&e))?),
        None if keep => SetExpiry::Keep,
        None => SetExpiry::Never,
    };
    Ok(set_to(key, value, expiry, condition, get))
}

/// A bad number is found only when the key is there.
fn getex(key: &Bytes, options: &[Bytes]) -> std::result::Result<Command, Value> {
    let mut persist = false;
    let mut time: Option<(Unit, &Bytes)> = None;
    let mut rest = options.iter();
    while let Some(option) = rest.next() {
        if is(option, "persist") && time.is_none() {
            persist = true;
        } else {
            let same = |unit: &Unit| !persist && time.is_none_or(|(before, _)| before == *unit);
            let unit = unit_of(option).filter(same).ok_or_else(syntax)?;
            time = Some((unit, rest.next().ok_or_else(syntax)?));
        }
    }
    let expiry: Option<Option<When>> = match time {
        None => persist.then_some(None),
        Some((unit, arg)) => match expire_option(unit, arg, "getex") {
            Ok(when) => Some(Some(when)),
            Err(error) => return Ok(refuse_string(key, Some(Reply::Nil), error)),
        },
    };
    Ok(Command::GetEx {
        key: bytes(key),
        expiry,
    })
}

/// A bad argument of a command on a string that looks at the key first.
pub(super) fn refuse_string(key: &Bytes, absent: Option<Reply>, error: CommandError) -> Command {
    Command::Read(Read::Refuse {
        keys: vec![bytes(key)],
        types: &[Type::String, Type::HyperLogLog],
        wrong_type: CommandError::WrongType,
        absent: absent.map(Box::new),
        place: None,
        error,
    })
}

pub(super) fn read(name: &str, args: &[Bytes]) -> Result {
    Ok(match (name, args) {
        ("get", [key]) => Parsed::plain(Command::Get { key: bytes(key) }),
        ("mget", [_, ..]) => Parsed::read(Read::MGet { keys: all(args) }),
        ("strlen", [key]) => Parsed::read(Read::StrLen { key: bytes(key) }),
        ("getrange" | "substr", [key, start, end]) => Parsed::read(Read::GetRange {
            key: bytes(key),
            start: integer(start)?,
            end: integer(end)?,
        }),
        ("lcs", [a, b, options @ ..]) => lcs(a, b, options),
        _ => return Err(arity(name)),
    })
}

/// Options are read only when both keys hold strings.
fn lcs(a: &Bytes, b: &Bytes, options: &[Bytes]) -> Parsed {
    let keys: [Key; 2] = [bytes(a), bytes(b)];
    match lcs_form(options) {
        Ok((form, shape)) => Parsed::shaped_read(Read::Lcs { keys, form }, shape),
        Err(error) => Parsed::read(Read::Refuse {
            keys: keys.to_vec(),
            types: &[Type::String, Type::HyperLogLog],
            wrong_type: CommandError::LcsNotStrings,
            absent: None,
            place: None,
            error,
        }),
    }
}

fn lcs_form(options: &[Bytes]) -> std::result::Result<(LcsForm, Shape), CommandError> {
    let (mut index, mut length, mut lengths, mut shortest) = (false, false, false, 0);
    let mut rest = options.iter();
    while let Some(option) = rest.next() {
        if is(option, "idx") {
            index = true;
        } else if is(option, "len") {
            length = true;
        } else if is(option, "withmatchlen") {
            lengths = true;
        } else if let Some(number) = rest.next().filter(|_| is(option, "minmatchlen")) {
            let number = parse_i64(number).ok_or(CommandError::NotAnInteger)?;
            shortest = u64::try_from(number).unwrap_or(0);
        } else {
            return Err(CommandError::Syntax);
        }
    }
    match (index, length) {
        (true, true) => Err(CommandError::Redis(
            "If you want both the length and indexes, please just use IDX.",
        )),
        (true, false) => Ok((LcsForm::Matches { shortest, lengths }, Shape::Map)),
        (false, true) => Ok((LcsForm::Length, Shape::Plain)),
        (false, false) => Ok((LcsForm::Sequence, Shape::Plain)),
    }
}

/// The number of keys that LMPOP and its like begin with.
pub(super) fn numkeys(arg: &Bytes) -> std::result::Result<u64, Value> {
    at_least(arg, 1, "numkeys should be greater than 0")
}
