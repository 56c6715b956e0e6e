//! A plain Redis of one's own, to compare with: started on a free loopback port, stopped when dropped.

use std::fmt;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::{Child, ChildStdout, Command, Stdio};

use anyhow::{Context, Result, anyhow, bail};

/// Between finding a free port and Redis binding it somebody else may take it.
const START_ATTEMPTS: usize = 5;

/// The server; killed, by its own process id, when dropped.
pub(crate) struct PlainRedis {
    child: Child,
    port: u16,
    /// Held open, so that the server can go on logging.
    log: Option<BufReader<ChildStdout>>,
}

impl PlainRedis {
    /// Starts it, without persistence, and waits until it says that it accepts connections.
    pub(crate) fn start() -> Result<Self> {
        let mut refusals = String::new();
        for _ in 0..START_ATTEMPTS {
            match Self::start_once()? {
                Ok(redis) => return Ok(redis),
                Err(log) => refusals.push_str(&log),
            }
        }
        bail!("redis-server did not start in {START_ATTEMPTS} attempts:\n{refusals}")
    }

    /// The server, or what it logged before it gave up.
    fn start_once() -> Result<Result<Self, String>> {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let child = Command::new("redis-server")
            .args(["--bind", "127.0.0.1", "--port", &port.to_string()])
            .args(["--save", "", "--appendonly", "no", "--daemonize", "no"])
            .current_dir(std::env::temp_dir())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot run redis-server: this test compares with a real one; install it (`apt-get install redis-server`)")?;
        let mut redis = Self {
            child,
            port,
            log: None,
        };
        let mut log = BufReader::new(redis.child.stdout.take().context("redis-server has no stdout")?);
        let (mut so_far, mut from) = (String::new(), 0);
        while log.read_line(&mut so_far)? > 0 {
            if so_far
                .get(from..)
                .is_some_and(|line| line.contains("Ready to accept connections"))
            {
                redis.log = Some(log);
                return Ok(Ok(redis));
            }
            from = so_far.len();
        }
        Ok(Err(so_far))
    }

    /// Where it listens, on loopback.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// A connection of its own.
    pub(crate) fn connect(&self) -> Result<Connection> {
        Connection::to(self.port)
    }
}

impl Drop for PlainRedis {
    fn drop(&mut self) {
        // Gone already is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
        drop(self.log.take());
    }
}

/// A RESP2 reply, as far as these tests need it.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Reply {
    Status(String),
    Error(String),
    Integer(i64),
    Bulk(Option<Vec<u8>>),
    Array(Vec<Reply>),
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(text) => write!(f, "{text}"),
            Self::Error(text) => write!(f, "error {text:?}"),
            Self::Integer(value) => write!(f, "integer {value}"),
            Self::Bulk(Some(bytes)) => write!(f, "{:?}", String::from_utf8_lossy(bytes)),
            Self::Bulk(None) => write!(f, "nil"),
            Self::Array(items) => f.debug_list().entries(items).finish(),
        }
    }
}

pub(crate) struct Connection {
    stream: TcpStream,
    reader: BufReader<TcpStream>,
}

impl Connection {
    /// A connection to the server on this loopback port.
    pub(crate) fn to(port: u16) -> Result<Self> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_nodelay(true)?;
        Ok(Connection {
            reader: BufReader::new(stream.try_clone()?),
            stream,
        })
    }

    /// Sends `commands` together and returns their replies, in order.
    pub(crate) fn pipeline(&mut self, commands: &[Vec<Vec<u8>>]) -> Result<Vec<Reply>> {
        let mut replies = Vec::with_capacity(commands.len());
        // Not all at once: a server whose replies nobody reads stops reading.
        for part in commands.chunks(100) {
            let mut bytes = Vec::new();
            for command in part {
                write!(bytes, "*{}\r\n", command.len())?;
                for argument in command {
                    write!(bytes, "${}\r\n", argument.len())?;
                    bytes.extend_from_slice(argument);
                    bytes.extend_from_slice(b"\r\n");
                }
            }
            self.stream.write_all(&bytes)?;
            for _ in part {
                replies.push(self.reply()?);
            }
        }
        Ok(replies)
    }

    fn reply(&mut self) -> Result<Reply> {
        let mut line = String::new();
        self.reader.read_line(&mut line)?;
        let line = line
            .strip_suffix("\r\n")
            .with_context(|| format!("cut-off reply {line:?}"))?;
        let (kind, rest) = line.split_at_checked(1).context("empty reply")?;
        Ok(match kind {
            "+" => Reply::Status(rest.to_owned()),
            "-" => Reply::Error(rest.to_owned()),
            ":" => Reply::Integer(rest.parse()?),
            "$" if rest == "-1" => Reply::Bulk(None),
            "$" => {
                let mut bytes = vec![0; rest.parse::<usize>()? + 2];
                self.reader.read_exact(&mut bytes)?;
                bytes.truncate(bytes.len() - 2);
                Reply::Bulk(Some(bytes))
            }
            "*" => {
                let count = rest.parse::<usize>()?;
                Reply::Array((0..count).map(|_| self.reply()).collect::<Result<_>>()?)
            }
            _ => return Err(anyhow!("a reply that this test does not read: {line:?}")),
        })
    }
}
