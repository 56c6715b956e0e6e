//! The HTTP door: JSON in, JSON out.
//!
//! Paths and documents are the project's fixed interface; programs rely on them. Every error is
//! `{"error":{"code","message","outcome"}}` with a status that fits; every answer about data carries
//! `Cartograph-Session`.

mod admin;
mod carts;
mod digest;
pub(crate) mod listen;
mod status;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{FromRequestParts, Path, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::clock;
use crate::doors::failure::{Failure, kinds};
use crate::doors::{Answered, Call, Doors};

const SESSION: HeaderName = HeaderName::from_static("cartograph-session");
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

type Shared = State<Arc<Doors>>;

/// The whole door.
pub(crate) fn router(doors: Arc<Doors>) -> Router {
    Router::new()
        .route("/v1/carts/{id}", get(carts::get_cart).delete(carts::clear))
        .route("/v1/carts/{id}/items", post(carts::add))
        .route(
            "/v1/carts/{id}/items/{sku}",
            put(carts::set).delete(carts::remove),
        )
        .route("/v1/carts/{id}/merge", post(carts::merge))
        .route("/v1/carts/{id}/explain", get(carts::explain))
        .route("/v1/status", get(status::status))
        .route("/v1/digest", get(digest::digest))
        .route("/v1/digest/keys", get(digest::keys))
        .route("/v1/digest/key", get(digest::key))
        .route(
            "/v1/admin/peers/{region}",
            put(admin::put_peer).delete(admin::delete_peer),
        )
        .route("/v1/admin/forget/{region}", post(admin::forget))
        .route("/healthz", get(status::healthz))
        .route("/readyz", get(status::readyz))
        .route("/metrics", get(status::metrics))
        .route("/v1/admin/peers", get(admin::list_peers))
        .fallback(no_such_path)
        .method_not_allowed_fallback(method_not_allowed)
        .with_state(doors)
}

async fn no_such_path(State(doors): Shared, uri: axum::http::Uri) -> Response {
    let message = format!("there is no path {:?} here", uri.path());
    doors.failed(&Failure::new(kinds::NO_SUCH_PATH, message))
}

async fn method_not_allowed(
    State(doors): Shared,
    method: axum::http::Method,
    uri: axum::http::Uri,
) -> Response {
    let message = format!("{:?} does not take {method}", uri.path());
    doors.failed(&Failure::new(kinds::METHOD, message))
}

/// The names in a path; one that is no UTF-8 is refused as everything else is, in JSON.
struct Named<T>(T);

impl<T: DeserializeOwned + Send> FromRequestParts<Arc<Doors>> for Named<T> {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, doors: &Arc<Doors>) -> Result<Self, Response> {
        match Path::from_request_parts(parts, doors).await {
            Ok(Path(names)) => Ok(Named(names)),
            Err(error) => Err(doors.failed(&Failure::new(kinds::PARAMETER, error.body_text()))),
        }
    }
}

/// What a request says besides path and body.
fn call(headers: &HeaderMap) -> Result<Call, Failure> {
    let token = headers.get(SESSION).map(|v| {
        v.to_str()
            .map_err(|_| Failure::from(cartograph_proto::token::TokenError::Malformed))
    });
    let key = headers.get(IDEMPOTENCY_KEY).map(HeaderValue::as_bytes);
    Call::parse(key, token.transpose()?, None)
}

/// A JSON body. Only `application/json` is taken: a page of another origin then has to ask first.
async fn body<T: DeserializeOwned>(doors: &Doors, headers: &HeaderMap, body: Body) -> Result<T, Failure> {
    let kind = headers
        .get(CONTENT_TYPE)
        .and_then(|v| v.to_str().ok())
        .unwrap_or("");
    let kind = kind.split(';').next().unwrap_or("").trim();
    if !kind.eq_ignore_ascii_case("application/json") {
        let message = format!("the content type is {kind:?}: expected application/json");
        return Err(Failure::new(kinds::CONTENT_TYPE, message));
    }
    let limit = doors.config.limits.body_bytes_max;
    let within = doors.config.limits.request_timeout;
    let bytes = match tokio::time::timeout(within, to_bytes(body, limit)).await {
        Ok(Ok(bytes)) => bytes,
        Ok(Err(error)) if is_too_large(&error) => {
            let message = format!("the body has more than {limit} bytes");
            return Err(Failure::new(kinds::BODY_TOO_LARGE, message));
        }
        Ok(Err(_)) | Err(_) => return Err(Failure::new(kinds::BODY, "the body did not come whole")),
    };
    serde_json::from_slice(&bytes)
        .map_err(|e| Failure::new(kinds::BODY, format!("the body is not what is expected: {e}")))
}

fn is_too_large(error: &axum::Error) -> bool {
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        if error.to_string().contains("length limit exceeded") {
            return true;
        }
        source = error.source();
    }
    false
}

fn document(status: StatusCode, value: &impl Serialize) -> Response {
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static("application/json")),
        (CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    // Documents are maps of strings and numbers, which always have a form.
    let text = serde_json::to_string(value).unwrap_or_default();
    (status, headers, text).into_response()
}

impl Doors {
    /// Measures and answers.
    fn answer<T, D: Serialize>(
        &self,
        operation: &'static str,
        started: Duration,
        result: Result<Answered<T>, Failure>,
        show: impl FnOnce(T) -> D,
    ) -> Response {
        let took = clock::elapsed().saturating_sub(started);
        self.metrics.request("http", operation, took);
        match result {
            Ok(answered) => {
                let mut response = document(StatusCode::OK, &show(answered.value));
                let token = answered.token.and_then(|t| HeaderValue::from_str(&t).ok());
                if let Some(token) = token {
                    response.headers_mut().insert(SESSION, token);
                }
                response
            }
            Err(failure) => self.failed(&failure),
        }
    }

    fn failed(&self, failure: &Failure) -> Response {
        self.metrics.error("http", failure.kind.code);
        let error = json!({"error": {
            "code": failure.kind.code,
            "message": failure.message,
            "outcome": failure.outcome(),
        }});
        document(failure.kind.http, &error)
    }
}
