//! Replies in the order of their commands, whoever has them first.
//!
//! Each command that is taken gets a slot. The reader of Redis's replies and the shard's task fill slots from their own
//! threads; what stands ready at the front is written to the socket by the flusher of the connection's worker thread:
//! one write a client and wake-up, however many of its commands were answered together.
//!
//! Slots also keep the order of *effects*: reads go to Redis, writes to the shard, side by side. A command waits until
//! nothing is under way that it could overtake: a read for this client's writes of the same keys, a write for its
//! reads of them ([`Outbox::must_wait`]). So a client sees its own writes, and never its own future.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use cartograph_engine::api::{Done, RequestError};
use cartograph_resp::table::CommandInfo;
use cartograph_resp::{Protocol, Value};
use tokio::sync::Notify;

use super::clients::Client;
use super::commands::Shape;
use super::errors;
use super::stats::Stats;
use super::transaction::Plan;
use super::transport::Transport;
use crate::clock;

/// Written to a socket at once, at most about.
const WRITE_BYTES: usize = 1 << 20;

/// Commands of one client that may be unanswered; more are read when some are.
const UNANSWERED_MAX: usize = 4_096;

/// What a command does to the keys it names, as far as its order among others matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// Neither reads nor writes keys.
    Free,
    /// Goes to Redis.
    Read,
    /// Goes to the shard.
    Write,
}

/// Hashes of the keys that a command names; `None`: it may touch any.
pub(super) type Keys = Option<Vec<u64>>;

/// What is to become of a shard's result.
pub(super) enum Form {
    /// One command's reply.
    One(Shape),
    /// A transaction's.
    Transaction(Plan),
}

/// What a slot's answer will be made of.
enum Answer {
    /// Still to come; a shard's result is shown in this form.
    Waiting(Option<Form>),
    /// Redis's own bytes.
    Frames(Bytes),
    /// A value of the node's own.
    Encoded(BytesMut),
    /// A shard's result.
    Done(Result<Done, RequestError>, Form),
}

struct Slot {
    answer: Answer,
    info: Option<&'static CommandInfo>,
    /// The commands that follow in the same slot: reads that went to Redis together.
    more: Vec<&'static CommandInfo>,
    started: Duration,
    order: Order,
    keys: Keys,
    protocol: Protocol,
    /// CLIENT REPLY OFF or SKIP.
    silent: bool,
    failed: bool,
}

#[derive(Default)]
struct Counted {
    all: u32,
    any_key: u32,
    keys: HashMap<u64, u32>,
}

impl Counted {
    fn add(&mut self, keys: &Keys) {
        self.all += 1;
        match keys {
            None => self.any_key += 1,
            Some(keys) => {
                for key in keys {
                    *self.keys.entry(*key).or_default() += 1;
                }
            }
        }
    }

    fn remove(&mut self, keys: &Keys) {
        self.all = self.all.saturating_sub(1);
        match keys {
            None => self.any_key = self.any_key.saturating_sub(1),
            Some(keys) => {
                for key in keys {
                    if let Some(count) = self.keys.get_mut(key) {
                        *count -= 1;
                        if *count == 0 {
                            self.keys.remove(key);
                        }
                    }
                }
            }
        }
    }

    fn meets(&self, keys: &Keys) -> bool {
        match keys {
            _ if self.all == 0 => false,
            _ if self.any_key > 0 => true,
            None => true,
            Some(keys) => keys.iter().any(|key| self.keys.contains_key(key)),
        }
    }
}

#[derive(Default)]
#[expect(clippy::struct_excessive_bools, reason = "each says one thing of the socket")]
struct Inner {
    slots: VecDeque<Slot>,
    /// The number of the slot at the front.
    first: u64,
    ready: BytesMut,
    /// In the flusher's list already.
    queued: bool,
    /// The socket took no more: the connection's task waits for it.
    blocked: bool,
    gone: bool,
    overflow: bool,
    reads: Counted,
    writes: Counted,
}

/// One connection's replies.
pub(super) struct Outbox {
    inner: Mutex<Inner>,
    transport: Transport,
    flusher: Arc<Flusher>,
    stats: Arc<Stats>,
    pub(super) client: Arc<Client>,
    /// Something changed that the connection's task may wait for.
    pub(super) changed: Notify,
    bytes_max: usize,
}

/// Connections of one worker thread that have something to write.
#[derive(Default)]
pub(super) struct Flusher {
    list: Mutex<Vec<Arc<Outbox>>>,
    wake: Notify,
}

impl Flusher {
    fn push(&self, outbox: Arc<Outbox>) {
        let mut list = self.list.lock().unwrap_or_else(PoisonError::into_inner);
        list.push(outbox);
        if list.len() == 1 {
            drop(list);
            self.wake.notify_one();
        }
    }

    /// Writes what is ready, until the worker ends.
    pub(super) async fn run(&self) {
        loop {
            self.wake.notified().await;
            // Whoever fills slots in this turn of the loop fills them before we write.
            tokio::task::yield_now().await;
            self.flush();
        }
    }

    /// Writes what is ready.
    pub(super) fn flush(&self) {
        let list = std::mem::take(&mut *self.list.lock().unwrap_or_else(PoisonError::into_inner));
        for outbox in list {
            outbox.flush();
        }
    }
}

impl Outbox {
    pub(super) fn new(
        transport: Transport,
        flusher: Arc<Flusher>,
        stats: Arc<Stats>,
        client: Arc<Client>,
        bytes_max: usize,
    ) -> Arc<Outbox> {
        Arc::new(Outbox {
            inner: Mutex::default(),
            transport,
            flusher,
            stats,
            client,
            changed: Notify::new(),
            bytes_max,
        })
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn transport(&self) -> &Transport {
        &self.transport
    }

    /// Takes the next slot.
    pub(super) fn take(&self, slot: Taken) -> u64 {
        let mut inner = self.lock();
        match slot.order {
            Order::Free => {}
            Order::Read => inner.reads.add(&slot.keys),
            Order::Write => inner.writes.add(&slot.keys),
        }
        inner.slots.push_back(Slot {
            answer: Answer::Waiting(slot.form),
            info: slot.info,
            more: Vec::new(),
            started: slot.started,
            order: slot.order,
            keys: slot.keys,
            protocol: slot.protocol,
            silent: slot.silent,
            failed: false,
        });
        inner.first + inner.slots.len() as u64 - 1
    }

    /// One more read for the slot that was taken last, if that is this one and still open. Tells whether it was.
    pub(super) fn extend(&self, slot: u64, info: &'static CommandInfo, keys: &Keys) -> bool {
        let mut inner = self.lock();
        if slot + 1 != inner.first + inner.slots.len() as u64 {
            return false;
        }
        let Inner { slots, reads, .. } = &mut *inner;
        let Some(last) = slots.back_mut() else {
            return false;
        };
        // Each counts as one read of these keys; they are answered together.
        match (&mut last.keys, keys) {
            (Some(all), Some(keys)) => {
                for key in keys {
                    *reads.keys.entry(*key).or_default() += 1;
                }
                all.extend_from_slice(keys);
            }
            (Some(_), None) => {
                let known = last.keys.take();
                reads.remove(&known);
                reads.add(&None);
            }
            (None, _) => {}
        }
        last.more.push(info);
        true
    }

    /// Could a command of this kind overtake one that is under way?
    pub(super) fn must_wait(&self, order: Order, keys: &Keys) -> bool {
        let inner = self.lock();
        match order {
            Order::Free => false,
            Order::Read => inner.writes.meets(keys),
            Order::Write => inner.reads.meets(keys),
        }
    }

    /// Are as many commands unanswered, or as many bytes unfetched, as one client may have before more is read?
    pub(super) fn is_full(&self) -> bool {
        let inner = self.lock();
        inner.slots.len() >= UNANSWERED_MAX || inner.ready.len() >= WRITE_BYTES
    }

    /// Is every command answered?
    pub(super) fn is_idle(&self) -> bool {
        self.lock().slots.is_empty()
    }

    pub(super) fn is_gone(&self) -> bool {
        self.lock().gone
    }

    /// Did the client not fetch its replies?
    pub(super) fn has_overflowed(&self) -> bool {
        self.lock().overflow
    }

    /// Is everything written?
    pub(super) fn is_flushed(&self) -> bool {
        let inner = self.lock();
        inner.gone || (inner.slots.is_empty() && inner.ready.is_empty())
    }

    /// Does the socket take no more for now?
    pub(super) fn is_blocked(&self) -> bool {
        let inner = self.lock();
        inner.blocked && !inner.gone
    }

    /// Answers with a value of the node's own.
    pub(super) fn fill_value(self: &Arc<Self>, slot: u64, value: &Value) {
        self.fill(slot, |slot| {
            let mut bytes = BytesMut::new();
            value.encode(slot.protocol, &mut bytes);
            slot.failed = matches!(value, Value::Error(_));
            Answer::Encoded(bytes)
        });
    }

    /// Answers all commands of a slot with this value.
    pub(super) fn fill_all(self: &Arc<Self>, slot: u64, value: &Value) {
        self.fill(slot, |slot| {
            let mut bytes = BytesMut::new();
            for _ in 0..=slot.more.len() {
                value.encode(slot.protocol, &mut bytes);
            }
            slot.failed = matches!(value, Value::Error(_));
            Answer::Encoded(bytes)
        });
    }

    /// Answers with Redis's own replies, one for each command of the slot.
    pub(super) fn fill_frames(self: &Arc<Self>, slot: u64, frames: Bytes) {
        self.fill(slot, |slot| {
            slot.failed = slot.more.is_empty() && frames.first() == Some(&b'-');
            Answer::Frames(frames)
        });
    }

    /// Answers with what the shard said.
    pub(super) fn fill_done(self: &Arc<Self>, slot: u64, result: Result<Done, RequestError>) {
        self.fill(slot, |slot| {
            match std::mem::replace(&mut slot.answer, Answer::Waiting(None)) {
                Answer::Waiting(Some(form)) => Answer::Done(result, form),
                other @ (Answer::Waiting(None)
                | Answer::Frames(_)
                | Answer::Encoded(_)
                | Answer::Done(..)) => other,
            }
        });
    }

    /// Sends something that answers no command (a message that was subscribed to), after what was answered so far.
    pub(super) fn push(self: &Arc<Self>, frame: &[u8]) {
        let mut inner = self.lock();
        inner.ready.extend_from_slice(frame);
        self.schedule(inner);
    }

    fn fill(self: &Arc<Self>, number: u64, answer: impl FnOnce(&mut Slot) -> Answer) {
        let mut inner = self.lock();
        let Some(index) = number
            .checked_sub(inner.first)
            .and_then(|i| usize::try_from(i).ok())
        else {
            return; // Answered already: it was late.
        };
        let Some(slot) = inner.slots.get_mut(index) else {
            return;
        };
        if !matches!(slot.answer, Answer::Waiting(_)) {
            return;
        }
        slot.answer = answer(slot);
        let (order, keys) = (slot.order, std::mem::take(&mut slot.keys));
        slot.order = Order::Free;
        let waits = match order {
            Order::Free => false,
            Order::Read => {
                inner.reads.remove(&keys);
                true
            }
            Order::Write => {
                inner.writes.remove(&keys);
                true
            }
        };
        if index == 0 {
            self.schedule(inner);
        } else {
            drop(inner);
        }
        if waits {
            self.changed.notify_one();
        }
    }

    fn schedule(self: &Arc<Self>, mut inner: MutexGuard<'_, Inner>) {
        if !inner.queued && !inner.gone {
            inner.queued = true;
            drop(inner);
            self.flusher.push(Arc::clone(self));
        }
    }

    /// Writes what is ready at the front.
    pub(super) fn flush(&self) {
        let mut inner = self.lock();
        inner.queued = false;
        if inner.gone {
            inner.slots.clear();
            inner.ready.clear();
            drop(inner);
            self.changed.notify_one();
            return;
        }
        let now = clock::elapsed();
        loop {
            while inner.ready.len() < WRITE_BYTES {
                if !self.show_front(&mut inner, now) {
                    break;
                }
            }
            if inner.ready.is_empty() {
                break;
            }
            let before = inner.ready.len();
            let Inner { ready, .. } = &mut *inner;
            let written = self.transport.try_write(ready);
            let sent = (before - inner.ready.len()) as u64;
            self.client.bytes_out.fetch_add(sent, Ordering::Relaxed);
            self.stats.bytes_out.fetch_add(sent, Ordering::Relaxed);
            match written {
                Ok(true) => inner.blocked = false,
                Ok(false) => {
                    inner.blocked = true;
                    break;
                }
                Err(_) => {
                    inner.gone = true;
                    break;
                }
            }
        }
        if inner.blocked {
            // What waits behind it is counted, so that a client that fetches nothing is let go.
            while self.show_front(&mut inner, now) {}
        }
        inner.overflow |= inner.ready.len() > self.bytes_max;
        self.client
            .output_bytes
            .store(inner.ready.len(), Ordering::Relaxed);
        if inner.ready.is_empty() && inner.ready.capacity() > WRITE_BYTES {
            inner.ready = BytesMut::new();
        }
        drop(inner);
        self.changed.notify_one();
    }

    /// Shows the slot at the front, if it is answered.
    fn show_front(&self, inner: &mut Inner, now: Duration) -> bool {
        if inner
            .slots
            .front()
            .is_none_or(|s| matches!(s.answer, Answer::Waiting(_)))
        {
            return false;
        }
        let Some(slot) = inner.slots.pop_front() else {
            return false;
        };
        inner.first += 1;
        let before = inner.ready.len();
        let mut failed = slot.failed;
        match slot.answer {
            Answer::Waiting(_) => {}
            Answer::Encoded(bytes) => inner.ready.extend_from_slice(&bytes),
            Answer::Frames(frames) => inner.ready.extend_from_slice(&frames),
            Answer::Done(result, form) => {
                let value = errors::shown(result, form, slot.protocol);
                failed = matches!(value, Value::Error(_));
                value.encode(slot.protocol, &mut inner.ready);
            }
        }
        if failed && let Some(reply) = inner.ready.get(before..) {
            self.stats.error_reply(reply);
        }
        if slot.silent {
            inner.ready.truncate(before);
        }
        let took = now.saturating_sub(slot.started);
        for info in slot.info.iter().chain(&slot.more) {
            self.stats.ran(info, took, failed);
        }
        if self.stats.slowlog.is_slow(took)
            && let Some(info) = slot.info
        {
            self.note_slow(info, slot.more.len(), took);
        }
        true
    }

    /// For SLOWLOG: the name alone, since the arguments are gone by now.
    fn note_slow(&self, info: &'static CommandInfo, more: usize, took: Duration) {
        // Waiting is what these are for.
        if info.flags.has(cartograph_resp::table::BLOCKING) {
            return;
        }
        let name = self.client.said().name.clone();
        self.stats
            .slowlog
            .note(took, info.name, more, self.client.address, &name);
    }

    /// Answers what is overdue.
    pub(super) fn expire(self: &Arc<Self>, now: Duration, limit: Duration) {
        let late: Vec<(u64, bool)> = {
            let inner = self.lock();
            let overdue = |s: &Slot| {
                matches!(s.answer, Answer::Waiting(_))
                    && s.order != Order::Free
                    && now.saturating_sub(s.started) > limit
            };
            let numbered = (inner.first..).zip(&inner.slots);
            numbered
                .filter(|(_, s)| overdue(s))
                .map(|(n, s)| (n, s.order == Order::Write))
                .collect()
        };
        for (slot, write) in late {
            self.fill_all(slot, &errors::late(write, limit));
        }
    }

    /// Nobody reads any more.
    pub(super) fn close(&self) {
        let mut inner = self.lock();
        inner.gone = true;
        inner.slots.clear();
        inner.ready = BytesMut::new();
    }
}

/// A slot to be taken.
pub(super) struct Taken {
    pub(super) info: Option<&'static CommandInfo>,
    pub(super) started: Duration,
    pub(super) order: Order,
    pub(super) keys: Keys,
    pub(super) protocol: Protocol,
    pub(super) silent: bool,
    pub(super) form: Option<Form>,
}
