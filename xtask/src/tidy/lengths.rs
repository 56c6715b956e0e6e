//! How long a file and a function may be, as ratchets.
//!
//! Past a length nobody reads the whole. `xtask/tidy-exceptions.toml` lists what is longer today, each with its length
//! and a reason; an entry must fit exactly, so that what gets shorter stays shorter and growth shows in review.

use anyhow::{Context, Result};
use serde::Deserialize;

use super::rust::{Source, functions};
use super::{File, Problem, Tree};

const FILE_LINES_MAX: usize = 800;
const FUNCTION_LINES_MAX: usize = 70;
const EXCEPTIONS: &str = "xtask/tidy-exceptions.toml";

/// Kinds of files that are read and written as code.
const CODE: &[&str] = &["css", "html", "js", "lua", "proto", "py", "rs", "sh", "tf"];

/// The exceptions file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Exceptions {
    #[serde(default)]
    exception: Vec<Exception>,
}

/// One thing that is longer than it should be.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Exception {
    path: String,
    /// A function of that file; without it the file itself is meant.
    function: Option<String>,
    /// Its length in lines, exactly.
    limit: usize,
    reason: String,
}

/// A thing and its length.
#[derive(Debug)]
struct Measured<'a> {
    path: &'a str,
    function: Option<String>,
    line: usize,
    lines: usize,
}

impl Measured<'_> {
    fn limit(&self) -> usize {
        if self.function.is_some() {
            FUNCTION_LINES_MAX
        } else {
            FILE_LINES_MAX
        }
    }

    fn is_of(&self, exception: &Exception) -> bool {
        self.path == exception.path && self.function == exception.function
    }

    fn describe(&self) -> String {
        match &self.function {
            Some(name) => format!("function {name} has {} lines", self.lines),
            None => format!("file has {} lines", self.lines),
        }
    }
}

pub(super) fn check(tree: &Tree) -> Result<Vec<Problem>> {
    let exceptions: Exceptions = match tree.get(EXCEPTIONS) {
        Some(file) => toml::from_str(&file.text).with_context(|| format!("reading {EXCEPTIONS}"))?,
        None => Exceptions::default(),
    };
    let measured: Vec<Measured<'_>> = tree
        .files
        .iter()
        .filter(|file| CODE.iter().any(|kind| file.has_extension(kind)))
        .flat_map(measure)
        .collect();
    let mut problems = Vec::new();
    for one in measured.iter().filter(|one| one.lines > one.limit()) {
        if !exceptions.exception.iter().any(|exception| one.is_of(exception)) {
            let what = format!(
                "{}, {} at most: split it, or list it in {EXCEPTIONS}",
                one.describe(),
                one.limit()
            );
            problems.push(Problem::new(one.path, one.line, "length", what));
        }
    }
    problems.extend(
        exceptions
            .exception
            .iter()
            .filter_map(|exception| check_exception(exception, &measured)),
    );
    Ok(problems)
}

/// The file, and each of its functions.
fn measure(file: &File) -> Vec<Measured<'_>> {
    let mut all = vec![Measured {
        path: &file.path,
        function: None,
        line: 0,
        lines: file.text.lines().count(),
    }];
    if file.has_extension("rs") {
        all.extend(
            functions(&Source::new(&file.text).code)
                .into_iter()
                .map(|function| Measured {
                    path: &file.path,
                    function: Some(function.name),
                    line: function.line,
                    lines: function.lines,
                }),
        );
    }
    all
}

/// An exception must be needed, say why, and fit exactly.
fn check_exception(exception: &Exception, measured: &[Measured<'_>]) -> Option<Problem> {
    let problem = |what: String| Some(Problem::new(EXCEPTIONS, 0, "length", what));
    let of = exception
        .function
        .as_ref()
        .map_or_else(String::new, |name| format!(", function {name}"));
    let named = format!("{}{of}", exception.path);
    // Two functions of one file may share a name: the exception is for the longest.
    let Some(longest) = measured
        .iter()
        .filter(|one| one.is_of(exception))
        .max_by_key(|one| one.lines)
    else {
        return problem(format!("{named} does not exist: drop its entry"));
    };
    if exception.reason.trim().is_empty() {
        return problem(format!("{named} gives no reason"));
    }
    if longest.lines <= longest.limit() {
        return problem(format!(
            "{named}: {}, no exception is needed: drop its entry",
            longest.describe()
        ));
    }
    if longest.lines > exception.limit {
        return problem(format!(
            "{named}: {}, its exception says {}: it may only shrink",
            longest.describe(),
            exception.limit
        ));
    }
    if longest.lines < exception.limit {
        return problem(format!(
            "{named}: {}, its exception says {}: lower it",
            longest.describe(),
            exception.limit
        ));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(count: usize) -> String {
        "//\n".repeat(count)
    }

    fn function(lines: usize) -> String {
        format!("fn long() {{\n{}}}\n", "    x;\n".repeat(lines - 2))
    }

    fn problems(files: &[(&str, &str)]) -> Vec<String> {
        check(&Tree::of(files))
            .unwrap()
            .iter()
            .map(Problem::to_string)
            .collect()
    }

    fn exception(limit: usize, function: &str) -> String {
        format!("[[exception]]\npath = \"a.rs\"\n{function}limit = {limit}\nreason = \"a table\"\n")
    }

    #[test]
    fn the_limits_hold_at_the_limit_and_one_past_it() {
        assert_eq!(problems(&[("a.rs", &lines(FILE_LINES_MAX))]), [""; 0]);
        assert_eq!(problems(&[("a.rs", &lines(FILE_LINES_MAX + 1))]).len(), 1);
        assert_eq!(problems(&[("a.rs", &function(FUNCTION_LINES_MAX))]), [""; 0]);
        assert_eq!(problems(&[("a.rs", &function(FUNCTION_LINES_MAX + 1))]).len(), 1);
    }

    #[test]
    fn documents_and_lock_files_may_be_long() {
        assert_eq!(
            problems(&[("a.md", &lines(2000)), ("Cargo.lock", &lines(2000))]),
            [""; 0]
        );
    }

    #[test]
    fn an_exception_must_fit_exactly() {
        let file = lines(900);
        assert_eq!(
            problems(&[("a.rs", &file), (EXCEPTIONS, &exception(900, ""))]),
            [""; 0]
        );
        let grown = problems(&[("a.rs", &file), (EXCEPTIONS, &exception(899, ""))]);
        assert!(grown[0].contains("may only shrink"), "{grown:?}");
        let generous = problems(&[("a.rs", &file), (EXCEPTIONS, &exception(901, ""))]);
        assert!(generous[0].contains("lower it"), "{generous:?}");
    }

    #[test]
    fn an_exception_for_a_function_is_for_that_function() {
        let text = function(80);
        let listed = exception(80, "function = \"long\"\n");
        assert_eq!(problems(&[("a.rs", &text), (EXCEPTIONS, &listed)]), [""; 0]);
        let other = exception(80, "function = \"other\"\n");
        assert_eq!(problems(&[("a.rs", &text), (EXCEPTIONS, &other)]).len(), 2);
    }

    #[test]
    fn an_exception_that_is_not_needed_or_not_explained_is_a_problem() {
        let needless = problems(&[("a.rs", "//\n"), (EXCEPTIONS, &exception(900, ""))]);
        assert!(needless[0].contains("drop its entry"), "{needless:?}");
        let gone = problems(&[(EXCEPTIONS, &exception(900, ""))]);
        assert!(gone[0].contains("does not exist"), "{gone:?}");
        let silent = exception(900, "").replace("a table", " ");
        assert!(problems(&[("a.rs", &lines(900)), (EXCEPTIONS, &silent)])[0].contains("no reason"));
    }
}
