//! Blob sizes, and what could be lost on the way.
//!
//! Redis keeps a hash in its compact form while no field is over 64 bytes, and never goes back to it.

use super::*;
use crate::row::{Created, Expiry, Header};

/// Redis's `hash-max-listpack-value`.
const LISTPACK_VALUE_MAX: usize = 64;

/// November 2026.
const NOW_MS: u64 = 1_795_000_000_000;

const THIRTY_DAYS_MS: u64 = 30 * 24 * 3_600_000;

fn replica(region: u16) -> ReplicaId {
    ReplicaId::new(region, (NOW_MS << 16) | 0xabcd)
}

fn dot(region: u16, sequence: u64, index: u32) -> Dot {
    Dot::new(replica(region), Sequence::new(sequence).unwrap(), index)
}

/// A store that has met three regions, each of them four times.
fn table() -> ReplicaTable {
    let lives = (0..4).flat_map(|life| (1..=3).map(move |region| ReplicaId::new(region, life)));
    let mut table = ReplicaTable::new((1..=3).map(replica));
    for id in lives {
        table.intern(id);
    }
    table
}

/// Each of three regions made the cart and wrote to it, a minute apart, before hearing of the others.
fn contested(sequence: u64) -> Header {
    let at = |region: u16| NOW_MS + u64::from(region) * 60_000;
    Header {
        creates: (1..=3)
            .map(|r| Created {
                dot: dot(r, sequence, 1),
                hlc: Hlc::new(at(r), 2),
                ty: Type::Hash,
            })
            .collect(),
        expires: (1..=3)
            .map(|r| Expiry {
                dot: dot(r, sequence + 9, 2),
                at: Some(at(r) + THIRTY_DAYS_MS),
            })
            .collect(),
        ..Header::default()
    }
}

fn header_bytes(header: &Header) -> usize {
    let mut table = table();
    let bytes = encode_header(header, &mut table).unwrap();
    assert_eq!(decode_header(&bytes, &table).as_ref(), Ok(header));
    bytes.len()
}

fn element_bytes(ty: Type, element: &Element) -> usize {
    let mut table = table();
    let bytes = encode_element(element, &mut table).unwrap();
    assert_eq!(decode_element(ty, &bytes, &table).as_ref(), Ok(element));
    bytes.len()
}

fn line(cells: u16, increments: u64) -> Element {
    let cell = |region| Cell {
        tag: dot(region, 10_000_000, 3),
        last: dot(region, 10_000_000 + increments, 1).position,
        sum: Exact::from_i64(4),
        baseline: None,
    };
    let mut element = Element::empty(Type::Hash);
    if let Element::Number(n) = &mut element {
        n.counter = ObservedResetCounter::from_cells((1..=cells).map(cell).collect());
    }
    element
}

#[test]
fn a_cart_made_in_three_regions_at_once_stays_under_the_cliff() {
    let early = header_bytes(&contested(100));
    let late = header_bytes(&contested(200_000_000));
    assert!(early < late && late <= LISTPACK_VALUE_MAX, "{early}, {late}");
    let mut later = contested(10_000_000);
    later.expires.truncate(1);
    assert!(header_bytes(&later) <= 50);
}

#[test]
fn the_usual_blobs_are_as_small_as_the_table_says() {
    let member = AddWinsMember::from_dots(vec![dot(3, 10_000_000, 2)]);
    assert_eq!(element_bytes(Type::Set, &Element::Member(member)), 8);
    assert_eq!(element_bytes(Type::Hash, &line(1, 40)), 13);
    assert_eq!(element_bytes(Type::Hash, &line(3, 4_000)), 36);
    let mut header = contested(10_000_000);
    header.creates.truncate(1);
    header.expires.truncate(1);
    assert_eq!(header_bytes(&header), 24);
    assert_eq!(header_bytes(&contested(10_000_000)), 58);
    let summary = Summary {
        live: [0, 5, 0, 0, 0],
        counters: 5,
        digest: u64::MAX,
        top: (1..=3).map(|r| (replica(r), 10_000_000)).collect(),
        changed: 10_000_000,
    };
    let mut table = table();
    let bytes = encode_summary(&summary, &mut table).unwrap();
    assert_eq!(decode_summary(&bytes, &table).as_ref(), Ok(&summary));
    assert_eq!(bytes.len(), 33);
}

#[test]
fn headers_at_the_ends_of_their_ranges_come_back_as_they_were() {
    let instants = [
        None,
        Some(0),
        Some(u64::MAX),
        Some(u64::MAX / 2 + 1),
        Some(NOW_MS),
    ];
    let expiry = |(n, at): (u64, Option<u64>)| Expiry {
        dot: dot(1, n + 1, 7 + u32::MAX / 2),
        at,
    };
    let list: Vec<Expiry> = (0..).zip(instants).map(expiry).collect();
    let last = Dot::new(replica(2), Sequence::new(u64::MAX).unwrap(), u32::MAX);
    let created = |(ms, index)| Created {
        dot: dot(2, 5, index),
        hlc: Hlc::new(ms, u32::MAX),
        ty: Type::HyperLogLog,
    };
    for (creates, expires, restates) in [(0, 0, 0), (1, 3, 3), (3, 3, 3), (4, 0, 0), (0, 5, 1), (0, 1, 5)] {
        let creates = [(u64::MAX, 6), (0, 7), (NOW_MS, 8), (1, 9)].map(created)[..creates].to_vec();
        let mut header = Header {
            creates,
            expires: list[..expires].to_vec(),
            restates: list[..restates].to_vec(),
            ..Header::default()
        };
        header_bytes(&header);
        header.revokes = vec![last];
        header.ahead = [(replica(3), u64::MAX)].into_iter().collect();
        header_bytes(&header);
    }
}

#[test]
fn damaged_headers_are_errors() {
    let table = table();
    let blob = encode_header(&contested(300), &mut table.clone()).unwrap();
    for end in 0..blob.len() {
        assert!(decode_header(&blob[..end], &table).is_err(), "cut at {end}");
    }
    for body in [
        &[0x81, 1][..],
        &[0x80, 1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, 0, 0],
        &[0x10, 1, 1, 0, 7],
    ] {
        assert!(
            decode_header(&[&[VERSION], body].concat(), &table).is_err(),
            "{body:?}"
        );
    }
}
