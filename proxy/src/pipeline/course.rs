//! pick: which upstream and which key a request is sent with, at first and when that has failed.

use std::net::SocketAddr;
use std::ops::Range;
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::account::RequestRecord;
use crate::config::{ModelMap, Target};
use crate::error::ProxyError;
use crate::forward::{Rename, retarget};
use crate::route::{Route, RouteId};
use crate::upstream::{Message, Origin, Place, circuit};
use crate::worker::Worker;

/// A request's way from upstream to upstream.
#[derive(Debug)]
pub(super) struct Course {
    /// Where it is written for.
    pub(super) place: Place,
    /// It asks to switch to a WebSocket.
    pub(super) switches: bool,
    /// Where the last attempt failed.
    pub(super) avoid: Option<SocketAddr>,
    /// Upstreams that have failed, a bit for each slot.
    failed: u64,
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
    pub(super) const fn new(place: Place, switches: bool) -> Self {
        Self {
            place,
            switches,
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
    pub(super) const fn origin(&self) -> &Rc<Origin> {
        &self.place.origin
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
    pub(super) fn enter(&self) -> Result<(), ProxyError> {
        let breaker = &self.origin().link.breaker;
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
        let left = |(_, origin): &&(&Target, Rc<Origin>)| self.failed & bit(origin) == 0;
        let mut usable = targets.iter().filter(left);
        let Some((target, origin)) = usable.find(|(_, origin)| may_pass(&origin.link.breaker, now))
        else {
            let pauses = targets.iter();
            let pauses = pauses.map(|(_, origin)| origin.link.breaker.pause_left(now));
            return Err(match pauses.min() {
                Some(pause) => unavailable(pause),
                None => ProxyError::NoUpstream,
            });
        };
        let place = Place {
            key: origin.link.keys.current(),
            origin: Rc::clone(origin),
        };
        let called = target.model.clone();
        self.go(worker, place, called, message)
    }

    /// Whether another upstream may be asked instead of the present one.
    pub(super) fn has_other(&self, worker: &Worker, route: Option<RouteId>) -> bool {
        let (Some(route), true) = (route, worker.has_upstreams()) else {
            return false;
        };
        let now = Instant::now();
        let failed = self.failed | bit(self.origin());
        let map = worker.model_map();
        let targets = self.targets(&map, worker, route.get());
        let mut others = targets.iter().filter(|(_, origin)| {
            let breaker = &origin.link.breaker;
            let is_usable = breaker.is_closed() || breaker.pause_left(now).is_zero();
            failed & bit(origin) == 0 && is_usable
        });
        others.next().is_some()
    }

    /// The present upstream has failed.
    pub(super) fn has_failed(&mut self) {
        self.failed |= bit(self.origin());
    }

    /// All upstreams may be asked again.
    pub(super) const fn forgive(&mut self) {
        self.failed = 0;
    }

    /// Upstreams that can serve the request, in order.
    fn targets<'a>(
        &self,
        map: &'a ModelMap,
        worker: &Worker,
        route: &Route,
    ) -> Vec<(&'a Target, Rc<Origin>)> {
        let origins = worker.origins();
        let all = map.of(self.model.as_deref()).iter();
        let all = all.filter_map(|target| {
            let origin = origins.get(usize::from(target.upstream))?;
            Some((target, Rc::clone(origin)))
        });
        let speaks =
            |(_, origin): &(&Target, Rc<Origin>)| origin.settings().dialect.speak(route.dialect);
        // What is stored upstream is there and nowhere else.
        let most = if route.is_stored() { 1 } else { usize::MAX };
        all.filter(speaks).take(most).collect()
    }

    /// Writes the request for another place, or another key, unless that is where it is.
    pub(super) fn go(
        &mut self,
        worker: &Worker,
        place: Place,
        called: Option<Box<str>>,
        message: &mut Message,
    ) -> Result<(), ProxyError> {
        let is_there = place.is(&self.place) && called == self.called;
        if is_there || !worker.config.auth.injects_key() {
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
        let new = retarget(worker, message, self.origin(), &place, rename.as_ref())?;
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
    pub(super) fn succeeded(&self, now: Instant) {
        self.origin().link.breaker.succeeded(now);
    }

    /// Something went wrong that is the upstream's fault.
    pub(super) fn failed(&self, worker: &Worker, now: Instant) {
        let settings = worker.live().breaker;
        let limits = circuit::Limits {
            failures: settings.failures,
            pause: settings.pause,
            max_pause: settings.max_pause,
        };
        let link = &self.origin().link;
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
        record.upstream = self.origin().link.slot;
    }
}

/// The upstream's bit among those that have failed.
fn bit(origin: &Origin) -> u64 {
    1 << origin.link.slot
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
