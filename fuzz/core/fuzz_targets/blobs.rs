//! See `cartograph_sim::feed::blobs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| cartograph_sim::feed::blobs(data));
