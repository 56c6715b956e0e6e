//! Random histories on a simulated cluster, and what must hold of them.
//!
//! A history is a list of steps under one seed: commands in random regions, cuts, heals, crashes, lost stores, clock
//! steps. At its end everything is healed, and then must hold:
//! - all regions are equal, in vectors and digests, within bounded time;
//! - every view equals what its metadata says;
//! - a ledger of acknowledged adds, on keys that nobody removes from, is whole (only where no store was rolled back).

use std::collections::{BTreeMap, BTreeSet};

use cartograph_crdt::ShardId;
use cartograph_engine::api::RequestId;
use cartograph_engine::command::{Condition, ExpireFlags, SetExpiry, When, ZAddFlags};
use cartograph_engine::{Command, Limits};
use cartograph_replica::commit::{Load, Loaded, ViewValue};
use cartograph_store::memory::Image;

use crate::world::{Setup, World};

/// What a history may contain.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Number of regions.
    pub regions: usize,
    /// Number of steps.
    pub steps: usize,
    /// Cut and heal links.
    pub cuts: bool,
    /// Crash and restart nodes.
    pub crashes: bool,
    /// Restart stores, roll them back, wipe them.
    pub stores: bool,
    /// Expiries, short enough to pass.
    pub expiry: bool,
    /// Skew clocks.
    pub skew: bool,
    /// Bounds of the shards.
    pub limits: Limits,
}

impl Default for Plan {
    fn default() -> Self {
        Plan {
            regions: 3,
            steps: 120,
            cuts: true,
            crashes: false,
            stores: false,
            expiry: true,
            skew: false,
            limits: Limits::default(),
        }
    }
}

/// What a history did: a history that does nothing proves nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Requests that were answered with replies.
    pub done: usize,
    /// Requests that were refused.
    pub refused: usize,
    /// Requests without an answer: their node crashed, or their store did.
    pub unknown: usize,
    /// Members in the ledger.
    pub acknowledged: usize,
    /// Keys that were live at the end.
    pub keys: u64,
}

/// What went wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("seed {seed}: {what}\n{log}")]
pub struct Violation {
    /// The seed that replays it.
    pub seed: u64,
    /// What did not hold.
    pub what: String,
    /// The steps, in order.
    pub log: String,
}

struct Ledger {
    key: Vec<u8>,
    region: usize,
    request: RequestId,
    member: Vec<u8>,
}

struct Player {
    world: World,
    plan: Plan,
    seed: u64,
    log: Vec<String>,
    images: BTreeMap<usize, Image>,
    open: Vec<Ledger>,
    acknowledged: BTreeSet<(Vec<u8>, Vec<u8>)>,
    lossy: bool,
    next: u64,
    asked: usize,
}

/// Plays the history of `seed`.
///
/// # Errors
/// The first thing that does not hold.
pub fn play(seed: u64, plan: &Plan) -> Result<Tally, Violation> {
    play_traced(seed, plan, u64::MAX)
}

/// The same, printing nothing but keeping a trace of every output from virtual time `from_ms` on, which is written to
/// the violation's log.
///
/// # Errors
/// As [`play`].
pub fn play_traced(seed: u64, plan: &Plan, from_ms: u64) -> Result<Tally, Violation> {
    let setup = Setup {
        regions: plan.regions,
        seed,
        limits: plan.limits.clone(),
        latency_ms: 20,
    };
    let mut player = Player {
        world: World::new(setup),
        plan: plan.clone(),
        seed,
        log: Vec::new(),
        images: BTreeMap::new(),
        open: Vec::new(),
        acknowledged: BTreeSet::new(),
        lossy: false,
        next: 0,
        asked: 0,
    };
    player.world.trace_from_ms = from_ms;
    player.world.run(1_500);
    for _ in 0..plan.steps {
        player.step();
    }
    player.finish()
}

const KEYS: [&[u8]; 4] = [b"k1", b"k2", b"k3", b"cart:1"];
const NAMES: [&[u8]; 3] = [b"a", b"b", b"c"];

impl Player {
    fn step(&mut self) {
        let regions = self.plan.regions;
        let region = self.world.chance.index(regions);
        match self.world.chance.below(24) {
            0 if self.plan.cuts => {
                let to = self.world.chance.index(regions);
                if region != to {
                    let up = !self.world.links.get(&(region, to)).is_some_and(|l| l.up);
                    self.note(format!("link {region}->{to} up={up}"));
                    self.world.set_link(region, to, up);
                }
            }
            1 if self.plan.cuts => {
                self.note("heal".to_owned());
                self.world.heal();
            }
            2 if self.plan.crashes => {
                self.note(format!("crash {region}"));
                self.world.crash(region);
                let pause = self.world.chance.below(400);
                self.world.run(pause);
                self.world.start(region);
            }
            3 if self.plan.stores => self.hurt_store(region),
            4 if self.plan.skew => {
                let skew = i64::try_from(self.world.chance.below(800)).unwrap_or(0) - 400;
                self.note(format!("skew {region} {skew}"));
                if let Some(r) = self.world.regions.get_mut(region) {
                    r.skew_ms = skew;
                }
            }
            5 => {
                let ms = self.world.chance.below(1_000);
                self.note(format!("pass {ms}"));
                self.world.run(ms);
            }
            _ => self.command(region),
        }
        let ms = self.world.chance.below(30);
        self.world.run(ms);
        self.collect_answers();
    }

    fn hurt_store(&mut self, region: usize) {
        match self.world.chance.below(5) {
            0 | 1 => {
                self.note(format!("break store connection {region}"));
                self.world.break_store(region);
            }
            2 => {
                self.note(format!("restart store {region}"));
                self.world.restart_store(region);
            }
            3 => {
                self.note(format!("image {region}"));
                if let Some(image) = self.world.image(region) {
                    self.images.insert(region, image);
                }
            }
            _ => {
                if let Some(image) = self.images.get(&region).cloned() {
                    self.note(format!("roll store back {region}"));
                    self.lossy = true;
                    self.world.restore(region, Some(&image));
                }
            }
        }
    }

    fn note(&mut self, line: String) {
        self.log.push(format!("{:>7} {line}", self.world.now_ms));
    }

    fn command(&mut self, region: usize) {
        let commands = if self.world.chance.one_in(6) {
            (0..=self.world.chance.below(3))
                .map(|_| self.random_command())
                .collect()
        } else {
            vec![self.random_command()]
        };
        self.note(format!("r{region} {commands:?}"));
        self.asked += usize::from(self.world.request(region, commands).is_some());
        if self.world.chance.one_in(4) {
            self.next += 1;
            let key = b"ledger".to_vec();
            let member = format!("m{}", self.next).into_bytes();
            let add = Command::SAdd {
                key: key.clone(),
                members: vec![member.clone()],
            };
            if let Some(request) = self.world.request(region, vec![add]) {
                self.open.push(Ledger {
                    key,
                    region,
                    request,
                    member,
                });
            }
        }
    }

    fn random_command(&mut self) -> Command {
        let chance = &mut self.world.chance;
        let key = if chance.one_in(2) {
            KEYS[0].to_vec()
        } else {
            chance.pick(&KEYS).to_vec()
        };
        let other = chance.pick(&KEYS).to_vec();
        let name = chance.pick(&NAMES).to_vec();
        let by = i64::try_from(chance.below(7)).unwrap_or(0) - 2;
        let expiry = self.plan.expiry;
        let when = When::In(i64::try_from(200 + chance.below(1_500)).unwrap_or(0));
        match chance.below(if expiry { 26 } else { 22 }) {
            0 | 1 => Command::HIncrBy { key, field: name, by },
            2 => Command::HSet {
                key,
                fields: vec![(name, by.to_string().into_bytes())],
            },
            3 => Command::HDel {
                key,
                fields: vec![name],
            },
            4 | 5 => Command::IncrBy { key, by },
            6 => Command::Set {
                key,
                value: by.to_string().into_bytes(),
                expiry: SetExpiry::Never,
                condition: Condition::Always,
                get: false,
            },
            7 => Command::Append { key, value: name },
            8 | 9 => Command::SAdd {
                key,
                members: vec![name],
            },
            10 => Command::SRem {
                key,
                members: vec![name],
            },
            11 => Command::ZAdd {
                key,
                flags: ZAddFlags::default(),
                pairs: vec![(by as f64, name)],
            },
            12 => Command::ZIncrBy {
                key,
                flags: ZAddFlags::default(),
                by: by as f64 / 4.0,
                member: name,
            },
            13 => Command::ZRem {
                key,
                members: vec![name],
            },
            14 | 15 => Command::Del { keys: vec![key] },
            16 => Command::Rename {
                from: key,
                to: other,
                only_if_absent: false,
            },
            17 => Command::Copy {
                from: key,
                to: other,
                replace: true,
            },
            18 => Command::Revoke { key },
            19 => Command::PfAdd {
                key,
                elements: vec![name],
            },
            20 => Command::SPop { key, count: None },
            21 => Command::HIncrByFloat {
                key,
                field: name,
                by: b"0.1".to_vec(),
            },
            22 | 23 => Command::Expire {
                key,
                when,
                flags: ExpireFlags::default(),
            },
            24 => Command::Persist { key },
            _ => Command::Set {
                key,
                value: name,
                expiry: SetExpiry::Expires(when),
                condition: Condition::Always,
                get: false,
            },
        }
    }

    fn collect_answers(&mut self) {
        for entry in std::mem::take(&mut self.open) {
            match self.world.answer(entry.region, entry.request) {
                Some(Ok(_)) => {
                    self.acknowledged.insert((entry.key, entry.member));
                }
                Some(Err(_)) => {}
                None => self.open.push(entry),
            }
        }
    }

    fn violation(&self, what: String) -> Violation {
        Violation {
            seed: self.seed,
            what,
            log: self.log.join("\n"),
        }
    }

    fn finish(mut self) -> Result<Tally, Violation> {
        self.note("end: heal everything".to_owned());
        self.world.heal();
        for region in 0..self.plan.regions {
            self.world.start(region);
            if let Some(r) = self.world.regions.get_mut(region) {
                r.skew_ms = 0;
            }
        }
        let settled = self.world.settle(60_000);
        self.collect_answers();
        for region in 0..self.plan.regions {
            if let Some(reason) = self.world.halted(region) {
                return Err(self.violation(format!("region {region} halted: {reason}")));
            }
        }
        if !settled {
            let states: Vec<_> = (0..self.plan.regions).map(|r| self.world.state(r)).collect();
            return Err(self.violation(format!("the regions did not converge:\n{states:#?}")));
        }
        // Everything expired is hidden by now; let purge and collection run, and see that the regions stay equal.
        self.world.run(5_000);
        if !self.world.settle(10_000) {
            return Err(self.violation("the regions fell apart while collecting garbage".to_owned()));
        }
        self.check_views()?;
        self.check_ledger()?;
        let answers = || self.world.regions.iter().flat_map(|r| r.answers.values());
        let done = answers().filter(|a| a.is_ok()).count();
        let refused = answers().count() - done;
        Ok(Tally {
            done,
            refused,
            unknown: self.asked - done - refused,
            acknowledged: self.acknowledged.len(),
            keys: self.world.keys(0),
        })
    }

    /// Equal views everywhere, and each what its metadata says.
    fn check_views(&mut self) -> Result<(), Violation> {
        let mut seen: BTreeMap<Vec<u8>, (usize, String)> = BTreeMap::new();
        for region in 0..self.plan.regions {
            for key in KEYS.iter().copied().chain([b"ledger".as_slice()]) {
                let view = self.view(region, key);
                let text = format!("{view:?}");
                match seen.get(key) {
                    None => {
                        seen.insert(key.to_vec(), (region, text));
                    }
                    Some((first, expected)) if *expected != text => {
                        let key = String::from_utf8_lossy(key);
                        return Err(self.violation(format!(
                            "the views of {key:?} differ: region {first} shows {expected}, region {region} shows {text}"
                        )));
                    }
                    Some(_) => {}
                }
            }
        }
        Ok(())
    }

    fn view(&self, region: usize, key: &[u8]) -> Option<(ViewValue, Option<u64>)> {
        let store = &self.world.regions.get(region)?.store;
        match store.load(ShardId(0), &Load::View { key: key.to_vec() }) {
            Ok(Loaded::View(view)) => view,
            Ok(_) | Err(_) => None,
        }
    }

    fn check_ledger(&mut self) -> Result<(), Violation> {
        if self.lossy {
            return Ok(());
        }
        for region in 0..self.plan.regions {
            let members: BTreeSet<Vec<u8>> = match self.view(region, b"ledger") {
                Some((ViewValue::Set(members), _)) => members.into_iter().collect(),
                _ => BTreeSet::new(),
            };
            for (_, member) in &self.acknowledged {
                if !members.contains(member) {
                    let member = String::from_utf8_lossy(member);
                    return Err(self.violation(format!(
                        "region {region} lost {member}, which had been acknowledged ({} of {} there)",
                        members.len(),
                        self.acknowledged.len()
                    )));
                }
            }
        }
        Ok(())
    }
}
