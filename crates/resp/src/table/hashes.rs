//! Hashes, and their fields' expiry, which newer servers have.

use super::flags::{DENYOOM, FAST, HASH, READONLY, WRITE};
use super::{Access, CommandInfo, Group, key};

const FIELD: &str = "fields are an add-wins set; on a field's value the last writer wins";

const NUMBER: &str = "increments of all regions add up; HSET begins anew and cancels those that it had seen";

const REMOVED: &str =
    "removes what it has seen of the fields; a concurrent HSET or HINCRBY that it had not seen survives";

const FIELD_TTL: &str = "the expiry of single fields is not replicated yet; let the whole key expire";

const FIELD_GETDEL: &str = "not supported yet; use HMGET and HDEL in one MULTI";

pub(super) static COMMANDS: &[CommandInfo] = &[
    CommandInfo::new("hdel", Group::Hash, "2.0.0", -3, "Removes fields")
        .like(WRITE | FAST, HASH)
        .keys(&[key(1, Access::ReadWrite, "delete")])
        .write(REMOVED),
    CommandInfo::new("hexists", Group::Hash, "2.0.0", 3, "Whether a field exists")
        .like(READONLY | FAST, HASH)
        .keys(&[key(1, Access::ReadOnly, "")])
        .read(),
    CommandInfo::new(
        "hexpire",
        Group::Hash,
        "7.4.0",
        -6,
        "Lets fields expire after seconds",
    )
    .like(WRITE | DENYOOM | FAST, HASH)
    .keys(&[key(1, Access::ReadWrite, "update")])
    .refused(FIELD_TTL),
    CommandInfo::new(
        "hexpireat",
        Group::Hash,
        "7.4.0",
        -6,
        "Lets fields expire at a second",
    )
    .like(WRITE | DENYOOM | FAST, HASH)
    .keys(&[key(1, Access::ReadWrite, "update")])
    .refused(FIELD_TTL),
    CommandInfo::new(
        "hexpiretime",
        Group::Hash,
        "7.4.0",
        -5,
        "The second at which fields expire",
    )
    .like(READONLY | FAST, HASH)
    .keys(&[key(1, Access::ReadOnly, "access")])
    .refused(FIELD_TTL),
    CommandInfo::new("hget", Group::Hash, "2.0.0", 3, "The value of a field")
        .like(READONLY | FAST, HASH)
        .keys(&[key(1, Access::ReadOnly, "access")])
        .read(),
    CommandInfo::new("hgetall", Group::Hash, "2.0.0", 2, "All fields and their values")
        .like(READONLY, HASH)
        .keys(&[key(1, Access::ReadOnly, "access")])
        .read(),
    CommandInfo::new(
        "hgetdel",
        Group::Hash,
        "8.0.0",
        -5,
        "The values of fields, which are then removed",
    )
    .like(WRITE | FAST, HASH)
    .keys(&[key(1, Access::ReadWrite, "access delete")])
    .refused(FIELD_GETDEL),
    CommandInfo::new(
        "hgetex",
        Group::Hash,
        "8.0.0",
        -5,
        "The values of fields, whose expiry is changed",
    )
    .like(WRITE | FAST, HASH)
    .keys(&[key(1, Access::ReadWrite, "access update")])
    .refused(FIELD_TTL),
    CommandInfo::new(
        "hincrby",
        Group::Hash,
        "2.0.0",
        4,
        "Adds an integer to a field's number",
    )
    .like(WRITE | DENYOOM | FAST, HASH)
    .keys(&[key(1, Access::ReadWrite, "access update")])
    .write(NUMBER),
    CommandInfo::new(
        "hincrbyfloat",
        Group::Hash,
        "2.6.0",
        4,
        "Adds a fraction to a field's number",
    )
    .like(WRITE | DENYOOM | FAST, HASH)
    .keys(&[key(1, Access::ReadWrite, "access update")])
    .write(NUMBER),
    CommandInfo::new("hkeys", Group::Hash, "2.0.0", 2, "All fields")
        .like(READONLY, HASH)
        .keys(&[key(1, Access::ReadOnly, "access")])
        .read(),
    CommandInfo::new("hlen", Group::Hash, "2.0.0", 2, "How many fields there are")
        .like(READONLY | FAST, HASH)
        .keys(&[key(1, Access::ReadOnly, "")])
        .read(),
    CommandInfo::new("hmget", Group::Hash, "2.0.0", -3, "The values of several fields")
        .like(READONLY | FAST, HASH)
        .keys(&[key(1, Access::ReadOnly, "access")])
        .read(),
    CommandInfo::new("hmset", Group::Hash, "2.0.0", -4, "Sets fields, by its old name")
        .like(WRITE | DENYOOM | FAST, HASH)
        .keys(&[key(1, Access::ReadWrite, "update")])
        .write(FIELD),
    CommandInfo::new(
        "hpersist",
        Group::Hash,
        "7.4.0",
        -5,
        "Takes the expiry off fields",
    )
    .like(WRITE | FAST, HASH)
    .keys(&[key(1, Access::ReadWrite, "update")])
    .refused(FIELD_TTL),
    CommandInfo::new(
        "hpexpire",
        Group::Hash,
        "7.4.0",
        -6,
        "Lets fields expire after milliseconds",
    )
    .like(WRITE | DENYOOM | FAST, HASH)
    .keys(&[key(1, Access::ReadWrite, "update")])
    .refused(FIELD_TTL),
    CommandInfo::new(
        "hpexpireat",
        Group::Hash,
        "7.4.0",
        -6,
        "Lets fields expire at a millisecond",
    )
    .like(WRITE | DENYOOM | FAST, HASH)
    .keys(&[key(1, Access::ReadWrite, "update")])
    .refused(FIELD_TTL),
    CommandInfo::new(
        "hpexpiretime",
        Group::Hash,
        "7.4.0",
        -5,
        "The millisecond at which fields expire",
    )
    .like(READONLY | FAST, HASH)
    .keys(&[key(1, Access::ReadOnly, "access")])
    .refused(FIELD_TTL),
    CommandInfo::new(
        "hpttl",
        Group::Hash,
        "7.4.0",
        -5,
        "How many milliseconds fields have left",
    )
    .like(READONLY | FAST, HASH)
    .keys(&[key(1, Access::ReadOnly, "access")])
    .refused(FIELD_TTL),
    CommandInfo::new("hrandfield", Group::Hash, "6.2.0", -2, "Fields chosen at random")
        .like(READONLY, HASH)
        .keys(&[key(1, Access::ReadOnly, "access")])
        .read(),
    CommandInfo::new(
        "hscan",
        Group::Hash,
        "2.8.0",
        -3,
        "Goes through fields step by step",
    )
    .like(READONLY, HASH)
    .keys(&[key(1, Access::ReadOnly, "access")])
    .read(),
    CommandInfo::new("hset", Group::Hash, "2.0.0", -4, "Sets fields")
        .like(WRITE | DENYOOM | FAST, HASH)
        .keys(&[key(1, Access::ReadWrite, "update")])
        .write(FIELD),
    CommandInfo::new("hsetex", Group::Hash, "8.0.0", -6, "Sets fields and their expiry")
        .like(WRITE | DENYOOM | FAST, HASH)
        .keys(&[key(1, Access::ReadWrite, "update")])
        .refused(FIELD_TTL),
    CommandInfo::new(
        "hsetnx",
        Group::Hash,
        "2.0.0",
        4,
        "Sets a field if it does not exist",
    )
    .like(WRITE | DENYOOM | FAST, HASH)
    .keys(&[key(1, Access::ReadWrite, "insert")])
    .write(FIELD),
    CommandInfo::new(
        "hstrlen",
        Group::Hash,
        "3.2.0",
        3,
        "The length of a field's value in bytes",
    )
    .like(READONLY | FAST, HASH)
    .keys(&[key(1, Access::ReadOnly, "")])
    .read(),
    CommandInfo::new(
        "httl",
        Group::Hash,
        "7.4.0",
        -5,
        "How many seconds fields have left",
    )
    .like(READONLY | FAST, HASH)
    .keys(&[key(1, Access::ReadOnly, "access")])
    .refused(FIELD_TTL),
    CommandInfo::new("hvals", Group::Hash, "2.0.0", 2, "The values of all fields")
        .like(READONLY, HASH)
        .keys(&[key(1, Access::ReadOnly, "access")])
        .read(),
];
