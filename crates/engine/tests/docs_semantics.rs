//! The tables of docs/semantics.md are worked cases: each stands below `<!-- vector: id -->` and must be, cell by cell,
//! what that case of vectors.json says. The cases themselves are run by `vectors.rs`, so a table cannot promise what the
//! engine does not do.
//!
//! When a table is wrong or missing, the failure prints the one to paste.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    clippy::print_stdout,
    reason = "tests: helpers stand outside #[test] functions, where clippy.toml does not let them off"
)]

use std::collections::BTreeSet;

use serde_json::Value;

const VECTORS: &str = include_str!("vectors/vectors.json");
const DOCUMENT: &str = include_str!("../../../docs/semantics.md");

/// What begins the line above a table.
const MARK: &str = "<!-- vector: ";

/// Types that the product does not have yet: their cases are neither run nor shown.
const LATER: [&str; 2] = ["list", "stream"];

fn cases() -> Vec<Value> {
    let all: Value = serde_json::from_str(VECTORS).unwrap();
    let mut cases = all["vectors"].as_array().unwrap().clone();
    cases.retain(|case| !LATER.contains(&case["type"].as_str().unwrap()));
    cases
}

/// A command's words; one that is empty or has a space is put in quotes.
fn words(command: &Value) -> String {
    let quoted = |word: &Value| match word.as_str().unwrap() {
        word if word.is_empty() || word.contains(' ') => format!("\"{word}\""),
        word => word.to_owned(),
    };
    let words: Vec<String> = command.as_array().unwrap().iter().map(quoted).collect();
    words.join(" ")
}

/// A reply as the document writes it.
fn reply(expected: &Value) -> String {
    match expected {
        Value::Null => "nil".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(reply).collect::<Vec<_>>().join(" "),
        Value::Object(form) => {
            let (kind, value) = form.iter().next().unwrap();
            match (kind.as_str(), value) {
                ("between", range) => format!("{} to {}", range[0], range[1]),
                ("ttl_about", seconds) => format!("about {seconds}"),
                ("error", prefix) => format!("{} ...", prefix.as_str().unwrap()),
                ("num" | "set", inner) => reply(inner),
                ("map", Value::Object(fields)) => {
                    let pairs = fields
                        .iter()
                        .map(|(field, value)| format!("{field} {}", reply(value)));
                    pairs.collect::<Vec<_>>().join(" ")
                }
                (other, _) => panic!("no words for the expectation {other}"),
            }
        }
        Value::Bool(_) | Value::Number(_) => expected.to_string(),
    }
}

/// One command of one region.
fn item(step: &Value) -> String {
    let command = match step["multi"].as_array() {
        Some(commands) => {
            let commands: Vec<String> = commands.iter().map(words).collect();
            format!("MULTI; {}; EXEC", commands.join("; "))
        }
        None => words(&step["cmd"]),
    };
    match step.get("expect") {
        Some(expected) => format!("`{command}` → `{}`", reply(expected)),
        None => format!("`{command}`"),
    }
}

/// The rows of a case, each with its time and what each region does.
struct Table {
    regions: Vec<&'static str>,
    rows: Vec<(u64, Vec<Vec<String>>)>,
    /// The row that is still being filled.
    open: bool,
}

impl Table {
    fn of(case: &Value) -> Self {
        let nothing = Vec::new();
        let setup = case["setup"].as_array().unwrap_or(&nothing);
        let steps = case["steps"].as_array().unwrap();
        let implied = case["implied"].as_array().unwrap_or(&nothing);
        let all = || setup.iter().chain(steps).chain(implied);
        let mut regions = vec!["A", "B", "C"];
        regions.retain(|r| all().any(|step| step["region"] == *r));
        let mut table = Table {
            regions,
            rows: Vec::new(),
            open: false,
        };
        let times: BTreeSet<u64> = steps.iter().map(|s| s["t"].as_u64().unwrap()).collect();
        for step in setup {
            table.push(step, 0);
        }
        for t in times.iter().copied() {
            table.open = false;
            let at = |step: &&Value| step["t"] == t;
            steps.iter().filter(at).for_each(|step| table.push(step, t));
            table.open = false;
            let after = |step: &&Value| step["after_t"] == t;
            implied.iter().filter(after).for_each(|step| table.push(step, t));
        }
        table
    }

    fn push(&mut self, step: &Value, t: u64) {
        let everywhere = if step["sync"] == true {
            Some("*sync*".to_owned())
        } else {
            step["sleep_ms"].as_u64().map(|ms| format!("*{ms} ms pass*"))
        };
        if let Some(everywhere) = everywhere {
            self.rows.push((t, vec![vec![everywhere]; self.regions.len()]));
            self.open = false;
            return;
        }
        if !self.open {
            self.rows.push((t, vec![Vec::new(); self.regions.len()]));
            self.open = true;
        }
        let column = self.regions.iter().position(|r| step["region"] == *r).unwrap();
        self.rows.last_mut().unwrap().1[column].push(item(step));
    }

    fn lines(&self) -> Vec<String> {
        let line = |cells: Vec<String>| format!("| {} |", cells.join(" | "));
        let head = ["t"].iter().chain(&self.regions).map(|s| (*s).to_owned());
        let mut lines = vec![
            line(head.collect()),
            format!("|--:|{}", "---|".repeat(self.regions.len())),
        ];
        for (t, cells) in &self.rows {
            let cells = cells.iter().map(|items| items.join("<br>"));
            lines.push(line([t.to_string()].into_iter().chain(cells).collect()));
        }
        lines
    }
}

/// Ids and tables of the document, in order.
fn shown() -> Vec<(&'static str, Vec<&'static str>)> {
    let mut lines = DOCUMENT.lines();
    let mut shown = Vec::new();
    while let Some(line) = lines.next() {
        if let Some(rest) = line.strip_prefix(MARK) {
            let id = rest.strip_suffix(" -->").expect("the mark's end");
            let table = lines.by_ref().skip_while(|l| l.is_empty());
            shown.push((id, table.take_while(|l| l.starts_with('|')).collect()));
        }
    }
    shown
}

#[test]
fn every_table_is_the_worked_case_that_it_names() {
    let cases = cases();
    let mut wrong = Vec::new();
    for (id, table) in shown() {
        let Some(case) = cases.iter().find(|case| case["id"] == id) else {
            wrong.push(format!("{id}: there is no such worked case"));
            continue;
        };
        let expected = Table::of(case).lines();
        if table != expected {
            wrong.push(format!("{id}: the table must be\n\n{}\n", expected.join("\n")));
        }
    }
    assert!(
        wrong.is_empty(),
        "docs/semantics.md is wrong:\n{}",
        wrong.join("\n")
    );
}

#[test]
fn every_rule_of_ours_is_shown_once() {
    let ids: Vec<&str> = shown().into_iter().map(|(id, _)| id).collect();
    let unique: BTreeSet<&str> = ids.iter().copied().collect();
    assert_eq!(ids.len(), unique.len(), "a case is shown twice");
    let missing: Vec<String> = cases()
        .iter()
        .filter(|case| case["id"].as_str().unwrap().starts_with("own-"))
        .filter(|case| !unique.contains(case["id"].as_str().unwrap()))
        .map(|case| {
            format!(
                "<!-- vector: {} -->\n\n{}\n",
                case["id"].as_str().unwrap(),
                Table::of(case).lines().join("\n")
            )
        })
        .collect();
    assert!(
        missing.is_empty(),
        "docs/semantics.md does not show:\n{}",
        missing.join("\n")
    );
}

#[test]
fn a_table_outside_the_tests_has_no_commands() {
    // A table of commands and replies that no mark ties to a case could say anything.
    let mut marked = false;
    for line in DOCUMENT.lines() {
        if line.starts_with(MARK) {
            marked = true;
        } else if !line.is_empty() && !line.starts_with('|') {
            marked = false;
        }
        assert!(
            marked || !(line.starts_with('|') && line.contains('→')),
            "not marked: {line}"
        );
    }
}
