//! What the kernel has added up, read from its maps for a scrape.

use aya::maps::{Map, MapData, MapError, PerCpuArray};
use proxy_common::{BOUNDS_NANOS, BUCKETS, CELLS, Cell, Counters};

use super::flows::FlowTable;

/// A histogram of durations, summed over all CPUs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Durations {
    /// Not cumulative.
    counts: [u64; BUCKETS],
    nanos: u64,
}

/// What one upstream's connections experienced since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UpstreamTimings {
    /// From the first SYN to the established connection.
    pub connect: Durations,
    /// Smoothed round-trip times, as often as the kernel measured. Their number tells whether its callbacks reach us.
    pub rtt: Durations,
    /// Segments sent again.
    pub retransmits: u64,
    /// Connections that ended before the peer sent a byte: refused, timed out, reset.
    pub connect_failures: u64,
    /// Connections that began with more than the system's default.
    pub windows_started: u64,
    /// Windows that were still open when a connection was used again after idling.
    pub windows_kept: u64,
    /// Windows that had to be opened anew.
    pub windows_restarted: u64,
}

/// Everything the kernel has added up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// By index of the upstream; the last one is all those without figures of their own. Empty without `socket_timing`.
    pub upstreams: Vec<UpstreamTimings>,
    /// What was lost, by reason.
    pub dropped: Vec<(&'static str, u64)>,
    /// Entries in use of each map that can fill up, and how many it has.
    pub maps: Vec<(&'static str, u64, u64)>,
    /// Connections given to the listener for probes. `None` without `probe_steering`.
    pub probes_steered: Option<u64>,
}

impl Snapshot {
    /// What the connections of the upstream with this slot met; nothing if it has no figures of its own.
    pub fn upstream(&self, slot: usize) -> Option<&UpstreamTimings> {
        let [own @ .., _] = self.upstreams.as_slice() else {
            return None;
        };
        own.get(slot)
    }
}

impl Durations {
    /// Number of observations.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Sum of all observations in seconds.
    #[expect(
        clippy::cast_precision_loss,
        reason = "Prometheus' sums are floating point"
    )]
    pub fn sum_seconds(&self) -> f64 {
        self.nanos as f64 / 1e9
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
            .zip(self.counts)
            .collect()
    }

    /// Of the cells of a histogram, one for each bucket.
    fn of(cells: &[Cell]) -> Self {
        let mut counts = [0; BUCKETS];
        for (count, cell) in counts.iter_mut().zip(cells) {
            *count = cell.count;
        }
        Self {
            counts,
            nanos: cells.iter().map(|cell| cell.nanos).sum(),
        }
    }
}

impl UpstreamTimings {
    /// Of all cells of a slot, in the order of [`proxy_common::Figure::cell`].
    fn of(cells: &[Cell]) -> Self {
        let (connect, rest) = cells.split_at(BUCKETS.min(cells.len()));
        let (rtt, rest) = rest.split_at(BUCKETS.min(rest.len()));
        let count = |index: usize| rest.get(index).map_or(0, |cell| cell.count);
        Self {
            connect: Durations::of(connect),
            rtt: Durations::of(rtt),
            retransmits: count(0),
            connect_failures: count(1),
            windows_started: count(2),
            windows_kept: count(3),
            windows_restarted: count(4),
        }
    }
}

/// Reads the first `used` slots of `STATS`, summed over CPUs. All others are zero: each cell costs a system call.
pub(super) fn upstreams(map: &Map, used: u32) -> Result<Vec<UpstreamTimings>, MapError> {
    let array = PerCpuArray::<&MapData, Cell>::try_from(map)?;
    let mut cells = Vec::new();
    for index in 0..array.len().min(used.saturating_mul(CELLS)) {
        let mut sum = Cell::default();
        for cpu in array.get(&index, 0)?.iter() {
            sum.count += cpu.count;
            sum.nanos += cpu.nanos;
        }
        cells.push(sum);
    }
    let slots = array.len() / CELLS;
    let mut timings = vec![UpstreamTimings::default(); slots as usize];
    for (timings, cells) in timings.iter_mut().zip(cells.chunks(CELLS as usize)) {
        *timings = UpstreamTimings::of(cells);
    }
    Ok(timings)
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
pub(super) fn dropped(counters: Counters, flows: &FlowTable) -> [(&'static str, u64); 4] {
    [
        ("accept_overwritten", counters.accepts_overwritten),
        ("flow_evicted", flows.evicted()),
        ("first_byte_beyond", flows.beyond()),
        ("first_byte_unsure", flows.unsure()),
    ]
}

#[cfg(test)]
mod tests;
