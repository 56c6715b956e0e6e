//! When two replies are the same.

use bytes::Bytes;
use cartograph_engine::Command;
use cartograph_resp::Value;

use super::grammar::Words;
use super::sides::Ours;

/// What became of a comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Same,
    Different,
    /// Ours refuses on purpose what Redis does: nothing after it can be compared.
    MeantToDiffer,
}

/// How refusals begin that are ours alone; each is told of in docs/commands.md.
const OURS_ALONE: &[&str] = &[
    "-WRONGTYPE this key holds a HyperLogLog",
    "-ERR a HyperLogLog without elements",
    "-ERR DB index is out of range",
    "-ERR a replicated increment must be finite",
];

/// By how many seconds two relative times may differ: our clock stands still while a batch runs.
const SLACK_SECONDS: i64 = 60;

pub(super) fn verdict(words: &Words, ours: &Bytes, theirs: &Bytes, side: &mut Ours) -> Verdict {
    if ours == theirs {
        return Verdict::Same;
    }
    if OURS_ALONE.iter().any(|text| ours.starts_with(text.as_bytes())) {
        side.given_up += 1;
        return Verdict::MeantToDiffer;
    }
    let (Ok(a), Ok(b)) = (Value::from_frame(ours), Value::from_frame(theirs)) else {
        return Verdict::Different;
    };
    let name = words[0].to_ascii_lowercase();
    let same = match name.as_slice() {
        b"ttl" | b"expiretime" => near(&a, &b, SLACK_SECONDS),
        b"pttl" | b"pexpiretime" => near(&a, &b, SLACK_SECONDS * 1_000),
        b"spop" => true_chance(words, &b),
        // A cursor that nobody gave: what it names is each one's own business.
        b"hscan" | b"sscan" | b"zscan" if words.get(2).is_none_or(|cursor| cursor != b"0") => {
            matches!((&a, &b), (Value::Array(_), Value::Array(_)))
        }
        b"srandmember" | b"hrandfield" | b"zrandmember" => by_chance(&name, words, &a, &b, side),
        _ => in_order(&name, a) == in_order(&name, b),
    };
    if same { Verdict::Same } else { Verdict::Different }
}

fn near(a: &Value, b: &Value, slack: i64) -> bool {
    match (a, b) {
        (Value::Integer(a), Value::Integer(b)) => *a > 0 && *b > 0 && (a - b).abs() <= slack,
        _ => false,
    }
}

/// A pop by chance was made into a removal of the same: what is compared is that the removal removed so many.
fn true_chance(words: &Words, theirs: &Value) -> bool {
    // `chance` made the command; its own reply was a count, which no form of SPOP shows.
    words.len() > 1 && matches!(theirs, Value::Bulk(_) | Value::Set(_) | Value::Array(_))
}

/// The removal that stands for what Redis popped by chance.
pub(super) fn chance(words: &Words, theirs: &Bytes) -> Option<Command> {
    if !words[0].eq_ignore_ascii_case(b"spop") {
        return None;
    }
    let members = match Value::from_frame(theirs).ok()? {
        Value::Bulk(member) => vec![member.to_vec()],
        Value::Set(items) | Value::Array(items) if !items.is_empty() => texts(&items),
        _ => return None,
    };
    let key = words[1].clone();
    Some(Command::SRem { key, members })
}

fn texts(items: &[Value]) -> Vec<Vec<u8>> {
    items
        .iter()
        .filter_map(|item| match item {
            Value::Bulk(text) => Some(text.to_vec()),
            _ => None,
        })
        .collect()
}

/// Equally many, and all of them there.
fn by_chance(name: &[u8], words: &Words, ours: &Value, theirs: &Value, side: &mut Ours) -> bool {
    let all = match name {
        b"srandmember" => side.ask(&[b"SMEMBERS", &words[1]]),
        b"hrandfield" => side.ask(&[b"HGETALL", &words[1]]),
        _ => side.ask(&[b"ZRANGE", &words[1], b"0", b"-1", b"WITHSCORES"]),
    };
    let Ok(all) = Value::from_frame(&all) else {
        return false;
    };
    let (mut known, mut a, mut b) = (Vec::new(), Vec::new(), Vec::new());
    leaves(&all, &mut known);
    leaves(ours, &mut a);
    leaves(theirs, &mut b);
    a.len() == b.len()
        && std::mem::discriminant(ours) == std::mem::discriminant(theirs)
        && a.iter().chain(&b).all(|leaf| known.contains(leaf))
}

fn leaves(value: &Value, out: &mut Vec<String>) {
    match value {
        Value::Array(items) | Value::Set(items) => items.iter().for_each(|item| leaves(item, out)),
        Value::Map(pairs) => pairs.iter().for_each(|(key, value)| {
            leaves(key, out);
            leaves(value, out);
        }),
        other => out.push(format!("{other:?}")),
    }
}

/// With what Redis gives in no order in one.
fn in_order(name: &[u8], value: Value) -> Value {
    let text = |value: &Value| format!("{value:?}");
    match (name, value) {
        (
            b"smembers"
            | b"sunion"
            | b"sinter"
            | b"sdiff"
            | b"hkeys"
            | b"hvals"
            | b"geosearch"
            | b"georadius"
            | b"georadius_ro"
            | b"georadiusbymember"
            | b"georadiusbymember_ro",
            Value::Array(mut items),
        ) => {
            items.sort_by_key(text);
            Value::Array(items)
        }
        (b"smembers" | b"sunion" | b"sinter" | b"sdiff", Value::Set(mut items)) => {
            items.sort_by_key(text);
            Value::Set(items)
        }
        (b"hgetall", Value::Map(mut pairs)) => {
            pairs.sort_by_key(|(key, _)| text(key));
            Value::Map(pairs)
        }
        (b"hgetall", Value::Array(items)) => in_pairs(&items),
        (b"hscan" | b"zscan" | b"sscan", Value::Array(parts)) => Value::Array(
            parts
                .into_iter()
                .map(|part| match part {
                    Value::Array(items) if name != b"sscan" => in_pairs(&items),
                    Value::Array(items) => in_order(b"smembers", Value::Array(items)),
                    other => other,
                })
                .collect(),
        ),
        (_, value) => value,
    }
}

fn in_pairs(items: &[Value]) -> Value {
    let mut pairs: Vec<Vec<Value>> = items.chunks(2).map(<[Value]>::to_vec).collect();
    pairs.sort_by_key(|pair| format!("{pair:?}"));
    Value::Array(pairs.concat())
}
