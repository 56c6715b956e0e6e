//! Drives the `cartograph` binary against a small world that keeps the HTTP contract in memory.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test of its own: what goes wrong here is a failure, and it may read clocks"
)]

mod cart;
mod load;
mod operating;
mod shell;
mod status;
mod world;

use std::process::{Output, Stdio};
use std::time::Duration;

use serde_json::Value;
use tokio::process::{Child, Command};

/// No command under test takes longer; one that hangs fails its test instead of the whole run.
const PATIENCE: Duration = Duration::from_mins(1);

/// What a command did.
#[derive(Debug)]
struct Ran {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Ran {
    fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    #[track_caller]
    fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self:?}");
        self
    }
}

fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cartograph"));
    command
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command.env_remove("NO_COLOR").env_remove("CLICOLOR_FORCE");
    command
}

async fn run(args: &[&str]) -> Ran {
    finish(command(args).spawn().unwrap()).await
}

async fn finish(child: Child) -> Ran {
    let Output {
        status,
        stdout,
        stderr,
    } = tokio::time::timeout(PATIENCE, child.wait_with_output())
        .await
        .expect("the command hangs")
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ran {
        code: status.code(),
        stdout: text(stdout),
        stderr: text(stderr),
    }
}

/// An address at which nobody listens.
async fn nobody() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}
