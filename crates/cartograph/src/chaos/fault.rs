//! Faults made and taken back, on real processes.
//!
//! Each planned fault is a task: it waits for its time, breaks, keeps broken, mends. What could not be broken (a store that
//! another fault of the same slot had taken down, say) is no verdict about the product: it is written down as missed.
//! When the run's faults are over, [`Hurt::heal`] puts everything back, whatever the faults' tasks have done.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::Serialize;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use super::history::{Instant, Loss};
use super::network::Network;
use super::plan::{Nemesis, Planned};
use super::redis;
use super::timeline::Timeline;
use super::workload::Shared;
use crate::clock;
use crate::demo::actions::{NodeAction, StoreAction};
use crate::demo::cluster::Demo;
use crate::demo::process::Phase;
use crate::demo::region::Region;

/// Connections that a churn opens in one go.
const CHURN_CONNECTIONS: usize = 40;
/// How long a slow Redis holds its clients at a time.
const SLOW_STORE_MS: u64 = 120;

/// A fault as it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Band {
    /// What.
    pub(crate) nemesis: Nemesis,
    /// Where.
    pub(crate) region: usize,
    /// The other side, where there is one.
    pub(crate) other: Option<usize>,
    /// From when.
    pub(crate) start: Instant,
    /// Until when.
    pub(crate) end: Instant,
    /// What exactly.
    pub(crate) what: String,
    /// Why it could not be made.
    pub(crate) missed: Option<String>,
}

/// Everything that faults need.
#[derive(Debug)]
pub(crate) struct Hurt {
    /// The cluster.
    pub(crate) demo: Arc<Demo>,
    /// Its links.
    pub(crate) network: Network,
    /// The run's clock and end.
    pub(crate) shared: Shared,
    /// Who tells people.
    pub(crate) timeline: Timeline,
    /// For each region whose clock can be set: the file with its offset.
    pub(crate) clocks: BTreeMap<usize, PathBuf>,
    /// For each region on a disk of limited size: the directory where that is mounted.
    pub(crate) disks: BTreeMap<usize, PathBuf>,
    /// What was done.
    pub(crate) bands: Mutex<Vec<Band>>,
    /// What was lost.
    pub(crate) losses: Mutex<Vec<Loss>>,
}

type Done = Result<(), String>;

impl Hurt {
    fn region(&self, number: usize) -> Result<Arc<Region>, String> {
        self.demo
            .regions()
            .get(number)
            .cloned()
            .ok_or_else(|| format!("there is no region {number}"))
    }

    fn redis_of(&self, number: usize) -> Result<SocketAddr, String> {
        let region = self.region(number)?;
        let port = region.ports.redis.ok_or("its store is embedded")?;
        Ok(region.place.at(port))
    }

    /// Makes one fault at its time and takes it back at its end, or when clients are told to stop.
    pub(crate) async fn make(self: Arc<Self>, fault: Planned) {
        let at = self.shared.began + fault.at;
        tokio::select! {
            () = tokio::time::sleep_until(at.into()) => {}
            () = self.shared.stop.cancelled() => return,
        }
        let what = self.describe(&fault);
        self.timeline
            .fault(&what, Some(fault.until.saturating_sub(fault.at)));
        let start = self.shared.now();
        let broken = self.break_it(&fault).await;
        if broken.is_ok() {
            self.keep_broken(&fault).await;
        }
        // A copy that could not be taken must not be put back: an older one would be.
        let mended = if fault.nemesis == Nemesis::Rollback && broken.is_err() {
            Ok(())
        } else {
            self.mend(&fault).await
        };
        let missed = broken.and(mended).err();
        match &missed {
            Some(why) => self.timeline.fault(&format!("{what}: missed, {why}"), None),
            None => self.timeline.fault(&format!("{what}: over"), None),
        }
        let band = Band {
            nemesis: fault.nemesis,
            region: fault.region,
            other: has_other(fault.nemesis).then_some(fault.other),
            start,
            end: self.shared.now(),
            what,
            missed,
        };
        self.bands
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(band);
    }

    /// A fault in a few words.
    fn describe(&self, fault: &Planned) -> String {
        let name = |number| {
            self.region(number)
                .map_or_else(|why| why, |region| region.name.clone())
        };
        let (here, there) = (name(fault.region), name(fault.other));
        match fault.nemesis {
            Nemesis::PartitionOneWay => format!("partition-one-way {here} → {there}"),
            Nemesis::PartitionPartial => format!("partition-partial {here} | {there}"),
            Nemesis::ClockSkew => format!("clock-skew {here} {:+} ms", skew_ms(fault.strength)),
            Nemesis::SlowPeers => {
                let (latency, loss) = slowness(fault.strength);
                format!("slow-peers {here} {latency} ms, loss {loss:.2}")
            }
            Nemesis::PartitionFull
            | Nemesis::PartitionFlapping
            | Nemesis::KillNode
            | Nemesis::PauseNode
            | Nemesis::KillStore
            | Nemesis::PauseStore
            | Nemesis::Wipe
            | Nemesis::Rollback
            | Nemesis::Oom
            | Nemesis::ReadOnly
            | Nemesis::SlowStore
            | Nemesis::DiskFull
            | Nemesis::Churn => format!("{} {here}", fault.nemesis.word()),
        }
    }

    async fn break_it(&self, fault: &Planned) -> Done {
        let region = self.region(fault.region)?;
        match fault.nemesis {
            Nemesis::PartitionFull => self.network.set_all_of(fault.region, false).await,
            Nemesis::PartitionOneWay => self.network.set(fault.region, fault.other, false).await,
            Nemesis::PartitionPartial => self.network.set_both(fault.region, fault.other, false).await,
            Nemesis::SlowPeers => {
                let (latency_ms, loss) = slowness(fault.strength);
                self.network.slow_down(fault.region, latency_ms, loss)
            }
            Nemesis::PartitionFlapping | Nemesis::SlowStore | Nemesis::Churn => Ok(()),
            Nemesis::KillNode => self.node(&region, NodeAction::Kill).await,
            Nemesis::PauseNode => self.node(&region, NodeAction::Pause).await,
            Nemesis::KillStore => self.store(&region, StoreAction::Kill).await,
            Nemesis::PauseStore => {
                let process = region.redis.alive().ok_or("its Redis does not run")?;
                process.pause().await.map_err(|error| error.message)
            }
            Nemesis::Wipe => self.lose(fault.region, StoreAction::Wipe, None).await,
            Nemesis::Rollback => self.store(&region, StoreAction::Snapshot).await,
            Nemesis::Oom => {
                let address = self.redis_of(fault.region)?;
                let used = redis::memory_used(address).await?;
                // Either nothing more at all, or only as little as the node itself keeps free of clients' writes.
                let limit = if fault.strength < 50 {
                    used / 2
                } else {
                    used + used / 20
                };
                self.tell_redis(fault.region, &format!("CONFIG SET maxmemory {limit}"))
                    .await
            }
            // Of a server that is not there: it keeps its data, serves reads, and refuses writes.
            Nemesis::ReadOnly => self.tell_redis(fault.region, "REPLICAOF 127.0.0.1 1").await,
            Nemesis::DiskFull => {
                let disk = self.disks.get(&fault.region).ok_or("its disk has no limit")?;
                fill(disk.join("ballast")).await
            }
            Nemesis::ClockSkew => self.set_clock(fault.region, skew_ms(fault.strength)),
        }
    }

    /// What goes on until the fault's end: some faults have to be made again and again.
    async fn keep_broken(&self, fault: &Planned) {
        let end = self.shared.began + fault.until;
        let mut turn = 0_u64;
        while clock::now() < end && !self.shared.stop.is_cancelled() {
            turn += 1;
            let pause = if fault.nemesis == Nemesis::PartitionFlapping {
                let _ = self
                    .network
                    .set_all_of(fault.region, turn.is_multiple_of(2))
                    .await;
                Duration::from_millis(150 + u64::from(fault.strength) * 8)
            } else if fault.nemesis == Nemesis::SlowStore {
                let words = format!("CLIENT PAUSE {SLOW_STORE_MS} ALL");
                let _ = self.tell_redis(fault.region, &words).await;
                Duration::from_millis(SLOW_STORE_MS / 6)
            } else if fault.nemesis == Nemesis::Churn {
                self.churn(fault.region, turn).await;
                Duration::from_millis(200)
            } else {
                end.saturating_duration_since(clock::now())
            };
            let until = (clock::now() + pause).min(end);
            tokio::select! {
                () = tokio::time::sleep_until(until.into()) => {}
                () = self.shared.stop.cancelled() => {}
            }
        }
    }

    async fn mend(&self, fault: &Planned) -> Done {
        let region = self.region(fault.region)?;
        match fault.nemesis {
            Nemesis::PartitionFull | Nemesis::PartitionFlapping => {
                self.network.set_all_of(fault.region, true).await
            }
            Nemesis::PartitionOneWay => self.network.set(fault.region, fault.other, true).await,
            Nemesis::PartitionPartial => self.network.set_both(fault.region, fault.other, true).await,
            Nemesis::SlowPeers => {
                self.network.speed_up(fault.region);
                Ok(())
            }
            Nemesis::KillNode | Nemesis::KillStore | Nemesis::Wipe => self.revive(&region).await,
            Nemesis::PauseNode => {
                if let Some(process) = region.node.alive() {
                    process.resume();
                }
                Ok(())
            }
            Nemesis::PauseStore => {
                if let Some(process) = region.redis.alive() {
                    process.resume();
                }
                Ok(())
            }
            Nemesis::Rollback => {
                // The copy was taken no earlier than the fault began.
                let taken = u64::try_from(fault.at.as_micros()).unwrap_or(u64::MAX);
                self.lose(fault.region, StoreAction::Rollback, Some(taken)).await
            }
            Nemesis::Oom => self.tell_redis(fault.region, "CONFIG SET maxmemory 0").await,
            Nemesis::ReadOnly => self.tell_redis(fault.region, "REPLICAOF NO ONE").await,
            Nemesis::DiskFull => {
                if let Some(disk) = self.disks.get(&fault.region) {
                    let _ = tokio::fs::remove_file(disk.join("ballast")).await;
                }
                // A Redis that must write each command and cannot ends itself.
                self.revive(&region).await
            }
            Nemesis::ClockSkew => self.set_clock(fault.region, 0),
            Nemesis::SlowStore | Nemesis::Churn => Ok(()),
        }
    }

    async fn node(&self, region: &Region, action: NodeAction) -> Done {
        let done = self.demo.act_on_node(region, action).await;
        done.map(|_| ()).map_err(|error| error.message)
    }

    async fn store(&self, region: &Region, action: StoreAction) -> Done {
        let done = self.demo.act_on_store(region, action).await;
        done.map(|_| ()).map_err(|error| error.message)
    }

    async fn tell_redis(&self, region: usize, words: &str) -> Done {
        redis::command(self.redis_of(region)?, words).await.map(|_| ())
    }

    /// Wipes a store or sets it back, and writes down from when to when what was acknowledged may be gone.
    async fn lose(&self, region: usize, action: StoreAction, kept_until: Option<Instant>) -> Done {
        let start = self.shared.now();
        let done = self.store(&*self.region(region)?, action).await;
        let loss = Loss {
            region,
            start,
            end: self.shared.now(),
            kept_until,
        };
        // Also when it failed half way: what is gone is gone.
        self.losses
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(loss);
        done
    }

    /// Starts what does not run of a region, and waits for nothing.
    async fn revive(&self, region: &Region) -> Done {
        let _acting = region.acting.lock().await;
        if let Some(process) = region.redis.alive()
            && process.phase() == Phase::Paused
        {
            process.resume();
        }
        self.demo
            .start_redis(region)
            .await
            .map_err(|error| error.message)?;
        if region.node.alive().is_none() {
            let started = self.demo.spawn_node(region).await;
            started.map(|_| ()).map_err(|error| error.message)?;
        }
        Ok(())
    }

    fn set_clock(&self, region: usize, ms: i64) -> Done {
        let file = self.clocks.get(&region).ok_or("its clock cannot be set")?;
        write_offset(file, ms)
    }

    /// Connections that come, send half a request and go, to every door of a region; and its peers' connections reset.
    async fn churn(&self, region: usize, turn: u64) {
        let Ok(place) = self.region(region) else { return };
        let ports = [place.ports.http, place.ports.grpc, place.ports.peer];
        let mut open = Vec::new();
        for n in 0..CHURN_CONNECTIONS {
            let Some(port) = ports.get(n % ports.len()) else {
                continue;
            };
            let connecting = TcpStream::connect(place.place.at(*port));
            if let Ok(Ok(mut stream)) = timeout(Duration::from_millis(300), connecting).await {
                let _ = stream
                    .write_all(b"POST /v1/carts/x/items HTTP/1.1\r\nContent-Le")
                    .await;
                open.push(stream);
            }
        }
        drop(open);
        // Now and then only: a link that is reset faster than it is built again is a cut one.
        if !turn.is_multiple_of(8) {
            return;
        }
        let _ = self.network.set_all_of(region, false).await;
        sleep(Duration::from_millis(20)).await;
        let _ = self.network.set_all_of(region, true).await;
    }

    /// Puts everything back: links, clocks, disks, processes.
    ///
    /// # Errors
    /// Everything that could not be.
    pub(crate) async fn heal(&self) -> Result<(), Vec<String>> {
        let mut failed = Vec::new();
        failed.extend(self.network.heal().await.err());
        for region in self.clocks.keys() {
            failed.extend(self.set_clock(*region, 0).err());
        }
        for disk in self.disks.values() {
            let _ = tokio::fs::remove_file(disk.join("ballast")).await;
        }
        let _ = self.demo.heal();
        for (number, region) in self.demo.regions().iter().enumerate() {
            failed.extend(self.revive(region).await.err());
            if region.ports.redis.is_some() {
                failed.extend(self.tell_redis(number, "CONFIG SET maxmemory 0").await.err());
                failed.extend(self.tell_redis(number, "REPLICAOF NO ONE").await.err());
            }
        }
        if failed.is_empty() { Ok(()) } else { Err(failed) }
    }
}

/// Whether the fault is between two regions.
fn has_other(nemesis: Nemesis) -> bool {
    matches!(nemesis, Nemesis::PartitionOneWay | Nemesis::PartitionPartial)
}

/// How far a clock jumps, in milliseconds: back by up to 4 s, ahead by up to 6 s.
fn skew_ms(strength: u8) -> i64 {
    i64::from(strength) * 100 - 4_000
}

/// Latency in milliseconds and loss of a slow region's links.
fn slowness(strength: u8) -> (u64, f64) {
    (100 + u64::from(strength) * 8, f64::from(strength) / 500.0)
}

/// Writes a clock's offset where its processes read it.
///
/// # Errors
/// The system's words.
pub(crate) fn write_offset(file: &std::path::Path, ms: i64) -> Done {
    let sign = if ms < 0 { '-' } else { '+' };
    let ms = ms.unsigned_abs();
    let text = format!("{sign}{}.{:03}s\n", ms / 1000, ms % 1000);
    crate::demo::data::write_whole(file, text.as_bytes())
        .map_err(|error| format!("cannot set a clock: {error}"))
}

/// Writes until there is no more room.
async fn fill(ballast: PathBuf) -> Done {
    let write = move || {
        use std::io::Write as _;
        let mut file = std::fs::File::create(&ballast)?;
        // In ever smaller pieces, to the last byte.
        for piece in [1 << 20, 4096, 1] {
            let zeros = vec![0_u8; piece];
            loop {
                match file.write_all(&zeros) {
                    Ok(()) => {}
                    Err(error) if error.kind() == std::io::ErrorKind::StorageFull => break,
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(())
    };
    match tokio::task::spawn_blocking(write).await {
        Ok(done) => done.map_err(|error: std::io::Error| format!("cannot fill the disk: {error}")),
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_are_written_as_the_library_reads_them() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("offset");
        for (ms, text) in [
            (0, "+0.000s\n"),
            (5_900, "+5.900s\n"),
            (-40, "-0.040s\n"),
            (-4_000, "-4.000s\n"),
        ] {
            write_offset(&file, ms).unwrap();
            assert_eq!(std::fs::read_to_string(&file).unwrap(), text);
        }
    }

    #[test]
    fn strengths_stay_within_what_links_and_clocks_take() {
        for strength in 0..100 {
            let (latency, loss) = slowness(strength);
            assert!(latency <= crate::demo::links::DELAY_MS_MAX && (0.0..0.21).contains(&loss));
            assert!((-4_000..6_000).contains(&skew_ms(strength)));
        }
    }
}
