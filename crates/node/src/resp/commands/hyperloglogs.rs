//! HyperLogLogs.

use bytes::Bytes;
use cartograph_engine::Command;

use super::args::{all, arity, bytes};
use super::{Parsed, Result};

pub(super) fn write(name: &str, args: &[Bytes]) -> Result {
    Ok(Parsed::plain(match (name, args) {
        ("pfadd", [key, elements @ ..]) => Command::PfAdd {
            key: bytes(key),
            elements: all(elements),
        },
        ("pfmerge", [to, from @ ..]) => Command::PfMerge {
            to: bytes(to),
            from: all(from),
        },
        _ => return Err(arity(name)),
    }))
}

pub(super) fn read(args: &[Bytes]) -> Parsed {
    Parsed::plain(Command::PfCount { keys: all(args) })
}
