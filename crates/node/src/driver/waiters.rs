//! Who waits for a key to change: blocking commands of clients.
//!
//! A waiter is registered before its command looks; whatever is committed after that look wakes it, whoever wrote it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cartograph_replica::{Commit, Key};
use tokio::sync::Notify;

#[derive(Default)]
struct Waiting {
    by_key: BTreeMap<Key, Vec<(u64, Arc<Notify>)>>,
    next: u64,
}

/// Everybody who waits on one shard.
#[derive(Default)]
pub(super) struct Waiters {
    waiting: Mutex<Waiting>,
    count: AtomicUsize,
}

/// One who waits; no more, once it is dropped.
pub struct Waiter {
    waiters: Arc<Waiters>,
    keys: Vec<Key>,
    id: u64,
    notify: Arc<Notify>,
}

impl Waiters {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for any of these keys.
    pub(super) fn wait_on(self: &Arc<Self>, keys: Vec<Key>) -> Waiter {
        let notify = Arc::new(Notify::new());
        let mut waiting = self.lock();
        waiting.next += 1;
        let id = waiting.next;
        for key in &keys {
            let list = waiting.by_key.entry(key.clone()).or_default();
            list.push((id, Arc::clone(&notify)));
        }
        drop(waiting);
        self.count.fetch_add(1, Ordering::SeqCst);
        Waiter {
            waiters: Arc::clone(self),
            keys,
            id,
            notify,
        }
    }

    /// Those of a commit's keys that somebody waits for.
    pub(super) fn concerned(&self, commit: &Commit) -> Vec<Key> {
        if self.count.load(Ordering::SeqCst) == 0 {
            return Vec::new();
        }
        let waiting = self.lock();
        let changed = commit.views.iter().map(|view| &view.key);
        changed
            .filter(|key| waiting.by_key.contains_key(*key))
            .cloned()
            .collect()
    }

    /// Wakes who waits for these keys, those who have waited longest first.
    pub(super) fn wake(&self, keys: &[Key]) {
        let waiting = self.lock();
        for key in keys {
            for (_, notify) in waiting.by_key.get(key).into_iter().flatten() {
                notify.notify_one();
            }
        }
    }
}

impl Waiter {
    /// Waits until one of the keys has changed since the last call.
    pub async fn changed(&self) {
        self.notify.notified().await;
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        let mut waiting = self.waiters.lock();
        for key in &self.keys {
            if let Some(list) = waiting.by_key.get_mut(key) {
                list.retain(|(id, _)| *id != self.id);
                if list.is_empty() {
                    waiting.by_key.remove(key);
                }
            }
        }
        drop(waiting);
        self.waiters.count.fetch_sub(1, Ordering::SeqCst);
    }
}
