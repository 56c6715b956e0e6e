//! Typed commands on keys, and their replies. A front door turns what it received into these; it knows no CRDTs, and
//! this crate knows no protocol.
//!
//! Names and meanings are Redis's. Times are absolute Unix milliseconds, or relative to the engine's expiry clock.

pub mod range;
pub mod read;

use std::fmt;
use std::sync::Arc;

use cartograph_crdt::{ElementId, Incarnation};
use cartograph_replica::Key;

use self::range::ZRange;
pub use self::read::Read;
use crate::error::CommandError;
use crate::geo::Query;
use crate::writer::{Stop, Writer};

/// When something expires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// At this instant, in Unix milliseconds. May lie in the past, or be negative.
    At(i64),
    /// This many milliseconds from the moment the command runs.
    In(i64),
}

/// What SET does with the expiry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetExpiry {
    /// Plain SET: none afterwards.
    Never,
    /// KEEPTTL.
    Keep,
    /// EX, PX, EXAT, PXAT.
    Expires(When),
}

/// Whether the key (or member) must be there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Condition {
    /// Whatever.
    #[default]
    Always,
    /// NX.
    IfAbsent,
    /// XX.
    IfPresent,
}

/// EXPIRE's conditions. NX goes with none of the others; GT and LT exclude each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "Redis's own flags, each a word of the command"
)]
pub struct ExpireFlags {
    /// Only without an expiry.
    pub nx: bool,
    /// Only with one.
    pub xx: bool,
    /// Only when the new one is later (none counts as infinitely late).
    pub gt: bool,
    /// Only when the new one is earlier.
    pub lt: bool,
}

/// ZADD's conditions and options.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "Redis's own flags, each a word of the command"
)]
pub struct ZAddFlags {
    /// Only new members.
    pub nx: bool,
    /// Only present members.
    pub xx: bool,
    /// Only greater scores.
    pub gt: bool,
    /// Only smaller scores.
    pub lt: bool,
    /// Count changed members too.
    pub ch: bool,
}

/// Which set operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetOperation {
    /// SUNION.
    Union,
    /// SINTER.
    Intersection,
    /// SDIFF.
    Difference,
}

/// How ZUNION and ZINTER make one score of several.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aggregate {
    /// SUM.
    Sum,
    /// MIN.
    Min,
    /// MAX.
    Max,
}

/// ZUNION, ZINTER and ZDIFF, over sorted sets and sets.
#[derive(Clone, Debug, PartialEq)]
pub struct ZOperation {
    /// Which.
    pub operation: SetOperation,
    /// The keys, each with its weight (1 where none is given; ZDIFF knows none).
    pub sources: Vec<(Key, f64)>,
    /// How the scores of one member become one.
    pub aggregate: Aggregate,
}

/// BITOP's operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BitOperation {
    /// AND.
    And,
    /// OR.
    Or,
    /// XOR.
    Xor,
    /// NOT: of one key.
    Not,
}

/// What BITFIELD does with a number that does not fit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BitOverflow {
    /// WRAP.
    #[default]
    Wrap,
    /// SAT.
    Saturate,
    /// FAIL: nothing, and nil is replied.
    Fail,
}

/// One of BITFIELD's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BitField {
    /// Has it a sign?
    pub signed: bool,
    /// Its bits: 1 to 64, 63 without a sign.
    pub bits: u8,
    /// Its first bit in the string.
    pub offset: u64,
}

/// One of BITFIELD's subcommands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BitFieldOperation {
    /// GET.
    Get,
    /// SET.
    Set(i64, BitOverflow),
    /// INCRBY.
    IncrBy(i64, BitOverflow),
}

/// How a key stood when somebody began to watch it: see [`Command::Stamp`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Whose commits are counted: another incarnation counts anew.
    pub incarnation: Incarnation,
    /// The commit that last changed the key.
    pub changed: u64,
    /// Did it show anything? A key that has expired since is not what it was.
    pub shown: bool,
}

impl Stamp {
    /// Does the key stand as it stood then? One that had nothing stored and has nothing stored now does, too: what is
    /// known of it in memory may have been let go of meanwhile.
    pub fn stands_as(&self, then: &Stamp) -> bool {
        let absent = !self.shown && !then.shown && self.changed == 0;
        self.incarnation == then.incarnation
            && (absent || (self.changed, self.shown) == (then.changed, then.shown))
    }
}

/// Which end of a sorted set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Lowest score first.
    Min,
    /// Highest score first.
    Max,
}

/// One operation on keys. Writes and reads both: reads are for use inside a transaction, where they must see what the
/// transaction has done so far; all others go to the view.
#[derive(Clone, Debug)]
#[expect(
    missing_docs,
    reason = "each variant is the Redis command of its name, with that command's arguments"
)]
pub enum Command {
    // Keys
    Del {
        keys: Vec<Key>,
    },
    Exists {
        keys: Vec<Key>,
    },
    Type {
        key: Key,
    },
    /// PTTL in milliseconds: -2 absent, -1 no expiry.
    Pttl {
        key: Key,
    },
    Expire {
        key: Key,
        when: When,
        flags: ExpireFlags,
    },
    Persist {
        key: Key,
    },
    Rename {
        from: Key,
        to: Key,
        only_if_absent: bool,
    },
    Copy {
        from: Key,
        to: Key,
        replace: bool,
    },
    /// CARTOGRAPH.REVOKE: remove-wins.
    Revoke {
        key: Key,
    },
    // Strings and numbers
    Get {
        key: Key,
    },
    Set {
        key: Key,
        value: Vec<u8>,
        expiry: SetExpiry,
        condition: Condition,
        get: bool,
    },
    MSet {
        pairs: Vec<(Key, Vec<u8>)>,
        only_if_absent: bool,
    },
    GetDel {
        key: Key,
    },
    /// GETEX: `None` leaves the expiry alone; `Some(None)` is PERSIST.
    GetEx {
        key: Key,
        expiry: Option<Option<When>>,
    },
    Append {
        key: Key,
        value: Vec<u8>,
    },
    SetRange {
        key: Key,
        offset: u64,
        value: Vec<u8>,
    },
    SetBit {
        key: Key,
        offset: u64,
        bit: bool,
    },
    IncrBy {
        key: Key,
        by: i64,
    },
    IncrByFloat {
        key: Key,
        by: Vec<u8>,
    },
    /// BITFIELD and `BITFIELD_RO`: one reply a subcommand.
    BitField {
        key: Key,
        operations: Vec<(BitField, BitFieldOperation)>,
    },
    BitOp {
        operation: BitOperation,
        to: Key,
        keys: Vec<Key>,
    },
    // Hashes
    HGet {
        key: Key,
        field: Vec<u8>,
    },
    HGetAll {
        key: Key,
    },
    HSet {
        key: Key,
        fields: Vec<(Vec<u8>, Vec<u8>)>,
    },
    HSetNx {
        key: Key,
        field: Vec<u8>,
        value: Vec<u8>,
    },
    HDel {
        key: Key,
        fields: Vec<Vec<u8>>,
    },
    HIncrBy {
        key: Key,
        field: Vec<u8>,
        by: i64,
    },
    HIncrByFloat {
        key: Key,
        field: Vec<u8>,
        by: Vec<u8>,
    },
    // Sets
    SMembers {
        key: Key,
    },
    SIsMember {
        key: Key,
        member: Vec<u8>,
    },
    SCard {
        key: Key,
    },
    SAdd {
        key: Key,
        members: Vec<Vec<u8>>,
    },
    SRem {
        key: Key,
        members: Vec<Vec<u8>>,
    },
    /// SPOP: without a count one member or nil, with one an array.
    SPop {
        key: Key,
        count: Option<u64>,
    },
    SMove {
        from: Key,
        to: Key,
        member: Vec<u8>,
    },
    SStore {
        operation: SetOperation,
        to: Key,
        keys: Vec<Key>,
    },
    // Sorted sets
    ZScore {
        key: Key,
        member: Vec<u8>,
    },
    /// All members with scores, ascending by score, then by member.
    ZRangeWithScores {
        key: Key,
    },
    ZAdd {
        key: Key,
        flags: ZAddFlags,
        pairs: Vec<(f64, Vec<u8>)>,
    },
    /// ZADD INCR and ZINCRBY.
    ZIncrBy {
        key: Key,
        flags: ZAddFlags,
        by: f64,
        member: Vec<u8>,
    },
    ZRem {
        key: Key,
        members: Vec<Vec<u8>>,
    },
    ZPop {
        key: Key,
        end: End,
        count: u64,
    },
    /// ZMPOP: the first of the keys that shows anything, with members and scores in turn; nil if none does.
    ZMPop {
        keys: Vec<Key>,
        end: End,
        count: u64,
    },
    ZRemRange {
        key: Key,
        range: ZRange,
    },
    ZRangeStore {
        to: Key,
        from: Key,
        range: ZRange,
    },
    ZStore {
        to: Key,
        operation: ZOperation,
    },
    /// GEOSEARCHSTORE, GEORADIUS STORE: scores are geohashes, or distances.
    GeoStore {
        to: Key,
        from: Key,
        query: Query,
        distances: bool,
    },
    // HyperLogLog
    PfAdd {
        key: Key,
        elements: Vec<Vec<u8>>,
    },
    PfCount {
        keys: Vec<Key>,
    },
    PfMerge {
        to: Key,
        from: Vec<Key>,
    },
    /// A read from here instead of from the view.
    Read(Read),
    /// What WATCH notes of its keys, for [`crate::api::Request::watched`]. The reply comes when every commit is done
    /// that the stamps tell of.
    Stamp {
        keys: Vec<Key>,
    },
    /// Something built on these, from a crate above (carts).
    Procedure(Arc<dyn Procedure>),
}

/// A command from a crate above: reads rows and makes effects through the [`Writer`], without awaiting anything. It may
/// be run again from the start when a row turns out not to be loaded, so it must not keep state of its own.
pub trait Procedure: fmt::Debug + Send + Sync {
    /// The rows that it will look at, as far as it can tell, so that they can be loaded ahead.
    fn wants(&self) -> Vec<Want>;

    /// Runs it.
    ///
    /// # Errors
    /// [`Stop::Refused`] with a clear error, before any effect; [`Stop::Missing`] comes from the writer and is passed on.
    fn run(&self, writer: &mut Writer<'_>) -> Result<Reply, Stop>;
}

/// A row that a command will look at, or part of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Want {
    /// The key.
    pub key: Key,
    /// Elements; empty for header and summary alone.
    pub elements: Vec<ElementId>,
    /// Every element.
    pub all: bool,
}

impl Want {
    /// Header and summary.
    pub fn header(key: &[u8]) -> Self {
        Want {
            key: key.to_vec(),
            elements: Vec::new(),
            all: false,
        }
    }

    /// These elements.
    pub fn elements(key: &[u8], elements: Vec<ElementId>) -> Self {
        Want {
            key: key.to_vec(),
            elements,
            all: false,
        }
    }

    /// The whole row.
    pub fn all(key: &[u8]) -> Self {
        Want {
            key: key.to_vec(),
            elements: Vec::new(),
            all: true,
        }
    }
}

/// A command's reply: Redis's, typed.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// `OK`.
    Ok,
    /// Nothing.
    Nil,
    /// An integer.
    Integer(i64),
    /// A score.
    Double(f64),
    /// Bytes.
    Bytes(Vec<u8>),
    /// A list.
    Array(Vec<Reply>),
    /// A simple string (TYPE).
    Simple(&'static str),
    /// What WATCH notes, one a key.
    Stamps(Vec<Stamp>),
    /// A command of a transaction that was refused; the others stand.
    Error(CommandError),
}

impl Reply {
    /// Bytes, or nil.
    pub fn bytes(value: Option<Vec<u8>>) -> Self {
        value.map_or(Reply::Nil, Reply::Bytes)
    }

    /// 1 or 0.
    pub fn flag(value: bool) -> Self {
        Reply::Integer(i64::from(value))
    }

    /// A count.
    pub fn count(value: usize) -> Self {
        Reply::Integer(i64::try_from(value).unwrap_or(i64::MAX))
    }
}
