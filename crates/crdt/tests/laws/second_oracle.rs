//! A second opinion, by other hands: the `crdts` crate's flat `Orswot` and its `PNCounter` that is never reset. Within
//! these bounds they are right (no other type of that crate is asked; see the regressions).

use std::collections::BTreeSet;

use cartograph_crdt::row::Touched;
use cartograph_crdt::testkit::history::Random;
use cartograph_crdt::{
    Dot, Effect, Element, ElementId, Exact, Hlc, Observed, Origin, ReplicaId, Row, Sequence, Type,
    VersionVector,
};
use crdts::{CmRDT, CvRDT, Orswot, PNCounter};

use crate::{first_seed, histories};

const REPLICAS: usize = 3;

/// What one replica did: our effect with its context, and theirs.
struct Made<T> {
    origin: (Dot, VersionVector),
    effect: Effect,
    theirs: T,
}

/// One replica, twice.
#[derive(Clone)]
struct Both<T> {
    me: ReplicaId,
    row: Row,
    vector: VersionVector,
    theirs: T,
}

impl<T: Default> Both<T> {
    fn new(region: usize) -> Self {
        let me = ReplicaId::new(u16::try_from(region + 1).unwrap(), 1);
        Both {
            me,
            row: Row::absent(),
            vector: VersionVector::new(),
            theirs: T::default(),
        }
    }

    /// Ours only: the next effect of this replica.
    fn perform(&mut self, effect: &Effect) -> (Dot, VersionVector) {
        let context = self.vector.clone();
        let sequence = Sequence::after(context.get(self.me));
        let dot = Dot::new(self.me, sequence, 0);
        self.take(effect, &(dot, context.clone()));
        (dot, context)
    }

    fn take(&mut self, effect: &Effect, (dot, context): &(Dot, VersionVector)) {
        let origin = Origin {
            dot: *dot,
            hlc: Hlc::default(),
            context,
        };
        self.row.apply(effect, &origin, &mut Touched::default());
        self.vector.observe(dot.replica, dot.position.sequence).unwrap();
    }

    fn is_ready(&self, made: &(Dot, VersionVector)) -> bool {
        let (dot, context) = made;
        self.vector.get(dot.replica) + 1 == dot.position.sequence.get()
            && context
                .iter()
                .all(|(r, n)| r == dot.replica || n <= self.vector.get(r))
    }

    fn join_ours(&mut self, other: &Self) {
        self.row
            .join(&self.vector, &other.row, &other.vector, &mut Touched::default());
        self.vector.join(&other.vector);
    }
}

type Set = Orswot<u8, ReplicaId>;

fn members(set: &Both<Set>) -> (BTreeSet<u8>, BTreeSet<u8>) {
    let ours = set.row.live(Type::Set).map(|(id, _)| id.name[0]).collect();
    (ours, set.theirs.read().val.into_iter().collect())
}

/// Adds or removes a random member; `None` where there is nothing to remove.
fn change(set: &mut Both<Set>, random: &mut Random) -> Made<crdts::orswot::Op<u8, ReplicaId>> {
    let member = u8::try_from(random.below(3)).unwrap();
    let element = ElementId::member(&[member]);
    let (effect, theirs) = if random.below(5) < 3 {
        let context = set.theirs.read_ctx().derive_add_ctx(set.me);
        (Effect::Add { element }, set.theirs.add(member, context))
    } else {
        let context = set.theirs.contains(&member).derive_rm_ctx();
        (
            Effect::Remove {
                element,
                observed: Observed::default(),
            },
            set.theirs.rm(member, context),
        )
    };
    let origin = set.perform(&effect);
    set.theirs.apply(theirs.clone());
    Made {
        origin,
        effect,
        theirs,
    }
}

#[test]
fn laws_sets_agree_with_orswot_joined_as_whole_states() {
    for seed in first_seed()..first_seed() + histories() {
        let mut random = Random(seed);
        let mut all: Vec<Both<Set>> = (0..REPLICAS).map(Both::new).collect();
        for _ in 0..24 {
            let at = random.below(REPLICAS);
            if random.below(3) < 2 {
                change(&mut all[at], &mut random);
            } else {
                let other = all[random.below(REPLICAS)].clone();
                all[at].join_ours(&other);
                all[at].theirs.merge(other.theirs);
            }
            let (ours, theirs) = members(&all[at]);
            assert_eq!(ours, theirs, "CARTOGRAPH_SEED={seed}");
        }
    }
}

#[test]
fn laws_sets_agree_with_orswot_fed_in_causal_order() {
    for seed in first_seed()..first_seed() + histories() {
        let mut random = Random(seed);
        let mut all: Vec<Both<Set>> = (0..REPLICAS).map(Both::new).collect();
        let mut made = Vec::new();
        for _ in 0..24 {
            let at = random.below(REPLICAS);
            if random.below(3) < 2 {
                made.push(change(&mut all[at], &mut random));
            } else {
                let ready = |m: &&Made<_>| all[at].is_ready(&m.origin);
                let next: Vec<_> = made.iter().filter(ready).collect();
                if let Some(m) = next.get(random.below(next.len().max(1))) {
                    all[at].take(&m.effect, &m.origin);
                    all[at].theirs.apply(m.theirs.clone());
                }
            }
            let (ours, theirs) = members(&all[at]);
            assert_eq!(ours, theirs, "CARTOGRAPH_SEED={seed}");
        }
    }
}

#[test]
fn laws_counters_agree_with_pn_counter() {
    for seed in first_seed()..first_seed() + histories() {
        let mut random = Random(seed);
        let mut all: Vec<Both<PNCounter<ReplicaId>>> = (0..REPLICAS).map(Both::new).collect();
        for _ in 0..24 {
            let at = random.below(REPLICAS);
            if random.below(3) < 2 {
                increment(&mut all[at], &mut random);
            } else {
                let other = all[random.below(REPLICAS)].clone();
                all[at].join_ours(&other);
                all[at].theirs.merge(other.theirs);
            }
            let both = &all[at];
            let sum = both
                .row
                .element(&ElementId::string())
                .and_then(Element::increments);
            let ours = sum.unwrap_or_default().to_i64_saturating().0;
            assert_eq!(
                ours.to_string(),
                both.theirs.read().to_string(),
                "CARTOGRAPH_SEED={seed}"
            );
        }
    }
}

fn increment(both: &mut Both<PNCounter<ReplicaId>>, random: &mut Random) {
    let by = i64::try_from(random.below(9)).unwrap() - 4;
    let steps = by.unsigned_abs();
    let op = if by < 0 {
        both.theirs.dec_many(both.me, steps)
    } else {
        both.theirs.inc_many(both.me, steps)
    };
    both.theirs.apply(op);
    let id = ElementId::string();
    let at = Dot::new(both.me, Sequence::after(both.vector.get(both.me)), 0).position;
    let element = both
        .row
        .element(&id)
        .cloned()
        .unwrap_or_else(|| Element::empty(Type::String));
    let Element::Number(number) = element else {
        unreachable!("strings are numbers")
    };
    let (tag, sum) = number.counter.next_increment(both.me, at, Exact::from_i64(by));
    both.perform(&Effect::Inc {
        element: id,
        tag,
        sum,
    });
}
