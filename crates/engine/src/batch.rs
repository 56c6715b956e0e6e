//! From touched rows to a commit's parts: guards, metadata, views, indexes, digests.
//!
//! Everything follows from comparing each touched row with its state from before. Where the shown type is the same,
//! the view changes element by element; where it is another (or the key appears, or comes back from expiry), the view
//! is written whole. Guards say what the view must be *before*: type and cardinality, so that damage done behind our
//! back is noticed by the first commit that comes by.

use cartograph_crdt::codec::Error;
use cartograph_crdt::row::digest;
use cartograph_crdt::stored::{ReplicaTable, encode_element, encode_header, encode_summary};
use cartograph_crdt::{Element, ElementId, Row, Type};
use cartograph_replica::commit::{ViewChange, ViewContent, ViewExpiry, ViewShape, bucket};
use cartograph_replica::{BatchId, GarbageItem, Guard, IndexChanges, Key, MetadataChange};

use crate::cache::Cache;
use crate::show;
use crate::writer::{Before, Layer, SYSTEM_PREFIX, Shown, shown};

/// What the touched rows ask of a commit.
#[derive(Debug, Default)]
pub(crate) struct Writes {
    pub(crate) guards: Vec<Guard>,
    pub(crate) metadata: Vec<MetadataChange>,
    pub(crate) views: Vec<ViewChange>,
    pub(crate) indexes: IndexChanges,
    /// Bucket, and by how much (wrapping) its digest grows.
    pub(crate) digests: Vec<(u16, u64)>,
    /// By how much the number of live keys grows.
    pub(crate) keys: i64,
    /// Merged numbers that are shown saturated.
    pub(crate) saturated: usize,
    /// Keys of the product's own that changed.
    pub(crate) system: bool,
}

/// Turns `layer` into what `batch` must write, and tells the cache.
///
/// # Errors
/// When an element has grown past what a blob may be; the commit must then be given up as a whole.
pub(crate) fn writes(
    layer: Layer,
    cache: &mut Cache,
    table: &mut ReplicaTable,
    batch: BatchId,
    now_ms: u64,
) -> Result<Writes, Error> {
    let mut out = Writes::default();
    for (key, before) in layer.rows {
        let Some(row) = cache.row_mut(&key) else { continue };
        row.summary.changed = batch.0;
        let change = metadata(&key, row, &before, table)?;
        indexes(&key, row, &before, batch, &mut out);
        if key.starts_with(SYSTEM_PREFIX) {
            out.system = true;
        } else {
            view(&key, row, &before, now_ms, &mut out);
        }
        out.metadata.push(change);
        cache.changed(&key, batch, &before.touched);
    }
    Ok(out)
}

fn metadata(
    key: &Key,
    row: &Row,
    before: &Before,
    table: &mut ReplicaTable,
) -> Result<MetadataChange, Error> {
    if row.is_empty() {
        return Ok(MetadataChange {
            key: key.clone(),
            drop: true,
            ..MetadataChange::default()
        });
    }
    let drop = before.touched.dropped.is_some();
    let mut elements = Vec::with_capacity(before.touched.elements.len());
    for id in before.touched.elements.keys() {
        match row.element(id) {
            Some(element) => elements.push((id.clone(), Some(encode_element(element, table)?))),
            None if !drop => elements.push((id.clone(), None)),
            None => {}
        }
    }
    let header = if row.header.is_empty() {
        (!drop && !before.header.is_empty()).then(Vec::new)
    } else if drop || row.header != before.header {
        Some(encode_header(&row.header, table)?)
    } else {
        None
    };
    let summary = Some(encode_summary(&row.summary, table)?);
    Ok(MetadataChange {
        key: key.clone(),
        drop,
        header,
        summary,
        elements,
    })
}

fn indexes(key: &Key, row: &Row, before: &Before, batch: BatchId, out: &mut Writes) {
    let (was, is) = (before.summary.types() > 0, row.summary.types() > 0);
    out.keys += i64::from(is) - i64::from(was);
    if !key.starts_with(SYSTEM_PREFIX) {
        let (old, new) = (digest(key, &before.header, &before.summary), row.digest(key));
        if old != new {
            out.digests.push((bucket(key), new.wrapping_sub(old)));
        }
    }
    let due_before = if was { before.header.expiry() } else { None };
    let due = if is { row.header.expiry() } else { None };
    if due != due_before {
        out.indexes.due.push((key.clone(), due));
    }
    let leftover = !is && !row.header.is_empty();
    if row.header.has_garbage() || !row.header.ahead.is_empty() || leftover {
        out.indexes.garbage.push((
            GarbageItem {
                key: key.clone(),
                element: None,
            },
            Some(batch.0),
        ));
    }
    for id in before.touched.elements.keys() {
        if row.element(id).is_some_and(Element::has_garbage) {
            let item = GarbageItem {
                key: key.clone(),
                element: Some(id.clone()),
            };
            out.indexes.garbage.push((item, Some(batch.0)));
        }
    }
}

fn view(key: &Key, row: &Row, before: &Before, now_ms: u64, out: &mut Writes) {
    let was = shown(&before.header, &before.summary, now_ms);
    let is = shown(&row.header, &row.summary, now_ms);
    if was.is_none() && is.is_none() {
        return;
    }
    out.guards.push(Guard {
        key: key.clone(),
        shape: shape(was, row, before),
    });
    let change = match (was, is) {
        (_, None) => Some(ViewChange {
            key: key.clone(),
            replace: false,
            content: ViewContent::Absent,
            expiry: ViewExpiry::Unchanged,
        }),
        (Some(was), Some(is)) if was.ty == is.ty && before.touched.dropped.is_none() => {
            changed(key, row, before, was, is, out)
        }
        (_, Some(is)) => {
            out.saturated += usize::from(row.live(is.ty).any(|(_, e)| saturated(e)));
            Some(whole_view(key, row, is))
        }
    };
    out.views.extend(change);
}

/// What the view was before the commit.
fn shape(was: Option<Shown>, row: &Row, before: &Before) -> ViewShape {
    let Some(was) = was else { return ViewShape::Absent };
    let cardinality = match was.ty {
        Type::Hash | Type::Set | Type::SortedSet => Some(was.cardinality),
        Type::HyperLogLog => None,
        Type::String => {
            let id = ElementId::string();
            let dropped = before.touched.dropped.as_ref();
            let old = dropped.map_or_else(|| before.touched.elements.get(&id), |d| d.get(&id));
            let old = if dropped.is_some() {
                old
            } else {
                old.or_else(|| row.element(&id))
            };
            old.and_then(show::text).map(|text| text.bytes.len() as u64)
        }
    };
    ViewShape::Present {
        ty: was.ty,
        cardinality,
    }
}

fn saturated(element: &Element) -> bool {
    show::text(element).is_some_and(|t| t.saturated)
}

/// The view change of a key that shows the same type as before.
fn changed(
    key: &Key,
    row: &Row,
    before: &Before,
    was: Shown,
    is: Shown,
    out: &mut Writes,
) -> Option<ViewChange> {
    let mut content = empty_content(is.ty);
    let mut any = false;
    for (id, old) in before.touched.elements.iter().filter(|(id, _)| id.ty == is.ty) {
        any |= put(&mut content, id, Some(old), row.element(id));
        out.saturated += usize::from(row.element(id).is_some_and(saturated));
    }
    let expiry = match (was.expiry, is.expiry) {
        // SET takes the expiry with it.
        (_, Some(at)) if any && is.ty == Type::String => ViewExpiry::At(at),
        (a, b) if a == b => ViewExpiry::Unchanged,
        (_, Some(at)) => ViewExpiry::At(at),
        (_, None) => ViewExpiry::Never,
    };
    let content = if any { content } else { ViewContent::Unchanged };
    let nothing = !any && expiry == ViewExpiry::Unchanged;
    (!nothing).then(|| ViewChange {
        key: key.clone(),
        replace: false,
        content,
        expiry,
    })
}

/// A complete row's whole view.
pub(crate) fn whole_view(key: &Key, row: &Row, is: Shown) -> ViewChange {
    let mut content = empty_content(is.ty);
    for (id, element) in row.live(is.ty) {
        put(&mut content, id, None, Some(element));
    }
    let expiry = is.expiry.map_or(ViewExpiry::Unchanged, ViewExpiry::At);
    ViewChange {
        key: key.clone(),
        replace: true,
        content,
        expiry,
    }
}

/// The view change that makes the key's view what its complete row says, whatever it is now.
pub(crate) fn repaired_view(key: &Key, row: &Row, now_ms: u64) -> ViewChange {
    match shown(&row.header, &row.summary, now_ms) {
        Some(is) => whole_view(key, row, is),
        None => ViewChange {
            key: key.clone(),
            replace: false,
            content: ViewContent::Absent,
            expiry: ViewExpiry::Unchanged,
        },
    }
}

fn empty_content(ty: Type) -> ViewContent {
    match ty {
        Type::String => ViewContent::String(Vec::new()),
        Type::Hash => ViewContent::Hash {
            set: Vec::new(),
            delete: Vec::new(),
        },
        Type::Set => ViewContent::Set {
            add: Vec::new(),
            remove: Vec::new(),
        },
        Type::SortedSet => ViewContent::SortedSet {
            set: Vec::new(),
            remove: Vec::new(),
        },
        Type::HyperLogLog => ViewContent::HyperLogLog { set: Vec::new() },
    }
}

/// Adds to `content` how the view of one element differs; tells whether it does. `old` is `None` where the view is
/// written whole.
fn put(content: &mut ViewContent, id: &ElementId, old: Option<&Element>, new: Option<&Element>) -> bool {
    let name = || id.name.clone();
    let live = |e: Option<&Element>| e.is_some_and(Element::is_live);
    match content {
        ViewContent::String(value) => {
            let (was, is) = (old.and_then(show::text), new.and_then(show::text));
            let differs = was.map(|t| t.bytes) != is.as_ref().map(|t| t.bytes.clone());
            *value = is.map(|t| t.bytes).unwrap_or_default();
            differs || old.is_none()
        }
        ViewContent::Hash { set, delete } => {
            match (old.and_then(show::text), new.and_then(show::text)) {
                (was, Some(is)) if was.as_ref().is_none_or(|w| w.bytes != is.bytes) => {
                    set.push((name(), is.bytes));
                }
                (Some(_), None) => delete.push(name()),
                (Some(_) | None, _) => return false,
            }
            true
        }
        ViewContent::Set { add, remove } => {
            match (live(old), live(new)) {
                (false, true) => add.push(name()),
                (true, false) => remove.push(name()),
                (true, true) | (false, false) => return false,
            }
            true
        }
        ViewContent::SortedSet { set, remove } => {
            match (old.and_then(show::score), new.and_then(show::score)) {
                (was, Some(is)) if was != Some(is) => set.push((name(), is)),
                (Some(_), None) => remove.push(name()),
                (Some(_) | None, _) => return false,
            }
            true
        }
        ViewContent::HyperLogLog { set } => {
            let rank = |e: Option<&Element>| match e {
                Some(Element::Ranks(r)) => r.rank(),
                Some(Element::Member(_) | Element::Number(_)) | None => 0,
            };
            let register = id.name.as_slice().try_into().map_or(u16::MAX, u16::from_be_bytes);
            let differs = rank(old) != rank(new);
            if differs {
                set.push((register, rank(new)));
            }
            differs
        }
        ViewContent::Unchanged | ViewContent::Absent => false,
    }
}
