//! The demo's child processes: started, signalled, watched, and never outliving the demo.
//!
//! All are started by one thread that lives as long as the process, because the kernel ties the parent-death signal (see
//! `child`) to the *thread* that forked. Each runs in a process group of its own, so that Ctrl-C in the terminal reaches the
//! demo alone, which then stops them in order: nodes first, stores last.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions};
use tokio::process::{Child, Command};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{sleep, timeout};

use super::console::Console;
use super::error::{Error, Result};

/// How much of a log's end an error shows.
const LOG_TAIL_BYTES: u64 = 2048;

/// Something to run.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    /// What it is to people, such as `us-central1's node`.
    pub(crate) what: String,
    /// The executable.
    pub(crate) file: PathBuf,
    /// Its arguments.
    pub(crate) args: Vec<OsString>,
    /// Added to its environment.
    pub(crate) env: Vec<(OsString, OsString)>,
    /// Where it runs.
    pub(crate) dir: PathBuf,
    /// Where its output goes, at the end of what is there.
    pub(crate) log: PathBuf,
}

/// A child process. Clones are the same process.
#[derive(Clone, Debug)]
pub(crate) struct Process {
    pid: Pid,
    what: Arc<str>,
    log: Arc<Path>,
    /// Its end is our doing and no news.
    expected: Arc<AtomicBool>,
    paused: Arc<AtomicBool>,
    exit: watch::Receiver<Option<ExitStatus>>,
}

/// What a child process is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// It runs.
    Running,
    /// It is stopped by SIGSTOP.
    Paused,
    /// It ended on somebody's request, in order, or was never started.
    Stopped,
    /// It ended otherwise, and how.
    Crashed(String),
}

impl Phase {
    /// The word for it in the API.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Stopped => "stopped",
            Self::Crashed(_) => "crashed",
        }
    }
}

impl Process {
    /// The process id.
    pub(crate) fn pid(&self) -> i32 {
        self.pid.as_raw_nonzero().get()
    }

    /// What it is doing.
    pub(crate) fn phase(&self) -> Phase {
        let exit = *self.exit.borrow();
        match exit {
            None if self.paused.load(Ordering::SeqCst) => Phase::Paused,
            None => Phase::Running,
            Some(_) if self.expected.load(Ordering::SeqCst) => Phase::Stopped,
            // It was asked to end (SIGTERM), by somebody else, and did what there was to do first.
            Some(status) if status.success() => Phase::Stopped,
            Some(status) => Phase::Crashed(status.to_string()),
        }
    }

    /// Whether it still exists.
    pub(crate) fn is_alive(&self) -> bool {
        self.exit.borrow().is_none()
    }

    /// Sends a signal; to a process that has ended, nothing.
    fn signal(&self, signal: Signal) {
        if self.is_alive() {
            let _ = rustix::process::kill_process(self.pid, signal);
        }
    }

    /// Waits until it has ended.
    pub(crate) async fn ended(&self) {
        let _ = self.exit.clone().wait_for(Option::is_some).await;
    }

    /// Ends it at once (SIGKILL) and waits for that.
    pub(crate) async fn kill(&self) {
        self.kill_now();
        self.ended().await;
    }

    /// Sends SIGKILL and does not wait.
    pub(crate) fn kill_now(&self) {
        self.expected.store(true, Ordering::SeqCst);
        if self.is_alive() {
            // Its whole group: a Redis that rewrites its log has a child that would otherwise go on.
            let _ = rustix::process::kill_process_group(self.pid, Signal::KILL);
        }
    }

    /// Asks it to end (SIGTERM), and ends it after `grace`.
    pub(crate) async fn stop(&self, grace: Duration) {
        self.expected.store(true, Ordering::SeqCst);
        self.signal(Signal::TERM);
        self.resume();
        if timeout(grace, self.ended()).await.is_err() {
            self.kill().await;
        }
    }

    /// Holds it where it is (SIGSTOP), and returns when all its threads stand still.
    ///
    /// # Errors
    /// It did not stop within two seconds, or has ended.
    pub(crate) async fn pause(&self) -> Result<()> {
        self.paused.store(true, Ordering::SeqCst);
        self.signal(Signal::STOP);
        for _ in 0..1000 {
            // Asked without consuming, and without reaping: the child's end is tokio's to collect.
            let options = WaitIdOptions::STOPPED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
            if matches!(
                rustix::process::waitid(WaitId::Pid(self.pid), options),
                Ok(Some(_))
            ) {
                return Ok(());
            }
            if !self.is_alive() {
                return Err(Error::conflict(format!("{} has just ended", self.what)));
            }
            sleep(Duration::from_millis(2)).await;
        }
        self.resume();
        Err(Error::failed(format!("{} does not stop on SIGSTOP", self.what)))
    }

    /// Lets it go on (SIGCONT).
    pub(crate) fn resume(&self) {
        self.paused.store(false, Ordering::SeqCst);
        self.signal(Signal::CONT);
    }

    /// The error for a process that ended where it should have begun to serve, with the end of its log.
    pub(crate) fn early_end(&self) -> Error {
        let how = self
            .exit
            .borrow()
            .map_or_else(|| "is still running".to_owned(), |status| status.to_string());
        Error::failed(format!(
            "{} ended before it served ({how}); the end of {}:\n{}",
            self.what,
            self.log.display(),
            log_tail(&self.log)
        ))
    }
}

/// The last lines of a log.
pub(crate) fn log_tail(path: &Path) -> String {
    use std::io::{Read, Seek, SeekFrom};
    let read = || -> io::Result<Vec<u8>> {
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        let _ = file.seek(SeekFrom::Start(length.saturating_sub(LOG_TAIL_BYTES)))?;
        let mut bytes = Vec::new();
        let _ = file.take(LOG_TAIL_BYTES).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    match read() {
        Ok(bytes) => String::from_utf8_lossy(&bytes).trim_end().to_owned(),
        Err(error) => format!("(cannot be read: {error})"),
    }
}

struct Request {
    command: Command,
    reply: oneshot::Sender<io::Result<Child>>,
}

/// Starts processes and remembers them.
#[derive(Debug)]
pub(crate) struct Launcher {
    requests: mpsc::Sender<Request>,
    wrapper: Option<(PathBuf, Vec<OsString>)>,
    console: Arc<Console>,
    started: Mutex<Vec<Process>>,
}

impl Launcher {
    /// Begins the launching thread.
    ///
    /// With `wrapper` (our own executable, and the words that make it `child`'s wrapper) children die with this process even when it is killed.
    ///
    /// # Errors
    /// The system's, for lack of a thread.
    pub(crate) fn new(wrapper: Option<(PathBuf, Vec<OsString>)>, console: Arc<Console>) -> io::Result<Self> {
        let (requests, mut queue) = mpsc::channel::<Request>(16);
        let runtime = tokio::runtime::Handle::current();
        let _detached = thread::Builder::new()
            .name("demo-launcher".to_owned())
            .spawn(move || {
                while let Some(mut request) = queue.blocking_recv() {
                    let _inside = runtime.enter();
                    let _ = request.reply.send(request.command.spawn());
                }
                drop(runtime);
                // SUBTLE: if this thread ended, its children would be killed; only the process's end may do that.
                loop {
                    thread::park();
                }
            })?;
        Ok(Self {
            requests,
            wrapper,
            console,
            started: Mutex::default(),
        })
    }

    /// Starts a process.
    ///
    /// # Errors
    /// It cannot be started, or its log not be written.
    pub(crate) async fn start(&self, program: &Program) -> Result<Process> {
        let doing = || format!("cannot start {} ({})", program.what, program.file.display());
        let command = self
            .command(program)
            .map_err(|error| Error::io(doing(), &error))?;
        let (reply, answer) = oneshot::channel();
        self.requests
            .send(Request { command, reply })
            .await
            .map_err(|_| Error::stopping())?;
        let child = answer
            .await
            .map_err(|_| Error::stopping())?
            .map_err(|error| Error::io(doing(), &error))?;
        let pid = child
            .id()
            .and_then(|id| i32::try_from(id).ok())
            .and_then(Pid::from_raw);
        let pid = pid.ok_or_else(|| Error::failed(format!("{} ended at once", program.what)))?;
        let (exited, exit) = watch::channel(None);
        let process = Process {
            pid,
            what: program.what.as_str().into(),
            log: program.log.as_path().into(),
            expected: Arc::default(),
            paused: Arc::default(),
            exit,
        };
        let mut started = self.started.lock().unwrap_or_else(PoisonError::into_inner);
        started.retain(Process::is_alive);
        started.push(process.clone());
        drop(started);
        tokio::spawn(reap(child, exited, process.clone(), Arc::clone(&self.console)));
        Ok(process)
    }

    /// Sends SIGKILL to all that still run, and does not wait.
    pub(crate) fn kill_all(&self) {
        for process in self.started.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            process.kill_now();
        }
    }

    fn command(&self, program: &Program) -> io::Result<Command> {
        let log = File::options().create(true).append(true).open(&program.log)?;
        let mut command = match &self.wrapper {
            Some((wrapper, first_args)) => {
                let mut command = Command::new(wrapper);
                let parent = std::process::id().to_string();
                command
                    .args(first_args)
                    .args(["--parent", &parent, "--"])
                    .arg(&program.file);
                command
            }
            None => Command::new(&program.file),
        };
        command
            .args(&program.args)
            .current_dir(&program.dir)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .process_group(0)
            .kill_on_drop(true);
        // A node's settings come from its file alone: a variable meant for one node would hit them all.
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("CARTOGRAPH_") {
                command.env_remove(name);
            }
        }
        command.envs(program.env.iter().map(|(name, value)| (name, value)));
        Ok(command)
    }
}

/// Collects a child's end, and says so when nobody asked for it.
async fn reap(
    mut child: Child,
    exited: watch::Sender<Option<ExitStatus>>,
    process: Process,
    console: Arc<Console>,
) {
    let Ok(status) = child.wait().await else { return };
    exited.send_replace(Some(status));
    if !process.expected.load(Ordering::SeqCst) {
        console.say(format!(
            "{} (process {}) ended by itself: {status}; see {}",
            process.what,
            process.pid(),
            process.log.display()
        ));
    }
}
