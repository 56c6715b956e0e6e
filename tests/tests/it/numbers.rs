//! The engine's number rules against a real Redis: every reply must be the same, digit for digit.
//!
//! Random cases, with much weight on the ends and on ties. `NUMBERS_SEED=<n>` runs another series; a failure names its seed.

mod texts;

use anyhow::{Result, bail, ensure};
use cartograph_crdt::exact::Exact;
use cartograph_engine::number::{
    FloatError, FloatIncrement, ScoreError, format_double_17g, format_double_shortest, hincr_by_float,
    incr_by_float, parse_double, parse_i64, parse_number, show_number, show_score, zincr,
};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use crate::plain_redis::{Connection, PlainRedis, Reply};

/// Redis's long double is the machine's own.
const _: () = assert!(
    cfg!(target_arch = "x86_64"),
    "Redis shows these digits on x86-64 only"
);

fn series() -> Result<(u64, ChaCha8Rng)> {
    let seed = std::env::var("NUMBERS_SEED").map_or(Ok(1), |text| text.parse())?;
    Ok((seed, ChaCha8Rng::seed_from_u64(seed)))
}

fn command(parts: &[&[u8]]) -> Vec<Vec<u8>> {
    parts.iter().map(|part| part.to_vec()).collect()
}

fn readable(text: &[u8]) -> String {
    String::from_utf8_lossy(text).into_owned()
}

/// One increment: the value before it, and by how much.
type Case = (Option<Vec<u8>>, Vec<u8>);

fn cases(rng: &mut ChaCha8Rng, count: usize) -> Vec<Case> {
    let mut cases: Vec<Case> = texts::PAIRS
        .iter()
        .map(|(old, by)| (Some(old.to_vec()), by.to_vec()))
        .collect();
    cases.extend(texts::EDGES.iter().map(|text| (None, text.to_vec())));
    cases.extend(
        texts::EDGES
            .iter()
            .map(|text| (Some(text.to_vec()), b"0".to_vec())),
    );
    while cases.len() < count {
        let old = rng.random_bool(0.9).then(|| texts::number(rng));
        let by = if rng.random_bool(0.1) {
            texts::beside(rng, old.as_deref())
        } else {
            texts::number(rng)
        };
        cases.push((old, by));
    }
    cases
}

/// Whether our answer is that of Redis, and counts for what it shows.
fn same_increment(case: &Case, ours: Result<FloatIncrement, FloatError>, theirs: &Reply) -> Result<()> {
    let old = case.0.as_deref();
    match (ours, theirs) {
        (Ok(ours), Reply::Bulk(Some(theirs))) => {
            ensure!(
                ours.shown.as_bytes() == theirs.as_slice(),
                "we say {}",
                ours.shown
            );
            let before = old.map_or_else(|| Some(Exact::zero()), parse_number);
            let after = before.map(|before| &before + &ours.delta);
            ensure!(
                after == Exact::from_decimal(theirs).ok(),
                "the increment counts for {}",
                ours.delta
            );
        }
        (Err(ours), Reply::Error(theirs)) => ensure!(ours.to_string() == *theirs, "we say {ours}"),
        (ours, _) => bail!("we say {ours:?}"),
    }
    Ok(())
}

fn compare_increments(redis: &mut Connection, cases: &[Case], in_hash: bool, seed: u64) -> Result<()> {
    let mut commands = Vec::new();
    for (old, by) in cases {
        let by = by.as_slice();
        commands.push(command(&[b"DEL", b"k"]));
        if let Some(old) = old.as_deref() {
            commands.push(if in_hash {
                command(&[b"HSET", b"k", b"f", old])
            } else {
                command(&[b"SET", b"k", old])
            });
        }
        commands.push(if in_hash {
            command(&[b"HINCRBYFLOAT", b"k", b"f", by])
        } else {
            command(&[b"INCRBYFLOAT", b"k", by])
        });
    }
    let replies = redis.pipeline(&commands)?;
    let theirs = commands
        .iter()
        .zip(&replies)
        .filter(|(command, _)| command.iter().any(|part| part.ends_with(b"INCRBYFLOAT")));
    let mut answers = 0;
    for (case, (_, theirs)) in cases.iter().zip(theirs) {
        let (old, by) = (case.0.as_deref(), case.1.as_slice());
        let ours = if in_hash {
            hincr_by_float(old, by)
        } else {
            incr_by_float(old, by)
        };
        same_increment(case, ours, theirs).map_err(|why| {
            let old = old.map(readable);
            why.context(format!(
                "seed {seed}: {old:?} + {:?}: Redis says {theirs:?}",
                readable(by)
            ))
        })?;
        answers += usize::from(matches!(theirs, Reply::Bulk(_)));
    }
    ensure!(
        answers * 2 > cases.len(),
        "a lopsided test: {answers} answers in {} cases",
        cases.len()
    );
    Ok(())
}

#[test]
fn incrbyfloat_answers_with_redis_digits() -> Result<()> {
    let (seed, mut rng) = series()?;
    let redis = PlainRedis::start()?;
    compare_increments(&mut redis.connect()?, &cases(&mut rng, 12_000), false, seed)
}

#[test]
fn hincrbyfloat_answers_with_redis_digits() -> Result<()> {
    let (seed, mut rng) = series()?;
    let redis = PlainRedis::start()?;
    compare_increments(&mut redis.connect()?, &cases(&mut rng, 6_000), true, seed)
}

#[test]
fn base_and_increments_of_one_region_show_what_redis_shows() -> Result<()> {
    let (seed, mut rng) = series()?;
    let redis = PlainRedis::start()?;
    let mut redis = redis.connect()?;
    for chain in 0..300 {
        let base = texts::everyday(&mut rng);
        let (mut last, mut sum, mut commands) =
            (base.clone(), Exact::zero(), vec![command(&[b"SET", b"k", &base])]);
        for _ in 0..30 {
            let by = texts::everyday(&mut rng);
            if let Ok(done) = incr_by_float(Some(&last), &by) {
                sum += &done.delta;
                last = done.shown.into_bytes();
                commands.push(command(&[b"INCRBYFLOAT", b"k", &by]));
            }
        }
        commands.push(command(&[b"GET", b"k"]));
        let Some(Reply::Bulk(Some(theirs))) = redis.pipeline(&commands)?.pop() else {
            bail!("no reply to GET")
        };
        let ours = show_number(parse_number(&base).as_ref(), &sum).text;
        let (ours, theirs) = (readable(&ours), readable(&theirs));
        ensure!(
            commands.len() == 32 && ours == theirs,
            "seed {seed}, chain {chain}: we show {ours}, Redis {theirs}"
        );
    }
    Ok(())
}

/// From 7.2 on Redis prints scores with the fewest digits (or, rarely, one more).
fn prints_shortest(redis: &mut Connection) -> Result<bool> {
    let info = redis.pipeline(&[command(&[b"INFO", b"server"])])?.pop();
    let Some(Reply::Bulk(Some(info))) = info else {
        bail!("no reply to INFO")
    };
    let info = readable(&info);
    let Some(version) = info.lines().find_map(|line| line.strip_prefix("redis_version:")) else {
        bail!("no version")
    };
    let mut numbers = version
        .split('.')
        .map(|number| number.parse::<u32>().unwrap_or(0));
    Ok((numbers.next(), numbers.next()) >= (Some(7), Some(2)))
}

/// Small sorted sets keep an integer as an integer, and so lose the sign of zero.
fn same_score(ours: f64, theirs: &[u8], shortest: bool) -> bool {
    let (ours_17g, ours_shortest) = (format_double_17g(ours), format_double_shortest(ours));
    if ours == 0.0 {
        return matches!(theirs, b"0" | b"-0");
    }
    if shortest {
        parse_double(theirs) == Some(ours) && theirs.len() <= ours_shortest.len() + 1
    } else {
        theirs == ours_17g.as_bytes()
    }
}

fn same_zincr(
    ours: Result<(f64, Exact), ScoreError>,
    old: Option<f64>,
    theirs: &Reply,
    shortest: bool,
) -> Result<()> {
    match (ours, theirs) {
        (Ok((score, delta)), Reply::Bulk(Some(text))) => {
            ensure!(same_score(score, text, shortest), "we say {score}");
            let merged = show_score(old, &delta);
            ensure!(
                merged.to_bits() == score.to_bits(),
                "the sum shows {merged}, the reply is {score}"
            );
        }
        (Err(ScoreError::NotFinite), Reply::Bulk(Some(text))) => {
            ensure!(text.ends_with(b"inf"), "it is finite");
        }
        (Err(ours), Reply::Error(theirs)) => ensure!(ours.to_string() == *theirs, "we say {ours}"),
        (ours, _) => bail!("we say {ours:?}"),
    }
    Ok(())
}

#[test]
fn scores_are_read_added_and_printed_as_redis_does() -> Result<()> {
    let (seed, mut rng) = series()?;
    let redis = PlainRedis::start()?;
    let mut redis = redis.connect()?;
    let shortest = prints_shortest(&mut redis)?;
    let cases: Vec<Case> = cases(&mut rng, 12_000)
        .into_iter()
        .map(|(old, by)| (Some(old.unwrap_or_default()), by))
        .collect();
    let mut commands = Vec::new();
    for (old, by) in &cases {
        commands.push(command(&[b"DEL", b"z"]));
        commands.push(command(&[
            b"ZADD",
            b"z",
            old.as_deref().unwrap_or_default(),
            b"m",
        ]));
        commands.push(command(&[b"ZSCORE", b"z", b"m"]));
        commands.push(command(&[b"ZINCRBY", b"z", by, b"m"]));
    }
    let replies = redis.pipeline(&commands)?;
    for ((old, by), theirs) in cases.iter().zip(replies.chunks(4)) {
        let old = old.as_deref().unwrap_or_default();
        let say = || {
            format!(
                "seed {seed}: ZADD {:?}, ZINCRBY {:?}: Redis says {theirs:?}",
                readable(old),
                readable(by)
            )
        };
        let [_, added, stored, increased] = theirs else {
            bail!("too few replies")
        };
        let score = parse_double(old);
        match (score, added, stored) {
            (Some(score), Reply::Integer(1), Reply::Bulk(Some(text))) => {
                ensure!(same_score(score, text, shortest), "{}: we read {score}", say());
            }
            (None, Reply::Error(theirs), Reply::Bulk(None)) => {
                ensure!(theirs == "ERR value is not a valid float", "{}", say());
            }
            _ => bail!("{}: we read {score:?}", say()),
        }
        match (parse_double(by), increased) {
            (Some(by), increased) => {
                same_zincr(zincr(score, by), score, increased, shortest).map_err(|why| why.context(say()))?;
            }
            (None, Reply::Error(theirs)) => ensure!(theirs == "ERR value is not a valid float", "{}", say()),
            (None, _) => bail!("{}: we refuse the increment", say()),
        }
    }
    Ok(())
}

#[test]
fn what_is_a_number_to_redis_is_one_to_us() -> Result<()> {
    let (seed, mut rng) = series()?;
    let redis = PlainRedis::start()?;
    let mut redis = redis.connect()?;
    let mut texts: Vec<Vec<u8>> = texts::EDGES.iter().map(|text| text.to_vec()).collect();
    texts.extend((0..15_000).map(|_| texts::damaged(&mut rng)));
    let mut commands = Vec::new();
    for text in &texts {
        commands.push(command(&[b"SET", b"k", text]));
        commands.push(command(&[b"INCRBY", b"k", b"0"]));
        commands.push(command(&[b"SET", b"k", text]));
        commands.push(command(&[b"INCRBYFLOAT", b"k", b"0"]));
        commands.push(command(&[b"ZADD", b"z", text, b"m"]));
    }
    let replies = redis.pipeline(&commands)?;
    let mut numbers = 0;
    for (text, theirs) in texts.iter().zip(replies.chunks(5)) {
        let [_, integer, _, float, score] = theirs else {
            bail!("too few replies")
        };
        let say = || format!("seed {seed}: {:?}: Redis says {theirs:?}", readable(text));
        let expected = match parse_i64(text) {
            Some(value) => Reply::Integer(value),
            None => Reply::Error("ERR value is not an integer or out of range".to_owned()),
        };
        ensure!(*integer == expected, "{}: INCRBY, we say {expected:?}", say());
        let is_number = matches!(float, Reply::Bulk(Some(_)));
        ensure!(
            parse_number(text).is_some() == is_number,
            "{}: INCRBYFLOAT, we say the opposite",
            say()
        );
        let is_score = matches!(score, Reply::Integer(_));
        ensure!(
            parse_double(text).is_some() == is_score,
            "{}: ZADD, we say the opposite",
            say()
        );
        numbers += usize::from(is_number);
    }
    ensure!(
        numbers * 5 > texts.len() && numbers * 5 < texts.len() * 4,
        "a lopsided test: {numbers} numbers of {}",
        texts.len()
    );
    Ok(())
}
