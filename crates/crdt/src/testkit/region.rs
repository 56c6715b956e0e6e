//! A region in miniature: stored blobs, partly loaded rows, a version vector, and what is known of the others.
//!
//! The blobs are the truth. A row is loaded with nothing but its header and summary, and gets only what
//! [`Row::lacks`] asks for, so that partial rows, the codec and the list of what a commit must write are all tried by
//! every history.

use std::collections::{BTreeMap, BTreeSet};

use super::mark;
use super::model::{Elem, ElementState, KeyState, Mask, number};
use crate::causal::{Origin, VersionVector};
use crate::effect::{Effect, ElementId, Observed, Type};
use crate::element::Element;
use crate::hlc::Hlc;
use crate::ids::{Dot, ReplicaId};
use crate::import::ImportedSpan;
use crate::row::{Header, Needs, Row, Summary, Touched};
use crate::stored::{self, ReplicaTable};

/// Number of keys in a history.
pub const KEYS: usize = 3;

/// The name of a key.
pub fn key_name(key: usize) -> Vec<u8> {
    format!("k{key}").into_bytes()
}

/// An element's id in the kernel.
pub fn element_id(elem: Elem) -> ElementId {
    match elem.ty {
        Type::String => ElementId::string(),
        Type::HyperLogLog => ElementId::register(elem.name),
        ty => ElementId {
            ty,
            name: vec![b'a' + u8::try_from(elem.name).unwrap_or(0)],
        },
    }
}

fn elem_of(id: &ElementId) -> Elem {
    let name = match id.ty {
        Type::String => 0,
        Type::HyperLogLog => u16::from_be_bytes([id.name[0], id.name[1]]),
        _ => u16::from(id.name[0] - b'a'),
    };
    Elem { ty: id.ty, name }
}

/// What is stored of one key.
#[derive(Clone, Debug, Default)]
struct Stored {
    header: Vec<u8>,
    summary: Vec<u8>,
    elements: BTreeMap<ElementId, Vec<u8>>,
}

/// A snapshot that is being joined.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// The sending region.
    pub from: usize,
    /// Its vector when the scan began.
    pub start: VersionVector,
    /// Keys that were scanned: `Some(vector)` where there was no row, with the sender's vector then.
    pub scanned: BTreeMap<usize, Option<VersionVector>>,
}

/// One region.
#[derive(Clone, Debug)]
pub struct Region {
    /// Its live incarnation.
    pub me: ReplicaId,
    /// That replica's number in the history.
    pub number: usize,
    /// What has been applied.
    pub vector: VersionVector,
    /// The last clock reading given to an entry.
    pub hlc: Hlc,
    /// Physical time, in milliseconds; may step back.
    pub time: u64,
    /// The last reading of the expiry clock that was reported.
    pub reported: u64,
    /// Which operations have been applied, by key: the model's whole state.
    pub seen: [Mask; KEYS],
    /// Received entries that wait for their dependencies.
    pub parked: BTreeSet<usize>,
    /// The last reported vector and watermark of each replica, counted.
    pub known: BTreeMap<ReplicaId, (VersionVector, u64)>,
    /// Reports that do not count yet.
    pub pending: Vec<(ReplicaId, VersionVector, u64)>,
    /// A snapshot that is being joined.
    pub snapshot: Option<Snapshot>,
    /// Keys that a snapshot left in no state that a set of operations describes, until this is covered.
    pub unsettled: [Option<VersionVector>; KEYS],
    /// What was durable when the region last told anyone what it has.
    pub checkpoint: Option<Box<Region>>,
    /// Keys that changed since they were last compared.
    pub dirty: [bool; KEYS],
    /// The vector (with what rows were ahead of it) at each batch.
    batches: Vec<VersionVector>,
    table: ReplicaTable,
    stored: [Option<Stored>; KEYS],
    rows: [Option<Row>; KEYS],
    touched: BTreeMap<usize, Touched>,
    coin: u64,
}

impl Region {
    /// An empty region.
    pub fn new(me: ReplicaId, number: usize, time: u64, seed: u64) -> Self {
        Region {
            me,
            number,
            vector: VersionVector::new(),
            hlc: Hlc::default(),
            time,
            reported: 0,
            seen: [0; KEYS],
            parked: BTreeSet::new(),
            known: BTreeMap::new(),
            pending: Vec::new(),
            snapshot: None,
            unsettled: [const { None }; KEYS],
            checkpoint: None,
            dirty: [false; KEYS],
            batches: vec![VersionVector::new()],
            table: ReplicaTable::default(),
            stored: [const { None }; KEYS],
            rows: [const { None }; KEYS],
            touched: BTreeMap::new(),
            coin: seed,
        }
    }

    /// The expiry clock: never behind what was reported.
    pub fn clock(&self) -> u64 {
        self.time.max(self.reported)
    }

    /// What is here now is durable: no crash takes it.
    pub fn checkpoint(&mut self) {
        self.checkpoint = None;
        self.checkpoint = Some(Box::new(self.clone()));
    }

    /// A coin that falls heads once in `n`; part of the region so that a history replays.
    pub fn flip(&mut self, n: u64) -> bool {
        super::next_random(&mut self.coin).is_multiple_of(n)
    }

    /// Forgets everything that is only in memory.
    pub fn evict_all(&mut self) {
        self.rows = [const { None }; KEYS];
    }

    /// Forgets a row, or only its elements.
    pub fn evict(&mut self, key: usize, whole: bool) {
        if whole {
            self.rows[key] = None;
        } else if let Some(row) = &mut self.rows[key] {
            row.evict_elements();
        }
    }

    fn decode(&self, id: &ElementId, blob: &[u8]) -> Element {
        stored::decode_element(id.ty, blob, &self.table).expect("a stored element reads back")
    }

    fn decode_header(&self, stored: &Stored) -> (Header, Summary) {
        let header = stored::decode_header(&stored.header, &self.table).expect("a stored header reads back");
        let summary =
            stored::decode_summary(&stored.summary, &self.table).expect("a stored summary reads back");
        (header, summary)
    }

    /// The row, with at least its header and summary.
    pub fn row(&mut self, key: usize) -> &mut Row {
        if self.rows[key].is_none() {
            let row = match &self.stored[key] {
                None => Row::absent(),
                Some(stored) => {
                    let (header, summary) = self.decode_header(stored);
                    Row::loaded(header, summary, [], false)
                }
            };
            self.rows[key] = Some(row);
        }
        let row = self.rows[key].as_mut().expect("just loaded");
        if !row.header.ahead.is_empty() {
            row.header.ahead.forget(&self.vector);
        }
        row
    }

    fn supply(&mut self, key: usize, needs: &Needs) {
        self.row(key);
        let stored = self.stored[key].as_ref();
        let loaded: Vec<(ElementId, Option<Element>)> = match needs {
            Needs::Nothing => return,
            Needs::Element(id) => {
                let blob = stored.and_then(|s| s.elements.get(id));
                vec![(id.clone(), blob.map(|b| self.decode(id, b)))]
            }
            Needs::Everything => {
                let blobs = stored.iter().flat_map(|s| &s.elements);
                blobs
                    .map(|(id, b)| (id.clone(), Some(self.decode(id, b))))
                    .collect()
            }
        };
        self.row(key).supply(loaded, *needs == Needs::Everything);
    }

    /// The row with all its elements.
    pub fn whole_row(&mut self, key: usize) -> &mut Row {
        if !self.row(key).is_complete() {
            self.supply(key, &Needs::Everything);
        }
        self.row(key)
    }

    /// The row as stored, read afresh.
    pub fn stored_row(&self, key: usize) -> Row {
        match &self.stored[key] {
            None => Row::absent(),
            Some(stored) => {
                let (mut header, summary) = self.decode_header(stored);
                header.ahead.forget(&self.vector);
                let elements = stored
                    .elements
                    .iter()
                    .map(|(id, b)| (id.clone(), self.decode(id, b)));
                Row::loaded(header, summary, elements, true)
            }
        }
    }

    /// One element's state.
    pub fn element(&mut self, key: usize, id: &ElementId) -> Element {
        if !self.row(key).has_loaded(id) {
            self.supply(key, &Needs::Element(id.clone()));
        }
        self.row(key)
            .element(id)
            .cloned()
            .unwrap_or_else(|| Element::empty(id.ty))
    }

    /// What a removal of the whole key must name.
    pub fn observed(&mut self, key: usize) -> Vec<(ElementId, Observed)> {
        let me = self.me;
        if self.row(key).summary.counters == 0 {
            Vec::new()
        } else {
            self.whole_row(key).observed(me)
        }
    }

    /// What folding takes of an element.
    pub fn foldable(&mut self, key: usize, id: &ElementId) -> Vec<ImportedSpan> {
        let Element::Number(n) = self.element(key, id) else {
            return Vec::new();
        };
        let base = n
            .register
            .winner()
            .map(|w| number(&w.value).expect("only numbers are folded"));
        n.foldable(&key_name(key), base)
    }

    /// Applies an effect, loading what it needs.
    pub fn apply(&mut self, key: usize, effect: &Effect, origin: &Origin<'_>) {
        self.row(key);
        loop {
            let needs = self.row(key).lacks(effect, origin);
            if needs == Needs::Nothing {
                break;
            }
            self.supply(key, &needs);
        }
        if self.flip(16) {
            self.apply_and_undo(key, effect, origin);
        }
        let row = self.rows[key].as_mut().expect("loaded above");
        if !row.is_complete()
            && matches!(
                effect,
                Effect::Delete { .. } | Effect::Clear { .. } | Effect::Wipe
            )
        {
            mark("a partly loaded key was dropped whole");
        }
        let mut touched = Touched::default();
        row.apply(effect, origin, &mut touched);
        self.touched.entry(key).or_default().extend(touched);
    }

    /// Taking an effect back must leave the row as it was.
    fn apply_and_undo(&mut self, key: usize, effect: &Effect, origin: &Origin<'_>) {
        let before = self.row(key).clone();
        let mut row = before.clone();
        let mut touched = Touched::default();
        row.apply(effect, origin, &mut touched);
        row.undo(before.header.clone(), before.summary.clone(), touched);
        assert!(
            row.elements().eq(before.elements()),
            "undo left other elements: {row:?}, were {before:?}"
        );
        assert_eq!((&row.header, &row.summary), (&before.header, &before.summary));
        assert!(
            before.is_complete() || !row.is_complete(),
            "undo made a partial row complete"
        );
    }

    /// Joins another region's whole row.
    pub fn join(&mut self, key: usize, other: &Row, theirs: &VersionVector) {
        let mut ours = self.vector.clone();
        ours.join(&self.row(key).header.ahead);
        let mut touched = Touched::default();
        self.whole_row(key).join(&ours, other, theirs, &mut touched);
        let mut ahead = ours;
        ahead.join(theirs);
        ahead.forget(&self.vector);
        self.row(key).header.ahead = ahead;
        self.touched.entry(key).or_default().extend(touched);
    }

    /// Drops what `seen` covers of a key that had no row at the sender.
    pub fn forget_covered(&mut self, key: usize, seen: &VersionVector) {
        let mut ours = self.vector.clone();
        ours.join(&self.row(key).header.ahead);
        let mut touched = Touched::default();
        self.whole_row(key).forget_covered(&ours, seen, &mut touched);
        self.touched.entry(key).or_default().extend(touched);
    }

    /// Collects what nobody needs of a key, element by element as the garbage index would name them.
    pub fn collect(
        &mut self,
        key: usize,
        stable: &VersionVector,
        owner_has_seen: &dyn Fn(ReplicaId, &Dot) -> bool,
    ) {
        let garbage = self.row(key).header.has_garbage();
        let mut touched = Touched::default();
        self.row(key).collect(None, stable, owner_has_seen, &mut touched);
        let ids: Vec<ElementId> = self.stored[key]
            .iter()
            .flat_map(|s| s.elements.keys().cloned())
            .collect();
        for id in ids {
            let before = self.element(key, &id);
            if before.has_garbage() {
                self.row(key)
                    .collect(Some(&id), stable, owner_has_seen, &mut touched);
                if self.element(key, &id) != before {
                    mark("an element's garbage was collected");
                }
            }
        }
        if garbage && !self.row(key).header.has_garbage() {
            mark("a header's garbage was collected");
        }
        let changed = self.row(key).summary.changed;
        if self.row(key).header.ahead.is_empty() && stable.dominates(self.batch(changed)) {
            if self.row(key).summary.types() == 0 && !self.row(key).header.is_empty() {
                mark("leftovers of a dead key were collected");
            }
            self.row(key).collect_leftovers();
        }
        self.touched.entry(key).or_default().extend(touched);
        self.write(false);
    }

    /// Purges a key; the caller knows that it may.
    pub fn purge(&mut self, key: usize) {
        let mut touched = Touched::default();
        self.row(key).purge(&mut touched);
        self.touched.entry(key).or_default().extend(touched);
        self.write(false);
    }

    /// What had been applied at a batch.
    pub fn batch(&self, batch: u64) -> &VersionVector {
        &self.batches[usize::try_from(batch).unwrap_or(0)]
    }

    /// Commits what effects touched.
    pub fn commit(&mut self) {
        self.write(true);
    }

    fn write(&mut self, counts_as_change: bool) {
        let mut had = self.vector.clone();
        let batch = self.batches.len() as u64;
        for (key, touched) in std::mem::take(&mut self.touched) {
            self.dirty[key] = true;
            let mut row = self.rows[key].take().expect("a touched row is loaded");
            row.header.ahead.forget(&self.vector);
            had.join(&row.header.ahead);
            if counts_as_change {
                row.summary.changed = batch;
            }
            if self.flip(4) {
                self.check_before_images(key, &touched);
            }
            self.store(key, &row, &touched);
            self.check_stored(key, &row);
            if !self.flip(3) {
                self.rows[key] = Some(row);
            }
        }
        self.batches.push(had);
    }

    /// The before-images must be what is still stored.
    fn check_before_images(&self, key: usize, touched: &Touched) {
        let before = |id: &ElementId| {
            let blob = self.stored[key].as_ref().and_then(|s| s.elements.get(id));
            blob.map_or_else(|| Element::empty(id.ty), |b| self.decode(id, b))
        };
        for (id, image) in &touched.elements {
            let stored = if touched.dropped.is_some() {
                Element::empty(id.ty)
            } else {
                before(id)
            };
            assert_eq!(*image, stored, "the before-image of {id:?}");
        }
        for (id, image) in touched.dropped.iter().flatten() {
            assert_eq!(*image, before(id), "the before-image of {id:?}, dropped");
        }
        if touched.dropped_complete && touched.dropped.is_some() {
            let stored = self.stored[key].as_ref().map_or(0, |s| s.elements.len());
            assert_eq!(
                touched.dropped.iter().flatten().count(),
                stored,
                "a complete drop names every element"
            );
        }
    }

    fn store(&mut self, key: usize, row: &Row, touched: &Touched) {
        let mut stored = self.stored[key].take().unwrap_or_default();
        if touched.dropped.is_some() {
            stored.elements.clear();
        }
        for id in touched.elements.keys() {
            match row.element(id) {
                Some(element) => {
                    let blob =
                        stored::encode_element(element, &mut self.table).expect("small elements encode");
                    stored.elements.insert(id.clone(), blob);
                }
                None => {
                    stored.elements.remove(id);
                }
            }
        }
        if row.is_empty() {
            assert!(
                stored.elements.is_empty(),
                "an empty row leaves elements stored: {stored:?}"
            );
            return;
        }
        stored.header = stored::encode_header(&row.header, &mut self.table).expect("a header encodes");
        stored.summary = stored::encode_summary(&row.summary, &mut self.table).expect("a summary encodes");
        self.stored[key] = Some(stored);
    }

    /// What is stored must be what is in memory, and what the summary says.
    fn check_stored(&mut self, key: usize, row: &Row) {
        if !self.flip(4) {
            return;
        }
        let stored = self.stored_row(key);
        if row.is_complete() && !row.is_empty() {
            assert!(
                stored.elements().eq(row.elements()),
                "the commit wrote {stored:?}, memory has {row:?}"
            );
        }
        if !row.is_empty() {
            assert_eq!((&stored.header, &stored.summary), (&row.header, &row.summary));
        }
        recount(&stored);
    }

    /// What the key is here.
    pub fn state(&mut self, key: usize) -> KeyState {
        if self.flip(4) {
            let row = self.stored_row(key);
            recount(&row);
            state_of(&row)
        } else {
            state_of(self.whole_row(key))
        }
    }

    /// The key's digest.
    pub fn digest(&mut self, key: usize) -> u64 {
        self.row(key).digest(&key_name(key))
    }

    /// Is nothing stored of the key?
    pub fn is_absent(&self, key: usize) -> bool {
        self.stored[key].is_none()
    }

    /// Takes in a report of `replica`; it counts once we have that replica's own entries up to it.
    pub fn count_reports(&mut self) {
        let vector = self.vector.clone();
        let (count, wait): (Vec<_>, Vec<_>) = std::mem::take(&mut self.pending)
            .into_iter()
            .partition(|(replica, reported, _)| vector.get(*replica) >= reported.get(*replica));
        self.pending = wait;
        for (replica, reported, watermark) in count {
            let known = self.known.entry(replica).or_default();
            known.0.join(&reported);
            known.1 = known.1.max(watermark);
        }
    }
}

/// Asserts that the summary of a whole row is what a recount gives.
pub fn recount(row: &Row) {
    let mut fresh = Summary {
        changed: row.summary.changed,
        ..Summary::default()
    };
    for (id, element) in row.elements() {
        fresh.live[id.ty.index()] += u64::from(element.is_live());
        fresh.counters += u64::from(element.has_counter());
        fresh.digest = fresh.digest.wrapping_add(element.digest(id));
        // With increments about, nobody asks for `top`.
        for dot in element
            .live_dots()
            .into_iter()
            .filter(|_| row.summary.counters == 0)
        {
            let top = row.summary.top.get(dot.replica);
            assert!(
                top >= dot.position.sequence.get(),
                "top {} is below the live {dot} of {row:?}",
                row.summary.top
            );
        }
    }
    fresh.top.clone_from(&row.summary.top);
    assert_eq!(
        fresh, row.summary,
        "the summary is not what a recount gives: {row:?}"
    );
}

/// What a whole row shows.
pub fn state_of(row: &Row) -> KeyState {
    let live = row.elements().filter(|(_, e)| e.is_live());
    let elements = live.map(|(id, e)| {
        let rank = match e {
            Element::Ranks(r) => r.rank(),
            Element::Member(_) | Element::Number(_) => 0,
        };
        (
            elem_of(id),
            ElementState {
                base: e.base().cloned(),
                increments: e.increments(),
                rank,
            },
        )
    });
    let shown = row.shown_type();
    KeyState {
        shown,
        expiry: shown.and_then(|_| row.header.expiry()),
        elements: elements.collect(),
    }
}
