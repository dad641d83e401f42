//! Stopping without cutting anybody off.
//!
//! One [`Drain`] for the process; every worker has a clone. A stop has two moments. When it is asked for, readiness
//! fails and responses say `connection: close`, but nothing is refused: whoever spreads the traffic, such as
//! Kubernetes, hears of it later and sends more until then. When `timeouts.drain_delay` is over the drain begins:
//! listeners stop accepting, idle connections close, running requests may finish, and the process ends when the last
//! one has, or the time is over. Where another process has taken the listening sockets over, nothing is accepted from the
//! first moment on.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

/// Tells that the proxy is stopping.
#[derive(Debug, Clone)]
pub struct Drain {
    /// What was asked for, once a stop was.
    asked: watch::Receiver<Option<Stop>>,
    /// Whether it has been, for a look on the request path without a lock.
    stopping: Arc<AtomicBool>,
}

/// Begins the stop.
#[derive(Debug, Clone)]
pub struct DrainTrigger {
    asked: watch::Sender<Option<Stop>>,
    stopping: Arc<AtomicBool>,
}

/// How to stop.
#[derive(Debug, Clone, Copy)]
struct Stop {
    /// When the drain begins.
    begins: Instant,
    /// Another process accepts from now on.
    is_handed_over: bool,
    /// Running requests may not finish.
    is_hurried: bool,
}

/// Resolves when the drain begins; polled by one task for as long as it likes.
pub type Draining = Pin<Box<dyn Future<Output = ()>>>;

/// A trigger and the signal it gives.
pub fn channel() -> (DrainTrigger, Drain) {
    let (sender, receiver) = watch::channel(None);
    let stopping = Arc::new(AtomicBool::new(false));
    let trigger = DrainTrigger {
        asked: sender,
        stopping: Arc::clone(&stopping),
    };
    let drain = Drain {
        asked: receiver,
        stopping,
    };
    (trigger, drain)
}

impl DrainTrigger {
    /// Asks for the stop; the drain begins after `delay`. Doing so twice changes nothing.
    pub fn begin(&self, delay: Duration) {
        self.change(delay, |_| {});
    }

    /// Another process accepts new connections; those that are here are served as after [`Self::begin`].
    pub fn hand_over(&self, delay: Duration) {
        self.change(delay, |stop| stop.is_handed_over = true);
    }

    /// Begins the drain now, and ends it: running requests are told why they end.
    pub fn hurry(&self) {
        self.change(Duration::ZERO, |stop| {
            stop.begins = stop.begins.min(Instant::now());
            stop.is_hurried = true;
        });
    }

    fn change(&self, delay: Duration, with: impl FnOnce(&mut Stop)) {
        self.stopping.store(true, Relaxed);
        self.asked.send_modify(|asked| {
            let stop = asked.get_or_insert(Stop {
                begins: Instant::now() + delay,
                is_handed_over: false,
                is_hurried: false,
            });
            with(stop);
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
        let asked = *self.asked.borrow();
        asked.is_some_and(|stop| stop.begins <= Instant::now())
    }

    /// Whether nothing is to be accepted any more. Takes a lock.
    pub fn is_closed(&self) -> bool {
        let asked = *self.asked.borrow();
        asked.is_some_and(|stop| stop.is_handed_over || stop.begins <= Instant::now())
    }

    /// Waits for the drain to begin.
    pub fn wait(&self) -> Draining {
        let mut asked = self.asked.clone();
        Box::pin(async move {
            // In a box of its own, as every idle connection holds this future.
            while let Some(begins) = Self::begins(&mut asked).await {
                if begins <= Instant::now() {
                    break;
                }
                // Someone may be in a hurry meanwhile.
                let sleeping = Box::pin(tokio::time::timeout_at(begins, asked.changed()));
                if sleeping.await.is_err() {
                    break;
                }
            }
        })
    }

    /// When the drain begins, as soon as that is known. If the trigger is gone, so is the process: `None`.
    async fn begins(asked: &mut watch::Receiver<Option<Stop>>) -> Option<Instant> {
        let stop = asked.wait_for(Option::is_some).await.ok()?;
        stop.map(|stop| stop.begins)
    }

    /// Waits until another process accepts, which may never be.
    pub async fn handed_over(&self) {
        self.wait_until(|stop| stop.is_handed_over).await;
    }

    /// Waits until running requests may not finish, which may never be.
    pub async fn hurried(&self) {
        self.wait_until(|stop| stop.is_hurried).await;
    }

    async fn wait_until(&self, holds: impl Fn(&Stop) -> bool) {
        let mut asked = self.asked.clone();
        let found = asked.wait_for(|stop| stop.as_ref().is_some_and(&holds));
        if found.await.is_err() {
            std::future::pending::<()>().await;
        }
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

    #[tokio::test(start_paused = true)]
    async fn who_is_in_a_hurry_does_not_wait_for_the_delay() {
        let (trigger, drain) = channel();
        let start = Instant::now();
        trigger.begin(Duration::from_secs(60));
        let (waiting, hurried) = (drain.wait(), drain.hurried());
        let hurry = async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            trigger.hurry();
        };
        tokio::join!(waiting, hurried, hurry);
        assert!(start.elapsed() < Duration::from_secs(2));
        assert!(drain.has_begun());
    }

    #[tokio::test(start_paused = true)]
    async fn a_hand_over_closes_the_doors_before_the_drain() {
        let (trigger, drain) = channel();
        trigger.begin(Duration::from_secs(60));
        assert!(!drain.is_closed());
        trigger.hand_over(Duration::from_secs(60));
        drain.handed_over().await;
        assert!(drain.is_closed() && !drain.has_begun());
    }
}
