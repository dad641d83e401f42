//! How other threads get something done on a worker's thread: a queue of jobs.
//!
//! The probe thread hands connections over that turned out to be no probes.

use std::fmt;
use std::rc::Rc;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::Worker;

/// Runs on the worker's thread, and must not take long.
type Job = Box<dyn FnOnce(&Rc<Worker>) + Send>;

/// The sending end. Not bounded: who sends connections is bounded by their number.
#[derive(Clone)]
pub struct Inbox(UnboundedSender<Job>);

/// The worker's end.
pub struct Jobs(UnboundedReceiver<Job>);

/// An inbox and what comes out of it.
pub fn channel() -> (Inbox, Jobs) {
    let (sender, receiver) = unbounded_channel();
    (Inbox(sender), Jobs(receiver))
}

impl Inbox {
    /// Puts a job into the queue; it is dropped if the worker has gone.
    pub fn send(&self, job: impl FnOnce(&Rc<Worker>) + Send + 'static) {
        // What a job would have served is closed with it.
        let _ = self.0.send(Box::new(job));
    }
}

impl fmt::Debug for Inbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Inbox")
    }
}

impl fmt::Debug for Jobs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Jobs")
    }
}

/// Runs jobs as they come, until the task is aborted.
pub(super) async fn run(worker: Rc<Worker>, mut jobs: Jobs) {
    while let Some(job) = jobs.0.recv().await {
        job(&worker);
    }
    // All senders are gone, which says nothing about the worker.
    std::future::pending::<()>().await;
}
