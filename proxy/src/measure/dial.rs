//! New connections to a target, timed step by step: name, TCP, TLS.
//!
//! As an application's first connection, nothing is remembered: not the name's addresses, no TLS session. Names are looked up
//! as `getaddrinfo` does, by the search list of `resolv.conf`, so that short names of Services work and cost what they cost everybody.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hickory_resolver::TokioResolver;
use hickory_resolver::config::LookupIpStrategy;
use hickory_resolver::net::NetError;
use rustls::ClientConfig;
use rustls::client::Resumption;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::MeasureError;
use super::sample::Failure;
use crate::config::BaseUrl;
use crate::upstream::eyeballs;
use crate::upstream::tls::{self, HandshakeFailure, TlsSetupError};

/// What bytes go through, encrypted or not.
pub(super) type Stream = Box<dyn ReadWrite>;
/// See [`Stream`].
pub(super) trait ReadWrite: AsyncRead + AsyncWrite + Unpin {}
impl<T: AsyncRead + AsyncWrite + Unpin> ReadWrite for T {}

/// How long each step took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Handshake {
    /// Looking the name up; none for an address.
    pub(super) name: Option<Duration>,
    /// Until TCP was established.
    pub(super) connect: Duration,
    /// The whole TLS handshake; none without.
    pub(super) tls: Option<Duration>,
}

impl Handshake {
    /// All of it.
    pub(super) fn all(&self) -> Duration {
        self.name.unwrap_or_default() + self.connect + self.tls.unwrap_or_default()
    }
}

/// A new connection.
pub(super) struct Dialled {
    pub(super) stream: Stream,
    /// The same socket once more, to ask for its `TCP_INFO`.
    pub(super) socket: OwnedFd,
    pub(super) handshake: Handshake,
}

/// Opens connections to one target.
pub(super) struct Dialer {
    host: String,
    port: u16,
    tls: Option<(TlsConnector, ServerName<'static>)>,
}

impl Dialer {
    /// For a base URL; certificates are verified against the public web's, and those of the file.
    ///
    /// # Errors
    /// If the file or the name cannot be used.
    pub(super) fn new(url: &BaseUrl, ca_file: Option<&Path>) -> Result<Self, MeasureError> {
        let host = url.host().to_owned();
        let tls = match url.tls() {
            true => {
                let name = ServerName::try_from(host.clone())
                    .map_err(|_| MeasureError::Name(host.clone()))?;
                Some((TlsConnector::from(client_config(ca_file)?), name))
            }
            false => None,
        };
        Ok(Self {
            host,
            port: url.port(),
            tls,
        })
    }

    /// Opens one.
    ///
    /// # Errors
    /// Which step failed, and why.
    pub(super) async fn dial(&self) -> Result<Dialled, Failure> {
        let begun = Instant::now();
        let (addresses, name) = match self.host.parse::<IpAddr>() {
            Ok(ip) => (vec![SocketAddr::new(ip, self.port)], None),
            Err(_) => {
                let addresses = self.resolve().await.map_err(Failure::Name)?;
                (addresses, Some(begun.elapsed()))
            }
        };
        let begun = Instant::now();
        let stream = eyeballs::race(&addresses, TcpStream::connect, |_| {}).await;
        let stream = stream.map_err(Failure::Connect)?;
        let connect = begun.elapsed();
        let told = |error: io::Error| Failure::Connect(error.to_string());
        stream.set_nodelay(true).map_err(told)?;
        let socket = stream.as_fd().try_clone_to_owned().map_err(told)?;
        let (stream, tls): (Stream, _) = match &self.tls {
            None => (Box::new(stream), None),
            Some((connector, name)) => {
                let begun = Instant::now();
                let stream = connector.connect(name.clone(), stream).await;
                let stream = stream.map_err(|error| Failure::Tls(reason(&error)))?;
                (Box::new(stream), Some(begun.elapsed()))
            }
        };
        Ok(Dialled {
            stream,
            socket,
            handshake: Handshake { name, connect, tls },
        })
    }

    /// IPv4 first: most clusters have nothing else, and the race goes on to the others.
    async fn resolve(&self) -> Result<Vec<SocketAddr>, String> {
        let unusable = |error: NetError| format!("resolv.conf cannot be used: {error}");
        let mut builder = TokioResolver::builder_tokio().map_err(unusable)?;
        let options = builder.options_mut();
        options.cache_size = 0;
        options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
        let resolver = builder.build().map_err(unusable)?;
        let found = resolver.lookup_ip(self.host.as_str()).await;
        let found = found.map_err(|error| match error {
            _ if error.is_nx_domain() => format!("{} does not exist", self.host),
            NetError::Timeout => "the name servers did not answer in time".to_owned(),
            other => format!("{}: {other}", self.host),
        })?;
        let addresses = found.iter().map(|ip| SocketAddr::new(ip, self.port));
        Ok(addresses.collect())
    }
}

fn client_config(ca_file: Option<&Path>) -> Result<Arc<ClientConfig>, MeasureError> {
    let roots = tls::roots(ca_file).map_err(|error| match error {
        TlsSetupError::CaFile { path, message } => MeasureError::CaFile { path, message },
        other => MeasureError::Tls(other),
    })?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| MeasureError::Tls(error.into()))?;
    let mut config = config.with_root_certificates(roots).with_no_client_auth();
    config.resumption = Resumption::disabled();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn reason(error: &io::Error) -> String {
    match tls::classify(error) {
        HandshakeFailure::Expired(_) => "the certificate has expired".to_owned(),
        HandshakeFailure::Early(reason)
        | HandshakeFailure::Invalid(reason)
        | HandshakeFailure::Other(reason) => reason,
    }
}
