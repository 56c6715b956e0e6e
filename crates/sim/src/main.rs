//! Plays histories: what `cargo xtask sim` runs.
//!
//! Histories of consecutive seeds are played on as many threads as asked for. At the first violation it prints the
//! seed, the shortest part of its history that still fails, and the one command that replays that part; then it ends
//! with failure. Nothing but the clock that ends a run by time is not decided by the seed.
#![expect(clippy::print_stdout, reason = "a command-line tool answers on stdout")]

use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use cartograph_sim::history::{Plan, Tally, Violation, play_steps};
use cartograph_sim::shrink::{only, shrink};
use cartograph_sim::steps::{Step, draw};
use clap::Parser;

/// Seeded simulation of whole clusters.
#[derive(Debug, Parser)]
#[command(name = "cartograph-sim")]
struct Cli {
    /// The first seed.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// How many histories; one seed after the other.
    #[arg(long, default_value_t = 1)]
    runs: u64,
    /// Or for how long.
    #[arg(long)]
    minutes: Option<f64>,
    /// Threads.
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// Replay only these steps of the seed's history, by number.
    #[arg(long, value_delimiter = ',')]
    only: Option<Vec<usize>>,
    /// With one history: print its steps, and every output from this virtual millisecond on to standard error.
    #[arg(long)]
    trace_ms: Option<u64>,
    /// At most so many histories are played to shrink a failing one.
    #[arg(long, default_value_t = 2_000)]
    shrink: usize,
    /// Print less: for `cargo xtask mutants`.
    #[arg(long)]
    quiet: bool,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    if let Some(kept) = &cli.only {
        return replay(&cli, kept);
    }
    if cli.trace_ms.is_some() {
        let all: Vec<usize> = (0..draw(cli.seed, &Plan::storm(cli.seed)).len()).collect();
        return replay(&cli, &all);
    }
    run(&cli)
}

fn replay(cli: &Cli, kept: &[usize]) -> ExitCode {
    let plan = Plan::storm(cli.seed);
    println!("{plan:?}");
    let steps = only(cli.seed, &plan, kept);
    match play_steps(cli.seed, &plan, &steps, cli.trace_ms.unwrap_or(u64::MAX)) {
        Ok(tally) => {
            println!("no violation: {tally:?}");
            ExitCode::SUCCESS
        }
        Err(violation) => {
            println!("VIOLATION, {violation}");
            ExitCode::FAILURE
        }
    }
}

/// What threads share.
struct Shared {
    next: AtomicU64,
    stop: AtomicBool,
    total: Mutex<(u64, Tally)>,
    failed: Mutex<Option<Violation>>,
}

#[expect(
    clippy::disallowed_methods,
    reason = "how long a run takes is read from the clock, and decides nothing in it"
)]
fn run(cli: &Cli) -> ExitCode {
    let begun = Instant::now();
    let length = cli.minutes.map(|m| Duration::from_secs_f64(m * 60.0));
    let shared = Shared {
        next: AtomicU64::new(cli.seed),
        stop: AtomicBool::new(false),
        total: Mutex::default(),
        failed: Mutex::default(),
    };
    std::thread::scope(|scope| {
        for _ in 0..cli.threads.max(1) {
            scope.spawn(|| {
                while !shared.stop.load(Ordering::SeqCst) {
                    let seed = shared.next.fetch_add(1, Ordering::SeqCst);
                    let over = match length {
                        Some(length) => begun.elapsed() >= length,
                        None => seed >= cli.seed.saturating_add(cli.runs),
                    };
                    if over {
                        break;
                    }
                    one(seed, &shared);
                }
            });
        }
    });
    let seconds = begun.elapsed().as_secs_f64();
    let (histories, total) = shared.total.into_inner().unwrap_or_default();
    if !cli.quiet {
        report(histories, &total, seconds, cli.seed);
    }
    let Some(violation) = shared.failed.into_inner().unwrap_or_default() else {
        println!("{histories} histories, no violation");
        return ExitCode::SUCCESS;
    };
    fail(cli, violation)
}

fn one(seed: u64, shared: &Shared) {
    let plan = Plan::storm(seed);
    match play_steps(seed, &plan, &draw(seed, &plan), u64::MAX) {
        Ok(tally) => {
            if let Ok(mut total) = shared.total.lock() {
                total.0 += 1;
                total.1.add(&tally);
            }
        }
        Err(violation) => {
            shared.stop.store(true, Ordering::SeqCst);
            if let Ok(mut failed) = shared.failed.lock()
                && failed.as_ref().is_none_or(|f| f.seed > seed)
            {
                *failed = Some(violation);
            }
        }
    }
}

fn fail(cli: &Cli, violation: Violation) -> ExitCode {
    let seed = violation.seed;
    println!("VIOLATION of seed {seed}: {}", violation.what);
    println!("replay all of it: cargo xtask sim --seed {seed}");
    if cli.quiet {
        return ExitCode::FAILURE;
    }
    let plan = Plan::storm(seed);
    let shrunk = shrink(seed, &plan, violation, cli.shrink);
    let steps = only(seed, &plan, &shrunk.kept);
    println!(
        "\nshrunk to {} steps of {} in {} histories: {}",
        steps.len(),
        draw(seed, &plan).len(),
        shrunk.played,
        shrunk.violation.what
    );
    println!("\nunder {plan:?}\n");
    for (n, planned) in shrunk.kept.iter().zip(&steps) {
        println!("{n:>4}  {:?}, then {} ms", planned.step, planned.pause_ms);
    }
    let numbers: Vec<String> = shrunk.kept.iter().map(ToString::to_string).collect();
    println!(
        "\nreplay: cargo xtask sim --seed {seed} --only {}",
        numbers.join(",")
    );
    ExitCode::FAILURE
}

#[expect(clippy::cast_precision_loss, reason = "for people")]
fn report(histories: u64, total: &Tally, seconds: f64, first: u64) {
    println!("histories          {histories} (seeds from {first})");
    println!(
        "in seconds         {seconds:.1}, {:.0} a minute",
        histories as f64 * 60.0 / seconds
    );
    println!(
        "virtual time       {:.1} h",
        total.virtual_ms as f64 / 3_600_000.0
    );
    println!(
        "requests           {} done, {} refused, {} unknown",
        total.done, total.refused, total.unknown
    );
    println!("entries            {}", total.entries);
    println!("messages           {}", total.messages);
    println!("views compared     {}", total.compared);
    println!("snapshots joined   {}", total.snapshots);
    println!("views rebuilt      {}", total.repaired);
    println!("lives retired      {}", total.retired);
    println!("faults             {}", total.faults());
    println!("steps skipped      {}", total.skipped);
    for (name, n) in &total.steps {
        let kind = if Step::is_fault(name) { "fault" } else { "work" };
        println!("  {kind:<5} {name:<32} {n}");
    }
}
