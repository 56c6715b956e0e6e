//! A region's node.
pub mod config;
