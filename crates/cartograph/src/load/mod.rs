//! `cartograph load`: shoppers in every region, then the question whether all regions agree and nothing was lost.
//!
//! A run has four parts: find the regions and see that they serve; drive them ([`mod@drive`], paced by [`pacing`],
//! with the visits of [`mix`]); wait until they agree ([`crate::converge`]); read the ledger carts back in every
//! region ([`ledger`]). [`report`] shows what was seen.

mod args;
mod drive;
mod ledger;
mod mix;
mod pacing;
mod report;
mod verdict;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use tokio_util::sync::CancellationToken;

pub(crate) use self::args::Args;
use self::drive::{Names, Shop, Timetable, drive};
use self::ledger::{Findings, Ledger};
use self::mix::Visits;
use self::pacing::Pacer;
use self::report::{RegionReport, Report, Tally};
use self::verdict::{conclude, interrupted};
use crate::api::{CartOp, Region};
use crate::client::Error;
use crate::converge::{each, wait};
use crate::discovery::{Cluster, unreachable};
use crate::exit::{Exit, Failure};
use crate::term::Term;
use crate::{clock, interrupt};

/// How often the progress bar moves.
const PROGRESS_EVERY: Duration = Duration::from_millis(200);
/// How often a ledger cart is asked for before the region counts as unreachable.
const LEDGER_TRIES: usize = 3;

/// Runs the load and its checks.
///
/// # Errors
/// A command line that makes no sense, or regions that cannot be reached to begin with.
pub(crate) async fn run(args: Args, term: Arc<Term>) -> Result<Exit, Failure> {
    args.check()?;
    let halt = interrupt::listen(Arc::clone(&term));
    let cluster = args.target.find(args.timeout, args.users()).await?;
    see_that_they_serve(&cluster.regions).await?;

    let seed = args.seed.unwrap_or_else(|| clock::fresh() % 1_000_000_000);
    let run = format!("{:x}{:04x}", clock::unix_ms(), clock::fresh() & 0xffff);
    let names = Arc::new(Names { seed, run });
    let ledger = Arc::new(Ledger::default());
    let report = drive_all(&args, &cluster.regions, &names, &ledger, &halt, &term).await?;
    if !args.json {
        term.print(&format!("{}\n", report.render()))?;
    }
    if halt.is_cancelled() {
        return interrupted(args.json, &report, &term);
    }

    term.note("waiting until the regions agree ...");
    let waited = tokio::select! {
        waited = wait(&cluster, args.converge_timeout) => waited,
        () = halt.cancelled() => return interrupted(args.json, &report, &term),
    };
    let findings = if args.ledger_carts == 0 || waited.last.is_err() {
        None
    } else {
        tokio::select! {
            findings = check_ledger(&cluster, &ledger, &names) => Some(findings),
            () = halt.cancelled() => return interrupted(args.json, &report, &term),
        }
    };
    conclude(args.json, &report, &names, &waited, findings.as_ref(), &term)
}

async fn see_that_they_serve(regions: &[Region]) -> Result<(), Failure> {
    for (region, ready) in each(regions, |region| async move { region.ready().await }).await {
        if let Err(error) = ready {
            let advice =
                "see `cartograph status`; a region must serve when the load begins, it may go down later";
            return Err(unreachable(&error, &format!("{} does not serve", region.name)).advise(advice));
        }
    }
    Ok(())
}

/// Drives every region until the time is up or the user wants to stop.
async fn drive_all(
    args: &Args,
    regions: &[Region],
    names: &Arc<Names>,
    ledger: &Arc<Ledger>,
    halt: &CancellationToken,
    term: &Term,
) -> Result<Report, Failure> {
    let done = Arc::new(AtomicU64::new(0));
    let start = clock::now();
    let end = start + args.duration;
    let count = u32::try_from(regions.len()).unwrap_or(u32::MAX);
    let mut tallies = Vec::new();
    let mut drivers = Vec::new();
    for (region, index) in regions.iter().zip(0..) {
        let tally = Tally::new().map_err(|error| Failure::new(Exit::Usage, error.to_string()))?;
        let tally = Arc::new(Mutex::new(tally));
        let shop = Shop {
            region: region.clone(),
            names: Arc::clone(names),
            ledger: Arc::clone(ledger),
            tally: Arc::clone(&tally),
            done: Arc::clone(&done),
            halt: halt.clone(),
        };
        let visits = Visits::new(args.mix(index, count), names.seed);
        drivers.push(tokio::spawn(drive(
            shop,
            visits,
            Pacer::new(start, args.rate),
            args.users(),
            end,
        )));
        tallies.push((region.name.clone(), tally));
    }
    let finished = CancellationToken::new();
    let bar = tokio::spawn(show_progress(
        term.shows_progress(),
        start,
        end,
        done,
        finished.clone(),
    ));
    let mut reports = Vec::new();
    for (driver, (name, tally)) in drivers.into_iter().zip(tallies) {
        let timetable: Timetable = driver
            .await
            .map_err(|error| Failure::new(Exit::Refused, format!("driving {name}: {error}")))?;
        let tally = tally.lock().unwrap_or_else(PoisonError::into_inner).clone();
        reports.push(RegionReport {
            name,
            tally,
            timetable,
        });
    }
    let took = start.elapsed();
    finished.cancel();
    let _ = bar.await;
    Ok(Report {
        seed: names.seed,
        run: names.run.clone(),
        rate: args.rate,
        took,
        regions: reports,
    })
}

async fn show_progress(
    shown: bool,
    start: Instant,
    end: Instant,
    done: Arc<AtomicU64>,
    finished: CancellationToken,
) {
    if !shown {
        return;
    }
    let ms = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let bar = ProgressBar::new(ms(end - start));
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {elapsed}  {msg}") {
        bar.set_style(style);
    }
    let mut ticks = tokio::time::interval(PROGRESS_EVERY);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = finished.cancelled() => break,
        }
        bar.set_position(ms(start.elapsed()).min(ms(end - start)));
        bar.set_message(format!("{} operations", done.load(Ordering::Relaxed)));
    }
    bar.finish_and_clear();
}

/// Reads every ledger cart in every region and compares it with what was added.
async fn check_ledger(cluster: &Cluster, ledger: &Ledger, names: &Arc<Names>) -> Result<Findings, Failure> {
    let carts = ledger.carts();
    let read_all = |region: Region| {
        let (carts, names) = (carts.clone(), Arc::clone(names));
        async move {
            let mut shown = BTreeMap::new();
            for cart in carts {
                shown.insert(cart, read_ledger_cart(&region, &names.ledger_id(cart)).await?);
            }
            Ok::<_, Error>(shown)
        }
    };
    let mut shown = BTreeMap::new();
    for (region, carts) in each(&cluster.regions, read_all).await {
        let what = || format!("cannot read the ledger carts back from {}", region.name);
        shown.insert(
            region.name.clone(),
            carts.map_err(|error| unreachable(&error, &what()))?,
        );
    }
    Ok(ledger.check(&shown))
}

async fn read_ledger_cart(region: &Region, id: &str) -> Result<BTreeMap<String, u64>, Error> {
    let mut tries = 1;
    let cart = loop {
        match region.cart(id, &CartOp::Get, None).await {
            Ok(answer) => break answer.value,
            Err(error) if tries == LEDGER_TRIES => return Err(error),
            Err(_) => tries += 1,
        }
    };
    let quantity = |quantity: i64| u64::try_from(quantity).unwrap_or(0);
    Ok(cart
        .lines
        .into_iter()
        .map(|line| (line.sku, quantity(line.quantity)))
        .collect())
}
