//! The stores: where a region's views, metadata, log and head live.
//!
//! A store does one thing that matters: it applies a [`Commit`](cartograph_replica::commit::Commit) whole or not at
//! all, in the order in which commits were handed to it, and only for the shard's present owner. Everything else is
//! reading. There are three of them, and one conformance suite that feeds them the same commits:
//!
//! - [`redis`]: a Redis or Valkey, 6.2 or later. Views are ordinary values in database 0; one script a commit.
//! - [`embedded`]: one file, no server, synced at each commit. For trying things, tests, and small regions.
//! - [`memory`]: plain methods on a value, for the simulator; its clock is injected and its whole state can be taken
//!   and put back (a crash, a rollback).
//!
//! The last two share [`kv`]: the same commit, loads and reads over any ordered map with transactions.
//!
//! # What a caller must guarantee
//! One owner per shard at a time hands in commits whose batch ids follow each other. A second owner is harmless (its
//! claim raises the fence, and the first one's commits are refused from then on), but it takes the shard over. Nodes of
//! one region agree by a lease on who is to claim: [`Store::lease`].

pub mod backoff;
pub mod embedded;
pub mod error;
pub mod hyperloglog;
pub mod kv;
pub mod launcher;
pub mod memory;
pub mod raw;
pub mod redis;
pub mod store;

pub use embedded::EmbeddedStore;
pub use error::Error;
pub use memory::{Clock, ManualClock, MemoryStore, SharedMemoryStore, SystemClock};
pub use raw::RawStore;
pub use redis::{RedisConfig, RedisStore};
pub use store::{BoxFuture, Durability, Holder, Lease, Read, ReadReply, Store, StoreInfo, StoreKind};
