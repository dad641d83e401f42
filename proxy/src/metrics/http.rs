//! Requests as clients see them.

use std::time::Duration;

use super::cell::{Counter, Gauge, Histogram, Lazy};
use crate::route::{ROUTES, RouteId, UNKNOWN};

/// 5 ms to 5 min: from a cached answer to a long completion.
const DURATION_BUCKETS: [u64; 19] = ms([
    5, 10, 25, 50, 75, 100, 250, 500, 750, 1_000, 2_500, 5_000, 7_500, 10_000, 20_000, 30_000,
    60_000, 120_000, 300_000,
]);

/// 10 µs to 250 ms: the proxy's own share, far below what a client notices.
const OVERHEAD_BUCKETS: [u64; 14] = us([
    10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000,
]);

/// Status codes with a series of their own; others are counted as `other`.
const STATUSES: [u16; 48] = [
    101, 200, 201, 202, 203, 204, 206, 300, 301, 302, 303, 304, 307, 308, 400, 401, 402, 403, 404,
    405, 406, 408, 409, 410, 411, 412, 413, 414, 415, 416, 417, 421, 422, 423, 424, 425, 426, 429,
    431, 451, 499, 500, 501, 502, 503, 504, 520, 529,
];

/// One route's series.
type ByStatus = [Lazy<Series>; STATUSES.len() + 1];

/// Count and duration of requests with one route and status.
#[derive(Debug)]
pub struct Series {
    /// `holysheep_http_requests_total`
    pub requests: Counter,
    /// `holysheep_http_request_duration_seconds`
    pub duration: Histogram,
}

/// One worker's request metrics.
#[derive(Debug)]
pub struct HttpMetrics {
    by_route: Box<[ByStatus]>,
    /// `holysheep_http_requests_in_flight`
    pub in_flight: Gauge,
    /// `holysheep_proxy_overhead_seconds`
    pub overhead: Histogram,
    /// `holysheep_rejected_total`, by position in [`REASONS`].
    rejected: [Counter; REASONS.len()],
    /// `holysheep_http_clients_left_total`, by [`Left`]
    left: [Counter; Left::ALL.len()],
    /// `holysheep_http_connections_accepted_total`
    pub connections: Counter,
    /// `holysheep_http_connections`
    pub open_connections: Gauge,
}

/// What became, upstream, of a request whose client left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// It ended at once.
    Cancelled,
    /// Its response was read to the end.
    Drained,
    /// Its response was read, but not to the end: its time was over, or it broke off.
    GivenUp,
}

impl Left {
    /// In the order of their counters.
    pub const ALL: [Self; 3] = [Self::Cancelled, Self::Drained, Self::GivenUp];

    /// As a label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cancelled => "cancelled",
            Self::Drained => "drained",
            Self::GivenUp => "given_up",
        }
    }
}

/// Every code of [`crate::error::ProxyError`]; a test holds the two together.
pub const REASONS: [&str; 30] = [
    "invalid_api_key",
    "route_not_allowed",
    "model_not_allowed",
    "unknown_route",
    "method_not_allowed",
    "request_too_large",
    "headers_too_large",
    "invalid_request",
    "request_timeout",
    "rate_limit_exceeded",
    "insufficient_quota",
    "upstream_invalid_api_key",
    "upstream_connect_failed",
    "upstream_dns_failed",
    "upstream_certificate_expired",
    "upstream_certificate_invalid",
    "upstream_connect_timeout",
    "upstream_first_byte_timeout",
    "upstream_idle_timeout",
    "total_timeout",
    "upstream_unavailable",
    "upstream_closed",
    "upstream_invalid_response",
    "overloaded",
    "proxy_stopping",
    "webhook_bad_signature",
    "webhook_stale",
    "webhook_repeated",
    "webhook_forward_failed",
    "client_closed",
];

impl Default for HttpMetrics {
    fn default() -> Self {
        Self {
            by_route: (0..=ROUTES.len())
                .map(|_| std::array::from_fn(|_| Lazy::default()))
                .collect(),
            in_flight: Gauge::default(),
            overhead: Histogram::new(&OVERHEAD_BUCKETS),
            rejected: Default::default(),
            left: Default::default(),
            connections: Counter::default(),
            open_connections: Gauge::default(),
        }
    }
}

impl HttpMetrics {
    /// Counts one finished request.
    #[inline]
    pub fn finished(&self, route: Option<RouteId>, status: u16, duration: Duration) {
        let route = route.map_or(ROUTES.len(), RouteId::index);
        let status = STATUSES.binary_search(&status).unwrap_or(STATUSES.len());
        let Some(series) = self.by_route.get(route).and_then(|by| by.get(status)) else {
            return;
        };
        let series = series.get_or(|| Series {
            requests: Counter::default(),
            duration: Histogram::new(&DURATION_BUCKETS),
        });
        series.requests.inc();
        series.duration.observe(duration);
    }

    /// Counts one request the proxy answered with an error of its own.
    pub fn rejected(&self, code: &str) {
        let index = REASONS.iter().position(|reason| *reason == code);
        if let Some(counter) = index.and_then(|index| self.rejected.get(index)) {
            counter.inc();
        }
    }

    /// Requests answered by status, over all routes; `None` is those without a series of their own.
    pub fn by_status(&self) -> impl Iterator<Item = (Option<u16>, u64)> {
        (0..=STATUSES.len()).filter_map(|index| {
            let series = self.by_route.iter().filter_map(|by| by.get(index)?.get());
            let count = series.map(|series| series.requests.get()).sum();
            (count > 0).then(|| (STATUSES.get(index).copied(), count))
        })
    }

    /// Counts a client that left before it had its whole response.
    pub fn left(&self, what: Left) {
        if let Some(counter) = self.left.get(what as usize) {
            counter.inc();
        }
    }

    /// What became of their requests, with how often.
    pub fn lefts(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let counts = self.left.iter().map(Counter::get);
        Left::ALL.map(Left::as_str).into_iter().zip(counts)
    }

    /// Reasons with how often each occurred.
    pub fn rejections(&self) -> impl Iterator<Item = (&'static str, u64)> {
        REASONS
            .iter()
            .zip(&self.rejected)
            .map(|(reason, counter)| (*reason, counter.get()))
    }

    /// The series of one route and status position, if used.
    pub(super) fn series(&self, route: usize, status: usize) -> Option<&Series> {
        self.by_route.get(route)?.get(status)?.get()
    }
}

/// Labels of all possible series: positions, route template, status.
pub(super) fn labels() -> impl Iterator<Item = (usize, usize, &'static str, String)> {
    let routes = ROUTES.iter().map(|route| route.template).chain([UNKNOWN]);
    routes.enumerate().flat_map(|(route, template)| {
        (0..=STATUSES.len()).map(move |status| {
            let text = STATUSES
                .get(status)
                .map_or_else(|| "other".to_owned(), u16::to_string);
            (route, status, template, text)
        })
    })
}

/// Milliseconds to nanoseconds.
pub(super) const fn ms<const N: usize>(mut bounds: [u64; N]) -> [u64; N] {
    let mut index = 0;
    while index < N {
        bounds[index] *= 1_000_000;
        index += 1;
    }
    bounds
}

/// Microseconds to nanoseconds.
pub(super) const fn us<const N: usize>(mut bounds: [u64; N]) -> [u64; N] {
    let mut index = 0;
    while index < N {
        bounds[index] *= 1_000;
        index += 1;
    }
    bounds
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_can_be_searched() {
        assert!(STATUSES.is_sorted());
    }

    #[test]
    fn an_unlisted_status_is_counted_as_other() {
        let metrics = HttpMetrics::default();
        metrics.finished(None, 299, Duration::ZERO);
        assert!(metrics.series(ROUTES.len(), STATUSES.len()).is_some());
    }
}
