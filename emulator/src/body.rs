//! The bodies of answers: where their bytes come from, at what pace, and how they end.
//!
//! `exchange.rs` makes an [`AnswerBody`] of an `Answer`; hyper polls it. It carries the
//! [`Accounting`] of its request, so that a client that goes away (hyper drops the body) and an
//! answer that is complete are told apart wherever the drop happens.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Frame, SizeHint};

use crate::api::sse::EventStream;
use crate::bill::Meter;
use crate::fault::shape::{BrokenOff, Shape};
use crate::server::Shared;
use crate::server::connection::Link;

/// Where the bytes of an answer come from.
pub(crate) enum Source {
    /// All there at once.
    Whole(Bytes),
    /// Server-sent events, made one by one at the configured pace.
    Events(Box<EventStream>),
    /// A JSON document of `remaining` more bytes, almost all of it padding.
    Padding { remaining: u64, begun: bool },
}

pub(crate) struct AnswerBody {
    source: Source,
    shape: Shape,
    accounting: Option<Accounting>,
    meter: Option<Meter>,
}

/// Counts how a request ended; dropped without a word it was cancelled.
pub(crate) struct Accounting {
    shared: Arc<Shared>,
    link: Arc<Link>,
    end: End,
}

#[derive(Clone, Copy)]
enum End {
    Cancelled,
    Complete,
    Faulted,
}

impl Accounting {
    pub(crate) fn new(shared: &Arc<Shared>, link: &Arc<Link>) -> Self {
        link.begin();
        Self {
            shared: Arc::clone(shared),
            link: Arc::clone(link),
            end: End::Cancelled,
        }
    }

    pub(crate) fn complete(mut self) {
        self.end = End::Complete;
    }

    pub(crate) fn faulted(mut self) {
        self.end = End::Faulted;
    }
}

impl Drop for Accounting {
    fn drop(&mut self) {
        let counters = &self.shared.counters;
        match self.end {
            End::Cancelled => counters.cancelled.add(1),
            End::Complete => counters.completed.add(1),
            End::Faulted => counters.faulted.add(1),
        }
        counters.in_flight.one_less();
        self.link.end();
    }
}

impl AnswerBody {
    /// A body whose request is not accounted for: answers of the control paths.
    pub(crate) fn uncounted(bytes: Bytes) -> Self {
        Self {
            source: Source::Whole(bytes),
            shape: Shape::AsIs,
            accounting: None,
            meter: None,
        }
    }

    pub(crate) fn new(source: Source, shape: Shape, accounting: Accounting) -> Self {
        let mut body = Self {
            source,
            shape,
            accounting: Some(accounting),
            meter: None,
        };
        if body.source.is_empty() {
            body.settle(Accounting::complete);
        }
        body
    }

    /// Has its tokens counted.
    pub(crate) fn meter(&mut self, meter: Option<Meter>) {
        self.meter = meter;
    }

    /// Counts those that have been made.
    fn count(&self) {
        let made = match &self.source {
            Source::Events(events) => events.tokens(),
            source if source.is_empty() => u64::MAX,
            _ => return,
        };
        if let Some(meter) = &self.meter {
            meter.set(made);
        }
    }

    fn settle(&mut self, how: fn(Accounting)) {
        if let Some(accounting) = self.accounting.take() {
            how(accounting);
        }
    }
}

impl http_body::Body for AnswerBody {
    type Data = Bytes;
    type Error = BrokenOff;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        let this = &mut *self;
        let polled = this.shape.poll(cx, &mut this.source);
        this.count();
        match ready!(polled) {
            Ok(Some(bytes)) => {
                if this.is_end_stream() {
                    this.settle(Accounting::complete);
                }
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
            Ok(None) => {
                this.settle(Accounting::complete);
                Poll::Ready(None)
            }
            Err(broken) => {
                this.settle(Accounting::faulted);
                Poll::Ready(Some(Err(broken)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.source.is_empty() && !self.shape.holds_bytes()
    }

    fn size_hint(&self) -> SizeHint {
        // Asked before the first frame only, when no shape holds bytes back yet.
        match &self.source {
            Source::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Source::Padding { remaining, .. } => SizeHint::with_exact(*remaining),
            Source::Events(_) => SizeHint::default(),
        }
    }
}

impl Source {
    /// No more bytes will come.
    pub(crate) fn is_empty(&self) -> bool {
        match self {
            Self::Whole(bytes) => bytes.is_empty(),
            Self::Events(events) => events.is_empty(),
            Self::Padding { remaining, .. } => *remaining == 0,
        }
    }

    /// The next bytes, `None` at the end.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if self.is_empty() {
            return Poll::Ready(None);
        }
        match self {
            Self::Whole(bytes) => Poll::Ready(Some(std::mem::take(bytes))),
            Self::Events(events) => events.poll(cx),
            Self::Padding { remaining, begun } => {
                let piece = padding(*remaining, *begun);
                *remaining -= piece.len() as u64;
                *begun = true;
                Poll::Ready(Some(piece))
            }
        }
    }
}

static FILLER: [u8; 16 << 10] = [b'x'; 16 << 10];
const OPENING: &[u8] = b"{\"padding\":\"";
const CLOSING: &[u8] = b"\"}";

/// The next piece of `{"padding":"xxx…"}` when `remaining` bytes are due.
fn padding(remaining: u64, begun: bool) -> Bytes {
    if !begun {
        return Bytes::from_static(OPENING);
    }
    let filler = remaining.saturating_sub(CLOSING.len() as u64);
    match usize::try_from(filler) {
        Ok(0) => Bytes::from_static(CLOSING),
        Ok(n) => Bytes::from_static(&FILLER[..n.min(FILLER.len())]),
        Err(_) => Bytes::from_static(&FILLER),
    }
}

#[cfg(test)]
mod tests;
