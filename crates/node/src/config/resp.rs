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

impl Resp {
    /// May strangers reach it? It asks everybody who he is, and nobody can listen in.
    pub(super) fn is_guarded(&self) -> bool {
        self.tls.is_some() && self.users_file.is_some()
    }
}

/// What carts are kept under: always replicated.
const CARTS: &[u8] = b"cart:";

/// The longest key prefix of a class, in bytes.
const PREFIX_BYTES_MAX: usize = 256;

/// The most classes: each is an argument of the user as which commands are passed on.
const CLASSES_MAX: usize = 64;

/// Reads `[resp]`.
pub(super) fn read(source: &mut Source) -> Option<Resp> {
    let listen = source.address("resp.listen", "127.0.0.1:7201");
    let tls = tls(source);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = source.integer("resp.threads", 1..=256, Some(cores.min(256)));
    let clients_max = source.integer("resp.clients_max", 1..=1_000_000, Some(20_000));
    let idle = source.integer("resp.idle_timeout_seconds", 0..=31_536_000_u64, Some(0));
    let bulk = source.integer("resp.bulk_bytes_max", 65_536..=512 << 20, Some(512 << 20));
    let query = source.integer("resp.query_bytes_max", 1 << 20..=8 << 30, Some(1 << 30));
    let output = source.integer("resp.output_bytes_max", 1 << 20..=64 << 30, Some(256 << 20));
    let users_file = source.path("resp.users_file");
    let audit_file = source.path("resp.audit_file");
    let local_prefixes = classes(source);
    let (bulk_bytes_max, query_bytes_max) = (bulk?, query?);
    if bulk_bytes_max > query_bytes_max {
        let expected = format!("at least resp.bulk_bytes_max ({bulk_bytes_max})");
        source.problem("resp.query_bytes_max", &query_bytes_max.to_string(), &expected);
    }
    Some(Resp {
        listen: listen?,
        tls,
        threads: threads?,
        clients_max: clients_max?,
        idle_timeout: Some(idle?).filter(|s| *s > 0).map(Duration::from_secs),
        bulk_bytes_max,
        query_bytes_max,
        output_bytes_max: output?,
        users_file,
        audit_file,
        local_prefixes,
    })
}

fn tls(source: &mut Source) -> Option<ServerTls> {
    let (cert, key) = (source.path("resp.tls.cert"), source.path("resp.tls.key"));
    let client_ca = source.path("resp.tls.client_ca");
    match (cert, key) {
        (Some(cert), Some(key)) => Some(ServerTls { cert, key, client_ca }),
        (None, None) if client_ca.is_none() => None,
        _ => {
            source.problem(
                "resp.tls",
                "only a part of it",
                "cert and key together, or neither",
            );
            None
        }
    }
}

/// Prefixes of the class `local`. A class `replicated` may be written down; it is what every other key is anyway.
fn classes(source: &mut Source) -> Vec<Vec<u8>> {
    let mut local = Vec::new();
    let entries = source.tables("resp.classes", "prefix", "class");
    if entries.len() > CLASSES_MAX {
        let expected = format!("at most {CLASSES_MAX}");
        source.problem("resp.classes", &entries.len().to_string(), &expected);
    }
    for (place, entry) in entries {
        let Some(mut entry) = entry else { continue };
        let prefix = entry.text("prefix");
        let prefix = entry.required("prefix", prefix, "the first letters of keys");
        let is_local = entry.word("class", &[("local", true), ("replicated", false)], None);
        if let Some(prefix) = &prefix {
            check_prefix(&mut entry, prefix, is_local, &local);
        }
        let (problems, _) = entry.finish();
        source.nest(&place, problems);
        if let (Some(prefix), Some(true)) = (prefix, is_local) {
            local.push(prefix.into_bytes());
        }
    }
    local
}

fn check_prefix(entry: &mut Source, prefix: &str, is_local: Option<bool>, local: &[Vec<u8>]) {
    let bytes = prefix.as_bytes();
    if bytes.len() > PREFIX_BYTES_MAX || bytes.iter().any(u8::is_ascii_control) {
        let expected = format!("1 to {PREFIX_BYTES_MAX} bytes without control characters");
        entry.problem("prefix", &format!("{prefix:?}"), &expected);
    }
    match is_local {
        Some(true) if CARTS.starts_with(bytes) || bytes.starts_with(CARTS) => {
            entry.problem(
                "prefix",
                &format!("{prefix:?}"),
                "keys that are no carts: those are always replicated",
            );
        }
        Some(false) if local.iter().any(|l| bytes.starts_with(l)) => {
            entry.problem(
                "prefix",
                &format!("{prefix:?}"),
                "keys outside of the prefixes that are `local`: there are no exceptions from one",
            );
        }
        Some(true | false) | None => {}
    }
}
