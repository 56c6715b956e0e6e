//! The command table against a real server's `COMMAND`: names, arity, flags, categories, keys.
//!
//! The table is of Redis 7.2. An older server lacks the newer commands, a newer one has more: what both have must agree,
//! and every command as old as the server must be there on both sides.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use cartograph_resp::table::{self, Begin, CommandInfo, Find, Group, KeySpec};

use crate::plain_redis::{Connection, PlainRedis, Reply};

fn text(reply: &Reply) -> String {
    match reply {
        Reply::Status(text) => text.clone(),
        Reply::Bulk(Some(bytes)) => String::from_utf8(bytes.clone()).unwrap(),
        Reply::Integer(number) => number.to_string(),
        other => panic!("no text: {other:?}"),
    }
}

fn items(reply: &Reply) -> &[Reply] {
    match reply {
        Reply::Array(items) => items,
        other => panic!("no list: {other:?}"),
    }
}

fn words(reply: &Reply) -> BTreeSet<String> {
    items(reply).iter().map(text).collect()
}

/// RESP2's flat map.
fn map(reply: &Reply) -> BTreeMap<String, &Reply> {
    items(reply)
        .chunks(2)
        .map(|pair| (text(&pair[0]), &pair[1]))
        .collect()
}

/// A command as one line for each thing said of it, so that a difference can be read.
type Described = BTreeMap<&'static str, String>;

fn theirs(reply: &Reply, into: &mut BTreeMap<String, Described>) {
    let fields = items(reply);
    let joined = |at: usize| words(&fields[at]).into_iter().collect::<Vec<_>>().join(" ");
    let specs: Vec<String> = items(&fields[8]).iter().map(their_spec).collect();
    let range: Vec<String> = fields[3..6].iter().map(text).collect();
    let described = Described::from([
        ("arity", text(&fields[1])),
        ("flags", joined(2)),
        ("range", range.join(" ")),
        ("categories", joined(6).replace('@', "")),
        ("keys", specs.join("; ")),
    ]);
    into.insert(text(&fields[0]), described);
    for sub in items(&fields[9]) {
        theirs(sub, into);
    }
}

fn their_spec(reply: &Reply) -> String {
    let spec = map(reply);
    let part = |name: &str| {
        let part = map(spec[name]);
        let details = map(part["spec"]);
        let details: Vec<_> = details
            .iter()
            .map(|(name, value)| format!("{name}={}", text(value)))
            .collect();
        format!("{} {}", text(part["type"]), details.join(" "))
    };
    let flags: Vec<_> = words(spec["flags"]).into_iter().collect();
    format!(
        "{} from {} find {}",
        flags.join(" "),
        part("begin_search"),
        part("find_keys")
    )
}

fn ours(command: &CommandInfo, into: &mut BTreeMap<String, Described>) {
    let sorted = |words: &mut dyn Iterator<Item = &'static str>| {
        let words: BTreeSet<&str> = words.collect();
        words.into_iter().collect::<Vec<_>>().join(" ")
    };
    let specs: Vec<String> = command.keys.iter().map(our_spec).collect();
    let (first, last, step) = command.key_range();
    let described = Described::from([
        ("arity", command.arity.to_string()),
        ("flags", sorted(&mut command.flags.names())),
        ("range", format!("{first} {last} {step}")),
        ("categories", sorted(&mut command.acl_categories.names())),
        ("keys", specs.join("; ")),
    ]);
    into.insert(command.name.to_owned(), described);
    for sub in command.subcommands {
        ours(sub, into);
    }
}

fn our_spec(spec: &KeySpec) -> String {
    let access = (!spec.is_not_key()).then(|| spec.access.name());
    let flags: BTreeSet<&str> = access.into_iter().chain(spec.notes.split_whitespace()).collect();
    let begin = match spec.begin {
        Begin::Index(index) => format!("index index={index}"),
        Begin::Keyword { word, from } => format!("keyword keyword={word} startfrom={from}"),
        Begin::Unknown => "unknown ".to_owned(),
    };
    let find = match spec.find {
        Find::Range { last, step, limit } => format!("range keystep={step} lastkey={last} limit={limit}"),
        Find::Count { at, first, step } => format!("keynum firstkey={first} keynumidx={at} keystep={step}"),
        Find::Unknown => "unknown ".to_owned(),
    };
    let flags: Vec<_> = flags.into_iter().collect();
    format!("{} from {begin} find {find}", flags.join(" "))
}

/// `7.0.15` as something to compare; what is no version is later than any.
fn version(text: &str) -> Vec<u32> {
    text.split('.')
        .map(|part| part.parse().unwrap_or(u32::MAX))
        .collect()
}

fn server_version(connection: &mut Connection) -> Vec<u32> {
    let reply = connection
        .pipeline(&[vec![b"INFO".to_vec(), b"server".to_vec()]])
        .unwrap()
        .remove(0);
    let info = text(&reply);
    let line = info.lines().find_map(|line| line.strip_prefix("redis_version:"));
    version(line.unwrap().trim())
}

#[test]
fn the_table_says_what_the_server_says() {
    let redis = PlainRedis::start().unwrap();
    let mut connection = redis.connect().unwrap();
    let running = server_version(&mut connection);
    let reply = connection
        .pipeline(&[vec![b"COMMAND".to_vec()]])
        .unwrap()
        .remove(0);
    let (mut real, mut table, mut younger) = (BTreeMap::new(), BTreeMap::new(), BTreeSet::new());
    for command in items(&reply) {
        theirs(command, &mut real);
    }
    for command in table::all().filter(|command| command.group != Group::Cartograph) {
        ours(command, &mut table);
        let with_subs = [command].into_iter().chain(command.subcommands);
        let is_younger = |command: &&CommandInfo| version(command.since) > running;
        younger.extend(
            with_subs
                .filter(is_younger)
                .map(|command| command.name.to_owned()),
        );
    }
    table.retain(|name, _| !younger.contains(name));
    let newer_server = running >= vec![7, 1];
    let mut differences = Vec::new();
    for (name, described) in &table {
        match real.get(name) {
            None => differences.push(format!("{name}: the server has none")),
            // A newer server may have changed its mind about a flag, never about keys and arity.
            Some(real) => differences.extend(
                described
                    .iter()
                    .filter(|(what, ours)| {
                        real[*what] != **ours && !(newer_server && matches!(**what, "flags" | "categories"))
                    })
                    .map(|(what, ours)| {
                        format!("{name}: {what}: ours {ours:?}, the server's {:?}", real[what])
                    }),
            ),
        }
    }
    if running < vec![7, 3] {
        let missing = real.keys().filter(|name| !table.contains_key(*name));
        differences.extend(missing.map(|name| format!("{name}: is not in the table")));
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    assert!(real.len() > 300, "{} commands", real.len());
}

/// Requests whose keys the server is asked for; `''` is an empty word.
const SAMPLES: &[&str] = &[
    "GET k",
    "SET k v EX 1",
    "MSET a 1 b 2",
    "MSETNX a 1 b 2 c 3",
    "DEL a b c",
    "BITOP AND d a b c",
    "BITFIELD k GET u8 0",
    "OBJECT ENCODING k",
    "MEMORY USAGE k SAMPLES 5",
    "XINFO STREAM k FULL",
    "XGROUP CREATE k g 0",
    "EVAL script 2 a b c",
    "EVALSHA sha 1 a",
    "EVAL_RO script 1 a",
    "FCALL f 1 a b",
    "FCALL_RO f 2 a b",
    "ZUNIONSTORE d 2 a b WEIGHTS 1 2",
    "ZINTERSTORE d 1 a",
    "ZDIFFSTORE d 2 a b",
    "ZUNION 2 a b WITHSCORES",
    "ZINTERCARD 2 a b LIMIT 1",
    "SINTERCARD 2 a b",
    "LMPOP 2 a b LEFT",
    "BLMPOP 0 2 a b LEFT COUNT 3",
    "ZMPOP 1 a MIN",
    "BZMPOP 0 1 a MAX",
    "BLPOP a b 0",
    "BZPOPMIN a b 0",
    "BRPOPLPUSH a b 0",
    "LMOVE a b LEFT RIGHT",
    "XREAD COUNT 1 BLOCK 0 STREAMS a b 0 0",
    "XREAD STREAMS a 0",
    "XREADGROUP GROUP g c COUNT 1 NOACK STREAMS a b > >",
    "XREADGROUP GROUP streams c STREAMS a 0",
    "SORT k",
    "SORT k BY x LIMIT 0 1 GET y STORE d",
    "SORT k BY store GET store",
    "SORT k STORE a STORE b",
    "SORT_RO k BY x",
    "GEORADIUS k 1 2 3 m",
    "GEORADIUS k 1 2 3 m WITHDIST STORE a",
    "GEORADIUS k 1 2 3 m STORE a STOREDIST b",
    "GEORADIUSBYMEMBER k store 3 m STORE a",
    "GEORADIUS_RO k 1 2 3 m",
    "GEOSEARCHSTORE d k FROMMEMBER m BYRADIUS 1 m",
    "MIGRATE h 1 k 0 1",
    "MIGRATE h 1 '' 0 1 KEYS a b",
    "MIGRATE h 1 '' 0 1 COPY AUTH2 KEYS KEYS KEYS a b",
    "COPY a b DB 1",
    "RENAME a b",
    "SMOVE a b m",
    "SUNIONSTORE d a b",
    "PFMERGE d a b",
    "PFCOUNT a b",
    "LCS a b",
    "ZRANGESTORE d a 0 1",
    "WATCH a b",
    "RESTORE k 0 v",
    "TOUCH a b",
];

#[test]
fn keys_are_where_the_server_sees_them() {
    let redis = PlainRedis::start().unwrap();
    let mut connection = redis.connect().unwrap();
    for sample in SAMPLES {
        let words: Vec<Vec<u8>> = sample
            .split(' ')
            .map(|word| {
                if word == "''" {
                    Vec::new()
                } else {
                    word.as_bytes().to_vec()
                }
            })
            .collect();
        let mut request = vec![b"COMMAND".to_vec(), b"GETKEYS".to_vec()];
        request.extend(words.iter().cloned());
        let reply = connection.pipeline(&[request]).unwrap().remove(0);
        let real: Vec<String> = items(&reply).iter().map(text).collect();
        let args: Vec<Bytes> = words.into_iter().map(Bytes::from).collect();
        let positions = table::key_positions(table::resolve(&args).unwrap(), &args).unwrap();
        let ours: Vec<String> = positions
            .into_iter()
            .map(|at| String::from_utf8(args[at].to_vec()).unwrap())
            .collect();
        assert_eq!(ours, real, "{sample}");
    }
}
