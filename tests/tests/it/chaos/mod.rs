//! `cartograph chaos` from outside: short runs with a verdict, a page that a real browser draws, and Maelstrom's protocol.
//!
//! Short on purpose: each run here takes some ten seconds. The long ones are commands (docs/operating/chaos.md).

mod browser;
mod maelstrom;
mod runs;
