//! What clients do while things break: a seeded mix over objects that all regions share.
//!
//! Objects are shared by all regions, so that concurrent writes to the same key happen all the time, and are left for new
//! ones after a while, so that each has a history short enough to be judged exactly. Everything that is written is unique in
//! the run: a member is added once, a register's value written once. Changes of counters are large and sparse (up to 2^50),
//! so that the sum of a few of them is hardly ever the sum of others: one lost increment shows (`check::counters`).
//!
//! Half of the members are never removed by anybody; the others may be removed by a client that has seen them.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::doors::{Door, Reply};
use super::history::{Event, Instant, Object, Op, Outcome};
use crate::clock;

/// Objects of one kind that are in use at the same time.
const IN_USE: u32 = 4;
/// Writes to an object before another one takes its place.
const WRITES_EACH: u32 = 60;
/// Ledger lines of a cart.
const LEDGERS: u8 = 3;
/// Members that a client remembers, to remove one later.
const REMEMBERED_MAX: usize = 64;
/// Events that a run records at most: past it, clients stop. A bound on memory, days away at the usual rates.
const EVENTS_MAX: usize = 5_000_000;

/// Counts writes by kind; decides which object is written next.
#[derive(Debug, Default)]
pub(crate) struct Stock {
    sets: AtomicU32,
    rising: AtomicU32,
    counters: AtomicU32,
    registers: AtomicU32,
    carts: AtomicU32,
}

/// The object that the `n`th write of its kind goes to.
fn object_number(n: u32) -> u32 {
    n / (WRITES_EACH * IN_USE) * IN_USE + n % IN_USE
}

impl Stock {
    /// The next write of a kind (0 to 4) and the object that it goes to.
    fn next_write(&self, rng: &mut ChaCha8Rng, kind: u8) -> (Object, Op) {
        let next = |counter: &AtomicU32| counter.fetch_add(1, Ordering::Relaxed);
        match kind {
            0 => {
                let n = next(&self.sets);
                (Object::Set(object_number(n)), Op::Add(n))
            }
            1 => {
                let n = next(&self.rising);
                let by = rng.random_range(1..1_i64 << 50);
                (Object::Rising(object_number(n)), Op::Bump { sum: 0, by })
            }
            2 => {
                let n = next(&self.counters);
                let by = rng.random_range(1..1_i64 << 50);
                let by = if rng.random_bool(0.5) { by } else { -by };
                (Object::Counter(object_number(n)), Op::Bump { sum: 0, by })
            }
            3 => {
                let n = next(&self.registers);
                (Object::Register(object_number(n)), Op::Write(u64::from(n)))
            }
            _ => {
                let n = next(&self.carts);
                let cart = Object::Cart(object_number(n));
                if rng.random_bool(0.5) {
                    return (cart, Op::Add(n));
                }
                let sum = rng.random_range(0..LEDGERS);
                let by = rng.random_range(1..=1_000_000_000);
                (cart, Op::Bump { sum, by })
            }
        }
    }

    /// Some object that is in use, to read.
    fn some_object(&self, rng: &mut ChaCha8Rng) -> Object {
        let kind = rng.random_range(0..5_u8);
        let (counter, make): (&AtomicU32, fn(u32) -> Object) = match kind {
            0 => (&self.sets, Object::Set),
            1 => (&self.rising, Object::Rising),
            2 => (&self.counters, Object::Counter),
            3 => (&self.registers, Object::Register),
            _ => (&self.carts, Object::Cart),
        };
        let newest = counter.load(Ordering::Relaxed);
        make(object_number(
            newest.saturating_sub(rng.random_range(0..IN_USE * 2)),
        ))
    }
}

/// Collects events.
#[derive(Debug, Default)]
pub(crate) struct Recorder {
    events: Mutex<Vec<Event>>,
}

impl Recorder {
    /// Numbers and keeps an event; `None` when there is no more room.
    fn record(&self, mut event: Event) -> Option<u32> {
        let mut events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        if events.len() >= EVENTS_MAX {
            return None;
        }
        event.id = u32::try_from(events.len()).unwrap_or(u32::MAX);
        let id = event.id;
        events.push(event);
        Some(id)
    }

    /// Ok, failed and unknown so far.
    pub(crate) fn counts(&self) -> [usize; 3] {
        let events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        let mut counts = [0; 3];
        for event in events.iter() {
            let slot = match event.outcome {
                Outcome::Ok(_) | Outcome::Removed(_) => 0,
                Outcome::Failed(_) => 1,
                Outcome::Unknown(_) => 2,
            };
            if let Some(count) = counts.get_mut(slot) {
                *count += 1;
            }
        }
        counts
    }

    /// Everything.
    pub(crate) fn take(&self) -> Vec<Event> {
        std::mem::take(&mut *self.events.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// What all clients share.
#[derive(Clone, Debug)]
pub(crate) struct Shared {
    /// When the run began.
    pub(crate) began: std::time::Instant,
    /// Each region's doors.
    pub(crate) doors: Arc<Vec<Vec<Box<dyn Door>>>>,
    /// Which objects are in use.
    pub(crate) stock: Arc<Stock>,
    /// Where events go.
    pub(crate) recorder: Arc<Recorder>,
    /// Cancelled when clients shall stop.
    pub(crate) stop: CancellationToken,
}

impl Shared {
    /// Microseconds since the run began.
    pub(crate) fn now(&self) -> Instant {
        u64::try_from(clock::now().saturating_duration_since(self.began).as_micros()).unwrap_or(u64::MAX)
    }
}

/// One client.
#[derive(Debug)]
pub(crate) struct Client {
    /// Its number.
    pub(crate) session: u32,
    /// Where it lives.
    pub(crate) region: usize,
    /// Whether it travels: writes in one region and reads in another, with the session token.
    pub(crate) travels: bool,
    /// Time between two of its operations.
    pub(crate) every: Duration,
    shared: Shared,
    rng: ChaCha8Rng,
    remembered: VecDeque<(Object, u32)>,
}

impl Client {
    /// A client whose choices follow from the run's seed and its number.
    pub(crate) fn new(
        shared: Shared,
        seed: u64,
        session: u32,
        region: usize,
        travels: bool,
        every: Duration,
    ) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(u64::from(session) + 1);
        Self {
            session,
            region,
            travels,
            every,
            shared,
            rng,
            remembered: VecDeque::new(),
        }
    }

    /// Works until told to stop. A slow answer delays what follows; nothing is caught up.
    pub(crate) async fn work(mut self) {
        let first = self.every.mul_f64(self.rng.random_range(0.0..1.0));
        let mut due = clock::now() + first;
        while !self.shared.stop.is_cancelled() {
            tokio::select! {
                () = tokio::time::sleep_until(due.into()) => {}
                () = self.shared.stop.cancelled() => return,
            }
            let goes_on = if self.travels {
                self.travel().await
            } else {
                self.act().await
            };
            if !goes_on {
                return;
            }
            due = (due + self.every).max(clock::now());
        }
    }

    /// One operation at home.
    async fn act(&mut self) -> bool {
        let choice = self.rng.random_range(0..100);
        let (object, op) = if choice < 40 {
            (self.shared.stock.some_object(&mut self.rng), Op::Read)
        } else if choice < 50 && !self.remembered.is_empty() {
            let at = self.rng.random_range(0..self.remembered.len());
            match self.remembered.remove(at) {
                Some((object, member)) => (object, Op::Remove(member)),
                None => return true,
            }
        } else {
            let kind = self.rng.random_range(0..5);
            self.shared.stock.next_write(&mut self.rng, kind)
        };
        let Some((_, reply)) = self.perform(self.region, object, op, None).await else {
            return false;
        };
        self.remember(object, op, &reply.outcome);
        true
    }

    /// A write somewhere, and a read elsewhere that presents its token.
    async fn travel(&mut self) -> bool {
        let places: Vec<usize> = (0..self.shared.doors.len()).collect();
        let Some(&from) = places.choose(&mut self.rng) else {
            return false;
        };
        let others: Vec<usize> = places.into_iter().filter(|to| *to != from).collect();
        let Some(&to) = others.choose(&mut self.rng) else {
            return false;
        };
        let kind = self.rng.random_range(0..5);
        let (object, op) = self.shared.stock.next_write(&mut self.rng, kind);
        let Some((id, reply)) = self.perform(from, object, op, None).await else {
            return false;
        };
        let (true, Some(token)) = (reply.outcome.is_ok(), reply.token) else {
            return true;
        };
        self.perform(to, object, Op::Read, Some((id, &token)))
            .await
            .is_some()
    }

    /// Does one thing and records it; `None` when there is no room for more.
    async fn perform(
        &self,
        region: usize,
        object: Object,
        op: Op,
        token: Option<(u32, &str)>,
    ) -> Option<(u32, Reply)> {
        let doors = self.shared.doors.get(region)?;
        let door = doors.iter().find(|door| door.takes(object))?;
        let start = self.shared.now();
        let reply = door.perform(object, op, token.map(|(_, token)| token)).await;
        let id = self.shared.recorder.record(Event {
            id: 0,
            session: self.session,
            region,
            door: door.word(),
            object,
            op,
            after: token.map(|(id, _)| id),
            start,
            end: self.shared.now(),
            outcome: reply.outcome.clone(),
        })?;
        if !reply.outcome.is_ok() {
            // A region that is down answers at once: not a reason to ask it a thousand times a second.
            sleep(Duration::from_millis(20)).await;
        }
        Some((id, reply))
    }

    /// Keeps members that may be removed.
    fn remember(&mut self, object: Object, op: Op, outcome: &Outcome) {
        let Outcome::Ok(view) = outcome else { return };
        let own = match op {
            Op::Add(member) => Some(member),
            Op::Remove(_) | Op::Bump { .. } | Op::Write(_) | Op::Read => None,
        };
        let shown = view.iter().flat_map(|view| view.members.iter().copied());
        let known: Vec<u32> = own
            .into_iter()
            .chain(shown)
            .filter(|m| may_be_removed(*m))
            .collect();
        if let Some(member) = known.choose(&mut self.rng)
            && !self.remembered.contains(&(object, *member))
        {
            self.remembered.push_back((object, *member));
            if self.remembered.len() > REMEMBERED_MAX {
                self.remembered.pop_front();
            }
        }
    }
}

/// Half of the members stay: an add that nobody ever removes proves the most.
fn may_be_removed(member: u32) -> bool {
    (member / IN_USE) % 2 == 1
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn objects_are_shared_for_a_while_and_then_left() {
        let mut writes: BTreeMap<u32, u32> = BTreeMap::new();
        for n in 0..WRITES_EACH * IN_USE * 3 {
            *writes.entry(object_number(n)).or_default() += 1;
        }
        assert_eq!(writes.len(), 12);
        assert!(writes.values().all(|count| *count == WRITES_EACH));
    }

    #[test]
    fn a_seed_and_a_number_decide_a_clients_choices() {
        let choices = |seed, stream| {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            rng.set_stream(stream);
            let stock = Stock::default();
            (0..50)
                .map(|n| stock.next_write(&mut rng, n % 5))
                .collect::<Vec<_>>()
        };
        assert_eq!(choices(1, 1), choices(1, 1));
        assert_ne!(choices(1, 1), choices(1, 2));
        assert_ne!(choices(1, 1), choices(2, 1));
    }

    #[test]
    fn what_is_written_is_unique_and_half_of_the_members_stay() {
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let stock = Stock::default();
        let mut seen = std::collections::BTreeSet::new();
        let mut staying = 0;
        for _ in 0..400 {
            let (object, op) = stock.next_write(&mut rng, 0);
            let Op::Add(member) = op else { panic!("{op:?}") };
            assert!(seen.insert((object, member)));
            staying += u32::from(!may_be_removed(member));
        }
        assert_eq!(staying, 200);
    }
}
