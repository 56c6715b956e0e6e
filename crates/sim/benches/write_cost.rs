//! Does the cost of a write grow with the size of the key? It must not.
//!
//! Sets and hashes of 10, 1,000, 100,000 and 1,000,000 elements are written to, one element a request, through the
//! shard machine into a store: the memory store, and a private Redis. Reported is CPU time, which a busy machine
//! disturbs less than elapsed time: of this thread in the machine and in the store's part of this process, and of the
//! Redis process. Sizes and commands are interleaved, and each is repeated; a number is the median over the rounds,
//! and the ratio is that of one key of a million elements to 100,000 keys of ten: the same amount of data, so that the
//! processor's caches miss alike. A ratio over [`RATIO_MAX`] fails the run.
//!
//! *warm*: the machine has all rows in memory. *cold*: it was just started, and loads each element that it touches.
//!
//! `cargo bench -p cartograph-sim --bench write_cost -- [memory|redis] [--rounds N] [--size-max N]`
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a benchmark"
)]
#![allow(
    clippy::indexing_slicing,
    missing_docs,
    unreachable_pub,
    reason = "a benchmark"
)]

mod rig;

use std::sync::Arc;
use std::time::Duration;

use cartograph_engine::Command;
use cartograph_store::{MemoryStore, SharedMemoryStore, Store, SystemClock};
use rig::Rig;
use rig::server::Server;

/// By how much a write to the largest key may be dearer than one to the smallest.
const RATIO_MAX: f64 = 2.0;

/// Room for all rows, so that the warm part loads nothing.
const CACHE_BYTES: usize = 4 << 30;

/// Keys that are written to: how large, and how many of them.
#[derive(Clone, Copy, Debug)]
struct Keys {
    size: u64,
    count: u64,
}

impl Keys {
    const fn one(size: u64) -> Self {
        Keys { size, count: 1 }
    }

    /// The first is what the largest is compared with: small keys, with as many elements altogether, so that the
    /// processor's caches miss as often. A single small key lies in them all the time.
    fn all(size_max: u64) -> Vec<Keys> {
        let spread = Keys {
            size: 10,
            count: size_max / 10,
        };
        let single = [10, 1_000, 100_000, 1_000_000]
            .into_iter()
            .filter(|s| *s <= size_max);
        [spread].into_iter().chain(single.map(Keys::one)).collect()
    }

    fn name(self) -> String {
        if self.count == 1 {
            format!("1 x {}", self.size)
        } else {
            format!("{} x {}", self.count, self.size)
        }
    }

    fn key(self, kind: &str, n: u64) -> Vec<u8> {
        format!("{kind}:{}:{}:{}", self.size, self.count, n % self.count).into_bytes()
    }
}

/// Requests in one round of one command on one key.
const WINDOW: u64 = 64;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Op {
    AddNew,
    AddAgain,
    Remove,
    Increment,
}

impl Op {
    const ALL: [Op; 4] = [Op::AddNew, Op::AddAgain, Op::Remove, Op::Increment];

    fn name(self) -> &'static str {
        match self {
            Op::AddNew => "SADD new member",
            Op::AddAgain => "SADD present member",
            Op::Remove => "SREM",
            Op::Increment => "HINCRBY",
        }
    }

    /// The `n`th of a round.
    fn command(self, keys: Keys, round: u64, n: u64) -> Command {
        // A fixed stride that is coprime with every size and count walks over everything.
        let step = (round * WINDOW + n) * 7_919;
        let set = keys.key("set", step);
        let some = step / keys.count % keys.size;
        let new = member(2_000_000 + round * WINDOW + n);
        match self {
            Op::AddNew => Command::SAdd {
                key: set,
                members: vec![new],
            },
            Op::AddAgain => Command::SAdd {
                key: set,
                members: vec![member(some)],
            },
            Op::Remove => Command::SRem {
                key: set,
                members: vec![new],
            },
            Op::Increment => Command::HIncrBy {
                key: keys.key("hash", step),
                field: member(some),
                by: 1,
            },
        }
    }
}

fn member(n: u64) -> Vec<u8> {
    format!("m{n:08}").into_bytes()
}

/// Medians by command and size, one list a column.
struct Table {
    title: String,
    columns: Vec<&'static str>,
    /// `samples[op][size][column]`: microseconds a write, one a round.
    samples: Vec<Vec<Vec<Vec<f64>>>>,
    keys: Vec<Keys>,
}

impl Table {
    fn new(title: String, columns: Vec<&'static str>, keys: &[Keys]) -> Self {
        let one = vec![vec![Vec::new(); columns.len()]; keys.len()];
        Table {
            title,
            samples: vec![one; Op::ALL.len()],
            columns,
            keys: keys.to_vec(),
        }
    }

    fn add(&mut self, op: usize, size: usize, took: &[Duration], writes: u64) {
        for (column, took) in took.iter().enumerate() {
            let micros = took.as_secs_f64() * 1e6 / f64::from(u32::try_from(writes).unwrap());
            self.samples[op][size][column].push(micros);
        }
    }

    /// Prints the table, with the ratio of the last column to the first; tells whether each is within the limit.
    fn print(&mut self) -> bool {
        println!("\n{}", self.title);
        let mut good = true;
        for (column, what) in self.columns.iter().enumerate() {
            print!("{:>36}", format!("{what}, µs a write"));
            for keys in &self.keys {
                print!("{:>18}", keys.name());
            }
            println!("{:>8}", "ratio");
            for (n, op) in Op::ALL.iter().enumerate() {
                print!("{:>36}", op.name());
                let mut medians = Vec::new();
                for samples in &mut self.samples[n] {
                    let s = &mut samples[column];
                    s.sort_by(f64::total_cmp);
                    let (low, median, high) = (s[s.len() / 4], s[s.len() / 2], s[s.len() * 3 / 4]);
                    print!("{:>18}", format!("{median:.1} ({low:.1}-{high:.1})"));
                    medians.push(median);
                }
                let ratio = medians[medians.len() - 1] / medians[0];
                println!("{ratio:>8.2}");
                good &= ratio <= RATIO_MAX;
            }
        }
        good
    }
}

fn fill(rig: &mut Rig, all: &[Keys]) {
    let mut commands = Vec::new();
    for keys in all {
        let members: Vec<Vec<u8>> = (0..keys.size).map(member).collect();
        for n in 0..keys.count {
            for members in members.chunks(250) {
                let key = keys.key("set", n);
                let members = members.to_vec();
                commands.push(Command::SAdd { key, members });
            }
            for field in &members {
                let (key, field) = (keys.key("hash", n), field.clone());
                commands.push(Command::HIncrBy { key, field, by: 1 });
                if commands.len() >= 250 {
                    rig.run(commands.drain(..));
                }
            }
        }
    }
    rig.run(commands);
}

/// Every size and command, `rounds` times. `cpu` reads the server's CPU time, where there is one.
fn measure(
    rig: &mut Rig,
    table: &mut Table,
    rounds: std::ops::Range<u64>,
    batch: u64,
    server: Option<&Server>,
) {
    let all = table.keys.clone();
    for round in rounds {
        for (op_at, op) in Op::ALL.iter().enumerate() {
            for step in 0..all.len() {
                // Another size begins each round.
                let at = (step + usize::try_from(round).unwrap()) % all.len();
                let commands: Vec<_> = (0..WINDOW).map(|n| op.command(all[at], round, n)).collect();
                let (before, cpu) = (rig.spent, server.map(Server::cpu));
                let mut commands = commands.into_iter().peekable();
                while commands.peek().is_some() {
                    rig.run(commands.by_ref().take(usize::try_from(batch).unwrap()));
                }
                let mut took = vec![rig.spent.engine.saturating_sub(before.engine)];
                match (cpu, server) {
                    (Some(cpu), Some(server)) => took.push(server.cpu().saturating_sub(cpu)),
                    _ => took.push(rig.spent.store.saturating_sub(before.store)),
                }
                table.add(op_at, at, &took, WINDOW);
            }
        }
    }
}

fn run(
    name: &str,
    store: impl Fn() -> Arc<dyn Store>,
    server: Option<&Server>,
    keys: &[Keys],
    rounds: u64,
) -> bool {
    let column = if server.is_some() { "Redis" } else { "memory store" };
    let columns = vec!["shard machine", column];
    let table = |what: &str| Table::new(format!("{name}, {what}"), columns.clone(), keys);
    let mut rig = Rig::open(store(), CACHE_BYTES);
    fill(&mut rig, keys);
    let mut warm = table("warm, one write a commit");
    measure(&mut rig, &mut warm, 0..rounds, 1, server);
    let mut good = warm.print();
    // Not compared: many small keys have nothing in common, while what is written twice in a commit is stored once.
    let mut batches = table("warm, every other commit of 31 writes");
    measure(&mut rig, &mut batches, 0..rounds, 32, server);
    batches.print();
    drop(rig);
    let mut rig = Rig::open(store(), CACHE_BYTES);
    let mut cold = table("cold, one write a commit");
    measure(&mut rig, &mut cold, rounds..rounds * 2, 1, server);
    good &= cold.print();
    println!("loads made while cold: {}", rig.loads);
    good
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let value = |name: &str| {
        let at = args.iter().position(|a| a == name)?;
        args.get(at + 1)?.parse::<u64>().ok()
    };
    let rounds = value("--rounds").unwrap_or(15);
    let size_max = value("--size-max").unwrap_or(1_000_000);
    let keys = Keys::all(size_max);
    let wanted =
        |name: &str| !args.iter().any(|a| a == "memory" || a == "redis") || args.iter().any(|a| a == name);
    let mut good = true;
    if wanted("memory") {
        let store = SharedMemoryStore::new(MemoryStore::new(SystemClock));
        good &= run("memory store", || Arc::new(store.clone()), None, &keys, rounds);
    }
    if wanted("redis") {
        let server = Server::start();
        let name = format!("Redis {}", server.version);
        good &= run(&name, || server.store(), Some(&server), &keys, rounds);
    }
    if !good {
        println!("\na write to the largest key costs more than {RATIO_MAX} times one to the smallest");
        std::process::exit(1);
    }
}
