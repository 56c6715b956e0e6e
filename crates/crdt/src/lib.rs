//! The CRDTs of Cartograph's key space.
//!
//! A *dot-store kernel* with one version vector for a whole shard: every effect has a dot `(replica, sequence,
//! index)` that is never used twice, an entry carries what its writer had seen, and every rule is a question of the
//! form "had this effect seen that one?" ([`causal::Origin::has_seen`]). Read [`set_add_wins`] first: it is the
//! smallest type and shows the whole idea; then [`counter_reset`], [`register_mv`], and [`row`], which puts a key
//! together from its elements.
//!
//! The crate is pure: no clock, no IO, no randomness. For it to be correct its caller must guarantee that
//! - effects are applied in causal order: before an effect, everything that its context covers, without gaps;
//! - each effect is applied once (or is known to be covered, and skipped);
//! - a dot is never used for two effects, not even after a crash (see `Incarnation`).

pub mod causal;
pub mod codec;
pub mod counter_reset;
pub mod effect;
pub mod element;
pub mod exact;
pub mod hlc;
pub mod hyperloglog;
pub mod ids;
pub mod import;
pub mod register_mv;
pub mod row;
pub mod set_add_wins;
pub mod stored;
#[cfg(feature = "testkit")]
pub mod testkit;

pub use causal::{Origin, RETIRED, VersionVector};
pub use effect::{Effect, ElementId, Observed, Score, Type, Value};
pub use element::{Element, RegisterCounter};
pub use exact::Exact;
pub use hlc::Hlc;
pub use ids::{Dot, Incarnation, Position, RegionId, ReplicaId, Sequence, ShardId};
pub use row::{Header, Needs, Row, Summary, Touched};
