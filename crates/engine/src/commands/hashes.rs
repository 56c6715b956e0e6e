//! Hashes: fields are an add-wins set, each a string or number.

use std::collections::BTreeSet;

use cartograph_crdt::{ElementId, Type, Value};

use super::{is_there, remove_named, text};
use crate::command::Reply;
use crate::show;
use crate::writer::{Shown, Stop, Writer};

/// HGET.
pub(super) fn hget(w: &mut Writer<'_>, key: &[u8], field: &[u8]) -> Result<Reply, Stop> {
    let shown = w.look_typed(key, Type::Hash)?;
    let value = text(w, key, shown, &ElementId::field(field))?;
    Ok(Reply::bytes(value.map(|t| t.bytes)))
}

/// HGETALL: fields and values in turn, by field.
pub(super) fn hgetall(w: &mut Writer<'_>, key: &[u8]) -> Result<Reply, Stop> {
    let mut replies = Vec::new();
    if w.look_typed(key, Type::Hash)?.is_some() {
        for (id, element) in w.whole(key)?.live(Type::Hash) {
            if let Some(text) = show::text(element) {
                replies.push(Reply::Bytes(id.name.clone()));
                replies.push(Reply::Bytes(text.bytes));
            }
        }
    }
    Ok(Reply::Array(replies))
}

/// HSET and HMSET: the number of new fields. Setting an equal value has its effect too.
pub(super) fn hset(w: &mut Writer<'_>, key: &[u8], fields: &[(Vec<u8>, Vec<u8>)]) -> Result<Reply, Stop> {
    let shown = w.look_typed(key, Type::Hash)?;
    assign(w, key, shown, fields)
}

fn assign(
    w: &mut Writer<'_>,
    key: &[u8],
    shown: Option<Shown>,
    fields: &[(Vec<u8>, Vec<u8>)],
) -> Result<Reply, Stop> {
    let ids: Vec<ElementId> = fields.iter().map(|(f, _)| ElementId::field(f)).collect();
    let mut new = BTreeSet::new();
    if shown.is_some() {
        w.need(key, &ids)?;
    }
    for id in &ids {
        if !is_there(w, key, shown, id)? {
            new.insert(id);
        }
    }
    w.ready(key, shown, Type::Hash)?;
    for (id, (_, value)) in ids.iter().zip(fields) {
        w.assign(key, id.clone(), Value::Bytes(value.clone()))?;
    }
    Ok(Reply::count(new.len()))
}

/// HSETNX: has no effect when it is refused.
pub(super) fn hsetnx(w: &mut Writer<'_>, key: &[u8], field: &[u8], value: &[u8]) -> Result<Reply, Stop> {
    let shown = w.look_typed(key, Type::Hash)?;
    if is_there(w, key, shown, &ElementId::field(field))? {
        return Ok(Reply::Integer(0));
    }
    assign(w, key, shown, &[(field.to_vec(), value.to_vec())])
}

/// HDEL.
pub(super) fn hdel(w: &mut Writer<'_>, key: &[u8], fields: &[Vec<u8>]) -> Result<Reply, Stop> {
    remove_named(w, key, Type::Hash, fields, ElementId::field)
}
