//! Regions, the links between them, and the control API.

use super::*;

#[tokio::test]
async fn each_node_dials_the_proxy_of_its_own_direction() {
    let fixture = Fixture::started(StoreArg::Embedded).await;
    let links: BTreeMap<String, u16> = fixture
        .demo
        .links
        .all()
        .iter()
        .map(|link| (format!("{} {}", link.from, link.to), link.address.port()))
        .collect();
    assert_eq!(links.len(), 2);
    let settings = fixture.settings("us-central1");
    let peer = &settings["peers"][0];
    assert_eq!(
        (peer["region"].as_str(), peer["id"].as_integer()),
        (Some("europe-west1"), Some(2))
    );
    let address = peer["address"]
        .as_str()
        .unwrap()
        .strip_prefix("http://")
        .unwrap()
        .to_owned();
    assert!(
        address.ends_with(&format!(":{}", links["us-central1 europe-west1"])),
        "{address}"
    );

    let reach = async || {
        let mut name = String::new();
        let mut stream = TcpStream::connect(&address).await.unwrap();
        let _ = stream.read_to_string(&mut name).await;
        name
    };
    assert_eq!(reach().await, "europe-west1");
    let path = "/api/links/us-central1/europe-west1";
    let (status, link) = fixture.send(Method::PUT, path, Some(json!({"up": false}))).await;
    assert_eq!(
        (status, &link["up"], &link["latency_ms"]),
        (200, &json!(false), &json!(50))
    );
    assert_eq!(reach().await, "", "cut");
    fixture
        .refused(Method::PUT, path, Some(json!({"loss": 2})), 400, "from 0 to 1")
        .await;
    assert_eq!(fixture.get(path).await, link, "a refused change changes nothing");
    fixture
        .refused(
            Method::PUT,
            "/api/links/us-central1/mars",
            Some(json!({})),
            404,
            "europe-west1",
        )
        .await;
    let healed = fixture.post("/api/heal").await;
    assert_eq!(healed["links"], fixture.get("/api/links").await);
    assert_eq!(reach().await, "europe-west1", "healed");
    fixture.demo.shutdown().await;
}

fn new_region() -> Value {
    json!({"name": "asia-southeast1"})
}

#[tokio::test]
async fn a_region_that_cannot_be_added_changes_nothing() {
    let fixture = Fixture::started(StoreArg::Embedded).await;
    for (body, expected, word) in [
        (json!({"name": "us-central1"}), 409, "exists already"),
        (json!({"name": "Nowhere!"}), 400, "a-z"),
        (json!({"named": "x"}), 400, "name"),
        (json!([]), 400, "name"),
    ] {
        fixture
            .refused(Method::POST, "/api/regions", Some(body), expected, word)
            .await;
    }
    let taken = std::net::TcpListener::bind(ports::loopback(fixture.demo.base + 203)).unwrap();
    fixture
        .refused(
            Method::POST,
            "/api/regions",
            Some(new_region()),
            409,
            "asia-southeast1's gRPC API",
        )
        .await;
    drop(taken);
    assert_eq!(fixture.get("/api/regions").await.as_array().unwrap().len(), 2);
    fixture.demo.shutdown().await;
}

#[tokio::test]
async fn a_region_is_added_and_every_node_hears_of_it() {
    let fixture = Fixture::started(StoreArg::Embedded).await;
    // A paused node hears of it when it goes on, a killed one when it starts anew.
    fixture.post("/api/regions/europe-west1/pause").await;
    let (status, added) = fixture
        .send(Method::POST, "/api/regions", Some(new_region()))
        .await;
    assert_eq!(
        (status, &added["id"], &added["state"]),
        (201, &json!(3), &json!("running")),
        "{added}"
    );
    assert!(fixture.is_ready("asia-southeast1").await);
    assert_eq!(fixture.get("/api/links").await.as_array().unwrap().len(), 6);
    let told = |region: &str| {
        fs::read_to_string(fixture.demo.data.path().join(region).join("peers-told")).unwrap_or_default()
    };
    eventually("the running node was told", async || {
        told("us-central1").starts_with("asia-southeast1 3 http://127")
    })
    .await;
    assert_eq!(told("europe-west1"), "");
    assert_eq!(
        fixture.post("/api/heal").await["resumed"],
        json!(["europe-west1"])
    );
    eventually("the resumed node was told", async || {
        told("europe-west1").starts_with("asia-southeast1 3 ")
    })
    .await;

    for region in ["us-central1", "europe-west1", "asia-southeast1"] {
        assert_eq!(
            fixture.settings(region)["peers"].as_array().unwrap().len(),
            2,
            "{region}"
        );
    }
    let address = told("us-central1").split_whitespace().last().unwrap().to_owned();
    assert_eq!(
        fixture.settings("us-central1")["peers"][1]["address"].as_str(),
        Some(address.as_str())
    );
    let record = fixture.demo.data.record().unwrap().unwrap();
    assert_eq!(
        record.regions.last(),
        Some(&RecordedRegion {
            name: "asia-southeast1".to_owned(),
            id: 3
        })
    );
    fixture.demo.shutdown().await;
}

#[tokio::test]
async fn the_control_api_answers_every_mistake_in_json() {
    let fixture = Fixture::new(StoreArg::Embedded).await;
    fixture
        .refused(Method::GET, "/api/nothing", None, 404, "/api/links")
        .await;
    fixture
        .refused(Method::DELETE, "/api/heal", None, 405, "POST")
        .await;
    fixture
        .refused(
            Method::POST,
            "/api/regions/x/kill",
            None,
            404,
            "there is no region",
        )
        .await;
    fixture
        .refused(Method::GET, "/api/converged?deep=2", None, 400, "0 or 1")
        .await;
    assert!(
        fixture
            .get("/plain")
            .await
            .as_str()
            .unwrap()
            .contains("/api/converged")
    );
    let raw = async |request: String| {
        let mut stream = TcpStream::connect(fixture.url.strip_prefix("http://").unwrap())
            .await
            .unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut reply = String::new();
        stream.read_to_string(&mut reply).await.unwrap();
        reply
    };
    let rebound = "GET /api/links HTTP/1.1\r\nhost: evil.example\r\nconnection: close\r\n\r\n".to_owned();
    assert!(raw(rebound).await.starts_with("HTTP/1.1 403"));
    let host = fixture.url.strip_prefix("http://").unwrap();
    let page = format!(
        "POST /api/heal HTTP/1.1\r\nhost: {host}\r\norigin: http://evil.example\r\ncontent-type: text/plain\r\n\
         content-length: 2\r\nconnection: close\r\n\r\n{{}}"
    );
    assert!(raw(page).await.starts_with("HTTP/1.1 403"));
}

#[test]
fn recorded_regions_keep_their_ids_and_take_part() {
    let record = Record {
        store: "redis".to_owned(),
        regions: two_regions(),
    };
    let names = ["asia-southeast1".to_owned(), "us-central1".to_owned()];
    let (regions, said) = regions_of(Some(&names), Some(&record));
    let ids: Vec<(&str, u16)> = regions
        .iter()
        .map(|region| (region.name.as_str(), region.id))
        .collect();
    assert_eq!(
        ids,
        [("us-central1", 1), ("europe-west1", 2), ("asia-southeast1", 3)]
    );
    assert!(said.len() == 1 && said[0].contains("europe-west1"), "{said:?}");
    let (fresh, _) = regions_of(Some(&names), None);
    assert_eq!(
        fresh[0],
        RecordedRegion {
            name: "asia-southeast1".to_owned(),
            id: 1
        }
    );
    let (same, said) = regions_of(None, Some(&record));
    assert_eq!((same, said.len()), (two_regions(), 0), "naming none adds none");
    assert_eq!(regions_of(None, None).0.len(), 3);
}
