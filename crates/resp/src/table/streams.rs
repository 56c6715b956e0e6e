//! Streams: readable, and writable in the local class, until they are replicated.

use super::flags::{BLOCKING, DENYOOM, FAST, LOADING, MOVABLEKEYS, READONLY, STALE, STREAM, WRITE};
use super::{Access, CommandInfo, Group, after, key};

const WHY: &str = "streams are not replicated yet; use a key of a local prefix";

pub(super) static COMMANDS: &[CommandInfo] = &[
    CommandInfo::new(
        "xack",
        Group::Stream,
        "5.0.0",
        -4,
        "Says that entries have been dealt with",
    )
    .like(WRITE | FAST, STREAM)
    .keys(&[key(1, Access::ReadWrite, "update")])
    .local_only(WHY),
    CommandInfo::new("xadd", Group::Stream, "5.0.0", -5, "Adds an entry")
        .like(WRITE | DENYOOM | FAST, STREAM)
        .keys(&[key(1, Access::ReadWrite, "update")])
        .local_only(WHY),
    CommandInfo::new(
        "xautoclaim",
        Group::Stream,
        "6.2.0",
        -6,
        "Takes over entries that others have left pending",
    )
    .like(WRITE | FAST, STREAM)
    .keys(&[key(1, Access::ReadWrite, "delete")])
    .local_only(WHY),
    CommandInfo::new("xclaim", Group::Stream, "5.0.0", -6, "Takes over pending entries")
        .like(WRITE | FAST, STREAM)
        .keys(&[key(1, Access::ReadWrite, "update")])
        .local_only(WHY),
    CommandInfo::new("xdel", Group::Stream, "5.0.0", -3, "Removes entries")
        .like(WRITE | FAST, STREAM)
        .keys(&[key(1, Access::ReadWrite, "delete")])
        .local_only(WHY),
    CommandInfo::new(
        "xgroup",
        Group::Stream,
        "5.0.0",
        -2,
        "Manages groups of consumers",
    )
    .like(0, 0)
    .local_only(WHY)
    .with(&[
        CommandInfo::new("xgroup|create", Group::Stream, "5.0.0", -5, "Makes a group")
            .like(WRITE | DENYOOM, STREAM)
            .keys(&[key(2, Access::ReadWrite, "insert")])
            .local_only(WHY),
        CommandInfo::new(
            "xgroup|createconsumer",
            Group::Stream,
            "6.2.0",
            5,
            "Makes a consumer",
        )
        .like(WRITE | DENYOOM, STREAM)
        .keys(&[key(2, Access::ReadWrite, "insert")])
        .local_only(WHY),
        CommandInfo::new(
            "xgroup|delconsumer",
            Group::Stream,
            "5.0.0",
            5,
            "Removes a consumer",
        )
        .like(WRITE, STREAM)
        .keys(&[key(2, Access::ReadWrite, "delete")])
        .local_only(WHY),
        CommandInfo::new("xgroup|destroy", Group::Stream, "5.0.0", 4, "Removes a group")
            .like(WRITE, STREAM)
            .keys(&[key(2, Access::ReadWrite, "delete")])
            .local_only(WHY),
        CommandInfo::new("xgroup|help", Group::Stream, "5.0.0", 2, "What XGROUP can do")
            .like(LOADING | STALE, STREAM)
            .server(),
        CommandInfo::new(
            "xgroup|setid",
            Group::Stream,
            "5.0.0",
            -5,
            "Sets the last entry that a group was given",
        )
        .like(WRITE, STREAM)
        .keys(&[key(2, Access::ReadWrite, "update")])
        .local_only(WHY),
    ]),
    CommandInfo::new("xinfo", Group::Stream, "5.0.0", -2, "Describes streams")
        .like(0, 0)
        .read()
        .with(&[
            CommandInfo::new(
                "xinfo|consumers",
                Group::Stream,
                "5.0.0",
                4,
                "The consumers of a group",
            )
            .like(READONLY, STREAM)
            .keys(&[key(2, Access::ReadOnly, "access")])
            .read(),
            CommandInfo::new(
                "xinfo|groups",
                Group::Stream,
                "5.0.0",
                3,
                "The groups of a stream",
            )
            .like(READONLY, STREAM)
            .keys(&[key(2, Access::ReadOnly, "access")])
            .read(),
            CommandInfo::new("xinfo|help", Group::Stream, "5.0.0", 2, "What XINFO can do")
                .like(LOADING | STALE, STREAM)
                .server(),
            CommandInfo::new("xinfo|stream", Group::Stream, "5.0.0", -3, "How a stream fares")
                .like(READONLY, STREAM)
                .keys(&[key(2, Access::ReadOnly, "access")])
                .read(),
        ]),
    CommandInfo::new("xlen", Group::Stream, "5.0.0", 2, "How many entries there are")
        .like(READONLY | FAST, STREAM)
        .keys(&[key(1, Access::ReadOnly, "")])
        .read(),
    CommandInfo::new(
        "xpending",
        Group::Stream,
        "5.0.0",
        -3,
        "Entries that have not been dealt with",
    )
    .like(READONLY, STREAM)
    .keys(&[key(1, Access::ReadOnly, "access")])
    .read(),
    CommandInfo::new("xrange", Group::Stream, "5.0.0", -4, "Entries in a range of ids")
        .like(READONLY, STREAM)
        .keys(&[key(1, Access::ReadOnly, "access")])
        .read(),
    CommandInfo::new(
        "xread",
        Group::Stream,
        "5.0.0",
        -4,
        "Entries after given ids; may wait",
    )
    .like(READONLY | BLOCKING | MOVABLEKEYS, STREAM)
    .keys(&[after("STREAMS", 1, -1, 2, Access::ReadOnly, "access")])
    .read(),
    CommandInfo::new(
        "xreadgroup",
        Group::Stream,
        "5.0.0",
        -7,
        "Entries for a consumer of a group; may wait",
    )
    .like(WRITE | BLOCKING | MOVABLEKEYS, STREAM)
    .keys(&[after("STREAMS", 4, -1, 2, Access::ReadOnly, "access")])
    .local_only(WHY),
    CommandInfo::new(
        "xrevrange",
        Group::Stream,
        "5.0.0",
        -4,
        "Entries in a range of ids, backwards",
    )
    .like(READONLY, STREAM)
    .keys(&[key(1, Access::ReadOnly, "access")])
    .read(),
    CommandInfo::new("xsetid", Group::Stream, "5.0.0", -3, "Sets a stream's last id")
        .like(WRITE | DENYOOM | FAST, STREAM)
        .keys(&[key(1, Access::ReadWrite, "update")])
        .local_only(WHY),
    CommandInfo::new("xtrim", Group::Stream, "5.0.0", -4, "Removes the oldest entries")
        .like(WRITE, STREAM)
        .keys(&[key(1, Access::ReadWrite, "delete")])
        .local_only(WHY),
];
