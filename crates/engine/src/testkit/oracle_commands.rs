//! Redis's commands for the [oracle](super::oracle): each reads the whole view of its keys, and appends operations.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "each family is handed its own commands only"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use cartograph_crdt::{Exact, Hlc, Type};

use super::oracle::{Base, Id, Kind, Operation, Oracle, Written};
use super::{Seen, View};
use crate::command::{Command, Condition, Reply, SetExpiry, When};
use crate::commands::numbers::refused;
use crate::error::CommandError;
use crate::number::{FloatIncrement, incr_by_float, parse_i64};

/// A command's reply, or why it was refused.
pub(super) type Answer = Result<Reply, CommandError>;

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

/// One entry being written.
pub(super) struct Run<'a> {
    pub(super) oracle: &'a mut Oracle,
    dot: (u16, u64),
    seen: Rc<BTreeMap<u16, u64>>,
    hlc: Hlc,
    now: u64,
    operations: Vec<(Vec<u8>, Operation)>,
}

pub(super) fn bytes_of(seen: Option<&Seen>) -> Option<Vec<u8>> {
    match seen {
        Some(Seen::Bytes(bytes)) => Some(bytes.clone()),
        _ => None,
    }
}

pub(super) fn string_id() -> Id {
    (Type::String, Vec::new())
}

impl Run<'_> {
    pub(super) fn emit(&mut self, key: &[u8], kind: Kind) {
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

    pub(super) fn look(&mut self, key: &[u8]) -> Option<View> {
        self.oracle.view(key, self.now)
    }

    pub(super) fn typed(&mut self, key: &[u8], ty: Type) -> Result<Option<View>, CommandError> {
        match self.look(key) {
            Some(view) if view.ty == Type::HyperLogLog && ty == Type::String => {
                Err(CommandError::HyperLogLogAsString)
            }
            Some(view) if view.ty != ty => Err(CommandError::WrongType),
            view => Ok(view),
        }
    }

    pub(super) fn ready(&mut self, key: &[u8], view: Option<&View>, ty: Type) {
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

    pub(super) fn drop_key(&mut self, key: &[u8], view: &View) {
        if view.ty == Type::HyperLogLog {
            self.emit(key, Kind::Wipe);
        }
        self.emit(key, Kind::Del);
    }

    /// `expiry`: `None` keeps it.
    #[expect(clippy::option_option, reason = "an expiry, none, or the one it has")]
    pub(super) fn replace(&mut self, key: &[u8], view: Option<&View>, ty: Type, expiry: Option<Option<u64>>) {
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

    pub(super) fn remove(&mut self, key: &[u8], ty: Type, names: impl IntoIterator<Item = Vec<u8>>) {
        let mut any = false;
        for name in names {
            self.emit(key, Kind::Rem((ty, name)));
            any = true;
        }
        if any && self.look(key).is_none() {
            self.emit(key, Kind::Del);
        }
    }

    pub(super) fn remove_named(&mut self, key: &[u8], ty: Type, names: &[Vec<u8>]) -> Answer {
        let view = self.typed(key, ty)?;
        let there = |n: &&Vec<u8>| view.as_ref().is_some_and(|v| v.elements.contains_key(*n));
        let gone: BTreeSet<Vec<u8>> = names.iter().filter(there).cloned().collect();
        let count = gone.len();
        self.remove(key, ty, gone);
        Ok(Reply::count(count))
    }

    fn command(&mut self, command: &Command, real: Option<&Answer>) -> Answer {
        match command {
            Command::Del { .. }
            | Command::Exists { .. }
            | Command::Type { .. }
            | Command::Pttl { .. }
            | Command::Expire { .. }
            | Command::Persist { .. }
            | Command::Rename { .. }
            | Command::Copy { .. }
            | Command::Revoke { .. } => self.on_key(command),
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
            Command::BitField { .. }
            | Command::BitOp { .. }
            | Command::ZMPop { .. }
            | Command::ZRemRange { .. }
            | Command::ZRangeStore { .. }
            | Command::ZStore { .. } => self.whole_value(command),
            other => self.set(other, real),
        }
    }

    fn on_key(&mut self, command: &Command) -> Answer {
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
            other => unreachable!("no command on keys: {other:?}"),
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
            Command::Set { .. } => self.set_string(command),
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
                Ok(self.bump_float(key, view.as_ref(), string_id(), step))
            }
            other => self.rewrite(other),
        }
    }

    fn set_string(&mut self, command: &Command) -> Answer {
        let text = |view: &Option<View>| view.as_ref().and_then(|v| bytes_of(v.elements.get(&Vec::new())));
        match command {
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
            other => unreachable!("no SET: {other:?}"),
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

    pub(super) fn refuse_saturated(
        &mut self,
        key: &[u8],
        name: &[u8],
        shown: bool,
    ) -> Result<(), CommandError> {
        let past = shown && self.oracle.key(key).saturated.iter().any(|n| n == name);
        if past {
            Err(CommandError::Saturated)
        } else {
            Ok(())
        }
    }

    pub(super) fn bump(
        &mut self,
        key: &[u8],
        view: Option<&View>,
        id: Id,
        by: i64,
        not: CommandError,
    ) -> Answer {
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

    /// A sum that leaves the 64-bit range is a value.
    pub(super) fn bump_float(
        &mut self,
        key: &[u8],
        view: Option<&View>,
        id: Id,
        step: FloatIncrement,
    ) -> Reply {
        if !step.leaves_range {
            return self.bump_exactly(key, view, id, step.delta);
        }
        self.ready(key, view, id.0);
        let text = step.shown.into_bytes();
        self.emit(key, Kind::Assign(id, Base::Text(text.clone())));
        Reply::Bytes(text)
    }

    pub(super) fn bump_exactly(&mut self, key: &[u8], view: Option<&View>, id: Id, delta: Exact) -> Reply {
        self.ready(key, view, id.0);
        let name = id.1.clone();
        self.emit(key, Kind::Inc(id, delta));
        let seen = self.look(key).and_then(|v| v.elements.get(&name).cloned());
        match seen {
            Some(Seen::Score(score)) => Reply::Double(score),
            other => Reply::bytes(bytes_of(other.as_ref())),
        }
    }
}
