//! Every error that a client can see: its code, what HTTP and gRPC call it, and whether the write may have happened.
//!
//! One row of [`kinds`] a code; each has a page in docs/errors. Nothing else in the doors chooses a status.

use axum::http::StatusCode;
use cartograph_commerce::InputError;
use cartograph_engine::CommandError;
use cartograph_engine::api::RequestError;
use cartograph_proto::token::TokenError;
use tonic::Code;

use crate::driver::AskError;
use crate::peers::PeerError;

/// What a code means to the doors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Kind {
    /// `CG-NNNN`.
    pub(crate) code: &'static str,
    pub(crate) http: StatusCode,
    pub(crate) grpc: Code,
    /// May it be committed all the same?
    pub(crate) unknown: bool,
}

const fn definite(code: &'static str, http: StatusCode, grpc: Code) -> Kind {
    Kind {
        code,
        http,
        grpc,
        unknown: false,
    }
}

const fn unknown(code: &'static str, http: StatusCode, grpc: Code) -> Kind {
    Kind {
        code,
        http,
        grpc,
        unknown: true,
    }
}

/// All kinds.
pub(crate) mod kinds {
    use super::{Code, Kind, StatusCode, definite, unknown};

    pub(crate) const CART_ID: Kind = definite("CG-1001", StatusCode::BAD_REQUEST, Code::InvalidArgument);
    pub(crate) const SKU: Kind = definite("CG-1002", StatusCode::BAD_REQUEST, Code::InvalidArgument);
    pub(crate) const QUANTITY: Kind = definite("CG-1003", StatusCode::BAD_REQUEST, Code::InvalidArgument);
    pub(crate) const BODY: Kind = definite("CG-1004", StatusCode::BAD_REQUEST, Code::InvalidArgument);
    pub(crate) const BODY_TOO_LARGE: Kind =
        definite("CG-1005", StatusCode::PAYLOAD_TOO_LARGE, Code::InvalidArgument);
    pub(crate) const CONTENT_TYPE: Kind = definite(
        "CG-1006",
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        Code::InvalidArgument,
    );
    pub(crate) const NO_SUCH_PATH: Kind = definite("CG-1007", StatusCode::NOT_FOUND, Code::Unimplemented);
    pub(crate) const METHOD: Kind = definite("CG-1008", StatusCode::METHOD_NOT_ALLOWED, Code::Unimplemented);
    pub(crate) const IDEMPOTENCY_KEY: Kind =
        definite("CG-1009", StatusCode::BAD_REQUEST, Code::InvalidArgument);
    pub(crate) const SESSION_TOKEN: Kind =
        definite("CG-1010", StatusCode::BAD_REQUEST, Code::InvalidArgument);
    pub(crate) const PARAMETER: Kind = definite("CG-1011", StatusCode::BAD_REQUEST, Code::InvalidArgument);
    pub(crate) const OPERATION: Kind = definite("CG-1012", StatusCode::BAD_REQUEST, Code::InvalidArgument);
    pub(crate) const PEER: Kind = definite("CG-1013", StatusCode::BAD_REQUEST, Code::InvalidArgument);
    pub(crate) const NO_SUCH_PEER: Kind = definite("CG-1014", StatusCode::NOT_FOUND, Code::NotFound);

    pub(crate) const WRONG_TYPE: Kind = definite("CG-2001", StatusCode::CONFLICT, Code::FailedPrecondition);
    pub(crate) const NOT_A_NUMBER: Kind = definite("CG-2002", StatusCode::CONFLICT, Code::FailedPrecondition);
    pub(crate) const OVERFLOW: Kind = definite("CG-2003", StatusCode::CONFLICT, Code::OutOfRange);
    pub(crate) const SATURATED: Kind = definite("CG-2004", StatusCode::CONFLICT, Code::OutOfRange);
    pub(crate) const NO_SUCH_KEY: Kind = definite("CG-2005", StatusCode::NOT_FOUND, Code::NotFound);
    pub(crate) const ARGUMENT: Kind = definite("CG-2006", StatusCode::BAD_REQUEST, Code::InvalidArgument);
    pub(crate) const RESERVED_KEY: Kind = definite("CG-2007", StatusCode::BAD_REQUEST, Code::InvalidArgument);
    pub(crate) const TOO_LARGE: Kind =
        definite("CG-2008", StatusCode::PAYLOAD_TOO_LARGE, Code::InvalidArgument);
    pub(crate) const CART_FULL: Kind = definite("CG-2009", StatusCode::CONFLICT, Code::FailedPrecondition);
    pub(crate) const IDEMPOTENCY_MISMATCH: Kind =
        definite("CG-2010", StatusCode::CONFLICT, Code::FailedPrecondition);
    pub(crate) const DOMAIN: Kind = definite("CG-2011", StatusCode::CONFLICT, Code::FailedPrecondition);

    pub(crate) const NOT_READY: Kind =
        definite("CG-3001", StatusCode::SERVICE_UNAVAILABLE, Code::Unavailable);
    pub(crate) const OVERLOADED: Kind =
        definite("CG-3002", StatusCode::TOO_MANY_REQUESTS, Code::ResourceExhausted);
    pub(crate) const STORE_REFUSES: Kind =
        definite("CG-3003", StatusCode::SERVICE_UNAVAILABLE, Code::Unavailable);
    pub(crate) const STORE_UNREACHABLE: Kind =
        definite("CG-3004", StatusCode::SERVICE_UNAVAILABLE, Code::Unavailable);
    pub(crate) const DAMAGED: Kind = definite("CG-3005", StatusCode::INTERNAL_SERVER_ERROR, Code::DataLoss);
    pub(crate) const SESSION_BEHIND: Kind =
        definite("CG-3006", StatusCode::GATEWAY_TIMEOUT, Code::DeadlineExceeded);
    pub(crate) const NOT_TAKEN: Kind =
        definite("CG-3007", StatusCode::SERVICE_UNAVAILABLE, Code::Unavailable);
    pub(crate) const TOO_MUCH: Kind = definite(
        "CG-3008",
        StatusCode::SERVICE_UNAVAILABLE,
        Code::ResourceExhausted,
    );

    pub(crate) const NOT_FOR_CLIENTS: Kind =
        definite("CG-5001", StatusCode::NOT_IMPLEMENTED, Code::Unimplemented);
    pub(crate) const NOT_SUPPORTED: Kind =
        definite("CG-5002", StatusCode::NOT_IMPLEMENTED, Code::Unimplemented);
    pub(crate) const NOT_REPLICATED: Kind =
        definite("CG-5003", StatusCode::NOT_IMPLEMENTED, Code::Unimplemented);
    pub(crate) const FLUSH_OFF: Kind = definite("CG-5004", StatusCode::FORBIDDEN, Code::PermissionDenied);

    pub(crate) const LATE: Kind = unknown("CG-4001", StatusCode::GATEWAY_TIMEOUT, Code::DeadlineExceeded);
    pub(crate) const STOPPED: Kind = unknown("CG-4002", StatusCode::SERVICE_UNAVAILABLE, Code::Unavailable);
    pub(crate) const TAKEN_OVER: Kind =
        unknown("CG-4003", StatusCode::SERVICE_UNAVAILABLE, Code::Unavailable);
}

/// An error as a door answers it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) kind: Kind,
    pub(crate) message: String,
}

impl Failure {
    pub(crate) fn new(kind: Kind, message: impl Into<String>) -> Self {
        Failure {
            kind,
            message: message.into(),
        }
    }

    /// `definite` or `unknown`.
    pub(crate) fn outcome(&self) -> &'static str {
        if self.kind.unknown { "unknown" } else { "definite" }
    }
}

fn of_command(error: &CommandError) -> Kind {
    match error {
        CommandError::WrongType
        | CommandError::NotAHyperLogLog
        | CommandError::HyperLogLogAsString
        | CommandError::LcsNotStrings => kinds::WRONG_TYPE,
        CommandError::NotAnInteger
        | CommandError::HashNotAnInteger
        | CommandError::NotAFloat
        | CommandError::HashNotAFloat => kinds::NOT_A_NUMBER,
        CommandError::Overflow | CommandError::NanOrInfinity | CommandError::ScoreNotANumber => {
            kinds::OVERFLOW
        }
        CommandError::Saturated => kinds::SATURATED,
        CommandError::NoSuchKey => kinds::NO_SUCH_KEY,
        CommandError::IncrementNotFinite
        | CommandError::ValueNotFinite
        | CommandError::SameObject
        | CommandError::Syntax
        | CommandError::IncompatibleFlags
        | CommandError::InvalidExpire { .. }
        | CommandError::BitOffset
        | CommandError::NoSuchPlace
        | CommandError::Redis(_)
        | CommandError::EmptyHyperLogLog => kinds::ARGUMENT,
        CommandError::ReservedKey => kinds::RESERVED_KEY,
        CommandError::StringTooLong
        | CommandError::EntryTooLarge { .. }
        | CommandError::LcsTooLong
        | CommandError::TooManyRepeats => kinds::TOO_LARGE,
        CommandError::Domain { code, .. } => match *code {
            "cart_full" => kinds::CART_FULL,
            "not_a_quantity" => kinds::NOT_A_NUMBER,
            _ => kinds::DOMAIN,
        },
    }
}

/// The code of an operation that a transaction refused.
pub(crate) fn code_of(error: &CommandError) -> &'static str {
    of_command(error).code
}

impl From<CommandError> for Failure {
    fn from(error: CommandError) -> Self {
        let kind = of_command(&error);
        let text = error.to_string();
        // Redis's prefix is for RESP; the code says more.
        let message = text.strip_prefix("ERR ").unwrap_or(&text);
        Failure::new(kind, message)
    }
}

impl From<RequestError> for Failure {
    fn from(error: RequestError) -> Self {
        let kind = match &error {
            RequestError::Refused(refused) => return refused.clone().into(),
            RequestError::NotReady { .. } => kinds::NOT_READY,
            RequestError::Overloaded { .. } => kinds::OVERLOADED,
            RequestError::StoreRefused { .. } => kinds::STORE_REFUSES,
            RequestError::Damaged { .. } => kinds::DAMAGED,
            RequestError::Unknown => kinds::TAKEN_OVER,
            RequestError::IdempotencyMismatch => kinds::IDEMPOTENCY_MISMATCH,
            // Only the RESP door watches, and it answers as EXEC does.
            RequestError::WatchFailed => kinds::ARGUMENT,
        };
        Failure::new(kind, error.to_string())
    }
}

impl From<AskError> for Failure {
    fn from(error: AskError) -> Self {
        let kind = match error {
            AskError::Refused(refused) => return refused.into(),
            AskError::Late(_) => kinds::LATE,
            AskError::NotTaken(_) => kinds::NOT_TAKEN,
            AskError::Stopped => kinds::STOPPED,
        };
        Failure::new(kind, error.to_string())
    }
}

impl From<InputError> for Failure {
    fn from(error: InputError) -> Self {
        let kind = match error.code() {
            "invalid_sku" => kinds::SKU,
            "invalid_cart_id" => kinds::CART_ID,
            _ => kinds::QUANTITY,
        };
        Failure::new(kind, error.to_string())
    }
}

impl From<TokenError> for Failure {
    fn from(error: TokenError) -> Self {
        Failure::new(kinds::SESSION_TOKEN, error.to_string())
    }
}

impl From<PeerError> for Failure {
    fn from(error: PeerError) -> Self {
        Failure::new(kinds::PEER, error.to_string())
    }
}

impl From<cartograph_store::Error> for Failure {
    fn from(error: cartograph_store::Error) -> Self {
        match error {
            cartograph_store::Error::WrongType { reason } => Failure::new(kinds::WRONG_TYPE, reason),
            cartograph_store::Error::Damaged { .. } => Failure::new(kinds::DAMAGED, error.to_string()),
            cartograph_store::Error::Unavailable { .. }
            | cartograph_store::Error::Loading { .. }
            | cartograph_store::Error::Address { .. }
            | cartograph_store::Error::Evicting { .. }
            | cartograph_store::Error::ReadOnlyReplica { .. }
            | cartograph_store::Error::VersionTooOld { .. }
            | cartograph_store::Error::ClusterMode { .. }
            | cartograph_store::Error::Authentication { .. }
            | cartograph_store::Error::NoPermission { .. }
            | cartograph_store::Error::MetadataDatabase { .. }
            | cartograph_store::Error::Durability { .. }
            | cartograph_store::Error::Refused { .. }
            | cartograph_store::Error::Unexpected { .. }
            | cartograph_store::Error::ForeignFile { .. }
            | cartograph_store::Error::InUse { .. }
            | cartograph_store::Error::Standby { .. }
            | cartograph_store::Error::Disk { .. } => {
                Failure::new(kinds::STORE_UNREACHABLE, error.to_string())
            }
        }
    }
}

impl From<Failure> for tonic::Status {
    fn from(failure: Failure) -> Self {
        let message = format!("{}: {}", failure.kind.code, failure.message);
        let mut status = tonic::Status::new(failure.kind.grpc, message);
        let outcome = tonic::metadata::MetadataValue::from_static(failure.outcome());
        status.metadata_mut().insert("cartograph-outcome", outcome);
        status
    }
}
