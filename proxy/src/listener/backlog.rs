//! How far a listener is behind: how long a connection that comes now will wait to be accepted.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// The pace of accepting is taken over so long.
const WINDOW: Duration = Duration::from_secs(5);

/// What looks at one listener's queue came to.
#[derive(Debug)]
pub struct Backlog {
    /// When, and how many had been accepted until then; over the window, oldest first.
    looks: VecDeque<(Instant, u64)>,
    /// When something had last been accepted, or there was nothing to accept.
    progress: Instant,
    /// When the queue was last seen empty: nobody has waited for longer.
    empty: Instant,
}

impl Backlog {
    /// Nothing has been accepted yet.
    pub fn new(now: Instant) -> Self {
        Self {
            looks: VecDeque::from([(now, 0)]),
            progress: now,
            empty: now,
        }
    }

    /// Takes a look: so many connections wait, so many have been accepted since the start. The expected wait of the
    /// next one: what waits at the pace of the last seconds, or, if nothing at all was accepted, how long it has been so.
    /// Never more than somebody can have waited by now, so that a burst is not taken for a standstill.
    pub fn look(&mut self, now: Instant, waiting: u32, accepted: u64) -> Duration {
        let (_, last) = self.looks.back().copied().unwrap_or((now, accepted));
        if waiting == 0 {
            self.empty = now;
        }
        if waiting == 0 || accepted != last {
            self.progress = now;
        }
        self.looks.push_back((now, accepted));
        // The oldest one that is kept is the youngest beyond the window.
        while let Some((at, _)) = self.looks.get(1)
            && now.duration_since(*at) >= WINDOW
        {
            self.looks.pop_front();
        }
        let (start, before) = self.looks.front().copied().unwrap_or((now, accepted));
        let wait = match u32::try_from(accepted.saturating_sub(before)) {
            Ok(0) => now.duration_since(self.progress),
            Ok(count) => now.duration_since(start).saturating_mul(waiting) / count,
            Err(_) => Duration::ZERO,
        };
        wait.min(now.duration_since(self.empty))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Looks every tenth of a second; what the last one came to.
    fn looks(waiting: u32, a_second: u64, seconds: u64) -> Duration {
        let start = Instant::now();
        let mut backlog = Backlog::new(start);
        let mut wait = Duration::ZERO;
        for tenth in 1..=seconds * 10 {
            let now = start + Duration::from_millis(tenth * 100);
            wait = backlog.look(now, waiting, tenth * a_second / 10);
        }
        wait
    }

    #[test]
    fn a_queue_that_moves_is_as_long_as_its_pace_makes_it() {
        assert_eq!(looks(1000, 500, 60), Duration::from_secs(2));
        assert_eq!(looks(1000, 50, 60), Duration::from_secs(20));
        assert_eq!(looks(0, 0, 60), Duration::ZERO);
    }

    #[test]
    fn a_queue_that_does_not_move_waits_for_as_long_as_it_has() {
        assert_eq!(looks(1, 0, 3), Duration::from_secs(3));
        assert_eq!(looks(1, 0, 60), Duration::from_secs(60));
    }

    #[test]
    fn a_burst_is_no_standstill() {
        let start = Instant::now();
        let mut backlog = Backlog::new(start);
        backlog.look(start + Duration::from_secs(60), 0, 1000);
        let soon = Duration::from_millis(60_100);
        let wait = backlog.look(start + soon, 4096, 1001);
        assert_eq!(wait, Duration::from_millis(100));
    }

    #[test]
    fn what_happened_before_the_window_does_not_count() {
        let start = Instant::now();
        let mut backlog = Backlog::new(start);
        let at = |seconds| start + Duration::from_secs(seconds);
        for second in 1..=20 {
            backlog.look(at(second), 5, second * 1000);
        }
        for second in 21..=40 {
            backlog.look(at(second), 10, 20_000 + (second - 20));
        }
        assert_eq!(backlog.look(at(41), 10, 20_021), Duration::from_secs(10));
        assert!(backlog.looks.len() < 8, "{}", backlog.looks.len());
    }
}
