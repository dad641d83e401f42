//! pick: which upstream and which key a request is sent with, at first and when that has failed.

use std::net::SocketAddr;
use std::ops::Range;
use std::time::{Duration, Instant};

use crate::account::RequestRecord;
use crate::config::{ModelMap, Target};
use crate::error::ProxyError;
use crate::forward::{Outbound, Rename, retarget};
use crate::route::{Route, RouteId};
use crate::upstream::{Message, Origin, circuit};
use crate::worker::Worker;

/// A request's way from upstream to upstream.
#[derive(Debug)]
pub(super) struct Course {
    /// The positions of the upstream it is written for, and of the key there.
    pub(super) place: (usize, usize),
    /// It asks to switch to a WebSocket.
    pub(super) switches: bool,
    /// Where the last attempt failed.
    pub(super) avoid: Option<SocketAddr>,
    /// Upstreams that have failed, a bit for each.
    failed: u32,
    /// Repeats there have been.
    pub(super) repeats: u32,
    /// The model, as the client calls it.
    model: Option<Box<str>>,
    /// What it is called in the request as it is, if that differs.
    called: Option<Box<str>>,
    /// Where that stands in the body.
    pub(super) model_at: Option<Range<usize>>,
}

impl Course {
    /// The way begins.
    pub(super) const fn new(outbound: &Outbound) -> Self {
        Self {
            place: outbound.place,
            switches: outbound.switches,
            avoid: None,
            failed: 0,
            repeats: 0,
            model: None,
            called: None,
            model_at: None,
        }
    }

    /// The upstream.
    #[inline]
    pub(super) fn origin<'a>(&self, worker: &'a Worker) -> &'a Origin {
        worker.origin(self.place.0)
    }

    /// The model is known, as the client calls it.
    pub(super) fn is_for(&mut self, model: Option<&str>, at: Option<Range<usize>>) {
        self.model = model.map(Into::into);
        self.model_at = at;
    }

    /// Whether the only upstream may be asked.
    ///
    /// # Errors
    /// [`ProxyError::UpstreamUnavailable`].
    #[inline]
    pub(super) fn enter(&self, worker: &Worker) -> Result<(), ProxyError> {
        let breaker = &self.origin(worker).link.breaker;
        if breaker.is_closed() {
            return Ok(());
        }
        let now = Instant::now();
        match may_pass(breaker, now) {
            true => Ok(()),
            false => Err(unavailable(breaker.pause_left(now))),
        }
    }

    /// Chooses among several upstreams the first that may be asked and has not failed yet, and writes the request for it.
    ///
    /// # Errors
    /// If there is none.
    pub(super) fn choose(
        &mut self,
        worker: &Worker,
        route: &Route,
        message: &mut Message,
    ) -> Result<(), ProxyError> {
        let now = Instant::now();
        let map = worker.model_map();
        let targets = self.targets(&map, worker, route);
        let left = |target: &&Target| self.failed & 1 << target.upstream == 0;
        let breaker = |target: &Target| &worker.origin(target.upstream.into()).link.breaker;
        let mut usable = targets.iter().copied().filter(left);
        let Some(target) = usable.find(|target| may_pass(breaker(target), now)) else {
            let pauses = targets.iter().map(|target| breaker(target).pause_left(now));
            return Err(match pauses.min() {
                Some(pause) => unavailable(pause),
                None => ProxyError::NoUpstream,
            });
        };
        let key = worker.origin(target.upstream.into()).link.keys.current();
        let called = target.model.clone();
        self.go(worker, (target.upstream.into(), key), called, message)
    }

    /// Whether another upstream may be asked instead of the present one.
    pub(super) fn has_other(&self, worker: &Worker, route: Option<RouteId>) -> bool {
        let (Some(route), true) = (route, worker.origins.len() > 1) else {
            return false;
        };
        let now = Instant::now();
        let failed = self.failed | 1 << self.place.0;
        let map = worker.model_map();
        let targets = self.targets(&map, worker, route.get());
        let mut others = targets.iter().filter(|target| {
            let breaker = &worker.origin(target.upstream.into()).link.breaker;
            let is_usable = breaker.is_closed() || breaker.pause_left(now).is_zero();
            failed & 1 << target.upstream == 0 && is_usable
        });
        others.next().is_some()
    }

    /// The present upstream has failed.
    pub(super) const fn has_failed(&mut self) {
        self.failed |= 1 << self.place.0;
    }

    /// All upstreams may be asked again.
    pub(super) const fn forgive(&mut self) {
        self.failed = 0;
    }

    /// Upstreams that can serve the request, in order.
    fn targets<'a>(&self, map: &'a ModelMap, worker: &Worker, route: &Route) -> Vec<&'a Target> {
        let all = map.of(self.model.as_deref()).iter();
        let speaks = |target: &&Target| {
            let origin = worker.origin(target.upstream.into());
            origin.settings().dialect.speak(route.dialect)
        };
        // What is stored upstream is there and nowhere else.
        let most = if route.is_stored() { 1 } else { usize::MAX };
        all.filter(speaks).take(most).collect()
    }

    /// Writes the request for another place, or another key, unless that is where it is.
    pub(super) fn go(
        &mut self,
        worker: &Worker,
        place: (usize, usize),
        called: Option<Box<str>>,
        message: &mut Message,
    ) -> Result<(), ProxyError> {
        if (place, &called) == (self.place, &self.called) || !worker.config.auth.injects_key() {
            return Ok(());
        }
        let name = called.as_deref().or(self.model.as_deref());
        let is_renamed = called != self.called;
        let rename = name.filter(|_| is_renamed).map(|to| Rename {
            at: self.model_at.clone(),
            to,
        });
        // Without a place in the body the name can stand in a session's query only.
        let rename = rename.filter(|rename| rename.at.is_some() || self.switches);
        let (from, to) = (self.origin(worker), worker.origin(place.0));
        let new = retarget(worker, message, from, (to, place.1), rename.as_ref())?;
        if let (Some(at), Some(Rename { to, .. })) = (&mut self.model_at, &rename) {
            at.end = at.start + to.len();
        }
        let old = std::mem::replace(message, new);
        worker.spare.keep_buffer(old.bytes);
        self.place = place;
        self.called = called;
        Ok(())
    }

    /// What the model is called where the request goes now.
    pub(super) fn called(&self) -> Option<Box<str>> {
        self.called.clone()
    }

    /// Something went well.
    #[inline]
    pub(super) fn succeeded(&self, worker: &Worker, now: Instant) {
        self.origin(worker).link.breaker.succeeded(now);
    }

    /// Something went wrong that is the upstream's fault.
    pub(super) fn failed(&self, worker: &Worker, now: Instant) {
        let settings = worker.live().breaker;
        let limits = circuit::Limits {
            failures: settings.failures,
            pause: settings.pause,
            max_pause: settings.max_pause,
        };
        let link = &self.origin(worker).link;
        if link.breaker.failed(&limits) && link.breaker.open(&limits, now) {
            let pause = link.breaker.pause_left(now);
            tracing::warn!(
                upstream = link.settings.name,
                ?pause,
                "upstream is left alone"
            );
        }
    }

    /// Notes where the request is sent.
    #[inline]
    pub(super) fn note(&self, record: &mut RequestRecord) {
        record.upstream = self.place.0;
    }
}

/// Whether a request may be sent through; of one that is due, it is the one that tries.
fn may_pass(breaker: &circuit::Circuit, now: Instant) -> bool {
    breaker.half_open(now);
    breaker.admits(now)
}

fn unavailable(pause: Duration) -> ProxyError {
    let seconds = u32::try_from(pause.as_millis().div_ceil(1000)).unwrap_or(u32::MAX);
    ProxyError::UpstreamUnavailable {
        retry_after: seconds.max(1),
    }
}
