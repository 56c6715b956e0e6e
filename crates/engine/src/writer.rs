//! One entry being written: reads rows as they show here and now, with what the entry did so far, and makes effects.
//!
//! Nothing here waits. A command that needs a row which is not in memory stops with [`Stop::Missing`]; everything that
//! its transaction did is then taken back, the row is loaded, and the transaction runs again from the start. A command
//! that is refused has its own effects taken back, and those alone, as Redis's MULTI does.
//!
//! The helpers are the sentences of docs/semantics.md: [`Writer::ready`] before writing an element,
//! [`Writer::replace`] for what becomes something else altogether, [`Writer::remove`] for elements,
//! [`Writer::drop_key`] for the key.

use std::collections::BTreeMap;
use std::sync::Arc;

use cartograph_crdt::{
    Dot, Effect, Element, ElementId, Exact, Header, Hlc, Needs, Observed, Origin, Position, ReplicaId, Row,
    Sequence, Summary, Touched, Type, Value, VersionVector,
};
use cartograph_replica::{Entry, Key};

use crate::cache::Cache;
use crate::command::{Stamp, Want};
use crate::error::CommandError;

/// Keys that begin so hold the product's own replicated state and have no view.
pub const SYSTEM_PREFIX: &[u8] = b"\0cartograph:";

/// Why a command did not run to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stop {
    /// It needs this loaded first.
    Missing(Want),
    /// It is refused; nothing that it did stands.
    Refused(CommandError),
}

impl From<CommandError> for Stop {
    fn from(error: CommandError) -> Self {
        Stop::Refused(error)
    }
}

/// What a key shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shown {
    /// Its type.
    pub ty: Type,
    /// Its expiry instant in Unix milliseconds; `None` for never.
    pub expiry: Option<u64>,
    /// Number of its elements.
    pub cardinality: u64,
}

/// A row's state from before, and what was touched since.
#[derive(Clone, Debug)]
pub(crate) struct Before {
    pub(crate) header: Header,
    pub(crate) summary: Summary,
    pub(crate) touched: Touched,
}

/// All rows that something touched, as they were before.
#[derive(Clone, Debug, Default)]
pub(crate) struct Layer {
    pub(crate) rows: BTreeMap<Key, Before>,
}

impl Layer {
    /// Adds what was touched after this.
    pub(crate) fn extend(&mut self, later: Layer) {
        for (key, before) in later.rows {
            match self.rows.get_mut(&key) {
                Some(mine) => mine.touched.extend(before.touched),
                None => {
                    self.rows.insert(key, before);
                }
            }
        }
    }

    /// Puts every touched row back as it was.
    pub(crate) fn undo(self, cache: &mut Cache) {
        for (key, before) in self.rows {
            if let Some(row) = cache.row_mut(&key) {
                row.undo(before.header, before.summary, before.touched);
            }
        }
    }

    /// The record of `row`, begun now if it is new.
    pub(crate) fn record(&mut self, key: &[u8], row: &Row) -> &mut Touched {
        let begin = || Before {
            header: row.header.clone(),
            summary: row.summary.clone(),
            touched: Touched::default(),
        };
        &mut self.rows.entry(key.to_vec()).or_insert_with(begin).touched
    }
}

/// A small generator for the choices that Redis leaves to chance (SPOP): seeded by the driver, so that a simulation
/// replays.
#[derive(Clone, Debug)]
pub(crate) struct Chance(pub(crate) u64);

impl Chance {
    /// A number below `bound` (0 for a bound of 0).
    fn below(&mut self, bound: usize) -> usize {
        // SplitMix64: Steele, Lea, Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
        let bound = bound as u64;
        usize::try_from(z.checked_rem(bound).unwrap_or(0)).unwrap_or(0)
    }
}

/// What every entry of a commit shares.
#[derive(Clone, Debug)]
pub(crate) struct Setting {
    pub(crate) me: ReplicaId,
    pub(crate) context: Arc<VersionVector>,
    pub(crate) now_ms: u64,
}

/// One entry being written.
#[derive(Debug)]
pub struct Writer<'a> {
    cache: &'a mut Cache,
    chance: &'a mut Chance,
    setting: &'a Setting,
    sequence: Sequence,
    hlc: Hlc,
    effects: Vec<(Key, Effect)>,
    ahead: Vec<(Key, VersionVector)>,
    weight: usize,
    entry: Layer,
    command: Layer,
    system: bool,
}

impl<'a> Writer<'a> {
    pub(crate) fn new(
        cache: &'a mut Cache,
        chance: &'a mut Chance,
        setting: &'a Setting,
        sequence: Sequence,
        hlc: Hlc,
        system: bool,
    ) -> Self {
        Writer {
            cache,
            chance,
            setting,
            sequence,
            hlc,
            effects: Vec::new(),
            ahead: Vec::new(),
            weight: 0,
            entry: Layer::default(),
            command: Layer::default(),
            system,
        }
    }

    /// Runs one command of the entry; if it is refused, its own effects are taken back.
    pub(crate) fn step<T>(&mut self, run: impl FnOnce(&mut Self) -> Result<T, Stop>) -> Result<T, Stop> {
        let (effects, ahead, weight) = (self.effects.len(), self.ahead.len(), self.weight);
        let result = run(self);
        let command = std::mem::take(&mut self.command);
        if result.is_ok() {
            self.entry.extend(command);
        } else {
            command.undo(self.cache);
            self.effects.truncate(effects);
            self.ahead.truncate(ahead);
            self.weight = weight;
        }
        result
    }

    /// Takes everything back.
    pub(crate) fn abandon(self) {
        self.entry.undo(self.cache);
    }

    /// The entry (if anything was changed), and the rows it touched.
    pub(crate) fn finish(self) -> (Option<Entry>, Layer) {
        let entry = (!self.effects.is_empty()).then(|| Entry {
            replica: self.setting.me,
            sequence: self.sequence,
            hlc: self.hlc,
            context: Arc::clone(&self.setting.context),
            ahead: self.ahead,
            effects: self.effects,
        });
        (entry, self.entry)
    }

    /// The expiry clock, Unix milliseconds.
    pub fn now_ms(&self) -> u64 {
        self.setting.now_ms
    }

    /// A random number below `bound`, 0 for a bound of 0.
    pub fn random_below(&mut self, bound: usize) -> usize {
        self.chance.below(bound)
    }

    /// What the key shows: `None` when it is absent, expired, or emptied.
    ///
    /// # Errors
    /// [`Stop::Missing`]; [`CommandError::ReservedKey`].
    pub fn look(&mut self, key: &[u8]) -> Result<Option<Shown>, Stop> {
        let now = self.setting.now_ms;
        let row = self.header(key)?;
        Ok(shown(&row.header, &row.summary, now))
    }

    /// How the key stands, for those who watch it. Changes of entries that no commit has yet taken are not counted:
    /// whoever asks must see to it that there are none.
    ///
    /// # Errors
    /// As [`Writer::look`].
    pub(crate) fn stamp(&mut self, key: &[u8]) -> Result<Stamp, Stop> {
        let shown = self.look(key)?.is_some();
        let changed = self.header(key)?.summary.changed;
        Ok(Stamp {
            incarnation: self.setting.me.incarnation,
            changed,
            shown,
        })
    }

    /// The same, refused when the key shows another type.
    ///
    /// # Errors
    /// [`CommandError::WrongType`]; as [`Writer::look`].
    pub fn look_typed(&mut self, key: &[u8], ty: Type) -> Result<Option<Shown>, Stop> {
        match self.look(key)? {
            Some(shown) if shown.ty != ty => Err(CommandError::WrongType.into()),
            shown => Ok(shown),
        }
    }

    /// The element's state, `None` when it is not live. Does not look at the key's expiry or shown type: ask
    /// [`Writer::look_typed`] first.
    ///
    /// # Errors
    /// [`Stop::Missing`].
    pub fn element(&mut self, key: &[u8], id: &ElementId) -> Result<Option<&Element>, Stop> {
        self.known_element(key, id)?;
        Ok(self
            .cache
            .row(key)
            .and_then(|row| row.element(id))
            .filter(|e| e.is_live()))
    }

    /// Asks for all of these elements that are not loaded, in one go.
    ///
    /// # Errors
    /// [`Stop::Missing`] with every one of them.
    pub fn need(&mut self, key: &[u8], ids: &[ElementId]) -> Result<(), Stop> {
        let row = self.header(key)?;
        let lacking: Vec<ElementId> = ids.iter().filter(|id| !row.has_loaded(id)).cloned().collect();
        if lacking.is_empty() {
            Ok(())
        } else {
            Err(Stop::Missing(Want::elements(key, lacking)))
        }
    }

    /// The whole row.
    ///
    /// # Errors
    /// [`Stop::Missing`].
    pub fn whole(&mut self, key: &[u8]) -> Result<&Row, Stop> {
        match self.header(key)? {
            row if row.is_complete() => {}
            _ => return Err(Stop::Missing(Want::all(key))),
        }
        self.header(key)
    }

    /// Before any write to an element of type `ty`: a key that shows nothing is made anew (what was seen of it goes,
    /// its expiry is none); else the write carries the expiry that it found, unless it sets one itself.
    ///
    /// # Errors
    /// [`Stop::Missing`].
    pub fn ready(&mut self, key: &[u8], shown: Option<Shown>, ty: Type) -> Result<(), Stop> {
        self.make_ready(key, shown, ty)?;
        match shown {
            None => self.emit(key, Effect::Expire { at: None }),
            Some(Shown { expiry: Some(at), .. }) => self.emit(key, Effect::Restate { at }),
            Some(Shown { expiry: None, .. }) => Ok(()),
        }
    }

    /// The same for a write that sets the key's expiry in the same entry: nothing to restate, nothing to reset.
    ///
    /// # Errors
    /// [`Stop::Missing`].
    pub fn ready_with_expiry(
        &mut self,
        key: &[u8],
        shown: Option<Shown>,
        ty: Type,
        at: Option<u64>,
    ) -> Result<(), Stop> {
        self.make_ready(key, shown, ty)?;
        self.emit(key, Effect::Expire { at })
    }

    fn make_ready(&mut self, key: &[u8], shown: Option<Shown>, ty: Type) -> Result<(), Stop> {
        if shown.is_none() {
            let observed = self.observed_of_key(key)?;
            self.emit(key, Effect::Delete { observed })?;
            self.emit(key, Effect::Create { ty })?;
        }
        Ok(())
    }

    /// The key becomes something else altogether (SET, RENAME, COPY, *STORE): what was seen of it goes. `expiry` is
    /// the new one (`Some(None)` for none), or `None` to keep what it has.
    ///
    /// # Errors
    /// [`Stop::Missing`].
    pub fn replace(
        &mut self,
        key: &[u8],
        shown: Option<Shown>,
        ty: Type,
        expiry: Option<Option<u64>>,
    ) -> Result<(), Stop> {
        if shown.is_some_and(|s| s.ty == Type::HyperLogLog) {
            self.emit(key, Effect::Wipe)?;
        }
        let observed = self.observed_of_key(key)?;
        if let Some(at) = expiry {
            self.emit(key, Effect::Delete { observed })?;
            self.emit(key, Effect::Create { ty })?;
            return self.emit(key, Effect::Expire { at });
        }
        self.emit(key, Effect::Clear { observed })?;
        self.emit(key, Effect::Create { ty })?;
        match shown.and_then(|s| s.expiry) {
            Some(at) => self.emit(key, Effect::Restate { at }),
            None => Ok(()),
        }
    }

    /// The key goes, with all that was seen of it.
    ///
    /// # Errors
    /// [`Stop::Missing`].
    pub fn drop_key(&mut self, key: &[u8], shown: Shown) -> Result<(), Stop> {
        if shown.ty == Type::HyperLogLog {
            self.emit(key, Effect::Wipe)?;
        }
        let observed = self.observed_of_key(key)?;
        self.emit(key, Effect::Delete { observed })
    }

    /// Elements go, with all that was seen of them; a key that is emptied by this is deleted.
    ///
    /// # Errors
    /// [`Stop::Missing`].
    pub fn remove(&mut self, key: &[u8], ids: impl IntoIterator<Item = ElementId>) -> Result<(), Stop> {
        let mut any = false;
        for id in ids {
            let observed = self.observed(key, &id)?;
            self.emit(
                key,
                Effect::Remove {
                    element: id,
                    observed,
                },
            )?;
            any = true;
        }
        if any && self.look(key)?.is_none() {
            let observed = self.observed_of_key(key)?;
            self.emit(key, Effect::Delete { observed })?;
        }
        Ok(())
    }

    /// One element goes, and nothing else, even if it was the last: for writes that put it back in the same entry.
    ///
    /// # Errors
    /// [`Stop::Missing`].
    pub fn reset(&mut self, key: &[u8], id: ElementId) -> Result<(), Stop> {
        let observed = self.observed(key, &id)?;
        self.emit(
            key,
            Effect::Remove {
                element: id,
                observed,
            },
        )
    }

    /// A register gets a value.
    ///
    /// # Errors
    /// [`Stop::Missing`].
    pub fn assign(&mut self, key: &[u8], id: ElementId, value: Value) -> Result<(), Stop> {
        let observed = self.observed(key, &id)?;
        self.emit(
            key,
            Effect::Assign {
                element: id,
                value,
                observed,
            },
        )
    }

    /// A member is there.
    ///
    /// # Errors
    /// [`Stop::Missing`].
    pub fn add(&mut self, key: &[u8], id: ElementId) -> Result<(), Stop> {
        self.emit(key, Effect::Add { element: id })
    }

    /// A number grows by exactly `delta`.
    ///
    /// # Errors
    /// [`Stop::Missing`].
    pub fn increment(&mut self, key: &[u8], id: ElementId, delta: Exact) -> Result<(), Stop> {
        self.known_element(key, &id)?;
        let me = self.setting.me;
        let at = Position {
            sequence: self.sequence,
            index: u32::try_from(self.effects.len()).unwrap_or(u32::MAX),
        };
        let next = match self.cache.row(key).and_then(|row| row.element(&id)) {
            Some(Element::Number(n)) => n.counter.next_increment(me, at, delta),
            Some(Element::Member(_) | Element::Ranks(_)) | None => (at, delta),
        };
        let (tag, sum) = next;
        self.emit(
            key,
            Effect::Inc {
                element: id,
                tag,
                sum,
            },
        )
    }

    /// The key's expiry is set (`None`: never).
    ///
    /// # Errors
    /// [`Stop::Missing`].
    pub fn expire(&mut self, key: &[u8], at: Option<u64>) -> Result<(), Stop> {
        self.emit(key, Effect::Expire { at })
    }

    /// Makes an effect, and applies it here at once.
    ///
    /// # Errors
    /// [`Stop::Missing`]; [`CommandError::EntryTooLarge`]; [`CommandError::ReservedKey`].
    pub fn emit(&mut self, key: &[u8], effect: Effect) -> Result<(), Stop> {
        let now = self.setting.now_ms;
        let index = u32::try_from(self.effects.len()).unwrap_or(u32::MAX);
        // Looked up once: this is done for every effect.
        let row = self
            .cache
            .row_mut(key)
            .filter(|_| self.system || !key.starts_with(SYSTEM_PREFIX));
        let Some(row) = row else {
            return Err(self.unreachable(key));
        };
        let ahead = row.header.ahead.clone();
        let scope = scope(&self.setting.context, &ahead);
        let origin = Origin {
            dot: Dot::new(self.setting.me, self.sequence, index),
            hlc: self.hlc,
            context: &scope,
        };
        match row.lacks(&effect, &origin) {
            Needs::Nothing if !view_needs_all(row, &effect, now) => {}
            Needs::Element(id) => return Err(Stop::Missing(Want::elements(key, vec![id]))),
            Needs::Nothing | Needs::Everything => return Err(Stop::Missing(Want::all(key))),
        }
        self.weight += cartograph_replica::entry::effect_weight(key, &effect);
        if self.weight > cartograph_replica::entry::ENTRY_BYTES_MAX {
            let limit = cartograph_replica::entry::ENTRY_BYTES_MAX;
            return Err(CommandError::EntryTooLarge {
                bytes: self.weight,
                limit,
            }
            .into());
        }
        if !ahead.is_empty() && !self.ahead.iter().any(|(k, _)| k == key) {
            self.ahead.push((key.to_vec(), ahead));
        }
        let touched = self.command.record(key, row);
        row.apply(&effect, &origin, touched);
        self.effects.push((key.to_vec(), effect));
        Ok(())
    }

    /// Why this key's row cannot be had now.
    fn unreachable(&self, key: &[u8]) -> Stop {
        if key.starts_with(SYSTEM_PREFIX) && !self.system {
            CommandError::ReservedKey.into()
        } else {
            Stop::Missing(Want::header(key))
        }
    }

    fn header(&mut self, key: &[u8]) -> Result<&Row, Stop> {
        let row = self.cache.row(key);
        let row = row.filter(|_| self.system || !key.starts_with(SYSTEM_PREFIX));
        row.ok_or_else(|| self.unreachable(key))
    }

    fn known_element(&mut self, key: &[u8], id: &ElementId) -> Result<(), Stop> {
        if self.header(key)?.has_loaded(id) {
            Ok(())
        } else {
            Err(Stop::Missing(Want::elements(key, vec![id.clone()])))
        }
    }

    fn observed(&mut self, key: &[u8], id: &ElementId) -> Result<Observed, Stop> {
        self.known_element(key, id)?;
        let me = self.setting.me;
        let element = self.cache.row(key).and_then(|row| row.element(id));
        Ok(element.map_or_else(Observed::default, |e| e.observed(me)))
    }

    fn observed_of_key(&mut self, key: &[u8]) -> Result<Vec<(ElementId, Observed)>, Stop> {
        let me = self.setting.me;
        let row = self.header(key)?;
        if row.summary.counters == 0 {
            return Ok(Vec::new());
        }
        if !row.is_complete() {
            return Err(Stop::Missing(Want::all(key)));
        }
        Ok(row.observed(me))
    }
}

/// What a writer has seen of a key of which a snapshot has brought more.
fn scope(context: &Arc<VersionVector>, ahead: &VersionVector) -> Arc<VersionVector> {
    if ahead.is_empty() {
        return Arc::clone(context);
    }
    let mut scope = (**context).clone();
    scope.join(ahead);
    Arc::new(scope)
}

/// What a key with this header and summary shows at `now_ms`.
pub(crate) fn shown(header: &Header, summary: &Summary, now_ms: u64) -> Option<Shown> {
    let expiry = header.expiry();
    if expiry.is_some_and(|at| at <= now_ms) {
        return None;
    }
    let ty = cartograph_crdt::row::shown_type(header, summary)?;
    Some(Shown {
        ty,
        expiry,
        cardinality: summary.live_of(ty),
    })
}

/// Must the whole row be known before this effect, so that its view can be written afterwards? Yes where the shown
/// type may change, or a hidden key may come back.
pub(crate) fn view_needs_all(row: &Row, effect: &Effect, now_ms: u64) -> bool {
    if row.is_complete() || row.summary.types() == 0 {
        return false;
    }
    let whole_key = matches!(
        effect,
        Effect::Delete { .. } | Effect::Clear { .. } | Effect::Revoke
    );
    if whole_key && row.summary.types() == 1 {
        // Goes in one stroke, or `Row::lacks` has asked for everything already.
        return false;
    }
    let shown = shown(&row.header, &row.summary, now_ms);
    match (shown, effect.element()) {
        (None, _) => true,
        (Some(_), _) if row.summary.types() > 1 => true,
        (Some(shown), Some(id)) => shown.ty != id.ty,
        (Some(_), None) => false,
    }
}
