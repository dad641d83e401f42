//! Medians, paired ratios and differences.
//!
//! Rounds are paired: both sides come from the same round, minutes
//! at most apart, so that slow changes of the machine cancel out.

use serde::Serialize;

/// Least, middle and greatest of some figures.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Spread {
    pub(crate) min: f64,
    pub(crate) median: f64,
    pub(crate) max: f64,
}

impl Spread {
    /// The spread of `values`; `None` when there are none.
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut sorted: Vec<f64> = values.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        let (min, max) = (*sorted.first()?, *sorted.last()?);
        let middle = sorted.len() / 2;
        let median = if sorted.len().is_multiple_of(2) {
            f64::midpoint(sorted[middle - 1], sorted[middle])
        } else {
            sorted[middle]
        };
        Some(Self { min, median, max })
    }

    /// Whether the figures allow for this one: a ratio of 1 or a difference of 0 means that none was seen.
    pub(crate) fn covers(&self, figure: f64) -> bool {
        self.min <= figure && self.max >= figure
    }
}

/// A quantile: the least of the values that this share of them does not exceed; 0 of none.
pub(crate) fn quantile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = (share * sorted.len() as f64).ceil() as usize;
    let value = sorted.get(rank.clamp(1, sorted.len().max(1)) - 1);
    value.copied().unwrap_or_default()
}

/// The ratios `own / other` of all rounds in which both sides have a figure.
pub(crate) fn paired_ratio(own: &[(usize, f64)], other: &[(usize, f64)]) -> Option<Spread> {
    paired(own, other, |own, other| own / other)
}

/// The differences `own - other`, likewise.
pub(crate) fn paired_difference(own: &[(usize, f64)], other: &[(usize, f64)]) -> Option<Spread> {
    paired(own, other, |own, other| own - other)
}

fn paired(
    own: &[(usize, f64)],
    other: &[(usize, f64)],
    compare: fn(f64, f64) -> f64,
) -> Option<Spread> {
    Spread::of(own.iter().filter_map(|(round, figure)| {
        let (_, against) = other.iter().find(|(other_round, _)| other_round == round)?;
        Some(compare(*figure, *against))
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn median_of_odd_and_even_counts() {
        assert_eq!(
            Spread::of([3.0, 1.0, 2.0]),
            Some(Spread {
                min: 1.0,
                median: 2.0,
                max: 3.0
            })
        );
        assert_eq!(Spread::of([4.0, 1.0, 2.0, 3.0]).unwrap().median, 2.5);
        assert_eq!(Spread::of([]), None);
    }

    #[test]
    fn quantiles_are_values_that_there_are() {
        let values: Vec<f64> = (1..=100).rev().map(f64::from).collect();
        assert_eq!(quantile(&values, 0.5), 50.0);
        assert_eq!(quantile(&values, 0.99), 99.0);
        assert_eq!(quantile(&values, 1.0), 100.0);
        assert_eq!(quantile(&[], 0.99), 0.0);
    }

    #[test]
    fn ratios_pair_rounds_by_number() {
        let own = [(0, 8.0), (2, 30.0), (3, 1.0)];
        let other = [(2, 20.0), (0, 16.0), (1, 7.0)];
        let ratio = paired_ratio(&own, &other).unwrap();
        assert_eq!(
            ratio,
            Spread {
                min: 0.5,
                median: 1.0,
                max: 1.5
            }
        );
        assert!(ratio.covers(1.0) && !ratio.covers(0.0));
        let difference = paired_difference(&own, &other).unwrap();
        assert_eq!((difference.min, difference.max), (-8.0, 10.0));
        assert_eq!(paired_ratio(&own, &[]), None);
    }
}
