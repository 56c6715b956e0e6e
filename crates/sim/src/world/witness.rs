//! What is looked at after every commit, message and reply: the invariants that must hold at every moment.
//!
//! - No dot names two entries.
//! - What a region has applied never shrinks by a commit, and holds everything that each applied entry had seen.
//! - The views that a commit touched are what the oracle ([`crate::model`]) makes of the entries applied there; after a
//!   snapshot was joined, all of them.
//! - What a client is told, and what a peer is told, is committed; no replica's report goes back.
//! - Queues stay within their bounds.

#[allow(clippy::wildcard_imports, reason = "the world's other half")]
use super::*;
use crate::model::{Content, Model, Shown};
use cartograph_crdt::codec;
use cartograph_engine::head;
use cartograph_engine::writer::SYSTEM_PREFIX;
use cartograph_replica::message::Report;
use cartograph_replica::{HeadField, Loaded, ViewValue};

/// What the simulator itself knows of a run.
#[derive(Default)]
pub struct Witness {
    /// Every entry.
    pub model: Model,
    /// What clients were told is done: of each replica, up to where. Lowered when stores lose what nobody else has.
    pub told: BTreeMap<ReplicaId, u64>,
    /// Views that were compared with the model.
    pub views: u64,
    /// Compare views with the model at commits? Not where somebody damages views on purpose.
    pub comparing: bool,
    pub(super) reported: BTreeMap<ReplicaId, (VersionVector, u64)>,
}

/// What a region's store holds, as its commits said.
#[derive(Debug, Default)]
pub(super) struct Stored {
    /// What has been applied.
    pub(super) vector: VersionVector,
    /// What rows of a snapshot were ahead of the vector.
    pub(super) ahead: VersionVector,
    /// The latest that the store's clock has shown.
    pub(super) time_ms_max: u64,
}

impl Stored {
    fn is_joining(&self) -> bool {
        !self.vector.dominates(&self.ahead)
    }
}

impl World {
    /// Gives a commit to the store of a region, and looks at what it did.
    pub(super) fn record(&mut self, region: usize, commit: &Commit) -> Outcome {
        let Some(r) = self.regions.get_mut(region) else {
            return Outcome::Unknown {
                reason: "no such region".to_owned(),
            };
        };
        if self.tail_commits > 0 {
            let kept = r.keep();
            r.tail.push_back(kept);
            if r.tail.len() > self.tail_commits {
                r.tail.pop_front();
            }
        }
        let outcome = r.store.commit(commit);
        if outcome != Outcome::Committed {
            return outcome;
        }
        let was_joining = r.stored.is_joining();
        let before = r.stored.vector.clone();
        if let Some(vector) = field(commit, HeadField::Vector) {
            r.stored.vector = vector;
        }
        if let Some(ahead) = field(commit, HeadField::Snapshot) {
            r.stored.ahead = ahead;
        }
        let joining = r.stored.is_joining();
        let vector = r.stored.vector.clone();
        if !vector.dominates(&before) {
            self.fault(format!(
                "region {region}: a commit took its vector back from {before} to {vector}"
            ));
        }
        for append in &commit.log {
            for entry in decode_record(&append.record).unwrap_or_default() {
                if !self.witness.model.insert(&entry) {
                    self.fault(format!("a dot was used twice: {entry:?}"));
                }
                if !joining && !entry.dependencies_met(&vector) {
                    self.fault(format!(
                        "region {region}, at {vector}, applied an entry before what its writer had seen: {entry:?}"
                    ));
                }
            }
        }
        if self.witness.comparing && !joining {
            if was_joining {
                self.compare_all(region);
            } else {
                let mut keys: BTreeSet<&[u8]> = commit.views.iter().map(|v| v.key.as_slice()).collect();
                keys.extend(commit.metadata.iter().map(|m| m.key.as_slice()));
                for key in keys {
                    self.compare(region, key);
                }
            }
        }
        outcome
    }

    #[expect(clippy::needless_pass_by_value, reason = "every caller has just made it")]
    pub(super) fn fault(&mut self, what: String) {
        if self.faults.len() < 20 {
            self.faults.push(format!("{} {what}", self.now_ms));
        }
    }

    /// Compares every view of a region with the model.
    pub fn compare_all(&mut self, region: usize) {
        let keys: Vec<_> = self.witness.model.keys().cloned().collect();
        for key in keys {
            self.compare(region, &key);
        }
    }

    fn compare(&mut self, region: usize, key: &[u8]) {
        let Some(r) = self.regions.get(region) else { return };
        // TODO(#10): as in `told`.
        if r.stored.vector.floors().next().is_some() {
            return;
        }
        if key.starts_with(SYSTEM_PREFIX) {
            return;
        }
        self.witness.views += 1;
        let expected = self.witness.model.shown(key, &r.stored.vector);
        let load = Load::View { key: key.to_vec() };
        let view = match r.store.load(ShardId(0), &load) {
            Ok(Loaded::View(view)) => view,
            Ok(_) | Err(_) => None,
        };
        if fits(
            expected.as_ref(),
            view.as_ref(),
            r.store.time_ms(),
            r.stored.time_ms_max,
        ) {
            return;
        }
        let vector = &r.stored.vector;
        let text = format!(
            "region {region}, at {vector}, shows {:?} as {view:?}, but its history makes it {expected:?}:\n{}",
            String::from_utf8_lossy(key),
            self.witness.model.explain(key, vector)
        );
        self.fault(text);
    }

    /// A client was told that something is done.
    pub(super) fn told(&mut self, region: usize, done: &Done) {
        let Some(r) = self.regions.get(region) else { return };
        // A store that was replaced meanwhile knows less; its node is about to find out.
        if r.replaced {
            return;
        }
        // TODO(#10): a retired life counts as seen whole, what a rollback lost of it included; the witness, who knows of no
        // retirement yet, would count that as committed.
        if done.vector.floors().next().is_some() {
            return;
        }
        if !r.stored.vector.dominates(&done.vector) {
            let text = format!(
                "region {region} told a client {}, and has committed {}",
                done.vector, r.stored.vector
            );
            return self.fault(text);
        }
        for (replica, n) in done.vector.counted() {
            let told = self.witness.told.entry(replica).or_default();
            *told = n.max(*told);
        }
    }

    /// A peer is told what a region has.
    pub(super) fn reported(&mut self, region: usize, report: &Report) {
        let Some(r) = self.regions.get(region) else { return };
        if !r.replaced && !r.stored.vector.dominates(&report.vector) {
            let text = format!(
                "region {region} reported {}, and has committed {}",
                report.vector, r.stored.vector
            );
            self.fault(text);
        }
        let last = self.witness.reported.entry(report.replica).or_default();
        let (vector, watermark_ms) = last.clone();
        *last = (report.vector.clone(), report.watermark_ms);
        if !report.vector.dominates(&vector) || report.watermark_ms < watermark_ms {
            self.fault(format!(
                "a report of {} went back from {vector}, {watermark_ms} to {}, {}",
                report.replica, report.vector, report.watermark_ms
            ));
        }
    }

    /// A region's store is about to go back to where it had applied `kept` (or to nothing): what no other store holds
    /// is lost. What is on its way may still turn up.
    pub(super) fn loses(&mut self, region: usize, kept: Option<&VersionVector>) {
        let mut held = kept.cloned().unwrap_or_default();
        for (_, r) in self.regions.iter().enumerate().filter(|(n, _)| *n != region) {
            held.join(&r.stored.vector);
        }
        let ours = self
            .regions
            .get(region)
            .map(|r| r.stored.vector.clone())
            .unwrap_or_default();
        for (replica, n) in ours.counted() {
            let left = held.get(replica);
            if left < n {
                self.witness.model.lose(replica, left);
                if let Some(told) = self.witness.told.get_mut(&replica) {
                    *told = left.min(*told);
                }
            }
        }
    }

    /// Entries that a client was told of and that a region does not have, if there are such.
    pub fn lacks(&self, region: usize) -> Option<String> {
        let vector = &self.regions.get(region)?.stored.vector;
        let missing = self.witness.told.iter().find(|(r, n)| vector.get(**r) < **n);
        missing.map(|(replica, n)| {
            format!(
                "region {region}, at {vector}, lacks entries of {replica}, of which {n} were acknowledged"
            )
        })
    }

    /// Queues within their bounds.
    pub(super) fn look_at_queues(&mut self, region: usize) {
        let limits = &self.setup.limits;
        let Some(r) = self.regions.get(region) else { return };
        let Some(shard) = &r.shard else { return };
        let status = shard.status(self.now(region));
        if status.queued > limits.queue_requests_max || status.in_flight > limits.in_flight_max {
            let text = format!(
                "region {region}: {} requests wait, {} commits are in flight",
                status.queued, status.in_flight
            );
            self.fault(text);
        }
    }
}

fn field(commit: &Commit, field: HeadField) -> Option<VersionVector> {
    let bytes = commit.head.get(&field)?;
    codec::decode("a field of the shard's head", head::VERSION, bytes).ok()
}

/// Is the view what it should be? An instant between the store's clock and the latest that it ever showed counts either
/// way: the clock went back, and the key may be hidden already.
fn fits(
    expected: Option<&Shown>,
    view: Option<&(ViewValue, Option<u64>)>,
    now_ms: u64,
    latest_ms: u64,
) -> bool {
    let Some(shown) = expected else {
        return view.is_none();
    };
    let Some((value, expiry)) = view else {
        return shown.expiry.is_some_and(|at| at <= latest_ms);
    };
    let visible = shown.expiry.is_none_or(|at| at > now_ms);
    let same = match (&shown.value, value) {
        (Content::View(expected), value) => expected == value,
        (Content::Ranks(ranks), ViewValue::String(bytes)) => {
            let there = cartograph_store::hyperloglog::ranks(bytes);
            let there = (0_u16..).zip(there).filter(|(_, rank)| *rank > 0);
            there.eq(ranks.iter().filter(|(_, rank)| **rank > 0).map(|(n, r)| (*n, *r)))
        }
        (Content::Ranks(_), _) => false,
    };
    visible && same && *expiry == shown.expiry
}
