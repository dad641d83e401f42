//! Counters, gauges and histograms with one writer and any number of readers.
//!
//! A worker is the only one that writes its own, so a plain load and store is
//! enough: no locked instruction on the request path. The control thread reads
//! them for a scrape.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds `amount`. Only the owning thread may call it.
    #[inline]
    pub fn add(&self, amount: u64) {
        self.0
            .store(self.0.load(Relaxed).wrapping_add(amount), Relaxed);
    }

    /// Adds one. Only the owning thread may call it.
    #[inline]
    pub fn inc(&self) {
        self.add(1);
    }

    /// The present value.
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// A number that goes up and down.
#[derive(Debug, Default)]
pub struct Gauge(AtomicI64);

impl Gauge {
    /// Adds `amount`, which may be negative. Only the owning thread may call it.
    #[inline]
    pub fn add(&self, amount: i64) {
        self.0
            .store(self.0.load(Relaxed).wrapping_add(amount), Relaxed);
    }

    /// Puts `value` in place of the present one. Only the owning thread may call it.
    #[inline]
    pub fn set(&self, value: i64) {
        self.0.store(value, Relaxed);
    }

    /// The present value.
    pub fn get(&self) -> i64 {
        self.0.load(Relaxed)
    }
}

/// A histogram of durations with fixed upper bounds.
#[derive(Debug)]
pub struct Histogram {
    bounds: &'static [u64],
    counts: Box<[Counter]>,
    sum: Counter,
}

impl Default for Histogram {
    fn default() -> Self {
        Self::new(&[])
    }
}

/// A duration in nanoseconds; 584 years fit.
#[inline]
pub fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

impl Histogram {
    /// A histogram with upper `bounds` in nanoseconds, ascending, inclusive.
    pub fn new(bounds: &'static [u64]) -> Self {
        Self {
            bounds,
            counts: (0..=bounds.len()).map(|_| Counter::default()).collect(),
            sum: Counter::default(),
        }
    }

    /// Records one duration. Only the owning thread may call it.
    #[inline]
    pub fn observe(&self, duration: Duration) {
        let nanos = nanos(duration);
        self.observe_in(self.bounds.partition_point(|bound| *bound < nanos), nanos);
    }

    /// Records a number of things, such as tokens, where the bounds are numbers, too.
    #[inline]
    pub fn observe_number(&self, number: u64) {
        self.observe_in(self.bounds.partition_point(|bound| *bound < number), number);
    }

    /// Records one duration whose bucket the caller knows without a search.
    #[inline]
    pub fn observe_in(&self, bucket: usize, nanos: u64) {
        if let Some(count) = self.counts.get(bucket) {
            count.inc();
        }
        self.sum.add(nanos);
    }

    /// Adds this histogram to `total`.
    pub fn add_to(&self, total: &mut Snapshot) {
        if total.counts.len() < self.counts.len() {
            total.bounds = self.bounds;
            total.counts.resize(self.counts.len(), 0);
        }
        for (sum, count) in total.counts.iter_mut().zip(&self.counts) {
            *sum += count.get();
        }
        total.nanos += self.sum.get();
    }
}

/// Nanoseconds of a second.
pub const NANOS: f64 = 1e9;

/// The sum of several workers' histograms.
#[derive(Debug, Default, Clone)]
pub struct Snapshot {
    bounds: &'static [u64],
    counts: Vec<u64>,
    nanos: u64,
}

impl Snapshot {
    /// Adds up one histogram of each worker.
    pub fn of<'a>(histograms: impl IntoIterator<Item = &'a Histogram>) -> Self {
        let mut total = Self::default();
        for histogram in histograms {
            histogram.add_to(&mut total);
        }
        total
    }

    /// Number of observations.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Sum of all observations in seconds.
    pub fn sum_seconds(&self) -> f64 {
        self.sum(NANOS)
    }

    /// Sum of all observations; one of them has so many of what was counted.
    #[expect(
        clippy::cast_precision_loss,
        reason = "Prometheus' sums are floating point"
    )]
    pub fn sum(&self, unit: f64) -> f64 {
        self.nanos as f64 / unit
    }

    /// Upper bounds in seconds with the count of each bucket, the last one unbounded.
    pub fn buckets(&self) -> Vec<(f64, u64)> {
        self.buckets_in(NANOS)
    }

    /// The same in another unit.
    #[expect(
        clippy::cast_precision_loss,
        reason = "Prometheus' bounds are floating point"
    )]
    pub fn buckets_in(&self, unit: f64) -> Vec<(f64, u64)> {
        let bounds = self.bounds.iter().map(|bound| *bound as f64 / unit);
        bounds
            .chain(std::iter::once(f64::INFINITY))
            .zip(self.counts.iter().copied())
            .collect()
    }
}

/// A series that exists from its first use on, so that labels that never occur
/// cost a pointer and do not show up in a scrape.
#[derive(Debug)]
pub struct Lazy<T>(OnceLock<Box<T>>);

impl<T> Default for Lazy<T> {
    fn default() -> Self {
        Self(OnceLock::new())
    }
}

impl<T> Lazy<T> {
    /// The series, made on first use.
    #[inline]
    pub fn get_or(&self, make: impl FnOnce() -> T) -> &T {
        self.0.get_or_init(|| Box::new(make()))
    }

    /// The series, if it has been used.
    pub fn get(&self) -> Option<&T> {
        self.0.get().map(|boxed| &**boxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_inclusive_and_the_rest_is_unbounded() {
        let histogram = Histogram::new(&[1_000, 2_000]);
        for nanos in [1_000, 1_001, 2_000, 5_000] {
            histogram.observe(Duration::from_nanos(nanos));
        }
        let snapshot = Snapshot::of([&histogram, &histogram]);
        let counts: Vec<u64> = snapshot.buckets().iter().map(|bucket| bucket.1).collect();
        assert_eq!(counts, [2, 4, 2]);
        assert_eq!(snapshot.count(), 8);
        assert!((snapshot.sum_seconds() - 18_002e-9).abs() < 1e-12);
    }
}
