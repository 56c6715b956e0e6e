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
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
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
