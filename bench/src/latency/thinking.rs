//! For how long upstream thinks, so that requests over the emulated path take as long as in the article's table.
//!
//! The article measured, from a pod: 37.2 ms on average, 48.5 ms at p95, 62.3 ms at p99. Of that a path of 30 ms takes
//! its round trip, and the rig itself [`RIG_MS`]. What is left is a Weibull distribution that begins at [`LEAST_MS`]:
//! three figures, three parameters, solved for exactly, which gives a shape of 0.665; 2/3 was taken, with which the
//! mean comes to 37.17 ms and both quantiles to what they should be. Its quantiles can be written down,
//!
//! ```text
//! thinks(p) = LEAST_MS + SCALE_MS · (-ln(1 - p))^1.5
//! ```
//!
//! so a round does not draw from it but has exactly its quantiles, in an order drawn by lot: no round and no contender
//! is lucky, and what rounds differ by is what is measured.

use std::time::Duration;

use fastrand::Rng;

/// Round trip of the emulated path.
pub(super) const ROUND_TRIP: Duration = Duration::from_millis(30);

/// What a request of direct takes besides the round trip and upstream's thinking, in milliseconds: both ends' TLS and
/// kernels, the relay's devices, and waking up, as it was on the machine on which this was fitted.
const RIG_MS: f64 = 0.40;

/// The shortest time, in milliseconds: from the fit, the article's fastest request would have taken 33.27 ms.
const LEAST_MS: f64 = 33.27 - 30.0 - RIG_MS;

/// Scale of the Weibull distribution, in milliseconds, and one divided by its shape.
const SCALE_MS: f64 = 2.9378;
const EXPONENT: f64 = 1.5;

/// The times of so many requests, the same for the same seed.
pub(super) fn times(count: usize, random: &mut Rng) -> Vec<Duration> {
    let middle = |index: usize| (index as f64 + 0.5) / count as f64;
    let mut all: Vec<Duration> = (0..count).map(|index| quantile(middle(index))).collect();
    random.shuffle(&mut all);
    all
}

/// The time that this share of all requests does not exceed; `share` is less than 1.
pub(super) fn quantile(share: f64) -> Duration {
    let milliseconds = LEAST_MS + SCALE_MS * (-(1.0 - share).ln()).powf(EXPONENT);
    // In whole microseconds, as upstream is told.
    Duration::from_micros((milliseconds * 1000.0).round() as u64)
}

/// In words.
pub(super) fn described() -> String {
    format!("{LEAST_MS:.2} ms + {SCALE_MS} ms × (-ln(1 - p))^{EXPONENT}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statistics;

    /// The article's table, from a pod.
    const MEAN: f64 = 37.2;
    const P95: f64 = 48.5;
    const P99: f64 = 62.3;

    fn requests(count: usize, seed: u64) -> Vec<f64> {
        let thinking = times(count, &mut Rng::with_seed(seed));
        let whole = |time: Duration| (ROUND_TRIP + time).as_secs_f64() * 1000.0 + RIG_MS;
        thinking.into_iter().map(whole).collect()
    }

    #[test]
    fn requests_take_as_long_as_in_the_article() {
        let all = requests(2_000, 1);
        let mean = all.iter().sum::<f64>() / all.len() as f64;
        assert!((mean - MEAN).abs() < 0.06, "{mean}");
        let p95 = statistics::quantile(&all, 0.95);
        assert!((p95 - P95).abs() < 0.06, "{p95}");
        let p99 = statistics::quantile(&all, 0.99);
        // The last of few values that are a quarter of a millisecond and more apart there.
        assert!((p99 - P99).abs() < 0.3, "{p99}");
        assert!((quantile(0.99).as_secs_f64() * 1000.0 + 30.0 + RIG_MS - P99).abs() < 0.02);
    }

    #[test]
    fn all_rounds_have_the_same_times_in_different_orders() {
        let (one, same, other) = (requests(300, 1), requests(300, 1), requests(300, 2));
        assert_eq!(one, same);
        assert_ne!(one, other);
        for share in [0.5, 0.95, 0.99, 1.0] {
            let of = |all: &[f64]| statistics::quantile(all, share);
            assert_eq!(of(&one), of(&other));
        }
    }
}
