//! Damaged bytes, seeded: the corpus smoke run of the fuzz targets in fuzz/core, on stable Rust.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests: helpers stand outside #[test] functions, where clippy.toml does not let them off"
)]

use cartograph_replica::frame::split;
use cartograph_replica::message::{Message, Wire};
use cartograph_sim::chance::Chance;
use cartograph_sim::feed::{READERS, corpus, frames};

/// A message with a few bytes changed, cut off, doubled, or taken from another.
fn damage(bytes: &[u8], other: &[u8], chance: &mut Chance) -> Vec<u8> {
    let mut out = bytes.to_vec();
    for _ in 0..=chance.below(3) {
        if out.is_empty() {
            break;
        }
        let at = chance.index(out.len());
        match chance.below(6) {
            0 => out.truncate(at),
            1 => out[at] ^= 1 << chance.below(8),
            2 => out[at] = *chance.pick(&[0, 1, 0x7f, 0x80, 0xfb, 0xfc, 0xfd, 0xfe, 0xff]),
            3 => drop(out.remove(at)),
            4 => out.insert(at, u8::try_from(chance.below(256)).unwrap()),
            _ => {
                let from = chance.index(other.len().max(1));
                out.splice(at.., other.iter().skip(from).copied());
            }
        }
    }
    out
}

#[test]
fn what_regions_send_is_read_back_as_it_was_sent() {
    let corpus = corpus(1);
    let kind = |name: &str| {
        let names = corpus.iter().filter_map(|bytes| Message::from_bytes(bytes).ok());
        names.filter(|m| format!("{m:?}").starts_with(name)).count()
    };
    for name in ["Entries", "Heartbeat", "SnapshotBegin", "Row", "SnapshotEnd"] {
        assert!(kind(name) > 0, "no {name} among {} messages", corpus.len());
    }
    for bytes in &corpus {
        for (_, read) in READERS {
            read(bytes);
        }
    }
}

#[test]
fn no_damage_makes_a_reader_panic() {
    let corpus = corpus(2);
    let rounds = std::env::var("CARTOGRAPH_HISTORIES").map_or(30_000, |v| v.parse().unwrap());
    let mut chance = Chance::new(3);
    for _ in 0..rounds {
        let (one, other) = (chance.pick(&corpus), chance.pick(&corpus));
        let damaged = damage(one, other, &mut chance);
        for (_, read) in READERS {
            read(&damaged);
        }
        let framed: Vec<u8> = split(damaged)
            .iter()
            .filter(|frame| frame.len() < 256)
            .flat_map(|frame| [&[u8::try_from(frame.len()).unwrap()], frame.as_slice()].concat())
            .collect();
        frames(&framed);
    }
}
