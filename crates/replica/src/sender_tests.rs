//! Tests of one sender: window, relay, loads from the log, and when rows are needed.

use std::sync::Arc;

use cartograph_crdt::{Effect, ElementId, Hlc, Sequence};

use super::*;
use crate::commit::LogAppend;
use crate::entry::{Entry, encode_record};
use crate::members::Members;
use crate::message::Known;

const ME: u16 = 1;

fn replica(region: u16) -> ReplicaId {
    ReplicaId::new(region, 1)
}

fn vector(counts: &[(u16, u64)]) -> VersionVector {
    counts.iter().map(|(region, n)| (replica(*region), *n)).collect()
}

fn report(region: u16, counts: &[(u16, u64)]) -> Report {
    Report {
        replica: replica(region),
        vector: vector(counts),
        watermark_ms: 0,
        clock_ms: 0,
        echo: None,
        others: Vec::new(),
        lives: Vec::new(),
    }
}

fn record(region: u16, sequence: u64) -> Vec<u8> {
    let element = ElementId::member(&[b'm'; 60]);
    let entry = Entry {
        replica: replica(region),
        sequence: Sequence::new(sequence).unwrap(),
        hlc: Hlc::default(),
        context: Arc::new(VersionVector::new()),
        ahead: Vec::new(),
        effects: vec![(b"k".to_vec(), Effect::Add { element })],
    };
    encode_record(&[entry]).unwrap()
}

/// Region 1 with a log of its own, and of region 2's entries, that reaches back to the beginning.
struct Setup {
    config: Config,
    own: VersionVector,
    recent: Recent,
    log_starts: BTreeMap<ReplicaId, u64>,
    stability: Stability,
    finals: BTreeMap<ReplicaId, u64>,
    may_serve: bool,
}

fn setup(counts: &[(u16, u64)]) -> Setup {
    let members = Members {
        regions: [1, 2, 3].into_iter().map(RegionId).collect(),
        ..Members::default()
    };
    let mut stability = Stability::new(replica(ME), 8);
    stability.set_members(&members);
    stability.set_vector(&vector(counts));
    let mut recent = Recent::new(1 << 20);
    for (region, n) in counts {
        for sequence in 1..=*n {
            recent.push(&LogAppend {
                origin: replica(*region),
                first: sequence,
                last: sequence,
                record: record(*region, sequence),
            });
        }
    }
    Setup {
        config: Config {
            window_bytes: 400,
            ..Config::default()
        },
        own: vector(counts),
        recent,
        log_starts: counts.iter().map(|(region, _)| (replica(*region), 1)).collect(),
        stability,
        finals: BTreeMap::new(),
        may_serve: true,
    }
}

impl Setup {
    fn poll(&self, sender: &mut Sender, now_ms: u64) -> Vec<Action> {
        let report = report(ME, &[]);
        let context = Context {
            config: &self.config,
            me: replica(ME),
            own: &self.own,
            recent: &self.recent,
            log_starts: &self.log_starts,
            stability: &self.stability,
            finals: &self.finals,
            may_serve: self.may_serve.then_some(SnapshotId(1)),
            report: &report,
            echo: None,
        };
        let actions = sender.poll(&context, now_ms);
        let heartbeat = |a: &Action| {
            matches!(
                a,
                Action::Send {
                    message: Message::Heartbeat { .. },
                    ..
                }
            )
        };
        actions.into_iter().filter(|a| !heartbeat(a)).collect()
    }

    /// The entries sent: region and sequence.
    fn sent(&self, sender: &mut Sender, now_ms: u64) -> Vec<(u16, u64)> {
        let mut sent = Vec::new();
        for action in self.poll(sender, now_ms) {
            if let Action::Send {
                message: Message::Entries { records },
                ..
            } = action
            {
                for record in records {
                    let entries = decode_record(&record).unwrap();
                    sent.extend(entries.iter().map(|e| (e.replica.region.0, e.sequence.get())));
                }
            }
        }
        sent
    }
}

fn begins_snapshot(actions: &[Action]) -> bool {
    let begin = |a: &Action| {
        matches!(
            a,
            Action::Send {
                message: Message::SnapshotBegin { .. },
                ..
            }
        )
    };
    actions.iter().any(begin)
}

#[test]
fn own_entries_go_at_once_from_where_the_peer_stands_within_the_window() {
    let s = setup(&[(1, 20)]);
    let mut sender = Sender::new(&report(3, &[(1, 4)]));
    let first = s.sent(&mut sender, 0);
    assert_eq!(first.first(), Some(&(1, 5)));
    let bytes = record(1, 5).len();
    assert!(first.len() >= 2 && first.len() <= 400 / bytes + 1, "{first:?}");
    assert!(sender.queue_bytes() <= 400 + bytes);
    assert_eq!(s.sent(&mut sender, 1), [], "the window is full");
    let last = first.last().unwrap().1;
    sender.reported(&report(3, &[(1, last - 1)]));
    assert_eq!(s.sent(&mut sender, 2).first(), Some(&(1, last + 1)));
}

#[test]
fn a_full_window_leaves_one_record_for_each_other_origin() {
    let s = setup(&[(1, 50), (2, 3)]);
    let mut sender = Sender::new(&report(3, &[]));
    s.sent(&mut sender, 0);
    assert!(sender.queue_bytes() >= 400);
    // What the peer waits for may be among these: without it, it would never acknowledge anything.
    assert_eq!(s.sent(&mut sender, 500), [(2, 1)]);
    assert_eq!(s.sent(&mut sender, 501), []);
}

#[test]
fn others_entries_are_relayed_only_when_the_peer_lacks_them_without_progress() {
    let s = setup(&[(2, 18)]);
    let mut sender = Sender::new(&report(3, &[(2, 2)]));
    assert_eq!(s.sent(&mut sender, 0), []);
    assert_eq!(s.sent(&mut sender, 499), []);
    sender.reported(&report(3, &[(2, 3)]));
    assert_eq!(s.sent(&mut sender, 500), [], "it makes progress");
    assert_eq!(s.sent(&mut sender, 999), []);
    assert_eq!(
        s.sent(&mut sender, 1_000).first(),
        Some(&(2, 4)),
        "from its count on"
    );
    // Progress up to what was relayed is our own doing: the relay goes on.
    sender.reported(&report(3, &[(2, 4)]));
    assert!(!s.sent(&mut sender, 1_001).is_empty());
}

#[test]
fn progress_beyond_what_was_relayed_ends_the_relay() {
    let s = setup(&[(2, 20)]);
    let mut sender = Sender::new(&report(3, &[]));
    s.sent(&mut sender, 0);
    let last = s.sent(&mut sender, 500).last().unwrap().1;
    sender.reported(&report(3, &[(2, last + 1)]));
    assert_eq!(s.sent(&mut sender, 501), []);
    assert_eq!(s.sent(&mut sender, 1_000), []);
    assert_eq!(s.sent(&mut sender, 1_001).first(), Some(&(2, last + 2)));
}

#[test]
fn a_relay_pauses_after_a_burst() {
    let mut s = setup(&[(2, 2)]);
    s.config.relay_burst_ms = 700;
    let mut sender = Sender::new(&report(3, &[]));
    s.sent(&mut sender, 0);
    assert_eq!(s.sent(&mut sender, 500), [(2, 1), (2, 2)]);
    assert_eq!(s.sent(&mut sender, 1_200), []);
    assert_eq!(s.sent(&mut sender, 1_699), []);
    assert_eq!(
        s.sent(&mut sender, 1_700),
        [(2, 1), (2, 2)],
        "and sends again what nobody acknowledged"
    );
}

#[test]
fn a_resend_goes_back_to_the_peers_vector() {
    let s = setup(&[(1, 3)]);
    let mut sender = Sender::new(&report(3, &[]));
    assert_eq!(s.sent(&mut sender, 0), [(1, 1), (1, 2), (1, 3)]);
    sender.resend(vector(&[(1, 1)]));
    assert_eq!(s.sent(&mut sender, 1), [(1, 2), (1, 3)]);
}

#[test]
fn a_relay_goes_on_after_a_resend() {
    let s = setup(&[(2, 2)]);
    let mut sender = Sender::new(&report(3, &[]));
    s.sent(&mut sender, 0);
    assert_eq!(s.sent(&mut sender, 500), [(2, 1), (2, 2)]);
    sender.resend(vector(&[]));
    assert_eq!(s.sent(&mut sender, 501), [(2, 1), (2, 2)]);
}

#[test]
fn what_is_no_longer_in_memory_is_loaded_once_and_sent_in_order() {
    let mut s = setup(&[(1, 6)]);
    s.recent.clear();
    let mut sender = Sender::new(&report(3, &[]));
    let load = s.poll(&mut sender, 0);
    let asked = matches!(load.as_slice(), [Action::LoadLog { from: 1, .. }]);
    assert!(asked, "{load:?}");
    assert_eq!(s.poll(&mut sender, 1), [], "one load at a time");
    assert_eq!(
        sender.loaded(replica(1), 9, vec![record(1, 9)], 1_000),
        None,
        "not what was asked for"
    );
    let records = vec![record(1, 1), record(1, 2)];
    assert_eq!(sender.loaded(replica(1), 1, records, 1_000), None);
    let next = s.poll(&mut sender, 2);
    assert!(
        next.iter().any(|a| matches!(a, Action::LoadLog { from: 3, .. })),
        "{next:?}"
    );
    assert_eq!(
        sender.loaded(replica(1), 3, vec![record(1, 5)], 1_000),
        Some(5),
        "the log starts later"
    );
}

#[test]
fn below_the_logs_start_rows_are_sent_for_own_entries_at_once_for_others_after_the_relay_delay() {
    let mut s = setup(&[(1, 6), (2, 6)]);
    s.log_starts.insert(replica(1), 3);
    assert!(!begins_snapshot(
        &s.poll(&mut Sender::new(&report(3, &[(1, 2), (2, 6)])), 0)
    ));
    assert!(begins_snapshot(
        &s.poll(&mut Sender::new(&report(3, &[(1, 1), (2, 6)])), 0)
    ));
    s.log_starts.insert(replica(2), 3);
    let mut sender = Sender::new(&report(3, &[(1, 5), (2, 1)]));
    assert_eq!(
        s.sent(&mut sender, 0),
        [(1, 6)],
        "region 2 itself may still have them"
    );
    assert!(!begins_snapshot(&s.poll(&mut sender, 499)));
    assert!(begins_snapshot(&s.poll(&mut sender, 500)));
}

#[test]
fn an_empty_peer_gets_the_log_when_it_reaches_back_to_the_beginning() {
    let s = setup(&[(1, 2)]);
    let mut sender = Sender::new(&report(3, &[]));
    assert_eq!(s.sent(&mut sender, 0), [(1, 1), (1, 2)]);
}

#[test]
fn a_peer_that_was_rolled_back_gets_rows_though_the_log_reaches_back() {
    let mut s = setup(&[(1, 6)]);
    s.stability.reported(&report(3, &[(1, 6)]));
    let later = Report {
        replica: ReplicaId::new(3, 2),
        ..report(3, &[(1, 2)])
    };
    s.stability.reported(&later);
    let mut sender = Sender::new(&later);
    s.may_serve = false;
    assert_eq!(s.poll(&mut sender, 0), [], "nothing may be sent before the rows");
    s.may_serve = true;
    assert!(begins_snapshot(&s.poll(&mut sender, 1)));
    assert_eq!(sender.pin(), Some(&vector(&[(1, 6)])));
    // Refused: later again, unless someone else has served it meanwhile.
    sender.snapshot_refused(1_000);
    assert_eq!(sender.pin(), None);
    assert_eq!(s.poll(&mut sender, 999), []);
    let caught_up = Report {
        vector: vector(&[(1, 6)]),
        ..later
    };
    s.stability.reported(&caught_up);
    sender.reported(&caught_up);
    assert_eq!(s.poll(&mut sender, 1_000), []);
}

#[test]
fn a_word_by_the_peers_other_stream_is_no_rollback() {
    let mut s = setup(&[(1, 6)]);
    let mut heard = report(2, &[]);
    heard.others = vec![Known {
        replica: replica(3),
        vector: vector(&[(1, 6)]),
        watermark_ms: 0,
        lives: Vec::new(),
    }];
    // We hear by 2 that 3 has everything before the welcome arrives in which it had less.
    s.stability.reported(&heard);
    let mut sender = Sender::new(&report(3, &[(1, 2)]));
    assert_eq!(s.sent(&mut sender, 0), [(1, 3), (1, 4), (1, 5), (1, 6)]);
}

#[test]
fn a_later_life_of_the_peer_begins_where_it_says() {
    let s = setup(&[(1, 6)]);
    let mut sender = Sender::new(&report(3, &[(1, 4)]));
    assert_eq!(s.sent(&mut sender, 0), [(1, 5), (1, 6)]);
    let later = Report {
        replica: ReplicaId::new(3, 2),
        ..report(3, &[(1, 3)])
    };
    sender.reported(&later);
    sender.reported(&report(3, &[(1, 6)]));
    assert_eq!(s.sent(&mut sender, 1), [(1, 4), (1, 5), (1, 6)]);
}

/// Who has all that a retired life wrote is told by an entry that it is; who lacks some of it can only be sent rows.
#[test]
fn a_peer_that_lacks_entries_of_a_retired_life_is_sent_a_snapshot() {
    let begins = |s: &Setup, sender: &mut Sender| {
        let begin = |a: &Action| {
            let Action::Send { message, .. } = a else {
                return false;
            };
            matches!(message, Message::SnapshotBegin { .. })
        };
        s.poll(sender, 0).iter().any(begin)
    };
    let mut s = setup(&[(1, 3), (2, 4)]);
    s.own.retire(replica(2));
    s.log_starts.remove(&replica(2));
    s.finals.insert(replica(2), 4);
    let mut has_all = Sender::new(&report(3, &[(1, 2), (2, 4)]));
    assert!(!begins(&s, &mut has_all));
    let mut lacks_one = Sender::new(&report(3, &[(1, 2), (2, 3)]));
    assert!(begins(&s, &mut lacks_one));
    // Everyone once knew: who does not now has lost it.
    s.finals.clear();
    let mut rolled_back = Sender::new(&report(3, &[(1, 2), (2, 4)]));
    assert!(begins(&s, &mut rolled_back));
    let mut knows = report(3, &[(1, 2)]);
    knows.vector.retire(replica(2));
    assert!(!begins(&s, &mut Sender::new(&knows)));
}
