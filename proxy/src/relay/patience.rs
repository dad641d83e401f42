//! How long a request is waited for, whatever it is that is waited for.

use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::Instant;

use crate::account::RequestRecord;
use crate::config::Treatment;
use crate::connection::timer::Timer;
use crate::error::ProxyError;
use crate::worker::Worker;

/// Waits, with a sign of life to the client now and then.
#[derive(Debug)]
pub struct Patience {
    /// How the request is treated.
    pub treatment: Treatment,
    /// When the time is over that it has in all.
    end: Option<Instant>,
    /// When the present wait is over.
    over: Instant,
    /// How often to give a sign of life meanwhile.
    every: Option<Duration>,
}

/// What there is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Give a sign of life.
    Sign,
    /// Stop to wait.
    Over,
}

impl Patience {
    /// For the request of this record.
    pub fn new(worker: &Worker, record: &RequestRecord) -> Self {
        let treatment = worker.treatment(record.route);
        let started = Instant::from_std(record.started);
        Self {
            treatment,
            end: (!treatment.total.is_zero()).then(|| started + treatment.total),
            over: started,
            every: None,
        }
    }

    /// Begins another wait, for so long at most.
    #[inline]
    pub fn wait(&mut self, timer: &mut Timer, now: Instant, limit: Duration, gives_signs: bool) {
        let over = now + limit;
        self.over = self.end.map_or(over, |end| end.min(over));
        let every = self.treatment.keep_alive;
        self.every = (gives_signs && !every.is_zero()).then_some(every);
        timer.set(now, self.next(now));
    }

    /// Ready when there is something to do.
    pub fn poll(&mut self, cx: &mut Context<'_>, timer: &mut Timer) -> Poll<Event> {
        ready!(timer.poll_expired(cx));
        let now = Instant::now();
        if now >= self.over {
            return Poll::Ready(Event::Over);
        }
        timer.set(now, self.next(now));
        Poll::Ready(Event::Sign)
    }

    fn next(&self, now: Instant) -> Duration {
        let left = self.over.saturating_duration_since(now);
        self.every.map_or(left, |every| every.min(left))
    }

    /// What is left of the time there is in all.
    pub fn left(&self) -> Option<Duration> {
        self.end
            .map(|end| end.saturating_duration_since(Instant::now()))
    }

    /// Whether the time there is in all is over.
    pub fn is_at_end(&self) -> bool {
        self.end.is_some_and(|end| Instant::now() >= end)
    }

    /// Why the wait is over; `otherwise` if the time there is in all is not.
    pub fn error(&self, otherwise: ProxyError) -> ProxyError {
        match self.end {
            Some(end) if Instant::now() >= end => ProxyError::TotalTimeout(self.treatment.total),
            _ => otherwise,
        }
    }
}
