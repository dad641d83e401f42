//! The last five minutes, for `/status` and the plots of its page: the admin thread looks at the counters every two seconds, so
//! that there is something to see as soon as the page is opened. Nothing of it is on the way of a request.

use std::collections::VecDeque;
use std::time::{Duration, SystemTime};

use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

use super::latency::Split;
use super::totals::Totals;

/// Between two looks.
pub(super) const INTERVAL: Duration = Duration::from_secs(2);
/// Five minutes of them.
const POINTS: usize = 150;
/// A minute of counters, for what is told of the last one.
const TOTALS: usize = 31;
/// What is told as a rate is of so many intervals: ten seconds.
const RATE_INTERVALS: usize = 5;

/// What was seen.
#[derive(Debug, Default)]
pub struct History {
    points: VecDeque<Point>,
    totals: VecDeque<Totals>,
}

/// One interval, up to its end.
#[derive(Debug)]
struct Point {
    time_unix_ms: u64,
    requests: Option<f64>,
    client_errors: Option<f64>,
    server_errors: Option<f64>,
    in_flight: i64,
    network: Option<f64>,
    upstream: Option<f64>,
    proxy: Option<f64>,
    first_byte_p50: Option<f64>,
    first_byte_p99: Option<f64>,
    input_tokens: Option<f64>,
    output_tokens: Option<f64>,
    usd_per_hour: Option<f64>,
}

/// The last five minutes by column: the same position is the same interval, the last one the latest.
#[derive(Debug, Serialize)]
pub struct HistoryStatus {
    /// How long one is.
    pub interval_seconds: u64,
    /// When each ended.
    pub time_unix_ms: Box<RawValue>,
    /// Requests answered.
    pub requests_per_second: Box<RawValue>,
    /// Of these, with 4xx.
    pub client_errors_per_second: Box<RawValue>,
    /// Of these, with 5xx.
    pub server_errors_per_second: Box<RawValue>,
    /// Requests under way at its end.
    pub in_flight: Box<RawValue>,
    /// The network's part of the mean time to the first byte; `null` where there was none.
    pub network_mean_ms: Box<RawValue>,
    /// Upstream's part of it.
    pub upstream_mean_ms: Box<RawValue>,
    /// The mean time in the proxy, the wake-up lag included.
    pub proxy_mean_ms: Box<RawValue>,
    /// Half of the first bytes came within this.
    pub first_byte_p50_ms: Box<RawValue>,
    /// 99 of 100 first bytes came within this.
    pub first_byte_p99_ms: Box<RawValue>,
    /// Tokens of prompts.
    pub input_tokens_per_second: Box<RawValue>,
    /// Tokens of answers.
    pub output_tokens_per_second: Box<RawValue>,
    /// What an hour like this interval costs.
    pub usd_per_hour: Box<RawValue>,
}

impl History {
    /// Adds what happened since the last look.
    pub(super) fn add(&mut self, now: Totals) {
        if let Some(before) = self.totals.back() {
            keep(&mut self.points, Point::between(before, &now), POINTS);
        }
        keep(&mut self.totals, now, TOTALS);
    }

    /// The counters a minute ago, or as long ago as is known.
    pub(super) fn minute_ago(&self) -> Option<&Totals> {
        self.totals.front()
    }

    /// Requests a second over the last ten.
    pub(super) fn rate(&self, now: &Totals) -> f64 {
        let first = self.totals.len().saturating_sub(RATE_INTERVALS);
        let recent = self.totals.get(first);
        let rate = recent.map(|then| per_second(then, now, |of| of.requests));
        rate.flatten().map_or(0.0, short)
    }

    pub(super) fn status(&self) -> serde_json::Result<HistoryStatus> {
        let times: Vec<_> = self.points.iter().map(|point| point.time_unix_ms).collect();
        let in_flight: Vec<_> = self.points.iter().map(|point| point.in_flight).collect();
        let column = |of: fn(&Point) -> Option<f64>| {
            let values = self.points.iter().map(|point| of(point).map(short));
            to_raw_value(&values.collect::<Vec<_>>())
        };
        Ok(HistoryStatus {
            interval_seconds: INTERVAL.as_secs(),
            time_unix_ms: to_raw_value(&times)?,
            requests_per_second: column(|point| point.requests)?,
            client_errors_per_second: column(|point| point.client_errors)?,
            server_errors_per_second: column(|point| point.server_errors)?,
            in_flight: to_raw_value(&in_flight)?,
            network_mean_ms: column(|point| point.network)?,
            upstream_mean_ms: column(|point| point.upstream)?,
            proxy_mean_ms: column(|point| point.proxy)?,
            first_byte_p50_ms: column(|point| point.first_byte_p50)?,
            first_byte_p99_ms: column(|point| point.first_byte_p99)?,
            input_tokens_per_second: column(|point| point.input_tokens)?,
            output_tokens_per_second: column(|point| point.output_tokens)?,
            usd_per_hour: column(|point| point.usd_per_hour)?,
        })
    }
}

impl Point {
    fn between(before: &Totals, now: &Totals) -> Self {
        let unix = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let rate = |of: fn(&Totals) -> u64| per_second(before, now, of);
        let rtt = now.rtt.since(&before.rtt);
        let first_byte = now.first_byte.since(&before.first_byte);
        let split = Split::of(&first_byte, &rtt, now.connect.mean_ms());
        let lag = now.wakeup.since(&before.wakeup).mean_ms().unwrap_or(0.0);
        let seconds = now.at.duration_since(before.at).as_secs_f64();
        let usd = now.usd.to_f64() - before.usd.to_f64();
        Self {
            time_unix_ms: u64::try_from(unix.unwrap_or_default().as_millis()).unwrap_or(u64::MAX),
            requests: rate(|of| of.requests),
            client_errors: rate(|of| of.client_errors),
            server_errors: rate(|of| of.server_errors),
            in_flight: now.in_flight,
            network: split.network_ms,
            upstream: split.upstream_ms,
            proxy: (now.proxy.since(&before.proxy).mean_ms()).map(|proxy| proxy + lag),
            first_byte_p50: first_byte.quantile_ms(0.5),
            first_byte_p99: first_byte.quantile_ms(0.99),
            input_tokens: rate(|of| of.input_tokens),
            output_tokens: rate(|of| of.output_tokens),
            usd_per_hour: (seconds > 0.0).then(|| usd.max(0.0) * 3600.0 / seconds),
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a rate")]
fn per_second(before: &Totals, now: &Totals, of: impl Fn(&Totals) -> u64) -> Option<f64> {
    let seconds = now.at.duration_since(before.at).as_secs_f64();
    let count = of(now).saturating_sub(of(before));
    (seconds > 0.0).then(|| count as f64 / seconds)
}

/// Four digits are more than anybody reads off a plot.
pub(super) fn short(value: f64) -> f64 {
    if value == 0.0 || !value.is_finite() {
        return 0.0;
    }
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the logarithm of a number is below 310"
    )]
    let digits = 3 - value.abs().log10().floor() as i32;
    let scale = 10_f64.powi(digits);
    (value * scale).round() / scale
}

fn keep<T>(all: &mut VecDeque<T>, one: T, most: usize) {
    if all.len() >= most {
        all.pop_front();
    }
    all.push_back(one);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        for (value, expected) in [
            (0.0, "0.0"),
            (1234.567, "1235.0"),
            (0.012_345_6, "0.01235"),
            (1.0 / 3.0, "0.3333"),
            (f64::NAN, "0.0"),
        ] {
            assert_eq!(serde_json::to_string(&short(value)).unwrap(), expected);
        }
    }

    #[test]
    fn there_is_an_end_to_it() {
        let mut all = VecDeque::new();
        for number in 0..5 {
            keep(&mut all, number, 3);
        }
        assert_eq!(all, [2, 3, 4]);
    }
}
