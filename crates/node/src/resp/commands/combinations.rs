//! Unions, intersections and differences of sorted sets.
//!
//! Redis looks at the keys before it reads what comes after them, so those options' errors travel to the engine.

use bytes::Bytes;
use cartograph_crdt::Type;
use cartograph_engine::command::{Aggregate, Read, SetOperation, ZOperation};
use cartograph_engine::number::{parse_double, parse_i64};
use cartograph_engine::{Command, CommandError};
use cartograph_replica::Key;
use cartograph_resp::Value;

use super::args::{arity, bytes, error, integer, is, split_keys, syntax};
use super::sets::operation;
use super::{Parsed, Result, Shape};

pub(super) fn write(name: &str, args: &[Bytes]) -> Result {
    let [to, number, rest @ ..] = args else {
        return Err(arity(name));
    };
    let (keys, options) = keys(name, number, rest)?;
    Ok(Parsed::plain(match combination(name, &keys, options, false) {
        Ok((operation, _)) => Command::ZStore {
            to: bytes(to),
            operation,
        },
        Err(error) => refuse(keys, error),
    }))
}

pub(super) fn read(name: &str, args: &[Bytes]) -> Result {
    let [number, rest @ ..] = args else {
        return Err(arity(name));
    };
    let (keys, options) = keys(name, number, rest)?;
    if name == "zintercard" {
        return Ok(Parsed::plain(match limit(options) {
            Ok(limit) => Command::Read(Read::ZInterCard { keys, limit }),
            Err(error) => refuse(keys, error),
        }));
    }
    Ok(match combination(name, &keys, options, true) {
        Ok((operation, with_scores)) => {
            let read = Read::ZOperation {
                operation,
                with_scores,
            };
            Parsed::shaped_read(read, if with_scores { Shape::Pairs } else { Shape::Plain })
        }
        Err(error) => Parsed::plain(refuse(keys, error)),
    })
}

fn refuse(keys: Vec<Key>, error: CommandError) -> Command {
    Command::Read(Read::Refuse {
        keys,
        types: &[Type::Set, Type::SortedSet],
        wrong_type: CommandError::WrongType,
        absent: None,
        place: None,
        error,
    })
}

fn keys<'a>(
    name: &str,
    number: &Bytes,
    rest: &'a [Bytes],
) -> std::result::Result<(Vec<Key>, &'a [Bytes]), Value> {
    let number = integer(number)?;
    if number < 1 {
        return Err(error(&format!(
            "at least 1 input key is needed for '{name}' command"
        )));
    }
    let split = u64::try_from(number)
        .ok()
        .and_then(|number| split_keys(rest, number));
    split.ok_or_else(syntax)
}

fn limit(mut options: &[Bytes]) -> std::result::Result<u64, CommandError> {
    let mut limit = 0;
    while let [word, after @ ..] = options {
        match after {
            [number, after @ ..] if is(word, "limit") => {
                let number = parse_i64(number).and_then(|n| u64::try_from(n).ok());
                limit = number.ok_or(CommandError::Redis("LIMIT can't be negative"))?;
                options = after;
            }
            _ => return Err(CommandError::Syntax),
        }
    }
    Ok(limit)
}

fn combination(
    name: &str,
    keys: &[Key],
    mut options: &[Bytes],
    reads: bool,
) -> std::result::Result<(ZOperation, bool), CommandError> {
    let operation = operation(name);
    let combines = operation != SetOperation::Difference;
    let mut weights = vec![1.0; keys.len()];
    let (mut aggregate, mut with_scores) = (Aggregate::Sum, false);
    while let [word, after @ ..] = options {
        options = after;
        if combines && is(word, "weights") && after.len() >= keys.len() {
            for weight in &mut weights {
                let [number, after @ ..] = options else {
                    return Err(CommandError::Syntax);
                };
                let number = parse_double(number);
                *weight = number.ok_or(CommandError::Redis("weight value is not a float"))?;
                options = after;
            }
        } else if combines && is(word, "aggregate") {
            let [how, after @ ..] = after else {
                return Err(CommandError::Syntax);
            };
            aggregate = match how.to_ascii_lowercase().as_slice() {
                b"sum" => Aggregate::Sum,
                b"min" => Aggregate::Min,
                b"max" => Aggregate::Max,
                _ => return Err(CommandError::Syntax),
            };
            options = after;
        } else if reads && is(word, "withscores") {
            with_scores = true;
        } else {
            return Err(CommandError::Syntax);
        }
    }
    let operation = ZOperation {
        operation,
        sources: keys.iter().cloned().zip(weights).collect(),
        aggregate,
    };
    Ok((operation, with_scores))
}
