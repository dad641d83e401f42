//! Load that does not wait for answers: requests are sent when they are due, and latencies counted from then.
//!
//! What is due while all connections have a request under way waits for the first that is free, and that counts: a closed
//! loop would send less to whoever is slow and so leave out what its users would have waited for. Everything runs on
//! the bench's one thread; [`crate::load`] speaks HTTP.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bytes::BytesMut;
use netlab::Host;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpSocket;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::schedule::Shot;
use crate::alarm::Alarm;
use crate::load::{self, Stream, Target, receive};

/// From the end of preparations to the first request.
const LEAD: Duration = Duration::from_millis(2);
/// All answers have to be there so long after the last request.
const PATIENCE: Duration = Duration::from_secs(20);
/// Room for one usual answer, in bytes.
const BUFFER: usize = 16 * 1024;

/// Open connections to one contender, and what came of the requests on them.
pub(super) struct Clients {
    shared: Rc<Shared>,
    alarm: Alarm,
}

/// A request that is due.
struct Job {
    number: Option<usize>,
    due: Instant,
    request: Vec<u8>,
}

struct Connection {
    stream: Box<dyn Stream>,
    buffer: BytesMut,
}

struct Shared {
    target: Target,
    /// Where the clients are, if not where this process is.
    host: Option<Host>,
    idle: RefCell<VecDeque<Connection>>,
    waiting: RefCell<VecDeque<Job>>,
    /// Requests whose answers are not complete.
    under_way: Cell<usize>,
    /// Told when that has become 0.
    done: Notify,
    results: RefCell<Results>,
}

/// What came of requests.
#[derive(Debug, Default)]
pub(super) struct Results {
    /// Numbers and latencies of those that count.
    pub(super) latencies: Vec<(usize, Duration)>,
    /// How late requests left because this process was not scheduled, in microseconds; it is part of the latency.
    pub(super) late_us: Vec<f64>,
    /// Requests that found no free connection.
    pub(super) queued: usize,
    pub(super) errors: usize,
    pub(super) first_error: Option<String>,
}

impl Clients {
    /// Opens so many connections.
    ///
    /// # Errors
    /// When one cannot be opened.
    pub(super) async fn open(target: &Target, host: Option<&Host>, count: usize) -> Result<Self> {
        let shared = Rc::new(Shared {
            target: target.clone(),
            host: host.cloned(),
            idle: RefCell::default(),
            waiting: RefCell::default(),
            under_way: Cell::new(0),
            done: Notify::new(),
            results: RefCell::default(),
        });
        let mut opening = JoinSet::new();
        for _ in 0..count {
            let shared = Rc::clone(&shared);
            opening.spawn_local(async move { shared.connect().await });
        }
        while let Some(opened) = opening.join_next().await {
            shared.idle.borrow_mut().push_back(opened??);
        }
        Ok(Self {
            shared,
            alarm: Alarm::new()?,
        })
    }

    /// Sends all of these and waits for their answers; `round` is part of their names.
    ///
    /// # Errors
    /// When answers are missing for long.
    pub(super) async fn play(&self, shots: &[Shot], round: usize) -> Result<()> {
        let jobs: Vec<_> = shots
            .iter()
            .map(|shot| {
                let name = name(round, shot.number);
                let request = load::named(&self.shared.target, &name, shot.think);
                (shot.at, shot.number, request)
            })
            .collect();
        let begin = Instant::now() + LEAD;
        for (at, number, request) in jobs {
            let due = begin + at;
            self.alarm.until(due).await?;
            Shared::launch(
                &self.shared,
                Job {
                    number,
                    due,
                    request,
                },
            );
        }
        let all = async {
            while self.shared.under_way.get() > 0 {
                self.shared.done.notified().await;
            }
        };
        let waited = timeout(PATIENCE, all).await;
        let first = || self.shared.results.borrow().first_error.clone();
        waited.with_context(|| {
            let first = first().unwrap_or_else(|| "none".to_owned());
            format!("no answer within {PATIENCE:?}; first error: {first}")
        })
    }

    /// What came of all requests since the last call.
    pub(super) fn take(&self) -> Results {
        self.shared.results.take()
    }
}

/// What a request is called in its `x-request-id`, and by that in the product's access log.
pub(super) fn name(round: usize, number: Option<usize>) -> String {
    match number {
        Some(number) => format!("bench-{round}-{number}"),
        None => "settle".to_owned(),
    }
}

impl Shared {
    fn socket(&self) -> io::Result<TcpSocket> {
        match &self.host {
            Some(host) => host.run(load::socket).map_err(io::Error::other)?,
            None => load::socket(),
        }
    }

    async fn connect(&self) -> Result<Connection> {
        let stream = self.target.connect(self.socket()?).await;
        Ok(Connection {
            stream: stream.context("cannot connect")?,
            buffer: BytesMut::with_capacity(BUFFER),
        })
    }

    /// Sends it now if a connection is free.
    fn launch(shared: &Rc<Self>, job: Job) {
        let late = job.due.elapsed().as_secs_f64() * 1e6;
        shared.under_way.set(shared.under_way.get() + 1);
        let free = shared.idle.borrow_mut().pop_front();
        let mut results = shared.results.borrow_mut();
        if job.number.is_some() {
            results.late_us.push(late);
        }
        let Some(connection) = free else {
            results.queued += usize::from(job.number.is_some());
            shared.waiting.borrow_mut().push_back(job);
            return;
        };
        drop(results);
        let shared = Rc::clone(shared);
        tokio::task::spawn_local(async move { shared.serve(connection, job).await });
    }

    /// Sends this request, then those that wait, on this connection.
    async fn serve(&self, mut connection: Connection, first: Job) {
        let mut next = Some(first);
        while let Some(job) = next {
            let outcome = self.exchange(&mut connection, &job).await;
            self.results.borrow_mut().add(&job, &outcome);
            // After an error nobody knows what is on the connection.
            if !matches!(outcome, Ok((_, true))) {
                match self.connect().await {
                    Ok(opened) => connection = opened,
                    Err(error) => {
                        self.results.borrow_mut().failed(&error);
                        self.finished();
                        return;
                    }
                }
            }
            self.finished();
            next = self.waiting.borrow_mut().pop_front();
        }
        self.idle.borrow_mut().push_back(connection);
    }

    /// One exchange: how long it took from when it was due, and whether the connection stays open.
    async fn exchange(&self, connection: &mut Connection, job: &Job) -> Result<(Duration, bool)> {
        let Connection { stream, buffer } = connection;
        stream.write_all(&job.request).await?;
        stream.flush().await?;
        let answer = receive(stream, buffer).await?;
        let took = job.due.elapsed();
        ensure!(answer.status == 200, "status {}", answer.status);
        ensure!(
            answer.body == self.target.body_length(),
            "an answer of {} bytes",
            answer.body
        );
        Ok((took, !answer.close))
    }

    fn finished(&self) {
        self.under_way.set(self.under_way.get() - 1);
        if self.under_way.get() == 0 {
            self.done.notify_one();
        }
    }
}

impl Results {
    fn add(&mut self, job: &Job, outcome: &Result<(Duration, bool)>) {
        match (outcome, job.number) {
            (Ok((took, _)), Some(number)) => self.latencies.push((number, *took)),
            (Ok(_), None) => {}
            (Err(error), _) => self.failed(error),
        }
    }

    fn failed(&mut self, error: &anyhow::Error) {
        self.errors += 1;
        self.first_error.get_or_insert_with(|| format!("{error:#}"));
    }
}

#[cfg(test)]
mod tests;
