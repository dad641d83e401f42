//! Adds the workers up and hands the sums to prometheus-client.

mod clients;
mod cost;
mod gen_ai;
mod kernel;
mod limits;
mod listeners;
mod process;
mod traces;
mod upstreams;
mod usage;
mod webhook;
mod windows;

use std::fmt;
use std::sync::Arc;

use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;

use super::cell::{Counter, Histogram, Snapshot};
use super::{Condition, ControlMetrics, ProbeMetrics, WorkerMetrics, http};
use crate::kernel::Kernel;
use crate::limits::Quotas;
use crate::upstream::Links;

/// Encodes all workers' metrics at each scrape.
#[derive(Debug)]
pub(super) struct Collector {
    pub(super) workers: Arc<[Arc<WorkerMetrics>]>,
    pub(super) control: Arc<ControlMetrics>,
    pub(super) links: Arc<Links>,
    pub(super) kernel: Arc<Kernel>,
    pub(super) quotas: Arc<Quotas>,
    pub(super) probe: Option<Arc<ProbeMetrics>>,
    pub(super) condition: Condition,
}

type Labels<'a> = Vec<(&'a str, &'a str)>;

impl prometheus_client::collector::Collector for Collector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.requests(&mut encoder)?;
        self.durations(&mut encoder)?;
        self.proxy(&mut encoder)?;
        self.upstreams(&mut encoder)?;
        self.breakers(&mut encoder)?;
        self.endpoints(&mut encoder)?;
        self.keys(&mut encoder)?;
        self.limits(&mut encoder)?;
        self.listeners(&mut encoder)?;
        self.kernel(&mut encoder)?;
        self.gen_ai(&mut encoder)?;
        self.usage(&mut encoder)?;
        self.cost(&mut encoder)?;
        self.webhooks(&mut encoder)?;
        self.process(&mut encoder)?;
        self.traces(&mut encoder)?;
        self.clients(&mut encoder)?;
        self.condition(&mut encoder)?;
        build_info(&mut encoder)
    }
}

impl Collector {
    fn sum(&self, counter: impl Fn(&WorkerMetrics) -> &Counter) -> u64 {
        self.sum_of(|worker| counter(worker).get())
    }

    fn sum_of(&self, count: impl Fn(&WorkerMetrics) -> u64) -> u64 {
        self.workers.iter().map(|worker| count(worker)).sum()
    }

    fn requests(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let mut rows = Vec::new();
        for (route, status, template, text) in http::labels() {
            let series = self
                .workers
                .iter()
                .filter_map(|w| w.http.series(route, status));
            let count: u64 = series.map(|series| series.requests.get()).sum();
            if count > 0 {
                rows.push((template, text, count));
            }
        }
        let labelled = rows.iter().map(|(route, status, count)| {
            (vec![("route", *route), ("status", status.as_str())], *count)
        });
        counters(
            encoder,
            "holysheep_http_requests",
            "Requests answered",
            labelled,
        )
    }

    fn durations(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let mut family = encoder.encode_descriptor(
            "holysheep_http_request_duration_seconds",
            "From the request's head to the last byte of its response",
            None,
            MetricType::Histogram,
        )?;
        for (route, status, template, text) in http::labels() {
            let series = self
                .workers
                .iter()
                .filter_map(|w| w.http.series(route, status));
            let snapshot = Snapshot::of(series.map(|series| &series.duration));
            if snapshot.count() > 0 {
                let labels: Labels<'_> = vec![("route", template), ("status", &text)];
                let encoder = family.encode_family(&labels)?;
                histogram_rows(encoder, &snapshot)?;
            }
        }
        Ok(())
    }

    fn proxy(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let in_flight = self.workers.iter().map(|w| w.http.in_flight.get()).sum();
        gauges(
            encoder,
            "holysheep_http_requests_in_flight",
            "Requests being worked on",
            [(vec![], in_flight)],
        )?;
        let open = self
            .workers
            .iter()
            .map(|w| w.http.open_connections.get())
            .sum();
        gauges(
            encoder,
            "holysheep_http_connections",
            "Open client connections",
            [(vec![], open)],
        )?;
        counters(
            encoder,
            "holysheep_http_connections_accepted",
            "Client connections accepted",
            [(vec![], self.sum(|w| &w.http.connections))],
        )?;
        histogram(
            encoder,
            "holysheep_proxy_overhead_seconds",
            "Time a request spent in the proxy itself",
            &vec![],
            self.workers.iter().map(|w| &w.http.overhead),
        )?;
        let rejected = http::REASONS.iter().filter_map(|reason| {
            let of_worker = |w: &Arc<WorkerMetrics>| {
                w.http
                    .rejections()
                    .find(|(name, _)| name == reason)
                    .map_or(0, |r| r.1)
            };
            let count: u64 = self.workers.iter().map(of_worker).sum();
            (count > 0).then(|| (vec![("reason", *reason)], count))
        });
        counters(
            encoder,
            "holysheep_rejected",
            "Requests the proxy answered with an error of its own, by its code",
            rejected.collect::<Vec<_>>(),
        )?;
        let left = http::Left::ALL.map(http::Left::as_str).map(|what| {
            let of_worker = |w: &Arc<WorkerMetrics>| {
                let found = w.http.lefts().find(|(name, _)| *name == what);
                found.map_or(0, |(_, count)| count)
            };
            let count: u64 = self.workers.iter().map(of_worker).sum();
            (vec![("upstream", what)], count)
        });
        counters(
            encoder,
            "holysheep_http_clients_left",
            "Clients that left before they had their whole response, by what became of it upstream",
            left,
        )
    }
}

fn build_info(encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let labels = vec![("version", env!("CARGO_PKG_VERSION"))];
    gauges(encoder, "holysheep_build_info", "Always 1", [(labels, 1)])
}

pub(super) fn counters<'a>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    rows: impl IntoIterator<Item = (Labels<'a>, u64)>,
) -> fmt::Result {
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
    for (labels, count) in rows {
        family
            .encode_family(&labels)?
            .encode_counter::<NoLabelSet, _, u64>(&count, None)?;
    }
    Ok(())
}

pub(super) fn gauges<'a>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    rows: impl IntoIterator<Item = (Labels<'a>, i64)>,
) -> fmt::Result {
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    for (labels, value) in rows {
        family.encode_family(&labels)?.encode_gauge(&value)?;
    }
    Ok(())
}

fn histogram<'a>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    labels: &Labels<'_>,
    histograms: impl IntoIterator<Item = &'a Histogram>,
) -> fmt::Result {
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Histogram)?;
    histogram_rows(family.encode_family(labels)?, &Snapshot::of(histograms))
}

fn histogram_rows(
    mut encoder: prometheus_client::encoding::MetricEncoder<'_>,
    snapshot: &Snapshot,
) -> fmt::Result {
    encoder.encode_histogram::<NoLabelSet>(
        snapshot.sum_seconds(),
        snapshot.count(),
        &snapshot.buckets(),
        None,
    )
}
