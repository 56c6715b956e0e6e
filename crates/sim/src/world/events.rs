//! What happens in the world, event by event.

use super::*;

#[derive(Debug)]
pub(super) enum Event {
    Commit {
        region: usize,
        life: u64,
    },
    Outcome {
        region: usize,
        life: u64,
        batch: cartograph_replica::BatchId,
        outcome: Outcome,
    },
    Load {
        region: usize,
        life: u64,
        id: LoadId,
        load: Load,
    },
    Claim {
        region: usize,
        life: u64,
    },
    Dial {
        from: usize,
        to: usize,
    },
    Greet {
        from: usize,
        to: usize,
        epoch: u64,
        hello: Box<Hello>,
        life: u64,
    },
    Welcome {
        from: usize,
        to: usize,
        epoch: u64,
        hello: Box<Hello>,
    },
    Message {
        from: usize,
        to: usize,
        epoch: u64,
        bytes: Vec<u8>,
        back: bool,
    },
    Break {
        from: usize,
        to: usize,
        epoch: u64,
    },
    Tick {
        region: usize,
        life: u64,
    },
    Wake {
        region: usize,
        life: u64,
    },
}

impl World {
    pub(super) fn give(&mut self, region: usize, input: Input) {
        let now = self.now(region);
        if self.now_ms >= self.trace_from_ms && !matches!(input, Input::Tick) {
            eprintln!("{} r{region} <- {input:?}", self.now_ms);
        }
        let mut out = Vec::new();
        if let Some(shard) = self.regions.get_mut(region).and_then(|r| r.shard.as_mut()) {
            shard.handle(input, now, &mut out);
        }
        self.perform(region, out);
    }

    pub(super) fn perform(&mut self, region: usize, out: Vec<Output>) {
        let life = self.regions.get(region).map_or(0, |r| r.life);
        for output in out {
            if self.now_ms >= self.trace_from_ms {
                eprintln!("{} r{region} {output:?}", self.now_ms);
            }
            if let Some(trace) = &mut self.trace {
                trace.push(format!("{} r{region} {output:?}", self.now_ms));
            }
            match output {
                Output::Load { id, load } => self.at(
                    STORE_MS,
                    Event::Load {
                        region,
                        life,
                        id,
                        load,
                    },
                ),
                Output::Commit(commit) => {
                    if let Some(r) = self.regions.get_mut(region) {
                        r.commits.push_back((life, commit));
                    }
                    self.at(STORE_MS, Event::Commit { region, life });
                }
                Output::Claim => self.at(5, Event::Claim { region, life }),
                Output::Reply { id, result } => {
                    if let Ok(done) = &result {
                        self.told(region, done);
                    }
                    if let Some(r) = self.regions.get_mut(region) {
                        r.answers.insert(id, result);
                    }
                }
                Output::Inspected { .. } => {}
                Output::Members(members) => {
                    let others = members.into_iter().filter_map(|id| self.index_of(id));
                    for to in others.filter(|to| *to != region).collect::<Vec<_>>() {
                        self.at(1, Event::Dial { from: region, to });
                    }
                }
                Output::Send { peer, message } => self.send(region, peer, &message),
                Output::Back { peer, message } => self.send_back(region, peer, &message),
                Output::Close {
                    peer,
                    direction,
                    reason,
                } => {
                    if let Some(trace) = &mut self.trace {
                        trace.push(format!("{} r{region} closes {peer}: {reason}", self.now_ms));
                    }
                    if let Some(other) = self.index_of(peer) {
                        match direction {
                            Direction::Out => self.hang_up(region, other),
                            Direction::In => self.hang_up(other, region),
                        }
                    }
                }
                Output::Halt { reason } => {
                    if let Some(r) = self.regions.get_mut(region) {
                        r.halted = Some(reason);
                    }
                }
                Output::Wake { at_ms } => {
                    let in_ms = at_ms.saturating_sub(self.now_ms);
                    self.at(in_ms, Event::Wake { region, life });
                }
                Output::Event(event) => {
                    if let Some(r) = self.regions.get_mut(region) {
                        r.events.push(event);
                    }
                }
            }
        }
    }

    pub(super) fn happen(&mut self, event: Event) {
        match event {
            Event::Commit { region, life } => self.commit(region, life),
            Event::Outcome {
                region,
                life,
                batch,
                outcome,
            } => {
                if self.regions.get(region).is_some_and(|r| r.life == life) {
                    self.give(region, Input::Committed { batch, outcome });
                }
            }
            Event::Load {
                region,
                life,
                id,
                load,
            } => {
                let Some(r) = self.regions.get(region).filter(|r| r.life == life) else {
                    return;
                };
                let result = if r.store_up {
                    r.store.load(ShardId(0), &load).map_err(|e| e.to_string())
                } else {
                    Err("the store is down".to_owned())
                };
                self.give(region, Input::Loaded { id, result });
            }
            Event::Claim { region, life } => self.claim(region, life),
            Event::Dial { from, to } => self.dial(from, to),
            Event::Greet {
                from,
                to,
                epoch,
                hello,
                life,
            } => self.greet(from, to, epoch, hello, life),
            Event::Welcome {
                from,
                to,
                epoch,
                hello,
            } => {
                let peer = self.region_id(to);
                if self
                    .links
                    .get(&(from, to))
                    .is_some_and(|l| l.epoch == epoch && l.connected)
                {
                    let welcome = Box::new(Welcome { hello: *hello });
                    self.give(from, Input::Connected { peer, welcome });
                }
            }
            Event::Message {
                from,
                to,
                epoch,
                bytes,
                back,
            } => {
                if self
                    .links
                    .get(&(from, to))
                    .is_none_or(|l| l.epoch != epoch || !l.connected)
                {
                    return;
                }
                if back {
                    let peer = self.region_id(to);
                    if let Ok(message) = BackMessage::from_bytes(&bytes) {
                        self.give(from, Input::Acked { peer, message });
                    }
                } else {
                    let peer = self.region_id(from);
                    if let Ok(message) = Message::from_bytes(&bytes) {
                        self.give(to, Input::Received { peer, message });
                    }
                }
            }
            Event::Break { from, to, epoch } => {
                if self.links.get(&(from, to)).is_some_and(|l| l.epoch == epoch) {
                    self.hang_up(from, to);
                }
            }
            Event::Tick { region, life } => {
                if self
                    .regions
                    .get(region)
                    .is_some_and(|r| r.life == life && r.shard.is_some())
                {
                    self.give(region, Input::Tick);
                    self.suspect(region);
                    self.look_back(region);
                    self.look_at_queues(region);
                    self.at(TICK_MS, Event::Tick { region, life });
                }
            }
            Event::Wake { region, life } => {
                if self
                    .regions
                    .get(region)
                    .is_some_and(|r| r.life == life && r.shard.is_some())
                {
                    self.give(region, Input::Tick);
                }
            }
        }
    }

    pub(super) fn commit(&mut self, region: usize, life: u64) {
        let Some(r) = self.regions.get_mut(region) else {
            return;
        };
        if r.commits.front().is_none_or(|(l, _)| *l != life) {
            return;
        }
        let Some((_, commit)) = r.commits.pop_front() else {
            return;
        };
        let batch = commit.batch;
        let outcome = if !r.store_up {
            Outcome::Unknown {
                reason: "the store is down".to_owned(),
            }
        } else if r.refusing && !commit.freeing {
            Outcome::Refused {
                reason: "OOM".to_owned(),
            }
        } else {
            self.record(region, &commit)
        };
        self.at(
            STORE_MS,
            Event::Outcome {
                region,
                life,
                batch,
                outcome,
            },
        );
    }

    pub(super) fn claim(&mut self, region: usize, life: u64) {
        let random = self.chance.bits16();
        let Some(r) = self.regions.get_mut(region).filter(|r| r.life == life) else {
            return;
        };
        if !r.store_up {
            return self.at(50, Event::Claim { region, life });
        }
        // A claim executes after everything sent before it on the same connection.
        let before: Vec<_> = r.commits.drain(..).collect();
        let mut outcomes = Vec::new();
        for (_, commit) in before {
            outcomes.push((commit.batch, self.record(region, &commit)));
        }
        let Some(r) = self.regions.get_mut(region) else {
            return;
        };
        if r.replaced {
            r.seen = None;
        }
        let claimed = r.store.claim(ShardId(0));
        for (batch, outcome) in outcomes {
            self.give(region, Input::Committed { batch, outcome });
        }
        // Until the claim is handed in, the node still speaks of the store before.
        if let Some(r) = self.regions.get_mut(region) {
            r.replaced = false;
        }
        match claimed {
            Ok(claim) => self.give(
                region,
                Input::Claimed {
                    claim: Box::new(claim),
                    random,
                },
            ),
            Err(_) => self.at(50, Event::Claim { region, life }),
        }
    }

    /// A node looks after its store's server now and then: an idle one notices, too, that it was replaced.
    pub(super) fn suspect(&mut self, region: usize) {
        let replaced = self.regions.get(region).is_some_and(|r| r.replaced);
        if replaced && self.now_ms % SUSPECT_MS < TICK_MS {
            self.give(region, Input::StoreSuspect);
        }
    }

    /// A region's vector never shrinks, unless its store was replaced.
    pub(super) fn look_back(&mut self, region: usize) {
        let Some(r) = self.regions.get_mut(region) else {
            return;
        };
        let Some(shard) = r.shard.as_ref().filter(|s| s.is_claimed()) else {
            return;
        };
        if r.replaced {
            return;
        }
        let vector = shard.vector();
        if let Some(seen) = &r.seen
            && !vector.dominates(seen)
        {
            let fault = format!(
                "{} region {region}: its vector went back from {seen} to {vector}",
                self.now_ms
            );
            self.faults.push(fault);
        }
        r.seen = Some(vector);
    }
}
