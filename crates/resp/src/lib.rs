//! Redis's wire protocol, RESP2 and RESP3, as plain functions over buffers.
//!
//! Everything here takes bytes and gives values: no sockets, no tasks, no clock. Three readers, each incremental (what
//! has been scanned is never scanned again) and bounded (a declared length never makes anything allocate):
//!
//! - [`request`]: a client's commands, as the door reads them, with the very bytes kept for passing them on;
//! - [`frame`]: a server's replies cut apart, undecoded, as a pool needs them;
//! - [`value`]: a reply as a tree, written as Redis 7 writes it in either version of the protocol, and read back.
//!
//! What is wrong with bytes is one [`ProtocolError`], whose text is Redis's own where Redis has one.

pub mod error;
pub mod frame;
mod inline;
mod number;
pub mod request;
pub mod table;
pub mod value;

pub use error::ProtocolError;
pub use frame::Delimiter;
pub use number::double_digits;
pub use request::{Limits, Parser, Request, encode_command};
pub use value::{Protocol, Value};
