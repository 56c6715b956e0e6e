//! The RESP door's commands and a plain Redis side by side: random sequences over all supported types, hostile
//! arguments included, compared reply by reply as bytes, in both versions of the protocol, and then key by key.
//!
//! Words go through the door's own table into a replica in memory; what a commit makes of effects is other tests'
//! business. Replies whose order Redis leaves open are compared in order, those left to chance by membership.
//!
//! `DIFFERENTIAL_SEED=<n>` begins elsewhere, `DIFFERENTIAL_COMMANDS=<n>` goes on longer. A failure is shrunk, and names
//! its seed.

mod grammar;
mod replies;
mod sides;
mod tokens;

use anyhow::{Context as _, Result, bail};
use cartograph_engine::testkit::Dice;
use cartograph_resp::Protocol;

use crate::plain_redis::PlainRedis;
use grammar::Words;
use sides::{Ours, Theirs};

/// Commands in a run where nobody says otherwise.
const COMMANDS: u64 = 60_000;

/// Commands of one sequence, before those that read its keys.
const LENGTH: usize = 40;

/// Sequences sent to Redis at once.
const BATCH: u64 = 25;

/// One sequence.
struct Sequence {
    seed: u64,
    protocol: Protocol,
    /// Commands that are one entry on our side.
    entries: Vec<Vec<Words>>,
}

impl Sequence {
    fn of(seed: u64) -> Self {
        let mut dice = Dice(seed);
        let protocol = if dice.once_in(2) {
            Protocol::Resp3
        } else {
            Protocol::Resp2
        };
        let mut grammar = grammar::Grammar::new(dice);
        let mut entries = Vec::new();
        let mut length = 0;
        while length < LENGTH {
            let entry = grammar.entry();
            length += entry.len();
            // What is left to chance is looked up in the state that it was taken from.
            if entry
                .iter()
                .any(|words| words[0].windows(4).any(|part| part == b"RAND"))
            {
                entries.extend(entry.into_iter().map(|words| vec![words]));
            } else {
                entries.push(entry);
            }
        }
        Sequence {
            seed,
            protocol,
            entries,
        }
    }

    /// Every command, and then what its keys hold.
    fn commands(&self) -> Vec<Words> {
        let commands = self.entries.iter().flatten().cloned();
        commands.chain(grammar::readings()).collect()
    }
}

/// What went apart, if anything did.
fn compare(sequence: &Sequence, replies: &[bytes::Bytes], ours: &mut Ours) -> Option<String> {
    ours.begin(sequence.protocol);
    let mut replies = replies.iter();
    let readings = grammar::readings().map(|words| vec![words]);
    for entry in sequence.entries.iter().cloned().chain(readings) {
        let theirs: Vec<_> = replies.by_ref().take(entry.len()).cloned().collect();
        let mine = ours.entry(&entry, &theirs);
        for ((words, mine), theirs) in entry.iter().zip(mine).zip(theirs) {
            match replies::verdict(words, &mine, &theirs, ours) {
                replies::Verdict::Same => {}
                replies::Verdict::MeantToDiffer => return None,
                replies::Verdict::Different => {
                    let show = |bytes: &[u8]| bytes.escape_ascii().to_string();
                    return Some(format!(
                        "{}\n    ours:    {}\n    Redis's: {}",
                        grammar::shown(words),
                        show(&mine),
                        show(&theirs)
                    ));
                }
            }
        }
    }
    None
}

/// The shortest sequence found that still goes apart.
fn shrink(mut sequence: Sequence, theirs: &mut Theirs, ours: &mut Ours) -> Result<String> {
    let mut last = String::new();
    let mut step = sequence.entries.len().div_ceil(2).max(1);
    loop {
        let mut shorter = false;
        let mut from = 0;
        while from < sequence.entries.len() {
            let mut entries = sequence.entries.clone();
            entries.drain(from..(from + step).min(sequence.entries.len()));
            let candidate = Sequence { entries, ..sequence };
            let replies = theirs.replies(&candidate.commands(), candidate.protocol)?;
            if let Some(difference) = compare(&candidate, &replies, ours) {
                (sequence, last, shorter) = (candidate, difference, true);
            } else {
                from += step;
            }
        }
        if !shorter && step == 1 {
            break;
        }
        step = (step / 2).max(1);
    }
    let lines: Vec<String> = sequence
        .entries
        .iter()
        .map(|entry| {
            entry
                .iter()
                .map(grammar::shown)
                .collect::<Vec<_>>()
                .join("   ;   ")
        })
        .collect();
    Ok(format!(
        "{:?}, after\n  {}\n  {last}",
        sequence.protocol,
        lines.join("\n  ")
    ))
}

fn number(name: &str, otherwise: u64) -> Result<u64> {
    std::env::var(name).map_or(Ok(otherwise), |text| text.parse().context(name.to_owned()))
}

#[test]
fn the_door_replies_as_redis_does() -> Result<()> {
    run()
}

pub(crate) fn run() -> Result<()> {
    let redis = PlainRedis::start()?;
    let mut theirs = Theirs::new(&redis)?;
    let mut ours = Ours::new(theirs.arities()?);
    let first = number("DIFFERENTIAL_SEED", 1)?;
    let commands = number("DIFFERENTIAL_COMMANDS", COMMANDS)?;
    let (mut done, mut seed, mut found) = (0, first, Vec::new());
    while done < commands && found.len() < 8 {
        let batch: Vec<Sequence> = (seed..seed + BATCH).map(Sequence::of).collect();
        seed += BATCH;
        ours.now_ms = theirs.now_ms()?;
        for protocol in [Protocol::Resp2, Protocol::Resp3] {
            let batch: Vec<&Sequence> = batch.iter().filter(|s| s.protocol == protocol).collect();
            let sent: Vec<Vec<Words>> = batch.iter().map(|sequence| sequence.commands()).collect();
            let replies = theirs.batch(&sent, protocol)?;
            for (sequence, replies) in batch.into_iter().zip(replies) {
                done += replies.len() as u64;
                if compare(sequence, &replies, &mut ours).is_some() {
                    let short = shrink(Sequence::of(sequence.seed), &mut theirs, &mut ours)?;
                    found.push(format!("DIFFERENTIAL_SEED={} {short}", sequence.seed));
                }
            }
        }
    }
    println!(
        "{done} commands from seed {first} on, {} left to Redis's own ways",
        ours.given_up
    );
    if !found.is_empty() {
        bail!("not as Redis replies:\n{}", found.join("\n\n"));
    }
    Ok(())
}
