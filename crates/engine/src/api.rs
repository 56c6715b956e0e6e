//! What goes into a shard machine, and what comes out.
//!
//! The machine is sans-IO: it is handed requests, peers' messages, loads' and commits' results and clock readings, and
//! answers with loads and commits to make, messages to send and replies to give. Whoever drives it (the node under
//! tokio, the simulator under a seed) must keep four promises:
//! - commits reach the store in the order given, and their outcomes come back in that order;
//! - a load made after a commit's outcome was handed in sees that commit;
//! - [`Output::Claim`] is answered with [`Input::Claimed`] once the store can be reached, and no commit from before is
//!   executed after the claim (the store's fence sees to that);
//! - [`Input::Tick`] comes at least every 100 ms, and at [`Output::Wake`].

use std::collections::BTreeSet;
use std::sync::Arc;

use cartograph_crdt::{RegionId, VersionVector};
use cartograph_replica::exchange::Direction;
use cartograph_replica::message::{BackMessage, Hello, Message, Welcome};
use cartograph_replica::{BatchId, Claim, Commit, Key, Load, Loaded, Outcome};

use crate::command::{Command, Reply, Stamp};
use crate::error::CommandError;

/// Clock readings, all in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// The node's wall clock, Unix time: for the hybrid logical clock.
    pub wall_ms: u64,
    /// The store's TIME as well as the driver can tell, Unix time: for expiry.
    pub store_ms: u64,
    /// A clock that never steps, from any origin: for timers.
    pub monotonic_ms: u64,
}

/// Names a request of a driver's, so that it finds the reply's addressee.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// Names a load.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LoadId(pub u64);

/// One or more commands to be done as one entry.
#[derive(Clone, Debug)]
pub struct Request {
    /// The commands, in order. A refused one leaves the others standing, as in MULTI.
    pub commands: Vec<Command>,
    /// Keys that were watched, as they stood then ([`Command::Stamp`]): if one stands otherwise, nothing is done.
    pub watched: Vec<(Key, Stamp)>,
    /// The client's idempotency key: its reply is kept with the commit, and given again to a retry within 24 hours.
    pub idempotency_key: Option<Vec<u8>>,
}

impl Request {
    /// Commands that watch nothing.
    pub fn new(commands: Vec<Command>, idempotency_key: Option<Vec<u8>>) -> Self {
        Request {
            commands,
            watched: Vec::new(),
            idempotency_key,
        }
    }

    /// A single command.
    pub fn one(command: Command) -> Self {
        Request::new(vec![command], None)
    }
}

/// Why a request as a whole got no replies.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// A command was refused (single commands only; in a transaction it is a [`Reply::Error`]).
    #[error(transparent)]
    Refused(#[from] CommandError),
    /// The shard takes no writes now. Definite.
    #[error("this region takes no writes yet: {reason}")]
    NotReady {
        /// Why, and what it waits for.
        reason: String,
    },
    /// Too many requests wait. Definite.
    #[error("the shard's queue is full ({limit} requests wait): try again")]
    Overloaded {
        /// The bound.
        limit: usize,
    },
    /// The store refused. Definite.
    #[error("the store refuses writes: {reason}")]
    StoreRefused {
        /// The store's words.
        reason: String,
    },
    /// A row's stored metadata cannot be read. Definite.
    #[error("the key's stored metadata cannot be read: {reason}")]
    Damaged {
        /// What is wrong.
        reason: String,
    },
    /// A watched key has changed since. Definite.
    #[error("a watched key has changed")]
    WatchFailed,
    /// Another owner took the store while the request was on its way to it: it may or may not be done. Unknown.
    #[error(
        "another node took this region's store while the request was on its way: it may or may not be done"
    )]
    Unknown,
    /// The idempotency key was used for something else. Definite.
    #[error("this idempotency key was used for another request")]
    IdempotencyMismatch,
}

/// A request's result: one reply a command, and what the shard had applied when it was done.
#[derive(Clone, Debug, PartialEq)]
pub struct Done {
    /// One a command.
    pub replies: Vec<Reply>,
    /// The shard's vector after it: a session token is made of this.
    pub vector: Arc<VersionVector>,
}

/// What goes in.
#[derive(Debug)]
pub enum Input {
    /// A client's request.
    Request {
        /// Its name.
        id: RequestId,
        /// What it asks.
        request: Request,
    },
    /// Several requests that came together, in order.
    Requests(Vec<(RequestId, Request)>),
    /// The connection that we dialled was welcomed: we may send.
    Connected {
        /// The peer.
        peer: RegionId,
        /// What it said.
        welcome: Box<Welcome>,
    },
    /// A peer dialled us, and we welcomed it ([`crate::Shard::admit`]).
    Accepted {
        /// The peer.
        peer: RegionId,
        /// Its greeting.
        hello: Box<Hello>,
    },
    /// A connection is gone. Comes before `Connected` or `Accepted` replaces one.
    Disconnected {
        /// The peer.
        peer: RegionId,
        /// Which of the two.
        direction: Direction,
    },
    /// A message on a peer's connection to us.
    Received {
        /// The peer.
        peer: RegionId,
        /// The message.
        message: Message,
    },
    /// A message that came back on our connection to a peer.
    Acked {
        /// The peer.
        peer: RegionId,
        /// The message.
        message: BackMessage,
    },
    /// A load's result.
    Loaded {
        /// Which.
        id: LoadId,
        /// What it found, or the store's words.
        result: Result<Loaded, String>,
    },
    /// A commit's outcome.
    Committed {
        /// Which.
        batch: BatchId,
        /// What became of it.
        outcome: Outcome,
    },
    /// The answer to [`Output::Claim`].
    Claimed {
        /// What was found.
        claim: Box<Claim>,
        /// 16 random bits, should a new incarnation begin.
        random: u16,
    },
    /// The store did not answer something that needs no shard: a small commit will tell whether it is lost, before a
    /// client's write has to.
    StoreSuspect,
    /// Is the store's memory so full (90 % of its limit) that clients' writes must stop? Peers' entries, removals and
    /// collection go on.
    MemoryFull(bool),
    /// Time passes.
    Tick,
    /// An operator's order.
    Admin(Admin),
}

/// An operator's order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admin {
    /// Stop waiting for a region that is gone for good; its id never returns.
    Forget {
        /// The region.
        region: RegionId,
        /// Who waits for the answer.
        id: RequestId,
    },
    /// Take no more requests; what waits is still done.
    Drain,
    /// Rebuild a key's view from its metadata if they differ (the scrub's order).
    Repair {
        /// The key.
        key: Vec<u8>,
    },
    /// The state of keys by their metadata, for comparison between regions.
    Inspect {
        /// The key.
        key: Vec<u8>,
        /// Every element, or header and summary alone.
        elements: bool,
        /// Who waits for the answer.
        id: RequestId,
    },
}

/// What comes out.
#[derive(Debug)]
pub enum Output {
    /// Make a load.
    Load {
        /// Its name.
        id: LoadId,
        /// What to read.
        load: Load,
    },
    /// Make a commit.
    Commit(Box<Commit>),
    /// Claim the shard, now and until it works.
    Claim,
    /// Answer a request.
    Reply {
        /// Which.
        id: RequestId,
        /// The result.
        result: Result<Done, RequestError>,
    },
    /// The shard cannot be run on this store: another cluster's, region's or version's. Say why, and stop.
    Halt {
        /// Why, and what to do.
        reason: String,
    },
    /// The answer to [`Admin::Inspect`].
    Inspected {
        /// Which.
        id: RequestId,
        /// The complete row, or why there is none.
        result: Result<Box<cartograph_crdt::Row>, RequestError>,
    },
    /// Send on our connection to a peer.
    Send {
        /// The peer.
        peer: RegionId,
        /// The message.
        message: Message,
    },
    /// Send back on a peer's connection to us.
    Back {
        /// The peer.
        peer: RegionId,
        /// The message.
        message: BackMessage,
    },
    /// A peer's message broke the protocol: close that connection, count it.
    Close {
        /// The peer.
        peer: RegionId,
        /// Which of the two.
        direction: Direction,
        /// What was wrong.
        reason: String,
    },
    /// The member regions changed: connect to those that are new, let go of those that left.
    Members(BTreeSet<RegionId>),
    /// Tick again then, on the monotonic clock.
    Wake {
        /// When.
        at_ms: u64,
    },
    /// Something for the log and the metrics.
    Event(Event),
}

/// Something that operators count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A commit is done.
    Committed {
        /// Client requests in it.
        requests: usize,
        /// Entries in it, local and remote.
        entries: usize,
        /// Milliseconds from giving it to the store to its outcome.
        took_ms: u64,
    },
    /// A remote entry was applied this long after its writer's clock reading.
    Applied {
        /// Its region.
        region: RegionId,
        /// Milliseconds, by the two wall clocks.
        lag_ms: u64,
    },
    /// A rule decided between concurrent writes.
    Conflict {
        /// Which rule.
        rule: &'static str,
    },
    /// A view was not what it should have been and was rebuilt.
    ViewRepaired {
        /// The key.
        key: Vec<u8>,
    },
    /// A new incarnation began, and why.
    Incarnation {
        /// Why.
        reason: &'static str,
    },
    /// Entries of our own live incarnation arrived that we never wrote.
    ForeignOwnEntries,
    /// Lives of a region that are over everywhere are named by no vector any more.
    Retired {
        /// The last of them.
        last: cartograph_crdt::ReplicaId,
    },
    /// A key was purged after expiring everywhere.
    Purged,
    /// A snapshot was begun, joined or served.
    Snapshot {
        /// What happened.
        what: &'static str,
        /// With whom.
        peer: RegionId,
    },
    /// A merged number is shown saturated.
    Saturated,
    /// Stored metadata of a key could not be read.
    Damaged {
        /// The key.
        key: Vec<u8>,
        /// What is wrong.
        reason: String,
    },
}
