//! A run: warms up, sends what the plan says when it says so, and gathers what became of it.
//!
//! Requests are sent when they are due, whether earlier ones have been answered or not, and their latencies count from then (no coordinated
//! omission): a target that stalls is asked all the same, as it would be by others.

use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinSet;
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::clock::Clock;
use super::dial::Handshake;
use super::lane::Lane;
use super::plan::{Extent, Kind, Slot};
use super::progress::Progress;
use super::sample::{Failure, Sample};

/// The same plan each time; what it has to be different from is the world.
const SEED: u64 = 2_026;
/// From a plan's beginning to its first slot, so that the first is not late already.
const LEAD: Duration = Duration::from_millis(5);
/// Between two looks at the progress.
const LOOK: Duration = Duration::from_millis(100);

/// What became of a run.
#[derive(Debug)]
pub(super) struct Course {
    /// In the order of the targets.
    pub(super) targets: Vec<OfTarget>,
    /// How long it took, without warming up.
    pub(super) took: Duration,
    /// Whether a signal has ended it.
    pub(super) is_stopped: bool,
}

/// What became of one target's requests.
#[derive(Debug, Default)]
pub(super) struct OfTarget {
    pub(super) samples: Vec<Sample>,
    pub(super) handshakes: Vec<Result<Handshake, Failure>>,
    /// Why it was left alone after all requests to warm up had failed.
    pub(super) given_up: Option<Failure>,
}

/// What a task has brought.
enum Done {
    Sample(usize, Sample),
    Handshake(usize, Result<Handshake, Failure>),
}

/// Runs everything. To be called within a [`tokio::task::LocalSet`].
///
/// # Errors
/// If the system gives no thread, or no signals.
pub(super) async fn run(
    lanes: &[Rc<Lane>],
    extent: Extent,
    warm_up: usize,
    progress: &mut Progress,
) -> io::Result<Course> {
    let mut driver = Driver {
        lanes,
        targets: lanes.iter().map(|_| OfTarget::default()).collect(),
        clock: Clock::start()?,
        look: interval(LOOK),
        interrupt: signal(SignalKind::interrupt())?,
        terminate: signal(SignalKind::terminate())?,
        is_stopped: false,
        progress,
    };
    driver
        .look
        .set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut random = fastrand::Rng::with_seed(SEED);
    driver.warm_up(extent, warm_up, &mut random).await;
    let mut slots = extent.plan(&mut random);
    slots.retain(|slot| driver.is_measured(slot.target));
    driver.progress.begin(slots.len(), extent.all());
    let begun = Instant::now();
    driver.drive(slots).await;
    driver.progress.end();
    Ok(Course {
        took: begun.elapsed(),
        is_stopped: driver.is_stopped,
        targets: driver.targets,
    })
}

struct Driver<'a> {
    lanes: &'a [Rc<Lane>],
    targets: Vec<OfTarget>,
    clock: Clock,
    look: Interval,
    interrupt: Signal,
    terminate: Signal,
    is_stopped: bool,
    progress: &'a mut Progress,
}

impl Driver<'_> {
    fn is_measured(&self, target: usize) -> bool {
        self.targets
            .get(target)
            .is_some_and(|of| of.given_up.is_none())
    }

    /// Opens connections, has whatever is made at the first use made, and finds out who does not answer at all.
    async fn warm_up(&mut self, extent: Extent, rounds: usize, random: &mut fastrand::Rng) {
        let extent = Extent {
            rounds,
            handshakes: 0,
            ..extent
        };
        let slots = extent.plan(random);
        self.progress.warm_up(slots.len());
        let mut opening = JoinSet::new();
        for lane in self.lanes {
            let lane = Rc::clone(lane);
            opening.spawn_local(async move { lane.open_ahead().await });
        }
        // In their own time if there is nobody there.
        opening.detach_all();
        self.drive(slots).await;
        for of in &mut self.targets {
            let samples = std::mem::take(&mut of.samples);
            let mut failures = samples.into_iter().map(|sample| sample.outcome.err());
            let first = failures.next().flatten();
            of.given_up = first.filter(|_| failures.all(|failure| failure.is_some()));
        }
    }

    /// Does what is due, and waits for all of it.
    async fn drive(&mut self, slots: Vec<Slot>) {
        let begun = Instant::now() + LEAD;
        let mut tasks = JoinSet::new();
        for slot in slots {
            let due = begun + slot.at;
            if !self.wait(due, &mut tasks).await {
                break;
            }
            if let Some(lane) = self.lanes.get(slot.target) {
                let (lane, target) = (Rc::clone(lane), slot.target);
                tasks.spawn_local(async move {
                    match slot.kind {
                        Kind::Request(round) => Done::Sample(target, lane.send(round, due).await),
                        Kind::Handshake => Done::Handshake(target, lane.handshake().await),
                    }
                });
            }
        }
        while !self.is_stopped && !tasks.is_empty() {
            let done = tokio::select! {
                done = tasks.join_next() => done,
                _ = self.look.tick() => {
                    self.progress.look();
                    continue;
                }
                _ = self.interrupt.recv() => break,
                _ = self.terminate.recv() => break,
            };
            if let Some(Ok(done)) = done {
                self.book(done);
            }
        }
        self.is_stopped |= !tasks.is_empty();
        // What has been answered counts.
        while let Some(done) = tasks.try_join_next() {
            if let Ok(done) = done {
                self.book(done);
            }
        }
    }

    /// Waits until something is due, and books what is done meanwhile; false if there is a signal to stop.
    async fn wait(&mut self, due: Instant, tasks: &mut JoinSet<Done>) -> bool {
        while !self.is_stopped {
            tokio::select! {
                biased;
                () = self.clock.until(due) => return true,
                Some(done) = tasks.join_next() => {
                    if let Ok(done) = done {
                        self.book(done);
                    }
                }
                _ = self.look.tick() => self.progress.look(),
                _ = self.interrupt.recv() => self.is_stopped = true,
                _ = self.terminate.recv() => self.is_stopped = true,
            }
        }
        false
    }

    fn book(&mut self, done: Done) {
        match done {
            Done::Sample(target, sample) => {
                self.progress.note(sample.outcome.is_err());
                if let Some(of) = self.targets.get_mut(target) {
                    of.samples.push(sample);
                }
            }
            Done::Handshake(target, result) => {
                self.progress.note(result.is_err());
                if let Some(of) = self.targets.get_mut(target) {
                    of.handshakes.push(result);
                }
            }
        }
    }
}
