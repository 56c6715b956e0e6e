//! Random histories against the declared rules, one test per type.

use cartograph_crdt::testkit::history::{Profile, nothing};

use crate::run;

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
