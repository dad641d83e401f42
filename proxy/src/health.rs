//! Whether the workers are alive: each leaves a time stamp now and then.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// How often a worker leaves its stamp.
pub const BEAT: Duration = Duration::from_millis(100);
/// Older than this, a worker has stalled.
const STALLED_AFTER: Duration = Duration::from_secs(5);

/// The workers' heartbeats.
#[derive(Debug)]
pub struct Health {
    started: Instant,
    /// Milliseconds since `started`, by worker.
    beats: Box<[AtomicU64]>,
}

impl Health {
    /// All workers are taken to be alive now.
    pub fn new(workers: usize) -> Self {
        Self {
            started: Instant::now(),
            beats: (0..workers).map(|_| AtomicU64::new(0)).collect(),
        }
    }

    /// Leaves a worker's stamp.
    pub fn beat(&self, worker: usize) {
        if let Some(beat) = self.beats.get(worker) {
            beat.store(self.now(), Relaxed);
        }
    }

    /// The name of a worker that has stalled, if one has.
    pub fn stalled(&self) -> Option<String> {
        let oldest = self.now().saturating_sub(STALLED_AFTER.as_millis() as u64);
        self.beats
            .iter()
            .position(|beat| beat.load(Relaxed) < oldest)
            .map(|worker| format!("worker-{worker}"))
    }

    fn now(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}
