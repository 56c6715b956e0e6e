//! Sorted sets, but for ranges of them and what is made of several.

use std::time::Duration;

use bytes::Bytes;
use cartograph_crdt::Type;
use cartograph_engine::Command;
use cartograph_engine::command::{End, Read, ZAddFlags};
use cartograph_engine::number::LongDouble;
use cartograph_replica::Key;
use cartograph_resp::Value;

use super::args::{all, arity, at_least, bytes, count, double, error, is, split_keys, syntax};
use super::hashes::{random, scan};
use super::strings::numkeys;
use super::{Parsed, Result, Shape};

pub(super) fn write(name: &str, args: &[Bytes]) -> Result {
    Ok(Parsed::plain(match (name, args) {
        ("zadd", [key, args @ ..]) => zadd(key, args, false)?,
        // To Redis a ZADD INCR, flags and all.
        ("zincrby", [key, args @ ..]) => zadd(key, args, true)?,
        ("zrem", [key, members @ ..]) if !members.is_empty() => Command::ZRem {
            key: bytes(key),
            members: all(members),
        },
        ("zpopmin" | "zpopmax", [key]) => Command::ZPop {
            key: bytes(key),
            end: end_of(name),
            count: 1,
        },
        ("zpopmin" | "zpopmax", [key, number]) => {
            let command = Command::ZPop {
                key: bytes(key),
                end: end_of(name),
                count: count(number)?,
            };
            return Ok(Parsed::shaped(command, Shape::Pairs));
        }
        ("zpopmin" | "zpopmax", [_, _, ..]) => return Err(syntax()),
        ("zmpop", [number, rest @ ..]) => return Ok(Parsed::shaped(zmpop(number, rest)?, Shape::KeyedPairs)),
        ("bzpopmin" | "bzpopmax", [keys @ .., time]) if !keys.is_empty() => {
            let command = Command::ZMPop {
                keys: all(keys),
                end: end_of(name),
                count: 1,
            };
            return block(command, Shape::KeyedOne, time, all(keys));
        }
        ("bzmpop", [time, number, rest @ ..]) => {
            let command = zmpop(number, rest)?;
            let keys = match &command {
                Command::ZMPop { keys, .. } => keys.clone(),
                _ => Vec::new(),
            };
            return block(command, Shape::KeyedPairs, time, keys);
        }
        _ => return Err(arity(name)),
    }))
}

fn end_of(name: &str) -> End {
    if name.ends_with("min") { End::Min } else { End::Max }
}

fn block(command: Command, shape: Shape, time: &Bytes, keys: Vec<Key>) -> Result {
    Ok(Parsed::Block {
        command,
        shape,
        timeout: timeout(time)?,
        keys,
    })
}

/// Seconds, with a fraction; 0 is for ever.
pub(super) fn timeout(arg: &Bytes) -> std::result::Result<Option<Duration>, Value> {
    let seconds = LongDouble::parse(arg).ok_or_else(|| error("timeout is not a float or out of range"))?;
    // Exact to the millisecond, rounded up, as Redis waits.
    let text = seconds.format_human();
    let seconds: f64 = text.parse().unwrap_or(f64::INFINITY);
    let ms = (seconds * 1_000.0).ceil();
    if ms < 0.0 {
        return Err(error("timeout is negative"));
    }
    // What does not fit 64 bits comes out of Redis's cast as a negative number.
    let duration = Duration::try_from_secs_f64(ms / 1_000.0).ok();
    let fits = duration.filter(|d| i64::try_from(d.as_millis()).is_ok());
    let duration = fits.ok_or_else(|| error("timeout is negative"))?;
    // The instant must fit as well, until the year 2286.
    if duration.as_millis() > (i64::MAX - 10_000_000_000_000).unsigned_abs().into() {
        return Err(error("timeout is out of range"));
    }
    Ok((!duration.is_zero()).then_some(duration))
}

fn zmpop(number: &Bytes, rest: &[Bytes]) -> std::result::Result<Command, Value> {
    let number = numkeys(number)?;
    let (keys, rest) = split_keys(rest, number).ok_or_else(syntax)?;
    let (end, mut options) = match rest {
        [word, options @ ..] if is(word, "min") => (End::Min, options),
        [word, options @ ..] if is(word, "max") => (End::Max, options),
        _ => return Err(syntax()),
    };
    let mut count = None;
    while let [word, after @ ..] = options {
        match after {
            [number, after @ ..] if is(word, "count") && count.is_none() => {
                count = Some(at_least(number, 1, "count should be greater than 0")?);
                options = after;
            }
            _ => return Err(syntax()),
        }
    }
    Ok(Command::ZMPop {
        keys,
        end,
        count: count.unwrap_or(1),
    })
}

fn zadd(key: &Bytes, args: &[Bytes], mut increment: bool) -> std::result::Result<Command, Value> {
    let mut flags = ZAddFlags::default();
    let mut rest = args;
    while let [word, after @ ..] = rest {
        match word.to_ascii_lowercase().as_slice() {
            b"nx" => flags.nx = true,
            b"xx" => flags.xx = true,
            b"gt" => flags.gt = true,
            b"lt" => flags.lt = true,
            b"ch" => flags.ch = true,
            b"incr" => increment = true,
            _ => break,
        }
        rest = after;
    }
    let (scored, odd) = rest.as_chunks::<2>();
    if scored.is_empty() || !odd.is_empty() {
        return Err(syntax());
    }
    if flags.nx && flags.xx {
        return Err(error("XX and NX options at the same time are not compatible"));
    }
    if (flags.nx && (flags.gt || flags.lt)) || (flags.gt && flags.lt) {
        return Err(error(
            "GT, LT, and/or NX options at the same time are not compatible",
        ));
    }
    if increment && scored.len() > 1 {
        return Err(error("INCR option supports a single increment-element pair"));
    }
    let mut pairs = Vec::with_capacity(scored.len());
    for [score, member] in scored {
        pairs.push((double(score)?, bytes(member)));
    }
    match pairs.pop() {
        Some((by, member)) if increment => Ok(Command::ZIncrBy {
            key: bytes(key),
            flags,
            by,
            member,
        }),
        last => {
            pairs.extend(last);
            Ok(Command::ZAdd {
                key: bytes(key),
                flags,
                pairs,
            })
        }
    }
}

pub(super) fn read(name: &str, args: &[Bytes]) -> Result {
    Ok(match (name, args) {
        ("zscore", [key, member]) => Parsed::plain(Command::ZScore {
            key: bytes(key),
            member: bytes(member),
        }),
        ("zmscore", [key, members @ ..]) if !members.is_empty() => Parsed::read(Read::ZMScore {
            key: bytes(key),
            members: all(members),
        }),
        ("zcard", [key]) => Parsed::read(Read::ZCard { key: bytes(key) }),
        ("zrank" | "zrevrank", [key, member, rest @ ..]) if rest.len() < 2 => {
            let with_score = match rest {
                [word] if is(word, "withscore") => true,
                [_, ..] => return Err(syntax()),
                [] => false,
            };
            let read = Read::ZRank {
                key: bytes(key),
                member: bytes(member),
                reverse: name == "zrevrank",
                with_score,
            };
            Parsed::shaped_read(read, if with_score { Shape::List } else { Shape::Plain })
        }
        ("zrandmember", [key]) => Parsed::read(Read::ZRandMember {
            key: bytes(key),
            count: None,
            with_scores: false,
        }),
        ("zrandmember", [key, count, rest @ ..]) => {
            let (count, with_scores) = random(count, rest, "withscores")?;
            let read = Read::ZRandMember {
                key: bytes(key),
                count: Some(count),
                with_scores,
            };
            Parsed::shaped_read(read, if with_scores { Shape::Pairs } else { Shape::Plain })
        }
        ("zscan", [key, cursor, options @ ..]) => scan(key, cursor, options, Type::SortedSet)?,
        _ => return Err(arity(name)),
    })
}
