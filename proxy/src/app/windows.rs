//! Keeps the windows of idle connections open while no path loses anything.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use crate::kernel::{Kernel, now_ns};

/// Between two looks. No connection starts over before it has idled that long, the shortest retransmission timeout.
const PERIOD: Duration = Duration::from_millis(200);

/// Looks now and then, until the task is dropped; returns where there is nothing to look after.
pub(super) async fn keep_open(kernel: Arc<Kernel>) {
    let idle = kernel.idle_windows();
    let Some(windows) = kernel.windows().filter(|_| idle.is_followed()) else {
        return;
    };
    let mut ticks = interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let steady = windows.are_steady(now_ns());
        if idle.are_kept() == Some(steady) {
            continue;
        }
        match idle.follow(steady) {
            Ok(()) => tracing::debug!(steady, "windows are kept while connections idle"),
            Err(error) => {
                tracing::warn!(%error, "windows cannot be kept while connections idle");
                return;
            }
        }
    }
}
