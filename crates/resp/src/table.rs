//! Every command of Redis 7.2, what it is like, and what becomes of it here.
//!
//! The door looks a request up once: arity, keys and rights come from here, and so does what happens to it
//! ([`Treatment`]). `docs/commands.md` is written from this table (`cargo xtask docs`), and a test compares it with a
//! real server's `COMMAND`. Commands of a server's modules are not here: the door learns them from that server.
//!
//! Each group of commands has a file. A line of it says what Redis says of the command, in Redis's words for flags and
//! categories, then what becomes of it here, and for a write which rule decides between two regions (docs/semantics.md
//! has the rules at length).

mod cluster;
mod connection;
mod flags;
mod generic;
mod geo;
mod hashes;
mod keys;
mod lists;
mod ours;
mod pubsub;
mod scripting;
mod server;
mod sets;
mod sorted_sets;
mod streams;
mod strings;

use std::sync::LazyLock;

use bytes::Bytes;

pub use flags::*;
pub use keys::{Access, Begin, Find, KeyAt, KeyError, KeySpec};

use keys::Special;

/// A command, or a subcommand.
#[derive(Debug)]
pub struct CommandInfo {
    /// In lower case; a subcommand's with its command's: `config|get`.
    pub name: &'static str,
    /// What it is about.
    pub group: Group,
    /// What it does, in a phrase.
    pub summary: &'static str,
    /// The version of Redis that had it first.
    pub since: &'static str,
    /// How many arguments, its name included; if negative, at least as many. A subcommand's name counts, too.
    pub arity: i32,
    /// What it is like.
    pub flags: Flags,
    /// What ACLs call it.
    pub acl_categories: Categories,
    /// Where its keys are.
    pub keys: &'static [KeySpec],
    /// What becomes of it here. With an option `STORE` it may be another: see [`CommandInfo::treatment_of`].
    pub treatment: Treatment,
    /// For a write: what decides when two regions do it at once. Else why it is treated so, where that needs saying.
    pub merge: &'static str,
    /// Where it runs.
    pub route: Route,
    /// Those whose name is its first argument.
    pub subcommands: &'static [CommandInfo],
    special: Option<Special>,
    stored: Option<Treatment>,
}

/// What a command is about, as Redis groups them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "each is the name of a Redis group")]
pub enum Group {
    String,
    Bitmap,
    Hash,
    Set,
    SortedSet,
    Geo,
    HyperLogLog,
    Generic,
    List,
    Stream,
    PubSub,
    Transactions,
    Scripting,
    Connection,
    Server,
    Cluster,
    Cartograph,
}

impl Group {
    /// Redis's name.
    pub const fn name(self) -> &'static str {
        match self {
            Group::String => "string",
            Group::Bitmap => "bitmap",
            Group::Hash => "hash",
            Group::Set => "set",
            Group::SortedSet => "sorted-set",
            Group::Geo => "geo",
            Group::HyperLogLog => "hyperloglog",
            Group::Generic => "generic",
            Group::List => "list",
            Group::Stream => "stream",
            Group::PubSub => "pubsub",
            Group::Transactions => "transactions",
            Group::Scripting => "scripting",
            Group::Connection => "connection",
            Group::Server => "server",
            Group::Cluster => "cluster",
            Group::Cartograph => "cartograph",
        }
    }
}

/// What becomes of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Treatment {
    /// Passed to the region's Redis as it came; its reply is passed back.
    Read,
    /// Becomes effects, which every region gets.
    Write,
    /// Passed on for keys of the local class, refused for replicated ones.
    LocalOnly,
    /// Passed on for channels whose names begin as keys of the local class do, refused for others.
    PubSub,
    /// Refused; says why, in a phrase that can follow a colon.
    Refused(&'static str),
    /// About the connection: the door does it.
    Connection,
    /// Answered by the node itself.
    Server,
}

impl Treatment {
    /// As the documentation calls it.
    pub const fn name(self) -> &'static str {
        match self {
            Treatment::Read => "passed through",
            Treatment::Write => "replicated",
            Treatment::LocalOnly => "local only",
            Treatment::PubSub => "local channels only",
            Treatment::Refused(_) => "refused",
            Treatment::Connection | Treatment::Server => "answered by the node",
        }
    }
}

/// Where a command runs when a region has several nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// On the node that the client talks to.
    AnyNode,
    /// Where its keys are.
    KeyOwner,
    /// Everywhere, and the replies are put together.
    FannedOut,
}

/// Why a request is no command.
#[derive(Clone, Copy, Debug)]
pub enum Unknown {
    /// There is none of this name.
    Command,
    /// The command has no such subcommand.
    Subcommand(&'static CommandInfo),
}

// === the table ===

fn groups() -> [&'static [CommandInfo]; 14] {
    [
        strings::COMMANDS,
        hashes::COMMANDS,
        sets::COMMANDS,
        sorted_sets::COMMANDS,
        geo::COMMANDS,
        generic::COMMANDS,
        lists::COMMANDS,
        streams::COMMANDS,
        pubsub::COMMANDS,
        scripting::COMMANDS,
        connection::COMMANDS,
        server::COMMANDS,
        cluster::COMMANDS,
        ours::COMMANDS,
    ]
}

/// Every command, group by group. Subcommands stand in their commands.
pub fn all() -> impl Iterator<Item = &'static CommandInfo> {
    groups().into_iter().flatten()
}

/// Longer than any name.
const NAME_BYTES_MAX: usize = 32;

/// A power of two, over twice the number of commands.
const SLOTS: usize = 1_024;

/// Commands by their names' hashes, each in the first free slot at or after its own.
static INDEX: LazyLock<Vec<Option<&'static CommandInfo>>> = LazyLock::new(|| {
    let mut slots: Vec<Option<&'static CommandInfo>> = vec![None; SLOTS];
    for command in all() {
        let free = probe(command.name.as_bytes()).find(|at| slots.get(*at).is_some_and(Option::is_none));
        if let Some(slot) = free.and_then(|at| slots.get_mut(at)) {
            *slot = Some(command);
        }
    }
    slots
});

/// The slots to look into for a name, in lower case or not.
fn probe(name: &[u8]) -> impl Iterator<Item = usize> {
    let hash = name.iter().fold(0x811c_9dc5_u32, |hash, byte| {
        (hash ^ u32::from(byte.to_ascii_lowercase())).wrapping_mul(0x0100_0193)
    });
    let first = usize::try_from(hash ^ (hash >> 15)).unwrap_or(0);
    (0..SLOTS).map(move |n| first.wrapping_add(n) % SLOTS)
}

/// The command of this name, in any case.
pub fn find(name: &[u8]) -> Option<&'static CommandInfo> {
    if name.len() > NAME_BYTES_MAX {
        return None;
    }
    for slot in probe(name) {
        let command = (*INDEX.get(slot)?)?;
        if command.name.as_bytes().eq_ignore_ascii_case(name) {
            return Some(command);
        }
    }
    None
}

/// The command that a request is, or its subcommand. A command that has subcommands, asked without one, is itself.
///
/// # Errors
/// [`Unknown`].
pub fn resolve(args: &[Bytes]) -> Result<&'static CommandInfo, Unknown> {
    let command = args.first().and_then(|name| find(name)).ok_or(Unknown::Command)?;
    match args.get(1) {
        Some(word) if !command.subcommands.is_empty() => {
            command.subcommand(word).ok_or(Unknown::Subcommand(command))
        }
        Some(_) | None => Ok(command),
    }
}

/// Which of a request's arguments are keys, in the order of the command's key specs; its name is 0. `info` is what
/// [`resolve`] gave, `args` the whole request.
///
/// # Errors
/// [`KeyError`]: the arguments do not fit.
pub fn key_positions(info: &CommandInfo, args: &[Bytes]) -> Result<Vec<usize>, KeyError> {
    Ok(info.keys_of(args)?.into_iter().map(|key| key.at).collect())
}

// === one command ===

impl CommandInfo {
    /// The subcommand of this name, in any case.
    pub fn subcommand(&self, word: &[u8]) -> Option<&'static CommandInfo> {
        self.subcommands
            .iter()
            .find(|sub| sub.word().as_bytes().eq_ignore_ascii_case(word))
    }

    /// A subcommand's own name; a command's name.
    pub fn word(&self) -> &'static str {
        self.name.split_once('|').map_or(self.name, |(_, word)| word)
    }

    /// Whether a request with so many arguments, its name included, can be this command.
    pub fn accepts(&self, count: usize) -> bool {
        let wanted = usize::try_from(self.arity.unsigned_abs()).unwrap_or(usize::MAX);
        if self.arity < 0 {
            count >= wanted
        } else {
            count == wanted
        }
    }

    /// What becomes of this request: `SORT` and the `GEORADIUS` family write where they are told to store.
    pub fn treatment_of(&self, args: &[Bytes]) -> Treatment {
        let stores = || match self.special {
            Some(Special::Sort) => keys::sort_store(args).is_some(),
            Some(Special::GeoRadius) => !keys::geo_stores(args).is_empty(),
            Some(Special::Migrate) | None => false,
        };
        match self.stored {
            Some(stored) if stores() => stored,
            Some(_) | None => self.treatment,
        }
    }

    /// The keys among a request's arguments, and what happens to them.
    ///
    /// # Errors
    /// [`KeyError`]: the arguments do not fit.
    pub fn keys_of(&self, args: &[Bytes]) -> Result<Vec<KeyAt>, KeyError> {
        match self.special {
            Some(special) => keys::special(special, args),
            None => keys::by_specs(self.keys, args),
        }
    }

    /// First key, last key and step, as older clients want them of `COMMAND`: all 0 without keys, or where the key
    /// specs are no one range.
    pub fn key_range(&self) -> (isize, isize, usize) {
        let mut range: Option<(isize, isize)> = None;
        for spec in self.keys {
            let (Begin::Index(index), Find::Range { last, step, .. }) = (spec.begin, spec.find) else {
                continue;
            };
            let Ok(first) = isize::try_from(index) else {
                continue;
            };
            let last = if last < 0 { last } else { first + last };
            if self.keys.len() == 1 {
                return (first, last, step);
            }
            match range {
                _ if step != 1 => {}
                None => range = Some((first, last)),
                // Only what follows on; a negative end is later than any other.
                Some((begun, end)) if end == first - 1 => {
                    range = Some((
                        begun,
                        if end < 0 || last < 0 {
                            end.min(last)
                        } else {
                            end.max(last)
                        },
                    ));
                }
                Some(_) => {}
            }
        }
        range.map_or((0, 0, 0), |(first, last)| (first, last, 1))
    }

    /// A command of which nothing but this is known.
    const fn new(
        name: &'static str,
        group: Group,
        since: &'static str,
        arity: i32,
        summary: &'static str,
    ) -> Self {
        CommandInfo {
            name,
            group,
            summary,
            since,
            arity,
            flags: Flags(0),
            acl_categories: Categories(0),
            keys: &[],
            treatment: Treatment::Server,
            merge: "",
            route: Route::AnyNode,
            subcommands: &[],
            special: None,
            stored: None,
        }
    }

    /// Its flags, and its categories besides those that follow from flags.
    const fn like(mut self, flags: u32, categories: u32) -> Self {
        self.flags = Flags(flags);
        self.acl_categories = Categories(categories).implied_by(self.flags);
        self
    }

    const fn keys(mut self, keys: &'static [KeySpec]) -> Self {
        self.keys = keys;
        self.route = Route::KeyOwner;
        self
    }

    const fn with(mut self, subcommands: &'static [CommandInfo]) -> Self {
        self.subcommands = subcommands;
        self
    }

    const fn read(mut self) -> Self {
        self.treatment = Treatment::Read;
        self
    }

    /// Becomes effects; `rule` decides between regions.
    const fn write(mut self, rule: &'static str) -> Self {
        self.treatment = Treatment::Write;
        self.merge = rule;
        self
    }

    const fn local_only(mut self, why: &'static str) -> Self {
        self.treatment = Treatment::LocalOnly;
        self.merge = why;
        self
    }

    const fn pub_sub(mut self) -> Self {
        self.treatment = Treatment::PubSub;
        self.merge = pubsub::WHY;
        self
    }

    const fn refused(mut self, why: &'static str) -> Self {
        self.treatment = Treatment::Refused(why);
        self.merge = why;
        self
    }

    const fn connection(mut self) -> Self {
        self.treatment = Treatment::Connection;
        self
    }

    const fn server(mut self) -> Self {
        self.treatment = Treatment::Server;
        self
    }

    const fn note(mut self, note: &'static str) -> Self {
        self.merge = note;
        self
    }

    const fn fanned_out(mut self) -> Self {
        self.route = Route::FannedOut;
        self
    }

    const fn special(mut self, special: Special) -> Self {
        self.special = Some(special);
        self
    }

    /// What becomes of it when it is told to store.
    const fn stored(mut self, treatment: Treatment) -> Self {
        self.stored = Some(treatment);
        self
    }
}

// === short words for key specs ===

/// One key at an index.
const fn key(index: usize, access: Access, notes: &'static str) -> KeySpec {
    keys_to(index, 0, 1, access, notes)
}

/// Keys from an index to a last one, in steps.
const fn keys_to(index: usize, last: isize, step: usize, access: Access, notes: &'static str) -> KeySpec {
    KeySpec {
        begin: Begin::Index(index),
        find: Find::Range { last, step, limit: 0 },
        access,
        notes,
    }
}

/// A number of keys at an index, then the keys.
const fn counted(index: usize, access: Access, notes: &'static str) -> KeySpec {
    KeySpec {
        begin: Begin::Index(index),
        find: Find::Count {
            at: 0,
            first: 1,
            step: 1,
        },
        access,
        notes,
    }
}

/// Keys after a word: to a last one, of a part of the rest.
const fn after(
    word: &'static str,
    from: isize,
    last: isize,
    limit: usize,
    access: Access,
    notes: &'static str,
) -> KeySpec {
    KeySpec {
        begin: Begin::Keyword { word, from },
        find: Find::Range { last, step: 1, limit },
        access,
        notes,
    }
}

/// Keys that only the command itself can tell.
const fn elsewhere(access: Access, notes: &'static str) -> KeySpec {
    KeySpec {
        begin: Begin::Unknown,
        find: Find::Unknown,
        access,
        notes,
    }
}

#[cfg(test)]
mod tests;
