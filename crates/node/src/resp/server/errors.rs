//! Errors of the commands that the node answers itself, in Redis's words where Redis has them.

use cartograph_resp::Value;

use crate::doors::failure::{Failure, kinds};

pub(crate) const SYNTAX: &str = "ERR syntax error";
pub(crate) const NOT_AN_INTEGER: &str = "ERR value is not an integer or out of range";

/// An error of these words.
pub(crate) fn error(text: impl Into<String>) -> Value {
    Value::Error(text.into())
}

/// A command that is not for clients of this server: what to do instead.
pub(crate) fn not_for_clients(message: impl Into<String>) -> Value {
    super::super::errors::of_failure(&Failure::new(kinds::NOT_FOR_CLIENTS, message))
}

/// An option of Redis that this server does not have; clients get along without it.
pub(crate) fn not_supported(message: impl Into<String>) -> Value {
    super::super::errors::of_failure(&Failure::new(kinds::NOT_SUPPORTED, message))
}

pub(crate) fn wrong_arity(name: &str) -> Value {
    error(format!("ERR wrong number of arguments for '{name}' command"))
}

pub(crate) fn unknown_subcommand(group: &str, given: &[u8]) -> Value {
    // Redis shows at most 128 bytes of it.
    let given: String = String::from_utf8_lossy(given).chars().take(128).collect();
    let group = group.to_uppercase();
    error(format!("ERR unknown subcommand '{given}'. Try {group} HELP."))
}
