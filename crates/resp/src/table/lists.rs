//! Lists: readable, and writable in the local class, until they are replicated.

use super::flags::{BLOCKING, DENYOOM, FAST, LIST, MOVABLEKEYS, NOSCRIPT, READONLY, WRITE};
use super::{Access, CommandInfo, Group, counted, key, keys_to};

const WHY: &str = "lists are not replicated yet; use a key of a local prefix, or a sorted set";

pub(super) static COMMANDS: &[CommandInfo] = &[
    CommandInfo::new(
        "blmove",
        Group::List,
        "6.2.0",
        6,
        "Moves an element to another list, or waits for one",
    )
    .like(WRITE | DENYOOM | NOSCRIPT | BLOCKING, LIST)
    .keys(&[
        key(1, Access::ReadWrite, "access delete"),
        key(2, Access::ReadWrite, "insert"),
    ])
    .local_only(WHY),
    CommandInfo::new(
        "blmpop",
        Group::List,
        "7.0.0",
        -5,
        "Takes elements off an end of the first list that has any, or waits",
    )
    .like(WRITE | BLOCKING | MOVABLEKEYS, LIST)
    .keys(&[counted(2, Access::ReadWrite, "access delete")])
    .local_only(WHY),
    CommandInfo::new(
        "blpop",
        Group::List,
        "2.0.0",
        -3,
        "Takes the first element of the first list that has any, or waits",
    )
    .like(WRITE | NOSCRIPT | BLOCKING, LIST)
    .keys(&[keys_to(1, -2, 1, Access::ReadWrite, "access delete")])
    .local_only(WHY),
    CommandInfo::new(
        "brpop",
        Group::List,
        "2.0.0",
        -3,
        "Takes the last element of the first list that has any, or waits",
    )
    .like(WRITE | NOSCRIPT | BLOCKING, LIST)
    .keys(&[keys_to(1, -2, 1, Access::ReadWrite, "access delete")])
    .local_only(WHY),
    CommandInfo::new(
        "brpoplpush",
        Group::List,
        "2.2.0",
        4,
        "Moves the last element to the front of another list, or waits for one",
    )
    .like(WRITE | DENYOOM | NOSCRIPT | BLOCKING, LIST)
    .keys(&[
        key(1, Access::ReadWrite, "access delete"),
        key(2, Access::ReadWrite, "insert"),
    ])
    .local_only(WHY),
    CommandInfo::new("lindex", Group::List, "1.0.0", 3, "The element at an index")
        .like(READONLY, LIST)
        .keys(&[key(1, Access::ReadOnly, "access")])
        .read(),
    CommandInfo::new(
        "linsert",
        Group::List,
        "2.2.0",
        5,
        "Inserts an element beside another",
    )
    .like(WRITE | DENYOOM, LIST)
    .keys(&[key(1, Access::ReadWrite, "insert")])
    .local_only(WHY),
    CommandInfo::new("llen", Group::List, "1.0.0", 2, "How many elements there are")
        .like(READONLY | FAST, LIST)
        .keys(&[key(1, Access::ReadOnly, "")])
        .read(),
    CommandInfo::new(
        "lmove",
        Group::List,
        "6.2.0",
        5,
        "Moves an element to another list",
    )
    .like(WRITE | DENYOOM, LIST)
    .keys(&[
        key(1, Access::ReadWrite, "access delete"),
        key(2, Access::ReadWrite, "insert"),
    ])
    .local_only(WHY),
    CommandInfo::new(
        "lmpop",
        Group::List,
        "7.0.0",
        -4,
        "Takes elements off an end of the first list that has any",
    )
    .like(WRITE | MOVABLEKEYS, LIST)
    .keys(&[counted(1, Access::ReadWrite, "access delete")])
    .local_only(WHY),
    CommandInfo::new("lpop", Group::List, "1.0.0", -2, "Takes the first elements")
        .like(WRITE | FAST, LIST)
        .keys(&[key(1, Access::ReadWrite, "access delete")])
        .local_only(WHY),
    CommandInfo::new("lpos", Group::List, "6.0.6", -3, "Where an element is")
        .like(READONLY, LIST)
        .keys(&[key(1, Access::ReadOnly, "access")])
        .read(),
    CommandInfo::new("lpush", Group::List, "1.0.0", -3, "Adds elements in front")
        .like(WRITE | DENYOOM | FAST, LIST)
        .keys(&[key(1, Access::ReadWrite, "insert")])
        .local_only(WHY),
    CommandInfo::new(
        "lpushx",
        Group::List,
        "2.2.0",
        -3,
        "Adds elements in front, if the list exists",
    )
    .like(WRITE | DENYOOM | FAST, LIST)
    .keys(&[key(1, Access::ReadWrite, "insert")])
    .local_only(WHY),
    CommandInfo::new(
        "lrange",
        Group::List,
        "1.0.0",
        4,
        "Elements in a range of indexes",
    )
    .like(READONLY, LIST)
    .keys(&[key(1, Access::ReadOnly, "access")])
    .read(),
    CommandInfo::new("lrem", Group::List, "1.0.0", 4, "Removes elements by value")
        .like(WRITE, LIST)
        .keys(&[key(1, Access::ReadWrite, "delete")])
        .local_only(WHY),
    CommandInfo::new(
        "lset",
        Group::List,
        "1.0.0",
        4,
        "Replaces the element at an index",
    )
    .like(WRITE | DENYOOM, LIST)
    .keys(&[key(1, Access::ReadWrite, "update")])
    .local_only(WHY),
    CommandInfo::new("ltrim", Group::List, "1.0.0", 4, "Keeps a range of indexes only")
        .like(WRITE, LIST)
        .keys(&[key(1, Access::ReadWrite, "delete")])
        .local_only(WHY),
    CommandInfo::new("rpop", Group::List, "1.0.0", -2, "Takes the last elements")
        .like(WRITE | FAST, LIST)
        .keys(&[key(1, Access::ReadWrite, "access delete")])
        .local_only(WHY),
    CommandInfo::new(
        "rpoplpush",
        Group::List,
        "1.2.0",
        3,
        "Moves the last element to the front of another list",
    )
    .like(WRITE | DENYOOM, LIST)
    .keys(&[
        key(1, Access::ReadWrite, "access delete"),
        key(2, Access::ReadWrite, "insert"),
    ])
    .local_only(WHY),
    CommandInfo::new("rpush", Group::List, "1.0.0", -3, "Adds elements at the end")
        .like(WRITE | DENYOOM | FAST, LIST)
        .keys(&[key(1, Access::ReadWrite, "insert")])
        .local_only(WHY),
    CommandInfo::new(
        "rpushx",
        Group::List,
        "2.2.0",
        -3,
        "Adds elements at the end, if the list exists",
    )
    .like(WRITE | DENYOOM | FAST, LIST)
    .keys(&[key(1, Access::ReadWrite, "insert")])
    .local_only(WHY),
];
