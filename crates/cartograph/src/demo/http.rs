//! A small HTTP client for asking the nodes: one request a connection, everything bounded.

use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::time::timeout;

/// The largest answer that is read.
const ANSWER_BYTES_MAX: usize = 32 << 20;

/// The client. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Http {
    client: Client<HttpConnector, Full<Bytes>>,
}

/// What a node answered.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    /// The status.
    pub(crate) status: StatusCode,
    /// The whole body.
    pub(crate) body: Bytes,
}

/// No answer.
#[derive(Clone, Debug)]
pub(crate) struct Lost {
    /// Whether the request may have been received.
    pub(crate) sent: bool,
    /// In words.
    pub(crate) what: String,
}

impl Http {
    /// A client that keeps connections, for requests that are to show how fast a node answers.
    pub(crate) fn pooled() -> Self {
        let client = Client::builder(TokioExecutor::new())
            .pool_max_idle_per_host(64)
            .pool_idle_timeout(Duration::from_secs(20))
            .pool_timer(hyper_util::rt::TokioTimer::new())
            .build_http();
        Self { client }
    }

    /// Sends a request as it is, and reads the whole answer.
    ///
    /// # Errors
    /// Nobody answers within `limit`, or the answer is too large.
    pub(crate) async fn exchange(
        &self,
        request: Request<Full<Bytes>>,
        limit: Duration,
    ) -> Result<Response<Bytes>, Lost> {
        let exchange = async {
            let response = self.client.request(request).await.map_err(|error| Lost {
                sent: !error.is_connect(),
                what: chain(&error),
            })?;
            let (head, body) = response.into_parts();
            let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
            let body = body.map_err(|error| Lost {
                sent: true,
                what: chain(error.as_ref()),
            })?;
            Ok(Response::from_parts(head, body.to_bytes()))
        };
        timeout(limit, exchange).await.unwrap_or_else(|_| {
            Err(Lost {
                sent: true,
                what: format!("no answer within {} ms", limit.as_millis()),
            })
        })
    }

    /// A client that keeps no idle connections: a node that was killed or paused meanwhile must not look alive.
    pub(crate) fn new() -> Self {
        let client = Client::builder(TokioExecutor::new())
            .pool_max_idle_per_host(0)
            .build_http();
        Self { client }
    }

    /// Sends one request, with `body` as JSON.
    ///
    /// # Errors
    /// In words: the URL is bad, nobody answers within `limit`, or the answer is too large.
    pub(crate) async fn send(
        &self,
        method: Method,
        url: &str,
        body: Option<&serde_json::Value>,
        limit: Duration,
    ) -> Result<Answer, String> {
        let mut request = Request::builder().method(method).uri(url);
        if body.is_some() {
            request = request.header("content-type", "application/json");
        }
        let bytes = body.map_or_else(Bytes::new, |body| Bytes::from(body.to_string()));
        let request = request
            .body(Full::new(bytes))
            .map_err(|error| format!("{url}: {error}"))?;
        let exchange = async {
            let response = self
                .client
                .request(request)
                .await
                .map_err(|error| chain(&error))?;
            let status = response.status();
            let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX)
                .collect()
                .await;
            Ok(Answer {
                status,
                body: body.map_err(|error| chain(error.as_ref()))?.to_bytes(),
            })
        };
        timeout(limit, exchange)
            .await
            .unwrap_or_else(|_| Err(format!("no answer within {} ms", limit.as_millis())))
    }

    /// Gets a URL and reads the answer, which must be 200, as JSON.
    ///
    /// # Errors
    /// In words, as [`Http::send`]; or another status, with the beginning of the body; or other JSON than expected.
    pub(crate) async fn get<T: serde::de::DeserializeOwned>(
        &self,
        url: &str,
        limit: Duration,
    ) -> Result<T, String> {
        let answer = self.send(Method::GET, url, None, limit).await?;
        if answer.status != StatusCode::OK {
            let body: String = String::from_utf8_lossy(&answer.body).chars().take(300).collect();
            return Err(format!("{}: {body}", answer.status));
        }
        serde_json::from_slice(&answer.body).map_err(|error| format!("unexpected answer: {error}"))
    }
}

/// The error with what caused it, each once.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut words = vec![error.to_string()];
    let mut source = error.source();
    while let Some(error) = source {
        let word = error.to_string();
        if words.last() != Some(&word) {
            words.push(word);
        }
        source = error.source();
    }
    words.join(": ")
}

/// Encodes text for use in a URL's path or query.
pub(crate) fn percent_encode(text: &str) -> String {
    use std::fmt::Write as _;
    text.bytes()
        .fold(String::with_capacity(text.len()), |mut encoded, byte| {
            if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                encoded.push(char::from(byte));
            } else {
                let _ = write!(encoded, "%{byte:02X}");
            }
            encoded
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_encoded_whole() {
        assert_eq!(percent_encode("cart:42"), "cart%3A42");
        assert_eq!(percent_encode("a b&c=ü/?#"), "a%20b%26c%3D%C3%BC%2F%3F%23");
    }

    #[tokio::test]
    async fn a_closed_port_and_a_silent_one_are_told_apart() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let http = Http::new();
        let error = http
            .get::<serde_json::Value>(&url, Duration::from_millis(200))
            .await
            .unwrap_err();
        assert_eq!(error, "no answer within 200 ms");
        drop(listener);
        let error = http
            .get::<serde_json::Value>(&url, Duration::from_secs(5))
            .await
            .unwrap_err();
        assert!(error.to_lowercase().contains("refused"), "{error}");
    }
}
