//! Accept queues: how long connections waited, and how many wait.

use std::time::Duration;

use super::cell::{Counter, Gauge, Histogram, nanos};
use crate::kernel::{BOUNDS_NANOS, TcpInfo};

/// One listening socket's queue.
#[derive(Debug)]
pub struct QueueMetrics {
    /// From a connection's handshake to its `accept`, where the kernel programs tell.
    pub waited: Histogram,
    /// Connections accepted.
    pub accepted: Counter,
    /// Connections that wait.
    pub waiting: Gauge,
    /// How many may wait before the kernel drops new ones.
    pub limit: Gauge,
    /// How long the next one is expected to wait, in nanoseconds.
    wait: Gauge,
}

impl Default for QueueMetrics {
    fn default() -> Self {
        Self {
            waited: Histogram::new(&BOUNDS_NANOS),
            accepted: Counter::default(),
            waiting: Gauge::default(),
            limit: Gauge::default(),
            wait: Gauge::default(),
        }
    }
}

impl QueueMetrics {
    /// Counts an accepted connection, and how long it had waited if that is known.
    pub fn accepted(&self, waited: Option<Duration>) {
        self.accepted.inc();
        if let Some(waited) = waited {
            self.waited.observe(waited);
        }
    }

    /// Notes what `TCP_INFO` tells of the sockets that share this.
    pub fn looked(&self, sockets: impl IntoIterator<Item = TcpInfo>) {
        let (mut waiting, mut limit) = (0, 0);
        for info in sockets {
            waiting += i64::from(info.unacked);
            limit += i64::from(info.sacked);
        }
        self.waiting.set(waiting);
        self.limit.set(limit);
    }

    /// Notes how long the next connection is expected to wait.
    pub fn expects(&self, wait: Duration) {
        self.wait.set(nanos(wait).cast_signed());
    }

    /// How long the next connection is expected to wait.
    pub fn wait(&self) -> Duration {
        Duration::from_nanos(self.wait.get().cast_unsigned())
    }
}
