//! The `holysheep_kernel_*` series: the kernel's sums and the workers', each with where it comes from.
//!
//! A series that nothing measures is absent, so that nobody takes "unknown" for zero.

use std::fmt;

use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;

use super::{Collector, Labels, counters, gauges};
use crate::kernel::{Durations, Program, Snapshot as KernelSums, UpstreamTimings};
use crate::metrics::KernelMetrics;
use crate::metrics::cell::{Histogram, Snapshot};
use crate::upstream::Link;

/// From a kernel program.
const EBPF: &str = "ebpf";
/// From `TCP_INFO`.
const TCP_INFO: &str = "tcp_info";

/// Labels, sum in seconds, count, buckets.
type Row<'a> = (Labels<'a>, f64, u64, Vec<(f64, u64)>);

impl Collector {
    pub(super) fn kernel(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        // A map that cannot be read has nothing to say; the log tells why, once it happens.
        let sums = self.kernel.snapshot().unwrap_or_else(|error| {
            tracing::warn!(%error, "kernel maps");
            KernelSums::default()
        });
        let timings: Vec<_> = (self.links.iter())
            .filter_map(|link| Some((&**link, sums.upstream(link.slot)?)))
            .collect();
        self.connections(encoder, &timings)?;
        self.windows(encoder, &timings)?;
        self.responses(encoder)?;
        self.programs(encoder, &sums)
    }

    fn connections(
        &self,
        encoder: &mut DescriptorEncoder<'_>,
        timings: &[(&Link, &UpstreamTimings)],
    ) -> fmt::Result {
        let counts = self.kernel.runs(Program::SocketTiming);
        let timings = || timings.iter().copied().filter(|_| counts);
        let either = |of: fn(&UpstreamTimings) -> &Durations,
                      sampled: fn(&KernelMetrics) -> &Histogram| {
            let counted =
                timings().map(|(link, timings)| durations(labels(link, EBPF), of(timings)));
            let others = self.observed(TCP_INFO, sampled);
            let others = others.filter(|_| !counts);
            counted.chain(others).collect::<Vec<_>>()
        };
        histograms(
            encoder,
            "holysheep_kernel_connect_seconds",
            "From a connection's SYN to its SYN-ACK",
            either(|timings| &timings.connect, |worker| &worker.connect),
        )?;
        histograms(
            encoder,
            "holysheep_kernel_rtt_seconds",
            "Smoothed round-trip times, about one for each acknowledgement",
            either(|timings| &timings.rtt, |worker| &worker.rtt),
        )?;
        let counted = timings().map(|(link, timings)| (labels(link, EBPF), timings.retransmits));
        let sampled = self.links.iter().filter(|_| !counts).map(|link| {
            let workers = self.workers.iter();
            let kernels = workers.map(|worker| &worker.upstream(link.slot).kernel);
            let sum = kernels.map(|kernel| kernel.retransmits.get()).sum();
            (labels(link, TCP_INFO), sum)
        });
        counters(
            encoder,
            "holysheep_kernel_retransmits",
            "Segments sent again to upstream",
            counted.chain(sampled),
        )?;
        counters(
            encoder,
            "holysheep_kernel_connect_failures",
            "Connections that were refused, reset or timed out before upstream sent a byte",
            timings().map(|(link, timings)| (labels(link, EBPF), timings.connect_failures)),
        )
    }

    fn responses(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let queues = self.queues().into_iter().map(|(listener, queues)| {
            let labels = vec![("listener", listener), ("source", EBPF)];
            row(labels, queues.iter().map(|queue| &queue.waited))
        });
        histograms(
            encoder,
            "holysheep_kernel_accept_queue_seconds",
            "How long established connections waited to be accepted",
            queues.flatten(),
        )?;
        histograms(
            encoder,
            "holysheep_kernel_first_byte_seconds",
            "From a request's first byte leaving to its response's first byte arriving",
            self.observed(EBPF, |worker| &worker.first_byte),
        )?;
        histograms(
            encoder,
            "holysheep_kernel_wakeup_lag_seconds",
            "How long a response's first byte waited in the kernel to be read",
            self.observed(EBPF, |worker| &worker.wakeup_lag),
        )
    }

    fn programs(&self, encoder: &mut DescriptorEncoder<'_>, sums: &KernelSums) -> fmt::Result {
        // Absent where somebody chose so: 0 is for what is missing.
        let wanted = Program::ALL
            .into_iter()
            .filter(|program| self.kernel.wants(*program));
        let attached = wanted.map(|program| {
            let runs = self.kernel.runs(program);
            (vec![("program", program.name())], i64::from(runs))
        });
        gauges(
            encoder,
            "holysheep_kernel_program_attached",
            "Whether a kernel program runs",
            attached,
        )?;
        let entries = sums.maps.iter().map(|(name, used, _)| {
            let used = i64::try_from(*used).unwrap_or(i64::MAX);
            (vec![("map", *name)], used)
        });
        gauges(
            encoder,
            "holysheep_kernel_map_entries",
            "Entries in use of the maps that can fill up",
            entries,
        )?;
        counters(
            encoder,
            "holysheep_kernel_probes_steered",
            "Connections from sources of probes that were given to the listener for probes",
            sums.probes_steered.map(|count| (vec![], count)),
        )?;
        let dropped = sums
            .dropped
            .iter()
            .map(|(reason, count)| (vec![("reason", *reason)], *count));
        counters(
            encoder,
            "holysheep_kernel_events_dropped",
            "What could not be noted, by reason",
            dropped,
        )
    }

    /// What the workers observed of each upstream, if they did.
    fn observed<'a>(
        &'a self,
        source: &'a str,
        of: fn(&KernelMetrics) -> &Histogram,
    ) -> impl Iterator<Item = Row<'a>> {
        self.links.iter().filter_map(move |link| {
            let workers = self.workers.iter();
            let histograms = workers.map(|worker| of(&worker.upstream(link.slot).kernel));
            row(labels(link, source), histograms)
        })
    }
}

fn labels<'a>(link: &'a Link, source: &'a str) -> Labels<'a> {
    vec![("upstream", &link.settings.name), ("source", source)]
}

/// The sum of histograms, if anything was observed.
fn row<'a, 'h>(labels: Labels<'a>, of: impl Iterator<Item = &'h Histogram>) -> Option<Row<'a>> {
    let sum = Snapshot::of(of);
    let row = (labels, sum.sum_seconds(), sum.count(), sum.buckets());
    (sum.count() > 0).then_some(row)
}

fn durations<'a>(labels: Labels<'a>, sums: &Durations) -> Row<'a> {
    (labels, sums.sum_seconds(), sums.count(), sums.buckets())
}

fn histograms<'a>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    rows: impl IntoIterator<Item = Row<'a>>,
) -> fmt::Result {
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Histogram)?;
    for (labels, sum, count, buckets) in rows {
        family
            .encode_family(&labels)?
            .encode_histogram::<NoLabelSet>(sum, count, &buckets, None)?;
    }
    Ok(())
}
