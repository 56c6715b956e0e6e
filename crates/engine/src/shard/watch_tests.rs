//! WATCH: what a stamp tells of, and what makes a watched request fail.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use cartograph_crdt::{
    Effect, ElementId, Hlc, Observed, RegionId, ReplicaId, Sequence, ShardId, Value, VersionVector,
};
use cartograph_replica::{
    Claim, Commit, Elements, Entry, Fence, Head, Key, Load, Loaded, Outcome, StoredRow,
};

use super::{Config, Limits, Shard};
use crate::api::{Done, Input, LoadId, Now, Output, Request, RequestError, RequestId};
use crate::command::{Command, Condition, Reply, SetExpiry, Stamp, When};

/// A shard on a store in memory that commits when it is told to.
struct Bench {
    shard: Shard,
    now: Now,
    rows: BTreeMap<Key, StoredRow>,
    commits: VecDeque<Box<Commit>>,
    replies: BTreeMap<u64, Result<Done, RequestError>>,
    asked: u64,
}

impl Bench {
    fn new() -> Self {
        let shard = Shard::open(Config {
            shard: ShardId(0),
            shards: 1,
            cluster: "c".to_owned(),
            region: RegionId(1),
            name: "here".to_owned(),
            peers: BTreeMap::new(),
            bootstrap: true,
            limits: Limits::default(),
            exchange: cartograph_replica::exchange::Config::default(),
            seed: 1,
        });
        let now = Now {
            wall_ms: 1_000_000,
            store_ms: 1_000_000,
            monotonic_ms: 1_000,
        };
        let mut bench = Bench {
            shard,
            now,
            rows: BTreeMap::new(),
            commits: VecDeque::new(),
            replies: BTreeMap::new(),
            asked: 0,
        };
        bench.give(claimed("life"));
        bench.settle();
        for _ in 0..20 {
            bench.now.monotonic_ms += 100;
            bench.give(Input::Tick);
            bench.settle();
        }
        bench
    }

    fn give(&mut self, input: Input) {
        let mut inputs = VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            let mut out = Vec::new();
            self.shard.handle(input, self.now, &mut out);
            for output in out {
                match output {
                    Output::Load { id, load } => inputs.push_back(self.loaded(id, load)),
                    Output::Commit(commit) => self.commits.push_back(commit),
                    Output::Reply { id, result } => {
                        self.replies.insert(id.0, result);
                    }
                    _ => {}
                }
            }
        }
    }

    fn loaded(&self, id: LoadId, load: Load) -> Input {
        let Load::Row { key, elements } = load else {
            return Input::Loaded {
                id,
                result: Err("this store holds rows alone".to_owned()),
            };
        };
        let mut row = self.rows.get(&key).cloned().unwrap_or_default();
        if let Elements::Named(ids) = elements {
            let blob = |id: &ElementId| {
                row.elements
                    .iter()
                    .find(|(i, _)| i == id)
                    .and_then(|(_, b)| b.clone())
            };
            row.elements = ids.iter().map(|id| (id.clone(), blob(id))).collect();
        }
        Input::Loaded {
            id,
            result: Ok(Loaded::Row(row)),
        }
    }

    /// The oldest commit in flight is done.
    fn commit(&mut self) {
        let Some(commit) = self.commits.pop_front() else {
            return;
        };
        for change in commit.metadata {
            let row = self.rows.entry(change.key).or_default();
            if change.drop {
                *row = StoredRow::default();
            }
            row.header = change.header.unwrap_or_else(|| row.header.clone());
            row.summary = change.summary.unwrap_or_else(|| row.summary.clone());
            for (id, blob) in change.elements {
                row.elements.retain(|(i, _)| *i != id);
                row.elements.extend(blob.map(|blob| (id, Some(blob))));
            }
        }
        self.give(Input::Committed {
            batch: commit.batch,
            outcome: Outcome::Committed,
        });
    }

    fn settle(&mut self) {
        while !self.commits.is_empty() {
            self.commit();
        }
    }

    fn ask(&mut self, request: Request) -> u64 {
        self.asked += 1;
        let id = RequestId(self.asked);
        self.give(Input::Request { id, request });
        self.asked
    }

    fn done(&mut self, request: Request) -> Result<Vec<Reply>, RequestError> {
        let id = self.ask(request);
        self.settle();
        self.replies.remove(&id).unwrap().map(|done| done.replies)
    }

    fn watch(&mut self, key: &str) -> (Key, Stamp) {
        let key = key.as_bytes().to_vec();
        let keys = vec![key.clone()];
        let replies = self.done(Request::one(Command::Stamp { keys })).unwrap();
        match replies.as_slice() {
            [Reply::Stamps(stamps)] => (key, stamps[0]),
            other => panic!("{other:?}"),
        }
    }

    fn exec(&mut self, watched: Vec<(Key, Stamp)>) -> Result<Vec<Reply>, RequestError> {
        self.done(Request {
            commands: vec![set("other", "done", SetExpiry::Never)],
            watched,
            idempotency_key: None,
        })
    }
}

fn claimed(server: &str) -> Input {
    let claim = Claim {
        head: Head {
            fence: Fence(1),
            ..Head::default()
        },
        server: server.to_owned(),
        time_ms: 1_000_000,
    };
    Input::Claimed {
        claim: Box::new(claim),
        random: 7,
    }
}

fn set(key: &str, value: &str, expiry: SetExpiry) -> Command {
    Command::Set {
        key: key.as_bytes().to_vec(),
        value: value.as_bytes().to_vec(),
        expiry,
        condition: Condition::Always,
        get: false,
    }
}

fn plain(key: &str) -> Request {
    Request::one(set(key, "v", SetExpiry::Never))
}

const FAILED: Result<Vec<Reply>, RequestError> = Err(RequestError::WatchFailed);

#[test]
fn nothing_in_between_and_the_request_is_done() {
    let mut bench = Bench::new();
    bench.done(plain("k")).unwrap();
    let watched = vec![bench.watch("k"), bench.watch("absent")];
    bench.done(plain("unwatched")).unwrap();
    assert_eq!(bench.exec(watched.clone()), Ok(vec![Reply::Ok]));
    assert_eq!(bench.exec(watched), Ok(vec![Reply::Ok]));
}

#[test]
fn a_local_writer_in_between_fails_it_and_it_does_nothing() {
    let mut bench = Bench::new();
    bench.done(plain("k")).unwrap();
    let watched = bench.watch("k");
    bench.done(plain("k")).unwrap();
    assert_eq!(bench.exec(vec![watched]), FAILED);
    let exists = Command::Exists {
        keys: vec![b"other".to_vec()],
    };
    assert_eq!(bench.done(Request::one(exists)), Ok(vec![Reply::Integer(0)]));
}

#[test]
fn a_writer_in_the_same_commit_or_in_flight_fails_it_too() {
    let mut bench = Bench::new();
    bench.done(plain("k")).unwrap();
    let watched = bench.watch("k");
    // The first goes in flight alone; the next two wait for it, and are evaluated together.
    let ids = [plain("busy"), plain("k")].map(|request| bench.ask(request));
    let exec = bench.ask(Request {
        commands: vec![set("other", "done", SetExpiry::Never)],
        watched: vec![watched],
        idempotency_key: None,
    });
    bench.settle();
    assert!(ids.iter().all(|id| bench.replies[id].is_ok()));
    assert_eq!(bench.replies[&exec], Err(RequestError::WatchFailed));
}

#[test]
fn a_peers_entry_in_between_fails_it() {
    let mut bench = Bench::new();
    bench.done(plain("k")).unwrap();
    let watched = bench.watch("k");
    let assign = Effect::Assign {
        element: ElementId::string(),
        value: Value::Bytes(b"theirs".to_vec()),
        observed: Observed::default(),
    };
    bench.shard.remote.push_back(Entry {
        replica: ReplicaId::new(2, 1),
        sequence: Sequence::new(1).unwrap(),
        hlc: Hlc::new(900_000, 0),
        context: Arc::new(VersionVector::new()),
        ahead: Vec::new(),
        effects: vec![(b"k".to_vec(), assign)],
    });
    bench.give(Input::Tick);
    bench.settle();
    assert_eq!(bench.exec(vec![watched]), FAILED);
}

#[test]
fn an_expiry_in_between_fails_it() {
    let mut bench = Bench::new();
    let expiry = SetExpiry::Expires(When::In(1_000));
    bench.done(Request::one(set("k", "v", expiry))).unwrap();
    let watched = bench.watch("k");
    assert_eq!(bench.exec(vec![watched.clone()]), Ok(vec![Reply::Ok]));
    bench.now.store_ms += 1_000;
    assert_eq!(bench.exec(vec![watched]), FAILED);
}

#[test]
fn a_key_that_was_absent_fails_it_once_it_is_made() {
    let mut bench = Bench::new();
    let watched = bench.watch("k");
    assert_eq!(bench.exec(vec![watched.clone()]), Ok(vec![Reply::Ok]));
    bench.done(plain("k")).unwrap();
    assert_eq!(bench.exec(vec![watched.clone()]), FAILED);
    let keys = vec![b"k".to_vec()];
    bench.done(Request::one(Command::Del { keys })).unwrap();
    assert_eq!(
        bench.exec(vec![watched.clone()]),
        FAILED,
        "made and deleted in between"
    );
    bench.shard.cache.clear();
    assert_eq!(
        bench.exec(vec![watched]),
        Ok(vec![Reply::Ok]),
        "as absent as it was, and nothing known of what was in between"
    );
}

#[test]
fn a_stamp_waits_for_the_commit_that_it_tells_of() {
    let mut bench = Bench::new();
    let write = bench.ask(plain("k"));
    let keys = vec![b"k".to_vec()];
    let stamp = bench.ask(Request::one(Command::Stamp { keys: keys.clone() }));
    assert!(bench.replies.is_empty(), "the write is in flight");
    bench.settle();
    assert!(bench.replies[&write].is_ok());
    let Ok(done) = &bench.replies[&stamp] else {
        panic!("refused")
    };
    let [Reply::Stamps(stamps)] = done.replies.as_slice() else {
        panic!("{done:?}")
    };
    assert_eq!(
        bench.exec(vec![(keys[0].clone(), stamps[0])]),
        Ok(vec![Reply::Ok])
    );
}

#[test]
fn a_stamp_of_what_its_own_batch_touched_waits_for_the_batchs_number() {
    let mut bench = Bench::new();
    let busy = bench.ask(plain("busy"));
    let write = bench.ask(plain("k"));
    let keys = vec![b"k".to_vec()];
    let stamp = bench.ask(Request::one(Command::Stamp { keys: keys.clone() }));
    bench.settle();
    assert!(bench.replies[&busy].is_ok() && bench.replies[&write].is_ok());
    let Ok(done) = &bench.replies[&stamp] else {
        panic!("refused")
    };
    let [Reply::Stamps(stamps)] = done.replies.as_slice() else {
        panic!("{done:?}")
    };
    assert_eq!(
        bench.exec(vec![(keys[0].clone(), stamps[0])]),
        Ok(vec![Reply::Ok])
    );
}

#[test]
fn another_incarnation_fails_what_was_watched_before() {
    let mut bench = Bench::new();
    bench.done(plain("k")).unwrap();
    let (key, mut stamp) = bench.watch("k");
    stamp.incarnation.0 += 1;
    assert_eq!(bench.exec(vec![(key, stamp)]), FAILED);
}
