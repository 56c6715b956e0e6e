//! The running demo: its regions, the links between them, and how both come to be.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use hyper::Method;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::clock;
use super::console::Console;
use super::data::{DataDir, Record, RecordedRegion, write_whole};
use super::error::{Error, Result};
use super::http::{Http, percent_encode};
use super::links::{Link, Links};
use super::node_config::{NodeConfig, Peer};
use super::page::Page;
use super::place::Place;
use super::ports::{self, Ports, REGIONS_MAX};
use super::process::Launcher;
use super::proxy::Proxy;
use super::redis::StoreChoice;
use super::region::{Region, check_name};

/// How long a child may take to end when it is asked to.
const STOP_GRACE: Duration = Duration::from_secs(5);
/// How long a node may take to accept a new peer.
const PEER_TIMEOUT: Duration = Duration::from_secs(2);
/// Time between two attempts to tell a node of a new peer.
const PEER_RETRY: Duration = Duration::from_secs(1);

/// Everything that the demo's parts share.
#[derive(Debug)]
pub(crate) struct Demo {
    /// The base port.
    pub(crate) base: u16,
    /// Which store the regions use.
    pub(crate) store: StoreChoice,
    /// The program that runs a node, with its first arguments; the settings file follows.
    pub(crate) node_program: (PathBuf, Vec<OsString>),
    /// Where regions run that do not run on the loopback address, by id.
    pub(crate) places: BTreeMap<u16, Place>,
    /// Where everything is kept.
    pub(crate) data: DataDir,
    /// Starts processes.
    pub(crate) launcher: Launcher,
    /// Asks nodes.
    pub(crate) http: Http,
    /// Speaks to people.
    pub(crate) console: Arc<Console>,
    /// All directions.
    pub(crate) links: Links,
    /// What the page is told.
    pub(crate) page: Page,
    /// Cancelled when the demo stops.
    pub(crate) stop: CancellationToken,
    regions: RwLock<Vec<Arc<Region>>>,
    /// Held while a region is added.
    adding: tokio::sync::Mutex<()>,
}

/// What a [`Demo`] is made of.
pub(crate) struct Parts {
    pub(crate) base: u16,
    pub(crate) store: StoreChoice,
    pub(crate) node_program: (PathBuf, Vec<OsString>),
    pub(crate) places: BTreeMap<u16, Place>,
    pub(crate) data: DataDir,
    pub(crate) launcher: Launcher,
    pub(crate) console: Arc<Console>,
}

impl Demo {
    /// A demo without regions.
    pub(crate) fn new(parts: Parts) -> Arc<Self> {
        Arc::new(Self {
            base: parts.base,
            store: parts.store,
            node_program: parts.node_program,
            places: parts.places,
            data: parts.data,
            launcher: parts.launcher,
            http: Http::new(),
            console: parts.console,
            links: Links::default(),
            page: Page::new(clock::unix_ms()),
            stop: CancellationToken::new(),
            regions: RwLock::default(),
            adding: tokio::sync::Mutex::default(),
        })
    }

    /// The regions, in the order of their ids.
    pub(crate) fn regions(&self) -> Vec<Arc<Region>> {
        self.regions
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// The region called `name`.
    ///
    /// # Errors
    /// Not found, naming the known ones.
    pub(crate) fn region(&self, name: &str) -> Result<Arc<Region>> {
        let regions = self.regions();
        let found = regions.iter().find(|region| region.name == name).cloned();
        found.ok_or_else(|| {
            let names: Vec<&str> = regions.iter().map(|region| region.name.as_str()).collect();
            Error::not_found(format!(
                "there is no region {name:?}; expected one of {}",
                names.join(", ")
            ))
        })
    }

    /// The ports that region `id` has or would have.
    pub(crate) fn ports(&self, id: u16) -> Ports {
        Ports::of(self.base, id, matches!(self.store, StoreChoice::Redis { .. }))
    }

    /// Makes the first regions with their links and files, and starts them all.
    ///
    /// # Errors
    /// A region does not come up; the others are left as they are, for the caller to stop.
    pub(crate) async fn start_all(self: &Arc<Self>, wanted: &[RecordedRegion]) -> Result<()> {
        for region in wanted {
            self.make_region(&region.name, region.id)?;
        }
        self.write_files()?;
        let mut starting = JoinSet::new();
        for region in self.regions() {
            let demo = Arc::clone(self);
            starting.spawn(async move {
                let _acting = region.acting.lock().await;
                demo.start_redis(&region).await?;
                demo.start_node(&region).await
            });
        }
        while let Some(started) = starting.join_next().await {
            started.map_err(|error| Error::failed(format!("a task of the demo failed: {error}")))??;
        }
        Ok(())
    }

    /// Adds a region while the others run, and returns when it serves.
    ///
    /// # Errors
    /// The name is bad or taken, there is no room or no port (nothing changed); or its processes do not come up: it is kept,
    /// and can be started again, once its peers may have heard of it.
    pub(crate) async fn add_region(self: &Arc<Self>, name: &str) -> Result<Arc<Region>> {
        let said = check_name(name)?;
        let _adding = self.adding.lock().await;
        if self.stop.is_cancelled() {
            return Err(Error::stopping());
        }
        let regions = self.regions();
        if regions.iter().any(|region| region.name == name) {
            return Err(Error::conflict(format!("region {name} exists already")));
        }
        let id = regions.iter().map(|region| region.id).max().unwrap_or(0) + 1;
        if id > REGIONS_MAX {
            return Err(Error::conflict(format!(
                "there are {REGIONS_MAX} regions, and a demo has no more"
            )));
        }
        ports::check(&self.ports(id).wanted(name)).map_err(Error::port_in_use)?;
        if let Some(line) = said {
            self.console.say(line);
        }
        let region = self.make_region(name, id)?;
        self.start_added(&region, regions).await?;
        self.console
            .say(format!("{name} was added: {}", endpoints(&region)));
        Ok(region)
    }

    async fn start_added(self: &Arc<Self>, region: &Arc<Region>, others: Vec<Arc<Region>>) -> Result<()> {
        let _acting = region.acting.lock().await;
        let prepared = match self.start_redis(region).await {
            Ok(()) => self.write_files(),
            Err(error) => Err(error),
        };
        if let Err(error) = prepared {
            // Nobody has heard of it yet.
            self.forget_region(region).await;
            return Err(error);
        }
        for other in others {
            self.introduce(other, region);
        }
        let _note = self.start_node(region).await?;
        Ok(())
    }

    /// Every link up, without loss, with its first latency; paused nodes go on.
    ///
    /// What was killed stays so: a heal mends the network, and a paused node is one that the network seems to have lost.
    /// Returns the regions that were resumed, and those whose node does not run.
    pub(crate) fn heal(&self) -> (Vec<String>, Vec<String>) {
        for link in self.links.all() {
            link.heal();
        }
        let (mut resumed, mut down) = (Vec::new(), Vec::new());
        for region in self.regions() {
            match region.node.alive() {
                Some(process) if process.phase() == super::process::Phase::Paused => {
                    process.resume();
                    resumed.push(region.name.clone());
                }
                Some(_) => {}
                None => down.push(region.name.clone()),
            }
        }
        (resumed, down)
    }

    /// Stops everything: nodes first, so that they can finish with their stores.
    pub(crate) async fn shutdown(&self) {
        self.stop.cancel();
        let regions = self.regions();
        for services in [
            |region: &Region| region.node.alive(),
            |region: &Region| region.redis.alive(),
        ] {
            let mut stopping = JoinSet::new();
            for process in regions.iter().filter_map(|region| services(region)) {
                stopping.spawn(async move { process.stop(STOP_GRACE).await });
            }
            let _ended = stopping.join_all().await;
        }
        self.launcher.kill_all();
    }

    /// Makes a region, its directory, and its links with all others.
    fn make_region(&self, name: &str, id: u16) -> Result<Arc<Region>> {
        let place = self.places.get(&id).cloned().unwrap_or_default();
        let dir = self.data.path().join(name);
        let region = Arc::new(Region::new(name, id, place, self.ports(id), dir));
        fs::create_dir_all(region.store_dir())
            .map_err(|error| Error::io(format!("cannot make {}", region.store_dir().display()), &error))?;
        for other in self.regions() {
            self.connect(&other.name, other.ports.peer, name, region.ports.peer)
                .map_err(|error| Error::io(format!("cannot link {} and {name}", other.name), &error))?;
        }
        self.regions
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .push(Arc::clone(&region));
        Ok(region)
    }

    /// Takes back [`Demo::make_region`].
    async fn forget_region(&self, region: &Region) {
        if let Some(process) = region.redis.alive() {
            process.kill().await;
        }
        self.regions
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .retain(|other| other.id != region.id);
        self.links.remove_region(&region.name);
    }

    /// Makes the links between two regions, one each way, with their proxies.
    fn connect(&self, a: &str, a_peer: u16, b: &str, b_peer: u16) -> std::io::Result<()> {
        let (to_b, to_a) = (ports::bind_outside(self.base)?, ports::bind_outside(self.base)?);
        let there = Arc::new(Link::new(a, b, to_b.local_addr()?));
        let back = Arc::new(Link::new(b, a, to_a.local_addr()?));
        for (link, reverse, listener, port) in [(&there, &back, to_b, b_peer), (&back, &there, to_a, a_peer)]
        {
            let proxy = Proxy {
                target: ports::loopback(port),
                forward: link.watch(),
                backward: reverse.watch(),
                seed: RandomState::new().hash_one((&link.from, &link.to)),
            };
            let listener = TcpListener::from_std(listener)?;
            let _ = link.proxy.set(tokio::spawn(proxy.serve(listener)).abort_handle());
        }
        self.links.add(there);
        self.links.add(back);
        Ok(())
    }

    /// Writes every node's settings and the directory's record.
    fn write_files(&self) -> Result<()> {
        let regions = self.regions();
        for region in &regions {
            let peers = regions
                .iter()
                .filter(|other| other.id != region.id)
                .map(|other| self.peer(region, other));
            let peers = peers.collect::<Result<Vec<Peer>>>()?;
            let who = (region.name.as_str(), region.id);
            let config = NodeConfig::new(who, &region.place, region.ports, &region.store_dir(), peers);
            let text = config
                .to_toml()
                .map_err(|error| Error::failed(format!("cannot write settings: {error}")))?;
            let path = region.config_file();
            write_whole(&path, text.as_bytes())
                .map_err(|error| Error::io(format!("cannot write {}", path.display()), &error))?;
        }
        let record = Record {
            store: self.store.word().to_owned(),
            regions: regions
                .iter()
                .map(|region| RecordedRegion {
                    name: region.name.clone(),
                    id: region.id,
                })
                .collect(),
        };
        self.data
            .write_record(&record)
            .map_err(|error| Error::io("cannot write demo.json", &error))
    }

    /// How `region`'s node reaches `other`'s: through the proxy of that direction, or directly where it runs elsewhere.
    fn peer(&self, region: &Region, other: &Region) -> Result<Peer> {
        let address = if other.place.is_local() {
            self.links.get(&region.name, &other.name)?.address
        } else {
            other.place.at(other.ports.peer)
        };
        let address = format!("http://{address}");
        Ok(Peer {
            region: other.name.clone(),
            id: other.id,
            address,
        })
    }

    /// Tells a running node of a new region, again and again until it has heard or ended: a node that starts anew reads its
    /// settings file.
    fn introduce(self: &Arc<Self>, node: Arc<Region>, new: &Region) {
        let (Some(process), Ok(peer)) = (node.node.alive(), self.peer(&node, new)) else {
            return;
        };
        let url = format!("{}/v1/admin/peers/{}", node.http(), percent_encode(&peer.region));
        let body = json!({"id": peer.id, "address": peer.address});
        let demo = Arc::clone(self);
        tokio::spawn(async move {
            while process.is_alive() && !demo.stop.is_cancelled() {
                match demo.http.send(Method::PUT, &url, Some(&body), PEER_TIMEOUT).await {
                    Ok(answer) if answer.status.is_success() => return,
                    Ok(answer) if answer.status.is_client_error() => {
                        let said = String::from_utf8_lossy(&answer.body).into_owned();
                        let line = format!(
                            "{}'s node refused the new region {}: {said}",
                            node.name, peer.region
                        );
                        demo.console.say(line);
                        return;
                    }
                    Ok(_) | Err(_) => drop(timeout(PEER_RETRY, demo.stop.cancelled()).await),
                }
            }
        });
    }

    /// Sleeps, or returns an error when the demo stops.
    pub(crate) async fn pause(&self, duration: Duration) -> Result<()> {
        tokio::select! {
            () = self.stop.cancelled() => Err(Error::stopping()),
            () = sleep(duration) => Ok(()),
        }
    }
}

/// Where a region's doors are, for people.
pub(crate) fn endpoints(region: &Region) -> String {
    let ports = region.ports;
    let own = ports
        .redis
        .map(|port| format!("  its redis 127.0.0.1:{port}"))
        .unwrap_or_default();
    format!(
        "http 127.0.0.1:{}  resp 127.0.0.1:{}  grpc 127.0.0.1:{}{own}",
        ports.http, ports.resp, ports.grpc
    )
}
