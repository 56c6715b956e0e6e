//! The thread that executes claims and commits, in order.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::mpsc::Receiver;

use cartograph_crdt::ShardId;
use cartograph_replica::commit::{Claim, Commit, Outcome, ViewChange};
use tokio::sync::oneshot;

use super::file::StoreFile;
use crate::error::Error;
use crate::kv;
use crate::memory::Clock;

/// How many commits may share one transaction.
const GROUP_MAX: usize = 16;

pub(super) enum Request {
    Claim(ShardId, oneshot::Sender<Result<Claim, Error>>),
    Commit(Box<Commit>, oneshot::Sender<Outcome>),
    Release(ShardId, oneshot::Sender<()>),
    Tamper(Box<ViewChange>, oneshot::Sender<Result<(), Error>>),
}

type Waiting = (Box<Commit>, oneshot::Sender<Outcome>);

pub(super) struct Worker {
    file: Arc<StoreFile>,
    clock: Arc<dyn Clock>,
    server: String,
    /// Shards that may commit.
    claimed: BTreeSet<ShardId>,
    /// Why the others may not.
    reason: String,
}

impl Worker {
    pub(super) fn new(file: Arc<StoreFile>, clock: Arc<dyn Clock>) -> Self {
        Worker {
            file,
            clock,
            server: fresh_name(),
            claimed: BTreeSet::new(),
            reason: "the shard is not claimed".to_owned(),
        }
    }

    pub(super) fn run(mut self, requests: &Receiver<Request>) {
        let mut next = requests.recv().ok();
        while let Some(request) = next.take() {
            match request {
                Request::Commit(commit, outcome) => {
                    let mut group = vec![(commit, outcome)];
                    while group.len() < GROUP_MAX && next.is_none() {
                        match requests.try_recv() {
                            Ok(Request::Commit(commit, outcome)) => group.push((commit, outcome)),
                            Ok(other) => next = Some(other),
                            Err(_) => break,
                        }
                    }
                    self.commit(group);
                }
                Request::Claim(shard, answer) => {
                    let _ = answer.send(self.claim(shard));
                }
                Request::Release(shard, answer) => {
                    self.claimed.remove(&shard);
                    "the shard was released".clone_into(&mut self.reason);
                    let _ = answer.send(());
                }
                Request::Tamper(change, answer) => {
                    let now_ms = self.clock.now_ms();
                    let done = self
                        .file
                        .write(|tables| kv::views::tamper(tables, &change, now_ms));
                    let _ = answer.send(done);
                }
            }
            if next.is_none() {
                next = requests.recv().ok();
            }
        }
    }

    fn claim(&mut self, shard: ShardId) -> Result<Claim, Error> {
        if self.file.reopen()? {
            self.server = fresh_name();
        }
        let claimed = self.file.write(|tables| kv::commit::claim(tables, shard));
        let head = claimed.inspect_err(|error| self.fail(error))?;
        self.claimed.insert(shard);
        Ok(Claim {
            head,
            server: self.server.clone(),
            time_ms: self.clock.now_ms(),
        })
    }

    /// Applies a group in one transaction; answers when it is on disk.
    fn commit(&mut self, group: Vec<Waiting>) {
        if self.claimed.is_empty() {
            for (_, answer) in group {
                let _ = answer.send(unknown(&self.reason));
            }
            return;
        }
        let now_ms = self.clock.now_ms();
        let claimed = &self.claimed;
        let reason = &self.reason;
        let outcomes = self.file.write(|tables| {
            let apply = |(commit, _): &Waiting| {
                if claimed.contains(&commit.shard) {
                    kv::commit::apply(tables, commit, now_ms)
                } else {
                    Ok(unknown(reason))
                }
            };
            group.iter().map(apply).collect::<Result<Vec<_>, Error>>()
        });
        match outcomes {
            Ok(outcomes) => {
                for ((_, answer), outcome) in group.into_iter().zip(outcomes) {
                    let _ = answer.send(outcome);
                }
            }
            Err(error) => {
                self.fail(&error);
                for (_, answer) in group {
                    let _ = answer.send(unknown(&error.to_string()));
                }
            }
        }
    }

    /// What the file holds now is not known: nobody commits before it was opened and claimed again.
    fn fail(&mut self, error: &Error) {
        self.reason = error.to_string();
        self.claimed.clear();
        self.file.close();
        tracing::error!(store = %self.file.path().display(), error = self.reason, "the store failed");
    }
}

fn unknown(reason: &str) -> Outcome {
    Outcome::Unknown {
        reason: reason.to_owned(),
    }
}

/// A name for this opening of the file.
#[expect(
    clippy::disallowed_methods,
    reason = "an identity, not a decision: two openings must never share a name, whoever opens"
)]
fn fresh_name() -> String {
    let mut bytes = [0_u8; 16];
    if getrandom::fill(&mut bytes).is_err() {
        // No entropy: the process and the time still differ.
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let nanos = since.unwrap_or_default().as_nanos() ^ u128::from(std::process::id());
        bytes = nanos.to_be_bytes();
    }
    format!("embedded {:032x}", u128::from_be_bytes(bytes))
}
