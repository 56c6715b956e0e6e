//! Ranges of sorted sets: by rank, score or member; read, stored, counted, removed.

use bytes::Bytes;
use cartograph_engine::Command;
use cartograph_engine::command::Read;
use cartograph_engine::command::range::{LexBound, LexRange, ScoreRange, Span, ZRange};
use cartograph_engine::number::parse_bound;
use cartograph_resp::Value;

use super::args::{arity, bytes, error, integer, syntax};
use super::{Parsed, Result, Shape};

type Outcome<T> = std::result::Result<T, Value>;

/// What a range's bounds are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    Rank,
    Score,
    Member,
}

/// What a command's name leaves to its options.
struct Form {
    /// `None`: BYSCORE and BYLEX are options.
    by: Option<By>,
    /// `None`: REV is an option.
    reverse: Option<bool>,
    stores: bool,
}

pub(super) fn write(name: &str, args: &[Bytes]) -> Result {
    let span = match (name, args) {
        ("zrangestore", [to, from, min, max, options @ ..]) => {
            let form = Form {
                by: None,
                reverse: None,
                stores: true,
            };
            let (range, _) = range(&form, min, max, options)?;
            return Ok(Parsed::plain(Command::ZRangeStore {
                to: bytes(to),
                from: bytes(from),
                range,
            }));
        }
        ("zremrangebyrank", [_, start, stop]) => ranks(start, stop)?,
        ("zremrangebyscore", [_, min, max]) => Span::Scores(scores(min, max)?),
        ("zremrangebylex", [_, min, max]) => Span::Members(members(min, max)?),
        _ => return Err(arity(name)),
    };
    let key = args.first().map(bytes).unwrap_or_default();
    let range = ZRange {
        span,
        reverse: false,
        limit: None,
    };
    Ok(Parsed::plain(Command::ZRemRange { key, range }))
}

pub(super) fn read(name: &str, args: &[Bytes]) -> Result {
    let (by, reverse) = match (name, args) {
        ("zcount", [key, min, max]) => {
            return Ok(Parsed::read(Read::ZCount {
                key: bytes(key),
                range: scores(min, max)?,
            }));
        }
        ("zlexcount", [key, min, max]) => {
            return Ok(Parsed::read(Read::ZLexCount {
                key: bytes(key),
                range: members(min, max)?,
            }));
        }
        ("zrange", _) => (None, None),
        ("zrevrange", _) => (Some(By::Rank), Some(true)),
        ("zrangebyscore", _) => (Some(By::Score), Some(false)),
        ("zrevrangebyscore", _) => (Some(By::Score), Some(true)),
        ("zrangebylex", _) => (Some(By::Member), Some(false)),
        ("zrevrangebylex", _) => (Some(By::Member), Some(true)),
        _ => return Err(arity(name)),
    };
    let [key, min, max, options @ ..] = args else {
        return Err(arity(name));
    };
    let form = Form {
        by,
        reverse,
        stores: false,
    };
    let (range, with_scores) = range(&form, min, max, options)?;
    let read = Read::ZRange {
        key: bytes(key),
        range,
        with_scores,
    };
    Ok(Parsed::shaped_read(
        read,
        if with_scores { Shape::Pairs } else { Shape::Plain },
    ))
}

/// The range, and WITHSCORES.
fn range(form: &Form, min: &Bytes, max: &Bytes, mut options: &[Bytes]) -> Outcome<(ZRange, bool)> {
    let (mut by, mut reverse, mut with_scores) = (form.by, form.reverse, false);
    let mut limit: Option<(i64, i64)> = None;
    while let [word, after @ ..] = options {
        options = match (word.to_ascii_lowercase().as_slice(), after) {
            (b"withscores", after) if !form.stores => {
                with_scores = true;
                after
            }
            (b"limit", [offset, count, after @ ..]) => {
                limit = Some((integer(offset)?, integer(count)?));
                after
            }
            (b"rev", after) if reverse.is_none() => {
                reverse = Some(true);
                after
            }
            (b"bylex", after) if by.is_none() => {
                by = Some(By::Member);
                after
            }
            (b"byscore", after) if by.is_none() => {
                by = Some(By::Score);
                after
            }
            _ => return Err(syntax()),
        };
    }
    let (by, reverse) = (by.unwrap_or(By::Rank), reverse.unwrap_or(false));
    if by == By::Rank && limit.is_some_and(|(_, count)| count != -1) {
        return Err(error(
            "syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX",
        ));
    }
    if with_scores && by == By::Member {
        return Err(error(
            "syntax error, WITHSCORES not supported in combination with BYLEX",
        ));
    }
    let (low, high) = if reverse { (max, min) } else { (min, max) };
    let span = match by {
        By::Rank => ranks(min, max)?,
        By::Score => Span::Scores(scores(low, high)?),
        By::Member => Span::Members(members(low, high)?),
    };
    let range = ZRange { span, reverse, limit };
    Ok((range, with_scores))
}

fn ranks(start: &Bytes, stop: &Bytes) -> Outcome<Span> {
    Ok(Span::Ranks {
        start: integer(start)?,
        stop: integer(stop)?,
    })
}

fn scores(min: &Bytes, max: &Bytes) -> Outcome<ScoreRange> {
    let bound = |arg: &Bytes| {
        let (outside, number) = match arg.split_first() {
            Some((b'(', number)) => (true, number),
            Some(_) | None => (false, arg.as_ref()),
        };
        let bound = parse_bound(number).ok_or_else(|| error("min or max is not a float"))?;
        Ok((bound, outside))
    };
    let ((min, above_min), (max, below_max)) = (bound(min)?, bound(max)?);
    Ok(ScoreRange {
        min,
        max,
        above_min,
        below_max,
    })
}

fn members(min: &Bytes, max: &Bytes) -> Outcome<LexRange> {
    let bound = |arg: &Bytes| match arg.split_first() {
        Some((b'+', [])) => Ok(LexBound::Last),
        Some((b'-', [])) => Ok(LexBound::First),
        Some((b'[', member)) => Ok(LexBound::Including(member.to_vec())),
        Some((b'(', member)) => Ok(LexBound::Excluding(member.to_vec())),
        Some(_) | None => Err(error("min or max not valid string range item")),
    };
    Ok(LexRange {
        min: bound(min)?,
        max: bound(max)?,
    })
}
