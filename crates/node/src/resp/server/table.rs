//! The command table as COMMAND and the users see it.

use cartograph_resp::Value;
use cartograph_resp::table::{self, Begin, CommandInfo, Find, KeySpec};

use super::args::{count, flag, text, word};

fn signed(n: isize) -> Value {
    Value::Integer(i64::try_from(n).unwrap_or(i64::MAX))
}

/// Every command, without its subcommands.
pub(super) fn commands() -> impl Iterator<Item = &'static CommandInfo> {
    table::all()
}

/// A command and its subcommands.
pub(super) fn family(info: &'static CommandInfo) -> impl Iterator<Item = &'static CommandInfo> {
    std::iter::once(info).chain(info.subcommands)
}

/// An entry of COMMAND, as Redis 7 gives it.
pub(super) fn entry(info: &'static CommandInfo) -> Value {
    let (first, last, step) = info.key_range();
    let categories = info
        .acl_categories
        .names()
        .map(|c| Value::Simple(format!("@{c}").into()));
    let subcommands = if info.subcommands.is_empty() {
        Value::Set(Vec::new())
    } else {
        Value::Array(info.subcommands.iter().map(entry).collect())
    };
    Value::Array(vec![
        word(info.name),
        Value::Integer(i64::from(info.arity)),
        Value::Set(info.flags.names().map(flag).collect()),
        signed(first),
        signed(last),
        count(step),
        Value::Set(categories.collect()),
        Value::Set(Vec::new()),
        Value::Set(info.keys.iter().map(spec).collect()),
        subcommands,
    ])
}

/// What a spec says of its keys, in Redis's words.
pub(super) fn key_flags(spec: &KeySpec) -> Vec<&'static str> {
    let notes = spec.notes.split(' ').filter(|n| !n.is_empty());
    if spec.is_not_key() {
        notes.collect()
    } else {
        std::iter::once(spec.access.name()).chain(notes).collect()
    }
}

fn spec(spec: &KeySpec) -> Value {
    let (begin, begin_spec) = match spec.begin {
        Begin::Index(index) => ("index", vec![(word("index"), count(index))]),
        Begin::Keyword { word: keyword, from } => (
            "keyword",
            vec![
                (word("keyword"), text(keyword)),
                (word("startfrom"), signed(from)),
            ],
        ),
        Begin::Unknown => ("unknown", Vec::new()),
    };
    let (find, find_spec) = match spec.find {
        Find::Range { last, step, limit } => (
            "range",
            vec![
                (word("lastkey"), signed(last)),
                (word("keystep"), count(step)),
                (word("limit"), count(limit)),
            ],
        ),
        Find::Count { at, first, step } => (
            "keynum",
            vec![
                (word("keynumidx"), count(at)),
                (word("firstkey"), count(first)),
                (word("keystep"), count(step)),
            ],
        ),
        Find::Unknown => ("unknown", Vec::new()),
    };
    let part = |kind: &'static str, inside| {
        Value::Map(vec![
            (word("type"), word(kind)),
            (word("spec"), Value::Map(inside)),
        ])
    };
    Value::Map(vec![
        (
            word("flags"),
            Value::Set(key_flags(spec).into_iter().map(flag).collect()),
        ),
        (word("begin_search"), part(begin, begin_spec)),
        (word("find_keys"), part(find, find_spec)),
    ])
}
