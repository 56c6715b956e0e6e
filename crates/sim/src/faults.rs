//! What random histories do to a cluster besides writing to it: [`Player::harm`] does one such thing, as the plan
//! allows.

use cartograph_replica::commit::{ViewChange, ViewContent, ViewExpiry};

use crate::history::{KEYS, Player};

impl Player {
    /// One of the plan's faults.
    pub(crate) fn harm(&mut self, region: usize) {
        match self.world.chance.below(7) {
            0 if self.plan.wipes => self.wipe(region),
            1 if self.plan.refusals => {
                let refusing = !self.world.regions.get(region).is_some_and(|r| r.refusing);
                self.note(format!("store {region} refuses={refusing}"));
                if let Some(r) = self.world.regions.get_mut(region) {
                    r.refusing = refusing;
                }
            }
            2 if self.plan.refusals => {
                let up = !self.world.regions.get(region).is_some_and(|r| r.store_up);
                self.note(format!("store {region} up={up}"));
                self.world.set_store(region, up);
            }
            3 if self.plan.tampering => self.tamper(region),
            4 if self.plan.joining && self.plan.regions > self.world.regions.len() => {
                let at = self.world.add_region();
                self.note(format!("region {at} joins"));
                self.world.start(at);
            }
            5 if self.plan.isolation => self.isolate(region),
            6 if self.plan.forgetting && self.gone.is_none() => self.forget(region),
            _ => self.command(region),
        }
    }

    fn wipe(&mut self, region: usize) {
        let with_node = self.world.chance.one_in(2);
        self.note(format!("wipe store {region}, its node too: {with_node}"));
        if with_node {
            self.world.crash(region);
        }
        self.about_to_lose(region, None);
        self.world.restore(region, None);
        if with_node {
            self.world.start(region);
        }
    }

    /// Cuts a region off from everyone; while it is, it writes, and may lose its node and its store's last writes.
    fn isolate(&mut self, region: usize) {
        self.note(format!("isolate {region}"));
        for other in 0..self.world.regions.len() {
            self.world.set_link(region, other, false);
            self.world.set_link(other, region, false);
        }
        let now = self.world.image(region);
        let image = self.images.get(&region).cloned().or(now);
        for _ in 0..self.world.chance.below(6) {
            self.command(region);
            self.world.run(10);
        }
        if self.plan.stores && self.world.chance.one_in(2) {
            self.note(format!("crash {region} and roll its store back"));
            self.world.crash(region);
            if let Some(image) = &image {
                self.about_to_lose(region, Some(image));
            }
            self.world.restore(region, image.as_ref());
            self.world.start(region);
        }
        for other in (0..self.world.regions.len()).filter(|r| *r != region) {
            self.command(other);
        }
        let ms = self.world.chance.below(self.plan.isolation_ms_max);
        self.world.run(ms);
        for _ in 0..self.world.chance.below(6) {
            self.command(region);
            self.world.run(10);
        }
    }

    /// Somebody writes to the store behind the node's back.
    fn tamper(&mut self, region: usize) {
        let key = self.world.chance.pick(&KEYS).to_vec();
        let content = match self.world.chance.below(3) {
            0 => ViewContent::Absent,
            1 => ViewContent::String(b"not what you think".to_vec()),
            _ => ViewContent::Set {
                add: vec![b"x1".to_vec(), b"x2".to_vec(), b"x3".to_vec(), b"x4".to_vec()],
                remove: Vec::new(),
            },
        };
        self.note(format!(
            "tamper {region} {:?} {content:?}",
            String::from_utf8_lossy(&key)
        ));
        let replace = !matches!(content, ViewContent::Absent);
        let change = ViewChange {
            key,
            replace,
            content,
            expiry: ViewExpiry::Unchanged,
        };
        let done = self
            .world
            .regions
            .get_mut(region)
            .map(|r| r.store.tamper(&change));
        if !matches!(done, Some(Ok(()))) {
            self.note("the tampering failed".to_owned());
        }
    }

    /// A region dies for good, and the others are told. What it alone had is lost with it.
    fn forget(&mut self, gone: usize) {
        let teller = usize::from(gone == 0);
        if self.world.not_writable(teller).is_some() {
            return;
        }
        self.note(format!("region {gone} dies, {teller} forgets it"));
        self.world.crash(gone);
        self.about_to_lose(gone, None);
        self.gone = Some(gone);
        self.teller = Some((teller, self.world.forget(teller, gone)));
    }
}
