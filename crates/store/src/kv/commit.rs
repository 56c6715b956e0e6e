//! Claims and commits over an ordered map.
//!
//! All checks come before the first write, so a commit that is refused has written nothing even where the map cannot
//! roll back; where it can (a transaction), an error half way leaves nothing either.

use cartograph_crdt::ShardId;
use cartograph_replica::commit::{
    BatchId, CONFLICTS_MAX, Commit, Fence, Head, IndexChanges, LogAppend, MetadataChange, Outcome,
};

use super::{TablesMut, Visit, damaged, delete_range, keys, keys_in, views};
use crate::error::Error;

/// How many expired views and kept replies one commit clears away at most.
const CLEARED_MAX: usize = 64;

/// A head's compared part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Position {
    fence: u64,
    batch: u64,
    sequence: u64,
}

impl Position {
    fn load(tables: &(impl TablesMut + ?Sized), shard: ShardId) -> Result<Self, Error> {
        let Some(bytes) = tables.get(&keys::head(shard))? else {
            return Ok(Position::default());
        };
        let mut reader = keys::Reader(&bytes);
        let mut parts = || -> Option<Position> {
            Some(Position {
                fence: reader.u64()?,
                batch: reader.u64()?,
                sequence: reader.u64()?,
            })
        };
        parts().ok_or_else(|| damaged("the head"))
    }

    fn save(self, tables: &mut (impl TablesMut + ?Sized), shard: ShardId) -> Result<(), Error> {
        let mut bytes = Vec::with_capacity(24);
        for n in [self.fence, self.batch, self.sequence] {
            bytes.extend_from_slice(&n.to_be_bytes());
        }
        tables.put(&keys::head(shard), &bytes)
    }
}

/// Raises the fence and reads the head.
///
/// # Errors
/// The store's own.
pub fn claim(tables: &mut (impl TablesMut + ?Sized), shard: ShardId) -> Result<Head, Error> {
    let mut position = Position::load(tables, shard)?;
    position.fence = position.fence.saturating_add(1);
    position.save(tables, shard)?;
    let mut head = Head {
        fence: Fence(position.fence),
        batch: BatchId(position.batch),
        sequence: position.sequence,
        ..Head::default()
    };
    let prefix = keys::head_fields(shard);
    let skip = prefix.len();
    tables.range(&prefix, &keys::after(prefix.clone()), &mut |key, value| {
        if let Some(field) = key.get(skip..).and_then(keys::parse_field_name) {
            head.fields.insert(field, value.to_vec());
        }
        Visit::Continue(())
    })?;
    Ok(head)
}

/// Applies a commit, or says why not.
///
/// # Errors
/// The store's own; the transaction must then be dropped.
pub fn apply(tables: &mut (impl TablesMut + ?Sized), commit: &Commit, now_ms: u64) -> Result<Outcome, Error> {
    if let Some(refusal) = check(tables, commit, now_ms)? {
        return Ok(refusal);
    }
    for change in &commit.metadata {
        apply_metadata(tables, commit.shard, change)?;
    }
    for change in &commit.views {
        views::apply(tables, change, now_ms)?;
    }
    apply_indexes(tables, commit.shard, &commit.indexes, now_ms)?;
    for append in &commit.log {
        append_record(tables, commit.shard, append)?;
    }
    for (field, blob) in &commit.head {
        put_or_delete(tables, &keys::head_field(commit.shard, *field), Some(blob))?;
    }
    views::clear_expired(tables, now_ms, CLEARED_MAX)?;
    clear_replies(tables, commit.shard, now_ms)?;
    let position = Position {
        fence: commit.fence.0,
        batch: commit.batch.0,
        sequence: commit.sequence_after,
    };
    position.save(tables, commit.shard)?;
    Ok(Outcome::Committed)
}

fn check(tables: &(impl TablesMut + ?Sized), commit: &Commit, now_ms: u64) -> Result<Option<Outcome>, Error> {
    let head = Position::load(tables, commit.shard)?;
    let expected = Position {
        fence: commit.fence.0,
        batch: commit.batch.0.wrapping_sub(1),
        sequence: commit.sequence_before,
    };
    if head != expected {
        return Ok(Some(Outcome::Fenced {
            fence: Fence(head.fence),
            batch: BatchId(head.batch),
        }));
    }
    let mut mismatches = Vec::new();
    for guard in &commit.guards {
        if !views::fits(tables, &guard.key, &guard.shape, now_ms)? {
            mismatches.push(guard.key.clone());
        }
    }
    if !mismatches.is_empty() {
        return Ok(Some(Outcome::ViewMismatch {
            keys: mismatches,
            time_ms: now_ms,
        }));
    }
    for change in &commit.views {
        if !views::is_possible(tables, change, now_ms)? {
            return Ok(Some(Outcome::Refused {
                reason: "a view without a guard holds a value of another type".to_owned(),
            }));
        }
    }
    Ok(None)
}

/// Sets a blob; removes it where it is empty or none.
fn put_or_delete(
    tables: &mut (impl TablesMut + ?Sized),
    key: &[u8],
    blob: Option<&[u8]>,
) -> Result<(), Error> {
    match blob {
        Some(blob) if !blob.is_empty() => tables.put(key, blob),
        Some(_) | None => tables.delete(key).map(|_| ()),
    }
}

fn apply_metadata(
    tables: &mut (impl TablesMut + ?Sized),
    shard: ShardId,
    change: &MetadataChange,
) -> Result<(), Error> {
    let key = &change.key;
    if change.drop {
        let row = keys::row(shard, key);
        delete_range(tables, &row, &keys::after(row.clone()))?;
    }
    let parts = [(keys::HEADER, &change.header), (keys::SUMMARY, &change.summary)];
    for (part, blob) in parts {
        if let Some(blob) = blob {
            put_or_delete(tables, &keys::row_part(shard, key, part), Some(blob))?;
        }
    }
    for (element, blob) in &change.elements {
        let at = keys::element(shard, key, element);
        match blob {
            Some(blob) => tables.put(&at, blob)?,
            None => {
                tables.delete(&at)?;
            }
        }
    }
    Ok(())
}

fn apply_indexes(
    tables: &mut (impl TablesMut + ?Sized),
    shard: ShardId,
    changes: &IndexChanges,
    now_ms: u64,
) -> Result<(), Error> {
    for (key, instant) in &changes.due {
        let instant = instant.map(|i| i.min(keys::INSTANT_MAX));
        set_ordered(tables, &keys::due(shard, key), instant, &|n| {
            keys::due_at(shard, n, key)
        })?;
    }
    for (item, batch) in &changes.garbage {
        let item = keys::garbage_item(item);
        let batch = batch.map(|b| b.min(keys::INSTANT_MAX));
        set_ordered(tables, &keys::garbage(shard, &item), batch, &|n| {
            keys::garbage_at(shard, n, &item)
        })?;
    }
    append_conflicts(tables, shard, &changes.conflicts)?;
    for (id, reply, keep_ms) in &changes.replies {
        keep_reply(tables, shard, id, reply, now_ms.saturating_add((*keep_ms).max(1)))?;
    }
    for (origin, keep) in &changes.trims {
        let from = keys::log(shard, *origin);
        let until = if *keep == u64::MAX {
            keys::after(from.clone())
        } else {
            keys::record(shard, *origin, *keep)
        };
        delete_range(tables, &from, &until)?;
    }
    Ok(())
}

/// Keeps a number under `key`, and a second entry in the number's order.
fn set_ordered(
    tables: &mut (impl TablesMut + ?Sized),
    key: &[u8],
    number: Option<u64>,
    order_key: &dyn Fn(u64) -> Vec<u8>,
) -> Result<(), Error> {
    if let Some(bytes) = tables.get(key)? {
        let old = keys::Reader(&bytes)
            .u64()
            .ok_or_else(|| damaged("an index entry"))?;
        tables.delete(&order_key(old))?;
    }
    match number {
        Some(n) => {
            tables.put(key, &n.to_be_bytes())?;
            tables.put(&order_key(n), b"")
        }
        None => tables.delete(key).map(|_| ()),
    }
}

fn append_conflicts(
    tables: &mut (impl TablesMut + ?Sized),
    shard: ShardId,
    conflicts: &[(Vec<u8>, Vec<u8>)],
) -> Result<(), Error> {
    if conflicts.is_empty() {
        return Ok(());
    }
    let counter = keys::conflict_next(shard);
    let stored = tables.get(&counter)?;
    let mut next = stored.map_or(Some(0), |bytes| keys::Reader(&bytes).u64());
    for (key, blob) in conflicts {
        let n = next.ok_or_else(|| damaged("the number of conflicts"))?;
        tables.put(&keys::conflict(shard, n), &keys::conflict_value(key, blob))?;
        if let Some(oldest) = n.checked_sub(CONFLICTS_MAX as u64) {
            tables.delete(&keys::conflict(shard, oldest))?;
        }
        next = n.checked_add(1);
    }
    tables.put(&counter, &next.unwrap_or(u64::MAX).to_be_bytes())
}

fn keep_reply(
    tables: &mut (impl TablesMut + ?Sized),
    shard: ShardId,
    id: &[u8],
    reply: &[u8],
    until: u64,
) -> Result<(), Error> {
    let key = keys::reply(shard, id);
    if let Some(old) = tables.get(&key)?.and_then(|v| keys::Reader(&v).u64()) {
        tables.delete(&keys::reply_until(shard, old, id))?;
    }
    let mut value = until.to_be_bytes().to_vec();
    value.extend_from_slice(reply);
    tables.put(&key, &value)?;
    tables.put(&keys::reply_until(shard, until, id), b"")
}

fn clear_replies(tables: &mut (impl TablesMut + ?Sized), shard: ShardId, now_ms: u64) -> Result<(), Error> {
    let order = keys::reply_order(shard);
    let until = keys::reply_until(shard, now_ms.saturating_add(1), b"");
    for entry in keys_in(tables, &order, &until, CLEARED_MAX)? {
        let id = entry.get(order.len() + 8..).unwrap_or_default();
        tables.delete(&keys::reply(shard, id))?;
        tables.delete(&entry)?;
    }
    Ok(())
}

/// Appends a record. One that ends where this one begins or later is what a half-run commit left: it goes.
fn append_record(
    tables: &mut (impl TablesMut + ?Sized),
    shard: ShardId,
    append: &LogAppend,
) -> Result<(), Error> {
    let from = keys::record(shard, append.origin, append.first);
    delete_range(tables, &from, &keys::after(keys::log(shard, append.origin)))?;
    tables.put(&keys::record(shard, append.origin, append.last), &append.record)
}
