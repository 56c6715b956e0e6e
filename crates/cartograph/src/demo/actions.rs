//! What can be done to a region while the demo runs: to its node, and to its store.
//!
//! Asking for what is already so is no error: the state is shown. Starts and store actions on one region follow each other;
//! kill, pause and resume act at once.
//!
//! A private Redis is acted on behind the node's back, as a failure would; the node is left as it is. An embedded store dies
//! with its node, so its actions end the node first and start it afterwards where it ran, and say so.

use std::path::PathBuf;
use std::time::Duration;

use hyper::{Method, StatusCode};

use super::clock;
use super::cluster::Demo;
use super::data::{copy_dir, remove_dir};
use super::error::{Error, Result};
use super::process::{Phase, Process, Program};
use super::redis::{self, StoreChoice};
use super::region::Region;

/// How long a node may take until `/readyz` is 200.
const READY_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a Redis may take to load its data.
const REDIS_TIMEOUT: Duration = Duration::from_secs(30);
/// Time between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(25);
/// How long a node has to end in good order before its store is copied.
const NODE_GRACE: Duration = Duration::from_secs(5);

/// An action on a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NodeAction {
    /// SIGKILL.
    Kill,
    /// A new process over the same settings and store.
    Start,
    /// SIGSTOP.
    Pause,
    /// SIGCONT.
    Resume,
}

/// An action on a region's store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StoreAction {
    /// SIGKILL.
    Kill,
    /// A new process over the same data.
    Start,
    /// Killed, emptied, started.
    Wipe,
    /// Its data is copied as it is at one instant.
    Snapshot,
    /// Killed, its data replaced by the last copy, started.
    Rollback,
}

impl NodeAction {
    /// The words of the API.
    pub(crate) const ALL: [(&'static str, Self); 4] = [
        ("kill", Self::Kill),
        ("start", Self::Start),
        ("pause", Self::Pause),
        ("resume", Self::Resume),
    ];
}

impl StoreAction {
    /// The words of the API.
    pub(crate) const ALL: [(&'static str, Self); 5] = [
        ("kill", Self::Kill),
        ("start", Self::Start),
        ("wipe", Self::Wipe),
        ("snapshot", Self::Snapshot),
        ("rollback", Self::Rollback),
    ];
}

/// What to add to the reply, for people.
pub(crate) type Note = Option<String>;

impl Demo {
    /// Acts on a region's node.
    ///
    /// # Errors
    /// A conflict with the present state (nothing changed); or the node does not come up.
    pub(crate) async fn act_on_node(&self, region: &Region, action: NodeAction) -> Result<Note> {
        match action {
            // Not queued behind a start that waits for readiness: it is what ends one.
            NodeAction::Kill => {
                if let Some(process) = region.node.alive() {
                    process.kill().await;
                }
                Ok(None)
            }
            NodeAction::Start => {
                let _acting = region.acting.lock().await;
                self.start_node(region).await
            }
            NodeAction::Pause => {
                running(region, "paused")?.pause().await?;
                Ok(None)
            }
            NodeAction::Resume => {
                running(region, "resumed")?.resume();
                Ok(None)
            }
        }
    }

    /// Acts on a region's store.
    ///
    /// # Errors
    /// A conflict with the present state (nothing changed); a file cannot be written; or the store does not come up.
    pub(crate) async fn act_on_store(&self, region: &Region, action: StoreAction) -> Result<Note> {
        let _acting = region.acting.lock().await;
        if action == StoreAction::Rollback && !region.snapshot_dir().is_dir() {
            return Err(Error::conflict(format!(
                "{} has no snapshot to go back to; make one with POST /api/regions/{}/store/snapshot",
                region.name, region.name
            )));
        }
        match self.store {
            StoreChoice::Redis { .. } => self.act_on_redis(region, action).await,
            StoreChoice::Embedded => self.act_on_embedded(region, action).await,
        }
    }

    async fn act_on_redis(&self, region: &Region, action: StoreAction) -> Result<Note> {
        let process = region.redis.alive();
        if action == StoreAction::Snapshot {
            // INVARIANT: every acknowledged write is in Redis's files before its reply (appendonly, appendfsync always), and
            // only the main process changes which files count. Held still, the files are what a crash would leave, which
            // Redis loads; a rewrite's child that goes on writes `temp-*` files only, and those are not copied.
            if let Some(process) = &process {
                process.pause().await?;
            }
            let copied = take_snapshot(region).await;
            if let Some(process) = &process {
                process.resume();
            }
            copied?;
            return Ok(None);
        }
        if let (StoreAction::Kill | StoreAction::Wipe | StoreAction::Rollback, Some(process)) =
            (action, process)
        {
            process.kill().await;
        }
        match action {
            StoreAction::Kill => return Ok(None),
            StoreAction::Wipe => empty(region.store_dir()).await?,
            StoreAction::Rollback => restore(region).await?,
            StoreAction::Start | StoreAction::Snapshot => {}
        }
        self.start_redis(region).await?;
        Ok(None)
    }

    async fn act_on_embedded(&self, region: &Region, action: StoreAction) -> Result<Note> {
        let process = region.node.alive();
        let ran = process.is_some();
        match (action, process) {
            (StoreAction::Start, _) => {
                let note = self.start_node(region).await?;
                return Ok(Some(note.unwrap_or_else(|| {
                    "an embedded store runs in its node: the node runs".to_owned()
                })));
            }
            (StoreAction::Snapshot, Some(process)) => process.stop(NODE_GRACE).await,
            (StoreAction::Kill | StoreAction::Wipe | StoreAction::Rollback, Some(process)) => {
                process.kill().await;
            }
            (_, None) => {}
        }
        match action {
            StoreAction::Kill => {
                return Ok(Some(
                    "an embedded store runs in its node: the node was killed".to_owned(),
                ));
            }
            StoreAction::Wipe => empty(region.store_dir()).await?,
            StoreAction::Rollback => restore(region).await?,
            StoreAction::Snapshot => take_snapshot(region).await?,
            StoreAction::Start => {}
        }
        if !ran {
            return Ok(Some(
                "an embedded store runs in its node: the node was not running and was left so".to_owned(),
            ));
        }
        self.start_node(region).await?;
        Ok(Some(
            "an embedded store runs in its node: the node was stopped and started again".to_owned(),
        ))
    }

    /// Starts a region's node where it does not run, and waits until it serves; the caller holds `acting`.
    ///
    /// # Errors
    /// It is paused, cannot be started, ends, or does not serve in time.
    pub(crate) async fn start_node(&self, region: &Region) -> Result<Note> {
        let Some(process) = self.spawn_node(region).await? else {
            return Ok(Some("the node was already running".to_owned()));
        };
        if region.ports.redis.is_some() && region.redis.alive().is_none() {
            return Ok(Some(
                "the node was started, and will serve when its store runs".to_owned(),
            ));
        }
        self.wait_until_ready(region, &process).await?;
        Ok(None)
    }

    /// Starts a region's node where it does not run, and waits for nothing; the caller holds `acting`.
    ///
    /// Returns the process that was started; nothing where one was running.
    ///
    /// # Errors
    /// It is paused, or cannot be started.
    pub(crate) async fn spawn_node(&self, region: &Region) -> Result<Option<Process>> {
        match region.node.phase() {
            Phase::Running => return Ok(None),
            Phase::Paused => {
                return Err(Error::conflict(format!(
                    "{}'s node is paused; use POST /api/regions/{}/resume, or kill it first",
                    region.name, region.name
                )));
            }
            Phase::Stopped | Phase::Crashed(_) => {}
        }
        let (file, first_args) = self.node_program.clone();
        let mut args = first_args;
        args.push(region.config_file().into_os_string());
        let (file, args) = region.place.command(file, args);
        let program = Program {
            what: format!("{}'s node", region.name),
            file,
            args,
            env: region.place.node_env.clone(),
            dir: region.dir.clone(),
            log: region.dir.join("node.log"),
        };
        let process = self.launch(&program).await?;
        region.node.set(process.clone());
        Ok(Some(process))
    }

    /// Starts a region's private Redis, where it has one that does not run, and waits until it has loaded its data.
    ///
    /// # Errors
    /// It cannot be started, ends, or does not answer in time.
    pub(crate) async fn start_redis(&self, region: &Region) -> Result<()> {
        let (StoreChoice::Redis { program }, Some(port)) = (&self.store, region.ports.redis) else {
            return Ok(());
        };
        if region.redis.alive().is_some() {
            return Ok(());
        }
        let address = region.place.at(port);
        let (file, args) = region.place.command(program.clone(), redis::arguments(address));
        let program = Program {
            what: format!("{}'s Redis", region.name),
            file,
            args,
            env: Vec::new(),
            dir: region.store_dir(),
            log: region.dir.join("redis.log"),
        };
        let process = self.launch(&program).await?;
        region.redis.set(process.clone());
        let deadline = clock::now() + REDIS_TIMEOUT;
        while !redis::answers(address).await {
            if !process.is_alive() {
                return Err(process.early_end());
            }
            if clock::now() >= deadline {
                return Err(Error::not_ready(format!(
                    "{}'s Redis was started (process {}) and does not answer PING on port {port} after {} s",
                    region.name,
                    process.pid(),
                    REDIS_TIMEOUT.as_secs()
                )));
            }
            self.pause(LOOK_EVERY).await?;
        }
        Ok(())
    }

    /// Starts a process, unless the demo is stopping.
    async fn launch(&self, program: &Program) -> Result<Process> {
        if self.stop.is_cancelled() {
            return Err(Error::stopping());
        }
        let process = self.launcher.start(program).await?;
        if self.stop.is_cancelled() {
            // SUBTLE: the demo may have collected what to stop just before this one was there.
            process.kill_now();
            return Err(Error::stopping());
        }
        Ok(process)
    }

    async fn wait_until_ready(&self, region: &Region, process: &Process) -> Result<()> {
        let url = format!("{}/readyz", region.http());
        let deadline = clock::now() + READY_TIMEOUT;
        loop {
            let answer = self
                .http
                .send(Method::GET, &url, None, Duration::from_secs(2))
                .await;
            let last = match answer {
                Ok(answer) if answer.status == StatusCode::OK => return Ok(()),
                Ok(answer) => {
                    let body: String = String::from_utf8_lossy(&answer.body).chars().take(300).collect();
                    format!("{} {body}", answer.status)
                }
                Err(error) => error,
            };
            if !process.is_alive() {
                return Err(process.early_end());
            }
            if clock::now() >= deadline {
                return Err(Error::not_ready(format!(
                    "{}'s node was started (process {}) and {url} is not 200 after {} s: {last}; see {}",
                    region.name,
                    process.pid(),
                    READY_TIMEOUT.as_secs(),
                    region.dir.join("node.log").display()
                )));
            }
            self.pause(LOOK_EVERY).await?;
        }
    }
}

/// The node's process, for an action that needs one.
fn running(region: &Region, to_be: &str) -> Result<Process> {
    region.node.alive().ok_or_else(|| {
        Error::conflict(format!(
            "{}'s node is {} and cannot be {to_be}; start it with POST /api/regions/{}/start",
            region.name,
            region.node.phase().word(),
            region.name
        ))
    })
}

/// Copies the store's files aside; the former copy is replaced once the new one is whole.
async fn take_snapshot(region: &Region) -> Result<()> {
    let (store, snapshot) = (region.store_dir(), region.snapshot_dir());
    let beside = region.dir.join("snapshot.new");
    blocking("cannot copy the store", move || {
        remove_dir(&beside)?;
        copy_dir(&store, &beside)?;
        remove_dir(&snapshot)?;
        std::fs::rename(&beside, &snapshot)
    })
    .await
}

/// Replaces the store's files by the last copy.
async fn restore(region: &Region) -> Result<()> {
    let (store, snapshot) = (region.store_dir(), region.snapshot_dir());
    blocking("cannot restore the store", move || {
        remove_dir(&store)?;
        copy_dir(&snapshot, &store)
    })
    .await
}

/// Removes the store's files.
async fn empty(store: PathBuf) -> Result<()> {
    blocking("cannot empty the store", move || {
        remove_dir(&store)?;
        std::fs::create_dir_all(&store)
    })
    .await
}

async fn blocking(doing: &str, work: impl FnOnce() -> std::io::Result<()> + Send + 'static) -> Result<()> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done.map_err(|error| Error::io(doing, &error)),
        Err(error) => Err(Error::failed(format!("{doing}: {error}"))),
    }
}
