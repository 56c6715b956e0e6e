//! What travels between two regions, and how it is greeted, bounded and refused.
//!
//! One stream per direction and shard, dialled by the sender of entries, so that one direction can fail alone.
//! [`Message`] goes from the dialler to the listener, [`BackMessage`] the other way. Both begin with a greeting:
//! the dialler's [`Hello`], answered by a [`Welcome`] or a [`Refusal`] in words. The vector in the welcome is where
//! sending begins; nothing else has to be agreed on.
//!
//! | from the dialler | meaning |
//! |---|---|
//! | `Entries` | encoded records, in causal order as far as the dialler's own entries go |
//! | `Heartbeat` | what the dialler has applied, and knows of others |
//! | `SnapshotBegin`, `Row`..., `SnapshotEnd` | whole rows, to be joined; then the log follows from `v0` |
//! | `SnapshotAbandon` | the snapshot ends here, another will come |
//!
//! | from the listener | meaning |
//! |---|---|
//! | `Ack` | what the listener has applied: entries up to there are forgotten by the sender |
//! | `Resend` | something was dropped: send again from this vector |
//! | `SnapshotProgress`, `SnapshotDone`, `SnapshotRefused` | rows joined so far; all joined; not now |
//!
//! Regions of a cluster trust each other's meaning, never each other's bytes: decoding is bounded before it
//! allocates, and what decodes is validated before anything of it is used. A message that is larger than one frame
//! may be travels in parts: see [`crate::frame`].

use bincode::{Decode, Encode};
use cartograph_crdt::codec::{self, Error};
use cartograph_crdt::{RegionId, ReplicaId, ShardId, VersionVector, stored};

use crate::entry::{Key, RECORD_VERSION};
use crate::row_form::RowPart;

/// Version of the exchange: what messages there are and what they mean. Regions speak only with their like.
pub const PROTOCOL_VERSION: u16 = 2;

/// Format version of encoded messages.
pub const MESSAGE_VERSION: u8 = 1;

/// The most member regions of which a report may speak.
pub const REPORT_REGIONS_MAX: usize = 256;

/// The longest region or cluster name, in bytes.
pub const NAME_BYTES_MAX: usize = 255;

/// What a replica has applied, as far as the reporter knows.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Known {
    /// The live replica at that time. A later incarnation's report replaces an earlier one's, even when it is lower.
    pub replica: ReplicaId,
    /// What it had applied.
    pub vector: VersionVector,
    /// Its expiry clock, Unix milliseconds.
    pub watermark_ms: u64,
    /// The lives that it vouches for: see [`Report::lives`].
    pub lives: Vec<ReplicaId>,
}

/// A region's word about itself, and what it has heard of others.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Report {
    /// The reporter's live replica.
    pub replica: ReplicaId,
    /// What it has applied and committed.
    pub vector: VersionVector,
    /// Its expiry clock, Unix milliseconds. It will never again read less.
    pub watermark_ms: u64,
    /// Its wall clock when the report was made, Unix milliseconds: for measuring skew only.
    pub clock_ms: u64,
    /// What it heard last of the receiver's clock.
    pub echo: Option<Echo>,
    /// The latest that it knows of other regions. May be empty in a report that only acknowledges.
    pub others: Vec<Known>,
    /// Other regions' live replicas that the reporter vouches for: since it knows them it has found nothing waiting
    /// here of any earlier life, and it refuses the streams of those. Empty while it cannot say so.
    pub lives: Vec<ReplicaId>,
}

/// A reading of the receiver's own clock that comes back: what has passed since, less what it was held, is the time that
/// the way there and back takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Echo {
    /// The reading, Unix milliseconds.
    pub clock_ms: u64,
    /// How long ago it came, in milliseconds.
    pub held_ms: u64,
}

impl Report {
    /// The reporter.
    pub fn region(&self) -> RegionId {
        self.replica.region
    }
}

/// From the dialler, who sends entries.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Message {
    /// Records of entries, as [`crate::entry::encode_record`] made them.
    Entries {
        /// The records; each holds consecutive entries of one replica.
        records: Vec<Vec<u8>>,
    },
    /// Nothing new: what the sender has applied.
    Heartbeat {
        /// The report.
        report: Report,
    },
    /// Rows follow.
    SnapshotBegin {
        /// The sender's vector at the start of its scan.
        v0: VersionVector,
    },
    /// One row, or a part of one.
    Row(RowPart),
    /// The scan is done.
    SnapshotEnd {
        /// As in the beginning.
        v0: VersionVector,
        /// How many rows there were.
        rows: u64,
    },
    /// The sender gives the snapshot up; the log from `v0` will not follow.
    SnapshotAbandon,
}

/// From the listener, who receives entries.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum BackMessage {
    /// What the listener has applied.
    Ack {
        /// The report.
        report: Report,
    },
    /// The listener dropped something it could not hold: send again from here.
    Resend {
        /// What it has applied.
        vector: VersionVector,
    },
    /// Not now: another snapshot is being joined or served here.
    SnapshotRefused,
    /// Joined so far.
    SnapshotProgress {
        /// How many whole rows.
        rows: u64,
    },
    /// All rows are joined, and the listener's vector covers the snapshot's.
    SnapshotDone {
        /// The snapshot's vector: an answer that comes late is not taken for the next one's.
        v0: VersionVector,
    },
}

/// Formats that both sides must share, because they are exchanged as they are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Formats {
    /// [`MESSAGE_VERSION`].
    pub message: u8,
    /// [`RECORD_VERSION`].
    pub record: u8,
    /// [`stored::VERSION`].
    pub row: u8,
}

impl Formats {
    /// What this program reads and writes.
    pub const OURS: Formats = Formats {
        message: MESSAGE_VERSION,
        record: RECORD_VERSION,
        row: stored::VERSION,
    };
}

/// Who is speaking: the first message on a stream.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Hello {
    /// [`PROTOCOL_VERSION`].
    pub protocol: u16,
    /// The cluster's name.
    pub cluster: String,
    /// The speaker's live replica in this shard.
    pub replica: ReplicaId,
    /// The speaker's region name.
    pub region: String,
    /// The shard that this stream is about.
    pub shard: ShardId,
    /// How many shards the speaker has.
    pub shards: u16,
    /// What it reads and writes.
    pub formats: Formats,
    /// Is its store empty: has it never applied an entry?
    pub fresh: bool,
    /// The member regions that it knows of, itself included once it is one.
    pub members: Vec<RegionId>,
    /// What it has applied, and knows of others.
    pub report: Report,
}

/// The listener's answer: its own greeting.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Welcome {
    /// Who is listening; sending begins at its vector.
    pub hello: Hello,
}

/// Why two regions do not exchange. The stream ends; both sides say so in their status.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, thiserror::Error)]
pub enum Refusal {
    /// They speak differently.
    #[error("the peer speaks protocol {theirs}, this region {ours}: run the same release in both regions")]
    Protocol {
        /// The peer's.
        theirs: u16,
        /// Ours.
        ours: u16,
    },
    /// Another cluster's region.
    #[error(
        "the peer belongs to cluster {theirs:?}, this region to {ours:?}: correct the peer's address or cluster.name"
    )]
    Cluster {
        /// The peer's.
        theirs: String,
        /// Ours.
        ours: String,
    },
    /// Two regions with one id.
    #[error(
        "the peer {theirs:?} has region id {id} like this region: give each region a region.id of its own, never used before"
    )]
    RegionId {
        /// The id.
        id: RegionId,
        /// The peer's region name.
        theirs: String,
    },
    /// Two regions with one name.
    #[error(
        "the peer with region id {id} has this region's name {name:?}: give each region a name of its own"
    )]
    RegionName {
        /// The peer's id.
        id: RegionId,
        /// The name.
        name: String,
    },
    /// A different split of the key space.
    #[error("the peer has {theirs} shards, this region {ours}: configure the same number")]
    Shards {
        /// The peer's.
        theirs: u16,
        /// Ours.
        ours: u16,
    },
    /// The stream is about another shard than was asked for.
    #[error("the stream is about shard {theirs}, expected shard {ours}")]
    Shard {
        /// The peer's.
        theirs: ShardId,
        /// Ours.
        ours: ShardId,
    },
    /// Entries or rows of another format.
    #[error(
        "the peer's formats are {theirs:?}, this region's {ours:?}: run the same release in both regions"
    )]
    Formats {
        /// The peer's.
        theirs: Formats,
        /// Ours.
        ours: Formats,
    },
    /// A greeting that contradicts itself.
    #[error("the peer's greeting is refused: {reason}")]
    Malformed {
        /// In which way.
        reason: String,
    },
    /// A region that is no member, or was forgotten.
    #[error(
        "region {id} is no member of this cluster: add it first; the id of a forgotten region never returns"
    )]
    NotMember {
        /// The region.
        id: RegionId,
    },
}

/// May these two exchange? Membership is the caller's to check: members are replicated state.
///
/// # Errors
/// The first reason not to.
pub fn check(hello: &Hello, ours: &Hello) -> Result<(), Refusal> {
    if hello.protocol != ours.protocol {
        return Err(Refusal::Protocol {
            theirs: hello.protocol,
            ours: ours.protocol,
        });
    }
    if hello.cluster != ours.cluster {
        return Err(Refusal::Cluster {
            theirs: hello.cluster.clone(),
            ours: ours.cluster.clone(),
        });
    }
    if hello.replica.region == ours.replica.region {
        return Err(Refusal::RegionId {
            id: hello.replica.region,
            theirs: hello.region.clone(),
        });
    }
    if hello.region == ours.region {
        return Err(Refusal::RegionName {
            id: hello.replica.region,
            name: hello.region.clone(),
        });
    }
    if hello.shards != ours.shards {
        return Err(Refusal::Shards {
            theirs: hello.shards,
            ours: ours.shards,
        });
    }
    if hello.shard != ours.shard {
        return Err(Refusal::Shard {
            theirs: hello.shard,
            ours: ours.shard,
        });
    }
    if hello.formats != ours.formats {
        return Err(Refusal::Formats {
            theirs: hello.formats,
            ours: ours.formats,
        });
    }
    if hello.report.replica != hello.replica {
        return Err(Refusal::Malformed {
            reason: "its report is another replica's".to_owned(),
        });
    }
    if hello.fresh && !hello.report.vector.is_empty() {
        return Err(Refusal::Malformed {
            reason: "its store is empty, and yet it has applied entries".to_owned(),
        });
    }
    Ok(())
}

/// A message that travels: encodes with its format's version, decodes bounded and validated.
pub trait Wire: Sized {
    /// The message as bytes.
    ///
    /// # Errors
    /// [`Error::Damaged`] when it is larger than [`codec::BLOB_BYTES_MAX`].
    fn to_bytes(&self) -> Result<Vec<u8>, Error>;

    /// Reads a message.
    ///
    /// # Errors
    /// See [`Error`]; the link that brought it should be closed.
    fn from_bytes(bytes: &[u8]) -> Result<Self, Error>;
}

trait Validate {
    const WHAT: &'static str;

    fn validate(&self) -> Result<(), &'static str>;
}

impl<T: Validate + Encode + Decode<()>> Wire for T {
    fn to_bytes(&self) -> Result<Vec<u8>, Error> {
        codec::encode(T::WHAT, MESSAGE_VERSION, self)
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        let message: T = codec::decode(T::WHAT, MESSAGE_VERSION, bytes)?;
        match message.validate() {
            Ok(()) => Ok(message),
            Err(reason) => Err(Error::Damaged {
                what: T::WHAT,
                detail: reason.to_owned(),
            }),
        }
    }
}

fn validate_report(report: &Report) -> Result<(), &'static str> {
    let lives = report.others.iter().map(|k| k.lives.len());
    let lives = lives.chain([report.lives.len()]).max().unwrap_or(0);
    if report.others.len() > REPORT_REGIONS_MAX || lives > REPORT_REGIONS_MAX {
        return Err("a report speaks of too many regions");
    }
    if report.replica.region == RegionId(0) || report.others.iter().any(|k| k.replica.region == RegionId(0)) {
        return Err("a report names region 0");
    }
    Ok(())
}

impl Validate for Message {
    const WHAT: &'static str = "a message of a sending region";

    fn validate(&self) -> Result<(), &'static str> {
        match self {
            Message::Entries { records } if records.is_empty() => Err("it brings no entries"),
            Message::Heartbeat { report } => validate_report(report),
            Message::Row(part) => part.validate(),
            Message::Entries { .. }
            | Message::SnapshotBegin { .. }
            | Message::SnapshotEnd { .. }
            | Message::SnapshotAbandon => Ok(()),
        }
    }
}

impl Validate for BackMessage {
    const WHAT: &'static str = "a message of a receiving region";

    fn validate(&self) -> Result<(), &'static str> {
        match self {
            BackMessage::Ack { report } => validate_report(report),
            BackMessage::Resend { .. }
            | BackMessage::SnapshotRefused
            | BackMessage::SnapshotProgress { .. }
            | BackMessage::SnapshotDone { .. } => Ok(()),
        }
    }
}

impl Validate for Hello {
    const WHAT: &'static str = "a region's greeting";

    fn validate(&self) -> Result<(), &'static str> {
        if self.cluster.len() > NAME_BYTES_MAX || self.region.len() > NAME_BYTES_MAX {
            return Err("a name is too long");
        }
        if self.members.len() > REPORT_REGIONS_MAX {
            return Err("it names too many members");
        }
        if self.region.is_empty() {
            return Err("the region has no name");
        }
        if self.shards == 0 || self.shard.0 >= self.shards {
            return Err("there is no such shard");
        }
        validate_report(&self.report)
    }
}

impl Validate for Welcome {
    const WHAT: &'static str = "a region's welcome";

    fn validate(&self) -> Result<(), &'static str> {
        self.hello.validate()
    }
}

impl Validate for Refusal {
    const WHAT: &'static str = "a region's refusal";

    fn validate(&self) -> Result<(), &'static str> {
        Ok(())
    }
}

/// Roughly a key's and a vector's size on the wire, in bytes: for windows and queues.
pub(crate) fn vector_weight(vector: &VersionVector) -> usize {
    8 + vector.len() * 20
}

/// A row as it came over the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WireRow {
    /// The key.
    pub key: Key,
    /// Its whole metadata; `ahead` is empty, the summary is computed.
    pub row: cartograph_crdt::Row,
    /// What the sender had seen of the key when it read the row.
    pub vector: VersionVector,
}

#[cfg(test)]
#[path = "message_tests.rs"]
mod tests;
