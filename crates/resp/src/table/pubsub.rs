//! Publishing and subscribing, within this region's Redis.

use super::flags::{FAST, LOADING, NOSCRIPT, PUBSUB, STALE};
use super::{Access, CommandInfo, Group, key, keys_to};

/// What of them goes through.
pub(super) const WHY: &str =
    "messages stay in their region; name the channel as keys of a local prefix are named";

pub(super) static COMMANDS: &[CommandInfo] = &[
    CommandInfo::new(
        "psubscribe",
        Group::PubSub,
        "2.0.0",
        -2,
        "Listens to channels whose names match",
    )
    .like(PUBSUB | NOSCRIPT | LOADING | STALE, 0)
    .pub_sub(),
    CommandInfo::new(
        "publish",
        Group::PubSub,
        "2.0.0",
        3,
        "Sends a message to a channel",
    )
    .like(PUBSUB | LOADING | STALE | FAST, 0)
    .pub_sub(),
    CommandInfo::new(
        "pubsub",
        Group::PubSub,
        "2.8.0",
        -2,
        "Describes channels and subscriptions",
    )
    .like(0, 0)
    .pub_sub()
    .with(&[
        CommandInfo::new(
            "pubsub|channels",
            Group::PubSub,
            "2.8.0",
            -2,
            "Channels that somebody listens to",
        )
        .like(PUBSUB | LOADING | STALE, 0)
        .pub_sub(),
        CommandInfo::new("pubsub|help", Group::PubSub, "6.2.0", 2, "What PUBSUB can do")
            .like(LOADING | STALE, 0)
            .server(),
        CommandInfo::new(
            "pubsub|numpat",
            Group::PubSub,
            "2.8.0",
            2,
            "How many patterns are listened to",
        )
        .like(PUBSUB | LOADING | STALE, 0)
        .pub_sub(),
        CommandInfo::new(
            "pubsub|numsub",
            Group::PubSub,
            "2.8.0",
            -2,
            "How many listen to channels",
        )
        .like(PUBSUB | LOADING | STALE, 0)
        .pub_sub(),
        CommandInfo::new(
            "pubsub|shardchannels",
            Group::PubSub,
            "7.0.0",
            -2,
            "Shard channels that somebody listens to",
        )
        .like(PUBSUB | LOADING | STALE, 0)
        .pub_sub(),
        CommandInfo::new(
            "pubsub|shardnumsub",
            Group::PubSub,
            "7.0.0",
            -2,
            "How many listen to shard channels",
        )
        .like(PUBSUB | LOADING | STALE, 0)
        .pub_sub(),
    ]),
    CommandInfo::new(
        "punsubscribe",
        Group::PubSub,
        "2.0.0",
        -1,
        "Stops listening to channels whose names match",
    )
    .like(PUBSUB | NOSCRIPT | LOADING | STALE, 0)
    .pub_sub(),
    CommandInfo::new(
        "spublish",
        Group::PubSub,
        "7.0.0",
        3,
        "Sends a message to a shard channel",
    )
    .like(PUBSUB | LOADING | STALE | FAST, 0)
    .keys(&[key(1, Access::ReadOnly, "not_key")])
    .pub_sub(),
    CommandInfo::new(
        "ssubscribe",
        Group::PubSub,
        "7.0.0",
        -2,
        "Listens to shard channels",
    )
    .like(PUBSUB | NOSCRIPT | LOADING | STALE, 0)
    .keys(&[keys_to(1, -1, 1, Access::ReadOnly, "not_key")])
    .pub_sub(),
    CommandInfo::new("subscribe", Group::PubSub, "2.0.0", -2, "Listens to channels")
        .like(PUBSUB | NOSCRIPT | LOADING | STALE, 0)
        .pub_sub(),
    CommandInfo::new(
        "sunsubscribe",
        Group::PubSub,
        "7.0.0",
        -1,
        "Stops listening to shard channels",
    )
    .like(PUBSUB | NOSCRIPT | LOADING | STALE, 0)
    .keys(&[keys_to(1, -1, 1, Access::ReadOnly, "not_key")])
    .pub_sub(),
    CommandInfo::new(
        "unsubscribe",
        Group::PubSub,
        "2.0.0",
        -1,
        "Stops listening to channels",
    )
    .like(PUBSUB | NOSCRIPT | LOADING | STALE, 0)
    .pub_sub(),
];
