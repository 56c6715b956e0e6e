//! Receiving from one peer: decode, park, acknowledge.
//!
//! A receiver lives as long as the stream that the peer dialled. It never blocks the stream: entries go to the park,
//! rows up to the driver. It acknowledges what is *committed* here, as soon as that grows but not more often than every
//! few milliseconds, and when nothing happens every [`Config::idle_ms`], then with what we have heard of the others.
//! What the park dropped it asks for again, soon when there is room, else later.

use cartograph_crdt::{RegionId, ReplicaId, VersionVector};

use crate::delivery::{Park, Received};
use crate::entry::decode_record;
use crate::exchange::{Action, Config, Event, LinkError};
use crate::members::Members;
use crate::message::{BackMessage, Echo, Message, Report};
use crate::snapshot::Receiving;

/// A full park asks again this much more seldom.
const FULL_PARK_PATIENCE: u64 = 5;

/// What a receiver needs to take a message.
pub(crate) struct Inbox<'a> {
    pub(crate) me: ReplicaId,
    pub(crate) members: &'a Members,
    pub(crate) applied: &'a VersionVector,
    pub(crate) park: &'a mut Park,
    /// Is another snapshot being joined or served?
    pub(crate) busy: bool,
    pub(crate) row_bytes_max: usize,
}

#[derive(Debug)]
enum Snapshot {
    /// None was announced.
    Idle,
    /// One was announced and refused: its rows may still come, until the peer has heard.
    Refused,
    /// Its rows are being joined.
    Joining(Box<Receiving>),
}

/// Receives from one peer.
#[derive(Debug)]
pub(crate) struct Receiver {
    peer: RegionId,
    /// The peer's replica that speaks on this stream, as it said last.
    life: ReplicaId,
    snapshot: Snapshot,
    /// What the last acknowledgement said, and when it and the last full one went.
    acked: VersionVector,
    acked_ms: Option<u64>,
    full_ms: Option<u64>,
    ask_again: bool,
    asked_ms: Option<u64>,
    outbox: Vec<BackMessage>,
}

impl Receiver {
    pub(crate) fn new(life: ReplicaId) -> Receiver {
        Receiver {
            peer: life.region,
            life,
            snapshot: Snapshot::Idle,
            acked: VersionVector::new(),
            acked_ms: None,
            full_ms: None,
            ask_again: false,
            asked_ms: None,
            outbox: Vec::new(),
        }
    }

    /// Is a snapshot of this peer being joined?
    pub(crate) fn is_joining(&self) -> bool {
        matches!(self.snapshot, Snapshot::Joining(_))
    }

    /// The peer's replica that speaks on this stream.
    pub(crate) fn life(&self) -> ReplicaId {
        self.life
    }

    /// The peer has begun a new life on the same stream.
    pub(crate) fn speaks(&mut self, life: ReplicaId) {
        self.life = self.life.max(life);
    }

    /// Something that this peer sent was dropped.
    pub(crate) fn ask_again(&mut self) {
        self.ask_again = true;
    }

    pub(crate) fn received(
        &mut self,
        message: Message,
        inbox: &mut Inbox<'_>,
    ) -> Result<Vec<Event>, LinkError> {
        let peer = self.peer;
        match message {
            Message::Heartbeat { .. } => Ok(Vec::new()),
            Message::Entries { records } => self.entries(&records, inbox),
            Message::SnapshotBegin { v0 } => Ok(self.begin(v0, inbox.busy)),
            Message::Row(part) => match &mut self.snapshot {
                Snapshot::Refused => Ok(Vec::new()),
                Snapshot::Joining(receiving) if !receiving.is_ended() => {
                    let row = receiving.part(part, inbox.row_bytes_max);
                    let row = row.map_err(|source| LinkError::Row { peer, source })?;
                    Ok(row
                        .map(|row| Event::Row {
                            peer,
                            row: Box::new(row),
                        })
                        .into_iter()
                        .collect())
                }
                Snapshot::Idle | Snapshot::Joining(_) => Err(unexpected(peer, "a row outside a snapshot")),
            },
            Message::SnapshotEnd { v0, rows } => match &mut self.snapshot {
                Snapshot::Refused => {
                    self.snapshot = Snapshot::Idle;
                    Ok(Vec::new())
                }
                Snapshot::Joining(receiving) if receiving.is_whole(&v0, rows) => {
                    receiving.end();
                    Ok(vec![Event::SnapshotEnded { peer, v0 }])
                }
                Snapshot::Idle | Snapshot::Joining(_) => {
                    Err(unexpected(peer, "a snapshot's end that does not fit"))
                }
            },
            Message::SnapshotAbandon => {
                let broken = self.is_joining();
                self.snapshot = Snapshot::Idle;
                Ok(broken
                    .then_some(Event::SnapshotAborted { peer })
                    .into_iter()
                    .collect())
            }
        }
    }

    fn entries(&mut self, records: &[Vec<u8>], inbox: &mut Inbox<'_>) -> Result<Vec<Event>, LinkError> {
        let peer = self.peer;
        let mut events = Vec::new();
        let mut unknown = 0;
        for record in records {
            let entries = decode_record(record).map_err(|source| LinkError::Record { peer, source })?;
            for entry in entries {
                let sequence = entry.sequence.get();
                match inbox
                    .park
                    .receive(entry, Some(peer), inbox.me, inbox.members, inbox.applied)
                {
                    Received::Parked | Received::Full if events.is_empty() => events.push(Event::Entries),
                    Received::Parked | Received::Full | Received::Duplicate | Received::Refused => {}
                    Received::OwnUnknown => unknown = unknown.max(sequence),
                }
            }
        }
        if unknown > 0 {
            events.push(Event::OwnEntriesUnknown { sequence: unknown });
        }
        Ok(events)
    }

    fn begin(&mut self, v0: VersionVector, busy: bool) -> Vec<Event> {
        let peer = self.peer;
        let mut events = Vec::new();
        if self.is_joining() {
            events.push(Event::SnapshotAborted { peer });
        }
        if busy {
            self.snapshot = Snapshot::Refused;
            self.outbox.push(BackMessage::SnapshotRefused);
        } else {
            self.snapshot = Snapshot::Joining(Box::new(Receiving::new(v0.clone())));
            events.push(Event::SnapshotBegun { peer, v0 });
        }
        events
    }

    pub(crate) fn row_joined(&mut self) {
        if let Snapshot::Joining(receiving) = &mut self.snapshot {
            receiving.joined();
        }
    }

    pub(crate) fn snapshot_joined(&mut self) {
        if let Snapshot::Joining(receiving) = &self.snapshot
            && receiving.is_ended()
        {
            let v0 = receiving.v0.clone();
            self.snapshot = Snapshot::Idle;
            self.outbox.push(BackMessage::SnapshotDone { v0 });
        }
    }

    /// What there is to answer now.
    #[expect(
        clippy::too_many_arguments,
        reason = "all that an answer is made of, from one caller"
    )]
    pub(crate) fn poll(
        &mut self,
        full: &Report,
        short: &Report,
        echo: Option<Echo>,
        config: &Config,
        park_has_room: bool,
        now_ms: u64,
        actions: &mut Vec<Action>,
    ) {
        if self.ack_due(&short.vector, config) <= now_ms {
            let idle = self.report_due(config, now_ms);
            if idle {
                self.full_ms = Some(now_ms);
            }
            self.acked_ms = Some(now_ms);
            self.acked.clone_from(&short.vector);
            let mut report = if idle { full } else { short }.clone();
            report.echo = echo;
            self.outbox.push(BackMessage::Ack { report });
        }
        if self
            .ask_due(config, park_has_room)
            .is_some_and(|due| due <= now_ms)
        {
            self.ask_again = false;
            self.asked_ms = Some(now_ms);
            let vector = short.vector.clone();
            self.outbox.push(BackMessage::Resend { vector });
        }
        if let Snapshot::Joining(receiving) = &mut self.snapshot
            && let Some(rows) = receiving.take_progress()
        {
            self.outbox.push(BackMessage::SnapshotProgress { rows });
        }
        let peer = self.peer;
        actions.extend(
            self.outbox
                .drain(..)
                .map(|message| Action::Back { peer, message }),
        );
    }

    /// When to ask again for what was dropped.
    ///
    /// SUBTLE: also while the park is full. It may be full of entries that wait for one which was dropped before it was
    /// the next of its origin, and which nobody will send unless asked: only more seldom, most of the answer is dropped.
    fn ask_due(&self, config: &Config, park_has_room: bool) -> Option<u64> {
        let every_ms = config.resend_ms * if park_has_room { 1 } else { FULL_PARK_PATIENCE };
        self.ask_again.then(|| is_due(self.asked_ms, every_ms))
    }

    /// Is it time for a report with what we have heard of others?
    pub(crate) fn report_due(&self, config: &Config, now_ms: u64) -> bool {
        is_due(self.full_ms, config.idle_ms) <= now_ms
    }

    fn ack_due(&self, own: &VersionVector, config: &Config) -> u64 {
        let idle = is_due(self.full_ms, config.idle_ms);
        if self.acked == *own {
            idle
        } else {
            idle.min(is_due(self.acked_ms, config.ack_ms))
        }
    }

    /// When to poll next though nothing happens.
    pub(crate) fn next_wake(&self, own: &VersionVector, config: &Config, park_has_room: bool) -> u64 {
        let outbox = (!self.outbox.is_empty()).then_some(0);
        let due = self.ask_due(config, park_has_room).into_iter().chain(outbox);
        due.fold(self.ack_due(own, config), u64::min)
    }
}

fn is_due(last_ms: Option<u64>, every_ms: u64) -> u64 {
    last_ms.map_or(0, |last| last + every_ms)
}

fn unexpected(peer: RegionId, what: &'static str) -> LinkError {
    LinkError::Unexpected { peer, what }
}
