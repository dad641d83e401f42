//! What workers measure of the kernel's doings; the kernel's own sums are in [`crate::kernel::Snapshot`].
//!
//! First byte and wake-up lag need both sides: the kernel notes when, the worker knows for what. The accept queues
//! are in [`super::queue`].

use std::time::Duration;

use super::cell::{Counter, Histogram, nanos};
use crate::kernel::{BOUNDS_NANOS, Sample, Timeline};

/// One worker's share.
#[derive(Debug)]
pub struct KernelMetrics {
    /// From a request's first byte leaving to its response's first byte arriving.
    pub first_byte: Histogram,
    /// From a response's first byte arriving to the worker's having read it.
    pub wakeup_lag: Histogram,
    /// The handshake's round trip, where `TCP_INFO` is all there is.
    pub connect: Histogram,
    /// Round trips, where `TCP_INFO` is all there is.
    pub rtt: Histogram,
    /// Segments sent again, where `TCP_INFO` is all there is.
    pub retransmits: Counter,
}

impl Default for KernelMetrics {
    fn default() -> Self {
        let histogram = || Histogram::new(&BOUNDS_NANOS);
        Self {
            first_byte: histogram(),
            wakeup_lag: histogram(),
            connect: histogram(),
            rtt: histogram(),
            retransmits: Counter::default(),
        }
    }
}

impl KernelMetrics {
    /// Counts what is known of a request.
    #[inline]
    pub fn request(&self, timeline: &Timeline) {
        if let Some(first_byte) = timeline.first_byte {
            observe(&self.first_byte, first_byte);
        }
        if let Some(lag) = timeline.wakeup_lag {
            observe(&self.wakeup_lag, lag);
        }
    }

    /// Counts a sample of `TCP_INFO`; `before` is the connection's last one, if there was one.
    pub fn sampled(&self, sample: &Sample, before: Option<&Sample>) {
        if let Some(rtt) = sample.rtt {
            match before {
                Some(_) => self.rtt.observe(rtt),
                // Fresh from the handshake: SYN to SYN-ACK is all that was measured.
                None => self.connect.observe(rtt),
            }
        }
        let known = before.map_or(0, |before| before.retransmits);
        self.retransmits
            .add(sample.retransmits.wrapping_sub(known).into());
    }
}

/// Records a duration in a histogram with the kernel's bounds, which are powers of two: no search.
#[inline]
fn observe(histogram: &Histogram, duration: Duration) {
    let nanos = nanos(duration);
    histogram.observe_in(proxy_common::bucket(nanos), nanos);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::cell::Snapshot;

    #[test]
    fn samples_count_what_is_new() {
        let metrics = KernelMetrics::default();
        let rtt = Some(Duration::from_millis(3));
        let first = Sample {
            rtt,
            retransmits: 1,
        };
        let second = Sample {
            rtt,
            retransmits: 4,
        };
        metrics.sampled(&first, None);
        metrics.sampled(&second, Some(&first));
        metrics.sampled(
            &Sample {
                rtt: None,
                retransmits: 4,
            },
            Some(&second),
        );
        assert_eq!(Snapshot::of([&metrics.connect]).count(), 1);
        assert_eq!(Snapshot::of([&metrics.rtt]).count(), 1);
        assert_eq!(metrics.retransmits.get(), 4);
    }
}
