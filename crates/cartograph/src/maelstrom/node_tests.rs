//! Nodes in one process, with a network between them that delays, drops and is cut: seeded, in virtual time.

use std::collections::BTreeSet;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;

/// Where virtual time begins, Unix milliseconds.
const EPOCH_MS: u64 = 1_700_000_000_000;

struct Net {
    nodes: BTreeMap<String, Node>,
    on_the_way: Vec<(u64, Value)>,
    answers: Vec<Value>,
    /// Pairs between which nothing passes.
    cut: BTreeSet<(String, String)>,
    now_ms: u64,
    rng: ChaCha8Rng,
    next_id: u64,
}

fn at(ms: u64) -> Now {
    Now {
        wall_ms: EPOCH_MS + ms,
        store_ms: EPOCH_MS + ms,
        monotonic_ms: ms,
    }
}

impl Net {
    fn new(workload: Workload, seed: u64) -> Self {
        let names = ["n1", "n2", "n3"];
        let mut net = Self {
            nodes: BTreeMap::new(),
            on_the_way: Vec::new(),
            answers: Vec::new(),
            cut: BTreeSet::new(),
            now_ms: 0,
            rng: ChaCha8Rng::seed_from_u64(seed),
            next_id: 0,
        };
        for (name, random) in names.iter().zip(1..) {
            let init = json!({"type": "init", "node_id": name, "node_ids": names});
            let mut node = Node::new(workload, &init, EPOCH_MS, random).unwrap();
            let sent = node.start(at(0));
            net.nodes.insert((*name).to_owned(), node);
            net.send(sent);
        }
        net
    }

    fn send(&mut self, messages: Vec<Value>) {
        for message in messages {
            let field = |name: &str| message[name].as_str().unwrap().to_owned();
            if field("dest").starts_with('c') {
                self.answers.push(message);
            } else if !self.cut.contains(&(field("src"), field("dest"))) && !self.rng.random_bool(0.1) {
                let delay = self.rng.random_range(1..80);
                self.on_the_way.push((self.now_ms + delay, message));
            }
        }
    }

    fn run(&mut self, ms: u64) {
        for _ in 0..ms / 10 {
            self.now_ms += 10;
            let (due, later) = std::mem::take(&mut self.on_the_way)
                .into_iter()
                .partition::<Vec<_>, _>(|(at, _)| *at <= self.now_ms);
            self.on_the_way = later;
            for (_, message) in due {
                let name = message["dest"].as_str().unwrap();
                let sent = self
                    .nodes
                    .get_mut(name)
                    .unwrap()
                    .receive(&message, at(self.now_ms));
                self.send(sent);
            }
            let names: Vec<String> = self.nodes.keys().cloned().collect();
            for name in names {
                let sent = self.nodes.get_mut(&name).unwrap().tick(at(self.now_ms));
                self.send(sent);
            }
        }
    }

    /// Asks a node and gives back its answer, which comes at once where it comes at all.
    fn ask(&mut self, node: &str, mut body: Value) -> Value {
        self.next_id += 1;
        body["msg_id"] = json!(self.next_id);
        let message = json!({"src": "c1", "dest": node, "body": body});
        let sent = self
            .nodes
            .get_mut(node)
            .unwrap()
            .receive(&message, at(self.now_ms));
        self.send(sent);
        let answer = self
            .answers
            .iter()
            .rev()
            .find(|m| m["body"]["in_reply_to"] == json!(self.next_id));
        answer.map(|m| m["body"].clone()).unwrap_or_default()
    }

    fn isolate(&mut self, node: &str) {
        for other in ["n1", "n2", "n3"] {
            self.cut.insert((node.to_owned(), other.to_owned()));
            self.cut.insert((other.to_owned(), node.to_owned()));
        }
    }
}

#[test]
fn a_set_grows_on_both_sides_of_a_cut_and_is_the_same_everywhere_after_it() {
    for seed in 0..4 {
        let mut net = Net::new(Workload::GSet, seed);
        net.run(3_000);
        net.isolate("n3");
        let mut added = Vec::new();
        for n in 0..60 {
            let node = ["n1", "n2", "n3"][n % 3];
            let answer = net.ask(node, json!({"type": "add", "element": n}));
            assert_eq!(answer["type"], "add_ok", "seed {seed}: {answer}");
            added.push(json!(n));
            net.run(50);
        }
        assert_ne!(net.ask("n1", json!({"type": "read"}))["value"], json!(added));
        net.cut.clear();
        net.run(8_000);
        for node in ["n1", "n2", "n3"] {
            let answer = net.ask(node, json!({"type": "read"}));
            let mut value = answer["value"].as_array().unwrap().clone();
            value.sort_by_key(serde_json::Value::as_i64);
            assert_eq!(value, added, "seed {seed}, {node}");
        }
    }
}

#[test]
fn a_counter_is_exact_after_a_cut() {
    let mut net = Net::new(Workload::PnCounter, 9);
    net.run(3_000);
    net.isolate("n1");
    let mut sum = 0;
    for n in 0..50_i64 {
        let (node, delta) = (
            ["n1", "n2", "n3"][usize::try_from(n % 3).unwrap()],
            (n * 7_919) % 100 - 50,
        );
        assert_eq!(
            net.ask(node, json!({"type": "add", "delta": delta}))["type"],
            "add_ok"
        );
        sum += delta;
        net.run(20);
    }
    net.cut.clear();
    net.run(8_000);
    for node in ["n1", "n2", "n3"] {
        assert_eq!(
            net.ask(node, json!({"type": "read"}))["value"],
            json!(sum),
            "{node}"
        );
    }
}

#[test]
fn ids_are_unique_and_transactions_are_answered_while_cut_off() {
    let mut net = Net::new(Workload::UniqueIds, 3);
    net.run(3_000);
    net.isolate("n2");
    let mut ids = BTreeSet::new();
    for n in 0..90 {
        let id = net.ask(["n1", "n2", "n3"][n % 3], json!({"type": "generate"}))["id"].to_string();
        assert!(ids.insert(id.clone()), "{id} twice");
    }
    let mut net = Net::new(Workload::TxnRwRegister, 3);
    net.run(3_000);
    net.isolate("n2");
    let answer = net.ask(
        "n2",
        json!({"type": "txn", "txn": [["w", 1, 5], ["r", 1, null], ["r", 2, null]]}),
    );
    assert_eq!(answer["txn"], json!([["w", 1, 5], ["r", 1, 5], ["r", 2, null]]));
    net.cut.clear();
    net.run(5_000);
    let answer = net.ask("n1", json!({"type": "txn", "txn": [["r", 1, null]]}));
    assert_eq!(answer["txn"], json!([["r", 1, 5]]));
}

#[test]
fn what_makes_no_sense_is_answered_with_an_error_and_changes_nothing() {
    let mut net = Net::new(Workload::GSet, 1);
    net.run(3_000);
    let answer = net.ask("n1", json!({"type": "add", "element": "x"}));
    assert_eq!((&answer["type"], &answer["code"]), (&json!("error"), &json!(12)));
    assert_eq!(
        net.ask("n1", json!({"type": "send", "key": 1}))["code"],
        json!(10)
    );
    let nonsense = json!({"src": "n2", "dest": "n1", "body": {"type": "stream", "epoch": 1, "ack": 0, "number": 0, "bytes": "zz"}});
    assert!(
        net.nodes
            .get_mut("n1")
            .unwrap()
            .receive(&nonsense, at(net.now_ms))
            .is_empty()
    );
    assert_eq!(net.ask("n1", json!({"type": "read"}))["value"], json!([]));
    assert!(
        Node::new(
            Workload::GSet,
            &json!({"node_id": "n9", "node_ids": ["n1"]}),
            1,
            1
        )
        .is_none()
    );
}
