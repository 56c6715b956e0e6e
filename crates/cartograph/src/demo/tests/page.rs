//! The page's requests, over nodes that are stand-ins: files, the stream of events, recorded writes, load.

use super::*;

/// Opens the stream of events.
async fn stream(fixture: &Fixture, query: &str) -> TcpStream {
    let host = fixture.url.trim_start_matches("http://").to_owned();
    let mut stream = TcpStream::connect(&host).await.unwrap();
    let request = format!("GET /api/events{query} HTTP/1.1\r\nhost: {host}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

/// Reads until `words` has come, and returns all that came.
async fn read_until(stream: &mut TcpStream, words: &str) -> String {
    let mut text = String::new();
    let read = async {
        let mut buffer = [0_u8; 4096];
        while !text.contains(words) {
            let count = stream.read(&mut buffer).await.unwrap();
            assert!(count > 0, "the stream ended: {text}");
            text.push_str(&String::from_utf8_lossy(&buffer[..count]));
        }
    };
    let ended = tokio::time::timeout(LIMIT, read).await;
    assert!(ended.is_ok(), "no {words:?} in: {text}");
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_and_its_files_are_served() {
    let fixture = Fixture::new(StoreArg::Embedded).await;
    let page = fixture.get("/").await;
    assert!(page.as_str().unwrap().contains("/page/app.js"));
    for file in ["app.js", "base.css", "land.js"] {
        assert!(fixture.get(&format!("/page/{file}")).await.is_string());
    }
    fixture
        .refused(Method::GET, "/page/nothing.js", None, 404, "no file")
        .await;
    assert!(
        fixture
            .get("/plain")
            .await
            .as_str()
            .unwrap()
            .contains("/api/converged")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_gets_what_happened_before_and_what_happens_then() {
    let fixture = Fixture::started(StoreArg::Embedded).await;
    tokio::spawn(crate::demo::page::run(Arc::clone(&fixture.demo)));
    let link = "/api/links/us-central1/europe-west1";
    fixture.send(Method::PUT, link, Some(json!({"up": false}))).await;
    let mut first = stream(&fixture, "?carts=a").await;
    let text = read_until(&mut first, "event: state").await;
    for words in [
        "event: hello",
        "event: record",
        r#""kind":"fault""#,
        r#""up":false"#,
        "event: live",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
    fixture.post("/api/heal").await;
    let text = read_until(&mut first, r#""what":"heal""#).await;
    let id = text.lines().find_map(|line| line.strip_prefix("id: ")).unwrap();
    // Who has seen all gets nothing again.
    let mut second = stream(&fixture, &format!("?after={id}")).await;
    let text = read_until(&mut second, "event: live").await;
    assert!(
        !text.contains("event: record") && text.contains(r#""resumed":true"#),
        "{text}"
    );
    fixture
        .refused(Method::GET, "/api/events?carts=a,b,c,d,e", None, 400, "at most 4")
        .await;
    fixture.demo.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_is_recorded_with_its_outcome_even_when_it_is_refused() {
    let fixture = Fixture::started(StoreArg::Embedded).await;
    let path = "/api/shop/us-central1/carts/c";
    let add = json!({"do": "add", "sku": "A", "quantity": 1});
    // The stand-in knows no carts: 404 is a definite answer.
    let (status, op) = fixture.send(Method::POST, path, Some(add.clone())).await;
    assert_eq!((status, &op["outcome"]), (200, &json!("refused")), "{op}");
    fixture.post("/api/regions/us-central1/kill").await;
    let (_, op) = fixture.send(Method::POST, path, Some(add)).await;
    assert!(op["error"].as_str().unwrap().contains("stopped"), "{op}");
    fixture
        .refused(Method::POST, path, Some(json!({"do": "steal"})), 400, "expected")
        .await;
    fixture
        .refused(
            Method::POST,
            "/api/shop/mars/carts/c",
            Some(json!({"do": "clear"})),
            404,
            "mars",
        )
        .await;
    let record = fixture.get("/api/record").await;
    let kinds: Vec<&str> = record["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| event["kind"].as_str().unwrap())
        .collect();
    assert_eq!(kinds, ["op", "fault", "op"]);
    fixture.demo.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn load_is_bounded_and_what_is_refused_is_not_acknowledged() {
    let fixture = Fixture::started(StoreArg::Embedded).await;
    let set = |rate: i64| Some(json!({"region": "us-central1", "per_second": rate}));
    for rate in [1001, -1] {
        fixture
            .refused(Method::POST, "/api/load", set(rate), 400, "per_second")
            .await;
    }
    fixture.send(Method::POST, "/api/load", set(200)).await;
    eventually("requests are made", async || {
        fixture.get("/api/load").await["refused"].as_u64().unwrap()
            + fixture.get("/api/load").await["unknown"].as_u64().unwrap()
            > 10
    })
    .await;
    let load = fixture.get("/api/load").await;
    assert_eq!(load["acknowledged"], 0, "{load}");
    fixture.send(Method::POST, "/api/load", set(0)).await;
    fixture.demo.shutdown().await;
}
