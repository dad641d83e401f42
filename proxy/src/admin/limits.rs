//! What clients have left of their limits, for `/status` and its page.

use std::time::Instant;

use serde::Serialize;

use super::Admin;
use crate::limits::{BudgetState, BudgetStates, Limit, LimitState};

/// A client and what it has left.
#[derive(Debug, Serialize)]
pub struct LimitsStatus {
    /// Its name; `anonymous` stands for all that have none.
    pub client: String,
    /// Requests a minute.
    pub requests: Option<LimitState>,
    /// Tokens a minute.
    pub tokens: Option<LimitState>,
    /// Requests at a time.
    pub concurrent: Option<u32>,
    /// US dollars by day and month.
    pub budgets: Option<BudgetStates>,
    /// Requests under way.
    pub in_flight: u32,
    /// Requests that were refused since the start, by limit.
    pub refused: Vec<RefusedStatus>,
}

/// Where it is kept what clients with budgets cost.
#[derive(Debug, Serialize)]
pub struct KeptStatus {
    /// `redis`, `file`, or `process`: no longer than it lasts.
    pub store: &'static str,
    /// Whether it could be used when it was last tried.
    pub works: bool,
}

impl KeptStatus {
    pub(super) fn of(admin: &Admin) -> Self {
        let kept = &admin.readiness.metrics.quotas().kept;
        Self {
            store: kept.store(),
            works: kept.works(),
        }
    }

    /// For the status page.
    pub(super) fn in_words(&self) -> String {
        let place = match self.store {
            "redis" => "in Redis, for all replicas",
            "file" => "in state_dir",
            _ => "by this process only, for as long as it lasts",
        };
        match self.works {
            true => place.to_owned(),
            false => format!("{place}: it does not work at present, see the log"),
        }
    }
}

/// Requests that were refused for one limit.
#[derive(Debug, Serialize)]
pub struct RefusedStatus {
    /// `requests`, `tokens`, `concurrent`, `usd_per_day` or `usd_per_month`
    pub limit: &'static str,
    /// How many.
    pub count: u64,
}

impl LimitsStatus {
    pub(super) fn all(admin: &Admin) -> Vec<Self> {
        let now = Instant::now();
        let all = admin.readiness.metrics.quotas().all().into_iter();
        all.map(|terms| {
            let state = terms.state(now);
            let refused = Limit::ALL.map(|limit| RefusedStatus {
                limit: limit.as_str(),
                count: terms.quota.refused(limit),
            });
            Self {
                client: terms.quota.name().to_owned(),
                requests: state.requests.map(LimitState::of),
                tokens: state.tokens.map(LimitState::of),
                concurrent: terms.limits.concurrent,
                budgets: terms.budgets(),
                in_flight: terms.quota.in_flight(),
                refused: refused.into(),
            }
        })
        .collect()
    }

    /// For the status page.
    pub(super) fn in_words(&self) -> String {
        let rate = |name: &str, state: Option<LimitState>| {
            state.map(|state| {
                let (left, burst, limit) = (state.remaining, state.burst, state.limit);
                format!("{name} {left} of {burst} left, {limit} a minute")
            })
        };
        let concurrent = self
            .concurrent
            .map(|most| format!("{} of {most} at a time", self.in_flight));
        let budget = |state: Option<BudgetState>, of: &str| {
            state.map(|state| {
                let (spent, limit) = (state.spent_usd.rounded(2), state.limit_usd.rounded(2));
                format!("${spent} of ${limit} a {of} spent")
            })
        };
        let budgets = self.budgets.as_ref();
        let refused = self.refused.iter().filter(|refused| refused.count > 0);
        let refused =
            refused.map(|refused| format!("{} refused: {}", refused.limit, refused.count));
        let words = [
            rate("requests", self.requests),
            rate("tokens", self.tokens),
            concurrent,
            budget(budgets.and_then(|budgets| budgets.day), "day"),
            budget(budgets.and_then(|budgets| budgets.month), "month"),
        ];
        let words = words.into_iter().flatten().chain(refused);
        format!("{}: {}", self.client, words.collect::<Vec<_>>().join(", "))
    }
}
