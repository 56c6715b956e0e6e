//! `[resp]`: the door for Redis clients.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::{ServerTls, Source};

/// `[resp]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resp {
    /// `resp.listen`. Default `127.0.0.1:7201`.
    pub listen: SocketAddr,
    /// `resp.tls.cert`, `resp.tls.key`, `resp.tls.client_ca`: TLS for clients, and whose certificates they need.
    pub tls: Option<ServerTls>,
    /// `resp.threads`: threads that serve clients, each with connections of its own to Redis. Default: one a core.
    pub threads: usize,
    /// `resp.clients_max`: open client connections; more are refused in Redis's words. Default 20,000.
    pub clients_max: usize,
    /// `resp.idle_timeout_seconds`: a client that says nothing for so long is let go; 0 for never. Default 0.
    pub idle_timeout: Option<Duration>,
    /// `resp.bulk_bytes_max`: the longest argument. Default 512 MiB, as Redis.
    pub bulk_bytes_max: usize,
    /// `resp.query_bytes_max`: bytes of one client's command while it arrives, and of what it has sent ahead. Default
    /// 1 GiB, as Redis.
    pub query_bytes_max: usize,
    /// `resp.output_bytes_max`: replies that one client has not fetched; a client beyond it is let go. Default 256 MiB.
    pub output_bytes_max: usize,
    /// `resp.users_file`: users, their password hashes and rights. Without one, anybody may do everything.
    pub users_file: Option<PathBuf>,
    /// `resp.audit_file`: administrators' commands are logged there, too, one JSON object a line.
    pub audit_file: Option<PathBuf>,
    /// `[[resp.classes]]` with `class = "local"`: key prefixes that are passed to this region's Redis as they are, and
    /// not replicated.
    pub local_prefixes: Vec<Vec<u8>>,
}

/// Reads `[resp]`.
pub(super) fn read(source: &mut Source) -> Option<Resp> {
    let listen = source.address("resp.listen", "127.0.0.1:7201");
    Some(Resp {
        listen: listen?,
        tls: None,
        threads: std::thread::available_parallelism().map_or(1, usize::from),
        clients_max: 20_000,
        idle_timeout: None,
        bulk_bytes_max: 512 << 20,
        query_bytes_max: 1 << 30,
        output_bytes_max: 256 << 20,
        users_file: None,
        audit_file: None,
        local_prefixes: Vec::new(),
    })
}
