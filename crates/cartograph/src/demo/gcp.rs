//! Google Cloud's regions, and how far apart they are.
//!
//! The demo's links carry the latency that two regions would see between each other. Where a pair is in [`ROUND_TRIPS_MS`]
//! that figure is used; any other pair of known regions is estimated from the great circle between them. Both are typical
//! figures for a demonstration, rounded, and no promise of any provider: a link's latency can be set at run time.

use std::time::Duration;

/// A region of Google Cloud and where it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct GcpRegion {
    /// The provider's name, such as `europe-west1`.
    pub(crate) name: &'static str,
    /// The place, for people.
    pub(crate) place: &'static str,
    /// Degrees north.
    pub(crate) latitude: f64,
    /// Degrees east.
    pub(crate) longitude: f64,
}

/// Shortens the table below to one line a region.
const fn at(name: &'static str, place: &'static str, latitude: f64, longitude: f64) -> GcpRegion {
    GcpRegion {
        name,
        place,
        latitude,
        longitude,
    }
}

/// Every region, ordered by name.
pub(crate) const REGIONS: &[GcpRegion] = &[
    at("africa-south1", "Johannesburg, South Africa", -26.20, 28.05),
    at("asia-east1", "Changhua County, Taiwan", 24.05, 120.52),
    at("asia-east2", "Hong Kong", 22.32, 114.17),
    at("asia-northeast1", "Tokyo, Japan", 35.69, 139.69),
    at("asia-northeast2", "Osaka, Japan", 34.69, 135.50),
    at("asia-northeast3", "Seoul, South Korea", 37.57, 126.98),
    at("asia-south1", "Mumbai, India", 19.08, 72.88),
    at("asia-south2", "Delhi, India", 28.61, 77.21),
    at("asia-southeast1", "Jurong West, Singapore", 1.35, 103.71),
    at("asia-southeast2", "Jakarta, Indonesia", -6.21, 106.85),
    at("asia-southeast3", "Bangkok, Thailand", 13.76, 100.50),
    at("australia-southeast1", "Sydney, Australia", -33.87, 151.21),
    at("australia-southeast2", "Melbourne, Australia", -37.81, 144.96),
    at("europe-central2", "Warsaw, Poland", 52.23, 21.01),
    at("europe-north1", "Hamina, Finland", 60.57, 27.20),
    at("europe-north2", "Stockholm, Sweden", 59.33, 18.07),
    at("europe-southwest1", "Madrid, Spain", 40.42, -3.70),
    at("europe-west1", "St. Ghislain, Belgium", 50.45, 3.82),
    at("europe-west10", "Berlin, Germany", 52.52, 13.40),
    at("europe-west12", "Turin, Italy", 45.07, 7.69),
    at("europe-west2", "London, England", 51.51, -0.13),
    at("europe-west3", "Frankfurt, Germany", 50.11, 8.68),
    at("europe-west4", "Eemshaven, Netherlands", 53.43, 6.83),
    at("europe-west6", "Zurich, Switzerland", 47.38, 8.54),
    at("europe-west8", "Milan, Italy", 45.46, 9.19),
    at("europe-west9", "Paris, France", 48.86, 2.35),
    at("me-central1", "Doha, Qatar", 25.29, 51.53),
    at("me-central2", "Dammam, Saudi Arabia", 26.42, 50.09),
    at("me-west1", "Tel Aviv, Israel", 32.09, 34.78),
    at("northamerica-northeast1", "Montreal, Canada", 45.50, -73.57),
    at("northamerica-northeast2", "Toronto, Canada", 43.65, -79.38),
    at("northamerica-south1", "Queretaro, Mexico", 20.59, -100.39),
    at("southamerica-east1", "Osasco, Brazil", -23.53, -46.79),
    at("southamerica-west1", "Santiago, Chile", -33.45, -70.67),
    at("us-central1", "Council Bluffs, Iowa", 41.26, -95.86),
    at("us-east1", "Moncks Corner, South Carolina", 33.20, -80.01),
    at("us-east4", "Ashburn, Virginia", 39.04, -77.49),
    at("us-east5", "Columbus, Ohio", 39.96, -83.00),
    at("us-south1", "Dallas, Texas", 32.78, -96.80),
    at("us-west1", "The Dalles, Oregon", 45.59, -121.18),
    at("us-west2", "Los Angeles, California", 34.05, -118.24),
    at("us-west3", "Salt Lake City, Utah", 40.76, -111.89),
    at("us-west4", "Las Vegas, Nevada", 36.17, -115.14),
];

/// Round trips in milliseconds between pairs for which the great circle misleads, because the cables take another way.
const ROUND_TRIPS_MS: &[(&str, &str, u32)] = &[
    ("us-central1", "europe-west1", 100),
    ("us-central1", "asia-southeast1", 200),
    ("europe-west1", "asia-southeast1", 240),
    ("us-central1", "asia-northeast1", 130),
    ("us-central1", "asia-east1", 156),
    ("us-central1", "asia-south1", 236),
    ("us-central1", "australia-southeast1", 176),
    ("us-central1", "europe-west2", 96),
    ("us-central1", "europe-west3", 106),
    ("us-central1", "europe-west4", 102),
    ("us-central1", "southamerica-east1", 146),
    ("us-central1", "us-east1", 34),
    ("us-central1", "us-east4", 28),
    ("us-central1", "us-west1", 36),
    ("us-central1", "us-west2", 44),
    ("us-east1", "us-west1", 66),
    ("us-east1", "us-east4", 14),
    ("us-east1", "europe-west1", 92),
    ("us-east1", "europe-west2", 86),
    ("us-east1", "southamerica-east1", 118),
    ("us-east1", "asia-northeast1", 160),
    ("us-east1", "asia-southeast1", 218),
    ("us-east4", "europe-west1", 82),
    ("us-west1", "europe-west1", 134),
    ("us-west1", "asia-northeast1", 90),
    ("us-west1", "asia-southeast1", 166),
    ("us-west2", "asia-northeast1", 100),
    ("europe-west1", "asia-northeast1", 226),
    ("europe-west1", "asia-east1", 252),
    ("europe-west1", "australia-southeast1", 272),
    ("europe-west1", "southamerica-east1", 200),
    ("europe-west1", "europe-west2", 8),
    ("europe-west1", "europe-west3", 8),
    ("europe-west1", "europe-west4", 8),
    ("europe-west2", "asia-southeast1", 236),
    ("europe-west3", "asia-southeast1", 244),
    ("europe-west4", "asia-southeast1", 244),
    ("asia-southeast1", "asia-northeast1", 68),
    ("asia-southeast1", "asia-east1", 46),
    ("asia-southeast1", "asia-east2", 36),
    ("asia-southeast1", "asia-south1", 60),
    ("asia-southeast1", "australia-southeast1", 92),
    ("asia-southeast1", "southamerica-east1", 320),
    ("asia-northeast1", "asia-east1", 36),
    ("asia-northeast1", "asia-south1", 122),
    ("asia-northeast1", "australia-southeast1", 116),
];

/// One-way latency to or from a region whose place is unknown.
pub(crate) const UNKNOWN_ONE_WAY: Duration = Duration::from_millis(50);

/// Mean radius of the earth.
const EARTH_KM: f64 = 6371.0;
/// Light in fibre covers about 200 km a millisecond, and cables are half as long again as the great circle.
const CABLE_KM_PER_MS: f64 = 200.0 / 1.5;

/// The region called `name`, if Google Cloud has one.
pub(crate) fn find(name: &str) -> Option<&'static GcpRegion> {
    REGIONS.iter().find(|region| region.name == name)
}

/// The usual one-way latency between two regions, in whole milliseconds and the same both ways.
///
/// [`UNKNOWN_ONE_WAY`] where either name is not one of [`REGIONS`].
pub(crate) fn one_way(from: &str, to: &str) -> Duration {
    let listed = ROUND_TRIPS_MS
        .iter()
        .find(|(a, b, _)| (*a == from && *b == to) || (*a == to && *b == from));
    if let Some((_, _, round_trip_ms)) = listed {
        return Duration::from_millis(u64::from(round_trip_ms / 2));
    }
    match (find(from), find(to)) {
        (Some(from), Some(to)) => {
            let ms = 1.0 + great_circle_km(from, to) / CABLE_KM_PER_MS;
            Duration::from_millis(
                u64::try_from(Duration::from_secs_f64(ms / 1000.0).as_millis()).unwrap_or(1),
            )
        }
        _ => UNKNOWN_ONE_WAY,
    }
}

/// Haversine distance.
fn great_circle_km(from: &GcpRegion, to: &GcpRegion) -> f64 {
    let (from_latitude, to_latitude) = (from.latitude.to_radians(), to.latitude.to_radians());
    let half_latitude = (to_latitude - from_latitude) / 2.0;
    let half_longitude = (to.longitude - from.longitude).to_radians() / 2.0;
    let chord =
        half_latitude.sin().powi(2) + from_latitude.cos() * to_latitude.cos() * half_longitude.sin().powi(2);
    2.0 * EARTH_KM * chord.clamp(0.0, 1.0).sqrt().asin()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_are_sorted_named_once_and_on_earth() {
        for pair in REGIONS.windows(2) {
            assert!(
                pair[0].name < pair[1].name,
                "{} before {}",
                pair[0].name,
                pair[1].name
            );
        }
        for region in REGIONS {
            assert!(
                region.latitude.abs() <= 90.0 && region.longitude.abs() <= 180.0,
                "{}",
                region.name
            );
        }
    }

    #[test]
    fn table_names_known_regions_and_no_pair_twice() {
        for (index, (a, b, round_trip_ms)) in ROUND_TRIPS_MS.iter().enumerate() {
            assert!(find(a).is_some() && find(b).is_some() && a != b, "{a} {b}");
            assert_eq!(round_trip_ms % 2, 0, "{a} {b}: the halves are whole milliseconds");
            let again = ROUND_TRIPS_MS
                .iter()
                .skip(index + 1)
                .any(|(c, d, _)| (a, b) == (c, d) || (a, b) == (d, c));
            assert!(!again, "{a} {b} stands twice");
        }
    }

    #[test]
    fn default_regions_have_the_promised_round_trips() {
        for (a, b, one_way_ms) in [
            ("us-central1", "europe-west1", 50),
            ("us-central1", "asia-southeast1", 100),
            ("europe-west1", "asia-southeast1", 120),
        ] {
            assert_eq!(one_way(a, b), Duration::from_millis(one_way_ms));
            assert_eq!(one_way(b, a), Duration::from_millis(one_way_ms));
        }
    }

    #[test]
    fn other_pairs_are_estimated_and_unknown_places_get_the_default() {
        let madrid_paris = one_way("europe-southwest1", "europe-west9");
        assert!((5..=15).contains(&madrid_paris.as_millis()), "{madrid_paris:?}");
        let sydney_madrid = one_way("australia-southeast1", "europe-southwest1");
        assert!(
            (110..=160).contains(&sydney_madrid.as_millis()),
            "{sydney_madrid:?}"
        );
        assert_eq!(one_way("mars-1", "us-central1"), UNKNOWN_ONE_WAY);
        for a in REGIONS {
            for b in REGIONS {
                assert_eq!(one_way(a.name, b.name), one_way(b.name, a.name));
                assert!(a.name == b.name || one_way(a.name, b.name) >= Duration::from_millis(1));
            }
        }
    }
}
