//! One region's shard machine on a real store, driven by hand: what a node does, without its sockets.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use cartograph_crdt::{RegionId, ShardId};
use cartograph_engine::api::{Input, Now, Output, Request, RequestId};
use cartograph_engine::{Command, Config, Limits, Shard};
use cartograph_replica::{BatchId, Outcome, exchange};
use cartograph_store::{BoxFuture, Clock, Store, SystemClock};
use tokio::runtime::Runtime;

pub mod server;

/// CPU time of this thread so far.
pub fn thread_cpu() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(
        u64::try_from(now.tv_sec).unwrap(),
        u32::try_from(now.tv_nsec).unwrap(),
    )
}

/// CPU time spent in the shard machine and in the store's part of this process.
#[derive(Clone, Copy, Debug, Default)]
pub struct Spent {
    pub engine: Duration,
    pub store: Duration,
}

/// A shard machine and its store.
pub struct Rig {
    shard: Shard,
    store: Arc<dyn Store>,
    runtime: Runtime,
    inputs: VecDeque<Input>,
    commits: VecDeque<(BatchId, BoxFuture<'static, Outcome>)>,
    requests: u64,
    answered: u64,
    /// Commits made.
    pub batches: u64,
    /// Elements loaded, because they were not in memory.
    pub loads: u64,
    pub spent: Spent,
}

impl Rig {
    /// A machine that has claimed `store` and takes writes. Keeps about `cache_bytes_max` bytes of rows in memory.
    pub fn open(store: Arc<dyn Store>, cache_bytes_max: usize) -> Self {
        let config = Config {
            shard: ShardId(0),
            shards: 1,
            cluster: "bench".to_owned(),
            region: RegionId(1),
            name: "bench".to_owned(),
            peers: std::collections::BTreeMap::new(),
            bootstrap: true,
            limits: Limits {
                cache_bytes_max,
                ..Limits::default()
            },
            exchange: exchange::Config::default(),
            seed: 1,
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let mut rig = Rig {
            shard: Shard::open(config),
            store,
            runtime,
            inputs: VecDeque::new(),
            commits: VecDeque::new(),
            requests: 0,
            answered: 0,
            batches: 0,
            loads: 0,
            spent: Spent::default(),
        };
        let mut out = Vec::new();
        rig.shard.start(&mut out);
        rig.perform(out);
        rig.drain();
        // The first tick after the claim makes the machine a cluster of one.
        rig.inputs.push_back(Input::Tick);
        rig.drain();
        rig
    }

    /// Has these done. The first is a commit of its own; the others wait for it, and then share one (256 at most).
    pub fn run(&mut self, commands: impl IntoIterator<Item = Command>) {
        for command in commands {
            self.requests += 1;
            let (id, request) = (RequestId(self.requests), Request::one(command));
            self.handle(Input::Request { id, request });
        }
        self.drain();
        assert_eq!(self.answered, self.requests, "every request is answered");
    }

    fn drain(&mut self) {
        loop {
            while let Some(input) = self.inputs.pop_front() {
                self.handle(input);
            }
            let Some((batch, commit)) = self.commits.pop_front() else {
                break;
            };
            let before = thread_cpu();
            let outcome = self.runtime.block_on(commit);
            self.spent.store += thread_cpu().saturating_sub(before);
            assert_eq!(outcome, Outcome::Committed);
            self.batches += 1;
            self.inputs.push_back(Input::Committed { batch, outcome });
        }
    }

    #[allow(
        clippy::disallowed_methods,
        reason = "a benchmark is a driver: it reads clocks"
    )]
    fn handle(&mut self, input: Input) {
        let wall_ms = SystemClock.now_ms();
        let now = Now {
            wall_ms,
            store_ms: wall_ms,
            monotonic_ms: wall_ms,
        };
        let mut out = Vec::new();
        let before = thread_cpu();
        self.shard.handle(input, now, &mut out);
        self.spent.engine += thread_cpu().saturating_sub(before);
        self.perform(out);
    }

    fn perform(&mut self, out: Vec<Output>) {
        let before = thread_cpu();
        for output in out {
            match output {
                Output::Claim => {
                    let claim = self.runtime.block_on(self.store.claim(ShardId(0))).unwrap();
                    let claim = Box::new(claim);
                    self.inputs.push_back(Input::Claimed { claim, random: 7 });
                }
                Output::Load { id, load } => {
                    self.loads += 1;
                    let loaded = self.runtime.block_on(self.store.load(ShardId(0), load));
                    let result = loaded.map_err(|e| e.to_string());
                    self.inputs.push_back(Input::Loaded { id, result });
                }
                Output::Commit(commit) => {
                    let batch = commit.batch;
                    let _inside = self.runtime.enter();
                    self.commits.push_back((batch, self.store.commit(*commit)));
                }
                Output::Reply { result, .. } => {
                    result.unwrap();
                    self.answered += 1;
                }
                Output::Halt { reason } => panic!("{reason}"),
                Output::Inspected { .. }
                | Output::Send { .. }
                | Output::Back { .. }
                | Output::Close { .. }
                | Output::Members(_)
                | Output::Wake { .. }
                | Output::Event(_) => {}
            }
        }
        self.spent.store += thread_cpu().saturating_sub(before);
    }
}
