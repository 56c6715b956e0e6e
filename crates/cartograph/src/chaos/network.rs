//! Two ways to hurt the network between regions.
//!
//! - **Proxies** (works anywhere, no root): the demo's link proxies, one for each direction. A direction is a connection: what
//!   `from` dials to `to` stands still, what `to` dials to `from` does not.
//! - **Namespaces** (Linux, root): each region in a network namespace of its own, joined by a bridge, and `nftables` drops
//!   every packet from one region to another. That is what a broken router does: a one-way cut also takes the
//!   acknowledgements of the other direction's connections, retransmissions pile up, connections hang instead of breaking.
//!
//! The regions' own clients and their Redis are not touched by either.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::Ipv4Addr;
use std::sync::Arc;

use super::tools::run;
use crate::demo::cluster::Demo;
use crate::demo::links::LinkPatch;
use crate::demo::place::Place;

/// The bridge, as the host of the first address.
const BRIDGE: &str = "chaos0";

/// How links are cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Means {
    /// The demo's link proxies: works anywhere, needs no root
    Proxy,
    /// A network namespace for each region and nftables drops: Linux, root
    Namespaces,
}

impl Means {
    /// Its word.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Proxy => "proxy",
            Self::Namespaces => "namespaces",
        }
    }
}

/// The address of region `id` in its namespace.
fn address(id: u16) -> Ipv4Addr {
    let [high, low] = id.to_be_bytes();
    Ipv4Addr::new(10, 77, high, low)
}

fn namespace(id: u16) -> String {
    format!("chaos-{id}")
}

/// Makes a namespace for each of these regions, all on one bridge; only inside a network namespace of the run's own.
///
/// # Errors
/// In the words of `ip` or `nft`.
pub(crate) fn make_namespaces(ids: &[u16]) -> Result<BTreeMap<u16, Place>, String> {
    // The names are files: they must not outlive this run's own mounts.
    std::fs::create_dir_all("/run/netns").map_err(|error| format!("cannot make /run/netns: {error}"))?;
    run("mount", &["-t", "tmpfs", "chaos", "/run/netns"])?;
    run("ip", &["link", "set", "lo", "up"])?;
    run("ip", &["link", "add", BRIDGE, "type", "bridge"])?;
    run("ip", &["addr", "add", "10.77.255.254/16", "dev", BRIDGE])?;
    run("ip", &["link", "set", BRIDGE, "up"])?;
    let mut places = BTreeMap::new();
    for &id in ids {
        let (name, outer) = (namespace(id), format!("chaos{id}"));
        let with_prefix = format!("{}/16", address(id));
        run("ip", &["netns", "add", &name])?;
        run(
            "ip",
            &[
                "link", "add", &outer, "type", "veth", "peer", "name", "eth0", "netns", &name,
            ],
        )?;
        run("ip", &["link", "set", &outer, "master", BRIDGE, "up"])?;
        run("ip", &["-n", &name, "addr", "add", &with_prefix, "dev", "eth0"])?;
        run("ip", &["-n", &name, "link", "set", "eth0", "up"])?;
        run("ip", &["-n", &name, "link", "set", "lo", "up"])?;
        let nft = |rule: &str| run("ip", &["netns", "exec", &name, "nft", rule]);
        nft("add table ip chaos")?;
        nft("add set ip chaos cut { type ipv4_addr; }")?;
        nft("add chain ip chaos in { type filter hook input priority 0; policy accept; }")?;
        nft("add rule ip chaos in ip saddr @cut counter drop")?;
        let enter = ["ip", "netns", "exec", name.as_str()]
            .map(OsString::from)
            .to_vec();
        let place = Place {
            host: address(id),
            enter,
            node_env: Vec::new(),
        };
        places.insert(id, place);
    }
    Ok(places)
}

/// The links of a running cluster.
#[derive(Clone, Debug)]
pub(crate) struct Network {
    demo: Arc<Demo>,
    means: Means,
}

impl Network {
    /// The links of `demo`.
    pub(crate) fn new(demo: Arc<Demo>, means: Means) -> Self {
        Self { demo, means }
    }

    /// Cuts or mends what goes from one region to another.
    ///
    /// # Errors
    /// There is no such link, or the system refuses.
    pub(crate) async fn set(&self, from: usize, to: usize, up: bool) -> Result<(), String> {
        let regions = self.demo.regions();
        let (Some(a), Some(b)) = (regions.get(from), regions.get(to)) else {
            return Err(format!("there is no link from {from} to {to}"));
        };
        match self.means {
            Means::Proxy => {
                let link = self
                    .demo
                    .links
                    .get(&a.name, &b.name)
                    .map_err(|error| error.message)?;
                link.change(LinkPatch {
                    up: Some(up),
                    ..LinkPatch::default()
                });
                Ok(())
            }
            Means::Namespaces => {
                let verb = if up { "delete" } else { "add" };
                let rule = format!("{verb} element ip chaos cut {{ {} }}", address(a.id));
                let name = namespace(b.id);
                let done =
                    tokio::task::spawn_blocking(move || run("ip", &["netns", "exec", &name, "nft", &rule]))
                        .await;
                match done.map_err(|error| error.to_string()).flatten() {
                    // Mended already.
                    Err(error) if up && error.contains("No such file") => Ok(()),
                    done => done,
                }
            }
        }
    }

    /// Cuts or mends both directions.
    ///
    /// # Errors
    /// As [`Network::set`].
    pub(crate) async fn set_both(&self, a: usize, b: usize, up: bool) -> Result<(), String> {
        self.set(a, b, up).await?;
        self.set(b, a, up).await
    }

    /// Cuts a region off from all others, or mends that.
    ///
    /// # Errors
    /// As [`Network::set`].
    pub(crate) async fn set_all_of(&self, region: usize, up: bool) -> Result<(), String> {
        for other in (0..self.demo.regions().len()).filter(|other| *other != region) {
            self.set_both(region, other, up).await?;
        }
        Ok(())
    }

    /// Makes all links of a region slow and lossy; only proxies can.
    ///
    /// # Errors
    /// There is no such region.
    pub(crate) fn slow_down(&self, region: usize, latency_ms: u64, loss: f64) -> Result<(), String> {
        let regions = self.demo.regions();
        let name = &regions.get(region).ok_or("there is no such region")?.name;
        for link in self.demo.links.all() {
            if link.from == *name || link.to == *name {
                link.change(LinkPatch {
                    up: None,
                    latency_ms: Some(latency_ms),
                    jitter_ms: Some(latency_ms / 2),
                    loss: Some(loss),
                });
            }
        }
        Ok(())
    }

    /// Takes back [`Network::slow_down`].
    pub(crate) fn speed_up(&self, region: usize) {
        let regions = self.demo.regions();
        let Some(region) = regions.get(region) else { return };
        for link in self.demo.links.all() {
            if link.from == region.name || link.to == region.name {
                link.heal();
            }
        }
    }

    /// Mends everything.
    ///
    /// # Errors
    /// The first link that could not be mended; the others were.
    pub(crate) async fn heal(&self) -> Result<(), String> {
        let mut failed = Ok(());
        let count = self.demo.regions().len();
        for (from, to) in (0..count).flat_map(|from| (0..count).map(move |to| (from, to))) {
            if from != to {
                failed = failed.and(self.set(from, to, true).await);
            }
        }
        for link in self.demo.links.all() {
            link.heal();
        }
        failed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_region_has_an_address_of_its_own_and_none_the_bridges() {
        let addresses: std::collections::BTreeSet<_> = (1..=300).map(address).collect();
        assert_eq!(addresses.len(), 300);
        assert!(!addresses.contains(&Ipv4Addr::new(10, 77, 255, 254)));
    }
}
