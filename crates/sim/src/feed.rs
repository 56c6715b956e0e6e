//! Bytes from outside, given to what reads them: what fuzz targets call, and a plain test with seeded damage.
//!
//! Each of these must return whatever the bytes are: an error is an answer, a panic is a fault. What can be read must
//! be written and read again as the same.

use cartograph_crdt::stored::{ReplicaTable, decode_element, decode_header, decode_summary};
use cartograph_crdt::{ReplicaId, Type};
use cartograph_engine::Limits;
use cartograph_replica::entry::{decode_record, encode_record};
use cartograph_replica::frame::Assembler;
use cartograph_replica::message::{BackMessage, Hello, Message, Refusal, Welcome, Wire};

use crate::history::Plan;
use crate::steps::{Step, draw};
use crate::world::{Setup, World};

/// Something that reads bytes: a name and the reader.
pub type Reader = (&'static str, fn(&[u8]));

/// All of them.
pub const READERS: [Reader; 4] = [
    ("messages", messages),
    ("records", records),
    ("blobs", blobs),
    ("frames", frames),
];

fn again<T: Wire + PartialEq + std::fmt::Debug>(bytes: &[u8]) {
    if let Ok(message) = T::from_bytes(bytes)
        && let Ok(written) = message.to_bytes()
    {
        assert_eq!(
            T::from_bytes(&written).ok(),
            Some(message),
            "not read as it was written"
        );
    }
}

/// What a peer sends.
pub fn messages(bytes: &[u8]) {
    again::<Message>(bytes);
    again::<BackMessage>(bytes);
    again::<Hello>(bytes);
    again::<Welcome>(bytes);
    again::<Refusal>(bytes);
    if let Ok(Message::Entries { records: all }) = Message::from_bytes(bytes) {
        for record in all {
            records(&record);
        }
    }
}

/// What logs and peers hold of entries.
///
/// # Panics
/// What was read is not read again as it was written.
pub fn records(bytes: &[u8]) {
    if let Ok(entries) = decode_record(bytes)
        && let Ok(written) = encode_record(&entries)
    {
        assert_eq!(
            decode_record(&written).ok(),
            Some(entries),
            "not read as it was written"
        );
    }
}

/// What a store holds of a key.
///
/// # Panics
/// What was read is not read again as it was written.
pub fn blobs(bytes: &[u8]) {
    let table = ReplicaTable::new((1..9).map(|region| ReplicaId::new(region, 1)));
    let _ = decode_header(bytes, &table);
    let _ = decode_summary(bytes, &table);
    for ty in Type::ALL {
        if let Ok(element) = decode_element(ty, bytes, &table) {
            let mut table = table.clone();
            if let Ok(written) = cartograph_crdt::stored::encode_element(&element, &mut table) {
                let read = decode_element(ty, &written, &table);
                assert_eq!(read.ok(), Some(element), "not read as it was written");
            }
        }
    }
}

/// Frames of a stream, the first byte of each saying how long it is.
pub fn frames(bytes: &[u8]) {
    let mut assembler = Assembler::default();
    let mut rest = bytes;
    while let Some((length, after)) = rest.split_first() {
        let (frame, after) = after.split_at(usize::from(*length).min(after.len()));
        rest = after;
        match assembler.push(frame) {
            Ok(Some(message)) => messages(&message),
            Ok(None) => {}
            Err(_) => return,
        }
    }
}

/// Messages as regions really sent them under this seed, each kind among them: what a corpus begins with.
pub fn corpus(seed: u64) -> Vec<Vec<u8>> {
    let plan = Plan {
        steps: 60,
        ..Plan::default()
    };
    let limits = Limits {
        log_bytes_max: 500,
        log_entries_min: 1,
        log_age_min_ms: 1,
        ..Limits::default()
    };
    let mut world = World::new(Setup {
        regions: 3,
        seed,
        limits,
        latency_ms: 5,
    });
    world.sent = Some(Vec::new());
    world.run(1_000);
    for other in 0..2 {
        world.set_link(2, other, false);
        world.set_link(other, 2, false);
    }
    for planned in draw(seed, &plan) {
        if let Step::Write { region, commands } = planned.step {
            world.request(region % 2, commands);
            world.run(20);
        }
    }
    world.run(1_000);
    world.heal();
    world.run(5_000);
    world.sent.take().unwrap_or_default()
}
