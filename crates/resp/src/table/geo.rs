//! Geo indexes, which are sorted sets, and `HyperLogLogs`.

use super::flags::{ADMIN, DENYOOM, FAST, GEO, HYPERLOGLOG, MOVABLEKEYS, READONLY, WRITE};
use super::{Access, CommandInfo, Group, Special, Treatment, after, key, keys_to};

const POSITION: &str = "places are an add-wins set; on a position the last writer wins";

const STORED: &str = "the destination is replaced: what it had seen of it goes, what it had not seen stays beside the new content";

const MERGED: &str = "all regions' elements are counted; deleting the key beats adds that it had not seen";

const INTERNAL: &str = "is for Redis's own tests";

pub(super) static COMMANDS: &[CommandInfo] = &[
    CommandInfo::new("geoadd", Group::Geo, "3.2.0", -5, "Adds places, or moves them")
        .like(WRITE | DENYOOM, GEO)
        .keys(&[key(1, Access::ReadWrite, "update")])
        .write(POSITION),
    CommandInfo::new(
        "geodist",
        Group::Geo,
        "3.2.0",
        -4,
        "How far two places are from each other",
    )
    .like(READONLY, GEO)
    .keys(&[key(1, Access::ReadOnly, "access")])
    .read(),
    CommandInfo::new("geohash", Group::Geo, "3.2.0", -2, "The geohashes of places")
        .like(READONLY, GEO)
        .keys(&[key(1, Access::ReadOnly, "access")])
        .read(),
    CommandInfo::new("geopos", Group::Geo, "3.2.0", -2, "The coordinates of places")
        .like(READONLY, GEO)
        .keys(&[key(1, Access::ReadOnly, "access")])
        .read(),
    CommandInfo::new("georadius", Group::Geo, "3.2.0", -6, "Places around a point")
        .like(WRITE | DENYOOM | MOVABLEKEYS, GEO)
        .keys(&[
            key(1, Access::ReadOnly, "access"),
            after("STORE", 6, 0, 0, Access::Overwrite, "update"),
            after("STOREDIST", 6, 0, 0, Access::Overwrite, "update"),
        ])
        .read()
        .special(Special::GeoRadius)
        .stored(Treatment::Write)
        .note(STORED),
    CommandInfo::new(
        "georadius_ro",
        Group::Geo,
        "3.2.10",
        -6,
        "Places around a point, never stored",
    )
    .like(READONLY, GEO)
    .keys(&[key(1, Access::ReadOnly, "access")])
    .read(),
    CommandInfo::new(
        "georadiusbymember",
        Group::Geo,
        "3.2.0",
        -5,
        "Places around another place",
    )
    .like(WRITE | DENYOOM | MOVABLEKEYS, GEO)
    .keys(&[
        key(1, Access::ReadOnly, "access"),
        after("STORE", 5, 0, 0, Access::Overwrite, "update"),
        after("STOREDIST", 5, 0, 0, Access::Overwrite, "update"),
    ])
    .read()
    .special(Special::GeoRadius)
    .stored(Treatment::Write)
    .note(STORED),
    CommandInfo::new(
        "georadiusbymember_ro",
        Group::Geo,
        "3.2.10",
        -5,
        "Places around another place, never stored",
    )
    .like(READONLY, GEO)
    .keys(&[key(1, Access::ReadOnly, "access")])
    .read(),
    CommandInfo::new(
        "geosearch",
        Group::Geo,
        "6.2.0",
        -7,
        "Places in a circle or a box",
    )
    .like(READONLY, GEO)
    .keys(&[key(1, Access::ReadOnly, "access")])
    .read(),
    CommandInfo::new(
        "geosearchstore",
        Group::Geo,
        "6.2.0",
        -8,
        "Keeps places in a circle or a box",
    )
    .like(WRITE | DENYOOM, GEO)
    .keys(&[
        key(1, Access::Overwrite, "update"),
        key(2, Access::ReadOnly, "access"),
    ])
    .write(STORED),
    CommandInfo::new(
        "pfadd",
        Group::HyperLogLog,
        "2.8.9",
        -2,
        "Counts elements, roughly",
    )
    .like(WRITE | DENYOOM | FAST, HYPERLOGLOG)
    .keys(&[key(1, Access::ReadWrite, "insert")])
    .write(MERGED),
    CommandInfo::new(
        "pfcount",
        Group::HyperLogLog,
        "2.8.9",
        -2,
        "About how many different elements were counted",
    )
    .like(READONLY, HYPERLOGLOG)
    .keys(&[keys_to(1, -1, 1, Access::ReadWrite, "access")])
    .read(),
    CommandInfo::new(
        "pfdebug",
        Group::HyperLogLog,
        "2.8.9",
        3,
        "Looks into a HyperLogLog",
    )
    .like(WRITE | DENYOOM | ADMIN, HYPERLOGLOG)
    .keys(&[key(2, Access::ReadWrite, "access")])
    .refused(INTERNAL),
    CommandInfo::new(
        "pfmerge",
        Group::HyperLogLog,
        "2.8.9",
        -2,
        "Puts several counts together",
    )
    .like(WRITE | DENYOOM, HYPERLOGLOG)
    .keys(&[
        key(1, Access::ReadWrite, "access insert"),
        keys_to(2, -1, 1, Access::ReadOnly, "access"),
    ])
    .write(MERGED),
    CommandInfo::new(
        "pfselftest",
        Group::HyperLogLog,
        "2.8.9",
        1,
        "Tests Redis's own HyperLogLog",
    )
    .like(ADMIN, HYPERLOGLOG)
    .refused(INTERNAL),
];
