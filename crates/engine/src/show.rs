//! What an element shows to a reader: its winning base and its live increments, rounded once.

use cartograph_crdt::{Element, Score, Value};

use crate::number::{parse_number, show_number, show_score};

/// A string or field as shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// Is it a merged number past its range, shown at the end of the range? Increments of such a value are refused.
    pub saturated: bool,
}

/// What a live string or hash field shows: a base as written until a live increment joins it; a base that is no
/// number as it is, the increments waiting behind it. `None` for other elements and for those that are not live.
pub fn text(element: &Element) -> Option<Text> {
    if !element.is_live() {
        return None;
    }
    let base = match element.base() {
        Some(Value::Bytes(bytes)) => Some(bytes),
        Some(Value::Score(_)) => return None,
        None => None,
    };
    let as_written = |bytes: &Vec<u8>| Text {
        bytes: bytes.clone(),
        saturated: false,
    };
    let Some(sum) = element.increments() else {
        return base.map(as_written);
    };
    match base.map(|b| (b, parse_number(b))) {
        Some((bytes, None)) => Some(as_written(bytes)),
        Some((_, Some(number))) => Some(shown(Some(&number), &sum)),
        None => Some(shown(None, &sum)),
    }
}

fn shown(base: Option<&cartograph_crdt::Exact>, sum: &cartograph_crdt::Exact) -> Text {
    let shown = show_number(base, sum);
    Text {
        bytes: shown.text,
        saturated: shown.saturated,
    }
}

/// What a live sorted-set member shows. `None` for other elements and for those that are not live.
pub fn score(element: &Element) -> Option<Score> {
    if !element.is_live() {
        return None;
    }
    let base = match element.base() {
        Some(Value::Score(score)) => Some(score.get()),
        Some(Value::Bytes(_)) => return None,
        None => None,
    };
    match (base, element.increments()) {
        (Some(base), None) => Score::new(base),
        (base, Some(sum)) => Score::new(show_score(base, &sum)),
        (None, None) => None,
    }
}
