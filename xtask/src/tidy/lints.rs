//! A pure crate's clippy.toml repeats the root's, and forbids hash tables besides.
//!
//! Clippy reads one file: the nearest. A crate that wants one ban more has to repeat all the others, and would silently
//! lack each that the root gains later.

use toml::{Table, Value};

use super::{PURE, Problem, Tree};

const ROOT: &str = "clippy.toml";

/// What pure crates ban besides: iteration order that differs between runs, and randomness inside.
const PURE_TYPES: &[&str] = &["std::collections::HashMap", "std::collections::HashSet"];

pub(super) fn check(tree: &Tree) -> Vec<Problem> {
    let root = match table(tree, ROOT) {
        Ok(root) => root,
        Err(problem) => return vec![problem],
    };
    let mut problems: Vec<Problem> = bans(&root).filter_map(|ban| without_reason(ROOT, ban)).collect();
    for folder in PURE
        .iter()
        .filter(|folder| tree.get(&format!("crates/{folder}/Cargo.toml")).is_some())
    {
        let path = format!("crates/{folder}/{ROOT}");
        match table(tree, &path) {
            Ok(own) => problems.extend(compare(&path, &root, &own)),
            Err(problem) => problems.push(problem),
        }
    }
    problems
}

fn table(tree: &Tree, path: &str) -> Result<Table, Problem> {
    let file = tree
        .get(path)
        .ok_or_else(|| Problem::new(path, 0, "lints", "is missing"))?;
    file.text
        .parse()
        .map_err(|error| Problem::new(path, 0, "lints", format!("is no TOML: {error}")))
}

/// All entries of all `disallowed-*` lists.
fn bans(table: &Table) -> impl Iterator<Item = &Value> {
    table
        .iter()
        .filter(|(key, _)| key.starts_with("disallowed-"))
        .filter_map(|(_, list)| list.as_array())
        .flatten()
}

fn path_of(ban: &Value) -> &str {
    ban.get("path")
        .and_then(Value::as_str)
        .or_else(|| ban.as_str())
        .unwrap_or("?")
}

fn without_reason(file: &str, ban: &Value) -> Option<Problem> {
    let reason = ban.get("reason").and_then(Value::as_str).unwrap_or_default();
    reason.is_empty().then(|| {
        Problem::new(
            file,
            0,
            "lints",
            format!("{} is banned without a reason", path_of(ban)),
        )
    })
}

fn compare(path: &str, root: &Table, own: &Table) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut problem = |what: String| problems.push(Problem::new(path, 0, "lints", what));
    for (key, value) in root {
        match (value.as_array(), own.get(key)) {
            (_, None) => problem(format!("lacks {key}, which the root's has")),
            (Some(wanted), Some(found)) => {
                let found = found.as_array().map(Vec::as_slice).unwrap_or_default();
                for item in wanted.iter().filter(|item| !found.contains(item)) {
                    problem(format!("{key} lacks {}, as the root has it", path_of(item)));
                }
            }
            (None, Some(found)) if found != value => problem(format!("{key} differs from the root's")),
            (None, Some(_)) => {}
        }
    }
    let types = own
        .get("disallowed-types")
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default();
    for wanted in PURE_TYPES
        .iter()
        .filter(|wanted| !types.iter().any(|found| path_of(found) == **wanted))
    {
        problem(format!("disallowed-types lacks {wanted}"));
    }
    problems.extend(bans(own).filter_map(|ban| without_reason(path, ban)));
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOT_LIST: &str =
        "allow-unwrap-in-tests = true\ndisallowed-methods = [{ path = \"a::b\", reason = \"c\" }]\n";
    const HASHES: &str = "disallowed-types = [\
        { path = \"std::collections::HashMap\", reason = \"order\" },\
        { path = \"std::collections::HashSet\", reason = \"order\" },\
        ]\n";

    fn problems(root: &str, own: &str) -> Vec<String> {
        let tree = Tree::of(&[
            ("clippy.toml", root),
            ("crates/crdt/Cargo.toml", ""),
            ("crates/crdt/clippy.toml", own),
        ]);
        check(&tree).iter().map(Problem::to_string).collect()
    }

    #[test]
    fn a_repeated_list_with_hashes_is_right() {
        assert_eq!(problems(ROOT_LIST, &format!("{ROOT_LIST}{HASHES}")), [""; 0]);
    }

    #[test]
    fn what_the_root_gains_is_missed() {
        let grown = ROOT_LIST.replace("}]", "}, { path = \"d::e\", reason = \"f\" }]");
        let found = problems(&grown, &format!("{ROOT_LIST}{HASHES}"));
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains("lacks d::e"), "{found:?}");
    }

    #[test]
    fn a_changed_reason_or_setting_is_a_difference() {
        let own = format!("{ROOT_LIST}{HASHES}");
        assert_eq!(problems(ROOT_LIST, &own.replace("\"c\"", "\"x\"")).len(), 1);
        assert_eq!(problems(ROOT_LIST, &own.replacen("true", "false", 1)).len(), 1);
        assert_eq!(problems(ROOT_LIST, ROOT_LIST).len(), 2);
    }

    #[test]
    fn a_ban_gives_its_reason() {
        let root = ROOT_LIST.replace(", reason = \"c\"", "");
        let found = problems(&root, &format!("{root}{HASHES}"));
        assert!(
            found.iter().all(|problem| problem.contains("without a reason")),
            "{found:?}"
        );
        assert_eq!(found.len(), 2);
    }

    #[test]
    fn a_pure_crate_without_a_list_is_a_problem() {
        let tree = Tree::of(&[("clippy.toml", ROOT_LIST), ("crates/engine/Cargo.toml", "")]);
        assert_eq!(check(&tree).len(), 1);
    }
}
