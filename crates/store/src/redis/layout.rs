//! The keys of the metadata database. A stored format.
//!
//! ```text
//! m:<shard>:<key>                      hash    elements by type tag and name; header 0xf0, summary 0xf1
//! h:<shard>                            string  "fence batch sequence": compared by every commit, set last
//! H:<shard>                            hash    head fields
//! l:<shard>:<region>-<incarnation>     stream  one record a commit, field "r", id <last sequence>-0
//! d:<shard>                            zset    keys by expiry instant
//! g:<shard>                            zset    garbage items by batch
//! c:<shard>                            stream  conflicts, capped: fields "k" key, "v" blob; id <batch>-<number>
//! r:<shard>:<idempotency key>          string  reply, with its own expiry
//! o                                    string  who owns the store: "id address", expires with the lease
//! ```

use cartograph_crdt::{ReplicaId, ShardId};

/// The lease's key.
pub(crate) const OWNER: &str = "o";

pub(crate) fn row(shard: ShardId, key: &[u8]) -> Vec<u8> {
    tagged("m", shard, key)
}

pub(crate) fn rows_pattern(shard: ShardId) -> String {
    format!("m:{shard}:*")
}

pub(crate) fn row_key(shard: ShardId, stored: &[u8]) -> Option<&[u8]> {
    stored.strip_prefix(format!("m:{shard}:").as_bytes())
}

pub(crate) fn head(shard: ShardId) -> String {
    format!("h:{shard}")
}

pub(crate) fn head_fields(shard: ShardId) -> String {
    format!("H:{shard}")
}

pub(crate) fn log(shard: ShardId, origin: ReplicaId) -> String {
    format!("l:{shard}:{origin}")
}

pub(crate) fn due(shard: ShardId) -> String {
    format!("d:{shard}")
}

pub(crate) fn garbage(shard: ShardId) -> String {
    format!("g:{shard}")
}

pub(crate) fn conflicts(shard: ShardId) -> String {
    format!("c:{shard}")
}

pub(crate) fn reply(shard: ShardId, id: &[u8]) -> Vec<u8> {
    tagged("r", shard, id)
}

fn tagged(tag: &str, shard: ShardId, name: &[u8]) -> Vec<u8> {
    let mut key = format!("{tag}:{shard}:").into_bytes();
    key.extend_from_slice(name);
    key
}
