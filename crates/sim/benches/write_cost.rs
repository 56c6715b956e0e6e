//! Does the cost of a write grow with the size of the key? It must not.
//!
//! Sets and hashes of 10, 1,000, 100,000 and 1,000,000 elements are written to, one element a request, through the
//! shard machine into a store: the memory store, and a private Redis. Reported is CPU time, which a busy machine
//! disturbs less than elapsed time: of this thread in the machine and in the store's part of this process, and of the
//! Redis process. Sizes and commands are interleaved, and each is repeated; a number is the median over the rounds,
//! and the ratio is that of the largest key to the smallest. A ratio over [`RATIO_MAX`] fails the run.
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

const SIZES: [u64; 4] = [10, 1_000, 100_000, 1_000_000];

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

    /// The `n`th of a round, on the keys with `size` elements.
    fn command(self, size: u64, round: u64, n: u64) -> Command {
        let set = format!("set:{size}").into_bytes();
        // A fixed stride that is coprime with every size walks over the whole key.
        let some = (round * WINDOW + n) * 7_919 % size;
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
                key: format!("hash:{size}").into_bytes(),
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
    sizes: Vec<u64>,
}

impl Table {
    fn new(title: String, columns: Vec<&'static str>, sizes: &[u64]) -> Self {
        let one = vec![vec![Vec::new(); columns.len()]; sizes.len()];
        Table {
            title,
            samples: vec![one; Op::ALL.len()],
            columns,
            sizes: sizes.to_vec(),
        }
    }

    fn add(&mut self, op: usize, size: usize, took: &[Duration], writes: u64) {
        for (column, took) in took.iter().enumerate() {
            let micros = took.as_secs_f64() * 1e6 / f64::from(u32::try_from(writes).unwrap());
            self.samples[op][size][column].push(micros);
        }
    }

    /// Prints the table; tells whether every ratio is within the limit.
    fn print(&mut self) -> bool {
        println!("\n{}", self.title);
        let mut good = true;
        for (column, what) in self.columns.iter().enumerate() {
            print!("{:>36}", format!("{what}, µs a write"));
            for size in &self.sizes {
                print!("{size:>18}");
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

fn fill(rig: &mut Rig, sizes: &[u64]) {
    for &size in sizes {
        let all: Vec<Vec<u8>> = (0..size).map(member).collect();
        for part in all.chunks(2_000) {
            let key = format!("set:{size}").into_bytes();
            rig.run([Command::SAdd {
                key,
                members: part.to_vec(),
            }]);
        }
        let key = format!("hash:{size}").into_bytes();
        for part in all.chunks(250) {
            let one = |field: &Vec<u8>| Command::HIncrBy {
                key: key.clone(),
                field: field.clone(),
                by: 1,
            };
            rig.run(part.iter().map(one));
        }
    }
}

/// Every size and command, `rounds` times. `cpu` reads the server's CPU time, where there is one.
fn measure(
    rig: &mut Rig,
    table: &mut Table,
    rounds: std::ops::Range<u64>,
    batch: u64,
    server: Option<&Server>,
) {
    let sizes = table.sizes.clone();
    for round in rounds {
        for (op_at, op) in Op::ALL.iter().enumerate() {
            for step in 0..sizes.len() {
                // Another size begins each round.
                let at = (step + usize::try_from(round).unwrap()) % sizes.len();
                let commands: Vec<_> = (0..WINDOW).map(|n| op.command(sizes[at], round, n)).collect();
                let (before, cpu) = (rig.spent, server.map(Server::cpu));
                let mut commands = commands.into_iter().peekable();
                while commands.peek().is_some() {
                    rig.run(commands.by_ref().take(usize::try_from(batch).unwrap()));
                }
                let mut took = vec![rig.spent.engine - before.engine];
                match (cpu, server) {
                    (Some(cpu), Some(server)) => took.push(server.cpu() - cpu),
                    _ => took.push(rig.spent.store - before.store),
                }
                table.add(op_at, at, &took, WINDOW);
            }
        }
    }
}

fn run(name: &str, store: Arc<dyn Store>, server: Option<&Server>, sizes: &[u64], rounds: u64) -> bool {
    let column = if server.is_some() { "Redis" } else { "memory store" };
    let columns = vec!["shard machine", column];
    let mut rig = Rig::open(Arc::clone(&store), CACHE_BYTES);
    fill(&mut rig, sizes);
    let mut good = true;
    for (batch, what) in [(1, "one write a commit"), (32, "commits of 1 and of 31 writes")] {
        let mut table = Table::new(format!("{name}, warm, {what}"), columns.clone(), sizes);
        measure(&mut rig, &mut table, 0..rounds, batch, server);
        good &= table.print();
    }
    drop(rig);
    let mut rig = Rig::open(store, CACHE_BYTES);
    let title = format!("{name}, cold, one write a commit");
    let mut table = Table::new(title, columns, sizes);
    measure(&mut rig, &mut table, rounds..rounds * 2, 1, server);
    good &= table.print();
    println!("loads made in the cold part: {}", rig.loads);
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
    let sizes: Vec<u64> = SIZES.into_iter().filter(|s| *s <= size_max).collect();
    let wanted =
        |name: &str| !args.iter().any(|a| a == "memory" || a == "redis") || args.iter().any(|a| a == name);
    let mut good = true;
    if wanted("memory") {
        let store = SharedMemoryStore::new(MemoryStore::new(SystemClock));
        good &= run("memory store", Arc::new(store), None, &sizes, rounds);
    }
    if wanted("redis") {
        let server = Server::start();
        let name = format!("Redis {}", server.version);
        good &= run(&name, server.store(), Some(&server), &sizes, rounds);
    }
    if !good {
        println!("\na write to the largest key costs more than {RATIO_MAX} times one to the smallest");
        std::process::exit(1);
    }
}
