//! What commands become: the few effects of which every entry is made.
//!
//! An effect says what its writer meant; its entry's causal context says what the writer had seen. A removal names a
//! key or an element and removes exactly what its context covers there, so it is as small for a set of a million
//! members as for one of two. What each effect does to a key is [`crate::row`]'s business.

use std::fmt;

use bincode::{Decode, Encode};

use crate::counter_reset::CellReset;
use crate::exact::Exact;
use crate::ids::Position;
use crate::import::ImportedSpan;

/// A type of Redis value. The order is the one in which types without a creating mark are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub enum Type {
    /// A string or number.
    String,
    /// A hash.
    Hash,
    /// A set.
    Set,
    /// A sorted set, geo included.
    SortedSet,
    /// A HyperLogLog (to Redis a string).
    HyperLogLog,
}

impl Type {
    /// All types, in order.
    pub const ALL: [Type; 5] = [
        Type::String,
        Type::Hash,
        Type::Set,
        Type::SortedSet,
        Type::HyperLogLog,
    ];

    /// Its place in [`Type::ALL`]; also its stored tag, never renumbered.
    pub fn index(self) -> usize {
        match self {
            Type::String => 0,
            Type::Hash => 1,
            Type::Set => 2,
            Type::SortedSet => 3,
            Type::HyperLogLog => 4,
        }
    }

    /// The name that Redis's `TYPE` gives.
    pub fn redis_name(self) -> &'static str {
        match self {
            Type::String | Type::HyperLogLog => "string",
            Type::Hash => "hash",
            Type::Set => "set",
            Type::SortedSet => "zset",
        }
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Type::String => "string",
            Type::Hash => "hash",
            Type::Set => "set",
            Type::SortedSet => "sorted set",
            Type::HyperLogLog => "HyperLogLog",
        })
    }
}

/// One element of a key: a set member, hash field, sorted-set member, HyperLogLog register, or a string's one value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct ElementId {
    /// Of which of the key's types.
    pub ty: Type,
    /// Its name; empty for a string, the register's number (two bytes, big-endian) for a HyperLogLog.
    pub name: Vec<u8>,
}

impl ElementId {
    /// A string's one value.
    pub fn string() -> Self {
        ElementId {
            ty: Type::String,
            name: Vec::new(),
        }
    }

    /// A hash field.
    pub fn field(name: &[u8]) -> Self {
        ElementId {
            ty: Type::Hash,
            name: name.to_vec(),
        }
    }

    /// A set member.
    pub fn member(name: &[u8]) -> Self {
        ElementId {
            ty: Type::Set,
            name: name.to_vec(),
        }
    }

    /// A sorted set's member.
    pub fn scored(name: &[u8]) -> Self {
        ElementId {
            ty: Type::SortedSet,
            name: name.to_vec(),
        }
    }

    /// A HyperLogLog's register.
    pub fn register(index: u16) -> Self {
        ElementId {
            ty: Type::HyperLogLog,
            name: index.to_be_bytes().to_vec(),
        }
    }
}

/// A sorted set's score: a double that is a number, infinities included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Encode, Decode)]
pub struct Score(u64);

impl Score {
    /// `score` as a score; `None` for NaN.
    pub fn new(score: f64) -> Option<Self> {
        (!score.is_nan()).then(|| Score(score.to_bits()))
    }

    /// The double.
    pub fn get(self) -> f64 {
        f64::from_bits(self.0)
    }

    /// Its bits, for canonical forms.
    pub fn to_bits(self) -> u64 {
        self.0
    }
}

/// What a register is assigned.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Value {
    /// A string's or hash field's bytes.
    Bytes(Vec<u8>),
    /// A sorted-set member's score.
    Score(Score),
}

/// How far the writer of a removal had seen one element's increments and imports.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Observed {
    /// Other replicas' live cells.
    pub cells: Vec<CellReset>,
    /// Imported increments.
    pub imports: Vec<ImportedSpan>,
}

impl Observed {
    /// Is there nothing to name?
    pub fn is_empty(&self) -> bool {
        self.cells.is_empty() && self.imports.is_empty()
    }
}

/// One effect on one key.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Effect {
    /// A set member is there.
    Add {
        /// The member.
        element: ElementId,
    },
    /// A HyperLogLog register has seen this rank.
    AddRank {
        /// The register.
        register: u16,
        /// The rank.
        rank: u8,
    },
    /// A register has this value; values and increments that the writer had seen no longer count.
    Assign {
        /// The string, field or sorted-set member.
        element: ElementId,
        /// The value.
        value: Value,
        /// How far its increments had been seen.
        observed: Observed,
    },
    /// A number grows: the writer's own increments of it sum up to `sum` here.
    Inc {
        /// The string, field or sorted-set member.
        element: ElementId,
        /// The position that created the writer's cell.
        tag: Position,
        /// The exact sum of the cell up to here.
        sum: Exact,
    },
    /// What the writer had seen of the element is gone.
    Remove {
        /// The element.
        element: ElementId,
        /// How far its increments had been seen.
        observed: Observed,
    },
    /// What the writer had seen of the whole key is gone: elements of every type, expiry, creating marks.
    Delete {
        /// How far the increments of its elements had been seen, where there are any.
        observed: Vec<(ElementId, Observed)>,
    },
    /// As `Delete`, but the expiry and the creating marks stay (SET KEEPTTL).
    Clear {
        /// As in `Delete`.
        observed: Vec<(ElementId, Observed)>,
    },
    /// The key expires at this instant, in Unix milliseconds, or never.
    Expire {
        /// The instant; `None` for never.
        at: Option<u64>,
    },
    /// The writer found this expiry and left it alone: counts only where no set expiry is left.
    Restate {
        /// The instant, in Unix milliseconds.
        at: u64,
    },
    /// This write made the key, as this type: decides type clashes.
    Create {
        /// The type.
        ty: Type,
    },
    /// Everything about the key whose writer had not seen this is gone: remove-wins.
    Revoke,
    /// The same for the key's HyperLogLog only.
    Wipe,
    /// A line's state is folded in under its source's name.
    Import {
        /// The target field.
        element: ElementId,
        /// What of the source is folded in.
        imported: Vec<ImportedSpan>,
    },
}

impl Effect {
    /// The element that the effect is about, if it is about one.
    pub fn element(&self) -> Option<ElementId> {
        match self {
            Effect::Add { element }
            | Effect::Assign { element, .. }
            | Effect::Inc { element, .. }
            | Effect::Remove { element, .. }
            | Effect::Import { element, .. } => Some(element.clone()),
            Effect::AddRank { register, .. } => Some(ElementId::register(*register)),
            Effect::Delete { .. }
            | Effect::Clear { .. }
            | Effect::Expire { .. }
            | Effect::Restate { .. }
            | Effect::Create { .. }
            | Effect::Revoke
            | Effect::Wipe => None,
        }
    }

    /// Does a sane writer make such an effect? A peer's effect that fails this is refused with its whole link, before
    /// it can bend an element into another type's state.
    pub fn is_well_formed(&self) -> bool {
        match self {
            Effect::Add { element } => element.ty == Type::Set,
            Effect::AddRank { register, rank } => {
                *register < crate::hyperloglog::REGISTERS && (1..=crate::hyperloglog::RANK_MAX).contains(rank)
            }
            Effect::Assign { element, value, .. } => match (element.ty, value) {
                (Type::String, Value::Bytes(_)) => element.name.is_empty(),
                (Type::Hash, Value::Bytes(_)) | (Type::SortedSet, Value::Score(_)) => true,
                _ => false,
            },
            Effect::Inc { element, .. } => match element.ty {
                Type::String => element.name.is_empty(),
                Type::Hash | Type::SortedSet => true,
                Type::Set | Type::HyperLogLog => false,
            },
            Effect::Import { element, imported } => {
                element.ty == Type::Hash && imported.iter().all(|i| i.span.from.at < i.span.to.at)
            }
            Effect::Remove { .. }
            | Effect::Delete { .. }
            | Effect::Clear { .. }
            | Effect::Expire { .. }
            | Effect::Restate { .. }
            | Effect::Create { .. }
            | Effect::Revoke
            | Effect::Wipe => true,
        }
    }
}
