//! Bitmaps: strings seen as bits. A write is a read-modify-write of the whole string, so the last writer wins.

use cartograph_replica::Key;

use super::strings::{become_string, check_length, look_string, rewrite, shown_bytes};
use crate::command::read::BitUnit;
use crate::command::{BitField, BitFieldOperation, BitOperation, BitOverflow, Reply};
use crate::error::CommandError;
use crate::writer::{Stop, Writer};

/// Redis's `proto-max-bulk-len`, its longest string, in bits.
const STRING_BITS_MAX: u64 = super::strings::STRING_BYTES_MAX * 8;

fn check_offset(offset: u64) -> Result<(), Stop> {
    if offset >= STRING_BITS_MAX {
        return Err(CommandError::BitOffset.into());
    }
    Ok(())
}

fn index(offset: u64) -> usize {
    usize::try_from(offset / 8).unwrap_or(usize::MAX)
}

fn mask(offset: u64) -> u8 {
    0x80 >> (offset % 8)
}

fn bit(bytes: &[u8], offset: u64) -> bool {
    bytes
        .get(index(offset))
        .is_some_and(|byte| byte & mask(offset) != 0)
}

fn put_bit(bytes: &mut [u8], offset: u64, on: bool) {
    if let Some(byte) = bytes.get_mut(index(offset)) {
        *byte = if on {
            *byte | mask(offset)
        } else {
            *byte & !mask(offset)
        };
    }
}

/// SETBIT.
pub(super) fn setbit(w: &mut Writer<'_>, key: &[u8], offset: u64, on: bool) -> Result<Reply, Stop> {
    check_offset(offset)?;
    let shown = look_string(w, key)?;
    let mut bytes = shown_bytes(w, key, shown)?.unwrap_or_default();
    let end = check_length(offset / 8 + 1)?;
    if bytes.len() < end {
        bytes.resize(end, 0);
    }
    let was = bit(&bytes, offset);
    put_bit(&mut bytes, offset, on);
    rewrite(w, key, shown, bytes)?;
    Ok(Reply::flag(was))
}

/// GETBIT.
pub(super) fn getbit(w: &mut Writer<'_>, key: &[u8], offset: u64) -> Result<Reply, Stop> {
    check_offset(offset)?;
    let shown = look_string(w, key)?;
    let bytes = shown_bytes(w, key, shown)?.unwrap_or_default();
    Ok(Reply::flag(bit(&bytes, offset)))
}

/// BITFIELD. A string that its writes reach past grows first, even if every one of them then fails, as in Redis.
pub(super) fn bitfield(
    w: &mut Writer<'_>,
    key: &[u8],
    operations: &[(BitField, BitFieldOperation)],
) -> Result<Reply, Stop> {
    let writes = |(field, operation): &(BitField, BitFieldOperation)| match operation {
        BitFieldOperation::Get => None,
        BitFieldOperation::Set(..) | BitFieldOperation::IncrBy(..) => {
            Some(field.offset.saturating_add(u64::from(field.bits) - 1))
        }
    };
    let highest = operations.iter().filter_map(writes).max();
    for (field, _) in operations {
        check_offset(field.offset)?;
    }
    let shown = look_string(w, key)?;
    let mut bytes = shown_bytes(w, key, shown)?.unwrap_or_default();
    let mut changed = false;
    if let Some(highest) = highest {
        let end = check_length(highest / 8 + 1)?;
        changed = bytes.len() < end;
        bytes.resize(bytes.len().max(end), 0);
    }
    let mut replies = Vec::with_capacity(operations.len());
    for (field, operation) in operations {
        let (reply, new) = apply(*field, *operation, read_field(&bytes, *field));
        if let Some(new) = new {
            write_field(&mut bytes, *field, new);
            changed = true;
        }
        replies.push(reply);
    }
    if changed {
        rewrite(w, key, shown, bytes)?;
    }
    Ok(Reply::Array(replies))
}

fn read_field(bytes: &[u8], field: BitField) -> i128 {
    let bits = (0..u64::from(field.bits)).fold(0_u64, |number, i| {
        number << 1 | u64::from(bit(bytes, field.offset.saturating_add(i)))
    });
    fit(i128::from(bits), field)
}

fn write_field(bytes: &mut [u8], field: BitField, value: i128) {
    for i in 0..field.bits {
        let on = value >> (field.bits - 1 - i) & 1 == 1;
        put_bit(bytes, field.offset.saturating_add(u64::from(i)), on);
    }
}

/// The number that the low bits of `value` are.
fn fit(value: i128, field: BitField) -> i128 {
    let low = value & ((1_i128 << field.bits) - 1);
    if field.signed && low >> (field.bits - 1) == 1 {
        low - (1_i128 << field.bits)
    } else {
        low
    }
}

/// The reply, and the number to write.
fn apply(field: BitField, operation: BitFieldOperation, old: i128) -> (Reply, Option<i128>) {
    let (wanted, overflow, replies_new) = match operation {
        BitFieldOperation::Get => return (integer(old), None),
        // Without a sign Redis reads a negative number as its two's complement of 64 bits.
        BitFieldOperation::Set(to, overflow) if field.signed => (i128::from(to), overflow, false),
        BitFieldOperation::Set(to, overflow) => (i128::from(to.cast_unsigned()), overflow, false),
        BitFieldOperation::IncrBy(by, overflow) => (old + i128::from(by), overflow, true),
    };
    let (min, max) = if field.signed {
        (-(1_i128 << (field.bits - 1)), (1_i128 << (field.bits - 1)) - 1)
    } else {
        (0, (1_i128 << field.bits) - 1)
    };
    let new = match overflow {
        _ if (min..=max).contains(&wanted) => wanted,
        BitOverflow::Wrap => fit(wanted, field),
        BitOverflow::Saturate if !replies_new && is_above(wanted, max, field) => max,
        BitOverflow::Saturate => wanted.clamp(min, max),
        BitOverflow::Fail => return (Reply::Nil, None),
    };
    (integer(if replies_new { new } else { old }), Some(new))
}

/// Redis finds out how far a number to SET is from its range in 64 bits, so that the lowest numbers of all seem to lie above
/// the range of a short field with a sign.
fn is_above(wanted: i128, max: i128, field: BitField) -> bool {
    wanted > max || (field.signed && max - wanted > i128::from(i64::MAX))
}

fn integer(value: i128) -> Reply {
    Reply::Integer(i64::try_from(value).unwrap_or(i64::MAX))
}

/// BITOP: shorter strings count as filled up with zeros; an empty result deletes the destination.
pub(super) fn bitop(
    w: &mut Writer<'_>,
    operation: BitOperation,
    to: &[u8],
    keys: &[Key],
) -> Result<Reply, Stop> {
    let mut sources = Vec::with_capacity(keys.len());
    for key in keys {
        let shown = look_string(w, key)?;
        sources.push(shown_bytes(w, key, shown)?.unwrap_or_default());
    }
    let length = sources.iter().map(Vec::len).max().unwrap_or(0);
    let mut sources = sources.into_iter();
    let mut result = sources.next().unwrap_or_default();
    result.resize(length, 0);
    for source in sources {
        let padded = source.into_iter().chain(std::iter::repeat(0));
        for (byte, other) in result.iter_mut().zip(padded) {
            *byte = match operation {
                BitOperation::And => *byte & other,
                BitOperation::Or => *byte | other,
                BitOperation::Xor => *byte ^ other,
                BitOperation::Not => *byte,
            };
        }
    }
    if operation == BitOperation::Not {
        result.iter_mut().for_each(|byte| *byte = !*byte);
    }
    let old = w.look(to)?;
    if result.is_empty() {
        if let Some(old) = old {
            w.drop_key(to, old)?;
        }
    } else {
        check_length(length as u64)?;
        become_string(w, to, old, &result, Some(None))?;
    }
    Ok(Reply::count(length))
}

/// From where to where in bits, both included; `None` when that is nothing.
fn bit_range(start: i64, end: i64, unit: BitUnit, bytes: usize) -> Option<(u64, u64)> {
    let per = match unit {
        BitUnit::Byte => 1,
        BitUnit::Bit => 8,
    };
    let length = i64::try_from(bytes).unwrap_or(i64::MAX).saturating_mul(per);
    let from_end = |at: i64| {
        if at < 0 {
            at.saturating_add(length).max(0)
        } else {
            at
        }
    };
    let (start, end) = (from_end(start), from_end(end).min(length - 1));
    let (start, end) = (u64::try_from(start).ok()?, u64::try_from(end).ok()?);
    let in_bits = match unit {
        BitUnit::Byte => (start.saturating_mul(8), end.saturating_mul(8).saturating_add(7)),
        BitUnit::Bit => (start, end),
    };
    (start <= end).then_some(in_bits)
}

/// BITCOUNT.
pub(super) fn bitcount(
    w: &mut Writer<'_>,
    key: &[u8],
    range: Option<(i64, i64, BitUnit)>,
) -> Result<Reply, Stop> {
    let shown = look_string(w, key)?;
    let bytes = shown_bytes(w, key, shown)?.unwrap_or_default();
    let (start, end, unit) = range.unwrap_or((0, -1, BitUnit::Byte));
    if start < 0 && end < 0 && start > end {
        return Ok(Reply::Integer(0));
    }
    let Some((from, to)) = bit_range(start, end, unit, bytes.len()) else {
        return Ok(Reply::Integer(0));
    };
    let inside = |byte: usize, value: u8| {
        let first = (byte as u64) * 8;
        let head = u32::try_from(from.saturating_sub(first).min(8)).unwrap_or(8);
        let tail = u32::try_from((first + 7).saturating_sub(to).min(8)).unwrap_or(8);
        let kept = 0xff_u8.checked_shr(head).unwrap_or(0) & 0xff_u8.checked_shl(tail).unwrap_or(0);
        (value & kept).count_ones() as usize
    };
    let (first, last) = (index(from), index(to));
    let range = bytes.iter().enumerate().take(last.saturating_add(1)).skip(first);
    Ok(Reply::count(range.map(|(i, byte)| inside(i, *byte)).sum()))
}

/// BITPOS: a string is followed by zeros without end, unless the range has an end.
pub(super) fn bitpos(
    w: &mut Writer<'_>,
    key: &[u8],
    wanted: bool,
    start: i64,
    end: Option<i64>,
    unit: BitUnit,
) -> Result<Reply, Stop> {
    let nowhere = Reply::Integer(-1);
    let Some(shown) = look_string(w, key)? else {
        return Ok(if wanted { nowhere } else { Reply::Integer(0) });
    };
    let bytes = shown_bytes(w, key, Some(shown))?.unwrap_or_default();
    let Some((from, to)) = bit_range(start, end.unwrap_or(-1), unit, bytes.len()) else {
        return Ok(nowhere);
    };
    let position = |at: u64| Reply::Integer(i64::try_from(at).unwrap_or(i64::MAX));
    let mut at = from;
    while at <= to {
        // Whole bytes of the other bit are skipped.
        let dull = if wanted { 0x00 } else { 0xff };
        if at.is_multiple_of(8) && at + 7 <= to && bytes.get(index(at)) == Some(&dull) {
            at += 8;
            continue;
        }
        if bit(&bytes, at) == wanted {
            return Ok(position(at));
        }
        at += 1;
    }
    Ok(if wanted || end.is_some() {
        nowhere
    } else {
        position(at)
    })
}
