//! Snapshots: whole rows for a peer that the log cannot help.
//!
//! A snapshot is joined, never copied over: each row carries what its sender had seen of the key when it was read, the
//! receiver joins it as it would any state, and both sides' unseen writes survive. The sender notes its vector V0,
//! walks all its keys, sends a row each, and says how many there were. Then keys without a row lose what V0 covers, the
//! receiver's vector joins V0, and the log follows from there: pinned from V0 until then, so that it cannot be trimmed
//! away underneath.
//!
//! The sending half (`Serving`) asks its driver for pages of keys and for rows, a few at a time, and no more than a
//! window of bytes ahead of what the receiver has joined (and one row besides). The receiving half (`Receiving`) puts
//! rows together and counts.
//!
//! A region that has rows ahead of its vector serves no snapshot: its rows would claim to have seen things that its
//! log does not hold. And a region takes one snapshot at a time. When two regions would serve each other, the one with
//! the smaller region id does; the other one's turn comes later.

use std::collections::{BTreeSet, VecDeque};

use cartograph_crdt::{RegionId, Row, VersionVector};

use crate::entry::Key;
use crate::exchange::{Action, Config, SnapshotId};
use crate::message::{Message, WireRow};
use crate::row_form::{AssembleError, RowAssembler, RowPart};

/// Where the walk over the keys stands.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Walk {
    /// The next page begins here.
    At(Vec<u8>),
    /// A page is being loaded.
    Loading,
    /// All keys were listed.
    Done,
}

/// A snapshot that is being served to one peer.
#[derive(Debug)]
pub(crate) struct Serving {
    pub(crate) id: SnapshotId,
    /// Our vector when the walk began.
    pub(crate) v0: VersionVector,
    walk: Walk,
    keys: VecDeque<Key>,
    reading: BTreeSet<Key>,
    parts: VecDeque<RowPart>,
    rows: u64,
    joined: u64,
    /// Bytes of each row that the peer has not joined yet.
    flight: VecDeque<usize>,
    flight_bytes: usize,
    ended: bool,
}

impl Serving {
    pub(crate) fn new(id: SnapshotId, v0: VersionVector) -> Serving {
        Serving {
            id,
            v0,
            walk: Walk::At(Vec::new()),
            keys: VecDeque::new(),
            reading: BTreeSet::new(),
            parts: VecDeque::new(),
            rows: 0,
            joined: 0,
            flight: VecDeque::new(),
            flight_bytes: 0,
            ended: false,
        }
    }

    pub(crate) fn poll(
        &mut self,
        peer: RegionId,
        config: &Config,
        out: &mut Vec<Message>,
        loads: &mut Vec<Action>,
    ) {
        let snapshot = self.id;
        if self.keys.len() < config.snapshot_reads
            && let Walk::At(cursor) = &mut self.walk
        {
            let cursor = std::mem::take(cursor);
            self.walk = Walk::Loading;
            loads.push(Action::LoadKeys {
                peer,
                snapshot,
                cursor,
            });
        }
        while self.reading.len() < config.snapshot_reads && self.flight_bytes < config.window_bytes {
            let Some(key) = self.keys.pop_front() else { break };
            if self.reading.insert(key.clone()) {
                loads.push(Action::ReadRow { peer, snapshot, key });
            }
        }
        out.extend(self.parts.drain(..).map(Message::Row));
        if self.walk == Walk::Done && self.keys.is_empty() && self.reading.is_empty() && !self.ended {
            self.ended = true;
            let (v0, rows) = (self.v0.clone(), self.rows);
            out.push(Message::SnapshotEnd { v0, rows });
        }
    }

    /// A page of keys; `cursor` is `None` at the end.
    pub(crate) fn page(&mut self, page: Vec<Key>, cursor: Option<Vec<u8>>) {
        if self.walk == Walk::Loading {
            self.keys.extend(page);
            self.walk = cursor.map_or(Walk::Done, Walk::At);
        }
    }

    /// A row, read when we had committed `vector`. Says whether the snapshot can go on: not when the row cannot be
    /// encoded.
    pub(crate) fn row(&mut self, key: &[u8], row: Option<&Row>, vector: &VersionVector) -> bool {
        if !self.reading.remove(key) {
            return true;
        }
        if !vector.dominates(&self.v0) {
            // Read before the walk began: it could lack what the end of the snapshot will say was seen.
            self.keys.push_back(key.to_vec());
            return true;
        }
        // A key that is gone by now has no row: the receiver drops what V0 covers of it, the log tells the rest.
        let Some(row) = row else { return true };
        let Ok(parts) = RowPart::of(key, row, vector) else {
            return false;
        };
        let bytes = parts.iter().map(RowPart::weight).sum();
        self.parts.extend(parts);
        self.rows += 1;
        self.flight.push_back(bytes);
        self.flight_bytes += bytes;
        true
    }

    /// The peer has joined this many rows.
    pub(crate) fn progress(&mut self, rows: u64) {
        while self.joined < rows.min(self.rows) {
            self.joined += 1;
            self.flight_bytes -= self.flight.pop_front().unwrap_or(0);
        }
    }

    pub(crate) fn flight_bytes(&self) -> usize {
        self.flight_bytes
    }

    /// Was the end sent?
    pub(crate) fn is_ended(&self) -> bool {
        self.ended
    }
}

/// A snapshot that a peer sends.
#[derive(Debug)]
pub(crate) struct Receiving {
    /// The peer's vector when its walk began.
    pub(crate) v0: VersionVector,
    assembler: RowAssembler,
    rows: u64,
    joined: u64,
    reported: u64,
    ended: bool,
}

impl Receiving {
    pub(crate) fn new(v0: VersionVector) -> Receiving {
        Receiving {
            v0,
            assembler: RowAssembler::default(),
            rows: 0,
            joined: 0,
            reported: 0,
            ended: false,
        }
    }

    /// Takes a row or a part; gives the row when it is whole.
    pub(crate) fn part(&mut self, part: RowPart, bytes_max: usize) -> Result<Option<WireRow>, AssembleError> {
        let row = self.assembler.push(part, bytes_max)?;
        self.rows += u64::from(row.is_some());
        Ok(row)
    }

    /// One more row is joined and committed.
    pub(crate) fn joined(&mut self) {
        self.joined = (self.joined + 1).min(self.rows);
    }

    /// The number of rows joined, if it was not told yet.
    pub(crate) fn take_progress(&mut self) -> Option<u64> {
        let news = self.joined > self.reported;
        self.reported = self.joined;
        news.then_some(self.joined)
    }

    /// The scan is done: were these all rows?
    pub(crate) fn is_whole(&self, v0: &VersionVector, rows: u64) -> bool {
        !self.ended && *v0 == self.v0 && rows == self.rows && self.assembler.is_empty()
    }

    /// The scan is done, and these were all rows.
    pub(crate) fn end(&mut self) {
        self.ended = true;
    }

    pub(crate) fn is_ended(&self) -> bool {
        self.ended
    }
}
