//! Whose entries count: those of member regions, and of forgotten ones.
//!
//! Members are replicated state, changed by entries only; here they arrive as sets. Two questions are asked of them.
//!
//! *Who is waited for?* Every member: nothing is stable, and nothing need leave the log, before each has it.
//!
//! *Whose entries are applied?* Those of members and of forgotten regions. A forgotten region's links are refused, but
//! what one member has applied of it the others need too, or they would never again be equal: so its entries pass when
//! members relay them. A region that was just added is not known everywhere at once:
//! its entries wait, parked, for the entry that adds it, which they have seen. An empty store does not know the
//! members yet and takes what its peers send.

use std::collections::BTreeSet;

use cartograph_crdt::{RegionId, ReplicaId};

/// Whose entries count.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Members {
    /// The members, ourselves included. Empty while they are not known: nothing is stable then.
    pub regions: BTreeSet<RegionId>,
    /// Regions that were forgotten; their ids never return.
    pub forgotten: BTreeSet<RegionId>,
}

impl Members {
    /// May entries of this replica be applied?
    pub fn admit(&self, replica: ReplicaId) -> bool {
        self.regions.is_empty()
            || self.regions.contains(&replica.region)
            || self.forgotten.contains(&replica.region)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forgotten_regions_entries_pass() {
        let members = Members {
            regions: [RegionId(1), RegionId(2)].into(),
            forgotten: [RegionId(3)].into(),
        };
        assert!(members.admit(ReplicaId::new(2, 5)) && members.admit(ReplicaId::new(3, 5)));
        assert!(
            !members.admit(ReplicaId::new(4, 5)),
            "a region that was never added"
        );
    }

    #[test]
    fn while_the_members_are_unknown_everyone_is_admitted() {
        assert!(Members::default().admit(ReplicaId::new(9, 1)));
    }
}
