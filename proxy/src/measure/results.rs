//! What the samples of a target come to.

use std::collections::BTreeMap;
use std::time::Duration;

use super::course::OfTarget;
use super::dial::Handshake;
use super::sample::{Answer, Failure, Sample};
use super::shares::Shares;
use super::statistics::{Difference, Times, differences, mean, nearest_rank};

/// All that is told of one target.
#[derive(Clone, Debug, Default)]
pub(super) struct Results {
    pub(super) name: String,
    pub(super) url: String,
    /// Requests, without those to warm up.
    pub(super) sent: u64,
    /// Of good answers, from when a request was due to the last byte.
    pub(super) latency: Option<Times>,
    /// The same to the head.
    pub(super) first_byte: Option<Times>,
    /// Those that failed, by their code.
    pub(super) errors: BTreeMap<String, ErrorCount>,
    /// Why it was not measured, or not worth it.
    pub(super) failed: Option<String>,
    /// What to do about that.
    pub(super) remedy: Option<&'static str>,
    /// Requests that waited for a new connection; their latencies have its handshake in them.
    pub(super) on_new_connection: u64,
    /// Answers that came out of a cache.
    pub(super) from_cache: u64,
    pub(super) handshakes: Handshakes,
    pub(super) kernel: KernelColumns,
    pub(super) shares: Option<Shares>,
    /// How it compares with the first target; not of the first itself.
    pub(super) against_first: Option<Against>,
    /// Of good answers, in rising order.
    sorted: Vec<Duration>,
}

/// How often something went wrong, and how it did the first time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ErrorCount {
    pub(super) count: u64,
    pub(super) first: String,
}

/// Connections that were opened to be timed.
#[derive(Clone, Debug, Default)]
pub(super) struct Handshakes {
    pub(super) failed: u64,
    pub(super) name: Option<Times>,
    pub(super) connect: Option<Times>,
    pub(super) tls: Option<Times>,
    pub(super) all: Option<Times>,
}

/// From `TCP_INFO` of the client's sockets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct KernelColumns {
    /// The smallest round trip there was.
    pub(super) min_rtt: Option<Duration>,
    /// The mean of the smoothed round trips after each answer.
    pub(super) rtt: Option<Duration>,
    /// Segments sent again.
    pub(super) retransmits: u64,
}

/// A target against the first one.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Against {
    pub(super) first: String,
    /// Rounds in which both had a good answer.
    pub(super) rounds: usize,
    /// Of the mean, p95 and p99.
    pub(super) differences: [Difference; 3],
}

impl Results {
    /// Of a target and what became of its requests.
    pub(super) fn of(name: &str, url: String, measured: &OfTarget) -> Self {
        let samples = &measured.samples;
        let good: Vec<_> = good(samples).map(|(_, answer)| *answer).collect();
        let whole = good.iter().map(|answer| answer.whole);
        let mut sorted: Vec<_> = whole.collect();
        sorted.sort_unstable();
        let first_bytes = good.iter().map(|answer| answer.first_byte).collect();
        let mut of = Self {
            name: name.to_owned(),
            url,
            sent: count(samples.len()),
            latency: Times::of(sorted.clone()),
            first_byte: Times::of(first_bytes),
            errors: errors(samples),
            on_new_connection: count(samples.iter().filter(|s| s.is_on_new_connection).count()),
            from_cache: count(good.iter().filter(|answer| answer.is_from_cache).count()),
            handshakes: Handshakes::of(&measured.handshakes),
            kernel: KernelColumns::of(&good),
            shares: Shares::of(&good),
            sorted,
            ..Self::default()
        };
        of.note_failure(samples, measured.given_up.as_ref());
        of
    }

    /// Compares with the first target.
    pub(super) fn compare(&mut self, first: &str, mine: &[Sample], firsts: &[Sample]) {
        let firsts: BTreeMap<_, _> = good(firsts).map(|(round, of)| (round, of.whole)).collect();
        let mut mine: Vec<_> = good(mine).map(|(round, of)| (round, of.whole)).collect();
        mine.sort_unstable();
        let pairs = mine.iter();
        let pairs = pairs.filter_map(|(round, whole)| Some((*firsts.get(round)?, *whole)));
        let pairs: Vec<_> = pairs.collect();
        self.against_first = differences(&pairs).map(|differences| Against {
            first: first.to_owned(),
            rounds: pairs.len(),
            differences,
        });
    }

    /// Requests with a good answer.
    pub(super) fn good(&self) -> u64 {
        count(self.sorted.len())
    }

    /// A quantile of all requests, where one that failed is longer than any.
    pub(super) fn quantile_of_all(&self, quantile: f64) -> Option<Duration> {
        let sent = usize::try_from(self.sent).unwrap_or(usize::MAX);
        nearest_rank(&self.sorted, sent, quantile)
    }

    /// From 0 to 1.
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    pub(super) fn error_share(&self) -> f64 {
        match self.sent {
            0 => 0.0,
            sent => (sent - self.good()) as f64 / sent as f64,
        }
    }

    fn note_failure(&mut self, samples: &[Sample], given_up: Option<&Failure>) {
        if let Some(failure) = given_up {
            let detail = failure.detail();
            self.failed = Some(format!("not measured: to warm up {detail}"));
            self.remedy = failure.remedy();
        } else if self.sent > 0 && self.good() * 2 < self.sent {
            let mut failures = samples
                .iter()
                .filter_map(|sample| sample.outcome.as_ref().err());
            let bad = self.sent - self.good();
            self.failed = Some(format!("{bad} of {} requests failed", self.sent));
            self.remedy = failures.find_map(Failure::remedy);
        }
    }
}

fn good(samples: &[Sample]) -> impl Iterator<Item = (usize, &Answer)> {
    let good = |sample: &Sample| sample.outcome.is_ok();
    let good = samples.iter().filter(move |sample| good(sample));
    good.filter_map(|sample| Some((sample.round, sample.outcome.as_ref().ok()?)))
}

fn errors(samples: &[Sample]) -> BTreeMap<String, ErrorCount> {
    let mut errors = BTreeMap::<String, ErrorCount>::new();
    for failure in samples
        .iter()
        .filter_map(|sample| sample.outcome.as_ref().err())
    {
        let counted = errors.entry(failure.code());
        let counted = counted.or_insert_with(|| ErrorCount {
            count: 0,
            first: failure.detail(),
        });
        counted.count += 1;
    }
    errors
}

fn count(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

impl Handshakes {
    fn of(results: &[Result<Handshake, Failure>]) -> Self {
        let good: Vec<_> = results
            .iter()
            .filter_map(|result| result.as_ref().ok())
            .collect();
        let times = |of: fn(&Handshake) -> Option<Duration>| {
            Times::of(good.iter().filter_map(|handshake| of(handshake)).collect())
        };
        Self {
            failed: count(results.len() - good.len()),
            name: times(|handshake| handshake.name),
            connect: times(|handshake| Some(handshake.connect)),
            tls: times(|handshake| handshake.tls),
            all: times(|handshake| Some(handshake.all())),
        }
    }
}

impl KernelColumns {
    fn of(good: &[Answer]) -> Self {
        let told = || good.iter().filter_map(|answer| answer.kernel);
        Self {
            min_rtt: told().filter_map(|kernel| kernel.min_rtt).min(),
            rtt: mean(&told().map(|kernel| kernel.rtt).collect::<Vec<_>>()),
            retransmits: told().map(|kernel| u64::from(kernel.retransmits)).sum(),
        }
    }
}

#[cfg(test)]
impl Results {
    /// Of answers that took so many milliseconds, in rising order.
    pub(super) fn of_millis(name: &str, millis: Vec<u64>) -> Self {
        let sorted: Vec<_> = millis.into_iter().map(Duration::from_millis).collect();
        Self {
            name: name.to_owned(),
            sent: count(sorted.len()),
            latency: Times::of(sorted.clone()),
            sorted,
            ..Self::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(round: usize, outcome: Result<u64, Failure>) -> Sample {
        Sample {
            round,
            late: Duration::ZERO,
            is_on_new_connection: false,
            outcome: outcome.map(|millis| Answer {
                first_byte: Duration::from_millis(millis),
                whole: Duration::from_millis(millis + 1),
                kernel: None,
                timing: None,
                is_from_cache: false,
            }),
        }
    }

    #[test]
    fn failures_are_counted_and_in_no_latency() {
        let late = Failure::Timeout(Duration::from_secs(10));
        let told = Failure::Status(502, Some("upstream_dns_failed".to_owned()));
        let samples = vec![
            sample(0, Ok(10)),
            sample(1, Err(told)),
            sample(2, Err(late)),
            sample(3, Err(Failure::Status(502, None))),
            sample(4, Ok(20)),
            sample(5, Ok(30)),
        ];
        let of = OfTarget {
            samples,
            ..OfTarget::default()
        };
        let results = Results::of("a", String::new(), &of);
        assert_eq!((results.sent, results.good()), (6, 3));
        assert_eq!(results.latency.unwrap().max, Duration::from_millis(31));
        assert_eq!(results.errors["502"].count, 2);
        assert_eq!(
            results.errors["502"].first,
            "answered 502 (upstream_dns_failed)"
        );
        assert_eq!(results.errors["timeout"].count, 1);
        assert_eq!(results.failed, None, "half of them are good");
        let of = OfTarget {
            given_up: Some(Failure::Status(401, None)),
            ..OfTarget::default()
        };
        let results = Results::of("a", String::new(), &of);
        assert_eq!(
            results.failed.as_deref(),
            Some("not measured: to warm up answered 401")
        );
        assert!(results.remedy.unwrap().contains("--api-key-file"));
    }

    #[test]
    fn rounds_are_compared_in_which_both_have_an_answer() {
        let firsts: Vec<_> = (0..50).map(|round| sample(round, Ok(10))).collect();
        let broken = || Failure::Broken("closed".to_owned());
        let mine = |round| match round {
            0 => sample(round, Err(broken())),
            _ => sample(round, Ok(12)),
        };
        let mine: Vec<_> = (0..50).rev().map(mine).collect();
        let mut results = Results::default();
        results.compare("direct", &mine, &firsts);
        let against = results.against_first.unwrap();
        assert_eq!((against.first.as_str(), against.rounds), ("direct", 49));
        let [mean, p95, p99] = against.differences;
        assert!(
            [mean, p95, p99]
                .iter()
                .all(|of| (of.ms - 2.0).abs() < 1e-6 && of.is_seen())
        );
    }
}
