//! Wakes tasks at a precise time.
//!
//! tokio's timer rounds up to whole milliseconds, twice; that would shift the think times of
//! `latency.rs` by more than the proxy under test adds. One thread parks until the next deadline
//! instead (the kernel's high-resolution timer, about 50 µs late) and wakes the tasks that are due.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{JoinHandle, Thread};
use std::time::Instant;

use tokio::sync::oneshot;

pub(crate) struct Clock {
    queue: Arc<Mutex<Queue>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Queue {
    entries: BinaryHeap<Reverse<Entry>>,
    stopped: bool,
}

struct Entry {
    at: Instant,
    wake: oneshot::Sender<()>,
}

impl Clock {
    /// Starts the thread.
    pub(crate) fn start() -> std::io::Result<Self> {
        let queue = Arc::new(Mutex::new(Queue::default()));
        let mine = Arc::clone(&queue);
        let thread = std::thread::Builder::new()
            .name("emulator-clock".to_owned())
            .spawn(move || run(&mine))?;
        Ok(Self {
            queue,
            thread: Some(thread),
        })
    }

    /// Resolves at `at`, or at once if the clock has stopped.
    pub(crate) async fn sleep_until(&self, at: Instant) {
        let (wake, woken) = oneshot::channel();
        let earliest = {
            let mut queue = lock(&self.queue);
            let earliest = queue.entries.peek().is_none_or(|first| at < first.0.at);
            queue.entries.push(Reverse(Entry { at, wake }));
            earliest
        };
        if let (true, Some(thread)) = (earliest, self.thread()) {
            thread.unpark();
        }
        // An error means that the clock is going away, and with it everything that waits.
        let _ended = woken.await;
    }

    fn thread(&self) -> Option<&Thread> {
        self.thread.as_ref().map(JoinHandle::thread)
    }
}

impl Drop for Clock {
    fn drop(&mut self) {
        lock(&self.queue).stopped = true;
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            let _joined = thread.join();
        }
    }
}

fn run(queue: &Mutex<Queue>) {
    loop {
        let next = {
            let mut queue = lock(queue);
            if queue.stopped {
                return;
            }
            wake_due(&mut queue)
        };
        // A wake-up for an earlier entry between the lock and here makes park return at once.
        match next {
            Some(at) => std::thread::park_timeout(at.saturating_duration_since(Instant::now())),
            None => std::thread::park(),
        }
    }
}

/// Wakes what is due and tells when the next one is.
fn wake_due(queue: &mut Queue) -> Option<Instant> {
    let now = Instant::now();
    while let Some(Reverse(first)) = queue.entries.peek() {
        if first.at > now {
            return Some(first.at);
        }
        if let Some(Reverse(entry)) = queue.entries.pop() {
            // The request may have been cancelled meanwhile.
            let _gone = entry.wake.send(());
        }
    }
    None
}

fn lock(queue: &Mutex<Queue>) -> MutexGuard<'_, Queue> {
    queue.lock().unwrap_or_else(PoisonError::into_inner)
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.at == other.at
    }
}

impl Eq for Entry {}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.at.cmp(&other.at)
    }
}

#[cfg(test)]
mod tests;
