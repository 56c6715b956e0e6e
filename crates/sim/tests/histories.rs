//! Random histories on whole simulated clusters. `CARTOGRAPH_HISTORIES` sets how many, `CARTOGRAPH_SEED` replays one,
//! and `CARTOGRAPH_TRACE_MS` prints every output of that one from this virtual time on.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    clippy::print_stdout,
    reason = "tests: helpers stand outside #[test] functions, where clippy.toml does not let them off"
)]

use cartograph_engine::Limits;
use cartograph_sim::history::{Plan, Tally, play, play_traced};

fn histories(name: &str, default: u64, plan: &Plan) -> Tally {
    let number = |key: &str| std::env::var(key).ok().and_then(|v| v.parse::<u64>().ok());
    if let Some(seed) = number("CARTOGRAPH_SEED") {
        let from_ms = number("CARTOGRAPH_TRACE_MS").unwrap_or(u64::MAX);
        let tally = play_traced(seed, plan, from_ms).unwrap_or_else(|violation| panic!("{violation}"));
        println!("{tally:?}");
        return tally;
    }
    let mut total = Tally::default();
    for seed in 0..number("CARTOGRAPH_HISTORIES").unwrap_or(default) {
        match play(seed, plan) {
            Ok(tally) => total.add(&tally),
            Err(violation) => panic!(
                "{violation}\nreplay: CARTOGRAPH_SEED={seed} cargo nextest run -p cartograph-sim --no-capture {name}"
            ),
        }
    }
    println!("{name}: {total:?}");
    assert!(
        2 * total.done > total.refused + total.unknown,
        "most requests must be answered: {total:?}"
    );
    assert!(
        total.acknowledged > 0 && total.keys > 0,
        "the histories did nothing: {total:?}"
    );
    total
}

/// Limits under which several commits are in flight whenever anything waits.
fn pipelined() -> Limits {
    Limits {
        in_flight_from: 1,
        batch_commands_max: 2,
        ..Limits::default()
    }
}

/// Limits under which the log holds next to nothing.
fn capped() -> Limits {
    Limits {
        log_bytes_max: 2_000,
        log_entries_min: 2,
        log_age_min_ms: 100,
        ..pipelined()
    }
}

/// Limits under which a life is retired a moment after it is over.
fn retiring() -> Limits {
    Limits {
        retire_after_ms: 500,
        ..Limits::default()
    }
}

#[test]
fn calm_regions_converge() {
    let plan = Plan {
        cuts: false,
        expiry: false,
        ..Plan::default()
    };
    histories("calm_regions_converge", 10, &plan);
}

#[test]
fn regions_converge_after_cuts() {
    let plan = Plan {
        expiry: false,
        ..Plan::default()
    };
    histories("regions_converge_after_cuts", 20, &plan);
}

#[test]
fn regions_converge_with_expiring_keys() {
    histories("regions_converge_with_expiring_keys", 20, &Plan::default());
}

#[test]
fn nothing_acknowledged_is_lost_when_nodes_crash() {
    let plan = Plan {
        crashes: true,
        limits: pipelined(),
        ..Plan::default()
    };
    histories("nothing_acknowledged_is_lost_when_nodes_crash", 20, &plan);
}

#[test]
fn regions_converge_when_stores_break_and_roll_back() {
    let plan = Plan {
        stores: true,
        crashes: true,
        limits: pipelined(),
        ..Plan::default()
    };
    histories("regions_converge_when_stores_break_and_roll_back", 40, &plan);
}

#[test]
fn regions_converge_when_stores_are_wiped() {
    let plan = Plan {
        stores: true,
        wipes: true,
        crashes: true,
        ..Plan::default()
    };
    histories("regions_converge_when_stores_are_wiped", 30, &plan);
}

#[test]
fn regions_converge_with_skewed_clocks() {
    let plan = Plan {
        skew: true,
        regions: 4,
        ..Plan::default()
    };
    histories("regions_converge_with_skewed_clocks", 15, &plan);
}

#[test]
fn a_region_joins_while_writes_go_on() {
    let plan = Plan {
        joining: true,
        regions: 4,
        crashes: true,
        ..Plan::default()
    };
    histories("a_region_joins_while_writes_go_on", 20, &plan);
}

#[test]
fn what_the_log_no_longer_holds_comes_by_snapshot() {
    let plan = Plan {
        isolation: true,
        isolation_ms_max: 6_000,
        limits: capped(),
        ..Plan::default()
    };
    let total = histories("what_the_log_no_longer_holds_comes_by_snapshot", 20, &plan);
    assert!(
        total.snapshots > 0 || std::env::var("CARTOGRAPH_SEED").is_ok(),
        "none was joined"
    );
}

#[test]
fn snapshots_survive_crashes_and_lost_stores() {
    let plan = Plan {
        isolation: true,
        isolation_ms_max: 4_000,
        crashes: true,
        stores: true,
        wipes: true,
        limits: capped(),
        ..Plan::default()
    };
    histories("snapshots_survive_crashes_and_lost_stores", 20, &plan);
}

#[test]
fn damaged_views_are_found_and_rebuilt() {
    let plan = Plan {
        tampering: true,
        crashes: true,
        limits: pipelined(),
        ..Plan::default()
    };
    let total = histories("damaged_views_are_found_and_rebuilt", 20, &plan);
    assert!(
        total.repaired > 0 || std::env::var("CARTOGRAPH_SEED").is_ok(),
        "none was found"
    );
}

#[test]
fn stores_that_refuse_or_are_down_come_back() {
    let plan = Plan {
        refusals: true,
        crashes: true,
        limits: pipelined(),
        ..Plan::default()
    };
    histories("stores_that_refuse_or_are_down_come_back", 20, &plan);
}

#[test]
fn regions_converge_when_one_that_is_cut_off_loses_its_last_writes() {
    let plan = Plan {
        isolation: true,
        isolation_ms_max: 9_000,
        crashes: true,
        stores: true,
        ..Plan::default()
    };
    histories(
        "regions_converge_when_one_that_is_cut_off_loses_its_last_writes",
        30,
        &plan,
    );
}

#[test]
fn the_others_go_on_when_a_region_is_forgotten() {
    let plan = Plan {
        forgetting: true,
        regions: 4,
        ..Plan::default()
    };
    histories("the_others_go_on_when_a_region_is_forgotten", 20, &plan);
}

#[test]
fn regions_stay_equal_when_lives_that_are_over_are_retired() {
    let plan = Plan {
        stores: true,
        wipes: true,
        crashes: true,
        steps: 200,
        limits: retiring(),
        ..Plan::default()
    };
    let name = "regions_stay_equal_when_lives_that_are_over_are_retired";
    let total = histories(name, 30, &plan);
    assert!(total.retired > 0, "none was retired: {total:?}");
}

#[test]
fn regions_stay_equal_when_lives_are_retired_that_some_have_lost_again() {
    let plan = Plan {
        stores: true,
        wipes: true,
        crashes: true,
        isolation: true,
        isolation_ms_max: 4_000,
        joining: true,
        regions: 4,
        steps: 200,
        limits: Limits {
            retire_after_ms: 500,
            ..capped()
        },
        ..Plan::default()
    };
    let name = "regions_stay_equal_when_lives_are_retired_that_some_have_lost_again";
    let total = histories(name, 20, &plan);
    assert!(total.retired > 0, "none was retired: {total:?}");
}
