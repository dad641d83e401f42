//! Clients that open a connection for every request, as many as are asked for, on a thread of their own.
//!
//! With a rate they come when it is time, whether earlier ones have been
//! answered or not; without one, the next comes when one has gone. Plain
//! non-blocking sockets and `epoll`: one more system call for each client
//! would be missing from the load. [`crowd`] holds the clients.

mod crowd;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::Result;

use crowd::Crowd;

/// Clients begun before answers are looked at again.
const BATCH: u64 = 64;
/// After everything else on the same CPU: upstream and the prober must not wait for clients.
const NICE: i32 = 19;

/// Who comes, and how often.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan {
    /// On 127.0.0.1.
    pub(super) port: u16,
    /// Clients a second; without, as many as `at_most` allows.
    pub(super) rate: Option<f64>,
    /// Clients at a time.
    pub(super) at_most: usize,
    /// How long a client waits for its answer before it goes.
    pub(super) patience: Duration,
}

/// What happened so far, by number of clients.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Counts {
    /// Began to connect.
    pub(super) came: u64,
    /// Were answered 200.
    pub(super) served: u64,
    /// Were answered with another status.
    pub(super) turned_away: u64,
    /// Found their connection refused, reset, or closed without an answer.
    pub(super) broken: u64,
    /// Lost patience.
    pub(super) gave_up: u64,
    /// Are there now.
    pub(super) waiting: usize,
}

/// The counters, and the word to stop.
#[derive(Debug, Default)]
struct Shared {
    stop: AtomicBool,
    came: AtomicU64,
    served: AtomicU64,
    turned_away: AtomicU64,
    broken: AtomicU64,
    gave_up: AtomicU64,
    waiting: AtomicUsize,
}

/// Clients at work; dropping it sends them away.
#[derive(Debug)]
pub(super) struct Clients {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<Result<()>>>,
}

impl Clients {
    /// Lets them come.
    ///
    /// # Errors
    /// When there can be no thread.
    pub(super) fn start(plan: Plan) -> Result<Self> {
        let shared = Arc::new(Shared::default());
        let for_thread = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("clients".to_owned())
            .spawn(move || drive(plan, &for_thread))?;
        Ok(Self {
            shared,
            thread: Some(thread),
        })
    }

    /// What happened so far.
    pub(super) fn counts(&self) -> Counts {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts {
            came: of(&self.shared.came),
            served: of(&self.shared.served),
            turned_away: of(&self.shared.turned_away),
            broken: of(&self.shared.broken),
            gave_up: of(&self.shared.gave_up),
            waiting: self.shared.waiting.load(Ordering::Relaxed),
        }
    }

    /// Sends all away.
    ///
    /// # Errors
    /// What ended them earlier, if anything did.
    pub(super) fn stop(mut self) -> Result<()> {
        self.end()
    }

    fn end(&mut self) -> Result<()> {
        self.shared.stop.store(true, Ordering::Relaxed);
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(result)) => result,
            Some(Err(_)) => anyhow::bail!("the clients' thread panicked"),
            None => Ok(()),
        }
    }
}

impl Drop for Clients {
    fn drop(&mut self) {
        // Whoever wants to know how it went calls `stop`.
        let _ = self.end();
    }
}

impl Counts {
    /// What happened since `earlier`; those who wait are those of now.
    pub(super) fn since(&self, earlier: &Self) -> Self {
        Self {
            came: self.came - earlier.came,
            served: self.served - earlier.served,
            turned_away: self.turned_away - earlier.turned_away,
            broken: self.broken - earlier.broken,
            gave_up: self.gave_up - earlier.gave_up,
            waiting: self.waiting,
        }
    }
}

fn drive(plan: Plan, shared: &Shared) -> Result<()> {
    rustix::process::setpriority_process(None, NICE)?;
    let mut crowd = Crowd::new(plan, shared)?;
    let mut due = Due::new(plan.rate);
    while !shared.stop.load(Ordering::Relaxed) {
        let now = Instant::now();
        crowd.lose_patience(now);
        let room = plan.at_most.saturating_sub(crowd.len()) as u64;
        let begun = due.now(now).min(BATCH).min(room);
        for _ in 0..begun {
            crowd.come(now)?;
        }
        due.begun(begun);
        let hurry = begun == BATCH;
        crowd.attend(hurry)?;
    }
    Ok(())
}

/// How many clients are due. What could not begin for want of room is not made up for: it would come as a burst.
#[derive(Debug)]
struct Due {
    rate: Option<f64>,
    last: Option<Instant>,
    due: f64,
}

impl Due {
    /// The longest time whose clients are begun at once.
    const BURST_S: f64 = 0.01;

    fn new(rate: Option<f64>) -> Self {
        Self {
            rate,
            last: None,
            due: 0.0,
        }
    }

    fn now(&mut self, now: Instant) -> u64 {
        let Some(rate) = self.rate else {
            return u64::MAX;
        };
        let passed = self.last.map_or(0.0, |last| (now - last).as_secs_f64());
        self.last = Some(now);
        self.due = (self.due + passed * rate).min(rate * Self::BURST_S);
        self.due as u64
    }

    fn begun(&mut self, count: u64) {
        self.due -= count as f64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_are_due_at_the_rate_and_not_made_up_for() {
        let mut due = Due::new(Some(1000.0));
        let begin = Instant::now();
        assert_eq!(due.now(begin), 0);
        assert_eq!(due.now(begin + Duration::from_micros(2500)), 2);
        due.begun(2);
        assert_eq!(due.now(begin + Duration::from_micros(3500)), 1);
        due.begun(1);
        assert_eq!(due.now(begin + Duration::from_secs(5)), 10);
        assert_eq!(Due::new(None).now(begin), u64::MAX);
    }
}
