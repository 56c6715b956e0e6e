//! What a cart, a set member and a session cost in memory: in a Redis behind a shard machine, and in a plain one with
//! the same data.
//!
//! `MEMORY USAGE` of views (database 0) and metadata (database 15), and what `used_memory` grew by, the log aside: that
//! is bounded by its own cap. Then carts that three regions wrote to, from the simulator, whose stored bytes are put
//! into a Redis as they are.
//!
//! `cargo bench -p cartograph-sim --bench memory`
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::indexing_slicing,
    unreachable_pub,
    reason = "a benchmark"
)]

mod rig;

use cartograph_commerce::{CartCommand, CartId, CartPolicy, Quantity, Sku};
use cartograph_crdt::ShardId;
use cartograph_engine::command::{Condition, SetExpiry, When};
use cartograph_engine::{Command, Limits};
use cartograph_replica::commit::{Load, Loaded, StoredRow};
use cartograph_sim::world::{Setup, World};
use cartograph_store::kv::keys;
use rig::Rig;
use rig::server::Server;

const CARTS: u64 = 10_000;
const LINES: u64 = 5;
const MEMBERS: u64 = 200_000;
const SESSIONS: u64 = 10_000;

const THIRTY_DAYS_MS: u64 = 30 * 24 * 3_600_000;

type Words = Vec<Vec<u8>>;

fn words(line: &str) -> Words {
    line.split(' ').map(|w| w.as_bytes().to_vec()).collect()
}

fn cart(n: u64) -> String {
    format!("cart-{n:06}")
}

fn sku(n: u64) -> String {
    format!("SKU-{n:06}")
}

fn add(cart_name: &str, line: u64) -> Command {
    let what = CartCommand::Add {
        sku: Sku::parse(&sku(line)).unwrap(),
        quantity: Quantity::positive(2).unwrap(),
    };
    what.command(&CartId::parse(cart_name).unwrap(), CartPolicy::default())
}

fn session(n: u64) -> (String, Vec<u8>) {
    (format!("session:{n:06}"), format!("{n:032}").into_bytes())
}

/// The same data as commands of the shard machine, and as Redis's.
struct Case {
    name: &'static str,
    /// What one of is counted in.
    unit: &'static str,
    count: u64,
    commands: Vec<Command>,
    plain: Vec<Words>,
    /// Views, to be asked for their size.
    keys: Vec<String>,
}

fn cases() -> Vec<Case> {
    let carts = 0..CARTS;
    let lines = carts.clone().flat_map(|c| (0..LINES).map(move |l| (c, l)));
    let expire = |c: u64| words(&format!("PEXPIRE cart:{} {THIRTY_DAYS_MS}", cart(c)));
    let increment = |(c, l): (u64, u64)| words(&format!("HINCRBY cart:{} {} 2", cart(c), sku(l)));
    let member = |n: u64| format!("member:{n:08}").into_bytes();
    let all: Vec<u64> = (0..MEMBERS).collect();
    let parts = all
        .chunks(500)
        .map(|p| p.iter().map(|n| member(*n)).collect::<Words>());
    let set_plain = |members: Words| [words("SADD everyone"), members].concat();
    let set = |members: Words| Command::SAdd {
        key: b"everyone".to_vec(),
        members,
    };
    let put = |n: u64| {
        let (key, value) = session(n);
        Command::Set {
            key: key.into_bytes(),
            value,
            expiry: SetExpiry::Expires(When::In(THIRTY_DAYS_MS.cast_signed())),
            condition: Condition::Always,
            get: false,
        }
    };
    let put_plain = |n: u64| {
        let (key, value) = session(n);
        let expiry = THIRTY_DAYS_MS.to_string().into_bytes();
        [
            words("SET"),
            vec![key.into_bytes(), value],
            words("PX"),
            vec![expiry],
        ]
        .concat()
    };
    vec![
        Case {
            name: "carts of five lines, with expiry",
            unit: "cart",
            count: CARTS,
            commands: lines.clone().map(|(c, l)| add(&cart(c), l)).collect(),
            plain: lines.map(increment).chain(carts.clone().map(expire)).collect(),
            keys: carts.map(|c| format!("cart:{}", cart(c))).collect(),
        },
        Case {
            name: "members of one set",
            unit: "member",
            count: MEMBERS,
            commands: parts.clone().map(set).collect(),
            plain: parts.map(set_plain).collect(),
            keys: vec!["everyone".to_owned()],
        },
        Case {
            name: "sessions: strings of 32 bytes, with expiry",
            unit: "session",
            count: SESSIONS,
            commands: (0..SESSIONS).map(put).collect(),
            plain: (0..SESSIONS).map(put_plain).collect(),
            keys: (0..SESSIONS).map(|n| session(n).0).collect(),
        },
    ]
}

/// Bytes of all these keys, the keys themselves included.
fn usage(server: &mut Server, prefix: &str, keys: &[String]) -> u64 {
    let ask = |key: &String| words(&format!("MEMORY USAGE {prefix}{key} SAMPLES 0"));
    let asks: Vec<Words> = keys.iter().map(ask).collect();
    let answers = asks
        .chunks(500)
        .flat_map(|part| server.ask_all(part))
        .collect::<Vec<_>>();
    answers.iter().map(rig::server::Answer::number).sum()
}

/// Bytes of the keys of the metadata database with this prefix.
fn shared(server: &mut Server, prefix: &str) -> u64 {
    let found = server.ask(&format!("KEYS {prefix}*")).texts();
    usage(server, "", &found)
}

#[allow(clippy::cast_precision_loss, reason = "a benchmark")]
fn each(bytes: u64, count: u64) -> f64 {
    bytes as f64 / count as f64
}

fn measure(case: Case) {
    let mut plain = Server::start();
    let before = plain.used_memory();
    for part in case.plain.chunks(500) {
        plain.ask_all(part);
    }
    let plain_grew = plain.used_memory() - before;
    let plain_keys = usage(&mut plain, "", &case.keys);

    let mut server = Server::start();
    let mut rig = Rig::open(server.store(), 4 << 30);
    rig.run([Command::Del {
        keys: vec![b"nothing".to_vec()],
    }]);
    let before = server.used_memory();
    let mut commands = case.commands.into_iter().peekable();
    while commands.peek().is_some() {
        rig.run(commands.by_ref().take(250));
    }
    let grew = server.used_memory() - before;
    let views = usage(&mut server, "", &case.keys);
    server.text("SELECT 15");
    let metadata = usage(&mut server, "m:0:", &case.keys);
    let log = shared(&mut server, "l:");
    let due = shared(&mut server, "d:");
    let encoding = server.text(&format!("OBJECT ENCODING m:0:{}", case.keys[0]));
    let (n, unit) = (case.count, case.unit);
    println!("\n{} {}", case.count, case.name);
    println!(
        "  plain Redis      {:8.1} B a {unit} by used_memory, {:.1} by MEMORY USAGE",
        each(plain_grew, n),
        each(plain_keys, n)
    );
    let grew = grew.saturating_sub(log);
    let ratio = each(grew, plain_grew);
    println!(
        "  behind a node    {:8.1} B a {unit} by used_memory less the log: {ratio:.2} times plain",
        each(grew, n)
    );
    println!("    view           {:8.1}", each(views, n));
    println!("    metadata       {:8.1} ({encoding})", each(metadata, n));
    println!("    expiry index   {:8.1}", each(due, n));
    println!("  log, until it is trimmed {:8.1}", each(log, n));
}

/// A cart's metadata in one region's store, and its blobs' sizes.
fn row(world: &World, region: usize, key: &str) -> StoredRow {
    let load = Load::Row {
        key: key.as_bytes().to_vec(),
        elements: cartograph_replica::Elements::All,
    };
    match world.regions[region].store.load(ShardId(0), &load) {
        Ok(Loaded::Row(row)) => row,
        other => panic!("{other:?}"),
    }
}

/// Puts the row into a Redis as the store would and says what it costs.
fn show(server: &mut Server, when: &str, row: &StoredRow) {
    let mut command = words("HSET m:0:cart:cart-000001");
    let parts = [(keys::HEADER, &row.header), (keys::SUMMARY, &row.summary)];
    for (part, blob) in parts.iter().filter(|(_, blob)| !blob.is_empty()) {
        command.extend([vec![*part], (*blob).clone()]);
    }
    let mut sizes = Vec::new();
    for (id, blob) in &row.elements {
        let blob = blob.clone().unwrap();
        sizes.push(blob.len());
        command.extend([keys::element_name(id), blob]);
    }
    server.text("FLUSHALL");
    server.ask_all(&[command]);
    let encoding = server.text("OBJECT ENCODING m:0:cart:cart-000001");
    let bytes = server.number("MEMORY USAGE m:0:cart:cart-000001");
    println!(
        "  {when}: {encoding}, {bytes} B; header {}, summary {}, lines {sizes:?}",
        row.header.len(),
        row.summary.len()
    );
}

fn three_regions() {
    let mut world = World::new(Setup {
        regions: 3,
        seed: 1,
        limits: Limits::default(),
        latency_ms: 20,
    });
    world.run(2_000);
    println!("\nmetadata of a cart of five lines in three regions");
    let write = |world: &mut World, regions: std::ops::Range<usize>| {
        for region in regions {
            let lines = (0..LINES).map(|line| add(&cart(1), line));
            for command in lines {
                world.request(region, vec![command]).unwrap();
                world.run(200);
            }
        }
    };
    let mut server = Server::start();
    let key = format!("cart:{}", cart(1));
    write(&mut world, 0..1);
    assert!(world.settle(60_000));
    show(&mut server, "one region wrote", &row(&world, 2, &key));
    write(&mut world, 1..3);
    assert!(world.settle(60_000));
    show(
        &mut server,
        "all three wrote, one after the other",
        &row(&world, 2, &key),
    );

    world
        .request(
            0,
            vec![Command::Del {
                keys: vec![key.clone().into_bytes()],
            }],
        )
        .unwrap();
    assert!(world.settle(60_000));
    for (from, to) in world.links.keys().copied().collect::<Vec<_>>() {
        world.set_link(from, to, false);
    }
    write(&mut world, 0..3);
    world.heal();
    assert!(world.settle(60_000));
    show(
        &mut server,
        "all three made it while cut off",
        &row(&world, 2, &key),
    );
    write(&mut world, 0..3);
    assert!(world.settle(60_000));
    show(
        &mut server,
        "and wrote again, one after the other",
        &row(&world, 2, &key),
    );
}

fn main() {
    for case in cases() {
        measure(case);
    }
    three_regions();
}
