//! One raw connection: reach the server, log in, speak the right version, and nothing else.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ::redis::{ConnectionAddr, cmd};
use bytes::BytesMut;
use cartograph_resp::{Delimiter, Protocol, Value, encode_command};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::{Mutex, Semaphore};

use super::user;
use crate::error::Error;
use crate::raw::{PassUser, RawError};
use crate::redis::RedisConfig;
use crate::redis::connect::Endpoint;
use crate::redis::reply::{self, Fault};
use crate::redis::server::Server;

pub(crate) type Reader = Box<dyn AsyncRead + Send + Unpin>;
pub(crate) type Writer = Box<dyn AsyncWrite + Send + Unpin>;

/// A connection that has logged in.
pub(crate) struct Link {
    pub(crate) reader: Reader,
    pub(crate) writer: Writer,
    /// The claim after which it was made.
    pub(crate) epoch: u64,
}

/// What all raw connections of a store share.
pub(crate) struct Dialer {
    pub(crate) endpoint: Endpoint,
    pub(crate) config: RedisConfig,
    /// Counts claims: a connection older than the last one may lead to a server that the writer has left.
    pub(crate) epoch: Arc<AtomicU64>,
    user: Mutex<PassUser>,
    /// The same, for who cannot wait.
    user_seen: std::sync::Mutex<PassUser>,
    pub(crate) pinned: Arc<Semaphore>,
    pub(crate) counts: Counts,
}

/// See [`RawStatus`](crate::raw::RawStatus).
#[derive(Default)]
pub(crate) struct Counts {
    pub(crate) connects: AtomicU64,
    pub(crate) errors: AtomicU64,
    pub(crate) retries: AtomicU64,
    pub(crate) refused: AtomicU64,
    /// Lanes' connections that broke: the server may have begun another life.
    pub(crate) breaks: AtomicU64,
}

/// Longer than any reply to a login.
const LOGIN_BYTES_MAX: usize = 64 * 1024;

impl Dialer {
    pub(crate) fn new(endpoint: Endpoint, config: RedisConfig, epoch: Arc<AtomicU64>) -> Self {
        Dialer {
            pinned: Arc::new(Semaphore::new(config.pinned_connections_max)),
            endpoint,
            config,
            epoch,
            user: Mutex::default(),
            user_seen: std::sync::Mutex::default(),
            counts: Counts::default(),
        }
    }

    pub(crate) fn address(&self) -> String {
        self.endpoint.address.clone()
    }

    pub(crate) fn unavailable(&self, reason: impl Into<String>) -> RawError {
        RawError::Unavailable {
            address: self.address(),
            reason: reason.into(),
        }
    }

    fn error(&self, fault: Fault) -> RawError {
        let error = self.endpoint.error(fault);
        if let Error::Unavailable { address, reason } = error {
            return RawError::Unavailable { address, reason };
        }
        RawError::Store(error)
    }

    /// A lane's connection broke.
    pub(crate) fn lost(&self) {
        self.counts.errors.fetch_add(1, Ordering::Relaxed);
        self.counts.breaks.fetch_add(1, Ordering::Relaxed);
    }

    /// Who commands are to the server, as far as it is known.
    pub(crate) fn user(&self) -> PassUser {
        let user = self
            .user_seen
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        user.clone()
    }

    /// Connects and logs in, within the time for connecting.
    pub(crate) async fn connect(&self, protocol: Protocol) -> Result<Link, RawError> {
        let limit = self.config.connect_timeout;
        let connecting = self.connect_as_user(protocol);
        let link = match tokio::time::timeout(limit, connecting).await {
            Ok(link) => link,
            Err(_) => Err(self.unavailable(format!("no connection within {} ms", limit.as_millis()))),
        };
        let count = match &link {
            Ok(_) => &self.counts.connects,
            Err(_) => &self.counts.errors,
        };
        count.fetch_add(1, Ordering::Relaxed);
        link
    }

    async fn connect_as_user(&self, protocol: Protocol) -> Result<Link, RawError> {
        for again in [false, true] {
            // A server that has restarted knows the user no longer.
            let user = self.make_user(again).await?;
            match self.login(protocol, &user).await {
                Err(RawError::Store(Error::Authentication { .. })) if !again => {}
                other => return other,
            }
        }
        Err(self.unavailable("the server does not keep the user for passed-on commands"))
    }

    /// Makes the user where that has not been done, or once more.
    pub(crate) async fn make_user(&self, again: bool) -> Result<PassUser, RawError> {
        let mut user = self.user.lock().await;
        if *user != PassUser::Unknown && !again {
            return Ok(user.clone());
        }
        let made = self.make_user_now().await.map_err(|fault| self.error(fault))?;
        if let PassUser::Unconfined { reason } = &made {
            tracing::warn!(
                reason,
                "the Redis lets the node make no user for passed-on commands: scripts are not passed on"
            );
        }
        *user = made.clone();
        *self
            .user_seen
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner) = made.clone();
        Ok(made)
    }

    async fn make_user_now(&self) -> Result<PassUser, Fault> {
        let mut connection = self.endpoint.connect(0, self.config.read_timeout).await?;
        let info = reply::text(reply::ask(&mut connection, cmd("INFO").arg("server")).await?)?;
        let password = self.password();
        let (rules, scripts) = user::rules(&Server::parse(&info), &password, &self.config.local_prefixes);
        let asked = reply::ask(
            &mut connection,
            cmd("ACL").arg("SETUSER").arg(user::NAME).arg(rules),
        )
        .await;
        match asked {
            Ok(_) => Ok(PassUser::Confined { scripts }),
            Err(Fault::Server(words)) if words.starts_with("LOADING") => Err(Fault::Server(words)),
            // Not allowed to this user, or by this service.
            Err(Fault::Server(reason)) => Ok(PassUser::Unconfined { reason }),
            Err(broken) => Err(broken),
        }
    }

    fn password(&self) -> String {
        let (name, password) = self.endpoint.credentials();
        user::password(name, password)
    }

    async fn login(&self, protocol: Protocol, user: &PassUser) -> Result<Link, RawError> {
        let epoch = self.epoch.load(Ordering::SeqCst);
        let broken = |error: std::io::Error| self.unavailable(error.to_string());
        let (mut reader, mut writer) = self.open().await.map_err(broken)?;
        let (commands, expected) = self.greeting(protocol, user);
        writer.write_all(&commands).await.map_err(broken)?;
        let (mut buf, mut delimiter) = (BytesMut::new(), Delimiter::bounded(LOGIN_BYTES_MAX));
        for must_succeed in expected {
            let frame = loop {
                match delimiter.next(&mut buf) {
                    Ok(Some(frame)) => break frame,
                    Ok(None) => {}
                    Err(error) => return Err(self.unavailable(error.to_string())),
                }
                if reader.read_buf(&mut buf).await.map_err(broken)? == 0 {
                    return Err(self.unavailable("the server closed the connection"));
                }
            };
            if must_succeed && let Ok(Value::Error(words)) = Value::from_frame(&frame) {
                return Err(self.error(Fault::Server(words)));
            }
        }
        Ok(Link {
            reader,
            writer,
            epoch,
        })
    }

    /// The commands of a login, and which of them must succeed.
    fn greeting(&self, protocol: Protocol, user: &PassUser) -> (BytesMut, Vec<bool>) {
        let made = self.password();
        let (name, password) = match user {
            PassUser::Confined { .. } => (Some(user::NAME), Some(made.as_str())),
            PassUser::Unknown | PassUser::Unconfined { .. } => self.endpoint.credentials(),
        };
        let (mut out, mut expected) = (BytesMut::new(), Vec::new());
        let mut push = |command: &[&str], must_succeed| {
            encode_command(command, &mut out);
            expected.push(must_succeed);
        };
        match (name, password) {
            (None, None) => {}
            (None, Some(password)) => push(&["AUTH", password], true),
            (Some(name), password) => push(&["AUTH", name, password.unwrap_or_default()], true),
        }
        if protocol == Protocol::Resp3 {
            push(&["HELLO", "3"], true);
        }
        // For `CLIENT LIST`; not allowed everywhere.
        push(&["CLIENT", "SETNAME", "cartograph-pass"], false);
        // A server that is loading lets one log in, and then answers nothing.
        push(&["PING"], true);
        (out, expected)
    }

    async fn open(&self) -> std::io::Result<(Reader, Writer)> {
        match self.endpoint.addr() {
            ConnectionAddr::Unix(path) => {
                let (reader, writer) = UnixStream::connect(path).await?.into_split();
                Ok((Box::new(reader), Box::new(writer)))
            }
            ConnectionAddr::Tcp(host, port) => {
                let stream = TcpStream::connect((host.as_str(), *port)).await?;
                stream.set_nodelay(true)?;
                let (reader, writer) = stream.into_split();
                Ok((Box::new(reader), Box::new(writer)))
            }
            ConnectionAddr::TcpTls { .. } | _ => Err(std::io::Error::new(
                std::io::ErrorKind::Unsupported,
                "passed-on commands need redis:// or unix://",
            )),
        }
    }
}
