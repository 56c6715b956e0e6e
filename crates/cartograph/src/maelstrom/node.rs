//! A Maelstrom node: the production shard machine on the memory store, driven by messages and clock readings.
//!
//! Sans-IO like the machine itself: [`Node::receive`] and [`Node::tick`] take messages and readings and return messages.
//! Loads and commits of the memory store are done on the spot; what they give goes back in until nothing is left to do.

use std::collections::{BTreeMap, VecDeque};

use cartograph_crdt::{RegionId, ShardId};
use cartograph_engine::api::{Input, Now, Output, RequestError, RequestId};
use cartograph_engine::{Config, Limits, Shard};
use cartograph_replica::exchange::Direction;
use cartograph_replica::message::{BackMessage, Hello, Message, Welcome, Wire as _};
use cartograph_store::memory::{MemoryStore, SystemClock};
use serde_json::{Value, json};

use super::link::{Frame, Link};
use super::workload::{Asked, MALFORMED, UNAVAILABLE, Workload, answer, asked};

/// A dialled peer that has not welcomed us is dialled anew after this long.
const DIAL_AGAIN_MS: u64 = 1_000;
/// Requests that wait for the shard.
const WAITING_MAX: usize = 10_000;

/// One stream with a peer.
#[derive(Debug)]
struct Stream {
    link: Link,
    /// Whether the greeting is done.
    greeted: bool,
    since_ms: u64,
}

/// A request whose answer is due.
#[derive(Debug)]
struct Waiting {
    client: String,
    body: Value,
}

/// The node, once Maelstrom has told it who it is.
pub(super) struct Node {
    workload: Workload,
    name: String,
    peers: BTreeMap<RegionId, String>,
    shard: Shard,
    store: MemoryStore,
    random: u16,
    /// By peer: the stream that we dialled, and the one that it dialled.
    dialled: BTreeMap<RegionId, Stream>,
    accepted: BTreeMap<RegionId, Stream>,
    epoch: u64,
    waiting: BTreeMap<RequestId, Waiting>,
    next_request: u64,
    next_message: u64,
    out: Vec<Value>,
}

impl Node {
    /// Begins with `init`'s names; nothing when they make no sense. `epoch` and `random` differ from life to life.
    pub(super) fn new(workload: Workload, init: &Value, epoch: u64, random: u16) -> Option<Self> {
        let name = init.get("node_id")?.as_str()?.to_owned();
        let names = init.get("node_ids")?.as_array()?;
        let mut peers = BTreeMap::new();
        let mut own = None;
        // All nodes are given the same list: a place in it is an id.
        for (other, id) in names.iter().zip(1_u16..) {
            let other = other.as_str()?;
            if other == name {
                own = Some(RegionId(id));
            } else {
                peers.insert(RegionId(id), other.to_owned());
            }
        }
        let config = Config {
            shard: ShardId(0),
            shards: 1,
            cluster: "maelstrom".to_owned(),
            region: own?,
            name: name.clone(),
            bootstrap: peers.is_empty(),
            peers: peers.clone(),
            limits: Limits::default(),
            exchange: cartograph_replica::exchange::Config::default(),
            seed: u64::from(random),
        };
        Some(Self {
            workload,
            name,
            peers,
            shard: Shard::open(config),
            store: MemoryStore::new(SystemClock),
            random,
            dialled: BTreeMap::new(),
            accepted: BTreeMap::new(),
            epoch,
            waiting: BTreeMap::new(),
            next_request: 0,
            next_message: 0,
            out: Vec::new(),
        })
    }

    /// Claims the store. Returns what to send.
    pub(super) fn start(&mut self, now: Now) -> Vec<Value> {
        let mut out = Vec::new();
        self.shard.start(&mut out);
        self.perform(out, now);
        std::mem::take(&mut self.out)
    }

    /// Takes a message from a client or a peer. Returns what to send.
    pub(super) fn receive(&mut self, message: &Value, now: Now) -> Vec<Value> {
        let source = message
            .get("src")
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned();
        let body = message.get("body").cloned().unwrap_or_default();
        if body.get("type").and_then(Value::as_str) == Some("stream") {
            self.take_frame(&source, &body, now);
        } else {
            self.take_request(source, body, now);
        }
        std::mem::take(&mut self.out)
    }

    /// Lets time pass; at least every 50 ms. Returns what to send.
    pub(super) fn tick(&mut self, now: Now) -> Vec<Value> {
        self.give(Input::Tick, now);
        let peers: Vec<RegionId> = self.peers.keys().copied().collect();
        for peer in peers {
            self.keep_dialled(peer, now);
            for direction in [Direction::Out, Direction::In] {
                let stream = self.streams(direction).get_mut(&peer);
                let frames = stream.map(|stream| stream.link.resend(now.monotonic_ms));
                for frame in frames.into_iter().flatten() {
                    self.send_frame(peer, direction, &frame);
                }
                if self
                    .streams(direction)
                    .get(&peer)
                    .is_some_and(|stream| stream.link.is_stuck())
                {
                    self.hang_up(peer, direction, now);
                }
            }
        }
        std::mem::take(&mut self.out)
    }

    // -- clients

    fn take_request(&mut self, client: String, body: Value, now: Now) {
        let replica = self.replica(now);
        match asked(self.workload, &replica, &body) {
            Asked::Answer(answer) => self.reply(&client, &body, answer),
            Asked::Error(code, text) => self.reply(&client, &body, error(code, text)),
            Asked::Shard(_) if self.waiting.len() >= WAITING_MAX => {
                self.reply(&client, &body, error(UNAVAILABLE, "too many requests wait"));
            }
            Asked::Shard(request) => {
                self.next_request += 1;
                let id = RequestId(self.next_request);
                self.waiting.insert(id, Waiting { client, body });
                self.give(Input::Request { id, request }, now);
            }
        }
    }

    fn answered(
        &mut self,
        id: RequestId,
        result: Result<cartograph_engine::api::Done, RequestError>,
        now: Now,
    ) {
        let Some(Waiting { client, body }) = self.waiting.remove(&id) else {
            return;
        };
        let answer = match result {
            Ok(done) => answer(self.workload, &self.replica(now), &body, &done.replies)
                .unwrap_or_else(|| error(MALFORMED, "the shard's reply makes no sense")),
            // Every refusal of the machine is definite.
            Err(refused) => error(UNAVAILABLE, &refused.to_string()),
        };
        self.reply(&client, &body, answer);
    }

    fn replica(&self, now: Now) -> String {
        self.shard.greeting(now).replica.to_string()
    }

    fn reply(&mut self, client: &str, body: &Value, mut answer: Value) {
        let asked = body.get("msg_id").cloned();
        if let (Some(fields), Some(asked)) = (answer.as_object_mut(), asked) {
            fields.insert("in_reply_to".to_owned(), asked);
        }
        self.send_body(client, answer);
    }

    fn send_body(&mut self, to: &str, mut body: Value) {
        self.next_message += 1;
        if let Some(fields) = body.as_object_mut() {
            fields.insert("msg_id".to_owned(), json!(self.next_message));
        }
        self.out.push(json!({"src": self.name, "dest": to, "body": body}));
    }

    // -- the machine

    fn give(&mut self, input: Input, now: Now) {
        let mut out = Vec::new();
        self.shard.handle(input, now, &mut out);
        self.perform(out, now);
    }

    /// Does what the machine asks for, and what comes of that, until nothing is left.
    fn perform(&mut self, out: Vec<Output>, now: Now) {
        let mut todo: VecDeque<Output> = out.into();
        while let Some(output) = todo.pop_front() {
            let input = match output {
                Output::Load { id, load } => {
                    let result = self
                        .store
                        .load(ShardId(0), &load)
                        .map_err(|error| error.to_string());
                    Some(Input::Loaded { id, result })
                }
                Output::Commit(commit) => Some(Input::Committed {
                    batch: commit.batch,
                    outcome: self.store.commit(&commit),
                }),
                Output::Claim => self.store.claim(ShardId(0)).ok().map(|claim| Input::Claimed {
                    claim: Box::new(claim),
                    random: self.random,
                }),
                Output::Reply { id, result } => {
                    self.answered(id, result, now);
                    None
                }
                Output::Send { peer, message } => {
                    self.send_message(peer, Direction::Out, message.to_bytes().ok(), now);
                    None
                }
                Output::Back { peer, message } => {
                    self.send_message(peer, Direction::In, message.to_bytes().ok(), now);
                    None
                }
                Output::Close { peer, direction, .. } => {
                    self.streams(direction).remove(&peer);
                    Some(Input::Disconnected { peer, direction })
                }
                Output::Halt { .. }
                | Output::Inspected { .. }
                | Output::Members(_)
                | Output::Wake { .. }
                | Output::Event(_) => None,
            };
            if let Some(input) = input {
                let mut more = Vec::new();
                self.shard.handle(input, now, &mut more);
                todo.extend(more);
            }
        }
    }

    // -- streams

    fn streams(&mut self, direction: Direction) -> &mut BTreeMap<RegionId, Stream> {
        match direction {
            Direction::Out => &mut self.dialled,
            Direction::In => &mut self.accepted,
        }
    }

    /// Dials a peer that has no stream of ours, or has not welcomed us for too long.
    fn keep_dialled(&mut self, peer: RegionId, now: Now) {
        if !self.shard.is_claimed() {
            return;
        }
        if let Some(stream) = self.dialled.get(&peer) {
            if stream.greeted || now.monotonic_ms < stream.since_ms + DIAL_AGAIN_MS {
                return;
            }
            self.dialled.remove(&peer);
        }
        self.epoch += 1;
        let stream = Stream {
            link: Link::new(self.epoch),
            greeted: false,
            since_ms: now.monotonic_ms,
        };
        self.dialled.insert(peer, stream);
        let hello = self.shard.greeting(now).to_bytes().ok();
        self.send_message(peer, Direction::Out, hello, now);
    }

    fn hang_up(&mut self, peer: RegionId, direction: Direction, now: Now) {
        if let Some(stream) = self.streams(direction).remove(&peer)
            && stream.greeted
        {
            self.give(Input::Disconnected { peer, direction }, now);
        }
    }

    fn send_message(&mut self, peer: RegionId, direction: Direction, bytes: Option<Vec<u8>>, now: Now) {
        let Some(bytes) = bytes else { return };
        let Some(stream) = self.streams(direction).get_mut(&peer) else {
            return;
        };
        let frame = stream.link.send(bytes, now.monotonic_ms);
        self.send_frame(peer, direction, &frame);
    }

    /// `dialler` says whose stream it is: ours (`Out`) or the peer's.
    fn send_frame(&mut self, peer: RegionId, direction: Direction, frame: &Frame) {
        let Some(name) = self.peers.get(&peer).cloned() else {
            return;
        };
        let payload = frame.payload.as_ref();
        let body = json!({
            "type": "stream",
            "of_sender": direction == Direction::Out,
            "epoch": frame.epoch,
            "ack": frame.ack,
            "number": payload.map(|(number, _)| *number),
            "bytes": payload.map(|(_, bytes)| to_hex(bytes)),
        });
        self.send_body(&name, body);
    }

    fn take_frame(&mut self, source: &str, body: &Value, now: Now) {
        let found = self
            .peers
            .iter()
            .find(|(_, name)| *name == source)
            .map(|(peer, _)| *peer);
        let (Some(peer), Some(frame)) = (found, frame(body)) else {
            return;
        };
        // What the sender dialled, we accepted.
        let of_sender = body.get("of_sender").and_then(Value::as_bool).unwrap_or(false);
        let direction = if of_sender { Direction::In } else { Direction::Out };
        if direction == Direction::In {
            let known = self.accepted.get(&peer).map(|stream| stream.link.epoch());
            if known.is_none_or(|known| known < frame.epoch) {
                self.hang_up(peer, Direction::In, now);
                let stream = Stream {
                    link: Link::new(frame.epoch),
                    greeted: false,
                    since_ms: now.monotonic_ms,
                };
                self.accepted.insert(peer, stream);
            }
        }
        let Some(stream) = self.streams(direction).get_mut(&peer) else {
            return;
        };
        if stream.link.epoch() != frame.epoch {
            return;
        }
        let (payloads, answer) = stream.link.receive(frame, now.monotonic_ms);
        if let Some(answer) = answer {
            self.send_frame(peer, direction, &answer);
        }
        for payload in payloads {
            self.arrived(peer, direction, &payload, now);
        }
    }

    /// One payload, in order: the greeting first, then messages.
    fn arrived(&mut self, peer: RegionId, direction: Direction, bytes: &[u8], now: Now) {
        let Some(stream) = self.streams(direction).get(&peer) else {
            return;
        };
        match (stream.greeted, direction) {
            (true, Direction::In) => {
                if let Ok(message) = Message::from_bytes(bytes) {
                    self.give(Input::Received { peer, message }, now);
                }
            }
            (true, Direction::Out) => {
                if let Ok(message) = BackMessage::from_bytes(bytes) {
                    self.give(Input::Acked { peer, message }, now);
                }
            }
            (false, Direction::In) => self.greet(peer, bytes, now),
            (false, Direction::Out) => {
                if let Ok(welcome) = Welcome::from_bytes(bytes) {
                    self.greeted(peer, Direction::Out);
                    let welcome = Box::new(welcome);
                    self.give(Input::Connected { peer, welcome }, now);
                }
            }
        }
    }

    /// A peer dialled us: it is welcomed, or left without an answer, and dials again.
    fn greet(&mut self, peer: RegionId, bytes: &[u8], now: Now) {
        let hello = Hello::from_bytes(bytes).ok().filter(|_| self.shard.is_claimed());
        let admitted = hello.and_then(|hello| Some((self.shard.admit(&hello, now).ok()?, hello)));
        let Some((ours, hello)) = admitted else {
            // Forgotten with its epoch: the same greeting, sent again, is looked at again.
            self.accepted.remove(&peer);
            return;
        };
        self.greeted(peer, Direction::In);
        let welcome = Welcome { hello: ours }.to_bytes().ok();
        self.send_message(peer, Direction::In, welcome, now);
        let hello = Box::new(hello);
        self.give(Input::Accepted { peer, hello }, now);
    }

    fn greeted(&mut self, peer: RegionId, direction: Direction) {
        if let Some(stream) = self.streams(direction).get_mut(&peer) {
            stream.greeted = true;
        }
    }
}

/// An error's body.
fn error(code: u64, text: &str) -> Value {
    json!({"type": "error", "code": code, "text": text})
}

/// Reads a frame; nothing where it is none.
fn frame(body: &Value) -> Option<Frame> {
    let payload = match body.get("number").and_then(Value::as_u64) {
        Some(number) => Some((number, from_hex(body.get("bytes")?.as_str()?)?)),
        None => None,
    };
    Some(Frame {
        epoch: body.get("epoch")?.as_u64()?,
        payload,
        ack: body.get("ack")?.as_u64()?,
    })
}

fn to_hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let pairs = text.as_bytes().chunks(2);
    pairs
        .map(|pair| {
            u8::from_str_radix(std::str::from_utf8(pair).ok().filter(|pair| pair.len() == 2)?, 16).ok()
        })
        .collect()
}

#[cfg(test)]
#[path = "node_tests.rs"]
mod tests;
