//! The door for Redis clients.

pub(crate) mod commands;
