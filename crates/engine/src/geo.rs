//! Redis's geohashes and distances, so that positions stored here are those that Redis would store, bit for bit.
//!
//! A position is a sorted set's score: a 52-bit integer, longitude and latitude of 26 bits each, interleaved, latitude
//! in the even bits. It stands for a cell of about half a metre; what is read back is the cell's middle.
//!
//! The same operations on doubles as in Redis, in the same order. Only writers compute here: what replicates is the
//! score.

/// Bits of each coordinate.
const STEP: u32 = 26;

/// Past the largest geohash: the very ends of both ranges take a 27th bit each.
const END: f64 = 18_014_398_509_481_984.0; // 2^54

const LONGITUDES: (f64, f64) = (-180.0, 180.0);
/// EPSG:900913: the square map leaves out the poles.
const LATITUDES: (f64, f64) = (-85.051_128_78, 85.051_128_78);
/// What GEOHASH's texts are of: all of the globe.
const ALL_LATITUDES: (f64, f64) = (-90.0, 90.0);

/// The sphere's radius in metres: the quadratic mean of the WGS84 ellipsoid's.
const EARTH_RADIUS_METRES: f64 = 6_372_797.560_856;

/// A place.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Position {
    /// Degrees east.
    pub longitude: f64,
    /// Degrees north.
    pub latitude: f64,
}

/// Where GEOSEARCH looks from.
#[derive(Clone, Debug, PartialEq)]
pub enum Centre {
    /// A place.
    Position(Position),
    /// A member's place.
    Member(Vec<u8>),
}

/// What GEOSEARCH looks within; lengths in metres.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Area {
    /// BYRADIUS.
    Radius(f64),
    /// BYBOX.
    Box {
        /// East to west.
        width: f64,
        /// North to south.
        height: f64,
    },
}

/// What GEOSEARCH sorts by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Not at all.
    Any,
    /// ASC.
    Nearest,
    /// DESC.
    Farthest,
}

/// A search.
#[derive(Clone, Debug, PartialEq)]
pub struct Query {
    /// From where.
    pub centre: Centre,
    /// How far.
    pub area: Area,
    /// Metres in the unit of distances replied or stored.
    pub metres: f64,
    /// In which order.
    pub order: Order,
    /// COUNT.
    pub count: Option<u64>,
}

/// The score of a place; `None` outside of what can be stored.
pub fn encode(position: Position) -> Option<f64> {
    let inside = |at: f64, (min, max): (f64, f64)| (min..=max).contains(&at);
    if !inside(position.longitude, LONGITUDES) || !inside(position.latitude, LATITUDES) {
        return None;
    }
    #[expect(clippy::cast_precision_loss, reason = "52 bits fit a double")]
    Some(interleaved(position, LATITUDES) as f64)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the fraction is in 0..=1: a cast saturates at its ends"
)]
fn interleaved(position: Position, latitudes: (f64, f64)) -> u64 {
    let cell = |at: f64, (min, max): (f64, f64)| {
        let fraction = (at - min) / (max - min);
        // As Redis casts to 32 bits: the very end of the range is a 27th bit, which interleaving keeps.
        (fraction * f64::from(1_u32 << STEP)) as u32
    };
    spread(cell(position.latitude, latitudes)) | spread(cell(position.longitude, LONGITUDES)) << 1
}

/// Every bit moved to twice its place.
fn spread(bits: u32) -> u64 {
    let mut x = u64::from(bits);
    for (shift, mask) in [
        (16, 0x0000_ffff_0000_ffff_u64),
        (8, 0x00ff_00ff_00ff_00ff),
        (4, 0x0f0f_0f0f_0f0f_0f0f),
        (2, 0x3333_3333_3333_3333),
        (1, 0x5555_5555_5555_5555),
    ] {
        x = (x | x << shift) & mask;
    }
    x
}

/// The bits at even places, moved together.
fn gather(bits: u64) -> u32 {
    let mut x = bits & 0x5555_5555_5555_5555;
    for (shift, mask) in [
        (1, 0x3333_3333_3333_3333_u64),
        (2, 0x0f0f_0f0f_0f0f_0f0f),
        (4, 0x00ff_00ff_00ff_00ff),
        (8, 0x0000_ffff_0000_ffff),
        (16, 0x0000_0000_ffff_ffff),
    ] {
        x = (x | x >> shift) & mask;
    }
    u32::try_from(x).unwrap_or(u32::MAX)
}

/// The place that a score stands for: the middle of its cell.
pub fn decode(score: f64) -> Position {
    let bits = bits_of(score);
    let middle = |cell: u32, (min, max): (f64, f64)| {
        let scale = max - min;
        let cells = f64::from(1_u32 << STEP);
        let from = min + (f64::from(cell) / cells) * scale;
        let to = min + ((f64::from(cell) + 1.0) / cells) * scale;
        f64::midpoint(from, to).clamp(min, max)
    };
    Position {
        longitude: middle(gather(bits >> 1), LONGITUDES),
        latitude: middle(gather(bits), LATITUDES),
    }
}

/// A score as a geohash's bits. What was no geohash becomes what it becomes in Redis on x86-64, where a double is made
/// an unsigned number in two halves, and what fits neither is 0.
#[expect(clippy::cast_possible_truncation, reason = "scores are what ZADD was given")]
pub fn bits_of(score: f64) -> u64 {
    const HALF: f64 = 9_223_372_036_854_775_808.0; // 2^63
    if score < HALF {
        (score as i64).cast_unsigned()
    } else if score - HALF < HALF {
        ((score - HALF) as i64).cast_unsigned() ^ 1 << 63
    } else {
        0
    }
}

/// The text that GEOHASH gives for a score.
pub fn text(score: f64) -> Vec<u8> {
    const ALPHABET: &[u8; 32] = b"0123456789bcdefghjkmnpqrstuvwxyz";
    let bits = interleaved(decode(score), ALL_LATITUDES);
    let digit = |i: u32| {
        // 52 bits make ten digits and two bits; Redis gives an eleventh digit that is always 0.
        let index = if i == 10 {
            0
        } else {
            bits >> (52 - (i + 1) * 5) & 0x1f
        };
        usize::try_from(index).ok().and_then(|i| ALPHABET.get(i)).copied()
    };
    (0..11).filter_map(digit).collect()
}

/// Metres between two places (haversine).
pub fn distance(a: Position, b: Position) -> f64 {
    let (lon1, lon2) = (radians(a.longitude), radians(b.longitude));
    let v = ((lon2 - lon1) / 2.0).sin();
    if v == 0.0 {
        return latitude_distance(a.latitude, b.latitude);
    }
    let (lat1, lat2) = (radians(a.latitude), radians(b.latitude));
    let u = ((lat2 - lat1) / 2.0).sin();
    let a = u * u + lat1.cos() * lat2.cos() * v * v;
    2.0 * EARTH_RADIUS_METRES * a.sqrt().asin()
}

fn latitude_distance(a: f64, b: f64) -> f64 {
    EARTH_RADIUS_METRES * (radians(b) - radians(a)).abs()
}

fn radians(degrees: f64) -> f64 {
    const RADIANS_IN_DEGREE: f64 = std::f64::consts::PI / 180.0;
    degrees * RADIANS_IN_DEGREE
}

impl Area {
    /// How far `to` is from `from` in metres, if it is within.
    pub fn reach(self, from: Position, to: Position) -> Option<f64> {
        match self {
            Area::Radius(radius) => Some(distance(from, to)).filter(|d| *d <= radius),
            Area::Box { width, height } => {
                let north = latitude_distance(to.latitude, from.latitude);
                let along = Position {
                    latitude: to.latitude,
                    ..from
                };
                let within = north <= height / 2.0 && distance(to, along) <= width / 2.0;
                within.then(|| distance(from, to))
            }
        }
    }
}

/// Is the score one that GEOADD could have made?
pub fn is_geohash(score: f64) -> bool {
    (0.0..END).contains(&score)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PALERMO: Position = Position {
        longitude: 13.361_389,
        latitude: 38.115_556,
    };
    const CATANIA: Position = Position {
        longitude: 15.087_269,
        latitude: 37.502_669,
    };

    /// The examples of Redis's own documentation of GEOADD, GEOHASH and GEODIST.
    #[test]
    fn the_documented_places_are_where_redis_has_them() {
        let (palermo, catania) = (encode(PALERMO).unwrap(), encode(CATANIA).unwrap());
        assert_eq!(
            (palermo, catania),
            (3_479_099_956_230_698.0, 3_479_447_370_796_909.0)
        );
        assert_eq!(
            (text(palermo), text(catania)),
            (b"sqc8b49rny0".to_vec(), b"sqdtr74hyu0".to_vec())
        );
        let metres = distance(decode(palermo), decode(catania));
        assert_eq!(format!("{metres:.4}"), "166274.1516");
    }

    #[test]
    fn what_lies_outside_of_the_map_has_no_score() {
        let at = |longitude, latitude| encode(Position { longitude, latitude });
        assert!(at(180.0, 85.051_128_78).is_some() && at(-180.0, -85.051_128_78) == Some(0.0));
        assert!(at(180.000_1, 0.0).is_none() && at(0.0, 85.051_129).is_none() && at(f64::NAN, 0.0).is_none());
    }
}
