//! A seeded simulator of whole clusters.
//!
//! It runs the production code of `crdt`, `replica`, `engine`, `commerce` and the memory store, with the real bytes
//! between regions, under a virtual clock and one seed: the same seed gives the same run, to the last event. Faults
//! are injected between any two steps: links cut in one direction or both, slow, lossy and disorderly ones, nodes
//! crashed with commits in flight, stores rolled back, shortened or wiped, clocks skewed and stepped, regions joining
//! and leaving.
//!
//! | module | what it is |
//! |---|---|
//! | [`world`] | the mechanism: regions, links, virtual time; and a witness that looks at every commit and message |
//! | [`model`] | the oracle: the plain history, and what docs/semantics.md makes of it over happens-before |
//! | [`plan`], [`steps`] | what a history may contain, and the history that a seed draws |
//! | [`history`] | plays a history, and checks what must hold |
//! | [`feed`] | damaged bytes for everything that reads bytes from outside |
//! | [`shrink`] | finds the shortest part of a failing history that still fails |
//!
//! Each world has one shard: `cluster.shards` is 1 until shards can be split.

pub mod chance;
mod checks;
pub mod feed;
pub mod history;
pub mod model;
pub mod plan;
pub mod shrink;
pub mod steps;
pub mod world;
