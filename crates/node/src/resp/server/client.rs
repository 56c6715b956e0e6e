//! CLIENT: who is connected, and what a client says of itself.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use cartograph_resp::Value;

use super::super::clients::Client;
use super::super::context::Context;
use super::super::session::{ReplyMode, Session};
use super::args::{count, flag, integer, is, lossy, lower, number, text, word};
use super::connection::client_name;
use super::errors::{NOT_AN_INTEGER, SYNTAX, error, not_supported, wrong_arity};
use crate::clock;

/// What is not sent at all: the reply that CLIENT REPLY leaves out.
fn nothing() -> Value {
    Value::Raw(Bytes::new())
}

/// CLIENT with its subcommand, lower case, and what follows.
pub(super) fn answer(context: &Context, session: &mut Session, sub: &str, arguments: &[Bytes]) -> Value {
    match (sub, arguments) {
        ("id", []) => number(session.client.id),
        ("info", []) => Value::Verbatim((line(&session.client, clock::monotonic_ms()) + "\n").into()),
        ("getname", []) => {
            let name = session.client.said().name.clone();
            if name.is_empty() { Value::Null } else { text(name) }
        }
        ("setname", [given]) => match client_name(given) {
            Ok(name) => {
                session.client.said().name = name;
                Value::OK
            }
            Err(refused) => refused,
        },
        ("setinfo", [attribute, value]) => set_info(session, attribute, value),
        ("list", filters) => list(context, filters),
        ("kill", filters) => kill(context, session, filters),
        ("reply", [mode]) => reply(session, mode),
        ("no-evict", [mode]) => on_or_off(mode, |on| session.client.said().no_evict = on),
        ("no-touch", [mode]) => on_or_off(mode, |on| session.client.said().no_touch = on),
        ("unblock", [id]) => unblock(context, id, false),
        ("unblock", [id, reason]) if is(reason, "timeout") => unblock(context, id, false),
        ("unblock", [id, reason]) if is(reason, "error") => unblock(context, id, true),
        ("unblock", [_, _]) => error("ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR"),
        ("pause", [timeout, mode @ ..]) => pause(timeout, mode),
        // Nothing is ever paused.
        ("unpause", []) => Value::OK,
        ("getredir", []) => Value::Integer(-1),
        ("tracking", [mode, ..]) if is(mode, "off") => Value::OK,
        ("tracking", [mode, ..]) if is(mode, "on") => not_supported(
            "CLIENT TRACKING is not supported: what is cached by a client would not be told of other regions' writes; \
             do without client-side caching",
        ),
        ("trackinginfo", []) => Value::Map(vec![
            (word("flags"), Value::Set(vec![word("off")])),
            (word("redirect"), Value::Integer(-1)),
            (word("prefixes"), Value::Array(Vec::new())),
        ]),
        ("caching", [mode]) if is(mode, "yes") || is(mode, "no") => error(
            "ERR CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or OPTOUT mode enabled",
        ),
        ("tracking", [_, ..]) | ("caching", [_]) => error(SYNTAX),
        _ => wrong_arity(&format!("client|{sub}")),
    }
}

fn on_or_off(mode: &[u8], set: impl FnOnce(bool)) -> Value {
    if is(mode, "on") {
        set(true);
    } else if is(mode, "off") {
        set(false);
    } else {
        return error(SYNTAX);
    }
    Value::OK
}

fn set_info(session: &Session, attribute: &[u8], value: &[u8]) -> Value {
    let which = lower(attribute);
    if !matches!(which.as_str(), "lib-name" | "lib-ver") {
        return error(format!("ERR Unrecognized option '{}'", lossy(attribute)));
    }
    if !value.iter().all(|b| (b'!'..=b'~').contains(b)) {
        return error(format!(
            "ERR {which} cannot contain spaces, newlines or special characters."
        ));
    }
    let mut said = session.client.said();
    if which == "lib-name" {
        said.lib_name = lossy(value);
    } else {
        said.lib_ver = lossy(value);
    }
    Value::OK
}

fn reply(session: &mut Session, mode: &[u8]) -> Value {
    if is(mode, "on") {
        session.reply_mode = ReplyMode::On;
        return Value::OK;
    }
    if is(mode, "off") {
        session.reply_mode = ReplyMode::Off;
    } else if is(mode, "skip") {
        if session.reply_mode != ReplyMode::Off {
            session.reply_mode = ReplyMode::SkipNext;
        }
    } else {
        return error(SYNTAX);
    }
    nothing()
}

fn pause(timeout: &[u8], mode: &[Bytes]) -> Value {
    match mode {
        [] => {}
        [mode] if is(mode, "write") || is(mode, "all") => {}
        _ => return error("ERR CLIENT PAUSE mode must be WRITE or ALL"),
    }
    match integer(timeout) {
        None => error("ERR timeout is not an integer or out of range"),
        Some(..0) => error("ERR timeout is negative"),
        // A pause of no time is over.
        Some(0) => Value::OK,
        Some(_) => not_supported(
            "CLIENT PAUSE is not supported: other regions' writes would go on meanwhile; stop writers, or the node itself \
             (it drains what waits)",
        ),
    }
}

fn unblock(context: &Context, id: &[u8], with_error: bool) -> Value {
    let Some(id) = integer(id) else {
        return error(NOT_AN_INTEGER);
    };
    let client = u64::try_from(id).ok().and_then(|id| context.clients.get(id));
    match client.filter(|c| c.blocked.load(Ordering::Relaxed)) {
        Some(client) => {
            client.unblock(with_error);
            Value::Integer(1)
        }
        None => Value::Integer(0),
    }
}

/// A client's kind.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Normal,
    PubSub,
    /// Nothing replicates from this door: there is none of these.
    Replication,
}

fn kind(word: &[u8]) -> Result<Kind, Value> {
    match lower(word).as_str() {
        "normal" => Ok(Kind::Normal),
        "pubsub" => Ok(Kind::PubSub),
        "master" | "replica" | "slave" => Ok(Kind::Replication),
        _ => Err(error(format!("ERR Unknown client type '{}'", lossy(word)))),
    }
}

fn kind_of(client: &Client) -> Kind {
    let subscribed = |n: &std::sync::atomic::AtomicUsize| n.load(Ordering::Relaxed) > 0;
    if subscribed(&client.subscriptions) || subscribed(&client.patterns) {
        Kind::PubSub
    } else {
        Kind::Normal
    }
}

fn list(context: &Context, filters: &[Bytes]) -> Value {
    let chosen: Vec<Arc<Client>> = match filters {
        [] => context.clients.all(),
        [option, wanted] if is(option, "type") => match kind(wanted) {
            Ok(kind) => {
                let all = context.clients.all().into_iter();
                all.filter(|c| kind_of(c) == kind).collect()
            }
            Err(refused) => return refused,
        },
        [option, ids @ ..] if is(option, "id") && !ids.is_empty() => {
            let mut chosen = Vec::new();
            for id in ids {
                let Some(id) = integer(id)
                    .and_then(|id| u64::try_from(id).ok())
                    .filter(|id| *id > 0)
                else {
                    return error("ERR Invalid client ID");
                };
                chosen.extend(context.clients.get(id));
            }
            chosen
        }
        _ => return error(SYNTAX),
    };
    let now = clock::monotonic_ms();
    let mut text = String::with_capacity(chosen.len() * 320);
    for client in chosen {
        text.push_str(&line(&client, now));
        text.push('\n');
    }
    Value::Verbatim(text.into())
}

/// One client, as Redis 7.2 writes it.
pub(super) fn line(client: &Client, now_ms: u64) -> String {
    let number = |n: &std::sync::atomic::AtomicUsize| n.load(Ordering::Relaxed);
    let said = client.said().clone();
    let multi = match number(&client.multi) {
        usize::MAX => "-1".to_owned(),
        queued => queued.to_string(),
    };
    let seconds = |since: u64| now_ms.saturating_sub(since) / 1_000;
    let (query, output) = (number(&client.query_bytes), number(&client.output_bytes));
    format!(
        "id={id} addr={addr} laddr={laddr} fd=0 name={name} age={age} idle={idle} flags={flags} db=0 sub={sub} \
         psub={psub} ssub=0 multi={multi} watch={watch} qbuf={query} qbuf-free=0 argv-mem=0 multi-mem=0 rbs=0 rbp=0 \
         obl={output} oll=0 omem={output} tot-mem={total} events=r cmd={cmd} user={user} redir=-1 resp={resp} \
         lib-name={lib_name} lib-ver={lib_ver}",
        id = client.id,
        addr = client.address,
        laddr = client.local_address,
        name = said.name,
        age = seconds(client.connected_ms),
        idle = seconds(client.active_ms.load(Ordering::Relaxed)),
        flags = flags(client, said.no_evict, said.no_touch),
        sub = number(&client.subscriptions),
        psub = number(&client.patterns),
        watch = number(&client.watched),
        total = query + output,
        cmd = if said.last_command.is_empty() {
            "NULL"
        } else {
            said.last_command
        },
        user = said.user,
        resp = if client.resp3.load(Ordering::Relaxed) {
            3
        } else {
            2
        },
        lib_name = said.lib_name,
        lib_ver = said.lib_ver,
    )
}

fn flags(client: &Client, no_evict: bool, no_touch: bool) -> String {
    let all = [
        ('P', kind_of(client) == Kind::PubSub),
        ('x', client.multi.load(Ordering::Relaxed) != usize::MAX),
        ('b', client.blocked.load(Ordering::Relaxed)),
        ('e', no_evict),
        ('T', no_touch),
    ];
    let set: String = all
        .iter()
        .filter(|(_, on)| *on)
        .map(|(letter, _)| *letter)
        .collect();
    if set.is_empty() { "N".to_owned() } else { set }
}

/// Whom CLIENT KILL ends.
#[derive(Default)]
struct Filter {
    id: Option<u64>,
    address: Option<String>,
    local_address: Option<String>,
    kind: Option<Kind>,
    user: Option<String>,
    age_seconds: Option<u64>,
    keeps_caller: bool,
}

impl Filter {
    fn parse(context: &Context, words: &[Bytes]) -> Result<Filter, Value> {
        let mut filter = Filter {
            keeps_caller: true,
            ..Filter::default()
        };
        let mut rest = words;
        while let [option, value, after @ ..] = rest {
            match lower(option).as_str() {
                "id" => {
                    let id = integer(value)
                        .and_then(|n| u64::try_from(n).ok())
                        .filter(|n| *n > 0);
                    filter.id = Some(id.ok_or_else(|| error("ERR client-id should be greater than 0"))?);
                }
                "addr" => filter.address = Some(lossy(value)),
                "laddr" => filter.local_address = Some(lossy(value)),
                "type" => filter.kind = Some(kind(value)?),
                "user" => {
                    if context.users.get(value).is_none() {
                        return Err(error(format!("ERR No such user '{}'", lossy(value))));
                    }
                    filter.user = Some(lossy(value));
                }
                "maxage" => {
                    let seconds = integer(value)
                        .and_then(|n| u64::try_from(n).ok())
                        .filter(|n| *n > 0);
                    let refused = || error("ERR maxage is not an integer or out of range");
                    filter.age_seconds = Some(seconds.ok_or_else(refused)?);
                }
                "skipme" if is(value, "yes") => filter.keeps_caller = true,
                "skipme" if is(value, "no") => filter.keeps_caller = false,
                _ => return Err(error(SYNTAX)),
            }
            rest = after;
        }
        if rest.is_empty() {
            Ok(filter)
        } else {
            Err(error(SYNTAX))
        }
    }

    fn takes(&self, client: &Client, caller: u64, now_ms: u64) -> bool {
        let same = |wanted: &Option<String>, address: SocketAddr| {
            wanted.as_ref().is_none_or(|w| *w == address.to_string())
        };
        let age = now_ms.saturating_sub(client.connected_ms) / 1_000;
        self.id.is_none_or(|id| id == client.id)
            && same(&self.address, client.address)
            && same(&self.local_address, client.local_address)
            && self.kind.is_none_or(|kind| kind == kind_of(client))
            && self.user.as_ref().is_none_or(|user| *user == client.said().user)
            && self.age_seconds.is_none_or(|seconds| age >= seconds)
            && !(self.keeps_caller && client.id == caller)
    }
}

/// CLIENT KILL ip:port, or with filters. Whoever ends himself gets his reply first.
fn kill(context: &Context, session: &mut Session, words: &[Bytes]) -> Value {
    if words.is_empty() {
        return wrong_arity("client|kill");
    }
    let (filter, old_form) = if let [address] = words {
        let filter = Filter {
            address: Some(lossy(address)),
            ..Filter::default()
        };
        (filter, true)
    } else {
        match Filter::parse(context, words) {
            Ok(filter) => (filter, false),
            Err(refused) => return refused,
        }
    };
    let (caller, now_ms) = (session.client.id, clock::monotonic_ms());
    let mut killed = 0;
    for client in context.clients.all() {
        if !filter.takes(&client, caller, now_ms) {
            continue;
        }
        killed += 1;
        if client.id == caller {
            session.closing = true;
        } else {
            client.kill.cancel();
        }
    }
    match (old_form, killed) {
        (true, 0) => error("ERR No such client"),
        (true, _) => flag("OK"),
        (false, n) => count(n),
    }
}
