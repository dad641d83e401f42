//! The part of `/status` about upstreams: endpoints, keys, connections.

use std::time::Instant;

use serde::Serialize;

use super::Admin;
use super::windows::WindowsStatus;
use crate::kernel::{EndpointView, Sockets};
use crate::upstream::Link;
use crate::upstream::dns::Resolution;
use crate::upstream::endpoint::Endpoint;
use crate::upstream::keys::Key;

/// An upstream's state.
#[derive(Debug, Serialize)]
pub struct UpstreamStatus {
    /// Its name in metrics and logs.
    pub name: String,
    /// Where it is.
    pub base_url: String,
    /// Whose API it has.
    pub dialect: crate::config::Dialects,
    /// Why it cannot be used: its name is not resolved, or it cannot be reached.
    pub unusable: Option<String>,
    /// Whether it gets requests: `closed` if so, `open`, or `half_open` while one at a time tries.
    pub breaker: &'static str,
    /// Seconds until one may try.
    pub breaker_pause_seconds: f64,
    /// Addresses its name resolves to, or why there are none.
    pub addresses: Vec<String>,
    /// Why there are no addresses.
    pub resolution_error: Option<String>,
    /// What is known of each address.
    pub endpoints: Vec<EndpointStatus>,
    /// Whether there is a key to send.
    pub has_key: bool,
    /// Its keys, by name.
    pub keys: Vec<KeyStatus>,
    /// Connections waiting for a request.
    pub idle: i64,
    /// Connections with a request.
    pub active: i64,
    /// Connections made since the start.
    pub connects: u64,
    /// Of those, how many a request waited for.
    pub cold_connects: u64,
    /// Attempts that failed.
    pub connect_failures: u64,
    /// Requests sent again, by why.
    pub retries: Vec<RetryCount>,
    /// How much connections may send at once, to any of several upstreams; with the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub windows: Option<WindowsStatus>,
}

/// How often requests were sent again for one reason.
#[derive(Debug, Serialize)]
pub struct RetryCount {
    /// The reason.
    pub reason: &'static str,
    /// How often.
    pub count: u64,
}

/// What is known of an endpoint.
#[derive(Debug, Serialize)]
pub struct EndpointStatus {
    /// Its address.
    pub address: String,
    /// Whether it gets requests: `closed` if so, `open` while it is ejected, `half_open` while one at a time tries.
    pub state: &'static str,
    /// Failures in a row.
    pub failures_in_a_row: u32,
    /// How often it was ejected.
    pub ejections: u64,
    /// Requests under way.
    pub in_flight: u64,
    /// Requests sent.
    pub requests: u64,
    /// Requests and connections that failed.
    pub failures: u64,
    /// Moving average of the time to the first byte.
    pub first_byte_ms: Option<f64>,
    /// What the kernel sees, if its programs run.
    pub kernel: Option<EndpointKernel>,
}

/// What the kernel sees of an endpoint's connections.
#[derive(Debug, Serialize)]
pub struct EndpointKernel {
    /// The smoothed round trip.
    pub rtt_ms: Option<f64>,
    /// Connections established.
    pub connects: u32,
    /// Connections that could not be.
    pub connect_failures: u32,
    /// Established ones that were reset.
    pub resets: u32,
    /// Segments sent again.
    pub retransmits: u32,
    /// Of these, since anything was acknowledged.
    pub unanswered: u32,
}

/// What is known of a key. Never the key.
#[derive(Debug, Serialize)]
pub struct KeyStatus {
    /// Its name.
    pub name: String,
    /// Whether it is there.
    pub present: bool,
    /// Whether it is there and upstream takes it, as far as is known.
    pub usable: bool,
    /// Whether requests are sent with it.
    pub current: bool,
    /// How often upstream refused it.
    pub refusals: u64,
    /// Seconds for which it is left alone, if there is another.
    pub pause_seconds: f64,
}

impl UpstreamStatus {
    pub(super) fn first(admin: &Admin) -> Self {
        let first = Self::of(admin, admin.readiness.links.load().first());
        Self {
            windows: Some(WindowsStatus::of(admin)),
            ..first
        }
    }

    pub(super) fn others(admin: &Admin) -> Vec<Self> {
        let links = admin.readiness.links.load();
        links
            .others()
            .iter()
            .map(|link| Self::of(admin, link))
            .collect()
    }

    fn of(admin: &Admin, link: &Link) -> Self {
        let workers = admin.readiness.metrics.workers().iter();
        let upstreams: Vec<_> = workers.map(|worker| worker.upstream(link.slot)).collect();
        let (addresses, resolution_error) = match &*link.addresses.now() {
            Resolution::Known(known) => (known.iter().map(ToString::to_string).collect(), None),
            Resolution::Failed(reason) => (Vec::new(), Some(reason.to_string())),
            Resolution::Pending => (Vec::new(), Some("being resolved".to_owned())),
        };
        let sockets = Sockets::of(&admin.kernel);
        let endpoints = link.endpoints.all();
        let mut retries: Vec<RetryCount> = Vec::new();
        for (reason, count) in upstreams.iter().flat_map(|upstream| upstream.retries()) {
            match retries.iter_mut().find(|known| known.reason == reason) {
                Some(known) => known.count += count,
                None => retries.push(RetryCount { reason, count }),
            }
        }
        retries.retain(|known| known.count > 0);
        let now = Instant::now();
        let current = link.keys.current();
        let keys = link.keys.all().iter().enumerate();
        let keys = keys.filter(|(_, key)| key.is_meant());
        Self {
            name: link.settings.name.clone(),
            base_url: link.settings.base_url.to_string(),
            dialect: link.settings.dialect,
            unusable: admin.readiness.unusable_link(link),
            breaker: link.breaker.state().as_str(),
            breaker_pause_seconds: link.breaker.pause_left(now).as_secs_f64(),
            addresses,
            resolution_error,
            endpoints: (endpoints.iter())
                .map(|endpoint| EndpointStatus::of(endpoint, &sockets))
                .collect(),
            has_key: link.keys.is_any(),
            keys: keys
                .map(|(index, key)| KeyStatus::of(key, index == current, now))
                .collect(),
            idle: upstreams.iter().map(|u| u.idle.get()).sum(),
            active: upstreams.iter().map(|u| u.active.get()).sum(),
            connects: upstreams.iter().map(|u| u.connects.get()).sum(),
            cold_connects: upstreams.iter().map(|u| u.cold.get()).sum(),
            connect_failures: upstreams.iter().map(|u| u.connect_failures.get()).sum(),
            retries,
            windows: None,
        }
    }
}

impl UpstreamStatus {
    /// Whether it gets requests, for the status page.
    pub(super) fn breaker_in_words(&self) -> String {
        match self.breaker {
            "closed" => "closed: it gets requests".to_owned(),
            "open" if self.breaker_pause_seconds > 0.0 => format!(
                "open: no requests for {:.0} s",
                self.breaker_pause_seconds.ceil()
            ),
            _ => "half open: one request at a time".to_owned(),
        }
    }
}

impl EndpointStatus {
    fn of(endpoint: &Endpoint, sockets: &Sockets) -> Self {
        let figures = endpoint.figures();
        Self {
            address: endpoint.address.to_string(),
            state: endpoint.circuit.state().as_str(),
            failures_in_a_row: endpoint.circuit.failures(),
            ejections: endpoint.circuit.opened(),
            in_flight: figures.in_flight,
            requests: figures.requests,
            failures: figures.failures,
            first_byte_ms: figures.first_byte.map(|time| time.as_secs_f64() * 1e3),
            kernel: sockets.view(endpoint.address).map(EndpointKernel::of),
        }
    }

    /// For the status page.
    pub(super) fn in_words(&self) -> String {
        let mut words = format!(
            "{}: requests {}, failures {}, under way {}",
            self.address, self.requests, self.failures, self.in_flight
        );
        if let Some(first_byte) = self.first_byte_ms {
            words.push_str(&format!(", first byte after {first_byte:.0} ms"));
        }
        if let Some(rtt) = self.kernel.as_ref().and_then(|kernel| kernel.rtt_ms) {
            words.push_str(&format!(", round trip {rtt:.1} ms"));
        }
        match self.state {
            "open" => words.push_str(" – ejected"),
            "half_open" => words.push_str(" – on trial"),
            _ => {}
        }
        words
    }
}

impl EndpointKernel {
    fn of(view: EndpointView) -> Self {
        Self {
            rtt_ms: view.rtt.map(|time| time.as_secs_f64() * 1e3),
            connects: view.connects,
            connect_failures: view.connect_failures,
            resets: view.resets,
            retransmits: view.retransmits,
            unanswered: view.unanswered,
        }
    }
}

impl KeyStatus {
    fn of(key: &Key, current: bool, now: Instant) -> Self {
        Self {
            name: key.name().to_owned(),
            present: key.is_there(),
            usable: key.is_usable(now),
            current,
            refusals: key.refusals().map(|(_, count)| count).sum(),
            pause_seconds: key.pause_left(now).as_secs_f64(),
        }
    }

    /// For the status page.
    pub(super) fn in_words(&self) -> String {
        let mut words = match (self.usable, self.current) {
            _ if !self.present => format!("{}: missing", self.name),
            (true, true) => format!("{}: in use", self.name),
            (true, false) => format!("{}: in reserve", self.name),
            (false, true) => format!("{}: in use although refused, as no other can be", self.name),
            (false, false) => {
                let pause = self.pause_seconds.ceil();
                format!("{}: refused, left alone for {pause:.0} s", self.name)
            }
        };
        if self.refusals > 0 {
            words.push_str(&format!("; refusals so far {}", self.refusals));
        }
        words
    }
}
