//! House rules that neither the compiler nor clippy checks.
//!
//! Each rule is a module with one pure function from what it reads to a list of [`Problem`]s, so that a test can feed it
//! a small tree. [`run`] reads the real one: the files that Git tracks or would track (so a new file is checked before
//! it is added), and `cargo metadata`.
//!
//! | module | rule |
//! |---|---|
//! | `graph` | which crate may import which, ours and others, direct and transitive |
//! | `pure` | what pure crates may name of `std`; one module each for `crdts` and `bincode` |
//! | `lengths` | 800 lines a file, 70 a function, with exceptions that may only shrink |
//! | `text` | top comments, markers, paths of one machine |
//! | `lints` | a pure crate's clippy.toml repeats the root's |
//! | `codes` | every error code has a page, every page a code |
//! | `docs` | one title a document, links that resolve |
//! | `generated` | pages made from tables in code are up to date |

mod codes;
mod docs;
mod generated;
mod graph;
mod lengths;
mod lints;
mod pure;
mod rust;
mod text;

use std::fmt;
use std::path::Path;

use anyhow::{Context, Result};
use xshell::{Shell, cmd};

/// Crates that know nothing of sockets, clocks, entropy or tasks.
const PURE: &[&str] = &["crdt", "resp", "replica", "engine", "commerce"];

/// One broken rule at one place.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Problem {
    path: String,
    /// From 1; 0 where the whole file is meant.
    line: usize,
    rule: &'static str,
    what: String,
}

impl Problem {
    fn new(path: &str, line: usize, rule: &'static str, what: impl Into<String>) -> Self {
        Self {
            path: path.to_owned(),
            line,
            rule,
            what: what.into(),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            path,
            line,
            rule,
            what,
        } = self;
        match line {
            0 => write!(out, "{path}: {what} [{rule}]"),
            line => write!(out, "{path}:{line}: {what} [{rule}]"),
        }
    }
}

/// One line that sums a list of problems up.
pub(crate) fn verdict(problems: &[Problem]) -> String {
    match problems.len() {
        0 => "clean".to_owned(),
        1 => "1 problem".to_owned(),
        count => format!("{count} problems"),
    }
}

/// A text file of the tree.
#[derive(Debug)]
struct File {
    /// From the root, with forward slashes.
    path: String,
    text: String,
}

impl File {
    fn has_extension(&self, extension: &str) -> bool {
        Path::new(&self.path)
            .extension()
            .is_some_and(|found| found == extension)
    }

    fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(&self.path)
    }

    /// Whether some folder on the file's path is called `folder`.
    fn is_below(&self, folder: &str) -> bool {
        self.path
            .rsplit_once('/')
            .is_some_and(|(parents, _)| parents.split('/').any(|part| part == folder))
    }

    /// Tests by place: a crate's `tests` folder, the tests package, a `tests.rs` beside the code.
    fn is_test(&self) -> bool {
        self.is_below("tests") || matches!(self.name(), "tests.rs" | "test.rs")
    }

    /// `crates/crdt/src/dot.rs` is of crate `crdt`; `xtask/src/main.rs` and `tests/...` of none.
    fn crate_folder(&self) -> Option<&str> {
        self.path.strip_prefix("crates/")?.split('/').next()
    }
}

/// All text files of the tree, by path.
#[derive(Debug)]
struct Tree {
    files: Vec<File>,
    /// Every tracked path, files that are not text included: links may point at them.
    paths: Vec<String>,
}

impl Tree {
    /// Reads what Git tracks and what it would track.
    fn read(sh: &Shell, root: &Path) -> Result<Self> {
        let listed = cmd!(sh, "git ls-files -z --cached --others --exclude-standard")
            .quiet()
            .read()
            .context("tidy reads the files that Git knows: run it in a checkout")?;
        let mut paths: Vec<String> = listed
            .split('\0')
            .filter(|path| !path.is_empty())
            .map(str::to_owned)
            .collect();
        paths.sort();
        paths.dedup();
        // A file deleted in the work tree but still in the index is gone as far as the rules are concerned.
        paths.retain(|path| root.join(path).is_file());
        let mut files = Vec::new();
        for path in &paths {
            let bytes = std::fs::read(root.join(path)).with_context(|| format!("reading {path}"))?;
            // What is not UTF-8 is not text: images and the like have no rules here.
            if let Ok(text) = String::from_utf8(bytes) {
                files.push(File {
                    path: path.clone(),
                    text,
                });
            }
        }
        Ok(Self { files, paths })
    }

    #[cfg(test)]
    fn of(files: &[(&str, &str)]) -> Self {
        let files: Vec<File> = files
            .iter()
            .map(|(path, text)| File {
                path: (*path).to_owned(),
                text: (*text).to_owned(),
            })
            .collect();
        let paths = files.iter().map(|file| file.path.clone()).collect();
        Self { files, paths }
    }

    fn rust(&self) -> impl Iterator<Item = &File> {
        self.files.iter().filter(|file| file.has_extension("rs"))
    }

    fn get(&self, path: &str) -> Option<&File> {
        self.files.iter().find(|file| file.path == path)
    }
}

/// Checks every rule in the workspace at `root`; problems come sorted by place.
///
/// # Errors
/// When the tree, `cargo metadata` or the exceptions file cannot be read. A broken rule is no error but a problem.
pub(crate) fn run(sh: &Shell, root: &Path) -> Result<Vec<Problem>> {
    let tree = Tree::read(sh, root)?;
    let mut problems = graph::check(&graph::Metadata::read(sh)?);
    problems.extend(pure::check(&tree));
    problems.extend(lengths::check(&tree)?);
    problems.extend(text::check(&tree));
    problems.extend(lints::check(&tree));
    problems.extend(codes::check(&tree));
    problems.extend(docs::check(&tree));
    problems.extend(generated::check(&tree));
    problems.sort();
    Ok(problems)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_says_where_what_and_by_which_rule() {
        let at_line = Problem::new("a/b.rs", 7, "rule", "is wrong");
        assert_eq!(at_line.to_string(), "a/b.rs:7: is wrong [rule]");
        assert_eq!(
            Problem::new("a/b.rs", 0, "rule", "is wrong").to_string(),
            "a/b.rs: is wrong [rule]"
        );
    }

    #[test]
    fn a_file_knows_its_crate_and_whether_it_is_a_test() {
        let tree = Tree::of(&[
            ("crates/crdt/src/dot.rs", ""),
            ("crates/crdt/tests/laws.rs", ""),
            ("tests/src/lib.rs", ""),
            ("crates/crdt/src/dot/tests.rs", ""),
        ]);
        let tests: Vec<bool> = tree.files.iter().map(File::is_test).collect();
        assert_eq!(tests, [false, true, true, true]);
        assert_eq!(tree.files[0].crate_folder(), Some("crdt"));
        assert_eq!(tree.files[2].crate_folder(), None);
    }
}
