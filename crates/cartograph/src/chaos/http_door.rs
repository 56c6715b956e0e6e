//! Carts through HTTP.

use std::net::SocketAddr;
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::doors::{Door, Names, Reply, Replying};
use super::history::{Object, Op, Outcome};
use crate::api::Cart;

/// The longest answer that is read.
const ANSWER_BYTES_MAX: usize = 4 << 20;
const SESSION: &str = "cartograph-session";

/// The HTTP API of a region.
#[derive(Debug)]
pub(crate) struct HttpDoor {
    base: String,
    names: Names,
    timeout: Duration,
    client: Client<HttpConnector, Full<Bytes>>,
}

impl HttpDoor {
    /// The door at an address.
    pub(crate) fn new(address: SocketAddr, names: Names, timeout: Duration) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(timeout));
        let client = Client::builder(TokioExecutor::new())
            .retry_canceled_requests(false)
            .pool_max_idle_per_host(8)
            .build(connector);
        Self {
            base: format!("http://{address}"),
            names,
            timeout,
            client,
        }
    }

    fn request(&self, cart: Object, op: Op, token: Option<&str>) -> Result<Request<Full<Bytes>>, String> {
        let path = format!("{}/v1/carts/{}", self.base, self.names.key(cart));
        let add = |sku: String, quantity: i64| Some(json!({"sku": sku, "quantity": quantity}));
        let (method, path, body) = match op {
            Op::Read => (Method::GET, path, None),
            Op::Add(member) => (
                Method::POST,
                format!("{path}/items"),
                add(Names::member(member), 1),
            ),
            Op::Bump { sum, by } => (Method::POST, format!("{path}/items"), add(Names::ledger(sum), by)),
            Op::Remove(member) => {
                let sku = Names::member(member);
                (Method::DELETE, format!("{path}/items/{sku}"), None)
            }
            Op::Write(_) => return Err("carts have no registers".to_owned()),
        };
        let mut request = Request::builder().method(method).uri(path);
        if let Some(token) = token {
            request = request.header(SESSION, token);
        }
        let bytes = body.map_or_else(Bytes::new, |body: Value| Bytes::from(body.to_string()));
        if !bytes.is_empty() {
            request = request.header(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        request.body(Full::new(bytes)).map_err(|error| error.to_string())
    }

    async fn ask(&self, request: Request<Full<Bytes>>) -> Reply {
        let bare = |outcome| Reply { outcome, token: None };
        let response = match self.client.request(request).await {
            Ok(response) => response,
            Err(error) if error.is_connect() => return bare(Outcome::Failed("cannot connect".to_owned())),
            Err(_) => return bare(Outcome::Unknown("the connection broke".to_owned())),
        };
        let status = response.status();
        let token = response
            .headers()
            .get(SESSION)
            .and_then(|token| Some(token.to_str().ok()?.to_owned()));
        let body = match Limited::new(response.into_body(), ANSWER_BYTES_MAX)
            .collect()
            .await
        {
            Ok(body) => body.to_bytes(),
            Err(_) => return bare(Outcome::Unknown("the answer broke off".to_owned())),
        };
        if !status.is_success() {
            return bare(refused(status.as_u16(), &body));
        }
        match serde_json::from_slice::<Cart>(&body) {
            Ok(cart) => {
                let lines = cart.lines.into_iter().map(|line| (line.sku, line.quantity));
                Reply {
                    outcome: Outcome::Ok(Some(Names::cart_view(lines))),
                    token,
                }
            }
            Err(error) => bare(Outcome::Unknown(format!("an answer that is no cart: {error}"))),
        }
    }
}

/// What an error means: the body's own word counts, else only a 4xx is certain.
fn refused(status: u16, body: &[u8]) -> Outcome {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let word = |name: &str| body.pointer(&format!("/error/{name}")).and_then(Value::as_str);
    let why = format!("{status} {}", word("code").unwrap_or("without a code"));
    match word("outcome") {
        Some("definite") => Outcome::Failed(why),
        None if (400..500).contains(&status) && status != 408 => Outcome::Failed(why),
        Some(_) | None => Outcome::Unknown(why),
    }
}

impl Door for HttpDoor {
    fn word(&self) -> &'static str {
        "http"
    }

    fn takes(&self, object: Object) -> bool {
        match object {
            Object::Cart(_) => true,
            Object::Set(_) | Object::Rising(_) | Object::Counter(_) | Object::Register(_) => false,
        }
    }

    fn perform<'a>(&'a self, object: Object, op: Op, token: Option<&'a str>) -> Replying<'a> {
        Box::pin(async move {
            let request = match self.request(object, op, token) {
                Ok(request) => request,
                Err(why) => {
                    return Reply {
                        outcome: Outcome::Failed(why),
                        token: None,
                    };
                }
            };
            timeout(self.timeout, self.ask(request))
                .await
                .unwrap_or_else(|_| Reply {
                    outcome: Outcome::Unknown("no answer in time".to_owned()),
                    token: None,
                })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_certain_only_where_somebody_says_so() {
        let definite = br#"{"error":{"code":"CG-3001","message":"m","outcome":"definite"}}"#;
        let unknown = br#"{"error":{"code":"CG-4001","message":"m","outcome":"unknown"}}"#;
        assert_eq!(refused(503, definite), Outcome::Failed("503 CG-3001".to_owned()));
        assert_eq!(refused(504, unknown), Outcome::Unknown("504 CG-4001".to_owned()));
        assert!(matches!(refused(502, b"<html>"), Outcome::Unknown(_)));
        assert!(matches!(refused(404, b""), Outcome::Failed(_)));
        assert!(matches!(refused(408, b""), Outcome::Unknown(_)));
    }
}
