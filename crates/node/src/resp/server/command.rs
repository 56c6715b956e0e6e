//! COMMAND: what there is, and what each command does to which keys. Clients route and prefix by it.

use bytes::Bytes;
use cartograph_resp::Value;
use cartograph_resp::table::{self, Begin, CommandInfo, KeyAt, KeySpec, NO_MANDATORY_KEYS};

use super::super::context::Context;
use super::args::{count, flag, is, lower, text, word};
use super::errors::{SYNTAX, error, wrong_arity};
use super::table::{commands, entry, family, key_flags};
use super::users::glob;

/// COMMAND
pub(super) fn all() -> Value {
    Value::Array(commands().map(entry).collect())
}

/// COMMAND with its subcommand, lower case, and what follows.
pub(super) fn answer(sub: &str, arguments: &[Bytes]) -> Value {
    match (sub, arguments) {
        ("count", []) => count(commands().count()),
        ("info", []) => all(),
        ("info", names) => {
            let shown = |name: &Bytes| named(name).map_or(Value::Null, entry);
            Value::Array(names.iter().map(shown).collect())
        }
        ("docs", []) => Value::Map(commands().map(documented).collect()),
        ("docs", names) => Value::Map(names.iter().filter_map(|n| named(n)).map(documented).collect()),
        ("list", filter) => list(filter),
        ("getkeys", command @ [_, ..]) => match keys(command) {
            Ok((_, keys)) => Value::Array(keys.iter().filter_map(|k| at(command, *k)).collect()),
            Err(refused) => refused,
        },
        ("getkeysandflags", command @ [_, ..]) => match keys(command) {
            Ok((info, keys)) => {
                let shown = keys.iter().filter_map(|key| {
                    let flags = key_flags_at(info, *key).into_iter().map(flag);
                    Some(Value::Array(vec![
                        at(command, *key)?,
                        Value::Set(flags.collect()),
                    ]))
                });
                Value::Array(shown.collect())
            }
            Err(refused) => refused,
        },
        _ => wrong_arity(&format!("command|{sub}")),
    }
}

fn at(command: &[Bytes], key: KeyAt) -> Option<Value> {
    command.get(key.at).cloned().map(Value::Bulk)
}

/// A command, or a subcommand as `config|get`.
fn named(name: &[u8]) -> Option<&'static CommandInfo> {
    let name = lower(name);
    let (group, sub) = match name.split_once('|') {
        Some((group, sub)) => (group, Some(sub)),
        None => (name.as_str(), None),
    };
    let info = table::find(group.as_bytes())?;
    match sub {
        None => Some(info),
        Some(_) => info.subcommands.iter().find(|c| c.name == name),
    }
}

fn documented(info: &'static CommandInfo) -> (Value, Value) {
    let mut parts = vec![
        (word("summary"), text(info.summary)),
        (word("since"), text(info.since)),
        (word("group"), text(info.group.name())),
    ];
    if !info.subcommands.is_empty() {
        let subcommands = info.subcommands.iter().map(documented);
        parts.push((word("subcommands"), Value::Map(subcommands.collect())));
    }
    (word(info.name), Value::Map(parts))
}

/// COMMAND LIST [FILTERBY MODULE name | ACLCAT category | PATTERN glob]
fn list(filter: &[Bytes]) -> Value {
    let all = commands().flat_map(family);
    let names: Vec<Value> = match filter {
        [] => all.map(|c| word(c.name)).collect(),
        [by, kind, _] if is(by, "filterby") && is(kind, "module") => Vec::new(),
        [by, kind, category] if is(by, "filterby") && is(kind, "aclcat") => {
            let category = lower(category);
            let of_it = |c: &&CommandInfo| c.acl_categories.names().any(|n| n == category);
            all.filter(of_it).map(|c| word(c.name)).collect()
        }
        [by, kind, pattern] if is(by, "filterby") && is(kind, "pattern") => {
            let matching = |c: &&CommandInfo| glob::matches(pattern, c.name.as_bytes(), true);
            all.filter(matching).map(|c| word(c.name)).collect()
        }
        _ => return error(SYNTAX),
    };
    Value::Array(names)
}

/// The keys that a command names, with what it does to them.
fn keys(command: &[Bytes]) -> Result<(&'static CommandInfo, Vec<KeyAt>), Value> {
    let info = Context::resolve(command).map_err(|_| error("ERR Invalid command specified"))?;
    if info.keys.iter().all(KeySpec::is_not_key) {
        return Err(error("ERR The command has no key arguments"));
    }
    if !info.accepts(command.len()) {
        return Err(error("ERR Invalid number of arguments specified for command"));
    }
    let invalid = || error("ERR Invalid arguments specified for command");
    let found = info.keys_of(command).map_err(|_| invalid())?;
    if found.is_empty() && !info.flags.has(NO_MANDATORY_KEYS) {
        return Err(invalid());
    }
    Ok((info, found))
}

/// What the command does to the key, in Redis's words: what the first spec with this access says.
fn key_flags_at(info: &CommandInfo, key: KeyAt) -> Vec<&'static str> {
    let specs = info.keys.iter().filter(|spec| !spec.is_not_key());
    let fitting = specs
        .filter(|spec| spec.access == key.access)
        .min_by_key(|spec| match spec.begin {
            Begin::Index(at) => at.abs_diff(key.at),
            Begin::Keyword { .. } | Begin::Unknown => usize::MAX,
        });
    fitting.map_or_else(|| vec![key.access.name()], key_flags)
}
