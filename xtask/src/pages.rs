//! Pages of documentation that are made from tables in code.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context, Result};
use cartograph_resp::table::{self, CommandInfo, Group, Route, Treatment};

/// Where the commands are documented.
const COMMANDS: &str = "docs/commands.md";

/// Every page: its path, and what it should say.
pub(crate) fn all() -> Vec<(&'static str, String)> {
    vec![(COMMANDS, commands())]
}

/// Writes every page; returns their paths.
pub(crate) fn write(root: &Path) -> Result<Vec<&'static str>> {
    let write = |(path, text): (&'static str, String)| {
        std::fs::write(root.join(path), text).with_context(|| format!("writing {path}"))?;
        Ok(path)
    };
    all().into_iter().map(write).collect()
}

const INTRODUCTION: &str = "\
<!-- Made from crates/resp/src/table by `cargo xtask docs`. Change it there. -->
# Commands

What becomes of each command of Redis 7.2 at a node's RESP door. Who wins when two regions write at once is in
[semantics](semantics.md), at length and with examples; here it is a phrase.

| here | means |
|---|---|
| replicated | becomes effects, which every region gets; the rule says what decides between concurrent writes |
| passed through | goes to the region's Redis as it came, and its reply comes back byte for byte |
| local only | is passed on for keys of the local class; refused, with the reason, for replicated keys |
| local channels only | is passed on for channels whose names begin with a prefix of the local class; refused for others |
| refused | gets an error that gives the reason |
| answered by the node | is about the connection or the node, and is answered without the Redis behind it |

*Local class* means keys with a prefix that the node's configuration calls local: they are not replicated, and every
command of the server works on them, scripts, streams, lists and blocking ones included. Commands of the modules of a
region's Redis that only read are passed through; their other commands are local only.

With several nodes a region, a command runs where its keys are. Those without keys run on the node that the client talks
to, but for those marked *everywhere*, whose replies are put together from all.
";

/// Groups in the order of the page, with their titles.
const GROUPS: &[(Group, &str)] = &[
    (Group::String, "Strings and numbers"),
    (Group::Bitmap, "Bitmaps"),
    (Group::Hash, "Hashes"),
    (Group::Set, "Sets"),
    (Group::SortedSet, "Sorted sets"),
    (Group::Geo, "Geo indexes"),
    (Group::HyperLogLog, "HyperLogLogs"),
    (Group::Generic, "Keys of any type"),
    (Group::List, "Lists"),
    (Group::Stream, "Streams"),
    (Group::PubSub, "Publish and subscribe"),
    (Group::Transactions, "Transactions"),
    (Group::Scripting, "Scripts and functions"),
    (Group::Connection, "Connections"),
    (Group::Server, "Server"),
    (Group::Cluster, "Cluster"),
    (Group::Cartograph, "Cartograph's own"),
];

fn commands() -> String {
    let mut page = INTRODUCTION.to_owned();
    for (group, title) in GROUPS {
        // Writing to a string cannot fail.
        let _ = write!(
            page,
            "\n## {title}\n\n| command | does | here | rule or reason | since |\n|---|---|---|---|---|\n"
        );
        for command in table::all().filter(|command| command.group == *group) {
            row(command, &mut page);
            for sub in command.subcommands {
                row(sub, &mut page);
            }
        }
    }
    page
}

fn row(command: &CommandInfo, page: &mut String) {
    let CommandInfo {
        name,
        summary,
        merge,
        since,
        ..
    } = command;
    // What becomes of a command that is nothing without a subcommand stands at each of these.
    let here = match (command.subcommands, command.treatment) {
        ([_, ..], _) if command.arity <= -2 => "by subcommand",
        (_, treatment) => treatment.name(),
    };
    let merge = match (here, command.treatment) {
        ("by subcommand", _) => "",
        (_, Treatment::Read) if merge.is_empty() && command.route == Route::FannedOut => "everywhere",
        _ => merge,
    };
    let name = name.replace('|', " ").to_uppercase();
    let since = since.strip_suffix(".0").unwrap_or(since);
    let _ = writeln!(page, "| `{name}` | {summary} | {here} | {merge} | {since} |");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_a_row() {
        let page = commands();
        for command in table::all() {
            let rows = page
                .matches(&format!("\n| `{}` |", command.name.to_uppercase()))
                .count();
            assert_eq!(rows, 1, "{}", command.name);
        }
        assert!(page.contains("| `CONFIG GET` |"));
        assert!(
            page.lines()
                .filter(|line| line.starts_with('|'))
                .all(|line| matches!(line.matches('|').count(), 3 | 6))
        );
    }
}
