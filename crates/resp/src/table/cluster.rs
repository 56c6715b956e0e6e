//! Redis Cluster: a node is none, and says so as a Redis that is none does.

use super::flags::{ADMIN, CONNECTION, FAST, LOADING, NO_ASYNC_LOADING, NOSCRIPT, STALE};
use super::{CommandInfo, Group};

pub(super) static COMMANDS: &[CommandInfo] = &[
    CommandInfo::new(
        "asking",
        Group::Cluster,
        "3.0.0",
        1,
        "Lets the next command reach a slot that moves",
    )
    .like(FAST, CONNECTION)
    .connection(),
    CommandInfo::new(
        "cluster",
        Group::Cluster,
        "3.0.0",
        -2,
        "Asks about a Redis Cluster, which this is not",
    )
    .like(0, 0)
    .server()
    .with(&[
        CommandInfo::new(
            "cluster|addslots",
            Group::Cluster,
            "3.0.0",
            -3,
            "Gives slots to a node",
        )
        .like(ADMIN | STALE | NO_ASYNC_LOADING, 0)
        .server(),
        CommandInfo::new(
            "cluster|addslotsrange",
            Group::Cluster,
            "7.0.0",
            -4,
            "Gives ranges of slots to a node",
        )
        .like(ADMIN | STALE | NO_ASYNC_LOADING, 0)
        .server(),
        CommandInfo::new(
            "cluster|bumpepoch",
            Group::Cluster,
            "3.0.0",
            2,
            "Raises the epoch",
        )
        .like(ADMIN | STALE | NO_ASYNC_LOADING, 0)
        .server(),
        CommandInfo::new(
            "cluster|count-failure-reports",
            Group::Cluster,
            "3.0.0",
            3,
            "How many report a node as failing",
        )
        .like(ADMIN | STALE, 0)
        .server(),
        CommandInfo::new(
            "cluster|countkeysinslot",
            Group::Cluster,
            "3.0.0",
            3,
            "How many keys a slot has",
        )
        .like(STALE, 0)
        .server(),
        CommandInfo::new(
            "cluster|delslots",
            Group::Cluster,
            "3.0.0",
            -3,
            "Takes slots from a node",
        )
        .like(ADMIN | STALE | NO_ASYNC_LOADING, 0)
        .server(),
        CommandInfo::new(
            "cluster|delslotsrange",
            Group::Cluster,
            "7.0.0",
            -4,
            "Takes ranges of slots from a node",
        )
        .like(ADMIN | STALE | NO_ASYNC_LOADING, 0)
        .server(),
        CommandInfo::new(
            "cluster|failover",
            Group::Cluster,
            "3.0.0",
            -2,
            "Has a replica take over",
        )
        .like(ADMIN | STALE | NO_ASYNC_LOADING, 0)
        .server(),
        CommandInfo::new(
            "cluster|flushslots",
            Group::Cluster,
            "3.0.0",
            2,
            "Takes all slots from a node",
        )
        .like(ADMIN | STALE | NO_ASYNC_LOADING, 0)
        .server(),
        CommandInfo::new("cluster|forget", Group::Cluster, "3.0.0", 3, "Removes a node")
            .like(ADMIN | STALE | NO_ASYNC_LOADING, 0)
            .server(),
        CommandInfo::new(
            "cluster|getkeysinslot",
            Group::Cluster,
            "3.0.0",
            4,
            "Keys of a slot",
        )
        .like(STALE, 0)
        .server(),
        CommandInfo::new("cluster|help", Group::Cluster, "5.0.0", 2, "What CLUSTER can do")
            .like(LOADING | STALE, 0)
            .server(),
        CommandInfo::new(
            "cluster|info",
            Group::Cluster,
            "3.0.0",
            2,
            "How the cluster fares",
        )
        .like(STALE, 0)
        .server(),
        CommandInfo::new("cluster|keyslot", Group::Cluster, "3.0.0", 3, "The slot of a key")
            .like(STALE, 0)
            .server(),
        CommandInfo::new(
            "cluster|links",
            Group::Cluster,
            "7.0.0",
            2,
            "Connections between nodes",
        )
        .like(STALE, 0)
        .server(),
        CommandInfo::new("cluster|meet", Group::Cluster, "3.0.0", -4, "Adds a node")
            .like(ADMIN | STALE | NO_ASYNC_LOADING, 0)
            .server(),
        CommandInfo::new("cluster|myid", Group::Cluster, "3.0.0", 2, "This node's id")
            .like(STALE, 0)
            .server(),
        CommandInfo::new("cluster|myshardid", Group::Cluster, "7.2.0", 2, "This shard's id")
            .like(STALE, 0)
            .server(),
        CommandInfo::new("cluster|nodes", Group::Cluster, "3.0.0", 2, "All nodes")
            .like(STALE, 0)
            .server(),
        CommandInfo::new(
            "cluster|replicas",
            Group::Cluster,
            "5.0.0",
            3,
            "The replicas of a node",
        )
        .like(ADMIN | STALE, 0)
        .server(),
        CommandInfo::new(
            "cluster|replicate",
            Group::Cluster,
            "3.0.0",
            3,
            "Makes a node a replica",
        )
        .like(ADMIN | STALE | NO_ASYNC_LOADING, 0)
        .server(),
        CommandInfo::new("cluster|reset", Group::Cluster, "3.0.0", -2, "Leaves the cluster")
            .like(ADMIN | NOSCRIPT | STALE, 0)
            .server(),
        CommandInfo::new(
            "cluster|saveconfig",
            Group::Cluster,
            "3.0.0",
            2,
            "Saves the cluster's state",
        )
        .like(ADMIN | STALE | NO_ASYNC_LOADING, 0)
        .server(),
        CommandInfo::new(
            "cluster|set-config-epoch",
            Group::Cluster,
            "3.0.0",
            3,
            "Sets the epoch of a new node",
        )
        .like(ADMIN | STALE | NO_ASYNC_LOADING, 0)
        .server(),
        CommandInfo::new("cluster|setslot", Group::Cluster, "3.0.0", -4, "Moves a slot")
            .like(ADMIN | STALE | NO_ASYNC_LOADING, 0)
            .server(),
        CommandInfo::new(
            "cluster|shards",
            Group::Cluster,
            "7.0.0",
            2,
            "Slots and their nodes",
        )
        .like(STALE, 0)
        .server(),
        CommandInfo::new(
            "cluster|slaves",
            Group::Cluster,
            "3.0.0",
            3,
            "The replicas of a node, by its old name",
        )
        .like(ADMIN | STALE, 0)
        .server(),
        CommandInfo::new(
            "cluster|slots",
            Group::Cluster,
            "3.0.0",
            2,
            "Slots and their nodes, as older clients ask",
        )
        .like(STALE, 0)
        .server(),
    ]),
    CommandInfo::new(
        "readonly",
        Group::Cluster,
        "3.0.0",
        1,
        "Lets a replica answer reads",
    )
    .like(LOADING | STALE | FAST, CONNECTION)
    .connection(),
    CommandInfo::new("readwrite", Group::Cluster, "3.0.0", 1, "Takes that back")
        .like(LOADING | STALE | FAST, CONNECTION)
        .connection(),
];
