//! The table on the terminal: every region's node as it says itself, once a second.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use comfy_table::{Table, presets};
use serde::Deserialize;
use serde_json::Value;
use tokio::task::JoinSet;

use super::cluster::Demo;
use super::process::Phase;
use super::region::Region;

/// Time between two drawings.
const EVERY: Duration = Duration::from_secs(1);
/// How long a node may take to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_millis(800);

/// What the table shows of `/v1/status`; whatever a node does not say stays empty.
#[derive(Clone, Debug, Default, Deserialize)]
struct Status {
    #[serde(default)]
    keys: Value,
    #[serde(default)]
    carts: Value,
    #[serde(default)]
    peers: BTreeMap<String, PeerStatus>,
}

#[derive(Clone, Debug, Default, Deserialize)]
struct PeerStatus {
    #[serde(default)]
    connected: bool,
    #[serde(default)]
    lag_ms: Value,
    #[serde(default)]
    entries_behind: Value,
}

/// Draws until the demo stops; does nothing where nobody is watching.
pub(crate) async fn watch(demo: Arc<Demo>) {
    if !demo.console.is_terminal() {
        return;
    }
    while !demo.stop.is_cancelled() {
        let statuses = ask(&demo).await;
        demo.console.draw(&draw(&demo, &statuses));
        if demo.pause(EVERY).await.is_err() {
            break;
        }
    }
    demo.console.leave_table();
}

async fn ask(demo: &Arc<Demo>) -> BTreeMap<u16, Result<Status, String>> {
    let mut asking = JoinSet::new();
    for region in demo.regions() {
        let http = demo.http.clone();
        asking.spawn(async move {
            let status = match region.node.phase() {
                Phase::Running => {
                    http.get(&format!("{}/v1/status", region.http()), ANSWER_TIMEOUT)
                        .await
                }
                phase @ (Phase::Paused | Phase::Stopped | Phase::Crashed(_)) => Err(phase.word().to_owned()),
            };
            (region.id, status)
        });
    }
    asking.join_all().await.into_iter().collect()
}

fn draw(demo: &Demo, statuses: &BTreeMap<u16, Result<Status, String>>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(["region", "node", "store", "keys", "peers", "lag", "http", "grpc"]);
    for region in demo.regions() {
        table.add_row(row(&region, statuses.get(&region.id)));
    }
    let links = demo.links.all();
    let mut faults: Vec<String> = links.iter().filter_map(|link| link.fault()).collect();
    if faults.is_empty() {
        faults.push(format!("{} links, all healthy", links.len()));
    }
    format!("{table}\n  {}", faults.join("\n  "))
}

fn row(region: &Region, status: Option<&Result<Status, String>>) -> Vec<String> {
    let node = region.node.phase();
    let store = if region.ports.redis.is_some() {
        region.redis.phase()
    } else {
        node.clone()
    };
    let state = match (&node, status) {
        (Phase::Running, Some(Err(_))) => "no answer".to_owned(),
        (Phase::Crashed(how), _) => format!("crashed ({how})"),
        (Phase::Running | Phase::Paused | Phase::Stopped, _) => node.word().to_owned(),
    };
    let status = status.and_then(|status| status.as_ref().ok());
    let keys = status.map(|status| {
        if status.keys.is_null() {
            &status.carts
        } else {
            &status.keys
        }
    });
    let peers = status.map(|status| {
        let connected = status.peers.values().filter(|peer| peer.connected).count();
        format!("{connected}/{}", status.peers.len())
    });
    vec![
        region.name.clone(),
        state,
        store.word().to_owned(),
        keys.map(text).unwrap_or_default(),
        peers.unwrap_or_default(),
        status.map(lag).unwrap_or_default(),
        region.ports.http.to_string(),
        region.ports.grpc.to_string(),
    ]
}

/// The worst of all peers: `120 ms`, and how many entries are waiting where any are.
fn lag(status: &Status) -> String {
    let worst =
        |pick: fn(&PeerStatus) -> &Value| status.peers.values().filter_map(|peer| number(pick(peer))).max();
    let mut words = Vec::new();
    words.extend(worst(|peer| &peer.lag_ms).map(|ms| format!("{ms} ms")));
    words.extend(
        worst(|peer| &peer.entries_behind)
            .filter(|count| *count > 0)
            .map(|count| format!("{count} behind")),
    );
    words.join(", ")
}

/// A number, which may come as text because it is 64 bits wide.
fn number(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(
        || {
            if value.is_null() {
                String::new()
            } else {
                value.to_string()
            }
        },
        str::to_owned,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lag_is_the_worst_peers_and_numbers_may_be_text() {
        let status: Status = serde_json::from_str(
            r#"{"region":"a","peers":{"b":{"connected":true,"lag_ms":12,"entries_behind":"0"},
                "c":{"connected":false,"lag_ms":"950","entries_behind":"7"}}}"#,
        )
        .unwrap();
        assert_eq!(lag(&status), "950 ms, 7 behind");
        assert_eq!(lag(&Status::default()), "");
        assert_eq!(
            (text(&Value::Null), text(&Value::from(3)), text(&Value::from("4"))),
            (String::new(), "3".into(), "4".into())
        );
    }
}
