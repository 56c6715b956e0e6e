//! Clients' requests: each becomes at most one entry; what waits together is committed together.

use std::sync::Arc;

use bincode::{Decode, Encode};
use cartograph_crdt::Sequence;
use cartograph_crdt::codec;
use cartograph_replica::entry::effect_weight;
use cartograph_replica::{Entry, Load};

use super::flight::{Draft, Work};
use super::rows::Purpose;
use super::upkeep::Reading;
use super::{Shard, reply_error};
use crate::api::{Done, Output, Request, RequestError, RequestId};
use crate::command::{Command, Reply, Want};
use crate::commands;
use crate::error::CommandError;
use crate::writer::{Layer, Setting, Stop, Writer};

/// Format version of kept replies.
const REPLY_VERSION: u8 = 1;

/// Requests whose rows are loaded ahead while the first one waits for its own.
const AHEAD_MAX: usize = 256;

/// A request in the queue.
#[derive(Clone, Debug)]
pub(super) struct Waiting {
    pub(super) id: RequestId,
    pub(super) request: Request,
    pub(super) retry: Retry,
}

/// What is known of a request's idempotency key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Retry {
    /// Not asked for yet, or not needed.
    Unknown,
    /// It was never used.
    New,
    /// It was: the kept reply.
    Kept(Vec<u8>),
}

impl Shard {
    pub(super) fn request(&mut self, id: RequestId, request: Request, out: &mut Vec<Output>) {
        if self.draining {
            let reason = "it is shutting down".to_owned();
            return reply_error(id, RequestError::NotReady { reason }, out);
        }
        if let Some(reason) = self.why_not_writable() {
            return reply_error(id, RequestError::NotReady { reason }, out);
        }
        if self.memory_full && !request.commands.iter().all(frees) {
            let reason = "its memory is 90 % full, and what is left is kept for peers' entries: raise maxmemory, or delete keys";
            let reason = reason.to_owned();
            return reply_error(id, RequestError::StoreRefused { reason }, out);
        }
        let limit = self.config.limits.queue_requests_max;
        if self.queue.len() >= limit {
            return reply_error(id, RequestError::Overloaded { limit }, out);
        }
        self.queue.push_back(Waiting {
            id,
            request,
            retry: Retry::Unknown,
        });
    }

    /// Evaluates what waits and makes a commit of it. Tells whether something began.
    pub(super) fn begin_local(&mut self, out: &mut Vec<Output>) -> bool {
        // What was asked before the store was lost waits until the region has caught up.
        if self.queue.is_empty() || self.recovering_until_ms.is_some() {
            return false;
        }
        if let Some(reason) = self.why_not_writable() {
            // Asked while it was; the store has been wiped since, or the region forgotten.
            for waiting in self.queue.drain(..) {
                let reason = reason.clone();
                reply_error(waiting.id, RequestError::NotReady { reason }, out);
            }
            return false;
        }
        let setting = self.setting();
        let mut draft = Draft::new(&self.next, setting.now_ms);
        let mut done = Vec::new();
        let mut bytes = 0;
        while draft.entries.len() < self.config.limits.batch_commands_max {
            let Some(waiting) = self.queue.pop_front() else {
                break;
            };
            if !self.is_its_turn(&waiting, &draft, out) {
                self.queue.push_front(waiting);
                break;
            }
            if let Retry::Kept(kept) = &waiting.retry {
                let result = self.kept_reply(kept, &waiting.request);
                out.push(Output::Reply {
                    id: waiting.id,
                    result,
                });
                continue;
            }
            match self.evaluate(&waiting.request, &setting, &draft) {
                Evaluated::Done {
                    replies,
                    entry,
                    layer,
                } => {
                    let weight = entry.as_ref().map_or(0, Entry::weight);
                    if bytes + weight > self.config.limits.batch_bytes_max && !draft.entries.is_empty() {
                        layer.undo(&mut self.cache);
                        self.queue.push_front(waiting);
                        break;
                    }
                    bytes += weight;
                    if entry.is_some()
                        && let Some(key) = &waiting.request.idempotency_key
                    {
                        draft.keep_reply(
                            key.clone(),
                            encode_replies(&waiting.request, &replies),
                            self.config.limits.reply_age_ms,
                        );
                    }
                    draft.take(entry, layer);
                    done.push((waiting, replies));
                }
                Evaluated::Refused(error) => done.push((waiting, vec![Reply::Error(error)])),
                Evaluated::Failed(error) => reply_error(waiting.id, error, out),
                Evaluated::Missing(want) => {
                    self.queue.push_front(waiting);
                    self.want(want, out);
                    self.load_ahead(out);
                    break;
                }
            }
        }
        self.begin_commit(draft, Work::Local { requests: done }, out)
    }

    /// Can it be evaluated on top of this draft? Else the draft's commit goes first, or what is known of a retry.
    fn is_its_turn(&mut self, waiting: &Waiting, draft: &Draft, out: &mut Vec<Output>) -> bool {
        let request = &waiting.request;
        !draft.keeps_reply_of(request)
            && !stamps_what_was_touched(request, draft)
            && self.retry_known(waiting, out)
    }

    pub(super) fn setting(&self) -> Setting {
        let mut context = self.next.vector.clone();
        context.remove(self.me);
        Setting {
            me: self.me,
            context: Arc::new(context),
            now_ms: self.expiry_now(),
        }
    }

    fn evaluate(&mut self, request: &Request, setting: &Setting, draft: &Draft) -> Evaluated {
        let sequence = Sequence::after(draft.tip.sequence);
        let hlc = draft.tip.hlc.tick(self.now.wall_ms);
        let mut writer = Writer::new(&mut self.cache, &mut self.chance, setting, sequence, hlc, false);
        for (key, stamp) in &request.watched {
            let stood = match writer.stamp(key) {
                Ok(now) => now.stands_as(stamp) && !draft.layer.rows.contains_key(key),
                Err(Stop::Refused(_)) => false,
                Err(Stop::Missing(want)) => {
                    writer.abandon();
                    return self.missing(want);
                }
            };
            if !stood {
                writer.abandon();
                return Evaluated::Failed(RequestError::WatchFailed);
            }
        }
        let mut replies = Vec::with_capacity(request.commands.len());
        let single = request.commands.len() == 1;
        for command in &request.commands {
            match writer.step(|w| commands::evaluate(command, w)) {
                Ok(reply) => replies.push(reply),
                Err(Stop::Refused(error)) if single => {
                    writer.abandon();
                    return Evaluated::Refused(error);
                }
                Err(Stop::Refused(error)) => replies.push(Reply::Error(error)),
                Err(Stop::Missing(want)) => {
                    writer.abandon();
                    return self.missing(want);
                }
            }
        }
        let (entry, layer) = writer.finish();
        if let Some(entry) = &entry {
            let bytes: usize = entry.effects.iter().map(|(k, e)| effect_weight(k, e)).sum();
            let limit = cartograph_replica::entry::ENTRY_BYTES_MAX;
            if bytes > limit {
                layer.undo(&mut self.cache);
                return Evaluated::Refused(CommandError::EntryTooLarge { bytes, limit });
            }
        }
        Evaluated::Done {
            replies,
            entry,
            layer,
        }
    }

    fn missing(&self, want: Want) -> Evaluated {
        match self.rows.damaged.get(&want.key).cloned() {
            Some(reason) => Evaluated::Failed(RequestError::Damaged { reason }),
            None => Evaluated::Missing(want),
        }
    }

    /// Loads what the requests behind the first one will need, so that each does not wait in turn.
    fn load_ahead(&mut self, out: &mut Vec<Output>) {
        let wants: Vec<_> = self
            .queue
            .iter()
            .take(AHEAD_MAX)
            .flat_map(|w| {
                let watched = w.request.watched.iter().map(|(key, _)| Want::header(key));
                watched.chain(w.request.commands.iter().flat_map(commands::wants))
            })
            .collect();
        for want in wants {
            self.want(want, out);
        }
    }

    /// Is it known whether this request is a retry of one that was done? Asks the store if need be.
    fn retry_known(&mut self, waiting: &Waiting, out: &mut Vec<Output>) -> bool {
        let Some(key) = &waiting.request.idempotency_key else {
            return true;
        };
        match waiting.retry {
            Retry::New | Retry::Kept(_) => true,
            Retry::Unknown => {
                // One with the same key may be in flight: its reply is kept once that is done.
                let same = |w: &Waiting| w.request.idempotency_key.as_ref() == Some(key);
                let in_flight = self
                    .in_flight
                    .iter()
                    .any(|f| f.requests().iter().any(|(w, _)| same(w)));
                if !in_flight {
                    self.ask_for_reply(waiting.id, key.clone(), out);
                }
                false
            }
        }
    }

    fn ask_for_reply(&mut self, id: RequestId, key: Vec<u8>, out: &mut Vec<Output>) {
        if self
            .rows
            .under_way
            .values()
            .any(|p| matches!(p, Purpose::Reading(Reading::Reply { id: i }) if *i == id))
        {
            return;
        }
        self.load(
            Load::Reply { id: key },
            Purpose::Reading(Reading::Reply { id }),
            out,
        );
    }

    /// The store's answer to "was this idempotency key used?".
    pub(super) fn reply_loaded(&mut self, id: RequestId, kept: Option<Vec<u8>>) {
        if let Some(waiting) = self.queue.iter_mut().find(|w| w.id == id) {
            waiting.retry = kept.map_or(Retry::New, Retry::Kept);
        }
    }

    fn kept_reply(&self, kept: &[u8], request: &Request) -> Result<Done, RequestError> {
        let kept: KeptReplies =
            codec::decode("a kept reply", REPLY_VERSION, kept).map_err(|e| RequestError::Damaged {
                reason: e.to_string(),
            })?;
        if kept.request != fingerprint(request) {
            return Err(RequestError::IdempotencyMismatch);
        }
        let replies = kept.replies.into_iter().map(KeptReply::reply).collect();
        Ok(Done {
            replies,
            vector: self.vector(),
        })
    }
}

/// Would a stamp tell of a change that waits for its commit's number? Then the commit goes first.
fn stamps_what_was_touched(request: &Request, draft: &Draft) -> bool {
    let touched = |key: &Vec<u8>| draft.layer.rows.contains_key(key);
    let mut commands = request.commands.iter();
    commands.any(|command| matches!(command, Command::Stamp { keys } if keys.iter().any(touched)))
}

/// Does the command add nothing? Such ones are taken even when memory is full.
fn frees(command: &Command) -> bool {
    matches!(
        command,
        Command::Read(_)
            | Command::Stamp { .. }
            | Command::Exists { .. }
            | Command::Type { .. }
            | Command::Pttl { .. }
            | Command::Get { .. }
            | Command::HGet { .. }
            | Command::HGetAll { .. }
            | Command::SMembers { .. }
            | Command::SIsMember { .. }
            | Command::SCard { .. }
            | Command::ZScore { .. }
            | Command::ZRangeWithScores { .. }
            | Command::PfCount { .. }
            | Command::ZMPop { .. }
            | Command::ZRemRange { .. }
            | Command::Del { .. }
            | Command::HDel { .. }
            | Command::SRem { .. }
            | Command::ZRem { .. }
            | Command::SPop { .. }
            | Command::ZPop { .. }
            | Command::GetDel { .. }
    )
}

enum Evaluated {
    Done {
        replies: Vec<Reply>,
        entry: Option<Entry>,
        layer: Layer,
    },
    Refused(CommandError),
    Missing(Want),
    Failed(RequestError),
}

/// Replies as kept for a retry.
#[derive(Encode, Decode)]
struct KeptReplies {
    request: u64,
    replies: Vec<KeptReply>,
}

#[derive(Encode, Decode)]
enum KeptReply {
    Ok,
    Nil,
    Integer(i64),
    Double(f64),
    Bytes(Vec<u8>),
    Array(Vec<KeptReply>),
    Simple(String),
    Error(String),
}

impl KeptReply {
    fn new(reply: &Reply) -> Self {
        match reply {
            Reply::Ok => KeptReply::Ok,
            // Stamps mean nothing later: whoever retries watches anew.
            Reply::Nil | Reply::Stamps(_) => KeptReply::Nil,
            Reply::Integer(n) => KeptReply::Integer(*n),
            Reply::Double(d) => KeptReply::Double(*d),
            Reply::Bytes(b) => KeptReply::Bytes(b.clone()),
            Reply::Array(list) => KeptReply::Array(list.iter().map(KeptReply::new).collect()),
            Reply::Simple(s) => KeptReply::Simple((*s).to_owned()),
            Reply::Error(e) => KeptReply::Error(e.to_string()),
        }
    }

    fn reply(self) -> Reply {
        match self {
            KeptReply::Ok => Reply::Ok,
            KeptReply::Nil => Reply::Nil,
            KeptReply::Integer(n) => Reply::Integer(n),
            KeptReply::Double(d) => Reply::Double(d),
            KeptReply::Bytes(b) => Reply::Bytes(b),
            KeptReply::Array(list) => Reply::Array(list.into_iter().map(KeptReply::reply).collect()),
            KeptReply::Simple(s) => Reply::Bytes(s.into_bytes()),
            KeptReply::Error(message) => Reply::Error(CommandError::Domain {
                code: "kept",
                message,
            }),
        }
    }
}

fn encode_replies(request: &Request, replies: &[Reply]) -> Vec<u8> {
    let kept = KeptReplies {
        request: fingerprint(request),
        replies: replies.iter().map(KeptReply::new).collect(),
    };
    // A reply too large to keep is not kept: the retry is then told so, by its own evaluation.
    codec::encode("a kept reply", REPLY_VERSION, &kept).unwrap_or_default()
}

/// Tells one request from another: FNV-1a over what it asks for.
fn fingerprint(request: &Request) -> u64 {
    let text = format!("{:?}", request.commands);
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
