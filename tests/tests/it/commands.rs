//! One region alone answers as Redis does: random commands on a replica in memory and on a plain Redis, reply by reply,
//! the words of every refusal included.
//!
//! Where the two are meant to differ, nothing is asked: see docs/semantics.md and the modules of `engine::commands`.

use anyhow::{Context, Result, ensure};
use cartograph_engine::Reply;
use cartograph_engine::number::format_double_17g;
use cartograph_engine::testkit::{Dice, Replica, argv};

use crate::plain_redis::{Connection, PlainRedis, Reply as Plain};

const HISTORIES: u64 = 2_000;
const COMMANDS: usize = 40;

/// Commands, a word each: `K` a key, `F` a field or member, `V` a value, `N` an integer, `X` a float, `S` a score, `E`
/// an element of a HyperLogLog.
const SHAPES: &[&str] = &[
    "DEL K",
    "DEL K K",
    "EXISTS K K",
    "TYPE K",
    "TTL K",
    "EXPIRE K 100000",
    "EXPIRE K 200000 NX",
    "EXPIRE K 300000 GT",
    "EXPIRE K 50000 LT",
    "EXPIRE K 40000 XX",
    "EXPIRE K -1",
    "PERSIST K",
    "RENAME K K",
    "RENAMENX K K",
    "COPY K K",
    "COPY K K REPLACE",
    "GET K",
    "STRLEN K",
    "SET K V",
    "SET K V EX 100000",
    "SET K V KEEPTTL",
    "SET K V NX",
    "SET K V XX GET",
    "SET K V GET",
    "SET K V NX GET",
    "SET K V EX 0",
    "SET K V PX -5",
    "SETNX K V",
    "SETEX K 100000 V",
    "GETSET K V",
    "MSET K V K V",
    "MSETNX K V K V",
    "GETDEL K",
    "GETEX K",
    "GETEX K PERSIST",
    "GETEX K EX 100000",
    "GETEX K EX 0",
    "APPEND K V",
    "SETRANGE K 3 V",
    "SETRANGE K 0 V",
    "SETBIT K 9 1",
    "SETBIT K 2 0",
    "INCR K",
    "DECR K",
    "INCRBY K N",
    "DECRBY K 7",
    "INCRBYFLOAT K X",
    "HGET K F",
    "HGETALL K",
    "HLEN K",
    "HSET K F V",
    "HSET K F V F V",
    "HMSET K F V",
    "HSETNX K F V",
    "HDEL K F F",
    "HDEL K F",
    "HINCRBY K F N",
    "HINCRBYFLOAT K F X",
    "SMEMBERS K",
    "SISMEMBER K F",
    "SCARD K",
    "SADD K F F",
    "SADD K F",
    "SREM K F F",
    "SMOVE K K F",
    "SPOP K 100",
    "SUNIONSTORE K K K",
    "SINTERSTORE K K K",
    "SDIFFSTORE K K K",
    "ZSCORE K F",
    "ZCARD K",
    "ZRANGE K 0 -1",
    "ZRANGE K 0 -1 WITHSCORES",
    "ZADD K S F",
    "ZADD K S F S F",
    "ZADD K NX S F",
    "ZADD K XX CH S F",
    "ZADD K GT S F",
    "ZADD K LT CH S F",
    "ZADD K XX INCR S F",
    "ZADD K GT INCR S F",
    "ZADD K NX INCR S F",
    "ZADD K CH S F S F",
    "ZINCRBY K S F",
    "ZREM K F F",
    "ZPOPMIN K",
    "ZPOPMAX K 2",
    "ZPOPMIN K 0",
];

/// A HyperLogLog is a string to Redis, so these meet no command on strings.
const SKETCHES: &[&str] = &[
    "PFADD K E E E",
    "PFADD K E",
    "PFADD K E E E E E E E",
    "PFCOUNT K",
    "PFCOUNT K K",
    "DEL K",
    "EXISTS K",
    "TYPE K",
    "RENAME K K",
    "COPY K K REPLACE",
    "SADD set F",
    "PFADD set E",
    "PFCOUNT set",
    "PFCOUNT K set",
    "HSET hash F V",
];

fn words(dice: &mut Dice, shape: &str) -> Vec<String> {
    let one = |word: &str, dice: &mut Dice| match word {
        "K" => (*dice.pick(&["k1", "k2", "k3"])).to_owned(),
        "F" => (*dice.pick(&["a", "b", "c"])).to_owned(),
        "V" => (*dice.pick(&[
            "1",
            "10",
            "abc",
            "",
            "007",
            "2.5",
            "-4",
            "9223372036854775807",
            "1e3",
        ]))
        .to_owned(),
        "N" => (*dice.pick(&[
            "0",
            "1",
            "-3",
            "100",
            "9223372036854775807",
            "-9223372036854775808",
            "x",
            "1.5",
        ]))
        .to_owned(),
        "X" => (*dice.pick(&["0.1", "0.2", "-0.3", "3", "1.5e2", "abc", "", "0.0001"])).to_owned(),
        "S" => (*dice.pick(&["1", "2.5", "-1", "4.1", "0", "0.1"])).to_owned(),
        "E" => format!("element:{}", dice.below(5_000)),
        word => word.to_owned(),
    };
    shape.split(' ').map(|word| one(word, dice)).collect()
}

/// Our reply in Redis's form: RESP2.
fn plain(reply: Reply) -> Plain {
    match reply {
        Reply::Ok => Plain::Status("OK".to_owned()),
        Reply::Nil => Plain::Bulk(None),
        Reply::Integer(n) => Plain::Integer(n),
        Reply::Double(score) => Plain::Bulk(Some(format_double_17g(score).into_bytes())),
        Reply::Bytes(bytes) => Plain::Bulk(Some(bytes)),
        Reply::Array(items) => Plain::Array(items.into_iter().map(plain).collect()),
        Reply::Simple(text) => Plain::Status(text.to_owned()),
        Reply::Error(error) => Plain::Error(error.to_string()),
        Reply::Stamps(_) => Plain::Error("stamps are no reply of Redis's".to_owned()),
    }
}

/// Replies whose order Redis leaves open.
fn unordered(command: &str, reply: Plain) -> Plain {
    match (command, reply) {
        ("SMEMBERS" | "SPOP", Plain::Array(mut items)) => {
            items.sort_by_key(|item| format!("{item:?}"));
            Plain::Array(items)
        }
        ("HGETALL", Plain::Array(items)) => {
            let mut pairs: Vec<Vec<Plain>> = items.chunks(2).map(<[Plain]>::to_vec).collect();
            pairs.sort_by_key(|pair| format!("{pair:?}"));
            Plain::Array(pairs.concat())
        }
        (_, reply) => reply,
    }
}

fn ours(replica: &mut Replica, words: &[String]) -> Plain {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let parsed = match argv::parse(&words) {
        Ok(parsed) => parsed,
        Err(error) => return Plain::Error(error.to_string()),
    };
    let mut done = replica.exec(&[parsed.command], 1_000_000, None);
    match done.replies.pop() {
        Some(Ok(reply)) => plain((parsed.form)(reply)),
        Some(Err(error)) => Plain::Error(error.to_string()),
        None => Plain::Error("no reply".to_owned()),
    }
}

fn same(command: &str, ours: &Plain, redis: &Plain) -> bool {
    match (command, ours, redis) {
        // Redis's clock goes on while ours stands still.
        ("TTL", Plain::Integer(a), Plain::Integer(b)) if *a > 0 => (a - b).abs() <= 30,
        _ => ours == redis,
    }
}

fn history(redis: &mut Connection, seed: u64, shapes: &[&str]) -> Result<()> {
    let mut dice = Dice(seed);
    let commands: Vec<Vec<String>> = (0..COMMANDS)
        .map(|_| {
            let shape = *dice.pick(shapes);
            words(&mut dice, shape)
        })
        .collect();
    let bytes = |command: &Vec<String>| command.iter().map(|w| w.clone().into_bytes()).collect();
    redis.pipeline(&[vec![b"FLUSHALL".to_vec()]])?;
    let replies = redis.pipeline(&commands.iter().map(bytes).collect::<Vec<_>>())?;
    let mut replica = Replica::new(1);
    for (i, (command, redis)) in commands.iter().zip(replies).enumerate() {
        let name = command[0].as_str();
        let (ours, redis) = (
            unordered(name, ours(&mut replica, command)),
            unordered(name, redis),
        );
        let so_far: Vec<String> = commands[..=i].iter().map(|c| c.join(" ")).collect();
        ensure!(
            same(name, &ours, &redis),
            "seed {seed}: ours {ours:?}, Redis's {redis:?}\n  {}",
            so_far.join("\n  ")
        );
    }
    Ok(())
}

#[test]
fn one_region_alone_replies_as_redis_does() -> Result<()> {
    let redis = PlainRedis::start()?;
    let mut connection = redis.connect()?;
    for seed in 1..=HISTORIES {
        history(&mut connection, seed, SHAPES).context("commands of all families")?;
        history(&mut connection, seed, SKETCHES).context("HyperLogLogs")?;
    }
    Ok(())
}

#[test]
fn a_hyperloglog_counts_what_redis_counts_up_to_a_hundred_thousand() -> Result<()> {
    let redis = PlainRedis::start()?;
    let mut connection = redis.connect()?;
    let mut replica = Replica::new(1);
    let mut added = 0;
    for count in [1, 10, 100, 1_000, 9_000, 30_000, 100_000] {
        let mut add = vec!["PFADD".to_owned(), "k".to_owned()];
        // Names of all lengths, so that every tail of the hash is met.
        add.extend((added..count).map(|n| format!("{n:x}{}", "é".repeat(n % 7))));
        added = count;
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let merge = format!("PFMERGE merged{} k", count % 3);
        for words in [
            add,
            words("PFCOUNT k"),
            words(&merge),
            words("PFCOUNT k merged1 merged0 merged2"),
        ] {
            let bytes = words.iter().map(|w| w.clone().into_bytes()).collect();
            let redis = connection.pipeline(&[bytes])?;
            assert_eq!(vec![ours(&mut replica, &words)], redis, "{} of {count}", words[0]);
        }
    }
    Ok(())
}
