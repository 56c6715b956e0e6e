//! TLS between regions: who has no certificate of the cluster's authority, or one that names another region, stays out.

use std::path::{Path, PathBuf};

use cartograph_node::Config;
use cartograph_node::config::{MutualTls, Peer};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

use crate::support::{TestNode, config, eventually};

struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).unwrap().pem();
        Authority {
            issuer: Issuer::new(params, key),
            pem,
        }
    }

    /// Files with a certificate that names `name`.
    fn issue(&self, folder: &Path, name: &str) -> MutualTls {
        self.issue_until(folder, name, rcgen::date_time_ymd(4000, 1, 1))
    }

    fn issue_until(&self, folder: &Path, name: &str, not_after: time::OffsetDateTime) -> MutualTls {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.not_after = not_after;
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let write = |file: &str, text: &str| -> PathBuf {
            let path = folder.join(format!("{name}-{file}.pem"));
            std::fs::write(&path, text).unwrap();
            path
        };
        MutualTls {
            cert: write("cert", &certificate.pem()),
            key: write("key", &key.serialize_pem()),
            ca: write("ca", &self.pem),
        }
    }
}

fn with(id: u16, tls: Option<MutualTls>) -> Config {
    let mut config = config(id, "");
    config.peer.tls = tls;
    config.cluster.bootstrap = false;
    config
}

fn secured(node: &TestNode, id: u16) -> Peer {
    let peer = node.peer(id);
    Peer {
        address: peer.address.replace("http://", "https://"),
        ..peer
    }
}

async fn refused(node: &TestNode, peer: &str) -> String {
    eventually("the link is refused", || async {
        let (_, state) = node
            .node
            .peers()
            .list()
            .into_iter()
            .find(|(p, _)| p.region == peer)?;
        state.error
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn regions_of_one_authority_exchange() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    let mut nodes = Vec::new();
    for id in [1, 2] {
        let tls = authority.issue(folder.path(), &format!("region-{id}"));
        let mut config = with(id, Some(tls));
        let other = 3 - id;
        config.peers.push(Peer {
            region: format!("region-{other}"),
            id: cartograph_crdt::RegionId(other),
            address: "https://127.0.0.1:9".to_owned(),
        });
        nodes.push(TestNode::start(config).await);
    }
    nodes[0].node.peers().put(secured(&nodes[1], 2)).unwrap();
    nodes[1].node.peers().put(secured(&nodes[0], 1)).unwrap();
    for node in &nodes {
        node.ready().await;
    }
    for node in nodes {
        node.node.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_strangers_certificate_and_another_regions_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let (ours, theirs) = (Authority::new(), Authority::new());
    let listener = TestNode::start(with(1, Some(ours.issue(folder.path(), "region-1")))).await;

    let stranger = TestNode::start(with(2, Some(theirs.issue(elsewhere.path(), "region-2")))).await;
    stranger.node.peers().put(secured(&listener, 1)).unwrap();
    refused(&stranger, "region-1").await;

    // Of our authority, but it names region 7 and says in its greeting that it is region 3.
    let liar = TestNode::start(with(3, Some(ours.issue(folder.path(), "region-7")))).await;
    liar.node.peers().put(secured(&listener, 1)).unwrap();
    let error = refused(&liar, "region-1").await;
    eventually("the reason is said", || async {
        let error = refused(&liar, "region-1").await;
        error.contains("certificate does not name region").then_some(())
    })
    .await;
    drop(error);

    // The listener's certificate names region 1: whoever means to reach region 4 there does not.
    let mistaken = TestNode::start(with(5, Some(ours.issue(folder.path(), "region-5")))).await;
    let wrong = Peer {
        region: "region-4".to_owned(),
        id: cartograph_crdt::RegionId(4),
        ..secured(&listener, 1)
    };
    mistaken.node.peers().put(wrong).unwrap();
    refused(&mistaken, "region-4").await;

    let plain = TestNode::start(with(6, None)).await;
    plain.node.peers().put(listener.peer(1)).unwrap();
    refused(&plain, "region-1").await;
    for node in [listener, stranger, liar, mistaken, plain] {
        node.node.stop().await;
    }
}

/// A cluster of two regions with certificates, and what a third one runs into at the first.
struct Guarded {
    folder: tempfile::TempDir,
    authority: Authority,
    nodes: Vec<TestNode>,
}

impl Guarded {
    async fn start() -> Guarded {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::new();
        let mut nodes = Vec::new();
        for id in [1, 2] {
            let tls = authority.issue(folder.path(), &format!("region-{id}"));
            let mut config = with(id, Some(tls));
            config.cluster.bootstrap = id == 1;
            nodes.push(TestNode::start(config).await);
        }
        nodes[0].node.peers().put(secured(&nodes[1], 2)).unwrap();
        nodes[1].node.peers().put(secured(&nodes[0], 1)).unwrap();
        for node in &nodes {
            node.ready().await;
        }
        Guarded {
            folder,
            authority,
            nodes,
        }
    }

    /// How often the first region has refused a link.
    async fn refusals(&self) -> u64 {
        let metrics = self.nodes[0].http.get("/metrics").await.text;
        let line = metrics
            .lines()
            .find_map(|line| line.strip_prefix("cartograph_peer_refusals_total "));
        line.unwrap().parse().unwrap()
    }

    /// A write in the first region reaches the second.
    async fn goes_on(&self, sku: &str) {
        let body = serde_json::json!({"sku": sku, "quantity": 1});
        let path = format!("/v1/carts/{sku}/items");
        let reply = self.nodes[0].http.json("POST", &path, &body).await;
        assert_eq!(reply.status, 200, "{}", reply.text);
        eventually("the other region has it", || async {
            let there = self.nodes[1].http.lines(sku).await;
            (there == format!("{sku}=1")).then_some(())
        })
        .await;
    }

    /// Region 3 dials the first region with these certificates: refused, counted, and nobody else minds.
    async fn refuses(&self, what: &str, tls: Option<MutualTls>) {
        let before = self.refusals().await;
        let secure = tls.is_some();
        let stranger = TestNode::start(with(3, tls)).await;
        let peer = if secure {
            secured(&self.nodes[0], 1)
        } else {
            self.nodes[0].peer(1)
        };
        stranger.node.peers().put(peer).unwrap();
        // In which words depends on which end noticed first: the listener's log has the reason.
        refused(&stranger, "region-1").await;
        eventually(&format!("{what}: the listener counts it"), || async {
            (self.refusals().await > before).then_some(())
        })
        .await;
        self.goes_on(&what.replace(' ', "-")).await;
        let status = self.nodes[0].http.get("/v1/status").await.text;
        assert!(!status.contains("region-3"), "{what}: it came in: {status}");
        stranger.node.stop().await;
    }

    async fn stop(self) {
        for node in self.nodes {
            node.node.stop().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_no_right_certificate_is_refused_and_counted_and_the_others_go_on() {
    let cluster = Guarded::start().await;
    let elsewhere = tempfile::tempdir().unwrap();

    let theirs = Authority::new().issue(elsewhere.path(), "region-3");
    cluster.refuses("foreign authority", Some(theirs)).await;

    let past = rcgen::date_time_ymd(2020, 1, 1);
    let expired = cluster.authority.issue_until(elsewhere.path(), "region-3", past);
    cluster.refuses("expired", Some(expired)).await;

    let named = cluster.authority.issue(elsewhere.path(), "region-8");
    cluster.refuses("another region", Some(named)).await;

    cluster.refuses("no TLS", None).await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificates_are_replaced_while_the_node_runs() {
    let cluster = Guarded::start().await;
    let folder = cluster.folder.path();
    // All of both regions' certificates are of another authority from now on: whoever still used the old ones would be
    // refused by whoever uses the new ones.
    let renewed = Authority::new();
    for name in ["region-1", "region-2"] {
        renewed.issue(folder, name);
    }
    // Links that are up stay up.
    cluster.goes_on("before").await;
    // New ones use the new files: a region that only knows the new authority comes in.
    let third = TestNode::start(with(3, Some(renewed.issue(folder, "region-3")))).await;
    third.node.peers().put(secured(&cluster.nodes[0], 1)).unwrap();
    third.node.peers().put(secured(&cluster.nodes[1], 2)).unwrap();
    for node in &cluster.nodes {
        node.node.peers().put(secured(&third, 3)).unwrap();
    }
    third.ready().await;
    cluster.goes_on("after").await;
    eventually("the third region has it", || async {
        (third.http.lines("after").await == "after=1").then_some(())
    })
    .await;

    // Files that do not belong together change nothing.
    std::fs::write(folder.join("region-1-key.pem"), "no key").unwrap();
    let fourth = TestNode::start(with(4, Some(renewed.issue(folder, "region-4")))).await;
    fourth.node.peers().put(secured(&cluster.nodes[0], 1)).unwrap();
    eventually("the fourth region is greeted", || async {
        let (_, state) = fourth.node.peers().list().into_iter().next()?;
        state.error.is_none().then_some(())
    })
    .await;
    third.node.stop().await;
    fourth.node.stop().await;
    cluster.stop().await;
}
