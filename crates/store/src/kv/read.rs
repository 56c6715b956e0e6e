//! Clients' reads over an ordered map, with Redis's answers.

use std::collections::BTreeSet;

use cartograph_crdt::{Score, Type};

use super::{Tables, Visit, keys, views};
use crate::error::Error;
use crate::hyperloglog;
use crate::store::{Read, ReadReply};

/// Answers a read as of `now_ms`.
///
/// # Errors
/// [`Error::WrongType`], or the store's own.
pub fn read(tables: &(impl Tables + ?Sized), read: &Read, now_ms: u64) -> Result<ReadReply, Error> {
    let reads = Reads { tables, now_ms };
    Ok(match read {
        Read::Get(key) => bytes_or_nil(reads.string(key)?),
        Read::StrLen(key) => reads.count(key, Type::String)?,
        Read::Exists(names) => {
            let mut n = 0;
            for key in names {
                n += i64::from(reads.record(key)?.is_some());
            }
            ReadReply::Integer(n)
        }
        Read::Type(key) => {
            let name = reads.record(key)?.map_or("none", |r| r.ty.redis_name());
            ReadReply::Type(name.to_owned())
        }
        Read::Pttl(key) => reads.pttl(key)?,
        Read::HGet(key, field) => bytes_or_nil(reads.element(key, Type::Hash, field)?),
        Read::HMGet(key, fields) => {
            let values = fields.iter().map(|f| reads.element(key, Type::Hash, f));
            ReadReply::Optional(values.collect::<Result<_, Error>>()?)
        }
        Read::HGetAll(key) => ReadReply::Pairs(reads.elements(key, Type::Hash)?),
        Read::HLen(key) => reads.count(key, Type::Hash)?,
        Read::SMembers(key) => {
            let members = reads.elements(key, Type::Set)?;
            ReadReply::List(members.into_iter().map(|(name, _)| name).collect())
        }
        Read::SIsMember(key, member) => {
            let found = reads.element(key, Type::Set, member)?;
            ReadReply::Integer(i64::from(found.is_some()))
        }
        Read::SCard(key) => reads.count(key, Type::Set)?,
        Read::ZRange { key, start, stop } => ReadReply::Scored(reads.by_rank(key, *start, *stop)?),
        Read::ZScore(key, member) => match reads.element(key, Type::SortedSet, member)? {
            None => ReadReply::Nil,
            Some(value) => ReadReply::Score(views::score(&value)?),
        },
        Read::ZCard(key) => reads.count(key, Type::SortedSet)?,
        Read::PfCount(names) => reads.pf_count(names)?,
        Read::Scan {
            cursor,
            pattern,
            count,
        } => {
            let (cursor, keys) = reads.scan(*cursor, pattern.as_deref(), *count)?;
            ReadReply::Page { cursor, keys }
        }
        Read::Keys { pattern } => ReadReply::List(reads.scan(0, Some(pattern), usize::MAX)?.1),
        Read::DbSize => integer(views::count(tables, now_ms)?),
    })
}

fn integer(n: u64) -> ReadReply {
    ReadReply::Integer(i64::try_from(n).unwrap_or(i64::MAX))
}

fn bytes_or_nil(bytes: Option<Vec<u8>>) -> ReadReply {
    bytes.map_or(ReadReply::Nil, ReadReply::Bytes)
}

struct Reads<'a, T: ?Sized> {
    tables: &'a T,
    now_ms: u64,
}

impl<T: Tables + ?Sized> Reads<'_, T> {
    fn record(&self, key: &[u8]) -> Result<Option<views::Record>, Error> {
        views::record(self.tables, key, self.now_ms)
    }

    /// The record, which must be of this type if there is one.
    fn typed(&self, key: &[u8], ty: Type) -> Result<Option<views::Record>, Error> {
        let record = self.record(key)?;
        if record.is_some_and(|r| r.ty != ty) {
            return Err(Error::wrong_type());
        }
        Ok(record)
    }

    fn count(&self, key: &[u8], ty: Type) -> Result<ReadReply, Error> {
        Ok(integer(self.typed(key, ty)?.map_or(0, |r| r.count)))
    }

    fn string(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        let record = self.typed(key, Type::String)?;
        record.map(|_| views::string(self.tables, key)).transpose()
    }

    fn element(&self, key: &[u8], ty: Type, name: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        match self.typed(key, ty)? {
            None => Ok(None),
            Some(_) => views::element(self.tables, key, name),
        }
    }

    fn elements(&self, key: &[u8], ty: Type) -> Result<Vec<views::NameValue>, Error> {
        match self.typed(key, ty)? {
            None => Ok(Vec::new()),
            Some(_) => views::elements(self.tables, key),
        }
    }

    fn pttl(&self, key: &[u8]) -> Result<ReadReply, Error> {
        Ok(ReadReply::Integer(match self.record(key)? {
            None => -2,
            Some(views::Record { expiry: None, .. }) => -1,
            Some(views::Record {
                expiry: Some(expiry), ..
            }) => i64::try_from(expiry.saturating_sub(self.now_ms)).unwrap_or(i64::MAX),
        }))
    }

    /// Sorts the whole set: O(n log n). These stores keep no index by score.
    fn by_rank(&self, key: &[u8], start: i64, stop: i64) -> Result<Vec<(Vec<u8>, Score)>, Error> {
        let mut scored = Vec::new();
        for (member, value) in self.elements(key, Type::SortedSet)? {
            scored.push((member, views::score(&value)?));
        }
        scored.sort_by(|a, b| a.1.get().total_cmp(&b.1.get()).then_with(|| a.0.cmp(&b.0)));
        let len = i64::try_from(scored.len()).unwrap_or(i64::MAX);
        let rank = |n: i64| if n < 0 { n.saturating_add(len) } else { n };
        let first = usize::try_from(rank(start).max(0)).unwrap_or(usize::MAX);
        let past = usize::try_from(rank(stop).saturating_add(1).clamp(0, len)).unwrap_or(0);
        Ok(scored.get(first..past).unwrap_or_default().to_vec())
    }

    fn pf_count(&self, names: &[Vec<u8>]) -> Result<ReadReply, Error> {
        let mut union = vec![0_u8; usize::from(cartograph_crdt::hyperloglog::REGISTERS)];
        for key in names {
            let Some(bytes) = self.string(key)? else {
                continue;
            };
            if !hyperloglog::is_dense(&bytes) {
                return Err(Error::no_hyperloglog());
            }
            for (to, from) in union.iter_mut().zip(hyperloglog::ranks(&bytes)) {
                *to = from.max(*to);
            }
        }
        Ok(integer(hyperloglog::count(&union)))
    }

    /// Looks at `count` keys, and at all that share the last one's place in the order. The next cursor, and keys.
    fn scan(&self, cursor: u64, pattern: Option<&[u8]>, count: usize) -> Result<(u64, Vec<Vec<u8>>), Error> {
        let from = keys::views_from(cursor);
        let until = keys::after(keys::VIEWS.to_vec());
        let mut page = BTreeSet::new();
        let (mut looked, mut last, mut next) = (0, None, 0);
        let mut fault = None;
        self.tables.range(&from, &until, &mut |key, value| {
            let hash = keys::Reader(key.get(1..).unwrap_or_default()).u64();
            if looked >= count.max(1) && hash != last {
                next = hash.unwrap_or(0);
                return Visit::Break(());
            }
            looked += 1;
            last = hash;
            match views::scanned(key, value, self.now_ms) {
                Ok(Some(key)) => {
                    if pattern.is_none_or(|p| glob(p, &key)) {
                        page.insert(key);
                    }
                    Visit::Continue(())
                }
                Ok(None) => Visit::Continue(()),
                Err(error) => {
                    fault = Some(error);
                    Visit::Break(())
                }
            }
        })?;
        if let Some(error) = fault {
            return Err(error);
        }
        Ok((next, page.into_iter().collect()))
    }
}

/// Does `text` match a glob as Redis understands it: `*`, `?`, `[a-z]`, `[^a]`, `\` before a literal?
///
/// # Cost
/// O(pattern times text): a star that fails goes on from the last star only.
pub fn glob(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (pattern, text);
    let mut retry: Option<(&[u8], &[u8])> = None;
    loop {
        match (p.split_first(), t.split_first()) {
            (Some((b'*', rest)), _) => {
                retry = Some((rest, t));
                p = rest;
                continue;
            }
            (None, None) => return true,
            (Some(_), Some((byte, text_rest))) => {
                if let Some(rest) = match_one(p, *byte) {
                    (p, t) = (rest, text_rest);
                    continue;
                }
            }
            (Some(_), None) | (None, Some(_)) => {}
        }
        match retry.and_then(|(rest, from)| Some((rest, from.split_first()?.1))) {
            Some((rest, from)) => {
                retry = Some((rest, from));
                (p, t) = (rest, from);
            }
            None => return false,
        }
    }
}

/// Matches one byte against the pattern's first element; the rest of the pattern if it fits.
fn match_one(pattern: &[u8], byte: u8) -> Option<&[u8]> {
    let (first, rest) = pattern.split_first()?;
    match first {
        b'?' => Some(rest),
        b'[' => {
            let (fits, rest) = match_class(rest, byte);
            fits.then_some(rest)
        }
        b'\\' => match rest.split_first() {
            Some((literal, rest)) => (*literal == byte).then_some(rest),
            None => (byte == b'\\').then_some(rest),
        },
        literal => (*literal == byte).then_some(rest),
    }
}

/// Matches one byte against a class, and gives what follows it. A class that is not closed ends with the pattern.
fn match_class(mut class: &[u8], byte: u8) -> (bool, &[u8]) {
    let negated = class.first() == Some(&b'^');
    if negated {
        class = class.get(1..).unwrap_or_default();
    }
    let mut fits = false;
    loop {
        match class {
            [] => return (fits != negated, &[]),
            [b']', rest @ ..] => return (fits != negated, rest),
            [b'\\', literal, rest @ ..] => {
                fits |= *literal == byte;
                class = rest;
            }
            [low, b'-', high, rest @ ..] => {
                fits |= (*low.min(high)..=*low.max(high)).contains(&byte);
                class = rest;
            }
            [literal, rest @ ..] => {
                fits |= *literal == byte;
                class = rest;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_match_as_in_redis() {
        let fits = |p: &str, t: &str| glob(p.as_bytes(), t.as_bytes());
        assert!(fits("*", "") && fits("a*c", "abbc") && fits("a*b*c", "aXbYbZc"));
        assert!(!fits("a*c", "abbd") && !fits("", "a") && fits("a?c", "abc"));
        assert!(fits("[a-c]x", "bx") && fits("[c-a]x", "bx") && !fits("[^a-c]x", "bx"));
        assert!(fits("\\*", "*") && !fits("\\*", "a") && fits("[\\]]", "]") && fits("[ab", "a"));
    }

    #[test]
    fn many_stars_do_not_take_exponential_time() {
        let pattern = b"*a".repeat(200);
        assert!(!glob(&pattern, &[b'a'; 150]));
    }
}
