//! Why a command was refused, in Redis's own words where Redis has some.
//!
//! Every refusal here is *definite*: nothing was changed and nothing will be.

use thiserror::Error;

/// A refused command.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CommandError {
    /// Another type.
    #[error("WRONGTYPE Operation against a key holding the wrong kind of value")]
    WrongType,
    /// Not a 64-bit integer.
    #[error("ERR value is not an integer or out of range")]
    NotAnInteger,
    /// The same, of a hash field.
    #[error("ERR hash value is not an integer")]
    HashNotAnInteger,
    /// Not a number.
    #[error("ERR value is not a valid float")]
    NotAFloat,
    /// The same, of a hash field.
    #[error("ERR hash value is not a float")]
    HashNotAFloat,
    /// Past 64 bits.
    #[error("ERR increment or decrement would overflow")]
    Overflow,
    /// INCRBYFLOAT beyond what a long double holds.
    #[error("ERR increment would produce NaN or Infinity")]
    NanOrInfinity,
    /// ZINCRBY of opposite infinities.
    #[error("ERR resulting score is not a number (NaN)")]
    ScoreNotANumber,
    /// A replicated increment of a score must be finite.
    #[error("ERR a replicated increment must be finite, use ZADD to set an infinite score")]
    IncrementNotFinite,
    /// HINCRBYFLOAT by an infinity.
    #[error("ERR value is NaN or Infinity")]
    ValueNotFinite,
    /// Several regions' increments passed the range together; only SET or DEL begins anew.
    #[error(
        "ERR the merged value is out of the 64-bit range and shown saturated: SET or DEL it before incrementing again"
    )]
    Saturated,
    /// RENAME of nothing.
    #[error("ERR no such key")]
    NoSuchKey,
    /// COPY of a key onto itself.
    #[error("ERR source and destination objects are the same")]
    SameObject,
    /// Contradicting or unknown options.
    #[error("ERR syntax error")]
    Syntax,
    /// ZADD NX with GT, LT or XX.
    #[error("ERR GT, LT, and/or NX options at the same time are not compatible")]
    IncompatibleFlags,
    /// EX 0 and the like.
    #[error("ERR invalid expire time in '{command}' command")]
    InvalidExpire {
        /// The command, lower case.
        command: &'static str,
    },
    /// SETRANGE or APPEND past 512 MB.
    #[error("ERR string exceeds maximum allowed size (proto-max-bulk-len)")]
    StringTooLong,
    /// A bit offset past 2^32.
    #[error("ERR bit offset is not an integer or out of range")]
    BitOffset,
    /// Not a HyperLogLog.
    #[error("WRONGTYPE Key is not a valid HyperLogLog string value.")]
    NotAHyperLogLog,
    /// A command on strings met a HyperLogLog.
    #[error(
        "WRONGTYPE this key holds a HyperLogLog, which is replicated by its registers: within a transaction, and for writes but SET, it is no string"
    )]
    HyperLogLogAsString,
    /// LCS of what are no strings.
    #[error("ERR The specified keys must contain string values")]
    LcsNotStrings,
    /// LCS of strings whose table would not fit.
    #[error("ERR Insufficient memory, transient memory for LCS exceeds what a node allows")]
    LcsTooLong,
    /// GEOSEARCH from a member that is not there.
    #[error("ERR could not decode requested zset member")]
    NoSuchPlace,
    /// A negative count asks for more repetitions than one reply may have.
    #[error("ERR value is out of range")]
    TooManyRepeats,
    /// A HyperLogLog is its registers: one without any set register cannot be told from no key.
    #[error("ERR a HyperLogLog without elements cannot be replicated: add at least one element")]
    EmptyHyperLogLog,
    /// A bad argument that a door has found, in Redis's words.
    #[error("ERR {0}")]
    Redis(&'static str),
    /// A key in the product's own name space.
    #[error("ERR keys that begin with a NUL byte and `cartograph:` are reserved")]
    ReservedKey,
    /// One command or transaction made an entry larger than peers take.
    #[error(
        "ERR the command makes an entry of {bytes} bytes, more than the {limit} that one entry may have: split it"
    )]
    EntryTooLarge {
        /// Its size.
        bytes: usize,
        /// The bound.
        limit: usize,
    },
    /// A refusal of a crate above, such as a cart that is full.
    #[error("ERR {message}")]
    Domain {
        /// A stable word for programs, such as `cart_full`.
        code: &'static str,
        /// What was wrong, what was expected.
        message: String,
    },
}
