//! Stopping without cutting anybody off.
//!
//! One [`Drain`] for the process; every worker has a clone. When it begins,
//! listeners stop accepting, idle connections close, running requests may
//! finish, and the process ends when the last one has, or the time is over.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use tokio::sync::watch;

/// Tells that the proxy is stopping.
#[derive(Debug, Clone)]
pub struct Drain {
    changed: watch::Receiver<bool>,
    /// The same, for a look on the request path without a lock.
    begun: Arc<AtomicBool>,
}

/// Begins the drain.
#[derive(Debug)]
pub struct DrainTrigger {
    changed: watch::Sender<bool>,
    begun: Arc<AtomicBool>,
}

/// Resolves when the drain begins; polled by one task for as long as it likes.
pub type Draining = Pin<Box<dyn Future<Output = ()>>>;

/// A trigger and the signal it gives.
pub fn channel() -> (DrainTrigger, Drain) {
    let (sender, receiver) = watch::channel(false);
    let begun = Arc::new(AtomicBool::new(false));
    let trigger = DrainTrigger {
        changed: sender,
        begun: Arc::clone(&begun),
    };
    let drain = Drain {
        changed: receiver,
        begun,
    };
    (trigger, drain)
}

impl DrainTrigger {
    /// Begins the drain. Doing so twice changes nothing.
    pub fn begin(&self) {
        self.begun.store(true, Relaxed);
        self.changed.send_replace(true);
    }
}

impl Drain {
    /// Whether the drain has begun.
    pub fn is_draining(&self) -> bool {
        self.begun.load(Relaxed)
    }

    /// Waits for the drain to begin.
    pub fn wait(&self) -> Draining {
        let mut receiver = self.changed.clone();
        Box::pin(async move {
            // If the trigger is gone the process is ending anyway.
            let _ = receiver.wait_for(|draining| *draining).await;
        })
    }
}
