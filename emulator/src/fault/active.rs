//! The faults in force, in the order in which they were set.
//!
//! Each connection and each request takes the first one of its stage; a fault set for the next n
//! is gone after n were taken, so tests can queue a sequence ("503, then reset, then fine").

use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::{Fault, FaultScope, Stage};

pub(crate) struct ActiveFaults {
    /// False lets the request path skip the lock; set whenever the queue may hold something.
    any: AtomicBool,
    queue: Mutex<Vec<Active>>,
    /// Of its own, so that idle times and think times do not depend on each other.
    random: Mutex<fastrand::Rng>,
}

struct Active {
    fault: Fault,
    remaining: Remaining,
    /// Only requests with the accepted key of this index.
    key: Option<usize>,
}

enum Remaining {
    Count(u64),
    Until(Instant),
    Always,
}

impl ActiveFaults {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            any: AtomicBool::default(),
            queue: Mutex::default(),
            random: Mutex::new(fastrand::Rng::with_seed(seed)),
        }
    }

    pub(crate) fn set(&self, fault: Fault, scope: FaultScope, key: Option<usize>) {
        let remaining = match scope {
            FaultScope::Next(n) => Remaining::Count(n),
            FaultScope::Until(duration) => Remaining::Until(Instant::now() + duration),
            FaultScope::Always => Remaining::Always,
        };
        self.lock().push(Active {
            fault,
            remaining,
            key,
        });
        self.any.store(true, Ordering::Release);
    }

    pub(crate) fn clear(&self) {
        self.lock().clear();
        self.any.store(false, Ordering::Release);
    }

    /// The fault that applies to the connection now at `stage`; counts it as used.
    pub(crate) fn take(&self, stage: Stage) -> Option<Fault> {
        self.take_with_key(stage, None)
    }

    /// The fault that applies to a request with the accepted key of this index, if it has one.
    pub(crate) fn take_with_key(&self, stage: Stage, key: Option<usize>) -> Option<Fault> {
        let mut queue = self.current()?;
        let fits = |a: &&mut Active| a.fault.stage() == stage && (a.key.is_none() || a.key == key);
        let active = queue.iter_mut().find(fits)?;
        if let Remaining::Count(n) = &mut active.remaining {
            *n -= 1;
        }
        Some(active.fault.clone())
    }

    /// The idle time after which new connections are to be closed, without using the fault up.
    pub(crate) fn idle_limit(&self) -> Option<Duration> {
        let queue = self.current()?;
        let range = queue.iter().find_map(|active| match &active.fault {
            // Whose key a new connection will carry is not known.
            Fault::CloseIdle { after } if active.key.is_none() => Some(after.clone()),
            _ => None,
        })?;
        drop(queue);
        Some(self.draw(&range))
    }

    /// A time from the range, to the microsecond.
    pub(crate) fn draw(&self, range: &RangeInclusive<Duration>) -> Duration {
        let micros = |time: &Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let (from, to) = (micros(range.start()), micros(range.end()));
        if from >= to {
            return *range.start();
        }
        let mut random = self.random.lock().unwrap_or_else(PoisonError::into_inner);
        Duration::from_micros(random.u64(from..=to))
    }

    /// Text forms of all that is in force.
    pub(crate) fn list(&self) -> Vec<String> {
        let text = |active: &Active| match active.key {
            Some(key) => format!("{};key={key}", active.fault),
            None => active.fault.to_string(),
        };
        let queue = self.current();
        queue.map_or_else(Vec::new, |queue| queue.iter().map(text).collect())
    }

    /// The queue without what is spent; `None` when it is empty.
    fn current(&self) -> Option<MutexGuard<'_, Vec<Active>>> {
        if !self.any.load(Ordering::Acquire) {
            return None;
        }
        let mut queue = self.lock();
        let now = Instant::now();
        queue.retain(|active| match active.remaining {
            Remaining::Count(n) => n > 0,
            Remaining::Until(end) => now < end,
            Remaining::Always => true,
        });
        if queue.is_empty() {
            self.any.store(false, Ordering::Release);
            return None;
        }
        Some(queue)
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Active>> {
        // The queue is valid after every statement, so a panic elsewhere cannot have spoilt it.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
