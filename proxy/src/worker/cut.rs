//! The end of a drain: whoever still waits for something is woken, and finds out that it is over.
//!
//! A connection's task, and that of an h2 stream, is enrolled once; requests only read a flag when they are polled
//! anyway, so that all of this costs them nothing.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Duration;

use tokio::time::timeout;

use super::Worker;

/// How long clients are given at the end of a drain to take what they are told.
const LAST_WORD: Duration = Duration::from_secs(1);

/// Whether running requests have to end, and whom to wake for it.
#[derive(Debug, Default)]
pub(super) struct Cut {
    is_made: Cell<bool>,
    tasks: RefCell<Vec<Option<Waker>>>,
    free: RefCell<Vec<usize>>,
}

/// A task is woken at the cut, until this is dropped.
#[derive(Debug)]
pub struct Enrolled {
    worker: Rc<Worker>,
    place: usize,
}

impl Worker {
    /// Whether what has not ended by now has to.
    #[inline]
    pub const fn is_cut(&self) -> bool {
        self.cut.is_made.get()
    }

    /// Has the calling task woken at the cut.
    pub async fn enroll(self: &Rc<Self>) -> Enrolled {
        let waker = poll_fn(|cx| Poll::Ready(cx.waker().clone())).await;
        let mut tasks = self.cut.tasks.borrow_mut();
        let place = self.cut.free.borrow_mut().pop().unwrap_or_else(|| {
            tasks.push(None);
            tasks.len() - 1
        });
        if let Some(free) = tasks.get_mut(place) {
            *free = Some(waker);
        }
        Enrolled {
            worker: Rc::clone(self),
            place,
        }
    }

    /// Lets running requests finish, up to the limit; what is left then is told, and ends.
    pub(super) async fn finish_connections(&self) {
        let limit = self.live().timeouts.drain;
        let finished = tokio::select! {
            finished = timeout(limit, self.all_ended()) => finished.is_ok(),
            () = self.drain.hurried() => self.connections.get() == 0,
        };
        if !finished {
            let left = self.connections.get();
            tracing::warn!(
                worker = self.id,
                left,
                "connections cut at the end of the drain"
            );
            self.cut();
            // Who does not take the last word in time is not waited for.
            let _ = timeout(LAST_WORD, self.all_ended()).await;
        }
        let origins = self.origins();
        origins.iter().for_each(|origin| origin.pool.clear());
    }

    async fn all_ended(&self) {
        while self.connections.get() > 0 {
            self.connection_ended.notified().await;
        }
    }

    /// Ends what still runs.
    fn cut(&self) {
        self.cut.is_made.set(true);
        for task in self.cut.tasks.borrow().iter().flatten() {
            task.wake_by_ref();
        }
    }
}

impl Drop for Enrolled {
    fn drop(&mut self) {
        let cut = &self.worker.cut;
        if let Some(task) = cut.tasks.borrow_mut().get_mut(self.place) {
            *task = None;
        }
        cut.free.borrow_mut().push(self.place);
    }
}
