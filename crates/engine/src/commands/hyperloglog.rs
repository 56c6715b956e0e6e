//! HyperLogLog: Redis's hash, Redis's registers, Redis's estimate, so that PFCOUNT on a view answers what it would
//! answer in Redis.
//!
//! An element hashes to a register and a rank; what is replicated is the rank, not the element. Counting reads the
//! 16,384 registers' highest ranks. The estimator is Ertl's ("New cardinality estimation algorithms for HyperLogLog
//! sketches", arXiv:1702.01284, algorithm 6), which Redis has used since 4.0.
//!
//! A HyperLogLog without any element cannot exist here: a key is there while an element of it is live. So PFADD
//! without elements and PFMERGE of nothing, which make an empty one in Redis, are refused where there is none yet.

use std::collections::BTreeMap;

use cartograph_crdt::hyperloglog::{RANK_MAX, REGISTERS};
use cartograph_crdt::{Effect, Element, ElementId, Type};
use cartograph_replica::Key;

use crate::command::Reply;
use crate::error::CommandError;
use crate::writer::{Shown, Stop, Writer};

/// Bits of the hash that choose the register.
const REGISTER_BITS: u32 = 14;

/// Redis's seed of the hash.
const HASH_SEED: u64 = 0xadc8_3b19;

/// `MurmurHash64A` by Austin Appleby, read as little-endian on every machine.
fn murmur_hash_64a(bytes: &[u8]) -> u64 {
    const MIX: u64 = 0xc6a4_a793_5bd1_e995;
    const SHIFT: u32 = 47;
    let scramble = |word: u64| {
        let word = word.wrapping_mul(MIX);
        (word ^ (word >> SHIFT)).wrapping_mul(MIX)
    };
    let mut hash = HASH_SEED ^ (bytes.len() as u64).wrapping_mul(MIX);
    let (words, rest) = bytes.as_chunks::<8>();
    for word in words {
        hash = (hash ^ scramble(u64::from_le_bytes(*word))).wrapping_mul(MIX);
    }
    if !rest.is_empty() {
        let tail = rest
            .iter()
            .rev()
            .fold(0, |tail, byte| tail << 8 | u64::from(*byte));
        hash = (hash ^ tail).wrapping_mul(MIX);
    }
    hash = (hash ^ (hash >> SHIFT)).wrapping_mul(MIX);
    hash ^ (hash >> SHIFT)
}

/// The register that an element falls into, and its rank there: one more than the zero bits that its hash goes on
/// with, at most [`RANK_MAX`].
pub(crate) fn register_and_rank(element: &[u8]) -> (u16, u8) {
    let hash = murmur_hash_64a(element);
    let register = u16::try_from(hash % u64::from(REGISTERS)).unwrap_or(0);
    let rest = hash >> REGISTER_BITS | 1 << (u32::from(RANK_MAX) - 1);
    (
        register,
        u8::try_from(rest.trailing_zeros() + 1).unwrap_or(RANK_MAX),
    )
}

/// The highest rank of each register that these elements fall into.
fn ranks_of(elements: &[Vec<u8>]) -> BTreeMap<u16, u8> {
    let mut ranks = BTreeMap::new();
    for (register, rank) in elements.iter().map(|e| register_and_rank(e)) {
        let highest = ranks.entry(register).or_insert(0);
        *highest = rank.max(*highest);
    }
    ranks
}

/// The registers that these elements fall into, for loading.
pub(super) fn registers(elements: &[Vec<u8>]) -> Vec<ElementId> {
    ranks_of(elements).into_keys().map(ElementId::register).collect()
}

/// The register that an element id names.
pub(super) fn register_of(id: &ElementId) -> Option<u16> {
    id.name.as_slice().try_into().ok().map(u16::from_be_bytes)
}

fn rank_of(element: &Element) -> u8 {
    match element {
        Element::Ranks(ranks) => ranks.rank(),
        Element::Member(_) | Element::Number(_) => 0,
    }
}

/// What the key shows, if that is a HyperLogLog. A string is refused in other words, as in Redis.
fn look(w: &mut Writer<'_>, key: &[u8]) -> Result<Option<Shown>, Stop> {
    match w.look(key)? {
        Some(Shown { ty: Type::String, .. }) => Err(CommandError::NotAHyperLogLog.into()),
        Some(Shown {
            ty: Type::Hash | Type::Set | Type::SortedSet,
            ..
        }) => Err(CommandError::WrongType.into()),
        shown => Ok(shown),
    }
}

/// The highest rank of each register over all keys.
fn joined(w: &mut Writer<'_>, keys: &[Key]) -> Result<BTreeMap<u16, u8>, Stop> {
    let mut ranks = BTreeMap::new();
    for key in keys {
        if look(w, key)?.is_some() {
            for (id, element) in w.whole(key)?.live(Type::HyperLogLog) {
                if let Some(register) = register_of(id) {
                    let highest = ranks.entry(register).or_insert(0);
                    *highest = rank_of(element).max(*highest);
                }
            }
        }
    }
    Ok(ranks)
}

fn add_ranks(
    w: &mut Writer<'_>,
    key: &[u8],
    shown: Option<Shown>,
    ranks: BTreeMap<u16, u8>,
) -> Result<(), Stop> {
    let ids: Vec<ElementId> = ranks.keys().map(|r| ElementId::register(*r)).collect();
    if shown.is_some() {
        w.need(key, &ids)?;
    }
    w.ready(key, shown, Type::HyperLogLog)?;
    for (register, rank) in ranks {
        w.emit(key, Effect::AddRank { register, rank })?;
    }
    Ok(())
}

/// PFADD: 1 when a register grew or the key is new. The ranks are added in any case: they survive an unseen removal.
pub(super) fn pfadd(w: &mut Writer<'_>, key: &[u8], elements: &[Vec<u8>]) -> Result<Reply, Stop> {
    let shown = look(w, key)?;
    let ranks = ranks_of(elements);
    if ranks.is_empty() {
        return match shown {
            Some(_) => Ok(Reply::Integer(0)),
            None => Err(CommandError::EmptyHyperLogLog.into()),
        };
    }
    let mut grew = shown.is_none();
    if shown.is_some() {
        w.need(key, &registers(elements))?;
        for (register, rank) in &ranks {
            let old = w
                .element(key, &ElementId::register(*register))?
                .map_or(0, rank_of);
            grew |= *rank > old;
        }
    }
    add_ranks(w, key, shown, ranks)?;
    Ok(Reply::flag(grew))
}

/// PFCOUNT.
pub(super) fn pfcount(w: &mut Writer<'_>, keys: &[Key]) -> Result<Reply, Stop> {
    let ranks = joined(w, keys)?;
    Ok(Reply::Integer(estimate(ranks.into_values())))
}

/// PFMERGE: the destination gets every rank that the sources show.
pub(super) fn pfmerge(w: &mut Writer<'_>, to: &[u8], from: &[Key]) -> Result<Reply, Stop> {
    let shown = look(w, to)?;
    let ranks = joined(w, from)?;
    if ranks.is_empty() {
        return match shown {
            Some(_) => Ok(Reply::Ok),
            None => Err(CommandError::EmptyHyperLogLog.into()),
        };
    }
    add_ranks(w, to, shown, ranks)?;
    Ok(Reply::Ok)
}

/// How many distinct elements fill registers so, empty ones left out.
#[expect(
    clippy::cast_possible_truncation,
    reason = "an estimate is at most some 2^60, or infinite when every register is full: a cast saturates"
)]
pub(crate) fn estimate(ranks: impl Iterator<Item = u8>) -> i64 {
    let mut of_rank = [0_u32; RANK_MAX as usize + 1];
    for rank in ranks {
        if let Some(count) = of_rank.get_mut(usize::from(rank)) {
            *count += 1;
        }
    }
    let [_, counted @ .., highest] = of_rank;
    let filled = counted.iter().sum::<u32>() + highest;
    let registers = f64::from(REGISTERS);
    let empty = (registers - f64::from(filled)) / registers;
    let mut z = registers * tau((registers - f64::from(highest)) / registers);
    for count in counted.iter().rev() {
        z = (z + f64::from(*count)) * 0.5;
    }
    z += registers * sigma(empty);
    let alpha = 0.5 / std::f64::consts::LN_2;
    (alpha * registers * registers / z).round() as i64
}

/// Ertl's sigma: what the registers that are still empty add.
fn sigma(x: f64) -> f64 {
    if x >= 1.0 {
        return f64::INFINITY;
    }
    let (mut x, mut y, mut z) = (x, 1.0, x);
    loop {
        x *= x;
        let before = z;
        z += x * y;
        y += y;
        if z <= before {
            return z;
        }
    }
}

/// Ertl's tau: what the registers that are full take away.
fn tau(x: f64) -> f64 {
    if x <= 0.0 || x >= 1.0 {
        return 0.0;
    }
    let (mut x, mut y, mut z) = (x, 1.0, 1.0 - x);
    loop {
        x = x.sqrt();
        let before = z;
        y *= 0.5;
        z -= (1.0 - x) * (1.0 - x) * y;
        if z >= before {
            return z / 3.0;
        }
    }
}
