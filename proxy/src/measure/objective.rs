//! Objectives: what latencies have to be, and whether they are.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::results::Results;

/// `[NAME:]KEY=LIMIT` of the command line.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Objective {
    /// The target it is for; all of them if none.
    pub(super) target: Option<String>,
    /// What is looked at, and how much it may be.
    pub(super) limit: Limit,
    /// As it was given, without the target.
    text: String,
}

/// What is limited.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Limit {
    /// The mean of the answers that came.
    Mean(Duration),
    /// A quantile, from 0 to 1. A request that failed counts as one that never came back.
    Quantile(f64, Duration),
    /// The share of requests that fail, from 0 to 1.
    Errors(f64),
}

/// Whether an objective is met by a target.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Judgement {
    pub(super) target: String,
    pub(super) objective: String,
    /// What was measured, for a person.
    pub(super) measured: String,
    pub(super) is_met: bool,
}

impl FromStr for Objective {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const EXPECTED: &str =
            "expected such as p95=50ms, proxy:p99=80ms, mean=40ms, max=1s or errors=1%";
        let (key, value) = text.split_once('=').ok_or(EXPECTED)?;
        let (target, key) = match key.split_once(':') {
            Some((target, key)) => (Some(target.to_owned()), key),
            None => (None, key),
        };
        let time = || humantime::parse_duration(value).map_err(|_| EXPECTED);
        let limit = match key {
            "mean" => Limit::Mean(time()?),
            "max" => Limit::Quantile(1.0, time()?),
            "errors" => {
                let percent = value
                    .strip_suffix('%')
                    .and_then(|text| text.parse::<f64>().ok());
                let percent = percent.filter(|percent| (0.0..=100.0).contains(percent));
                Limit::Errors(percent.ok_or(EXPECTED)? / 100.0)
            }
            _ => {
                let percent = key
                    .strip_prefix('p')
                    .and_then(|text| text.parse::<f64>().ok());
                let percent = percent.filter(|percent| *percent > 0.0 && *percent < 100.0);
                Limit::Quantile(percent.ok_or(EXPECTED)? / 100.0, time()?)
            }
        };
        Ok(Self {
            target,
            limit,
            text: format!("{key}={value}"),
        })
    }
}

impl fmt::Display for Objective {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.target {
            Some(target) => write!(f, "{target}:{}", self.text),
            None => f.write_str(&self.text),
        }
    }
}

impl Objective {
    /// Judges each target it is for.
    pub(super) fn judge<'a>(
        &'a self,
        results: &'a [Results],
    ) -> impl Iterator<Item = Judgement> + 'a {
        let is_for = |of: &&Results| self.target.as_ref().is_none_or(|name| *name == of.name);
        results.iter().filter(is_for).map(|of| {
            let (measured, is_met) = self.limit.judge(of);
            Judgement {
                target: of.name.clone(),
                objective: self.text.clone(),
                measured,
                is_met,
            }
        })
    }
}

impl Limit {
    fn judge(self, of: &Results) -> (String, bool) {
        let told = |time: Option<Duration>, limit: Duration| match time {
            Some(time) => (format!("{:.2} ms", millis(time)), time <= limit),
            None if of.sent == 0 => ("nothing was measured".to_owned(), false),
            None => ("too many requests failed".to_owned(), false),
        };
        match self {
            Self::Mean(limit) => told(of.latency.as_ref().map(|times| times.mean), limit),
            Self::Quantile(quantile, limit) => told(of.quantile_of_all(quantile), limit),
            Self::Errors(_) if of.sent == 0 => ("nothing was measured".to_owned(), false),
            Self::Errors(limit) => {
                let share = of.error_share();
                (format!("{:.1} %", share * 100.0), share <= limit)
            }
        }
    }
}

/// In milliseconds.
pub(super) fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(text: &str) -> Limit {
        text.parse::<Objective>().unwrap().limit
    }

    #[test]
    fn objectives_are_read_as_people_write_them() {
        let fifty = Duration::from_millis(50);
        assert_eq!(limit("p95=50ms"), Limit::Quantile(0.95, fifty));
        assert_eq!(limit("mean=50ms"), Limit::Mean(fifty));
        assert_eq!(limit("max=50ms"), Limit::Quantile(1.0, fifty));
        assert_eq!(limit("errors=2%"), Limit::Errors(0.02));
        assert!(matches!(limit("p99.9=1s"), Limit::Quantile(quantile, _) if quantile > 0.998));
        let of_one: Objective = "proxy:p95=50ms".parse().unwrap();
        assert_eq!(of_one.target.as_deref(), Some("proxy"));
        assert_eq!(of_one.to_string(), "proxy:p95=50ms");
        for wrong in [
            "",
            "p95",
            "p95=50",
            "p0=1s",
            "p100=1s",
            "errors=3",
            "errors=101%",
            "q=1s",
        ] {
            assert!(wrong.parse::<Objective>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_request_that_failed_is_slower_than_any() {
        let of = |good: u64, failed: u64| {
            let mut of = Results::of_millis("a", (1..=good).collect());
            of.sent += failed;
            of
        };
        let judge = |text: &str, of: Results| {
            let objective: Objective = text.parse().unwrap();
            objective.judge(&[of]).next().unwrap()
        };
        assert!(judge("p95=95ms", of(100, 0)).is_met);
        assert!(!judge("p95=94ms", of(100, 0)).is_met);
        assert!(judge("p95=99ms", of(95, 5)).is_met);
        let missed = judge("p95=99ms", of(94, 6));
        assert!(!missed.is_met);
        assert_eq!(missed.measured, "too many requests failed");
        assert!(judge("mean=51ms", of(100, 0)).is_met);
        assert!(judge("errors=5%", of(95, 5)).is_met);
        assert!(!judge("errors=4%", of(95, 5)).is_met);
        assert!(!judge("max=1s", of(99, 1)).is_met);
        assert!(!judge("p95=1s", of(0, 0)).is_met);
        assert!(!judge("errors=100%", of(0, 0)).is_met);
    }

    #[test]
    fn an_objective_is_for_all_or_for_one() {
        let of = [
            Results::of_millis("a", vec![1]),
            Results::of_millis("b", vec![9]),
        ];
        let of_all: Objective = "p50=5ms".parse().unwrap();
        let met: Vec<_> = of_all
            .judge(&of)
            .map(|judgement| judgement.is_met)
            .collect();
        assert_eq!(met, [true, false]);
        let of_one: Objective = "a:p50=5ms".parse().unwrap();
        assert_eq!(of_one.judge(&of).count(), 1);
    }
}
