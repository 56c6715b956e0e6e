//! Nothing that was removed from a cart comes back: random histories of cart commands in three regions, delivered late,
//! twice and in any order, with garbage collected in between, against the declarative oracle. Every cart in every region
//! is compared after every step, folded ones included. Named after the "resurfacing item" of Dynamo's cart (`DeCandia` et
//! al., SOSP 2007, section 4.4), which must be impossible here.
//!
//! `CARTOGRAPH_HISTORIES` says how many, `CARTOGRAPH_SEED` where to begin.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    clippy::print_stdout,
    reason = "tests: helpers stand outside #[test] functions, where clippy.toml does not let them off"
)]

use std::panic::{AssertUnwindSafe, catch_unwind};

use cartograph_commerce::{CartCommand, CartId, CartPolicy, Quantity, Sku};
use cartograph_crdt::{Exact, Hlc, Type};
use cartograph_engine::number::{parse_i64, parse_number};
use cartograph_engine::testkit::oracle::{Base, Id, Kind, Oracle};
use cartograph_engine::testkit::{Cluster, Dice, Seen, View};

const REGIONS: usize = 3;
const CARTS: [&str; 3] = ["customer", "phone", "tablet"];
const SKUS: [&str; 2] = ["hat", "shoe"];

#[derive(Clone, Debug)]
enum Step {
    Cart(usize, &'static str, CartCommand),
    Deliver { from: usize, to: usize, reversed: bool },
    Sync,
    Collect,
    Tick,
}

fn history(seed: u64) -> Vec<Step> {
    let mut dice = Dice(seed);
    let (carts, skus) = (1 + dice.below(CARTS.len()), 1 + dice.below(SKUS.len()));
    let length = 6 + dice.below(40);
    (0..length).map(|_| step(&mut dice, carts, skus)).collect()
}

fn step(dice: &mut Dice, carts: usize, skus: usize) -> Step {
    let region = dice.below(REGIONS);
    let cart = CARTS[dice.below(carts)];
    let sku = Sku::parse(SKUS[dice.below(skus)]).unwrap();
    let what = match dice.below(24) {
        0..=4 => CartCommand::Add {
            sku,
            quantity: Quantity::signed([1, 2, 5][dice.below(3)]).unwrap(),
        },
        5..=6 => CartCommand::Add {
            sku,
            quantity: Quantity::signed([-1, -2, -9][dice.below(3)]).unwrap(),
        },
        7 => CartCommand::Set {
            sku,
            quantity: Quantity::positive([1, 7][dice.below(2)]).unwrap(),
        },
        8..=11 => CartCommand::Remove { sku },
        12 => CartCommand::Clear,
        13..=15 => CartCommand::Merge {
            from: CartId::parse(CARTS[dice.below(carts)]).unwrap(),
        },
        16..=19 => {
            let to = (region + 1 + dice.below(REGIONS - 1)) % REGIONS;
            return Step::Deliver {
                from: region,
                to,
                reversed: dice.once_in(2),
            };
        }
        20 => return Step::Collect,
        21 => return Step::Tick,
        _ => return Step::Sync,
    };
    Step::Cart(region, cart, what)
}

fn field(sku: &str) -> Id {
    (Type::Hash, sku.as_bytes().to_vec())
}

fn quantity(view: Option<&View>, sku: &[u8]) -> Option<i64> {
    match view?.elements.get(sku)? {
        Seen::Bytes(bytes) => Some(parse_i64(bytes).expect("only whole numbers are written")),
        other => panic!("{other:?}"),
    }
}

/// What a cart command does, by semantics.md.
fn act(
    oracle: &mut Oracle,
    key: &[u8],
    what: &CartCommand,
    now: u64,
    policy: CartPolicy,
) -> Vec<(Vec<u8>, Kind)> {
    let view = oracle.view(key, now);
    let expiry = Kind::Expire(Some(now + u64::try_from(policy.ttl.as_millis()).unwrap()));
    let begin = |kinds: &mut Vec<Kind>| {
        if view.is_none() {
            kinds.extend([Kind::Del, Kind::Create(Type::Hash)]);
        }
        kinds.push(expiry.clone());
    };
    let lines = view.as_ref().map_or(0, |v| v.elements.len());
    let take_out = |kinds: &mut Vec<Kind>, sku: &str| {
        kinds.push(Kind::Rem(field(sku)));
        kinds.push(if lines == 1 { Kind::Del } else { expiry.clone() });
    };
    let mut kinds = Vec::new();
    match what {
        CartCommand::Add { sku, quantity: n } => {
            let has = quantity(view.as_ref(), sku.as_str().as_bytes());
            let visible = has.unwrap_or(0).max(0);
            if n.get() > 0 {
                begin(&mut kinds);
                kinds.extend(has.filter(|q| *q <= 0).map(|_| Kind::Rem(field(sku.as_str()))));
                kinds.push(Kind::Inc(field(sku.as_str()), Exact::from_i64(n.get())));
            } else if visible > -n.get() {
                begin(&mut kinds);
                kinds.push(Kind::Inc(field(sku.as_str()), Exact::from_i64(n.get())));
            } else if visible > 0 {
                take_out(&mut kinds, sku.as_str());
            }
        }
        CartCommand::Set { sku, quantity: n } => {
            begin(&mut kinds);
            kinds.push(Kind::Assign(
                field(sku.as_str()),
                Base::Text(n.get().to_string().into_bytes()),
            ));
        }
        CartCommand::Remove { sku } => {
            if quantity(view.as_ref(), sku.as_str().as_bytes()).is_some() {
                take_out(&mut kinds, sku.as_str());
            }
        }
        CartCommand::Clear => kinds.extend(view.map(|_| Kind::Del)),
        CartCommand::Get => {}
        CartCommand::Merge { from } => return fold(oracle, &from.key(), key, now, &expiry),
    }
    kinds.into_iter().map(|kind| (key.to_vec(), kind)).collect()
}

fn fold(oracle: &mut Oracle, from: &[u8], into: &[u8], now: u64, expiry: &Kind) -> Vec<(Vec<u8>, Kind)> {
    let (source, target) = (oracle.view(from, now), oracle.view(into, now));
    let Some(source) = source.filter(|_| from != into) else {
        return Vec::new();
    };
    let parts = oracle.key(from);
    let (mut kinds, mut imports) = (Vec::new(), Vec::new());
    for sku in source.elements.keys() {
        if quantity(Some(&source), sku) <= Some(0) {
            continue;
        }
        let id = (Type::Hash, sku.clone());
        if quantity(target.as_ref(), sku).is_some_and(|has| has <= 0) {
            imports.push(Kind::Rem(id.clone()));
        }
        imports.push(Kind::Import(id.clone(), name_increments(from, &parts.parts[&id])));
    }
    if !imports.is_empty() {
        if target.is_none() {
            kinds.extend([Kind::Del, Kind::Create(Type::Hash)]);
        }
        kinds.push(expiry.clone());
    }
    kinds.extend(imports);
    let mut all: Vec<(Vec<u8>, Kind)> = kinds.into_iter().map(|kind| (into.to_vec(), kind)).collect();
    all.extend(
        source
            .elements
            .keys()
            .map(|sku| (from.to_vec(), Kind::Rem((Type::Hash, sku.clone())))),
    );
    all.push((from.to_vec(), Kind::Del));
    all
}

/// Every increment of a line under a name that says where it was made and the way it took.
fn name_increments(from: &[u8], parts: &cartograph_engine::testkit::oracle::Parts) -> Vec<(Vec<u8>, Exact)> {
    let named = |what: &str| [from, b"<", what.as_bytes()].concat();
    let mut out = Vec::new();
    let bases = parts
        .operations
        .iter()
        .filter(|o| matches!(o.kind, Kind::Assign(..)));
    let winner = bases.max_by_key(|o| (o.hlc, std::cmp::Reverse(o.dot.0)));
    for o in &parts.operations {
        let amount = match &o.kind {
            Kind::Inc(_, by) => by.clone(),
            Kind::Assign(_, Base::Text(text))
                if winner.is_some_and(|w| (w.dot, w.index) == (o.dot, o.index)) =>
            {
                parse_number(text).expect("only whole numbers are written")
            }
            _ => continue,
        };
        out.push((named(&format!("{:?}.{}", o.dot, o.index)), amount));
    }
    for (name, amount) in &parts.imported {
        out.push(([from, b"<", name].concat(), amount.clone()));
    }
    out
}

fn play(steps: &[Step]) {
    let policy = CartPolicy::default();
    let mut cluster = Cluster::new(3);
    let mut oracles: Vec<Oracle> = (1..=3).map(Oracle::new).collect();
    for step in steps.iter().chain([&Step::Sync, &Step::Collect, &Step::Sync]) {
        match step {
            Step::Cart(region, cart, what) => {
                let cart = CartId::parse(cart).unwrap();
                let now = cluster.now_ms;
                let hlc: Hlc = cluster.region(*region).hlc.tick(now);
                let kinds = act(&mut oracles[*region], &cart.key(), what, now, policy);
                oracles[*region].write(hlc, kinds);
                let done =
                    cluster
                        .region(*region)
                        .exec(&[what.clone().command(&cart, policy)], now, Some(hlc));
                assert!(
                    done.replies[0].is_ok() || matches!(what, CartCommand::Merge { .. }),
                    "{:?}",
                    done.replies
                );
            }
            Step::Deliver { from, to, reversed } => {
                let mut log = cluster.region(*from).log.clone();
                if *reversed {
                    log.reverse();
                }
                for entry in log.iter().chain(log.first()) {
                    cluster.region(*to).receive(entry);
                }
                deliver(&mut oracles, *from, *to);
            }
            Step::Sync => {
                cluster.sync();
                for (from, to) in [(0, 1), (0, 2), (1, 0), (1, 2), (2, 0), (2, 1)] {
                    deliver(&mut oracles, from, to);
                }
                cluster.assert_converged();
            }
            Step::Collect => cluster.collect(),
            Step::Tick => cluster.now_ms += 1_000,
        }
        for (region, oracle) in oracles.iter_mut().enumerate() {
            for cart in CARTS {
                let (key, now) = (format!("cart:{cart}").into_bytes(), cluster.now_ms);
                let (real, expected) = (cluster.region(region).view(&key, now), oracle.view(&key, now));
                assert_eq!(
                    real, expected,
                    "cart {cart} in region {region}: replica (left), oracle (right)"
                );
            }
        }
    }
}

fn deliver(oracles: &mut [Oracle], from: usize, to: usize) {
    let log = oracles[from].log.clone();
    for written in &log {
        oracles[to].receive(written);
    }
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |value| value.parse().expect("a number"))
}

#[test]
fn oracle_nothing_that_was_removed_from_a_cart_resurfaces() {
    let first = setting("CARTOGRAPH_SEED", 1);
    for seed in first..first + setting("CARTOGRAPH_HISTORIES", 2_000) {
        let mut steps = history(seed);
        if catch_unwind(AssertUnwindSafe(|| play(&steps))).is_ok() {
            continue;
        }
        let mut at = 0;
        while at < steps.len() {
            let mut fewer = steps.clone();
            fewer.remove(at);
            if catch_unwind(AssertUnwindSafe(|| play(&fewer))).is_err() {
                steps = fewer;
                at = 0;
            } else {
                at += 1;
            }
        }
        let list: Vec<String> = steps.iter().map(|s| format!("  {s:?}")).collect();
        eprintln!(
            "seed {seed} (CARTOGRAPH_SEED={seed} CARTOGRAPH_HISTORIES=1), shrunk:\n{}",
            list.join("\n")
        );
        play(&steps);
    }
}
