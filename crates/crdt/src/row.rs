//! One key: its elements, what decides between its types, its expiry, and what must be remembered of removals.
//!
//! A key can hold elements of several types at once, when two regions made it as different types; the one with the
//! latest creating mark is shown. Everything else about a key that is not an element stands in its [`Header`]; what
//! can be derived from all elements but must not cost a scan stands in its [`Summary`].
//!
//! # Partial rows
//! A write touches only the elements it changes, so a row in memory may hold only some of its elements
//! ([`Row::is_complete`] tells). [`Row::lacks`] says what an effect needs loaded before [`Row::apply`] may be called.
//! An element that is known to be absent is kept as an empty one.
//!
//! # What wins
//! See docs/semantics.md. In short: removals take what they had seen; `assign` also resets the increments it had
//! seen; `expire` replaces what it had seen and of concurrent ones the longest counts; a restated expiry counts only
//! where no set one is left; `create` replaces the marks it had seen; `revoke` and `wipe` beat everything whose
//! writer had not seen them, and are remembered until causally stable.

use std::collections::{BTreeMap, BTreeSet};

use crate::causal::{Origin, VersionVector};
use crate::effect::{Effect, ElementId, Observed, Type, Value};
use crate::element::Element;
use crate::hlc::{Hlc, wins};
use crate::ids::{Dot, ReplicaId};
use crate::set_add_wins::join_dots;

/// When a removal of the whole key leaves fewer than one in so many of its elements, they are all dropped in one
/// stroke and what is left is written anew.
const FEW_LEFT: usize = 4;

/// A creating mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Created {
    /// The `create` effect.
    pub dot: Dot,
    /// Its clock reading.
    pub hlc: Hlc,
    /// The type that the key was made as.
    pub ty: Type,
}

/// A set or restated expiry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expiry {
    /// The `expire` or `restate` effect.
    pub dot: Dot,
    /// The instant in Unix milliseconds, `None` for never.
    pub at: Option<u64>,
}

/// What a key is besides its elements. All lists ascend by dot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// Creating marks; more than one only after concurrent creations.
    pub creates: Vec<Created>,
    /// Live set expiries; the longest counts.
    pub expires: Vec<Expiry>,
    /// Live restated expiries; the longest counts, where no set one is left.
    pub restates: Vec<Expiry>,
    /// Revokes that are not yet causally stable.
    pub revokes: Vec<Dot>,
    /// Wipes that are not yet causally stable.
    pub wipes: Vec<Dot>,
    /// What a snapshot's row had seen beyond our own vector: effects on this key that it covers are already in.
    pub ahead: VersionVector,
}

impl Header {
    /// Is there nothing to remember?
    pub fn is_empty(&self) -> bool {
        self.creates.is_empty()
            && self.expires.is_empty()
            && self.restates.is_empty()
            && self.revokes.is_empty()
            && self.wipes.is_empty()
            && self.ahead.is_empty()
    }

    /// The expiry instant in Unix milliseconds; `None` for never.
    pub fn expiry(&self) -> Option<u64> {
        let counts = if self.expires.is_empty() {
            &self.restates
        } else {
            &self.expires
        };
        let mut longest = Some(0);
        for e in counts {
            longest = match (longest, e.at) {
                (Some(a), Some(b)) => Some(a.max(b)),
                _ => None,
            };
        }
        if counts.is_empty() { None } else { longest }
    }

    fn observed_removal(&mut self, origin: &Origin<'_>) {
        self.creates.retain(|c| !origin.has_seen(&c.dot));
        self.expires.retain(|e| !origin.has_seen(&e.dot));
        self.restates.retain(|e| !origin.has_seen(&e.dot));
    }

    fn join(&mut self, ours: &VersionVector, other: &Header, theirs: &VersionVector) {
        join_dots(&mut self.creates, ours, &other.creates, theirs, |c| c.dot);
        join_dots(&mut self.expires, ours, &other.expires, theirs, |e| e.dot);
        join_dots(&mut self.restates, ours, &other.restates, theirs, |e| e.dot);
        join_dots(&mut self.revokes, ours, &other.revokes, theirs, |d| *d);
        join_dots(&mut self.wipes, ours, &other.wipes, theirs, |d| *d);
    }

    /// Is there something that waits for stability?
    pub fn has_garbage(&self) -> bool {
        self.revokes.len() + self.wipes.len() > 0 || self.expires.len() > 1 || self.restates.len() > 1
    }

    fn collect(&mut self, stable: &VersionVector) {
        self.revokes.retain(|d| !stable.covers(d));
        self.wipes.retain(|d| !stable.covers(d));
        if self.expires.iter().any(|e| stable.covers(&e.dot)) {
            self.restates.retain(|e| !stable.covers(&e.dot));
        }
        collect_shorter(&mut self.expires, stable);
        collect_shorter(&mut self.restates, stable);
    }
}

/// Drops stable expiries that a stable longer one hides for good.
fn collect_shorter(expiries: &mut Vec<Expiry>, stable: &VersionVector) {
    let rank = |e: &Expiry| (e.at.is_none(), e.at, e.dot);
    let Some(longest) = expiries.iter().copied().max_by_key(rank) else {
        return;
    };
    if stable.covers(&longest.dot) {
        expiries.retain(|e| e.dot == longest.dot || !stable.covers(&e.dot));
    }
}

/// What is known of all elements without looking at them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Live elements, by [`Type::index`].
    pub live: [u64; 5],
    /// Elements with increments or imports, live or dead: a removal of the key must name or keep them.
    pub counters: u64,
    /// Sum (wrapping) of the digests of all live elements.
    pub digest: u64,
    /// At least the highest sequence of each replica among the dots of live elements.
    pub top: VersionVector,
    /// The commit (batch id) that last changed the key here. What the region had applied by then must be causally
    /// stable before the key may be purged.
    pub changed: u64,
}

impl Summary {
    fn count(&mut self, id: &ElementId, element: &Element, sign: i64) {
        if let Some(live) = self.live.get_mut(id.ty.index()) {
            *live = live.wrapping_add_signed(sign * i64::from(element.is_live()));
        }
        self.counters = self
            .counters
            .wrapping_add_signed(sign * i64::from(element.has_counter()));
        let digest = element.digest(id);
        self.digest = if sign < 0 {
            self.digest.wrapping_sub(digest)
        } else {
            self.digest.wrapping_add(digest)
        };
    }

    /// Live elements of one type.
    pub fn live_of(&self, ty: Type) -> u64 {
        self.live.get(ty.index()).copied().unwrap_or(0)
    }

    /// How many types have live elements.
    pub fn types(&self) -> usize {
        self.live.iter().filter(|n| **n > 0).count()
    }

    fn forget_elements(&mut self) {
        *self = Summary {
            changed: self.changed,
            ..Summary::default()
        };
    }
}

/// What must be loaded before an effect can be applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Needs {
    /// Nothing more.
    Nothing,
    /// This element.
    Element(ElementId),
    /// Every element of the key.
    Everything,
}

/// What applying effects changed of a row, with the states from before: what its commit must write, how its view
/// differs, and how to take the effects back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Touched {
    /// All stored elements went in one stroke: those that were loaded, as they were before anything was touched.
    pub dropped: Option<BTreeMap<ElementId, Element>>,
    /// Was the row complete when its elements were dropped?
    pub dropped_complete: bool,
    /// Elements that changed, or may have (since they were dropped, if they were), each as it was before.
    pub elements: BTreeMap<ElementId, Element>,
}

impl Touched {
    /// Adds what was touched after this.
    pub fn extend(&mut self, later: Touched) {
        if let Some(mut dropped) = later.dropped {
            if self.dropped.is_none() {
                // As they were before anything was touched: our own before-images go over what the drop found.
                for (id, before) in std::mem::take(&mut self.elements) {
                    if before.is_empty() {
                        dropped.remove(&id);
                    } else {
                        dropped.insert(id, before);
                    }
                }
                self.dropped = Some(dropped);
                self.dropped_complete = later.dropped_complete;
            }
            self.elements = later.elements;
        } else {
            for (id, before) in later.elements {
                self.elements.entry(id).or_insert(before);
            }
        }
    }
}

/// One key's metadata, or as much of it as is loaded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Row {
    /// What is not an element.
    pub header: Header,
    /// What is known of all elements.
    pub summary: Summary,
    elements: BTreeMap<ElementId, Element>,
    complete: bool,
}

impl Row {
    /// The row of a key that has no metadata.
    pub fn absent() -> Self {
        Row {
            complete: true,
            ..Row::default()
        }
    }

    /// A row as loaded: `complete` when `elements` are all that is stored.
    pub fn loaded(
        header: Header,
        summary: Summary,
        elements: impl IntoIterator<Item = (ElementId, Element)>,
        complete: bool,
    ) -> Self {
        Row {
            header,
            summary,
            elements: elements.into_iter().collect(),
            complete,
        }
    }

    /// Adds freshly loaded elements; those already here are newer and stay. `None` means that none is stored.
    pub fn supply(&mut self, elements: impl IntoIterator<Item = (ElementId, Option<Element>)>, all: bool) {
        for (id, element) in elements {
            let ty = id.ty;
            self.elements
                .entry(id)
                .or_insert_with(|| element.unwrap_or_else(|| Element::empty(ty)));
        }
        self.complete |= all;
    }

    /// Are all elements here?
    pub fn is_complete(&self) -> bool {
        self.complete
    }

    /// Is this element's state known?
    pub fn has_loaded(&self, id: &ElementId) -> bool {
        self.complete || self.elements.contains_key(id)
    }

    /// The element's state, if it is loaded and there.
    pub fn element(&self, id: &ElementId) -> Option<&Element> {
        self.elements.get(id).filter(|e| !e.is_empty())
    }

    /// All loaded elements that are not empty, dead ones included, in order.
    pub fn elements(&self) -> impl Iterator<Item = (&ElementId, &Element)> {
        self.elements.iter().filter(|(_, e)| !e.is_empty())
    }

    /// The loaded live elements of one type, in order.
    pub fn live(&self, ty: Type) -> impl Iterator<Item = (&ElementId, &Element)> {
        let from = ElementId { ty, name: Vec::new() };
        self.elements
            .range(from..)
            .take_while(move |(id, _)| id.ty == ty)
            .filter(|(_, e)| e.is_live())
    }

    /// Is there nothing to store?
    pub fn is_empty(&self) -> bool {
        self.header.is_empty() && self.summary.types() == 0 && self.summary.counters == 0
    }

    /// The type that is shown, if any element is live: the one with the latest creating mark; those without a mark
    /// come after, in order of [`Type::ALL`]. Expiry is the caller's: see [`Header::expiry`].
    pub fn shown_type(&self) -> Option<Type> {
        shown_type(&self.header, &self.summary)
    }

    /// The key's digest: equal in all replicas with equal vectors. 0 when nothing is live.
    pub fn digest(&self, key: &[u8]) -> u64 {
        digest(key, &self.header, &self.summary)
    }

    /// Does the effect's writer know everything that is live here, so that removing it all needs no look at any element?
    fn can_drop(&self, origin: &Origin<'_>) -> bool {
        let mut top = self.summary.top.iter();
        self.summary.counters == 0 && top.all(|(r, n)| r == origin.dot.replica || n <= origin.context.get(r))
    }

    /// Does it hold a HyperLogLog and no other element, not even a dead one?
    fn is_hyperloglog_only(&self) -> bool {
        self.summary.counters == 0 && self.summary.types() == 1 && self.summary.live_of(Type::HyperLogLog) > 0
    }

    /// What must be loaded before `effect` can be applied.
    pub fn lacks(&self, effect: &Effect, origin: &Origin<'_>) -> Needs {
        if self.complete {
            return Needs::Nothing;
        }
        match effect {
            Effect::Delete { .. } | Effect::Clear { .. } if !self.can_drop(origin) => Needs::Everything,
            Effect::Wipe if self.summary.live_of(Type::HyperLogLog) > 0 && !self.is_hyperloglog_only() => {
                Needs::Everything
            }
            Effect::Delete { .. }
            | Effect::Clear { .. }
            | Effect::Wipe
            | Effect::Revoke
            | Effect::Expire { .. }
            | Effect::Restate { .. }
            | Effect::Create { .. } => Needs::Nothing,
            Effect::Add { .. }
            | Effect::AddRank { .. }
            | Effect::Assign { .. }
            | Effect::Inc { .. }
            | Effect::Remove { .. }
            | Effect::Import { .. } => match effect.element() {
                Some(id) if !self.has_loaded(&id) => Needs::Element(id),
                _ => Needs::Nothing,
            },
        }
    }

    /// What a removal of the whole key by `writer` must name. Needs every element, unless none has increments.
    pub fn observed(&self, writer: ReplicaId) -> Vec<(ElementId, Observed)> {
        let named = self.elements().map(|(id, e)| (id.clone(), e.observed(writer)));
        named.filter(|(_, o)| !o.is_empty()).collect()
    }

    /// Applies an effect whose needs are met. `Touched` collects what a commit must write.
    ///
    /// # Cost
    /// O(1) elements, except for removals of the whole key where some of it may survive or must be remembered: those
    /// look at every element, and touch what is left or what goes, whichever is less.
    pub fn apply(&mut self, effect: &Effect, origin: &Origin<'_>, touched: &mut Touched) {
        debug_assert_eq!(
            self.lacks(effect, origin),
            Needs::Nothing,
            "an effect was applied before its row was loaded"
        );
        // A write that had not seen a revoke is beaten by it. What it removed had not seen the revoke either; but what
        // a wipe beats may have.
        let removes_concurrent = matches!(effect, Effect::Revoke | Effect::Wipe);
        if !removes_concurrent && self.header.revokes.iter().any(|r| !origin.has_seen(r)) {
            return;
        }
        match effect {
            Effect::Add { element } => self.change(element, touched, |e| {
                if let Element::Member(m) = e {
                    m.add(origin);
                }
            }),
            Effect::AddRank { register, rank } => {
                if self.header.wipes.iter().all(|w| origin.has_seen(w)) {
                    self.change(&ElementId::register(*register), touched, |e| {
                        if let Element::Ranks(r) = e {
                            r.add(origin, *rank);
                        }
                    });
                }
            }
            Effect::Assign {
                element,
                value,
                observed,
            } => self.assign(element, value, observed, origin, touched),
            Effect::Inc { element, tag, sum } => self.change(element, touched, |e| {
                if let Element::Number(n) = e {
                    n.counter.increment(origin, *tag, sum.clone());
                }
            }),
            Effect::Import { element, imported } => self.change(element, touched, |e| {
                if let Element::Number(n) = e {
                    n.imports.import(origin, imported);
                }
            }),
            Effect::Remove { element, observed } => {
                self.change(element, touched, |e| e.remove(origin, observed));
            }
            Effect::Delete { observed } => {
                self.remove_all(observed, origin, touched);
                self.header.observed_removal(origin);
            }
            Effect::Clear { observed } => self.remove_all(observed, origin, touched),
            Effect::Expire { at } => {
                self.header.expires.retain(|e| !origin.has_seen(&e.dot));
                self.header.restates.retain(|e| !origin.has_seen(&e.dot));
                insert_by_dot(
                    &mut self.header.expires,
                    Expiry {
                        dot: origin.dot,
                        at: *at,
                    },
                );
            }
            Effect::Restate { at } => {
                self.header.restates.retain(|e| !origin.has_seen(&e.dot));
                insert_by_dot(
                    &mut self.header.restates,
                    Expiry {
                        dot: origin.dot,
                        at: Some(*at),
                    },
                );
            }
            Effect::Create { ty } => {
                self.header.creates.retain(|c| !origin.has_seen(&c.dot));
                self.header.creates.push(Created {
                    dot: origin.dot,
                    hlc: origin.hlc,
                    ty: *ty,
                });
                self.header.creates.sort_unstable_by_key(|c| c.dot);
            }
            Effect::Revoke => {
                self.forget_all(touched);
                self.header.creates.clear();
                self.header.expires.clear();
                self.header.restates.clear();
                self.header.revokes.push(origin.dot);
                self.header.revokes.sort_unstable();
            }
            Effect::Wipe => self.wipe(origin, touched),
        }
        if let Some(id) = effect.element()
            && self.element(&id).is_some_and(Element::is_live)
        {
            self.summary
                .top
                .raise(origin.dot.replica, origin.dot.position.sequence.get());
        }
    }

    fn assign(
        &mut self,
        element: &ElementId,
        value: &Value,
        observed: &Observed,
        origin: &Origin<'_>,
        touched: &mut Touched,
    ) {
        self.change(element, touched, |e| {
            if let Element::Number(n) = e {
                n.register.assign(origin, value.clone());
                n.counter.reset(origin, &observed.cells);
                n.imports.reset(origin, &observed.imports);
            }
        });
    }

    fn wipe(&mut self, origin: &Origin<'_>, touched: &mut Touched) {
        self.header.wipes.push(origin.dot);
        self.header.wipes.sort_unstable();
        if self.summary.live_of(Type::HyperLogLog) == 0 {
            return;
        }
        if self.is_hyperloglog_only() {
            return self.forget_all(touched);
        }
        let ids: Vec<_> = self.live(Type::HyperLogLog).map(|(id, _)| id.clone()).collect();
        for id in ids {
            self.change(&id, touched, |e| *e = Element::empty(Type::HyperLogLog));
        }
    }

    fn remove_all(&mut self, observed: &[(ElementId, Observed)], origin: &Origin<'_>, touched: &mut Touched) {
        if self.can_drop(origin) {
            return self.forget_all(touched);
        }
        let nothing = Observed::default();
        let named: BTreeMap<&ElementId, &Observed> = observed.iter().map(|(id, o)| (id, o)).collect();
        let seen = |id: &ElementId| named.get(id).copied().unwrap_or(&nothing);
        let left = |(id, element): (&ElementId, &Element)| {
            let mut rest = element.clone();
            rest.remove(origin, seen(id));
            (!rest.is_empty()).then(|| (id.clone(), rest))
        };
        let left: Vec<(ElementId, Element)> = self.elements().filter_map(left).collect();
        if left.len() * FEW_LEFT < self.elements.len() {
            // What must be written then is what is left, however much goes.
            self.forget_all(touched);
            for (id, rest) in left {
                self.change(&id, touched, |e| *e = rest);
            }
            return self.recompute_top();
        }
        let ids: Vec<_> = self.elements().map(|(id, _)| id.clone()).collect();
        for id in ids {
            self.change(&id, touched, |e| e.remove(origin, seen(&id)));
        }
        // As above: what a row says of itself must not depend on how much of it was written.
        self.recompute_top();
    }

    /// Every element goes, in one stroke.
    fn forget_all(&mut self, touched: &mut Touched) {
        let mut gone = std::mem::take(&mut self.elements);
        for (id, before) in std::mem::take(&mut touched.elements) {
            gone.insert(id, before);
        }
        gone.retain(|_, e| !e.is_empty());
        if touched.dropped.is_none() {
            touched.dropped = Some(gone);
            touched.dropped_complete = self.complete;
        }
        self.complete = true;
        self.summary.forget_elements();
    }

    fn change(&mut self, id: &ElementId, touched: &mut Touched, f: impl FnOnce(&mut Element)) {
        let element = self
            .elements
            .entry(id.clone())
            .or_insert_with(|| Element::empty(id.ty));
        self.summary.count(id, element, -1);
        touched
            .elements
            .entry(id.clone())
            .or_insert_with(|| element.clone());
        f(element);
        self.summary.count(id, element, 1);
        if element.is_empty() && self.complete {
            self.elements.remove(id);
        }
    }

    /// Takes back what `touched` recorded; `header` and `summary` are those from before.
    pub fn undo(&mut self, header: Header, summary: Summary, touched: Touched) {
        self.header = header;
        self.summary = summary;
        if let Some(dropped) = touched.dropped {
            self.elements = dropped;
            self.complete = touched.dropped_complete;
        } else {
            self.elements.extend(touched.elements);
        }
    }

    /// Joins a snapshot's row into this one. `ours` is what this row has seen (our vector and the row's `ahead`),
    /// `theirs` what the other has. Both rows must be complete. The caller sets `ahead`.
    pub fn join(&mut self, ours: &VersionVector, other: &Row, theirs: &VersionVector, touched: &mut Touched) {
        debug_assert!(self.complete && other.complete, "only whole rows can be joined");
        let mut theirs_row = other.clone();
        // What had not seen a revoke or wipe of the other side is beaten by it; and what a side holds that the other's
        // revoke had not reached cannot have seen it, or the revoke would be covered there.
        let unseen = |dots: &[Dot], vector: &VersionVector| dots.iter().any(|d| !vector.covers(d));
        if unseen(&other.header.revokes, ours) {
            self.beaten_by_revoke(touched);
        }
        if unseen(&self.header.revokes, theirs) {
            theirs_row.beaten_by_revoke(&mut Touched::default());
        }
        if unseen(&other.header.wipes, ours) {
            self.beaten_by_wipe(touched);
        }
        if unseen(&self.header.wipes, theirs) {
            theirs_row.beaten_by_wipe(&mut Touched::default());
        }
        self.header.join(ours, &theirs_row.header, theirs);
        let ids: BTreeSet<ElementId> = self
            .elements
            .keys()
            .chain(theirs_row.elements.keys())
            .cloned()
            .collect();
        for id in &ids {
            let nothing = Element::empty(id.ty);
            let theirs_element = theirs_row.elements.get(id).unwrap_or(&nothing);
            self.change(id, touched, |e| e.join(ours, theirs_element, theirs));
        }
        self.recompute_top();
    }

    fn beaten_by_revoke(&mut self, touched: &mut Touched) {
        self.forget_all(touched);
        self.header.creates.clear();
        self.header.expires.clear();
        self.header.restates.clear();
    }

    fn beaten_by_wipe(&mut self, touched: &mut Touched) {
        let ids: Vec<_> = self.live(Type::HyperLogLog).map(|(id, _)| id.clone()).collect();
        for id in ids {
            self.change(&id, touched, |e| *e = Element::empty(Type::HyperLogLog));
        }
    }

    fn recompute_top(&mut self) {
        let mut top = VersionVector::new();
        for dot in self.elements.values().flat_map(Element::live_dots) {
            if dot.position.sequence.get() > top.get(dot.replica) {
                top.raise(dot.replica, dot.position.sequence.get());
            }
        }
        self.summary.top = top;
    }

    /// Removes what `seen` covers, for the end of a snapshot that had no row for this key: it was gone there. Needs
    /// the complete row.
    pub fn forget_covered(&mut self, ours: &VersionVector, seen: &VersionVector, touched: &mut Touched) {
        self.join(ours, &Row::absent(), seen, touched);
    }

    /// Drops what nobody can need any more of the header and of the named element.
    pub fn collect(
        &mut self,
        id: Option<&ElementId>,
        stable: &VersionVector,
        owner_has_seen: impl Fn(ReplicaId, &Dot) -> bool,
        touched: &mut Touched,
    ) {
        self.header.collect(stable);
        if let Some(id) = id
            && self.element(id).is_some_and(Element::has_garbage)
        {
            self.change(id, touched, |e| e.collect(stable, owner_has_seen));
        }
    }

    /// Drops an expiry that is left on a key without live elements, and every creating mark. Only when everything that
    /// the region had applied at the key's last change is causally stable.
    pub fn collect_leftovers(&mut self) {
        if self.summary.types() == 0 {
            self.header.creates.clear();
            self.header.expires.clear();
            self.header.restates.clear();
        }
    }

    /// Forgets the whole row: it has expired everywhere, and everything about it is causally stable.
    pub fn purge(&mut self, touched: &mut Touched) {
        self.forget_all(touched);
        let ahead = std::mem::take(&mut self.header.ahead);
        self.header = Header {
            ahead,
            ..Header::default()
        };
    }

    /// Lets go of loaded elements to save memory; they can be loaded again.
    pub fn evict_elements(&mut self) {
        if !self.elements.is_empty() {
            self.elements.clear();
            self.complete = false;
        }
    }

    /// Roughly how many bytes the loaded part takes in memory.
    ///
    /// # Cost
    /// O(loaded elements); one element's part is [`Row::element_weight`].
    pub fn weight(&self) -> usize {
        320 + self.elements.iter().map(|(id, e)| weigh(id, e)).sum::<usize>()
    }

    /// Roughly how many bytes one element takes in memory; 0 if it is not here.
    pub fn element_weight(&self, id: &ElementId) -> usize {
        self.elements.get(id).map_or(0, |e| weigh(id, e))
    }

    /// By how much the loaded part grew in memory by what was touched, unless it was all dropped.
    ///
    /// # Cost
    /// O(elements touched).
    pub fn weight_gained(&self, touched: &Touched) -> isize {
        let gained = |(id, before): (&ElementId, &Element)| {
            // A complete row does not keep empty elements.
            let was = if before.is_empty() && self.complete {
                0
            } else {
                weigh(id, before)
            };
            self.element_weight(id).cast_signed() - was.cast_signed()
        };
        touched.elements.iter().map(gained).sum()
    }
}

fn weigh(id: &ElementId, element: &Element) -> usize {
    let state = match element {
        Element::Member(m) => m.dots().len() * 32,
        Element::Ranks(r) => r.ranked().len() * 40,
        Element::Number(n) => {
            let written = n.register.written().iter().map(|w| match &w.value {
                Value::Bytes(b) => 72 + b.len(),
                Value::Score(_) => 72,
            });
            160 + written.sum::<usize>() + n.counter.cells().len() * 160 + n.imports.cells().len() * 320
        }
    };
    72 + id.name.len() + state
}

/// The type that a key with this header and summary shows: see [`Row::shown_type`].
pub fn shown_type(header: &Header, summary: &Summary) -> Option<Type> {
    let mark = |ty: Type| {
        let marks = header.creates.iter().filter(move |c| c.ty == ty);
        marks.reduce(|a, b| {
            if wins((b.hlc, &b.dot), (a.hlc, &a.dot)) {
                b
            } else {
                a
            }
        })
    };
    let live = Type::ALL.into_iter().filter(|ty| summary.live_of(*ty) > 0);
    live.reduce(|best, ty| match (mark(best), mark(ty)) {
        (None, Some(_)) => ty,
        (Some(a), Some(b)) if wins((b.hlc, &b.dot), (a.hlc, &a.dot)) => ty,
        _ => best,
    })
}

/// The digest of a key with this header and summary: see [`Row::digest`].
pub fn digest(key: &[u8], header: &Header, summary: &Summary) -> u64 {
    let Some(shown) = shown_type(header, summary) else {
        return 0;
    };
    let mut bytes = Vec::with_capacity(key.len() + 32);
    bytes.extend_from_slice(&(key.len() as u64).to_le_bytes());
    bytes.extend_from_slice(key);
    bytes.push(u8::try_from(shown.index()).unwrap_or(u8::MAX));
    bytes.extend_from_slice(&header.expiry().unwrap_or(u64::MAX).to_le_bytes());
    bytes.extend_from_slice(&summary.digest.to_le_bytes());
    xxhash_rust::xxh3::xxh3_64(&bytes)
}

fn insert_by_dot(expiries: &mut Vec<Expiry>, new: Expiry) {
    let at = expiries.partition_point(|e| e.dot < new.dot);
    expiries.insert(at, new);
}
