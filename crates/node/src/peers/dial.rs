//! One outgoing link: dial, greet, send until it breaks, again.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use cartograph_crdt::codec;
use cartograph_proto::v1::Frame;
use cartograph_proto::v1::replication_service_client::ReplicationServiceClient;
use cartograph_proto::wire::{self, Answer, GRPC_BYTES_MAX, Reader, WireError};
use cartograph_replica::exchange::Direction;
use cartograph_replica::message::{self, BackMessage, Hello, Message, Refusal, Welcome};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint};
use tonic::{Status, Streaming};

use super::{DIAL_MAX, KEEPALIVE, LinkState};
use crate::backoff::Backoff;
use crate::clock;
use crate::config::Peer;
use crate::driver::{LINK_MESSAGES_MAX, LinkId, ShardHandle};
use crate::metrics::Metrics;
use crate::tls::PeerTls;

/// Frames between this task and the socket: few, so that a slow socket is felt soon.
const FRAMES_MAX: usize = 4;

/// How long to wait for a store that is not claimed yet.
const UNCLAIMED_PAUSE: Duration = Duration::from_millis(50);

/// Why a link ended.
#[derive(Debug, thiserror::Error)]
enum LinkError {
    #[error("the address cannot be dialled: {0}")]
    Dial(tonic::transport::Error),
    #[error("no answer within {} ms", DIAL_MAX.as_millis())]
    Silent,
    #[error("the peer ended the stream: {} ({:?})", .0.message(), .0.code())]
    Status(Status),
    #[error("the peer refuses to exchange: {0}")]
    Refused(Refusal),
    #[error("we refuse to exchange: {0}")]
    Unwanted(Refusal),
    #[error("{0}")]
    Wire(#[from] WireError),
    #[error("a message cannot be sent: {0}")]
    Encode(#[from] codec::Error),
    #[error("the connection ended")]
    Ended,
}

pub(super) struct Dial {
    pub(super) peer: Peer,
    pub(super) shard: ShardHandle,
    pub(super) tls: Option<PeerTls>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) state: Arc<Mutex<LinkState>>,
}

/// What is worth a line in the log: that a link is down, that a peer refuses, and then that it is still so after 10
/// seconds, 20, 40 ... to an hour. Each attempt may fail in other words, and says nothing new.
#[derive(Debug, Default)]
struct News {
    attempts: u64,
    refused: bool,
    told: u32,
    next: Duration,
}

/// When a link that is down is told of again, first and at most.
const TELL_AGAIN: Duration = Duration::from_secs(10);
const TELL_AGAIN_MAX: Duration = Duration::from_hours(1);

impl News {
    fn worth_telling(&mut self, refused: bool, now: Duration) -> bool {
        self.attempts += 1;
        let other = self.attempts == 1 || refused != self.refused;
        if other {
            (self.refused, self.told, self.next) = (refused, 0, now);
        }
        if now < self.next {
            return false;
        }
        self.next = now
            + TELL_AGAIN
                .saturating_mul(1 << self.told.min(10))
                .min(TELL_AGAIN_MAX);
        self.told += 1;
        true
    }
}

impl Dial {
    /// Until the task is aborted.
    pub(super) async fn run(self) {
        let mut backoff = Backoff::default();
        let mut news = News::default();
        loop {
            let Some(hello) = self.shard.greeting().await else {
                tokio::time::sleep(UNCLAIMED_PAUSE).await;
                continue;
            };
            let mut was_up = false;
            let Err(error) = self.link(hello, &mut was_up).await;
            if was_up {
                backoff.reset();
                news = News::default();
            }
            self.broke(&error, &mut news);
            tokio::time::sleep(backoff.next_pause()).await;
        }
    }

    fn broke(&self, error: &LinkError, news: &mut News) {
        let reason = chain(error);
        let uncertified = crate::tls::is_refusal(error);
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let refused = matches!(error, LinkError::Refused(_) | LinkError::Unwanted(_));
        if news.worth_telling(refused, clock::elapsed()) {
            let attempts = news.attempts;
            match error {
                LinkError::Dial(_) | LinkError::Status(_) if uncertified => {
                    tracing::error!(peer = %self.peer.region, address = %self.peer.address, %reason, "no exchange: a certificate is refused");
                }
                LinkError::Refused(_) | LinkError::Unwanted(_) => {
                    tracing::error!(peer = %self.peer.region, %reason, attempts, "no exchange");
                }
                LinkError::Dial(_)
                | LinkError::Silent
                | LinkError::Status(_)
                | LinkError::Wire(_)
                | LinkError::Encode(_)
                | LinkError::Ended => {
                    tracing::warn!(peer = %self.peer.region, address = %self.peer.address, %reason, attempts, "no link; trying again");
                }
            }
        }
        if uncertified || refused {
            self.metrics.refused_link();
        }
        state.error = Some(reason);
    }

    async fn channel(&self) -> Result<Channel, LinkError> {
        let endpoint = Endpoint::from_shared(self.peer.address.clone())
            .map_err(LinkError::Dial)?
            .connect_timeout(DIAL_MAX)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(KEEPALIVE)
            .keep_alive_timeout(KEEPALIVE)
            .keep_alive_while_idle(true);
        let endpoint = match &self.tls {
            Some(tls) => endpoint
                .tls_config(tls.client(&self.peer.region))
                .map_err(LinkError::Dial)?,
            None => endpoint,
        };
        tokio::time::timeout(DIAL_MAX, endpoint.connect())
            .await
            .map_err(|_| LinkError::Silent)?
            .map_err(LinkError::Dial)
    }

    async fn link(&self, hello: Hello, was_up: &mut bool) -> Result<std::convert::Infallible, LinkError> {
        let channel = self.channel().await?;
        let mut client = ReplicationServiceClient::new(channel)
            .max_decoding_message_size(GRPC_BYTES_MAX)
            .max_encoding_message_size(GRPC_BYTES_MAX);
        let (frames, outgoing) = mpsc::channel(FRAMES_MAX);
        let greeted = async {
            for frame in wire::encode(&hello)? {
                frames.send(frame).await.map_err(|_| LinkError::Ended)?;
            }
            let response = client
                .exchange(ReceiverStream::new(outgoing))
                .await
                .map_err(LinkError::Status)?;
            let mut incoming = response.into_inner();
            let mut reader = Reader::default();
            let welcome = welcome(&mut incoming, &mut reader).await?;
            Ok::<_, LinkError>((incoming, reader, welcome))
        };
        let (incoming, reader, welcome) = tokio::time::timeout(DIAL_MAX, greeted)
            .await
            .map_err(|_| LinkError::Silent)??;
        self.check(&hello, &welcome)?;
        let (sender, messages) = mpsc::channel(LINK_MESSAGES_MAX);
        let link = LinkId::fresh();
        let peer = self.peer.id;
        // Whatever ends this future, the driver hears of it.
        let _down = Down {
            shard: self.shard.clone(),
            peer: self.peer.clone(),
            link,
        };
        self.shard.welcomed(peer, welcome, link, sender).await;
        *was_up = true;
        self.state.lock().unwrap_or_else(PoisonError::into_inner).error = None;
        tracing::info!(peer = %self.peer.region, shard = %self.shard.shard(), "link up: we send");
        tokio::select! {
            ended = send(messages, frames) => ended,
            ended = self.receive(link, incoming, reader) => ended,
        }
    }

    /// The listener must be the region that we meant, and fit, as we must fit it.
    fn check(&self, ours: &Hello, welcome: &Welcome) -> Result<(), LinkError> {
        let theirs = &welcome.hello;
        if theirs.replica.region != self.peer.id || theirs.region != self.peer.region {
            let reason = format!(
                "at {} there is region {:?} with id {}, expected {:?} with id {}",
                self.peer.address, theirs.region, theirs.replica.region, self.peer.region, self.peer.id
            );
            return Err(LinkError::Unwanted(Refusal::Malformed { reason }));
        }
        message::check(theirs, ours).map_err(LinkError::Unwanted)
    }

    async fn receive(
        &self,
        link: LinkId,
        mut incoming: Streaming<Frame>,
        mut reader: Reader,
    ) -> Result<std::convert::Infallible, LinkError> {
        loop {
            let frame = incoming.message().await.map_err(LinkError::Status)?;
            let Some(frame) = frame else {
                return Err(LinkError::Ended);
            };
            if let Some(message) = reader.push::<BackMessage>(&frame)? {
                self.shard.acked(self.peer.id, link, message).await;
            }
        }
    }
}

async fn welcome(incoming: &mut Streaming<Frame>, reader: &mut Reader) -> Result<Welcome, LinkError> {
    loop {
        let frame = incoming.message().await.map_err(LinkError::Status)?;
        match reader.push_answer(&frame.ok_or(LinkError::Ended)?)? {
            Some(Answer::Welcome(welcome)) => return Ok(*welcome),
            Some(Answer::Refusal(refusal)) => return Err(LinkError::Refused(refusal)),
            None => {}
        }
    }
}

/// Sends what the driver gives until it drops its end, or the socket is gone.
async fn send(
    mut messages: mpsc::Receiver<Message>,
    frames: mpsc::Sender<Frame>,
) -> Result<std::convert::Infallible, LinkError> {
    while let Some(message) = messages.recv().await {
        for frame in wire::encode(&message)? {
            frames.send(frame).await.map_err(|_| LinkError::Ended)?;
        }
    }
    Err(LinkError::Ended)
}

/// Tells the driver that a link is down, however its task ended.
struct Down {
    shard: ShardHandle,
    peer: Peer,
    link: LinkId,
}

impl Drop for Down {
    fn drop(&mut self) {
        let (shard, peer, link) = (self.shard.clone(), self.peer.id, self.link);
        // A runtime that is going down has no links to speak of.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move { shard.down(peer, Direction::Out, link).await });
        }
    }
}

/// An error with everything behind it, on one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = match error.source() {
        // `LinkError`'s own words show its source already.
        Some(first) => first.source(),
        None => None,
    };
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_that_stays_down_is_told_of_at_growing_intervals() {
        let mut news = News::default();
        let told: Vec<u64> = (0..200)
            .filter(|second| news.worth_telling(false, Duration::from_secs(*second)))
            .collect();
        assert_eq!(told, [0, 10, 30, 70, 150]);
        assert!(
            news.worth_telling(true, Duration::from_secs(200)),
            "a refusal is news"
        );
        assert!(!news.worth_telling(true, Duration::from_secs(201)));
        let hours = (202..100_000).filter(|s| news.worth_telling(true, Duration::from_secs(*s)));
        assert!(hours.count() < 40);
    }
}
