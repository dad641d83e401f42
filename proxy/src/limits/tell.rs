//! What a client is told of its limits: fields of each response, in the form of OpenAI's API, and `GET /v1/rate_limit`.

use std::fmt::Write;
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

const PREFIX: &[u8] = b"x-ratelimit-";

/// Whether this is the name of a field that the proxy sets for clients with limits: what upstream says of its own would
/// be about the account that all clients share.
pub fn is_ours(name: &[u8]) -> bool {
    let start = name.get(..PREFIX.len());
    start.is_some_and(|start| start.eq_ignore_ascii_case(PREFIX))
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
        put(reset, span(left.reset).as_bytes());
    }
}

/// A time as OpenAI's API writes it, in the manner of Go: `6m0s`, `1.5s`, `20ms`. Rounded up to milliseconds.
fn span(time: Duration) -> String {
    let millis = time.as_nanos().div_ceil(1_000_000);
    let (minutes, rest) = (millis / 60_000, millis % 60_000);
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = match (minutes, rest) {
        (0, 0) => write!(text, "0s"),
        (0, ..1000) => write!(text, "{rest}ms"),
        (0, _) => write!(text, "{}s", seconds(rest)),
        _ if minutes < 60 => write!(text, "{minutes}m{}s", seconds(rest)),
        _ => write!(text, "{}h{}m{}s", minutes / 60, minutes % 60, seconds(rest)),
    };
    text
}

/// Milliseconds as seconds, without what need not be written.
fn seconds(millis: u128) -> String {
    let text = format!("{}.{:03}", millis / 1000, millis % 1000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
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
        let millis = |millis| span(Duration::from_millis(millis));
        assert_eq!(millis(0), "0s");
        assert_eq!(millis(20), "20ms");
        assert_eq!(span(Duration::from_nanos(1)), "1ms");
        assert_eq!(millis(1000), "1s");
        assert_eq!(millis(1500), "1.5s");
        assert_eq!(millis(359_999), "5m59.999s");
        assert_eq!(millis(360_000), "6m0s");
        assert_eq!(millis(3_600_000), "1h0m0s");
    }

    #[test]
    fn names_are_compared_without_regard_to_case() {
        assert!(is_ours(b"X-RateLimit-Limit-Requests"));
        assert!(!is_ours(b"x-rate"));
        assert!(!is_ours(b"x-request-id"));
    }
}
