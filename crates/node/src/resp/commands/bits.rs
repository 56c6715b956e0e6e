//! Bitmaps.

use bytes::Bytes;
use cartograph_engine::command::read::BitUnit;
use cartograph_engine::command::{BitField, BitFieldOperation, BitOperation, BitOverflow, Read};
use cartograph_engine::number::parse_i64;
use cartograph_engine::{Command, CommandError, Reply};
use cartograph_resp::Value;

use super::args::{all, arity, bytes, error, integer, is, refusal, syntax};
use super::strings::refuse_string;
use super::{Parsed, Result};

/// Redis's `proto-max-bulk-len`, in bits.
const STRING_BITS_MAX: u64 = 512 * 1024 * 1024 * 8;

pub(super) fn write(name: &str, args: &[Bytes]) -> Result {
    let command = match (name, args) {
        ("setbit", [key, offset, bit]) => {
            let offset = bit_offset(offset, 0)?;
            let bit = parse_i64(bit).filter(|bit| (0..=1).contains(bit));
            let bit = bit.ok_or_else(|| error("bit is not an integer or out of range"))? == 1;
            Command::SetBit {
                key: bytes(key),
                offset,
                bit,
            }
        }
        ("bitfield", [key, operations @ ..]) => Command::BitField {
            key: bytes(key),
            operations: bitfield(operations)?,
        },
        ("bitop", [operation, to, keys @ ..]) if !keys.is_empty() => {
            let operation = match operation.to_ascii_lowercase().as_slice() {
                b"and" => BitOperation::And,
                b"or" => BitOperation::Or,
                b"xor" => BitOperation::Xor,
                b"not" => BitOperation::Not,
                _ => return Err(syntax()),
            };
            if operation == BitOperation::Not && keys.len() != 1 {
                return Err(error("BITOP NOT must be called with a single source key."));
            }
            Command::BitOp {
                operation,
                to: bytes(to),
                keys: all(keys),
            }
        }
        _ => return Err(arity(name)),
    };
    Ok(Parsed::plain(command))
}

/// An offset in bits; after a `#` in numbers of so many bits each, where there are such.
fn bit_offset(arg: &Bytes, bits: u8) -> std::result::Result<u64, Value> {
    let offset = match arg.split_first() {
        Some((b'#', number)) if bits > 0 => parse_i64(number).map(|n| n.wrapping_mul(i64::from(bits))),
        Some(_) | None => parse_i64(arg),
    };
    let offset = offset.and_then(|offset| u64::try_from(offset).ok());
    offset
        .filter(|offset| *offset < STRING_BITS_MAX)
        .ok_or_else(|| refusal(&CommandError::BitOffset))
}

fn bitfield(mut args: &[Bytes]) -> std::result::Result<Vec<(BitField, BitFieldOperation)>, Value> {
    let mut overflow = BitOverflow::default();
    let mut operations = Vec::new();
    while !args.is_empty() {
        match args {
            [word, kind, offset, rest @ ..] if is(word, "get") => {
                operations.push((field(kind, offset)?, BitFieldOperation::Get));
                args = rest;
            }
            [word, kind, offset, value, rest @ ..] if is(word, "set") => {
                let field = field(kind, offset)?;
                operations.push((field, BitFieldOperation::Set(integer(value)?, overflow)));
                args = rest;
            }
            [word, kind, offset, value, rest @ ..] if is(word, "incrby") => {
                let field = field(kind, offset)?;
                operations.push((field, BitFieldOperation::IncrBy(integer(value)?, overflow)));
                args = rest;
            }
            [word, how, rest @ ..] if is(word, "overflow") => {
                overflow = match how.to_ascii_lowercase().as_slice() {
                    b"wrap" => BitOverflow::Wrap,
                    b"sat" => BitOverflow::Saturate,
                    b"fail" => BitOverflow::Fail,
                    _ => return Err(error("Invalid OVERFLOW type specified")),
                };
                args = rest;
            }
            _ => return Err(syntax()),
        }
    }
    Ok(operations)
}

/// `i8 100`, `u4 #3`.
fn field(kind: &Bytes, offset: &Bytes) -> std::result::Result<BitField, Value> {
    let (signed, bits) = match kind.split_first() {
        Some((b'i', bits)) => (true, parse_i64(bits)),
        Some((b'u', bits)) => (false, parse_i64(bits)),
        Some(_) | None => (false, None),
    };
    let bits = bits.filter(|bits| (1..=63 + i64::from(signed)).contains(bits));
    let bits = bits.and_then(|bits| u8::try_from(bits).ok()).ok_or_else(|| {
        error("Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.")
    })?;
    Ok(BitField {
        signed,
        bits,
        offset: bit_offset(offset, bits)?,
    })
}

pub(super) fn read(name: &str, args: &[Bytes]) -> Result {
    Ok(match (name, args) {
        ("getbit", [key, offset]) => Parsed::read(Read::GetBit {
            key: bytes(key),
            offset: bit_offset(offset, 0)?,
        }),
        ("bitcount", [key, range @ ..]) => match bitcount_range(range) {
            Ok(range) => Parsed::read(Read::BitCount {
                key: bytes(key),
                range,
            }),
            Err(error) => Parsed::plain(refuse_string(key, Some(Reply::Integer(0)), error)),
        },
        ("bitpos", [key, bit, range @ ..]) => bitpos(key, bit, range)?,
        ("bitfield_ro", [key, operations @ ..]) => {
            let operations = bitfield(operations)?;
            if operations.iter().any(|(_, o)| *o != BitFieldOperation::Get) {
                return Err(error("BITFIELD_RO only supports the GET subcommand"));
            }
            Parsed::plain(Command::BitField {
                key: bytes(key),
                operations,
            })
        }
        _ => return Err(arity(name)),
    })
}

fn number(arg: &Bytes) -> std::result::Result<i64, CommandError> {
    parse_i64(arg).ok_or(CommandError::NotAnInteger)
}

fn unit(arg: &Bytes) -> std::result::Result<BitUnit, CommandError> {
    if is(arg, "bit") {
        Ok(BitUnit::Bit)
    } else if is(arg, "byte") {
        Ok(BitUnit::Byte)
    } else {
        Err(CommandError::Syntax)
    }
}

fn bitcount_range(args: &[Bytes]) -> std::result::Result<Option<(i64, i64, BitUnit)>, CommandError> {
    match args {
        [] => Ok(None),
        [start, end, rest @ ..] if rest.len() < 2 => {
            let (start, end) = (number(start)?, number(end)?);
            // A range that is empty by its numbers alone is answered before the unit is read.
            let empty = start < 0 && end < 0 && start > end;
            let unit = match rest.first() {
                Some(word) if !empty => unit(word)?,
                Some(_) | None => BitUnit::Byte,
            };
            Ok(Some((start, end, unit)))
        }
        _ => Err(CommandError::Syntax),
    }
}

/// The range is read only when the key is there.
fn bitpos(key: &Bytes, bit: &Bytes, args: &[Bytes]) -> std::result::Result<Parsed, Value> {
    let bit = match integer(bit)? {
        0 => false,
        1 => true,
        _ => return Err(error("The bit argument must be 1 or 0.")),
    };
    let range = || match args {
        [] => Ok((0, None, BitUnit::Byte)),
        [start] => Ok((number(start)?, None, BitUnit::Byte)),
        [start, end] => Ok((number(start)?, Some(number(end)?), BitUnit::Byte)),
        [start, end, word] => {
            let start = number(start)?;
            let unit = unit(word)?;
            Ok((start, Some(number(end)?), unit))
        }
        _ => Err(CommandError::Syntax),
    };
    Ok(match range() {
        Ok((start, end, unit)) => Parsed::read(Read::BitPos {
            key: bytes(key),
            bit,
            start,
            end,
            unit,
        }),
        Err(error) => {
            let absent = Reply::Integer(if bit { -1 } else { 0 });
            Parsed::plain(refuse_string(key, Some(absent), error))
        }
    })
}
