//! The page on the base port: what it is made of, and what it needs beyond the control API.
//!
//! The page is a program of its own, in the browser (`page/assets`), that knows only what it is told here. It is told two
//! kinds of things over one stream of server-sent events (`events`):
//!
//! - the *record* (`record`): what happened, each event numbered and kept, bounded: writes made through the page with where
//!   and how fast they were accepted, when each reached the other regions, how watched carts looked, faults and heals. A page
//!   that connects gets the whole record first, so that a reload, a second window and a restart of the browser see the same;
//! - the *state*: how regions and links are now, twice a second (`observe`), never kept.
//!
//! | request | answer |
//! |---|---|
//! | `GET /` and `GET /page/{file}` | the page (`assets`); `GET /plain` is a page without script |
//! | `GET /api/events?carts=a,b` | server-sent events; the named carts are watched while the stream is open |
//! | `GET /api/record` | the whole record as JSON |
//! | `POST /api/shop/{region}/carts/{cart}` | a write through that region's HTTP door, recorded |
//! | `GET /api/shop/{region}/carts/{cart}/explain` | what that region answers |
//! | `GET /api/load`, `POST /api/load` `{"region","per_second"}` | real writes and reads at that rate, 0 to end |
//!
//! INVARIANT: every number that the page shows about correctness comes from the record and from what the regions answer; the
//! checker (`assets/proof.js`) and the counterfactual (`assets/lww.js`) are computed from the record alone.

mod api;
mod assets;
mod events;
mod load;
mod metrics;
mod observe;
mod plain;
mod record;
mod rtt;
mod shop;

pub(crate) use self::api::routes;
pub(crate) use self::observe::run;

use self::events::Audience;
use self::load::Load;
use self::record::Record;
use self::rtt::RoundTrips;
use self::shop::Shop;

/// What the page's parts share.
#[derive(Debug)]
pub(crate) struct Page {
    /// What happened.
    pub(crate) record: Record,
    audience: Audience,
    load: Load,
    round_trips: RoundTrips,
    shop: Shop,
}

impl Page {
    /// Nothing has happened yet. `started_ms` tells this run of the demo from every other.
    pub(crate) fn new(started_ms: u64) -> Self {
        Self {
            record: Record::new(started_ms),
            audience: Audience::default(),
            load: Load::default(),
            round_trips: RoundTrips::default(),
            shop: Shop::default(),
        }
    }
}
