//! How everything is laid out in the ordered map. A stored format: tags and layouts are never changed, only added.
//!
//! ```text
//! shard s (2 bytes), key lengths (4 bytes) and all numbers big-endian, so that bytes sort as numbers do
//! h s                          head: fence, batch, sequence (8 bytes each)
//! H s field                    head fields
//! m s len key 0..4 name        metadata: elements, by type tag and name
//! m s len key 0xf0 / 0xf1      metadata: header, summary
//! l s region incarnation last  log: records by their last sequence
//! d s key  -> instant          due, by key;   D s instant key     by instant
//! g s item -> batch            garbage;       G s batch item      by batch
//! c s n    -> len key blob     conflicts;     C s                 the next n
//! r s id   -> until reply      replies;       R s until id        by end of life
//! v hash key -> tag expiry n   views (no shard: one key space);   n: elements
//! e len key name -> value      elements of hashes, sets, sorted sets; the value of strings under the empty name
//! x expiry hash key            views by expiry
//! n                            number of views
//! ```

use cartograph_crdt::{ElementId, ReplicaId, ShardId, Type};
use cartograph_replica::commit::{GarbageItem, HeadField};
use xxhash_rust::xxh3::xxh3_64;

/// Tag of a metadata row's header.
pub const HEADER: u8 = 0xf0;
/// Tag of a metadata row's summary.
pub const SUMMARY: u8 = 0xf1;
/// Past every tag.
pub const PAST: u8 = 0xff;

/// Instants are kept as Redis keeps them, in doubles: larger ones count as this one.
pub const INSTANT_MAX: u64 = (1 << 53) - 1;

/// The number of views.
pub const VIEW_COUNT: &[u8] = b"n";

/// A key being put together.
#[derive(Clone, Debug, Default)]
pub struct Builder(Vec<u8>);

impl Builder {
    fn new(tag: u8) -> Self {
        Builder(vec![tag])
    }
    fn shard(tag: u8, shard: ShardId) -> Self {
        Builder::new(tag).bytes(&shard.0.to_be_bytes())
    }
    fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }
    fn u64(self, n: u64) -> Self {
        self.bytes(&n.to_be_bytes())
    }
    fn sized(self, bytes: &[u8]) -> Self {
        let len = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        self.bytes(&len.to_be_bytes()).bytes(bytes)
    }
    fn end(self) -> Vec<u8> {
        self.0
    }
}

/// The first key after all that begin with `prefix` (no prefix here is all 0xff).
pub fn after(mut prefix: Vec<u8>) -> Vec<u8> {
    while let Some(last) = prefix.pop() {
        if last < u8::MAX {
            prefix.push(last + 1);
            return prefix;
        }
    }
    vec![PAST]
}

/// Reads fixed parts off the front of stored bytes.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a>(pub &'a [u8]);

impl<'a> Reader<'a> {
    /// The next `n` bytes.
    pub fn bytes(&mut self, n: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(n)?;
        self.0 = rest;
        Some(taken)
    }
    /// The next byte.
    pub fn u8(&mut self) -> Option<u8> {
        self.bytes(1)?.first().copied()
    }
    /// The next two bytes as a number.
    pub fn u16(&mut self) -> Option<u16> {
        Some(u16::from_be_bytes(self.bytes(2)?.try_into().ok()?))
    }
    /// The next four bytes as a number.
    pub fn u32(&mut self) -> Option<u32> {
        Some(u32::from_be_bytes(self.bytes(4)?.try_into().ok()?))
    }
    /// The next eight bytes as a number.
    pub fn u64(&mut self) -> Option<u64> {
        Some(u64::from_be_bytes(self.bytes(8)?.try_into().ok()?))
    }
    /// A length and as many bytes.
    pub fn sized(&mut self) -> Option<&'a [u8]> {
        let len = usize::try_from(self.u32()?).ok()?;
        self.bytes(len)
    }
}

/// A shard's head.
pub fn head(shard: ShardId) -> Vec<u8> {
    Builder::shard(b'h', shard).end()
}

/// All head fields of a shard.
pub fn head_fields(shard: ShardId) -> Vec<u8> {
    Builder::shard(b'H', shard).end()
}

/// One head field.
pub fn head_field(shard: ShardId, field: HeadField) -> Vec<u8> {
    Builder::shard(b'H', shard).bytes(&field_name(field)).end()
}

/// A head field's stored name: a letter, and the bucket for digests.
pub fn field_name(field: HeadField) -> Vec<u8> {
    let letter = match field {
        HeadField::Identity => b'i',
        HeadField::Incarnation => b'n',
        HeadField::Vector => b'v',
        HeadField::Clocks => b'c',
        HeadField::Replicas => b'r',
        HeadField::Members => b'm',
        HeadField::LogStarts => b'l',
        HeadField::Snapshot => b's',
        HeadField::Server => b'S',
        HeadField::Keys => b'k',
        HeadField::Digest(bucket) => {
            let [high, low] = bucket.to_be_bytes();
            return vec![b'd', high, low];
        }
    };
    vec![letter]
}

/// The head field of this stored name; `None` for one that a later version wrote.
pub fn parse_field_name(name: &[u8]) -> Option<HeadField> {
    Some(match name {
        b"i" => HeadField::Identity,
        b"n" => HeadField::Incarnation,
        b"v" => HeadField::Vector,
        b"c" => HeadField::Clocks,
        b"r" => HeadField::Replicas,
        b"m" => HeadField::Members,
        b"l" => HeadField::LogStarts,
        b"s" => HeadField::Snapshot,
        b"S" => HeadField::Server,
        b"k" => HeadField::Keys,
        [b'd', high, low] => HeadField::Digest(u16::from_be_bytes([*high, *low])),
        _ => return None,
    })
}

/// All metadata of a shard.
pub fn metadata(shard: ShardId) -> Vec<u8> {
    Builder::shard(b'm', shard).end()
}

/// All metadata of a key.
pub fn row(shard: ShardId, key: &[u8]) -> Vec<u8> {
    Builder::shard(b'm', shard).sized(key).end()
}

/// A part of a key's metadata: [`HEADER`] or [`SUMMARY`].
pub fn row_part(shard: ShardId, key: &[u8], part: u8) -> Vec<u8> {
    Builder::shard(b'm', shard).sized(key).bytes(&[part]).end()
}

/// An element of a key's metadata.
pub fn element(shard: ShardId, key: &[u8], element: &ElementId) -> Vec<u8> {
    Builder::shard(b'm', shard)
        .sized(key)
        .bytes(&element_name(element))
        .end()
}

/// An element's stored name: its type's tag, then its name.
pub fn element_name(element: &ElementId) -> Vec<u8> {
    let mut name = vec![type_tag(element.ty)];
    name.extend_from_slice(&element.name);
    name
}

/// A type's tag.
pub fn type_tag(ty: Type) -> u8 {
    u8::try_from(ty.index()).unwrap_or(PAST)
}

/// The type of this tag.
pub fn tag_type(tag: u8) -> Option<Type> {
    Type::ALL.get(usize::from(tag)).copied()
}

/// The element of this stored name; `None` for a header, a summary, or what a later version wrote.
pub fn parse_element_name(name: &[u8]) -> Option<ElementId> {
    let (tag, name) = name.split_first()?;
    Some(ElementId {
        ty: tag_type(*tag)?,
        name: name.to_vec(),
    })
}

/// All records of an origin.
pub fn log(shard: ShardId, origin: ReplicaId) -> Vec<u8> {
    Builder::shard(b'l', shard)
        .bytes(&origin.region.0.to_be_bytes())
        .u64(origin.incarnation.0)
        .end()
}

/// The record of an origin that ends with sequence `last`.
pub fn record(shard: ShardId, origin: ReplicaId, last: u64) -> Vec<u8> {
    Builder(log(shard, origin)).u64(last).end()
}

/// A key's expiry instant.
pub fn due(shard: ShardId, key: &[u8]) -> Vec<u8> {
    Builder::shard(b'd', shard).bytes(key).end()
}

/// All expiry instants of a shard, ascending.
pub fn due_order(shard: ShardId) -> Vec<u8> {
    Builder::shard(b'D', shard).end()
}

/// One expiry instant.
pub fn due_at(shard: ShardId, instant: u64, key: &[u8]) -> Vec<u8> {
    Builder(due_order(shard)).u64(instant).bytes(key).end()
}

/// A garbage item's batch.
pub fn garbage(shard: ShardId, item: &[u8]) -> Vec<u8> {
    Builder::shard(b'g', shard).bytes(item).end()
}

/// All garbage of a shard, ascending by batch.
pub fn garbage_order(shard: ShardId) -> Vec<u8> {
    Builder::shard(b'G', shard).end()
}

/// One garbage item by its batch.
pub fn garbage_at(shard: ShardId, batch: u64, item: &[u8]) -> Vec<u8> {
    Builder(garbage_order(shard)).u64(batch).bytes(item).end()
}

/// A garbage item's stored form: the key with its length, then the element's name, if any.
pub fn garbage_item(item: &GarbageItem) -> Vec<u8> {
    let element = item.element.as_ref().map(element_name).unwrap_or_default();
    Builder::default().sized(&item.key).bytes(&element).end()
}

/// Reads a garbage item back.
pub fn parse_garbage_item(bytes: &[u8]) -> Option<GarbageItem> {
    let mut reader = Reader(bytes);
    let key = reader.sized()?.to_vec();
    let element = match reader.0 {
        [] => None,
        name => Some(parse_element_name(name)?),
    };
    Some(GarbageItem { key, element })
}

/// All conflicts of a shard, oldest first.
pub fn conflicts(shard: ShardId) -> Vec<u8> {
    Builder::shard(b'c', shard).end()
}

/// One conflict.
pub fn conflict(shard: ShardId, n: u64) -> Vec<u8> {
    Builder(conflicts(shard)).u64(n).end()
}

/// The next conflict's number.
pub fn conflict_next(shard: ShardId) -> Vec<u8> {
    Builder::shard(b'C', shard).end()
}

/// A conflict's stored form.
pub fn conflict_value(key: &[u8], blob: &[u8]) -> Vec<u8> {
    Builder::default().sized(key).bytes(blob).end()
}

/// A kept reply.
pub fn reply(shard: ShardId, id: &[u8]) -> Vec<u8> {
    Builder::shard(b'r', shard).bytes(id).end()
}

/// All kept replies of a shard by end of life.
pub fn reply_order(shard: ShardId) -> Vec<u8> {
    Builder::shard(b'R', shard).end()
}

/// One kept reply by end of life.
pub fn reply_until(shard: ShardId, until: u64, id: &[u8]) -> Vec<u8> {
    Builder(reply_order(shard)).u64(until).bytes(id).end()
}

/// All views.
pub const VIEWS: &[u8] = b"v";

/// A view's place in the order of scans. 48 bits, so that cursors fit every client.
pub fn view_hash(key: &[u8]) -> u64 {
    xxh3_64(key) >> 16
}

/// Where views of at least this hash begin.
pub fn views_from(hash: u64) -> Vec<u8> {
    Builder::new(b'v').u64(hash).end()
}

/// A view.
pub fn view(key: &[u8]) -> Vec<u8> {
    Builder(views_from(view_hash(key))).bytes(key).end()
}

/// All elements of a view.
pub fn view_elements(key: &[u8]) -> Vec<u8> {
    Builder::new(b'e').sized(key).end()
}

/// One element of a view.
pub fn view_element(key: &[u8], name: &[u8]) -> Vec<u8> {
    Builder(view_elements(key)).bytes(name).end()
}

/// All expiries of views, ascending.
pub const EXPIRIES: &[u8] = b"x";

/// Where expiries of at least `instant` begin.
pub fn expiries_from(instant: u64) -> Vec<u8> {
    Builder::new(b'x').u64(instant).end()
}

/// One view's expiry.
pub fn expiry(instant: u64, key: &[u8]) -> Vec<u8> {
    Builder(expiries_from(instant)).bytes(key).end()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back() {
        for field in [HeadField::Identity, HeadField::Keys, HeadField::Digest(255)] {
            assert_eq!(parse_field_name(&field_name(field)), Some(field));
        }
        for element in [None, Some(ElementId::string()), Some(ElementId::field(b"f\0"))] {
            let item = GarbageItem {
                key: b"k\xff".to_vec(),
                element,
            };
            assert_eq!(parse_garbage_item(&garbage_item(&item)), Some(item));
        }
        assert_eq!(parse_garbage_item(b"\0\0\0\x09k"), None);
    }

    #[test]
    fn one_key_is_never_inside_anothers_range() {
        let s = ShardId(0);
        let inside = element(s, b"k", &ElementId::field(b"\xff\xff"));
        assert!(inside >= row(s, b"k") && inside < after(row(s, b"k")));
        let other = element(s, b"kk", &ElementId::string());
        assert!(!(other >= row(s, b"k") && other < after(row(s, b"k"))));
        assert_eq!(after(vec![1, 0xff]), vec![2]);
    }
}
