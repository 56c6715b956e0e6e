//! The private Redis of a region: finding a program that will do, its arguments, and asking whether it serves.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::time::timeout;

/// Programs that will do, in the order in which they are looked for.
const PROGRAMS: [&str; 2] = ["redis-server", "valkey-server"];
/// The oldest version that will do; an older one counts as absent.
const VERSION_MIN: (u32, u32) = (6, 2);
/// How long a program may take to say its version, or a server to answer PING.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(3);

/// Which store the regions use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum StoreArg {
    /// A private Redis per region where the program is on PATH, else the embedded store.
    Auto,
    /// A private redis-server (or valkey-server) per region.
    Redis,
    /// The store that is built into the node.
    Embedded,
}

/// The store that was chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum StoreChoice {
    /// A private Redis for each region, run by this program.
    Redis {
        /// The executable.
        program: PathBuf,
    },
    /// Inside the node's own process.
    Embedded,
}

impl StoreChoice {
    /// The word that settings and the API use.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Self::Redis { .. } => "redis",
            Self::Embedded => "embedded",
        }
    }
}

/// Chooses the store, and says why: the lines are for people.
///
/// `path` is the value of PATH.
///
/// # Errors
/// `redis` was asked for and there is none that will do.
pub(crate) async fn choose(
    wanted: StoreArg,
    path: Option<OsString>,
) -> anyhow::Result<(StoreChoice, Vec<String>)> {
    if wanted == StoreArg::Embedded {
        return Ok((
            StoreChoice::Embedded,
            vec!["store: embedded (as asked for), inside each node".to_owned()],
        ));
    }
    let (found, mut lines) = find(path).await;
    match (found, wanted) {
        (Some((program, version)), _) => {
            lines.push(format!(
                "store: redis, one private {} ({version}) per region",
                program.display()
            ));
            Ok((StoreChoice::Redis { program }, lines))
        }
        (None, StoreArg::Redis) => {
            lines.push(format!(
                "--store redis needs {} of version {}.{} or later on PATH; install one, or use --store embedded",
                PROGRAMS.join(" or "),
                VERSION_MIN.0,
                VERSION_MIN.1
            ));
            Err(anyhow::anyhow!(lines.join("\n")))
        }
        (None, StoreArg::Auto | StoreArg::Embedded) => {
            lines.push(format!(
                "store: embedded, because there is no {} on PATH that will do",
                PROGRAMS.join(" or ")
            ));
            Ok((StoreChoice::Embedded, lines))
        }
    }
}

/// The first program on PATH that is new enough, with what it calls itself, and a line for each that is not.
pub(crate) async fn find(path: Option<OsString>) -> (Option<(PathBuf, String)>, Vec<String>) {
    let mut lines = Vec::new();
    for name in PROGRAMS {
        for dir in path.iter().flat_map(std::env::split_paths) {
            let program = dir.join(name);
            if !program.is_file() {
                continue;
            }
            let Some(said) = version_line(&program).await else {
                lines.push(format!(
                    "{} does not say its version: taken as absent",
                    program.display()
                ));
                continue;
            };
            match parse_version(&said) {
                Some((version, numbers)) if numbers >= VERSION_MIN => {
                    return (Some((program, version)), lines);
                }
                Some((version, _)) => lines.push(format!(
                    "{} is {version}, older than {}.{}: taken as absent",
                    program.display(),
                    VERSION_MIN.0,
                    VERSION_MIN.1
                )),
                None => lines.push(format!(
                    "{} says {said:?}, which names no version: taken as absent",
                    program.display()
                )),
            }
        }
    }
    (None, lines)
}

async fn version_line(program: &Path) -> Option<String> {
    let mut command = Command::new(program);
    command
        .arg("--version")
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    let output = timeout(ANSWER_TIMEOUT, command.output()).await.ok()?.ok()?;
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines().next().map(|line| line.chars().take(200).collect())
}

/// Finds `v=7.0.15` in `Redis server v=7.0.15 sha=...`.
fn parse_version(line: &str) -> Option<(String, (u32, u32))> {
    let version = line.split_whitespace().find_map(|word| word.strip_prefix("v="))?;
    let mut numbers = version.split('.').map(str::parse::<u32>);
    let major = numbers.next()?.ok()?;
    let minor = numbers.next()?.ok()?;
    Some((version.to_owned(), (major, minor)))
}

/// The arguments of a private Redis: every write on disk before its reply, nothing ever evicted.
///
/// Its data is in the directory where it runs.
pub(crate) fn arguments(address: SocketAddr) -> Vec<OsString> {
    let (host, port) = (address.ip().to_string(), address.port().to_string());
    // Beyond the loopback address Redis takes no strangers without a password, unless told that the network is private.
    let protected = if address.ip().is_loopback() { "yes" } else { "no" };
    [
        "--port",
        &port,
        "--bind",
        &host,
        "--protected-mode",
        protected,
        "--daemonize",
        "no",
        "--save",
        "",
        "--appendonly",
        "yes",
        "--appendfsync",
        "always",
        "--maxmemory-policy",
        "noeviction",
        "--tcp-backlog",
        "128",
    ]
    .iter()
    .map(OsString::from)
    .collect()
}

/// Whether a Redis at this address answers PING with PONG; one that is still loading does not.
pub(crate) async fn answers(address: SocketAddr) -> bool {
    let ask = async {
        let mut stream = TcpStream::connect(address).await.ok()?;
        stream.write_all(b"PING\r\n").await.ok()?;
        let mut reply = [0_u8; 7];
        let _ = stream.read_exact(&mut reply).await.ok()?;
        Some(reply == *b"+PONG\r\n")
    };
    timeout(ANSWER_TIMEOUT, ask).await.ok().flatten().unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// A directory with programs that print these lines.
    fn programs(lines: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (name, line) in lines {
            let path = dir.path().join(name);
            fs::write(&path, format!("#!/bin/sh\necho '{line}'\n")).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        dir
    }

    #[tokio::test]
    async fn an_old_redis_counts_as_absent_and_is_said_aloud() {
        let dir = programs(&[(
            "redis-server",
            "Redis server v=6.0.16 sha=00000000:0 malloc=jemalloc",
        )]);
        let path = Some(dir.path().as_os_str().to_owned());
        let (choice, lines) = choose(StoreArg::Auto, path.clone()).await.unwrap();
        assert_eq!(choice, StoreChoice::Embedded);
        let said = lines.join("\n");
        assert!(
            said.contains("is 6.0.16, older than 6.2: taken as absent"),
            "{said}"
        );
        assert!(said.contains("store: embedded"), "{said}");
        let error = choose(StoreArg::Redis, path).await.unwrap_err().to_string();
        assert!(
            error.contains("6.0.16") && error.contains("6.2 or later"),
            "{error}"
        );
    }

    #[tokio::test]
    async fn valkey_stands_in_for_an_old_redis() {
        let dir = programs(&[
            ("redis-server", "Redis server v=5.0.7 sha=0"),
            ("valkey-server", "Valkey server v=8.0.1 sha=00000000:0"),
        ]);
        let (choice, lines) = choose(StoreArg::Auto, Some(dir.path().as_os_str().to_owned()))
            .await
            .unwrap();
        assert_eq!(
            choice,
            StoreChoice::Redis {
                program: dir.path().join("valkey-server")
            }
        );
        assert!(
            lines.last().unwrap().contains("valkey-server (8.0.1)"),
            "{lines:?}"
        );
        assert_eq!(lines.len(), 2, "{lines:?}");
    }

    #[tokio::test]
    async fn embedded_asks_no_program_and_an_empty_path_has_none() {
        let (choice, _) = choose(StoreArg::Embedded, None).await.unwrap();
        assert_eq!(choice, StoreChoice::Embedded);
        let (choice, lines) = choose(StoreArg::Auto, Some(OsString::new())).await.unwrap();
        assert_eq!(choice, StoreChoice::Embedded);
        assert_eq!(lines.len(), 1, "{lines:?}");
    }

    #[test]
    fn versions_are_read_by_number_and_not_by_letter() {
        assert_eq!(
            parse_version("Redis server v=10.1.0 sha=0"),
            Some(("10.1.0".to_owned(), (10, 1)))
        );
        assert_eq!(
            parse_version("Redis server v=7.0.15"),
            Some(("7.0.15".to_owned(), (7, 0)))
        );
        for line in ["", "Redis server", "v=", "v=7", "v=x.y"] {
            assert_eq!(parse_version(line), None, "{line}");
        }
        assert!((6, 10) >= VERSION_MIN && (6, 1) < VERSION_MIN);
    }
}
