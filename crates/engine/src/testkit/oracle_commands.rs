//! Redis's commands for the [oracle](super::oracle): each reads the whole view of its keys, and appends operations.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use cartograph_crdt::{Exact, Hlc, Type};

use super::oracle::{Base, Id, Kind, Operation, Oracle, Written};
use super::{Seen, View};
use crate::command::{Command, Condition, End, Reply, SetExpiry, SetOperation, When, ZAddFlags};
use crate::commands::hyperloglog::{estimate, register_and_rank};
use crate::commands::numbers::refused;
use crate::error::CommandError;
use crate::number::{LongDouble, hincr_by_float, incr_by_float, parse_i64, zincr};

type Answer = Result<Reply, CommandError>;

impl Oracle {
    /// Runs commands as one entry. `real` are the replies that were given: chance (SPOP) is taken from them.
    pub fn exec(&mut self, commands: &[Command], now_ms: u64, hlc: Hlc, real: &[Answer]) -> Vec<Answer> {
        let sequence = self.seen.get(&self.region).copied().unwrap_or(0) + 1;
        let seen = Rc::new(self.seen.clone());
        let dot = (self.region, sequence);
        let mut run = Run {
            oracle: self,
            dot,
            seen,
            hlc,
            now: now_ms,
            operations: Vec::new(),
        };
        let mut answers = Vec::new();
        for (i, command) in commands.iter().enumerate() {
            let made = run.operations.len();
            let answer = run.command(command, real.get(i));
            assert!(
                answer.is_ok() || run.operations.len() == made,
                "a refused command has no effect"
            );
            answers.push(answer);
        }
        let operations = run.operations;
        if !operations.is_empty() {
            self.seen.insert(self.region, sequence);
            self.log.push(Rc::new(Written { dot, operations }));
        }
        answers
    }
}

struct Run<'a> {
    oracle: &'a mut Oracle,
    dot: (u16, u64),
    seen: Rc<BTreeMap<u16, u64>>,
    hlc: Hlc,
    now: u64,
    operations: Vec<(Vec<u8>, Operation)>,
}

fn bytes_of(seen: Option<&Seen>) -> Option<Vec<u8>> {
    match seen {
        Some(Seen::Bytes(bytes)) => Some(bytes.clone()),
        _ => None,
    }
}

fn score_of(seen: Option<&Seen>) -> Option<f64> {
    match seen {
        Some(Seen::Score(score)) => Some(*score),
        _ => None,
    }
}

fn string_id() -> Id {
    (Type::String, Vec::new())
}

/// By score, then by member.
fn ranked(view: Option<View>) -> Vec<(f64, Vec<u8>)> {
    let mut all: Vec<(f64, Vec<u8>)> = view.map_or_else(Vec::new, |v| {
        v.elements
            .iter()
            .filter_map(|(m, s)| Some((score_of(Some(s))?, m.clone())))
            .collect()
    });
    all.sort_by(|a, b| {
        a.0.partial_cmp(&b.0)
            .unwrap_or(std::cmp::Ordering::Equal)
            .then(a.1.cmp(&b.1))
    });
    all
}

fn flat(ranked: &[(f64, Vec<u8>)]) -> Reply {
    Reply::Array(
        ranked
            .iter()
            .flat_map(|(s, m)| [Reply::Bytes(m.clone()), Reply::Double(*s)])
            .collect(),
    )
}

fn array(members: impl IntoIterator<Item = Vec<u8>>) -> Reply {
    Reply::Array(members.into_iter().map(Reply::Bytes).collect())
}

impl Run<'_> {
    fn emit(&mut self, key: &[u8], kind: Kind) {
        let index = self.operations.len();
        let operation = Operation {
            dot: self.dot,
            index,
            seen: Rc::clone(&self.seen),
            hlc: self.hlc,
            kind,
        };
        self.oracle.put(key, operation.clone());
        self.operations.push((key.to_vec(), operation));
    }

    fn look(&mut self, key: &[u8]) -> Option<View> {
        self.oracle.view(key, self.now)
    }

    fn typed(&mut self, key: &[u8], ty: Type) -> Result<Option<View>, CommandError> {
        match self.look(key) {
            Some(view) if view.ty != ty => Err(CommandError::WrongType),
            view => Ok(view),
        }
    }

    fn ready(&mut self, key: &[u8], view: Option<&View>, ty: Type) {
        match view {
            None => {
                self.emit(key, Kind::Del);
                self.emit(key, Kind::Create(ty));
                self.emit(key, Kind::Expire(None));
            }
            Some(View { expiry: Some(at), .. }) => self.emit(key, Kind::Restate(*at)),
            Some(_) => {}
        }
    }

    fn drop_key(&mut self, key: &[u8], view: &View) {
        if view.ty == Type::HyperLogLog {
            self.emit(key, Kind::Wipe);
        }
        self.emit(key, Kind::Del);
    }

    /// `expiry`: `None` keeps it.
    fn replace(&mut self, key: &[u8], view: Option<&View>, ty: Type, expiry: Option<Option<u64>>) {
        if view.is_some_and(|v| v.ty == Type::HyperLogLog) {
            self.emit(key, Kind::Wipe);
        }
        match (expiry, view) {
            (None, Some(view)) => {
                self.emit(key, Kind::Clear);
                self.emit(key, Kind::Create(ty));
                if let Some(at) = view.expiry {
                    self.emit(key, Kind::Restate(at));
                }
            }
            (expiry, _) => {
                self.emit(key, Kind::Del);
                self.emit(key, Kind::Create(ty));
                self.emit(key, Kind::Expire(expiry.flatten()));
            }
        }
    }

    fn remove(&mut self, key: &[u8], ty: Type, names: impl IntoIterator<Item = Vec<u8>>) {
        let mut any = false;
        for name in names {
            self.emit(key, Kind::Rem((ty, name)));
            any = true;
        }
        if any && self.look(key).is_none() {
            self.emit(key, Kind::Del);
        }
    }

    fn remove_named(&mut self, key: &[u8], ty: Type, names: &[Vec<u8>]) -> Answer {
        let view = self.typed(key, ty)?;
        let there = |n: &&Vec<u8>| view.as_ref().is_some_and(|v| v.elements.contains_key(*n));
        let gone: BTreeSet<Vec<u8>> = names.iter().filter(there).cloned().collect();
        let count = gone.len();
        self.remove(key, ty, gone);
        Ok(Reply::count(count))
    }

    fn command(&mut self, command: &Command, real: Option<&Answer>) -> Answer {
        match command {
            Command::Del { keys } => {
                let mut count = 0;
                for key in keys {
                    if let Some(view) = self.look(key) {
                        self.drop_key(key, &view);
                        count += 1;
                    }
                }
                Ok(Reply::Integer(count))
            }
            Command::Exists { keys } => Ok(Reply::count(
                keys.iter().filter(|k| self.look(k).is_some()).count(),
            )),
            Command::Type { key } => Ok(Reply::Simple(
                self.look(key).map_or("none", |v| v.ty.redis_name()),
            )),
            Command::Pttl { key } => Ok(Reply::Integer(match self.look(key).map(|v| v.expiry) {
                None => -2,
                Some(None) => -1,
                Some(Some(at)) => i64::try_from(at - self.now).unwrap_or(i64::MAX),
            })),
            Command::Expire { key, when, flags } => {
                let at = self.instant(*when);
                let Some(view) = self.look(key) else {
                    return Ok(Reply::Integer(0));
                };
                let infinite = i64::MAX;
                let has = view
                    .expiry
                    .map_or(infinite, |at| i64::try_from(at).unwrap_or(infinite));
                let no = (flags.nx && has != infinite)
                    || (flags.xx && has == infinite)
                    || (flags.gt && at <= has)
                    || (flags.lt && at >= has);
                if !no {
                    self.expire(key, &view, at);
                }
                Ok(Reply::flag(!no))
            }
            Command::Persist { key } => {
                let Some(view) = self.look(key) else {
                    return Ok(Reply::Integer(0));
                };
                self.emit(key, Kind::Expire(None));
                Ok(Reply::flag(view.expiry.is_some()))
            }
            Command::Rename {
                from,
                to,
                only_if_absent,
            } => self.rename(from, to, *only_if_absent),
            Command::Copy { from, to, replace } => self.copy(from, to, *replace),
            Command::Revoke { key } => {
                let there = self.look(key).is_some();
                self.emit(key, Kind::Revoke);
                Ok(Reply::flag(there))
            }
            Command::Get { .. }
            | Command::Set { .. }
            | Command::MSet { .. }
            | Command::GetDel { .. }
            | Command::GetEx { .. }
            | Command::Append { .. }
            | Command::SetRange { .. }
            | Command::SetBit { .. }
            | Command::IncrBy { .. }
            | Command::IncrByFloat { .. } => self.string(command),
            Command::HGet { .. }
            | Command::HGetAll { .. }
            | Command::HSet { .. }
            | Command::HSetNx { .. }
            | Command::HDel { .. }
            | Command::HIncrBy { .. }
            | Command::HIncrByFloat { .. } => self.hash(command),
            Command::ZScore { .. }
            | Command::ZRangeWithScores { .. }
            | Command::ZAdd { .. }
            | Command::ZIncrBy { .. }
            | Command::ZRem { .. }
            | Command::ZPop { .. } => self.sorted_set(command),
            Command::PfAdd { .. } | Command::PfCount { .. } | Command::PfMerge { .. } => {
                self.hyperloglog(command)
            }
            other => self.set(other, real),
        }
    }

    fn instant(&self, when: When) -> i64 {
        match when {
            When::At(at) => at,
            When::In(ms) => i64::try_from(self.now).unwrap_or(i64::MAX) + ms,
        }
    }

    fn expire(&mut self, key: &[u8], view: &View, at: i64) {
        match u64::try_from(at) {
            Ok(at) if at > self.now => self.emit(key, Kind::Expire(Some(at))),
            _ => self.drop_key(key, view),
        }
    }

    fn rename(&mut self, from: &[u8], to: &[u8], only_if_absent: bool) -> Answer {
        let (source, target) = (self.look(from), self.look(to));
        let Some(source) = source else {
            return Err(CommandError::NoSuchKey);
        };
        if only_if_absent && target.is_some() {
            return Ok(Reply::Integer(0));
        }
        if from != to {
            self.put_whole(to, target.as_ref(), &source);
            self.drop_key(from, &source);
        }
        Ok(if only_if_absent {
            Reply::Integer(1)
        } else {
            Reply::Ok
        })
    }

    fn copy(&mut self, from: &[u8], to: &[u8], replace: bool) -> Answer {
        if from == to {
            return Err(CommandError::SameObject);
        }
        let (source, target) = (self.look(from), self.look(to));
        match source {
            Some(source) if replace || target.is_none() => {
                self.put_whole(to, target.as_ref(), &source);
                Ok(Reply::Integer(1))
            }
            _ => Ok(Reply::Integer(0)),
        }
    }

    fn put_whole(&mut self, key: &[u8], old: Option<&View>, new: &View) {
        self.replace(key, old, new.ty, Some(new.expiry));
        for (name, seen) in &new.elements {
            let id = (new.ty, name.clone());
            self.emit(
                key,
                match seen {
                    Seen::Bytes(bytes) => Kind::Assign(id, Base::Text(bytes.clone())),
                    Seen::Score(score) => Kind::Assign(id, Base::Score(*score)),
                    Seen::Member => Kind::Add(id),
                    Seen::Rank(rank) => Kind::Rank(id, *rank),
                },
            );
        }
    }

    fn string(&mut self, command: &Command) -> Answer {
        let text = |view: &Option<View>| view.as_ref().and_then(|v| bytes_of(v.elements.get(&Vec::new())));
        match command {
            Command::Get { key } => Ok(Reply::bytes(text(&self.typed(key, Type::String)?))),
            Command::Set {
                key,
                value,
                expiry,
                condition,
                get,
            } => {
                let expiry = match expiry {
                    SetExpiry::Never => Some(None),
                    SetExpiry::Keep => None,
                    SetExpiry::Expires(when) => {
                        let (When::At(n) | When::In(n)) = *when;
                        if n <= 0 {
                            return Err(CommandError::InvalidExpire { command: "set" });
                        }
                        Some(u64::try_from(self.instant(*when)).ok())
                    }
                };
                let view = if *get {
                    self.typed(key, Type::String)?
                } else {
                    self.look(key)
                };
                let old = text(&view);
                let go = match condition {
                    Condition::Always => true,
                    Condition::IfAbsent => view.is_none(),
                    Condition::IfPresent => view.is_some(),
                };
                if go {
                    self.replace(key, view.as_ref(), Type::String, expiry);
                    self.emit(key, Kind::Assign(string_id(), Base::Text(value.clone())));
                }
                Ok(match (get, go) {
                    (true, _) => Reply::bytes(old),
                    (false, true) => Reply::Ok,
                    (false, false) => Reply::Nil,
                })
            }
            Command::MSet {
                pairs,
                only_if_absent,
            } => {
                if *only_if_absent && pairs.iter().any(|(key, _)| self.look(key).is_some()) {
                    return Ok(Reply::Integer(0));
                }
                for (key, value) in pairs {
                    let view = self.look(key);
                    self.replace(key, view.as_ref(), Type::String, Some(None));
                    self.emit(key, Kind::Assign(string_id(), Base::Text(value.clone())));
                }
                Ok(if *only_if_absent {
                    Reply::Integer(1)
                } else {
                    Reply::Ok
                })
            }
            Command::GetDel { key } => {
                let view = self.typed(key, Type::String)?;
                if let Some(view) = &view {
                    self.drop_key(key, view);
                }
                Ok(Reply::bytes(text(&view)))
            }
            Command::GetEx { key, expiry } => {
                let view = self.typed(key, Type::String)?;
                match (&view, expiry) {
                    (None, _) | (_, None) => {}
                    (Some(_), Some(None)) => self.emit(key, Kind::Expire(None)),
                    (Some(view), Some(Some(when))) => {
                        let at = self.instant(*when);
                        self.expire(key, view, at);
                    }
                }
                Ok(Reply::bytes(text(&view)))
            }
            Command::IncrBy { key, by } => {
                let view = self.typed(key, Type::String)?;
                self.bump(key, view.as_ref(), string_id(), *by, CommandError::NotAnInteger)
            }
            Command::IncrByFloat { key, by } => {
                let view = self.typed(key, Type::String)?;
                let old = text(&view);
                self.refuse_saturated(key, &[], view.is_some())?;
                let step = incr_by_float(old.as_deref(), by).map_err(refused)?;
                self.bump_exactly(key, view.as_ref(), string_id(), step.delta)
            }
            other => self.rewrite(other),
        }
    }

    fn rewrite(&mut self, command: &Command) -> Answer {
        let (Command::Append { key, .. } | Command::SetRange { key, .. } | Command::SetBit { key, .. }) =
            command
        else {
            unreachable!("no string command: {command:?}");
        };
        let view = self.typed(key, Type::String)?;
        let mut bytes = view
            .as_ref()
            .and_then(|v| bytes_of(v.elements.get(&Vec::new())))
            .unwrap_or_default();
        let mut reply = None;
        match command {
            Command::SetRange { offset, value, .. } => {
                if value.is_empty() {
                    return Ok(Reply::count(bytes.len()));
                }
                for (at, byte) in (usize::try_from(*offset).unwrap_or(0)..).zip(value) {
                    bytes.resize(bytes.len().max(at + 1), 0);
                    bytes.splice(at..=at, [*byte]);
                }
            }
            Command::SetBit { offset, bit, .. } => {
                let at = usize::try_from(offset / 8).unwrap_or(0);
                bytes.resize(bytes.len().max(at + 1), 0);
                let mask = 1 << (7 - offset % 8);
                let old = bytes.get(at).copied().unwrap_or(0);
                reply = Some(Reply::flag(old & mask != 0));
                bytes.splice(at..=at, [if *bit { old | mask } else { old & !mask }]);
            }
            Command::Append { value, .. } => bytes.extend(value),
            other => unreachable!("no read-modify-write: {other:?}"),
        }
        let length = bytes.len();
        self.ready(key, view.as_ref(), Type::String);
        self.emit(key, Kind::Assign(string_id(), Base::Text(bytes)));
        Ok(reply.unwrap_or_else(|| Reply::count(length)))
    }

    fn refuse_saturated(&mut self, key: &[u8], name: &[u8], shown: bool) -> Result<(), CommandError> {
        let past = shown && self.oracle.key(key).saturated.iter().any(|n| n == name);
        if past {
            Err(CommandError::Saturated)
        } else {
            Ok(())
        }
    }

    fn bump(&mut self, key: &[u8], view: Option<&View>, id: Id, by: i64, not: CommandError) -> Answer {
        self.refuse_saturated(key, &id.1, view.is_some())?;
        let old = match view.and_then(|v| bytes_of(v.elements.get(&id.1))) {
            None => 0,
            Some(text) => parse_i64(&text).ok_or(not)?,
        };
        let new = old.checked_add(by).ok_or(CommandError::Overflow)?;
        self.ready(key, view, id.0);
        self.emit(key, Kind::Inc(id, Exact::from_i64(by)));
        Ok(Reply::Integer(new))
    }

    fn bump_exactly(&mut self, key: &[u8], view: Option<&View>, id: Id, delta: Exact) -> Answer {
        self.ready(key, view, id.0);
        self.emit(key, Kind::Inc(id.clone(), delta));
        let seen = self.look(key).and_then(|v| v.elements.get(&id.1).cloned());
        Ok(match seen {
            Some(Seen::Score(score)) => Reply::Double(score),
            other => Reply::bytes(bytes_of(other.as_ref())),
        })
    }

    fn hash(&mut self, command: &Command) -> Answer {
        let (Command::HGet { key, .. }
        | Command::HGetAll { key }
        | Command::HSet { key, .. }
        | Command::HSetNx { key, .. }
        | Command::HDel { key, .. }
        | Command::HIncrBy { key, .. }
        | Command::HIncrByFloat { key, .. }) = command
        else {
            unreachable!("no hash command: {command:?}");
        };
        let view = self.typed(key, Type::Hash)?;
        let old = |f: &Vec<u8>| view.as_ref().and_then(|v| bytes_of(v.elements.get(f)));
        match command {
            Command::HGet { field, .. } => Ok(Reply::bytes(old(field))),
            Command::HGetAll { .. } => {
                let all = view.iter().flat_map(|v| &v.elements);
                Ok(array(all.flat_map(|(f, s)| {
                    [f.clone(), bytes_of(Some(s)).unwrap_or_default()]
                })))
            }
            Command::HSet { fields, .. } => {
                let new: BTreeSet<_> = fields
                    .iter()
                    .map(|(f, _)| f)
                    .filter(|f| old(f).is_none())
                    .collect();
                let count = new.len();
                self.ready(key, view.as_ref(), Type::Hash);
                for (f, value) in fields {
                    self.emit(
                        key,
                        Kind::Assign((Type::Hash, f.clone()), Base::Text(value.clone())),
                    );
                }
                Ok(Reply::count(count))
            }
            Command::HSetNx { field, value, .. } => {
                if old(field).is_some() {
                    return Ok(Reply::Integer(0));
                }
                self.ready(key, view.as_ref(), Type::Hash);
                self.emit(
                    key,
                    Kind::Assign((Type::Hash, field.clone()), Base::Text(value.clone())),
                );
                Ok(Reply::Integer(1))
            }
            Command::HDel { fields, .. } => self.remove_named(key, Type::Hash, fields),
            Command::HIncrBy { field, by, .. } => {
                let id = (Type::Hash, field.clone());
                self.bump(key, view.as_ref(), id, *by, CommandError::HashNotAnInteger)
            }
            Command::HIncrByFloat { field, by, .. } => {
                assert!(
                    LongDouble::parse(by).is_some(),
                    "histories increment by numbers only"
                );
                let now = old(field);
                self.refuse_saturated(key, field, view.is_some())?;
                let step = hincr_by_float(now.as_deref(), by).map_err(refused)?;
                self.bump_exactly(key, view.as_ref(), (Type::Hash, field.clone()), step.delta)
            }
            other => unreachable!("no hash command: {other:?}"),
        }
    }

    fn members(&mut self, key: &[u8]) -> Result<BTreeSet<Vec<u8>>, CommandError> {
        Ok(self
            .typed(key, Type::Set)?
            .map_or_else(BTreeSet::new, |v| v.elements.into_keys().collect()))
    }

    fn set(&mut self, command: &Command, real: Option<&Answer>) -> Answer {
        match command {
            Command::SMembers { key } => Ok(array(self.members(key)?)),
            Command::SIsMember { key, member } => Ok(Reply::flag(self.members(key)?.contains(member))),
            Command::SCard { key } => Ok(Reply::count(self.members(key)?.len())),
            Command::SAdd { key, members } => {
                let view = self.typed(key, Type::Set)?;
                let had = self.members(key)?;
                let new: BTreeSet<&Vec<u8>> = members.iter().filter(|m| !had.contains(*m)).collect();
                self.ready(key, view.as_ref(), Type::Set);
                for member in members {
                    self.emit(key, Kind::Add((Type::Set, member.clone())));
                }
                Ok(Reply::count(new.len()))
            }
            Command::SRem { key, members } => self.remove_named(key, Type::Set, members),
            Command::SPop { key, count } => {
                let had = self.members(key)?;
                let popped: Vec<Vec<u8>> = match real {
                    Some(Ok(Reply::Bytes(member))) => vec![member.clone()],
                    Some(Ok(Reply::Array(members))) => members
                        .iter()
                        .filter_map(|m| {
                            if let Reply::Bytes(m) = m {
                                Some(m.clone())
                            } else {
                                None
                            }
                        })
                        .collect(),
                    _ => Vec::new(),
                };
                let distinct: BTreeSet<Vec<u8>> = popped.iter().cloned().collect();
                let wanted = had.len().min(usize::try_from(count.unwrap_or(1)).unwrap_or(0));
                assert_eq!(
                    (popped.len(), distinct.len()),
                    (wanted, wanted),
                    "SPOP of {had:?}: {popped:?}"
                );
                assert!(distinct.is_subset(&had), "SPOP of {had:?}: {popped:?}");
                self.remove(key, Type::Set, distinct);
                Ok(if count.is_some() {
                    array(popped)
                } else {
                    Reply::bytes(popped.into_iter().next())
                })
            }
            Command::SMove { from, to, member } => {
                if self.look(from).is_none() {
                    return Ok(Reply::Integer(0));
                }
                let had = self.members(from)?;
                let target = self.typed(to, Type::Set)?;
                if !had.contains(member) {
                    return Ok(Reply::Integer(0));
                }
                if from != to {
                    self.ready(to, target.as_ref(), Type::Set);
                    self.remove(from, Type::Set, [member.clone()]);
                    self.emit(to, Kind::Add((Type::Set, member.clone())));
                }
                Ok(Reply::Integer(1))
            }
            Command::SStore { operation, to, keys } => self.store(*operation, to, keys),
            other => unreachable!("no set command: {other:?}"),
        }
    }

    fn store(&mut self, operation: SetOperation, to: &[u8], keys: &[Vec<u8>]) -> Answer {
        let mut sets = Vec::new();
        for key in keys {
            sets.push(self.members(key)?);
        }
        let first = sets.first().cloned().unwrap_or_default();
        let rest = sets.get(1..).unwrap_or_default();
        let result: BTreeSet<Vec<u8>> = match operation {
            SetOperation::Union => sets.iter().flatten().cloned().collect(),
            SetOperation::Intersection => first
                .into_iter()
                .filter(|m| rest.iter().all(|s| s.contains(m)))
                .collect(),
            SetOperation::Difference => first
                .into_iter()
                .filter(|m| !rest.iter().any(|s| s.contains(m)))
                .collect(),
        };
        let old = self.look(to);
        if !result.is_empty() {
            self.replace(to, old.as_ref(), Type::Set, Some(None));
        } else if let Some(old) = old {
            self.drop_key(to, &old);
        }
        for member in &result {
            self.emit(to, Kind::Add((Type::Set, member.clone())));
        }
        Ok(Reply::count(result.len()))
    }

    fn sorted_set(&mut self, command: &Command) -> Answer {
        match command {
            Command::ZScore { key, member } => {
                let view = self.typed(key, Type::SortedSet)?;
                let score = view.and_then(|v| score_of(v.elements.get(member)));
                Ok(score.map_or(Reply::Nil, Reply::Double))
            }
            Command::ZRangeWithScores { key } => Ok(flat(&ranked(self.typed(key, Type::SortedSet)?))),
            Command::ZAdd { key, flags, pairs } => self.zadd(key, *flags, pairs),
            Command::ZIncrBy {
                key,
                flags,
                by,
                member,
            } => {
                let view = self.typed(key, Type::SortedSet)?;
                let old = view.as_ref().and_then(|v| score_of(v.elements.get(member)));
                if (flags.nx && old.is_some()) || (flags.xx && old.is_none()) {
                    return Ok(Reply::Nil);
                }
                let (new, delta) = zincr(old, *by).map_err(|_| CommandError::IncrementNotFinite)?;
                if old.is_some_and(|old| (flags.gt && new <= old) || (flags.lt && new >= old)) {
                    return Ok(Reply::Nil);
                }
                self.bump_exactly(key, view.as_ref(), (Type::SortedSet, member.clone()), delta)
            }
            Command::ZRem { key, members } => self.remove_named(key, Type::SortedSet, members),
            Command::ZPop { key, end, count } => {
                let mut all = ranked(self.typed(key, Type::SortedSet)?);
                if *end == End::Max {
                    all.reverse();
                }
                all.truncate(usize::try_from(*count).unwrap_or(0));
                self.remove(key, Type::SortedSet, all.iter().map(|(_, m)| m.clone()));
                Ok(flat(&all))
            }
            other => unreachable!("no sorted-set command: {other:?}"),
        }
    }

    fn zadd(&mut self, key: &[u8], flags: ZAddFlags, pairs: &[(f64, Vec<u8>)]) -> Answer {
        let view = self.typed(key, Type::SortedSet)?;
        let mut now: BTreeMap<Vec<u8>, f64> = ranked(view.clone()).into_iter().map(|(s, m)| (m, s)).collect();
        let (mut added, mut changed, mut todo) = (0, 0, Vec::new());
        for (score, member) in pairs {
            let old = now.get(member).copied();
            let go = match old {
                None => !flags.xx,
                Some(old) => !flags.nx && !(flags.gt && *score <= old) && !(flags.lt && *score >= old),
            };
            if go {
                added += i64::from(old.is_none());
                changed += i64::from(old.is_none_or(|old| (old - score).abs() > 0.0));
                now.insert(member.clone(), *score);
                todo.push(Kind::Assign(
                    (Type::SortedSet, member.clone()),
                    Base::Score(*score),
                ));
            }
        }
        if !todo.is_empty() {
            self.ready(key, view.as_ref(), Type::SortedSet);
        }
        for kind in todo {
            self.emit(key, kind);
        }
        Ok(Reply::Integer(if flags.ch { changed } else { added }))
    }

    fn registers(&mut self, key: &[u8]) -> Result<Option<View>, CommandError> {
        match self.look(key) {
            Some(View { ty: Type::String, .. }) => Err(CommandError::NotAHyperLogLog),
            Some(View {
                ty: Type::HyperLogLog,
                ..
            })
            | None => Ok(self.look(key)),
            Some(_) => Err(CommandError::WrongType),
        }
    }

    fn joined(&mut self, keys: &[Vec<u8>]) -> Result<BTreeMap<Vec<u8>, u8>, CommandError> {
        let mut all = BTreeMap::new();
        for key in keys {
            for (name, seen) in self.registers(key)?.into_iter().flat_map(|v| v.elements) {
                if let Seen::Rank(rank) = seen {
                    let highest: &mut u8 = all.entry(name).or_default();
                    *highest = rank.max(*highest);
                }
            }
        }
        Ok(all)
    }

    fn hyperloglog(&mut self, command: &Command) -> Answer {
        match command {
            Command::PfAdd { key, elements } => {
                let view = self.registers(key)?;
                if elements.is_empty() {
                    return if view.is_some() {
                        Ok(Reply::Integer(0))
                    } else {
                        Err(CommandError::EmptyHyperLogLog)
                    };
                }
                let had = self.joined(std::slice::from_ref(key))?;
                self.ready(key, view.as_ref(), Type::HyperLogLog);
                for element in elements {
                    let (register, rank) = register_and_rank(element);
                    self.emit(
                        key,
                        Kind::Rank((Type::HyperLogLog, register.to_be_bytes().to_vec()), rank),
                    );
                }
                let has = self.joined(std::slice::from_ref(key))?;
                Ok(Reply::flag(view.is_none() || had != has))
            }
            Command::PfCount { keys } => Ok(Reply::Integer(estimate(self.joined(keys)?.into_values()))),
            Command::PfMerge { to, from } => {
                let view = self.registers(to)?;
                let all = self.joined(from)?;
                if view.is_none() && all.is_empty() {
                    return Err(CommandError::EmptyHyperLogLog);
                }
                if !all.is_empty() {
                    self.ready(to, view.as_ref(), Type::HyperLogLog);
                }
                for (name, rank) in all {
                    self.emit(to, Kind::Rank((Type::HyperLogLog, name), rank));
                }
                Ok(Reply::Ok)
            }
            other => unreachable!("no HyperLogLog command: {other:?}"),
        }
    }
}
