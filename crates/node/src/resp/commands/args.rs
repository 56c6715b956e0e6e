//! Arguments as Redis reads them, and its words for those that it does not take.

use bytes::Bytes;
use cartograph_engine::CommandError;
use cartograph_engine::number::{parse_double, parse_i64};
use cartograph_replica::Key;
use cartograph_resp::Value;

/// An error of Redis's, without its `ERR`.
pub(super) fn error(text: &str) -> Value {
    Value::Error(format!("ERR {text}"))
}

/// What the engine would refuse with.
pub(super) fn refusal(error: &CommandError) -> Value {
    Value::Error(error.to_string())
}

pub(super) fn syntax() -> Value {
    refusal(&CommandError::Syntax)
}

/// Wrong number of arguments.
pub(super) fn arity(name: &str) -> Value {
    error(&format!("wrong number of arguments for '{name}' command"))
}

/// Is the argument this word, in any case?
pub(super) fn is(arg: &Bytes, word: &str) -> bool {
    arg.eq_ignore_ascii_case(word.as_bytes())
}

pub(super) fn bytes(arg: &Bytes) -> Vec<u8> {
    arg.to_vec()
}

pub(super) fn all(args: &[Bytes]) -> Vec<Vec<u8>> {
    args.iter().map(bytes).collect()
}

/// Pairs of arguments; `None` where one is left over.
pub(super) fn pairs(args: &[Bytes]) -> Option<Vec<(Vec<u8>, Vec<u8>)>> {
    let (pairs, rest) = args.as_chunks::<2>();
    let pairs = pairs.iter().map(|[a, b]| (bytes(a), bytes(b)));
    rest.is_empty().then(|| pairs.collect())
}

/// A 64-bit integer.
pub(super) fn integer(arg: &Bytes) -> Result<i64, Value> {
    parse_i64(arg).ok_or_else(|| refusal(&CommandError::NotAnInteger))
}

/// The same with words of the command's own for everything that is not at least `min`.
pub(super) fn at_least(arg: &Bytes, min: i64, otherwise: &str) -> Result<u64, Value> {
    let number = parse_i64(arg).filter(|n| *n >= min);
    number
        .and_then(|n| u64::try_from(n).ok())
        .ok_or_else(|| error(otherwise))
}

/// A count that is not negative.
pub(super) fn count(arg: &Bytes) -> Result<u64, Value> {
    at_least(arg, 0, "value is out of range, must be positive")
}

/// A count of random elements: negative ones repeat them.
pub(super) fn random_count(arg: &Bytes) -> Result<i64, Value> {
    match integer(arg)? {
        i64::MIN => Err(error(
            "value is out of range, value must between -9223372036854775807 and 9223372036854775807",
        )),
        count => Ok(count),
    }
}

/// A double.
pub(super) fn double(arg: &Bytes) -> Result<f64, Value> {
    double_or(arg, "value is not a valid float")
}

/// The same with words of the command's own.
pub(super) fn double_or(arg: &Bytes, otherwise: &str) -> Result<f64, Value> {
    parse_double(arg).ok_or_else(|| error(otherwise))
}

/// As many keys as `numkeys` says, and what comes after them; `None` when there are not so many.
pub(super) fn split_keys(rest: &[Bytes], numkeys: u64) -> Option<(Vec<Key>, &[Bytes])> {
    let (keys, rest) = rest.split_at_checked(usize::try_from(numkeys).ok()?)?;
    Some((all(keys), rest))
}
