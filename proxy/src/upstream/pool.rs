//! One worker's idle connections to upstream.
//!
//! Last in, first out: the busiest connection keeps its congestion window open, and the surplus ages out at the bottom. One that
//! has carried no request yet has no such window, so those that have go first, however long ago. [`Pool::keep_warm`] opens
//! connections ahead of need, [`Pool::keep_fresh`] drops those the peer would soon close, and `demand` says how many are kept.

mod demand;

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::choice::Local;
use super::circuit::State;
use super::connect::{ConnectError, Connection, Dialer};
use super::roster::Roster;
use crate::config::{AfterIdle, Upstream};
use crate::kernel::TcpInfo;
use crate::metrics::UpstreamMetrics;
use demand::Demand;

/// A request body of so many bytes does not fit into the window of a new connection.
const LONG: u64 = 16 * 1024;
/// The shortest time between two rounds of opening connections.
const ROUND: Duration = Duration::from_millis(50);
/// How often idle connections are looked at.
const SWEEP: Duration = Duration::from_secs(1);
/// A warm connection at the dearer of two endpoints is taken if a request would wait there no more than so many times as long.
const WORTH_A_HANDSHAKE: f32 = 2.0;

/// Idle connections and the means to open more.
#[derive(Debug)]
pub struct Pool {
    dialer: Rc<Dialer>,
    /// How many are idle.
    count: Cell<usize>,
    wanted: Notify,
    demand: Demand,
    min_idle: usize,
    max_idle: usize,
    idle_timeout: Duration,
    /// Whether connections with a window that losses have brought down are replaced.
    replaces_worn: bool,
}

/// A connection in use; counts as active until dropped.
#[derive(Debug)]
pub struct Lease(Rc<Local>);

/// A connection with its lease.
pub type Leased = (Connection, Lease);

impl Lease {
    /// Counts one more connection to the endpoint in use.
    pub fn new(local: Rc<Local>) -> Self {
        local.metrics().active.add(1);
        local.begin();
        Self(local)
    }

    /// Where the connection leads.
    #[inline]
    pub const fn endpoint(&self) -> &Rc<Local> {
        &self.0
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.0.metrics().active.add(-1);
        self.0.load().end();
    }
}

impl Pool {
    /// An empty pool.
    pub fn new(dialer: Rc<Dialer>, upstream: &Upstream) -> Self {
        Self {
            dialer,
            count: Cell::new(0),
            wanted: Notify::new(),
            demand: Demand::new(upstream.idle_timeout, Instant::now()),
            min_idle: upstream.min_idle,
            max_idle: upstream.max_idle,
            idle_timeout: upstream.idle_timeout,
            replaces_worn: upstream.tcp.after_idle == AfterIdle::Auto,
        }
    }

    fn roster(&self) -> &Roster {
        self.dialer.roster()
    }

    /// Takes a warm connection, if there is one that is neither too old at
    /// `now` nor closed by the peer. `now` may be as coarse as a round of opening new ones.
    pub fn take(&self, now: Instant) -> Option<Leased> {
        let found = self.roster().with(|all| match all {
            [] => None,
            [only] => self.take_at(only, now),
            all => self.take_best(all, now),
        });
        if self.count.get() < self.min_idle {
            self.wanted.notify_one();
        }
        found
    }

    /// The same, but rather anywhere else than at the endpoint with the address `avoid`.
    pub fn take_elsewhere(&self, avoid: Option<SocketAddr>, now: Instant) -> Option<Leased> {
        let mut order = self.roster().in_order(avoid, now);
        order.retain(|local| Some(local.shared.address) != avoid && local.waiting() > 0);
        // One that is on trial goes first, or it would stay so for as long as others have connections.
        order.sort_by_key(|local| local.shared.circuit.is_closed());
        let admits = |local: &&Rc<Local>| local.shared.circuit.admits(now);
        let mut usable = order.iter().filter(admits);
        let found = usable.find_map(|local| self.take_at(local, now));
        self.ask_for_more();
        found
    }

    fn take_best(&self, all: &[Rc<Local>], now: Instant) -> Option<Leased> {
        let is_closed = |local: &&Rc<Local>| local.shared.circuit.is_closed();
        let closed = || all.iter().filter(is_closed);
        let count = closed().count();
        let is_tried = |local: &Rc<Local>| !is_closed(&local) && local.waiting() > 0;
        if count == 0 || count < all.len() && all.iter().any(is_tried) {
            return self.take_elsewhere(None, now);
        }
        if count == 1 {
            return self.take_at(closed().next()?, now);
        }
        let (one, other) = self.roster().pair(count);
        let (one, other) = (closed().nth(one)?, closed().nth(other)?);
        // Nobody connects ahead of need then.
        let connects = self.min_idle == 0;
        let costs = (one.cost(now, connects), other.cost(now, connects));
        let (first, second, ratio) = match costs.0 <= costs.1 {
            true => (one, other, costs.1 / costs.0),
            false => (other, one, costs.0 / costs.1),
        };
        let second = (ratio <= WORTH_A_HANDSHAKE).then_some(second);
        self.take_at(first, now)
            .or_else(|| self.take_at(second?, now))
    }

    fn take_at(&self, local: &Rc<Local>, now: Instant) -> Option<Leased> {
        for stack in [&local.idle, &local.unused] {
            let mut stack = stack.borrow_mut();
            // Those below are older still; closing them is left to the sweep.
            while let Some(mut connection) = stack.pop_if(|youngest| self.is_fresh(youngest, now)) {
                self.count_dropped(1);
                if is_quiet(&mut connection) {
                    return Some((connection, Lease::new(Rc::clone(local))));
                }
                self.demand.closed(1);
            }
        }
        None
    }

    /// Opens a connection that a request waits for, rather not at the endpoint with the address `avoid`.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn open(&self, avoid: Option<SocketAddr>) -> Result<Leased, ConnectError> {
        self.metrics().cold.inc();
        let order = self.roster().in_order(avoid, Instant::now());
        match self.dialer.connection(order).await {
            Ok((connection, local)) => Ok((connection, Lease::new(local))),
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
    pub fn put_after(&self, leased: Leased, now: Instant, sent: u64) {
        let is_long = sent >= LONG && self.replaces_worn && self.count.get() > 0;
        if is_long && TcpInfo::of(leased.0.io.tcp()).is_ok_and(|info| info.is_worn()) {
            self.metrics().worn.inc();
            return;
        }
        self.put(leased, now);
    }

    /// Takes a connection that has carried a request.
    pub fn put(&self, (mut connection, lease): Leased, now: Instant) {
        connection.sample(self.dialer.sockets(), self.metrics(), now);
        connection.input.shrink();
        let local = lease.endpoint();
        self.keep(local, false, connection, now);
    }

    fn keep(&self, local: &Local, is_unused: bool, mut connection: Connection, now: Instant) {
        let is_wanted = !local.gone.get() && local.shared.circuit.state() != State::Open;
        if self.count.get() < self.max_idle && is_wanted {
            connection.idle_since = now;
            let stack = if is_unused {
                &local.unused
            } else {
                &local.idle
            };
            stack.borrow_mut().push(connection);
            self.count.set(self.count.get() + 1);
            self.metrics().idle.add(1);
        }
    }

    /// How many are to be there: each endpoint is to have one, as requests go where connections are.
    fn minimum(&self) -> usize {
        match self.min_idle {
            0 => 0,
            min_idle => min_idle.max(self.roster().usable()).min(self.max_idle),
        }
    }

    /// Has connections opened ahead of need, if there are too few.
    pub(super) fn ask_for_more(&self) {
        if self.missing() > 0 {
            self.wanted.notify_one();
        }
    }

    /// How many connections are to be opened ahead of need: the minimum, or as many as were in use at a time lately, and one
    /// where there is none.
    fn missing(&self) -> usize {
        if self.min_idle == 0 {
            return 0;
        }
        // Over HTTP/1.1 each has a connection of its own.
        let in_use = |all: &[Rc<Local>]| all.iter().map(|local| local.in_flight()).sum();
        let in_use = self.roster().with(in_use);
        let lately = self.demand.get().saturating_sub(in_use).min(self.max_idle);
        let wanted = self.minimum().max(lately);
        (wanted.saturating_sub(self.count.get())).max(self.roster().lonely())
    }

    /// Keeps as many connections open as are to be there, until the task is dropped. While the
    /// last dial has failed, keeps trying to open one, whatever the minimum:
    /// the proxy is not ready meanwhile, so no request would find out.
    pub async fn keep_warm(self: Rc<Self>) {
        loop {
            if self.dialer.has_failed() {
                self.dialer.back_off().await;
            }
            let is_alone = self.count.get() == 0 && self.dialer.has_failed();
            for _ in 0..self.missing().max(usize::from(is_alone)) {
                if let Err(error) = self.open_ahead().await {
                    tracing::debug!(%error, "no connection opened ahead of need");
                    break;
                }
            }
            if !self.dialer.has_failed() {
                tokio::time::sleep(ROUND).await;
                self.wanted.notified().await;
            }
        }
    }

    /// Opens one connection ahead of need.
    async fn open_ahead(&self) -> Result<(), ConnectError> {
        let neediest = self.roster().neediest();
        let opened = match &neediest {
            // There are enough, if not everywhere.
            Some(neediest) if (1..=self.count.get()).contains(&self.minimum()) => {
                self.dialer.connection_to(neediest).await
            }
            _ => {
                let mut order = self.roster().in_order(None, Instant::now());
                let is_other = |local: &Rc<Local>| {
                    neediest
                        .as_ref()
                        .is_none_or(|neediest| !Rc::ptr_eq(local, neediest))
                };
                order.sort_by_key(is_other);
                self.dialer.connection(order).await
            }
        };
        let (connection, local) = opened?;
        self.keep(&local, true, connection, Instant::now());
        Ok(())
    }

    /// Opens those that are to be there ahead of need, at least one.
    ///
    /// # Errors
    /// Why one could not be opened.
    pub(super) async fn fill(&self) -> Result<(), ConnectError> {
        for _ in 0..self.missing().max(1) {
            self.open_ahead().await?;
        }
        Ok(())
    }

    /// Finds out whether an endpoint whose pause is over can be connected to, TLS included. If so a request may try.
    pub async fn check(self: Rc<Self>, local: Rc<Local>) {
        let circuit = &local.shared.circuit;
        match self.dialer.connection_to(&local).await {
            Ok((connection, _)) => {
                circuit.half_open(Instant::now());
                self.keep(&local, true, connection, Instant::now());
            }
            Err(error) => {
                tracing::debug!(%error, "an ejected endpoint cannot be reached yet");
                circuit.stay_open(&self.roster().limits(), Instant::now());
            }
        }
        local.is_checking.set(false);
    }

    /// Drops connections that are too old or have ended, until the task is dropped. On its own, as a dial may take long.
    pub async fn keep_fresh(self: Rc<Self>) {
        loop {
            tokio::time::sleep(SWEEP).await;
            self.sweep(Instant::now());
        }
    }

    /// Drops all idle connections, as when the proxy stops.
    pub fn clear(&self) {
        for local in self.roster().all().iter() {
            self.clear_at(local);
        }
    }

    /// Drops all idle connections. Those in use are not kept at their ends, by whatever pool has the upstream's slot then.
    pub(super) fn retire(&self) {
        for local in self.roster().all().iter() {
            local.gone.set(true);
            self.clear_at(local);
        }
    }

    /// Drops all idle connections to one endpoint.
    pub(super) fn clear_at(&self, local: &Local) {
        for stack in [&local.idle, &local.unused] {
            let dropped = stack.borrow_mut().drain(..).count();
            self.count_dropped(dropped);
        }
        self.ask_for_more();
    }

    fn sweep(&self, now: Instant) {
        let (mut busiest, mut closed) = (0, 0);
        for local in self.roster().all().iter() {
            busiest += local.busiest();
            for stack in [&local.idle, &local.unused] {
                let mut stack = stack.borrow_mut();
                let before = stack.len();
                stack.retain(|connection| self.is_fresh(connection, now));
                let fresh = stack.len();
                stack.retain_mut(is_quiet);
                closed += fresh - stack.len();
                self.count_dropped(before - stack.len());
            }
        }
        self.demand.observe(busiest, now);
        self.demand.closed(closed);
        self.ask_for_more();
    }

    fn is_fresh(&self, connection: &Connection, now: Instant) -> bool {
        now.duration_since(connection.idle_since) < self.idle_timeout
    }

    fn count_dropped(&self, dropped: usize) {
        self.count.set(self.count.get().saturating_sub(dropped));
        let dropped = i64::try_from(dropped).unwrap_or(i64::MAX);
        self.metrics().idle.add(-dropped);
    }

    fn metrics(&self) -> &UpstreamMetrics {
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
