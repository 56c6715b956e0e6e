//! The commands that are measured: what carts and sessions send most.

use clap::ValueEnum;

/// A command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Workload {
    /// `GET` of a session.
    Get,
    /// `HGETALL` of a cart of five lines.
    Hgetall,
    /// `SET` of a session.
    Set,
    /// `HINCRBY` of a cart's line.
    Hincrby,
    /// `SADD` of a member.
    Sadd,
    /// `ZADD` of a member.
    Zadd,
    /// `EXPIRE`: the touch that session stores send with every request.
    Expire,
}

/// Members of a set or sorted set that are written to.
const MEMBERS: u64 = 100;

/// Lines of a cart.
pub(super) const LINES: u64 = 5;

impl Workload {
    pub(super) fn all() -> Vec<Workload> {
        Workload::value_variants().to_vec()
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Workload::Get => "GET",
            Workload::Hgetall => "HGETALL",
            Workload::Set => "SET",
            Workload::Hincrby => "HINCRBY",
            Workload::Sadd => "SADD",
            Workload::Zadd => "ZADD",
            Workload::Expire => "EXPIRE",
        }
    }

    /// The words of one command. `key` chooses the key and `other` what is within it; `value` is of the asked length.
    pub(super) fn words(self, key: &str, other: u64, value: &str) -> Vec<String> {
        let name = self.name().to_owned();
        let key = self.key(key);
        match self {
            Workload::Get | Workload::Hgetall => vec![name, key],
            Workload::Set => vec![name, key, value.to_owned()],
            Workload::Hincrby => vec![name, key, format!("line{}", other % LINES), "1".to_owned()],
            Workload::Sadd => vec![name, key, format!("member{}", other % MEMBERS)],
            Workload::Zadd => vec![
                name,
                key,
                (other % 1_000).to_string(),
                format!("member{}", other % MEMBERS),
            ],
            Workload::Expire => vec![name, key, (1_800 + other % 1_000).to_string()],
        }
    }

    /// The key of this name for this command.
    pub(super) fn key(self, name: &str) -> String {
        let kind = match self {
            Workload::Get | Workload::Set | Workload::Expire => "session",
            Workload::Hgetall | Workload::Hincrby => "cart",
            Workload::Sadd => "set",
            Workload::Zadd => "ranking",
        };
        format!("{kind}:{name}")
    }

    /// What a key is before it is measured; `None` where nothing is needed.
    pub(super) fn prepared(self, key: &str, value: &str) -> Option<Vec<String>> {
        let key = self.key(key);
        match self {
            Workload::Get | Workload::Set | Workload::Expire => {
                Some(vec!["SET".to_owned(), key, value.to_owned()])
            }
            Workload::Hgetall | Workload::Hincrby => {
                let mut words = vec!["HSET".to_owned(), key];
                for line in 0..LINES {
                    words.extend([format!("line{line}"), "1".to_owned()]);
                }
                Some(words)
            }
            Workload::Sadd | Workload::Zadd => None,
        }
    }
}
