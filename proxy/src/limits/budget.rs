//! What a client may cost by day and by month, and has cost.
//!
//! A request is let through as long as something of the budget is left that no request under way is thought to cost; what it
//! did cost is added when it has ended. Neither waits for anything: [`Keeper`] tells the store what this process has added,
//! and learns from it what others have.

mod keep;
mod period;
mod store;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, SystemTime};

use serde::Serialize;

use super::{ClientLimits, Limit};
use crate::cost::Amount;
pub use keep::Keeper;
pub use period::{Period, Span};
pub use store::{Store, Unusable};

/// Amounts of a period, in millionths of a millionth of a dollar: 18 million dollars fit.
#[derive(Debug, Default)]
struct Spent {
    /// What this process has added.
    own: AtomicU64,
    /// The rest, as the store has told last: of other processes, and of those before this one.
    others: AtomicU64,
}

impl Spent {
    fn get(&self) -> u64 {
        let others = self.others.load(Relaxed);
        self.own.load(Relaxed).saturating_add(others)
    }
}

/// What one client has cost of late.
#[derive(Debug, Default)]
pub struct Purse {
    spent: [Spent; Span::ALL.len()],
    /// What requests under way are thought to cost.
    reserved: AtomicU64,
}

/// Why a client may have no request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overdrawn {
    /// For a day or a month.
    pub limit: Limit,
    /// Until the budget begins anew. None if all of it that is left has been set aside, and may come back.
    pub until: Option<Duration>,
}

fn pico(amount: Amount) -> u64 {
    u64::try_from(amount.pico()).unwrap_or(u64::MAX)
}

const fn amount(pico: u64) -> Amount {
    Amount::from_pico(pico as u128)
}

impl Purse {
    fn spent(&self, span: Span) -> &Spent {
        match span {
            Span::Day => &self.spent[0],
            Span::Month => &self.spent[1],
        }
    }

    /// What was spent in the present day or month.
    pub fn get(&self, span: Span) -> Amount {
        amount(self.spent(span).get())
    }

    /// Sets aside what a request will probably cost.
    ///
    /// # Errors
    /// If nothing is left besides what has been set aside already.
    pub(super) fn reserve(
        &self,
        limits: &ClientLimits,
        estimate: Amount,
        now: impl Fn() -> SystemTime,
    ) -> Result<(), Overdrawn> {
        let estimate = pico(estimate);
        let before = self.reserved.fetch_add(estimate, Relaxed);
        // What ends last is named first.
        for span in [Span::Month, Span::Day] {
            let Some(budget) = limits.budget(span).map(pico) else {
                continue;
            };
            let spent = self.spent(span).get();
            if spent.saturating_add(before) < budget {
                continue;
            }
            self.reserved.fetch_sub(estimate, Relaxed);
            return Err(Overdrawn {
                limit: span.limit(),
                until: (spent >= budget).then(|| Period::left(span, now())),
            });
        }
        Ok(())
    }

    /// A request has ended that was thought to cost `estimate`, and did cost so much.
    pub(super) fn settle(&self, estimate: Amount, cost: Amount) {
        let cost = pico(cost);
        if cost > 0 {
            for spent in &self.spent {
                spent.own.fetch_add(cost, Relaxed);
            }
        }
        self.reserved.fetch_sub(pico(estimate), Relaxed);
    }

    /// Begins another day or month; returns what this process has added to the one before.
    fn roll(&self, span: Span) -> u64 {
        let spent = self.spent(span);
        spent.others.store(0, Relaxed);
        spent.own.swap(0, Relaxed)
    }

    /// Whether this process has added anything.
    pub(super) fn is_used(&self) -> bool {
        Span::ALL.iter().any(|span| self.own(*span) > 0)
    }

    /// What this process has added.
    fn own(&self, span: Span) -> u64 {
        self.spent(span).own.load(Relaxed)
    }

    /// All have spent so much, of which `own` is what this process had added when it asked.
    fn adopt(&self, span: Span, whole: u64, own: u64) {
        let others = whole.saturating_sub(own);
        self.spent(span).others.store(others, Relaxed);
    }
}

/// A budget and what is left of it, in `GET /v1/rate_limit` and `/status`.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct BudgetState {
    /// US dollars that may be spent.
    pub limit_usd: Amount,
    /// Those that were.
    pub spent_usd: Amount,
    /// Those that can be.
    pub remaining_usd: Amount,
    /// When the next day or month begins, in UTC: a time of UNIX.
    pub reset: u64,
}

/// A client's budgets.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct BudgetStates {
    /// From midnight to midnight, UTC.
    pub day: Option<BudgetState>,
    /// From the first to the last.
    pub month: Option<BudgetState>,
}

impl BudgetStates {
    /// Those of a client, if it has any.
    pub(super) fn of(limits: &ClientLimits, purse: &Purse) -> Option<Self> {
        let state = |span| {
            let limit = limits.budget(span)?;
            let spent = purse.get(span);
            let now = SystemTime::now();
            let end = now.duration_since(SystemTime::UNIX_EPOCH);
            let end = end.unwrap_or_default() + Period::left(span, now);
            Some(BudgetState {
                limit_usd: limit,
                spent_usd: spent,
                remaining_usd: amount(pico(limit).saturating_sub(pico(spent))),
                reset: end.as_secs(),
            })
        };
        let states = Self {
            day: state(Span::Day),
            month: state(Span::Month),
        };
        (states.day.is_some() || states.month.is_some()).then_some(states)
    }
}

/// Where it is kept what clients have cost, and whether that works.
#[derive(Debug)]
pub struct Kept {
    store: &'static str,
    works: AtomicBool,
}

impl Kept {
    pub(super) const fn new(store: &'static str) -> Self {
        Self {
            store,
            works: AtomicBool::new(true),
        }
    }

    /// `redis`, `file` or `process`.
    pub const fn store(&self) -> &'static str {
        self.store
    }

    /// Whether the store could be used when it was last tried.
    pub fn works(&self) -> bool {
        self.works.load(Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOLLAR: u128 = 1_000_000_000_000;

    fn dollars(number: u128) -> Amount {
        Amount::from_pico(number * DOLLAR)
    }

    fn limits(day: Option<u128>, month: Option<u128>) -> ClientLimits {
        ClientLimits {
            usd_per_day: day.map(dollars),
            usd_per_month: month.map(dollars),
            ..ClientLimits::default()
        }
    }

    fn noon() -> SystemTime {
        humantime::parse_rfc3339("2026-11-27T12:00:00Z").unwrap()
    }

    #[test]
    fn requests_side_by_side_do_not_slip_past_a_budget() {
        let (purse, limits) = (Purse::default(), limits(Some(5), None));
        purse.reserve(&limits, dollars(4), noon).unwrap();
        // A dollar is left for a request that may cost more.
        purse.reserve(&limits, dollars(4), noon).unwrap();
        let refused = purse.reserve(&limits, dollars(1), noon).unwrap_err();
        assert_eq!((refused.limit, refused.until), (Limit::Day, None));
        // They cost less than was thought.
        purse.settle(dollars(4), dollars(1));
        purse.settle(dollars(4), dollars(1));
        purse.reserve(&limits, dollars(4), noon).unwrap();
        assert_eq!(purse.get(Span::Day), dollars(2));
    }

    #[test]
    fn what_is_spent_comes_back_with_the_next_day_or_month() {
        let (purse, limits) = (Purse::default(), limits(Some(2), Some(3)));
        let spend = || {
            purse.reserve(&limits, Amount::ZERO, noon)?;
            purse.settle(Amount::ZERO, dollars(2));
            Ok::<_, Overdrawn>(())
        };
        spend().unwrap();
        let refused = spend().unwrap_err();
        assert_eq!(refused.limit, Limit::Day);
        assert_eq!(refused.until, Some(Duration::from_secs(12 * 3600)));
        assert_eq!(purse.roll(Span::Day), pico(dollars(2)));
        spend().unwrap();
        let refused = spend().unwrap_err();
        assert_eq!(refused.limit, Limit::Month);
        assert_eq!(refused.until, Some(Duration::from_secs(84 * 3600)));
    }

    #[test]
    fn what_others_spend_counts() {
        let (purse, limits) = (Purse::default(), limits(None, Some(3)));
        purse.settle(Amount::ZERO, dollars(1));
        let own = purse.own(Span::Month);
        // Meanwhile:
        purse.settle(Amount::ZERO, dollars(1));
        purse.adopt(Span::Month, pico(dollars(2)), own);
        assert_eq!(purse.get(Span::Month), dollars(3));
        purse.reserve(&limits, Amount::ZERO, noon).unwrap_err();
    }
}
