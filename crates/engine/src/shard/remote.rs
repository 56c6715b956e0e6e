//! Peers' entries: applied in causal order, each in one step, several to a commit.

use cartograph_crdt::{Effect, Element, Needs};
use cartograph_replica::Entry;

use super::flight::{Draft, Work};
use super::{Shard, event};
use crate::api::{Event, Output};
use crate::command::Want;
use crate::writer::{Layer, SYSTEM_PREFIX, view_needs_all};

/// Entries whose rows are loaded ahead while the first one waits for its own.
const AHEAD_MAX: usize = 256;

impl Shard {
    /// Applies what is ready and makes a commit of it. Tells whether something began.
    pub(super) fn begin_remote(&mut self, out: &mut Vec<Output>) -> bool {
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
            match self.apply(&entry, now_ms, out) {
                Ok(layer) => {
                    draft.layer.extend(layer);
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

    fn apply(&mut self, entry: &Entry, now_ms: u64, out: &mut Vec<Output>) -> Result<Layer, Want> {
        let mut layer = Layer::default();
        let mut rules = Vec::new();
        for (index, (key, effect)) in entry.effects.iter().enumerate() {
            if let Err(want) = self.apply_effect(entry, index, key, effect, now_ms, &mut layer, &mut rules) {
                layer.undo(&mut self.cache);
                return Err(want);
            }
        }
        for rule in rules {
            event(Event::Conflict { rule }, out);
        }
        Ok(layer)
    }

    #[expect(clippy::too_many_arguments, reason = "one effect, and where its traces go")]
    fn apply_effect(
        &mut self,
        entry: &Entry,
        index: usize,
        key: &[u8],
        effect: &Effect,
        now_ms: u64,
        layer: &mut Layer,
        rules: &mut Vec<&'static str>,
    ) -> Result<(), Want> {
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
        let touched = layer.record(key, row);
        row.apply(effect, &origin, touched);
        rules.extend(decided(effect, row, types));
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

/// Which rule had to decide between this effect and a concurrent one, if any did.
fn decided(effect: &Effect, row: &cartograph_crdt::Row, types_before: usize) -> Option<&'static str> {
    match effect {
        Effect::Assign { element, .. } => match row.element(element)? {
            Element::Number(n) if n.register.written().len() > 1 => Some("last writer wins"),
            Element::Number(n) if n.counter.is_present() => Some("increments add to a concurrent value"),
            Element::Number(_) | Element::Member(_) | Element::Ranks(_) => None,
        },
        Effect::Remove { element, .. } => row
            .element(element)
            .is_some_and(Element::is_live)
            .then_some("add wins over a removal that had not seen it"),
        Effect::Delete { .. } | Effect::Clear { .. } if row.summary.types() > 0 => {
            Some("what a deletion had not seen survives")
        }
        Effect::Create { .. } if types_before > 0 && row.header.creates.len() > 1 => {
            Some("the latest creation decides the type")
        }
        Effect::Expire { .. } if row.header.expires.len() > 1 => Some("the longest expiry wins"),
        Effect::Revoke => Some("a revoke beats every concurrent write"),
        Effect::Add { .. }
        | Effect::AddRank { .. }
        | Effect::Inc { .. }
        | Effect::Delete { .. }
        | Effect::Clear { .. }
        | Effect::Expire { .. }
        | Effect::Restate { .. }
        | Effect::Create { .. }
        | Effect::Wipe
        | Effect::Import { .. } => None,
    }
}
