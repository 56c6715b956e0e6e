//! Loading rows into the cache, each at most once at a time.

use std::collections::{BTreeMap, BTreeSet};

use cartograph_crdt::codec::Error;
use cartograph_crdt::stored::{ReplicaTable, decode_element, decode_header, decode_summary};
use cartograph_crdt::{ElementId, Row};
use cartograph_replica::{Elements, Key, Load, Loaded, StoredRow};

use super::upkeep::Reading;
use super::{Shard, event};
use crate::api::{Event, LoadId, Output};
use crate::command::Want;

/// What a load was for.
#[derive(Debug)]
pub(super) enum Purpose {
    /// A row, for whoever needs it.
    Row { key: Key, all: bool },
    /// Something for the upkeep, a snapshot, a retry.
    Reading(Reading),
}

/// Loads under way.
#[derive(Debug, Default)]
pub(super) struct Rows {
    next: u64,
    pub(super) under_way: BTreeMap<LoadId, Purpose>,
    loading: BTreeSet<Key>,
    /// Rows that what waits has asked for in this round, loaded or not: were they let go of because together they are
    /// more than the cache should hold, whoever needs them all would load them in turn for ever.
    wanted: BTreeSet<Key>,
    /// Rows whose metadata cannot be read, and why. Forgotten when loaded again.
    pub(super) damaged: BTreeMap<Key, String>,
    /// The store failed a load: none before then (monotonic milliseconds).
    pub(super) paused_until_ms: u64,
}

/// After a failed load, in milliseconds.
const PAUSE_MS: u64 = 50;

/// Damaged rows that are remembered.
const DAMAGED_MAX: usize = 1_024;

impl Rows {
    /// Is the row on its way, or wanted by what waits for others?
    pub(super) fn is_needed(&self, key: &[u8]) -> bool {
        self.loading.contains(key) || self.wanted.contains(key)
    }

    /// A round begins: what is still wanted will be asked for again.
    pub(super) fn begin_round(&mut self) {
        self.wanted.clear();
    }

    /// Something that waits needs the row.
    pub(super) fn keep(&mut self, key: &[u8]) {
        if !self.wanted.contains(key) {
            self.wanted.insert(key.to_vec());
        }
    }

    /// Forgets all loads of rows: what they bring may be from before a commit that failed.
    pub(super) fn forget(&mut self) {
        self.under_way
            .retain(|_, purpose| !matches!(purpose, Purpose::Row { .. }));
        self.loading.clear();
    }
}

impl Shard {
    /// Makes a load.
    pub(super) fn load(&mut self, load: Load, purpose: Purpose, out: &mut Vec<Output>) {
        self.rows.next += 1;
        let id = LoadId(self.rows.next);
        self.rows.under_way.insert(id, purpose);
        out.push(Output::Load { id, load });
    }

    /// Has what is wanted of a row in memory, or asks for it.
    pub(super) fn want(&mut self, want: Want, out: &mut Vec<Output>) {
        let Want { key, elements, all } = want;
        self.rows.keep(&key);
        if self.rows.loading.contains(&key) || self.now.monotonic_ms < self.rows.paused_until_ms {
            return;
        }
        let (elements, all) = match self.cache.row(&key) {
            None if all => (Elements::All, true),
            None => (Elements::Named(elements), false),
            Some(row) if row.is_complete() => return,
            Some(_) if all => (Elements::All, true),
            Some(row) => {
                let missing: Vec<ElementId> = elements.into_iter().filter(|id| !row.has_loaded(id)).collect();
                if missing.is_empty() {
                    return;
                }
                (Elements::Named(missing), false)
            }
        };
        self.rows.loading.insert(key.clone());
        self.load(
            Load::Row {
                key: key.clone(),
                elements,
            },
            Purpose::Row { key, all },
            out,
        );
    }

    pub(super) fn loaded(&mut self, id: LoadId, result: Result<Loaded, String>, out: &mut Vec<Output>) {
        match (self.rows.under_way.remove(&id), result) {
            (None, _) => {}
            (Some(Purpose::Row { key, all }), Ok(Loaded::Row(stored))) => {
                self.rows.loading.remove(&key);
                self.rows.damaged.remove(&key);
                if let Err(e) = self.supply(&key, &stored, all) {
                    self.damaged(key, e.to_string(), out);
                }
            }
            (Some(Purpose::Row { key, .. }), result) => {
                self.rows.loading.remove(&key);
                if result.is_err() {
                    self.rows.paused_until_ms = self.now.monotonic_ms + PAUSE_MS;
                    self.wake(self.rows.paused_until_ms, out);
                }
            }
            (Some(Purpose::Reading(reading)), result) => self.read(reading, result, out),
        }
    }

    pub(super) fn damaged(&mut self, key: Key, reason: String, out: &mut Vec<Output>) {
        event(
            Event::Damaged {
                key: key.clone(),
                reason: reason.clone(),
            },
            out,
        );
        if self.rows.damaged.len() >= DAMAGED_MAX {
            self.rows.damaged.pop_first();
        }
        self.rows.damaged.insert(key, reason);
        // Whoever waits for it asks again: not at once.
        self.rows.paused_until_ms = self.now.monotonic_ms + PAUSE_MS;
        self.wake(self.rows.paused_until_ms, out);
    }

    fn supply(&mut self, key: &Key, stored: &StoredRow, all: bool) -> Result<(), Error> {
        let elements = decode_elements(stored, &self.table)?;
        match self.cache.row_mut(key) {
            // Dropped whole meanwhile: what was read is from before.
            Some(row) if row.is_complete() => {}
            Some(row) => {
                let weighed = |row: &Row| -> usize {
                    let loaded = stored.elements.iter();
                    loaded.map(|(id, _)| row.element_weight(id)).sum()
                };
                let before = weighed(row);
                row.supply(elements, all);
                let bytes = weighed(row).saturating_sub(before);
                self.cache.grew(key, bytes);
            }
            None => {
                let header = match stored.header.as_slice() {
                    [] => cartograph_crdt::Header::default(),
                    bytes => decode_header(bytes, &self.table)?,
                };
                let summary = match stored.summary.as_slice() {
                    [] => cartograph_crdt::Summary::default(),
                    bytes => decode_summary(bytes, &self.table)?,
                };
                // Without live elements or counters there is no element stored at all.
                let none = summary.types() == 0 && summary.counters == 0;
                let mut row = Row::loaded(header, summary, [], false);
                row.supply(elements, all || none);
                self.cache.insert(key, row);
            }
        }
        Ok(())
    }
}

fn decode_elements(
    stored: &StoredRow,
    table: &ReplicaTable,
) -> Result<Vec<(ElementId, Option<cartograph_crdt::Element>)>, Error> {
    let decode = |(id, blob): &(ElementId, Option<Vec<u8>>)| {
        let element = blob
            .as_ref()
            .map(|b| decode_element(id.ty, b, table))
            .transpose()?;
        Ok((id.clone(), element))
    };
    stored.elements.iter().map(decode).collect()
}
