//! Tests of greetings, of the wire forms, and that no bytes of a peer can do harm.

use cartograph_crdt::{Effect, ElementId, Hlc, Observed, Origin, Row, Score, Sequence, Touched, Type, Value};
use proptest::prelude::*;

use super::*;
use crate::row_form::{AssembleError, RowAssembler, RowForm};

fn hello(region: u16, name: &str) -> Hello {
    let replica = ReplicaId::new(region, 7);
    Hello {
        protocol: PROTOCOL_VERSION,
        cluster: "shop".to_owned(),
        replica,
        region: name.to_owned(),
        shard: ShardId(0),
        shards: 1,
        formats: Formats::OURS,
        fresh: false,
        members: vec![RegionId(1), RegionId(2)],
        report: Report {
            replica,
            vector: [(replica, 3)].into_iter().collect(),
            watermark_ms: 5,
            clock_ms: 6,
            echo: Some(Echo {
                clock_ms: 5,
                held_ms: 2,
            }),
            others: Vec::new(),
            lives: vec![ReplicaId::new(7, 1)],
        },
    }
}

#[test]
fn a_greeting_of_another_cluster_release_or_twin_is_refused_in_words() {
    let ours = hello(1, "a");
    assert_eq!(check(&hello(2, "b"), &ours), Ok(()));
    let refused = |change: &dyn Fn(&mut Hello), words: &str| {
        let mut theirs = hello(2, "b");
        change(&mut theirs);
        let refusal = check(&theirs, &ours).unwrap_err();
        assert!(refusal.to_string().contains(words), "{refusal}");
        let bytes = refusal.to_bytes().unwrap();
        assert_eq!(Refusal::from_bytes(&bytes).unwrap(), refusal);
    };
    refused(&|h| h.protocol = 1, "speaks protocol 1, this region 2");
    refused(
        &|h| h.cluster = "x".to_owned(),
        "cluster \"x\", this region to \"shop\"",
    );
    refused(
        &|h| h.replica.region = RegionId(1),
        "has region id 1 like this region",
    );
    refused(&|h| h.region = "a".to_owned(), "has this region's name \"a\"");
    refused(&|h| h.shards = 2, "has 2 shards, this region 1");
    refused(&|h| h.shard = ShardId(1), "about shard 1");
    refused(&|h| h.formats.record = 9, "record: 9");
    refused(&|h| h.report.replica = ReplicaId::new(2, 8), "another replica's");
    refused(&|h| h.fresh = true, "has applied entries");
    assert!(
        Refusal::NotMember { id: RegionId(4) }
            .to_string()
            .contains("region 4 is no member")
    );
}

#[test]
fn greetings_read_back_and_nonsense_does_not() {
    let welcome = Welcome { hello: hello(2, "b") };
    assert_eq!(
        Welcome::from_bytes(&welcome.to_bytes().unwrap()).unwrap(),
        welcome
    );
    let refused = |change: &dyn Fn(&mut Hello)| {
        let mut bad = hello(2, "b");
        change(&mut bad);
        assert!(Hello::from_bytes(&bad.to_bytes().unwrap()).is_err());
    };
    refused(&|h| h.region = String::new());
    refused(&|h| h.cluster = "x".repeat(NAME_BYTES_MAX + 1));
    refused(&|h| h.shard = ShardId(1));
    refused(&|h| h.members = vec![RegionId(5); REPORT_REGIONS_MAX + 1]);
    refused(&|h| h.report.replica.region = RegionId(0));
    let known = Known {
        replica: ReplicaId::new(3, 1),
        vector: VersionVector::new(),
        watermark_ms: 0,
        lives: vec![ReplicaId::new(7, 1)],
    };
    refused(&|h| h.report.others = vec![known.clone(); REPORT_REGIONS_MAX + 1]);
    refused(&|h| h.report.lives = vec![ReplicaId::new(3, 1); REPORT_REGIONS_MAX + 1]);
}

#[test]
fn messages_read_back() {
    let report = hello(2, "b").report;
    let vector = report.vector.clone();
    let messages = [
        Message::Entries {
            records: vec![vec![1, 2, 3], Vec::new()],
        },
        Message::Heartbeat {
            report: report.clone(),
        },
        Message::SnapshotBegin { v0: vector.clone() },
        Message::SnapshotEnd {
            v0: vector.clone(),
            rows: 9,
        },
        Message::SnapshotAbandon,
    ];
    for message in messages {
        assert_eq!(
            Message::from_bytes(&message.to_bytes().unwrap()).unwrap(),
            message
        );
    }
    let answers = [
        BackMessage::Ack { report },
        BackMessage::Resend {
            vector: vector.clone(),
        },
        BackMessage::SnapshotRefused,
        BackMessage::SnapshotProgress { rows: 3 },
        BackMessage::SnapshotDone { v0: vector },
    ];
    for answer in answers {
        assert_eq!(
            BackMessage::from_bytes(&answer.to_bytes().unwrap()).unwrap(),
            answer
        );
    }
    let empty = Message::Entries { records: Vec::new() };
    assert!(Message::from_bytes(&empty.to_bytes().unwrap()).is_err());
}

/// A row with a bit of everything; `members` makes it large.
fn row(members: u32) -> Row {
    let mut row = Row::absent();
    let context = VersionVector::new();
    let mut index = 0;
    let mut apply = |region: u16, effect: Effect| {
        let dot = cartograph_crdt::Dot::new(ReplicaId::new(region, 1 << 40), Sequence::FIRST, index);
        index += 1;
        let origin = Origin {
            dot,
            hlc: Hlc::new(1_700_000_000_000, 1),
            context: &context,
        };
        row.apply(&effect, &origin, &mut Touched::default());
    };
    for n in 0..members {
        let name = [b"a long member name, to make parts".as_slice(), &n.to_be_bytes()].concat();
        apply(
            1,
            Effect::Add {
                element: ElementId::member(&name),
            },
        );
    }
    let score = Value::Score(Score::new(1.5).unwrap());
    let element = ElementId {
        ty: Type::SortedSet,
        name: b"z".to_vec(),
    };
    apply(
        2,
        Effect::Assign {
            element,
            value: score,
            observed: Observed::default(),
        },
    );
    apply(2, Effect::AddRank { register: 7, rank: 3 });
    apply(3, Effect::Expire { at: Some(99) });
    apply(3, Effect::Create { ty: Type::Set });
    row
}

#[test]
fn a_row_reads_back_with_its_summary_computed_and_without_what_is_local() {
    let vector: VersionVector = [(ReplicaId::new(1, 1 << 40), 1)].into_iter().collect();
    let ahead: VersionVector = [(ReplicaId::new(9, 1), 4)].into_iter().collect();
    let mut original = row(3);
    original.summary.changed = 77;
    original.header.ahead = ahead.clone();
    let mut parts = RowPart::of(b"k", &original, &vector).unwrap();
    assert_eq!(parts.len(), 1);
    let message = Message::Row(parts.remove(0));
    let Message::Row(part) = Message::from_bytes(&message.to_bytes().unwrap()).unwrap() else {
        panic!("another message came back");
    };
    let whole = RowAssembler::default().push(part, 1 << 20).unwrap().unwrap();
    let mut seen = vector.clone();
    seen.join(&ahead);
    assert_eq!((whole.key.as_slice(), &whole.vector), (b"k".as_slice(), &seen));
    original.header.ahead = VersionVector::new();
    original.summary.changed = 0;
    assert_eq!(whole.row, original);
    assert_eq!(RowForm::of(&original).unwrap().into_row().unwrap(), original);
}

#[test]
fn a_large_row_travels_in_parts_and_is_bounded_where_it_is_put_together() {
    let original = row(60_000);
    let parts = RowPart::of(b"k", &original, &VersionVector::new()).unwrap();
    assert!(parts.len() >= 3);
    assert!(parts.iter().all(|p| p.weight() < 2 << 20));
    let mut assembler = RowAssembler::default();
    let mut whole = None;
    for part in parts.clone() {
        assert!(whole.is_none() && part.validate().is_ok());
        whole = assembler.push(part, 64 << 20).unwrap();
    }
    assert_eq!(whole.unwrap().row.digest(b"k"), original.digest(b"k"));
    let mut assembler = RowAssembler::default();
    assert!(matches!(
        parts
            .iter()
            .try_for_each(|p| assembler.push(p.clone(), 2 << 20).map(drop)),
        Err(AssembleError::TooLarge { .. })
    ));
    let mut assembler = RowAssembler::default();
    assert!(matches!(
        assembler.push(parts[1].clone(), 64 << 20),
        Err(AssembleError::OutOfOrder { part: 1 })
    ));
    assembler.push(parts[0].clone(), 64 << 20).unwrap();
    assert!(assembler.push(parts[2].clone(), 64 << 20).is_err());
}

#[test]
fn a_row_that_no_sane_sender_makes_is_refused() {
    let good = RowPart::of(b"k", &row(2), &VersionVector::new())
        .unwrap()
        .remove(0);
    let second_without_first = RowPart {
        part: 1,
        ..good.clone()
    };
    assert!(Message::from_bytes(&Message::Row(second_without_first).to_bytes().unwrap()).is_err());
    let bytes = Message::Row(good).to_bytes().unwrap();
    for cut in 0..bytes.len() {
        assert!(Message::from_bytes(&bytes[..cut]).is_err());
    }
}

proptest! {
    #[test]
    fn no_bytes_make_decoding_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..300), version: bool) {
        if let (true, Some(first)) = (version, bytes.first_mut()) {
            *first = MESSAGE_VERSION;
        }
        let _ = Message::from_bytes(&bytes);
        let _ = BackMessage::from_bytes(&bytes);
        let _ = Hello::from_bytes(&bytes);
    }

    #[test]
    fn damaged_rows_do_not_panic(at: prop::sample::Index, flip in 1_u8..=255) {
        let part = RowPart::of(b"k", &row(2), &VersionVector::new()).unwrap().remove(0);
        let mut bytes = Message::Row(part).to_bytes().unwrap();
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        if let Ok(Message::Row(part)) = Message::from_bytes(&bytes) {
            let _ = RowAssembler::default().push(part, 1 << 20);
        }
    }
}
