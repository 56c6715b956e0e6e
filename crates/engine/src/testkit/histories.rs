//! Random histories of commands in several regions, played on replicas and on the [oracle](super::oracle) side by side.
//!
//! Every reply in the region that writes is compared, and after every step what each key shows there, then everywhere.
//! Clocks tie often, expiry clocks differ between regions, entries arrive late, twice and in any order, and garbage is
//! collected whenever it may be. A history is made from a seed before it is played, so that a failing one can be shrunk.

use std::rc::Rc;
use std::sync::Arc;

use cartograph_replica::Entry;

use super::oracle::Oracle;
use super::{Cluster, Dice};
use crate::command::range::{Span, ZRange};
use crate::command::{
    Aggregate, BitField, BitFieldOperation, BitOperation, BitOverflow, Command, Condition, End, ExpireFlags,
    Reply, SetExpiry, SetOperation, When, ZAddFlags, ZOperation,
};

/// One step of a history.
#[derive(Clone, Debug)]
pub enum Step {
    /// Commands in a region, as one entry.
    Run {
        /// Where.
        region: usize,
        /// What.
        commands: Vec<Command>,
    },
    /// Every clock goes on, in milliseconds.
    Tick(u64),
    /// All that one region has goes to another, last entry first if `reversed`.
    Deliver {
        /// From.
        from: usize,
        /// To.
        to: usize,
        /// In which order.
        reversed: bool,
    },
    /// Everything goes everywhere.
    Sync,
    /// Garbage is collected.
    Collect,
}

/// A family of commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Family {
    Strings,
    Numbers,
    Floats,
    Hashes,
    Sets,
    SortedSets,
    HyperLogLogs,
}

const FAMILIES: [Family; 7] = [
    Family::Strings,
    Family::Numbers,
    Family::Floats,
    Family::Hashes,
    Family::Sets,
    Family::SortedSets,
    Family::HyperLogLogs,
];

/// Regions in every history.
pub const REGIONS: u16 = 3;

const KEYS: [&str; 3] = ["k1", "k2", "k3"];

/// The history of a seed.
pub fn history(seed: u64) -> Vec<Step> {
    let mut dice = Dice(seed);
    let mut families: Vec<Family> = (0..=dice.below(3)).map(|_| *dice.pick(&FAMILIES)).collect();
    if dice.once_in(3) {
        families = FAMILIES.to_vec();
    }
    let keys = 1 + dice.below(KEYS.len());
    let regions = 2 + dice.below(2);
    let length = 8 + dice.below(40);
    let mut maker = Maker { dice, families, keys };
    (0..length).map(|_| maker.step(regions)).collect()
}

struct Maker {
    dice: Dice,
    families: Vec<Family>,
    keys: usize,
}

fn bytes(text: &str) -> Vec<u8> {
    text.as_bytes().to_vec()
}

impl Maker {
    fn step(&mut self, regions: usize) -> Step {
        let region = self.dice.below(regions);
        match self.dice.below(20) {
            0..=12 => {
                let count = if self.dice.once_in(5) {
                    2 + self.dice.below(3)
                } else {
                    1
                };
                let commands = (0..count).map(|_| self.command()).collect();
                Step::Run { region, commands }
            }
            13..=15 => {
                let to = (region + 1 + self.dice.below(regions - 1)) % regions;
                Step::Deliver {
                    from: region,
                    to,
                    reversed: self.dice.once_in(2),
                }
            }
            16 => Step::Tick(50 * (1 + self.dice.below(12) as u64)),
            17 => Step::Collect,
            _ => Step::Sync,
        }
    }

    fn key(&mut self) -> Vec<u8> {
        let at = self.dice.below(self.keys);
        bytes(KEYS.get(at).copied().unwrap_or("k1"))
    }

    fn text(&mut self, all: &[&str]) -> Vec<u8> {
        let text: &&str = self.dice.pick(all);
        bytes(text)
    }

    fn ms(&mut self) -> i64 {
        *self
            .dice
            .pick(&[100, 200, 300, 500, 900, 100_000, 200_000, 900_000])
    }

    fn command(&mut self) -> Command {
        if self.dice.once_in(5) {
            return self.on_key();
        }
        let at = self.dice.below(self.families.len());
        match self.families.get(at).copied().unwrap_or(Family::Strings) {
            Family::Strings => self.string(),
            Family::Numbers => self.number(),
            Family::Floats => self.float(),
            Family::Hashes => self.hash(),
            Family::Sets => self.set(),
            Family::SortedSets => self.sorted_set(),
            Family::HyperLogLogs => self.hyperloglog(),
        }
    }

    fn on_key(&mut self) -> Command {
        let (key, other) = (self.key(), self.key());
        match self.dice.below(14) {
            0..=3 => Command::Del {
                keys: vec![key, other],
            },
            4 => Command::Exists {
                keys: vec![key, other],
            },
            5 => Command::Type { key },
            6 => Command::Pttl { key },
            7..=8 => {
                let ms = if self.dice.once_in(12) { -1 } else { self.ms() };
                let one = self.dice.below(8);
                let flags = ExpireFlags {
                    nx: one == 0,
                    xx: one == 1,
                    gt: one == 2,
                    lt: one == 3,
                };
                Command::Expire {
                    key,
                    when: When::In(ms),
                    flags,
                }
            }
            9 => Command::Persist { key },
            10 => Command::Rename {
                from: key,
                to: other,
                only_if_absent: self.dice.once_in(2),
            },
            11..=12 => Command::Copy {
                from: key,
                to: other,
                replace: self.dice.once_in(2),
            },
            _ => Command::Revoke { key },
        }
    }

    fn string(&mut self) -> Command {
        let key = self.key();
        match self.dice.below(14) {
            0..=3 => Command::Set {
                key,
                value: self.text(&["10", "7", "abc", "007", ""]),
                expiry: match self.dice.below(5) {
                    0 => SetExpiry::Expires(When::In(self.ms())),
                    1 => SetExpiry::Keep,
                    _ => SetExpiry::Never,
                },
                condition: *self.dice.pick(&[
                    Condition::Always,
                    Condition::Always,
                    Condition::IfAbsent,
                    Condition::IfPresent,
                ]),
                get: self.dice.once_in(4),
            },
            4..=5 => Command::Append {
                key,
                value: self.text(&["1", "5", "z", ""]),
            },
            6 => Command::SetRange {
                key,
                offset: self.dice.below(4) as u64,
                value: self.text(&["", "2", "xy"]),
            },
            7 => Command::SetBit {
                key,
                offset: self.dice.below(20) as u64,
                bit: self.dice.once_in(2),
            },
            8 => Command::GetDel { key },
            9 => Command::GetEx {
                key,
                expiry: match self.dice.below(3) {
                    0 => None,
                    1 => Some(None),
                    _ => Some(Some(When::In(self.ms()))),
                },
            },
            10 => {
                let pairs = vec![
                    (key, self.text(&["3", "w"])),
                    (self.key(), self.text(&["4", "v"])),
                ];
                Command::MSet {
                    pairs,
                    only_if_absent: self.dice.once_in(3),
                }
            }
            11 => Command::IncrBy { key, by: 1 },
            12 => self.bitmap(key),
            _ => Command::Get { key },
        }
    }

    fn bitmap(&mut self, key: Vec<u8>) -> Command {
        if self.dice.once_in(2) {
            return Command::BitOp {
                operation: *self
                    .dice
                    .pick(&[BitOperation::And, BitOperation::Or, BitOperation::Xor]),
                to: key,
                keys: vec![self.key(), self.key()],
            };
        }
        let operations = (0..=self.dice.below(2)).map(|_| {
            let field = BitField {
                signed: false,
                bits: 8,
                offset: 8 * self.dice.below(4) as u64,
            };
            let how = *self
                .dice
                .pick(&[BitOverflow::Wrap, BitOverflow::Saturate, BitOverflow::Fail]);
            let operation = match self.dice.below(3) {
                0 => BitFieldOperation::Get,
                1 => BitFieldOperation::Set(*self.dice.pick(&[0, 49, 300]), how),
                _ => BitFieldOperation::IncrBy(*self.dice.pick(&[1, -50, 200]), how),
            };
            (field, operation)
        });
        Command::BitField {
            operations: operations.collect(),
            key,
        }
    }

    fn amount(&mut self) -> i64 {
        *self.dice.pick(&[
            0,
            1,
            2,
            5,
            -1,
            -3,
            100,
            9_223_372_036_854_775_000,
            -9_223_372_036_854_775_000,
        ])
    }

    fn number(&mut self) -> Command {
        let key = self.key();
        match self.dice.below(8) {
            0 => Command::Set {
                key,
                value: self.text(&["10", "7", "-4", "2.5", "x"]),
                expiry: SetExpiry::Never,
                condition: Condition::Always,
                get: false,
            },
            1 => Command::Get { key },
            2 => Command::Append {
                key,
                value: bytes("1"),
            },
            _ => Command::IncrBy {
                key,
                by: self.amount(),
            },
        }
    }

    fn float(&mut self) -> Command {
        let (key, by) = (
            self.key(),
            self.text(&["0.1", "0.2", "1.5", "-0.3", "3", "2.25", "1e3", "1e30", "-1e30"]),
        );
        match self.dice.below(4) {
            0 => Command::HIncrByFloat {
                key,
                field: self.text(&["a", "b"]),
                by,
            },
            1 => Command::IncrBy { key, by: 2 },
            _ => Command::IncrByFloat { key, by },
        }
    }

    fn hash(&mut self) -> Command {
        let (key, field) = (self.key(), self.text(&["a", "b", "c"]));
        match self.dice.below(12) {
            0..=1 => Command::HSet {
                key,
                fields: vec![(field, self.text(&["1", "5", "q"]))],
            },
            2 => Command::HSet {
                key,
                fields: vec![
                    (field, bytes("1")),
                    (bytes("b"), bytes("2")),
                    (bytes("b"), bytes("3")),
                ],
            },
            3 => Command::HSetNx {
                key,
                field,
                value: bytes("8"),
            },
            4..=5 => Command::HDel {
                key,
                fields: vec![field, self.text(&["a", "b"])],
            },
            6 => Command::HGet { key, field },
            7 => Command::HGetAll { key },
            _ => Command::HIncrBy {
                key,
                field,
                by: self.amount(),
            },
        }
    }

    fn set(&mut self) -> Command {
        let (key, other, member) = (self.key(), self.key(), self.text(&["x", "y", "z"]));
        match self.dice.below(14) {
            0..=3 => Command::SAdd {
                key,
                members: vec![member, self.text(&["x", "y"])],
            },
            4..=5 => Command::SRem {
                key,
                members: vec![member, self.text(&["x", "w"])],
            },
            6 => Command::SPop {
                key,
                count: *self.dice.pick(&[None, None, Some(0), Some(2)]),
            },
            7..=8 => Command::SMove {
                from: key,
                to: other,
                member,
            },
            9..=10 => Command::SStore {
                operation: *self.dice.pick(&[
                    SetOperation::Union,
                    SetOperation::Intersection,
                    SetOperation::Difference,
                ]),
                to: self.key(),
                keys: vec![key, other],
            },
            11 => Command::SMembers { key },
            12 => Command::SIsMember { key, member },
            _ => Command::SCard { key },
        }
    }

    fn zflags(&mut self) -> ZAddFlags {
        let one = self.dice.below(10);
        let xx = one == 1 || one == 4;
        ZAddFlags {
            nx: one == 0,
            xx,
            gt: one == 2 || one == 4,
            lt: one == 3,
            ch: self.dice.once_in(3),
        }
    }

    fn sorted_set(&mut self) -> Command {
        let (key, member) = (self.key(), self.text(&["x", "y", "z"]));
        let score = *self.dice.pick(&[1.0, 2.5, -1.0, 4.1, 0.1, 0.0, -0.0]);
        match self.dice.below(17) {
            0..=3 => {
                let mut pairs = vec![(score, member)];
                if self.dice.once_in(3) {
                    pairs.push((2.0, self.text(&["x", "y"])));
                }
                if self.dice.once_in(8) {
                    pairs.push((f64::INFINITY, bytes("x")));
                }
                Command::ZAdd {
                    key,
                    flags: self.zflags(),
                    pairs,
                }
            }
            4..=7 => Command::ZIncrBy {
                key,
                flags: self.zflags(),
                by: score,
                member,
            },
            8 => Command::ZRem {
                key,
                members: vec![member, bytes("x")],
            },
            9..=10 => {
                let end = if self.dice.once_in(2) { End::Min } else { End::Max };
                Command::ZPop {
                    key,
                    end,
                    count: self.dice.below(3) as u64,
                }
            }
            11 => Command::ZRangeWithScores { key },
            12..=15 => self.several_sorted_sets(key),
            _ => Command::ZScore { key, member },
        }
    }

    fn several_sorted_sets(&mut self, key: Vec<u8>) -> Command {
        let other = self.key();
        let start = self.dice.below(2);
        let range = ZRange {
            span: Span::Ranks {
                start: i64::try_from(start).unwrap_or(0),
                stop: *self.dice.pick(&[-1, 0, 1]),
            },
            reverse: self.dice.once_in(2),
            limit: None,
        };
        match self.dice.below(4) {
            0 => Command::ZMPop {
                keys: vec![key, other],
                end: *self.dice.pick(&[End::Min, End::Max]),
                count: 1 + self.dice.below(2) as u64,
            },
            1 => Command::ZRemRange { key, range },
            2 => Command::ZRangeStore {
                to: key,
                from: other,
                range,
            },
            _ => Command::ZStore {
                operation: ZOperation {
                    operation: *self.dice.pick(&[
                        SetOperation::Union,
                        SetOperation::Intersection,
                        SetOperation::Difference,
                    ]),
                    sources: vec![(key, 1.0), (other, 1.0)],
                    aggregate: Aggregate::Sum,
                },
                to: self.key(),
            },
        }
    }

    fn hyperloglog(&mut self) -> Command {
        let (key, other) = (self.key(), self.key());
        match self.dice.below(6) {
            0..=2 => {
                let mut elements = vec![self.text(&["x", "y", "z", "v", "w"]), self.text(&["x", "y"])];
                elements.truncate(self.dice.below(3));
                Command::PfAdd { key, elements }
            }
            3 => Command::PfCount {
                keys: vec![key, other],
            },
            4 => Command::PfMerge {
                to: key,
                from: vec![other],
            },
            _ => Command::Del { keys: vec![key] },
        }
    }
}

/// Replicas and oracles side by side.
struct Pair {
    real: Cluster,
    oracles: Vec<Oracle>,
    /// How far each region's expiry clock is ahead.
    ahead_ms: Vec<u64>,
}

/// Plays a history on both.
///
/// # Panics
/// Where they differ.
pub fn play(seed: u64, steps: &[Step]) {
    let mut dice = Dice(!seed);
    let mut pair = Pair {
        real: Cluster::new(REGIONS),
        oracles: (1..=REGIONS).map(Oracle::new).collect(),
        ahead_ms: (0..REGIONS)
            .map(|_| if dice.once_in(2) { 0 } else { 60 })
            .collect(),
    };
    for step in steps {
        pair.step(step);
    }
    pair.step(&Step::Sync);
    pair.real.assert_converged();
    pair.step(&Step::Collect);
    pair.real.assert_converged();
}

impl Pair {
    fn oracle(&mut self, region: usize) -> &mut Oracle {
        self.oracles
            .get_mut(region)
            .unwrap_or_else(|| unreachable!("region {region} exists"))
    }

    fn now(&self, region: usize) -> u64 {
        self.real.now_ms + self.ahead_ms.get(region).copied().unwrap_or(0)
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Run { region, commands } => self.run(*region, commands),
            Step::Tick(ms) => self.real.now_ms += ms,
            Step::Deliver { from, to, reversed } => self.deliver(*from, *to, *reversed),
            Step::Sync => {
                self.real.sync();
                for from in 0..usize::from(REGIONS) {
                    for to in (0..usize::from(REGIONS)).filter(|to| *to != from) {
                        self.deliver_to_oracle(from, to);
                    }
                }
            }
            Step::Collect => self.real.collect(),
        }
        for region in 0..usize::from(REGIONS) {
            self.compare(region);
        }
    }

    fn run(&mut self, region: usize, commands: &[Command]) {
        let now = self.now(region);
        // Half of all clock readings are those of a coarse clock, so that they tie between regions.
        let hlc = self.real.region(region).hlc.tick(self.real.now_ms);
        let done = self.real.region(region).exec(commands, now, Some(hlc));
        let answers = self.oracle(region).exec(commands, now, hlc, &done.replies);
        let same = |(a, b): (&Result<Reply, _>, &Result<Reply, _>)| a == b;
        let all = done.replies.len() == answers.len() && done.replies.iter().zip(&answers).all(same);
        assert!(
            all,
            "{commands:?} in region {region}: {:?}, expected {answers:?}",
            done.replies
        );
    }

    fn deliver(&mut self, from: usize, to: usize, reversed: bool) {
        let mut log: Vec<Arc<Entry>> = self.real.region(from).log.clone();
        if reversed {
            log.reverse();
        }
        for entry in log.iter().chain(log.first()) {
            self.real.region(to).receive(entry);
        }
        self.deliver_to_oracle(from, to);
    }

    fn deliver_to_oracle(&mut self, from: usize, to: usize) {
        let log: Vec<Rc<super::oracle::Written>> = self.oracle(from).log.clone();
        let target = self.oracle(to);
        for written in &log {
            target.receive(written);
        }
    }

    fn compare(&mut self, region: usize) {
        let now = self.now(region);
        for key in KEYS {
            let real = self.real.region(region).view(key.as_bytes(), now);
            let expected = self.oracle(region).view(key.as_bytes(), now);
            assert_eq!(
                real, expected,
                "{key} in region {region}: replica (left), oracle (right)"
            );
        }
    }
}
