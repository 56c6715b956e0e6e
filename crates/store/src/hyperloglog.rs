//! A HyperLogLog as the string that Redis keeps: its dense form, and the count it gives.
//!
//! ```text
//! byte 0      4      5        8                    16                          12,304
//!      "HYLL" | 0    | unused | cached cardinality | 16,384 registers of 6 bits |
//!             dense            little-endian, bit 63 set = stale
//! ```
//! Register `i` begins at bit `6 * i`, least significant bits first, so that four registers fill three bytes. All our
//! views are dense: a sparse one cannot be patched in place, and its estimate is the same.
//!
//! The estimator is Ertl's improved raw estimator, which Redis uses since 5.0; computed in doubles with the same
//! operations, so that every store gives Redis's own count. (Ertl 2017, arXiv:1702.01284, sections 3 and 4.)

use cartograph_crdt::hyperloglog::{RANK_MAX, REGISTERS};

/// Bytes of the header.
pub const HEADER_BYTES: usize = 16;

/// Bytes of the whole string.
pub const DENSE_BYTES: usize = HEADER_BYTES + GROUPS * GROUP_BYTES;

/// Four registers fill three bytes.
pub const GROUP_BYTES: usize = 3;

/// Groups of four registers.
pub const GROUPS: usize = REGISTERS as usize / 4;

/// What a dense string begins with.
pub const DENSE_PREFIX: &[u8; 5] = b"HYLL\0";

const STALE_AT: usize = 15;
const STALE: u8 = 0x80;
const RANK_BITS: u32 = 6;
const RANK_MASK: u32 = 0x3f;

/// 1 / (2 ln 2), the estimator's constant for infinitely many registers.
const ALPHA: f64 = 0.721_347_520_444_481_7;

/// An empty dense HyperLogLog.
pub fn empty() -> Vec<u8> {
    let mut bytes = vec![0; DENSE_BYTES];
    for (to, from) in bytes.iter_mut().zip(DENSE_PREFIX) {
        *to = *from;
    }
    mark_stale(&mut bytes);
    bytes
}

/// Is this string a dense HyperLogLog?
pub fn is_dense(bytes: &[u8]) -> bool {
    bytes.len() == DENSE_BYTES && bytes.starts_with(DENSE_PREFIX)
}

/// Forgets the cached cardinality, which depends on who counted last: what is left is the same in every store.
pub fn forget_cached_count(bytes: &mut [u8]) {
    if is_dense(bytes) {
        for byte in bytes.iter_mut().take(STALE_AT).skip(8) {
            *byte = 0;
        }
        mark_stale(bytes);
    }
}

fn mark_stale(bytes: &mut [u8]) {
    if let Some(byte) = bytes.get_mut(STALE_AT) {
        *byte = STALE;
    }
}

/// How one group of four registers changes: `group & keep | set`, as a little-endian number of three bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupChange {
    /// Where it begins in the string.
    pub offset: usize,
    /// Bits that stay.
    pub keep: u32,
    /// Bits that are set.
    pub set: u32,
}

/// Register changes (the last one of a register counts) as changes of groups, ascending.
pub fn group_changes(registers: &[(u16, u8)]) -> Vec<GroupChange> {
    let mut groups = std::collections::BTreeMap::new();
    for (register, rank) in registers {
        if *register >= REGISTERS {
            continue;
        }
        let shift = u32::from(*register % 4) * RANK_BITS;
        let group = groups
            .entry(usize::from(*register / 4))
            .or_insert((0x00ff_ffff_u32, 0_u32));
        group.0 &= !(RANK_MASK << shift);
        group.1 &= !(RANK_MASK << shift);
        group.1 |= u32::from((*rank).min(RANK_MAX)) << shift;
    }
    let change = |(group, (keep, set)): (usize, (u32, u32))| GroupChange {
        offset: HEADER_BYTES + group * GROUP_BYTES,
        keep,
        set,
    };
    groups.into_iter().map(change).collect()
}

/// Sets registers in a dense string and marks its cached count stale.
pub fn set_registers(bytes: &mut [u8], registers: &[(u16, u8)]) {
    for change in group_changes(registers) {
        let Some(group) = bytes.get_mut(change.offset..change.offset + GROUP_BYTES) else {
            continue;
        };
        let new = group_value(group) & change.keep | change.set;
        for (to, from) in group.iter_mut().zip(new.to_le_bytes()) {
            *to = from;
        }
    }
    mark_stale(bytes);
}

fn group_value(group: &[u8]) -> u32 {
    group
        .iter()
        .rev()
        .fold(0, |value, byte| value << 8 | u32::from(*byte))
}

/// The ranks of all registers of a dense string, in order.
pub fn ranks(bytes: &[u8]) -> Vec<u8> {
    let registers = bytes.get(HEADER_BYTES..).unwrap_or_default();
    let groups = registers.chunks_exact(GROUP_BYTES).map(group_value);
    groups
        .flat_map(|group| (0..4).map(move |i| (group >> (i * RANK_BITS) & RANK_MASK).to_le_bytes()[0]))
        .collect()
}

/// The count that Redis gives for registers of these ranks.
pub fn count(ranks: &[u8]) -> u64 {
    // How many registers have each rank.
    let mut histogram = [0.0_f64; 64];
    for rank in ranks {
        if let Some(n) = histogram.get_mut(usize::from(*rank)) {
            *n += 1.0;
        }
    }
    let m = f64::from(REGISTERS);
    let at = |rank: u8| histogram.get(usize::from(rank)).copied().unwrap_or(0.0);
    let mut z = m * tau((m - at(RANK_MAX)) / m);
    for rank in (1..RANK_MAX).rev() {
        z += at(rank);
        z *= 0.5;
    }
    z += m * sigma(at(0) / m);
    let estimate = (ALPHA * m * m / z).round();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "rounded, not negative; an empty one divides by infinity and gives 0"
    )]
    {
        estimate as u64
    }
}

/// Corrects for registers that are still empty: `x + sum of x^(2^k) * 2^(k-1)`.
fn sigma(mut x: f64) -> f64 {
    if x >= 1.0 {
        return f64::INFINITY;
    }
    let (mut sum, mut weight) = (x, 1.0);
    loop {
        let before = sum;
        x *= x;
        sum += x * weight;
        weight += weight;
        if sum.to_bits() == before.to_bits() {
            return sum;
        }
    }
}

/// Corrects for registers at the highest rank.
fn tau(mut x: f64) -> f64 {
    if x <= 0.0 || x >= 1.0 {
        return 0.0;
    }
    let (mut sum, mut weight) = (1.0 - x, 1.0);
    loop {
        let before = sum;
        x = x.sqrt();
        weight *= 0.5;
        sum -= (1.0 - x).powi(2) * weight;
        if sum.to_bits() == before.to_bits() {
            return sum / 3.0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registers_read_back_and_neighbours_stay() {
        let mut bytes = empty();
        assert!(is_dense(&bytes) && bytes[STALE_AT] == STALE);
        set_registers(
            &mut bytes,
            &[(0, 51), (1, 1), (2, 33), (3, 7), (16_383, 50), (16_384, 9)],
        );
        set_registers(&mut bytes, &[(1, 0), (4, 2), (4, 3)]);
        let ranks = ranks(&bytes);
        assert_eq!(ranks.len(), 16_384);
        assert_eq!(&ranks[..5], &[51, 0, 33, 7, 3]);
        assert_eq!(ranks[16_383], 50);
        assert_eq!(bytes.len(), DENSE_BYTES);
    }

    #[test]
    fn an_empty_one_counts_nothing_and_one_register_counts_one() {
        let mut bytes = empty();
        assert_eq!(count(&ranks(&bytes)), 0);
        set_registers(&mut bytes, &[(77, 3)]);
        assert_eq!(count(&ranks(&bytes)), 1);
    }

    #[test]
    fn a_cached_count_is_forgotten() {
        let mut bytes = empty();
        bytes[8] = 42;
        bytes[STALE_AT] = 0;
        forget_cached_count(&mut bytes);
        assert_eq!(bytes, empty());
    }
}
