//! The settings file that the demo writes for each node (`cartograph node --config FILE`).

use std::net::SocketAddr;
use std::path::Path;

use serde::Serialize;

use super::place::Place;
use super::ports::Ports;

/// A region's node as its settings file describes it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct NodeConfig {
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    insecure: bool,
    region: Region,
    cluster: Cluster,
    http: Listen,
    resp: Listen,
    grpc: Listen,
    peer: PeerListen,
    store: Store,
    log: Log,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    peers: Vec<Peer>,
}

#[derive(Clone, Debug, Serialize)]
struct Region {
    name: String,
    id: u16,
}

#[derive(Clone, Debug, Serialize)]
struct Cluster {
    name: &'static str,
}

#[derive(Clone, Debug, Serialize)]
struct Listen {
    listen: String,
}

/// Where other regions come in; without certificates beyond the loopback only where that is meant.
#[derive(Clone, Debug, Serialize)]
struct PeerListen {
    listen: String,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    insecure: bool,
}

#[derive(Clone, Debug, Serialize)]
struct Store {
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<String>,
    durability: &'static str,
    appendfsync_always: bool,
    allow_flush: bool,
}

#[derive(Clone, Debug, Serialize)]
struct Log {
    format: &'static str,
}

/// Another region, and where this node dials it: the proxy of that direction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Peer {
    /// Its name.
    pub(crate) region: String,
    /// Its id.
    pub(crate) id: u16,
    /// `http://127.0.0.1:port`.
    pub(crate) address: String,
}

impl NodeConfig {
    /// The settings of region `name`; `store_dir` is where an embedded store keeps its data.
    pub(crate) fn new(
        (name, id): (&str, u16),
        place: &Place,
        ports: Ports,
        store_dir: &Path,
        peers: Vec<Peer>,
    ) -> Self {
        let at = |port| -> SocketAddr { place.at(port) };
        let listen = |port| Listen {
            listen: at(port).to_string(),
        };
        let store = Store {
            kind: if ports.redis.is_some() {
                "redis"
            } else {
                "embedded"
            },
            url: ports.redis.map(|port| format!("redis://{}", at(port))),
            path: ports.redis.is_none().then(|| store_dir.display().to_string()),
            durability: "disk",
            appendfsync_always: true,
            allow_flush: true,
        };
        Self {
            insecure: !place.is_local(),
            region: Region {
                name: name.to_owned(),
                id,
            },
            cluster: Cluster { name: "demo" },
            http: listen(ports.http),
            resp: listen(ports.resp),
            grpc: listen(ports.grpc),
            peer: PeerListen {
                listen: at(ports.peer).to_string(),
                insecure: !place.is_local(),
            },
            store,
            log: Log { format: "text" },
            peers,
        }
    }

    /// As TOML.
    ///
    /// # Errors
    /// None that these types can cause; the serializer's otherwise.
    pub(crate) fn to_toml(&self) -> Result<String, toml::ser::Error> {
        toml::to_string(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peers() -> Vec<Peer> {
        vec![Peer {
            region: "europe-west1".to_owned(),
            id: 2,
            address: "http://127.0.0.1:40001".to_owned(),
        }]
    }

    #[test]
    fn a_redis_node_has_the_keys_that_nodes_read() {
        let ports = Ports::of(7100, 1, true);
        let text = NodeConfig::new(
            ("us-central1", 1),
            &Place::default(),
            ports,
            Path::new("/x/redis"),
            peers(),
        )
        .to_toml()
        .unwrap();
        let expected: toml::Table = r#"
            [region]
            name = "us-central1"
            id = 1
            [cluster]
            name = "demo"
            [http]
            listen = "127.0.0.1:7101"
            [resp]
            listen = "127.0.0.1:7201"
            [grpc]
            listen = "127.0.0.1:7301"
            [peer]
            listen = "127.0.0.1:7501"
            [store]
            kind = "redis"
            url = "redis://127.0.0.1:7401"
            durability = "disk"
            appendfsync_always = true
            allow_flush = true
            [log]
            format = "text"
            [[peers]]
            region = "europe-west1"
            id = 2
            address = "http://127.0.0.1:40001"
        "#
        .parse()
        .unwrap();
        assert_eq!(text.parse::<toml::Table>().unwrap(), expected);
    }

    #[test]
    fn an_embedded_node_has_a_path_and_no_url() {
        let ports = Ports::of(7100, 1, false);
        let text = NodeConfig::new(
            ("us-central1", 1),
            &Place::default(),
            ports,
            Path::new("/x/store"),
            Vec::new(),
        )
        .to_toml()
        .unwrap();
        let table: toml::Table = text.parse().unwrap();
        let expected: toml::Table =
            "kind = 'embedded'\npath = '/x/store'\ndurability = 'disk'\nappendfsync_always = true\nallow_flush = true"
                .parse()
                .unwrap();
        assert_eq!(table["store"].as_table().unwrap(), &expected);
        assert!(!table.contains_key("peers"));
    }
}
