//! Whether a request that waits for its answer has got anywhere, looked at now and then.

use std::time::{Duration, Instant};

use crate::upstream::AnyExchange;
use crate::upstream::exchange::Receipt;
use crate::worker::Worker;

/// From one look to the next where the kernel tells of endpoints: about when a segment is first sent again.
const STEP: Duration = Duration::from_millis(250);
/// The worker's clock may be behind by that much, and so a look too early.
const EARLY: Duration = Duration::from_millis(100);
/// After so many times the limit it stays as it is.
const MOST: u32 = 3;

/// As long as it is there, the request may have been sent in vain.
#[derive(Debug)]
pub(super) struct Doubt {
    since: Instant,
    /// When nothing is acknowledged after so long, the request is taken back; zero leaves it where it is.
    limit: Duration,
    /// How long to wait until the next look.
    pub(super) step: Duration,
    /// How often it was looked.
    pub(super) looks: u32,
    /// There is nothing more to be found out.
    is_over: bool,
}

impl Doubt {
    /// Of a request that is being sent since then, and given up after `patience` at any rate.
    pub(super) fn new(
        worker: &Worker,
        exchange: &AnyExchange,
        since: Option<Instant>,
        patience: Duration,
    ) -> Self {
        let limit = worker.live().retries.unacknowledged;
        let origin = worker.origin(exchange.endpoint().upstream());
        let has_choice = origin.is_some_and(|origin| origin.dialer.roster().has_choice());
        let may_be_told = worker.sockets.sees_endpoints() && has_choice;
        Self {
            since: since.unwrap_or_else(Instant::now),
            limit,
            step: if may_be_told { STEP.min(limit) } else { limit },
            looks: 0,
            is_over: limit.is_zero() || limit >= patience,
        }
    }

    /// Whether there is any.
    pub(super) const fn is_there(&self) -> bool {
        !self.is_over
    }

    /// There is no more to be found out.
    pub(super) const fn end(&mut self) {
        self.is_over = true;
    }

    /// Whether the request is to be taken back: nothing of it was acknowledged for long, or for a short time by an endpoint
    /// that has been ejected meanwhile.
    pub(super) fn is_justified(&mut self, worker: &Worker, exchange: &AnyExchange) -> bool {
        self.looks += 1;
        let waited = self.since.elapsed();
        let is_due = waited + EARLY >= self.limit;
        if !is_due && !exchange.endpoint().is_ejected() {
            return false;
        }
        let receipt = exchange.receipt(&worker.sockets);
        self.is_over = receipt == Receipt::Possible || waited > self.limit * MOST;
        receipt == Receipt::None
    }

    /// For how long there has been.
    pub(super) fn age(&self) -> Duration {
        Duration::from_millis(u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX))
    }
}
