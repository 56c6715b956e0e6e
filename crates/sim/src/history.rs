//! Random histories on a simulated cluster, and what must hold of them.
//!
//! A history is a list of steps drawn from one seed ([`crate::steps`]): commands in random regions, cuts, heals,
//! crashes, lost stores, clock steps. While it runs, `world/witness.rs` looks at every commit, message and
//! reply. At its end everything is healed, and then must hold (`checks.rs`):
//! - all regions are equal, in vectors and digests, within bounded time;
//! - every view is what the oracle makes of the whole history;
//! - everything that a client was told of is everywhere (less what was lost with a store that alone had it);
//! - a ledger of acknowledged adds, on a key that nobody else removes from, is whole;
//! - metadata of what was deleted is gone.

use std::collections::{BTreeMap, BTreeSet};

use cartograph_crdt::ShardId;
use cartograph_engine::Command;
use cartograph_engine::api::RequestId;
use cartograph_replica::commit::{Load, Loaded, ViewChange, ViewContent, ViewExpiry, ViewValue};
use cartograph_store::memory::{ManualClock, MemoryStore};

use crate::chance::Chance;
pub use crate::plan::Plan;
use crate::steps::{self, KEYS, Planned, Restored, Step};
use crate::world::{Kept, Setup, World};

/// What a history did: a history that does nothing proves nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
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
    /// Entries that were committed.
    pub entries: usize,
    /// Views that were compared with the oracle.
    pub compared: u64,
    /// Messages between regions.
    pub messages: u64,
    /// Virtual milliseconds.
    pub virtual_ms: u64,
    /// Steps by name, and what befell messages.
    pub steps: BTreeMap<&'static str, u64>,
    /// Steps that found nothing to act on.
    pub skipped: u64,
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
        self.entries += other.entries;
        self.compared += other.compared;
        self.messages += other.messages;
        self.virtual_ms += other.virtual_ms;
        self.skipped += other.skipped;
        for (name, n) in &other.steps {
            *self.steps.entry(name).or_default() += n;
        }
    }

    /// Faults, all kinds together.
    pub fn faults(&self) -> u64 {
        let faults = self.steps.iter().filter(|(name, _)| Step::is_fault(name));
        faults.map(|(_, n)| n).sum()
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
    pub(crate) counts: BTreeMap<&'static str, u64>,
    pub(crate) skipped: u64,
    /// What stores once held.
    images: BTreeMap<usize, Kept>,
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
    asked: usize,
}

/// Plays the history of `seed`.
///
/// # Errors
/// The first thing that does not hold.
pub fn play(seed: u64, plan: &Plan) -> Result<Tally, Violation> {
    play_traced(seed, plan, u64::MAX)
}

/// The same, tracing to standard error every output from virtual time `from_ms` on.
///
/// # Errors
/// As [`play`].
pub fn play_traced(seed: u64, plan: &Plan, from_ms: u64) -> Result<Tally, Violation> {
    play_steps(seed, plan, &steps::draw(seed, plan), from_ms)
}

/// Plays these steps: all that a seed draws, or some of them.
///
/// # Errors
/// As [`play`].
pub fn play_steps(seed: u64, plan: &Plan, steps: &[Planned], from_ms: u64) -> Result<Tally, Violation> {
    let mut player = Player::new(seed, plan);
    player.world.trace_from_ms = from_ms;
    player.play(steps)?;
    player.finish()
}

/// Every output of a history, a line each: what a determinism test compares.
pub fn trace(seed: u64, plan: &Plan) -> Vec<String> {
    let mut player = Player::new(seed, plan);
    player.world.trace = Some(Vec::new());
    let outcome = player.play(&steps::draw(seed, plan));
    let mut trace = player.world.trace.take().unwrap_or_default();
    trace.extend(outcome.err().map(|v| v.to_string()));
    trace
}

impl Player {
    fn new(seed: u64, plan: &Plan) -> Player {
        let mut world = World::new(Setup {
            regions: plan.regions - usize::from(plan.joining),
            seed,
            limits: plan.limits.clone(),
            latency_ms: plan.latency_ms,
        });
        world.tail_commits = if plan.tails { 8 } else { 0 };
        // Damaged views are found by guards and the scrub, in their time.
        world.witness.comparing = !plan.tampering;
        Player {
            world,
            plan: plan.clone(),
            seed,
            log: Vec::new(),
            counts: BTreeMap::new(),
            skipped: 0,
            images: BTreeMap::new(),
            open: Vec::new(),
            acknowledged: BTreeSet::new(),
            removed: BTreeMap::new(),
            once_asked: BTreeSet::new(),
            once_done: BTreeSet::new(),
            lossy: false,
            gone: None,
            teller: None,
            asked: 0,
        }
    }

    fn play(&mut self, steps: &[Planned]) -> Result<(), Violation> {
        self.world.run(500 + 10 * self.plan.latency_ms);
        for planned in steps {
            self.world.chance = Chance::new(planned.salt);
            self.note(format!("{:?}", planned.step));
            if self.step(&planned.step).is_some() {
                *self.counts.entry(planned.step.name()).or_default() += 1;
            } else {
                self.skipped += 1;
            }
            self.world.run(planned.pause_ms);
            self.collect_answers();
            if let Some(fault) = self.world.faults.first() {
                return Err(self.violation(fault.clone()));
            }
        }
        Ok(())
    }

    /// Does a step; `None` when there is nothing that it could act on.
    fn step(&mut self, step: &Step) -> Option<()> {
        match step {
            Step::Write { region, commands } => {
                self.world.request(*region, commands.clone())?;
                self.asked += 1;
            }
            Step::Add { region, member } => {
                let member = format!("m{member}").into_bytes();
                let command = Command::SAdd {
                    key: b"ledger".to_vec(),
                    members: vec![member.clone()],
                };
                self.ask(*region, Asked::Add, member, command, None)?;
            }
            Step::Remove { region } => {
                // One that this region shows, and that is in nobody else's hands.
                let shown = self.members(*region);
                let member = shown.into_iter().find(|m| self.acknowledged.contains(m))?;
                self.acknowledged.remove(&member);
                let command = Command::SRem {
                    key: b"ledger".to_vec(),
                    members: vec![member.clone()],
                };
                self.ask(*region, Asked::Remove, member, command, None)?;
            }
            Step::Once { region, id, tries } => {
                let id = id.to_be_bytes().to_vec();
                for _ in 0..*tries {
                    let command = Command::IncrBy {
                        key: b"once".to_vec(),
                        by: 1,
                    };
                    self.ask(*region, Asked::Once, id.clone(), command, Some(id.clone()))?;
                    self.once_asked.insert(id.clone());
                }
            }
            Step::Link { .. }
            | Step::Weather { .. }
            | Step::Break { .. }
            | Step::CutOff { .. }
            | Step::Heal => {
                return self.on_links(step);
            }
            Step::Crash { region, pause_ms } => {
                self.node(*region)?;
                self.world.crash(*region);
                self.world.run(*pause_ms);
                self.world.start(*region);
            }
            Step::BreakStore { .. }
            | Step::RestartStore { .. }
            | Step::Image { .. }
            | Step::Restore { .. }
            | Step::Refuse { .. }
            | Step::StoreUp { .. }
            | Step::Tamper { .. } => return self.on_stores(step),
            Step::Join => {
                let joins = self.plan.joining && self.plan.regions > self.world.regions.len();
                let at = joins.then(|| self.world.add_region())?;
                self.world.start(at);
            }
            Step::Forget { region } => self.forget(*region)?,
            Step::Skew { region, ms } => self.world.regions.get_mut(*region)?.skew_ms = *ms,
            Step::Pass { ms } => self.world.run(*ms),
        }
        Some(())
    }

    /// Is there a node that runs, in a region that is not gone for good?
    fn node(&self, region: usize) -> Option<()> {
        let runs = self.world.regions.get(region)?.shard.is_some();
        (runs && self.gone != Some(region)).then_some(())
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the steps that are not this one's come from elsewhere"
    )]
    fn on_links(&mut self, step: &Step) -> Option<()> {
        match step {
            Step::Link { from, to, up } => {
                self.world.links.get(&(*from, *to)).filter(|l| l.up != *up)?;
                self.world.set_link(*from, *to, *up);
            }
            Step::Weather { from, to, weather } => {
                let link = self.world.links.get_mut(&(*from, *to))?;
                [link.latency_ms, link.jitter_ms, link.loss, link.disorder] = *weather;
            }
            Step::Break { from, to } => {
                self.world.links.get(&(*from, *to))?;
                self.world.break_link(*from, *to);
            }
            Step::CutOff { region } => {
                self.node(*region)?;
                for other in 0..self.world.regions.len() {
                    self.world.set_link(*region, other, false);
                    self.world.set_link(other, *region, false);
                }
            }
            _ => {
                self.world.heal();
                self.world.calm();
            }
        }
        Some(())
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the steps that are not this one's come from elsewhere"
    )]
    fn on_stores(&mut self, step: &Step) -> Option<()> {
        match step {
            Step::BreakStore { region } => {
                self.node(*region)?;
                self.world.break_store(*region);
            }
            Step::RestartStore { region } => {
                self.node(*region)?;
                self.world.restart_store(*region);
            }
            Step::Image { region } => {
                let image = self.world.image(*region)?;
                self.images.insert(*region, image);
            }
            Step::Restore { region, what, crash } => self.restore(*region, *what, *crash)?,
            Step::Refuse { region, on } => {
                let r = self
                    .world
                    .regions
                    .get_mut(*region)
                    .filter(|r| r.refusing != *on)?;
                r.refusing = *on;
            }
            Step::StoreUp { region, up } => {
                let r = self.world.regions.get(*region)?;
                (r.store_up != *up).then(|| self.world.set_store(*region, *up))?;
            }
            Step::Tamper { region, key, content } => {
                let change = ViewChange {
                    key: KEYS.get(*key)?.to_vec(),
                    replace: !matches!(content, ViewContent::Absent),
                    content: content.clone(),
                    expiry: ViewExpiry::Unchanged,
                };
                self.world.regions.get_mut(*region)?.store.tamper(&change).ok()?;
            }
            _ => return None,
        }
        Some(())
    }

    fn restore(&mut self, region: usize, what: Restored, crash: bool) -> Option<()> {
        self.node(region)?;
        let kept = match what {
            Restored::Image => Some(self.images.get(&region)?.clone()),
            Restored::Tail(commits) => Some(self.world.before_last(region, commits)?),
            Restored::Nothing => None,
        };
        if crash {
            self.world.crash(region);
        }
        self.about_to_lose(region, kept.as_ref());
        self.world.restore(region, kept.as_ref());
        if crash {
            self.world.start(region);
        }
        Some(())
    }

    /// A store is about to go back to an older image, or to nothing. What other regions hold, or the image, must stay.
    fn about_to_lose(&mut self, region: usize, kept: Option<&Kept>) {
        self.lossy = true;
        self.collect_answers();
        let mut held: BTreeSet<Vec<u8>> = BTreeSet::new();
        for other in (0..self.world.regions.len()).filter(|r| *r != region && self.gone != Some(*r)) {
            held.extend(self.members(other));
        }
        if let Some(kept) = kept {
            let mut old = MemoryStore::new(ManualClock::at(self.world.clock_ms(region)));
            old.restore(&kept.image);
            held.extend(set_view(&old));
        }
        for entry in self.open.iter_mut().filter(|entry| entry.region == region) {
            entry.doubtful = true;
        }
        self.acknowledged.retain(|member| held.contains(member));
        self.removed.retain(|_, remover| *remover != region);
    }

    /// A region dies for good, and the others are told. What it alone had is lost with it.
    fn forget(&mut self, gone: usize) -> Option<()> {
        let teller = usize::from(gone == 0);
        let able = self.gone.is_none() && self.world.regions.len() > 2;
        let able = able && self.node(teller).is_some() && self.world.not_writable(teller).is_none();
        (able && self.node(gone).is_some()).then_some(())?;
        self.about_to_lose(gone, None);
        self.world.destroy(gone);
        self.gone = Some(gone);
        self.teller = Some((teller, self.world.forget(teller, gone)));
        Some(())
    }

    pub(crate) fn note(&mut self, line: impl std::fmt::Display) {
        self.log.push(format!("{:>7} {line}", self.world.now_ms));
    }

    fn ask(
        &mut self,
        region: usize,
        what: Asked,
        member: Vec<u8>,
        command: Command,
        idempotency_key: Option<Vec<u8>>,
    ) -> Option<()> {
        let life = self.world.life(region);
        let request = self.world.request_once(region, vec![command], idempotency_key)?;
        self.open.push(Ledger {
            what,
            region,
            request,
            life,
            member,
            doubtful: false,
        });
        Some(())
    }

    /// What a region shows of the ledger.
    pub(crate) fn members(&self, region: usize) -> BTreeSet<Vec<u8>> {
        self.world
            .regions
            .get(region)
            .map(|r| set_view(&r.store))
            .unwrap_or_default()
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
