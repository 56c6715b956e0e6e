//! `/v1/admin`: peers added while running, and regions forgotten.

use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use cartograph_crdt::RegionId;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{Named, Shared, body};
use crate::clock;
use crate::config::Peer;
use crate::doors::failure::{Failure, kinds};
use crate::doors::{Answered, Doors};

/// `{"id","address"}`
#[derive(Deserialize)]
struct PeerBody {
    id: u16,
    address: String,
}

fn plain<T>(value: T) -> Answered<T> {
    Answered { value, token: None }
}

fn list(doors: &Doors) -> Value {
    let document = |(peer, state): (Peer, crate::peers::LinkState)| {
        let value = json!({"id": peer.id.0, "address": peer.address, "error": state.error});
        (peer.region, value)
    };
    let peers: Map<String, Value> = doors.peers.list().into_iter().map(document).collect();
    json!({"peers": peers})
}

pub(super) async fn list_peers(State(doors): Shared) -> Response {
    let started = clock::elapsed();
    let result = Ok(plain(list(&doors)));
    doors.answer("list_peers", started, result, |document| document)
}

pub(super) async fn put_peer(
    State(doors): Shared,
    Named(region): Named<String>,
    headers: HeaderMap,
    content: Body,
) -> Response {
    let started = clock::elapsed();
    let result = async {
        let peer: PeerBody = body(&doors, &headers, content).await?;
        if peer.id == 0 {
            return Err(Failure::new(kinds::PEER, "id: found 0, expected 1 to 65535"));
        }
        doors.peers.put(Peer {
            region,
            id: RegionId(peer.id),
            address: peer.address,
        })?;
        Ok(plain(list(&doors)))
    };
    let result = result.await;
    doors.answer("put_peer", started, result, |document| document)
}

pub(super) async fn delete_peer(State(doors): Shared, Named(region): Named<String>) -> Response {
    let started = clock::elapsed();
    let result = if doors.peers.remove(&region) {
        Ok(plain(list(&doors)))
    } else {
        let message = format!("there is no peer {region:?}");
        Err(Failure::new(kinds::NO_SUCH_PEER, message))
    };
    doors.answer("delete_peer", started, result, |document| document)
}

/// Every shard forgets the region: it is no member any more, and its id never returns.
pub(super) async fn forget(State(doors): Shared, Named(region): Named<String>) -> Response {
    let started = clock::elapsed();
    let result = forget_everywhere(&doors, &region).await;
    doors.answer("forget", started, result.map(plain), |document| document)
}

async fn forget_everywhere(doors: &Doors, region: &str) -> Result<Value, Failure> {
    let names = doors.region_names().await;
    let named = names.iter().find(|(_, name)| *name == region).map(|(id, _)| *id);
    let id = named
        .or_else(|| region.parse().ok().map(RegionId))
        .ok_or_else(|| {
            let message = format!("no region is known by the name {region:?}: give its name or its id");
            Failure::new(kinds::NO_SUCH_PEER, message)
        })?;
    for shard in &doors.shards {
        shard.forget(id, doors.config.limits.request_timeout).await?;
    }
    doors.peers.left(id);
    Ok(json!({"forgotten": {"region": names.get(&id), "region_id": id.0}}))
}
