//! What of the machine's own means can be had: root, namespaces, packet filters, small file systems, a clock that lies.
//!
//! Some faults need more than a process may do by itself. What is missing is said aloud, with what would give it; a fault
//! that was asked for by name and cannot be made is an error, one that came with `all` is skipped and counted as skipped.
//!
//! Mounts and namespaces are made inside a mount namespace (and, for `--network namespaces`, a network namespace) of this
//! run's own: the command starts itself anew under `unshare`. When the last process of the run has ended, however it ended,
//! the kernel takes everything back.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::plan::Nemesis;

/// Set in the process that runs under `unshare`, to what was unshared.
pub(crate) const INSIDE: &str = "CARTOGRAPH_CHAOS_INSIDE";

/// Where distributions put the library that lies about the time.
const FAKETIME: [&str; 5] = [
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib64/faketime/libfaketimeMT.so.1",
    "/usr/lib/faketime/libfaketimeMT.so.1",
    "/usr/local/lib/faketime/libfaketimeMT.so.1",
];

/// Which separate namespaces the run needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// Its own mounts.
    pub(crate) mounts: bool,
    /// Its own network.
    pub(crate) network: bool,
}

/// Whether we are root.
pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Whether a program is on PATH.
pub(crate) fn has(program: &str) -> bool {
    let path = std::env::var_os("PATH");
    path.iter()
        .flat_map(std::env::split_paths)
        .any(|dir| dir.join(program).is_file())
}

/// The library that lies about the time, where it is installed.
pub(crate) fn faketime() -> Option<PathBuf> {
    FAKETIME.iter().map(PathBuf::from).find(|path| path.is_file())
}

/// Why a nemesis cannot be had here; nothing when it can.
pub(crate) fn why_not(nemesis: Nemesis, redis: bool, namespaces: bool) -> Option<String> {
    if nemesis.needs_redis() && !redis {
        return Some("the stores are embedded; it needs --store redis".to_owned());
    }
    match nemesis {
        Nemesis::DiskFull if !is_root() => {
            Some("it needs root, to mount a file system of limited size for a store".to_owned())
        }
        Nemesis::DiskFull if !has("unshare") || !has("mount") => {
            Some("it needs `unshare` and `mount` (util-linux)".to_owned())
        }
        Nemesis::ClockSkew if !cfg!(target_os = "linux") => Some("it needs Linux".to_owned()),
        Nemesis::ClockSkew if faketime().is_none() => {
            Some("it needs libfaketime (apt-get install libfaketime)".to_owned())
        }
        Nemesis::SlowPeers if namespaces => Some(
            "between network namespaces packets are dropped, not delayed; use --network proxy".to_owned(),
        ),
        Nemesis::DiskFull
        | Nemesis::ClockSkew
        | Nemesis::SlowPeers
        | Nemesis::PartitionFull
        | Nemesis::PartitionOneWay
        | Nemesis::PartitionPartial
        | Nemesis::PartitionFlapping
        | Nemesis::KillNode
        | Nemesis::PauseNode
        | Nemesis::KillStore
        | Nemesis::PauseStore
        | Nemesis::Wipe
        | Nemesis::Rollback
        | Nemesis::Oom
        | Nemesis::ReadOnly
        | Nemesis::SlowStore
        | Nemesis::Churn => None,
    }
}

/// Why regions cannot have network namespaces here; nothing when they can.
pub(crate) fn why_no_namespaces() -> Option<String> {
    if !cfg!(target_os = "linux") {
        return Some("network namespaces are Linux's".to_owned());
    }
    if !is_root() {
        return Some("network namespaces need root".to_owned());
    }
    let missing: Vec<&str> = [("unshare", "util-linux"), ("ip", "iproute2"), ("nft", "nftables")]
        .iter()
        .filter(|(program, _)| !has(program))
        .map(|(_, package)| *package)
        .collect();
    (!missing.is_empty()).then(|| format!("network namespaces need {} (apt-get install)", missing.join(", ")))
}

/// Becomes the same command in namespaces of its own; returns only where that is done already, not needed, or failed.
///
/// # Errors
/// `unshare` cannot be run.
pub(crate) fn enter(wanted: Wanted) -> Result<(), String> {
    if !(wanted.mounts || wanted.network) || std::env::var_os(INSIDE).is_some() {
        return Ok(());
    }
    let program =
        std::env::current_exe().map_err(|error| format!("cannot find this program's own file: {error}"))?;
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private"]);
    if wanted.network {
        command.arg("--net");
    }
    let error = command
        .arg("--")
        .arg(program)
        .args(std::env::args_os().skip(1))
        .env(INSIDE, "1")
        .exec();
    Err(format!("cannot run `unshare`: {error}"))
}

/// Runs a program of the system to its end.
///
/// # Errors
/// It cannot be run, or says no: its own words.
pub(crate) fn run(program: &str, args: &[&str]) -> Result<(), String> {
    let output = Command::new(program)
        .args(args)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("cannot run `{program}`: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("`{program} {}`: {}", args.join(" "), said.trim()))
}

/// Mounts an empty file system of limited size.
///
/// # Errors
/// As [`run`].
pub(crate) fn mount_small(dir: &Path, mebibytes: u64) -> Result<(), String> {
    let (size, dir) = (format!("size={mebibytes}m"), dir.display().to_string());
    run("mount", &["-t", "tmpfs", "-o", &size, "chaos", &dir])
}

/// The environment in which a process reads its clocks' offset from a file; monotonic clocks are left alone.
pub(crate) fn lying_clock(library: &Path, file: &Path) -> Vec<(OsString, OsString)> {
    let pair = |name: &str, value: OsString| (OsString::from(name), value);
    vec![
        pair("LD_PRELOAD", library.as_os_str().to_owned()),
        pair("FAKETIME_TIMESTAMP_FILE", file.as_os_str().to_owned()),
        // Read again at most this many seconds later: jumps are seen while the process runs.
        pair("FAKETIME_CACHE_DURATION", "1".into()),
        pair("FAKETIME_DONT_FAKE_MONOTONIC", "1".into()),
        pair("DONT_FAKE_MONOTONIC", "1".into()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_had_says_what_would_give_it() {
        assert!(
            why_not(Nemesis::Oom, false, false)
                .unwrap()
                .contains("--store redis")
        );
        assert!(
            why_not(Nemesis::SlowPeers, true, true)
                .unwrap()
                .contains("--network proxy")
        );
        assert_eq!(why_not(Nemesis::PartitionFull, true, true), None);
        assert_eq!(why_not(Nemesis::Wipe, false, false), None);
    }

    #[test]
    fn a_program_that_says_no_is_quoted() {
        let error = run("sh", &["-c", "echo too bad >&2; exit 3"]).unwrap_err();
        assert!(error.contains("too bad"), "{error}");
        assert!(run("no-such-program-at-all", &[]).is_err());
        assert_eq!(run("sh", &["-c", "exit 0"]), Ok(()));
    }
}
