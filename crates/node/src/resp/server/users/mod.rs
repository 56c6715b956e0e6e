//! Who may do what: users with hashed passwords, rights and key patterns.
//!
//! | right | commands |
//! |---|---|
//! | `read` | what only reads: keys of its patterns, SUBSCRIBE, read-only scripts |
//! | `write` | what changes keys of its patterns, PUBLISH |
//! | `admin` | what concerns the server or other clients: CLIENT LIST and KILL, CONFIG SET, ACL, SLOWLOG, FLUSHALL |
//!
//! Everybody who is known may do what a client needs to get along: PING, HELLO, SELECT 0, CLIENT SETNAME, MULTI,
//! COMMAND, INFO, CONFIG GET, TIME and the like; none of them shows data.
//!
//! A script touches keys that it does not name, so a user whose patterns are not `*` may not run any.
//!
//! Without a users file there is one user, `default`, who may do everything and needs no password, as in a new Redis.
//! With one, `default` is a user like any other: a client that has not authenticated is `default` where the file has it
//! with `nopass = true`, and nobody otherwise.
//!
//! The file is read again when it changes and at SIGHUP. One that is wrong changes nothing and is reported. Clients of
//! a user who is gone, disabled or changed are let go, as Redis does at ACL LOAD: what they may now is told to them when
//! they come back.

mod file;
pub(crate) mod glob;
mod rights;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

pub(crate) use rights::{Need, Rights, needed};

use super::super::context::Context;
use super::digest::{Sha256, sha256};
use crate::config::ConfigError;

/// How often the file is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// The user that a client is who has said nothing.
pub(crate) const DEFAULT: &str = "default";

/// The SHA-256 of a password.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct PasswordHash(Sha256);

impl std::fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PasswordHash(..)")
    }
}

impl PasswordHash {
    pub(crate) fn of(password: &[u8]) -> Self {
        PasswordHash(sha256(password))
    }

    /// Reads 64 hexadecimal digits.
    pub(crate) fn from_hex(text: &str) -> Option<Self> {
        let digits: &[u8; 64] = text.as_bytes().try_into().ok()?;
        let mut hash = [0; 32];
        for (byte, pair) in hash.iter_mut().zip(digits.chunks_exact(2)) {
            let &[high, low] = pair else { return None };
            let digit = |d: u8| char::from(d).to_digit(16).and_then(|d| u8::try_from(d).ok());
            *byte = digit(high)? << 4 | digit(low)?;
        }
        Some(PasswordHash(hash))
    }

    pub(crate) fn to_hex(&self) -> String {
        super::digest::hex(&self.0)
    }

    /// Compares without telling by its time where the first difference is.
    fn is(&self, other: &PasswordHash) -> bool {
        let pairs = self.0.iter().zip(&other.0);
        let difference = pairs.fold(0, |all, (a, b)| std::hint::black_box(all | (a ^ b)));
        std::hint::black_box(difference) == 0
    }
}

/// A user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct User {
    pub(crate) name: String,
    pub(crate) enabled: bool,
    /// Any password will do.
    pub(crate) nopass: bool,
    pub(crate) passwords: Vec<PasswordHash>,
    pub(crate) rights: Rights,
    /// Globs, as Redis has them; a key that none matches is out of reach.
    pub(crate) keys: Vec<Vec<u8>>,
}

impl User {
    /// As in a Redis without users.
    fn almighty() -> Self {
        User {
            name: DEFAULT.to_owned(),
            enabled: true,
            nopass: true,
            passwords: Vec::new(),
            rights: Rights {
                read: true,
                write: true,
                admin: true,
            },
            keys: vec![b"*".to_vec()],
        }
    }

    /// Do its patterns take in every key?
    pub(crate) fn reaches_every_key(&self) -> bool {
        self.keys.iter().any(|pattern| pattern == b"*")
    }

    /// May it name this key?
    pub(crate) fn reaches(&self, key: &[u8]) -> bool {
        self.keys
            .iter()
            .any(|p| p == b"*" || glob::matches(p, key, false))
    }
}

/// All users.
#[derive(Debug)]
pub(crate) struct Users {
    path: Option<PathBuf>,
    by_name: RwLock<Arc<BTreeMap<String, Arc<User>>>>,
}

impl Users {
    /// Reads the file; without one there is the almighty `default`.
    ///
    /// # Errors
    /// See [`ConfigError`].
    pub(crate) fn open(path: Option<&Path>) -> Result<Users, ConfigError> {
        let by_name = match path {
            Some(path) => file::load(path)?,
            None => BTreeMap::from([(DEFAULT.to_owned(), Arc::new(User::almighty()))]),
        };
        Ok(Users {
            path: path.map(Path::to_owned),
            by_name: RwLock::new(Arc::new(by_name)),
        })
    }

    /// All of them, by name.
    pub(crate) fn all(&self) -> Arc<BTreeMap<String, Arc<User>>> {
        Arc::clone(&self.by_name.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn get(&self, name: &[u8]) -> Option<Arc<User>> {
        let name = std::str::from_utf8(name).ok()?;
        self.all().get(name).cloned()
    }

    /// Who a client is that has said nothing; `None` where it must say who it is.
    pub(crate) fn default_user(&self) -> Option<Arc<User>> {
        self.get(DEFAULT.as_bytes()).filter(|u| u.enabled && u.nopass)
    }

    /// Who has this name and this password, if anybody has and is enabled.
    pub(crate) fn authenticate(&self, name: &[u8], password: &[u8]) -> Option<Arc<User>> {
        let given = PasswordHash::of(password);
        let user = self.get(name)?;
        // Every hash is compared, so that the time does not tell which one was right.
        let known = user
            .passwords
            .iter()
            .fold(false, |known, hash| known | hash.is(&given));
        (user.enabled && (user.nopass || known)).then_some(user)
    }

    /// Reads the file again; gives the names of users who are not what they were.
    ///
    /// # Errors
    /// See [`ConfigError`]; nothing has changed.
    pub(crate) fn reload(&self) -> Result<BTreeSet<String>, ConfigError> {
        let Some(path) = &self.path else {
            return Ok(BTreeSet::new());
        };
        let new = file::load(path)?;
        let old = self.all();
        let changed = old.iter().filter(|(name, user)| new.get(*name) != Some(user));
        let mut changed: BTreeSet<String> = changed.map(|(name, _)| name.clone()).collect();
        changed.extend(new.keys().filter(|name| !old.contains_key(*name)).cloned());
        *self.by_name.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(new);
        Ok(changed)
    }
}

/// Reads the users file again when it has changed, and at SIGHUP, until `stop`.
pub(crate) async fn follow(context: Arc<Context>, stop: CancellationToken) {
    let Some(path) = context.users.path.clone() else {
        return;
    };
    #[cfg(unix)]
    let mut hangup = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup()).ok();
    let mut seen = stamp(&path).await;
    loop {
        #[cfg(unix)]
        let signalled = async {
            match &mut hangup {
                Some(hangup) => drop(hangup.recv().await),
                None => std::future::pending().await,
            }
        };
        #[cfg(not(unix))]
        let signalled = std::future::pending::<()>();
        let asked = tokio::select! {
            () = stop.cancelled() => return,
            () = signalled => true,
            () = tokio::time::sleep(LOOK_EVERY) => false,
        };
        let now = stamp(&path).await;
        if asked || now != seen {
            seen = now;
            if let Err(error) = take_changes(&context) {
                tracing::error!(%error, "the users file was not taken: users are what they were");
            }
        }
    }
}

/// What changes with the file: its time and its length.
async fn stamp(path: &Path) -> Option<(std::time::SystemTime, u64)> {
    let metadata = tokio::fs::metadata(path).await.ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}

/// Reads the file again and lets clients of changed users go.
///
/// # Errors
/// See [`ConfigError`]; nothing has changed.
pub(crate) fn take_changes(context: &Context) -> Result<(), ConfigError> {
    let changed = context.users.reload()?;
    let mut clients = 0;
    for client in context.clients.all() {
        if changed.contains(&client.said().user) {
            client.kill.cancel();
            clients += 1;
        }
    }
    tracing::info!(users = changed.len(), clients, "the users file was read again");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET_HASH: &str = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b";

    fn users(text: &str) -> (tempfile::TempDir, Users) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("users.toml");
        std::fs::write(&path, text).unwrap();
        let users = Users::open(Some(&path)).unwrap();
        (dir, users)
    }

    #[test]
    fn without_a_file_everybody_may_do_everything() {
        let users = Users::open(None).unwrap();
        let user = users.default_user().unwrap();
        assert!(user.rights.admin && user.reaches(b"anything") && user.reaches_every_key());
        assert!(users.authenticate(b"default", b"whatever").is_some());
        assert!(users.authenticate(b"somebody", b"").is_none());
        assert_eq!(users.reload().unwrap(), BTreeSet::new());
    }

    #[test]
    fn a_password_is_compared_by_its_hash() {
        let text = format!(
            "[[users]]\nname='shop'\nrights=['read']\nkeys=['cart:*']\npassword_sha256=['{}','{SECRET_HASH}']\n\
             [[users]]\nname='gone'\nrights=['read']\npassword_sha256=['{SECRET_HASH}']\nenabled=false",
            "0".repeat(64)
        );
        let (_dir, users) = users(&text);
        assert!(users.default_user().is_none(), "the file has none");
        let user = users.authenticate(b"shop", b"secret").unwrap();
        assert!(user.reaches(b"cart:1") && !user.reaches(b"sess:1") && !user.reaches_every_key());
        assert!(users.authenticate(b"shop", b"Secret").is_none());
        assert!(users.authenticate(b"shop", b"").is_none());
        assert!(users.authenticate(b"gone", b"secret").is_none(), "disabled");
        assert!(users.authenticate(b"\xff", b"secret").is_none());
        assert_eq!(PasswordHash::of(b"secret").to_hex(), SECRET_HASH);
        assert!(!format!("{user:?}").contains("2bb80d"), "no hash in a log");
    }

    #[test]
    fn a_file_that_turns_wrong_changes_nothing_and_a_right_one_tells_who_changed() {
        let one = |rights: &str| format!("[[users]]\nname='a'\nnopass=true\nrights={rights}\n");
        let (dir, users) = users(&(one("['read']") + "[[users]]\nname='b'\nnopass=true\nrights=[]\n"));
        let path = dir.path().join("users.toml");
        std::fs::write(&path, "users = 1").unwrap();
        assert!(users.reload().unwrap_err().to_string().contains("users.toml"));
        assert_eq!(users.all().len(), 2);
        let text = one("['write']") + "[[users]]\nname='c'\nnopass=true\nrights=[]\n";
        std::fs::write(&path, text).unwrap();
        let changed = users.reload().unwrap();
        assert_eq!(changed.into_iter().collect::<Vec<_>>(), ["a", "b", "c"]);
        assert!(users.get(b"a").unwrap().rights.write && users.get(b"b").is_none());
    }
}
