//! Redis's commands, as far as histories need them: each looks at what its region shows and says what it means.
//!
//! This is the translation of docs/semantics.md ("Effects"): a write that finds no key creates it, a removal that
//! empties a key is a delete, a write that leaves the expiry alone restates it, and so on.

use super::cluster::{Cluster, Writing};
use super::model::{Elem, KeyState, Kind, number};
use crate::effect::{Score, Type, Value};
use crate::exact::Exact;

/// What SET does with the expiry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ttl {
    /// None: never expires.
    Never,
    /// KEEPTTL.
    Keep,
    /// PX.
    In(u64),
}

/// What a replaced key does with the expiry that it had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Replaced {
    Keeping,
    With(Option<u64>),
}

/// One command. Elements are named by small numbers, values too.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "the names are Redis's, the fields say what they are")]
pub enum Command {
    Set {
        key: usize,
        value: i64,
        ttl: Ttl,
    },
    /// A value that is no number.
    SetText {
        key: usize,
        value: u8,
    },
    Append {
        key: usize,
        text: u8,
    },
    IncrBy {
        key: usize,
        by: i64,
    },
    HSet {
        key: usize,
        fields: Vec<(u16, i64)>,
    },
    HSetText {
        key: usize,
        field: u16,
        text: u8,
    },
    HIncrBy {
        key: usize,
        field: u16,
        by: i64,
    },
    /// By halves, so that sums are fractions.
    HIncrByFloat {
        key: usize,
        field: u16,
        halves: i64,
    },
    HDel {
        key: usize,
        fields: Vec<u16>,
    },
    /// The cart's add: clears a debt first, stops at what is visible.
    CartAdd {
        key: usize,
        field: u16,
        by: i64,
    },
    SAdd {
        key: usize,
        members: Vec<u16>,
    },
    SRem {
        key: usize,
        members: Vec<u16>,
    },
    SPop {
        key: usize,
    },
    /// SUNIONSTORE and its like: the key becomes this set.
    Store {
        key: usize,
        members: Vec<u16>,
    },
    ZAdd {
        key: usize,
        member: u16,
        score: i64,
    },
    ZAddInfinity {
        key: usize,
        member: u16,
    },
    ZIncrBy {
        key: usize,
        member: u16,
        by: i64,
    },
    ZRem {
        key: usize,
        member: u16,
    },
    PfAdd {
        key: usize,
        register: u16,
        rank: u8,
    },
    Del {
        key: usize,
    },
    Expire {
        key: usize,
        after: u64,
    },
    Persist {
        key: usize,
    },
    Revoke {
        key: usize,
    },
    Rename {
        from: usize,
        to: usize,
    },
    Copy {
        from: usize,
        to: usize,
    },
    /// Folds a cart into another, in one entry.
    Fold {
        from: usize,
        to: usize,
    },
}

fn text(value: &impl ToString) -> Value {
    Value::Bytes(value.to_string().into_bytes())
}

fn elem(ty: Type, name: u16) -> Elem {
    Elem { ty, name }
}

const STRING: Elem = Elem {
    ty: Type::String,
    name: 0,
};

impl Cluster {
    /// Runs one command at a region, as part of the entry being written.
    pub(super) fn command(&mut self, w: &mut Writing, command: &Command) {
        match command {
            Command::Set { key, value, ttl } => self.set(w, *key, text(value), *ttl),
            Command::SetText { key, value } => {
                self.set(w, *key, text(&char::from(b'p' + value % 8)), Ttl::Never);
            }
            Command::Append { key, text: added } => {
                if let Ok(v) = self.look_as(w, *key, Type::String) {
                    let mut new = match v.as_ref().and_then(|v| v.elements.first()) {
                        Some((_, e)) => match &e.base {
                            Some(Value::Bytes(b)) => b.clone(),
                            _ => b"n".to_vec(),
                        },
                        None => Vec::new(),
                    };
                    new.truncate(3);
                    new.push(b'x' + added % 3);
                    self.ready(w, *key, v.as_ref(), Type::String);
                    self.emit(w, *key, Kind::Assign(STRING, Value::Bytes(new)));
                }
            }
            Command::IncrBy { key, by } => self.increment(w, *key, STRING, Exact::from_i64(*by)),
            Command::HIncrBy { key, field, by } => {
                self.increment(w, *key, elem(Type::Hash, *field), Exact::from_i64(*by));
            }
            Command::HIncrByFloat { key, field, halves } => {
                let by = Exact::from_scaled(&(*halves).into(), -1, 0).expect("a half is in bounds");
                self.increment(w, *key, elem(Type::Hash, *field), by);
            }
            Command::ZIncrBy { key, member, by } => {
                self.increment(w, *key, elem(Type::SortedSet, *member), Exact::from_i64(*by));
            }
            Command::HSet { key, fields } => {
                let values = fields.iter().map(|(f, v)| (elem(Type::Hash, *f), text(v)));
                self.assign(w, *key, Type::Hash, values.collect());
            }
            Command::HSetText { key, field, text: t } => {
                self.assign(
                    w,
                    *key,
                    Type::Hash,
                    vec![(elem(Type::Hash, *field), text(&char::from(b'p' + t % 8)))],
                );
            }
            Command::ZAdd { key, member, score } => {
                #[expect(clippy::cast_precision_loss, reason = "small numbers")]
                let score = Score::new(*score as f64).expect("a number");
                self.assign(
                    w,
                    *key,
                    Type::SortedSet,
                    vec![(elem(Type::SortedSet, *member), Value::Score(score))],
                );
            }
            Command::ZAddInfinity { key, member } => {
                let score = Score::new(f64::INFINITY).expect("a number");
                self.assign(
                    w,
                    *key,
                    Type::SortedSet,
                    vec![(elem(Type::SortedSet, *member), Value::Score(score))],
                );
            }
            Command::HDel { key, fields } => self.remove(w, *key, Type::Hash, fields),
            Command::SRem { key, members } => self.remove(w, *key, Type::Set, members),
            Command::ZRem { key, member } => self.remove(w, *key, Type::SortedSet, &[*member]),
            Command::SPop { key } => {
                if let Ok(Some(v)) = self.look_as(w, *key, Type::Set)
                    && let Some((e, _)) = v.of(Type::Set).next()
                {
                    self.remove(w, *key, Type::Set, &[e.name]);
                }
            }
            Command::CartAdd { key, field, by } => self.cart_add(w, *key, *field, *by),
            Command::SAdd { key, members } => {
                if let Ok(v) = self.look_as(w, *key, Type::Set) {
                    self.ready(w, *key, v.as_ref(), Type::Set);
                    for m in members {
                        self.emit(w, *key, Kind::Add(elem(Type::Set, *m)));
                    }
                }
            }
            Command::Store { key, members } => {
                let v = self.look(w, *key);
                self.replace(w, *key, v.as_ref(), Type::Set, Replaced::With(None));
                for m in members {
                    self.emit(w, *key, Kind::Add(elem(Type::Set, *m)));
                }
            }
            Command::PfAdd { key, register, rank } => {
                if let Ok(v) = self.look_as(w, *key, Type::HyperLogLog) {
                    self.ready(w, *key, v.as_ref(), Type::HyperLogLog);
                    self.emit(w, *key, Kind::Rank(elem(Type::HyperLogLog, *register), *rank));
                }
            }
            Command::Del { key } => {
                if let Some(v) = self.look(w, *key) {
                    self.drop_key(w, *key, &v);
                }
            }
            Command::Expire { key, after } => {
                if let Some(v) = self.look(w, *key) {
                    if *after == 0 {
                        self.drop_key(w, *key, &v);
                    } else {
                        let at = self.regions[w.region].clock() + after;
                        self.emit(w, *key, Kind::Expire(Some(at)));
                    }
                }
            }
            Command::Persist { key } => {
                if self.look(w, *key).is_some() {
                    self.emit(w, *key, Kind::Expire(None));
                }
            }
            Command::Revoke { key } => self.emit(w, *key, Kind::Revoke),
            Command::Rename { from, to } => self.copy(w, *from, *to, true),
            Command::Copy { from, to } => self.copy(w, *from, *to, false),
            Command::Fold { from, to } => self.fold(w, *from, *to),
        }
    }

    /// The key as shown; an error where it shows another type.
    fn look_as(&mut self, w: &Writing, key: usize, ty: Type) -> Result<Option<KeyState>, ()> {
        match self.look(w, key) {
            Some(v) if v.shown != Some(ty) => Err(()),
            v => Ok(v),
        }
    }

    /// Before a write to an element: makes the key, or restates the expiry that it has.
    fn ready(&mut self, w: &mut Writing, key: usize, v: Option<&KeyState>, ty: Type) {
        match v {
            None => {
                self.emit(w, key, Kind::Delete);
                self.emit(w, key, Kind::Create(ty));
                self.emit(w, key, Kind::Expire(None));
            }
            Some(v) => {
                if let Some(at) = v.expiry {
                    self.emit(w, key, Kind::Restate(at));
                }
            }
        }
    }

    fn drop_key(&mut self, w: &mut Writing, key: usize, v: &KeyState) {
        if v.shown == Some(Type::HyperLogLog) {
            self.emit(w, key, Kind::Wipe);
        }
        self.emit(w, key, Kind::Delete);
    }

    /// The key becomes something else.
    fn replace(&mut self, w: &mut Writing, key: usize, v: Option<&KeyState>, ty: Type, ttl: Replaced) {
        if v.is_some_and(|v| v.shown == Some(Type::HyperLogLog)) {
            self.emit(w, key, Kind::Wipe);
        }
        self.emit(
            w,
            key,
            if ttl == Replaced::Keeping {
                Kind::Clear
            } else {
                Kind::Delete
            },
        );
        self.emit(w, key, Kind::Create(ty));
        match ttl {
            Replaced::With(at) => self.emit(w, key, Kind::Expire(at)),
            Replaced::Keeping => {
                if let Some(at) = v.and_then(|v| v.expiry) {
                    self.emit(w, key, Kind::Restate(at));
                }
            }
        }
    }

    fn set(&mut self, w: &mut Writing, key: usize, value: Value, ttl: Ttl) {
        let v = self.look(w, key);
        let ttl = match ttl {
            Ttl::Keep if v.is_some() => Replaced::Keeping,
            Ttl::Keep | Ttl::Never => Replaced::With(None),
            Ttl::In(ms) => Replaced::With(Some(self.regions[w.region].clock() + ms)),
        };
        self.replace(w, key, v.as_ref(), Type::String, ttl);
        self.emit(w, key, Kind::Assign(STRING, value));
    }

    fn assign(&mut self, w: &mut Writing, key: usize, ty: Type, values: Vec<(Elem, Value)>) {
        if let Ok(v) = self.look_as(w, key, ty) {
            self.ready(w, key, v.as_ref(), ty);
            for (e, value) in values {
                self.emit(w, key, Kind::Assign(e, value));
            }
        }
    }

    fn increment(&mut self, w: &mut Writing, key: usize, e: Elem, by: Exact) {
        let Ok(v) = self.look_as(w, key, e.ty) else { return };
        let old = v.as_ref().and_then(|v| v.elements.iter().find(|(o, _)| *o == e));
        if old.is_some_and(|(_, s)| s.base.as_ref().is_some_and(|b| number(b).is_none()))
            && e.ty != Type::SortedSet
        {
            return;
        }
        self.ready(w, key, v.as_ref(), e.ty);
        self.emit(w, key, Kind::Inc(e, by));
    }

    fn remove(&mut self, w: &mut Writing, key: usize, ty: Type, names: &[u16]) {
        let Ok(Some(v)) = self.look_as(w, key, ty) else {
            return;
        };
        let mut gone: Vec<Elem> = v
            .of(ty)
            .map(|(e, _)| *e)
            .filter(|e| names.contains(&e.name))
            .collect();
        gone.dedup();
        for e in &gone {
            self.emit(w, key, Kind::Remove(*e));
        }
        if !gone.is_empty() && self.look(w, key).is_none() {
            self.emit(w, key, Kind::Delete);
        }
    }

    fn cart_add(&mut self, w: &mut Writing, key: usize, field: u16, by: i64) {
        let Ok(v) = self.look_as(w, key, Type::Hash) else {
            return;
        };
        let e = elem(Type::Hash, field);
        let line = v.as_ref().and_then(|v| v.elements.iter().find(|(o, _)| *o == e));
        let quantity = line.map(|(_, s)| {
            let base = s
                .base
                .as_ref()
                .map(|b| number(b).unwrap_or_default())
                .unwrap_or_default();
            (base + s.increments.clone().unwrap_or_default())
                .to_i64_saturating()
                .0
        });
        let visible = quantity.unwrap_or(0).max(0);
        let by = if by < 0 { -(-by).min(visible) } else { by };
        if by == 0 {
            return;
        }
        if by < 0 && visible + by == 0 {
            return self.remove(w, key, Type::Hash, &[field]);
        }
        self.ready(w, key, v.as_ref(), Type::Hash);
        if quantity.is_some_and(|q| q <= 0) {
            self.emit(w, key, Kind::Remove(e));
        }
        self.emit(w, key, Kind::Inc(e, Exact::from_i64(by)));
    }

    fn copy(&mut self, w: &mut Writing, from: usize, to: usize, rename: bool) {
        if from == to {
            return;
        }
        let Some(v) = self.look(w, from) else { return };
        let old = self.look(w, to);
        let ty = v.shown.expect("something is shown");
        self.replace(w, to, old.as_ref(), ty, Replaced::With(v.expiry));
        for (e, s) in v.of(ty) {
            let kind = match ty {
                Type::Set => Kind::Add(*e),
                Type::HyperLogLog => Kind::Rank(*e, s.rank),
                Type::SortedSet => Kind::Assign(
                    *e,
                    Value::Score(shown_score(s.base.as_ref(), s.increments.as_ref())),
                ),
                Type::String | Type::Hash => {
                    Kind::Assign(*e, shown_value(s.base.as_ref(), s.increments.as_ref()))
                }
            };
            self.emit(w, to, kind);
        }
        if rename {
            self.drop_key(w, from, &v);
        }
    }

    fn fold(&mut self, w: &mut Writing, from: usize, to: usize) {
        if from == to {
            return;
        }
        let Ok(Some(source)) = self.look_as(w, from, Type::Hash) else {
            return;
        };
        let Ok(target) = self.look_as(w, to, Type::Hash) else {
            return;
        };
        let numeric = |s: &super::model::ElementState| s.base.as_ref().is_none_or(|b| number(b).is_some());
        let lines: Vec<Elem> = source
            .of(Type::Hash)
            .filter(|(_, s)| numeric(s))
            .map(|(e, _)| *e)
            .collect();
        if lines.is_empty() {
            return;
        }
        self.ready(w, to, target.as_ref(), Type::Hash);
        for e in &lines {
            let what = self.foldable(w, from, *e);
            self.emit_import(w, to, *e, what, from);
        }
        let names: Vec<u16> = lines.iter().map(|e| e.name).collect();
        self.remove(w, from, Type::Hash, &names);
    }
}

fn shown_value(base: Option<&Value>, increments: Option<&Exact>) -> Value {
    match (base, increments) {
        (Some(base), Some(sum)) => match number(base) {
            Some(n) => text(&(n + sum.clone()).to_i64_saturating().0),
            None => base.clone(),
        },
        (Some(base), None) => base.clone(),
        (None, sum) => text(&sum.cloned().unwrap_or_default().to_i64_saturating().0),
    }
}

fn shown_score(base: Option<&Value>, increments: Option<&Exact>) -> Score {
    let base = match base {
        Some(Value::Score(s)) => s.get(),
        _ => 0.0,
    };
    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    let added = increments.cloned().unwrap_or_default().to_i64_saturating().0 as f64;
    Score::new(base + added).expect("an infinity and a finite number are no NaN")
}
