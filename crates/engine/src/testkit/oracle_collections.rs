//! The [oracle](super::oracle)'s commands on hashes, sets, sorted sets and HyperLogLogs.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "each family is handed its own commands only"
)]

use std::collections::{BTreeMap, BTreeSet};

use cartograph_crdt::Type;

use super::oracle::{Base, Kind};
use super::oracle_commands::{Answer, Run, bytes_of};
use super::{Seen, View};
use crate::command::{Command, End, Reply, SetOperation, ZAddFlags};
use crate::commands::hyperloglog::{estimate, register_and_rank};
use crate::commands::numbers::refused;
use crate::error::CommandError;
use crate::number::{LongDouble, hincr_by_float, zincr};

fn score_of(seen: Option<&Seen>) -> Option<f64> {
    match seen {
        Some(Seen::Score(score)) => Some(*score),
        _ => None,
    }
}

/// By score, then by member.
pub(super) fn ranked(view: Option<View>) -> Vec<(f64, Vec<u8>)> {
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

pub(super) fn flat(ranked: &[(f64, Vec<u8>)]) -> Reply {
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
    pub(super) fn hash(&mut self, command: &Command) -> Answer {
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
                Ok(self.bump_float(key, view.as_ref(), (Type::Hash, field.clone()), step))
            }
            other => unreachable!("no hash command: {other:?}"),
        }
    }

    fn members(&mut self, key: &[u8]) -> Result<BTreeSet<Vec<u8>>, CommandError> {
        Ok(self
            .typed(key, Type::Set)?
            .map_or_else(BTreeSet::new, |v| v.elements.into_keys().collect()))
    }

    pub(super) fn set(&mut self, command: &Command, real: Option<&Answer>) -> Answer {
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

    pub(super) fn sorted_set(&mut self, command: &Command) -> Answer {
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
                let id = (Type::SortedSet, member.clone());
                if old.is_none() && *by == 0.0 && by.is_sign_negative() {
                    // A sum has no negative zero: it is written.
                    self.ready(key, view.as_ref(), Type::SortedSet);
                    self.emit(key, Kind::Assign(id, Base::Score(*by)));
                    return Ok(Reply::Double(*by));
                }
                Ok(self.bump_exactly(key, view.as_ref(), id, delta))
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
                Some(old) => !(flags.nx || flags.gt && *score <= old || flags.lt && *score >= old),
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

    pub(super) fn hyperloglog(&mut self, command: &Command) -> Answer {
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
