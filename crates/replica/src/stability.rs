//! What every member has seen: the ground on which anything may be forgotten.
//!
//! Members report what they have applied, directly and through each other. An entry is *causally stable* when every
//! member's vector covers it: from then on no entry can arrive whose writer had not seen it. That justifies dropping
//! the losers of registers, dead cells, revokes and expired keys, so a mistake here loses data for good.
//!
//! # A vector counts only once we have what its owner wrote before it
//! Let B reset a counter that A had incremented once more, unseen. A applies the reset and reports a vector that covers
//! it. If we hear of the report before A's increment has arrived, everyone has seen the reset, and yet an increment that
//! had not seen it is still on its way to us; the cell dropped as stable would be made anew by it, at the wrong sum.
//! So a member's vector counts once our own vector covers that member's *own sequences* in it, however the report came.
//! With that, whatever a member writes before it sees an entry is here before that member's word on the entry counts.
//!
//! A busy member's latest report is nearly always ahead of us, so of each member three reports are kept: the one that
//! counts, the oldest that does not count yet (`waiting`), and the latest. When `waiting` comes to count, the latest
//! takes its place: each report is waited for to its end, and a busy member makes progress.
//!
//! # Lives
//! A report carries the replica that made it. Within one incarnation vectors only grow, so reports join, in whatever
//! order they come. A later incarnation's report replaces all that was known, even when it is lower: the region's store
//! was rolled back. What had been collected on the strength of the older report is remembered in `relied`: until the
//! region covers that again, the log alone cannot bring it back, and it is sent a snapshot ([`crate::sender`]).

use std::collections::{BTreeMap, VecDeque};

use cartograph_crdt::{Dot, RegionId, ReplicaId, VersionVector};

use crate::commit::BatchId;
use crate::members::Members;
use crate::message::{Known, Report};

/// A vector and the expiry clock reported with it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Seen {
    vector: VersionVector,
    watermark_ms: u64,
}

impl Seen {
    fn join(&mut self, other: &Seen) {
        self.vector.join(&other.vector);
        self.watermark_ms = self.watermark_ms.max(other.watermark_ms);
    }
}

/// What is known of one region.
#[derive(Clone, Debug)]
struct Member {
    replica: ReplicaId,
    counted: Option<Seen>,
    waiting: Option<Seen>,
    latest: Seen,
}

impl Member {
    fn new(replica: ReplicaId, seen: Seen) -> Member {
        Member {
            replica,
            counted: None,
            waiting: Some(seen.clone()),
            latest: seen,
        }
    }

    /// Lets reports count whose owner's entries are all here. Says whether one did.
    fn count(&mut self, own: &VersionVector) -> bool {
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

/// What every member has seen.
#[derive(Clone, Debug)]
pub struct Stability {
    me: ReplicaId,
    own: VersionVector,
    own_watermark_ms: u64,
    members: Members,
    known: BTreeMap<RegionId, Member>,
    relied: BTreeMap<RegionId, VersionVector>,
    stable: VersionVector,
    checkpoints: VecDeque<(BatchId, VersionVector)>,
    checkpoints_max: usize,
    stable_batch: BatchId,
}

impl Stability {
    /// Nothing is known. At most `checkpoints_max` commits are remembered.
    pub fn new(me: ReplicaId, checkpoints_max: usize) -> Stability {
        Stability {
            me,
            own: VersionVector::new(),
            own_watermark_ms: 0,
            members: Members::default(),
            known: BTreeMap::new(),
            relied: BTreeMap::new(),
            stable: VersionVector::new(),
            checkpoints: VecDeque::new(),
            checkpoints_max: checkpoints_max.max(2),
            stable_batch: BatchId(0),
        }
    }

    /// A new incarnation of ours began.
    pub fn set_replica(&mut self, me: ReplicaId) {
        self.me = me;
        self.recompute();
    }

    /// Who is waited for. What is known of others is forgotten.
    pub fn set_members(&mut self, members: &Members) {
        self.members = members.clone();
        if !members.regions.is_empty() {
            self.known.retain(|region, _| members.regions.contains(region));
            self.relied.retain(|region, _| members.regions.contains(region));
        }
        for member in self.known.values_mut() {
            let seen = [&mut member.counted, &mut member.waiting].into_iter().flatten();
            for seen in seen.chain([&mut member.latest]) {
                members.retired.strip(&mut seen.vector);
            }
        }
        for vector in self.relied.values_mut() {
            members.retired.strip(vector);
        }
        for (_, vector) in &mut self.checkpoints {
            members.retired.strip(vector);
        }
        members.retired.strip(&mut self.own);
        self.advanced();
    }

    /// Our expiry clock, as committed.
    pub fn set_watermark(&mut self, watermark_ms: u64) {
        self.own_watermark_ms = self.own_watermark_ms.max(watermark_ms);
    }

    /// What we have committed; after a claim it may be less than before.
    pub fn set_vector(&mut self, own: &VersionVector) {
        self.own = own.clone();
        self.members.retired.strip(&mut self.own);
        self.checkpoints.clear();
        self.stable_batch = BatchId(0);
        self.advanced();
    }

    /// What we have committed, grown.
    pub fn advance(&mut self, own: &VersionVector) {
        self.own = own.clone();
        self.members.retired.strip(&mut self.own);
        self.advanced();
    }

    fn advanced(&mut self) {
        for member in self.known.values_mut() {
            member.count(&self.own);
        }
        self.recompute();
    }

    /// A member's word, straight from it, and its hearsay of others.
    pub fn reported(&mut self, report: &Report) {
        self.learn(report.replica, &report.vector, report.watermark_ms);
        for known in &report.others {
            self.learn(known.replica, &known.vector, known.watermark_ms);
        }
        self.recompute();
    }

    fn learn(&mut self, replica: ReplicaId, vector: &VersionVector, watermark_ms: u64) {
        let region = replica.region;
        if region == self.me.region || !self.is_member(region) {
            return;
        }
        let mut seen = Seen {
            vector: vector.clone(),
            watermark_ms,
        };
        self.members.retired.strip(&mut seen.vector);
        match self.known.get_mut(&region) {
            Some(member) if member.replica == replica => {
                member.latest.join(&seen);
                if member.waiting.is_none() && member.counted.as_ref() != Some(&member.latest) {
                    member.waiting = Some(member.latest.clone());
                }
            }
            Some(member) if member.replica.incarnation > replica.incarnation => return,
            Some(_) | None => {
                self.known.insert(region, Member::new(replica, seen));
            }
        }
        if let Some(member) = self.known.get_mut(&region) {
            member.count(&self.own);
        }
    }

    fn is_member(&self, region: RegionId) -> bool {
        self.members.regions.is_empty() || self.members.regions.contains(&region)
    }

    /// The members that we wait for.
    fn others(&self) -> impl Iterator<Item = RegionId> + '_ {
        let me = self.me.region;
        self.members.regions.iter().copied().filter(move |r| *r != me)
    }

    fn recompute(&mut self) {
        let mut stable = self.own.clone();
        if self.members.regions.is_empty() {
            stable = VersionVector::new();
        }
        for region in self.members.regions.iter().filter(|r| **r != self.me.region) {
            let counted = self.known.get(region).and_then(|m| m.counted.as_ref());
            match counted {
                Some(counted) => {
                    stable = stable.meet(&counted.vector);
                    let relied = counted.vector.meet(&self.own);
                    self.relied.entry(*region).or_default().join(&relied);
                }
                None => stable = VersionVector::new(),
            }
        }
        self.stable = stable;
        self.look_at_checkpoints();
    }

    fn look_at_checkpoints(&mut self) {
        while let Some((batch, vector)) = self.checkpoints.front() {
            if !self.stable.dominates(vector) || self.members.regions.is_empty() {
                break;
            }
            self.stable_batch = self.stable_batch.max(*batch);
            self.checkpoints.pop_front();
        }
    }

    /// What every member, ourselves included, has applied, as far as it counts. Empty while a member has not reported,
    /// or the members are not known. May fall when a member is rolled back.
    pub fn stable(&self) -> &VersionVector {
        &self.stable
    }

    /// What every member's expiry clock has passed, as far as it counts; 0 while one has not reported.
    pub fn watermark_ms(&self) -> u64 {
        if self.members.regions.is_empty() {
            return 0;
        }
        let counted = |region| {
            let member = self.known.get(&region)?;
            member.counted.as_ref().map(|c| c.watermark_ms)
        };
        let others = self.others().map(|region| counted(region).unwrap_or(0));
        others
            .min()
            .map_or(self.own_watermark_ms, |w| w.min(self.own_watermark_ms))
    }

    /// Is the owner of a cell known to have seen `dot`, with everything it wrote before that here?
    ///
    /// A closed incarnation writes no more, but entries of it may still be on their way: it counts as having seen
    /// everything once it is retired.
    pub fn owner_has_seen(&self, owner: ReplicaId, dot: &Dot) -> bool {
        if self.members.retired.contains(owner) {
            return true;
        }
        if owner == self.me {
            return self.own.covers(dot);
        }
        match self.known.get(&owner.region) {
            Some(member) if member.replica == owner => {
                member.counted.as_ref().is_some_and(|c| c.vector.covers(dot))
            }
            Some(_) | None => false,
        }
    }

    /// How many entries of `origin` every other member has acknowledged: nobody needs them from our log any more.
    pub fn lowest_acknowledged(&self, origin: ReplicaId) -> u64 {
        if self.members.regions.is_empty() {
            return 0;
        }
        let acknowledged = |region| self.known.get(&region).map_or(0, |m| m.latest.vector.get(origin));
        let own = self.own.get(origin);
        self.others().map(acknowledged).min().map_or(own, |n| n.min(own))
    }

    /// The latest that is known of a region: its live replica, and what that has applied.
    pub fn latest(&self, region: RegionId) -> Option<(ReplicaId, &VersionVector)> {
        let member = self.known.get(&region)?;
        Some((member.replica, &member.latest.vector))
    }

    /// The latest of every other region, for our own reports.
    pub fn hearsay(&self) -> Vec<Known> {
        let known = self.known.values().map(|member| Known {
            replica: member.replica,
            vector: member.latest.vector.clone(),
            watermark_ms: member.latest.watermark_ms,
        });
        known.collect()
    }

    /// What was or may have been collected on the strength of a region's reports.
    pub fn relied_on(&self, region: RegionId) -> Option<&VersionVector> {
        self.relied.get(&region)
    }

    /// The same for all regions, to be stored.
    pub fn relied(&self) -> &BTreeMap<RegionId, VersionVector> {
        &self.relied
    }

    /// Adds what was stored.
    pub fn restore_relied(&mut self, relied: &BTreeMap<RegionId, VersionVector>) {
        for (region, vector) in relied {
            let mut vector = vector.clone();
            self.members.retired.strip(&mut vector);
            self.relied.entry(*region).or_default().join(&vector);
        }
    }

    /// Remembers our vector after commit `batch`. When too many are remembered, every second one is forgotten: the
    /// answer of [`Stability::stable_batch`] becomes coarser, never wrong.
    pub fn checkpoint(&mut self, batch: BatchId, vector: &VersionVector) {
        let mut vector = vector.clone();
        self.members.retired.strip(&mut vector);
        match self.checkpoints.back_mut() {
            Some((last, same)) if *same == vector => *last = batch.max(*last),
            _ => self.checkpoints.push_back((batch, vector)),
        }
        if self.checkpoints.len() > self.checkpoints_max {
            // The newest always stays, or the last write of all would never become stable.
            let mut newer = self.checkpoints.len();
            self.checkpoints.retain(|_| {
                newer -= 1;
                newer.is_multiple_of(2)
            });
        }
        self.look_at_checkpoints();
    }

    /// The last remembered commit whose whole vector is stable: what was written up to it is everywhere.
    pub fn stable_batch(&self) -> BatchId {
        self.stable_batch
    }
}

#[cfg(test)]
#[path = "stability_tests.rs"]
mod tests;
