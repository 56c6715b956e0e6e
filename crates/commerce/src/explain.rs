//! Why is this cart what it is? For each line: which replica wrote what, what counts, and which rule decided.
//!
//! A pure function of a cart's whole metadata. It reaches back as far as that does: what was overwritten or removed and
//! has been seen by everyone is forgotten. A sum of one replica's increments is one write here, at the position of its
//! last increment: single increments are not kept.

use cartograph_crdt::counter_reset::Cell;
use cartograph_crdt::import::Imported;
use cartograph_crdt::{Dot, Element, ElementId, Exact, RegisterCounter, Row, Type, Value};
use cartograph_engine::number::parse_i64;
use cartograph_engine::show;

/// Digits shown after the point.
const PLACES: u32 = 17;

/// Where a write or a removal stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct At {
    /// The replica: `<region id>-<incarnation>`.
    pub replica: String,
    /// Its region's id.
    pub region: u16,
    /// The entry.
    pub sequence: u64,
    /// The effect in the entry.
    pub index: u32,
}

impl At {
    fn of(dot: &Dot) -> Self {
        At {
            replica: dot.replica.to_string(),
            region: dot.replica.region.0,
            sequence: dot.position.sequence.get(),
            index: dot.position.index,
        }
    }
}

/// What a write did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Set the quantity.
    Set,
    /// Added to it, or took from it: one replica's sum.
    Add,
    /// Folded in from another cart: one replica's sum there.
    Import {
        /// The source's key.
        source: String,
    },
}

/// What became of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The set value that is shown, or is the base of what is.
    Winner,
    /// A concurrent set value that is not shown. It would be, if the winner were removed by someone who had not seen it.
    Loser,
    /// Counts.
    Counted,
    /// Counts no longer: a removal or a set had seen it.
    Reset,
}

/// One write that is still known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// Where it was written.
    pub at: At,
    /// What it did.
    pub kind: Kind,
    /// The value set, or the sum added, in decimal.
    pub value: String,
    /// Its clock reading in Unix milliseconds; known of sets only.
    pub hlc_ms: Option<u64>,
    /// What became of it.
    pub outcome: Outcome,
    /// The removal or set that took it back, where it is known.
    pub reset_by: Option<At>,
}

/// One line explained.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineExplanation {
    /// The line.
    pub sku: String,
    /// What `HGETALL` shows; `None` when the line is gone and only its removals are still known.
    pub stored: Option<String>,
    /// What cart doors show: pieces above 0.
    pub quantity: Option<i64>,
    /// Every write that is still known, those that count first.
    pub writes: Vec<Write>,
    /// The rules that decided, in plain words.
    pub rules: Vec<&'static str>,
}

/// A cart explained.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Explanation {
    /// Its lines, by SKU; gone ones too, while something is known of them.
    pub lines: Vec<LineExplanation>,
    /// When the cart expires, in Unix milliseconds; `None` for never.
    pub expires_ms: Option<u64>,
    /// The Redis type that the key shows (before expiry): `hash` for a cart, `None` for nothing.
    pub shown_as: Option<&'static str>,
}

/// Explains a cart, given its complete row.
pub fn explain(row: &Row) -> Explanation {
    let hash = row.elements().filter(|(id, _)| id.ty == Type::Hash);
    Explanation {
        lines: hash.filter_map(|(id, element)| line(id, element)).collect(),
        expires_ms: row.header.expiry(),
        shown_as: row.shown_type().map(Type::redis_name),
    }
}

/// Explains an element of any key, a cart's or not; `sku` is its name then, and `quantity` what it would be as a line.
/// `None` for a HyperLogLog's registers, of which only the highest rank is known.
pub fn explain_element(id: &ElementId, element: &Element) -> Option<LineExplanation> {
    match element {
        Element::Number(_) => line(id, element),
        Element::Member(member) => Some(LineExplanation {
            sku: String::from_utf8_lossy(&id.name).into_owned(),
            stored: member
                .is_present()
                .then(|| String::from_utf8_lossy(&id.name).into_owned()),
            quantity: None,
            writes: member.dots().iter().map(added).collect(),
            rules: vec!["a member is there while one add of it is that no removal had seen"],
        }),
        Element::Ranks(_) => None,
    }
}

/// An add of a set's member.
fn added(dot: &Dot) -> Write {
    Write {
        at: At::of(dot),
        kind: Kind::Add,
        value: String::new(),
        hlc_ms: None,
        outcome: Outcome::Counted,
        reset_by: None,
    }
}

/// What an element shows, whatever its type.
fn shown(element: &Element) -> Option<show::Text> {
    show::text(element).or_else(|| {
        let score = show::score(element)?;
        Some(show::Text {
            bytes: score.get().to_string().into_bytes(),
            saturated: false,
        })
    })
}

fn line(id: &ElementId, element: &Element) -> Option<LineExplanation> {
    let Element::Number(number) = element else {
        return None;
    };
    let stored = shown(element);
    let quantity = stored
        .as_ref()
        .and_then(|t| parse_i64(&t.bytes))
        .filter(|q| *q > 0);
    let mut writes = sets(number);
    writes.extend(number.counter.cells().iter().flat_map(adds));
    writes.extend(number.imports.cells().iter().flat_map(imports));
    writes.sort_by_key(|w| w.outcome == Outcome::Reset);
    let saturated = stored.as_ref().is_some_and(|t| t.saturated);
    Some(LineExplanation {
        sku: String::from_utf8_lossy(&id.name).into_owned(),
        rules: rules(&writes, stored.is_some(), quantity, saturated),
        stored: stored.map(|t| String::from_utf8_lossy(&t.bytes).into_owned()),
        quantity,
        writes,
    })
}

fn sets(number: &RegisterCounter) -> Vec<Write> {
    let winner = number.register.winner().map(|w| w.dot);
    let set = |w: &cartograph_crdt::register_mv::Written<Value>| Write {
        at: At::of(&w.dot),
        kind: Kind::Set,
        value: match &w.value {
            Value::Bytes(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            Value::Score(score) => score.get().to_string(),
        },
        hlc_ms: Some(w.hlc.ms),
        outcome: if Some(w.dot) == winner {
            Outcome::Winner
        } else {
            Outcome::Loser
        },
        reset_by: None,
    };
    let mut sets: Vec<Write> = number.register.written().iter().map(set).collect();
    sets.sort_by_key(|w| w.outcome == Outcome::Loser);
    sets
}

/// A cell's increments: those past its baseline count, those up to it do not.
fn adds(cell: &Cell) -> Vec<Write> {
    let write = |position, sum: &Exact, reset: Option<&Dot>| Write {
        at: At::of(&Dot {
            replica: cell.tag.replica,
            position,
        }),
        kind: Kind::Add,
        value: sum.to_plain(PLACES),
        hlc_ms: None,
        outcome: if reset.is_some() {
            Outcome::Reset
        } else {
            Outcome::Counted
        },
        reset_by: reset.map(At::of),
    };
    let live = cell.is_live().then(|| write(cell.last, &cell.net(), None));
    let dead = cell
        .baseline
        .as_ref()
        .map(|b| write(b.position, &b.sum, Some(&b.reset)));
    live.into_iter().chain(dead).collect()
}

fn imports(cell: &Imported) -> Vec<Write> {
    let write = |outcome: Outcome, span: &cartograph_crdt::import::Span, reset: Option<&Dot>| Write {
        at: At::of(&Dot {
            replica: cell.tag.replica,
            position: span.to.at.unwrap_or(cell.tag.position),
        }),
        kind: Kind::Import {
            source: String::from_utf8_lossy(&cell.source).into_owned(),
        },
        value: (span.to.sum.clone() - span.from.sum.clone()).to_plain(PLACES),
        hlc_ms: None,
        outcome,
        reset_by: reset.map(At::of),
    };
    let live = cell.live();
    let counted = live.as_slice().iter().map(|s| write(Outcome::Counted, s, None));
    let gone = cell.removed.as_slice().iter();
    counted
        .chain(gone.map(|s| write(Outcome::Reset, s, cell.removal.as_ref())))
        .collect()
}

fn rules(writes: &[Write], there: bool, quantity: Option<i64>, saturated: bool) -> Vec<&'static str> {
    let count = |outcome| writes.iter().filter(|w| w.outcome == outcome).count();
    let imported = |w: &&Write| matches!(w.kind, Kind::Import { .. }) && w.outcome == Outcome::Counted;
    let all = [
        (
            count(Outcome::Loser) > 0,
            "of concurrent sets the one with the later clock is shown; on an equal clock the smaller region id",
        ),
        (
            count(Outcome::Winner) > 0 && count(Outcome::Counted) > 0,
            "adds that the set had not seen count on top of it",
        ),
        (
            count(Outcome::Winner) == 0 && count(Outcome::Counted) > 1,
            "adds of all replicas sum up",
        ),
        (
            count(Outcome::Reset) > 0,
            "a removal or a set takes back exactly what it had seen, for good; what it had not seen stays",
        ),
        (
            writes.iter().any(|w| imported(&w)),
            "what was folded in counts once, however often and wherever it was folded",
        ),
        (
            there && quantity.is_none(),
            "a line that is not a whole number above 0 is not shown; the next add begins at zero",
        ),
        (
            saturated,
            "a sum past 64 bits is shown at the end of the range, and takes no increments",
        ),
    ];
    all.into_iter()
        .filter(|(applies, _)| *applies)
        .map(|(_, rule)| rule)
        .collect()
}
