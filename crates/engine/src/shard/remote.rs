//! Peers' entries: applied in causal order, each in one step, several to a commit.

use cartograph_crdt::Needs;
use cartograph_replica::{Entry, Key};

use super::flight::{Draft, Work};
use super::{Shard, event};
use crate::api::{Event, Output};
use crate::command::Want;
use crate::conflict::{Conflict, decided};
use crate::writer::{Layer, SYSTEM_PREFIX, view_needs_all};

/// Entries whose rows are loaded ahead while the first one waits for its own.
const AHEAD_MAX: usize = 256;

/// What applying one entry touched and decided.
#[derive(Debug, Default)]
struct Applied {
    layer: Layer,
    conflicts: Vec<(Key, &'static str, Conflict)>,
}

impl Shard {
    /// Applies what is ready and makes a commit of it. Tells whether something began.
    pub(super) fn begin_remote(&mut self, out: &mut Vec<Output>) -> bool {
        if self.joining.as_ref().is_some_and(|joining| joining.sweeping) {
            return false;
        }
        if self.remote.is_empty() {
            let limits = &self.config.limits;
            let (entries, bytes) = (limits.batch_commands_max, limits.batch_bytes_max);
            self.remote
                .extend(self.exchange.ready(&self.next.vector, entries, bytes));
        }
        let now_ms = self.expiry_now();
        let mut draft = Draft::new(&self.next, now_ms);
        draft.tip.hlc = self.next.hlc;
        let mut applied: Vec<Entry> = Vec::new();
        let mut bytes = 0;
        while let Some(entry) = self.remote.pop_front() {
            if !entry.is_ready(&draft.tip.vector) {
                if !applied.is_empty() {
                    // It may have seen a retirement that is in this very commit.
                    self.remote.push_front(entry);
                    break;
                }
                // Applied already (a snapshot, or a copy by another way), or left over from before a fall back.
                continue;
            }
            bytes += entry.weight();
            let full = bytes > self.config.limits.batch_bytes_max
                || applied.len() >= self.config.limits.batch_commands_max;
            if full && !applied.is_empty() {
                self.remote.push_front(entry);
                break;
            }
            match self.apply(&entry, now_ms) {
                Ok(done) => {
                    draft.layer.extend(done.layer);
                    for (key, rule, conflict) in done.conflicts {
                        event(Event::Conflict { rule }, out);
                        if let Ok(bytes) = conflict.encode() {
                            draft.indexes.conflicts.push((key, bytes));
                        }
                    }
                    draft.tip.vector.raise(entry.replica, entry.sequence.get());
                    draft.tip.hlc = draft.tip.hlc.follow(entry.hlc, self.now.wall_ms);
                    draft.entries.push(entry.clone());
                    applied.push(entry);
                }
                Err(want) => {
                    self.remote.push_front(entry);
                    self.want(want, out);
                    self.load_entries_ahead(out);
                    break;
                }
            }
        }
        if applied.is_empty() {
            return false;
        }
        draft.anyway = true;
        self.begin_commit(draft, Work::Remote { entries: applied }, out)
    }

    fn apply(&mut self, entry: &Entry, now_ms: u64) -> Result<Applied, Want> {
        let mut applied = Applied::default();
        for index in 0..entry.effects.len() {
            if let Err(want) = self.apply_effect(entry, index, now_ms, &mut applied) {
                applied.layer.undo(&mut self.cache);
                return Err(want);
            }
        }
        Ok(applied)
    }

    fn apply_effect(
        &mut self,
        entry: &Entry,
        index: usize,
        now_ms: u64,
        applied: &mut Applied,
    ) -> Result<(), Want> {
        let Some((key, effect)) = entry.effects.get(index) else {
            return Ok(());
        };
        let Some(row) = self.cache.row_mut(key) else {
            let elements = effect.element().into_iter().collect();
            return Err(Want::elements(key, elements));
        };
        if key.starts_with(SYSTEM_PREFIX) && !row.is_complete() {
            return Err(Want::all(key));
        }
        // A snapshot's row had seen it: it is in the row already.
        if row.header.ahead.covers_entry(entry.replica, entry.sequence) {
            return Ok(());
        }
        let scope = entry.scope(key);
        let origin = entry.origin(index, &scope);
        match row.lacks(effect, &origin) {
            Needs::Nothing if !view_needs_all(row, effect, now_ms) => {}
            Needs::Element(id) => return Err(Want::elements(key, vec![id])),
            Needs::Nothing | Needs::Everything => return Err(Want::all(key)),
        }
        let types = row.summary.types();
        let touched = applied.layer.record(key, row);
        row.apply(effect, &origin, touched);
        if !key.starts_with(SYSTEM_PREFIX)
            && let Some((rule, conflict)) = decided(entry, index, row, types, self.now.wall_ms)
        {
            applied.conflicts.push((key.clone(), rule, conflict));
        }
        self.cache.touch(key);
        Ok(())
    }

    fn load_entries_ahead(&mut self, out: &mut Vec<Output>) {
        let wants: Vec<Want> = self
            .remote
            .iter()
            .take(AHEAD_MAX)
            .flat_map(|e| e.effects.iter())
            .map(|(key, effect)| Want::elements(key, effect.element().into_iter().collect()))
            .collect();
        for want in wants {
            self.want(want, out);
        }
    }

    pub(super) fn remote_done(&mut self, entries: &[Entry], out: &mut Vec<Output>) {
        let mut last = std::collections::BTreeMap::new();
        for entry in entries {
            last.insert(entry.replica.region, entry.hlc.ms);
        }
        for (region, ms) in last {
            event(
                Event::Applied {
                    region,
                    lag_ms: self.now.wall_ms.saturating_sub(ms),
                },
                out,
            );
        }
    }
}
