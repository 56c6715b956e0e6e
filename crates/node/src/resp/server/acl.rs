//! ACL: users as the users file has them, in Redis's own notation. They are changed in the file alone.

use bytes::Bytes;
use cartograph_resp::Value;
use cartograph_resp::table::{self, CommandInfo};

use super::super::context::Context;
use super::super::session::Session;
use super::args::{flag, integer, is, lossy, lower, text, word};
use super::digest::hex;
use super::errors::{NOT_AN_INTEGER, error, not_for_clients, wrong_arity};
use super::users::{self, User};
use crate::seed;

/// Redis's own categories, in its order.
const CATEGORIES: [&str; 21] = [
    "keyspace",
    "read",
    "write",
    "set",
    "sortedset",
    "list",
    "hash",
    "string",
    "bitmap",
    "hyperloglog",
    "geo",
    "stream",
    "pubsub",
    "admin",
    "fast",
    "slow",
    "blocking",
    "dangerous",
    "connection",
    "transaction",
    "scripting",
];

/// ACL with its subcommand, lower case, and what follows.
pub(super) fn answer(context: &Context, session: &Session, sub: &str, arguments: &[Bytes]) -> Value {
    let users = context.users.all();
    match (sub, arguments) {
        ("whoami", []) => text(session.client.said().user.clone()),
        ("users", []) => Value::Array(users.keys().map(|name| text(name.clone())).collect()),
        ("list", []) => Value::Array(users.values().map(|user| text(rule(user))).collect()),
        ("getuser", [name]) => context
            .users
            .get(name)
            .map_or(Value::Null, |user| described(&user)),
        ("cat", []) => Value::Array(CATEGORIES.iter().map(|c| word(c)).collect()),
        ("cat", [category]) => category_commands(category),
        ("genpass", []) => genpass(256),
        ("genpass", [bits]) => match integer(bits).and_then(|n| usize::try_from(n).ok()) {
            Some(bits @ 1..=4_096) => genpass(bits),
            _ => error(
                "ERR ACL GENPASS argument must be the number of bits for the output password, a positive number up to \
                 4096",
            ),
        },
        ("log", []) => context.stats.denied.show(10),
        ("log", [word]) if is(word, "reset") => {
            context.stats.denied.reset();
            Value::OK
        }
        ("log", [most]) => match integer(most) {
            None => error(NOT_AN_INTEGER),
            Some(most) => context
                .stats
                .denied
                .show(usize::try_from(most).unwrap_or(usize::MAX)),
        },
        ("dryrun", [name, command @ ..]) if !command.is_empty() => dry_run(context, name, command),
        ("load", []) => load(context),
        ("save", []) => not_for_clients("ACL SAVE is not supported: users are what resp.users_file says"),
        ("setuser" | "deluser", [_, ..]) => not_for_clients(format!(
            "ACL {} is not supported: change resp.users_file; it is read again within seconds, at SIGHUP, and at ACL LOAD",
            sub.to_uppercase()
        )),
        _ => wrong_arity(&format!("acl|{sub}")),
    }
}

/// The commands that a user's rights come to, in Redis's notation.
fn commands_of(user: &User) -> String {
    let rights = user.rights;
    if rights.read && rights.write && rights.admin {
        return "+@all".to_owned();
    }
    let mut rule = "-@all +@connection +@transaction".to_owned();
    let parts = [
        (rights.read, " +@read"),
        (rights.write, " +@write"),
        (rights.admin, " +@admin"),
    ];
    for (_, part) in parts.iter().filter(|(has, _)| *has) {
        rule.push_str(part);
    }
    rule
}

fn rule(user: &User) -> String {
    let mut rule = format!("user {} {}", user.name, if user.enabled { "on" } else { "off" });
    if user.nopass {
        rule.push_str(" nopass");
    }
    for hash in &user.passwords {
        rule.push_str(" #");
        rule.push_str(&hash.to_hex());
    }
    for pattern in &user.keys {
        rule.push_str(" ~");
        rule.push_str(&lossy(pattern));
    }
    rule.push_str(" &* ");
    rule.push_str(&commands_of(user));
    rule
}

fn described(user: &User) -> Value {
    let mut flags = vec![word(if user.enabled { "on" } else { "off" })];
    if user.nopass {
        flags.push(word("nopass"));
    }
    let hashes = user.passwords.iter().map(|hash| text(hash.to_hex()));
    let keys: Vec<String> = user.keys.iter().map(|p| format!("~{}", lossy(p))).collect();
    Value::Map(vec![
        (word("flags"), Value::Set(flags)),
        (word("passwords"), Value::Array(hashes.collect())),
        (word("commands"), text(commands_of(user))),
        (word("keys"), text(keys.join(" "))),
        (word("channels"), word("&*")),
        (word("selectors"), Value::Array(Vec::new())),
    ])
}

fn category_commands(category: &[u8]) -> Value {
    let wanted = lower(category);
    if !CATEGORIES.contains(&wanted.as_str()) {
        return error(format!("ERR Unknown category '{}'", lossy(category)));
    }
    let mut names = Vec::new();
    let mut take = |info: &'static CommandInfo| {
        if info.acl_categories.names().any(|c| c == wanted) {
            names.push(word(info.name));
        }
    };
    for info in super::table::commands() {
        if info.subcommands.is_empty() {
            take(info);
        } else {
            info.subcommands.iter().for_each(&mut take);
        }
    }
    Value::Array(names)
}

/// Random hexadecimal digits for so many bits.
fn genpass(bits: usize) -> Value {
    let digits = bits.div_ceil(4);
    let words = std::iter::repeat_with(seed::random).take(digits.div_ceil(16));
    let mut password: String = words.map(|w| hex(&w.to_be_bytes())).collect();
    password.truncate(digits);
    text(password)
}

fn dry_run(context: &Context, name: &[u8], command: &[Bytes]) -> Value {
    let Some(user) = context.users.get(name) else {
        return error(format!("ERR User '{}' not found", lossy(name)));
    };
    let Some((first, _)) = command.split_first() else {
        return wrong_arity("acl|dryrun");
    };
    let Ok(info) = Context::resolve(command) else {
        return error(format!("ERR Command '{}' not found", lossy(first)));
    };
    if !info.accepts(command.len()) {
        return wrong_arity(info.name);
    }
    if !user.may_run(info) {
        return text(format!(
            "This user has no permissions to run the '{}' command",
            info.name
        ));
    }
    let keys = table::key_positions(info, command).unwrap_or_default();
    let mut keys = keys.iter().filter_map(|at| command.get(*at));
    match keys.find(|key| user.check(info, std::iter::once(&key[..])).is_err()) {
        Some(key) => text(format!(
            "This user has no permissions to access the '{}' key",
            lossy(key)
        )),
        None => flag("OK"),
    }
}

fn load(context: &Context) -> Value {
    if context.config.users_file.is_none() {
        return not_for_clients("this node has no users file: set resp.users_file in its configuration");
    }
    match users::take_changes(context) {
        Ok(()) => Value::OK,
        Err(refused) => error(format!("ERR {}", refused.to_string().replace('\n', ";"))),
    }
}
