//! Which arguments of a command are keys.
//!
//! Redis describes it with *key specs*: where a run of keys begins (at an index, or after a word), and how it goes on (to
//! an argument counted from there or from the end, or as many as an argument says). Three commands do not fit and have
//! a reader of their own: `SORT`, whose destination is the *last* `STORE`, the `GEORADIUS` family, and `MIGRATE`.

use bytes::Bytes;

use crate::number;

/// Where a run of keys begins, how it goes on, and what the command does to them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeySpec {
    /// Where it begins.
    pub begin: Begin,
    /// How it goes on.
    pub find: Find,
    /// What happens to the keys.
    pub access: Access,
    /// More of what happens, by Redis's names: `access`, `update`, `insert`, `delete`, `not_key`, `incomplete`,
    /// `variable_flags`.
    pub notes: &'static str,
}

/// Where a run of keys begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begin {
    /// At this argument; the command's name is 0.
    Index(usize),
    /// After this word, looked for from an argument counted from the start, or from the end if negative.
    Keyword {
        /// The word, in any case.
        word: &'static str,
        /// Where to begin looking.
        from: isize,
    },
    /// Not to be told.
    Unknown,
}

/// How a run of keys goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Find {
    /// To a last key.
    Range {
        /// Counted from the first, or from the end of the command if negative.
        last: isize,
        /// From one key to the next.
        step: usize,
        /// If `last` is -1: the keys are only the first 1/`limit` of the rest. 0 and 1: all of it.
        limit: usize,
    },
    /// As many as an argument says.
    Count {
        /// Where the count is, from where the run begins.
        at: usize,
        /// Where the first key is, from where the run begins.
        first: usize,
        /// From one key to the next.
        step: usize,
    },
    /// Not to be told.
    Unknown,
}

/// What a command does to a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Reads it.
    ReadOnly,
    /// Reads and changes it.
    ReadWrite,
    /// Replaces it, whatever it was.
    Overwrite,
    /// Removes it.
    Remove,
}

impl Access {
    /// Redis's name.
    pub const fn name(self) -> &'static str {
        match self {
            Access::ReadOnly => "RO",
            Access::ReadWrite => "RW",
            Access::Overwrite => "OW",
            Access::Remove => "RM",
        }
    }

    /// Whether the key may be changed.
    pub const fn writes(self) -> bool {
        !matches!(self, Access::ReadOnly)
    }
}

impl KeySpec {
    /// Whether it says where something else than keys is (channels).
    pub fn is_not_key(&self) -> bool {
        self.notes.split(' ').any(|note| note == "not_key")
    }
}

/// A key among a command's arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyAt {
    /// Which argument; the command's name is 0.
    pub at: usize,
    /// What happens to it.
    pub access: Access,
}

/// The arguments do not fit the command, so that its keys cannot be told: a syntax error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Invalid arguments specified for command")]
pub struct KeyError;

/// Commands whose keys key specs do not tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Special {
    Sort,
    GeoRadius,
    Migrate,
}

/// The keys of a command that fits `specs`.
pub(super) fn by_specs(specs: &[KeySpec], args: &[Bytes]) -> Result<Vec<KeyAt>, KeyError> {
    let mut keys = Vec::new();
    for spec in specs.iter().filter(|spec| !spec.is_not_key()) {
        let begin = match spec.begin {
            Begin::Index(index) => index,
            Begin::Keyword { word, from } => after_word(args, word, from).ok_or(KeyError)?,
            Begin::Unknown => continue,
        };
        let (first, last, step) = match spec.find {
            Find::Range { last, step, limit } => (begin, range_end(args.len(), begin, last, limit)?, step),
            Find::Count { at, first, step } => {
                let count = args.get(begin.saturating_add(at)).ok_or(KeyError)?;
                let count = number::integer(count).and_then(|count| usize::try_from(count).ok());
                let first = begin + first;
                match count.ok_or(KeyError)? {
                    // A script, for one, may have none.
                    0 => continue,
                    count => (
                        first,
                        first.saturating_add((count - 1).saturating_mul(step)),
                        step,
                    ),
                }
            }
            Find::Unknown => continue,
        };
        if first == 0 || last < first || last >= args.len() {
            return Err(KeyError);
        }
        let access = spec.access;
        keys.extend((first..=last).step_by(step.max(1)).map(|at| KeyAt { at, access }));
    }
    Ok(keys)
}

/// The argument after `word`.
fn after_word(args: &[Bytes], word: &str, from: isize) -> Option<usize> {
    let is_word = |at: &usize| {
        args.get(*at)
            .is_some_and(|arg| arg.eq_ignore_ascii_case(word.as_bytes()))
    };
    let found = match usize::try_from(from) {
        Ok(from) => (from..args.len()).find(is_word),
        // Backwards, as far as the first argument.
        Err(_) => (1..=args.len().checked_sub(from.unsigned_abs())?)
            .rev()
            .find(is_word),
    };
    found.map(|at| at + 1)
}

/// Where a range ends.
fn range_end(count: usize, first: usize, last: isize, limit: usize) -> Result<usize, KeyError> {
    match usize::try_from(last) {
        Ok(last) => Ok(first.saturating_add(last)),
        Err(_) if limit > 1 => {
            let part = count.checked_sub(first).ok_or(KeyError)? / limit;
            first
                .saturating_add(part)
                .checked_sub(last.unsigned_abs())
                .ok_or(KeyError)
        }
        Err(_) => count.checked_sub(last.unsigned_abs()).ok_or(KeyError),
    }
}

/// The keys of a command with a reader of its own.
pub(super) fn special(special: Special, args: &[Bytes]) -> Result<Vec<KeyAt>, KeyError> {
    let first = |access| KeyAt { at: 1, access };
    let stored = |at: usize| KeyAt {
        at,
        access: Access::Overwrite,
    };
    if args.len() < 2 {
        return Err(KeyError);
    }
    Ok(match special {
        Special::Sort => {
            let store = sort_store(args).map(stored);
            [first(Access::ReadOnly)].into_iter().chain(store).collect()
        }
        Special::GeoRadius => {
            let store = geo_stores(args).into_iter().map(stored);
            [first(Access::ReadOnly)].into_iter().chain(store).collect()
        }
        Special::Migrate => migrated(args)?,
    })
}

/// Where `GEORADIUS` and `GEORADIUSBYMEMBER` are told to store. They do it at the last place only, but name all.
pub(super) fn geo_stores(args: &[Bytes]) -> Vec<usize> {
    let (mut at, mut found) = (5, Vec::new());
    while let (Some(arg), true) = (args.get(at), at + 1 < args.len()) {
        if arg.eq_ignore_ascii_case(b"STORE") || arg.eq_ignore_ascii_case(b"STOREDIST") {
            at += 1;
            found.push(at);
        }
        at += 1;
    }
    found
}

/// Where `SORT` stores: its other options' values must not be taken for one.
pub(super) fn sort_store(args: &[Bytes]) -> Option<usize> {
    let (mut at, mut found) = (2, None);
    while let Some(arg) = args.get(at) {
        let is = |word: &[u8]| arg.eq_ignore_ascii_case(word);
        if is(b"LIMIT") {
            at += 2;
        } else if is(b"GET") || is(b"BY") {
            at += 1;
        } else if is(b"STORE") && at + 1 < args.len() {
            at += 1;
            found = Some(at);
        }
        at += 1;
    }
    found
}

/// The keys of `MIGRATE`: the third argument, or if it is empty all after `KEYS`.
fn migrated(args: &[Bytes]) -> Result<Vec<KeyAt>, KeyError> {
    let key = |at: usize| KeyAt {
        at,
        access: Access::ReadWrite,
    };
    if !args.get(3).ok_or(KeyError)?.is_empty() {
        return Ok(vec![key(3)]);
    }
    let mut at = 6;
    while let Some(arg) = args.get(at) {
        let is = |word: &[u8]| arg.eq_ignore_ascii_case(word);
        if is(b"KEYS") {
            return Ok((at + 1..args.len()).map(key).collect());
        }
        at += if is(b"AUTH2") {
            3
        } else {
            1 + usize::from(is(b"AUTH"))
        };
    }
    Err(KeyError)
}
