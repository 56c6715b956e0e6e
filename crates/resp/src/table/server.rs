//! The server: what clients ask of it the node answers; what operators do to it they do to the Redis itself.

use super::flags::{
    ADMIN, ADMINS, ALLOW_BUSY, ASKING, CONNECTION, DANGEROUS, DENYOOM, FAST, KEYSPACE, LOADING,
    NO_ASYNC_LOADING, NO_MULTI, NOSCRIPT, READONLY, STALE, WRITE,
};
use super::{Access, CommandInfo, Group, key};

const FLUSH: &str =
    "needs `allow_flush`; an observed removal of every replicated key: what it had not seen survives";

const USERS: &str = "users are in the node's file of users";

const OPERATOR: &str = "is for the operator of this region's Redis, who can reach it directly";

const REPLICATION: &str = "regions replicate through their nodes, not through Redis's replication";

const ONE_DATABASE: &str = "there is database 0 only";

pub(super) static COMMANDS: &[CommandInfo] = &[
    CommandInfo::new("acl", Group::Server, "6.0.0", -2, "Asks about users and rights")
        .like(0, 0)
        .server()
        .with(&[
            CommandInfo::new(
                "acl|cat",
                Group::Server,
                "6.0.0",
                -2,
                "The categories of commands",
            )
            .like(NOSCRIPT | LOADING | STALE, 0)
            .server(),
            CommandInfo::new("acl|deluser", Group::Server, "6.0.0", -3, "Removes users")
                .like(ADMIN | NOSCRIPT | LOADING | STALE, 0)
                .refused(USERS),
            CommandInfo::new(
                "acl|dryrun",
                Group::Server,
                "7.0.0",
                -4,
                "Tries whether a user may run a command",
            )
            .like(ADMIN | NOSCRIPT | LOADING | STALE, 0)
            .server(),
            CommandInfo::new("acl|genpass", Group::Server, "6.0.0", -2, "A random password")
                .like(NOSCRIPT | LOADING | STALE, 0)
                .server(),
            CommandInfo::new("acl|getuser", Group::Server, "6.0.0", 3, "A user's rights")
                .like(ADMIN | NOSCRIPT | LOADING | STALE, 0)
                .server(),
            CommandInfo::new("acl|help", Group::Server, "6.0.0", 2, "What ACL can do")
                .like(LOADING | STALE, 0)
                .server(),
            CommandInfo::new("acl|list", Group::Server, "6.0.0", 2, "All users' rights")
                .like(ADMIN | NOSCRIPT | LOADING | STALE, 0)
                .server(),
            CommandInfo::new("acl|load", Group::Server, "6.0.0", 2, "Reads users from a file")
                .like(ADMIN | NOSCRIPT | LOADING | STALE, 0)
                .server(),
            CommandInfo::new("acl|log", Group::Server, "6.0.0", -2, "What was refused of late")
                .like(ADMIN | NOSCRIPT | LOADING | STALE, 0)
                .server(),
            CommandInfo::new("acl|save", Group::Server, "6.0.0", 2, "Writes users to a file")
                .like(ADMIN | NOSCRIPT | LOADING | STALE, 0)
                .refused(USERS),
            CommandInfo::new(
                "acl|setuser",
                Group::Server,
                "6.0.0",
                -3,
                "Makes or changes a user",
            )
            .like(ADMIN | NOSCRIPT | LOADING | STALE, 0)
            .refused(USERS),
            CommandInfo::new("acl|users", Group::Server, "6.0.0", 2, "All users' names")
                .like(ADMIN | NOSCRIPT | LOADING | STALE, 0)
                .server(),
            CommandInfo::new("acl|whoami", Group::Server, "6.0.0", 2, "This connection's user")
                .like(NOSCRIPT | LOADING | STALE, 0)
                .server(),
        ]),
    CommandInfo::new(
        "bgrewriteaof",
        Group::Server,
        "1.0.0",
        1,
        "Rewrites the append-only file",
    )
    .like(ADMIN | NOSCRIPT | NO_ASYNC_LOADING, 0)
    .refused(OPERATOR),
    CommandInfo::new(
        "bgsave",
        Group::Server,
        "1.0.0",
        -1,
        "Saves all data in the background",
    )
    .like(ADMIN | NOSCRIPT | NO_ASYNC_LOADING, 0)
    .refused(OPERATOR),
    CommandInfo::new("command", Group::Server, "2.8.13", -1, "Describes commands")
        .like(LOADING | STALE, CONNECTION)
        .server()
        .with(&[
            CommandInfo::new(
                "command|count",
                Group::Server,
                "2.8.13",
                2,
                "How many commands there are",
            )
            .like(LOADING | STALE, CONNECTION)
            .server(),
            CommandInfo::new(
                "command|docs",
                Group::Server,
                "7.0.0",
                -2,
                "Documentation of commands",
            )
            .like(LOADING | STALE, CONNECTION)
            .server(),
            CommandInfo::new(
                "command|getkeys",
                Group::Server,
                "2.8.13",
                -4,
                "The keys of a given command",
            )
            .like(LOADING | STALE, CONNECTION)
            .server(),
            CommandInfo::new(
                "command|getkeysandflags",
                Group::Server,
                "7.0.0",
                -4,
                "The keys of a given command, and what happens to them",
            )
            .like(LOADING | STALE, CONNECTION)
            .server(),
            CommandInfo::new("command|help", Group::Server, "5.0.0", 2, "What COMMAND can do")
                .like(LOADING | STALE, CONNECTION)
                .server(),
            CommandInfo::new(
                "command|info",
                Group::Server,
                "2.8.13",
                -2,
                "Describes given commands",
            )
            .like(LOADING | STALE, CONNECTION)
            .server(),
            CommandInfo::new(
                "command|list",
                Group::Server,
                "7.0.0",
                -2,
                "The names of commands",
            )
            .like(LOADING | STALE, CONNECTION)
            .server(),
        ]),
    CommandInfo::new(
        "config",
        Group::Server,
        "2.0.0",
        -2,
        "Settings that clients ask for",
    )
    .like(0, 0)
    .server()
    .with(&[
        CommandInfo::new(
            "config|get",
            Group::Server,
            "2.0.0",
            -3,
            "Settings, as far as clients need them",
        )
        .like(ADMIN | NOSCRIPT | LOADING | STALE, 0)
        .server(),
        CommandInfo::new("config|help", Group::Server, "5.0.0", 2, "What CONFIG can do")
            .like(LOADING | STALE, 0)
            .server(),
        CommandInfo::new(
            "config|resetstat",
            Group::Server,
            "2.0.0",
            2,
            "Sets statistics back",
        )
        .like(ADMIN | NOSCRIPT | LOADING | STALE, 0)
        .server(),
        CommandInfo::new(
            "config|rewrite",
            Group::Server,
            "2.8.0",
            2,
            "Writes the settings to their file",
        )
        .like(ADMIN | NOSCRIPT | LOADING | STALE, 0)
        .refused(OPERATOR),
        CommandInfo::new(
            "config|set",
            Group::Server,
            "2.0.0",
            -4,
            "Changes the few settings that clients insist on",
        )
        .like(ADMIN | NOSCRIPT | LOADING | STALE, 0)
        .server(),
    ]),
    CommandInfo::new("dbsize", Group::Server, "1.0.0", 1, "How many keys there are")
        .like(READONLY | FAST, KEYSPACE)
        .read()
        .fanned_out(),
    CommandInfo::new("debug", Group::Server, "1.0.0", -2, "Looks into the server")
        .like(ADMIN | NOSCRIPT | LOADING | STALE, 0)
        .refused(OPERATOR),
    CommandInfo::new("failover", Group::Server, "6.2.0", -1, "Has a replica take over")
        .like(ADMIN | NOSCRIPT | STALE, 0)
        .refused(OPERATOR),
    CommandInfo::new("flushall", Group::Server, "1.0.0", -1, "Deletes all keys")
        .like(WRITE, KEYSPACE | DANGEROUS)
        .server()
        .note(FLUSH)
        .fanned_out(),
    CommandInfo::new(
        "flushdb",
        Group::Server,
        "1.0.0",
        -1,
        "Deletes all keys of this database",
    )
    .like(WRITE, KEYSPACE | DANGEROUS)
    .server()
    .note(FLUSH)
    .fanned_out(),
    CommandInfo::new("info", Group::Server, "1.0.0", -1, "How the server fares")
        .like(LOADING | STALE, DANGEROUS)
        .server(),
    CommandInfo::new("lastsave", Group::Server, "1.0.0", 1, "When data were last saved")
        .like(LOADING | STALE | FAST, ADMINS | DANGEROUS)
        .server(),
    CommandInfo::new("latency", Group::Server, "2.8.13", -2, "How long things take")
        .like(0, 0)
        .server()
        .with(&[
            CommandInfo::new(
                "latency|doctor",
                Group::Server,
                "2.8.13",
                2,
                "What may be slow, in words",
            )
            .like(ADMIN | NOSCRIPT | LOADING | STALE, 0)
            .server(),
            CommandInfo::new(
                "latency|graph",
                Group::Server,
                "2.8.13",
                3,
                "Latencies as a picture",
            )
            .like(ADMIN | NOSCRIPT | LOADING | STALE, 0)
            .server(),
            CommandInfo::new("latency|help", Group::Server, "2.8.13", 2, "What LATENCY can do")
                .like(LOADING | STALE, 0)
                .server(),
            CommandInfo::new(
                "latency|histogram",
                Group::Server,
                "7.0.0",
                -2,
                "How long commands take",
            )
            .like(ADMIN | NOSCRIPT | LOADING | STALE, 0)
            .server(),
            CommandInfo::new(
                "latency|history",
                Group::Server,
                "2.8.13",
                3,
                "Latencies of one kind",
            )
            .like(ADMIN | NOSCRIPT | LOADING | STALE, 0)
            .server(),
            CommandInfo::new(
                "latency|latest",
                Group::Server,
                "2.8.13",
                2,
                "The newest latencies of each kind",
            )
            .like(ADMIN | NOSCRIPT | LOADING | STALE, 0)
            .server(),
            CommandInfo::new("latency|reset", Group::Server, "2.8.13", -2, "Forgets latencies")
                .like(ADMIN | NOSCRIPT | LOADING | STALE, 0)
                .server(),
        ]),
    CommandInfo::new("lolwut", Group::Server, "5.0.0", -1, "Shows the version")
        .like(READONLY | FAST, 0)
        .server(),
    CommandInfo::new("memory", Group::Server, "4.0.0", -2, "How memory is used")
        .like(0, 0)
        .server()
        .with(&[
            CommandInfo::new(
                "memory|doctor",
                Group::Server,
                "4.0.0",
                2,
                "What may be wrong with memory, in words",
            )
            .like(0, 0)
            .server(),
            CommandInfo::new("memory|help", Group::Server, "4.0.0", 2, "What MEMORY can do")
                .like(LOADING | STALE, 0)
                .server(),
            CommandInfo::new(
                "memory|malloc-stats",
                Group::Server,
                "4.0.0",
                2,
                "How the allocator fares",
            )
            .like(0, 0)
            .server(),
            CommandInfo::new(
                "memory|purge",
                Group::Server,
                "4.0.0",
                2,
                "Gives memory back to the system",
            )
            .like(0, 0)
            .server(),
            CommandInfo::new("memory|stats", Group::Server, "4.0.0", 2, "Where memory is")
                .like(0, 0)
                .server(),
            CommandInfo::new(
                "memory|usage",
                Group::Server,
                "4.0.0",
                -3,
                "How much memory a key takes",
            )
            .like(READONLY, 0)
            .keys(&[key(2, Access::ReadOnly, "")])
            .read(),
        ]),
    CommandInfo::new("module", Group::Server, "4.0.0", -2, "The server's modules")
        .like(0, 0)
        .server()
        .with(&[
            CommandInfo::new("module|help", Group::Server, "5.0.0", 2, "What MODULE can do")
                .like(LOADING | STALE, 0)
                .server(),
            CommandInfo::new("module|list", Group::Server, "4.0.0", 2, "All modules")
                .like(ADMIN | NOSCRIPT, 0)
                .server(),
            CommandInfo::new("module|load", Group::Server, "4.0.0", -3, "Adds a module")
                .like(ADMIN | NOSCRIPT | NO_ASYNC_LOADING, 0)
                .refused(OPERATOR),
            CommandInfo::new(
                "module|loadex",
                Group::Server,
                "7.0.0",
                -3,
                "Adds a module with settings",
            )
            .like(ADMIN | NOSCRIPT | NO_ASYNC_LOADING, 0)
            .refused(OPERATOR),
            CommandInfo::new("module|unload", Group::Server, "4.0.0", 3, "Removes a module")
                .like(ADMIN | NOSCRIPT | NO_ASYNC_LOADING, 0)
                .refused(OPERATOR),
        ]),
    CommandInfo::new(
        "monitor",
        Group::Server,
        "1.0.0",
        1,
        "Shows every command that the server gets",
    )
    .like(ADMIN | NOSCRIPT | LOADING | STALE, 0)
    .refused(OPERATOR),
    CommandInfo::new(
        "psync",
        Group::Server,
        "2.8.0",
        -3,
        "Makes the connection a replica",
    )
    .like(ADMIN | NOSCRIPT | NO_ASYNC_LOADING | NO_MULTI, 0)
    .refused(REPLICATION),
    CommandInfo::new(
        "replconf",
        Group::Server,
        "3.0.0",
        -1,
        "Says what a replica can do",
    )
    .like(ADMIN | NOSCRIPT | LOADING | STALE | ALLOW_BUSY, 0)
    .refused(REPLICATION),
    CommandInfo::new(
        "replicaof",
        Group::Server,
        "5.0.0",
        3,
        "Makes the server a replica",
    )
    .like(ADMIN | NOSCRIPT | STALE | NO_ASYNC_LOADING, 0)
    .refused(REPLICATION),
    CommandInfo::new(
        "restore-asking",
        Group::Server,
        "3.0.0",
        -4,
        "Makes a key while a slot moves",
    )
    .like(WRITE | DENYOOM | ASKING, KEYSPACE | DANGEROUS)
    .keys(&[key(1, Access::Overwrite, "update")])
    .refused(REPLICATION),
    CommandInfo::new(
        "role",
        Group::Server,
        "2.8.12",
        1,
        "Whether the server is a primary",
    )
    .like(NOSCRIPT | LOADING | STALE | FAST, ADMINS | DANGEROUS)
    .server(),
    CommandInfo::new("save", Group::Server, "1.0.0", 1, "Saves all data now")
        .like(ADMIN | NOSCRIPT | NO_ASYNC_LOADING | NO_MULTI, 0)
        .refused(OPERATOR),
    CommandInfo::new("shutdown", Group::Server, "1.0.0", -1, "Ends the server")
        .like(ADMIN | NOSCRIPT | LOADING | STALE | NO_MULTI | ALLOW_BUSY, 0)
        .refused(OPERATOR),
    CommandInfo::new(
        "slaveof",
        Group::Server,
        "1.0.0",
        3,
        "Makes the server a replica, by its old name",
    )
    .like(ADMIN | NOSCRIPT | STALE | NO_ASYNC_LOADING, 0)
    .refused(REPLICATION),
    CommandInfo::new("slowlog", Group::Server, "2.2.12", -2, "Commands that took long")
        .like(0, 0)
        .server()
        .with(&[
            CommandInfo::new("slowlog|get", Group::Server, "2.2.12", -2, "The newest of them")
                .like(ADMIN | LOADING | STALE, 0)
                .server(),
            CommandInfo::new("slowlog|help", Group::Server, "6.2.0", 2, "What SLOWLOG can do")
                .like(LOADING | STALE, 0)
                .server(),
            CommandInfo::new("slowlog|len", Group::Server, "2.2.12", 2, "How many there are")
                .like(ADMIN | LOADING | STALE, 0)
                .server(),
            CommandInfo::new("slowlog|reset", Group::Server, "2.2.12", 2, "Forgets them")
                .like(ADMIN | LOADING | STALE, 0)
                .server(),
        ]),
    CommandInfo::new("swapdb", Group::Server, "4.0.0", 3, "Exchanges two databases")
        .like(WRITE | FAST, KEYSPACE | DANGEROUS)
        .refused(ONE_DATABASE),
    CommandInfo::new(
        "sync",
        Group::Server,
        "1.0.0",
        1,
        "Makes the connection a replica, by its old name",
    )
    .like(ADMIN | NOSCRIPT | NO_ASYNC_LOADING | NO_MULTI, 0)
    .refused(REPLICATION),
    CommandInfo::new("time", Group::Server, "2.6.0", 1, "The time")
        .like(LOADING | STALE | FAST, 0)
        .server(),
];
