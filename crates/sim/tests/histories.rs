//! Random histories on whole simulated clusters. `CARTOGRAPH_SEED` replays one, `CARTOGRAPH_HISTORIES` sets how many.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "tests")]

use cartograph_sim::history::{Plan, Tally, play};

fn histories(name: &str, default: u64, plan: &Plan) {
    let number = |key: &str| std::env::var(key).ok().and_then(|v| v.parse::<u64>().ok());
    if let Some(seed) = number("CARTOGRAPH_SEED") {
        println!("{:?}", play(seed, plan).unwrap());
        return;
    }
    let mut total = Tally::default();
    for seed in 0..number("CARTOGRAPH_HISTORIES").unwrap_or(default) {
        match play(seed, plan) {
            Ok(tally) => {
                total.done += tally.done;
                total.unknown += tally.unknown;
                total.refused += tally.refused;
                total.acknowledged += tally.acknowledged;
                total.keys += tally.keys;
            }
            Err(violation) => panic!(
                "{violation}\nreplay: CARTOGRAPH_SEED={seed} cargo nextest run -p cartograph-sim --all-features {name}"
            ),
        }
    }
    println!("{name}: {total:?}");
    assert!(
        total.done > total.refused + total.unknown,
        "most requests must be answered: {total:?}"
    );
    assert!(
        total.acknowledged > 0 && total.keys > 0,
        "the histories did nothing: {total:?}"
    );
}

#[test]
fn calm_regions_converge() {
    histories(
        "calm",
        20,
        &Plan {
            cuts: false,
            expiry: false,
            ..Plan::default()
        },
    );
}

#[test]
fn regions_converge_after_cuts() {
    histories(
        "cuts",
        60,
        &Plan {
            expiry: false,
            ..Plan::default()
        },
    );
}

#[test]
fn regions_converge_with_expiring_keys() {
    histories("expiring", 60, &Plan::default());
}

#[test]
fn nothing_acknowledged_is_lost_when_nodes_crash() {
    histories(
        "crash",
        60,
        &Plan {
            crashes: true,
            ..Plan::default()
        },
    );
}

#[test]
fn regions_converge_when_stores_break_and_roll_back() {
    histories(
        "stores",
        60,
        &Plan {
            stores: true,
            crashes: true,
            ..Plan::default()
        },
    );
}

#[test]
fn regions_converge_with_skewed_clocks() {
    histories(
        "skewed",
        40,
        &Plan {
            skew: true,
            regions: 4,
            ..Plan::default()
        },
    );
}
