//! Alerts, their tests, their pages and the dashboard fit together.
//!
//! Read as text, line by line: the files are ours and of one form, and promtool reads them as YAML.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

/// One rule of alerts.yaml.
#[derive(Debug, Default)]
struct Rule {
    name: String,
    runbook: String,
    severity: String,
}

/// # Errors
/// An alert without test, page or severity; a page without alert; a dashboard that is not of Grafana's form.
pub(super) fn check(root: &Path) -> Result<()> {
    let read = |path: &str| std::fs::read_to_string(root.join(path)).with_context(|| path.to_owned());
    let rules = rules(&read("deploy/prometheus/alerts.yaml")?);
    ensure!(!rules.is_empty(), "no alert in deploy/prometheus/alerts.yaml");
    let tests = read("deploy/prometheus/alerts_test.yaml")?;
    let page = read("docs/operating/alerts.md")?;
    let headings: BTreeSet<String> = page
        .lines()
        .filter_map(|line| line.strip_prefix("## "))
        .map(str::to_lowercase)
        .collect();
    for rule in &rules {
        let name = &rule.name;
        let quiet = format!("{{alertname: {name}, eval_time: 20m, exp_alerts: []}}");
        ensure!(
            tests.contains(&quiet),
            "{name}: no test that it is silent in a quiet cluster"
        );
        ensure!(
            tests.contains(&format!("- alertname: {name}\n")),
            "{name}: no test that it fires"
        );
        ensure!(
            ["page", "ticket"].contains(&rule.severity.as_str()),
            "{name}: severity {:?} is neither page nor ticket",
            rule.severity
        );
        let wanted = format!("docs/operating/alerts.md#{}", name.to_lowercase());
        ensure!(
            rule.runbook == wanted,
            "{name}: runbook {:?}, expected {wanted:?}",
            rule.runbook
        );
        ensure!(
            headings.contains(&name.to_lowercase()),
            "{name}: docs/operating/alerts.md has no such heading"
        );
    }
    let names: BTreeSet<String> = rules.iter().map(|rule| rule.name.to_lowercase()).collect();
    for heading in headings
        .iter()
        .filter(|heading| heading.starts_with("cartograph"))
    {
        ensure!(
            names.contains(heading),
            "docs/operating/alerts.md: no alert is called {heading}"
        );
    }
    dashboard(&serde_json::from_str(&read(
        "deploy/grafana/dashboards/cartograph.json",
    )?)?)
}

fn rules(text: &str) -> Vec<Rule> {
    let mut rules: Vec<Rule> = Vec::new();
    for line in text.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix("- alert: ") {
            rules.push(Rule {
                name: name.to_owned(),
                ..Rule::default()
            });
        } else if let Some(rule) = rules.last_mut() {
            if let Some(runbook) = line.strip_prefix("runbook: ") {
                runbook.clone_into(&mut rule.runbook);
            } else if let Some(severity) = line.strip_prefix("labels: {severity: ") {
                severity.trim_end_matches('}').clone_into(&mut rule.severity);
            }
        }
    }
    rules
}

/// Panels have titles, queries and places, and no two cover each other.
fn dashboard(dashboard: &Value) -> Result<()> {
    let panels = dashboard["panels"]
        .as_array()
        .context("a dashboard without panels")?;
    let mut covered = BTreeSet::new();
    for panel in panels {
        let title = panel["title"].as_str().context("a panel without a title")?;
        let place = |key: &str| {
            panel
                .pointer(&format!("/gridPos/{key}"))
                .and_then(Value::as_u64)
                .with_context(|| format!("{title}: no place"))
        };
        let (left, top, width, height) = (place("x")?, place("y")?, place("w")?, place("h")?);
        ensure!(left + width <= 24, "{title}: beyond the right edge");
        for x in left..left + width {
            for y in top..top + height {
                ensure!(covered.insert((x, y)), "{title}: covers another panel");
            }
        }
        if panel["type"] != "row" {
            let targets = panel["targets"]
                .as_array()
                .with_context(|| format!("{title}: no queries"))?;
            ensure!(!targets.is_empty(), "{title}: no queries");
            for target in targets {
                let query = target["expr"].as_str().unwrap_or_default();
                ensure!(
                    query.contains("cartograph_") || query.contains("up{"),
                    "{title}: {query:?} asks for nothing of ours"
                );
                ensure!(
                    query.contains("region=~\"$region\""),
                    "{title}: {query:?} ignores the chosen region"
                );
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_read() {
        let text = "groups:\n  - name: g\n    rules:\n      - alert: A\n        expr: up == 0\n        labels: {severity: \
                    page}\n        annotations:\n          runbook: docs/x.md#a\n";
        let rules = rules(text);
        assert_eq!(rules.len(), 1);
        assert_eq!(
            (
                rules[0].name.as_str(),
                rules[0].severity.as_str(),
                rules[0].runbook.as_str()
            ),
            ("A", "page", "docs/x.md#a")
        );
    }

    #[test]
    fn panels_that_overlap_are_refused() {
        let panel = |x: u64| {
            serde_json::json!({"title": "t", "type": "stat", "gridPos": {"x": x, "y": 0, "w": 4, "h": 4},
                "targets": [{"expr": "cartograph_ready{region=~\"$region\"}"}]})
        };
        assert!(dashboard(&serde_json::json!({"panels": [panel(0), panel(4)]})).is_ok());
        assert!(dashboard(&serde_json::json!({"panels": [panel(0), panel(3)]})).is_err());
        assert!(dashboard(&serde_json::json!({"panels": [panel(22)]})).is_err());
    }
}
