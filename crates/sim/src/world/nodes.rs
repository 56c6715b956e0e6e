//! What may be done to a region: start and crash its node, hurt its store, ask it something.

use super::*;

impl World {
    /// Starts the node of a region.
    pub fn start(&mut self, region: usize) {
        let config = self.config(region);
        let Some(r) = self.regions.get_mut(region) else {
            return;
        };
        if r.shard.is_some() {
            return;
        }
        r.life += 1;
        let life = r.life;
        r.shard = Some(Shard::open(config));
        let mut out = Vec::new();
        if let Some(shard) = &mut r.shard {
            shard.start(&mut out);
        }
        self.perform(region, out);
        self.at(TICK_MS, Event::Tick { region, life });
        for other in 0..self.regions.len() {
            if other != region {
                self.at(
                    1,
                    Event::Dial {
                        from: region,
                        to: other,
                    },
                );
            }
        }
    }

    /// Kills the node of a region: what was in flight to the store may or may not have happened.
    pub fn crash(&mut self, region: usize) {
        let happens = self.regions.get(region).map_or(0, |r| r.commits.len());
        // Any number of the commits on their way may still reach the store, in order.
        let reach = self.chance.index(happens + 1);
        let mut reached = Vec::new();
        if let Some(r) = self.regions.get_mut(region) {
            r.shard = None;
            r.life += 1;
            reached.extend(r.commits.drain(..).take(reach));
        }
        for (_, commit) in reached {
            self.record(region, &commit);
        }
        for other in 0..self.regions.len() {
            self.hang_up(region, other);
            self.hang_up(other, region);
        }
    }

    /// Takes everything that a region has stored.
    pub fn image(&self, region: usize) -> Option<Kept> {
        self.regions.get(region).map(Region::keep)
    }

    /// Kills the store of a region and puts back an older image (or an empty one): its server is a new process.
    pub fn restore(&mut self, region: usize, image: Option<&Kept>) {
        self.loses(region, image.map(|kept| &kept.vector));
        let Some(r) = self.regions.get_mut(region) else {
            return;
        };
        match image {
            Some(kept) => r.store.restore(&kept.image),
            None => r.store = MemoryStore::new(r.clock.clone()),
        }
        r.stored.vector = image.map(|kept| kept.vector.clone()).unwrap_or_default();
        r.stored.ahead = image.map(|kept| kept.ahead.clone()).unwrap_or_default();
        r.tail.clear();
        r.servers += 1;
        r.replaced = true;
        let server = format!("server-{}-{}", r.id, r.servers);
        r.store.set_server(server);
        self.break_store(region);
    }

    /// What a region's store held `commits` commits ago, as far as it is known ([`World::tail_commits`]).
    pub fn before_last(&self, region: usize, commits: usize) -> Option<Kept> {
        let tail = &self.regions.get(region)?.tail;
        let back = commits.min(tail.len());
        tail.get(tail.len().checked_sub(back)?).cloned()
    }

    /// A region dies, node and store, and never comes back.
    pub fn destroy(&mut self, region: usize) {
        self.crash(region);
        self.loses(region, None);
        if let Some(r) = self.regions.get_mut(region) {
            r.stored = Stored::default();
            r.gone = true;
        }
    }

    /// Restarts the store of a region with everything in it: a new server process.
    pub fn restart_store(&mut self, region: usize) {
        if let Some(image) = self.image(region) {
            self.restore(region, Some(&image));
        }
    }

    /// Stops the store, or starts it again with everything in it, the same server.
    pub fn set_store(&mut self, region: usize, up: bool) {
        if !up {
            self.break_store(region);
        }
        if let Some(r) = self.regions.get_mut(region) {
            r.store_up = up;
        }
    }

    /// Breaks the connection to the store: commits on their way may or may not have happened.
    pub fn break_store(&mut self, region: usize) {
        let on_the_way = self.regions.get(region).map_or(0, |r| r.commits.len());
        let reach = self.chance.index(on_the_way + 1);
        let Some(r) = self.regions.get_mut(region) else {
            return;
        };
        let life = r.life;
        let commits: Vec<_> = r.commits.drain(..).collect();
        let mut outcomes = Vec::new();
        for (n, (_, commit)) in commits.into_iter().enumerate() {
            if n < reach {
                self.record(region, &commit);
            }
            outcomes.push(commit.batch);
        }
        for batch in outcomes {
            let outcome = Outcome::Unknown {
                reason: "the connection broke".to_owned(),
            };
            self.at(
                1,
                Event::Outcome {
                    region,
                    life,
                    batch,
                    outcome,
                },
            );
        }
    }

    /// Sends a request to a region's node; `None` when it is not running.
    pub fn request(&mut self, region: usize, commands: Vec<Command>) -> Option<RequestId> {
        self.request_once(region, commands, None)
    }

    /// The same with an idempotency key.
    pub fn request_once(
        &mut self,
        region: usize,
        commands: Vec<Command>,
        idempotency_key: Option<Vec<u8>>,
    ) -> Option<RequestId> {
        let r = self.regions.get_mut(region)?;
        r.shard.as_ref()?;
        r.next_request += 1;
        let id = RequestId(r.next_request);
        let request = Request::new(commands, idempotency_key);
        self.give(region, Input::Request { id, request });
        Some(id)
    }

    /// Tells a region's node that another region is gone for good; `None` when it is not running.
    pub fn forget(&mut self, region: usize, gone: usize) -> Option<RequestId> {
        let gone = self.region_id(gone);
        let r = self.regions.get_mut(region)?;
        r.shard.as_ref()?;
        r.next_request += 1;
        let id = RequestId(r.next_request);
        let order = Admin::Forget { region: gone, id };
        self.give(region, Input::Admin(order));
        Some(id)
    }

    /// Orders a region's node to rebuild a view.
    pub fn repair(&mut self, region: usize, key: &[u8]) {
        let key = key.to_vec();
        self.give(region, Input::Admin(Admin::Repair { key }));
    }
}
