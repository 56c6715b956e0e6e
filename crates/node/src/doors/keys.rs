//! `KeyService`'s operations as the engine's commands or as reads of views, and replies back. Every field is checked
//! here: what protobuf lets pass and Redis would not is refused by name.

use std::time::Duration;

use cartograph_engine::api::Request;
use cartograph_engine::command::{Command, Condition, ExpireFlags, Reply, SetExpiry, When, ZAddFlags};
use cartograph_proto::v1;
use cartograph_proto::v1::operation::Op;
use cartograph_store::{Read, ReadReply};

use super::failure::{Failure, code_of, kinds};
use super::{Answered, Call, Doors};

/// Operations in one transaction.
const OPERATIONS_MAX: usize = 1_024;

/// The longest key, field or member, in bytes.
const NAME_BYTES_MAX: usize = 64 << 10;

impl Doors {
    /// One operation: a read from the view, a write by the shard.
    pub(crate) async fn execute(
        &self,
        call: Call,
        operation: v1::Operation,
    ) -> Result<Answered<v1::Reply>, Failure> {
        let deadline = self.deadline(&call);
        let op = operation.op.ok_or_else(|| wrong("the operation is missing"))?;
        let command = command(op)?;
        self.wait_for_session(&call, &deadline).await?;
        if let Some(read) = read_of(&command) {
            let reply = self.read(read, &deadline).await?;
            return Ok(Answered {
                value: read_reply(reply),
                token: self.token(),
            });
        }
        let request = Request {
            commands: vec![command],
            watched: Vec::new(),
            idempotency_key: call.idempotency_key,
        };
        let mut answered = self.run(request, deadline.left()).await?;
        match answered.value.pop() {
            Some(Reply::Error(error)) => Err(error.into()),
            Some(reply) => Ok(Answered {
                value: show(reply),
                token: answered.token,
            }),
            None => Err(Failure::new(kinds::DAMAGED, "the shard gave no reply")),
        }
    }

    /// Several operations as one entry.
    pub(crate) async fn transaction(
        &self,
        call: Call,
        operations: Vec<v1::Operation>,
    ) -> Result<Answered<Vec<v1::Reply>>, Failure> {
        let deadline = self.deadline(&call);
        if operations.is_empty() || operations.len() > OPERATIONS_MAX {
            let found = operations.len();
            return Err(wrong(&format!(
                "the transaction has {found} operations: expected 1 to {OPERATIONS_MAX}"
            )));
        }
        let mut commands = Vec::with_capacity(operations.len());
        for (n, operation) in operations.into_iter().enumerate() {
            let op = operation.op.ok_or_else(|| wrong("the operation is missing"));
            let command = op.and_then(command).map_err(|failure| {
                let message = format!("operation {n}: {}", failure.message);
                Failure::new(failure.kind, message)
            })?;
            commands.push(command);
        }
        self.wait_for_session(&call, &deadline).await?;
        let request = Request {
            commands,
            watched: Vec::new(),
            idempotency_key: call.idempotency_key,
        };
        let answered = self.run(request, deadline.left()).await?;
        Ok(Answered {
            value: answered.value.into_iter().map(show).collect(),
            token: answered.token,
        })
    }

    async fn run(&self, request: Request, left: Duration) -> Result<Answered<Vec<Reply>>, Failure> {
        // One shard: a transaction over several comes with several.
        let shard = self
            .shards
            .first()
            .ok_or_else(|| Failure::new(kinds::NOT_READY, "this node has no shard"))?;
        let done = shard.request(request, left).await?;
        Ok(Answered {
            token: self.token_after(shard.shard(), &done.vector),
            value: done.replies,
        })
    }
}

fn wrong(message: &str) -> Failure {
    Failure::new(kinds::OPERATION, message)
}

fn name(what: &str, name: Vec<u8>) -> Result<Vec<u8>, Failure> {
    if name.len() > NAME_BYTES_MAX {
        let bytes = name.len();
        return Err(wrong(&format!(
            "{what} has {bytes} bytes: expected at most {NAME_BYTES_MAX}"
        )));
    }
    Ok(name)
}

fn names(what: &str, list: Vec<Vec<u8>>) -> Result<Vec<Vec<u8>>, Failure> {
    if list.is_empty() {
        return Err(wrong(&format!("no {what}: expected at least one")));
    }
    list.into_iter().map(|n| name(what, n)).collect()
}

fn when(given: Option<v1::When>) -> Result<When, Failure> {
    match given.and_then(|w| w.when) {
        Some(v1::when::When::AtMs(ms)) => Ok(When::At(ms)),
        Some(v1::when::When::InMs(ms)) => Ok(When::In(ms)),
        None => Err(wrong("no instant: expected at_ms or in_ms")),
    }
}

fn condition(only_if_absent: bool, only_if_present: bool) -> Result<Condition, Failure> {
    match (only_if_absent, only_if_present) {
        (false, false) => Ok(Condition::Always),
        (true, false) => Ok(Condition::IfAbsent),
        (false, true) => Ok(Condition::IfPresent),
        (true, true) => Err(wrong("only_if_absent and only_if_present exclude each other")),
    }
}

fn expire_flags(e: &v1::Expire) -> Result<ExpireFlags, Failure> {
    if (e.nx && (e.xx || e.gt || e.lt)) || (e.gt && e.lt) {
        return Err(wrong(
            "nx goes with none of xx, gt and lt, and gt and lt exclude each other",
        ));
    }
    Ok(ExpireFlags {
        nx: e.nx,
        xx: e.xx,
        gt: e.gt,
        lt: e.lt,
    })
}

fn zadd_flags(given: Option<v1::ZAddFlags>) -> Result<ZAddFlags, Failure> {
    let f = given.unwrap_or_default();
    if (f.nx && (f.xx || f.gt || f.lt)) || (f.gt && f.lt) {
        return Err(wrong(
            "nx goes with none of xx, gt and lt, and gt and lt exclude each other",
        ));
    }
    Ok(ZAddFlags {
        nx: f.nx,
        xx: f.xx,
        gt: f.gt,
        lt: f.lt,
        ch: f.ch,
    })
}

fn score(score: f64) -> Result<f64, Failure> {
    if score.is_nan() {
        return Err(wrong("a score is not a number"));
    }
    Ok(score)
}

fn key(k: v1::Key) -> Result<Vec<u8>, Failure> {
    name("the key", k.key)
}

fn command(op: Op) -> Result<Command, Failure> {
    match op {
        Op::Del(_)
        | Op::Exists(_)
        | Op::Type(_)
        | Op::Pttl(_)
        | Op::Expire(_)
        | Op::Persist(_)
        | Op::Rename(_)
        | Op::Copy(_)
        | Op::Revoke(_) => key_command(op),
        Op::Get(_)
        | Op::Set(_)
        | Op::MSet(_)
        | Op::GetDel(_)
        | Op::Append(_)
        | Op::SetRange(_)
        | Op::IncrBy(_)
        | Op::IncrByFloat(_) => string_command(op),
        Op::HGet(_)
        | Op::HGetAll(_)
        | Op::HSet(_)
        | Op::HSetNx(_)
        | Op::HDel(_)
        | Op::HIncrBy(_)
        | Op::HIncrByFloat(_) => hash_command(op),
        Op::SMembers(_)
        | Op::SIsMember(_)
        | Op::SCard(_)
        | Op::SAdd(_)
        | Op::SRem(_)
        | Op::SPop(_)
        | Op::SMove(_) => set_command(op),
        Op::ZScore(_)
        | Op::ZRangeWithScores(_)
        | Op::ZAdd(_)
        | Op::ZIncrBy(_)
        | Op::ZRem(_)
        | Op::PfAdd(_)
        | Op::PfCount(_)
        | Op::PfMerge(_) => sorted_command(op),
    }
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "`command` above names every operation and gives each to its group"
)]
fn key_command(op: Op) -> Result<Command, Failure> {
    Ok(match op {
        Op::Del(k) => Command::Del {
            keys: names("keys", k.keys)?,
        },
        Op::Exists(k) => Command::Exists {
            keys: names("keys", k.keys)?,
        },
        Op::Type(k) => Command::Type { key: key(k)? },
        Op::Pttl(k) => Command::Pttl { key: key(k)? },
        Op::Expire(e) => Command::Expire {
            flags: expire_flags(&e)?,
            when: when(e.when)?,
            key: name("the key", e.key)?,
        },
        Op::Persist(k) => Command::Persist { key: key(k)? },
        Op::Rename(r) => Command::Rename {
            from: name("from", r.from)?,
            to: name("to", r.to)?,
            only_if_absent: r.only_if_absent,
        },
        Op::Copy(c) => Command::Copy {
            from: name("from", c.from)?,
            to: name("to", c.to)?,
            replace: c.replace,
        },
        Op::Revoke(k) => Command::Revoke { key: key(k)? },
        _ => return Err(wrong("no operation on keys")),
    })
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "`command` above names every operation and gives each to its group"
)]
fn string_command(op: Op) -> Result<Command, Failure> {
    Ok(match op {
        Op::Get(k) => Command::Get { key: key(k)? },
        Op::Set(s) => Command::Set {
            expiry: match s.expiry {
                None | Some(v1::set::Expiry::KeepTtl(false)) => SetExpiry::Never,
                Some(v1::set::Expiry::KeepTtl(true)) => SetExpiry::Keep,
                Some(v1::set::Expiry::Expires(w)) => SetExpiry::Expires(when(Some(w))?),
            },
            condition: condition(s.only_if_absent, s.only_if_present)?,
            get: s.get,
            key: name("the key", s.key)?,
            value: s.value,
        },
        Op::MSet(m) => {
            if m.pairs.is_empty() {
                return Err(wrong("no pairs: expected at least one"));
            }
            let pairs: Result<_, Failure> = m
                .pairs
                .into_iter()
                .map(|p| Ok((name("a key", p.key)?, p.value)))
                .collect();
            Command::MSet {
                pairs: pairs?,
                only_if_absent: m.only_if_absent,
            }
        }
        Op::GetDel(k) => Command::GetDel { key: key(k)? },
        Op::Append(a) => Command::Append {
            key: name("the key", a.key)?,
            value: a.value,
        },
        Op::SetRange(s) => Command::SetRange {
            key: name("the key", s.key)?,
            offset: s.offset,
            value: s.value,
        },
        Op::IncrBy(i) => Command::IncrBy {
            key: name("the key", i.key)?,
            by: i.by,
        },
        Op::IncrByFloat(i) => Command::IncrByFloat {
            key: name("the key", i.key)?,
            by: i.by.into_bytes(),
        },
        _ => return Err(wrong("no operation on strings")),
    })
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "`command` above names every operation and gives each to its group"
)]
fn hash_command(op: Op) -> Result<Command, Failure> {
    Ok(match op {
        Op::HGet(f) => Command::HGet {
            key: name("the key", f.key)?,
            field: name("the field", f.field)?,
        },
        Op::HGetAll(k) => Command::HGetAll { key: key(k)? },
        Op::HSet(h) => {
            if h.fields.is_empty() {
                return Err(wrong("no fields: expected at least one"));
            }
            let fields: Result<_, Failure> = h
                .fields
                .into_iter()
                .map(|f| Ok((name("a field", f.field)?, f.value)))
                .collect();
            Command::HSet {
                key: name("the key", h.key)?,
                fields: fields?,
            }
        }
        Op::HSetNx(h) => Command::HSetNx {
            key: name("the key", h.key)?,
            field: name("the field", h.field)?,
            value: h.value,
        },
        Op::HDel(h) => Command::HDel {
            key: name("the key", h.key)?,
            fields: names("fields", h.fields)?,
        },
        Op::HIncrBy(h) => Command::HIncrBy {
            key: name("the key", h.key)?,
            field: name("the field", h.field)?,
            by: h.by,
        },
        Op::HIncrByFloat(h) => Command::HIncrByFloat {
            key: name("the key", h.key)?,
            field: name("the field", h.field)?,
            by: h.by.into_bytes(),
        },
        _ => return Err(wrong("no operation on hashes")),
    })
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "`command` above names every operation and gives each to its group"
)]
fn set_command(op: Op) -> Result<Command, Failure> {
    Ok(match op {
        Op::SMembers(k) => Command::SMembers { key: key(k)? },
        Op::SIsMember(m) => Command::SIsMember {
            key: name("the key", m.key)?,
            member: name("the member", m.member)?,
        },
        Op::SCard(k) => Command::SCard { key: key(k)? },
        Op::SAdd(m) => Command::SAdd {
            key: name("the key", m.key)?,
            members: names("members", m.members)?,
        },
        Op::SRem(m) => Command::SRem {
            key: name("the key", m.key)?,
            members: names("members", m.members)?,
        },
        Op::SPop(p) => Command::SPop {
            key: name("the key", p.key)?,
            count: p.count,
        },
        Op::SMove(m) => Command::SMove {
            from: name("from", m.from)?,
            to: name("to", m.to)?,
            member: name("the member", m.member)?,
        },
        _ => return Err(wrong("no operation on sets")),
    })
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "`command` above names every operation and gives each to its group"
)]
fn sorted_command(op: Op) -> Result<Command, Failure> {
    Ok(match op {
        Op::ZScore(m) => Command::ZScore {
            key: name("the key", m.key)?,
            member: name("the member", m.member)?,
        },
        Op::ZRangeWithScores(k) => Command::ZRangeWithScores { key: key(k)? },
        Op::ZAdd(z) => {
            if z.members.is_empty() {
                return Err(wrong("no members: expected at least one"));
            }
            let pairs: Result<_, Failure> = z
                .members
                .into_iter()
                .map(|m| Ok((score(m.score)?, name("a member", m.member)?)))
                .collect();
            Command::ZAdd {
                key: name("the key", z.key)?,
                flags: zadd_flags(z.flags)?,
                pairs: pairs?,
            }
        }
        Op::ZIncrBy(z) => Command::ZIncrBy {
            key: name("the key", z.key)?,
            flags: zadd_flags(z.flags)?,
            by: score(z.by)?,
            member: name("the member", z.member)?,
        },
        Op::ZRem(m) => Command::ZRem {
            key: name("the key", m.key)?,
            members: names("members", m.members)?,
        },
        Op::PfAdd(m) => Command::PfAdd {
            key: name("the key", m.key)?,
            elements: m.members,
        },
        Op::PfCount(k) => Command::PfCount {
            keys: names("keys", k.keys)?,
        },
        Op::PfMerge(m) => Command::PfMerge {
            to: name("to", m.to)?,
            from: names("sources", m.from)?,
        },
        _ => return Err(wrong("no operation on sorted sets or HyperLogLogs")),
    })
}

/// The read of a view that answers a command, if it only reads.
fn read_of(command: &Command) -> Option<Read> {
    Some(match command {
        Command::Exists { keys } => Read::Exists(keys.clone()),
        Command::Type { key } => Read::Type(key.clone()),
        Command::Pttl { key } => Read::Pttl(key.clone()),
        Command::Get { key } => Read::Get(key.clone()),
        Command::HGet { key, field } => Read::HGet(key.clone(), field.clone()),
        Command::HGetAll { key } => Read::HGetAll(key.clone()),
        Command::SMembers { key } => Read::SMembers(key.clone()),
        Command::SIsMember { key, member } => Read::SIsMember(key.clone(), member.clone()),
        Command::SCard { key } => Read::SCard(key.clone()),
        Command::ZScore { key, member } => Read::ZScore(key.clone(), member.clone()),
        Command::ZRangeWithScores { key } => Read::ZRange {
            key: key.clone(),
            start: 0,
            stop: -1,
        },
        Command::PfCount { keys } => Read::PfCount(keys.clone()),
        Command::Del { .. }
        | Command::Expire { .. }
        | Command::Persist { .. }
        | Command::Rename { .. }
        | Command::Copy { .. }
        | Command::Revoke { .. }
        | Command::Set { .. }
        | Command::MSet { .. }
        | Command::GetDel { .. }
        | Command::GetEx { .. }
        | Command::Append { .. }
        | Command::SetRange { .. }
        | Command::SetBit { .. }
        | Command::IncrBy { .. }
        | Command::IncrByFloat { .. }
        | Command::HSet { .. }
        | Command::HSetNx { .. }
        | Command::HDel { .. }
        | Command::HIncrBy { .. }
        | Command::HIncrByFloat { .. }
        | Command::SAdd { .. }
        | Command::SRem { .. }
        | Command::SPop { .. }
        | Command::SMove { .. }
        | Command::SStore { .. }
        | Command::ZAdd { .. }
        | Command::ZIncrBy { .. }
        | Command::ZRem { .. }
        | Command::ZPop { .. }
        | Command::PfAdd { .. }
        | Command::PfMerge { .. }
        | Command::BitField { .. }
        | Command::BitOp { .. }
        | Command::ZMPop { .. }
        | Command::ZRemRange { .. }
        | Command::ZRangeStore { .. }
        | Command::ZStore { .. }
        | Command::GeoStore { .. }
        | Command::Read(_)
        | Command::Stamp { .. }
        | Command::Procedure(_) => return None,
    })
}

fn reply(kind: v1::reply::Reply) -> v1::Reply {
    v1::Reply { reply: Some(kind) }
}

fn value(bytes: Vec<u8>) -> v1::Reply {
    reply(v1::reply::Reply::Value(bytes))
}

fn list(items: Vec<v1::Reply>) -> v1::Reply {
    reply(v1::reply::Reply::List(v1::ReplyList { items }))
}

fn nil() -> v1::Reply {
    reply(v1::reply::Reply::Nil(v1::Nil {}))
}

fn show(given: Reply) -> v1::Reply {
    use v1::reply::Reply as Shown;
    match given {
        Reply::Ok => reply(Shown::Ok(v1::Ok {})),
        // Only WATCH asks for stamps, and it is no command of this door.
        Reply::Nil | Reply::Stamps(_) => nil(),
        Reply::Integer(n) => reply(Shown::Integer(n)),
        Reply::Double(score) => reply(Shown::Score(score)),
        Reply::Bytes(bytes) => value(bytes),
        Reply::Array(items) => list(items.into_iter().map(show).collect()),
        Reply::Simple(name) => reply(Shown::Type(name.to_owned())),
        Reply::Error(error) => reply(Shown::Error(v1::OperationError {
            code: code_of(&error).to_owned(),
            message: error.to_string(),
        })),
    }
}

fn read_reply(given: ReadReply) -> v1::Reply {
    use v1::reply::Reply as Shown;
    match given {
        ReadReply::Nil => nil(),
        ReadReply::Bytes(bytes) => value(bytes),
        ReadReply::Integer(n) => reply(Shown::Integer(n)),
        ReadReply::Optional(values) => list(values.into_iter().map(|v| v.map_or_else(nil, value)).collect()),
        ReadReply::List(mut members) => {
            members.sort_unstable();
            list(members.into_iter().map(value).collect())
        }
        ReadReply::Pairs(mut pairs) => {
            pairs.sort_unstable();
            list(
                pairs
                    .into_iter()
                    .flat_map(|(f, v)| [value(f), value(v)])
                    .collect(),
            )
        }
        ReadReply::Scored(members) => {
            let item = |(m, s): (Vec<u8>, cartograph_crdt::Score)| [value(m), reply(Shown::Score(s.get()))];
            list(members.into_iter().flat_map(item).collect())
        }
        ReadReply::Score(score) => reply(Shown::Score(score.get())),
        ReadReply::Type(name) => reply(Shown::Type(name)),
        ReadReply::Page { keys, .. } => list(keys.into_iter().map(value).collect()),
    }
}
