//! Where requests go, and how a connection there is opened.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Result, ensure};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpSocket;
use tokio_rustls::TlsConnector;

use super::{multiplexed, request};

/// A client's connection, with or without TLS.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// Where requests go, and what must come back.
#[derive(Clone)]
pub(crate) struct Target {
    pub(super) address: SocketAddr,
    pub(super) tls: Option<TlsConnector>,
    pub(super) request: Arc<[u8]>,
    /// How an AI gateway wants requests, if it is one.
    pub(super) gateway: Option<Arc<str>>,
    /// Length of the body that a correct answer has, in bytes.
    pub(super) body_length: u64,
    /// Whether h2 is spoken: with prior knowledge, or chosen in the TLS handshake.
    pub(super) http2: bool,
}

impl Target {
    /// Plain HTTP to a port on loopback.
    pub(crate) fn plain(port: u16) -> Self {
        Self {
            address: (Ipv4Addr::LOCALHOST, port).into(),
            tls: None,
            request: request::chat_completion(port, "keep-alive").into(),
            gateway: None,
            body_length: crate::upstream::answer::COMPLETION_LENGTH,
            http2: false,
        }
    }

    /// TLS to a server that has a certificate for `localhost`, wherever it is.
    ///
    /// # Errors
    /// When the certificate authority cannot be read.
    pub(crate) fn tls(address: SocketAddr, ca: &Path) -> Result<Self> {
        let mut roots = rustls::RootCertStore::empty();
        for certificate in CertificateDer::pem_file_iter(ca)? {
            roots.add(certificate?)?;
        }
        let config = rustls::ClientConfig::builder()
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self {
            address,
            tls: Some(TlsConnector::from(Arc::new(config))),
            ..Self::plain(address.port())
        })
    }

    /// The same by h2.
    pub(crate) fn over_http2(self) -> Self {
        let tls = self.tls.map(|connector| {
            let mut config = rustls::ClientConfig::clone(connector.config());
            config.alpn_protocols = vec![b"h2".to_vec()];
            TlsConnector::from(Arc::new(config))
        });
        Self {
            tls,
            http2: true,
            ..self
        }
    }

    /// The same with requests that have this key.
    pub(crate) fn with_key(self, key: &str) -> Self {
        let request = String::from_utf8_lossy(&self.request);
        let request = request.replacen("Bearer client\r\n", &format!("Bearer {key}\r\n"), 1);
        Self {
            request: request.into_bytes().into(),
            ..self
        }
    }

    /// Opens a connection by way of this socket, with TLS if it wants that.
    ///
    /// # Errors
    /// When it cannot be reached, or is not whom its certificate should name.
    pub(crate) async fn connect(&self, socket: TcpSocket) -> Result<Box<dyn Stream>> {
        let stream = socket.connect(self.address).await?;
        Ok(match &self.tls {
            Some(tls) => Box::new(tls.connect(Self::server_name()?, stream).await?),
            None => Box::new(stream),
        })
    }

    /// Whether somebody accepts connections there; nothing is sent.
    ///
    /// # Errors
    /// When nobody does.
    pub(crate) async fn reach(&self) -> Result<()> {
        socket()?.connect(self.address).await?;
        Ok(())
    }

    /// The request as h2 sends it.
    ///
    /// # Errors
    /// Never.
    pub(super) fn message(&self) -> Result<multiplexed::Message> {
        let scheme = match self.tls {
            Some(_) => "https",
            None => "http",
        };
        multiplexed::Message::of(&self.request, scheme)
    }

    /// Whether an answer's body is as long as it should be.
    ///
    /// # Errors
    /// When it is not.
    pub(super) fn check_length(&self, length: u64) -> Result<()> {
        let wanted = self.body_length;
        ensure!(
            length == wanted,
            "a body of {length} bytes instead of {wanted}"
        );
        Ok(())
    }

    /// Its port.
    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    /// The name in its certificate.
    ///
    /// # Errors
    /// Never.
    pub(super) fn server_name() -> Result<ServerName<'static>> {
        Ok(ServerName::try_from("localhost")?)
    }
}

/// A socket for [`Target::connect`] that sends at once.
///
/// # Errors
/// When the system gives none.
pub(crate) fn socket() -> std::io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.set_nodelay(true)?;
    Ok(socket)
}
