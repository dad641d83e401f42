//! TLS towards clients: the listener's certificate, replaced when its file changes.

use std::path::Path;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio_rustls::{LazyConfigAcceptor, StartHandshake, TlsAcceptor};

use crate::config::TlsListen;
use crate::connection::transport::Socket;
use crate::upstream::Expiry;

/// Why a listener has no certificate.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// A file cannot be read or holds no PEM.
    #[error("{field} {path}: {message}")]
    File {
        /// The setting.
        field: &'static str,
        /// The file.
        path: String,
        /// Why.
        message: String,
    },
    /// Certificate and key do not belong together, or cannot be used.
    #[error("tls.certificate and tls.key: {0}")]
    Pair(#[from] rustls::Error),
}

/// Accepts TLS connections with the current certificate.
#[derive(Clone)]
pub struct Acceptor {
    config: Arc<ServerConfig>,
    current: Arc<Current>,
}

impl std::fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Acceptor").finish_non_exhaustive()
    }
}

#[derive(Debug)]
struct Current {
    key: ArcSwap<CertifiedKey>,
    expiry: Expiry,
}

impl Current {
    fn set(&self, key: CertifiedKey) {
        self.expiry.note(&key.cert);
        self.key.store(Arc::new(key));
    }
}

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.key.load_full())
    }
}

impl Acceptor {
    /// Reads the files and prepares to accept.
    ///
    /// # Errors
    /// If they cannot be used.
    pub fn new(listen: &TlsListen) -> Result<Self, CertificateError> {
        let key = load(listen)?;
        let expiry = Expiry::default();
        expiry.note(&key.cert);
        let current = Arc::new(Current {
            key: ArcSwap::from_pointee(key),
            expiry,
        });
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let resolver: Arc<dyn ResolvesServerCert> = Arc::<Current>::clone(&current);
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(resolver);
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        config.ticketer = rustls::crypto::aws_lc_rs::Ticketer::new()?;
        Ok(Self {
            config: Arc::new(config),
            current,
        })
    }

    /// Reads the files again; connections made from now on get the new
    /// certificate. An unusable pair changes nothing.
    ///
    /// # Errors
    /// If the files cannot be used.
    pub fn reload(&self, listen: &TlsListen) -> Result<(), CertificateError> {
        self.current.set(load(listen)?);
        Ok(())
    }

    /// When the current certificate ends, in seconds of Unix time.
    pub fn expiry(&self) -> Option<i64> {
        self.current.expiry.get()
    }

    /// Performs the handshake.
    pub fn accept(&self, socket: Socket) -> tokio_rustls::Accept<Socket> {
        TlsAcceptor::from(Arc::clone(&self.config)).accept(socket)
    }

    /// Reads as far as the client's first message, which tells whom it takes us for.
    pub fn hello(&self, socket: Socket) -> LazyConfigAcceptor<Socket> {
        LazyConfigAcceptor::new(rustls::server::Acceptor::default(), socket)
    }

    /// Performs the rest of a handshake.
    pub fn resume(&self, hello: StartHandshake<Socket>) -> tokio_rustls::Accept<Socket> {
        hello.into_stream(Arc::clone(&self.config))
    }
}

fn load(listen: &TlsListen) -> Result<CertifiedKey, CertificateError> {
    let fail = |field, path: &Path, message: String| CertificateError::File {
        field,
        path: path.display().to_string(),
        message,
    };
    let path = &listen.certificate;
    let chain = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| fail("tls.certificate", path, error.to_string()))?;
    if chain.is_empty() {
        let message = "it holds no certificate".to_owned();
        return Err(fail("tls.certificate", path, message));
    }
    let key = PrivateKeyDer::from_pem_file(&listen.key)
        .map_err(|error| fail("tls.key", &listen.key, error.to_string()))?;
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    Ok(CertifiedKey::from_der(chain, key, &provider)?)
}
