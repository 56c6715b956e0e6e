//! The listener and the worker threads.
//!
//! Each worker is a thread with a single-threaded runtime: it keeps a share of the clients for their whole lives, with
//! connections of its own to Redis. Nothing of a client's fast path crosses threads on the way to Redis and back; on
//! two cores that costs a third less CPU than one runtime over all threads.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::BytesMut;
use cartograph_resp::Protocol;
use cartograph_store::raw::RawLane;
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, LocalSet};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::clients::Place;
use super::connection;
use super::context::Context;
use super::outbox::{Flusher, Outbox};
use super::transport::Transport;
use crate::clock;

/// Accepted clients that wait for their worker.
const ACCEPTED_MAX: usize = 1_024;

/// How often overdue answers and idle clients are looked for.
const SWEEP_EVERY: Duration = Duration::from_millis(250);

/// How long accepting pauses after the system refused (too many open files).
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What a worker's clients share.
pub(super) struct Worker {
    pub(super) context: Arc<Context>,
    pub(super) flusher: Arc<Flusher>,
    pub(super) stopping: CancellationToken,
    tls: Option<Arc<ServerConfig>>,
    lanes: RefCell<[Option<RawLane>; 2]>,
    outboxes: RefCell<Vec<Weak<Outbox>>>,
}

impl Worker {
    /// This worker's way to Redis; `None` where there is no Redis.
    pub(super) fn lane(&self, protocol: Protocol) -> Option<RawLane> {
        let raw = self.context.raw.as_ref()?;
        let mut lanes = self.lanes.borrow_mut();
        let place = match protocol {
            Protocol::Resp2 => 0,
            Protocol::Resp3 => 1,
        };
        let lane = lanes.get_mut(place)?;
        let made = || {
            let flusher = Arc::clone(&self.flusher);
            raw.lane(protocol, Some(Box::new(move || flusher.flush())))
        };
        Some(lane.get_or_insert_with(made).clone())
    }

    /// A new client's replies.
    pub(super) fn outbox(&self, tcp: TcpStream, place: &Place) -> std::io::Result<Arc<Outbox>> {
        let transport = Transport::new(tcp, self.tls.as_ref())?;
        let outbox = Outbox::new(
            transport,
            Arc::clone(&self.flusher),
            Arc::clone(&self.context.stats),
            Arc::clone(&place.client),
            self.context.config.output_bytes_max,
        );
        self.outboxes.borrow_mut().push(Arc::downgrade(&outbox));
        Ok(outbox)
    }

    async fn sweep(&self) {
        let limit = self.context.doors.config.limits.request_timeout;
        loop {
            tokio::time::sleep(SWEEP_EVERY).await;
            let now = clock::elapsed();
            self.outboxes.borrow_mut().retain(|outbox| {
                let Some(outbox) = outbox.upgrade() else {
                    return false;
                };
                outbox.expire(now, limit);
                true
            });
        }
    }
}

/// Starts the workers, and accepts clients until `stopping`.
pub(super) fn start(
    context: &Arc<Context>,
    listener: TcpListener,
    tls: Option<&Arc<ServerConfig>>,
    stopping: CancellationToken,
) -> std::io::Result<JoinHandle<()>> {
    let mut workers = Vec::new();
    let mut threads = Vec::new();
    for number in 0..context.config.threads.max(1) {
        let (clients, inbox) = mpsc::channel(ACCEPTED_MAX);
        let (context, tls, stopping) = (Arc::clone(context), tls.cloned(), stopping.clone());
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let run = move || runtime.block_on(LocalSet::new().run_until(work(context, tls, stopping, inbox)));
        let thread = std::thread::Builder::new()
            .name(format!("resp-{number}"))
            .spawn(run)?;
        workers.push(clients);
        threads.push(thread);
    }
    let context = Arc::clone(context);
    Ok(tokio::spawn(async move {
        tokio::select! {
            () = accept(&context, &listener, &workers) => {}
            () = stopping.cancelled() => {}
        }
        drop(listener);
        drop(workers);
        let joined = tokio::task::spawn_blocking(move || {
            for thread in threads {
                let _ = thread.join();
            }
        });
        let _ = joined.await;
    }))
}

async fn accept(context: &Arc<Context>, listener: &TcpListener, workers: &[mpsc::Sender<(TcpStd, Place)>]) {
    let mut turn = 0_usize;
    loop {
        let (tcp, address) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(door = "resp", %error, "a client could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        context.stats.connections_received.fetch_add(1, Ordering::Relaxed);
        let local = tcp.local_addr().unwrap_or(address);
        let _ = tcp.set_nodelay(true);
        let Some(place) = context.clients.join(address, local) else {
            context.stats.connections_rejected.fetch_add(1, Ordering::Relaxed);
            // As Redis: said if it can be said at once, and closed.
            let _ = tcp.try_write(b"-ERR max number of clients reached\r\n");
            continue;
        };
        let Ok(tcp) = tcp.into_std() else { continue };
        turn = turn.wrapping_add(1);
        if let Some(worker) = workers.get(turn % workers.len().max(1)) {
            let _ = worker.send((tcp, place)).await;
        }
    }
}

type TcpStd = std::net::TcpStream;

async fn work(
    context: Arc<Context>,
    tls: Option<Arc<ServerConfig>>,
    stopping: CancellationToken,
    mut inbox: mpsc::Receiver<(TcpStd, Place)>,
) {
    let worker = Rc::new(Worker {
        context,
        flusher: Arc::default(),
        stopping,
        tls,
        lanes: RefCell::default(),
        outboxes: RefCell::default(),
    });
    let flusher = Arc::clone(&worker.flusher);
    let flushing = tokio::task::spawn_local(async move { flusher.run().await });
    let sweeper = Rc::clone(&worker);
    let sweeping = tokio::task::spawn_local(async move { sweeper.sweep().await });
    let clients = TaskTracker::new();
    while let Some((tcp, place)) = inbox.recv().await {
        let Ok(tcp) = TcpStream::from_std(tcp) else {
            continue;
        };
        let worker = Rc::clone(&worker);
        clients.spawn_local(connection::serve(worker, place, tcp));
    }
    clients.close();
    clients.wait().await;
    flushing.abort();
    sweeping.abort();
}

/// A buffer for what a client sends.
pub(super) fn buffer() -> BytesMut {
    BytesMut::new()
}
