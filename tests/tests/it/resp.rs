//! The door for Redis clients, from outside: real regions, real sockets, foreign clients.

mod client;
mod clients;
mod connections;
mod hostile;
mod local;
mod vectors;
