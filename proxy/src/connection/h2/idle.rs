//! When an h2 connection has carried no stream for too long.
//!
//! hyper's keep-alive pings find peers that are gone; a peer that is there and
//! asks for nothing is found here. What has not sent a whole request head yet
//! has no stream either, so slow heads and silent handshakes count as idle.

use std::cell::Cell;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::Instant;

use super::super::timer::Timer;

/// How long a client may take to answer GOAWAY.
const GOODBYE: Duration = Duration::from_secs(2);

/// The streams of one connection that are under way.
#[derive(Debug)]
pub(super) struct Streams {
    open: Cell<usize>,
    /// When there last was one.
    quiet_since: Cell<Instant>,
}

/// One stream under way, until this is dropped.
#[derive(Debug)]
pub(super) struct OpenStream(Rc<Streams>);

impl Streams {
    pub(super) fn new() -> Rc<Self> {
        Rc::new(Self {
            open: Cell::new(0),
            quiet_since: Cell::new(Instant::now()),
        })
    }

    pub(super) fn open(self: &Rc<Self>) -> OpenStream {
        self.open.set(self.open.get() + 1);
        OpenStream(Rc::clone(self))
    }

    /// How long there has been no stream.
    fn quiet(&self) -> Duration {
        match self.open.get() {
            0 => self.quiet_since.get().elapsed(),
            _ => Duration::ZERO,
        }
    }
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        self.0.open.set(self.0.open.get().saturating_sub(1));
        self.0.quiet_since.set(Instant::now());
    }
}

/// What to do with a connection nobody uses.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Idle {
    /// Tell the client, which may have a request on its way.
    Leave,
    /// It was told, and has neither asked for anything nor closed.
    Cut,
}

/// The idle limit of one connection. A stream that begins or ends moves
/// nothing here: the timer looks at the streams when it fires.
#[derive(Debug)]
pub(super) struct IdleLimit {
    streams: Rc<Streams>,
    limit: Duration,
    timer: Timer,
    told: bool,
}

impl IdleLimit {
    pub(super) fn new(streams: Rc<Streams>, limit: Duration) -> Self {
        let mut timer = Timer::default();
        timer.set(Instant::now(), limit);
        Self {
            streams,
            limit,
            timer,
            told: false,
        }
    }

    /// Ready when the connection has been idle for too long; registers the task
    /// otherwise.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Idle> {
        loop {
            ready!(self.timer.poll_expired(cx));
            let left = self.limit.saturating_sub(self.streams.quiet());
            if !left.is_zero() {
                self.timer.set(Instant::now(), left);
            } else if self.told {
                return Poll::Ready(Idle::Cut);
            } else {
                self.told = true;
                self.timer.set(Instant::now(), GOODBYE);
                return Poll::Ready(Idle::Leave);
            }
        }
    }
}

#[cfg(test)]
mod tests;
