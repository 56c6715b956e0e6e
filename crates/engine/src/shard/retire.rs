//! Lives that are over everywhere: named by no vector any more.
//!
//! Each life of a region's store is a replica, and every vector names it, for ever, in every entry and report. Once a
//! life is closed for [`Limits::retire_after_ms`](super::Limits), and every member vouches that nothing of it can come
//! any more and has said that it has all of it ([`Exchange::retirable`](cartograph_replica::Exchange::retirable)), its
//! region writes into the members row that its lives up to that one are retired.
//!
//! The entry that says so has seen all that they wrote, so it is applied only where that is applied. From there on a
//! vector that covers the entry has a *floor* in their place. A vector without the floor keeps its exact meaning: what
//! was written before needs no second look. Stored blobs keep naming the replica; a floor covers its dots.

use std::collections::BTreeMap;

use cartograph_crdt::{Element, Incarnation, RegionId, ReplicaId, Value, VersionVector};

use super::members::SystemWrite;
use super::{Shard, event};
use crate::api::{Event, Output};
use crate::head::Retirement;

/// The field of the members row.
pub(super) fn field(region: RegionId) -> Vec<u8> {
    format!("r:{region}").into_bytes()
}

/// What the members row's field says: of concurrent writes, all.
pub(super) fn read(region: RegionId, element: &Element) -> Vec<Retirement> {
    let Element::Number(number) = element else {
        return Vec::new();
    };
    let written = number.register.written().iter().filter_map(|written| {
        let Value::Bytes(bytes) = &written.value else {
            return None;
        };
        let incarnation = Incarnation(std::str::from_utf8(bytes).ok()?.parse().ok()?);
        Some(Retirement {
            last: ReplicaId { region, incarnation },
            dot: written.dot,
        })
    });
    written.collect()
}

impl Shard {
    /// Looks for lives of this region that may be retired.
    pub(super) fn plan_retirement(&mut self) {
        self.forget_finals();
        let queued = |write: &SystemWrite| matches!(write, SystemWrite::Retire { .. });
        if self.system.iter().any(queued) {
            return;
        }
        if let Some(last) = self.exchange.retirable(self.config.region)
            && self.may_retire(last)
        {
            self.system.push_back(SystemWrite::Retire { last });
        }
    }

    /// May this life, and all before it, be retired now? Asked again when it is written.
    pub(super) fn may_retire(&self, last: ReplicaId) -> bool {
        // A life ended at the latest when the next began.
        let ended_ms = self.exchange.live(last.region).map(|l| l.incarnation.began_ms());
        let late_enough = ended_ms
            .is_some_and(|at| at.saturating_add(self.config.limits.retire_after_ms) <= self.now.wall_ms);
        late_enough
            && self.members.writable
            && self.recovering_until_ms.is_none()
            && self.joining.is_none()
            && self.done.vector.dominates(&self.ahead)
            && self.exchange.retirable(last.region) == Some(last)
    }

    /// Folds a vector where it covers the entries that say which lives are retired.
    pub(super) fn fold_retired(&mut self, vector: &mut VersionVector) {
        for Retirement { last, dot } in self.members.retired.clone() {
            if !vector.covers(&dot) || vector.is_retired(last) {
                continue;
            }
            let over = |(life, _): &(ReplicaId, u64)| life.region == last.region && *life <= last;
            self.members.finals.extend(vector.counted().filter(over));
            self.members_stored = false;
            vector.retire(last);
        }
    }

    /// Tells of lives that were retired by the last commit.
    pub(super) fn tell_retired(&mut self, out: &mut Vec<Output>) {
        let told = std::mem::take(&mut self.floors_told);
        let floors: BTreeMap<RegionId, ReplicaId> = self
            .done
            .vector
            .floors()
            .map(|last| (last.region, last))
            .collect();
        if floors != told {
            self.exchange.set_finals(&self.members.finals);
            for (region, last) in &floors {
                if told.get(region) != Some(last) {
                    event(Event::Retired { last: *last }, out);
                }
            }
        }
        self.floors_told = floors;
    }

    /// What every member knows as retired need not be counted any more.
    fn forget_finals(&mut self) {
        let before = self.members.finals.len();
        let exchange = &self.exchange;
        self.members
            .finals
            .retain(|life, _| !exchange.retired_everywhere(*life));
        if self.members.finals.len() != before {
            self.members_stored = false;
            self.exchange.set_finals(&self.members.finals);
        }
    }
}
