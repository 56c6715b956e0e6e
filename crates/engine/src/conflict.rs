//! What a merge decided, remembered so that `explain` can tell it later.
//!
//! Recorded where a remote effect is applied and finds something concurrent. A region that has the two the other way
//! round (the removal first, then the add that it had not seen) has nothing left to compare with and records nothing;
//! so the list is a help for people, never the state itself. The newest are kept, per shard.

use bincode::{Decode, Encode};
use cartograph_crdt::codec::{self, Error};
use cartograph_crdt::{Dot, Effect, Element, ElementId, Row, Value};
use cartograph_replica::Entry;

/// Format version of remembered conflicts.
const VERSION: u8 = 1;

/// The longest value that is remembered, in bytes; longer ones are cut.
const VALUE_BYTES_MAX: usize = 128;

/// One side of a conflict.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Side {
    /// The effect.
    pub dot: Dot,
    /// Its clock reading in Unix milliseconds, where it is known.
    pub at_ms: Option<u64>,
    /// The value written, where there was one; cut to 128 bytes.
    pub value: Option<Vec<u8>>,
}

/// A rule had to decide.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Conflict {
    /// The element, or `None` for the key as a whole.
    pub element: Option<ElementId>,
    /// Which rule, in plain words.
    pub rule: String,
    /// What prevailed.
    pub winner: Option<Side>,
    /// What did not, or not wholly.
    pub loser: Option<Side>,
    /// When it was decided here, Unix milliseconds.
    pub at_ms: u64,
}

impl Conflict {
    /// The stored form.
    ///
    /// # Errors
    /// When it is too large, which its bounds exclude.
    pub fn encode(&self) -> Result<Vec<u8>, Error> {
        codec::encode("a remembered conflict", VERSION, self)
    }

    /// Reads the stored form.
    ///
    /// # Errors
    /// When it was written by another version, or is damaged.
    pub fn decode(bytes: &[u8]) -> Result<Conflict, Error> {
        codec::decode("a remembered conflict", VERSION, bytes)
    }
}

/// What effect `index` of `entry` met in `row`, to which it has just been applied; `types_before` counts the types
/// that were live before. `None` when nothing was concurrent.
pub(crate) fn decided(
    entry: &Entry,
    index: usize,
    row: &Row,
    types_before: usize,
    at_ms: u64,
) -> Option<(&'static str, Conflict)> {
    let (_, effect) = entry.effects.get(index)?;
    let own = |value: Option<&[u8]>| Side {
        dot: entry.dot(index),
        at_ms: Some(entry.hlc.ms),
        value: value.map(cut),
    };
    let conflict = |element: Option<&ElementId>, rule: &'static str, winner, loser| {
        let element = element.cloned();
        Some((
            rule,
            Conflict {
                element,
                rule: rule.to_owned(),
                winner,
                loser,
                at_ms,
            },
        ))
    };
    match effect {
        Effect::Assign { element, .. } => {
            let Some(Element::Number(n)) = row.element(element) else {
                return None;
            };
            let winner = n.register.winner()?;
            let loser = n.register.written().iter().find(|w| w.dot != winner.dot);
            match loser {
                Some(loser) => {
                    let side = |w: &cartograph_crdt::register_mv::Written<Value>| Side {
                        dot: w.dot,
                        at_ms: Some(w.hlc.ms),
                        value: Some(shown_value(&w.value)),
                    };
                    conflict(
                        Some(element),
                        "last writer wins",
                        Some(side(winner)),
                        Some(side(loser)),
                    )
                }
                None => {
                    let cell = n.counter.live().next()?;
                    let dot = Dot {
                        replica: cell.tag.replica,
                        position: cell.last,
                    };
                    let add = Side {
                        dot,
                        at_ms: None,
                        value: None,
                    };
                    let rule = "increments that a new value had not seen are added to it";
                    conflict(Some(element), rule, Some(add), Some(own(None)))
                }
            }
        }
        Effect::Remove { element, .. } => {
            let survivor = row.element(element).filter(|e| e.is_live())?;
            let rule = "an add wins over a removal that had not seen it";
            conflict(Some(element), rule, survivor_side(survivor), Some(own(None)))
        }
        Effect::Delete { .. } | Effect::Clear { .. } if row.summary.types() > 0 => {
            let survivor = row.elements().find(|(_, e)| e.is_live());
            let rule = "what a deletion had not seen survives it";
            conflict(
                survivor.map(|(id, _)| id),
                rule,
                survivor.and_then(|(_, e)| survivor_side(e)),
                Some(own(None)),
            )
        }
        Effect::Create { .. } if types_before > 0 && row.header.creates.len() > 1 => {
            conflict(None, "the type of the latest creation is shown", None, None)
        }
        Effect::Expire { .. } if row.header.expires.len() > 1 => {
            conflict(None, "of concurrent expiries the longest wins", None, None)
        }
        Effect::Revoke => conflict(
            None,
            "a revoke beats every write that had not seen it",
            Some(own(None)),
            None,
        ),
        Effect::Add { .. }
        | Effect::AddRank { .. }
        | Effect::Inc { .. }
        | Effect::Delete { .. }
        | Effect::Clear { .. }
        | Effect::Expire { .. }
        | Effect::Restate { .. }
        | Effect::Create { .. }
        | Effect::Wipe
        | Effect::Import { .. } => None,
    }
}

fn survivor_side(element: &Element) -> Option<Side> {
    let dot = element.live_dots().into_iter().max()?;
    let value = crate::show::text(element).map(|t| cut(&t.bytes));
    Some(Side {
        dot,
        at_ms: None,
        value,
    })
}

fn shown_value(value: &Value) -> Vec<u8> {
    match value {
        Value::Bytes(bytes) => cut(bytes),
        Value::Score(score) => score.get().to_string().into_bytes(),
    }
}

fn cut(bytes: &[u8]) -> Vec<u8> {
    bytes.get(..VALUE_BYTES_MAX).unwrap_or(bytes).to_vec()
}
