//! Whether a series stays where it is: a robust slope, and how sure it is.
//!
//! The slope is Theil's and Sen's, the median of the slopes between all pairs of points, so that a few peaks say nothing. Its
//! bounds are those of Sen (1968) at 95 %. Both are told as a change over the whole window, in the series' own unit, which is
//! what [`Trend::judge`] compares with a tolerance. Points are medians of slices of the window: neighbouring samples are too much
//! alike to count as so many witnesses.

use serde::Serialize;

use crate::statistics::Spread;

/// Slices of a window.
const SLICES: usize = 40;
/// Fewer say nothing.
const LEAST: usize = 8;
/// The normal distribution's quantile for 95 % on both sides.
const QUANTILE: f64 = 1.96;

/// How a series changes over a window.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Trend {
    /// Length of the window, seconds.
    pub(super) seconds: f64,
    /// Median of the first and of the last quarter of the slices.
    pub(super) first: f64,
    pub(super) last: f64,
    /// By how much it changes over the window, and within which bounds this is sure to 95 %.
    pub(super) change: f64,
    pub(super) least: f64,
    pub(super) most: f64,
}

/// What a trend comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Verdict {
    /// It changes by no more than it may.
    Flat,
    /// By more, but so unsteadily that it may also be less.
    Doubtful,
    /// By more, for sure.
    Rising,
}

impl Trend {
    /// The trend of points of seconds and values, in order of time; `None` of too few.
    pub(super) fn of(points: &[(f64, f64)]) -> Option<Self> {
        let slices = slices(points);
        if slices.len() < LEAST {
            return None;
        }
        let seconds = slices.last()?.0 - slices.first()?.0;
        let mut slopes = Vec::with_capacity(slices.len() * slices.len() / 2);
        for (index, (at, value)) in slices.iter().enumerate() {
            let later = slices.iter().skip(index + 1);
            slopes.extend(later.map(|(then, other)| (other - value) / (then - at)));
        }
        slopes.sort_by(f64::total_cmp);
        let (count, pairs) = (slices.len() as f64, slopes.len() as f64);
        let spread = QUANTILE * (count * (count - 1.0) * (2.0 * count + 5.0) / 18.0).sqrt();
        let at = |rank: f64| {
            let rank = rank.clamp(0.0, pairs - 1.0) as usize;
            slopes.get(rank).map(|slope| slope * seconds)
        };
        let quarter = slices.len().div_ceil(4);
        let median = |part: &[(f64, f64)]| Spread::of(part.iter().map(|(_, value)| *value));
        Some(Self {
            seconds,
            first: median(slices.get(..quarter)?)?.median,
            last: median(slices.get(slices.len() - quarter..)?)?.median,
            change: Spread::of(slopes.iter().copied())?.median * seconds,
            least: at((pairs - spread) / 2.0)?,
            most: at((pairs + spread) / 2.0)?,
        })
    }

    /// Whether it may be, with a tolerance in the series' unit over the whole window.
    pub(super) fn judge(&self, tolerance: f64) -> Verdict {
        match (self.change > tolerance, self.least > tolerance) {
            (_, true) => Verdict::Rising,
            (true, false) => Verdict::Doubtful,
            (false, false) => Verdict::Flat,
        }
    }

    /// The least change that would have been told from none: what the tolerance and the noise leave.
    pub(super) fn could_see(&self, tolerance: f64) -> f64 {
        tolerance + (self.change - self.least).max(0.0)
    }
}

/// Medians of up to [`SLICES`] slices of equal length, each at the middle of its slice.
fn slices(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let (Some(first), Some(last)) = (points.first(), points.last()) else {
        return Vec::new();
    };
    let width = (last.0 - first.0) / SLICES as f64;
    if width <= 0.0 {
        return Vec::new();
    }
    let mut slices: Vec<(usize, Vec<f64>)> = Vec::new();
    for (at, value) in points {
        let slice = (((at - first.0) / width) as usize).min(SLICES - 1);
        match slices.last_mut() {
            Some((number, values)) if *number == slice => values.push(*value),
            _ => slices.push((slice, vec![*value])),
        }
    }
    let medians = slices.into_iter().filter_map(|(slice, values)| {
        let middle = first.0 + (slice as f64 + 0.5) * width;
        Some((middle, Spread::of(values)?.median))
    });
    medians.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Some noise that is the same each time, between -1 and 1.
    fn noise(index: u32) -> f64 {
        f64::from(index.wrapping_mul(2_654_435_761) >> 16) / 32768.0 - 1.0
    }

    fn series(value: impl Fn(u32) -> f64) -> Vec<(f64, f64)> {
        let points = (0..400).map(|index| (f64::from(index), value(index)));
        points.collect()
    }

    #[test]
    fn noise_and_peaks_are_flat_and_a_leak_below_them_is_not() {
        let peaks = |index: u32| if index.is_multiple_of(37) { 500.0 } else { 0.0 };
        let steady = series(|index| 100.0 + 10.0 * noise(index) + peaks(index));
        let trend = Trend::of(&steady).unwrap();
        assert_eq!(trend.judge(8.0), Verdict::Flat, "{trend:?}");
        let leak = |index: u32| 20.0 * f64::from(index) / 400.0;
        let rising = series(|index| 100.0 + 10.0 * noise(index) + peaks(index) + leak(index));
        let trend = Trend::of(&rising).unwrap();
        assert_eq!(trend.judge(8.0), Verdict::Rising, "{trend:?}");
        assert!((trend.change - 20.0).abs() < 5.0, "{trend:?}");
        assert!(trend.could_see(8.0) < 20.0, "{trend:?}");
    }

    #[test]
    fn what_falls_is_flat_and_what_may_be_noise_is_doubtful() {
        let falling = Trend::of(&series(|index| 1000.0 - f64::from(index))).unwrap();
        assert_eq!(falling.judge(0.0), Verdict::Flat);
        let wild = series(|index| 100.0 + 60.0 * noise(index) + f64::from(index) / 20.0);
        let trend = Trend::of(&wild).unwrap();
        let between = f64::midpoint(trend.change, trend.least);
        assert_eq!(trend.judge(between), Verdict::Doubtful, "{trend:?}");
    }

    #[test]
    fn too_few_points_say_nothing() {
        assert!(Trend::of(&series(|_| 1.0)[..7]).is_none());
        assert!(Trend::of(&[(1.0, 1.0); 50]).is_none());
        let constant = Trend::of(&series(|_| 3.0)).unwrap();
        assert_eq!((constant.change, constant.most), (0.0, 0.0));
    }
}
