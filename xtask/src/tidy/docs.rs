//! Documents: one title each, and links that lead somewhere.
//!
//! Only links inside the repository are followed, to their file and, in another document, to their heading.

use std::collections::BTreeSet;

use super::{File, Problem, Tree};

pub(super) fn check(tree: &Tree) -> Vec<Problem> {
    let known: BTreeSet<&str> = tree
        .paths
        .iter()
        .flat_map(|path| {
            path.match_indices('/')
                .filter_map(|(at, _)| path.get(..at))
                .chain([path.as_str()])
        })
        .collect();
    let documents = tree.files.iter().filter(|file| file.has_extension("md"));
    documents
        .flat_map(|file| one_title(file).into_iter().chain(links(tree, &known, file)))
        .collect()
}

/// The lines outside fenced code, numbered from 1; inside a fence a line is empty.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut fence: Option<&str> = None;
    text.lines().enumerate().map(move |(index, line)| {
        let trimmed = line.trim_start();
        let opens = ["```", "~~~"].into_iter().find(|mark| trimmed.starts_with(mark));
        let shown = match (fence, opens) {
            (None, None) => line,
            (None, Some(mark)) => {
                fence = Some(mark);
                ""
            }
            (Some(open), Some(mark)) if open == mark => {
                fence = None;
                ""
            }
            (Some(_), _) => "",
        };
        (index + 1, shown)
    })
}

fn one_title(file: &File) -> Vec<Problem> {
    let titles: Vec<usize> = prose(&file.text)
        .filter(|(_, line)| line.starts_with("# "))
        .map(|(number, _)| number)
        .collect();
    match titles.as_slice() {
        [] => vec![Problem::new(
            &file.path,
            0,
            "docs",
            "has no title: one line `# ...`",
        )],
        [_one, rest @ ..] => rest
            .iter()
            .map(|number| Problem::new(&file.path, *number, "docs", "is a second title"))
            .collect(),
    }
}

fn links(tree: &Tree, known: &BTreeSet<&str>, file: &File) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (number, line) in prose(&file.text) {
        for target in targets(line) {
            if let Some(what) = broken(tree, known, file, target) {
                problems.push(Problem::new(&file.path, number, "docs", what));
            }
        }
    }
    problems
}

/// Targets of `[text](target)`, `![text](target)` and `[name]: target` outside of code spans.
fn targets(line: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut in_code = false;
    for (at, c) in line.char_indices() {
        if c == '`' {
            in_code = !in_code;
        }
        let rest = line.get(at..).unwrap_or_default();
        if let Some(inside) = rest.strip_prefix("](").filter(|_| !in_code) {
            let target = inside.split([')', ' ']).next().unwrap_or_default();
            found.push(target.trim_matches(['<', '>']));
        }
    }
    if let Some((name, target)) = line.split_once("]: ")
        && name.starts_with('[')
        && !name.starts_with("[^")
    {
        found.push(target.split(' ').next().unwrap_or_default());
    }
    found
}

/// Why a link leads nowhere; `None` when it leads somewhere or out of the repository.
fn broken(tree: &Tree, known: &BTreeSet<&str>, file: &File, target: &str) -> Option<String> {
    let elsewhere = target.contains("://") || target.starts_with("mailto:");
    if elsewhere {
        return None;
    }
    let (path, heading) = target
        .split_once('#')
        .map_or((target, None), |(path, heading)| (path, Some(heading)));
    let Some(path) = resolve(&file.path, path) else {
        return Some(format!("link leads out of the repository: {target}"));
    };
    if !path.is_empty() && !known.contains(path.as_str()) {
        return Some(format!("link leads nowhere: {target}"));
    }
    let document = tree.get(&path).filter(|document| document.has_extension("md"))?;
    let heading = heading?;
    let has = prose(&document.text).any(|(_, line)| line.starts_with('#') && slug(line) == heading);
    (!has).then(|| format!("link leads to a heading that is not there: {target}"))
}

/// The path from the root of a link in the document `from`; `None` when it climbs past the root.
fn resolve(from: &str, link: &str) -> Option<String> {
    if link.is_empty() {
        return Some(from.to_owned());
    }
    let mut parts: Vec<&str> = if link.starts_with('/') {
        Vec::new()
    } else {
        from.split('/').collect()
    };
    parts.pop();
    for part in link.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            name => parts.push(name),
        }
    }
    Some(parts.join("/"))
}

/// The anchor that a heading gets where documents are shown: lower case, spaces to dashes, punctuation gone.
fn slug(heading: &str) -> String {
    let text = heading.trim_start_matches('#').trim().to_lowercase();
    text.chars()
        .filter_map(|c| match c {
            ' ' => Some('-'),
            c if c.is_alphanumeric() || matches!(c, '-' | '_') => Some(c),
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(files: &[(&str, &str)]) -> Vec<String> {
        check(&Tree::of(files)).iter().map(Problem::to_string).collect()
    }

    #[test]
    fn a_document_has_one_title() {
        assert_eq!(
            problems(&[("a.md", "# A\n## B\n```sh\n# a comment\n```\n")]),
            [""; 0]
        );
        assert!(problems(&[("a.md", "text\n")])[0].contains("no title"));
        assert_eq!(
            problems(&[("a.md", "# A\n\n# B\n")]),
            ["a.md:3: is a second title [docs]"]
        );
    }

    #[test]
    fn links_resolve_from_the_document() {
        let there = [(
            "docs/a.md",
            "# A\n[b](b.md) [r](../README.md#the-two-words) ![p](/x/p.txt) [d](adr)\n[u]: adr/1.md\n",
        )];
        let files = [
            ("docs/b.md", "# B\n"),
            ("README.md", "# R\n## The two: words\n"),
            ("x/p.txt", ""),
            ("docs/adr/1.md", "# 1\n"),
        ];
        assert_eq!(problems(&[there.as_slice(), files.as_slice()].concat()), [""; 0]);
    }

    #[test]
    fn links_that_lead_nowhere_are_found() {
        let found = problems(&[(
            "docs/a.md",
            "# A\n[b](gone.md)\n[c](../../x)\n[d](#not-here)\n[e]: also/gone\n",
        )]);
        assert_eq!(found.len(), 4, "{found:?}");
        assert!(
            found[0].starts_with("docs/a.md:2: link leads nowhere"),
            "{found:?}"
        );
        assert!(found[1].contains("out of the repository"), "{found:?}");
        assert!(found[2].contains("heading"), "{found:?}");
    }

    #[test]
    fn what_is_code_or_elsewhere_is_no_link() {
        let text = "# A\n`[x](gone)` [web](https://example.org/x) <https://example.org>\n```\n[y](gone)\n```\n[^1]: a note\n";
        assert_eq!(problems(&[("a.md", text)]), [""; 0]);
    }
}
