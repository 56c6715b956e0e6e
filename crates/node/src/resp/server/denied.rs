//! Who was refused what: ACL LOG, bounded as Redis bounds it.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use cartograph_resp::Value;

use super::super::session::Session;
use super::args::{number, text, word};
use super::client::line;
use crate::clock;

/// Entries that are kept.
const ENTRIES_MAX: usize = 128;

/// A refusal like the last ones within this time only counts up.
const SAME_MS: u64 = 60_000;

#[derive(Debug)]
struct Entry {
    id: u64,
    count: u64,
    reason: &'static str,
    object: String,
    user: String,
    created_ms: u64,
    updated_ms: u64,
    client: String,
}

/// The log.
#[derive(Debug, Default)]
pub(crate) struct Denied {
    entries: Mutex<(u64, VecDeque<Entry>)>,
}

impl Denied {
    fn lock(&self) -> MutexGuard<'_, (u64, VecDeque<Entry>)> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Somebody was refused something: `reason` is `auth`, `command` or `key`.
    pub(crate) fn note(&self, reason: &'static str, object: &str, user: &str, session: &Session) {
        let now = clock::wall_ms();
        let client = line(&session.client, clock::monotonic_ms());
        let user: String = user.chars().take(128).collect();
        let mut log = self.lock();
        let same = |e: &&mut Entry| {
            e.reason == reason
                && e.object == object
                && e.user == user
                && now.saturating_sub(e.created_ms) < SAME_MS
        };
        if let Some(entry) = log.1.iter_mut().find(same) {
            entry.count += 1;
            entry.updated_ms = now;
            entry.client = client;
            return;
        }
        let id = log.0;
        log.0 += 1;
        log.1.push_front(Entry {
            id,
            count: 1,
            reason,
            object: object.to_owned(),
            user,
            created_ms: now,
            updated_ms: now,
            client,
        });
        log.1.truncate(ENTRIES_MAX);
    }

    pub(crate) fn reset(&self) {
        self.lock().1.clear();
    }

    /// The newest entries, as Redis 7.2 shows them.
    pub(crate) fn show(&self, most: usize) -> Value {
        let now = clock::wall_ms();
        let log = self.lock();
        let shown = log.1.iter().take(most).map(|e| {
            let age = std::time::Duration::from_millis(now.saturating_sub(e.created_ms));
            Value::Map(vec![
                (word("count"), number(e.count)),
                (word("reason"), word(e.reason)),
                (word("context"), word("toplevel")),
                (word("object"), text(e.object.clone())),
                (word("username"), text(e.user.clone())),
                (word("age-seconds"), Value::Double(age.as_secs_f64())),
                (word("client-info"), text(e.client.clone())),
                (word("entry-id"), number(e.id)),
                (word("timestamp-created"), number(e.created_ms)),
                (word("timestamp-last-updated"), number(e.updated_ms)),
            ])
        });
        Value::Array(shown.collect())
    }
}
