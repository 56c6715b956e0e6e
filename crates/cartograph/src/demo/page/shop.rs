//! Writes made through the page: forwarded to a region's HTTP door, timed, and recorded with what became of them.
//!
//! The reply to an accepted write carries a session token. Presented to another region with a read, it makes the read wait
//! until that region has seen what the writer had: so the demo knows to the millisecond when each write reached each region,
//! and records it as a *delivery*. What is known of a delivery is an interval: it had not arrived when the last attempt to
//! wait for it ended, and it had when the read was answered. The checker and the counterfactual take it from there.
//!
//! Every write carries an idempotency key, so that a connection which broke on reuse does not double it.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep};

use crate::demo::clock;
use crate::demo::cluster::Demo;
use crate::demo::error::{Error, Result};
use crate::demo::http::{Http, Lost, percent_encode};
use crate::demo::process::Phase;
use crate::demo::region::Region;

/// How long a region may take over a write.
const WRITE_MAX: Duration = Duration::from_secs(3);
/// How long one attempt to see a write elsewhere may take; a node makes a read wait less than this.
const ATTEMPT_MAX: Duration = Duration::from_secs(4);
/// Time between two attempts.
const ATTEMPT_EVERY: Duration = Duration::from_millis(150);
/// How long a write is followed.
const FOLLOW_MAX: Duration = Duration::from_mins(15);
/// Writes that are followed at a time, each in each other region.
const FOLLOWED_MAX: usize = 120;
/// What a node says of a region that has not seen what a session has.
const SESSION_BEHIND: &str = "CG-3006";

/// What forwards writes.
#[derive(Debug)]
pub(super) struct Shop {
    http: Http,
    following: Arc<Semaphore>,
}

impl Default for Shop {
    fn default() -> Self {
        Self {
            http: Http::pooled(),
            following: Arc::new(Semaphore::new(FOLLOWED_MAX)),
        }
    }
}

/// The body of `POST /api/shop/{region}/carts/{cart}`.
#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "do", rename_all = "lowercase", deny_unknown_fields)]
pub(super) enum Write {
    /// Adds, or with a negative quantity subtracts.
    Add { sku: String, quantity: i64 },
    /// Sets a line.
    Set { sku: String, quantity: i64 },
    /// Removes a line.
    Remove { sku: String },
    /// Removes every line.
    Clear {},
    /// Folds another cart in.
    Fold { from: String },
}

impl Write {
    /// Reads a request body.
    ///
    /// # Errors
    /// A bad request that says what was expected.
    pub(super) fn parse(body: &[u8]) -> Result<Self> {
        serde_json::from_slice(body).map_err(|error| {
            Error::bad_request(format!(
                r#"expected {{"do": "add" | "set", "sku", "quantity"}}, {{"do": "remove", "sku"}}, {{"do": "clear"}} or {{"do": "fold", "from"}}: {error}"#
            ))
        })
    }

    /// Method, the path below the cart's, and the body.
    fn request(&self) -> (Method, String, Option<Value>) {
        match self {
            Self::Add { sku, quantity } => (
                Method::POST,
                "/items".to_owned(),
                Some(json!({"sku": sku, "quantity": quantity})),
            ),
            Self::Set { sku, quantity } => (
                Method::PUT,
                format!("/items/{}", percent_encode(sku)),
                Some(json!({"quantity": quantity})),
            ),
            Self::Remove { sku } => (Method::DELETE, format!("/items/{}", percent_encode(sku)), None),
            Self::Clear {} => (Method::DELETE, String::new(), None),
            Self::Fold { from } => (Method::POST, "/merge".to_owned(), Some(json!({"from": from}))),
        }
    }

    /// As the record shows it.
    fn fields(&self) -> Value {
        match self {
            Self::Add { sku, quantity } => json!({"do": "add", "sku": sku, "quantity": quantity}),
            Self::Set { sku, quantity } => json!({"do": "set", "sku": sku, "quantity": quantity}),
            Self::Remove { sku } => json!({"do": "remove", "sku": sku}),
            Self::Clear {} => json!({"do": "clear"}),
            Self::Fold { from } => json!({"do": "fold", "from": from}),
        }
    }
}

/// What became of a write.
struct Outcome {
    /// `acknowledged`, `refused` (did not and will not happen) or `unknown`.
    word: &'static str,
    lines: Value,
    error: Option<String>,
    token: Option<HeaderValue>,
}

/// Makes one write in `region`, records it, and follows it to the others.
pub(super) async fn write(demo: &Arc<Demo>, region: &Arc<Region>, cart: &str, write: &Write) -> Json<Value> {
    let began_ms = clock::unix_ms();
    let began = clock::now();
    let outcome = match region.node.phase() {
        Phase::Running => send(demo, region, cart, write).await,
        // A paused node would take the request and answer after it is resumed: nobody waits that long at a till.
        phase @ (Phase::Paused | Phase::Stopped | Phase::Crashed(_)) => {
            refused(format!("{}'s node is {}", region.name, phase.word()))
        }
    };
    let took = clock::now() - began;
    let places = outcome.token.as_ref().and_then(|_| places(demo, region));
    let mut event = write.fields();
    if let Value::Object(fields) = &mut event {
        fields.extend([
            ("cart".to_owned(), cart.into()),
            ("region".to_owned(), region.name.clone().into()),
            ("at".to_owned(), began_ms.into()),
            ("took_us".to_owned(), micros(took).into()),
            ("outcome".to_owned(), outcome.word.into()),
            ("lines".to_owned(), outcome.lines),
            ("error".to_owned(), json!(outcome.error)),
            ("followed".to_owned(), places.is_some().into()),
        ]);
    }
    let number = demo.page.record.keep("op", event.clone());
    if let (Some(token), Some(places)) = (outcome.token, places) {
        follow(demo, cart, number, &token, began, places);
    }
    if let Value::Object(fields) = &mut event {
        fields.insert("n".to_owned(), number.into());
    }
    Json(event)
}

fn refused(error: String) -> Outcome {
    Outcome {
        word: "refused",
        lines: Value::Null,
        error: Some(error),
        token: None,
    }
}

async fn send(demo: &Demo, region: &Region, cart: &str, write: &Write) -> Outcome {
    let (method, path, body) = write.request();
    let url = format!("{}/v1/carts/{}{path}", region.http(), percent_encode(cart));
    // Numbered by time and region: no two writes of a demo begin in the same nanosecond at the same region.
    let key = format!("page-{}-{}", region.id, uuid_like());
    let request = Request::builder()
        .method(method)
        .uri(url)
        .header(CONTENT_TYPE, "application/json")
        .header("idempotency-key", key)
        .body(Full::new(
            body.map_or_else(Bytes::new, |body| Bytes::from(body.to_string())),
        ));
    let request = match request {
        Ok(request) => request,
        Err(error) => return refused(error.to_string()),
    };
    match demo.page.shop.http.exchange(request, WRITE_MAX).await {
        Ok(answer) => judge(&answer),
        Err(Lost { sent: false, what }) => refused(what),
        Err(Lost { sent: true, what }) => Outcome {
            word: "unknown",
            lines: Value::Null,
            error: Some(what),
            token: None,
        },
    }
}

/// A name that no other write has: sixteen bytes of this process's hasher, which is seeded anew for each.
fn uuid_like() -> String {
    use std::hash::{BuildHasher, RandomState};
    let state = RandomState::new();
    format!("{:016x}{:016x}", state.hash_one(1), state.hash_one(2))
}

fn judge(answer: &Response<Bytes>) -> Outcome {
    let body: Value = serde_json::from_slice(answer.body()).unwrap_or_default();
    if answer.status() == StatusCode::OK {
        return Outcome {
            word: "acknowledged",
            lines: body.get("lines").cloned().unwrap_or_default(),
            error: None,
            token: answer.headers().get("cartograph-session").cloned(),
        };
    }
    let said = |name: &str| {
        let text = body.get("error").and_then(|error| error.get(name));
        text.and_then(Value::as_str).unwrap_or_default()
    };
    let definite = match said("outcome") {
        "definite" => true,
        "unknown" => false,
        _ => answer.status().is_client_error(),
    };
    Outcome {
        word: if definite { "refused" } else { "unknown" },
        lines: Value::Null,
        error: Some(format!("{}: {}", answer.status().as_u16(), said("message"))),
        token: None,
    }
}

/// A place for each other region where a write can be waited for; none where there is no room for all, so that what is known
/// of a write's arrivals is either complete or said to be missing.
fn places(demo: &Demo, region: &Region) -> Option<Vec<(Arc<Region>, OwnedSemaphorePermit)>> {
    let following = &demo.page.shop.following;
    let others = demo.regions().into_iter().filter(|other| other.id != region.id);
    others
        .map(|other| Some((other, Arc::clone(following).try_acquire_owned().ok()?)))
        .collect()
}

/// Waits for the write in every other region, each in a task of its own.
fn follow(
    demo: &Arc<Demo>,
    cart: &str,
    number: u64,
    token: &HeaderValue,
    began: Instant,
    places: Vec<(Arc<Region>, OwnedSemaphorePermit)>,
) {
    for (other, permit) in places {
        let (demo, token, cart) = (Arc::clone(demo), token.clone(), cart.to_owned());
        tokio::spawn(async move {
            let waiting = seen_in(&demo, &other, &cart, number, &token, began);
            tokio::select! {
                () = demo.stop.cancelled() => {}
                () = waiting => {}
            }
            drop(permit);
        });
    }
}

/// Asks `other` for the cart as of `token`, until it can be shown, and records the delivery.
async fn seen_in(demo: &Demo, other: &Region, cart: &str, number: u64, token: &HeaderValue, began: Instant) {
    let url = format!("{}/v1/carts/{}", other.http(), percent_encode(cart));
    let mut not_before_ms = 0_u64;
    while clock::now() - began < FOLLOW_MAX {
        if other.node.phase() == Phase::Running {
            let request = Request::builder()
                .uri(&url)
                .header("cartograph-session", token.clone());
            let Ok(request) = request.body(Full::new(Bytes::new())) else {
                return;
            };
            match demo.page.shop.http.exchange(request, ATTEMPT_MAX).await {
                Ok(answer) if answer.status() == StatusCode::OK => {
                    let body: Value = serde_json::from_slice(answer.body()).unwrap_or_default();
                    let after = clock::now() - began;
                    let event = json!({"op": number, "cart": cart, "to": other.name, "lines": body.get("lines"),
                        "took_ms": u64::try_from(after.as_millis()).unwrap_or(u64::MAX), "not_before": not_before_ms});
                    demo.page.record.keep("delivery", event);
                    return;
                }
                Ok(answer) if is_behind(&answer) => not_before_ms = clock::unix_ms(),
                Ok(_) | Err(_) => {}
            }
        }
        sleep(ATTEMPT_EVERY).await;
    }
}

fn is_behind(answer: &Response<Bytes>) -> bool {
    let body: Value = serde_json::from_slice(answer.body()).unwrap_or_default();
    body.get("error").and_then(|error| error.get("code")) == Some(&Value::from(SESSION_BEHIND))
}

/// What a region says about why a cart is what it is.
///
/// # Errors
/// The region does not answer, or refuses: its own words.
pub(super) async fn explain(demo: &Demo, region: &Region, cart: &str) -> Result<Json<Value>> {
    let url = format!("{}/v1/carts/{}/explain", region.http(), percent_encode(cart));
    let answer = demo.http.get::<Value>(&url, WRITE_MAX).await;
    answer
        .map(Json)
        .map_err(|error| Error::not_ready(format!("{} does not say: {error}", region.name)))
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_is_the_request_that_a_shop_would_send() {
        for (body, method, path, sent) in [
            (
                r#"{"do":"add","sku":"A B","quantity":-2}"#,
                Method::POST,
                "/items",
                json!({"sku": "A B", "quantity": -2}),
            ),
            (
                r#"{"do":"set","sku":"A B","quantity":2}"#,
                Method::PUT,
                "/items/A%20B",
                json!({"quantity": 2}),
            ),
            (
                r#"{"do":"remove","sku":"A/B"}"#,
                Method::DELETE,
                "/items/A%2FB",
                Value::Null,
            ),
            (r#"{"do":"clear"}"#, Method::DELETE, "", Value::Null),
            (
                r#"{"do":"fold","from":"x"}"#,
                Method::POST,
                "/merge",
                json!({"from": "x"}),
            ),
        ] {
            let (m, p, b) = Write::parse(body.as_bytes()).unwrap().request();
            assert_eq!(
                (m, p.as_str(), b.unwrap_or_default()),
                (method, path, sent),
                "{body}"
            );
        }
        for body in [
            "",
            "[]",
            r#"{"do":"steal"}"#,
            r#"{"do":"add","sku":"A"}"#,
            r#"{"do":"clear","x":1}"#,
        ] {
            assert_eq!(Write::parse(body.as_bytes()).unwrap_err().status, 400, "{body}");
        }
    }

    fn answer(status: u16, body: &str) -> Response<Bytes> {
        Response::builder()
            .status(status)
            .header("cartograph-session", "T")
            .body(Bytes::from(body.to_owned()))
            .unwrap()
    }

    #[test]
    fn an_answer_is_acknowledged_refused_or_unknown() {
        let outcome = |status, body| judge(&answer(status, body)).word;
        assert_eq!(outcome(200, r#"{"lines":[]}"#), "acknowledged");
        assert_eq!(outcome(400, "{}"), "refused");
        assert_eq!(outcome(503, "{}"), "unknown");
        assert_eq!(
            outcome(503, r#"{"error":{"outcome":"definite","message":"m"}}"#),
            "refused"
        );
        let good = judge(&answer(200, r#"{"lines":[{"sku":"A","quantity":1}]}"#));
        assert_eq!(good.lines, json!([{"sku": "A", "quantity": 1}]));
        assert_eq!(good.token.unwrap(), "T");
    }

    #[test]
    fn two_writes_never_share_a_key() {
        assert_ne!(uuid_like(), uuid_like());
        assert_eq!(uuid_like().len(), 32);
    }
}
