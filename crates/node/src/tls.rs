//! Certificates: who may speak, and as which region.
//!
//! Between regions both sides show a certificate of the cluster's own authority, and a certificate names its region:
//! a DNS name among its alternative names is the region's name. The dialler checks the listener's for the region that it
//! means to reach, whatever the address; the listener checks the dialler's for the region that its greeting claims. The
//! handshakes of the listener are in `peers::secure`.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rustls::server::WebPkiClientVerifier;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tonic::transport::{Certificate, ClientTlsConfig, Identity, ServerTlsConfig};
use webpki::EndEntityCert;

use crate::config::{MutualTls, ServerTls};

/// A certificate, key or authority that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// No such file, or no right to read it.
    #[error("{path} cannot be read: {source}", path = path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's words.
        source: std::io::Error,
    },
    /// The files hold no usable certificate or key.
    #[error("the certificate, key or authority for {door} cannot be used: {source}")]
    Unusable {
        /// `grpc.tls` or `peer.tls`.
        door: &'static str,
        /// What the library says.
        source: tonic::transport::Error,
    },
    /// The files are there, and do not hold what they should, or do not belong together.
    #[error("{door}: {reason}")]
    Unfit {
        /// `peer.tls`.
        door: &'static str,
        /// Which file, and what is wrong with it.
        reason: String,
    },
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    std::fs::read(path).map_err(|source| TlsError::Unreadable {
        path: path.to_owned(),
        source,
    })
}

/// What the gRPC door shows, and asks of clients.
///
/// # Errors
/// [`TlsError::Unreadable`].
pub fn door(files: &ServerTls) -> Result<ServerTlsConfig, TlsError> {
    let identity = Identity::from_pem(read(&files.cert)?, read(&files.key)?);
    let config = ServerTlsConfig::new().identity(identity);
    Ok(match &files.client_ca {
        Some(ca) => config.client_ca_root(Certificate::from_pem(read(ca)?)),
        None => config,
    })
}

/// What the RESP door shows, and asks of clients.
///
/// # Errors
/// [`TlsError::Unreadable`], [`TlsError::Unfit`].
pub fn resp(files: &ServerTls) -> Result<Arc<rustls::ServerConfig>, TlsError> {
    let refused = |reason: String| TlsError::Unfit {
        door: "resp.tls",
        reason,
    };
    let pem = |e: rustls_pki_types::pem::Error| refused(e.to_string());
    let chain: Vec<_> = CertificateDer::pem_slice_iter(&read(&files.cert)?)
        .collect::<Result<_, _>>()
        .map_err(pem)?;
    let key = PrivateKeyDer::from_pem_slice(&read(&files.key)?).map_err(pem)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|e| refused(e.to_string()))?;
    let builder = match &files.client_ca {
        None => builder.with_no_client_auth(),
        Some(ca) => {
            let mut roots = rustls::RootCertStore::empty();
            for certificate in CertificateDer::pem_slice_iter(&read(ca)?) {
                let added = roots.add(certificate.map_err(pem)?);
                added.map_err(|e| refused(e.to_string()))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            builder.with_client_cert_verifier(verifier.build().map_err(|e| refused(e.to_string()))?)
        }
    };
    let config = builder.with_single_cert(chain, key);
    config.map(Arc::new).map_err(|e| refused(e.to_string()))
}

/// Both sides of links between regions, as the files are now.
///
/// Certificates are renewed by replacing files, and a node is not restarted for it: each new link reads them again. Files
/// that do not go together (a certificate whose key is not there yet) are reported once, and the ones before stay in use.
#[derive(Clone, Debug)]
pub struct PeerTls {
    files: Arc<MutualTls>,
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    loaded: Arc<Loaded>,
    /// What could not be used, so that it is reported once.
    reported: Option<String>,
}

/// What the files held when they were read.
#[derive(Clone, PartialEq, Eq)]
struct Pem {
    cert: Vec<u8>,
    key: Vec<u8>,
    ca: Vec<u8>,
}

impl std::fmt::Debug for Pem {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Pem")
    }
}

#[derive(Debug)]
struct Loaded {
    pem: Pem,
    server: Arc<rustls::ServerConfig>,
}

impl Loaded {
    fn read(files: &MutualTls) -> Result<Pem, TlsError> {
        Ok(Pem {
            cert: read(&files.cert)?,
            key: read(&files.key)?,
            ca: read(&files.ca)?,
        })
    }

    fn build(pem: Pem) -> Result<Self, TlsError> {
        let unfit = |reason: String| TlsError::Unfit {
            door: "peer.tls",
            reason,
        };
        let chain: Vec<_> = CertificateDer::pem_slice_iter(&pem.cert)
            .collect::<Result<_, _>>()
            .map_err(|e| unfit(format!("cert: {e}")))?;
        let key = PrivateKeyDer::from_pem_slice(&pem.key).map_err(|e| unfit(format!("key: {e}")))?;
        let mut roots = rustls::RootCertStore::empty();
        for root in CertificateDer::pem_slice_iter(&pem.ca) {
            let root = root.map_err(|e| unfit(format!("ca: {e}")))?;
            roots.add(root).map_err(|e| unfit(format!("ca: {e}")))?;
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
            .build()
            .map_err(|e| unfit(format!("ca: {e}")))?;
        let mut server = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|e| unfit(e.to_string()))?
            .with_client_cert_verifier(verifier)
            .with_single_cert(chain, key)
            .map_err(|e| unfit(format!("cert and key: {e}")))?;
        server.alpn_protocols = vec![b"h2".to_vec()];
        Ok(Loaded {
            pem,
            server: Arc::new(server),
        })
    }
}

impl PeerTls {
    /// Reads the files.
    ///
    /// # Errors
    /// [`TlsError::Unreadable`], [`TlsError::Unfit`].
    pub fn read(files: &MutualTls) -> Result<Self, TlsError> {
        let loaded = Arc::new(Loaded::build(Loaded::read(files)?)?);
        Ok(PeerTls {
            files: Arc::new(files.clone()),
            state: Arc::new(Mutex::new(State {
                loaded,
                reported: None,
            })),
        })
    }

    /// What the files hold now, or held last when they could be used.
    fn current(&self) -> Arc<Loaded> {
        let found = Loaded::read(&self.files);
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let built = match found {
            Ok(pem) if pem == state.loaded.pem => {
                state.reported = None;
                return Arc::clone(&state.loaded);
            }
            Ok(pem) => Loaded::build(pem),
            Err(error) => Err(error),
        };
        match built {
            Ok(loaded) => {
                tracing::info!(cert = %self.files.cert.display(), "certificates of links were replaced; new links use them");
                state.loaded = Arc::new(loaded);
                state.reported = None;
            }
            Err(error) => {
                let error = error.to_string();
                if state.reported.as_ref() != Some(&error) {
                    tracing::error!(%error, "replaced certificates cannot be used; the ones before stay in use");
                    state.reported = Some(error);
                }
            }
        }
        Arc::clone(&state.loaded)
    }

    /// For the listener: peers must show a certificate of the authority.
    pub fn server(&self) -> Arc<rustls::ServerConfig> {
        Arc::clone(&self.current().server)
    }

    /// For dialling `region`: its certificate must name it.
    pub fn client(&self, region: &str) -> ClientTlsConfig {
        let pem = &self.current().pem;
        ClientTlsConfig::new()
            .identity(Identity::from_pem(&pem.cert, &pem.key))
            .ca_certificate(Certificate::from_pem(&pem.ca))
            .domain_name(region)
    }
}

/// Is TLS the reason of this failure: a certificate, or its lack?
pub fn is_refusal(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        let inner = error
            .downcast_ref::<std::io::Error>()
            .and_then(std::io::Error::get_ref);
        if error.is::<rustls::Error>()
            || inner.is_some_and(<dyn std::error::Error + Send + Sync>::is::<rustls::Error>)
        {
            return true;
        }
        next = error.source();
    }
    false
}

/// Does the certificate (DER) name this region? That it is of the right authority was checked in the handshake.
pub fn names_region(certificate: &[u8], region: &str) -> bool {
    let der = certificate.into();
    let Ok(certificate) = EndEntityCert::try_from(&der) else {
        return false;
    };
    certificate
        .valid_dns_names()
        .any(|name| name.eq_ignore_ascii_case(region))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_speaks_for_the_regions_it_names_and_no_others() {
        let key = rcgen::KeyPair::generate().unwrap();
        let names = vec!["us-central1".to_owned(), "*.example.org".to_owned()];
        let certificate = rcgen::CertificateParams::new(names)
            .unwrap()
            .self_signed(&key)
            .unwrap();
        let der = certificate.der().to_vec();
        assert!(names_region(&der, "us-central1"));
        assert!(names_region(&der, "US-Central1"));
        assert!(!names_region(&der, "us-central"));
        assert!(!names_region(&der, "eu.example.org"), "a region is named in full");
        assert!(!names_region(b"no certificate", "us-central1"));
    }
}
