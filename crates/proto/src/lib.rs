//! The wire contract: what `proto/` says, as Rust, and checked conversions.
//!
//! Generated code decodes anything that is well-formed protobuf; whether it *means* anything is decided here and in the
//! doors. [`wire`] is the trust boundary between regions: it turns frames into the exchange's messages, bounded before
//! it allocates and validated before anything is used. [`token`] is the session token that clients carry from region
//! to region.

pub mod token;
pub mod wire;

/// Carts, keys and the exchange between regions: `cartograph.v1`.
#[expect(
    missing_docs,
    clippy::pedantic,
    clippy::allow_attributes_without_reason,
    reason = "generated from proto/cartograph/v1, which carries the documentation"
)]
pub mod v1 {
    tonic::include_proto!("cartograph.v1");
}

/// The cart service of Google's Online Boutique: `hipstershop`.
#[expect(
    clippy::pedantic,
    clippy::allow_attributes_without_reason,
    reason = "generated from proto/hipstershop, which carries the documentation"
)]
pub mod hipstershop {
    tonic::include_proto!("hipstershop");
}

/// Descriptors of everything in `proto/`, encoded, for gRPC reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
