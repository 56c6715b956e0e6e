//! What a Redis lets its administrators do and this server does not: each with what to do instead. The connection
//! stays.

use cartograph_resp::Value;

use super::errors::{error, not_for_clients};

/// The answer to a command of Redis's own administration; `None` when it is none of these.
pub(super) fn answer(name: &str, sub: Option<&str>) -> Option<Value> {
    let instead = match name {
        "save" | "bgsave" => {
            "saving is this region's own Redis's business (its save points or append-only file): ask whoever runs it"
        }
        "bgrewriteaof" => "the append-only file is this region's own Redis's business: ask whoever runs it",
        "shutdown" => "stop the node with SIGTERM: it drains what waits and hands its data over",
        "replicaof" | "slaveof" => {
            "regions replicate to each other by [[peers]] in their configurations, each taking writes; see \
             docs/operating/members.md"
        }
        "failover" => "there is no master: every region takes writes, and a standby takes over by itself",
        "sync" | "psync" | "replconf" => {
            "Redis's replication is not served here: add a region by [[peers]], or read the log over gRPC"
        }
        "monitor" => {
            "it would slow down every client: use SLOWLOG GET, INFO commandstats or /metrics, and CARTOGRAPH.EXPLAIN key \
             for one key's writes"
        }
        "swapdb" | "move" => "there is database 0 only",
        "debug" => "it is not for production; for a pause of the whole node send it SIGSTOP",
        "module" => {
            "load modules into this region's own Redis; their reading commands are passed on from then"
        }
        "migrate" | "restore-asking" => "keys reach other servers by replication",
        "pfdebug" | "pfselftest" => "it is for Redis's own tests",
        "latency" | "acl" | "config" | "client" | "cluster" | "slowlog" | "memory" | "command" | "object"
        | "info" => {
            return None;
        }
        _ => return None,
    };
    let full = sub.map_or_else(
        || name.to_uppercase(),
        |sub| format!("{} {}", name, sub).to_uppercase(),
    );
    Some(not_for_clients(format!("{full} is not supported: {instead}")))
}

/// What no branch of ours takes although the table sends it here.
pub(super) fn unknown(name: &str) -> Value {
    error(format!("ERR '{name}' is not supported by this server"))
}
