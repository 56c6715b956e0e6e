//! Folding one cart into another: an anonymous cart into its customer's, at sign-in.
//!
//! Lines add. The same cart folded twice, even in two regions at once, counts once; what is put into it after it was
//! folded shows in it and can be folded again, and only the new part counts. For that the target imports each line's
//! state under its source's identity (see [`cartograph_crdt::import`]), and the source loses, in the same entry,
//! exactly what was imported.
//!
//! - Each live cell goes along with its tag, from where it was last reset to where it stands.
//! - A value that was set goes along as a cell of one increment, named by the assignment. Of concurrent sets the winner
//!   goes; all of them are removed.
//! - What was itself folded into the source goes along under a name that says the way it took: under its first name
//!   it would be lost when a cart is folded there and back, since what was once removed stays removed. So a cart that
//!   reaches the target on two *different* ways (straight, and through a third cart, concurrently) counts once a way.
//! - A line at or below 0 is not shown, so nothing of it goes along. A debt of the target's is removed first, as by any
//!   add.

use cartograph_crdt::import::ImportedSpan;
use cartograph_crdt::{Effect, Element, ElementId, Type, Value};
use cartograph_engine::number::parse_number;
use cartograph_engine::{CommandError, Reply, Shown, Stop, Writer, show};

use crate::cart::whole_number;

/// A line to fold.
struct Folded {
    id: ElementId,
    quantity: i64,
    imported: Vec<ImportedSpan>,
}

/// Folds the cart at `from` into the one at `into`, which then expires at `expiry`. Replies with the number of lines
/// folded; an absent source has none. Both keys must be in one shard.
///
/// # Errors
/// A cart into itself; a line on either side that is no whole number, or would pass 64 bits. Nothing changed.
pub(crate) fn fold(w: &mut Writer<'_>, from: &[u8], into: &[u8], expiry: u64) -> Result<Reply, Stop> {
    if from == into {
        let message = "a cart cannot be folded into itself".to_owned();
        return Err(CommandError::Domain {
            code: "same_cart",
            message,
        }
        .into());
    }
    let source = w.look_typed(from, Type::Hash)?;
    let target = w.look_typed(into, Type::Hash)?;
    if source.is_none() {
        return Ok(Reply::Integer(0));
    }
    let (all, folded) = read_source(w, from)?;
    let in_debt = read_target(w, into, target, &folded)?;
    if !folded.is_empty() {
        w.ready_with_expiry(into, target, Type::Hash, Some(expiry))?;
    }
    for id in in_debt {
        w.reset(into, id)?;
    }
    let count = folded.len();
    for line in folded {
        w.emit(
            into,
            Effect::Import {
                element: line.id,
                imported: line.imported,
            },
        )?;
    }
    w.remove(from, all)?;
    Ok(Reply::count(count))
}

/// Every field of the source, and those lines that are shown.
fn read_source(w: &mut Writer<'_>, from: &[u8]) -> Result<(Vec<ElementId>, Vec<Folded>), Stop> {
    let (mut all, mut folded) = (Vec::new(), Vec::new());
    for (id, element) in w.whole(from)?.live(Type::Hash) {
        let Some(text) = show::text(element) else { continue };
        let quantity = whole_number(id, &text)?;
        all.push(id.clone());
        if quantity > 0 {
            folded.push(Folded {
                id: id.clone(),
                quantity,
                imported: spans(from, element),
            });
        }
    }
    Ok((all, folded))
}

/// The target's lines that stand at or below 0 and are about to be added to.
fn read_target(
    w: &mut Writer<'_>,
    into: &[u8],
    target: Option<Shown>,
    folded: &[Folded],
) -> Result<Vec<ElementId>, Stop> {
    let mut in_debt = Vec::new();
    if target.is_none() {
        return Ok(in_debt);
    }
    let ids: Vec<ElementId> = folded.iter().map(|l| l.id.clone()).collect();
    w.need(into, &ids)?;
    for line in folded {
        let Some(text) = w.element(into, &line.id)?.and_then(show::text) else {
            continue;
        };
        match whole_number(&line.id, &text)? {
            ..=0 => in_debt.push(line.id.clone()),
            has if has.checked_add(line.quantity).is_none() => return Err(CommandError::Overflow.into()),
            _ => {}
        }
    }
    Ok(in_debt)
}

/// What there is to import of a live line. Its base is a number, for the line shows one.
fn spans(from: &[u8], element: &Element) -> Vec<ImportedSpan> {
    let Element::Number(line) = element else {
        return Vec::new();
    };
    let base = element.base().and_then(|value| match value {
        Value::Bytes(bytes) => parse_number(bytes),
        Value::Score(_) => None,
    });
    line.foldable(from, base)
}
