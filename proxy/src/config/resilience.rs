//! `retries:`, `ejection:` and `breaker:`: what is done about upstreams that fail.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Problem;
use super::file::{Size, Span, as_text};
use super::shapes::Positive;

/// The most of a body that is kept.
const MOST_BODY: u64 = 64 * 1024 * 1024;

/// When a request may be sent again, of which no second bill can follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Retries {
    /// Attempts at a request in all.
    pub attempts: u32,
    /// The pause before a second attempt at the same upstream; it doubles, and differs by chance.
    #[serde(serialize_with = "as_text")]
    pub backoff: Duration,
    /// The longest pause, also where upstream asks for one; if it asks for more, its answer is passed on.
    #[serde(serialize_with = "as_text")]
    pub max_wait: Duration,
    /// Repeated requests in a hundred, at most, but for a few.
    pub budget_percent: u32,
    /// Bytes of a request's body that are kept until upstream answers; a longer one is not sent again once it is under way.
    pub body: u64,
    /// A request of which upstream's system has acknowledged nothing for so long is taken back and sent elsewhere; zero
    /// waits for ever.
    #[serde(serialize_with = "as_text")]
    pub unacknowledged: Duration,
}

/// `retries:`
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RetriesFile {
    /// Attempts at a request in all; other keys of the same upstream come on top.
    #[schemars(range(min = 1, max = 10))]
    pub attempts: Option<u32>,
    /// Pause before a second attempt at the same upstream; doubles, and differs by chance.
    #[schemars(with = "Option<Positive>")]
    pub backoff: Option<Span>,
    /// The longest pause, also if upstream asks for one; if it asks for more, its answer is passed on.
    pub max_wait: Option<Span>,
    /// Percentage of all requests that may be repeats; 0 repeats none.
    #[schemars(range(max = 100))]
    pub budget_percent: Option<u32>,
    /// Bytes of a request's body that are kept until upstream answers; a longer one is not sent again. At most 64MiB.
    #[schemars(range(max = MOST_BODY))]
    pub body: Option<Size>,
    /// A request of which upstream's system has acknowledged nothing for so long is sent elsewhere; 0s waits.
    pub unacknowledged: Option<Span>,
}

/// When a request goes to a second endpoint while the first has not answered. By route there is also
/// [`super::Treatment::hedge_after`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Hedging {
    /// A request of which the first endpoint's system has acknowledged nothing for so long; zero waits for
    /// [`Retries::unacknowledged`], which takes it back first.
    #[serde(serialize_with = "as_text")]
    pub unacknowledged: Duration,
    /// Second requests in a hundred, at most, but for a few.
    pub budget_percent: u32,
}

/// `hedging:`
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct HedgingFile {
    /// If nothing of the first one has been acknowledged for so long; 0s never.
    pub unacknowledged: Option<Span>,
    /// Percentage of all requests that may be second ones.
    #[schemars(range(max = 100))]
    pub budget_percent: Option<u32>,
}

/// When an endpoint, one of the addresses of an upstream, gets no requests for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Ejection {
    /// Failures in a row.
    pub failures: u32,
    /// How long; it doubles each time it has to be repeated.
    #[serde(serialize_with = "as_text")]
    pub pause: Duration,
    /// How long at most.
    #[serde(serialize_with = "as_text")]
    pub max_pause: Duration,
    /// Whether what the kernel sees of its connections counts, before a request has failed.
    pub kernel: bool,
}

/// `ejection:`
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct EjectionFile {
    /// Failures in a row.
    #[schemars(range(min = 1, max = 1000))]
    pub failures: Option<u32>,
    /// For how long; doubles each time it has to be repeated.
    #[schemars(with = "Option<Positive>")]
    pub pause: Option<Span>,
    /// The longest pause.
    pub max_pause: Option<Span>,
    /// Also for what the kernel sees of its connections, before a request has failed.
    pub kernel: Option<bool>,
}

/// When an upstream gets no requests for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Breaker {
    /// Failures in a row, over all of its endpoints.
    pub failures: u32,
    /// How long; it doubles each time it has to be repeated.
    #[serde(serialize_with = "as_text")]
    pub pause: Duration,
    /// How long at most.
    #[serde(serialize_with = "as_text")]
    pub max_pause: Duration,
}

/// `breaker:`
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct BreakerFile {
    /// Failures in a row, over all of its addresses.
    #[schemars(range(min = 1, max = 10_000))]
    pub failures: Option<u32>,
    /// For how long; doubles each time it has to be repeated.
    #[schemars(with = "Option<Positive>")]
    pub pause: Option<Span>,
    /// The longest pause.
    pub max_pause: Option<Span>,
}

fn or(given: Option<Span>, millis: u64) -> Duration {
    given.map_or(Duration::from_millis(millis), |span| span.0)
}

/// Notes a setting that is out of its bounds.
fn within(
    problems: &mut Vec<Problem>,
    field: &'static str,
    value: u64,
    bounds: std::ops::RangeInclusive<u64>,
) {
    if !bounds.contains(&value) {
        let (least, most) = bounds.into_inner();
        problems.push(Problem {
            field: field.into(),
            message: format!("{value} is out of range; expected {least} to {most}"),
        });
    }
}

/// Notes pauses that cannot be.
fn pauses(problems: &mut Vec<Problem>, field: &'static str, (first, most): (Duration, Duration)) {
    if first.is_zero() || first > most {
        problems.push(Problem {
            field: field.into(),
            message: "expected more than 0s, and no more than the longest pause".to_owned(),
        });
    }
}

impl RetriesFile {
    pub(super) fn checked(&self, problems: &mut Vec<Problem>) -> Retries {
        let retries = Retries {
            attempts: self.attempts.unwrap_or(3),
            backoff: or(self.backoff, 25),
            max_wait: or(self.max_wait, 1_000),
            budget_percent: self.budget_percent.unwrap_or(20),
            body: self.body.map_or(1024 * 1024, |size| size.0),
            unacknowledged: or(self.unacknowledged, 1_000),
        };
        within(
            problems,
            "retries.attempts",
            retries.attempts.into(),
            1..=10,
        );
        let percent = retries.budget_percent.into();
        within(problems, "retries.budget_percent", percent, 0..=100);
        within(problems, "retries.body", retries.body, 0..=MOST_BODY);
        pauses(
            problems,
            "retries.backoff",
            (retries.backoff, retries.max_wait),
        );
        retries
    }
}

impl HedgingFile {
    pub(super) fn checked(&self, problems: &mut Vec<Problem>) -> Hedging {
        let hedging = Hedging {
            unacknowledged: or(self.unacknowledged, 0),
            budget_percent: self.budget_percent.unwrap_or(5),
        };
        let percent = hedging.budget_percent.into();
        within(problems, "hedging.budget_percent", percent, 0..=100);
        hedging
    }
}

impl EjectionFile {
    pub(super) fn checked(&self, problems: &mut Vec<Problem>) -> Ejection {
        let ejection = Ejection {
            failures: self.failures.unwrap_or(3),
            pause: or(self.pause, 1_000),
            max_pause: or(self.max_pause, 60_000),
            kernel: self.kernel.unwrap_or(true),
        };
        within(
            problems,
            "ejection.failures",
            ejection.failures.into(),
            1..=1000,
        );
        pauses(
            problems,
            "ejection.pause",
            (ejection.pause, ejection.max_pause),
        );
        ejection
    }
}

impl BreakerFile {
    pub(super) fn checked(&self, problems: &mut Vec<Problem>) -> Breaker {
        let breaker = Breaker {
            failures: self.failures.unwrap_or(10),
            pause: or(self.pause, 1_000),
            max_pause: or(self.max_pause, 30_000),
        };
        within(
            problems,
            "breaker.failures",
            breaker.failures.into(),
            1..=10_000,
        );
        pauses(
            problems,
            "breaker.pause",
            (breaker.pause, breaker.max_pause),
        );
        breaker
    }
}
