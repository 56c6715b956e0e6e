//! One region of the demo: a node, its store, their ports and directory.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use serde_json::{Value, json};

use super::error::{Error, Result};
use super::gcp;
use super::place::Place;
use super::ports::Ports;
use super::process::{Phase, Process};
use super::redis::StoreChoice;

/// The longest name of a region.
const NAME_BYTES_MAX: usize = 32;

/// A region.
#[derive(Debug)]
pub(crate) struct Region {
    /// Its name.
    pub(crate) name: String,
    /// Its id: 1, 2, 3 ... in the order given or added.
    pub(crate) id: u16,
    /// Where its processes run.
    pub(crate) place: Place,
    /// Its ports.
    pub(crate) ports: Ports,
    /// Its directory below the data directory.
    pub(crate) dir: PathBuf,
    /// Held during a start or a store action: one at a time.
    pub(crate) acting: tokio::sync::Mutex<()>,
    /// Its node.
    pub(crate) node: Service,
    /// Its Redis; never started where the store is embedded.
    pub(crate) redis: Service,
}

/// A process that can end and be started again.
#[derive(Debug, Default)]
pub(crate) struct Service {
    process: Mutex<Option<Process>>,
}

impl Service {
    /// What it is doing.
    pub(crate) fn phase(&self) -> Phase {
        self.last().map_or(Phase::Stopped, |process| process.phase())
    }

    /// The process, where it exists now.
    pub(crate) fn alive(&self) -> Option<Process> {
        self.last().filter(Process::is_alive)
    }

    /// The process that was started.
    pub(crate) fn set(&self, process: Process) {
        *self.process.lock().unwrap_or_else(PoisonError::into_inner) = Some(process);
    }

    fn last(&self) -> Option<Process> {
        self.process
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl Region {
    /// A region whose processes are not started yet.
    pub(crate) fn new(name: &str, id: u16, place: Place, ports: Ports, dir: PathBuf) -> Self {
        Self {
            name: name.to_owned(),
            id,
            place,
            ports,
            dir,
            acting: tokio::sync::Mutex::default(),
            node: Service::default(),
            redis: Service::default(),
        }
    }

    /// Where the store's data is: the private Redis's directory, or the embedded store's.
    pub(crate) fn store_dir(&self) -> PathBuf {
        self.dir.join(if self.ports.redis.is_some() {
            "redis"
        } else {
            "store"
        })
    }

    /// Where the last copy of the store is.
    pub(crate) fn snapshot_dir(&self) -> PathBuf {
        self.dir.join("snapshot")
    }

    /// The node's settings file.
    pub(crate) fn config_file(&self) -> PathBuf {
        self.dir.join("node.toml")
    }

    /// `http://host:port` of the node's HTTP API.
    pub(crate) fn http(&self) -> String {
        format!("http://{}", self.place.at(self.ports.http))
    }

    /// As the API shows it.
    pub(crate) fn view(&self, store: &StoreChoice) -> Value {
        let node = self.node.phase();
        // An embedded store lives and dies with the node.
        let store_service = if self.ports.redis.is_some() {
            &self.redis
        } else {
            &self.node
        };
        let store_phase = store_service.phase();
        let place = gcp::find(&self.name);
        json!({
            "name": self.name,
            "id": self.id,
            "place": place.map(|place| place.place),
            "latitude": place.map(|place| place.latitude),
            "longitude": place.map(|place| place.longitude),
            "http": self.http(),
            "ports": self.ports,
            "pids": {"node": pid(&self.node), "redis": pid(&self.redis)},
            "state": node.word(),
            "exit": exit(&node),
            "store": {"kind": store.word(), "state": store_phase.word(), "exit": exit(&store_phase)},
        })
    }
}

fn pid(service: &Service) -> Option<i32> {
    service.alive().map(|process| process.pid())
}

/// How a crashed process ended.
fn exit(phase: &Phase) -> Option<&str> {
    match phase {
        Phase::Crashed(how) => Some(how),
        Phase::Running | Phase::Paused | Phase::Stopped => None,
    }
}

/// Checks a region's name, and says aloud where its place is unknown.
///
/// # Errors
/// A bad request: the name is not 1 to 32 of `a-z`, `0-9` and `-`.
pub(crate) fn check_name(name: &str) -> Result<Option<String>> {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if name.is_empty() || name.len() > NAME_BYTES_MAX || name.starts_with('-') || !name.bytes().all(fits) {
        return Err(Error::bad_request(format!(
            "{name:?} is no region name; expected a Google Cloud region such as europe-west1, or 1 to {NAME_BYTES_MAX} \
             of a-z, 0-9 and - (not first)"
        )));
    }
    Ok(gcp::find(name).is_none().then(|| {
        format!(
            "{name} is not a Google Cloud region: its links begin with a latency of {} ms",
            gcp::UNKNOWN_ONE_WAY.as_millis()
        )
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked_and_unknown_places_said_aloud() {
        assert_eq!(check_name("europe-west1"), Ok(None));
        assert!(check_name("mars-1").unwrap().unwrap().contains("50 ms"));
        assert!(check_name(&"a".repeat(32)).is_ok());
        for bad in ["", "-a", "A", "a b", "../x", "ü", "a_b", &"a".repeat(33)] {
            let error = check_name(bad).unwrap_err();
            assert_eq!(error.status, 400, "{bad}");
        }
    }
}
