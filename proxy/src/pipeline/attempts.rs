//! One attempt after the other at a request, for as long as no second bill can follow, and another may help.
//!
//! docs/resilience.md says what is tried again, and why that is safe.

use std::rc::Rc;
use std::time::{Duration, Instant};

use super::attempt::{begin, interruptible, send};
use super::body::Observed;
use super::course::Course;
use super::learn::learn;
use super::verdict::{self, Verdict};
use crate::account::RequestRecord;
use crate::config::Retries;
use crate::downstream::Downstream;
use crate::error::{ProxyError, Retry};
use crate::forward::Outbound;
use crate::metrics::Outcome;
use crate::metrics::upstream::Retried;
use crate::relay;
use crate::relay::patience::Patience;
use crate::upstream::{AnyExchange, Message};
use crate::worker::Worker;

/// A request that got no answer, and its last exchange if there was one.
pub(super) struct Ended {
    pub(super) error: ProxyError,
    pub(super) exchange: Option<Box<AnyExchange>>,
}

impl From<ProxyError> for Ended {
    fn from(error: ProxyError) -> Self {
        Self {
            error,
            exchange: None,
        }
    }
}

/// What an attempt came to.
#[expect(
    clippy::large_enum_variant,
    reason = "the large variant is the usual one"
)]
enum Came {
    /// The answer for the client.
    Answer(AnyExchange),
    /// An answer that another attempt may better.
    Refusal(Box<AnyExchange>, Verdict),
    /// None.
    Nothing(Ended),
}

/// Sends the request until there is an answer for its client.
pub(super) async fn run<D: Downstream>(
    worker: &Rc<Worker>,
    outbound: Outbound,
    body: &mut Observed<'_, D>,
    record: &mut RequestRecord,
) -> Result<AnyExchange, Ended> {
    let retries = worker.live().retries;
    worker.budget.request(retries.budget_percent);
    worker.hedges.request(worker.live().hedging.budget_percent);
    let mut course = Course::new(&outbound);
    let mut message = Some(outbound.message);
    if worker.origins.len() > 1 {
        Box::pin(set_out(worker, &mut course, &mut message, body, record)).await?;
    } else {
        course.enter(worker)?;
    }
    loop {
        let came = attempt(worker, &course, &mut message, body, record).await;
        if let Came::Answer(exchange) = came {
            return Ok(exchange);
        }
        let again = Again {
            worker,
            course: &mut course,
            message: &mut message,
            retries,
        };
        if let Some(end) = Box::pin(again.prepare(came, body, record)).await {
            return end.map(|exchange| *exchange);
        }
    }
}

/// Finds out which of several upstreams gets the request.
async fn set_out<D: Downstream>(
    worker: &Worker,
    course: &mut Course,
    message: &mut Option<Message>,
    body: &mut Observed<'_, D>,
    record: &mut RequestRecord,
) -> Result<(), ProxyError> {
    let (Some(message), Some(route)) = (message, record.route) else {
        return Ok(());
    };
    if worker.config.models.is_by_model() {
        learn(worker, course, message, body, record).await?;
    }
    course.choose(worker, route.get(), message)
}

async fn attempt<D: Downstream>(
    worker: &Rc<Worker>,
    course: &Course,
    message: &mut Option<Message>,
    body: &mut Observed<'_, D>,
    record: &mut RequestRecord,
) -> Came {
    let mut exchange = match begin(worker, course, message, body, record).await {
        Ok(exchange) => exchange,
        Err(error) => return Came::Nothing(error.into()),
    };
    if let Err(error) = send(worker, course, &mut exchange, body, record).await {
        let exchange = Some(Box::new(exchange));
        return Came::Nothing(Ended { error, exchange });
    }
    let now = record.head_came.unwrap_or_else(Instant::now);
    let status = exchange.head().status();
    if status < 400 {
        let first_byte = record.header.unwrap_or_default();
        exchange.endpoint().answered(first_byte, now);
        course.succeeded(worker, now);
        course.origin(worker).link.keys.accepted(course.place.1);
        return Came::Answer(exchange);
    }
    refused(worker, course, &exchange, status, now);
    match verdict::of(&exchange.head(), worker.config.auth) {
        Some(verdict) => Came::Refusal(Box::new(exchange), verdict),
        None => Came::Answer(exchange),
    }
}

/// Takes note of an error status. It came fast, perhaps, but is no answer of the kind one wants more of.
#[cold]
fn refused(worker: &Worker, course: &Course, exchange: &AnyExchange, status: u16, now: Instant) {
    let limits = course.origin(worker).dialer.roster().limits();
    match status {
        500..=599 => exchange.endpoint().failed(&limits, now),
        _ => exchange.endpoint().shared.circuit.succeeded(now),
    }
    match status {
        502..=504 => course.failed(worker, now),
        _ => course.succeeded(worker, now),
    }
}

/// How a request ends.
type End = Result<Box<AnyExchange>, Ended>;

/// What another attempt needs.
struct Again<'a> {
    worker: &'a Rc<Worker>,
    course: &'a mut Course,
    message: &'a mut Option<Message>,
    retries: Retries,
}

impl Again<'_> {
    /// Prepares another attempt, if there is to be one. Gives how the request ends otherwise.
    async fn prepare<D: Downstream>(
        mut self,
        came: Came,
        body: &mut Observed<'_, D>,
        record: &mut RequestRecord,
    ) -> Option<End> {
        let next = match came {
            Came::Answer(exchange) => Err(Ok(Box::new(exchange))),
            Came::Nothing(ended) => self.after_nothing(ended, record).map_err(Err),
            Came::Refusal(exchange, verdict) => self.after_refusal(exchange, verdict, record),
        };
        let pause = match next {
            Ok(pause) => pause,
            Err(end) => return Some(end),
        };
        self.course.repeats += 1;
        if !pause.is_zero() {
            let slept = tokio::time::sleep(pause);
            if let Err(error) = interruptible(self.worker, body, slept).await {
                return Some(Err(error.into()));
            }
        }
        None
    }

    /// The pause before another attempt after one that brought nothing.
    fn after_nothing(
        &mut self,
        mut ended: Ended,
        record: &mut RequestRecord,
    ) -> Result<Duration, Ended> {
        let retry = ended.error.class().retry;
        let unread = match (&mut ended.exchange, retry) {
            (Some(exchange), Retry::Unread) => exchange.reclaim(&self.worker.sockets),
            _ => None,
        };
        let reason = match (&ended.error, &unread) {
            (ProxyError::UpstreamFirstByteTimeout(_), Some(_)) => Retried::Unacknowledged,
            (_, Some(_)) => Retried::Unread,
            (_, None) => Retried::NoConnection,
        };
        let is_other = self.course.has_other(self.worker, record.route);
        self.blame(&ended, reason);
        let is_unsent = ended.exchange.is_none() && retry == Retry::Unsent;
        // To connect once more may help against a restart, and against nothing else.
        let is_refused = matches!(ended.error, ProxyError::UpstreamConnectFailed(_));
        let may = unread.is_some() || is_unsent && (is_other || is_refused);
        if !may || !self.may_repeat() {
            return Err(ended);
        }
        if unread.is_some() {
            *self.message = unread;
        }
        let code = ended.error.class().code;
        self.count(Outcome::Failed(code), reason, record);
        let endpoint = ended.exchange.as_ref().map(|exchange| exchange.endpoint());
        self.course.avoid = endpoint.map(|endpoint| endpoint.shared.address);
        let endpoints = self.course.origin(self.worker).dialer.roster().all().len();
        // A connection that had idled too long says nothing of its endpoint.
        let is_stale = reason == Retried::Unread && self.course.repeats == 0;
        if is_stale || unread_elsewhere(reason, endpoints) {
            return Ok(Duration::ZERO);
        }
        let next = self.elsewhere(None, record);
        next.map_err(|error| Ended {
            error: error.unwrap_or(ended.error),
            exchange: ended.exchange,
        })
    }

    /// The pause before another attempt after a refusal.
    fn after_refusal(
        &mut self,
        mut exchange: Box<AnyExchange>,
        verdict: Verdict,
        record: &mut RequestRecord,
    ) -> Result<Duration, End> {
        let keys = &self.course.origin(self.worker).link.keys;
        let (key, now) = (self.course.place.1, Instant::now());
        let is_other_key = verdict.is_about_key
            && keys.refused(key, verdict.status, verdict.after, now)
            && self.has_attempts();
        let is_other = self.course.has_other(self.worker, record.route);
        let is_soon = verdict.after.unwrap_or_default() <= self.retries.max_wait;
        let is_here = verdict.reason != Retried::KeyRefused && is_soon;
        let is_of_use = is_other || is_here && verdict.should != Some(false);
        // Another key is there to be used: no limit but the number of keys.
        let may = is_other_key || is_of_use && self.may_repeat();
        let taken = if may { exchange.take_back() } else { None };
        let Some(taken) = taken else {
            return Err(Ok(exchange));
        };
        let message = self.message.insert(taken);
        let next = match is_other_key {
            true => {
                let place = (self.course.place.0, keys.current());
                let called = self.course.called();
                let written = self.course.go(self.worker, place, called, message);
                written.map(|()| Duration::ZERO).map_err(Some)
            }
            false => self.elsewhere(verdict.after, record),
        };
        self.count(Outcome::Status(verdict.status), verdict.reason, record);
        self.course.avoid = Some(exchange.endpoint().shared.address);
        relay::discard(self.worker, *exchange);
        next.map_err(|error| Err(error.unwrap_or(ProxyError::UpstreamClosed).into()))
    }

    /// Takes note of a failure that is upstream's fault.
    fn blame(&self, ended: &Ended, reason: Retried) {
        // That a connection was closed which had idled is nobody's.
        let is_upstreams = matches!(
            ended.error,
            ProxyError::UpstreamConnectFailed(_)
                | ProxyError::UpstreamDnsFailed(_)
                | ProxyError::UpstreamCertificateExpired
                | ProxyError::UpstreamCertificateInvalid(_)
                | ProxyError::UpstreamConnectTimeout(_)
                | ProxyError::UpstreamFirstByteTimeout(_)
                | ProxyError::UpstreamIdleTimeout(_)
                | ProxyError::UpstreamClosed
                | ProxyError::UpstreamInvalidResponse(_)
        );
        if !is_upstreams || reason == Retried::Unread {
            return;
        }
        let now = Instant::now();
        // Connecting knows by itself which endpoints have failed.
        if let Some(exchange) = &ended.exchange {
            let limits = self.course.origin(self.worker).dialer.roster().limits();
            exchange.endpoint().failed(&limits, now);
        }
        self.course.failed(self.worker, now);
    }

    /// Another upstream if there is one, else the same after a pause; nothing if that is of no use.
    fn elsewhere(
        &mut self,
        after: Option<Duration>,
        record: &RequestRecord,
    ) -> Result<Duration, Option<ProxyError>> {
        self.course.has_failed();
        let message = self.message.as_mut().ok_or(None)?;
        let route = record.route.ok_or(None)?;
        if self.course.has_other(self.worker, Some(route)) {
            let chosen = self.course.choose(self.worker, route.get(), message);
            self.course.avoid = None;
            return chosen.map(|()| Duration::ZERO).map_err(Some);
        }
        self.course.forgive();
        if !self.course.origin(self.worker).link.breaker.is_closed() {
            return Err(None);
        }
        let doubled = self.retries.backoff * (1 << self.course.repeats.min(10));
        let pause = doubled
            .min(self.retries.max_wait)
            .mul_f32(self.worker.chance());
        let pause = pause.max(after.unwrap_or_default());
        let left = Patience::new(self.worker, record).left();
        match left.is_none_or(|left| left > pause) {
            true => Ok(pause),
            false => Err(None),
        }
    }

    const fn has_attempts(&self) -> bool {
        self.course.repeats + 1 < self.retries.attempts
    }

    /// Whether there may be another attempt; takes it out of the budget.
    fn may_repeat(&self) -> bool {
        if !self.has_attempts() || self.retries.budget_percent == 0 {
            return false;
        }
        let may = self.worker.budget.withdraw();
        if !may {
            self.course
                .origin(self.worker)
                .metrics()
                .retries_denied
                .inc();
        }
        may
    }

    /// Counts an attempt that is followed by another.
    fn count(&self, outcome: Outcome, reason: Retried, record: &mut RequestRecord) {
        let metrics = self.worker.metrics.upstream(record.upstream);
        let first_byte = record.header.take();
        metrics.finished(outcome, first_byte);
        metrics.retried(reason);
        record.retries.push(reason.as_str());
    }
}

/// Whether another endpoint of the same upstream may do better.
const fn unread_elsewhere(reason: Retried, endpoints: usize) -> bool {
    matches!(reason, Retried::Unread | Retried::Unacknowledged) && endpoints > 1
}
