//! Sorted sets.

use super::flags::{BLOCKING, DENYOOM, FAST, MOVABLEKEYS, NOSCRIPT, READONLY, SORTEDSET, WRITE};
use super::{Access, CommandInfo, Group, counted, key, keys_to};

const SCORE: &str = "members are an add-wins set; on a score the last writer wins; NX, XX, GT and LT are decided where it is written";

const NUMBER: &str = "increments of all regions add up; ZADD begins anew and cancels those that it had seen";

const REMOVED: &str =
    "removes what it has seen of the members; a concurrent ZADD or ZINCRBY that it had not seen survives";

const POPPED: &str = "removes what it has seen; two regions may both get the same member";

const STORED: &str = "the destination is replaced: what it had seen of it goes, what it had not seen stays beside the new content";

pub(super) static COMMANDS: &[CommandInfo] = &[
    CommandInfo::new(
        "bzmpop",
        Group::SortedSet,
        "7.0.0",
        -5,
        "Takes members off an end of the first sorted set that has any, or waits",
    )
    .like(WRITE | BLOCKING | MOVABLEKEYS, SORTEDSET)
    .keys(&[counted(2, Access::ReadWrite, "access delete")])
    .write(POPPED),
    CommandInfo::new(
        "bzpopmax",
        Group::SortedSet,
        "5.0.0",
        -3,
        "Takes the highest member of the first sorted set that has any, or waits",
    )
    .like(WRITE | NOSCRIPT | BLOCKING | FAST, SORTEDSET)
    .keys(&[keys_to(1, -2, 1, Access::ReadWrite, "access delete")])
    .write(POPPED),
    CommandInfo::new(
        "bzpopmin",
        Group::SortedSet,
        "5.0.0",
        -3,
        "Takes the lowest member of the first sorted set that has any, or waits",
    )
    .like(WRITE | NOSCRIPT | BLOCKING | FAST, SORTEDSET)
    .keys(&[keys_to(1, -2, 1, Access::ReadWrite, "access delete")])
    .write(POPPED),
    CommandInfo::new(
        "zadd",
        Group::SortedSet,
        "1.2.0",
        -4,
        "Adds members, or changes their scores",
    )
    .like(WRITE | DENYOOM | FAST, SORTEDSET)
    .keys(&[key(1, Access::ReadWrite, "update")])
    .write(SCORE),
    CommandInfo::new(
        "zcard",
        Group::SortedSet,
        "1.2.0",
        2,
        "How many members there are",
    )
    .like(READONLY | FAST, SORTEDSET)
    .keys(&[key(1, Access::ReadOnly, "")])
    .read(),
    CommandInfo::new(
        "zcount",
        Group::SortedSet,
        "2.0.0",
        4,
        "How many members have a score in a range",
    )
    .like(READONLY | FAST, SORTEDSET)
    .keys(&[key(1, Access::ReadOnly, "access")])
    .read(),
    CommandInfo::new(
        "zdiff",
        Group::SortedSet,
        "6.2.0",
        -3,
        "The members of a sorted set that are in none of others",
    )
    .like(READONLY | MOVABLEKEYS, SORTEDSET)
    .keys(&[counted(1, Access::ReadOnly, "access")])
    .read(),
    CommandInfo::new(
        "zdiffstore",
        Group::SortedSet,
        "6.2.0",
        -4,
        "Keeps the members of a sorted set that are in none of others",
    )
    .like(WRITE | DENYOOM | MOVABLEKEYS, SORTEDSET)
    .keys(&[
        key(1, Access::Overwrite, "update"),
        counted(2, Access::ReadOnly, "access"),
    ])
    .write(STORED),
    CommandInfo::new(
        "zincrby",
        Group::SortedSet,
        "1.2.0",
        4,
        "Adds to a member's score",
    )
    .like(WRITE | DENYOOM | FAST, SORTEDSET)
    .keys(&[key(1, Access::ReadWrite, "access update")])
    .write(NUMBER),
    CommandInfo::new(
        "zinter",
        Group::SortedSet,
        "6.2.0",
        -3,
        "The members that all sorted sets have",
    )
    .like(READONLY | MOVABLEKEYS, SORTEDSET)
    .keys(&[counted(1, Access::ReadOnly, "access")])
    .read(),
    CommandInfo::new(
        "zintercard",
        Group::SortedSet,
        "7.0.0",
        -3,
        "How many members all sorted sets have",
    )
    .like(READONLY | MOVABLEKEYS, SORTEDSET)
    .keys(&[counted(1, Access::ReadOnly, "access")])
    .read(),
    CommandInfo::new(
        "zinterstore",
        Group::SortedSet,
        "2.0.0",
        -4,
        "Keeps the members that all sorted sets have",
    )
    .like(WRITE | DENYOOM | MOVABLEKEYS, SORTEDSET)
    .keys(&[
        key(1, Access::Overwrite, "update"),
        counted(2, Access::ReadOnly, "access"),
    ])
    .write(STORED),
    CommandInfo::new(
        "zlexcount",
        Group::SortedSet,
        "2.8.9",
        4,
        "How many members are in a range of names",
    )
    .like(READONLY | FAST, SORTEDSET)
    .keys(&[key(1, Access::ReadOnly, "access")])
    .read(),
    CommandInfo::new(
        "zmpop",
        Group::SortedSet,
        "7.0.0",
        -4,
        "Takes members off an end of the first sorted set that has any",
    )
    .like(WRITE | MOVABLEKEYS, SORTEDSET)
    .keys(&[counted(1, Access::ReadWrite, "access delete")])
    .write(POPPED),
    CommandInfo::new(
        "zmscore",
        Group::SortedSet,
        "6.2.0",
        -3,
        "The scores of several members",
    )
    .like(READONLY | FAST, SORTEDSET)
    .keys(&[key(1, Access::ReadOnly, "access")])
    .read(),
    CommandInfo::new(
        "zpopmax",
        Group::SortedSet,
        "5.0.0",
        -2,
        "Takes the highest members",
    )
    .like(WRITE | FAST, SORTEDSET)
    .keys(&[key(1, Access::ReadWrite, "access delete")])
    .write(POPPED),
    CommandInfo::new(
        "zpopmin",
        Group::SortedSet,
        "5.0.0",
        -2,
        "Takes the lowest members",
    )
    .like(WRITE | FAST, SORTEDSET)
    .keys(&[key(1, Access::ReadWrite, "access delete")])
    .write(POPPED),
    CommandInfo::new(
        "zrandmember",
        Group::SortedSet,
        "6.2.0",
        -2,
        "Members chosen at random",
    )
    .like(READONLY, SORTEDSET)
    .keys(&[key(1, Access::ReadOnly, "access")])
    .read(),
    CommandInfo::new(
        "zrange",
        Group::SortedSet,
        "1.2.0",
        -4,
        "Members in a range of ranks, scores or names",
    )
    .like(READONLY, SORTEDSET)
    .keys(&[key(1, Access::ReadOnly, "access")])
    .read(),
    CommandInfo::new(
        "zrangebylex",
        Group::SortedSet,
        "2.8.9",
        -4,
        "Members in a range of names",
    )
    .like(READONLY, SORTEDSET)
    .keys(&[key(1, Access::ReadOnly, "access")])
    .read(),
    CommandInfo::new(
        "zrangebyscore",
        Group::SortedSet,
        "1.0.5",
        -4,
        "Members in a range of scores",
    )
    .like(READONLY, SORTEDSET)
    .keys(&[key(1, Access::ReadOnly, "access")])
    .read(),
    CommandInfo::new(
        "zrangestore",
        Group::SortedSet,
        "6.2.0",
        -5,
        "Keeps members in a range in another key",
    )
    .like(WRITE | DENYOOM, SORTEDSET)
    .keys(&[
        key(1, Access::Overwrite, "update"),
        key(2, Access::ReadOnly, "access"),
    ])
    .write(STORED),
    CommandInfo::new(
        "zrank",
        Group::SortedSet,
        "2.0.0",
        3,
        "A member's rank from the lowest",
    )
    .like(READONLY | FAST, SORTEDSET)
    .keys(&[key(1, Access::ReadOnly, "access")])
    .read(),
    CommandInfo::new("zrem", Group::SortedSet, "1.2.0", -3, "Removes members")
        .like(WRITE | FAST, SORTEDSET)
        .keys(&[key(1, Access::ReadWrite, "delete")])
        .write(REMOVED),
    CommandInfo::new(
        "zremrangebylex",
        Group::SortedSet,
        "2.8.9",
        4,
        "Removes members in a range of names",
    )
    .like(WRITE, SORTEDSET)
    .keys(&[key(1, Access::ReadWrite, "delete")])
    .write(REMOVED),
    CommandInfo::new(
        "zremrangebyrank",
        Group::SortedSet,
        "2.0.0",
        4,
        "Removes members in a range of ranks",
    )
    .like(WRITE, SORTEDSET)
    .keys(&[key(1, Access::ReadWrite, "delete")])
    .write(REMOVED),
    CommandInfo::new(
        "zremrangebyscore",
        Group::SortedSet,
        "1.2.0",
        4,
        "Removes members in a range of scores",
    )
    .like(WRITE, SORTEDSET)
    .keys(&[key(1, Access::ReadWrite, "delete")])
    .write(REMOVED),
    CommandInfo::new(
        "zrevrange",
        Group::SortedSet,
        "1.2.0",
        -4,
        "Members in a range of ranks from the highest",
    )
    .like(READONLY, SORTEDSET)
    .keys(&[key(1, Access::ReadOnly, "access")])
    .read(),
    CommandInfo::new(
        "zrevrangebylex",
        Group::SortedSet,
        "2.8.9",
        -4,
        "Members in a range of names, backwards",
    )
    .like(READONLY, SORTEDSET)
    .keys(&[key(1, Access::ReadOnly, "access")])
    .read(),
    CommandInfo::new(
        "zrevrangebyscore",
        Group::SortedSet,
        "2.2.0",
        -4,
        "Members in a range of scores, backwards",
    )
    .like(READONLY, SORTEDSET)
    .keys(&[key(1, Access::ReadOnly, "access")])
    .read(),
    CommandInfo::new(
        "zrevrank",
        Group::SortedSet,
        "2.0.0",
        3,
        "A member's rank from the highest",
    )
    .like(READONLY | FAST, SORTEDSET)
    .keys(&[key(1, Access::ReadOnly, "access")])
    .read(),
    CommandInfo::new(
        "zscan",
        Group::SortedSet,
        "2.8.0",
        -3,
        "Goes through members step by step",
    )
    .like(READONLY, SORTEDSET)
    .keys(&[key(1, Access::ReadOnly, "access")])
    .read(),
    CommandInfo::new("zscore", Group::SortedSet, "1.2.0", 3, "A member's score")
        .like(READONLY | FAST, SORTEDSET)
        .keys(&[key(1, Access::ReadOnly, "access")])
        .read(),
    CommandInfo::new(
        "zunion",
        Group::SortedSet,
        "6.2.0",
        -3,
        "The members that any of the sorted sets has",
    )
    .like(READONLY | MOVABLEKEYS, SORTEDSET)
    .keys(&[counted(1, Access::ReadOnly, "access")])
    .read(),
    CommandInfo::new(
        "zunionstore",
        Group::SortedSet,
        "2.0.0",
        -4,
        "Keeps the members that any of the sorted sets has",
    )
    .like(WRITE | DENYOOM | MOVABLEKEYS, SORTEDSET)
    .keys(&[
        key(1, Access::Overwrite, "update"),
        counted(2, Access::ReadOnly, "access"),
    ])
    .write(STORED),
];
