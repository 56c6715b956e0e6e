//! Sessions: read your writes and monotonic reads through one region, and across regions with a session token.
//!
//! A client does one thing at a time. What it has been acknowledged or shown in a region it is shown again there, until
//! somebody removes it; sums that only rise do not fall. When that region's store is wiped or set back the chain begins
//! anew: what it had from others is fetched again, but perhaps not before a cut link heals.
//!
//! A token has no such excuse. A read that presents one either fails or shows everything that the operation had seen from
//! which the token came, whatever happened to any store in between.

use std::collections::BTreeMap;

use super::super::history::{Event, History, Instant, Object, Op, Outcome, Violation};
use super::registers::{Writes, writes};

/// What a client must be shown.
#[derive(Clone, Debug, Default)]
struct Seen {
    /// Member, and the operation that says so.
    members: BTreeMap<u32, u32>,
    sums: BTreeMap<u8, (i64, u32)>,
    /// Since when.
    since: Option<Instant>,
}

/// Checks every session.
pub(crate) fn check(history: &History) -> Vec<Violation> {
    let removed = removed(history);
    let registers = writes(history);
    let by_id: BTreeMap<u32, &Event> = history.events.iter().map(|event| (event.id, event)).collect();
    let mut sessions: BTreeMap<(u32, usize, Object), Seen> = BTreeMap::new();
    let mut order: Vec<&Event> = history.events.iter().collect();
    order.sort_by_key(|event| event.start);
    let mut violations = Vec::new();
    for event in order {
        if let Some(before) = event.after.and_then(|id| by_id.get(&id)) {
            let mut seen = Seen::default();
            learn(&mut seen, before);
            violations.extend(missing(history, event, &seen, &removed, "session tokens"));
            violations.extend(stale_by_token(
                history,
                event,
                before,
                registers.get(&event.object),
            ));
        }
        let seen = sessions
            .entry((event.session, event.region, event.object))
            .or_default();
        if seen
            .since
            .is_some_and(|since| history.lost_between(event.region, since, event.end))
        {
            *seen = Seen::default();
        }
        violations.extend(missing(history, event, seen, &removed, "sessions"));
        learn(seen, event);
    }
    violations
}

/// Members that somebody removed or may have removed, with when that began at the earliest.
fn removed(history: &History) -> BTreeMap<(Object, u32), Instant> {
    let mut removed = BTreeMap::new();
    for event in &history.events {
        if let (Op::Remove(member), false) = (event.op, matches!(event.outcome, Outcome::Failed(_))) {
            let first = removed.entry((event.object, member)).or_insert(event.start);
            *first = event.start.min(*first);
        }
    }
    removed
}

/// What an operation's client knows from it.
fn learn(seen: &mut Seen, event: &Event) {
    if !event.outcome.is_ok() {
        return;
    }
    if let Op::Add(member) = event.op {
        seen.members.insert(member, event.id);
    }
    if let Some(view) = event.view() {
        for member in &view.members {
            seen.members.insert(*member, event.id);
        }
        for (sum, shown) in &view.sums {
            let known = seen.sums.entry(*sum).or_insert((*shown, event.id));
            *known = (*known).max((*shown, event.id));
        }
    }
    seen.since = seen.since.or(Some(event.start));
}

/// What this operation's answer should have shown and did not.
fn missing(
    history: &History,
    event: &Event,
    seen: &Seen,
    removed: &BTreeMap<(Object, u32), Instant>,
    check: &'static str,
) -> Vec<Violation> {
    let Some(view) = event.view() else {
        return Vec::new();
    };
    let place = history.name(event.region);
    let mut violations = Vec::new();
    for (member, by) in &seen.members {
        let excused = removed
            .get(&(event.object, *member))
            .is_some_and(|began| *began < event.end);
        if !excused && !view.members.contains(member) && holds_members(event.object) {
            violations.push(Violation {
                check,
                what: format!(
                    "operation {} in {place} does not show member {member} of {}, which the same client knew by operation {by}",
                    event.id, event.object
                ),
                events: vec![*by, event.id],
            });
        }
    }
    for (sum, (known, by)) in &seen.sums {
        let shown = view.sum(*sum);
        if event.object.only_rises() && shown < *known {
            violations.push(Violation {
                check,
                what: format!(
                    "operation {} in {place} shows {shown} for {} (sum {sum}), less than the {known} of operation {by} of the \
                     same client",
                    event.id, event.object
                ),
                events: vec![*by, event.id],
            });
        }
    }
    violations
}

fn holds_members(object: Object) -> bool {
    match object {
        Object::Set(_) | Object::Cart(_) => true,
        Object::Rising(_) | Object::Counter(_) | Object::Register(_) => false,
    }
}

/// A register read with the token of a write shows that write or one that is not older.
fn stale_by_token(
    history: &History,
    event: &Event,
    before: &Event,
    writes: Option<&Writes<'_>>,
) -> Option<Violation> {
    let (Op::Write(_), true, Op::Read) = (before.op, before.outcome.is_ok(), event.op) else {
        return None;
    };
    let view = event.view()?;
    let stale = match view.value {
        None => true,
        // Acknowledged in the same region before the token's write began: that one had seen it.
        Some(value) => writes.and_then(|writes| writes.of(value)).is_some_and(|write| {
            write.region == before.region
                && write.outcome.is_ok()
                && write.end < before.start
                && !history.lost_between(write.region, write.start, before.end)
        }),
    };
    stale.then(|| Violation {
        check: "session tokens",
        what: format!(
            "operation {} in {} presents the token of operation {} and reads {} older than it",
            event.id,
            history.name(event.region),
            before.id,
            view.value
                .map_or("nothing,".to_owned(), |value| format!("{value},"))
        ),
        events: vec![before.id, event.id],
    })
}
