//! The worked cases of docs/semantics.md between real regions: each step a command on a region's Redis door.
//!
//! All cases are played side by side, each on keys of its own: while they write, every link is cut; where they say
//! `sync`, the links are healed and the regions converge. Cases that need two equal clock readings are played at engine
//! level, and so are not played here.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use cartograph_resp::{Value as Reply, table};
use serde_json::Value;

use super::client::Client;
use crate::demo::harness::Demo;

const VECTORS: &str = include_str!("../../../../crates/engine/tests/vectors/vectors.json");

/// What is not built yet.
const LATER: &[&str] = &["list", "stream"];

/// Steps of one case are so far apart at least, so that the order of clocks is the order of steps.
const GAP: Duration = Duration::from_millis(5);

/// One case: what is left to do, in order.
struct Case {
    id: String,
    steps: Vec<Step>,
    next: usize,
}

enum Step {
    Sync,
    Sleep(u64),
    Do { region: usize, step: Value },
}

fn region(step: &Value) -> usize {
    match step["region"].as_str() {
        Some("A") => 0,
        Some("B") => 1,
        Some("C") => 2,
        other => panic!("no such region: {other:?}"),
    }
}

fn needs_equal_clocks(case: &Value) -> bool {
    if case.get("same_timestamp_t").is_some() {
        return true;
    }
    let mut seen = BTreeSet::new();
    let steps = case["steps"].as_array().unwrap().iter();
    steps
        .filter(|s| s.get("region").is_some() && s.get("expect").is_none())
        .any(|s| !seen.insert(s["t"].as_u64().unwrap()))
}

fn case(case: &Value) -> Case {
    let nothing = Vec::new();
    let steps = case["steps"].as_array().unwrap();
    let implied = case["implied"].as_array().unwrap_or(&nothing);
    let last = steps.last().map_or(0, |s| s["t"].as_u64().unwrap());
    let setup = case["setup"].as_array().unwrap_or(&nothing);
    let all: Vec<&Value> = setup.iter().chain(steps).collect();
    let mut found = Vec::new();
    for (i, step) in all.iter().enumerate() {
        let t = step["t"].as_u64().unwrap();
        found.push(if step["sync"] == true {
            Step::Sync
        } else if let Some(ms) = step["sleep_ms"].as_u64() {
            Step::Sleep(ms)
        } else {
            Step::Do {
                region: region(step),
                step: (*step).clone(),
            }
        });
        let next = all.get(i + 1).map(|s| s["t"].as_u64().unwrap());
        if next != Some(t) && i >= setup.len() {
            let due =
                |c: &&Value| c["after_t"].as_u64() == Some(t) || (c.get("after").is_some() && t == last);
            for step in implied.iter().filter(due) {
                found.push(Step::Do {
                    region: region(step),
                    step: step.clone(),
                });
            }
        }
    }
    Case {
        id: case["id"].as_str().unwrap().to_owned(),
        steps: found,
        next: 0,
    }
}

/// The words of a command, on keys of this case's own.
fn words(id: &str, command: &Value) -> Vec<Bytes> {
    let text = |w: &Value| Bytes::copy_from_slice(w.as_str().unwrap().as_bytes());
    let mut words: Vec<Bytes> = command.as_array().unwrap().iter().map(text).collect();
    let info = table::resolve(&words).unwrap();
    for at in table::key_positions(info, &words).unwrap() {
        words[at] = Bytes::from([id.as_bytes(), b":", &words[at]].concat());
    }
    words
}

/// A reply as JSON.
fn json(reply: &Reply) -> Value {
    match reply {
        Reply::Simple(text) => text.as_ref().into(),
        Reply::Error(text) => format!("error: {text}").into(),
        Reply::Integer(n) => (*n).into(),
        Reply::Bulk(bytes) => String::from_utf8(bytes.to_vec()).unwrap().into(),
        Reply::Null | Reply::NullArray => Value::Null,
        Reply::Array(items) => items.iter().map(json).collect(),
        other => panic!("no RESP2 reply: {other:?}"),
    }
}

fn sorted(mut items: Vec<Value>) -> Vec<Value> {
    items.sort_by_key(Value::to_string);
    items
}

fn by_field(flat: &[Value]) -> Vec<Value> {
    sorted(flat.chunks(2).map(|pair| pair.to_vec().into()).collect())
}

fn matches(command: &Value, expected: &Value, got: &Value) -> bool {
    let unordered = ["SMEMBERS", "SINTER", "SUNION"].contains(&command[0].as_str().unwrap_or_default());
    match (expected, got) {
        (Value::Object(form), got) => matches_form(form, got),
        (Value::Array(a), Value::Array(b)) if unordered => sorted(a.clone()) == sorted(b.clone()),
        (Value::Array(a), Value::Array(b)) if command[0] == "HGETALL" => by_field(a) == by_field(b),
        (expected, got) => expected == got,
    }
}

fn matches_form(form: &serde_json::Map<String, Value>, got: &Value) -> bool {
    let (kind, value) = form.iter().next().expect("a form of expectation");
    let text = got.as_str().unwrap_or_default();
    match kind.as_str() {
        "between" => got
            .as_i64()
            .is_some_and(|n| (value[0].as_i64().unwrap()..=value[1].as_i64().unwrap()).contains(&n)),
        "num" => {
            let wanted: f64 = value.as_str().unwrap().parse().unwrap();
            text.parse::<f64>().is_ok_and(|n| n.to_bits() == wanted.to_bits())
        }
        "error" => text.starts_with(&format!("error: {}", value.as_str().unwrap())),
        "set" => sorted(value.as_array().unwrap().clone()) == sorted(got.as_array().unwrap().clone()),
        "map" => {
            let pairs = value.as_object().unwrap().iter();
            let flat = pairs.flat_map(|(f, v)| [f.clone().into(), v.clone()]);
            by_field(&flat.collect::<Vec<_>>()) == by_field(got.as_array().unwrap())
        }
        "ttl_about" => {
            let want = value.as_i64().unwrap();
            got.as_i64().is_some_and(|ttl| (want - 60..=want).contains(&ttl))
        }
        other => panic!("unknown form of expectation: {other}"),
    }
}

async fn run(clients: &mut [Client], id: &str, region: usize, step: &Value) -> Option<String> {
    let client = &mut clients[region];
    let (command, got) = match &step["multi"] {
        Value::Array(commands) => {
            client.ask(&["MULTI"]).await;
            for command in commands {
                client.ask(&words(id, command)).await;
            }
            (&Value::Null, json(&client.ask(&["EXEC"]).await))
        }
        _ => (&step["cmd"], json(&client.ask(&words(id, &step["cmd"])).await)),
    };
    let expected = step.get("expect")?;
    (!matches(command, expected, &got)).then(|| format!("{id}: {step} gave {got}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_worked_case_holds_between_real_regions() {
    let all: Value = serde_json::from_str(VECTORS).unwrap();
    let (mut cases, mut skipped) = (Vec::new(), 0);
    for vector in all["vectors"].as_array().unwrap() {
        let later = LATER.contains(&vector["type"].as_str().unwrap());
        if later || needs_equal_clocks(vector) {
            println!("not played here: {}", vector["id"]);
            skipped += 1;
        } else {
            cases.push(case(vector));
        }
    }
    assert!(
        cases.len() >= 40,
        "{} cases, {skipped} skipped: look at it",
        cases.len()
    );
    let demo = Demo::start().await;
    let mut clients = Vec::new();
    for region in &demo.regions {
        clients.push(Client::connect(region.resp).await);
    }
    let mut failures = Vec::new();
    while cases.iter().any(|c| c.next < c.steps.len()) {
        for region in 0..3 {
            demo.isolate(region).await;
        }
        play_to_next_sync(&mut cases, &mut clients, &mut failures).await;
        demo.heal().await;
        demo.converges().await;
    }
    assert!(
        failures.is_empty(),
        "{} wrong:\n{}",
        failures.len(),
        failures.join("\n")
    );
    demo.stop().await;
}

/// Plays every case up to its next sync: a step of each in turn.
async fn play_to_next_sync(cases: &mut [Case], clients: &mut [Client], failures: &mut Vec<String>) {
    let mut waiting: BTreeSet<usize> = (0..cases.len()).collect();
    while !waiting.is_empty() {
        tokio::time::sleep(GAP).await;
        for index in waiting.clone() {
            let case = &mut cases[index];
            let Some(step) = case.steps.get(case.next) else {
                waiting.remove(&index);
                continue;
            };
            case.next += 1;
            match step {
                Step::Sync => {
                    waiting.remove(&index);
                }
                Step::Sleep(ms) => tokio::time::sleep(Duration::from_millis(*ms)).await,
                Step::Do { region, step } => {
                    failures.extend(run(clients, &case.id, *region, step).await);
                }
            }
        }
    }
}
