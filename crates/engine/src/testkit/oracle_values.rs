//! The [oracle](super::oracle)'s commands that write a whole value made of others: bitmaps, and what is stored of sorted
//! sets.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "the family is handed its own commands only; histories use some of their forms"
)]

use std::collections::BTreeMap;

use cartograph_crdt::Type;

use super::oracle::{Base, Kind};
use super::oracle_collections::{flat, ranked};
use super::oracle_commands::{Answer, Run, bytes_of, string_id};
use super::{Seen, View};
use crate::command::range::{Span, ZRange};
use crate::command::{
    BitField, BitFieldOperation, BitOperation, BitOverflow, Command, End, Reply, SetOperation, ZOperation,
};
use crate::error::CommandError;

type Ranked = Vec<(f64, Vec<u8>)>;

/// By rank, as histories ask: no negative ranks but -1.
fn in_range(mut all: Ranked, range: &ZRange) -> Ranked {
    if range.reverse {
        all.reverse();
    }
    let Span::Ranks { start, stop } = range.span else {
        unreachable!("histories take ranges by rank")
    };
    let stop = if stop < 0 { i64::MAX } else { stop };
    (0..)
        .zip(all)
        .filter(|(rank, _)| (start..=stop).contains(rank))
        .map(|(_, one)| one)
        .collect()
}

impl Run<'_> {
    fn text_of(&mut self, key: &[u8]) -> Result<(Option<View>, Vec<u8>), CommandError> {
        let view = self.typed(key, Type::String)?;
        let bytes = view.as_ref().and_then(|v| bytes_of(v.elements.get(&Vec::new())));
        Ok((view, bytes.unwrap_or_default()))
    }

    pub(super) fn whole_value(&mut self, command: &Command) -> Answer {
        match command {
            Command::BitField { key, operations } => self.bitfield(key, operations),
            Command::BitOp { operation, to, keys } => self.bitop(*operation, to, keys),
            Command::ZMPop { keys, end, count } => {
                for key in keys {
                    let mut all = ranked(self.typed(key, Type::SortedSet)?);
                    if all.is_empty() {
                        continue;
                    }
                    if *end == End::Max {
                        all.reverse();
                    }
                    all.truncate(usize::try_from(*count).unwrap_or(0));
                    self.remove(key, Type::SortedSet, all.iter().map(|(_, m)| m.clone()));
                    return Ok(Reply::Array(vec![Reply::Bytes(key.clone()), flat(&all)]));
                }
                Ok(Reply::Nil)
            }
            Command::ZRemRange { key, range } => {
                let gone = in_range(ranked(self.typed(key, Type::SortedSet)?), range);
                self.remove(key, Type::SortedSet, gone.iter().map(|(_, m)| m.clone()));
                Ok(Reply::count(gone.len()))
            }
            Command::ZRangeStore { to, from, range } => {
                let found = in_range(ranked(self.typed(from, Type::SortedSet)?), range);
                Ok(self.become_sorted_set(to, found))
            }
            Command::ZStore { to, operation } => {
                let found = self.combined(operation)?;
                Ok(self.become_sorted_set(to, found))
            }
            other => unreachable!("no command that writes a whole value: {other:?}"),
        }
    }

    /// Bytes: histories use `u8` at whole bytes.
    fn bitfield(&mut self, key: &[u8], operations: &[(BitField, BitFieldOperation)]) -> Answer {
        let (view, mut bytes) = self.text_of(key)?;
        let mut changed = false;
        let writes = operations.iter().filter(|(_, o)| *o != BitFieldOperation::Get);
        if let Some(last) = writes.map(|(field, _)| field.offset / 8).max() {
            let end = usize::try_from(last).unwrap_or(0) + 1;
            changed = bytes.len() < end;
            bytes.resize(bytes.len().max(end), 0);
        }
        let mut replies = Vec::new();
        for (field, operation) in operations {
            let at = usize::try_from(field.offset / 8).unwrap_or(0);
            let old = i64::from(bytes.get(at).copied().unwrap_or(0));
            let (new, how) = match operation {
                BitFieldOperation::Get => {
                    replies.push(Reply::Integer(old));
                    continue;
                }
                BitFieldOperation::Set(to, how) => (*to, *how),
                BitFieldOperation::IncrBy(by, how) => (old + by, *how),
            };
            let fitted = match how {
                BitOverflow::Fail if !(0..256).contains(&new) => {
                    replies.push(Reply::Nil);
                    continue;
                }
                BitOverflow::Saturate => new.clamp(0, 255),
                BitOverflow::Wrap | BitOverflow::Fail => new.rem_euclid(256),
            };
            bytes.splice(at..=at, [u8::try_from(fitted).unwrap_or(0)]);
            changed = true;
            replies.push(Reply::Integer(match operation {
                BitFieldOperation::IncrBy(..) => fitted,
                _ => old,
            }));
        }
        if changed {
            self.ready(key, view.as_ref(), Type::String);
            self.emit(key, Kind::Assign(string_id(), Base::Text(bytes)));
        }
        Ok(Reply::Array(replies))
    }

    fn bitop(&mut self, operation: BitOperation, to: &[u8], keys: &[Vec<u8>]) -> Answer {
        let mut texts = Vec::new();
        for key in keys {
            texts.push(self.text_of(key)?.1);
        }
        let length = texts.iter().map(Vec::len).max().unwrap_or(0);
        let at = |text: &Vec<u8>, i: usize| text.get(i).copied().unwrap_or(0);
        let one = |i: usize| {
            let bytes = texts.iter().map(|text| at(text, i));
            match operation {
                BitOperation::And => bytes.fold(0xff, |a, b| a & b),
                BitOperation::Or => bytes.fold(0, |a, b| a | b),
                BitOperation::Xor => bytes.fold(0, |a, b| a ^ b),
                BitOperation::Not => !bytes.fold(0, |a, b| a | b),
            }
        };
        let result: Vec<u8> = (0..length).map(one).collect();
        match self.look(to) {
            Some(old) if result.is_empty() => self.drop_key(to, &old),
            None if result.is_empty() => {}
            old => {
                self.replace(to, old.as_ref(), Type::String, Some(None));
                self.emit(to, Kind::Assign(string_id(), Base::Text(result)));
            }
        }
        Ok(Reply::count(length))
    }

    fn scores_of(&mut self, key: &[u8]) -> Result<BTreeMap<Vec<u8>, f64>, CommandError> {
        match self.look(key) {
            None => Ok(BTreeMap::new()),
            Some(view) if matches!(view.ty, Type::Set | Type::SortedSet) => {
                let score = |seen: &Seen| match seen {
                    Seen::Score(score) => *score,
                    _ => 1.0,
                };
                Ok(view.elements.iter().map(|(m, s)| (m.clone(), score(s))).collect())
            }
            Some(_) => Err(CommandError::WrongType),
        }
    }

    /// Of two keys, their scores added up.
    fn combined(&mut self, operation: &ZOperation) -> Result<Ranked, CommandError> {
        let mut sources = Vec::new();
        for (key, _) in &operation.sources {
            sources.push(self.scores_of(key)?);
        }
        let mut all: BTreeMap<Vec<u8>, Vec<f64>> = BTreeMap::new();
        for source in &sources {
            for (member, score) in source {
                all.entry(member.clone()).or_default().push(*score);
            }
        }
        let first = |member: &Vec<u8>| sources.first().and_then(|s| s.get(member)).copied();
        let keep = |(member, scores): (Vec<u8>, Vec<f64>)| {
            let sum: f64 = scores.iter().sum();
            match operation.operation {
                SetOperation::Union => Some((sum, member)),
                SetOperation::Intersection => (scores.len() == sources.len()).then_some((sum, member)),
                SetOperation::Difference => first(&member).filter(|_| scores.len() == 1).map(|s| (s, member)),
            }
        };
        Ok(all.into_iter().filter_map(keep).collect())
    }

    fn become_sorted_set(&mut self, to: &[u8], members: Ranked) -> Reply {
        match self.look(to) {
            Some(old) if members.is_empty() => self.drop_key(to, &old),
            None if members.is_empty() => {}
            old => self.replace(to, old.as_ref(), Type::SortedSet, Some(None)),
        }
        let count = members.len();
        for (score, member) in members {
            self.emit(to, Kind::Assign((Type::SortedSet, member), Base::Score(score)));
        }
        Reply::count(count)
    }
}
