//! The receiver: one connection and one request for each delivery.
//!
//! They are rare, and a connection that is not kept cannot be stale when money is told of. The request is hyper's.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use http::header::{CONNECTION, HOST};
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::{BodyExt, Collected, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::{TlsConnector, TlsStream};

use crate::config::{self, Dns, ForwardTo, UpstreamProtocol};
use crate::connection::transport::{Socket, Transport};
use crate::upstream::tls::{self, ClientTls, HandshakeFailure, TlsSetupError};
use crate::upstream::{dns, eyeballs};

/// Where deliveries go.
#[derive(Debug)]
pub struct Target {
    forward_to: ForwardTo,
    tls: Option<ClientTls>,
    dns: Dns,
    limit: Duration,
}

/// Why there can be no TLS towards it.
#[derive(Debug, thiserror::Error)]
pub enum TargetSetupError {
    /// The additional certificates cannot be read.
    #[error("webhook.ca_file {path}: {message}")]
    CaFile {
        /// The file.
        path: String,
        /// Why.
        message: String,
    },
    /// The host cannot be verified against a certificate.
    #[error("webhook.forward_to: {0:?} is no name a certificate can be for")]
    Name(String),
    /// rustls refuses the combination.
    #[error("TLS cannot be set up: {0}")]
    Rustls(rustls::Error),
}

/// Why a delivery has not been taken.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// Its name has no address.
    #[error("its name could not be resolved: {0}")]
    Dns(String),
    /// None of its addresses accepted a connection.
    #[error("no connection: {0}")]
    Connect(String),
    /// TLS failed.
    #[error("no TLS: {0}")]
    Tls(String),
    /// The exchange broke off.
    #[error("the exchange broke off: {0}")]
    Http(#[from] hyper::Error),
    /// It answered with something else than 2xx.
    #[error("it answered {0}")]
    Status(u16),
    /// It took too long.
    #[error("it took longer than {}", humantime::format_duration(*.0))]
    Timeout(Duration),
}

impl Target {
    /// The receiver of the configuration.
    ///
    /// # Errors
    /// If certificates or name cannot be used.
    pub fn new(settings: &config::Webhook, dns: &Dns) -> Result<Self, TargetSetupError> {
        let ca_file = settings.ca_file.as_deref();
        Self::at(&settings.forward_to, ca_file, dns, settings.timeout)
    }

    /// Any receiver.
    ///
    /// # Errors
    /// If certificates or name cannot be used.
    pub fn at(
        to: &ForwardTo,
        ca_file: Option<&Path>,
        dns: &Dns,
        limit: Duration,
    ) -> Result<Self, TargetSetupError> {
        Ok(Self {
            tls: tls_of(to, ca_file)?,
            forward_to: to.clone(),
            dns: dns.clone(),
            limit,
        })
    }

    /// Where it is, for people.
    pub fn shown(&self) -> String {
        self.forward_to.to_string()
    }

    /// Hands a delivery over.
    ///
    /// # Errors
    /// If it has not said that it took it.
    pub(super) async fn deliver(&self, fields: HeaderMap, body: Bytes) -> Result<(), TargetError> {
        let answer = self.post(fields, body, 0).await?;
        match answer.status().as_u16() {
            200..300 => Ok(()),
            status => Err(TargetError::Status(status)),
        }
    }

    /// Sends something, and gives what is answered, with its body if that has no more than so many bytes.
    ///
    /// # Errors
    /// If there is no answer.
    pub async fn post(
        &self,
        fields: HeaderMap,
        body: Bytes,
        most: usize,
    ) -> Result<Response<Bytes>, TargetError> {
        let exchange = async {
            let stream = self.open().await?;
            self.exchange(stream, fields, body, most).await
        };
        let ended = timeout(self.limit, exchange).await;
        ended.unwrap_or(Err(TargetError::Timeout(self.limit)))
    }

    /// Connects, for `check`.
    ///
    /// # Errors
    /// Why it cannot be.
    pub async fn connect(&self) -> Result<(), TargetError> {
        let opened = timeout(self.limit, self.open()).await;
        let opened = opened.unwrap_or(Err(TargetError::Timeout(self.limit)));
        opened.map(drop)
    }

    async fn open(&self) -> Result<Transport, TargetError> {
        let resolved = dns::resolve_once(&self.forward_to.url, &self.dns).await;
        let addresses = resolved.map_err(TargetError::Dns)?;
        let connect = |address: SocketAddr| async move {
            let stream = TcpStream::connect(address).await?;
            Socket::new(stream)
        };
        let socket = eyeballs::race(&addresses, connect, |_| {}).await;
        let socket = socket.map_err(TargetError::Connect)?;
        let Some(tls) = &self.tls else {
            return Ok(Transport::Plain(socket));
        };
        let connector = TlsConnector::from(Arc::clone(&tls.http1));
        let stream = connector.connect(tls.name.clone(), socket).await;
        let stream = stream.map_err(|error| TargetError::Tls(reason(&error)))?;
        Ok(Transport::Tls(Box::new(TlsStream::Client(stream))))
    }

    async fn exchange(
        &self,
        stream: Transport,
        fields: HeaderMap,
        body: Bytes,
        most: usize,
    ) -> Result<Response<Bytes>, TargetError> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = http::Method::POST;
        // It was part of a URL, and so is the authority.
        *request.uri_mut() = self.forward_to.path.parse().unwrap_or_default();
        *request.headers_mut() = fields;
        let host = HeaderValue::try_from(self.forward_to.url.authority());
        if let Ok(host) = host {
            request.headers_mut().insert(HOST, host);
        }
        let close = HeaderValue::from_static("close");
        request.headers_mut().insert(CONNECTION, close);
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let mut connection = std::pin::pin!(connection);
        let mut response = std::pin::pin!(async {
            let (head, body) = sender.send_request(request).await?.into_parts();
            // What cannot be read is as good as nothing: the status has been heard.
            let body = match most {
                0 => None,
                most => Limited::new(body, most).collect().await.ok(),
            };
            let body = body.map_or_else(Bytes::new, Collected::to_bytes);
            Ok::<_, hyper::Error>(Response::from_parts(head, body))
        });
        let mut has_ended = false;
        loop {
            tokio::select! {
                biased;
                response = &mut response => return Ok(response?),
                // The answer may have come with the end.
                ended = &mut connection, if !has_ended => {
                    ended?;
                    has_ended = true;
                }
            }
        }
    }
}

fn tls_of(to: &ForwardTo, ca_file: Option<&Path>) -> Result<Option<ClientTls>, TargetSetupError> {
    let made = tls::client_to(&to.url, ca_file, UpstreamProtocol::Http1);
    made.map_err(|error| match error {
        TlsSetupError::CaFile { path, message } => TargetSetupError::CaFile { path, message },
        TlsSetupError::Name(name) => TargetSetupError::Name(name),
        TlsSetupError::Rustls(error) => TargetSetupError::Rustls(error),
    })
}

fn reason(error: &std::io::Error) -> String {
    match tls::classify(error) {
        HandshakeFailure::Expired(_) => "its certificate has expired".to_owned(),
        HandshakeFailure::Early(reason) | HandshakeFailure::Invalid(reason) => {
            format!("its certificate is not valid: {reason}")
        }
        HandshakeFailure::Other(reason) => reason,
    }
}
