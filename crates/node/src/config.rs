//! What a node is told: a TOML file, then the environment, which wins.
//!
//! Every key has an environment variable: `CARTOGRAPH_` and the key in capitals, a dot as an underscore
//! (`store.metadata_db` is `CARTOGRAPH_STORE_METADATA_DB`). Peers come as one variable,
//! `CARTOGRAPH_PEERS=NAME=ID@ADDRESS,...`. A key that does not exist is refused by name, and so is each value that is
//! out of range: all at once, so that one look at the message is enough. An unknown variable is only reported, because
//! Kubernetes sets some of its own for a service called `cartograph`.

mod read;
mod resp;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use cartograph_crdt::RegionId;

use read::Source;
pub use read::{ConfigError, Problem};
pub use resp::Resp;

/// Everything a node is told.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// `[region]`: which place this is.
    pub region: Region,
    /// `[cluster]`: what it belongs to.
    pub cluster: Cluster,
    /// `[http]`: the JSON door.
    pub http: Http,
    /// `[grpc]`: the gRPC door.
    pub grpc: Grpc,
    /// `[resp]`: the door for Redis clients.
    pub resp: Resp,
    /// `[peer]`: where other regions come in.
    pub peer: PeerDoor,
    /// `[store]`: where this region keeps its data.
    pub store: Store,
    /// `[[peers]]`: the other regions.
    pub peers: Vec<Peer>,
    /// `[carts]`.
    pub carts: Carts,
    /// `[log]`.
    pub log: Log,
    /// `[limits]`.
    pub limits: Limits,
    /// `insecure`: let doors listen beyond this machine without users and TLS. Default false.
    pub insecure: bool,
    /// Environment variables that begin like ours and name no key.
    pub unknown_variables: Vec<String>,
}

/// `[region]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Region {
    /// `region.name`: 1 to 63 letters, digits, `-`, `_` and `.`. Certificates of peers name it.
    pub name: String,
    /// `region.id`: 1 to 65,535, never used for another region, not even after this one is gone.
    pub id: RegionId,
}

/// `[cluster]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cluster {
    /// `cluster.name`: regions exchange only within one cluster. Default `cartograph`.
    pub name: String,
    /// `cluster.bootstrap`: an empty store takes writes although no peer has answered. Default: true without
    /// `[[peers]]`, false with some.
    pub bootstrap: bool,
    /// `cluster.shards`: how many parts the key space has. Only 1 for now.
    pub shards: u16,
}

/// `[http]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Http {
    /// `http.listen`: address and port; port 0 takes a free one. Default `127.0.0.1:7101`.
    pub listen: SocketAddr,
    /// `http.advertise`: where clients reach this node; a standby says it of the owner. Default: `http.listen`.
    pub advertise: Option<String>,
}

/// `[grpc]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grpc {
    /// `grpc.listen`: address and port; port 0 takes a free one. Default `127.0.0.1:7301`.
    pub listen: SocketAddr,
    /// `grpc.tls.cert`, `grpc.tls.key`: PEM files; both or neither.
    pub tls: Option<ServerTls>,
    /// `grpc.connection_age_seconds_max`: clients reconnect after this, so that they spread over nodes. Default 1,800.
    pub connection_age_max: Duration,
}

/// A server's certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerTls {
    /// Certificate chain, PEM.
    pub cert: PathBuf,
    /// Private key, PEM.
    pub key: PathBuf,
    /// `grpc.tls.client_ca`, `resp.tls.client_ca`: clients must show a certificate of this authority.
    pub client_ca: Option<PathBuf>,
}

/// `[peer]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerDoor {
    /// `peer.listen`: address and port for other regions; port 0 takes a free one. Default `127.0.0.1:7501`.
    pub listen: SocketAddr,
    /// `peer.advertise`: the address under which other regions reach it; shown in status. Default: none.
    pub advertise: Option<String>,
    /// `peer.tls.cert`, `peer.tls.key`, `peer.tls.ca`: PEM files; all three or none. Both sides of every link then
    /// show certificates of `ca` that name their region.
    pub tls: Option<MutualTls>,
    /// `peer.insecure`: lets it listen beyond this machine without `peer.tls`: whoever reaches it may write anything.
    /// Default false.
    pub insecure: bool,
}

impl PeerDoor {
    /// Do peers show certificates, or is it meant that they do not?
    fn is_guarded(&self) -> bool {
        self.tls.is_some() || self.insecure
    }
}

/// Certificates of links between regions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MutualTls {
    /// Certificate chain, PEM; it names `region.name` (a DNS name among the subject's alternative names).
    pub cert: PathBuf,
    /// Private key, PEM.
    pub key: PathBuf,
    /// The authority of every region's certificate, PEM.
    pub ca: PathBuf,
}

/// `[store]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Store {
    /// `store.kind` and what belongs to it.
    pub kind: StoreKind,
    /// `store.durability`: `process`, `disk` or `replica`. Default `process`; an embedded store always syncs.
    pub durability: cartograph_store::Durability,
    /// `store.appendfsync_always`: this Redis is set to `appendfsync always`, so that `disk` needs no WAITAOF. Default
    /// false. Declared, since nothing here depends on CONFIG.
    pub appendfsync_always: bool,
    /// `store.allow_flush`: FLUSHDB and FLUSHALL are taken. Default false.
    pub allow_flush: bool,
}

/// Which store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreKind {
    /// `redis`: a Redis or Valkey of this region's own.
    Redis {
        /// `store.url`: `redis://[USER:PASSWORD@]HOST:PORT`, `rediss://...` or `unix:///PATH`.
        url: String,
        /// `store.metadata_db`: the database reserved for metadata. Default 15.
        metadata_db: u16,
    },
    /// `embedded`: a file in this process.
    Embedded {
        /// `store.path`: the directory for it.
        path: PathBuf,
    },
    /// `memory`: gone when the process ends; for tests.
    Memory,
}

/// One of `[[peers]]`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Peer {
    /// `region`: its name.
    pub region: String,
    /// `id`: its id.
    pub id: RegionId,
    /// `address`: `http://HOST:PORT`, or `https://HOST:PORT` with `peer.tls`.
    pub address: String,
}

/// `[carts]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Carts {
    /// `carts.ttl_seconds`: a cart lives so long after its last change. Default 30 days.
    pub ttl: Duration,
    /// `carts.lines_max`: lines a cart may have. Default 1,000.
    pub lines_max: usize,
}

/// `[log]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// `log.format`: `text` or `json`. Default `text`.
    pub format: LogFormat,
    /// `log.level`: `error`, `warn`, `info`, `debug`, `trace`, or directives such as `info,cartograph_node=debug`.
    /// Default `info`.
    pub level: String,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// `[limits]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// `limits.queue_requests_max`: requests that wait for a shard; more are refused. Default 8,192.
    pub queue_requests_max: usize,
    /// `limits.request_timeout_ms`: a request that is not answered by then is answered *unknown*. Default 5,000.
    pub request_timeout: Duration,
    /// `limits.session_wait_ms`: how long a request waits for what its session token has seen. Default 2,000.
    pub session_wait: Duration,
    /// `limits.body_bytes_max`: the largest HTTP body. Default 65,536.
    pub body_bytes_max: usize,
    /// `limits.connections_max`: open HTTP connections. Default 4,096.
    pub connections_max: usize,
    /// `limits.log_bytes_max`: the log's cap: a region further behind catches up from a snapshot. Default 256 MiB.
    pub log_bytes_max: u64,
    /// `limits.cache_bytes_max`: rows kept in memory. Default 64 MiB.
    pub cache_bytes_max: usize,
    /// `limits.scrub_keys_per_second`: how fast views are compared with metadata; 0 for never. Default 100.
    pub scrub_keys_per_second: u32,
    /// `limits.peers_max`: regions that this node dials. Default 64.
    pub peers_max: usize,
    /// `limits.retire_after_ms`: how long after its end a life of the store stays named by vectors. Default 24 hours.
    pub retire_after_ms: u64,
}

impl Config {
    /// Reads the file at `path`, then the environment.
    ///
    /// # Errors
    /// See [`ConfigError`].
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Unreadable {
            path: path.to_owned(),
            source,
        })?;
        Config::parse(&text, std::env::vars())
    }

    /// Reads a configuration from a text and an environment.
    ///
    /// # Errors
    /// See [`ConfigError`].
    pub fn parse(
        text: &str,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        let table = text
            .parse::<toml::Table>()
            .map_err(|e| ConfigError::Syntax(Box::new(e)))?;
        let variables: BTreeMap<_, _> = environment
            .into_iter()
            .filter(|(name, _)| name.starts_with("CARTOGRAPH_"))
            .collect();
        let mut source = Source::new(table, variables);
        let config = config(&mut source);
        let (problems, unknown_variables) = source.finish();
        match config {
            Some(config) if problems.is_empty() => Ok(Config {
                unknown_variables,
                ..config
            }),
            _ => Err(ConfigError::Invalid(problems)),
        }
    }
}

/// Takes every key before it gives up, so that all mistakes are found at once.
fn config(source: &mut Source) -> Option<Config> {
    let peers = peers(source);
    let insecure = source.flag("insecure", false);
    let region = region(source);
    let cluster = cluster(source, peers.is_empty());
    let http = source.address("http.listen", "127.0.0.1:7101");
    let http_advertise = source.text("http.advertise");
    let grpc = grpc(source);
    let resp = resp::read(source);
    let peer = peer_door(source);
    let store = store(source);
    let carts = carts(source);
    let log = log(source);
    let limits = limits(source);
    let config = Config {
        region: region?,
        cluster: cluster?,
        http: Http {
            listen: http?,
            advertise: http_advertise,
        },
        grpc: grpc?,
        resp: resp?,
        peer: peer?,
        store: store?,
        peers,
        carts: carts?,
        log: log?,
        limits: limits?,
        insecure,
        unknown_variables: Vec::new(),
    };
    check(&config, source);
    check_links(&config, source);
    Some(config)
}

fn cluster(source: &mut Source, alone: bool) -> Option<Cluster> {
    let name = source.name("cluster.name", Some("cartograph"));
    let bootstrap = source.flag("cluster.bootstrap", alone);
    let shards = source.integer("cluster.shards", 1..=1, Some(1));
    Some(Cluster {
        name: name?,
        bootstrap,
        shards: shards?,
    })
}

fn carts(source: &mut Source) -> Option<Carts> {
    let ttl = source.integer("carts.ttl_seconds", 1..=315_360_000, Some(30 * 86_400));
    let lines_max = source.integer("carts.lines_max", 1..=10_000, Some(1_000));
    Some(Carts {
        ttl: Duration::from_secs(ttl?),
        lines_max: lines_max?,
    })
}

fn log(source: &mut Source) -> Option<Log> {
    let formats = [("text", LogFormat::Text), ("json", LogFormat::Json)];
    let format = source.word("log.format", &formats, Some(LogFormat::Text));
    let level = source.text("log.level").unwrap_or_else(|| "info".to_owned());
    Some(Log {
        format: format?,
        level,
    })
}

fn region(source: &mut Source) -> Option<Region> {
    let name = source.name("region.name", None);
    let id = source.integer("region.id", 1..=u16::MAX, None);
    Some(Region {
        name: name?,
        id: RegionId(id?),
    })
}

fn grpc(source: &mut Source) -> Option<Grpc> {
    let (cert, key) = (source.path("grpc.tls.cert"), source.path("grpc.tls.key"));
    let client_ca = source.path("grpc.tls.client_ca");
    let tls = match (cert, key) {
        (Some(cert), Some(key)) => Some(ServerTls { cert, key, client_ca }),
        (None, None) if client_ca.is_none() => None,
        _ => {
            source.problem(
                "grpc.tls",
                "only a part of it",
                "cert and key together, or neither",
            );
            None
        }
    };
    let listen = source.address("grpc.listen", "127.0.0.1:7301");
    let age = source.integer("grpc.connection_age_seconds_max", 1..=86_400, Some(1_800));
    Some(Grpc {
        listen: listen?,
        tls,
        connection_age_max: Duration::from_secs(age?),
    })
}

fn peer_door(source: &mut Source) -> Option<PeerDoor> {
    let files = ["cert", "key", "ca"].map(|part| source.path(&format!("peer.tls.{part}")));
    let tls = match files {
        [Some(cert), Some(key), Some(ca)] => Some(MutualTls { cert, key, ca }),
        [None, None, None] => None,
        _ => {
            source.problem(
                "peer.tls",
                "only a part of it",
                "cert, key and ca, or none of them",
            );
            None
        }
    };
    let listen = source.address("peer.listen", "127.0.0.1:7501");
    let advertise = source.text("peer.advertise");
    let insecure = source.flag("peer.insecure", false);
    Some(PeerDoor {
        listen: listen?,
        advertise,
        insecure,
        tls,
    })
}

fn store(source: &mut Source) -> Option<Store> {
    #[derive(Clone, Copy)]
    enum Kind {
        Redis,
        Embedded,
        Memory,
    }
    let kinds = [
        ("redis", Kind::Redis),
        ("embedded", Kind::Embedded),
        ("memory", Kind::Memory),
    ];
    let kind = source.word("store.kind", &kinds, None);
    let url = source.text("store.url");
    let path = source.path("store.path");
    let metadata_db = source.integer("store.metadata_db", 1..=1_023, Some(15));
    let replicas = source.integer("store.replicas", 1..=16, Some(1_u16));
    let allow_flush = source.flag("store.allow_flush", false);
    let appendfsync_always = source.flag("store.appendfsync_always", false);
    let durabilities = [
        ("process", cartograph_store::Durability::Process),
        ("disk", cartograph_store::Durability::Disk),
        (
            "replica",
            cartograph_store::Durability::Replica {
                count: replicas.unwrap_or(1),
            },
        ),
    ];
    let durability = source.word(
        "store.durability",
        &durabilities,
        Some(cartograph_store::Durability::Process),
    );
    let kind = match kind? {
        Kind::Redis => StoreKind::Redis {
            url: source.required("store.url", url, "redis://HOST:PORT")?,
            metadata_db: metadata_db?,
        },
        Kind::Embedded => StoreKind::Embedded {
            path: source.required("store.path", path, "a directory")?,
        },
        Kind::Memory => StoreKind::Memory,
    };
    Some(Store {
        kind,
        durability: durability?,
        appendfsync_always,
        allow_flush,
    })
}

fn limits(source: &mut Source) -> Option<Limits> {
    let queue = source.integer("limits.queue_requests_max", 1..=1_000_000, Some(8_192));
    let timeout = source.integer("limits.request_timeout_ms", 10..=600_000, Some(5_000));
    let wait = source.integer("limits.session_wait_ms", 0..=60_000, Some(2_000));
    let body = source.integer("limits.body_bytes_max", 1_024..=16_777_216, Some(65_536));
    let connections = source.integer("limits.connections_max", 1..=1_000_000, Some(4_096));
    let log = source.integer("limits.log_bytes_max", 1 << 20..=1 << 40, Some(256 << 20));
    let cache = source.integer("limits.cache_bytes_max", 1 << 20..=1 << 40, Some(64 << 20));
    let scrub = source.integer("limits.scrub_keys_per_second", 0..=100_000, Some(100));
    let peers = source.integer("limits.peers_max", 1..=255, Some(64));
    let retire = source.integer("limits.retire_after_ms", 1_000..=1 << 40, Some(86_400_000));
    Some(Limits {
        queue_requests_max: queue?,
        request_timeout: Duration::from_millis(timeout?),
        session_wait: Duration::from_millis(wait?),
        body_bytes_max: body?,
        connections_max: connections?,
        log_bytes_max: log?,
        cache_bytes_max: cache?,
        scrub_keys_per_second: scrub?,
        peers_max: peers?,
        retire_after_ms: retire?,
    })
}

fn peers(source: &mut Source) -> Vec<Peer> {
    let mut peers = Vec::new();
    for (place, entry) in source.peers() {
        let Some(mut entry) = entry else { continue };
        let name = entry.name("region", None);
        let id = entry.integer("id", 1..=u16::MAX, None);
        let address = entry.text("address");
        let address = entry.required("address", address, "http://HOST:PORT");
        let (problems, _) = entry.finish();
        source.nest(&place, problems);
        if let (Some(region), Some(id), Some(address)) = (name, id, address) {
            peers.push(Peer {
                region,
                id: RegionId(id),
                address,
            });
        }
    }
    peers
}

/// What keys must be together.
fn check(config: &Config, source: &mut Source) {
    let mut ids = BTreeSet::from([config.region.id]);
    let mut names = BTreeSet::from([config.region.name.as_str()]);
    for peer in &config.peers {
        if !ids.insert(peer.id) {
            source.problem("peers.id", &peer.id.to_string(), "an id that no other region has");
        }
        if !names.insert(&peer.region) {
            source.problem("peers.region", &peer.region, "a name that no other region has");
        }
        if let Err(expected) = check_peer_address(&peer.address, config.peer.tls.is_some()) {
            source.problem("peers.address", &peer.address, &expected);
        }
    }
    if !config.resp.local_prefixes.is_empty() && !matches!(config.store.kind, StoreKind::Redis { .. }) {
        source.problem(
            "resp.classes",
            "a class `local`",
            "none without `store.kind = \"redis\"`: what is local is passed to this region's Redis",
        );
    }
    if !config.insecure {
        check_open_doors(config, source);
    }
}

/// Doors that strangers reach ask who they are, or are meant not to.
fn check_open_doors(config: &Config, source: &mut Source) {
    let nobody_asked = "a loopback address, or `insecure = true` where the network itself is trusted: this door asks \
                        nobody who he is";
    let doors = [
        ("http.listen", config.http.listen, false, nobody_asked),
        ("grpc.listen", config.grpc.listen, false, nobody_asked),
        (
            "resp.listen",
            config.resp.listen,
            config.resp.is_guarded(),
            "a loopback address, or resp.tls and resp.users_file, or `insecure = true` where the network itself is \
             trusted",
        ),
        (
            "peer.listen",
            config.peer.listen,
            config.peer.is_guarded(),
            "a loopback address, or peer.tls, or `peer.insecure = true` where the network itself is trusted",
        ),
    ];
    for (key, listen, guarded, expected) in doors {
        if !guarded && !is_loopback(listen.ip()) {
            source.problem(key, &listen.to_string(), expected);
        }
    }
}

/// Links between regions carry everything, and whoever is let in may write anything: `insecure`, which is for doors, is
/// not enough for them.
fn check_links(config: &Config, source: &mut Source) {
    if config.insecure && !config.peer.is_guarded() && !is_loopback(config.peer.listen.ip()) {
        let expected =
            "peer.tls, or a loopback address, or `peer.insecure = true` where the network itself is trusted";
        source.problem("peer.listen", &config.peer.listen.to_string(), expected);
    }
}

fn is_loopback(ip: IpAddr) -> bool {
    ip.to_canonical().is_loopback()
}

/// Is this an address that peers can be dialled at?
///
/// # Errors
/// What was expected instead.
pub fn check_peer_address(address: &str, tls: bool) -> Result<(), String> {
    let expected = if tls {
        "https://HOST:PORT"
    } else {
        "http://HOST:PORT"
    };
    let wrong = || format!("{expected} ({} peer.tls)", if tls { "with" } else { "without" });
    let uri: axum::http::Uri = address.parse().map_err(|_| wrong())?;
    let scheme = if tls { "https" } else { "http" };
    let plain_path = matches!(uri.path(), "" | "/") && uri.query().is_none();
    if uri.scheme_str() == Some(scheme) && uri.host().is_some() && uri.port_u16().is_some() && plain_path {
        Ok(())
    } else {
        Err(wrong())
    }
}

/// Is this a name that a region may have?
pub fn is_region_name(name: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    (1..=63).contains(&name.len()) && name.bytes().all(allowed)
}
