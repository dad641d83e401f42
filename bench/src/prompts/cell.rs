//! What the samples of one cell of the table come to.

use super::lane::Sample;
use super::plan::{Situation, Size};
use crate::statistics::{Spread, quantile};

/// Smaller differences are not told apart, in milliseconds: they are within what the emulation and the clock are worth.
pub(super) const LEAST_MS: f64 = 0.5;

/// Which samples belong together.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Key<'a> {
    pub(super) path: &'a str,
    pub(super) contender: &'a str,
    pub(super) size: Size,
    pub(super) situation: Situation,
}

/// The figures of a cell, times in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Cell {
    /// How many samples.
    pub(super) count: usize,
    pub(super) p50: f64,
    /// The greatest, where there are fewer than 100.
    pub(super) p99: f64,
    /// Median distance from the median.
    spread: f64,
    /// Segments sent again, and packets sent, by all samples.
    pub(super) sent_again: u64,
    pub(super) packets: u64,
}

impl Cell {
    /// Of all samples with this key; `None` if there are none.
    pub(super) fn of(samples: &[Sample], key: Key<'_>) -> Option<Self> {
        let fits = |sample: &&Sample| {
            let own = Key {
                path: sample.path,
                contender: &sample.contender,
                size: sample.size,
                situation: sample.situation,
            };
            own == key
        };
        let fitting: Vec<&Sample> = samples.iter().filter(fits).collect();
        let times: Vec<f64> = fitting.iter().map(|sample| sample.took_ms).collect();
        let p50 = Spread::of(times.iter().copied())?.median;
        let distances = times.iter().map(|time| (time - p50).abs());
        Some(Self {
            count: times.len(),
            p50,
            p99: quantile(&times, 0.99),
            spread: Spread::of(distances)?.median,
            sent_again: fitting.iter().map(|sample| sample.sent_again).sum(),
            packets: fitting.iter().map(|sample| sample.packets).sum(),
        })
    }

    /// Segments sent again for a request.
    pub(super) fn again_per_request(&self) -> f64 {
        self.sent_again as f64 / self.count.max(1) as f64
    }

    /// By how much this median is above the other, in milliseconds, if that is more than the spread.
    pub(super) fn slower_than(&self, other: &Self) -> Option<f64> {
        self.differs(other, self.p50 - other.p50)
    }

    /// The same of the 99th percentiles.
    pub(super) fn slower_at_p99(&self, other: &Self) -> Option<f64> {
        self.differs(other, self.p99 - other.p99)
    }

    fn differs(&self, other: &Self, by: f64) -> Option<f64> {
        (by > LEAST_MS && by > self.spread.max(other.spread)).then_some(by)
    }
}

#[cfg(test)]
pub(super) fn sample(contender: &str, situation: Situation, took_ms: f64) -> Sample {
    Sample {
        path: "loss",
        contender: contender.to_owned(),
        size: Size(40_000),
        situation,
        took_ms,
        idle_ms: 1000.0,
        sent_again: 2,
        packets: 40,
        lost: 1,
        number: 2,
        age_ms: 5000.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(times: &[f64]) -> Cell {
        let all: Vec<_> = times
            .iter()
            .map(|&took| sample("a", Situation::Fresh, took))
            .collect();
        let key = Key {
            path: "loss",
            contender: "a",
            size: Size(40_000),
            situation: Situation::Fresh,
        };
        let others = Key {
            contender: "b",
            ..key
        };
        assert_eq!(Cell::of(&all, others), None);
        Cell::of(&all, key).unwrap()
    }

    #[test]
    fn figures_of_a_cell() {
        let cell = cell(&[30.0, 31.0, 90.0]);
        assert_eq!((cell.count, cell.p50, cell.p99), (3, 31.0, 90.0));
        assert_eq!((cell.spread, cell.sent_again, cell.packets), (1.0, 6, 120));
        assert_eq!(cell.again_per_request(), 2.0);
    }

    #[test]
    fn slower_is_what_is_more_than_the_spread_and_half_a_millisecond() {
        let (quick, quick_too) = (cell(&[30.0, 30.1, 30.2]), cell(&[30.4, 30.5, 30.6]));
        assert_eq!(quick_too.slower_than(&quick), None);
        let slow = cell(&[31.0, 31.1, 31.2]);
        assert!((slow.slower_than(&quick).unwrap() - 1.0).abs() < 1e-9);
        assert_eq!(quick.slower_than(&slow), None);
        let vague = cell(&[28.0, 31.1, 34.0]);
        assert_eq!(vague.slower_than(&quick), None);
        assert!(vague.slower_at_p99(&quick).is_some());
    }
}
