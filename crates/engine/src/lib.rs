//! engine

pub mod number;
