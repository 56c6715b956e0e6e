//! What a command needs, and whether a user has it: Redis's NOPERM errors, word for word.

use cartograph_resp::Value;
use cartograph_resp::table::{ADMINS, CommandInfo, READONLY, WRITE};

use super::User;

/// What a user may do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rights {
    pub(crate) read: bool,
    pub(crate) write: bool,
    pub(crate) admin: bool,
}

/// Which right a command needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// None: a client could not get along without it, and it shows no data.
    Nothing,
    Read,
    Write,
    /// Runs code that may touch keys it does not name: read (and write, unless it is read-only) on every key.
    Script {
        writes: bool,
    },
    Admin,
    /// Removes everything.
    AdminAndWrite,
}

/// Of Redis's `@admin` and `@dangerous` commands, those that every client may need and that show nothing of others.
const FOR_EVERYBODY: [&str; 10] = [
    "config|get",
    "config|help",
    "info",
    "lastsave",
    "module|list",
    "role",
    "wait",
    "waitaof",
    "cartograph.token",
    "latency|histogram",
];

/// Commands that Redis has under another category than we need.
const ADMIN: [&str; 9] = [
    "client|kill",
    "client|list",
    "client|no-evict",
    "client|pause",
    "client|unblock",
    "client|unpause",
    "memory|purge",
    "pubsub|channels",
    "module|load",
];

/// What a command needs.
pub(crate) fn needed(info: &CommandInfo) -> Need {
    let name = info.name;
    let group = name.split('|').next().unwrap_or(name);
    if FOR_EVERYBODY.contains(&name) {
        return Need::Nothing;
    }
    match group {
        "flushall" | "flushdb" => return Need::AdminAndWrite,
        "eval_ro" | "evalsha_ro" | "fcall_ro" => return Need::Script { writes: false },
        "eval" | "evalsha" | "fcall" | "script" | "function" => return Need::Script { writes: true },
        "publish" | "spublish" | "cartograph.revoke" => return Need::Write,
        "subscribe" | "psubscribe" | "ssubscribe" | "cartograph.explain" | "memory" => return Need::Read,
        _ => {}
    }
    if ADMIN.contains(&name) || info.acl_categories.has(ADMINS) {
        return Need::Admin;
    }
    if info.flags.has(WRITE) {
        Need::Write
    } else if info.flags.has(READONLY) {
        Need::Read
    } else {
        Need::Nothing
    }
}

impl User {
    fn has(&self, need: Need) -> bool {
        let Rights { read, write, admin } = self.rights;
        match need {
            Need::Nothing => true,
            Need::Read => read,
            Need::Write => write,
            Need::Script { writes } => read && (write || !writes) && self.reaches_every_key(),
            Need::Admin => admin,
            Need::AdminAndWrite => admin && write && self.reaches_every_key(),
        }
    }

    /// May it run the command at all?
    pub(crate) fn may_run(&self, info: &CommandInfo) -> bool {
        self.has(needed(info))
    }

    /// May it run the command on these keys?
    ///
    /// # Errors
    /// Redis's `NOPERM`.
    pub(crate) fn check<'k>(
        &self,
        info: &CommandInfo,
        mut keys: impl Iterator<Item = &'k [u8]>,
    ) -> Result<(), Value> {
        if !self.may_run(info) {
            return Err(Value::Error(format!(
                "NOPERM this user has no permissions to run the '{}' command",
                info.name
            )));
        }
        // SORT reads keys that its BY and GET patterns make up; Redis asks for every key then, and so do we always.
        let made_up = matches!(info.name, "sort" | "sort_ro") && !self.reaches_every_key();
        if made_up || keys.any(|key| !self.reaches(key)) {
            return Err(Value::Error(
                "NOPERM this user has no permissions to access one of the keys used as arguments".to_owned(),
            ));
        }
        Ok(())
    }
}
