//! A TCP proxy in the path of one direction's peer connection: where the demo's faults are made.
//!
//! Region `from` dials the proxy, and the proxy dials region `to`'s peer port. Bytes from -> to are delayed by the latency of
//! from -> to; bytes back (acks) by the latency of to -> from, so a round trip costs what the two directions say. The model is
//! TCP's, seen from the programs at its ends:
//!
//! - order is kept, whatever the jitter: a piece that is due early waits for those before it;
//! - loss (of from -> to only; a lost ack costs TCP next to nothing) shows as stalls of 200 ms, doubling up to
//!   [`STALL_MAX`], with everything behind the lost piece waiting; at a loss of 1 nothing passes;
//! - a cut stops bytes both ways and loses those under way; after [`CUT_HOLD`] the sockets are reset, and so are new
//!   connections at once. A heal resets what is still held, so that the dialler tries anew without waiting.
//!
//! Changed settings act at once, on bytes already under way too. What is under way is bounded by [`FLIGHT_BYTES_MAX`] for each
//! direction of a connection; past it the sender meets backpressure, as with a full window.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::clock;
use super::links::Settings;

/// The first stall of a lost piece; the usual least retransmission timeout of TCP.
pub(crate) const STALL_FIRST: Duration = Duration::from_millis(200);
/// Where the doubling of stalls ends.
pub(crate) const STALL_MAX: Duration = Duration::from_millis(3200);
/// How long the sockets of a cut link are held before they are reset.
pub(crate) const CUT_HOLD: Duration = Duration::from_secs(3);
/// Bytes under way in one direction of one connection.
pub(crate) const FLIGHT_BYTES_MAX: usize = 8 << 20;
/// Pieces under way, for senders of small messages.
const FLIGHT_PIECES_MAX: usize = 16_384;
/// The largest piece.
const PIECE_BYTES_MAX: usize = 16 << 10;
/// Connections that one proxy carries.
const CONNECTIONS_MAX: usize = 64;
/// How long the proxy tries to reach the far node.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// One direction's proxy.
#[derive(Debug)]
pub(crate) struct Proxy {
    /// Where the other region's node listens for peers.
    pub(crate) target: SocketAddr,
    /// The direction that the proxy carries, from the dialler to `target`.
    pub(crate) forward: watch::Receiver<Settings>,
    /// The other direction, whose latency the bytes back take.
    pub(crate) backward: watch::Receiver<Settings>,
    /// Decides jitter and loss.
    pub(crate) seed: u64,
}

impl Proxy {
    /// Accepts connections for as long as it is polled.
    pub(crate) async fn serve(self, listener: TcpListener) {
        let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let mut count = 0_u64;
        loop {
            let Ok(permit) = Arc::clone(&room).acquire_owned().await else {
                return;
            };
            let Ok((client, _)) = listener.accept().await else {
                // Out of descriptors, or the client has gone: neither gets better by spinning.
                sleep(Duration::from_millis(50)).await;
                continue;
            };
            count = count.wrapping_add(1);
            let connection = Connection {
                target: self.target,
                forward: self.forward.clone(),
                backward: self.backward.clone(),
                seed: self.seed.wrapping_add(count.wrapping_mul(2)),
            };
            tokio::spawn(async move {
                connection.carry(client).await;
                drop(permit);
            });
        }
    }
}

/// How a connection ended.
enum End {
    /// Both sides closed in good order.
    Closed,
    /// One side broke.
    Broken,
    /// The link was cut.
    Cut,
}

struct Connection {
    target: SocketAddr,
    forward: watch::Receiver<Settings>,
    backward: watch::Receiver<Settings>,
    seed: u64,
}

impl Connection {
    async fn carry(mut self, mut client: TcpStream) {
        if !self.forward.borrow().up {
            reset(&client);
            return;
        }
        let Ok(Ok(mut server)) = timeout(CONNECT_TIMEOUT, TcpStream::connect(self.target)).await else {
            reset(&client);
            return;
        };
        let _ = (client.set_nodelay(true), server.set_nodelay(true));
        match self.exchange(&mut client, &mut server).await {
            End::Closed => return,
            End::Broken => {}
            End::Cut => {
                // Nobody reads meanwhile: the ends see silence and full windows, as behind a real cut.
                let healed = self.forward.wait_for(|settings| settings.up);
                let _ = timeout(CUT_HOLD, healed).await;
            }
        }
        reset(&client);
        reset(&server);
    }

    /// Moves bytes both ways until the connection ends or the link is cut.
    async fn exchange(&mut self, client: &mut TcpStream, server: &mut TcpStream) -> End {
        let (client_read, client_write) = client.split();
        let (server_read, server_write) = server.split();
        let there = Pump::new(self.forward.clone(), true, self.seed);
        let back = Pump::new(self.backward.clone(), false, self.seed.wrapping_add(1));
        let both = async {
            tokio::try_join!(
                there.run(client_read, server_write),
                back.run(server_read, client_write)
            )
        };
        tokio::select! {
            biased;
            _ = self.forward.wait_for(|settings| !settings.up) => End::Cut,
            ended = both => if ended.is_ok() { End::Closed } else { End::Broken },
        }
    }
}

/// Closes with a reset when the stream is dropped: what the kernel still holds is thrown away, not delivered late.
fn reset(stream: &TcpStream) {
    let _ = stream.set_zero_linger();
}

/// Some bytes under way, or the end of the stream.
struct Piece {
    arrived: Instant,
    /// Where in the jitter's range this piece falls, from -1 to 1.
    stray: f64,
    /// Empty at the end of the stream.
    bytes: Vec<u8>,
    _room: Option<OwnedSemaphorePermit>,
}

/// Moves one direction's bytes through the link.
struct Pump {
    settings: watch::Receiver<Settings>,
    lossy: bool,
    rng: ChaCha8Rng,
}

impl Pump {
    fn new(settings: watch::Receiver<Settings>, lossy: bool, seed: u64) -> Self {
        Self {
            settings,
            lossy,
            rng: ChaCha8Rng::seed_from_u64(seed),
        }
    }

    async fn run(mut self, read: impl AsyncRead + Unpin, write: impl AsyncWrite + Unpin) -> io::Result<()> {
        let (sender, receiver) = mpsc::channel(FLIGHT_PIECES_MAX);
        let strays = ChaCha8Rng::seed_from_u64(self.rng.random());
        tokio::try_join!(take_in(read, sender, strays), self.give_out(receiver, write))?;
        Ok(())
    }

    async fn give_out(
        &mut self,
        mut pieces: mpsc::Receiver<Piece>,
        mut write: impl AsyncWrite + Unpin,
    ) -> io::Result<()> {
        while let Some(piece) = pieces.recv().await {
            self.wait_until_due(&piece).await;
            if piece.bytes.is_empty() {
                return write.shutdown().await;
            }
            if self.lossy {
                self.stall_while_lost().await;
            }
            write.write_all(&piece.bytes).await?;
        }
        Ok(())
    }

    /// Waits out the latency that holds now; a change while waiting counts from the piece's arrival.
    async fn wait_until_due(&mut self, piece: &Piece) {
        loop {
            let due = piece.arrived + delay(*self.settings.borrow_and_update(), piece.stray);
            if due <= clock::now() {
                return;
            }
            tokio::select! {
                () = sleep_until(due) => return,
                changed = self.settings.changed() => if changed.is_err() {
                    sleep_until(due).await;
                    return;
                },
            }
        }
    }

    /// Sends the piece again and again while the dice say that it was lost; a change of settings throws them anew at once.
    async fn stall_while_lost(&mut self) {
        let mut stall = STALL_FIRST;
        loop {
            let loss = self.settings.borrow_and_update().loss.clamp(0.0, 1.0);
            if !self.rng.random_bool(loss) {
                return;
            }
            tokio::select! {
                () = sleep(stall) => stall = (stall * 2).min(STALL_MAX),
                changed = self.settings.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    stall = STALL_FIRST;
                }
            }
        }
    }
}

/// Reads pieces into the flight, stamping each on arrival.
async fn take_in(
    mut read: impl AsyncRead + Unpin,
    pieces: mpsc::Sender<Piece>,
    mut strays: ChaCha8Rng,
) -> io::Result<()> {
    let room = Arc::new(Semaphore::new(FLIGHT_BYTES_MAX));
    let mut buffer = vec![0_u8; PIECE_BYTES_MAX];
    loop {
        let count = read.read(&mut buffer).await?;
        let arrived = clock::now();
        let stray = strays.random_range(-1.0..=1.0);
        let bytes = buffer.get(..count).unwrap_or_default().to_vec();
        let permits = u32::try_from(count).unwrap_or(u32::MAX);
        let room = Arc::clone(&room).acquire_many_owned(permits).await.ok();
        let piece = Piece {
            arrived,
            stray,
            bytes,
            _room: room,
        };
        if pieces.send(piece).await.is_err() || count == 0 {
            return Ok(());
        }
    }
}

/// The delay of a piece: never below zero, up to twice the jitter wide.
fn delay(settings: Settings, stray: f64) -> Duration {
    let seconds = settings.latency.as_secs_f64() + settings.jitter.as_secs_f64() * stray;
    Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or_default()
}

#[cfg(test)]
#[path = "proxy_tests.rs"]
mod tests;
