//! Every error code that a client can see has a page, and every page a code.
//!
//! A code is written in full wherever it stands (`CG-` and four digits), so that one search finds its origin. A page
//! says, in the form of docs/errors/README.md, whether the error is definite or unknown: clients act on that.

use std::collections::BTreeMap;

use super::rust::{Source, test_items, without};
use super::{Problem, Tree};

const PAGES: &str = "docs/errors/";

pub(super) fn check(tree: &Tree) -> Vec<Problem> {
    let mut problems = Vec::new();
    let used = used_codes(tree);
    for (code, (path, line)) in &used {
        if tree.get(&format!("{PAGES}{code}.md")).is_none() {
            let what = format!("{code} has no page: write {PAGES}{code}.md");
            problems.push(Problem::new(path, *line, "error-code", what));
        }
    }
    for file in tree
        .files
        .iter()
        .filter(|file| file.path.starts_with(PAGES) && file.name() != "README.md")
    {
        let Some(code) = file
            .name()
            .strip_suffix(".md")
            .filter(|name| codes_in(name).eq([*name]))
        else {
            problems.push(Problem::new(
                &file.path,
                0,
                "error-code",
                "is no page of an error code",
            ));
            continue;
        };
        if !used.contains_key(code) {
            problems.push(Problem::new(
                &file.path,
                0,
                "error-code",
                format!("no code uses {code}"),
            ));
        }
        if !file.text.starts_with(&format!("# {code}: ")) {
            let what = format!("begins with its code and what it means: `# {code}: ...`");
            problems.push(Problem::new(&file.path, 1, "error-code", what));
        }
        if !["**Definite**", "**Unknown**"]
            .iter()
            .any(|word| file.text.contains(word))
        {
            let what =
                "says neither **Definite** (did not and will not happen) nor **Unknown** (may be committed)";
            problems.push(Problem::new(&file.path, 0, "error-code", what));
        }
    }
    problems
}

/// Codes in the product's Rust code, tests and comments left out, with the first place of each.
fn used_codes(tree: &Tree) -> BTreeMap<String, (String, usize)> {
    let mut used = BTreeMap::new();
    for file in tree
        .rust()
        .filter(|file| file.path.starts_with("crates/") && !file.is_test())
    {
        let source = Source::new(&file.text);
        let product = without(&source.uncommented, &test_items(&source.code));
        for (index, line) in product.lines().enumerate() {
            for code in codes_in(line) {
                used.entry(code.to_owned())
                    .or_insert_with(|| (file.path.clone(), index + 1));
            }
        }
    }
    used
}

/// Every whole `CG-NNNN` in a text.
fn codes_in(text: &str) -> impl Iterator<Item = &str> {
    text.match_indices("CG-").filter_map(|(at, _)| {
        let digits = text.get(at + 3..)?.bytes().take_while(u8::is_ascii_digit).count();
        (digits == 4).then(|| text.get(at..at + 7)).flatten()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "# CG-0001: the cart is full\n\n**Definite**: nothing was written.\n";
    const CODE: &str = "//! x\nconst FULL: &str = \"CG-0001\";\n";

    fn problems(files: &[(&str, &str)]) -> Vec<String> {
        check(&Tree::of(files)).iter().map(Problem::to_string).collect()
    }

    #[test]
    fn a_code_with_its_page_is_right() {
        assert_eq!(
            problems(&[("crates/node/src/a.rs", CODE), ("docs/errors/CG-0001.md", PAGE)]),
            [""; 0]
        );
    }

    #[test]
    fn a_code_without_a_page_and_a_page_without_a_code_are_problems() {
        assert!(
            problems(&[("crates/node/src/a.rs", CODE)])[0]
                .contains("crates/node/src/a.rs:2: CG-0001 has no page")
        );
        assert!(problems(&[("docs/errors/CG-0001.md", PAGE)])[0].contains("no code uses CG-0001"));
    }

    #[test]
    fn comments_and_tests_use_no_code() {
        let text = "//! CG-0001\nfn f() {} // CG-0001\n#[cfg(test)]\nmod tests {\n  const A: &str = \"CG-0001\";\n}\n";
        let found = problems(&[("crates/node/src/a.rs", text), ("docs/errors/CG-0001.md", PAGE)]);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains("no code uses"), "{found:?}");
    }

    #[test]
    fn a_page_has_its_form() {
        let found = problems(&[
            ("crates/node/src/a.rs", CODE),
            ("docs/errors/CG-0001.md", "# Full\n"),
        ]);
        assert_eq!(found.len(), 2, "{found:?}");
        assert_eq!(problems(&[("docs/errors/full.md", PAGE)]).len(), 1);
        assert_eq!(problems(&[("docs/errors/README.md", "# Errors\n")]), [""; 0]);
    }

    #[test]
    fn a_code_has_four_digits() {
        assert_eq!(
            codes_in("CG-12 CG-12345 CG-NNNN XCG-0042.").collect::<Vec<_>>(),
            ["CG-0042"]
        );
    }
}
