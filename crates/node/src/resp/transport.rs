//! A client's socket, plain or TLS, read and written without waiting.
//!
//! Replies are written by whoever has them ([`super::outbox`]), requests read by the connection's task: both take
//! `&self`. TLS is rustls's state machine over the same socket; its lock is held for copying and ciphering only.

use std::io::{self, ErrorKind, Read, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::{Buf, BytesMut};
use rustls::{ServerConfig, ServerConnection};
use tokio::net::TcpStream;

/// Read at once from a socket.
const READ_BYTES: usize = 16 * 1024;

/// One client's socket.
pub(super) struct Transport {
    tcp: TcpStream,
    tls: Option<Mutex<ServerConnection>>,
}

/// The socket as `std::io` has it, for rustls.
struct Now<'a>(&'a TcpStream);

impl Read for Now<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.try_read(buf)
    }
}

impl Write for Now<'_> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.0.try_write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Transport {
    /// A socket that speaks TLS if there is a configuration for it.
    pub(super) fn new(tcp: TcpStream, tls: Option<&Arc<ServerConfig>>) -> io::Result<Transport> {
        let tls = tls
            .map(|config| ServerConnection::new(Arc::clone(config)).map(Mutex::new))
            .transpose()
            .map_err(io::Error::other)?;
        Ok(Transport { tcp, tls })
    }

    fn tls(lock: &Mutex<ServerConnection>) -> MutexGuard<'_, ServerConnection> {
        lock.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until there may be something to read.
    pub(super) async fn readable(&self) -> io::Result<()> {
        self.tcp.readable().await
    }

    /// Waits until something can be written.
    pub(super) async fn writable(&self) -> io::Result<()> {
        self.tcp.writable().await
    }

    /// Reads what is there. `Ok(0)`: the client has ended.
    ///
    /// # Errors
    /// `WouldBlock` when nothing is there.
    pub(super) fn try_read(&self, into: &mut BytesMut) -> io::Result<usize> {
        into.reserve(READ_BYTES);
        let Some(tls) = &self.tls else {
            return self.tcp.try_read_buf(into);
        };
        let mut tls = Self::tls(tls);
        let ended = match tls.read_tls(&mut Now(&self.tcp)) {
            Ok(read) => read == 0,
            Err(e) if e.kind() == ErrorKind::WouldBlock => return Err(e),
            Err(e) => return Err(e),
        };
        let state = tls.process_new_packets();
        // Handshakes and alerts go out even where nothing is to be replied.
        while tls.wants_write() {
            match tls.write_tls(&mut Now(&self.tcp)) {
                Ok(_) => {}
                Err(e) if e.kind() == ErrorKind::WouldBlock => break,
                Err(e) => return Err(e),
            }
        }
        let there = state.map_err(io::Error::other)?.plaintext_bytes_to_read();
        if there == 0 {
            return if ended {
                Ok(0)
            } else {
                Err(ErrorKind::WouldBlock.into())
            };
        }
        let begin = into.len();
        into.resize(begin + there, 0);
        let space = into.get_mut(begin..).unwrap_or_default();
        match tls.reader().read_exact(space) {
            Ok(()) => Ok(there),
            Err(e) => {
                into.truncate(begin);
                Err(e)
            }
        }
    }

    /// Writes what can be written of `out`, and takes it away. Tells whether all of it is on its way.
    ///
    /// # Errors
    /// The connection is gone.
    pub(super) fn try_write(&self, out: &mut BytesMut) -> io::Result<bool> {
        let Some(tls) = &self.tls else {
            while !out.is_empty() {
                match self.tcp.try_write(out) {
                    Ok(0) => return Err(ErrorKind::WriteZero.into()),
                    Ok(written) => out.advance(written),
                    Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(false),
                    Err(e) => return Err(e),
                }
            }
            return Ok(true);
        };
        let mut tls = Self::tls(tls);
        loop {
            // rustls takes as much as its buffer limit allows (64 KiB) and no more.
            if !out.is_empty() {
                let taken = tls.writer().write(out)?;
                out.advance(taken);
            }
            if !tls.wants_write() {
                return Ok(out.is_empty());
            }
            match tls.write_tls(&mut Now(&self.tcp)) {
                Ok(_) => {}
                Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(e) => return Err(e),
            }
        }
    }
}
