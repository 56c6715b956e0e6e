//! The only place that reads entropy: for incarnations, jitter, and the choices that Redis leaves to chance.

/// 64 random bits. A system without entropy gives bits of the clocks: two lives of a store are then still told apart
/// by their millisecond.
#[expect(clippy::disallowed_methods, reason = "this is the node's seed")]
pub fn random() -> u64 {
    getrandom::u64().unwrap_or_else(|_| {
        let clocks =
            crate::clock::wall_ms() ^ u64::from(crate::clock::elapsed().subsec_nanos()).rotate_left(32);
        clocks.wrapping_mul(0x9e37_79b9_7f4a_7c15)
    })
}
