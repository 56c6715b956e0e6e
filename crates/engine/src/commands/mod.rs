//! Redis commands -> effects: what each command reads of its keys, when it is refused, and what it makes.
//!
//! Every command decides from what its keys *show here and now*: an expired key shows nothing, a key of two types
//! shows one of them, a merged number shows its rounded sum. A write then goes through the sentences of
//! docs/semantics.md as the [`Writer`] offers them: `ready` before an element is written, `replace` for what becomes
//! something else altogether, `remove` for elements, `drop_key` for the key.
//!
//! - Reads and refusals come before the first effect, in Redis's order, with Redis's words.
//! - A command keeps no state: when a row turns out not to be loaded it stops, and runs again from the start.
//! - It touches as many elements as it changes. Only what needs the whole key asks for it.
//! - Redis keeps a HyperLogLog in a string; here it is a type of its own, shown by TYPE as `string`. String commands
//!   on it are refused, since a value written over its registers could not be merged; SET replaces it.
//!
//! A door checks what is a matter of text (arity, numbers, contradicting options); what depends on the data is checked
//! here.

mod bits;
mod collection_reads;
mod hashes;
pub(crate) mod hyperloglog;
mod keys;
pub(crate) mod numbers;
mod places;
mod sets;
mod sorted_set_operations;
mod sorted_set_reads;
mod sorted_sets;
mod strings;
mod text_reads;

use cartograph_crdt::{ElementId, Type};

use crate::command::{Command, Read, Reply, Want, When};
use crate::error::CommandError;
use crate::show::{self, Text};
use crate::writer::{Shown, Stop, Writer};

/// Runs a command.
///
/// # Errors
/// [`Stop::Refused`]: the writer takes its effects back. [`Stop::Missing`]: load that, and run the entry again from
/// the start.
pub(crate) fn evaluate(command: &Command, writer: &mut Writer<'_>) -> Result<Reply, Stop> {
    let w = writer;
    match command {
        Command::Del { keys } => keys::del(w, keys),
        Command::Exists { keys } => keys::exists(w, keys),
        Command::Type { key } => keys::type_of(w, key),
        Command::Pttl { key } => keys::pttl(w, key),
        Command::Expire { key, when, flags } => keys::expire(w, key, *when, *flags),
        Command::Persist { key } => keys::persist(w, key),
        Command::Rename {
            from,
            to,
            only_if_absent,
        } => keys::rename(w, from, to, *only_if_absent),
        Command::Copy { from, to, replace } => keys::copy(w, from, to, *replace),
        Command::Revoke { key } => keys::revoke(w, key),
        Command::Get { key } => strings::get(w, key),
        Command::Set {
            key,
            value,
            expiry,
            condition,
            get,
        } => strings::set(w, key, value, *expiry, *condition, *get),
        Command::MSet {
            pairs,
            only_if_absent,
        } => strings::mset(w, pairs, *only_if_absent),
        Command::GetDel { key } => strings::getdel(w, key),
        Command::GetEx { key, expiry } => strings::getex(w, key, *expiry),
        Command::Append { key, value } => strings::append(w, key, value),
        Command::SetRange { key, offset, value } => strings::setrange(w, key, *offset, value),
        Command::SetBit { key, offset, bit } => bits::setbit(w, key, *offset, *bit),
        Command::BitField { key, operations } => bits::bitfield(w, key, operations),
        Command::BitOp { operation, to, keys } => bits::bitop(w, *operation, to, keys),
        Command::IncrBy { key, by } => numbers::incrby(w, key, *by),
        Command::IncrByFloat { key, by } => numbers::incrbyfloat(w, key, by),
        Command::HGet { key, field } => hashes::hget(w, key, field),
        Command::HGetAll { key } => hashes::hgetall(w, key),
        Command::HSet { key, fields } => hashes::hset(w, key, fields),
        Command::HSetNx { key, field, value } => hashes::hsetnx(w, key, field, value),
        Command::HDel { key, fields } => hashes::hdel(w, key, fields),
        Command::HIncrBy { key, field, by } => numbers::hincrby(w, key, field, *by),
        Command::HIncrByFloat { key, field, by } => numbers::hincrbyfloat(w, key, field, by),
        Command::SMembers { key } => sets::smembers(w, key),
        Command::SIsMember { key, member } => sets::sismember(w, key, member),
        Command::SCard { key } => sets::scard(w, key),
        Command::SAdd { key, members } => sets::sadd(w, key, members),
        Command::SRem { key, members } => sets::srem(w, key, members),
        Command::SPop { key, count } => sets::spop(w, key, *count),
        Command::SMove { from, to, member } => sets::smove(w, from, to, member),
        Command::SStore { operation, to, keys } => sets::store(w, *operation, to, keys),
        Command::ZScore { key, member } => sorted_sets::zscore(w, key, member),
        Command::ZRangeWithScores { key } => sorted_sets::zrange(w, key),
        Command::ZAdd { key, flags, pairs } => sorted_sets::zadd(w, key, *flags, pairs),
        Command::ZIncrBy {
            key,
            flags,
            by,
            member,
        } => sorted_sets::zincrby(w, key, *flags, *by, member),
        Command::ZRem { key, members } => sorted_sets::zrem(w, key, members),
        Command::ZPop { key, end, count } => sorted_sets::zpop(w, key, *end, *count),
        Command::ZMPop { keys, end, count } => sorted_sets::zmpop(w, keys, *end, *count),
        Command::ZRemRange { key, range } => sorted_set_operations::remove_range(w, key, range),
        Command::ZRangeStore { to, from, range } => sorted_set_operations::range_store(w, to, from, range),
        Command::ZStore { to, operation } => sorted_set_operations::store(w, to, operation),
        Command::GeoStore {
            to,
            from,
            query,
            distances,
        } => places::store(w, to, from, query, *distances),
        Command::PfAdd { key, elements } => hyperloglog::pfadd(w, key, elements),
        Command::PfCount { keys } => hyperloglog::pfcount(w, keys),
        Command::PfMerge { to, from } => hyperloglog::pfmerge(w, to, from),
        Command::Read(command) => read(command, w),
        Command::Stamp { keys } => keys::stamp(w, keys),
        Command::Procedure(procedure) => procedure.run(w),
    }
}

/// Runs a read: makes no effects.
fn read(command: &Read, w: &mut Writer<'_>) -> Result<Reply, Stop> {
    match command {
        Read::Refuse {
            keys,
            types,
            wrong_type,
            absent,
            place,
            error,
        } => {
            if let Some(reply) = collection_reads::refuse(w, keys, types, wrong_type, absent.as_deref())? {
                return Ok(reply);
            }
            if let (Some(member), [key, ..]) = (place, keys.as_slice()) {
                places::refuse_absent(w, key, member)?;
            }
            Err(error.clone().into())
        }
        Read::PExpireTime { key } => keys::pexpiretime(w, key),
        Read::MGet { keys } => text_reads::mget(w, keys),
        Read::StrLen { key } => text_reads::strlen(w, key),
        Read::GetRange { key, start, end } => text_reads::getrange(w, key, *start, *end),
        Read::GetBit { key, offset } => bits::getbit(w, key, *offset),
        Read::BitCount { key, range } => bits::bitcount(w, key, *range),
        Read::BitPos {
            key,
            bit,
            start,
            end,
            unit,
        } => bits::bitpos(w, key, *bit, *start, *end, *unit),
        Read::Lcs { keys, form } => text_reads::lcs(w, keys, *form),
        Read::HMGet { key, fields } => collection_reads::hmget(w, key, fields),
        Read::HKeys { key } => collection_reads::hkeys(w, key),
        Read::HVals { key } => collection_reads::hvals(w, key),
        Read::HLen { key } => collection_reads::cardinality(w, key, Type::Hash),
        Read::HExists { key, field } => collection_reads::hexists(w, key, field),
        Read::HStrLen { key, field } => collection_reads::hstrlen(w, key, field),
        Read::HRandField { key, count, values } => collection_reads::hrandfield(w, key, *count, *values),
        Read::SMIsMember { key, members } => collection_reads::smismember(w, key, members),
        Read::SRandMember { key, count } => collection_reads::srandmember(w, key, *count),
        Read::SOperation { operation, keys } => sets::read(w, *operation, keys),
        Read::SInterCard { keys, limit } => sorted_set_operations::sintercard(w, keys, *limit),
        Read::ZMScore { key, members } => sorted_set_reads::zmscore(w, key, members),
        Read::ZCard { key } => collection_reads::cardinality(w, key, Type::SortedSet),
        Read::ZRank {
            key,
            member,
            reverse,
            with_score,
        } => sorted_set_reads::zrank(w, key, member, *reverse, *with_score),
        Read::ZCount { key, range } => sorted_set_reads::zcount(w, key, *range),
        Read::ZLexCount { key, range } => sorted_set_reads::zlexcount(w, key, range),
        Read::ZRange {
            key,
            range,
            with_scores,
        } => sorted_set_reads::zrange(w, key, range, *with_scores),
        Read::ZRandMember {
            key,
            count,
            with_scores,
        } => sorted_set_reads::zrandmember(w, key, *count, *with_scores),
        Read::ZOperation {
            operation,
            with_scores,
        } => sorted_set_operations::read(w, operation, *with_scores),
        Read::ZInterCard { keys, limit } => sorted_set_operations::intercard(w, keys, *limit),
        Read::GeoPos { key, members } => places::geopos(w, key, members),
        Read::GeoDist { key, members, metres } => places::geodist(w, key, members, *metres),
        Read::GeoHash { key, members } => places::geohash(w, key, members),
        Read::GeoSearch { key, query } => places::geosearch(w, key, query),
        Read::Scan { key, ty, pattern } => collection_reads::scan(w, key, *ty, pattern.as_deref()),
    }
}

/// The rows and elements that a command will look at, to be loaded ahead. A guess: what it needs beyond that, such as
/// the whole of a key that it replaces, it asks for while it runs.
pub(crate) fn wants(command: &Command) -> Vec<Want> {
    match command {
        Command::Del { keys }
        | Command::Exists { keys }
        | Command::ZMPop { keys, .. }
        | Command::Stamp { keys } => keys.iter().map(|k| Want::header(k)).collect(),
        Command::Type { key }
        | Command::Pttl { key }
        | Command::Expire { key, .. }
        | Command::Persist { key }
        | Command::Revoke { key }
        | Command::SCard { key } => vec![Want::header(key)],
        Command::Rename { from, to, .. }
        | Command::Copy { from, to, .. }
        | Command::ZRangeStore { to, from, .. }
        | Command::GeoStore { to, from, .. } => vec![Want::all(from), Want::header(to)],
        Command::Get { key }
        | Command::Set { key, .. }
        | Command::GetDel { key }
        | Command::GetEx { key, .. }
        | Command::Append { key, .. }
        | Command::SetRange { key, .. }
        | Command::SetBit { key, .. }
        | Command::BitField { key, .. }
        | Command::IncrBy { key, .. }
        | Command::IncrByFloat { key, .. } => want(key, [ElementId::string()]),
        Command::MSet { pairs, .. } => pairs
            .iter()
            .flat_map(|(k, _)| want(k, [ElementId::string()]))
            .collect(),
        Command::HSet { key, fields } => want(key, fields.iter().map(|(f, _)| ElementId::field(f))),
        Command::HDel { key, fields } => want(key, fields.iter().map(|f| ElementId::field(f))),
        Command::HGet { key, field }
        | Command::HSetNx { key, field, .. }
        | Command::HIncrBy { key, field, .. }
        | Command::HIncrByFloat { key, field, .. } => want(key, [ElementId::field(field)]),
        Command::SIsMember { key, member } => want(key, [ElementId::member(member)]),
        Command::SAdd { key, members } | Command::SRem { key, members } => {
            want(key, members.iter().map(|m| ElementId::member(m)))
        }
        Command::SMove { from, to, member } => {
            let id = [ElementId::member(member)];
            [want(from, id.clone()), want(to, id)].concat()
        }
        Command::ZScore { key, member } | Command::ZIncrBy { key, member, .. } => {
            want(key, [ElementId::scored(member)])
        }
        Command::ZAdd { key, pairs, .. } => want(key, pairs.iter().map(|(_, m)| ElementId::scored(m))),
        Command::ZRem { key, members } => want(key, members.iter().map(|m| ElementId::scored(m))),
        Command::HGetAll { key }
        | Command::SMembers { key }
        | Command::SPop { key, .. }
        | Command::ZRangeWithScores { key }
        | Command::ZPop { key, .. }
        | Command::ZRemRange { key, .. } => vec![Want::all(key)],
        Command::BitOp { to, keys, .. } => [string_of(keys), vec![Want::header(to)]].concat(),
        Command::ZStore { to, operation } => {
            let sources = operation.sources.iter().map(|(k, _)| Want::all(k));
            sources.chain([Want::header(to)]).collect()
        }
        Command::Read(command) => wants_of_read(command),
        Command::SStore { to, keys, .. } => [all(keys), vec![Want::header(to)]].concat(),
        Command::PfAdd { key, elements } => want(key, hyperloglog::registers(elements)),
        Command::PfCount { keys } => all(keys),
        Command::PfMerge { to, from } => [all(from), vec![Want::all(to)]].concat(),
        Command::Procedure(procedure) => procedure.wants(),
    }
}

fn wants_of_read(command: &Read) -> Vec<Want> {
    match command {
        Read::Refuse { keys, .. } => keys.iter().map(|k| Want::header(k)).collect(),
        Read::PExpireTime { key } | Read::HLen { key } | Read::ZCard { key } => vec![Want::header(key)],
        Read::MGet { keys } => string_of(keys),
        Read::Lcs { keys, .. } => string_of(keys),
        Read::StrLen { key }
        | Read::GetRange { key, .. }
        | Read::GetBit { key, .. }
        | Read::BitCount { key, .. }
        | Read::BitPos { key, .. } => want(key, [ElementId::string()]),
        Read::HMGet { key, fields } => want(key, fields.iter().map(|f| ElementId::field(f))),
        Read::HExists { key, field } | Read::HStrLen { key, field } => want(key, [ElementId::field(field)]),
        Read::SMIsMember { key, members } => want(key, members.iter().map(|m| ElementId::member(m))),
        Read::ZMScore { key, members } | Read::GeoPos { key, members } | Read::GeoHash { key, members } => {
            want(key, members.iter().map(|m| ElementId::scored(m)))
        }
        Read::GeoDist { key, members, .. } => want(key, members.iter().map(|m| ElementId::scored(m))),
        Read::HKeys { key }
        | Read::HVals { key }
        | Read::HRandField { key, .. }
        | Read::SRandMember { key, .. }
        | Read::ZRank { key, .. }
        | Read::ZCount { key, .. }
        | Read::ZLexCount { key, .. }
        | Read::ZRange { key, .. }
        | Read::ZRandMember { key, .. }
        | Read::GeoSearch { key, .. }
        | Read::Scan { key, .. } => vec![Want::all(key)],
        Read::SOperation { keys, .. } | Read::SInterCard { keys, .. } | Read::ZInterCard { keys, .. } => {
            all(keys)
        }
        Read::ZOperation { operation, .. } => operation.sources.iter().map(|(k, _)| Want::all(k)).collect(),
    }
}

fn string_of(keys: &[Vec<u8>]) -> Vec<Want> {
    keys.iter().flat_map(|k| want(k, [ElementId::string()])).collect()
}

fn want(key: &[u8], ids: impl IntoIterator<Item = ElementId>) -> Vec<Want> {
    vec![Want::elements(key, ids.into_iter().collect())]
}

fn all(keys: &[Vec<u8>]) -> Vec<Want> {
    keys.iter().map(|k| Want::all(k)).collect()
}

/// What a string or field shows; nothing where its key shows nothing.
fn text(w: &mut Writer<'_>, key: &[u8], shown: Option<Shown>, id: &ElementId) -> Result<Option<Text>, Stop> {
    if shown.is_none() {
        return Ok(None);
    }
    Ok(w.element(key, id)?.and_then(show::text))
}

/// Is the element there? Never, where its key shows nothing.
fn is_there(w: &mut Writer<'_>, key: &[u8], shown: Option<Shown>, id: &ElementId) -> Result<bool, Stop> {
    Ok(shown.is_some() && w.element(key, id)?.is_some())
}

/// Those of the elements that are there, each once, in order.
fn those_there(
    w: &mut Writer<'_>,
    key: &[u8],
    shown: Option<Shown>,
    names: &[Vec<u8>],
    id: fn(&[u8]) -> ElementId,
) -> Result<Vec<ElementId>, Stop> {
    if shown.is_none() {
        return Ok(Vec::new());
    }
    let mut ids: Vec<ElementId> = names.iter().map(|n| id(n)).collect();
    ids.sort_unstable();
    ids.dedup();
    w.need(key, &ids)?;
    let mut there = Vec::with_capacity(ids.len());
    for id in ids {
        if w.element(key, &id)?.is_some() {
            there.push(id);
        }
    }
    Ok(there)
}

/// Removes those of the named elements that are there; replies with their number. SREM, HDEL and ZREM.
fn remove_named(
    w: &mut Writer<'_>,
    key: &[u8],
    ty: Type,
    names: &[Vec<u8>],
    id: fn(&[u8]) -> ElementId,
) -> Result<Reply, Stop> {
    let shown = w.look_typed(key, ty)?;
    let gone = those_there(w, key, shown, names, id)?;
    let count = gone.len();
    w.remove(key, gone)?;
    Ok(Reply::count(count))
}

/// The instant in Unix milliseconds, which may be past or negative; `None` when it is out of range.
fn instant(w: &Writer<'_>, when: When) -> Option<i64> {
    match when {
        When::At(at) => Some(at),
        When::In(ms) => i64::try_from(w.now_ms()).ok()?.checked_add(ms),
    }
}

/// The instant of an option such as EX, which must be positive in itself.
fn positive_instant(w: &Writer<'_>, when: When, command: &'static str) -> Result<u64, Stop> {
    let (When::At(given) | When::In(given)) = when;
    let at = instant(w, when).filter(|_| given > 0);
    at.and_then(|at| u64::try_from(at).ok())
        .ok_or_else(|| CommandError::InvalidExpire { command }.into())
}
