//! Where time goes, for `/status` and its page: network, upstream, proxy.

use serde::Serialize;

use super::history::short;
use super::totals::{Times, Totals};

/// How long requests take, and where.
#[derive(Debug, Serialize)]
pub struct LatencyStatus {
    /// Who measures the network: `ebpf`, `tcp_info`, or `none` while nobody does.
    pub source: &'static str,
    /// In the last minute.
    pub last_minute: SpanStatus,
    /// Since the start.
    pub since_start: SpanStatus,
}

/// Times of one span.
#[derive(Debug, Serialize)]
pub struct SpanStatus {
    /// How long it is.
    pub seconds: f64,
    /// Round trips of handshakes with upstream.
    pub connect: TimesStatus,
    /// Round trips of all that upstream acknowledged.
    pub rtt: TimesStatus,
    /// From a request's first byte to its response's: the network, and upstream's thinking.
    pub first_byte: TimesStatus,
    /// The network's part of that: the shorter of the two round trips.
    pub network_mean_ms: Option<f64>,
    /// Upstream's thinking: the rest of it.
    pub upstream_mean_ms: Option<f64>,
    /// The time in the proxy itself.
    pub proxy: TimesStatus,
    /// How long a response's first byte waited in the kernel to be read.
    pub wakeup_lag: TimesStatus,
}

/// A distribution.
#[derive(Debug, Serialize)]
pub struct TimesStatus {
    /// How many were measured.
    pub count: u64,
    /// The mean.
    pub mean_ms: Option<f64>,
    /// Half took no longer.
    pub p50_ms: Option<f64>,
    /// 95 of 100 took no longer.
    pub p95_ms: Option<f64>,
    /// 99 of 100 took no longer.
    pub p99_ms: Option<f64>,
}

impl LatencyStatus {
    pub(super) fn of(now: &Totals, minute_ago: Option<&Totals>, uptime: f64) -> Self {
        let all = Span::all(now, uptime);
        let last = minute_ago.map(|then| Span::between(now, then));
        Self {
            source: now.from.as_str(),
            last_minute: SpanStatus::of(last.as_ref().unwrap_or(&all), &now.connect),
            since_start: SpanStatus::of(&all, &now.connect),
        }
    }
}

/// The time to the first byte, taken apart.
///
/// Upstream may put an acknowledgement off until its answer is there, so while it thinks, round trips have thinking in them. Those of
/// handshakes have not, but are as old as the connections. The network is what is less.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Split {
    pub(super) network_ms: Option<f64>,
    /// The rest; without a round trip to take away, the network is in it.
    pub(super) upstream_ms: Option<f64>,
}

/// What there is of one span.
struct Span {
    seconds: f64,
    connect: Times,
    rtt: Times,
    first_byte: Times,
    proxy: Times,
    wakeup: Times,
}

impl Split {
    /// Of a span's first bytes and round trips, and its handshakes or, if it has none, all since the start.
    pub(super) fn of(first_byte: &Times, rtt: &Times, connect: Option<f64>) -> Self {
        let round_trip = match (rtt.mean_ms(), connect) {
            (Some(rtt), Some(connect)) => Some(rtt.min(connect)),
            (rtt, connect) => rtt.or(connect),
        };
        let Some(all) = first_byte.mean_ms() else {
            return Self::default();
        };
        let network_ms = round_trip.map(|network| network.min(all));
        Self {
            network_ms,
            upstream_ms: Some(all - network_ms.unwrap_or(0.0)),
        }
    }
}

impl Span {
    fn all(now: &Totals, seconds: f64) -> Self {
        Self {
            seconds,
            connect: now.connect.clone(),
            rtt: now.rtt.clone(),
            first_byte: now.first_byte.clone(),
            proxy: now.proxy.clone(),
            wakeup: now.wakeup.clone(),
        }
    }

    fn between(now: &Totals, then: &Totals) -> Self {
        Self {
            seconds: now.at.duration_since(then.at).as_secs_f64(),
            connect: now.connect.since(&then.connect),
            rtt: now.rtt.since(&then.rtt),
            first_byte: now.first_byte.since(&then.first_byte),
            proxy: now.proxy.since(&then.proxy),
            wakeup: now.wakeup.since(&then.wakeup),
        }
    }
}

impl SpanStatus {
    fn of(span: &Span, all: &Times) -> Self {
        let connect = span.connect.mean_ms().or(all.mean_ms());
        let split = Split::of(&span.first_byte, &span.rtt, connect);
        Self {
            seconds: short(span.seconds),
            connect: TimesStatus::of(&span.connect),
            rtt: TimesStatus::of(&span.rtt),
            first_byte: TimesStatus::of(&span.first_byte),
            network_mean_ms: split.network_ms.map(short),
            upstream_mean_ms: split.upstream_ms.map(short),
            proxy: TimesStatus::of(&span.proxy),
            wakeup_lag: TimesStatus::of(&span.wakeup),
        }
    }
}

impl TimesStatus {
    fn of(times: &Times) -> Self {
        let quantile = |quantile| times.quantile_ms(quantile).map(short);
        Self {
            count: times.count(),
            mean_ms: times.mean_ms().map(short),
            p50_ms: quantile(0.5),
            p95_ms: quantile(0.95),
            p99_ms: quantile(0.99),
        }
    }
}

impl LatencyStatus {
    /// For the status page.
    pub(super) fn in_words(&self) -> String {
        let span = &self.since_start;
        let mean = |mean: Option<f64>| mean.map_or_else(|| "–".to_owned(), |ms| format!("{ms} ms"));
        format!(
            "means since the start: network {} ({}), upstream {}, proxy {}",
            mean(span.network_mean_ms),
            self.source,
            mean(span.upstream_mean_ms),
            mean(span.proxy.mean_ms)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Histogram;
    use std::time::Duration;

    fn times(millis: &[u64]) -> Times {
        let histogram = Histogram::new(&[1_000_000, 1_000_000_000]);
        for millis in millis {
            histogram.observe(Duration::from_millis(*millis));
        }
        Times::of([&histogram])
    }

    #[test]
    fn an_acknowledgement_that_waits_for_the_answer_is_no_network() {
        let split = |rtt: &[u64], connect| {
            let split = Split::of(&times(&[50, 70]), &times(rtt), connect);
            (split.network_ms, split.upstream_ms)
        };
        assert_eq!(split(&[40], Some(10.0)), (Some(10.0), Some(50.0)));
        assert_eq!(split(&[20], Some(30.0)), (Some(20.0), Some(40.0)));
        assert_eq!(split(&[], Some(30.0)), (Some(30.0), Some(30.0)));
        assert_eq!(split(&[20], None), (Some(20.0), Some(40.0)));
        assert_eq!(split(&[], None), (None, Some(60.0)));
        // Upstream cannot have begun before it was asked.
        assert_eq!(split(&[90], None), (Some(60.0), Some(0.0)));
        let nothing = Split::of(&times(&[]), &times(&[1]), Some(1.0));
        assert_eq!(nothing, Split::default());
    }
}
