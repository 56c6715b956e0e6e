//! Registers: a value that was overwritten by somebody who had it does not come back.
//!
//! Inside one region writes follow each other, so a write that began after another was acknowledged in the same region had
//! seen it: from then on the older value is neither read in that region nor left at the end anywhere. Values are unique;
//! which of two concurrent writes wins is for the semantics' vectors to test, but nobody may show a value that nobody wrote.

use std::collections::{BTreeMap, BTreeSet};

use super::super::history::{Event, History, Object, Op, Violation};
use super::risk::{Fate, fate};

/// One register's writes.
#[derive(Default)]
pub(crate) struct Writes<'a> {
    /// By value.
    by_value: BTreeMap<u64, (&'a Event, Fate)>,
}

/// All registers' writes.
pub(crate) fn writes(history: &History) -> BTreeMap<Object, Writes<'_>> {
    let mut all: BTreeMap<Object, Writes<'_>> = BTreeMap::new();
    for event in &history.events {
        if let Op::Write(value) = event.op {
            let known = fate(history, event);
            let writes = all.entry(event.object).or_default();
            writes.by_value.insert(value, (event, known));
        }
    }
    all
}

impl<'a> Writes<'a> {
    /// The first write, acknowledged in `write`'s region, that had seen it; only ones that are there for certain.
    fn successor(&self, history: &History, write: &Event) -> Option<&'a Event> {
        self.by_value
            .values()
            .filter(|(other, fate)| {
                *fate == Fate::Must
                    && write.outcome.is_ok()
                    && other.region == write.region
                    && other.start > write.end
                    && !history.lost_between(write.region, write.start, other.end)
            })
            .map(|(other, _)| *other)
            .min_by_key(|other| other.end)
    }

    /// The write of a value.
    pub(crate) fn of(&self, value: u64) -> Option<&'a Event> {
        self.by_value.get(&value).map(|(write, _)| *write)
    }
}

/// Checks reads and final values.
pub(crate) fn check(history: &History) -> Vec<Violation> {
    let all = writes(history);
    let mut violations = Vec::new();
    let mut successors: BTreeMap<u32, Option<&Event>> = BTreeMap::new();
    for event in &history.events {
        let (Object::Register(_), Op::Read, Some(view)) = (event.object, event.op, event.view()) else {
            continue;
        };
        let Some(value) = view.value else { continue };
        let Some((writes, write)) = all
            .get(&event.object)
            .and_then(|writes| Some((writes, writes.of(value)?)))
        else {
            violations.push(invented(
                history,
                event.object,
                event.region,
                value,
                vec![event.id],
            ));
            continue;
        };
        let successor = *successors
            .entry(write.id)
            .or_insert_with(|| writes.successor(history, write));
        if let Some(successor) = successor
            && write.region == event.region
            && successor.end < event.start
            && !history.lost_between(event.region, successor.start, event.end)
        {
            violations.push(Violation {
                check: "registers",
                what: format!(
                    "operation {} reads {value} from {} in {}, where operation {} had overwritten it",
                    event.id,
                    event.object,
                    history.name(event.region),
                    successor.id
                ),
                events: vec![write.id, successor.id, event.id],
            });
        }
    }
    violations.extend(at_the_end(history, &all));
    violations
}

fn at_the_end(history: &History, all: &BTreeMap<Object, Writes<'_>>) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (region, views) in history.finals.iter().enumerate() {
        for (object, writes) in all {
            let certain: BTreeSet<u32> = writes
                .by_value
                .values()
                .filter(|(_, fate)| *fate == Fate::Must)
                .map(|(write, _)| write.id)
                .collect();
            let place = history.name(region);
            let Some(value) = views.get(object).and_then(|view| view.value) else {
                if let Some(first) = certain.first() {
                    violations.push(Violation {
                        check: "registers",
                        what: format!(
                            "{object} is empty in {place}; operation {first} wrote it and was acknowledged"
                        ),
                        events: certain.into_iter().collect(),
                    });
                }
                continue;
            };
            let Some((write, fate)) = writes.by_value.get(&value) else {
                violations.push(invented(history, *object, region, value, Vec::new()));
                continue;
            };
            if *fate == Fate::Never {
                violations.push(invented(history, *object, region, value, vec![write.id]));
            } else if let Some(successor) = writes.successor(history, write) {
                violations.push(Violation {
                    check: "registers",
                    what: format!(
                        "{object} ends as {value} in {place}, which operation {} had overwritten",
                        successor.id
                    ),
                    events: vec![write.id, successor.id],
                });
            }
        }
    }
    violations
}

fn invented(history: &History, object: Object, region: usize, value: u64, events: Vec<u32>) -> Violation {
    Violation {
        check: "registers",
        what: format!(
            "{object} shows {value} in {}, which nobody wrote or whose write was refused",
            history.name(region)
        ),
        events,
    }
}
