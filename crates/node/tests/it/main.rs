//! Nodes in this process, on real sockets: doors, links between regions, certificates, start and stop.

mod certificates;
mod grpc;
mod http;
mod regions;
mod support;
