//! Removals of big keys of which something is left: as if each element had been removed by itself, and cheap.

use cartograph_crdt::{
    Dot, Effect, ElementId, Exact, Hlc, Origin, Position, ReplicaId, Row, Sequence, Touched, Type,
    VersionVector,
};
use proptest::prelude::*;

const SEEN: u64 = 200;

fn replica(region: u16) -> ReplicaId {
    ReplicaId::new(region, 1)
}

fn at(sequence: u64) -> Sequence {
    Sequence::new(sequence).unwrap()
}

/// Applies one effect of a region that had seen nothing else.
fn apply(row: &mut Row, region: u16, sequence: u64, effect: &Effect) {
    let context = VersionVector::new();
    let origin = Origin {
        dot: Dot::new(replica(region), at(sequence), 0),
        hlc: Hlc::default(),
        context: &context,
    };
    row.apply(effect, &origin, &mut Touched::default());
}

fn add(n: u64) -> Effect {
    Effect::Add {
        element: ElementId::member(&n.to_be_bytes()),
    }
}

fn inc(n: u64, tag: u64) -> Effect {
    Effect::Inc {
        element: ElementId::field(&n.to_be_bytes()),
        tag: Position {
            sequence: at(tag),
            index: 0,
        },
        sum: Exact::from_i64(3),
    }
}

/// Region 1's writes were seen up to [`SEEN`], region 2's not at all.
fn row(seen: u64, unseen: &[(u64, bool)]) -> Row {
    let mut row = Row::absent();
    for n in 1..=seen {
        apply(&mut row, 1, n, &add(n));
    }
    for (sequence, (n, number)) in (1..).zip(unseen) {
        let effect = if *number { inc(*n, sequence) } else { add(*n) };
        apply(&mut row, 2, sequence, &effect);
    }
    row
}

fn delete(row: &mut Row) -> Touched {
    let context: VersionVector = [(replica(1), SEEN)].into_iter().collect();
    let origin = Origin {
        dot: Dot::new(replica(3), at(1), 0),
        hlc: Hlc::default(),
        context: &context,
    };
    let mut touched = Touched::default();
    row.apply(&Effect::Delete { observed: Vec::new() }, &origin, &mut touched);
    touched
}

proptest! {
    #[test]
    fn laws_a_removal_leaves_the_unseen_alone(
        seen in 0..SEEN,
        unseen in prop::collection::vec((0_u64..400, any::<bool>()), 0..40),
    ) {
        let before = row(seen, &unseen);
        // What was not seen, alone, is what must be left.
        let expected = row(0, &unseen);
        let mut removed = before.clone();
        let touched = delete(&mut removed);
        prop_assert!(removed.elements().eq(expected.elements()));
        prop_assert_eq!(removed.summary.digest, expected.summary.digest);
        prop_assert_eq!(removed.summary.counters, expected.summary.counters);
        prop_assert!(Type::ALL.iter().all(|ty| removed.summary.live_of(*ty) == expected.summary.live_of(*ty)));
        let tops = expected.elements().flat_map(|(_, e)| e.live_dots());
        for dot in tops {
            prop_assert!(removed.summary.top.covers(&dot));
        }
        // No more is written than what is left or what goes, whichever is less.
        let (left, all) = (removed.elements().count(), before.elements().count());
        prop_assert!(touched.elements.len() <= (4 * left).max(4).min(all + 1));
        let mut undone = removed;
        undone.undo(before.header.clone(), before.summary.clone(), touched);
        prop_assert_eq!(undone, before);
    }
}
