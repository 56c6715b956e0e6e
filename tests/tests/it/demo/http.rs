//! A small HTTP/1.1 client: one request a connection, and a clear word on what became of a request that got no reply.

use std::fmt;
use std::io;
use std::net::Ipv4Addr;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Longer than any server here takes to say that it is late.
const REPLY_MAX: Duration = Duration::from_mins(1);

/// A request; a body is sent as JSON unless a header says otherwise.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: &'static str,
    pub(crate) path: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Option<Vec<u8>>,
}

impl Request {
    pub(crate) fn new(method: &'static str, path: impl Into<String>) -> Self {
        Request {
            method,
            path: path.into(),
            headers: Vec::new(),
            body: None,
        }
    }

    pub(crate) fn json(self, body: &Value) -> Self {
        self.raw(body.to_string())
    }

    pub(crate) fn raw(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = Some(body.into());
        self
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    fn bytes(&self, port: u16) -> Vec<u8> {
        let has = |name: &str| self.headers.iter().any(|(n, _)| n.eq_ignore_ascii_case(name));
        let mut head = format!("{} {} HTTP/1.1\r\nconnection: close\r\n", self.method, self.path);
        if !has("host") {
            head.push_str(&["host: 127.0.0.1:", &port.to_string(), "\r\n"].concat());
        }
        if self.body.is_some() && !has("content-type") {
            head += "content-type: application/json\r\n";
        }
        for (name, value) in self.headers.iter().filter(|(_, value)| value != NO_HEADER) {
            head.push_str(&[name, ": ", value, "\r\n"].concat());
        }
        let body = self.body.as_deref().unwrap_or_default();
        head.push_str(&["content-length: ", &body.len().to_string(), "\r\n\r\n"].concat());
        [head.as_bytes(), body].concat()
    }
}

/// As a header's value: the header that would else be added is left out.
pub(crate) const NO_HEADER: &str = "(left out)";

/// What came back.
#[derive(Clone)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    fn parse(bytes: &[u8]) -> Option<Self> {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
        let head = std::str::from_utf8(&bytes[..end]).ok()?;
        let mut lines = head.split("\r\n");
        let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
        let headers: Vec<(String, String)> = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        let body = bytes[end + 4..].to_vec();
        let reply = Reply {
            status,
            headers,
            body,
        };
        let whole = reply
            .header("content-length")
            .and_then(|n| n.parse::<usize>().ok())?;
        (reply.body.len() == whole).then_some(reply)
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(n, _)| n == name);
        found.map(|(_, value)| value.as_str())
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("no JSON ({e}): {self:?}"))
    }

    /// The `code` of an error.
    pub(crate) fn code(&self) -> Option<String> {
        let document: Value = serde_json::from_slice(&self.body).ok()?;
        document["error"]["code"].as_str().map(str::to_owned)
    }

    pub(crate) fn ok(self) -> Self {
        assert!((200..300).contains(&self.status), "{self:?}");
        self
    }
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.status, self.text())
    }
}

/// No reply.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// Nobody listened: the request did not happen.
    NotSent(io::Error),
    /// It may have happened.
    Lost(String),
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotSent(error) => write!(f, "not sent: {error}"),
            Self::Lost(why) => write!(f, "no reply: {why}"),
        }
    }
}

/// Sends a request to a loopback port and waits for the whole reply.
pub(crate) async fn send(port: u16, request: &Request) -> Result<Reply, Trouble> {
    let connecting = timeout(REPLY_MAX, TcpStream::connect((Ipv4Addr::LOCALHOST, port))).await;
    let stream = connecting.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
    let mut stream = stream.map_err(Trouble::NotSent)?;
    let exchange = async {
        // A server that refuses a long body answers before it has read it all.
        let sent = stream.write_all(&request.bytes(port)).await;
        let mut bytes = Vec::new();
        let read = stream.read_to_end(&mut bytes).await;
        Reply::parse(&bytes).ok_or_else(|| format!("sent {sent:?}, read {read:?}, {} bytes", bytes.len()))
    };
    match timeout(REPLY_MAX, exchange).await {
        Ok(reply) => reply.map_err(Trouble::Lost),
        Err(_) => Err(Trouble::Lost(format!("no reply within {REPLY_MAX:?}"))),
    }
}

/// Text as one segment of a path.
pub(crate) fn segment(text: &str) -> String {
    text.bytes()
        .map(|b| {
            if b.is_ascii_alphanumeric() || b == b'-' {
                char::from(b).to_string()
            } else {
                format!("%{b:02X}")
            }
        })
        .collect()
}
