//! What a merge decided, remembered so that `explain` can tell it later.
//!
//! Recorded where a remote effect is applied and finds something concurrent. A region that has the two the other way
//! round (the removal first, then the add that it had not seen) has nothing left to compare with and records nothing;
//! so the list is a help for people, never the state itself. The newest are kept, per shard.

use bincode::{Decode, Encode};
use cartograph_crdt::codec::{self, Error};
use cartograph_crdt::register_mv::Written;
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
    let own = || Side {
        dot: entry.dot(index),
        at_ms: Some(entry.hlc.ms),
        value: None,
    };
    let decision = match effect {
        Effect::Assign { element, .. } => assigned(element, row, own())?,
        Effect::Remove { element, .. } => {
            let survivor = row.element(element).filter(|e| e.is_live())?;
            Decision {
                element: Some(element.clone()),
                rule: "an add wins over a removal that had not seen it",
                winner: survivor_side(survivor),
                loser: Some(own()),
            }
        }
        Effect::Delete { .. } | Effect::Clear { .. } if row.summary.types() > 0 => {
            let survivor = row.elements().find(|(_, e)| e.is_live());
            Decision {
                element: survivor.map(|(id, _)| id.clone()),
                rule: "what a deletion had not seen survives it",
                winner: survivor.and_then(|(_, e)| survivor_side(e)),
                loser: Some(own()),
            }
        }
        Effect::Create { .. } if types_before > 0 && row.header.creates.len() > 1 => {
            Decision::of_key("the type of the latest creation is shown", None)
        }
        Effect::Expire { .. } if row.header.expires.len() > 1 => {
            Decision::of_key("of concurrent expiries the longest wins", None)
        }
        Effect::Revoke => Decision::of_key("a revoke beats every write that had not seen it", Some(own())),
        Effect::Add { .. }
        | Effect::AddRank { .. }
        | Effect::Inc { .. }
        | Effect::Delete { .. }
        | Effect::Clear { .. }
        | Effect::Expire { .. }
        | Effect::Restate { .. }
        | Effect::Create { .. }
        | Effect::Wipe
        | Effect::Import { .. } => return None,
    };
    let Decision {
        element,
        rule,
        winner,
        loser,
    } = decision;
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
}

struct Decision {
    element: Option<ElementId>,
    rule: &'static str,
    winner: Option<Side>,
    loser: Option<Side>,
}

impl Decision {
    fn of_key(rule: &'static str, winner: Option<Side>) -> Self {
        Decision {
            element: None,
            rule,
            winner,
            loser: None,
        }
    }
}

/// A value met another value, or increments that it had not seen.
fn assigned(element: &ElementId, row: &Row, own: Side) -> Option<Decision> {
    let Some(Element::Number(n)) = row.element(element) else {
        return None;
    };
    let winner = n.register.winner()?;
    let side = |w: &Written<Value>| Side {
        dot: w.dot,
        at_ms: Some(w.hlc.ms),
        value: Some(shown_value(&w.value)),
    };
    if let Some(loser) = n.register.written().iter().find(|w| w.dot != winner.dot) {
        return Some(Decision {
            element: Some(element.clone()),
            rule: "last writer wins",
            winner: Some(side(winner)),
            loser: Some(side(loser)),
        });
    }
    let cell = n.counter.live().next()?;
    let dot = Dot {
        replica: cell.tag.replica,
        position: cell.last,
    };
    Some(Decision {
        element: Some(element.clone()),
        rule: "increments that a new value had not seen are added to it",
        winner: Some(Side {
            dot,
            at_ms: None,
            value: None,
        }),
        loser: Some(own),
    })
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

#[cfg(test)]
mod tests {
    use super::*;
    use cartograph_crdt::{ReplicaId, Sequence};

    #[test]
    fn a_remembered_conflict_reads_back() {
        let side = Side {
            dot: Dot::new(ReplicaId::new(2, 9), Sequence::FIRST, 1),
            at_ms: Some(5),
            value: Some(b"7".to_vec()),
        };
        let conflict = Conflict {
            element: Some(ElementId::field(b"sku")),
            rule: "last writer wins".to_owned(),
            winner: Some(side.clone()),
            loser: None,
            at_ms: 9,
        };
        assert_eq!(Conflict::decode(&conflict.encode().unwrap()), Ok(conflict));
        assert!(Conflict::decode(b"nonsense").is_err());
    }

    #[test]
    fn long_values_are_cut() {
        assert_eq!(cut(&[7; 4_096]).len(), VALUE_BYTES_MAX);
        assert_eq!(cut(b"short"), b"short");
    }
}
