//! Views: Redis-like values in the ordered map.
//!
//! A view has a record (type, expiry, number of elements) and its elements. A view past its expiry is absent: reads
//! do not see it, and a write begins anew. Removing the last element removes the view, as in Redis.

use cartograph_crdt::{Score, Type};
use cartograph_replica::commit::{ViewChange, ViewContent, ViewExpiry, ViewShape, ViewValue};

use super::{Tables, TablesMut, Visit, damaged, delete_range, keys, keys_in};
use crate::error::Error;
use crate::hyperloglog;

/// A view's record. A HyperLogLog is a string, here as in Redis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) ty: Type,
    /// Unix milliseconds.
    pub(crate) expiry: Option<u64>,
    /// Elements; bytes of a string.
    pub(crate) count: u64,
}

impl Record {
    fn encode(self) -> Vec<u8> {
        let mut bytes = vec![keys::type_tag(self.ty)];
        bytes.extend_from_slice(&self.expiry.unwrap_or(u64::MAX).to_be_bytes());
        bytes.extend_from_slice(&self.count.to_be_bytes());
        bytes
    }

    fn decode(bytes: &[u8]) -> Result<Self, Error> {
        let mut reader = keys::Reader(bytes);
        let mut parts = || -> Option<Record> {
            Some(Record {
                ty: keys::tag_type(reader.u8()?)?,
                expiry: Some(reader.u64()?).filter(|e| *e != u64::MAX),
                count: reader.u64()?,
            })
        };
        parts().ok_or_else(|| damaged("a view's record"))
    }

    fn is_live(&self, now_ms: u64) -> bool {
        self.expiry.is_none_or(|expiry| now_ms < expiry)
    }
}

/// A view's record as of `now_ms`.
pub(crate) fn record(
    tables: &(impl Tables + ?Sized),
    key: &[u8],
    now_ms: u64,
) -> Result<Option<Record>, Error> {
    let stored = tables.get(&keys::view(key))?;
    let record = stored.map(|bytes| Record::decode(&bytes)).transpose()?;
    Ok(record.filter(|r| r.is_live(now_ms)))
}

/// Is a scanned view's record live? With its key.
pub(crate) fn scanned(key: &[u8], value: &[u8], now_ms: u64) -> Result<Option<Vec<u8>>, Error> {
    let mut reader = keys::Reader(key);
    reader.bytes(keys::views_from(0).len());
    let live = Record::decode(value)?.is_live(now_ms);
    Ok(live.then(|| reader.0.to_vec()))
}

/// One element's value; a string's value under the empty name.
pub(crate) fn element(
    tables: &(impl Tables + ?Sized),
    key: &[u8],
    name: &[u8],
) -> Result<Option<Vec<u8>>, Error> {
    tables.get(&keys::view_element(key, name))
}

/// A string's value.
pub(crate) fn string(tables: &(impl Tables + ?Sized), key: &[u8]) -> Result<Vec<u8>, Error> {
    Ok(element(tables, key, b"")?.unwrap_or_default())
}

/// An element's name and value.
pub(crate) type NameValue = (Vec<u8>, Vec<u8>);

/// All elements and their values, ascending by name.
pub(crate) fn elements(tables: &(impl Tables + ?Sized), key: &[u8]) -> Result<Vec<NameValue>, Error> {
    let prefix = keys::view_elements(key);
    let skip = prefix.len();
    let mut found = Vec::new();
    tables.range(&prefix, &keys::after(prefix.clone()), &mut |key, value| {
        found.push((key.get(skip..).unwrap_or_default().to_vec(), value.to_vec()));
        Visit::Continue(())
    })?;
    Ok(found)
}

/// A stored score.
pub(crate) fn score(value: &[u8]) -> Result<Score, Error> {
    let bits = keys::Reader(value).u64().map(f64::from_bits);
    bits.and_then(Score::new).ok_or_else(|| damaged("a score"))
}

/// A score as every store keeps it: there is one zero. (Redis keeps or loses a zero's sign by encoding.)
pub(crate) fn canonical_score(score: Score) -> Score {
    if score.get() == 0.0 {
        Score::new(0.0).unwrap_or(score)
    } else {
        score
    }
}

/// A view, whole.
pub(crate) fn value(
    tables: &(impl Tables + ?Sized),
    key: &[u8],
    now_ms: u64,
) -> Result<Option<(ViewValue, Option<u64>)>, Error> {
    let Some(record) = record(tables, key, now_ms)? else {
        return Ok(None);
    };
    let value = match record.ty {
        Type::String | Type::HyperLogLog => {
            let mut bytes = string(tables, key)?;
            hyperloglog::forget_cached_count(&mut bytes);
            ViewValue::String(bytes)
        }
        Type::Hash => ViewValue::Hash(elements(tables, key)?),
        Type::Set => ViewValue::Set(elements(tables, key)?.into_iter().map(|(name, _)| name).collect()),
        Type::SortedSet => ViewValue::SortedSet(
            elements(tables, key)?
                .into_iter()
                .map(|(name, value)| Ok((name, score(&value)?)))
                .collect::<Result<_, Error>>()?,
        ),
    };
    Ok(Some((value, record.expiry)))
}

/// Is the view what a guard says?
pub(crate) fn fits(
    tables: &(impl Tables + ?Sized),
    key: &[u8],
    shape: &ViewShape,
    now_ms: u64,
) -> Result<bool, Error> {
    let record = record(tables, key, now_ms)?;
    Ok(match (shape, record) {
        (ViewShape::Absent, record) => record.is_none(),
        (ViewShape::Present { .. }, None) => false,
        (
            ViewShape::Present {
                ty: Type::HyperLogLog,
                cardinality: _,
            },
            Some(record),
        ) => record.ty == Type::String && hyperloglog::is_dense(&string(tables, key)?),
        (ViewShape::Present { ty, cardinality }, Some(record)) => {
            record.ty == *ty && cardinality.is_none_or(|n| n == record.count)
        }
    })
}

/// Can the change be made, or is there a value of another type in its way? (Guards make sure of it.)
pub(crate) fn is_possible(
    tables: &(impl Tables + ?Sized),
    change: &ViewChange,
    now_ms: u64,
) -> Result<bool, Error> {
    let wanted = match &change.content {
        ViewContent::Unchanged | ViewContent::Absent | ViewContent::String(_) => return Ok(true),
        ViewContent::Hash { .. } => Type::Hash,
        ViewContent::Set { .. } => Type::Set,
        ViewContent::SortedSet { .. } => Type::SortedSet,
        ViewContent::HyperLogLog { .. } => Type::String,
    };
    let record = record(tables, &change.key, now_ms)?;
    Ok(change.replace || record.is_none_or(|r| r.ty == wanted))
}

/// Makes one view change.
pub(crate) fn apply(
    tables: &mut (impl TablesMut + ?Sized),
    change: &ViewChange,
    now_ms: u64,
) -> Result<(), Error> {
    let mut view = Editor::open(tables, &change.key, now_ms)?;
    if change.replace {
        view.clear()?;
    }
    match &change.content {
        ViewContent::Unchanged => {}
        ViewContent::Absent => view.clear()?,
        ViewContent::String(bytes) => {
            view.clear()?;
            view.set_string(bytes)?;
        }
        ViewContent::Hash { set, delete } => {
            for (field, value) in set {
                view.set(Type::Hash, field, value)?;
            }
            view.remove(delete)?;
        }
        ViewContent::Set { add, remove } => {
            for member in add {
                view.set(Type::Set, member, b"")?;
            }
            view.remove(remove)?;
        }
        ViewContent::SortedSet { set, remove } => {
            for (member, score) in set {
                let bits = canonical_score(*score).to_bits();
                view.set(Type::SortedSet, member, &bits.to_be_bytes())?;
            }
            view.remove(remove)?;
        }
        ViewContent::HyperLogLog { set } => {
            let mut bytes = string(view.tables, &change.key)?;
            if view.record.is_none() || !hyperloglog::is_dense(&bytes) {
                bytes = hyperloglog::empty();
            }
            hyperloglog::set_registers(&mut bytes, set);
            view.set_string(&bytes)?;
        }
    }
    match change.expiry {
        ViewExpiry::Unchanged => {}
        ViewExpiry::Never => view.set_expiry(None),
        ViewExpiry::At(instant) => view.set_expiry(Some(instant.min(keys::INSTANT_MAX))),
    }
    view.close(now_ms)
}

/// Makes a view change outside a commit.
pub(crate) fn tamper(
    tables: &mut (impl TablesMut + ?Sized),
    change: &ViewChange,
    now_ms: u64,
) -> Result<(), Error> {
    if is_possible(tables, change, now_ms)? {
        apply(tables, change, now_ms)
    } else {
        Err(Error::wrong_type())
    }
}

/// Clears away at most `count` views that have expired.
pub(crate) fn clear_expired(
    tables: &mut (impl TablesMut + ?Sized),
    now_ms: u64,
    count: usize,
) -> Result<(), Error> {
    let until = keys::expiries_from(now_ms.saturating_add(1));
    for expiry in keys_in(tables, keys::EXPIRIES, &until, count)? {
        let mut reader = keys::Reader(&expiry);
        reader.bytes(keys::expiries_from(0).len());
        // Opening clears what has expired.
        Editor::open(tables, reader.0, now_ms)?.close(now_ms)?;
    }
    Ok(())
}

/// How many views there are, expired ones left out.
pub(crate) fn count(tables: &(impl Tables + ?Sized), now_ms: u64) -> Result<u64, Error> {
    let stored = stored_count(tables)?;
    let until = keys::expiries_from(now_ms.saturating_add(1));
    let mut expired = 0;
    tables.range(keys::EXPIRIES, &until, &mut |_, _| {
        expired += 1;
        Visit::Continue(())
    })?;
    Ok(stored.saturating_sub(expired))
}

fn stored_count(tables: &(impl Tables + ?Sized)) -> Result<u64, Error> {
    match tables.get(keys::VIEW_COUNT)? {
        None => Ok(0),
        Some(bytes) => keys::Reader(&bytes)
            .u64()
            .ok_or_else(|| damaged("the number of views")),
    }
}

/// A view being changed: elements at once, record, expiry index and count at the end.
struct Editor<'a, T: ?Sized> {
    tables: &'a mut T,
    key: &'a [u8],
    /// As stored, expired or not.
    before: Option<Record>,
    /// As it becomes.
    record: Option<Record>,
}

impl<'a, T: TablesMut + ?Sized> Editor<'a, T> {
    fn open(tables: &'a mut T, key: &'a [u8], now_ms: u64) -> Result<Self, Error> {
        let stored = tables.get(&keys::view(key))?;
        let before = stored.map(|bytes| Record::decode(&bytes)).transpose()?;
        let mut editor = Editor {
            tables,
            key,
            before,
            record: before,
        };
        if before.is_some_and(|r| !r.is_live(now_ms)) {
            editor.clear()?;
        }
        Ok(editor)
    }

    fn clear(&mut self) -> Result<(), Error> {
        if self.record.take().is_some() {
            let prefix = keys::view_elements(self.key);
            delete_range(self.tables, &prefix, &keys::after(prefix.clone()))?;
        }
        Ok(())
    }

    fn set_string(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.tables.put(&keys::view_element(self.key, b""), bytes)?;
        let record = self.record.get_or_insert(Record {
            ty: Type::String,
            expiry: None,
            count: 0,
        });
        record.count = bytes.len() as u64;
        Ok(())
    }

    fn set(&mut self, ty: Type, name: &[u8], value: &[u8]) -> Result<(), Error> {
        let at = keys::view_element(self.key, name);
        let new = self.tables.get(&at)?.is_none();
        self.tables.put(&at, value)?;
        let record = self.record.get_or_insert(Record {
            ty,
            expiry: None,
            count: 0,
        });
        record.count += u64::from(new);
        Ok(())
    }

    fn remove(&mut self, names: &[Vec<u8>]) -> Result<(), Error> {
        for name in names {
            let was = self.tables.delete(&keys::view_element(self.key, name))?;
            if let Some(record) = &mut self.record {
                record.count = record.count.saturating_sub(u64::from(was));
            }
        }
        self.record = self.record.filter(|r| r.count > 0);
        Ok(())
    }

    fn set_expiry(&mut self, expiry: Option<u64>) {
        if let Some(record) = &mut self.record {
            record.expiry = expiry;
        }
    }

    fn close(mut self, now_ms: u64) -> Result<(), Error> {
        if self.record.is_some_and(|r| !r.is_live(now_ms)) {
            self.clear()?;
        }
        let expiry = |record: Option<Record>| record.and_then(|r| r.expiry);
        if expiry(self.before) != expiry(self.record) {
            if let Some(instant) = expiry(self.before) {
                self.tables.delete(&keys::expiry(instant, self.key))?;
            }
            if let Some(instant) = expiry(self.record) {
                self.tables.put(&keys::expiry(instant, self.key), b"")?;
            }
        }
        match self.record {
            Some(record) => {
                if self.before != self.record {
                    self.tables.put(&keys::view(self.key), &record.encode())?;
                }
            }
            None => {
                if self.before.is_some() {
                    self.tables.delete(&keys::view(self.key))?;
                }
            }
        }
        if self.before.is_some() != self.record.is_some() {
            let count = stored_count(self.tables)?;
            let count = if self.record.is_some() {
                count.saturating_add(1)
            } else {
                count.saturating_sub(1)
            };
            self.tables.put(keys::VIEW_COUNT, &count.to_be_bytes())?;
        }
        Ok(())
    }
}
