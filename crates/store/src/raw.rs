//! Commands passed to the region's Redis as they came, and replies as they came back.
//!
//! A door that speaks Redis's protocol need not understand what it only passes on. It gets two things from a store that
//! is a Redis: *lanes*, connections that many clients share, and *pinned* connections, one client's own (for what
//! blocks, subscribes, or changes the connection). Neither decodes a reply.
//!
//! # What wins
//! Nothing: these commands read, or write keys of the local class. The server keeps them from anything else by logging
//! them in as a user of its own (see [`PassUser`]).
//!
//! # What a caller must guarantee
//! On a lane: nothing that blocks, subscribes, or changes the connection's state; and `commands` is exactly how many
//! replies the bytes will have.

use std::sync::Arc;

use bytes::Bytes;
use cartograph_resp::{Delimiter, Protocol, Value};

use crate::error::Error;
use crate::store::BoxFuture;

pub use crate::redis::raw::{PinnedConnection, PinnedReceiver, PinnedSender, RawLane};

/// What a store that speaks Redis's protocol offers besides.
pub trait RawStore: Send + Sync + 'static {
    /// A lane whose tasks run on the *current* runtime, so that a thread with a runtime of its own may have its own
    /// connection. As many are made as `raw_connections` says (for each protocol); then those there are go round.
    ///
    /// `after_replies` is called by the reading task each time that it has called back for everything that one read
    /// brought: the moment to write to clients, once each. A lane that is not new drops it.
    ///
    /// Must be called inside a tokio runtime.
    fn lane(&self, protocol: Protocol, after_replies: Option<AfterReplies>) -> RawLane;

    /// Any lane: one that is there, or a new one. Must be called inside a tokio runtime.
    fn shared(&self, protocol: Protocol) -> RawLane;

    /// A connection for one client alone. It does not reconnect.
    ///
    /// # Errors
    /// [`RawError::TooManyPinned`], or it cannot be had.
    fn pinned(&self, protocol: Protocol) -> BoxFuture<'_, Result<PinnedConnection, RawError>>;

    /// Reaches the server and makes the user, so that [`RawStore::status`] can say how clients' commands are confined.
    /// The first connection does the same.
    ///
    /// # Errors
    /// [`RawError::Unavailable`] or [`RawError::Store`].
    fn prepare(&self) -> BoxFuture<'_, Result<PassUser, RawError>>;

    /// The server's reply to `COMMAND`, asked once in each life of the server.
    ///
    /// # Errors
    /// It cannot be had.
    fn commands(&self) -> BoxFuture<'_, Result<Arc<Value>, RawError>>;

    /// How it fares.
    fn status(&self) -> RawStatus;

    /// Whether scripts and functions may be passed on: only a server that keeps them from replicated keys, and from
    /// other databases, gets them.
    fn scripts_allowed(&self) -> bool {
        match self.status().user {
            PassUser::Confined { scripts } => scripts,
            PassUser::Unknown | PassUser::Unconfined { .. } => false,
        }
    }
}

/// Called with the replies to one submission, in the order of the commands, on the task that reads from Redis. Must
/// not block, nor submit to the same lane while holding a lock that other callbacks take.
pub type Callback = Box<dyn FnOnce(Result<Replies, RawError>) + Send>;

/// Called after all callbacks of one read.
pub type AfterReplies = Box<dyn FnMut() + Send>;

/// Whether it is harmless to send a command twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repeat {
    /// It only reads: asked once more on a new connection when the old one breaks.
    Read,
    /// It is sent at most once; a break before its reply leaves it unknown.
    Never,
}

/// The replies to one submission, as they came: one piece of memory, shared with the connection's buffer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replies {
    bytes: Bytes,
    count: usize,
}

impl Replies {
    /// `count` whole replies, one after the other.
    pub(crate) fn new(bytes: Bytes, count: usize) -> Self {
        Replies { bytes, count }
    }

    /// How many there are: as many as commands were submitted.
    pub fn count(&self) -> usize {
        self.count
    }

    /// All of them, ready to be written to a client.
    pub fn as_bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// All of them, ready to be written to a client.
    pub fn into_bytes(self) -> Bytes {
        self.bytes
    }

    /// Each of them.
    pub fn into_frames(self) -> Vec<Bytes> {
        if self.count == 1 {
            return vec![self.bytes];
        }
        let mut rest = self.bytes;
        let mut frames = Vec::with_capacity(self.count);
        let mut delimiter = Delimiter::new();
        while let Ok(Some(end)) = delimiter.end(&rest) {
            frames.push(rest.split_to(end));
        }
        frames
    }
}

/// Why there is no reply.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RawError {
    /// The server cannot be reached. Definite: the command did not happen, or only read.
    #[error("the store at {address} cannot be reached: {reason}")]
    Unavailable {
        /// Where.
        address: String,
        /// What happened.
        reason: String,
    },
    /// Too much waits already. Definite: not sent.
    #[error("too many commands wait for the store at {address}; try again")]
    Busy {
        /// Where.
        address: String,
    },
    /// The connection broke between the command and its reply: it may have happened.
    #[error(
        "the connection to the store at {address} broke before the reply ({reason}); the command may have happened"
    )]
    Unknown {
        /// Where.
        address: String,
        /// What happened.
        reason: String,
    },
    /// As many clients as allowed have a connection of their own.
    #[error(
        "all {max} connections for blocking commands, subscriptions and local transactions are in use; try again, or \
         raise `pinned_connections_max`"
    )]
    TooManyPinned {
        /// How many.
        max: usize,
    },
    /// The store refuses the connection.
    #[error(transparent)]
    Store(#[from] Error),
}

impl RawError {
    /// Whether the command certainly did not change anything.
    pub fn is_definite(&self) -> bool {
        !matches!(self, RawError::Unknown { .. })
    }
}

/// Who passed-on commands are to the server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum PassUser {
    /// No connection has been made yet.
    #[default]
    Unknown,
    /// `cartograph-pass`: reads everything in database 0, writes keys of the local class only, cannot leave the
    /// database nor touch the server.
    Confined {
        /// Whether scripts are as confined as commands.
        scripts: bool,
    },
    /// The node's own user, because the server lets it make no other: only the door stands before it.
    Unconfined {
        /// The server's words.
        reason: String,
    },
}

/// How the connections fare.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RawStatus {
    /// Who passed-on commands are to the server.
    pub user: PassUser,
    /// Lanes there are.
    pub lanes: usize,
    /// Lanes with a connection that works.
    pub lanes_up: usize,
    /// Submissions sent or waiting, of all lanes.
    pub waiting: usize,
    /// Pinned connections in use.
    pub pinned: usize,
    /// Pinned connections there may be.
    pub pinned_max: usize,
    /// Connections of lanes made so far.
    pub connects_total: u64,
    /// Attempts to connect that failed, and connections that broke.
    pub errors_total: u64,
    /// Reads asked a second time.
    pub retries_total: u64,
    /// Submissions refused because the server was down or too much waited.
    pub refused_total: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_are_one_piece_and_can_be_cut() {
        let replies = Replies::new(Bytes::from("+OK\r\n*1\r\n:1\r\n$-1\r\n"), 3);
        assert_eq!(
            replies.clone().into_frames(),
            ["+OK\r\n", "*1\r\n:1\r\n", "$-1\r\n"]
        );
        let one = Replies::new(Bytes::from("+OK\r\n"), 1);
        assert_eq!(one.as_bytes(), "+OK\r\n");
        assert_eq!(one.into_frames(), ["+OK\r\n"]);
    }
}
