//! The wire form of a row: the stored form, with full replica ids, without what can be computed.
//!
//! A row travels whole, with its sender's vector when it was read. A large one travels in parts, each with some of
//! the elements, and is put together and applied whole. Each part has a replica table of its own: the small indexes
//! of the stored form are local to one store and are never sent without their table.

use bincode::{Decode, Encode};
use cartograph_crdt::codec::Error;
use cartograph_crdt::stored::{self, ReplicaTable};
use cartograph_crdt::{Element, ElementId, Header, ReplicaId, Row, Summary, Type, VersionVector};

use crate::entry::Key;
use crate::message::WireRow;

/// About how many bytes of elements one part carries.
pub const PART_BYTES: usize = 1 << 20;

/// The most replicas that one part's table may name.
const TABLE_REPLICAS_MAX: usize = 4_096;

type Elements = Vec<(ElementId, Element)>;

/// A row, or some of one: blobs of the stored form and the table that they index.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct RowForm {
    replicas: Vec<ReplicaId>,
    /// The header's blob; empty in parts after the first.
    header: Vec<u8>,
    elements: Vec<(ElementId, Vec<u8>)>,
}

impl RowForm {
    /// The whole row in one form. `ahead` is left out: it is local to the sender's store.
    ///
    /// # Errors
    /// [`Error::Damaged`] when an element is larger than a blob may be.
    pub fn of(row: &Row) -> Result<RowForm, Error> {
        let mut forms = split(row, usize::MAX)?;
        Ok(forms.pop().unwrap_or_default())
    }

    /// The row, complete, its summary computed from the elements.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn into_row(self) -> Result<Row, Error> {
        let (header, elements) = self.read()?;
        Ok(assemble(header.unwrap_or_default(), elements))
    }

    /// Roughly its size on the wire, in bytes.
    pub fn weight(&self) -> usize {
        let elements = self
            .elements
            .iter()
            .map(|(id, blob)| 16 + id.name.len() + blob.len());
        16 + self.replicas.len() * 12 + self.header.len() + elements.sum::<usize>()
    }

    fn read(&self) -> Result<(Option<Header>, Elements), Error> {
        let table = ReplicaTable::new(self.replicas.iter().copied());
        if table.ids().len() != self.replicas.len() {
            return Err(Error::Damaged {
                what: "a row",
                detail: "its replica table names one twice".to_owned(),
            });
        }
        let header = match self.header.as_slice() {
            [] => None,
            blob => Some(stored::decode_header(blob, &table)?),
        };
        let read = |(id, blob): &(ElementId, Vec<u8>)| {
            Ok((id.clone(), stored::decode_element(id.ty, blob, &table)?))
        };
        let elements = self.elements.iter().map(read).collect::<Result<_, Error>>()?;
        Ok((header, elements))
    }
}

/// The row in forms of about `bytes_max` each: the first has the header.
fn split(row: &Row, bytes_max: usize) -> Result<Vec<RowForm>, Error> {
    let mut forms = Vec::new();
    let mut table = ReplicaTable::default();
    let header = Header {
        ahead: VersionVector::new(),
        ..row.header.clone()
    };
    let mut form = RowForm {
        header: stored::encode_header(&header, &mut table)?,
        ..RowForm::default()
    };
    let mut bytes = form.header.len();
    for (id, element) in row.elements() {
        if bytes >= bytes_max {
            form.replicas = table.ids().to_vec();
            forms.push(std::mem::take(&mut form));
            table = ReplicaTable::default();
            bytes = 0;
        }
        let blob = stored::encode_element(element, &mut table)?;
        bytes += 16 + id.name.len() + blob.len();
        form.elements.push((id.clone(), blob));
    }
    form.replicas = table.ids().to_vec();
    forms.push(form);
    Ok(forms)
}

fn assemble(mut header: Header, elements: Elements) -> Row {
    header.ahead = VersionVector::new();
    let mut summary = Summary::default();
    for (id, element) in &elements {
        if let Some(live) = summary.live.get_mut(id.ty.index()) {
            *live += u64::from(element.is_live());
        }
        summary.counters += u64::from(element.has_counter());
        summary.digest = summary.digest.wrapping_add(element.digest(id));
        for dot in element.live_dots() {
            if dot.position.sequence.get() > summary.top.get(dot.replica) {
                summary.top.raise(dot.replica, dot.position.sequence.get());
            }
        }
    }
    Row::loaded(header, summary, elements, true)
}

/// A row, or a numbered part of one.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct RowPart {
    /// The key.
    pub key: Key,
    /// What the sender had seen of the key when it read the row.
    pub vector: VersionVector,
    /// This part's number, from 0.
    pub part: u32,
    /// Is it the last?
    pub last: bool,
    /// The content.
    pub form: RowForm,
}

impl RowPart {
    /// A row as parts. What a snapshot had brought of the key beyond `vector` (its `ahead`) counts as seen.
    ///
    /// # Errors
    /// [`Error::Damaged`] when an element is larger than a blob may be.
    pub fn of(key: &[u8], row: &Row, vector: &VersionVector) -> Result<Vec<RowPart>, Error> {
        let mut seen = vector.clone();
        seen.join(&row.header.ahead);
        let forms = split(row, PART_BYTES)?;
        let last = forms.len().saturating_sub(1);
        let part = |(n, form)| RowPart {
            key: key.to_vec(),
            vector: seen.clone(),
            part: u32::try_from(n).unwrap_or(u32::MAX),
            last: n == last,
            form,
        };
        Ok(forms.into_iter().enumerate().map(part).collect())
    }

    /// Roughly its size on the wire, in bytes.
    pub fn weight(&self) -> usize {
        32 + self.key.len() + crate::message::vector_weight(&self.vector) + self.form.weight()
    }

    pub(crate) fn validate(&self) -> Result<(), &'static str> {
        if self.form.replicas.len() > TABLE_REPLICAS_MAX {
            return Err("a row names too many replicas");
        }
        if (self.part == 0) == self.form.header.is_empty() {
            return Err("a row's header must come with its first part, and only there");
        }
        let named = |id: &ElementId| match id.ty {
            Type::String => id.name.is_empty(),
            Type::HyperLogLog => id.name.len() == 2,
            Type::Hash | Type::Set | Type::SortedSet => true,
        };
        if !self.form.elements.iter().all(|(id, _)| named(id)) {
            return Err("an element's name does not fit its type");
        }
        if !self.form.elements.is_sorted_by(|a, b| a.0 < b.0) {
            return Err("a row's elements must ascend");
        }
        Ok(())
    }
}

/// Puts rows together from their parts. Parts of one row follow each other; a stream has one of these.
#[derive(Clone, Debug, Default)]
pub struct RowAssembler {
    open: Option<Open>,
}

#[derive(Clone, Debug)]
struct Open {
    key: Key,
    vector: VersionVector,
    next: u32,
    header: Header,
    elements: Elements,
    bytes: usize,
}

/// A part that does not continue what came before.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AssembleError {
    /// A blob cannot be read.
    #[error("a snapshot's row cannot be read")]
    Codec(#[from] Error),
    /// Parts out of order, or of two rows mixed.
    #[error("part {part} of a snapshot's row does not follow the part before it")]
    OutOfOrder {
        /// The part.
        part: u32,
    },
    /// More than may be put together.
    #[error("a snapshot's row has over {bytes_max} bytes: raise the limit on both sides")]
    TooLarge {
        /// The limit.
        bytes_max: usize,
    },
}

impl RowAssembler {
    /// Is no row half put together?
    pub fn is_empty(&self) -> bool {
        self.open.is_none()
    }

    /// Takes a part; gives the row when it is whole.
    ///
    /// # Errors
    /// See [`AssembleError`]; the link should be closed, and the row begins anew.
    pub fn push(&mut self, part: RowPart, bytes_max: usize) -> Result<Option<WireRow>, AssembleError> {
        let out_of_order = AssembleError::OutOfOrder { part: part.part };
        let bytes = part.form.weight();
        let (header, elements) = part.form.read()?;
        let mut open = match (self.open.take(), header) {
            (None, Some(header)) if part.part == 0 => Open {
                key: part.key,
                vector: part.vector,
                next: 0,
                header,
                elements: Vec::new(),
                bytes: 0,
            },
            (Some(open), None)
                if open.next == part.part && open.key == part.key && open.vector == part.vector =>
            {
                open
            }
            _ => return Err(out_of_order),
        };
        open.bytes += bytes;
        if open.bytes > bytes_max {
            return Err(AssembleError::TooLarge { bytes_max });
        }
        let ascends = match (open.elements.last(), elements.first()) {
            (Some((before, _)), Some((after, _))) => before < after,
            _ => true,
        };
        if !ascends {
            return Err(out_of_order);
        }
        open.elements.extend(elements);
        open.next += 1;
        if !part.last {
            self.open = Some(open);
            return Ok(None);
        }
        Ok(Some(WireRow {
            row: assemble(open.header, open.elements),
            key: open.key,
            vector: open.vector,
        }))
    }
}
