//! `/v1/status`, `/healthz`, `/readyz`, `/metrics`.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use cartograph_crdt::{RegionId, VersionVector};
use cartograph_engine::ShardStatus;
use cartograph_replica::exchange::PeerStatus;
use cartograph_store::{Durability, Read, ReadReply, StoreInfo};
use serde_json::{Map, Value, json};

use super::{Shared, document};
use crate::clock;
use crate::config::StoreKind;
use crate::doors::failure::{Failure, kinds};
use crate::doors::{Answered, Doors};

/// How long the store may take to say what it is.
const INFO_MAX: Duration = Duration::from_millis(500);

/// Clocks further apart than this are alarmed, in milliseconds.
const SKEW_ALARM_MS: u64 = 250;

pub(super) async fn healthz() -> Response {
    document(StatusCode::OK, &json!({"status": "up"}))
}

pub(super) async fn readyz(State(doors): Shared) -> Response {
    match doors.why_not_ready().await {
        None => document(StatusCode::OK, &json!({"status": "ready"})),
        Some(reason) => doors.failed(&Failure::new(kinds::NOT_READY, reason)),
    }
}

pub(super) async fn metrics(State(doors): Shared) -> Response {
    doors.metrics.take_names(doors.region_names().await);
    for status in doors.statuses().await.unwrap_or_default() {
        doors.metrics.take_status(&status);
    }
    if let Some(keys) = keys(&doors).await {
        doors.metrics.take_keys(keys);
    }
    doors.metrics.take_ready(doors.why_not_ready().await.is_none());
    if let Some(info) = store_info(&doors).await {
        doors.metrics.take_store(&info);
    }
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(CONTENT_TYPE, kind)], doors.metrics.text()).into_response()
}

/// Keys that readers see, as DBSIZE counts them.
async fn keys(doors: &Doors) -> Option<u64> {
    match tokio::time::timeout(INFO_MAX, doors.store.read(Read::DbSize)).await {
        Ok(Ok(ReadReply::Integer(n))) => u64::try_from(n).ok(),
        Ok(Ok(_) | Err(_)) | Err(_) => None,
    }
}

async fn store_info(doors: &Doors) -> Option<StoreInfo> {
    let info = tokio::time::timeout(INFO_MAX, doors.store.info()).await;
    info.ok().and_then(Result::ok)
}

pub(super) async fn status(State(doors): Shared) -> Response {
    let started = clock::elapsed();
    let result = gather(&doors).await;
    let answered = result.map(|value| Answered { value, token: None });
    doors.answer("status", started, answered, |document| document)
}

async fn gather(doors: &Doors) -> Result<Value, Failure> {
    let statuses = doors.statuses().await?;
    let info = store_info(doors).await;
    let reason = doors.why_not_ready().await;
    let names = doors.region_names().await;
    let peers = peers(doors, &statuses, &names);
    let sum = |field: fn(&ShardStatus) -> u64| statuses.iter().map(field).sum::<u64>();
    let shards: Vec<Value> = statuses.iter().map(shard).collect();
    let mut document = json!({
        "region": doors.config.region.name,
        "region_id": doors.config.region.id.0,
        "cluster": doors.config.cluster.name,
        "version": env!("CARGO_PKG_VERSION"),
        "ready": reason.is_none(),
        "store": store_name(doors, info.as_ref()),
        "durability": info.as_ref().map(|i| durability(i.durability)),
        "keys": keys(doors).await.unwrap_or_else(|| sum(|s| s.keys)),
        "log": {"entries": sum(|s| s.log_entries), "bytes": sum(|s| s.log_bytes)},
        "requests_queued": statuses.iter().map(|s| s.queued).sum::<usize>(),
        "members": members(&statuses),
        "peers": peers,
        "shards": shards,
        "warnings": warnings(&statuses, info.as_ref(), &names),
    });
    if let Some(fields) = document.as_object_mut() {
        if let Some(reason) = reason {
            fields.insert("reason".to_owned(), json!(reason));
        }
        if let Some(advertise) = &doors.config.peer.advertise {
            fields.insert("advertise".to_owned(), json!(advertise));
        }
        if let Some(info) = &info {
            fields.insert("store_info".to_owned(), store_document(info));
        }
    }
    Ok(document)
}

fn store_name(doors: &Doors, info: Option<&StoreInfo>) -> String {
    match info {
        Some(info) => format!("{} {}", info.kind.name(), info.version),
        None => match doors.config.store.kind {
            StoreKind::Redis { .. } => "redis".to_owned(),
            StoreKind::Embedded { .. } => "embedded".to_owned(),
            StoreKind::Memory => "memory".to_owned(),
        },
    }
}

fn durability(durability: Durability) -> &'static str {
    match durability {
        Durability::Process => "process",
        Durability::Disk => "disk",
        Durability::Replica { .. } => "replica",
    }
}

fn store_document(info: &StoreInfo) -> Value {
    json!({
        "kind": info.kind.name(),
        "version": info.version,
        "aof": info.aof,
        "memory_bytes_used": info.memory_bytes_used,
        "memory_bytes_max": info.memory_bytes_max,
        "keys_evicted": info.keys_evicted,
        "keys_expired": info.keys_expired,
        "replicas_connected": info.replicas_connected,
        "eviction_policy": info.eviction_policy,
    })
}

fn members(statuses: &[ShardStatus]) -> Value {
    let first = statuses.first().map(|s| s.members.clone()).unwrap_or_default();
    let members: Map<String, Value> = first
        .into_iter()
        .map(|(id, name)| (id.to_string(), json!(name)))
        .collect();
    Value::Object(members)
}

/// A version vector as JSON: 64-bit numbers are strings, because JavaScript would round them. Retired replicas, which
/// every region with the same vector has whole, are left out.
pub(super) fn vector_document(vector: &VersionVector) -> Value {
    let fields = vector
        .counted()
        .map(|(r, n)| (r.to_string(), json!(n.to_string())));
    Value::Object(fields.collect())
}

/// The last retired incarnation of each region that has one.
fn retired_document(vector: &VersionVector) -> Value {
    let floors = vector.floors();
    let fields = floors.map(|last| (last.region.to_string(), json!(last.incarnation.0.to_string())));
    Value::Object(fields.collect())
}

fn shard(status: &ShardStatus) -> Value {
    json!({
        "shard": status.shard.0,
        "replica": status.replica.to_string(),
        "version_vector": vector_document(&status.vector),
        "retired": retired_document(&status.vector),
        "commits": status.batch.to_string(),
        "expiry_clock_ms": status.expiry_ms.to_string(),
        "store_up": status.store_up,
        "requests_queued": status.queued,
        "commits_in_flight": status.in_flight,
        "rows_cached": status.rows_cached,
        "entries_parked": status.parked,
        "joining_snapshot": status.joining,
        "ahead": status.ahead,
    })
}

/// Every region that is dialled, is a member, or has dialled us.
fn peers(doors: &Doors, statuses: &[ShardStatus], names: &BTreeMap<RegionId, String>) -> Value {
    let mut seen: BTreeMap<RegionId, PeerStatus> = BTreeMap::new();
    for status in statuses {
        for (region, peer) in &status.peers {
            let known = seen.entry(*region).or_insert_with(|| peer.clone());
            known.connected_out &= peer.connected_out;
            known.connected_in &= peer.connected_in;
            known.lag_ms = known.lag_ms.max(peer.lag_ms);
            known.entries_behind = known.entries_behind.max(peer.entries_behind);
        }
    }
    let mut links = BTreeMap::new();
    for (peer, state) in doors.peers.list() {
        seen.entry(peer.id).or_default();
        links.insert(peer.id, (peer.address, state.error));
    }
    let now_ms = clock::wall_ms();
    let mut documents = Map::new();
    for (region, peer) in seen {
        let name = names.get(&region).cloned().unwrap_or_else(|| region.to_string());
        let (address, error) = links.remove(&region).unwrap_or_default();
        let document = json!({
            "region_id": region.0,
            "connected": peer.connected_out && peer.connected_in,
            "connected_out": peer.connected_out,
            "connected_in": peer.connected_in,
            "lag_ms": peer.lag_ms,
            "entries_behind": peer.entries_behind,
            "queue_bytes": peer.queue_bytes,
            "clock_skew_ms": peer.skew_ms,
            "rtt_ms": peer.rtt_ms,
            "heard_ms_ago": peer.heard_ms.map(|ms| now_ms.saturating_sub(ms)),
            "snapshot_out": peer.snapshot_out,
            "snapshot_in": peer.snapshot_in,
            "address": address,
            "error": error,
        });
        documents.insert(name, document);
    }
    Value::Object(documents)
}

fn warnings(
    statuses: &[ShardStatus],
    info: Option<&StoreInfo>,
    names: &BTreeMap<RegionId, String>,
) -> Vec<String> {
    let mut warnings = Vec::new();
    match info {
        None => warnings.push("the store does not answer".to_owned()),
        Some(info) => {
            if info.aof == Some(false) && info.durability == Durability::Process {
                warnings.push(
                    "the store's append-only file is off: what was acknowledged is lost when it crashes (set \
                     `appendonly yes`)"
                        .to_owned(),
                );
            }
            if info.keys_evicted > 0 {
                warnings.push(format!(
                    "the store has evicted {} keys: carts may have lost what they need (set `maxmemory-policy noeviction`)",
                    info.keys_evicted
                ));
            }
        }
    }
    for status in statuses {
        if let Some(reason) = &status.refusal {
            warnings.push(format!("the store refused a commit: {reason}"));
        }
        for (region, peer) in &status.peers {
            if let Some(skew) = peer.skew_ms.filter(|ms| ms.unsigned_abs() > SKEW_ALARM_MS) {
                let name = names.get(region).cloned().unwrap_or_else(|| region.to_string());
                warnings.push(format!(
                    "the clock of {name} is {skew} ms from ours: later writes may lose"
                ));
            }
        }
    }
    warnings
}
