//! HTTP to a region or to the demo's control API: keep-alive connections, bounded replies, honest errors.
//!
//! What matters about a failed write is whether it may have happened. An [`Error`] says so through
//! [`Error::outcome`]: *definite* means that it did not and will not happen, *unknown* that it may be committed.
//! Where a server's error body has a word on it (`"outcome": "definite" | "unknown"`) that word counts;
//! otherwise a 4xx is definite, and everything that happened after the request left this process is unknown.
//! Judging too much unknown only widens what the ledger allows; judging it definite by mistake would call a
//! committed write an invention.

use std::fmt;
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{ACCEPT, CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request, Response, StatusCode, Uri};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{self, Client};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::clock;

/// The longest reply that is read. A converged answer may name many differing fields.
const REPLY_BYTES_MAX: usize = 64 * 1024 * 1024;
/// How long a connection may take to open, however long the whole request may take.
const CONNECT_MAX: Duration = Duration::from_secs(2);
/// How long an idle connection is kept.
const IDLE_MAX: Duration = Duration::from_mins(1);

/// Whether a failed write may have happened after all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Outcome {
    /// It did not and will not happen.
    Definite,
    /// It may be committed.
    Unknown,
}

impl Outcome {
    /// The word for tables and JSON.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Definite => "definite",
            Self::Unknown => "unknown",
        }
    }
}

/// Why a request has no result.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum Error {
    /// No connection: the request never left.
    #[error("cannot connect to {url}: {why}")]
    Connect {
        /// What was asked for.
        url: String,
        /// What the system said.
        why: String,
    },
    /// No reply in time.
    #[error("{url} did not answer within {}", crate::text::duration(*after))]
    Timeout {
        /// What was asked for.
        url: String,
        /// How long it was waited for.
        after: Duration,
    },
    /// The connection broke after the request had left.
    #[error("the connection to {url} broke: {why}")]
    Broken {
        /// What was asked for.
        url: String,
        /// What the connection said.
        why: String,
    },
    /// The server answered with an error.
    #[error("{url} answered {status}: {message}{}", in_brackets(code))]
    Refused {
        /// What was asked for.
        url: String,
        /// The HTTP status.
        status: u16,
        /// The error's code, `CG-NNNN`; empty if the reply named none.
        code: String,
        /// What the server said.
        message: String,
        /// Whether the server, or else the status, rules out that the write happened.
        outcome: Outcome,
    },
    /// The server answered 2xx, with something that is not what the interface promises.
    #[error("{url} answered something unexpected: {why}")]
    Reply {
        /// What was asked for.
        url: String,
        /// What was wrong with it.
        why: String,
    },
}

impl Error {
    /// Whether the request, had it been a write, may have happened.
    pub(crate) fn outcome(&self) -> Outcome {
        match self {
            Self::Connect { .. } => Outcome::Definite,
            Self::Timeout { .. } | Self::Broken { .. } | Self::Reply { .. } => Outcome::Unknown,
            Self::Refused { outcome, .. } => *outcome,
        }
    }

    /// A short name under which errors of the same sort are counted.
    pub(crate) fn kind(&self) -> String {
        match self {
            Self::Connect { .. } => "cannot connect".to_owned(),
            Self::Timeout { .. } => "no answer in time".to_owned(),
            Self::Broken { .. } => "connection broke".to_owned(),
            Self::Refused { status, code, .. } if code.is_empty() => format!("http {status}"),
            Self::Refused { status, code, .. } => format!("http {status} {code}"),
            Self::Reply { .. } => "unexpected reply".to_owned(),
        }
    }
}

fn in_brackets(code: &str) -> String {
    if code.is_empty() {
        String::new()
    } else {
        format!(" ({code})")
    }
}

/// The address of a server: `http://host:port`, with an optional path before what is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Base(String);

impl Base {
    /// Reads an address; `http://` may be left out.
    ///
    /// # Errors
    /// A text for the command line, saying what was expected.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let expected = |why: &str| format!("`{text}` {why}; write for example http://127.0.0.1:7101");
        let full = if text.contains("://") {
            text.to_owned()
        } else {
            format!("http://{text}")
        };
        let uri: Uri = full.parse().map_err(|_| expected("is not an address"))?;
        if uri.scheme_str() == Some("https") {
            return Err(expected("is https, which this command does not speak"));
        }
        if uri.scheme_str() != Some("http") || uri.host().is_none_or(str::is_empty) {
            return Err(expected("is not an http address"));
        }
        if uri.query().is_some() {
            return Err(expected("has a query"));
        }
        Ok(Self(full.trim_end_matches('/').to_owned()))
    }

    /// The URL of `path`, which begins with a slash.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.0)
    }
}

impl fmt::Display for Base {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A reply and how long it took from the request's start to the body's last byte.
#[derive(Clone, Debug)]
pub(crate) struct Answer<T> {
    /// What was answered.
    pub(crate) value: T,
    /// How long it took.
    pub(crate) took: Duration,
}

/// A pool of connections; cheap to clone, and clones share the pool.
#[derive(Clone, Debug)]
pub(crate) struct Http {
    client: Client<HttpConnector, Full<Bytes>>,
    timeout: Duration,
}

impl Http {
    /// A pool that keeps up to `idle_max` connections per server and gives each request `timeout`.
    pub(crate) fn new(timeout: Duration, idle_max: usize) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(timeout.min(CONNECT_MAX)));
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_MAX)
            .pool_max_idle_per_host(idle_max)
            .build(connector);
        Self { client, timeout }
    }

    /// The same pool with another time limit per request.
    pub(crate) fn with_timeout(&self, timeout: Duration) -> Self {
        Self {
            client: self.client.clone(),
            timeout,
        }
    }

    /// Sends one request and reads the JSON reply.
    ///
    /// # Errors
    /// Every [`Error`]; after `timeout` at the latest. For a write, [`Error::outcome`] says what may have happened.
    pub(crate) async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        url: &str,
        body: Option<&Value>,
        idempotency_key: Option<&str>,
    ) -> Result<Answer<T>, Error> {
        let request = build(method, url, body, idempotency_key)?;
        let started = clock::now();
        let exchange = async {
            let response = self
                .client
                .request(request)
                .await
                .map_err(|error| sending(url, &error))?;
            read(url, response).await
        };
        let late = |_| Error::Timeout {
            url: url.to_owned(),
            after: self.timeout,
        };
        let value = tokio::time::timeout(self.timeout, exchange)
            .await
            .map_err(late)??;
        Ok(Answer {
            value,
            took: started.elapsed(),
        })
    }

    /// [`Http::call`] with GET.
    ///
    /// # Errors
    /// As [`Http::call`].
    pub(crate) async fn get<T: DeserializeOwned>(&self, url: &str) -> Result<Answer<T>, Error> {
        self.call(Method::GET, url, None, None).await
    }
}

fn build(
    method: Method,
    url: &str,
    body: Option<&Value>,
    idempotency_key: Option<&str>,
) -> Result<Request<Full<Bytes>>, Error> {
    // A request that cannot be built never leaves, as one that cannot connect.
    let unsent = |why: String| Error::Connect {
        url: url.to_owned(),
        why,
    };
    let mut request = Request::builder()
        .method(method)
        .uri(url)
        .header(ACCEPT, HeaderValue::from_static("application/json"));
    if let Some(key) = idempotency_key {
        request = request.header("Idempotency-Key", key);
    }
    let bytes = if let Some(body) = body {
        request = request.header(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Bytes::from(body.to_string())
    } else {
        Bytes::new()
    };
    request
        .body(Full::new(bytes))
        .map_err(|error| unsent(error.to_string()))
}

fn sending(url: &str, error: &legacy::Error) -> Error {
    let (url, why) = (url.to_owned(), innermost(error));
    if error.is_connect() {
        Error::Connect { url, why }
    } else {
        Error::Broken { url, why }
    }
}

/// The innermost cause is the one that means something to a reader ("Connection refused").
fn innermost(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

async fn read<T: DeserializeOwned>(url: &str, response: Response<Incoming>) -> Result<T, Error> {
    let status = response.status();
    let bytes = match Limited::new(response.into_body(), REPLY_BYTES_MAX)
        .collect()
        .await
    {
        Ok(body) => body.to_bytes(),
        Err(error) => {
            return Err(Error::Broken {
                url: url.to_owned(),
                why: innermost(error.as_ref()),
            });
        }
    };
    if !status.is_success() {
        return Err(refusal(url, status, &bytes));
    }
    // `/readyz` and its like may answer without a body.
    let text: &[u8] = if bytes.is_empty() { b"null" } else { &bytes };
    serde_json::from_slice(text).map_err(|error| Error::Reply {
        url: url.to_owned(),
        why: error.to_string(),
    })
}

#[derive(Deserialize)]
struct ErrorBody {
    error: ErrorDetail,
}

#[derive(Deserialize)]
struct ErrorDetail {
    #[serde(default)]
    code: Value,
    #[serde(default)]
    message: String,
    #[serde(default)]
    outcome: Value,
}

fn refusal(url: &str, status: StatusCode, bytes: &[u8]) -> Error {
    let by_status = if status.is_client_error() && status != StatusCode::REQUEST_TIMEOUT {
        Outcome::Definite
    } else {
        Outcome::Unknown
    };
    let (code, message, outcome) = match serde_json::from_slice::<ErrorBody>(bytes) {
        Ok(ErrorBody { error }) => {
            let outcome = match error.outcome.as_str() {
                Some("definite") => Outcome::Definite,
                Some("unknown") => Outcome::Unknown,
                _ => by_status,
            };
            let code = if error.code.is_null() {
                String::new()
            } else {
                crate::text::plain(&error.code)
            };
            (code, error.message, outcome)
        }
        Err(_) => (String::new(), first_line(bytes), by_status),
    };
    let message = if message.is_empty() {
        status.canonical_reason().unwrap_or("no reason given").to_owned()
    } else {
        crate::text::printable(&message)
    };
    Error::Refused {
        url: url.to_owned(),
        status: status.as_u16(),
        code,
        message,
        outcome,
    }
}

/// The start of a body that is not ours: enough to recognise who answered.
fn first_line(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    text.lines()
        .next()
        .unwrap_or_default()
        .chars()
        .take(200)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_may_leave_out_http_and_never_end_in_a_slash() {
        let base = |text| Base::parse(text).map(|base| base.url("/x"));
        assert_eq!(base("127.0.0.1:7101"), Ok("http://127.0.0.1:7101/x".to_owned()));
        assert_eq!(
            base("http://shop.example:80/eu/"),
            Ok("http://shop.example:80/eu/x".to_owned())
        );
        for wrong in [
            "",
            "http://",
            "ftp://x",
            "https://x",
            "http://x?y=1",
            "not an address",
        ] {
            assert!(
                base(wrong).is_err_and(|text| text.contains("http://127.0.0.1:7101")),
                "{wrong}"
            );
        }
    }

    fn refused(status: u16, body: &str) -> Error {
        refusal("http://x", StatusCode::from_u16(status).unwrap(), body.as_bytes())
    }

    #[test]
    fn a_client_error_is_definite_and_a_server_error_unknown_unless_the_body_says() {
        let outcome = |status, body| refused(status, body).outcome();
        assert_eq!(outcome(400, ""), Outcome::Definite);
        assert_eq!(outcome(408, ""), Outcome::Unknown);
        assert_eq!(
            outcome(503, r#"{"error":{"code":"CG-1","message":"m"}}"#),
            Outcome::Unknown
        );
        assert_eq!(
            outcome(
                503,
                r#"{"error":{"code":"CG-1","message":"m","outcome":"definite"}}"#
            ),
            Outcome::Definite
        );
        assert_eq!(
            outcome(409, r#"{"error":{"outcome":"unknown"}}"#),
            Outcome::Unknown
        );
    }

    #[test]
    fn a_refusal_shows_what_the_server_said_or_else_the_status() {
        let text = refused(
            422,
            r#"{"error":{"code":"CG-0007","message":"quantity 0 is refused"}}"#,
        )
        .to_string();
        assert_eq!(text, "http://x answered 422: quantity 0 is refused (CG-0007)");
        assert_eq!(
            refused(502, "<html>\n").to_string(),
            "http://x answered 502: <html>"
        );
        assert_eq!(refused(404, "").to_string(), "http://x answered 404: Not Found");
        assert_eq!(refused(404, "").kind(), "http 404");
    }
}
