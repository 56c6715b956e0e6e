//! Links: dialling, greeting, and bytes on their way.

use super::*;

impl World {
    /// Cuts or heals the link from one region to another.
    pub fn set_link(&mut self, from: usize, to: usize, up: bool) {
        if let Some(link) = self.links.get_mut(&(from, to)) {
            link.up = up;
        }
        if up {
            self.at(1, Event::Dial { from, to });
        } else {
            self.hang_up(from, to);
        }
    }

    /// Heals every link.
    pub fn heal(&mut self) {
        let down: Vec<_> = self
            .links
            .iter()
            .filter(|(_, l)| !l.up)
            .map(|(pair, _)| *pair)
            .collect();
        for (from, to) in down {
            self.set_link(from, to, true);
        }
    }

    pub(super) fn hang_up(&mut self, from: usize, to: usize) {
        let Some(link) = self.links.get_mut(&(from, to)) else {
            return;
        };
        link.epoch += 1;
        if !std::mem::take(&mut link.connected) {
            return;
        }
        let (a, b) = (self.region_id(from), self.region_id(to));
        self.give(
            from,
            Input::Disconnected {
                peer: b,
                direction: Direction::Out,
            },
        );
        self.give(
            to,
            Input::Disconnected {
                peer: a,
                direction: Direction::In,
            },
        );
        self.at(100, Event::Dial { from, to });
    }

    pub(super) fn send(&mut self, from: usize, peer: RegionId, message: &Message) {
        let Some(to) = self.index_of(peer) else { return };
        if let Message::Heartbeat { report } = message {
            self.reported(from, report);
        }
        if let Ok(bytes) = message.to_bytes() {
            let loose = matches!(message, Message::Entries { .. } | Message::Heartbeat { .. });
            self.transmit(from, to, bytes, false, loose);
        }
    }

    pub(super) fn send_back(&mut self, region: usize, peer: RegionId, message: &BackMessage) {
        let Some(dialler) = self.index_of(peer) else {
            return;
        };
        if let BackMessage::Ack { report } = message {
            self.reported(region, report);
        }
        if let Ok(bytes) = message.to_bytes() {
            let loose = matches!(message, BackMessage::Ack { .. });
            self.transmit(dialler, region, bytes, true, loose);
        }
    }

    /// Puts bytes on a connection. Those of `loose` messages may be repeated and overtaken.
    fn transmit(&mut self, from: usize, to: usize, bytes: Vec<u8>, back: bool, loose: bool) {
        let now = self.now_ms;
        let Some(link) = self.links.get_mut(&(from, to)) else {
            return;
        };
        if !link.connected {
            return;
        }
        if let Some(sent) = &mut self.sent {
            sent.push(bytes.clone());
        }
        self.traffic.messages += 1;
        self.traffic.bytes += bytes.len() as u64;
        let mut delay = link.latency_ms;
        if link.jitter_ms > 0 {
            delay += self.chance.below(link.jitter_ms);
        }
        let mut again_ms = 25;
        while link.loss > 0 && self.chance.below(1_000) < link.loss {
            self.traffic.lost += 1;
            delay += again_ms;
            again_ms *= 2;
            if again_ms > 200 {
                let epoch = link.epoch;
                self.traffic.broken += 1;
                return self.at(delay, Event::Break { from, to, epoch });
            }
        }
        let disorder = loose && link.disorder > 0 && self.chance.below(1_000) < link.disorder;
        let [forth_slot, back_slot] = &mut link.arrives;
        let slot = if back { back_slot } else { forth_slot };
        let mut arrives = (now + delay).max(*slot);
        *slot = arrives;
        let epoch = link.epoch;
        let message = |bytes| Event::Message {
            from,
            to,
            epoch,
            bytes,
            back,
        };
        if disorder {
            let late_ms = 1 + self.chance.below(80);
            if self.chance.one_in(2) {
                self.traffic.repeated += 1;
                self.at(arrives - now + late_ms, message(bytes.clone()));
            } else {
                self.traffic.overtaken += 1;
                arrives += late_ms;
            }
        }
        self.at(arrives - now, message(bytes));
    }

    /// Every link is as fast and faithful as at the beginning.
    pub fn calm(&mut self) {
        for link in self.links.values_mut() {
            link.latency_ms = self.setup.latency_ms;
            [link.jitter_ms, link.loss, link.disorder] = [0; 3];
        }
    }

    /// A connection breaks, with all that is on its way.
    pub fn break_link(&mut self, from: usize, to: usize) {
        self.hang_up(from, to);
    }

    pub(super) fn dial(&mut self, from: usize, to: usize) {
        let now = self.now(from);
        let ready = self
            .regions
            .get(from)
            .and_then(|r| r.shard.as_ref())
            .is_some_and(Shard::is_claimed);
        let Some(link) = self.links.get(&(from, to)) else {
            return;
        };
        if link.connected || self.regions.get(from).is_none_or(|r| r.shard.is_none()) {
            return;
        }
        if !link.up || !ready {
            return self.at(100, Event::Dial { from, to });
        }
        let (latency, epoch) = (link.latency_ms, link.epoch);
        let Some(hello) = self
            .regions
            .get(from)
            .and_then(|r| r.shard.as_ref())
            .map(|s| s.greeting(now))
        else {
            return;
        };
        let life = self.regions.get(from).map_or(0, |r| r.life);
        self.at(
            latency,
            Event::Greet {
                from,
                to,
                epoch,
                hello: Box::new(hello),
                life,
            },
        );
    }

    pub(super) fn greet(&mut self, from: usize, to: usize, epoch: u64, hello: Box<Hello>, life: u64) {
        let now = self.now(to);
        let current = self
            .links
            .get(&(from, to))
            .is_some_and(|l| l.epoch == epoch && l.up && !l.connected);
        if self.regions.get(from).is_none_or(|r| r.life != life) {
            return;
        }
        if !current {
            return self.at(100, Event::Dial { from, to });
        }
        let admitted = match self.regions.get(to).and_then(|r| r.shard.as_ref()) {
            Some(shard) if shard.is_claimed() => shard.admit(&hello, now).ok(),
            Some(_) | None => None,
        };
        let Some(ours) = admitted else {
            return self.at(100, Event::Dial { from, to });
        };
        let latency = match self.links.get_mut(&(from, to)) {
            Some(link) => {
                link.connected = true;
                link.arrives = [0, 0];
                link.latency_ms
            }
            None => return,
        };
        // What the listener sends back arrives after the welcome.
        if let Some(link) = self.links.get_mut(&(from, to)) {
            link.arrives = [0, self.now_ms + latency];
        }
        self.at(
            latency,
            Event::Welcome {
                from,
                to,
                epoch,
                hello: Box::new(ours),
            },
        );
        let peer = self.region_id(from);
        self.give(to, Input::Accepted { peer, hello });
    }
}
