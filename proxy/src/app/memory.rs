//! Gives memory back to the system when connections have gone.
//!
//! glibc keeps what was freed for later, all of it: after 2,000 streams the process stayed at 78 MB where it had begun
//! with 9. An HPA that looks at memory would then never take pods away again. Asking costs each worker a pause of
//! milliseconds in its next allocation, so it is done after a load has halved, and not beneath one.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use crate::kernel::give_back_memory;
use crate::metrics::Metrics;

/// Between two looks.
const PERIOD: Duration = Duration::from_secs(1);
/// Fewer connections than this are not worth it.
const WORTH: i64 = 256;

/// The most connections that were open since memory was given back.
#[derive(Debug, Default)]
struct Peak(i64);

impl Peak {
    /// Notes how many are open; whether it is time.
    fn has_passed(&mut self, open: i64) -> bool {
        let passed = self.0 >= WORTH && open <= self.0 / 2;
        self.0 = if passed { open } else { self.0.max(open) };
        passed
    }
}

/// Looks now and then, until the task is dropped.
pub(super) async fn keep_small(metrics: Arc<Metrics>) {
    let mut ticks = interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut peak = Peak::default();
    loop {
        ticks.tick().await;
        let workers = metrics.workers().iter();
        let open = workers.map(|worker| worker.http.open_connections.get());
        if peak.has_passed(open.sum()) {
            give_back_memory();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_given_back_once_for_each_halving() {
        let mut peak = Peak::default();
        let looks = [0, 100, 2000, 1500, 1001, 1000, 900, 500, 250, 100, 0];
        let asked = looks.map(|open| peak.has_passed(open));
        let times = looks.into_iter().zip(asked);
        let at: Vec<_> = times
            .filter_map(|(open, asked)| asked.then_some(open))
            .collect();
        assert_eq!(at, [1000, 500, 250]);
    }
}
