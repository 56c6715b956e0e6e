//! `/v1/digest`: what two regions compare to know whether they agree, and where they do not.

use std::collections::BTreeMap;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::Shared;
use super::status::vector_document;
use crate::clock;
use crate::digest::Place;
use crate::doors::failure::{Failure, kinds};
use crate::doors::{Answered, Doors};

/// Broken views that a document names.
const BROKEN_MAX: usize = 20;

/// `?as_of=&deep=&shard=&bucket=&key=`
#[derive(Deserialize)]
pub(super) struct Parameters {
    as_of: Option<String>,
    deep: Option<String>,
    shard: Option<String>,
    bucket: Option<String>,
    key: Option<String>,
}

type Asked = Result<Query<Parameters>, QueryRejection>;

fn parameters(asked: Asked) -> Result<Parameters, Failure> {
    let Query(parameters) = asked.map_err(|e| Failure::new(kinds::PARAMETER, e.body_text()))?;
    Ok(parameters)
}

fn wrong(name: &str, found: &str, expected: &str) -> Failure {
    Failure::new(
        kinds::PARAMETER,
        format!("{name}: found {found:?}, expected {expected}"),
    )
}

impl Parameters {
    /// The instant, now by default.
    fn as_of(&self) -> Result<u64, Failure> {
        let Some(text) = &self.as_of else {
            return Ok(clock::wall_ms());
        };
        text.parse()
            .map_err(|_| wrong("as_of", text, "Unix milliseconds"))
    }

    fn deep(&self) -> Result<bool, Failure> {
        match self.deep.as_deref() {
            None | Some("0" | "false" | "") => Ok(false),
            Some("1" | "true") => Ok(true),
            Some(other) => Err(wrong("deep", other, "0 or 1")),
        }
    }
}

impl Doors {
    pub(crate) fn places(&self) -> BTreeMap<u16, Place> {
        let place = |shard: &crate::driver::ShardHandle| {
            let place = Place {
                shard: shard.clone(),
                store: std::sync::Arc::clone(&self.store),
                salt: u64::from(self.config.region.id.0).wrapping_mul(0x9e37_79b9_7f4a_7c15),
            };
            (shard.shard().0, place)
        };
        self.shards.iter().map(place).collect()
    }
}

pub(super) async fn digest(State(doors): Shared, asked: Asked) -> Response {
    let started = clock::elapsed();
    let result = whole(&doors, asked).await;
    let result = result.map(|value| Answered { value, token: None });
    doors.answer("digest", started, result, |document| document)
}

async fn whole(doors: &Doors, asked: Asked) -> Result<Value, Failure> {
    let asked = parameters(asked)?;
    let (as_of, deep) = (asked.as_of()?, asked.deep()?);
    let (mut vectors, mut buckets, mut broken) = (Map::new(), Map::new(), Vec::new());
    let mut stable = true;
    for (shard, place) in doors.places() {
        let digest = place.digest(as_of, deep).await?;
        stable &= digest.stable;
        vectors.insert(shard.to_string(), vector_document(&digest.vector));
        let hex = digest.buckets.iter().map(|d| json!(format!("{d:016x}")));
        buckets.insert(shard.to_string(), Value::Array(hex.collect()));
        let names = digest
            .broken
            .iter()
            .map(|key| String::from_utf8_lossy(key).into_owned());
        broken.extend(names);
    }
    let count = broken.len();
    broken.truncate(BROKEN_MAX);
    Ok(json!({
        "region": doors.config.region.name,
        "version_vectors": vectors,
        "as_of": as_of.to_string(),
        "deep": deep,
        "stable": stable,
        "buckets": buckets,
        "broken_views": {"count": count, "keys": broken},
    }))
}

pub(super) async fn keys(State(doors): Shared, asked: Asked) -> Response {
    let started = clock::elapsed();
    let result = bucket(&doors, asked).await;
    let result = result.map(|value| Answered { value, token: None });
    doors.answer("digest_keys", started, result, |document| document)
}

async fn bucket(doors: &Doors, asked: Asked) -> Result<Value, Failure> {
    let asked = parameters(asked)?;
    let (as_of, deep) = (asked.as_of()?, asked.deep()?);
    let shard = asked.shard.as_deref().unwrap_or("0");
    let bucket = asked.bucket.as_deref().unwrap_or("");
    let limit = cartograph_replica::commit::BUCKETS;
    let place = shard.parse().ok().and_then(|s: u16| doors.places().remove(&s));
    let place = place.ok_or_else(|| wrong("shard", shard, "a shard's number"))?;
    let bucket = bucket.parse().ok().filter(|b| *b < limit);
    let bucket = bucket.ok_or_else(|| {
        wrong(
            "bucket",
            asked.bucket.as_deref().unwrap_or(""),
            "a bucket's number, 0 to 255",
        )
    })?;
    let digests = place.bucket_keys(bucket, as_of, deep).await?;
    let keys: Map<String, Value> = digests
        .into_iter()
        .map(|(key, digest)| {
            let name = String::from_utf8_lossy(&key).into_owned();
            (name, json!({"digest": format!("{digest:016x}")}))
        })
        .collect();
    Ok(json!({"keys": keys}))
}

pub(super) async fn key(State(doors): Shared, asked: Asked) -> Response {
    let started = clock::elapsed();
    let result = one(&doors, asked).await;
    let result = result.map(|value| Answered { value, token: None });
    doors.answer("digest_key", started, result, |document| document)
}

async fn one(doors: &Doors, asked: Asked) -> Result<Value, Failure> {
    let asked = parameters(asked)?;
    let (as_of, deep) = (asked.as_of()?, asked.deep()?);
    let Some(key) = asked.key.map(String::into_bytes) else {
        return Err(wrong("key", "", "a key"));
    };
    let shard = doors.shard_of(&key)?.shard().0;
    let place = doors.places().remove(&shard);
    let place = place.ok_or_else(|| Failure::new(kinds::NOT_READY, "this node has no shard for the key"))?;
    let shown = place.key(&key, as_of, deep).await?;
    Ok(shown.map_or_else(
        || json!({"type": null, "fields": {}, "expires_at_ms": null}),
        |s| s.document(),
    ))
}
