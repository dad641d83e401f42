//! Stopping without cutting anybody off.
//!
//! One [`Drain`] for the process; every worker has a clone. A stop has two moments. When it is asked for, readiness
//! fails and responses say `connection: close`, but nothing is refused: whoever spreads the traffic, such as
//! Kubernetes, hears of it later and sends more until then. When `timeouts.drain_delay` is over the drain begins:
//! listeners stop accepting, idle connections close, running requests may finish, and the process ends when the last
//! one has, or the time is over.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

/// Tells that the proxy is stopping.
#[derive(Debug, Clone)]
pub struct Drain {
    /// When the drain begins, once a stop has been asked for.
    begins: watch::Receiver<Option<Instant>>,
    /// Whether it has been, for a look on the request path without a lock.
    stopping: Arc<AtomicBool>,
}

/// Begins the stop.
#[derive(Debug)]
pub struct DrainTrigger {
    begins: watch::Sender<Option<Instant>>,
    stopping: Arc<AtomicBool>,
}

/// Resolves when the drain begins; polled by one task for as long as it likes.
pub type Draining = Pin<Box<dyn Future<Output = ()>>>;

/// A trigger and the signal it gives.
pub fn channel() -> (DrainTrigger, Drain) {
    let (sender, receiver) = watch::channel(None);
    let stopping = Arc::new(AtomicBool::new(false));
    let trigger = DrainTrigger {
        begins: sender,
        stopping: Arc::clone(&stopping),
    };
    let drain = Drain {
        begins: receiver,
        stopping,
    };
    (trigger, drain)
}

impl DrainTrigger {
    /// Asks for the stop; the drain begins after `delay`. Doing so twice changes nothing.
    pub fn begin(&self, delay: Duration) {
        self.stopping.store(true, Relaxed);
        let now = Instant::now();
        self.begins.send_if_modified(|begins| {
            let is_first = begins.is_none();
            begins.get_or_insert(now + delay);
            is_first
        });
    }
}

impl Drain {
    /// Whether a stop has been asked for.
    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Relaxed)
    }

    /// Whether the drain has begun. Takes a lock.
    pub fn has_begun(&self) -> bool {
        self.begins.borrow().is_some_and(|at| at <= Instant::now())
    }

    /// Waits for the drain to begin.
    pub fn wait(&self) -> Draining {
        let mut receiver = self.begins.clone();
        Box::pin(async move {
            // If the trigger is gone the process is ending anyway.
            let begins = receiver.wait_for(Option::is_some).await;
            let at = begins.ok().and_then(|at| *at);
            if let Some(at) = at.filter(|at| *at > Instant::now()) {
                // In a box of its own, as every idle connection holds this future.
                Box::pin(sleep_until(at)).await;
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_drain_begins_when_the_first_stop_says() {
        let (trigger, drain) = channel();
        let start = Instant::now();
        assert!(!drain.is_stopping() && !drain.has_begun());
        trigger.begin(Duration::from_secs(5));
        assert!(drain.is_stopping() && !drain.has_begun());
        trigger.begin(Duration::from_secs(60));
        drain.wait().await;
        assert!(drain.has_begun());
        // Tokio's timers count in milliseconds, and round up.
        let waited = start.elapsed().as_millis();
        assert!((5_000..=5_002).contains(&waited), "{waited}");
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_delay_it_begins_at_once() {
        let (trigger, drain) = channel();
        trigger.begin(Duration::ZERO);
        let start = Instant::now();
        drain.wait().await;
        assert_eq!(start.elapsed(), Duration::ZERO);
    }
}
