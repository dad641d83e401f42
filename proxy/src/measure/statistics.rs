//! Quantiles of times, and how far a difference between two targets can be believed.

use std::time::Duration;

use super::objective::millis;

/// How often the rounds are drawn anew.
const RESAMPLINGS: usize = 1000;
/// Of the resampled differences, this share is left out at each end of the spread.
const TAIL: f64 = 0.025;
/// The same samples give the same spread.
const SEED: u64 = 8314;

/// A distribution of times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Times {
    pub(super) count: usize,
    pub(super) mean: Duration,
    pub(super) min: Duration,
    pub(super) p50: Duration,
    pub(super) p95: Duration,
    pub(super) p99: Duration,
    pub(super) max: Duration,
}

impl Times {
    /// Of times in any order; none if there are none.
    pub(super) fn of(mut times: Vec<Duration>) -> Option<Self> {
        times.sort_unstable();
        let at = |quantile| nearest_rank(&times, times.len(), quantile);
        Some(Self {
            count: times.len(),
            mean: mean(&times)?,
            min: *times.first()?,
            p50: at(0.5)?,
            p95: at(0.95)?,
            p99: at(0.99)?,
            max: *times.last()?,
        })
    }
}

/// The smallest of `sorted` that a share of `count` does not exceed (nearest rank). `count` may be larger than there are times: those
/// missing are longer than all of them, and a quantile that falls on one is none.
pub(super) fn nearest_rank(sorted: &[Duration], count: usize, quantile: f64) -> Option<Duration> {
    sorted.get(rank(count, quantile)).copied()
}

/// From 0.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "counts of samples, which are far below 2^52; at least 0"
)]
fn rank(count: usize, quantile: f64) -> usize {
    // 0.07 × 100 is a little more than 7.
    let rank = (quantile * count as f64 - 1e-9).ceil();
    (rank.max(1.0) as usize).saturating_sub(1)
}

/// The mean; none of nothing.
pub(super) fn mean(times: &[Duration]) -> Option<Duration> {
    let count = u32::try_from(times.len()).ok()?;
    times.iter().sum::<Duration>().checked_div(count)
}

/// By how much one target is slower than another, and between which bounds that may lie.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Difference {
    /// Milliseconds; below 0 if it is faster.
    pub(super) ms: f64,
    /// The bounds: 95 of 100 resamplings of the rounds lie between them.
    pub(super) low_ms: f64,
    /// See `low_ms`.
    pub(super) high_ms: f64,
}

impl Difference {
    /// Whether the bounds leave no doubt that there is one.
    pub(super) fn is_seen(&self) -> bool {
        self.low_ms > 0.0 || self.high_ms < 0.0
    }
}

/// Differences of the mean, p95 and p99 between the seconds and the firsts of `pairs`, which are rounds in their order, so that both were
/// sent within one round. None of fewer than two rounds.
///
/// Rounds are drawn in blocks of neighbours: what slows one request down often slows the next ones down, too, and rounds drawn one by
/// one would make the spread too small.
pub(super) fn differences(pairs: &[(Duration, Duration)]) -> Option<[Difference; 3]> {
    if pairs.len() < 2 {
        return None;
    }
    let found = statistics(pairs);
    let mut random = fastrand::Rng::with_seed(SEED);
    let mut drawn = Vec::with_capacity(pairs.len());
    let mut resampled = [const { Vec::new() }; 3];
    for _ in 0..RESAMPLINGS {
        draw(pairs, &mut random, &mut drawn);
        for (all, of_these) in resampled.iter_mut().zip(statistics(&drawn)) {
            all.push(of_these);
        }
    }
    let mut spread = resampled.into_iter().zip(found).map(|(mut all, ms)| {
        all.sort_unstable_by(f64::total_cmp);
        let at = |quantile| all.get(rank(all.len(), quantile)).copied().unwrap_or(ms);
        Difference {
            ms,
            low_ms: at(TAIL),
            high_ms: at(1.0 - TAIL),
        }
    });
    Some([spread.next()?, spread.next()?, spread.next()?])
}

/// As many rounds, in blocks.
fn draw(
    pairs: &[(Duration, Duration)],
    random: &mut fastrand::Rng,
    drawn: &mut Vec<(Duration, Duration)>,
) {
    // Its cube root: the usual length where the dependence is not known.
    let mut block = 1;
    while block * block * block < pairs.len() {
        block += 1;
    }
    drawn.clear();
    while drawn.len() < pairs.len() {
        // The last is followed by the first, so that all are drawn as often.
        let neighbours = pairs.iter().cycle().skip(random.usize(..pairs.len()));
        let left = pairs.len() - drawn.len();
        drawn.extend(neighbours.take(block.min(left)));
    }
}

/// Mean, p95 and p99 of the differences, in milliseconds.
fn statistics(pairs: &[(Duration, Duration)]) -> [f64; 3] {
    let of =
        |times: Vec<Duration>| Times::of(times).map(|times| [times.mean, times.p95, times.p99]);
    let first = of(pairs.iter().map(|pair| pair.0).collect()).unwrap_or_default();
    let second = of(pairs.iter().map(|pair| pair.1).collect()).unwrap_or_default();
    let mut differences = [0.0; 3];
    for (difference, (first, second)) in differences.iter_mut().zip(first.into_iter().zip(second)) {
        *difference = millis(second) - millis(first);
    }
    differences
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn quantiles_are_times_that_were_measured() {
        let times = Times::of((1..=100).rev().map(ms).collect()).unwrap();
        assert_eq!((times.p50, times.p95, times.p99), (ms(50), ms(95), ms(99)));
        assert_eq!((times.min, times.max, times.count), (ms(1), ms(100), 100));
        assert_eq!(times.mean, Duration::from_micros(50_500));
        assert_eq!(Times::of(Vec::new()), None);
        let one = Times::of(vec![ms(7)]).unwrap();
        assert_eq!((one.p50, one.p99), (ms(7), ms(7)));
        assert_eq!(nearest_rank(&[ms(1), ms(2)], 2, 0.07), Some(ms(1)));
        assert_eq!(rank(100, 0.07), 6);
        assert_eq!(nearest_rank(&[ms(1)], 2, 0.51), None);
    }

    /// Times that go up and down for a while, as those of a network do.
    fn uneven(random: &mut fastrand::Rng, count: usize) -> Vec<Duration> {
        let mut level = 0.0;
        let times = std::iter::repeat_with(|| {
            level = 0.9 * level + random.f64();
            Duration::from_secs_f64((30.0 + level) / 1e3)
        });
        times.take(count).collect()
    }

    #[test]
    fn a_difference_is_found_and_none_is_not() {
        let mut random = fastrand::Rng::with_seed(1);
        let first = uneven(&mut random, 300);
        let jitter: Vec<_> = std::iter::repeat_with(|| Duration::from_micros(random.u64(..1000)))
            .take(300)
            .collect();
        let pairs = |more: Duration| {
            let pairs = first.iter().zip(&jitter);
            let half = Duration::from_micros(500);
            let pairs = pairs.map(|(time, jitter)| (*time + half, *time + *jitter + more));
            differences(&pairs.collect::<Vec<_>>()).unwrap()
        };
        let [mean, p95, _] = pairs(ms(1));
        assert!(
            mean.is_seen() && mean.low_ms < 1.0 && mean.high_ms > 0.9,
            "{mean:?}"
        );
        assert!(p95.low_ms <= p95.ms && p95.ms <= p95.high_ms, "{p95:?}");
        let [mean, ..] = pairs(Duration::ZERO);
        assert!(!mean.is_seen() && mean.low_ms < 0.0, "{mean:?}");
        assert_eq!(
            pairs(ms(1)),
            pairs(ms(1)),
            "the same samples, the same spread"
        );
        assert_eq!(differences(&[(ms(1), ms(2))]), None);
    }

    #[test]
    fn what_lasts_makes_the_spread_wider() {
        let mut random = fastrand::Rng::with_seed(2);
        let uneven = uneven(&mut random, 1000);
        let mut shuffled = uneven.clone();
        random.shuffle(&mut shuffled);
        let width = |times: &[Duration]| {
            let pairs: Vec<_> = times.iter().map(|time| (ms(30), *time)).collect();
            let [mean, ..] = differences(&pairs).unwrap();
            mean.high_ms - mean.low_ms
        };
        assert!(width(&uneven) > 1.5 * width(&shuffled));
    }
}
