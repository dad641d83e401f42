//! What a worker's last dial came to: written by [`super::connect`], read by
//! the admin port to tell whether upstream can be reached.

use std::sync::Arc;

use arc_swap::ArcSwapOption;

use super::connect::ConnectError;

/// The failure of the last dial, if it failed. Nothing on the way of a request
/// that finds a connection touches it.
#[derive(Debug, Default)]
pub struct LastDial(ArcSwapOption<ConnectError>);

impl LastDial {
    /// Why the last dial failed; nothing if it succeeded, or there was none.
    pub fn failure(&self) -> Option<Arc<ConnectError>> {
        self.0.load_full()
    }

    /// Whether the last dial failed.
    pub fn has_failed(&self) -> bool {
        self.0.load().is_some()
    }

    pub(super) fn succeeded(&self) {
        if self.has_failed() {
            self.0.store(None);
        }
    }

    pub(super) fn failed(&self, error: &ConnectError) {
        self.0.store(Some(Arc::new(error.clone())));
    }
}
