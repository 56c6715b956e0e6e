//! The live round trip of every link, measured: an HTTP/2 ping a second to the far node, through the link's own proxy.
//!
//! The ping travels as the regions' entries do, on a connection of its own, so it shows what latency, loss and cuts make of a
//! round trip, and not what somebody has set. It is the smallest HTTP/2 client there can be: greet, ping, wait for the answer.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::demo::clock;
use crate::demo::links::Link;

/// What an HTTP/2 client says first, with an empty SETTINGS frame.
const GREETING: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
/// The acknowledgement of the server's SETTINGS.
const SETTINGS_ACK: [u8; 9] = [0, 0, 0, 4, 1, 0, 0, 0, 0];
const FRAME_SETTINGS: u8 = 4;
const FRAME_PING: u8 = 6;
const FLAG_ACK: u8 = 1;
/// The largest frame that a server may send unasked.
const FRAME_BYTES_MAX: usize = 16 << 10;
/// Time between two pings.
const EVERY: Duration = Duration::from_secs(1);
/// How long an answer is waited for; the longest latency that can be set, there and back, is 20 s.
const ANSWER_MAX: Duration = Duration::from_secs(25);

/// The last round trip of every link.
#[derive(Debug, Default)]
pub(super) struct RoundTrips {
    last: Arc<Mutex<Table>>,
}

type Table = BTreeMap<(String, String), Option<Duration>>;

impl RoundTrips {
    /// Begins to measure a link unless it is measured already; ends with the link.
    pub(super) fn follow(&self, link: &Arc<Link>) {
        let key = (link.from.clone(), link.to.clone());
        {
            let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
            if last.contains_key(&key) {
                return;
            }
            last.insert(key.clone(), None);
        }
        let (table, link, address) = (Arc::clone(&self.last), Arc::downgrade(link), link.address);
        tokio::spawn(async move {
            let put = |value| {
                let mut table = table.lock().unwrap_or_else(PoisonError::into_inner);
                table.insert(key.clone(), value);
            };
            while link.strong_count() > 0 {
                let _ = measure(address, &link, |took| put(Some(took))).await;
                put(None);
                sleep(EVERY).await;
            }
            let mut table = table.lock().unwrap_or_else(PoisonError::into_inner);
            table.remove(&key);
        });
    }

    /// The last answer; `None` where there is none.
    pub(super) fn of(&self, link: &Link) -> Option<Duration> {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.get(&(link.from.clone(), link.to.clone())).copied().flatten()
    }
}

/// Pings until the connection breaks, an answer is not there in time, or the link is gone.
async fn measure(address: SocketAddr, link: &Weak<Link>, mut put: impl FnMut(Duration)) -> io::Result<()> {
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    stream.write_all(GREETING).await?;
    let mut count = 0_u64;
    while link.strong_count() > 0 {
        count += 1;
        let began = clock::now();
        let mut ping = vec![0, 0, 8, FRAME_PING, 0, 0, 0, 0, 0];
        ping.extend(count.to_be_bytes());
        stream.write_all(&ping).await?;
        timeout(ANSWER_MAX, answer(&mut stream, count))
            .await
            .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
        put(clock::now() - began);
        sleep(EVERY).await;
    }
    Ok(())
}

/// Reads frames up to the answer to this ping; acknowledges settings on the way.
async fn answer(stream: &mut TcpStream, count: u64) -> io::Result<()> {
    loop {
        let mut head = [0_u8; 9];
        stream.read_exact(&mut head).await?;
        let [a, b, c, kind, flags, ..] = head;
        let length = usize::try_from(u32::from_be_bytes([0, a, b, c])).unwrap_or(usize::MAX);
        if length > FRAME_BYTES_MAX {
            return Err(io::Error::other("a frame longer than any that was asked for"));
        }
        let mut body = vec![0_u8; length];
        stream.read_exact(&mut body).await?;
        match kind {
            FRAME_SETTINGS if flags & FLAG_ACK == 0 => stream.write_all(&SETTINGS_ACK).await?,
            FRAME_PING if flags & FLAG_ACK == FLAG_ACK && body == count.to_be_bytes() => return Ok(()),
            FRAME_PING if flags & FLAG_ACK == 0 && length == 8 => {
                let mut back = vec![0, 0, 8, FRAME_PING, FLAG_ACK, 0, 0, 0, 0];
                back.extend(&body);
                stream.write_all(&back).await?;
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    /// A server that greets, then answers each ping after `delay`.
    async fn serve(listener: TcpListener, delay: Duration) {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut greeting = vec![0_u8; GREETING.len()];
        stream.read_exact(&mut greeting).await.unwrap();
        assert_eq!(greeting, GREETING);
        stream.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).await.unwrap();
        loop {
            let mut head = [0_u8; 9];
            if stream.read_exact(&mut head).await.is_err() {
                return;
            }
            let mut body = vec![0_u8; usize::from(head[2])];
            stream.read_exact(&mut body).await.unwrap();
            if head[3] == FRAME_PING {
                sleep(delay).await;
                stream
                    .write_all(&[0, 0, 8, FRAME_PING, FLAG_ACK, 0, 0, 0, 0])
                    .await
                    .unwrap();
                stream.write_all(&body).await.unwrap();
            }
        }
    }

    #[tokio::test]
    async fn the_answers_time_is_the_round_trip_and_a_broken_link_has_none() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let link = Arc::new(Link::new("a", "b", listener.local_addr().unwrap()));
        let server = tokio::spawn(serve(listener, Duration::from_millis(40)));
        let trips = RoundTrips::default();
        assert_eq!(trips.of(&link), None);
        trips.follow(&link);
        let deadline = clock::now() + Duration::from_secs(10);
        let seen = loop {
            if let Some(seen) = trips.of(&link) {
                break seen;
            }
            assert!(clock::now() < deadline);
            sleep(Duration::from_millis(5)).await;
        };
        assert!(seen >= Duration::from_millis(40), "{seen:?}");
        server.abort();
        while trips.of(&link).is_some() {
            assert!(clock::now() < deadline);
            sleep(Duration::from_millis(5)).await;
        }
    }
}
