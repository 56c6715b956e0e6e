//! Our own commands.

use super::flags::{CONNECTION, FAST, KEYSPACE, NOSCRIPT, READONLY, WRITE};
use super::{Access, CommandInfo, Group, key};

const REVOKE: &str = "remove-wins: beats every concurrent write, so that a logout is not undone elsewhere";

pub(super) static COMMANDS: &[CommandInfo] = &[
    CommandInfo::new(
        "cartograph.explain",
        Group::Cartograph,
        "Cartograph 0.1",
        -2,
        "Why a key, or one field of it, is what it is: writers, conflicts, rules",
    )
    .like(READONLY, KEYSPACE)
    .keys(&[key(1, Access::ReadOnly, "access")])
    .server(),
    CommandInfo::new(
        "cartograph.revoke",
        Group::Cartograph,
        "Cartograph 0.1",
        2,
        "Deletes a key so that no concurrent write brings it back",
    )
    .like(WRITE | FAST, KEYSPACE)
    .keys(&[key(1, Access::Remove, "delete")])
    .write(REVOKE),
    CommandInfo::new(
        "cartograph.token",
        Group::Cartograph,
        "Cartograph 0.1",
        -1,
        "A session token of this connection; given one, waits until this region has what it saw",
    )
    .like(NOSCRIPT, CONNECTION)
    .server(),
];
