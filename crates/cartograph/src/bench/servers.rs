//! What is measured: a plain server, and a node with a server of the same program behind it, all on loopback ports.
//!
//! They die with this process, each by its own process id, and keep their files in a temporary directory.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use bytes::BytesMut;
use cartograph_resp::{Value, encode_command};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use super::client::Client;
use super::report::Memory;
use super::workload::LINES;
use super::{Load, Measured};
use crate::clock;
use crate::demo::redis;
use crate::exit::{Exit, Failure};

/// How long a server may take to answer.
const START_MAX: Duration = Duration::from_secs(20);

/// Keys written in one go while a server is prepared.
const FILL_BATCH: u32 = 500;

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// The plain server.
    Plain,
    /// The node.
    Node,
}

impl Target {
    pub(super) fn name(self) -> &'static str {
        match self {
            Target::Plain => "plain Redis",
            Target::Node => "the node",
        }
    }
}

/// The processes.
pub(super) struct Servers {
    plain: Child,
    behind: Child,
    node: Child,
    plain_port: u16,
    behind_port: u16,
    resp_port: u16,
    pub(super) version: String,
    _directory: TempDir,
}

/// CPU time so far, in nanoseconds.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Cpu {
    plain: u64,
    behind: u64,
    node: u64,
    /// This process and its children that have ended.
    client: u64,
}

impl Servers {
    /// Starts all three, and waits until they answer.
    ///
    /// # Errors
    /// There is no server program, or something does not start.
    pub(super) async fn start(server: Option<&Path>, persistence: &[&str]) -> Result<Servers, Failure> {
        let refused = |what: String| Failure::new(Exit::Refused, what);
        let (program, version) = match server {
            Some(program) => (program.to_owned(), program.display().to_string()),
            None => redis::find(std::env::var_os("PATH")).await.0.ok_or_else(|| {
                refused(
                    "there is no redis-server or valkey-server of version 6.2 or later on PATH".to_owned(),
                )
            })?,
        };
        let directory =
            tempfile::tempdir().map_err(|e| refused(format!("no temporary directory can be made: {e}")))?;
        let ports = Ports::free().map_err(|e| refused(format!("no free port: {e}")))?;
        let plain = start_redis(
            &program,
            ports.plain,
            &directory.path().join("plain"),
            persistence,
        )?;
        let behind = start_redis(
            &program,
            ports.behind,
            &directory.path().join("behind"),
            persistence,
        )?;
        for port in [ports.plain, ports.behind] {
            answers(port).await?;
        }
        let node = start_node(&ports, directory.path())?;
        let servers = Servers {
            plain,
            behind,
            node,
            plain_port: ports.plain,
            behind_port: ports.behind,
            resp_port: ports.resp,
            version,
            _directory: directory,
        };
        servers.node_writes().await?;
        Ok(servers)
    }

    /// Where it listens.
    pub(super) fn port(&self, target: Target) -> u16 {
        match target {
            Target::Plain => self.plain_port,
            Target::Node => self.resp_port,
        }
    }

    async fn node_writes(&self) -> Result<(), Failure> {
        let end = clock::now() + START_MAX;
        loop {
            let said = match ask(self.resp_port, &["SET", "bench:ready", "1"]).await {
                Ok(Value::Simple(_)) => return Ok(()),
                Ok(other) => format!("{other:?}"),
                Err(error) => error.to_string(),
            };
            if clock::now() >= end {
                return Err(Failure::new(
                    Exit::Refused,
                    format!("the node takes no writes: {said}"),
                ));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Puts the keys there that a load is about.
    ///
    /// # Errors
    /// The server cannot be reached.
    pub(super) async fn fill(&self, target: Target, load: Load) -> Result<(), Failure> {
        let value = "x".repeat(load.value_bytes as usize);
        let words = |n: u32| load.workload.prepared(&key(n), &value);
        self.write(self.port(target), load.keys, words).await
    }

    async fn write(
        &self,
        port: u16,
        keys: u32,
        words: impl Fn(u32) -> Option<Vec<String>>,
    ) -> Result<(), Failure> {
        let failed = |e: std::io::Error| {
            Failure::new(Exit::Unreachable, format!("port {port} cannot be prepared: {e}"))
        };
        let mut client = Client::connect(port).await.map_err(failed)?;
        for begin in (0..keys).step_by(FILL_BATCH as usize) {
            let mut bytes = BytesMut::new();
            let mut count = 0;
            for n in begin..keys.min(begin + FILL_BATCH) {
                if let Some(words) = words(n) {
                    encode_command(&words, &mut bytes);
                    count += 1;
                }
            }
            client.ask(&bytes, count).await.map_err(failed)?;
        }
        Ok(())
    }

    /// What keys and elements take in plain Redis and in the Redis behind the node.
    ///
    /// # Errors
    /// A server cannot be reached.
    pub(super) async fn memory(&self, keys: u32) -> Result<Vec<Memory>, Failure> {
        let mut found = Vec::new();
        let kinds = [
            ("a session of 64 bytes (SET)", 1, true),
            ("a cart of five lines (HSET)", LINES, false),
        ];
        for (what, elements, session) in kinds {
            let words = |n: u32| {
                let words = if session {
                    vec!["SET".to_owned(), format!("m:{n}"), "x".repeat(64)]
                } else {
                    let mut words = vec!["HSET".to_owned(), format!("mc:{n}")];
                    (0..LINES).for_each(|l| words.extend([format!("line{l}"), "1".to_owned()]));
                    words
                };
                Some(words)
            };
            let mut bytes = [0.0; 2];
            for (slot, target, behind) in [
                (0, Target::Plain, self.plain_port),
                (1, Target::Node, self.behind_port),
            ] {
                let before = used_memory(behind).await?;
                self.write(self.port(target), keys, words).await?;
                let grown = used_memory(behind).await? - before;
                if let Some(bytes) = bytes.get_mut(slot) {
                    *bytes = grown / f64::from(keys);
                }
            }
            found.push(Memory {
                what,
                elements,
                bytes,
            });
        }
        Ok(found)
    }

    /// CPU time so far.
    pub(super) fn cpu(&self) -> Cpu {
        let of = |child: &Child| child.id().map_or(0, |pid| cpu_ns(&format!("/proc/{pid}")));
        Cpu {
            plain: of(&self.plain),
            behind: of(&self.behind),
            node: of(&self.node),
            client: cpu_ns("/proc/self") + ended_children_ns(),
        }
    }
}

impl Cpu {
    /// What a measurement cost since `before`.
    pub(super) fn charge(&self, before: &Cpu, measured: &mut Measured, target: Target) {
        #[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
        let each =
            |now: u64, then: u64| now.saturating_sub(then) as f64 / 1e3 / measured.operations.max(1) as f64;
        let client = each(self.client, before.client);
        let (node, redis) = match target {
            Target::Plain => (0.0, each(self.plain, before.plain)),
            Target::Node => (each(self.node, before.node), each(self.behind, before.behind)),
        };
        measured.cpu_node_us = node;
        measured.cpu_redis_us = redis;
        measured.cpu_client_us = client;
    }
}

/// A key's name: as redis-benchmark writes its random numbers.
pub(super) fn key(number: u32) -> String {
    format!("{number:012}")
}

struct Ports {
    plain: u16,
    behind: u16,
    resp: u16,
}

impl Ports {
    /// Held until all are known, so that they differ.
    fn free() -> std::io::Result<Ports> {
        let listeners: Vec<_> = (0..3)
            .map(|_| std::net::TcpListener::bind(("127.0.0.1", 0)))
            .collect::<Result<_, _>>()?;
        let mut ports = listeners.iter().map(std::net::TcpListener::local_addr);
        let mut next = || ports.next().transpose().map(|a| a.map_or(0, |a| a.port()));
        Ok(Ports {
            plain: next()?,
            behind: next()?,
            resp: next()?,
        })
    }
}

fn start_redis(
    program: &Path,
    port: u16,
    directory: &PathBuf,
    persistence: &[&str],
) -> Result<Child, Failure> {
    let failed = |e: std::io::Error| {
        Failure::new(
            Exit::Refused,
            format!("{} cannot be started: {e}", program.display()),
        )
    };
    std::fs::create_dir_all(directory).map_err(failed)?;
    Command::new(program)
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", ""])
        .args(["--maxclients", "60000", "--maxmemory-policy", "noeviction"])
        .args(persistence)
        .arg("--dir")
        .arg(directory)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .map_err(failed)
}

fn start_node(ports: &Ports, directory: &Path) -> Result<Child, Failure> {
    let failed = |e: std::io::Error| Failure::new(Exit::Refused, format!("the node cannot be started: {e}"));
    let config = format!(
        "[region]\nname = 'bench'\nid = 1\n[http]\nlisten = '127.0.0.1:0'\n[grpc]\nlisten = '127.0.0.1:0'\n\
         [peer]\nlisten = '127.0.0.1:0'\n[resp]\nlisten = '127.0.0.1:{}'\nclients_max = 60000\n\
         [store]\nkind = 'redis'\nurl = 'redis://127.0.0.1:{}'\n[log]\nlevel = 'warn'\n",
        ports.resp, ports.behind
    );
    let path = directory.join("node.toml");
    std::fs::write(&path, config).map_err(failed)?;
    Command::new(std::env::current_exe().map_err(failed)?)
        .args(["node", "--config"])
        .arg(path)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::inherit())
        .kill_on_drop(true)
        .spawn()
        .map_err(failed)
}

async fn answers(port: u16) -> Result<(), Failure> {
    let end = clock::now() + START_MAX;
    while clock::now() < end {
        if ask(port, &["PING"]).await.is_ok() {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let what = format!("the server on port {port} does not answer within {START_MAX:?}");
    Err(Failure::new(Exit::Timeout, what))
}

async fn ask(port: u16, words: &[&str]) -> std::io::Result<Value> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    let mut bytes = BytesMut::new();
    encode_command(words, &mut bytes);
    stream.write_all(&bytes).await?;
    let mut reply = BytesMut::new();
    loop {
        if stream.read_buf(&mut reply).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        if let Some(value) = Value::decode(&mut reply).map_err(std::io::Error::other)? {
            return Ok(value);
        }
    }
}

async fn used_memory(port: u16) -> Result<f64, Failure> {
    let found = match ask(port, &["INFO", "memory"]).await {
        Ok(Value::Bulk(text)) => {
            let text = String::from_utf8_lossy(&text).into_owned();
            let line = text.lines().find_map(|l| l.strip_prefix("used_memory:"));
            line.and_then(|number| number.trim().parse().ok())
        }
        Ok(_) | Err(_) => None,
    };
    found.ok_or_else(|| Failure::new(Exit::Unreachable, format!("port {port} does not say its memory")))
}

/// CPU time of all of a process's threads, by the scheduler's own count. 0 where the system does not say.
fn cpu_ns(process: &str) -> u64 {
    let Ok(threads) = std::fs::read_dir(format!("{process}/task")) else {
        return 0;
    };
    let of = |thread: std::fs::DirEntry| {
        let text = std::fs::read_to_string(thread.path().join("schedstat")).ok()?;
        text.split_whitespace().next()?.parse::<u64>().ok()
    };
    threads.flatten().filter_map(of).sum()
}

/// CPU time of this process's children that have ended (redis-benchmark): fields 16 and 17 of its stat, in ticks of
/// 10 ms.
fn ended_children_ns() -> u64 {
    let Ok(text) = std::fs::read_to_string("/proc/self/stat") else {
        return 0;
    };
    let after_name = text.rsplit(')').next().unwrap_or_default();
    let fields: Vec<u64> = after_name
        .split_whitespace()
        .map(|f| f.parse().unwrap_or(0))
        .collect();
    let ticks = fields.get(13).unwrap_or(&0) + fields.get(14).unwrap_or(&0);
    ticks * 10_000_000
}
