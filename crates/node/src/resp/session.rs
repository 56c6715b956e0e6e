//! What a connection has agreed with its client: protocol, user, name, a MULTI under way, what it watches.

use std::sync::Arc;

use bytes::Bytes;
use cartograph_resp::Protocol;
use cartograph_resp::table::CommandInfo;

use super::clients::Client;
use super::dispatch::Incoming;
use super::server::users::User;

/// Whether replies are sent (CLIENT REPLY).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum ReplyMode {
    /// All of them.
    #[default]
    On,
    /// None.
    Off,
    /// Not the next one.
    SkipNext,
    /// Not this one.
    Skip,
}

/// A MULTI under way.
#[derive(Debug, Default)]
pub(crate) struct Multi {
    pub(crate) commands: Vec<Incoming>,
    /// A command was refused while it was queued: EXEC will refuse the whole.
    pub(crate) broken: bool,
    pub(crate) bytes: usize,
}

/// One connection's state.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) client: Arc<Client>,
    pub(crate) protocol: Protocol,
    /// `None` until it has authenticated, where users are configured.
    pub(crate) user: Option<Arc<User>>,
    pub(crate) reply_mode: ReplyMode,
    pub(crate) multi: Option<Multi>,
    /// Keys and their stamps at WATCH.
    pub(crate) watched: Vec<(Vec<u8>, cartograph_engine::command::Stamp)>,
    /// Its own connection to Redis watches keys of class `local`.
    pub(crate) watches_local: bool,
    /// It hears messages.
    pub(crate) subscribed: bool,
    /// QUIT: the connection ends once this reply is sent.
    pub(crate) closing: bool,
    /// CARTOGRAPH.TOKEN given by the client: reads wait until this region has seen as much.
    pub(crate) token: Option<cartograph_proto::token::Token>,
}

impl Session {
    /// As RESET leaves it: as a new connection has it, `default_user` being who a client is that has said nothing.
    pub(crate) fn new(client: Arc<Client>, default_user: Option<Arc<User>>) -> Self {
        Session {
            client,
            protocol: Protocol::Resp2,
            user: default_user,
            reply_mode: ReplyMode::On,
            multi: None,
            watched: Vec::new(),
            watches_local: false,
            subscribed: false,
            closing: false,
            token: None,
        }
    }
}

/// A command as it is answered by the node itself: its table entry and its arguments, the name included.
pub(crate) struct Asked<'a> {
    pub(crate) info: &'static CommandInfo,
    pub(crate) args: &'a [Bytes],
}
