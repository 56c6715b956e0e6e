//! What must hold when a history ends and everything is healed.

use std::collections::{BTreeMap, BTreeSet};

use cartograph_crdt::ShardId;
use cartograph_engine::Command;
use cartograph_engine::api::Event;
use cartograph_replica::commit::{Load, Loaded, ViewValue};

use crate::history::{Player, Tally, Violation};
use crate::steps::KEYS;

/// A plan under which lives are retired at all.
const RETIRED_SOON_MS: u64 = 10_000;

/// Keys of the ledger's.
const LEDGER: [&[u8]; 2] = [b"ledger", b"once"];

impl Player {
    /// Heals everything, and checks.
    pub(crate) fn finish(mut self) -> Result<Tally, Violation> {
        self.note("end: heal everything".to_owned());
        self.world.heal();
        self.world.calm();
        for region in self.alive() {
            self.world.start(region);
            self.world.set_store(region, true);
            if let Some(r) = self.world.regions.get_mut(region) {
                r.skew_ms = 0;
                r.refusing = false;
            }
        }
        if self.plan.tampering {
            // What guards cannot see, the scrub does.
            for region in self.alive() {
                for key in KEYS {
                    self.world.repair(region, key);
                }
            }
        }
        self.settled("the regions did not converge", 40_000)?;
        // Everything expired is hidden by now; let purge and collection run, and see that the regions stay equal.
        self.world.run(5_000);
        self.settled("the regions fell apart while collecting garbage", 10_000)?;
        self.collect_answers();
        let unanswered = self.unanswered();
        if !unanswered.is_empty() {
            return Err(self.violation(format!("never answered: {unanswered:?}")));
        }
        if let Some((teller, Some(request))) = self.teller
            && self.world.answer(teller, request).is_none()
            && self.world.life(teller) == 1
        {
            return Err(self.violation("the order to forget was never answered".to_owned()));
        }
        for region in self.alive() {
            if let Some(reason) = self.world.not_writable(region) {
                return Err(self.violation(format!("region {region} takes no writes: {reason}")));
            }
        }
        self.check_retired()?;
        self.check_history()?;
        self.check_views()?;
        self.check_ledger()?;
        self.check_once()?;
        let tally = self.tally();
        self.check_garbage()?;
        self.no_faults()?;
        Ok(tally)
    }

    fn tally(&self) -> Tally {
        let answers = || self.world.regions.iter().flat_map(|r| r.answers.values());
        let done = answers().filter(|a| a.is_ok()).count();
        let refused = answers().count() - done;
        let events = || self.world.regions.iter().flat_map(|r| r.events.iter());
        Tally {
            done,
            refused,
            unknown: self.asked().saturating_sub(done + refused),
            acknowledged: self.acknowledged.len(),
            keys: self.world.keys(self.alive().first().copied().unwrap_or(0)),
            repaired: events()
                .filter(|e| matches!(e, Event::ViewRepaired { .. }))
                .count(),
            snapshots: events()
                .filter(|e| matches!(e, Event::Snapshot { what: "joined", .. }))
                .count(),
            entries: self.world.witness.model.len(),
            compared: self.world.witness.views,
            messages: self.world.traffic.messages,
            virtual_ms: self.world.now_ms,
            steps: self.steps_and_traffic(),
            skipped: self.skipped,
            retired: events().filter(|e| matches!(e, Event::Retired { .. })).count(),
        }
    }

    fn steps_and_traffic(&self) -> BTreeMap<&'static str, u64> {
        let traffic = &self.world.traffic;
        let mut steps = self.counts.clone();
        for (name, n) in [
            ("message lost", traffic.lost),
            ("connection lost to loss", traffic.broken),
            ("message repeated", traffic.repeated),
            ("message overtaken", traffic.overtaken),
        ] {
            if n > 0 {
                steps.insert(name, n);
            }
        }
        steps
    }

    /// Every view is what the oracle makes of the whole history, and nothing that a client was told of is missing.
    fn check_history(&mut self) -> Result<(), Violation> {
        for region in self.alive() {
            self.world.compare_all(region);
            if let Some(lost) = self.world.lacks(region) {
                return Err(self.violation(lost));
            }
        }
        self.no_faults()
    }

    fn no_faults(&self) -> Result<(), Violation> {
        match self.world.faults.first() {
            Some(fault) => Err(self.violation(fault.clone())),
            None => Ok(()),
        }
    }

    fn alive(&self) -> Vec<usize> {
        let regions = 0..self.world.regions.len();
        regions.filter(|r| self.gone != Some(*r)).collect()
    }

    fn settled(&mut self, what: &str, ms: u64) -> Result<(), Violation> {
        let settled = self.world.settle(ms);
        for region in self.alive() {
            if let Some(reason) = self.world.halted(region) {
                return Err(self.violation(format!("region {region} halted: {reason}")));
            }
        }
        if settled {
            return Ok(());
        }
        let states: Vec<_> = self.alive().into_iter().map(|r| self.world.state(r)).collect();
        Err(self.violation(format!("{what}:\n{states:#?}")))
    }

    /// Equal views everywhere.
    fn check_views(&mut self) -> Result<(), Violation> {
        let mut seen: BTreeMap<Vec<u8>, (usize, String)> = BTreeMap::new();
        for region in self.alive() {
            for key in KEYS.iter().chain(&LEDGER) {
                let text = format!("{:?}", self.view(region, key));
                match seen.get(*key) {
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

    fn check_ledger(&self) -> Result<(), Violation> {
        for region in self.alive() {
            let members: BTreeSet<Vec<u8>> = self.members(region);
            if let Some(member) = self.acknowledged.difference(&members).next() {
                let member = String::from_utf8_lossy(member);
                return Err(self.violation(format!(
                    "region {region} lost {member}, which had been acknowledged ({} of {} there)",
                    members.len(),
                    self.acknowledged.len()
                )));
            }
            if let Some(member) = self.removed.keys().find(|m| members.contains(*m)) {
                let member = String::from_utf8_lossy(member);
                return Err(self.violation(format!("region {region} shows {member}, which was removed")));
            }
        }
        Ok(())
    }

    /// Each idempotency key had its effect once, however often it was tried.
    fn check_once(&self) -> Result<(), Violation> {
        let shown = match self.view(self.alive().first().copied().unwrap_or(0), b"once") {
            Some((ViewValue::String(text), _)) => {
                String::from_utf8_lossy(&text).parse().unwrap_or(usize::MAX)
            }
            _ => 0,
        };
        let (least, most) = (self.once_done.len(), self.once_asked.len());
        // A store that went back has forgotten replies and their effects; not elsewhere, if they had been sent.
        let fits = self.lossy || (least..=most).contains(&shown);
        if fits {
            return Ok(());
        }
        Err(self.violation(format!(
            "{least} to {most} increments should have been done once, the counter shows {shown}"
        )))
    }

    /// Lives that are over are retired in time: a vector counts one life of each region.
    fn check_retired(&mut self) -> Result<(), Violation> {
        let after_ms = self.plan.limits.retire_after_ms;
        if after_ms > RETIRED_SOON_MS {
            return Ok(());
        }
        self.world.run(after_ms + 2_000);
        self.settled("the regions fell apart when lives were retired", 10_000)?;
        for region in self.alive() {
            let vector = self.world.vector(region).unwrap_or_default();
            let regions: BTreeSet<_> = vector.counted().map(|(life, _)| life.region).collect();
            if vector.counted().count() > regions.len() {
                return Err(self.violation(format!(
                    "region {region} still names lives that are over: {vector}"
                )));
            }
        }
        Ok(())
    }

    /// When everything is deleted, and everyone knows, nothing of it is left but the members' own row.
    fn check_garbage(&mut self) -> Result<(), Violation> {
        // Cells of closed incarnations wait until those are retired.
        if self.lossy || self.plan.stores || self.gone.is_some() {
            return Ok(());
        }
        let keys = KEYS.iter().chain(&LEDGER).map(|k| k.to_vec()).collect();
        let first = self.alive().first().copied().unwrap_or(0);
        self.world.request(first, vec![Command::Del { keys }]);
        self.world.run(2_000);
        self.settled("the regions fell apart after deleting everything", 10_000)?;
        for _ in 0..20 {
            if self.left_over().is_none() {
                return Ok(());
            }
            self.world.run(1_000);
        }
        match self.left_over() {
            Some(what) => Err(self.violation(what)),
            None => Ok(()),
        }
    }

    /// Metadata of something else than the members.
    fn left_over(&self) -> Option<String> {
        self.alive().into_iter().find_map(|region| {
            let rows = self.rows(region);
            let text: Vec<_> = rows.iter().map(|k| String::from_utf8_lossy(k)).collect();
            (rows.len() > 1).then(|| format!("region {region} keeps metadata of {text:?}"))
        })
    }

    fn rows(&self, region: usize) -> Vec<Vec<u8>> {
        let load = Load::Keys {
            cursor: Vec::new(),
            count: 100,
        };
        match self
            .world
            .regions
            .get(region)
            .map(|r| r.store.load(ShardId(0), &load))
        {
            Some(Ok(Loaded::Keys { keys, .. })) => keys,
            Some(Ok(_) | Err(_)) | None => Vec::new(),
        }
    }
}
