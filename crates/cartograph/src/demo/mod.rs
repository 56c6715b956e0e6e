//! `cartograph demo`: several regions on one machine, with the distance between them and the faults of a wide area.
//!
//! Each region is a node in a process of its own (`cartograph node`), in front of a private Redis or the store inside it. The
//! nodes know nothing of the demo: they dial each other as they would anywhere, through a proxy for each direction that makes
//! the latency, the loss and the cuts (`proxy`). A control API on the base port sets those, and kills, pauses, wipes and
//! rolls back what a real failure would (`api`, `actions`).
//!
//! ```text
//!   browser, curl ----> control API (P)          us-central1           europe-west1
//!                          |  settings        node P+1  redis P+301   node P+2  redis P+302
//!                          v                     |  dials               ^ peer port P+402
//!                        proxies  <--------------+----------------------+
//! ```
//!
//! Everything that is started dies with the demo, killed or not (`child`, `process`).

mod actions;
mod api;
mod child;
mod clock;
mod cluster;
mod console;
mod converged;
mod data;
mod error;
mod gcp;
mod guard;
mod http;
mod links;
mod monitor;
mod node_config;
mod page;
mod ports;
mod process;
mod proxy;
pub(crate) mod redis;
mod region;
#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::io::IsTerminal;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};
use std::sync::Arc;

use anyhow::{Context, bail};
use tokio::signal::unix::{Signal, SignalKind, signal};

pub(crate) use self::child::{ChildArgs, run_child};
use self::cluster::{Demo, Parts, endpoints};
use self::console::Console;
use self::data::{DataDir, Record, RecordedRegion};
use self::ports::{BASE_MAX, REGIONS_MAX};
use self::process::Launcher;
use self::redis::StoreArg;

/// The regions of a demo that names none and has no data.
const REGIONS: [&str; 3] = ["us-central1", "europe-west1", "asia-southeast1"];

/// Arguments of `cartograph demo`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The regions, by their Google Cloud names; other names get a default latency [default:
    /// us-central1,europe-west1,asia-southeast1, or those in the data directory]
    #[arg(long, value_delimiter = ',')]
    regions: Option<Vec<String>>,
    /// The store: a private Redis per region, or the one inside the node. `auto` takes Redis where it is on PATH.
    #[arg(long, value_enum, default_value = "auto")]
    store: StoreArg,
    /// The dashboard's port P; region i has HTTP on P+i, RESP on P+100+i, gRPC on P+200+i, its Redis on P+300+i and
    /// replication on P+400+i.
    #[arg(long, default_value_t = 7100, value_parser = clap::value_parser!(u16).range(1..=i64::from(BASE_MAX)))]
    base_port: u16,
    /// Where data is kept for a later demo; without it a temporary directory that is removed at the end.
    #[arg(long)]
    data_dir: Option<PathBuf>,
    /// Do not open the dashboard in a browser.
    #[arg(long)]
    no_open: bool,
}

/// Runs the demo until it is interrupted.
///
/// Ctrl-C (or SIGTERM, or the terminal's end) stops every process that was started, in order; a second one stops them at once.
///
/// # Errors
/// The regions cannot be started: a name is bad, a port in use, no Redis is there though asked for, a node does not come up.
/// Whatever was started by then has been stopped.
pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let mut interrupts = Interrupts::new()?;
    let console = Arc::new(Console::stdout());
    let prepared = tokio::select! {
        prepared = prepare(&args, &console) => prepared?,
        () = interrupts.next() => return Ok(ExitCode::SUCCESS),
    };
    let (demo, regions, listener) = prepared;
    let serving = tokio::spawn(serve(Arc::clone(&demo), listener));
    let observing = tokio::spawn(page::run(Arc::clone(&demo)));
    let started = tokio::select! {
        started = demo.start_all(&regions) => started,
        () = interrupts.next() => return Ok(stop(&demo, &mut interrupts).await),
    };
    if let Err(error) = started {
        stop(&demo, &mut interrupts).await;
        return Err(error.into());
    }
    announce(&demo, &args);
    let watching = tokio::spawn(monitor::watch(Arc::clone(&demo)));
    interrupts.next().await;
    let code = stop(&demo, &mut interrupts).await;
    let _ = watching.await;
    observing.abort();
    serving.abort();
    Ok(code)
}

/// Decides everything that can be decided before a process is started.
async fn prepare(
    args: &Args,
    console: &Arc<Console>,
) -> anyhow::Result<(Arc<Demo>, Vec<RecordedRegion>, tokio::net::TcpListener)> {
    let mut said = Vec::new();
    let named = args.regions.as_deref();
    for (index, name) in named.unwrap_or_default().iter().enumerate() {
        said.extend(region::check_name(name)?);
        if named
            .unwrap_or_default()
            .iter()
            .take(index)
            .any(|other| other == name)
        {
            bail!("--regions names {name} twice");
        }
    }
    let data = DataDir::open(args.data_dir.as_deref())?;
    let record = data.record()?;
    let wanted_store = store_of(args.store, record.as_ref(), data.path())?;
    let (store, lines) = redis::choose(wanted_store, std::env::var_os("PATH")).await?;
    said.extend(lines);
    let (regions, lines) = regions_of(named, record.as_ref());
    said.extend(lines);
    if regions.iter().any(|region| region.id > REGIONS_MAX) {
        bail!("a demo has at most {REGIONS_MAX} regions");
    }
    for line in said {
        console.say(line);
    }
    let own_program = own_program()?;
    let wrapper = (own_program.clone(), vec![OsString::from("demo-child")]);
    let launcher = Launcher::new(Some(wrapper), Arc::clone(console))?;
    let node_program = (
        own_program,
        vec![OsString::from("node"), OsString::from("--config")],
    );
    let base = args.base_port;
    let demo = Demo::new(Parts {
        base,
        store,
        node_program,
        data,
        launcher,
        console: Arc::clone(console),
    });
    let mut wanted = vec![(base, "the dashboard and control API".to_owned())];
    wanted.extend(
        regions
            .iter()
            .flat_map(|region| demo.ports(region.id).wanted(&region.name)),
    );
    ports::check(&wanted).map_err(anyhow::Error::msg)?;
    let listener = TcpListener::bind(ports::loopback(base))?;
    listener.set_nonblocking(true)?;
    Ok((demo, regions, tokio::net::TcpListener::from_std(listener)?))
}

/// The store to look for: data that is there already decides for `auto`.
fn store_of(wanted: StoreArg, record: Option<&Record>, dir: &Path) -> anyhow::Result<StoreArg> {
    let Some(record) = record else { return Ok(wanted) };
    let there = if record.store == "redis" {
        StoreArg::Redis
    } else {
        StoreArg::Embedded
    };
    if wanted != StoreArg::Auto && wanted != there {
        bail!(
            "the data in {} is a {} store's; use --store {} or another --data-dir",
            dir.display(),
            record.store,
            record.store
        );
    }
    Ok(there)
}

/// The regions with their ids: those with data keep theirs and all take part, for they are members; new ones follow.
fn regions_of(named: Option<&[String]>, record: Option<&Record>) -> (Vec<RecordedRegion>, Vec<String>) {
    let mut regions = record.map(|record| record.regions.clone()).unwrap_or_default();
    let names = match named {
        Some(names) => names.to_vec(),
        None if regions.is_empty() => REGIONS.map(str::to_owned).to_vec(),
        None => return (regions, Vec::new()),
    };
    let unnamed = regions.iter().filter(|region| !names.contains(&region.name));
    let lines = unnamed.map(|region| {
        format!(
            "{} is a member in this data directory and takes part too",
            region.name
        )
    });
    let lines = lines.collect();
    for name in names {
        if !regions.iter().any(|region| region.name == name) {
            let id = regions.iter().map(|region| region.id).max().unwrap_or(0) + 1;
            regions.push(RecordedRegion { name, id });
        }
    }
    (regions, lines)
}

/// Our own executable, so that nodes are of the same build.
fn own_program() -> anyhow::Result<PathBuf> {
    let path = std::env::current_exe().context("cannot find this program's own file")?;
    // Rebuilt or moved while running: on Linux the running image can still be run.
    let image = PathBuf::from("/proc/self/exe");
    Ok(if !path.exists() && image.exists() {
        image
    } else {
        path
    })
}

async fn serve(demo: Arc<Demo>, listener: tokio::net::TcpListener) {
    let router = api::router(Arc::clone(&demo), demo.base);
    if let Err(error) = axum::serve(listener, router).await {
        demo.console.say(format!("the control API has ended: {error}"));
    }
}

/// Says where everything is, and `ready` on a line of its own.
fn announce(demo: &Demo, args: &Args) {
    let console = &demo.console;
    let kept = if demo.data.is_temporary() {
        "temporary, removed at the end"
    } else {
        "kept"
    };
    console.say(format!("data: {} ({kept})", demo.data.path().display()));
    for region in demo.regions() {
        console.say(format!("{:<24} {}", region.name, endpoints(&region)));
    }
    let url = format!("http://localhost:{}/", demo.base);
    console.say(format!("{:<24} {url}", "dashboard"));
    console.say("ready");
    if console.is_terminal() {
        console.say("Ctrl-C stops everything");
        if !args.no_open {
            open_browser(&url);
        }
    }
}

/// Tries to show the page; a machine without a browser is no error.
fn open_browser(url: &str) {
    let opener = if cfg!(target_os = "macos") {
        "open"
    } else {
        "xdg-open"
    };
    let mut command = tokio::process::Command::new(opener);
    let _ = command
        .arg(url)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
}

/// Stops all processes in order, or at once when interrupted again.
async fn stop(demo: &Demo, interrupts: &mut Interrupts) -> ExitCode {
    if std::io::stdout().is_terminal() {
        demo.console.say("stopping; Ctrl-C again stops at once");
    }
    let code = tokio::select! {
        () = demo.shutdown() => ExitCode::SUCCESS,
        () = interrupts.next() => {
            demo.launcher.kill_all();
            ExitCode::from(130)
        }
    };
    demo.data.remove_if_temporary();
    code
}

/// The signals that end the demo.
struct Interrupts {
    interrupt: Signal,
    terminate: Signal,
    /// None where whoever started us (nohup) asked to let the terminal's end pass.
    hang_up: Option<Signal>,
}

impl Interrupts {
    fn new() -> anyhow::Result<Self> {
        let listen = |kind| signal(kind).context("cannot listen for signals");
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
            hang_up: if ignores_hang_up() {
                None
            } else {
                Some(listen(SignalKind::hangup())?)
            },
        })
    }

    /// Waits for the next one.
    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            () = hang_up(self.hang_up.as_mut()) => {}
        }
    }
}

async fn hang_up(signal: Option<&mut Signal>) {
    match signal {
        Some(signal) => drop(signal.recv().await),
        None => std::future::pending().await,
    }
}

/// Whether SIGHUP is ignored; known on Linux only.
fn ignores_hang_up() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    // Bit 0 is signal 1.
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .is_some_and(|mask| mask & 1 == 1)
}
