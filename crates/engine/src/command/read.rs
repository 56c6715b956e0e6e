//! Reads that the engine answers itself: inside a transaction, where they must see what it has done so far, and for
//! stores that cannot answer Redis's commands. All others go to the view.
//!
//! Names and meanings are Redis's; the order of unordered collections is by name.

use cartograph_crdt::Type;
use cartograph_replica::Key;

use super::range::{LexRange, ScoreRange, ZRange};
use super::{Reply, SetOperation, ZOperation};
use crate::error::CommandError;
use crate::geo::Query;

/// What BITCOUNT and BITPOS count their range in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BitUnit {
    /// BYTE.
    #[default]
    Byte,
    /// BIT.
    Bit,
}

/// What LCS replies with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LcsForm {
    /// The sequence itself.
    Sequence,
    /// LEN.
    Length,
    /// IDX: matches of at least so many bytes, with their lengths if asked for.
    Matches {
        /// MINMATCHLEN.
        shortest: u64,
        /// WITHMATCHLEN.
        lengths: bool,
    },
}

/// One read.
#[derive(Clone, Debug)]
#[expect(
    missing_docs,
    reason = "each variant is the Redis command of its name, with that command's arguments"
)]
pub enum Read {
    /// A command with a bad argument, of which Redis tells only after it has looked at the keys.
    Refuse {
        keys: Vec<Key>,
        /// What the keys may hold; anything if empty.
        types: &'static [Type],
        /// The refusal of a key that holds something else.
        wrong_type: CommandError,
        /// The reply when a key is not there; `None` goes on.
        absent: Option<Box<Reply>>,
        /// A member of a sorted set that must be there as well (GEOSEARCH FROMMEMBER).
        place: Option<Vec<u8>>,
        error: CommandError,
    },
    /// PEXPIRETIME: -2 absent, -1 no expiry.
    PExpireTime {
        key: Key,
    },
    MGet {
        keys: Vec<Key>,
    },
    StrLen {
        key: Key,
    },
    GetRange {
        key: Key,
        start: i64,
        end: i64,
    },
    GetBit {
        key: Key,
        offset: u64,
    },
    BitCount {
        key: Key,
        range: Option<(i64, i64, BitUnit)>,
    },
    BitPos {
        key: Key,
        bit: bool,
        start: i64,
        end: Option<i64>,
        unit: BitUnit,
    },
    Lcs {
        keys: [Key; 2],
        form: LcsForm,
    },
    HMGet {
        key: Key,
        fields: Vec<Vec<u8>>,
    },
    HKeys {
        key: Key,
    },
    HVals {
        key: Key,
    },
    HLen {
        key: Key,
    },
    HExists {
        key: Key,
        field: Vec<u8>,
    },
    HStrLen {
        key: Key,
        field: Vec<u8>,
    },
    /// Without a count one field or nil; a negative count may name a field more than once.
    HRandField {
        key: Key,
        count: Option<i64>,
        values: bool,
    },
    SMIsMember {
        key: Key,
        members: Vec<Vec<u8>>,
    },
    SRandMember {
        key: Key,
        count: Option<i64>,
    },
    SOperation {
        operation: SetOperation,
        keys: Vec<Key>,
    },
    /// SINTERCARD: a limit of 0 is none.
    SInterCard {
        keys: Vec<Key>,
        limit: u64,
    },
    ZMScore {
        key: Key,
        members: Vec<Vec<u8>>,
    },
    ZCard {
        key: Key,
    },
    ZRank {
        key: Key,
        member: Vec<u8>,
        reverse: bool,
        with_score: bool,
    },
    ZCount {
        key: Key,
        range: ScoreRange,
    },
    ZLexCount {
        key: Key,
        range: LexRange,
    },
    ZRange {
        key: Key,
        range: ZRange,
        with_scores: bool,
    },
    ZRandMember {
        key: Key,
        count: Option<i64>,
        with_scores: bool,
    },
    ZOperation {
        operation: ZOperation,
        with_scores: bool,
    },
    /// ZINTERCARD: a limit of 0 is none.
    ZInterCard {
        keys: Vec<Key>,
        limit: u64,
    },
    /// Longitude and latitude of each, or nil.
    GeoPos {
        key: Key,
        members: Vec<Vec<u8>>,
    },
    /// In units of so many metres.
    GeoDist {
        key: Key,
        members: [Vec<u8>; 2],
        metres: f64,
    },
    GeoHash {
        key: Key,
        members: Vec<Vec<u8>>,
    },
    /// Each found member with its distance, score, longitude and latitude.
    GeoSearch {
        key: Key,
        query: Query,
    },
    /// HSCAN, SSCAN and ZSCAN: the whole key as one page.
    Scan {
        key: Key,
        ty: Type,
        pattern: Option<Vec<u8>>,
    },
}
