//! `limits.per_client:` how much one client may ask for.

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

use super::{Auth, Problem, decimal};
use crate::cost::Amount;
use crate::limits::Rate;
use crate::limits::budget::Span;

/// As it is written, for all clients or for one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ClientLimitsFile {
    /// Requests a minute; 0 for any number. With `auth: clients` 1000 unless set, else any number.
    #[schemars(range(max = MOST), example = 1000)]
    pub requests_per_minute: Option<u64>,
    /// Requests at once, with `requests_per_minute`; a tenth of a minute's unless set.
    #[schemars(range(min = 1, max = MOST), example = 100)]
    pub burst: Option<u64>,
    /// Tokens a minute, of prompts and answers together; 0 for any number.
    #[schemars(range(max = MOST), example = 200_000)]
    pub tokens_per_minute: Option<u64>,
    /// Tokens at once, with `tokens_per_minute`; all of a minute's unless set.
    #[schemars(range(min = 1, max = MOST), example = 200_000)]
    pub token_burst: Option<u64>,
    /// Requests at a time; 0 for any number.
    #[schemars(range(max = u32::MAX), example = 50)]
    pub concurrent: Option<u32>,
    /// Tokens reserved for an answer whose request sets no `max_tokens`.
    pub expected_output: Option<u64>,
    /// US dollars from midnight to midnight, UTC; 0 for any number.
    #[schemars(example = 12.5)]
    pub usd_per_day: Option<Budget>,
    /// US dollars from the first to the last of a month, UTC; 0 for any number.
    #[schemars(example = 200)]
    pub usd_per_month: Option<Budget>,
}

/// How much a client may ask for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ClientLimits {
    /// Requests.
    pub requests: Option<Rate>,
    /// Tokens of prompts and answers.
    pub tokens: Option<Rate>,
    /// Requests at a time.
    pub concurrent: Option<u32>,
    /// Tokens that are reserved for an answer whose request does not say how many it may have.
    pub expected_output: u64,
    /// US dollars from midnight to midnight, UTC.
    pub usd_per_day: Option<Amount>,
    /// US dollars from the first to the last of a month.
    pub usd_per_month: Option<Amount>,
}

/// More a minute is no limit that means anything; the arithmetic is exact to a thousandth up to here.
const MOST: u64 = 100_000_000;
/// The article's `limit_req`: 1000 requests a minute, a burst of 100.
const REQUESTS: Rate = Rate::new(1000, 100);
/// About a page of text.
const EXPECTED_OUTPUT: u64 = 1000;

impl ClientLimits {
    /// Whether there are any.
    pub const fn is_any(&self) -> bool {
        self.counts() || self.has_budget()
    }

    /// Whether what a client has had of late has to be counted.
    pub const fn counts(&self) -> bool {
        self.requests.is_some() || self.tokens.is_some() || self.concurrent.is_some()
    }

    /// Whether what a client costs is limited.
    pub const fn has_budget(&self) -> bool {
        self.usd_per_day.is_some() || self.usd_per_month.is_some()
    }

    /// Whether it has to be known beforehand how much a request will use.
    pub const fn needs_estimate(&self) -> bool {
        self.tokens.is_some() || self.has_budget()
    }

    /// What a client may cost in a day or a month.
    pub const fn budget(&self, span: Span) -> Option<Amount> {
        match span {
            Span::Day => self.usd_per_day,
            Span::Month => self.usd_per_month,
        }
    }

    /// One in so many parts of it, for one of as many processes.
    #[must_use]
    pub fn share(&self, parts: u32) -> Self {
        let part = |whole: u64| (whole / u64::from(parts.max(1))).max(1);
        let rate = |rate: Rate| Rate::new(part(rate.per_minute), part(rate.burst));
        Self {
            requests: self.requests.map(rate),
            tokens: self.tokens.map(rate),
            concurrent: self.concurrent.map(|most| (most / parts.max(1)).max(1)),
            ..*self
        }
    }

    /// None.
    const fn unset() -> Self {
        Self {
            requests: None,
            tokens: None,
            concurrent: None,
            expected_output: EXPECTED_OUTPUT,
            usd_per_day: None,
            usd_per_month: None,
        }
    }

    /// What holds where nothing is set: the article's limits for each client that is known by name, and none for all others
    /// together.
    pub(super) const fn default_of(auth: Auth) -> Self {
        Self {
            requests: match auth {
                Auth::Clients => Some(REQUESTS),
                Auth::Open | Auth::Passthrough => None,
            },
            ..Self::unset()
        }
    }
}

/// US dollars that may be spent, as they are written; 0 for any number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget(Amount);

/// More nobody spends, and the arithmetic has room for.
pub(super) const MOST_USD: u64 = 1_000_000;

impl Budget {
    fn read(text: &str) -> Option<Self> {
        let most = Amount::from_pico(u128::from(MOST_USD) * 1_000_000_000_000);
        let amount = text.parse::<Amount>().ok();
        amount.filter(|amount| *amount <= most).map(Self)
    }

    /// What is `given`, or else what holds for others.
    fn or(given: Option<Self>, others: Option<Amount>) -> Option<Amount> {
        match given {
            None => others,
            Some(Self(budget)) => (budget > Amount::ZERO).then_some(budget),
        }
    }
}

impl<'de> Deserialize<'de> for Budget {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = decimal::text(deserializer, "an amount of US dollars such as 12.50")?;
        Self::read(&text).ok_or_else(|| {
            serde::de::Error::custom(format!(
                "{text:?} is no budget; expected US dollars such as 12.50, at most {MOST_USD}, or 0 for none"
            ))
        })
    }
}

impl ClientLimitsFile {
    /// Checks what one client has of its own. A burst has to stand beside its rate: what holds for all may change.
    pub fn check(&self, path: &str, problems: &mut Vec<Problem>) {
        let nothing = ClientLimits::unset();
        // What it comes to depends on what holds for all.
        let _ = self.checked(&nothing, path, problems);
    }

    /// With the rest from `others`; `path` is where this stands.
    pub fn checked(
        &self,
        others: &ClientLimits,
        path: &str,
        problems: &mut Vec<Problem>,
    ) -> ClientLimits {
        let requests = Pair {
            rate: ("requests_per_minute", self.requests_per_minute),
            burst: ("burst", self.burst),
            // A tenth of what is had in a minute, as the article has it.
            default_burst: |per_minute| per_minute.div_ceil(10),
        };
        let tokens = Pair {
            rate: ("tokens_per_minute", self.tokens_per_minute),
            burst: ("token_burst", self.token_burst),
            // One long prompt may have all tokens of a minute.
            default_burst: |per_minute| per_minute,
        };
        let concurrent = match self.concurrent {
            None => others.concurrent,
            some => some.filter(|most| *most > 0),
        };
        ClientLimits {
            requests: requests.checked(others.requests, path, problems),
            tokens: tokens.checked(others.tokens, path, problems),
            concurrent,
            expected_output: self.expected_output.unwrap_or(others.expected_output),
            usd_per_day: Budget::or(self.usd_per_day, others.usd_per_day),
            usd_per_month: Budget::or(self.usd_per_month, others.usd_per_month),
        }
    }
}

/// A rate and its burst, and what they are called.
struct Pair {
    rate: (&'static str, Option<u64>),
    burst: (&'static str, Option<u64>),
    default_burst: fn(u64) -> u64,
}

impl Pair {
    fn checked(
        &self,
        other: Option<Rate>,
        path: &str,
        problems: &mut Vec<Problem>,
    ) -> Option<Rate> {
        let mut require = |holds: bool, name: &str, message: String| {
            if !holds {
                let field = format!("{path}.{name}").into();
                problems.push(Problem { field, message });
            }
        };
        let ((name, rate), (burst_name, burst)) = (self.rate, self.burst);
        let per_minute = match (rate, other) {
            (Some(0), _) | (None, None) => {
                let message = format!("there is no {name} that it could belong to");
                require(burst.is_none(), burst_name, message);
                return None;
            }
            (Some(per_minute), _) => per_minute,
            (None, Some(other)) => other.per_minute,
        };
        let is_in_range = |number| (1..=MOST).contains(&number);
        let message = |number| format!("{number} is out of range; expected 1 to {MOST}");
        require(is_in_range(per_minute), name, message(per_minute));
        let inherited = other.filter(|_| rate.is_none()).map(|other| other.burst);
        let burst = burst
            .or(inherited)
            .unwrap_or_else(|| (self.default_burst)(per_minute));
        require(is_in_range(burst), burst_name, message(burst));
        Some(Rate::new(per_minute, burst))
    }
}
