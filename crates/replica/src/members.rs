//! Whose entries count: member regions, forgotten ones, and retired replicas.
//!
//! Members are replicated state, changed by entries only; here they arrive as sets. Three questions are asked of them.
//!
//! *Who is waited for?* Every member: nothing is stable, and nothing need leave the log, before each has it.
//!
//! *Whose entries are applied?* Those of members and of forgotten regions. A forgotten region's links are refused, but
//! what one member has applied of it the others need too, or they would never again be equal: so its entries pass when
//! members relay them, until its replicas are retired. A region that was just added is not known everywhere at once:
//! its entries wait, parked, for the entry that adds it, which they have seen. An empty store does not know the
//! members yet and takes what its peers send.
//!
//! *What need no vector name any more?* Retired replicas: closed, and applied everywhere to the last entry. A region's
//! retired floor is the incarnation up to which all are retired. Their entries are refused from then on, and a context
//! that names one counts as covered.

use std::collections::{BTreeMap, BTreeSet};

use cartograph_crdt::{Incarnation, RegionId, ReplicaId, VersionVector};

use crate::entry::Entry;

/// Replicas whose entries are all applied everywhere, by region: every incarnation up to the floor.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Retired {
    floors: BTreeMap<RegionId, Incarnation>,
}

impl Retired {
    /// The retired floors of some regions.
    pub fn new(floors: impl IntoIterator<Item = (RegionId, Incarnation)>) -> Retired {
        Retired {
            floors: floors.into_iter().collect(),
        }
    }

    /// Is the replica retired?
    pub fn contains(&self, replica: ReplicaId) -> bool {
        self.floors
            .get(&replica.region)
            .is_some_and(|floor| replica.incarnation <= *floor)
    }

    /// Drops the retired from a vector.
    pub fn strip(&self, vector: &mut VersionVector) {
        if vector.iter().any(|(replica, _)| self.contains(replica)) {
            *vector = vector.iter().filter(|(r, _)| !self.contains(*r)).collect();
        }
    }
}

/// Whose entries count.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Members {
    /// The members, ourselves included. Empty while they are not known: nothing is stable then.
    pub regions: BTreeSet<RegionId>,
    /// Regions that were forgotten; their ids never return.
    pub forgotten: BTreeSet<RegionId>,
    /// What is retired.
    pub retired: Retired,
}

impl Members {
    /// May entries of this replica be applied?
    pub fn admit(&self, replica: ReplicaId) -> bool {
        let known = self.regions.is_empty()
            || self.regions.contains(&replica.region)
            || self.forgotten.contains(&replica.region);
        known && !self.retired.contains(replica)
    }

    /// Does `applied` have everything that the entry's writer had seen, and the entry before it?
    pub fn ready(&self, entry: &Entry, applied: &VersionVector) -> bool {
        let met = |vector: &VersionVector| {
            vector.iter().all(|(replica, n)| {
                replica == entry.replica || n <= applied.get(replica) || self.retired.contains(replica)
            })
        };
        applied.get(entry.replica) + 1 == entry.sequence.get()
            && met(&entry.context)
            && entry.ahead.iter().all(|(_, vector)| met(vector))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forgotten_regions_entries_pass_until_they_are_retired() {
        let mut members = Members {
            regions: [RegionId(1), RegionId(2)].into(),
            forgotten: [RegionId(3)].into(),
            retired: Retired::default(),
        };
        assert!(members.admit(ReplicaId::new(2, 5)) && members.admit(ReplicaId::new(3, 5)));
        assert!(
            !members.admit(ReplicaId::new(4, 5)),
            "a region that was never added"
        );
        members.retired = Retired::new([(RegionId(3), Incarnation(5))]);
        assert!(!members.admit(ReplicaId::new(3, 5)) && members.admit(ReplicaId::new(3, 6)));
        let mut vector = [(ReplicaId::new(3, 5), 9), (ReplicaId::new(1, 1), 2)]
            .into_iter()
            .collect();
        members.retired.strip(&mut vector);
        assert_eq!(vector.to_string(), "{1-1:2}");
    }

    #[test]
    fn while_the_members_are_unknown_everyone_is_admitted() {
        assert!(Members::default().admit(ReplicaId::new(9, 1)));
    }
}
