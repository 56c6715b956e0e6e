//! Hashes.

use bytes::Bytes;
use cartograph_crdt::Type;
use cartograph_engine::command::Read;
use cartograph_engine::number::parse_i64;
use cartograph_engine::{Command, CommandError, Reply};
use cartograph_resp::Value;

use super::args::{all, arity, bytes, error, integer, is, pairs, random_count, syntax};
use super::{Parsed, Result, Shape};

pub(super) fn write(name: &str, args: &[Bytes]) -> Result {
    let command = match (name, args) {
        ("hset" | "hmset", [key, fields @ ..]) if !fields.is_empty() => {
            let fields = pairs(fields).ok_or_else(|| arity(name))?;
            let command = Command::HSet {
                key: bytes(key),
                fields,
            };
            let shape = if name == "hset" { Shape::Plain } else { Shape::Okay };
            return Ok(Parsed::shaped(command, shape));
        }
        ("hsetnx", [key, field, value]) => Command::HSetNx {
            key: bytes(key),
            field: bytes(field),
            value: bytes(value),
        },
        ("hdel", [key, fields @ ..]) if !fields.is_empty() => Command::HDel {
            key: bytes(key),
            fields: all(fields),
        },
        ("hincrby", [key, field, by]) => Command::HIncrBy {
            key: bytes(key),
            field: bytes(field),
            by: integer(by)?,
        },
        ("hincrbyfloat", [key, field, by]) => Command::HIncrByFloat {
            key: bytes(key),
            field: bytes(field),
            by: bytes(by),
        },
        _ => return Err(arity(name)),
    };
    Ok(Parsed::plain(command))
}

pub(super) fn read(name: &str, args: &[Bytes]) -> Result {
    Ok(match (name, args) {
        ("hget", [key, field]) => Parsed::plain(Command::HGet {
            key: bytes(key),
            field: bytes(field),
        }),
        ("hmget", [key, fields @ ..]) if !fields.is_empty() => Parsed::read(Read::HMGet {
            key: bytes(key),
            fields: all(fields),
        }),
        ("hgetall", [key]) => Parsed::shaped(Command::HGetAll { key: bytes(key) }, Shape::Map),
        ("hkeys", [key]) => Parsed::read(Read::HKeys { key: bytes(key) }),
        ("hvals", [key]) => Parsed::read(Read::HVals { key: bytes(key) }),
        ("hlen", [key]) => Parsed::read(Read::HLen { key: bytes(key) }),
        ("hexists", [key, field]) => Parsed::read(Read::HExists {
            key: bytes(key),
            field: bytes(field),
        }),
        ("hstrlen", [key, field]) => Parsed::read(Read::HStrLen {
            key: bytes(key),
            field: bytes(field),
        }),
        ("hrandfield", [key]) => Parsed::read(Read::HRandField {
            key: bytes(key),
            count: None,
            values: false,
        }),
        ("hrandfield", [key, count, rest @ ..]) => {
            let (count, values) = random(count, rest, "withvalues")?;
            let read = Read::HRandField {
                key: bytes(key),
                count: Some(count),
                values,
            };
            Parsed::shaped_read(read, if values { Shape::Pairs } else { Shape::Plain })
        }
        ("hscan", [key, cursor, options @ ..]) => scan(key, cursor, options, Type::Hash)?,
        _ => return Err(arity(name)),
    })
}

/// The count of HRANDFIELD and ZRANDMEMBER, and whether what belongs to each element is asked for.
pub(super) fn random(count: &Bytes, rest: &[Bytes], with: &str) -> std::result::Result<(i64, bool), Value> {
    let count = random_count(count)?;
    match rest {
        [] => Ok((count, false)),
        [word] if is(word, with) => {
            if !(-i64::MAX / 2..=i64::MAX / 2).contains(&count) {
                return Err(error("value is out of range"));
            }
            Ok((count, true))
        }
        _ => Err(syntax()),
    }
}

/// What C reads as an unsigned number, sign and all.
fn check_cursor(cursor: &Bytes) -> std::result::Result<(), Value> {
    let text = cursor.split(|byte| *byte == 0).next().unwrap_or_default();
    let digits = match text.split_first() {
        Some((b'-' | b'+', digits)) if !digits.is_empty() => digits,
        Some(_) | None => text,
    };
    let number = digits.iter().try_fold(0_u64, |number, digit| {
        let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    });
    number.map(|_| ()).ok_or_else(|| error("invalid cursor"))
}

/// HSCAN, SSCAN and ZSCAN: everything is one page, whatever the cursor, as of a small key in Redis.
pub(super) fn scan(
    key: &Bytes,
    cursor: &Bytes,
    options: &[Bytes],
    ty: Type,
) -> std::result::Result<Parsed, Value> {
    check_cursor(cursor)?;
    let ty_only: &'static [Type] = match ty {
        Type::Hash => &[Type::Hash],
        Type::Set => &[Type::Set],
        Type::String | Type::SortedSet | Type::HyperLogLog => &[Type::SortedSet],
    };
    let read = match scan_options(options) {
        Ok(pattern) => Read::Scan {
            key: bytes(key),
            ty,
            pattern,
        },
        Err(error) => Read::Refuse {
            keys: vec![bytes(key)],
            types: ty_only,
            wrong_type: CommandError::WrongType,
            absent: Some(Box::new(Reply::Array(Vec::new()))),
            place: None,
            error,
        },
    };
    Ok(Parsed::shaped_read(read, Shape::Page))
}

/// Options are read only when the key is there.
fn scan_options(options: &[Bytes]) -> std::result::Result<Option<Vec<u8>>, CommandError> {
    let mut pattern = None;
    for option in options.chunks(2) {
        match option {
            [word, count] if is(word, "count") => {
                if parse_i64(count).ok_or(CommandError::NotAnInteger)? < 1 {
                    return Err(CommandError::Syntax);
                }
            }
            [word, glob] if is(word, "match") => pattern = Some(bytes(glob)),
            _ => return Err(CommandError::Syntax),
        }
    }
    Ok(pattern)
}
