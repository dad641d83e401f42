//! A client of the soak: one connection, HTTP/1.1 or h2, with TLS or without, and one request on it at a time.
//!
//! It is hyper's client and not the bench's own load generator: it costs more, and is known to speak the protocols as they are.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

/// How long an answer may take: longer than any fault and any drain.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long a connection may take to be made, TLS included.
const CONNECT: Duration = Duration::from_secs(10);

/// Where a client connects to, and how.
#[derive(Debug, Clone)]
pub(super) struct Target {
    pub(super) port: u16,
    /// TLS, and what it trusts.
    pub(super) tls: Option<Arc<rustls::ClientConfig>>,
    pub(super) is_h2: bool,
}

/// What came back.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// The proxy's own code, if it is an error of its own.
    pub(super) error: Option<String>,
    /// Whether the body came to its end.
    pub(super) is_complete: bool,
    /// Whether the connection ends with it.
    pub(super) closes: bool,
    pub(super) body: Vec<u8>,
}

enum Sender {
    Http1(http1::SendRequest<Full<Bytes>>),
    Http2(http2::SendRequest<Full<Bytes>>),
}

/// An open connection.
pub(super) struct Connection {
    sender: Sender,
    driver: JoinHandle<()>,
    pub(super) requests: u32,
}

impl Drop for Connection {
    fn drop(&mut self) {
        // With it goes the socket.
        self.driver.abort();
    }
}

/// A request that is under way.
pub(super) struct Exchange<'a> {
    connection: &'a mut Connection,
    response: http::Response<Incoming>,
}

impl Connection {
    /// Connects.
    ///
    /// # Errors
    /// When the proxy does not accept, or TLS or h2 do not come about.
    pub(super) async fn open(target: &Target) -> Result<Self> {
        let open = timeout(CONNECT, Self::try_open(target));
        open.await.context("no connection in time")?
    }

    async fn try_open(target: &Target) -> Result<Self> {
        let stream = tcp(target.port).await?;
        match &target.tls {
            None => Self::over(stream, target.is_h2).await,
            Some(config) => {
                let name = ServerName::try_from("localhost")?;
                let tls = TlsConnector::from(Arc::clone(config));
                Self::over(tls.connect(name, stream).await?, target.is_h2).await
            }
        }
    }

    async fn over<S>(stream: S, is_h2: bool) -> Result<Self>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let io = TokioIo::new(stream);
        // How a connection ends is seen by its requests.
        let (sender, driver) = if is_h2 {
            let (sender, connection) = http2::handshake(TokioExecutor::new(), io).await?;
            let drive = async { drop(connection.await) };
            (Sender::Http2(sender), tokio::spawn(drive))
        } else {
            let (sender, connection) = http1::handshake(io).await?;
            let drive = async { drop(connection.await) };
            (Sender::Http1(sender), tokio::spawn(drive))
        };
        Ok(Self {
            sender,
            driver,
            requests: 0,
        })
    }

    /// Sends a request and waits for the head of its answer.
    ///
    /// # Errors
    /// When there is none.
    pub(super) async fn send(&mut self, request: Request<Full<Bytes>>) -> Result<Exchange<'_>> {
        self.requests += 1;
        let response = timeout(PATIENCE, async {
            match &mut self.sender {
                Sender::Http1(sender) => {
                    sender.ready().await?;
                    sender.send_request(request).await
                }
                Sender::Http2(sender) => {
                    sender.ready().await?;
                    sender.send_request(request).await
                }
            }
        });
        let response = response.await.context("no answer within 30 s")??;
        Ok(Exchange {
            connection: self,
            response,
        })
    }
}

impl Exchange<'_> {
    /// Receives the rest.
    pub(super) async fn finish(self) -> Answer {
        let (head, mut body) = self.response.into_parts();
        let field = |name: &str| {
            let value = head.headers.get(name)?;
            Some(value.to_str().unwrap_or("?").to_owned())
        };
        let mut answer = Answer {
            status: head.status.as_u16(),
            error: field("x-holysheep-error"),
            is_complete: false,
            closes: field("connection").is_some_and(|value| value.eq_ignore_ascii_case("close")),
            body: Vec::new(),
        };
        loop {
            match timeout(PATIENCE, body.frame()).await {
                Ok(None) => {
                    answer.is_complete = true;
                    return answer;
                }
                Ok(Some(Ok(frame))) => {
                    if let Ok(data) = frame.into_data() {
                        answer.body.extend_from_slice(&data);
                    }
                }
                Ok(Some(Err(_))) | Err(_) => {
                    // An HTTP/1.1 connection ends with a body that does not.
                    answer.closes = matches!(self.connection.sender, Sender::Http1(_));
                    return answer;
                }
            }
        }
    }

    /// Receives the first piece of the body and no more; dropping what is left tells the proxy that the client leaves.
    pub(super) async fn leave(mut self) {
        // Whether there was one makes no difference.
        let _ = timeout(PATIENCE, self.response.body_mut().frame()).await;
    }
}

/// A connection to a port of the proxy.
///
/// # Errors
/// When it is not accepted.
pub(super) async fn tcp(port: u16) -> Result<TcpStream> {
    let stream = TcpStream::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}
