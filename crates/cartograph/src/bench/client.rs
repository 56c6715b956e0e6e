//! Clients of our own, for machines without redis-benchmark: each sends `depth` commands, reads their replies, and so on.

use std::time::{Duration, Instant};

use bytes::BytesMut;
use cartograph_resp::{Delimiter, encode_command};
use hdrhistogram::Histogram;
use rand::RngExt;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::servers::key;
use super::{Load, Measured};
use crate::clock;
use crate::exit::{Exit, Failure};

/// How long all clients together may take to connect.
const CONNECT_MAX: Duration = Duration::from_secs(30);

/// How long after the end replies are waited for.
const LAST_REPLY_MAX: Duration = Duration::from_secs(10);

struct Sum {
    operations: u64,
    errors: u64,
    latency: Histogram<u32>,
}

/// A connection that has sent a batch and reads its replies.
pub(super) struct Client {
    stream: TcpStream,
    delimiter: Delimiter,
    buffer: BytesMut,
}

impl Client {
    pub(super) async fn connect(port: u16) -> std::io::Result<Client> {
        let stream = TcpStream::connect(("127.0.0.1", port)).await?;
        stream.set_nodelay(true)?;
        Ok(Client {
            stream,
            delimiter: Delimiter::new(),
            buffer: BytesMut::new(),
        })
    }

    /// Sends these bytes and reads so many replies; how many of them were errors.
    pub(super) async fn ask(&mut self, bytes: &[u8], replies: usize) -> std::io::Result<u64> {
        self.stream.write_all(bytes).await?;
        let (mut got, mut errors) = (0, 0);
        while got < replies {
            match self
                .delimiter
                .next(&mut self.buffer)
                .map_err(std::io::Error::other)?
            {
                Some(frame) => {
                    got += 1;
                    errors += u64::from(frame.first() == Some(&b'-'));
                }
                None => {
                    if self.stream.read_buf(&mut self.buffer).await? == 0 {
                        return Err(std::io::ErrorKind::UnexpectedEof.into());
                    }
                }
            }
        }
        Ok(errors)
    }
}

/// Drives the server on `port`.
///
/// # Errors
/// It cannot be reached, or ends.
pub(super) async fn run(port: u16, load: Load) -> Result<Measured, Failure> {
    let failed = |error: std::io::Error| {
        Failure::new(
            Exit::Unreachable,
            format!("the server on port {port} cannot be driven: {error}"),
        )
    };
    let connecting = async {
        let mut clients = Vec::with_capacity(load.clients);
        for _ in 0..load.clients {
            clients.push(Client::connect(port).await?);
        }
        Ok(clients)
    };
    let clients = tokio::time::timeout(CONNECT_MAX, connecting)
        .await
        .map_err(|_| failed(std::io::ErrorKind::TimedOut.into()))?
        .map_err(failed)?;
    let started = clock::now();
    let mut tasks = JoinSet::new();
    for (number, client) in clients.into_iter().enumerate() {
        tasks.spawn(drive(client, number as u64, load, started + load.time));
    }
    let mut latency = histogram().map_err(failed)?;
    let (mut operations, mut errors) = (0, 0);
    while let Some(done) = tasks.join_next().await {
        let done = done
            .map_err(|e| failed(std::io::Error::other(e)))?
            .map_err(failed)?;
        operations += done.operations;
        errors += done.errors;
        let _ = latency.add(&done.latency);
    }
    let took = clock::now().saturating_duration_since(started).as_secs_f64();
    let ms =
        |quantile| f64::from(u32::try_from(latency.value_at_quantile(quantile)).unwrap_or(u32::MAX)) / 1e3;
    #[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
    let per_second = operations as f64 / took;
    Ok(Measured {
        operations,
        errors,
        per_second,
        p50_ms: ms(0.5),
        p99_ms: ms(0.99),
        ..Measured::default()
    })
}

/// Microseconds, three digits, up to a minute.
fn histogram() -> std::io::Result<Histogram<u32>> {
    let mut histogram = Histogram::new(3).map_err(std::io::Error::other)?;
    histogram.auto(true);
    Ok(histogram)
}

async fn drive(mut client: Client, number: u64, load: Load, end: Instant) -> std::io::Result<Sum> {
    let mut random = ChaCha8Rng::seed_from_u64(number);
    let value = "x".repeat(load.value_bytes as usize);
    let mut result = Sum {
        operations: 0,
        errors: 0,
        latency: histogram()?,
    };
    let mut bytes = BytesMut::new();
    loop {
        let started = clock::now();
        if started >= end {
            return Ok(result);
        }
        bytes.clear();
        for _ in 0..load.depth {
            let key = key(random.random_range(0..load.keys));
            let words = load.workload.words(&key, random.random(), &value);
            encode_command(&words, &mut bytes);
        }
        let asked = client.ask(&bytes, load.depth);
        let errors = tokio::time::timeout(load.time + LAST_REPLY_MAX, asked)
            .await
            .map_err(|_| std::io::Error::from(std::io::ErrorKind::TimedOut))??;
        result.errors += errors;
        result.operations += load.depth as u64;
        let micros = clock::now().saturating_duration_since(started).as_micros();
        let _ = result
            .latency
            .record(u64::try_from(micros).unwrap_or(u64::MAX).max(1));
    }
}
