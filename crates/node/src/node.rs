//! A node, put together: store, shards, peers, doors; and taken apart again in the order that loses nothing. Of several
//! nodes on one store one owns it, and the others stand by (`lease.rs`).
//!
//! Stopping: `/readyz` says 503, the doors take no new connections, what waits is done, peers get what they lack (for
//! at most two seconds), the store is given back.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use cartograph_commerce::CartPolicy;
use cartograph_crdt::ShardId;
use cartograph_engine::shard::Limits;
use cartograph_engine::{Config as ShardConfig, Shard};
use cartograph_replica::exchange;
use cartograph_store::{
    EmbeddedStore, MemoryStore, RedisConfig, RedisStore, SharedMemoryStore, Store, SystemClock,
};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::TcpListenerStream;
use tokio_util::sync::CancellationToken;
use tonic::transport::Server;

use crate::clock;
use crate::config::{Config, ConfigError, StoreKind};
use crate::digest::Place;
use crate::doors::Doors;
use crate::driver::ShardHandle;
use crate::grpc::{self, ReflectionError};
use crate::http;
use crate::lease::Leased;
use crate::metrics::Metrics;
use crate::peers::accept::Accept;
use crate::peers::{PeerError, Peers, secure};
use crate::resp::{self, context::Context};
use crate::scrub;
use crate::seed;
use crate::tls::{self, PeerTls, TlsError};

/// How long what waits may take at shutdown.
const DRAIN_MAX: Duration = Duration::from_secs(5);

/// How long peers may take to get what they lack at shutdown.
const FAREWELL_MAX: Duration = Duration::from_secs(2);

/// How long doors may take to finish the answers under way.
const DOORS_MAX: Duration = Duration::from_secs(2);

/// How often progress is looked at while stopping.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Connections are probed so often.
const KEEPALIVE: Duration = Duration::from_secs(10);

/// Calls at once on one gRPC connection.
const STREAMS_MAX: u32 = 1_024;

/// A node that cannot start, or had to stop.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Certificates.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// TLS of a door.
    #[error("the certificate, key or authority of {door} cannot be used: {source}")]
    Unusable {
        /// Which door.
        door: &'static str,
        /// What the library says.
        source: tonic::transport::Error,
    },
    /// A port.
    #[error("{key} = {address} cannot be listened on: {source}; is another process using it?")]
    Listen {
        /// The key.
        key: &'static str,
        /// The address.
        address: SocketAddr,
        /// The system's words.
        source: std::io::Error,
    },
    /// The store.
    #[error("the store cannot be used: {0}")]
    Store(#[from] cartograph_store::Error),
    /// A peer.
    #[error("a configured peer is refused: {0}")]
    Peer(#[from] PeerError),
    /// Reflection.
    #[error(transparent)]
    Reflection(#[from] ReflectionError),
    /// The store is another's, or cannot be used for good.
    #[error("this node cannot run on its store: {reason}")]
    Halted {
        /// Why, and what to do.
        reason: String,
    },
    /// Threads for the RESP door.
    #[error("the threads that serve Redis clients cannot be started: {0}")]
    Threads(std::io::Error),
    /// Signals cannot be heard.
    #[error("signals cannot be waited for: {0}")]
    Signals(std::io::Error),
}

/// A running node.
pub struct Node {
    doors: Arc<Doors>,
    http: SocketAddr,
    resp: SocketAddr,
    grpc: SocketAddr,
    peer: SocketAddr,
    serving: CancellationToken,
    exchanging: CancellationToken,
    door_tasks: Vec<JoinHandle<()>>,
    peer_task: JoinHandle<()>,
    helpers: Vec<JoinHandle<()>>,
    drivers: Vec<JoinHandle<()>>,
}

/// Opens the configured store.
///
/// # Errors
/// [`NodeError::Store`].
pub fn open_store(config: &Config) -> Result<Arc<dyn Store>, NodeError> {
    Ok(match &config.store.kind {
        StoreKind::Redis { url, metadata_db } => {
            let mut redis = RedisConfig::new(url.clone());
            redis.metadata_db = *metadata_db;
            redis.durability = config.store.durability;
            redis.fsync_always = config.store.appendfsync_always;
            let local = config.resp.local_prefixes.iter();
            redis.local_prefixes = local.map(|p| String::from_utf8_lossy(p).into_owned()).collect();
            Arc::new(RedisStore::new(redis)?)
        }
        StoreKind::Embedded { path } => {
            std::fs::create_dir_all(path).map_err(|e| cartograph_store::Error::Disk {
                path: path.clone(),
                reason: e.to_string(),
            })?;
            Arc::new(EmbeddedStore::open(&path.join("cartograph.redb"))?)
        }
        StoreKind::Memory => Arc::new(SharedMemoryStore::new(MemoryStore::new(SystemClock))),
    })
}

fn machine(config: &Config, shard: ShardId) -> Shard {
    Shard::open(ShardConfig {
        shard,
        shards: config.cluster.shards,
        cluster: config.cluster.name.clone(),
        region: config.region.id,
        name: config.region.name.clone(),
        peers: config.peers.iter().map(|p| (p.id, p.region.clone())).collect(),
        bootstrap: config.cluster.bootstrap,
        limits: Limits {
            queue_requests_max: config.limits.queue_requests_max,
            cache_bytes_max: config.limits.cache_bytes_max,
            log_bytes_max: config.limits.log_bytes_max,
            retire_after_ms: config.limits.retire_after_ms,
            ..Limits::default()
        },
        exchange: exchange::Config::default(),
        seed: seed::random(),
    })
}

/// Shards with their tasks, peers that are dialled from now on, and what the doors need of both.
fn assemble(
    config: Config,
    store: Arc<dyn Store>,
    peer_tls: Option<PeerTls>,
    stopping: CancellationToken,
) -> Result<(Arc<Doors>, Vec<JoinHandle<()>>), NodeError> {
    let metrics = Arc::new(Metrics::new(&config.region.name, store_kind(&config)));
    metrics.take_limits(config.limits.log_bytes_max);
    let (mut shards, mut drivers) = (Vec::new(), Vec::new());
    for number in 0..config.cluster.shards {
        let shard = ShardId(number);
        let machine = machine(&config, shard);
        let (handle, task) = ShardHandle::start(shard, machine, Arc::clone(&store), Arc::clone(&metrics));
        shards.push(handle);
        drivers.push(task);
    }
    let ours = (config.region.name.clone(), config.region.id);
    let limit = config.limits.peers_max;
    let peers = Peers::new(ours, limit, shards.clone(), peer_tls, Arc::clone(&metrics));
    for configured in &config.peers {
        peers.put(configured.clone())?;
    }
    let doors = Arc::new(Doors {
        policy: CartPolicy {
            ttl: config.carts.ttl,
            lines_max: config.carts.lines_max as u64,
        },
        shards,
        store,
        peers: Arc::new(peers),
        metrics,
        stopping,
        config,
    });
    Ok((doors, drivers))
}

async fn bind(key: &'static str, address: SocketAddr) -> Result<(TcpListener, SocketAddr), NodeError> {
    let wrong = |source| NodeError::Listen { key, address, source };
    let listener = TcpListener::bind(address).await.map_err(wrong)?;
    let bound = listener.local_addr().map_err(wrong)?;
    Ok((listener, bound))
}

impl Node {
    /// Starts a node on its configured store.
    ///
    /// # Errors
    /// See [`NodeError`]; nothing is left running.
    pub async fn start(config: Config) -> Result<Node, NodeError> {
        let store = open_store(&config)?;
        Node::start_on(config, store).await
    }

    /// Starts a node on a store.
    ///
    /// # Errors
    /// See [`NodeError`]; nothing is left running.
    pub async fn start_on(config: Config, store: Arc<dyn Store>) -> Result<Node, NodeError> {
        let peer_tls = config.peer.tls.as_ref().map(PeerTls::read).transpose()?;
        let (http_listener, http) = bind("http.listen", config.http.listen).await?;
        let (resp_listener, resp) = bind("resp.listen", config.resp.listen).await?;
        let (grpc_listener, grpc) = bind("grpc.listen", config.grpc.listen).await?;
        let (peer_listener, peer) = bind("peer.listen", config.peer.listen).await?;
        let mut peer_server = server();
        let secure = peer_tls.clone();
        let mut grpc_server = server().max_connection_age(config.grpc.connection_age_max);
        if let Some(files) = &config.grpc.tls {
            let tls = tls::door(files)?;
            grpc_server = grpc_server.tls_config(tls).map_err(unusable("grpc.tls"))?;
        }

        let address = config.http.advertise.clone();
        let address = address.unwrap_or_else(|| format!("http://{http}"));
        let store = Arc::new(Leased::new(store, http, address));
        let serving = CancellationToken::new();
        let (doors, drivers) = assemble(config, store, peer_tls, serving.clone())?;
        let exchanging = CancellationToken::new();
        let (routes, health) = grpc::services(&doors)?;
        let certified = doors.config.peer.tls.is_some();
        let accept = Accept::service(doors.shards.clone(), certified, Arc::clone(&doors.metrics));
        let stop = exchanging.clone();
        let metrics = Arc::clone(&doors.metrics);
        let peer_task = tokio::spawn(async move {
            let serve = peer_server.add_service(accept);
            let ended = if let Some(tls) = secure {
                let incoming = secure::incoming(peer_listener, tls, metrics, stop.clone());
                serve
                    .serve_with_incoming_shutdown(incoming, stop.cancelled_owned())
                    .await
            } else {
                let incoming = TcpListenerStream::new(peer_listener);
                serve
                    .serve_with_incoming_shutdown(incoming, stop.cancelled_owned())
                    .await
            };
            log_end("peer", ended);
        });
        let stop = serving.clone();
        let grpc_task = tokio::spawn(async move {
            let incoming = TcpListenerStream::new(grpc_listener);
            let serve = grpc_server.add_routes(routes);
            let ended = serve.serve_with_incoming_shutdown(incoming, stop.cancelled_owned());
            log_end("grpc", ended.await);
        });
        let http_task = serve_http(&doors, http_listener, serving.clone());
        let resp_task = serve_resp(&doors, resp_listener, serving.clone())?;
        let mut helpers = vec![health, tokio::spawn(follow_members(Arc::clone(&doors)))];
        helpers.extend(scrubs(&doors));
        tracing::info!(
            region = %doors.config.region.name, %http, %resp, %grpc, %peer, store = store_kind(&doors.config),
            "listening"
        );
        Ok(Node {
            doors,
            http,
            resp,
            grpc,
            peer,
            serving,
            exchanging,
            door_tasks: vec![http_task, grpc_task, resp_task],
            peer_task,
            helpers,
            drivers,
        })
    }

    /// Where HTTP listens.
    pub fn http_address(&self) -> SocketAddr {
        self.http
    }

    /// Where Redis clients are served.
    pub fn resp_address(&self) -> SocketAddr {
        self.resp
    }

    /// Where gRPC listens.
    pub fn grpc_address(&self) -> SocketAddr {
        self.grpc
    }

    /// Where other regions come in.
    pub fn peer_address(&self) -> SocketAddr {
        self.peer
    }

    /// Why the node takes no writes now, if it does not.
    pub async fn why_not_ready(&self) -> Option<String> {
        self.doors.why_not_ready().await
    }

    /// Whom this node dials; can be changed while it runs.
    pub fn peers(&self) -> &Peers {
        &self.doors.peers
    }

    /// Waits until a shard cannot be run on its store for good; says why.
    pub async fn halted(&self) -> String {
        let Some(shard) = self.doors.shards.first() else {
            return std::future::pending().await;
        };
        let mut published = shard.published();
        loop {
            let halted = published.borrow_and_update().halted.clone();
            if let Some(reason) = halted {
                return reason;
            }
            if published.changed().await.is_err() {
                return std::future::pending().await;
            }
        }
    }

    /// Stops: see the module.
    pub async fn stop(self) {
        tracing::info!("stopping: no new work");
        self.serving.cancel();
        for shard in &self.doors.shards {
            shard.drain().await;
        }
        self.until(DRAIN_MAX, |s| s.queued == 0 && s.in_flight == 0).await;
        for task in self.door_tasks {
            let abort = task.abort_handle();
            if tokio::time::timeout(DOORS_MAX, task).await.is_err() {
                abort.abort();
            }
        }
        for helper in &self.helpers {
            helper.abort();
        }
        let told = |s: &cartograph_engine::ShardStatus| {
            s.peers
                .values()
                .all(|p| !p.connected_out || p.entries_behind == 0)
        };
        until(&self.doors, FAREWELL_MAX, told).await;
        self.doors.peers.stop();
        self.exchanging.cancel();
        for shard in &self.doors.shards {
            shard.stop().await;
        }
        for driver in self.drivers {
            let _ = driver.await;
        }
        self.peer_task.abort();
        tracing::info!("stopped");
    }

    async fn until(&self, limit: Duration, done: impl Fn(&cartograph_engine::ShardStatus) -> bool) {
        until(&self.doors, limit, done).await;
    }
}

async fn until(doors: &Doors, limit: Duration, done: impl Fn(&cartograph_engine::ShardStatus) -> bool) {
    let end = clock::elapsed() + limit;
    while clock::elapsed() < end {
        match doors.statuses().await {
            Ok(statuses) if statuses.iter().all(&done) => return,
            Ok(_) | Err(_) => tokio::time::sleep(LOOK_EVERY).await,
        }
    }
    tracing::warn!(
        limit_ms = limit.as_millis(),
        "stopping although not everything is done"
    );
}

fn unusable(door: &'static str) -> impl Fn(tonic::transport::Error) -> NodeError {
    move |source| NodeError::Unusable { door, source }
}

fn server() -> Server {
    Server::builder()
        .tcp_nodelay(true)
        .http2_keepalive_interval(Some(KEEPALIVE))
        .http2_keepalive_timeout(Some(KEEPALIVE))
        .max_concurrent_streams(STREAMS_MAX)
}

fn store_kind(config: &Config) -> &'static str {
    match config.store.kind {
        StoreKind::Redis { .. } => "redis",
        StoreKind::Embedded { .. } => "embedded",
        StoreKind::Memory => "memory",
    }
}

fn log_end(door: &'static str, ended: Result<(), tonic::transport::Error>) {
    if let Err(error) = ended {
        tracing::error!(door, %error, "a door broke");
    }
}

fn serve_http(doors: &Arc<Doors>, listener: TcpListener, stop: CancellationToken) -> JoinHandle<()> {
    let router = http::router(Arc::clone(doors));
    let listener = http::listen::Bounded::new(listener, doors.config.limits.connections_max);
    tokio::spawn(async move {
        let serve = axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned());
        if let Err(error) = serve.await {
            tracing::error!(door = "http", %error, "a door broke");
        }
    })
}

fn serve_resp(
    doors: &Arc<Doors>,
    listener: TcpListener,
    stop: CancellationToken,
) -> Result<JoinHandle<()>, NodeError> {
    let tls = doors.config.resp.tls.as_ref().map(tls::resp).transpose()?;
    let context = Context::new(Arc::clone(doors))?;
    resp::server::start(&context, stop.clone());
    resp::start(&context, listener, tls.as_ref(), stop).map_err(NodeError::Threads)
}

fn scrubs(doors: &Arc<Doors>) -> Vec<JoinHandle<()>> {
    let rate = doors.config.limits.scrub_keys_per_second;
    if rate == 0 {
        return Vec::new();
    }
    let places = doors.places().into_values();
    let start = |place: Place| tokio::spawn(scrub::run(place, rate, Arc::clone(&doors.metrics)));
    places.map(start).collect()
}

/// Lets go of regions that were members and are not any more.
async fn follow_members(doors: Arc<Doors>) {
    let Some(shard) = doors.shards.first() else { return };
    let mut published = shard.published();
    let mut members = std::collections::BTreeSet::new();
    loop {
        let now = published.borrow_and_update().members.clone();
        // A store that was wiped knows no members until it has caught up: nobody has left then.
        if !now.is_empty() {
            for left in members.difference(&now) {
                tracing::warn!(region = %left, "a region is no member any more: dialling it no more");
                doors.peers.left(*left);
            }
            members = now;
        }
        if published.changed().await.is_err() {
            return;
        }
    }
}

/// Runs a node until SIGTERM or SIGINT: what `cartograph node --config FILE` does.
///
/// # Errors
/// See [`NodeError`].
pub async fn run(config_path: &Path) -> Result<(), NodeError> {
    let config = Config::load(config_path)?;
    crate::log::init(&config.log);
    for variable in &config.unknown_variables {
        tracing::warn!(%variable, "this environment variable names no key of the configuration");
    }
    if config.insecure {
        tracing::warn!("`insecure` is set: whoever reaches the doors may read and write everything");
    }
    let mut signals = Signals::new().map_err(NodeError::Signals)?;
    let node = Node::start(config).await?;
    tokio::select! {
        name = signals.next() => {
            tracing::info!(signal = name, "heard");
            tokio::select! {
                () = node.stop() => Ok(()),
                _ = signals.next() => {
                    tracing::warn!("a second signal: leaving at once; what was in flight is settled at the next start");
                    Ok(())
                }
            }
        }
        reason = node.halted() => {
            let error = NodeError::Halted { reason };
            node.stop().await;
            Err(error)
        }
    }
}

/// The two signals that end a node.
struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}
