//! The door's errors in Redis's words, or in ours where Redis has none.
//!
//! The first word is what clients act on: `LOADING` and `TRYAGAIN` are retried by many of them, `OOM` and `MISCONF`
//! are what Redis itself says then. Ours carry their `CG-` code, whose page says what to do.

use std::time::Duration;

use cartograph_engine::api::{Done, RequestError};
use cartograph_engine::{CommandError, Reply};
use cartograph_resp::{Protocol, Value};
use cartograph_store::raw::RawError;

use super::commands;
use super::outbox::Form;
use crate::doors::failure::{Failure, kinds};
use crate::driver::AskError;

/// An error of these words.
pub(crate) fn error(text: impl Into<String>) -> Value {
    Value::Error(text.into())
}

/// A refused command, as Redis says it.
pub(crate) fn of_command(refused: &CommandError) -> Value {
    error(refused.to_string())
}

/// A request that was not done.
pub(crate) fn of_request(refused: &RequestError) -> Value {
    match refused {
        RequestError::Refused(refused) => of_command(refused),
        RequestError::WatchFailed => Value::NullArray,
        RequestError::NotReady { .. } => coded("LOADING", &refused.clone().into()),
        RequestError::Overloaded { .. } => coded("TRYAGAIN", &refused.clone().into()),
        RequestError::StoreRefused { reason } => coded(prefix_of(reason), &refused.clone().into()),
        RequestError::Damaged { .. } | RequestError::IdempotencyMismatch | RequestError::Unknown => {
            coded("ERR", &refused.clone().into())
        }
    }
}

/// What the store refused with, if it is a word that Redis's clients know.
fn prefix_of(reason: &str) -> &'static str {
    const KNOWN: [&str; 5] = ["OOM", "MISCONF", "READONLY", "NOREPLICAS", "LOADING"];
    let known = KNOWN.into_iter().find(|word| reason.contains(word));
    known.unwrap_or(if reason.contains("memory") { "OOM" } else { "ERR" })
}

/// A failure with its code.
pub(crate) fn coded(prefix: &str, failure: &Failure) -> Value {
    let outcome = failure.outcome();
    let text = format!("{prefix} {} ({}, {outcome})", failure.message, failure.kind.code);
    error(one_line(text))
}

/// A failure of an operation that every door shares.
pub(crate) fn of_failure(failure: &Failure) -> Value {
    let prefix = match failure.kind.code {
        "CG-2001" => "WRONGTYPE",
        "CG-3001" => "LOADING",
        "CG-3002" | "CG-3006" | "CG-3007" => "TRYAGAIN",
        _ => "ERR",
    };
    coded(prefix, failure)
}

/// Redis did not answer what was passed on.
pub(crate) fn of_raw(failed: &RawError) -> Value {
    let kind = match failed {
        RawError::Unknown { .. } => kinds::LATE,
        RawError::Busy { .. } => kinds::OVERLOADED,
        RawError::Unavailable { .. } | RawError::TooManyPinned { .. } | RawError::Store(_) => {
            kinds::STORE_UNREACHABLE
        }
    };
    let prefix = if kind == kinds::OVERLOADED {
        "TRYAGAIN"
    } else {
        "ERR"
    };
    coded(prefix, &Failure::new(kind, failed.to_string()))
}

/// An answer that did not come in time.
pub(super) fn late(write: bool, limit: Duration) -> Value {
    if write {
        return coded("ERR", &AskError::Late(limit).into());
    }
    let reason = format!("the store did not answer within {} ms", limit.as_millis());
    coded("ERR", &Failure::new(kinds::STORE_UNREACHABLE, reason))
}

fn one_line(text: String) -> String {
    if text.contains(['\r', '\n']) {
        text.replace(['\r', '\n'], " ")
    } else {
        text
    }
}

/// A shard's result in the form of its command.
pub(super) fn shown(result: Result<Done, RequestError>, form: Form, protocol: Protocol) -> Value {
    let replies = match (result, &form) {
        (Ok(done), _) => done.replies,
        // A transaction of one command: it ran, and was refused.
        (Err(RequestError::Refused(refused)), Form::Transaction(_)) => vec![Reply::Error(refused)],
        (Err(refused), _) => return of_request(&refused),
    };
    match form {
        Form::One(shape) => match replies.into_iter().next() {
            Some(reply) => commands::shape(reply, &shape, protocol),
            None => error("ERR the shard gave no reply"),
        },
        Form::Transaction(plan) => plan.show(replies, protocol),
    }
}
