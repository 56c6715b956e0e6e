//! The stored form of a row: one blob per element, one for the header, one for the summary.
//!
//! A blob should stay under 64 bytes, past which Redis gives up its compact hash encoding for good. So replicas are
//! stored as small indexes into a table that the shard's head keeps ([`ReplicaTable`]), positions relative to one
//! another, a cell's last position relative to its tag, and instants relative to each other. The forms here mirror the
//! types of the crate field by field; they are private, so that the stored layout can change without them (and with a
//! new version number).
//!
//! | blob, after ten million entries | bytes |
//! |---|---|
//! | set member, one add | 8 |
//! | cart line, one cell / three cells | 13 / 36 |
//! | header of a live cart | 24 |
//! | the same, made and written to in three regions at once | 58 |
//! | summary of a cart that three regions wrote to | 33 |

mod header;

use std::collections::BTreeMap;

use bincode::de::Decoder;
use bincode::enc::Encoder;
use bincode::error::{DecodeError, EncodeError};
use bincode::{Decode, Encode};

use crate::causal::VersionVector;
use crate::codec::{self, Compact, Error};
use crate::counter_reset::{Baseline, Cell, ObservedResetCounter};
use crate::effect::{Type, Value};
use crate::element::{Element, RegisterCounter};
use crate::exact::Exact;
use crate::hlc::Hlc;
use crate::hyperloglog::{RankRegister, Ranked};
use crate::ids::{Dot, Position, ReplicaId, Sequence};
use crate::import::{Imported, Imports, Span, Spans};
use crate::register_mv::{MvRegister, Written};
use crate::row::Summary;
use crate::set_add_wins::AddWinsMember;

pub use header::{decode_header, encode_header};

/// Format version of element, header and summary blobs. Version 1 was never released.
pub const VERSION: u8 = 2;

/// Small indexes for the replicas that a shard has met, in order of meeting. Local to one store; never sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReplicaTable {
    ids: Vec<ReplicaId>,
    index: BTreeMap<ReplicaId, u32>,
}

impl ReplicaTable {
    /// The table with these replicas, in this order.
    pub fn new(ids: impl IntoIterator<Item = ReplicaId>) -> Self {
        let mut table = ReplicaTable::default();
        for id in ids {
            table.intern(id);
        }
        table
    }

    /// The replica's index; the table grows when it is new, and must then be stored with what used it.
    pub fn intern(&mut self, id: ReplicaId) -> u32 {
        if let Some(at) = self.index.get(&id) {
            return *at;
        }
        let at = u32::try_from(self.ids.len()).unwrap_or(u32::MAX);
        self.ids.push(id);
        self.index.insert(id, at);
        at
    }

    /// All replicas, in order of their index.
    pub fn ids(&self) -> &[ReplicaId] {
        &self.ids
    }

    fn get(&self, at: u32) -> Result<ReplicaId, Error> {
        let found = usize::try_from(at).ok().and_then(|at| self.ids.get(at));
        found.copied().ok_or_else(|| Error::Damaged {
            what: "stored metadata",
            detail: format!(
                "it names replica number {at}, and the shard's table has {}",
                self.ids.len()
            ),
        })
    }
}

struct StoredDot(u32, Sequence, u32);

/// An index in its entry up to this stands in one number with the replica; from here on, what is over follows.
const DOT_INDEX_MAX: u32 = 7;

impl StoredDot {
    /// Replica and index as one number, a byte for the usual ones.
    fn word(&self) -> u64 {
        u64::from(self.0) * 8 + u64::from(self.2.min(DOT_INDEX_MAX))
    }

    fn encode_rest<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
        if let Some(over) = self.2.checked_sub(DOT_INDEX_MAX) {
            Compact(over.into()).encode(encoder)?;
        }
        Compact(self.1.get()).encode(encoder)
    }

    fn decode_rest<D: Decoder>(word: u64, decoder: &mut D) -> Result<Self, DecodeError> {
        let small = |n: u64| u32::try_from(n).map_err(|_| DecodeError::Other("a number is out of range"));
        let mut index = small(word % 8)?;
        if index == DOT_INDEX_MAX {
            let over = small(Compact::decode(decoder)?.0)?;
            let sum = index.checked_add(over);
            index = sum.ok_or(DecodeError::Other("an index is out of range"))?;
        }
        let sequence = Sequence::new(Compact::decode(decoder)?.0);
        let sequence = sequence.ok_or(DecodeError::Other("a sequence is 0"))?;
        Ok(StoredDot(small(word / 8)?, sequence, index))
    }
}

impl Encode for StoredDot {
    fn encode<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
        Compact(self.word()).encode(encoder)?;
        self.encode_rest(encoder)
    }
}

impl<C> Decode<C> for StoredDot {
    fn decode<D: Decoder<Context = C>>(decoder: &mut D) -> Result<Self, DecodeError> {
        let word = Compact::decode(decoder)?.0;
        StoredDot::decode_rest(word, decoder)
    }
}

bincode::impl_borrow_decode!(StoredDot);

impl StoredDot {
    fn new(dot: &Dot, table: &mut ReplicaTable) -> Self {
        StoredDot(
            table.intern(dot.replica),
            dot.position.sequence,
            dot.position.index,
        )
    }

    fn dot(&self, table: &ReplicaTable) -> Result<Dot, Error> {
        Ok(Dot::new(table.get(self.0)?, self.1, self.2))
    }
}

/// Sequence as a distance from another, then the index.
#[derive(Encode, Decode)]
struct Distance(Compact, Compact);

impl Distance {
    fn new(from: Position, to: Position) -> Self {
        Distance(
            Compact::difference(from.sequence.get(), to.sequence.get()),
            Compact(to.index.into()),
        )
    }

    fn position(&self, from: Position) -> Result<Position, Error> {
        let sequence = Sequence::new(self.0.added_to(from.sequence.get()));
        let index = u32::try_from(self.1.0).ok();
        let position = sequence
            .zip(index)
            .map(|(sequence, index)| Position { sequence, index });
        position.ok_or_else(|| Error::Damaged {
            what: "stored metadata",
            detail: "a position is out of range".to_owned(),
        })
    }
}

#[derive(Encode, Decode)]
struct StoredWritten(StoredDot, Compact, Compact, Value);

#[derive(Encode, Decode)]
struct StoredCell(StoredDot, Distance, Exact, Option<(Distance, Exact, StoredDot)>);

#[derive(Encode, Decode)]
struct StoredImported {
    source: Vec<u8>,
    tag: StoredDot,
    dots: Vec<StoredDot>,
    spans: Vec<Span>,
    removed: Vec<Span>,
    removal: Option<StoredDot>,
}

#[derive(Encode, Decode)]
enum StoredElement {
    Member(Vec<StoredDot>),
    /// A register-and-counter with one live assignment and nothing else: the commonest string and field.
    Value(StoredWritten),
    /// One without assignments or imports: the commonest cart line.
    Counter(Vec<StoredCell>),
    Number(Vec<StoredWritten>, Vec<StoredCell>, Vec<StoredImported>),
    Ranks(Vec<(StoredDot, u8)>),
}

/// An element's blob.
///
/// # Errors
/// [`Error::Damaged`] when the element is larger than a blob may be.
pub fn encode_element(element: &Element, table: &mut ReplicaTable) -> Result<Vec<u8>, Error> {
    let stored = match element {
        Element::Member(m) => {
            StoredElement::Member(m.dots().iter().map(|d| StoredDot::new(d, table)).collect())
        }
        Element::Ranks(r) => {
            let ranked = r.ranked().iter().map(|r| (StoredDot::new(&r.dot, table), r.rank));
            StoredElement::Ranks(ranked.collect())
        }
        Element::Number(n) => {
            let mut written: Vec<_> = n
                .register
                .written()
                .iter()
                .map(|w| store_written(w, table))
                .collect();
            let cells: Vec<_> = n.counter.cells().iter().map(|c| store_cell(c, table)).collect();
            let imports: Vec<_> = n
                .imports
                .cells()
                .iter()
                .map(|i| store_imported(i, table))
                .collect();
            match (written.len(), cells.is_empty(), imports.is_empty()) {
                (1, true, true) if !written.is_empty() => StoredElement::Value(written.remove(0)),
                (0, false, true) => StoredElement::Counter(cells),
                _ => StoredElement::Number(written, cells, imports),
            }
        }
    };
    codec::encode("an element", VERSION, &stored)
}

fn store_written(w: &Written<Value>, table: &mut ReplicaTable) -> StoredWritten {
    let (ms, counter) = (Compact(w.hlc.ms), Compact(w.hlc.counter.into()));
    StoredWritten(StoredDot::new(&w.dot, table), ms, counter, w.value.clone())
}

fn store_cell(c: &Cell, table: &mut ReplicaTable) -> StoredCell {
    let baseline = c.baseline.as_ref().map(|b| {
        (
            Distance::new(c.tag.position, b.position),
            b.sum.clone(),
            StoredDot::new(&b.reset, table),
        )
    });
    StoredCell(
        StoredDot::new(&c.tag, table),
        Distance::new(c.tag.position, c.last),
        c.sum.clone(),
        baseline,
    )
}

fn store_imported(i: &Imported, table: &mut ReplicaTable) -> StoredImported {
    StoredImported {
        source: i.source.clone(),
        tag: StoredDot::new(&i.tag, table),
        dots: i.dots.iter().map(|d| StoredDot::new(d, table)).collect(),
        spans: i.spans.as_slice().to_vec(),
        removed: i.removed.as_slice().to_vec(),
        removal: i.removal.as_ref().map(|d| StoredDot::new(d, table)),
    }
}

/// Reads an element of type `ty` from its blob.
///
/// # Errors
/// See [`Error`]; also when the blob holds the state of another type.
pub fn decode_element(ty: Type, bytes: &[u8], table: &ReplicaTable) -> Result<Element, Error> {
    let stored: StoredElement = codec::decode("an element", VERSION, bytes)?;
    let number = |written: Vec<StoredWritten>, cells: Vec<StoredCell>, imports: Vec<StoredImported>| {
        let written = written
            .iter()
            .map(|w| load_written(w, table))
            .collect::<Result<_, _>>()?;
        let cells = cells
            .into_iter()
            .map(|c| load_cell(c, table))
            .collect::<Result<_, _>>()?;
        let imports = imports
            .into_iter()
            .map(|i| load_imported(i, table))
            .collect::<Result<_, _>>()?;
        Ok(Element::Number(Box::new(RegisterCounter {
            register: MvRegister::from_written(written),
            counter: ObservedResetCounter::from_cells(cells),
            imports: Imports::from_cells(imports),
        })))
    };
    let element = match stored {
        StoredElement::Member(dots) => Element::Member(AddWinsMember::from_dots(load_dots(&dots, table)?)),
        StoredElement::Ranks(ranked) => {
            let ranked = ranked.iter().map(|(d, rank)| {
                Ok(Ranked {
                    dot: d.dot(table)?,
                    rank: *rank,
                })
            });
            Element::Ranks(RankRegister::from_ranked(ranked.collect::<Result<_, Error>>()?))
        }
        StoredElement::Value(written) => number(vec![written], Vec::new(), Vec::new())?,
        StoredElement::Counter(cells) => number(Vec::new(), cells, Vec::new())?,
        StoredElement::Number(written, cells, imports) => number(written, cells, imports)?,
    };
    let fits = matches!(
        (ty, &element),
        (Type::Set, Element::Member(_))
            | (Type::HyperLogLog, Element::Ranks(_))
            | (Type::String | Type::Hash | Type::SortedSet, Element::Number(_))
    );
    if fits {
        Ok(element)
    } else {
        Err(Error::Damaged {
            what: "an element",
            detail: format!("its blob is not that of a {ty}"),
        })
    }
}

fn load_dots(dots: &[StoredDot], table: &ReplicaTable) -> Result<Vec<Dot>, Error> {
    dots.iter().map(|d| d.dot(table)).collect()
}

fn load_written(w: &StoredWritten, table: &ReplicaTable) -> Result<Written<Value>, Error> {
    Ok(Written {
        dot: w.0.dot(table)?,
        hlc: load_hlc(w.1.0, w.2.0)?,
        value: w.3.clone(),
    })
}

fn load_hlc(ms: u64, counter: u64) -> Result<Hlc, Error> {
    let counter = counter.try_into().map_err(|_| Error::Damaged {
        what: "stored metadata",
        detail: format!("a clock's counter reads {counter}"),
    })?;
    Ok(Hlc { ms, counter })
}

fn load_cell(c: StoredCell, table: &ReplicaTable) -> Result<Cell, Error> {
    let tag = c.0.dot(table)?;
    let baseline = match c.3 {
        None => None,
        Some((at, sum, reset)) => Some(Baseline {
            position: at.position(tag.position)?,
            sum,
            reset: reset.dot(table)?,
        }),
    };
    Ok(Cell {
        tag,
        last: c.1.position(tag.position)?,
        sum: c.2,
        baseline,
    })
}

fn load_imported(i: StoredImported, table: &ReplicaTable) -> Result<Imported, Error> {
    Ok(Imported {
        source: i.source,
        tag: i.tag.dot(table)?,
        dots: load_dots(&i.dots, table)?,
        spans: Spans::new(i.spans),
        removed: Spans::new(i.removed),
        removal: i.removal.map(|d| d.dot(table)).transpose()?,
    })
}

#[derive(Encode, Decode)]
struct StoredVector(Vec<(u32, Compact)>);

impl StoredVector {
    fn new(vector: &VersionVector, table: &mut ReplicaTable) -> Self {
        StoredVector(
            vector
                .iter()
                .map(|(r, n)| (table.intern(r), Compact(n)))
                .collect(),
        )
    }

    fn vector(&self, table: &ReplicaTable) -> Result<VersionVector, Error> {
        self.0.iter().map(|(r, n)| Ok((table.get(*r)?, n.0))).collect()
    }
}

#[derive(Encode, Decode)]
struct StoredSummary {
    live: Vec<(u8, Compact)>,
    counters: Compact,
    digest: [u8; 8],
    top: StoredVector,
    changed: Compact,
}

/// A summary's blob.
///
/// # Errors
/// [`Error::Damaged`] when it is larger than a blob may be.
pub fn encode_summary(summary: &Summary, table: &mut ReplicaTable) -> Result<Vec<u8>, Error> {
    let live = (0_u8..).zip(summary.live).filter(|(_, n)| *n > 0);
    let live = live.map(|(at, n)| (at, Compact(n))).collect();
    let stored = StoredSummary {
        live,
        counters: Compact(summary.counters),
        digest: summary.digest.to_le_bytes(),
        top: StoredVector::new(&summary.top, table),
        changed: Compact(summary.changed),
    };
    codec::encode("a key's summary", VERSION, &stored)
}

/// Reads a summary from its blob.
///
/// # Errors
/// See [`Error`].
pub fn decode_summary(bytes: &[u8], table: &ReplicaTable) -> Result<Summary, Error> {
    let stored: StoredSummary = codec::decode("a key's summary", VERSION, bytes)?;
    let mut summary = Summary {
        counters: stored.counters.0,
        digest: u64::from_le_bytes(stored.digest),
        top: stored.top.vector(table)?,
        changed: stored.changed.0,
        ..Summary::default()
    };
    for (at, n) in stored.live {
        if let Some(live) = summary.live.get_mut(usize::from(at)) {
            *live = n.0;
        }
    }
    Ok(summary)
}

#[cfg(test)]
mod tests;
