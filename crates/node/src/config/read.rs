//! Reading keys: each is taken once, from the environment or else the file, and what nobody took is unknown.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;

use toml::{Table, Value};

/// A configuration that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// No such file, or no right to read it.
    #[error("the configuration {path} cannot be read: {source}", path = path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's words.
        source: std::io::Error,
    },
    /// Not TOML.
    #[error("the configuration is not TOML: {0}")]
    Syntax(Box<toml::de::Error>),
    /// Keys or values.
    #[error("the configuration is refused:{}", list(.0))]
    Invalid(Vec<Problem>),
}

fn list(problems: &[Problem]) -> String {
    problems
        .iter()
        .fold(String::new(), |text, problem| format!("{text}\n  {problem}"))
}

/// One thing that is wrong with a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The key, such as `store.kind`.
    pub key: String,
    /// What was found.
    pub found: String,
    /// What was expected.
    pub expected: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: found {}, expected {}",
            self.key, self.found, self.expected
        )
    }
}

/// Keys that nobody has taken yet.
#[derive(Debug)]
pub(super) struct Source {
    table: Table,
    variables: BTreeMap<String, String>,
    problems: Vec<Problem>,
}

/// The variable of a key.
fn variable(key: &str) -> String {
    format!("CARTOGRAPH_{}", key.replace('.', "_").to_uppercase())
}

fn quoted(value: &Value) -> String {
    match value {
        Value::String(text) => format!("{text:?}"),
        Value::Table(_) => "a table".to_owned(),
        Value::Array(_) => "a list".to_owned(),
        Value::Integer(_) | Value::Float(_) | Value::Boolean(_) | Value::Datetime(_) => value.to_string(),
    }
}

impl Source {
    pub(super) fn new(table: Table, variables: BTreeMap<String, String>) -> Self {
        Source {
            table,
            variables,
            problems: Vec::new(),
        }
    }

    pub(super) fn problem(&mut self, key: &str, found: &str, expected: &str) {
        self.problems.push(Problem {
            key: key.to_owned(),
            found: found.to_owned(),
            expected: expected.to_owned(),
        });
    }

    /// Problems of an entry of a list, under the entry's place.
    pub(super) fn nest(&mut self, place: &str, problems: Vec<Problem>) {
        let under = |p: Problem| Problem {
            key: format!("{place}.{}", p.key),
            ..p
        };
        self.problems.extend(problems.into_iter().map(under));
    }

    /// The key's value; the variable's is a text, whatever it means.
    fn take(&mut self, key: &str) -> Option<Value> {
        let from_file = take_path(&mut self.table, key);
        self.variables
            .remove(&variable(key))
            .map(Value::String)
            .or(from_file)
    }

    /// A value that must be there.
    pub(super) fn required<T>(&mut self, key: &str, value: Option<T>, expected: &str) -> Option<T> {
        let complained = self.problems.iter().any(|p| p.key == key);
        if value.is_none() && !complained {
            self.problem(key, "nothing", expected);
        }
        value
    }

    pub(super) fn text(&mut self, key: &str) -> Option<String> {
        match self.take(key)? {
            Value::String(text) if !text.is_empty() => Some(text),
            other @ (Value::String(_)
            | Value::Integer(_)
            | Value::Float(_)
            | Value::Boolean(_)
            | Value::Datetime(_)
            | Value::Array(_)
            | Value::Table(_)) => {
                self.problem(key, &quoted(&other), "a text that is not empty");
                None
            }
        }
    }

    pub(super) fn path(&mut self, key: &str) -> Option<PathBuf> {
        self.text(key).map(PathBuf::from)
    }

    pub(super) fn name(&mut self, key: &str, default: Option<&str>) -> Option<String> {
        let expected = "1 to 63 letters, digits, `-`, `_` and `.`";
        match self.take(key) {
            Some(Value::String(name)) if super::is_region_name(&name) => Some(name),
            Some(other) => {
                self.problem(key, &quoted(&other), expected);
                None
            }
            None => self.required(key, default.map(str::to_owned), expected),
        }
    }

    pub(super) fn flag(&mut self, key: &str, default: bool) -> bool {
        let Some(value) = self.take(key) else {
            return default;
        };
        let flag = match &value {
            Value::Boolean(flag) => Some(*flag),
            Value::String(text) => text.parse().ok(),
            Value::Integer(_) | Value::Float(_) | Value::Datetime(_) | Value::Array(_) | Value::Table(_) => {
                None
            }
        };
        flag.unwrap_or_else(|| {
            self.problem(key, &quoted(&value), "true or false");
            default
        })
    }

    pub(super) fn integer<T>(&mut self, key: &str, range: RangeInclusive<T>, default: Option<T>) -> Option<T>
    where
        T: TryFrom<i64> + PartialOrd + fmt::Display,
    {
        let expected = format!("an integer from {} to {}", range.start(), range.end());
        let Some(value) = self.take(key) else {
            return self.required(key, default, &expected);
        };
        let number = match &value {
            Value::Integer(number) => Some(*number),
            Value::String(text) => text.replace('_', "").parse().ok(),
            Value::Boolean(_) | Value::Float(_) | Value::Datetime(_) | Value::Array(_) | Value::Table(_) => {
                None
            }
        };
        let number = number
            .and_then(|n| T::try_from(n).ok())
            .filter(|n| range.contains(n));
        if number.is_none() {
            self.problem(key, &quoted(&value), &expected);
        }
        number
    }

    pub(super) fn word<T: Clone>(&mut self, key: &str, words: &[(&str, T)], default: Option<T>) -> Option<T> {
        let names: Vec<_> = words.iter().map(|(word, _)| format!("{word:?}")).collect();
        let expected = format!("one of {}", names.join(", "));
        let Some(value) = self.take(key) else {
            return self.required(key, default, &expected);
        };
        let found = words
            .iter()
            .find(|(word, _)| value.as_str() == Some(word))
            .map(|(_, meaning)| meaning.clone());
        if found.is_none() {
            self.problem(key, &quoted(&value), &expected);
        }
        found
    }

    pub(super) fn address(&mut self, key: &str, default: &str) -> Option<SocketAddr> {
        let value = self
            .take(key)
            .unwrap_or_else(|| Value::String(default.to_owned()));
        let address = value.as_str().and_then(|text| text.parse().ok());
        if address.is_none() {
            self.problem(
                key,
                &quoted(&value),
                "an IP address and a port, such as 127.0.0.1:7101",
            );
        }
        address
    }

    /// The entries of `[[peers]]`, or of its variable, each as a source of its own with its place.
    pub(super) fn peers(&mut self) -> Vec<(String, Option<Source>)> {
        let words = |entry: &str| {
            let (region, rest) = entry.split_once('=')?;
            let (id, address) = rest.split_once('@')?;
            Some(vec![
                ("region", region.to_owned()),
                ("id", id.to_owned()),
                ("address", address.to_owned()),
            ])
        };
        self.list("peers", "region, id and address", "NAME=ID@ADDRESS", words)
    }

    /// The entries of a list of tables with two keys; in its variable they are written `FIRST=SECOND,...`.
    pub(super) fn tables(
        &mut self,
        key: &str,
        first: &'static str,
        second: &'static str,
    ) -> Vec<(String, Option<Source>)> {
        let words = |entry: &str| {
            let (a, b) = entry.rsplit_once('=')?;
            Some(vec![(first, a.to_owned()), (second, b.to_owned())])
        };
        let form = format!("{}={}", first.to_uppercase(), second.to_uppercase());
        self.list(key, &format!("{first} and {second}"), &form, words)
    }

    /// The entries of a list of tables, or of its variable (`form`, separated by commas), each as a source of its own
    /// with its place.
    fn list(
        &mut self,
        key: &str,
        parts: &str,
        form: &str,
        words: impl Fn(&str) -> Option<Vec<(&'static str, String)>>,
    ) -> Vec<(String, Option<Source>)> {
        let mut found = Vec::new();
        match self.take(key) {
            None => {}
            Some(Value::Array(entries)) => {
                for (n, entry) in entries.into_iter().enumerate() {
                    let place = format!("{key}[{n}]");
                    let source = match entry {
                        Value::Table(table) => Some(Source::new(table, BTreeMap::new())),
                        other @ (Value::String(_)
                        | Value::Integer(_)
                        | Value::Float(_)
                        | Value::Boolean(_)
                        | Value::Datetime(_)
                        | Value::Array(_)) => {
                            self.problem(&place, &quoted(&other), &format!("a table with {parts}"));
                            None
                        }
                    };
                    found.push((place, source));
                }
            }
            Some(Value::String(list)) => {
                let entries = list.split(',').map(str::trim).filter(|e| !e.is_empty());
                for (n, entry) in entries.enumerate() {
                    let place = format!("{key}[{n}]");
                    let table = words(entry).map(|words| {
                        let pairs = words.into_iter();
                        pairs
                            .map(|(key, word)| (key.to_owned(), Value::String(word)))
                            .collect()
                    });
                    if table.is_none() {
                        self.problem(&place, &format!("{entry:?}"), form);
                    }
                    found.push((place, table.map(|t| Source::new(t, BTreeMap::new()))));
                }
            }
            Some(
                other @ (Value::Integer(_)
                | Value::Float(_)
                | Value::Boolean(_)
                | Value::Datetime(_)
                | Value::Table(_)),
            ) => self.problem(key, &quoted(&other), &format!("[[{key}]] tables")),
        }
        found
    }

    /// All problems, unknown keys among them, and unknown variables.
    pub(super) fn finish(mut self) -> (Vec<Problem>, Vec<String>) {
        let mut left = Vec::new();
        leaves(&self.table, "", &mut left);
        for key in left {
            self.problem(&key, "a key that does not exist", "another name, or no such key");
        }
        (self.problems, self.variables.into_keys().collect())
    }
}

fn take_path(table: &mut Table, key: &str) -> Option<Value> {
    match key.split_once('.') {
        None => table.remove(key),
        Some((first, rest)) => match table.get_mut(first)? {
            Value::Table(inner) => take_path(inner, rest),
            Value::String(_)
            | Value::Integer(_)
            | Value::Float(_)
            | Value::Boolean(_)
            | Value::Datetime(_)
            | Value::Array(_) => None,
        },
    }
}

fn leaves(table: &Table, prefix: &str, out: &mut Vec<String>) {
    for (key, value) in table {
        let path = if prefix.is_empty() {
            key.clone()
        } else {
            format!("{prefix}.{key}")
        };
        match value {
            Value::Table(inner) => leaves(inner, &path, out),
            Value::String(_)
            | Value::Integer(_)
            | Value::Float(_)
            | Value::Boolean(_)
            | Value::Datetime(_)
            | Value::Array(_) => out.push(path),
        }
    }
}
