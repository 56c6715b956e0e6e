//! A small driver of the project's own for the Maelstrom shim. It is not Maelstrom: it only speaks its protocol, with
//! processes and pipes, a network that delays, reorders, drops and is cut, and checks the simplest of what Maelstrom checks.
//! (Nodes in one process and under a seed are in the shim's own tests.)

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};

use crate::demo::harness::{binary, now};

const NODES: [&str; 3] = ["n1", "n2", "n3"];
const ANSWER_MAX: Duration = Duration::from_secs(20);

struct Driver {
    children: Vec<Child>,
    inputs: BTreeMap<String, ChildStdin>,
    messages: Receiver<Value>,
    on_the_way: Vec<(Instant, Value)>,
    answers: BTreeMap<u64, Value>,
    cut_off: Option<String>,
    rng: ChaCha8Rng,
    next_id: u64,
}

fn read(output: impl std::io::Read + Send + 'static, sender: SyncSender<Value>) {
    std::thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            let message = serde_json::from_str(&line).unwrap_or_else(|_| panic!("no message: {line}"));
            if sender.send(message).is_err() {
                return;
            }
        }
    });
}

impl Driver {
    fn start(workload: &str, seed: u64) -> Self {
        let (sender, messages) = sync_channel(100_000);
        let mut driver = Self {
            children: Vec::new(),
            inputs: BTreeMap::new(),
            messages,
            on_the_way: Vec::new(),
            answers: BTreeMap::new(),
            cut_off: None,
            rng: ChaCha8Rng::seed_from_u64(seed),
            next_id: 0,
        };
        for node in NODES {
            let mut child = Command::new(binary())
                .args(["maelstrom", "--workload", workload])
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            read(child.stdout.take().unwrap(), sender.clone());
            driver.inputs.insert(node.to_owned(), child.stdin.take().unwrap());
            driver.children.push(child);
        }
        for node in NODES {
            let init = json!({"type": "init", "node_id": node, "node_ids": NODES});
            assert_eq!(driver.ask(node, init)["type"], "init_ok");
        }
        driver
    }

    fn give(&mut self, message: &Value) {
        let node = message["dest"].as_str().unwrap();
        writeln!(self.inputs.get_mut(node).unwrap(), "{message}").unwrap();
    }

    /// Carries messages for a while, or until this answer is there.
    fn carry(&mut self, until: Instant, awaited: Option<u64>) {
        while now() < until {
            if awaited.is_some_and(|id| self.answers.contains_key(&id)) {
                return;
            }
            let due = self.on_the_way.iter().position(|(at, _)| *at <= now());
            if let Some(at) = due {
                let (_, message) = self.on_the_way.swap_remove(at);
                self.give(&message);
            }
            let Ok(message) = self.messages.recv_timeout(Duration::from_millis(2)) else {
                continue;
            };
            let (from, to) = (
                message["src"].as_str().unwrap(),
                message["dest"].as_str().unwrap(),
            );
            if to.starts_with('c') {
                let id = message["body"]["in_reply_to"].as_u64().unwrap();
                assert!(
                    self.answers.insert(id, message["body"].clone()).is_none(),
                    "two answers to {id}"
                );
            } else {
                let cut = self
                    .cut_off
                    .as_deref()
                    .is_some_and(|node| node == from || node == to);
                if !cut && !self.rng.random_bool(0.05) {
                    let delay = Duration::from_millis(self.rng.random_range(0..40));
                    self.on_the_way.push((now() + delay, message));
                }
            }
        }
    }

    fn ask(&mut self, node: &str, mut body: Value) -> Value {
        self.next_id += 1;
        let id = self.next_id;
        body["msg_id"] = json!(id);
        self.give(&json!({"src": "c1", "dest": node, "body": body}));
        self.carry(now() + ANSWER_MAX, Some(id));
        self.answers
            .remove(&id)
            .unwrap_or_else(|| panic!("{node} did not answer {body}"))
    }

    /// Asks until the node takes it: a node that has not met its peers yet refuses, definitely.
    fn insist(&mut self, node: &str, body: &Value) -> Value {
        let until = now() + ANSWER_MAX;
        loop {
            let answer = self.ask(node, body.clone());
            if answer["type"] != "error" || now() > until {
                return answer;
            }
            assert_eq!(answer["code"], 11, "{answer}");
            self.carry(now() + Duration::from_millis(100), None);
        }
    }

    /// Reads in every node until all say what is wanted.
    fn converges(&mut self, wanted: &dyn Fn(&Value) -> bool) {
        let until = now() + ANSWER_MAX;
        loop {
            let answers: Vec<Value> = NODES
                .iter()
                .map(|node| self.ask(node, json!({"type": "read"})))
                .collect();
            if answers.iter().all(wanted) {
                return;
            }
            assert!(now() < until, "no convergence: {answers:?}");
            self.carry(now() + Duration::from_millis(200), None);
        }
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        for child in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

#[test]
fn the_projects_own_driver_finds_sets_and_counters_whole_after_a_cut() {
    let mut driver = Driver::start("broadcast", 1);
    driver.insist("n1", &json!({"type": "topology", "topology": {}}));
    let mut sent = BTreeSet::new();
    for n in 0..45_i64 {
        if n == 9 {
            // The first ones are written while all meet; from here on n3 is alone.
            driver.cut_off = Some("n3".to_owned());
        }
        let node = NODES[usize::try_from(n % 3).unwrap()];
        let answer = driver.insist(node, &json!({"type": "broadcast", "message": n}));
        assert_eq!(answer["type"], "broadcast_ok", "{answer}");
        sent.insert(n);
    }
    driver.cut_off = None;
    driver.converges(&|answer| {
        let messages = answer["messages"].as_array().unwrap();
        messages
            .iter()
            .map(|n| n.as_i64().unwrap())
            .collect::<BTreeSet<i64>>()
            == sent
    });

    let mut driver = Driver::start("pn-counter", 2);
    let mut sum = 0;
    for n in 0..30_i64 {
        let delta = n * 7 - 80;
        let node = NODES[usize::try_from(n % 3).unwrap()];
        assert_eq!(
            driver.insist(node, &json!({"type": "add", "delta": delta}))["type"],
            "add_ok"
        );
        sum += delta;
    }
    driver.converges(&|answer| answer["value"] == json!(sum));
}

#[test]
fn the_projects_own_driver_is_given_no_id_twice() {
    let mut driver = Driver::start("unique-ids", 3);
    let mut ids = BTreeSet::new();
    for n in 0..60 {
        let id = driver.insist(NODES[n % 3], &json!({"type": "generate"}))["id"].to_string();
        assert!(ids.insert(id.clone()), "{id} twice");
    }
}
