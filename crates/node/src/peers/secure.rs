//! The listener's side of TLS between regions.
//!
//! Handshakes happen here, and not inside the gRPC server, for two reasons: each uses the certificates as they are at
//! that moment, so that they can be replaced while the node runs; and one that fails is said and counted, which is how
//! an operator learns that a region has the wrong certificate. A handshake is bounded in time, all of them in number.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;

use crate::metrics::Metrics;
use crate::tls::PeerTls;

/// How long a handshake may take.
const HANDSHAKE_MAX: Duration = Duration::from_secs(5);

/// Handshakes at a time; further connections wait in the system's queue.
const HANDSHAKES_MAX: usize = 32;

/// Connections between their handshake and the server.
const READY_MAX: usize = 8;

/// After a failed `accept` (out of file descriptors, say).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Connections of peers that have shown a certificate of the authority, until `stop`.
pub(crate) fn incoming(
    listener: TcpListener,
    tls: PeerTls,
    metrics: Arc<Metrics>,
    stop: CancellationToken,
) -> ReceiverStream<io::Result<TlsStream<TcpStream>>> {
    let (ready, connections) = mpsc::channel(READY_MAX);
    tokio::spawn(async move {
        let handshakes = Arc::new(Semaphore::new(HANDSHAKES_MAX));
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = stop.cancelled() => return,
            };
            let (stream, from) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "a peer's connection was not accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let Ok(permit) = Arc::clone(&handshakes).acquire_owned().await else {
                return;
            };
            let acceptor = TlsAcceptor::from(tls.server());
            let (ready, metrics) = (ready.clone(), Arc::clone(&metrics));
            tokio::spawn(async move {
                let _ = stream.set_nodelay(true);
                let shaken = tokio::time::timeout(HANDSHAKE_MAX, acceptor.accept(stream)).await;
                drop(permit);
                match shaken {
                    Ok(Ok(stream)) => {
                        // The server has ended: so does the connection.
                        let _ = ready.send(Ok(stream)).await;
                    }
                    Ok(Err(error)) => refused(&metrics, from, &error),
                    Err(_) => tracing::debug!(%from, "a handshake took too long"),
                }
            });
        }
    });
    ReceiverStream::new(connections)
}

fn refused(metrics: &Metrics, from: std::net::SocketAddr, error: &io::Error) {
    if crate::tls::is_refusal(error) {
        tracing::error!(%from, reason = %error, "no exchange: a peer's certificate, or its lack, is refused");
        metrics.refused_link();
    } else {
        // Health checks connect and go; a peer that gives up says why itself.
        tracing::debug!(%from, reason = %error, "a handshake was broken off");
    }
}
