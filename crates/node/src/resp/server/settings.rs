//! CONFIG: the settings that clients ask for, as they are here. Never this region's Redis's own CONFIG, which managed
//! services forbid.
//!
//! What can be set while running is the slow log. Anything else that is known may be "set" to what it is already, so
//! that frameworks that insist get along; to another value it is refused with the key of the node's configuration that
//! decides it.

use bytes::Bytes;
use cartograph_resp::Value;

use super::super::context::Context;
use super::args::{integer, lossy, lower, text};
use super::errors::{SYNTAX, error, not_for_clients, wrong_arity};
use super::slowlog;
use super::users::glob;

/// The keyspace events that every client may count on: deletions, expiries and generic ones.
const EVENTS: &str = "gxE";

/// One setting: its name, its value, and what decides it.
struct Setting {
    name: &'static str,
    value: String,
    decided_by: &'static str,
}

/// All of them.
async fn settings(context: &Context) -> Vec<Setting> {
    let local = context.stats.local.info(context).await;
    let own = |key: &str, otherwise: &str| local.get(key).unwrap_or(otherwise).to_owned();
    let config = &context.config;
    let redis = "this region's own Redis";
    let nothing = "nothing: it is always so";
    let slow = &context.stats.slowlog;
    let aof = if local.get("aof_enabled") == Some("1") {
        "yes"
    } else {
        "no"
    };
    let timeout = config.idle_timeout.map_or(0, |t| t.as_secs());
    let all = [
        ("appendonly", aof.to_owned(), redis),
        ("bind", config.listen.ip().to_string(), "resp.listen"),
        (
            "client-query-buffer-limit",
            config.query_bytes_max.to_string(),
            "resp.query_bytes_max",
        ),
        ("cluster-enabled", "no".to_owned(), nothing),
        ("databases", "1".to_owned(), nothing),
        ("hz", "10".to_owned(), nothing),
        ("latency-monitor-threshold", "0".to_owned(), nothing),
        ("maxclients", config.clients_max.to_string(), "resp.clients_max"),
        ("maxmemory", own("maxmemory", "0"), redis),
        ("maxmemory-policy", own("maxmemory_policy", "noeviction"), redis),
        ("notify-keyspace-events", EVENTS.to_owned(), nothing),
        ("port", config.listen.port().to_string(), "resp.listen"),
        (
            "proto-max-bulk-len",
            config.bulk_bytes_max.to_string(),
            "resp.bulk_bytes_max",
        ),
        ("replica-read-only", "yes".to_owned(), nothing),
        ("save", String::new(), redis),
        ("slave-read-only", "yes".to_owned(), nothing),
        ("slowlog-log-slower-than", slow.threshold_micros().to_string(), ""),
        ("slowlog-max-len", slow.length_max().to_string(), ""),
        ("tcp-keepalive", "300".to_owned(), nothing),
        ("timeout", timeout.to_string(), "resp.idle_timeout_seconds"),
    ];
    let setting = |(name, value, decided_by)| Setting {
        name,
        value,
        decided_by,
    };
    all.map(setting).into()
}

/// CONFIG with its subcommand, lower case, and what follows.
pub(super) async fn answer(context: &Context, sub: &str, arguments: &[Bytes]) -> Value {
    match (sub, arguments) {
        ("get", patterns @ [_, ..]) => get(&settings(context).await, patterns),
        ("set", pairs @ [_, _, ..]) => set(context, &settings(context).await, pairs),
        ("resetstat", []) => {
            context.stats.reset();
            Value::OK
        }
        ("rewrite", []) => not_for_clients(
            "CONFIG REWRITE is not supported: the node's configuration is a file of whoever runs it, which the node never \
             writes",
        ),
        _ => wrong_arity(&format!("config|{sub}")),
    }
}

fn get(settings: &[Setting], patterns: &[Bytes]) -> Value {
    let wanted = |s: &&Setting| patterns.iter().any(|p| glob::matches(p, s.name.as_bytes(), true));
    let found = settings.iter().filter(wanted);
    Value::Map(found.map(|s| (text(s.name), text(s.value.clone()))).collect())
}

/// All of it, or nothing.
fn set(context: &Context, settings: &[Setting], words: &[Bytes]) -> Value {
    if !words.len().is_multiple_of(2) {
        return error(SYNTAX);
    }
    let mut seen: Vec<&'static str> = Vec::new();
    for pair in words.chunks_exact(2) {
        let [name, value] = pair else { continue };
        let wanted = lower(name);
        let Some(setting) = settings.iter().find(|s| s.name == wanted) else {
            let name = lossy(name);
            return error(format!(
                "ERR Unknown option or number of arguments for CONFIG SET - '{name}'"
            ));
        };
        let refused = if seen.contains(&setting.name) {
            Some("duplicate parameter".to_owned())
        } else {
            why_not(setting, value)
        };
        if let Some(why) = refused {
            return error(format!(
                "ERR CONFIG SET failed (possibly related to argument '{wanted}') - {why}"
            ));
        }
        seen.push(setting.name);
    }
    for pair in words.chunks_exact(2) {
        let [name, value] = pair else { continue };
        let Some(number) = integer(value) else { continue };
        match lower(name).as_str() {
            "slowlog-log-slower-than" => context.stats.slowlog.set_threshold(number),
            "slowlog-max-len" => {
                let length = usize::try_from(number).unwrap_or(0);
                context.stats.slowlog.set_length(length);
            }
            _ => {}
        }
    }
    Value::OK
}

/// Why a setting cannot have this value, if it cannot.
fn why_not(setting: &Setting, value: &[u8]) -> Option<String> {
    match setting.name {
        "slowlog-log-slower-than" => match integer(value) {
            None => Some("argument couldn't be parsed into an integer".to_owned()),
            Some(..-1) => Some("argument must be between -1 and 9223372036854775807 inclusive".to_owned()),
            Some(_) => None,
        },
        "slowlog-max-len" => {
            let max = i64::try_from(slowlog::ENTRIES_MAX).unwrap_or(i64::MAX);
            match integer(value) {
                None => Some("argument couldn't be parsed into an integer".to_owned()),
                Some(n) if !(0..=max).contains(&n) => {
                    Some(format!("argument must be between 0 and {max} inclusive"))
                }
                Some(_) => None,
            }
        }
        "notify-keyspace-events" if value.iter().all(|b| EVENTS.as_bytes().contains(b)) => None,
        _ if setting.value.as_bytes() == value => None,
        _ => Some(format!(
            "here it is '{}', and what decides it is {}",
            setting.value, setting.decided_by
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn setting(name: &'static str, value: &str) -> Setting {
        Setting {
            name,
            value: value.to_owned(),
            decided_by: "resp.clients_max",
        }
    }

    #[test]
    fn patterns_choose_settings_in_any_case() {
        let all = [
            setting("maxmemory", "0"),
            setting("maxmemory-policy", "x"),
            setting("save", ""),
        ];
        let asked = |pattern: &'static str| {
            let Value::Map(pairs) = get(&all, &[Bytes::from_static(pattern.as_bytes())]) else {
                panic!()
            };
            pairs.len()
        };
        assert_eq!(
            (asked("*"), asked("MAX*"), asked("save"), asked("nosuch")),
            (3, 2, 1, 0)
        );
    }

    #[test]
    fn what_cannot_be_set_may_be_set_to_what_it_is() {
        assert_eq!(why_not(&setting("maxclients", "7"), b"7"), None);
        let refused = why_not(&setting("maxclients", "7"), b"8").unwrap();
        assert!(refused.contains("resp.clients_max"), "{refused}");
        let events = setting("notify-keyspace-events", EVENTS);
        assert_eq!(
            why_not(&events, b"Egx"),
            None,
            "Spring writes it in another order"
        );
        assert!(why_not(&events, b"KEA").is_some());
        let slow = setting("slowlog-max-len", "128");
        assert_eq!(why_not(&slow, b"10000"), None);
        assert!(why_not(&slow, b"10001").is_some() && why_not(&slow, b"x").is_some());
    }
}
