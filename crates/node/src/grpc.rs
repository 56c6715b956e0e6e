//! The gRPC door: carts, keys, Online Boutique's cart service, health and reflection. Regions come in elsewhere
//! ([`crate::peers::accept`]).

mod boutique;
mod carts;
mod keys;

use std::sync::Arc;
use std::time::Duration;

use cartograph_proto::DESCRIPTORS;
use cartograph_proto::hipstershop::cart_service_server::CartServiceServer as BoutiqueServer;
use cartograph_proto::v1::cart_service_server::CartServiceServer;
use cartograph_proto::v1::key_service_server::KeyServiceServer;
use tonic::metadata::MetadataMap;
use tonic::service::Routes;
use tonic::{Response, Status};
use tonic_health::ServingStatus;
use tonic_health::server::{HealthReporter, health_reporter};

use crate::clock;
use crate::doors::failure::{Failure, kinds};
use crate::doors::{Answered, Call, Doors};

/// The largest message that clients may send, in bytes.
const MESSAGE_BYTES_MAX: usize = 8 << 20;

/// How often readiness is told to health watchers.
const HEALTH_EVERY: Duration = Duration::from_millis(200);

/// A failure to build the reflection service from our own descriptors.
#[derive(Debug, thiserror::Error)]
#[error("the descriptors cannot be served: {0}")]
pub struct ReflectionError(#[from] tonic_reflection::server::Error);

/// All services of the door, and the task that keeps health up to date.
pub(crate) fn services(doors: &Arc<Doors>) -> Result<(Routes, tokio::task::JoinHandle<()>), ReflectionError> {
    let door = || Door(Arc::clone(doors));
    let (reporter, health) = health_reporter();
    let v1 = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1()?;
    let v1alpha = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1alpha()?;
    let mut routes = Routes::builder();
    routes
        .add_service(CartServiceServer::new(door()).max_decoding_message_size(MESSAGE_BYTES_MAX))
        .add_service(KeyServiceServer::new(door()).max_decoding_message_size(MESSAGE_BYTES_MAX))
        .add_service(BoutiqueServer::new(door()).max_decoding_message_size(MESSAGE_BYTES_MAX))
        .add_service(health)
        .add_service(v1)
        .add_service(v1alpha);
    let watch = tokio::spawn(keep_health(reporter, Arc::clone(doors)));
    Ok((routes.routes(), watch))
}

/// Tells `""` and each service SERVING while the node takes writes.
async fn keep_health(reporter: HealthReporter, doors: Arc<Doors>) {
    let mut told = None;
    loop {
        let ready = doors.why_not_ready().await.is_none();
        if told != Some(ready) {
            let status = if ready {
                ServingStatus::Serving
            } else {
                ServingStatus::NotServing
            };
            for service in [
                "",
                "cartograph.v1.CartService",
                "cartograph.v1.KeyService",
                "hipstershop.CartService",
            ] {
                reporter.set_service_status(service, status).await;
            }
            told = Some(ready);
        }
        tokio::time::sleep(HEALTH_EVERY).await;
    }
}

/// What the services are implemented on.
#[derive(Clone)]
struct Door(Arc<Doors>);

/// What a call says besides its message.
fn call(metadata: &MetadataMap) -> Result<Call, Failure> {
    let token = metadata.get("cartograph-session").map(|v| {
        v.to_str()
            .map_err(|_| Failure::from(cartograph_proto::token::TokenError::Malformed))
    });
    let key = metadata
        .get("idempotency-key")
        .map(tonic::metadata::MetadataValue::as_bytes);
    let timeout = metadata.get("grpc-timeout").and_then(|v| v.to_str().ok());
    let timeout = timeout.map(|text| {
        parse_timeout(text)
            .ok_or_else(|| Failure::new(kinds::PARAMETER, format!("grpc-timeout: found {text:?}")))
    });
    Call::parse(key, token.transpose()?, timeout.transpose()?)
}

/// `grpc-timeout`: at most 8 digits and a unit.
fn parse_timeout(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.len() > 8 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let n: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(n * 3_600),
        "M" => Duration::from_secs(n * 60),
        "S" => Duration::from_secs(n),
        "m" => Duration::from_millis(n),
        "u" => Duration::from_micros(n),
        "n" => Duration::from_nanos(n),
        _ => return None,
    })
}

impl Door {
    /// Measures and answers.
    fn answer<T, U>(
        &self,
        operation: &'static str,
        started: Duration,
        result: Result<Answered<T>, Failure>,
        show: impl FnOnce(T) -> U,
    ) -> Result<Response<U>, Status> {
        let metrics = &self.0.metrics;
        metrics.request("grpc", operation, clock::elapsed().saturating_sub(started));
        match result {
            Ok(answered) => {
                let mut response = Response::new(show(answered.value));
                if let Some(token) = answered.token.and_then(|t| t.parse().ok()) {
                    response.metadata_mut().insert("cartograph-session", token);
                }
                Ok(response)
            }
            Err(failure) => {
                metrics.error("grpc", failure.kind.code);
                Err(failure.into())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_are_read_as_grpc_writes_them() {
        assert_eq!(parse_timeout("250m"), Some(Duration::from_millis(250)));
        assert_eq!(parse_timeout("99999999H"), Some(Duration::from_hours(99_999_999)));
        for text in ["", "m", "123456789m", "5x", "-5S", "5 S", "é"] {
            assert_eq!(parse_timeout(text).filter(|d| !d.is_zero()), None, "{text:?}");
        }
    }
}
