//! TLS towards upstream: SNI, full verification, resumption.

use std::path::Path;
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{CertificateError, CipherSuite, ClientConfig, RootCertStore, SupportedCipherSuite};

use crate::config::{BaseUrl, Upstream, UpstreamProtocol};

/// TLS sessions remembered; upstreams send several tickets a handshake.
const SESSIONS: usize = 256;

/// Why there is no TLS towards upstream.
#[derive(Debug, thiserror::Error)]
pub enum TlsSetupError {
    /// The additional certificates cannot be read.
    #[error("upstream.ca_file {path}: {message}")]
    CaFile {
        /// The file.
        path: String,
        /// Why.
        message: String,
    },
    /// The host cannot be verified against a certificate.
    #[error("upstream.base_url: {0:?} is no name a certificate can be for")]
    Name(String),
    /// rustls refuses the combination.
    #[error("TLS cannot be set up: {0}")]
    Rustls(#[from] rustls::Error),
}

/// What a connection needs to become encrypted.
#[derive(Clone, Debug)]
pub struct ClientTls {
    /// rustls' configuration, with this worker's session cache.
    pub config: Arc<ClientConfig>,
    /// The same for a connection that has to speak HTTP/1.1, whatever others do.
    pub http1: Arc<ClientConfig>,
    /// The name sent as SNI and verified.
    pub name: ServerName<'static>,
}

/// h2's name in ALPN.
pub const H2: &[u8] = b"h2";

impl ClientTls {
    /// The configuration for a connection that is to speak this protocol.
    pub const fn of(&self, protocol: UpstreamProtocol) -> &Arc<ClientConfig> {
        match protocol {
            UpstreamProtocol::Http1 => &self.http1,
            UpstreamProtocol::Http2 => &self.config,
        }
    }
}

/// The certificates upstream's are verified against: the public web's, and the
/// configured file's.
///
/// # Errors
/// If the file cannot be read or holds no certificate.
pub fn roots(ca_file: Option<&Path>) -> Result<RootCertStore, TlsSetupError> {
    let mut roots = RootCertStore::empty();
    roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    let Some(path) = ca_file else {
        return Ok(roots);
    };
    let fail = |message: String| TlsSetupError::CaFile {
        path: path.display().to_string(),
        message,
    };
    let certificates = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| fail(error.to_string()))?;
    if certificates.is_empty() {
        return Err(fail("it holds no certificate".to_owned()));
    }
    for certificate in certificates {
        roots
            .add(certificate)
            .map_err(|error| fail(error.to_string()))?;
    }
    Ok(roots)
}

/// The TLS settings of one worker, or none for a plain upstream.
///
/// # Errors
/// If certificates or name cannot be used.
pub fn client(upstream: &Upstream) -> Result<Option<ClientTls>, TlsSetupError> {
    let ca_file = upstream.ca_file.as_deref();
    client_to(&upstream.base_url, ca_file, upstream.protocol)
}

/// The TLS settings towards any address, or none for a plain one.
///
/// # Errors
/// If certificates or name cannot be used.
pub fn client_to(
    url: &BaseUrl,
    ca_file: Option<&Path>,
    protocol: UpstreamProtocol,
) -> Result<Option<ClientTls>, TlsSetupError> {
    let host = url.host();
    let name =
        ServerName::try_from(host.to_owned()).map_err(|_| TlsSetupError::Name(host.to_owned()))?;
    if !url.tls() {
        return Ok(None);
    }
    let mut provider = rustls::crypto::aws_lc_rs::default_provider();
    prefer_aes_128(&mut provider.cipher_suites);
    let provider = Arc::new(provider);
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots(ca_file)?)
        .with_no_client_auth();
    config.resumption = Resumption::in_memory_sessions(SESSIONS);
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let http1 = Arc::new(config);
    let config = match protocol {
        UpstreamProtocol::Http1 => Arc::clone(&http1),
        UpstreamProtocol::Http2 => {
            let mut config = ClientConfig::clone(&http1);
            config.alpn_protocols = vec![H2.to_vec()];
            Arc::new(config)
        }
    };
    Ok(Some(ClientTls {
        config,
        http1,
        name,
    }))
}

/// AES-128 before AES-256, as browsers and Go ask for it: no attack on either is
/// in sight, and sealing a record takes ten rounds instead of fourteen. What
/// the server prefers is still its own affair.
fn prefer_aes_128(suites: &mut [SupportedCipherSuite]) {
    // The sort is stable: otherwise rustls' order stays.
    suites.sort_by_key(|suite| {
        !matches!(
            suite.suite(),
            CipherSuite::TLS13_AES_128_GCM_SHA256
                | CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
                | CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256
        )
    });
}

/// What a failed handshake was about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HandshakeFailure {
    /// The certificate has expired: when, in seconds of Unix time, where that is known.
    Expired(Option<u64>),
    /// The certificate is not valid yet, by this machine's clock.
    Early(String),
    /// The certificate is not valid otherwise.
    Invalid(String),
    /// Anything else.
    Other(String),
}

/// Reads the reason out of the error of a handshake.
pub fn classify(error: &std::io::Error) -> HandshakeFailure {
    let inner = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match inner {
        Some(rustls::Error::InvalidCertificate(reason)) => match reason {
            CertificateError::Expired => HandshakeFailure::Expired(None),
            CertificateError::ExpiredContext { not_after, .. } => {
                HandshakeFailure::Expired(Some(not_after.as_secs()))
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                HandshakeFailure::Early(reason.to_string())
            }
            other => HandshakeFailure::Invalid(other.to_string()),
        },
        Some(other) => HandshakeFailure::Other(other.to_string()),
        None => HandshakeFailure::Other(error.to_string()),
    }
}
