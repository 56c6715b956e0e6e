//! What will be broken, when, and where: decided by the seed before anything starts.
//!
//! The plan is a function of its inputs. The run is not (processes and sockets have their own mind), but the same seed breaks
//! the same things at the same instants again, which is what one needs to look for something that was seen once.
//!
//! Time goes by slots: some calm, then one fault, or two or three at once, then calm again. No two faults of one slot act on
//! the same process, and at most one of them loses data: what a store may lose when another is lost at the same time is
//! nothing that a product could promise.

use std::collections::BTreeSet;
use std::time::Duration;

use rand::seq::{IndexedRandom, SliceRandom};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

/// A way to hurt a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Nemesis {
    /// One region cut off from all others.
    PartitionFull,
    /// Nothing passes from one region to another; the way back is open.
    PartitionOneWay,
    /// Two regions cut off from each other, both linked with the rest.
    PartitionPartial,
    /// A region's links go down and up again and again.
    PartitionFlapping,
    /// Slow, jittery, lossy links of one region.
    SlowPeers,
    /// SIGKILL of a node; it is started again at the end.
    KillNode,
    /// SIGSTOP of a node, SIGCONT at the end.
    PauseNode,
    /// SIGKILL of a region's store; it is started again at the end.
    KillStore,
    /// SIGSTOP of a Redis, SIGCONT at the end.
    PauseStore,
    /// A region's store is emptied.
    Wipe,
    /// A copy of a region's store is taken, and put back later.
    Rollback,
    /// A Redis out of memory.
    Oom,
    /// A Redis that takes no writes, as a replica does after a failover.
    ReadOnly,
    /// A Redis that answers late.
    SlowStore,
    /// No room on the disk of a region's store.
    DiskFull,
    /// The clock of a region's node jumps ahead or back. (A Redis does not start with a clock that lies: its allocator asks
    /// for the time before anything else.)
    ClockSkew,
    /// Hundreds of connections that come, send half a request, and go; peer connections reset.
    Churn,
}

impl Nemesis {
    /// All of them, with the words of the command line.
    pub(crate) const ALL: [(&'static str, Self); 17] = [
        ("partition-full", Self::PartitionFull),
        ("partition-one-way", Self::PartitionOneWay),
        ("partition-partial", Self::PartitionPartial),
        ("partition-flapping", Self::PartitionFlapping),
        ("slow-peers", Self::SlowPeers),
        ("kill-node", Self::KillNode),
        ("pause-node", Self::PauseNode),
        ("kill-store", Self::KillStore),
        ("pause-store", Self::PauseStore),
        ("wipe", Self::Wipe),
        ("rollback", Self::Rollback),
        ("oom", Self::Oom),
        ("read-only", Self::ReadOnly),
        ("slow-store", Self::SlowStore),
        ("disk-full", Self::DiskFull),
        ("clock-skew", Self::ClockSkew),
        ("churn", Self::Churn),
    ];

    /// Its word.
    pub(crate) fn word(self) -> &'static str {
        Self::ALL
            .iter()
            .find(|(_, nemesis)| *nemesis == self)
            .map_or("?", |(word, _)| word)
    }

    /// Whether a store loses what it held.
    pub(crate) fn loses_data(self) -> bool {
        match self {
            Self::Wipe | Self::Rollback => true,
            Self::PartitionFull
            | Self::PartitionOneWay
            | Self::PartitionPartial
            | Self::PartitionFlapping
            | Self::SlowPeers
            | Self::KillNode
            | Self::PauseNode
            | Self::KillStore
            | Self::PauseStore
            | Self::Oom
            | Self::ReadOnly
            | Self::SlowStore
            | Self::DiskFull
            | Self::ClockSkew
            | Self::Churn => false,
        }
    }

    /// Which part of a region it acts on: two faults on one part of one region would undo each other.
    pub(crate) fn part(self) -> Part {
        match self {
            Self::PartitionFull
            | Self::PartitionOneWay
            | Self::PartitionPartial
            | Self::PartitionFlapping
            | Self::SlowPeers => Part::Links,
            Self::KillNode | Self::PauseNode => Part::Node,
            Self::KillStore
            | Self::PauseStore
            | Self::Wipe
            | Self::Rollback
            | Self::Oom
            | Self::ReadOnly
            | Self::SlowStore
            | Self::DiskFull => Part::Store,
            Self::ClockSkew => Part::Clock,
            Self::Churn => Part::Doors,
        }
    }

    /// Whether it needs a Redis of the region's own.
    pub(crate) fn needs_redis(self) -> bool {
        match self {
            Self::PauseStore | Self::Oom | Self::ReadOnly | Self::SlowStore => true,
            Self::PartitionFull
            | Self::PartitionOneWay
            | Self::PartitionPartial
            | Self::PartitionFlapping
            | Self::SlowPeers
            | Self::KillNode
            | Self::PauseNode
            | Self::KillStore
            | Self::Wipe
            | Self::Rollback
            | Self::DiskFull
            | Self::ClockSkew
            | Self::Churn => false,
        }
    }
}

/// A part of a region that at most one fault acts on at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Part {
    /// Its links. Links join two regions: one such fault at a time in the whole cluster.
    Links,
    /// The node's process.
    Node,
    /// The store.
    Store,
    /// Its clocks.
    Clock,
    /// Its doors.
    Doors,
}

/// One fault to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Planned {
    /// What.
    pub(crate) nemesis: Nemesis,
    /// Where.
    pub(crate) region: usize,
    /// The other side, where there is one.
    pub(crate) other: usize,
    /// From when on, since the run began.
    pub(crate) at: Duration,
    /// Until when.
    pub(crate) until: Duration,
    /// How hard, from 0 to 99: what that means is the fault's business.
    pub(crate) strength: u8,
}

/// Shortest and longest fault, and the calm between slots, in milliseconds.
const FAULT_MS: (u64, u64) = (2_500, 8_000);
const CALM_MS: (u64, u64) = (1_500, 4_000);
/// Percent of the slots that have more than one fault.
const MIXED_PERCENT: u32 = 40;

/// Reads a list of words: nemeses, `all`, or the groups `partitions`, `crashes`, `stores`.
///
/// # Errors
/// A word that is none of these, with those that are.
pub(crate) fn parse(words: &[String]) -> Result<BTreeSet<Nemesis>, String> {
    let mut chosen = BTreeSet::new();
    for word in words {
        let of = |part: Part| {
            Nemesis::ALL
                .iter()
                .map(|(_, nemesis)| *nemesis)
                .filter(move |nemesis| nemesis.part() == part)
        };
        match word.as_str() {
            "all" => chosen.extend(Nemesis::ALL.iter().map(|(_, nemesis)| *nemesis)),
            "none" => {}
            "partitions" => chosen.extend(of(Part::Links)),
            "stores" => chosen.extend(of(Part::Store)),
            "crashes" => {
                chosen.extend(of(Part::Node));
                chosen.extend([Nemesis::KillStore, Nemesis::PauseStore]);
            }
            word => {
                let known = Nemesis::ALL.iter().find(|(known, _)| *known == word);
                let (_, nemesis) = known.ok_or_else(|| no_such(word))?;
                chosen.insert(*nemesis);
            }
        }
    }
    Ok(chosen)
}

fn no_such(word: &str) -> String {
    let known: Vec<&str> = Nemesis::ALL.iter().map(|(known, _)| *known).collect();
    format!(
        "there is no nemesis `{word}`; expected all, none, partitions, crashes, stores, or some of {}",
        known.join(", ")
    )
}

/// The faults from `from` to `until` for `regions` regions (at least 2), in order of their beginning.
pub(crate) fn plan(
    seed: u64,
    nemeses: &BTreeSet<Nemesis>,
    regions: usize,
    (from, until): (Duration, Duration),
) -> Vec<Planned> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut faults = Vec::new();
    if nemeses.is_empty() || regions < 2 {
        return faults;
    }
    // Every nemesis has its turn before one comes again.
    let mut turns: Vec<Nemesis> = Vec::new();
    let mut at = from;
    loop {
        let length = Duration::from_millis(rng.random_range(FAULT_MS.0..=FAULT_MS.1));
        if at + length > until {
            return faults;
        }
        let count = if rng.random_range(0..100) < MIXED_PERCENT {
            rng.random_range(2..=3)
        } else {
            1
        };
        let first = faults.len();
        for _ in 0..count {
            if turns.is_empty() {
                turns.extend(nemeses);
                turns.shuffle(&mut rng);
            }
            let Some(nemesis) = turns.pop() else { break };
            let slot = faults.get(first..).unwrap_or_default();
            let Some((region, other)) = place(&mut rng, nemesis, regions, slot) else {
                // Its turn comes in the next slot.
                turns.push(nemesis);
                break;
            };
            faults.push(Planned {
                nemesis,
                region,
                other,
                at,
                until: at + length,
                strength: rng.random_range(0..100),
            });
        }
        at += length + Duration::from_millis(rng.random_range(CALM_MS.0..=CALM_MS.1));
    }
}

/// A region, and another one, where this fault can act beside those of its slot.
fn place(rng: &mut ChaCha8Rng, nemesis: Nemesis, regions: usize, slot: &[Planned]) -> Option<(usize, usize)> {
    let is_free = |region: &usize| {
        !slot.iter().any(|other| {
            let same_part = other.nemesis.part() == nemesis.part();
            (same_part && (other.region == *region || nemesis.part() == Part::Links))
                || (nemesis.loses_data() && other.nemesis.loses_data())
        })
    };
    let free: Vec<usize> = (0..regions).filter(is_free).collect();
    let region = *free.choose(rng)?;
    let others: Vec<usize> = (0..regions).filter(|other| *other != region).collect();
    Some((region, *others.choose(rng)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> BTreeSet<Nemesis> {
        parse(&["all".to_owned()]).unwrap()
    }

    fn minutes(n: u64) -> (Duration, Duration) {
        (Duration::from_secs(2), Duration::from_secs(60 * n))
    }

    #[test]
    fn a_seed_says_everything_and_another_seed_something_else() {
        let plan_of = |seed| plan(seed, &all(), 3, minutes(5));
        assert_eq!(plan_of(7), plan_of(7));
        assert_ne!(plan_of(7), plan_of(8));
    }

    #[test]
    fn every_nemesis_has_its_turn_and_nothing_lasts_past_the_end() {
        let faults = plan(1, &all(), 3, minutes(5));
        let used: BTreeSet<Nemesis> = faults.iter().map(|fault| fault.nemesis).collect();
        assert_eq!(used, all());
        assert!(faults.iter().all(|fault| fault.until <= Duration::from_mins(5)));
        assert!(
            faults
                .iter()
                .all(|fault| fault.region != fault.other && fault.region.max(fault.other) < 3)
        );
    }

    #[test]
    fn faults_of_a_slot_do_not_undo_each_other() {
        let mut mixed = 0;
        for seed in 0..50 {
            let faults = plan(seed, &all(), 3, minutes(5));
            for (n, one) in faults.iter().enumerate() {
                for two in faults.iter().skip(n + 1).filter(|two| two.at < one.until) {
                    mixed += 1;
                    assert!(!(one.nemesis.loses_data() && two.nemesis.loses_data()));
                    let same_part = one.nemesis.part() == two.nemesis.part();
                    assert!(!(same_part && (one.region == two.region || one.nemesis.part() == Part::Links)));
                }
            }
        }
        assert!(mixed > 100, "{mixed}");
    }

    #[test]
    fn words_and_groups_are_understood_and_others_refused_with_the_known_ones() {
        let words = |text: &str| text.split(',').map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(all().len(), Nemesis::ALL.len());
        assert_eq!(
            parse(&words("wipe,oom")).unwrap(),
            [Nemesis::Wipe, Nemesis::Oom].into()
        );
        assert_eq!(parse(&words("partitions")).unwrap().len(), 5);
        assert!(parse(&words("none")).unwrap().is_empty());
        assert!(
            parse(&words("wipe,meteor"))
                .unwrap_err()
                .contains("partition-one-way")
        );
    }
}
