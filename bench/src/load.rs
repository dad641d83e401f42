//! `holysheep-bench load`: a closed-loop load generator.
//!
//! Every connection sends its next request when the last answer is complete.
//! All connections share one thread and make two system calls per request, so
//! that the generator costs much less than any proxy. [`connection`] speaks
//! HTTP/1.1 on one connection; [`multiplexed`] speaks h2 with several requests
//! in flight on each; [`request`] is what is sent, [`target`] where to.

mod connection;
mod gateway;
mod multiplexed;
mod request;
mod target;

use std::cell::{Cell, RefCell};
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use clap::Args;
use hdrhistogram::Histogram;
use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::report;
use connection::drive;
pub(crate) use connection::{Watch, receive, receive_watched};
pub(crate) use request::{named, prompt, sized, stream};
pub(crate) use target::{Stream, Target, socket};

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
    /// Speak h2, with up to 16 of the requests in flight on each connection.
    #[arg(long)]
    http2: bool,
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
    /// Opens `connections` and begins to send, `requests` in all or without end. By h2 there are as many requests in flight,
    /// on fewer connections.
    ///
    /// # Errors
    /// When the histogram's bounds or the request are refused.
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
        if target.http2 {
            let message = Rc::new(target.message()?);
            for streams in multiplexed::split(connections) {
                let (shared, message) = (Rc::clone(&shared), Rc::clone(&message));
                tasks.spawn_local(multiplexed::drive(shared, message, streams));
            }
        } else {
            for _ in 0..connections {
                tasks.spawn_local(drive(Rc::clone(&shared)));
            }
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
    let target = match options.http2 {
        true => target.over_http2(),
        false => target,
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
