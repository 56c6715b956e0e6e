//! The head's fields: what a shard remembers besides its rows, encoded.

use std::collections::{BTreeMap, BTreeSet};

use bincode::{Decode, Encode};
use cartograph_crdt::codec::{self, Error};
use cartograph_crdt::stored::ReplicaTable;
use cartograph_crdt::{Dot, Hlc, Incarnation, RegionId, ReplicaId, ShardId, VersionVector};
use cartograph_replica::{Head, HeadField};

/// Format version of the head's fields.
/// Version 1 was never released.
pub const VERSION: u8 = 2;

/// What a store belongs to. A store of another cluster, region or shard is refused.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Identity {
    /// The cluster's name.
    pub cluster: String,
    /// The region.
    pub region: RegionId,
    /// The region's name when the store was first used.
    pub name: String,
    /// The shard.
    pub shard: ShardId,
}

/// The region's live incarnation in this store.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Lives {
    /// The live one.
    pub incarnation: Incarnation,
    /// The server that it belongs to ([`cartograph_replica::Claim::server`]).
    pub server: String,
}

/// Clocks that must not run backwards.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Clocks {
    /// The last reading given to an entry.
    pub hlc: Hlc,
    /// The expiry clock as last reported to a peer, Unix milliseconds.
    pub expiry_ms: u64,
}

/// Who is a member, as the members row says, and whether this region may write.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Members {
    /// Member regions and their names.
    pub regions: BTreeMap<RegionId, String>,
    /// Regions whose ids never return.
    pub forgotten: BTreeSet<RegionId>,
    /// Has this region been let in?
    pub writable: bool,
    /// Its store may have lost something: it writes once it has that back, or has waited long enough for it.
    pub recovering: bool,
    /// Its store was empty though the cluster is not: it does not stop waiting.
    pub wiped: bool,
    /// What garbage collection has relied on each member to have seen. A member that is rolled back behind it is sent a
    /// snapshot.
    pub relied: BTreeMap<RegionId, VersionVector>,
    /// Lives that the members row names as retired, each with all before it. A vector is folded once it covers what
    /// says so: the row may have come by a snapshot, ahead of that.
    pub retired: Vec<Retirement>,
    /// How many entries lives had that some member may not know as retired.
    pub finals: BTreeMap<ReplicaId, u64>,
}

/// What the members row says of a region's lives that are over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Retirement {
    /// The last of them.
    pub last: ReplicaId,
    /// The write that says so.
    pub dot: Dot,
}

/// One origin's part of the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct LogPart {
    /// The lowest sequence held; 0 when nothing was ever logged.
    pub start: u64,
    /// Bytes held when this was written.
    pub bytes: u64,
}

/// Everything that a head says, decoded.
#[derive(Clone, Debug, Default)]
pub struct HeadState {
    /// `None` for an empty store.
    pub identity: Option<Identity>,
    /// The live incarnation.
    pub lives: Option<Lives>,
    /// What has been applied.
    pub vector: VersionVector,
    /// Clocks.
    pub clocks: Clocks,
    /// The replica table.
    pub replicas: ReplicaTable,
    /// Members.
    pub members: Members,
    /// The log.
    pub log: BTreeMap<ReplicaId, LogPart>,
    /// The bound of what rows of a snapshot were ahead of the vector.
    pub ahead: VersionVector,
    /// Bucket digests.
    pub digests: BTreeMap<u16, u64>,
    /// Live keys.
    pub keys: u64,
}

/// Encodes one field.
///
/// # Errors
/// When it is larger than a blob may be.
pub fn encode<T: Encode>(value: &T) -> Result<Vec<u8>, Error> {
    codec::encode("a field of the shard's head", VERSION, value)
}

fn read<T: Decode<()>>(head: &Head, field: HeadField) -> Result<Option<T>, Error> {
    head.fields
        .get(&field)
        .map(|bytes| codec::decode("a field of the shard's head", VERSION, bytes))
        .transpose()
}

impl HeadState {
    /// Reads a head.
    ///
    /// # Errors
    /// When a field was written by another version, or is damaged.
    pub fn read(head: &Head) -> Result<Self, Error> {
        let replicas: Vec<ReplicaId> = read(head, HeadField::Replicas)?.unwrap_or_default();
        let mut digests = BTreeMap::new();
        for field in head.fields.keys() {
            if let HeadField::Digest(bucket) = field {
                digests.insert(*bucket, read(head, *field)?.unwrap_or_default());
            }
        }
        Ok(HeadState {
            identity: read(head, HeadField::Identity)?,
            lives: read(head, HeadField::Incarnation)?,
            vector: read(head, HeadField::Vector)?.unwrap_or_default(),
            clocks: read(head, HeadField::Clocks)?.unwrap_or_default(),
            replicas: ReplicaTable::new(replicas),
            members: read(head, HeadField::Members)?.unwrap_or_default(),
            log: read(head, HeadField::LogStarts)?.unwrap_or_default(),
            ahead: read(head, HeadField::Snapshot)?.unwrap_or_default(),
            digests,
            keys: read(head, HeadField::Keys)?.unwrap_or_default(),
        })
    }
}
