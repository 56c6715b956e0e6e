//! The oracle: every entry that was ever committed, as plain history, and what docs/semantics.md makes of it.
//!
//! It has no rows, no cells, no baselines, no stability and no garbage; it forgets nothing, so it can forget nothing
//! too early. A region is a version vector: the entries that it covers have happened there. What a key shows there
//! follows from those entries and from *happens-before* alone: an operation counts unless one that is there, too,
//! cancels it (`cancels`). Snapshots, relays, crashes and collection are not in here, and must make no difference.
//!
//! Of an effect it believes what its writer meant (which element, which value) and the causal context, not what the
//! writer computed from its state to make applying cheaper (which cells a removal names, where a sum began).
//! Digits of merged numbers are the engine's own ([`cartograph_engine::number`], compared with a real Redis elsewhere).

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cartograph_crdt::import::ImportedSpan;
use cartograph_crdt::{
    Effect, ElementId, Exact, Hlc, Position, RegionId, ReplicaId, Score, Type, Value, VersionVector,
};
use cartograph_engine::number::{parse_number, show_number, show_score};
use cartograph_replica::{Entry, Key, ViewValue};

/// What an operation means.
#[derive(Clone, Debug)]
enum Kind {
    Add(ElementId),
    Rank(ElementId, u8),
    Assign(ElementId, Value),
    Inc(ElementId, Exact),
    Import(ElementId, Vec<ImportedSpan>),
    Remove(ElementId),
    Delete,
    Clear,
    Expire(Option<u64>),
    Restate(u64),
    Create(Type),
    Revoke,
    Wipe,
}

impl Kind {
    /// The element that it makes exist. (Imports have a rule of their own.)
    fn makes(&self) -> Option<&ElementId> {
        match self {
            Kind::Add(e) | Kind::Rank(e, _) | Kind::Assign(e, _) | Kind::Inc(e, _) => Some(e),
            Kind::Import(..)
            | Kind::Remove(_)
            | Kind::Delete
            | Kind::Clear
            | Kind::Expire(_)
            | Kind::Restate(_)
            | Kind::Create(_)
            | Kind::Revoke
            | Kind::Wipe => None,
        }
    }
}

/// An operation, placed.
#[derive(Clone, Debug)]
struct Operation {
    replica: ReplicaId,
    position: Position,
    hlc: Hlc,
    /// What its writer had seen of other replicas, on this key.
    scope: Arc<VersionVector>,
    kind: Kind,
}

type Rank = (Hlc, Reverse<RegionId>, ReplicaId, Position);

impl Operation {
    /// The order of two concurrent writes.
    fn rank(&self) -> Rank {
        (
            self.hlc,
            Reverse(self.replica.region),
            self.replica,
            self.position,
        )
    }
}

/// Had the writer of `b` seen `a`?
fn before(a: &Operation, b: &Operation) -> bool {
    if a.replica == b.replica {
        a.position < b.position
    } else {
        b.scope.covers_entry(a.replica, a.position.sequence)
    }
}

/// Does `x` cancel `o`, an operation on the same key?
fn cancels(x: &Operation, o: &Operation) -> bool {
    let itself = x.replica == o.replica && x.position == o.position;
    match &x.kind {
        Kind::Revoke => !itself && !before(x, o),
        Kind::Wipe => o.kind.makes().is_some_and(|e| e.ty == Type::HyperLogLog) && !before(x, o),
        Kind::Add(_) | Kind::Rank(..) | Kind::Inc(..) | Kind::Import(..) => false,
        Kind::Delete => before(o, x),
        Kind::Clear => o.kind.makes().is_some() && before(o, x),
        Kind::Remove(e) => o.kind.makes() == Some(e) && before(o, x),
        Kind::Assign(e, _) => {
            matches!(&o.kind, Kind::Assign(other, _) | Kind::Inc(other, _) if other == e) && before(o, x)
        }
        Kind::Expire(_) => matches!(o.kind, Kind::Expire(_) | Kind::Restate(_)) && before(o, x),
        Kind::Restate(_) => matches!(o.kind, Kind::Restate(_)) && before(o, x),
        Kind::Create(_) => matches!(o.kind, Kind::Create(_)) && before(o, x),
    }
}

/// Does `x` take back what it had seen folded into `element`?
fn takes_back(x: &Operation, element: &ElementId) -> bool {
    match &x.kind {
        Kind::Delete | Kind::Clear => true,
        Kind::Remove(e) | Kind::Assign(e, _) => e == element,
        Kind::Add(_)
        | Kind::Rank(..)
        | Kind::Inc(..)
        | Kind::Import(..)
        | Kind::Expire(_)
        | Kind::Restate(_)
        | Kind::Create(_)
        | Kind::Revoke
        | Kind::Wipe => false,
    }
}

/// Numbers of operations.
#[derive(Clone, Debug, Default)]
struct Bits(Vec<u64>);

impl Bits {
    fn set(&mut self, n: usize) {
        let word = n / 64;
        if self.0.len() <= word {
            self.0.resize(word + 1, 0);
        }
        if let Some(w) = self.0.get_mut(word) {
            *w |= 1 << (n % 64);
        }
    }

    fn meets(&self, other: &Bits) -> bool {
        self.0.iter().zip(&other.0).any(|(a, b)| a & b != 0)
    }

    fn has(&self, n: usize) -> bool {
        self.0.get(n / 64).is_some_and(|w| w >> (n % 64) & 1 == 1)
    }
}

/// All operations on one key.
#[derive(Clone, Debug, Default)]
struct Timeline {
    operations: Vec<Operation>,
    /// By operation: which others cancel it.
    cancelled_by: Vec<Bits>,
    /// By replica, element and cell: how far its sum had come.
    sums: BTreeMap<(ReplicaId, ElementId, Position), Exact>,
    /// Operations that no store holds any more.
    lost: Bits,
}

/// What a key shows.
#[derive(Clone, Debug, PartialEq)]
pub struct Shown {
    /// The value.
    pub value: Content,
    /// The expiry instant, Unix milliseconds.
    pub expiry: Option<u64>,
}

/// A value, as far as the model knows it.
#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    /// A Redis value.
    View(ViewValue),
    /// A HyperLogLog's registers above 0.
    Ranks(BTreeMap<u16, u8>),
}

/// The history.
#[derive(Default)]
pub struct Model {
    entries: BTreeMap<(ReplicaId, u64), Entry>,
    keys: BTreeMap<Key, Timeline>,
}

impl Model {
    /// An entry was committed somewhere. False when its dot belongs to another entry.
    pub fn insert(&mut self, entry: &Entry) -> bool {
        let at = (entry.replica, entry.sequence.get());
        if let Some(known) = self.entries.get(&at) {
            let same = known == entry;
            self.restore(entry);
            return same;
        }
        for (index, (key, effect)) in entry.effects.iter().enumerate() {
            let position = entry.dot(index).position;
            let timeline = self.keys.entry(key.clone()).or_default();
            timeline.push(entry, position, entry.scope(key), effect);
        }
        self.entries.insert(at, entry.clone());
        true
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Is there none?
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The keys that were ever written.
    pub fn keys(&self) -> impl Iterator<Item = &Key> {
        self.keys.keys()
    }

    /// No store holds entries of `replica` above `last` any more.
    pub fn lose(&mut self, replica: ReplicaId, last: u64) {
        for timeline in self.keys.values_mut() {
            for (n, o) in timeline.operations.iter().enumerate() {
                if o.replica == replica && o.position.sequence.get() > last {
                    timeline.lost.set(n);
                }
            }
        }
    }

    /// One that seemed lost was on its way.
    fn restore(&mut self, entry: &Entry) {
        for key in entry.keys() {
            let Some(timeline) = self.keys.get_mut(key) else {
                continue;
            };
            if timeline.lost.0.is_empty() {
                continue;
            }
            let mut lost = Bits::default();
            for (n, o) in timeline.operations.iter().enumerate() {
                let is_it = o.replica == entry.replica && o.position.sequence == entry.sequence;
                if timeline.lost.has(n) && !is_it {
                    lost.set(n);
                }
            }
            timeline.lost = lost;
        }
    }

    /// What `key` shows where the entries that `seen` covers have happened, whatever the clock says.
    pub fn shown(&self, key: &[u8], seen: &VersionVector) -> Option<Shown> {
        self.keys.get(key)?.shown(seen)
    }

    /// The operations on `key` that `seen` covers, for reading a failure.
    pub fn explain(&self, key: &[u8], seen: &VersionVector) -> String {
        let Some(timeline) = self.keys.get(key) else {
            return String::new();
        };
        let there = timeline.there(seen);
        let lines = timeline.operations.iter().enumerate().map(|(n, o)| {
            let mark = match (there.has(n), timeline.counts(n, &there)) {
                (false, _) => "unseen",
                (true, true) => "live",
                (true, false) => "cancelled",
            };
            format!(
                "    {mark:<9} {}:{}.{} at {:?} seeing {} {:?}\n",
                o.replica, o.position.sequence, o.position.index, o.hlc, o.scope, o.kind
            )
        });
        lines.collect()
    }
}

impl Timeline {
    fn push(&mut self, entry: &Entry, position: Position, scope: Arc<VersionVector>, effect: &Effect) {
        let kind = self.kind(entry.replica, effect);
        let new = Operation {
            replica: entry.replica,
            position,
            hlc: entry.hlc,
            scope,
            kind,
        };
        let at = self.operations.len();
        let mut by = Bits::default();
        for (n, old) in self.operations.iter().enumerate() {
            if cancels(old, &new) {
                by.set(n);
            }
            if cancels(&new, old)
                && let Some(bits) = self.cancelled_by.get_mut(n)
            {
                bits.set(at);
            }
        }
        self.operations.push(new);
        self.cancelled_by.push(by);
    }

    fn kind(&mut self, replica: ReplicaId, effect: &Effect) -> Kind {
        match effect {
            Effect::Add { element } => Kind::Add(element.clone()),
            Effect::AddRank { register, rank } => Kind::Rank(ElementId::register(*register), *rank),
            Effect::Assign { element, value, .. } => Kind::Assign(element.clone(), value.clone()),
            Effect::Inc { element, tag, sum } => {
                let cell = (replica, element.clone(), *tag);
                let from = self.sums.insert(cell, sum.clone());
                Kind::Inc(
                    element.clone(),
                    from.map_or_else(|| sum.clone(), |from| sum - &from),
                )
            }
            Effect::Remove { element, .. } => Kind::Remove(element.clone()),
            Effect::Delete { .. } => Kind::Delete,
            Effect::Clear { .. } => Kind::Clear,
            Effect::Expire { at } => Kind::Expire(*at),
            Effect::Restate { at } => Kind::Restate(*at),
            Effect::Create { ty } => Kind::Create(*ty),
            Effect::Revoke => Kind::Revoke,
            Effect::Wipe => Kind::Wipe,
            Effect::Import { element, imported } => Kind::Import(element.clone(), imported.clone()),
        }
    }

    /// Which operations have happened.
    fn there(&self, seen: &VersionVector) -> Bits {
        let mut bits = Bits::default();
        for (n, o) in self.operations.iter().enumerate() {
            if seen.covers_entry(o.replica, o.position.sequence) && !self.lost.has(n) {
                bits.set(n);
            }
        }
        bits
    }

    fn counts(&self, n: usize, there: &Bits) -> bool {
        self.cancelled_by.get(n).is_none_or(|by| !by.meets(there))
    }

    fn shown(&self, seen: &VersionVector) -> Option<Shown> {
        let there = self.there(seen);
        let happened: Vec<(usize, &Operation)> = self
            .operations
            .iter()
            .enumerate()
            .filter(|(n, _)| there.has(*n))
            .collect();
        let live: Vec<&Operation> = happened
            .iter()
            .filter(|(n, _)| self.counts(*n, &there))
            .map(|(_, o)| *o)
            .collect();
        let mut elements: BTreeMap<&ElementId, Parts<'_>> = BTreeMap::new();
        for o in &live {
            if let Some(e) = o.kind.makes() {
                elements.entry(e).or_default().operations.push(o);
            }
        }
        for (e, sum) in imported(&happened) {
            elements.entry(e).or_default().imported = Some(sum);
        }
        let mark = |ty: Type| {
            let marks = live
                .iter()
                .filter(|o| matches!(o.kind, Kind::Create(t) if t == ty));
            marks.map(|o| o.rank()).max()
        };
        let types: BTreeSet<Type> = elements.keys().map(|e| e.ty).collect();
        let ty = types
            .into_iter()
            .max_by_key(|ty| (mark(*ty), Reverse(ty.index())))?;
        elements.retain(|e, _| e.ty == ty);
        Some(Shown {
            value: content(ty, &elements),
            expiry: expiry(&live),
        })
    }
}

/// What an element is made of.
#[derive(Default)]
struct Parts<'a> {
    operations: Vec<&'a Operation>,
    imported: Option<Exact>,
}

fn content(ty: Type, elements: &BTreeMap<&ElementId, Parts<'_>>) -> Content {
    let names = || elements.keys().map(|e| e.name.clone());
    let view = match ty {
        Type::Set => ViewValue::Set(names().collect()),
        Type::String => ViewValue::String(elements.values().map(text).next().unwrap_or_default()),
        Type::Hash => ViewValue::Hash(elements.iter().map(|(e, p)| (e.name.clone(), text(p))).collect()),
        Type::SortedSet => {
            let scores = elements
                .iter()
                .filter_map(|(e, p)| Some((e.name.clone(), score(p)?)));
            ViewValue::SortedSet(scores.collect())
        }
        Type::HyperLogLog => {
            let rank = |o: &&Operation| if let Kind::Rank(_, rank) = o.kind { rank } else { 0 };
            let ranks = elements.iter().map(|(e, p)| {
                let register = e
                    .name
                    .iter()
                    .fold(0_u16, |n, byte| n.wrapping_shl(8) | u16::from(*byte));
                (register, p.operations.iter().map(rank).max().unwrap_or(0))
            });
            return Content::Ranks(ranks.collect());
        }
    };
    Content::View(view)
}

/// The winning base, and the sum of all that was added, where there is any.
fn number<'a>(parts: &'a Parts<'_>) -> (Option<&'a Value>, Option<Exact>) {
    let bases = parts.operations.iter().filter_map(|o| {
        if let Kind::Assign(_, value) = &o.kind {
            Some((o.rank(), value))
        } else {
            None
        }
    });
    let base = bases.max_by(|a, b| a.0.cmp(&b.0)).map(|(_, value)| value);
    let mut sum = parts.imported.clone();
    for o in &parts.operations {
        if let Kind::Inc(_, by) = &o.kind {
            sum = Some(sum.unwrap_or_else(Exact::zero) + by.clone());
        }
    }
    (base, sum)
}

fn text(parts: &Parts<'_>) -> Vec<u8> {
    let (base, sum) = number(parts);
    let base = match base {
        Some(Value::Bytes(bytes)) => Some(bytes),
        Some(Value::Score(_)) | None => None,
    };
    match (base, sum) {
        (None, sum) => show_number(None, &sum.unwrap_or_else(Exact::zero)).text,
        (Some(bytes), None) => bytes.clone(),
        (Some(bytes), Some(sum)) => match parse_number(bytes) {
            Some(number) => show_number(Some(&number), &sum).text,
            None => bytes.clone(),
        },
    }
}

fn score(parts: &Parts<'_>) -> Option<Score> {
    let (base, sum) = number(parts);
    let base = match base {
        Some(Value::Score(score)) => Some(*score),
        Some(Value::Bytes(_)) | None => None,
    };
    match (base, sum) {
        (Some(score), None) => Some(score),
        (base, sum) => Score::new(show_score(base.map(Score::get), &sum.unwrap_or_else(Exact::zero))),
    }
}

/// The longest of the set expiries, else of the restated ones; never is the longest of all.
fn expiry(live: &[&Operation]) -> Option<u64> {
    let mut set = Vec::new();
    let mut restated = Vec::new();
    for o in live {
        if let Kind::Expire(at) = o.kind {
            set.push(at.unwrap_or(u64::MAX));
        }
        if let Kind::Restate(at) = o.kind {
            restated.push(at);
        }
    }
    let counts = if set.is_empty() { restated } else { set };
    counts.into_iter().max().filter(|at| *at != u64::MAX)
}

/// What was folded into each element and counts. An increment counts once, however many imports brought it, and never
/// again once somebody has taken it back who had seen one of them.
fn imported<'a>(happened: &[(usize, &'a Operation)]) -> BTreeMap<&'a ElementId, Exact> {
    type Cell<'a> = (&'a ElementId, &'a [u8], String);
    type Span = (Option<Position>, Option<Position>, bool);
    // Per cell of a source: sums at the ends of spans, and for each span whether it counts or was taken back.
    let mut marks: BTreeMap<Cell<'a>, BTreeMap<Option<Position>, &Exact>> = BTreeMap::new();
    let mut spans: BTreeMap<Cell<'a>, Vec<Span>> = BTreeMap::new();
    for (_, o) in happened {
        let Kind::Import(element, all) = &o.kind else {
            continue;
        };
        let others = || happened.iter().map(|(_, x)| *x);
        if others().any(|x| matches!(x.kind, Kind::Revoke) && !before(x, o)) {
            continue;
        }
        let gone = others().any(|x| takes_back(x, element) && before(o, x));
        for one in all {
            let cell = (element, one.source.as_slice(), format!("{:?}", one.tag));
            let ends = marks.entry(cell.clone()).or_default();
            ends.insert(one.span.from.at, &one.span.from.sum);
            ends.insert(one.span.to.at, &one.span.to.sum);
            spans
                .entry(cell)
                .or_default()
                .push((one.span.from.at, one.span.to.at, gone));
        }
    }
    let mut out: BTreeMap<&ElementId, Exact> = BTreeMap::new();
    for (cell, ends) in &marks {
        let spans = spans.get(cell).map(Vec::as_slice).unwrap_or_default();
        for ((from, below), (to, above)) in ends.iter().zip(ends.iter().skip(1)) {
            let mut over = spans.iter().filter(|(a, b, _)| a <= from && to <= b).peekable();
            if over.peek().is_some() && over.all(|(_, _, gone)| !gone) {
                let sum = out.entry(cell.0).or_insert_with(Exact::zero);
                *sum = sum.clone() + (*above - *below);
            }
        }
    }
    out
}

#[cfg(test)]
#[allow(clippy::wildcard_enum_match_arm, reason = "tests: anything else fails")]
mod tests {
    use super::*;
    use cartograph_crdt::Sequence;

    fn entry(region: u16, sequence: u64, ms: u64, seen: &[(u16, u64)], effects: Vec<Effect>) -> Entry {
        let context: VersionVector = seen.iter().map(|(r, n)| (ReplicaId::new(*r, 1), *n)).collect();
        Entry {
            replica: ReplicaId::new(region, 1),
            sequence: Sequence::new(sequence).unwrap(),
            hlc: Hlc::new(ms, 0),
            context: Arc::new(context),
            ahead: Vec::new(),
            effects: effects.into_iter().map(|e| (b"k".to_vec(), e)).collect(),
        }
    }

    fn inc(at: (u64, u32), sum: i64) -> Effect {
        Effect::Inc {
            element: ElementId::string(),
            tag: Position {
                sequence: Sequence::new(at.0).unwrap(),
                index: at.1,
            },
            sum: Exact::from_i64(sum),
        }
    }

    fn string(model: &Model, seen: &[(u16, u64)]) -> Option<String> {
        let seen: VersionVector = seen.iter().map(|(r, n)| (ReplicaId::new(*r, 1), *n)).collect();
        match model.shown(b"k", &seen)?.value {
            Content::View(ViewValue::String(text)) => String::from_utf8(text).ok(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_removal_takes_what_it_had_seen_and_no_more() {
        let mut model = Model::default();
        let delete = || Effect::Delete { observed: Vec::new() };
        assert!(model.insert(&entry(1, 1, 1, &[], vec![inc((1, 0), 10)])));
        assert!(model.insert(&entry(1, 2, 2, &[], vec![inc((1, 0), 12)])));
        assert!(model.insert(&entry(2, 1, 3, &[(1, 1)], vec![delete()])));
        assert_eq!(string(&model, &[(1, 2)]).as_deref(), Some("12"));
        assert_eq!(string(&model, &[(1, 1), (2, 1)]), None);
        assert_eq!(string(&model, &[(1, 2), (2, 1)]).as_deref(), Some("2"));
        assert!(
            !model.insert(&entry(2, 1, 3, &[], vec![delete()])),
            "a dot used twice"
        );
    }

    #[test]
    fn a_revoke_beats_what_had_not_seen_it_and_the_later_of_two_sets_wins() {
        let mut model = Model::default();
        let assign = |text: &str| Effect::Assign {
            element: ElementId::string(),
            value: Value::Bytes(text.as_bytes().to_vec()),
            observed: cartograph_crdt::Observed::default(),
        };
        model.insert(&entry(1, 1, 5, &[], vec![assign("later")]));
        model.insert(&entry(2, 1, 4, &[], vec![assign("earlier")]));
        model.insert(&entry(3, 1, 9, &[(1, 1)], vec![Effect::Revoke]));
        model.insert(&entry(2, 2, 9, &[(3, 1)], vec![assign("new")]));
        assert_eq!(string(&model, &[(1, 1), (2, 1)]).as_deref(), Some("later"));
        assert_eq!(string(&model, &[(1, 1), (2, 1), (3, 1)]), None);
        assert_eq!(string(&model, &[(1, 1), (2, 2), (3, 1)]).as_deref(), Some("new"));
        model.lose(ReplicaId::new(2, 1), 1);
        assert_eq!(string(&model, &[(1, 1), (2, 2), (3, 1)]), None);
    }
}
