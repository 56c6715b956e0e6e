//! Clients' reads, passed on.

use ::redis::{Cmd, Value, cmd};

use super::RedisStore;
use super::load::on;
use super::reply::{self, Fault};
use crate::error::Error;
use crate::store::{Read, ReadReply};

impl RedisStore {
    pub(crate) async fn read_now(&self, read: Read) -> Result<ReadReply, Error> {
        let value = self.views.ask(&command(&read)).await?;
        parse(&read, value).map_err(|f| self.views.error(f))
    }
}

fn command(read: &Read) -> Cmd {
    match read {
        Read::Get(key) => on("GET", key),
        Read::StrLen(key) => on("STRLEN", key),
        Read::Exists(names) => with(cmd("EXISTS"), names),
        Read::Type(key) => on("TYPE", key),
        Read::Pttl(key) => on("PTTL", key),
        Read::HGet(key, field) => with(on("HGET", key), &[field]),
        Read::HMGet(key, fields) => with(on("HMGET", key), fields),
        Read::HGetAll(key) => on("HGETALL", key),
        Read::HLen(key) => on("HLEN", key),
        Read::SMembers(key) => on("SMEMBERS", key),
        Read::SIsMember(key, member) => with(on("SISMEMBER", key), &[member]),
        Read::SCard(key) => on("SCARD", key),
        Read::ZRange { key, start, stop } => {
            let mut range = on("ZRANGE", key);
            range.arg(*start).arg(*stop).arg("WITHSCORES");
            range
        }
        Read::ZScore(key, member) => with(on("ZSCORE", key), &[member]),
        Read::ZCard(key) => on("ZCARD", key),
        Read::PfCount(names) => with(cmd("PFCOUNT"), names),
        Read::Scan {
            cursor,
            pattern,
            count,
        } => {
            let mut scan = cmd("SCAN");
            scan.arg(*cursor);
            if let Some(pattern) = pattern {
                scan.arg("MATCH").arg(pattern);
            }
            scan.arg("COUNT").arg((*count).max(1));
            scan
        }
        Read::Keys { pattern } => on("KEYS", pattern),
        Read::DbSize => cmd("DBSIZE"),
    }
}

fn with(mut command: Cmd, args: &[impl AsRef<[u8]>]) -> Cmd {
    for arg in args {
        command.arg(arg.as_ref());
    }
    command
}

fn parse(read: &Read, value: Value) -> Result<ReadReply, Fault> {
    Ok(match read {
        Read::Get(_) | Read::HGet(..) => reply::optional(value)?.map_or(ReadReply::Nil, ReadReply::Bytes),
        Read::StrLen(_)
        | Read::Exists(_)
        | Read::Pttl(_)
        | Read::HLen(_)
        | Read::SIsMember(..)
        | Read::SCard(_)
        | Read::ZCard(_)
        | Read::PfCount(_)
        | Read::DbSize => ReadReply::Integer(reply::integer(value)?),
        Read::Type(_) => ReadReply::Type(reply::text(value)?),
        Read::HMGet(..) => {
            let values = reply::array(value)?.into_iter().map(reply::optional);
            ReadReply::Optional(values.collect::<Result<_, Fault>>()?)
        }
        Read::HGetAll(_) => ReadReply::Pairs(reply::pairs(value)?),
        Read::SMembers(_) | Read::Keys { .. } => ReadReply::List(reply::list(value)?),
        Read::ZRange { .. } => ReadReply::Scored(reply::scored(value)?),
        Read::ZScore(..) => match reply::optional(value)? {
            None => ReadReply::Nil,
            Some(text) => ReadReply::Score(reply::score(&text)?),
        },
        Read::Scan { .. } => {
            let [cursor, found] = reply::exactly(value)?;
            let cursor = reply::text(cursor)?;
            ReadReply::Page {
                cursor: cursor.parse().map_err(|_| reply::unexpected("a cursor"))?,
                keys: reply::list(found)?,
            }
        }
    })
}
