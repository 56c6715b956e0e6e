//! Strings, numbers and bitmaps.

use super::flags::{BITMAP, DENYOOM, FAST, READONLY, STRING, WRITE};
use super::{Access, CommandInfo, Group, key, keys_to};

const LAST: &str = "the last writer wins on the whole value; if the winner is deleted by somebody who had not seen the loser, the loser shows again";

const NUMBER: &str = "increments of all regions add up; SET begins anew and cancels those that it had seen";

const DELETED: &str = "removes what it has seen; a concurrent write that it had not seen survives";

const EXPIRY: &str = "of concurrent expiries the longest wins; none counts as longer than any";

pub(super) static COMMANDS: &[CommandInfo] = &[
    CommandInfo::new("append", Group::String, "2.0.0", 3, "Adds to the end of a string")
        .like(WRITE | DENYOOM | FAST, STRING)
        .keys(&[key(1, Access::ReadWrite, "insert")])
        .write(LAST),
    CommandInfo::new("decr", Group::String, "1.0.0", 2, "Takes 1 from a number")
        .like(WRITE | DENYOOM | FAST, STRING)
        .keys(&[key(1, Access::ReadWrite, "access update")])
        .write(NUMBER),
    CommandInfo::new(
        "decrby",
        Group::String,
        "1.0.0",
        3,
        "Takes an integer from a number",
    )
    .like(WRITE | DENYOOM | FAST, STRING)
    .keys(&[key(1, Access::ReadWrite, "access update")])
    .write(NUMBER),
    CommandInfo::new("get", Group::String, "1.0.0", 2, "The string of a key")
        .like(READONLY | FAST, STRING)
        .keys(&[key(1, Access::ReadOnly, "access")])
        .read(),
    CommandInfo::new(
        "getdel",
        Group::String,
        "6.2.0",
        2,
        "The string of a key, which is then deleted",
    )
    .like(WRITE | FAST, STRING)
    .keys(&[key(1, Access::ReadWrite, "access delete")])
    .write(DELETED),
    CommandInfo::new(
        "getex",
        Group::String,
        "6.2.0",
        -2,
        "The string of a key, whose expiry is changed",
    )
    .like(WRITE | FAST, STRING)
    .keys(&[key(1, Access::ReadWrite, "access update")])
    .write(EXPIRY),
    CommandInfo::new("getrange", Group::String, "2.4.0", 4, "Part of a string")
        .like(READONLY, STRING)
        .keys(&[key(1, Access::ReadOnly, "access")])
        .read(),
    CommandInfo::new(
        "getset",
        Group::String,
        "1.0.0",
        3,
        "Replaces a string and gives the old one",
    )
    .like(WRITE | DENYOOM | FAST, STRING)
    .keys(&[key(1, Access::ReadWrite, "access update")])
    .write(LAST),
    CommandInfo::new("incr", Group::String, "1.0.0", 2, "Adds 1 to a number")
        .like(WRITE | DENYOOM | FAST, STRING)
        .keys(&[key(1, Access::ReadWrite, "access update")])
        .write(NUMBER),
    CommandInfo::new("incrby", Group::String, "1.0.0", 3, "Adds an integer to a number")
        .like(WRITE | DENYOOM | FAST, STRING)
        .keys(&[key(1, Access::ReadWrite, "access update")])
        .write(NUMBER),
    CommandInfo::new(
        "incrbyfloat",
        Group::String,
        "2.6.0",
        3,
        "Adds a fraction to a number",
    )
    .like(WRITE | DENYOOM | FAST, STRING)
    .keys(&[key(1, Access::ReadWrite, "access update")])
    .write(NUMBER),
    CommandInfo::new(
        "lcs",
        Group::String,
        "7.0.0",
        -3,
        "What two strings have in common, in order",
    )
    .like(READONLY, STRING)
    .keys(&[keys_to(1, 1, 1, Access::ReadOnly, "access")])
    .read(),
    CommandInfo::new("mget", Group::String, "1.0.0", -2, "The strings of several keys")
        .like(READONLY | FAST, STRING)
        .keys(&[keys_to(1, -1, 1, Access::ReadOnly, "access")])
        .read(),
    CommandInfo::new("mset", Group::String, "1.0.1", -3, "Sets several strings at once")
        .like(WRITE | DENYOOM, STRING)
        .keys(&[keys_to(1, -1, 2, Access::Overwrite, "update")])
        .write(LAST),
    CommandInfo::new(
        "msetnx",
        Group::String,
        "1.0.1",
        -3,
        "Sets several strings if none of the keys exists",
    )
    .like(WRITE | DENYOOM, STRING)
    .keys(&[keys_to(1, -1, 2, Access::Overwrite, "insert")])
    .write(LAST),
    CommandInfo::new(
        "psetex",
        Group::String,
        "2.6.0",
        4,
        "Sets a string that expires after milliseconds",
    )
    .like(WRITE | DENYOOM, STRING)
    .keys(&[key(1, Access::Overwrite, "update")])
    .write(LAST),
    CommandInfo::new(
        "set",
        Group::String,
        "1.0.0",
        -3,
        "Sets a string, whatever the key held",
    )
    .like(WRITE | DENYOOM, STRING)
    .keys(&[key(1, Access::ReadWrite, "access update variable_flags")])
    .write(LAST),
    CommandInfo::new(
        "setex",
        Group::String,
        "2.0.0",
        4,
        "Sets a string that expires after seconds",
    )
    .like(WRITE | DENYOOM, STRING)
    .keys(&[key(1, Access::Overwrite, "update")])
    .write(LAST),
    CommandInfo::new(
        "setnx",
        Group::String,
        "1.0.0",
        3,
        "Sets a string if the key does not exist",
    )
    .like(WRITE | DENYOOM | FAST, STRING)
    .keys(&[key(1, Access::Overwrite, "insert")])
    .write(LAST),
    CommandInfo::new(
        "setrange",
        Group::String,
        "2.2.0",
        4,
        "Overwrites part of a string",
    )
    .like(WRITE | DENYOOM, STRING)
    .keys(&[key(1, Access::ReadWrite, "update")])
    .write(LAST),
    CommandInfo::new(
        "strlen",
        Group::String,
        "2.2.0",
        2,
        "The length of a string in bytes",
    )
    .like(READONLY | FAST, STRING)
    .keys(&[key(1, Access::ReadOnly, "")])
    .read(),
    CommandInfo::new(
        "substr",
        Group::String,
        "1.0.0",
        4,
        "Part of a string, by its old name",
    )
    .like(READONLY, STRING)
    .keys(&[key(1, Access::ReadOnly, "access")])
    .read(),
    CommandInfo::new(
        "bitcount",
        Group::Bitmap,
        "2.6.0",
        -2,
        "How many bits of a string are set",
    )
    .like(READONLY, BITMAP)
    .keys(&[key(1, Access::ReadOnly, "access")])
    .read(),
    CommandInfo::new(
        "bitfield",
        Group::Bitmap,
        "3.2.0",
        -2,
        "Reads and changes integers inside a string",
    )
    .like(WRITE | DENYOOM, BITMAP)
    .keys(&[key(1, Access::ReadWrite, "access update variable_flags")])
    .write(LAST),
    CommandInfo::new(
        "bitfield_ro",
        Group::Bitmap,
        "6.0.0",
        -2,
        "Reads integers inside a string",
    )
    .like(READONLY | FAST, BITMAP)
    .keys(&[key(1, Access::ReadOnly, "access")])
    .read(),
    CommandInfo::new(
        "bitop",
        Group::Bitmap,
        "2.6.0",
        -4,
        "Combines strings bit by bit into another",
    )
    .like(WRITE | DENYOOM, BITMAP)
    .keys(&[
        key(2, Access::Overwrite, "update"),
        keys_to(3, -1, 1, Access::ReadOnly, "access"),
    ])
    .write(LAST),
    CommandInfo::new(
        "bitpos",
        Group::Bitmap,
        "2.8.7",
        -3,
        "The first bit of a string that is set, or that is not",
    )
    .like(READONLY, BITMAP)
    .keys(&[key(1, Access::ReadOnly, "access")])
    .read(),
    CommandInfo::new("getbit", Group::Bitmap, "2.2.0", 3, "One bit of a string")
        .like(READONLY | FAST, BITMAP)
        .keys(&[key(1, Access::ReadOnly, "access")])
        .read(),
    CommandInfo::new("setbit", Group::Bitmap, "2.2.0", 4, "Sets one bit of a string")
        .like(WRITE | DENYOOM, BITMAP)
        .keys(&[key(1, Access::ReadWrite, "access update")])
        .write(LAST),
];
