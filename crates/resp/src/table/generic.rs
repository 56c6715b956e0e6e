//! Keys of any type: names, expiry, deletion.

use super::flags::{
    BLOCKING, CONNECTION, DANGEROUS, DENYOOM, FAST, KEYSPACE, LIST, LOADING, MOVABLEKEYS, NOSCRIPT, READONLY,
    SET, SORTEDSET, STALE, WRITE,
};
use super::{Access, CommandInfo, Group, Special, Treatment, after, elsewhere, key, keys_to};

const DELETED: &str = "removes what it has seen; a concurrent write that it had not seen survives";

const STORED: &str = "the destination is replaced: what it had seen of it goes, what it had not seen stays beside the new content";

const RENAMED: &str = "a deletion of the old name and a replacement of the new one; a write to the old name that it had not seen lives on there";

const LONGEST: &str = "of concurrent expiries the longest wins; none counts as longer than any";

const MIGRATE: &str = "would take keys from under every region; read them here and write them there";

const ONE_DATABASE: &str = "there is database 0 only";

const RESTORE: &str = "a value in Redis's own format says nothing of who wrote what, so it cannot be merged; write it with its type's commands";

const SORT_STORE: &str =
    "with STORE it makes a list, and lists are not replicated yet: store into a local key";

pub(super) static COMMANDS: &[CommandInfo] = &[
    CommandInfo::new("copy", Group::Generic, "6.2.0", -3, "Copies a key")
        .like(WRITE | DENYOOM, KEYSPACE)
        .keys(&[
            key(1, Access::ReadOnly, "access"),
            key(2, Access::Overwrite, "update"),
        ])
        .write(STORED),
    CommandInfo::new("del", Group::Generic, "1.0.0", -2, "Deletes keys")
        .like(WRITE, KEYSPACE)
        .keys(&[keys_to(1, -1, 1, Access::Remove, "delete")])
        .write(DELETED),
    CommandInfo::new(
        "dump",
        Group::Generic,
        "2.6.0",
        2,
        "A key's value in Redis's own format",
    )
    .like(READONLY, KEYSPACE)
    .keys(&[key(1, Access::ReadOnly, "access")])
    .read(),
    CommandInfo::new(
        "exists",
        Group::Generic,
        "1.0.0",
        -2,
        "How many of the keys exist",
    )
    .like(READONLY | FAST, KEYSPACE)
    .keys(&[keys_to(1, -1, 1, Access::ReadOnly, "")])
    .read(),
    CommandInfo::new(
        "expire",
        Group::Generic,
        "1.0.0",
        -3,
        "Lets a key expire after seconds",
    )
    .like(WRITE | FAST, KEYSPACE)
    .keys(&[key(1, Access::ReadWrite, "update")])
    .write(LONGEST),
    CommandInfo::new(
        "expireat",
        Group::Generic,
        "1.2.0",
        -3,
        "Lets a key expire at a second",
    )
    .like(WRITE | FAST, KEYSPACE)
    .keys(&[key(1, Access::ReadWrite, "update")])
    .write(LONGEST),
    CommandInfo::new(
        "expiretime",
        Group::Generic,
        "7.0.0",
        2,
        "The second at which a key expires",
    )
    .like(READONLY | FAST, KEYSPACE)
    .keys(&[key(1, Access::ReadOnly, "access")])
    .read(),
    CommandInfo::new(
        "keys",
        Group::Generic,
        "1.0.0",
        2,
        "All keys that match a pattern",
    )
    .like(READONLY, KEYSPACE | DANGEROUS)
    .read()
    .fanned_out(),
    CommandInfo::new(
        "migrate",
        Group::Generic,
        "2.6.0",
        -6,
        "Moves keys to another server",
    )
    .like(WRITE | MOVABLEKEYS, KEYSPACE | DANGEROUS)
    .keys(&[
        key(3, Access::ReadWrite, "access delete"),
        after("KEYS", -2, -1, 0, Access::ReadWrite, "access delete incomplete"),
    ])
    .refused(MIGRATE)
    .special(Special::Migrate),
    CommandInfo::new(
        "move",
        Group::Generic,
        "1.0.0",
        3,
        "Moves a key to another database",
    )
    .like(WRITE | FAST, KEYSPACE)
    .keys(&[key(1, Access::ReadWrite, "access update")])
    .refused(ONE_DATABASE),
    CommandInfo::new(
        "object",
        Group::Generic,
        "2.2.3",
        -2,
        "Looks into how a key is stored",
    )
    .like(0, 0)
    .read()
    .with(&[
        CommandInfo::new(
            "object|encoding",
            Group::Generic,
            "2.2.3",
            3,
            "How a value is stored",
        )
        .like(READONLY, KEYSPACE)
        .keys(&[key(2, Access::ReadOnly, "")])
        .read(),
        CommandInfo::new(
            "object|freq",
            Group::Generic,
            "4.0.0",
            3,
            "How often a key is used",
        )
        .like(READONLY, KEYSPACE)
        .keys(&[key(2, Access::ReadOnly, "")])
        .read(),
        CommandInfo::new("object|help", Group::Generic, "6.2.0", 2, "What OBJECT can do")
            .like(LOADING | STALE, KEYSPACE)
            .server(),
        CommandInfo::new(
            "object|idletime",
            Group::Generic,
            "2.2.3",
            3,
            "How long a key has not been used",
        )
        .like(READONLY, KEYSPACE)
        .keys(&[key(2, Access::ReadOnly, "")])
        .read(),
        CommandInfo::new(
            "object|refcount",
            Group::Generic,
            "2.2.3",
            3,
            "How many references a value has",
        )
        .like(READONLY, KEYSPACE)
        .keys(&[key(2, Access::ReadOnly, "")])
        .read(),
    ]),
    CommandInfo::new(
        "persist",
        Group::Generic,
        "2.2.0",
        2,
        "Takes the expiry off a key",
    )
    .like(WRITE | FAST, KEYSPACE)
    .keys(&[key(1, Access::ReadWrite, "update")])
    .write(LONGEST),
    CommandInfo::new(
        "pexpire",
        Group::Generic,
        "2.6.0",
        -3,
        "Lets a key expire after milliseconds",
    )
    .like(WRITE | FAST, KEYSPACE)
    .keys(&[key(1, Access::ReadWrite, "update")])
    .write(LONGEST),
    CommandInfo::new(
        "pexpireat",
        Group::Generic,
        "2.6.0",
        -3,
        "Lets a key expire at a millisecond",
    )
    .like(WRITE | FAST, KEYSPACE)
    .keys(&[key(1, Access::ReadWrite, "update")])
    .write(LONGEST),
    CommandInfo::new(
        "pexpiretime",
        Group::Generic,
        "7.0.0",
        2,
        "The millisecond at which a key expires",
    )
    .like(READONLY | FAST, KEYSPACE)
    .keys(&[key(1, Access::ReadOnly, "access")])
    .read(),
    CommandInfo::new(
        "pttl",
        Group::Generic,
        "2.6.0",
        2,
        "How many milliseconds a key has left",
    )
    .like(READONLY | FAST, KEYSPACE)
    .keys(&[key(1, Access::ReadOnly, "access")])
    .read(),
    CommandInfo::new("randomkey", Group::Generic, "1.0.0", 1, "A key chosen at random")
        .like(READONLY, KEYSPACE)
        .read()
        .fanned_out(),
    CommandInfo::new(
        "rename",
        Group::Generic,
        "1.0.0",
        3,
        "Gives a key another name, whatever was there",
    )
    .like(WRITE, KEYSPACE)
    .keys(&[
        key(1, Access::ReadWrite, "access delete"),
        key(2, Access::Overwrite, "update"),
    ])
    .write(RENAMED),
    CommandInfo::new(
        "renamenx",
        Group::Generic,
        "1.0.0",
        3,
        "Gives a key another name if nothing is there",
    )
    .like(WRITE | FAST, KEYSPACE)
    .keys(&[
        key(1, Access::ReadWrite, "access delete"),
        key(2, Access::Overwrite, "insert"),
    ])
    .write(RENAMED),
    CommandInfo::new(
        "restore",
        Group::Generic,
        "2.6.0",
        -4,
        "Makes a key from Redis's own format",
    )
    .like(WRITE | DENYOOM, KEYSPACE | DANGEROUS)
    .keys(&[key(1, Access::Overwrite, "update")])
    .local_only(RESTORE),
    CommandInfo::new(
        "scan",
        Group::Generic,
        "2.8.0",
        -2,
        "Goes through keys step by step",
    )
    .like(READONLY, KEYSPACE)
    .read()
    .fanned_out(),
    CommandInfo::new(
        "sort",
        Group::Generic,
        "1.0.0",
        -2,
        "Sorts a list, set or sorted set; may store the result",
    )
    .like(WRITE | DENYOOM | MOVABLEKEYS, SET | SORTEDSET | LIST | DANGEROUS)
    .keys(&[
        key(1, Access::ReadOnly, "access"),
        elsewhere(Access::ReadOnly, "access"),
        elsewhere(Access::Overwrite, "update"),
    ])
    .read()
    .special(Special::Sort)
    .stored(Treatment::LocalOnly)
    .note(SORT_STORE),
    CommandInfo::new(
        "sort_ro",
        Group::Generic,
        "7.0.0",
        -2,
        "Sorts a list, set or sorted set",
    )
    .like(READONLY | MOVABLEKEYS, SET | SORTEDSET | LIST | DANGEROUS)
    .keys(&[
        key(1, Access::ReadOnly, "access"),
        elsewhere(Access::ReadOnly, "access"),
    ])
    .read(),
    CommandInfo::new("touch", Group::Generic, "3.2.1", -2, "Marks keys as used")
        .like(READONLY | FAST, KEYSPACE)
        .keys(&[keys_to(1, -1, 1, Access::ReadOnly, "")])
        .read(),
    CommandInfo::new(
        "ttl",
        Group::Generic,
        "1.0.0",
        2,
        "How many seconds a key has left",
    )
    .like(READONLY | FAST, KEYSPACE)
    .keys(&[key(1, Access::ReadOnly, "access")])
    .read(),
    CommandInfo::new("type", Group::Generic, "1.0.0", 2, "What a key holds")
        .like(READONLY | FAST, KEYSPACE)
        .keys(&[key(1, Access::ReadOnly, "")])
        .read(),
    CommandInfo::new(
        "unlink",
        Group::Generic,
        "4.0.0",
        -2,
        "Deletes keys, and frees their memory later",
    )
    .like(WRITE | FAST, KEYSPACE)
    .keys(&[keys_to(1, -1, 1, Access::Remove, "delete")])
    .write(DELETED),
    CommandInfo::new(
        "wait",
        Group::Generic,
        "3.0.0",
        3,
        "Waits until replicas of this region's Redis have this connection's writes",
    )
    .like(NOSCRIPT, CONNECTION)
    .server(),
    CommandInfo::new(
        "waitaof",
        Group::Generic,
        "7.2.0",
        4,
        "Waits until this connection's writes are on disk",
    )
    .like(NOSCRIPT | BLOCKING, CONNECTION)
    .server(),
];
