//! A node on free ports, an HTTP client, and waiting for what must come true.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use cartograph_crdt::RegionId;
use cartograph_node::config::{Config, Peer};
use cartograph_node::{Node, clock};
use cartograph_store::{MemoryStore, SharedMemoryStore, SystemClock};
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::{Method, Request, StatusCode};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

/// How long anything may take.
pub(crate) const BOUND: Duration = Duration::from_secs(20);

pub(crate) fn memory() -> SharedMemoryStore {
    SharedMemoryStore::new(MemoryStore::new(SystemClock))
}

/// The configuration of region `id` on free ports.
pub(crate) fn config(id: u16, extra: &str) -> Config {
    let text = format!(
        r#"
        {extra}
        [region]
        name = "region-{id}"
        id = {id}
        [http]
        listen = "127.0.0.1:0"
        [resp]
        listen = "127.0.0.1:0"
        [grpc]
        listen = "127.0.0.1:0"
        [peer]
        listen = "127.0.0.1:0"
        [store]
        kind = "memory"
        "#
    );
    Config::parse(&text, []).unwrap()
}

/// Waits until `check` gives something.
pub(crate) async fn eventually<T, F: Future<Output = Option<T>>>(
    what: &str,
    mut check: impl FnMut() -> F,
) -> T {
    let end = clock::elapsed() + BOUND;
    loop {
        if let Some(found) = check().await {
            return found;
        }
        assert!(clock::elapsed() < end, "{what}: not within {BOUND:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A node and what it stands on.
pub(crate) struct TestNode {
    pub(crate) node: Node,
    pub(crate) store: SharedMemoryStore,
    pub(crate) http: Http,
}

impl TestNode {
    pub(crate) async fn start(config: Config) -> TestNode {
        Self::start_on(config, memory()).await
    }

    pub(crate) async fn start_on(config: Config, store: SharedMemoryStore) -> TestNode {
        let node = Node::start_on(config, Arc::new(store.clone())).await.unwrap();
        let http = Http::to(node.http_address());
        TestNode { node, store, http }
    }

    /// One region alone, ready.
    pub(crate) async fn alone() -> TestNode {
        let node = TestNode::start(config(1, "")).await;
        node.ready().await;
        node
    }

    pub(crate) async fn ready(&self) {
        eventually("the node is ready", || async {
            self.node.why_not_ready().await.is_none().then_some(())
        })
        .await;
    }

    pub(crate) fn grpc(&self) -> String {
        format!("http://{}", self.node.grpc_address())
    }

    pub(crate) fn peer(&self, id: u16) -> Peer {
        Peer {
            region: format!("region-{id}"),
            id: RegionId(id),
            address: format!("http://{}", self.node.peer_address()),
        }
    }
}

/// Regions 1 to `count`, everyone dialling everyone, ready.
pub(crate) async fn regions(count: u16) -> Vec<TestNode> {
    let mut nodes = Vec::new();
    for id in 1..=count {
        let mut config = config(id, "");
        // Whom to wait for must be known before the ports are: the addresses come below.
        config.cluster.bootstrap = false;
        for other in (1..=count).filter(|other| *other != id) {
            config.peers.push(Peer {
                region: format!("region-{other}"),
                id: RegionId(other),
                address: "http://127.0.0.1:9".to_owned(),
            });
        }
        nodes.push(TestNode::start(config).await);
    }
    for (from, node) in (1..).zip(&nodes) {
        for (to, other) in (1..).zip(&nodes) {
            if from != to {
                node.node.peers().put(other.peer(to)).unwrap();
            }
        }
    }
    for node in &nodes {
        node.ready().await;
    }
    nodes
}

/// An HTTP client of one server.
#[derive(Clone)]
pub(crate) struct Http {
    client: Client<HttpConnector, Full<Bytes>>,
    base: String,
}

pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) token: Option<String>,
    pub(crate) text: String,
}

impl Reply {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|e| panic!("{e}: {}", self.text))
    }

    /// Status, code and outcome of an error.
    pub(crate) fn error(&self) -> (u16, String, String) {
        let error = &self.json()["error"];
        let word = |name: &str| error[name].as_str().unwrap_or_default().to_owned();
        assert!(!word("message").is_empty(), "{}", self.text);
        (self.status.as_u16(), word("code"), word("outcome"))
    }
}

impl Http {
    pub(crate) fn to(address: SocketAddr) -> Http {
        Http {
            client: Client::builder(TokioExecutor::new()).build_http(),
            base: format!("http://{address}"),
        }
    }

    pub(crate) async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Reply {
        let mut request = Request::builder()
            .method(Method::from_bytes(method.as_bytes()).unwrap())
            .uri(format!("{}{path}", self.base));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(body.into())).unwrap();
        let response = self.client.request(request).await.unwrap();
        let status = response.status();
        let token = response.headers().get("cartograph-session");
        let token = token.map(|t| t.to_str().unwrap().to_owned());
        let body = response.into_body().collect().await.unwrap().to_bytes();
        Reply {
            status,
            token,
            text: String::from_utf8(body.to_vec()).unwrap(),
        }
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.send("GET", path, &[], "").await
    }

    pub(crate) async fn json(&self, method: &str, path: &str, body: &Value) -> Reply {
        let headers = [("content-type", "application/json")];
        self.send(method, path, &headers, body.to_string()).await
    }

    /// The same with a body of its own, for closures.
    pub(crate) async fn json_call(&self, method: &str, path: &str, body: Value) -> Reply {
        self.json(method, path, &body).await
    }

    /// The lines of a cart as text: `a=1 b=2`.
    pub(crate) async fn lines(&self, cart: &str) -> String {
        let reply = self.get(&format!("/v1/carts/{cart}")).await;
        assert_eq!(reply.status, 200, "{}", reply.text);
        lines(&reply.json())
    }
}

pub(crate) fn lines(cart: &Value) -> String {
    let line = |l: &Value| format!("{}={}", l["sku"].as_str().unwrap(), l["quantity"]);
    let lines: Vec<String> = cart["lines"].as_array().unwrap().iter().map(line).collect();
    lines.join(" ")
}
