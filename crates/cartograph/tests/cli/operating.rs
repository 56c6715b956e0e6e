//! Commands of those who run regions: certificates, configuration, regions, manual pages.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::{nobody, run};

fn text(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

/// A configuration of one region with the certificates in `certs`.
fn config(folder: &Path, certs: &Path, cert_of: &str, key_of: &str) -> String {
    let file = folder.join("node.toml");
    let certs = certs.display();
    let config = format!(
        "[region]\nname = \"us-central1\"\nid = 1\n[store]\nkind = \"memory\"\n[peer]\nlisten = \"0.0.0.0:7501\"\n[peer.tls]\n\
         cert = \"{certs}/{cert_of}/peer.crt\"\nkey = \"{certs}/{key_of}/peer.key\"\nca = \"{certs}/ca.crt\"\n"
    );
    std::fs::write(&file, config).unwrap();
    text(&file)
}

#[tokio::test]
async fn certificates_are_made_kept_renewed_and_fit_a_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let certs = folder.path().join("certs");
    let dir = text(&certs);
    run(&["certs", &dir, "us-central1", "europe-west1"])
        .await
        .expect(0);
    for key in ["ca.key", "us-central1/peer.key"] {
        let mode = std::fs::metadata(certs.join(key)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{key} is for its owner only");
    }
    let read = |file: &str| std::fs::read_to_string(certs.join(file)).unwrap();
    let (ca, first) = (read("ca.crt"), read("us-central1/peer.crt"));

    let again = run(&["certs", &dir, "us-central1", "asia-southeast1", "--json"])
        .await
        .expect(0);
    assert_eq!(again.json()["regions"][0]["written"], false);
    assert_eq!(again.json()["regions"][1]["written"], true);
    assert_eq!(
        (read("ca.crt"), read("us-central1/peer.crt")),
        (ca, first.clone()),
        "what is there is kept"
    );

    run(&["certs", &dir, "us-central1", "--renew"]).await.expect(0);
    assert_ne!(read("us-central1/peer.crt"), first);

    let right = config(folder.path(), &certs, "us-central1", "us-central1");
    run(&["check-config", &right]).await.expect(0);
    let mixed = config(folder.path(), &certs, "us-central1", "europe-west1");
    let ran = run(&["check-config", &mixed, "--json"]).await.expect(1);
    assert!(
        ran.json()["problems"][0].as_str().unwrap().contains("peer.tls"),
        "{ran:?}"
    );

    std::fs::remove_file(certs.join("ca.key")).unwrap();
    let ran = run(&["certs", &dir, "us-east1"]).await.expect(1);
    assert!(ran.stderr.contains("cannot sign without its key"), "{ran:?}");
    run(&["certs", &dir, "no region"]).await.expect(2);
    run(&["certs", &dir]).await.expect(2);
}

#[tokio::test]
async fn a_configuration_is_checked_without_a_node() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("node.toml");
    std::fs::write(&file, "[region]\nname = \"eu\"\n").unwrap();
    let ran = run(&["check-config", &text(&file)]).await.expect(1);
    assert!(
        ran.stdout.contains("region.id") && ran.stdout.contains("store.kind"),
        "all at once: {ran:?}"
    );
    run(&["check-config", "/nowhere/node.toml"]).await.expect(1);
}

#[tokio::test]
async fn a_manual_page_is_written_for_every_command() {
    let folder = tempfile::tempdir().unwrap();
    run(&["man", &text(folder.path())]).await.expect(0);
    for page in [
        "cartograph.1",
        "cartograph-status.1",
        "cartograph-region-forget.1",
    ] {
        let page = std::fs::read_to_string(folder.path().join(page)).unwrap();
        assert!(page.contains(".SH NAME"), "{page}");
    }
}

#[tokio::test]
async fn forgetting_is_confirmed_and_says_who_cannot_be_reached() {
    let region = format!("us={}", nobody().await);
    let ran = run(&["region", "forget", "eu", "--region", &region])
        .await
        .expect(2);
    assert!(ran.stderr.contains("cannot be undone"), "{ran:?}");
    run(&["region", "forget", "eu", "--yes", "--region", &region])
        .await
        .expect(3);
    let address = "https://10.0.0.1:7501";
    let ran = run(&[
        "region",
        "add",
        "eu",
        "--id",
        "2",
        "--address",
        address,
        "--dry-run",
        "--region",
        &region,
    ])
    .await
    .expect(0);
    assert!(
        ran.stdout.contains("would send PUT") && ran.stdout.contains("/v1/admin/peers/eu"),
        "{ran:?}"
    );
}
