//! Which endpoint gets a request: of two that chance has picked, the one where it will probably wait less.
//!
//! What is compared is the requests under way, plus one, times a moving average of the time to the first byte, times how
//! much upstream's endpoint has failed lately, times what the kernel sees of its connections. Failures do not count as
//! answers: an endpoint that refuses everything within a millisecond does not look fast.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::connect::Connection;
use super::endpoint::{Endpoint, Endpoints, Load};
use crate::kernel::EndpointView;
use crate::metrics::{UpstreamMetrics, WorkerMetrics};

/// Seconds after which an answer counts for half in the average, and after which an average is taken for a third of what it
/// was if nothing has been asked since: what was slow once may no longer be.
const MEMORY: f32 = 3.0;
/// What an endpoint is taken to need of which nothing is known otherwise; microseconds.
const UNKNOWN: f32 = 1e9;
/// By how much an endpoint that only fails is dearer than one that never does.
const FAILING: f32 = 20.0;
/// The share of the last outcome in the average of failures.
const LATEST: f32 = 0.2;
/// An answer that took so many times the average, as one of a path that was broken meanwhile does, counts for no more.
const SURPRISE: f32 = 4.0;
/// Seconds after which failures count for half: one that has failed once is soon tried again, and ejected if that goes on.
const FORGIVING: f32 = 1.0;
/// By how much the kernel's view can make an endpoint dearer.
const DEAREST: f32 = 8.0;
/// Round trips that differ by much less than this are the same.
const ROUND_TRIP: Duration = Duration::from_millis(20);
/// Segments sent again without any acknowledgement after which an endpoint is taken to be gone.
const UNANSWERED: u32 = 3;
/// One that was heard from so shortly before a request was sent may have been there to receive it: acknowledgements are put
/// off for 40 ms.
const ALIVE: Duration = Duration::from_millis(100);

/// Longer pauses in what is heard from an endpoint may be failures of its path.
const SILENCE: Duration = Duration::from_millis(250);
/// What an endpoint has received is acknowledged by then, over any but the longest paths, even if it puts that off and
/// some of it has to be sent again.
const ACKNOWLEDGED: Duration = Duration::from_millis(500);

/// An endpoint as one worker knows it, with the connections it has there.
#[derive(Debug)]
pub struct Local {
    /// What all workers share of it.
    pub shared: Arc<Endpoint>,
    all: Arc<Endpoints>,
    metrics: Arc<WorkerMetrics>,
    upstream: usize,
    worker: usize,
    /// Those that have carried a request.
    pub(super) idle: RefCell<Vec<Connection>>,
    /// Those opened ahead of need.
    pub(super) unused: RefCell<Vec<Connection>>,
    /// Its address is no longer one of the name's.
    pub(super) gone: Cell<bool>,
    /// The most requests under way at a time since [`Local::busiest`] was asked.
    most_in_flight: Cell<u32>,
    answered: Cell<Instant>,
    /// When a response last began on one of its connections.
    heard: Cell<Instant>,
    /// When that was after a silence.
    back: Cell<Instant>,
    /// The share of failures, lately, as it was when the last one came.
    failing: Cell<f32>,
    failed: Cell<Instant>,
    /// What the kernel sees of its connections' troubles, as a factor.
    strain: Cell<f32>,
    /// The same of their round trips.
    distance: Cell<f32>,
    seen: Cell<EndpointView>,
    /// Whether it can be connected to is being found out.
    pub(super) is_checking: Cell<bool>,
}

impl std::fmt::Display for Local {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.shared.address.fmt(f)
    }
}

impl Local {
    /// Nothing has been sent there yet.
    pub fn new(
        shared: Arc<Endpoint>,
        all: &Arc<Endpoints>,
        metrics: &Arc<WorkerMetrics>,
        (upstream, worker): (usize, usize),
    ) -> Rc<Self> {
        Rc::new(Self {
            shared,
            all: Arc::clone(all),
            metrics: Arc::clone(metrics),
            upstream,
            worker,
            idle: RefCell::default(),
            unused: RefCell::default(),
            gone: Cell::new(false),
            most_in_flight: Cell::default(),
            answered: Cell::new(Instant::now()),
            heard: Cell::new(Instant::now()),
            back: Cell::new(Instant::now()),
            failing: Cell::new(0.0),
            failed: Cell::new(Instant::now()),
            strain: Cell::new(1.0),
            distance: Cell::new(1.0),
            seen: Cell::default(),
            is_checking: Cell::new(false),
        })
    }

    /// The position of its upstream.
    #[inline]
    pub const fn upstream(&self) -> usize {
        self.upstream
    }

    /// Its upstream's metrics.
    #[inline]
    pub fn metrics(&self) -> &UpstreamMetrics {
        self.metrics.upstream(self.upstream)
    }

    #[inline]
    pub(super) fn load(&self) -> &Load {
        self.shared.load(self.worker)
    }

    /// Whether it gets no requests.
    pub fn is_ejected(&self) -> bool {
        self.shared.circuit.state() == super::circuit::State::Open
    }

    /// Whether it is time to find out if it can be connected to, and nobody does yet.
    pub(super) fn begins_check(&self, now: Instant) -> bool {
        self.shared.circuit.is_due(now) && !self.is_checking.replace(true)
    }

    /// One more request is under way.
    #[inline]
    pub(super) fn begin(&self) {
        self.load().begin();
        let most = self.most_in_flight.get().max(self.load().in_flight());
        self.most_in_flight.set(most);
    }

    /// How many requests are under way.
    pub(super) fn in_flight(&self) -> usize {
        self.load().in_flight() as usize
    }

    /// The most at a time since this was last asked.
    pub(super) fn busiest(&self) -> usize {
        self.most_in_flight.replace(self.load().in_flight()) as usize
    }

    /// How many connections wait for a request.
    pub(super) fn waiting(&self) -> usize {
        self.idle.borrow().len() + self.unused.borrow().len()
    }

    /// What a request would wait there, in a unit of its own. Of an endpoint nothing is known of one request finds out: one
    /// that `connects` anyway, or that has a connection there.
    #[expect(clippy::cast_precision_loss, reason = "an estimate")]
    pub fn cost(&self, now: Instant, connects: bool) -> f32 {
        let in_flight = self.load().in_flight();
        let known = match self.load().first_byte() {
            0 if in_flight == 0 && (connects || self.waiting() > 0) => 0.0,
            0 => UNKNOWN,
            micros if in_flight == 0 => micros as f32 * (-self.age(now) / MEMORY).exp(),
            // What is asked now may be all the slower.
            micros => micros as f32,
        };
        let queue = (in_flight + 1) as f32;
        let seen = (self.strain.get() * self.distance.get()).min(DEAREST);
        queue * known * (1.0 + FAILING * self.failing(now)) * seen
    }

    fn age(&self, now: Instant) -> f32 {
        since(self.answered.get(), now)
    }

    fn failing(&self, now: Instant) -> f32 {
        self.failing.get() / (1.0 + since(self.failed.get(), now) / FORGIVING)
    }

    /// Bytes of a response have come on one of its connections: its first, or later ones.
    #[inline]
    pub(super) fn hears(&self, now: Instant) {
        if now.saturating_duration_since(self.heard.replace(now)) > SILENCE {
            self.back.set(now);
        }
    }

    /// Whether a request that was sent then, and of which nothing is acknowledged, may have been received all the same: the
    /// endpoint was heard from later or shortly before, so the path may have been whole, and broken before the
    /// acknowledgement, which may be put off, came back. Not if the endpoint was heard from steadily for long enough to
    /// acknowledge what was sent again.
    pub(super) fn may_have_received(&self, sent: Instant) -> bool {
        let heard = self.heard.get();
        let is_steady = self.back.get() <= sent && heard >= sent + ACKNOWLEDGED;
        heard + ALIVE > sent && !is_steady
    }

    /// A response has begun so long after its request.
    #[inline]
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        clippy::cast_sign_loss,
        reason = "an hour is 3.6e9 microseconds, which fit; an estimate"
    )]
    pub fn answered(&self, first_byte: Duration, now: Instant) {
        let sample = first_byte.as_secs_f32() * 1e6;
        let average = match self.load().first_byte() {
            0 => sample,
            before => {
                let age = self.age(now);
                let share = (age / (age + MEMORY)).max(0.05);
                let before = before as f32;
                before + (sample.min(before * SURPRISE) - before) * share
            }
        };
        self.load().set_first_byte((average as u32).max(1));
        self.answered.set(now);
        self.failing.set(self.failing.get() * (1.0 - LATEST));
        self.shared.circuit.succeeded(now);
    }

    /// Something that is its fault went wrong.
    pub fn failed(&self, limits: &super::circuit::Limits, now: Instant) {
        let failing = self.failing(now);
        self.failing.set(failing + (1.0 - failing) * LATEST);
        self.failed.set(now);
        self.load().count_failure();
        self.all.failed(&self.shared, limits, now);
    }

    /// Takes note of what the kernel sees of its connections, `nearest` being the shortest round trip to any endpoint.
    /// Whether it is time to send nothing there, although no request has failed yet.
    #[expect(clippy::cast_precision_loss, reason = "an estimate")]
    pub(super) fn look(&self, view: &EndpointView, nearest: Duration) -> bool {
        let here = (view.rtt.unwrap_or(nearest) + ROUND_TRIP).as_secs_f32();
        self.distance
            .set(here / (nearest + ROUND_TRIP).as_secs_f32());
        let before = self.seen.replace(*view);
        let new = |of: fn(&EndpointView) -> u32| of(view).wrapping_sub(of(&before)) as f32;
        let trouble = new(|view| view.retransmits)
            + 4.0 * new(|view| view.resets)
            + 4.0 * new(|view| view.connect_failures);
        // Half of what there was is forgotten at each look.
        let strain = 1.0 + (self.strain.get() - 1.0) / 2.0 + trouble / 4.0;
        self.strain.set(strain.min(DEAREST));
        let is_silent = match (view.since_acked, view.since_lost) {
            (Some(acked), Some(lost)) => lost < acked,
            (None, Some(_)) => true,
            _ => false,
        };
        is_silent && view.unanswered >= UNANSWERED
    }

    /// Ejects it because of what was seen.
    pub(super) fn eject(&self, limits: &super::circuit::Limits, now: Instant) {
        if self.all.eject(&self.shared, limits, now) {
            self.metrics().ejected_by_kernel.inc();
        }
    }
}

fn since(then: Instant, now: Instant) -> f32 {
    now.saturating_duration_since(then).as_secs_f32()
}

/// Of two endpoints picked by chance the cheaper one comes first; the rest follows in the order of its cost.
pub fn order(all: &[Rc<Local>], random: &mut fastrand::Rng, now: Instant) -> Vec<Rc<Local>> {
    let mut costs: Vec<_> = all
        .iter()
        .map(|local| (local.cost(now, true), Rc::clone(local)))
        .collect();
    // Those that cost the same are as good as each other: not all requests go to the first.
    random.shuffle(&mut costs);
    costs.sort_by(|(one, _), (other, _)| one.total_cmp(other));
    if costs.len() > 2 {
        let (one, other) = pair(costs.len(), random);
        let first = costs.remove(one.min(other));
        costs.insert(0, first);
    }
    costs.into_iter().map(|(_, local)| local).collect()
}

/// Two different positions below `count`, which is at least two.
pub(super) fn pair(count: usize, random: &mut fastrand::Rng) -> (usize, usize) {
    let one = random.usize(..count);
    let other = random.usize(..count - 1);
    (one, if other < one { other } else { other + 1 })
}

#[cfg(test)]
mod tests;
