//! A private Redis or Valkey server: finds the program on PATH, starts it with given arguments, waits until it
//! accepts connections, and kills it by its process id when dropped. For tests and tools; nothing here restarts or supervises.

use std::ffi::OsString;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The programs looked for, in order.
pub const PROGRAMS: [&str; 2] = ["redis-server", "valkey-server"];

/// The oldest version that counts as there.
pub const VERSION_MIN: (u32, u32) = (6, 2);

/// How long a server may take to answer.
pub const START_TIMEOUT: Duration = Duration::from_secs(20);

/// What a server writes when it accepts connections.
const READY: &str = "Ready to accept connections";

/// How many ports are tried.
const PORTS_TRIED: u32 = 3;

/// Why there is no server.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// No program of the kind on PATH.
    #[error("neither redis-server nor valkey-server, {}.{} or later, is on PATH{}; install one (Debian: apt-get install redis-server)", VERSION_MIN.0, VERSION_MIN.1, found_note(.too_old))]
    NotFound {
        /// Programs that were found, but are too old, with their versions.
        too_old: Vec<String>,
    },
    /// It could not be started, or read.
    #[error("{program} cannot be started")]
    Start {
        /// Which program.
        program: PathBuf,
        /// The system's words.
        #[source]
        source: std::io::Error,
    },
    /// It ended at once, or never accepted connections.
    #[error("{program} on port {port} does not answer: {log}")]
    NoAnswer {
        /// Which program.
        program: PathBuf,
        /// Its port.
        port: u16,
        /// The end of what it wrote.
        log: String,
    },
}

fn found_note(too_old: &[String]) -> String {
    if too_old.is_empty() {
        String::new()
    } else {
        format!(" (found {}, which is too old)", too_old.join(", "))
    }
}

/// A server program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// Where it is.
    pub path: PathBuf,
    /// Its version, as it prints it.
    pub version: String,
}

/// The first server program on PATH that is new enough.
///
/// # Errors
/// [`LaunchError::NotFound`].
pub fn find() -> Result<Program, LaunchError> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut too_old = Vec::new();
    for name in PROGRAMS {
        for directory in std::env::split_paths(&path) {
            let path = directory.join(name);
            let Some(version) = version_of(&path) else {
                continue;
            };
            if is_new_enough(&version) {
                return Ok(Program { path, version });
            }
            too_old.push(format!("{name} {version}"));
        }
    }
    Err(LaunchError::NotFound { too_old })
}

fn version_of(program: &Path) -> Option<String> {
    let output = Command::new(program)
        .arg("--version")
        .stdin(Stdio::null())
        .output()
        .ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    // "Redis server v=7.0.15 sha=..."
    let version = text.split_whitespace().find_map(|word| word.strip_prefix("v="))?;
    Some(version.to_owned())
}

fn is_new_enough(version: &str) -> bool {
    let mut parts = version.split('.').map(|p| p.parse().unwrap_or(0));
    (parts.next().unwrap_or(0), parts.next().unwrap_or(0)) >= VERSION_MIN
}

/// A port of the loopback interface that was free a moment ago.
///
/// # Errors
/// The system's.
pub fn free_port() -> std::io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

/// A running server, killed when dropped.
#[derive(Debug)]
pub struct PrivateServer {
    child: Child,
    port: u16,
}

impl PrivateServer {
    /// Starts a server on a loopback port, with its files in `directory`, and waits until it says that it accepts
    /// connections. Nothing is configured but what `arguments` say.
    ///
    /// # Errors
    /// See [`LaunchError`]; nothing is left running.
    #[expect(
        clippy::disallowed_methods,
        reason = "waits for a process; no runtime is needed here"
    )]
    pub fn start(
        program: &Program,
        port: u16,
        directory: &Path,
        arguments: &[&str],
    ) -> Result<Self, LaunchError> {
        let at = |source| LaunchError::Start {
            program: program.path.clone(),
            source,
        };
        let log = directory.join("server.log");
        // An earlier life may have written here.
        let from = std::fs::metadata(&log).map_or(0, |m| m.len());
        let mut command = Command::new(&program.path);
        let port_text = port.to_string();
        command.args(["--port", &port_text, "--bind", "127.0.0.1", "--daemonize", "no"]);
        command.args([OsString::from("--dir"), directory.into()]);
        command.args([OsString::from("--logfile"), log.clone().into()]);
        command.args(["--save", ""]).args(arguments);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let child = command.spawn().map_err(at)?;
        let mut server = PrivateServer { child, port };
        let deadline = Instant::now() + START_TIMEOUT;
        while !written_since(&log, from).contains(READY) {
            let ended = server.child.try_wait().map_err(at)?.is_some();
            if ended || Instant::now() > deadline {
                return Err(LaunchError::NoAnswer {
                    program: program.path.clone(),
                    port,
                    log: last_lines(&written_since(&log, from)),
                });
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(server)
    }

    /// The same on a port that is free; tries another where somebody was faster.
    ///
    /// # Errors
    /// See [`LaunchError`]; nothing is left running.
    pub fn start_anywhere(
        program: &Program,
        directory: &Path,
        arguments: &[&str],
    ) -> Result<Self, LaunchError> {
        let mut attempts = 0;
        loop {
            attempts += 1;
            let port = free_port().map_err(|source| LaunchError::Start {
                program: program.path.clone(),
                source,
            })?;
            match Self::start(program, port, directory, arguments) {
                Err(LaunchError::NoAnswer { .. }) if attempts < PORTS_TRIED => {}
                done => return done,
            }
        }
    }

    /// Its address.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Kills it as a crash would, and waits until it is gone.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for PrivateServer {
    fn drop(&mut self) {
        self.kill();
    }
}

fn written_since(log: &Path, from: u64) -> String {
    let bytes = std::fs::read(log).unwrap_or_default();
    let from = usize::try_from(from).unwrap_or(usize::MAX);
    String::from_utf8_lossy(bytes.get(from..).unwrap_or_default()).into_owned()
}

fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text.lines().rev().take(3).collect();
    if lines.is_empty() {
        return "it wrote no log".to_owned();
    }
    lines.into_iter().rev().collect::<Vec<_>>().join(" | ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_as_numbers() {
        assert!(is_new_enough("6.2.0") && is_new_enough("10.0.1") && !is_new_enough("6.0.16"));
        assert!(!is_new_enough("") && !is_new_enough("unstable"));
    }

    #[test]
    fn a_missing_server_is_named_with_what_was_found() {
        let error = LaunchError::NotFound {
            too_old: vec!["redis-server 5.0.7".to_owned()],
        };
        assert!(
            error
                .to_string()
                .contains("found redis-server 5.0.7, which is too old")
        );
    }
}
