//! Faults of answer bodies: held back, dripped, cut or reset.
//!
//! `body.rs` polls a [`Shape`] between its source and hyper.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Sleep, sleep};

use crate::body::Source;
use crate::server::connection::{Link, Order};

/// hyper flushes only when a body has nothing ready, and drops what is not flushed when the body
/// fails. Waiting this long before the break lets what was allowed reach the peer.
const FLUSH: Duration = Duration::from_millis(5);

/// The answer was broken off on purpose.
#[derive(Debug, thiserror::Error)]
#[error("the answer was broken off by a fault")]
pub(crate) struct BrokenOff;

/// What becomes of a body on its way out.
pub(crate) enum Shape {
    AsIs,
    /// Nothing until the timer ends; for ever without one.
    Stall(Option<Pin<Box<Sleep>>>),
    Drip(Box<Drip>),
    Cut(Box<Cut>),
}

pub(crate) struct Drip {
    interval: Duration,
    pause: Option<Pin<Box<Sleep>>>,
    held: Bytes,
}

pub(crate) struct Cut {
    allowed: u64,
    /// Present once the allowance is used up.
    flush: Option<Pin<Box<Sleep>>>,
    /// Where to order a reset; without it the connection is closed.
    reset: Option<Arc<Link>>,
}

impl Shape {
    pub(crate) fn stall(pause: Option<Duration>) -> Self {
        Self::Stall(pause.map(|pause| Box::pin(sleep(pause))))
    }

    pub(crate) fn drip(interval: Duration) -> Self {
        Self::Drip(Box::new(Drip {
            interval,
            pause: None,
            held: Bytes::new(),
        }))
    }

    pub(crate) fn cut(after: u64, reset: Option<Arc<Link>>) -> Self {
        Self::Cut(Box::new(Cut {
            allowed: after,
            flush: None,
            reset,
        }))
    }

    /// Whether bytes taken from the source, or a break, are still due.
    pub(crate) fn holds_bytes(&self) -> bool {
        match self {
            Self::AsIs | Self::Stall(_) => false,
            Self::Drip(drip) => !drip.held.is_empty(),
            Self::Cut(cut) => cut.flush.is_some(),
        }
    }

    pub(crate) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        source: &mut Source,
    ) -> Poll<Result<Option<Bytes>, BrokenOff>> {
        match self {
            Self::AsIs => source.poll(cx).map(Ok),
            Self::Stall(None) => Poll::Pending,
            Self::Stall(Some(pause)) => {
                ready!(pause.as_mut().poll(cx));
                *self = Self::AsIs;
                source.poll(cx).map(Ok)
            }
            Self::Drip(drip) => drip.poll(cx, source).map(Ok),
            Self::Cut(cut) => cut.poll(cx, source),
        }
    }
}

impl Drip {
    fn poll(&mut self, cx: &mut Context<'_>, source: &mut Source) -> Poll<Option<Bytes>> {
        if let Some(pause) = &mut self.pause {
            ready!(pause.as_mut().poll(cx));
        }
        if self.held.is_empty() {
            match ready!(source.poll(cx)) {
                Some(bytes) => self.held = bytes,
                None => return Poll::Ready(None),
            }
        }
        self.pause = Some(Box::pin(sleep(self.interval)));
        Poll::Ready(Some(self.held.split_to(1)))
    }
}

impl Cut {
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        source: &mut Source,
    ) -> Poll<Result<Option<Bytes>, BrokenOff>> {
        if let Some(flush) = &mut self.flush {
            ready!(flush.as_mut().poll(cx));
            // The connection task looks for orders when hyper has given up on the connection.
            if let Some(link) = self.reset.take() {
                link.order(Order::Reset);
            }
            return Poll::Ready(Err(BrokenOff));
        }
        let Some(mut bytes) = ready!(source.poll(cx)) else {
            return Poll::Ready(Ok(None));
        };
        let length = bytes.len() as u64;
        if length <= self.allowed {
            self.allowed -= length;
            return Poll::Ready(Ok(Some(bytes)));
        }
        self.flush = Some(Box::pin(sleep(FLUSH)));
        // Less than the length of a slice, so it fits.
        bytes.truncate(usize::try_from(self.allowed).unwrap_or_default());
        if bytes.is_empty() {
            return self.poll(cx, source);
        }
        Poll::Ready(Ok(Some(bytes)))
    }
}
