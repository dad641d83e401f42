//! How much of upstream each client may use: requests and tokens a minute, requests at a time, dollars by day and month.
//!
//! The pipeline's `admit` takes out of a client's [`Quota`] what a request will probably use, and the end of the request's
//! record settles it by what it did use. A quota belongs to a name and outlives reloads; [`Quotas`] has all of them, for
//! `/metrics` and `/status`.

pub mod budget;
mod gcra;
pub mod redis;
mod tell;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use crate::config::ClientLimits;
use crate::cost::Amount;
use crate::metrics::cell;
pub use budget::{BudgetState, BudgetStates, Overdrawn, Span};
use budget::{Kept, Purse};
use gcra::Bucket;
pub use gcra::{Left, Rate, Refused};
pub use redis::Remote;
pub use tell::{LimitState, State, fields};

/// What there is a limit of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// Requests a minute.
    Requests,
    /// Tokens a minute.
    Tokens,
    /// Requests at a time.
    Concurrent,
    /// Dollars a day.
    Day,
    /// Dollars a month.
    Month,
}

impl Limit {
    /// All of them, in the order of their counters.
    pub const ALL: [Self; 5] = [
        Self::Requests,
        Self::Tokens,
        Self::Concurrent,
        Self::Day,
        Self::Month,
    ];

    /// As it stands in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::Tokens => "tokens",
            Self::Concurrent => "concurrent",
            Self::Day => "usd_per_day",
            Self::Month => "usd_per_month",
        }
    }

    /// For people.
    pub const fn in_words(self) -> &'static str {
        match self {
            Self::Requests => "requests a minute",
            Self::Tokens => "tokens a minute",
            Self::Concurrent => "requests at a time",
            Self::Day => "US dollars a day",
            Self::Month => "US dollars a month",
        }
    }
}

/// A request that its client's limits do not permit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exceeded {
    /// Which of them.
    pub limit: Limit,
    /// When it may be tried again.
    pub retry_after: Duration,
}

/// What one client has had of late.
#[derive(Debug)]
pub struct Quota {
    name: Box<str>,
    started: Instant,
    requests: Bucket,
    tokens: Bucket,
    in_flight: AtomicU32,
    /// Those of all replicas, as Redis has told last.
    running: AtomicU32,
    /// This process has decided by itself, although there are others.
    alone: AtomicBool,
    /// What it has cost.
    purse: Purse,
    /// Requests that were refused, by limit.
    refused: [AtomicU64; Limit::ALL.len()],
}

impl Quota {
    fn new(name: &str, started: Instant) -> Self {
        Self {
            name: name.into(),
            started,
            requests: Bucket::default(),
            tokens: Bucket::default(),
            in_flight: AtomicU32::new(0),
            running: AtomicU32::new(0),
            alone: AtomicBool::new(false),
            purse: Purse::default(),
            refused: [const { AtomicU64::new(0) }; Limit::ALL.len()],
        }
    }

    /// Whose it is.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Requests under way.
    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Relaxed)
    }

    /// How many requests were refused for that limit.
    pub fn refused(&self, limit: Limit) -> u64 {
        self.refused
            .get(limit as usize)
            .map_or(0, |count| count.load(Relaxed))
    }

    fn nanos(&self, now: Instant) -> u64 {
        cell::nanos(now.saturating_duration_since(self.started))
    }

    /// A request begins.
    fn enter(&self) -> u32 {
        self.in_flight.fetch_add(1, Relaxed)
    }

    fn leave(&self) {
        self.in_flight.fetch_sub(1, Relaxed);
    }

    /// Counts a refusal.
    fn count(&self, limit: Limit) {
        if let Some(count) = self.refused.get(limit as usize) {
            count.fetch_add(1, Relaxed);
        }
    }

    fn refuse(&self, limit: Limit, retry_after: Duration) -> Exceeded {
        self.count(limit);
        Exceeded { limit, retry_after }
    }

    fn take(&self, limits: &ClientLimits, tokens: u64, now: u64) -> Result<(), (Limit, Duration)> {
        let before = self.enter();
        let left = |refused: (Limit, Duration)| {
            self.leave();
            refused
        };
        if limits.concurrent.is_some_and(|most| before >= most) {
            // When another one ends is known to nobody.
            return Err(left((Limit::Concurrent, Duration::from_secs(1))));
        }
        if let Some(rate) = limits.requests {
            let taken = self.requests.take(rate, 1, now);
            taken.map_err(|refused| left((Limit::Requests, refused.retry_after)))?;
        }
        if let Some(rate) = limits.tokens {
            let taken = self.tokens.take(rate, tokens, now);
            taken.map_err(|refused| {
                if let Some(rate) = limits.requests {
                    self.requests.give_back(rate, 1);
                }
                left((Limit::Tokens, refused.retry_after))
            })?;
        }
        Ok(())
    }

    /// How far requests and tokens are from being untouched.
    fn ahead(&self, now: Instant) -> [Duration; 2] {
        let now = self.nanos(now);
        [&self.requests, &self.tokens].map(|bucket| bucket.ahead(now))
    }

    /// Takes over what all replicas together know.
    fn adopt(&self, [requests, tokens]: [Duration; 2], running: u32, now: Instant) {
        let now = self.nanos(now);
        self.requests.set_ahead(requests, now);
        self.tokens.set_ahead(tokens, now);
        self.running.store(running, Relaxed);
    }

    /// This process decides by itself, and knows more than the others.
    fn is_alone(&self) {
        self.alone.store(true, Relaxed);
        self.running.store(0, Relaxed);
    }

    /// Whether it has, since this was asked last.
    fn was_alone(&self) -> bool {
        self.alone.load(Relaxed) && self.alone.swap(false, Relaxed)
    }
}

/// What was taken for a request, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    tokens: u64,
    of: Of,
}

/// Of what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Of {
    /// Of one in so many parts of a limit, by this process.
    Share(u32),
    /// Of the whole, by Redis, which knows the request by this number.
    Redis(u64),
}

impl Taken {
    /// Tokens.
    pub const fn tokens(self) -> u64 {
        self.tokens
    }

    const fn in_redis(tokens: u64, lease: u64) -> Self {
        Self {
            tokens,
            of: Of::Redis(lease),
        }
    }
}

/// What holds for one client: how much it may have, and what it has had.
#[derive(Clone, Debug)]
pub struct Terms {
    /// How much it may have.
    pub limits: ClientLimits,
    /// What it has had.
    pub quota: Arc<Quota>,
}

impl Terms {
    /// Takes one request of about so many tokens out of one in `replicas` parts of the limits. What has been had before is
    /// a time, and the same whoever counts: all parts together are the whole from the first moment on.
    ///
    /// # Errors
    /// If a limit does not permit it; nothing is taken then.
    pub fn take_share(&self, tokens: u64, now: Instant, replicas: u32) -> Result<Taken, Exceeded> {
        let quota = &self.quota;
        let limits = self.share(replicas);
        match quota.take(&limits, tokens, quota.nanos(now)) {
            Ok(()) => Ok(Taken {
                tokens,
                of: Of::Share(replicas),
            }),
            Err((limit, retry_after)) => Err(quota.refuse(limit, retry_after)),
        }
    }

    fn share(&self, replicas: u32) -> Cow<'_, ClientLimits> {
        match replicas {
            1 => Cow::Borrowed(&self.limits),
            several => Cow::Owned(self.limits.share(several)),
        }
    }

    /// Ends a request that has used so many tokens; those it has not used, it gives back.
    pub fn settle(
        self: &Arc<Self>,
        taken: Taken,
        used: u64,
        remote: Option<&Remote>,
        now: Instant,
    ) {
        let quota = &self.quota;
        quota.leave();
        let replicas = match taken.of {
            Of::Share(replicas) => replicas,
            Of::Redis(lease) => {
                if let Some(remote) = remote {
                    remote.settle(self, lease, taken.tokens, used);
                }
                return;
            }
        };
        let Some(rate) = self.share(replicas).tokens else {
            return;
        };
        match used.checked_sub(taken.tokens) {
            Some(0) => {}
            Some(more) => quota.tokens.force(rate, more, quota.nanos(now)),
            None => quota.tokens.give_back(rate, taken.tokens - used),
        }
    }

    /// Sets aside what a request will probably cost; [`Terms::spend`] gives it back.
    ///
    /// # Errors
    /// If the client's budget for the day or the month is spent.
    pub fn reserve(&self, estimate: Amount) -> Result<(), Overdrawn> {
        let purse = &self.quota.purse;
        purse
            .reserve(&self.limits, estimate, SystemTime::now)
            .inspect_err(|overdrawn| self.quota.count(overdrawn.limit))
    }

    /// A request has ended for which `reserved` was set aside, and has cost so much.
    pub fn spend(&self, reserved: Amount, cost: Amount) {
        self.quota.purse.settle(reserved, cost);
    }

    /// What is left of its budgets, if it has any.
    pub fn budgets(&self) -> Option<BudgetStates> {
        BudgetStates::of(&self.limits, &self.quota.purse)
    }

    /// What is left of the other limits.
    pub fn state(&self, now: Instant) -> State {
        let quota = &self.quota;
        let now = quota.nanos(now);
        let left =
            |rate: Option<Rate>, bucket: &Bucket| rate.map(|rate| (rate, bucket.left(rate, now)));
        let running = quota.in_flight().max(quota.running.load(Relaxed));
        State {
            requests: left(self.limits.requests, &quota.requests),
            tokens: left(self.limits.tokens, &quota.tokens),
            concurrent: self.limits.concurrent.map(|most| (most, running)),
        }
    }
}

/// The terms of all clients there have been, by name.
#[derive(Debug)]
pub struct Quotas {
    started: Instant,
    /// Where replicas count together, if they do.
    pub redis: Option<Arc<redis::Shared>>,
    /// Where it is kept what clients have cost.
    pub kept: Kept,
    by_name: Mutex<BTreeMap<Box<str>, Arc<Terms>>>,
}

impl Quotas {
    /// Nobody has had anything yet. What clients cost is kept in the store of this name.
    pub fn new(redis: Option<Arc<redis::Shared>>, store: &'static str) -> Self {
        Self {
            started: Instant::now(),
            redis,
            kept: Kept::new(store),
            by_name: Mutex::default(),
        }
    }

    /// The client of this name may have so much from now on; what it has had stays. Not for the request path.
    pub fn set(&self, name: &str, limits: ClientLimits) -> Arc<Terms> {
        let mut by_name = self.by_name.lock().unwrap_or_else(PoisonError::into_inner);
        let quota = match by_name.get(name) {
            Some(terms) if terms.limits == limits => return Arc::clone(terms),
            Some(terms) => Arc::clone(&terms.quota),
            None => Arc::new(Quota::new(name, self.started)),
        };
        let terms = Arc::new(Terms { limits, quota });
        by_name.insert(name.into(), Arc::clone(&terms));
        terms
    }

    /// Those that limit anything, by name.
    pub fn all(&self) -> Vec<Arc<Terms>> {
        let by_name = self.by_name.lock().unwrap_or_else(PoisonError::into_inner);
        let limited = by_name.values().filter(|terms| terms.limits.is_any());
        limited.cloned().collect()
    }

    /// Those with budgets, and those who have had one and used it.
    fn spenders(&self) -> Vec<Arc<Terms>> {
        let by_name = self.by_name.lock().unwrap_or_else(PoisonError::into_inner);
        let spends = |terms: &&Arc<Terms>| terms.limits.has_budget() || terms.quota.purse.is_used();
        by_name.values().filter(spends).cloned().collect()
    }
}

#[cfg(test)]
mod tests;
