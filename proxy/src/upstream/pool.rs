//! One worker's idle connections to upstream.
//!
//! Last in, first out: the busiest connection keeps its congestion window
//! open, and the surplus ages out at the bottom. One that has carried no
//! request yet has no such window, so those that have go first, however long
//! ago. [`Pool::keep_warm`] opens connections ahead of need,
//! [`Pool::keep_fresh`] drops those the peer would soon close.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::connect::{ConnectError, Connection, Dialer};
use crate::http1::Guarded;
use crate::kernel::TcpInfo;
use crate::metrics::WorkerMetrics;

/// A request body of so many bytes does not fit into the window of a new connection.
const LONG: u64 = 16 * 1024;
/// The shortest time between two rounds of opening connections.
const ROUND: Duration = Duration::from_millis(50);
/// How often idle connections are looked at.
const SWEEP: Duration = Duration::from_secs(1);
/// First allocation for a request: an SDK's head and a small body fit.
const BUFFER: usize = 2 * 1024;
/// A larger one is given back to the system.
const MAX_SPARE_BUFFER: usize = 16 * 1024;
/// Buffers kept.
const SPARE_BUFFERS: usize = 64;

/// Idle connections and the means to open more.
#[derive(Debug)]
pub struct Pool {
    dialer: Rc<Dialer>,
    /// Those that have carried a request.
    idle: RefCell<Vec<Connection>>,
    /// Those opened ahead of need.
    unused: RefCell<Vec<Connection>>,
    /// Request buffers between two requests, so that none is allocated for
    /// each and none is kept by an idle connection.
    buffers: RefCell<Vec<Guarded>>,
    wanted: Notify,
    min_idle: usize,
    max_idle: usize,
    idle_timeout: Duration,
    /// Whether connections with a window that losses have brought down are replaced.
    replaces_worn: bool,
}

/// A connection in use; counts as active until dropped.
#[derive(Debug)]
pub struct Lease(Arc<WorkerMetrics>);

/// A connection with its lease.
pub type Leased = (Connection, Lease);

impl Lease {
    /// Counts one more connection in use.
    pub fn new(metrics: &Arc<WorkerMetrics>) -> Self {
        metrics.upstream.active.add(1);
        Self(Arc::clone(metrics))
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.0.upstream.active.add(-1);
    }
}

impl Pool {
    /// An empty pool.
    pub const fn new(
        dialer: Rc<Dialer>,
        min_idle: usize,
        max_idle: usize,
        idle_timeout: Duration,
        replaces_worn: bool,
    ) -> Self {
        Self {
            dialer,
            idle: RefCell::new(Vec::new()),
            unused: RefCell::new(Vec::new()),
            buffers: RefCell::new(Vec::new()),
            wanted: Notify::const_new(),
            min_idle,
            max_idle,
            idle_timeout,
            replaces_worn,
        }
    }

    /// Takes a warm connection, if there is one that is neither too old at
    /// `now` nor closed by the peer. `now` may be as coarse as a round of opening new ones.
    pub fn take(&self, now: Instant) -> Option<Leased> {
        let found = self
            .take_of(&self.idle, now)
            .or_else(|| self.take_of(&self.unused, now));
        if self.count() < self.min_idle {
            self.wanted.notify_one();
        }
        found.map(|connection| (connection, Lease::new(self.metrics())))
    }

    fn take_of(&self, stack: &RefCell<Vec<Connection>>, now: Instant) -> Option<Connection> {
        let mut stack = stack.borrow_mut();
        // Those below are older still; closing them is left to the sweep.
        while let Some(mut connection) = stack.pop_if(|youngest| self.is_fresh(youngest, now)) {
            self.metrics().upstream.idle.add(-1);
            if is_quiet(&mut connection) {
                return Some(connection);
            }
        }
        None
    }

    /// Opens a connection that a request waits for.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn open(&self) -> Result<Leased, ConnectError> {
        self.metrics().upstream.cold.inc();
        match self.dialer.connection().await {
            Ok(connection) => Ok((connection, Lease::new(self.metrics()))),
            Err(error) => {
                // Whether upstream is back is found out without a request.
                self.wanted.notify_one();
                Err(error)
            }
        }
    }

    /// Takes a connection back after a complete exchange with `sent` bytes of request body. One whose window losses have
    /// brought down to that of a new connection is closed after a long request if another is at hand: the next long
    /// request is sooner done with that.
    pub fn put_after(&self, connection: Connection, now: Instant, sent: u64) {
        let is_long = sent >= LONG && self.replaces_worn && self.count() > 0;
        if is_long && TcpInfo::of(connection.io.tcp()).is_ok_and(|info| info.is_worn()) {
            self.metrics().upstream.worn.inc();
            return;
        }
        self.put(connection, now);
    }

    /// Takes a connection that has carried a request.
    pub fn put(&self, mut connection: Connection, now: Instant) {
        connection.sample(self.dialer.sockets(), self.metrics(), now);
        self.keep_buffer(std::mem::take(&mut connection.output.bytes));
        connection.input.shrink();
        self.keep(&self.idle, connection, now);
    }

    fn keep(&self, stack: &RefCell<Vec<Connection>>, mut connection: Connection, now: Instant) {
        if self.count() < self.max_idle {
            connection.idle_since = now;
            stack.borrow_mut().push(connection);
            self.metrics().upstream.idle.add(1);
        }
    }

    /// How many are idle.
    fn count(&self) -> usize {
        self.idle.borrow().len() + self.unused.borrow().len()
    }

    /// An empty buffer for a request, used before or new.
    pub fn spare_buffer(&self) -> Guarded {
        let spare = self.buffers.borrow_mut().pop();
        spare.unwrap_or_else(|| Guarded::with_capacity(BUFFER))
    }

    /// Takes a buffer back of a request that has left.
    pub fn keep_buffer(&self, mut buffer: Guarded) {
        let mut buffers = self.buffers.borrow_mut();
        let fits = (BUFFER..=MAX_SPARE_BUFFER).contains(&buffer.capacity());
        if buffers.len() < SPARE_BUFFERS && fits {
            buffer.clear();
            buffers.push(buffer);
        }
    }

    /// Keeps `min_idle` connections open, until the task is dropped. While the
    /// last dial has failed, keeps trying to open one, whatever the minimum:
    /// the proxy is not ready meanwhile, so no request would find out.
    pub async fn keep_warm(self: Rc<Self>) {
        loop {
            if self.dialer.has_failed() {
                self.dialer.back_off().await;
            }
            let wanted = self.min_idle.max(usize::from(self.dialer.has_failed()));
            let missing = wanted.saturating_sub(self.count());
            for _ in 0..missing {
                match self.dialer.connection().await {
                    Ok(connection) => self.keep(&self.unused, connection, Instant::now()),
                    Err(error) => {
                        tracing::debug!(%error, "no connection opened ahead of need");
                        break;
                    }
                }
            }
            if !self.dialer.has_failed() {
                tokio::time::sleep(ROUND).await;
                self.wanted.notified().await;
            }
        }
    }

    /// Drops connections that are too old or have ended, until the task is
    /// dropped. On its own, as a dial may take long.
    pub async fn keep_fresh(self: Rc<Self>) {
        loop {
            tokio::time::sleep(SWEEP).await;
            self.sweep();
        }
    }

    /// Drops all idle connections, as when the proxy stops.
    pub fn clear(&self) {
        for stack in [&self.idle, &self.unused] {
            let dropped = stack.borrow_mut().drain(..).count();
            self.count_dropped(dropped);
        }
    }

    fn sweep(&self) {
        let now = Instant::now();
        for stack in [&self.idle, &self.unused] {
            let mut stack = stack.borrow_mut();
            let before = stack.len();
            stack.retain_mut(|connection| self.is_fresh(connection, now) && is_quiet(connection));
            self.count_dropped(before - stack.len());
        }
        if self.count() < self.min_idle {
            self.wanted.notify_one();
        }
    }

    fn is_fresh(&self, connection: &Connection, now: Instant) -> bool {
        now.duration_since(connection.idle_since) < self.idle_timeout
    }

    fn count_dropped(&self, dropped: usize) {
        let dropped = i64::try_from(dropped).unwrap_or(i64::MAX);
        self.metrics().upstream.idle.add(-dropped);
    }

    fn metrics(&self) -> &Arc<WorkerMetrics> {
        self.dialer.metrics()
    }
}

/// Whether nothing has happened on an idle connection: no end of stream, no
/// reset, no unexpected byte. TLS session tickets are absorbed on the way.
/// Costs a system call only if the kernel has reported something.
fn is_quiet(connection: &mut Connection) -> bool {
    let mut cx = Context::from_waker(Waker::noop());
    let Connection { io, input, .. } = connection;
    input.is_empty() && matches!(input.poll_fill(&mut cx, io, 1024), Poll::Pending)
}

#[cfg(test)]
mod tests;
