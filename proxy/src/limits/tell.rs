//! What a client is told of its limits: fields of each response, in the form of OpenAI's API, and `GET /v1/rate_limit`.

use std::time::{Duration, SystemTime};

use serde::Serialize;
use serde_json::{Value, json};

use super::budget::BudgetStates;
use super::gcra::{Left, Rate};
use crate::http1::encode;

/// What a client has left of each of its limits.
#[derive(Clone, Copy, Debug, Default)]
pub struct State {
    /// Requests.
    pub requests: Option<(Rate, Left)>,
    /// Tokens.
    pub tokens: Option<(Rate, Left)>,
    /// Requests at a time: how many may be under way, and how many are.
    pub concurrent: Option<(u32, u32)>,
}

/// Bytes of the fields with the longest numbers: names take 158, what stands around values 24, four numbers 20 each, two
/// times 24 each.
const LONGEST: usize = 310;

/// Appends the fields of a response that tell of `state`, as they stand in HTTP/1.1. They are most of what limits cost a
/// request: names are copied here together with what stands around them, by lengths the compiler knows.
pub fn fields(state: &State, out: &mut Vec<u8>) {
    out.reserve(LONGEST);
    if let Some((rate, left)) = state.requests {
        out.extend_from_slice(b"x-ratelimit-limit-requests: ");
        encode::number(out, rate.per_minute);
        out.extend_from_slice(b"\r\nx-ratelimit-remaining-requests: ");
        encode::number(out, left.remaining);
        out.extend_from_slice(b"\r\nx-ratelimit-reset-requests: ");
        span(out, left.reset);
        out.extend_from_slice(b"\r\n");
    }
    if let Some((rate, left)) = state.tokens {
        out.extend_from_slice(b"x-ratelimit-limit-tokens: ");
        encode::number(out, rate.per_minute);
        out.extend_from_slice(b"\r\nx-ratelimit-remaining-tokens: ");
        encode::number(out, left.remaining);
        out.extend_from_slice(b"\r\nx-ratelimit-reset-tokens: ");
        span(out, left.reset);
        out.extend_from_slice(b"\r\n");
    }
}

/// Appends a time as OpenAI's API writes it, in the manner of Go: `6m0s`, `1.5s`, `20ms`. Rounded up to milliseconds.
fn span(out: &mut Vec<u8>, time: Duration) {
    let millis = time.as_secs().saturating_mul(1000);
    let millis = millis.saturating_add(time.subsec_nanos().div_ceil(1_000_000).into());
    // Mostly it is as short as that.
    if millis < 1000 {
        encode::number(out, millis);
        out.extend_from_slice(if millis == 0 { b"s" } else { b"ms" });
        return;
    }
    let (minutes, rest) = (millis / 60_000, millis % 60_000);
    if minutes >= 60 {
        encode::number(out, minutes / 60);
        out.push(b'h');
    }
    if minutes > 0 {
        encode::number(out, minutes % 60);
        out.push(b'm');
    }
    encode::number(out, rest / 1000);
    let decimals = [rest / 100 % 10, rest / 10 % 10, rest % 10];
    // Without what need not be written.
    if let Some(last) = decimals.iter().rposition(|digit| *digit > 0) {
        out.push(b'.');
        for digit in decimals.iter().take(last + 1) {
            encode::number(out, *digit);
        }
    }
    out.push(b's');
}

/// One limit, in `GET /v1/rate_limit` and `/status`.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct LimitState {
    /// A minute.
    pub limit: u64,
    /// At once.
    pub burst: u64,
    /// What can be had now.
    pub remaining: u64,
    /// Seconds until all of the burst can be had.
    pub reset_seconds: f64,
}

impl LimitState {
    /// What is left of a rate.
    pub fn of((rate, left): (Rate, Left)) -> Self {
        Self {
            limit: rate.per_minute,
            burst: rate.burst,
            remaining: left.remaining,
            reset_seconds: left.reset.as_nanos().div_ceil(1_000_000) as f64 / 1000.0,
        }
    }
}

impl State {
    /// The answer to `GET /v1/rate_limit`: first the article's three numbers, which are about requests, `reset` as a time
    /// of UNIX; then all that is known.
    pub fn to_json(self, budgets: Option<BudgetStates>, now: SystemTime) -> Value {
        let unix = now
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        let reset = |left: Left| (unix + left.reset).as_millis().div_ceil(1000);
        let requests = self.requests;
        json!({
            "limit": requests.map(|(rate, _)| rate.per_minute),
            "remaining": requests.map(|(_, left)| left.remaining),
            "reset": requests.and_then(|(_, left)| u64::try_from(reset(left)).ok()),
            "requests": requests.map(LimitState::of),
            "tokens": self.tokens.map(LimitState::of),
            "concurrent": self.concurrent.map(|(most, now)| json!({
                "limit": most,
                "remaining": most.saturating_sub(now),
            })),
            "budgets": budgets,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_openai_does() {
        let written = |time| {
            let mut text = Vec::new();
            span(&mut text, time);
            String::from_utf8(text).unwrap()
        };
        let millis = |millis| written(Duration::from_millis(millis));
        assert_eq!(millis(0), "0s");
        assert_eq!(millis(20), "20ms");
        assert_eq!(written(Duration::from_nanos(1)), "1ms");
        assert_eq!(millis(1000), "1s");
        assert_eq!(millis(1500), "1.5s");
        assert_eq!(millis(359_999), "5m59.999s");
        assert_eq!(millis(360_000), "6m0s");
        assert_eq!(millis(3_600_000), "1h0m0s");
        assert_eq!(millis(60_050), "1m0.05s");
        assert_eq!(written(Duration::MAX), "5124095576030h25m51.615s");
    }

    #[test]
    fn the_longest_fields_are_as_long_as_is_said() {
        let rate = Rate::new(u64::MAX, u64::MAX);
        let left = Left {
            remaining: u64::MAX,
            reset: Duration::MAX,
        };
        let state = State {
            requests: Some((rate, left)),
            tokens: Some((rate, left)),
            concurrent: None,
        };
        let mut text = Vec::new();
        fields(&state, &mut text);
        assert_eq!(text.len(), LONGEST);
        let (number, time) = (u64::MAX, "5124095576030h25m51.615s");
        let expected = ["requests", "tokens"].map(|of| {
            format!(
                "x-ratelimit-limit-{of}: {number}\r\nx-ratelimit-remaining-{of}: {number}\r\n\
                 x-ratelimit-reset-{of}: {time}\r\n"
            )
        });
        assert_eq!(String::from_utf8(text).unwrap(), expected.concat());
    }
}
