//! The core's loads, as commands.

use ::redis::{Cmd, Value, cmd};
use cartograph_crdt::{ElementId, ReplicaId, ShardId};
use cartograph_replica::commit::{Elements, Load, Loaded, StoredRow, ViewValue};

use super::reader::Readers;
use super::reply::{self, Fault};
use super::{RedisStore, layout, script};
use crate::error::Error;
use crate::hyperloglog;
use crate::kv::keys;

/// Records asked for at once: few at first, then as many as have room.
const RECORDS_PAGE: usize = 8;
const RECORDS_PAGE_MAX: usize = 256;

/// Elements of one row read at once.
const ELEMENTS_PAGE: usize = 1_000;

/// Conflicts asked for at once.
const CONFLICTS_PAGE: usize = 1_000;

impl RedisStore {
    pub(crate) async fn load_now(&self, shard: ShardId, load: Load) -> Result<Loaded, Error> {
        let readers = &self.metadata;
        match load {
            Load::Row { key, elements } => row(readers, shard, &key, elements).await.map(Loaded::Row),
            Load::Log {
                origin,
                from,
                bytes_max,
            } => log(readers, shard, origin, from, bytes_max)
                .await
                .map(Loaded::Log),
            Load::Keys { cursor, count } => row_keys(readers, shard, &cursor, count).await,
            Load::Due { until_ms, count } => ordered(readers, &layout::due(shard), until_ms, count)
                .await
                .map(Loaded::Due),
            Load::Garbage { until, count } => {
                let found = ordered(readers, &layout::garbage(shard), until.0, count).await?;
                let items = found.into_iter().map(|(item, batch)| {
                    let item =
                        keys::parse_garbage_item(&item).ok_or_else(|| reply::unexpected("a garbage item"))?;
                    Ok((item, batch))
                });
                let items: Result<_, Fault> = items.collect();
                Ok(Loaded::Garbage(items.map_err(|f| readers.error(f))?))
            }
            Load::Conflicts { key } => conflicts(readers, shard, &key).await.map(Loaded::Conflicts),
            Load::Reply { id } => {
                let value = readers.ask(cmd("GET").arg(layout::reply(shard, &id))).await?;
                let value = reply::optional(value).map_err(|f| readers.error(f))?;
                Ok(Loaded::Reply(value))
            }
            Load::View { key } => {
                let value = self
                    .views
                    .ask(cmd("EVAL").arg(script::VIEW_TEXT).arg(0).arg(&key))
                    .await?;
                let view = parse_view(value).map_err(|f| readers.error(f))?;
                Ok(Loaded::View(view))
            }
        }
    }
}

async fn row(readers: &Readers, shard: ShardId, key: &[u8], elements: Elements) -> Result<StoredRow, Error> {
    let row = layout::row(shard, key);
    match elements {
        Elements::Named(named) => {
            let mut get = cmd("HMGET");
            get.arg(row).arg(&[keys::HEADER]).arg(&[keys::SUMMARY]);
            for element in &named {
                get.arg(keys::element_name(element));
            }
            let value = readers.ask(&get).await?;
            parse_named(value, named).map_err(|f| readers.error(f))
        }
        Elements::All => whole_row(readers, row).await,
    }
}

/// Reads a row in pieces, so that a key of a million elements does not hold Redis up. The pieces are of one state: no
/// commit touches a row that is being loaded, unless the machine has it in memory, newer than what is read.
async fn whole_row(readers: &Readers, row: Vec<u8>) -> Result<StoredRow, Error> {
    let mut whole = StoredRow::default();
    let mut cursor = b"0".to_vec();
    loop {
        let mut scan = on("HSCAN", &row);
        scan.arg(&cursor).arg("COUNT").arg(ELEMENTS_PAGE);
        let page = parse_page(readers.ask(&scan).await?, &mut whole);
        cursor = page.map_err(|f| readers.error(f))?;
        if cursor == b"0" {
            break;
        }
    }
    // A scan may tell of an element twice.
    whole.elements.sort();
    whole.elements.dedup_by(|a, b| a.0 == b.0);
    Ok(whole)
}

fn parse_named(value: Value, named: Vec<ElementId>) -> Result<StoredRow, Fault> {
    let mut blobs = reply::array(value)?.into_iter().map(reply::optional);
    let mut next = || blobs.next().unwrap_or_else(|| Err(reply::unexpected("a row")));
    let mut row = StoredRow {
        header: next()?.unwrap_or_default(),
        summary: next()?.unwrap_or_default(),
        elements: Vec::with_capacity(named.len()),
    };
    for element in named {
        row.elements.push((element, next()?));
    }
    Ok(row)
}

/// Adds one page of a scan; gives the next cursor, `0` at the end.
fn parse_page(value: Value, row: &mut StoredRow) -> Result<Vec<u8>, Fault> {
    let [cursor, page] = reply::exactly(value)?;
    for (name, blob) in reply::pairs(page)? {
        if name == [keys::HEADER] {
            row.header = blob;
        } else if name == [keys::SUMMARY] {
            row.summary = blob;
        } else if let Some(element) = keys::parse_element_name(&name) {
            row.elements.push((element, Some(blob)));
        }
    }
    reply::bytes(cursor)
}

async fn log(
    readers: &Readers,
    shard: ShardId,
    origin: ReplicaId,
    from: u64,
    bytes_max: usize,
) -> Result<Vec<Vec<u8>>, Error> {
    let key = layout::log(shard, origin);
    let mut start = format!("{from}-0");
    let (mut records, mut bytes, mut page) = (Vec::new(), 0_usize, RECORDS_PAGE);
    loop {
        let mut range = cmd("XRANGE");
        range.arg(&key).arg(&start).arg("+").arg("COUNT").arg(page);
        let entries = readers.ask(&range).await?;
        let entries = parse_entries(entries).map_err(|f| readers.error(f))?;
        let full = entries.len() == page;
        for (id, mut fields) in entries {
            let record = fields.pop().unwrap_or_default();
            bytes = bytes.saturating_add(record.len());
            if bytes > bytes_max && !records.is_empty() {
                return Ok(records);
            }
            records.push(record);
            start = format!("({id}");
        }
        if !full {
            return Ok(records);
        }
        let average = (bytes / records.len().max(1)).max(1);
        page = (bytes_max.saturating_sub(bytes) / average).clamp(1, RECORDS_PAGE_MAX);
    }
}

/// A stream's entry: id, and the values of its fields.
type StreamEntry = (String, Vec<Vec<u8>>);

fn parse_entries(value: Value) -> Result<Vec<StreamEntry>, Fault> {
    let entry = |entry: Value| {
        let [id, fields] = reply::exactly(entry)?;
        let values = reply::pairs(fields)?.into_iter().map(|(_, value)| value);
        Ok((reply::text(id)?, values.collect()))
    };
    reply::array(value)?.into_iter().map(entry).collect()
}

async fn row_keys(readers: &Readers, shard: ShardId, cursor: &[u8], count: usize) -> Result<Loaded, Error> {
    let mut cursor = if cursor.is_empty() {
        b"0".to_vec()
    } else {
        cursor.to_vec()
    };
    loop {
        let mut scan = cmd("SCAN");
        scan.arg(&cursor).arg("MATCH").arg(layout::rows_pattern(shard));
        scan.arg("COUNT").arg(count.max(1));
        let page = readers.ask(&scan).await?;
        let parse = |page: Value| {
            let [next, found] = reply::exactly(page)?;
            Ok::<_, Fault>((reply::bytes(next)?, reply::list(found)?))
        };
        let (next, found) = parse(page).map_err(|f| readers.error(f))?;
        // A scan may name a key twice.
        let found: std::collections::BTreeSet<Vec<u8>> = found
            .iter()
            .filter_map(|stored| layout::row_key(shard, stored))
            .map(<[u8]>::to_vec)
            .collect();
        let is_end = next == b"0";
        if is_end || !found.is_empty() {
            return Ok(Loaded::Keys {
                keys: found.into_iter().collect(),
                cursor: (!is_end).then_some(next),
            });
        }
        cursor = next;
    }
}

/// Names of a sorted set up to a number, lowest first.
async fn ordered(
    readers: &Readers,
    key: &str,
    until: u64,
    count: usize,
) -> Result<Vec<(Vec<u8>, u64)>, Error> {
    let until = until.min(keys::INSTANT_MAX);
    let mut range = cmd("ZRANGEBYSCORE");
    range.arg(key).arg("-inf").arg(until).arg("WITHSCORES");
    range.arg("LIMIT").arg(0).arg(count);
    let found = readers.ask(&range).await?;
    let parse = |value: Value| {
        let number = |text: &[u8]| {
            let score = reply::score(text)?.get();
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "written as an integer below 2^53"
            )]
            Ok::<_, Fault>(score as u64)
        };
        let pairs = reply::pairs(value)?.into_iter();
        pairs
            .map(|(name, text)| Ok((name, number(&text)?)))
            .collect::<Result<Vec<_>, Fault>>()
    };
    parse(found).map_err(|f| readers.error(f))
}

async fn conflicts(readers: &Readers, shard: ShardId, key: &[u8]) -> Result<Vec<Vec<u8>>, Error> {
    let (mut found, mut start) = (Vec::new(), "-".to_owned());
    loop {
        let mut range = cmd("XRANGE");
        range.arg(layout::conflicts(shard)).arg(&start).arg("+");
        range.arg("COUNT").arg(CONFLICTS_PAGE);
        let entries = readers.ask(&range).await?;
        let entries = parse_entries(entries).map_err(|f| readers.error(f))?;
        let full = entries.len() == CONFLICTS_PAGE;
        for (id, fields) in entries {
            start = format!("({id}");
            if let Ok([of, blob]) = <[Vec<u8>; 2]>::try_from(fields)
                && of == key
            {
                found.push(blob);
            }
        }
        if !full {
            return Ok(found);
        }
    }
}

/// A view and its expiry.
type View = (ViewValue, Option<u64>);

fn parse_view(value: Value) -> Result<Option<View>, Fault> {
    let [kind, value, expiry] = reply::exactly(value)?;
    let value = match reply::text(kind)?.as_str() {
        "none" => return Ok(None),
        "string" => {
            let mut bytes = reply::bytes(value)?;
            hyperloglog::forget_cached_count(&mut bytes);
            ViewValue::String(bytes)
        }
        "hash" => {
            let mut fields = reply::pairs(value)?;
            fields.sort();
            ViewValue::Hash(fields)
        }
        "set" => {
            let mut members = reply::list(value)?;
            members.sort();
            ViewValue::Set(members)
        }
        "zset" => {
            let mut members = reply::scored(value)?;
            members.sort_by(|a, b| a.0.cmp(&b.0));
            ViewValue::SortedSet(members)
        }
        foreign => ViewValue::Foreign(foreign.to_owned()),
    };
    let expiry = u64::try_from(reply::integer(expiry)?).ok();
    Ok(Some((value, expiry)))
}

/// A command with a key.
pub(crate) fn on(name: &str, key: &[u8]) -> Cmd {
    let mut command = cmd(name);
    command.arg(key);
    command
}
