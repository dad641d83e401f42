//! How much of something a client has had of late: the arithmetic of GCRA, the generic cell rate algorithm of ATM (ITU-T
//! I.371, annex A), which nginx's `limit_req` and most gateways use, too.
//!
//! All that is known of a client is one point in time: when it will have had nothing, if it takes nothing more from now on.
//! It moves ahead with whatever is taken, and may be ahead of the present by as much as takes the burst to come back. So in
//! any time `t`, a client gets no more than `burst + rate × t`.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use serde::Serialize;

const MINUTE: u64 = 60 * 1_000_000_000;

/// How much a client may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Rate {
    /// A minute.
    pub per_minute: u64,
    /// At once, after a pause.
    pub burst: u64,
    /// The time after which the burst is back, in nanoseconds: every request asks for it.
    #[serde(skip)]
    whole: u64,
}

/// What a client has left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Left {
    /// What it could take now.
    pub remaining: u64,
    /// When it could take all of the burst again.
    pub reset: Duration,
}

/// How long a client has to wait, and what it has left now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Until as much could be taken.
    pub retry_after: Duration,
    /// Until then.
    pub left: Left,
}

impl Rate {
    /// So much a minute, and so much at once.
    pub const fn new(per_minute: u64, burst: u64) -> Self {
        let rate = Self {
            per_minute,
            burst,
            whole: 0,
        };
        Self {
            whole: rate.time_of(burst),
            ..rate
        }
    }

    /// The time after which `amount` is back, in nanoseconds. Rounded up, so that the limit is never exceeded.
    #[inline]
    const fn time_of(self, amount: u64) -> u64 {
        let rate = match self.per_minute {
            0 => 1,
            rate => rate,
        };
        if let Some(time) = amount.checked_mul(MINUTE) {
            return time.div_ceil(rate);
        }
        // Rare, and a division that costs ten times as much.
        let time = (amount as u128 * MINUTE as u128).div_ceil(rate as u128);
        if time > u64::MAX as u128 {
            return u64::MAX;
        }
        #[expect(clippy::cast_possible_truncation, reason = "it was compared")]
        {
            time as u64
        }
    }

    /// What comes back within so many nanoseconds.
    fn amount_of(self, time: u64) -> u64 {
        if let Some(amount) = time.checked_mul(self.per_minute) {
            return amount / MINUTE;
        }
        let amount = u128::from(time) * u128::from(self.per_minute) / u128::from(MINUTE);
        u64::try_from(amount).unwrap_or(u64::MAX)
    }

    fn left(self, ahead: u64) -> Left {
        Left {
            remaining: self
                .amount_of(self.whole.saturating_sub(ahead))
                .min(self.burst),
            reset: Duration::from_nanos(ahead),
        }
    }

    /// Takes `amount` of what is `ahead` nanoseconds from being untouched; gives by how much it is afterwards. More than
    /// the burst can be had by nobody: whoever asks for it gets it in place of the whole burst.
    fn taken(self, ahead: u64, amount: u64) -> Result<u64, Refused> {
        let cost = self.time_of(amount.min(self.burst));
        let after = ahead.saturating_add(cost);
        if after > self.whole {
            return Err(Refused {
                retry_after: Duration::from_nanos(after - self.whole),
                left: self.left(ahead),
            });
        }
        match amount > self.burst {
            // What exceeds the burst is owed.
            true => Ok(ahead.saturating_add(self.time_of(amount))),
            false => Ok(after),
        }
    }
}

/// What one client has had of one thing, for any number of threads. Times are nanoseconds since whenever; all have to mean
/// the same.
#[derive(Debug, Default)]
pub(super) struct Bucket {
    /// When it will be untouched.
    full_at: AtomicU64,
}

impl Bucket {
    /// Takes `amount`.
    ///
    /// # Errors
    /// If so much cannot be had now; nothing is taken then.
    pub(super) fn take(&self, rate: Rate, amount: u64, now: u64) -> Result<(), Refused> {
        let mut full_at = self.full_at.load(Relaxed);
        loop {
            let ahead = rate.taken(full_at.saturating_sub(now), amount)?;
            let next = now.saturating_add(ahead);
            match self
                .full_at
                .compare_exchange_weak(full_at, next, Relaxed, Relaxed)
            {
                Ok(_) => return Ok(()),
                Err(other) => full_at = other,
            }
        }
    }

    /// Takes `amount` whether it can be had or not; the next ones wait for longer then.
    pub(super) fn force(&self, rate: Rate, amount: u64, now: u64) {
        let cost = rate.time_of(amount);
        self.update(|full_at| full_at.max(now).saturating_add(cost));
    }

    /// Gives `amount` back, which was taken before.
    pub(super) fn give_back(&self, rate: Rate, amount: u64) {
        let cost = rate.time_of(amount);
        self.update(|full_at| full_at.saturating_sub(cost));
    }

    /// What is left.
    pub(super) fn left(&self, rate: Rate, now: u64) -> Left {
        rate.left(self.full_at.load(Relaxed).saturating_sub(now))
    }

    /// How far it is from being untouched.
    pub(super) fn ahead(&self, now: u64) -> Duration {
        Duration::from_nanos(self.full_at.load(Relaxed).saturating_sub(now))
    }

    /// Puts what somebody else has counted in place of what was counted here.
    pub(super) fn set_ahead(&self, ahead: Duration, now: u64) {
        let ahead = u64::try_from(ahead.as_nanos()).unwrap_or(u64::MAX);
        self.full_at.store(now.saturating_add(ahead), Relaxed);
    }

    fn update(&self, next: impl Fn(u64) -> u64) {
        // It always gives a next value.
        let _ = self
            .full_at
            .fetch_update(Relaxed, Relaxed, |full_at| Some(next(full_at)));
    }
}

#[cfg(test)]
mod tests;
