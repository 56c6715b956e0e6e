//! Nodes in this process, on real sockets: doors, links between regions, certificates, start and stop.

#[cfg(test)]
mod certificates;
#[cfg(test)]
mod grpc;
#[cfg(test)]
mod http;
#[cfg(test)]
mod regions;
#[cfg(test)]
mod support;
