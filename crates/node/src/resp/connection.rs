//! One client: bytes in, commands taken in order, replies out.
//!
//! All commands that have arrived are taken before any is waited for: what they ask of Redis goes there in one write,
//! what they ask of the shard in one hand-over. A client that sends without reading is not read from once it has many
//! answers to fetch; one that never fetches them is let go.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use cartograph_engine::api::Request as ShardRequest;
use cartograph_resp::{Limits, Parser, ProtocolError, Value};
use cartograph_store::raw::{PinnedConnection, RawError, Repeat, Replies};
use tokio::net::TcpStream;

use super::clients::Place;
use super::errors;
use super::listen::Worker;
use super::outbox::{Order, Outbox, Taken};
use super::session::Session;
use crate::clock;
use crate::driver::Submitted;

/// Commands taken before others get a turn.
const TURN_MAX: usize = 512;

/// How long a client that is let go may take to fetch its last replies.
const FAREWELL_MAX: Duration = Duration::from_millis(500);

/// An idle client's buffer is given back beyond this size.
const BUFFER_KEPT_BYTES: usize = 32 * 1024;

/// The connection is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The client has gone, or must go: nothing more is written.
    Now,
    /// What is answered is still written.
    AfterReplies,
}

/// Commands for Redis that share a slot and have not been sent yet.
pub(super) struct Passing {
    pub(super) bytes: BytesMut,
    pub(super) slot: u64,
    pub(super) count: usize,
    pub(super) repeat: Repeat,
}

/// One client's connection.
pub(super) struct Connection {
    pub(super) worker: Rc<Worker>,
    pub(super) outbox: Arc<Outbox>,
    pub(super) session: Session,
    parser: Parser,
    buffer: BytesMut,
    pub(super) passing: Option<Passing>,
    /// Requests for the shard of this index that have not been handed over yet.
    pub(super) writes: Vec<(usize, ShardRequest, u64)>,
    /// A connection to Redis of its own: for local WATCH, blocking commands, subscriptions.
    pub(super) pinned: Option<PinnedConnection>,
}

/// Serves a client until it or the node ends.
pub(super) async fn serve(worker: Rc<Worker>, place: Place, tcp: TcpStream) {
    let Ok(outbox) = worker.outbox(tcp, &place) else {
        return;
    };
    let default_user = worker.context.users.default_user();
    let mut connection = Connection {
        session: Session::new(Arc::clone(&place.client), default_user),
        outbox,
        parser: Parser::new(),
        buffer: super::listen::buffer(),
        passing: None,
        writes: Vec::new(),
        pinned: None,
        worker,
    };
    let end = connection.run().await;
    if end == End::AfterReplies {
        connection.submit().await;
        let outbox = &connection.outbox;
        let written = async {
            while !outbox.is_flushed() {
                tokio::select! {
                    () = outbox.changed.notified() => {}
                    _ = outbox.transport().writable(), if outbox.is_blocked() => outbox.flush(),
                }
            }
        };
        let _ = tokio::time::timeout(FAREWELL_MAX, written).await;
    }
    connection.outbox.close();
    drop(place);
}

impl Connection {
    async fn run(&mut self) -> End {
        loop {
            if let Err(end) = self.take_all().await {
                return end;
            }
            self.submit().await;
            if let Err(end) = self.wait().await {
                return end;
            }
        }
    }

    /// Takes every command that has arrived.
    async fn take_all(&mut self) -> Result<(), End> {
        let mut taken = 0_usize;
        loop {
            if self.outbox.is_full() {
                self.submit().await;
                self.until(|outbox| !outbox.is_full()).await?;
            }
            let limits = self.limits();
            match self.parser.next(&mut self.buffer, &limits) {
                Ok(Some(request)) => self.command(request).await?,
                Ok(None) => {
                    let waiting = self.buffer.len();
                    let client = &self.session.client;
                    client.query_bytes.store(waiting, Ordering::Relaxed);
                    if waiting == 0 && self.buffer.capacity() > BUFFER_KEPT_BYTES {
                        self.buffer = BytesMut::new();
                    }
                    return Ok(());
                }
                Err(error) => return Err(self.broken(error)),
            }
            taken += 1;
            if taken.is_multiple_of(TURN_MAX) {
                self.submit().await;
                tokio::task::yield_now().await;
            }
        }
    }

    fn limits(&self) -> Limits {
        if self.session.user.is_none() {
            return Limits::BEFORE_AUTH;
        }
        Limits {
            bulk_bytes_max: self.worker.context.config.bulk_bytes_max,
            ..Limits::default()
        }
    }

    fn broken(&mut self, error: ProtocolError) -> End {
        let stats = &self.worker.context.stats;
        stats.protocol_errors.fetch_add(1, Ordering::Relaxed);
        let client = self.session.client.address;
        if error == ProtocolError::CrossProtocol {
            tracing::warn!(%client, "possible cross protocol scripting: a client sent POST or Host: and was let go");
            return End::Now;
        }
        tracing::debug!(%client, %error, "a client does not speak RESP");
        self.answer(clock::elapsed(), None, &errors::error(format!("ERR {error}")));
        End::AfterReplies
    }

    /// Waits for more from the client, and reads it.
    async fn wait(&mut self) -> Result<(), End> {
        let idle = self.worker.context.config.idle_timeout;
        loop {
            self.check()?;
            let outbox = Arc::clone(&self.outbox);
            let read = !outbox.is_full();
            tokio::select! {
                biased;
                () = self.session.client.kill.cancelled() => return Err(End::Now),
                () = self.worker.stopping.cancelled() => return Err(End::AfterReplies),
                frame = next_push(&mut self.pinned) => {
                    self.pushed(frame);
                }
                readable = outbox.transport().readable(), if read => {
                    readable.map_err(|_| End::Now)?;
                    if self.receive()? {
                        return Ok(());
                    }
                }
                _ = outbox.transport().writable(), if outbox.is_blocked() => outbox.flush(),
                () = outbox.changed.notified() => {}
                () = tokio::time::sleep(idle.unwrap_or_default()), if idle.is_some() && outbox.is_idle() => {
                    let stats = &self.worker.context.stats;
                    stats.idle_disconnections.fetch_add(1, Ordering::Relaxed);
                    return Err(End::Now);
                }
            }
        }
    }

    /// Reads what is there; was there something?
    fn receive(&mut self) -> Result<bool, End> {
        match self.outbox.transport().try_read(&mut self.buffer) {
            Ok(0) => Err(End::AfterReplies),
            Ok(read) => {
                let (client, stats) = (&self.session.client, &self.worker.context.stats);
                client.active_ms.store(clock::monotonic_ms(), Ordering::Relaxed);
                client.bytes_in.fetch_add(read as u64, Ordering::Relaxed);
                stats.bytes_in.fetch_add(read as u64, Ordering::Relaxed);
                if self.buffer.len() > self.worker.context.config.query_bytes_max {
                    stats.query_limit_disconnections.fetch_add(1, Ordering::Relaxed);
                    tracing::warn!(client = %client.address, "a client's query is over resp.query_bytes_max: it is let go");
                    return Err(End::Now);
                }
                Ok(true)
            }
            Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => Ok(false),
            Err(_) => Err(End::Now),
        }
    }

    fn check(&self) -> Result<(), End> {
        if self.outbox.is_gone() {
            return Err(End::Now);
        }
        if self.outbox.has_overflowed() {
            let stats = &self.worker.context.stats;
            stats.output_limit_disconnections.fetch_add(1, Ordering::Relaxed);
            let client = self.session.client.address;
            tracing::warn!(%client, "a client does not fetch its replies and is over resp.output_bytes_max: it is let go");
            return Err(End::Now);
        }
        Ok(())
    }

    /// Waits until the replies are as wanted.
    pub(super) async fn until(&mut self, wanted: impl Fn(&Outbox) -> bool) -> Result<(), End> {
        let outbox = Arc::clone(&self.outbox);
        while !wanted(&outbox) {
            self.check()?;
            tokio::select! {
                biased;
                () = self.session.client.kill.cancelled() => return Err(End::Now),
                _ = outbox.transport().writable(), if outbox.is_blocked() => outbox.flush(),
                () = outbox.changed.notified() => {}
            }
        }
        Ok(())
    }

    /// Waits until something is true or the client has gone; what it sends meanwhile is kept.
    pub(super) async fn while_listening<T>(&mut self, wanted: impl Future<Output = T>) -> Result<T, End> {
        let outbox = Arc::clone(&self.outbox);
        let mut wanted = std::pin::pin!(wanted);
        loop {
            self.check()?;
            let room = self.buffer.len() < BUFFER_KEPT_BYTES;
            tokio::select! {
                biased;
                () = self.session.client.kill.cancelled() => return Err(End::Now),
                () = self.worker.stopping.cancelled() => return Err(End::AfterReplies),
                found = &mut wanted => return Ok(found),
                readable = outbox.transport().readable(), if room => {
                    readable.map_err(|_| End::Now)?;
                    if self.receive() == Err(End::AfterReplies) {
                        return Err(End::Now);
                    }
                }
                _ = outbox.transport().writable(), if outbox.is_blocked() => outbox.flush(),
                () = outbox.changed.notified() => {}
            }
        }
    }

    /// Sends what was taken: to Redis, and to the shard.
    pub(super) async fn submit(&mut self) {
        self.submit_passing();
        if !self.writes.is_empty() {
            self.submit_writes().await;
        }
    }

    /// Sends the commands for Redis that wait to be sent together.
    pub(super) fn submit_passing(&mut self) {
        let Some(passing) = self.passing.take() else {
            return;
        };
        let Passing {
            bytes,
            slot,
            count,
            repeat,
        } = passing;
        let Some(lane) = self.worker.lane(self.session.protocol) else {
            self.outbox.fill_all(slot, &no_redis());
            return;
        };
        let outbox = Arc::clone(&self.outbox);
        let to = Box::new(move |result: Result<Replies, RawError>| match result {
            Ok(replies) => outbox.fill_frames(slot, replies.into_bytes()),
            Err(failed) => outbox.fill_all(slot, &errors::of_raw(&failed)),
        });
        if let Err(refused) = lane.submit(&bytes, count, repeat, to) {
            self.outbox.fill_all(slot, &errors::of_raw(&refused));
        }
    }

    async fn submit_writes(&mut self) {
        let limit = self.worker.context.doors.config.limits.request_timeout;
        let mut writes = std::mem::take(&mut self.writes).into_iter().peekable();
        while let Some((shard, request, slot)) = writes.next() {
            let mut slots = vec![slot];
            let mut batch = vec![self.submitted(request, slot)];
            while let Some((_, request, slot)) = writes.next_if(|(s, ..)| *s == shard) {
                slots.push(slot);
                batch.push(self.submitted(request, slot));
            }
            let context = Arc::clone(&self.worker.context);
            let Some(handle) = context.doors.shards.get(shard) else {
                continue;
            };
            if let Err((_, error)) = handle.submit(batch, limit).await {
                let value = errors::of_failure(&error.into());
                for slot in slots {
                    self.outbox.fill_value(slot, &value);
                }
            }
        }
    }

    fn submitted(&self, request: ShardRequest, slot: u64) -> Submitted {
        let outbox = Arc::clone(&self.outbox);
        Submitted {
            request,
            reply: Box::new(move |result| outbox.fill_done(slot, result)),
        }
    }

    /// Answers a command with a value that is known.
    pub(super) fn answer(
        &mut self,
        started: Duration,
        info: Option<&'static cartograph_resp::table::CommandInfo>,
        value: &Value,
    ) {
        let slot = self.outbox.take(Taken {
            info,
            started,
            order: Order::Free,
            keys: Some(Vec::new()),
            protocol: self.session.protocol,
            silent: self.is_silent(),
            form: None,
        });
        self.outbox.fill_value(slot, value);
    }

    /// A message came on the client's own connection to Redis; or that is lost.
    fn pushed(&mut self, frame: Option<Bytes>) {
        match frame {
            Some(frame) => self.heard(&frame),
            None => self.lost_pinned(),
        }
    }
}

/// What a command gets that needs a Redis where there is none.
pub(super) fn no_redis() -> Value {
    errors::error(
        "ERR this command needs a Redis behind this node, and this node keeps its data in a store of its own",
    )
}

/// The next message of a subscription; never, where there is none.
async fn next_push(pinned: &mut Option<PinnedConnection>) -> Option<Bytes> {
    match pinned {
        Some(pinned) => pinned.recv().await.ok(),
        None => std::future::pending().await,
    }
}
