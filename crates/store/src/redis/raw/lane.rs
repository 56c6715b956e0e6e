//! A lane: one connection to Redis that many clients share.
//!
//! Who submits appends bytes to one buffer and a callback to one queue, under a short lock. A *flusher* task swaps the
//! buffer for an empty one and writes it in one go, after yielding once, so that everybody who is ready gets in. The
//! *lane's* task reads; for everything that one read brought it takes the lock once, then calls back. Replies are slices
//! of the read buffer: nothing is copied or decoded.
//!
//! INVARIANT: `waiting` is in the order of the bytes that were, and will be, sent, so the n-th reply belongs to the n-th
//! command. Each waiting submission's bytes are in `out` (not sent) or in one of `sent` (kept to be asked again).
//!
//! When the connection breaks, what was not sent stays; a read that was sent is asked once more; anything else that was
//! sent is unknown. If the server cannot be reached at once, everything fails, and everything that is submitted fails at
//! once, until it can be reached again. After a claim by the writer (see [`Dialer::epoch`]) the lane sends nothing more,
//! waits for the replies to what it sent, and goes to the server that the writer is on.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::{Bytes, BytesMut};
use cartograph_resp::{Delimiter, Protocol};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

use super::connect::{Dialer, Link, Reader, Writer};
use crate::backoff::Backoff;
use crate::raw::{AfterReplies, Callback, RawError, Repeat, Replies};

/// Room made in the read buffer before each read, at least and at most.
const READ_BYTES: (usize, usize) = (16 * 1024, 1024 * 1024);

/// How often within the time for a read it is seen whether anything arrived.
const STALL_TICKS: u32 = 4;

/// A shared connection. Cheap to clone; ends when the store does.
#[derive(Clone)]
pub struct RawLane {
    handle: Arc<Handle>,
}

/// Ends the lane when nobody can submit to it any more.
struct Handle(Arc<Lane>);

impl Drop for Handle {
    fn drop(&mut self) {
        self.0.closing.store(true, Ordering::Release);
        self.0.ended.notify_one();
    }
}

struct Lane {
    dialer: Arc<Dialer>,
    protocol: Protocol,
    queue: Mutex<Queue>,
    /// There is something to send.
    wake: Notify,
    closing: AtomicBool,
    ended: Notify,
}

#[derive(Default)]
struct Queue {
    state: State,
    waiting: VecDeque<Waiting>,
    /// What is to be sent.
    out: BytesMut,
    /// Where `out` begins in the stream of this connection.
    out_at: u64,
    /// What was sent and is not wholly answered, with its place in the stream.
    sent: VecDeque<(u64, Bytes)>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum State {
    /// The first attempt after a start or a break: who submits waits for it.
    #[default]
    Connecting,
    Up,
    /// Not reached; who submits is told at once.
    Down(String),
    /// Its task has ended, with its runtime.
    Closed,
}

struct Waiting {
    /// Where its bytes begin in the stream.
    at: u64,
    bytes: usize,
    commands: usize,
    repeat: Repeat,
    /// It is being asked a second time.
    again: bool,
    to: Callback,
}

/// Why a connection is not used any more.
enum End {
    /// Nobody needs it.
    Closed,
    /// The writer has claimed anew.
    Renew,
    /// It broke.
    Broken(String),
    /// Nothing came for too long. Asking again would only add to the server's work.
    Stalled,
}

impl RawLane {
    /// Starts one on the current runtime.
    pub(crate) fn start(dialer: Arc<Dialer>, protocol: Protocol, after: Option<AfterReplies>) -> Self {
        let lane = Arc::new(Lane {
            dialer,
            protocol,
            queue: Mutex::default(),
            wake: Notify::new(),
            closing: AtomicBool::new(false),
            ended: Notify::new(),
        });
        tokio::spawn(run(Running(Arc::clone(&lane)), after));
        RawLane {
            handle: Arc::new(Handle(lane)),
        }
    }

    /// Sends `commands` commands (at least 1), which are the whole of `request`; `to` is called with their replies.
    ///
    /// # Errors
    /// [`RawError::Unavailable`] while the server is down, [`RawError::Busy`] when too much waits. Nothing was sent, and
    /// `to` is not called.
    ///
    /// # Cost
    /// Copies `request`.
    pub fn submit(
        &self,
        request: &[u8],
        commands: usize,
        repeat: Repeat,
        to: Callback,
    ) -> Result<(), RawError> {
        let lane = &self.handle.0;
        let refused = |error| {
            lane.dialer.counts.refused.fetch_add(1, Ordering::Relaxed);
            Err(error)
        };
        let mut queue = lane.queue();
        match &queue.state {
            State::Connecting | State::Up => {}
            State::Down(reason) => return refused(lane.dialer.unavailable(reason)),
            State::Closed => return refused(lane.dialer.unavailable("its runtime has ended")),
        }
        let config = &lane.dialer.config;
        let idle = queue.out.is_empty();
        let too_long = !idle && queue.out.len().saturating_add(request.len()) > config.raw_queue_bytes_max;
        if queue.waiting.len() >= config.raw_queue_max || too_long {
            return refused(RawError::Busy {
                address: lane.dialer.address(),
            });
        }
        queue.push(request, commands.max(1), repeat, to);
        drop(queue);
        if idle {
            lane.wake.notify_one();
        }
        Ok(())
    }

    /// Whether its task has ended, with the runtime that it was started on.
    pub(crate) fn is_closed(&self) -> bool {
        self.handle.0.queue().state == State::Closed
    }

    /// Whether it has a connection that works, and how many submissions wait.
    pub(crate) fn load(&self) -> (bool, usize) {
        let queue = self.handle.0.queue();
        (queue.state == State::Up, queue.waiting.len())
    }
}

impl Queue {
    fn push(&mut self, request: &[u8], commands: usize, repeat: Repeat, to: Callback) {
        let at = self.out_at.saturating_add(as_u64(self.out.len()));
        self.out.extend_from_slice(request);
        self.waiting.push_back(Waiting {
            at,
            bytes: request.len(),
            commands,
            repeat,
            again: false,
            to,
        });
    }

    /// Everything that is to be sent.
    fn take(&mut self) -> Option<Bytes> {
        if self.out.is_empty() {
            return None;
        }
        let bytes = self.out.split().freeze();
        self.sent.push_back((self.out_at, bytes.clone()));
        self.out_at = self.out_at.saturating_add(as_u64(bytes.len()));
        Some(bytes)
    }

    fn is_sent(&self, waiting: &Waiting) -> bool {
        waiting.at < self.out_at
    }

    /// Submissions that `frames` more frames answer, with the number of the last frame of each, from 1.
    fn answered(&mut self, frames: usize, into: &mut Vec<(Waiting, usize)>) {
        let mut used: usize = 0;
        while let Some(next) = self.waiting.front() {
            let needs = used.saturating_add(next.commands);
            if needs > frames || !self.is_sent(next) {
                break;
            }
            let end = next.at.saturating_add(as_u64(next.bytes));
            while self
                .sent
                .front()
                .is_some_and(|(at, bytes)| at.saturating_add(as_u64(bytes.len())) <= end)
            {
                self.sent.pop_front();
            }
            used = needs;
            into.extend(self.waiting.pop_front().map(|answered| (answered, used)));
        }
    }

    /// For a new connection: what was not sent stays, and of what was sent the reads, if they may be asked again.
    /// Returns the rest, and how many reads are asked again.
    fn begin_anew(&mut self, ask_again: bool) -> (Vec<Waiting>, u64) {
        let old = std::mem::take(self);
        let (mut lost, mut asked_again) = (Vec::new(), 0);
        for waiting in old.waiting {
            let sent = waiting.at < old.out_at;
            let bytes = if sent {
                old.sent
                    .iter()
                    .rev()
                    .find(|(at, _)| *at <= waiting.at)
                    .map(|(at, bytes)| (*at, &bytes[..]))
            } else {
                Some((old.out_at, &old.out[..]))
            };
            let bytes = bytes.and_then(|(at, bytes)| {
                let from = usize::try_from(waiting.at.checked_sub(at)?).ok()?;
                bytes.get(from..from.checked_add(waiting.bytes)?)
            });
            let may = !sent || (ask_again && waiting.repeat == Repeat::Read && !waiting.again);
            match bytes.filter(|_| may) {
                Some(bytes) => {
                    asked_again += u64::from(sent);
                    let again = waiting.again || sent;
                    self.push(bytes, waiting.commands, waiting.repeat, waiting.to);
                    if let Some(pushed) = self.waiting.back_mut() {
                        pushed.again = again;
                    }
                }
                None => lost.push(waiting),
            }
        }
        (lost, asked_again)
    }
}

fn as_u64(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

impl Lane {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Acquire)
    }

    /// Nobody can submit, and everything is answered.
    fn is_done(&self) -> bool {
        self.is_closing() && self.queue().waiting.is_empty()
    }

    fn waits_for_replies(&self) -> bool {
        let queue = self.queue();
        queue.waiting.front().is_some_and(|first| queue.is_sent(first))
    }

    /// The connection is gone: see [`Queue::begin_anew`].
    fn begin_anew(&self, reason: &str, ask_again: bool) {
        let (lost, asked_again) = self.queue().begin_anew(ask_again);
        self.dialer
            .counts
            .retries
            .fetch_add(asked_again, Ordering::Relaxed);
        for waiting in lost {
            let error = match waiting.repeat {
                Repeat::Read => self.dialer.unavailable(reason),
                Repeat::Never => RawError::Unknown {
                    address: self.dialer.address(),
                    reason: reason.to_owned(),
                },
            };
            (waiting.to)(Err(error));
        }
    }

    /// The server cannot be reached: nothing of what waits was sent, or it only reads.
    fn fail_all(&self, state: State, error: &RawError) {
        let queue = std::mem::replace(
            &mut *self.queue(),
            Queue {
                state,
                ..Queue::default()
            },
        );
        for waiting in queue.waiting {
            let error = match (waiting.repeat, waiting.at < queue.out_at) {
                (Repeat::Never, true) => RawError::Unknown {
                    address: self.dialer.address(),
                    reason: error.to_string(),
                },
                (Repeat::Never, false) | (Repeat::Read, _) => error.clone(),
            };
            (waiting.to)(Err(error));
        }
    }
}

/// The task's hold on its lane: when the task ends, in whatever way, nobody waits for it.
struct Running(Arc<Lane>);

impl Drop for Running {
    fn drop(&mut self) {
        let ended = self.0.dialer.unavailable("the lane has ended");
        self.0.fail_all(State::Closed, &ended);
    }
}

async fn run(running: Running, mut after: Option<AfterReplies>) {
    let lane = &running.0;
    let mut backoff = Backoff::default();
    while !lane.is_closing() {
        let ended = match lane.dialer.connect(lane.protocol).await {
            Err(error) => Err(error),
            Ok(link) => {
                lane.queue().state = State::Up;
                serve(lane, link, &mut after).await
            }
        };
        let reached = match ended {
            Ok(End::Closed) => return,
            Ok(End::Renew) => {
                lane.begin_anew("the node has claimed its store anew", true);
                true
            }
            Ok(End::Broken(reason)) => {
                lane.dialer.lost();
                lane.begin_anew(&reason, true);
                true
            }
            Ok(End::Stalled) => {
                lane.dialer.lost();
                lane.begin_anew("no reply in time", false);
                true
            }
            Err(error) => {
                lane.fail_all(State::Down(reason_of(&error)), &error);
                false
            }
        };
        if let Some(after) = &mut after {
            after();
        }
        if reached {
            backoff.reset();
        } else {
            tokio::time::sleep(backoff.next_pause()).await;
        }
    }
}

/// What happened, without the address.
fn reason_of(error: &RawError) -> String {
    match error {
        RawError::Unavailable { reason, .. } | RawError::Unknown { reason, .. } => reason.clone(),
        RawError::Busy { .. } | RawError::TooManyPinned { .. } | RawError::Store(_) => error.to_string(),
    }
}

/// A task that ends with who waits for it.
struct Flusher(JoinHandle<std::io::Result<Writer>>);

impl Drop for Flusher {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Writes what is submitted, until the writer has claimed anew; then gives the connection's half back, because to drop
/// it would end the other half, too.
async fn flush(lane: Arc<Lane>, mut writer: Writer, epoch: u64) -> std::io::Result<Writer> {
    loop {
        // Everybody who is ready gets in.
        tokio::task::yield_now().await;
        if lane.dialer.epoch.load(Ordering::SeqCst) != epoch {
            return Ok(writer);
        }
        let taken = lane.queue().take();
        match taken {
            Some(bytes) => writer.write_all(&bytes).await?,
            None => lane.wake.notified().await,
        }
    }
}

/// Uses a connection until it is of no use any more. An error: it broke before anything came of it, so that to try
/// again at once would be no better.
async fn serve(lane: &Arc<Lane>, link: Link, after: &mut Option<AfterReplies>) -> Result<End, RawError> {
    let mut incoming = Incoming::new(link.reader);
    let mut flusher = Flusher(tokio::spawn(flush(Arc::clone(lane), link.writer, link.epoch)));
    let mut flushed = None;
    let mut ticks = tokio::time::interval(lane.dialer.config.read_timeout / STALL_TICKS);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks.reset();
    let mut ended = std::pin::pin!(lane.ended.notified());
    let (mut proven, mut quiet) = (false, 0);
    loop {
        let broken = tokio::select! {
            biased;
            read = incoming.read() => {
                quiet = 0;
                let delivered = read.and_then(|()| incoming.deliver(lane));
                proven |= delivered.is_ok();
                if let Some(after) = after.as_mut().filter(|_| delivered.is_ok()) {
                    after();
                }
                delivered.err()
            }
            done = &mut flusher.0, if flushed.is_none() => match done {
                Ok(Ok(writer)) => {
                    flushed = Some(writer);
                    None
                }
                Ok(Err(error)) => Some(error.to_string()),
                Err(_) => Some("its runtime has ended".to_owned()),
            },
            _ = ticks.tick() => {
                proven = true;
                quiet = if lane.waits_for_replies() { quiet + 1 } else { 0 };
                None
            }
            () = &mut ended, if !lane.is_closing() => None,
        };
        match broken {
            Some(reason) if proven => return Ok(End::Broken(reason)),
            Some(reason) => return Err(lane.dialer.unavailable(reason)),
            None => {}
        }
        if quiet > STALL_TICKS {
            return Ok(End::Stalled);
        }
        if lane.is_done() {
            return Ok(End::Closed);
        }
        if flushed.is_some() && !lane.waits_for_replies() {
            return Ok(End::Renew);
        }
    }
}

/// What has come and is not delivered.
struct Incoming {
    reader: Reader,
    buf: BytesMut,
    delimiter: Delimiter,
    /// Where whole replies in `buf` end.
    ends: VecDeque<usize>,
    /// What one read answered; kept for its room.
    answered: Vec<(Waiting, usize)>,
}

impl Incoming {
    fn new(reader: Reader) -> Self {
        Incoming {
            reader,
            buf: BytesMut::new(),
            delimiter: Delimiter::new(),
            ends: VecDeque::new(),
            answered: Vec::new(),
        }
    }

    async fn read(&mut self) -> Result<(), String> {
        let (least, most) = READ_BYTES;
        self.buf
            .reserve(self.delimiter.bytes_missing().clamp(least, most));
        match self.reader.read_buf(&mut self.buf).await {
            Ok(0) => Err("the server closed the connection".to_owned()),
            Ok(_) => Ok(()),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Calls back for everything that is answered.
    fn deliver(&mut self, lane: &Lane) -> Result<(), String> {
        let mut parsed = self.ends.back().copied().unwrap_or(0);
        while let Some(rest) = self.buf.get(parsed..).filter(|rest| !rest.is_empty()) {
            // Nothing on a lane asks for pushes; they would be taken for a reply.
            if rest.first() == Some(&b'>') {
                return Err("the server sent a push that nobody asked for".to_owned());
            }
            let Some(end) = self.delimiter.end(rest).map_err(|error| error.to_string())? else {
                break;
            };
            parsed += end;
            self.ends.push_back(parsed);
        }
        let nobody_waits = {
            let mut queue = lane.queue();
            queue.answered(self.ends.len(), &mut self.answered);
            !queue.waiting.front().is_some_and(|first| queue.is_sent(first))
        };
        let (mut used, mut taken) = (0, 0);
        for (waiting, last) in self.answered.drain(..) {
            let end = last
                .checked_sub(1)
                .and_then(|at| self.ends.get(at))
                .copied()
                .unwrap_or(taken);
            let bytes = self.buf.split_to(end.saturating_sub(taken)).freeze();
            (used, taken) = (last, end);
            (waiting.to)(Ok(Replies::new(bytes, waiting.commands)));
        }
        self.ends.drain(..used);
        for end in &mut self.ends {
            *end -= taken;
        }
        if nobody_waits && !self.ends.is_empty() {
            return Err("the server sent a reply that nobody asked for".to_owned());
        }
        Ok(())
    }
}
