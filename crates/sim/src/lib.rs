//! A seeded simulator of whole clusters.
//!
//! It runs the production code of `crdt`, `replica`, `engine` and the memory store, with the real bytes between
//! regions, under a virtual clock and one seed: the same seed gives the same run, to the last event. Faults are
//! injected between any two steps: links cut in one direction or both, messages delayed, nodes crashed with commits
//! in flight, stores rolled back or wiped, clocks skewed.
//!
//! [`world::World`] is the mechanism; [`history`] plays random histories on it and checks what must hold.

pub mod chance;
mod checks;
mod faults;
pub mod history;
pub mod world;
