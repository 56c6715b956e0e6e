//! Who is a member, and whether this region may write.
//!
//! Members are replicated state: a row of the product's own, a hash with a field `m:<region id>` a member, `f:<id>`
//! for a region that was forgotten (forgetting is for ever), and `r:<id>` for lives of a region that are retired. Garbage collection waits for every member, so a region
//! must be one, in everybody's eyes, before it writes anything.
//!
//! - The first regions of a cluster find each other's stores empty, and make each other members as configured.
//! - A region that comes later asks a member (by greeting it), is added by an entry, reads and catches up by a
//!   snapshot, and writes once every member has acknowledged that entry.
//! - A member whose store was wiped is still a member, and writes as soon as one peer has answered.

use cartograph_crdt::{ElementId, RegionId, ReplicaId, Sequence, Type, Value};
use cartograph_replica::exchange::Direction;
use cartograph_replica::message::Hello;

use super::flight::{Draft, Work};
use super::{Shard, Standing, reply_error};
use crate::api::{Done, Output, RequestError, RequestId};
use crate::command::Reply;
use crate::error::CommandError;
use crate::show;
use crate::writer::{SYSTEM_PREFIX, Stop, Writer};

/// A write of the product's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum SystemWrite {
    /// The first members.
    Genesis,
    /// A region asks to become one.
    Add { region: RegionId, name: String },
    /// A region is gone for good.
    Forget { region: RegionId, id: RequestId },
    /// Lives of a region up to this one are over everywhere.
    Retire { last: ReplicaId },
}

/// The members row's key.
pub(super) fn members_key() -> Vec<u8> {
    [SYSTEM_PREFIX, b"members"].concat()
}

fn member_field(region: RegionId) -> Vec<u8> {
    format!("m:{region}").into_bytes()
}

fn forgotten_field(region: RegionId) -> Vec<u8> {
    format!("f:{region}").into_bytes()
}

impl Shard {
    /// Why this region takes no writes now, if it does not.
    pub(super) fn why_not_writable(&self) -> Option<String> {
        match self.standing {
            Standing::Halted => return Some("it cannot run on its store; see the log".to_owned()),
            Standing::Unclaimed if self.usurped => return Some(super::flight::USURPED.to_owned()),
            Standing::Unclaimed if self.fresh => {
                return Some("its store has not been reached yet".to_owned());
            }
            Standing::Unclaimed | Standing::Owner => {}
        }
        if self.recovering_until_ms.is_some() {
            return Some("it fetches its own lost entries back from its peers".to_owned());
        }
        if self.members.writable {
            return None;
        }
        if self.members.forgotten.contains(&self.config.region) {
            return Some("it was forgotten: give it a new region.id and an empty store".to_owned());
        }
        Some(if self.members.regions.contains_key(&self.config.region) {
            "it joins the cluster: it waits for its snapshot and for every member's acknowledgement"
                .to_owned()
        } else {
            "its store is empty and no peer has answered yet (start alone with cluster.bootstrap)".to_owned()
        })
    }

    /// A peer has greeted us, or answered our greeting.
    pub(super) fn heard(&mut self, hello: &Hello) {
        let region = hello.replica.region;
        if self.standing != Standing::Owner {
            return;
        }
        self.aim(hello);
        if self.members.writable {
            let known =
                self.members.regions.contains_key(&region) || self.members.forgotten.contains(&region);
            let queued = self
                .system
                .iter()
                .any(|w| matches!(w, SystemWrite::Add { region: r, .. } if *r == region));
            if !known && !queued {
                self.system.push_back(SystemWrite::Add {
                    region,
                    name: hello.region.clone(),
                });
            }
            return;
        }
        if !self.done.vector.is_empty() || !self.system.is_empty() {
            return;
        }
        if hello.fresh {
            self.system.push_back(SystemWrite::Genesis);
        } else if hello.members.contains(&self.config.region) {
            // A member whose store is empty: what the peer knows of members counts until the row itself has come.
            for member in &hello.members {
                self.members.regions.entry(*member).or_default();
            }
            self.members.writable = true;
            self.members.recovering = true;
            self.members.wiped = true;
            self.members_stored = false;
            self.exchange
                .set_members(&self.members.regions.keys().copied().collect());
            self.tasks.push_back(super::upkeep::Task::Clock);
            self.recovering_until_ms = Some(self.now.monotonic_ms + self.config.limits.recovery_ms_max);
            self.aim(hello);
        }
    }

    /// While recovering: what this peer has applied is to be caught up with. A later greeting of the same replica does
    /// not put the aim further away.
    fn aim(&mut self, hello: &Hello) {
        if self.recovering_until_ms.is_none() {
            return;
        }
        let report = &hello.report;
        let aim = (report.replica, report.vector.clone());
        let old = self.recovery.targets.get(&hello.replica.region);
        if old.is_none_or(|(replica, _)| *replica != report.replica) {
            self.recovery.targets.insert(hello.replica.region, aim);
        }
    }

    /// Alone from the start, by configuration.
    pub(super) fn begin_alone(&mut self) {
        let alone = self.config.peers.is_empty() || self.config.bootstrap;
        let unborn = !self.members.writable && self.done.vector.is_empty() && self.members.regions.is_empty();
        if alone && unborn && self.system.is_empty() && self.in_flight.is_empty() {
            self.system.push_back(SystemWrite::Genesis);
        }
    }

    pub(super) fn forget(&mut self, region: RegionId, id: RequestId, out: &mut Vec<Output>) {
        if region == self.config.region || !self.members.regions.contains_key(&region) {
            let message = format!(
                "region {region} cannot be forgotten here: it is {}",
                if region == self.config.region {
                    "this region itself"
                } else {
                    "no member"
                }
            );
            let error = CommandError::Domain {
                code: "not_a_member",
                message,
            };
            return reply_error(id, RequestError::Refused(error), out);
        }
        self.system.push_back(SystemWrite::Forget { region, id });
    }

    pub(super) fn begin_system(&mut self, out: &mut Vec<Output>) -> bool {
        if self.recovering_until_ms.is_some() {
            return false;
        }
        let Some(write) = self.system.pop_front() else {
            return false;
        };
        if let SystemWrite::Retire { last } = &write
            && !self.may_retire(*last)
        {
            return false;
        }
        let setting = self.setting();
        let mut draft = Draft::new(&self.next, setting.now_ms);
        let sequence = Sequence::after(draft.tip.sequence);
        let hlc = draft.tip.hlc.tick(self.now.wall_ms);
        let first: Vec<(RegionId, String)> = self
            .config
            .peers
            .iter()
            .map(|(r, n)| (*r, n.clone()))
            .chain([(self.config.region, self.config.name.clone())])
            .collect();
        let mut writer = Writer::new(&mut self.cache, &mut self.chance, &setting, sequence, hlc, true);
        let ran = writer.step(|w| match &write {
            SystemWrite::Genesis => first.iter().try_for_each(|(r, n)| put(w, &member_field(*r), n)),
            SystemWrite::Add { region, name } => put(w, &member_field(*region), name),
            SystemWrite::Forget { region, .. } => put(w, &forgotten_field(*region), "forgotten"),
            SystemWrite::Retire { last } => {
                let life = last.incarnation.0.to_string();
                put(w, &super::retire::field(last.region), &life)
            }
        });
        match ran {
            Ok(()) => {
                let (entry, layer) = writer.finish();
                draft.take(entry, layer);
                self.members.writable |= write == SystemWrite::Genesis;
                self.begin_commit(draft, Work::System { write }, out)
            }
            Err(Stop::Missing(want)) => {
                writer.abandon();
                self.system.push_front(write);
                self.want(want, out);
                false
            }
            Err(Stop::Refused(error)) => {
                writer.abandon();
                if let SystemWrite::Forget { id, .. } = write {
                    reply_error(id, RequestError::Refused(error), out);
                }
                false
            }
        }
    }

    pub(super) fn system_done(&mut self, write: &SystemWrite, out: &mut Vec<Output>) {
        if let SystemWrite::Forget { id, .. } = *write {
            let done = Done {
                replies: vec![Reply::Ok],
                vector: self.vector(),
            };
            out.push(Output::Reply { id, result: Ok(done) });
        }
        self.tell_members(out);
    }

    /// Reads the members row, which is complete in memory, after it changed.
    pub(super) fn read_members(&mut self) {
        // Part of the row may be all that a collection needed: it changed nothing that is live.
        let Some(row) = self.cache.row(&members_key()).filter(|row| row.is_complete()) else {
            return;
        };
        let mut regions = std::collections::BTreeMap::new();
        let mut retired = Vec::new();
        for (id, element) in row.live(Type::Hash) {
            let Some((kind, region)) = std::str::from_utf8(&id.name).ok().and_then(|n| n.split_once(':'))
            else {
                continue;
            };
            let Ok(region) = region.parse().map(RegionId) else {
                continue;
            };
            let name = show::text(element).map(|t| String::from_utf8_lossy(&t.bytes).into_owned());
            match kind {
                "f" => {
                    self.members.forgotten.insert(region);
                }
                "r" => retired.extend(super::retire::read(region, element)),
                _ => {
                    regions.insert(region, name.unwrap_or_default());
                }
            }
        }
        self.members.retired = retired;
        regions.retain(|region, _| !self.members.forgotten.contains(region));
        self.members.regions = regions;
        if self.members.forgotten.contains(&self.config.region) {
            self.members.writable = false;
        }
        self.exchange.set_forgotten(&self.members.forgotten);
        self.exchange
            .set_members(&self.members.regions.keys().copied().collect());
        self.upkeep.members_changed = true;
    }

    pub(super) fn tell_members(&mut self, out: &mut Vec<Output>) {
        if std::mem::take(&mut self.upkeep.members_changed) {
            for region in &self.members.forgotten {
                for direction in [Direction::In, Direction::Out] {
                    if self.exchange.has_stream(*region, direction) {
                        let reason = "the region was forgotten".to_owned();
                        out.push(Output::Close {
                            peer: *region,
                            direction,
                            reason,
                        });
                    }
                }
            }
            out.push(Output::Members(self.members.regions.keys().copied().collect()));
        }
    }

    /// Lets a joining region write once every member has acknowledged the entry that made it one, and its snapshot is
    /// whole.
    pub(super) fn try_admit(&mut self, out: &mut Vec<Output>) {
        let me = self.config.region;
        if self.members.writable
            || self.standing != Standing::Owner
            || !self.members.regions.contains_key(&me)
        {
            return;
        }
        let whole = self.joining.is_none() && self.done.vector.dominates(&self.ahead);
        let key = members_key();
        let Some(row) = self.cache.row(&key).filter(|row| row.is_complete()) else {
            return self.want(crate::command::Want::all(&key), out);
        };
        let added = match row.element(&ElementId::field(&member_field(me))) {
            Some(cartograph_crdt::Element::Number(n)) => n.register.winner().map(|w| w.dot),
            Some(_) | None => None,
        };
        let Some(added) = added else { return };
        let acknowledged = self.exchange.lowest_acknowledged(added.replica) >= added.position.sequence.get();
        if whole && acknowledged {
            self.members.writable = true;
            self.members_stored = false;
            self.tasks.push_back(super::upkeep::Task::Clock);
        }
    }
}

fn put(writer: &mut Writer<'_>, field: &[u8], value: &str) -> Result<(), Stop> {
    let key = members_key();
    writer.whole(&key)?;
    let shown = writer.look_typed(&key, Type::Hash)?;
    writer.ready(&key, shown, Type::Hash)?;
    writer.assign(
        &key,
        ElementId::field(field),
        Value::Bytes(value.as_bytes().to_vec()),
    )
}
