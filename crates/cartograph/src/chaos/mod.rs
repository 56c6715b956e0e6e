//! `cartograph chaos`: real processes, real sockets, real faults, and a judge who was not there.
//!
//! ```text
//!   plan (the seed decides) ---> faults ----------> nodes, stores, links, clocks      the demo's supervisor
//!   workload (the seed too) ---> doors (http, grpc)        |                          runs them
//!        |                                                 v
//!        +--> history <--- observe: what each region says of itself
//!                |
//!          heal, agree, read everything
//!                |
//!             check ---> verdict, report
//! ```
//!
//! The cluster is the demo's: the same processes, started the same way (`demo`). What is checked, and what a wiped store
//! may lose, is said in docs/operating/chaos.md.

mod args;
mod check;
mod doors;
mod fault;
mod finals;
mod grpc_door;
mod history;
mod http_door;
mod network;
mod observe;
mod plan;
mod redis;
mod report;
mod timeline;
mod tools;
mod verdict;
mod workload;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

pub(crate) use self::args::Args;
use self::args::Schedule;
use self::doors::{Addresses, Names};
use self::fault::Hurt;
use self::history::{Event, History, Object, View, Violation};
use self::network::{Means, Network};
use self::observe::Samples;
use self::plan::{Nemesis, Planned};
use self::timeline::Timeline;
use self::verdict::{Run, Skipped};
use self::workload::{Client, Recorder, Shared, Stock};
use crate::demo::cluster::{Demo, Parts};
use crate::demo::console::Console;
use crate::demo::data::{DataDir, RecordedRegion};
use crate::demo::place::Place;
use crate::demo::redis::StoreChoice;
use crate::exit::{Exit, Failure};
use crate::term::Term;
use crate::{clock, demo, interrupt};

/// How long faults may take to be taken back after their time.
const MEND_MAX: Duration = Duration::from_secs(45);
/// The file system of a store whose disk can be full: to begin with, and for each minute of load, in MiB.
const DISK_MIB: (u64, u64) = (192, 48);

/// Runs chaos and judges it.
///
/// # Errors
/// The command line makes no sense, something that was asked for by name cannot be had, or the cluster does not start.
pub(crate) async fn run(args: Args, term: Arc<Term>) -> Result<Exit, Failure> {
    let usage = |what: String| Failure::new(Exit::Usage, what);
    let chosen = plan::parse(&args.nemesis_words()).map_err(usage)?;
    if args.regions.len() < 2 {
        return Err(usage("chaos needs at least two regions".to_owned()));
    }
    let (store, lines) = demo::redis::choose(args.store, std::env::var_os("PATH"))
        .await
        .map_err(refused)?;
    let (nemeses, skipped) = available(&args, chosen, &store)?;
    if args.network == Means::Namespaces
        && let Some(why) = tools::why_no_namespaces()
    {
        return Err(Failure::new(Exit::Refused, why).advise("or use --network proxy, which works anywhere"));
    }
    tools::enter(tools::Wanted {
        mounts: nemeses.contains(&Nemesis::DiskFull) || args.network == Means::Namespaces,
        network: args.network == Means::Namespaces,
    })
    .map_err(|why| Failure::new(Exit::Refused, why))?;

    let halt = interrupt::listen(Arc::clone(&term));
    for line in lines {
        term.note(&line);
    }
    for skip in &skipped {
        term.note(&format!("SKIPPED nemesis {}: {}", skip.nemesis.word(), skip.why));
    }
    let seed = args.seed.unwrap_or_else(|| clock::fresh() % 1_000_000_000);
    let cluster = Cluster::start(&args, store, &nemeses).await?;
    let result = tokio::select! {
        result = torture(&args, &cluster, seed, &nemeses, &term) => result.map(Some),
        () = halt.cancelled() => Ok(None),
    };
    cluster.demo.shutdown().await;
    cluster.demo.data.remove_if_temporary();
    let Some((history, mut run)) = result? else {
        return Ok(Exit::Interrupted);
    };
    run.skipped = skipped;
    run.notes = cluster.console.said();
    verdict::conclude(&args, &history, &run, &term)
}

#[expect(clippy::needless_pass_by_value, reason = "what map_err wants")]
fn refused(error: anyhow::Error) -> Failure {
    Failure::new(Exit::Refused, format!("{error:#}"))
}

/// The nemeses that can be had here, and those that cannot.
fn available(
    args: &Args,
    chosen: BTreeSet<Nemesis>,
    store: &StoreChoice,
) -> Result<(BTreeSet<Nemesis>, Vec<Skipped>), Failure> {
    let redis = matches!(store, StoreChoice::Redis { .. });
    let (mut nemeses, mut skipped) = (BTreeSet::new(), Vec::new());
    for nemesis in chosen {
        match tools::why_not(nemesis, redis, args.network == Means::Namespaces) {
            None => drop(nemeses.insert(nemesis)),
            Some(why) if args.names(nemesis.word()) => {
                let what = format!("the nemesis {} cannot be had here: {why}", nemesis.word());
                return Err(Failure::new(Exit::Refused, what));
            }
            Some(why) => skipped.push(Skipped { nemesis, why }),
        }
    }
    Ok((nemeses, skipped))
}

/// The regions with their ids.
fn named_regions(args: &Args) -> Result<Vec<RecordedRegion>, Failure> {
    let mut regions = Vec::new();
    for (name, id) in args.regions.iter().zip(1_u16..) {
        demo::region::check_name(name).map_err(|error| Failure::new(Exit::Usage, error.message))?;
        if regions.iter().any(|region: &RecordedRegion| region.name == *name) {
            return Err(Failure::new(Exit::Usage, format!("--regions names {name} twice")));
        }
        regions.push(RecordedRegion {
            name: name.clone(),
            id,
        });
    }
    Ok(regions)
}

/// Where the regions run, and what of that can be hurt.
struct Surroundings {
    places: BTreeMap<u16, Place>,
    clocks: BTreeMap<usize, std::path::PathBuf>,
    disks: BTreeMap<usize, std::path::PathBuf>,
}

impl Surroundings {
    fn make(
        args: &Args,
        regions: &[RecordedRegion],
        nemeses: &BTreeSet<Nemesis>,
        data: &std::path::Path,
    ) -> Result<Self, String> {
        let ids: Vec<u16> = regions.iter().map(|region| region.id).collect();
        let mut places = match args.network {
            Means::Namespaces => network::make_namespaces(&ids)?,
            Means::Proxy => ids.iter().map(|id| (*id, Place::default())).collect(),
        };
        let mut clocks = BTreeMap::new();
        let mut disks = BTreeMap::new();
        for (region, number) in regions.iter().zip(0..) {
            if let (true, Some(library)) = (nemeses.contains(&Nemesis::ClockSkew), tools::faketime()) {
                let file = data.join(format!("clock-{}", region.id));
                fault::write_offset(&file, 0)?;
                if let Some(place) = places.get_mut(&region.id) {
                    place.node_env = tools::lying_clock(&library, &file);
                }
                clocks.insert(number, file);
            }
            if nemeses.contains(&Nemesis::DiskFull) {
                let dir = data.join(&region.name);
                std::fs::create_dir_all(&dir).map_err(|error| error.to_string())?;
                let minutes = args.schedule().load.as_secs().div_ceil(60);
                tools::mount_small(&dir, DISK_MIB.0 + DISK_MIB.1 * minutes)?;
                disks.insert(number, dir);
            }
        }
        Ok(Self {
            places,
            clocks,
            disks,
        })
    }
}

/// A running cluster with what faults need of it.
struct Cluster {
    demo: Arc<Demo>,
    console: Arc<Console>,
    clocks: BTreeMap<usize, std::path::PathBuf>,
    disks: BTreeMap<usize, std::path::PathBuf>,
}

impl Cluster {
    async fn start(args: &Args, store: StoreChoice, nemeses: &BTreeSet<Nemesis>) -> Result<Self, Failure> {
        let failed = |what: String| Failure::new(Exit::Refused, what);
        let console = Arc::new(Console::kept());
        let data = DataDir::open(args.data_dir.as_deref()).map_err(refused)?;
        if data.record().map_err(refused)?.is_some() {
            let what = format!("{} has data of another run", data.path().display());
            return Err(Failure::new(Exit::Usage, what)
                .advise("chaos begins with empty stores: choose another --data-dir"));
        }
        let regions = named_regions(args)?;
        let Surroundings {
            places,
            clocks,
            disks,
        } = Surroundings::make(args, &regions, nemeses, data.path()).map_err(failed)?;
        let (launcher, node_program) = demo::programs(&console).map_err(refused)?;
        let cluster = Demo::new(Parts {
            base: args.base_port,
            store,
            node_program,
            places,
            data,
            launcher,
            console: Arc::clone(&console),
        });
        if args.network == Means::Proxy {
            let wanted: Vec<_> = regions
                .iter()
                .flat_map(|region| cluster.ports(region.id).wanted(&region.name))
                .collect();
            demo::ports::check(&wanted).map_err(failed)?;
        }
        if let Err(error) = cluster.start_all(&regions).await {
            cluster.shutdown().await;
            cluster.data.remove_if_temporary();
            return Err(failed(error.message));
        }
        Ok(Self {
            demo: cluster,
            console,
            clocks,
            disks,
        })
    }

    fn shared(&self, timeout: Duration) -> Shared {
        let run = format!("{:x}", clock::fresh() & 0xff_ffff);
        let names = Names { run };
        let regions = self.demo.regions();
        let doors = regions.iter().map(|region| {
            let addresses = Addresses {
                http: region.place.at(region.ports.http),
                grpc: region.place.at(region.ports.grpc),
            };
            doors::open(addresses, &names, timeout)
        });
        Shared {
            began: clock::now(),
            doors: Arc::new(doors.collect()),
            stock: Arc::new(Stock::default()),
            recorder: Arc::new(Recorder::default()),
            stop: CancellationToken::new(),
        }
    }
}

/// Clients and faults at once, then healing, agreement and the final reads.
async fn torture(
    args: &Args,
    cluster: &Cluster,
    seed: u64,
    nemeses: &BTreeSet<Nemesis>,
    term: &Arc<Term>,
) -> Result<(History, Run), Failure> {
    let schedule = args.schedule();
    let shared = cluster.shared(args.timeout);
    let timeline = Timeline::new(Arc::clone(term), shared.began);
    let regions = cluster.demo.regions();
    let samples = Arc::new(Samples::new(regions.len()));
    let faults = plan::plan(seed, nemeses, regions.len(), schedule.faults);
    timeline.say(&format!(
        "seed {seed}: {} faults planned in {} s, {} regions",
        faults.len(),
        schedule.load.as_secs(),
        regions.len()
    ));
    let hurt = Arc::new(Hurt {
        demo: Arc::clone(&cluster.demo),
        network: Network::new(Arc::clone(&cluster.demo), args.network),
        shared: shared.clone(),
        timeline: timeline.clone(),
        clocks: cluster.clocks.clone(),
        disks: cluster.disks.clone(),
        bands: Mutex::default(),
        losses: Mutex::default(),
    });
    let watching = observe::watch(Arc::clone(&cluster.demo), shared.clone(), Arc::clone(&samples));
    let watching = tokio::spawn(watching);
    let telling = tokio::spawn(timeline::report(
        timeline.clone(),
        shared.clone(),
        Arc::clone(&samples),
    ));
    let clients = send_clients(args, &shared, seed, regions.len());
    break_things(&hurt, faults, &schedule).await;
    let _all = clients.join_all().await;
    let _ = telling.await;
    let load_ended = shared.now();

    let events = shared.recorder.take();
    let mut end = End::default();
    end.reach(args, cluster, &hurt, &events).await;
    cluster.demo.stop.cancel();
    let _ = watching.await;
    let history = History {
        regions: regions.iter().map(|region| region.name.clone()).collect(),
        region_ids: regions.iter().map(|region| region.id).collect(),
        events,
        samples: samples.take(),
        losses: hurt.losses.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        finals: end.finals,
    };
    let run = Run {
        seed,
        store: cluster.demo.store.word(),
        load: schedule.load,
        load_ended,
        bands: hurt.bands.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        agreed: end.agreed,
        violations: end.violations,
        unhealed: end.unhealed,
        skipped: Vec::new(),
        notes: Vec::new(),
    };
    Ok((history, run))
}

/// What is found once clients have stopped.
#[derive(Default)]
struct End {
    agreed: Option<Duration>,
    finals: Vec<BTreeMap<Object, View>>,
    violations: Vec<Violation>,
    unhealed: Vec<String>,
}

impl End {
    /// Heals, waits for agreement and quiet, reads everything.
    async fn reach(&mut self, args: &Args, cluster: &Cluster, hurt: &Hurt, events: &[Event]) {
        hurt.timeline.say("healing");
        self.unhealed = hurt.heal().await.err().unwrap_or_default();
        match finals::agree(&cluster.demo, args.converge_timeout).await {
            Ok(took) => {
                hurt.timeline
                    .say(&format!("the regions agree after {:.1} s", took.as_secs_f64()));
                self.agreed = Some(took);
            }
            Err(differences) => self.diverged(format!(
                "the regions do not agree after {} s: {differences}",
                args.converge_timeout.as_secs()
            )),
        }
        sleep(args.schedule().quiet).await;
        let objects = events.iter().map(|event| event.object).collect();
        match finals::read_all(&hurt.shared, &objects).await {
            Ok(finals) => self.finals = finals,
            Err(what) => self.diverged(what),
        }
    }

    fn diverged(&mut self, what: String) {
        self.violations.push(Violation {
            check: "convergence",
            what,
            events: Vec::new(),
        });
    }
}

/// The clients of all regions, and a traveller from each.
fn send_clients(args: &Args, shared: &Shared, seed: u64, regions: usize) -> JoinSet<()> {
    let mut clients = JoinSet::new();
    let every = Duration::from_secs(1) * args.clients / args.rate;
    let mut session = 0;
    for region in 0..regions {
        for number in 0..=args.clients {
            let travels = number == args.clients;
            let client = Client::new(shared.clone(), seed, session, region, travels, every);
            clients.spawn(client.work());
            session += 1;
        }
    }
    clients
}

/// Makes the planned faults, and tells clients to stop when the load's time is over.
async fn break_things(hurt: &Arc<Hurt>, faults: Vec<Planned>, schedule: &Schedule) {
    let mut breaking = JoinSet::new();
    for fault in faults {
        breaking.spawn(Arc::clone(hurt).make(fault));
    }
    let end = hurt.shared.began + schedule.load;
    tokio::time::sleep_until(end.into()).await;
    hurt.shared.stop.cancel();
    // One that hangs (a process that does not start) is left to the healing.
    let _ = timeout(MEND_MAX, breaking.join_all()).await;
}
