//! Programs that the tests run: this test program itself, again, with one ignored test.
//!
//! A stand-in node reads the settings file that the demo wrote, listens where that says, and answers what the demo asks of a
//! node.

use super::*;

/// Not a test: the wrapper `demo-child`.
#[test]
#[ignore = "a program for other tests"]
fn wrapper() {
    #[derive(clap::Parser)]
    struct Wrapper {
        #[command(flatten)]
        child: ChildArgs,
    }
    let words = std::env::args_os().skip_while(|word| word != "--");
    if let Ok(wrapper) = <Wrapper as clap::Parser>::try_parse_from(words) {
        let error = run_child(wrapper.child).unwrap_err();
        eprintln!("{error:#}");
        std::process::exit(127);
    }
}

/// Not a test: a node.
#[test]
#[ignore = "a program for other tests"]
fn node() {
    let Some(path) = std::env::args()
        .next_back()
        .filter(|path| path.ends_with("node.toml"))
    else {
        return;
    };
    let settings: toml::Table = fs::read_to_string(&path).unwrap().parse().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async move {
        let listen = |part: &str| settings[part]["listen"].as_str().unwrap().to_owned();
        let name = settings["region"]["name"].as_str().unwrap().to_owned();
        if fs::exists("refuse-to-start").unwrap() {
            eprintln!("a reason that people should see");
            std::process::exit(3);
        }
        if let Some(dir) = settings["store"].get("path") {
            fs::write(format!("{}/opened", dir.as_str().unwrap()), "x").unwrap();
        }
        let peer = AsyncListener::bind(listen("peer")).await.unwrap();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = peer.accept().await {
                let _ = stream.write_all(name.as_bytes()).await;
            }
        });
        let digest =
            json!({"version_vectors": {"0": {"1-1": "5"}}, "as_of": "0", "buckets": {"0": ["00ff"]}});
        let router = Router::new()
            .route("/readyz", get(readyz))
            .route("/v1/digest", get(|| async { Json(digest) }))
            .route("/crash", get(crash))
            .route("/leave", get(leave))
            .route("/v1/admin/peers/{region}", put(learn_peer))
            .with_state(PathBuf::from("peers-told"));
        let listener = AsyncListener::bind(listen("http")).await.unwrap();
        axum::serve(listener, router).await.unwrap();
    });
}

async fn readyz() -> StatusCode {
    if fs::exists("never-ready").unwrap() {
        StatusCode::SERVICE_UNAVAILABLE
    } else {
        StatusCode::OK
    }
}

/// What a node does that somebody has sent SIGTERM.
async fn leave() -> StatusCode {
    std::process::exit(0)
}

async fn crash() -> StatusCode {
    std::process::exit(3)
}

async fn learn_peer(State(file): State<PathBuf>, UrlPath(region): UrlPath<String>, Json(body): Json<Value>) {
    let mut file = fs::File::options().create(true).append(true).open(file).unwrap();
    writeln!(
        file,
        "{region} {} {}",
        body["id"],
        body["address"].as_str().unwrap()
    )
    .unwrap();
}

/// Not a test: a demo that starts one child, writes its process id and waits to be killed.
#[test]
#[ignore = "a program for other tests"]
fn demo() {
    let Some(dir) = std::env::args()
        .next_back()
        .map(PathBuf::from)
        .filter(|dir| dir.is_dir())
    else {
        return;
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async move {
        let console = Arc::new(Console::kept());
        let launcher = Launcher::new(Some(again("demo::tests::stand_ins::wrapper")), console).unwrap();
        let program = process::Program {
            env: Vec::new(),
            what: "the child".to_owned(),
            file: PathBuf::from("sleep"),
            args: vec![OsString::from("300")],
            log: dir.join("log"),
            dir: dir.clone(),
        };
        let child = launcher.start(&program).await.unwrap();
        fs::write(dir.join("pid.new"), child.pid().to_string()).unwrap();
        fs::rename(dir.join("pid.new"), dir.join("pid")).unwrap();
        tokio::time::sleep(Duration::from_mins(5)).await;
    });
}
