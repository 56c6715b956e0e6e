//! What happened: every operation with its outcome, every fault that loses data, and what the regions knew of each other.
//!
//! Checkers (`check`) are functions of a [`History`] and nothing else, so a history can be written down by hand, broken on
//! purpose, and must then be refused. Instants are microseconds since the run began, all by one clock.
//!
//! An operation is *ok* (acknowledged), *failed* (the client was told that it did not and will not happen) or *unknown* (no
//! answer: it may happen still). Only ok and failed operations prove anything; unknown ones widen what is allowed.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

/// Microseconds since the run began.
pub(crate) type Instant = u64;

/// What is operated on. Each kind has its own keys and its own rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Object {
    /// A set of members, each added once in the whole run.
    Set(u32),
    /// A number that is only ever raised.
    Rising(u32),
    /// A number that goes up and down.
    Counter(u32),
    /// A string that is written whole.
    Register(u32),
    /// A cart: lines that are added once (members), and ledger lines that are only added to (sums).
    Cart(u32),
}

impl Object {
    /// Whether its sums never fall.
    pub(crate) fn only_rises(self) -> bool {
        match self {
            Self::Rising(_) | Self::Cart(_) => true,
            Self::Set(_) | Self::Counter(_) | Self::Register(_) => false,
        }
    }
}

impl std::fmt::Display for Object {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Set(n) => write!(f, "set {n}"),
            Self::Rising(n) => write!(f, "rising counter {n}"),
            Self::Counter(n) => write!(f, "counter {n}"),
            Self::Register(n) => write!(f, "register {n}"),
            Self::Cart(n) => write!(f, "cart {n}"),
        }
    }
}

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Op {
    /// Adds a member; nobody else ever adds this one.
    Add(u32),
    /// Removes a member.
    Remove(u32),
    /// Adds to a sum: the counter itself is sum 0, a cart has several.
    Bump {
        /// Which sum.
        sum: u8,
        /// By how much, not 0.
        by: i64,
    },
    /// Writes a register; nobody else ever writes this value.
    Write(u64),
    /// Reads the whole object.
    Read,
}

/// The object as an answer showed it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct View {
    /// Of a set or a cart.
    pub(crate) members: BTreeSet<u32>,
    /// Of a counter or a cart; what is missing is 0.
    pub(crate) sums: BTreeMap<u8, i64>,
    /// Of a register.
    pub(crate) value: Option<u64>,
}

impl View {
    /// A sum; 0 where there is none.
    pub(crate) fn sum(&self, sum: u8) -> i64 {
        self.sums.get(&sum).copied().unwrap_or(0)
    }
}

/// How an operation ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Outcome {
    /// Acknowledged; the answer may show the object.
    Ok(Option<View>),
    /// A removal was acknowledged, and the answer says whether the member was there to be removed.
    Removed(bool),
    /// It did not and will not happen, and why.
    Failed(String),
    /// It may happen, and what went wrong.
    Unknown(String),
}

impl Outcome {
    /// Whether the client was told that it is done.
    pub(crate) fn is_ok(&self) -> bool {
        match self {
            Self::Ok(_) | Self::Removed(_) => true,
            Self::Failed(_) | Self::Unknown(_) => false,
        }
    }
}

/// One operation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Event {
    /// Its number in the history.
    pub(crate) id: u32,
    /// The client; it does one thing at a time.
    pub(crate) session: u32,
    /// Where it was asked.
    pub(crate) region: usize,
    /// By which door: `http`, `grpc`.
    pub(crate) door: &'static str,
    /// What was operated on.
    pub(crate) object: Object,
    /// What was asked.
    pub(crate) op: Op,
    /// The operation whose session token it presented.
    pub(crate) after: Option<u32>,
    /// When it was asked.
    pub(crate) start: Instant,
    /// When it ended for its client.
    pub(crate) end: Instant,
    /// How.
    pub(crate) outcome: Outcome,
}

impl Event {
    /// What its answer showed.
    pub(crate) fn view(&self) -> Option<&View> {
        match &self.outcome {
            Outcome::Ok(view) => view.as_ref(),
            Outcome::Removed(_) | Outcome::Failed(_) | Outcome::Unknown(_) => None,
        }
    }
}

/// What a region said of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Sample {
    /// When it was asked.
    pub(crate) start: Instant,
    /// When it had answered.
    pub(crate) end: Instant,
    /// Per replica (`<region id>-<incarnation>`), the last entry that it had applied.
    pub(crate) vector: BTreeMap<String, u64>,
    /// Whether it took writes.
    pub(crate) ready: bool,
    /// The oldest own entry that some peer lacked, in milliseconds.
    pub(crate) lag_ms: u64,
    /// Entries that the worst peer lacked.
    pub(crate) behind: u64,
}

/// A store lost what it held: it was wiped, or set back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Loss {
    /// Whose store.
    pub(crate) region: usize,
    /// When its old server was still whole, at the latest.
    pub(crate) start: Instant,
    /// When its new server ran.
    pub(crate) end: Instant,
    /// What had been acknowledged by then came back with it (a copy was taken then); nothing for a wiped one.
    pub(crate) kept_until: Option<Instant>,
}

/// Everything that checkers need.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct History {
    /// The regions' names.
    pub(crate) regions: Vec<String>,
    /// The regions' ids, in the same order: replicas are named after them.
    pub(crate) region_ids: Vec<u16>,
    /// In the order in which they were recorded.
    pub(crate) events: Vec<Event>,
    /// Per region, in order.
    pub(crate) samples: Vec<Vec<Sample>>,
    /// In order.
    pub(crate) losses: Vec<Loss>,
    /// At the very end, with everything healed and quiet: each region's view of every object that was ever operated on.
    #[serde(serialize_with = "as_lists")]
    pub(crate) finals: Vec<BTreeMap<Object, View>>,
}

/// Objects are no strings, and so no keys of JSON.
fn as_lists<S: serde::Serializer>(
    finals: &[BTreeMap<Object, View>],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(finals.iter().map(|views| views.iter().collect::<Vec<_>>()))
}

impl History {
    /// A region's name.
    pub(crate) fn name(&self, region: usize) -> &str {
        self.regions.get(region).map_or("?", String::as_str)
    }

    /// Whether a region's store lost something while or after this interval began and before it ended.
    pub(crate) fn lost_between(&self, region: usize, start: Instant, end: Instant) -> bool {
        self.losses
            .iter()
            .any(|loss| loss.region == region && loss.start <= end && loss.end >= start)
    }
}

/// Something that must not be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Violation {
    /// Which check found it.
    pub(crate) check: &'static str,
    /// What, where, and which operations say so.
    pub(crate) what: String,
    /// The operations' numbers.
    pub(crate) events: Vec<u32>,
}
