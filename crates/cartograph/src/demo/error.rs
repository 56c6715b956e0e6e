//! One error for everything that the control API can refuse or fail at.
//!
//! It carries what a client needs: the status, a code that a script can branch on, and a sentence that says what was being
//! done, what was expected and what to do. At start-up the same errors end the demo.

use std::fmt;

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

/// A refusal or failure, as the control API shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Error {
    /// The HTTP status.
    pub(crate) status: StatusCode,
    /// Lower-case words with underscores; stable.
    pub(crate) code: &'static str,
    /// For people.
    pub(crate) message: String,
}

/// What most of the demo's functions return.
pub(crate) type Result<T> = std::result::Result<T, Error>;

impl Error {
    fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
        }
    }

    /// The request makes no sense; nothing changed.
    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_request", message)
    }

    /// The request comes from where it must not; nothing changed.
    pub(crate) fn forbidden(message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", message)
    }

    /// A write that is not declared as JSON; nothing changed.
    pub(crate) fn not_json(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "not_json", message)
    }

    /// A body past its bound; nothing changed.
    pub(crate) fn too_large(message: impl Into<String>) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", message)
    }

    /// What was named does not exist; nothing changed.
    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", message)
    }

    /// The method is not one of the path's.
    pub(crate) fn method_not_allowed(message: impl Into<String>) -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", message)
    }

    /// The request does not fit the present state; nothing changed.
    pub(crate) fn conflict(message: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "conflict", message)
    }

    /// A port that is needed is taken; nothing changed.
    pub(crate) fn port_in_use(message: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "port_in_use", message)
    }

    /// The demo is stopping.
    pub(crate) fn stopping() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "stopping",
            "the demo is stopping",
        )
    }

    /// A process was started but does not serve yet; it is left running.
    pub(crate) fn not_ready(message: impl Into<String>) -> Self {
        Self::new(StatusCode::GATEWAY_TIMEOUT, "not_ready", message)
    }

    /// A process ended, a file could not be written, and the like.
    pub(crate) fn failed(message: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "failed", message)
    }

    /// [`Error::failed`] for an input or output error: `doing` says what was being done.
    pub(crate) fn io(doing: impl fmt::Display, error: &std::io::Error) -> Self {
        Self::failed(format!("{doing}: {error}"))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let body = serde_json::json!({"error": {"code": self.code, "message": self.message}});
        (self.status, Json(body)).into_response()
    }
}
