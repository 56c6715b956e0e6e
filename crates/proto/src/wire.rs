//! The exchange's messages as frames of a gRPC stream, and back.

use std::borrow::Cow;

use bytes::Bytes;
use cartograph_crdt::codec;
use cartograph_replica::frame::{self, Assembler, FrameError};
use cartograph_replica::message::{Refusal, Welcome, Wire};

use crate::v1::Frame;

/// What a gRPC message with one frame may be at most: the frame, and protobuf's own few bytes.
pub const GRPC_BYTES_MAX: usize = frame::FRAME_BYTES_MAX + 64;

/// What came is no message of the exchange: close the stream.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// The frame.
    #[error("a frame is refused: {0}")]
    Frame(#[from] FrameError),
    /// What the frames hold.
    #[error("a message is refused: {0}")]
    Message(#[from] codec::Error),
    /// Not what zstd made, or more of it than a frame may hold.
    #[error(
        "a compressed frame cannot be unpacked within {} bytes",
        frame::FRAME_BYTES_MAX
    )]
    Compression,
    /// A greeting's answer that is neither of the two.
    #[error("the answer to the greeting is neither a welcome nor a refusal")]
    Answer,
}

/// A message's frames, in order.
///
/// # Errors
/// When the message is larger than any may be.
pub fn encode<M: Wire>(message: &M) -> Result<Vec<Frame>, codec::Error> {
    Ok(frames(message.to_bytes()?))
}

fn frames(bytes: Vec<u8>) -> Vec<Frame> {
    frame::split(bytes).into_iter().map(pack).collect()
}

/// Payloads below this are sent as they are: compressing them costs more than a wire does.
const ZSTD_FROM_BYTES: usize = 2 << 10;

/// The fastest level that is worth it: entries repeat keys and replicas, and little else.
const ZSTD_LEVEL: i32 = 1;

fn pack(payload: Vec<u8>) -> Frame {
    if payload.len() >= ZSTD_FROM_BYTES
        && let Ok(packed) = zstd::bulk::compress(&payload, ZSTD_LEVEL)
        && packed.len() < payload.len() / 8 * 7
    {
        return Frame {
            payload: Bytes::from(packed),
            zstd: true,
        };
    }
    Frame {
        payload: Bytes::from(payload),
        zstd: false,
    }
}

/// A frame's payload. It never grows past what a frame may hold, whatever it claims.
fn unpack(frame: &Frame) -> Result<Cow<'_, [u8]>, WireError> {
    if !frame.zstd {
        return Ok(Cow::Borrowed(&frame.payload));
    }
    let unpacked = zstd::bulk::decompress(&frame.payload, frame::FRAME_BYTES_MAX);
    unpacked.map(Cow::Owned).map_err(|_| WireError::Compression)
}

/// Reads one direction of a stream.
#[derive(Debug, Default)]
pub struct Reader {
    assembler: Assembler,
}

impl Reader {
    /// Takes a frame; gives the message when it is whole.
    ///
    /// # Errors
    /// See [`WireError`]: close the stream.
    pub fn push<M: Wire>(&mut self, frame: &Frame) -> Result<Option<M>, WireError> {
        match self.assembler.push(&unpack(frame)?)? {
            Some(bytes) => Ok(Some(M::from_bytes(&bytes)?)),
            None => Ok(None),
        }
    }

    /// Takes a frame of the answer to a greeting.
    ///
    /// # Errors
    /// See [`WireError`]: close the stream.
    pub fn push_answer(&mut self, frame: &Frame) -> Result<Option<Answer>, WireError> {
        let Some(bytes) = self.assembler.push(&unpack(frame)?)? else {
            return Ok(None);
        };
        let (kind, body) = bytes.split_first().ok_or(WireError::Answer)?;
        match *kind {
            WELCOME => Ok(Some(Answer::Welcome(Box::new(Welcome::from_bytes(body)?)))),
            REFUSAL => Ok(Some(Answer::Refusal(Refusal::from_bytes(body)?))),
            _ => Err(WireError::Answer),
        }
    }
}

const WELCOME: u8 = 1;
const REFUSAL: u8 = 2;

/// The answer to a greeting: the only place in a stream where two kinds of message may come, so it says which.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Send.
    Welcome(Box<Welcome>),
    /// Do not.
    Refusal(Refusal),
}

impl Answer {
    /// The answer's frames, in order.
    ///
    /// # Errors
    /// When it is larger than any message may be.
    pub fn encode(&self) -> Result<Vec<Frame>, codec::Error> {
        let (kind, body) = match self {
            Answer::Welcome(welcome) => (WELCOME, welcome.to_bytes()?),
            Answer::Refusal(refusal) => (REFUSAL, refusal.to_bytes()?),
        };
        let mut bytes = Vec::with_capacity(body.len() + 1);
        bytes.push(kind);
        bytes.extend(body);
        Ok(frames(bytes))
    }
}

#[cfg(test)]
mod tests {
    use cartograph_crdt::{RegionId, VersionVector};
    use cartograph_replica::message::{BackMessage, Message};

    use super::*;

    #[test]
    fn a_large_message_travels_in_parts_and_arrives_whole() {
        let message = Message::Entries {
            records: vec![vec![7; frame::FRAME_BYTES_MAX + 1]],
        };
        let frames = encode(&message).unwrap();
        assert_eq!(frames.len(), 2);
        let mut reader = Reader::default();
        assert_eq!(reader.push::<Message>(&frames[0]), Ok(None));
        assert_eq!(reader.push::<Message>(&frames[1]), Ok(Some(message)));
    }

    #[test]
    fn what_shrinks_is_compressed_and_a_bomb_is_refused() {
        let message = Message::Entries {
            records: vec![vec![7; 10_000]],
        };
        let frames = encode(&message).unwrap();
        assert!(frames[0].zstd && frames[0].payload.len() < 200);
        assert_eq!(Reader::default().push::<Message>(&frames[0]), Ok(Some(message)));
        let small = Message::SnapshotAbandon;
        assert!(!encode(&small).unwrap()[0].zstd);
        for payload in [
            zstd::bulk::compress(&vec![0; frame::FRAME_BYTES_MAX + 1], 1).unwrap(),
            vec![1, 2, 3],
            Vec::new(),
        ] {
            let bomb = Frame {
                payload: Bytes::from(payload),
                zstd: true,
            };
            assert!(Reader::default().push::<Message>(&bomb).is_err());
        }
    }

    #[test]
    fn a_refusal_is_told_from_a_welcome_and_from_nonsense() {
        let refusal = Refusal::NotMember { id: RegionId(7) };
        let frames = Answer::Refusal(refusal.clone()).encode().unwrap();
        let answer = Reader::default().push_answer(&frames[0]).unwrap();
        assert_eq!(answer, Some(Answer::Refusal(refusal)));
        for payload in [&[][..], &[0], &[0, 9, 1], &[0, 1, 1], &[1, 0]] {
            let frame = Frame {
                payload: Bytes::copy_from_slice(payload),
                zstd: false,
            };
            assert!(Reader::default().push_answer(&frame).is_err(), "{payload:?}");
        }
    }

    #[test]
    fn a_message_of_the_wrong_direction_is_an_error_and_no_panic() {
        let back = BackMessage::Resend {
            vector: VersionVector::new(),
        };
        for frame in encode(&back).unwrap() {
            // It may decode by chance of numbering, but never as more than it is.
            let _ = Reader::default().push::<Message>(&frame);
        }
    }
}
