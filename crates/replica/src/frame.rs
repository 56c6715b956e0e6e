//! Frames: what one transport message carries.
//!
//! A transport takes at most [`FRAME_BYTES_MAX`] at once, and an entry or a large value may be more. So an encoded
//! message is one frame, or several numbered ones; the receiver bounds what it puts together before it allocates.
//!
//! ```text
//! 0 | message                        a whole message
//! 1 | number u32 LE | count u32 LE | bytes    part `number` (from 0) of `count`
//! ```

use cartograph_crdt::codec::BLOB_BYTES_MAX;

/// The most bytes in one frame.
pub const FRAME_BYTES_MAX: usize = 4 << 20;

/// The most parts of one message.
const PARTS_MAX: u32 = 8;

const PART_HEADER: usize = 9;

const _: () = assert!((FRAME_BYTES_MAX - PART_HEADER) * PARTS_MAX as usize > BLOB_BYTES_MAX);

/// The frames of an encoded message, in order.
pub fn split(message: Vec<u8>) -> Vec<Vec<u8>> {
    if message.len() < FRAME_BYTES_MAX {
        let mut frame = Vec::with_capacity(message.len() + 1);
        frame.push(0);
        frame.extend(message);
        return vec![frame];
    }
    let chunks: Vec<_> = message.chunks(FRAME_BYTES_MAX - PART_HEADER).collect();
    let count = u32::try_from(chunks.len()).unwrap_or(u32::MAX);
    let frame = |(number, chunk): (u32, &[u8])| {
        let mut frame = Vec::with_capacity(chunk.len() + PART_HEADER);
        frame.push(1);
        frame.extend_from_slice(&number.to_le_bytes());
        frame.extend_from_slice(&count.to_le_bytes());
        frame.extend_from_slice(chunk);
        frame
    };
    (0..).zip(chunks).map(frame).collect()
}

/// A frame that does not continue what came before: close the link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Larger than a frame may be, too short, or of an unknown kind.
    #[error("a frame of {bytes} bytes is no frame of this protocol")]
    Malformed {
        /// Its size.
        bytes: usize,
    },
    /// A part out of order, or another message in the middle of one.
    #[error("part {number} of {count} of a message does not follow the part before it")]
    OutOfOrder {
        /// The part.
        number: u32,
        /// Of how many.
        count: u32,
    },
}

/// Puts messages together from frames. A stream's direction has one of these.
#[derive(Clone, Debug, Default)]
pub struct Assembler {
    bytes: Vec<u8>,
    next: u32,
    count: u32,
}

impl Assembler {
    /// Takes a frame; gives the encoded message when it is whole.
    ///
    /// # Errors
    /// See [`FrameError`].
    pub fn push(&mut self, frame: &[u8]) -> Result<Option<Vec<u8>>, FrameError> {
        let malformed = FrameError::Malformed { bytes: frame.len() };
        if frame.len() > FRAME_BYTES_MAX {
            return Err(malformed);
        }
        match frame.split_first() {
            Some((0, message)) if self.count == 0 => Ok(Some(message.to_vec())),
            Some((1, rest)) => {
                let (number, rest) = take_u32(rest).ok_or(malformed)?;
                let (count, chunk) = take_u32(rest).ok_or(malformed)?;
                self.part(number, count, chunk)
            }
            _ => Err(malformed),
        }
    }

    fn part(&mut self, number: u32, count: u32, chunk: &[u8]) -> Result<Option<Vec<u8>>, FrameError> {
        let begins = self.count == 0 && number == 0 && (2..=PARTS_MAX).contains(&count);
        let continues = self.count != 0 && number == self.next && count == self.count;
        if !begins && !continues {
            return Err(FrameError::OutOfOrder { number, count });
        }
        self.count = count;
        self.next = number + 1;
        self.bytes.extend_from_slice(chunk);
        if self.next < count {
            return Ok(None);
        }
        self.count = 0;
        self.next = 0;
        Ok(Some(std::mem::take(&mut self.bytes)))
    }
}

fn take_u32(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let (head, rest) = bytes.split_first_chunk::<4>()?;
    Some((u32::from_le_bytes(*head), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trip(size: usize) -> usize {
        let message: Vec<u8> = (0..=250).cycle().take(size).collect();
        let frames = split(message.clone());
        let mut assembler = Assembler::default();
        let count = frames.len();
        for (n, frame) in frames.iter().enumerate() {
            assert!(frame.len() <= FRAME_BYTES_MAX);
            let whole = assembler.push(frame).unwrap();
            assert_eq!(whole.is_some(), n + 1 == count);
            if let Some(whole) = whole {
                assert_eq!(whole, message);
            }
        }
        count
    }

    #[test]
    fn messages_read_back_at_the_limit_and_past_it() {
        assert_eq!(round_trip(0), 1);
        assert_eq!(round_trip(FRAME_BYTES_MAX - 1), 1);
        assert_eq!(round_trip(FRAME_BYTES_MAX), 2);
        assert_eq!(round_trip(BLOB_BYTES_MAX), 5);
    }

    #[test]
    fn parts_out_of_order_are_refused_and_what_is_put_together_is_bounded() {
        let frames = split(vec![7; 3 * FRAME_BYTES_MAX]);
        let mut assembler = Assembler::default();
        assert!(matches!(
            assembler.push(&frames[1]),
            Err(FrameError::OutOfOrder { .. })
        ));
        assert_eq!(assembler.push(&frames[0]), Ok(None));
        assert!(assembler.push(&frames[2]).is_err());
        assert!(
            assembler.push(&[0, 1]).is_err(),
            "another message in the middle of one"
        );
        let mut many = vec![1];
        many.extend_from_slice(&0_u32.to_le_bytes());
        many.extend_from_slice(&(PARTS_MAX + 1).to_le_bytes());
        assert!(Assembler::default().push(&many).is_err());
        assert!(Assembler::default().push(&[]).is_err());
        assert!(Assembler::default().push(&[9, 9]).is_err());
        assert!(Assembler::default().push(&vec![0; FRAME_BYTES_MAX + 1]).is_err());
    }
}
