//! What a key shows, whole: from its view, and from its metadata. They must be the same.

use std::collections::BTreeMap;

use cartograph_crdt::{Element, Row, Score, Type};
use cartograph_engine::show;
use cartograph_replica::ViewValue;
use cartograph_store::hyperloglog;
use serde_json::{Map, Value, json};
use xxhash_rust::xxh3::Xxh3;

/// A value in canonical form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    /// A string.
    Text(Vec<u8>),
    /// Fields and values.
    Fields(BTreeMap<Vec<u8>, Vec<u8>>),
    /// Members.
    Members(Vec<Vec<u8>>),
    /// Members and scores.
    Scores(BTreeMap<Vec<u8>, u64>),
    /// Ranks of a HyperLogLog's registers that have one.
    Ranks(BTreeMap<u16, u8>),
    /// A type that no view has.
    Foreign(String),
}

/// A value and its expiry instant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Shown {
    pub(crate) content: Content,
    pub(crate) expires_ms: Option<u64>,
}

impl Shown {
    /// What a view holds. A dense HyperLogLog string counts as one: strings that only look so are not told apart, in no
    /// region.
    pub(crate) fn of_view(value: ViewValue, expires_ms: Option<u64>) -> Self {
        let content = match value {
            ViewValue::String(bytes) => text(bytes),
            ViewValue::Hash(fields) => Content::Fields(fields.into_iter().collect()),
            ViewValue::Set(mut members) => {
                members.sort_unstable();
                Content::Members(members)
            }
            ViewValue::SortedSet(members) => {
                Content::Scores(members.into_iter().map(|(m, s)| (m, bits(s))).collect())
            }
            ViewValue::Foreign(kind) => Content::Foreign(kind),
        };
        Shown { content, expires_ms }
    }

    /// What a complete row says that its view holds at `now_ms`.
    pub(crate) fn of_row(row: &Row, now_ms: u64) -> Option<Self> {
        let expires_ms = row.header.expiry();
        if expires_ms.is_some_and(|at| at <= now_ms) {
            return None;
        }
        let ty = row.shown_type()?;
        let live = || row.live(ty);
        let content = match ty {
            Type::String => text(live().find_map(|(_, e)| show::text(e))?.bytes),
            Type::Hash => {
                let field =
                    |(id, e): (&cartograph_crdt::ElementId, _)| Some((id.name.clone(), show::text(e)?.bytes));
                Content::Fields(live().filter_map(field).collect())
            }
            Type::Set => Content::Members(live().map(|(id, _)| id.name.clone()).collect()),
            Type::SortedSet => {
                let member = |(id, e): (&cartograph_crdt::ElementId, _)| {
                    Some((id.name.clone(), bits(show::score(e)?)))
                };
                Content::Scores(live().filter_map(member).collect())
            }
            Type::HyperLogLog => Content::Ranks(live().filter_map(|(id, e)| rank(&id.name, e)).collect()),
        };
        Some(Shown { content, expires_ms })
    }

    fn expired(&self, as_of_ms: u64) -> bool {
        self.expires_ms.is_some_and(|at| at <= as_of_ms)
    }

    /// The same, unless it has expired by then.
    pub(crate) fn unless_expired(self, as_of_ms: u64) -> Option<Self> {
        (!self.expired(as_of_ms)).then_some(self)
    }

    /// A digest of key, type, content and expiry.
    pub(crate) fn digest(&self, key: &[u8]) -> u64 {
        let mut hash = Xxh3::new();
        let mut put = |bytes: &[u8]| {
            hash.update(&(bytes.len() as u64).to_le_bytes());
            hash.update(bytes);
        };
        put(key);
        put(self.type_name().as_bytes());
        put(&self.expires_ms.map_or([0; 9], |ms| {
            let mut bytes = [1; 9];
            bytes[1..].copy_from_slice(&ms.to_le_bytes());
            bytes
        }));
        match &self.content {
            Content::Text(bytes) => put(bytes),
            Content::Fields(fields) => fields.iter().for_each(|(field, value)| {
                put(field);
                put(value);
            }),
            Content::Members(members) => members.iter().for_each(|member| put(member)),
            Content::Scores(members) => members.iter().for_each(|(member, score)| {
                put(member);
                put(&score.to_le_bytes());
            }),
            Content::Ranks(ranks) => ranks.iter().for_each(|(register, rank)| {
                put(&register.to_le_bytes());
                put(&[*rank]);
            }),
            Content::Foreign(kind) => put(kind.as_bytes()),
        }
        hash.digest()
    }

    fn type_name(&self) -> &str {
        match &self.content {
            Content::Text(_) => "string",
            Content::Fields(_) => "hash",
            Content::Members(_) => "set",
            Content::Scores(_) => "zset",
            Content::Ranks(_) => "hyperloglog",
            Content::Foreign(kind) => kind,
        }
    }

    /// `{"type","fields","expires_at_ms"}`
    pub(crate) fn document(&self) -> Value {
        let name = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let fields: Map<String, Value> = match &self.content {
            Content::Text(bytes) => [("value".to_owned(), json!(name(bytes)))].into_iter().collect(),
            Content::Fields(fields) => fields.iter().map(|(f, v)| (name(f), json!(name(v)))).collect(),
            Content::Members(members) => members.iter().map(|m| (name(m), json!(true))).collect(),
            Content::Scores(members) => {
                let score = |bits: &u64| f64::from_bits(*bits).to_string();
                members.iter().map(|(m, s)| (name(m), json!(score(s)))).collect()
            }
            Content::Ranks(ranks) => ranks
                .iter()
                .map(|(r, rank)| (r.to_string(), json!(rank)))
                .collect(),
            Content::Foreign(_) => Map::new(),
        };
        json!({
            "type": self.type_name(),
            "fields": fields,
            "expires_at_ms": self.expires_ms.map(|ms| ms.to_string()),
        })
    }
}

fn text(bytes: Vec<u8>) -> Content {
    if !hyperloglog::is_dense(&bytes) {
        return Content::Text(bytes);
    }
    let ranks = hyperloglog::ranks(&bytes).into_iter();
    let ranks = (0..).zip(ranks).filter(|(_, rank)| *rank > 0);
    Content::Ranks(ranks.collect())
}

/// Both zeros are one score to a reader of ranks, and two to one of bits.
fn bits(score: Score) -> u64 {
    (score.get() + 0.0).to_bits()
}

fn rank(name: &[u8], element: &Element) -> Option<(u16, u8)> {
    let register = u16::from_be_bytes(name.try_into().ok()?);
    match element {
        Element::Ranks(ranks) if ranks.rank() > 0 => Some((register, ranks.rank())),
        Element::Ranks(_) | Element::Member(_) | Element::Number(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(fields: &[(&str, &str)]) -> ViewValue {
        let pair = |(f, v): &(&str, &str)| (f.as_bytes().to_vec(), v.as_bytes().to_vec());
        ViewValue::Hash(fields.iter().map(pair).collect())
    }

    #[test]
    fn digests_tell_apart_what_readers_can() {
        let base = Shown::of_view(hash(&[("a", "1"), ("b", "2")]), None);
        let same = Shown::of_view(hash(&[("b", "2"), ("a", "1")]), None);
        assert_eq!(base.digest(b"k"), same.digest(b"k"), "order is the store's own");
        let others = [
            Shown::of_view(hash(&[("a", "1"), ("b", "3")]), None),
            Shown::of_view(hash(&[("a", "1b"), ("", "2")]), None),
            Shown::of_view(hash(&[("a", "1"), ("b", "2")]), Some(0)),
            Shown::of_view(
                ViewValue::Set(vec![b"a".to_vec(), b"1".to_vec(), b"b".to_vec(), b"2".to_vec()]),
                None,
            ),
        ];
        for other in others {
            assert_ne!(base.digest(b"k"), other.digest(b"k"), "{other:?}");
        }
        assert_ne!(base.digest(b"k"), base.digest(b"l"));
    }

    #[test]
    fn what_expired_by_then_is_not_there() {
        let shown = Shown::of_view(ViewValue::String(b"x".to_vec()), Some(100));
        assert!(shown.clone().unless_expired(99).is_some());
        assert!(shown.unless_expired(100).is_none());
    }
}
