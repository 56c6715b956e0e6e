//! Folding one cart into another, once, however often and wherever it is done.
//!
//! An imported line keeps its source's identity: the source key and the tag of each source cell. What is imported of
//! a cell is a set of *spans* of its owner's increments, each from one position to another with the exact sums at
//! both ends. Spans are joined as sets of positions, so that two folds of the same increments, in two regions at
//! once, count once; increments that reached the source after it was folded lie outside and count when it is folded
//! again. A removal in the target takes back the spans that it had seen, by the same arithmetic: they stay removed
//! even when another fold brings the same increments again.
//!
//! A source's register value is imported as a cell with a single increment: the assignment's dot is its tag. What had
//! been folded into the source is imported under a name of its own ([`ImportedSpan::of_imported`]).

use bincode::{Decode, Encode};

use crate::causal::{Origin, VersionVector};
use crate::counter_reset::Cell;
use crate::exact::Exact;
use crate::ids::{Dot, Position};
use crate::set_add_wins::join_dots;

/// A place in one owner's increments of a cell, and the exact sum up to there. `at` is `None` before the first.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Mark {
    /// The increment, or `None` for the beginning.
    pub at: Option<Position>,
    /// The sum up to and including it.
    pub sum: Exact,
}

/// The increments after `from`, up to and including `to`. `from.at < to.at`.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Span {
    /// Where it begins, exclusive.
    pub from: Mark,
    /// Where it ends, inclusive.
    pub to: Mark,
}

/// A set of increments of one cell: spans that neither overlap nor touch, ascending.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Spans(Vec<Span>);

impl Spans {
    /// The union of `spans`; empty and inverted ones are dropped.
    pub fn new(spans: impl IntoIterator<Item = Span>) -> Self {
        let mut sorted: Vec<Span> = spans.into_iter().filter(|s| s.from.at < s.to.at).collect();
        sorted.sort_by_key(|s| s.from.at);
        let mut out: Vec<Span> = Vec::with_capacity(sorted.len());
        for span in sorted {
            match out.last_mut() {
                Some(last) if span.from.at <= last.to.at => {
                    if span.to.at > last.to.at {
                        last.to = span.to;
                    }
                }
                _ => out.push(span),
            }
        }
        Spans(out)
    }

    /// The spans, ascending.
    pub fn as_slice(&self) -> &[Span] {
        &self.0
    }

    /// Adds all of `other`.
    pub fn join(&mut self, other: &Spans) {
        *self = Spans::new(self.0.drain(..).chain(other.0.iter().cloned()));
    }

    /// What is in `self` and not in `other`. Where a cut falls inside a span of ours, its ends bring their own sums.
    #[must_use]
    pub fn without(&self, other: &Spans) -> Spans {
        let mut left = self.0.clone();
        for cut in &other.0 {
            let around = |span: Span| {
                let before_to = if cut.from.at < span.to.at {
                    &cut.from
                } else {
                    &span.to
                };
                let after_from = if cut.to.at > span.from.at {
                    &cut.to
                } else {
                    &span.from
                };
                let before = Span {
                    from: span.from.clone(),
                    to: before_to.clone(),
                };
                let after = Span {
                    from: after_from.clone(),
                    to: span.to.clone(),
                };
                [before, after].into_iter().filter(|s| s.from.at < s.to.at)
            };
            left = left.into_iter().flat_map(around).collect();
        }
        Spans(left)
    }

    /// Has it no increment?
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The sum of its increments.
    pub fn sum(&self) -> Exact {
        self.0.iter().fold(Exact::zero(), |sum, s| {
            sum + (s.to.sum.clone() - s.from.sum.clone())
        })
    }
}

/// What an `import` effect carries of one source cell, and what a removal names of an imported one.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct ImportedSpan {
    /// The source key.
    pub source: Vec<u8>,
    /// The source cell's tag.
    pub tag: Dot,
    /// Which of its increments.
    pub span: Span,
}

impl ImportedSpan {
    /// What folding takes of a live source cell.
    pub fn of_cell(source: &[u8], cell: &Cell) -> Self {
        let from = match &cell.baseline {
            None => Mark {
                at: None,
                sum: Exact::zero(),
            },
            Some(b) => Mark {
                at: Some(b.position),
                sum: b.sum.clone(),
            },
        };
        let to = Mark {
            at: Some(cell.last),
            sum: cell.sum.clone(),
        };
        ImportedSpan {
            source: source.to_vec(),
            tag: cell.tag,
            span: Span { from, to },
        }
    }

    /// What folding takes of a source register's value.
    pub fn of_value(source: &[u8], dot: Dot, value: Exact) -> Self {
        let from = Mark {
            at: None,
            sum: Exact::zero(),
        };
        let span = Span {
            from,
            to: Mark {
                at: Some(dot.position),
                sum: value,
            },
        };
        ImportedSpan {
            source: source.to_vec(),
            tag: dot,
            span,
        }
    }

    /// What folding takes of increments that had themselves been folded into the source.
    ///
    /// They get a new name, made of the source's and of the one that they have there. Under the old one they would be
    /// lost when they are folded back to where they were once removed: a removed import stays removed.
    pub fn of_imported(source: &[u8], imported: ImportedSpan) -> Self {
        // Bounded, however often a cart is folded on: the key, then a digest of the rest of the way.
        let mut path = source.to_vec();
        path.push(0);
        path.extend_from_slice(&xxhash_rust::xxh3::xxh3_128(&imported.source).to_le_bytes());
        ImportedSpan {
            source: path,
            ..imported
        }
    }
}

/// One source cell, as far as it was folded in, and as far as that was removed again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Imported {
    /// The source key.
    pub source: Vec<u8>,
    /// The source cell's tag.
    pub tag: Dot,
    /// The imports that brought it, ascending.
    pub dots: Vec<Dot>,
    /// What was folded in.
    pub spans: Spans,
    /// What of it was removed.
    pub removed: Spans,
    /// The last removal, by which a dead import waits for stability.
    pub removal: Option<Dot>,
}

impl Imported {
    /// What counts.
    pub fn live(&self) -> Spans {
        self.spans.without(&self.removed)
    }
}

/// Everything that was folded into one element, ascending by (source, tag).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Imports {
    cells: Vec<Imported>,
}

impl Imports {
    /// Rebuilds from stored cells.
    pub fn from_cells(mut cells: Vec<Imported>) -> Self {
        cells.sort_by(|a, b| (&a.source, a.tag).cmp(&(&b.source, b.tag)));
        Imports { cells }
    }

    /// Every imported cell, dead ones included.
    pub fn cells(&self) -> &[Imported] {
        &self.cells
    }

    /// Was anything folded in that nobody removed?
    pub fn is_present(&self) -> bool {
        self.cells.iter().any(|c| !c.live().is_empty())
    }

    /// The sum of what counts.
    pub fn sum(&self) -> Exact {
        self.cells
            .iter()
            .fold(Exact::zero(), |sum, c| sum + c.live().sum())
    }

    /// Are there cells that are only remembered as removed?
    pub fn has_dead(&self) -> bool {
        self.cells.iter().any(|c| c.live().is_empty())
    }

    /// Applies an `import`.
    pub fn import(&mut self, origin: &Origin<'_>, imported: &[ImportedSpan]) {
        for new in imported {
            let spans = Spans::new([new.span.clone()]);
            match self.find(&new.source, new.tag) {
                Ok(at) => {
                    if let Some(cell) = self.cells.get_mut(at) {
                        cell.spans.join(&spans);
                        cell.dots.push(origin.dot);
                    }
                }
                Err(at) => self.cells.insert(
                    at,
                    Imported {
                        source: new.source.clone(),
                        tag: new.tag,
                        dots: vec![origin.dot],
                        spans,
                        removed: Spans::default(),
                        removal: None,
                    },
                ),
            }
        }
    }

    /// What a removal must name: all that counts where it is made.
    pub fn observed(&self) -> Vec<ImportedSpan> {
        let live = |c: &Imported| {
            let named = |span| ImportedSpan {
                source: c.source.clone(),
                tag: c.tag,
                span,
            };
            c.live().0.into_iter().map(named).collect::<Vec<_>>()
        };
        self.cells.iter().flat_map(live).collect()
    }

    /// Applies a removal: the named increments no longer count, and neither do cells whose every import the remover
    /// had seen.
    pub fn reset(&mut self, origin: &Origin<'_>, named: &[ImportedSpan]) {
        for cell in &mut self.cells {
            let of_cell = named
                .iter()
                .filter(|n| n.tag == cell.tag && n.source == cell.source);
            let seen = Spans::new(of_cell.map(|n| n.span.clone()));
            if cell.dots.iter().all(|d| origin.has_seen(d)) {
                cell.removed = cell.spans.clone();
                cell.removal = Some(origin.dot);
            } else if !seen.is_empty() {
                cell.removed.join(&seen);
                cell.removal = Some(origin.dot);
            }
        }
    }

    /// Drops removed cells once everyone has seen the imports and the removal: nobody can fold them in again.
    pub fn collect(&mut self, stable: &VersionVector) {
        self.cells.retain(|c| {
            let settled =
                c.removal.is_some_and(|d| stable.covers(&d)) && c.dots.iter().all(|d| stable.covers(d));
            !(settled && c.live().is_empty())
        });
    }

    /// Joins with the state of a replica whose vector is `theirs`; ours is `ours`.
    pub fn join(&mut self, ours: &VersionVector, other: &Self, theirs: &VersionVector) {
        let covered = |dots: &[Dot], vector: &VersionVector| dots.iter().all(|d| vector.covers(d));
        self.cells
            .retain(|c| other.find(&c.source, c.tag).is_ok() || !covered(&c.dots, theirs));
        for cell in &other.cells {
            match self.find(&cell.source, cell.tag) {
                Ok(at) => {
                    if let Some(mine) = self.cells.get_mut(at) {
                        mine.spans.join(&cell.spans);
                        mine.removed.join(&cell.removed);
                        mine.removal = mine.removal.max(cell.removal);
                        // Imports are never dropped one by one, so the join of their dots is their union.
                        let none = VersionVector::new();
                        join_dots(&mut mine.dots, &none, &cell.dots, &none, |d| *d);
                    }
                }
                Err(at) if !covered(&cell.dots, ours) => self.cells.insert(at, cell.clone()),
                Err(_) => {}
            }
        }
    }

    fn find(&self, source: &[u8], tag: Dot) -> Result<usize, usize> {
        self.cells
            .binary_search_by(|c| (c.source.as_slice(), c.tag).cmp(&(source, tag)))
    }
}
