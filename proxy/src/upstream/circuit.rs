//! Whether something that fails gets requests: an endpoint, or an upstream as a whole.
//!
//! Closed it does. After failures in a row it opens for a while, which doubles each time it has to be repeated; then it is
//! half open, and one request at a time may try. Shared by all workers. As long as all is well they only read it.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// What all times are counted from.
static BEGINNING: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Milliseconds since the process began to count, and one: 0 stands for never.
pub(super) fn millis(at: Instant) -> u64 {
    let since = at.saturating_duration_since(*BEGINNING).as_millis();
    u64::try_from(since).unwrap_or(u64::MAX).saturating_add(1)
}

/// The other way round.
pub(super) fn instant(millis: u64) -> Option<Instant> {
    BEGINNING.checked_add(Duration::from_millis(millis.checked_sub(1)?))
}

const CLOSED: u8 = 0;
const OPEN: u8 = 1;
const HALF_OPEN: u8 = 2;
/// Half open, and a request is trying.
const TRYING: u8 = 3;

/// How long a request that tries has before another may.
const TRIAL: Duration = Duration::from_secs(5);

/// What the state is for those who look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// All is well.
    Closed,
    /// No requests.
    Open,
    /// One request at a time.
    HalfOpen,
}

impl State {
    /// As a word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
        }
    }
}

/// When it opens, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Failures in a row.
    pub failures: u32,
    /// The first pause.
    pub pause: Duration,
    /// The longest.
    pub max_pause: Duration,
}

/// The state and what led to it.
#[derive(Debug, Default)]
pub struct Circuit {
    state: AtomicU8,
    failures: AtomicU32,
    /// How often it has opened without having been well for long in between.
    trips: AtomicU32,
    /// How often it has opened at all.
    opened: AtomicU64,
    /// When it may be tried; of one that is being tried, when another may.
    until: AtomicU64,
    /// When it was closed last.
    closed: AtomicU64,
}

impl Circuit {
    /// Whether all is well: one load.
    #[inline]
    pub fn is_closed(&self) -> bool {
        self.state.load(Relaxed) == CLOSED
    }

    /// Whether a request may be sent. If it is half open, that is the one that tries.
    pub fn admits(&self, now: Instant) -> bool {
        let state = self.state.load(Relaxed);
        let is_due = millis(now) >= self.until.load(Relaxed);
        let may_try = state == HALF_OPEN || state == TRYING && is_due;
        if state == CLOSED || !may_try {
            return state == CLOSED;
        }
        self.until.store(millis(now + TRIAL), Relaxed);
        let tries = (self.state).compare_exchange(state, TRYING, Relaxed, Relaxed);
        tries.is_ok()
    }

    /// Half open from now on, if the pause is over.
    pub fn half_open(&self, now: Instant) -> bool {
        self.is_due(now)
            && (self.state)
                .compare_exchange(OPEN, HALF_OPEN, Relaxed, Relaxed)
                .is_ok()
    }

    /// Whether it is open and its pause is over.
    pub fn is_due(&self, now: Instant) -> bool {
        self.state.load(Relaxed) == OPEN && millis(now) >= self.until.load(Relaxed)
    }

    /// What is left of the pause.
    pub fn pause_left(&self, now: Instant) -> Duration {
        match self.state.load(Relaxed) {
            CLOSED => Duration::ZERO,
            _ => Duration::from_millis(self.until.load(Relaxed).saturating_sub(millis(now))),
        }
    }

    /// Something went well. Two loads as long as nothing else has.
    #[inline]
    pub fn succeeded(&self, now: Instant) {
        if self.failures.load(Relaxed) != 0 {
            self.failures.store(0, Relaxed);
        }
        if !self.is_closed() {
            self.close(now);
        }
    }

    #[cold]
    fn close(&self, now: Instant) {
        // One that is open was not asked: what went well was begun before.
        if self.state.load(Relaxed) != OPEN {
            self.closed.store(millis(now), Relaxed);
            self.state.store(CLOSED, Relaxed);
        }
    }

    /// Something failed. Whether it is time to open, which is [`Circuit::open`].
    #[must_use]
    pub fn failed(&self, limits: &Limits) -> bool {
        let failures = self.failures.fetch_add(1, Relaxed).saturating_add(1);
        match self.state.load(Relaxed) {
            CLOSED => failures >= limits.failures,
            OPEN => false,
            _ => true,
        }
    }

    /// No requests for a while. Whether it did not know yet.
    pub fn open(&self, limits: &Limits, now: Instant) -> bool {
        let was = self.state.swap(OPEN, Relaxed);
        if was == OPEN {
            return false;
        }
        let well_for = millis(now).saturating_sub(self.closed.load(Relaxed));
        let is_news = was == CLOSED && Duration::from_millis(well_for) > limits.max_pause;
        let trips = if is_news { 0 } else { self.trips.load(Relaxed) };
        let pause = limits.pause.saturating_mul(1 << trips.min(16));
        let until = millis(now + pause.min(limits.max_pause));
        self.until.store(until, Relaxed);
        self.trips.store(trips.saturating_add(1), Relaxed);
        self.opened.fetch_add(1, Relaxed);
        self.failures.store(0, Relaxed);
        true
    }

    /// It is still as bad: another pause.
    pub fn stay_open(&self, limits: &Limits, now: Instant) {
        self.state.store(HALF_OPEN, Relaxed);
        self.open(limits, now);
    }

    /// The state.
    pub fn state(&self) -> State {
        match self.state.load(Relaxed) {
            CLOSED => State::Closed,
            OPEN => State::Open,
            _ => State::HalfOpen,
        }
    }

    /// Failures in a row.
    pub fn failures(&self) -> u32 {
        self.failures.load(Relaxed)
    }

    /// How often it has opened since the start.
    pub fn opened(&self) -> u64 {
        self.opened.load(Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        failures: 2,
        pause: Duration::from_secs(1),
        max_pause: Duration::from_secs(3),
    };

    fn fails(circuit: &Circuit, now: Instant) {
        if circuit.failed(&LIMITS) {
            circuit.open(&LIMITS, now);
        }
    }

    #[test]
    fn failures_in_a_row_open_it_and_one_request_at_a_time_tries() {
        let (circuit, start) = (Circuit::default(), Instant::now());
        fails(&circuit, start);
        circuit.succeeded(start);
        fails(&circuit, start);
        assert!(circuit.admits(start), "one failure is none in a row");
        fails(&circuit, start);
        assert!(!circuit.admits(start));
        assert!(!circuit.half_open(start + Duration::from_millis(900)));
        let later = start + Duration::from_millis(1100);
        assert!(circuit.half_open(later) && !circuit.half_open(later));
        assert!(circuit.admits(later) && !circuit.admits(later));
        // Nothing was heard of the one that tried.
        assert!(circuit.admits(later + TRIAL + Duration::from_millis(1)));
        circuit.succeeded(later);
        assert_eq!((circuit.state(), circuit.opened()), (State::Closed, 1));
        assert!(circuit.admits(later));
    }

    #[test]
    fn the_pause_grows_up_to_its_limit_and_begins_anew_after_good_times() {
        let (circuit, mut now) = (Circuit::default(), Instant::now() + Duration::from_secs(60));
        for seconds in [1, 2, 3, 3] {
            assert!(circuit.open(&LIMITS, now));
            assert!(!circuit.open(&LIMITS, now), "it is open");
            let pause = Duration::from_secs(seconds);
            assert!(circuit.pause_left(now) >= pause - Duration::from_millis(2));
            assert!(circuit.pause_left(now) <= pause);
            now += pause + Duration::from_millis(2);
            assert!(circuit.half_open(now) && circuit.admits(now));
            if seconds == 3 {
                circuit.succeeded(now);
            }
        }
        assert!(circuit.open(&LIMITS, now + 2 * LIMITS.max_pause));
        assert!(circuit.pause_left(now + 2 * LIMITS.max_pause) <= LIMITS.pause);
    }

    #[test]
    fn an_answer_to_a_request_from_before_does_not_close_it() {
        let (circuit, now) = (Circuit::default(), Instant::now());
        circuit.open(&LIMITS, now);
        circuit.succeeded(now);
        assert_eq!(circuit.state(), State::Open);
    }
}
