//! Tests of the table that need no server; `tests/` compares it with a real one.

use super::*;

fn args(words: &str) -> Vec<Bytes> {
    let word = |word: &str| {
        Bytes::from(if word == "''" {
            String::new()
        } else {
            word.to_owned()
        })
    };
    words.split(' ').map(word).collect()
}

fn positions(words: &str) -> Result<Vec<usize>, KeyError> {
    let args = args(words);
    key_positions(resolve(&args).unwrap(), &args)
}

fn everything() -> impl Iterator<Item = &'static CommandInfo> {
    all().flat_map(|command| [command].into_iter().chain(command.subcommands))
}

#[test]
fn every_command_is_found_by_its_name_in_any_case() {
    for command in all() {
        let upper = command.name.to_uppercase();
        assert!(
            std::ptr::eq(find(upper.as_bytes()).unwrap(), command),
            "{}",
            command.name
        );
        for sub in command.subcommands {
            let found = command.subcommand(sub.word().to_uppercase().as_bytes()).unwrap();
            assert!(std::ptr::eq(found, sub), "{}", sub.name);
            assert_eq!(sub.name.split_once('|'), Some((command.name, sub.word())));
        }
    }
    assert!(all().count() * 2 < SLOTS);
    for name in ["", "gett", "client|kill", "x".repeat(33).as_str(), "\u{e9}"] {
        assert!(find(name.as_bytes()).is_none(), "{name:?}");
    }
    assert!(all().all(|command| command.name.len() <= NAME_BYTES_MAX));
}

#[test]
fn a_request_is_its_command_or_subcommand() {
    assert_eq!(resolve(&args("Config gEt x")).unwrap().name, "config|get");
    assert_eq!(resolve(&args("CONFIG")).unwrap().name, "config");
    assert_eq!(resolve(&args("get config")).unwrap().name, "get");
    assert!(
        matches!(resolve(&args("config nothing")), Err(Unknown::Subcommand(config)) if config.name == "config")
    );
    assert!(matches!(resolve(&args("nothing")), Err(Unknown::Command)));
    assert!(matches!(resolve(&[]), Err(Unknown::Command)));
}

#[test]
fn arity_counts_the_name() {
    let get = find(b"get").unwrap();
    assert!(get.accepts(2) && !get.accepts(1) && !get.accepts(3));
    let del = find(b"del").unwrap();
    assert!(del.accepts(2) && del.accepts(200) && !del.accepts(1));
}

#[test]
fn keys_are_found_wherever_they_stand() {
    for (words, wanted) in [
        ("GET k", &[1][..]),
        ("PING", &[]),
        ("DEL a b c", &[1, 2, 3]),
        ("MSET a 1 b 2", &[1, 3]),
        ("BLPOP a b 0", &[1, 2]),
        ("BITOP AND d a b", &[2, 3, 4]),
        ("OBJECT ENCODING k", &[2]),
        ("EVAL script 2 a b c", &[3, 4]),
        ("EVAL script 0 a", &[]),
        ("ZUNIONSTORE d 2 a b WEIGHTS 1 2", &[1, 3, 4]),
        ("LMPOP 2 a b LEFT", &[2, 3]),
        ("BLMPOP 0 2 a b LEFT", &[3, 4]),
        ("XREAD COUNT 1 STREAMS a b 0 0", &[4, 5]),
        ("XREADGROUP GROUP streams c STREAMS a 0", &[5]),
        ("SORT k BY STORE LIMIT 0 1 GET STORE", &[1]),
        ("SORT k STORE a STORE b", &[1, 5]),
        ("SORT k STORE", &[1]),
        ("GEORADIUS k 1 2 3 m STORE a STOREDIST b", &[1, 7, 9]),
        ("GEORADIUSBYMEMBER k m 3 m STORE a", &[1, 6]),
        ("MIGRATE h 1 k 0 1", &[3]),
        ("MIGRATE h 1 '' 0 1 AUTH2 KEYS KEYS KEYS a b", &[10, 11]),
        ("MIGRATE h 1 '' 0 1 KEYS a b", &[7, 8]),
        ("SSUBSCRIBE a", &[]),
        ("COPY a b DB 1", &[1, 2]),
        ("MEMORY USAGE k", &[2]),
    ] {
        assert_eq!(positions(words).as_deref(), Ok(wanted), "{words}");
    }
}

#[test]
fn arguments_that_do_not_fit_are_an_error() {
    for words in [
        "GET",
        "EVAL script 3 a b",
        "EVAL script x a",
        "EVAL script -1 a",
        "EVAL script +1 a",
        "EVAL script 99999999999999999999 a",
        "EVAL script 18446744073709551615 a",
        "LMPOP 5 a LEFT",
        "XREAD COUNT 1",
        "XREAD STREAMS",
        "XREAD STREAMS a",
        "ZUNIONSTORE d",
        "MIGRATE h 1 '' 0 1",
        "SORT",
        "BLPOP",
    ] {
        assert_eq!(positions(words), Err(KeyError), "{words}");
    }
}

#[test]
fn a_command_that_may_store_is_treated_by_what_it_is_told() {
    let treatment = |words: &str| {
        let args = args(words);
        resolve(&args).unwrap().treatment_of(&args)
    };
    assert_eq!(treatment("SORT k BY STORE"), Treatment::Read);
    assert_eq!(treatment("SORT k STORE d"), Treatment::LocalOnly);
    assert_eq!(treatment("GEORADIUS k 1 2 3 m ASC"), Treatment::Read);
    assert_eq!(treatment("GEORADIUS k 1 2 3 m storedist d"), Treatment::Write);
    assert_eq!(treatment("SET store store"), Treatment::Write);
}

#[test]
fn treatments_agree_with_what_redis_says_of_a_command() {
    for command in everything() {
        let name = command.name;
        let may_store = command.stored.is_some();
        match command.treatment {
            Treatment::Write => assert!(command.flags.has(WRITE) && !command.merge.is_empty(), "{name}"),
            Treatment::Read => assert!(!command.flags.has(WRITE) || may_store, "{name} may write"),
            Treatment::LocalOnly => assert!(!command.merge.is_empty(), "{name} without a reason"),
            Treatment::Refused(why) => assert!(!why.is_empty(), "{name} without a reason"),
            Treatment::PubSub => assert_eq!(command.group, Group::PubSub, "{name}"),
            Treatment::Connection | Treatment::Server => {
                let flush = command.name.starts_with("flush");
                assert!(!command.flags.has(WRITE) || flush, "{name} may write");
            }
        }
        assert!(
            !command.summary.is_empty() && !command.summary.ends_with('.'),
            "{name}"
        );
        assert!(
            command.keys.is_empty() || command.route == Route::KeyOwner,
            "{name}"
        );
    }
}

#[test]
fn every_write_of_a_replicated_type_is_replicated() {
    let replicated = [
        Group::String,
        Group::Bitmap,
        Group::Hash,
        Group::Set,
        Group::SortedSet,
        Group::Geo,
        Group::HyperLogLog,
    ];
    let not: Vec<_> = everything()
        .filter(|command| replicated.contains(&command.group) && command.flags.has(WRITE))
        .filter(|command| command.treatment != Treatment::Write && command.stored != Some(Treatment::Write))
        .map(|command| command.name)
        .collect();
    let field_ttl = "hexpire hexpireat hgetdel hgetex hpersist hpexpire hpexpireat hsetex";
    assert_eq!(not.join(" "), format!("{field_ttl} pfdebug"));
}
