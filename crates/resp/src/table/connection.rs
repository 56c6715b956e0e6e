//! Connections: all of it is the door's own business.

use super::flags::{ADMIN, ALLOW_BUSY, CONNECTION, FAST, LOADING, NO_AUTH, NOSCRIPT, STALE};
use super::{CommandInfo, Group};

const TRACKING: &str = "client-side caching is not supported; reads are not tracked";

const PAUSE: &str = "a node does not hold up its clients";

pub(super) static COMMANDS: &[CommandInfo] = &[
    CommandInfo::new("auth", Group::Connection, "1.0.0", -2, "Logs in")
        .like(
            NOSCRIPT | LOADING | STALE | FAST | NO_AUTH | ALLOW_BUSY,
            CONNECTION,
        )
        .connection(),
    CommandInfo::new("client", Group::Connection, "2.4.0", -2, "Manages connections")
        .like(0, 0)
        .connection()
        .with(&[
            CommandInfo::new(
                "client|caching",
                Group::Connection,
                "6.0.0",
                3,
                "Says whether the next reads are to be tracked",
            )
            .like(NOSCRIPT | LOADING | STALE, CONNECTION)
            .connection()
            .note(TRACKING),
            CommandInfo::new(
                "client|getname",
                Group::Connection,
                "2.6.9",
                2,
                "This connection's name",
            )
            .like(NOSCRIPT | LOADING | STALE, CONNECTION)
            .connection(),
            CommandInfo::new(
                "client|getredir",
                Group::Connection,
                "6.0.0",
                2,
                "Where this connection's invalidations go",
            )
            .like(NOSCRIPT | LOADING | STALE, CONNECTION)
            .connection(),
            CommandInfo::new("client|help", Group::Connection, "5.0.0", 2, "What CLIENT can do")
                .like(LOADING | STALE, CONNECTION)
                .connection(),
            CommandInfo::new(
                "client|id",
                Group::Connection,
                "5.0.0",
                2,
                "This connection's number",
            )
            .like(NOSCRIPT | LOADING | STALE, CONNECTION)
            .connection(),
            CommandInfo::new(
                "client|info",
                Group::Connection,
                "6.2.0",
                2,
                "Describes this connection",
            )
            .like(NOSCRIPT | LOADING | STALE, CONNECTION)
            .connection(),
            CommandInfo::new(
                "client|kill",
                Group::Connection,
                "2.4.0",
                -3,
                "Closes connections",
            )
            .like(ADMIN | NOSCRIPT | LOADING | STALE, CONNECTION)
            .connection(),
            CommandInfo::new(
                "client|list",
                Group::Connection,
                "2.4.0",
                -2,
                "Describes connections",
            )
            .like(ADMIN | NOSCRIPT | LOADING | STALE, CONNECTION)
            .connection(),
            CommandInfo::new(
                "client|no-evict",
                Group::Connection,
                "7.0.0",
                3,
                "Keeps this connection when memory is short",
            )
            .like(ADMIN | NOSCRIPT | LOADING | STALE, CONNECTION)
            .connection(),
            CommandInfo::new(
                "client|no-touch",
                Group::Connection,
                "7.2.0",
                3,
                "Lets this connection's reads not count as uses",
            )
            .like(NOSCRIPT | LOADING | STALE, CONNECTION)
            .connection(),
            CommandInfo::new(
                "client|pause",
                Group::Connection,
                "2.9.50",
                -3,
                "Holds up every client",
            )
            .like(ADMIN | NOSCRIPT | LOADING | STALE, CONNECTION)
            .connection()
            .note(PAUSE),
            CommandInfo::new(
                "client|reply",
                Group::Connection,
                "3.2.0",
                3,
                "Turns replies off and on",
            )
            .like(NOSCRIPT | LOADING | STALE, CONNECTION)
            .connection(),
            CommandInfo::new(
                "client|setinfo",
                Group::Connection,
                "7.2.0",
                4,
                "Tells what library the client uses",
            )
            .like(NOSCRIPT | LOADING | STALE, CONNECTION)
            .connection(),
            CommandInfo::new(
                "client|setname",
                Group::Connection,
                "2.6.9",
                3,
                "Gives this connection a name",
            )
            .like(NOSCRIPT | LOADING | STALE, CONNECTION)
            .connection(),
            CommandInfo::new(
                "client|tracking",
                Group::Connection,
                "6.0.0",
                -3,
                "Has the server tell of changes to keys that were read",
            )
            .like(NOSCRIPT | LOADING | STALE, CONNECTION)
            .connection()
            .note(TRACKING),
            CommandInfo::new(
                "client|trackinginfo",
                Group::Connection,
                "6.2.0",
                2,
                "How this connection tracks keys",
            )
            .like(NOSCRIPT | LOADING | STALE, CONNECTION)
            .connection(),
            CommandInfo::new(
                "client|unblock",
                Group::Connection,
                "5.0.0",
                -3,
                "Ends another connection's wait",
            )
            .like(ADMIN | NOSCRIPT | LOADING | STALE, CONNECTION)
            .connection(),
            CommandInfo::new(
                "client|unpause",
                Group::Connection,
                "6.2.0",
                2,
                "Lets clients go on",
            )
            .like(ADMIN | NOSCRIPT | LOADING | STALE, CONNECTION)
            .connection()
            .note(PAUSE),
        ]),
    CommandInfo::new("echo", Group::Connection, "1.0.0", 2, "Gives its argument back")
        .like(LOADING | STALE | FAST, CONNECTION)
        .connection(),
    CommandInfo::new(
        "hello",
        Group::Connection,
        "6.0.0",
        -1,
        "Chooses the protocol; may log in",
    )
    .like(
        NOSCRIPT | LOADING | STALE | FAST | NO_AUTH | ALLOW_BUSY,
        CONNECTION,
    )
    .connection(),
    CommandInfo::new(
        "ping",
        Group::Connection,
        "1.0.0",
        -1,
        "Asks whether the connection works",
    )
    .like(FAST, CONNECTION)
    .connection(),
    CommandInfo::new("quit", Group::Connection, "1.0.0", -1, "Closes the connection")
        .like(
            NOSCRIPT | LOADING | STALE | FAST | NO_AUTH | ALLOW_BUSY,
            CONNECTION,
        )
        .connection(),
    CommandInfo::new(
        "reset",
        Group::Connection,
        "6.2.0",
        1,
        "Puts the connection back to its beginnings",
    )
    .like(
        NOSCRIPT | LOADING | STALE | FAST | NO_AUTH | ALLOW_BUSY,
        CONNECTION,
    )
    .connection(),
    CommandInfo::new(
        "select",
        Group::Connection,
        "1.0.0",
        2,
        "Chooses a database: 0 only",
    )
    .like(LOADING | STALE | FAST, CONNECTION)
    .connection(),
];
