//! What a worker's last dial came to: written by [`super::connect`], read by
//! [`crate::readiness`] to tell whether upstream can be reached.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

use arc_swap::ArcSwapOption;

use super::circuit::{instant, millis};
use super::connect::ConnectError;

/// The failure of the last dial, if it failed, and when one last succeeded. Nothing
/// on the way of a request that finds a connection touches it.
#[derive(Debug, Default)]
pub struct LastDial {
    failure: ArcSwapOption<ConnectError>,
    /// In milliseconds; 0 if none has succeeded.
    success: AtomicU64,
}

impl LastDial {
    /// Why the last dial failed; nothing if it succeeded, or there was none.
    pub fn failure(&self) -> Option<Arc<ConnectError>> {
        self.failure.load_full()
    }

    /// When a dial last succeeded.
    pub fn success(&self) -> Option<Instant> {
        instant(self.success.load(Relaxed))
    }

    /// Whether the last dial failed.
    pub fn has_failed(&self) -> bool {
        self.failure.load().is_some()
    }

    pub(super) fn succeeded(&self) {
        self.success.store(millis(Instant::now()), Relaxed);
        if self.has_failed() {
            self.failure.store(None);
        }
    }

    pub(super) fn failed(&self, error: &ConnectError) {
        self.failure.store(Some(Arc::new(error.clone())));
    }
}
