//! The user that passed-on commands run as.
//!
//! The door decides what may be passed on, but a script decides for itself what it calls, and a door may have a fault.
//! So the server itself keeps `cartograph-pass` to what is harmless: it reads every key of database 0, writes only keys
//! of the local class, and can neither leave the database nor touch the server. The user's password is made of the
//! store's own credentials, so that every node of the region makes the same one and none of them has to be told.
//!
//! `ACL SETUSER` lasts until the server restarts (unless it keeps an ACL file), so the user is made again whenever the
//! server does not know it.

use std::fmt::Write as _;

use ring::digest::{SHA256, digest};

use crate::redis::server::Server;

/// Its name.
pub(crate) const NAME: &str = "cartograph-pass";

/// What sets the password apart from any other use of the same credentials.
const LABEL: &str = "cartograph pass-through user 1";

/// Categories that no client may use, then what of them is harmless, then what of the rest is not.
const RULES: &[&str] = &[
    "+@all",
    "-@admin",
    "-@dangerous",
    "+keys",
    "+sort",
    "+info",
    "+role",
    "+lastsave",
    "+restore",
    "-select",
    "-move",
    "-swapdb",
];

/// From 7.0 on, single subcommands can be taken away.
const RULES_SINCE_7: &[&str] = &[
    "+sort_ro",
    "-script|flush",
    "-script|kill",
    "-function|flush",
    "-function|restore",
    "-function|kill",
];

/// Before, the whole command goes.
const RULES_UNTIL_7: &[&str] = &["-script", "-client", "-cluster"];

/// Where metadata is: no key of the local class may be written there (`COPY ... DB`, `MIGRATE`).
const METADATA_PREFIXES: &[&str] = &["m:", "h:", "H:", "l:", "d:", "g:", "c:", "r:"];

/// The password, for a store reached with these credentials.
pub(crate) fn password(user: Option<&str>, password: Option<&str>) -> String {
    let secret = format!(
        "{LABEL}\0{}\0{}",
        user.unwrap_or_default(),
        password.unwrap_or_default()
    );
    let hash = digest(&SHA256, secret.as_bytes());
    hash.as_ref().iter().fold(String::new(), |mut hex, byte| {
        // Writing to a string cannot fail.
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

/// `ACL SETUSER`'s arguments after the name, and whether scripts are as confined as commands.
pub(crate) fn rules(server: &Server, password: &str, local_prefixes: &[String]) -> (Vec<String>, bool) {
    let mut rules: Vec<String> = ["reset", "on"].map(str::to_owned).into();
    rules.push(format!(">{password}"));
    // A pub/sub channel is no key; the door decides.
    rules.push("allchannels".to_owned());
    rules.extend(RULES.iter().map(|rule| (*rule).to_owned()));
    let since_7 = server.version() >= (7, 0);
    let scripts = if since_7 {
        rules.extend(RULES_SINCE_7.iter().map(|rule| (*rule).to_owned()));
        rules.push("%R~*".to_owned());
        rules.extend(local_prefixes.iter().map(|prefix| format!("~{}*", glob(prefix))));
        true
    } else {
        rules.extend(RULES_UNTIL_7.iter().map(|rule| (*rule).to_owned()));
        // A key pattern allows both reading and writing here, and all keys must be readable.
        rules.push("~*".to_owned());
        if local_prefixes.is_empty() {
            rules.push("-@write".to_owned());
        } else {
            rules.push("-@scripting".to_owned());
        }
        local_prefixes.is_empty()
    };
    if local_prefixes.iter().any(|prefix| meets_metadata(prefix)) {
        // Its `DB` option reaches the metadata, under a name that the patterns allow.
        rules.push("-copy".to_owned());
    }
    (rules, scripts)
}

/// Whether a key with this prefix could have the name of a metadata key.
fn meets_metadata(prefix: &str) -> bool {
    let meets = |metadata: &&str| prefix.starts_with(*metadata) || metadata.starts_with(prefix);
    METADATA_PREFIXES.iter().any(meets)
}

/// A glob that matches this text: exactly, but that white space, which cannot stand in a rule, may be any character.
fn glob(text: &str) -> String {
    let mut glob = String::new();
    for letter in text.chars() {
        match letter {
            '*' | '?' | '[' | ']' | '\\' | '^' => glob.extend(['\\', letter]),
            '\0' => glob.push('?'),
            _ if letter.is_whitespace() || letter == '\u{b}' => glob.push('?'),
            _ => glob.push(letter),
        }
    }
    glob
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(version: &str, prefixes: &[&str]) -> (String, bool) {
        let server = Server::parse(&format!("redis_version:{version}\r\n"));
        let prefixes: Vec<String> = prefixes.iter().map(|p| (*p).to_owned()).collect();
        let (rules, scripts) = rules(&server, "pw", &prefixes);
        (rules.join(" "), scripts)
    }

    #[test]
    fn only_keys_of_the_local_class_can_be_written() {
        let (rules, scripts) = of("7.0.15", &["cache:", "q[*]"]);
        assert!(scripts && rules.contains("%R~* ~cache:* ~q\\[\\*\\]*"), "{rules}");
        assert!(rules.contains(" -select ") && !rules.contains("-copy"), "{rules}");
    }

    #[test]
    fn before_seven_scripts_and_local_keys_exclude_each_other() {
        let (rules, scripts) = of("6.2.14", &[]);
        assert!(scripts && rules.ends_with("~* -@write"), "{rules}");
        let (rules, scripts) = of("6.2.14", &["cache:"]);
        assert!(!scripts && rules.ends_with("~* -@scripting"), "{rules}");
    }

    #[test]
    fn a_prefix_that_meets_the_metadata_loses_copy() {
        for prefix in ["", "m", "m:", "l:x"] {
            assert!(of("7.2.0", &[prefix]).0.ends_with("-copy"), "{prefix:?}");
        }
        assert!(!of("7.2.0", &["cache:", "mm:"]).0.contains("-copy"));
    }

    #[test]
    fn the_password_follows_from_the_credentials_alone() {
        let one = password(Some("u"), Some("p"));
        assert_eq!(one, password(Some("u"), Some("p")));
        assert_eq!(one.len(), 64);
        assert_ne!(one, password(None, Some("p")));
        assert_ne!(one, password(Some("u"), None));
    }
}
