//! Maelstrom's workloads as the engine's commands, and replies back.
//!
//! | workload | operation | command |
//! |---|---|---|
//! | `broadcast` | `broadcast`, `read` | SADD, SMEMBERS |
//! | `g-set` | `add`, `read` | SADD, SMEMBERS |
//! | `pn-counter`, `g-counter` | `add`, `read` | INCRBY, GET |
//! | `unique-ids` | `generate` | INCRBY of a number of the replica's own |
//! | `txn-rw-register` | `txn` | GET and SET as one transaction |
//!
//! `read` means another thing in each of them, and a node is not told which one runs: it is an argument.

use cartograph_engine::api::Request;
use cartograph_engine::command::{Command, Condition, Reply, SetExpiry};
use serde_json::{Value, json};

/// Maelstrom's codes for errors: both say that nothing happened or will.
pub(super) const NOT_SUPPORTED: u64 = 10;
/// The same: try again later.
pub(super) const UNAVAILABLE: u64 = 11;
/// The request makes no sense.
pub(super) const MALFORMED: u64 = 12;

/// Which workload runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Workload {
    /// Echo: no data at all
    Echo,
    /// Messages that reach everybody
    Broadcast,
    /// A set that only grows
    GSet,
    /// A counter that goes up and down
    PnCounter,
    /// A counter that only goes up
    GCounter,
    /// Ids that are never given twice
    UniqueIds,
    /// Transactions of reads and writes on registers
    TxnRwRegister,
}

/// What to do about a request.
#[derive(Debug)]
pub(super) enum Asked {
    /// Nothing but this answer.
    Answer(Value),
    /// Ask the shard.
    Shard(Request),
    /// An error's code and text.
    Error(u64, &'static str),
}

/// Understands a request's body.
pub(super) fn asked(workload: Workload, replica: &str, body: &Value) -> Asked {
    let kind = body.get("type").and_then(Value::as_str).unwrap_or_default();
    let number = |field: &str| body.get(field).and_then(Value::as_i64);
    match (workload, kind) {
        (_, "echo") => Asked::Answer(json!({"type": "echo_ok", "echo": body.get("echo")})),
        (_, "topology") => Asked::Answer(json!({"type": "topology_ok"})),
        (Workload::Broadcast, "broadcast") => add(number("message")),
        (Workload::GSet, "add") => add(number("element")),
        (Workload::Broadcast | Workload::GSet, "read") => one(Command::SMembers { key: b"set".to_vec() }),
        (Workload::PnCounter | Workload::GCounter, "add") => match number("delta") {
            // By 0 is nothing to a counter, and would be an entry.
            Some(0) => Asked::Answer(json!({"type": "add_ok"})),
            Some(by) => one(Command::IncrBy {
                key: b"counter".to_vec(),
                by,
            }),
            None => Asked::Error(MALFORMED, "expected a whole number as delta"),
        },
        (Workload::PnCounter | Workload::GCounter, "read") => one(Command::Get {
            key: b"counter".to_vec(),
        }),
        (Workload::UniqueIds, "generate") => one(Command::IncrBy {
            key: format!("ids:{replica}").into_bytes(),
            by: 1,
        }),
        (Workload::TxnRwRegister, "txn") => match body.get("txn").and_then(Value::as_array) {
            Some(steps) => transaction(steps),
            None => Asked::Error(MALFORMED, "expected a list as txn"),
        },
        (
            Workload::Echo
            | Workload::Broadcast
            | Workload::GSet
            | Workload::PnCounter
            | Workload::GCounter
            | Workload::UniqueIds
            | Workload::TxnRwRegister,
            _,
        ) => Asked::Error(NOT_SUPPORTED, "this workload has no such operation"),
    }
}

fn one(command: Command) -> Asked {
    Asked::Shard(Request::one(command))
}

fn add(element: Option<i64>) -> Asked {
    match element {
        Some(element) => one(Command::SAdd {
            key: b"set".to_vec(),
            members: vec![element.to_string().into_bytes()],
        }),
        None => Asked::Error(MALFORMED, "expected a whole number"),
    }
}

fn transaction(steps: &[Value]) -> Asked {
    let mut commands = Vec::new();
    for step in steps {
        let key = step.get(1).map(|key| format!("register:{key}").into_bytes());
        match (step.get(0).and_then(Value::as_str), key, step.get(2)) {
            (Some("r"), Some(key), _) => commands.push(Command::Get { key }),
            (Some("w"), Some(key), Some(value)) => commands.push(Command::Set {
                key,
                // As text, so that it is a register.
                value: format!("v{value}").into_bytes(),
                expiry: SetExpiry::Never,
                condition: Condition::Always,
                get: false,
            }),
            (_, _, _) => {
                return Asked::Error(
                    MALFORMED,
                    "expected steps such as [\"r\", 1, null] and [\"w\", 1, 2]",
                );
            }
        }
    }
    Asked::Shard(Request::new(commands, None))
}

/// The answer to a request that the shard has done; nothing when its replies make no sense.
pub(super) fn answer(workload: Workload, replica: &str, body: &Value, replies: &[Reply]) -> Option<Value> {
    let kind = body.get("type").and_then(Value::as_str)?;
    let ok = format!("{kind}_ok");
    Some(match (workload, kind, replies) {
        (Workload::Broadcast, "read", [Reply::Array(items)]) => {
            json!({"type": ok, "messages": numbers(items)})
        }
        (Workload::GSet, "read", [Reply::Array(items)]) => json!({"type": ok, "value": numbers(items)}),
        (Workload::PnCounter | Workload::GCounter, "read", [reply]) => {
            json!({"type": ok, "value": number(reply).unwrap_or(0)})
        }
        (Workload::UniqueIds, "generate", [Reply::Integer(n)]) => {
            json!({"type": ok, "id": format!("{replica}-{n}")})
        }
        (Workload::TxnRwRegister, "txn", replies) => json!({"type": ok, "txn": filled(body, replies)?}),
        (_, _, [Reply::Integer(_)]) => json!({"type": ok}),
        (_, _, _) => return None,
    })
}

/// The transaction with what its reads found.
fn filled(body: &Value, replies: &[Reply]) -> Option<Vec<Value>> {
    let steps = body.get("txn")?.as_array()?;
    let mut filled = Vec::new();
    for (step, reply) in steps.iter().zip(replies) {
        let mut step = step.clone();
        if step.get(0)?.as_str()? == "r" {
            let found = match reply {
                Reply::Bytes(bytes) => serde_json::from_slice(bytes.strip_prefix(b"v")?).ok()?,
                Reply::Nil => Value::Null,
                Reply::Ok
                | Reply::Integer(_)
                | Reply::Double(_)
                | Reply::Array(_)
                | Reply::Simple(_)
                | Reply::Stamps(_)
                | Reply::Error(_) => {
                    return None;
                }
            };
            *step.get_mut(2)? = found;
        }
        filled.push(step);
    }
    Some(filled)
}

fn numbers(items: &[Reply]) -> Vec<i64> {
    items.iter().filter_map(number).collect()
}

fn number(reply: &Reply) -> Option<i64> {
    match reply {
        Reply::Bytes(bytes) => std::str::from_utf8(bytes).ok()?.parse().ok(),
        Reply::Integer(n) => Some(*n),
        Reply::Ok
        | Reply::Nil
        | Reply::Double(_)
        | Reply::Array(_)
        | Reply::Simple(_)
        | Reply::Stamps(_)
        | Reply::Error(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transaction_is_one_request_and_its_reads_are_filled_in() {
        let body = json!({"type": "txn", "txn": [["r", 1, null], ["w", 1, 6], ["r", 2, null]]});
        let Asked::Shard(request) = asked(Workload::TxnRwRegister, "1-9", &body) else {
            panic!("no request");
        };
        assert_eq!(request.commands.len(), 3);
        let replies = [Reply::Bytes(b"v3".to_vec()), Reply::Ok, Reply::Nil];
        let expected = json!({"type": "txn_ok", "txn": [["r", 1, 3], ["w", 1, 6], ["r", 2, null]]});
        assert_eq!(
            answer(Workload::TxnRwRegister, "1-9", &body, &replies),
            Some(expected)
        );
    }

    #[test]
    fn each_workload_reads_in_its_own_way_and_refuses_anothers_operations() {
        let read = json!({"type": "read"});
        let set = [Reply::Array(vec![Reply::Bytes(b"3".to_vec())])];
        let value = |workload, replies: &[Reply]| answer(workload, "1-9", &read, replies).unwrap();
        assert_eq!(value(Workload::Broadcast, &set)["messages"], json!([3]));
        assert_eq!(value(Workload::GSet, &set)["value"], json!([3]));
        assert_eq!(value(Workload::PnCounter, &[Reply::Nil])["value"], json!(0));
        assert!(matches!(
            asked(Workload::GSet, "1-9", &json!({"type": "txn"})),
            Asked::Error(NOT_SUPPORTED, _)
        ));
        assert!(matches!(
            asked(Workload::GSet, "1-9", &json!({"type": "add"})),
            Asked::Error(MALFORMED, _)
        ));
        let id = answer(
            Workload::UniqueIds,
            "1-9",
            &json!({"type": "generate"}),
            &[Reply::Integer(7)],
        );
        assert_eq!(id.unwrap()["id"], "1-9-7");
    }
}
