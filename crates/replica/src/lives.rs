//! Lives that are over: what they wrote may outlast them.
//!
//! Region C writes an entry, sends it to B and loses it in a crash; its next life does not know of it. A hears from B
//! and from the new life that they have seen a revoke, collects it, and then C's lost entry, which had not seen the
//! revoke, comes to A through B: it lives in A and is dead in B. So the live replicas' reports are not all; what a
//! closed life said last holds back what is stable until the life is *settled*, that is until nothing of it that we
//! lack can be anywhere. Of a life that we never heard, nothing is known, and it holds back everything.
//!
//! # Vouching
//! When is a life L settled? Equal counts are not enough: an entry of L may be on L's own stream, or parked. So a
//! member *vouches* for the lives that it knows, in its reports ([`crate::message::Report::lives`]): once it knew them
//! it found nothing of any earlier life waiting here (parked, in a commit under way, in rows ahead of the vector), and
//! from then on it refuses every stream of an earlier life. L is settled when every member vouches for exactly the
//! lives that we know as live, and has as many entries of L as we have; ourselves included.
//!
//! Why this is enough: let E be L's next entry. Whoever comes to have E after it vouched took it from the stream of a
//! live replica, which had committed E. That one had not when it reported its count, so it took E after that, and
//! after it vouched, from one that had committed E still earlier, and so on: there is no first one. Lives that begin
//! later do not change it; the closed ones' streams ended before them.
//!
//! # Retiring
//! A closed life that is settled, and that everyone has whole, need not be named by any vector for ever: after a day
//! its region says by an entry that all its lives up to that one are *retired*. The entry's context counts what they
//! wrote, so it is applied only where all of that is; applying it folds them into the vector's floor
//! ([`VersionVector::retire`]). Vectors without the floor, in entries and rows from before, keep their exact meaning.
//! The log of a retired life is dropped. Whoever lacks some of it (new, wiped, rolled back) is sent a snapshot.
//!
//! Settling is for good, unless our own store is rolled back. Until every member has vouched once, there may be lives
//! that we never heard of ([`Closed::is_unsure`]): after a start of ours, and when a region joins. A life between two
//! that we heard of needs nothing more: it began with what the earlier one had reported, which holds back meanwhile.

use std::collections::{BTreeMap, BTreeSet};

use cartograph_crdt::{RegionId, ReplicaId, VersionVector};

use crate::members::Members;

/// The most closed lives of one region whose last reports are kept. Of the later ones nothing is known then.
const LIVES_MAX: usize = 16;

/// A vector and the expiry clock reported with it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) vector: VersionVector,
    pub(crate) watermark_ms: u64,
}

impl Seen {
    fn join(&mut self, other: &Seen) {
        self.vector.join(&other.vector);
        self.watermark_ms = self.watermark_ms.max(other.watermark_ms);
    }
}

/// What is known of one region: of its live replica, or of a closed one.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    pub(crate) replica: ReplicaId,
    pub(crate) counted: Option<Seen>,
    waiting: Option<Seen>,
    pub(crate) latest: Seen,
    /// The lives that it vouches for.
    vouched: BTreeMap<RegionId, ReplicaId>,
}

impl Member {
    pub(crate) fn new(replica: ReplicaId, seen: Seen) -> Member {
        Member {
            replica,
            counted: None,
            waiting: Some(seen.clone()),
            latest: seen,
            vouched: BTreeMap::new(),
        }
    }

    /// It says more.
    pub(crate) fn learn(&mut self, seen: &Seen) {
        self.latest.join(seen);
        if self.waiting.is_none() && self.counted.as_ref() != Some(&self.latest) {
            self.waiting = Some(self.latest.clone());
        }
    }

    /// It vouches for these lives, as it may have for earlier ones.
    pub(crate) fn vouch<'a>(&mut self, lives: impl Iterator<Item = &'a ReplicaId>) {
        for life in lives {
            let vouched = self.vouched.entry(life.region).or_insert(*life);
            *vouched = (*vouched).max(*life);
        }
    }

    /// The life of a region for which it vouches.
    pub(crate) fn vouches_for(&self, region: RegionId) -> Option<ReplicaId> {
        self.vouched.get(&region).copied()
    }

    /// The lives for which it vouches.
    pub(crate) fn vouched(&self) -> impl Iterator<Item = ReplicaId> + '_ {
        self.vouched.values().copied()
    }

    /// Our vector fell: nothing counts until its owner's entries are here again.
    pub(crate) fn recount(&mut self) {
        self.counted = None;
        self.waiting = Some(self.latest.clone());
    }

    /// Lets reports count whose owner's entries are all here. Says whether one did.
    pub(crate) fn count(&mut self, own: &VersionVector) -> bool {
        let mut counted = false;
        while let Some(waiting) = &self.waiting {
            let region = self.replica.region;
            let arrived = |(replica, n): (ReplicaId, u64)| replica.region != region || n <= own.get(replica);
            if !waiting.vector.iter().all(arrived) {
                break;
            }
            let more = (*waiting != self.latest).then(|| self.latest.clone());
            if let Some(waiting) = std::mem::replace(&mut self.waiting, more) {
                self.counted.get_or_insert_default().join(&waiting);
                counted = true;
            }
        }
        counted
    }
}

/// Lives that are over.
#[derive(Clone, Debug)]
pub(crate) struct Closed {
    /// The last words of those that are not settled, as far as we heard them.
    last: BTreeMap<ReplicaId, Member>,
    settled: BTreeSet<ReplicaId>,
    unsure: bool,
}

impl Closed {
    pub(crate) fn new() -> Closed {
        Closed {
            last: BTreeMap::new(),
            settled: BTreeSet::new(),
            unsure: true,
        }
    }

    /// A life is over.
    pub(crate) fn close(&mut self, life: Member) {
        let region = life.replica.region;
        let kept = self.last.keys().filter(|r| r.region == region).count();
        if kept < LIVES_MAX {
            self.last.insert(life.replica, life);
        }
    }

    /// There may be lives of which we never heard.
    pub(crate) fn unsure(&mut self) {
        self.unsure = true;
    }

    pub(crate) fn is_unsure(&self) -> bool {
        self.unsure
    }

    /// Every member vouches for every live replica: what we do not know of now is nowhere.
    pub(crate) fn all_vouched(&mut self) {
        self.unsure = false;
    }

    /// Nothing of these lives can come any more.
    pub(crate) fn settle(&mut self, lives: BTreeSet<ReplicaId>) {
        self.last.retain(|life, _| !lives.contains(life));
        self.settled.extend(lives);
    }

    pub(crate) fn is_settled(&self, life: ReplicaId) -> bool {
        self.settled.contains(&life)
    }

    /// The lives of which we had heard, and that are not settled.
    pub(crate) fn lives(&self) -> impl Iterator<Item = ReplicaId> + '_ {
        self.last.keys().copied()
    }

    /// The last that a life said, as far as it counts.
    pub(crate) fn last_word(&self, life: ReplicaId) -> Option<&Seen> {
        self.last.get(&life).and_then(|member| member.counted.as_ref())
    }

    /// Our vector grew.
    pub(crate) fn count(&mut self, own: &VersionVector) {
        for member in self.last.values_mut() {
            member.count(own);
        }
    }

    /// Our vector fell.
    pub(crate) fn rolled_back(&mut self) {
        self.last.values_mut().for_each(Member::recount);
        self.settled.clear();
        self.unsure = true;
    }

    /// Members changed.
    pub(crate) fn retain(&mut self, members: &Members) {
        let regions = &members.regions;
        let stays = |life: &ReplicaId| regions.is_empty() || regions.contains(&life.region);
        self.last.retain(|life, _| stays(life));
        self.settled.retain(stays);
    }

    /// Lives up to these are retired: nothing of them can come any more.
    pub(crate) fn retired(&mut self, own: &VersionVector) {
        self.last.retain(|life, _| !own.is_retired(*life));
        self.settled.retain(|life| !own.is_retired(*life));
    }
}
