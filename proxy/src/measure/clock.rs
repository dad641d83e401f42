//! Waits until a request is due, to some ten microseconds.
//!
//! tokio's own timers are a millisecond or two late, which is more than what a proxy adds, and it would be in every latency. So a thread
//! waits, with the kernel's precise timers, and wakes the one that sends.

use std::io;
use std::num::NonZeroU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

use tokio::sync::Notify;

/// By how many nanoseconds the kernel may be late to put timers together; 50 µs unless it is told.
const SLACK: Option<NonZeroU64> = NonZeroU64::new(1000);

/// Something to wait with.
#[derive(Debug)]
pub(super) struct Clock {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    next: Mutex<Next>,
    due: Notify,
}

/// What the thread waits for.
#[derive(Debug, Default)]
enum Next {
    #[default]
    Nothing,
    At(Instant),
    End,
}

impl Clock {
    /// Starts the thread.
    ///
    /// # Errors
    /// If the system gives none.
    pub(super) fn start() -> io::Result<Self> {
        let shared = Arc::<Shared>::default();
        let mine = Arc::clone(&shared);
        let thread = std::thread::Builder::new().name("clock".to_owned());
        let thread = thread.spawn(move || mine.wait())?;
        Ok(Self {
            shared,
            thread: Some(thread),
        })
    }

    /// Waits until then; at once if that is past. May be dropped and asked again, by one at a time.
    pub(super) async fn until(&self, at: Instant) {
        while Instant::now() < at {
            self.set(Next::At(at));
            // It may be for the time before.
            self.shared.due.notified().await;
        }
    }

    fn set(&self, next: Next) {
        *self.shared.next() = next;
        if let Some(thread) = &self.thread {
            thread.thread().unpark();
        }
    }
}

impl Drop for Clock {
    fn drop(&mut self) {
        self.set(Next::End);
        if let Some(thread) = self.thread.take() {
            // It only ends by itself.
            let _ended = thread.join();
        }
    }
}

impl Shared {
    fn next(&self) -> MutexGuard<'_, Next> {
        self.next.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait(&self) {
        // Without, it is a little later each time, which is told.
        let _refused = rustix::thread::set_current_timer_slack(SLACK);
        loop {
            let left = {
                let mut next = self.next();
                match *next {
                    Next::End => return,
                    Next::Nothing => None,
                    Next::At(at) => {
                        let left = at.saturating_duration_since(Instant::now());
                        if left.is_zero() {
                            *next = Next::Nothing;
                            self.due.notify_one();
                        }
                        Some(left).filter(|left| !left.is_zero())
                    }
                }
            };
            // Whoever sets another time between the look and here makes it return at once.
            match left {
                Some(left) => std::thread::park_timeout(left),
                None => std::thread::park(),
            }
        }
    }
}
