//! What a worker does by the clock.

use std::rc::Rc;

use tokio::time::{Instant, MissedTickBehavior, interval};

use super::Worker;
use super::accept::Listening;
use crate::health::BEAT;

/// Looks at the listeners' queues now and then.
pub(super) async fn look(worker: Rc<Worker>, listening: Vec<Rc<Listening>>) {
    let mut ticks = interval(BEAT);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let now = ticks.tick().await;
        for socket in &listening {
            socket.look(&worker, now);
        }
    }
}

/// The worker's clockwork: heartbeat, log batch.
pub(super) async fn tick(worker: Rc<Worker>) {
    let mut ticks = interval(BEAT);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        worker.health.beat(worker.id);
        worker.now.set(Instant::now());
        worker.batch.borrow_mut().sync_clock();
        worker.flush_log();
        worker.flush_spans();
        worker.budget.tick(BEAT);
        worker.hedges.tick(BEAT);
        let now = worker.now().into_std();
        for origin in worker.origins().iter() {
            origin.look(now);
        }
    }
}
