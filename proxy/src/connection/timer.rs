//! A deadline that costs nothing to move.
//!
//! A request passes through several phases, each with its own limit, and
//! almost never reaches one. Re-arming a tokio timer for each would take the
//! wheel's lock several times a request; this one lets the armed timer run and
//! looks at the real deadline only when it fires.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

/// One deadline at a time, polled by one task.
#[derive(Debug, Default)]
pub struct Timer {
    sleep: Option<Pin<Box<Sleep>>>,
    deadline: Option<Instant>,
}

impl Timer {
    /// Moves the deadline to `after` from `now`.
    pub fn set(&mut self, now: Instant, after: Duration) {
        let deadline = now + after;
        self.deadline = Some(deadline);
        match &mut self.sleep {
            // It will fire early and be re-armed then.
            Some(sleep) if sleep.deadline() <= deadline && !sleep.is_elapsed() => {}
            Some(sleep) => sleep.as_mut().reset(deadline),
            None => self.sleep = Some(Box::pin(sleep_until(deadline))),
        }
    }

    /// No deadline until the next [`Timer::set`].
    pub const fn clear(&mut self) {
        self.deadline = None;
    }

    /// Ready when the deadline has passed; registers the task otherwise.
    pub fn poll_expired(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let (Some(deadline), Some(sleep)) = (self.deadline, &mut self.sleep) else {
            return Poll::Pending;
        };
        while sleep.as_mut().poll(cx).is_ready() {
            if Instant::now() >= deadline {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(deadline);
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;

    #[tokio::test(start_paused = true)]
    async fn fires_at_the_last_deadline_set() {
        let start = Instant::now();
        let mut timer = Timer::default();
        timer.set(start, Duration::from_secs(1));
        timer.set(start, Duration::from_secs(60));
        poll_fn(|cx| timer.poll_expired(cx)).await;
        assert_eq!(start.elapsed().as_secs(), 60);
    }

    #[tokio::test(start_paused = true)]
    async fn an_earlier_deadline_re_arms() {
        let start = Instant::now();
        let mut timer = Timer::default();
        timer.set(start, Duration::from_secs(60));
        timer.set(start, Duration::from_secs(1));
        poll_fn(|cx| timer.poll_expired(cx)).await;
        assert_eq!(start.elapsed().as_secs(), 1);
    }
}
