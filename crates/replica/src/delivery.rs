//! Causal delivery: entries wait here until everything that their writers had seen is applied.
//!
//! Entries of one origin are applied in order of sequence, and an entry only where its context is covered. What
//! arrives early is *parked*. Parking never blocks a stream: were the reader of one stream to wait until an entry can
//! be applied, the entry that it waits for could be behind it, on this stream or on that of a relaying peer, and
//! everything would stand still. So a full park *drops its newest* entry, and the one who sent it is asked to send
//! again from our vector.
//!
//! INVARIANT: the next entry of an origin (the one right after what is applied) is never dropped for want of room.
//! That makes a full park harmless: of all entries that we lack, the causally first is the next one of its origin; once
//! it is here it stays, and everything that it has seen is applied, so it is ready. The bound on bytes and entries may
//! therefore be passed by one entry per origin, and the number of origins is bounded too.
//!
//! "Newest" is the entry that is furthest beyond what is applied of its origin; entries of replicas that no member
//! vouches for go before all others. Finding it, and finding what is ready, looks at each origin's ends only: a step
//! costs O(origins), however many entries are parked.

use std::collections::{BTreeMap, BTreeSet};

use cartograph_crdt::{RegionId, ReplicaId, VersionVector};

use crate::entry::Entry;
use crate::members::Members;

/// The most origins of which entries are parked.
pub const ORIGINS_MAX: usize = 1_024;

/// What a parked entry costs besides its bytes on the wire.
const OVERHEAD: usize = 160;

/// What became of an entry that arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    /// It is applied or parked already.
    Duplicate,
    /// It waits here, perhaps for nothing but [`Park::ready`].
    Parked,
    /// The park is full, and its newest was dropped, be it this entry or others: [`Park::take_dropped`] says whom to
    /// ask for it again, once there is room.
    Full,
    /// Its replica is retired: everyone has everything of it.
    Refused,
    /// It claims to be ours, and we never wrote it: our store was rolled back unnoticed, or two replicas share an id.
    OwnUnknown,
}

#[derive(Clone, Debug)]
struct Parked {
    entry: Entry,
    from: Option<RegionId>,
}

impl Parked {
    fn weight(&self) -> usize {
        self.entry.weight() + OVERHEAD
    }
}

/// The entries that wait.
#[derive(Clone, Debug)]
pub struct Park {
    entries_max: usize,
    bytes_max: usize,
    entries: usize,
    bytes: usize,
    /// By origin and sequence. No origin is empty.
    origins: BTreeMap<ReplicaId, BTreeMap<u64, Parked>>,
    /// Who had sent what was dropped; `None` stands for anyone.
    dropped: BTreeSet<Option<RegionId>>,
}

impl Park {
    /// An empty park with these bounds.
    pub fn new(entries_max: usize, bytes_max: usize) -> Park {
        Park {
            entries_max,
            bytes_max,
            entries: 0,
            bytes: 0,
            origins: BTreeMap::new(),
            dropped: BTreeSet::new(),
        }
    }

    /// Takes an entry that peer `from` sent to us, the replica `me`, who has applied `applied`.
    pub fn receive(
        &mut self,
        entry: Entry,
        from: Option<RegionId>,
        me: ReplicaId,
        members: &Members,
        applied: &VersionVector,
    ) -> Received {
        let (origin, sequence) = (entry.replica, entry.sequence.get());
        if applied.is_retired(origin) {
            return Received::Refused;
        }
        if sequence <= applied.get(origin) || self.holds(origin, sequence) {
            return Received::Duplicate;
        }
        if origin == me {
            return Received::OwnUnknown;
        }
        if !self.origins.contains_key(&origin) && self.origins.len() >= ORIGINS_MAX {
            self.dropped.insert(from);
            return Received::Full;
        }
        let parked = Parked { entry, from };
        let weight = parked.weight();
        // A stranger's next entry waits for the one that adds its region: it can as well be sent again after that.
        let admitted = members.admit(origin);
        let is_next = admitted && sequence == applied.get(origin) + 1;
        let mut full = false;
        while self.entries >= self.entries_max || self.bytes + weight > self.bytes_max {
            let newest = self.newest(members, applied);
            let ours = (!admitted, sequence - applied.get(origin));
            match newest {
                Some((rank, victim)) if rank > ours => {
                    full = true;
                    self.drop_last(victim);
                }
                _ if is_next => break,
                _ => {
                    self.dropped.insert(from);
                    return Received::Full;
                }
            }
        }
        self.entries += 1;
        self.bytes += weight;
        self.origins.entry(origin).or_default().insert(sequence, parked);
        if full { Received::Full } else { Received::Parked }
    }

    fn holds(&self, origin: ReplicaId, sequence: u64) -> bool {
        self.origins
            .get(&origin)
            .is_some_and(|of| of.contains_key(&sequence))
    }

    /// The origin whose last parked entry is the newest, with that entry's rank; next entries do not count,
    /// unless they are strangers'.
    fn newest(&self, members: &Members, applied: &VersionVector) -> Option<((bool, u64), ReplicaId)> {
        let last = |(origin, of): (&ReplicaId, &BTreeMap<u64, Parked>)| {
            let (sequence, _) = of.last_key_value()?;
            let distance = sequence.saturating_sub(applied.get(*origin));
            let stranger = !members.admit(*origin);
            (stranger || distance > 1).then_some(((stranger, distance), *origin))
        };
        self.origins.iter().filter_map(last).max()
    }

    fn drop_last(&mut self, origin: ReplicaId) {
        let Some(of) = self.origins.get_mut(&origin) else {
            return;
        };
        if let Some((_, gone)) = of.pop_last() {
            self.entries -= 1;
            self.bytes -= gone.weight();
            self.dropped.insert(gone.from);
        }
        if of.is_empty() {
            self.origins.remove(&origin);
        }
    }

    /// Who should be asked to send again, each told once; `None` stands for everyone.
    pub fn take_dropped(&mut self) -> BTreeSet<Option<RegionId>> {
        std::mem::take(&mut self.dropped)
    }

    /// Takes entries that may be applied one after the other where `applied` has been, in causal order.
    ///
    /// Stops at `entries_max` and at about `bytes_max` (one comes at least, if one is ready).
    ///
    /// # Cost
    /// O(origins) for each entry at worst, however many are parked.
    pub fn ready(
        &mut self,
        members: &Members,
        applied: &VersionVector,
        entries_max: usize,
        bytes_max: usize,
    ) -> Vec<Entry> {
        let mut applied = applied.clone();
        let mut taken: Vec<Entry> = Vec::new();
        let mut bytes = 0;
        let origins: Vec<ReplicaId> = self.origins.keys().copied().collect();
        let mut progress = true;
        while progress {
            progress = false;
            for origin in &origins {
                while let Some(weight) = self.next_is_ready(*origin, members, &applied) {
                    let full =
                        taken.len() >= entries_max || (!taken.is_empty() && bytes + weight > bytes_max);
                    if full {
                        return taken;
                    }
                    let Some(entry) = self.remove_first(*origin) else {
                        break;
                    };
                    bytes += weight;
                    applied.raise(*origin, entry.sequence.get());
                    taken.push(entry);
                    progress = true;
                }
            }
        }
        taken
    }

    /// Is the first parked entry of an origin ready? Then its weight.
    fn next_is_ready(
        &mut self,
        origin: ReplicaId,
        members: &Members,
        applied: &VersionVector,
    ) -> Option<usize> {
        self.forget_applied(origin, applied.get(origin));
        let (_, first) = self.origins.get(&origin)?.first_key_value()?;
        let ready = members.admit(origin) && first.entry.is_ready(applied);
        ready.then(|| first.entry.weight())
    }

    fn remove_first(&mut self, origin: ReplicaId) -> Option<Entry> {
        let of = self.origins.get_mut(&origin)?;
        let (_, first) = of.pop_first()?;
        if of.is_empty() {
            self.origins.remove(&origin);
        }
        self.entries -= 1;
        self.bytes -= first.weight();
        Some(first.entry)
    }

    /// Lets go of entries up to `count` of an origin.
    fn forget_applied(&mut self, origin: ReplicaId, count: u64) {
        while let Some((first, _)) = self.origins.get(&origin).and_then(BTreeMap::first_key_value) {
            if *first > count {
                return;
            }
            self.remove_first(origin);
        }
    }

    /// Lets go of what was applied otherwise: by a snapshot, or before it came.
    pub fn retain(&mut self, applied: &VersionVector) {
        let origins: Vec<ReplicaId> = self.origins.keys().copied().collect();
        for origin in origins {
            self.forget_applied(origin, applied.get(origin));
        }
    }

    /// The replicas of which entries are parked.
    pub fn origins(&self) -> impl Iterator<Item = ReplicaId> + '_ {
        self.origins.keys().copied()
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        *self = Park::new(self.entries_max, self.bytes_max);
    }

    /// Is at least half of the park free?
    pub fn has_room(&self) -> bool {
        self.entries <= self.entries_max / 2 && self.bytes <= self.bytes_max / 2
    }

    /// Number of entries parked.
    pub fn len(&self) -> usize {
        self.entries
    }

    /// Is nothing parked?
    pub fn is_empty(&self) -> bool {
        self.entries == 0
    }

    /// Bytes parked.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

#[cfg(test)]
#[path = "delivery_tests.rs"]
mod tests;
