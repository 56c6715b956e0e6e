//! Exchanges of several regions over a simulated network that breaks, delays, repeats and reorders.
//!
//! Each region has the real exchange, real rows and a fake log; every message passes through its bytes and frames. The
//! checks stand in [`world`] and run at every step: each entry is applied once, after everything that its writer had
//! seen; and nothing is called stable that somebody might still write without having seen it.
//!
//! A failing property prints its seed and script; run that test again to replay them.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::default_trait_access,
    clippy::wildcard_enum_match_arm,
    reason = "a test: what is not as expected must fail loudly"
)]

mod scenarios;
mod world;
