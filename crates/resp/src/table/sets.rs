//! Sets.

use super::flags::{DENYOOM, FAST, MOVABLEKEYS, READONLY, SET, WRITE};
use super::{Access, CommandInfo, Group, counted, key, keys_to};

const ADDED: &str = "add-wins: an add survives any removal that had not seen it";

const REMOVED: &str =
    "removes what it has seen of the members; a concurrent add that it had not seen survives";

const POPPED: &str = "removes what it has seen; two regions may both get the same member";

const MOVED: &str = "a removal here and an add there; a member moved to two places at once is in both";

const STORED: &str = "the destination is replaced: what it had seen of it goes, what it had not seen stays beside the new content";

pub(super) static COMMANDS: &[CommandInfo] = &[
    CommandInfo::new("sadd", Group::Set, "1.0.0", -3, "Adds members")
        .like(WRITE | DENYOOM | FAST, SET)
        .keys(&[key(1, Access::ReadWrite, "insert")])
        .write(ADDED),
    CommandInfo::new("scard", Group::Set, "1.0.0", 2, "How many members there are")
        .like(READONLY | FAST, SET)
        .keys(&[key(1, Access::ReadOnly, "")])
        .read(),
    CommandInfo::new(
        "sdiff",
        Group::Set,
        "1.0.0",
        -2,
        "The members of a set that are in none of others",
    )
    .like(READONLY, SET)
    .keys(&[keys_to(1, -1, 1, Access::ReadOnly, "access")])
    .read(),
    CommandInfo::new(
        "sdiffstore",
        Group::Set,
        "1.0.0",
        -3,
        "Keeps the members of a set that are in none of others",
    )
    .like(WRITE | DENYOOM, SET)
    .keys(&[
        key(1, Access::Overwrite, "update"),
        keys_to(2, -1, 1, Access::ReadOnly, "access"),
    ])
    .write(STORED),
    CommandInfo::new(
        "sinter",
        Group::Set,
        "1.0.0",
        -2,
        "The members that all sets have",
    )
    .like(READONLY, SET)
    .keys(&[keys_to(1, -1, 1, Access::ReadOnly, "access")])
    .read(),
    CommandInfo::new(
        "sintercard",
        Group::Set,
        "7.0.0",
        -3,
        "How many members all sets have",
    )
    .like(READONLY | MOVABLEKEYS, SET)
    .keys(&[counted(1, Access::ReadOnly, "access")])
    .read(),
    CommandInfo::new(
        "sinterstore",
        Group::Set,
        "1.0.0",
        -3,
        "Keeps the members that all sets have",
    )
    .like(WRITE | DENYOOM, SET)
    .keys(&[
        key(1, Access::ReadWrite, "update"),
        keys_to(2, -1, 1, Access::ReadOnly, "access"),
    ])
    .write(STORED),
    CommandInfo::new(
        "sismember",
        Group::Set,
        "1.0.0",
        3,
        "Whether something is a member",
    )
    .like(READONLY | FAST, SET)
    .keys(&[key(1, Access::ReadOnly, "")])
    .read(),
    CommandInfo::new("smembers", Group::Set, "1.0.0", 2, "All members")
        .like(READONLY, SET)
        .keys(&[key(1, Access::ReadOnly, "access")])
        .read(),
    CommandInfo::new(
        "smismember",
        Group::Set,
        "6.2.0",
        -3,
        "Which of several are members",
    )
    .like(READONLY | FAST, SET)
    .keys(&[key(1, Access::ReadOnly, "access")])
    .read(),
    CommandInfo::new("smove", Group::Set, "1.0.0", 4, "Moves a member to another set")
        .like(WRITE | FAST, SET)
        .keys(&[
            key(1, Access::ReadWrite, "access delete"),
            key(2, Access::ReadWrite, "insert"),
        ])
        .write(MOVED),
    CommandInfo::new("spop", Group::Set, "1.0.0", -2, "Takes members out at random")
        .like(WRITE | FAST, SET)
        .keys(&[key(1, Access::ReadWrite, "access delete")])
        .write(POPPED),
    CommandInfo::new("srandmember", Group::Set, "1.0.0", -2, "Members chosen at random")
        .like(READONLY, SET)
        .keys(&[key(1, Access::ReadOnly, "access")])
        .read(),
    CommandInfo::new("srem", Group::Set, "1.0.0", -3, "Removes members")
        .like(WRITE | FAST, SET)
        .keys(&[key(1, Access::ReadWrite, "delete")])
        .write(REMOVED),
    CommandInfo::new(
        "sscan",
        Group::Set,
        "2.8.0",
        -3,
        "Goes through members step by step",
    )
    .like(READONLY, SET)
    .keys(&[key(1, Access::ReadOnly, "access")])
    .read(),
    CommandInfo::new(
        "sunion",
        Group::Set,
        "1.0.0",
        -2,
        "The members that any of the sets has",
    )
    .like(READONLY, SET)
    .keys(&[keys_to(1, -1, 1, Access::ReadOnly, "access")])
    .read(),
    CommandInfo::new(
        "sunionstore",
        Group::Set,
        "1.0.0",
        -3,
        "Keeps the members that any of the sets has",
    )
    .like(WRITE | DENYOOM, SET)
    .keys(&[
        key(1, Access::Overwrite, "update"),
        keys_to(2, -1, 1, Access::ReadOnly, "access"),
    ])
    .write(STORED),
];
