//! The crate graph: arrows go down only.
//!
//! [`CRATES`] is the table of who may import whom among our own crates, dev- and build-dependencies included; [`OWNED`]
//! says which of ours may name a third-party crate that is somebody's business alone; [`IMPURE`] lists what must not
//! reach a pure crate by any path. A new arrow is a decision: change the table together with an ADR.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};
use serde::Deserialize;
use xshell::{Shell, cmd};

use super::{PURE, Problem};

/// Our crates by folder name, and what each may import of ours.
const CRATES: &[(&str, &[&str])] = &[
    ("crdt", &[]),
    ("resp", &[]),
    ("replica", &["crdt"]),
    ("engine", &["crdt", "replica"]),
    ("commerce", &["crdt", "engine"]),
    ("proto", &["crdt", "replica"]),
    ("store", &["crdt", "replica", "resp"]),
    (
        "node",
        &["crdt", "resp", "replica", "engine", "commerce", "proto", "store"],
    ),
    (
        "sim",
        &["crdt", "resp", "replica", "engine", "commerce", "proto", "store"],
    ),
    (
        "cartograph",
        &["crdt", "resp", "replica", "engine", "proto", "store", "node"],
    ),
    (
        "tests",
        &["crdt", "resp", "replica", "engine", "store", "proto", "node"],
    ),
    // The pages that are made from tables in code.
    ("xtask", &["resp"]),
];

/// Third-party crates that are one layer's business. A name ending in `*` covers the family.
const OWNED: &[(&str, &[&str])] = &[
    ("anyhow", &["cartograph", "tests", "xtask"]),
    ("axum*", &["node", "cartograph"]),
    ("bincode", &["crdt", "replica", "engine", "store"]),
    ("crdts", &["crdt"]),
    ("prost*", &["proto", "node", "tests", "xtask"]),
    ("protox", &["proto", "xtask"]),
    ("redb", &["store"]),
    ("redis", &["store"]),
    ("tonic*", &["proto", "node", "cartograph", "tests", "xtask"]),
];

/// IO, tasks, clocks and entropy: none of it may reach a pure crate, directly or through another crate.
const IMPURE: &[&str] = &[
    "async-std",
    "axum",
    "chrono",
    "crossbeam-channel",
    "getrandom",
    "h2",
    "hyper",
    "hyper-util",
    "jiff",
    "mio",
    "rand",
    "rayon",
    "redb",
    "redis",
    "reqwest",
    "ring",
    "rustix",
    "rustls",
    "smol",
    "socket2",
    "tempfile",
    "time",
    "tokio",
    "tonic",
    "uuid",
];

/// The feature behind which generators and laws live: its dependencies are for tests.
const TESTKIT: &str = "testkit";

/// What the check needs of `cargo metadata`.
#[derive(Debug, Deserialize)]
pub(super) struct Metadata {
    packages: Vec<Package>,
    workspace_members: Vec<String>,
    resolve: Resolve,
}

#[derive(Debug, Deserialize)]
struct Package {
    id: String,
    name: String,
    dependencies: Vec<Dependency>,
    features: BTreeMap<String, Vec<String>>,
}

#[derive(Debug, Deserialize)]
struct Dependency {
    name: String,
    rename: Option<String>,
    /// `None` is a normal dependency; else `dev` or `build`.
    kind: Option<String>,
    optional: bool,
}

#[derive(Debug, Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Debug, Deserialize)]
struct Node {
    id: String,
    deps: Vec<Edge>,
}

#[derive(Debug, Deserialize)]
struct Edge {
    pkg: String,
    dep_kinds: Vec<EdgeKind>,
}

#[derive(Debug, Deserialize)]
struct EdgeKind {
    kind: Option<String>,
}

impl Metadata {
    /// Asks cargo, for this machine's platform only (others' dependencies may not even be downloaded).
    pub(super) fn read(sh: &Shell) -> Result<Self> {
        let about = cmd!(sh, "rustc -vV").quiet().read()?;
        let host = about
            .lines()
            .find_map(|line| line.strip_prefix("host: "))
            .context("`rustc -vV` names no host")?;
        let json = cmd!(
            sh,
            "cargo metadata --locked --format-version 1 --filter-platform {host}"
        )
        .quiet()
        .read()?;
        serde_json::from_str(&json).context("reading what `cargo metadata` printed")
    }

    fn members(&self) -> impl Iterator<Item = &Package> {
        self.packages
            .iter()
            .filter(|package| self.workspace_members.contains(&package.id))
    }
}

/// `cartograph-crdt` is `crdt`; the binary's package and xtask have no prefix.
fn short(name: &str) -> &str {
    name.strip_prefix("cartograph-").unwrap_or(name)
}

/// Where a package's manifest is, as a problem shows it.
fn manifest(short: &str) -> String {
    match short {
        "tests" | "xtask" => format!("{short}/Cargo.toml"),
        of_crates => format!("crates/{of_crates}/Cargo.toml"),
    }
}

pub(super) fn check(metadata: &Metadata) -> Vec<Problem> {
    let ours: BTreeSet<&str> = metadata.members().map(|package| package.name.as_str()).collect();
    let mut problems = Vec::new();
    for package in metadata.members() {
        let name = short(&package.name);
        let Some((_, may_import)) = CRATES.iter().find(|(folder, _)| *folder == name) else {
            let what =
                format!("crate {name} is not in the crate graph: add it to the table together with an ADR");
            problems.push(Problem::new(&manifest(name), 0, "graph", what));
            continue;
        };
        for dependency in &package.dependencies {
            let wanted = short(&dependency.name);
            if ours.contains(dependency.name.as_str()) {
                if wanted != name && !may_import.contains(&wanted) {
                    let what = format!(
                        "{name} may not import {wanted}: arrows go down only (a new one needs an ADR)"
                    );
                    problems.push(Problem::new(&manifest(name), 0, "graph", what));
                }
            } else if let Some(owners) = owners(&dependency.name).filter(|owners| !owners.contains(&name)) {
                let what = format!(
                    "{name} may not name {}: only {} may",
                    dependency.name,
                    owners.join(", ")
                );
                problems.push(Problem::new(&manifest(name), 0, "graph", what));
            }
        }
        if PURE.contains(&name) {
            problems.extend(impure_paths(metadata, package));
        }
    }
    problems
}

/// Who alone may name `library`; `None` when anybody may.
fn owners(library: &str) -> Option<&'static [&'static str]> {
    OWNED
        .iter()
        .find(|(pattern, _)| matches_family(pattern, library))
        .map(|(_, owners)| *owners)
}

/// `tonic*` covers `tonic` and `tonic-health`, not `tonics`.
fn matches_family(pattern: &str, library: &str) -> bool {
    match pattern.strip_suffix('*') {
        None => pattern == library,
        Some(family) => library
            .strip_prefix(family)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('-')),
    }
}

/// Walks everything that a pure package is built from, and says by which path something impure is reached.
fn impure_paths(metadata: &Metadata, package: &Package) -> Vec<Problem> {
    let packages: BTreeMap<&str, &Package> = metadata.packages.iter().map(|p| (p.id.as_str(), p)).collect();
    let nodes: BTreeMap<&str, &Node> = metadata
        .resolve
        .nodes
        .iter()
        .map(|n| (n.id.as_str(), n))
        .collect();
    let name = short(&package.name);
    let mut problems = Vec::new();
    let mut seen = BTreeSet::new();
    let mut open = vec![(package, vec![package.name.as_str()])];
    while let Some((at, path)) = open.pop() {
        if !seen.insert(at.id.as_str()) {
            continue;
        }
        if IMPURE.contains(&at.name.as_str()) {
            let what = format!("pure crate {name} reaches {}: {}", at.name, path.join(" -> "));
            problems.push(Problem::new(&manifest(name), 0, "graph", what));
            continue;
        }
        let for_tests = if metadata.workspace_members.contains(&at.id) {
            testkit_only(at)
        } else {
            BTreeSet::new()
        };
        let edges = nodes
            .get(at.id.as_str())
            .map(|node| node.deps.as_slice())
            .unwrap_or_default();
        for edge in edges
            .iter()
            .filter(|edge| edge.dep_kinds.iter().any(|kind| kind.kind.is_none()))
        {
            if let Some(next) = packages
                .get(edge.pkg.as_str())
                .filter(|next| !for_tests.contains(next.name.as_str()))
            {
                let mut longer = path.clone();
                longer.push(&next.name);
                open.push((next, longer));
            }
        }
    }
    problems
}

/// Optional dependencies that no feature but `testkit` turns on: cargo resolves them where a test package asks for the
/// feature, but no build of the product has them.
fn testkit_only(package: &Package) -> BTreeSet<&str> {
    let turned_on_by_others = |dependency: &Dependency| {
        let known_as = dependency.rename.as_ref().unwrap_or(&dependency.name);
        package
            .features
            .iter()
            .filter(|(feature, _)| *feature != TESTKIT)
            .any(|(feature, turns_on)| {
                // A feature of the dependency's own name is the implicit one, unless `dep:` is used elsewhere.
                let implicit = feature == known_as;
                implicit
                    || turns_on
                        .iter()
                        .any(|item| item == known_as || item.strip_prefix("dep:") == Some(known_as))
            })
    };
    package
        .dependencies
        .iter()
        .filter(|dependency| {
            dependency.optional && dependency.kind.is_none() && !turned_on_by_others(dependency)
        })
        .map(|dependency| dependency.name.as_str())
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// A workspace of the packages named with the `cartograph-` prefix (or `cartograph`, `xtask`); each with its
    /// dependencies, all normal.
    fn workspace(packages: &[(&str, &[&str])]) -> Metadata {
        let ours = |name: &str| name.starts_with("cartograph") || name == "xtask";
        let described: Vec<_> = packages
            .iter()
            .map(|(name, deps)| {
                let dependencies: Vec<_> = deps
                    .iter()
                    .map(|d| json!({"name": d, "rename": null, "kind": null, "optional": false}))
                    .collect();
                json!({"id": name, "name": name, "dependencies": dependencies, "features": {}})
            })
            .collect();
        let nodes: Vec<_> = packages
            .iter()
            .map(|(name, deps)| {
                let deps: Vec<_> = deps
                    .iter()
                    .map(|d| json!({"pkg": d, "dep_kinds": [{"kind": null}]}))
                    .collect();
                json!({"id": name, "deps": deps})
            })
            .collect();
        let members: Vec<&str> = packages
            .iter()
            .map(|(name, _)| *name)
            .filter(|name| ours(name))
            .collect();
        serde_json::from_value(
            json!({"packages": described, "workspace_members": members, "resolve": {"nodes": nodes}}),
        )
        .unwrap()
    }

    fn problems(packages: &[(&str, &[&str])]) -> Vec<String> {
        check(&workspace(packages))
            .iter()
            .map(Problem::to_string)
            .collect()
    }

    #[test]
    fn arrows_may_go_down() {
        let found = problems(&[
            ("cartograph-crdt", &[]),
            ("cartograph-replica", &["cartograph-crdt"]),
            ("cartograph-node", &["cartograph-replica", "tonic", "tokio"]),
            ("cartograph", &["cartograph-node", "anyhow"]),
            ("tonic", &["tokio"]),
            ("tokio", &[]),
            ("anyhow", &[]),
        ]);
        assert_eq!(found, [""; 0]);
    }

    #[test]
    fn an_arrow_up_is_a_problem() {
        let found = problems(&[
            ("cartograph-crdt", &["cartograph-replica"]),
            ("cartograph-replica", &[]),
        ]);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains("crdt may not import replica"), "{found:?}");
    }

    #[test]
    fn a_crate_outside_the_table_is_a_problem() {
        assert!(problems(&[("cartograph-utils", &[])])[0].contains("not in the crate graph"));
    }

    #[test]
    fn only_store_names_redis_and_families_go_together() {
        let found = problems(&[("cartograph-node", &["redis"]), ("redis", &[])]);
        assert!(found[0].contains("only store may"), "{found:?}");
        let found = problems(&[("cartograph-sim", &["tonic-health"]), ("tonic-health", &[])]);
        assert!(found[0].contains("may not name tonic-health"), "{found:?}");
        assert!(!matches_family("tonic*", "tonics"));
    }

    #[test]
    fn a_pure_crate_reaches_nothing_impure_through_others() {
        let found = problems(&[
            ("cartograph-crdt", &["harmless"]),
            ("harmless", &["getrandom"]),
            ("getrandom", &[]),
        ]);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(
            found[0].contains("cartograph-crdt -> harmless -> getrandom"),
            "{found:?}"
        );
    }

    #[test]
    fn what_only_a_testkit_needs_is_no_part_of_a_pure_crate() {
        let mut metadata = workspace(&[
            ("cartograph-crdt", &["proptest"]),
            ("proptest", &["rand"]),
            ("rand", &[]),
        ]);
        assert_eq!(check(&metadata).len(), 1);
        let package = &mut metadata.packages[0];
        package.dependencies[0].optional = true;
        package
            .features
            .insert("testkit".to_owned(), vec!["dep:proptest".to_owned()]);
        assert_eq!(check(&metadata), []);
        metadata.packages[0]
            .features
            .insert("default".to_owned(), vec!["dep:proptest".to_owned()]);
        assert_eq!(check(&metadata).len(), 1);
    }
}
