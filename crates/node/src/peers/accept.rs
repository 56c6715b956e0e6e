//! Incoming links: peers dial, greet, and send.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use cartograph_crdt::RegionId;
use cartograph_proto::v1::Frame;
use cartograph_proto::v1::replication_service_server::{ReplicationService, ReplicationServiceServer};
use cartograph_proto::wire::{self, Answer, GRPC_BYTES_MAX, Reader};
use cartograph_replica::exchange::Direction;
use cartograph_replica::message::{BackMessage, Hello, Message, Refusal, Welcome};
use tokio::sync::mpsc;
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use crate::driver::{LINK_MESSAGES_MAX, LinkId, ShardHandle};
use crate::metrics::Metrics;
use crate::tls::names_region;

/// How long a peer may take for its greeting.
const GREETING_MAX: Duration = Duration::from_secs(5);

/// Frames between a link and its socket.
const FRAMES_MAX: usize = 4;

/// Serves `cartograph.v1.ReplicationService`.
#[derive(Clone)]
pub struct Accept {
    shards: Vec<ShardHandle>,
    /// Peers show certificates, which must name the region that the greeting claims.
    certified: bool,
    metrics: Arc<Metrics>,
}

impl Accept {
    /// The service, with its message bounds set. With `certified` peers must have shown a certificate.
    pub fn service(
        shards: Vec<ShardHandle>,
        certified: bool,
        metrics: Arc<Metrics>,
    ) -> ReplicationServiceServer<Accept> {
        let accept = Accept {
            shards,
            certified,
            metrics,
        };
        ReplicationServiceServer::new(accept)
            .max_decoding_message_size(GRPC_BYTES_MAX)
            .max_encoding_message_size(GRPC_BYTES_MAX)
    }
}

type Frames = Pin<Box<dyn Stream<Item = Result<Frame, Status>> + Send>>;

#[tonic::async_trait]
impl ReplicationService for Accept {
    type ExchangeStream = Frames;

    async fn exchange(&self, request: Request<Streaming<Frame>>) -> Result<Response<Frames>, Status> {
        let certificate = match request.peer_certs() {
            Some(certificates) => certificates.first().map(|c| c.as_ref().to_vec()),
            None => None,
        };
        let (frames, outgoing) = mpsc::channel(FRAMES_MAX);
        let link = Incoming {
            accept: self.clone(),
            certificate,
            frames,
        };
        tokio::spawn(link.run(request.into_inner()));
        Ok(Response::new(Box::pin(ReceiverStream::new(outgoing))))
    }
}

struct Incoming {
    accept: Accept,
    certificate: Option<Vec<u8>>,
    frames: mpsc::Sender<Result<Frame, Status>>,
}

impl Incoming {
    async fn run(self, incoming: Streaming<Frame>) {
        if let Err(status) = self.exchange(incoming).await {
            let _ = self.frames.send(Err(status)).await;
        }
    }

    async fn exchange(&self, mut incoming: Streaming<Frame>) -> Result<(), Status> {
        let mut reader = Reader::default();
        let hello = tokio::time::timeout(GREETING_MAX, next::<Hello>(&mut incoming, &mut reader))
            .await
            .map_err(|_| Status::deadline_exceeded("no greeting came"))??
            .ok_or_else(|| Status::invalid_argument("the stream ended before its greeting"))?;
        let peer = hello.replica.region;
        let name = hello.region.clone();
        if let Some(refusal) = self.misnamed(&hello) {
            return self.refuse(&name, refusal).await;
        }
        let shard = self.accept.shards.iter().find(|s| s.shard() == hello.shard);
        let shard =
            shard.ok_or_else(|| Status::invalid_argument(format!("there is no shard {}", hello.shard)))?;
        let (sender, messages) = mpsc::channel(LINK_MESSAGES_MAX);
        let link = LinkId::fresh();
        let ours = match shard.admit(hello, link, sender).await {
            None => return Err(Status::unavailable("this region's store is not ready")),
            Some(Err(refusal)) => return self.refuse(&name, refusal).await,
            Some(Ok(ours)) => ours,
        };
        let welcome = Answer::Welcome(Box::new(Welcome { hello: ours }));
        tracing::info!(peer = %name, shard = %shard.shard(), "link up: we receive");
        let result = tokio::select! {
            result = self.receive(shard, peer, link, &mut incoming, &mut reader) => result,
            result = self.send(&welcome, messages) => result,
        };
        shard.down(peer, Direction::In, link).await;
        let reason = result
            .as_ref()
            .err()
            .map_or("the peer closed it", |s| s.message());
        tracing::info!(peer = %name, reason, "link down: we receive no more");
        result
    }

    /// Does the certificate name another region than the greeting?
    fn misnamed(&self, hello: &Hello) -> Option<Refusal> {
        let named = self
            .certificate
            .as_ref()
            .is_some_and(|c| names_region(c, &hello.region));
        (self.accept.certified && !named).then(|| Refusal::Malformed {
            reason: format!("its certificate does not name region {:?}", hello.region),
        })
    }

    async fn refuse(&self, name: &str, refusal: Refusal) -> Result<(), Status> {
        tracing::error!(peer = %name, reason = %refusal, "no exchange: a peer's greeting is refused");
        self.accept.metrics.refused_link();
        for frame in Answer::Refusal(refusal).encode().map_err(|e| internal(&e))? {
            let _ = self.frames.send(Ok(frame)).await;
        }
        Ok(())
    }

    async fn receive(
        &self,
        shard: &ShardHandle,
        peer: RegionId,
        link: LinkId,
        incoming: &mut Streaming<Frame>,
        reader: &mut Reader,
    ) -> Result<(), Status> {
        while let Some(message) = next::<Message>(incoming, reader).await.inspect_err(|status| {
            if status.code() == tonic::Code::InvalidArgument {
                self.accept.metrics.protocol_error();
            }
        })? {
            shard.received(peer, link, message).await;
        }
        Ok(())
    }

    async fn send(&self, welcome: &Answer, mut messages: mpsc::Receiver<BackMessage>) -> Result<(), Status> {
        for frame in welcome.encode().map_err(|e| internal(&e))? {
            self.put(frame).await?;
        }
        while let Some(message) = messages.recv().await {
            for frame in wire::encode(&message).map_err(|e| internal(&e))? {
                self.put(frame).await?;
            }
        }
        Err(Status::aborted("this region closed the link: greet anew"))
    }

    async fn put(&self, frame: Frame) -> Result<(), Status> {
        let sent = self.frames.send(Ok(frame)).await;
        sent.map_err(|_| Status::cancelled("the peer is gone"))
    }
}

fn internal(error: &cartograph_crdt::codec::Error) -> Status {
    Status::internal(format!("a message cannot be sent: {error}"))
}

async fn next<M: cartograph_replica::message::Wire>(
    incoming: &mut Streaming<Frame>,
    reader: &mut Reader,
) -> Result<Option<M>, Status> {
    while let Some(frame) = incoming.message().await? {
        match reader.push::<M>(&frame) {
            Ok(None) => {}
            Ok(message) => return Ok(message),
            Err(error) => return Err(Status::invalid_argument(error.to_string())),
        }
    }
    Ok(None)
}
