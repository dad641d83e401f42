//! What a client is told of its limits: fields of each response, in the form of OpenAI's API, and `GET /v1/rate_limit`.

use std::time::{Duration, SystemTime};

use serde::Serialize;
use serde_json::{Value, json};

use super::budget::BudgetStates;
use super::gcra::{Left, Rate};

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

/// Whether this is the name of a field that the proxy sets for clients with limits: what upstream says of its own would
/// be about the account that all clients share.
pub fn is_ours(name: &[u8]) -> bool {
    // This is asked of every field, so it is two comparisons. A name has no byte that could be taken for another by it.
    let Some((first, rest)) = name.split_first_chunk::<8>() else {
        return false;
    };
    let Some((next, _)) = rest.split_first_chunk::<4>() else {
        return false;
    };
    let lower = 0x2020_2020_2020_2020_u64;
    u64::from_le_bytes(*first) | lower == u64::from_le_bytes(*b"x-rateli")
        && u32::from_le_bytes(*next) | 0x2020_2020 == u32::from_le_bytes(*b"mit-")
}

/// Gives the fields that tell of `state` to `put`.
pub fn fields(state: &State, mut put: impl FnMut(&[u8], &[u8])) {
    let all: [(_, [&[u8]; 3]); 2] = [
        (
            state.requests,
            [
                b"x-ratelimit-limit-requests",
                b"x-ratelimit-remaining-requests",
                b"x-ratelimit-reset-requests",
            ],
        ),
        (
            state.tokens,
            [
                b"x-ratelimit-limit-tokens",
                b"x-ratelimit-remaining-tokens",
                b"x-ratelimit-reset-tokens",
            ],
        ),
    ];
    let mut number = itoa::Buffer::new();
    for (known, [limit, remaining, reset]) in all {
        let Some((rate, left)) = known else {
            continue;
        };
        put(limit, number.format(rate.per_minute).as_bytes());
        put(remaining, number.format(left.remaining).as_bytes());
        put(reset, SpanText::of(left.reset).as_bytes());
    }
}

/// A time as OpenAI's API writes it, in the manner of Go: `6m0s`, `1.5s`, `20ms`. Rounded up to milliseconds.
#[derive(Debug)]
struct SpanText {
    bytes: [u8; Self::LONGEST],
    length: usize,
}

impl SpanText {
    /// Twenty digits of hours, and the rest.
    const LONGEST: usize = 32;

    fn of(time: Duration) -> Self {
        let mut text = Self {
            bytes: [0; Self::LONGEST],
            length: 0,
        };
        let millis = time.as_secs().saturating_mul(1000);
        let millis = millis.saturating_add(time.subsec_nanos().div_ceil(1_000_000).into());
        let (minutes, rest) = (millis / 60_000, millis % 60_000);
        if (1..1000).contains(&millis) {
            text.number(rest);
            text.push(b"ms");
            return text;
        }
        if minutes >= 60 {
            text.number(minutes / 60);
            text.push(b"h");
        }
        if minutes > 0 {
            text.number(minutes % 60);
            text.push(b"m");
        }
        text.number(rest / 1000);
        let decimals = [rest / 100 % 10, rest / 10 % 10, rest % 10];
        // Without what need not be written.
        if let Some(last) = decimals.iter().rposition(|digit| *digit > 0) {
            text.push(b".");
            for digit in decimals.iter().take(last + 1) {
                text.number(*digit);
            }
        }
        text.push(b"s");
        text
    }

    fn number(&mut self, number: u64) {
        self.push(itoa::Buffer::new().format(number).as_bytes());
    }

    fn push(&mut self, bytes: &[u8]) {
        let end = self.length + bytes.len();
        if let Some(place) = self.bytes.get_mut(self.length..end) {
            place.copy_from_slice(bytes);
            self.length = end;
        }
    }

    fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
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
        let span = |time| String::from_utf8(SpanText::of(time).as_bytes().to_vec()).unwrap();
        let millis = |millis| span(Duration::from_millis(millis));
        assert_eq!(millis(0), "0s");
        assert_eq!(millis(20), "20ms");
        assert_eq!(span(Duration::from_nanos(1)), "1ms");
        assert_eq!(millis(1000), "1s");
        assert_eq!(millis(1500), "1.5s");
        assert_eq!(millis(359_999), "5m59.999s");
        assert_eq!(millis(360_000), "6m0s");
        assert_eq!(millis(3_600_000), "1h0m0s");
        assert_eq!(millis(60_050), "1m0.05s");
        assert_eq!(span(Duration::MAX), "5124095576030h25m51.615s");
    }

    #[test]
    fn names_are_compared_without_regard_to_case() {
        assert!(is_ours(b"X-RateLimit-Limit-Requests"));
        assert!(is_ours(b"x-ratelimit-"));
        for other in [
            &b"x-ratelimit"[..],
            b"x-rate",
            b"x-ratelimits-",
            b"y-ratelimit-",
            b"",
        ] {
            assert!(!is_ours(other));
        }
        assert!(!is_ours(b"x-request-id"));
    }
}
