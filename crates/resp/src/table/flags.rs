//! What a command is like: Redis's flags and ACL categories, as bits.
//!
//! Names and meanings are Redis's, as `COMMAND` gives them. A category that follows from a flag (`@write`, `@fast` ...)
//! is not stored with the command; [`Categories::implied_by`] adds it, as Redis does.

use std::fmt;

/// A set of flags.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags(pub(super) u32);

/// A set of ACL categories.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Categories(pub(super) u32);

/// Names the bits of a set, and lists their names in the same order.
macro_rules! bits {
    ($(#[$of_names:meta])* $names:ident: $($(#[$doc:meta])* $bit:ident = $at:literal, $name:literal;)*) => {
        $($(#[$doc])* pub const $bit: u32 = 1 << $at;)*
        $(#[$of_names])*
        const $names: &[(u32, &str)] = &[$(($bit, $name)),*];
    };
}

bits! {
    FLAG_NAMES:
    /// May change data.
    WRITE = 0, "write";
    /// Reads data.
    READONLY = 1, "readonly";
    /// Is refused when memory is full.
    DENYOOM = 2, "denyoom";
    /// Is for operators.
    ADMIN = 3, "admin";
    /// Publishes or subscribes.
    PUBSUB = 4, "pubsub";
    /// Cannot be called from a script.
    NOSCRIPT = 5, "noscript";
    /// May wait.
    BLOCKING = 6, "blocking";
    /// Is answered while data are loaded.
    LOADING = 7, "loading";
    /// Is answered by a replica without its primary.
    STALE = 8, "stale";
    /// Is not shown by `MONITOR`.
    SKIP_MONITOR = 9, "skip_monitor";
    /// Is not in the slow log.
    SKIP_SLOWLOG = 10, "skip_slowlog";
    /// Is answered by a cluster node that is taking the slot over.
    ASKING = 11, "asking";
    /// Takes constant or logarithmic time.
    FAST = 12, "fast";
    /// Needs no login.
    NO_AUTH = 13, "no_auth";
    /// May be replicated although it writes nothing.
    MAY_REPLICATE = 14, "may_replicate";
    /// Can have no keys although it has key arguments.
    NO_MANDATORY_KEYS = 15, "no_mandatory_keys";
    /// Is not answered while a replica loads beside old data.
    NO_ASYNC_LOADING = 16, "no_async_loading";
    /// Cannot stand in a transaction.
    NO_MULTI = 17, "no_multi";
    /// Is answered while a script runs too long.
    ALLOW_BUSY = 18, "allow_busy";
    /// Its keys cannot all be told from its key specs.
    MOVABLEKEYS = 19, "movablekeys";
}

bits! {
    CATEGORY_NAMES:
    /// Keys of any type.
    KEYSPACE = 0, "keyspace";
    /// Follows from a flag.
    READ = 1, "read";
    /// Follows from a flag.
    WRITES = 2, "write";
    /// Sets.
    SET = 3, "set";
    /// Sorted sets.
    SORTEDSET = 4, "sortedset";
    /// Lists.
    LIST = 5, "list";
    /// Hashes.
    HASH = 6, "hash";
    /// Strings.
    STRING = 7, "string";
    /// Bitmaps.
    BITMAP = 8, "bitmap";
    /// `HyperLogLogs`.
    HYPERLOGLOG = 9, "hyperloglog";
    /// Geo indexes.
    GEO = 10, "geo";
    /// Streams.
    STREAM = 11, "stream";
    /// Follows from a flag.
    PUBSUBS = 12, "pubsub";
    /// Follows from a flag.
    ADMINS = 13, "admin";
    /// Follows from a flag.
    QUICK = 14, "fast";
    /// Is not fast.
    SLOW = 15, "slow";
    /// Follows from a flag.
    BLOCKINGS = 16, "blocking";
    /// Could do harm; also follows from a flag.
    DANGEROUS = 17, "dangerous";
    /// Connections.
    CONNECTION = 18, "connection";
    /// Transactions.
    TRANSACTION = 19, "transaction";
    /// Scripts and functions.
    SCRIPTING = 20, "scripting";
}

impl Flags {
    /// Whether it has all of these.
    pub const fn has(self, flags: u32) -> bool {
        self.0 & flags == flags
    }

    /// Their names, as `COMMAND` writes them.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        names(self.0, FLAG_NAMES)
    }
}

impl Categories {
    /// Whether it has all of these.
    pub const fn has(self, categories: u32) -> bool {
        self.0 & categories == categories
    }

    /// Their names, without `@`.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        names(self.0, CATEGORY_NAMES)
    }

    /// What follows from a command's flags.
    pub(super) const fn implied_by(self, flags: Flags) -> Self {
        let mut all = self.0;
        if flags.has(WRITE) {
            all |= WRITES;
        }
        // A script that only reads is no reading command.
        if flags.has(READONLY) && !self.has(SCRIPTING) {
            all |= READ;
        }
        if flags.has(ADMIN) {
            all |= ADMINS | DANGEROUS;
        }
        if flags.has(PUBSUB) {
            all |= PUBSUBS;
        }
        if flags.has(BLOCKING) {
            all |= BLOCKINGS;
        }
        all |= if flags.has(FAST) { QUICK } else { SLOW };
        Categories(all)
    }
}

fn names(bits: u32, of: &'static [(u32, &'static str)]) -> impl Iterator<Item = &'static str> {
    of.iter()
        .filter(move |(bit, _)| bits & bit != 0)
        .map(|(_, name)| *name)
}

impl fmt::Display for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.names().collect::<Vec<_>>().join(" "))
    }
}
