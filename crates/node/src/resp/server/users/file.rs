//! The users file: TOML, one `[[users]]` table a user.
//!
//! Everything that is wrong is found at once, each fault with the file, the user, the key, what was found and what was
//! expected. Nothing is guessed: a word too many is a fault too, since it may be a right that somebody believes to
//! have taken away.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use toml::{Table, Value};

use super::{PasswordHash, Rights, User};
use crate::config::{ConfigError, Problem};

/// The most users of one file.
const USERS_MAX: usize = 10_000;

/// The longest name of a user, in bytes.
const NAME_BYTES_MAX: usize = 128;

/// Reads users from a file.
pub(super) fn load(path: &Path) -> Result<BTreeMap<String, Arc<User>>, ConfigError> {
    let unusable = |found: String, expected: &str| {
        ConfigError::Invalid(vec![Problem {
            key: "resp.users_file".to_owned(),
            found: format!("{}: {found}", path.display()),
            expected: expected.to_owned(),
        }])
    };
    let text =
        std::fs::read_to_string(path).map_err(|e| unusable(e.to_string(), "a file that can be read"))?;
    let table = text
        .parse::<Table>()
        .map_err(|e| unusable(e.to_string(), "a TOML file of [[users]] tables"))?;
    parse(table).map_err(|faults| {
        let file = path.display();
        let problem = |f: Problem| Problem {
            key: format!("{file}: {}", f.key),
            ..f
        };
        ConfigError::Invalid(faults.into_iter().map(problem).collect())
    })
}

/// Reads users from a document.
fn parse(mut table: Table) -> Result<BTreeMap<String, Arc<User>>, Vec<Problem>> {
    let mut faults = Vec::new();
    let mut users = BTreeMap::new();
    let entries = match table.remove("users") {
        Some(Value::Array(entries)) => entries,
        other => {
            let found = other.as_ref().map_or_else(|| "nothing".to_owned(), shown);
            faults.push(fault("the file", "users", found, "[[users]] tables"));
            Vec::new()
        }
    };
    for key in table.keys() {
        faults.push(fault(
            "the file",
            key,
            "a key that does not exist".to_owned(),
            "[[users]] tables alone",
        ));
    }
    if entries.len() > USERS_MAX {
        let expected = format!("at most {USERS_MAX} users");
        faults.push(fault("the file", "users", entries.len().to_string(), &expected));
    }
    for (n, entry) in entries.into_iter().enumerate() {
        let place = format!("users[{n}]");
        let Value::Table(entry) = entry else {
            faults.push(fault(&place, "", shown(&entry), "a table"));
            continue;
        };
        let Some(user) = (Entry {
            place,
            table: entry,
            faults: &mut faults,
        })
        .user() else {
            continue;
        };
        let name = user.name.clone();
        if users.insert(name.clone(), Arc::new(user)).is_some() {
            faults.push(fault(&name, "name", "it twice".to_owned(), "a name once"));
        }
    }
    if faults.is_empty() { Ok(users) } else { Err(faults) }
}

/// A fault of a user, named or by its place.
fn fault(user: &str, key: &str, found: String, expected: &str) -> Problem {
    Problem {
        key: format!("{user}: {key}"),
        found,
        expected: expected.to_owned(),
    }
}

/// A value as a message may show it: a hash is not repeated into logs.
fn shown(value: &Value) -> String {
    match value {
        Value::String(text) if text.len() > 40 => format!("a text of {} bytes", text.len()),
        Value::String(text) => format!("{text:?}"),
        Value::Table(_) => "a table".to_owned(),
        Value::Array(_) => "a list".to_owned(),
        Value::Integer(_) | Value::Float(_) | Value::Boolean(_) | Value::Datetime(_) => value.to_string(),
    }
}

/// One user's table.
struct Entry<'a> {
    place: String,
    table: Table,
    faults: &'a mut Vec<Problem>,
}

impl Entry<'_> {
    fn user(mut self) -> Option<User> {
        let before = self.faults.len();
        let name = self.name();
        let enabled = self.flag("enabled", true);
        let nopass = self.flag("nopass", false);
        let passwords = self.passwords();
        if nopass != passwords.is_empty() {
            let found = if nopass {
                "both nopass and hashes"
            } else {
                "no hash"
            };
            let expected =
                "hashes (`printf %s SECRET | sha256sum`), or `nopass = true` for anybody who gives the name";
            self.fault("password_sha256", found.to_owned(), expected);
        }
        let rights = self.rights();
        let keys = self.keys();
        let left: Vec<String> = self.table.keys().cloned().collect();
        for key in left {
            self.fault(
                &key,
                "a key that does not exist".to_owned(),
                "name, password_sha256, nopass, rights, keys or enabled",
            );
        }
        if self.faults.len() > before {
            return None;
        }
        Some(User {
            name: name?,
            enabled,
            nopass,
            passwords,
            rights,
            keys,
        })
    }

    fn fault(&mut self, key: &str, found: String, expected: &str) {
        self.faults.push(fault(&self.place, key, found, expected));
    }

    fn name(&mut self) -> Option<String> {
        let value = self.table.remove("name");
        let usable = |name: &str| {
            !name.is_empty()
                && name.len() <= NAME_BYTES_MAX
                && !name.chars().any(|c| c.is_control() || c.is_whitespace())
        };
        if let Some(Value::String(name)) = &value
            && usable(name)
        {
            self.place.clone_from(name);
            return Some(name.clone());
        }
        let found = value.as_ref().map_or_else(|| "nothing".to_owned(), shown);
        let expected = format!("1 to {NAME_BYTES_MAX} bytes without spaces");
        self.fault("name", found, &expected);
        None
    }

    fn flag(&mut self, key: &str, default: bool) -> bool {
        match self.table.remove(key) {
            None => default,
            Some(Value::Boolean(flag)) => flag,
            Some(other) => {
                self.fault(key, shown(&other), "true or false");
                default
            }
        }
    }

    /// The texts of a list; `None` where there is none.
    fn texts(&mut self, key: &str, expected: &str) -> Option<Vec<String>> {
        let value = self.table.remove(key)?;
        let Value::Array(values) = value else {
            self.fault(key, shown(&value), expected);
            return None;
        };
        let mut texts = Vec::with_capacity(values.len());
        for value in values {
            if let Value::String(text) = value {
                texts.push(text);
            } else {
                self.fault(key, shown(&value), expected);
            }
        }
        Some(texts)
    }

    fn passwords(&mut self) -> Vec<PasswordHash> {
        let key = "password_sha256";
        let expected = "64 hexadecimal digits, as `printf %s SECRET | sha256sum` prints";
        let mut hashes = Vec::new();
        for text in self.texts(key, expected).unwrap_or_default() {
            match PasswordHash::from_hex(&text) {
                Some(hash) => hashes.push(hash),
                // It may be a password in clear: it is not repeated.
                None => self.fault(key, format!("a text of {} bytes", text.len()), expected),
            }
        }
        hashes
    }

    fn rights(&mut self) -> Rights {
        let expected = "a list of \"read\", \"write\" and \"admin\"";
        let mut rights = Rights::default();
        let Some(words) = self.texts("rights", expected) else {
            let key = format!("{}: rights", self.place);
            if !self.faults.iter().any(|f| f.key == key) {
                self.fault("rights", "nothing".to_owned(), expected);
            }
            return rights;
        };
        for word in words {
            match word.as_str() {
                "read" => rights.read = true,
                "write" => rights.write = true,
                "admin" => rights.admin = true,
                other => self.fault("rights", format!("{other:?}"), expected),
            }
        }
        rights
    }

    fn keys(&mut self) -> Vec<Vec<u8>> {
        let expected = "a list of globs such as \"cart:*\"";
        match self.texts("keys", expected) {
            None => vec![b"*".to_vec()],
            Some(patterns) => patterns.into_iter().map(String::into_bytes).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b";

    fn shown_all(faults: &[Problem]) -> String {
        faults
            .iter()
            .map(Problem::to_string)
            .collect::<Vec<_>>()
            .join("\n")
    }

    fn read(text: &str) -> Result<BTreeMap<String, Arc<User>>, Vec<Problem>> {
        parse(text.parse::<Table>().unwrap())
    }

    #[test]
    fn a_user_has_what_is_written_and_no_more() {
        let text = format!(
            "[[users]]\nname = 'shop'\npassword_sha256 = ['{HASH}']\nrights = ['read', 'write']\nkeys = ['cart:*']\n\
             [[users]]\nname = 'default'\nnopass = true\nrights = ['read']\nenabled = false"
        );
        let users = read(&text).unwrap();
        let shop = users.get("shop").unwrap();
        assert!(shop.enabled && shop.rights.read && shop.rights.write && !shop.rights.admin);
        assert_eq!(shop.keys, [b"cart:*".to_vec()]);
        let default = users.get("default").unwrap();
        assert!(!default.enabled && default.nopass && !default.rights.write);
        assert_eq!(default.keys, [b"*".to_vec()], "no patterns: every key");
    }

    #[test]
    fn every_fault_is_named_with_its_user_and_no_secret_is_repeated() {
        let text = "colour = 1\n[[users]]\nname = 'a b'\nrights = ['read']\nnopass = true\n[[users]]\nname = 'x'\n\
                    password_sha256 = ['hunter2']\nrights = ['root']\nright = []\n[[users]]\nname = 'y'\nrights = []";
        let faults = read(text).unwrap_err();
        let text = shown_all(&faults);
        for line in [
            "the file: colour: found a key that does not exist",
            "users[0]: name: found \"a b\", expected 1 to 128 bytes without spaces",
            "x: password_sha256: found a text of 7 bytes, expected 64 hexadecimal digits",
            "x: rights: found \"root\", expected a list of \"read\", \"write\" and \"admin\"",
            "x: right: found a key that does not exist",
            "y: password_sha256: found no hash, expected hashes",
        ] {
            assert!(text.contains(line), "{line}\nnot in {text}");
        }
        assert!(!text.contains("hunter2"));
        let twice = "[[users]]\nname = 'x'\nnopass = true\nrights = []\n[[users]]\nname = 'x'\nnopass = true\nrights = []";
        assert!(shown_all(&read(twice).unwrap_err()).contains("x: name: found it twice"));
        assert!(shown_all(&read("").unwrap_err()).contains("users: found nothing"));
    }
}
