//! Random histories: what to try, how to shrink what failed, how to play it again.
//!
//! A history is a list of steps whose parameters mean something whatever came before ("the third entry that the other
//! side lacks"), so that any part of a history is a history, and shrinking stays legal. They lean on one key, on
//! expiry and on purging: the rarest faults need many steps about the same key.
//!
//! A failure prints its seed, the shrunk history, and the command that plays it again.

use std::cell::Cell;
use std::fmt::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

use super::cluster::{Cluster, Conditions};
use super::command::{Command, Ttl};
use super::region::KEYS;

/// One step. Regions, keys and counts are taken modulo what there is.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// A region commits entries of some commands.
    Write(usize, Vec<Vec<Command>>),
    /// Of what `from` has and `to` lacks, skip some and deliver some.
    Deliver {
        /// The receiver.
        to: usize,
        /// The sender.
        from: usize,
        /// How many are lost on the way, or late.
        skip: usize,
        /// How many arrive.
        count: usize,
    },
    /// An old entry arrives once more.
    Duplicate {
        /// The receiver.
        to: usize,
        /// Which entry.
        nth: usize,
    },
    /// Everything arrives everywhere.
    Exchange,
    /// A region tells another what it has seen and how late it is.
    Report(usize, usize),
    /// Every region tells every other.
    ReportAll,
    /// Time passes, everywhere or in one region.
    Tick(Option<usize>, u64),
    /// A region's clock steps back.
    StepBack(usize, u64),
    /// A region collects what it need not keep of a key.
    Collect(usize, usize),
    /// A region purges a key, if it may.
    Purge(usize, usize),
    /// A region's memory lets go of a row, or of its elements only.
    Evict(usize, usize, bool),
    /// A region begins a new life, with or without loss.
    Restart(usize, bool),
    /// A region begins to join another's snapshot.
    SnapshotBegin(usize, usize),
    /// The scan reaches a key.
    SnapshotRow(usize, usize),
    /// The scan ends.
    SnapshotEnd(usize),
}

/// Which commands histories are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// Strings and numbers.
    String,
    /// Hashes and carts.
    Hash,
    /// Sets.
    Set,
    /// Sorted sets.
    SortedSet,
    /// HyperLogLogs.
    HyperLogLog,
    /// Expiry and purge above all.
    Ttl,
    /// Several types at one key.
    Clash,
    /// Carts folded into one another.
    Import,
    /// Everything.
    Mixed,
}

/// What a history is run for, besides comparing each step with the model.
pub type Check = fn(&mut Cluster);

/// A seeded source of numbers.
#[derive(Clone, Debug)]
pub struct Random(pub u64);

impl Random {
    /// A number below `n`.
    #[expect(clippy::cast_possible_truncation, reason = "smaller than n")]
    pub fn below(&mut self, n: usize) -> usize {
        (super::next_random(&mut self.0) % n as u64) as usize
    }

    /// True once in `n`.
    pub fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    fn signed(&mut self, from: i64, to: i64) -> i64 {
        from + i64::try_from(self.below(usize::try_from(to - from + 1).expect("from <= to"))).expect("small")
    }

    fn small(&mut self, n: usize) -> u8 {
        u8::try_from(self.below(n)).expect("small")
    }

    fn name(&mut self, n: usize) -> u16 {
        u16::try_from(self.below(n)).expect("small")
    }
}

/// One history: conditions and steps.
#[derive(Clone, Debug, PartialEq)]
pub struct History {
    /// Its clocks and regions.
    pub conditions: Conditions,
    /// Its steps.
    pub steps: Vec<Step>,
}

impl History {
    /// The history of a seed.
    pub fn random(profile: Profile, seed: u64) -> History {
        let mut random = Random(seed);
        let regions = [2, 2, 3, 3, 3, 4][random.below(6)];
        let conditions = Conditions {
            regions,
            odd_clocks: random.one_in(3),
            losses: false,
            seed,
        };
        let length = 6 + random.below(26);
        let one_key = random.one_in(2);
        let rough = random.one_in(3);
        let steps = (0..length)
            .map(|_| step(&mut random, profile, regions, one_key, rough))
            .collect();
        History { conditions, steps }
    }

    /// Plays it, compares after each step, brings everything together, then checks.
    pub fn play(&self, check: Check) {
        let losses = self.steps.iter().any(|s| matches!(s, Step::Restart(_, true)));
        let mut cluster = Cluster::new(Conditions {
            losses,
            ..self.conditions
        });
        for step in &self.steps {
            perform(&mut cluster, step);
        }
        check(&mut cluster);
        cluster.settle();
    }
}

/// Plays one step.
pub fn perform(cluster: &mut Cluster, step: &Step) {
    let n = cluster.regions.len();
    match step {
        Step::Write(region, entries) => cluster.write(region % n, entries),
        Step::Deliver {
            to,
            from,
            skip,
            count,
        } => {
            let missing = cluster.missing(to % n, from % n);
            let some: Vec<usize> = missing.into_iter().skip(*skip).take(*count).collect();
            cluster.receive(to % n, &some);
        }
        Step::Duplicate { to, nth } => {
            if !cluster.entries.is_empty() {
                let id = nth % cluster.entries.len();
                let entry = &cluster.entries[id];
                let held = cluster
                    .regions
                    .iter()
                    .any(|r| r.vector.covers_entry(entry.replica, entry.sequence));
                if held {
                    cluster.receive(to % n, &[id]);
                }
            }
        }
        Step::Exchange => cluster.exchange(),
        Step::Report(from, to) => cluster.report(from % n, to % n),
        Step::ReportAll => cluster.report_all(),
        Step::Tick(region, ms) => cluster.tick(region.map(|r| r % n), *ms),
        Step::StepBack(region, ms) => cluster.step_back(region % n, *ms),
        Step::Collect(region, key) => cluster.collect(region % n, *key),
        Step::Purge(region, key) => cluster.purge(region % n, *key),
        Step::Evict(region, key, whole) => cluster.regions[region % n].evict(*key, *whole),
        Step::Restart(region, loss) => cluster.restart(region % n, *loss),
        Step::SnapshotBegin(to, from) => cluster.snapshot_begin(to % n, from % n),
        Step::SnapshotRow(to, key) => cluster.snapshot_row(to % n, *key),
        Step::SnapshotEnd(to) => cluster.snapshot_end(to % n),
    }
}

fn step(random: &mut Random, profile: Profile, regions: usize, one_key: bool, rough: bool) -> Step {
    let region = random.below(regions);
    let other = (region + 1 + random.below(regions - 1)) % regions;
    let key = if one_key || random.below(4) < 3 {
        0
    } else {
        random.below(KEYS)
    };
    let expiry = profile == Profile::Ttl || random.one_in(4);
    if profile == Profile::Ttl && random.one_in(3) {
        return lapse(random, region, other, key);
    }
    match random.below(if rough { 106 } else { 88 }) {
        0..42 => {
            let entries = if random.one_in(5) { 2 } else { 1 };
            let entry = |random: &mut Random| {
                let commands = if random.one_in(4) { 2 } else { 1 };
                (0..commands).map(|_| command(random, profile, one_key)).collect()
            };
            Step::Write(region, (0..entries).map(|_| entry(random)).collect())
        }
        42..58 => {
            let skip = if random.one_in(4) { 1 + random.below(2) } else { 0 };
            let count = if random.one_in(2) { 1 } else { 1 + random.below(6) };
            Step::Deliver {
                to: region,
                from: other,
                skip,
                count,
            }
        }
        58..61 => Step::Exchange,
        61..66 => Step::Report(region, other),
        66..70 => Step::ReportAll,
        70..75 if expiry => Step::Tick((!random.one_in(3)).then_some(region), 1 + random.below(6) as u64),
        75..76 if expiry => Step::StepBack(region, 1 + random.below(6) as u64),
        70..76 => Step::Deliver {
            to: region,
            from: other,
            skip: 0,
            count: 9,
        },
        76..81 => Step::Collect(region, key),
        81..84 => Step::Purge(region, key),
        84..86 => Step::Evict(region, key, random.one_in(2)),
        86..88 => Step::Duplicate {
            to: region,
            nth: random.below(64),
        },
        88..90 => Step::Restart(region, !random.one_in(3)),
        90..94 => Step::SnapshotBegin(region, other),
        94..102 => Step::SnapshotRow(region, key),
        _ => Step::SnapshotEnd(region),
    }
}

/// What lets keys expire and go.
fn lapse(random: &mut Random, region: usize, other: usize, key: usize) -> Step {
    match random.below(10) {
        0..2 => Step::Tick(None, 1 + random.below(8) as u64),
        2 => Step::Tick(Some(region), 1 + random.below(8) as u64),
        3..5 => Step::Report(region, other),
        5 => Step::ReportAll,
        6 => Step::Deliver {
            to: region,
            from: other,
            skip: 0,
            count: 9,
        },
        _ => Step::Purge(region, key),
    }
}

fn command(random: &mut Random, profile: Profile, one_key: bool) -> Command {
    let key = if one_key || random.below(4) < 3 {
        0
    } else {
        random.below(KEYS)
    };
    let to = random.below(KEYS);
    if random.below(100) < if profile == Profile::Ttl { 40 } else { 22 } {
        return general(random, profile, key);
    }
    match profile {
        Profile::String => string(random, key),
        Profile::Hash => hash(random, key),
        Profile::Set => set(random, key),
        Profile::SortedSet => sorted_set(random, key),
        Profile::HyperLogLog => Command::PfAdd {
            key,
            register: random.name(2),
            rank: 1 + random.small(3),
        },
        Profile::Ttl => match random.below(6) {
            0 => Command::Append {
                key,
                text: random.small(3),
            },
            1 => set(random, key),
            2 => Command::HSet {
                key,
                fields: vec![(random.name(2), 5)],
            },
            _ => string(random, key),
        },
        Profile::Clash => any(random, key),
        Profile::Import => match random.below(8) {
            0..3 => Command::Fold {
                from: random.below(KEYS),
                to,
            },
            3 => Command::HSet {
                key: random.below(KEYS),
                fields: vec![(random.name(2), random.signed(0, 9))],
            },
            4 => Command::HDel {
                key: random.below(KEYS),
                fields: vec![random.name(2)],
            },
            _ => Command::HIncrBy {
                key: random.below(KEYS),
                field: random.name(2),
                by: random.signed(-2, 9),
            },
        },
        Profile::Mixed => match random.below(10) {
            0 => Command::Rename {
                from: random.below(KEYS),
                to,
            },
            1 => Command::Copy {
                from: random.below(KEYS),
                to,
            },
            2 => Command::Fold {
                from: random.below(KEYS),
                to,
            },
            _ => any(random, key),
        },
    }
}

fn any(random: &mut Random, key: usize) -> Command {
    match random.below(5) {
        0 => string(random, key),
        1 => hash(random, key),
        2 => set(random, key),
        3 => sorted_set(random, key),
        _ => Command::PfAdd {
            key,
            register: random.name(2),
            rank: 1 + random.small(3),
        },
    }
}

fn general(random: &mut Random, profile: Profile, key: usize) -> Command {
    match random.below(12) {
        0..5 => Command::Del { key },
        5..8 => Command::Expire {
            key,
            after: random.below(8) as u64,
        },
        8 => Command::Persist { key },
        9 => Command::Revoke { key },
        10 if profile == Profile::Ttl => Command::Set {
            key,
            value: 1,
            ttl: Ttl::In(1 + random.below(5) as u64),
        },
        _ => Command::Expire {
            key,
            after: 1 + random.below(5) as u64,
        },
    }
}

fn string(random: &mut Random, key: usize) -> Command {
    match random.below(10) {
        0..3 => {
            let ttl = match random.below(5) {
                0 => Ttl::Keep,
                1 => Ttl::In(1 + random.below(6) as u64),
                _ => Ttl::Never,
            };
            Command::Set {
                key,
                value: random.signed(-9, 20),
                ttl,
            }
        }
        3 => Command::SetText {
            key,
            value: random.small(3),
        },
        4 => Command::Append {
            key,
            text: random.small(3),
        },
        _ => Command::IncrBy {
            key,
            by: random.signed(-3, 5),
        },
    }
}

fn hash(random: &mut Random, key: usize) -> Command {
    let field = random.name(3);
    match random.below(12) {
        0 | 1 => Command::HSet {
            key,
            fields: vec![(field, random.signed(-9, 20))],
        },
        2 => Command::HSet {
            key,
            fields: vec![(0, random.signed(0, 9)), (1, random.signed(0, 9))],
        },
        3 => Command::HSetText {
            key,
            field,
            text: random.small(3),
        },
        4 | 5 => Command::HDel {
            key,
            fields: vec![field],
        },
        6 => Command::HDel {
            key,
            fields: vec![0, 1, 2],
        },
        7 => Command::CartAdd {
            key,
            field,
            by: random.signed(-5, 5),
        },
        8 => Command::HIncrByFloat {
            key,
            field,
            halves: random.signed(-5, 5),
        },
        _ => Command::HIncrBy {
            key,
            field,
            by: random.signed(-3, 5),
        },
    }
}

fn set(random: &mut Random, key: usize) -> Command {
    match random.below(8) {
        0..3 => Command::SAdd {
            key,
            members: vec![random.name(3)],
        },
        3 => Command::SAdd {
            key,
            members: vec![0, 1],
        },
        4 => Command::SRem {
            key,
            members: vec![random.name(3)],
        },
        5 => Command::SRem {
            key,
            members: vec![0, 1, 2],
        },
        6 => Command::SPop { key },
        _ => Command::Store {
            key,
            members: vec![random.name(3)],
        },
    }
}

fn sorted_set(random: &mut Random, key: usize) -> Command {
    let member = random.name(3);
    match random.below(10) {
        0..3 => Command::ZAdd {
            key,
            member,
            score: random.signed(-9, 20),
        },
        3 => Command::ZAddInfinity { key, member },
        4..6 => Command::ZRem { key, member },
        _ => Command::ZIncrBy {
            key,
            member,
            by: random.signed(-3, 5),
        },
    }
}

// ---- running

thread_local! {
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

/// What went wrong when the history was played, if anything did.
pub fn failure(history: &History, check: Check) -> Option<String> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !QUIET.with(Cell::get) {
                usual(info);
            }
        }));
    });
    QUIET.with(|q| q.set(true));
    let played = catch_unwind(AssertUnwindSafe(|| history.play(check)));
    QUIET.with(|q| q.set(false));
    let panic = played.err()?;
    let text = panic.downcast_ref::<String>().cloned();
    Some(
        text.or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned()))
            .unwrap_or_default(),
    )
}

/// The smallest part of a failing history that still fails.
pub fn shrink(history: &History, check: Check) -> History {
    let mut best = history.clone();
    loop {
        let before = best.clone();
        let mut size = best.steps.len();
        while size > 0 {
            let mut at = 0;
            while at < best.steps.len() {
                let mut less = best.clone();
                less.steps.drain(at..(at + size).min(less.steps.len()));
                if failure(&less, check).is_some() {
                    best = less;
                } else {
                    at += size;
                }
            }
            size /= 2;
        }
        for at in 0..best.steps.len() {
            for simpler in simpler(&best.steps[at]) {
                let mut less = best.clone();
                less.steps[at] = simpler;
                if failure(&less, check).is_some() {
                    best = less;
                    break;
                }
            }
        }
        if best == before {
            return best;
        }
    }
}

fn simpler(step: &Step) -> Vec<Step> {
    let Step::Write(region, entries) = step else {
        return Vec::new();
    };
    let mut out = Vec::new();
    for (e, entry) in entries.iter().enumerate() {
        for c in 0..entry.len() {
            let mut less = entries.clone();
            less[e].remove(c);
            less.retain(|entry| !entry.is_empty());
            if !less.is_empty() {
                out.push(Step::Write(*region, less));
            }
        }
    }
    out
}

/// Plays `histories` random histories, each with its own seed, from `first` on.
///
/// # Panics
/// When one fails: with its seed, the shrunk history, and the command that plays it again.
pub fn run(test: &str, profile: Profile, check: Check, first: u64, histories: u64) {
    for seed in first..first.saturating_add(histories) {
        let history = History::random(profile, seed);
        if failure(&history, check).is_some() {
            let shrunk = shrink(&history, check);
            let mut text = String::new();
            for step in &shrunk.steps {
                let _ = writeln!(text, "    {step:?},");
            }
            let why = failure(&shrunk, check).unwrap_or_default();
            panic!(
                "{test}: history {seed} of {profile:?} fails. Shrunk, under {:?}:\n{text}{why}\n\nplay it again:\n    \
                 CARTOGRAPH_SEED={seed} CARTOGRAPH_HISTORIES=1 cargo nextest run -p cartograph-crdt -E 'test({test})'\n",
                shrunk.conditions,
            );
        }
    }
}

/// No check beyond the comparisons of each step.
pub fn nothing(_: &mut Cluster) {}
