//! What pure crates may name.
//!
//! A pure crate gets time and randomness as arguments and does no IO, or the simulator could not run it under one seed.
//! `cargo metadata` shows what a crate depends on (`graph`); what it takes from `std` only its text shows. Tests may do
//! as they like; a `testkit` may read the environment, which is how a long run says how many histories it wants.
//!
//! Two libraries are kept behind one module each, so that what is wrong with them is dealt with once: `crdts` behind
//! `crdt::causal` (tests may use its types as oracles; ADR 2), and the codec functions of `bincode` behind
//! `crdt::codec` (ADR 6).

use super::rust::{Source, line_of, paths_below, without_tests};
use super::{File, PURE, Problem, Tree};

/// Modules of `std` that reach outside the process, or into another thread.
const IMPURE: &[&str] = &["env", "fs", "net", "os", "process", "thread"];

pub(super) fn check(tree: &Tree) -> Vec<Problem> {
    tree.rust()
        .filter(|file| file.path.starts_with("crates/") && !file.is_test())
        .flat_map(check_file)
        .collect()
}

fn check_file(file: &File) -> Vec<Problem> {
    let code = without_tests(&Source::new(&file.text).code);
    let mut problems = Vec::new();
    if file.crate_folder().is_some_and(|folder| PURE.contains(&folder)) && file.is_below("src") {
        for (at, word) in paths_below(&code, "std") {
            let testkit_env = word == "env" && in_module(file, "testkit");
            if IMPURE.contains(&word) && !testkit_env {
                let what = format!("a pure crate names std::{word}: pass what it needs in as an argument");
                problems.push(Problem::new(&file.path, line_of(&code, at), "pure", what));
            }
        }
    }
    if !in_module(file, "causal") && !in_module(file, "testkit") {
        problems.extend(named(
            file,
            &code,
            "crdts",
            |_| true,
            "only crdt::causal names the crdts crate (ADR 2)",
        ));
    }
    if !in_module(file, "codec") {
        // Deriving `Encode` and `Decode` is fine anywhere: it chooses no format.
        let chooses_format =
            |word: &str| word == "config" || word.starts_with("encode") || word.starts_with("decode");
        let what = "only a codec module may choose bincode's format or call it (ADR 6)";
        problems.extend(named(file, &code, "bincode", chooses_format, what));
    }
    problems
}

/// Whether the file is module `name` of its crate, or below it: `src/name.rs`, `src/name/...`.
fn in_module(file: &File, name: &str) -> bool {
    file.is_below(name) || file.name().strip_suffix(".rs") == Some(name)
}

fn named(file: &File, code: &str, library: &str, counts: impl Fn(&str) -> bool, what: &str) -> Vec<Problem> {
    paths_below(code, library)
        .into_iter()
        .filter(|(_, word)| counts(word))
        .map(|(at, _)| Problem::new(&file.path, line_of(code, at), "pure", what))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(path: &str, text: &str) -> Vec<String> {
        check(&Tree::of(&[(path, text)]))
            .iter()
            .map(Problem::to_string)
            .collect()
    }

    #[test]
    fn a_pure_crate_may_not_reach_outside() {
        let text = "//! x\nuse std::{collections::BTreeMap, fs};\nfn f() { std::thread::yield_now(); }\n";
        let found = problems("crates/engine/src/a.rs", text);
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].starts_with("crates/engine/src/a.rs:2:"), "{found:?}");
        assert!(found[1].contains("std::thread"), "{found:?}");
        assert_eq!(problems("crates/node/src/a.rs", text), [""; 0]);
    }

    #[test]
    fn tests_of_a_pure_crate_may() {
        assert_eq!(problems("crates/crdt/tests/a.rs", "use std::fs;"), [""; 0]);
        assert_eq!(
            problems(
                "crates/crdt/src/a.rs",
                "#[cfg(test)]\nmod tests { use std::env; }"
            ),
            [""; 0]
        );
    }

    #[test]
    fn a_testkit_reads_the_environment_and_nothing_else() {
        assert_eq!(problems("crates/crdt/src/testkit/a.rs", "use std::env;"), [""; 0]);
        assert_eq!(problems("crates/crdt/src/testkit.rs", "use std::fs;").len(), 1);
    }

    #[test]
    fn one_module_names_crdts() {
        assert_eq!(problems("crates/crdt/src/set.rs", "use crdts::VClock;").len(), 1);
        assert_eq!(
            problems("crates/crdt/src/causal.rs", "use crdts::VClock;"),
            [""; 0]
        );
        assert_eq!(
            problems("crates/crdt/src/causal/vector.rs", "use crdts::VClock;"),
            [""; 0]
        );
    }

    #[test]
    fn one_module_speaks_bincode_though_all_may_derive() {
        assert_eq!(
            problems("crates/store/src/row.rs", "#[derive(bincode::Encode)] struct A;"),
            [""; 0]
        );
        assert_eq!(
            problems("crates/store/src/row.rs", "bincode::encode_to_vec(a, c)").len(),
            1
        );
        assert_eq!(
            problems("crates/crdt/src/codec.rs", "bincode::encode_to_vec(a, c)"),
            [""; 0]
        );
    }
}
