//! Geo: places are sorted-set members, their scores geohashes.

use cartograph_crdt::{ElementId, Type};

use super::sorted_set_operations::become_sorted_set;
use super::sorted_set_reads::scores;
use super::sorted_sets::{Ranked, ranked, score};
use crate::command::Reply;
use crate::error::CommandError;
use crate::geo::{self, Centre, Order, Position, Query};
use crate::number::LongDouble;
use crate::writer::{Stop, Writer};

/// A place that a search found.
struct Found {
    member: Vec<u8>,
    score: f64,
    /// In metres.
    distance: f64,
}

/// What a search finds, in its order; by geohash where it asks for none.
fn search(w: &mut Writer<'_>, key: &[u8], query: &Query) -> Result<Vec<Found>, Stop> {
    let all: Vec<Ranked> = ranked(w, key)?;
    if w.look_typed(key, Type::SortedSet)?.is_none() {
        return Ok(Vec::new());
    }
    let centre = match &query.centre {
        Centre::Position(position) => *position,
        Centre::Member(member) => {
            let place = all.iter().find(|(_, m)| m == member);
            geo::decode(place.ok_or(CommandError::NoSuchPlace)?.0)
        }
    };
    let places = all.into_iter().filter(|(score, _)| geo::is_geohash(*score));
    let mut found: Vec<Found> = places
        .filter_map(|(score, member)| {
            let distance = query.area.reach(centre, geo::decode(score))?;
            Some(Found {
                member,
                score,
                distance,
            })
        })
        .collect();
    match query.order {
        Order::Any => {}
        Order::Nearest => found.sort_by(|a, b| a.distance.total_cmp(&b.distance)),
        Order::Farthest => found.sort_by(|a, b| b.distance.total_cmp(&a.distance)),
    }
    if let Some(count) = query.count {
        found.truncate(usize::try_from(count).unwrap_or(usize::MAX));
    }
    Ok(found)
}

/// Refuses when the key is there and the member is not.
pub(super) fn refuse_absent(w: &mut Writer<'_>, key: &[u8], member: &[u8]) -> Result<(), Stop> {
    let shown = w.look_typed(key, Type::SortedSet)?;
    if shown.is_some() && score(w, key, shown, &ElementId::scored(member))?.is_none() {
        return Err(CommandError::NoSuchPlace.into());
    }
    Ok(())
}

/// GEOSEARCH: for each place its member, distance, score, longitude and latitude.
pub(super) fn geosearch(w: &mut Writer<'_>, key: &[u8], query: &Query) -> Result<Reply, Stop> {
    let found = search(w, key, query)?.into_iter();
    let reply = |place: Found| {
        let bits = i64::try_from(geo::bits_of(place.score)).unwrap_or(i64::MAX);
        let [longitude, latitude] = coordinates(geo::decode(place.score));
        Reply::Array(vec![
            Reply::Bytes(place.member),
            Reply::Bytes(four_places(place.distance / query.metres)),
            Reply::Integer(bits),
            longitude,
            latitude,
        ])
    };
    Ok(Reply::Array(found.map(reply).collect()))
}

/// GEOSEARCHSTORE and GEORADIUS STORE.
pub(super) fn store(
    w: &mut Writer<'_>,
    to: &[u8],
    from: &[u8],
    query: &Query,
    distances: bool,
) -> Result<Reply, Stop> {
    let found = search(w, from, query)?.into_iter();
    let scored = found.map(|place| {
        let score = if distances {
            place.distance / query.metres
        } else {
            place.score
        };
        (score, place.member)
    });
    become_sorted_set(w, to, scored.collect())
}

/// GEOPOS.
pub(super) fn geopos(w: &mut Writer<'_>, key: &[u8], members: &[Vec<u8>]) -> Result<Reply, Stop> {
    let scores = scores(w, key, members)?.into_iter();
    let place = |score: f64| Reply::Array(coordinates(geo::decode(score)).to_vec());
    Ok(Reply::Array(
        scores.map(|s| s.map_or(Reply::Nil, place)).collect(),
    ))
}

/// GEOHASH.
pub(super) fn geohash(w: &mut Writer<'_>, key: &[u8], members: &[Vec<u8>]) -> Result<Reply, Stop> {
    let scores = scores(w, key, members)?.into_iter();
    Ok(Reply::Array(
        scores.map(|s| Reply::bytes(s.map(geo::text))).collect(),
    ))
}

/// GEODIST.
pub(super) fn geodist(
    w: &mut Writer<'_>,
    key: &[u8],
    members: &[Vec<u8>],
    metres: f64,
) -> Result<Reply, Stop> {
    Ok(match scores(w, key, members)?.as_slice() {
        [Some(a), Some(b)] => {
            let distance = geo::distance(geo::decode(*a), geo::decode(*b));
            Reply::Bytes(four_places(distance / metres))
        }
        _ => Reply::Nil,
    })
}

fn four_places(number: f64) -> Vec<u8> {
    format!("{number:.4}").into_bytes()
}

/// As Redis prints coordinates: with 17 places, zeros at the end left out.
fn coordinates(position: Position) -> [Reply; 2] {
    [position.longitude, position.latitude].map(|degrees| {
        let exact = crate::number::Exact::from_f64(degrees).ok();
        let text = exact.map(|exact| LongDouble::nearest(&exact).format_human());
        Reply::bytes(text.map(String::into_bytes))
    })
}
