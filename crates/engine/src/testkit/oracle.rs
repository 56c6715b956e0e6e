//! The conflict rules a second time, as a declarative specification over happens-before.
//!
//! A replica here is the set of operations that it has applied, nothing else. An operation is what a command did, with
//! what its writer had seen (a version vector) and a clock reading; happens-before is read off the vectors. What a key
//! shows is computed from that set, with no other memory: an operation counts unless another one kills it.
//! Nothing is ever forgotten, so there is no garbage, no cell and no baseline to get wrong; joining two replicas is the
//! union of their sets. `kills` and [`Key`] are the whole of docs/semantics.md; `super::oracle_commands` only
//! translates Redis.
//!
//! Number texts and the hash of a HyperLogLog's elements are the engine's own: they are compared with a real Redis
//! elsewhere.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "rules name what they are about, and nothing else"
)]

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::rc::Rc;

use cartograph_crdt::{Exact, Hlc, Type};

use super::{Seen, View};
use crate::number::{parse_number, show_number, show_score};

/// An element: its type and name.
pub type Id = (Type, Vec<u8>);

/// A register's value.
#[derive(Clone, Debug, PartialEq)]
pub enum Base {
    /// A string's or field's.
    Text(Vec<u8>),
    /// A score.
    Score(f64),
}

/// What an operation does.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "they are the effects of docs/semantics.md")]
pub enum Kind {
    Add(Id),
    Rank(Id, u8),
    Assign(Id, Base),
    Inc(Id, Exact),
    /// What was folded in: for each increment its name, which says where it was made and the way it took, and amount.
    Import(Id, Vec<(Vec<u8>, Exact)>),
    Rem(Id),
    Del,
    Clear,
    Expire(Option<u64>),
    Restate(u64),
    Create(Type),
    Revoke,
    Wipe,
}

impl Kind {
    /// The element that it makes exist. (Imports have a rule of their own.)
    fn state(&self) -> Option<&Id> {
        match self {
            Kind::Add(id) | Kind::Rank(id, _) | Kind::Assign(id, _) | Kind::Inc(id, _) => Some(id),
            Kind::Import(..)
            | Kind::Rem(_)
            | Kind::Del
            | Kind::Clear
            | Kind::Expire(_)
            | Kind::Restate(_)
            | Kind::Create(_)
            | Kind::Revoke
            | Kind::Wipe => None,
        }
    }
}

/// An operation in its place.
#[derive(Clone, Debug)]
pub struct Operation {
    /// Its writer's region, and its entry.
    pub dot: (u16, u64),
    /// Its place in the entry.
    pub index: usize,
    /// Everything that its writer had applied, its own entries included.
    pub seen: Rc<BTreeMap<u16, u64>>,
    /// The entry's clock reading.
    pub hlc: Hlc,
    /// What it does.
    pub kind: Kind,
}

/// Did `a` happen before `b`: had `b`'s writer seen it?
fn before(a: &Operation, b: &Operation) -> bool {
    if a.dot == b.dot {
        return a.index < b.index;
    }
    b.seen.get(&a.dot.0).is_some_and(|seen| a.dot.1 <= *seen)
}

/// Does `x` cancel `o`, an operation on the same key?
fn kills(x: &Operation, o: &Operation) -> bool {
    match &x.kind {
        Kind::Revoke => !std::ptr::eq(x, o) && !before(x, o),
        Kind::Wipe => o.kind.state().is_some_and(|id| id.0 == Type::HyperLogLog) && !before(x, o),
        _ if !before(o, x) => false,
        Kind::Del => true,
        Kind::Clear => o.kind.state().is_some(),
        Kind::Rem(id) => o.kind.state() == Some(id),
        Kind::Assign(id, _) => {
            matches!(&o.kind, Kind::Assign(other, _) | Kind::Inc(other, _) if other == id)
        }
        Kind::Expire(_) => matches!(o.kind, Kind::Expire(_) | Kind::Restate(_)),
        Kind::Restate(_) => matches!(o.kind, Kind::Restate(_)),
        Kind::Create(_) => matches!(o.kind, Kind::Create(_)),
        Kind::Add(_) | Kind::Rank(..) | Kind::Inc(..) | Kind::Import(..) => false,
    }
}

/// The order of two concurrent writes.
fn rank(o: &Operation) -> (Hlc, Reverse<u16>) {
    (o.hlc, Reverse(o.dot.0))
}

/// Does `x` take back what it had seen folded into the element?
fn takes_back(x: &Operation, id: &Id) -> bool {
    match &x.kind {
        Kind::Del | Kind::Clear => true,
        Kind::Rem(other) | Kind::Assign(other, _) => other == id,
        _ => false,
    }
}

/// What was folded into each element and counts: an increment counts once, however many imports brought it, and never
/// again once somebody has taken it back who had seen one of them.
fn imported(operations: &[Operation]) -> BTreeMap<Id, BTreeMap<Vec<u8>, Exact>> {
    let (mut alive, mut dead) = (BTreeMap::<Id, BTreeMap<Vec<u8>, Exact>>::new(), Vec::new());
    let revoked = |o: &Operation| operations.iter().any(|x| x.kind == Kind::Revoke && !before(x, o));
    for o in operations {
        if let Kind::Import(id, all) = &o.kind
            && !revoked(o)
        {
            let gone = operations.iter().any(|x| takes_back(x, id) && before(o, x));
            for (name, amount) in all {
                alive
                    .entry(id.clone())
                    .or_default()
                    .insert(name.clone(), amount.clone());
                dead.extend(gone.then(|| (id.clone(), name.clone())));
            }
        }
    }
    for (id, name) in dead {
        if let Some(all) = alive.get_mut(&id) {
            all.remove(&name);
        }
    }
    alive.retain(|_, all| !all.is_empty());
    alive
}

/// What an element is made of.
#[derive(Clone, Debug, Default)]
pub struct Parts {
    /// The live operations.
    pub operations: Vec<Operation>,
    /// What was folded in, by name.
    pub imported: BTreeMap<Vec<u8>, Exact>,
}

/// One key, computed from the operations on it.
#[derive(Debug)]
pub struct Key {
    /// What it shows while its expiry has not passed.
    pub view: Option<View>,
    /// Elements of the shown type that are shown at the end of their range.
    pub saturated: Vec<Vec<u8>>,
    /// What every element is made of.
    pub parts: BTreeMap<Id, Parts>,
}

impl Key {
    /// What these operations make of a key.
    pub fn new(operations: &[Operation]) -> Self {
        let killed = |o: &&Operation| !operations.iter().any(|x| kills(x, o));
        let live: Vec<&Operation> = operations.iter().filter(killed).collect();
        let mut parts: BTreeMap<Id, Parts> = BTreeMap::new();
        for o in &live {
            if let Some(id) = o.kind.state() {
                parts.entry(id.clone()).or_default().operations.push((*o).clone());
            }
        }
        for (id, all) in imported(operations) {
            parts.entry(id).or_default().imported = all;
        }
        let mark = |ty: Type| {
            let marks = live.iter().filter(move |o| o.kind == Kind::Create(ty));
            marks.map(|o| rank(o)).max()
        };
        let types = parts.keys().map(|id| id.0);
        let shown = types.max_by_key(|ty| (mark(*ty), Reverse(ty.index())));
        let (mut seen, mut saturated) = (BTreeMap::new(), Vec::new());
        for ((_, name), of) in parts.iter().filter(|(id, _)| Some(id.0) == shown) {
            let (value, past) = show(shown.unwrap_or(Type::String), of);
            if past {
                saturated.push(name.clone());
            }
            seen.insert(name.clone(), value);
        }
        let view = shown.map(|ty| View {
            ty,
            elements: seen,
            expiry: expiry(&live),
        });
        Key {
            view,
            saturated,
            parts,
        }
    }
}

/// The longest of the set expiries, else of the restated ones; none is the longest of all.
fn expiry(live: &[&Operation]) -> Option<u64> {
    let (mut set, mut restated) = (Vec::new(), Vec::new());
    for o in live {
        match o.kind {
            Kind::Expire(at) => set.push(at.unwrap_or(u64::MAX)),
            Kind::Restate(at) => restated.push(at),
            _ => {}
        }
    }
    let counts = if set.is_empty() { restated } else { set };
    counts.into_iter().max().filter(|at| *at != u64::MAX)
}

/// An element's shown value; true where it is past its range.
fn show(ty: Type, parts: &Parts) -> (Seen, bool) {
    let ops: Vec<&Operation> = parts.operations.iter().collect();
    match ty {
        Type::Set => (Seen::Member, false),
        Type::HyperLogLog => {
            let ranks = ops.iter().filter_map(|o| match o.kind {
                Kind::Rank(_, rank) => Some(rank),
                _ => None,
            });
            (Seen::Rank(ranks.max().unwrap_or(0)), false)
        }
        Type::SortedSet | Type::String | Type::Hash => show_number_of(ty, &ops, &parts.imported),
    }
}

fn show_number_of(ty: Type, ops: &[&Operation], imported: &BTreeMap<Vec<u8>, Exact>) -> (Seen, bool) {
    let bases = ops.iter().filter(|o| matches!(o.kind, Kind::Assign(..)));
    let base = bases.max_by_key(|o| rank(o)).map(|o| &o.kind);
    let (mut sum, mut any) = (Exact::zero(), !imported.is_empty());
    for by in imported.values() {
        sum = sum + by.clone();
    }
    for o in ops {
        if let Kind::Inc(_, by) = &o.kind {
            sum = sum + by.clone();
            any = true;
        }
    }
    match base {
        Some(Kind::Assign(_, Base::Score(score))) if !any => (Seen::Score(*score), false),
        Some(Kind::Assign(_, Base::Score(score))) => (Seen::Score(show_score(Some(*score), &sum)), false),
        Some(Kind::Assign(_, Base::Text(text))) => match parse_number(text) {
            Some(number) if any => {
                let shown = show_number(Some(&number), &sum);
                (Seen::Bytes(shown.text), shown.saturated)
            }
            _ => (Seen::Bytes(text.clone()), false),
        },
        _ if ty == Type::SortedSet => (Seen::Score(show_score(None, &sum)), false),
        _ => {
            let shown = show_number(None, &sum);
            (Seen::Bytes(shown.text), shown.saturated)
        }
    }
}

/// A replica: all operations that it has applied, by key.
#[derive(Clone, Debug, Default)]
pub struct Oracle {
    /// Its region.
    pub region: u16,
    /// Entries applied, of each region.
    pub seen: BTreeMap<u16, u64>,
    /// The operations on each key.
    pub keys: BTreeMap<Vec<u8>, Vec<Operation>>,
    /// Entries applied: what each did, by key, in order.
    pub log: Vec<Rc<Written>>,
    /// Entries that wait for others.
    parked: Vec<Rc<Written>>,
    /// What was computed of keys since they last changed.
    pub(super) cache: BTreeMap<Vec<u8>, Rc<Key>>,
}

/// One entry's operations.
#[derive(Debug)]
pub struct Written {
    /// The writer's region, and the entry.
    pub dot: (u16, u64),
    /// In order, each on its key.
    pub operations: Vec<(Vec<u8>, Operation)>,
}

impl Oracle {
    /// The oracle of a region.
    pub fn new(region: u16) -> Self {
        Oracle {
            region,
            ..Oracle::default()
        }
    }

    /// What the key comes to.
    pub fn key(&mut self, key: &[u8]) -> Rc<Key> {
        if let Some(known) = self.cache.get(key) {
            return Rc::clone(known);
        }
        let none = Vec::new();
        let computed = Rc::new(Key::new(self.keys.get(key).unwrap_or(&none)));
        self.cache.insert(key.to_vec(), Rc::clone(&computed));
        computed
    }

    /// What a reader sees of the key at `now_ms`.
    pub fn view(&mut self, key: &[u8], now_ms: u64) -> Option<View> {
        let view = self.key(key).view.clone()?;
        if view.expiry.is_some_and(|at| at <= now_ms) {
            None
        } else {
            Some(view)
        }
    }

    /// Writes an entry that does this.
    pub fn write(&mut self, hlc: Hlc, kinds: Vec<(Vec<u8>, Kind)>) {
        let dot = (self.region, self.seen.get(&self.region).copied().unwrap_or(0) + 1);
        let seen = Rc::new(self.seen.clone());
        let place = |(index, (key, kind))| {
            (
                key,
                Operation {
                    dot,
                    index,
                    seen: Rc::clone(&seen),
                    hlc,
                    kind,
                },
            )
        };
        let operations: Vec<_> = kinds.into_iter().enumerate().map(place).collect();
        if !operations.is_empty() {
            self.apply(&Rc::new(Written { dot, operations }));
        }
    }

    /// Puts an operation on a key.
    pub(super) fn put(&mut self, key: &[u8], operation: Operation) {
        self.keys.entry(key.to_vec()).or_default().push(operation);
        self.cache.remove(key);
    }

    /// Takes an entry of another replica, and applies what can be applied.
    pub fn receive(&mut self, written: &Rc<Written>) {
        self.parked.push(Rc::clone(written));
        let mut again = true;
        while again {
            again = false;
            for written in std::mem::take(&mut self.parked) {
                let mine = |region: u16| self.seen.get(&region).copied().unwrap_or(0);
                let Some((_, first)) = written.operations.first() else {
                    continue;
                };
                let (region, sequence) = written.dot;
                if sequence <= mine(region) {
                    continue;
                }
                let met = first
                    .seen
                    .iter()
                    .all(|(other, n)| *other == region || mine(*other) >= *n);
                if mine(region) + 1 == sequence && met {
                    self.apply(&written);
                    again = true;
                } else {
                    self.parked.push(written);
                }
            }
        }
    }

    fn apply(&mut self, written: &Rc<Written>) {
        for (key, operation) in &written.operations {
            self.put(key, operation.clone());
        }
        self.seen.insert(written.dot.0, written.dot.1);
        self.log.push(Rc::clone(written));
    }
}
