//! A connection for one client alone: for what blocks, subscribes, or changes the connection's state.
//!
//! It is used up by that: nobody gets it afterwards. When it is dropped, Redis sees the end of the connection, and lets
//! go of whatever the client waited for.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use cartograph_resp::Delimiter;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::OwnedSemaphorePermit;

use super::connect::{Dialer, Link, Reader, Writer};
use crate::raw::RawError;

/// Room made in the read buffer before each read, at least and at most.
const READ_BYTES: (usize, usize) = (4 * 1024, 1024 * 1024);

/// What both halves hold: the place among those that there may be.
#[derive(Clone)]
struct Place {
    dialer: Arc<Dialer>,
    _permit: Arc<OwnedSemaphorePermit>,
}

impl Place {
    fn broken(&self, reason: &impl ToString) -> RawError {
        RawError::Unknown {
            address: self.dialer.address(),
            reason: reason.to_string(),
        }
    }
}

/// A connection of one client.
pub struct PinnedConnection {
    sender: PinnedSender,
    receiver: PinnedReceiver,
}

/// Its sending half.
pub struct PinnedSender {
    place: Place,
    writer: Writer,
}

/// Its receiving half.
pub struct PinnedReceiver {
    place: Place,
    reader: Reader,
    buf: BytesMut,
    delimiter: Delimiter,
}

impl PinnedConnection {
    pub(crate) fn new(dialer: Arc<Dialer>, permit: OwnedSemaphorePermit, link: Link) -> Self {
        let place = Place {
            dialer,
            _permit: Arc::new(permit),
        };
        PinnedConnection {
            sender: PinnedSender {
                place: place.clone(),
                writer: link.writer,
            },
            receiver: PinnedReceiver {
                place,
                reader: link.reader,
                buf: BytesMut::new(),
                delimiter: Delimiter::new(),
            },
        }
    }

    /// See [`PinnedSender::send`].
    ///
    /// # Errors
    /// The connection broke.
    pub async fn send(&mut self, commands: &[u8]) -> Result<(), RawError> {
        self.sender.send(commands).await
    }

    /// See [`PinnedReceiver::recv`].
    ///
    /// # Errors
    /// The connection broke.
    pub async fn recv(&mut self) -> Result<Bytes, RawError> {
        self.receiver.recv().await
    }

    /// Its halves, for who sends and receives in different places. It is closed when either is dropped.
    pub fn into_split(self) -> (PinnedSender, PinnedReceiver) {
        (self.sender, self.receiver)
    }
}

impl PinnedSender {
    /// Sends commands. Not to be cancelled: half a command would be left behind.
    ///
    /// # Errors
    /// [`RawError::Unknown`]: the connection broke; drop it.
    pub async fn send(&mut self, commands: &[u8]) -> Result<(), RawError> {
        let written = self.writer.write_all(commands).await;
        written.map_err(|error| self.place.broken(&error))
    }
}

impl PinnedReceiver {
    /// The next frame, a reply or a push. May be cancelled: nothing is lost.
    ///
    /// # Errors
    /// [`RawError::Unknown`]: the connection broke, with whatever was not answered; drop it.
    pub async fn recv(&mut self) -> Result<Bytes, RawError> {
        loop {
            match self.delimiter.next(&mut self.buf) {
                Ok(Some(frame)) => return Ok(frame),
                Ok(None) => {}
                Err(error) => return Err(self.place.broken(&error)),
            }
            let (least, most) = READ_BYTES;
            self.buf
                .reserve(self.delimiter.bytes_missing().clamp(least, most));
            match self.reader.read_buf(&mut self.buf).await {
                Ok(0) => return Err(self.place.broken(&"the server closed the connection")),
                Ok(_) => {}
                Err(error) => return Err(self.place.broken(&error)),
            }
        }
    }
}
