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
//! What the earlier life wrote and lost may still be on its way through others: until that is settled its last report
//! holds everything back (see `lives.rs`).

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use cartograph_crdt::{Dot, RegionId, ReplicaId, VersionVector};

use crate::commit::BatchId;
use crate::lives::{Closed, Member, Seen};
use crate::members::Members;
use crate::message::{Known, Report};

/// What every member has seen.
#[derive(Clone, Debug)]
pub struct Stability {
    me: ReplicaId,
    own: VersionVector,
    own_watermark_ms: u64,
    members: Members,
    known: BTreeMap<RegionId, Member>,
    closed: Closed,
    /// Do we vouch for the lives that we know? See [`crate::lives`].
    vouches: bool,
    /// The least of the expiry clocks of closed lives that are not settled; `None` when there are none.
    closed_watermark_ms: Option<u64>,
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
            closed: Closed::new(),
            vouches: false,
            closed_watermark_ms: None,
            relied: BTreeMap::new(),
            stable: VersionVector::new(),
            checkpoints: VecDeque::new(),
            checkpoints_max: checkpoints_max.max(2),
            stable_batch: BatchId(0),
        }
    }

    /// A new incarnation of ours began.
    pub fn set_replica(&mut self, me: ReplicaId) {
        self.vouches &= self.me == me;
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
        self.closed.retain(members);
        self.advanced();
    }

    /// Our expiry clock, as committed.
    pub fn set_watermark(&mut self, watermark_ms: u64) {
        self.own_watermark_ms = self.own_watermark_ms.max(watermark_ms);
    }

    /// What we have committed; after a claim it may be less than before.
    pub fn set_vector(&mut self, own: &VersionVector) {
        let before = std::mem::replace(&mut self.own, own.clone());
        if !self.own.dominates(&before) {
            // What counted may have counted on entries that we have lost, and settled lives on having them.
            self.known.values_mut().for_each(Member::recount);
            self.closed.rolled_back();
        }
        self.checkpoints.clear();
        self.stable_batch = BatchId(0);
        self.advanced();
    }

    /// What we have committed, grown.
    pub fn advance(&mut self, own: &VersionVector) {
        self.own = own.clone();
        self.advanced();
    }

    fn advanced(&mut self) {
        for member in self.known.values_mut() {
            member.count(&self.own);
        }
        self.closed.retired(&self.own);
        self.closed.count(&self.own);
        self.recompute();
    }

    /// A member's word, straight from it, and its hearsay of others.
    pub fn reported(&mut self, report: &Report) {
        let seen = |vector: &VersionVector, watermark_ms| Seen {
            vector: vector.clone(),
            watermark_ms,
        };
        let direct = seen(&report.vector, report.watermark_ms);
        self.learn(report.replica, direct, &report.lives);
        for known in &report.others {
            let hearsay = seen(&known.vector, known.watermark_ms);
            self.learn(known.replica, hearsay, &known.lives);
        }
        self.recompute();
    }

    fn learn(&mut self, replica: ReplicaId, seen: Seen, lives: &[ReplicaId]) {
        let region = replica.region;
        if region == self.me.region || !self.is_member(region) {
            return;
        }
        match self.known.get_mut(&region) {
            Some(member) if member.replica == replica => member.learn(&seen),
            Some(member) if member.replica.incarnation > replica.incarnation => return,
            Some(_) | None => {
                self.vouches = false;
                match self.known.insert(region, Member::new(replica, seen)) {
                    Some(former) => self.closed.close(former),
                    None => self.closed.unsure(),
                }
            }
        }
        if let Some(member) = self.known.get_mut(&region) {
            let of_members = |life: &&ReplicaId| self.members.regions.contains(&life.region);
            member.vouch(lives.iter().filter(of_members));
            member.count(&self.own);
        }
    }

    /// From now on we vouch for the lives that we know: nothing of earlier ones waits here, and their streams are
    /// refused. Hearing of one more ends it.
    pub fn vouch(&mut self) {
        if !self.vouches {
            self.vouches = true;
            self.recompute();
        }
    }

    /// Do we vouch for the lives that we know?
    pub fn vouches(&self) -> bool {
        self.vouches
    }

    /// The lives that we vouch for, for our own reports: see [`Report::lives`].
    pub fn vouched(&self) -> Vec<ReplicaId> {
        let known = self.known.values().filter(|_| self.vouches);
        known.map(|member| member.replica).collect()
    }

    /// Is a later life of the replica's region known?
    pub fn is_closed(&self, replica: ReplicaId) -> bool {
        self.live(replica.region)
            .is_some_and(|live| replica.incarnation < live.incarnation)
    }

    /// The region's live replica, as far as it is known.
    pub fn live(&self, region: RegionId) -> Option<ReplicaId> {
        if region == self.me.region {
            return Some(self.me);
        }
        self.known.get(&region).map(|member| member.replica)
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
        let (open, unsure) = self.settle();
        self.closed_watermark_ms = unsure.then_some(0);
        if unsure {
            stable = VersionVector::new();
        }
        for life in open {
            let last = self.closed.last_word(life).cloned().unwrap_or_default();
            stable = stable.meet(&last.vector);
            let least = self
                .closed_watermark_ms
                .map_or(last.watermark_ms, |w| w.min(last.watermark_ms));
            self.closed_watermark_ms = Some(least);
        }
        self.stable = stable;
        self.look_at_checkpoints();
    }

    /// Lets go of the lives of which nothing can come any more. Gives the others, and says whether there may be some
    /// that we never heard of.
    fn settle(&mut self) -> (BTreeSet<ReplicaId>, bool) {
        let mut open = self.open_lives();
        if (!open.is_empty() || self.closed.is_unsure()) && self.all_vouch() {
            self.closed.all_vouched();
            let settled = |life: &ReplicaId| self.is_closed(*life) && self.is_equal_everywhere(*life);
            let (settled, rest) = open.into_iter().partition(settled);
            open = rest;
            self.closed.settle(settled);
        }
        (open, self.closed.is_unsure())
    }

    /// Has every other member said that it has exactly as many entries of this life as we have?
    fn is_equal_everywhere(&self, life: ReplicaId) -> bool {
        let n = self.own.get(life);
        let mut known = self.others().map(|region| self.known.get(&region));
        known.all(|m| m.is_some_and(|m| m.latest.vector.get(life) == n))
    }

    /// The last closed life of `region` that anyone has entries of, if none of them can come any more and every member
    /// has all of all of them.
    pub fn retirable(&self, region: RegionId) -> Option<ReplicaId> {
        if self.closed.is_unsure() || self.members.regions.is_empty() {
            return None;
        }
        let latest = self.known.values().map(|m| &m.latest.vector);
        let named = latest.chain([&self.own]).flat_map(VersionVector::counted);
        let lives = named.map(|(life, _)| life).chain(self.closed.lives());
        let closed =
            |life: &ReplicaId| life.region == region && self.is_closed(*life) && !self.own.is_retired(*life);
        let lives: BTreeSet<ReplicaId> = lives.filter(closed).collect();
        let ready = |life: &ReplicaId| self.closed.is_settled(*life) && self.is_equal_everywhere(*life);
        lives.iter().all(ready).then(|| lives.last().copied())?
    }

    /// Does every other member know this replica as retired?
    pub fn retired_everywhere(&self, replica: ReplicaId) -> bool {
        let mut known = self.others().map(|region| self.known.get(&region));
        known.all(|m| m.is_some_and(|m| m.latest.vector.is_retired(replica)))
    }

    /// Lives of members, not their live ones and not settled, of which anyone has entries or of which we had heard.
    fn open_lives(&self) -> BTreeSet<ReplicaId> {
        let latest = self.known.values().map(|m| &m.latest.vector);
        let named = latest.chain([&self.own]).flat_map(VersionVector::iter);
        let named = named.map(|(replica, _)| replica).chain(self.closed.lives());
        let open = |life: &ReplicaId| {
            self.members.regions.contains(&life.region)
                && self.live(life.region) != Some(*life)
                && !self.own.is_retired(*life)
                && !self.closed.is_settled(*life)
        };
        named.filter(open).collect()
    }

    /// Does every member vouch for all the lives that we know, and do we?
    fn all_vouch(&self) -> bool {
        let vouches_for = |member: &Member, region: RegionId| {
            region == member.replica.region || member.vouches_for(region) == self.live(region)
        };
        let mut others = self.others().peekable();
        let alone = !self.members.regions.is_empty() && others.peek().is_none();
        alone
            || self.vouches
                && others.all(|other| {
                    let mut regions = self.members.regions.iter();
                    let member = self.known.get(&other);
                    member.is_some_and(|m| regions.all(|region| vouches_for(m, *region)))
                })
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
        let others = others.chain(self.closed_watermark_ms);
        others
            .min()
            .map_or(self.own_watermark_ms, |w| w.min(self.own_watermark_ms))
    }

    /// Is the owner of a cell known to have seen `dot`, with everything it wrote before that here?
    ///
    /// A closed incarnation writes no more, but entries of it may still be on their way: it counts as having seen
    /// everything once it is settled or retired.
    pub fn owner_has_seen(&self, owner: ReplicaId, dot: &Dot) -> bool {
        if self.own.is_retired(owner) || self.closed.is_settled(owner) {
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
            lives: member.vouched().collect(),
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
            self.relied.entry(*region).or_default().join(vector);
        }
    }

    /// Remembers our vector after commit `batch`. When too many are remembered, every second one is forgotten: the
    /// answer of [`Stability::stable_batch`] becomes coarser, never wrong.
    pub fn checkpoint(&mut self, batch: BatchId, vector: &VersionVector) {
        match self.checkpoints.back_mut() {
            Some((last, same)) if same == vector => *last = batch.max(*last),
            _ => self.checkpoints.push_back((batch, vector.clone())),
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
