//! Medians, ratios, tables, JSON.

use serde_json::{Value, json};

use crate::text::table;

use super::servers::{Servers, Target};
use super::{Load, Measured};

/// What an amount of data takes.
pub(super) struct Memory {
    pub(super) what: &'static str,
    /// In a key.
    pub(super) elements: u64,
    /// A key, in plain Redis and behind the node.
    pub(super) bytes: [f64; 2],
}

/// One line: a command, a number of clients, a depth.
pub(super) struct Cell {
    load: Load,
    plain: Vec<Measured>,
    node: Vec<Measured>,
}

impl Cell {
    pub(super) fn new(load: Load) -> Cell {
        Cell {
            load,
            plain: Vec::new(),
            node: Vec::new(),
        }
    }

    pub(super) fn add(&mut self, target: Target, measured: Measured) {
        match target {
            Target::Plain => self.plain.push(measured),
            Target::Node => self.node.push(measured),
        }
    }

    fn ratio(&self, of: impl Fn(&Measured) -> f64) -> f64 {
        let (plain, node) = (median(&self.plain, &of), median(&self.node, &of));
        if plain > 0.0 { node / plain } else { f64::NAN }
    }
}

fn median(runs: &[Measured], of: impl Fn(&Measured) -> f64) -> f64 {
    let mut numbers: Vec<f64> = runs.iter().map(of).collect();
    numbers.sort_by(f64::total_cmp);
    numbers.get(numbers.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Everything that was found.
pub(super) struct Report {
    server: String,
    driver: &'static str,
    pub(super) memory: Vec<Memory>,
    pub(super) cells: Vec<Cell>,
}

impl Report {
    pub(super) fn new(servers: &Servers, redis_benchmark: bool) -> Report {
        Report {
            server: servers.version.clone(),
            driver: if redis_benchmark {
                "redis-benchmark"
            } else {
                "built-in clients"
            },
            memory: Vec::new(),
            cells: Vec::new(),
        }
    }

    /// Did a server answer errors?
    pub(super) fn failed(&self) -> bool {
        self.cells
            .iter()
            .flat_map(|c| c.plain.iter().chain(&c.node))
            .any(|m| m.errors > 0)
    }

    pub(super) fn tables(&self) -> String {
        let header = [
            "command",
            "clients",
            "depth",
            "plain op/s",
            "node op/s",
            "ratio",
            "p50 ms",
            "x",
            "p99 ms",
            "x",
            "node µs",
            "redis µs",
            "plain µs",
            "client µs",
        ];
        let mut rows = Vec::new();
        for cell in &self.cells {
            let node = |of: fn(&Measured) -> f64| median(&cell.node, of);
            let plain = |of: fn(&Measured) -> f64| median(&cell.plain, of);
            rows.push(vec![
                cell.load.workload.name().to_owned(),
                cell.load.clients.to_string(),
                cell.load.depth.to_string(),
                format!("{:.0}", plain(|m| m.per_second)),
                format!("{:.0}", node(|m| m.per_second)),
                format!("{:.2}", cell.ratio(|m| m.per_second)),
                format!("{:.3}", node(|m| m.p50_ms)),
                format!("{:.2}", cell.ratio(|m| m.p50_ms)),
                format!("{:.3}", node(|m| m.p99_ms)),
                format!("{:.2}", cell.ratio(|m| m.p99_ms)),
                format!("{:.2}", node(|m| m.cpu_node_us)),
                format!("{:.2}", node(|m| m.cpu_redis_us)),
                format!("{:.2}", plain(|m| m.cpu_redis_us)),
                format!("{:.2}", node(|m| m.cpu_client_us)),
            ]);
        }
        let speed = table(&header, rows);
        let mut rows = Vec::new();
        for found in &self.memory {
            let [plain, node] = found.bytes;
            #[expect(clippy::cast_precision_loss, reason = "a handful")]
            let more = (node - plain) / found.elements as f64;
            rows.push(vec![
                found.what.to_owned(),
                format!("{plain:.0}"),
                format!("{node:.0}"),
                format!("{:.2}", node / plain),
                format!("{more:.0}"),
            ]);
        }
        let header = [
            "a key",
            "plain B",
            "behind the node B",
            "ratio",
            "B more an element",
        ];
        let memory = table(&header, rows);
        format!(
            "{} beside a node with the same behind it, driven by {}; medians\n\n{speed}\n\n{memory}",
            self.server, self.driver
        )
    }

    pub(super) fn json(&self) -> Value {
        let runs = |runs: &[Measured]| -> Vec<Value> {
            runs.iter()
                .map(|m| {
                    json!({
                        "operations": m.operations, "per_second": m.per_second, "errors": m.errors,
                        "p50_ms": m.p50_ms, "p99_ms": m.p99_ms, "cpu_node_us": m.cpu_node_us,
                        "cpu_redis_us": m.cpu_redis_us, "cpu_client_us": m.cpu_client_us,
                    })
                })
                .collect()
        };
        let cells: Vec<Value> = self
            .cells
            .iter()
            .map(|c| {
                json!({
                    "command": c.load.workload.name(), "clients": c.load.clients, "depth": c.load.depth,
                    "ratio": c.ratio(|m| m.per_second), "p50_ratio": c.ratio(|m| m.p50_ms),
                    "plain": runs(&c.plain), "node": runs(&c.node),
                })
            })
            .collect();
        let memory: Vec<Value> = self
            .memory
            .iter()
            .map(|m| {
                let [plain, node] = m.bytes;
                json!({"key": m.what, "elements": m.elements, "plain_bytes": plain, "node_bytes": node})
            })
            .collect();
        json!({"server": self.server, "driver": self.driver, "cells": cells, "memory": memory})
    }
}
