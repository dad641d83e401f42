//! Whether the process is alive: workers leave a time stamp now and then, and threads that end too early are noted.
//!
//! What `/livez` and `/health` say, on every port. [`crate::readiness`] asks it as well.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;

use crate::drain::Drain;

/// How often a worker leaves its stamp.
pub const BEAT: Duration = Duration::from_millis(100);

/// The workers' heartbeats, and the threads that are no more.
#[derive(Debug)]
pub struct Health {
    started: Instant,
    /// A stamp older than so many milliseconds means that a worker has stalled.
    limit: AtomicU64,
    /// Milliseconds from `started` to the last stamp, by worker; 0 before the first.
    beats: Box<[AtomicU64]>,
    /// What ended before the proxy was told to stop.
    ended: ArcSwap<Vec<String>>,
    drain: Drain,
}

/// Notes the end of a thread or task that should last until the drain, however it ends.
#[derive(Debug)]
pub struct Watched {
    health: Arc<Health>,
    name: String,
}

impl Health {
    /// No worker has left a stamp yet.
    pub fn new(workers: usize, limit: Duration, drain: Drain) -> Self {
        Self {
            started: Instant::now(),
            limit: AtomicU64::new(millis(limit)),
            beats: (0..workers).map(|_| AtomicU64::new(0)).collect(),
            ended: ArcSwap::default(),
            drain,
        }
    }

    /// Sets the age from which on a stamp means that its worker has stalled.
    pub fn set_limit(&self, limit: Duration) {
        self.limit.store(millis(limit), Relaxed);
    }

    /// Leaves a worker's stamp.
    pub fn beat(&self, worker: usize) {
        if let Some(beat) = self.beats.get(worker) {
            beat.store(self.now(), Relaxed);
        }
    }

    /// Watches what the calling thread or task does until the result is dropped. That must not be before the drain
    /// begins.
    #[must_use]
    pub fn watch(self: &Arc<Self>, name: impl Into<String>) -> Watched {
        Watched {
            health: Arc::clone(self),
            name: name.into(),
        }
    }

    /// Whether every worker has begun.
    pub fn has_started(&self) -> bool {
        self.beats.iter().all(|beat| beat.load(Relaxed) != 0)
    }

    /// How long ago a worker left its last stamp; from the start, if there is none yet.
    pub fn age(&self, worker: usize) -> Duration {
        let beat = self.beats.get(worker).map_or(0, |beat| beat.load(Relaxed));
        Duration::from_millis(self.now().saturating_sub(beat))
    }

    /// Why the process should be restarted, a reason a line.
    pub fn not_alive(&self) -> Vec<String> {
        let limit = Duration::from_millis(self.limit.load(Relaxed));
        let ages = (0..self.beats.len()).map(|worker| (worker, self.age(worker)));
        let stalled = ages.filter(|(_, age)| *age > limit);
        let stalled = stalled.map(|(worker, age)| {
            let seconds = age.as_secs_f64();
            format!("worker-{worker} has not run for {seconds:.1} s")
        });
        let ended = self.ended.load();
        let ended = ended.iter().map(|name| format!("{name} has ended"));
        stalled.chain(ended).collect()
    }

    fn now(&self) -> u64 {
        // Never 0, which means that there is no stamp.
        millis(self.started.elapsed()).saturating_add(1)
    }
}

/// Reasons as the body of an answer, one a line.
pub fn lines(reasons: &[String]) -> String {
    format!("{}\n", reasons.join("\n"))
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl Drop for Watched {
    fn drop(&mut self) {
        if self.health.drain.is_closed() && !std::thread::panicking() {
            return;
        }
        self.health.ended.rcu(|ended| {
            let mut ended = Vec::clone(ended);
            ended.push(self.name.clone());
            ended
        });
        tracing::error!("{} has ended before the proxy was told to stop", self.name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drain;

    #[test]
    fn a_worker_without_a_fresh_stamp_is_named() {
        let (_trigger, drain) = drain::channel();
        let health = Health::new(2, Duration::ZERO, drain);
        health.beat(0);
        assert!(!health.has_started());
        health.beat(1);
        assert!(health.has_started());
        // A stamp cannot be younger than nothing for long.
        while health.not_alive().len() < 2 {
            std::hint::spin_loop();
        }
        let reasons = health.not_alive();
        assert!(
            reasons[1].starts_with("worker-1 has not run for "),
            "{reasons:?}"
        );
    }

    #[test]
    fn what_ends_before_the_drain_is_named() {
        let (trigger, drain) = drain::channel();
        let health = Arc::new(Health::new(0, Duration::from_secs(5), drain));
        let worker = Arc::clone(&health);
        let thread = std::thread::spawn(move || {
            let _watched = worker.watch("worker-7");
            panic!("on purpose");
        });
        assert!(thread.join().is_err());
        drop(health.watch("control"));
        assert_eq!(
            health.not_alive(),
            ["worker-7 has ended", "control has ended"]
        );
        let last = health.watch("log");
        trigger.begin(Duration::ZERO);
        drop(last);
        assert_eq!(health.not_alive().len(), 2, "the end of a drain is none");
    }
}
