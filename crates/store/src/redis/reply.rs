//! Reading what Redis answers: values, errors, and what to do about an error.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "the redis crate's enums are open; what is not expected is an error"
)]

use ::redis::aio::MultiplexedConnection;
use ::redis::{Cmd, ErrorKind, RedisError, ServerError, Value};
use cartograph_crdt::Score;

use crate::error::Error;
use crate::kv::views::NameValue;

/// Why a command has no value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The connection is gone or not understood; what became of the command is unknown.
    Broken(String),
    /// The server's refusal, in its words, beginning with a code.
    Server(String),
}

impl From<RedisError> for Fault {
    fn from(error: RedisError) -> Self {
        let detail = error.detail().unwrap_or_default();
        match error.kind() {
            ErrorKind::Server(_) | ErrorKind::Extension => {
                Fault::Server(format!("{} {detail}", error.code().unwrap_or("ERR")))
            }
            ErrorKind::AuthenticationFailed => Fault::Server(format!("NOAUTH {error}")),
            _ => Fault::Broken(error.to_string()),
        }
    }
}

/// The server's words of an error inside a value.
pub(crate) fn words(error: &ServerError) -> String {
    format!("{} {}", error.code(), error.details().unwrap_or_default())
}

impl Fault {
    pub(crate) fn code(&self) -> &str {
        match self {
            Fault::Broken(_) => "",
            Fault::Server(words) => words.split(' ').next().unwrap_or_default(),
        }
    }

    /// As an error of a claim or a read.
    pub(crate) fn into_error(self, address: &str, metadata_db: u16) -> Error {
        let address = address.to_owned();
        let code = self.code().to_owned();
        let reason = match self {
            Fault::Broken(reason) => return Error::Unavailable { address, reason },
            Fault::Server(words) => words,
        };
        match code.as_str() {
            "WRONGTYPE" => Error::WrongType { reason },
            "LOADING" => Error::Loading { address },
            "READONLY" => Error::ReadOnlyReplica { address },
            "NOAUTH" | "WRONGPASS" => Error::Authentication { address, reason },
            _ if is_permission_error(&reason) => Error::NoPermission { address, reason },
            "OOM" | "MISCONF" | "NOREPLICAS" | "BUSY" | "MASTERDOWN" => Error::Refused {
                address,
                reason: with_advice(&reason),
            },
            _ if is_database_error(&reason) => Error::MetadataDatabase {
                address,
                db: metadata_db,
                reason,
            },
            _ => Error::Unexpected { address, reason },
        }
    }
}

fn is_database_error(words: &str) -> bool {
    words.contains("DB index is out of range") || words.contains("invalid DB index")
}

/// Inside a script the code is lost (7.0).
fn is_permission_error(words: &str) -> bool {
    words.starts_with("NOPERM") || words.contains(SCRIPT_NOPERM) || words.contains("ACL failure in script")
}

const ALLOW_ALL: &str = "allow the node's user all commands on all keys";

const SCRIPT_NOPERM: &str = "The user executing the script can't run this command";

/// The server's words for refusing a write, and what to do.
pub(crate) fn with_advice(words: &str) -> String {
    // Inside a script the code may stand anywhere in the words (6.2).
    let advice = [
        ("OOM", "raise maxmemory, or delete data"),
        (
            "READONLY",
            "it is a replica now: give the node the address of the primary",
        ),
        ("MISCONF", "it cannot save to disk: make room, or see its log"),
        ("NOREPLICAS", "it has fewer replicas than min-replicas-to-write"),
        ("NOPERM", ALLOW_ALL),
        (SCRIPT_NOPERM, ALLOW_ALL),
        ("LOADING", "it is reading its data: wait"),
        (
            "BUSY",
            "a script of someone else's is running: SCRIPT KILL ends it",
        ),
        (
            "MASTERDOWN",
            "it is a replica: give the node the address of the primary",
        ),
    ];
    match advice.iter().find(|(code, _)| words.contains(code)) {
        Some((_, advice)) => format!("{} ({advice})", words.trim()),
        None => words.trim().to_owned(),
    }
}

/// Sends one command and takes its value.
pub(crate) async fn ask(connection: &mut MultiplexedConnection, cmd: &Cmd) -> Result<Value, Fault> {
    let value = connection.send_packed_command(cmd).await?;
    match value {
        Value::ServerError(error) => Err(Fault::Server(words(&error))),
        other => Ok(other),
    }
}

/// What a value was expected to be and is not.
pub(crate) fn unexpected(what: &str) -> Fault {
    Fault::Broken(format!("{what} was not as expected"))
}

pub(crate) fn bytes(value: Value) -> Result<Vec<u8>, Fault> {
    match value {
        Value::BulkString(bytes) => Ok(bytes),
        Value::SimpleString(text) => Ok(text.into_bytes()),
        Value::Okay => Ok(b"OK".to_vec()),
        Value::Int(n) => Ok(n.to_string().into_bytes()),
        Value::ServerError(error) => Err(Fault::Server(words(&error))),
        _ => Err(unexpected("a string")),
    }
}

pub(crate) fn optional(value: Value) -> Result<Option<Vec<u8>>, Fault> {
    match value {
        Value::Nil => Ok(None),
        other => bytes(other).map(Some),
    }
}

pub(crate) fn text(value: Value) -> Result<String, Fault> {
    Ok(String::from_utf8_lossy(&bytes(value)?).into_owned())
}

pub(crate) fn integer(value: Value) -> Result<i64, Fault> {
    match value {
        Value::Int(n) => Ok(n),
        other => text(other)?.parse().map_err(|_| unexpected("a number")),
    }
}

pub(crate) fn array(value: Value) -> Result<Vec<Value>, Fault> {
    match value {
        Value::Array(values) => Ok(values),
        Value::Nil => Ok(Vec::new()),
        Value::ServerError(error) => Err(Fault::Server(words(&error))),
        _ => Err(unexpected("a list")),
    }
}

/// A list of exactly `N` values.
pub(crate) fn exactly<const N: usize>(value: Value) -> Result<[Value; N], Fault> {
    array(value)?.try_into().map_err(|_| unexpected("a list"))
}

pub(crate) fn list(value: Value) -> Result<Vec<Vec<u8>>, Fault> {
    array(value)?.into_iter().map(bytes).collect()
}

pub(crate) fn pairs(value: Value) -> Result<Vec<NameValue>, Fault> {
    let mut values = array(value)?.into_iter();
    let mut pairs = Vec::new();
    while let (Some(first), Some(second)) = (values.next(), values.next()) {
        pairs.push((bytes(first)?, bytes(second)?));
    }
    Ok(pairs)
}

pub(crate) fn score(text: &[u8]) -> Result<Score, Fault> {
    let number = std::str::from_utf8(text).ok().and_then(|t| t.parse::<f64>().ok());
    // One zero, as every store shows it.
    let number = number.map(|n| if n == 0.0 { 0.0 } else { n });
    number.and_then(Score::new).ok_or_else(|| unexpected("a score"))
}

pub(crate) fn scored(value: Value) -> Result<Vec<(Vec<u8>, Score)>, Fault> {
    let pairs = pairs(value)?.into_iter();
    pairs.map(|(member, text)| Ok((member, score(&text)?))).collect()
}

/// `TIME`'s reply in Unix milliseconds.
pub(crate) fn time_ms(value: Value) -> Result<u64, Fault> {
    let [seconds, micros] = exactly(value)?;
    let (seconds, micros) = (integer(seconds)?, integer(micros)?);
    let ms = seconds.saturating_mul(1_000).saturating_add(micros / 1_000);
    u64::try_from(ms).map_err(|_| unexpected("the time"))
}
