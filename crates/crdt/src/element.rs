//! One element's whole causal state, value included: what one metadata field holds.
//!
//! Which state an element has follows from its type: presence for set members, ranks for HyperLogLog registers, and
//! for strings, fields and sorted-set members a register *and* a counter, because Redis lets `SET` and `INCR` meet on
//! one value. A register-and-counter shows its winning base plus all live increments, whoever's base they were made
//! on; it is present while it has a base, a live increment or a live import.

use crate::causal::{Origin, VersionVector};
use crate::counter_reset::ObservedResetCounter;
use crate::effect::{ElementId, Observed, Score, Type, Value};
use crate::exact::Exact;
use crate::hyperloglog::RankRegister;
use crate::ids::{Dot, ReplicaId};
use crate::import::{ImportedSpan, Imports};
use crate::register_mv::MvRegister;
use crate::set_add_wins::AddWinsMember;

/// A string, hash field or sorted-set member: register and counter in one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RegisterCounter {
    /// The assigned values.
    pub register: MvRegister<Value>,
    /// The increments.
    pub counter: ObservedResetCounter,
    /// What was folded in from other keys.
    pub imports: Imports,
}

impl RegisterCounter {
    /// What folding this line into another takes of it, under the name of the key `source`: the base that is shown,
    /// as the number `base` that it is read as; every live increment; and what was itself folded in here.
    pub fn foldable(&self, source: &[u8], base: Option<Exact>) -> Vec<ImportedSpan> {
        let winner = self.register.winner().zip(base);
        let base = winner.map(|(written, value)| ImportedSpan::of_value(source, written.dot, value));
        let cells = self
            .counter
            .live()
            .map(|cell| ImportedSpan::of_cell(source, cell));
        let imports = self.imports.observed().into_iter();
        let imports = imports.map(|imported| ImportedSpan::of_imported(source, imported));
        base.into_iter().chain(cells).chain(imports).collect()
    }
}

/// One element's state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Element {
    /// A set member.
    Member(AddWinsMember),
    /// A string, hash field or sorted-set member. Boxed: most rows hold many elements, most of them small.
    Number(Box<RegisterCounter>),
    /// A HyperLogLog register.
    Ranks(RankRegister),
}

impl Element {
    /// The state of an element of type `ty` that nobody has touched.
    pub fn empty(ty: Type) -> Self {
        match ty {
            Type::Set => Element::Member(AddWinsMember::default()),
            Type::HyperLogLog => Element::Ranks(RankRegister::default()),
            Type::String | Type::Hash | Type::SortedSet => Element::Number(Box::default()),
        }
    }

    /// Is the element there, for readers?
    pub fn is_live(&self) -> bool {
        match self {
            Element::Member(m) => m.is_present(),
            Element::Ranks(r) => r.rank() > 0,
            Element::Number(n) => {
                !n.register.written().is_empty() || n.counter.is_present() || n.imports.is_present()
            }
        }
    }

    /// Is nothing left, not even for others' sake?
    pub fn is_empty(&self) -> bool {
        match self {
            Element::Member(_) | Element::Ranks(_) => !self.is_live(),
            Element::Number(n) => n.register.written().is_empty() && !self.has_counter(),
        }
    }

    /// Has it increments or imports, live or dead? Only such elements need naming when their key is removed.
    pub fn has_counter(&self) -> bool {
        match self {
            Element::Member(_) | Element::Ranks(_) => false,
            Element::Number(n) => !n.counter.cells().is_empty() || !n.imports.cells().is_empty(),
        }
    }

    /// Is there something that waits for stability, or for an owner's acknowledgement?
    pub fn has_garbage(&self) -> bool {
        match self {
            Element::Member(_) => false,
            Element::Ranks(r) => r.ranked().len() > 1,
            Element::Number(n) => {
                n.register.written().len() > 1 || n.counter.has_dead() || n.imports.has_dead()
            }
        }
    }

    /// The winning base, if there is one.
    pub fn base(&self) -> Option<&Value> {
        match self {
            Element::Number(n) => n.register.winner().map(|w| &w.value),
            Element::Member(_) | Element::Ranks(_) => None,
        }
    }

    /// The sum of all live increments and imports, or `None` where there is none: a base alone is shown as written.
    pub fn increments(&self) -> Option<Exact> {
        match self {
            Element::Number(n) if n.counter.is_present() || n.imports.is_present() => {
                Some(n.counter.sum() + n.imports.sum())
            }
            Element::Number(_) | Element::Member(_) | Element::Ranks(_) => None,
        }
    }

    /// What a removal or overwriting by `writer` must name of this element.
    pub fn observed(&self, writer: ReplicaId) -> Observed {
        match self {
            Element::Number(n) => Observed {
                cells: n.counter.observed(writer),
                imports: n.imports.observed(),
            },
            Element::Member(_) | Element::Ranks(_) => Observed::default(),
        }
    }

    /// Applies an observed removal.
    pub fn remove(&mut self, origin: &Origin<'_>, observed: &Observed) {
        match self {
            Element::Member(m) => m.remove(origin),
            Element::Ranks(r) => r.remove(origin),
            Element::Number(n) => {
                n.register.remove(origin);
                n.counter.reset(origin, &observed.cells);
                n.imports.reset(origin, &observed.imports);
            }
        }
    }

    /// Joins with the state of a replica whose vector is `theirs`; ours is `ours`.
    pub fn join(&mut self, ours: &VersionVector, other: &Self, theirs: &VersionVector) {
        match (self, other) {
            (Element::Member(a), Element::Member(b)) => a.join(ours, b, theirs),
            (Element::Ranks(a), Element::Ranks(b)) => a.join(ours, b, theirs),
            (Element::Number(a), Element::Number(b)) => {
                a.register.join(ours, &b.register, theirs);
                a.counter.join(ours, &b.counter, theirs);
                a.imports.join(ours, &b.imports, theirs);
            }
            // One id has one type, and a type one state: decoding refuses anything else.
            _ => debug_assert!(false, "joined elements of different types"),
        }
    }

    /// Drops what nobody can need any more.
    pub fn collect(&mut self, stable: &VersionVector, owner_has_seen: impl Fn(ReplicaId, &Dot) -> bool) {
        match self {
            Element::Member(_) => {}
            Element::Ranks(r) => r.collect(stable),
            Element::Number(n) => {
                n.register.collect(stable);
                n.counter.collect(owner_has_seen);
                n.imports.collect(stable);
            }
        }
    }

    /// Every dot that makes the element live: for a key's `top`.
    pub fn live_dots(&self) -> Vec<Dot> {
        match self {
            Element::Member(m) => m.dots().to_vec(),
            Element::Ranks(r) => r.ranked().iter().map(|r| r.dot).collect(),
            Element::Number(n) => {
                let written = n.register.written().iter().map(|w| w.dot);
                let cells = n.counter.live().map(|c| Dot {
                    replica: c.tag.replica,
                    position: c.last,
                });
                let imports = n.imports.cells().iter().flat_map(|c| c.dots.iter().copied());
                written.chain(cells).chain(imports).collect()
            }
        }
    }

    /// A 64-bit digest of the element's canonical live state: equal in all replicas with equal vectors. Losers, dead
    /// cells and other garbage are no part of it, since replicas drop them at different times. 0 when not live.
    pub fn digest(&self, id: &ElementId) -> u64 {
        if !self.is_live() {
            return 0;
        }
        let mut bytes = Vec::with_capacity(64);
        bytes.push(u8::try_from(id.ty.index()).unwrap_or(u8::MAX));
        put_bytes(&mut bytes, &id.name);
        match self {
            Element::Member(m) => m.dots().iter().for_each(|d| put_dot(&mut bytes, d)),
            Element::Ranks(r) => bytes.push(r.rank()),
            Element::Number(n) => {
                if let Some(winner) = n.register.winner() {
                    put_dot(&mut bytes, &winner.dot);
                    put_value(&mut bytes, &winner.value);
                }
                for cell in n.counter.live() {
                    put_dot(&mut bytes, &cell.tag);
                    put_dot(
                        &mut bytes,
                        &Dot {
                            replica: cell.tag.replica,
                            position: cell.last,
                        },
                    );
                    put_bytes(&mut bytes, &cell.net().canonical_bytes());
                }
                for cell in n.imports.cells().iter().filter(|c| !c.live().is_empty()) {
                    put_bytes(&mut bytes, &cell.source);
                    put_dot(&mut bytes, &cell.tag);
                    put_bytes(&mut bytes, &cell.live().sum().canonical_bytes());
                }
            }
        }
        xxhash_rust::xxh3::xxh3_64(&bytes)
    }
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
    out.extend_from_slice(bytes);
}

fn put_dot(out: &mut Vec<u8>, dot: &Dot) {
    out.extend_from_slice(&dot.replica.region.0.to_le_bytes());
    out.extend_from_slice(&dot.replica.incarnation.0.to_le_bytes());
    out.extend_from_slice(&dot.position.sequence.get().to_le_bytes());
    out.extend_from_slice(&dot.position.index.to_le_bytes());
}

fn put_value(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Bytes(bytes) => put_bytes(out, bytes),
        Value::Score(score) => out.extend_from_slice(&Score::to_bits(*score).to_le_bytes()),
    }
}
