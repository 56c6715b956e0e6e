//! What the door asks about a command before it knows where it goes.

use bytes::Bytes;
use cartograph_resp::Value;
use cartograph_resp::table::CommandInfo;

use super::super::context::Context;
use super::super::errors::of_failure;
use super::super::session::Session;
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
    let why = if info.merge.is_empty() {
        "it cannot be replicated faithfully; use a key of a local prefix"
    } else {
        info.merge
    };
    let message = format!(
        "'{}' cannot be replicated: {why} (class 'local' in resp.classes)",
        info.name
    );
    of_failure(&Failure::new(kinds::NOT_REPLICATED, message))
}

/// What is refused whatever its keys: Redis's own administration, and what is not supported yet.
pub(crate) fn refused(info: &CommandInfo, why: &str) -> Value {
    let message = format!("'{}' is not supported: {why}", info.name);
    of_failure(&Failure::new(kinds::NOT_FOR_CLIENTS, message))
}

/// A command was refused for want of rights: for ACL LOG.
pub(crate) fn note_refused(context: &Context, session: &Session, info: &CommandInfo) {
    let user = session.user.as_ref();
    let reason = if user.is_some_and(|u| u.may_run(info)) {
        "key"
    } else {
        "command"
    };
    let name = user.map_or("", |u| &u.name);
    context.stats.denied.note(reason, info.name, name, session);
}
