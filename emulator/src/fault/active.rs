//! The faults in force, in the order in which they were set.
//!
//! Each connection and each request takes the first one of its stage; a fault set for the next n
//! is gone after n were taken, so tests can queue a sequence ("503, then reset, then fine").

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::{Fault, FaultScope, Stage};

#[derive(Default)]
pub(crate) struct ActiveFaults {
    /// False lets the request path skip the lock; set whenever the queue may hold something.
    any: AtomicBool,
    queue: Mutex<Vec<Active>>,
}

struct Active {
    fault: Fault,
    remaining: Remaining,
}

enum Remaining {
    Count(u64),
    Until(Instant),
    Always,
}

impl ActiveFaults {
    pub(crate) fn set(&self, fault: Fault, scope: FaultScope) {
        let remaining = match scope {
            FaultScope::Next(n) => Remaining::Count(n),
            FaultScope::Until(duration) => Remaining::Until(Instant::now() + duration),
            FaultScope::Always => Remaining::Always,
        };
        self.lock().push(Active { fault, remaining });
        self.any.store(true, Ordering::Release);
    }

    pub(crate) fn clear(&self) {
        self.lock().clear();
        self.any.store(false, Ordering::Release);
    }

    /// The fault that applies to the connection or request now at `stage`; counts it as used.
    pub(crate) fn take(&self, stage: Stage) -> Option<Fault> {
        let mut queue = self.current()?;
        let active = queue.iter_mut().find(|a| a.fault.stage() == stage)?;
        if let Remaining::Count(n) = &mut active.remaining {
            *n -= 1;
        }
        Some(active.fault.clone())
    }

    /// The idle time after which new connections are to be closed, without using the fault up.
    pub(crate) fn idle_limit(&self) -> Option<std::time::Duration> {
        let queue = self.current()?;
        queue.iter().find_map(|active| match active.fault {
            Fault::CloseIdle { after } => Some(after),
            _ => None,
        })
    }

    /// Text forms of all that is in force.
    pub(crate) fn list(&self) -> Vec<String> {
        let queue = self.current();
        queue.map_or_else(Vec::new, |queue| {
            queue.iter().map(|a| a.fault.to_string()).collect()
        })
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
