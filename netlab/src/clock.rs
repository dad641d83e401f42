//! The one clock of the lab: `CLOCK_MONOTONIC`, which is also that of `bpf_ktime_get_ns` and of `Instant`.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// `CLOCK_MONOTONIC` now, as the journal notes it.
#[must_use]
pub fn now() -> Duration {
    let time = clock_gettime(ClockId::Monotonic);
    // Neither is ever negative: the clock counts from the system's start.
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec as u32)
}
