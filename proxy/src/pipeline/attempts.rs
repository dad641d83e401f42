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
use crate::upstream::{AnyExchange, Message, Place};
use crate::worker::Worker;

/// Where a request's last exchange is, if there was one: it is large, and not moved about.
pub(super) type Slot = Option<AnyExchange>;

/// What an attempt came to.
enum Came {
    /// The answer for the client.
    Answer,
    /// An answer that another attempt may better.
    Refusal(Verdict),
    /// None.
    Nothing(ProxyError),
}

/// Sends the request until there is an answer for its client, which is in the `slot` then.
///
/// # Errors
/// Why there is none; the slot has the last exchange if there was one.
pub(super) async fn run<D: Downstream>(
    worker: &Rc<Worker>,
    outbound: Outbound,
    body: &mut Observed<'_, D>,
    record: &mut RequestRecord,
    slot: &mut Slot,
) -> Result<(), ProxyError> {
    let live = worker.live();
    worker.budget.request(live.retries.budget_percent);
    worker.hedges.request(live.hedging.budget_percent);
    let mut course = Course::new(outbound.place, outbound.switches);
    let mut message = Some(outbound.message);
    if worker.has_upstreams() || body.is_guarded() {
        Box::pin(set_out(worker, &mut course, &mut message, body, record)).await?;
    } else {
        course.enter()?;
    }
    loop {
        let came = attempt(worker, &course, &mut message, body, record, slot).await;
        if matches!(came, Came::Answer) {
            return Ok(());
        }
        let again = Again {
            worker,
            course: &mut course,
            message: &mut message,
            retries: live.retries,
        };
        if let Some(end) = Box::pin(again.prepare(came, body, record, slot)).await {
            return end;
        }
    }
}

/// Finds out which of several upstreams gets the request, and that its client may ask for its model.
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
    if body.is_guarded() || worker.model_map().is_by_model() {
        learn(worker, course, message, body, record).await?;
    }
    match worker.has_upstreams() {
        false => course.enter(),
        true => course.choose(worker, route.get(), message),
    }
}

async fn attempt<D: Downstream>(
    worker: &Rc<Worker>,
    course: &Course,
    message: &mut Option<Message>,
    body: &mut Observed<'_, D>,
    record: &mut RequestRecord,
    slot: &mut Slot,
) -> Came {
    let exchange = match begin(worker, course, message, body, record).await {
        Ok(exchange) => slot.insert(exchange),
        Err(error) => return Came::Nothing(error),
    };
    if let Err(error) = send(worker, course, exchange, body, record).await {
        return Came::Nothing(error);
    }
    let now = record.head_came.unwrap_or_else(Instant::now);
    let status = exchange.head().status();
    if status < 400 {
        let first_byte = record.header.unwrap_or_default();
        exchange.endpoint().answered(first_byte, now);
        course.succeeded(now);
        course.origin().link.keys.accepted(course.place.key);
        return Came::Answer;
    }
    refused(worker, course, exchange, status, now);
    match verdict::of(&exchange.head(), worker.config.auth) {
        Some(verdict) => Came::Refusal(verdict),
        None => Came::Answer,
    }
}

/// Takes note of an error status. It came fast, perhaps, but is no answer of the kind one wants more of.
#[cold]
fn refused(worker: &Worker, course: &Course, exchange: &AnyExchange, status: u16, now: Instant) {
    let limits = course.origin().dialer.roster().limits();
    match status {
        500..=599 => exchange.endpoint().failed(&limits, now),
        _ => exchange.endpoint().shared.circuit.succeeded(now),
    }
    match status {
        502..=504 => course.failed(worker, now),
        _ => course.succeeded(now),
    }
}

/// How a request ends.
type End = Result<(), ProxyError>;

/// Where another attempt goes.
#[derive(Clone, Copy, Debug)]
enum Next {
    /// Where it was, at once; rather to another endpoint.
    AtOnce,
    /// Where it was, after a pause.
    After(Duration),
    /// To another upstream.
    Elsewhere,
}

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
        slot: &mut Slot,
    ) -> Option<End> {
        if let (Came::Nothing(_), Some(exchange)) = (&came, &*slot) {
            wait_for_reset(exchange).await;
        }
        let next = match came {
            Came::Answer => Err(Ok(())),
            Came::Nothing(error) => self.after_nothing(error, record, slot).map_err(Err),
            Came::Refusal(verdict) => self.after_refusal(verdict, record, slot),
        };
        let pause = match next {
            Ok(pause) => pause,
            Err(end) => return Some(end),
        };
        self.course.repeats += 1;
        if !pause.is_zero() {
            let slept = tokio::time::sleep(pause);
            if let Err(error) = interruptible(self.worker, body, pause, slept).await {
                return Some(Err(error));
            }
        }
        None
    }

    /// The pause before another attempt after one that brought nothing.
    fn after_nothing(
        &mut self,
        error: ProxyError,
        record: &mut RequestRecord,
        slot: &mut Slot,
    ) -> Result<Duration, ProxyError> {
        let retry = error.class().retry;
        let unread = match (&mut *slot, retry) {
            (Some(exchange), Retry::Unread) => exchange.reclaim(&self.worker.sockets),
            _ => None,
        };
        let reason = match (&error, &unread) {
            (ProxyError::UpstreamFirstByteTimeout(_), Some(_)) => Retried::Unacknowledged,
            (_, Some(_)) => Retried::Unread,
            (_, None) => Retried::NoConnection,
        };
        let is_other = self.course.has_other(self.worker, record.route);
        self.blame(&error, reason, slot.as_ref());
        let is_unsent = slot.is_none() && retry == Retry::Unsent;
        // To connect once more may help against a restart, and against nothing else.
        let is_refused = matches!(error, ProxyError::UpstreamConnectFailed(_));
        let may = unread.is_some() || is_unsent && (is_other || is_refused);
        let endpoints = self.course.origin().dialer.roster().all().len();
        // A connection that had idled too long says nothing of its endpoint.
        let is_stale = reason == Retried::Unread && self.course.repeats == 0;
        let next = match is_stale || unread_elsewhere(reason, endpoints) {
            true => Some(Next::AtOnce),
            false => self.next(None, record),
        };
        let Some(next) = next.filter(|_| may && self.may_repeat()) else {
            return Err(error);
        };
        if unread.is_some() {
            *self.message = unread;
        }
        // Dropping the exchange closes its connection.
        let exchange = slot.take();
        self.course.avoid = exchange.map(|exchange| exchange.endpoint().shared.address);
        let pause = self.turn_to(next, record)?;
        self.count(Outcome::Failed(error.class().code), reason, record);
        Ok(pause)
    }

    /// The pause before another attempt after a refusal.
    fn after_refusal(
        &mut self,
        verdict: Verdict,
        record: &mut RequestRecord,
        slot: &mut Slot,
    ) -> Result<Duration, End> {
        let origin = Rc::clone(self.course.origin());
        let keys = &origin.link.keys;
        let (key, now) = (self.course.place.key, Instant::now());
        let is_other_key = verdict.is_about_key
            && keys.refused(key, verdict.status, verdict.after, now)
            && self.has_attempts();
        let is_soon = verdict.after.unwrap_or_default() <= self.retries.max_wait;
        let is_here = verdict.reason != Retried::KeyRefused && is_soon;
        let is_here = is_here && verdict.should != Some(false);
        let next = self.next(verdict.after, record);
        let next = next.filter(|next| matches!(next, Next::Elsewhere) || is_here);
        // Another key is there to be used, whatever the budget says.
        let may = is_other_key || next.is_some() && self.may_repeat();
        let taken = slot.as_mut().filter(|_| may);
        let Some(taken) = taken.and_then(AnyExchange::take_back) else {
            return Err(Ok(()));
        };
        let message = self.message.insert(taken);
        if let Some(exchange) = slot.take() {
            // Its connection is as good as any other if there is no other endpoint.
            let endpoints = self.course.origin().dialer.roster().all().len();
            let here = exchange.endpoint().shared.address;
            self.course.avoid = (endpoints > 1).then_some(here);
            relay::discard(self.worker, exchange);
        }
        let turned = match next {
            Some(next) if !is_other_key => self.turn_to(next, record),
            _ => {
                let key = keys.current();
                let place = Place { origin, key };
                let called = self.course.called();
                let written = self.course.go(self.worker, place, called, message);
                written.map(|()| Duration::ZERO)
            }
        };
        let pause = turned.map_err(Err)?;
        self.count(Outcome::Status(verdict.status), verdict.reason, record);
        Ok(pause)
    }

    /// Takes note of a failure that is upstream's fault.
    fn blame(&self, error: &ProxyError, reason: Retried, exchange: Option<&AnyExchange>) {
        // That a connection was closed which had idled is nobody's.
        let is_upstreams = matches!(
            error,
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
        if let Some(exchange) = exchange {
            let limits = self.course.origin().dialer.roster().limits();
            exchange.endpoint().failed(&limits, now);
        }
        self.course.failed(self.worker, now);
    }

    /// Another upstream if there is one, else the same after a pause; nothing if that is of no use, or there is no time.
    fn next(&self, after: Option<Duration>, record: &RequestRecord) -> Option<Next> {
        if self.course.has_other(self.worker, record.route) {
            return Some(Next::Elsewhere);
        }
        if !self.course.origin().link.breaker.is_closed() {
            return None;
        }
        let doubled = self.retries.backoff * (1 << self.course.repeats.min(10));
        let pause = doubled
            .min(self.retries.max_wait)
            .mul_f32(self.worker.chance());
        let pause = pause.max(after.unwrap_or_default());
        let left = Patience::new(self.worker, record).left();
        let is_time = left.is_none_or(|left| left > pause);
        is_time.then_some(Next::After(pause))
    }

    /// Writes the request for where it goes next. Gives the pause before that.
    fn turn_to(&mut self, next: Next, record: &RequestRecord) -> Result<Duration, ProxyError> {
        match (next, self.message.as_mut(), record.route) {
            (Next::After(pause), ..) => {
                self.course.forgive();
                Ok(pause)
            }
            (Next::Elsewhere, Some(message), Some(route)) => {
                self.course.has_failed();
                self.course.choose(self.worker, route.get(), message)?;
                self.course.avoid = None;
                Ok(Duration::ZERO)
            }
            _ => Ok(Duration::ZERO),
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
            self.course.origin().metrics().retries_denied.inc();
        }
        may
    }

    /// Counts an attempt that is followed by another.
    fn count(&self, outcome: Outcome, reason: Retried, record: &mut RequestRecord) {
        if let Some(trace) = &mut record.trace {
            trace.failed(outcome.into());
        }
        let metrics = self.worker.metrics.upstream(record.upstream);
        let first_byte = record.header.take();
        metrics.finished(outcome, first_byte);
        metrics.retried(reason);
        record.retries.push(reason.as_str());
    }
}

/// A peer that has ended its side closes the connection soon after, and resets it then if it has left something unread.
async fn wait_for_reset(exchange: &AnyExchange) {
    for _ in 0..5 {
        if !exchange.may_turn_out_unread() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Whether another endpoint of the same upstream may do better.
const fn unread_elsewhere(reason: Retried, endpoints: usize) -> bool {
    matches!(reason, Retried::Unread | Retried::Unacknowledged) && endpoints > 1
}
