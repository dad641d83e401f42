//! What the kernel has added up, read from its maps for a scrape.

use aya::maps::{Map, MapData, MapError, PerCpuArray};
use proxy_common::{BOUNDS_NANOS, Counters, Histogram, SlotStats};

use super::flows::FlowTable;

/// A histogram of durations, summed over all CPUs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Durations(Histogram);

/// What one upstream's connections experienced since the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UpstreamTimings {
    /// From the first SYN to the established connection.
    pub connect: Durations,
    /// Smoothed round-trip times, as often as the kernel measured. Their number tells whether its callbacks reach us.
    pub rtt: Durations,
    /// Segments sent again.
    pub retransmits: u64,
    /// Connections that ended before the peer sent a byte: refused, timed out, reset.
    pub connect_failures: u64,
}

/// Everything the kernel has added up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// By index of the upstream; the last one is all those without figures of their own. Empty without `socket_timing`.
    pub upstreams: Vec<UpstreamTimings>,
    /// What was lost, by reason.
    pub dropped: [(&'static str, u64); 3],
    /// Entries in use of each map that can fill up, and how many it has.
    pub maps: Vec<(&'static str, u64, u64)>,
}

impl Durations {
    const EMPTY: Self = Self(Histogram::EMPTY);

    /// Number of observations.
    pub fn count(&self) -> u64 {
        self.0.counts.iter().sum()
    }

    /// Sum of all observations in seconds.
    #[expect(
        clippy::cast_precision_loss,
        reason = "Prometheus' sums are floating point"
    )]
    pub fn sum_seconds(&self) -> f64 {
        self.0.nanos as f64 / 1e9
    }

    /// Upper bounds in seconds with the count of each bucket (not cumulative), the last one unbounded.
    #[expect(
        clippy::cast_precision_loss,
        reason = "Prometheus' bounds are floating point"
    )]
    pub fn buckets(&self) -> Vec<(f64, u64)> {
        let bounds = BOUNDS_NANOS.iter().map(|nanos| *nanos as f64 / 1e9);
        bounds
            .chain(std::iter::once(f64::INFINITY))
            .zip(self.0.counts)
            .collect()
    }

    fn add(&mut self, other: &Histogram) {
        for (sum, count) in self.0.counts.iter_mut().zip(other.counts) {
            *sum += count;
        }
        self.0.nanos += other.nanos;
    }
}

/// Reads `STATS`, summed over CPUs.
pub(super) fn upstreams(map: &Map) -> Result<Vec<UpstreamTimings>, MapError> {
    let array = PerCpuArray::<&MapData, SlotStats>::try_from(map)?;
    let mut all = Vec::new();
    for index in 0..array.len() {
        let mut sum = UpstreamTimings {
            connect: Durations::EMPTY,
            rtt: Durations::EMPTY,
            retransmits: 0,
            connect_failures: 0,
        };
        for cpu in array.get(&index, 0)?.iter() {
            sum.connect.add(&cpu.connect);
            sum.rtt.add(&cpu.rtt);
            sum.retransmits += cpu.retransmits;
            sum.connect_failures += cpu.connect_failures;
        }
        all.push(sum);
    }
    Ok(all)
}

/// Reads `COUNTERS`, summed over CPUs.
pub(super) fn counters(map: &Map) -> Result<Counters, MapError> {
    let array = PerCpuArray::<&MapData, Counters>::try_from(map)?;
    let values = array.get(&0, 0)?;
    Ok(Counters {
        accepts_overwritten: values.iter().map(|cpu| cpu.accepts_overwritten).sum(),
    })
}

/// The labels and values of `dropped`.
pub(super) fn dropped(counters: Counters, flows: &FlowTable) -> [(&'static str, u64); 3] {
    [
        ("accept_overwritten", counters.accepts_overwritten),
        ("flow_evicted", flows.evicted()),
        ("first_byte_beyond", flows.beyond()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_over_cpus_keep_bounds_counts_and_sum() {
        let mut one = Histogram::EMPTY;
        one.counts[0] = 2;
        one.counts[23] = 1;
        one.nanos = 80_000_000_000;
        let mut sum = Durations::EMPTY;
        sum.add(&one);
        sum.add(&one);
        assert_eq!(sum.count(), 6);
        assert!((sum.sum_seconds() - 160.0).abs() < 1e-9);
        let buckets = sum.buckets();
        assert_eq!(buckets.len(), 24);
        assert_eq!(buckets[0], (16e-6, 4));
        assert_eq!(buckets[23], (f64::INFINITY, 2));
    }
}
