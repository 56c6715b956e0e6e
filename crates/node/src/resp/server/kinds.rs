//! What the door asks about a command before it knows where it goes.

use bytes::Bytes;
use cartograph_resp::Value;
use cartograph_resp::table::CommandInfo;

use super::super::errors::of_failure;
use super::args::is;
use crate::doors::failure::{Failure, kinds};

/// The first word of its name.
fn group(info: &CommandInfo) -> &'static str {
    info.name.split('|').next().unwrap_or(info.name)
}

/// May it be given by a client that has not said who it is?
pub(crate) fn is_free(info: &CommandInfo) -> bool {
    matches!(info.name, "auth" | "hello" | "quit" | "reset")
}

/// Does it end a MULTI and a subscription at once, whatever is queued?
pub(crate) fn ends_multi(info: &CommandInfo) -> bool {
    matches!(info.name, "quit" | "reset")
}

/// May it go to Redis although it names no key that says of which class it is? Scripts and functions: as whom they run
/// there, they can write keys of the class `local` alone.
pub(crate) fn passes_without_keys(info: &CommandInfo) -> bool {
    matches!(
        group(info),
        "eval" | "eval_ro" | "evalsha" | "evalsha_ro" | "fcall" | "fcall_ro" | "script" | "function"
    )
}

/// Does it wait, in this form?
pub(crate) fn blocks(info: &CommandInfo, arguments: &[Bytes]) -> bool {
    match info.name {
        "blpop" | "brpop" | "brpoplpush" | "blmove" | "blmpop" | "bzpopmin" | "bzpopmax" | "bzmpop" => true,
        "xread" | "xreadgroup" => {
            let options = arguments.iter().skip(1).take_while(|a| !is(a, "streams"));
            options.into_iter().any(|a| is(a, "block"))
        }
        _ => false,
    }
}

/// Why a command cannot be had on replicated keys, and what to do.
pub(crate) fn local_only(info: &CommandInfo) -> Value {
    let name = info.name;
    let why = match group(info) {
        "eval" | "evalsha" | "fcall" => {
            "a script that may write is not replicated yet: use EVAL_RO, EVALSHA_RO or FCALL_RO for one that only reads, \
             plain commands or MULTI for writes"
        }
        "xadd" | "xdel" | "xtrim" | "xack" | "xclaim" | "xautoclaim" | "xgroup" | "xreadgroup" | "xsetid"
        | "xread" => "streams are not replicated yet",
        "lpush" | "rpush" | "lpushx" | "rpushx" | "lpop" | "rpop" | "lset" | "lrem" | "ltrim" | "linsert"
        | "lmove" | "rpoplpush" | "lmpop" | "blpop" | "brpop" | "blmove" | "brpoplpush" | "blmpop" => {
            "lists are not replicated yet"
        }
        _ => "it cannot be replicated faithfully",
    };
    let message = format!(
        "'{name}' is not for replicated keys: {why}; for keys that need not be replicated, give their prefix the class \
         'local' (resp.classes)"
    );
    of_failure(Failure::new(kinds::NOT_REPLICATED, message))
}
