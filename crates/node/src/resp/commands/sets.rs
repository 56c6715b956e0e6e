//! Sets.

use bytes::Bytes;
use cartograph_crdt::Type;
use cartograph_engine::Command;
use cartograph_engine::command::{Read, SetOperation};
use cartograph_resp::Value;

use super::args::{all, arity, at_least, bytes, count, error, is, random_count, split_keys, syntax};
use super::hashes::scan;
use super::strings::numkeys;
use super::{Parsed, Result, Shape};

pub(super) fn write(name: &str, args: &[Bytes]) -> Result {
    let command = match (name, args) {
        ("sadd", [key, members @ ..]) if !members.is_empty() => Command::SAdd {
            key: bytes(key),
            members: all(members),
        },
        ("srem", [key, members @ ..]) if !members.is_empty() => Command::SRem {
            key: bytes(key),
            members: all(members),
        },
        ("spop", [key]) => Command::SPop {
            key: bytes(key),
            count: None,
        },
        ("spop", [key, number]) => {
            let command = Command::SPop {
                key: bytes(key),
                count: Some(count(number)?),
            };
            return Ok(Parsed::shaped(command, Shape::Set));
        }
        ("spop", [_, _, ..]) => return Err(syntax()),
        ("smove", [from, to, member]) => Command::SMove {
            from: bytes(from),
            to: bytes(to),
            member: bytes(member),
        },
        ("sunionstore" | "sinterstore" | "sdiffstore", [to, keys @ ..]) if !keys.is_empty() => {
            Command::SStore {
                operation: operation(name),
                to: bytes(to),
                keys: all(keys),
            }
        }
        _ => return Err(arity(name)),
    };
    Ok(Parsed::plain(command))
}

/// Union, intersection or difference, by the second letter on.
pub(super) fn operation(name: &str) -> SetOperation {
    match name.get(1..3) {
        Some("un") => SetOperation::Union,
        Some("in") => SetOperation::Intersection,
        Some(_) | None => SetOperation::Difference,
    }
}

pub(super) fn read(name: &str, args: &[Bytes]) -> Result {
    Ok(match (name, args) {
        ("smembers", [key]) => Parsed::shaped(Command::SMembers { key: bytes(key) }, Shape::Set),
        ("sismember", [key, member]) => Parsed::plain(Command::SIsMember {
            key: bytes(key),
            member: bytes(member),
        }),
        ("smismember", [key, members @ ..]) if !members.is_empty() => Parsed::read(Read::SMIsMember {
            key: bytes(key),
            members: all(members),
        }),
        ("scard", [key]) => Parsed::plain(Command::SCard { key: bytes(key) }),
        ("srandmember", [key]) => Parsed::read(Read::SRandMember {
            key: bytes(key),
            count: None,
        }),
        ("srandmember", [key, count]) => Parsed::read(Read::SRandMember {
            key: bytes(key),
            count: Some(random_count(count)?),
        }),
        ("srandmember", [_, _, ..]) => return Err(syntax()),
        ("sunion" | "sinter" | "sdiff", [_, ..]) => {
            let read = Read::SOperation {
                operation: operation(name),
                keys: all(args),
            };
            Parsed::shaped_read(read, Shape::Set)
        }
        ("sintercard", [number, rest @ ..]) if !rest.is_empty() => sintercard(number, rest)?,
        ("sscan", [key, cursor, options @ ..]) => scan(key, cursor, options, Type::Set)?,
        _ => return Err(arity(name)),
    })
}

fn sintercard(number: &Bytes, rest: &[Bytes]) -> std::result::Result<Parsed, Value> {
    let number = numkeys(number)?;
    let split = split_keys(rest, number);
    let (keys, mut options) =
        split.ok_or_else(|| error("Number of keys can't be greater than number of args"))?;
    let mut limit = 0;
    while let [word, after @ ..] = options {
        match after {
            [number, after @ ..] if is(word, "limit") => {
                limit = at_least(number, 0, "LIMIT can't be negative")?;
                options = after;
            }
            _ => return Err(syntax()),
        }
    }
    Ok(Parsed::read(Read::SInterCard { keys, limit }))
}
