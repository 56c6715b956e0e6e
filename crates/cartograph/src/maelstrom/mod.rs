//! `cartograph maelstrom`: the sans-IO core as a node of Maelstrom, Jepsen's workbench for distributed systems.
//!
//! An outside judge: Maelstrom starts this command several times, makes the network between them (latency, loss,
//! partitions), plays clients, and checks what they were told. Nothing of the project's own tests is in it. Messages come as
//! JSON lines on stdin and go out on stdout; [`node`] has the shard machine, [`link`] makes streams out of messages,
//! [`workload`] says what Maelstrom's operations are to it. How to run it: docs/operating/chaos-maelstrom.md.

mod link;
mod node;
mod workload;

use std::io::{BufRead, Write};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use cartograph_engine::api::Now;
use serde_json::{Value, json};

use self::node::Node;
pub(crate) use self::workload::Workload;
use crate::clock;
use crate::exit::{Exit, Failure};

/// Lines that wait to be handled: past it stdin is not read, and the sender waits.
const LINES_MAX: usize = 1_024;
/// The longest line that is read, in bytes.
const LINE_BYTES_MAX: u64 = 64 << 20;
/// Time between two ticks.
const TICK: Duration = Duration::from_millis(20);

/// What `cartograph maelstrom` may be asked.
#[derive(clap::Args, Debug)]
#[command(about = "Be a node of Maelstrom, Jepsen's workbench: JSON lines on stdin and stdout")]
pub(crate) struct Args {
    /// The workload that Maelstrom runs: it does not tell its nodes
    #[arg(long, value_enum, env = "CARTOGRAPH_MAELSTROM_WORKLOAD")]
    workload: Workload,
}

/// Serves until stdin ends.
///
/// # Errors
/// Stdout cannot be written.
pub(crate) fn run(args: &Args) -> Result<Exit, Failure> {
    let (sender, lines) = sync_channel(LINES_MAX);
    // Detached: it ends with stdin, or with the process.
    let _reading = std::thread::spawn(move || read_lines(&sender));
    serve(args.workload, &lines)?;
    Ok(Exit::Success)
}

fn read_lines(sender: &SyncSender<Value>) {
    let mut input = std::io::stdin().lock();
    loop {
        let mut line = Vec::new();
        let mut bounded = std::io::Read::take(&mut input, LINE_BYTES_MAX);
        match bounded.read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        match serde_json::from_slice(&line) {
            Ok(message) => {
                if sender.send(message).is_err() {
                    return;
                }
            }
            Err(error) => {
                let _ = writeln!(std::io::stderr().lock(), "a line that is no message: {error}");
            }
        }
    }
}

fn serve(workload: Workload, lines: &Receiver<Value>) -> Result<(), Failure> {
    let began = clock::now();
    let mut node: Option<Node> = None;
    let mut ticked = began;
    loop {
        let message = match lines.recv_timeout(TICK) {
            Ok(message) => Some(message),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => return Ok(()),
        };
        let mut out = Vec::new();
        if let Some(message) = message {
            match &mut node {
                Some(node) => out.extend(node.receive(&message, readings(began))),
                None => out.extend(init(workload, &message, &mut node, began)),
            }
        }
        if let Some(node) = &mut node
            && ticked.elapsed() >= TICK
        {
            ticked = clock::now();
            out.extend(node.tick(readings(began)));
        }
        print(&out)?;
    }
}

/// The first message says who we are.
fn init(workload: Workload, message: &Value, node: &mut Option<Node>, began: Instant) -> Vec<Value> {
    let body = message.get("body").cloned().unwrap_or_default();
    let epoch = clock::unix_ms();
    let random = u16::try_from(clock::fresh() & 0xffff).unwrap_or_default();
    let reply_to = |body: Value| json!({"src": body_name(message), "dest": message.get("src"), "body": body});
    let Some(mut new) = Node::new(workload, &body, epoch, random) else {
        let text = "expected init with node_id and node_ids";
        let error = json!({"type": "error", "code": 12, "text": text, "in_reply_to": body.get("msg_id")});
        return vec![reply_to(error)];
    };
    let mut out = new.start(readings(began));
    out.insert(
        0,
        reply_to(json!({"type": "init_ok", "in_reply_to": body.get("msg_id")})),
    );
    *node = Some(new);
    out
}

fn body_name(message: &Value) -> Option<&Value> {
    message.get("dest")
}

fn readings(began: Instant) -> Now {
    let wall_ms = clock::unix_ms();
    Now {
        wall_ms,
        store_ms: wall_ms,
        monotonic_ms: u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
    }
}

fn print(messages: &[Value]) -> Result<(), Failure> {
    if messages.is_empty() {
        return Ok(());
    }
    let mut out = std::io::stdout().lock();
    for message in messages {
        writeln!(out, "{message}")?;
    }
    Ok(out.flush()?)
}
