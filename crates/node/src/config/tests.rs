use super::*;

const SMALL: &str = r#"
    [region]
    name = "us-central1"
    id = 1
    [store]
    kind = "memory"
"#;

fn parse(text: &str) -> Result<Config, ConfigError> {
    Config::parse(text, [])
}

fn problems(text: &str, variables: &[(&str, &str)]) -> Vec<String> {
    let variables = variables.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
    match Config::parse(text, variables) {
        Err(ConfigError::Invalid(problems)) => problems.iter().map(Problem::to_string).collect(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_least_configuration_has_every_default() {
    let config = parse(SMALL).unwrap();
    assert_eq!(config.region.id, RegionId(1));
    assert_eq!(config.cluster.name, "cartograph");
    assert!(config.cluster.bootstrap, "nobody to wait for");
    assert_eq!(config.http.listen.to_string(), "127.0.0.1:7101");
    assert_eq!(config.carts.ttl, Duration::from_hours(30 * 24));
    assert_eq!(config.carts.lines_max, 1_000);
    assert_eq!(config.limits.session_wait, Duration::from_secs(2));
    assert!(!config.insecure && !config.store.allow_flush);
}

#[test]
fn the_demos_configuration_is_read() {
    let config = parse(
        r#"
        [region]
        name = "us-central1"
        id = 1
        [cluster]
        name = "demo"
        [http]
        listen = "127.0.0.1:7101"
        [grpc]
        listen = "127.0.0.1:7301"
        [peer]
        listen = "127.0.0.1:7501"
        [store]
        kind = "redis"
        url = "redis://127.0.0.1:7401"
        durability = "disk"
        allow_flush = true
        [log]
        format = "text"
        [[peers]]
        region = "europe-west1"
        id = 2
        address = "http://127.0.0.1:40001"
        "#,
    )
    .unwrap();
    assert!(!config.cluster.bootstrap, "peers are waited for");
    assert!(config.store.allow_flush);
    assert_eq!(config.store.durability, cartograph_store::Durability::Disk);
    let redis = StoreKind::Redis {
        url: "redis://127.0.0.1:7401".to_owned(),
        metadata_db: 15,
    };
    assert_eq!(config.store.kind, redis);
    assert_eq!(config.peers[0].id, RegionId(2));
}

#[test]
fn the_environment_wins_over_the_file() {
    let variables = [
        ("CARTOGRAPH_REGION_ID", "7"),
        ("CARTOGRAPH_CARTS_LINES_MAX", "10"),
        ("CARTOGRAPH_INSECURE", "true"),
        ("CARTOGRAPH_HTTP_LISTEN", "0.0.0.0:80"),
        ("CARTOGRAPH_PEERS", "eu=2@http://eu:7501, asia=3@http://asia:7501"),
        ("CARTOGRAPH_SERVICE_HOST", "10.0.0.1"),
        ("PATH", "/bin"),
    ];
    let variables = variables.map(|(k, v)| (k.to_owned(), v.to_owned()));
    let config = Config::parse(SMALL, variables).unwrap();
    assert_eq!(config.region.id, RegionId(7));
    assert_eq!(config.carts.lines_max, 10);
    assert_eq!(config.peers.len(), 2);
    assert_eq!(config.peers[1].address, "http://asia:7501");
    assert_eq!(config.unknown_variables, ["CARTOGRAPH_SERVICE_HOST"]);
}

#[test]
fn every_mistake_is_named_with_what_was_found_and_expected() {
    let found = problems(
        r#"
        colour = "blue"
        [region]
        name = "no spaces please"
        id = 0
        [cluster]
        shards = 2
        [store]
        kind = "sqlite"
        [log]
        format = "xml"
        [limits]
        requests = 3
        "#,
        &[],
    );
    let expected = [
        "region.name: found \"no spaces please\", expected 1 to 63 letters, digits, `-`, `_` and `.`",
        "region.id: found 0, expected an integer from 1 to 65535",
        "cluster.shards: found 2, expected an integer from 1 to 1",
        "colour: found a key that does not exist, expected another name, or no such key",
    ];
    for line in expected {
        assert!(found.contains(&line.to_owned()), "{line}\nnot in {found:#?}");
    }
}

#[test]
fn stores_need_what_belongs_to_them() {
    let with = |store: &str| format!("[region]\nname = \"us\"\nid = 1\n[store]\n{store}");
    assert_eq!(
        problems(&with("kind = 'redis'"), &[]),
        ["store.url: found nothing, expected redis://HOST:PORT"]
    );
    assert_eq!(
        problems(&with("kind = 'embedded'"), &[]),
        ["store.path: found nothing, expected a directory"]
    );
    assert_eq!(
        problems(&with("kind = 'sqlite'"), &[]),
        ["store.kind: found \"sqlite\", expected one of \"redis\", \"embedded\", \"memory\""]
    );
    assert_eq!(
        problems(&with("kind = 'memory'\ndurability = 5"), &[]),
        ["store.durability: found 5, expected one of \"process\", \"disk\", \"replica\""]
    );
}

#[test]
fn a_door_that_strangers_reach_is_refused_unless_meant() {
    let open = format!("{SMALL}\n[http]\nlisten = '0.0.0.0:8080'");
    let found = problems(&open, &[]);
    assert_eq!(found.len(), 1);
    assert!(
        found[0].starts_with("http.listen: found 0.0.0.0:8080, expected a loopback address"),
        "{found:?}"
    );
    assert!(parse(&format!("insecure = true\n{open}")).is_ok());
    let peer = format!("{SMALL}\n[peer]\nlisten = '[::]:7501'");
    assert!(problems(&peer, &[])[0].starts_with("peer.listen"));
    let doors_only = problems(&format!("insecure = true\n{peer}"), &[]);
    assert!(doors_only[0].starts_with("peer.listen"), "{doors_only:?}");
    assert!(parse(&format!("{peer}\ninsecure = true")).is_ok());
    let guarded = format!("{peer}\n[peer.tls]\ncert = 'c'\nkey = 'k'\nca = 'a'");
    assert!(parse(&guarded).is_ok());
    assert!(parse(&format!("{SMALL}\n[http]\nlisten = '[::1]:8080'")).is_ok());
}

#[test]
fn peers_are_checked_one_by_one_and_against_each_other() {
    let with = |peers: &str| problems(&format!("{SMALL}{peers}"), &[]);
    assert_eq!(
        with("[[peers]]\nregion = 'eu'\nid = 2"),
        ["peers[0].address: found nothing, expected http://HOST:PORT"]
    );
    let same_id = with("[[peers]]\nregion = 'eu'\nid = 1\naddress = 'http://eu:1'");
    assert_eq!(
        same_id,
        ["peers.id: found 1, expected an id that no other region has"]
    );
    let scheme = with("[[peers]]\nregion = 'eu'\nid = 2\naddress = 'https://eu:1'");
    assert_eq!(
        scheme,
        ["peers.address: found https://eu:1, expected http://HOST:PORT (without peer.tls)"]
    );
    assert_eq!(
        problems(SMALL, &[("CARTOGRAPH_PEERS", "eu")]),
        ["peers[0]: found \"eu\", expected NAME=ID@ADDRESS"]
    );
    let extra = with("[[peers]]\nregion = 'eu'\nid = 2\naddress = 'http://eu:1'\nport = 3");
    assert_eq!(extra.len(), 1);
    assert!(extra[0].starts_with("peers[0].port: found a key that does not exist"));
}

#[test]
fn half_a_certificate_is_refused() {
    let half = format!("{SMALL}\n[peer.tls]\ncert = 'c'");
    assert_eq!(
        problems(&half, &[]),
        ["peer.tls: found only a part of it, expected cert, key and ca, or none of them"]
    );
    assert!(matches!(parse("region ="), Err(ConfigError::Syntax(_))));
}

#[test]
fn the_door_for_redis_clients_has_redis_own_limits() {
    let resp = parse(SMALL).unwrap().resp;
    assert_eq!(resp.listen.to_string(), "127.0.0.1:7201");
    assert_eq!(resp.clients_max, 20_000);
    assert_eq!(resp.bulk_bytes_max, 512 << 20);
    assert_eq!(resp.query_bytes_max, 1 << 30);
    assert_eq!(resp.output_bytes_max, 256 << 20);
    assert_eq!(resp.idle_timeout, None);
    assert!(resp.threads >= 1 && resp.tls.is_none() && resp.users_file.is_none());
    assert!(resp.local_prefixes.is_empty());
}

const ON_REDIS: &str =
    "[region]\nname = 'us'\nid = 1\n[store]\nkind = 'redis'\nurl = 'redis://127.0.0.1:1'\n";

#[test]
fn classes_come_from_the_file_or_from_one_variable() {
    let text = format!(
        "{ON_REDIS}[resp]\nidle_timeout_seconds = 300\nusers_file = 'u.toml'\naudit_file = 'a.log'\n\
         [[resp.classes]]\nprefix = 'cache:'\nclass = 'local'\n[[resp.classes]]\nprefix = 'sess:'\nclass = 'replicated'"
    );
    let resp = parse(&text).unwrap().resp;
    assert_eq!(resp.local_prefixes, [b"cache:".to_vec()]);
    assert_eq!(resp.idle_timeout, Some(Duration::from_mins(5)));
    assert_eq!(resp.users_file, Some(PathBuf::from("u.toml")));
    assert_eq!(resp.audit_file, Some(PathBuf::from("a.log")));
    let variables = [
        ("CARTOGRAPH_RESP_CLASSES", "cache:=local, a=b=local"),
        ("CARTOGRAPH_RESP_CLIENTS_MAX", "7"),
    ];
    let variables = variables.map(|(k, v)| (k.to_owned(), v.to_owned()));
    let resp = Config::parse(&text, variables).unwrap().resp;
    assert_eq!(resp.local_prefixes, [b"cache:".to_vec(), b"a=b".to_vec()]);
    assert_eq!(resp.clients_max, 7);
}

#[test]
fn a_class_that_cannot_be_is_refused_by_its_place() {
    let with = |class: &str| problems(&format!("{ON_REDIS}[[resp.classes]]\n{class}"), &[]);
    assert_eq!(
        with("class = 'local'"),
        ["resp.classes[0].prefix: found nothing, expected the first letters of keys"]
    );
    assert_eq!(
        with("prefix = 'x:'\nclass = 'remote'"),
        ["resp.classes[0].class: found \"remote\", expected one of \"local\", \"replicated\""]
    );
    for prefix in ["c", "cart:", "cart:guest:"] {
        let found = with(&format!("prefix = '{prefix}'\nclass = 'local'"));
        assert_eq!(found.len(), 1, "{prefix}");
        assert!(found[0].ends_with("expected keys that are no carts: those are always replicated"));
    }
    let inside =
        with("prefix = 'x:'\nclass = 'local'\n[[resp.classes]]\nprefix = 'x:y'\nclass = 'replicated'");
    assert!(inside[0].starts_with("resp.classes[1].prefix"), "{inside:?}");
    let memory = problems(
        &format!("{SMALL}[[resp.classes]]\nprefix = 'x:'\nclass = 'local'"),
        &[],
    );
    assert!(
        memory[0].starts_with("resp.classes: found a class `local`"),
        "{memory:?}"
    );
}

#[test]
fn redis_clients_from_elsewhere_need_users_and_tls() {
    let open = format!("{SMALL}[resp]\nlisten = '0.0.0.0:6379'");
    assert!(
        problems(&open, &[])[0].starts_with("resp.listen: found 0.0.0.0:6379, expected a loopback address")
    );
    let half = format!("{open}\nusers_file = 'u'");
    assert_eq!(
        problems(&half, &[]).len(),
        1,
        "passwords would be read on the way"
    );
    assert!(parse(&format!("{half}\n[resp.tls]\ncert = 'c'\nkey = 'k'")).is_ok());
    assert!(parse(&format!("insecure = true\n{open}")).is_ok());
    assert_eq!(
        problems(&format!("{SMALL}[resp.tls]\nclient_ca = 'c'"), &[]),
        ["resp.tls: found only a part of it, expected cert and key together, or neither"]
    );
    assert_eq!(
        problems(&format!("{SMALL}[resp]\nquery_bytes_max = 1048576"), &[]),
        ["resp.query_bytes_max: found 1048576, expected at least resp.bulk_bytes_max (536870912)"]
    );
}
