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
use cartograph_store::memory::{Image, ManualClock, MemoryStore};

use crate::world::{Setup, World};

/// What a history may contain.
#[derive(Clone, Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each fault is in the plan or is not"
)]
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
    /// Wipe stores, alone and with their node.
    pub wipes: bool,
    /// Stores that refuse for a while, or are down for a while.
    pub refusals: bool,
    /// Someone writes to stores behind the nodes' back.
    pub tampering: bool,
    /// Regions that are not there at the beginning (`regions` counts them) join.
    pub joining: bool,
    /// Cut single regions off from all others, for up to `isolation_ms_max`.
    pub isolation: bool,
    /// For how long, in milliseconds.
    pub isolation_ms_max: u64,
    /// One region dies for good and is forgotten.
    pub forgetting: bool,
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
            wipes: false,
            refusals: false,
            tampering: false,
            joining: false,
            isolation: false,
            isolation_ms_max: 2_000,
            forgetting: false,
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
    /// Views that were found damaged and rebuilt.
    pub repaired: usize,
    /// Snapshots that were joined whole.
    pub snapshots: usize,
    /// Times that a region learned of lives that are retired.
    pub retired: usize,
}

impl Tally {
    /// Adds another history's.
    pub fn add(&mut self, other: &Tally) {
        self.done += other.done;
        self.refused += other.refused;
        self.unknown += other.unknown;
        self.acknowledged += other.acknowledged;
        self.keys += other.keys;
        self.repaired += other.repaired;
        self.snapshots += other.snapshots;
        self.retired += other.retired;
    }
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

/// What a request of the ledger's asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    Add,
    Remove,
    Once,
}

struct Ledger {
    what: Asked,
    region: usize,
    request: RequestId,
    life: u64,
    member: Vec<u8>,
    /// Its store was replaced while the answer was on its way: it may say what is no longer so.
    doubtful: bool,
}

pub(crate) struct Player {
    pub(crate) world: World,
    pub(crate) plan: Plan,
    pub(crate) seed: u64,
    log: Vec<String>,
    /// What stores once held.
    pub(crate) images: BTreeMap<usize, Image>,
    open: Vec<Ledger>,
    /// Members whose add was acknowledged and that nobody removes.
    pub(crate) acknowledged: BTreeSet<Vec<u8>>,
    /// Members whose removal was acknowledged, after which nobody adds them.
    pub(crate) removed: BTreeMap<Vec<u8>, usize>,
    /// Idempotency keys used, and those that were acknowledged.
    pub(crate) once_asked: BTreeSet<Vec<u8>>,
    pub(crate) once_done: BTreeSet<Vec<u8>>,
    /// A store has lost something.
    pub(crate) lossy: bool,
    /// The region that died for good.
    pub(crate) gone: Option<usize>,
    /// Who was told so, with what request.
    pub(crate) teller: Option<(usize, Option<RequestId>)>,
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
        regions: plan.regions - usize::from(plan.joining),
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
        removed: BTreeMap::new(),
        once_asked: BTreeSet::new(),
        once_done: BTreeSet::new(),
        lossy: false,
        gone: None,
        teller: None,
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

pub(crate) const KEYS: [&[u8]; 4] = [b"k1", b"k2", b"k3", b"cart:1"];
const NAMES: [&[u8]; 3] = [b"a", b"b", b"c"];

impl Player {
    fn step(&mut self) {
        let regions = self.world.regions.len();
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
            6 => self.harm(region),
            2 if self.plan.crashes && self.gone != Some(region) => {
                self.note(format!("crash {region}"));
                self.world.crash(region);
                let pause = self.world.chance.below(400);
                self.world.run(pause);
                self.world.start(region);
            }
            3 if self.plan.stores && self.gone != Some(region) => self.hurt_store(region),
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
                    self.about_to_lose(region, Some(&image));
                    self.world.restore(region, Some(&image));
                }
            }
        }
    }

    /// A store is about to go back to an older image, or to nothing. What other regions hold, or the image, must stay.
    pub(crate) fn about_to_lose(&mut self, region: usize, image: Option<&Image>) {
        self.lossy = true;
        self.collect_answers();
        let mut held: BTreeSet<Vec<u8>> = BTreeSet::new();
        for other in (0..self.world.regions.len()).filter(|r| *r != region && self.gone != Some(*r)) {
            held.extend(self.members(other));
        }
        if let Some(image) = image {
            let mut old = MemoryStore::new(ManualClock::at(self.world.clock_ms(region)));
            old.restore(image);
            held.extend(set_view(&old));
        }
        for entry in self.open.iter_mut().filter(|entry| entry.region == region) {
            entry.doubtful = true;
        }
        self.acknowledged.retain(|member| held.contains(member));
        self.removed.retain(|_, remover| *remover != region);
    }

    pub(crate) fn note(&mut self, line: impl std::fmt::Display) {
        self.log.push(format!("{:>7} {line}", self.world.now_ms));
    }

    pub(crate) fn command(&mut self, region: usize) {
        let commands = if self.world.chance.one_in(6) {
            (0..=self.world.chance.below(3))
                .map(|_| self.random_command())
                .collect()
        } else {
            vec![self.random_command()]
        };
        self.note(format!("r{region} {commands:?}"));
        self.asked += usize::from(self.world.request(region, commands).is_some());
        let key = b"ledger".to_vec();
        match self.world.chance.below(12) {
            0..3 => {
                self.next += 1;
                let member = format!("m{}", self.next).into_bytes();
                let members = vec![member.clone()];
                self.ask(region, Asked::Add, member, Command::SAdd { key, members }, None);
            }
            3 => {
                // One that this region shows, and that is in nobody else's hands.
                let shown = self.members(region);
                if let Some(member) = shown.into_iter().find(|m| self.acknowledged.contains(m)) {
                    self.acknowledged.remove(&member);
                    let members = vec![member.clone()];
                    self.ask(
                        region,
                        Asked::Remove,
                        member,
                        Command::SRem { key, members },
                        None,
                    );
                }
            }
            4 => {
                // Some of them again, now or later: in the same region, where the reply is kept.
                let again = self.world.chance.one_in(2);
                let known = self.once_asked.iter().next_back().filter(|_| again);
                let ours = known
                    .filter(|k| k.first() == u8::try_from(region).ok().as_ref())
                    .cloned();
                self.next += u64::from(ours.is_none());
                let fresh = || {
                    let mut id = vec![u8::try_from(region).unwrap_or(0)];
                    id.extend_from_slice(&self.next.to_be_bytes());
                    id
                };
                let id = ours.unwrap_or_else(fresh);
                self.once_asked.insert(id.clone());
                for _ in 0..=self.world.chance.below(2) {
                    let incr = Command::IncrBy {
                        key: b"once".to_vec(),
                        by: 1,
                    };
                    self.ask(region, Asked::Once, id.clone(), incr, Some(id.clone()));
                }
            }
            _ => {}
        }
    }

    fn ask(
        &mut self,
        region: usize,
        what: Asked,
        member: Vec<u8>,
        command: Command,
        idempotency_key: Option<Vec<u8>>,
    ) {
        let life = self.world.life(region);
        if let Some(request) = self.world.request_once(region, vec![command], idempotency_key) {
            self.open.push(Ledger {
                what,
                region,
                request,
                life,
                member,
                doubtful: false,
            });
        }
    }

    /// What a region shows of the ledger.
    pub(crate) fn members(&self, region: usize) -> BTreeSet<Vec<u8>> {
        self.world
            .regions
            .get(region)
            .map(|r| set_view(&r.store))
            .unwrap_or_default()
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
        let by = i32::try_from(chance.below(7)).unwrap_or(0) - 2;
        let score = f64::from(by);
        let by = i64::from(by);
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
                pairs: vec![(score, name)],
            },
            12 => Command::ZIncrBy {
                key,
                flags: ZAddFlags::default(),
                by: score / 4.0,
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

    pub(crate) fn collect_answers(&mut self) {
        for entry in std::mem::take(&mut self.open) {
            match self.world.answer(entry.region, entry.request) {
                Some(Ok(_)) if entry.doubtful => {}
                Some(Ok(_)) => match entry.what {
                    Asked::Add => {
                        self.acknowledged.insert(entry.member);
                    }
                    Asked::Remove => {
                        self.removed.insert(entry.member, entry.region);
                    }
                    Asked::Once => {
                        self.once_done.insert(entry.member);
                    }
                },
                Some(Err(_)) => {}
                None => self.open.push(entry),
            }
        }
    }

    pub(crate) fn violation(&self, what: String) -> Violation {
        Violation {
            seed: self.seed,
            what,
            log: self.log.join("\n"),
        }
    }

    /// Requests whose node lives and that were not answered.
    pub(crate) fn unanswered(&self) -> Vec<String> {
        let alive = |l: &&Ledger| self.world.life(l.region) == l.life && self.gone != Some(l.region);
        let open = self.open.iter().filter(alive);
        open.map(|l| format!("{:?} of region {}, {:?}", l.request, l.region, l.what))
            .collect()
    }

    /// Requests that were sent, the ledger's aside.
    pub(crate) fn asked(&self) -> usize {
        self.asked
    }
}

/// What a store shows of the ledger.
fn set_view(store: &MemoryStore) -> BTreeSet<Vec<u8>> {
    let key = b"ledger".to_vec();
    match store.load(ShardId(0), &Load::View { key }) {
        Ok(Loaded::View(Some((ViewValue::Set(members), _)))) => members.into_iter().collect(),
        Ok(_) | Err(_) => BTreeSet::new(),
    }
}
