//! The upstreams: requests, connections, endpoints, keys.

use std::fmt;

use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType;

use super::{Collector, Labels, counters, gauges, histogram_rows};
use crate::metrics::cell::{Counter, Histogram, Snapshot};
use crate::metrics::{UpstreamMetrics, upstream};
use crate::upstream::Link;
use crate::upstream::circuit::State;

/// Endpoints of one upstream that have series.
const MAX_ENDPOINTS: usize = 32;

/// Where a counter is.
type Of = fn(&UpstreamMetrics) -> &Counter;
/// A counter's name, what it says, and where it is.
type Count = (&'static str, &'static str, Of);

/// Counters with no label but the upstream.
const COUNTS: [Count; 3] = [
    (
        "holysheep_upstream_connections_worn",
        "Connections closed because losses had brought their windows down",
        |upstream| &upstream.worn,
    ),
    (
        "holysheep_upstream_retries_denied",
        "Requests not sent again because the budget for that was spent",
        |upstream| &upstream.retries_denied,
    ),
    (
        "holysheep_upstream_kernel_ejections",
        "Endpoints ejected because of what the kernel saw, before requests had failed",
        |upstream| &upstream.ejected_by_kernel,
    ),
];

impl Collector {
    fn of<'a>(&'a self, link: &'a Link) -> impl Iterator<Item = &'a UpstreamMetrics> {
        let index = link.slot;
        self.workers
            .iter()
            .map(move |worker| worker.upstream(index))
    }

    fn sum_at(&self, link: &Link, of: impl Fn(&UpstreamMetrics) -> u64) -> u64 {
        self.of(link).map(of).sum()
    }

    pub(super) fn upstreams(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        self.upstream_requests(encoder)?;
        self.upstream_connections(encoder)?;
        self.retries(encoder)?;
        self.times(
            encoder,
            "holysheep_upstream_tls_handshake_seconds",
            "TLS handshakes with upstream",
            |link| Snapshot::of(self.of(link).map(|upstream| &upstream.tls_handshake)),
        )?;
        self.times(
            encoder,
            "holysheep_upstream_dns_seconds",
            "Questions for upstream's addresses, one for each family",
            |link| Snapshot::of([&self.control.dns(link.slot).times]),
        )?;
        let failures = self.links.iter().map(|link| {
            let failures = self.control.dns(link.slot).failures.get();
            (vec![named(link)], failures)
        });
        counters(
            encoder,
            "holysheep_upstream_dns_failures",
            "Questions for upstream's addresses without an answer to go by",
            failures,
        )
    }

    fn times(
        &self,
        encoder: &mut DescriptorEncoder<'_>,
        name: &str,
        help: &str,
        of: impl Fn(&Link) -> Snapshot,
    ) -> fmt::Result {
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Histogram)?;
        for link in self.links.iter() {
            let labels: Labels<'_> = vec![named(link)];
            histogram_rows(family.encode_family(&labels)?, &of(link))?;
        }
        Ok(())
    }

    fn upstream_requests(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let mut rows = Vec::new();
        let mut first_bytes = Vec::new();
        for link in self.links.iter() {
            for (index, outcome) in upstream::labels() {
                let used: Vec<_> = self.of(link).filter_map(|u| u.series(index)).collect();
                if used.is_empty() {
                    continue;
                }
                let labels: Labels<'_> = vec![named(link), ("outcome", outcome)];
                let count: u64 = used.iter().map(|series| series.requests.get()).sum();
                rows.push((labels.clone(), count));
                let times: Vec<&Histogram> = used.iter().map(|s| &s.first_byte).collect();
                first_bytes.push((labels, Snapshot::of(times)));
            }
        }
        counters(
            encoder,
            "holysheep_upstream_requests",
            "Requests sent to upstream, by how they went",
            rows,
        )?;
        let mut family = encoder.encode_descriptor(
            "holysheep_upstream_first_byte_seconds",
            "From sending a request upstream to the head of its response",
            None,
            MetricType::Histogram,
        )?;
        for (labels, snapshot) in first_bytes.iter().filter(|(_, s)| s.count() > 0) {
            histogram_rows(family.encode_family(labels)?, snapshot)?;
        }
        Ok(())
    }

    fn upstream_connections(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let open = self.links.iter().flat_map(|link| {
            let idle = self.of(link).map(|upstream| upstream.idle.get()).sum();
            let active = self.of(link).map(|upstream| upstream.active.get()).sum();
            [("idle", idle), ("active", active)].map(|(state, count)| {
                let labels: Labels<'_> = vec![named(link), ("state", state)];
                (labels, count)
            })
        });
        gauges(
            encoder,
            "holysheep_upstream_connections",
            "Connections to upstream",
            open,
        )?;
        let results: [(&str, Of); 3] = [
            ("ok", |upstream| &upstream.connects),
            ("failed", |upstream| &upstream.connect_failures),
            ("cold", |upstream| &upstream.cold),
        ];
        let connects = self.links.iter().flat_map(|link| {
            results.map(|(result, of)| {
                let labels: Labels<'_> = vec![named(link), ("result", result)];
                (labels, self.sum_at(link, |upstream| of(upstream).get()))
            })
        });
        counters(
            encoder,
            "holysheep_upstream_connects",
            "Connections made; cold ones were waited for by a request",
            connects,
        )?;
        for (name, help, of) in COUNTS {
            let rows = self.links.iter().map(|link| {
                let count = self.sum_at(link, |upstream| of(upstream).get());
                (vec![named(link)], count)
            });
            counters(encoder, name, help, rows)?;
        }
        Ok(())
    }

    fn retries(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let retries = self.links.iter().flat_map(|link| {
            let labels = upstream::Retried::ALL.map(upstream::Retried::as_str);
            let counts =
                labels.map(|reason| self.sum_named(link, reason, UpstreamMetrics::retries));
            counts.map(|(reason, count)| (vec![named(link), ("reason", reason)], count))
        });
        counters(
            encoder,
            "holysheep_upstream_retries",
            "Requests sent again after an attempt at this upstream, by why",
            retries,
        )?;
        let hedges = self.links.iter().flat_map(|link| {
            let labels = upstream::Hedged::ALL.map(upstream::Hedged::as_str);
            let counts = labels.map(|result| self.sum_named(link, result, UpstreamMetrics::hedges));
            counts.map(|(result, count)| (vec![named(link), ("result", result)], count))
        });
        counters(
            encoder,
            "holysheep_upstream_hedges",
            "Second requests sent while a first had not been answered, by what became of them",
            hedges,
        )
    }

    /// All workers' counts under one label.
    fn sum_named<'a, I>(
        &'a self,
        link: &'a Link,
        label: &'static str,
        of: impl Fn(&'a UpstreamMetrics) -> I,
    ) -> (&'static str, u64)
    where
        I: Iterator<Item = (&'static str, u64)>,
    {
        let all = self.of(link).flat_map(of);
        let counts = all.filter(|(name, _)| *name == label);
        (label, counts.map(|(_, count)| count).sum())
    }

    pub(super) fn breakers(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let breakers = self.links.iter().flat_map(|link| {
            states(link.breaker.state()).map(|(state, holds)| {
                let labels: Labels<'_> = vec![named(link), ("state", state)];
                (labels, holds)
            })
        });
        gauges(
            encoder,
            "holysheep_upstream_breaker_state",
            "Whether an upstream gets requests: 1 for the state it is in",
            breakers,
        )?;
        let opened = self.links.iter();
        counters(
            encoder,
            "holysheep_upstream_breaker_opened",
            "How often an upstream was left alone because it had failed repeatedly",
            opened.map(|link| (vec![named(link)], link.breaker.opened())),
        )
    }

    pub(super) fn endpoints(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let all = self.links.iter().flat_map(|link| {
            let known = link.endpoints.all().into_iter().take(MAX_ENDPOINTS);
            known.map(move |endpoint| (link, endpoint.address.to_string(), endpoint))
        });
        let all: Vec<_> = all.collect();
        let figures: Vec<_> = all
            .iter()
            .map(|(.., endpoint)| endpoint.figures())
            .collect();
        let labels = |index: usize| -> Labels<'_> {
            let found = all.get(index);
            let found = found.map(|(link, address, _)| [named(link), ("endpoint", address)]);
            found.into_iter().flatten().collect()
        };
        let whole = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        let numbered = || figures.iter().enumerate();
        gauges(
            encoder,
            "holysheep_upstream_endpoint_usable",
            "Whether an endpoint gets requests: 0 while it is ejected or on trial",
            (all.iter().enumerate())
                .map(|(at, (.., e))| (labels(at), i64::from(e.circuit.is_closed()))),
        )?;
        counters(
            encoder,
            "holysheep_upstream_endpoint_ejections",
            "How often an endpoint was ejected",
            (all.iter().enumerate()).map(|(at, (.., e))| (labels(at), e.circuit.opened())),
        )?;
        gauges(
            encoder,
            "holysheep_upstream_endpoint_in_flight",
            "Requests under way at an endpoint",
            numbered().map(|(at, figures)| (labels(at), whole(figures.in_flight))),
        )?;
        counters(
            encoder,
            "holysheep_upstream_endpoint_requests",
            "Requests sent to an endpoint",
            numbered().map(|(at, figures)| (labels(at), figures.requests)),
        )?;
        counters(
            encoder,
            "holysheep_upstream_endpoint_failures",
            "Requests and connections that failed at an endpoint",
            numbered().map(|(at, figures)| (labels(at), figures.failures)),
        )?;
        let mut family = encoder.encode_descriptor(
            "holysheep_upstream_endpoint_first_byte_seconds",
            "Moving average of the time to the first byte, by which endpoints are chosen",
            None,
            MetricType::Gauge,
        )?;
        for (at, figures) in numbered() {
            if let Some(average) = figures.first_byte {
                family
                    .encode_family(&labels(at))?
                    .encode_gauge(&average.as_secs_f64())?;
            }
        }
        Ok(())
    }

    pub(super) fn keys(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let now = std::time::Instant::now();
        let keys = || {
            let links = self.links.iter();
            let all = links.flat_map(|link| link.keys.all().iter().map(move |key| (link, key)));
            all.filter(|(_, key)| key.is_meant())
        };
        gauges(
            encoder,
            "holysheep_upstream_key_usable",
            "Whether a key is there and not left alone because upstream has refused it",
            keys().map(|(link, key)| {
                let labels: Labels<'_> = vec![named(link), ("key", key.name())];
                (labels, i64::from(key.is_usable(now)))
            }),
        )?;
        let refusals: Vec<_> = keys()
            .flat_map(|(link, key)| {
                key.refusals()
                    .map(move |(status, count)| (link, key, status.to_string(), count))
            })
            .collect();
        counters(
            encoder,
            "holysheep_upstream_key_refusals",
            "Requests that upstream refused because of the key they were sent with",
            refusals.iter().map(|(link, key, status, count)| {
                let labels: Labels<'_> = vec![named(link), ("key", key.name()), ("status", status)];
                (labels, *count)
            }),
        )
    }
}

fn named(link: &Link) -> (&str, &str) {
    ("upstream", &link.settings.name)
}

fn states(now: State) -> [(&'static str, i64); 3] {
    [State::Closed, State::Open, State::HalfOpen]
        .map(|state| (state.as_str(), i64::from(state == now)))
}
