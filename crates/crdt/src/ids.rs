//! Names of places, identities and positions.
//!
//! A *region* is a place, a *replica* an identity that writes dots: one incarnation of one region. Raw integers
//! appear only on the wire; everywhere else each number has its own type, so that a sequence can never be passed
//! for an index.

use std::fmt;
use std::num::NonZeroU64;
use std::str::FromStr;

use bincode::{Decode, Encode};

/// A region's configured small integer, 1 to 65,535, never reused. On an equal clock the smaller one wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct RegionId(pub u16);

/// One life of one region's store: `unix milliseconds << 16 | 16 random bits`. Later lives compare greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct Incarnation(pub u64);

impl Incarnation {
    /// The incarnation that begins at `unix_ms`, strictly after `last` where one is known.
    ///
    /// `random` keeps two lives apart that begin in the same millisecond without knowing of each other.
    pub fn begin(unix_ms: u64, last: Option<Incarnation>, random: u16) -> Self {
        let floor = last.map_or(0, |l| (l.0 >> 16) + 1);
        Incarnation(unix_ms.max(floor).min(u64::MAX >> 16) << 16 | u64::from(random))
    }

    /// When this life began, in Unix milliseconds.
    pub fn began_ms(self) -> u64 {
        self.0 >> 16
    }
}

/// An identity that writes dots: one incarnation of one region.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct ReplicaId {
    /// The region.
    pub region: RegionId,
    /// Which life of the region's store.
    pub incarnation: Incarnation,
}

impl ReplicaId {
    /// The replica that region `region` is in its life `incarnation`.
    pub fn new(region: u16, incarnation: u64) -> Self {
        ReplicaId {
            region: RegionId(region),
            incarnation: Incarnation(incarnation),
        }
    }
}

impl fmt::Display for RegionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for ReplicaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.region.0, self.incarnation.0)
    }
}

/// A text that is no `<region_id>-<incarnation>`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no replica id: expected <region id>-<incarnation>, both integers")]
pub struct ParseReplicaIdError(String);

impl FromStr for ReplicaId {
    type Err = ParseReplicaIdError;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        let parsed = s
            .split_once('-')
            .and_then(|(r, i)| Some(ReplicaId::new(r.parse().ok()?, i.parse().ok()?)));
        parsed.ok_or_else(|| ParseReplicaIdError(s.to_owned()))
    }
}

/// A part of the key space with one writer, one log and one version vector. Dots of different shards are never compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct ShardId(pub u16);

impl fmt::Display for ShardId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The number of an entry among its replica's entries in one shard, from 1, without gaps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct Sequence(pub NonZeroU64);

impl Sequence {
    /// The first entry's.
    pub const FIRST: Sequence = Sequence(NonZeroU64::MIN);

    /// `n` as a sequence; `None` for 0, which means "nothing yet" in a version vector.
    pub fn new(n: u64) -> Option<Self> {
        NonZeroU64::new(n).map(Sequence)
    }

    /// The number.
    pub fn get(self) -> u64 {
        self.0.get()
    }

    /// The sequence after `count` entries (0 when there are none yet). Saturates at the end of the range.
    pub fn after(count: u64) -> Self {
        Sequence(NonZeroU64::MIN.saturating_add(count))
    }
}

impl fmt::Display for Sequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Where an effect stands among all effects of its replica: its entry, then its index in the entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct Position {
    /// The entry.
    pub sequence: Sequence,
    /// The effect's index in the entry, from 0.
    pub index: u32,
}

/// The name of one effect: `(replica, sequence, index)`. Never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct Dot {
    /// Who made the effect.
    pub replica: ReplicaId,
    /// Where it stands among that replica's effects.
    pub position: Position,
}

impl Dot {
    /// The dot of effect `index` in entry `sequence` of `replica`.
    pub fn new(replica: ReplicaId, sequence: Sequence, index: u32) -> Self {
        Dot {
            replica,
            position: Position { sequence, index },
        }
    }
}

impl fmt::Display for Dot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}:{}.{}",
            self.replica, self.position.sequence, self.position.index
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_life_compares_greater_even_when_the_clock_stood_still() {
        let first = Incarnation::begin(1_000, None, 0xffff);
        let second = Incarnation::begin(1_000, Some(first), 0);
        let third = Incarnation::begin(5, Some(second), 0);
        assert!(first < second && second < third);
        assert_eq!(first.began_ms(), 1_000);
    }

    #[test]
    fn replica_ids_read_back_as_printed() {
        let id = ReplicaId::new(3, 12_345);
        assert_eq!(id.to_string().parse(), Ok(id));
        assert!("3".parse::<ReplicaId>().is_err() && "x-1".parse::<ReplicaId>().is_err());
    }
}
