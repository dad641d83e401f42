//! Opens connections to upstream: address, TCP, TLS.

use std::borrow::Cow;
use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::TcpSocket;
use tokio::sync::Notify;
use tokio_rustls::{TlsConnector, TlsStream};

use super::certificate::Expiry;
use super::choice::Local;
use super::eyeballs;
use super::last_dial::LastDial;
use super::roster::Roster;
use super::tls::{self, ClientTls, HandshakeFailure};
use crate::config::UpstreamProtocol;
use crate::connection::transport::{Socket, Transport};
use crate::connection::write_buffer::WriteBuffer;
use crate::error::ProxyError;
use crate::http1::{Guarded, Head, ReadBuffer};
use crate::kernel::{Sample, Sockets, Timeline};
use crate::metrics::UpstreamMetrics;

/// First allocation of a connection's read buffer; a typical answer and its head fit.
const READ_BUFFER: usize = 8 * 1024;

/// Shortest time between two looks at a connection's `TCP_INFO`.
const SAMPLE_EVERY: Duration = Duration::from_secs(1);
/// Sockets opened to find one whose place in the kernel's table is free.
const MAX_TRIES: usize = 4;
/// Connecting ends that much before the limit of everything: the kernel counts a
/// connection that nobody waits for any more only if it is given up as failed.
const MARGIN: Duration = Duration::from_millis(10);
/// Pauses between dials ahead of need while they fail: the first, and the longest.
const FIRST_BACKOFF: Duration = Duration::from_millis(100);
const MAX_BACKOFF: Duration = Duration::from_secs(30);

/// Why there is no connection.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConnectError {
    /// The name has no address.
    #[error("{0}")]
    Dns(Arc<str>),
    /// No address accepted a connection: the last one's reason, and how many were tried.
    #[error("{0}")]
    Tcp(String),
    /// The certificate has expired.
    #[error("the certificate has expired")]
    CertificateExpired,
    /// The certificate is not valid otherwise.
    #[error("{0}")]
    CertificateInvalid(String),
    /// The TLS handshake failed.
    #[error("TLS handshake: {0}")]
    Tls(String),
    /// `upstream.protocol` asks for h2, and upstream did not choose it.
    #[error("upstream does not speak h2; set upstream.protocol to http1")]
    NotH2,
    /// It took longer than the limit.
    #[error("it took longer than {}", humantime::format_duration(*.0))]
    Timeout(Duration),
}

impl From<ConnectError> for ProxyError {
    fn from(error: ConnectError) -> Self {
        match error {
            ConnectError::Dns(reason) => Self::UpstreamDnsFailed(Cow::Owned(reason.to_string())),
            ConnectError::Tcp(reason) => Self::UpstreamConnectFailed(Cow::Owned(reason)),
            ConnectError::Tls(_) | ConnectError::NotH2 => {
                Self::UpstreamConnectFailed(Cow::Owned(error.to_string()))
            }
            ConnectError::CertificateExpired => Self::UpstreamCertificateExpired,
            ConnectError::CertificateInvalid(reason) => {
                Self::UpstreamCertificateInvalid(Cow::Owned(reason))
            }
            ConnectError::Timeout(limit) => Self::UpstreamConnectTimeout(limit),
        }
    }
}

/// An open connection between two requests.
#[derive(Debug)]
pub struct Connection {
    /// The socket, encrypted or not.
    pub io: Transport,
    /// Bytes received.
    pub input: ReadBuffer,
    /// Bytes to send.
    pub output: WriteBuffer<Guarded>,
    /// The last response head; its memory is used again for the next.
    pub head: Head,
    /// When it last became idle.
    pub idle_since: Instant,
    /// What `TCP_INFO` said last, and when.
    sampled: Option<(Sample, Instant)>,
    /// The handshake's round trip as `TCP_INFO` told it.
    handshake: Option<Duration>,
}

impl Connection {
    /// A connection on a fresh transport.
    pub fn new(io: Transport) -> Self {
        Self {
            io,
            input: ReadBuffer::new(READ_BUFFER),
            output: WriteBuffer::default(),
            head: Head::default(),
            idle_since: Instant::now(),
            sampled: None,
            handshake: None,
        }
    }

    /// Asks `TCP_INFO` where no program counts, but not more often than once a second.
    pub fn sample(&mut self, sockets: &Sockets, metrics: &UpstreamMetrics, now: Instant) {
        let before = self.sampled.as_ref();
        if before.is_some_and(|(_, at)| now.duration_since(*at) < SAMPLE_EVERY) {
            return;
        }
        let Some(sample) = sockets.sample(self.io.tcp()) else {
            return;
        };
        metrics
            .kernel
            .sampled(&sample, before.map(|(sample, _)| sample));
        if before.is_none() {
            self.handshake = sample.rtt;
        }
        self.sampled = Some((sample, now));
    }

    /// What is known of the connection without kernel programs.
    pub fn known(&self) -> Timeline {
        Timeline {
            connect: self.handshake,
            rtt: self.sampled.and_then(|(sample, _)| sample.rtt),
            ..Timeline::default()
        }
    }
}

/// Knows how to reach upstream, and whether the last attempt did.
#[derive(Debug)]
pub struct Dialer {
    roster: Roster,
    tls: Option<ClientTls>,
    timeout: Cell<Duration>,
    sockets: Sockets,
    last: Arc<LastDial>,
    certificate: Arc<Expiry>,
    /// Before the next dial ahead of need, should one be necessary after a failure.
    pub(super) backoff: Cell<Duration>,
    connected: Notify,
}

impl Dialer {
    /// The dialer of one worker, with TLS unless upstream is plain. `timeout`
    /// is for everything together.
    pub fn new(
        roster: Roster,
        worker: usize,
        tls: Option<ClientTls>,
        timeout: Duration,
        sockets: Sockets,
    ) -> Self {
        let link = roster.link();
        Self {
            tls,
            timeout: Cell::new(timeout),
            sockets,
            last: link.dials.get(worker).cloned().unwrap_or_default(),
            certificate: Arc::clone(&link.certificate),
            backoff: Cell::new(FIRST_BACKOFF),
            connected: Notify::new(),
            roster,
        }
    }

    /// Sets the limit for dials from now on.
    pub fn set_timeout(&self, timeout: Duration) {
        self.timeout.set(timeout);
    }

    /// The endpoints.
    pub const fn roster(&self) -> &Roster {
        &self.roster
    }

    /// The worker's metrics of the upstream.
    pub fn metrics(&self) -> &UpstreamMetrics {
        self.roster.metrics().upstream(self.roster.link().slot)
    }

    /// The kernel's view of the connections.
    pub const fn sockets(&self) -> &Sockets {
        &self.sockets
    }

    /// Opens a connection for HTTP/1.1 to one of the endpoints.
    ///
    /// # Errors
    /// As [`Dialer::dial`].
    pub async fn connection(
        &self,
        order: Vec<Rc<Local>>,
    ) -> Result<(Connection, Rc<Local>), ConnectError> {
        let (io, local) = self.dial(UpstreamProtocol::Http1, order).await?;
        let mut connection = Connection::new(io);
        connection.sample(&self.sockets, self.metrics(), Instant::now());
        Ok((connection, local))
    }

    /// Opens a connection for HTTP/1.1 to this endpoint and to no other. That there is none says nothing of the upstream.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn connection_to(
        &self,
        local: &Rc<Local>,
    ) -> Result<(Connection, Rc<Local>), ConnectError> {
        let limit = self.timeout.get();
        let open = self.open(limit, UpstreamProtocol::Http1, vec![Rc::clone(local)]);
        let opened = tokio::time::timeout(limit, open).await;
        let (io, local) = opened
            .unwrap_or(Err(ConnectError::Timeout(limit)))
            .inspect_err(|_| self.metrics().connect_failures.inc())?;
        self.metrics().connects.inc();
        let mut connection = Connection::new(io);
        connection.sample(&self.sockets, self.metrics(), Instant::now());
        Ok((connection, local))
    }

    /// Opens a connection that is to speak this protocol to one of the endpoints, the first ones first; to any, if none is
    /// known yet.
    ///
    /// # Errors
    /// Why there is none; counted, and remembered until one can be opened.
    pub async fn dial(
        &self,
        protocol: UpstreamProtocol,
        order: Vec<Rc<Local>>,
    ) -> Result<(Transport, Rc<Local>), ConnectError> {
        let limit = self.timeout.get();
        let result = tokio::time::timeout(limit, self.open(limit, protocol, order))
            .await
            .unwrap_or(Err(ConnectError::Timeout(limit)));
        match &result {
            Ok(_) => {
                self.metrics().connects.inc();
                self.last.succeeded();
                self.backoff.set(FIRST_BACKOFF);
                self.connected.notify_waiters();
            }
            Err(error) => {
                self.metrics().connect_failures.inc();
                self.failed(error);
            }
        }
        result
    }

    /// Remembers that upstream could not be used.
    pub(super) fn failed(&self, error: &ConnectError) {
        self.last.failed(error);
    }

    /// Whether the last dial failed.
    pub fn has_failed(&self) -> bool {
        self.last.has_failed()
    }

    /// Waits before another dial ahead of need, longer each time until one
    /// succeeds, which also ends the wait.
    pub async fn back_off(&self) {
        let pause = self.backoff.get();
        self.backoff.set((pause * 2).min(MAX_BACKOFF));
        // Which of the two ended it does not matter.
        let _ = tokio::time::timeout(pause, self.connected.notified()).await;
    }

    async fn open(
        &self,
        limit: Duration,
        protocol: UpstreamProtocol,
        mut order: Vec<Rc<Local>>,
    ) -> Result<(Transport, Rc<Local>), ConnectError> {
        let give_up = tokio::time::Instant::now() + limit.saturating_sub(MARGIN);
        if order.is_empty() {
            let addresses = &self.roster.link().addresses;
            addresses.get().await.map_err(ConnectError::Dns)?;
            self.roster.refresh();
            order = self.roster.in_order(None, Instant::now());
        }
        let limits = self.roster.limits();
        let connect = |local| self.connect(local, give_up);
        let slow = |local: &Rc<Local>| local.failed(&limits, Instant::now());
        let (socket, local) = eyeballs::race(&order, connect, slow)
            .await
            .map_err(|reason| match tokio::time::Instant::now() < give_up {
                true => ConnectError::Tcp(reason),
                false => ConnectError::Timeout(limit),
            })?;
        let secured = self.secure(socket, protocol).await;
        if secured.is_err() {
            local.failed(&limits, Instant::now());
        }
        Ok((secured?, local))
    }

    /// Connects to one endpoint.
    async fn connect(
        &self,
        local: Rc<Local>,
        give_up: tokio::time::Instant,
    ) -> io::Result<(Socket, Rc<Local>)> {
        let socket = self.connect_to(&local, give_up).await.inspect_err(|_| {
            local.failed(&self.roster.limits(), Instant::now());
        })?;
        Ok((socket, local))
    }

    async fn connect_to(&self, local: &Local, give_up: tokio::time::Instant) -> io::Result<Socket> {
        let address = local.shared.address;
        let socket = self.socket(address)?;
        let followed = self.sockets.follow(&socket, local.upstream(), address);
        let connected = tokio::time::timeout_at(give_up, socket.connect(address)).await;
        let cookie = followed.settle();
        let mut socket = Socket::new(connected??)?;
        socket.followed(cookie, self.tls.is_some());
        Ok(socket)
    }

    /// A socket whose place in the kernel's table is free, if one is found soon.
    fn socket(&self, address: SocketAddr) -> io::Result<TcpSocket> {
        let open = || match address {
            SocketAddr::V4(_) => TcpSocket::new_v4(),
            SocketAddr::V6(_) => TcpSocket::new_v6(),
        };
        let mut socket = open()?;
        for _ in 0..MAX_TRIES {
            if !self.sockets.is_taken(&socket) {
                break;
            }
            socket = open()?;
        }
        Ok(socket)
    }

    async fn secure(
        &self,
        socket: Socket,
        protocol: UpstreamProtocol,
    ) -> Result<Transport, ConnectError> {
        let Some(tls) = &self.tls else {
            return Ok(Transport::Plain(socket));
        };
        let started = Instant::now();
        let connector = TlsConnector::from(Arc::clone(tls.of(protocol)));
        let stream = connector
            .connect(tls.name.clone(), socket)
            .await
            .map_err(|error| refusal(&error))?;
        self.metrics().tls_handshake.observe(started.elapsed());
        self.certificate.note_peer(stream.get_ref().1);
        let chosen = stream.get_ref().1.alpn_protocol();
        if protocol == UpstreamProtocol::Http2 && chosen != Some(tls::H2) {
            return Err(ConnectError::NotH2);
        }
        Ok(Transport::Tls(Box::new(TlsStream::Client(stream))))
    }
}

fn refusal(error: &io::Error) -> ConnectError {
    match tls::classify(error) {
        HandshakeFailure::Expired(_) => ConnectError::CertificateExpired,
        HandshakeFailure::Early(reason) | HandshakeFailure::Invalid(reason) => {
            ConnectError::CertificateInvalid(reason)
        }
        HandshakeFailure::Other(reason) => ConnectError::Tls(reason),
    }
}
