//! The core's loads over an ordered map.

use cartograph_crdt::ShardId;
use cartograph_replica::commit::{Elements, Load, Loaded, StoredRow};

use super::{Tables, Visit, damaged, keys, views};
use crate::error::Error;

/// Answers a load as of `now_ms`.
///
/// # Errors
/// The store's own.
pub fn load(
    tables: &(impl Tables + ?Sized),
    shard: ShardId,
    load: &Load,
    now_ms: u64,
) -> Result<Loaded, Error> {
    match load {
        Load::Row { key, elements } => row(tables, shard, key, elements).map(Loaded::Row),
        Load::Log {
            origin,
            from,
            bytes_max,
        } => {
            let until = keys::after(keys::log(shard, *origin));
            log(tables, &keys::record(shard, *origin, *from), &until, *bytes_max).map(Loaded::Log)
        }
        Load::Keys { cursor, count } => row_keys(tables, shard, cursor, *count),
        Load::Due { until_ms, count } => due(tables, shard, *until_ms, *count),
        Load::Garbage { until, count } => garbage(tables, shard, until.0, *count),
        Load::Conflicts { key } => conflicts(tables, shard, key),
        Load::Reply { id } => {
            let stored = tables.get(&keys::reply(shard, id))?;
            Ok(Loaded::Reply(stored.and_then(|bytes| {
                let mut reader = keys::Reader(&bytes);
                let until = reader.u64()?;
                (now_ms < until).then(|| reader.0.to_vec())
            })))
        }
        Load::View { key } => views::value(tables, key, now_ms).map(Loaded::View),
    }
}

fn row(
    tables: &(impl Tables + ?Sized),
    shard: ShardId,
    key: &[u8],
    elements: &Elements,
) -> Result<StoredRow, Error> {
    let part = |part| tables.get(&keys::row_part(shard, key, part));
    let mut row = StoredRow {
        header: part(keys::HEADER)?.unwrap_or_default(),
        summary: part(keys::SUMMARY)?.unwrap_or_default(),
        elements: Vec::new(),
    };
    match elements {
        Elements::Named(named) => {
            for element in named {
                let blob = tables.get(&keys::element(shard, key, element))?;
                row.elements.push((element.clone(), blob));
            }
        }
        Elements::All => {
            let prefix = keys::row(shard, key);
            let skip = prefix.len();
            tables.range(&prefix, &keys::after(prefix.clone()), &mut |key, blob| {
                if let Some(element) = key.get(skip..).and_then(keys::parse_element_name) {
                    row.elements.push((element, Some(blob.to_vec())));
                }
                Visit::Continue(())
            })?;
        }
    }
    Ok(row)
}

fn log(
    tables: &(impl Tables + ?Sized),
    from: &[u8],
    until: &[u8],
    bytes_max: usize,
) -> Result<Vec<Vec<u8>>, Error> {
    let mut records = Vec::new();
    let mut bytes = 0_usize;
    tables.range(from, until, &mut |_, record| {
        bytes = bytes.saturating_add(record.len());
        if bytes > bytes_max && !records.is_empty() {
            return Visit::Break(());
        }
        records.push(record.to_vec());
        Visit::Continue(())
    })?;
    Ok(records)
}

/// A cursor is the last key given, with its length: the order is by length, then bytes.
fn row_keys(
    tables: &(impl Tables + ?Sized),
    shard: ShardId,
    cursor: &[u8],
    count: usize,
) -> Result<Loaded, Error> {
    let all = keys::metadata(shard);
    let until = keys::after(all.clone());
    let mut from = all.clone();
    if !cursor.is_empty() {
        from.extend_from_slice(cursor);
        from = keys::after(from);
    }
    let mut found: Vec<Vec<u8>> = Vec::new();
    let mut cursor = None;
    while found.len() < count.max(1) {
        let mut next = None;
        tables.range(&from, &until, &mut |key, _| {
            next = Some(key.to_vec());
            Visit::Break(())
        })?;
        let Some(next) = next else {
            return Ok(Loaded::Keys {
                keys: found,
                cursor: None,
            });
        };
        let mut reader = keys::Reader(&next);
        reader.bytes(all.len());
        let key = reader.sized().ok_or_else(|| damaged("a metadata key"))?.to_vec();
        let row = keys::row(shard, &key);
        cursor = row.get(all.len()..).map(<[u8]>::to_vec);
        from = keys::after(row);
        found.push(key);
    }
    Ok(Loaded::Keys { keys: found, cursor })
}

/// The entries of a number's order up to `until`: what stands after the number, and the number.
fn ordered(
    tables: &(impl Tables + ?Sized),
    order: &[u8],
    until: &[u8],
    count: usize,
) -> Result<Vec<(Vec<u8>, u64)>, Error> {
    let mut found = Vec::new();
    for entry in super::keys_in(tables, order, until, count)? {
        let mut reader = keys::Reader(&entry);
        reader.bytes(order.len());
        let number = reader.u64().ok_or_else(|| damaged("an index entry"))?;
        found.push((reader.0.to_vec(), number));
    }
    Ok(found)
}

fn due(
    tables: &(impl Tables + ?Sized),
    shard: ShardId,
    until_ms: u64,
    count: usize,
) -> Result<Loaded, Error> {
    let until = keys::due_at(shard, until_ms.saturating_add(1), b"");
    ordered(tables, &keys::due_order(shard), &until, count).map(Loaded::Due)
}

fn garbage(
    tables: &(impl Tables + ?Sized),
    shard: ShardId,
    until: u64,
    count: usize,
) -> Result<Loaded, Error> {
    let until = keys::garbage_at(shard, until.saturating_add(1), b"");
    let found = ordered(tables, &keys::garbage_order(shard), &until, count)?;
    let item = |(item, batch): (Vec<u8>, u64)| {
        let item = keys::parse_garbage_item(&item).ok_or_else(|| damaged("a garbage item"))?;
        Ok((item, batch))
    };
    Ok(Loaded::Garbage(
        found.into_iter().map(item).collect::<Result<_, Error>>()?,
    ))
}

fn conflicts(tables: &(impl Tables + ?Sized), shard: ShardId, key: &[u8]) -> Result<Loaded, Error> {
    let prefix = keys::conflicts(shard);
    let mut found = Vec::new();
    tables.range(&prefix, &keys::after(prefix.clone()), &mut |_, value| {
        let mut reader = keys::Reader(value);
        if reader.sized() == Some(key) {
            found.push(reader.0.to_vec());
        }
        Visit::Continue(())
    })?;
    Ok(Loaded::Conflicts(found))
}
