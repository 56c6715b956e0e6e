//! Who is connected: one entry a client, for CLIENT LIST, CLIENT KILL, CLIENT INFO, and the count of `maxclients`.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cartograph_resp::Protocol;
use tokio_util::sync::CancellationToken;

use crate::clock;

/// What a client says of itself, and what it is doing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Said {
    /// CLIENT SETNAME.
    pub(crate) name: String,
    /// CLIENT SETINFO LIB-NAME.
    pub(crate) lib_name: String,
    /// CLIENT SETINFO LIB-VER.
    pub(crate) lib_ver: String,
    /// As whom it is authenticated.
    pub(crate) user: String,
    /// Its last command, lower case (`client|list`).
    pub(crate) last_command: &'static str,
    /// CLIENT NO-EVICT.
    pub(crate) no_evict: bool,
    /// CLIENT NO-TOUCH.
    pub(crate) no_touch: bool,
}

/// One client. Numbers are written by its own task and read by anybody.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) id: u64,
    pub(crate) address: SocketAddr,
    pub(crate) local_address: SocketAddr,
    /// On the monotonic clock, milliseconds.
    pub(crate) connected_ms: u64,
    /// Its last word, on the same clock.
    pub(crate) active_ms: AtomicU64,
    pub(crate) commands: AtomicU64,
    pub(crate) bytes_in: AtomicU64,
    pub(crate) bytes_out: AtomicU64,
    /// Bytes that came and are not taken yet.
    pub(crate) query_bytes: AtomicUsize,
    /// Bytes of replies that it has not fetched.
    pub(crate) output_bytes: AtomicUsize,
    /// Commands queued in its MULTI; `usize::MAX` outside of one.
    pub(crate) multi: AtomicUsize,
    pub(crate) watched: AtomicUsize,
    pub(crate) subscriptions: AtomicUsize,
    pub(crate) patterns: AtomicUsize,
    pub(crate) blocked: AtomicBool,
    pub(crate) resp3: AtomicBool,
    pub(crate) said: Mutex<Said>,
    /// CLIENT KILL: the connection's task ends.
    pub(crate) kill: CancellationToken,
    /// CLIENT UNBLOCK: what it waits for ends, with an error if `true`.
    pub(crate) unblock: Mutex<Option<bool>>,
    pub(crate) unblocked: tokio::sync::Notify,
}

impl Client {
    pub(crate) fn said(&self) -> MutexGuard<'_, Said> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// CLIENT UNBLOCK, from another client; with an error?
    pub(crate) fn unblock(&self, with_error: bool) {
        *self.unblock.lock().unwrap_or_else(PoisonError::into_inner) = Some(with_error);
        self.unblocked.notify_one();
    }

    /// Waits for CLIENT UNBLOCK.
    pub(crate) async fn until_unblocked(&self) -> bool {
        loop {
            let found = self.unblock.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(with_error) = found {
                return with_error;
            }
            self.unblocked.notified().await;
        }
    }

    pub(crate) fn set_protocol(&self, protocol: Protocol) {
        self.resp3.store(protocol == Protocol::Resp3, Ordering::Relaxed);
    }
}

/// All clients.
#[derive(Debug)]
pub(crate) struct Clients {
    by_id: Mutex<BTreeMap<u64, Arc<Client>>>,
    next: AtomicU64,
    limit: usize,
}

/// A client's place among all; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) client: Arc<Client>,
    clients: Arc<Clients>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.clients.lock().remove(&self.client.id);
    }
}

impl Clients {
    pub(crate) fn new(limit: usize) -> Arc<Clients> {
        Arc::new(Clients {
            by_id: Mutex::default(),
            next: AtomicU64::new(1),
            limit,
        })
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<Client>>> {
        self.by_id.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for a new client; `None` when all are taken.
    pub(crate) fn join(self: &Arc<Self>, address: SocketAddr, local_address: SocketAddr) -> Option<Place> {
        let mut by_id = self.lock();
        if by_id.len() >= self.limit {
            return None;
        }
        let now = clock::monotonic_ms();
        let client = Arc::new(Client {
            id: self.next.fetch_add(1, Ordering::Relaxed),
            address,
            local_address,
            connected_ms: now,
            active_ms: AtomicU64::new(now),
            commands: AtomicU64::new(0),
            bytes_in: AtomicU64::new(0),
            bytes_out: AtomicU64::new(0),
            query_bytes: AtomicUsize::new(0),
            output_bytes: AtomicUsize::new(0),
            multi: AtomicUsize::new(usize::MAX),
            watched: AtomicUsize::new(0),
            subscriptions: AtomicUsize::new(0),
            patterns: AtomicUsize::new(0),
            blocked: AtomicBool::new(false),
            resp3: AtomicBool::new(false),
            said: Mutex::new(Said {
                user: "default".to_owned(),
                ..Said::default()
            }),
            kill: CancellationToken::new(),
            unblock: Mutex::default(),
            unblocked: tokio::sync::Notify::new(),
        });
        by_id.insert(client.id, Arc::clone(&client));
        Some(Place {
            client,
            clients: Arc::clone(self),
        })
    }

    /// All of them, by id.
    pub(crate) fn all(&self) -> Vec<Arc<Client>> {
        self.lock().values().cloned().collect()
    }

    pub(crate) fn get(&self, id: u64) -> Option<Arc<Client>> {
        self.lock().get(&id).cloned()
    }

    pub(crate) fn count(&self) -> usize {
        self.lock().len()
    }

    pub(crate) fn limit(&self) -> usize {
        self.limit
    }
}
