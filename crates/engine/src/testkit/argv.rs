//! Redis's argument lists as commands, for worked cases and comparisons with a real Redis. Tests only: the RESP door has
//! a table of its own, with every command and option.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "a table of texts: what is not named here passes as it is"
)]
#![expect(clippy::unnecessary_wraps, reason = "each family answers in the same form")]

use crate::command::{Command, Condition, End, ExpireFlags, Reply, SetExpiry, SetOperation, When, ZAddFlags};
use crate::error::CommandError;
use crate::number::{parse_double, parse_i64};

/// A command, and how its reply becomes the one of the Redis command that was asked for.
#[derive(Debug)]
pub struct Parsed {
    /// The command.
    pub command: Command,
    /// What it is asked through: `STRLEN` reads as GET does.
    pub form: fn(Reply) -> Reply,
}

type Args<'a> = &'a [&'a str];
type Found = Option<Result<Parsed, CommandError>>;

/// Reads an argument list.
///
/// # Errors
/// Redis's for bad arguments, [`CommandError::Syntax`] for what is not known here.
pub fn parse(argv: Args<'_>) -> Result<Parsed, CommandError> {
    let [name, args @ ..] = argv else {
        return Err(CommandError::Syntax);
    };
    let name = name.to_uppercase();
    let families = [keys, strings, numbers, hashes, sets, sorted_sets, hyperloglogs];
    let found = families.iter().find_map(|family| family(&name, args));
    found.unwrap_or(Err(CommandError::Syntax))
}

fn plain(command: Command) -> Found {
    Some(Ok(Parsed {
        command,
        form: |reply| reply,
    }))
}

fn formed(command: Command, form: fn(Reply) -> Reply) -> Found {
    Some(Ok(Parsed { command, form }))
}

fn b(text: &str) -> Vec<u8> {
    text.as_bytes().to_vec()
}

fn all(args: Args<'_>) -> Vec<Vec<u8>> {
    args.iter().map(|a| b(a)).collect()
}

fn pairs(args: Args<'_>) -> Vec<(Vec<u8>, Vec<u8>)> {
    let (pairs, _) = args.as_chunks::<2>();
    pairs.iter().map(|[x, y]| (b(x), b(y))).collect()
}

fn int(text: &str) -> Result<i64, CommandError> {
    parse_i64(text.as_bytes()).ok_or(CommandError::NotAnInteger)
}

fn with_int(text: &str, command: impl FnOnce(i64) -> Command) -> Found {
    Some(int(text).map(|n| Parsed {
        command: command(n),
        form: |reply| reply,
    }))
}

fn has(flags: Args<'_>, flag: &str) -> bool {
    flags.iter().any(|f| f.eq_ignore_ascii_case(flag))
}

fn one_if_ok(reply: Reply) -> Reply {
    match reply {
        Reply::Ok => Reply::Integer(1),
        Reply::Nil => Reply::Integer(0),
        other => other,
    }
}

fn length(reply: Reply) -> Reply {
    match reply {
        Reply::Bytes(bytes) => Reply::count(bytes.len()),
        Reply::Nil => Reply::Integer(0),
        other => other,
    }
}

fn half_count(reply: Reply) -> Reply {
    match reply {
        Reply::Array(items) => Reply::count(items.len() / 2),
        other => other,
    }
}

fn every_second(reply: Reply) -> Reply {
    match reply {
        Reply::Array(items) => Reply::Array(items.into_iter().step_by(2).collect()),
        other => other,
    }
}

fn seconds(reply: Reply) -> Reply {
    match reply {
        Reply::Integer(ms) if ms >= 0 => Reply::Integer((ms + 500) / 1_000),
        other => other,
    }
}

fn when(unit: &str, n: &str) -> Result<When, CommandError> {
    let n = int(n)?;
    let long = || {
        n.checked_mul(1_000)
            .ok_or(CommandError::InvalidExpire { command: "expire" })
    };
    match unit.to_uppercase().as_str() {
        "EX" => Ok(When::In(long()?)),
        "PX" => Ok(When::In(n)),
        "EXAT" => Ok(When::At(long()?)),
        "PXAT" => Ok(When::At(n)),
        _ => Err(CommandError::Syntax),
    }
}

fn expire(unit: &str, key: &str, n: &str, flags: Args<'_>) -> Found {
    let flags = ExpireFlags {
        nx: has(flags, "NX"),
        xx: has(flags, "XX"),
        gt: has(flags, "GT"),
        lt: has(flags, "LT"),
    };
    match when(unit, n) {
        Ok(when) => plain(Command::Expire {
            key: b(key),
            when,
            flags,
        }),
        Err(error) => Some(Err(error)),
    }
}

fn keys(name: &str, args: Args<'_>) -> Found {
    match (name, args) {
        ("DEL" | "UNLINK", keys) => plain(Command::Del { keys: all(keys) }),
        ("EXISTS", keys) => plain(Command::Exists { keys: all(keys) }),
        ("TYPE", [key]) => plain(Command::Type { key: b(key) }),
        ("PTTL", [key]) => plain(Command::Pttl { key: b(key) }),
        ("TTL", [key]) => formed(Command::Pttl { key: b(key) }, seconds),
        ("EXPIRE", [key, n, flags @ ..]) => expire("EX", key, n, flags),
        ("PEXPIRE", [key, n, flags @ ..]) => expire("PX", key, n, flags),
        ("PEXPIREAT", [key, n, flags @ ..]) => expire("PXAT", key, n, flags),
        ("PERSIST", [key]) => plain(Command::Persist { key: b(key) }),
        ("RENAME", [from, to]) => plain(Command::Rename {
            from: b(from),
            to: b(to),
            only_if_absent: false,
        }),
        ("RENAMENX", [from, to]) => plain(Command::Rename {
            from: b(from),
            to: b(to),
            only_if_absent: true,
        }),
        ("COPY", [from, to, flags @ ..]) => {
            let replace = has(flags, "REPLACE");
            plain(Command::Copy {
                from: b(from),
                to: b(to),
                replace,
            })
        }
        ("CARTOGRAPH.REVOKE", [key]) => plain(Command::Revoke { key: b(key) }),
        _ => None,
    }
}

fn set(key: &str, value: &str, options: Args<'_>) -> Result<Command, CommandError> {
    let (mut expiry, mut condition, mut get) = (SetExpiry::Never, Condition::Always, false);
    let mut rest = options.iter();
    while let Some(option) = rest.next() {
        match option.to_uppercase().as_str() {
            "KEEPTTL" => expiry = SetExpiry::Keep,
            "NX" => condition = Condition::IfAbsent,
            "XX" => condition = Condition::IfPresent,
            "GET" => get = true,
            unit => expiry = SetExpiry::Expires(when(unit, rest.next().ok_or(CommandError::Syntax)?)?),
        }
    }
    Ok(Command::Set {
        key: b(key),
        value: b(value),
        expiry,
        condition,
        get,
    })
}

fn set_with(key: &str, value: &str, options: Args<'_>, form: fn(Reply) -> Reply) -> Found {
    Some(set(key, value, options).map(|command| Parsed { command, form }))
}

fn strings(name: &str, args: Args<'_>) -> Found {
    let same = |reply| reply;
    match (name, args) {
        ("GET", [key]) => plain(Command::Get { key: b(key) }),
        ("STRLEN", [key]) => formed(Command::Get { key: b(key) }, length),
        ("SET", [key, value, options @ ..]) => set_with(key, value, options, same),
        ("SETNX", [key, value]) => set_with(key, value, &["NX"], one_if_ok),
        ("SETEX", [key, n, value]) => set_with(key, value, &["EX", n], same),
        ("PSETEX", [key, n, value]) => set_with(key, value, &["PX", n], same),
        ("GETSET", [key, value]) => set_with(key, value, &["GET"], same),
        ("MSET", args) => plain(Command::MSet {
            pairs: pairs(args),
            only_if_absent: false,
        }),
        ("MSETNX", args) => plain(Command::MSet {
            pairs: pairs(args),
            only_if_absent: true,
        }),
        ("GETDEL", [key]) => plain(Command::GetDel { key: b(key) }),
        ("GETEX", [key]) => plain(Command::GetEx {
            key: b(key),
            expiry: None,
        }),
        ("GETEX", [key, "PERSIST"]) => plain(Command::GetEx {
            key: b(key),
            expiry: Some(None),
        }),
        ("GETEX", [key, unit, n]) => match when(unit, n) {
            Ok(when) => plain(Command::GetEx {
                key: b(key),
                expiry: Some(Some(when)),
            }),
            Err(error) => Some(Err(error)),
        },
        ("APPEND", [key, value]) => plain(Command::Append {
            key: b(key),
            value: b(value),
        }),
        ("SETRANGE", [key, offset, value]) => with_int(offset, |offset| Command::SetRange {
            key: b(key),
            offset: offset.unsigned_abs(),
            value: b(value),
        }),
        ("SETBIT", [key, offset, bit]) => with_int(offset, |offset| Command::SetBit {
            key: b(key),
            offset: offset.unsigned_abs(),
            bit: *bit == "1",
        }),
        _ => None,
    }
}

fn numbers(name: &str, args: Args<'_>) -> Found {
    let by = |key: &str, by| Command::IncrBy { key: b(key), by };
    match (name, args) {
        ("INCR", [key]) => plain(by(key, 1)),
        ("DECR", [key]) => plain(by(key, -1)),
        ("INCRBY", [key, n]) => with_int(n, |n| by(key, n)),
        ("DECRBY", [key, n]) => with_int(n, |n| by(key, -n)),
        ("INCRBYFLOAT", [key, n]) => plain(Command::IncrByFloat {
            key: b(key),
            by: b(n),
        }),
        ("HINCRBY", [key, field, n]) => with_int(n, |by| Command::HIncrBy {
            key: b(key),
            field: b(field),
            by,
        }),
        ("HINCRBYFLOAT", [key, field, n]) => plain(Command::HIncrByFloat {
            key: b(key),
            field: b(field),
            by: b(n),
        }),
        _ => None,
    }
}

fn hashes(name: &str, args: Args<'_>) -> Found {
    match (name, args) {
        ("HGET", [key, field]) => plain(Command::HGet {
            key: b(key),
            field: b(field),
        }),
        ("HGETALL", [key]) => plain(Command::HGetAll { key: b(key) }),
        ("HLEN", [key]) => formed(Command::HGetAll { key: b(key) }, half_count),
        ("HSET", [key, fields @ ..]) => plain(Command::HSet {
            key: b(key),
            fields: pairs(fields),
        }),
        ("HMSET", [key, fields @ ..]) => formed(
            Command::HSet {
                key: b(key),
                fields: pairs(fields),
            },
            |_| Reply::Ok,
        ),
        ("HSETNX", [key, field, value]) => plain(Command::HSetNx {
            key: b(key),
            field: b(field),
            value: b(value),
        }),
        ("HDEL", [key, fields @ ..]) => plain(Command::HDel {
            key: b(key),
            fields: all(fields),
        }),
        _ => None,
    }
}

fn store(operation: SetOperation, to: &str, keys: Args<'_>) -> Found {
    plain(Command::SStore {
        operation,
        to: b(to),
        keys: all(keys),
    })
}

fn sets(name: &str, args: Args<'_>) -> Found {
    match (name, args) {
        ("SMEMBERS", [key]) => plain(Command::SMembers { key: b(key) }),
        ("SISMEMBER", [key, member]) => plain(Command::SIsMember {
            key: b(key),
            member: b(member),
        }),
        ("SCARD", [key]) => plain(Command::SCard { key: b(key) }),
        ("SADD", [key, members @ ..]) => plain(Command::SAdd {
            key: b(key),
            members: all(members),
        }),
        ("SREM", [key, members @ ..]) => plain(Command::SRem {
            key: b(key),
            members: all(members),
        }),
        ("SPOP", [key]) => plain(Command::SPop {
            key: b(key),
            count: None,
        }),
        ("SPOP", [key, n]) => with_int(n, |n| Command::SPop {
            key: b(key),
            count: Some(n.unsigned_abs()),
        }),
        ("SMOVE", [from, to, member]) => plain(Command::SMove {
            from: b(from),
            to: b(to),
            member: b(member),
        }),
        ("SUNIONSTORE", [to, keys @ ..]) => store(SetOperation::Union, to, keys),
        ("SINTERSTORE", [to, keys @ ..]) => store(SetOperation::Intersection, to, keys),
        ("SDIFFSTORE", [to, keys @ ..]) => store(SetOperation::Difference, to, keys),
        _ => None,
    }
}

fn zadd(key: &str, args: Args<'_>) -> Result<Command, CommandError> {
    let is_flag = |a: &&&str| ["NX", "XX", "GT", "LT", "CH", "INCR"].contains(&a.to_uppercase().as_str());
    let (given, rest) = args.split_at(args.iter().take_while(is_flag).count());
    let flags = ZAddFlags {
        nx: has(given, "NX"),
        xx: has(given, "XX"),
        gt: has(given, "GT"),
        lt: has(given, "LT"),
        ch: has(given, "CH"),
    };
    let mut scored = Vec::new();
    for [score, member] in rest.as_chunks::<2>().0 {
        scored.push((
            parse_double(score.as_bytes()).ok_or(CommandError::NotAFloat)?,
            b(member),
        ));
    }
    match (has(given, "INCR"), scored.pop()) {
        (true, Some((by, member))) => Ok(Command::ZIncrBy {
            key: b(key),
            flags,
            by,
            member,
        }),
        (_, last) => {
            scored.extend(last);
            Ok(Command::ZAdd {
                key: b(key),
                flags,
                pairs: scored,
            })
        }
    }
}

fn sorted_sets(name: &str, args: Args<'_>) -> Found {
    let pop = |key: &str, end, count: i64| Command::ZPop {
        key: b(key),
        end,
        count: count.unsigned_abs(),
    };
    match (name, args) {
        ("ZSCORE", [key, member]) => plain(Command::ZScore {
            key: b(key),
            member: b(member),
        }),
        ("ZCARD", [key]) => formed(Command::ZRangeWithScores { key: b(key) }, half_count),
        ("ZRANGE", [key, "0", "-1"]) => formed(Command::ZRangeWithScores { key: b(key) }, every_second),
        ("ZRANGE", [key, "0", "-1", "WITHSCORES"]) => plain(Command::ZRangeWithScores { key: b(key) }),
        ("ZADD", [key, args @ ..]) => Some(zadd(key, args).map(|command| Parsed {
            command,
            form: |reply| reply,
        })),
        ("ZINCRBY", [key, by, member]) => Some(zadd(key, &["INCR", by, member]).map(|command| Parsed {
            command,
            form: |reply| reply,
        })),
        ("ZREM", [key, members @ ..]) => plain(Command::ZRem {
            key: b(key),
            members: all(members),
        }),
        ("ZPOPMIN", [key]) => plain(pop(key, End::Min, 1)),
        ("ZPOPMAX", [key]) => plain(pop(key, End::Max, 1)),
        ("ZPOPMIN", [key, n]) => with_int(n, |n| pop(key, End::Min, n)),
        ("ZPOPMAX", [key, n]) => with_int(n, |n| pop(key, End::Max, n)),
        _ => None,
    }
}

fn hyperloglogs(name: &str, args: Args<'_>) -> Found {
    match (name, args) {
        ("PFADD", [key, elements @ ..]) => plain(Command::PfAdd {
            key: b(key),
            elements: all(elements),
        }),
        ("PFCOUNT", keys) => plain(Command::PfCount { keys: all(keys) }),
        ("PFMERGE", [to, from @ ..]) => plain(Command::PfMerge {
            to: b(to),
            from: all(from),
        }),
        _ => None,
    }
}
