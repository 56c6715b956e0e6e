//! What has been seen: version vectors and causal contexts.
//!
//! Delivery leaves no gaps, so "everything of replica R up to sequence n" is one number per replica, and a whole
//! shard needs one [`VersionVector`]. An effect's context is its entry's vector plus every earlier effect of its own
//! replica; [`Origin`] carries both and answers the one question that every rule asks: *had it seen that?*
//! (Concise server-wide causality: Gonçalves et al., "DottedDB", SRDS 2017.)
//!
//! `crdts::VClock` lies behind the vector. Its `apply(r.3)` silently marks 1 and 2 as seen too, so this module is the
//! only one that names `crdts` outside tests, and [`VersionVector::observe`] refuses gaps.

use std::cmp::Ordering;
use std::fmt;

use bincode::de::{BorrowDecoder, Decoder};
use bincode::enc::Encoder;
use bincode::error::{DecodeError, EncodeError};
use bincode::{BorrowDecode, Decode, Encode};
use crdts::{CmRDT, CvRDT, VClock};

use crate::hlc::Hlc;
use crate::ids::{Dot, ReplicaId, Sequence};

/// The most replicas a decoded vector may name: 64 regions with many lives each, and still a small message.
pub const VECTOR_REPLICAS_MAX: usize = 4_096;

/// The count of a replica whose entries are all applied and of which no other can ever come: a retired one.
pub const RETIRED: u64 = u64::MAX >> 1;

/// How many entries of each replica have been applied: all from 1 up to the number, none beyond it.
///
/// # Retired floors
/// A region's replicas up to some incarnation may be *retired* together ([`VersionVector::retire`]): everything of them
/// is covered, and the vector names the last of them alone, with the count [`RETIRED`]. A vector that has such a floor
/// dominates every vector that counts the same replicas one by one, whatever their counts, and is dominated only by
/// vectors with a floor as high. Joins, meets and comparisons need no other knowledge.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VersionVector(VClock<ReplicaId>);

/// An entry that does not follow the last one of its replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("entry {sequence} of replica {replica} does not follow entry {last}, the last one applied")]
pub struct GapError {
    /// The entry's replica.
    pub replica: ReplicaId,
    /// The entry's sequence.
    pub sequence: Sequence,
    /// The last sequence applied, 0 for none.
    pub last: u64,
}

impl VersionVector {
    /// The vector that has seen nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many entries of `replica` are covered; 0 for none, [`RETIRED`] for all that there can be.
    pub fn get(&self, replica: ReplicaId) -> u64 {
        // Nothing is named below a floor, so the floor that covers a replica is the first name from it on.
        match self.0.dots.range(replica..).next() {
            Some((named, n)) if *named == replica || (named.region == replica.region && *n == RETIRED) => *n,
            Some(_) | None => 0,
        }
    }

    /// Is everything of the replica covered, for good?
    pub fn is_retired(&self, replica: ReplicaId) -> bool {
        self.get(replica) == RETIRED
    }

    /// Covers everything of `last` and of its region's replicas before it, and names none of those any more.
    pub fn retire(&mut self, last: ReplicaId) {
        if !self.is_retired(last) {
            self.0.apply(crdts::Dot::new(last, RETIRED));
            self.fold();
        }
    }

    /// The last retired replica of each region that has one.
    pub fn floors(&self) -> impl Iterator<Item = ReplicaId> + '_ {
        self.iter()
            .filter(|(_, n)| *n == RETIRED)
            .map(|(replica, _)| replica)
    }

    /// The replicas that are named one by one, with their counts.
    pub fn counted(&self) -> impl Iterator<Item = (ReplicaId, u64)> + '_ {
        self.iter().filter(|(_, n)| *n != RETIRED)
    }

    /// Drops what stands below a floor.
    fn fold(&mut self) {
        let floors: Vec<ReplicaId> = self.floors().collect();
        let below = |replica: &ReplicaId| {
            let mut floors = floors.iter();
            floors.any(|floor| floor.region == replica.region && replica < floor)
        };
        if !floors.is_empty() {
            self.0.dots.retain(|replica, _| !below(replica));
        }
    }

    /// Has entry `sequence` of `replica` been applied?
    pub fn covers_entry(&self, replica: ReplicaId, sequence: Sequence) -> bool {
        sequence.get() <= self.get(replica)
    }

    /// Has the effect been applied?
    pub fn covers(&self, dot: &Dot) -> bool {
        self.covers_entry(dot.replica, dot.position.sequence)
    }

    /// Marks the next entry of `replica` as applied.
    ///
    /// # Errors
    /// [`GapError`] when `sequence` is not the next one; nothing changed.
    pub fn observe(&mut self, replica: ReplicaId, sequence: Sequence) -> Result<(), GapError> {
        // `VClock::validate_op` lets old operations pass too; here each entry is observed once.
        let last = self.get(replica);
        if last.checked_add(1) != Some(sequence.get()) {
            return Err(GapError {
                replica,
                sequence,
                last,
            });
        }
        self.0.apply(crdts::Dot::new(replica, sequence.get()));
        Ok(())
    }

    /// Raises the count of `replica` to `count`. For joins and decoding, where gaps are known to be filled.
    pub fn raise(&mut self, replica: ReplicaId, count: u64) {
        if count >= RETIRED {
            self.retire(replica);
        } else if count > self.get(replica) {
            self.0.apply(crdts::Dot::new(replica, count));
        }
    }

    /// The least vector that dominates both.
    pub fn join(&mut self, other: &VersionVector) {
        self.0.merge(other.0.clone());
        self.fold();
    }

    /// The greatest vector that both dominate.
    #[must_use]
    pub fn meet(&self, other: &VersionVector) -> VersionVector {
        let mut out = VersionVector::new();
        // Where one has a floor, the other's names below it count.
        for (replica, count) in self.iter() {
            out.raise(replica, count.min(other.get(replica)));
        }
        for (replica, count) in other.iter() {
            out.raise(replica, count.min(self.get(replica)));
        }
        out
    }

    /// Does this cover everything that `other` covers?
    pub fn dominates(&self, other: &VersionVector) -> bool {
        other.iter().all(|(replica, count)| count <= self.get(replica))
    }

    /// Has each something that the other has not?
    pub fn concurrent_with(&self, other: &VersionVector) -> bool {
        self.partial_cmp(other).is_none()
    }

    /// Forgets what `covered` covers wholly: a replica stays only where this is ahead.
    pub fn forget(&mut self, covered: &VersionVector) {
        self.0.dots.retain(|replica, n| *n > covered.get(*replica));
    }

    /// Drops one replica, whatever its count.
    pub fn remove(&mut self, replica: ReplicaId) {
        let kept: Vec<_> = self.iter().filter(|(r, _)| *r != replica).collect();
        *self = kept.into_iter().collect();
    }

    /// Has nothing been seen?
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Number of replicas named.
    pub fn len(&self) -> usize {
        self.0.dots.len()
    }

    /// All `(replica, count)`, in order of replica, counts above 0.
    pub fn iter(&self) -> impl Iterator<Item = (ReplicaId, u64)> + '_ {
        self.0.dots.iter().map(|(r, n)| (*r, *n))
    }
}

impl PartialOrd for VersionVector {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        match (self.dominates(other), other.dominates(self)) {
            (true, true) => Some(Ordering::Equal),
            (true, false) => Some(Ordering::Greater),
            (false, true) => Some(Ordering::Less),
            (false, false) => None,
        }
    }
}

impl FromIterator<(ReplicaId, u64)> for VersionVector {
    fn from_iter<T: IntoIterator<Item = (ReplicaId, u64)>>(iter: T) -> Self {
        let mut vector = VersionVector::new();
        for (replica, count) in iter {
            vector.raise(replica, count);
        }
        vector
    }
}

impl fmt::Display for VersionVector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{")?;
        for (i, (replica, count)) in self.iter().enumerate() {
            if i > 0 {
                f.write_str(" ")?;
            }
            match count {
                RETIRED => write!(f, "{replica}:retired")?,
                _ => write!(f, "{replica}:{count}")?,
            }
        }
        f.write_str("}")
    }
}

impl Encode for VersionVector {
    fn encode<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
        u64::encode(&(self.len() as u64), encoder)?;
        for (replica, count) in self.iter() {
            replica.encode(encoder)?;
            count.encode(encoder)?;
        }
        Ok(())
    }
}

impl<C> Decode<C> for VersionVector {
    fn decode<D: Decoder<Context = C>>(decoder: &mut D) -> Result<Self, DecodeError> {
        let n = u64::decode(decoder)?;
        if n > VECTOR_REPLICAS_MAX as u64 {
            return Err(DecodeError::Other("a version vector names too many replicas"));
        }
        let mut vector = VersionVector::new();
        for _ in 0..n {
            let replica = ReplicaId::decode(decoder)?;
            let count = u64::decode(decoder)?;
            if count > RETIRED {
                return Err(DecodeError::Other("a version vector's count is out of range"));
            }
            vector.raise(replica, count);
        }
        Ok(vector)
    }
}

impl<'de, C> BorrowDecode<'de, C> for VersionVector {
    fn borrow_decode<D: BorrowDecoder<'de, Context = C>>(decoder: &mut D) -> Result<Self, DecodeError> {
        Self::decode(decoder)
    }
}

/// An effect's name, clock and knowledge: what a rule needs to know of the effect that it applies.
#[derive(Clone, Copy, Debug)]
pub struct Origin<'a> {
    /// The effect's own dot.
    pub dot: Dot,
    /// Its entry's clock reading.
    pub hlc: Hlc,
    /// What its writer had applied when the entry's commit began.
    pub context: &'a VersionVector,
}

impl Origin<'_> {
    /// Had the writer seen `other` when it made this effect? Earlier effects of its own replica count as seen.
    pub fn has_seen(&self, other: &Dot) -> bool {
        if other.replica == self.dot.replica {
            other.position < self.dot.position
        } else {
            self.context.covers(other)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn r(n: u16) -> ReplicaId {
        ReplicaId::new(n, 1)
    }

    fn seq(n: u64) -> Sequence {
        Sequence::new(n).unwrap()
    }

    #[test]
    fn a_gap_is_refused_where_vclock_would_mark_it_seen() {
        let mut v = VersionVector::new();
        assert_eq!(
            v.observe(r(1), seq(3)),
            Err(GapError {
                replica: r(1),
                sequence: seq(3),
                last: 0
            })
        );
        v.observe(r(1), seq(1)).unwrap();
        v.observe(r(1), seq(2)).unwrap();
        assert!(v.observe(r(1), seq(2)).is_err());
        assert_eq!(v.get(r(1)), 2);
    }

    #[test]
    fn join_meet_and_forget_are_per_replica() {
        let a: VersionVector = [(r(1), 3), (r(2), 1)].into_iter().collect();
        let b: VersionVector = [(r(2), 4), (r(3), 2)].into_iter().collect();
        let mut j = a.clone();
        j.join(&b);
        assert_eq!(j, [(r(1), 3), (r(2), 4), (r(3), 2)].into_iter().collect());
        assert_eq!(a.meet(&b), [(r(2), 1)].into_iter().collect());
        assert!(a.concurrent_with(&b) && j.dominates(&a) && j.dominates(&b) && !a.dominates(&b));
        j.forget(&b);
        assert_eq!(j, [(r(1), 3)].into_iter().collect());
    }

    fn life(region: u16, incarnation: u64) -> ReplicaId {
        ReplicaId::new(region, incarnation)
    }

    #[test]
    fn a_retired_floor_covers_all_lives_up_to_it_and_none_after() {
        let mut v: VersionVector = [(life(1, 9), 4), (life(2, 3), 7), (life(2, 5), 2), (life(2, 8), 1)]
            .into_iter()
            .collect();
        let before = v.clone();
        v.retire(life(2, 5));
        assert_eq!(v.to_string(), "{1-9:4 2-5:retired 2-8:1}");
        assert!(v.is_retired(life(2, 3)) && v.is_retired(life(2, 5)) && v.is_retired(life(2, 1)));
        assert_eq!(
            (v.get(life(2, 6)), v.get(life(2, 8)), v.get(life(1, 3))),
            (0, 1, 0)
        );
        assert!(v > before && !before.dominates(&v));
        v.raise(life(2, 3), 99);
        assert_eq!(v.to_string(), "{1-9:4 2-5:retired 2-8:1}");
        let bytes = crate::codec::encode("a vector", 1, &v).unwrap();
        assert_eq!(
            crate::codec::decode::<VersionVector>("a vector", 1, &bytes).unwrap(),
            v
        );
    }

    #[test]
    fn vectors_with_and_without_a_floor_join_and_meet() {
        let counts: VersionVector = [(life(2, 3), 7), (life(2, 5), 2), (life(3, 1), 1)]
            .into_iter()
            .collect();
        let mut floor: VersionVector = [(life(2, 8), 1)].into_iter().collect();
        floor.retire(life(2, 5));
        let met: VersionVector = [(life(2, 3), 7), (life(2, 5), 2)].into_iter().collect();
        assert_eq!((counts.meet(&floor), floor.meet(&counts)), (met.clone(), met));
        let mut joined = counts.clone();
        joined.join(&floor);
        assert_eq!(joined.to_string(), "{2-5:retired 2-8:1 3-1:1}");
        let mut higher = VersionVector::new();
        higher.retire(life(2, 9));
        joined.join(&higher);
        assert_eq!(joined.to_string(), "{2-9:retired 3-1:1}");
        joined.forget(&floor);
        assert_eq!(joined.to_string(), "{2-9:retired 3-1:1}");
        floor.forget(&joined);
        assert!(floor.is_empty());
    }

    #[test]
    fn an_effect_has_seen_earlier_effects_of_its_own_entry_and_commit() {
        let context = VersionVector::new();
        let origin = Origin {
            dot: Dot::new(r(1), seq(5), 2),
            hlc: Hlc::default(),
            context: &context,
        };
        assert!(origin.has_seen(&Dot::new(r(1), seq(5), 1)));
        assert!(origin.has_seen(&Dot::new(r(1), seq(4), 9)));
        assert!(!origin.has_seen(&Dot::new(r(1), seq(5), 2)));
        assert!(!origin.has_seen(&Dot::new(r(2), seq(1), 0)));
    }
}
