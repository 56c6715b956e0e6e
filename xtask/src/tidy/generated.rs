//! Pages made from tables in code are up to date.
//!
//! They are committed, so that they can be read where the repository is read; and so they could lag behind.

use super::{Problem, Tree};
use crate::pages;

pub(super) fn check(tree: &Tree) -> Vec<Problem> {
    pages::all()
        .into_iter()
        .filter_map(|(path, wanted)| compare(tree, path, &wanted))
        .collect()
}

fn compare(tree: &Tree, path: &str, wanted: &str) -> Option<Problem> {
    let what = match tree.get(path) {
        None => "is missing",
        Some(file) if file.text != wanted => "is out of date",
        Some(_) => return None,
    };
    Some(Problem::new(
        path,
        0,
        "generated",
        format!("{what}: run `cargo xtask docs`"),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_that_differs_from_its_table_is_a_problem() {
        let tree = Tree::of(&[("docs/a.md", "# A\n")]);
        assert_eq!(compare(&tree, "docs/a.md", "# A\n"), None);
        assert!(
            compare(&tree, "docs/a.md", "# B\n")
                .unwrap()
                .to_string()
                .contains("out of date")
        );
        assert!(
            compare(&tree, "docs/b.md", "# B\n")
                .unwrap()
                .to_string()
                .contains("missing")
        );
    }
}
