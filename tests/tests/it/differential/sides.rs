//! The two that are compared.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use anyhow::{Context as _, Result, bail};
use bytes::{Bytes, BytesMut};
use cartograph_engine::Command;
use cartograph_engine::testkit::Replica;
use cartograph_resp::{Delimiter, Protocol, Value, encode_command};

use super::grammar::Words;
use super::replies;
use crate::plain_redis::PlainRedis;

/// Commands sent before their replies are read.
const IN_FLIGHT: usize = 500;

/// A plain Redis, over one connection for each version of the protocol.
pub(super) struct Theirs {
    old: Raw,
    new: Raw,
}

impl Theirs {
    pub(super) fn new(redis: &PlainRedis) -> Result<Self> {
        let (old, mut new) = (Raw::to(redis.port())?, Raw::to(redis.port())?);
        new.pipeline(&[vec![b"HELLO".to_vec(), b"3".to_vec()]])?;
        Ok(Theirs { old, new })
    }

    fn raw(&mut self, protocol: Protocol) -> &mut Raw {
        match protocol {
            Protocol::Resp2 => &mut self.old,
            Protocol::Resp3 => &mut self.new,
        }
    }

    /// The replies of one sequence, on an empty database.
    pub(super) fn replies(&mut self, commands: &[Words], protocol: Protocol) -> Result<Vec<Bytes>> {
        let mut all = self.batch(&[commands.to_vec()], protocol)?;
        all.pop().context("one sequence, one list of replies")
    }

    /// The replies of several sequences, each on an empty database.
    pub(super) fn batch(&mut self, sequences: &[Vec<Words>], protocol: Protocol) -> Result<Vec<Vec<Bytes>>> {
        let mut commands = Vec::new();
        for sequence in sequences {
            commands.push(vec![b"FLUSHALL".to_vec()]);
            commands.extend(sequence.iter().cloned());
        }
        let mut replies = self.raw(protocol).pipeline(&commands)?.into_iter();
        Ok(sequences
            .iter()
            .map(|sequence| replies.by_ref().skip(1).take(sequence.len()).collect())
            .collect())
    }

    /// Its clock.
    pub(super) fn now_ms(&mut self) -> Result<u64> {
        let reply = self.old.pipeline(&[vec![b"TIME".to_vec()]])?;
        let Some(Value::Array(parts)) = reply.first().map(Value::from_frame).transpose()? else {
            bail!("TIME is no list");
        };
        let number = |at: usize| match parts.get(at) {
            Some(Value::Bulk(text)) => Ok(std::str::from_utf8(text)?.parse::<u64>()?),
            other => bail!("TIME has {other:?}"),
        };
        Ok(number(0)? * 1_000 + number(1)? / 1_000)
    }

    /// The arity of each of its commands: that is checked before a command's own words are.
    pub(super) fn arities(&mut self) -> Result<BTreeMap<Vec<u8>, i64>> {
        let reply = self.old.pipeline(&[vec![b"COMMAND".to_vec()]])?;
        let Some(Value::Array(commands)) = reply.first().map(Value::from_frame).transpose()? else {
            bail!("COMMAND is no list");
        };
        let arity = |command: &Value| match command {
            Value::Array(parts) => match (parts.first(), parts.get(1)) {
                (Some(Value::Bulk(name)), Some(Value::Integer(arity))) => Some((name.to_vec(), *arity)),
                _ => None,
            },
            _ => None,
        };
        Ok(commands.iter().filter_map(arity).collect())
    }
}

/// A connection whose replies stay bytes.
struct Raw {
    stream: TcpStream,
    buffer: BytesMut,
    frames: Delimiter,
}

impl Raw {
    fn to(port: u16) -> Result<Self> {
        let stream = TcpStream::connect((std::net::Ipv4Addr::LOCALHOST, port))?;
        stream.set_nodelay(true)?;
        Ok(Raw {
            stream,
            buffer: BytesMut::new(),
            frames: Delimiter::new(),
        })
    }

    fn pipeline(&mut self, commands: &[Words]) -> Result<Vec<Bytes>> {
        let mut replies = Vec::with_capacity(commands.len());
        for part in commands.chunks(IN_FLIGHT) {
            let mut sent = BytesMut::new();
            for words in part {
                encode_command(words, &mut sent);
            }
            self.stream.write_all(&sent)?;
            for _ in part {
                replies.push(self.frame()?);
            }
        }
        Ok(replies)
    }

    fn frame(&mut self) -> Result<Bytes> {
        let mut chunk = [0; 16_384];
        loop {
            if let Some(frame) = self.frames.next(&mut self.buffer)? {
                return Ok(frame);
            }
            let read = self.stream.read(&mut chunk)?;
            if read == 0 {
                bail!("Redis closed the connection");
            }
            self.buffer.extend_from_slice(&chunk[..read]);
        }
    }
}

/// The door's table, and a replica behind it.
pub(super) struct Ours {
    arities: BTreeMap<Vec<u8>, i64>,
    replica: Replica,
    protocol: Protocol,
    pub(super) now_ms: u64,
    /// Sequences that went where the two are meant to differ.
    pub(super) given_up: u64,
}

impl Ours {
    pub(super) fn new(arities: BTreeMap<Vec<u8>, i64>) -> Self {
        Ours {
            arities,
            replica: Replica::new(1),
            protocol: Protocol::Resp2,
            now_ms: 0,
            given_up: 0,
        }
    }

    /// Begins with nothing.
    pub(super) fn begin(&mut self, protocol: Protocol) {
        self.replica = Replica::new(1);
        self.protocol = protocol;
    }

    /// The replies to commands that are one entry. What Redis left to chance is done as Redis did it, so that both go
    /// on from the same.
    pub(super) fn entry(&mut self, entry: &[Words], theirs: &[Bytes]) -> Vec<Bytes> {
        // What the commands become does not depend on the data; so the entry can be made of them in one go, and the
        // replies put into their forms afterwards.
        let mut typed: Vec<Option<Command>> = Vec::new();
        for (words, theirs) in entry.iter().zip(theirs) {
            typed.push(match replies::chance(words, theirs) {
                Some(command) => Some(command),
                None => self.command(words),
            });
        }
        let commands: Vec<Command> = typed.iter().flatten().cloned().collect();
        let mut done = self
            .replica
            .exec(&commands, self.now_ms, None)
            .replies
            .into_iter();
        let mut replies = Vec::new();
        for (words, typed) in entry.iter().zip(typed) {
            let mut real = typed.and_then(|_| done.next());
            replies.push(self.form(words, &mut |_| {
                real.take().unwrap_or(Ok(cartograph_engine::Reply::Nil))
            }));
        }
        replies
    }

    /// Does a command, outside of any sequence's entries.
    pub(super) fn ask(&mut self, words: &[&[u8]]) -> Bytes {
        let words: Words = words.iter().map(|w| w.to_vec()).collect();
        let (now, mut replies) = (self.now_ms, Vec::new());
        if let Some(command) = self.command(&words) {
            replies = self.replica.exec(&[command], now, None).replies;
        }
        self.form(&words, &mut |_| {
            replies.pop().unwrap_or(Ok(cartograph_engine::Reply::Nil))
        })
    }

    /// What the words become, unless they are refused as they are.
    fn command(&self, words: &Words) -> Option<Command> {
        let mut found = None;
        self.form(words, &mut |command| {
            found = Some(command);
            Ok(cartograph_engine::Reply::Nil)
        });
        found
    }

    fn form(
        &self,
        words: &Words,
        run: &mut dyn FnMut(Command) -> Result<cartograph_engine::Reply, cartograph_engine::CommandError>,
    ) -> Bytes {
        let name = words[0].to_ascii_lowercase();
        let count = i64::try_from(words.len()).unwrap();
        let fits = self.arities.get(&name).is_none_or(|arity| {
            if *arity < 0 {
                count >= -arity
            } else {
                count == *arity
            }
        });
        let name = String::from_utf8(name).unwrap();
        let value = if fits {
            let args: Vec<Bytes> = words[1..].iter().map(|w| Bytes::from(w.clone())).collect();
            cartograph_node::testkit::reply(&name, &args, self.protocol, run)
        } else {
            Value::Error(format!("ERR wrong number of arguments for '{name}' command"))
        };
        let mut out = BytesMut::new();
        value.encode(self.protocol, &mut out);
        out.freeze()
    }
}
