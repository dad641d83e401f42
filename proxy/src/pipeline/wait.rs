//! How long a response's head is waited for, and what there is to do meanwhile: signs of life for the client, looks at
//! whether the request has got anywhere, a second request elsewhere.

use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::Instant;

use super::body::Observed;
use super::doubt::Doubt;
use crate::account::RequestRecord;
use crate::downstream::Downstream;
use crate::error::ProxyError;
use crate::relay::early;
use crate::relay::patience::{Event, Patience};
use crate::upstream::AnyExchange;
use crate::worker::Worker;

/// What waiting for a response's head has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// It is there.
    Head,
    /// It is time for a second request.
    Due,
}

/// What the timer was set for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct State {
    pulled: u64,
    is_sent: bool,
    looks: u32,
}

/// The wait for one head.
#[derive(Debug)]
pub(super) struct Wait {
    patience: Patience,
    doubt: Doubt,
    /// When it is time for a second request, counted from `sent`.
    second: Option<Duration>,
    /// Since when all of the request has left.
    sent: Option<Instant>,
    set_for: Option<State>,
}

impl Wait {
    /// For the answer to this request, perhaps with a second request after so long.
    pub(super) fn new(
        worker: &Worker,
        exchange: &AnyExchange,
        record: &RequestRecord,
        second: Option<Duration>,
    ) -> Self {
        let patience = Patience::new(worker, record);
        let limit = patience.treatment.first_byte;
        Self {
            doubt: Doubt::new(worker, exchange, record.sent_upstream, limit),
            second: second.filter(|second| *second < limit),
            patience,
            sent: None,
            set_for: None,
        }
    }

    /// There will be no second request, and so no time for it.
    pub(super) fn without_second(&mut self) {
        self.second = None;
        self.set_for = None;
    }

    /// A second request is out: what has become of the first no longer decides.
    pub(super) fn with_second(&mut self) {
        self.without_second();
        self.doubt.end();
    }

    /// Gives signs of life until it is time for something else: a second request, or an error. Looks at times whether the
    /// request is to be taken back, which is an error, too.
    pub(super) fn poll<D: Downstream>(
        &mut self,
        cx: &mut Context<'_>,
        worker: &Worker,
        exchange: &AnyExchange,
        body: &mut Observed<'_, D>,
        record: &mut RequestRecord,
    ) -> Poll<Result<Progress, ProxyError>> {
        if worker.is_cut() {
            return Poll::Ready(Err(ProxyError::Stopping));
        }
        loop {
            self.set_timer(worker, exchange, body);
            if ready!(self.patience.poll(cx, body.client.timer())) == Event::Sign {
                early::sign(worker, body.client, record);
                if let Poll::Ready(Err(error)) = body.client.poll_flush(cx) {
                    return Poll::Ready(Err(error));
                }
            } else if let Some(result) = self.is_over(worker, exchange) {
                return Poll::Ready(result.map_err(|error| self.patience.error(error)));
            } else {
                self.set_for = None;
            }
        }
    }

    /// For what comes next, unless it is set for that.
    fn set_timer<D: Downstream>(
        &mut self,
        worker: &Worker,
        exchange: &AnyExchange,
        body: &mut Observed<'_, D>,
    ) {
        let state = State {
            pulled: exchange.pulled(),
            is_sent: exchange.is_sent(),
            looks: self.doubt.looks,
        };
        if self.set_for.replace(state) == Some(state) {
            return;
        }
        let now = worker.now();
        let mut next = worker.live().timeouts.client_body;
        if state.is_sent {
            let waited = now - *self.sent.get_or_insert(now);
            let limit = self.patience.treatment.first_byte;
            next = self.second.unwrap_or(limit).saturating_sub(waited);
            if self.doubt.is_there() {
                next = next.min(self.doubt.step);
            }
        }
        let gives_signs = state.is_sent && body.asked().is_some_and(|asked| asked.is_stream);
        let timer = body.client.timer();
        self.patience.wait(timer, now, next, gives_signs);
    }

    /// What follows from the time that has passed, if anything.
    fn is_over(
        &mut self,
        worker: &Worker,
        exchange: &AnyExchange,
    ) -> Option<Result<Progress, ProxyError>> {
        let limit = self.patience.treatment.first_byte;
        let Some(sent) = self.sent.filter(|_| exchange.is_sent()) else {
            let limit = worker.live().timeouts.client_body;
            return Some(Err(match exchange.is_blocked() {
                true => ProxyError::UpstreamIdleTimeout(limit),
                false => ProxyError::RequestTimeout,
            }));
        };
        let waited = sent.elapsed();
        if waited >= limit || self.patience.is_at_end() {
            return Some(Err(ProxyError::UpstreamFirstByteTimeout(limit)));
        }
        if self.second.is_some_and(|second| waited >= second) {
            return Some(Ok(Progress::Due));
        }
        let is_lost = self.doubt.is_there() && self.doubt.is_justified(worker, exchange);
        is_lost.then(|| Err(ProxyError::UpstreamFirstByteTimeout(self.doubt.age())))
    }
}
