//! `holysheep-bench load`: a closed-loop HTTP/1.1 load generator.
//!
//! Every connection sends its next request when the last answer is complete.
//! All connections share one thread and make two system calls per request, so
//! that the generator costs much less than any proxy. [`connection`] speaks
//! HTTP on one connection; [`request`] is what is sent.

mod connection;
mod request;

use std::cell::{Cell, RefCell};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use clap::Args;
use hdrhistogram::Histogram;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpSocket;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;

use crate::report;
use connection::drive;
pub(crate) use connection::{Watch, receive, receive_watched};
pub(crate) use request::{named, prompt, stream};

/// The longest latency told apart, in nanoseconds.
const LONGEST_NS: u64 = 60_000_000_000;

/// How long the last answers may take; longer means that they were lost.
const PATIENCE: Duration = Duration::from_secs(10);

/// Options of the subcommand.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Port on 127.0.0.1.
    #[arg(long)]
    port: u16,
    /// Connections, each with one request in flight.
    #[arg(long, default_value_t = 4)]
    connections: usize,
    /// How long to measure, after one second of warm-up.
    #[arg(long, default_value_t = 5.0, conflicts_with = "requests")]
    seconds: f64,
    /// Send exactly this many requests instead, without a warm-up.
    #[arg(long)]
    requests: Option<u64>,
    /// Speak TLS to `localhost`, trusting the certificates of `--ca`.
    #[arg(long, requires = "ca")]
    tls: bool,
    /// Certificate authority, PEM.
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
}

/// A client's connection, with or without TLS.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// Where requests go, and what must come back.
#[derive(Clone)]
pub(crate) struct Target {
    address: SocketAddr,
    tls: Option<TlsConnector>,
    request: Arc<[u8]>,
    /// Length of the body that a correct answer has, in bytes.
    body_length: u64,
}

impl Target {
    /// Plain HTTP to a port on loopback.
    pub(crate) fn plain(port: u16) -> Self {
        Self {
            address: (Ipv4Addr::LOCALHOST, port).into(),
            tls: None,
            request: request::chat_completion(port, "keep-alive").into(),
            body_length: crate::upstream::answer::COMPLETION_LENGTH,
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

    /// Its port.
    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    /// The name in its certificate.
    ///
    /// # Errors
    /// Never.
    fn server_name() -> Result<ServerName<'static>> {
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

/// What the connections of one load share.
struct Shared {
    target: Target,
    recording: Cell<bool>,
    stopping: Cell<bool>,
    paused: Cell<bool>,
    /// Requests whose answers are not complete.
    in_flight: Cell<usize>,
    /// Told when a pause ends, and when the last answer before one is complete.
    changed: Notify,
    /// Requests that may still be sent, when their number is bound.
    left: Cell<Option<u64>>,
    errors: Cell<u64>,
    first_error: RefCell<Option<String>>,
    /// Latencies in nanoseconds; its length is the number of good answers.
    latency: RefCell<Histogram<u64>>,
}

impl Shared {
    /// Whether to send one more request; counts it when their number is bound.
    fn next(&self) -> bool {
        let left = self.left.get();
        self.left.set(left.map(|left| left.saturating_sub(1)));
        !self.stopping.get() && left != Some(0)
    }

    /// Waits while the load is paused.
    async fn turn(&self) {
        while self.paused.get() && !self.stopping.get() {
            self.changed.notified().await;
        }
    }

    /// One request more or less is under way.
    fn in_flight(&self, count: usize) {
        self.in_flight.set(count);
        if count == 0 {
            self.changed.notify_waiters();
        }
    }

    fn answered(&self, latency: Duration) {
        if self.recording.get() {
            let nanoseconds = u64::try_from(latency.as_nanos()).unwrap_or(LONGEST_NS);
            self.latency.borrow_mut().saturating_record(nanoseconds);
        }
    }

    fn failed(&self, error: &anyhow::Error) {
        self.errors.set(self.errors.get() + 1);
        self.first_error
            .borrow_mut()
            .get_or_insert_with(|| format!("{error:#}"));
    }
}

/// A running load; dropping it stops it.
pub(crate) struct Load {
    shared: Rc<Shared>,
    connections: JoinSet<()>,
}

/// What one load measured.
#[derive(Debug)]
pub(crate) struct Measured {
    /// Correct answers while recording.
    pub(crate) requests: u64,
    /// Errors at any time, including the warm-up.
    pub(crate) errors: u64,
    /// What went wrong first.
    pub(crate) first_error: Option<String>,
    /// Latencies in nanoseconds.
    pub(crate) latency: Histogram<u64>,
}

impl Load {
    /// Opens `connections` and begins to send, `requests` in all or without end.
    ///
    /// # Errors
    /// When the histogram's bounds are refused.
    pub(crate) fn start(
        target: &Target,
        connections: usize,
        requests: Option<u64>,
    ) -> Result<Self> {
        let shared = Rc::new(Shared {
            target: target.clone(),
            recording: Cell::new(requests.is_some()),
            stopping: Cell::new(false),
            paused: Cell::new(false),
            in_flight: Cell::new(0),
            changed: Notify::new(),
            left: Cell::new(requests),
            errors: Cell::new(0),
            first_error: RefCell::new(None),
            latency: RefCell::new(Histogram::new_with_bounds(1, LONGEST_NS, 3)?),
        });
        let mut tasks = JoinSet::new();
        for _ in 0..connections {
            tasks.spawn_local(drive(Rc::clone(&shared)));
        }
        Ok(Self {
            shared,
            connections: tasks,
        })
    }

    /// Counts answers from now on, or no longer.
    pub(crate) fn record(&self, recording: bool) {
        self.shared.recording.set(recording);
    }

    /// How many good answers have been recorded so far.
    pub(crate) fn answers(&self) -> u64 {
        self.shared.latency.borrow().len()
    }

    /// Lets requests in flight finish and sends no more until [`Load::resume`]; connections stay open.
    ///
    /// # Errors
    /// When an answer does not come.
    pub(crate) async fn pause(&self) -> Result<()> {
        self.shared.paused.set(true);
        let quiet = async {
            while self.shared.in_flight.get() > 0 {
                self.shared.changed.notified().await;
            }
        };
        let waited = tokio::time::timeout(PATIENCE, quiet).await;
        waited.with_context(|| format!("no answer within {PATIENCE:?}"))
    }

    /// Goes on after a pause.
    pub(crate) fn resume(&self) {
        self.shared.paused.set(false);
        self.shared.changed.notify_waiters();
    }

    /// Lets requests in flight finish, sends no more, and closes all connections.
    pub(crate) async fn stop(self) -> Measured {
        self.shared.stopping.set(true);
        self.resume();
        self.finish(PATIENCE).await
    }

    /// Waits until the bound number of requests has been answered, but no longer than `patience`.
    pub(crate) async fn finish(mut self, patience: Duration) -> Measured {
        let all = async { while self.connections.join_next().await.is_some() {} };
        if tokio::time::timeout(patience, all).await.is_err() {
            self.shared
                .failed(&anyhow!("no answer within {patience:?}"));
        }
        Measured {
            requests: self.shared.latency.borrow().len(),
            errors: self.shared.errors.get(),
            first_error: self.shared.first_error.take(),
            latency: self.shared.latency.borrow().clone(),
        }
    }
}

impl Measured {
    /// A quantile of the latency, in microseconds.
    pub(crate) fn quantile_us(&self, quantile: f64) -> f64 {
        self.latency.value_at_quantile(quantile) as f64 / 1000.0
    }
}

/// The request's bytes when it is the only one of its connection.
pub(crate) fn closing_request(port: u16) -> Vec<u8> {
    request::chat_completion(port, "close")
}

/// Sends one request; for telling whether a server is ready.
///
/// # Errors
/// When there was no correct answer.
pub(crate) async fn probe(target: &Target) -> Result<()> {
    let measured = Load::start(target, 1, Some(1))?.finish(PATIENCE).await;
    let problem = measured.first_error.unwrap_or_default();
    ensure!(measured.requests == 1 && measured.errors == 0, "{problem}");
    Ok(())
}

/// Runs the subcommand.
///
/// # Errors
/// When any answer was wrong, or the options are.
pub(crate) async fn run(options: Options) -> Result<()> {
    let target = if options.tls {
        Target::tls(
            (Ipv4Addr::LOCALHOST, options.port).into(),
            options.ca.as_deref().context("--ca is missing")?,
        )?
    } else {
        Target::plain(options.port)
    };
    let load = Load::start(&target, options.connections, options.requests)?;
    let mut begin = Instant::now();
    let measured = if options.requests.is_some() {
        load.finish(Duration::MAX).await
    } else {
        tokio::time::sleep(Duration::from_secs(1)).await;
        load.record(true);
        begin = Instant::now();
        tokio::time::sleep(Duration::from_secs_f64(options.seconds)).await;
        load.stop().await
    };
    report::print_load(&measured, begin.elapsed());
    let first = measured.first_error.unwrap_or_default();
    ensure!(
        measured.errors == 0,
        "{} errors, first: {first}",
        measured.errors
    );
    Ok(())
}
