//! FLUSHDB and FLUSHALL: an observed removal of every replicated key, and every local key deleted.
//!
//! Off unless `store.allow_flush` is set. Observed: what another region writes meanwhile, unseen here, survives. Done
//! before the reply, by pages; keys that are made while it runs may stay. SCAN gives every key that is there from
//! beginning to end at least once, so none of those is missed.

use bytes::Bytes;
use cartograph_engine::Command;
use cartograph_engine::api::Request;
use cartograph_resp::{Protocol, Value};
use cartograph_store::{Read, ReadReply};

use super::super::context::{Class, Context};
use super::super::errors::of_failure;
use super::args::is;
use super::errors::{SYNTAX, error};
use super::local;
use crate::doors::Call;
use crate::doors::failure::{Failure, kinds};

/// Keys looked at in one step.
const PAGE: usize = 500;

/// Keys removed by one request: a batch's bound.
const KEYS_MAX: usize = 128;

/// FLUSHDB or FLUSHALL [ASYNC|SYNC]
pub(super) async fn answer(context: &Context, arguments: &[Bytes]) -> Value {
    match arguments {
        [] => {}
        [mode] if is(mode, "async") || is(mode, "sync") => {}
        _ => return error(SYNTAX),
    }
    if !context.doors.config.store.allow_flush {
        let message = "flushing is off: it would remove every key in every region; set store.allow_flush in the node's \
                       configuration to allow it, or remove keys by SCAN and UNLINK";
        return of_failure(&Failure::new(kinds::FLUSH_OFF, message));
    }
    let mut cursor = 0;
    loop {
        let (next, keys) = match page(context, cursor).await {
            Ok(page) => page,
            Err(refused) => return refused,
        };
        if let Err(refused) = remove(context, keys).await {
            return refused;
        }
        if next == 0 {
            return Value::OK;
        }
        cursor = next;
    }
}

async fn page(context: &Context, cursor: u64) -> Result<(u64, Vec<Vec<u8>>), Value> {
    let scan = Read::Scan {
        cursor,
        pattern: None,
        count: PAGE,
    };
    let limit = context.doors.config.limits.request_timeout;
    match tokio::time::timeout(limit, context.doors.store.read(scan)).await {
        Ok(Ok(ReadReply::Page { cursor, keys })) => Ok((cursor, keys)),
        Ok(Err(failed)) => Err(of_failure(&failed.into())),
        Ok(Ok(_)) | Err(_) => Err(of_failure(&Failure::new(
            kinds::STORE_UNREACHABLE,
            "the store did not list its keys in time: a part of them is removed; try again",
        ))),
    }
}

async fn remove(context: &Context, keys: Vec<Vec<u8>>) -> Result<(), Value> {
    let (local_keys, replicated): (Vec<_>, Vec<_>) = keys
        .into_iter()
        .partition(|key| context.class(key) == Class::Local);
    for keys in local_keys.chunks(KEYS_MAX) {
        let command: Vec<&[u8]> = std::iter::once(&b"UNLINK"[..])
            .chain(keys.iter().map(Vec::as_slice))
            .collect();
        match local::raw(context, &command, Protocol::Resp2).await {
            Some(Value::Error(refused)) => return Err(error(refused)),
            Some(_) => {}
            None => {
                return Err(of_failure(&Failure::new(
                    kinds::STORE_UNREACHABLE,
                    "the store did not remove local keys in time: a part of them is removed; try again",
                )));
            }
        }
    }
    let doors = &context.doors;
    for shard in &doors.shards {
        let ours = |key: &Vec<u8>| doors.shard_of(key).is_ok_and(|s| s.shard() == shard.shard());
        let mut keys = replicated.iter().filter(|key| ours(key)).cloned().peekable();
        while keys.peek().is_some() {
            let keys = keys.by_ref().take(KEYS_MAX).collect();
            let deadline = doors.deadline(&Call::default());
            let asked = shard.request(Request::one(Command::Del { keys }), deadline.left());
            asked.await.map_err(|failed| of_failure(&failed.into()))?;
        }
    }
    Ok(())
}
