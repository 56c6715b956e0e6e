//! `cartograph bench`: a node beside plain Redis, driven in turn by the same clients, on this machine, now.
//!
//! Absolute numbers of a shared machine mean little; ratios from one run mean something. So a plain server and a node
//! with the very same server behind it run side by side, each cell of the table is measured on one, then on the other,
//! several rounds over, and what is printed is the median of each and their ratio, with the CPU that node, Redis and
//! client spent on an operation: that survives a noisy machine.
//!
//! | file | what it does |
//! |---|---|
//! | `servers.rs` | the two servers and the node, and their CPU time |
//! | `workload.rs` | the commands |
//! | `client.rs` | clients of our own |
//! | `redis_benchmark.rs` | Redis's own benchmark as the client |
//! | `report.rs` | tables and JSON |

mod client;
mod redis_benchmark;
mod report;
mod servers;
mod workload;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::ValueEnum;
use indicatif::{ProgressBar, ProgressStyle};

use crate::exit::{Exit, Failure};
use crate::term::Term;
use crate::text::parse_duration;
use report::{Cell, Report};
use servers::{Servers, Target};
use workload::Workload;

/// Compares a node with plain Redis.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  cartograph bench --clients 1,50 --depths 1,16 --seconds 1s")]
pub(crate) struct Args {
    /// Commands to measure
    #[arg(long, value_delimiter = ',', value_enum, default_values_t = Workload::all())]
    commands: Vec<Workload>,
    /// Numbers of clients at once
    #[arg(long, value_delimiter = ',', default_values_t = [1, 50, 200, 1_000, 10_000])]
    clients: Vec<usize>,
    /// Commands that each client sends before it reads
    #[arg(long, value_delimiter = ',', default_values_t = [1, 16])]
    depths: Vec<usize>,
    /// How long each measurement takes
    #[arg(long, value_parser = parse_duration, default_value = "1s")]
    seconds: Duration,
    /// How often each is repeated; medians are shown
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=99))]
    rounds: u16,
    /// Keys in use
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    keys: u32,
    /// Bytes of a value
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=1_048_576))]
    value_bytes: u32,
    /// Which program drives the servers
    #[arg(long, value_enum, default_value_t = Driver::Auto)]
    driver: Driver,
    /// Both servers keep an append-only file, synced so often
    #[arg(long, value_enum, default_value_t = Aof::No)]
    aof: Aof,
    /// The server program; by default the first redis-server or valkey-server on PATH
    #[arg(long)]
    server: Option<PathBuf>,
    /// One JSON document instead of tables
    #[arg(long)]
    json: bool,
}

/// Which program drives the servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Driver {
    /// redis-benchmark where it is on PATH, else the one that is built in.
    Auto,
    /// redis-benchmark.
    RedisBenchmark,
    /// The one that is built in.
    BuiltIn,
}

/// How both servers persist.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Aof {
    /// Not at all.
    No,
    /// Synced each second.
    Everysec,
    /// Synced before each reply.
    Always,
}

impl Aof {
    fn arguments(self) -> [&'static str; 4] {
        match self {
            Aof::No => ["--appendonly", "no", "--appendfsync", "no"],
            Aof::Everysec => ["--appendonly", "yes", "--appendfsync", "everysec"],
            Aof::Always => ["--appendonly", "yes", "--appendfsync", "always"],
        }
    }
}

/// What one measurement asks for.
#[derive(Clone, Copy, Debug)]
struct Load {
    workload: Workload,
    clients: usize,
    depth: usize,
    keys: u32,
    value_bytes: u32,
    time: Duration,
}

/// What one measurement found.
#[derive(Clone, Copy, Debug, Default)]
struct Measured {
    operations: u64,
    per_second: f64,
    p50_ms: f64,
    p99_ms: f64,
    errors: u64,
    /// Microseconds of CPU an operation.
    cpu_node_us: f64,
    cpu_redis_us: f64,
    cpu_client_us: f64,
}

/// Runs the benchmark.
///
/// # Errors
/// A server that cannot be started or driven.
pub(crate) async fn run(args: Args, term: Arc<Term>) -> Result<Exit, Failure> {
    check(&args)?;
    let tool = match args.driver {
        Driver::BuiltIn => None,
        Driver::Auto => redis_benchmark::find(),
        Driver::RedisBenchmark => Some(redis_benchmark::find().ok_or_else(|| {
            let text = "there is no redis-benchmark on PATH; use --driver built-in";
            Failure::new(Exit::Usage, text)
        })?),
    };
    let servers = Servers::start(args.server.as_deref(), &args.aof.arguments()).await?;
    let mut report = Report::new(&servers, tool.is_some());
    report.memory = servers.memory(args.keys.min(20_000)).await?;
    let loads = loads(&args);
    let total = loads.len() * usize::from(args.rounds) * 2;
    let progress = progress(&term, total as u64);
    for load in loads {
        let mut cell = Cell::new(load);
        for target in [Target::Plain, Target::Node] {
            servers.fill(target, load).await?;
        }
        for round in 0..args.rounds {
            // In turn, and not always the same first: what the machine does besides hits both alike.
            let order = if round % 2 == 0 {
                [Target::Plain, Target::Node]
            } else {
                [Target::Node, Target::Plain]
            };
            for target in order {
                progress.set_message(format!(
                    "{} with {} clients, depth {}, {}",
                    load.workload.name(),
                    load.clients,
                    load.depth,
                    target.name()
                ));
                let before = servers.cpu();
                let mut measured = match &tool {
                    Some(tool) => redis_benchmark::run(tool, servers.port(target), load).await?,
                    None => client::run(servers.port(target), load).await?,
                };
                servers.cpu().charge(&before, &mut measured, target);
                cell.add(target, measured);
                progress.inc(1);
            }
        }
        report.cells.push(cell);
    }
    progress.finish_and_clear();
    if args.json {
        term.print_json(&report.json())?;
    } else {
        term.print(&report.tables())?;
    }
    Ok(if report.failed() {
        Exit::Refused
    } else {
        Exit::Success
    })
}

fn progress(term: &Term, total: u64) -> ProgressBar {
    if !term.shows_progress() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(total);
    if let Ok(style) = ProgressStyle::with_template("{pos}/{len} {wide_msg}") {
        bar.set_style(style);
    }
    bar
}

fn check(args: &Args) -> Result<(), Failure> {
    let wrong = |what: &str, value: usize, max: usize| {
        let text = format!("--{what} {value} is out of range: 1 to {max}");
        Err(Failure::new(Exit::Usage, text))
    };
    if let Some(clients) = args.clients.iter().find(|c| !(1..=50_000).contains(*c)) {
        return wrong("clients", *clients, 50_000);
    }
    match args.depths.iter().find(|d| !(1..=1_024).contains(*d)) {
        Some(depth) => wrong("depths", *depth, 1_024),
        None => Ok(()),
    }
}

fn loads(args: &Args) -> Vec<Load> {
    let mut loads = Vec::new();
    for &workload in &args.commands {
        for &depth in &args.depths {
            for &clients in &args.clients {
                loads.push(Load {
                    workload,
                    clients,
                    depth,
                    keys: args.keys,
                    value_bytes: args.value_bytes,
                    time: args.seconds,
                });
            }
        }
    }
    loads
}
