//! Certificates: who may speak, and as which region.
//!
//! Between regions both sides show a certificate of the cluster's own authority, and a certificate names its region:
//! a DNS name among its alternative names is the region's name. The dialler checks the listener's for the region that it
//! means to reach, whatever the address; the listener checks the dialler's for the region that its greeting claims.

use std::path::{Path, PathBuf};
use std::sync::Arc;

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
    /// The same, of the RESP door.
    #[error("the certificate, key or authority for {door} cannot be used: {reason}")]
    Refused {
        /// `resp.tls`.
        door: &'static str,
        /// What the library says.
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
/// [`TlsError::Unreadable`], [`TlsError::Refused`].
pub fn resp(files: &ServerTls) -> Result<Arc<rustls::ServerConfig>, TlsError> {
    let refused = |reason: String| TlsError::Refused {
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
            let verifier =
                rustls::server::WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            builder.with_client_cert_verifier(verifier.build().map_err(|e| refused(e.to_string()))?)
        }
    };
    let config = builder.with_single_cert(chain, key);
    config.map(Arc::new).map_err(|e| refused(e.to_string()))
}

/// Both sides of links between regions.
#[derive(Clone, Debug)]
pub struct PeerTls {
    identity: Identity,
    ca: Certificate,
}

impl PeerTls {
    /// Reads the files.
    ///
    /// # Errors
    /// [`TlsError::Unreadable`].
    pub fn read(files: &MutualTls) -> Result<Self, TlsError> {
        Ok(PeerTls {
            identity: Identity::from_pem(read(&files.cert)?, read(&files.key)?),
            ca: Certificate::from_pem(read(&files.ca)?),
        })
    }

    /// For the listener: peers must show a certificate of the authority.
    pub fn server(&self) -> ServerTlsConfig {
        ServerTlsConfig::new()
            .identity(self.identity.clone())
            .client_ca_root(self.ca.clone())
    }

    /// For dialling `region`: its certificate must name it.
    pub fn client(&self, region: &str) -> ClientTlsConfig {
        ClientTlsConfig::new()
            .identity(self.identity.clone())
            .ca_certificate(self.ca.clone())
            .domain_name(region)
    }
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
