//! Increments of strings and hash fields: they add up over all regions.
//!
//! The writer computes what Redis would compute and records the exact difference to what it showed before. A merged
//! number past its range is shown saturated, and no longer incremented until SET or DEL.

use cartograph_crdt::{ElementId, Exact, Type, Value};

use super::strings::look_string;
use super::text;
use crate::command::Reply;
use crate::error::CommandError;
use crate::number::{FloatError, FloatIncrement, LongDouble, hincr_by_float, incr_by_float, parse_i64};
use crate::show::Text;
use crate::writer::{Shown, Stop, Writer};

/// INCR, DECR, INCRBY and DECRBY.
pub(super) fn incrby(w: &mut Writer<'_>, key: &[u8], by: i64) -> Result<Reply, Stop> {
    let shown = look_string(w, key)?;
    increment(w, key, shown, ElementId::string(), by, CommandError::NotAnInteger)
}

/// HINCRBY.
pub(super) fn hincrby(w: &mut Writer<'_>, key: &[u8], field: &[u8], by: i64) -> Result<Reply, Stop> {
    let shown = w.look_typed(key, Type::Hash)?;
    increment(
        w,
        key,
        shown,
        ElementId::field(field),
        by,
        CommandError::HashNotAnInteger,
    )
}

fn increment(
    w: &mut Writer<'_>,
    key: &[u8],
    shown: Option<Shown>,
    id: ElementId,
    by: i64,
    not_an_integer: CommandError,
) -> Result<Reply, Stop> {
    let old = text(w, key, shown, &id)?;
    refuse_saturated(old.as_ref())?;
    let old = match old {
        None => 0,
        Some(text) => parse_i64(&text.bytes).ok_or(not_an_integer)?,
    };
    let new = old.checked_add(by).ok_or(CommandError::Overflow)?;
    w.ready(key, shown, id.ty)?;
    w.increment(key, id, Exact::from_i64(by))?;
    Ok(Reply::Integer(new))
}

/// INCRBYFLOAT.
pub(super) fn incrbyfloat(w: &mut Writer<'_>, key: &[u8], by: &[u8]) -> Result<Reply, Stop> {
    let shown = look_string(w, key)?;
    let id = ElementId::string();
    let old = text(w, key, shown, &id)?;
    refuse_saturated(old.as_ref())?;
    let step = incr_by_float(old.as_ref().map(|t| t.bytes.as_slice()), by).map_err(refused)?;
    float(w, key, shown, &id, step)
}

/// HINCRBYFLOAT: Redis reads the increment before it looks at the key.
pub(super) fn hincrbyfloat(w: &mut Writer<'_>, key: &[u8], field: &[u8], by: &[u8]) -> Result<Reply, Stop> {
    let amount = LongDouble::parse(by).ok_or(CommandError::NotAFloat)?;
    if amount.is_nan_or_inf() {
        return Err(CommandError::ValueNotFinite.into());
    }
    let shown = w.look_typed(key, Type::Hash)?;
    let id = ElementId::field(field);
    let old = text(w, key, shown, &id)?;
    refuse_saturated(old.as_ref())?;
    let step = hincr_by_float(old.as_ref().map(|t| t.bytes.as_slice()), by).map_err(refused)?;
    float(w, key, shown, &id, step)
}

/// A sum that leaves the 64-bit range is no longer told from a saturated one, so it is written as a value: it keeps
/// Redis's digits, and cancels the increments that it has seen.
fn float(
    w: &mut Writer<'_>,
    key: &[u8],
    shown: Option<Shown>,
    id: &ElementId,
    step: FloatIncrement,
) -> Result<Reply, Stop> {
    if !step.out_of_range {
        return increment_exactly(w, key, shown, id, step.delta);
    }
    w.ready(key, shown, id.ty)?;
    let text = step.shown.into_bytes();
    w.assign(key, id.clone(), Value::Bytes(text.clone()))?;
    Ok(Reply::Bytes(text))
}

/// Replies with what is then shown. Where several regions' digits go past what is shown, that can differ in the last
/// place from what the writer computed out of the rounded value.
fn increment_exactly(
    w: &mut Writer<'_>,
    key: &[u8],
    shown: Option<Shown>,
    id: &ElementId,
    delta: Exact,
) -> Result<Reply, Stop> {
    w.ready(key, shown, id.ty)?;
    w.increment(key, id.clone(), delta)?;
    let new = w.element(key, id)?.and_then(crate::show::text);
    Ok(Reply::bytes(new.map(|t| t.bytes)))
}

fn refuse_saturated(old: Option<&Text>) -> Result<(), Stop> {
    if old.is_some_and(|t| t.saturated) {
        return Err(CommandError::Saturated.into());
    }
    Ok(())
}

pub(crate) fn refused(error: FloatError) -> CommandError {
    match error {
        FloatError::NotAFloat => CommandError::NotAFloat,
        FloatError::HashNotAFloat => CommandError::HashNotAFloat,
        FloatError::IncrementNotFinite => CommandError::ValueNotFinite,
        FloatError::NanOrInfinity => CommandError::NanOrInfinity,
    }
}
