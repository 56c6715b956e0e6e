//! Reads where the store is no Redis: the everyday ones by the engine, SCAN and its kin by the store.

use bytes::Bytes;
use cartograph_engine::api::Request as ShardRequest;
use cartograph_resp::Value;
use cartograph_store::{Read, ReadReply};

use super::commands::{self, Parsed};
use super::connection::{Connection, End, no_redis};
use super::dispatch::Incoming;
use super::errors::{self, error};
use super::outbox::{Form, Outbox};
use crate::doors::failure::{Failure, kinds};

/// Keys looked at in one SCAN, at most.
const SCAN_COUNT_MAX: u64 = 10_000;

/// A read of the whole key space.
enum Whole {
    Scan {
        cursor: u64,
        pattern: Option<Vec<u8>>,
        count: usize,
        ty: Option<Vec<u8>>,
    },
    Keys(Vec<u8>),
    Size,
    Random,
}

impl Connection {
    /// A read, answered without Redis.
    pub(super) async fn read_without_redis(&mut self, incoming: Incoming) -> Result<(), End> {
        match whole(incoming.name(), incoming.rest()) {
            None => {}
            Some(Err(refused)) => {
                self.answer(incoming.started, Some(incoming.info), &refused);
                return Ok(());
            }
            Some(Ok(read)) => return self.read_whole(incoming, read).await,
        }
        match commands::parse_read(incoming.name(), incoming.rest()) {
            None => self.refuse(&incoming, no_redis()),
            Some(Err(value) | Ok(Parsed::Reply(value))) => {
                self.answer(incoming.started, Some(incoming.info), &value);
                Ok(())
            }
            Some(Ok(Parsed::Do { command, shape } | Parsed::Block { command, shape, .. })) => {
                self.ask_shard(&incoming, ShardRequest::one(command), Form::One(shape))
                    .await
            }
        }
    }

    async fn read_whole(&mut self, incoming: Incoming, read: Whole) -> Result<(), End> {
        self.submit().await;
        self.until(Outbox::is_idle).await?;
        let context = std::sync::Arc::clone(&self.worker.context);
        let call = crate::doors::Call::default();
        let deadline = context.doors.deadline(&call);
        let doors = &context.doors;
        let found = self.while_listening(async {
            match read {
                Whole::Size => integer(&doors.read(Read::DbSize, &deadline).await?),
                Whole::Keys(pattern) => list(doors.read(Read::Keys { pattern }, &deadline).await?),
                Whole::Random => {
                    let read = Read::Scan { cursor: 0, pattern: None, count: 64 };
                    doors.read(read, &deadline).await.map(one_of)
                }
                Whole::Scan { cursor, pattern, count, ty } => {
                    let read = Read::Scan { cursor, pattern, count };
                    let page = doors.read(read, &deadline).await?;
                    let ReadReply::Page { cursor: next, keys } = page else {
                        return Err(unexpected(&page));
                    };
                    let mut shown = Vec::with_capacity(keys.len());
                    for key in keys {
                        if let Some(wanted) = &ty {
                            let found = doors.read(Read::Type(key.clone()), &deadline).await?;
                            if !matches!(found, ReadReply::Type(name) if name.as_bytes().eq_ignore_ascii_case(wanted)) {
                                continue;
                            }
                        }
                        shown.push(Value::Bulk(Bytes::from(key)));
                    }
                    let next = Value::Bulk(Bytes::from(next.to_string()));
                    Ok(Value::Array(vec![next, Value::Array(shown)]))
                }
            }
        });
        let value = found.await?.unwrap_or_else(|f| errors::of_failure(&f));
        self.answer(incoming.started, Some(incoming.info), &value);
        Ok(())
    }
}

/// The store answered another question.
fn unexpected(reply: &ReadReply) -> Failure {
    Failure::new(
        kinds::DAMAGED,
        format!("the store gave another kind of reply: {reply:?}"),
    )
}

fn integer(reply: &ReadReply) -> Result<Value, Failure> {
    if let ReadReply::Integer(n) = reply {
        Ok(Value::Integer(*n))
    } else {
        Err(unexpected(reply))
    }
}

fn list(reply: ReadReply) -> Result<Value, Failure> {
    if let ReadReply::List(keys) = reply {
        Ok(Value::Array(
            keys.into_iter().map(|k| Value::Bulk(k.into())).collect(),
        ))
    } else {
        Err(unexpected(&reply))
    }
}

fn one_of(reply: ReadReply) -> Value {
    let ReadReply::Page { mut keys, .. } = reply else {
        return Value::Null;
    };
    let count = keys.len() as u64;
    let chosen = crate::seed::random().checked_rem(count).unwrap_or(0);
    let chosen = usize::try_from(chosen).unwrap_or(0);
    if chosen < keys.len() {
        Value::Bulk(keys.swap_remove(chosen).into())
    } else {
        Value::Null
    }
}

/// Is it a read of the whole key space?
fn whole(name: &str, args: &[Bytes]) -> Option<Result<Whole, Value>> {
    match name {
        "dbsize" => Some(Ok(Whole::Size)),
        "randomkey" => Some(Ok(Whole::Random)),
        "keys" => args.first().map(|p| Ok(Whole::Keys(p.to_vec()))),
        "scan" => Some(scan(args)),
        _ => None,
    }
}

fn scan(args: &[Bytes]) -> Result<Whole, Value> {
    let number = |bytes: &Bytes| std::str::from_utf8(bytes).ok()?.parse::<u64>().ok();
    let cursor = args.first().and_then(number);
    let cursor = cursor.ok_or_else(|| error("ERR invalid cursor"))?;
    let (mut pattern, mut count, mut ty) = (None, 10, None);
    let mut options = args.get(1..).unwrap_or_default().iter();
    while let Some(option) = options.next() {
        let value = options.next().ok_or_else(|| error("ERR syntax error"))?;
        if option.eq_ignore_ascii_case(b"match") {
            pattern = Some(value.to_vec());
        } else if option.eq_ignore_ascii_case(b"count") {
            let found = number(value).ok_or_else(|| error("ERR value is not an integer or out of range"))?;
            if found == 0 {
                return Err(error("ERR syntax error"));
            }
            count = found.min(SCAN_COUNT_MAX);
        } else if option.eq_ignore_ascii_case(b"type") {
            ty = Some(value.to_vec());
        } else {
            return Err(error("ERR syntax error"));
        }
    }
    let count = usize::try_from(count).unwrap_or(10);
    Ok(Whole::Scan {
        cursor,
        pattern,
        count,
        ty,
    })
}
