//! Members: each is added once in the whole run, so at the end it is known what must, may and must not be there.
//!
//! - Acknowledged and removed by nobody: it is there ("lost" otherwise).
//! - Never added, or the add was refused: it is not there ("invented").
//! - Removed by somebody who had seen it, acknowledged: it is not there ("resurfaced"), neither at the end nor in any later
//!   read in that region. And in whatever region: what was seen, then seen gone, never comes back.
//!
//! "Had seen it" is not what the client believed but what is certain: the reply counted the member as removed, or the
//! region had shown it before the removal began and lost nothing in between.

use std::collections::{BTreeMap, BTreeSet};

use super::super::history::{Event, History, Instant, Object, Op, Outcome, Violation};
use super::risk::{Fate, fate};

type Member = (Object, u32);

/// What was done about one member.
#[derive(Default)]
struct Life<'a> {
    add: Option<(&'a Event, Fate)>,
    removals: Vec<(&'a Event, Fate)>,
    /// When each region had first shown it.
    shown: BTreeMap<usize, Instant>,
}

/// Checks the final members, and that none comes back.
pub(crate) fn check(history: &History) -> Vec<Violation> {
    let lives = lives(history);
    let mut violations = Vec::new();
    for (member, life) in &lives {
        at_the_end(history, *member, life, &mut violations);
    }
    for (region, views) in history.finals.iter().enumerate() {
        for (object, view) in views {
            let unknown = view
                .members
                .iter()
                .filter(|m| !lives.contains_key(&(*object, **m)));
            violations.extend(unknown.map(|member| Violation {
                check: "sets",
                what: format!(
                    "member {member} of {object} is in {}, and nobody added it",
                    history.name(region)
                ),
                events: Vec::new(),
            }));
        }
    }
    violations.extend(resurfaced(history, &lives));
    violations
}

fn lives(history: &History) -> BTreeMap<Member, Life<'_>> {
    let mut lives: BTreeMap<Member, Life<'_>> = BTreeMap::new();
    for event in &history.events {
        match event.op {
            Op::Add(member) => {
                let life = lives.entry((event.object, member)).or_default();
                life.add = Some((event, fate(history, event)));
                if event.outcome.is_ok() {
                    see(life, event.region, event.end);
                }
            }
            Op::Remove(member) => {
                let known = fate(history, event);
                let life = lives.entry((event.object, member)).or_default();
                life.removals.push((event, known));
            }
            Op::Bump { .. } | Op::Write(_) | Op::Read => {}
        }
        for member in event.view().iter().flat_map(|view| &view.members) {
            if let Some(life) = lives.get_mut(&(event.object, *member)) {
                see(life, event.region, event.end);
            }
        }
    }
    lives
}

fn see(life: &mut Life<'_>, region: usize, at: Instant) {
    let first = life.shown.entry(region).or_insert(at);
    *first = (*first).min(at);
}

impl Life<'_> {
    /// The removals that certainly removed it, for good.
    fn certain_removals<'a>(&'a self, history: &'a History) -> impl Iterator<Item = &'a Event> {
        self.removals
            .iter()
            .filter(|(event, fate)| *fate == Fate::Must && self.saw(history, event))
            .map(|(event, _)| *event)
    }

    fn saw(&self, history: &History, removal: &Event) -> bool {
        match &removal.outcome {
            Outcome::Removed(there) => *there,
            Outcome::Ok(_) => self.shown.get(&removal.region).is_some_and(|shown| {
                *shown <= removal.start && !history.lost_between(removal.region, *shown, removal.end)
            }),
            Outcome::Failed(_) | Outcome::Unknown(_) => false,
        }
    }

    /// Whether some removal may have removed it.
    fn may_be_removed(&self) -> bool {
        self.removals
            .iter()
            .any(|(event, fate)| *fate != Fate::Never && event.outcome != Outcome::Removed(false))
    }
}

fn at_the_end(history: &History, (object, member): Member, life: &Life<'_>, violations: &mut Vec<Violation>) {
    let removal = life.certain_removals(history).next();
    for (region, views) in history.finals.iter().enumerate() {
        let there = views
            .get(&object)
            .is_some_and(|view| view.members.contains(&member));
        let place = history.name(region);
        let wrong = match (&life.add, there) {
            (None, true) => Some(format!("member {member} of {object} is in {place}, and nobody added it")),
            (Some((add, Fate::Never)), true) => Some(format!(
                "member {member} of {object} is in {place}, and its add (operation {}) was refused",
                add.id
            )),
            (Some((add, Fate::Must)), false) if !life.may_be_removed() => Some(format!(
                "member {member} of {object} is lost in {place}: its add (operation {}) was acknowledged in {}",
                add.id,
                history.name(add.region)
            )),
            (Some(_), true) => removal.map(|removal| {
                format!(
                    "member {member} of {object} has resurfaced in {place}: its removal (operation {}) had seen it",
                    removal.id
                )
            }),
            (None | Some(_), false) => None,
        };
        let involved = life.add.iter().chain(&life.removals);
        violations.extend(wrong.map(|what| Violation {
            check: "sets",
            what,
            events: involved.map(|(event, _)| event.id).collect(),
        }));
    }
}

/// Reads in one region, in order: what was removed there, or seen gone there, stays gone.
fn resurfaced(history: &History, lives: &BTreeMap<Member, Life<'_>>) -> Vec<Violation> {
    let mut reads: BTreeMap<(usize, Object), Vec<&Event>> = BTreeMap::new();
    for event in history.events.iter().filter(|event| event.view().is_some()) {
        reads.entry((event.region, event.object)).or_default().push(event);
    }
    let mut violations = Vec::new();
    for ((region, object), mut reads) in reads {
        reads.sort_by_key(|event| event.start);
        let members = reads
            .iter()
            .filter_map(|read| read.view())
            .flat_map(|view| &view.members);
        for member in members.copied().collect::<BTreeSet<u32>>() {
            let Some(life) = lives.get(&(object, member)) else {
                continue;
            };
            let removed = life
                .certain_removals(history)
                .filter(|removal| removal.region == region)
                .map(|removal| (removal.end, removal.id))
                .min();
            if let Some(found) = comes_back(history, region, member, &reads, removed) {
                violations.push(Violation {
                    check: "no resurrection",
                    what: format!(
                        "member {member} of {object} was gone in {} by operation {}, and operation {} shows it again",
                        history.name(region),
                        found.0,
                        found.1
                    ),
                    events: vec![found.0, found.1],
                });
            }
        }
    }
    violations
}

/// The operation by which a member was gone, and the later one that shows it.
fn comes_back(
    history: &History,
    region: usize,
    member: u32,
    reads: &[&Event],
    mut gone: Option<(Instant, u32)>,
) -> Option<(u32, u32)> {
    let mut shown: Option<Instant> = None;
    for read in reads {
        let there = read.view().is_some_and(|view| view.members.contains(&member));
        if there {
            if let Some((at, id)) = gone
                && at < read.start
                && !history.lost_between(region, at, read.end)
            {
                return Some((id, read.id));
            }
            shown = Some(shown.map_or(read.end, |at| at.min(read.end)));
        } else if shown.is_some_and(|at| at < read.start && !history.lost_between(region, at, read.end)) {
            gone = Some(gone.map_or((read.end, read.id), |first| first.min((read.end, read.id))));
        }
    }
    None
}
