//! What a client agrees with the door: PING, ECHO, QUIT, RESET, HELLO, AUTH, SELECT.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use cartograph_resp::{Protocol, Value};

use super::super::context::Context;
use super::super::session::Session;
use super::args::{integer, is, lossy, text, word};
use super::errors::{NOT_AN_INTEGER, SYNTAX, error, wrong_arity};
use super::users::{DEFAULT, User};

const WRONG_PASSWORD: &str = "WRONGPASS invalid username-password pair or user is disabled.";

const NO_PASSWORD_NEEDED: &str = "ERR AUTH <password> called without any password configured for the default user. \
                                  Are you sure your configuration is correct?";

const HELLO_NEEDS_AUTH: &str = "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO \
                                <proto> AUTH <user> <pass> option can be used to authenticate the client and select the \
                                RESP protocol version at the same time";

const NAME_CHARACTERS: &str = "ERR Client names cannot contain spaces, newlines or special characters.";

/// PING [message]
pub(super) fn ping(arguments: &[Bytes]) -> Value {
    match arguments {
        [] => Value::Simple("PONG".into()),
        [message] => Value::Bulk(message.clone()),
        _ => wrong_arity("ping"),
    }
}

/// RESET: as a new connection.
pub(super) fn reset(context: &Context, session: &mut Session) -> Value {
    let client = Arc::clone(&session.client);
    {
        let mut said = client.said();
        DEFAULT.clone_into(&mut said.user);
        said.name.clear();
        said.no_evict = false;
        said.no_touch = false;
    }
    client.multi.store(usize::MAX, Ordering::Relaxed);
    client.watched.store(0, Ordering::Relaxed);
    client.set_protocol(Protocol::Resp2);
    *session = Session::new(client, context.users.default_user());
    Value::Simple("RESET".into())
}

/// SELECT index
pub(super) fn select(index: &[u8]) -> Value {
    match integer(index) {
        None => error(NOT_AN_INTEGER),
        Some(0) => Value::OK,
        Some(_) => error("ERR DB index is out of range"),
    }
}

/// AUTH [username] password
pub(super) fn auth(context: &Context, session: &mut Session, arguments: &[Bytes]) -> Value {
    let (name, password): (&[u8], &Bytes) = match arguments {
        [password] => {
            let default = context.users.get(DEFAULT.as_bytes());
            if default.is_some_and(|user| user.nopass) {
                return error(NO_PASSWORD_NEEDED);
            }
            (DEFAULT.as_bytes(), password)
        }
        [name, password] => (name, password),
        _ => return error(SYNTAX),
    };
    match authenticate(context, session, name, password) {
        Ok(user) => {
            become_user(session, user);
            Value::OK
        }
        Err(refused) => refused,
    }
}

fn authenticate(
    context: &Context,
    session: &Session,
    name: &[u8],
    password: &[u8],
) -> Result<Arc<User>, Value> {
    context.users.authenticate(name, password).ok_or_else(|| {
        context.stats.auth_failures.fetch_add(1, Ordering::Relaxed);
        context.stats.denied.note("auth", "AUTH", &lossy(name), session);
        error(WRONG_PASSWORD)
    })
}

fn become_user(session: &mut Session, user: Arc<User>) {
    session.client.said().user.clone_from(&user.name);
    session.user = Some(user);
}

/// HELLO [protover [AUTH username password] [SETNAME name]]: all of it, or nothing.
pub(super) async fn hello(context: &Context, session: &mut Session, arguments: &[Bytes]) -> Value {
    let mut protocol = session.protocol;
    if let Some(version) = arguments.first() {
        protocol = match integer(version) {
            None => return error("ERR Protocol version is not an integer or out of range"),
            Some(2) => Protocol::Resp2,
            Some(3) => Protocol::Resp3,
            Some(_) => return error("NOPROTO unsupported protocol version"),
        };
    }
    let (mut user, mut name) = (session.user.clone(), None);
    let mut rest = arguments.get(1..).unwrap_or_default();
    loop {
        rest = match rest {
            [] => break,
            [option, who, password, rest @ ..] if is(option, "auth") => {
                user = match authenticate(context, session, who, password) {
                    Ok(user) => Some(user),
                    Err(refused) => return refused,
                };
                rest
            }
            [option, given, rest @ ..] if is(option, "setname") => {
                match client_name(given) {
                    Ok(given) => name = Some(given),
                    Err(refused) => return refused,
                }
                rest
            }
            [option, ..] => {
                return error(format!("ERR Syntax error in HELLO option '{}'", lossy(option)));
            }
        };
    }
    let Some(user) = user else {
        return error(HELLO_NEEDS_AUTH);
    };
    let version = context.stats.local.version(context).await;
    become_user(session, user);
    if let Some(name) = name {
        session.client.said().name = name;
    }
    session.protocol = protocol;
    session.client.set_protocol(protocol);
    Value::Map(vec![
        (word("server"), word("redis")),
        (word("version"), text(version)),
        (
            word("proto"),
            Value::Integer(match protocol {
                Protocol::Resp2 => 2,
                Protocol::Resp3 => 3,
            }),
        ),
        (word("id"), super::args::number(session.client.id)),
        (word("mode"), word("standalone")),
        (word("role"), word("master")),
        (word("modules"), Value::Array(Vec::new())),
    ])
}

/// A name as CLIENT SETNAME takes it; empty takes it away.
pub(super) fn client_name(given: &[u8]) -> Result<String, Value> {
    if !given.iter().all(|b| (b'!'..=b'~').contains(b)) {
        return Err(error(NAME_CHARACTERS));
    }
    Ok(lossy(given))
}
