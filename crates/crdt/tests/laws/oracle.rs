//! Random histories against the declared rules, one test per type.

use cartograph_crdt::testkit::history::{Profile, nothing};
use cartograph_crdt::testkit::marks;

use crate::{HISTORIES, histories, run};

macro_rules! oracle {
    ($($name:ident: $profile:ident),+ $(,)?) => {
        $(#[test]
        fn $name() {
            run(stringify!($name), Profile::$profile, nothing);
        })+
    };
}

oracle! {
    oracle_string: String,
    oracle_hash: Hash,
    oracle_set: Set,
    oracle_sorted_set: SortedSet,
    oracle_hyperloglog: HyperLogLog,
    oracle_ttl: Ttl,
    oracle_type_clash: Clash,
    oracle_import: Import,
    oracle_mixed: Mixed,
}

#[test]
fn oracle_histories_reach_what_is_rare() {
    run("oracle_histories_reach_what_is_rare", Profile::Ttl, nothing);
    run("oracle_histories_reach_what_is_rare", Profile::Mixed, nothing);
    let reached = marks();
    println!("{reached:#?}");
    if histories() >= HISTORIES {
        for rare in [
            "a write was scoped by what its key was ahead",
            "an effect was skipped, a snapshot's row had it",
            "an entry was parked",
            "a key was purged",
            "a snapshot had no row for a key that was here",
            "a snapshot's row was joined with unseen writes on both sides",
            "a crash took entries",
            "an element's garbage was collected",
            "leftovers of a dead key were collected",
            "a header's garbage was collected",
            "a partly loaded key was dropped whole",
        ] {
            assert!(reached.contains_key(rare), "no history reached: {rare}");
        }
    }
}
