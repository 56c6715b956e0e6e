//! Histories that keep every promise, and the same histories with one promise broken: a check that cannot fail is a defect.

use std::collections::BTreeMap;

use super::super::history::{Event, History, Loss, Object, Op, Outcome, Sample, View, Violation};
use super::counters::is_possible;
use super::risk::{Fate, fate};
use super::*;

const SET: Object = Object::Set(0);
const SUM: Object = Object::Rising(0);
const NUMBER: Object = Object::Counter(0);
const REGISTER: Object = Object::Register(0);
const CART: Object = Object::Cart(0);
const A: usize = 0;
const B: usize = 1;

/// A history of two regions, written down an operation at a time; each takes 2 units, 10 apart.
struct Writing {
    history: History,
}

fn writing() -> Writing {
    Writing {
        history: History {
            regions: vec!["a".to_owned(), "b".to_owned()],
            region_ids: vec![1, 2],
            samples: vec![Vec::new(), Vec::new()],
            finals: vec![BTreeMap::new(), BTreeMap::new()],
            ..History::default()
        },
    }
}

fn members(members: impl IntoIterator<Item = u32>) -> View {
    View {
        members: members.into_iter().collect(),
        ..View::default()
    }
}

fn sum(value: i64) -> View {
    View {
        sums: BTreeMap::from([(0, value)]),
        ..View::default()
    }
}

fn value(value: u64) -> View {
    View {
        value: Some(value),
        ..View::default()
    }
}

fn ok() -> Outcome {
    Outcome::Ok(None)
}

fn shows(view: View) -> Outcome {
    Outcome::Ok(Some(view))
}

fn unknown() -> Outcome {
    Outcome::Unknown("late".to_owned())
}

fn failed() -> Outcome {
    Outcome::Failed("no".to_owned())
}

impl Writing {
    /// The next operation, by a client of its own in each region.
    fn then(self, region: usize, object: Object, op: Op, outcome: Outcome) -> Self {
        let session = u32::try_from(region).unwrap();
        self.by(session, region, object, op, outcome)
    }

    fn by(mut self, session: u32, region: usize, object: Object, op: Op, outcome: Outcome) -> Self {
        let id = u32::try_from(self.history.events.len()).unwrap();
        let start = 10 * (u64::from(id) + 1);
        self.history.events.push(Event {
            id,
            session,
            region,
            door: "grpc",
            object,
            op,
            after: None,
            start,
            end: start + 2,
            outcome,
        });
        self
    }

    /// The last operation presented the token of this one.
    fn after(mut self, id: u32) -> Self {
        self.history.events.last_mut().unwrap().after = Some(id);
        self
    }

    /// Both regions end like this.
    fn ends(self, object: Object, view: &View) -> Self {
        self.ends_apart(object, view, view)
    }

    fn ends_apart(mut self, object: Object, a: &View, b: &View) -> Self {
        self.history.finals[A].insert(object, a.clone());
        self.history.finals[B].insert(object, b.clone());
        self
    }

    /// A region says of itself, between operations `id - 1` and `id`, up to where it had each region's entries.
    fn says(mut self, region: usize, before: u32, own: [u64; 2]) -> Self {
        let start = 10 * (u64::from(before) + 1) - 5;
        let vector = [("1-9/0", own[0]), ("2-9/0", own[1])].map(|(replica, n)| (replica.to_owned(), n));
        self.history.samples[region].push(Sample {
            start,
            end: start + 1,
            vector: vector.into(),
            ready: true,
            ..Sample::default()
        });
        self
    }

    /// A region's store is emptied (or set back to how it was before operation `kept`) between `before - 1` and `before`.
    fn loses(mut self, region: usize, before: u32, kept: Option<u32>) -> Self {
        let start = 10 * (u64::from(before) + 1) - 3;
        self.history.losses.push(Loss {
            region,
            start,
            end: start + 1,
            kept_until: kept.map(|kept| 10 * (u64::from(kept) + 1) - 4),
        });
        self
    }

    fn valid(&self) {
        let found = all(&self.history);
        assert!(found.is_empty(), "{found:?}");
    }

    /// Exactly one kind of check complains.
    fn refused_by(&self, check: &str) -> Vec<Violation> {
        let found = all(&self.history);
        assert!(!found.is_empty(), "nothing found; {check} should have complained");
        assert!(
            found.iter().all(|violation| violation.check == check),
            "{found:?}"
        );
        found
    }
}

#[test]
fn regions_that_differ_are_refused() {
    let same = || {
        writing()
            .then(A, REGISTER, Op::Write(1), ok())
            .then(B, REGISTER, Op::Write(2), ok())
    };
    same().ends(REGISTER, &value(2)).valid();
    same()
        .ends_apart(REGISTER, &value(1), &value(2))
        .refused_by("convergence");
    let found = same().ends_apart(REGISTER, &value(2), &View::default());
    assert!(all(&found.history).iter().any(|v| v.check == "convergence"));
}

#[test]
fn an_acknowledged_add_is_there_and_a_refused_one_is_not() {
    let three = || {
        writing()
            .then(A, SET, Op::Add(1), ok())
            .then(A, SET, Op::Add(2), unknown())
            .then(B, SET, Op::Add(3), failed())
    };
    three().ends(SET, &members([1])).valid();
    three().ends(SET, &members([1, 2])).valid();
    let found = three().ends(SET, &members([2])).refused_by("sets");
    assert!(found[0].what.contains("lost"), "{found:?}");
    let found = three().ends(SET, &members([1, 3])).refused_by("sets");
    assert!(found[0].what.contains("refused"), "{found:?}");
    let found = three().ends(SET, &members([1, 9])).refused_by("sets");
    assert!(found[0].what.contains("nobody added it"), "{found:?}");
}

#[test]
fn an_acknowledged_add_is_lost_although_a_removal_saw_nothing_of_it() {
    let none_removed = || {
        writing()
            .then(A, SET, Op::Add(1), ok())
            .then(B, SET, Op::Remove(1), Outcome::Removed(false))
    };
    none_removed().ends(SET, &members([1])).valid();
    none_removed().ends(SET, &members([])).refused_by("sets");
}

#[test]
fn what_was_removed_by_somebody_who_saw_it_stays_away() {
    let removed = |outcome| {
        writing()
            .then(A, SET, Op::Add(1), ok())
            .then(A, SET, Op::Remove(1), outcome)
    };
    removed(Outcome::Removed(true)).ends(SET, &members([])).valid();
    let found = removed(Outcome::Removed(true))
        .ends(SET, &members([1]))
        .refused_by("sets");
    assert!(found[0].what.contains("resurfaced"), "{found:?}");
    // Perhaps removed: both are right.
    removed(unknown()).ends(SET, &members([1])).valid();
    removed(unknown()).ends(SET, &members([])).valid();
}

#[test]
fn a_carts_line_is_gone_only_if_its_region_had_shown_it_before() {
    let seen = |reader| {
        writing()
            .then(A, CART, Op::Add(1), shows(members([1])))
            .by(7, reader, CART, Op::Read, shows(members([1])))
            .by(8, B, CART, Op::Remove(1), shows(members([])))
    };
    seen(B).ends(CART, &members([])).valid();
    seen(B).ends(CART, &members([1])).refused_by("sets");
    // Shown in the other region only: the remover may not have had it, and then the add survives.
    seen(A).ends(CART, &members([1])).valid();
}

#[test]
fn what_was_gone_in_a_region_never_comes_back_there() {
    let reads = |region| {
        writing()
            .then(A, SET, Op::Add(1), ok())
            .by(7, B, SET, Op::Read, shows(members([1])))
            .by(8, A, SET, Op::Remove(1), Outcome::Removed(true))
            .by(7, B, SET, Op::Read, shows(members([])))
            .by(9, region, SET, Op::Read, shows(members([1])))
            .ends(SET, &members([]))
    };
    assert!(reads(B).refused_by("no resurrection")[0].what.contains("again"));
    assert!(!reads(A).refused_by("no resurrection").is_empty());
    // The other region has not heard of the removal yet: nothing wrong.
    writing()
        .then(A, SET, Op::Add(1), ok())
        .by(8, A, SET, Op::Remove(1), Outcome::Removed(true))
        .by(7, B, SET, Op::Read, shows(members([1])))
        .ends(SET, &members([]))
        .valid();
}

#[test]
fn each_acknowledged_increment_counts_once_and_decrements_too() {
    let changes = || {
        writing()
            .then(A, NUMBER, Op::Bump { sum: 0, by: 1_000 }, ok())
            .then(B, NUMBER, Op::Bump { sum: 0, by: -300 }, ok())
            .then(A, NUMBER, Op::Bump { sum: 0, by: 50_000 }, unknown())
            .then(B, NUMBER, Op::Bump { sum: 0, by: -7 }, unknown())
            .then(B, NUMBER, Op::Bump { sum: 0, by: 9 }, failed())
    };
    for possible in [700, 50_700, 693, 50_693] {
        changes().ends(NUMBER, &sum(possible)).valid();
    }
    // One lost, one doubled, a refused one counted, half of an unknown one: all inside the interval, none possible.
    for wrong in [1_000, -300, 1_700, 709, 25_700, 0] {
        changes().ends(NUMBER, &sum(wrong)).refused_by("counters");
    }
    let found = writing().ends(NUMBER, &sum(5)).refused_by("counters");
    assert!(found[0].what.contains("nobody changed it"), "{found:?}");
}

#[test]
fn subsets_are_searched_exactly_up_to_a_bound_and_by_interval_past_it() {
    let parts: Vec<i128> = (0..32).map(|n| (1_i128 << 50) + (1 << n)).collect();
    let some: i128 = parts.iter().step_by(3).sum();
    assert!(is_possible(some, &parts));
    // Eleven parts have eleven low bits; this sum has twelve.
    assert!(!is_possible(some + 2, &parts), "two off");
    assert!(!is_possible(parts.iter().sum::<i128>() + 1, &parts));
    let many: Vec<i128> = (0..33).map(|_| 2).collect();
    assert!(is_possible(3, &many), "past the bound only the interval counts");
    assert!(!is_possible(67, &many) && !is_possible(-1, &many));
    assert!(is_possible(-2, &[-2, 5]) && !is_possible(-5, &[-2, 5]));
}

#[test]
fn an_overwritten_value_is_not_read_again_nor_left_at_the_end() {
    let writes = || {
        writing()
            .then(A, REGISTER, Op::Write(1), ok())
            .then(A, REGISTER, Op::Write(2), ok())
    };
    writes().ends(REGISTER, &value(2)).valid();
    writes().ends(REGISTER, &value(1)).refused_by("registers");
    writes().ends(REGISTER, &value(3)).refused_by("registers");
    writes().ends(REGISTER, &View::default()).refused_by("registers");
    let read = |region, shown| {
        writes()
            .by(9, region, REGISTER, Op::Read, shows(value(shown)))
            .ends(REGISTER, &value(2))
    };
    read(A, 2).valid();
    read(A, 1).refused_by("registers");
    read(B, 1).valid();
    read(B, 5).refused_by("registers");
    // Concurrent: written in two regions, either may win.
    let apart = || {
        writing()
            .then(A, REGISTER, Op::Write(1), ok())
            .then(B, REGISTER, Op::Write(2), ok())
    };
    apart().ends(REGISTER, &value(1)).valid();
    apart().ends(REGISTER, &value(2)).valid();
    let refused = writing().then(A, REGISTER, Op::Write(1), failed());
    refused.ends(REGISTER, &value(1)).refused_by("registers");
}

#[test]
fn a_client_reads_its_own_writes() {
    let reads = |session, region, shown: View| {
        writing()
            .by(5, A, SET, Op::Add(2), ok())
            .by(session, region, SET, Op::Read, shows(shown))
            .ends(SET, &members([2]))
    };
    reads(5, A, members([2])).valid();
    let found = reads(5, A, members([])).refused_by("sessions");
    assert_eq!(found[0].events, [0, 1]);
    // Elsewhere, without a token, nothing is promised.
    reads(5, B, members([])).valid();
}

#[test]
fn a_client_never_goes_back_in_time() {
    let counts = |second| {
        writing()
            .by(6, A, SUM, Op::Bump { sum: 0, by: 40 }, ok())
            .by(5, B, SUM, Op::Read, shows(sum(40)))
            .by(5, B, SUM, Op::Read, shows(sum(second)))
            .ends(SUM, &sum(40))
    };
    counts(40).valid();
    counts(0).refused_by("sessions");
    let sees = |second: View| {
        writing()
            .by(6, A, SET, Op::Add(2), ok())
            .by(5, B, SET, Op::Read, shows(members([2])))
            .by(5, B, SET, Op::Read, shows(second))
            .ends(SET, &members([2]))
    };
    sees(members([2])).valid();
    // Nobody removed it: the same gap counts as going back.
    sees(members([])).refused_by("sessions");
}

#[test]
fn a_token_shows_elsewhere_what_its_operation_had_seen() {
    let carried = |shown: View| {
        writing()
            .by(5, A, SET, Op::Add(2), ok())
            .by(5, B, SET, Op::Read, shows(shown))
            .after(0)
            .ends(SET, &members([2]))
    };
    carried(members([2])).valid();
    carried(members([])).refused_by("session tokens");
    let register = |shown: View| {
        writing()
            .by(4, A, REGISTER, Op::Write(1), ok())
            .by(5, A, REGISTER, Op::Write(2), ok())
            .by(5, B, REGISTER, Op::Read, shows(shown))
            .after(1)
            .ends(REGISTER, &value(2))
    };
    register(value(2)).valid();
    register(value(1)).refused_by("session tokens");
    register(View::default()).refused_by("session tokens");
    let sums = |shown| {
        writing()
            .by(5, A, SUM, Op::Bump { sum: 0, by: 40 }, shows(sum(40)))
            .by(5, B, SUM, Op::Read, shows(sum(shown)))
            .after(0)
            .ends(SUM, &sum(40))
    };
    sums(40).valid();
    sums(39).refused_by("session tokens");
}

#[test]
fn a_tokens_promise_outlives_a_wiped_store() {
    let carried = writing()
        .by(5, A, SET, Op::Add(2), ok())
        .by(5, B, SET, Op::Read, shows(members([])))
        .after(0)
        .loses(A, 1, None)
        .ends(SET, &members([]));
    carried.refused_by("session tokens");
}

#[test]
fn a_wiped_store_may_take_what_nobody_else_had_and_nothing_more() {
    // Acknowledged in a, and a has said so at sequence 5; b says that it has up to `had` of it before the wipe.
    let wiped = |had| {
        writing()
            .then(A, SET, Op::Add(1), ok())
            .says(A, 1, [5, 0])
            .says(B, 2, [had, 0])
            .loses(A, 3, None)
    };
    wiped(4).ends(SET, &members([])).valid();
    wiped(4).ends(SET, &members([1])).valid();
    wiped(5).ends(SET, &members([1])).valid();
    wiped(5).ends(SET, &members([])).refused_by("sets");
    // What was written in the other region, or after the loss, is not excused.
    let elsewhere = writing().then(B, SET, Op::Add(1), ok()).loses(A, 1, None);
    elsewhere.ends(SET, &members([])).refused_by("sets");
    let later = writing()
        .then(B, SET, Op::Read, shows(members([])))
        .loses(A, 1, None)
        .then(A, SET, Op::Add(1), ok());
    later.ends(SET, &members([])).refused_by("sets");
}

#[test]
fn a_proof_from_before_the_holders_own_loss_proves_nothing() {
    let twice = |again: bool| {
        let history = writing()
            .then(A, SET, Op::Add(1), ok())
            .says(A, 1, [5, 0])
            .says(B, 1, [5, 0])
            .loses(B, 2, None);
        let history = if again {
            history.says(B, 4, [5, 0])
        } else {
            history
        };
        history.loses(A, 5, None)
    };
    twice(false).ends(SET, &members([])).valid();
    twice(true).ends(SET, &members([])).refused_by("sets");
}

#[test]
fn a_store_that_was_set_back_keeps_what_its_copy_had() {
    let back = |kept| writing().then(A, SET, Op::Add(1), ok()).loses(A, 3, Some(kept));
    back(1).ends(SET, &members([])).refused_by("sets");
    // The copy was taken before the add.
    back(0).ends(SET, &members([])).valid();
}

#[test]
fn counters_and_removals_at_risk_may_go_either_way() {
    let wiped = |had: u64| {
        writing()
            .then(A, NUMBER, Op::Bump { sum: 0, by: 1_000 }, ok())
            .says(A, 1, [5, 0])
            .says(B, 2, [had, 0])
            .loses(A, 3, None)
    };
    wiped(0).ends(NUMBER, &sum(0)).valid();
    wiped(0).ends(NUMBER, &sum(1_000)).valid();
    wiped(0).ends(NUMBER, &sum(999)).refused_by("counters");
    wiped(5).ends(NUMBER, &sum(0)).refused_by("counters");
    let removal = writing()
        .then(B, SET, Op::Add(1), ok())
        .then(A, SET, Op::Remove(1), Outcome::Removed(true))
        .loses(A, 2, None);
    assert_eq!(fate(&removal.history, &removal.history.events[1]), Fate::May);
    removal.ends(SET, &members([1])).valid();
}

#[test]
fn a_session_begins_anew_where_its_regions_store_was_lost() {
    let reads = |lost: usize| {
        writing()
            .by(6, B, SET, Op::Add(2), ok())
            .by(5, A, SET, Op::Read, shows(members([2])))
            .loses(lost, 2, None)
            .by(5, A, SET, Op::Read, shows(members([])))
            .says(B, 1, [0, 3])
            .says(A, 1, [0, 3])
            .ends(SET, &members([2]))
    };
    reads(A).valid();
    reads(B).refused_by("sessions");
}
