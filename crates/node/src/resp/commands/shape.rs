//! Replies in Redis's forms. The engine's say what was found; how a list of pairs looks depends on the command and on
//! the version of the protocol.

use bytes::Bytes;
use cartograph_engine::Reply;
use cartograph_resp::{Protocol, Value};

/// What becomes of a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Each part as it is.
    Plain,
    /// SETNX: done or not done, as 1 or 0.
    Flag,
    /// HMSET: `OK`, whatever was counted.
    Okay,
    /// Milliseconds as seconds, rounded; negative ones mean something else.
    Seconds,
    /// `HGETALL`: names and values in turn.
    Map,
    /// A set.
    Set,
    /// Names with scores or values in turn: in RESP3 a list of lists.
    Pairs,
    /// ZMPOP: a key, and a list of lists, in both versions.
    KeyedPairs,
    /// BZPOPMIN: a key, a member and its score.
    KeyedOne,
    /// ZRANK WITHSCORE: nil is a null list.
    List,
    /// GEOPOS: absent places are null lists, numbers have their digits as text.
    Places,
    /// GEOSEARCH.
    Found {
        /// WITHDIST.
        distance: bool,
        /// WITHHASH.
        hash: bool,
        /// WITHCOORD.
        coordinates: bool,
    },
    /// HSCAN: a cursor that says that this was all, and the list.
    Page,
}

/// The reply in that form.
pub(crate) fn shape(reply: Reply, shape: &Shape, protocol: Protocol) -> Value {
    match (shape, reply) {
        (_, Reply::Error(error)) => Value::Error(error.to_string()),
        (Shape::Plain, reply) => plain(reply),
        (Shape::Flag, Reply::Ok) => Value::Integer(1),
        (Shape::Flag, Reply::Nil) => Value::Integer(0),
        (Shape::Okay, _) => Value::Simple("OK".into()),
        (Shape::Seconds, Reply::Integer(ms)) if ms >= 0 => {
            Value::Integer(ms / 1_000 + i64::from(ms % 1_000 >= 500))
        }
        (Shape::Map, Reply::Array(items)) => {
            let mut items = items.into_iter().map(plain);
            let pair = std::iter::from_fn(|| Some((items.next()?, items.next()?)));
            Value::Map(pair.collect())
        }
        (Shape::Set, Reply::Array(items)) => Value::Set(items.into_iter().map(plain).collect()),
        (Shape::Pairs, Reply::Array(items)) if protocol == Protocol::Resp3 => pairs(items),
        (Shape::KeyedPairs | Shape::KeyedOne | Shape::List, Reply::Nil) => Value::NullArray,
        (Shape::KeyedPairs, Reply::Array(items)) => keyed(items, pairs),
        (Shape::KeyedOne, Reply::Array(items)) => {
            let flat = |item| match item {
                Reply::Array(items) => items,
                other => vec![other],
            };
            Value::Array(items.into_iter().flat_map(flat).map(plain).collect())
        }
        (Shape::Places, Reply::Array(items)) => {
            Value::Array(items.into_iter().map(|place| position(place, protocol)).collect())
        }
        (
            Shape::Found {
                distance,
                hash,
                coordinates,
            },
            Reply::Array(items),
        ) => {
            let wanted = [*distance, *hash, *coordinates];
            Value::Array(
                items
                    .into_iter()
                    .map(|place| found(place, wanted, protocol))
                    .collect(),
            )
        }
        (Shape::Page, items) => Value::Array(vec![Value::Bulk(Bytes::from_static(b"0")), page(items)]),
        (_, reply) => plain(reply),
    }
}

/// What the engine found, part by part.
fn plain(reply: Reply) -> Value {
    match reply {
        Reply::Ok => Value::Simple("OK".into()),
        // Stamps are the door's own business; no client sees them.
        Reply::Nil | Reply::Stamps(_) => Value::Null,
        Reply::Integer(n) => Value::Integer(n),
        Reply::Double(score) => Value::Double(score),
        Reply::Bytes(bytes) => Value::Bulk(bytes.into()),
        Reply::Array(items) => Value::Array(items.into_iter().map(plain).collect()),
        Reply::Simple(word) => Value::Simple(word.into()),
        Reply::Error(error) => Value::Error(error.to_string()),
    }
}

fn pairs(items: Vec<Reply>) -> Value {
    let mut items = items.into_iter().map(plain);
    let pair = std::iter::from_fn(|| Some(Value::Array(vec![items.next()?, items.next()?])));
    Value::Array(pair.collect())
}

/// A key, and a list in another form.
fn keyed(items: Vec<Reply>, form: fn(Vec<Reply>) -> Value) -> Value {
    let part = |item| match item {
        Reply::Array(items) => form(items),
        other => plain(other),
    };
    Value::Array(items.into_iter().map(part).collect())
}

/// Scores in a page of ZSCAN are text in both versions.
fn page(items: Reply) -> Value {
    let text = |item| match item {
        Reply::Double(score) => Value::Bulk(packed(score).into_bytes().into()),
        other => plain(other),
    };
    match items {
        Reply::Array(items) => Value::Array(items.into_iter().map(text).collect()),
        other => plain(other),
    }
}

/// A score as it stands in a small sorted set: whole numbers as such.
fn packed(score: f64) -> String {
    const INTEGER_MAX: f64 = 4_611_686_018_427_387_904.0; // 2^62
    if score.fract() == 0.0 && score.abs() <= INTEGER_MAX {
        return format!("{:.0}", score + 0.0);
    }
    cartograph_engine::number::format_double_17g(score)
}

/// Longitude and latitude: numbers in RESP3, but with digits that no double is printed with elsewhere.
fn position(place: Reply, protocol: Protocol) -> Value {
    let number = |part| match (part, protocol) {
        (Reply::Bytes(digits), Protocol::Resp3) => {
            Value::Raw([b",", digits.as_slice(), b"\r\n"].concat().into())
        }
        (part, _) => plain(part),
    };
    match place {
        Reply::Array(parts) => Value::Array(parts.into_iter().map(number).collect()),
        _ => Value::NullArray,
    }
}

/// Member, distance, score, longitude, latitude: as many of them as were asked for.
fn found(place: Reply, [distance, hash, coordinates]: [bool; 3], protocol: Protocol) -> Value {
    let Reply::Array(parts) = place else {
        return plain(place);
    };
    let mut parts = parts.into_iter();
    let member = parts.next().map_or(Value::Null, plain);
    if !(distance || hash || coordinates) {
        return member;
    }
    let mut shown = vec![member];
    for wanted in [distance, hash] {
        let part = parts.next().map_or(Value::Null, plain);
        if wanted {
            shown.push(part);
        }
    }
    if coordinates {
        shown.push(position(Reply::Array(parts.collect()), protocol));
    }
    Value::Array(shown)
}
