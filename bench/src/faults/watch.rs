//! Whether a contender uses the bad endpoint, by its own account, asked again and again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::Result;
use netlab::Host;

/// From one question to the next.
const EVERY: Duration = Duration::from_millis(20);

/// A thread that asks.
pub(super) struct Watch {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Vec<(Instant, bool)>>,
}

impl Watch {
    /// Begins to ask from within `host` whether the endpoint is in use.
    ///
    /// # Errors
    /// When there can be no thread.
    pub(super) fn start(
        host: &Host,
        is_used: impl Fn() -> Result<bool> + Send + 'static,
    ) -> Result<Self> {
        let stop = Arc::<AtomicBool>::default();
        let stopped = Arc::clone(&stop);
        let thread = host.spawn(move || {
            let mut changes: Vec<(Instant, bool)> = Vec::new();
            while !stopped.load(Ordering::Relaxed) {
                let asked = Instant::now();
                // One that does not say is asked again.
                if let Ok(used) = is_used()
                    && changes.last().is_none_or(|(_, before)| *before != used)
                {
                    changes.push((asked, used));
                }
                std::thread::park_timeout(EVERY.saturating_sub(asked.elapsed()));
            }
            changes
        })?;
        Ok(Self { stop, thread })
    }

    /// What it said first, and each change.
    pub(super) fn finish(self) -> Vec<(Instant, bool)> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap_or_default()
    }
}
