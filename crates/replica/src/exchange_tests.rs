//! Tests of the facade: snapshots from begin to end, who gives way, what closes a link, when acknowledgements go.

use std::sync::Arc;

use cartograph_crdt::{Effect, ElementId, Hlc, Origin, Sequence, ShardId, Touched};

use super::*;
use crate::message::{Formats, PROTOCOL_VERSION};
use crate::row_form::RowPart;

fn replica(region: u16) -> ReplicaId {
    ReplicaId::new(region, 1)
}

fn vector(counts: &[(u16, u64)]) -> VersionVector {
    counts.iter().map(|(region, n)| (replica(*region), *n)).collect()
}

fn hello(exchange: &Exchange, now_ms: u64) -> Hello {
    let report = exchange.report(now_ms);
    Hello {
        protocol: PROTOCOL_VERSION,
        cluster: "c".to_owned(),
        replica: report.replica,
        region: format!("r{}", report.region()),
        shard: ShardId(0),
        shards: 1,
        formats: Formats::OURS,
        fresh: report.vector.is_empty(),
        members: Vec::new(),
        report,
    }
}

/// A region with this vector and an empty log: peers that lack anything of it need rows.
fn region(id: u16, counts: &[(u16, u64)]) -> Exchange {
    let mut exchange = Exchange::new(Config::default(), replica(id), 0);
    exchange.set_members(&[1, 2, 3].into_iter().map(RegionId).collect());
    exchange.set_vector(&vector(counts), 0);
    exchange
}

/// `a` dials `b`.
fn dial(a: &mut Exchange, b: &mut Exchange, now_ms: u64) {
    let (from, to) = (a.me.region, b.me.region);
    b.accepted(from, &hello(a, now_ms), now_ms);
    let welcome = Welcome {
        hello: hello(b, now_ms),
    };
    a.connected(to, &welcome, now_ms);
}

#[expect(clippy::wildcard_enum_match_arm, reason = "these pick one kind of action")]
fn sent_to(actions: &[Action], to: u16) -> Vec<Message> {
    let sent = actions.iter().filter_map(|action| match action {
        Action::Send { peer, message } if *peer == RegionId(to) => Some(message.clone()),
        _ => None,
    });
    sent.filter(|m| !matches!(m, Message::Heartbeat { .. })).collect()
}

#[expect(clippy::wildcard_enum_match_arm, reason = "these pick one kind of action")]
fn answered(actions: &[Action], to: u16) -> Vec<BackMessage> {
    let sent = actions.iter().filter_map(|action| match action {
        Action::Back { peer, message } if *peer == RegionId(to) => Some(message.clone()),
        _ => None,
    });
    sent.filter(|m| !matches!(m, BackMessage::Ack { .. })).collect()
}

#[expect(clippy::wildcard_enum_match_arm, reason = "these pick one kind of action")]
fn page_asked(actions: &[Action]) -> Option<(SnapshotId, Vec<u8>)> {
    actions.iter().find_map(|action| match action {
        Action::LoadKeys { snapshot, cursor, .. } => Some((*snapshot, cursor.clone())),
        _ => None,
    })
}

/// A record of one entry.
fn append(region: u16, sequence: u64) -> LogAppend {
    let entry = Entry {
        replica: replica(region),
        sequence: Sequence::new(sequence).unwrap(),
        hlc: Hlc::default(),
        context: Arc::default(),
        ahead: Vec::new(),
        effects: Vec::new(),
    };
    LogAppend {
        origin: replica(region),
        first: sequence,
        last: sequence,
        record: crate::entry::encode_record(&[entry]).unwrap(),
    }
}

fn row() -> Row {
    let mut row = Row::absent();
    let context = VersionVector::new();
    let origin = Origin {
        dot: Dot::new(replica(1), Sequence::FIRST, 0),
        hlc: Hlc::default(),
        context: &context,
    };
    let element = ElementId::member(b"m");
    row.apply(&Effect::Add { element }, &origin, &mut Touched::default());
    row
}

#[test]
fn a_snapshot_from_the_first_page_to_the_log_that_follows() {
    let (mut a, mut b) = (region(1, &[(1, 5)]), region(2, &[]));
    dial(&mut a, &mut b, 0);
    let actions = a.poll(0);
    let v0 = vector(&[(1, 5)]);
    assert_eq!(sent_to(&actions, 2), [Message::SnapshotBegin { v0: v0.clone() }]);
    let (id, cursor) = page_asked(&actions).unwrap();
    assert!(cursor.is_empty());
    assert_eq!(
        a.pins(),
        Some(v0.clone()),
        "the log may not be trimmed past where it will follow"
    );
    // Two keys, one of which is gone when its row is read.
    a.keys(RegionId(2), id, vec![b"k".to_vec(), b"l".to_vec()], None);
    let reads = a
        .poll(1)
        .iter()
        .filter(|x| matches!(x, Action::ReadRow { .. }))
        .count();
    assert_eq!(reads, 2);
    a.row(RegionId(2), id, b"k", Some(&row()), &v0);
    a.row(RegionId(2), id, b"l", None, &v0);
    let messages = sent_to(&a.poll(2), 2);
    assert_eq!(messages.len(), 2);
    assert!(matches!(&messages[1], Message::SnapshotEnd { rows: 1, .. }));
    let nothing = VersionVector::new();
    let begin = Message::SnapshotBegin { v0: v0.clone() };
    let events = b.received(RegionId(1), begin, &nothing, 3).unwrap();
    assert_eq!(
        events,
        [Event::SnapshotBegun {
            peer: RegionId(1),
            v0: v0.clone()
        }]
    );
    let mut events = Vec::new();
    for message in messages {
        events.extend(b.received(RegionId(1), message, &nothing, 3).unwrap());
    }
    assert!(matches!(&events[0], Event::Row { row, .. } if row.key == b"k" && row.vector == v0));
    assert_eq!(
        events[1],
        Event::SnapshotEnded {
            peer: RegionId(1),
            v0: v0.clone()
        }
    );
    b.row_joined(RegionId(1));
    b.committed(&[], &v0, 4);
    b.snapshot_joined(RegionId(1));
    let answers = answered(&b.poll(4), 1);
    assert_eq!(
        answers,
        [BackMessage::SnapshotDone { v0: v0.clone() }],
        "whole: progress is of no interest any more"
    );
    let late = BackMessage::SnapshotDone {
        v0: VersionVector::new(),
    };
    a.acked(RegionId(2), late, 5).unwrap();
    assert!(
        a.pins().is_some(),
        "an answer to an earlier snapshot unpins nothing"
    );
    for answer in answers {
        a.acked(RegionId(2), answer, 5).unwrap();
    }
    assert_eq!(a.pins(), None);
    let append = append(1, 6);
    a.committed(&[append], &vector(&[(1, 6)]), 6);
    assert!(matches!(
        sent_to(&a.poll(6), 2).as_slice(),
        [Message::Entries { .. }]
    ));
}

#[test]
fn answers_for_an_earlier_snapshot_are_ignored() {
    let (mut a, mut b) = (region(1, &[(1, 5)]), region(2, &[]));
    dial(&mut a, &mut b, 0);
    let (first, _) = page_asked(&a.poll(0)).unwrap();
    a.keys(RegionId(2), first, vec![b"k".to_vec()], None);
    a.poll(0);
    a.disconnected(RegionId(2), Direction::Out);
    a.committed(&[], &vector(&[(1, 6)]), 1);
    dial(&mut a, &mut b, 1);
    let (second, _) = page_asked(&a.poll(1)).unwrap();
    assert_ne!(first, second);
    a.keys(RegionId(2), first, vec![b"stale".to_vec()], None);
    assert!(!a.poll(2).iter().any(|x| matches!(x, Action::ReadRow { .. })));
    a.keys(RegionId(2), second, vec![b"k".to_vec()], None);
    a.poll(2);
    a.row(RegionId(2), first, b"k", Some(&row()), &vector(&[(1, 6)]));
    assert_eq!(sent_to(&a.poll(3), 2), []);
    // A row read before the walk began would claim too little.
    a.row(RegionId(2), second, b"k", Some(&row()), &vector(&[(1, 5)]));
    let actions = a.poll(4);
    assert_eq!(sent_to(&actions, 2), []);
    assert!(
        actions.iter().any(|x| matches!(x, Action::ReadRow { .. })),
        "it is read again"
    );
    a.row(RegionId(2), second, b"k", Some(&row()), &vector(&[(1, 6)]));
    assert_eq!(sent_to(&a.poll(5), 2).len(), 2);
}

#[test]
fn of_two_regions_that_would_serve_each_other_the_smaller_id_does() {
    let (mut a, mut b) = (region(1, &[(1, 5)]), region(2, &[(2, 5)]));
    dial(&mut a, &mut b, 0);
    dial(&mut b, &mut a, 0);
    let from_a = sent_to(&a.poll(0), 2).remove(0);
    let from_b = sent_to(&b.poll(0), 1).remove(0);
    let begun = b.received(RegionId(1), from_a, &vector(&[(2, 5)]), 1).unwrap();
    assert!(matches!(begun.as_slice(), [Event::SnapshotBegun { .. }]));
    assert_eq!(sent_to(&b.poll(1), 1), [Message::SnapshotAbandon]);
    assert_eq!(
        a.received(RegionId(2), from_b, &vector(&[(1, 5)]), 1).unwrap(),
        []
    );
    assert_eq!(answered(&a.poll(1), 2), [BackMessage::SnapshotRefused]);
    // What was under way of the refused one does no harm.
    let late = RowPart::of(b"k", &row(), &vector(&[(2, 5)])).unwrap().remove(0);
    assert_eq!(
        a.received(RegionId(2), Message::Row(late), &vector(&[(1, 5)]), 1)
            .unwrap(),
        []
    );
    assert_eq!(
        sent_to(&b.poll(2_000), 1),
        [],
        "not while it joins the other one's"
    );
}

#[test]
fn a_region_with_rows_ahead_of_its_vector_serves_no_snapshot() {
    let (mut a, mut b) = (region(1, &[(1, 5)]), region(2, &[]));
    a.set_ahead(true);
    dial(&mut a, &mut b, 0);
    assert_eq!(sent_to(&a.poll(0), 2), []);
    a.set_ahead(false);
    assert_eq!(sent_to(&a.poll(1), 2).len(), 1);
    a.set_ahead(true);
    assert_eq!(sent_to(&a.poll(2), 2), [Message::SnapshotAbandon]);
    assert_eq!(a.pins(), None);
}

#[test]
fn a_snapshot_that_does_not_add_up_closes_the_link() {
    let begin = |b: &mut Exchange| {
        let v0 = vector(&[(1, 5)]);
        b.received(
            RegionId(1),
            Message::SnapshotBegin { v0 },
            &VersionVector::new(),
            0,
        )
        .unwrap()
    };
    let refused = |message: Message, begun: bool| {
        let (mut a, mut b) = (region(1, &[(1, 5)]), region(2, &[]));
        dial(&mut a, &mut b, 0);
        if begun {
            begin(&mut b);
        }
        let refused = b.received(RegionId(1), message, &VersionVector::new(), 0);
        assert!(
            matches!(refused, Err(LinkError::Unexpected { .. })),
            "{refused:?}"
        );
        let aborted = b.disconnected(RegionId(1), Direction::In);
        assert_eq!(aborted.len(), usize::from(begun));
    };
    let v0 = vector(&[(1, 5)]);
    refused(
        Message::SnapshotEnd {
            v0: v0.clone(),
            rows: 1,
        },
        true,
    );
    refused(
        Message::SnapshotEnd {
            v0: vector(&[(1, 4)]),
            rows: 0,
        },
        true,
    );
    refused(Message::SnapshotEnd { v0, rows: 0 }, false);
    let part = RowPart::of(b"k", &row(), &vector(&[(1, 5)])).unwrap().remove(0);
    refused(Message::Row(part), false);
}

#[test]
fn another_regions_report_and_messages_without_a_stream_are_refused() {
    let (mut a, mut b) = (region(1, &[]), region(2, &[]));
    dial(&mut a, &mut b, 0);
    let report = region(3, &[]).report(0);
    let nothing = VersionVector::new();
    let heartbeat = Message::Heartbeat {
        report: report.clone(),
    };
    assert!(b.received(RegionId(1), heartbeat, &nothing, 0).is_err());
    assert!(a.acked(RegionId(2), BackMessage::Ack { report }, 0).is_err());
    assert!(
        a.received(RegionId(2), Message::SnapshotAbandon, &nothing, 0)
            .is_err()
    );
    let done = BackMessage::SnapshotDone { v0: nothing.clone() };
    assert!(b.acked(RegionId(1), done, 0).is_err());
    let garbage = Message::Entries {
        records: vec![vec![1, 2, 3]],
    };
    assert!(matches!(
        b.received(RegionId(1), garbage, &nothing, 0),
        Err(LinkError::Record { .. })
    ));
}

#[test]
fn acknowledgements_are_quick_on_progress_coalesced_and_seldom_when_idle() {
    let (mut a, mut b) = (region(1, &[]), region(2, &[]));
    dial(&mut a, &mut b, 0);
    let acks = |b: &mut Exchange, now: u64| {
        let back = |x: &Action| {
            matches!(
                x,
                Action::Back {
                    message: BackMessage::Ack { .. },
                    ..
                }
            )
        };
        b.poll(now).iter().filter(|x| back(x)).count()
    };
    assert_eq!(acks(&mut b, 0), 1);
    assert_eq!(b.next_wake(0), Some(200));
    b.committed(&[], &vector(&[(1, 1)]), 1);
    assert_eq!(b.next_wake(1), Some(5));
    assert_eq!(acks(&mut b, 4), 0);
    assert_eq!(acks(&mut b, 5), 1);
    assert_eq!(acks(&mut b, 199), 0);
    assert_eq!(acks(&mut b, 200), 1);
}

#[test]
fn a_region_knows_when_others_have_entries_of_its_own_that_it_lost() {
    let mut a = region(1, &[]);
    assert!(!a.lacks_own_entries());
    let mut b = region(2, &[(1, 5)]);
    dial(&mut b, &mut a, 0);
    assert!(a.lacks_own_entries());
    a.committed(&[], &vector(&[(1, 5)]), 1);
    assert!(!a.lacks_own_entries());
}

#[test]
fn an_entry_of_ours_that_we_never_wrote_raises_an_alarm() {
    let (mut a, mut b) = (region(1, &[]), region(2, &[]));
    dial(&mut a, &mut b, 0);
    let records = vec![append(2, 3).record];
    let events = b
        .received(
            RegionId(1),
            Message::Entries { records },
            &VersionVector::new(),
            0,
        )
        .unwrap();
    assert_eq!(events, [Event::OwnEntriesUnknown { sequence: 3 }]);
}

/// Entries that a closed life left on its stream may be lost where they were written.
#[test]
fn when_a_later_life_is_known_the_earlier_ones_stream_is_refused_and_we_vouch() {
    let (mut a, mut b) = (region(1, &[]), region(2, &[]));
    dial(&mut b, &mut a, 0);
    let later = Exchange::new(Config::default(), ReplicaId::new(2, 9), 0);
    a.poll(0);
    assert_eq!(a.report(0).lives, [ReplicaId::new(2, 1)]);
    let mut from_3 = region(3, &[]).report(0);
    from_3.others = vec![crate::message::Known {
        replica: ReplicaId::new(2, 9),
        vector: VersionVector::new(),
        watermark_ms: 0,
        lives: Vec::new(),
    }];
    a.heard(&from_3, 1);
    assert!(a.report(1).lives.is_empty(), "something may wait here");
    a.poll(1);
    assert_eq!(a.report(1).lives, [ReplicaId::new(2, 9), ReplicaId::new(3, 1)]);
    let nothing = VersionVector::new();
    let stale = Message::Heartbeat { report: b.report(1) };
    assert!(a.received(RegionId(2), stale, &nothing, 1).is_err());
    let live = Message::Heartbeat {
        report: later.report(1),
    };
    assert!(
        a.received(RegionId(2), live, &nothing, 1).is_ok(),
        "the same stream, the new life"
    );
}
