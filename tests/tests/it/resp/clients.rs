//! Foreign clients and session stores, unchanged, against real regions: the programs in `tests/clients`.
//!
//! Libraries are installed once, at the versions that the programs' folders name, below the target directory. What is
//! missing to do so fails the test with how to get it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::OnceCell;

use crate::demo::harness::{Demo, eventually};

/// How long one program may take.
const PROGRAM_MAX: Duration = Duration::from_mins(3);

fn clients() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("clients")
}

/// Where libraries are installed.
fn installed() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target");
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or(root, PathBuf::from);
    target.join("tests").join("clients")
}

fn run(command: &mut Command, advice: &str) -> Output {
    let shown = format!("{command:?}");
    let output = command.stdin(Stdio::null()).output();
    let output = output.unwrap_or_else(|e| panic!("{shown}: {e}; {advice}"));
    let said = [&output.stdout[..], &output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(output.status.success(), "{shown} failed; {advice}\n{said}");
    output
}

/// A Python with the libraries, made once.
fn python() -> PathBuf {
    let home = installed().join("python");
    let wanted = clients().join("python/requirements.txt");
    let done = home.join("installed.txt");
    let interpreter = home.join("bin/python");
    let text = std::fs::read_to_string(&wanted).unwrap();
    if std::fs::read_to_string(&done).ok().as_ref() != Some(&text) {
        let advice = "Python 3 with venv and access to its package index is needed (Debian: apt-get install python3-venv)";
        run(
            Command::new("python3").args(["-m", "venv", "--clear"]).arg(&home),
            advice,
        );
        run(
            Command::new(&interpreter)
                .args(["-m", "pip", "install", "-q", "-r"])
                .arg(&wanted),
            advice,
        );
        std::fs::write(done, text).unwrap();
    }
    interpreter
}

/// A copy of the Node.js programs with the libraries beside them, made once.
fn node() -> PathBuf {
    let home = installed().join("node");
    let from = clients().join("node");
    std::fs::create_dir_all(&home).unwrap();
    for entry in std::fs::read_dir(&from).unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, home.join(path.file_name().unwrap())).unwrap();
    }
    let done = home.join("installed.json");
    let text = std::fs::read_to_string(home.join("package.json")).unwrap();
    if std::fs::read_to_string(&done).ok().as_ref() != Some(&text) {
        let advice = "Node.js 20 or later with npm and access to its registry is needed (Debian: apt-get install nodejs npm)";
        let mut npm = Command::new("npm");
        npm.args(["install", "--silent", "--no-audit", "--no-fund"]);
        run(npm.current_dir(&home), advice);
        std::fs::write(done, text).unwrap();
    }
    home
}

/// One program against the first two regions.
async fn program(demo: &Demo, mut command: tokio::process::Command) {
    let at = |region: usize| format!("127.0.0.1:{}", demo.regions[region].resp);
    command.env("REDIS_A", at(0)).env("REDIS_B", at(1));
    command.stdin(Stdio::null()).kill_on_drop(true);
    let shown = format!("{:?}", command.as_std());
    let ended = tokio::time::timeout(PROGRAM_MAX, command.output()).await;
    let output = ended.unwrap_or_else(|_| panic!("{shown} does not end")).unwrap();
    let said = [&output.stdout[..], &output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(output.status.success(), "{shown} failed:\n{said}");
    let checks = said.lines().filter(|line| line.starts_with("ok ")).count();
    assert!(checks > 0, "{shown} checked nothing:\n{said}");
    println!("{shown}: {checks} checks");
}

async fn demo() -> Demo {
    Demo::start_with(&["--store", "redis", "--regions", "us-central1,europe-west1"]).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn python_clients_and_sessions_run_unchanged() {
    static PYTHON: OnceCell<PathBuf> = OnceCell::const_new();
    let python = PYTHON
        .get_or_init(|| async { tokio::task::spawn_blocking(python).await.unwrap() })
        .await;
    let demo = demo().await;
    for name in ["everyday.py", "django_sessions.py", "flask_sessions.py"] {
        let mut command = tokio::process::Command::new(python);
        command.arg(name).current_dir(clients().join("python"));
        command.env("PYTHONDONTWRITEBYTECODE", "1");
        program(&demo, command).await;
    }
    demo.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn node_clients_and_sessions_run_unchanged() {
    let home = tokio::task::spawn_blocking(node).await.unwrap();
    let demo = demo().await;
    for name in ["node-redis.mjs", "ioredis.mjs", "express-session.mjs"] {
        let mut command = tokio::process::Command::new("node");
        command.arg(name).current_dir(&home);
        program(&demo, command).await;
    }
    demo.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ruby_client_the_command_line_and_the_exporter_run_unchanged() {
    let advice = "Debian: apt-get install ruby-redis redis-tools prometheus-redis-exporter";
    run(Command::new("ruby").args(["-e", "require 'redis'"]), advice);
    let demo = demo().await;
    let mut ruby = tokio::process::Command::new("ruby");
    ruby.arg("everyday.rb").current_dir(clients().join("ruby"));
    program(&demo, ruby).await;
    let port = demo.regions[0].resp.to_string();
    let cli = |words: &[&str]| {
        let output = run(Command::new("redis-cli").args(["-p", &port]).args(words), advice);
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(cli(&["SET", "cli", "1"]).trim(), "OK");
    assert_eq!(cli(&["-3", "HSET", "clih", "f", "v"]).trim(), "1");
    assert!(cli(&["-3", "HGETALL", "clih"]).contains('f'));
    assert!(cli(&["--bigkeys"]).contains("Biggest string found"));
    assert!(cli(&["--scan", "--pattern", "cli*"]).contains("clih"));
    exporter(&demo, advice).await;
    demo.stop().await;
}

/// The stock exporter, unchanged, finds what its dashboard shows.
async fn exporter(demo: &Demo, advice: &str) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let mut exporter = tokio::process::Command::new("prometheus-redis-exporter");
    exporter.args([
        "-redis.addr",
        &format!("redis://127.0.0.1:{}", demo.regions[0].resp),
    ]);
    exporter.args(["-web.listen-address", &address.to_string()]);
    exporter
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let child = exporter.kill_on_drop(true).spawn();
    let _child = child.unwrap_or_else(|e| panic!("prometheus-redis-exporter: {e}; {advice}"));
    let mut text = String::new();
    eventually("the exporter answers", PROGRAM_MAX, async || {
        text = scraped(address).await.unwrap_or_default();
        text.contains("redis_up 1")
    })
    .await;
    for name in [
        "redis_exporter_last_scrape_error{err=\"\"} 0",
        "redis_connected_clients ",
        "redis_blocked_clients ",
        "redis_commands_processed_total ",
        "redis_commands_total{cmd=\"hset\"}",
        "redis_commands_duration_seconds_total{cmd=\"hset\"}",
        "redis_memory_used_bytes ",
        "redis_memory_max_bytes ",
        "redis_db_keys{db=\"db0\"}",
        "redis_db_keys_expiring{db=\"db0\"}",
        "redis_keyspace_hits_total ",
        "redis_keyspace_misses_total ",
        "redis_expired_keys_total ",
        "redis_evicted_keys_total ",
        "redis_net_input_bytes_total ",
        "redis_net_output_bytes_total ",
        "redis_connections_received_total ",
        "redis_rejected_connections_total ",
        "redis_uptime_in_seconds ",
    ] {
        assert!(text.contains(name), "the exporter has no {name}:\n{text}");
    }
}

/// What an HTTP/1.0 client gets: to the end, in one piece.
async fn scraped(address: std::net::SocketAddr) -> std::io::Result<String> {
    let mut stream = tokio::net::TcpStream::connect(address).await?;
    stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").await?;
    let mut text = String::new();
    stream.read_to_string(&mut text).await?;
    Ok(text)
}
