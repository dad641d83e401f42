//! What was counted up to a moment, of all workers and the kernel: [`super::history`] takes it every few seconds, and what happened
//! between two moments is the difference.

use std::time::Instant;

use super::Admin;
use crate::account::usage::Source;
use crate::cost::Amount;
use crate::kernel::{Durations, Program, Snapshot as KernelSums, UpstreamTimings};
use crate::metrics::cell::Snapshot;
use crate::metrics::cost::{self, Series};
use crate::metrics::{Histogram, KernelMetrics, WorkerMetrics};

/// A histogram of durations in seconds.
#[derive(Clone, Debug, Default)]
pub(super) struct Times {
    /// Upper bounds with the count of each, not cumulative.
    buckets: Vec<(f64, u64)>,
    seconds: f64,
}

/// Where the times of connections come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum From {
    /// Kernel programs.
    Ebpf,
    /// Samples of `TCP_INFO`.
    TcpInfo,
    /// Nothing is known of the network.
    #[default]
    None,
}

/// Everything up to a moment.
#[derive(Clone, Debug)]
pub(super) struct Totals {
    /// The moment.
    pub at: Instant,
    /// Requests answered.
    pub requests: u64,
    /// Of these, with 4xx.
    pub client_errors: u64,
    /// Of these, with 5xx.
    pub server_errors: u64,
    /// Requests under way then.
    pub in_flight: i64,
    /// Tokens of prompts, reported and estimated.
    pub input_tokens: u64,
    /// Tokens of answers.
    pub output_tokens: u64,
    /// What they cost, reported and estimated.
    pub usd: Amount,
    /// Whose round trips these are.
    pub from: From,
    /// Round trips of handshakes.
    pub connect: Times,
    /// Round trips of all that was acknowledged.
    pub rtt: Times,
    /// From a request's first byte to its response's, at the network card or, without programs, at the proxy.
    pub first_byte: Times,
    /// In the proxy.
    pub proxy: Times,
    /// In the kernel, until the proxy read it.
    pub wakeup: Times,
}

impl Times {
    pub(super) fn of<'a>(histograms: impl IntoIterator<Item = &'a Histogram>) -> Self {
        let sum = Snapshot::of(histograms);
        Self {
            buckets: sum.buckets(),
            seconds: sum.sum_seconds(),
        }
    }

    /// What came after `before`. If that is of another kind, nothing is known of it.
    pub(super) fn since(&self, before: &Self) -> Self {
        if before.buckets.len() != self.buckets.len() {
            return self.clone();
        }
        let pairs = self.buckets.iter().zip(&before.buckets);
        let buckets = pairs.map(|((bound, now), (_, then))| (*bound, now.saturating_sub(*then)));
        Self {
            buckets: buckets.collect(),
            seconds: (self.seconds - before.seconds).max(0.0),
        }
    }

    fn plus(self, other: &Self) -> Self {
        if self.buckets.len() != other.buckets.len() {
            return other.clone();
        }
        let pairs = self.buckets.iter().zip(&other.buckets);
        let buckets = pairs.map(|((bound, one), (_, two))| (*bound, one + two));
        Self {
            buckets: buckets.collect(),
            seconds: self.seconds + other.seconds,
        }
    }

    /// How many there were.
    pub(super) fn count(&self) -> u64 {
        self.buckets.iter().map(|(_, count)| count).sum()
    }

    /// The mean in milliseconds.
    #[expect(clippy::cast_precision_loss, reason = "a mean of fewer than 2^52")]
    pub(super) fn mean_ms(&self) -> Option<f64> {
        let count = self.count();
        (count > 0).then(|| self.seconds * 1e3 / count as f64)
    }

    /// A quantile in milliseconds, as Prometheus' `histogram_quantile` has it: evenly spread within a bucket, and beyond the last
    /// bound that bound.
    #[expect(clippy::cast_precision_loss, reason = "counts of fewer than 2^52")]
    pub(super) fn quantile_ms(&self, quantile: f64) -> Option<f64> {
        let rank = self.count() as f64 * quantile;
        let (mut below, mut lower) = (0.0, 0.0);
        for (bound, count) in &self.buckets {
            let count = *count as f64;
            if count > 0.0 && below + count >= rank {
                let part = (rank - below) / count;
                let upper = if bound.is_finite() { *bound } else { lower };
                return Some((lower + (upper - lower) * part) * 1e3);
            }
            below += count;
            lower = if bound.is_finite() { *bound } else { lower };
        }
        None
    }
}

impl From {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Ebpf => "ebpf",
            Self::TcpInfo => "tcp_info",
            Self::None => "none",
        }
    }
}

impl Totals {
    pub(super) fn of(admin: &Admin) -> Self {
        let workers = admin.readiness.metrics.workers();
        let sum = |of: fn(&WorkerMetrics) -> u64| workers.iter().map(|worker| of(worker)).sum();
        let (from, connect, rtt) = network(admin);
        let all = cost::sorted(workers);
        let usd = |of: fn(&Series) -> Amount| {
            let amounts = all.iter().map(|one| of(&one.series));
            amounts.fold(Amount::ZERO, Amount::plus)
        };
        Self {
            at: Instant::now(),
            requests: sum(|worker| answered(worker, 0..=u16::MAX)),
            client_errors: sum(|worker| answered(worker, 400..=499)),
            server_errors: sum(|worker| answered(worker, 500..=599)),
            in_flight: workers.iter().map(|w| w.http.in_flight.get()).sum(),
            input_tokens: sum(|worker| tokens(worker, 0)),
            output_tokens: sum(|worker| tokens(worker, 1)),
            usd: usd(|series| series.cost.get()).plus(usd(|series| series.estimated.get())),
            from,
            connect,
            rtt,
            first_byte: first_byte(admin),
            proxy: Times::of(workers.iter().map(|worker| &worker.http.overhead)),
            wakeup: observed(admin, |kernel| &kernel.wakeup_lag),
        }
    }
}

fn answered(worker: &WorkerMetrics, statuses: std::ops::RangeInclusive<u16>) -> u64 {
    let all = worker.http.by_status();
    let some = all.filter(|(status, _)| statuses.contains(&status.unwrap_or(0)));
    some.map(|(_, count)| count).sum()
}

fn tokens(worker: &WorkerMetrics, index: usize) -> u64 {
    let counts = Source::ALL.map(|source| worker.usage.tokens(source, index));
    counts.iter().sum()
}

/// Round trips, from whoever measures them: the same choice as in `holysheep_kernel_connect_seconds` and `…_rtt_seconds`.
fn network(admin: &Admin) -> (From, Times, Times) {
    if !admin.kernel.runs(Program::SocketTiming) {
        let connect = observed(admin, |kernel| &kernel.connect);
        let rtt = observed(admin, |kernel| &kernel.rtt);
        let from = match connect.count() + rtt.count() {
            0 => From::None,
            _ => From::TcpInfo,
        };
        return (from, connect, rtt);
    }
    // A scrape tells in the log if the maps cannot be read.
    let sums = admin.kernel.snapshot();
    let sums = sums.unwrap_or_else(|_| KernelSums::default());
    let sum = |of: fn(&UpstreamTimings) -> &Durations| {
        let links = admin.readiness.links.load();
        let timings = links.iter().filter_map(|link| sums.upstream(link.slot));
        let times = timings.map(|timings| Times {
            buckets: of(timings).buckets(),
            seconds: of(timings).sum_seconds(),
        });
        times.fold(Times::default(), |sum, times| sum.plus(&times))
    };
    let connect = sum(|timings| &timings.connect);
    (From::Ebpf, connect, sum(|timings| &timings.rtt))
}

/// The kernel's first bytes; where it sees none, the workers' own.
fn first_byte(admin: &Admin) -> Times {
    let seen = observed(admin, |kernel| &kernel.first_byte);
    if seen.count() > 0 {
        return seen;
    }
    let workers = admin.readiness.metrics.workers().iter();
    let links = admin.readiness.links.load();
    let upstreams = workers.flat_map(|worker| links.iter().map(|link| worker.upstream(link.slot)));
    Times::of(upstreams.flat_map(|upstream| upstream.first_bytes()))
}

fn observed(admin: &Admin, of: fn(&KernelMetrics) -> &Histogram) -> Times {
    let workers = admin.readiness.metrics.workers().iter();
    let links = admin.readiness.links.load();
    let upstreams = workers.flat_map(|worker| links.iter().map(|link| worker.upstream(link.slot)));
    Times::of(upstreams.map(|upstream| of(&upstream.kernel)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(counts: [u64; 3], seconds: f64) -> Times {
        let bounds = [0.001, 0.002, f64::INFINITY];
        Times {
            buckets: bounds.into_iter().zip(counts).collect(),
            seconds,
        }
    }

    #[test]
    fn quantiles_are_those_of_prometheus() {
        let some = times([10, 10, 0], 0.02);
        assert_eq!(some.quantile_ms(0.5), Some(1.0));
        assert!((some.quantile_ms(0.25).unwrap() - 0.5).abs() < 1e-9);
        assert!((some.quantile_ms(0.99).unwrap() - 1.98).abs() < 1e-9);
        assert_eq!(some.mean_ms(), Some(1.0));
        // What is beyond the last bound is at least that.
        assert_eq!(times([0, 0, 5], 9.0).quantile_ms(0.5), Some(2.0));
        assert_eq!(times([0; 3], 0.0).quantile_ms(0.5), None);
        assert_eq!(times([0; 3], 0.0).mean_ms(), None);
    }

    #[test]
    fn what_came_since_is_the_difference() {
        let (before, now) = (times([1, 2, 0], 0.5), times([4, 2, 1], 2.0));
        let between = now.since(&before);
        assert_eq!(between.count(), 4);
        assert_eq!(between.mean_ms(), Some(375.0));
        assert_eq!(now.since(&Times::default()).count(), 7, "of another kind");
    }
}
