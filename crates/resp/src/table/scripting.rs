//! Transactions, scripts and functions.

use super::flags::{
    ALLOW_BUSY, DENYOOM, FAST, LOADING, MOVABLEKEYS, NO_MANDATORY_KEYS, NOSCRIPT, READONLY, SCRIPTING,
    SKIP_MONITOR, SKIP_SLOWLOG, STALE, TRANSACTION, WRITE,
};
use super::{Access, CommandInfo, Group, counted, keys_to};

const WHY: &str =
    "what a script writes is not replicated yet; name keys of local prefixes only, or use its read-only form";

const FUNCTIONS: &str =
    "scripts and functions are kept by this region's Redis alone; load them in each region";

const OTHERS: &str = "would touch what others, and the node itself, run on this Redis";

pub(super) static COMMANDS: &[CommandInfo] = &[
    CommandInfo::new("eval", Group::Scripting, "2.6.0", -3, "Runs a script")
        .like(
            NOSCRIPT | STALE | SKIP_MONITOR | NO_MANDATORY_KEYS | MOVABLEKEYS,
            SCRIPTING,
        )
        .keys(&[counted(2, Access::ReadWrite, "access update")])
        .local_only(WHY),
    CommandInfo::new(
        "eval_ro",
        Group::Scripting,
        "7.0.0",
        -3,
        "Runs a script that only reads",
    )
    .like(
        READONLY | NOSCRIPT | STALE | SKIP_MONITOR | NO_MANDATORY_KEYS | MOVABLEKEYS,
        SCRIPTING,
    )
    .keys(&[counted(2, Access::ReadOnly, "access")])
    .read(),
    CommandInfo::new(
        "evalsha",
        Group::Scripting,
        "2.6.0",
        -3,
        "Runs a script by its digest",
    )
    .like(
        NOSCRIPT | STALE | SKIP_MONITOR | NO_MANDATORY_KEYS | MOVABLEKEYS,
        SCRIPTING,
    )
    .keys(&[counted(2, Access::ReadWrite, "access update")])
    .local_only(WHY),
    CommandInfo::new(
        "evalsha_ro",
        Group::Scripting,
        "7.0.0",
        -3,
        "Runs a script that only reads, by its digest",
    )
    .like(
        READONLY | NOSCRIPT | STALE | SKIP_MONITOR | NO_MANDATORY_KEYS | MOVABLEKEYS,
        SCRIPTING,
    )
    .keys(&[counted(2, Access::ReadOnly, "access")])
    .read(),
    CommandInfo::new("fcall", Group::Scripting, "7.0.0", -3, "Calls a function")
        .like(
            NOSCRIPT | STALE | SKIP_MONITOR | NO_MANDATORY_KEYS | MOVABLEKEYS,
            SCRIPTING,
        )
        .keys(&[counted(2, Access::ReadWrite, "access update")])
        .local_only(WHY),
    CommandInfo::new(
        "fcall_ro",
        Group::Scripting,
        "7.0.0",
        -3,
        "Calls a function that only reads",
    )
    .like(
        READONLY | NOSCRIPT | STALE | SKIP_MONITOR | NO_MANDATORY_KEYS | MOVABLEKEYS,
        SCRIPTING,
    )
    .keys(&[counted(2, Access::ReadOnly, "access")])
    .read(),
    CommandInfo::new("function", Group::Scripting, "7.0.0", -2, "Manages functions")
        .like(0, 0)
        .local_only(FUNCTIONS)
        .with(&[
            CommandInfo::new(
                "function|delete",
                Group::Scripting,
                "7.0.0",
                3,
                "Removes a library of functions",
            )
            .like(WRITE | NOSCRIPT, SCRIPTING)
            .local_only(FUNCTIONS),
            CommandInfo::new(
                "function|dump",
                Group::Scripting,
                "7.0.0",
                2,
                "All libraries in Redis's own format",
            )
            .like(NOSCRIPT, SCRIPTING)
            .local_only(FUNCTIONS),
            CommandInfo::new(
                "function|flush",
                Group::Scripting,
                "7.0.0",
                -2,
                "Removes all libraries",
            )
            .like(WRITE | NOSCRIPT, SCRIPTING)
            .refused(OTHERS),
            CommandInfo::new(
                "function|help",
                Group::Scripting,
                "7.0.0",
                2,
                "What FUNCTION can do",
            )
            .like(LOADING | STALE, SCRIPTING)
            .server(),
            CommandInfo::new(
                "function|kill",
                Group::Scripting,
                "7.0.0",
                2,
                "Ends a function that runs",
            )
            .like(NOSCRIPT | ALLOW_BUSY, SCRIPTING)
            .refused(OTHERS),
            CommandInfo::new("function|list", Group::Scripting, "7.0.0", -2, "All libraries")
                .like(NOSCRIPT, SCRIPTING)
                .local_only(FUNCTIONS),
            CommandInfo::new(
                "function|load",
                Group::Scripting,
                "7.0.0",
                -3,
                "Adds a library of functions",
            )
            .like(WRITE | DENYOOM | NOSCRIPT, SCRIPTING)
            .local_only(FUNCTIONS),
            CommandInfo::new(
                "function|restore",
                Group::Scripting,
                "7.0.0",
                -3,
                "Adds libraries in Redis's own format",
            )
            .like(WRITE | DENYOOM | NOSCRIPT, SCRIPTING)
            .refused(OTHERS),
            CommandInfo::new(
                "function|stats",
                Group::Scripting,
                "7.0.0",
                2,
                "How functions fare",
            )
            .like(NOSCRIPT | ALLOW_BUSY, SCRIPTING)
            .local_only(FUNCTIONS),
        ]),
    CommandInfo::new("script", Group::Scripting, "2.6.0", -2, "Manages scripts")
        .like(0, 0)
        .local_only(FUNCTIONS)
        .with(&[
            CommandInfo::new(
                "script|debug",
                Group::Scripting,
                "3.2.0",
                3,
                "Steps through scripts",
            )
            .like(NOSCRIPT, SCRIPTING)
            .refused(OTHERS),
            CommandInfo::new(
                "script|exists",
                Group::Scripting,
                "2.6.0",
                -3,
                "Which scripts are known by their digests",
            )
            .like(NOSCRIPT, SCRIPTING)
            .local_only(FUNCTIONS),
            CommandInfo::new(
                "script|flush",
                Group::Scripting,
                "2.6.0",
                -2,
                "Forgets all scripts",
            )
            .like(NOSCRIPT, SCRIPTING)
            .refused(OTHERS),
            CommandInfo::new("script|help", Group::Scripting, "5.0.0", 2, "What SCRIPT can do")
                .like(LOADING | STALE, SCRIPTING)
                .server(),
            CommandInfo::new(
                "script|kill",
                Group::Scripting,
                "2.6.0",
                2,
                "Ends a script that runs",
            )
            .like(NOSCRIPT | ALLOW_BUSY, SCRIPTING)
            .refused(OTHERS),
            CommandInfo::new(
                "script|load",
                Group::Scripting,
                "2.6.0",
                3,
                "Keeps a script, to be run by its digest",
            )
            .like(NOSCRIPT | STALE, SCRIPTING)
            .local_only(FUNCTIONS),
        ]),
    CommandInfo::new(
        "discard",
        Group::Transactions,
        "2.0.0",
        1,
        "Forgets a transaction's commands",
    )
    .like(NOSCRIPT | LOADING | STALE | FAST | ALLOW_BUSY, TRANSACTION)
    .connection(),
    CommandInfo::new(
        "exec",
        Group::Transactions,
        "1.2.0",
        1,
        "Runs a transaction's commands",
    )
    .like(NOSCRIPT | LOADING | STALE | SKIP_SLOWLOG, TRANSACTION)
    .connection(),
    CommandInfo::new("multi", Group::Transactions, "1.2.0", 1, "Begins a transaction")
        .like(NOSCRIPT | LOADING | STALE | FAST | ALLOW_BUSY, TRANSACTION)
        .connection(),
    CommandInfo::new(
        "unwatch",
        Group::Transactions,
        "2.2.0",
        1,
        "Forgets the watched keys",
    )
    .like(NOSCRIPT | LOADING | STALE | FAST | ALLOW_BUSY, TRANSACTION)
    .connection(),
    CommandInfo::new(
        "watch",
        Group::Transactions,
        "2.2.0",
        -2,
        "Makes the next transaction fail if one of these keys changes",
    )
    .like(NOSCRIPT | LOADING | STALE | FAST | ALLOW_BUSY, TRANSACTION)
    .keys(&[keys_to(1, -1, 1, Access::ReadOnly, "")])
    .connection(),
];
