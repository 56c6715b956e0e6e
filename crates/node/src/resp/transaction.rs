//! MULTI: commands are checked and queued; EXEC does them in one step, in every region.
//!
//! What a transaction may be:
//! - *writes of replicated keys, with reads between them*: one request to the shard, one entry, one commit. The reads
//!   are answered by the engine, which sees what the transaction has done so far. A read that only Redis can answer
//!   cannot stand beside writes: it is refused, and nothing is done.
//! - *reads only*: passed to Redis as one MULTI/EXEC.
//! - *local keys only*: the same, writes included.
//!
//! What the node answers itself (PING, INFO ...) may stand in each of them.

use bytes::{Bytes, BytesMut};
use cartograph_engine::{Command, Reply};
use cartograph_resp::table::CommandInfo;
use cartograph_resp::{Protocol, Value, encode_command};

use super::commands::{self, Parsed, Shape};

/// One command of a transaction.
pub(super) enum Part {
    /// The engine's next reply, in this form.
    Engine(Shape),
    /// Redis's next reply.
    Redis,
    /// Known already.
    Value(Value),
}

/// What becomes of the replies.
pub(super) struct Plan(pub(super) Vec<Part>);

impl Plan {
    /// EXEC's reply from the engine's.
    pub(super) fn show(self, replies: Vec<Reply>, protocol: Protocol) -> Value {
        let mut replies = replies.into_iter();
        let shown = self.0.into_iter().map(|part| match part {
            Part::Engine(shape) => replies.next().map_or(Value::Null, |reply| {
                if let Reply::Error(refused) = reply {
                    super::errors::of_command(&refused)
                } else {
                    commands::shape(reply, &shape, protocol)
                }
            }),
            Part::Value(value) => value,
            Part::Redis => Value::Null,
        });
        Value::Array(shown.collect())
    }

    /// EXEC's reply around the elements of Redis's own, which hold `frames` in order.
    pub(super) fn weave(self, frames: &[Bytes], protocol: Protocol, out: &mut BytesMut) {
        out.extend_from_slice(format!("*{}\r\n", self.0.len()).as_bytes());
        let mut frames = frames.iter();
        for part in self.0 {
            match part {
                Part::Redis => match frames.next() {
                    Some(frame) => out.extend_from_slice(frame),
                    None => Value::Null.encode(protocol, out),
                },
                Part::Value(value) => value.encode(protocol, out),
                Part::Engine(_) => Value::Null.encode(protocol, out),
            }
        }
    }
}

/// How a queued command can be done.
pub(super) enum Way {
    /// By the engine.
    Engine(Command, Shape),
    /// By the engine, with an answer that is known already (a syntax error found late).
    Known(Value),
    /// By Redis only.
    Redis,
}

/// How the engine would do a command, if it can.
pub(super) fn by_engine(name: &str, args: &[Bytes], write: bool) -> Way {
    let parsed = if write {
        Some(commands::parse_write(name, args))
    } else {
        commands::parse_read(name, args)
    };
    match parsed {
        None => Way::Redis,
        Some(Err(refused)) => Way::Known(refused),
        Some(Ok(Parsed::Reply(value))) => Way::Known(value),
        // In a transaction nothing waits: Redis answers at once with what is there.
        Some(Ok(Parsed::Do { command, shape } | Parsed::Block { command, shape, .. })) => {
            Way::Engine(command, shape)
        }
    }
}

/// MULTI, the commands as they came, EXEC.
pub(super) fn wrapped<'a>(commands: impl Iterator<Item = &'a Bytes>) -> (Bytes, usize) {
    let mut out = BytesMut::new();
    encode_command(&[b"MULTI"], &mut out);
    let mut count = 0;
    for raw in commands {
        out.extend_from_slice(raw);
        count += 1;
    }
    encode_command(&[b"EXEC"], &mut out);
    (out.freeze(), count + 2)
}

/// The commands that make and end transactions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Control {
    Multi,
    Exec,
    Discard,
    Watch,
    Unwatch,
}

/// Is it one of them?
pub(super) fn control(info: &CommandInfo) -> Option<Control> {
    match info.name {
        "multi" => Some(Control::Multi),
        "exec" => Some(Control::Exec),
        "discard" => Some(Control::Discard),
        "watch" => Some(Control::Watch),
        "unwatch" => Some(Control::Unwatch),
        _ => None,
    }
}
