//! A command's words to what the engine does, and what it found to Redis's reply.
//!
//! A table of functions without state: arguments in, a typed command and its reply's [`Shape`] out, or Redis's exact
//! error. What is a matter of text is refused here, in Redis's order; what depends on the data is refused by the
//! engine. Where Redis looks at the key before it reads a bad argument, the refusal travels along as
//! [`Read::Refuse`](cartograph_engine::command::Read), so that WRONGTYPE still comes first.
//!
//! Arity is the caller's, from the command table; a wrong one is refused here all the same.
//!
//! | file | commands |
//! |---|---|
//! | `keys.rs` | of any type, TTLs |
//! | `strings.rs`, `bits.rs` | strings, numbers, bitmaps |
//! | `hashes.rs`, `sets.rs` | hashes, sets |
//! | `sorted_sets.rs`, `ranges.rs`, `combinations.rs` | sorted sets; their ranges; unions and intersections of them |
//! | `places.rs` | geo |
//! | `hyperloglogs.rs` | HyperLogLog |
//! | `args.rs`, `shape.rs` | arguments, replies |

mod args;
mod bits;
mod combinations;
mod hashes;
mod hyperloglogs;
mod keys;
mod places;
mod ranges;
mod sets;
mod shape;
mod sorted_sets;
mod strings;

use std::time::Duration;

use bytes::Bytes;
use cartograph_engine::Command;
use cartograph_engine::command::Read;
use cartograph_replica::Key;
use cartograph_resp::Value;

pub(crate) use shape::{Shape, shape};

/// What a command's words ask for.
#[derive(Debug)]
pub(crate) enum Parsed {
    /// This, now.
    Do {
        /// What the engine does.
        command: Command,
        /// How its reply looks.
        shape: Shape,
    },
    /// This as soon as it finds something.
    Block {
        /// What the engine does: replies nil while there is nothing.
        command: Command,
        /// How its reply looks; also the nil after the timeout.
        shape: Shape,
        /// How long to wait; `None` for ever.
        timeout: Option<Duration>,
        /// Whose changes to wait for.
        keys: Vec<Key>,
    },
    /// Nothing: this is the answer, whatever the data is.
    #[expect(dead_code, reason = "for commands that need no data: none of ours so far")]
    Reply(Value),
}

impl Parsed {
    fn plain(command: Command) -> Self {
        Parsed::shaped(command, Shape::Plain)
    }

    fn shaped(command: Command, shape: Shape) -> Self {
        Parsed::Do { command, shape }
    }

    fn read(command: Read) -> Self {
        Parsed::plain(Command::Read(command))
    }

    fn shaped_read(command: Read, shape: Shape) -> Self {
        Parsed::shaped(Command::Read(command), shape)
    }
}

type Result = std::result::Result<Parsed, Value>;

/// Reads a write: `name` in lower case, `args` without it.
///
/// # Errors
/// Redis's reply for arguments that it refuses without looking at the data; ours for what is not replicated.
pub(crate) fn parse_write(name: &str, args: &[Bytes]) -> Result {
    match name {
        "del" | "unlink" | "expire" | "pexpire" | "expireat" | "pexpireat" | "persist" | "rename"
        | "renamenx" | "copy" | "sort" | "cartograph.revoke" => keys::write(name, args),
        "set" | "setnx" | "setex" | "psetex" | "getset" | "getdel" | "getex" | "mset" | "msetnx"
        | "append" | "setrange" | "incr" | "decr" | "incrby" | "decrby" | "incrbyfloat" => {
            strings::write(name, args)
        }
        "setbit" | "bitfield" | "bitop" => bits::write(name, args),
        "hset" | "hmset" | "hsetnx" | "hdel" | "hincrby" | "hincrbyfloat" => hashes::write(name, args),
        "sadd" | "srem" | "spop" | "smove" | "sunionstore" | "sinterstore" | "sdiffstore" => {
            sets::write(name, args)
        }
        "zadd" | "zincrby" | "zrem" | "zpopmin" | "zpopmax" | "zmpop" | "bzpopmin" | "bzpopmax"
        | "bzmpop" => sorted_sets::write(name, args),
        "zrangestore" | "zremrangebyrank" | "zremrangebyscore" | "zremrangebylex" => {
            ranges::write(name, args)
        }
        "zunionstore" | "zinterstore" | "zdiffstore" => combinations::write(name, args),
        "geoadd" | "geosearchstore" | "georadius" | "georadiusbymember" => places::write(name, args),
        "pfadd" | "pfmerge" => hyperloglogs::write(name, args),
        _ => Err(args::error(&format!(
            "'{name}' writes what is not replicated: keep it in a class of keys that is local"
        ))),
    }
}

/// Reads a read that the engine can answer itself; `None` for one that it cannot.
pub(crate) fn parse_read(name: &str, args: &[Bytes]) -> Option<Result> {
    Some(match name {
        "exists" | "touch" | "type" | "ttl" | "pttl" | "expiretime" | "pexpiretime" => keys::read(name, args),
        "get" | "mget" | "strlen" | "getrange" | "substr" | "lcs" => strings::read(name, args),
        "getbit" | "bitcount" | "bitpos" | "bitfield_ro" => bits::read(name, args),
        "hget" | "hmget" | "hgetall" | "hkeys" | "hvals" | "hlen" | "hexists" | "hstrlen" | "hrandfield"
        | "hscan" => hashes::read(name, args),
        "smembers" | "sismember" | "smismember" | "scard" | "srandmember" | "sinter" | "sunion" | "sdiff"
        | "sintercard" | "sscan" => sets::read(name, args),
        "zscore" | "zmscore" | "zcard" | "zrank" | "zrevrank" | "zrandmember" | "zscan" => {
            sorted_sets::read(name, args)
        }
        "zcount" | "zlexcount" | "zrange" | "zrevrange" | "zrangebyscore" | "zrevrangebyscore"
        | "zrangebylex" | "zrevrangebylex" => ranges::read(name, args),
        "zunion" | "zinter" | "zdiff" | "zintercard" => combinations::read(name, args),
        "geopos" | "geodist" | "geohash" | "geosearch" | "georadius_ro" | "georadiusbymember_ro" => {
            places::read(name, args)
        }
        "pfcount" => Ok(hyperloglogs::read(args)),
        _ => return None,
    })
}
