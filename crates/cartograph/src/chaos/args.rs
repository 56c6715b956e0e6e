//! The command line of `cartograph chaos`, and the text that teaches it.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args as ClapArgs, ValueEnum, value_parser};

use super::network::Means;
use crate::demo::ports::BASE_MAX;
use crate::demo::redis::StoreArg;
use crate::exit::EXIT_CODES;
use crate::text::parse_duration;

const ABOUT: &str = "Break a cluster of real processes in every way, and check that nothing is lost";

const LONG_ABOUT: &str = "\
Starts regions of its own on this machine (nodes and Redis servers in processes, as the demo
does), has clients work in all of them, and meanwhile cuts links, kills and stops processes,
wipes stores and sets them back, fills memory and disks, and moves clocks. Then it heals
everything, and judges the recorded history of all operations:

  all regions converge; acknowledged adds are there; what was removed stays removed; counters are
  exact, within what unknown outcomes allow; clients read their own writes and never go back in
  time, in their region, and with a session token elsewhere.

The seed decides what is broken, when and where.";

const AFTER: &str = "\
Examples:
  cartograph chaos                                 two minutes of everything
  cartograph chaos --minutes 10 --report chaos.html
  cartograph chaos --nemesis partitions,kill-node --seed 7
  cartograph chaos --profile lost-increments       the schedule that broke another CRDT database
  sudo cartograph chaos --network namespaces       packets dropped by nftables instead of proxies

Nemeses:
  partition-full, partition-one-way, partition-partial, partition-flapping, slow-peers,
  kill-node, pause-node, kill-store, pause-store, wipe, rollback, oom, read-only, slow-store,
  disk-full (root), clock-skew (libfaketime), churn; groups: all, none, partitions, crashes, stores

One that cannot be had on this machine is skipped, loudly; asked for by name it is an error.";

/// A schedule with a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Profile {
    /// Faults of the chosen kinds from the beginning to the end
    Mixed,
    /// 60 s of load whose last 30 s have partitions and crashes, heal, 10 s of quiet, final reads of counters
    LostIncrements,
}

impl Profile {
    /// Its word.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Mixed => "mixed",
            Self::LostIncrements => "lost-increments",
        }
    }
}

/// What `cartograph chaos` may be asked.
#[derive(ClapArgs, Debug)]
#[command(about = ABOUT, long_about = LONG_ABOUT, after_help = format!("{AFTER}\n\n{EXIT_CODES}"))]
pub(crate) struct Args {
    /// How long clients work and things break, in minutes; parts of one are fine [default: 2]
    #[arg(long, value_name = "M", value_parser = minutes)]
    pub(super) minutes: Option<Duration>,
    /// What may be broken, separated by commas [default: all, and what the profile says]
    #[arg(long, value_delimiter = ',', value_name = "WORDS")]
    pub(super) nemesis: Vec<String>,
    /// The schedule
    #[arg(long, value_enum, default_value = "mixed")]
    pub(super) profile: Profile,
    /// Breaks the same things at the same times in every run with the same number [default: another one each time]
    #[arg(long, value_name = "N")]
    pub(super) seed: Option<u64>,
    /// The regions
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "us-central1,europe-west1,asia-southeast1"
    )]
    pub(super) regions: Vec<String>,
    /// The store, as for the demo
    #[arg(long, value_enum, default_value = "auto")]
    pub(super) store: StoreArg,
    /// How the network is hurt
    #[arg(long, value_enum, default_value = "proxy")]
    pub(super) network: Means,
    /// Operations per second asked of each region
    #[arg(long, default_value_t = 60, value_name = "N", value_parser = value_parser!(u32).range(1..=10_000))]
    pub(super) rate: u32,
    /// Clients in each region
    #[arg(long, default_value_t = 8, value_name = "N", value_parser = value_parser!(u32).range(1..=1_000))]
    pub(super) clients: u32,
    /// How long a client waits for an answer
    #[arg(long, default_value = "1500ms", value_name = "TIME", value_parser = parse_duration)]
    pub(super) timeout: Duration,
    /// How long the regions may take to agree after the last fault
    #[arg(long, default_value = "60s", value_name = "TIME", value_parser = parse_duration)]
    pub(super) converge_timeout: Duration,
    /// The first of the ports that the regions use, numbered as the demo's
    #[arg(long, default_value_t = 27_100, value_parser = value_parser!(u16).range(1..=i64::from(BASE_MAX)))]
    pub(super) base_port: u16,
    /// Where data and logs are kept; without it a temporary directory that is removed at the end
    #[arg(long)]
    pub(super) data_dir: Option<PathBuf>,
    /// Write a page with operations, latencies and faults over time: one file, readable offline
    #[arg(long, value_name = "FILE")]
    pub(super) report: Option<PathBuf>,
    /// Write the recorded history, one JSON document
    #[arg(long, value_name = "FILE")]
    pub(super) history: Option<PathBuf>,
    /// Print one JSON document instead of text
    #[arg(long)]
    pub(super) json: bool,
}

fn minutes(text: &str) -> Result<Duration, String> {
    let expected = || format!("`{text}` is no number of minutes from 0.1 to 1440");
    let minutes: f64 = text.parse().map_err(|_| expected())?;
    if (0.1..=1440.0).contains(&minutes) {
        Ok(Duration::from_secs_f64(minutes * 60.0))
    } else {
        Err(expected())
    }
}

/// When what happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Schedule {
    /// How long clients work.
    pub(super) load: Duration,
    /// From when to when things break.
    pub(super) faults: (Duration, Duration),
    /// Between agreement and the final reads.
    pub(super) quiet: Duration,
}

impl Args {
    /// The profile's schedule.
    pub(super) fn schedule(&self) -> Schedule {
        let second = Duration::from_secs(1);
        match self.profile {
            Profile::Mixed => {
                let load = self.minutes.unwrap_or(120 * second);
                Schedule {
                    load,
                    faults: ((2 * second).min(load / 10), load),
                    quiet: second,
                }
            }
            Profile::LostIncrements => {
                let load = self.minutes.unwrap_or(60 * second);
                Schedule {
                    load,
                    faults: (load / 2, load),
                    quiet: load / 6,
                }
            }
        }
    }

    /// The words for what may be broken.
    pub(super) fn nemesis_words(&self) -> Vec<String> {
        if !self.nemesis.is_empty() {
            return self.nemesis.clone();
        }
        match self.profile {
            Profile::Mixed => vec!["all".to_owned()],
            Profile::LostIncrements => ["partitions", "kill-node", "pause-node", "kill-store"]
                .map(str::to_owned)
                .to_vec(),
        }
    }

    /// Whether a nemesis was named itself, not by a group.
    pub(super) fn names(&self, word: &str) -> bool {
        self.nemesis.iter().any(|named| named == word)
    }
}
