//! Rules about the text of files: top comments, markers, paths of one machine.

use super::rust::Source;
use super::{File, Problem, Tree};

/// Kinds of files whose every line may hold a marker; in Rust only comments do, in documents words are words.
const MARKED: &[&str] = &["js", "lua", "proto", "py", "sh", "tf", "toml", "yaml", "yml"];

pub(super) fn check(tree: &Tree) -> Vec<Problem> {
    let mut problems = Vec::new();
    for file in &tree.files {
        problems.extend(top_comment(file));
        problems.extend(markers(file));
        problems.extend(machine_paths(file));
    }
    problems
}

/// Every Rust file opens with its story. Build scripts and tests may do without.
fn top_comment(file: &File) -> Option<Problem> {
    if !file.has_extension("rs") || file.name() == "build.rs" || file.is_test() {
        return None;
    }
    let first = file
        .text
        .lines()
        .find(|line| !line.trim().is_empty() && !line.starts_with("#!["));
    let told = first.is_some_and(|line| line.starts_with("//!") && line.trim().len() > "//!".len());
    (!told).then(|| {
        Problem::new(
            &file.path,
            1,
            "top-comment",
            "a file opens with `//!`: what it is for, and why",
        )
    })
}

/// A promise to do something names the issue where it is kept.
fn markers(file: &File) -> Vec<Problem> {
    let comments;
    let text = if file.has_extension("rs") {
        comments = Source::new(&file.text).comments;
        comments.as_str()
    } else if MARKED.iter().any(|kind| file.has_extension(kind)) {
        file.text.as_str()
    } else {
        return Vec::new();
    };
    let mut problems = Vec::new();
    for (number, line) in text.lines().enumerate() {
        for marker in ["TODO", "FIXME"] {
            for (before, after) in around(line, marker) {
                let inside_word = before.is_some_and(is_word) || after.starts_with(is_word);
                let with_issue = marker == "TODO" && after.starts_with("(#");
                if !inside_word && !with_issue {
                    let what = format!("{marker} without an issue: write `TODO(#issue): ...`");
                    problems.push(Problem::new(&file.path, number + 1, "marker", what));
                }
            }
        }
    }
    problems
}

/// Each place of `wanted` in the line: the character before it, and all that follows it.
fn around<'a>(line: &'a str, wanted: &'a str) -> impl Iterator<Item = (Option<char>, &'a str)> {
    line.match_indices(wanted).map(move |(at, _)| {
        let before = line.get(..at).and_then(|head| head.chars().next_back());
        (before, line.get(at + wanted.len()..).unwrap_or_default())
    })
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Folders of the machine that this was written on mean nothing to a reader elsewhere.
fn machine_paths(file: &File) -> Vec<Problem> {
    // Spelt in two parts, or this file would be its own first finding.
    let (work, shared) = (concat!("/wo", "rk"), concat!("sha", "red/"));
    let mut problems = Vec::new();
    for (number, line) in file.text.lines().enumerate() {
        let names_work = around(line, work)
            .any(|(before, after)| !before.is_some_and(in_path) && !after.starts_with(in_name));
        let names_shared = around(line, shared)
            .any(|(before, after)| !before.is_some_and(in_path) && !after.starts_with(char::is_whitespace));
        if names_work || names_shared {
            let what = "names a folder of the machine that this was written on";
            problems.push(Problem::new(&file.path, number + 1, "machine-path", what));
        }
    }
    problems
}

/// Characters that make what follows part of a longer path or word.
fn in_path(c: char) -> bool {
    in_name(c) || matches!(c, '/' | '.' | '}')
}

fn in_name(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '-')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(path: &str, text: &str) -> Vec<&'static str> {
        check(&Tree::of(&[(path, text)]))
            .into_iter()
            .map(|problem| problem.rule)
            .collect()
    }

    #[test]
    fn a_source_file_opens_with_its_story() {
        assert_eq!(rules("crates/a/src/b.rs", "//! What for.\nfn f() {}"), [""; 0]);
        assert_eq!(rules("crates/a/src/b.rs", "#![no_std]\n//! What for.\n"), [""; 0]);
        assert_eq!(
            rules("crates/a/src/b.rs", "use std::fmt;\n//! late"),
            ["top-comment"]
        );
        assert_eq!(rules("crates/a/src/b.rs", "//!\nfn f() {}"), ["top-comment"]);
        assert_eq!(rules("crates/a/src/b.rs", ""), ["top-comment"]);
        assert_eq!(rules("crates/a/build.rs", "fn main() {}"), [""; 0]);
        assert_eq!(rules("crates/a/tests/b.rs", "fn f() {}"), [""; 0]);
    }

    #[test]
    fn a_marker_names_its_issue() {
        assert_eq!(rules("a.sh", "# TODO(#12): later"), [""; 0]);
        assert_eq!(rules("a.sh", "# TODO later"), ["marker"]);
        assert_eq!(rules("a.sh", "# FIXME(#12)"), ["marker"]);
        assert_eq!(rules("a.sh", "METODOS=1; mktemp XTODO"), [""; 0]);
    }

    #[test]
    fn in_rust_only_comments_hold_markers_and_in_documents_none() {
        assert_eq!(rules("a.rs", "//! x\nlet a = \"TODO\";"), [""; 0]);
        assert_eq!(rules("a.rs", "//! x\nlet a = 1; // TODO: b"), ["marker"]);
        assert_eq!(rules("a.md", "Write no TODO."), [""; 0]);
    }

    #[test]
    fn paths_of_the_machine_are_found() {
        let work = concat!("/wo", "rk");
        assert_eq!(rules("a.md", &format!("see {work}/x")), ["machine-path"]);
        assert_eq!(rules("a.md", &format!("in `{work}`")), ["machine-path"]);
        assert_eq!(
            rules("a.md", &format!("{work}space/x and net{work}/x and {work}-dir")),
            [""; 0]
        );
        let shared = concat!("sha", "red/");
        assert_eq!(
            rules("a.md", &format!("(see {shared}style.md)")),
            ["machine-path"]
        );
        assert_eq!(
            rules("a.md", &format!("modules/{shared}main.tf and {shared} alone")),
            [""; 0]
        );
    }
}
