//! What commands refuse, in which order and words; their bounds; and what they load.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    clippy::print_stdout,
    reason = "tests: helpers stand outside #[test] functions, where clippy.toml does not let them off"
)]

use cartograph_crdt::Effect;
use cartograph_engine::command::{Command, Condition, SetExpiry, When, ZAddFlags};
use cartograph_engine::testkit::{Cluster, Replica, argv};
use cartograph_engine::{CommandError, Reply};

type Answer = Result<Reply, CommandError>;

fn redis(replica: &mut Replica, line: &str) -> Answer {
    redis_at(replica, line, 1_000_000)
}

fn redis_at(replica: &mut Replica, line: &str, now: u64) -> Answer {
    let words: Vec<&str> = line.split(' ').collect();
    let parsed = argv::parse(&words)?;
    let mut done = replica.exec(&[parsed.command], now, None);
    done.replies.pop().unwrap().map(parsed.form)
}

#[expect(clippy::unnecessary_wraps, reason = "an answer, to compare with")]
fn int(n: i64) -> Answer {
    Ok(Reply::Integer(n))
}

#[expect(clippy::unnecessary_wraps, reason = "an answer, to compare with")]
fn text(bytes: &str) -> Answer {
    Ok(Reply::Bytes(bytes.as_bytes().to_vec()))
}

fn entries(replica: &Replica) -> usize {
    replica.log.len()
}

#[test]
fn a_refused_command_of_a_transaction_leaves_the_others_standing() {
    let mut replica = Replica::new(1);
    let commands: Vec<Command> = ["SET k v", "HSET k f 1", "SADD s m", "INCR k"]
        .iter()
        .map(|line| argv::parse(&line.split(' ').collect::<Vec<_>>()).unwrap().command)
        .collect();
    let done = replica.exec(&commands, 1_000_000, None);
    assert_eq!(
        done.replies,
        [
            Ok(Reply::Ok),
            Err(CommandError::WrongType),
            Ok(Reply::Integer(1)),
            Err(CommandError::NotAnInteger)
        ]
    );
    assert_eq!(entries(&replica), 1, "one entry");
    assert_eq!(redis(&mut replica, "GET k"), text("v"));
    assert_eq!(redis(&mut replica, "SCARD s"), int(1));
}

#[test]
fn what_changes_nothing_and_has_no_effect_takes_no_entry() {
    let mut replica = Replica::new(1);
    redis(&mut replica, "SET k v").unwrap();
    redis(&mut replica, "ZADD z 5 m").unwrap();
    let before = entries(&replica);
    for line in [
        "GET k",
        "DEL nothing",
        "SETNX k w",
        "SET k w NX",
        "SET x w XX",
        "EXPIRE x 10",
        "PERSIST x",
        "HDEL h f",
        "SREM s m",
        "ZADD z GT 5 m",
        "ZADD z NX 1 m",
        "ZADD q XX 1 m",
        "SPOP s",
        "SETRANGE k 0 ",
        "RENAMENX k z",
        "COPY k z",
        "SMOVE s t m",
        "GETEX k",
        "PFCOUNT p",
    ] {
        redis(&mut replica, line).unwrap();
        assert_eq!(entries(&replica), before, "{line}");
    }
}

#[test]
fn what_changes_nothing_visible_still_has_its_effect() {
    let mut replica = Replica::new(1);
    for line in ["SADD s m", "HSET h f 1", "ZADD z 1 m", "PFADD p e", "SET k 1"] {
        redis(&mut replica, line).unwrap();
    }
    for line in [
        "SADD s m",
        "HSET h f 1",
        "ZADD z 1 m",
        "PFADD p e",
        "INCRBY k 0",
        "PERSIST k",
    ] {
        let before = entries(&replica);
        assert_eq!(
            redis(&mut replica, line).map(|_| entries(&replica)),
            Ok(before + 1),
            "{line}"
        );
    }
}

#[test]
fn string_commands_on_a_hyperloglog_are_refused_though_its_type_is_string() {
    let mut replica = Replica::new(1);
    redis(&mut replica, "PFADD p e").unwrap();
    assert_eq!(redis(&mut replica, "TYPE p"), Ok(Reply::Simple("string")));
    for line in [
        "GET p",
        "APPEND p x",
        "SETRANGE p 0 x",
        "SETBIT p 0 1",
        "INCR p",
        "GETDEL p",
        "SET p x GET",
    ] {
        assert_eq!(
            redis(&mut replica, line),
            Err(CommandError::HyperLogLogAsString),
            "{line}"
        );
    }
    redis(&mut replica, "SET k v").unwrap();
    redis(&mut replica, "SADD s m").unwrap();
    assert_eq!(
        redis(&mut replica, "PFADD k e"),
        Err(CommandError::NotAHyperLogLog)
    );
    assert_eq!(
        redis(&mut replica, "PFMERGE p k"),
        Err(CommandError::NotAHyperLogLog)
    );
    assert_eq!(redis(&mut replica, "PFCOUNT p s"), Err(CommandError::WrongType));
    redis(&mut replica, "SET p v").unwrap();
    assert_eq!(redis(&mut replica, "GET p"), text("v"));
}

#[test]
fn a_hyperloglog_without_elements_is_refused_where_there_is_none_yet() {
    let mut replica = Replica::new(1);
    assert_eq!(
        redis(&mut replica, "PFADD p"),
        Err(CommandError::EmptyHyperLogLog)
    );
    assert_eq!(
        redis(&mut replica, "PFMERGE p q"),
        Err(CommandError::EmptyHyperLogLog)
    );
    redis(&mut replica, "PFADD p e").unwrap();
    assert_eq!(redis(&mut replica, "PFADD p"), int(0));
    assert_eq!(redis(&mut replica, "PFMERGE p q"), Ok(Reply::Ok));
    assert_eq!(redis(&mut replica, "PFCOUNT p"), int(1));
}

#[test]
fn strings_are_bounded_before_memory_is_taken_for_them() {
    let mut replica = Replica::new(1);
    let limit = 512 << 20;
    let range = |offset| Command::SetRange {
        key: b"k".to_vec(),
        offset,
        value: b"x".to_vec(),
    };
    let bit = |offset| Command::SetBit {
        key: b"k".to_vec(),
        offset,
        bit: true,
    };
    let mut refusal = |command| replica.exec(&[command], 1, None).replies.remove(0).unwrap_err();
    assert_eq!(refusal(range(limit)), CommandError::StringTooLong);
    assert_eq!(refusal(range(u64::MAX)), CommandError::StringTooLong);
    assert!(matches!(
        refusal(range(limit - 1)),
        CommandError::EntryTooLarge { .. }
    ));
    assert_eq!(refusal(bit(1 << 32)), CommandError::BitOffset);
    assert!(matches!(
        refusal(bit((1 << 32) - 1)),
        CommandError::EntryTooLarge { .. }
    ));
    assert!(matches!(
        refusal(range(8 << 20)),
        CommandError::EntryTooLarge { .. }
    ));
    assert_eq!(entries(&replica), 0);
    assert_eq!(redis(&mut replica, "SETRANGE k 1000000 x"), int(1_000_001));
}

#[test]
fn keys_of_the_products_own_are_refused() {
    let mut replica = Replica::new(1);
    let key = b"\0cartograph:members".to_vec();
    for command in [
        Command::Get { key: key.clone() },
        Command::SAdd {
            key: key.clone(),
            members: vec![b"m".to_vec()],
        },
        Command::Del {
            keys: vec![key.clone()],
        },
        Command::Revoke { key },
    ] {
        let done = replica.exec(&[command], 1, None);
        assert_eq!(done.replies, [Err(CommandError::ReservedKey)]);
    }
}

#[test]
fn a_saturated_number_takes_no_increment_until_it_is_set() {
    let mut cluster = Cluster::new(2);
    for region in [0, 1] {
        redis(cluster.region(region), "INCRBY k 9223372036854775000").unwrap();
        redis(cluster.region(region), "HINCRBY h f -9223372036854775000").unwrap();
    }
    cluster.sync();
    let replica = cluster.region(0);
    assert_eq!(redis(replica, "GET k"), text("9223372036854775807"));
    for line in [
        "INCR k",
        "DECR k",
        "INCRBYFLOAT k 1",
        "HINCRBY h f 1",
        "HINCRBYFLOAT h f 0.5",
    ] {
        assert_eq!(redis(replica, line), Err(CommandError::Saturated), "{line}");
    }
    redis(replica, "SET k 5").unwrap();
    assert_eq!(redis(replica, "INCR k"), int(6));
    redis(replica, "HDEL h f").unwrap();
    assert_eq!(redis(replica, "HINCRBY h f 1"), int(1));
}

#[test]
fn scores_are_incremented_by_finite_amounts_only() {
    let mut replica = Replica::new(1);
    assert_eq!(
        redis(&mut replica, "ZINCRBY z inf m"),
        Err(CommandError::IncrementNotFinite)
    );
    redis(&mut replica, "ZADD z inf m").unwrap();
    assert_eq!(
        redis(&mut replica, "ZINCRBY z -inf m"),
        Err(CommandError::ScoreNotANumber)
    );
    assert_eq!(
        redis(&mut replica, "ZINCRBY z 5 m"),
        Ok(Reply::Double(f64::INFINITY))
    );
    let nan = Command::ZAdd {
        key: b"z".to_vec(),
        flags: ZAddFlags::default(),
        pairs: vec![(f64::NAN, b"m".to_vec())],
    };
    assert_eq!(
        replica.exec(&[nan], 1, None).replies,
        [Err(CommandError::NotAFloat)]
    );
}

#[test]
fn an_expiry_in_the_past_deletes_and_one_out_of_range_is_refused() {
    let mut replica = Replica::new(1);
    redis(&mut replica, "SET k v").unwrap();
    assert_eq!(redis(&mut replica, "PEXPIREAT k 999999"), int(1));
    assert_eq!(redis(&mut replica, "EXISTS k"), int(0));
    redis(&mut replica, "SET k v").unwrap();
    let far = Command::Expire {
        key: b"k".to_vec(),
        when: When::In(i64::MAX),
        flags: cartograph_engine::command::ExpireFlags::default(),
    };
    let refused = Err(CommandError::InvalidExpire { command: "expire" });
    assert_eq!(replica.exec(&[far], 1_000_000, None).replies, [refused]);
    for expiry in [When::At(0), When::At(-5), When::In(0), When::In(i64::MAX)] {
        let set = Command::Set {
            key: b"hash".to_vec(),
            value: b"v".to_vec(),
            expiry: SetExpiry::Expires(expiry),
            condition: Condition::Always,
            get: true,
        };
        let refused = Err(CommandError::InvalidExpire { command: "set" });
        assert_eq!(replica.exec(&[set], 1_000_000, None).replies, [refused]);
    }
    assert_eq!(redis(&mut replica, "SET k v PXAT 5"), Ok(Reply::Ok));
    assert_eq!(
        redis(&mut replica, "EXISTS k"),
        int(0),
        "set, and expired at once"
    );
}

#[test]
fn nothing_of_a_hidden_key_is_there_for_commands_on_elements() {
    let mut replica = Replica::new(1);
    for line in [
        "HSET h f 5 g 6",
        "EXPIRE h 1",
        "SADD s m n",
        "EXPIRE s 1",
        "ZADD z 3 m",
        "EXPIRE z 1",
        "SET k 7 EX 1",
    ] {
        redis(&mut replica, line).unwrap();
    }
    let later = 1_000_000 + 1_000;
    let mut at = |line| redis_at(&mut replica, line, later);
    assert_eq!(at("HGET h f"), Ok(Reply::Nil));
    assert_eq!(at("SISMEMBER s m"), int(0));
    assert_eq!(at("SREM s m"), int(0));
    assert_eq!(at("HINCRBY h f 1"), int(1));
    assert_eq!(at("HLEN h"), int(1), "a new key: what was hidden is gone");
    assert_eq!(at("SADD s m"), int(1));
    assert_eq!(at("SCARD s"), int(1));
    assert_eq!(at("ZINCRBY z 1 m"), Ok(Reply::Double(1.0)));
    assert_eq!(at("ZADD z GT 0 m"), int(0));
    assert_eq!(at("APPEND k 1"), int(1));
    assert_eq!(at("TTL k"), int(-1));
}

#[test]
fn a_write_loads_only_the_elements_that_it_changes() {
    let mut replica = Replica::new(1);
    for n in 0..50 {
        for line in [
            format!("SADD s m{n}"),
            format!("HSET h f{n} 1"),
            format!("ZADD z {n} m{n}"),
            format!("HINCRBY c f{n} 1"),
        ] {
            redis(&mut replica, &line).unwrap();
        }
    }
    for line in [
        "SADD s m1 x",
        "SREM s m2 y",
        "HSET h f1 2 x 3",
        "HDEL h f2",
        "HSETNX h z 1",
        "HINCRBY c f1 1",
        "HDEL c f2 f3",
        "HINCRBYFLOAT c f4 0.5",
        "ZADD z 9 m1",
        "ZINCRBY z 1 m2",
        "ZREM z m3",
        "SCARD s",
        "SISMEMBER s m4",
        "SMOVE s h m5",
        "EXPIRE s 100",
        "EXISTS s h z",
        "DEL s",
        "SET h x",
    ] {
        let _ = redis(&mut replica, line);
        assert!(
            replica.asked.iter().all(|want| !want.all),
            "{line} asked for {:?}",
            replica.asked
        );
        assert!(
            replica.asked.len() <= 4,
            "{line} asked {} times: {:?}",
            replica.asked.len(),
            replica.asked
        );
    }
    redis(&mut replica, "DEL c").unwrap();
    assert!(
        replica.asked.iter().any(|want| want.all),
        "a removal must name the increments that it had seen"
    );
}

#[test]
fn a_removal_of_a_big_set_is_a_small_entry() {
    let mut replica = Replica::new(1);
    for n in 0..100 {
        redis(&mut replica, &format!("SADD s m{n}")).unwrap();
    }
    redis(&mut replica, "DEL s").unwrap();
    let entry = replica.log.last().unwrap();
    assert!(matches!(&entry.effects[..], [(_, Effect::Delete { observed })] if observed.is_empty()));
}

#[test]
fn random_pops_meet_every_member_sooner_or_later() {
    let mut replica = Replica::new(7);
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..200 {
        redis(&mut replica, "DEL s").unwrap();
        redis(&mut replica, "SADD s a b c d").unwrap();
        match redis(&mut replica, "SPOP s") {
            Ok(Reply::Bytes(member)) => seen.insert(member),
            other => panic!("{other:?}"),
        };
        assert_eq!(redis(&mut replica, "SCARD s"), int(3));
    }
    assert_eq!(seen.len(), 4);
}
