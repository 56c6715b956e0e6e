//! The rules of docs/semantics.md, declaratively: a replica is the set of operations that it has applied, and what a
//! key is follows from that set and from happens-before alone.
//!
//! Nothing is ever forgotten here, so there is no garbage, no purge and no join: joining is the union of two sets.
//! The whole of the semantics is [`before`], [`kills`] and [`Model::state`]. For speed a set is a bit mask, and who
//! kills whom is worked out once, when an operation is made.

use std::cmp::Reverse;

use crate::effect::{Type, Value};
use crate::exact::Exact;
use crate::hlc::Hlc;
use crate::ids::Position;

/// The most operations in one history.
pub const OPERATIONS_MAX: usize = 128;

/// The most replicas (incarnations counted) in one history.
pub const REPLICAS_MAX: usize = 8;

/// A set of operations, by number.
pub type Mask = u128;

/// An element: its type, and a small number that names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Elem {
    /// Of which type.
    pub ty: Type,
    /// Its name: 0 for a string, the register's number for a HyperLogLog.
    pub name: u16,
}

/// What an operation means.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    /// A set member is there.
    Add(Elem),
    /// A HyperLogLog register has seen a rank.
    Rank(Elem, u8),
    /// A new base.
    Assign(Elem, Value),
    /// An increment.
    Inc(Elem, Exact),
    /// What was seen of the element is removed.
    Remove(Elem),
    /// What was seen of the key is removed.
    Delete,
    /// The same, elements only.
    Clear,
    /// The key expires then, or never.
    Expire(Option<u64>),
    /// This expiry was found.
    Restate(u64),
    /// This write made the key.
    Create(Type),
    /// Remove-wins on the key.
    Revoke,
    /// Remove-wins on its HyperLogLog.
    Wipe,
    /// These increments and bases of another key's element ([`Model::items`]) count here, once.
    Import(Elem, Mask),
}

impl Kind {
    /// The element whose state this is part of, if it is.
    fn state_of(&self) -> Option<Elem> {
        match self {
            Kind::Add(e) | Kind::Rank(e, _) | Kind::Assign(e, _) | Kind::Inc(e, _) | Kind::Import(e, _) => {
                Some(*e)
            }
            Kind::Remove(_)
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
pub struct Operation {
    /// The replica's number in this history.
    pub replica: usize,
    /// Its region.
    pub region: u16,
    /// Its place among its replica's operations.
    pub position: Position,
    /// How many entries of each replica its writer had applied when its commit began.
    pub seen: [u64; REPLICAS_MAX],
    /// Its entry's clock reading.
    pub hlc: Hlc,
    /// The key.
    pub key: usize,
    /// What it means.
    pub kind: Kind,
}

/// Had the writer of `b` seen `a`?
pub fn before(a: &Operation, b: &Operation) -> bool {
    if a.replica == b.replica {
        a.position < b.position
    } else {
        a.position.sequence.get() <= b.seen[a.replica]
    }
}

/// Does `x` cancel `o`, an operation on the same key?
pub fn kills(x: &Operation, o: &Operation) -> bool {
    let state = o.kind.state_of();
    let seen = before(o, x);
    match &x.kind {
        Kind::Revoke => !before(x, o),
        Kind::Wipe => state.is_some_and(|e| e.ty == Type::HyperLogLog) && !before(x, o),
        Kind::Delete => seen,
        Kind::Clear => seen && state.is_some(),
        Kind::Remove(e) | Kind::Assign(e, _) => seen && state == Some(*e),
        Kind::Expire(_) => seen && matches!(o.kind, Kind::Expire(_) | Kind::Restate(_)),
        Kind::Restate(_) => seen && matches!(o.kind, Kind::Restate(_)),
        Kind::Create(_) => seen && matches!(o.kind, Kind::Create(_)),
        Kind::Add(_) | Kind::Rank(..) | Kind::Inc(..) | Kind::Import(..) => false,
    }
}

/// What an element shows, before it is printed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ElementState {
    /// The winning base.
    pub base: Option<Value>,
    /// The sum of all that was added, where there is any.
    pub increments: Option<Exact>,
    /// A HyperLogLog register's rank.
    pub rank: u8,
}

/// What a key is: its live elements of every type, the type shown, the expiry.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct KeyState {
    /// The type shown.
    pub shown: Option<Type>,
    /// The instant, in milliseconds; only where something is shown.
    pub expiry: Option<u64>,
    /// Live elements, ascending.
    pub elements: Vec<(Elem, ElementState)>,
}

impl KeyState {
    /// The key as the expiry clock `now` shows it: nothing once its instant has passed.
    pub fn at(&self, now: u64) -> Option<&KeyState> {
        (self.shown.is_some() && self.expiry.is_none_or(|at| at > now)).then_some(self)
    }

    /// The live elements of one type.
    pub fn of(&self, ty: Type) -> impl Iterator<Item = &(Elem, ElementState)> {
        self.elements.iter().filter(move |(e, _)| e.ty == ty)
    }
}

/// All operations of a history.
#[derive(Clone, Debug, Default)]
pub struct Model {
    /// In order of making.
    pub operations: Vec<Operation>,
    /// What was ever folded: an increment or base, and the keys that it went through on its way.
    pub items: Vec<(Vec<usize>, usize)>,
    killed_by: Vec<Mask>,
    revoked_by: Vec<Mask>,
    by_key: Vec<Mask>,
}

impl Model {
    /// Adds an operation; its bit.
    pub fn push(&mut self, new: Operation) -> Mask {
        let at = self.operations.len();
        assert!(at < OPERATIONS_MAX, "a history of too many operations");
        let bit = 1 << at;
        let (mut killed, mut revoked) = (0, 0);
        for (i, old) in self
            .operations
            .iter()
            .enumerate()
            .filter(|(_, o)| o.key == new.key)
        {
            if kills(&new, old) {
                self.killed_by[i] |= bit;
                if new.kind == Kind::Revoke {
                    self.revoked_by[i] |= bit;
                }
            }
            if kills(old, &new) {
                killed |= 1 << i;
                if old.kind == Kind::Revoke {
                    revoked |= 1 << i;
                }
            }
        }
        if self.by_key.len() <= new.key {
            self.by_key.resize(new.key + 1, 0);
        }
        self.by_key[new.key] |= bit;
        self.killed_by.push(killed);
        self.revoked_by.push(revoked);
        self.operations.push(new);
        bit
    }

    /// Is there room for `count` more?
    pub fn has_room(&self, count: usize) -> bool {
        self.operations.len() + count <= OPERATIONS_MAX && self.items.len() + 32 <= Mask::BITS as usize
    }

    /// Every operation on `key` that the counts cover.
    pub fn covered(&self, key: usize, seen: &[u64; REPLICAS_MAX]) -> Mask {
        let of_key = bits(self.by_key.get(key).copied().unwrap_or(0));
        let covered = of_key.filter(|i| {
            let o = &self.operations[*i];
            o.position.sequence.get() <= seen[o.replica]
        });
        covered.fold(0, |mask, i| mask | 1 << i)
    }

    /// The operations of `mask` on `key` that nothing in `mask` kills.
    pub fn live(&self, key: usize, mask: Mask) -> Mask {
        let mask = mask & self.by_key.get(key).copied().unwrap_or(0);
        bits(mask)
            .filter(|i| self.killed_by[*i] & mask == 0)
            .fold(0, |live, i| live | 1 << i)
    }

    /// Which items were folded into `elem` of `key` and count there.
    pub fn imported(&self, key: usize, mask: Mask, elem: Elem) -> Mask {
        let mask = mask & self.by_key.get(key).copied().unwrap_or(0);
        let (mut folded, mut removed) = (0, 0);
        for i in bits(mask) {
            let Kind::Import(e, what) = &self.operations[i].kind else {
                continue;
            };
            if *e != elem || self.revoked_by[i] & mask != 0 {
                continue;
            }
            folded |= what;
            if self.killed_by[i] & mask != 0 {
                removed |= what;
            }
        }
        folded & !removed
    }

    /// What folding takes of `elem` of `key`: the base shown, live increments, and what was folded into it.
    pub fn foldable(&mut self, key: usize, mask: Mask, elem: Elem) -> Mask {
        let live = self.live(key, mask);
        let of_elem = |i: &usize| self.operations[*i].kind.state_of() == Some(elem);
        let is_base = |i: &usize| matches!(self.operations[*i].kind, Kind::Assign(..));
        let is_inc = |i: &usize| matches!(self.operations[*i].kind, Kind::Inc(..));
        let mut items: Vec<_> = bits(live)
            .filter(of_elem)
            .filter(is_inc)
            .map(|i| (vec![key], i))
            .collect();
        let base = bits(live)
            .filter(of_elem)
            .filter(is_base)
            .max_by_key(|i| self.rank(*i));
        items.extend(base.map(|i| (vec![key], i)));
        for item in bits(self.imported(key, mask, elem)) {
            let (mut path, i) = self.items[item].clone();
            path.push(key);
            items.push((path, i));
        }
        items
            .into_iter()
            .fold(0, |mask, item| mask | 1 << self.intern(item))
    }

    fn intern(&mut self, item: (Vec<usize>, usize)) -> usize {
        if let Some(at) = self.items.iter().position(|i| *i == item) {
            return at;
        }
        self.items.push(item);
        self.items.len() - 1
    }

    fn rank(&self, i: usize) -> (Hlc, Reverse<u16>, usize, Position) {
        let o = &self.operations[i];
        (o.hlc, Reverse(o.region), o.replica, o.position)
    }

    /// What the key is where exactly the operations of `mask` have been applied.
    pub fn state(&self, key: usize, mask: Mask) -> KeyState {
        let mask = mask & self.by_key.get(key).copied().unwrap_or(0);
        let live: Vec<usize> = bits(self.live(key, mask)).collect();
        let mut elems: Vec<Elem> = bits(mask)
            .filter_map(|i| self.operations[i].kind.state_of())
            .collect();
        elems.sort_unstable();
        elems.dedup();
        let elements: Vec<_> = elems
            .into_iter()
            .filter_map(|e| Some((e, self.element(key, mask, &live, e)?)))
            .collect();
        let mut best: Option<(Option<_>, Reverse<usize>, Type)> = None;
        for ty in Type::ALL {
            if elements.iter().any(|(e, _)| e.ty == ty) {
                let marks = live
                    .iter()
                    .filter(|i| self.operations[**i].kind == Kind::Create(ty));
                let rank = (marks.map(|i| self.rank(*i)).max(), Reverse(ty.index()), ty);
                best = best.max(Some(rank));
            }
        }
        let shown = best.map(|(_, _, ty)| ty);
        KeyState {
            shown,
            expiry: shown.and_then(|_| self.expiry(&live)),
            elements,
        }
    }

    fn element(&self, key: usize, mask: Mask, live: &[usize], elem: Elem) -> Option<ElementState> {
        let mut state = ElementState::default();
        let (mut base, mut present) = (None, false);
        let add =
            |sum: &mut Option<Exact>, n: &Exact| *sum = Some(sum.take().unwrap_or_default() + n.clone());
        for i in live {
            match &self.operations[*i].kind {
                Kind::Add(e) if *e == elem => present = true,
                Kind::Rank(e, rank) if *e == elem => state.rank = state.rank.max(*rank),
                Kind::Assign(e, value) if *e == elem => base = base.max(Some((self.rank(*i), ByRank(value)))),
                Kind::Inc(e, n) if *e == elem => add(&mut state.increments, n),
                _ => {}
            }
        }
        for item in bits(self.imported(key, mask, elem)) {
            match &self.operations[self.items[item].1].kind {
                Kind::Inc(_, n) => add(&mut state.increments, n),
                Kind::Assign(_, value) => add(
                    &mut state.increments,
                    &number(value).expect("only numbers are folded"),
                ),
                other => unreachable!("{other:?} was folded"),
            }
        }
        state.base = base.map(|(_, v)| v.0.clone());
        (present || state.rank > 0 || state.base.is_some() || state.increments.is_some()).then_some(state)
    }

    fn expiry(&self, live: &[usize]) -> Option<u64> {
        let set = live.iter().filter_map(|i| match self.operations[*i].kind {
            Kind::Expire(at) => Some(at.unwrap_or(u64::MAX)),
            _ => None,
        });
        let found = live.iter().filter_map(|i| match self.operations[*i].kind {
            Kind::Restate(at) => Some(at),
            _ => None,
        });
        let longest = set.max().or_else(|| found.max());
        longest.filter(|at| *at != u64::MAX)
    }
}

/// A value that rides along in a comparison by rank.
struct ByRank<'a>(&'a Value);

impl PartialEq for ByRank<'_> {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}
impl Eq for ByRank<'_> {}
impl PartialOrd for ByRank<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for ByRank<'_> {
    fn cmp(&self, _: &Self) -> std::cmp::Ordering {
        std::cmp::Ordering::Equal
    }
}

/// A base as a number, if it is one.
pub fn number(value: &Value) -> Option<Exact> {
    match value {
        Value::Bytes(bytes) => Some(Exact::from_i64(std::str::from_utf8(bytes).ok()?.parse().ok()?)),
        Value::Score(score) => Exact::from_f64(score.get()).ok(),
    }
}

/// The numbers in a mask, ascending.
pub fn bits(mut mask: Mask) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let next = (mask != 0).then(|| mask.trailing_zeros() as usize);
        mask &= mask.wrapping_sub(1);
        next
    })
}
