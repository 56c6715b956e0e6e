//! The door for Redis clients, seen from a client: what the node answers itself, beside a plain Redis.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use bytes::BytesMut;
use cartograph_node::Node;
use cartograph_node::config::{Config, StoreKind};
use cartograph_resp::{Value, encode_command};
use cartograph_store::launcher::{self, PrivateServer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{BOUND, Http, config, eventually};

/// A client that speaks Redis's protocol by itself.
struct Client {
    stream: TcpStream,
    buffer: BytesMut,
}

impl Client {
    async fn to(port: u16) -> Client {
        Client {
            stream: TcpStream::connect(("127.0.0.1", port)).await.unwrap(),
            buffer: BytesMut::new(),
        }
    }

    async fn send(&mut self, words: &[&str]) {
        let mut bytes = BytesMut::new();
        encode_command(words, &mut bytes);
        self.stream.write_all(&bytes).await.unwrap();
    }

    async fn reply(&mut self) -> Value {
        let reading = async {
            loop {
                if let Some(value) = Value::decode(&mut self.buffer).unwrap() {
                    return value;
                }
                assert_ne!(self.stream.read_buf(&mut self.buffer).await.unwrap(), 0, "closed");
            }
        };
        tokio::time::timeout(BOUND, reading).await.unwrap()
    }

    /// A command, its words separated by blanks; `_` in a word is a blank.
    async fn ask(&mut self, line: &str) -> Value {
        let words: Vec<String> = line.split(' ').map(|w| w.replace('_', " ")).collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        self.words(&words).await
    }

    async fn words(&mut self, words: &[&str]) -> Value {
        self.send(words).await;
        self.reply().await
    }

    /// A reply that is a text.
    async fn text(&mut self, line: &str) -> String {
        text(&self.ask(line).await)
    }

    async fn is_closed(&mut self) -> bool {
        let read = self.stream.read_buf(&mut self.buffer);
        matches!(tokio::time::timeout(BOUND, read).await, Ok(Ok(0) | Err(_)))
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::Bulk(bytes) | Value::Verbatim(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        Value::Simple(text) => text.to_string(),
        Value::Error(text) => text.clone(),
        Value::Integer(n) => n.to_string(),
        other => panic!("{other:?}"),
    }
}

/// A node on a Redis of its own.
struct Region {
    node: Node,
    redis: PrivateServer,
    _dir: tempfile::TempDir,
}

impl Region {
    async fn start(change: impl FnOnce(&mut Config, &Path)) -> Region {
        let dir = tempfile::tempdir().unwrap();
        let program = launcher::find().expect("a redis-server on PATH");
        let redis = PrivateServer::start_anywhere(&program, dir.path(), &["--save", ""]).unwrap();
        let mut config = config(1, "");
        config.store.kind = StoreKind::Redis {
            url: redis.url(),
            metadata_db: 15,
        };
        change(&mut config, dir.path());
        let node = Node::start(config).await.unwrap();
        let region = Region {
            node,
            redis,
            _dir: dir,
        };
        eventually("the node is ready", || async {
            region.node.why_not_ready().await.is_none().then_some(())
        })
        .await;
        region
    }

    async fn client(&self) -> Client {
        Client::to(self.node.resp_address().port()).await
    }

    /// A client of the Redis behind it.
    async fn plain(&self) -> Client {
        Client::to(self.redis.port()).await
    }

    async fn metrics(&self) -> String {
        Http::to(self.node.http_address()).get("/metrics").await.text
    }
}

/// What answers the same here and on a plain Redis 7, errors included.
const SAME: &[&str] = &[
    "PING",
    "PING hello",
    "PING a b",
    "ECHO x",
    "ECHO",
    "SELECT 0",
    "SELECT x",
    "SELECT 16",
    "RESET",
    "CLIENT",
    "CLIENT FOO",
    "CLIENT GETNAME",
    "CLIENT SETNAME",
    "CLIENT SETNAME a_b",
    "CLIENT SETNAME me",
    "CLIENT GETNAME",
    "CLIENT REPLY foo",
    "CLIENT REPLY ON",
    "CLIENT NO-EVICT foo",
    "CLIENT NO-EVICT on",
    "CLIENT KILL",
    "CLIENT KILL 1:2",
    "CLIENT KILL ID x",
    "CLIENT KILL ID 0",
    "CLIENT KILL ID 99999",
    "CLIENT KILL TYPE foo",
    "CLIENT KILL TYPE master",
    "CLIENT KILL USER nobody",
    "CLIENT KILL FOO bar",
    "CLIENT KILL SKIPME maybe",
    "CLIENT LIST FOO",
    "CLIENT LIST ID",
    "CLIENT LIST ID x",
    "CLIENT LIST ID 99999",
    "CLIENT LIST TYPE foo",
    "CLIENT LIST TYPE replica",
    "CLIENT UNBLOCK x",
    "CLIENT UNBLOCK 99999",
    "CLIENT UNBLOCK 1 foo",
    "CLIENT GETREDIR",
    "CLIENT TRACKINGINFO",
    "CLIENT TRACKING OFF",
    "CLIENT TRACKING foo",
    "CLIENT UNPAUSE",
    "CLIENT PAUSE x",
    "CLIENT PAUSE 0",
    "CLIENT PAUSE 10 foo",
    "CLIENT CACHING yes",
    "HELLO x",
    "HELLO 4",
    "HELLO 3 AUTH a",
    "HELLO 3 FOO",
    "HELLO 2 SETNAME",
    "HELLO 3 AUTH nobody x",
    "AUTH x",
    "AUTH default x",
    "AUTH nobody x",
    "AUTH a b c",
    "CONFIG GET",
    "CONFIG GET save",
    "CONFIG GET nosuch",
    "CONFIG GET slowlog-*",
    "CONFIG SET nosuch 1",
    "CONFIG SET timeout",
    "CONFIG SET slowlog-max-len x",
    "CONFIG FOO",
    "CLUSTER INFO",
    "CLUSTER NODES",
    "CLUSTER SLOTS",
    "CLUSTER SHARDS",
    "CLUSTER KEYSLOT foo",
    "CLUSTER MYID",
    "CLUSTER FOO",
    "READONLY",
    "READWRITE",
    "ASKING",
    "SLOWLOG GET",
    "SLOWLOG GET -2",
    "SLOWLOG LEN",
    "SLOWLOG RESET",
    "SLOWLOG FOO",
    "LATENCY LATEST",
    "LATENCY HISTORY x",
    "LATENCY RESET",
    "LATENCY GRAPH x",
    "LATENCY HISTOGRAM nosuch",
    "LATENCY FOO",
    "MEMORY PURGE",
    "MEMORY FOO",
    "MODULE LIST",
    "MODULE FOO",
    "ROLE",
    "ACL WHOAMI",
    "ACL USERS",
    "ACL LIST",
    "ACL GETUSER default",
    "ACL GETUSER nobody",
    "ACL CAT",
    "ACL CAT foo",
    "ACL GENPASS 0",
    "ACL LOG x",
    "ACL LOG RESET",
    "ACL LOG",
    "ACL DRYRUN default GET a",
    "ACL DRYRUN nobody GET a",
    "ACL DRYRUN default NOSUCH",
    "ACL DRYRUN",
    "ACL FOO",
    "COMMAND FOO",
    "COMMAND INFO get nosuch mset config|get",
    "COMMAND INFO eval xread sort zunionstore bitop lpop set",
    "COMMAND GETKEYS",
    "COMMAND GETKEYS SET",
    "COMMAND GETKEYS NOSUCH a",
    "COMMAND GETKEYS PING a",
    "COMMAND GETKEYS GET a b",
    "COMMAND GETKEYS MSET a b c d",
    "COMMAND GETKEYS EVAL x 2 a b",
    "COMMAND GETKEYSANDFLAGS MSET a b c d",
    "COMMAND GETKEYSANDFLAGS GET x",
    "COMMAND LIST FILTERBY FOO bar",
    "COMMAND LIST FILTERBY ACLCAT foo",
    "COMMAND LIST FILTERBY PATTERN xr*",
    "COMMAND LIST FILTERBY MODULE x",
    "COMMAND DOCS nosuch",
    "FLUSHALL foo",
    "INFO foo",
    "INFO cluster",
    "TIME x",
    "LASTSAVE x",
    "NOSUCH a b",
];

/// Sets and lists of names in one order; tips and notes for people, which we do not give, left out.
fn ordered(line: &str, value: Value) -> Value {
    let names_alone =
        line.starts_with("COMMAND LIST") || line.starts_with("ACL CAT") || line.starts_with("CONFIG GET");
    match value {
        Value::Array(mut items) => {
            // An entry of COMMAND: the eighth part are tips.
            let is_entry = line.starts_with("COMMAND INFO") && items.len() == 10;
            if is_entry {
                items[7] = Value::Null;
            }
            // What RESP2 has for the map of a key spec may begin with a note for people.
            if matches!(&items[..], [Value::Bulk(key), ..] if key == "notes") {
                items.drain(..2);
            }
            let flags =
                line.starts_with("COMMAND INFO") && items.iter().all(|v| matches!(v, Value::Simple(_)));
            let mut items: Vec<Value> = items.into_iter().map(|v| ordered(line, v)).collect();
            if names_alone || flags {
                items.sort_by_key(|v| format!("{v:?}"));
            }
            Value::Array(items)
        }
        Value::Set(items) => {
            let mut items: Vec<Value> = items.into_iter().map(|v| ordered(line, v)).collect();
            items.sort_by_key(|v| format!("{v:?}"));
            Value::Set(items)
        }
        Value::Map(pairs) => {
            let pairs = pairs.into_iter().map(|(k, v)| (k, ordered(line, v)));
            let mut pairs: Vec<_> = pairs.filter(|(k, _)| *k != Value::Bulk("notes".into())).collect();
            pairs.sort_by_key(|(k, _)| format!("{k:?}"));
            Value::Map(pairs)
        }
        other => other,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_node_answers_itself_is_what_a_plain_redis_answers() {
    let region = Region::start(|_, _| {}).await;
    let dir = tempfile::tempdir().unwrap();
    let program = launcher::find().expect("a redis-server on PATH");
    let plain = PrivateServer::start_anywhere(&program, dir.path(), &["--save", ""]).unwrap();
    let mut wrong = Vec::new();
    for protocol in ["2", "3"] {
        let (mut ours, mut theirs) = (region.client().await, Client::to(plain.port()).await);
        for line in SAME {
            // Commands change the protocol: each is asked from the same beginning.
            for client in [&mut ours, &mut theirs] {
                client.ask(&format!("HELLO {protocol}")).await;
            }
            let (here, there) = (ours.ask(line).await, theirs.ask(line).await);
            let (here, there) = (ordered(line, here), ordered(line, there));
            if here != there {
                wrong.push(format!(
                    "RESP{protocol} {line}\n  here  {here:?}\n  there {there:?}"
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{} of them:\n{}", wrong.len(), wrong.join("\n"));
    region.node.stop().await;
}

/// Lines of INFO.
fn lines(info: &str) -> BTreeMap<String, String> {
    let lines = info.lines().filter_map(|l| l.trim_end().split_once(':'));
    lines.map(|(k, v)| (k.to_owned(), v.to_owned())).collect()
}

/// What exporters and boards read as numbers.
fn numbers_are_there(info: &BTreeMap<String, String>) {
    for key in [
        "uptime_in_seconds",
        "used_memory",
        "used_memory_rss",
        "maxmemory",
        "mem_fragmentation_ratio",
        "evicted_keys",
        "expired_keys",
        "keyspace_hits",
        "keyspace_misses",
        "blocked_clients",
        "maxclients",
        "total_net_input_bytes",
        "total_net_output_bytes",
        "total_connections_received",
        "rejected_connections",
        "instantaneous_ops_per_sec",
        "used_cpu_sys",
        "used_cpu_user",
        "master_repl_offset",
        "connected_slaves",
        "tcp_port",
        "process_id",
        "rdb_last_save_time",
        "aof_enabled",
        "total_error_replies",
    ] {
        assert!(info[key].parse::<f64>().is_ok(), "{key}: {}", info[key]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn info_has_what_exporters_read_from_where_it_is_true() {
    let region = Region::start(|_, _| {}).await;
    let mut client = region.client().await;
    assert_eq!(client.text("SET a 1 EX 100").await, "OK");
    assert_eq!(client.text("HSET h f v").await, "1");
    assert_eq!(client.text("GET a").await, "1");
    assert!(client.text("INCR h").await.starts_with("WRONGTYPE"));
    let plain = lines(&region.plain().await.text("INFO everything").await);
    let info = eventually("what was done is counted", || async {
        let info = lines(&region.client().await.text("INFO all").await);
        let counted = info
            .get("cmdstat_incr")
            .is_some_and(|l| l.contains("failed_calls=1"));
        // What the store says may be a tenth of a second old.
        let counted = counted && info.get("db0").is_some_and(|l| l.starts_with("keys=2,"));
        counted.then_some(info)
    })
    .await;
    assert_eq!(info["redis_version"], plain["redis_version"]);
    assert_eq!(info["redis_mode"], "standalone");
    assert_eq!(
        (
            &info["role"][..],
            &info["loading"][..],
            &info["cluster_enabled"][..]
        ),
        ("master", "0", "0")
    );
    assert!(info["db0"].starts_with("keys=2,expires=1,"), "{}", info["db0"]);
    assert!(!info.contains_key("db15"), "metadata is nobody's business");
    assert_ne!(info["run_id"], plain["run_id"]);
    assert!(
        info["cmdstat_get"].starts_with("calls=1,usec="),
        "{}",
        info["cmdstat_get"]
    );
    assert!(info.contains_key("latency_percentiles_usec_get"));
    assert!(info["connected_clients"].parse::<u64>().unwrap() >= 1);
    assert!(info["total_commands_processed"].parse::<u64>().unwrap() >= 4);
    numbers_are_there(&info);
    assert_eq!(info["crdt_region"], "region-1");
    assert!(info["crdt_shard0_version_vector"].contains('='));
    assert!(info["crdt_log_entries"].parse::<u64>().unwrap() >= 2);
    let memory = client.text("INFO memory keyspace").await;
    assert!(
        memory.starts_with("# Memory\r\n") && memory.contains("\r\n\r\n# Keyspace\r\n"),
        "{memory}"
    );
    assert!(!memory.contains("# Server"));
    region.node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_clients_do_is_in_the_metrics() {
    let region = Region::start(|_, _| {}).await;
    let mut client = region.client().await;
    assert_eq!(client.ask("GET a").await, Value::Null);
    let metrics = region.metrics().await;
    for line in [
        "cartograph_operation_duration_seconds_count{command=\"get\"} 1",
        "cartograph_connections_received_total",
        "cartograph_connections_limit 20000",
        "cartograph_keyspace_hits_total",
        "cartograph_pool_connections ",
    ] {
        assert!(metrics.contains(line), "{line}\n{metrics}");
    }
    region.node.stop().await;
}

const SECRET_HASH: &str = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b";

fn users(rights: &str) -> String {
    format!(
        "[[users]]\nname = 'shop'\npassword_sha256 = ['{SECRET_HASH}']\nrights = {rights}\nkeys = ['cart:*']\n\
         [[users]]\nname = 'operator'\npassword_sha256 = ['{SECRET_HASH}']\nrights = ['read', 'write', 'admin']\n"
    )
}

/// A region with two users whose password is `secret`, and where its files are.
async fn with_users() -> (Region, PathBuf) {
    let mut place = PathBuf::new();
    let region = Region::start(|config, dir| {
        let file = dir.join("users.toml");
        std::fs::write(&file, users("['read', 'write']")).unwrap();
        config.resp.users_file = Some(file);
        config.resp.audit_file = Some(dir.join("audit.log"));
        dir.clone_into(&mut place);
    })
    .await;
    (region, place)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn users_may_do_what_the_file_says() {
    let (region, _place) = with_users().await;
    let mut shop = region.client().await;
    assert_eq!(shop.text("GET cart:1").await, "NOAUTH Authentication required.");
    assert!(
        shop.text("HELLO 3")
            .await
            .starts_with("NOAUTH HELLO must be called")
    );
    let wrong = "WRONGPASS invalid username-password pair or user is disabled.";
    assert_eq!(shop.text("AUTH shop wrong").await, wrong);
    assert_eq!(shop.text("AUTH secret").await, wrong, "there is no default user");
    assert!(matches!(
        shop.ask("HELLO 3 AUTH shop secret SETNAME till").await,
        Value::Map(_)
    ));
    assert_eq!(shop.text("ACL WHOAMI").await, "shop");
    assert_eq!(shop.text("HSET cart:1 a 1").await, "1");
    assert_eq!(
        shop.text("GET sess:1").await,
        "NOPERM this user has no permissions to access one of the keys used as arguments"
    );
    assert_eq!(
        shop.text("CLIENT LIST").await,
        "NOPERM this user has no permissions to run the 'client|list' command"
    );
    assert!(
        text(&shop.words(&["EVAL_RO", "return 1", "0"]).await).starts_with("NOPERM"),
        "a script may touch any key"
    );
    let mut operator = region.client().await;
    assert_eq!(operator.text("AUTH operator secret").await, "OK");
    let listed = operator.text("CLIENT LIST").await;
    assert!(
        listed.contains("name=till") && listed.contains("user=shop"),
        "{listed}"
    );
    assert_eq!(
        operator.text("ACL DRYRUN shop GET sess:1").await,
        "This user has no permissions to access the 'sess:1' key"
    );
    let log = format!("{:?}", operator.ask("ACL LOG").await);
    for part in ["client|list", "\"key\"", "\"auth\"", "eval_ro", "user=shop"] {
        assert!(log.contains(part), "{part} not in {log}");
    }
    assert!(
        operator
            .text("ACL SETUSER eve on")
            .await
            .contains("not supported")
    );
    region.node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_users_file_that_changes_counts_at_once_and_a_wrong_one_never() {
    let (region, place) = with_users().await;
    let (mut shop, mut operator) = (region.client().await, region.client().await);
    assert_eq!(shop.text("AUTH shop secret").await, "OK");
    assert_eq!(operator.text("AUTH operator secret").await, "OK");
    assert_eq!(shop.text("HSET cart:1 a 1").await, "1");
    std::fs::write(place.join("users.toml"), "users = 3").unwrap();
    assert!(operator.text("ACL LOAD").await.contains("users.toml"));
    assert_eq!(shop.text("HSET cart:1 a 2").await, "0", "nothing has changed");
    std::fs::write(place.join("users.toml"), users("['read']")).unwrap();
    assert_eq!(operator.text("ACL LOAD").await, "OK");
    assert!(shop.is_closed().await, "a changed user's clients come back");
    let mut shop = region.client().await;
    assert_eq!(shop.text("AUTH shop secret").await, "OK");
    assert!(shop.text("HSET cart:1 a 3").await.starts_with("NOPERM"));
    let log = eventually("the audit log is written", || async {
        let log = std::fs::read_to_string(place.join("audit.log")).unwrap();
        log.contains("[\"ACL\",\"LOAD\"]").then_some(log)
    })
    .await;
    assert!(
        log.contains("\"user\":\"operator\"") && log.contains("[\"AUTH\",\"shop\",\"(hidden)\"]"),
        "{log}"
    );
    assert!(!log.contains("secret"), "{log}");
    region.node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn flushing_removes_both_classes_and_only_when_it_is_allowed() {
    let region = Region::start(|_, _| {}).await;
    let mut client = region.client().await;
    assert!(client.text("FLUSHALL").await.contains("CG-5004"));
    region.node.stop().await;
    let region = Region::start(|config, _| {
        config.store.allow_flush = true;
        config.resp.local_prefixes = vec![b"cache:".to_vec()];
    })
    .await;
    let mut client = region.client().await;
    for n in 0..700 {
        client.send(&["SET", &format!("k:{n}"), "v"]).await;
    }
    for _ in 0..700 {
        assert_eq!(text(&client.reply().await), "OK");
    }
    assert_eq!(client.text("LPUSH cache:list a b").await, "2");
    assert_eq!(client.text("DBSIZE").await, "701");
    assert_eq!(client.text("FLUSHDB ASYNC").await, "OK");
    assert_eq!(client.text("DBSIZE").await, "0");
    assert_eq!(
        client.text("SET k:1 again").await,
        "OK",
        "a removal takes back only what it had seen"
    );
    assert_eq!(client.text("GET k:1").await, "again");
    region.node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_key_is_explained_and_a_token_says_what_was_seen() {
    let region = Region::start(|_, _| {}).await;
    let mut client = region.client().await;
    client.ask("HELLO 3").await;
    client.ask("HSET h price 10").await;
    client.ask("HINCRBY h price 5").await;
    client.ask("SADD s member").await;
    let told = format!("{:?}", client.ask("CARTOGRAPH.EXPLAIN h price").await);
    for part in ["price", "15", "winner", "counted", "region-1", "hash"] {
        assert!(told.contains(part), "{part} not in {told}");
    }
    let told = format!("{:?}", client.ask("CARTOGRAPH.EXPLAIN s").await);
    assert!(told.contains("member") && told.contains("\"set\""), "{told}");
    let token = client.text("CARTOGRAPH.TOKEN").await;
    let mut other = region.client().await;
    assert_eq!(other.words(&["CARTOGRAPH.TOKEN", &token]).await, Value::OK);
    assert_eq!(other.text("HGET h price").await, "15");
    assert!(other.text("CARTOGRAPH.TOKEN nonsense").await.contains("CG-1010"));
    region.node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_see_and_end_each_other() {
    let region = Region::start(|_, _| {}).await;
    let (mut one, mut other) = (region.client().await, region.client().await);
    let id = other.text("CLIENT ID").await;
    other.ask("CLIENT SETINFO LIB-NAME test").await;
    let line = one.text(&format!("CLIENT LIST ID {id}")).await;
    assert!(
        line.contains("cmd=client|setinfo") && line.contains("lib-name=test"),
        "{line}"
    );
    assert_eq!(one.text(&format!("CLIENT KILL ID {id} SKIPME yes")).await, "1");
    assert!(other.is_closed().await);
    // Nothing is sent for what replies were turned off for.
    one.send(&["CLIENT", "REPLY", "OFF"]).await;
    one.send(&["PING"]).await;
    one.send(&["CLIENT", "REPLY", "SKIP"]).await;
    assert_eq!(one.text("CLIENT REPLY ON").await, "OK");
    one.send(&["CLIENT", "REPLY", "SKIP"]).await;
    one.send(&["ECHO", "skipped"]).await;
    assert_eq!(one.text("ECHO shown").await, "shown");
    assert_eq!(one.text("QUIT").await, "OK");
    assert!(one.is_closed().await);
    region.node.stop().await;
}
