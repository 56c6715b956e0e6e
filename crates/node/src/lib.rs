//! A region's node: everything around the pure core that has to do with the world.
//!
//! Tasks, sockets, clocks, entropy and configuration live here and nowhere else. A request comes in by a door ([`http`
//! and `grpc`](node)), is checked and given to the shard's one task ([`driver`]), which keeps the sans-IO machine
//! supplied: commits and loads go to the store, messages to the links between regions ([`peers`]). Start reading at
//! [`node`].
//!
//! Nothing is sent to a peer or acknowledged to a client that is not committed in this region; a request past its
//! deadline is answered *unknown* if the shard had it.

mod backoff;
pub mod clock;
pub mod config;
mod content;
mod digest;
mod doors;
pub mod driver;
mod grpc;
mod http;
mod lease;
mod log;
pub mod metrics;
pub mod node;
pub mod peers;
mod resp;
mod scrub;
pub mod seed;
#[cfg(feature = "testkit")]
pub mod testkit;
pub mod tls;

pub use config::Config;
pub use node::{Node, NodeError, run};
