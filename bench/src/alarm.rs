//! A timer that rings within some ten microseconds, for the loop of requests in [`crate::latency`] and for upstream's thinking.
//!
//! tokio's timers are counted in whole milliseconds, which is more than a proxy adds. The kernel's are as sharp as the
//! CPU wakes up, and their descriptors are polled like sockets.

use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::io::read;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use tokio::io::unix::AsyncFd;

/// One timer, for one wait at a time.
#[derive(Debug)]
pub(crate) struct Alarm(AsyncFd<OwnedFd>);

impl Alarm {
    /// A timer that is not running. Needs a tokio runtime.
    ///
    /// # Errors
    /// When the system gives no descriptor.
    pub(crate) fn new() -> io::Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        #[expect(
            deprecated,
            reason = "an OwnedFd is one descriptor for as long as it lives, which is all that the unsafe `register` asks for"
        )]
        let timer = AsyncFd::new(timer)?;
        Ok(Self(timer))
    }

    /// Waits until then; not at all if that has passed.
    ///
    /// # Errors
    /// When the kernel refuses the time.
    pub(crate) async fn until(&self, when: Instant) -> io::Result<()> {
        let left = when.saturating_duration_since(Instant::now());
        // A time of 0 would stop the timer.
        if left.is_zero() {
            return Ok(());
        }
        let once = Itimerspec {
            it_interval: timespec(Duration::ZERO),
            it_value: timespec(left),
        };
        timerfd_settime(&self.0, TimerfdTimerFlags::empty(), &once)?;
        loop {
            let mut ready = self.0.readable().await?;
            // What it reads is how often it rang.
            let rang = ready.try_io(|timer| Ok(read(timer, &mut [0; 8])?));
            if let Ok(rang) = rang {
                return rang.map(|_| ());
            }
        }
    }
}

fn timespec(time: Duration) -> Timespec {
    Timespec {
        tv_sec: i64::try_from(time.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: time.subsec_nanos().into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_rings_when_the_time_has_come_and_not_before() {
        let alarm = Alarm::new().unwrap();
        for wait in [300, 0, 50] {
            let when = Instant::now() + Duration::from_micros(wait);
            alarm.until(when).await.unwrap();
            assert!(Instant::now() >= when);
        }
        let passed = Instant::now();
        alarm.until(passed).await.unwrap();
    }

    #[tokio::test]
    async fn a_wait_that_was_given_up_does_not_end_the_next() {
        let alarm = Alarm::new().unwrap();
        let soon = Instant::now() + Duration::from_millis(1);
        let later = soon + Duration::from_millis(5);
        tokio::select! {
            biased;
            _ = alarm.until(soon) => panic!("it rang at once"),
            () = std::future::ready(()) => {}
        }
        alarm.until(later).await.unwrap();
        assert!(Instant::now() >= later);
    }
}
